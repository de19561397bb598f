/*
 * control.h
 *		Commands on existing jobs: job/control.c, job/mend.c.
 */
#ifndef JOB_CONTROL_H
#define JOB_CONTROL_H

#include "datatype/timestamp.h"

struct Job;

typedef enum ControlResult
{
	CONTROL_DONE,
	CONTROL_LEFT,				/* its state, or one of its options, does not
								 * allow it */
	CONTROL_NOT_THERE			/* the current user may manage no such job */
} ControlResult;

/*
 * Read a job that has not been deleted, or one of the history (then *finished is true),
 * that the current user may manage; false: there is none.
 */
extern bool job_find(int64 id, struct Job *job, bool *finished);

/*
 * What defer.cancel(), defer.reschedule(), defer.rerun(), defer.retry() and
 * defer.acknowledge() do, in the caller's transaction.  A session that has the job's row
 * locked, or its line of reruns, is waited for.  must: an error or a notice says why a
 * job that is there is not moved or run again; else it is left.  force, of the two that
 * run a job again: also if it was run again already.  *new_id: the rerun, or the job that
 * makes another one superfluous.  job_stop(): a job that belongs to one which has ended is
 * cancelled, by force, and never waited for.
 */
extern ControlResult job_cancel(int64 id, bool force);
extern bool job_stop(int64 id); /* false: it has not ended yet */
extern ControlResult job_reschedule(int64 id, TimestampTz run_at, bool must);
extern ControlResult job_rerun(int64 id, bool must, bool force, int64 *new_id);
extern ControlResult job_retry(int64 id, bool must, bool force);
extern ControlResult job_acknowledge(int64 id, const char *note);

/* Return what a function for one job returns; error if it is not there */
extern Datum control_answer(int64 id, ControlResult result);

/* Error if a note of defer.acknowledge() is too long; NULL is none */
extern void job_check_note(const char *note);

/* What came of trying to take a job */
typedef enum Taken
{
	TAKEN,						/* no worker runs it; its row is locked by us */
	TAKEN_RUNNING,				/* it runs; nothing is locked */
	TAKEN_FINISHED,
	TAKEN_NOT_THERE				/* no such job, or of another role */
} Taken;

/*
 * Take a job in order to change its row.  Jobs with a key, and procedures,
 * delete their own row as they run: so a lock on it may mean that it runs, or
 * that another session is doing what we do.  Only the latter is waited for; or
 * a worker is just taking it: then we have waited for its claim, and the row
 * that has one must not be locked by that.
 */
extern Taken job_take(int64 id, struct Job *job);

/* Error if no job can be moved to that time */
extern void job_check_run_at(TimestampTz run_at);

#endif							/* JOB_CONTROL_H */
