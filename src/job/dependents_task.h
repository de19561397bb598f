/*
 * dependents_task.h
 *		The scheduler's part in jobs that come after others:
 *		job/dependents_task.c.
 */
#ifndef DEPENDENTS_TASK_H
#define DEPENDENTS_TASK_H

#include "datatype/timestamp.h"

/*
 * Outside a transaction.  Returns when to go on; DT_NOEND: when the scheduler is told
 * of something.
 */
extern TimestampTz dependents_maintain(TimestampTz now);

/* In a transaction of the caller, before dependents_maintain() is called first */
extern void dependents_load(void);

#endif							/* DEPENDENTS_TASK_H */
