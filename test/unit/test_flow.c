/*
 * test_flow.c
 *		Rounds of the property test: see flow.h.
 *
 *	DEFER_FLOW_SEED=7		another seed than 1; "random": any.  What fails says its own
 *	DEFER_FLOW_ROUNDS=1000	so many rounds, each with a seed of its own
 */
#include "flow.h"

#include <stdarg.h>
#include <time.h>

#include "base/guc.h"

static uint64 seed;				/* of the round */
static int64 passed;
static int64 failed;

bool
check_at(const char *file, int line, bool ok, const char *format,...)
{
	va_list		args;

	if (ok)
	{
		passed++;
		return true;
	}
	failed++;
	printf("%s:%d: DEFER_FLOW_SEED=" UINT64_FORMAT " DEFER_FLOW_ROUNDS=1: ", file, line, seed);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	return false;
}

static void
begin_round(bool fair)
{
	static const int longest[] = {500, 5000, 50000, 1000000};

	memset(&plan, 0, sizeof(plan));
	plan.fair = fair;
	plan.nowners = fair ? 1 : 1 + random_below(OWNERS);
	plan.ngroups = fair ? 2 + random_below(GROUPS - 1) : 1 + random_below(GROUPS);
	plan.longest = fair ? 10000 + random_below(40000) : longest[random_below(lengthof(longest))];
	plan.pace = !fair && random_below(3) == 0 ? 1 + random_below(2000) : 1;
	plan.flushes = random_below(2) == 0;
	plan.queue = random_below(2);
	plan.faults = !fair && random_below(2) == 0;
	plan.changes = !fair && random_below(3) != 0;
	plan.sends = !fair && random_below(2) == 0;
	plan.few_slots = !fair && random_below(4) == 0;
	defer_shared_slots = plan.few_slots ? 8 + random_below(20) : 1000;
	flow_clock = plan.restarted = plan.changed = 0;
	step = 1;
	world_begin();
	model_begin();
	for (int kind = 0; kind < 3 && !fair; kind++)
	{
		for (int id = 1; id <= SCOPES; id++)
		{
			if (random_below(2) == 0)
				continue;
			settings[kind][id] = random_setting(false);
			if (kind == 2)
			{
				settings[kind][id].strict = settings[kind][id].paused = false;
				settings[kind][id].group_limit = LIMIT_NONE;
				settings[kind][id].group_rate = (Rate) {0, 1};
			}
			for (int g = 1; kind < 2 && g <= GROUPS; g++)
			{
				if (random_below(4) == 0)
					group_settings[kind][id][g] = random_setting(true);
			}
		}
	}
}

/* Groups of a function or queue have weights, and nothing else holds them */
static void
set_weights(void)
{
	static const double weights[] = {1, 1, 2, 4, 0.5};

	for (int g = 1; g <= plan.ngroups; g++)
	{
		Setting    *setting = &group_settings[plan.queue][1][g];

		setting->set = true;
		setting->weight = plan.weights[g] = weights[random_below(lengthof(weights))];
	}
}

/* Something happens to the processes, now and then */
static void
fault(void)
{
	if (!plan.faults)
		return;
	if (random_below(300) == 0)
		processes_kill(&workers[random_below(WORKERS)]);
	if (random_below(5000) > 0)
		return;
	world_crash();
	server_begin();
	processes_begin();
	flow_clock += random_below(3 * USECS_PER_SEC);
	plan.restarted = flow_clock;
}

/* Go on by one step; false: all wait, and the clock has gone on to the first that will not */
static void
go_on(void)
{
	int64		next;

	if (processes_run())
		return;
	model_quiet();
	if (processes_all_idle())
		model_idle();
	next = processes_next();
	flow_clock = Max(next, flow_clock + 1);
}

static int
count_jobs(void)
{
	int			n = 0;

	for (int i = 0; i < JOBS; i++)
		n += jobs[i].used;
	return n;
}

static void
run_round(bool fair, int steps)
{
	begin_round(fair);
	if (fair)
		set_weights();
	server_begin();
	processes_begin();
	for (int n = 0; n < steps; n++)
	{
		fault();
		go_on();
	}
	plan.pace = !fair && random_below(3) == 0 ? 1 + random_below(2000) : 1;
	plan.flushes = random_below(2) == 0;
	plan.queue = random_below(2);
	plan.faults = false;
	plan.draining = true;
	plan.longest = 1000;
	lift_all();
	for (int n = 0; n < 20 * steps && (count_jobs() > 0 || !processes_all_idle()); n++)
		go_on();
	if (count_jobs() > 0)
		flow_violated();
	check(count_jobs() == 0, "%d jobs have not come to their end", count_jobs());
	model_idle();
}

/* Rounds that have found a fault, which those that are played by default do not */
static const uint64 known[] = {124, 219};

static void
play(uint64 number, int64 *simulated)
{
	seed = number;
	random_seed(seed);
	run_round(seed % 4 == 0, seed % 4 == 0 ? 12000 : 4000);
	*simulated += flow_clock;
}

int
main(int argc, char **argv)
{
	const char *seed_text = getenv("DEFER_FLOW_SEED");
	const char *rounds_text = getenv("DEFER_FLOW_ROUNDS");
	const int	rounds = rounds_text != NULL ? atoi(rounds_text) : 40;
	const uint64 first = seed_text == NULL ? 1 :
		strcmp(seed_text, "random") == 0 ? (uint64) time(NULL) : strtoull(seed_text, NULL, 10);
	int64		simulated = 0;

	test_limit_shares();
	printf("# flow: DEFER_FLOW_SEED=" UINT64_FORMAT ", %d rounds\n", first, rounds);
	for (int round = 0; round < rounds; round++)
		play(first + round, &simulated);
	for (int i = 0; seed_text == NULL && i < lengthof(known); i++)
		play(known[i], &simulated);
	printf("# %.1f hours of injected time\n", simulated / 3.6e9);
	printf(INT64_FORMAT " passed, " INT64_FORMAT " failed\n", passed, failed);
	return failed > 0 || passed == 0;
}
