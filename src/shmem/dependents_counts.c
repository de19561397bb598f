/*
 * dependents_counts.c
 *		How many open dependencies there may be: see dependents_counts.h.
 *
 * For each database there are two counters of open dependencies for the awaited job's id
 * modulo their number: "opening" of those that are not committed, and one of the others,
 * which each scheduler makes anew when it starts.  Who reads "opening" first, and sees
 * that nothing was taken off meanwhile (dependents_version), finds each that is visible.
 * A counter may be too high, which costs a look into the table: where transactions were
 * prepared, or it was made anew meanwhile.  test/model/counters.pml is a model of this.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#include "shmem/databases.h"
#include "shmem/dependents.h"
#include "shmem/dependents_counts.h"
#include "shmem/shmem.h"

/* ------------------------------------------------------------------------
 * The counters of a database
 * ------------------------------------------------------------------------ */

void
dependents_slot_init(DatabaseSlot *slot)
{
	pg_atomic_init_u32(&slot->dependents_version, 0);
	for (int i = 0; i < DEPENDENTS_CELLS; i++)
	{
		pg_atomic_init_u32(&slot->dependents[i], 0);
		pg_atomic_init_u32(&slot->dependents_opening[i], 0);
	}
	LWLockAcquire(shared->dependents_lock, LW_EXCLUSIVE);
	slot->dependents_since = ++shared->dependents_slots;
	LWLockRelease(shared->dependents_lock);
}

DatabaseSlot *
dependents_slot(void)
{
	static int	known = -1;

	if (my_database != NULL)
		return my_database->database == MyDatabaseId ? my_database : NULL;
	if (known >= 0 && database_slots[known].database == MyDatabaseId)
		return &database_slots[known];
	known = -1;
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		if (database_slots[i].database == MyDatabaseId)
			known = i;
	}
	return known >= 0 ? &database_slots[known] : NULL;
}

bool
dependents_counts(int64 id)
{
	return !awaited_is_event(id);
}

bool
dependents_loaded(const DatabaseSlot *slot)
{
	return slot->dependents_loaded && slot->dependents_prepared == 0;
}

pg_atomic_uint32 *
dependents_counter(DatabaseSlot *slot, int64 id)
{
	return &slot->dependents[(uint64) id % DEPENDENTS_CELLS];
}

pg_atomic_uint32 *
dependents_opening(DatabaseSlot *slot, int64 id)
{
	return &slot->dependents_opening[(uint64) id % DEPENDENTS_CELLS];
}

bool
dependents_may_have(int64 id)
{
	DatabaseSlot *slot;
	uint32		version;

	if (shared == NULL || !dependents_counts(id))
		return true;
	slot = dependents_slot();
	if (slot == NULL)
		return true;
	version = pg_atomic_read_u32(&slot->dependents_version);
	pg_read_barrier();
	if (!dependents_loaded(slot))
		return true;
	pg_read_barrier();
	if (pg_atomic_read_u32(dependents_opening(slot, id)) != 0)
		return true;
	pg_read_barrier();			/* what is not there any more is in this one */
	if (pg_atomic_read_u32(dependents_counter(slot, id)) != 0)
		return true;
	pg_read_barrier();
	return pg_atomic_read_u32(&slot->dependents_version) != version;
}

/* ------------------------------------------------------------------------
 * The scheduler, and prepared transactions
 * ------------------------------------------------------------------------ */

/* Until the counters are loaded every job that ends looks into the table */
void
dependents_load_begin(void)
{
	LWLockAcquire(shared->dependents_lock, LW_EXCLUSIVE);
	my_database->dependents_loaded = false;
	pg_write_barrier();
	my_database->dependents_generation = ++shared->dependents_generation;
	pg_atomic_fetch_add_u32(&my_database->dependents_version, 1);
	for (int i = 0; i < DEPENDENTS_CELLS; i++)
		pg_atomic_write_u32(&my_database->dependents[i], 0);
	LWLockRelease(shared->dependents_lock);
}

void
dependents_load_count(int64 awaits_id)
{
	if (dependents_counts(awaits_id))
		pg_atomic_fetch_add_u32(dependents_counter(my_database, awaits_id), 1);
}

void
dependents_load_end(void)
{
	LWLockAcquire(shared->dependents_lock, LW_EXCLUSIVE);
	my_database->dependents_loaded = true;
	LWLockRelease(shared->dependents_lock);
}

void
dependents_prepared_begin(void)
{
	DatabaseSlot *slot = dependents_slot();

	if (slot == NULL)
		return;
	LWLockAcquire(shared->dependents_lock, LW_EXCLUSIVE);
	slot->dependents_prepared++;
	LWLockRelease(shared->dependents_lock);
}

void
dependents_prepared_end(bool committed)
{
	DatabaseSlot *slot = dependents_slot();

	if (slot == NULL)
		return;
	LWLockAcquire(shared->dependents_lock, LW_EXCLUSIVE);
	slot->dependents_loaded = slot->dependents_loaded && !committed;
	slot->dependents_prepared = Max(slot->dependents_prepared - 1, 0);
	LWLockRelease(shared->dependents_lock);
}
