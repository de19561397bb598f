/*
 * steal_marks.c
 *		Stealing: what is taken of a worker's batch, and the places for it; all of it in shared
 *		memory.  See steal_marks.h.
 *
 * The places that move with entries are in test/model/places.pml.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "job/batch.h"
#include "job/steal_marks.h"
#include "shmem/limits.h"
#include "shmem/reserved.h"

/* It is worth it when the source's job has run this long (microseconds) */
#define STEAL_AFTER			(20 * 1000)

Theft		steal;

/* ------------------------------------------------------------------------
 * Places
 * ------------------------------------------------------------------------ */

LimitScopes
steal_scopes_of_group(int index)
{
	LimitScopes scopes = steal.scopes;

	scopes.group = steal.groups[index].group;
	return scopes;
}

/* Count the entries of a group that wait in the source's batch */
static int
count_waiting(const WorkerSlot *source, int group)
{
	int			n = 0;

	for (int i = 0; i < source->nentries; i++)
		n += source->entries[i].group == group && source->entries[i].state == ENTRY_WAITING;
	return n;
}

/* What was taken for them is not needed.  True: the scheduler is to be woken */
bool
steal_release_places(void)
{
	bool		waited = steal.waited;

	steal.waited = false;
	for (int i = 0; i < steal.ngroups; i++)
	{
		LimitScopes scopes = steal_scopes_of_group(i);

		if (steal.groups[i].held)
			waited = limits_release(MyDatabaseId, &scopes, LIMITS_OF_GROUP) || waited;
		steal.groups[i].held = false;
	}
	if (steal.reserved)
		waited = limits_release(MyDatabaseId, &steal.scopes, LIMITS_NO_GROUP) || waited;
	steal.reserved = false;
	return waited;
}

/*
 * Get a place for jobs that are taken of a group, about "max" of them, and let them leave the
 * source's batch.  The batch's place comes with all that is left of the group, unless one of
 * them runs; less than that need one more.  So if there is no other place all are taken: else
 * they would wait behind a job of another group for as long as that runs.  Returns how many
 * are to be taken.  The caller holds the source's lock.
 */
static int
take_place(WorkerSlot *source, int index, int max)
{
	BatchGroup *group = &source->groups[index];
	LimitScopes scopes = steal_scopes_of_group(index);
	const int	waiting = count_waiting(source, index);
	const bool	whole = source->holds_places && !group->broken && group->left == waiting;
	int			n = 0;

	if (whole && waiting <= max)
		n = waiting;
	else if (!group->ordered && limits_reserve(MyDatabaseId, &scopes, LIMITS_OF_GROUP))
		n = Min(waiting, max);
	else if (whole)
		n = waiting;
	steal.groups[index].tried = true;
	steal.groups[index].held = n > 0;
	if (n > 0 && source->holds_places)
	{
		group->left -= n;
		group->broken = group->ordered; /* what comes back is not begun here */
	}
	return n;
}

/*
 * Jobs of a group go back into the source's batch.  If it has given its place to us,
 * it is the source's again.  The caller holds the source's lock.
 */
static void
move_place_back(WorkerSlot *source, int index, int n)
{
	BatchGroup *group = &source->groups[index];

	if (!source->holds_places || n == 0)
		return;
	if (group->left == 0)
		steal.groups[index].held = false;
	group->left += n;
}

/* ------------------------------------------------------------------------
 * Entries of the source
 * ------------------------------------------------------------------------ */

/* A worker of our role with waiting jobs, but for us; an unlocked look */
static bool
may_be_source(const WorkerSlot *slot)
{
	return slot != my_worker && slot->state == WORKER_BUSY && slot->database == MyDatabaseId &&
		slot->owner == my_worker->owner && slot->nwaiting > 0;
}

/*
 * The caller holds the slot's lock: begin to take entries of it, with a place under the
 * limits of its batch, if there is one
 */
static void
begin_with(WorkerSlot *slot)
{
	steal.source = slot;
	steal.claim_id = slot->claim_id;
	steal.scopes = slot->scopes;
	steal.ngroups = slot->ngroups;
	for (int i = 0; i < slot->ngroups; i++)
		steal.groups[i] = (StolenGroup)
	{
		.group = slot->groups[i].group, .fair = slot->groups[i].charge.fair,
			.ordered = slot->groups[i].ordered
	};
	steal.n = 0;
	steal.reserved = reserved_try_enter(steal.scopes.queue_id) &&
		limits_reserve(MyDatabaseId, &steal.scopes, LIMITS_NO_GROUP);
}

static void
mark_entry(WorkerSlot *slot, BatchEntry *entry)
{
	entry->state = ENTRY_STOLEN;
	steal.waited = batch_entry_uncount(slot, entry) || steal.waited;
	slot->nwaiting--;
	steal.groups[entry->group].n++;
	steal.group_of[steal.n] = entry->group;
	steal.ids[steal.n++] = entry->job_id;
}

/*
 * Mark about "max" entries of a group, the latest, as far as there is a place for them.
 * "wanted" is to be the first that runs, unless the group has an order; 0: none is.
 */
static void
mark_group(WorkerSlot *slot, int group, int max, int64 wanted)
{
	const bool	apart = wanted != 0 && !steal.groups[group].ordered;
	BatchEntry *first = NULL;
	int			n = take_place(slot, group, max) - apart;

	for (int e = slot->nentries - 1; e >= 0 && steal.groups[group].held; e--)
	{
		BatchEntry *entry = &slot->entries[e];

		if (entry->state != ENTRY_WAITING || entry->group != group)
			continue;
		if (apart && entry->job_id == wanted)
			first = entry;
		else if (n-- > 0)
			mark_entry(slot, entry);
	}
	if (first != NULL)
		mark_entry(slot, first);
}

/* Check whether a job is among those that are taken */
static bool
is_marked(int64 job_id)
{
	for (int i = 0; i < steal.n; i++)
	{
		if (steal.ids[i] == job_id)
			return true;
	}
	return false;
}

/* Let the marked entries wait again */
static void
unmark(WorkerSlot *source)
{
	for (int e = 0; e < source->nentries; e++)
	{
		BatchEntry *entry = &source->entries[e];

		if (entry->state != ENTRY_STOLEN || !is_marked(entry->job_id))
			continue;
		entry->state = ENTRY_WAITING;
		source->nwaiting++;
		move_place_back(source, entry->group, 1);
	}
}

/* Mark a job that waits in the batch of a worker of our role, if it does and may run */
bool
steal_mark_job(int64 job_id)
{
	bool		waits = false;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && !waits; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (!may_be_source(slot))
			continue;
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		for (int e = 0; e < slot->nentries && !waits; e++)
		{
			if (slot->entries[e].job_id != job_id || slot->entries[e].state != ENTRY_WAITING)
				continue;
			waits = true;
			begin_with(slot);
			if (steal.reserved)
				mark_group(slot, slot->entries[e].group, 1, job_id);
			if (steal.n == 0)
				steal.source = NULL;
		}
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
	return waits;
}

/*
 * Choose a source: a worker of our role with jobs that wait behind one that
 * takes long, and mark what we take.  *later: a worker may become one.
 */
void
steal_mark_waiting(bool *later)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		waited = false;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && steal.source == NULL; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (!may_be_source(slot))
			continue;
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		if (slot->nwaiting > 0 && slot->current_job != 0 &&
			(slot->awaiting || now - slot->job_started >= STEAL_AFTER))
		{
			int			want = slot->awaiting ? slot->nwaiting : (slot->nwaiting + 1) / 2;

			begin_with(slot);
			for (int e = slot->nentries - 1; e >= 0 && steal.reserved && steal.n < want; e--)
			{
				const BatchEntry *entry = &slot->entries[e];

				if (entry->state == ENTRY_WAITING && !steal.groups[entry->group].tried)
					mark_group(slot, entry->group, want - steal.n, 0);
			}
			if (steal.n == 0)
			{
				steal.source = NULL;
				waited = steal_release_places() || waited;
			}
		}
		else if (slot->nwaiting > 0)
			*later = true;
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
	batch_places_released(waited);
}

/*
 * We could not take them after all: they wait again.  If the source has passed
 * them meanwhile, it sets them free when it finalizes its batch.
 */
void
steal_give_back(void)
{
	WorkerSlot *source = steal.source;

	steal.source = NULL;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	LWLockAcquire(source->lock, LW_EXCLUSIVE);
	if (source->claim_id == steal.claim_id)
		unmark(source);
	LWLockRelease(source->lock);
	LWLockRelease(shared->workers_lock);
}
