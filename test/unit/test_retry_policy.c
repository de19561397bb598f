/*
 * test_retry_policy.c
 *		Waits between attempts.
 */
#include "pure/retry_policy.h"

#include <string.h>

#include "harness.h"

#define SECOND	INT64_C(1000000)


static JobPolicy
policy(double multiplier, double randomization)
{
	JobPolicy	p;

	memset(&p, 0, sizeof(p));
	p.max_attempts = 13;
	p.initial_interval = 30 * SECOND;
	p.multiplier = multiplier;
	p.max_interval = 600 * SECOND;
	p.randomization = randomization;
	return p;
}

/* Within a few microseconds: multiplication rounds */
static bool
near(int64_t a, int64_t b)
{
	return a - b <= 2 && b - a <= 2;
}

void
test_retry_policy(void)
{
	static const double seconds[] = {30, 45, 67.5, 101.25, 151.875, 227.8125,
	341.71875, 512.578125, 600, 600, 600, 600};
	JobPolicy	p = policy(1.5, 0);
	int			i;

	/* The default policy without its randomness */
	for (i = 0; i < 12; i++)
		check(near(retry_policy_interval(&p, i + 1, 0.77),
				   (int64_t) (seconds[i] * SECOND)), "after %d: %lld", i + 1,
			  (long long) retry_policy_interval(&p, i + 1, 0.77));

	/* A randomization of 0 is exactly that */
	for (i = 0; i < 1000; i++)
		if (retry_policy_interval(&p, 3, i / 1000.0) != retry_policy_interval(&p, 3, 0))
			check(false, "random %g changes a wait without randomization",
				  i / 1000.0);

	/* +- 50 %, evenly */
	p = policy(1.5, 0.5);
	check(near(retry_policy_interval(&p, 1, 0), 15 * SECOND), "lower end");
	check(near(retry_policy_interval(&p, 1, 0.5), 30 * SECOND), "middle");
	check(near(retry_policy_interval(&p, 1, 0.25), 22500000), "a quarter");
	check(retry_policy_interval(&p, 1, 0.9999999) < 45 * SECOND &&
		  retry_policy_interval(&p, 1, 0.9999999) > 44 * SECOND, "upper end");
	check(near(retry_policy_interval(&p, 100, 0), 300 * SECOND),
		  "around the longest");

	/* Full randomization may wait for no time at all, never less */
	p = policy(1.5, 1);
	check(retry_policy_interval(&p, 1, 0) == 0, "no time");
	check(retry_policy_interval(&p, 1, 0.999) < 60 * SECOND, "twice as long");

	/* Constant, growing beyond all bounds, first longer than longest */
	p = policy(1, 0);
	check(retry_policy_interval(&p, 1000000, 0) == 30 * SECOND, "constant");
	p = policy(10, 0);
	check(retry_policy_interval(&p, INT32_MAX, 0) == 600 * SECOND, "infinite");
	p.initial_interval = 7200 * SECOND;
	check(retry_policy_interval(&p, 1, 0) == 600 * SECOND, "first over longest");
	p.initial_interval = 0;
	check(retry_policy_interval(&p, 5, 0.3) == 0, "zero");

	/* Nothing overflows */
	p = policy(1e300, 1);
	p.initial_interval = p.max_interval = INT64_MAX;
	check(retry_policy_interval(&p, 1, 0.999) > 0 &&
		  retry_policy_interval(&p, 9, 0.999) > 0, "overflow");

	/* Before any failure, and nonsense below, as after the first */
	p = policy(1.5, 0);
	check(retry_policy_interval(&p, 0, 0) == 30 * SECOND &&
		  retry_policy_interval(&p, -5, 0) == 30 * SECOND, "none failed");

	/* Never shorter after more failures */
	for (i = 1; i < 50; i++)
		if (retry_policy_interval(&p, i + 1, 0) < retry_policy_interval(&p, i, 0))
			check(false, "shorter after %d", i + 1);
}
