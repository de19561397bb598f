/*
 * control.h
 *		Commands on existing jobs: job/control.c.
 */
#ifndef JOB_CONTROL_H
#define JOB_CONTROL_H

#include "datatype/timestamp.h"

typedef enum ControlResult
{
	CONTROL_DONE,
	CONTROL_LEFT,				/* its state, or one of its options, does not
								 * allow it */
	CONTROL_NOT_THERE			/* the current user may manage no such job */
} ControlResult;

/*
 * What defer.cancel(), defer.reschedule() and defer.rerun() do, in the caller's
 * transaction.  A session that has the job's row locked is waited for.  must: an
 * error says why a job that is there and does not run cannot be moved or run
 * again; else it is left.
 */
extern ControlResult job_cancel(int64 id, bool force);
extern ControlResult job_reschedule(int64 id, TimestampTz run_at, bool must);
extern ControlResult job_rerun(int64 id, bool must, int64 *new_id);

/* Error if no job can be moved to that time */
extern void job_check_run_at(TimestampTz run_at);

#endif							/* JOB_CONTROL_H */
