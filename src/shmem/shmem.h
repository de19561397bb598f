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
 *	ready_queue_lock		ready queues and limits
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
#define SCHEDULED_SET_WORDS		16

/* A place in the claim index, within owner, ready queue and priority */
typedef struct ReadyKey
{
	TimestampTz run_at;
	int64		id;
} ReadyKey;

/* Nothing there: after every key */
#define READY_KEY_NONE ((ReadyKey) {DT_NOEND, PG_INT64_MAX})

static inline bool
ready_key_before(ReadyKey a, ReadyKey b)
{
	return a.run_at < b.run_at || (a.run_at == b.run_at && a.id < b.id);
}

/* What a ready queue slot is about; no padding may differ, so zero it first */
typedef struct ReadyQueueTag
{
	Oid			database;
	Oid			owner;
	int64		limits_key;
	int32		priority;
	int32		unused;			/* 0 */
} ReadyQueueTag;

/*
 * Free jobs of one owner, ready queue and priority.
 *
 * Every free job that is committed and whose commit callback has run has a
 * key of "min_key" or higher: so scans begin there.  Only a scan may raise "min_key",
 * and not over what others lowered it to meanwhile ("scan_min_key"), nor over a
 * row that it found locked.  It does so when it has read its rows, before it
 * commits, so that the next one begins behind them; if it cannot commit it
 * takes that back.
 */
typedef struct ReadyQueue
{
	ReadyQueueTag		tag;
	ReadyKey		min_key;
	int32		scanners;		/* who has chosen the ready queue and is not done with it */
	ReadyKey		scan_min_key;		/* lowest of the keys added since the last scan began */
	int64		ready;			/* jobs added less jobs taken: an estimate */
	TimestampTz retry_at;		/* a scan met only locked rows: not before then */
} ReadyQueue;

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
	int64		limits_key;
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

/* A delivery that the sender has taken */
typedef struct TransferEntry
{
	int64		job_id;			/* 0: the entry is free */
	int64		claim_id;		/* row of defer.claim */
	TimestampTz started_at;
	Oid			owner;			/* of the job */
	bool		cancel;			/* stop it by force */
} TransferEntry;

/*
 * The sender of a database; the slot is given out when one is started.  All
 * that it has taken runs: nothing waits in a batch.
 */
typedef struct SenderSlot
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
} SenderSlot;

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
	bool		overflow;		/* more ready queues than shared_slots: look in the table */
	bool		limits_overflow;	/* more limits than that: some are not known */
	bool		no_slots;		/* no background worker could be registered */
	bool		refused;		/* workers of a role that has jobs could not connect */
	pid_t		scheduler_pid;
	Latch	   *scheduler_latch;
	TimestampTz scheduler_since;
	TimestampTz next_schedule;	/* lowered by commits that touch schedules */
	TimestampTz next_wake;		/* the scheduler sleeps until then at most */
	uint64		scheduled_set[SCHEDULED_SET_WORDS]; /* Bloom filter of scheduled functions */
} DatabaseSlot;

typedef struct WaiterSlot
{
	/* under workers_lock */
	Oid			database;		/* InvalidOid: free */
	int64		job_id;
	Latch	   *latch;
	bool		done;
} WaiterSlot;

/*
 * Who takes jobs of a ready queue: one at a time, or all would read the same rows from
 * the ready queue's lowest key on.  Several ready queues may share a claim_lock.
 */
#define CLAIM_LOCKS	64

typedef struct ClaimLock
{
	pg_atomic_uint32 holder;	/* pid; 0: it is open */
	ConditionVariable open;
} ClaimLock;

typedef struct SharedState
{
	LWLock	   *workers_lock;
	LWLock	   *ready_queue_lock;
	LWLock	   *counters_lock;
	pid_t		launcher_pid;
	Latch	   *launcher_latch;
	TimestampTz launcher_since;
	bool		probe;			/* launcher: look at all databases again */
	bool		shutting_down;	/* the server is */
	bool		restored;		/* from a base backup, and not all databases know it yet */
	pg_atomic_uint64 flush_point;	/* end of the last commit that ended a job */
	pg_atomic_uint32 nwaiters; /* awaiter slots in use */
	pg_atomic_uint32 nscheduled;	/* bits set in any database's guard */
	pg_atomic_uint32 limit_changes; /* commits that have set limits */
	ClaimLock		claim_locks[CLAIM_LOCKS];
	int			nworker_slots;
	int			ndatabase_slots;	/* and sender slots */
	int			nwaiter_slots;
} SharedState;

extern SharedState *shared;		/* NULL: not in shared_preload_libraries */
extern WorkerSlot *worker_slots;	/* [shared->nworker_slots] */
extern DatabaseSlot *database_slots;	/* [shared->ndatabase_slots] */
extern SenderSlot *sender_slots;	/* [shared->ndatabase_slots] */
extern WaiterSlot *waiter_slots;	/* [shared->nwaiter_slots] */

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

/* Senders */
extern SenderSlot *sender_slot(Oid database); /* the caller holds workers_lock; NULL: none */
extern bool wake_sender(Oid database); /* false: there is none, or not yet */
extern bool sender_has(Oid database, int64 job_id, bool cancel);
extern bool sender_has_claim(Oid database, int64 claim_id);

/* shmem/ready_queue.c: ready queues */
extern Size ready_queue_shared_size(void);
extern void ready_queue_startup(void);
extern void ready_queue_add(Oid database, Oid owner, int64 limits_key, int32 priority, ReadyKey key, int64 count);
typedef struct ReadyQueueChoice
{
	Oid			owner;
	int64		limits_key;
	int32		priority;
	ReadyKey		min_key;
	int64		ready;
} ReadyQueueChoice;
extern bool ready_queue_choose(Oid database, Oid owner, TimestampTz now, ReadyQueueChoice *choice,
						TimestampTz *look_again);
extern bool ready_queue_choose_delivery(Oid database, bool mails, const Oid *excluded, int nexcluded, TimestampTz now,
								 ReadyQueueChoice *choice, TimestampTz *look_again);
extern bool ready_queue_is_due(Oid database, Oid owner, TimestampTz now);
extern void ready_queue_scan_begin(ReadyQueueChoice *choice, Oid database);
extern void ready_queue_scan_advance(const ReadyQueueChoice *choice, Oid database, ReadyKey next);
extern void ready_queue_scan_end(const ReadyQueueChoice *choice, Oid database, ReadyKey next, int64 taken,
						  TimestampTz now);
extern void ready_queue_scan_abort(const ReadyQueueChoice *choice, Oid database);
extern void ready_queue_scan_abandon(Oid database);
extern void ready_queues_forget(Oid database);
extern int	ready_queues_of_database(Oid database, ReadyQueueChoice **rqs);	/* palloc'd copy */

/* shmem/ready_queue.c: limits */
extern bool limit_set(Oid database, char kind, int32 id, int32 limit);
extern void limits_changed(void);
extern uint32 limits_load_begin(Oid database);
extern bool limits_load_end(Oid database, uint32 begun);
extern void limit_set_cancel(Oid database, int32 function_id, bool cancel);
extern bool limits_may_cancel(Oid database, int64 limits_key);
extern bool limits_cancel_at_limit(Oid database, int64 limits_key);
extern bool limits_reserve(Oid database, int64 limits_key);
extern void limits_release(Oid database, int64 limits_key);
extern bool limits_have_capacity(Oid database, int64 limits_key);

/* shmem/waiters.c: who waits for jobs */
extern int	waiter_register(int64 job_id);	/* -1: all slots are taken */
extern bool waiter_is_done(int slot);
extern void waiter_unregister(int slot);
extern void waiters_wake(Oid database, int64 job_id);
extern XLogRecPtr waiters_flush_point(void);
extern void waiters_record_flush_point(XLogRecPtr lsn);

extern bool shared_state_present(void); /* false: not in shared_preload_libraries */
extern void warn_if_not_preloaded(void);	/* WARNING, once a session */

#endif							/* SHARED_STATE_H */
