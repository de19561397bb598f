/*
 * runs.c
 *		Runs of a schedule that have not ended, and what overlap does with them.
 *
 * An index has the jobs of a schedule side by side in the order of their
 * ticks.  It is read directly: no plan can go wrong because defer.job holds a
 * million jobs of others.  A run that is held back (overlap "queue") is a free
 * job with run_at infinity: no worker meets it, and it is released later if the
 * scheduler cannot do it now.  Held runs have an index of their own, so that the
 * end of a run costs nothing where none is held, and a schedule may have
 * SCHEDULE_HELD_MAX of them.
 *
 * Runs of a backfill carry an option that says so.  The schedule's own rule for
 * overlap does not see them; there are few at a time.
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

#include "base/compat.h"
#include "base/job_state.h"
#include "base/jsonb_util.h"
#include "config/settings_cache.h"
#include "shmem/preload.h"
#include "shmem/xact_notify_job.h"
#include "table/history_table.h"
#include "table/job_by_id.h"
#include "table/job_table.h"
#include "job/batch.h"
#include "schedule/backfill.h"
#include "job/end.h"

/* The member of the options of a run that a backfill has enqueued: its id */
#define BACKFILL_OPTION "backfill"

/* Rows that are read to find room for runs of a backfill, at most */
#define ROOM_READ_MAX	1000

/* A job of a schedule that has not ended */
typedef struct Run
{
	int64		job_id;
	int64		claim;
	bool		held;
	bool		backfill;		/* enqueued by defer.backfill() */
} Run;

/* ------------------------------------------------------------------------
 * Reading them
 * ------------------------------------------------------------------------ */

/* A scan of defer.job by an index on schedule and tick, as of now */
typedef struct RunScan
{
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	ScanKeyData keys[2];
	int			nkeys;
} RunScan;

/* Of the schedules equal to, or after, an id */
static void
run_scan_open(RunScan *scan, CatalogObject index, StrategyNumber strategy, int64 schedule_id)
{
	memset(scan, 0, sizeof(RunScan));
	scan->index = index_open(catalog_oid(index), AccessShareLock);
	ScanKeyInit(&scan->keys[scan->nkeys++], 1, strategy,
				strategy == BTEqualStrategyNumber ? F_INT8EQ : F_INT8GT,
				Int64GetDatum(schedule_id));
}

static void
run_scan_begin(RunScan *scan)
{
	Relation	table;

	CommandCounterIncrement();
	table = job_table()->rel;
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->slot = table_slot_create(table, NULL);
	scan->scan = compat_index_beginscan(table, scan->index, scan->snapshot, scan->nkeys);
	index_rescan(scan->scan, scan->keys, scan->nkeys, NULL, 0);
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

Jsonb *
backfill_option(int64 backfill_id)
{
	JsonbBuilder state = {0};

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_number(&state, BACKFILL_OPTION, backfill_id);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

static bool
is_backfill(const Jsonb *options)
{
	return jsonb_read_number(options, BACKFILL_OPTION, 0) != 0;
}

/* The run in the slot; false: it has ended, and its row is still to be deleted */
static bool
run_from_slot(TupleTableSlot *slot, Run *run)
{
	bool		isnull;
	Datum		options;

	run->job_id = DatumGetInt64(slot_getattr(slot, JOB_ID, &isnull));
	run->claim = DatumGetInt64(slot_getattr(slot, JOB_CLAIM, &isnull));
	if (isnull)
		run->claim = 0;
	run->held = run->claim == 0 &&
		DatumGetTimestampTz(slot_getattr(slot, JOB_RUN_AT, &isnull)) == DT_NOEND;
	options = slot_getattr(slot, JOB_OPTIONS, &isnull);
	run->backfill = !isnull && is_backfill(DatumGetJsonbP(options));
	return run->claim == 0 || !history_exists(run->job_id);
}

/* Check whether a job of that tick has been enqueued, and is still there */
bool
schedule_tick_has_job(int64 schedule_id, TimestampTz tick)
{
	RunScan		scan;
	bool		found;

	run_scan_open(&scan, CAT_JOB_SCHEDULE_IDX, BTEqualStrategyNumber, schedule_id);
	ScanKeyInit(&scan.keys[scan.nkeys++], 2, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ,
				TimestampTzGetDatum(tick));
	run_scan_begin(&scan);
	found = run_scan_next(&scan);
	run_scan_end(&scan);
	return found;
}

/*
 * Check whether any run of the schedule has not ended: any at all, or any but
 * held ones
 */
static bool
has_run(int64 schedule_id, bool or_held)
{
	RunScan		scan;
	Run			run;
	bool		found = false;

	run_scan_open(&scan, CAT_JOB_SCHEDULE_IDX, BTEqualStrategyNumber, schedule_id);
	run_scan_begin(&scan);
	while (!found && run_scan_next(&scan))
		found = run_from_slot(scan.slot, &run) && !run.backfill && (or_held || !run.held);
	run_scan_end(&scan);
	return found;
}

/* Check whether any run of the schedule has not ended */
bool
schedule_is_busy(int64 schedule_id)
{
	return has_run(schedule_id, true);
}

/* Check whether the schedule has as many held runs as it may have */
bool
schedule_holds_most(int64 schedule_id)
{
	RunScan		scan;
	int			n = 0;

	run_scan_open(&scan, CAT_JOB_HELD_IDX, BTEqualStrategyNumber, schedule_id);
	run_scan_begin(&scan);
	while (n < SCHEDULE_HELD_MAX && run_scan_next(&scan))
		n++;
	run_scan_end(&scan);
	return n == SCHEDULE_HELD_MAX;
}

int
backfill_room(int64 schedule_id, BackfillOverlap overlap)
{
	RunScan		scan;
	Run			run;
	int			room = overlap == BACKFILL_ALLOW ? BACKFILL_RUNS_MAX : 1;
	int			nread = 0;

	run_scan_open(&scan, CAT_JOB_SCHEDULE_IDX, BTEqualStrategyNumber, schedule_id);
	run_scan_begin(&scan);
	while (room > 0 && run_scan_next(&scan))
	{
		/* the schedule has a long queue of its own: later */
		if (++nread > ROOM_READ_MAX)
			room = 0;
		else if (run_from_slot(scan.slot, &run) && (run.backfill || overlap == BACKFILL_QUEUE))
			room--;
	}
	run_scan_end(&scan);
	return room;
}

/* ------------------------------------------------------------------------
 * Replacing them
 * ------------------------------------------------------------------------ */

/*
 * End a run that another takes the place of: at once if it waits.  False: it
 * runs, and has been told to stop, or another session has its row locked.
 */
static bool
replace_run(const Run *run, TimestampTz tick)
{
	Job			job;

	if (run->claim != 0 && batch_job_runs(run->job_id))
	{
		(void) batch_cancel_job(run->job_id);
		return false;
	}
	switch (job_lock(run->job_id, true, &job))
	{
		case JOB_GONE:
			return true;
		case JOB_BUSY:
			if (batch_job_runs(run->job_id))
				(void) batch_cancel_job(run->job_id);
			return false;
		case JOB_LOCKED:
			break;
	}
	if (job.claim != 0)
	{
		/* taken by a worker before we had the lock */
		if (batch_job_runs(job.id))
		{
			(void) batch_cancel_job(job.id);
			return false;
		}
		if (history_exists(job.id))
			return true;
	}
	job.claim = 0;
	job_end(&job, STATE_CANCELLED, job.attempt, NO_TIME, NULL, NULL,
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

	run_scan_open(&scan, CAT_JOB_SCHEDULE_IDX, BTEqualStrategyNumber, schedule_id);
	run_scan_begin(&scan);
	while (run_scan_next(&scan))
	{
		Run		   *run = palloc(sizeof(Run));

		if (run_from_slot(scan.slot, run) && !run->backfill)
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
		settings_set_limits(&job);
		job_update(&job);
		xact_notify_job(&job);
	}
	return lock != JOB_BUSY;
}

/*
 * The next schedule after an id that has held runs, and the job of its earliest
 * one; 0: there is none.
 */
static int64
next_held(int64 after, int64 *job_id)
{
	RunScan		scan;
	Run			run;
	int64		schedule_id = 0;
	bool		isnull;

	run_scan_open(&scan, CAT_JOB_HELD_IDX, BTGreaterStrategyNumber, after);
	run_scan_begin(&scan);
	while (schedule_id == 0 && run_scan_next(&scan))
	{
		if (!run_from_slot(scan.slot, &run) || !run.held)
			continue;
		schedule_id = DatumGetInt64(slot_getattr(scan.slot, JOB_SCHEDULE_ID, &isnull));
		*job_id = run.job_id;
	}
	run_scan_end(&scan);
	return schedule_id;
}

/*
 * Release the earliest held run of each schedule that has no other run.  Returns
 * false if another session was at the row of one: try again.
 */
bool
schedule_release_held(void)
{
	int64		schedule_id = 0;
	int64		job_id;
	bool		all = true;

	while ((schedule_id = next_held(schedule_id, &job_id)) != 0)
	{
		CHECK_FOR_INTERRUPTS();
		if (!has_run(schedule_id, false) && !release_run(job_id))
			all = false;
	}
	return all;
}
