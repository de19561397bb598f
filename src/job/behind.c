/*
 * behind.c
 *		Jobs that wait for the end of another one, whose key they have taken over.
 *
 * defer.enqueue(on_key => 'replace') beside a running job makes a job that is
 * held, with run_at infinity: "behind" names the running one, whose followed_by
 * names it.  A row with followed_by is not in the unique index of keys.
 *
 * The lock on the running job's row decides between the session that enqueues
 * and the worker:
 *
 *	- The session locks the row, sees that the job has not ended, and writes
 *	  followed_by.  A worker that ends the job later finds that, and releases the
 *	  held one in the same transaction.
 *	- A successful job does not wait for a session that has its row locked: it
 *	  leaves the row, and cannot see what the session has written.  Then the
 *	  session may put a job behind one that has ended.  So both of them have the
 *	  scheduler look, once their commit is visible: the later one's look finds
 *	  both.  test/model/behind.pml proves that one look is not enough.
 *	- All other ends wait for the lock.
 *
 * What shared memory has lost, in a crash, the scheduler looks for at its start.
 */
#include "postgres.h"

#include "access/genam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "job/behind.h"
#include "job/held.h"
#include "shmem/xact_notify.h"
#include "table/history_table.h"
#include "table/job_insert.h"
#include "table/job_by_id.h"
#include "table/job_table.h"

/* Held jobs that are looked at in one part */
#define LOOK_ROWS	500

/* A held job, and the one that it waits for */
typedef struct Held
{
	int64		id;
	int64		ahead;
} Held;

void
behind_insert(Job *job, Job *ahead)
{
	KeyHolder	holder;

	ahead->followed_by = job->id;
	job_update(ahead);

	job->behind = ahead->id;
	job_hold(job);
	if (!job_insert_key(job, &holder))
		elog(ERROR, "job " INT64_FORMAT " has the key of job " INT64_FORMAT, holder.id, ahead->id);
	xact_notify_behind(ahead->id);
}

/* Let a job begin that waits behind one that has ended; false: its row is locked */
static bool
release(int64 id, int64 ahead)
{
	Job			job;
	JobLock		lock = job_lock(id, true, &job);

	if (lock != JOB_LOCKED)
		return lock == JOB_GONE;
	if (job.behind == ahead)
		job_unhold(&job);
	return true;
}

void
behind_release(int64 id, int64 ahead)
{
	if (!release(id, ahead))
		xact_notify_behind(ahead);
}

void
behind_give_back_key(const Job *cancelled)
{
	Job			ahead;

	if (job_lock(cancelled->behind, false, &ahead) != JOB_LOCKED ||
		ahead.followed_by != cancelled->id)
		return;
	ahead.followed_by = 0;
	job_update(&ahead);
}

/* ------------------------------------------------------------------------
 * The scheduler's look
 * ------------------------------------------------------------------------ */

/*
 * Read held jobs in the order of those that they wait for: the one behind a job,
 * or up to LOOK_ROWS of those behind jobs after it.  Returns how many.
 */
static int
read_held(int64 ahead, bool after, Held *held)
{
	Relation	table = job_table()->rel;
	Relation	index = index_open(catalog_oid(CAT_JOB_HELD_IDX), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(table, NULL);
	ScanKeyData keys[3];
	IndexScanDesc scan;
	int			n = 0;

	/* those without a schedule, and so without a tick */
	for (int i = 0; i < 2; i++)
		ScanKeyEntryInitialize(&keys[i], SK_ISNULL | SK_SEARCHNULL, i + 1, InvalidStrategy,
							   InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
	ScanKeyInit(&keys[2], 3, after ? BTGreaterStrategyNumber : BTEqualStrategyNumber,
				after ? F_INT8GT : F_INT8EQ, Int64GetDatum(ahead));
	scan = compat_index_beginscan(table, index, snapshot, lengthof(keys));
	index_rescan(scan, keys, lengthof(keys), NULL, 0);
	while (n < LOOK_ROWS && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;

		held[n].id = DatumGetInt64(slot_getattr(slot, JOB_ID, &isnull));
		held[n++].ahead = DatumGetInt64(slot_getattr(slot, JOB_BEHIND, &isnull));
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	index_close(index, NoLock);
	return n;
}

static bool
has_ended(int64 id)
{
	Job			job;

	return !job_read(id, &job) || history_has_ended(&job);
}

/* Release those of the held jobs whose time has come; false: not all, try again */
static bool
release_ended(const Held *held, int n)
{
	bool		all = true;

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (has_ended(held[i].ahead) && !release(held[i].id, held[i].ahead))
			all = false;
	}
	return all;
}

bool
behind_look(const int64 *ahead, int n)
{
	Held		held[LOOK_ROWS];
	bool		all = true;

	for (int i = 0; i < n; i++)
	{
		if (!release_ended(held, read_held(ahead[i], false, held)))
			all = false;
	}
	return all;
}

bool
behind_look_all(int64 *after, bool *last)
{
	Held		held[LOOK_ROWS];
	int			n = read_held(*after, true, held);

	*last = n < LOOK_ROWS;
	if (n > 0)
		*after = held[n - 1].ahead;
	return release_ended(held, n);
}
