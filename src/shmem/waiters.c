/*
 * waiters.c
 *		The sessions that wait for jobs (job/await.c), in shared memory.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"

#include "shmem/shmem.h"

int
waiter_register(int64 job_id)
{
	int			found = -1;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nwaiter_slots; i++)
	{
		WaiterSlot *slot = &waiter_slots[i];

		if (OidIsValid(slot->database))
			continue;
		slot->database = MyDatabaseId;
		slot->job_id = job_id;
		slot->latch = MyLatch;
		slot->done = false;
		pg_atomic_fetch_add_u32(&shared->nwaiters, 1);
		found = i;
		break;
	}
	LWLockRelease(shared->workers_lock);
	return found;
}

bool
waiter_is_done(int slot)
{
	bool		done;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	done = waiter_slots[slot].done;
	LWLockRelease(shared->workers_lock);
	return done;
}

void
waiter_unregister(int slot)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	Assert(waiter_slots[slot].latch == MyLatch);
	waiter_slots[slot].database = InvalidOid;
	waiter_slots[slot].latch = NULL;
	pg_atomic_fetch_sub_u32(&shared->nwaiters, 1);
	LWLockRelease(shared->workers_lock);
}

/* A job has ended (0: some job, everybody look) */
void
waiters_wake(Oid database, int64 job_id)
{
	uint32		left;

	if (pg_atomic_read_u32(&shared->nwaiters) == 0)
		return;

	/* the first free slot is taken: those in use are at the front */
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	left = pg_atomic_read_u32(&shared->nwaiters);
	for (int i = 0; i < shared->nwaiter_slots && left > 0; i++)
	{
		WaiterSlot *slot = &waiter_slots[i];

		if (!OidIsValid(slot->database))
			continue;
		left--;
		if (slot->database == database && (slot->job_id == job_id || job_id == 0))
		{
			slot->done = true;
			SetLatch(slot->latch);
		}
	}
	LWLockRelease(shared->workers_lock);
}

/* Jobs commit without waiting for the disk: who tells of a result flushes up to here first */
XLogRecPtr
waiters_flush_point(void)
{
	return pg_atomic_read_u64(&shared->flush_point);
}

void
waiters_record_flush_point(XLogRecPtr lsn)
{
	uint64		old = pg_atomic_read_u64(&shared->flush_point);

	while (old < lsn && !pg_atomic_compare_exchange_u64(&shared->flush_point, &old, lsn))
		;
}
