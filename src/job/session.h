/*
 * session.h
 *		The session of a worker: between jobs no trace is left.
 */
#ifndef DEFER_SESSION_H
#define DEFER_SESSION_H

extern void session_before_job(void);	/* in the job's transaction, before
										 * its work */
extern void session_after_job(void);	/* in it, after its work, before its
										 * end */
extern void session_between_jobs(void); /* outside any transaction */

#endif							/* DEFER_SESSION_H */
