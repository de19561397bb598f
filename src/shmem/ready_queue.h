/*
 * ready_queue.h
 *		Ready queues: where the free jobs of a role are.
 *
 * A ready queue is the free jobs of one role that have the same priority and
 * the same limits (the "limits_key" of defer.job).  Shared memory knows
 * its minimum key, (run_at, id), where the next claim begins to read the claim
 * index.
 *
 * Shared memory has room for defer.shared_slots of them.  A queue without a
 * slot is not lost: its role, or where that has no slot either its database,
 * knows from when on a job may be due in one ("unlisted_at"), and the
 * scheduler then looks for it in the index (table/ready_search.c).
 */
#ifndef DEFER_READY_QUEUE_H
#define DEFER_READY_QUEUE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "base/limits_key.h"
#include "shmem/fair_queue.h"

/* A place in the claim index, within role, limits_key and priority */
typedef struct ReadyKey
{
	TimestampTz run_at;
	int64		id;
} ReadyKey;

/* After every key: the queue is empty */
#define READY_KEY_NONE ((ReadyKey) {DT_NOEND, PG_INT64_MAX})

static inline bool
ready_key_before(ReadyKey a, ReadyKey b)
{
	return a.run_at < b.run_at || (a.run_at == b.run_at && a.id < b.id);
}

/* A ready queue, copied out of shared memory */
typedef struct ReadyQueueChoice
{
	Oid			owner;			/* role of its jobs */
	int32		priority;
	int64		limits_key;		/* see limits_key.h */
	LimitScopes scopes;			/* its limits; of a key with LIMITS_KEY_HASHED
								 * they have to be set */
	bool		looked_up;		/* they are, though neither group nor endpoint
								 * is among them: that was limited once */
	ReadyKey	min_key;		/* no free job has a smaller key */
	int64		ready;			/* free jobs, an estimate */
	int			share;			/* of a claim's jobs at most so many of these */
	FairCharge	charge;			/* what a claim was charged for it */
	int			planned;		/* of a claim: it takes no more, as there are
								 * no more tokens; 0: it has no rate */
	int64		first_order;	/* of jobs that are added: job_order() of the
								 * first; 0: not known */
	uint32		order_changes;	/* of a claim: see LimitSlot */

	/* what a claim has found, for ready_queue_scan_end() */
	ReadyKey	next;			/* the first key that it did not deal with */
	int			taken;			/* jobs */
	bool		pause_after;	/* if none: leave the queue alone for a moment */
	bool		behind;			/* the first job in the order of its group is
								 * not to be had here, but: */
	int64		behind_order;	/* job_order() of that */
	TimestampTz behind_until;	/* when it is due; DT_NOEND: not known */
} ReadyQueueChoice;

/* Most queues that one claim takes jobs from */
#define READY_CLAIM_MAX	128

/* The queues of a claim: of one role and priority, they differ in their group */
typedef struct ReadyClaim
{
	int			nqueues;
	ReadyQueueChoice queues[READY_CLAIM_MAX];
	TimestampTz next_token;		/* set by ready_queue_scan_end(): when more
								 * can be claimed for which tokens are missing */
} ReadyClaim;

/* What there is to do of a role, of one priority and under one function's and queue's limits */
typedef struct ReadySummary
{
	Oid			owner;
	bool		deliveries;
	bool		tasks;			/* for workers outside of the server */
	LimitScopes scopes;			/* function and queue */
	bool		capacity;		/* its limits have some, and tokens */
	int64		ready;			/* jobs that are due and have capacity, but
								 * for those limits; 0: none.  No more than
								 * those have tokens */
	TimestampTz oldest;			/* run_at of the first due job, also of those
								 * of groups without capacity; DT_NOEND: none */
	TimestampTz next_due;		/* when others are due */
} ReadySummary;

/* ------------------------------------------------------------------------
 * ready_queue.c: which there are
 *
 * Each function takes the lock it needs, and throws nothing unless it says so.
 * ------------------------------------------------------------------------ */
extern Size ready_queues_shmem_size(void);
extern void ready_queues_shmem_init(void);	/* under AddinShmemInitLock */

/*
 * A scheduler begins to serve the database: from here on commits tell of their
 * jobs, so call it before the snapshot that reads those of earlier ones.
 * Limits are read again.  Queues that are known already stay.
 */
extern void ready_queues_open(Oid database);

/*
 * Free all slots of the database; until the next ready_queues_open() commits
 * leave none.  Call it before the DatabaseSlot is free.
 */
extern void ready_queues_forget(Oid database);

/*
 * Add "count" committed jobs to a queue, the first of them at "key".  The result
 * says what to do: the scheduler is needed before they can be claimed, as the
 * queue has found no slot or its limits are not known; they can be claimed now; or
 * they are to be cancelled, as their limits have no capacity.  *next_due is lowered to
 * when there is a token for them.
 */
typedef enum ReadyAdded
{
	READY_ADDED,				/* nothing */
	READY_ADDED_TELL,
	READY_ADDED_CLAIM,
	READY_ADDED_CANCEL
} ReadyAdded;

extern ReadyAdded ready_queue_add(Oid database, const ReadyQueueChoice *queue, int64 count,
								  TimestampTz now, TimestampTz *next_due);

/* The index has jobs of that queue from its min_key on, "ready" of them at least */
extern void ready_queue_found(Oid database, const ReadyQueueChoice *queue, TimestampTz now);

/* From that time on a job may be due in a queue of the role that has no slot */
extern void ready_role_unlisted(Oid database, Oid owner, TimestampTz at);

/* ------------------------------------------------------------------------
 * ready_list.c: what there is to do
 * ------------------------------------------------------------------------ */

/*
 * What there is to do in a database, palloc'd; returns how many.  "oldest" is asked
 * for by itself, as it costs a look at each queue.
 */
extern int	ready_summaries(Oid database, TimestampTz now, bool oldest, ReadySummary **summaries);

/*
 * Copies of queues whose due jobs exceed a limit at which they are cancelled, at
 * most "max"; returns how many.
 */
extern int	ready_queues_to_cancel(Oid database, TimestampTz now, ReadyQueueChoice *queues,
								   int max);

/*
 * The roles with a job due in a queue without a slot, palloc'd; one InvalidOid
 * stands for all roles that have no slot themselves.  Returns how many, and
 * lowers *next to when another one will have such a job.
 */
extern int	ready_roles_unlisted(Oid database, TimestampTz now, Oid **owners,
								 TimestampTz *next);

/*
 * The index is about to be searched for queues of the role, or of roles without
 * a slot: call the first before the snapshot.  A search that does not come to
 * its end has to be gone on with, or begun again.
 */
extern void ready_role_search_begin(Oid database, Oid owner);
extern void ready_role_search_end(Oid database, Oid owner);

/* Check whether there is a due job in a queue without a slot */
extern bool ready_queues_overflow(Oid database, TimestampTz now);

/* ------------------------------------------------------------------------
 * ready_claim.c: taking jobs from one
 * ------------------------------------------------------------------------ */

/*
 * Choose the queues that a worker of that role takes up to max jobs from: of the
 * smallest priority, then the oldest, of those that are due and have capacity.
 * There are several if they are of groups, and hold fewer jobs than that.  Places
 * are taken under the limits of function, queue and endpoint, and of each group; they
 * are in use: ready_queue_scan_end() or _abort() must follow.  *next_check is
 * lowered to when a queue whose rows were locked is to be tried again, and to when one has
 * a token that was found to have none: the scheduler may not know of these times.  The result
 * is good until the next call; NULL: none.
 */
extern ReadyClaim *ready_queue_choose(Oid database, Oid owner, int max, TimestampTz now,
									  TimestampTz *next_check);

/*
 * The same for the sender, one queue: deliveries of the roles that may_take() says,
 * and their e-mails where it says that.  It is called under ready_lock, and throws
 * no error.  The roles have turns, so that no priority or backlog of one takes the
 * places and tokens of a queue or endpoint that it shares with others.
 */
extern ReadyClaim *ready_queue_choose_delivery(Oid database,
											   bool (*may_take) (Oid owner, bool mails),
											   TimestampTz now, TimestampTz *next_check);

/* The tasks that a worker outside of the server asks for: sorted numbers of both */
typedef struct ReadyTasks
{
	const int32 *functions;
	int			nfunctions;
	const int32 *queues;
	int			nqueues;		/* -1: jobs of all queues */
} ReadyTasks;

/* The same for such a worker, one queue of any role */
extern ReadyClaim *ready_queue_choose_task(Oid database, const ReadyTasks *tasks,
										   TimestampTz now, TimestampTz *next_check);

/* Check whether that would find one */
extern bool ready_queue_task_is_due(Oid database, const ReadyTasks *tasks, TimestampTz now,
									TimestampTz *next_check);

/*
 * Check whether there is a queue that a worker of that role could take jobs
 * from
 */
extern bool ready_queue_is_due(Oid database, Oid owner, TimestampTz now);

/*
 * Begin to read the queue's rows, from its minimum key as it is when the claim
 * lock is ours (see claim_lock.h; may throw what a lock wait throws).  In the
 * transaction that claims.
 */
extern void ready_queue_scan_begin(ReadyQueueChoice *chosen, Oid database);

/*
 * All rows before chosen->next are dealt with once this transaction commits: the
 * next claim begins there, and may begin now.
 */
extern void ready_queue_scan_advance(const ReadyQueueChoice *chosen, Oid database, TimestampTz now);

/*
 * The claim has committed; next, taken and pause_after are set in each queue.  The
 * places of those from which something was taken stay taken.  If nothing was though
 * jobs are due, others have them locked: the queue is left alone for a moment.
 * Returns true if another process may have waited for a place that is free again.
 */
extern bool ready_queue_scan_end(ReadyClaim *claim, Oid database, TimestampTz now);

/* The claim has failed, or will be: all is as before.  The lock goes with the transaction */
extern void ready_queue_scan_abort(ReadyClaim *claim, Oid database);

/* The process ends: abort what it may be in the middle of */
extern void ready_queue_scan_abandon(Oid database);

/*
 * A claim has met a job under other limits than its queue has in shared memory,
 * though of the queue's limits_key: the queue gets these.
 */
extern void ready_queue_rescope(Oid database, const ReadyQueueChoice *queue, TimestampTz now);

#endif							/* DEFER_READY_QUEUE_H */
