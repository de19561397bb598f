/*
 * runs.c
 *		Runs of a schedule that have not ended, and what overlap does with them.
 *
 * An index has the jobs of a schedule side by side in the order of their
 * ticks.  It is read directly: no plan can go wrong because defer.job holds a
 * million jobs of others.  A run that is held back (overlap "queue") is a free
 * job with run_at infinity: it is in no worker's way, and nothing is lost if
 * whoever should set it free does not.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/job_state.h"
#include "shmem/preload.h"
#include "shmem/xact_notify.h"
#include "table/history_table.h"
#include "table/job_table.h"
#include "job/batch.h"
#include "schedule/schedule.h"

/* A job of a schedule that has not ended */
typedef struct Run
{
	int64		job_id;
	int64		claim;
	bool		held;
} Run;

/* ------------------------------------------------------------------------
 * Reading them
 * ------------------------------------------------------------------------ */

/*
 * A scan of defer.job by schedule and tick, as of now: of one schedule
 * (*schedule_id), or all; of one tick, or all.
 */
typedef struct RunScan
{
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	ScanKeyData keys[2];
} RunScan;

static void
run_scan_begin(RunScan *scan, const int64 *schedule_id, const TimestampTz *tick)
{
	Relation	table;
	int			nkeys = 0;

	CommandCounterIncrement();
	table = job_table()->rel;
	scan->index = index_open(catalog_oid(CAT_JOB_SCHEDULE_IDX), AccessShareLock);
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->slot = table_slot_create(table, NULL);
	if (schedule_id != NULL)
		ScanKeyInit(&scan->keys[nkeys++], 1, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(*schedule_id));
	if (tick != NULL)
		ScanKeyInit(&scan->keys[nkeys++], 2, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ,
					TimestampTzGetDatum(*tick));
	scan->scan = compat_index_beginscan(table, scan->index, scan->snapshot, nkeys);
	index_rescan(scan->scan, scan->keys, nkeys, NULL, 0);
}

static bool
run_scan_next(RunScan *scan)
{
	return index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot);
}

static void
run_scan_end(RunScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	UnregisterSnapshot(scan->snapshot);
	index_close(scan->index, NoLock);
}

/* The run in the slot; false: it has ended, and its row is still to be deleted */
static bool
run_from_slot(TupleTableSlot *slot, Run *run)
{
	bool		isnull;

	run->job_id = DatumGetInt64(slot_getattr(slot, JOB_ID, &isnull));
	run->claim = DatumGetInt64(slot_getattr(slot, JOB_CLAIM, &isnull));
	if (isnull)
		run->claim = 0;
	run->held = run->claim == 0 &&
		DatumGetTimestampTz(slot_getattr(slot, JOB_RUN_AT, &isnull)) == DT_NOEND;
	return run->claim == 0 || !history_exists(run->job_id);
}

/* Has a job of that tick been enqueued, and is still there? */
bool
schedule_tick_has_job(int64 schedule_id, TimestampTz tick)
{
	RunScan		scan;
	bool		found;

	run_scan_begin(&scan, &schedule_id, &tick);
	found = run_scan_next(&scan);
	run_scan_end(&scan);
	return found;
}

/* Has any run of the schedule not ended? */
bool
schedule_is_busy(int64 schedule_id)
{
	RunScan		scan;
	Run			run;
	bool		busy = false;

	run_scan_begin(&scan, &schedule_id, NULL);
	while (!busy && run_scan_next(&scan))
		busy = run_from_slot(scan.slot, &run);
	run_scan_end(&scan);
	return busy;
}

/* ------------------------------------------------------------------------
 * Replacing them
 * ------------------------------------------------------------------------ */

/* Does a worker run the job?  If it only waited in a batch, it is out of it now. */
static bool
job_runs(int64 id)
{
	return shmem_is_present() && batch_withdraw(id) == BATCH_RUNNING;
}

/*
 * End a run that another takes the place of: at once if it waits.  False: it
 * runs, and has been told to stop, or somebody else is at its row.
 */
static bool
replace_run(const Run *run, TimestampTz tick)
{
	Job			job;

	if (run->claim != 0 && job_runs(run->job_id))
	{
		(void) worker_cancel_job(run->job_id);
		return false;
	}
	switch (job_lock(run->job_id, true, &job))
	{
		case JOB_GONE:
			return true;
		case JOB_BUSY:
			if (job_runs(run->job_id))
				(void) worker_cancel_job(run->job_id);
			return false;
		case JOB_LOCKED:
			break;
	}
	if (job.claim != 0)
	{
		/* taken by a worker before we had the lock */
		if (job_runs(job.id))
		{
			(void) worker_cancel_job(job.id);
			return false;
		}
		if (history_exists(job.id))
			return true;
	}
	job.claim = 0;
	history_insert(&job, STATE_CANCELLED, job.attempt, NO_TIME, NULL, NULL,
				   psprintf("replaced by the run for %s", timestamptz_to_str(tick)));
	job_delete(job.id);
	return true;
}

/* End all runs of a schedule; false: some have not ended yet */
bool
schedule_replace_runs(int64 schedule_id, TimestampTz tick)
{
	List	   *runs = NIL;
	ListCell   *cell;
	RunScan		scan;
	bool		all = true;

	run_scan_begin(&scan, &schedule_id, NULL);
	while (run_scan_next(&scan))
	{
		Run		   *run = palloc(sizeof(Run));

		if (run_from_slot(scan.slot, run))
			runs = lappend(runs, run);
	}
	run_scan_end(&scan);
	foreach(cell, runs)
	{
		if (!replace_run(lfirst(cell), tick))
			all = false;
	}
	return all;
}

/* ------------------------------------------------------------------------
 * Setting them free
 * ------------------------------------------------------------------------ */

/* Let the first of the runs that wait for their turn begin; false: it is locked */
static bool
release_run(int64 job_id)
{
	Job			job;
	JobLock		lock = job_lock(job_id, true, &job);

	if (lock == JOB_LOCKED && job.claim == 0 && job.run_at == DT_NOEND)
	{
		job.run_at = GetCurrentTimestamp();
		job_update(&job);
		xact_notify_job(job.owner, job.limits_key, job.priority, job.run_at, job.id);
	}
	return lock != JOB_BUSY;
}

/*
 * The index has the runs of a schedule side by side, in the order of their
 * ticks.  Returns false if somebody was at the row of one.
 */
bool
schedule_release_held(void)
{
	List	   *free = NIL;
	ListCell   *cell;
	RunScan		scan;
	int64		schedule_id = 0;
	int64		first_held = 0;
	bool		busy = false;
	bool		all = true;

	run_scan_begin(&scan, NULL, NULL);
	for (;;)
	{
		bool		found = run_scan_next(&scan);
		bool		isnull;
		int64		id = 0;
		Run			run;

		CHECK_FOR_INTERRUPTS();
		if (found)
			id = DatumGetInt64(slot_getattr(scan.slot, JOB_SCHEDULE_ID, &isnull));
		if (!found || id != schedule_id)
		{
			if (first_held != 0 && !busy)
			{
				int64	   *copy = palloc(sizeof(int64));

				*copy = first_held;
				free = lappend(free, copy);
			}
			schedule_id = id;
			first_held = 0;
			busy = false;
		}
		if (!found)
			break;
		if (run_from_slot(scan.slot, &run))
		{
			if (!run.held)
				busy = true;
			else if (first_held == 0)
				first_held = run.job_id;
		}
	}
	run_scan_end(&scan);
	foreach(cell, free)
	{
		if (!release_run(*(int64 *) lfirst(cell)))
			all = false;
	}
	return all;
}
