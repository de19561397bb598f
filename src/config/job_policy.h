/*
 * job_policy.h
 *		The retry policy and max_duration of a job: config/job_policy.c.
 */
#ifndef DEFER_JOB_POLICY_H
#define DEFER_JOB_POLICY_H

#include "base/job.h"
#include "pure/retry_policy.h"

/* Job over function over queue over default */
extern void job_policy(const Job *job, JobPolicy *policy);

#endif							/* DEFER_JOB_POLICY_H */
