/*
 * retry.c
 *		The retry policy at work: decides whether and when a job whose attempt
 *		did not succeed is tried again, or has failed for good.
 *
 * The formula of the wait is in pure/retry_policy.c.  The settings of a job, its
 * function and its queue are weighed in config/settings_cache.c.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/errcodes.h"
#include "base/job_state.h"
#include "job/current_job.h"
#include "job/retry.h"

/* Retries after a conflict that are not attempts */
#define MAX_CONFLICTS	5

/* Check for a conflict with other transactions, and that it may be retried at once */
static bool
is_conflict(const Job *job, int sqlerrcode)
{
	return (sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
			sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED) && job->conflicts < MAX_CONFLICTS;
}

/* Set what follows one more failed attempt: the next one, or the job's failure */
static void
retry_or_fail(const Job *job, const JobPolicy *policy, TimestampTz now,
			  AttemptResult *result)
{
	int32		failed = job->attempt + 1;

	result->counts = true;
	if (failed >= policy->max_attempts)
		result->state = STATE_FAILED;
	else
		result->retry_at = now + retry_policy_interval(policy, failed,
													   pg_prng_double(&pg_global_prng_state));
}

AttemptResult
retry_classify_failure(const Job *job, const JobPolicy *policy, FailureKind kind,
					   const ErrorData *error)
{
	TimestampTz now = GetCurrentTimestamp();
	AttemptResult result = {"failed", false, 0, NO_TIME};

	switch (kind)
	{
		case FAILURE_CANCELLED:
			result.outcome = "cancelled";
			result.counts = true;
			result.state = STATE_CANCELLED;
			break;
		case FAILURE_INTERRUPTED:
			result.outcome = "interrupted";
			result.retry_at = now;
			break;
		case FAILURE_TIMED_OUT:
			result.outcome = "timed_out";
			retry_or_fail(job, policy, now, &result);
			break;
		case FAILURE_CRASHED:
			elog(ERROR, "a crash is not classified here");
			break;
		case FAILURE_ERROR:
			if (current_job.snooze && error->sqlerrcode == ERRCODE_JOB_SNOOZED)
			{
				result.outcome = "snoozed";
				result.retry_at = now + current_job.snooze_for;
			}
			else if (current_job.put_off > 0)
			{
				result.outcome = NULL;
				result.retry_at = now + current_job.put_off;
			}
			else if (current_job.give_up != 0 && error->sqlerrcode == current_job.give_up)
			{
				result.counts = true;
				result.state = STATE_FAILED;
			}
			else if (is_conflict(job, error->sqlerrcode))
			{
				result.outcome = "conflict";
				result.retry_at = now;
			}
			else
				retry_or_fail(job, policy, now, &result);
			break;
	}
	return result;
}

AttemptResult
retry_classify_delivery(const Job *job, const JobPolicy *policy, const DeliveryEnd *end)
{
	TimestampTz now = GetCurrentTimestamp();
	AttemptResult result = {"failed", false, 0, NO_TIME};

	switch (end->outcome)
	{
		case DELIVERY_DONE:
			elog(ERROR, "a success is not classified here");
			break;
		case DELIVERY_RETRY:
			if (end->wait < 0 && is_conflict(job, end->sqlerrcode))
			{
				result.outcome = "conflict";
				result.retry_at = now;
				break;
			}
			if (end->timed_out)
				result.outcome = "timed_out";
			retry_or_fail(job, policy, now, &result);
			if (result.state == 0 && end->wait >= 0)
				result.retry_at = now + end->wait;
			break;
		case DELIVERY_REFUSED:
			result.counts = true;
			result.state = STATE_FAILED;
			break;
		case DELIVERY_CANCELLED:
			result.outcome = "cancelled";
			result.counts = true;
			result.state = STATE_CANCELLED;
			break;
		case DELIVERY_INTERRUPTED:
			result.outcome = "interrupted";
			result.retry_at = now;
			break;
		case DELIVERY_PUT_OFF:
			result.outcome = NULL;
			result.retry_at = now + end->wait;
			break;
		case DELIVERY_RELEASED:
			result.outcome = "released";
			result.retry_at = now + end->wait;
			break;
		case DELIVERY_LOST:
			result.outcome = "lost";
			retry_or_fail(job, policy, now, &result);
			break;
	}
	return result;
}
