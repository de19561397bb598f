/*
 * failure_table.c
 *		Rows of defer.failure.
 *
 * A worker that records a failure only inserts, and there is no unique index: it waits
 * for no session that has done something about another failure of the job and has not
 * committed.  Sessions change rows, by SQL.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/error_text.h"
#include "base/own_sql.h"
#include "table/direct_insert.h"
#include "table/failure_table.h"
#include "table/rerun_line.h"

enum
{
	FAILURE_LINE_ID = 1, FAILURE_JOB_ID, FAILURE_OWNER, FAILURE_FUNCTION, FAILURE_FINGERPRINT,
	FAILURE_FAILED_AT, FAILURE_CLOSED, FAILURE_CLOSED_AT, FAILURE_CLOSED_BY, FAILURE_NOTE,
	FAILURE_NATTS = FAILURE_NOTE
};

static const char *const failure_columns[] = {
	[FAILURE_LINE_ID - 1] = "line_id",
	[FAILURE_JOB_ID - 1] = "job_id",
	[FAILURE_OWNER - 1] = "owner",
	[FAILURE_FUNCTION - 1] = "function",
	[FAILURE_FINGERPRINT - 1] = "fingerprint",
	[FAILURE_FAILED_AT - 1] = "failed_at",
	[FAILURE_CLOSED - 1] = "closed",
	[FAILURE_CLOSED_AT - 1] = "closed_at",
	[FAILURE_CLOSED_BY - 1] = "closed_by",
	[FAILURE_NOTE - 1] = "note",
};

void
failure_record(const Job *job, const char *sqlstate, const char *error)
{
	Datum		values[FAILURE_NATTS] = {0};
	bool		nulls[FAILURE_NATTS] = {0};

	values[FAILURE_LINE_ID - 1] = Int64GetDatum(rerun_line_of(job));
	values[FAILURE_JOB_ID - 1] = Int64GetDatum(job->id);
	values[FAILURE_OWNER - 1] = ObjectIdGetDatum(job->owner);
	values[FAILURE_FUNCTION - 1] = PointerGetDatum(job->function);
	values[FAILURE_FINGERPRINT - 1] =
		CStringGetTextDatum(error_text_fingerprint(job->function, sqlstate, error));
	values[FAILURE_FAILED_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	for (int i = FAILURE_CLOSED; i <= FAILURE_NATTS; i++)
		nulls[i - 1] = true;
	direct_insert(catalog_oid(CAT_FAILURE), failure_columns, FAILURE_NATTS, values, nulls);
}

int
failure_close(int64 line, char closed, const char *note)
{
	Oid			types[] = {INT8OID, CHAROID, TEXTOID, TEXTOID};
	Datum		values[] = {Int64GetDatum(line), CharGetDatum(closed),
		CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)), (Datum) 0};
	char		nulls[] = {' ', ' ', ' ', note != NULL ? ' ' : 'n'};
	OwnSql		own;
	int			n;

	if (note != NULL)
		values[3] = CStringGetTextDatum(note);
	own_sql_begin(&own);
	SPI_connect();
	n = (int) own_sql_run("UPDATE defer.failure f SET closed = $2, closed_at = pg_catalog.clock_timestamp(),"
						  " closed_by = $3, note = $4"
						  " WHERE f.line_id OPERATOR(pg_catalog.=) $1 AND f.closed IS NULL",
						  lengthof(types), types, values, nulls, SPI_OK_UPDATE);
	SPI_finish();
	own_sql_end(&own);
	return n;
}

void
failure_forget(TimestampTz before)
{
	Oid			type = TIMESTAMPTZOID;
	Datum		value = TimestampTzGetDatum(before);

	(void) own_sql_run("DELETE FROM defer.failure f WHERE f.failed_at OPERATOR(pg_catalog.<) $1",
					   1, &type, &value, NULL, SPI_OK_DELETE);
}
