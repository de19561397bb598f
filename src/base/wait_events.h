/*
 * wait_events.h
 *		Names of what our processes and sessions wait for, in
 *		pg_stat_activity.wait_event (PostgreSQL 17 and later; "Extension" before).
 */
#ifndef DEFER_WAIT_EVENTS_H
#define DEFER_WAIT_EVENTS_H

#include "postgres.h"

typedef enum DeferWaitEvent
{
	DEFER_WAIT_LAUNCHER_MAIN,	/* each process: nothing to do */
	DEFER_WAIT_SCHEDULER_MAIN,
	DEFER_WAIT_WORKER_MAIN,
	DEFER_WAIT_SENDER_MAIN,		/* for transfers, too */
	DEFER_WAIT_AWAIT,			/* defer.await(), for the job's end */
	DEFER_WAIT_WORK,			/* defer.wait_for_work(), for jobs of tasks */
	DEFER_WAIT_WITHDRAW,		/* DDL on a database, for our processes to
								 * leave it */
	DEFER_WAIT_TOKEN,			/* a worker: for the token of its next job */
	DEFER_WAIT_CAP,				/* an enqueue: for the session that counts the
								 * jobs under its max_queued */
	DEFER_WAIT_EVENTS
} DeferWaitEvent;

/* Registers the names.  Called by the postmaster when shared memory is set up. */
extern void defer_wait_events_init(void);

/* Returns what WaitLatch() and its like take */
extern uint32 defer_wait_event(DeferWaitEvent event);

#endif							/* DEFER_WAIT_EVENTS_H */
