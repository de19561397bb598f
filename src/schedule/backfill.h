/*
 * backfill.h
 *		Runs for times that are past: defer.backfill().
 */
#ifndef BACKFILL_H
#define BACKFILL_H

#include "schedule/schedule.h"

/* Unfinished runs of one backfill with overlap => 'allow', at most */
#define BACKFILL_RUNS_MAX	100

/* Whether runs overlap */
typedef enum BackfillOverlap
{
	BACKFILL_QUEUE,				/* one after the other, and after the
								 * schedule's own */
	BACKFILL_ALLOW
} BackfillOverlap;

/*
 * schedule/backfill_run.c: for the scheduler
 */

/* There may be backfills: as long as none was found there are none */
extern bool backfill_expected;

/*
 * Enqueue runs that have room now, in own transactions.  Returns when to do so
 * again; DT_NOEND: when a run has ended, or there is a new backfill.
 */
extern TimestampTz backfill_continue(TimestampTz now);

/*
 * schedule/runs.c
 */

/* The options of a run that a backfill has enqueued */
extern Jsonb *backfill_option(int64 backfill_id);

/* How many more runs may be enqueued for a schedule, as of now */
extern int	backfill_room(int64 schedule_id, BackfillOverlap overlap);

#endif							/* BACKFILL_H */
