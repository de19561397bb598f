/*
 * steal.c
 *		An idle worker takes over jobs that wait behind another worker's long one.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/limits_key.h"
#include "base/own_transaction.h"
#include "config/settings_cache.h"
#include "job/batch.h"
#include "job/current_job.h"
#include "table/job_table.h"
#include "shmem/workers.h"
#include "shmem/limits.h"
#include "shmem/shmem.h"

/* It is worth it when the source's job has run this long (microseconds) */
#define STEAL_AFTER			(20 * 1000)

/* The theft in progress; one at a time */
static struct
{
	WorkerSlot *source;			/* NULL: none */
	int64		claim_id;		/* the source's */
	int64		limits_key;
	bool		reserved;		/* the ready queue's limits, for us */
	int			n;
	int64		ids[BATCH_MAX]; /* newest first */
}			steal;

/*
 * Check whether jobs may be taken from a worker: it is another one of our role, and
 * some wait in its batch.  An unlocked look: the caller looks again under the lock of
 * the slot.
 */
static bool
may_be_source(const WorkerSlot *slot)
{
	return slot != my_worker && slot->state == WORKER_BUSY &&
		slot->database == MyDatabaseId && slot->owner == my_worker->owner &&
		slot->nwaiting > 0;
}

/* Mark a job that waits in the batch of a worker of our role, if it does */
static void
mark_waiting(int64 job_id)
{
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && steal.source == NULL; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (!may_be_source(slot))
			continue;
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		for (int e = 0; e < slot->nentries; e++)
		{
			if (slot->entries[e].job_id != job_id || slot->entries[e].state != ENTRY_WAITING)
				continue;
			slot->entries[e].state = ENTRY_STOLEN;
			slot->nwaiting--;
			steal.source = slot;
			steal.claim_id = slot->claim_id;
			steal.limits_key = slot->limits_key;
			steal.n = 1;
			steal.ids[0] = job_id;
			break;
		}
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
}

/*
 * Choose a source: a worker of our role with jobs that wait behind one that
 * takes long, and mark what we take.  *later: a worker may become one.
 */
static void
choose_source(bool *later)
{
	TimestampTz now = GetCurrentTimestamp();

	steal.n = 0;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && steal.source == NULL; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (!may_be_source(slot))
			continue;
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		if (slot->nwaiting > 0 && slot->current_job != 0 &&
			(slot->awaiting || now - slot->job_started >= STEAL_AFTER))
		{
			int			want = slot->awaiting ? slot->nwaiting : (slot->nwaiting + 1) / 2;

			steal.source = slot;
			steal.claim_id = slot->claim_id;
			steal.limits_key = slot->limits_key;
			for (int e = slot->nentries - 1; e >= 0 && steal.n < want; e--)
			{
				if (slot->entries[e].state != ENTRY_WAITING)
					continue;
				slot->entries[e].state = ENTRY_STOLEN;
				slot->nwaiting--;
				steal.ids[steal.n++] = slot->entries[e].job_id;
			}
		}
		else if (slot->nwaiting > 0)
			*later = true;
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
}

/*
 * We could not take them after all: they wait again.  If the source has passed
 * them meanwhile, it sets them free when it finalizes its batch.
 */
static void
give_back(void)
{
	WorkerSlot *source = steal.source;

	steal.source = NULL;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	LWLockAcquire(source->lock, LW_EXCLUSIVE);
	for (int e = 0; source->claim_id == steal.claim_id && e < source->nentries; e++)
	{
		BatchEntry *entry = &source->entries[e];

		for (int i = 0; entry->state == ENTRY_STOLEN && i < steal.n; i++)
		{
			if (entry->job_id == steal.ids[i])
			{
				entry->state = ENTRY_WAITING;
				source->nwaiting++;
			}
		}
	}
	LWLockRelease(source->lock);
	LWLockRelease(shared->workers_lock);
}

/* What was reserved for them is not needed */
static void
release_room(void)
{
	if (!steal.reserved)
		return;
	steal.reserved = false;
	batch_give_back_capacity(steal.limits_key);
}

/* The process ends, or an error does, in the middle of it */
void
batch_steal_abandon(void)
{
	release_room();
	if (steal.source != NULL)
		give_back();
}

/* Write our claim into a stolen row; false: it is not the source's any more */
static bool
take_over_row(Batch *new_batch, int64 id, int64 source_claim)
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
		taken = entry->job.claim == source_claim &&
			job_set_claim_at(&tid, slot, new_batch->claim_id, &entry->place);
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
 * Take the marked jobs of the source, or (free_job is not 0) that free one, in
 * a transaction of its own.  Their limits are reserved.
 */
static bool
take_marked(int64 free_job)
{
	Batch	   *new_batch = batch_new_begin();
	bool		taken;

	new_batch->limits_key = steal.limits_key;
	PG_TRY();
	{
		own_transaction_begin();
		batch_finalize_in_transaction();
		new_batch->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		new_batch->settings = settings_generation();
		if (free_job != 0)
			(void) claim_job(new_batch, free_job, steal.limits_key);
		else
		{
			/*
			 * Which ready queue they belong into was decided earlier: each is
			 * looked at before it begins.
			 */
			new_batch->settings = 0;
			for (int i = steal.n - 1; i >= 0; i--)
				(void) take_over_row(new_batch, steal.ids[i], steal.claim_id);
		}
		batch_new_record(new_batch);
		own_transaction_end();
	}
	PG_CATCH();
	{
		batch_new_abort();
		batch_steal_abandon();
		PG_RE_THROW();
	}
	PG_END_TRY();

	taken = new_batch->njobs > 0;
	new_batch->reserved = taken && LIMITS_KEY_HAS_LIMITS(steal.limits_key);
	if (!taken)
		release_room();
	steal.reserved = false;
	steal.source = NULL;
	batch_new_commit(new_batch);
	return taken;
}

/*
 * Take over half of the jobs that wait behind another worker's long one.
 * *later is set if it is worth trying again in a moment.
 */
bool
batch_steal(bool *later)
{
	*later = false;
	if (!defer_enabled)
		return false;
	batch_steal_abandon();		/* after an error between here and there */
	choose_source(later);
	if (steal.source == NULL)
		return false;
	steal.reserved = limits_reserve(MyDatabaseId, steal.limits_key);
	if (!steal.reserved)
	{
		give_back();
		return false;
	}
	return take_marked(0);
}

/*
 * Take one job of our role: it waits in the batch of another worker, or is free
 * with that limits_key.  Returns false if it is neither, or its limits are
 * full.
 */
bool
batch_take_job(int64 job_id, int64 limits_key)
{
	batch_release_limits();
	worker_release_suspect();
	batch_steal_abandon();
	steal.limits_key = limits_key;
	mark_waiting(job_id);
	steal.reserved = limits_reserve(MyDatabaseId, steal.limits_key);
	if (!steal.reserved)
	{
		if (steal.source != NULL)
			give_back();
		return false;
	}
	return take_marked(steal.source != NULL ? 0 : job_id);
}
