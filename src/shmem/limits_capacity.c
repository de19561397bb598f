/*
 * limits_capacity.c
 *		Places under the limits of a job, for other folders: see limits.h.
 */
#include "postgres.h"

#include "storage/lwlock.h"

#include "shmem/rates.h"
#include "shmem/ready_queue_slots.h"

bool
limits_find(Oid database, const LimitScopes *scopes, LimitSlot **limits, LimitSlot **groups)
{
	LimitTag	tags[2 * LIMITS_OF_KEY];

	limit_tags(database, scopes, false, tags);
	limit_tags(database, scopes, true, tags + LIMITS_OF_KEY);
	for (int i = 0; i < 2 * LIMITS_OF_KEY; i++)
	{
		LimitSlot  *slot = NULL;

		if (tags[i].id != 0 &&
			(slot = hash_search(limits_table(), &tags[i], HASH_FIND, NULL)) == NULL)
			return false;
		if (i < LIMITS_OF_KEY)
			limits[i] = slot;
		else
			groups[i - LIMITS_OF_KEY] = slot;
	}
	return true;
}

/* Check whether the function, or the group in it, has no capacity, or no token now */
static bool
is_at_limit(LimitSlot *const *limits, LimitSlot *const *groups)
{
	const LimitSlot *slot = limits[0];
	int32		of_group;

	if ((slot->limit > 0 && slot->running - slot->choosing >= slot->limit) ||
		rates_at_limit(limits, groups))
		return true;
	if (groups[0] == NULL)
		return false;
	of_group = limit_of_group(groups[0], slot);
	return of_group > 0 && groups[0]->running - groups[0]->choosing >= of_group;
}

bool
limits_have_capacity(Oid database, const LimitScopes *scopes)
{
	LimitSlot  *limits[LIMITS_OF_KEY];
	LimitSlot  *groups[LIMITS_OF_KEY];
	bool		capacity;

	if (!limit_scopes_any(scopes))
		return true;
	LWLockAcquire(shared->ready_lock, LW_SHARED);
	capacity = limits_find(database, scopes, limits, groups) &&
		limits_have_capacity_locked(limits) && limits_first_full(groups, limits) == NULL &&
		rates_have_token(limits, groups);
	LWLockRelease(shared->ready_lock);
	return capacity;
}

int
limit_running(Oid database, char kind, int32 id, int64 group)
{
	LimitSlot  *slot;
	int			running;

	if (id == 0)
		return 0;
	LWLockAcquire(shared->ready_lock, LW_SHARED);
	slot = limit_slot(database, kind, id, group);
	running = slot == NULL ? 0 : slot->running;
	LWLockRelease(shared->ready_lock);
	return running;
}

bool
limits_reserve(Oid database, const LimitScopes *scopes, LimitPart part)
{
	LimitSlot  *limits[LIMITS_OF_KEY];
	LimitSlot  *groups[LIMITS_OF_KEY];
	bool		capacity;

	if (!limit_scopes_any(scopes) || (part == LIMITS_OF_GROUP && scopes->group == 0))
		return true;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	capacity = limits_find(database, scopes, limits, groups) &&
		(part == LIMITS_OF_GROUP || limits_have_capacity_locked(limits)) &&
		(part == LIMITS_NO_GROUP || limits_first_full(groups, limits) == NULL);
	if (capacity && part != LIMITS_OF_GROUP)
		limits_take(limits, 0);
	if (capacity && part != LIMITS_NO_GROUP)
		limits_take(groups, 0);
	LWLockRelease(shared->ready_lock);
	return capacity;
}

bool
limits_occupy(Oid database, Oid owner, const LimitScopes *scopes)
{
	LimitSlot  *limits[LIMITS_OF_KEY];
	LimitSlot  *groups[LIMITS_OF_KEY] = {0};
	ReadyDatabase *db;
	bool		attached;

	if (!limit_scopes_any(scopes))
		return true;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	attached = db != NULL && limits_attach(db, owner, scopes, limits);
	if (attached && scopes->group != 0 &&
		!limits_attach_groups(db, owner, limits, scopes->group, groups))
	{
		limits_detach(limits);
		attached = false;
	}
	if (attached)
	{
		limits_take(limits, 0);
		limits_take(groups, 0);
		limits_detach(limits);	/* what runs keeps them */
		limits_detach(groups);
	}
	LWLockRelease(shared->ready_lock);
	return attached;
}

bool
limits_release(Oid database, const LimitScopes *scopes, LimitPart part)
{
	bool		waited = false;

	if (!limit_scopes_any(scopes) || (part == LIMITS_OF_GROUP && scopes->group == 0))
		return false;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	if (part != LIMITS_OF_GROUP)
		waited = limits_give_back(database, scopes, false, 0);
	if (part != LIMITS_NO_GROUP)
		waited = limits_give_back(database, scopes, true, 0) || waited;
	LWLockRelease(shared->ready_lock);
	return waited;
}

bool
limits_are_exceeded(Oid database, const LimitScopes *scopes)
{
	LimitSlot  *limits[LIMITS_OF_KEY];
	LimitSlot  *groups[LIMITS_OF_KEY];
	bool		exceeded = false;

	if (!limit_scopes_any(scopes))
		return false;
	LWLockAcquire(shared->ready_lock, LW_SHARED);
	if (limits_find(database, scopes, limits, groups))
	{
		for (int i = 0; i < LIMITS_OF_KEY; i++)
		{
			if (limits[i] == NULL)
			{
				Assert(groups[i] == NULL);
				continue;
			}
			if (limits[i]->limit >= 0)
				exceeded = exceeded || limits[i]->running > limits[i]->limit;
			if (groups[i] != NULL && limit_of_group(groups[i], limits[i]) >= 0)
				exceeded = exceeded ||
					groups[i]->running > limit_of_group(groups[i], limits[i]);
		}
	}
	LWLockRelease(shared->ready_lock);
	return exceeded;
}

bool
limits_cancel(LimitSlot *const *limits, LimitSlot *const *groups, bool only_at_limit)
{
	const LimitSlot *slot = limits[0];

	if (slot == NULL || !slot->cancel || slot->limit == LIMIT_UNKNOWN ||
		slot->limit == LIMIT_PAUSED)
		return false;
	return !only_at_limit || is_at_limit(limits, groups);
}

static bool
cancel_by_scopes(Oid database, const LimitScopes *scopes, bool only_at_limit)
{
	LimitSlot  *limits[LIMITS_OF_KEY];
	LimitSlot  *groups[LIMITS_OF_KEY];
	bool		cancels;

	if (scopes->function_id == 0)
		return false;
	LWLockAcquire(shared->ready_lock, LW_SHARED);
	cancels = limits_find(database, scopes, limits, groups) &&
		limits_cancel(limits, groups, only_at_limit);
	LWLockRelease(shared->ready_lock);
	return cancels;
}

bool
limits_may_cancel(Oid database, const LimitScopes *scopes)
{
	return cancel_by_scopes(database, scopes, false);
}

bool
limits_cancel_at_limit(Oid database, const LimitScopes *scopes)
{
	return cancel_by_scopes(database, scopes, true);
}
