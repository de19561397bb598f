/*
 * shmem.h
 *		What all processes of defer share.
 *
 * Everything here can be rebuilt from the tables: a scheduler does so when it
 * starts.  No pointer into a process' own memory is ever kept here.
 *
 * Locks, in the order in which they may be taken together:
 *
 *	workers_lock	who is there: launcher, databases, worker slots' identity and
 *					state, awaiters
 *	lanes_lock		lanes and limits
 *	slot->mutex		(spinlock) the batch in a worker slot
 *	counters_lock	which counters there are (shmem/statistics.c)
 *
 * None is held while anything else is waited for, and no error can be thrown
 * under slot->mutex.
 */
#ifndef SHARED_STATE_H
#define SHARED_STATE_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "datatype/timestamp.h"

/* Most jobs that one claim takes */
#define BATCH_MAX		500

/* Words of a database's set of scheduled functions (see function/direct_call_check.c) */
#define GUARD_WORDS		16

/* A place in the claim index, within owner, lane and priority */
typedef struct LaneKey
{
	TimestampTz run_at;
	int64		id;
} LaneKey;

/* Nothing there: after every key */
#define LANE_KEY_NONE ((LaneKey) {DT_NOEND, PG_INT64_MAX})

static inline bool
lane_key_before(LaneKey a, LaneKey b)
{
	return a.run_at < b.run_at || (a.run_at == b.run_at && a.id < b.id);
}

/* What a lane slot is about; no padding may differ, so zero it first */
typedef struct LaneTag
{
	Oid			database;
	Oid			owner;
	int64		lane;
	int32		priority;
	int32		unused;			/* 0 */
} LaneTag;

/*
 * Free jobs of one owner, lane and priority.
 *
 * Every free job that is committed and whose commit callback has run has a
 * key of "low" or higher: so scans begin there.  Only a scan may raise "low",
 * and not over what others lowered it to meanwhile ("scan_low"), nor over a
 * row that it found locked.  It does so when it has read its rows, before it
 * commits, so that the next one begins behind them; if it cannot commit it
 * takes that back.
 */
typedef struct LaneSlot
{
	LaneTag		tag;
	LaneKey		low;
	int32		scanners;		/* who has chosen the lane and is not done with it */
	LaneKey		scan_low;		/* lowest of the keys added since the last scan began */
	int64		ready;			/* jobs added less jobs taken: an estimate */
	TimestampTz retry_at;		/* a scan met only locked rows: not before then */
} LaneSlot;

/* A concurrency limit; "running" counts the workers that hold a batch under it */
typedef struct LimitTag
{
	Oid			database;
	int32		id;
	int32		kind;			/* 'f' function or 'q' queue */
} LimitTag;

typedef struct LimitSlot
{
	LimitTag	tag;
	int32		running;
	int32		choosing;		/* of them, those that look for jobs and may take none */
	int32		limit;			/* -1: none any more; 0: paused */
	bool		cancel;			/* what finds no room is cancelled */
	bool		stale;			/* not met yet by the scheduler, who reads all of them */
} LimitSlot;

typedef enum WorkerState
{
	WORKER_FREE = 0,			/* the slot is nobody's */
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
	int32		state;			/* BatchEntryState */
} BatchEntry;

typedef struct WorkerSlot
{
	/* under workers_lock */
	uint32		generation;		/* grows each time the slot is given out */
	WorkerState state;
	Oid			database;
	Oid			owner;			/* the role it is connected as */
	pid_t		pid;			/* 0 while starting */
	Latch	   *latch;			/* in shared memory */
	TimestampTz since;			/* in this state since */
	bool		woken;			/* idle, and its latch was set for a job */
	bool		awaiting;		/* its job waits in defer.await() */
	bool		leave;			/* another role needs the slot */
	bool		stuck;			/* its bookkeeping has failed, and is tried again */
	int16		suspect;		/* of the job it runs: see worker_reserve_suspect() */

	/* under mutex */
	slock_t		mutex;
	int64		claim_id;		/* row of defer.claim, 0: none */
	int64		previous_claim_id;	/* still there until the claim's commit */
	int64		lane;
	int32		priority;
	int64		current_job;	/* 0: none */
	TimestampTz job_started;
	float4		progress;		/* negative: not told */
	int64		cancel_job;		/* stop this job by force */
	int32		nentries;
	int32		nwaiting;		/* entries that are ENTRY_WAITING */
	BatchEntry	entries[BATCH_MAX];
} WorkerSlot;

/* Most deliveries that a database has under way at the same time */
#define TRANSFERS_MAX	2048

/* A delivery that the courier has taken */
typedef struct TransferEntry
{
	int64		job_id;			/* 0: the entry is free */
	int64		claim_id;		/* row of defer.claim */
	TimestampTz started_at;
	Oid			owner;			/* of the job */
	bool		cancel;			/* stop it by force */
} TransferEntry;

/*
 * The courier of a database; the slot is given out when one is started.  All
 * that it has taken runs: nothing waits in a batch.
 */
typedef struct CourierSlot
{
	/* under workers_lock */
	Oid			database;		/* InvalidOid: the slot is nobody's */
	uint32		generation;		/* grows each time the slot is given out */
	pid_t		pid;			/* 0 while starting */
	Latch	   *latch;
	bool		called;			/* it has been woken, and has not looked since */
	TimestampTz since;

	/* under mutex */
	slock_t		mutex;
	int			nentries;		/* entries from here on are free */
	TransferEntry entries[TRANSFERS_MAX];
} CourierSlot;

#define LOST_MAX	32

typedef struct DatabaseSlot
{
	/* under workers_lock */
	Oid			database;		/* InvalidOid: the slot is nobody's */
	bool		wanted;			/* the launcher wants a scheduler there */
	bool		withdrawn;		/* DDL on the database wants us out */
	bool		starting;		/* a scheduler was launched, is not attached */
	bool		checked;		/* the scheduler has found that the database is to be served */
	bool		recovered;		/* claims of before the last server start were looked at */
	bool		called;			/* the scheduler has been woken, and has not looked since */
	bool		rescan;			/* look at all tables again */
	bool		release;		/* look for held runs of schedules */
	bool		alert;			/* there are events for alerts, or other rules */
	uint32		rollup_many;	/* so many new counts of finished jobs are added up at once */
	pg_atomic_uint32 rollup;	/* new counts, about; without a lock */
	bool		orphans;		/* a worker went without settling its batch */
	int			nlost;			/* jobs that ran then, and nobody has written how they ended */
	int64		lost[LOST_MAX]; /* more of them are not known by name */
	bool		overflow;		/* more lanes than shared_slots: look in the table */
	bool		limits_overflow;	/* more limits than that: some are not known */
	bool		no_slots;		/* no background worker could be registered */
	bool		refused;		/* workers of a role that has jobs could not connect */
	pid_t		scheduler_pid;
	Latch	   *scheduler_latch;
	TimestampTz scheduler_since;
	TimestampTz next_schedule;	/* lowered by commits that touch schedules */
	TimestampTz next_wake;		/* the scheduler sleeps until then at most */
	uint64		guard[GUARD_WORDS]; /* Bloom filter of scheduled functions */
} DatabaseSlot;

typedef struct AwaiterSlot
{
	/* under workers_lock */
	Oid			database;		/* InvalidOid: free */
	int64		job_id;
	Latch	   *latch;
	bool		done;
} AwaiterSlot;

/*
 * Who takes jobs of a lane: one at a time, or all would read the same rows from
 * the lane's lowest key on.  Several lanes may share a gate.
 */
#define GATES	64

typedef struct Gate
{
	pg_atomic_uint32 holder;	/* pid; 0: it is open */
	ConditionVariable open;
} Gate;

typedef struct SharedState
{
	LWLock	   *workers_lock;
	LWLock	   *lanes_lock;
	LWLock	   *counters_lock;
	pid_t		launcher_pid;
	Latch	   *launcher_latch;
	TimestampTz launcher_since;
	bool		probe;			/* launcher: look at all databases again */
	bool		shutting_down;	/* the server is */
	bool		restored;		/* from a base backup, and not all databases know it yet */
	pg_atomic_uint64 flush_point;	/* end of the last commit that ended a job */
	pg_atomic_uint32 nawaiters; /* awaiter slots in use */
	pg_atomic_uint32 nguarded;	/* bits set in any database's guard */
	pg_atomic_uint32 limit_changes; /* commits that have set limits */
	Gate		gates[GATES];
	int			nworker_slots;
	int			ndatabase_slots;	/* and courier slots */
	int			nawaiter_slots;
} SharedState;

extern SharedState *shared;		/* NULL: not in shared_preload_libraries */
extern WorkerSlot *worker_slots;	/* [shared->nworker_slots] */
extern DatabaseSlot *database_slots;	/* [shared->ndatabase_slots] */
extern CourierSlot *courier_slots;	/* [shared->ndatabase_slots] */
extern AwaiterSlot *awaiter_slots;	/* [shared->nawaiter_slots] */

/* This process' slots, NULL if it has none */
extern WorkerSlot *my_worker;
extern DatabaseSlot *my_database;

/* shmem/shmem.c */
extern void shared_state_request(void);
extern void shared_state_startup(void);

/* Databases; the caller holds workers_lock */
extern DatabaseSlot *database_slot(Oid database, bool create);	/* NULL: none (or no room) */
extern void wake_scheduler_locked(DatabaseSlot *slot);
extern void wake_scheduler(Oid database);

/* Workers */
extern int	wake_idle_workers(Oid database, Oid owner, int64 n);	/* returns how many */
extern int	count_workers(Oid database, Oid owner, bool *idle);	/* not those that await */
extern bool worker_set_state(WorkerState state);
extern void worker_set_stuck(bool stuck);
extern bool worker_reserve_suspect(int16 suspect);
extern void worker_release_suspect(void);
extern void worker_set_progress(float4 progress);
extern void worker_begin_await(void);
extern void worker_end_await(void);

/* Couriers */
extern CourierSlot *courier_slot(Oid database); /* the caller holds workers_lock; NULL: none */
extern bool wake_courier(Oid database); /* false: there is none, or not yet */
extern bool courier_has(Oid database, int64 job_id, bool cancel);
extern bool courier_has_claim(Oid database, int64 claim_id);

/* shmem/ready_queue.c: lanes */
extern Size lanes_shared_size(void);
extern void lanes_startup(void);
extern void lane_lower(Oid database, Oid owner, int64 lane, int32 priority, LaneKey key, int64 count);
typedef struct LaneChoice
{
	Oid			owner;
	int64		lane;
	int32		priority;
	LaneKey		low;
	int64		ready;
} LaneChoice;
extern bool lane_choose(Oid database, Oid owner, TimestampTz now, LaneChoice *choice,
						TimestampTz *look_again);
extern bool lane_choose_delivery(Oid database, bool mails, const Oid *excluded, int nexcluded, TimestampTz now,
								 LaneChoice *choice, TimestampTz *look_again);
extern bool lane_is_due(Oid database, Oid owner, TimestampTz now);
extern void lane_scan_begin(LaneChoice *choice, Oid database);
extern void lane_scan_advance(const LaneChoice *choice, Oid database, LaneKey next);
extern void lane_scan_end(const LaneChoice *choice, Oid database, LaneKey next, int64 taken,
						  TimestampTz now);
extern void lane_scan_abort(const LaneChoice *choice, Oid database);
extern void lane_scan_abandon(Oid database);
extern void lanes_forget(Oid database);
extern int	lanes_of_database(Oid database, LaneChoice **lanes);	/* palloc'd copy */

/* shmem/ready_queue.c: limits */
extern bool limit_set(Oid database, char kind, int32 id, int32 limit);
extern void limits_changed(void);
extern uint32 limits_load_begin(Oid database);
extern bool limits_load_end(Oid database, uint32 begun);
extern void limit_set_cancel(Oid database, int32 function_id, bool cancel);
extern bool lane_may_cancel(Oid database, int64 lane);
extern bool lane_cancels_at_limit(Oid database, int64 lane);
extern bool limits_reserve(Oid database, int64 lane);
extern void limits_release(Oid database, int64 lane);
extern bool limits_have_room(Oid database, int64 lane);

/* shmem/waiters.c: who waits for jobs */
extern int	await_register(int64 job_id);	/* -1: all slots are taken */
extern bool await_done(int slot);
extern void await_unregister(int slot);
extern void await_wake(Oid database, int64 job_id);
extern XLogRecPtr await_flush_point(void);
extern void note_flush_point(XLogRecPtr lsn);

#endif							/* SHARED_STATE_H */
