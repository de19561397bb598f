/*
 * shmem.h
 *		What all processes of defer share.
 *
 * Each subject has a header and a file of its own: databases, workers, senders,
 * leases, waiters, work_waiters, dependents, caps, ready_queue, limits, reserved,
 * scheduled_set, statistics, alert_counter.  All of it can be rebuilt from the
 * tables (but statistics and alert counters, which begin anew): a scheduler does so
 * when it starts.  No pointer into a process' own memory is ever kept.
 *
 * LWLocks, in the order in which they may be taken together:
 *
 *	workers_lock	launcher, databases, workers' and senders' identity and state
 *	slot->lock		the batch of a worker, the deliveries of a sender
 *	leases_lock		jobs that outside workers have taken
 *	ready_lock		ready queues and limits
 *	waiters_lock	who waits for jobs
 *	work_waiters_lock	outside workers that wait for work
 *	dependents_lock	jobs that come after others
 *	caps_lock		counts under max_queued
 *	statistics_lock	which counters there are
 *
 * None is held while anything else is waited for.
 */
#ifndef DEFER_SHMEM_H
#define DEFER_SHMEM_H

#include "postgres.h"

#include "port/atomics.h"
#include "storage/lwlock.h"

#include "shmem/process_slot.h"

typedef struct SharedState
{
	LWLock	   *workers_lock;
	LWLock	   *leases_lock;
	LWLock	   *ready_lock;
	LWLock	   *waiters_lock;
	LWLock	   *work_waiters_lock;
	LWLock	   *dependents_lock;
	LWLock	   *caps_lock;
	LWLock	   *statistics_lock;
	int			nworker_slots;
	int			ndatabase_slots;	/* and sender slots */

	/* under workers_lock */
	ProcessSlot launcher;
	bool		probe;			/* launcher: look at all databases again */
	bool		clean_start;	/* the server was stopped in good order before */
	bool		scheduler_waits;	/* for a background worker: none is free */
	int			await_free;		/* workers that may await and not count */
	int			await_share;	/* of these, those of one role */
	int			await_workers;	/* others that a role with such may have */
	int			extra_workers;	/* beyond max_workers, each the first of its
								 * role */
	bool		restored;		/* from a base backup, and not all databases
								 * know it yet */

	/* under dependents_lock */
	uint32		dependents_generation;	/* of counters, of all databases */
	uint32		dependents_slots;	/* databases that were given one */

	pg_atomic_uint32 nscheduled;	/* not 0: some database's scheduled_set
									 * has bits */
} SharedState;

extern SharedState *shared;		/* NULL: not in shared_preload_libraries */

extern void defer_shmem_request(void);	/* shmem_request_hook */
extern void defer_shmem_startup(void);	/* shmem_startup_hook */

#endif							/* DEFER_SHMEM_H */
