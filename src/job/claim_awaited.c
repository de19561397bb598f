/*
 * claim_awaited.c
 *		Jobs that other jobs await.
 *
 * A job in defer.await() keeps its worker.  When as many workers of a role
 * await as there may be, the others of that role take awaited jobs only: so
 * parents never keep the last worker from their children.  What a job awaits
 * is in its worker's slot, in shared memory; the jobs are read one by one by
 * their ids, of which there are no more than workers.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/job_kind.h"
#include "base/own_transaction.h"
#include "config/settings_cache.h"
#include "job/batch.h"
#include "job/claim.h"
#include "shmem/limits.h"
#include "shmem/workers.h"
#include "table/job_by_id.h"

/* A job that could not be taken is looked at again after this (microseconds) */
#define AGAIN_DELAY	(20 * 1000)

typedef struct Awaited
{
	int64		job_id;
	int			depth;			/* 1: awaited by a job that no job awaits */
} Awaited;

/* The deepest first; of one depth, the latest first */
static int
compare_awaited(const void *left, const void *right)
{
	const Awaited *a = left;
	const Awaited *b = right;

	if (a->depth != b->depth)
		return a->depth > b->depth ? -1 : 1;
	return a->job_id == b->job_id ? 0 : a->job_id > b->job_id ? -1 : 1;
}

/* Copies what jobs of this database await; returns how many there are */
static int
list_awaited(Awaited **list)
{
	int			n = 0;
	int			kept = 0;

	/* not under the lock: palloc may fail */
	*list = palloc(sizeof(Awaited) * shared->nworker_slots);
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state != WORKER_FREE && slot->database == MyDatabaseId && slot->awaiting)
			(*list)[n++] = (Awaited) {slot->await_job, slot->await_depth + 1};
	}
	LWLockRelease(shared->workers_lock);
	qsort(*list, n, sizeof(Awaited), compare_awaited);
	for (int i = 0; i < n; i++)
	{
		if (kept == 0 || (*list)[i].job_id != (*list)[kept - 1].job_id)
			(*list)[kept++] = (*list)[i];
	}
	return kept;
}

/* Check whether the job waits in the batch of a worker */
static bool
waits_in_batch(int64 job_id)
{
	bool		waits = false;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && !waits; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state != WORKER_BUSY || slot->database != MyDatabaseId ||
			slot->nwaiting == 0)	/* unlocked look */
			continue;
		LWLockAcquire(slot->lock, LW_SHARED);
		for (int e = 0; e < slot->nentries && !waits; e++)
			waits = slot->entries[e].job_id == job_id && slot->entries[e].state == ENTRY_WAITING;
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
	return waits;
}

/*
 * Check whether a worker of that role could begin the job now.  In a
 * transaction
 */
static bool
is_ready(int64 job_id, Oid owner, TimestampTz now, TimestampTz *next_check, Job *job)
{
	if (!job_read(job_id, job) || job->owner != owner || kind_is_outside(job->kind))
		return false;
	if (job->claim != 0)
		return waits_in_batch(job_id);
	if (job->run_at > now)
	{
		*next_check = Min(*next_check, job->run_at);
		return false;
	}
	settings_set_scopes(job);
	return limits_have_capacity(MyDatabaseId, &job->scopes);
}

int
awaited_ready(Oid owner, int min_depth, TimestampTz now, TimestampTz *next_check)
{
	Awaited    *list;
	int			n = list_awaited(&list);
	int			ready = 0;

	own_transaction_begin();
	for (int i = 0; i < n; i++)
	{
		Job			job;

		if (list[i].depth >= min_depth && is_ready(list[i].job_id, owner, now, next_check, &job))
			ready++;
	}
	own_transaction_end();
	return ready;
}

bool
batch_take_awaited(int min_depth, int *depth, TimestampTz *next_check)
{
	const TimestampTz now = GetCurrentTimestamp();
	Awaited    *list;
	int			n = list_awaited(&list);

	for (int i = 0; defer_enabled && i < n && list[i].depth >= min_depth; i++)
	{
		Job			job;
		bool		ready;

		own_transaction_begin();
		ready = is_ready(list[i].job_id, my_worker->owner, now, next_check, &job);
		own_transaction_end();
		if (!ready)
			continue;
		*depth = list[i].depth;
		if (batch_take_job(&job))
			return true;
		*next_check = Min(*next_check, now + AGAIN_DELAY);	/* moved, or locked */
	}
	batch_finalize();
	return false;
}
