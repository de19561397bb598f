/*
 * alert_event.c
 *		Recording what alerts are about: rows of defer.alert_event.
 *
 * A rule is a row of defer.alert.  The transaction that ends a job writes an
 * event for each rule that wants it: so no event is lost, and none is of
 * something that has not happened.  The scheduler collects the events of a
 * rule for a while and makes one message of them (alert/collect.c).
 *
 * The first event about a function also marks it as failing, as a row of
 * defer.alert_failing: so that its next success is recorded as its recovery, in
 * whatever process, whether the failure has been sent or not.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/job_kind.h"
#include "base/job_state.h"
#include "base/jsonb_util.h"
#include "shmem/alert_counter.h"
#include "shmem/xact_notify.h"
#include "table/alert_event.h"
#include "table/alert_rules.h"
#include "table/direct_insert.h"

/* Length of the error of a retried job (bytes) */
#define MESSAGE_MAX	300

/* Columns of defer.alert_event */
enum
{
	EV_ALERT_ID = 1, EV_KIND, EV_SUBJECT, EV_JOB_ID, EV_AT, EV_MESSAGE,
	EV_NATTS = EV_MESSAGE
};

static const char *const event_columns[] = {
	[EV_ALERT_ID - 1] = "alert_id",
	[EV_KIND - 1] = "kind",
	[EV_SUBJECT - 1] = "subject",
	[EV_JOB_ID - 1] = "job_id",
	[EV_AT - 1] = "at",
	[EV_MESSAGE - 1] = "message",
};

bool
alert_event_wanted(char state)
{
	return (alert_rules_load() & alert_state_bit(state)) != 0;
}

/* Not of an alert's own message, or they would go round and round */
static bool
is_alert(const Job *job)
{
	JsonbValue	name;

	return kind_is_delivery(job->kind) && job->metadata != NULL &&
		JB_ROOT_IS_OBJECT(job->metadata) &&
		getKeyJsonValueFromContainer(&job->metadata->root, "alert", strlen("alert"), &name) != NULL;
}

void
alert_event_insert(int32 alert, char kind, const char *subject, int64 job_id, const char *message)
{
	Datum		values[EV_NATTS];
	bool		nulls[EV_NATTS] = {0};

	values[EV_ALERT_ID - 1] = Int32GetDatum(alert);
	values[EV_KIND - 1] = CharGetDatum(kind);
	values[EV_SUBJECT - 1] = CStringGetTextDatum(subject);
	values[EV_JOB_ID - 1] = Int64GetDatum(job_id);
	nulls[EV_JOB_ID - 1] = job_id == 0;
	values[EV_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[EV_MESSAGE - 1] = message != NULL ? CStringGetTextDatum(message) : (Datum) 0;
	nulls[EV_MESSAGE - 1] = message == NULL;
	direct_insert(catalog_oid(CAT_ALERT_EVENT), event_columns, EV_NATTS, values, nulls);
	xact_notify_alert();
}

static uint32
counter_hash(const AlertRule *rule, const char *function)
{
	return hash_combine(murmurhash32(MyDatabaseId ^ (uint32) rule->id),
						hash_bytes((const unsigned char *) function,
								   strlen(function)));
}

/*
 * Mark a function as failing for a rule at its first event, in the transaction that
 * writes that.  Other processes record its next success from then on.
 */
static void
mark_failing(AlertRule *rule, const char *function)
{
	if (!rule->recovered)
		return;
	alert_counter_add(counter_hash(rule, function));
	if (alert_rule_failing(rule, function) == NULL)
		alert_rule_add_failing(rule, function);
}

/*
 * Record that a failing function has succeeded.  Each process does so once after
 * each failure, of whatever process: a failure raises the counter.
 */
static void
record_success(const AlertRule *rule, const char *function, int64 job_id)
{
	Failing    *failing = alert_rule_failing(rule, function);
	uint32		failures;

	if (failing == NULL)
		return;
	failures = alert_counter_read(counter_hash(rule, function));
	if (failing->recorded && failing->failures == failures)
		return;
	failing->recorded = true;
	failing->failures = failures;
	alert_rules_reload_on_abort();
	alert_event_insert(rule->id, EVENT_RECOVERED, function, job_id, NULL);
}

static bool
is_about(const AlertRule *rule, const char *function)
{
	return rule->function == NULL || strcmp(rule->function, function) == 0;
}

/* What an event about the job is about: its function, or the workflow of that name */
static const char *
subject_of(const Job *job, const char *function)
{
	const char *name = job->kind == JOB_WORKFLOW ? jsonb_read_text(job->args, "name") : NULL;

	return name != NULL ? psprintf("workflow \"%s\"", name) : function;
}

void
alert_event_record(const Job *job, char state, TimestampTz started_at)
{
	const int	bit = alert_state_bit(state);
	char	   *function;
	const char *subject;
	bool		skipped = job->schedule_id != 0 && started_at == NO_TIME &&
		job->first_started_at == 0 && state != STATE_SUCCEEDED;
	ListCell   *owner_cell;
	ListCell   *cell;

	if (is_alert(job))
		return;
	function = text_to_cstring(job->function);
	subject = subject_of(job, function);
	foreach(owner_cell, alert_owners_who_see(job->owner))
	{
		AlertOwner *group = lfirst(owner_cell);

		if ((group->wanted & bit) == 0)
			continue;
		foreach(cell, group->rules)
		{
			AlertRule  *rule = lfirst(cell);
			char		kind = skipped && rule->schedules ? EVENT_SKIPPED :
				(rule->states & bit) != 0 ? state : '\0';

			if (!is_about(rule, function))
				continue;
			if (kind != '\0')
				alert_event_insert(rule->id, kind, subject, job->id, NULL);
			if (state == STATE_SUCCEEDED)
				record_success(rule, subject, job->id);
			else if (kind != '\0')
				mark_failing(rule, subject);
		}
	}
}

void
alert_event_record_retry(const Job *job, int32 attempt, const char *error)
{
	char	   *function;
	const char *subject;
	char	   *message;
	ListCell   *owner_cell;
	ListCell   *cell;

	if (is_alert(job))
		return;
	function = text_to_cstring(job->function);
	subject = subject_of(job, function);
	message = pnstrdup(error, pg_mbcliplen(error, strlen(error), MESSAGE_MAX));
	foreach(owner_cell, alert_owners_who_see(job->owner))
	{
		AlertOwner *group = lfirst(owner_cell);

		foreach(cell, group->rules)
		{
			AlertRule  *rule = lfirst(cell);

			if (rule->retries != attempt || !is_about(rule, function))
				continue;
			alert_event_insert(rule->id, EVENT_RETRIED, subject, job->id, message);
			mark_failing(rule, subject);
		}
	}
}

void
alert_event_record_schedule(Oid owner, const char *function, const char *message)
{
	ListCell   *owner_cell;
	ListCell   *cell;

	(void) alert_rules_load();
	foreach(owner_cell, alert_owners_who_see(owner))
	{
		AlertOwner *group = lfirst(owner_cell);

		foreach(cell, group->rules)
		{
			AlertRule  *rule = lfirst(cell);

			if (!rule->schedules || !is_about(rule, function))
				continue;
			alert_event_insert(rule->id, EVENT_SKIPPED, function, 0, message);
			mark_failing(rule, function);
		}
	}
}
