/*
 * workers.c
 *		The workers, in shared memory: see workers.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "shmem/databases.h"
#include "shmem/scheduler_wake.h"
#include "shmem/live_log.h"
#include "shmem/workers.h"

/* A role whose jobs have waited is remembered so long (microseconds) */
#define AWAIT_REMEMBERED	(60 * USECS_PER_SEC)

/* A job that has not begun to wait after so long is not expected to any more */
#define AWAIT_EXPECTED		(2 * USECS_PER_SEC)

WorkerSlot *worker_slots = NULL;
WorkerSlot *my_worker = NULL;

/*
 * A worker that waits in defer.await() does not count as one of
 * defer.max_workers, so there may be more.
 */
int
worker_slot_count(void)
{
	return Max(defer_max_workers, max_worker_processes);
}

Size
workers_shmem_size(void)
{
	return mul_size(worker_slot_count(), sizeof(WorkerSlot));
}

void
workers_shmem_init(LWLockPadded *locks)
{
	bool		found;

	worker_slots = ShmemInitStruct("defer workers", workers_shmem_size(), &found);
	if (found)
		return;
	memset(worker_slots, 0, workers_shmem_size());
	for (int i = 0; i < shared->nworker_slots; i++)
		worker_slots[i].lock = &locks[i].lock;
}

/*
 * Wake up to n idle workers of that role; returns how many were woken.  Blocked ones look by
 * themselves when they have waited.
 */
int
workers_wake_idle(Oid database, Oid owner, int64 n)
{
	int			woken = 0;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots && woken < n; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_IDLE && !slot->woken && !slot->blocked &&
			slot->database == database && slot->owner == owner)
		{
			slot->woken = true;
			SetLatch(slot->process.latch);
			woken++;
		}
	}
	LWLockRelease(shared->workers_lock);
	return woken;
}

/*
 * Workers of that role, those not counted that wait for a job of their own in
 * defer.await(): they hold a process but do no work.  The caller holds
 * workers_lock.
 */
int
workers_count(Oid database, Oid owner, bool *idle)
{
	int			n = 0;

	*idle = false;
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || slot->state == WORKER_LEAVING || slot->awaiting ||
			slot->database != database || slot->owner != owner)
			continue;
		n++;
		if (slot->state == WORKER_STARTING || slot->state == WORKER_IDLE)
			*idle = true;
	}
	return n;
}

bool
worker_set_state(WorkerState state)
{
	bool		woken;

	Assert(my_worker != NULL);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	/* the scheduler counts on a worker that it has started, too */
	woken = my_worker->woken || my_worker->state == WORKER_STARTING;
	if (my_worker->state != state)
	{
		my_worker->state = state;
		my_worker->process.since = GetCurrentTimestamp();
	}
	my_worker->woken = false;
	LWLockRelease(shared->workers_lock);
	return woken;
}

void
worker_set_blocked(bool blocked)
{
	if (my_worker->blocked == blocked)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->blocked = blocked;
	LWLockRelease(shared->workers_lock);
}

void
worker_set_progress(float4 progress)
{
	if (my_worker == NULL)
		return;
	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	my_worker->progress = progress;
	LWLockRelease(my_worker->lock);
}

bool
worker_reserve_suspect(void)
{
	bool		may = true;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots && may; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		may = slot == my_worker || slot->state == WORKER_FREE || !slot->suspect;
	}
	if (may)
		my_worker->suspect = true;
	LWLockRelease(shared->workers_lock);
	return may;
}

void
worker_release_suspect(void)
{
	if (!my_worker->suspect)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->suspect = false;
	LWLockRelease(shared->workers_lock);
}

void
workers_count_awaiting(Oid owner, AwaitCounts *counts)
{
	const TimestampTz now = GetCurrentTimestamp();

	memset(counts, 0, sizeof(AwaitCounts));
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		const WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || slot->owner != owner)
			continue;
		if (slot->awaited_at != 0 && now - slot->awaited_at < AWAIT_REMEMBERED)
			counts->lately = true;
		if (slot == my_worker)
			continue;
		if (slot->awaiting)
			counts->awaiting++;
		else if (slot->await_reserved ||
				 (slot->state == WORKER_BUSY && slot->await_depth == 0 &&
				  now - slot->job_started < AWAIT_EXPECTED))
			counts->busy++;
		else if (slot->state == WORKER_BUSY && slot->await_depth > 0 &&
				 slot->database == MyDatabaseId)
			counts->busy_awaited++;
	}
}

void
worker_reserve_begin(AwaitCounts *counts)
{
	workers_count_awaiting(my_worker->owner, counts);
	if (!counts->lately && counts->awaiting == 0)
		return;

	/* several may look at the same time */
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	workers_count_awaiting(my_worker->owner, counts);
	my_worker->await_reserved = true;
	LWLockRelease(shared->workers_lock);
}

void
worker_reserve_end(int depth)
{
	if (!my_worker->await_reserved && my_worker->await_depth == depth)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->await_reserved = false;
	my_worker->await_depth = depth;
	LWLockRelease(shared->workers_lock);
}

void
worker_begin_await(int64 job_id)
{
	int			all = 0;
	int			ours = 0;

	if (my_worker == NULL)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		const WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || !slot->awaiting || slot->await_counts)
			continue;
		all++;
		if (slot->owner == my_worker->owner)
			ours++;
	}
	my_worker->awaiting = true;
	my_worker->awaited_at = GetCurrentTimestamp();
	my_worker->await_job = job_id;
	my_worker->await_counts = all >= shared->await_free || ours >= shared->await_share;
	if (my_database != NULL)
		database_wake_scheduler_locked(my_database);
	LWLockRelease(shared->workers_lock);
}

/* Others of the role may have left jobs alone because so many of it awaited */
void
worker_end_await(void)
{
	if (my_worker == NULL || !my_worker->awaiting)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->awaiting = my_worker->await_counts = false;
	my_worker->await_job = 0;
	if (my_database != NULL)
		database_wake_scheduler_locked(my_database);
	LWLockRelease(shared->workers_lock);
}

int
workers_own_slot(TimestampTz *started_at)
{
	if (my_worker == NULL)
		return -1;
	*started_at = my_worker->job_started;	/* only this process writes it */
	return (int) (my_worker - worker_slots);
}

int
workers_running(Oid database, RunningJob **jobs)
{
	int			n = 0;

	*jobs = palloc(Max(shared->nworker_slots, 1) * sizeof(RunningJob));
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || slot->process.pid == 0 || slot->database != database)
			continue;
		LWLockAcquire(slot->lock, LW_SHARED);
		if (slot->current_job != 0)
			(*jobs)[n++] = (RunningJob) {i, slot->current_job, slot->owner, slot->job_started};
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
	return n;
}
