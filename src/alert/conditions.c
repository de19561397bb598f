/*
 * conditions.c
 *		What alerts are about and no job's end tells of: steps that wait for long, backlog,
 *		missing workers.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/own_sql.h"
#include "shmem/databases.h"
#include "shmem/ready_queue.h"
#include "alert/alert.h"
#include "table/alert_event.h"
#include "alert/rule.h"

/* Steps that wait and are looked at at once */
#define WAITS_PART	1000

/* Remember whether the condition fails.  Return true if that is news */
bool
alert_set_failing(const AlertRule *rule, const char *subject, bool failing)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(rule->id), CStringGetTextDatum(subject)};

	if (failing)
		return own_sql_run("INSERT INTO defer.alert_failing (alert_id, subject) SELECT $1, $2"
						   " WHERE NOT EXISTS (SELECT FROM defer.alert_failing f"
						   " WHERE f.alert_id OPERATOR(pg_catalog.=) $1"
						   " AND f.subject OPERATOR(pg_catalog.=) $2)",
						   2, types, values, NULL, SPI_OK_INSERT) > 0;
	return own_sql_run("DELETE FROM defer.alert_failing f WHERE f.alert_id OPERATOR(pg_catalog.=) $1"
					   " AND f.subject OPERATOR(pg_catalog.=) $2",
					   2, types, values, NULL, SPI_OK_DELETE) > 0;
}

static bool
is_failing(const AlertRule *rule, const char *subject)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(rule->id), CStringGetTextDatum(subject)};

	return own_sql_run("SELECT 1 FROM defer.alert_failing f WHERE f.alert_id OPERATOR(pg_catalog.=) $1"
					   " AND f.subject OPERATOR(pg_catalog.=) $2"
					   " UNION ALL SELECT 1 FROM defer.alert_event v WHERE v.alert_id OPERATOR(pg_catalog.=) $1"
					   " AND v.subject OPERATOR(pg_catalog.=) $2 AND v.kind OPERATOR(pg_catalog.<>) 'r'",
					   2, types, values, NULL, SPI_OK_SELECT) > 0;
}

/* Check whether the last event about a subject is its recovery */
static bool
recovery_waits(const AlertRule *rule, const char *subject)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(rule->id), CStringGetTextDatum(subject)};

	return own_sql_run("SELECT v.kind FROM defer.alert_event v WHERE v.alert_id OPERATOR(pg_catalog.=) $1"
					   " AND v.subject OPERATOR(pg_catalog.=) $2 ORDER BY v.at DESC LIMIT 1",
					   2, types, values, NULL, SPI_OK_SELECT) > 0 &&
		DatumGetChar(spi_value(0, 1)) == EVENT_RECOVERED;
}

/* A condition holds (message), or does not (NULL): an event if that is news */
static void
note_condition(const AlertRule *rule, char kind, const char *subject, const char *message)
{
	bool		failing = is_failing(rule, subject);

	if (message != NULL && !failing)
	{
		/* without a word of recovery it is news each time it comes */
		alert_event_insert(rule->id, kind, subject, 0, message);
		(void) alert_set_failing(rule, subject, true);
		alert_rules_changed();
	}
	else if (message == NULL && failing)
	{
		if (rule->recovered && recovery_waits(rule, subject))
			return;
		if (rule->recovered)
			alert_event_insert(rule->id, EVENT_RECOVERED, subject, 0, "not any more");
		else if (alert_set_failing(rule, subject, false))
			alert_rules_changed();
	}
}

/*
 * Check whether shared memory knows of a ready job that is old, of a role that
 * the owner may manage
 */
static bool
may_be_late(const AlertRule *rule, TimestampTz now)
{
	ReadySummary *summaries;
	int			n = ready_summaries(MyDatabaseId, now, true, &summaries);

	for (int i = 0; i < n; i++)
	{
		if (summaries[i].oldest <= now - rule->backlog &&
			has_privs_of_role(rule->owner, summaries[i].owner))
			return true;
	}
	/* of those without a slot nothing is known but that there are some */
	return ready_queues_overflow(MyDatabaseId, now - rule->backlog);
}

static void
check_backlog(const AlertRule *rule, TimestampTz now)
{
	Oid			types[] = {TIMESTAMPTZOID, OIDOID};
	Datum		values[] = {TimestampTzGetDatum(now - rule->backlog),
		ObjectIdGetDatum(rule->owner)};
	char	   *message = NULL;

	if (may_be_late(rule, now) &&
		own_sql_run("SELECT pg_catalog.count(*), pg_catalog.min(j.run_at) FROM defer.job j"
					" LEFT JOIN defer.function f ON f.signature OPERATOR(pg_catalog.=) j.function"
					" LEFT JOIN defer.queue q ON q.name OPERATOR(pg_catalog.=) j.queue"
					" WHERE j.claim IS NULL AND j.run_at OPERATOR(pg_catalog.<=) $1"
					" AND f.paused IS NOT TRUE AND q.paused IS NOT TRUE"
					" AND pg_catalog.pg_has_role($2, j.owner::pg_catalog.oid, 'USAGE')",
					2, types, values, NULL, SPI_OK_SELECT) == 1 &&
		DatumGetInt64(spi_value(0, 1)) > 0)
		message = psprintf(INT64_FORMAT " jobs are ready and have waited for longer than %g s, the oldest since %s",
						   DatumGetInt64(spi_value(0, 1)), rule->backlog / 1000000.0,
						   timestamptz_to_str(DatumGetTimestampTz(spi_value(0, 2))));
	note_condition(rule, EVENT_BACKLOG, BACKLOG_SUBJECT, message);
}

/*
 * Steps that have waited since a time, by that, of each role that the rule's owner may manage;
 * each is read once for a rule, whether it is about it or not.  The index has only those that
 * wait.
 */
static const char *const waits_sql =
"WITH RECURSIVE o AS ((SELECT s.owner::pg_catalog.oid AS owner FROM defer.step s WHERE s.waits_since IS NOT NULL"
" ORDER BY s.owner LIMIT 1) UNION ALL SELECT (SELECT s.owner::pg_catalog.oid FROM defer.step s"
" WHERE s.waits_since IS NOT NULL AND s.owner OPERATOR(pg_catalog.>) o.owner ORDER BY s.owner LIMIT 1)"
" FROM o WHERE o.owner IS NOT NULL)"
" SELECT x.job_id, x.waits_since, j.function, pg_catalog.format('step %%L has waited since %%s for %%s', x.name,"
" pg_catalog.date_trunc('second', x.waits_since), CASE x.kind WHEN 'e' THEN pg_catalog.format('event %%L', x.awaits)"
" WHEN 'a' THEN x.awaits WHEN 'h' THEN 'request ' OPERATOR(pg_catalog.||) x.awaits"
" ELSE 'job ' OPERATOR(pg_catalog.||) x.awaits END)"
" FROM (SELECT w.* FROM o CROSS JOIN LATERAL (SELECT s.* FROM defer.step s"
" WHERE s.owner OPERATOR(pg_catalog.=) o.owner AND s.waits_since IS NOT NULL"
" AND s.waits_since OPERATOR(pg_catalog.>) $1 AND s.waits_since OPERATOR(pg_catalog.<=) $2"
" ORDER BY s.waits_since FETCH FIRST %d ROWS WITH TIES) w WHERE pg_catalog.pg_has_role($3, o.owner, 'USAGE')"
" ORDER BY w.waits_since FETCH FIRST %d ROWS WITH TIES) x"
" LEFT JOIN defer.job j ON j.id OPERATOR(pg_catalog.=) x.job_id AND ($4 IS NULL OR j.function OPERATOR(pg_catalog.=) $4)"
" ORDER BY x.waits_since";

/* Record steps that have waited for long.  Returns whether there may be more */
static bool
check_waits(const AlertRule *rule, TimestampTz now)
{
	Oid			types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, OIDOID, TEXTOID};
	Datum		values[] = {TimestampTzGetDatum(rule->waits_told),
		TimestampTzGetDatum(now - rule->step_waits), ObjectIdGetDatum(rule->owner),
	rule->function == NULL ? (Datum) 0 : CStringGetTextDatum(rule->function)};
	const char	nulls[] = {' ', ' ', ' ', rule->function == NULL ? 'n' : ' ', '\0'};
	uint64		n = own_sql_run(psprintf(waits_sql, WAITS_PART, WAITS_PART), lengthof(types), types,
								values, nulls, SPI_OK_SELECT);
	SPITupleTable *rows = SPI_tuptable;
	Oid			told_types[] = {INT4OID, TIMESTAMPTZOID};
	Datum		told[] = {Int32GetDatum(rule->id), (Datum) 0};

	if (n == 0 || !alert_rule_lock(rule))
		return false;			/* in a while again */
	for (uint64 i = 0; i < n; i++)
	{
		char	   *function = SPI_getvalue(rows->vals[i], rows->tupdesc, 3);
		bool		isnull;
		Datum		job_id = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);

		CHECK_FOR_INTERRUPTS();
		told[1] = SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull);
		if (function != NULL)	/* else the job has ended, or is another's */
			alert_event_insert(rule->id, EVENT_WAITS, function, DatumGetInt64(job_id),
							   SPI_getvalue(rows->vals[i], rows->tupdesc, 4));
	}
	(void) own_sql_run("UPDATE defer.alert a SET waits_told = $2 WHERE a.id OPERATOR(pg_catalog.=) $1",
					   lengthof(told_types), told_types, told, NULL, SPI_OK_UPDATE);
	return n >= WAITS_PART;
}

TimestampTz
alert_conditions_check(const AlertRule *rule, TimestampTz now)
{
	TimestampTz again = DT_NOEND;

	if (rule->backlog >= 0)
	{
		check_backlog(rule, now);
		again = Min(again, now + Min(Max(rule->backlog / 4, CHECK_MIN), CHECK_MAX));
	}
	if (rule->step_waits >= 0)
	{
		if (check_waits(rule, now))
			return now;
		again = Min(again, now + Min(Max(rule->step_waits / 4, CHECK_MIN), CHECK_MAX));
	}
	if (rule->workers)
	{
		note_condition(rule, EVENT_WORKERS, WORKERS_SUBJECT,
					   my_database->no_slots ? "no background worker is free to run jobs" : NULL);
		again = Min(again, now + (my_database->no_slots ? CHECK_MIN * 5 : CHECK_MAX));
	}
	return again;
}
