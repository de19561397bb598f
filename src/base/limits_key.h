/*
 * limits_key.h
 *		The limits_key of a job: which limits it is under.
 *
 * It is a part of the claim index, so that a claim reads only jobs that may be
 * begun.  Jobs without limits have 0, those under the limits of their function
 * or queue have the numbers of these.  Jobs whose group or endpoint is limited have
 * a hash of all four (LIMITS_KEY_HASHED): what it was made of is in the row's
 * columns function, queue, group_key and args.
 */
#ifndef DEFER_LIMITS_KEY_H
#define DEFER_LIMITS_KEY_H

#include "postgres.h"

/*
 * What limits a job: the number of the function and of the queue that have a
 * limit, a pause or limits for groups, the hash of the job's group if one of
 * them has such, and of a delivery the number of the endpoint that has a limit.
 * 0: none.  The group's limits are those of its group under that function and
 * those of its group under that queue.
 */
typedef struct LimitScopes
{
	int64		group;			/* as limits_group_hash() gives it */
	int32		function_id;
	int32		queue_id;
	int32		endpoint_id;
} LimitScopes;

/*
 * Bits of a key: deliveries, which the sender takes, are below 0; e-mails, of
 * which only few are sent at a time, have MAIL, too; tasks, which outside workers
 * take, have TASK, which is the same bit; HASHED says that the other bits are a
 * hash.  Else they are the number of the function (32 .. 61) and that of the queue
 * (0 .. 29).  The key of a task always has its number and the queue's.
 */
#define LIMITS_KEY_DELIVERY PG_INT64_MIN
#define LIMITS_KEY_MAIL	(INT64CONST(1) << 62)
#define LIMITS_KEY_TASK	LIMITS_KEY_MAIL
#define LIMITS_KEY_HASHED	(INT64CONST(1) << 31)
#define LIMITS_KEY_KINDS	(LIMITS_KEY_DELIVERY | LIMITS_KEY_MAIL)
#define LIMITS_KEY_HASH	(~(LIMITS_KEY_KINDS | LIMITS_KEY_HASHED))

/* These: of a key without LIMITS_KEY_HASHED */
#define LIMITS_KEY(function_id, queue_id) \
	(((int64) (function_id) << 32) | (int64) (uint32) (queue_id))
#define LIMITS_KEY_FUNCTION(limits_key) ((int32) (((limits_key) >> 32) & 0x3fffffff))
#define LIMITS_KEY_QUEUE(limits_key)	((int32) ((limits_key) & 0x3fffffff))

#define LIMITS_KEY_IS_DELIVERY(limits_key) ((limits_key) < 0)
#define LIMITS_KEY_IS_MAIL(limits_key)	(((limits_key) & LIMITS_KEY_KINDS) == LIMITS_KEY_KINDS)
#define LIMITS_KEY_IS_TASK(limits_key)	(((limits_key) & LIMITS_KEY_KINDS) == LIMITS_KEY_TASK)
#define LIMITS_KEY_IS_OUTSIDE(limits_key)	(((limits_key) & LIMITS_KEY_KINDS) != 0)	/* either */
#define LIMITS_KEY_IS_HASHED(limits_key)	(((limits_key) & LIMITS_KEY_HASHED) != 0)
#define LIMITS_KEY_HAS_LIMITS(limits_key) (((limits_key) & (LIMITS_KEY_MAIL - 1)) != 0)

/* Returns the hash of a group's name, never 0; the same on every machine */
extern int64 limits_group_hash(const char *name, size_t length);

/* Returns the key of a job under these limits; "kinds" is of LIMITS_KEY_KINDS */
extern int64 limits_key_of(const LimitScopes *scopes, int64 kinds);

static inline bool
limit_scopes_equal(const LimitScopes *a, const LimitScopes *b)
{
	return a->function_id == b->function_id && a->queue_id == b->queue_id &&
		a->group == b->group && a->endpoint_id == b->endpoint_id;
}

/* Check for a limit of function, queue or endpoint; a group has none without these */
static inline bool
limit_scopes_any(const LimitScopes *scopes)
{
	return scopes->function_id != 0 || scopes->queue_id != 0 || scopes->endpoint_id != 0;
}

/* Check whether a job under "needs" may run with what was reserved under "has" */
static inline bool
limit_scopes_cover(const LimitScopes *has, const LimitScopes *needs)
{
	return (needs->function_id == 0 || needs->function_id == has->function_id) &&
		(needs->queue_id == 0 || needs->queue_id == has->queue_id) &&
		(needs->group == 0 || needs->group == has->group) &&
		(needs->endpoint_id == 0 || needs->endpoint_id == has->endpoint_id);
}

/* Check whether a job or queue of that key has been told what the key was made of */
static inline bool
limit_scopes_known(const LimitScopes *scopes, int64 limits_key)
{
	return !LIMITS_KEY_IS_HASHED(limits_key) || scopes->group != 0 || scopes->endpoint_id != 0;
}

/* Those of a key without LIMITS_KEY_HASHED */
static inline LimitScopes
limit_scopes_of_key(int64 limits_key)
{
	LimitScopes scopes = {0, LIMITS_KEY_FUNCTION(limits_key), LIMITS_KEY_QUEUE(limits_key), 0};

	return scopes;
}

#endif							/* DEFER_LIMITS_KEY_H */
