/*
 * dependents.h
 *		Which jobs may have others that come after them, in shared memory; and how
 *		a transaction that ends a job, and one that enqueues another behind it, find
 *		each other: shmem/dependents.c.
 *
 * Every job that ends asks dependents_ending(), so a job without dependents costs
 * two reads.  All of these concern the current database.  None of them waits for
 * another transaction.
 */
#ifndef DEFER_DEPENDENTS_H
#define DEFER_DEPENDENTS_H

#include "postgres.h"

/* Counters of open dependencies, for each database */
#define DEPENDENTS_CELLS	4096

/*
 * Awaited are ends of jobs, by their ids; of the batches of jobs, by their negative ids
 * (table/fan_out_table.h); and events, by keys below all of these.
 */
#define AWAITED_EVENT_MAX	(PG_INT64_MIN / 2)

static inline bool
awaited_is_event(int64 id)
{
	return id < AWAITED_EVENT_MAX;
}

/* Jobs that the scheduler is told of by id; of more it looks at all */
#define DEPENDENTS_TOLD		64

/* What the scheduler is to look at */
typedef struct DependentsTold
{
	int64		id;
	bool		waits;			/* the job waits, and may wait in vain; else
								 * it has ended, and others may await it */
} DependentsTold;

extern Size dependents_shmem_size(void);
extern void dependents_shmem_init(void);	/* under AddinShmemInitLock */
extern void dependents_init(void);	/* in _PG_init */
struct DatabaseSlot;
extern void dependents_slot_init(struct DatabaseSlot *slot);	/* of a new database */

/*
 * Around COMMIT PREPARED, which has no callback: what it makes visible is counted when
 * the scheduler has loaded it, which it is told after this.
 */
extern void dependents_prepared_begin(void);
extern void dependents_prepared_end(bool committed);

/*
 * The side that enqueues.  Begin, publish each job before looking whether it has
 * ended, then count each dependency that is written as open.  Cancel undoes what
 * has been done since begin.
 */
extern void dependents_begin(bool may_cancel);
extern void dependents_publish(int64 parent_id);
extern void dependents_opened(int64 awaits_id);
extern void dependents_cancel(void);

/*
 * The side that ends a job, in its transaction: note the end, and return whether
 * other jobs may await it.  dependents_may_have() notes nothing.
 */
extern bool dependents_ending(int64 id);
extern bool dependents_may_have(int64 id);

/* A dependency has been written as closed */
extern void dependents_closed(int64 awaits_id);

/*
 * A dependency of the job was closed, and another one was found open.  If that
 * one is being closed by a transaction that cannot see ours, the scheduler is told.
 */
extern void dependents_still_open(int64 child_id);

/* Tell the scheduler, when this transaction commits */
extern void dependents_tell(int64 id, bool waits);

/*
 * For the scheduler.  Take what it was told; *all: and that it is to look at all
 * dependencies, *clean: also for those of jobs whose history is gone.  Count them
 * anew: begin, count each that is open in a snapshot taken after that, end.
 */
extern int	dependents_take(DependentsTold *told, bool *all, bool *clean);
extern void dependents_look_at_all(bool clean);
extern void dependents_load_begin(void);
extern void dependents_load_count(int64 awaits_id);
extern void dependents_load_end(void);

#endif							/* DEFER_DEPENDENTS_H */
