/*
 * key_hold.h
 *		Rows of defer.key_hold: keys that count for a time after the enqueue,
 *		whatever has become of the job.
 */
#ifndef KEY_HOLD_H
#define KEY_HOLD_H

#include "datatype/timestamp.h"

struct Job;

/*
 * Check whether another job has the key of "job" until after "now", as of now.
 * That one's id is in *holder then.
 */
extern bool key_hold_find(const struct Job *job, TimestampTz now, int64 *holder);

/*
 * Write that the job has its key until then.  No other session writes that key's
 * row: the caller has inserted the job's row with the key in this transaction.
 */
extern void key_hold_set(const struct Job *job, TimestampTz until);

/*
 * Remove rows that are over, at most so many, in the caller's transaction.
 * Returns true if there may be more.
 */
extern bool key_hold_purge(TimestampTz now, int most);

#endif							/* KEY_HOLD_H */
