/*
 * slot.c
 *		The slots of workers and schedulers.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "shmem/databases.h"
#include "shmem/ready_queue.h"
#include "shmem/shmem.h"
#include "shmem/workers.h"
#include "process/slot.h"

/* ------------------------------------------------------------------------
 * Giving out slots of workers
 * ------------------------------------------------------------------------ */

int
slot_take_worker(Oid owner, bool extra, uint32 *generation)
{
	int			found = -1;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots && found < 0; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state != WORKER_FREE)
			continue;
		slot->state = WORKER_STARTING;
		slot->generation++;
		slot->database = MyDatabaseId;
		slot->owner = owner;
		slot->pid = 0;
		slot->latch = NULL;
		slot->since = GetCurrentTimestamp();
		slot->woken = slot->leave = slot->blocked = false;
		slot->awaiting = slot->await_counts = false;
		slot->await_extra = extra;
		slot->await_reserved = false;
		slot->await_depth = 0;
		slot->await_job = 0;
		slot->awaited_at = 0;
		slot->suspect = 0;
		slot->claim_id = slot->previous_claim_id = slot->current_job = slot->cancel_job = 0;
		slot->nentries = slot->nwaiting = 0;
		*generation = slot->generation;
		found = i;
	}
	LWLockRelease(shared->workers_lock);
	return found;
}

void
slot_give_back_worker(int index, uint32 generation)
{
	WorkerSlot *slot = &worker_slots[index];

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (slot->generation == generation && slot->state == WORKER_STARTING && slot->pid == 0)
		slot->state = WORKER_FREE;
	LWLockRelease(shared->workers_lock);
}

/* The caller holds workers_lock */
static void
ask_to_leave(WorkerSlot *slot)
{
	slot->leave = true;
	SetLatch(slot->latch);
}

/* A worker of the largest pool, if that has more than one; workers_lock is held */
static WorkerSlot *
busiest_pool_member(void)
{
	WorkerSlot *chosen = NULL;
	int			largest = 1;

	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];
		bool		idle;
		int			n;

		if (slot->state != WORKER_BUSY || slot->awaiting)
			continue;
		n = count_workers(slot->database, slot->owner, &idle);
		if (n > largest)
		{
			largest = n;
			chosen = slot;
		}
	}
	return chosen;
}

void
slot_ask_for(Oid owner, int64 want, bool busy)
{
	bool		asked_busy = false;
	int64		asked = 0;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		if (worker_slots[i].state == WORKER_FREE || !worker_slots[i].leave)
			continue;
		if (worker_slots[i].state == WORKER_BUSY)
			asked_busy = true;	/* its job may take long */
		else
			asked++;
	}
	for (int i = 0; i < shared->nworker_slots && asked < want; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state != WORKER_IDLE || slot->leave || (slot->woken && !slot->blocked) ||
			(slot->database == MyDatabaseId && slot->owner == owner))
			continue;
		ask_to_leave(slot);
		asked++;
	}
	if (asked == 0 && !asked_busy && busy)
	{
		WorkerSlot *slot = busiest_pool_member();

		if (slot != NULL)
			ask_to_leave(slot);
	}
	LWLockRelease(shared->workers_lock);
}

/* ------------------------------------------------------------------------
 * In a worker
 * ------------------------------------------------------------------------ */

bool
slot_attach_worker(int index, uint32 generation)
{
	WorkerSlot *slot = &worker_slots[index];
	bool		ours = false;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (slot->state == WORKER_STARTING && slot->generation == generation && slot->pid == 0)
	{
		my_database = database_slot(slot->database, false);
		if (my_database != NULL && !my_database->withdrawn)
		{
			ours = true;
			slot->pid = MyProcPid;
			slot->latch = MyLatch;
			slot->since = GetCurrentTimestamp();
			my_worker = slot;
		}
		else
			slot->state = WORKER_FREE;
	}
	LWLockRelease(shared->workers_lock);
	return ours;
}

bool
slot_stop_idling(void)
{
	bool		woken;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	woken = my_worker->woken;
	if (!woken)
		my_worker->state = WORKER_LEAVING;
	LWLockRelease(shared->workers_lock);
	return !woken;
}

void
slot_detach_worker(bool connected, bool unfinalized, int64 lost_job)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	my_worker->claim_id = my_worker->previous_claim_id = 0;
	my_worker->current_job = my_worker->cancel_job = 0;
	my_worker->nentries = my_worker->nwaiting = 0;
	LWLockRelease(my_worker->lock);
	my_worker->pid = 0;
	my_worker->latch = NULL;
	my_worker->awaiting = my_worker->await_counts = my_worker->await_reserved = false;
	my_worker->await_depth = 0;
	my_worker->awaited_at = 0;
	my_worker->await_job = 0;
	my_worker->leave = my_worker->blocked = false;
	my_worker->suspect = 0;

	/*
	 * one that could not connect is looked at by the scheduler, if there is
	 * one
	 */
	my_worker->state = connected || my_database == NULL ||
		my_database->database != my_worker->database || my_database->scheduler_pid == 0 ?
		WORKER_FREE : WORKER_STARTING;
	if (my_database != NULL && my_database->database == my_worker->database)
	{
		if (unfinalized)
			my_database->orphans = true;
		if (lost_job != 0 && my_database->nlost < LOST_MAX)
			my_database->lost[my_database->nlost] = lost_job;
		if (lost_job != 0 && my_database->nlost <= LOST_MAX)
			my_database->nlost++;	/* one more than there is room for: any
									 * may be one */
		wake_scheduler_locked(my_database);
	}
	LWLockRelease(shared->workers_lock);
}

/* ------------------------------------------------------------------------
 * In a scheduler
 * ------------------------------------------------------------------------ */

bool
slot_attach_scheduler(Oid database)
{
	bool		wanted = false;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database = database_slot(database, false);
	if (my_database != NULL && my_database->wanted && !my_database->withdrawn &&
		my_database->scheduler_pid == 0)
	{
		wanted = true;
		my_database->starting = my_database->checked = false;
		my_database->no_slots = false;
		my_database->scheduler_pid = MyProcPid;
		my_database->scheduler_latch = MyLatch;
		my_database->scheduler_since = GetCurrentTimestamp();
	}
	LWLockRelease(shared->workers_lock);
	return wanted;
}

/*
 * Take slots back that were given to workers which are not there: no other
 * process does, if the database is dropped next.  A worker that comes after all
 * finds that its slot is not its own any more.  The caller holds workers_lock.
 */
static void
take_back_slots(Oid database)
{
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_STARTING && slot->pid == 0 && slot->database == database)
			slot->state = WORKER_FREE;
	}
}

void
slot_detach_scheduler(void)
{
	Oid			database = my_database->database;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	take_back_slots(database);
	my_database->scheduler_pid = 0;
	my_database->scheduler_latch = NULL;
	my_database->starting = false;
	if (!my_database->wanted && !my_database->withdrawn)
	{
		/* before the slot is free: what a next scheduler loads must stay */
		ready_queues_forget(database);
		my_database->database = InvalidOid;
	}
	else
		my_database->rescan = true; /* what we took to do may not be done */
	if (shared->launcher_latch != NULL)
		SetLatch(shared->launcher_latch);
	LWLockRelease(shared->workers_lock);
}
