/*
 * held.c
 *		Jobs that wait for the end of others: behind a running one that has their key
 *		(job/behind.c), or after others (job/dependents.c).
 */
#include "postgres.h"

#include "common/int.h"
#include "utils/timestamp.h"

#include "config/settings_cache.h"
#include "job/held.h"
#include "shmem/xact_notify_job.h"
#include "table/job_by_id.h"

void
job_hold(Job *job)
{
	job->not_before = job->run_at;
	job->run_at = DT_NOEND;
}

void
job_unhold(Job *job)
{
	TimestampTz discard_at;

	job->run_at = Max(job->not_before, GetCurrentTimestamp());
	if (job->discard_at != NO_TIME)
	{
		if (pg_add_s64_overflow(job->run_at, job->discard_at - job->not_before, &discard_at) ||
			!IS_VALID_TIMESTAMP(discard_at))
			discard_at = NO_TIME;
		job->discard_at = discard_at;
	}
	job->behind = 0;
	job->waits = WAITS_NOTHING;
	job->not_before = NO_TIME;
	settings_set_limits(job);
	job_update(job);
	xact_notify_job(job);
}
