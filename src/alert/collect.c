/*
 * collect.c
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
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/job_state.h"
#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "alert/alert.h"
#include "alert/rule.h"
#include "table/alert_event.h"

/* Events are looked at no more often than this, however many there are */
#define SCAN_PAUSE		(200 * 1000)

/* A rule whose messages could not be made is tried again after this */
#define SEND_AGAIN	USECS_PER_MINUTE

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

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
		AlertRule  *rule = palloc0(sizeof(AlertRule));

		rule->id = DatumGetInt32(spi_value(i, 1));
		rule->name = text_value(i, 2);
		rule->owner = DatumGetObjectId(spi_value(i, 3));
		rule->endpoint = text_value(i, 4);
		rule->kind = text_value(i, 5);
		rule->recipients = spi_is_null(i, 6) ? (Datum) 0 : spi_value(i, 6);
		rule->window = setting_interval("group_window", DatumGetIntervalP(spi_value(i, 7)));
		rule->recovered = DatumGetBool(spi_value(i, 8));
		rule->show_args = DatumGetBool(spi_value(i, 9));
		rule->backlog = spi_is_null(i, 10) ? -1 :
			setting_interval("backlog", DatumGetIntervalP(spi_value(i, 10)));
		rule->workers = DatumGetBool(spi_value(i, 11));
		rule->first = spi_is_null(i, 12) ? DT_NOEND : DatumGetTimestampTz(spi_value(i, 12));
		rule->endpoint_owner = spi_is_null(i, 13) ? InvalidOid : DatumGetObjectId(spi_value(i, 13));
		list = lappend(list, rule);
	}
	return list;
}

/* Subjects of recovery, or all others, the most frequent first; *total: events */
static List *
read_subjects(const AlertRule *rule, bool recovery, int64 *total)
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

/* The last of the events about a subject that are no recovery; DT_NOBEGIN: none */
static TimestampTz
last_trouble(List *troubles, const char *name)
{
	TimestampTz last = DT_NOBEGIN;
	ListCell   *cell;

	foreach(cell, troubles)
	{
		AlertSubject *subject = lfirst(cell);

		if (subject->kind != STATE_SUCCEEDED && strcmp(subject->name, name) == 0)
			last = Max(last, subject->last);
	}
	return last;
}

static void
forget_events(const AlertRule *rule)
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

/* All events of a rule, as one message, and one about what has recovered */
static void
send_rule(const AlertRule *rule)
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
		AlertSubject *subject = lfirst(cell);

		/*
		 * it has failed again since: who has noted the success must note the
		 * next one, too
		 */
		changed = true;
		if (subject->last > last_trouble(troubles, subject->name) &&
			alert_set_failing(rule, subject->name, false))
			recovered = lappend(recovered, subject);
	}
	foreach(cell, troubles)
	{
		AlertSubject *subject = lfirst(cell);

		if (subject->kind != STATE_SUCCEEDED && rule->recovered &&
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

/* ------------------------------------------------------------------------
 * The task
 * ------------------------------------------------------------------------ */

/*
 * Send what a rule has, in a subtransaction.  If that fails it is reported, and
 * holds up the rules of no other role.  Returns after how long to try again, in
 * microseconds; 0: it is sent.
 */
static int64
try_send_rule(const AlertRule *rule)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile int64 again = 0;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		send_rule(rule);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();

		/* not the rule's fault: the process is to exit, or a table is locked */
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
			error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			ReThrowError(error);
		if (error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE)
			again = SCAN_PAUSE;		/* another session has just changed the alert */
		else
		{
			again = SEND_AGAIN;
			ereport(LOG,
					(errcode(error->sqlerrcode),
					 errmsg("alert \"%s\" could not be sent: %s", rule->name, error->message),
					 errhint("It is tried again in a minute.")));
		}
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return again;
}

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
		conditions_due = alert_conditions_check(rule_list, now);
	foreach(cell, rule_list)
	{
		AlertRule  *rule = lfirst(cell);

		if (rule->first == DT_NOEND)
			continue;
		if (rule->first + rule->window <= now)
		{
			const int64 wait = try_send_rule(rule);

			if (wait > 0)
				again = Min(again, now + wait);
		}
		else
			again = Min(again, rule->first + rule->window);
	}
	end(&own);
	if (rule_list != NIL)
		again = Min(again, conditions_due);
	return again == DT_NOEND ? DT_NOEND : Max(again, now + SCAN_PAUSE);
}
