/*
 * limits_load.c
 *		Reading concurrency limits, rates and pauses into shared memory, which asks for
 *		those that ready queues are under: see shmem/limits.h.
 *
 * Of a group it knows the hash.  Should two groups have the same, they share one
 * limit: the lowest of theirs.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "base/timer.h"
#include "shmem/limits.h"
#include "shmem/reserved.h"
#include "config/limits_load.h"
#include "config/rate_text.h"

/* Limits that are read at a time; limits_load() takes so long (microseconds) */
#define LOAD_MAX	256
#define LOAD_TIME	(20 * 1000)

/* Run a query with two arrays of the limits of that kind: ids, and hashes if "groups" */
static void
query(const char *sql, char kind, bool groups, const LimitValue *values, int n)
{
	Datum	   *ids = palloc(n * sizeof(Datum));
	Datum	   *hashes = palloc(n * sizeof(Datum));
	Oid			types[] = {INT4ARRAYOID, INT8ARRAYOID};
	Datum		arrays[2];
	int			nids = 0;

	for (int i = 0; i < n; i++)
	{
		if (values[i].kind != kind || (values[i].group != 0) != groups)
			continue;
		ids[nids] = Int32GetDatum(values[i].id);
		hashes[nids++] = Int64GetDatum(values[i].group);
	}
	if (nids == 0)
	{
		SPI_processed = 0;
		return;
	}
	arrays[0] = PointerGetDatum(construct_array(ids, nids, INT4OID, sizeof(int32), true,
												TYPALIGN_INT));
	arrays[1] = PointerGetDatum(construct_array(hashes, nids, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));

	/* not read only: as of now, and not of the transaction's first snapshot */
	if (SPI_execute_with_args(sql, groups ? 2 : 1, types, arrays, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read limits");
}

static Datum
value_of(uint64 row, int column)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
}

static bool
is_null(uint64 row, int column)
{
	bool		isnull;

	(void) SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	return isnull;
}

/* A rate and its burst are in two columns */
static Rate
rate_of_row(uint64 row, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return rate_of_values(value, DatumGetInt32(value_of(row, column + 1)));
}

/*
 * Set the values of functions, queues or endpoints that the table has: id, limit, that of
 * groups ...
 */
static void
read_values(const char *sql, char kind, LimitValue *values, int n)
{
	query(sql, kind, false, values, n);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int32		id = DatumGetInt32(value_of(row, 1));

		for (int i = 0; i < n; i++)
		{
			if (values[i].kind != kind || values[i].group != 0 || values[i].id != id)
				continue;
			values[i].limit = DatumGetInt32(value_of(row, 2));
			values[i].cancel = DatumGetBool(value_of(row, 3));
			values[i].group_limit = DatumGetInt32(value_of(row, 4));
			values[i].group_overrides = DatumGetBool(value_of(row, 5));
			values[i].rate = rate_of_row(row, 6);
			values[i].group_rate = rate_of_row(row, 8);
			values[i].strict = DatumGetBool(value_of(row, 10));
		}
	}
}

/* Set the values of groups that have some of their own: id, hash, limit, weight */
static void
read_group_values(char kind, LimitValue *values, int n)
{
	char	   *sql = psprintf("SELECT k.id, k.hash, CASE WHEN s.paused OR h.held THEN %d"
							   " ELSE COALESCE(s.concurrency, %d) END, COALESCE(s.weight, 0), s.rate, 1"
							   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) k (id, hash)"
							   " CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM defer.group_hold o"
							   " WHERE o.kind OPERATOR(pg_catalog.=) '%c' AND o.id OPERATOR(pg_catalog.=) k.id"
							   " AND o.group_hash OPERATOR(pg_catalog.=) k.hash) AS held) h"
							   " LEFT JOIN defer.group_setting s ON s.kind OPERATOR(pg_catalog.=) '%c'"
							   " AND s.id OPERATOR(pg_catalog.=) k.id"
							   " AND s.group_hash OPERATOR(pg_catalog.=) k.hash"
							   " WHERE s.id IS NOT NULL OR h.held"
							   " ORDER BY s.paused NULLS FIRST, s.concurrency DESC NULLS FIRST",
							   LIMIT_PAUSED, LIMIT_INHERITED, kind, kind);

	/* the last one of a hash holds */
	query(sql, kind, true, values, n);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int32		id = DatumGetInt32(value_of(row, 1));
		int64		group = DatumGetInt64(value_of(row, 2));

		for (int i = 0; i < n; i++)
		{
			if (values[i].kind != kind || values[i].group != group || values[i].id != id)
				continue;
			values[i].limit = DatumGetInt32(value_of(row, 3));
			values[i].weight = DatumGetFloat8(value_of(row, 4));
			if (!is_null(row, 5))
				values[i].rate = rate_of_row(row, 5);
		}
	}
}

/* Set what was used of long rates, of those or of their groups: id, hash, until */
static void
read_used(char kind, bool groups, LimitValue *values, int n)
{
	char	   *of_groups = psprintf("SELECT u.id, u.group_hash, u.until"
									 " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) k (id, hash)"
									 " JOIN defer.rate_used u ON u.kind OPERATOR(pg_catalog.=) '%c'"
									 " AND u.id OPERATOR(pg_catalog.=) k.id"
									 " AND u.group_hash OPERATOR(pg_catalog.=) k.hash", kind);
	char	   *of_all = psprintf("SELECT u.id, u.group_hash, u.until FROM defer.rate_used u"
								  " WHERE u.kind OPERATOR(pg_catalog.=) '%c' AND u.group_hash OPERATOR(pg_catalog.=) 0"
								  " AND u.id OPERATOR(pg_catalog.=) ANY ($1)", kind);

	query(groups ? of_groups : of_all, kind, groups, values, n);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int32		id = DatumGetInt32(value_of(row, 1));
		int64		group = DatumGetInt64(value_of(row, 2));

		for (int i = 0; i < n; i++)
		{
			if (values[i].kind == kind && values[i].group == group && values[i].id == id)
				values[i].used = DatumGetTimestampTz(value_of(row, 3));
		}
	}
}

/* Read up to LOAD_MAX limits; one without a row stays as limits_to_load() sets it */
static void
load_some(LimitValue *values, int n)
{
	OwnSql		own;

	own_transaction_begin();
	own_sql_begin(&own);
	SPI_connect();
	read_values("SELECT f.id, CASE WHEN f.paused THEN 0 ELSE COALESCE(f.concurrency, -1) END,"
				" f.at_limit IS NOT DISTINCT FROM 'cancel',"
				" COALESCE(f.group_concurrency, -1), f.group_overrides OR EXISTS (SELECT FROM defer.group_hold h"
				" WHERE h.kind OPERATOR(pg_catalog.=) 'f' AND h.id OPERATOR(pg_catalog.=) f.id), f.rate, COALESCE(f.rate_burst, 1),"
				" f.group_rate, COALESCE(f.group_rate_burst, 1), f.group_order IS NOT DISTINCT FROM 'strict'"
				" FROM defer.function f"
				" WHERE f.id OPERATOR(pg_catalog.=) ANY ($1)", 'f', values, n);
	read_values("SELECT q.id, CASE WHEN q.paused THEN 0 ELSE COALESCE(q.concurrency, -1) END,"
				" false, COALESCE(q.group_concurrency, -1), q.group_overrides OR EXISTS (SELECT FROM defer.group_hold h"
				" WHERE h.kind OPERATOR(pg_catalog.=) 'q' AND h.id OPERATOR(pg_catalog.=) q.id), q.rate, COALESCE(q.rate_burst, 1),"
				" q.group_rate, COALESCE(q.group_rate_burst, 1), q.group_order IS NOT DISTINCT FROM 'strict'"
				" FROM defer.queue q"
				" WHERE q.id OPERATOR(pg_catalog.=) ANY ($1)", 'q', values, n);
	read_values("SELECT e.id, COALESCE(e.concurrency, -1), false, -1, false, e.rate, COALESCE(e.rate_burst, 1),"
				" NULL::pg_catalog.text, 1, false FROM defer.endpoint e WHERE e.id OPERATOR(pg_catalog.=) ANY ($1)",
				'e', values, n);
	read_group_values('f', values, n);
	read_group_values('q', values, n);
	for (int groups = 0; groups <= 1; groups++)
	{
		read_used('f', groups, values, n);
		read_used('q', groups, values, n);
	}
	read_used('e', false, values, n);
	SPI_finish();
	own_sql_end(&own);
	own_transaction_end();
	for (int i = 0; i < n; i++)
		limit_loaded(MyDatabaseId, &values[i]);
}

bool
limits_load(void)
{
	const int64 end = monotonic_now() + LOAD_TIME;
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
		if (monotonic_now() >= end)
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------------
 * Tokens of long rates
 * ------------------------------------------------------------------------ */

void
limits_write_used_here(const RateUsed *used, int n)
{
	Oid			types[] = {CHAROID, INT4OID, INT8OID, TIMESTAMPTZOID};
	Datum		values[lengthof(types)];
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	for (int i = 0; i < n; i++)
	{
		values[0] = CharGetDatum(used[i].kind);
		values[1] = Int32GetDatum(used[i].id);
		values[2] = Int64GetDatum(used[i].group);
		values[3] = TimestampTzGetDatum(used[i].until);
		/* another process may have taken a later one and come first */
		(void) own_sql_run("INSERT INTO defer.rate_used AS r (kind, id, group_hash, until)"
						   " VALUES ($1, $2, $3, $4) ON CONFLICT (kind, id, group_hash)"
						   " DO UPDATE SET until = GREATEST(r.until, $4)",
						   lengthof(types), types, values, NULL, SPI_OK_INSERT);
	}
	SPI_finish();
	own_sql_end(&own);
}

bool
limits_write_used(const RateUsed *used, int n)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool written = true;

	PG_TRY();
	{
		own_transaction_begin();
		limits_write_used_here(used, n);
		ForceSyncCommit();
		own_transaction_end();
	}
	PG_CATCH();
	{
		own_transaction_report_error(context);
		written = false;
	}
	PG_END_TRY();
	return written;
}

void
limits_purge_used(void)
{
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_execute("DELETE FROM defer.rate_used r WHERE r.until OPERATOR(pg_catalog.<)"
						   " pg_catalog.clock_timestamp()",
						   SPI_OK_DELETE);
	SPI_finish();
	own_sql_end(&own);
}

/* ------------------------------------------------------------------------
 * Reserved workers
 * ------------------------------------------------------------------------ */

void
reserved_load_all(void)
{
	ReservedQueue queues[RESERVED_MAX];
	OwnSql		own;
	int			n = 0;

	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run("SELECT q.id, q.reserved FROM defer.queue q"
					   " WHERE q.reserved OPERATOR(pg_catalog.>) 0 ORDER BY q.id",
					   0, NULL, NULL, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed && n < RESERVED_MAX; row++)
		queues[n++] = (ReservedQueue)
	{
		MyDatabaseId, DatumGetInt32(value_of(row, 1)),
			DatumGetInt32(value_of(row, 2))
	};
	SPI_finish();
	own_sql_end(&own);
	reserved_load(MyDatabaseId, queues, n);
}
