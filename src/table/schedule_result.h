/*
 * schedule_result.h
 *		How runs of schedules have ended, for pause_after_failures:
 *		table/schedule_result.c.
 */
#ifndef SCHEDULE_RESULT_H
#define SCHEDULE_RESULT_H

#include "utils/jsonb.h"

struct Job;

/* The options of a run whose end is to be counted */
extern Jsonb *schedule_result_option(void);

/*
 * Record the end of a job in the caller's transaction, if it is such a run that
 * has succeeded or failed.  The scheduler counts it after the commit.
 */
extern void schedule_result_record(const struct Job *job, char state);

/* Have the scheduler count ends of runs, and look for backfills, after the commit */
extern void schedule_result_notify(void);

#endif							/* SCHEDULE_RESULT_H */
