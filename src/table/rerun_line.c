/*
 * rerun_line.c
 *		Rows of defer.rerun_line: by them sessions agree on who runs a job again.
 *
 * No worker reads or writes them, so none waits for a session.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "base/own_sql.h"
#include "table/failure_table.h"
#include "table/rerun_line.h"

void
rerun_line_lock(int64 line, Oid owner, RerunLine *state)
{
	Oid			types[] = {INT8OID, REGROLEOID};
	Datum		values[] = {Int64GetDatum(line), ObjectIdGetDatum(owner)};
	OwnSql		own;
	bool		isnull;

	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("INSERT INTO defer.rerun_line AS l (id, owner, last_id, retried, changed_at)"
					" VALUES ($1, $2, $1, false, pg_catalog.clock_timestamp())"
					" ON CONFLICT (id) DO UPDATE SET changed_at = excluded.changed_at"
					" RETURNING l.last_id, l.retried",
					lengthof(types), types, values, NULL, SPI_OK_INSERT_RETURNING) != 1)
		elog(ERROR, "could not lock the reruns of job " INT64_FORMAT, line);
	state->last_id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
												 &isnull));
	state->retried = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2,
												&isnull));
	SPI_finish();
	own_sql_end(&own);
}

void
rerun_line_write(int64 line, const RerunLine *state)
{
	Oid			types[] = {INT8OID, INT8OID, BOOLOID};
	Datum		values[] = {Int64GetDatum(line), Int64GetDatum(state->last_id),
		BoolGetDatum(state->retried)};
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run("UPDATE defer.rerun_line l SET last_id = $2, retried = $3"
					   " WHERE l.id OPERATOR(pg_catalog.=) $1",
					   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	own_sql_end(&own);
	(void) failure_close(line, state->retried ? FAILURE_RETRIED : FAILURE_RERUN, NULL);
}

void
rerun_line_forget(TimestampTz before)
{
	Oid			type = TIMESTAMPTZOID;
	Datum		value = TimestampTzGetDatum(before);

	(void) own_sql_run("DELETE FROM defer.rerun_line l WHERE l.changed_at OPERATOR(pg_catalog.<) $1",
					   1, &type, &value, NULL, SPI_OK_DELETE);
}
