/*
 * crashed_jobs.c
 *		Jobs that had begun when the server crashed, by the file of begun jobs
 *		(shmem/begun_jobs.h).
 *
 * The one that has crashed it is blamed: that attempt is over, and after
 * defer.max_crashes of them the job fails.  Those that were stopped because of it
 * lose no attempt, unless what they did may have stayed.
 *
 * Where it is not known which one it was (the postmaster was killed, too; several
 * died at once) each that may have been is a suspect once more:
 *
 *	suspect 0	->	1, runs as all others
 *	suspect 1	->	2 (SUSPECT_ALONE), claimed alone, while no other such job runs
 *	suspect 2	it was alone: it is blamed
 *
 * The claim of a function is not flushed, so its row may have been set free by the
 * crash, or be gone.  A row is the one that is meant if it has the same id, time of
 * its enqueue, attempts and suspicions: sequences give numbers out twice after a
 * crash, and a job that was dealt with differs from then on.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/job.h"
#include "base/own_transaction.h"
#include "job/crashed_jobs.h"
#include "job/finish.h"
#include "job/recovery.h"
#include "shmem/begun_jobs.h"
#include "table/history_table.h"
#include "table/job_by_id.h"

/*
 * Check whether the row is that of the job as it had begun.  One that has begun to wait
 * since then has ended its pass, and the entry was not cleared yet.  One that was woken
 * keeps the wait in its row until it comes to that step.
 */
static bool
is_meant(const Job *job, const BegunJob *begun)
{
	return (job->waits == WAITS_NOTHING || job->not_before < begun->started_at) &&
		job->enqueued_at == begun->enqueued_at &&
		job->attempt == begun->attempt && job->suspect == begun->suspect &&
		!history_exists(job->id);
}

/* Write how the attempt has ended, and set the row free; it is locked */
static void
end_attempt(Job *job, const BegunJob *begun)
{
	bool		culprit = begun->mark == CRASH_CULPRIT;

	if (begun->mark == CRASH_SUSPECT)
	{
		if (job->suspect < SUSPECT_ALONE)
			job->suspect++;
		else
			culprit = true;
	}
	if (culprit || begun->persists)
		finish_crashed_row(job, begun->started_at, culprit, true);
	else
		finish_interrupted_row(job, begun->started_at);
}

/* In a transaction of its own.  False: another session has the row, look again */
static bool
settle_job(const BegunJob *begun, int *nfreed)
{
	Job			job;
	JobLock		lock = job_lock(begun->job_id, true, &job);

	if (lock != JOB_LOCKED)
		return lock == JOB_GONE;
	if (!is_meant(&job, begun))
		return true;

	/* it was locked when we first looked, and a worker has it by now */
	if (job.claim != 0 && claim_is_live(job.claim))
		return false;
	end_attempt(&job, begun);
	(*nfreed)++;
	return true;
}

bool
crashed_jobs_settle(int *nfreed)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool all = true;
	BegunJob	begun;

	for (volatile int index = begun_jobs_next(0, &begun); index >= 0;
		 index = begun_jobs_next(index + 1, &begun))
	{
		PG_TRY();
		{
			int			freed = 0;
			bool		settled;

			/* a scheduler flushes its commits: only then it is forgotten */
			own_transaction_begin();
			settled = settle_job(&begun, &freed);
			own_transaction_end();
			*nfreed += freed;
			if (settled)
				begun_jobs_forget(index);
			else
				all = false;
		}
		PG_CATCH();
		{
			own_transaction_report_error(context);
			all = false;
		}
		PG_END_TRY();
	}
	return all;
}
