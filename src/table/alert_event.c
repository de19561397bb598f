/*
 * alert_event.c
 *		Recording what alerts are about: rows of defer.alert_event.
 *
 * A rule is a row of defer.alert.  The transaction that ends a job writes an
 * event for each rule that wants it: so no event is lost, and none is of
 * something that has not happened.  The scheduler collects the events of a
 * rule for a while and makes one message of them (alert/collect.c).
 *
 * Every process keeps the rules until the table is announced as changed, and
 * the states that any rule is about, so that a job's end costs one comparison
 * where no rule wants it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/job_kind.h"
#include "base/job_state.h"
#include "shmem/xact_notify.h"
#include "table/alert_event.h"
#include "table/direct_insert.h"

/* Columns of defer.alert that are read here */
enum
{
	AL_ID = 1, AL_NAME, AL_OWNER, AL_ENDPOINT, AL_RECIPIENTS, AL_FUNCTION, AL_STATES,
	AL_GROUP_WINDOW, AL_RECOVERED, AL_SHOW_ARGS, AL_SCHEDULES
};

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

typedef struct AlertRule
{
	int32		id;
	Oid			owner;
	int			states;			/* bits: see state_bit() */
	bool		schedules;
	bool		recovered;
	char	   *function;		/* NULL: all */
	List	   *failing;		/* of Failing: functions that were reported */
} AlertRule;

typedef struct Failing
{
	char	   *subject;
	bool		recorded;		/* by this process, that it has succeeded */
} Failing;

static MemoryContext rules_context = NULL;
static List *rules = NIL;
static int	wanted_states = 0;	/* bits of the states that any rule is about */
static unsigned int rule_changes = 1;	/* grows with each announced change */
static unsigned int rules_read_at = 0;	/* rule_changes when the rules were read */
static Oid	rule_table = InvalidOid;
static bool recorded_any = false;	/* a success, in the transaction that is under way */

static int
state_bit(char state)
{
	switch (state)
	{
		case STATE_SUCCEEDED:
			return 1;
		case STATE_FAILED:
			return 2;
		case STATE_CANCELLED:
			return 4;
		case STATE_DISCARDED:
			return 8;
	}
	return 0;
}

/* The bit of a state's name; 0: there is no such final state */
static int
named_state_bit(const char *name)
{
	for (int i = 0; i < JOB_ENDS; i++)
	{
		if (strcmp(name, job_end_name(i)) == 0)
			return state_bit(JOB_END_LETTERS[i]);
	}
	return 0;
}

/* ------------------------------------------------------------------------
 * The rules
 * ------------------------------------------------------------------------ */

static void
forget_rules(Oid relation)
{
	if (relation == InvalidOid || relation == rule_table)
		rule_changes++;
}

/* Forget what was recorded as told in a transaction that was rolled back */
static void
alert_xact_callback(XactEvent event)
{
	if (event == XACT_EVENT_ABORT && recorded_any)
		rule_changes++;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		recorded_any = false;
}

int
alert_states_of_array(Datum array)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;
	int			bits = 0;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		int			bit = nulls[i] ? 0 : named_state_bit(TextDatumGetCString(names[i]));

		if (bit == 0)
			return -1;
		bits |= bit;
	}
	return bits;
}

static AlertRule *
rule_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	AlertRule  *rule = palloc0(sizeof(AlertRule));
	bool		isnull;
	Datum		value;

	rule->id = DatumGetInt32(heap_getattr(tuple, AL_ID, desc, &isnull));
	rule->owner = DatumGetObjectId(heap_getattr(tuple, AL_OWNER, desc, &isnull));
	value = heap_getattr(tuple, AL_FUNCTION, desc, &isnull);
	rule->function = isnull ? NULL : TextDatumGetCString(value);
	rule->states = Max(alert_states_of_array(heap_getattr(tuple, AL_STATES, desc, &isnull)), 0);
	rule->recovered = DatumGetBool(heap_getattr(tuple, AL_RECOVERED, desc, &isnull));
	rule->schedules = DatumGetBool(heap_getattr(tuple, AL_SCHEDULES, desc, &isnull));
	return rule;
}

/* Functions that a message was sent about */
static void
read_failing(Snapshot snapshot)
{
	Relation	rel = table_open(catalog_oid(CAT_ALERT_FAILING), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
	{
		bool		isnull;
		int32		id = DatumGetInt32(heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull));
		ListCell   *cell;

		foreach(cell, rules)
		{
			AlertRule  *rule = lfirst(cell);
			Failing    *failing;

			if (rule->id != id || !rule->recovered)
				continue;
			failing = palloc0(sizeof(Failing));
			failing->subject = TextDatumGetCString(heap_getattr(tuple, 2, RelationGetDescr(rel),
																&isnull));
			rule->failing = lappend(rule->failing, failing);
			wanted_states |= state_bit(STATE_SUCCEEDED);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
load_rules(void)
{
	const unsigned int changes = rule_changes;
	MemoryContext context;
	Relation	rel;
	SysScanDesc scan;
	Snapshot	snapshot;
	HeapTuple	tuple;

	defer_on_relcache_change(forget_rules);
	defer_on_xact_event(alert_xact_callback);
	if (rules_context == NULL)
		rules_context = AllocSetContextCreate(CacheMemoryContext, "defer alerts",
											  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(rules_context);
	rules = NIL;
	wanted_states = 0;
	rule_table = catalog_oid(CAT_ALERT);
	rel = table_open(rule_table, AccessShareLock);
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	context = MemoryContextSwitchTo(rules_context);
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		AlertRule  *rule = rule_from_tuple(tuple, RelationGetDescr(rel));

		rules = lappend(rules, rule);
		wanted_states |= rule->states;
		if (rule->schedules)
			wanted_states |= state_bit(STATE_FAILED) | state_bit(STATE_CANCELLED) |
				state_bit(STATE_DISCARDED);
	}
	systable_endscan(scan);
	if (rules != NIL)
		read_failing(snapshot);
	MemoryContextSwitchTo(context);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);

	/* an error leaves them to be read again, and so does a change meanwhile */
	rules_read_at = changes;
}

void
alert_rules_changed(void)
{
	CacheInvalidateRelcacheByRelid(catalog_oid(CAT_ALERT));
	rule_changes++;
}

/* ------------------------------------------------------------------------
 * Noting
 * ------------------------------------------------------------------------ */

bool
alert_event_wanted(char state)
{
	if (rules_read_at != rule_changes)
		load_rules();
	return (wanted_states & state_bit(state)) != 0;
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

/* A function that was reported has succeeded: once a process */
static void
record_success(AlertRule *rule, const char *function, int64 job_id)
{
	ListCell   *cell;

	foreach(cell, rule->failing)
	{
		Failing    *failing = lfirst(cell);

		if (failing->recorded || strcmp(failing->subject, function) != 0)
			continue;
		alert_event_insert(rule->id, EVENT_RECOVERED, function, job_id, NULL);
		failing->recorded = recorded_any = true;
	}
}

void
alert_event_record(const Job *job, char state, TimestampTz started_at)
{
	char	   *function = text_to_cstring(job->function);
	bool		skipped = job->schedule_id != 0 && started_at == NO_TIME &&
		state != STATE_SUCCEEDED;
	ListCell   *cell;

	if (is_alert(job))
		return;
	foreach(cell, rules)
	{
		AlertRule  *rule = lfirst(cell);
		bool		wants = (rule->states & state_bit(state)) != 0;

		if ((rule->function != NULL && strcmp(rule->function, function) != 0) ||
			!has_privs_of_role(rule->owner, job->owner))
			continue;
		if (skipped && rule->schedules)
			alert_event_insert(rule->id, EVENT_SKIPPED, function, job->id, NULL);
		else if (wants)
			alert_event_insert(rule->id, state, function, job->id, NULL);
		if (state == STATE_SUCCEEDED && rule->failing != NIL)
			record_success(rule, function, job->id);
	}
}

void
alert_event_record_schedule(Oid owner, const char *function, const char *message)
{
	ListCell   *cell;

	if (rules_read_at != rule_changes)
		load_rules();
	foreach(cell, rules)
	{
		AlertRule  *rule = lfirst(cell);

		if (rule->schedules && has_privs_of_role(rule->owner, owner) &&
			(rule->function == NULL || strcmp(rule->function, function) == 0))
			alert_event_insert(rule->id, EVENT_SKIPPED, function, 0, message);
	}
}
