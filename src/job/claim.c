/*
 * claim.c
 *		Taking jobs, a batch at a time.
 *
 * A claim is one transaction, flushed before the first job begins: after a
 * crash the server knows what it was running.  It writes the number of the
 * claim into each job's row (a HOT update), one row into defer.claim, and
 * deletes the rows of the last batch's jobs that succeeded.
 *
 * The scan begins at the ready queue's lowest live key and goes on from there (see
 * shmem/ready_queue.c).  Rows that others are at are skipped, never waited for.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/job_state.h"
#include "base/limits_key.h"
#include "base/own_transaction.h"
#include "config/settings_cache.h"
#include "job/batch.h"
#include "shmem/xact_notify.h"
#include "table/history_table.h"
#include "table/job_table.h"
#include "shmem/databases.h"
#include "shmem/workers.h"
#include "shmem/ready_queue.h"
#include "shmem/limits.h"
#include "job/end.h"

/* Most that one claim reads: bytes of arguments, rows that it moves or discards */
#define CLAIM_BYTES			(4 * 1024 * 1024)
#define CLAIM_OTHER_ROWS	1000

/*
 * Rows locked by other sessions that one claim passes over.  It ends there, and
 * the next one of this process goes on from there: other processes wait for
 * the claim lock meanwhile.
 */
#define CLAIM_LOCKED_ROWS	5000

/* How long claims go on from there before they look at the locked rows again (microseconds) */
#define PASSED_OVER_TIME	(5 * USECS_PER_SEC)

/* ------------------------------------------------------------------------
 * Rows that were passed over
 * ------------------------------------------------------------------------ */

/* The ready queue in which the last claim has passed over many locked rows */
static struct
{
	bool		valid;
	Oid			owner;
	int64		limits_key;
	int32		priority;
	ReadyKey	first;			/* of the rows: the queue's min_key since */
	ReadyKey	resume;			/* go on here */
	TimestampTz until;
}			passed_over;

/*
 * Begin the scan where the last claim has stopped, if nothing has come before
 * that since.  Returns whether it does.
 */
static bool
resume_behind_locked(ReadyQueueChoice *choice, TimestampTz now)
{
	if (!passed_over.valid)
		return false;
	if (passed_over.owner != choice->owner || passed_over.limits_key != choice->limits_key ||
		passed_over.priority != choice->priority || passed_over.until <= now ||
		passed_over.first.run_at != choice->min_key.run_at ||
		passed_over.first.id != choice->min_key.id)
	{
		passed_over.valid = false;
		return false;
	}
	choice->min_key = passed_over.resume;
	return true;
}

static void
remember_passed_over(const ReadyQueueChoice *choice, ReadyKey first, ReadyKey resume,
					 TimestampTz now)
{
	if (!passed_over.valid)
		passed_over.until = now + PASSED_OVER_TIME;
	passed_over.valid = true;
	passed_over.owner = choice->owner;
	passed_over.limits_key = choice->limits_key;
	passed_over.priority = choice->priority;
	passed_over.first = first;
	passed_over.resume = resume;
}

/* ------------------------------------------------------------------------
 * One row
 * ------------------------------------------------------------------------ */

static inline bool
is_text(const char *string, const text *value)
{
	return strlen(string) == VARSIZE_ANY_EXHDR(value) &&
		memcmp(string, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) == 0;
}

/*
 * Returns the limits key that a job has by the settings as they are.  A batch is
 * mostly of one function, so the last one is remembered.
 */
static int64
limits_key_by_settings(const Job *job)
{
	static char *function = NULL;	/* NULL: nothing is remembered */
	static char *queue = NULL;
	static uint64 generation = 0;
	static int64 limits_key = 0;
	uint64		read_at;
	MemoryContext context;

	if (function != NULL && generation == settings_generation() &&
		is_text(function, job->function) && is_text(queue, job->queue))
		return limits_key;

	context = MemoryContextSwitchTo(TopMemoryContext);
	if (function != NULL)
	{
		pfree(function);
		function = NULL;
	}
	if (queue != NULL)
	{
		pfree(queue);
		queue = NULL;
	}
	queue = text_to_cstring(job->queue);
	function = text_to_cstring(job->function);
	MemoryContextSwitchTo(context);

	/*
	 * Reading the settings may fail, or hear of a change in between: so the
	 * remembered values count as of before.
	 */
	generation = 0;
	read_at = settings_generation();
	limits_key = job_limits_key(function, queue);
	generation = read_at;
	return limits_key;
}

/* Check whether the job has a limit now that its ready queue does not have */
static bool
must_move(const Job *job, int64 limits_key)
{
	return (LIMITS_KEY_FUNCTION(limits_key) != 0 &&
			LIMITS_KEY_FUNCTION(limits_key) != LIMITS_KEY_FUNCTION(job->limits_key)) ||
		(LIMITS_KEY_QUEUE(limits_key) != 0 &&
		 LIMITS_KEY_QUEUE(limits_key) != LIMITS_KEY_QUEUE(job->limits_key));
}

/* What a claim has done with a row */
typedef enum ScanAction
{
	ROW_CLAIMED_BEFORE,			/* nothing: it has a claim */
	ROW_CLAIMED,
	ROW_DONE,					/* moved or discarded it */
	ROW_LOCKED,					/* nothing: another session has locked it */
	ROW_POSTPONED,				/* nothing: a suspect that cannot run now */
	ROW_STOP					/* nothing, and the batch ends before it */
} ScanAction;

/* A job that was not begun in time ends here */
static ScanAction
discard_row(ItemPointer tid, TupleTableSlot *slot)
{
	Job			job;

	job_from_slot(&job, slot);
	if (!job_delete_at(tid))
		return ROW_LOCKED;
	job_end(&job, STATE_DISCARDED, 0, NO_TIME, NULL, NULL,
			"was not begun before discard_after");
	return ROW_DONE;
}

/* A job that has a limit by now goes into the ready queue of that limit */
static ScanAction
move_row(ItemPointer tid, TupleTableSlot *slot, int64 limits_key)
{
	Job			job;

	job_from_slot(&job, slot);
	if (!job_set_claim_at(tid, slot, 0, NULL))
		return ROW_LOCKED;
	CommandCounterIncrement();
	job.limits_key = limits_key;
	job_update(&job);
	xact_notify_job(job.owner, job.limits_key, job.priority, job.run_at, job.id);
	return ROW_DONE;
}

/*
 * Deal with a row of the scan.  Whether it can be had is known only when it has
 * been written: its values are not copied before that.
 */
static ScanAction
claim_row(Batch *new_batch, TupleTableSlot *slot, TimestampTz now, Size *bytes)
{
	BatchJob   *entry = &new_batch->jobs[new_batch->njobs];
	ItemPointerData tid = slot->tts_tid;
	Job			job;
	int64		limits_key;
	MemoryContext context;

	job_peek(&job, slot);
	if (job.claim != 0)
		return ROW_CLAIMED_BEFORE;
	if (job.discard_at != NO_TIME && job.discard_at <= now && job.attempt == 0)
		return discard_row(&tid, slot);
	limits_key = limits_key_by_settings(&job);
	if (must_move(&job, limits_key))
		return move_row(&tid, slot, limits_key);
	if (job.suspect > 0 && my_worker != NULL)
	{
		/* alone in its batch, and only if that is possible now */
		if (new_batch->njobs > 0)
			return ROW_STOP;
		if (!worker_reserve_suspect(job.suspect))
			return ROW_POSTPONED;
	}
	if (!job_set_claim_at(&tid, slot, new_batch->claim_id, &entry->place))
		return ROW_LOCKED;

	context = MemoryContextSwitchTo(new_batch->context);
	job_from_slot(&entry->job, slot);
	MemoryContextSwitchTo(context);
	entry->job.claim = new_batch->claim_id;
	entry->state = JOB_TAKEN;
	new_batch->njobs++;
	*bytes += (entry->job.args != NULL ? VARSIZE_ANY(entry->job.args) : 0) +
		(entry->job.metadata != NULL ? VARSIZE_ANY(entry->job.metadata) : 0) + sizeof(BatchJob);
	return ROW_CLAIMED;
}

/* ------------------------------------------------------------------------
 * A ready queue
 * ------------------------------------------------------------------------ */

/* What a claim has met */
typedef struct ClaimScan
{
	ReadyKey	stopped;		/* first row that was not looked at */
	ReadyKey	postponed;		/* first of the rows that are to be looked at
								 * again */
	bool		at_locked;		/* it stopped because too many rows are locked */
} ClaimScan;

static void
scan_ready_queue(Batch *new_batch, const ReadyQueueChoice *choice, int max, TimestampTz now,
				 ClaimScan *result)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "defer claimed row",
													  ALLOCSET_DEFAULT_SIZES);
	ReadyScan	scan;
	Size		bytes = 0;
	int			ndone = 0;
	int			nlocked = 0;

	ready_scan_open(&scan, choice);
	while (index_getnext_slot(scan.scan, ForwardScanDirection, scan.slot))
	{
		ReadyKey	key;
		bool		isnull;
		ScanAction	action = ROW_STOP;

		CHECK_FOR_INTERRUPTS();
		key.run_at = DatumGetTimestampTz(slot_getattr(scan.slot, JOB_RUN_AT, &isnull));
		key.id = DatumGetInt64(slot_getattr(scan.slot, JOB_ID, &isnull));
		if (key.run_at <= now && new_batch->njobs < max && bytes <= CLAIM_BYTES &&
			ndone <= CLAIM_OTHER_ROWS && nlocked <= CLAIM_LOCKED_ROWS)
		{
			MemoryContext context = MemoryContextSwitchTo(row_context);

			action = claim_row(new_batch, scan.slot, now, &bytes);
			MemoryContextSwitchTo(context);
			MemoryContextReset(row_context);
		}
		if (action == ROW_STOP)
		{
			result->stopped = key;
			break;
		}
		if (action == ROW_DONE)
			ndone++;
		if (action == ROW_LOCKED)
			nlocked++;
		if ((action == ROW_LOCKED || action == ROW_POSTPONED) &&
			ready_key_before(key, result->postponed))
			result->postponed = key;
		if (action == ROW_CLAIMED && my_worker != NULL && new_batch->jobs[0].job.suspect > 0)
			max = 1;
	}
	result->at_locked = nlocked > CLAIM_LOCKED_ROWS;
	ready_scan_close(&scan);
	MemoryContextDelete(row_context);
}

/*
 * Take one free job that is due, by its id; the limits of limits_key are
 * reserved.  Returns false if it is not free any more, or under other limits.
 */
bool
claim_job(Batch *new_batch, int64 id, int64 limits_key)
{
	const TimestampTz now = GetCurrentTimestamp();
	TupleTableSlot *slot = table_slot_create(job_table()->rel, NULL);
	ItemPointerData tid;
	Size		bytes = 0;
	bool		isnull;
	bool		taken = false;

	if (job_tid(id, &tid, slot) &&
		DatumGetTimestampTz(slot_getattr(slot, JOB_RUN_AT, &isnull)) <= now &&
		DatumGetInt64(slot_getattr(slot, JOB_LIMITS_KEY, &isnull)) == limits_key)
		taken = claim_row(new_batch, slot, now, &bytes) == ROW_CLAIMED;
	ExecDropSingleTupleTableSlot(slot);
	return taken;
}

/*
 * Take up to max jobs of a ready queue.  Returns the first key that is still to
 * be looked at: all before it are taken, or not free.  *pause_after: if nothing was
 * taken, wait a moment before the next try.
 */
ReadyKey
claim_ready_queue(Batch *new_batch, ReadyQueueChoice *choice, int max, TimestampTz now,
				  bool *pause_after)
{
	ReadyQueueChoice from;
	ClaimScan	result = {READY_KEY_NONE, READY_KEY_NONE, false};
	bool		resumed;
	ReadyKey	next;

	*pause_after = true;

	/* if it is locked wait here, where that holds up no other database */
	(void) job_table();
	ready_queue_scan_begin(choice, MyDatabaseId);
	if (choice->min_key.run_at > now)
	{
		/* another process was quicker */
		ready_queue_scan_advance(choice, MyDatabaseId, choice->min_key);
		return choice->min_key;
	}
	from = *choice;
	resumed = resume_behind_locked(&from, now);
	scan_ready_queue(new_batch, &from, max, now, &result);
	next = ready_key_before(result.postponed, result.stopped) ? result.postponed : result.stopped;
	if (resumed)
		next = choice->min_key;

	if ((result.at_locked || resumed) && result.stopped.run_at <= now)
	{
		remember_passed_over(choice, next, result.stopped, now);
		*pause_after = !result.at_locked;
	}
	else
		passed_over.valid = false;
	ready_queue_scan_advance(choice, MyDatabaseId, next);
	return next;
}

/* ------------------------------------------------------------------------
 * The next batch
 * ------------------------------------------------------------------------ */

/*
 * Wake the scheduler after a claim, which left "next" as the next key of the
 * queue, if it has something to do.
 */
static void
wake_after_claim(const ReadyQueueChoice *choice, bool claimed, ReadyKey next, TimestampTz now)
{
	/* the rest is due later: a worker that is free then must be told */
	if (next.run_at > now && next.run_at < my_database->next_wake)
		database_wake_scheduler(MyDatabaseId);

	/*
	 * This claim may have taken the last room: the scheduler cancels jobs
	 * that find none.  They may be in another ready queue, or have been added
	 * after the scan, by a session that left that to this claim.
	 */
	else if (claimed && limits_cancel_at_limit(MyDatabaseId, choice->limits_key))
		database_wake_scheduler(MyDatabaseId);
}

/*
 * Finalize the last batch and take the next.  false: nothing was taken (and the
 * last batch is finalized all the same).
 */
bool
batch_claim(int max, TimestampTz *look_again)
{
	/* static, as it is changed in PG_TRY and looked at in PG_CATCH */
	static ReadyQueueChoice choice;
	const TimestampTz now = GetCurrentTimestamp();
	Batch	   *new_batch;
	ReadyKey	next = READY_KEY_NONE;
	bool		pause_after = true;
	bool		claimed;

	batch_release_limits();
	worker_release_suspect();
	if (!defer_enabled || !ready_queue_choose(MyDatabaseId, my_worker->owner, now, &choice,
											  look_again))
	{
		batch_finalize();
		return false;
	}

	new_batch = batch_new_begin();
	new_batch->limits_key = choice.limits_key;
	PG_TRY();
	{
		/* where jobs without room are cancelled, none waits in a batch */
		bool		one = limits_may_cancel(MyDatabaseId, choice.limits_key);

		own_transaction_begin();
		batch_finalize_in_transaction();
		new_batch->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		new_batch->settings = settings_generation();
		next = claim_ready_queue(new_batch, &choice, one ? 1 : max, now, &pause_after);
		batch_new_record(new_batch);
		own_transaction_end();
	}
	PG_CATCH();
	{
		ready_queue_scan_abort(&choice, MyDatabaseId);
		batch_new_abort();
		PG_RE_THROW();
	}
	PG_END_TRY();

	claimed = new_batch->njobs > 0;
	ready_queue_scan_end(&choice, MyDatabaseId, next, new_batch->njobs,
						 pause_after ? now : DT_NOBEGIN);
	new_batch->reserved = claimed && LIMITS_KEY_HAS_LIMITS(choice.limits_key);
	batch_new_commit(new_batch);
	if (!claimed)
	{
		worker_release_suspect();

		/*
		 * another ready queue may have jobs, and this one will be tried
		 * again: see ready_queue_scan_end()
		 */
		*look_again = Min(*look_again, now);

		/* who has come meanwhile saw no room, and that we would take it */
		if (LIMITS_KEY_HAS_LIMITS(choice.limits_key))
			database_wake_scheduler(MyDatabaseId);
	}

	wake_after_claim(&choice, claimed, next, now);
	return claimed;
}
