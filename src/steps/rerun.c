/*
 * rerun.c
 *		defer.rerun(): a copy of a job, from its beginning or from a step.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "job/after.h"
#include "job/control.h"
#include "job/elsewhere.h"
#include "steps/pass.h"
#include "table/job_row.h"

PG_FUNCTION_INFO_V1(defer_rerun);

/*
 * The steps that were done before that one began.  One that has not been completed has
 * no row: then all that is done was before it.
 */
static void
copy_steps(int64 from, int64 to, const char *name)
{
	Oid			types[] = {INT8OID, INT8OID, TEXTOID};
	Datum		values[] = {Int64GetDatum(from), Int64GetDatum(to), CStringGetTextDatum(name)};
	OwnSql		own;
	uint64		n;

	own_sql_begin(&own);
	SPI_connect();
	n = own_sql_run("INSERT INTO defer.step (job_id, name, owner, ord, kind, result, started_at, finished_at, until, awaits)"
					" SELECT $2, s.name, j.owner, s.ord, s.kind, s.result, s.started_at, s.finished_at, s.until, s.awaits"
					" FROM defer.step s CROSS JOIN defer.job j"
					" WHERE s.job_id OPERATOR(pg_catalog.=) $1 AND j.id OPERATOR(pg_catalog.=) $2"
					" AND s.finished_at IS NOT NULL AND s.name OPERATOR(pg_catalog.<>) $3"
					" AND NOT EXISTS (SELECT FROM defer.step x WHERE x.job_id OPERATOR(pg_catalog.=) $1"
					" AND x.name OPERATOR(pg_catalog.=) $3"
					" AND s.finished_at OPERATOR(pg_catalog.>) x.started_at)",
					lengthof(types), types, values, NULL, SPI_OK_INSERT);
	SPI_finish();
	own_sql_end(&own);
	if (n == 0)
		ereport(NOTICE,
				(errmsg("job " INT64_FORMAT " has done no step before \"%s\"", from, name),
				 errdetail("It is run again from its beginning.")));
}

/* defer.rerun(id, from_step, force) */
Datum
defer_rerun(PG_FUNCTION_ARGS)
{
	ControlResult result;
	int64		new_id = 0;
	int64		id;

	PreventCommandIfReadOnly("defer.rerun()");
	require_argument(fcinfo, 0, "id");
	id = PG_GETARG_INT64(0);
	if (job_is_elsewhere(id))
		PG_RETURN_INT64(elsewhere_rerun(id, PG_ARGISNULL(1) ? NULL :
										text_to_cstring(PG_GETARG_TEXT_PP(1)),
										!PG_ARGISNULL(2) && PG_GETARG_BOOL(2)));
	result = job_rerun(id, true, !PG_ARGISNULL(2) && PG_GETARG_BOOL(2), &new_id);
	if (result == CONTROL_NOT_THERE)
		job_not_found(id);
	if (result == CONTROL_DONE && !PG_ARGISNULL(1))
		copy_steps(id, new_id, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_INT64(new_id);
}
