/*
 * job_timer.h
 *		The timer of a worker: it stops jobs, and calls the scheduler for jobs
 *		that wait behind a long one.
 */
#ifndef JOB_TIMER_H
#define JOB_TIMER_H

#include "pure/retry_policy.h"

extern void job_timer_init(void);	/* once, when the session is set up */

/* While the worker has a batch */
extern void job_timer_start(void);
extern void job_timer_stop(void);

/*
 * Around each job: its time limits begin and end.  The second forgets a cancel
 * that came too late, which must not hit what comes next.
 */
extern void job_timer_arm(const JobPolicy *policy);
extern void job_timer_disarm(void);
extern void job_timer_forget_cancel(void);

/* The job has raised an error: its time limits are over, before anything else */
extern void job_timer_suspend(void);

/* Check whether a job runs, as far as a signal handler is concerned */
extern bool job_timer_is_armed(void);
extern bool job_timer_expired(void);	/* the last job's time is over */

/* The process exits: signals do nothing any more */
extern void job_timer_shut_down(void);

#endif							/* JOB_TIMER_H */
