/*
 * rollup_merge.c
 *		Adding the counts of defer.job_rollup_new to defer.job_rollup.
 *
 * The scheduler does this, and no other process deletes rows of the one or
 * writes the other.  Rows of all roles are added up in one statement; if that
 * fails they are divided, so that a row which cannot be added up is left out
 * alone.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "base/subtransaction.h"
#include "table/rollup.h"

/*
 * Readers have to add up new counts by themselves, so there must not be many:
 * but where there are many functions, adding a few counts to each costs more
 * than it saves.
 */
#define MANY_LEAST		5000
#define MANY_MOST		200000
#define MANY_PER_ROW	20

/* About so many counts are added up in one transaction */
#define ROLLUP_COUNTS		100000

static const char *const add_up_sql =
"WITH gone AS (DELETE FROM defer.job_rollup_new n WHERE n.ctid OPERATOR(pg_catalog.=) ANY ($1) RETURNING n.*),"
" flat AS (SELECT g.hour, g.owner, pg_catalog.unnest(g.functions) AS function, pg_catalog.unnest(g.queues) AS queue,"
" pg_catalog.unnest(g.states) AS state, pg_catalog.unnest(g.classes) AS class, pg_catalog.unnest(g.jobs) AS jobs,"
" pg_catalog.unnest(g.microseconds) AS microseconds, pg_catalog.unnest(g.first_ids) AS first_id,"
" pg_catalog.unnest(g.last_ids) AS last_id FROM gone g),"
" counts AS (SELECT f.hour, f.owner, f.function, f.queue, f.state, f.class, pg_catalog.sum(f.jobs) AS jobs,"
" pg_catalog.sum(f.microseconds) AS microseconds, pg_catalog.min(f.first_id) AS first_id,"
" pg_catalog.max(f.last_id) AS last_id FROM flat f GROUP BY 1, 2, 3, 4, 5, 6),"
" added AS (INSERT INTO defer.job_rollup AS r (hour, owner, function, queue, succeeded, failed, cancelled, discarded,"
" begun, microseconds, durations, first_id, last_id)"
" SELECT c.hour, c.owner, c.function, c.queue,"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.state OPERATOR(pg_catalog.=) 's'), 0),"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.state OPERATOR(pg_catalog.=) 'f'), 0),"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.state OPERATOR(pg_catalog.=) 'c'), 0),"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.state OPERATOR(pg_catalog.=) 'd'), 0),"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.class OPERATOR(pg_catalog.>=) 0), 0), pg_catalog.sum(c.microseconds),"
" defer.sum_durations(defer.durations(c.class, c.jobs::pg_catalog.int8)),"
" pg_catalog.min(c.first_id), pg_catalog.max(c.last_id)"
" FROM counts c GROUP BY 1, 2, 3, 4"
" ON CONFLICT (hour, owner, function, queue) DO UPDATE SET succeeded = r.succeeded OPERATOR(pg_catalog.+) excluded.succeeded,"
" failed = r.failed OPERATOR(pg_catalog.+) excluded.failed, cancelled = r.cancelled OPERATOR(pg_catalog.+) excluded.cancelled,"
" discarded = r.discarded OPERATOR(pg_catalog.+) excluded.discarded, begun = r.begun OPERATOR(pg_catalog.+) excluded.begun,"
" microseconds = r.microseconds OPERATOR(pg_catalog.+) excluded.microseconds,"
" durations = defer.merge_durations(r.durations, excluded.durations),"
" first_id = LEAST(r.first_id, excluded.first_id), last_id = GREATEST(r.last_id, excluded.last_id)"
" RETURNING 1)"
" SELECT COALESCE(pg_catalog.sum(pg_catalog.cardinality(g.jobs)), 0)::pg_catalog.int8,"
" (SELECT pg_catalog.count(*) FROM added) FROM gone g";

/* What has been added up in one transaction */
typedef struct Sums
{
	int64		counts;			/* elements of the arrays in
								 * defer.job_rollup_new */
	int64		rows;			/* of defer.job_rollup, that they were added
								 * to */
} Sums;

static Datum
tid_array(Datum *tids, int n)
{
	return PointerGetDatum(construct_array(tids, n, TIDOID, sizeof(ItemPointerData), false,
										   TYPALIGN_SHORT));
}

/* Add up some rows; an error leaves everything as it is */
static void
add_up(Datum *tids, int n, Sums *sums)
{
	Oid			type = TIDARRAYOID;
	Datum		array = tid_array(tids, n);
	bool		isnull;

	if (SPI_execute_with_args(add_up_sql, 1, &type, &array, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not add up the counts of finished jobs");
	sums->counts += DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
												&isnull));
	sums->rows += DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2,
											  &isnull));
}

/* Check for an error of the values, and not of the circumstances */
static bool
is_data_error(const ErrorData *error)
{
	int			class = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return class == ERRCODE_DATA_EXCEPTION || class == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		class == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

/* Delete a row that cannot be added up */
static void
leave_out(Datum tid, const ErrorData *error)
{
	Oid			type = TIDARRAYOID;
	Datum		array = tid_array(&tid, 1);

	if (SPI_execute_with_args("DELETE FROM defer.job_rollup_new n WHERE n.ctid OPERATOR(pg_catalog.=) ANY ($1)"
							  " RETURNING n.owner", 1, &type, &array, NULL, false,
							  0) != SPI_OK_DELETE_RETURNING || SPI_processed != 1)
		elog(ERROR, "could not delete counts of finished jobs");
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("counts of finished jobs of role %s were left out: %s",
					SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
					error->message)));
}

/* Rows to add up, in a subtransaction */
typedef struct Portion
{
	Datum	   *tids;
	int			n;
	Sums	   *sums;
} Portion;

static void
add_up_portion(void *arg)
{
	Portion    *portion = arg;

	add_up(portion->tids, portion->n, portion->sums);
}

/*
 * Add up rows in a subtransaction.  Returns NULL, or the error if they cannot be
 * added up together; other errors are thrown.
 */
static ErrorData *
try_add_up(Datum *tids, int n, Sums *sums)
{
	Portion		portion = {tids, n, sums};
	ErrorData  *error = subtransaction_try(add_up_portion, &portion);

	if (error != NULL && !is_data_error(error))
		ReThrowError(error);
	return error;
}

static void
add_up_or_divide(Datum *tids, int n, Sums *sums)
{
	ErrorData  *error = try_add_up(tids, n, sums);

	if (error == NULL)
		return;
	CHECK_FOR_INTERRUPTS();
	if (n == 1)
		leave_out(tids[0], error);
	else
	{
		add_up_or_divide(tids, n / 2, sums);
		add_up_or_divide(tids + n / 2, n - n / 2, sums);
	}
	FreeErrorData(error);
}

/* Returns the TIDs of some rows, at most "limit"; *n is their number */
static Datum *
choose_rows(int64 limit, int *n)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(limit);
	Datum	   *tids;

	if (SPI_execute_with_args("SELECT n.ctid FROM defer.job_rollup_new n LIMIT $1", 1, &type, &value,
							  NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the counts of finished jobs");
	*n = (int) SPI_processed;
	tids = palloc(Max(*n, 1) * sizeof(Datum));
	for (int i = 0; i < *n; i++)
	{
		bool		isnull;

		tids[i] = datumCopy(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull),
							false, sizeof(ItemPointerData));
	}
	return tids;
}

TimestampTz
rollup_maintain(TimestampTz now, uint32 *many)
{
	static int64 rows_at_once = 1000;
	const int64 limit = rows_at_once;
	Sums		sums = {0};
	OwnSql		own;
	Datum	   *tids;
	int			n;

	own_transaction_begin();
	own_sql_begin(&own);
	SPI_connect();
	tids = choose_rows(limit, &n);
	if (n > 0)
		add_up_or_divide(tids, n, &sums);
	SPI_finish();
	own_sql_end(&own);
	own_transaction_end();

	if (n > 0)
		rows_at_once = Max(100, Min(ROLLUP_COUNTS * n / Max(sums.counts, 1), ROLLUP_COUNTS));
	*many = Max(MANY_LEAST, Min(sums.rows * MANY_PER_ROW, MANY_MOST));
	return n == limit ? now : DT_NOEND; /* after what else there is to do */
}

void
rollup_forget(TimestampTz before)
{
	Oid			type = TIMESTAMPTZOID;
	Datum		value = TimestampTzGetDatum(before);

	if (SPI_execute_with_args("DELETE FROM defer.job_rollup r WHERE r.hour OPERATOR(pg_catalog.<) $1",
							  1, &type, &value, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete counts of finished jobs");
}
