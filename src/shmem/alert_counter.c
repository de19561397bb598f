/*
 * alert_counter.c
 *		Counters of failures that alerts have events about.
 *
 * A process that has recorded a function's recovery need not record its
 * further successes, until the function fails again, in whatever process.
 * These counters tell it so without a look into a table.  They are found by a
 * hash and begin at 0 when the server starts: an entry that two functions
 * share costs an unneeded event, and no more.
 */
#include "postgres.h"

#include "port/atomics.h"
#include "storage/shmem.h"

#include "shmem/alert_counter.h"

#define COUNTERS	1024

static pg_atomic_uint32 * counters = NULL;

Size
alert_counters_shmem_size(void)
{
	return COUNTERS * sizeof(pg_atomic_uint32);
}

/* Called with AddinShmemInitLock */
void
alert_counters_shmem_init(void)
{
	bool		found;

	counters = ShmemInitStruct("defer alert counters", alert_counters_shmem_size(), &found);
	for (int i = 0; i < COUNTERS && !found; i++)
		pg_atomic_init_u32(&counters[i], 0);
}

void
alert_counter_add(uint32 hash)
{
	if (counters != NULL)
		(void) pg_atomic_fetch_add_u32(&counters[hash % COUNTERS], 1);
}

uint32
alert_counter_read(uint32 hash)
{
	return counters == NULL ? 0 : pg_atomic_read_u32(&counters[hash % COUNTERS]);
}
