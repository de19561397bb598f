/*
 * reserved.h
 *		Workers that are kept for queues: the setting "reserved".
 *
 * A job begins only if as many workers as are reserved for other queues, and are not at
 * jobs of these, are left of defer.max_workers.  A job of a queue whose reserved workers
 * are not all at its jobs may always begin.  A role that has no worker at a job may have
 * one beyond that, as it may have one beyond defer.max_workers.
 *
 * Workers whose job is in defer.await() do not count.  Nothing of this is looked at while
 * no queue has reserved workers.
 */
#ifndef DEFER_RESERVED_H
#define DEFER_RESERVED_H

#include "postgres.h"

/* Most queues with reserved workers */
#define RESERVED_MAX	64

typedef struct ReservedQueue
{
	Oid			database;
	int32		queue_id;
	int32		reserved;		/* as set */
} ReservedQueue;

/* Which jobs a worker of a role may begin now */
typedef struct ReservedView
{
	bool		any;			/* others than those of: */
	int			nopen;
	int32		open[RESERVED_MAX]; /* queues whose reserved workers are not
									 * all at their jobs */
} ReservedView;

extern Size reserved_shmem_size(void);
extern void reserved_shmem_init(void);	/* under AddinShmemInitLock */

/* The queues of a database that have reserved workers; none: n = 0 */
extern void reserved_load(Oid database, const ReservedQueue *queues, int n);

/*
 * Of the workers that are reserved for a queue, those that are within defer.max_workers - 1,
 * of all databases.
 */
extern int	reserved_granted(Oid database, int32 queue_id);

/* The caller holds ready_lock */
extern void reserved_view(Oid database, Oid owner, ReservedView *view);
extern bool reserved_allows(const ReservedView *view, int32 queue_id);

/* Check whether a worker of that role may begin a job of that queue; without the lock */
extern bool reserved_may_begin(Oid owner, int32 queue_id);

/* This worker is about to run jobs of that queue, 0: of one without limits; under ready_lock */
extern void reserved_enter(int32 queue_id);

/* The same, if that is allowed; without the lock */
extern bool reserved_try_enter(int32 queue_id);

/* It does not any more; true: wake the schedulers, as others have found none left */
extern bool reserved_leave(void);

#endif							/* DEFER_RESERVED_H */
