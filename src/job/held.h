/*
 * held.h
 *		Jobs that wait for the end of others, with run_at "infinity": job/held.c.
 */
#ifndef JOB_HELD_H
#define JOB_HELD_H

struct Job;

/* Hold a job: run_at is kept in not_before.  Writes no row */
extern void job_hold(struct Job *job);

/*
 * Let a held job, whose row the caller has locked, begin at not_before, or now if that
 * is over.  The time that it was held does not count for discard_after.
 */
extern void job_unhold(struct Job *job);

#endif							/* JOB_HELD_H */
