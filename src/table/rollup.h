/*
 * rollup.h
 *		Counts of finished jobs by hour, owner, function and queue: table/rollup.c writes
 *		and table/rollup_merge.c adds them up, table/duration_histogram.c has the
 *		classes of durations in them.
 */
#ifndef ROLLUP_H
#define ROLLUP_H

#include "base/job.h"

/*
 * Who deletes a job's row after it has ended, or writes a row of history for
 * which there never was a job, counts it in the same transaction: one, or
 * several of one owner at once.
 */
extern void rollup_add(const Job *job, char state, TimestampTz started_at, TimestampTz finished_at);

/* Between begin and write: "most" jobs of one owner, in the current memory context */
extern void rollup_begin(int most);
extern void rollup_collect(const Job *job, char state, TimestampTz started_at,
						   TimestampTz finished_at);
extern void rollup_write(void);

/*
 * table/rollup_list.c: jobs of any owners, at most that many, which are counted by
 * rollup_list_write(), whatever is counted meanwhile.  In the memory context of make.
 */
typedef struct RollupList RollupList;
extern RollupList *rollup_list_make(int most);
extern void rollup_list_add(RollupList *list, const Job *job, char state, TimestampTz started_at,
							TimestampTz finished_at);
extern void rollup_list_write(RollupList *list);

/*
 * A job that is in the history has ended: count it, by one of the two above,
 * and delete its row.  false: it has not ended.
 */
typedef void (*RollupCount) (const Job *job, char state, TimestampTz started_at,
							 TimestampTz finished_at);
extern bool rollup_delete_ended(const Job *job, RollupCount count);

/*
 * Scheduler, outside a transaction: add up new counts.  Returns when to go on,
 * DT_NOEND if that is when there is more: after a while, or as soon as there
 * are *many counts.
 */
#define ROLLUP_DELAY		(10 * USECS_PER_SEC)
extern TimestampTz rollup_maintain(TimestampTz now, uint32 *many);

/* Forget the hours before; in the caller's SPI connection */
extern void rollup_forget(TimestampTz before);

/* table/duration_histogram.c */
#define DURATION_CLASSES	208 /* the last one begins with a century */
extern int	duration_class(int64 duration); /* microseconds */

#endif							/* ROLLUP_H */
