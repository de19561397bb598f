/*
 * statistics.h
 *		Counters of what has ended, for monitoring.
 *
 * What a transaction counts is added when it has committed.
 */
#ifndef DEFER_STATISTICS_H
#define DEFER_STATISTICS_H

#include "nodes/pg_list.h"
#include "base/job.h"

extern Size statistics_shared_size(void);
extern void statistics_startup(void);	/* in the postmaster, under AddinShmemInitLock */
extern void statistics_forget_dropped(List *databases); /* keeps those of these OIDs */
extern void statistics_job_ended(const Job *job, char state, TimestampTz started_at, TimestampTz finished_at);
extern void statistics_attempt_ended(const Job *job, const char *outcome);
extern void statistics_commit(void);	/* throws nothing */
extern void statistics_forget(void);

#endif							/* DEFER_STATISTICS_H */
