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
#include "utils/builtins.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "report/why.h"

PG_FUNCTION_INFO_V1(defer_waiting_for);
PG_FUNCTION_INFO_V1(defer_why);

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
	found = run_plan(&plan, "SELECT j.owner, j.function, j.queue, j.kind, j.run_at, j.claim IS NOT NULL,"
					 " j.attempt, j.suspect, COALESCE(j.schedule_id, 0), j.xmax, j.error, j.xmin FROM defer.job j"
					 " WHERE j.id OPERATOR(pg_catalog.=) $1 AND (j.claim IS NULL OR NOT EXISTS"
					 " (SELECT FROM defer.job_history h WHERE h.id OPERATOR(pg_catalog.=) $1))",
					 id, as_of_now) > 0;
	if (found)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext spi = MemoryContextSwitchTo(context);
		bool		isnull;
		Datum		error = SPI_getbinval(tuple, desc, 11, &isnull);

		job->id = id;
		job->error = isnull ? NULL : TextDatumGetCString(error);
		job->owner = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
		job->function = TextDatumGetCString(SPI_getbinval(tuple, desc, 2, &isnull));
		job->queue = TextDatumGetCString(SPI_getbinval(tuple, desc, 3, &isnull));
		job->kind = DatumGetChar(SPI_getbinval(tuple, desc, 4, &isnull));
		job->run_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 5, &isnull));
		job->claimed = DatumGetBool(SPI_getbinval(tuple, desc, 6, &isnull));
		job->attempt = DatumGetInt32(SPI_getbinval(tuple, desc, 7, &isnull));
		job->suspect = DatumGetInt16(SPI_getbinval(tuple, desc, 8, &isnull));
		job->schedule_id = DatumGetInt64(SPI_getbinval(tuple, desc, 9, &isnull));
		job->locker = DatumGetTransactionId(SPI_getbinval(tuple, desc, 10, &isnull));
		job->writer = DatumGetTransactionId(SPI_getbinval(tuple, desc, 12, &isnull));
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	own_sql_end(&own);
	return found;
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
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("job " INT64_FORMAT " does not exist", id),
				 errhint("Jobs that have finished are removed after defer.retention; those of other roles are not shown.")));
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
