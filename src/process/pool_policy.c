/*
 * pool_policy.c
 *		How many workers a pool may have.
 *
 * A pool is the workers of one role in one database.
 *
 * growth		1, 2, 4, ... more each 20 ms while there are more ready jobs than
 *				idle workers, up to max_workers on the server
 * reserve		where other roles have jobs, a quarter of max_workers is left to
 *				roles without a worker
 * starvation	a role that has had no worker for 500 ms gets one beyond
 *				max_workers, of which there are a quarter more
 * await		workers whose job waits for another one do not count, up to what
 *				the server has slots for; near that limit new jobs have to wait
 *				for awaited ones
 */
#include "process/pool_policy.h"

#include <limits.h>

#define SECOND	INT64_C(1000000)

/* Doublings of the delay of a process that fails to start: up to 64 s */
#define MAX_DOUBLINGS	6

static int64_t
min_of(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
max_of(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int
policy_extra_workers(int max_workers)
{
	return (int) max_of(1, max_workers / 4);
}

int64_t
policy_lacking(const PolicyPool *pool)
{
	return max_of(0, min_of(pool->ready - pool->idle, max_of(1, pool->workers)));
}

/*
 * Check whether the role has had no worker for long.  A clock that was set
 * back begins anew
 */
static bool
is_starved(const PolicyPool *pool, PolicyStarvation *starvation, int64_t now)
{
	if (pool->workers > 0)
		return false;
	if (starvation->since == 0 || now < starvation->since ||
		now - starvation->seen > POLICY_STARVED_AFTER)
		starvation->since = now;
	starvation->seen = now;
	return now - starvation->since >= POLICY_STARVED_AFTER;
}

/* Worker processes that are left to other roles where jobs await */
static int64_t
left_by_await(int max_processes, int max_workers)
{
	return min_of(policy_extra_workers(max_workers), max_processes / 4);
}

PolicyDecision
policy_decide(const PolicyServer *server, const PolicyPool *pool,
			  PolicyStarvation *starvation, bool tables_locked, int64_t now)
{
	PolicyDecision decision = {0, false, 0, false, POLICY_NEVER};
	const int64_t lacking = policy_lacking(pool);
	const int	extra = policy_extra_workers(server->max_workers);
	const int64_t slots = server->max_processes - server->processes -
		(pool->only_awaited ? left_by_await(server->max_processes, server->max_workers) : 0);
	int			reserve = 0;
	int64_t		room;
	bool		starved;

	if (lacking == 0)
		return decision;
	if (pool->blocked || tables_locked)
	{
		decision.next_check = now + POLICY_BLOCKED_DELAY;
		return decision;
	}
	if (server->others && (pool->workers > 0 || pool->only_awaited) && server->max_workers > 1)
		reserve = extra;
	room = min_of(server->max_workers - reserve - server->working, slots);
	if (room > 0 && !server->scheduler_waits)
	{
		decision.start = (int) min_of(lacking, room);
		decision.next_check = now + POLICY_GROW_DELAY;
		return decision;
	}

	starved = is_starved(pool, starvation, now);
	decision.ask = lacking;
	decision.ask_busy = pool->workers == 0;
	if (starved && (!pool->only_awaited || server->max_await_extra == 0) && slots > 0 &&
		!server->scheduler_waits && server->working < server->max_workers + extra)
	{
		decision.start = 1;
		decision.next_check = now + POLICY_GROW_DELAY;
	}
	else if (starved && pool->only_awaited && !server->scheduler_waits &&
			 server->await_extra < server->max_await_extra)
	{
		/*
		 * all that the role has awaits: without one more nothing goes on.
		 * Those above are for roles that have no worker at all
		 */
		decision.start = 1;
		decision.await_extra = true;
		decision.next_check = now + POLICY_STARVED_AFTER;
	}
	else
		decision.next_check = now +
			(pool->workers == 0 && !starved ? 1 : 5) * POLICY_GROW_DELAY;
	return decision;
}

int
policy_max_processes(int max_worker_processes, int others, int must, int max_workers)
{
	int64_t		most = max_of(max_workers + policy_extra_workers(max_workers),
							  max_worker_processes - others);

	return (int) max_of(1, min_of(most, max_worker_processes - must));
}

int
policy_await_free(int max_processes, int max_workers)
{
	return (int) max_of(0, max_processes - max_workers - policy_extra_workers(max_workers));
}

int
policy_await_share(int await_free)
{
	return await_free - await_free / 4;
}

int
policy_await_workers(int max_processes, int max_workers)
{
	return (int) max_of(1, min_of(max_workers,
								  max_processes - left_by_await(max_processes, max_workers)));
}

int
policy_await_limit(int await_share, int await_workers, int depth)
{
	/* of the workers beyond max_workers one may be for children */
	int			total = await_share + await_workers + (depth > 0 ? 1 : 0);

	return (int) max_of(1, depth < 30 ? total - (total >> (depth + 1)) : total);
}

int
policy_await_min_depth(const PolicyAwait *others, int await_share, int await_workers)
{
	int			potential = others->awaiting;

	if (others->lately || others->awaiting > 0)
		potential += others->busy;
	if (potential < policy_await_limit(await_share, await_workers, 0))
		return 0;
	if (others->busy_awaited == 0)
		return 1;
	for (int depth = 1; depth <= 30; depth++)
	{
		if (others->awaiting < policy_await_limit(await_share, await_workers, depth))
			return depth;
	}
	return INT_MAX;
}

int
policy_await_extra(int max_worker_processes, int must, int max_processes, int max_workers)
{
	return (int) max_of(0, min_of(max_of(2, max_workers / 2),
								  max_worker_processes - must - max_processes));
}

int64_t
policy_restart_delay(bool served, int failures)
{
	int			doublings = (int) max_of(0, min_of(failures - 1, MAX_DOUBLINGS));

	return served ? SECOND : SECOND << doublings;
}
