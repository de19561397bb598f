/*
 * limits_load.c
 *		Reading concurrency limits and pauses into shared memory, which asks for
 *		those that ready queues are under: see shmem/limits.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "shmem/limits.h"
#include "config/limits_load.h"

/* Limits that are read at a time */
#define LOAD_MAX	256

/* Set the value of the limits of that kind which the table has; $1: their ids */
static void
read_values(const char *sql, char kind, LimitValue *values, int n)
{
	Datum	   *ids = palloc(n * sizeof(Datum));
	Oid			type = INT4ARRAYOID;
	Datum		array;
	int			nids = 0;

	for (int i = 0; i < n; i++)
	{
		if (values[i].kind == kind)
			ids[nids++] = Int32GetDatum(values[i].id);
	}
	if (nids == 0)
		return;
	array = PointerGetDatum(construct_array(ids, nids, INT4OID, sizeof(int32), true,
											TYPALIGN_INT));

	/* not read only: as of now, and not of the transaction's first snapshot */
	if (SPI_execute_with_args(sql, 1, &type, &array, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read concurrency limits");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[row];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		int32		id = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));

		for (int i = 0; i < n; i++)
		{
			if (values[i].kind != kind || values[i].id != id)
				continue;
			values[i].limit = DatumGetInt32(SPI_getbinval(tuple, desc, 2, &isnull));
			values[i].cancel = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Read up to LOAD_MAX limits; one without a row stays LIMIT_NONE, as limits_to_load() sets it */
static void
load_some(LimitValue *values, int n)
{
	OwnSql		own;

	own_transaction_begin();
	own_sql_begin(&own);
	SPI_connect();
	read_values("SELECT f.id, CASE WHEN f.paused THEN 0 ELSE COALESCE(f.concurrency, -1) END,"
				" f.at_limit IS NOT DISTINCT FROM 'cancel' FROM defer.function f"
				" WHERE f.id OPERATOR(pg_catalog.=) ANY ($1)", 'f', values, n);
	read_values("SELECT q.id, CASE WHEN q.paused THEN 0 ELSE COALESCE(q.concurrency, -1) END,"
				" false FROM defer.queue q"
				" WHERE q.id OPERATOR(pg_catalog.=) ANY ($1)", 'q', values, n);
	SPI_finish();
	own_sql_end(&own);
	own_transaction_end();
	for (int i = 0; i < n; i++)
		limit_loaded(MyDatabaseId, &values[i]);
}

void
limits_load(void)
{
	LimitValue	values[LOAD_MAX];
	volatile int n;

	while ((n = limits_to_load(MyDatabaseId, values, LOAD_MAX)) > 0)
	{
		PG_TRY();
		{
			load_some(values, n);
		}
		PG_CATCH();
		{
			limits_reload(MyDatabaseId);
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
}
