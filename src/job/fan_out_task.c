/*
 * fan_out_task.c
 *		Adding up the counts of batches, and the end of batches.
 *
 * The scheduler alone deletes rows of defer.fan_out_delta and changes rows of
 * defer.fan_out, in one transaction, so each count is added once.
 *
 * A batch is over if it is closed and all of its jobs have ended, in a snapshot:
 * see table/fan_out_count.c.  A part of the counts of a snapshot may show the end
 * of a job without what that job had enqueued.  So batches are looked at only by a
 * transaction that has added up all counts of its snapshot.  An index has those
 * which are over, as a rule none.  test/model/fan_out.pml is a model of this.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/job_state.h"
#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "shmem/dependents.h"
#include "job/dependents.h"
#include "job/fan_out_task.h"
#include "table/fan_out_count.h"

/* In one transaction: counts that are added up, batches that end, jobs that wait for one */
#define ADD_UP_MAX		10000
#define END_MAX			1000
#define SETTLE_MAX		100

/* All jobs of a batch have ended, and none comes any more; its index has this condition */
#define IS_OVER(of) \
	of ".closed AND NOT " of ".done AND " of ".jobs OPERATOR(pg_catalog.=) (" of ".succeeded" \
	" OPERATOR(pg_catalog.+) " of ".failed OPERATOR(pg_catalog.+) " of ".cancelled" \
	" OPERATOR(pg_catalog.+) " of ".discarded)"

/*
 * Adds "sums" (id, closed, and counts) to the rows of batches, and to those around them, in
 * which it is counted, too; "added" has the ids
 */
#define ADD_SUMS \
	" outwards AS (SELECT s.* FROM sums s UNION ALL" \
	" SELECT f.outer_id, false, o.jobs, o.succeeded, o.failed, o.cancelled, o.discarded" \
	" FROM outwards o CROSS JOIN LATERAL (SELECT x.outer_id FROM defer.fan_out x" \
	" WHERE x.id OPERATOR(pg_catalog.=) o.id AND x.outer_id IS NOT NULL OFFSET 0) f)," \
	" total AS (SELECT o.id, pg_catalog.bool_or(o.closed) AS closed, pg_catalog.sum(o.jobs)::pg_catalog.int8 AS jobs," \
	" pg_catalog.sum(o.succeeded)::pg_catalog.int8 AS succeeded, pg_catalog.sum(o.failed)::pg_catalog.int8 AS failed," \
	" pg_catalog.sum(o.cancelled)::pg_catalog.int8 AS cancelled, pg_catalog.sum(o.discarded)::pg_catalog.int8 AS discarded" \
	" FROM outwards o GROUP BY o.id)," \
	" added AS (UPDATE defer.fan_out f SET closed = f.closed OR t.closed, jobs = f.jobs OPERATOR(pg_catalog.+) t.jobs," \
	" succeeded = f.succeeded OPERATOR(pg_catalog.+) t.succeeded, failed = f.failed OPERATOR(pg_catalog.+) t.failed," \
	" cancelled = f.cancelled OPERATOR(pg_catalog.+) t.cancelled, discarded = f.discarded OPERATOR(pg_catalog.+) t.discarded" \
	" FROM total t WHERE f.id OPERATOR(pg_catalog.=) t.id" \
	" AND f.id OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT y.id FROM total y)) RETURNING f.id)"

static const char *const add_up_sql =
"WITH RECURSIVE gone AS (DELETE FROM defer.fan_out_delta d WHERE d.ctid OPERATOR(pg_catalog.=) ANY"
" (ARRAY(SELECT x.ctid FROM defer.fan_out_delta x LIMIT $1)) RETURNING d.*),"
" sums AS (SELECT g.id, pg_catalog.bool_or(g.closed) AS closed, pg_catalog.sum(g.jobs) AS jobs,"
" pg_catalog.sum(g.succeeded) AS succeeded, pg_catalog.sum(g.failed) AS failed,"
" pg_catalog.sum(g.cancelled) AS cancelled, pg_catalog.sum(g.discarded) AS discarded"
" FROM gone g GROUP BY g.id)," ADD_SUMS
" SELECT pg_catalog.count(*) FROM gone";

/* Returns whether there are more in this snapshot */
static bool
add_up(void)
{
	Oid			type = INT8OID;
	Datum		max = Int64GetDatum(ADD_UP_MAX);
	bool		isnull;

	(void) own_sql_run(add_up_sql, 1, &type, &max, NULL, SPI_OK_SELECT);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
									   &isnull)) == ADD_UP_MAX;
}

/* Mark the batches that are over as done.  Returns how many, their ids are in *ids */
static int
mark_done(int64 **ids)
{
	Oid			type = INT8OID;
	Datum		max = Int64GetDatum(END_MAX);
	int			n;

	n = (int) own_sql_run("UPDATE defer.fan_out u SET done = true WHERE u.id OPERATOR(pg_catalog.=) ANY (ARRAY("
						  "SELECT f.id FROM defer.fan_out f WHERE " IS_OVER("f")
						  " ORDER BY f.id LIMIT $1)) RETURNING u.id",
						  1, &type, &max, NULL, SPI_OK_UPDATE_RETURNING);
	*ids = palloc(Max(n, 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		(*ids)[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1,
												&isnull));
	}
	return n;
}

/* Release the jobs that wait for the end of a batch; many, or locked ones, are left for later */
static void
release(int64 id)
{
	EndedJob	ended = {.id = -id, .line = -id, .state = STATE_SUCCEEDED};
	bool		busy = false;

	if (!dependents_ending(-id))
		return;
	if (dependents_settle(&ended, SETTLE_MAX, &busy) || busy)
		dependents_tell(-id, false);
}

TimestampTz
fan_out_maintain(TimestampTz now)
{
	OwnSql		own;
	int64	   *ids = NULL;
	int			n = 0;
	bool		more;

	own_transaction_begin();
	own_sql_begin(&own);
	SPI_connect();
	more = add_up();
	if (!more)
		n = mark_done(&ids);
	for (int i = 0; i < n; i++)
		release(ids[i]);
	SPI_finish();
	own_sql_end(&own);
	if (!own_transaction_end_if_active())
		return now + USECS_PER_SEC;
	return more || n == END_MAX ? now : DT_NOEND;
}

/* ------------------------------------------------------------------------
 * Batches of the transaction under way, for defer.drain()
 *
 * Of a batch that this transaction has begun, all counts are in this process, and no
 * other session can see its row.  They are added to the row here, and not written at
 * commit any more: for the scheduler it is a batch that is over.  Batches that others
 * may see are left to the scheduler, which would have to wait for their rows.
 * ------------------------------------------------------------------------ */

/* One count, which is in no row */
static const char *const add_sql =
"WITH RECURSIVE sums AS (SELECT $1 AS id, $2 AS closed, $3 AS jobs, $4 AS succeeded,"
" $5 AS failed, $6 AS cancelled, $7 AS discarded)," ADD_SUMS
" SELECT a.id FROM added a";

static const char *const done_sql =
"UPDATE defer.fan_out u SET done = true WHERE u.id OPERATOR(pg_catalog.=) $1 AND " IS_OVER("u");

/* Add counts to the rows of a batch and of those around it; appends their ids to *ids */
static int
add_own(const FanOutCount *count, int64 **ids, int n)
{
	Oid			types[3 + JOB_ENDS] = {
		INT8OID, BOOLOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID
	};
	Datum		values[3 + JOB_ENDS];
	int			nrows;

	values[0] = Int64GetDatum(count->id);
	values[1] = BoolGetDatum(count->closed);
	values[2] = Int64GetDatum(count->jobs);
	for (int i = 0; i < JOB_ENDS; i++)
		values[3 + i] = Int64GetDatum(count->ended[i]);
	nrows = (int) own_sql_run(add_sql, lengthof(values), types, values, NULL, SPI_OK_SELECT);
	*ids = repalloc(*ids, (n + nrows + 1) * sizeof(int64));
	for (int i = 0; i < nrows; i++)
	{
		bool		isnull;

		(*ids)[n++] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
												  1, &isnull));
	}
	return n;
}

/* Let the jobs that wait for the end of a batch begin; locked ones are left to the scheduler */
static void
release_own(int64 id)
{
	EndedJob	ended = {.id = -id, .line = -id, .state = STATE_SUCCEEDED};
	bool		busy = false;

	if (!dependents_ending(-id))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	while (dependents_settle(&ended, SETTLE_MAX, &busy))
		CHECK_FOR_INTERRUPTS();
	PopActiveSnapshot();
	if (busy)
		dependents_tell(-id, false);
	CommandCounterIncrement();
}

bool
fan_out_end_own(void)
{
	FanOutCount *counts;
	int			ncounts = fan_out_take(&counts);
	int64	   *ids = palloc(sizeof(int64));
	Oid			type = INT8OID;
	int			n = 0;
	int			ndone = 0;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	for (int i = 0; i < ncounts; i++)
		n = add_own(&counts[i], &ids, n);
	for (int i = 0; i < n; i++)
	{
		Datum		id = Int64GetDatum(ids[i]);

		if (own_sql_run(done_sql, 1, &type, &id, NULL, SPI_OK_UPDATE) > 0)
			ids[ndone++] = ids[i];
	}
	SPI_finish();
	own_sql_end(&own);
	for (int i = 0; i < ndone; i++)
		release_own(ids[i]);
	return ndone > 0;
}
