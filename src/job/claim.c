/*
 * claim.c
 *		Taking jobs, a batch at a time.
 *
 * A claim is one transaction.  It is not flushed before its first job begins: what
 * that commits comes behind the claim in the WAL, and which job had begun when the
 * server crashed is in shmem/begun_jobs.c.  A claim writes the number of the
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
#include "config/settings_changes.h"
#include "job/batch.h"
#include "job/claim.h"
#include "job/claim_row.h"
#include "table/ready_scan.h"
#include "shmem/databases.h"
#include "shmem/scheduler_wake.h"
#include "shmem/workers.h"
#include "shmem/limits.h"
#include "base/catalog.h"
#include "table/job_row.h"
#include "table/job_table.h"

/* Most rows that one claim moves or discards */
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
 * A ready queue
 * ------------------------------------------------------------------------ */

/* What a claim has met */
typedef struct ClaimScan
{
	ReadyKey	stopped;		/* first row that was not looked at */
	ReadyKey	postponed;		/* first of the rows that are to be looked at
								 * again */
	bool		at_locked;		/* it stopped because too many rows are locked */
	bool		other_limits;	/* or at a row with ROW_OTHER_LIMITS: */
	LimitScopes needs;			/* its limits */
	bool		in_order;		/* jobs were taken in the order of their group */
	int			hint;			/* of them: the next is likely to be met */
} ClaimScan;

/* Count a row, and remember it if it is to be looked at again */
static void
note_row(ClaimScan *result, ScanAction action, ReadyKey key, int *ndone, int *nlocked)
{
	if (action == ROW_DONE || action == ROW_MOVED)
		(*ndone)++;
	if (action == ROW_LOCKED)
		(*nlocked)++;
	if ((action == ROW_LOCKED || action == ROW_POSTPONED) &&
		ready_key_before(key, result->postponed))
		result->postponed = key;
}

/* Check whether the batch has a job that the scan meets, which reads it as it was before */
static bool
batch_has(const Batch *new_batch, int64 id, ClaimScan *result)
{
	for (int i = 0; i < new_batch->njobs; i++)
	{
		int			at = (result->hint + i) % new_batch->njobs;

		if (new_batch->jobs[at].job.id == id)
		{
			result->hint = at + 1;
			return true;
		}
	}
	return false;
}

/*
 * Deal with a row.  At the first one whose group has an order, the claim takes the first
 * jobs of that order; what it meets afterwards is of these, or ends the scan.
 */
static ScanAction
scan_row(Batch *new_batch, TupleTableSlot *slot, ReadyQueueChoice *choice, int max, int64 id,
		 TimestampTz now, ClaimScan *result)
{
	ScanAction	action = ROW_IN_ORDER;

	if (!result->in_order)
		action = claim_row(new_batch, slot, &choice->scopes, false, now, &result->needs);
	if (action != ROW_IN_ORDER)
		return action;
	if (!result->in_order)
	{
		result->in_order = true;
		result->hint = new_batch->njobs;
		action = claim_in_order(new_batch, slot, choice, max, 0, now, &result->needs);
		choice->pause_after = choice->pause_after && action != ROW_MOVED;
	}
	if (batch_has(new_batch, id, result))
		return ROW_CLAIMED;
	return action == ROW_OTHER_LIMITS ? ROW_OTHER_LIMITS : ROW_STOP;
}

static void
scan_ready_queue(Batch *new_batch, ReadyQueueChoice *choice, int max, TimestampTz now,
				 ClaimScan *result)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "defer claimed row",
													  ALLOCSET_DEFAULT_SIZES);
	ReadyScan	scan;
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
		if (key.run_at <= now && ndone <= CLAIM_OTHER_ROWS && nlocked <= CLAIM_LOCKED_ROWS &&
			(result->in_order ||
			 (new_batch->njobs < max && new_batch->bytes <= CLAIM_BYTES)))
		{
			MemoryContext context = MemoryContextSwitchTo(row_context);

			action = scan_row(new_batch, scan.slot, choice, max, key.id, now, result);
			MemoryContextSwitchTo(context);
			MemoryContextReset(row_context);
		}
		result->other_limits = action == ROW_OTHER_LIMITS;
		if (action == ROW_STOP || result->other_limits)
		{
			result->stopped = key;
			break;
		}
		note_row(result, action, key, &ndone, &nlocked);
		if (action == ROW_CLAIMED && my_worker != NULL &&
			new_batch->jobs[0].job.suspect >= SUSPECT_ALONE)
			max = 1;
	}
	result->at_locked = nlocked > CLAIM_LOCKED_ROWS;
	ready_scan_close(&scan);
	MemoryContextDelete(row_context);
}

/*
 * The jobs that are added to the batch from now on are of that group.  What a claim was
 * charged for them is known when it has ended.
 */
static void
begin_group(Batch *new_batch, int64 group, bool rated, bool counted)
{
	new_batch->charges[new_batch->ngroups] = (FairCharge) {group != 0, false, 0};
	new_batch->rated[new_batch->ngroups] = rated;
	new_batch->ordered[new_batch->ngroups] = false;
	new_batch->counted[new_batch->ngroups] = counted;
	new_batch->groups[new_batch->ngroups++] = group;
}

/*
 * Take one free job that is due, as it was read; places under job->scopes are
 * taken.  Returns false if it is not free any more, or under other limits.
 */
bool
claim_job(Batch *new_batch, const Job *wanted)
{
	const TimestampTz now = GetCurrentTimestamp();
	TupleTableSlot *slot = table_slot_create(job_table()->rel, NULL);
	ReadyQueueChoice queue = {
		.owner = wanted->owner, .priority = wanted->priority, .limits_key = wanted->limits_key,
		.scopes = wanted->scopes
	};
	ItemPointerData tid;
	LimitScopes needs;
	bool		isnull;
	bool		taken = false;

	begin_group(new_batch, wanted->scopes.group, true, false);
	if (job_tid(wanted->id, &tid, slot) &&
		DatumGetTimestampTz(slot_getattr(slot, JOB_RUN_AT, &isnull)) <= now &&
		DatumGetInt64(slot_getattr(slot, JOB_LIMITS_KEY, &isnull)) == wanted->limits_key)
	{
		ScanAction	action = claim_row(new_batch, slot, &wanted->scopes, false, now, &needs);

		if (action == ROW_IN_ORDER)
			action = claim_in_order(new_batch, slot, &queue, new_batch->njobs + 1, wanted->id,
									now, &needs);
		taken = action == ROW_CLAIMED;
	}
	ExecDropSingleTupleTableSlot(slot);
	return taken;
}

/*
 * Take up to max jobs of a ready queue, with those that the batch has.  Sets
 * choice->next, the first key that is still to be looked at: all before it are
 * taken, or not free; and whether to wait a moment before the next try if nothing
 * was taken.
 */
void
claim_ready_queue(Batch *new_batch, ReadyQueueChoice *choice, int max, TimestampTz now)
{
	const int	before = new_batch->njobs;
	ReadyQueueChoice from;
	ClaimScan	result = {.stopped = READY_KEY_NONE, .postponed = READY_KEY_NONE};
	bool		resumed;
	ReadyKey	next;

	begin_group(new_batch, choice->scopes.group, choice->planned > 0, choice->planned > 0);
	choice->pause_after = true;

	/* if it is locked wait here, where that holds up no other database */
	(void) job_table_with_claim_index();
	ready_queue_scan_begin(choice, MyDatabaseId);
	choice->next = choice->min_key;
	if (choice->min_key.run_at > now)
	{
		/* another process was quicker */
		ready_queue_scan_advance(choice, MyDatabaseId, now);
		return;
	}
	from = *choice;
	resumed = resume_behind_locked(&from, now);
	scan_ready_queue(new_batch, &from, max, now, &result);
	choice->behind = from.behind;
	choice->behind_order = from.behind_order;
	choice->behind_until = from.behind_until;
	choice->pause_after = from.pause_after;
	next = ready_key_before(result.postponed, result.stopped) ? result.postponed : result.stopped;
	if (resumed)
		next = choice->min_key;

	if ((result.at_locked || resumed) && result.stopped.run_at <= now)
	{
		remember_passed_over(choice, next, result.stopped, now);
		choice->pause_after = !result.at_locked;
	}
	else
		passed_over.valid = false;
	choice->next = next;
	choice->taken = new_batch->njobs - before;
	ready_queue_scan_advance(choice, MyDatabaseId, now);
	if (result.other_limits)
	{
		from.scopes = result.needs;
		ready_queue_rescope(MyDatabaseId, &from, now);
		database_wake_scheduler(MyDatabaseId);	/* it may have to read these
												 * limits */
		choice->pause_after = false;
	}
}

/* ------------------------------------------------------------------------
 * The next batch
 * ------------------------------------------------------------------------ */

/* Wake the scheduler after a claim, if it has something to do */
static void
wake_after_claim(const ReadyClaim *claim, bool claimed, TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	bool		at_limit = false;

	for (int i = 0; i < claim->nqueues; i++)
	{
		const ReadyQueueChoice *queue = &claim->queues[i];

		if (queue->next.run_at > now)
			next = Min(next, queue->next.run_at);
		at_limit = at_limit || (queue->taken > 0 &&
								limits_cancel_at_limit(MyDatabaseId, &queue->scopes));
	}

	next = Min(next, claim->next_token);

	/* the rest is due later: a worker that is free then must be told */
	if (next < my_database->next_wake)
		database_wake_scheduler(MyDatabaseId);

	/*
	 * This claim may have taken the last room: the scheduler cancels jobs
	 * that find none.  They may be in another ready queue, or have been added
	 * after the scan, by a session that left that to this claim.
	 */
	else if (at_limit)
		database_wake_scheduler(MyDatabaseId);
}

/* Take up to max jobs of the chosen queues, one after the other */
static void
claim_ready_queues(Batch *new_batch, ReadyClaim *claim, int max, TimestampTz now)
{
	/* where jobs without room are cancelled, none waits in a batch */
	if (limits_may_cancel(MyDatabaseId, &claim->queues[0].scopes))
		max = 1;
	for (int i = 0; i < claim->nqueues && new_batch->njobs < max; i++)
	{
		/* a job that may have crashed the server runs alone */
		if (new_batch->njobs > 0 && new_batch->jobs[0].job.suspect >= SUSPECT_ALONE)
			break;
		claim_ready_queue(new_batch, &claim->queues[i],
						  Min(max, new_batch->njobs + claim->queues[i].share), now);
	}
}

/*
 * Finalize the last batch and take the next.  false: nothing was taken (and the
 * last batch is finalized all the same).
 */
bool
batch_claim(int max, TimestampTz *look_again)
{
	const TimestampTz now = GetCurrentTimestamp();
	ReadyClaim *volatile claim = NULL;
	Batch	   *new_batch;
	bool		claimed;
	bool		waited;

	batch_release_limits();
	worker_release_suspect();
	if (defer_enabled)
		claim = ready_queue_choose(MyDatabaseId, my_worker->owner, max, now, look_again);
	if (claim == NULL)
	{
		batch_finalize();
		return false;
	}

	new_batch = batch_new_begin();
	new_batch->scopes = claim->queues[0].scopes;
	new_batch->scopes.group = 0;
	PG_TRY();
	{
		own_transaction_begin();
		batch_finalize_in_transaction();
		new_batch->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		new_batch->settings = settings_generation();
		claim_ready_queues(new_batch, claim, max, now);
		batch_new_record(new_batch);
		own_transaction_end();
	}
	PG_CATCH();
	{
		ready_queue_scan_abort(claim, MyDatabaseId);
		batch_new_abort();
		PG_RE_THROW();
	}
	PG_END_TRY();

	claimed = new_batch->njobs > 0;
	waited = ready_queue_scan_end(claim, MyDatabaseId, now);
	new_batch->reserved = claimed;
	for (int i = 0; i < new_batch->ngroups; i++)
		new_batch->charges[i] = claim->queues[i].charge;
	batch_new_commit(new_batch);
	if (!claimed)
	{
		batch_leave_reserved();
		worker_release_suspect();

		/*
		 * another ready queue may have jobs, and this one will be tried
		 * again: see ready_queue_scan_end()
		 */
		*look_again = Min(*look_again, now);
	}

	/* processes that came meanwhile saw no room, and that we would take it */
	if (waited)
		database_wake_scheduler(MyDatabaseId);
	wake_after_claim(claim, claimed, now);
	return claimed;
}
