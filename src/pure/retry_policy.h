/*
 * retry_policy.h
 *		The retry policy: how long a failed job waits before its next attempt.
 */
#ifndef DEFER_RETRY_POLICY_H
#define DEFER_RETRY_POLICY_H

#include <stdint.h>

/* What holds for one job after job, function, queue and defaults are weighed */
typedef struct JobPolicy
{
	int32_t		max_attempts;	/* "max_attempts" */
	int64_t		initial_interval;	/* microseconds */
	double		multiplier;
	int64_t		max_interval;	/* microseconds */
	double		randomization;	/* 0 .. 1 */
	int64_t		max_duration;	/* microseconds; 0: none */
} JobPolicy;

/* Wait before the attempt after "failed" failed ones; random in [0,1) */
extern int64_t retry_policy_interval(const JobPolicy *policy, int32_t failed, double random);

#endif							/* DEFER_RETRY_POLICY_H */
