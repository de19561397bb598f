/*
 * caps.c
 *		Counts of unfinished jobs under max_queued: see caps.h.
 *
 * A place is taken by the call that enqueues, after the job's row has been inserted, and
 * given back by a rollback or at the commit that ends the job (caps_xact.c).  So the count
 * has the jobs of transactions that have not ended, and a cap is never exceeded.
 *
 * A cap that is new, or whose count was lost, is counted from the table.  Meanwhile
 * transactions are open that know nothing of it, and no one waits for their end:
 *
 *	CUT			no place is taken; "generation" grows if it is counted first, and
 *				"counting" in any case; then a snapshot is taken
 *	COUNTING	rows are counted that the snapshot sees, and new ones of transactions
 *				that it sees in progress; ends that are noted from now on, the snapshot
 *				does not see
 *	KNOWN
 *
 * A job whose row is inserted where the count has passed already takes its place after
 * that; if its call knew of no cap, it sees after the insert that "generation" has grown,
 * and reads the settings again.  So the count is never too low.  It may be too high: for
 * jobs of transactions that are rolled back later, or end jobs that they have noted before.
 * When these end they see another number of the count, and mark it as doubtful.  Before an
 * enqueue is refused by such a count the jobs are counted again.  test/model/caps.pml is a
 * model of this.
 *
 * Groups have slots while they have jobs.  A role may take all of these as long as no
 * other needs one; then the role with most of them gives one up.  Groups without a slot
 * are counted together, which is never too low either: "rest".
 */
#include "postgres.h"

#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "base/timer.h"
#include "base/wait_events.h"
#include "shmem/caps.h"
#include "shmem/caps_slots.h"
#include "shmem/shmem.h"

/*
 * A doubtful count is made anew at the next refusal, and any count that is so old; but no
 * more than so much of the time is spent on it.
 */
#define COUNT_AGE		(600 * USECS_PER_SEC)
#define COUNT_SHARE		100

/* ------------------------------------------------------------------------
 * Places
 * ------------------------------------------------------------------------ */

/* Check whether it would be worth to count once more */
static bool
may_recount(const CapScope *scope)
{
	int64		now = monotonic_now();

	return (scope->doubtful || now - scope->counted_at > COUNT_AGE) && now >= scope->may_count_at;
}

/* Check for a place under one cap */
static CapTaken
check_need(const CapNeed *need, CapDenial *denial)
{
	CapScope   *scope = caps_find(need->cap);
	int32		count;

	denial->of_group = denial->together = denial->may_recount = false;
	if (scope == NULL || scope->phase != CAP_KNOWN)
		return CAP_UNCOUNTED;
	if (need->max >= 0)
	{
		count = caps_count(scope, 0, &denial->together);
		if (count >= need->max && count - caps_ended_here(scope, 0) >= need->max)
		{
			denial->may_recount = may_recount(scope);
			return CAP_FULL;
		}
	}
	if (need->group == 0)
		return CAP_TAKEN;
	count = caps_count(scope, need->group, &denial->together);
	if (count < need->group_max || count - caps_ended_here(scope, need->group) < need->group_max)
		return CAP_TAKEN;
	denial->of_group = true;
	denial->may_recount = may_recount(scope);
	return CAP_FULL;
}

/* The same under all; under caps_lock */
static CapTaken
check_needs(const CapNeed *needs, int n, CapDenial *denial)
{
	CapTaken	result = CAP_TAKEN;

	for (int i = 0; i < n; i++)
	{
		CapDenial	one;
		CapTaken	taken = check_need(&needs[i], &one);

		if (taken == CAP_TAKEN || (taken == CAP_FULL && result == CAP_FULL))
			continue;
		*denial = one;
		denial->need = i;
		result = taken;
		if (result == CAP_UNCOUNTED)
			break;
	}
	return result;
}

void
caps_refuse(const CapNeed *need)
{
	CapScope   *scope;

	LWLockAcquire(shared->caps_lock, LW_EXCLUSIVE);
	scope = caps_find(need->cap);
	if (scope != NULL)
		scope->refused++;
	LWLockRelease(shared->caps_lock);
}

CapTaken
caps_look(const CapNeed *needs, int n, CapDenial *denial, uint32 *count)
{
	CapTaken	result;

	LWLockAcquire(shared->caps_lock, LW_SHARED);
	result = check_needs(needs, n, denial);
	*count = caps->counting;
	LWLockRelease(shared->caps_lock);
	return result;
}

CapTaken
caps_take(const CapNeed *needs, int n, bool must, uint32 count, CapDenial *denial)
{
	CapTaken	result;

	caps_note_room(n);
	LWLockAcquire(shared->caps_lock, LW_EXCLUSIVE);
	result = check_needs(needs, n, denial);
	if (result == CAP_FULL && must)
		result = CAP_TAKEN;
	for (int i = 0; i < n && result != CAP_UNCOUNTED; i++)
	{
		CapScope   *scope = caps_find(needs[i].cap);

		if (result == CAP_TAKEN)
		{
			caps_add(scope, needs[i].group, 1);
			caps_note_taken(&needs[i], scope->counting);
		}

		/* a count that has begun meanwhile may have found the row */
		if (count == 0 || (int32) (scope->counting - count) > 0)
			scope->doubtful = true;
	}
	LWLockRelease(shared->caps_lock);
	return result;
}

/* ------------------------------------------------------------------------
 * Counting the rows
 * ------------------------------------------------------------------------ */

/* Begin, if it is needed and no other session is at it, *busy.  Returns the number, or 0 */
static uint32
try_begin(const CapNeed *need, bool again, bool *busy)
{
	CapScope   *scope;
	uint32		counting = 0;

	*busy = false;
	LWLockAcquire(shared->caps_lock, LW_EXCLUSIVE);
	scope = caps_find(need->cap);
	if (scope == NULL)
		scope = caps_make_scope(need);
	if (scope == NULL || scope->phase == CAP_CUT || scope->phase == CAP_COUNTING)
		*busy = true;
	else if (scope->phase == CAP_UNKNOWN || (again && may_recount(scope)))
	{
		caps_forget(scope);
		scope->phase = CAP_CUT;
		caps->counting = Max(caps->counting + 1, 1);
		counting = scope->counting = caps->counting;
		dlist_move_head(&scope->role->scopes, &scope->of_role);
		caps_note_load(need->cap, counting);
	}
	LWLockRelease(shared->caps_lock);
	return counting;
}

uint32
caps_load_begin(const CapNeed *need, bool again)
{
	bool		busy;
	uint32		count;

	ConditionVariablePrepareToSleep(&caps->counted);
	while ((count = try_begin(need, again, &busy)) == 0 && busy)
		ConditionVariableSleep(&caps->counted, defer_wait_event(DEFER_WAIT_CAP));
	ConditionVariableCancelSleep();
	return count;
}

/* The cap that is being counted, in that phase; NULL: its count was given up meanwhile */
static CapScope *
find_loading(int64 cap, uint32 count, CapPhase phase)
{
	CapScope   *scope = caps_find(cap);

	return scope != NULL && scope->counting == count && scope->phase == phase ? scope : NULL;
}

void
caps_load_cut(int64 cap, uint32 count)
{
	CapScope   *scope;

	LWLockAcquire(shared->caps_lock, LW_EXCLUSIVE);
	scope = find_loading(cap, count, CAP_CUT);
	if (scope != NULL)
		scope->phase = CAP_COUNTING;
	LWLockRelease(shared->caps_lock);
}

void
caps_load_add(int64 cap, uint32 count, int64 group, int32 n)
{
	CapScope   *scope;

	LWLockAcquire(shared->caps_lock, LW_EXCLUSIVE);
	scope = find_loading(cap, count, CAP_COUNTING);
	if (scope != NULL)
		caps_add(scope, group, n);
	LWLockRelease(shared->caps_lock);
}

void
caps_load_end(int64 cap, uint32 count, int64 duration)
{
	CapScope   *scope;

	LWLockAcquire(shared->caps_lock, LW_EXCLUSIVE);
	scope = find_loading(cap, count, CAP_COUNTING);
	if (scope != NULL)
	{
		scope->phase = CAP_KNOWN;
		scope->counted_at = monotonic_now();
		scope->may_count_at = scope->counted_at + duration * COUNT_SHARE;
		if (scope->negative)
			caps_free_empty_groups(scope);
		scope->negative = false;
	}
	caps_note_load(0, 0);
	LWLockRelease(shared->caps_lock);
	ConditionVariableBroadcast(&caps->counted);
}

void
caps_load_failed(int64 cap, uint32 counting)
{
	CapScope   *scope;

	LWLockAcquire(shared->caps_lock, LW_EXCLUSIVE);
	scope = caps_find(cap);
	if (scope != NULL && scope->counting == counting && scope->phase != CAP_KNOWN)
		caps_forget(scope);
	LWLockRelease(shared->caps_lock);
	ConditionVariableBroadcast(&caps->counted);
}

static void
change_all(void (*change) (CapScope *scope))
{
	if (!caps_in_use())
		return;
	LWLockAcquire(shared->caps_lock, LW_EXCLUSIVE);
	caps_each(change);
	LWLockRelease(shared->caps_lock);
}

static void
doubt(CapScope *scope)
{
	scope->doubtful = true;
}

void
caps_doubt_all(void)
{
	change_all(doubt);
}

void
caps_forget_all(void)
{
	change_all(caps_forget);
}

void
caps_state(int64 cap, CapState *state)
{
	CapScope   *scope;

	memset(state, 0, sizeof(CapState));
	if (caps == NULL)
		return;
	LWLockAcquire(shared->caps_lock, LW_SHARED);
	scope = caps_find(cap);
	if (scope != NULL)
	{
		state->counted = scope->phase == CAP_KNOWN;
		state->count = scope->count;
		state->refused = scope->refused;
		state->together = scope->rest;
	}
	LWLockRelease(shared->caps_lock);
}
