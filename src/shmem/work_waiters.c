/*
 * work_waiters.c
 *		Sessions that wait for jobs of tasks: see work_waiters.h.
 *
 * The lists are in buckets, by database and task; all of it is under
 * work_waiters_lock.  The model is test/model/work_waiter.pml.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/client.h"
#include "base/compat.h"
#include "base/timer.h"
#include "shmem/scheduler_wake.h"
#include "shmem/shmem.h"
#include "shmem/work_waiters.h"

/* A session that was woken and has taken nothing for so long is passed over (microseconds) */
#define EXPECTED_FOR	(1000 * 1000)

/* That a session waits for a task */
typedef struct WorkNode
{
	dlist_node	node;			/* in the bucket's waiting */
	int32		task;
	int32		waiter;			/* index of its slot */
} WorkNode;

typedef struct WorkWaiter
{
	bool		waits;			/* its nodes are in their buckets */
	bool		expected;		/* it was woken, and will take a job */
	Oid			database;		/* while it is one of these */
	int32		task;			/* that it was woken for */
	int64		woken_at;		/* monotonic */
	uint32		pass;			/* of the scheduler, that has counted on it */
	dlist_node	expected_node;	/* in the bucket's expected */
	Latch	   *latch;
	Oid			role;
	int			pid;
	TimestampTz since;
	char		worker[LEASE_WORKER_MAX];
	char		host[LEASE_HOST_MAX];
	int			ntasks;
	int			nqueues;		/* -1: any */
	int32		queues[WORK_QUEUES_MAX];
	WorkNode	nodes[WORK_TASKS_MAX];
} WorkWaiter;

typedef struct WorkBucket
{
	dlist_head	waiting;		/* of WorkNode, the longest first */
	dlist_head	expected;		/* of WorkWaiter, by the task of each */
} WorkBucket;

typedef struct WorkWaiters
{
	pg_atomic_uint32 nwaiters;	/* slots that wait or are expected */
	WorkWaiter	slots[FLEXIBLE_ARRAY_MEMBER];	/* [MaxBackends], by process
												 * number */
} WorkWaiters;

static WorkWaiters *waiters = NULL;
static WorkBucket *buckets = NULL;

/* ------------------------------------------------------------------------
 * Shared memory
 * ------------------------------------------------------------------------ */

/* A power of 2, no less than there are slots */
static uint32
bucket_count(void)
{
	return pg_nextpower2_32(MaxBackends);
}

static Size
slots_size(void)
{
	return MAXALIGN(add_size(offsetof(WorkWaiters, slots),
							 mul_size(MaxBackends, sizeof(WorkWaiter))));
}

Size
work_waiters_shmem_size(void)
{
	return add_size(slots_size(), MAXALIGN(mul_size(bucket_count(), sizeof(WorkBucket))));
}

void
work_waiters_shmem_init(void)
{
	bool		found;

	waiters = ShmemInitStruct("defer work waiters", slots_size(), &found);
	if (!found)
	{
		memset(waiters, 0, slots_size());
		pg_atomic_init_u32(&waiters->nwaiters, 0);
	}
	buckets = ShmemInitStruct("defer work buckets", mul_size(bucket_count(), sizeof(WorkBucket)),
							  &found);
	for (uint32 i = 0; i < bucket_count() && !found; i++)
	{
		dlist_init(&buckets[i].waiting);
		dlist_init(&buckets[i].expected);
	}
}

/* ------------------------------------------------------------------------
 * Slots; the caller holds the lock
 * ------------------------------------------------------------------------ */

static WorkWaiter *
my_slot(void)
{
	Assert(compat_process_number() < MaxBackends);
	return &waiters->slots[compat_process_number()];
}

static WorkBucket *
bucket_of(Oid database, int32 task)
{
	const uint32 hash = hash_combine(murmurhash32(database), murmurhash32((uint32) task));

	return &buckets[hash & (bucket_count() - 1)];
}

static void
set_expected(WorkWaiter *slot, bool expected)
{
	if (slot->expected == expected)
		return;
	slot->expected = expected;
	if (expected)
		dlist_push_tail(&bucket_of(slot->database, slot->task)->expected, &slot->expected_node);
	else
		dlist_delete(&slot->expected_node);
	if (!slot->waits)
		pg_atomic_fetch_add_u32(&waiters->nwaiters, expected ? 1 : -1);
}

static void
set_waits(WorkWaiter *slot, bool waits)
{
	if (slot->waits == waits)
		return;
	slot->waits = waits;
	for (int i = 0; i < slot->ntasks; i++)
	{
		WorkNode   *node = &slot->nodes[i];

		if (waits)
			dlist_push_tail(&bucket_of(slot->database, node->task)->waiting, &node->node);
		else
			dlist_delete(&node->node);
	}
	if (!slot->expected)
		pg_atomic_fetch_add_u32(&waiters->nwaiters, waits ? 1 : -1);
}

static bool
takes_queue(const WorkWaiter *slot, int32 queue)
{
	for (int i = 0; i < slot->nqueues; i++)
	{
		if (slot->queues[i] == queue)
			return true;
	}
	return slot->nqueues < 0;
}

/* Returns the session that has waited longest for jobs of these limits; NULL: none waits */
static WorkWaiter *
first_waiter(WorkBucket *bucket, Oid database, const LimitScopes *scopes)
{
	dlist_iter	iter;

	dlist_foreach(iter, &bucket->waiting)
	{
		const WorkNode *node = dlist_container(WorkNode, node, iter.cur);
		WorkWaiter *slot = &waiters->slots[node->waiter];

		if (node->task == scopes->function_id && slot->database == database &&
			takes_queue(slot, scopes->queue_id))
			return slot;
	}
	return NULL;
}

/* Wake up to n sessions; returns how many were woken */
static int64
wake(WorkBucket *bucket, Oid database, const LimitScopes *scopes, int64 n)
{
	WorkWaiter *slot;
	int64		woken = 0;

	while (woken < n && (slot = first_waiter(bucket, database, scopes)) != NULL)
	{
		/* expected first: so it is counted throughout */
		slot->task = scopes->function_id;
		slot->woken_at = monotonic_now();
		set_expected(slot, true);
		set_waits(slot, false);
		SetLatch(slot->latch);
		woken++;
	}
	return woken;
}

/* ------------------------------------------------------------------------
 * Sessions
 * ------------------------------------------------------------------------ */

static void
abandon_at_exit(int code, Datum arg)
{
	work_waiter_abandon();
}

void
work_waiter_enter(const ReadyTasks *tasks, const char *worker)
{
	static bool registered = false;
	WorkWaiter *slot = my_slot();

	if (!registered)
		before_shmem_exit(abandon_at_exit, (Datum) 0);
	registered = true;
	LWLockAcquire(shared->work_waiters_lock, LW_EXCLUSIVE);
	set_waits(slot, false);
	set_expected(slot, false);
	slot->database = MyDatabaseId;
	slot->latch = MyLatch;
	slot->role = GetUserId();
	slot->pid = MyProcPid;
	slot->since = GetCurrentTimestamp();
	strlcpy(slot->worker, worker == NULL ? "" : worker, LEASE_WORKER_MAX);
	strlcpy(slot->host, client_host(), LEASE_HOST_MAX);
	slot->ntasks = Min(tasks->nfunctions, WORK_TASKS_MAX);
	for (int i = 0; i < slot->ntasks; i++)
	{
		slot->nodes[i].task = tasks->functions[i];
		slot->nodes[i].waiter = slot - waiters->slots;
	}
	slot->nqueues = tasks->nqueues <= WORK_QUEUES_MAX ? tasks->nqueues : -1;
	for (int i = 0; i < slot->nqueues; i++)
		slot->queues[i] = tasks->queues[i];
	set_waits(slot, true);
	LWLockRelease(shared->work_waiters_lock);
}

bool
work_waiter_is_woken(void)
{
	bool		woken;

	LWLockAcquire(shared->work_waiters_lock, LW_SHARED);
	woken = !my_slot()->waits;
	LWLockRelease(shared->work_waiters_lock);
	return woken;
}

void
work_waiter_leave(void)
{
	LWLockAcquire(shared->work_waiters_lock, LW_EXCLUSIVE);
	set_waits(my_slot(), false);
	LWLockRelease(shared->work_waiters_lock);
}

void
work_waiter_abandon(void)
{
	WorkWaiter *slot = my_slot();
	bool		expected;

	LWLockAcquire(shared->work_waiters_lock, LW_EXCLUSIVE);
	expected = slot->expected;
	set_waits(slot, false);
	set_expected(slot, false);
	LWLockRelease(shared->work_waiters_lock);
	if (expected)
		database_wake_scheduler(slot->database);
}

/* ------------------------------------------------------------------------
 * Jobs
 * ------------------------------------------------------------------------ */

void
work_waiters_wake(Oid database, const LimitScopes *scopes, int64 n)
{
	WorkBucket *bucket = bucket_of(database, scopes->function_id);
	int64		woken;

	if (pg_atomic_read_u32(&waiters->nwaiters) == 0)
		return;
	LWLockAcquire(shared->work_waiters_lock, LW_EXCLUSIVE);
	woken = wake(bucket, database, scopes, n);
	LWLockRelease(shared->work_waiters_lock);
	if (woken > 0)
		database_check_work(database, EXPECTED_FOR);
}

void
work_waiters_taken(Oid database, int32 task, int n)
{
	WorkBucket *bucket = bucket_of(database, task);
	WorkWaiter *mine;
	dlist_mutable_iter iter;

	if (pg_atomic_read_u32(&waiters->nwaiters) == 0)
		return;
	LWLockAcquire(shared->work_waiters_lock, LW_EXCLUSIVE);
	mine = my_slot();
	if (n > 0 && mine->expected && mine->database == database && mine->task == task)
	{
		set_expected(mine, false);
		n--;
	}
	dlist_foreach_modify(iter, &bucket->expected)
	{
		WorkWaiter *slot = dlist_container(WorkWaiter, expected_node, iter.cur);

		if (n == 0)
			break;
		if (slot->database != database || slot->task != task)
			continue;
		set_expected(slot, false);
		n--;
	}
	LWLockRelease(shared->work_waiters_lock);
}

/*
 * Count sessions that are expected to take jobs of a task, up to "ready"; forget those
 * that have not in time.  Lowers *over to when the first of the others is.
 */
static int64
count_expected(WorkBucket *bucket, Oid database, const LimitScopes *scopes, int64 ready,
			   uint32 pass, int64 clock, int64 *over)
{
	dlist_mutable_iter iter;
	int64		n = 0;

	dlist_foreach_modify(iter, &bucket->expected)
	{
		WorkWaiter *slot = dlist_container(WorkWaiter, expected_node, iter.cur);

		if (slot->database != database || slot->task != scopes->function_id)
			continue;
		if (clock - slot->woken_at >= EXPECTED_FOR)
		{
			set_expected(slot, false);
			continue;
		}
		*over = Min(*over, slot->woken_at + EXPECTED_FOR);
		if (n == ready || slot->pass == pass || !takes_queue(slot, scopes->queue_id))
			continue;
		slot->pass = pass;
		n++;
	}
	return n;
}

void
work_waiters_offer(Oid database, const LimitScopes *scopes, int64 ready, uint32 pass,
				   TimestampTz now, TimestampTz *next_check)
{
	WorkBucket *bucket = bucket_of(database, scopes->function_id);
	const int64 clock = monotonic_now();
	int64		over = PG_INT64_MAX;

	if (pg_atomic_read_u32(&waiters->nwaiters) == 0)
		return;
	LWLockAcquire(shared->work_waiters_lock, LW_EXCLUSIVE);
	ready -= count_expected(bucket, database, scopes, ready, pass, clock, &over);
	if (wake(bucket, database, scopes, ready) > 0)
		over = Min(over, clock + EXPECTED_FOR);
	if (over != PG_INT64_MAX && first_waiter(bucket, database, scopes) != NULL)
		*next_check = Min(*next_check, now + (over - clock));
	LWLockRelease(shared->work_waiters_lock);
}

/* ------------------------------------------------------------------------
 * For views
 * ------------------------------------------------------------------------ */

static void
copy_waiter(const WorkWaiter *slot, WaitingWorker *copy)
{
	copy->role = slot->role;
	copy->pid = slot->pid;
	copy->since = slot->since;
	memcpy(copy->worker, slot->worker, LEASE_WORKER_MAX);
	memcpy(copy->host, slot->host, LEASE_HOST_MAX);
	copy->ntasks = slot->ntasks;
	for (int i = 0; i < slot->ntasks; i++)
		copy->tasks[i] = slot->nodes[i].task;
}

int
work_waiters_copy(Oid database, WaitingWorker **waiting)
{
	const int	room = pg_atomic_read_u32(&waiters->nwaiters);
	int			n = 0;

	*waiting = NULL;
	if (room == 0)
		return 0;

	/* not under the lock: palloc may fail */
	*waiting = palloc(room * sizeof(WaitingWorker));
	LWLockAcquire(shared->work_waiters_lock, LW_SHARED);
	for (int i = 0; i < MaxBackends && n < room; i++)
	{
		const WorkWaiter *slot = &waiters->slots[i];

		if (slot->waits && slot->database == database)
			copy_waiter(slot, &(*waiting)[n++]);
	}
	LWLockRelease(shared->work_waiters_lock);
	return n;
}
