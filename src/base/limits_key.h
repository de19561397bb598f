/*
 * limits_key.h
 *		The limits_key of a job: which concurrency limits it is under.
 */
#ifndef DEFER_LIMITS_KEY_H
#define DEFER_LIMITS_KEY_H

#include "postgres.h"

/*
 * A ready queue is the set of jobs under the same concurrency limits: number of the
 * limited (or paused) function and of the limited (or paused) queue, 0 where
 * there is none.  Ready queue 0 is everybody without a limit.  Deliveries, which are
 * the sender's and not the workers', have the same ready queues once more, below 0, and
 * e-mails, of which only few are sent at a time, yet again.
 */
#define LIMITS_KEY_DELIVERY PG_INT64_MIN
#define LIMITS_KEY_MAIL	(INT64CONST(1) << 62)
#define LIMITS_KEY(function_id, queue_id) \
	(((int64) (function_id) << 32) | (int64) (uint32) (queue_id))
#define LIMITS_KEY_FUNCTION(limits_key) ((int32) (((limits_key) >> 32) & 0x3fffffff))
#define LIMITS_KEY_QUEUE(limits_key)	((int32) ((limits_key) & 0xffffffff))
#define LIMITS_KEY_IS_DELIVERY(limits_key) ((limits_key) < 0)
#define LIMITS_KEY_IS_MAIL(limits_key)	(((limits_key) & LIMITS_KEY_MAIL) != 0)
#define LIMITS_KEY_HAS_LIMITS(limits_key) (((limits_key) & (LIMITS_KEY_MAIL - 1)) != 0)

#endif							/* DEFER_LIMITS_KEY_H */
