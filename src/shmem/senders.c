/*
 * senders.c
 *		The senders of deliveries, in shared memory: see senders.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shmem/senders.h"
#include "shmem/shmem.h"

SenderSlot *sender_slots = NULL;

Size
senders_shmem_size(void)
{
	return mul_size(max_worker_processes, sizeof(SenderSlot));
}

void
senders_shmem_init(LWLockPadded *locks)
{
	bool		found;

	sender_slots = ShmemInitStruct("defer senders", senders_shmem_size(), &found);
	if (found)
		return;
	memset(sender_slots, 0, senders_shmem_size());
	for (int i = 0; i < shared->ndatabase_slots; i++)
		sender_slots[i].lock = &locks[i].lock;
}

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
	SetLatch(slot->process.latch);
}

bool
sender_wake(Oid database)
{
	SenderSlot *slot;
	bool		there;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = sender_slot(database);
	there = slot != NULL && slot->process.pid != 0;
	if (there)
		call_sender(slot);
	LWLockRelease(shared->workers_lock);
	return there;
}

/*
 * Check whether the sender has that job under way.  If so, and "cancel", it is
 * told to stop it
 */
bool
sender_has(Oid database, int64 job_id, bool cancel)
{
	SenderSlot *slot;
	bool		found = false;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = sender_slot(database);
	if (slot != NULL && slot->process.pid != 0)
	{
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		for (int i = 0; i < slot->nentries && !found; i++)
		{
			if (slot->entries[i].job_id == job_id)
			{
				found = true;
				if (cancel)
					slot->entries[i].cancel = true;
			}
		}
		LWLockRelease(slot->lock);
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
	if (slot != NULL && slot->process.pid != 0)
	{
		LWLockAcquire(slot->lock, LW_SHARED);
		for (int i = 0; i < slot->nentries && !found; i++)
			found = slot->entries[i].job_id != 0 && slot->entries[i].claim_id == claim_id;
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
	return found;
}
