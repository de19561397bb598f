/*
 * fan_out_count.h
 *		Counting the jobs of batches: table/fan_out_count.c.
 *
 * All of these note what is written before the transaction commits.  They cost
 * jobs that are in no batch next to nothing.
 */
#ifndef FAN_OUT_COUNT_H
#define FAN_OUT_COUNT_H

#include "postgres.h"

#include "base/job_state.h"

struct Job;

/* What the transaction under way has counted of a batch */
typedef struct FanOutCount
{
	int64		id;
	bool		closed;
	int64		jobs;
	int64		ended[JOB_ENDS];
} FanOutCount;

extern void fan_out_count_init(void);	/* in _PG_init */

/*
 * A job has been enqueued, with an id of its own, by the job that this process runs,
 * parent_id, if it has one
 */
extern void fan_out_enqueued(const struct Job *job);

/* The same of one that only a batch with "deep" counts */
extern void fan_out_enqueued_deep(const struct Job *job);

/* A job has ended, and its row is deleted in this transaction */
extern void fan_out_ended(const struct Job *job, char state);

/* A job whose end in that state was counted is unfinished again */
extern void fan_out_reopened(const struct Job *job, char state);

/* A job ends: the jobs that it has enqueued are all that there will be */
extern void fan_out_close(int64 id);

/* The id of the first job that the job has enqueued in this transaction; 0: none */
extern int64 fan_out_first_id(int64 id);

/* The batch, one with "deep", that jobs which the job enqueues are counted in; 0: none */
extern int64 fan_out_of_children(const struct Job *job);

/*
 * Take what this transaction has counted of batches that it has made itself, so that no
 * other session knows them: the caller adds it to their rows.  Returns how many batches
 * that are; *taken is palloc'd.  If the subtransaction aborts, it is as if it had not
 * been taken.
 */
extern int	fan_out_take(FanOutCount **taken);

/* A row of defer.fan_out was inserted */
extern void fan_out_forget(int64 id);

/* Check whether the ends of two jobs may be counted by one row: no batch has only one of them */
extern bool fan_out_is_same(const struct Job *job, const struct Job *other);

/* Check whether a batch that others wait for may count the job */
extern bool fan_out_may_count(const struct Job *job);

#endif							/* FAN_OUT_COUNT_H */
