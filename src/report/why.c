/*
 * why.c
 *		Why a job waits: defer.why(), and defer.waiting_for() for the view
 *		defer.jobs.
 *
 * Both find the same reasons (report/why_reasons.c); the view wants the first one
 * only.  The row is read as the extension's owner, and the caller is asked for by
 * the owner of the job.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/limits_key.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "config/endpoint_settings.h"
#include "report/why.h"
#include "table/job_row.h"

PG_FUNCTION_INFO_V1(defer_waiting_for);
PG_FUNCTION_INFO_V1(defer_why);

/* Jobs that a detail names at most */
#define NAMED_MAX	10

/* ------------------------------------------------------------------------
 * The job
 * ------------------------------------------------------------------------ */

/* Run a prepared statement with the job's id as the extension's owner; in SPI */
static uint64
run_plan(SPIPlanPtr *plan, const char *sql, int64 id, bool as_of_now)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(id);

	if (*plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare(sql, 1, &type);

		if (made == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(made);
		*plan = made;
	}
	if (SPI_execute_plan(*plan, &value, NULL, !as_of_now, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");
	return SPI_processed;
}

/*
 * Read the row of a job that has not ended, as of now or of the query's snapshot.
 * False: there is none
 */
static bool
read_job(int64 id, bool as_of_now, WaitingJob *job)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	OwnSql		own;
	bool		found;

	own_sql_begin(&own);
	SPI_connect();
	found = run_plan(&plan, "SELECT j.owner, j.function, j.queue, j.limits_key, j.run_at, j.claim IS NOT NULL,"
					 " j.attempt, j.suspect, COALESCE(j.schedule_id, 0), j.xmax, j.error, j.xmin, COALESCE(j.behind, 0), j.waits, j.group_key, e.name,"
					 " CASE WHEN e.paused_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() THEN e.paused_until END,"
					 " CASE WHEN e.id IS NOT NULL THEN j.args END, COALESCE(j.order_scope, 0) FROM defer.job j"
					 " LEFT JOIN defer.endpoint e ON j.kind OPERATOR(pg_catalog.=) ANY (ARRAY['h', 's', 'e']::pg_catalog.\"char\"[])"
					 " AND e.name OPERATOR(pg_catalog.=) (j.args OPERATOR(pg_catalog.->>) 'endpoint')"
					 " WHERE j.id OPERATOR(pg_catalog.=) $1 AND (j.claim IS NULL OR NOT EXISTS"
					 " (SELECT FROM defer.job_history h WHERE h.id OPERATOR(pg_catalog.=) $1))",
					 id, as_of_now) > 0;
	if (found)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext spi = MemoryContextSwitchTo(context);
		bool		isnull;
		Datum		waits = SPI_getbinval(tuple, desc, 14, &isnull);
		Datum		error;
		Datum		group;
		Datum		args;

		job->id = id;
		job->waits = isnull ? WAITS_NOTHING : DatumGetChar(waits);
		error = SPI_getbinval(tuple, desc, 11, &isnull);
		job->error = isnull ? NULL : TextDatumGetCString(error);
		job->owner = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
		job->function = TextDatumGetCString(SPI_getbinval(tuple, desc, 2, &isnull));
		job->queue = TextDatumGetCString(SPI_getbinval(tuple, desc, 3, &isnull));
		job->task = LIMITS_KEY_IS_TASK(DatumGetInt64(SPI_getbinval(tuple, desc, 4, &isnull)));
		job->delivery = LIMITS_KEY_IS_DELIVERY(DatumGetInt64(SPI_getbinval(tuple, desc, 4,
																		   &isnull)));
		job->run_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 5, &isnull));
		job->claimed = DatumGetBool(SPI_getbinval(tuple, desc, 6, &isnull));
		job->attempt = DatumGetInt32(SPI_getbinval(tuple, desc, 7, &isnull));
		job->suspect = DatumGetInt16(SPI_getbinval(tuple, desc, 8, &isnull));
		job->schedule_id = DatumGetInt64(SPI_getbinval(tuple, desc, 9, &isnull));
		job->locker = DatumGetTransactionId(SPI_getbinval(tuple, desc, 10, &isnull));
		job->behind = DatumGetInt64(SPI_getbinval(tuple, desc, 13, &isnull));
		job->writer = DatumGetTransactionId(SPI_getbinval(tuple, desc, 12, &isnull));
		group = SPI_getbinval(tuple, desc, 15, &isnull);
		job->group_key = isnull ? NULL : TextDatumGetCString(group);
		job->endpoint = SPI_getvalue(tuple, desc, 16);
		job->paused_until = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 17, &isnull));
		if (isnull)
			job->paused_until = NO_TIME;
		args = SPI_getbinval(tuple, desc, 18, &isnull);
		job->endpoint_id = isnull ? 0 : settings_limited_endpoint(DatumGetJsonbP(args), job->owner);
		job->order_scope = DatumGetInt32(SPI_getbinval(tuple, desc, 19, &isnull));
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	own_sql_end(&own);
	return found;
}

/* Add a job that has to end first, or its batch: id, whether it is held, jobs that are left */
static void
add_earlier(StringInfo list, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	int64		id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	int64		left = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull));

	if (id < 0 && !isnull && left > 0)
		appendStringInfo(list, INT64_FORMAT " of the jobs that job " INT64_FORMAT " has enqueued have not ended",
						 left, -id);
	else if (id < 0)
		appendStringInfo(list, "the batch of job " INT64_FORMAT " is not done", -id);
	else if (DatumGetBool(SPI_getbinval(row, desc, 2, &isnull)))
		appendStringInfo(list, "a rerun of job " INT64_FORMAT " has to succeed", id);
	else
		appendStringInfo(list, "job " INT64_FORMAT " has not ended", id);
}

char *
why_comes_after(const WaitingJob *job)
{
	Oid			types[] = {INT8OID, INT4OID};
	Datum		values[] = {Int64GetDatum(job->id), Int32GetDatum(NAMED_MAX + 1)};
	MemoryContext context = CurrentMemoryContext;
	StringInfoData list;
	OwnSql		own;
	uint64		n;

	initStringInfo(&list);
	own_sql_begin(&own);
	SPI_connect();
	n = own_sql_run("SELECT d.parent_id, d.state IS NOT NULL, (SELECT f.jobs OPERATOR(pg_catalog.-)"
					" (f.succeeded OPERATOR(pg_catalog.+) f.failed OPERATOR(pg_catalog.+) f.cancelled"
					" OPERATOR(pg_catalog.+) f.discarded) FROM defer.fan_out f"
					" WHERE f.id OPERATOR(pg_catalog.=) (OPERATOR(pg_catalog.-) d.parent_id))"
					" FROM defer.dependency d WHERE d.child_id OPERATOR(pg_catalog.=) $1 AND d.open ORDER BY d.ord LIMIT $2",
					lengthof(types), types, values, NULL, SPI_OK_SELECT);
	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < Min(n, NAMED_MAX); i++)
	{
		if (i > 0)
			appendStringInfoString(&list, "; ");
		add_earlier(&list, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	}
	if (n > NAMED_MAX)
		appendStringInfoString(&list, "; and more");
	SPI_finish();
	own_sql_end(&own);
	return n > 0 ? list.data : pstrdup("the jobs that it comes after have just ended");
}

char *
why_step(const WaitingJob *job)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(job->id);
	MemoryContext context = CurrentMemoryContext;
	char	   *sentence = NULL;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("SELECT pg_catalog.format(CASE s.kind WHEN 'z' THEN 'step \"%s\" sleeps'"
					" WHEN 'e' THEN 'step \"%s\" waits for event \"%s\"'"
					" WHEN 'a' THEN 'step \"%s\" waits for %s'"
					" ELSE 'step \"%s\" waits for job %s' END, s.name, s.awaits)"
					" FROM defer.step s WHERE s.job_id OPERATOR(pg_catalog.=) $1"
					" AND s.finished_at IS NULL ORDER BY s.started_at DESC LIMIT 1",
					1, &type, &value, NULL, SPI_OK_SELECT) > 0)
		sentence = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0],
															 SPI_tuptable->tupdesc, 1));
	SPI_finish();
	own_sql_end(&own);
	return sentence != NULL ? sentence : pstrdup("a step waits");
}

void
why_order(const WaitingJob *job, OrderFacts *facts)
{
	static SPIPlanPtr plan = NULL;
	OwnSql		own;

	memset(facts, 0, sizeof(OrderFacts));
	own_sql_begin(&own);
	SPI_connect();
	if (run_plan(&plan, "SELECT h.job_id, h.owner, b.id, b.owner, b.run_at FROM defer.job j"
				 " LEFT JOIN LATERAL (SELECT o.job_id, o.owner FROM defer.group_hold o"
				 " WHERE o.kind OPERATOR(pg_catalog.=) CASE WHEN j.order_scope OPERATOR(pg_catalog.>) 0 THEN 'q' ELSE 'f' END::pg_catalog.\"char\""
				 " AND o.id OPERATOR(pg_catalog.=) pg_catalog.abs(j.order_scope) AND o.group_key OPERATOR(pg_catalog.=) j.group_key"
				 " ORDER BY o.at, o.job_id LIMIT 1) h ON true"
				 " LEFT JOIN LATERAL (SELECT f.id, f.owner, f.run_at FROM defer.job f"
				 " WHERE f.order_scope OPERATOR(pg_catalog.=) j.order_scope"
				 " AND f.group_key COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) j.group_key COLLATE pg_catalog.\"C\""
				 " AND (COALESCE(f.rerun_of, f.id), f.id) OPERATOR(pg_catalog.<) (COALESCE(j.rerun_of, j.id), j.id)"
				 " AND (f.claim IS NULL OR NOT EXISTS (SELECT FROM defer.job_history i WHERE i.id OPERATOR(pg_catalog.=) f.id))"
				 " ORDER BY COALESCE(f.rerun_of, f.id), f.id LIMIT 1) b ON true"
				 " WHERE j.id OPERATOR(pg_catalog.=) $1", job->id, true) > 0)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		/* NULL is 0 */
		facts->held_by = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
		facts->held_owner = DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &isnull));
		facts->first = DatumGetInt64(SPI_getbinval(tuple, desc, 3, &isnull));
		facts->first_owner = DatumGetObjectId(SPI_getbinval(tuple, desc, 4, &isnull));
		facts->first_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 5, &isnull));
	}
	SPI_finish();
	own_sql_end(&own);
}

int64
why_run_before(const WaitingJob *job)
{
	static SPIPlanPtr plan = NULL;
	OwnSql		own;
	int64		id = 0;

	own_sql_begin(&own);
	SPI_connect();
	if (run_plan(&plan, "SELECT o.id FROM defer.job j JOIN defer.job o ON o.schedule_id OPERATOR(pg_catalog.=) j.schedule_id"
				 " WHERE j.id OPERATOR(pg_catalog.=) $1 AND o.id OPERATOR(pg_catalog.<>) $1"
				 " AND (o.run_at OPERATOR(pg_catalog.<) 'infinity' OR o.scheduled_for OPERATOR(pg_catalog.<) j.scheduled_for)"
				 " AND (o.claim IS NULL OR NOT EXISTS"
				 " (SELECT FROM defer.job_history h WHERE h.id OPERATOR(pg_catalog.=) o.id))"
				 " ORDER BY o.run_at, o.scheduled_for, o.id", job->id, true) > 0)
	{
		bool		isnull;

		id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
										 &isnull));
	}
	SPI_finish();
	own_sql_end(&own);
	return id;
}

char *
why_running_of(const char *column, const char *value, const char *group_key, Datum *ids, int n)
{
	Oid			types[] = {INT8ARRAYOID, TEXTOID, TEXTOID};
	Datum		values[3];
	char		nulls[] = {' ', ' ', group_key != NULL ? ' ' : 'n'};
	MemoryContext context = CurrentMemoryContext;
	StringInfoData list;
	SPITupleTable *rows;
	uint64		nrows;
	int			named = 0;
	OwnSql		own;

	values[0] = PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	values[1] = CStringGetTextDatum(value);
	values[2] = group_key != NULL ? CStringGetTextDatum(group_key) : (Datum) 0;
	initStringInfo(&list);
	own_sql_begin(&own);
	SPI_connect();
	nrows = own_sql_run(psprintf("SELECT j.id, j.owner FROM defer.job j WHERE j.id OPERATOR(pg_catalog.=) ANY ($1)"
								 " AND j.%s OPERATOR(pg_catalog.=) $2"
								 " AND ($3 IS NULL OR j.group_key OPERATOR(pg_catalog.=) $3)"
								 " ORDER BY j.id", column),
						lengthof(types), types, values, nulls, SPI_OK_SELECT);
	rows = SPI_tuptable;
	own_sql_end(&own);			/* the caller's role is the one that asks */
	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < nrows && named < NAMED_MAX; i++)
	{
		bool		isnull;

		if (role_may_see(DatumGetObjectId(SPI_getbinval(rows->vals[i], rows->tupdesc, 2,
														&isnull))))
			appendStringInfo(&list, "%s" INT64_FORMAT, named++ == 0 ? ": " : ", ",
							 DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 1,
														 &isnull)));
	}
	SPI_finish();
	return list.data;
}

/* ------------------------------------------------------------------------
 * The functions
 * ------------------------------------------------------------------------ */

/* defer.waiting_for(id): the first reason, NULL: none, or no such job */
Datum
defer_waiting_for(PG_FUNCTION_ARGS)
{
	Reasons		found = {NIL, true};
	WaitingJob	job;

	if (!read_job(PG_GETARG_INT64(0), false, &job) || !role_may_see(job.owner))
		PG_RETURN_NULL();
	why_find(&found, &job);
	if (found.list == NIL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(((Reason *) linitial(found.list))->reason));
}

/* Error unless there is such a job, finished or not, that the caller may see */
static void
check_ended(int64 id)
{
	static SPIPlanPtr plan = NULL;
	Oid			owner = InvalidOid;
	OwnSql		own;
	bool		isnull;
	bool		found;

	own_sql_begin(&own);
	SPI_connect();
	found = run_plan(&plan, "SELECT h.owner FROM defer.job_history h WHERE h.id OPERATOR(pg_catalog.=) $1",
					 id, true) > 0;
	if (found)
		owner = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
											   &isnull));
	SPI_finish();
	own_sql_end(&own);
	if (!found || !role_may_see(owner))
		job_not_found(id);
}

/* defer.why(id) */
Datum
defer_why(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Reasons		found = {NIL, false};
	WaitingJob	job;
	ListCell   *cell;

	require_argument(fcinfo, 0, "id");
	InitMaterializedSRF(fcinfo, 0);
	if (!read_job(PG_GETARG_INT64(0), true, &job) || !role_may_see(job.owner))
		check_ended(PG_GETARG_INT64(0));
	else
		why_find(&found, &job);
	foreach(cell, found.list)
	{
		const Reason *reason = lfirst(cell);
		Datum		values[3];
		bool		nulls[3] = {false, false, reason->until == DT_NOEND};

		values[0] = CStringGetTextDatum(reason->reason);
		values[1] = CStringGetTextDatum(reason->detail);
		values[2] = TimestampTzGetDatum(reason->until);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
