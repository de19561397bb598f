/*
 * scheduled_set.c
 *		The functions that have schedules: see scheduled_set.h.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lwlock.h"

#include "shmem/databases.h"
#include "shmem/scheduled_set.h"
#include "shmem/shmem.h"

static void
bits_of(Oid function, uint32 *first, uint32 *second)
{
	uint32		hash = murmurhash32(function);

	*first = hash % (SCHEDULED_SET_WORDS * 64);
	*second = (hash >> 16) % (SCHEDULED_SET_WORDS * 64);
}

static bool
has_bit(const ScheduledSet *set, uint32 bit)
{
	return (set->words[bit / 64] >> (bit % 64) & 1) != 0;
}

static void
set_bit(ScheduledSet *set, uint32 bit)
{
	set->words[bit / 64] |= UINT64CONST(1) << (bit % 64);
}

void
scheduled_set_add(Oid database, Oid function)
{
	DatabaseSlot *slot;
	uint32		first,
				second;

	if (shared == NULL)
		return;
	bits_of(function, &first, &second);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = database_slot(database, false);
	if (slot != NULL)
	{
		set_bit(&slot->scheduled_set, first);
		set_bit(&slot->scheduled_set, second);
		slot->scheduled_set.version++;
		pg_atomic_write_u32(&shared->nscheduled, 1);
	}
	LWLockRelease(shared->workers_lock);
}

uint64
scheduled_set_version(void)
{
	DatabaseSlot *slot;
	uint64		version = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = database_slot(MyDatabaseId, false);
	if (slot != NULL)
		version = slot->scheduled_set.version;
	LWLockRelease(shared->workers_lock);
	return version;
}

/*
 * Readers take no lock.  A function that is in the old set and in the new one is
 * never missing: each word goes from the one to the other at once.
 */
bool
scheduled_set_replace(const Oid *functions, int n, uint64 version)
{
	ScheduledSet set = {0};
	DatabaseSlot *slot;
	bool		replaced = false;

	if (shared == NULL)
		return true;
	for (int i = 0; i < n; i++)
	{
		uint32		first,
					second;

		bits_of(functions[i], &first, &second);
		set_bit(&set, first);
		set_bit(&set, second);
	}
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = database_slot(MyDatabaseId, false);
	if (slot != NULL && slot->scheduled_set.version == version)
	{
		for (int i = 0; i < SCHEDULED_SET_WORDS; i++)
			slot->scheduled_set.words[i] = set.words[i];
		if (n > 0)
			pg_atomic_write_u32(&shared->nscheduled, 1);
		replaced = true;
	}
	LWLockRelease(shared->workers_lock);
	return replaced;
}

bool
scheduled_set_may_have(Oid function)
{
	static int	known = -1;		/* index of this database's slot */
	uint32		first,
				second;

	if (shared == NULL || pg_atomic_read_u32(&shared->nscheduled) == 0)
		return false;
	if (known < 0 || database_slots[known].database != MyDatabaseId)
	{
		known = -1;
		for (int i = 0; i < shared->ndatabase_slots; i++)
		{
			if (database_slots[i].database == MyDatabaseId)
				known = i;
		}
		if (known < 0)
			return false;
	}
	bits_of(function, &first, &second);
	return has_bit(&database_slots[known].scheduled_set, first) &&
		has_bit(&database_slots[known].scheduled_set, second);
}
