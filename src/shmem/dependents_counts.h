/*
 * dependents_counts.h
 *		Which jobs may have others that come after them, in shared memory:
 *		shmem/dependents_counts.c.
 */
#ifndef DEFER_DEPENDENTS_COUNTS_H
#define DEFER_DEPENDENTS_COUNTS_H

#include "postgres.h"

#include "port/atomics.h"

/* Counters of open dependencies, for each database */
#define DEPENDENTS_CELLS	4096

struct DatabaseSlot;
extern void dependents_slot_init(struct DatabaseSlot *slot);	/* of a new database */

/* Return whether other jobs may await the end of this one */
extern bool dependents_may_have(int64 id);

/* Return this database's slot, without a lock: it is used while it is this database's */
extern struct DatabaseSlot *dependents_slot(void);

/*
 * Return whether dependencies on an id are counted.  Keys of events have no counters:
 * very many of them are awaited, for long, and jobs that end would look for each other's
 * in vain.
 */
extern bool dependents_counts(int64 id);

/* Check whether all that is committed is counted */
extern bool dependents_loaded(const struct DatabaseSlot *slot);

/* Return the counter of an awaited id: of dependencies that are committed, that are not */
extern pg_atomic_uint32 * dependents_counter(struct DatabaseSlot *slot, int64 id);
extern pg_atomic_uint32 * dependents_opening(struct DatabaseSlot *slot, int64 id);

/*
 * For the scheduler.  Count them anew: begin, count each that is open in a snapshot
 * taken after that, end.
 */
extern void dependents_load_begin(void);
extern void dependents_load_count(int64 awaits_id);
extern void dependents_load_end(void);

/*
 * Around COMMIT PREPARED, which has no callback: what it makes visible is counted when
 * the scheduler has loaded it, which it is told after this.
 */
extern void dependents_prepared_begin(void);
extern void dependents_prepared_end(bool committed);

#endif							/* DEFER_DEPENDENTS_COUNTS_H */
