/*
 * batch_entries.c
 *		What others see of a batch: its entries in the worker's slot, and the places
 *		that it holds under limits.
 *
 * The batch has one place under the limits of its function and queue, from its
 * claim to its end.  For each group it has one from the commit of the claim until no
 * entry of the group waits or runs any more (test/model/places.pml).  Entries whose
 * claim was counted under rates are counted as long as they wait (shmem/rates.c).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"

#include "job/batch.h"
#include "shmem/scheduler_wake.h"
#include "shmem/leases.h"
#include "shmem/limits.h"
#include "shmem/reserved.h"
#include "shmem/senders.h"
#include "shmem/workers.h"

/*
 * Places were given back; if processes wait for one, which may be other roles'
 * workers, wake the scheduler.
 */
void
batch_places_released(bool waited)
{
	if (waited)
		database_wake_scheduler(MyDatabaseId);
}

void
batch_leave_reserved(void)
{
	if (reserved_leave())
		databases_wake_schedulers();
}

/* The new batch is in our slot, and its claim is not committed yet */
static bool published = false;

/* Show the batch to the others: before the claim is committed */
void
batch_publish(const Batch *new_batch)
{
	published = true;
	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	my_worker->previous_claim_id = my_worker->claim_id;
	my_worker->claim_id = new_batch->claim_id;
	my_worker->scopes = new_batch->scopes;
	my_worker->priority = new_batch->njobs > 0 ? new_batch->jobs[0].job.priority : 0;
	my_worker->nentries = my_worker->nwaiting = new_batch->njobs;
	for (int i = 0; i < new_batch->njobs; i++)
	{
		my_worker->entries[i].job_id = new_batch->jobs[i].job.id;
		my_worker->entries[i].state = ENTRY_WAITING;
		my_worker->entries[i].group = new_batch->jobs[i].group;
		my_worker->entries[i].counted = false;
	}
	Assert(!my_worker->holds_places);
	my_worker->ngroups = new_batch->ngroups;
	for (int i = 0; i < new_batch->ngroups; i++)
	{
		my_worker->groups[i] = (BatchGroup) {0};
		my_worker->groups[i].group = new_batch->groups[i];
		my_worker->groups[i].counted = new_batch->counted[i];
		my_worker->groups[i].ordered = new_batch->ordered[i];
	}
	LWLockRelease(my_worker->lock);
}

static LimitScopes
scopes_of_group(const WorkerSlot *slot, const BatchGroup *group)
{
	LimitScopes scopes = slot->scopes;

	scopes.group = group->group;
	return scopes;
}

/* Give back the place of a group of a batch; true: see limits_release() */
static bool
release_group(const WorkerSlot *slot, const BatchGroup *group)
{
	LimitScopes scopes = scopes_of_group(slot, group);

	return limits_release(slot->database, &scopes, LIMITS_OF_GROUP);
}

/* So many of a group that the claim has counted do not wait for a token any more */
static bool
uncount(const WorkerSlot *slot, const BatchGroup *group, int n)
{
	LimitScopes scopes = scopes_of_group(slot, group);

	return n > 0 && rates_without_token(slot->database, &scopes, n);
}

bool
batch_entry_uncount(WorkerSlot *slot, BatchEntry *entry)
{
	if (!entry->counted)
		return false;
	entry->counted = false;
	return uncount(slot, &slot->groups[entry->group], 1);
}

/*
 * An entry is taken out, or has not succeeded: if its group has an order those after it are
 * not begun by this batch.  The caller holds the slot's lock.
 */
static void
break_order(WorkerSlot *slot, const BatchEntry *entry)
{
	BatchGroup *group = &slot->groups[entry->group];

	group->broken = group->broken || group->ordered;
}

/*
 * An entry of a batch neither waits nor runs any more: if it was the last of its
 * group, give back the place.  True: the scheduler is to be woken, after the slot's
 * lock is released, which the caller holds.
 */
static bool
leave_group(WorkerSlot *slot, const BatchEntry *entry)
{
	BatchGroup *group = &slot->groups[entry->group];

	if (!slot->holds_places || --group->left > 0)
		return false;
	Assert(group->left == 0);
	fair_run_end(slot, entry->group);
	return release_group(slot, group);
}

/*
 * The batch is committed: a place for each group that has an entry is its own now, and
 * what was charged for it.  Entries may have been taken out already.  True: as above.
 */
static bool
take_over_places(WorkerSlot *slot)
{
	bool		has_entry[READY_CLAIM_MAX] = {false};
	bool		waited = false;

	slot->holds_places = slot->nentries > 0;
	for (int i = 0; i < slot->nentries; i++)
	{
		BatchEntry *entry = &slot->entries[i];

		has_entry[entry->group] = true;
		entry->counted = slot->groups[entry->group].counted;
		if (entry->state == ENTRY_WAITING)
			slot->groups[entry->group].left++;
		else
			waited = batch_entry_uncount(slot, entry) || waited;
	}
	for (int i = 0; i < slot->ngroups; i++)
	{
		slot->groups[i].charge = batch.charges[i];
		if (slot->groups[i].left == 0)
			fair_run_end(slot, i);
		if (has_entry[i] && slot->groups[i].left == 0)
			waited = release_group(slot, &slot->groups[i]) || waited;
	}
	return waited;
}

/*
 * The claim has failed, or the one before it is gone.  If it had not been
 * published the one before is still in our slot.
 */
void
batch_unpublish(bool failed)
{
	bool		waited = false;

	if (!published)
		return;
	published = false;
	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	if (failed)
	{
		my_worker->claim_id = my_worker->previous_claim_id;
		my_worker->nentries = my_worker->nwaiting = my_worker->ngroups = 0;
	}
	else
		waited = take_over_places(my_worker);
	my_worker->previous_claim_id = 0;
	LWLockRelease(my_worker->lock);
	batch_places_released(waited);
}

/* The entry of the job that this worker has begun, -1: it is at none */
static int	started = -1;

/*
 * Take a token for a job of the batch, or not, as rates_take_token() does; none is needed
 * by one that was stolen or withdrawn.
 */
TokenOutcome
batch_take_token(int index, const LimitScopes *scopes, Token *token)
{
	BatchEntry *entry = &my_worker->entries[index];
	TokenOutcome outcome = TOKEN_NOT_NEEDED;

	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	if (entry->state == ENTRY_WAITING)
	{
		outcome = rates_take_token(MyDatabaseId, scopes, entry->counted, token);
		if (outcome != TOKEN_LATER)
			entry->counted = false;
	}
	LWLockRelease(my_worker->lock);
	return outcome;
}

/*
 * A waiting entry of this worker is not begun: finalizing the batch sets the job free.
 * The caller holds the slot's lock.  True: see batch_places_released().
 */
static bool
leave_entry(int index)
{
	BatchEntry *entry = &my_worker->entries[index];
	bool		waited;

	if (entry->state != ENTRY_WAITING)
		return false;
	entry->state = ENTRY_WITHDRAWN;
	my_worker->nwaiting--;
	break_order(my_worker, entry);
	waited = batch_entry_uncount(my_worker, entry);
	return leave_group(my_worker, entry) || waited;
}

/* Begin a job of the batch; false: it was stolen or withdrawn, or is not the next in order */
bool
batch_start_job(int index, TimestampTz now)
{
	bool		ours = false;
	bool		waited = false;

	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	if (my_worker->groups[my_worker->entries[index].group].broken)
		waited = leave_entry(index);
	else if (my_worker->entries[index].state == ENTRY_WAITING)
	{
		my_worker->entries[index].state = ENTRY_STARTED;
		my_worker->nwaiting--;
		waited = batch_entry_uncount(my_worker, &my_worker->entries[index]);
		my_worker->current_job = my_worker->entries[index].job_id;
		my_worker->job_started = now;
		my_worker->progress = -1;
		my_worker->cancel_job = 0;
		fair_run_job(my_worker, my_worker->entries[index].group);
		started = index;
		ours = true;
	}
	LWLockRelease(my_worker->lock);
	batch_places_released(waited);
	return ours;
}

bool
batch_leave_running_job(void)
{
	bool		cancelled;

	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	cancelled = my_worker->cancel_job != 0 && my_worker->cancel_job == my_worker->current_job;
	if (!cancelled)
		my_worker->current_job = 0;
	LWLockRelease(my_worker->lock);
	return !cancelled;
}

void
batch_end_job(bool succeeded)
{
	bool		waited = false;

	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	my_worker->current_job = 0;
	my_worker->cancel_job = 0;
	if (started >= 0)
	{
		if (!succeeded)
			break_order(my_worker, &my_worker->entries[started]);
		waited = leave_group(my_worker, &my_worker->entries[started]);
	}
	started = -1;
	LWLockRelease(my_worker->lock);
	batch_places_released(waited);
}

/* Do not run a job of the batch after all: finalizing the batch sets it free */
void
batch_leave_job(int index)
{
	bool		waited;

	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	waited = leave_entry(index);
	LWLockRelease(my_worker->lock);
	batch_places_released(waited);
}

/*
 * Take a job out of the batch of a worker in which it waits.  For cancel and
 * reschedule, which then write the row.
 *
 * A job that was stolen may be in two slots.  It is taken out of the source
 * worker's, too: if the thief fails it must not wait there again.
 */
static BatchWithdraw
batch_withdraw(int64 job_id)
{
	BatchWithdraw result = BATCH_NOT_CLAIMED;
	bool		decided = false;
	bool		waited = false;

	if (shared == NULL)
		return BATCH_NOT_CLAIMED;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && !decided; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || slot->database != MyDatabaseId)
			continue;
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		for (int e = 0; e < slot->nentries; e++)
		{
			BatchEntry *entry = &slot->entries[e];

			if (entry->job_id != job_id)
				continue;

			/* it has ended here: its next attempt may be in another batch */
			if (entry->state == ENTRY_STARTED && slot->current_job != job_id)
				break;
			if (entry->state == ENTRY_STARTED)
				result = BATCH_RUNNING;
			else
				result = BATCH_WITHDRAWN;
			decided = entry->state == ENTRY_STARTED || entry->state == ENTRY_WAITING;
			if (entry->state == ENTRY_WAITING)
			{
				slot->nwaiting--;
				break_order(slot, entry);
				waited = batch_entry_uncount(slot, entry) || waited;
				waited = leave_group(slot, entry) || waited;
			}
			if (entry->state != ENTRY_STARTED)
				entry->state = ENTRY_WITHDRAWN;
			break;
		}
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
	batch_places_released(waited);
	if (result == BATCH_NOT_CLAIMED &&
		(sender_has(MyDatabaseId, job_id, false) || lease_has(MyDatabaseId, job_id, false)))
		result = BATCH_RUNNING;
	return result;
}

bool
batch_job_runs(int64 job_id)
{
	return batch_withdraw(job_id) == BATCH_RUNNING;
}

/*
 * Stop a running job.  Returns false if no worker runs it (any more).  The
 * worker's timer sees the request.  A signal of ours might come when the
 * worker is at its next job already, which cannot tell for whom it was.
 */
bool
batch_cancel_job(int64 job_id)
{
	bool		found = false;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && !found; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || slot->database != MyDatabaseId)
			continue;
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		if (slot->current_job == job_id)
		{
			slot->cancel_job = job_id;
			found = true;
		}
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
	return found || sender_has(MyDatabaseId, job_id, true) ||
		lease_has(MyDatabaseId, job_id, true);
}

/* ------------------------------------------------------------------------
 * The end of the batch
 * ------------------------------------------------------------------------ */

/* The places of groups that the batch still has: it ends before it was done with them */
static void
release_groups(void)
{
	bool		waited = false;

	if (!my_worker->holds_places)	/* only we change that */
		return;
	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	for (int i = 0; i < my_worker->nentries; i++)
		waited = batch_entry_uncount(my_worker, &my_worker->entries[i]) || waited;
	my_worker->holds_places = false;
	for (int i = 0; i < my_worker->ngroups; i++)
	{
		fair_run_end(my_worker, i);
		if (my_worker->groups[i].left > 0)
			waited = release_group(my_worker, &my_worker->groups[i]) || waited;
		my_worker->groups[i].left = 0;
	}
	LWLockRelease(my_worker->lock);
	batch_places_released(waited);
}

void
batch_release_limits(void)
{
	release_groups();
	batch_leave_reserved();
	started = -1;
	if (!batch.reserved)
		return;
	batch.reserved = false;
	batch_places_released(limits_release(MyDatabaseId, &batch.scopes, LIMITS_NO_GROUP));
}
