/*
 * rates.c
 *		Rates of limits: tokens, of which each attempt takes one when it begins.
 *
 * The arithmetic is in pure/rate.c.  A limit has one time, "used", which changes
 * under ready_lock; a token is taken under all limits of a job at one time, or none
 * is.  That time may lie up to RATE_WAIT ahead: the process waits for it, and the
 * attempt counts as begun at it.  So what the process is late by is lost to that job
 * only, and tokens that come each millisecond are all used.
 *
 * Claims do not take tokens.  So that they take no more jobs than there are tokens
 * for, a limit counts those that were claimed and have none yet:
 *
 *		planned		from ready_queue_choose() to _scan_end() or _abort()
 *		waiting		then: entries of batches (BatchEntry.counted), and deliveries
 *
 * These counts keep no rate: they keep claims from taking what they could not begin
 * (test/model/tokens.pml).
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "base/timer.h"
#include "shmem/rates.h"
#include "shmem/ready_queue_slots.h"

/*
 * Claims are made so long before the token, and take jobs whose tokens come so long
 * after; not if intervals are long, where being late by a claim is little (microseconds)
 */
#define OPEN_AHEAD		(20 * 1000)
#define FILL_AHEAD		(30 * 1000)
#define AHEAD_INTERVAL	(500 * 1000)

/* A limit that has a rate */
typedef struct Rated
{
	LimitSlot  *slot;
	Rate		rate;
} Rated;

/* ------------------------------------------------------------------------
 * What can be claimed; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

/* Add those limits that have a rate, or one that is not known, to a list */
static int
add_rated(LimitSlot *const *limits, LimitSlot *const *groups, Rated *rated, int n)
{
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		LimitSlot  *slot = groups != NULL ? groups[i] : limits[i];
		Rate		rate;

		if (slot == NULL)
			continue;
		rate = groups != NULL ? rate_of_group(slot, limits[i]) : rate_of_limit(slot);
		if (rate.interval != 0)
			rated[n++] = (Rated) {slot, rate};
	}
	return n;
}

/* Jobs that are cancelled if they find no token wait for none */
static bool
may_wait(LimitSlot *const *limits)
{
	return limits[0] == NULL || !limits[0]->cancel;
}

static int64
ahead(const Rate *rate, bool wait, bool fill)
{
	return !wait || rate->interval >= AHEAD_INTERVAL ? 0 : fill ? FILL_AHEAD : OPEN_AHEAD;
}

static int
claimed(const LimitSlot *slot)
{
	return slot->planned + slot->waiting;
}

/* How many more jobs may be claimed under a limit whose tokens may come so much later */
static int
room(const Rated *rated, int64 now, int64 later)
{
	if (rated->rate.interval == RATE_UNKNOWN)
		return 0;
	return Max(rate_room(&rated->rate, rated->slot->used, now, now + later) -
			   claimed(rated->slot), 0);
}

int
rates_room(LimitSlot *const *limits, bool fill)
{
	Rated		rated[LIMITS_OF_KEY];
	int			n = add_rated(limits, NULL, rated, 0);
	int			least = PG_INT32_MAX;
	int64		now = n > 0 ? monotonic_now() : 0;

	for (int i = 0; i < n; i++)
		least = Min(least, room(&rated[i], now, ahead(&rated[i].rate, may_wait(limits), fill)));
	return least;
}

int64
rates_opening(LimitSlot *const *limits)
{
	Rated		rated[LIMITS_OF_KEY];
	int			n = add_rated(limits, NULL, rated, 0);
	int64		now = n > 0 ? monotonic_now() : 0;
	int64		opening = 0;

	for (int i = 0; i < n; i++)
	{
		const Rate *rate = &rated[i].rate;
		LimitSlot  *slot = rated[i].slot;
		int64		next;

		if (rate->interval == RATE_UNKNOWN)
			return PG_INT64_MAX;
		next = rate_next_after(rate, slot->used, now, claimed(slot));
		opening = Max(opening, next - ahead(rate, may_wait(limits), false));
	}
	return opening;
}

int64
rates_reopening(Oid database, const LimitScopes *scopes)
{
	const int64 now = monotonic_now();
	LimitSlot  *limits[LIMITS_OF_KEY];
	LimitSlot  *groups[LIMITS_OF_KEY];
	Rated		rated[2 * LIMITS_OF_KEY];
	int64		first = PG_INT64_MAX;
	int			n;

	if (!limits_find(database, scopes, limits, groups))
		return first;
	n = add_rated(limits, NULL, rated, 0);
	n = add_rated(limits, groups, rated, n);
	for (int i = 0; i < n; i++)
	{
		const Rate *rate = &rated[i].rate;
		const LimitSlot *slot = rated[i].slot;
		const int64 later = ahead(rate, may_wait(limits), false);

		if (slot->nusers > 0 && rate->interval != RATE_UNKNOWN && room(&rated[i], now, later) == 0)
			first = Min(first, rate_next_after(rate, slot->used, now, claimed(slot)) - later);
	}
	return first;
}

int
rates_room_of_queue(const ReadyQueue *slot, bool now_only)
{
	LimitSlot  *const *limits = slot->bundle->limits;
	Rated		rated[2 * LIMITS_OF_KEY];
	int			n = add_rated(limits, NULL, rated, 0);
	int			least = PG_INT32_MAX;
	int64		now;

	n = add_rated(limits, slot->groups, rated, n);
	now = n > 0 ? monotonic_now() : 0;
	for (int i = 0; i < n; i++)
		least = Min(least, room(&rated[i], now, now_only ? 0 :
								ahead(&rated[i].rate, may_wait(limits), true)));
	return least;
}

bool
rates_have_token(LimitSlot *const *limits, LimitSlot *const *groups)
{
	Rated		rated[2 * LIMITS_OF_KEY];
	int			n = add_rated(limits, NULL, rated, 0);
	int64		now;

	n = add_rated(limits, groups, rated, n);
	now = n > 0 ? monotonic_now() : 0;
	for (int i = 0; i < n; i++)
	{
		if (room(&rated[i], now, ahead(&rated[i].rate, may_wait(limits), false)) == 0)
			return false;
	}
	return true;
}

LimitSlot *
rates_hold(const ReadyQueue *slot, int64 *opening)
{
	LimitSlot  *const *limits = slot->bundle->limits;
	Rated		rated[LIMITS_OF_KEY];
	int			n = add_rated(limits, slot->groups, rated, 0);
	int64		now = n > 0 ? monotonic_now() : 0;
	LimitSlot  *holds = NULL;

	*opening = 0;
	for (int i = 0; i < n; i++)
	{
		const Rate *rate = &rated[i].rate;
		int64		later = ahead(rate, may_wait(limits), false);
		int64		next;

		if (room(&rated[i], now, later) > 0)
			continue;
		next = rate->interval == RATE_UNKNOWN ? now : rate_next(rate, rated[i].slot->used, now);
		if (next - later > now && next - later > *opening)
		{
			holds = rated[i].slot;
			*opening = next - later;
		}
		else if (holds == NULL)
			holds = rated[i].slot;	/* claimed jobs wait for its tokens */
	}
	return holds;
}

static bool
at_limit(LimitSlot *slot, const Rate *rate)
{
	const int64 now = monotonic_now();

	return rate->interval > 0 && rate_room(rate, slot->used, now, now) <= slot->waiting;
}

bool
rates_at_limit(LimitSlot *const *limits, LimitSlot *const *groups)
{
	Rate		rate = rate_of_limit(limits[0]);

	if (at_limit(limits[0], &rate))
		return true;
	if (groups[0] == NULL)
		return false;
	rate = rate_of_group(groups[0], limits[0]);
	return at_limit(groups[0], &rate);
}

/* ------------------------------------------------------------------------
 * Jobs that are claimed; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

/* Find queues that wait until claimed jobs have their tokens; true: see limits_give_back() */
static bool
place_waiting(LimitSlot *const *groups)
{
	bool		waited = false;

	for (int i = 0; i < LIMITS_OF_KEY; i++)
		waited = (groups[i] != NULL && ready_place_blocked(groups[i])) || waited;
	return waited;
}

/* All limits of the job count it, whichever of them have a rate: that may change meanwhile */
static void
count(LimitSlot *const *limits, int planned, int waiting)
{
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (limits[i] == NULL)
			continue;
		limits[i]->planned += planned;
		limits[i]->waiting += waiting;
		Assert(limits[i]->planned >= 0 && limits[i]->waiting >= 0);
	}
}

void
rates_plan(const ReadyQueue *slot, int planned)
{
	count(slot->bundle->limits, planned, 0);
	count(slot->groups, planned, 0);
}

/* Returns whether processes may have waited for the jobs that are not counted any more */
static bool
count_of_job(Oid database, const LimitScopes *scopes, int planned, int waiting)
{
	LimitSlot  *limits[LIMITS_OF_KEY];
	LimitSlot  *groups[LIMITS_OF_KEY];
	bool		found = limits_find(database, scopes, limits, groups);
	bool		closed;

	Assert(found);				/* places are taken under them */
	if (!found)
		return false;
	closed = rates_room(limits, false) == 0;
	count(limits, planned, waiting);
	count(groups, planned, waiting);
	return place_waiting(groups) || (closed && rates_room(limits, false) > 0);
}

bool
rates_planned(Oid database, const LimitScopes *scopes, int planned, int taken)
{
	return planned > 0 && count_of_job(database, scopes, -planned, taken);
}

/* ------------------------------------------------------------------------
 * Tokens
 * ------------------------------------------------------------------------ */

/*
 * Returns true if a limit that ready queues are under has used tokens that were to come before
 * that of the job, as another limit has none so early: it looked open, and may not be
 */
static bool
take(Rated *rated, int n, int64 now, Token *token)
{
	const int64 to_wall = rates_wall_ahead();
	bool		skipped = false;

	token->started_at = token->at + to_wall;
	for (int i = 0; i < n; i++)
	{
		LimitSlot  *slot = rated[i].slot;

		skipped = skipped || (slot->nusers > 0 &&
							  rate_next(&rated[i].rate, slot->used, now) < token->at);
		slot->used = rate_take(&rated[i].rate, slot->used, token->at);
		if (rate_is_long(&rated[i].rate))
		{
			const RateUsed used = {(char) slot->tag.kind, slot->tag.id, slot->tag.group,
				slot->used + to_wall};

			token->used[token->nused++] = used;
		}
	}
	return skipped;
}

/* Set token->at to when all of the limits have a token; false: that is not known */
static bool
find_time(const Rated *rated, int n, int64 now, Token *token)
{
	token->at = now;
	for (int i = 0; i < n; i++)
	{
		if (rated[i].rate.interval == RATE_UNKNOWN)
		{
			token->at = 0;
			return false;
		}
		token->at = Max(token->at, rate_next(&rated[i].rate, rated[i].slot->used, now));
	}
	return true;
}

TokenOutcome
rates_take_token(Oid database, const LimitScopes *scopes, bool waits, Token *token)
{
	LimitSlot  *limits[LIMITS_OF_KEY];
	LimitSlot  *groups[LIMITS_OF_KEY];
	Rated		rated[2 * LIMITS_OF_KEY];
	TokenOutcome outcome = TOKEN_LATER;
	bool		skipped = false;

	*token = (Token) {0};
	if (!limit_scopes_any(scopes))
		return TOKEN_NOT_NEEDED;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	if (limits_find(database, scopes, limits, groups))
	{
		const int64 now = monotonic_now();
		int			n = add_rated(limits, NULL, rated, 0);

		n = add_rated(limits, groups, rated, n);
		if (n == 0)
			outcome = TOKEN_NOT_NEEDED;
		else if (find_time(rated, n, now, token) && token->at <= now + RATE_WAIT)
		{
			skipped = take(rated, n, now, token);
			outcome = TOKEN_TAKEN;
		}
		if (outcome != TOKEN_LATER && waits)
			token->waited = count_of_job(database, scopes, 0, -1);
		else if (outcome == TOKEN_TAKEN)
		{
			/* no claim has told when the next one comes */
			(void) place_waiting(groups);
			token->waited = true;
		}
		token->waited = token->waited || skipped;
	}
	LWLockRelease(shared->ready_lock);
	return outcome;
}

bool
rates_without_token(Oid database, const LimitScopes *scopes, int n)
{
	bool		waited;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	waited = count_of_job(database, scopes, 0, -n);
	LWLockRelease(shared->ready_lock);
	return waited;
}

TimestampTz
rates_next_token(Oid database, char kind, int32 id, int64 group)
{
	const int64 now = monotonic_now();
	LimitSlot  *parent;
	LimitSlot  *slot;
	Rate		rate = {0, 1};
	int64		next = now;

	LWLockAcquire(shared->ready_lock, LW_SHARED);
	parent = id != 0 ? limit_slot(database, kind, id, 0) : NULL;
	slot = parent != NULL && group != 0 ? limit_slot(database, kind, id, group) : parent;
	if (slot != NULL)
		rate = group != 0 ? rate_of_group(slot, parent) : rate_of_limit(slot);
	if (rate.interval > 0)
		next = rate_next(&rate, slot->used, now);
	LWLockRelease(shared->ready_lock);
	return next > now ? GetCurrentTimestamp() + (next - now) : 0;
}
