/*
 * rates.h
 *		Rates, for the files of this folder that work on slots; see limits.h for what
 *		others need.
 */
#ifndef DEFER_RATES_H
#define DEFER_RATES_H

#include "shmem/ready_queue_slots.h"

/* The rate of a function or queue; of a group under "parent".  Its interval may be RATE_UNKNOWN */
static inline Rate
rate_of_limit(const LimitSlot *slot)
{
	return slot->limit == LIMIT_UNKNOWN ? (Rate)
	{
		RATE_UNKNOWN, 1
	} : slot->rate;
}

static inline Rate
rate_of_group(const LimitSlot *slot, const LimitSlot *parent)
{
	Rate		rate = parent->group_rate;

	if (slot->limit == LIMIT_UNKNOWN || parent->limit == LIMIT_UNKNOWN ||
		parent->group_limit == LIMIT_UNKNOWN)
		rate.interval = RATE_UNKNOWN;
	else if (slot->rate.interval != RATE_INHERITED)
		rate.interval = slot->rate.interval;
	return rate;
}

/* rates_values.c */
extern Size rates_shmem_size(void);
extern void rates_shmem_init(void);
extern bool rate_is_long(const Rate *rate);

/*
 * A slot is new; it is given away.  Its value was read ("parent": of its function or
 * queue, NULL if it is that itself); that of its parent was, which had "old" for groups.
 */
extern void rate_init(LimitSlot *slot, bool of_group);
extern void rate_forget(const LimitSlot *slot);
extern void rate_set(LimitSlot *slot, const LimitSlot *parent, const LimitValue *value,
					 const ReadyDatabase *database);
extern void rate_inherit(LimitSlot *slot, const LimitSlot *parent, const Rate *old,
						 const ReadyDatabase *database);


/*
 * How far the wall clock is ahead of the monotonic one.  No token has a time that is
 * still to come for the wall clock when it is for the other.
 */
extern int64 rates_wall_ahead(void);

/*
 * rates.c: tokens.  A queue is open for claims if its limits have tokens, now or very
 * soon, for more than the jobs that were claimed already.  Times are monotonic.
 */

/*
 * The limits of function, queue and endpoint: jobs that may be claimed, and when the first
 * may be
 */
extern int	rates_room(LimitSlot *const *limits, bool fill);
extern int64 rates_opening(LimitSlot *const *limits);

/*
 * When the next token comes under one of the limits of a job whose claim has used the last
 * one.  PG_INT64_MAX: there are more, or no ready queue is under these limits
 */
extern int64 rates_reopening(Oid database, const LimitScopes *scopes);

/*
 * The same of a queue, with those of its group.  rates_hold(): what it waits for: NULL:
 * nothing; else this limit, until *opening, or (0) until that limit changes.
 */
extern int	rates_room_of_queue(const ReadyQueue *slot, bool now_only);
extern LimitSlot *rates_hold(const ReadyQueue *slot, int64 *opening);

/* Check whether all limits of a job have a token that no claimed job waits for */
extern bool rates_have_token(LimitSlot *const *limits, LimitSlot *const *groups);

/* No token is there that no claimed job waits for: jobs with at_limit "cancel" are cancelled */
extern bool rates_at_limit(LimitSlot *const *limits, LimitSlot *const *groups);

/* A claim is planned to take jobs, and has taken so many; true: see limits_give_back() */
extern void rates_plan(const ReadyQueue *slot, int planned);
extern bool rates_planned(Oid database, const LimitScopes *scopes, int planned, int taken);

#endif							/* DEFER_RATES_H */
