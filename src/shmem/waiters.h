/*
 * waiters.h
 *		Backends that wait for the end of a job (defer.await), in shared memory.
 *
 * Each process of the server has a slot of its own, for one job or several: no role can
 * take the slots of another.
 */
#ifndef DEFER_WAITERS_H
#define DEFER_WAITERS_H

#include "postgres.h"

#include "access/xlogdefs.h"

extern Size waiters_shmem_size(void);
extern void waiters_shmem_init(void);	/* under AddinShmemInitLock */

/*
 * From waiter_register() to waiter_unregister() this process' latch is set when
 * the job ends; waiter_is_done() then returns true (once more than needed, if
 * so many ended that they were not named).
 */
extern void waiter_register(int64 job_id);
extern bool waiter_is_done(void);
extern void waiter_unregister(void);

/*
 * The same for several jobs, whose ids waiter_take_ended() returns as they end, with some
 * of others; -1: look at all.  It takes them out.
 */
#define WAITER_ENDED_MAX	16
extern void waiter_register_any(const int64 *ids, int n);
extern int	waiter_take_ended(int64 *ended);

/* Wake the sessions that wait for the job; 0: all of the database */
extern void waiters_wake(Oid database, int64 job_id);

/*
 * Jobs commit without waiting for the disk: who tells of a result flushes WAL up
 * to here first.
 */
extern XLogRecPtr waiters_flush_point(void);
extern void waiters_record_flush_point(XLogRecPtr lsn);

#endif							/* DEFER_WAITERS_H */
