/*
 * fan_out_task.h
 *		Adding up the counts of batches, and their end: job/fan_out_task.c.
 */
#ifndef FAN_OUT_TASK_H
#define FAN_OUT_TASK_H

#include "datatype/timestamp.h"

/*
 * Outside a transaction: add up new counts of batches, and release the jobs that wait
 * for batches which are over.  Returns when to go on; DT_NOEND: when there are more.
 */
extern TimestampTz fan_out_maintain(TimestampTz now);

/*
 * For defer.drain(): end the batches that the transaction under way has begun, and whose
 * jobs have all ended in it: jobs that wait for them may begin.  Returns whether there
 * was one.
 */
extern bool fan_out_end_own(void);

#endif							/* FAN_OUT_TASK_H */
