/*
 * inputs.c
 *		What a job can ask about earlier ones: defer.result(), defer.inputs().
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/roles.h"
#include "table/history_table.h"
#include "job/after.h"
#include "job/current_job.h"
#include "job/elsewhere.h"

PG_FUNCTION_INFO_V1(defer_result);
PG_FUNCTION_INFO_V1(defer_inputs);

/* The columns of defer.inputs() */
#define INPUT_COLUMNS	4

/*
 * Run a query about what the current job came after, as the owner of the
 * extension; $1 is the job, $2 an id.
 */
static void
query_inputs(const char *sql, int64 id)
{
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(current_job.job->id), Int64GetDatum(id)};

	(void) own_sql_run(sql, lengthof(types), types, values, NULL, SPI_OK_SELECT);
}

bool
inputs_kept_result(int64 id, Jsonb **result)
{
	MemoryContext context = CurrentMemoryContext;
	OwnSql		own;
	bool		found;

	if (current_job.job == NULL)
		return false;
	own_sql_begin(&own);
	SPI_connect();
	query_inputs("SELECT d.result FROM defer.dependency d WHERE d.child_id OPERATOR(pg_catalog.=) $1"
				 " AND d.parent_id OPERATOR(pg_catalog.=) $2 AND d.function IS NOT NULL", id);
	found = SPI_processed > 0;
	if (found)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		MemoryContext spi = MemoryContextSwitchTo(context);

		*result = isnull ? NULL : DatumGetJsonbPCopy(value);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	own_sql_end(&own);
	return found;
}

static void
no_result(int64 id)
{
	JobLook		look;

	job_look(id, &look);
	if (look.found && role_may_see(look.owner))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " has not ended", id),
				 errhint("Wait for it with defer.await(), or enqueue what needs its result with \"after\".")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("job " INT64_FORMAT " does not exist", id),
			 errhint("Jobs that have finished are removed after defer.retention; those of other roles are not shown.")));
}

/* defer.result(id) */
Datum
defer_result(PG_FUNCTION_ARGS)
{
	HistoryRow	row;
	Jsonb	   *result = NULL;
	int64		id;

	require_argument(fcinfo, 0, "id");
	id = PG_GETARG_INT64(0);
	if (job_is_elsewhere(id))
	{
		JsonbBuilder args;

		elsewhere_begin(&args, id);
		result = elsewhere_run("result", &args, id);
	}
	else if (history_read(id, &row) && role_may_see(row.job.owner))
		result = row.result;
	else if (!inputs_kept_result(id, &result))
		no_result(id);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(result);
}

void
inputs_check_prepared(const Job *job)
{
	Oid			types[] = {INT8OID, JSONBOID};
	Datum		values[] = {Int64GetDatum(job->id), PointerGetDatum(job->args)};
	MemoryContext context = CurrentMemoryContext;
	OwnSql		own;
	char	   *name = NULL;

	if (job->parent_id == 0)
		return;
	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("SELECT s.name FROM defer.workflow_step s WHERE s.job_id OPERATOR(pg_catalog.=) $1"
					" AND (s.definition OPERATOR(pg_catalog.?) 'if'"
					" OR pg_catalog.jsonb_path_exists($2, '$.**.\"$input\"'))"
					" AND NOT EXISTS (SELECT FROM defer.job j WHERE j.id OPERATOR(pg_catalog.=) $1"
					" AND (j.waits IS NULL OR j.waits OPERATOR(pg_catalog.<>) 'p'))"
					" AND NOT EXISTS (SELECT FROM defer.job_history h WHERE h.id OPERATOR(pg_catalog.=) $1"
					" AND h.attempt OPERATOR(pg_catalog.>) 0)",
					lengthof(types), types, values, job->args == NULL ? " n" : NULL,
					SPI_OK_SELECT) > 0)
		name = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0],
														 SPI_tuptable->tupdesc, 1));
	SPI_finish();
	own_sql_end(&own);
	if (name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("job " INT64_FORMAT " is step \"%s\" of a workflow and has not begun",
						job->id, name),
				 errdetail("It has a condition, or refers to results of other steps."),
				 errhint("Use defer.retry_workflow(" INT64_FORMAT ").", job->parent_id)));
}

/* defer.inputs() */
Datum
defer_inputs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	OwnSql		own;

	current_job_require("defer.inputs()");
	InitMaterializedSRF(fcinfo, 0);
	own_sql_begin(&own);
	SPI_connect();
	query_inputs("SELECT d.parent_id, COALESCE(h.function, d.function),"
				 " CASE d.state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed' WHEN 'c' THEN 'cancelled'"
				 " WHEN 'd' THEN 'discarded' WHEN 'g' THEN 'gone' END, COALESCE(h.result, d.result)"
				 " FROM defer.dependency d LEFT JOIN LATERAL (SELECT x.function, x.result FROM defer.job_history x"
				 " WHERE x.id OPERATOR(pg_catalog.=) d.parent_id OFFSET 0) h ON true"
				 " WHERE d.child_id OPERATOR(pg_catalog.=) $1 AND $2 IS NOT NULL"
				 " AND d.ord OPERATOR(pg_catalog.>) 0 AND d.parent_id OPERATOR(pg_catalog.>) 0 ORDER BY d.ord", 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[INPUT_COLUMNS];
		bool		nulls[INPUT_COLUMNS];

		for (int c = 0; c < INPUT_COLUMNS; c++)
			values[c] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, c + 1,
									  &nulls[c]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	own_sql_end(&own);
	return (Datum) 0;
}
