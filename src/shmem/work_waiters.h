/*
 * work_waiters.h
 *		Sessions of outside workers that wait for jobs of tasks, in
 *		defer.wait_for_work().
 *
 * Each backend has a slot of its own: no role can take the slots of another.  As long as
 * it waits it stands in a list for each of its tasks.  Jobs that become free take as many
 * out of the lists as there are jobs, set their latches, and expect each of them to take
 * one.  It is expected until jobs of that task are taken, by any session, it waits again,
 * it ends, or a second has passed.  The scheduler wakes others for jobs for which none is
 * expected.
 */
#ifndef DEFER_WORK_WAITERS_H
#define DEFER_WORK_WAITERS_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "shmem/leases.h"
#include "shmem/ready_queue.h"

/*
 * A session waits for so many tasks and queues.  Of more tasks those with the smallest
 * numbers, which are the oldest, can wake it.  More queues than these: any can.
 */
#define WORK_TASKS_MAX	64
#define WORK_QUEUES_MAX	16

extern Size work_waiters_shmem_size(void);
extern void work_waiters_shmem_init(void);	/* under AddinShmemInitLock */

/*
 * This session waits, from now on: look for jobs after this.  Its latch is set when it
 * is woken, and work_waiter_is_woken() is true then.  worker: its name, NULL: none.
 */
extern void work_waiter_enter(const ReadyTasks *tasks, const char *worker);
extern bool work_waiter_is_woken(void);

/* It waits no more, and will take jobs; or it will not: others are woken instead */
extern void work_waiter_leave(void);
extern void work_waiter_abandon(void);

/* Jobs of a task have become free, n more: wake as many sessions.  Throws nothing */
extern void work_waiters_wake(Oid database, const LimitScopes *scopes, int64 n);

/* n jobs of a task were taken.  Throws nothing */
extern void work_waiters_taken(Oid database, int32 task, int n);

/*
 * Wake sessions for jobs that can be taken, "ready" of them, as far as none is expected
 * to take them; by the scheduler.  "pass" is another number for each of its looks, in
 * which a session is expected to take one.  Lowers *next_check to when to look again.
 */
extern void work_waiters_offer(Oid database, const LimitScopes *scopes, int64 ready, uint32 pass,
							   TimestampTz now, TimestampTz *next_check);

/* A session that waits, copied out of shared memory */
typedef struct WaitingWorker
{
	Oid			role;
	int			pid;
	TimestampTz since;
	char		worker[LEASE_WORKER_MAX];	/* "": no name */
	char		host[LEASE_HOST_MAX];
	int			ntasks;
	int32		tasks[WORK_TASKS_MAX];
} WaitingWorker;

/* Copy all that wait in a database, palloc'd; returns how many */
extern int	work_waiters_copy(Oid database, WaitingWorker **waiting);

#endif							/* DEFER_WORK_WAITERS_H */
