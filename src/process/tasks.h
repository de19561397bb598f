/*
 * tasks.h
 *		What a scheduler does.
 */
#ifndef TASKS_H
#define TASKS_H

#include "datatype/timestamp.h"
#include "shmem/databases.h"

/* In the order in which due tasks are performed */
typedef enum TaskName
{
	TASK_CLOCK,					/* it was set back */
	TASK_LOAD,					/* scheduled functions and ready queues from
								 * the tables */
	TASK_SEARCH,				/* ready queues without a slot */
	TASK_LIMITS,				/* their limits */
	TASK_RECOVER,
	TASK_LEASES,				/* of outside workers that are over */
	TASK_PARTITIONS,
	TASK_RESULTS,				/* of runs; before the schedules fire */
	TASK_SCHEDULES,
	TASK_RELEASE,
	TASK_BEHIND,				/* jobs that wait for the end of another */
	TASK_BACKFILL,
	TASK_FAN_OUT,				/* counts of batches */
	TASK_DEPENDENTS,			/* jobs that come after others */
	TASK_POOL,
	TASK_ALERTS,
	TASK_ROLLUP,
	TASK_N						/* see also SCHEDULER_TASKS */
} TaskName;

StaticAssertDecl(TASK_N == SCHEDULER_TASKS, "a slot for the failures of each task");

/* Returns when the task is due again; reports its errors and never throws one */
extern TimestampTz task_perform(TaskName name, TimestampTz now);

extern const char *task_name(TaskName name);

/* By how much the clock was set back, since TASK_CLOCK; microseconds */
extern int64 tasks_clock_set_back;

#endif							/* TASKS_H */
