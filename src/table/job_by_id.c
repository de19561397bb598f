/*
 * job_by_id.c
 *		One row of defer.job by its id: read, lock, change, delete.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "table/job_by_id.h"
#include "table/job_row.h"
#include "table/job_table.h"

bool
job_read(int64 id, Job *job)
{
	TupleTableSlot *slot = table_slot_create(job_table()->rel, NULL);
	ItemPointerData tid;
	bool		found;

	CommandCounterIncrement();
	found = job_tid(id, &tid, slot);
	if (found)
		job_from_slot(job, slot);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

static int64
claim_of_slot(TupleTableSlot *slot)
{
	bool		isnull;
	Datum		claim = slot_getattr(slot, JOB_CLAIM, &isnull);

	return isnull ? 0 : DatumGetInt64(claim);
}

/* claim: that it must have; NULL: any */
static JobLock
lock_row(int64 id, const int64 *claim, bool skip_locked, Job *job)
{
	JobTable   *table = job_table();
	TupleTableSlot *slot = table_slot_create(table->rel, NULL);
	JobLock		outcome = JOB_GONE;
	ItemPointerData tid;

	CommandCounterIncrement();
	while (job_tid(id, &tid, slot))
	{
		TM_FailureData failure;
		TM_Result	result;

		CHECK_FOR_INTERRUPTS();
		if (claim != NULL && claim_of_slot(slot) != *claim)
			break;

		/*
		 * a later version may have another claim: then it is looked at before
		 * it is locked
		 */
		result = table_tuple_lock(table->rel, &tid, GetLatestSnapshot(), slot,
								  GetCurrentCommandId(false), LockTupleExclusive,
								  skip_locked ? LockWaitSkip : LockWaitBlock,
								  claim == NULL ? TUPLE_LOCK_FLAG_FIND_LAST_VERSION : 0, &failure);
		if (result == TM_Ok)
		{
			job_from_slot(job, slot);
			outcome = JOB_LOCKED;
			break;
		}
		if (result == TM_WouldBlock)
		{
			outcome = JOB_BUSY;
			break;
		}
		/* deleted, or changed under our eyes: look again */
	}
	ExecDropSingleTupleTableSlot(slot);
	return outcome;
}

JobLock
job_lock(int64 id, bool skip_locked, Job *job)
{
	return lock_row(id, NULL, skip_locked, job);
}

JobLock
job_lock_claim(int64 id, int64 claim, bool skip_locked, Job *job)
{
	return lock_row(id, &claim, skip_locked, job);
}

/*
 * Check whether a row stands where it was left, as its newest committed version, which
 * table->slot has then.
 */
static bool
stands_at(JobTable *table, int64 id, CachedTid *place)
{
	return ItemPointerIsValid(&place->tid) &&
		tid_cache_holds(place, table->rel, &table->nblocks, id, table->slot) &&
		table_tuple_satisfies_snapshot(table->rel, table->slot, GetLatestSnapshot());
}

bool
job_delete_claim(int64 id, int64 claim, CachedTid *place, Job *job)
{
	JobTable   *table = job_table();
	ItemPointerData tid = place->tid;
	bool		deleted = false;
	bool		found;

	CommandCounterIncrement();
	found = stands_at(table, id, place);
	for (; found || job_tid(id, &tid, table->slot); found = false)
	{
		TM_FailureData failure;
		TM_Result	result;

		CHECK_FOR_INTERRUPTS();
		if (claim_of_slot(table->slot) != claim)
			break;
		job_from_slot(job, table->slot);
		result = compat_table_delete(table->rel, &tid, GetCurrentCommandId(true), true, &failure);
		deleted = result == TM_Ok;
		if (deleted || result == TM_SelfModified)
			break;
		/* changed or deleted since it was read: look again */
	}
	ExecClearTuple(table->slot);
	return deleted;
}

/*
 * Write all of a row that this transaction has locked.
 */
void
job_update(const Job *job)
{
	JobTable   *table = job_table();
	TupleTableSlot *slot = table_slot_create(table->rel, NULL);
	ItemPointerData tid;
	TM_Result	result = TM_Deleted;

	CommandCounterIncrement();
	if (job_tid(job->id, &tid, slot))
	{
		job_to_slot(job, table->slot);
		result = job_table_update_at(table, &tid, true);
		ExecClearTuple(table->slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	if (result != TM_Ok)
		elog(ERROR, "job " INT64_FORMAT " was changed by another process", job->id);
}

/* Our own lock on the row counts as one of another session, unless we "wait" */
void
job_delete(int64 id)
{
	TupleTableSlot *slot = table_slot_create(job_table()->rel, NULL);
	ItemPointerData tid;

	CommandCounterIncrement();
	if (!job_tid(id, &tid, slot) || !job_table_delete_at(&tid, true))
		elog(ERROR, "job " INT64_FORMAT " was changed by another process", id);
	ExecDropSingleTupleTableSlot(slot);
}
