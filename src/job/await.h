/*
 * await.h
 *		Looking for the end of a job: for await.c and await_any.c.
 */
#ifndef DEFER_AWAIT_H
#define DEFER_AWAIT_H

struct HistoryRow;

/* Look at least so often, in milliseconds: a prepared transaction wakes no session */
#define AWAIT_RECHECK	30000

/* Check whether the job has ended.  Error if it is not there, or the user may not see it */
extern bool await_job_ended(int64 id, struct HistoryRow *outcome);

/* Flush the commit of its end: a client that hears of it may act outside the database */
extern void await_flush_end(int64 id);

/* Error if no jobs run here */
extern void await_check_served(void);

#endif							/* DEFER_AWAIT_H */
