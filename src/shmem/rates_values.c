/*
 * rates_values.c
 *		The rates of limits: what changes them, and what counts as used when a slot is
 *		new.  See rates.c.
 *
 * What was used is lost with the slot.  Of a slot that is given away while it matters
 * the time is kept, and a new slot counts as if all of its burst had been used then: of
 * a group in the slot of its function or queue, of the latter by a hash in "lost".  So a
 * role with very many groups makes new ones of its own wait.  Each slot of a database
 * that was just opened counts so, too, for tokens that were taken before.  Tokens may
 * lie RATE_WAIT ahead of when they were taken.  Intervals over RATE_LONG are in a table
 * instead (config/limits_load.c).
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/timer.h"
#include "shmem/rates.h"
#include "shmem/ready_queue_slots.h"

/* The clocks are read in so short a time, or again (microseconds; times) */
#define CLOCK_READ		50
#define CLOCK_TRIES		10

/* The wall clock was set, if it is off by more (microseconds) */
#define CLOCK_SET		1000

#define LOST_SLOTS		1024

typedef struct RateShared
{
	int64		wall_ahead;		/* the wall clock of the monotonic one: the
								 * same for all tokens until it is set */
	int64		lost[LOST_SLOTS];	/* monotonic times */
} RateShared;

static RateShared *rates = NULL;

/* ------------------------------------------------------------------------
 * Shared memory, and slots; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

Size
rates_shmem_size(void)
{
	return MAXALIGN(sizeof(RateShared));
}

void
rates_shmem_init(void)
{
	bool		found;

	rates = ShmemInitStruct("defer rates", sizeof(RateShared), &found);
	if (!found)
		memset(rates, 0, sizeof(RateShared));
}

bool
rate_is_long(const Rate *rate)
{
	return rate->interval > RATE_LONG;
}

static int64 *
lost_of(const LimitSlot *slot)
{
	LimitTag	tag = slot->tag;

	tag.group = 0;
	return &rates->lost[hash_bytes((const unsigned char *) &tag, sizeof(tag)) % LOST_SLOTS];
}

void
rate_init(LimitSlot *slot, bool of_group)
{
	slot->rate = (Rate) {of_group ? RATE_INHERITED : 0, 1};
	slot->group_rate = (Rate) {0, 1};
	slot->used = slot->lost = 0;
	slot->planned = slot->waiting = 0;
	slot->fresh = true;
}

void
rate_forget(const LimitSlot *slot)
{
	const int64 now = monotonic_now();
	LimitSlot  *parent = slot->tag.group == 0 ? NULL :
		limit_slot(slot->tag.database, slot->tag.kind, slot->tag.id, 0);
	int64	   *lost = parent != NULL ? &parent->lost : lost_of(slot);

	*lost = Max(*lost, slot->lost);
	if (slot->used > now)
		*lost = Max(*lost, Min(slot->used, now + RATE_WAIT));
}

/*
 * The rate of a limit that has just got its slot is known: what counts as used.  A
 * table has told that of a long one: no later than it ever is, the clock may have
 * been set.
 */
static void
set_fresh(LimitSlot *slot, const LimitSlot *parent, const Rate *rate,
		  const ReadyDatabase *database)
{
	const int64 lost = Max(*lost_of(slot), parent != NULL ? parent->lost : 0);

	if (rate->interval == 0)
		slot->used = 0;
	else if (rate_is_long(rate))
		slot->used = Min(slot->used, rate_all_used(rate, monotonic_now()));
	else
		slot->used = rate_all_used(rate, Max(database->opened_at + RATE_WAIT, lost));
	slot->fresh = false;
}

static void
set_used(LimitSlot *slot, const LimitSlot *parent, const Rate *old, const Rate *rate,
		 const ReadyDatabase *database)
{
	if (rate->interval == RATE_UNKNOWN)
		return;
	if (slot->fresh)
		set_fresh(slot, parent, rate, database);
	else if (old->interval > 0 && rate->interval > 0)
		slot->used = rate_change(old, rate, slot->used, monotonic_now(), RATE_WAIT);
	else
		slot->used = 0;			/* what began without a rate is not known */
}

void
rate_inherit(LimitSlot *slot, const LimitSlot *parent, const Rate *old,
			 const ReadyDatabase *database)
{
	Rate		before = *old;
	Rate		rate = rate_of_group(slot, parent);

	if (slot->rate.interval != RATE_INHERITED)
		before.interval = slot->rate.interval;
	set_used(slot, parent, &before, &rate, database);
}

void
rate_set(LimitSlot *slot, const LimitSlot *parent, const LimitValue *value,
		 const ReadyDatabase *database)
{
	Rate		old = slot->rate;
	Rate		rate;

	if (parent != NULL)
		old = (Rate)
	{
		old.interval == RATE_INHERITED ? parent->group_rate.interval : old.interval,
			parent->group_rate.burst
	};
	if (slot->fresh && value->used != 0)
		slot->used = monotonic_now() + (value->used - GetCurrentTimestamp());
	slot->rate = value->rate;
	slot->group_rate = value->group_rate;
	rate = parent != NULL ? rate_of_group(slot, parent) : rate_of_limit(slot);
	set_used(slot, parent, &old, &rate, database);
}

int64
rates_wall_ahead(void)
{
	int64		before;
	int64		after;
	TimestampTz wall;
	int			tries = 0;

	do
	{
		before = monotonic_now();
		wall = GetCurrentTimestamp();
		after = monotonic_now();
	} while (after - before > CLOCK_READ && ++tries < CLOCK_TRIES);
	if (rates->wall_ahead < wall - after - CLOCK_SET ||
		rates->wall_ahead > wall - before + CLOCK_SET)
		rates->wall_ahead = wall - after;
	return rates->wall_ahead;
}
