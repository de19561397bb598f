/*
 * databases.h
 *		The databases that are served, and what their schedulers are to do.
 *
 * The launcher and CREATE EXTENSION give a database its slot; it is free again
 * when its scheduler finds that there is nothing to serve, or the launcher that
 * the database is gone.
 */
#ifndef DEFER_DATABASES_H
#define DEFER_DATABASES_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"

#include "pure/lost_jobs.h"
#include "shmem/process_slot.h"
#include "shmem/dependents_counts.h"
#include "shmem/dependents_told.h"
#include "shmem/scheduled_set.h"

/* Jobs that are remembered by id because one may wait for their end */
#define BEHIND_MAX	64

/* Tasks of a scheduler: process/tasks.h */
#define SCHEDULER_TASKS	17

/* A task that has failed, and not succeeded since; for defer.health */
typedef struct TaskFailure
{
	int			times;			/* in a row; 0: it has not failed */
	TimestampTz since;			/* the first of them */
	char		message[160];	/* of the last; in the database's encoding */
} TaskFailure;

typedef struct DatabaseSlot
{
	/* under workers_lock */
	Oid			database;		/* InvalidOid: the slot is free */
	bool		wanted;			/* the launcher wants a scheduler there */
	int			withdrawn;		/* sessions whose DDL on the database wants
								 * our processes out; 0: none */
	bool		starting;		/* a scheduler was launched, is not attached */
	bool		checked;		/* the scheduler has found that the database
								 * is to be served */
	bool		recovered;		/* claims of before the last server start were
								 * looked at */
	bool		called;			/* the scheduler was woken, and has not looked
								 * since */
	bool		rescan;			/* read all tables again */
	bool		release;		/* look for held runs of schedules */
	bool		results;		/* count how runs have ended; look for
								 * backfills */
	int			nbehind;		/* jobs that may have ended while another
								 * waits for that; BEHIND_MAX + 1: all may */
	int64		behind[BEHIND_MAX];
	bool		alert;			/* there are events for alerts, or other rules */
	uint32		rollup_many;	/* so many new counts of finished jobs are
								 * added up at once */
	pg_atomic_uint32 rollup;	/* new counts, about; without a lock */
	pg_atomic_uint32 fan_out;	/* 1: there are new counts of batches; without
								 * a lock */
	pg_atomic_uint32 limit_changes; /* grows when limits of functions, queues
									 * or endpoints have changed; without a
									 * lock */
	bool		orphans;		/* a worker went without finalizing its batch */
	LostJobs	lost;			/* jobs that ran then, whose end is not
								 * written */
	bool		no_slots;		/* no background worker could be registered */
	TaskFailure task_failures[SCHEDULER_TASKS];
	bool		refused;		/* workers of a role that has jobs could not
								 * connect */
	ProcessSlot scheduler;
	TimestampTz next_schedule;	/* lowered by commits that touch schedules */
	TimestampTz next_lease;		/* lowered by commits that take jobs of tasks */
	TimestampTz next_work;		/* lowered by commits that wake sessions for
								 * jobs of tasks: look whether they took them */
	bool		claims_left;	/* rows of defer.claim whose jobs have all
								 * ended */
	TimestampTz next_wake;		/* the scheduler sleeps until then at most */
	ScheduledSet scheduled_set;

	/* shmem/dependents_told.c */
	bool		dependents_all; /* the scheduler is to look at all of them */
	bool		dependents_clean;	/* ... and to delete old ones */
	int			dependents_ntold;	/* ... at these */
	DependentsTold dependents_told[DEPENDENTS_TOLD];

	/* shmem/dependents_counts.c */
	bool		dependents_loaded;	/* under dependents_lock: the counters are
									 * complete */
	uint32		dependents_generation;	/* changes when they are made anew */
	int			dependents_prepared;	/* COMMIT PREPARED under way */
	pg_atomic_uint32 dependents_version;	/* grows before a counter gets
											 * smaller */
	uint32		dependents_since;	/* another one for each database that has
									 * the slot */
	/* written under dependents_lock, read without */
	pg_atomic_uint32 dependents[DEPENDENTS_CELLS];
	pg_atomic_uint32 dependents_opening[DEPENDENTS_CELLS];
} DatabaseSlot;

extern DatabaseSlot *database_slots;	/* [shared->ndatabase_slots] */
extern DatabaseSlot *my_database;	/* that of this process, NULL: it is none
									 * of ours */

extern Size databases_shmem_size(void);
extern void databases_shmem_init(void); /* under AddinShmemInitLock */

/*
 * The slot of a database, NULL if it has none (and, to create one, none is
 * free).  The caller holds workers_lock, exclusively to create.
 */
extern DatabaseSlot *database_slot(Oid database, bool create);

/*
 * Add to the jobs that may have ended while another waits behind them, with
 * workers_lock held; n may be BEHIND_MAX + 1: all.
 */
extern void database_add_behind(DatabaseSlot *slot, const int64 *ids, int n);

#endif							/* DEFER_DATABASES_H */
