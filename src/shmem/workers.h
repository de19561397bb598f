/*
 * workers.h
 *		The workers of all databases: who they are, and the batch that each has.
 */
#ifndef DEFER_WORKERS_H
#define DEFER_WORKERS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/lwlock.h"

#include "base/limits_key.h"
#include "shmem/process_slot.h"
#include "shmem/ready_queue.h"
#include "shmem/shmem.h"		/* the number of slots, their lock */

/* Most jobs that one claim takes */
#define BATCH_MAX		500

typedef enum WorkerState
{
	WORKER_FREE = 0,			/* the slot is free */
	WORKER_STARTING,			/* launched, not attached yet */
	WORKER_IDLE,				/* waits on its latch */
	WORKER_BUSY,
	WORKER_LEAVING				/* takes no more work */
} WorkerState;

typedef enum BatchEntryState
{
	ENTRY_WAITING = 0,			/* not begun: may be taken over */
	ENTRY_STARTED,				/* runs, or has ended */
	ENTRY_STOLEN,				/* another worker's now */
	ENTRY_WITHDRAWN				/* cancelled or rescheduled before it began */
} BatchEntryState;

typedef struct BatchEntry
{
	int64		job_id;
	int16		state;			/* BatchEntryState */
	int16		group;			/* index in the slot's groups */
	bool		counted;		/* among those that wait for a token: see
								 * shmem/rates.c */
} BatchEntry;

/*
 * The part of a batch that is of one group: it holds one place under the group's
 * limits as long as entries of it wait or run, and what was charged for it until the
 * first of them begins.
 */
typedef struct BatchGroup
{
	int64		group;			/* hash of its name; 0: of no group */
	int32		left;			/* entries that wait or run */
	FairCharge	charge;
	bool		counted;		/* so are those of its entries that wait */
	bool		ordered;		/* its jobs run in order: none after one that
								 * has not succeeded, or was taken out */
	bool		broken;			/* there is such a one */
} BatchGroup;

typedef struct WorkerSlot
{
	/* under workers_lock */
	ProcessSlot process;		/* its pid is 0 while it starts */
	WorkerState state;
	Oid			database;
	Oid			owner;			/* the role it is connected as */
	bool		woken;			/* idle, and its latch was set for a job */
	bool		awaiting;		/* its job waits in defer.await() */
	bool		await_counts;	/* it counts against max_workers all the same */
	bool		await_extra;	/* started for awaited jobs only; never counts */
	bool		await_reserved; /* it is about to take a job that no job
								 * awaits */
	TimestampTz awaited_at;		/* a job of it has begun to wait; 0: never */
	int			await_depth;	/* 1: a job awaits its job; 2: a job of depth
								 * 1; ... */
	int64		await_job;		/* what its job waits for */
	bool		leave;			/* another role needs the slot */
	bool		blocked;		/* its own transaction has failed, and is
								 * tried again */
	bool		works;			/* these two under ready_lock: it has jobs of */
	int32		works_in;		/* that queue; 0: of one without limits */
	bool		suspect;		/* it runs a job that may have crashed the
								 * server twice */

	LWLock	   *lock;			/* never changes */

	/* under "lock" */
	int64		claim_id;		/* row of defer.claim, 0: none */
	int64		previous_claim_id;	/* still there until the claim's commit */
	LimitScopes scopes;			/* of the batch, but for groups */
	int32		priority;		/* of its jobs */
	int64		current_job;	/* 0: none */
	TimestampTz job_started;
	float4		progress;		/* negative: not told */
	int64		cancel_job;		/* stop this job by force */
	int32		nentries;
	int32		nwaiting;		/* entries that are ENTRY_WAITING */
	BatchEntry	entries[BATCH_MAX];
	bool		holds_places;	/* the groups do: the batch is committed, and
								 * not at its end */
	int32		ngroups;
	BatchGroup	groups[READY_CLAIM_MAX];
	FairRun		run;			/* changes under ready_lock, too */
} WorkerSlot;

extern WorkerSlot *worker_slots;	/* [shared->nworker_slots] */
extern WorkerSlot *my_worker;	/* that of this process, NULL: it is no worker */

extern int	worker_slot_count(void);	/* for shared->nworker_slots */
extern Size workers_shmem_size(void);
extern void workers_shmem_init(LWLockPadded *locks);	/* under
														 * AddinShmemInitLock */

/* Set the latches of up to n idle workers of that role; returns of how many */
extern int	workers_wake_idle(Oid database, Oid owner, int64 n);

/*
 * Count the workers of a role, but for those whose job awaits another: they hold
 * a process and do no work.  *idle: one is idle or starts.  The caller holds
 * workers_lock.
 */
extern int	workers_count(Oid database, Oid owner, bool *idle);

/*
 * Workers of a role, but for this one: workers whose jobs wait; workers in
 * this database that run an awaited job; workers that have just begun, or are
 * about to take, a job that no job awaits.  "lately": a job of the role has
 * waited.  Without workers_lock about so many.
 */
typedef struct AwaitCounts
{
	int			awaiting;
	int			busy_awaited;
	int			busy;
	bool		lately;
} AwaitCounts;

extern void workers_count_awaiting(Oid owner, AwaitCounts *counts);

/*
 * Count those of this worker's role before it takes jobs; it counts as "busy"
 * for the others until worker_reserve_end().
 */
extern void worker_reserve_begin(AwaitCounts *counts);
extern void worker_reserve_end(int depth);	/* of the job that was taken */

/*
 * Check whether the worker counts against defer.max_workers.  The caller holds
 * workers_lock
 */
static inline bool
worker_counts(const WorkerSlot *slot)
{
	return slot->state != WORKER_FREE && !slot->await_extra &&
		!(slot->awaiting && !slot->await_counts);
}

/* The rest is about this process' slot */

/* True: a commit has counted on this worker since it was set to idle */
extern bool worker_set_state(WorkerState state);

/* What this worker writes fails, or waits for a lock on our tables */
extern void worker_set_blocked(bool blocked);

/*
 * Check whether this worker may run a job that may have crashed the server twice:
 * only while no other such job runs anywhere, so that the next crash names one.
 */
extern bool worker_reserve_suspect(void);
extern void worker_release_suspect(void);

extern void worker_set_progress(float4 progress);

/*
 * This worker's job waits for another one.  Up to a share of its role it does
 * not count meanwhile, and the pool may have one more instead.
 */
extern void worker_begin_await(int64 job_id);
extern void worker_end_await(void);

#endif							/* DEFER_WORKERS_H */
