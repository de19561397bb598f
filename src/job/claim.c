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
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
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
#include "shmem/xact_notify.h"

/* What one claim reads at most: bytes of arguments, rows it does not take */
#define CLAIM_BYTES			(4 * 1024 * 1024)
#define CLAIM_OTHER_ROWS	1000

/* ------------------------------------------------------------------------
 * Rows of defer.claim
 * ------------------------------------------------------------------------ */

/* One row in defer.claim says what was taken, for recovery after a crash */
void
claim_row_insert(int64 claim_id, const int64 *ids, int n, CachedTid *place)
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
	tid_cache_set(place, rel, &tuple->t_self);

	pkey = index_open(catalog_oid(CAT_CLAIM_PKEY), RowExclusiveLock);
	index_insert(pkey, values, nulls, &tuple->t_self, rel, UNIQUE_CHECK_YES, false, NULL);
	index_close(pkey, NoLock);
	table_close(rel, NoLock);
}

/* Delete the row of a claim; false: it has been settled meanwhile */
bool
claim_row_delete_id(int64 claim_id, bool wait)
{
	Relation	rel = table_open(catalog_oid(CAT_CLAIM), RowExclusiveLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	TM_FailureData failure;
	bool		deleted = false;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(claim_id));
	scan = systable_beginscan(rel, catalog_oid(CAT_CLAIM_PKEY), true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (tuple != NULL)
		deleted = compat_table_delete(rel, &tuple->t_self, GetCurrentCommandId(true), wait,
									  &failure) == TM_Ok;
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	return deleted;
}

/* The same of a claim of ours, where we left its row */
void
claim_row_delete(int64 claim_id, CachedTid *place)
{
	Relation	rel = table_open(catalog_oid(CAT_CLAIM), RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	BlockNumber nblocks = 0;
	TM_FailureData failure;

	if (tid_cache_holds(place, rel, &nblocks, claim_id, slot))
		(void) compat_table_delete(rel, &place->tid, GetCurrentCommandId(true), false, &failure);
	else
		(void) claim_row_delete_id(claim_id, false);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
}

/* ------------------------------------------------------------------------
 * Rows of defer.job
 * ------------------------------------------------------------------------ */

/*
 * The ready queue that a row belongs into by the settings as they are; a batch is
 * mostly of one function, so remember the last.
 */
static int64
limits_key_by_settings(const Job *job)
{
	static char *function = NULL;
	static char *queue = NULL;
	static uint64 generation = 0;
	static int64 limits_key = 0;

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
		limits_key = job_limits_key(function, queue);
		generation = settings_generation();
	}
	return limits_key;
}

/* Has the row a limit now that its ready queue does not have? */
static bool
must_move(const Job *job, int64 limits_key)
{
	return (LIMITS_KEY_FUNCTION(limits_key) != 0 && LIMITS_KEY_FUNCTION(limits_key) != LIMITS_KEY_FUNCTION(job->limits_key)) ||
		(LIMITS_KEY_QUEUE(limits_key) != 0 && LIMITS_KEY_QUEUE(limits_key) != LIMITS_KEY_QUEUE(job->limits_key));
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
	int64		limits_key;
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
			xact_notify_release();
		return ROW_DONE;
	}
	limits_key = limits_key_by_settings(job);
	if (must_move(job, limits_key))
	{
		if (!job_set_claim_at(&tid, slot, 0, NULL))
			return ROW_SKIPPED;
		CommandCounterIncrement();
		job->limits_key = limits_key;
		job_update(job);
		xact_notify_job(job->owner, job->limits_key, job->priority, job->run_at, job->id);
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
	if (!job_set_claim_at(&tid, slot, new_batch->claim_id, &entry->place))
		return ROW_SKIPPED;
	job->claim = new_batch->claim_id;
	entry->state = JOB_TAKEN;
	new_batch->njobs++;
	*bytes += (job->args != NULL ? VARSIZE_ANY(job->args) : 0) +
		(job->metadata != NULL ? VARSIZE_ANY(job->metadata) : 0) + sizeof(BatchJob);
	return ROW_TAKEN;
}

/*
 * Take up to max jobs of a ready queue.  Returns the first key that was not dealt
 * with; what is before it is taken, or somebody else's affair.
 */
ReadyKey
claim_ready_queue(Batch *new_batch, ReadyQueueChoice *choice, int max, TimestampTz now)
{
	ReadyScan	scan;
	ReadyKey		next = READY_KEY_NONE;
	ReadyKey		skipped = READY_KEY_NONE;
	Size		bytes = 0;
	int			others = 0;

	/* if it is locked wait here, where that holds up no other database */
	(void) job_table();
	ready_queue_scan_begin(choice, MyDatabaseId);
	if (choice->min_key.run_at > now)
	{
		/* others were quicker */
		ready_queue_scan_advance(choice, MyDatabaseId, choice->min_key);
		return choice->min_key;
	}
	ready_scan_open(&scan, choice);
	while (index_getnext_slot(scan.scan, ForwardScanDirection, scan.slot))
	{
		ReadyKey		key;
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
		if (fate == ROW_SKIPPED && ready_key_before(key, skipped))
			skipped = key;
		if (fate == ROW_TAKEN && my_worker != NULL && new_batch->jobs[0].job.suspect > 0)
			max = 1;
	}
	ready_scan_close(&scan);
	if (ready_key_before(skipped, next))
		next = skipped;
	ready_queue_scan_advance(choice, MyDatabaseId, next);
	return next;
}

/* ------------------------------------------------------------------------
 * The next batch
 * ------------------------------------------------------------------------ */

/*
 * Settle the last batch and take the next.  false: nothing was taken (and the
 * last batch is settled all the same).
 */
bool
batch_claim(int max, TimestampTz *look_again)
{
	const TimestampTz now = GetCurrentTimestamp();
	ReadyQueueChoice	choice;
	Batch	   *new_batch;
	ReadyKey		next = READY_KEY_NONE;
	bool		took;

	batch_release_limits();
	worker_release_suspect();
	if (!defer_enabled || !ready_queue_choose(MyDatabaseId, my_worker->owner, now, &choice, look_again))
	{
		batch_settle();
		return false;
	}

	new_batch = new_batch_begin();
	new_batch->limits_key = choice.limits_key;
	PG_TRY();
	{
		/* where those that find no room are cancelled, none waits in a batch */
		bool		one = limits_may_cancel(MyDatabaseId, choice.limits_key);

		own_transaction_begin();
		settle_in_transaction();
		new_batch->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		new_batch->settings = settings_generation();
		next = claim_ready_queue(new_batch, &choice, one ? 1 : max, now);
		new_batch_record(new_batch);
		own_transaction_end();
	}
	PG_CATCH();
	{
		ready_queue_scan_abort(&choice, MyDatabaseId);
		new_batch_abort();
		PG_RE_THROW();
	}
	PG_END_TRY();

	took = new_batch->njobs > 0;
	ready_queue_scan_end(&choice, MyDatabaseId, next, new_batch->njobs, now);
	new_batch->reserved = took && LIMITS_KEY_HAS_LIMITS(choice.limits_key);
	new_batch_commit(new_batch);
	if (!took)
	{
		worker_release_suspect();

		/* another ready queue may have jobs, and this one will be tried again: see ready_queue_scan_end() */
		*look_again = Min(*look_again, now);

		/* who has come meanwhile saw no room, and that we would take it */
		if (LIMITS_KEY_HAS_LIMITS(choice.limits_key))
			wake_scheduler(MyDatabaseId);
	}

	/* what is left is due later: whoever is free then must be told */
	if (next.run_at > now && next.run_at < my_database->next_wake)
		wake_scheduler(MyDatabaseId);

	/*
	 * We may have taken the last room: the scheduler cancels what finds none.
	 * It may be in another ready queue, or have come after we had looked, and left
	 * that to us.
	 */
	else if (took && limits_cancel_at_limit(MyDatabaseId, choice.limits_key))
		wake_scheduler(MyDatabaseId);
	return took;
}
