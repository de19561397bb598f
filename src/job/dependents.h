/*
 * dependents.h (job/)
 *		What becomes of the jobs that come after one that has ended:
 *		job/dependents.c.
 */
#ifndef JOB_DEPENDENTS_H
#define JOB_DEPENDENTS_H

struct Job;

/*
 * In the transaction that ends the job: up to a hundred of the jobs behind it are
 * made ready, or are cancelled; the scheduler is told of the rest, and of its own.
 */
extern void dependents_end(const struct Job *job, char state);

/* A job that waits is to end: its times become those of a job that does not */
extern void dependents_stop_waiting(struct Job *job);

/*
 * A step of the job waits for others, which the caller has published before it looked
 * which of them have not ended: these are open.  The step waits no more; rows that
 * other sessions have locked are left.
 */
extern void dependents_wait(const struct Job *job, int n, const int64 *ids, const bool *open,
							char after_failure);
extern bool dependents_wait_end(int64 id);	/* false: some were left */

/*
 * The same as dependents_end() of an event or signal, by its key.  later: by the scheduler,
 * after the commit, so that the caller's transaction locks no job of another role.
 */
extern void dependents_end_key(int64 key, bool later);

/* Check whether all that the job waits for is over, or, of an event, a part of it */
extern bool dependents_are_over(int64 id, char waits);

/* For the scheduler, each part in a transaction of the caller */
typedef struct EndedJob
{
	int64		id;
	int64		line;			/* the first of its line of reruns, or itself */
	char		state;			/* STATE_..., PARENT_GONE */
	int64		after;			/* later jobs up to this id are done */
	int32		own_after;		/* its own up to this ord are */
	bool		of_line;		/* those that are held are looked at now */
	int64		until;			/* monotonic_now(): the rest is for another
								 * time then; 0: all */
} EndedJob;

/*
 * Treat up to max dependencies of a job that has ended.  *busy is set if other
 * sessions have locked some of the later jobs.  Returns true if there are more.
 */
extern bool dependents_settle(EndedJob *ended, int max, bool *busy);

/*
 * Cancel, by force, up to max of the jobs that a job which did not succeed has waited for,
 * and that were its own.  *busy is set if some have not ended yet; returns as above.
 */
extern bool dependents_stop_own(EndedJob *ended, int max, bool *busy);

/*
 * Let a job begin if it waits for no other any more.  Returns false if that is to be
 * looked at again: another session has locked it, or its step is about to wait on.
 */
extern bool dependents_check_waiting(int64 id);

/*
 * Of a job with WAITS_PREPARE all that it waits for has ended: let it begin, by job_unhold(),
 * or end it.  Its row is locked.  NULL but in the scheduler, which is told of such jobs.
 */
extern void (*dependents_prepare) (struct Job *job);

#endif							/* JOB_DEPENDENTS_H */
