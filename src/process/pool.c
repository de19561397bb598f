/*
 * pool.c
 *		How many workers there are, and of which roles: what the scheduler of a
 *		database does for jobs that are ready.
 *
 * A pool is the workers of one role in one database.  This file counts what
 * there is and does what pool_policy.c decides: it starts workers, and asks
 * workers of other pools for their slots.  Workers exit by themselves when they
 * have been idle for a while.
 *
 * A worker whose own transactions fail (tables locked, disk full) is blocked
 * and counts as idle.  While a pool has one it gets no more workers, and while
 * the tables are locked no pool does.
 *
 * Jobs in defer.await() keep their worker.  So that they do not keep all, a
 * role at its limit takes awaited jobs only (see job/claim_awaited.c), and these
 * take none of the workers that are left to roles without one.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "replication/logicallauncher.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/job_state.h"
#include "base/own_transaction.h"
#include "job/claim.h"
#include "job/expire.h"
#include "process/pool_policy.h"
#include "process/process.h"
#include "process/role_backoff.h"
#include "process/slot.h"
#include "shmem/databases.h"
#include "shmem/ready_queue.h"
#include "shmem/workers.h"
#include "shmem/work_waiters.h"

/* Jobs that wait behind a job that has run for so long count as ready (microseconds) */
#define HELP_AFTER		(50 * 1000)

/* A worker could not be registered: look again */
#define NO_SLOT_DELAY	USECS_PER_SEC

/* The server's log hears of no free background worker at most so often */
#define COMPLAIN_DELAY	(10 * USECS_PER_MINUTE)

/* A role with ready jobs or workers in this database */
typedef struct Pool
{
	Oid			owner;
	PolicyPool	counts;
	bool		connected;		/* one of the workers, at least */
} Pool;

/* The worker in the slot of the same number, if this process has started it */
typedef struct Child
{
	BackgroundWorkerHandle *handle;
	uint32		generation;
} Child;

static Child *children = NULL;

/* ------------------------------------------------------------------------
 * Starting workers
 * ------------------------------------------------------------------------ */

/* For defer.health: record whether anything was missing in this cycle */
static void
record_missing(bool no_slots, bool refused)
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
start_worker(Oid owner, const char *role_name, bool extra)
{
	uint32		generation;
	int			index = slot_take_worker(owner, extra, &generation);
	ProcessStart start = {"worker", 0, 0, scheduler_database_name(), role_name};
	bool		started;

	if (index < 0)
		return false;
	start.arg = Int32GetDatum(index);
	start.generation = generation;
	started = process_start(&start, &children[index].handle);
	children[index].generation = generation;
	if (!started)
		slot_give_back_worker(index, generation);
	return started;
}

/*
 * Look for workers that have ended.  One that did not get as far as being
 * connected has left its slot to us: its role is put off.
 */
static void
reap_children(TimestampTz now)
{
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];
		Child	   *child = &children[i];
		uint32		ended = 0;
		Oid			refused;
		pid_t		pid;

		if (child->handle != NULL &&
			GetBackgroundWorkerPid(child->handle, &pid) == BGWH_STOPPED)
		{
			pfree(child->handle);
			child->handle = NULL;
			ended = child->generation;
		}
		if (ended == 0 && (slot->state != WORKER_STARTING || slot->database != MyDatabaseId))
			continue;
		refused = slot_reap_worker(i, ended, child->handle != NULL, now);
		if (OidIsValid(refused))
			role_backoff_refused(refused, now);
	}
}

/* ------------------------------------------------------------------------
 * What there is to do, and who is there
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

/*
 * Count jobs that are due and have capacity, by role; *deliveries: some are for
 * the sender.  Lowers *next_check to when the next is due.
 */
static void
count_ready(List **pools, const ReadySummary *summaries, int n, TimestampTz *next_check,
			bool *deliveries)
{
	for (int i = 0; i < n; i++)
	{
		const ReadySummary *summary = &summaries[i];

		*next_check = Min(*next_check, summary->next_due);
		if (summary->ready == 0 || !summary->capacity || summary->tasks)
			continue;
		if (summary->deliveries)
			*deliveries = true;
		else
			pool_of(pools, summary->owner)->counts.ready += summary->ready;
	}
}

/* Wake outside workers that wait, for jobs of tasks that are due and have capacity */
static void
offer_work(const ReadySummary *summaries, int n, TimestampTz now, TimestampTz *next_check)
{
	static uint32 pass = 0;

	pass++;
	for (int i = 0; i < n; i++)
	{
		const ReadySummary *summary = &summaries[i];

		if (summary->tasks && summary->ready > 0 && summary->capacity)
			work_waiters_offer(MyDatabaseId, &summary->scopes, summary->ready, pass, now,
							   next_check);
	}
}

/* Check whether a worker of the role could run a job of that queue, now or later */
static bool
may_need_worker(const ReadySummary *summary)
{
	return !summary->tasks &&
		(summary->next_due != DT_NOEND || (summary->ready > 0 && summary->capacity));
}

/*
 * Check whether there are jobs of several roles, which then leave workers to each
 * other.  Jobs that are paused or over their limit take none.
 */
static bool
has_several_roles(const ReadySummary *summaries, int n)
{
	Oid			first = InvalidOid;

	for (int i = 0; i < n; i++)
	{
		if (summaries[i].owner == first || !may_need_worker(&summaries[i]))
			continue;
		if (OidIsValid(first))
			return true;
		first = summaries[i].owner;
	}
	return false;
}

/* Count a worker of this database, and the jobs that wait behind a long one */
static void
count_worker(Pool *pool, WorkerSlot *slot, TimestampTz now)
{
	LWLockAcquire(slot->lock, LW_SHARED);
	if (slot->nwaiting > 0 && slot->current_job != 0 &&
		(slot->awaiting || now - slot->job_started > HELP_AFTER))
		pool->counts.ready += slot->nwaiting;
	LWLockRelease(slot->lock);
	if (slot->awaiting || slot->state == WORKER_LEAVING)
		return;
	pool->counts.workers++;
	if (slot->blocked)
		pool->counts.blocked = true;

	/*
	 * Both tell us if they begin to work and leave jobs.  An idle worker that
	 * was not woken may have taken its job already, and would not.
	 */
	if (slot->state == WORKER_STARTING || (slot->state == WORKER_IDLE && slot->woken))
		pool->counts.idle++;
	if (slot->state != WORKER_STARTING)
		pool->connected = true;
}

/* Count the workers of the server, and those of each pool */
static void
count_workers_of_pools(List **pools, PolicyServer *server, TimestampTz now)
{
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	server->scheduler_waits = shared->scheduler_waits;
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE)
			continue;
		if (slot->await_extra)
			server->await_extra++;
		else
			server->processes++;
		/* a blocked one that is idle can be asked for its slot */
		if (worker_counts(slot) && !(slot->blocked && slot->state == WORKER_BUSY))
			server->working++;
		if (slot->database == MyDatabaseId)
			count_worker(pool_of(pools, slot->owner), slot, now);
		else
			server->others = true;
	}
	LWLockRelease(shared->workers_lock);
	server->others = server->others || list_length(*pools) > 1;
}

/* The least depth of a job that a worker of a role with these others may take */
int
pool_min_depth(const AwaitCounts *counts)
{
	PolicyAwait others = {counts->awaiting, counts->busy, counts->busy_awaited, counts->lately};

	return policy_await_min_depth(&others, shared->await_share, shared->await_workers);
}

/*
 * Where a role has as many workers in await as it may, only jobs that are
 * awaited count as ready.
 */
static void
count_only_awaited(Pool *pool, TimestampTz now, TimestampTz *next_check)
{
	AwaitCounts counts;
	int			min_depth;

	workers_count_awaiting(pool->owner, &counts);
	min_depth = pool_min_depth(&counts);
	if (min_depth == 0)
		return;
	*next_check = Min(*next_check, now + USECS_PER_SEC);	/* some may not await */
	pool->counts.ready = min_depth == INT_MAX ? 0 :
		awaited_ready(pool->owner, min_depth, now, next_check);

	/*
	 * its workers at other jobs are of no use to these: it may starve with
	 * them
	 */
	pool->counts.only_awaited = true;
	pool->counts.workers = counts.busy_awaited + pool->counts.idle;
}

/* Count the background workers that are not for workers of ours, and set limits by them */
static void
set_limits(PolicyServer *server)
{
	int			databases = 0;
	int			must;
	const int	extra_workers = policy_extra_workers(defer_max_workers);
	int			await_free;
	int			await_workers;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		if (OidIsValid(database_slots[i].database) && database_slots[i].wanted)
			databases++;
	}
	LWLockRelease(shared->workers_lock);

	/* launcher and schedulers; senders, parallel query, one more database */
	must = 1 + databases + (max_logical_replication_workers > 0 ? 1 : 0);
	server->max_workers = defer_max_workers;
	server->max_processes = policy_max_processes(max_worker_processes,
												 must + databases + max_parallel_workers + 1,
												 must, defer_max_workers);
	server->max_await_extra = policy_await_extra(max_worker_processes, must,
												 server->max_processes, defer_max_workers);
	await_free = policy_await_free(server->max_processes, defer_max_workers);
	await_workers = policy_await_workers(server->max_processes, defer_max_workers);
	if (shared->await_free == await_free && shared->await_workers == await_workers &&
		shared->extra_workers == extra_workers)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	shared->await_free = await_free;
	shared->await_share = policy_await_share(await_free);
	shared->await_workers = await_workers;
	shared->extra_workers = extra_workers;
	LWLockRelease(shared->workers_lock);
}

/* ------------------------------------------------------------------------
 * One pool
 * ------------------------------------------------------------------------ */

/*
 * Check whether workers would only wait.  Not looked at each time: we may be
 * woken very often
 */
static bool
tables_are_locked(TimestampTz now)
{
	static TimestampTz looked_at = 0;
	static bool locked = false;

	if (now < looked_at || now - looked_at >= POLICY_BLOCKED_DELAY)
	{
		locked = own_transaction_would_wait();
		looked_at = now;
	}
	return locked;
}

/*
 * Start as many workers as make sense now; adds them to the server's.  Returns
 * false if the server has no background worker for one.
 */
static bool
grow_pool(Pool *pool, PolicyServer *server, TimestampTz now, TimestampTz *next_check)
{
	PolicyDecision decision;
	OwnerState	state;
	char	   *name;

	if (policy_lacking(&pool->counts) == 0)
		return true;
	decision = policy_decide(server, &pool->counts, &role_backoff(pool->owner, true)->starvation,
							 tables_are_locked(now), now);
	if (decision.ask > 0)
		slot_ask_for(pool->owner, decision.ask, decision.ask_busy);
	if (decision.start > 0 && !role_backoff_may_start(pool->owner, &name, &state, now, next_check))
	{
		if (state == OWNER_GONE || state == OWNER_SUPERUSER)
			expire_jobs_of_role(pool->owner, state, now, next_check);
		return true;
	}
	*next_check = Min(*next_check, decision.next_check);
	for (int i = 0; i < decision.start; i++)
	{
		if (!start_worker(pool->owner, name, decision.await_extra))
		{
			complain_no_slots(now);
			*next_check = Min(*next_check, now + NO_SLOT_DELAY);
			return false;
		}
		server->working += decision.await_extra ? 0 : 1;
		server->processes += decision.await_extra ? 0 : 1;
		server->await_extra += decision.await_extra ? 1 : 0;
	}
	return decision.start > 0 || server->processes < server->max_processes ||
		server->working >= server->max_workers;
}

TimestampTz
pool_maintain(TimestampTz now)
{
	TimestampTz next_check = DT_NOEND;
	PolicyServer server = {0};
	ReadySummary *summaries;
	List	   *pools = NIL;
	ListCell   *cell;
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
		record_missing(false, false);
		return DT_NOEND;
	}

	set_limits(&server);
	n = ready_summaries(MyDatabaseId, now, false, &summaries);
	count_ready(&pools, summaries, n, &next_check, &deliveries);
	offer_work(summaries, n, now, &next_check);
	if (deliveries && !sender_maintain(now, &next_check))
	{
		complain_no_slots(now);
		no_slots = true;
		next_check = Min(next_check, now + NO_SLOT_DELAY);
	}
	server.others = has_several_roles(summaries, n);
	count_workers_of_pools(&pools, &server, now);

	foreach(cell, pools)
	{
		Pool	   *pool = lfirst(cell);

		if (pool->connected)
			role_backoff_connected(pool->owner);
		if (pool->counts.ready > 0)
			count_only_awaited(pool, now, &next_check);
		if (pool->counts.ready == 0)
			continue;
		if (pool->counts.ready > pool->counts.idle)
			pool->counts.idle += workers_wake_idle(MyDatabaseId, pool->owner,
												   pool->counts.ready - pool->counts.idle);
		if (!grow_pool(pool, &server, now, &next_check))
			no_slots = true;
		refused = refused || role_backoff_is_refused(pool->owner);
	}
	record_missing(no_slots, refused);
	expire_at_limits(now, &next_check);
	return next_check;
}
