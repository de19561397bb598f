/*
 * retry_policy.c
 *		How long a failed job waits before its next attempt.  Pure.
 */
#include "pure/retry_policy.h"

#include <math.h>

/*
 * The first wait is initial_interval, each next one "multiplier" times as
 * long, none longer than max_interval; then up to "randomization" of it more
 * or less.  "random" is in [0, 1).  A randomization of 0 is exactly that.
 */
int64_t
retry_policy_interval(const JobPolicy *policy, int32_t failed, double random)
{
	double		wait = (double) policy->initial_interval *
		pow(policy->multiplier, (double) (failed > 1 ? failed - 1 : 0));

	/* also true for infinity; not for NaN, which the policy does not allow */
	if (!(wait < (double) policy->max_interval))
		wait = (double) policy->max_interval;
	if (policy->randomization > 0)
		wait *= 1.0 + policy->randomization * (2.0 * random - 1.0);
	if (wait < 0)
		return 0;
	return wait < 9.0e18 ? (int64_t) wait : INT64_C(9000000000000000000);
}
