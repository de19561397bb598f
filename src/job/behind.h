/*
 * behind.h
 *		Jobs that wait for the end of another one, whose key they have taken over:
 *		job/behind.c.
 */
#ifndef JOB_BEHIND_H
#define JOB_BEHIND_H

#include "postgres.h"

struct Job;

/*
 * Put a new job, with an id and a key, behind the running one that has that key;
 * the caller has locked the row of "ahead".  In the caller's transaction.
 */
extern void behind_insert(struct Job *job, struct Job *ahead);

/*
 * Let a job begin that waits behind one that ends in this transaction.  Never
 * waits: if a session has its row locked the scheduler does it.
 */
extern void behind_release(int64 id, int64 ahead);

/*
 * Give the key back to the job that "cancelled", whose row was deleted in this
 * transaction, waited for.
 */
extern void behind_give_back_key(const struct Job *cancelled);

/*
 * Scheduler, in the caller's transaction: release the jobs behind those of the
 * named ones that have ended; or the next part of all that are behind one that
 * has ended, from *after (0 at first) on, until *last.  False: the row of a job
 * that is to be released is locked.
 */
extern bool behind_look(const int64 *ahead, int n);
extern bool behind_look_all(int64 *after, bool *last);

#endif							/* JOB_BEHIND_H */
