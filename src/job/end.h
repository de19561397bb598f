/*
 * end.h
 *		The end of jobs and of attempts: job/end.c.
 *
 * All of these run in the caller's transaction, with an active snapshot, and
 * have an effect on others when it commits.
 */
#ifndef JOB_END_H
#define JOB_END_H

#include "base/job.h"
#include "shmem/ready_queue.h"
#include "utils/elog.h"

/*
 * End a job whose row the caller deletes in the same transaction.  attempt:
 * attempts that were begun; started_at: of the last one, NO_TIME: none was;
 * result, sqlstate and error may be NULL.
 */
extern void job_end(const Job *job, char state, int32 attempt, TimestampTz started_at,
					Jsonb *result, const char *sqlstate, const char *error);

/* End one that was not begun in time, in the same way */
extern void job_end_discarded(const Job *job);

/*
 * The same of a job whose row is left: it is counted (table/rollup.h) by the
 * transaction that deletes the row.  Returns finished_at.
 */
extern TimestampTz job_end_uncounted(const Job *job, char state, int32 attempt,
									 TimestampTz started_at, Jsonb *result, const char *sqlstate,
									 const char *error);

/*
 * Record a job that ends before it has had a row, such as a time of a schedule at which
 * none is made; it has an id.  No run is over by that.
 */
extern void job_end_without_row(const Job *job, char state, const char *sqlstate,
								const char *error);

/*
 * End free jobs of a ready queue that are due, and delete their rows.  Locked
 * rows are left alone.  Returns how many were ended, at most max; *next is the
 * first key that is still to be looked at.
 */
extern int	job_end_due(const ReadyQueueChoice *rq, TimestampTz now, int max, char state,
						const char *sqlstate, const char *error, ReadyKey *next);

/*
 * Record an attempt that did not succeed.  retry_at: when the next one begins,
 * NO_TIME: there is none.
 */
extern void job_attempt_end(const Job *job, int32 attempt, TimestampTz started_at,
							const char *outcome, const ErrorData *error, TimestampTz retry_at);

#endif							/* JOB_END_H */
