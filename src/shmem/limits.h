/*
 * limits.h
 *		Concurrency limits of functions and queues, and pauses.
 *
 * A limit has a slot in shared memory as long as a ready queue is under it or
 * jobs under it run, and longer while there is room: however many limits a role
 * makes, they take no slot from another's.  A limit without a value, that is
 * new or has changed, is read by the scheduler (process/tasks.c); until then
 * there is no capacity under it.
 */
#ifndef DEFER_LIMITS_H
#define DEFER_LIMITS_H

#include "postgres.h"

#define LIMIT_UNKNOWN	(-2)
#define LIMIT_NONE		(-1)
#define LIMIT_PAUSED	0

/* A limit as it stands in the tables */
typedef struct LimitValue
{
	char		kind;			/* 'f' or 'q' */
	int32		id;
	int32		limit;
	bool		cancel;
} LimitValue;

/*
 * A committed transaction has changed a limit to that.  Returns true if the
 * scheduler is to read it again: two commits may come here in another order
 * than they were made, and a rolled back subtransaction leaves a wrong value.
 */
extern bool limit_changed(Oid database, char kind, int32 id, int32 limit);

/* All limits of the database are to be read again; they hold until then */
extern void limits_reload(Oid database);

/*
 * The next limits that are to be read, at most "max", of which kind and id are
 * set; call it before the snapshot.  limit_loaded() must follow for each, or
 * limits_reload() if that is not possible.
 */
extern int	limits_to_load(Oid database, LimitValue *values, int max);

/* A limit was read; without effect if it has changed since limits_to_load() */
extern void limit_loaded(Oid database, const LimitValue *value);

/* Reserve capacity for one worker or delivery under the limits of a limits_key; false: none */
extern bool limits_reserve(Oid database, int64 limits_key);
extern void limits_release(Oid database, int64 limits_key);
extern bool limits_have_capacity(Oid database, int64 limits_key);

/* Returns the places that are taken under a limit of a function or queue */
extern int	limit_running(Oid database, char kind, int32 id);

/*
 * Check whether jobs of that limits_key's function are cancelled where they
 * find no capacity
 */
extern bool limits_may_cancel(Oid database, int64 limits_key);

/*
 * Check whether the function of that limits_key is at its limit, not paused,
 * and such jobs are cancelled.  Capacity that is only reserved does not count:
 * the job that is about to be claimed with it would be cancelled, too.
 */
extern bool limits_cancel_at_limit(Oid database, int64 limits_key);

#endif							/* DEFER_LIMITS_H */
