/*
 * shmem.c
 *		Shared memory: its making, and who is there: databases, workers,
 *		senders.  See shmem/shmem.h for what is what and for the order of
 *		locks, shmem/ready_queue.c for what there is to do, shmem/waiters.c for who waits for it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "shmem/shmem.h"
#include "shmem/statistics.h"

SharedState *shared = NULL;
WorkerSlot *worker_slots = NULL;
DatabaseSlot *database_slots = NULL;
SenderSlot *sender_slots = NULL;
WaiterSlot *waiter_slots = NULL;

WorkerSlot *my_worker = NULL;
DatabaseSlot *my_database = NULL;

/*
 * A worker that waits in defer.await() does not count as one of
 * defer.max_workers, so there may be more.
 */
static int
worker_slot_count(void)
{
	return Max(defer_max_workers, max_worker_processes);
}

static Size
shared_arrays_size(void)
{
	Size		size = MAXALIGN(sizeof(SharedState));

	size = add_size(size, MAXALIGN(mul_size(worker_slot_count(), sizeof(WorkerSlot))));
	size = add_size(size, MAXALIGN(mul_size(max_worker_processes, sizeof(DatabaseSlot))));
	size = add_size(size, MAXALIGN(mul_size(max_worker_processes, sizeof(SenderSlot))));
	size = add_size(size, MAXALIGN(mul_size(defer_shared_slots, sizeof(WaiterSlot))));
	return size;
}

/* Ask for what shared_state_startup() will use */
void
shared_state_request(void)
{
	Size		size = shared_arrays_size();

	size = add_size(size, ready_queue_shared_size());
	size = add_size(size, statistics_shared_size());
	RequestAddinShmemSpace(size);
	RequestNamedLWLockTranche("defer", 3);
}

/* Runs in the postmaster; with EXEC_BACKEND in each process */
void
shared_state_startup(void)
{
	bool		found;
	char	   *memory;
	LWLockPadded *locks;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	memory = ShmemInitStruct("defer", shared_arrays_size(), &found);
	shared = (SharedState *) memory;
	memory += MAXALIGN(sizeof(SharedState));
	worker_slots = (WorkerSlot *) memory;
	memory += MAXALIGN(mul_size(worker_slot_count(), sizeof(WorkerSlot)));
	database_slots = (DatabaseSlot *) memory;
	memory += MAXALIGN(mul_size(max_worker_processes, sizeof(DatabaseSlot)));
	sender_slots = (SenderSlot *) memory;
	memory += MAXALIGN(mul_size(max_worker_processes, sizeof(SenderSlot)));
	waiter_slots = (WaiterSlot *) memory;

	if (!found)
	{
		memset(shared, 0, shared_arrays_size());
		locks = GetNamedLWLockTranche("defer");
		shared->workers_lock = &locks[0].lock;
		shared->ready_queue_lock = &locks[1].lock;
		shared->counters_lock = &locks[2].lock;
		shared->nworker_slots = worker_slot_count();
		shared->ndatabase_slots = max_worker_processes;
		shared->nwaiter_slots = defer_shared_slots;
		pg_atomic_init_u64(&shared->flush_point, 0);
		pg_atomic_init_u32(&shared->nwaiters, 0);
		pg_atomic_init_u32(&shared->nscheduled, 0);
		pg_atomic_init_u32(&shared->limit_changes, 0);
		for (int i = 0; i < CLAIM_LOCKS; i++)
		{
			pg_atomic_init_u32(&shared->claim_locks[i].holder, 0);
			ConditionVariableInit(&shared->claim_locks[i].open);
		}
		for (int i = 0; i < shared->nworker_slots; i++)
			SpinLockInit(&worker_slots[i].mutex);
		for (int i = 0; i < shared->ndatabase_slots; i++)
		{
			SpinLockInit(&sender_slots[i].mutex);
			pg_atomic_init_u32(&database_slots[i].rollup, 0);
		}
	}

	ready_queue_startup();
	statistics_startup();
	LWLockRelease(AddinShmemInitLock);
}

bool
shared_state_present(void)
{
	return shared != NULL;
}

void
warn_if_not_preloaded(void)
{
	static bool warned = false;

	if (shared != NULL || warned)
		return;
	warned = true;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("defer is not loaded by the server: no job runs and no schedule fires"),
			 errhint("Add defer to shared_preload_libraries in postgresql.conf and restart the server.")));
}

/* ------------------------------------------------------------------------
 * Databases
 * ------------------------------------------------------------------------ */

/* The slot of a database; the caller holds workers_lock, exclusively to create */
DatabaseSlot *
database_slot(Oid database, bool create)
{
	DatabaseSlot *unused = NULL;

	Assert(OidIsValid(database));
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		DatabaseSlot *slot = &database_slots[i];

		if (slot->database == database)
			return slot;
		if (!OidIsValid(slot->database) && unused == NULL)
			unused = slot;
	}
	if (!create || unused == NULL)
		return NULL;
	memset(unused, 0, sizeof(DatabaseSlot));
	unused->database = database;
	unused->next_schedule = DT_NOEND;
	unused->next_wake = DT_NOEND;
	unused->rollup_many = PG_UINT32_MAX;	/* until the scheduler knows */
	pg_atomic_init_u32(&unused->rollup, 0);
	return unused;
}

void
wake_scheduler_locked(DatabaseSlot *slot)
{
	slot->called = true;
	if (slot->scheduler_latch != NULL)
		SetLatch(slot->scheduler_latch);
}

void
wake_scheduler(Oid database)
{
	DatabaseSlot *slot;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = database_slot(database, false);
	if (slot != NULL)
		wake_scheduler_locked(slot);
	LWLockRelease(shared->workers_lock);
}

/* ------------------------------------------------------------------------
 * Workers
 * ------------------------------------------------------------------------ */

/* Wake up to n idle workers of that role; returns how many were woken */
int
wake_idle_workers(Oid database, Oid owner, int64 n)
{
	int			woken = 0;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots && woken < n; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_IDLE && !slot->woken &&
			slot->database == database && slot->owner == owner)
		{
			slot->woken = true;
			SetLatch(slot->latch);
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
count_workers(Oid database, Oid owner, bool *idle)
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

/* True: somebody has counted on this worker since it was set to idle */
bool
worker_set_state(WorkerState state)
{
	bool		woken;

	Assert(my_worker != NULL);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (my_worker->state != state)
	{
		my_worker->state = state;
		my_worker->since = GetCurrentTimestamp();
	}
	woken = my_worker->woken;
	my_worker->woken = false;
	LWLockRelease(shared->workers_lock);
	return woken;
}

/*
 * What this worker wants to write fails, or somebody has locked it: until that
 * is over it is of no use to anybody, and there is no sense in more like it.
 */
void
worker_set_stuck(bool stuck)
{
	if (my_worker->stuck == stuck)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->stuck = stuck;
	LWLockRelease(shared->workers_lock);
}

void
worker_set_progress(float4 progress)
{
	if (my_worker == NULL)
		return;
	SpinLockAcquire(&my_worker->mutex);
	my_worker->progress = progress;
	SpinLockRelease(&my_worker->mutex);
}

/*
 * May this worker run a job that may have crashed the server?  Those that did
 * so once in company ("1") run beside others; those that did twice ("2") only
 * while no other such job runs anywhere, so that the next crash names one.
 */
bool
worker_reserve_suspect(int16 suspect)
{
	bool		may = true;

	Assert(suspect > 0);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots && may; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot != my_worker && slot->state != WORKER_FREE && slot->suspect > 0)
			may = suspect == 1 && slot->suspect == 1;
	}
	if (may)
		my_worker->suspect = suspect;
	LWLockRelease(shared->workers_lock);
	return may;
}

void
worker_release_suspect(void)
{
	if (my_worker->suspect == 0)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->suspect = 0;
	LWLockRelease(shared->workers_lock);
}

/* This worker's job waits for another one: the pool may have one more instead */
void
worker_begin_await(void)
{
	if (my_worker == NULL)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->awaiting = true;
	if (my_database != NULL)
		wake_scheduler_locked(my_database);
	LWLockRelease(shared->workers_lock);
}

void
worker_end_await(void)
{
	if (my_worker == NULL || !my_worker->awaiting)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->awaiting = false;
	LWLockRelease(shared->workers_lock);
}

/* ------------------------------------------------------------------------
 * Senders
 * ------------------------------------------------------------------------ */

SenderSlot *
sender_slot(Oid database)
{
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		if (sender_slots[i].database == database)
			return &sender_slots[i];
	}
	return NULL;
}

/* The caller holds workers_lock */
static void
call_sender(SenderSlot *slot)
{
	slot->called = true;
	SetLatch(slot->latch);
}

bool
wake_sender(Oid database)
{
	SenderSlot *slot;
	bool		there;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = sender_slot(database);
	there = slot != NULL && slot->pid != 0;
	if (there)
		call_sender(slot);
	LWLockRelease(shared->workers_lock);
	return there;
}

/* Does the sender have that job under way?  If so, and "cancel", it is told to stop it */
bool
sender_has(Oid database, int64 job_id, bool cancel)
{
	SenderSlot *slot;
	bool		found = false;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = sender_slot(database);
	if (slot != NULL && slot->pid != 0)
	{
		SpinLockAcquire(&slot->mutex);
		for (int i = 0; i < slot->nentries && !found; i++)
		{
			if (slot->entries[i].job_id == job_id)
			{
				found = true;
				if (cancel)
					slot->entries[i].cancel = true;
			}
		}
		SpinLockRelease(&slot->mutex);
		if (found && cancel)
			call_sender(slot);
	}
	LWLockRelease(shared->workers_lock);
	return found;
}

bool
sender_has_claim(Oid database, int64 claim_id)
{
	SenderSlot *slot;
	bool		found = false;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = sender_slot(database);
	if (slot != NULL && slot->pid != 0)
	{
		SpinLockAcquire(&slot->mutex);
		for (int i = 0; i < slot->nentries && !found; i++)
			found = slot->entries[i].job_id != 0 && slot->entries[i].claim_id == claim_id;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(shared->workers_lock);
	return found;
}
