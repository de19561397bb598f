/*
 * current_job.h
 *		The job that this process runs, or that an outside worker acts as (defer.as_job).
 */
#ifndef DEFER_CURRENT_JOB_H
#define DEFER_CURRENT_JOB_H

#include "utils/uuid.h"

#include "base/job.h"

typedef struct CurrentJob
{
	Job		   *job;			/* NULL: this process runs none */
	const pg_uuid_t *token;		/* an outside worker acts as the job, which it
								 * holds by this; NULL: this process runs it */
	Oid			role;			/* of that worker */
	bool		snooze;			/* defer.snooze was called ... */
	int64		snooze_for;		/* ... microseconds */
	int64		put_off;		/* it could not begin: no attempt is used, and
								 * it is tried again so many microseconds
								 * later; 0: no */
	int			give_up;		/* SQLSTATE of the error that fails the job
								 * for good; 0: none has been raised */
	bool		has_pass;		/* it has called functions of steps */
	const char *step;			/* whose function runs; NULL: none does */
	int64		transaction_timeout;	/* its time limit, if that is the
										 * shortest; microseconds, else 0 */
} CurrentJob;
extern CurrentJob current_job;

/*
 * Check that this process runs a job, and that the caller may speak for it.  Error,
 * which names the function, if not.
 */
extern void current_job_require(const char *function);

/* Check whether an outside worker, which may be of another role, acts as that job */
static inline bool
current_job_is_acted(int64 id)
{
	return current_job.token != NULL && current_job.job->id == id;
}

#endif							/* DEFER_CURRENT_JOB_H */
