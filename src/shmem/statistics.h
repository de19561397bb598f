/*
 * statistics.h
 *		Counters of what has ended, for monitoring.  What a transaction counts is
 *		added when it has committed.
 */
#ifndef DEFER_STATISTICS_H
#define DEFER_STATISTICS_H

#include "nodes/pg_list.h"

#include "base/job.h"

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

#endif							/* DEFER_STATISTICS_H */
