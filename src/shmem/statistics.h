/*
 * statistics.h
 *		Counters of what has ended, for monitoring.  What a transaction counts is
 *		added when it has committed.
 */
#ifndef DEFER_STATISTICS_H
#define DEFER_STATISTICS_H

#include "nodes/pg_list.h"

#include "base/job.h"

/* Counters: jobs by how they ended, attempts by how those did */
#define STATISTICS_STATES	4
#define STATISTICS_OUTCOMES 7

/* Buckets of the histograms of times; the last has no upper bound */
#define STATISTICS_BUCKETS	16
extern const int64 statistics_bounds[STATISTICS_BUCKETS - 1];	/* microseconds */

/* Where each kind of counter begins */
enum
{
	COUNT_STATES = 0,
	COUNT_SKIPPED = COUNT_STATES + STATISTICS_STATES,	/* ticks of schedules
														 * that made no job to
														 * run */
	COUNT_OUTCOMES,
	COUNT_DURATIONS = COUNT_OUTCOMES + STATISTICS_OUTCOMES,
	COUNT_DURATION_SUM = COUNT_DURATIONS + STATISTICS_BUCKETS,	/* microseconds */
	COUNT_DELAYS,
	COUNT_DELAY_SUM = COUNT_DELAYS + STATISTICS_BUCKETS,
	STATISTICS_COUNTERS
};

/* The counters of a role, function and queue; names empty: of those without a slot */
typedef struct StatisticsCounters
{
	Oid			owner;
	char		function[256];	/* cut if it is longer */
	char		queue[NAMEDATALEN];
	int64		counters[STATISTICS_COUNTERS];
} StatisticsCounters;

extern Size statistics_shmem_size(void);
extern void statistics_shmem_init(void);	/* under AddinShmemInitLock */
extern void statistics_init(void);	/* in _PG_init */

/* Free the counters of all databases but these */
extern void statistics_forget_dropped(List *databases);

/* A job has ended: its row of history is written.  started_at: NO_TIME if it never began */
extern void statistics_job_ended(const Job *job, char state, TimestampTz started_at,
								 TimestampTz finished_at);

/* An attempt has not succeeded: its row is written */
extern void statistics_attempt_ended(const Job *job, const char *outcome);

/* Copies of a database's counters, palloc'd; returns how many.  May throw */
extern int	statistics_copy(Oid database, StatisticsCounters **copies);

#endif							/* DEFER_STATISTICS_H */
