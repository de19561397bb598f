/*
 * slot.c
 *		The slots of the launcher, schedulers, workers and senders.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "shmem/databases.h"
#include "shmem/scheduler_wake.h"
#include "shmem/leases.h"
#include "shmem/senders.h"
#include "shmem/workers.h"
#include "process/slot.h"

/* A process that was started and has not attached after so long never will */
#define START_TIMEOUT	(60 * USECS_PER_SEC)

/* ------------------------------------------------------------------------
 * What all slots have.  The callers hold workers_lock.
 * ------------------------------------------------------------------------ */

/* Give a slot out to a process that is about to be started */
static uint32
give_out(ProcessSlot *slot)
{
	slot->generation++;
	slot->pid = 0;
	slot->latch = NULL;
	slot->since = GetCurrentTimestamp();
	return slot->generation;
}

/* Check that a slot is still the one that was given out, and not attached to */
static bool
is_given_out(const ProcessSlot *slot, uint32 generation)
{
	return slot->generation == generation && slot->pid == 0;
}

static void
attach(ProcessSlot *slot)
{
	slot->pid = MyProcPid;
	slot->latch = MyLatch;
	slot->since = GetCurrentTimestamp();
}

static void
detach(ProcessSlot *slot)
{
	slot->pid = 0;
	slot->latch = NULL;
}

/* Set my_database; returns false if it has no slot, or DDL wants our processes out */
static bool
enter_database(Oid database)
{
	my_database = database_slot(database, false);
	return my_database != NULL && !my_database->withdrawn;
}

/* ------------------------------------------------------------------------
 * The launcher
 * ------------------------------------------------------------------------ */

void
slot_attach_launcher(void)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	attach(&shared->launcher);
	shared->probe = true;

	/*
	 * the last launcher may have exited before it started what it had
	 * announced
	 */
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		if (database_slots[i].scheduler.pid == 0)
			database_slots[i].starting = false;
	}
	LWLockRelease(shared->workers_lock);
}

void
slot_detach_launcher(void)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	detach(&shared->launcher);
	LWLockRelease(shared->workers_lock);
}

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
		*generation = give_out(&slot->process);
		slot->state = WORKER_STARTING;
		slot->database = MyDatabaseId;
		slot->owner = owner;
		slot->woken = slot->leave = slot->blocked = false;
		slot->awaiting = slot->await_counts = false;
		slot->await_extra = extra;
		slot->await_reserved = false;
		slot->await_depth = 0;
		slot->await_job = 0;
		slot->awaited_at = 0;
		slot->suspect = false;
		slot->claim_id = slot->previous_claim_id = slot->current_job = slot->cancel_job = 0;
		slot->nentries = slot->nwaiting = 0;
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
	if (slot->state == WORKER_STARTING && is_given_out(&slot->process, generation))
		slot->state = WORKER_FREE;
	LWLockRelease(shared->workers_lock);
}

Oid
slot_reap_worker(int index, uint32 ended, bool watched, TimestampTz now)
{
	WorkerSlot *slot = &worker_slots[index];
	Oid			owner = InvalidOid;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (slot->state == WORKER_STARTING && slot->process.pid == 0 &&
		slot->database == MyDatabaseId &&
		((ended != 0 && slot->process.generation == ended) ||
		 (!watched && slot->process.since < now - START_TIMEOUT)))
	{
		owner = slot->owner;
		slot->state = WORKER_FREE;
	}
	LWLockRelease(shared->workers_lock);
	return owner;
}

/* The caller holds workers_lock */
static void
ask_to_leave(WorkerSlot *slot)
{
	slot->leave = true;
	SetLatch(slot->process.latch);
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
		n = workers_count(slot->database, slot->owner, &idle);
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
	bool		attached = false;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (slot->state == WORKER_STARTING && is_given_out(&slot->process, generation))
	{
		attached = enter_database(slot->database);
		if (attached)
		{
			attach(&slot->process);
			my_worker = slot;
		}
		else
			slot->state = WORKER_FREE;
	}
	LWLockRelease(shared->workers_lock);
	return attached;
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
	detach(&my_worker->process);
	my_worker->awaiting = my_worker->await_counts = my_worker->await_reserved = false;
	my_worker->await_depth = 0;
	my_worker->awaited_at = 0;
	my_worker->await_job = 0;
	my_worker->leave = my_worker->blocked = false;
	my_worker->suspect = false;

	/*
	 * one that could not connect is looked at by the scheduler, if there is
	 * one
	 */
	my_worker->state = connected || my_database == NULL ||
		my_database->database != my_worker->database || my_database->scheduler.pid == 0 ?
		WORKER_FREE : WORKER_STARTING;
	if (my_database != NULL && my_database->database == my_worker->database)
	{
		if (unfinalized)
			my_database->orphans = true;
		if (lost_job != 0)
			lost_jobs_add(&my_database->lost, lost_job);
		database_wake_scheduler_locked(my_database);
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
	if (enter_database(database) && my_database->wanted && my_database->scheduler.pid == 0)
	{
		wanted = true;
		my_database->starting = my_database->checked = false;
		my_database->no_slots = false;
		attach(&my_database->scheduler);
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

		if (slot->state == WORKER_STARTING && slot->process.pid == 0 && slot->database == database)
			slot->state = WORKER_FREE;
	}
}

void
slot_detach_scheduler(void)
{
	Oid			database = my_database->database;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	take_back_slots(database);
	detach(&my_database->scheduler);
	my_database->starting = false;
	if (!my_database->wanted && !my_database->withdrawn)
	{
		/* before the slot is free: what a next scheduler loads must stay */
		leases_forget(database);
		ready_queues_forget(database);
		my_database->database = InvalidOid;
	}
	else
		my_database->rescan = true; /* what we took to do may not be done */
	if (shared->launcher.latch != NULL)
		SetLatch(shared->launcher.latch);
	LWLockRelease(shared->workers_lock);
}

/* ------------------------------------------------------------------------
 * Senders
 * ------------------------------------------------------------------------ */

int
slot_take_sender(uint32 *generation)
{
	int			found = -1;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->ndatabase_slots && found < 0; i++)
	{
		SenderSlot *slot = &sender_slots[i];

		if (OidIsValid(slot->database))
			continue;
		*generation = give_out(&slot->process);
		slot->database = MyDatabaseId;
		slot->nentries = 0;
		memset(slot->entries, 0, sizeof(slot->entries));
		found = i;
	}
	LWLockRelease(shared->workers_lock);
	return found;
}

void
slot_give_back_sender(int index, uint32 generation)
{
	SenderSlot *slot = &sender_slots[index];

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (is_given_out(&slot->process, generation))
		slot->database = InvalidOid;
	LWLockRelease(shared->workers_lock);
}

bool
slot_reap_sender(bool watched, bool *lost)
{
	SenderSlot *slot;
	bool		busy;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = sender_slot(MyDatabaseId);
	/* one with a latch is attached: it idles no more, and is about to exit */
	busy = slot != NULL && (watched || slot->process.latch != NULL);
	*lost = slot != NULL && !busy;
	if (*lost)
		slot->database = InvalidOid;
	LWLockRelease(shared->workers_lock);
	return busy;
}

SenderSlot *
slot_attach_sender(int index, uint32 generation)
{
	SenderSlot *slot = &sender_slots[index];
	bool		attached = false;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (OidIsValid(slot->database) && is_given_out(&slot->process, generation))
	{
		attached = enter_database(slot->database);
		if (attached)
			attach(&slot->process);
		else
			slot->database = InvalidOid;
	}
	LWLockRelease(shared->workers_lock);
	return attached ? slot : NULL;
}

void
slot_hide_sender(SenderSlot *slot)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot->process.pid = 0;
	LWLockRelease(shared->workers_lock);
}

void
slot_show_sender(SenderSlot *slot)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot->process.pid = MyProcPid;
	LWLockRelease(shared->workers_lock);
}

void
slot_detach_sender(SenderSlot *slot, bool unfinalized)
{
	DatabaseSlot *database;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	database = database_slot(slot->database, false);
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	for (int i = 0; i < slot->nentries; i++)
		slot->entries[i].job_id = 0;
	slot->nentries = 0;
	LWLockRelease(slot->lock);
	detach(&slot->process);
	slot->database = InvalidOid;
	if (database != NULL)
	{
		if (unfinalized)
			database->orphans = true;
		database_wake_scheduler_locked(database);
	}
	LWLockRelease(shared->workers_lock);
}
