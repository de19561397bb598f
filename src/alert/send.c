/*
 * send.c
 *		Making messages of what alert/sql.c has noted; in the scheduler.
 *
 * The events of a rule are collected for its group_window, from the first one
 * on; then they become one message, which is a delivery like any other, and are
 * deleted, in one transaction.  What was reported as failing is remembered, so
 * that a message can say when it has come right.
 *
 * Also here: the conditions that no job's end tells of, jobs that wait too long
 * and workers that cannot be started.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/job_kind.h"
#include "base/job_state.h"
#include "base/jsonb_util.h"
#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "shmem/databases.h"
#include "shmem/ready_queue.h"
#include "table/job_table.h"
#include "config/settings_cache.h"
#include "job/batch.h"
#include "delivery/delivery.h"
#include "delivery/endpoint.h"
#include "alert/alert.h"
#include "table/alert_event.h"

/* What one message tells of (rows), and how long its parts may be (bytes) */
#define SUBJECTS_MAX	20
#define SAMPLES_MAX		5
#define ERROR_MAX		300
#define ARGS_MAX		200

/* How often conditions are looked at (microseconds) */
#define CHECK_MIN		(1 * USECS_PER_SEC)
#define CHECK_MAX		(30 * USECS_PER_SEC)

/* Events are looked at no more often than this, however many there are */
#define SCAN_PAUSE		(200 * 1000)

typedef struct Rule
{
	int32		id;
	char	   *name;
	Oid			owner;
	char	   *endpoint;		/* NULL: none */
	Oid			endpoint_owner;
	char	   *kind;			/* of the endpoint as it is now; "email" where there is none; NULL: it is gone */
	Datum		recipients;		/* text[]; 0: none */
	int64		window;
	bool		recovered;
	bool		show_args;
	int64		backlog;		/* -1: not about that */
	bool		workers;
	TimestampTz first;			/* event; DT_NOEND: there is none */
} Rule;

/* Events of one kind about one subject */
typedef struct Subject
{
	char		kind;
	char	   *name;
	int64		count;
	char	   *message;		/* of the last of them; NULL: none */
	TimestampTz last;
} Subject;

/* One of the jobs */
typedef struct Sample
{
	int64		job_id;
	char		kind;
	char	   *function;
	char	   *args;			/* NULL: none, or not to be shown */
	char	   *error;
	char	   *sqlstate;
	int32		attempts;
	double		seconds;		/* negative: it was not begun */
} Sample;

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

static bool
is_null(int row, int column)
{
	bool		isnull;

	(void) SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	return isnull;
}

static Datum
value(int row, int column)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
}

static char *
text_value(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static List *
read_rules(void)
{
	List	   *list = NIL;
	uint64		n;

	n = own_sql_run("SELECT a.id, a.name, a.owner, a.endpoint,"
					" CASE WHEN a.endpoint IS NULL THEN 'email' ELSE e.kind END, a.recipients, a.group_window,"
					" a.recovered, a.show_args, a.backlog, a.workers,"
					" (SELECT pg_catalog.min(v.at) FROM defer.alert_event v WHERE v.alert_id OPERATOR(pg_catalog.=) a.id)"
					", a.endpoint_owner"
					" FROM defer.alert a LEFT JOIN defer.endpoint e ON e.name OPERATOR(pg_catalog.=) a.endpoint"
					" AND e.owner OPERATOR(pg_catalog.=) a.endpoint_owner",
					0, NULL, NULL, NULL, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
	{
		Rule	   *rule = palloc0(sizeof(Rule));

		rule->id = DatumGetInt32(value(i, 1));
		rule->name = text_value(i, 2);
		rule->owner = DatumGetObjectId(value(i, 3));
		rule->endpoint = text_value(i, 4);
		rule->kind = text_value(i, 5);
		rule->recipients = is_null(i, 6) ? (Datum) 0 : value(i, 6);
		rule->window = setting_interval("group_window", DatumGetIntervalP(value(i, 7)));
		rule->recovered = DatumGetBool(value(i, 8));
		rule->show_args = DatumGetBool(value(i, 9));
		rule->backlog = is_null(i, 10) ? -1 : setting_interval("backlog", DatumGetIntervalP(value(i, 10)));
		rule->workers = DatumGetBool(value(i, 11));
		rule->first = is_null(i, 12) ? DT_NOEND : DatumGetTimestampTz(value(i, 12));
		rule->endpoint_owner = is_null(i, 13) ? InvalidOid : DatumGetObjectId(value(i, 13));
		list = lappend(list, rule);
	}
	return list;
}

/* Subjects of recovery, or all others, the most frequent first; *total: events */
static List *
read_subjects(const Rule *rule, bool recovery, int64 *total)
{
	Oid			types[] = {INT4OID, BOOLOID};
	Datum		values[] = {Int32GetDatum(rule->id), BoolGetDatum(recovery)};
	List	   *list = NIL;
	uint64		n;

	n = own_sql_run("SELECT v.kind, v.subject, pg_catalog.count(*),"
					" (pg_catalog.array_agg(v.message ORDER BY v.at DESC))[1], pg_catalog.max(v.at)"
					" FROM defer.alert_event v WHERE v.alert_id OPERATOR(pg_catalog.=) $1"
					" AND (v.kind OPERATOR(pg_catalog.=) 'r') OPERATOR(pg_catalog.=) $2"
					" GROUP BY 1, 2 ORDER BY 3 DESC, 2",
					2, types, values, NULL, SPI_OK_SELECT);
	*total = 0;
	for (int i = 0; i < n; i++)
	{
		Subject    *subject = palloc0(sizeof(Subject));

		subject->kind = DatumGetChar(value(i, 1));
		subject->name = text_value(i, 2);
		subject->count = DatumGetInt64(value(i, 3));
		subject->message = text_value(i, 4);
		subject->last = DatumGetTimestampTz(value(i, 5));
		*total += subject->count;
		list = lappend(list, subject);
	}
	return list;
}

static char *
clipped(char *text, int limit)
{
	int			length;

	if (text == NULL || strlen(text) <= limit)
		return text;
	length = pg_mbcliplen(text, strlen(text), limit);
	return psprintf("%.*s...", length, text);
}

/* The first jobs that the events are about */
static List *
read_samples(const Rule *rule)
{
	Oid			type = INT4OID;
	Datum		id = Int32GetDatum(rule->id);
	List	   *list = NIL;
	uint64		n;

	n = own_sql_run("SELECT v.job_id, v.kind, v.subject, pg_catalog.left(h.args::pg_catalog.text, 1000), h.error,"
					" h.sqlstate, h.attempt,"
					" EXTRACT(epoch FROM (h.finished_at OPERATOR(pg_catalog.-) h.started_at))::pg_catalog.float8"
					" FROM (SELECT e.job_id, e.kind, e.subject, e.at FROM defer.alert_event e"
					"  WHERE e.alert_id OPERATOR(pg_catalog.=) $1 AND e.job_id IS NOT NULL"
					"  AND e.kind OPERATOR(pg_catalog.<>) 'r' ORDER BY e.at, e.job_id LIMIT 5) v"
					" LEFT JOIN LATERAL (SELECT j.* FROM defer.job_history j WHERE j.id OPERATOR(pg_catalog.=) v.job_id"
					"  AND j.finished_at OPERATOR(pg_catalog.>=) (v.at OPERATOR(pg_catalog.-) '1 hour'::pg_catalog.interval)"
					"  AND j.finished_at OPERATOR(pg_catalog.<=) (v.at OPERATOR(pg_catalog.+) '1 hour'::pg_catalog.interval)) h"
					" ON true ORDER BY v.at, v.job_id",
					1, &type, &id, NULL, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
	{
		Sample	   *sample = palloc0(sizeof(Sample));

		sample->job_id = DatumGetInt64(value(i, 1));
		sample->kind = DatumGetChar(value(i, 2));
		sample->function = text_value(i, 3);
		sample->args = rule->show_args ? clipped(text_value(i, 4), ARGS_MAX) : NULL;
		sample->error = clipped(text_value(i, 5), ERROR_MAX);
		sample->sqlstate = text_value(i, 6);
		sample->attempts = is_null(i, 7) ? 0 : DatumGetInt32(value(i, 7));
		sample->seconds = is_null(i, 8) ? -1 : DatumGetFloat8(value(i, 8));
		list = lappend(list, sample);
	}
	return list;
}

/* ------------------------------------------------------------------------
 * Words
 * ------------------------------------------------------------------------ */

static const char *
kind_words(char kind)
{
	switch (kind)
	{
		case STATE_SUCCEEDED:
			return "succeeded";
		case STATE_FAILED:
			return "failed";
		case STATE_CANCELLED:
			return "was cancelled";
		case STATE_DISCARDED:
			return "was discarded";
		case EVENT_SKIPPED:
			return "did not run on schedule";
		default:
			return "";
	}
}

static const char *
kind_words_many(char kind)
{
	return kind == STATE_CANCELLED ? "were cancelled" :
		kind == STATE_DISCARDED ? "were discarded" : kind_words(kind);
}

static const char *
kind_name(char kind)
{
	switch (kind)
	{
		case EVENT_SKIPPED:
			return "skipped";
		case EVENT_BACKLOG:
			return "backlog";
		case EVENT_WORKERS:
			return "workers";
		case EVENT_RECOVERED:
			return "recovered";
		case STATE_CANCELLED:
			return "cancelled";
		case STATE_DISCARDED:
			return "discarded";
		default:
			return kind_words(kind);
	}
}

static bool
about_jobs(char kind)
{
	return kind != EVENT_BACKLOG && kind != EVENT_WORKERS && kind != EVENT_RECOVERED;
}

/* One line about the whole; no mark-up */
static char *
headline(List *subjects, bool recovery)
{
	Subject    *first = linitial(subjects);
	const char *database = get_database_name(MyDatabaseId);
	int64		jobs = 0;
	bool		one_kind = true;
	ListCell   *cell;

	foreach(cell, subjects)
	{
		Subject    *subject = lfirst(cell);

		if (about_jobs(subject->kind))
			jobs += subject->count;
		one_kind = one_kind && subject->kind == first->kind;
	}
	if (recovery)
		return list_length(subjects) == 1 ?
			psprintf("%s has recovered in database %s", first->name, database) :
			psprintf("%d functions have recovered in database %s", list_length(subjects), database);
	if (jobs == 0)
		return psprintf("defer needs attention in database %s", database);
	if (!one_kind)
		return psprintf(INT64_FORMAT " jobs need attention in database %s", jobs, database);
	return jobs == 1 ? psprintf("a job %s in database %s", kind_words(first->kind), database) :
		psprintf(INT64_FORMAT " jobs %s in database %s", jobs, kind_words_many(first->kind), database);
}

/* Slack takes these three for mark-up and mentions */
static char *
slack_escaped(const char *text)
{
	StringInfoData buffer;

	initStringInfo(&buffer);
	for (; *text != '\0'; text++)
	{
		if (*text == '&')
			appendStringInfoString(&buffer, "&amp;");
		else if (*text == '<')
			appendStringInfoString(&buffer, "&lt;");
		else if (*text == '>')
			appendStringInfoString(&buffer, "&gt;");
		else if (*text == '`')
			appendStringInfoChar(&buffer, '\'');
		else
			appendStringInfoChar(&buffer, (unsigned char) *text < 0x20 ? ' ' : *text);
	}
	return buffer.data;
}

/* As it is, or for Slack in a span of code */
static char *
code(const char *text, bool slack)
{
	return slack ? psprintf("`%s`", slack_escaped(text)) : pstrdup(text);
}

static char *
plain(const char *text, bool slack)
{
	return slack ? slack_escaped(text) : pstrdup(text);
}

static void
add_subject(StringInfo body, const Subject *subject, bool slack)
{
	const char *bullet = slack ? "\xe2\x80\xa2 " : "- ";

	if (subject->kind == EVENT_RECOVERED)
		appendStringInfo(body, "%s%s%s\n", bullet, code(subject->name, slack),
						 subject->message != NULL ? psprintf(": %s", plain(subject->message, slack)) :
						 " succeeds again");
	else if (!about_jobs(subject->kind))
		appendStringInfo(body, "%s%s\n", bullet,
						 plain(subject->message != NULL ? subject->message : subject->name, slack));
	else
		appendStringInfo(body, "%s%s: " INT64_FORMAT " %s%s\n", bullet, code(subject->name, slack),
						 subject->count, kind_name(subject->kind),
						 subject->message != NULL ? psprintf(" (%s)", plain(subject->message, slack)) : "");
}

static void
add_sample(StringInfo body, const Sample *sample, bool slack)
{
	appendStringInfo(body, "job " INT64_FORMAT " %s", sample->job_id, code(sample->function, slack));
	if (sample->args != NULL)
		appendStringInfo(body, " %s", code(sample->args, slack));
	if (sample->attempts > 0)
		appendStringInfo(body, ", %d attempt%s", sample->attempts, sample->attempts == 1 ? "" : "s");
	if (sample->seconds >= 1)
		appendStringInfo(body, ", %.3g s", sample->seconds);
	else if (sample->seconds >= 0)
		appendStringInfo(body, ", %.3g ms", sample->seconds * 1000);
	if (sample->error != NULL)
		appendStringInfo(body, ": %s", plain(sample->error, slack));
	if (sample->sqlstate != NULL)
		appendStringInfo(body, " (%s)", sample->sqlstate);
	appendStringInfoChar(body, '\n');
}

static char *
body_text(const Rule *rule, List *subjects, List *samples, bool slack)
{
	StringInfoData body;
	ListCell   *cell;
	int			n = 0;

	initStringInfo(&body);
	foreach(cell, subjects)
	{
		if (n++ == SUBJECTS_MAX)
		{
			appendStringInfo(&body, "and %d more\n", list_length(subjects) - SUBJECTS_MAX);
			break;
		}
		add_subject(&body, lfirst(cell), slack);
	}
	foreach(cell, samples)
		add_sample(&body, lfirst(cell), slack);
	appendStringInfo(&body, slack ? "_alert %s_" : "\nalert %s\n", plain(rule->name, slack));
	return body.data;
}

/* ------------------------------------------------------------------------
 * Messages
 * ------------------------------------------------------------------------ */

/* [{"type": "section", "text": {"type": "mrkdwn", "text": ...}}] */
static Jsonb *
slack_blocks(const char *text)
{
	JsonbBuilder inner = {0};
	JsonbBuilder state = {0};
	JsonbValue	value;

	(void) jsonb_push(&inner, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&inner, "type", "section");
	{
		JsonbBuilder mark = {0};

		(void) jsonb_push(&mark, WJB_BEGIN_OBJECT, NULL);
		jsonb_push_text(&mark, "type", "mrkdwn");
		jsonb_push_text(&mark, "text", text);
		jsonb_push_json(&inner, "text", JsonbValueToJsonb(jsonb_push(&mark, WJB_END_OBJECT, NULL)));
	}
	(void) jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	JsonbToJsonbValue(JsonbValueToJsonb(jsonb_push(&inner, WJB_END_OBJECT, NULL)), &value);
	(void) jsonb_push(&state, WJB_ELEM, &value);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_ARRAY, NULL));
}

static void
push_slack(JsonbBuilder *state, const Rule *rule, List *subjects, List *samples, bool recovery)
{
	char	   *head = slack_escaped(headline(subjects, recovery));
	char	   *text = psprintf("%s *%s*\n%s", recovery ? ":white_check_mark:" : ":red_circle:", head,
								body_text(rule, subjects, samples, true));

	jsonb_push_text(state, "text", head);
	/* Slack takes up to 3000 characters in a section */
	jsonb_push_json(state, "blocks", slack_blocks(clipped(text, 2900)));
}

static void
push_mail(JsonbBuilder *state, const Rule *rule, List *subjects, List *samples, bool recovery)
{
	Datum		recipients = rule->recipients;
	JsonbBuilder to = {0};
	Datum	   *addresses;
	bool	   *nulls;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(recipients), TEXTOID, -1, false, TYPALIGN_INT, &addresses,
					  &nulls, &n);
	(void) jsonb_push(&to, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
	{
		JsonbValue	address;

		address.type = jbvString;
		address.val.string.val = TextDatumGetCString(addresses[i]);
		address.val.string.len = strlen(address.val.string.val);
		(void) jsonb_push(&to, WJB_ELEM, &address);
	}
	jsonb_push_json(state, "to", JsonbValueToJsonb(jsonb_push(&to, WJB_END_ARRAY, NULL)));
	jsonb_push_text(state, "subject", clipped(headline(subjects, recovery), 300));
	jsonb_push_text(state, "body", body_text(rule, subjects, samples, false));
}

static void
push_subject(JsonbBuilder *array, const Subject *subject)
{
	JsonbBuilder object = {0};
	JsonbValue	element;

	(void) jsonb_push(&object, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&object, "subject", subject->name);
	jsonb_push_text(&object, "event", kind_name(subject->kind));
	jsonb_push_number(&object, "count", subject->count);
	if (subject->message != NULL)
		jsonb_push_text(&object, "message", subject->message);
	JsonbToJsonbValue(JsonbValueToJsonb(jsonb_push(&object, WJB_END_OBJECT, NULL)), &element);
	(void) jsonb_push(array, WJB_ELEM, &element);
}

static void
push_sample(JsonbBuilder *array, const Sample *sample)
{
	JsonbBuilder object = {0};
	JsonbValue	element;

	(void) jsonb_push(&object, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_number(&object, "job_id", sample->job_id);
	jsonb_push_text(&object, "function", sample->function);
	if (sample->args != NULL)
		jsonb_push_text(&object, "args", sample->args);
	if (sample->error != NULL)
		jsonb_push_text(&object, "error", sample->error);
	if (sample->sqlstate != NULL)
		jsonb_push_text(&object, "sqlstate", sample->sqlstate);
	jsonb_push_number(&object, "attempts", sample->attempts);
	if (sample->seconds >= 0)
		jsonb_push_number(&object, "duration_ms", (int64) (sample->seconds * 1000));
	JsonbToJsonbValue(JsonbValueToJsonb(jsonb_push(&object, WJB_END_OBJECT, NULL)), &element);
	(void) jsonb_push(array, WJB_ELEM, &element);
}

static void
push_http(JsonbBuilder *state, const Rule *rule, List *subjects, List *samples, bool recovery)
{
	JsonbBuilder message = {0};
	JsonbBuilder array = {0};
	ListCell   *cell;
	Jsonb	   *json;
	int			n = 0;

	(void) jsonb_push(&message, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&message, "alert", rule->name);
	jsonb_push_text(&message, "database", get_database_name(MyDatabaseId));
	jsonb_push_text(&message, "status", recovery ? "recovered" : "firing");
	jsonb_push_text(&message, "text", headline(subjects, recovery));
	(void) jsonb_push(&array, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, subjects)
	{
		if (n++ < SUBJECTS_MAX)
			push_subject(&array, lfirst(cell));
	}
	jsonb_push_json(&message, "events", JsonbValueToJsonb(jsonb_push(&array, WJB_END_ARRAY, NULL)));
	array = (JsonbBuilder) {0};
	(void) jsonb_push(&array, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, samples)
		push_sample(&array, lfirst(cell));
	jsonb_push_json(&message, "samples", JsonbValueToJsonb(jsonb_push(&array, WJB_END_ARRAY, NULL)));
	json = JsonbValueToJsonb(jsonb_push(&message, WJB_END_OBJECT, NULL));
	jsonb_push_text(state, "method", "POST");
	jsonb_push_text(state, "type", "application/json");
	jsonb_push_text(state, "body", JsonbToCString(NULL, &json->root, VARSIZE(json)));
}

static Jsonb *
alert_metadata(const Rule *rule)
{
	JsonbBuilder state = {0};

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&state, "alert", rule->name);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

/* The message as a job of the rule's owner */
static void
enqueue_message(const Rule *rule, List *subjects, List *samples, bool recovery)
{
	JsonbBuilder state = {0};
	Job			job = {0};
	const char *function;

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	if (strcmp(rule->kind, "slack") == 0)
	{
		job.kind = JOB_SLACK;
		function = SLACK_FUNCTION;
		push_slack(&state, rule, subjects, samples, recovery);
	}
	else if (strcmp(rule->kind, "email") == 0)
	{
		job.kind = JOB_EMAIL;
		function = EMAIL_FUNCTION;
		push_mail(&state, rule, subjects, samples, recovery);
	}
	else
	{
		job.kind = JOB_HTTP;
		function = HTTP_FUNCTION;
		push_http(&state, rule, subjects, samples, recovery);
	}
	if (rule->endpoint != NULL)
		endpoint_push(&state, rule->endpoint, rule->endpoint_owner, rule->owner);
	job.args = JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
	job.owner = rule->owner;
	job.function = cstring_to_text(function);
	job.queue = cstring_to_text(DEFAULT_QUEUE);
	job.run_at = GetCurrentTransactionStartTimestamp();
	job.scheduled_for = NO_TIME;
	job.discard_at = NO_TIME;
	job.metadata = alert_metadata(rule);
	job.limits_key = job_limits_key(function, DEFAULT_QUEUE);
	(void) job_insert(&job);
}

/* ------------------------------------------------------------------------
 * One rule
 * ------------------------------------------------------------------------ */

/* The last of the events about a subject that are no recovery; DT_NOBEGIN: none */
static TimestampTz
last_trouble(List *troubles, const char *name)
{
	TimestampTz last = DT_NOBEGIN;
	ListCell   *cell;

	foreach(cell, troubles)
	{
		Subject    *subject = lfirst(cell);

		if (subject->kind != STATE_SUCCEEDED && strcmp(subject->name, name) == 0)
			last = Max(last, subject->last);
	}
	return last;
}

/* Remember what is failing, or that it is not any more; true: that is news */
static bool
set_failing(const Rule *rule, const char *subject, bool failing)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(rule->id), CStringGetTextDatum(subject)};

	if (failing)
		return own_sql_run("INSERT INTO defer.alert_failing (alert_id, subject) VALUES ($1, $2)"
						   " ON CONFLICT (alert_id, subject) DO NOTHING",
						   2, types, values, NULL, SPI_OK_INSERT) > 0;
	return own_sql_run("DELETE FROM defer.alert_failing f WHERE f.alert_id OPERATOR(pg_catalog.=) $1"
					   " AND f.subject OPERATOR(pg_catalog.=) $2",
					   2, types, values, NULL, SPI_OK_DELETE) > 0;
}

static void
forget_events(const Rule *rule)
{
	Oid			type = INT4OID;
	Datum		id = Int32GetDatum(rule->id);

	(void) own_sql_run("DELETE FROM defer.alert_event v WHERE v.alert_id OPERATOR(pg_catalog.=) $1",
					   1, &type, &id, NULL, SPI_OK_DELETE);
	(void) own_sql_run("UPDATE defer.alert a SET last_sent_at = pg_catalog.now() WHERE a.id OPERATOR(pg_catalog.=) $1",
					   1, &type, &id, NULL, SPI_OK_UPDATE);
}

/*
 * Can messages go where they are to go?  The endpoint may have been dropped since
 * the rule was made, and made again, as one of another kind.
 */
static bool
check_endpoint(const Rule *rule)
{
	if (rule->kind == NULL)
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("alert \"%s\" of role with OID %u is not sent: its endpoint \"%s\" does not exist",
						rule->name, rule->owner, rule->endpoint)));
	else if (strcmp(rule->kind, "email") == 0 && rule->recipients == (Datum) 0)
		ereport(WARNING,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("alert \"%s\" of role with OID %u is not sent: its endpoint \"%s\" is of kind email now, and the alert has no recipients",
						rule->name, rule->owner, rule->endpoint),
				 errhint("Name recipients with defer.alert(), or another endpoint.")));
	else
		return true;
	return false;
}

/* All events of a rule, as one message, and one about what has recovered */
static void
send_rule(const Rule *rule)
{
	int64		total;
	List	   *troubles = read_subjects(rule, false, &total);
	List	   *recovered = NIL;
	bool		changed = false;
	ListCell   *cell;

	if (!check_endpoint(rule))
	{
		forget_events(rule);
		return;
	}
	foreach(cell, read_subjects(rule, true, &total))
	{
		Subject    *subject = lfirst(cell);

		/* it has failed again since: who has noted the success must note the next one, too */
		changed = true;
		if (subject->last > last_trouble(troubles, subject->name) &&
			set_failing(rule, subject->name, false))
			recovered = lappend(recovered, subject);
	}
	foreach(cell, troubles)
	{
		Subject    *subject = lfirst(cell);

		if (subject->kind != STATE_SUCCEEDED && rule->recovered &&
			last_trouble(recovered, subject->name) == DT_NOBEGIN)
			changed = set_failing(rule, subject->name, true) || changed;
	}
	if (troubles != NIL)
		enqueue_message(rule, troubles, read_samples(rule), false);
	if (recovered != NIL && rule->recovered)
		enqueue_message(rule, recovered, NIL, true);
	forget_events(rule);
	if (changed)
		alert_rules_changed();
}

/* ------------------------------------------------------------------------
 * Conditions
 * ------------------------------------------------------------------------ */

static bool
is_failing(const Rule *rule, const char *subject)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(rule->id), CStringGetTextDatum(subject)};

	return own_sql_run("SELECT 1 FROM defer.alert_failing f WHERE f.alert_id OPERATOR(pg_catalog.=) $1"
					   " AND f.subject OPERATOR(pg_catalog.=) $2"
					   " UNION ALL SELECT 1 FROM defer.alert_event v WHERE v.alert_id OPERATOR(pg_catalog.=) $1"
					   " AND v.subject OPERATOR(pg_catalog.=) $2 AND v.kind OPERATOR(pg_catalog.<>) 'r'",
					   2, types, values, NULL, SPI_OK_SELECT) > 0;
}

/* A condition holds (message), or does not (NULL): an event if that is news */
static void
note_condition(const Rule *rule, char kind, const char *subject, const char *message)
{
	bool		failing = is_failing(rule, subject);

	if (message != NULL && !failing)
	{
		/* without a word of recovery it is news each time it comes */
		alert_event_insert(rule->id, kind, subject, 0, message);
		(void) set_failing(rule, subject, true);
		alert_rules_changed();
	}
	else if (message == NULL && failing)
	{
		if (rule->recovered)
			alert_event_insert(rule->id, EVENT_RECOVERED, subject, 0, "not any more");
		else if (set_failing(rule, subject, false))
			alert_rules_changed();
	}
}

/* Does shared memory know of a ready job that old, of a role that the owner may manage? */
static bool
may_be_late(const Rule *rule, TimestampTz now)
{
	ReadyQueueChoice *rqs;
	int			n = ready_queues_of_database(MyDatabaseId, &rqs);

	for (int i = 0; i < n; i++)
	{
		if (rqs[i].min_key.run_at <= now - rule->backlog && has_privs_of_role(rule->owner, rqs[i].owner))
			return true;
	}
	/* of those without a slot nothing is known but that there are some */
	return ready_queues_overflow(MyDatabaseId, now - rule->backlog);
}

static void
check_backlog(const Rule *rule, TimestampTz now)
{
	Oid			types[] = {TIMESTAMPTZOID, OIDOID};
	Datum		values[] = {TimestampTzGetDatum(now - rule->backlog), ObjectIdGetDatum(rule->owner)};
	char	   *message = NULL;

	if (may_be_late(rule, now) &&
		own_sql_run("SELECT pg_catalog.count(*), pg_catalog.min(j.run_at) FROM defer.job j"
					" LEFT JOIN defer.function f ON f.signature OPERATOR(pg_catalog.=) j.function"
					" LEFT JOIN defer.queue q ON q.name OPERATOR(pg_catalog.=) j.queue"
					" WHERE j.claim IS NULL AND j.run_at OPERATOR(pg_catalog.<=) $1"
					" AND f.paused IS NOT TRUE AND q.paused IS NOT TRUE"
					" AND pg_catalog.pg_has_role($2, j.owner::pg_catalog.oid, 'USAGE')",
					2, types, values, NULL, SPI_OK_SELECT) == 1 &&
		DatumGetInt64(value(0, 1)) > 0)
		message = psprintf(INT64_FORMAT " jobs are ready and have waited for longer than %g s, the oldest since %s",
						   DatumGetInt64(value(0, 1)), rule->backlog / 1000000.0,
						   timestamptz_to_str(DatumGetTimestampTz(value(0, 2))));
	note_condition(rule, EVENT_BACKLOG, BACKLOG_SUBJECT, message);
}

/* Returns when to look again */
static TimestampTz
check_conditions(List *rule_list, TimestampTz now)
{
	TimestampTz again = DT_NOEND;
	ListCell   *cell;

	foreach(cell, rule_list)
	{
		Rule	   *rule = lfirst(cell);

		if (rule->backlog >= 0)
		{
			check_backlog(rule, now);
			again = Min(again, now + Min(Max(rule->backlog / 4, CHECK_MIN), CHECK_MAX));
		}
		if (rule->workers)
		{
			note_condition(rule, EVENT_WORKERS, WORKERS_SUBJECT,
						   my_database->no_slots ? "no background worker is free to run jobs" : NULL);
			again = Min(again, now + (my_database->no_slots ? CHECK_MIN * 5 : CHECK_MAX));
		}
	}
	return again;
}

/* ------------------------------------------------------------------------
 * The task
 * ------------------------------------------------------------------------ */

/* A transaction in which all statements see the same events */
static void
begin(OwnSql *own)
{
	own_transaction_begin_at(XACT_REPEATABLE_READ);
	own_sql_begin(own);
	SPI_connect();
}

static void
end(OwnSql *own)
{
	SPI_finish();
	own_sql_end(own);
	own_transaction_end();
}

TimestampTz
alerts_maintain(TimestampTz now)
{
	static TimestampTz conditions_due = 0;
	TimestampTz again = DT_NOEND;
	OwnSql		own;
	List	   *rule_list;
	ListCell   *cell;

	begin(&own);
	rule_list = read_rules();
	if (conditions_due <= now || conditions_due > now + CHECK_MAX)
		conditions_due = check_conditions(rule_list, now);
	foreach(cell, rule_list)
	{
		Rule	   *rule = lfirst(cell);

		if (rule->first == DT_NOEND)
			continue;
		if (rule->first + rule->window <= now)
			send_rule(rule);
		else
			again = Min(again, rule->first + rule->window);
	}
	end(&own);
	if (rule_list != NIL)
		again = Min(again, conditions_due);
	return again == DT_NOEND ? DT_NOEND : Max(again, now + SCAN_PAUSE);
}
