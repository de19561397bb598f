/*
 * dependents.h
 *		How a transaction that ends a job, and one that enqueues another behind it, find
 *		each other, in shared memory: shmem/dependents.c.
 *
 * Every job that ends asks dependents_ending(), so a job without dependents costs
 * two reads.  All of these concern the current database.  None of them waits for
 * another transaction.
 */
#ifndef DEFER_DEPENDENTS_H
#define DEFER_DEPENDENTS_H

#include "postgres.h"

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

extern Size dependents_shmem_size(void);
extern void dependents_shmem_init(void);	/* under AddinShmemInitLock */
extern void dependents_init(void);	/* in _PG_init */

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
 * other jobs may await it.
 */
extern bool dependents_ending(int64 id);

/* A dependency has been written as closed */
extern void dependents_closed(int64 awaits_id);

/*
 * A dependency of the job was closed, and another one was found open.  If that
 * one is being closed by a transaction that cannot see ours, the scheduler is told.
 */
extern void dependents_still_open(int64 child_id);

/* Tell the scheduler, when this transaction commits */
extern void dependents_tell(int64 id, bool waits);

#endif							/* DEFER_DEPENDENTS_H */
