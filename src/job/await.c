/*
 * await.c
 *		defer.await(): wait until a job has ended, and say how.
 *
 * We leave our latch and the job's id in shared memory; the commit that ends
 * the job sets the latch.  So nothing is polled, but for a look every 30
 * seconds, because a prepared transaction that ends a job wakes no session.
 *
 * Jobs are looked for as of now, not as of our transaction's snapshot, so this
 * works in REPEATABLE READ, too (the job's effects cannot be seen there).
 *
 * Jobs commit without waiting for the disk.  A client that hears of a result
 * may act on it outside the database; so the job's commit is flushed first.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/catalog.h"
#include "base/errcodes.h"
#include "base/job_state.h"
#include "base/roles.h"
#include "base/wait_events.h"
#include "config/group_settings.h"
#include "shmem/preload.h"
#include "shmem/waiters.h"
#include "shmem/workers.h"
#include "table/history_table.h"
#include "table/job_row.h"
#include "table/job_by_id.h"
#include "job/await.h"
#include "job/current_job.h"
#include "job/elsewhere.h"

/* Milliseconds that a session of another node waits for us */
#define AWAIT_ROUND		10000

PG_FUNCTION_INFO_V1(defer_await);

/* ------------------------------------------------------------------------
 * Looking
 * ------------------------------------------------------------------------ */

bool
await_job_ended(int64 id, HistoryRow *outcome)
{
	Job			job;

	if (!history_read(id, outcome))
	{
		if (job_read(id, &job))
		{
			if (!role_may_see(job.owner))
				job_not_found(id);
			if (job.behind != 0 && current_job.job != NULL && job.behind == current_job.job->id)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("job " INT64_FORMAT " cannot wait for job " INT64_FORMAT ", which waits for its end",
								job.behind, id)));
			return false;
		}
		/* it may have ended between the two looks */
		if (!history_read(id, outcome))
			job_not_found(id);
	}
	if (!role_may_see(outcome->job.owner))
		job_not_found(id);
	return true;
}

/* Check whether our own transaction has deleted, changed or locked this version of a row */
static bool
is_xmax_ours(HeapTupleHeader header)
{
	TransactionId xmax = HeapTupleHeaderGetRawXmax(header);
	MultiXactMember *members;
	bool		ours = false;
	int			n;

	if ((header->t_infomask & HEAP_XMAX_INVALID) != 0)
		return false;
	if ((header->t_infomask & HEAP_XMAX_IS_MULTI) == 0)
		return TransactionIdIsCurrentTransactionId(xmax);
	if (HEAP_LOCKED_UPGRADED(header->t_infomask))
		return false;
	n = GetMultiXactIdMembers(xmax, &members, false, HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask));
	for (int i = 0; i < n && !ours; i++)
		ours = TransactionIdIsCurrentTransactionId(members[i].xid);
	if (n > 0)
		pfree(members);
	return ours;
}

/*
 * Check whether our own transaction has enqueued, changed or locked the job.
 * Then no worker can run it, or end its attempt, before we commit.
 */
static bool
job_is_ours(int64 id)
{
	Relation	table = table_open(catalog_oid(CAT_JOB), AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		ours = false;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = systable_beginscan(table, catalog_oid(CAT_JOB_PKEY), true, SnapshotAny, 1, &key);
	while (!ours && (tuple = systable_getnext(scan)) != NULL)
	{
		HeapTupleHeader header = tuple->t_data;

		ours = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header)) ||
			is_xmax_ours(header);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return ours;
}

/*
 * Refuse a job that needs a place of the job that this process runs, which keeps it
 * while it waits.  Where there are more places others may be given back, and
 * defer.why() tells.
 */
static void
check_place(const Job *job)
{
	char	   *limit;

	if (job->claim != 0 && job->claim != current_job.job->claim)
		return;					/* it may have begun */
	limit = settings_limit_of_one(current_job.job, job);
	if (limit != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " cannot wait for job " INT64_FORMAT ", which needs its place",
						current_job.job->id, job->id),
				 errdetail("The limit of %s is 1, and a job keeps its place while it waits.",
						   limit),
				 errhint("Raise the limit, or enqueue what comes afterwards as a job with \"after\".")));
}

void
await_check_served(void)
{
	if (!shmem_is_present())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait for a job: defer is not loaded by the server"),
				 errhint("Add defer to shared_preload_libraries in postgresql.conf and restart the server.")));
	if (!catalog_is_active())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait for a job: no jobs run in this database"),
				 errdetail("It is a restored or copied database."),
				 errhint("Call defer.activate() to let its jobs run.")));
}

/* Refuse what would never end */
static void
check_can_wait(int64 id)
{
	Job			job;

	if (current_job.job != NULL && current_job.job->id == id)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " cannot wait for itself", id)));
	if (job_is_ours(id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait for job " INT64_FORMAT ", which this transaction has enqueued or changed", id),
				 errdetail("The job cannot begin before this transaction has committed."),
				 errhint("Commit first, then call defer.await().")));
	await_check_served();
	if (current_job.job != NULL && job_read(id, &job))
		check_place(&job);
}

/* ------------------------------------------------------------------------
 * Waiting
 * ------------------------------------------------------------------------ */

static void
stop_waiting(int code, Datum arg)
{
	worker_end_await();
	waiter_unregister();
}

/* Milliseconds until the time is over, at most AWAIT_RECHECK; 0: it is */
static long
time_left(instr_time start, int64 timeout)
{
	instr_time	now;
	int64		left;

	if (timeout < 0)
		return AWAIT_RECHECK;
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	left = timeout - (int64) INSTR_TIME_GET_MICROSEC(now);
	if (left <= 0)
		return 0;
	return (long) Min((left + 999) / 1000, AWAIT_RECHECK);
}

/* false: time over.  Timeout in microseconds, negative: none */
static bool
wait_registered(int64 id, int64 timeout, HistoryRow *outcome)
{
	instr_time	start;
	bool		look = true;

	INSTR_TIME_SET_CURRENT(start);
	for (;;)
	{
		long		left;
		int			events;

		CHECK_FOR_INTERRUPTS();
		if ((look || waiter_is_done()) && await_job_ended(id, outcome))
			return true;
		left = time_left(start, timeout);
		if (left == 0)
			return false;
		events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						   left, defer_wait_event(DEFER_WAIT_AWAIT));
		ResetLatch(MyLatch);
		look = (events & WL_TIMEOUT) != 0;
	}
}

/*
 * Wait for the end of the job.  We are registered before the first look, so
 * that no end is missed.
 */
static bool
wait_for_end(int64 id, int64 timeout, HistoryRow *outcome)
{
	volatile bool ended = false;

	waiter_register(id);
	PG_ENSURE_ERROR_CLEANUP(stop_waiting, (Datum) 0);
	{
		if (current_job.job != NULL)
			worker_begin_await(id);
		ended = wait_registered(id, timeout, outcome);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_waiting, (Datum) 0);
	stop_waiting(0, (Datum) 0);
	return ended;
}

/* ------------------------------------------------------------------------
 * Flushing
 * ------------------------------------------------------------------------ */

/* Up to where the commit of the job's row in that partition may reach */
static XLogRecPtr
commit_in_partition(Relation partition, int64 id)
{
	Oid			index = history_id_index(partition);
	XLogRecPtr	lsn = InvalidXLogRecPtr;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	ScanKeyInit(&key, HIST_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = systable_beginscan(partition, index, OidIsValid(index), SnapshotSelf, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
		lsn = Max(lsn, TransactionIdGetCommitLSN(HeapTupleHeaderGetXmin(tuple->t_data)));
	systable_endscan(scan);
	return lsn;
}

/*
 * Flush the commit of the job's end.  That is visible a moment before the
 * commit's callback has raised waiters_flush_point(): a session that found it
 * in that moment asks the commit log.
 */
void
await_flush_end(int64 id)
{
	XLogRecPtr	lsn = shmem_is_present() ? waiters_flush_point() : InvalidXLogRecPtr;
	List	   *partitions = find_inheritance_children(catalog_oid(CAT_HISTORY), NoLock);
	ListCell   *cell;

	foreach(cell, partitions)
	{
		Relation	partition = try_relation_open(lfirst_oid(cell), AccessShareLock);

		if (partition == NULL)
			continue;			/* dropped meanwhile */
		if (partition->rd_rel->relkind == RELKIND_RELATION)
			lsn = Max(lsn, commit_in_partition(partition, id));
		relation_close(partition, AccessShareLock);
	}
	list_free(partitions);
	if (lsn != InvalidXLogRecPtr)
		XLogFlush(lsn);
}

/* ------------------------------------------------------------------------
 * Telling
 * ------------------------------------------------------------------------ */

/* The job's SQLSTATE, if it is that of an error */
static int
error_code_of(const Job *job)
{
	char	   *state = job->sqlstate != NULL ? text_to_cstring(job->sqlstate) : "";

	if (strlen(state) != 5 ||
		strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5 ||
		(state[0] == '0' && state[1] <= '2'))
		return ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
	return MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
}

static void
report_failure(int64 id, const HistoryRow *outcome)
{
	switch (outcome->state)
	{
		case STATE_FAILED:
			ereport(ERROR,
					(errcode(error_code_of(&outcome->job)),
					 outcome->job.error != NULL ?
					 errmsg_internal("%s", text_to_cstring(outcome->job.error)) :
					 errmsg("job " INT64_FORMAT " failed", id),
					 errdetail_plural("Job " INT64_FORMAT " failed after %d attempt.",
									  "Job " INT64_FORMAT " failed after %d attempts.",
									  outcome->attempt, id, outcome->attempt),
					 errhint("See defer.attempts.")));
			break;
		case STATE_CANCELLED:
			ereport(ERROR,
					(errcode(ERRCODE_JOB_CANCELLED),
					 errmsg("job " INT64_FORMAT " was cancelled", id)));
			break;
		case STATE_DISCARDED:
			ereport(ERROR,
					(errcode(ERRCODE_JOB_DISCARDED),
					 errmsg("job " INT64_FORMAT " was discarded", id),
					 errdetail("It had not begun in the time that discard_after gave it.")));
			break;
		default:
			elog(ERROR, "job " INT64_FORMAT " has unknown state \"%c\"", id, outcome->state);
	}
}

static void
report_timeout(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_AWAIT_TIMEOUT),
			 errmsg("timed out waiting for job " INT64_FORMAT, id),
			 errdetail("The job goes on.")));
}

/* ------------------------------------------------------------------------
 * Another node of Citus
 * ------------------------------------------------------------------------ */

/*
 * Wait on the node of the job, AWAIT_ROUND at a time: a session there does not hear that we have
 * been cancelled.
 */
static Datum
await_elsewhere(FunctionCallInfo fcinfo, int64 id, int64 timeout)
{
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	for (;;)
	{
		const long	left = time_left(start, timeout);
		bool		timed_out;
		Jsonb	   *result = elsewhere_await(id, Min(left, AWAIT_ROUND), &timed_out);

		if (!timed_out && result == NULL)
			PG_RETURN_NULL();
		if (!timed_out)
			PG_RETURN_JSONB_P(result);
		if (left <= AWAIT_ROUND && time_left(start, timeout) == 0)
			report_timeout(id);
	}
}

/* defer.await(id, timeout) */
Datum
defer_await(PG_FUNCTION_ARGS)
{
	int64		id;
	int64		timeout = -1;
	HistoryRow	outcome = {0};

	PreventCommandDuringRecovery("defer.await()");
	require_argument(fcinfo, 0, "id");
	id = PG_GETARG_INT64(0);
	if (!PG_ARGISNULL(1))
		timeout = setting_interval("timeout", PG_GETARG_INTERVAL_P(1));

	if (job_is_elsewhere(id))
		return await_elsewhere(fcinfo, id, timeout);
	if (!await_job_ended(id, &outcome))
	{
		check_can_wait(id);
		if (!wait_for_end(id, timeout, &outcome))
			report_timeout(id);
	}
	await_flush_end(id);

	if (outcome.state != STATE_SUCCEEDED)
		report_failure(id, &outcome);
	if (outcome.result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(outcome.result);
}
