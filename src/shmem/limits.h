/*
 * limits.h
 *		Concurrency limits and rates of functions, queues and endpoints and of groups of
 *		the first two, and pauses.
 *
 * A limit has a slot in shared memory as long as a ready queue is under it or
 * jobs under it run, and longer while there is room: however many limits a role
 * makes, they take no slot from another's, and of those that are not needed the
 * role that has most gives up one.  A limit without a value, that is
 * new or has changed, is read by the scheduler (process/tasks.c); until then
 * there is no capacity under it.
 */
#ifndef DEFER_LIMITS_H
#define DEFER_LIMITS_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "pure/rate.h"
#include "base/limits_key.h"

#define LIMIT_UNKNOWN	(-2)
#define LIMIT_NONE		(-1)
#define LIMIT_PAUSED	0

/* Of a group: as the function or queue says for each of its groups */
#define LIMIT_INHERITED	(-3)

/* A limit as it stands in the tables */
typedef struct LimitValue
{
	char		kind;			/* 'f', 'q' or 'e' of an endpoint */
	int32		id;
	int64		group;			/* hash of its name; 0: the function, queue or
								 * endpoint itself */
	int32		limit;			/* LIMIT_NONE, LIMIT_PAUSED or more; of a
								 * group LIMIT_INHERITED, too */
	int32		group_limit;	/* these: of a function or queue; for each
								 * group */
	bool		group_overrides;	/* some groups have limits of their own */
	bool		cancel;
	bool		strict;			/* of a function or queue: jobs of each group
								 * run in order, so one at a time */
	double		weight;			/* of a group; 0: none was set */
	Rate		rate;			/* of a group the interval may be -1:
								 * inherited */
	Rate		group_rate;
	TimestampTz used;			/* tokens of a long rate, as rate_used has
								 * them; 0: none */
} LimitValue;

/* What a transaction has changed */
typedef struct LimitChange
{
	char		kind;
	int32		id;
	int32		limit;			/* of all but a group: it is that now */
	int64		group;			/* 0: not of a group */
	bool		rated;			/* it has a rate, which is to be read */
} LimitChange;

/*
 * A committed transaction has changed limits; NULL: more than it could remember.
 * Returns true if the scheduler is to read some again: two commits may come here in
 * another order than they were made, and a rolled back subtransaction leaves a wrong
 * value.  Until they are read groups have no capacity.
 */
extern bool limits_changed(Oid database, const LimitChange *changes, int n);

/* All limits of the database are to be read again; they hold until then */
extern void limits_reload(Oid database);

/*
 * The next limits that are to be read, at most "max", of which kind, id and
 * group are set; call it before the snapshot.  limit_loaded() must follow for each, or
 * limits_reload() if that is not possible.
 */
extern int	limits_to_load(Oid database, LimitValue *values, int max);

/* A limit was read; without effect if it has changed since limits_to_load() */
extern void limit_loaded(Oid database, const LimitValue *value);

/* Which of a job's limits */
typedef enum LimitPart
{
	LIMITS_ALL,
	LIMITS_NO_GROUP,			/* of function, queue and endpoint */
	LIMITS_OF_GROUP
} LimitPart;

/* Returns the places that are taken under a limit, or (not 0) under that of a group of it */
extern int	limit_running(Oid database, char kind, int32 id, int64 group);

/*
 * Take a place under each of these limits, or (false) under none, as one has no
 * capacity; and give it back, which must be done once.  True: another process may
 * have waited for it, wake the scheduler.
 */
extern bool limits_reserve(Oid database, const LimitScopes *scopes, LimitPart part);
extern bool limits_release(Oid database, const LimitScopes *scopes, LimitPart part);

/*
 * Take a place under each of them, whatever their capacity: of a job of that owner, which
 * ran before the server was started.  False: there are no slots for these limits.
 */
extern bool limits_occupy(Oid database, Oid owner, const LimitScopes *scopes);
extern bool limits_have_capacity(Oid database, const LimitScopes *scopes);

/* Check whether more places are taken than a limit has: it was lowered */
extern bool limits_are_exceeded(Oid database, const LimitScopes *scopes);

/*
 * Check whether jobs under these limits are cancelled where they find no capacity
 */
extern bool limits_may_cancel(Oid database, const LimitScopes *scopes);

/*
 * Check whether the function, or the group in it, is at its limit, not paused,
 * and such jobs are cancelled.  Capacity that is only reserved does not count:
 * the job that is about to be claimed with it would be cancelled, too.
 */
extern bool limits_cancel_at_limit(Oid database, const LimitScopes *scopes);

/*
 * The first job in the order of a group may be another one: ready queues that wait for it
 * are looked at again.  Call it after the commit.  True: see limits_release().
 */
extern bool limits_order_changed(Oid database, char kind, int32 id, int64 group);
extern bool limits_orders_changed(Oid database);	/* of all groups */

/* ------------------------------------------------------------------------
 * Rates: rates.c
 * ------------------------------------------------------------------------ */

/* An attempt is begun this long after it has taken its token, at most (microseconds) */
#define RATE_WAIT	(40 * 1000)

/* Tokens of rates with a longer interval are written down before they are used */
#define RATE_LONG	(10 * USECS_PER_SEC)

/* Limits that a job is under at most: of function, queue, endpoint; of group under two */
#define LIMITS_OF_JOB	5

/* The tokens of a limit that are to be written down */
typedef struct RateUsed
{
	char		kind;
	int32		id;
	int64		group;
	TimestampTz until;			/* Rate's "used", of the wall clock */
} RateUsed;

typedef enum TokenOutcome
{
	TOKEN_NOT_NEEDED,
	TOKEN_TAKEN,
	TOKEN_LATER					/* no limit has given one */
} TokenOutcome;

typedef struct Token
{
	int64		at;				/* monotonic time: the attempt begins then, up
								 * to RATE_WAIT from now; TOKEN_LATER: no
								 * earlier than that, 0: not known */
	TimestampTz started_at;		/* the same of the wall clock */
	bool		waited;			/* processes wait for a change: wake the
								 * scheduler */
	int			nused;
	RateUsed	used[LIMITS_OF_JOB];	/* of long rates */
} Token;

/*
 * Take a token under each of these limits that has a rate, or under none; it is not
 * given back.  "waits": the job is counted as one that was claimed, and is not any
 * more if it needs no further one.
 */
extern TokenOutcome rates_take_token(Oid database, const LimitScopes *scopes, bool waits,
									 Token *token);

/*
 * So many jobs that were claimed and have taken no token are not to be begun.  True: see
 * limits_release()
 */
extern bool rates_without_token(Oid database, const LimitScopes *scopes, int n);

/* When the next token of a limit is there; 0: it is now, or there is no rate that is known */
extern TimestampTz rates_next_token(Oid database, char kind, int32 id, int64 group);

#endif							/* DEFER_LIMITS_H */
