/*
 * databases.c
 *		The databases that are served, in shared memory: see databases.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "shmem/databases.h"
#include "shmem/scheduler_wake.h"
#include "shmem/shmem.h"

DatabaseSlot *database_slots = NULL;
DatabaseSlot *my_database = NULL;

Size
databases_shmem_size(void)
{
	return mul_size(max_worker_processes, sizeof(DatabaseSlot));
}

void
databases_shmem_init(void)
{
	bool		found;

	database_slots = ShmemInitStruct("defer databases", databases_shmem_size(), &found);
	if (found)
		return;
	memset(database_slots, 0, databases_shmem_size());
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		pg_atomic_init_u32(&database_slots[i].rollup, 0);
		pg_atomic_init_u32(&database_slots[i].limit_changes, 0);
		pg_atomic_init_u32(&database_slots[i].fan_out, 0);
	}
}

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
	unused->next_schedule = unused->next_lease = unused->next_work = DT_NOEND;
	unused->next_wake = DT_NOEND;
	unused->rollup_many = PG_UINT32_MAX;	/* until the scheduler knows */
	pg_atomic_init_u32(&unused->rollup, 0);
	dependents_slot_init(unused);
	unused->database = database;
	return unused;
}

void
database_wake_scheduler_locked(DatabaseSlot *slot)
{
	slot->called = true;
	if (slot->scheduler.latch != NULL)
		SetLatch(slot->scheduler.latch);
}

void
database_add_behind(DatabaseSlot *slot, const int64 *ids, int n)
{
	if (n > BEHIND_MAX)
		slot->nbehind = BEHIND_MAX + 1;
	for (int i = 0; i < n && slot->nbehind <= BEHIND_MAX; i++)
	{
		if (slot->nbehind < BEHIND_MAX)
			slot->behind[slot->nbehind] = ids[i];
		slot->nbehind++;
	}
}

void
databases_wake_schedulers(void)
{
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		if (OidIsValid(database_slots[i].database))
			database_wake_scheduler_locked(&database_slots[i]);
	}
	LWLockRelease(shared->workers_lock);
}

void
database_wake_scheduler(Oid database)
{
	DatabaseSlot *slot;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = database_slot(database, false);
	if (slot != NULL)
		database_wake_scheduler_locked(slot);
	LWLockRelease(shared->workers_lock);
}

void
database_lease_ends(Oid database, TimestampTz at)
{
	DatabaseSlot *slot;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = database_slot(database, false);
	if (slot != NULL)
	{
		slot->next_lease = Min(slot->next_lease, at);
		if (at < slot->next_wake)
			database_wake_scheduler_locked(slot);
	}
	LWLockRelease(shared->workers_lock);
}

void
database_check_work(Oid database, int64 delay)
{
	const TimestampTz at = GetCurrentTimestamp() + delay;
	DatabaseSlot *slot;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = database_slot(database, false);
	if (slot != NULL && at < slot->next_work)
	{
		slot->next_work = at;
		if (at < slot->next_wake)
			database_wake_scheduler_locked(slot);
	}
	LWLockRelease(shared->workers_lock);
}

void
database_claim_left(Oid database)
{
	DatabaseSlot *slot;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = database_slot(database, false);
	if (slot != NULL && !slot->claims_left)
	{
		slot->claims_left = true;
		database_wake_scheduler_locked(slot);
	}
	LWLockRelease(shared->workers_lock);
}
