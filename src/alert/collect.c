/*
 * collect.c
 *		Making messages of the events that alerts are about.
 *
 * The events of a rule are collected for its group_window, from the first one
 * on; then they become one message, which is a delivery like any other, and are
 * deleted, in one transaction.  Functions that are failing are remembered until a
 * message can say that they have recovered.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/job_state.h"
#include "base/own_sql.h"
#include "alert/alert.h"
#include "alert/rule.h"
#include "table/alert_event.h"

/* Events of one message: those after them are in the next */
#define EVENTS_MAX	"50000"

/* Longer intervals than this are none that defer.alert() allows */
#define INTERVAL_MAX	((double) 100 * 365.25 * USECS_PER_DAY)

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

static char *
text_value(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/*
 * Return microseconds.  A row that no user could write with defer.alert() is
 * no error
 */
static int64
interval_usecs(Datum value)
{
	const Interval *i = DatumGetIntervalP(value);
	double		usecs = ((double) i->month * DAYS_PER_MONTH + i->day) * USECS_PER_DAY + i->time;

	return (int64) Min(Max(usecs, 0), INTERVAL_MAX);
}

List *
alert_rules_read(void)
{
	List	   *list = NIL;
	uint64		n;

	n = own_sql_run("SELECT a.id, a.name, a.owner, a.endpoint,"
					" CASE WHEN a.endpoint IS NULL THEN 'email' ELSE e.kind END, a.recipients, a.group_window,"
					" a.recovered, a.show_args, a.backlog, a.workers,"
					" (SELECT pg_catalog.min(v.at) FROM defer.alert_event v WHERE v.alert_id OPERATOR(pg_catalog.=) a.id)"
					", a.endpoint_owner, e.created_at, a.step_waits, a.waits_told, a.function"
					" FROM defer.alert a LEFT JOIN defer.endpoint e ON e.name OPERATOR(pg_catalog.=) a.endpoint"
					" AND e.owner OPERATOR(pg_catalog.=) a.endpoint_owner",
					0, NULL, NULL, NULL, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
	{
		AlertRule  *rule = palloc0(sizeof(AlertRule));

		rule->id = DatumGetInt32(spi_value(i, 1));
		rule->name = text_value(i, 2);
		rule->owner = DatumGetObjectId(spi_value(i, 3));
		rule->endpoint = text_value(i, 4);
		rule->kind = text_value(i, 5);
		rule->recipients = spi_is_null(i, 6) ? (Datum) 0 : spi_value(i, 6);
		rule->window = interval_usecs(spi_value(i, 7));
		rule->recovered = DatumGetBool(spi_value(i, 8));
		rule->show_args = DatumGetBool(spi_value(i, 9));
		rule->backlog = spi_is_null(i, 10) ? -1 : interval_usecs(spi_value(i, 10));
		rule->workers = DatumGetBool(spi_value(i, 11));
		rule->first = spi_is_null(i, 12) ? DT_NOEND : DatumGetTimestampTz(spi_value(i, 12));
		rule->endpoint_owner = spi_is_null(i, 13) ? InvalidOid : DatumGetObjectId(spi_value(i, 13));
		rule->endpoint_created_at = spi_is_null(i, 14) ? 0 : DatumGetTimestampTz(spi_value(i, 14));
		rule->step_waits = spi_is_null(i, 15) ? -1 : interval_usecs(spi_value(i, 15));
		rule->waits_told = DatumGetTimestampTz(spi_value(i, 16));
		rule->function = text_value(i, 17);
		list = lappend(list, rule);
	}
	return list;
}

/* Subjects of recovery, or all others, the most frequent first; *total: events */
static List *
read_subjects(const AlertRule *rule, bool recovery, int64 *total)
{
	Oid			types[] = {INT4OID, BOOLOID, TIMESTAMPTZOID};
	Datum		values[] = {Int32GetDatum(rule->id), BoolGetDatum(recovery),
		TimestampTzGetDatum(rule->until)};
	List	   *list = NIL;
	uint64		n;

	n = own_sql_run("SELECT v.kind, v.subject, pg_catalog.count(*),"
					" (pg_catalog.array_agg(v.message ORDER BY v.at DESC))[1], pg_catalog.max(v.at)"
					" FROM defer.alert_event v WHERE v.alert_id OPERATOR(pg_catalog.=) $1"
					" AND (v.kind OPERATOR(pg_catalog.=) 'r') OPERATOR(pg_catalog.=) $2"
					" AND v.at OPERATOR(pg_catalog.<=) $3"
					" GROUP BY 1, 2 ORDER BY 3 DESC, 2",
					3, types, values, NULL, SPI_OK_SELECT);
	*total = 0;
	for (int i = 0; i < n; i++)
	{
		AlertSubject *subject = palloc0(sizeof(AlertSubject));

		subject->kind = DatumGetChar(spi_value(i, 1));
		subject->name = text_value(i, 2);
		subject->count = DatumGetInt64(spi_value(i, 3));
		subject->message = text_value(i, 4);
		subject->last = DatumGetTimestampTz(spi_value(i, 5));
		*total += subject->count;
		list = lappend(list, subject);
	}
	return list;
}

/* The first jobs that the events are about */
static List *
read_samples(const AlertRule *rule)
{
	Oid			type = INT4OID;
	Datum		id = Int32GetDatum(rule->id);
	List	   *list = NIL;
	uint64		n;

	n = own_sql_run("SELECT v.job_id, v.kind, v.subject, pg_catalog.left(COALESCE(h.args, w.args)::pg_catalog.text, 1000),"
					" CASE WHEN v.kind OPERATOR(pg_catalog.=) 'e' THEN v.message ELSE COALESCE(h.error, w.error) END,"
					" CASE WHEN v.kind OPERATOR(pg_catalog.<>) 'e' THEN COALESCE(h.sqlstate, w.sqlstate) END, COALESCE(h.attempt, w.attempt),"
					" EXTRACT(epoch FROM (h.finished_at OPERATOR(pg_catalog.-) h.started_at))::pg_catalog.float8"
					" OPERATOR(pg_catalog.+) COALESCE(h.earlier_time, 0)::pg_catalog.float8 OPERATOR(pg_catalog./) 1000000"
					" FROM (SELECT e.job_id, e.kind, e.subject, e.at, e.message FROM defer.alert_event e"
					"  WHERE e.alert_id OPERATOR(pg_catalog.=) $1 AND e.job_id IS NOT NULL"
					"  AND e.kind OPERATOR(pg_catalog.<>) 'r' ORDER BY e.at, e.job_id LIMIT 5) v"
					" LEFT JOIN LATERAL (SELECT j.* FROM defer.job_history j WHERE j.id OPERATOR(pg_catalog.=) v.job_id"
					"  AND j.finished_at OPERATOR(pg_catalog.>=) (v.at OPERATOR(pg_catalog.-) '1 hour'::pg_catalog.interval)"
					"  AND j.finished_at OPERATOR(pg_catalog.<=) (v.at OPERATOR(pg_catalog.+) '1 hour'::pg_catalog.interval)) h"
					" ON true LEFT JOIN defer.job w ON w.id OPERATOR(pg_catalog.=) v.job_id"
					" AND v.kind OPERATOR(pg_catalog.=) ANY ('{t,e}'::pg_catalog.\"char\"[]) ORDER BY v.at, v.job_id",
					1, &type, &id, NULL, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
	{
		AlertSample *sample = palloc0(sizeof(AlertSample));

		sample->job_id = DatumGetInt64(spi_value(i, 1));
		sample->kind = DatumGetChar(spi_value(i, 2));
		sample->function = text_value(i, 3);
		sample->args = rule->show_args ? alert_clipped(text_value(i, 4), ARGS_MAX) : NULL;
		sample->error = alert_clipped(text_value(i, 5), ERROR_MAX);
		sample->sqlstate = text_value(i, 6);
		sample->attempts = spi_is_null(i, 7) ? 0 : DatumGetInt32(spi_value(i, 7));
		sample->seconds = spi_is_null(i, 8) ? -1 : DatumGetFloat8(spi_value(i, 8));
		list = lappend(list, sample);
	}
	return list;
}

/* ------------------------------------------------------------------------
 * One rule
 * ------------------------------------------------------------------------ */

/* Check whether events say that their subject fails, which a step that waits does not say */
static bool
is_failure(const AlertSubject *subject)
{
	return subject->kind != STATE_SUCCEEDED && subject->kind != EVENT_WAITS;
}

/* The last of the events that a subject fails; DT_NOBEGIN: none */
static TimestampTz
last_trouble(List *troubles, const char *name)
{
	TimestampTz last = DT_NOBEGIN;
	ListCell   *cell;

	foreach(cell, troubles)
	{
		AlertSubject *subject = lfirst(cell);

		if (is_failure(subject) && strcmp(subject->name, name) == 0)
			last = Max(last, subject->last);
	}
	return last;
}

bool
alert_rule_lock(const AlertRule *rule)
{
	Oid			type = INT4OID;
	Datum		id = Int32GetDatum(rule->id);

	return own_sql_run("SELECT FROM defer.alert a WHERE a.id OPERATOR(pg_catalog.=) $1"
					   " FOR UPDATE SKIP LOCKED", 1, &type, &id, NULL, SPI_OK_SELECT) == 1;
}

static void
forget_events(const AlertRule *rule)
{
	Oid			types[] = {INT4OID, TIMESTAMPTZOID};
	Datum		values[] = {Int32GetDatum(rule->id), TimestampTzGetDatum(rule->until)};

	(void) own_sql_run("DELETE FROM defer.alert_event v WHERE v.alert_id OPERATOR(pg_catalog.=) $1"
					   " AND v.at OPERATOR(pg_catalog.<=) $2",
					   2, types, values, NULL, SPI_OK_DELETE);
	(void) own_sql_run("UPDATE defer.alert a SET last_sent_at = pg_catalog.now() WHERE a.id OPERATOR(pg_catalog.=) $1",
					   1, types, values, NULL, SPI_OK_UPDATE);
}

/*
 * Check that the endpoint of a rule can take its messages.  It may have been
 * dropped since the rule was made, and made again, as one of another kind.
 */
static bool
check_endpoint(const AlertRule *rule)
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

/* Return the time of the last event that goes into the next message */
static TimestampTz
last_event(const AlertRule *rule)
{
	Oid			type = INT4OID;
	Datum		id = Int32GetDatum(rule->id);

	(void) own_sql_run("SELECT pg_catalog.max(v.at) FROM (SELECT e.at FROM defer.alert_event e"
					   " WHERE e.alert_id OPERATOR(pg_catalog.=) $1 ORDER BY e.at LIMIT " EVENTS_MAX ") v",
					   1, &type, &id, NULL, SPI_OK_SELECT);
	return spi_is_null(0, 1) ? DT_NOEND : DatumGetTimestampTz(spi_value(0, 1));
}

/*
 * Make one message of the events of a rule, and one of what has recovered.  What
 * was mended before its failure was sent is in both.
 */
void
alert_rule_send(AlertRule *rule)
{
	int64		total;
	List	   *troubles;
	List	   *recovered = NIL;
	bool		changed = false;
	ListCell   *cell;

	rule->until = last_event(rule);
	if (!check_endpoint(rule))
	{
		forget_events(rule);
		return;
	}
	troubles = read_subjects(rule, false, &total);
	foreach(cell, read_subjects(rule, true, &total))
	{
		AlertSubject *subject = lfirst(cell);
		TimestampTz failed_at = last_trouble(troubles, subject->name);
		bool		was_failing;

		/* it has failed again since: it goes on failing */
		if (subject->last <= failed_at)
			continue;
		was_failing = alert_set_failing(rule, subject->name, false);
		changed = changed || was_failing;
		if (was_failing || failed_at != DT_NOBEGIN)
			recovered = lappend(recovered, subject);
	}

	/*
	 * it is marked, but for a failure that was recorded while a recovery was
	 * sent
	 */
	foreach(cell, troubles)
	{
		AlertSubject *subject = lfirst(cell);

		if (is_failure(subject) && rule->recovered &&
			last_trouble(recovered, subject->name) == DT_NOBEGIN)
			changed = alert_set_failing(rule, subject->name, true) || changed;
	}
	if (troubles != NIL)
		alert_message_enqueue(rule, troubles, read_samples(rule), false);
	if (recovered != NIL && rule->recovered)
		alert_message_enqueue(rule, recovered, NIL, true);
	forget_events(rule);
	if (changed)
		alert_rules_changed();
}
