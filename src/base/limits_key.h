/*
 * limits_key.h
 *		The limits_key of a job: which concurrency limits it is under.
 */
#ifndef DEFER_LIMITS_KEY_H
#define DEFER_LIMITS_KEY_H

#include "postgres.h"

/*
 * The number of the limited (or paused) function and of the limited (or paused)
 * queue of a job, 0 where there is none.  So 0 is a job without a limit.  Keys of
 * deliveries, which the sender takes, are below 0.  Those of e-mails, of which only
 * few are sent at a time, have one more bit.
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
