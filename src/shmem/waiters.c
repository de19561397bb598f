/*
 * waiters.c
 *		Backends that wait for jobs: see waiters.h.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "shmem/shmem.h"
#include "shmem/waiters.h"

#define FILTER_WORDS	16

/* Under waiters_lock */
typedef struct WaiterSlot
{
	Oid			database;		/* InvalidOid: this process does not wait */
	bool		done;
	int64		job_id;			/* 0: it waits for several, those in the
								 * filter */
	Latch	   *latch;
	uint64		filter[FILTER_WORDS];	/* a bit of each id's hash; may have
										 * those of others */
	pg_atomic_uint32 nended;	/* of several: how many have ended; more than
								 * there is room for: look at all */
	int64		ended[WAITER_ENDED_MAX];	/* written under the lock in
											 * shared mode, by index */
} WaiterSlot;

typedef struct Waiters
{
	pg_atomic_uint64 flush_point;	/* end of the last commit that ended a job */
	pg_atomic_uint32 nwaiters;	/* slots in use */
	WaiterSlot	slots[FLEXIBLE_ARRAY_MEMBER];	/* [MaxBackends], by process
												 * number */
} Waiters;

static Waiters *waiters = NULL;

Size
waiters_shmem_size(void)
{
	return add_size(offsetof(Waiters, slots), mul_size(MaxBackends, sizeof(WaiterSlot)));
}

void
waiters_shmem_init(void)
{
	bool		found;

	waiters = ShmemInitStruct("defer waiters", waiters_shmem_size(), &found);
	if (found)
		return;
	memset(waiters, 0, waiters_shmem_size());
	pg_atomic_init_u64(&waiters->flush_point, 0);
	pg_atomic_init_u32(&waiters->nwaiters, 0);
	for (int i = 0; i < MaxBackends; i++)
		pg_atomic_init_u32(&waiters->slots[i].nended, 0);
}

static WaiterSlot *
my_slot(void)
{
	Assert(compat_process_number() < MaxBackends);
	return &waiters->slots[compat_process_number()];
}

static inline uint64 *
filter_word(WaiterSlot *slot, int64 job_id, uint64 *bit)
{
	const uint32 hash = murmurhash32((uint32) job_id);

	*bit = UINT64CONST(1) << (hash % 64);
	return &slot->filter[(hash / 64) % FILTER_WORDS];
}

void
waiter_register_any(const int64 *ids, int n)
{
	WaiterSlot *slot = my_slot();

	/* no process reads these before the slot is in use */
	memset(slot->filter, 0, sizeof(slot->filter));
	for (int i = 0; i < n; i++)
	{
		uint64		bit;
		uint64	   *word = filter_word(slot, ids[i], &bit);

		*word |= bit;
	}
	pg_atomic_write_u32(&slot->nended, 0);
	waiter_register(0);
}

int
waiter_take_ended(int64 *ended)
{
	WaiterSlot *slot = my_slot();
	uint32		n;

	LWLockAcquire(shared->waiters_lock, LW_EXCLUSIVE);
	n = slot->done ? PG_UINT32_MAX : pg_atomic_read_u32(&slot->nended);
	if (n <= WAITER_ENDED_MAX)
		memcpy(ended, slot->ended, n * sizeof(int64));
	pg_atomic_write_u32(&slot->nended, 0);
	slot->done = false;
	LWLockRelease(shared->waiters_lock);
	return n <= WAITER_ENDED_MAX ? (int) n : -1;
}

/* Tell a session that waits for several jobs of one that has ended, 0: of many */
static void
wake_any(WaiterSlot *slot, int64 job_id)
{
	uint64		bit;
	uint32		n;

	if (job_id == 0)
		slot->done = true;
	else if ((*filter_word(slot, job_id, &bit) & bit) == 0)
		return;
	else if ((n = pg_atomic_fetch_add_u32(&slot->nended, 1)) < WAITER_ENDED_MAX)
		slot->ended[n] = job_id;
	SetLatch(slot->latch);
}

void
waiter_register(int64 job_id)
{
	WaiterSlot *slot = my_slot();

	LWLockAcquire(shared->waiters_lock, LW_EXCLUSIVE);
	Assert(!OidIsValid(slot->database));
	slot->database = MyDatabaseId;
	slot->job_id = job_id;
	slot->latch = MyLatch;
	slot->done = false;
	pg_atomic_fetch_add_u32(&waiters->nwaiters, 1);
	LWLockRelease(shared->waiters_lock);
}

bool
waiter_is_done(void)
{
	bool		done;

	LWLockAcquire(shared->waiters_lock, LW_SHARED);
	done = my_slot()->done;
	LWLockRelease(shared->waiters_lock);
	return done;
}

void
waiter_unregister(void)
{
	LWLockAcquire(shared->waiters_lock, LW_EXCLUSIVE);
	my_slot()->database = InvalidOid;
	pg_atomic_fetch_sub_u32(&waiters->nwaiters, 1);
	LWLockRelease(shared->waiters_lock);
}

void
waiters_wake(Oid database, int64 job_id)
{
	uint32		left;

	if (pg_atomic_read_u32(&waiters->nwaiters) == 0)
		return;
	LWLockAcquire(shared->waiters_lock, LW_SHARED);
	left = pg_atomic_read_u32(&waiters->nwaiters);
	for (int i = 0; i < MaxBackends && left > 0; i++)
	{
		WaiterSlot *slot = &waiters->slots[i];

		if (!OidIsValid(slot->database))
			continue;
		left--;
		if (slot->database == database && slot->job_id == 0)
			wake_any(slot, job_id);
		else if (slot->database == database && (slot->job_id == job_id || job_id == 0))
		{
			slot->done = true;
			SetLatch(slot->latch);
		}
	}
	LWLockRelease(shared->waiters_lock);
}

XLogRecPtr
waiters_flush_point(void)
{
	return pg_atomic_read_u64(&waiters->flush_point);
}

void
waiters_record_flush_point(XLogRecPtr lsn)
{
	uint64		old = pg_atomic_read_u64(&waiters->flush_point);

	while (old < lsn && !pg_atomic_compare_exchange_u64(&waiters->flush_point, &old, lsn))
		;
}
