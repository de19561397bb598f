/*
 * test_pool_policy.c
 *		How many workers a pool may have, with counts and time passed in.
 */
#include "process/pool_policy.h"

#include <limits.h>

#include "harness.h"

#define MS		INT64_C(1000)
#define SECOND	INT64_C(1000000)

/* A server with room for all, where one role has jobs */
static PolicyServer
server_of(int max_workers)
{
	PolicyServer server = {0};

	server.max_workers = max_workers;
	server.max_processes = 1000;
	return server;
}

/*
 * Growth: the pool of one role on an idle server, with n ready jobs that take
 * forever; each step is one turn of the scheduler.
 */
static void
test_growth(void)
{
	static const int expected[] = {1, 2, 4, 8, 8};
	PolicyServer server = server_of(8);
	PolicyPool	pool = {100, 0, 0, false, false};
	PolicyStarvation starvation = {0, 0};
	int64_t		now = SECOND;

	for (int i = 0; i < 5; i++)
	{
		PolicyDecision decision = policy_decide(&server, &pool, &starvation, false, now);

		pool.workers += decision.start;
		pool.ready -= decision.start;
		server.working += decision.start;
		server.processes += decision.start;
		check(pool.workers == expected[i], "turn %d: %d workers", i, pool.workers);
		check(decision.next_check > now, "turn %d: looks again", i);
		now = decision.next_check;
	}

	/* as many idle workers as ready jobs: no more, and no next check */
	pool = (PolicyPool) {3, 5, 3, false, false};
	server.working = 5;
	check(policy_lacking(&pool) == 0, "idle workers take up what is ready");
	check(policy_decide(&server, &pool, &starvation, false, now).start == 0, "none is started");
	check(policy_decide(&server, &pool, &starvation, false, now).next_check == POLICY_NEVER,
		  "nothing to look at again");

	/* started and not connected yet counts as idle */
	pool = (PolicyPool) {4, 5, 3, false, false};
	check(policy_lacking(&pool) == 1, "one job more than idle workers");
}

/* Reserve: with jobs of other roles a quarter is left for roles without a worker */
static void
test_reserve(void)
{
	PolicyStarvation starvation = {0, 0};

	for (int max_workers = 1; max_workers <= 64; max_workers++)
	{
		PolicyServer server = server_of(max_workers);
		PolicyPool	pool = {1000, 0, 0, false, false};
		int64_t		now = SECOND;

		server.others = true;
		for (int i = 0; i < 20; i++)
		{
			PolicyDecision decision = policy_decide(&server, &pool, &starvation, false, now);

			pool.workers += decision.start;
			server.working += decision.start;
			now += 20 * MS;
		}
		check(pool.workers == (max_workers == 1 ? 1 :
							   max_workers - policy_extra_workers(max_workers)),
			  "max_workers %d: a pool has %d", max_workers, pool.workers);
		if (max_workers > 1)
		{
			pool = (PolicyPool) {1000, 0, 0, false, false};
			check(policy_decide(&server, &pool, &starvation, false, now).start == 1,
				  "max_workers %d: a role without a worker gets one", max_workers);
		}
	}
}

/* Starvation: all workers are taken, for long, by jobs that do not end */
static void
test_starvation(void)
{
	PolicyServer server = server_of(8);
	PolicyPool	pool = {10, 0, 0, false, false};
	PolicyStarvation starvation = {0, 0};
	PolicyDecision decision;
	int64_t		now = 100 * SECOND;
	int			turns = 0;

	server.others = true;
	server.working = server.processes = 8;
	decision = policy_decide(&server, &pool, &starvation, false, now);
	check(decision.start == 0 && decision.ask == 1 && decision.ask_busy,
		  "others are asked for room first");
	while (decision.start == 0 && ++turns < 1000)
	{
		now = decision.next_check;
		decision = policy_decide(&server, &pool, &starvation, false, now);
	}
	check(decision.start == 1, "a starved role gets a worker");
	check(now - 100 * SECOND >= POLICY_STARVED_AFTER && now - 100 * SECOND < SECOND,
		  "after %lld us", (long long) (now - 100 * SECOND));

	/* with a worker it is not starved, however many jobs it has */
	pool.workers = 1;
	server.working = 9;
	decision = policy_decide(&server, &pool, &starvation, false, now + SECOND);
	check(decision.start == 0 && !decision.ask_busy, "a second one is not started");

	/* the extra workers are bounded, too */
	pool.workers = 0;
	server.working = 10;
	decision = policy_decide(&server, &pool, &starvation, false, now);
	check(decision.start == 0 && decision.next_check > now, "no more than a quarter more");

	/* it had nothing to do in between: not starved any more */
	server.working = 8;
	decision = policy_decide(&server, &pool, &starvation, false, now + 3600 * SECOND);
	check(decision.start == 0, "starvation begins anew after a pause");

	/* the clock was set back */
	decision = policy_decide(&server, &pool, &starvation, false, now - 3600 * SECOND);
	check(decision.start == 0 && decision.next_check > now - 3600 * SECOND,
		  "starvation begins anew after the clock was set back");
	decision = policy_decide(&server, &pool, &starvation, false,
							 now - 3600 * SECOND + POLICY_STARVED_AFTER);
	check(decision.start == 1, "and is over after the same time");
}

/* Nothing is started that could not work, or would take a scheduler's slot */
static void
test_obstacles(void)
{
	PolicyServer server = server_of(8);
	PolicyPool	pool = {10, 2, 0, true, false};
	PolicyStarvation starvation = {0, 0};
	PolicyDecision decision = policy_decide(&server, &pool, &starvation, false, SECOND);

	check(decision.start == 0 && decision.next_check == SECOND + POLICY_BLOCKED_DELAY,
		  "not while one cannot write");
	pool.blocked = false;
	decision = policy_decide(&server, &pool, &starvation, true, SECOND);
	check(decision.start == 0 && decision.next_check == SECOND + POLICY_BLOCKED_DELAY,
		  "not while the tables are locked");
	server.scheduler_waits = true;
	decision = policy_decide(&server, &pool, &starvation, false, SECOND);
	check(decision.start == 0 && decision.next_check > SECOND, "a scheduler comes first");
	pool.workers = 0;
	for (int64_t now = SECOND; now < 10 * SECOND; now += 100 * MS)
		decision = policy_decide(&server, &pool, &starvation, false, now);
	check(decision.start == 0, "also before a starved role");
	server.scheduler_waits = false;
	server.max_processes = server.processes = 5;
	decision = policy_decide(&server, &pool, &starvation, false, 10 * SECOND);
	check(decision.start == 0, "never more processes than there may be");
	server.max_processes = 6;
	decision = policy_decide(&server, &pool, &starvation, false, 10 * SECOND);
	check(decision.start == 1, "but all of them");
}

static int
min_depth(int awaiting, int busy, int busy_awaited, bool lately)
{
	PolicyAwait others = {awaiting, busy, busy_awaited, lately};

	return policy_await_min_depth(&others, 0, 8);
}

/*
 * Await: every role's jobs await children as deep as "depth", whatever the
 * order in which workers take them; children must always find a worker.
 */
static void
test_await(void)
{
	for (int max_workers = 1; max_workers <= 64; max_workers++)
	{
		for (int slots = 8; slots <= 200; slots += 29)
		{
			int			most = policy_max_processes(slots, 12, 4, max_workers);
			int			free = policy_await_free(most, max_workers);
			int			share = policy_await_share(free);

			check(most >= 1 && most <= (slots > 4 ? slots - 4 : 1),
				  "%d of %d slots", most, slots);
			check(most <= (slots - 12 > max_workers + policy_extra_workers(max_workers) ?
						   slots - 12 : max_workers + policy_extra_workers(max_workers)),
				  "%d of %d slots, max_workers %d", most, slots, max_workers);
			check(free >= 0 && share <= free && (free == 0 || share > 0),
				  "share %d of %d", share, free);
			check(free < 4 || share < free, "share %d of %d: others have one, too", share, free);
			for (int depth = 0; depth < 40; depth += 3)
			{
				int			limit = policy_await_limit(share, max_workers, depth);

				check(limit >= 1 && limit <= share + max_workers + 1, "limit %d", limit);
				check(depth == 0 || limit >= policy_await_limit(share, max_workers, depth - 3),
					  "depth %d: limit %d", depth, limit);
			}
			check(max_workers < 2 || policy_await_limit(share, max_workers, 0) < share + max_workers,
				  "parents leave workers to children");
		}
	}
	check(min_depth(3, 0, 1, true) == 0 && min_depth(4, 0, 1, true) == 1 &&
		  min_depth(7, 0, 1, true) == 2 && min_depth(8, 0, 1, true) == 3 &&
		  min_depth(9, 0, 1, true) == INT_MAX, "the least depth that is taken");
	check(min_depth(3, 0, 0, true) == 0 && min_depth(4, 0, 0, true) == 1 &&
		  min_depth(100, 0, 0, true) == 1, "any awaited job if no other is at one");
	check(min_depth(0, 7, 0, false) == 0 && min_depth(0, 3, 0, true) == 0 &&
		  min_depth(0, 4, 0, true) == 1 && min_depth(2, 2, 0, false) == 1,
		  "those at work may come to await, if jobs of the role do so");
	check(policy_await_limit(0, 8, 0) == 4, "half of the workers");
	check(policy_await_limit(0, 8, 1) == 7, "three quarters, and one more");
}

/* Last resort: all workers of a role await, and nothing else goes on */
static void
test_await_extra(void)
{
	PolicyServer server = server_of(8);
	PolicyPool	pool = {1, 0, 0, false, true};
	PolicyStarvation starvation = {0, 0};
	PolicyDecision decision = {0};
	int			started = 0;

	server.max_processes = 10;
	server.processes = server.working = 8;
	server.max_await_extra = policy_await_extra(21, 3, 10, 8);
	check(server.max_await_extra == 4 && policy_await_extra(8, 3, 5, 8) == 0, "as the server has room for");
	check(policy_await_workers(10, 8) == 8 && policy_await_workers(5, 8) == 4 &&
		  policy_await_workers(1, 8) == 1, "a part is left to other roles");
	for (int64_t now = SECOND; now < 100 * SECOND; now += 100 * MS)
	{
		decision = policy_decide(&server, &pool, &starvation, false, now);
		check(decision.start == 0 || decision.await_extra, "beyond all limits");
		started += decision.start;
		server.await_extra += decision.start;
	}
	check(started == 4, "%d more for awaited jobs", started);

	/* another role's first worker is not held up by them */
	pool.only_awaited = false;
	starvation = (PolicyStarvation) {0, 0};
	for (int64_t now = 100 * SECOND; now < 101 * SECOND; now += 100 * MS)
		decision = policy_decide(&server, &pool, &starvation, false, now);
	check(decision.start == 1 && !decision.await_extra, "a role without a worker gets one all the same");
	server.processes = server.working = 10;
	decision = policy_decide(&server, &pool, &starvation, false, 101 * SECOND);
	check(decision.start == 0, "not for other jobs");

	/* no room for more: of what there is a part is left to other roles */
	server = server_of(8);
	server.max_processes = 5;
	pool.only_awaited = true;
	for (int64_t now = 102 * SECOND; now < 110 * SECOND; now += 100 * MS)
	{
		decision = policy_decide(&server, &pool, &starvation, false, now);
		server.processes += decision.start;
		server.working += decision.start;
	}
	check(server.processes == 4, "%d of 5", server.processes);
}

static void
test_restart(void)
{
	check(policy_restart_delay(true, 0) == SECOND && policy_restart_delay(true, 100) == SECOND,
		  "one that served is started again within a second, however often it ends");
	check(policy_restart_delay(false, 1) == SECOND, "the first failure");
	check(policy_restart_delay(false, 2) == 2 * SECOND, "the second");
	check(policy_restart_delay(false, 1000) == 64 * SECOND, "never later than that");
}

void
test_pool_policy(void)
{
	test_growth();
	test_reserve();
	test_starvation();
	test_obstacles();
	test_await();
	test_await_extra();
	test_restart();
}
