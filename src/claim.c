/*
 * claim.c
 *		Taking jobs, a batch at a time, and settling the batch before.
 *
 * A claim is one transaction, flushed before the first job begins: after a
 * crash the server knows what it was running.  It writes the number of the
 * claim into each job's row (a HOT update), one row into defer.claim, and
 * deletes the rows of the last batch's jobs that succeeded.
 *
 * The scan begins at the lane's lowest live key and goes on from there (see
 * shared_state.h).  Rows that others are at are skipped, never waited for.
 *
 * Jobs of a batch that have not begun can be taken over by an idle worker of
 * the same role ("stolen"), or taken out by cancel and reschedule
 * ("withdrawn").  Both first mark the entry in shared memory, then write the
 * row.  If their transaction fails the row still carries our claim: so the
 * rows of such entries are looked at when the batch is settled.
 */
#include "defer.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "jobs.h"
#include "rollup.h"

/* What one claim reads at most: bytes of arguments, rows it does not take */
#define CLAIM_BYTES			(4 * 1024 * 1024)
#define CLAIM_OTHER_ROWS	1000

/* Transactions of our own wait so long for a lock */
#define LOCK_TIMEOUT_OWN	"2s"

/* A steal is worth it when the victim's job has run this long (microseconds) */
#define STEAL_AFTER			(20 * 1000)

Batch		batch;

/*
 * Rows of settled batches that somebody held locked when we wanted to delete
 * or release them; tried again with each batch.
 */
typedef struct Leftover
{
	int64		job_id;
	int64		claim_id;
	bool		finished;
	bool		done;			/* by the transaction that is under way */
} Leftover;

static Leftover *leftovers = NULL;
static int	nleftovers = 0;
static int	ncommitted = 0;		/* of them, from before that transaction */
static int	leftovers_size = 0;

/* ------------------------------------------------------------------------
 * Entries in the worker's slot
 * ------------------------------------------------------------------------ */

/* Show the batch to the others: before the claim is committed */
static void
publish_batch(const Batch *new_batch)
{
	SpinLockAcquire(&my_worker->mutex);
	my_worker->previous_claim_id = my_worker->claim_id;
	my_worker->claim_id = new_batch->claim_id;
	my_worker->lane = new_batch->lane;
	my_worker->nentries = my_worker->nwaiting = new_batch->njobs;
	for (int i = 0; i < new_batch->njobs; i++)
	{
		my_worker->entries[i].job_id = new_batch->jobs[i].job.id;
		my_worker->entries[i].state = ENTRY_WAITING;
	}
	SpinLockRelease(&my_worker->mutex);
}

/* The claim that was published did not come about (NULL), or the one before is gone */
static void
unpublish_batch(bool failed)
{
	SpinLockAcquire(&my_worker->mutex);
	if (failed)
	{
		my_worker->claim_id = my_worker->previous_claim_id;
		my_worker->nentries = my_worker->nwaiting = 0;
	}
	my_worker->previous_claim_id = 0;
	SpinLockRelease(&my_worker->mutex);
}

/* Begin a job of the batch; false: it was stolen or withdrawn */
bool
batch_start_job(int index, TimestampTz now)
{
	bool		ours = false;

	SpinLockAcquire(&my_worker->mutex);
	if (my_worker->entries[index].state == ENTRY_WAITING)
	{
		my_worker->entries[index].state = ENTRY_STARTED;
		my_worker->nwaiting--;
		my_worker->current_job = my_worker->entries[index].job_id;
		my_worker->job_started = now;
		my_worker->progress = -1;
		my_worker->cancel_job = 0;
		ours = true;
	}
	SpinLockRelease(&my_worker->mutex);
	return ours;
}

void
batch_end_job(void)
{
	SpinLockAcquire(&my_worker->mutex);
	my_worker->current_job = 0;
	my_worker->cancel_job = 0;
	SpinLockRelease(&my_worker->mutex);
}

/* Do not run a job of the batch after all: settling the batch sets it free */
void
batch_leave_job(int index)
{
	SpinLockAcquire(&my_worker->mutex);
	if (my_worker->entries[index].state == ENTRY_WAITING)
	{
		my_worker->entries[index].state = ENTRY_WITHDRAWN;
		my_worker->nwaiting--;
	}
	SpinLockRelease(&my_worker->mutex);
}

/*
 * Take a job out of whatever batch it waits in.  For cancel and reschedule,
 * which then write the row.
 */
BatchWithdraw
batch_withdraw(int64 job_id)
{
	BatchWithdraw result = BATCH_NOT_CLAIMED;

	if (shared == NULL)
		return BATCH_NOT_CLAIMED;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && result == BATCH_NOT_CLAIMED; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || slot->database != MyDatabaseId)
			continue;
		SpinLockAcquire(&slot->mutex);
		for (int e = 0; e < slot->nentries; e++)
		{
			BatchEntry *entry = &slot->entries[e];

			if (entry->job_id != job_id)
				continue;
			if (entry->state == ENTRY_WAITING)
			{
				entry->state = ENTRY_WITHDRAWN;
				slot->nwaiting--;
				result = BATCH_WITHDRAWN;
			}
			else if (entry->state == ENTRY_WITHDRAWN)
				result = BATCH_WITHDRAWN;	/* and the caller holds its lock */
			else if (entry->state == ENTRY_STARTED)
				result = BATCH_RUNNING;
			break;
		}
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(shared->workers_lock);
	if (result == BATCH_NOT_CLAIMED && courier_has(MyDatabaseId, job_id, false))
		result = BATCH_RUNNING;
	return result;
}

/* Stop a running job; false: nobody runs it (any more) */
bool
worker_cancel_job(int64 job_id)
{
	bool		found = false;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && !found; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || slot->database != MyDatabaseId)
			continue;
		SpinLockAcquire(&slot->mutex);
		if (slot->current_job == job_id)
		{
			slot->cancel_job = job_id;
			found = true;
		}
		SpinLockRelease(&slot->mutex);

		/* a worker leaves its slot under the lock that we hold */
		if (found && slot->pid != 0)
			kill(slot->pid, SIGINT);
	}
	LWLockRelease(shared->workers_lock);
	return found || courier_has(MyDatabaseId, job_id, true);
}

/* ------------------------------------------------------------------------
 * Settling a batch, in a transaction that is open
 * ------------------------------------------------------------------------ */

static void
add_leftover(int64 job_id, int64 claim_id, bool finished)
{
	if (nleftovers == leftovers_size)
	{
		leftovers_size = Max(32, leftovers_size * 2);
		leftovers = leftovers == NULL
			? MemoryContextAlloc(TopMemoryContext, leftovers_size * sizeof(Leftover))
			: repalloc(leftovers, leftovers_size * sizeof(Leftover));
	}
	leftovers[nleftovers++] = (Leftover) {job_id, claim_id, finished, false};
}

/*
 * A row that carries our claim though nobody works on it: delete it if the job
 * has finished, else set it free.  Returns false if it is locked.
 */
static bool
settle_row(int64 job_id, int64 claim_id, bool finished)
{
	Job			job;

	switch (job_lock(job_id, true, &job))
	{
		case JOB_BUSY:
			return false;
		case JOB_GONE:
			return true;
		case JOB_LOCKED:
			break;
	}
	if (finished)
	{
		/* its row of history may be gone, with that day */
		if (!rollup_delete_ended(job_id, rollup_collect))
			job_delete(job_id);
	}
	else if (job.claim == claim_id)
	{
		job.claim = 0;
		job.lane = job_lane(text_to_cstring(job.function), text_to_cstring(job.queue));
		job_update(&job);
		pending_job(job.owner, job.lane, job.priority, job.run_at, job.id);
	}
	return true;
}

/*
 * Write what is left to write of the batch and of earlier ones.  What is in
 * memory changes with settled(), after the commit: if the transaction fails,
 * all this is done again.
 */
static void
settle_in_transaction(void)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "defer settle",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext context = MemoryContextSwitchTo(scratch);

	nleftovers = ncommitted;
	rollup_begin(ncommitted + batch.njobs);
	for (int i = 0; i < ncommitted; i++)
		leftovers[i].done = settle_row(leftovers[i].job_id, leftovers[i].claim_id,
									   leftovers[i].finished);

	for (int i = 0; i < batch.njobs; i++)
	{
		BatchJob   *job = &batch.jobs[i];

		if (job->state == JOB_SUCCEEDED)
		{
			if (job_delete_at(&job->tid))
				rollup_collect(&job->job, STATE_SUCCEEDED, job->started_at, job->finished_at);
			else
				add_leftover(job->job.id, batch.claim_id, true);
		}
		else if (job->state == JOB_TAKEN &&
				 !settle_row(job->job.id, batch.claim_id, false))
			add_leftover(job->job.id, batch.claim_id, false);
	}
	rollup_write();
	if (batch.claim_id != 0)
		claim_row_delete(&batch.claim_tid);
	MemoryContextSwitchTo(context);
	MemoryContextDelete(scratch);
}

/* The transaction that settled has committed */
static void
settled(void)
{
	int			kept = 0;

	for (int i = 0; i < nleftovers; i++)
	{
		if (!leftovers[i].done)
			leftovers[kept++] = leftovers[i];
	}
	nleftovers = ncommitted = kept;
	batch.claim_id = 0;
	batch.njobs = 0;
}

void
batch_release_limits(void)
{
	if (!batch.reserved)
		return;
	batch.reserved = false;
	limits_release(MyDatabaseId, batch.lane);

	/* who has waited for room in that lane may be somebody else */
	if (LANE_HAS_LIMITS(batch.lane))
		wake_scheduler(MyDatabaseId);
}

bool
batch_unsettled(void)
{
	return batch.claim_id != 0 || nleftovers > 0;
}

static MemoryContext bookkeeping_context;

/*
 * The snapshot is not for what we read, which is mostly as of now: a row whose
 * values are stored out of line can be neither read nor deleted without one.
 */
void
bookkeeping_begin_at(int isolation)
{
	bookkeeping_context = CurrentMemoryContext;
	StartTransactionCommand();
	XactIsoLevel = isolation;
	XactReadOnly = false;
	XactDeferrable = false;
	PushActiveSnapshot(GetTransactionSnapshot());

	/*
	 * Whoever locks our tables holds up neither a process that is to leave
	 * nor those that wait for its place: it is an error, and tried again.
	 */
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT_OWN, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

void
bookkeeping_begin(void)
{
	bookkeeping_begin_at(XACT_READ_COMMITTED);
}

/*
 * Does anybody hold a lock on our tables that a worker would wait for?  In a
 * transaction, which keeps those that it gets.
 */
bool
bookkeeping_is_locked(void)
{
	static const CatalogObject tables[] = {CAT_JOB, CAT_CLAIM, CAT_HISTORY};

	for (int i = 0; i < lengthof(tables); i++)
	{
		if (!ConditionalLockRelationOid(catalog_oid(tables[i]), RowExclusiveLock))
			return true;
	}
	return false;
}

/* Commit, and go on in the memory context that bookkeeping_begin() found */
void
bookkeeping_end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(bookkeeping_context);
}

/* bookkeeping_is_locked(), in a transaction of its own: somebody may come the next moment */
bool
bookkeeping_would_wait(void)
{
	bool		locked;

	bookkeeping_begin();
	locked = bookkeeping_is_locked();
	bookkeeping_end();
	return locked;
}

/* Print an error of our own and make sure that nothing of it is left */
void
report_own_error(MemoryContext context)
{
	MemoryContextSwitchTo(context);
	EmitErrorReport();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(context);
}

/* In a transaction of its own: it may have been dropped under us */
bool
extension_is_there(void)
{
	bool		there;

	bookkeeping_begin();
	there = catalog_installed();
	bookkeeping_end();
	return there;
}

/* ------------------------------------------------------------------------
 * The new batch
 * ------------------------------------------------------------------------ */

/* One row in defer.claim says what was taken, for recovery after a crash */
void
claim_row_insert(int64 claim_id, const int64 *ids, int n, ItemPointer tid)
{
	Relation	rel = table_open(catalog_oid(CAT_CLAIM), RowExclusiveLock);
	Datum	   *elements = palloc(Max(n, 1) * sizeof(Datum));
	const int	natts = RelationGetNumberOfAttributes(rel);
	Datum	   *values = palloc0(Max(natts, 3) * sizeof(Datum));
	bool	   *nulls = palloc0(Max(natts, 3) * sizeof(bool));
	HeapTuple	tuple;
	Relation	pkey;

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	values[0] = Int64GetDatum(claim_id);
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[2] = PointerGetDatum(construct_array(elements, n, INT8OID, 8, FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	for (int i = 3; i < natts; i++)
		nulls[i] = true;		/* a later version's */
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	simple_heap_insert(rel, tuple);
	*tid = tuple->t_self;

	pkey = index_open(catalog_oid(CAT_CLAIM_PKEY), RowExclusiveLock);
	index_insert(pkey, values, nulls, &tuple->t_self, rel, UNIQUE_CHECK_YES, false, NULL);
	index_close(pkey, NoLock);
	table_close(rel, NoLock);
}

void
claim_row_delete(ItemPointer tid)
{
	Relation	rel = table_open(catalog_oid(CAT_CLAIM), RowExclusiveLock);
	TM_FailureData failure;

	(void) table_tuple_delete(rel, tid, GetCurrentCommandId(true), InvalidSnapshot,
							  InvalidSnapshot, false, &failure, false);
	table_close(rel, NoLock);
}

static void
insert_claim_row(Batch *new_batch)
{
	int64	   *ids = palloc((new_batch->njobs + nleftovers) * sizeof(int64));
	int			n = 0;

	for (int i = 0; i < new_batch->njobs; i++)
		ids[n++] = new_batch->jobs[i].job.id;
	for (int i = 0; i < nleftovers; i++)
	{
		if (!leftovers[i].done)
			ids[n++] = leftovers[i].job_id;
	}
	claim_row_insert(new_batch->claim_id, ids, n, &new_batch->claim_tid);
}

/*
 * The lane that a row belongs into by the settings as they are; a batch is
 * mostly of one function, so remember the last.
 */
static int64
lane_by_settings(const Job *job)
{
	static char *function = NULL;
	static char *queue = NULL;
	static uint64 generation = 0;
	static int64 lane = 0;

	if (function == NULL || generation != settings_generation() ||
		strlen(function) != VARSIZE_ANY_EXHDR(job->function) ||
		strlen(queue) != VARSIZE_ANY_EXHDR(job->queue) ||
		memcmp(function, VARDATA_ANY(job->function), strlen(function)) != 0 ||
		memcmp(queue, VARDATA_ANY(job->queue), strlen(queue)) != 0)
	{
		MemoryContext context = MemoryContextSwitchTo(TopMemoryContext);

		if (function != NULL)
		{
			pfree(function);
			function = NULL;
			pfree(queue);
		}
		queue = text_to_cstring(job->queue);
		function = text_to_cstring(job->function);
		MemoryContextSwitchTo(context);
		lane = job_lane(function, queue);
		generation = settings_generation();
	}
	return lane;
}

/* Has the row a limit now that its lane does not have? */
static bool
must_move(const Job *job, int64 lane)
{
	return (LANE_FUNCTION(lane) != 0 && LANE_FUNCTION(lane) != LANE_FUNCTION(job->lane)) ||
		(LANE_QUEUE(lane) != 0 && LANE_QUEUE(lane) != LANE_QUEUE(job->lane));
}

/* What became of a row that the scan met */
typedef enum RowFate
{
	ROW_NOT_FREE,				/* claimed by somebody */
	ROW_TAKEN,
	ROW_DONE,					/* moved or discarded */
	ROW_SKIPPED,				/* locked, or not to be taken now */
	ROW_STOP					/* the batch ends before it */
} RowFate;

/* The row is ours to deal with, if we can get at it */
static RowFate
claim_row(Batch *new_batch, TupleTableSlot *slot, TimestampTz now, Size *bytes)
{
	BatchJob   *entry = &new_batch->jobs[new_batch->njobs];
	Job		   *job = &entry->job;
	ItemPointerData tid = slot->tts_tid;
	bool		isnull;
	int64		lane;
	MemoryContext context;

	(void) slot_getattr(slot, JOB_CLAIM, &isnull);
	if (!isnull)
		return ROW_NOT_FREE;

	context = MemoryContextSwitchTo(new_batch->context);
	job_from_slot(job, slot);
	MemoryContextSwitchTo(context);

	if (job->discard_at != NO_TIME && job->discard_at <= now && job->attempt == 0)
	{
		if (!job_delete_at(&tid))
			return ROW_SKIPPED;
		history_insert(job, STATE_DISCARDED, 0, NO_TIME, NULL, NULL,
					   "was not begun before discard_after");
		if (job->schedule_id != 0)
			pending_release();
		return ROW_DONE;
	}
	lane = lane_by_settings(job);
	if (must_move(job, lane))
	{
		if (!job_set_claim_at(&tid, slot, 0, &tid))
			return ROW_SKIPPED;
		CommandCounterIncrement();
		job->lane = lane;
		job_update(job);
		pending_job(job->owner, job->lane, job->priority, job->run_at, job->id);
		return ROW_DONE;
	}
	if (job->suspect > 0 && my_worker != NULL)
	{
		/* alone in its batch, and only if that is possible now */
		if (new_batch->njobs > 0)
			return ROW_STOP;
		if (!worker_reserve_suspect(job->suspect))
			return ROW_SKIPPED;
	}
	if (!job_set_claim_at(&tid, slot, new_batch->claim_id, &entry->tid))
		return ROW_SKIPPED;
	job->claim = new_batch->claim_id;
	entry->state = JOB_TAKEN;
	new_batch->njobs++;
	*bytes += (job->args != NULL ? VARSIZE_ANY(job->args) : 0) +
		(job->metadata != NULL ? VARSIZE_ANY(job->metadata) : 0) + sizeof(BatchJob);
	return ROW_TAKEN;
}

/*
 * Take up to max jobs of a lane.  Returns the first key that was not dealt
 * with; what is before it is taken, or somebody else's affair.
 */
LaneKey
claim_lane(Batch *new_batch, LaneChoice *choice, int max, TimestampTz now)
{
	LaneScan	scan;
	LaneKey		next = LANE_KEY_NONE;
	LaneKey		skipped = LANE_KEY_NONE;
	Size		bytes = 0;
	int			others = 0;

	/* if it is locked wait here, where that holds up no other database */
	(void) job_table();
	lane_scan_begin(choice, MyDatabaseId);
	if (choice->low.run_at > now)
	{
		/* others were quicker */
		lane_scan_advance(choice, MyDatabaseId, choice->low);
		return choice->low;
	}
	lane_scan_open(&scan, choice);
	while (index_getnext_slot(scan.scan, ForwardScanDirection, scan.slot))
	{
		LaneKey		key;
		bool		isnull;
		RowFate		fate;

		CHECK_FOR_INTERRUPTS();
		key.run_at = DatumGetTimestampTz(slot_getattr(scan.slot, JOB_RUN_AT, &isnull));
		key.id = DatumGetInt64(slot_getattr(scan.slot, JOB_ID, &isnull));
		if (key.run_at > now || new_batch->njobs >= max || bytes > CLAIM_BYTES ||
			others > CLAIM_OTHER_ROWS)
		{
			next = key;
			break;
		}
		fate = claim_row(new_batch, scan.slot, now, &bytes);
		if (fate == ROW_STOP)
		{
			next = key;
			break;
		}
		if (fate == ROW_DONE)
			others++;
		if (fate == ROW_SKIPPED && lane_key_before(key, skipped))
			skipped = key;
		if (fate == ROW_TAKEN && my_worker != NULL && new_batch->jobs[0].job.suspect > 0)
			max = 1;
	}
	lane_scan_close(&scan);
	if (lane_key_before(skipped, next))
		next = skipped;
	lane_scan_advance(choice, MyDatabaseId, next);
	return next;
}

/* The new batch is built beside the old one, which is still to be settled */
static Batch *
new_batch_begin(void)
{
	static Batch *spare = NULL;

	if (spare == NULL)
		spare = MemoryContextAllocZero(TopMemoryContext, sizeof(Batch));
	if (spare->context == NULL)
		spare->context = AllocSetContextCreate(TopMemoryContext, "defer batch",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(spare->context);
	spare->njobs = 0;
	spare->reserved = false;
	return spare;
}

/*
 * Write down what the new batch took, before the commit: in the table and for
 * the others in shared memory.  Leftovers of earlier batches go with it, even
 * if it is empty: each row that carries a claim is named in defer.claim.
 */
static void
record_claim(Batch *new_batch)
{
	if (new_batch->njobs == 0 && nleftovers == 0)
	{
		new_batch->claim_id = 0;
		publish_batch(new_batch);
		return;
	}
	insert_claim_row(new_batch);
	publish_batch(new_batch);
	ForceSyncCommit();
}

/* The claim is committed: the new batch takes the old one's place */
static void
new_batch_commit(Batch *new_batch)
{
	MemoryContext old = batch.context;

	settled();

	/* copy only what is used: a Batch is large */
	memcpy(&batch, new_batch, offsetof(Batch, jobs) + new_batch->njobs * sizeof(BatchJob));
	new_batch->context = old;
	new_batch->njobs = 0;
	unpublish_batch(false);
}

/* Settle in a transaction of its own: no more jobs, or time to go */
void
batch_settle(void)
{
	Batch	   *empty;

	batch_release_limits();
	worker_release_suspect();
	if (!batch_unsettled())
		return;
	empty = new_batch_begin();
	empty->lane = 0;
	PG_TRY();
	{
		bookkeeping_begin();
		settle_in_transaction();
		if (nleftovers > 0)
			empty->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		record_claim(empty);
		bookkeeping_end();
	}
	PG_CATCH();
	{
		unpublish_batch(true);
		PG_RE_THROW();
	}
	PG_END_TRY();
	new_batch_commit(empty);
}

/*
 * Settle the last batch and take the next.  false: nothing was taken (and the
 * last batch is settled all the same).
 */
bool
batch_claim(int max, TimestampTz *look_again)
{
	const TimestampTz now = GetCurrentTimestamp();
	LaneChoice	choice;
	Batch	   *new_batch;
	LaneKey		next = LANE_KEY_NONE;
	bool		took;

	batch_release_limits();
	worker_release_suspect();
	if (!defer_enabled || !lane_choose(MyDatabaseId, my_worker->owner, now, &choice, look_again))
	{
		batch_settle();
		return false;
	}

	new_batch = new_batch_begin();
	new_batch->lane = choice.lane;
	PG_TRY();
	{
		/* where those that find no room are cancelled, none waits in a batch */
		bool		one = lane_may_cancel(MyDatabaseId, choice.lane);

		bookkeeping_begin();
		settle_in_transaction();
		new_batch->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		new_batch->settings = settings_generation();
		next = claim_lane(new_batch, &choice, one ? 1 : max, now);
		record_claim(new_batch);
		bookkeeping_end();
	}
	PG_CATCH();
	{
		lane_scan_abort(&choice, MyDatabaseId);
		unpublish_batch(true);
		PG_RE_THROW();
	}
	PG_END_TRY();

	took = new_batch->njobs > 0;
	lane_scan_end(&choice, MyDatabaseId, next, new_batch->njobs, now);
	new_batch->reserved = took && LANE_HAS_LIMITS(choice.lane);
	new_batch_commit(new_batch);
	if (!took)
		worker_release_suspect();

	/* what is left is due later: whoever is free then must be told */
	if (next.run_at > now && next.run_at < my_database->next_wake)
		wake_scheduler(MyDatabaseId);

	/* we may have taken the last room: the scheduler cancels what finds none */
	else if (took && next.run_at <= now && lane_cancels_at_limit(MyDatabaseId, choice.lane))
		wake_scheduler(MyDatabaseId);
	return took;
}

/* ------------------------------------------------------------------------
 * Stealing
 * ------------------------------------------------------------------------ */

/* What is being stolen; one at a time */
static struct
{
	WorkerSlot *victim;			/* NULL: nobody */
	int64		claim_id;		/* the victim's */
	int64		lane;
	int			n;
	int64		ids[BATCH_MAX]; /* newest first */
}			theft;

/*
 * Choose a victim: a worker of our role with jobs that wait behind one that
 * takes long, and mark what we take.  *later: somebody may become one.
 */
static void
choose_victim(bool *later)
{
	TimestampTz now = GetCurrentTimestamp();

	theft.victim = NULL;
	theft.n = 0;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && theft.victim == NULL; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot == my_worker || slot->state != WORKER_BUSY ||
			slot->database != MyDatabaseId || slot->owner != my_worker->owner ||
			slot->nwaiting == 0)	/* unlocked look */
			continue;
		SpinLockAcquire(&slot->mutex);
		if (slot->nwaiting > 0 && slot->current_job != 0 &&
			(slot->awaiting || now - slot->job_started >= STEAL_AFTER))
		{
			int			want = slot->awaiting ? slot->nwaiting : (slot->nwaiting + 1) / 2;

			theft.victim = slot;
			theft.claim_id = slot->claim_id;
			theft.lane = slot->lane;
			for (int e = slot->nentries - 1; e >= 0 && theft.n < want; e--)
			{
				if (slot->entries[e].state != ENTRY_WAITING)
					continue;
				slot->entries[e].state = ENTRY_STOLEN;
				slot->nwaiting--;
				theft.ids[theft.n++] = slot->entries[e].job_id;
			}
		}
		else if (slot->nwaiting > 0)
			*later = true;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(shared->workers_lock);
}

/*
 * We could not take them after all: they wait again.  If the victim has passed
 * them meanwhile, it sets them free when it settles its batch.
 */
static void
give_back(void)
{
	WorkerSlot *victim = theft.victim;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	SpinLockAcquire(&victim->mutex);
	for (int e = 0; victim->claim_id == theft.claim_id && e < victim->nentries; e++)
	{
		BatchEntry *entry = &victim->entries[e];

		for (int i = 0; entry->state == ENTRY_STOLEN && i < theft.n; i++)
		{
			if (entry->job_id == theft.ids[i])
			{
				entry->state = ENTRY_WAITING;
				victim->nwaiting++;
			}
		}
	}
	SpinLockRelease(&victim->mutex);
	LWLockRelease(shared->workers_lock);
}

/* Write our claim into a stolen row; false: it is not the victim's any more */
static bool
take_over_row(Batch *new_batch, int64 id, int64 victim_claim)
{
	TupleTableSlot *slot = table_slot_create(job_table()->rel, NULL);
	BatchJob   *entry = &new_batch->jobs[new_batch->njobs];
	ItemPointerData tid;
	bool		taken = false;

	if (job_tid(id, &tid, slot))
	{
		MemoryContext context = MemoryContextSwitchTo(new_batch->context);

		job_from_slot(&entry->job, slot);
		MemoryContextSwitchTo(context);
		taken = entry->job.claim == victim_claim &&
			job_set_claim_at(&tid, slot, new_batch->claim_id, &entry->tid);
	}
	ExecDropSingleTupleTableSlot(slot);
	if (taken)
	{
		entry->job.claim = new_batch->claim_id;
		entry->state = JOB_TAKEN;
		new_batch->njobs++;
	}
	return taken;
}

/*
 * Take over half of what waits behind somebody's long job.  *later is set if
 * it is worth trying again in a moment.
 */
bool
batch_steal(bool *later)
{
	Batch	   *new_batch;
	bool		took;

	*later = false;
	if (!defer_enabled)
		return false;
	choose_victim(later);
	if (theft.n == 0)
		return false;
	if (!limits_reserve(MyDatabaseId, theft.lane))
	{
		give_back();
		return false;
	}

	new_batch = new_batch_begin();
	new_batch->lane = theft.lane;
	PG_TRY();
	{
		bookkeeping_begin();
		settle_in_transaction();
		new_batch->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		new_batch->settings = settings_generation();
		for (int i = theft.n - 1; i >= 0; i--)
			(void) take_over_row(new_batch, theft.ids[i], theft.claim_id);
		record_claim(new_batch);
		bookkeeping_end();
	}
	PG_CATCH();
	{
		limits_release(MyDatabaseId, theft.lane);
		unpublish_batch(true);
		give_back();
		PG_RE_THROW();
	}
	PG_END_TRY();

	took = new_batch->njobs > 0;
	new_batch->reserved = took && LANE_HAS_LIMITS(theft.lane);
	if (!took)
		limits_release(MyDatabaseId, theft.lane);
	new_batch_commit(new_batch);
	return took;
}
