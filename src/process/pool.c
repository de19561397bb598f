/*
 * pool.c
 *		How many workers there are, and of which roles: what the scheduler of a
 *		database does for jobs that are ready.
 *
 * A pool is the workers of one role in one database.  One is started when jobs
 * are ready and nobody idles; then more, twice as many each turn, as long as
 * there is more ready than they take up: a burst that a few workers can serve
 * in a few milliseconds starts no more.  They leave by themselves when they
 * have been idle for a while.
 *
 * Where several roles have jobs, a quarter of defer.max_workers is left to
 * roles that have no worker yet.  When no more can be started, idle workers of
 * other roles are asked to leave; and if none is idle, and a role has no worker
 * at all, one of the largest pool after its job.  That job may take a day: a
 * role that still has none after a moment gets one beyond defer.max_workers.
 *
 * Workers that fail to claim, because somebody has locked our tables, say, are
 * as good as idle.  While there are such none is added, and while the tables
 * are locked none is started: it would only keep the place from others.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/job_state.h"
#include "base/limits_key.h"
#include "base/own_transaction.h"
#include "base/role_check.h"
#include "shmem/databases.h"
#include "shmem/limits.h"
#include "shmem/ready_queue.h"
#include "shmem/shmem.h"
#include "shmem/workers.h"
#include "table/job_table.h"
#include "job/batch.h"
#include "job/current_job.h"
#include "process/process.h"

/* How long after starting workers to see whether more are needed (microseconds) */
#define GROW_DELAY		(20 * 1000)

/* Waiting behind a job that has run for so long is waiting for us */
#define HELP_AFTER		(50 * 1000)

/* A role has waited in vain for its first worker (microseconds) */
#define HUNGRY_AFTER	(500 * 1000)

/* Look again at roles that may not log in, and at no free background worker */
#define OWNER_DELAY		(10 * USECS_PER_SEC)
#define NO_SLOT_DELAY	(5 * USECS_PER_SEC)

/* Nothing is put off for longer */
#define MAX_DELAY		USECS_PER_MINUTE

/* Our tables are locked, or what workers write fails: look again */
#define STUCK_DELAY		(200 * 1000)

/* The server's log hears of no free background worker at most so often */
#define COMPLAIN_DELAY	(10 * USECS_PER_MINUTE)

/* A worker that was started and has not shown up after so long never will */
#define START_TIMEOUT	(60 * USECS_PER_SEC)

/* Workers beyond defer.max_workers: each is a role's first, and only for such */
#define EXTRA_WORKERS	Max(1, defer_max_workers / 4)

/* Rows that are ended in one transaction, and transactions before others have their turn */
#define END_ROWS		500
#define END_ROUNDS		10

/* One role with something ready in this database */
typedef struct Pool
{
	Oid			owner;
	int64		ready;			/* jobs; an estimate */
	int			workers;
	int			idle;			/* of them, those that will look for a job */
	bool		stuck;			/* one of them, at least */
	bool		connected;		/* likewise */
} Pool;

/* What to remember about a role whose workers cannot be started */
typedef struct Trouble
{
	Oid			owner;
	int			failures;
	TimestampTz not_before;
	OwnerState	reported;
	TimestampTz hungry_since;	/* all workers are taken; 0: it is not so */
	TimestampTz hungry_seen;	/* that is as of then */
} Trouble;

/* The worker in the slot of the same number, if this process has started it */
typedef struct Child
{
	BackgroundWorkerHandle *handle;
	uint32		generation;
} Child;

static Child *children = NULL;
static List *troubles = NIL;

/* ------------------------------------------------------------------------
 * Roles that have trouble
 * ------------------------------------------------------------------------ */

static Trouble *
trouble_of(Oid owner, bool create)
{
	ListCell   *cell;
	Trouble    *trouble;
	MemoryContext context;

	foreach(cell, troubles)
	{
		trouble = lfirst(cell);
		if (trouble->owner == owner)
			return trouble;
	}
	if (!create)
		return NULL;
	context = MemoryContextSwitchTo(TopMemoryContext);
	trouble = palloc0(sizeof(Trouble));
	trouble->owner = owner;
	troubles = lappend(troubles, trouble);
	MemoryContextSwitchTo(context);
	return trouble;
}

static void
forget_trouble(Oid owner)
{
	Trouble    *trouble = trouble_of(owner, false);

	if (trouble != NULL)
	{
		troubles = list_delete_ptr(troubles, trouble);
		pfree(trouble);
	}
}

/* Have its workers not been able to connect, though the role may? */
static bool
owner_refused(Oid owner)
{
	Trouble    *trouble = trouble_of(owner, false);

	return trouble != NULL && trouble->failures > 0;
}

/* ------------------------------------------------------------------------
 * Starting workers
 * ------------------------------------------------------------------------ */

/* Take a slot for a worker; -1: there is none */
static int
take_slot(Oid owner, uint32 *generation)
{
	int			found = -1;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots && found < 0; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state != WORKER_FREE)
			continue;
		slot->state = WORKER_STARTING;
		slot->generation++;
		slot->database = MyDatabaseId;
		slot->owner = owner;
		slot->pid = 0;
		slot->latch = NULL;
		slot->since = GetCurrentTimestamp();
		slot->woken = slot->awaiting = slot->leave = slot->stuck = false;
		slot->suspect = 0;
		slot->claim_id = slot->previous_claim_id = slot->current_job = slot->cancel_job = 0;
		slot->nentries = slot->nwaiting = 0;
		*generation = slot->generation;
		found = i;
	}
	LWLockRelease(shared->workers_lock);
	return found;
}

static void
give_back_slot(int index, uint32 generation)
{
	WorkerSlot *slot = &worker_slots[index];

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (slot->generation == generation && slot->state == WORKER_STARTING && slot->pid == 0)
		slot->state = WORKER_FREE;
	LWLockRelease(shared->workers_lock);
}

/* For defer.health: did this turn want for anything? */
static void
note_wants(bool no_slots, bool refused)
{
	if (my_database->no_slots == no_slots && my_database->refused == refused)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database->no_slots = no_slots;
	my_database->refused = refused;
	LWLockRelease(shared->workers_lock);
}

/* One warning, however often slots come free and are taken again */
static void
complain_no_slots(TimestampTz now)
{
	static TimestampTz last = 0;

	if (last != 0 && now >= last && now - last < COMPLAIN_DELAY)
		return;
	last = now;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("no background worker is free to run jobs"),
			 errhint("Raise max_worker_processes (now %d) and restart the server.",
					 max_worker_processes)));
}

static bool
start_worker(Oid owner, const char *role_name)
{
	uint32		generation;
	int			index = take_slot(owner, &generation);
	ProcessStart start;
	bool		started;

	if (index < 0)
		return false;
	start = (ProcessStart)
	{
		"worker", Int32GetDatum(index), generation, scheduler_database_name(),
			role_name
	};
	started = process_start(&start, &children[index].handle);
	children[index].generation = generation;
	if (!started)
		give_back_slot(index, generation);
	return started;
}

/* The name of a role, or its OID if it has none any more; in a transaction */
static char *
role_name(Oid role)
{
	char	   *name = GetUserNameFromId(role, true);

	return name != NULL ? name : psprintf("%u", role);
}

/* A worker of that role did not get as far as being connected */
static void
report_refused(Oid role)
{
	own_transaction_begin();
	ereport(WARNING,
			(errmsg("a worker for role \"%s\" could not connect to database \"%s\"",
					role_name(role), scheduler_database_name()),
			 errdetail("The preceding log message of the worker process has the reason."),
			 errhint("The connection is retried at least once per minute.")));
	own_transaction_end();
}

/*
 * Workers that have ended.  One that did not get as far as being connected
 * has left its slot to us: its role is in trouble.
 */
static void
reap_children(TimestampTz now)
{
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];
		Child	   *child = &children[i];
		bool		ended = false;
		Oid			failed = InvalidOid;
		pid_t		pid;

		if (child->handle != NULL &&
			GetBackgroundWorkerPid(child->handle, &pid) == BGWH_STOPPED)
		{
			pfree(child->handle);
			child->handle = NULL;
			ended = true;
		}
		if (!ended && (slot->state != WORKER_STARTING || slot->database != MyDatabaseId))
			continue;

		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		if (slot->state == WORKER_STARTING && slot->pid == 0 && slot->database == MyDatabaseId &&
			((ended && slot->generation == child->generation) ||
			 (child->handle == NULL && slot->since < now - START_TIMEOUT)))
		{
			failed = slot->owner;
			slot->state = WORKER_FREE;
		}
		LWLockRelease(shared->workers_lock);
		if (OidIsValid(failed))
		{
			Trouble    *trouble = trouble_of(failed, true);

			if (trouble->failures == 0)
				report_refused(failed);
			trouble->failures = Min(trouble->failures + 1, 6);
			trouble->not_before = now + (USECS_PER_SEC << (trouble->failures - 1));
		}
	}
}

/* ------------------------------------------------------------------------
 * What there is to do
 * ------------------------------------------------------------------------ */

static Pool *
pool_of(List **pools, Oid owner)
{
	ListCell   *cell;
	Pool	   *pool;

	foreach(cell, *pools)
	{
		pool = lfirst(cell);
		if (pool->owner == owner)
			return pool;
	}
	pool = palloc0(sizeof(Pool));
	pool->owner = owner;
	*pools = lappend(*pools, pool);
	return pool;
}

/* Jobs that are due and have room, by role; lowers *look_again to the next that will be */
static void
count_ready(List **pools, const ReadyQueueChoice *rqs, int n, TimestampTz now,
			TimestampTz *look_again, bool *deliveries)
{
	for (int i = 0; i < n; i++)
	{
		const ReadyQueueChoice *rq = &rqs[i];

		if (rq->min_key.run_at > now)
			*look_again = Min(*look_again, rq->min_key.run_at);
		else if (!limits_have_capacity(MyDatabaseId, rq->limits_key))
			continue;
		else if (LIMITS_KEY_IS_DELIVERY(rq->limits_key))
			*deliveries = true;
		else
			pool_of(pools, rq->owner)->ready += Max(rq->ready, 1);
	}
}

/* Workers; jobs that wait behind a long one; all that are at work on the server */
static void
count_pools(List **pools, TimestampTz now, int *working, bool *others)
{
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];
		Pool	   *pool;

		if (slot->state == WORKER_FREE)
			continue;
		/* one that is stuck and idles can be asked for its place */
		if (!slot->awaiting && !(slot->stuck && slot->state == WORKER_BUSY))
			(*working)++;
		if (slot->database != MyDatabaseId)
		{
			*others = true;
			continue;
		}
		pool = pool_of(pools, slot->owner);
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		if (slot->nwaiting > 0 && slot->current_job != 0 &&
			(slot->awaiting || now - slot->job_started > HELP_AFTER))
			pool->ready += slot->nwaiting;
		LWLockRelease(slot->lock);
		if (slot->awaiting || slot->state == WORKER_LEAVING)
			continue;
		pool->workers++;
		if (slot->stuck)
			pool->stuck = true;

		/*
		 * Both tell us if they begin to work and leave jobs.  An idle worker
		 * that was not woken may have taken its job already, and would not.
		 */
		if (slot->state == WORKER_STARTING || (slot->state == WORKER_IDLE && slot->woken))
			pool->idle++;
		if (slot->state != WORKER_STARTING)
			pool->connected = true;
	}
	LWLockRelease(shared->workers_lock);
}

/* ------------------------------------------------------------------------
 * Jobs that must be ended instead of run
 * ------------------------------------------------------------------------ */

/* Where at_limit is "cancel", those that find no room */
static void
cancel_at_limits(const ReadyQueueChoice *rqs, int n, TimestampTz now)
{
	for (int i = 0; i < n; i++)
	{
		ReadyKey	next;
		int			ended;

		if (rqs[i].min_key.run_at > now || !limits_cancel_at_limit(MyDatabaseId, rqs[i].limits_key))
			continue;
		do
		{
			own_transaction_begin();
			ended = ready_scan_end_due(&rqs[i], now, END_ROWS, STATE_CANCELLED, NULL,
									   "the function was at its concurrency limit, and at_limit is \"cancel\"",
									   &next);
			own_transaction_end();
		} while (ended == END_ROWS);
	}
}

/* A role whose jobs will never run; lowers *look_again to when to go on */
static void
fail_jobs(Oid owner, OwnerState state, TimestampTz now, TimestampTz *look_again)
{
	ReadyQueueChoice choice;

	for (int round = 0; round < END_ROUNDS; round++)
	{
		ReadyKey	next = READY_KEY_NONE;
		volatile int ended = 0;

		if (!ready_queue_choose(MyDatabaseId, owner, now, &choice, look_again))
			return;
		PG_TRY();
		{
			const char *sqlstate = NULL;
			char	   *why;

			own_transaction_begin();
			why = owner_failure(owner, state, &sqlstate);
			ready_queue_scan_begin(&choice, MyDatabaseId);
			ended = ready_scan_end_due(&choice, now, END_ROWS, STATE_FAILED, sqlstate, why, &next);
			ready_queue_scan_advance(&choice, MyDatabaseId, next);
			own_transaction_end();
		}
		PG_CATCH();
		{
			ready_queue_scan_abort(&choice, MyDatabaseId);
			PG_RE_THROW();
		}
		PG_END_TRY();

		/* if any were ended what is left need not be locked: go on with it */
		ready_queue_scan_end(&choice, MyDatabaseId, ended > 0 ? READY_KEY_NONE : next, 0, now);

		/* who has come meanwhile saw no room */
		if (LIMITS_KEY_HAS_LIMITS(choice.limits_key))
			*look_again = now;
	}
	*look_again = now;
}

/* ------------------------------------------------------------------------
 * One pool
 * ------------------------------------------------------------------------ */

/*
 * False: no worker of that role can be started now; lowers *look_again.  Else
 * *name is the role's.
 */
static bool
owner_can_run(Oid owner, char **name, TimestampTz now, TimestampTz *look_again)
{
	Trouble    *trouble = trouble_of(owner, false);
	MemoryContext context = CurrentMemoryContext;
	OwnerState	state;

	if (trouble != NULL && trouble->not_before > now + MAX_DELAY)
		trouble->not_before = now;	/* the clock was set back */
	if (trouble != NULL && trouble->not_before > now)
	{
		*look_again = Min(*look_again, trouble->not_before);
		return false;
	}
	own_transaction_begin();
	state = owner_state(owner);
	context = MemoryContextSwitchTo(context);
	*name = role_name(owner);
	MemoryContextSwitchTo(context);
	own_transaction_end();
	if (state == OWNER_OK)
		return true;
	if (state == OWNER_GONE || state == OWNER_SUPERUSER)
	{
		fail_jobs(owner, state, now, look_again);
		return false;
	}
	trouble = trouble_of(owner, true);
	trouble->not_before = now + OWNER_DELAY;
	*look_again = Min(*look_again, trouble->not_before);
	if (trouble->reported != state)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 state == OWNER_NO_LOGIN ?
				 errmsg("role \"%s\" is not permitted to log in", *name) :
				 errmsg("role \"%s\" is not permitted to connect to database \"%s\"",
						*name, scheduler_database_name()),
				 errdetail("Its jobs wait."),
				 errhint("See defer.health.")));
	trouble->reported = state;
	return false;
}

static void
ask_to_leave(WorkerSlot *slot)
{
	slot->leave = true;
	SetLatch(slot->latch);
}

/* A worker of the largest pool, if that has more than one; workers_lock is held */
static WorkerSlot *
busiest_pool_member(void)
{
	WorkerSlot *chosen = NULL;
	int			largest = 1;

	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];
		bool		idle;
		int			n;

		if (slot->state != WORKER_BUSY || slot->awaiting)
			continue;
		n = count_workers(slot->database, slot->owner, &idle);
		if (n > largest)
		{
			largest = n;
			chosen = slot;
		}
	}
	return chosen;
}

/*
 * All workers that there may be are there, and this pool wants more.  Those of
 * others that idle can go at once.  One that works is asked to go after its
 * job if this pool has none at all.
 */
static void
ask_for_room(const Pool *pool, int64 want)
{
	bool		asked_busy = false;
	int64		asked = 0;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		if (worker_slots[i].state == WORKER_FREE || !worker_slots[i].leave)
			continue;
		if (worker_slots[i].state == WORKER_BUSY)
			asked_busy = true;	/* who knows when it goes */
		else
			asked++;
	}
	for (int i = 0; i < shared->nworker_slots && asked < want; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state != WORKER_IDLE || slot->leave || (slot->woken && !slot->stuck) ||
			(slot->database == MyDatabaseId && slot->owner == pool->owner))
			continue;
		ask_to_leave(slot);
		asked++;
	}
	if (asked == 0 && !asked_busy && pool->workers == 0)
	{
		WorkerSlot *slot = busiest_pool_member();

		if (slot != NULL)
			ask_to_leave(slot);
	}
	LWLockRelease(shared->workers_lock);
}

/* Has a role without any worker been kept waiting by those who have them all? */
static bool
is_hungry(const Pool *pool, TimestampTz now)
{
	Trouble    *trouble;

	if (pool->workers > 0)
		return false;
	trouble = trouble_of(pool->owner, true);
	if (trouble->hungry_since == 0 || now < trouble->hungry_since ||
		now - trouble->hungry_seen > HUNGRY_AFTER)
		trouble->hungry_since = now;
	trouble->hungry_seen = now;
	return now - trouble->hungry_since >= HUNGRY_AFTER;
}

/* Would workers only wait?  Not looked at each time: we may be woken very often */
static bool
tables_are_locked(TimestampTz now)
{
	static TimestampTz looked_at = 0;
	static bool locked = false;

	if (now < looked_at || now - looked_at >= STUCK_DELAY)
	{
		locked = own_transaction_would_wait();
		looked_at = now;
	}
	return locked;
}

/*
 * Start as many workers as make sense now; adds them to *working.  False: the
 * server has no background worker left.
 */
static bool
grow_pool(Pool *pool, bool others, TimestampTz now, int *working, TimestampTz *look_again)
{
	int			reserve = others && pool->workers > 0 && defer_max_workers > 1
		? Max(1, defer_max_workers / 4) : 0;
	int64		want = Min(pool->ready - pool->idle, Max(1, pool->workers));
	int64		room = defer_max_workers - reserve - *working;
	char	   *name;

	if (want <= 0)
		return true;
	if (pool->stuck || tables_are_locked(now))
	{
		*look_again = Min(*look_again, now + STUCK_DELAY);
		return true;
	}
	if (room <= 0)
	{
		bool		hungry = is_hungry(pool, now);

		ask_for_room(pool, want);
		if (!hungry || *working >= defer_max_workers + EXTRA_WORKERS)
		{
			*look_again = Min(*look_again, now + (pool->workers == 0 && !hungry ? 1 : 5) * GROW_DELAY);
			return true;
		}
		room = 1;
	}
	if (!owner_can_run(pool->owner, &name, now, look_again))
		return true;
	for (int i = 0; i < Min(want, room); i++)
	{
		if (!start_worker(pool->owner, name))
		{
			complain_no_slots(now);
			*look_again = Min(*look_again, now + NO_SLOT_DELAY);
			return false;
		}
		(*working)++;
	}
	*look_again = Min(*look_again, now + GROW_DELAY);
	return true;
}

TimestampTz
pool_maintain(TimestampTz now)
{
	TimestampTz look_again = DT_NOEND;
	ReadyQueueChoice *rqs;
	List	   *pools = NIL;
	ListCell   *cell;
	int			working = 0;
	bool		others = false;
	bool		deliveries = false;
	bool		no_slots = false;
	bool		refused = false;
	int			n;

	if (children == NULL)
		children = MemoryContextAllocZero(TopMemoryContext,
										  shared->nworker_slots * sizeof(Child));
	reap_children(now);
	if (!defer_enabled)
	{
		note_wants(false, false);
		return DT_NOEND;
	}

	n = ready_queues_of_database(MyDatabaseId, &rqs);
	cancel_at_limits(rqs, n, now);
	count_ready(&pools, rqs, n, now, &look_again, &deliveries);
	if (deliveries && !sender_maintain(now, &look_again))
	{
		complain_no_slots(now);
		no_slots = true;
		look_again = Min(look_again, now + NO_SLOT_DELAY);
	}
	for (int i = 1; i < n; i++)
		others = others || rqs[i].owner != rqs[0].owner;
	count_pools(&pools, now, &working, &others);
	others = others || list_length(pools) > 1;

	foreach(cell, pools)
	{
		Pool	   *pool = lfirst(cell);

		if (pool->connected)
			forget_trouble(pool->owner);
		if (pool->ready == 0)
			continue;
		if (pool->ready > pool->idle)
			pool->idle += wake_idle_workers(MyDatabaseId, pool->owner, pool->ready - pool->idle);
		if (!grow_pool(pool, others, now, &working, &look_again))
			no_slots = true;
		refused = refused || owner_refused(pool->owner);
	}
	note_wants(no_slots, refused);
	return look_again;
}
