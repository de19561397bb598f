/*
 * fan_out_task.h
 *		The scheduler's part in batches: job/fan_out_task.c.
 */
#ifndef FAN_OUT_TASK_H
#define FAN_OUT_TASK_H

#include "datatype/timestamp.h"

/*
 * Outside a transaction: add up new counts of batches, and release the jobs that wait
 * for batches which are over.  Returns when to go on; DT_NOEND: when there are more.
 */
extern TimestampTz fan_out_maintain(TimestampTz now);

#endif							/* FAN_OUT_TASK_H */
