/*
 * steal.c
 *		An idle worker takes over jobs that wait behind another worker's long one.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/limits_key.h"
#include "base/own_transaction.h"
#include "config/settings_changes.h"
#include "job/batch.h"
#include "job/claim.h"
#include "table/job_table.h"
#include "shmem/workers.h"
#include "shmem/limits.h"
#include "shmem/reserved.h"

/* It is worth it when the source's job has run this long (microseconds) */
#define STEAL_AFTER			(20 * 1000)

/* What is taken of one group of the source's batch */
typedef struct StolenGroup
{
	int64		group;			/* hash of its name; 0: jobs without */
	int			n;				/* jobs */
	bool		held;			/* its place is ours, or it needs none */
	bool		fair;			/* what it uses is charged */
	bool		ordered;		/* taken whole, or not at all */
} StolenGroup;

/* The theft in progress; one at a time */
static struct
{
	WorkerSlot *source;			/* NULL: none */
	int64		claim_id;		/* the source's */
	LimitScopes scopes;			/* of its batch, but for groups */
	bool		reserved;		/* a place under these, for us */
	bool		waited;			/* processes wait for what changed: see
								 * batch_places_released() */
	int			ngroups;		/* the same as the source's */
	StolenGroup groups[READY_CLAIM_MAX];
	int			n;
	int64		ids[BATCH_MAX]; /* newest first */
	int16		group_of[BATCH_MAX];
}			steal;

/* ------------------------------------------------------------------------
 * Places
 * ------------------------------------------------------------------------ */

static LimitScopes
scopes_of_group(int index)
{
	LimitScopes scopes = steal.scopes;

	scopes.group = steal.groups[index].group;
	return scopes;
}

/* What was taken for them is not needed.  True: the scheduler is to be woken */
static bool
release_places(void)
{
	bool		waited = steal.waited;

	steal.waited = false;
	for (int i = 0; i < steal.ngroups; i++)
	{
		LimitScopes scopes = scopes_of_group(i);

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
 * The jobs that are taken of a group leave the source's batch.  If they are the
 * last of it, the group's place is ours; else we need one more.  False: there is
 * none.  The caller holds the source's lock.
 */
static bool
move_place(WorkerSlot *source, int index)
{
	StolenGroup *stolen = &steal.groups[index];
	BatchGroup *group = &source->groups[index];
	LimitScopes scopes = scopes_of_group(index);

	if (group->ordered &&
		(!source->holds_places || group->broken || group->left != stolen->n))
		return false;
	if (!source->holds_places)
		stolen->held = limits_reserve(MyDatabaseId, &scopes, LIMITS_OF_GROUP);
	else if (group->left == stolen->n || limits_reserve(MyDatabaseId, &scopes, LIMITS_OF_GROUP))
	{
		group->left -= stolen->n;
		stolen->held = true;
		group->broken = group->ordered; /* what comes back is not begun here */
	}
	return stolen->held;
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

/* The caller holds the slot's lock: begin to take entries of it */
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
		slot->groups[i].group, 0, false,
			slot->groups[i].charge.fair, slot->groups[i].ordered
	};
	steal.n = 0;
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

/* Check whether a job is among those that are taken, of a group that is */
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

/* Let the marked entries wait again, all or those of one group */
static void
unmark(WorkerSlot *source, int group)
{
	for (int e = 0; e < source->nentries; e++)
	{
		BatchEntry *entry = &source->entries[e];

		if (entry->state != ENTRY_STOLEN || (group >= 0 && entry->group != group) ||
			!is_marked(entry->job_id))
			continue;
		entry->state = ENTRY_WAITING;
		source->nwaiting++;
		if (group < 0)
			move_place_back(source, entry->group, 1);
	}
}

/*
 * Take places for what is marked; of a group that has none its jobs wait again.
 * Returns whether any are left.  The caller holds the source's lock.
 */
static bool
take_places(WorkerSlot *source)
{
	int			kept = 0;

	steal.reserved = reserved_try_enter(steal.scopes.queue_id) &&
		limits_reserve(MyDatabaseId, &steal.scopes, LIMITS_NO_GROUP);
	for (int i = 0; i < steal.ngroups; i++)
	{
		if (steal.groups[i].n > 0 && (!steal.reserved || !move_place(source, i)))
			unmark(source, i);
	}
	for (int i = 0; i < steal.n; i++)
	{
		if (!steal.groups[steal.group_of[i]].held)
			continue;
		steal.ids[kept] = steal.ids[i];
		steal.group_of[kept++] = steal.group_of[i];
	}
	steal.n = kept;
	if (kept == 0)
		steal.source = NULL;
	return kept > 0;
}

/* Mark a job that waits in the batch of a worker of our role, if it does and may run */
static bool
mark_waiting(int64 job_id)
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
			mark_entry(slot, &slot->entries[e]);
			(void) take_places(slot);
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
static void
choose_source(bool *later)
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
			for (int e = slot->nentries - 1; e >= 0 && steal.n < want; e--)
			{
				if (slot->entries[e].state == ENTRY_WAITING)
					mark_entry(slot, &slot->entries[e]);
			}
			if (!take_places(slot))
				waited = release_places() || waited;
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
static void
give_back(void)
{
	WorkerSlot *source = steal.source;

	steal.source = NULL;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	LWLockAcquire(source->lock, LW_EXCLUSIVE);
	if (source->claim_id == steal.claim_id)
		unmark(source, -1);
	LWLockRelease(source->lock);
	LWLockRelease(shared->workers_lock);
}

/* The process ends, or an error does, in the middle of it */
void
batch_steal_abandon(void)
{
	if (steal.source != NULL)
		give_back();
	batch_places_released(release_places());
}

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------ */

/* Write our claim into a stolen row; false: it is not the source's any more */
static bool
take_over_row(Batch *new_batch, int64 id, int64 source_claim, int group)
{
	TupleTableSlot *slot = table_slot_create(job_table()->rel, NULL);
	BatchJob   *entry = &new_batch->jobs[new_batch->njobs];
	ItemPointerData tid;
	bool		taken = false;

	if (job_tid(id, &tid, slot))
	{
		MemoryContext context = MemoryContextSwitchTo(new_batch->context);

		job_from_slot(&entry->job, slot);
		MemoryContextSwitchTo(context);
		taken = entry->job.claim == source_claim &&
			job_set_claim_at(&tid, slot, new_batch->claim_id, &entry->place);
	}
	ExecDropSingleTupleTableSlot(slot);
	if (taken)
	{
		entry->job.claim = new_batch->claim_id;
		entry->job.scopes = scopes_of_group(group);
		entry->group = group;
		entry->state = JOB_TAKEN;
		new_batch->njobs++;
	}
	return taken;
}

/* Take the marked jobs of the source, or (free_job is not NULL) that free one */
static void
take_jobs(Batch *new_batch, const Job *free_job)
{
	bool		missing[READY_CLAIM_MAX] = {false};

	if (free_job != NULL)
	{
		(void) claim_job(new_batch, free_job);
		return;
	}

	/*
	 * Which ready queue they belong into was decided earlier: each is looked
	 * at before it begins.
	 */
	new_batch->settings = 0;
	for (int i = 0; i < steal.ngroups; i++)
	{
		new_batch->groups[i] = steal.groups[i].group;
		new_batch->charges[i] = (FairCharge) {steal.groups[i].fair, false, 0};
		new_batch->rated[i] = true;
		new_batch->counted[i] = false;
		new_batch->ordered[i] = steal.groups[i].ordered;
	}
	new_batch->ngroups = steal.ngroups;
	for (int i = steal.n - 1; i >= 0; i--)
	{
		int			group = steal.group_of[i];

		/* none after one of the order that was not to be had */
		if (!missing[group] &&
			!take_over_row(new_batch, steal.ids[i], steal.claim_id, group))
			missing[group] = steal.groups[group].ordered;
	}
}

/* The batch has the places that were taken for its jobs; the others are not needed */
static void
pass_on_places(Batch *new_batch)
{
	for (int i = 0; i < new_batch->njobs; i++)
		steal.groups[new_batch->jobs[i].group].held = false;
	new_batch->reserved = new_batch->njobs > 0;
	if (new_batch->reserved)
		steal.reserved = false;
	batch_places_released(release_places());
}

/*
 * Take the marked jobs of the source, or (free_job is not NULL) that free one, in
 * a transaction of its own.  Places under their limits are taken.
 */
static bool
take_marked(const Job *free_job)
{
	Batch	   *new_batch = batch_new_begin();
	bool		taken;

	new_batch->scopes = steal.scopes;
	PG_TRY();
	{
		own_transaction_begin();
		batch_finalize_in_transaction();
		new_batch->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		new_batch->settings = settings_generation();
		take_jobs(new_batch, free_job);
		batch_new_record(new_batch);
		own_transaction_end();
	}
	PG_CATCH();
	{
		batch_new_abort();
		batch_steal_abandon();
		PG_RE_THROW();
	}
	PG_END_TRY();

	taken = new_batch->njobs > 0;
	steal.source = NULL;
	pass_on_places(new_batch);
	batch_new_commit(new_batch);
	return taken;
}

/*
 * Take over half of the jobs that wait behind another worker's long one.
 * *later is set if it is worth trying again in a moment.
 */
bool
batch_steal(bool *later)
{
	*later = false;
	if (!defer_enabled)
		return false;
	batch_steal_abandon();		/* after an error between here and there */
	choose_source(later);
	if (steal.source != NULL && take_marked(NULL))
		return true;
	batch_leave_reserved();
	return false;
}

/*
 * Take one job of our role: it waits in the batch of another worker, or is free
 * as it was read.  Returns false if it is neither, or its limits are full.
 */
bool
batch_take_job(const Job *job)
{
	batch_release_limits();
	worker_release_suspect();
	batch_steal_abandon();
	if (mark_waiting(job->id))
	{
		if (steal.source != NULL && take_marked(NULL))
			return true;
		batch_steal_abandon();
		batch_leave_reserved();
		return false;
	}
	steal.scopes = job->scopes;
	steal.scopes.group = 0;
	steal.n = 0;
	steal.ngroups = 1;
	steal.groups[0] = (StolenGroup) {job->scopes.group, 1, false, job->scopes.group != 0, false};
	steal.reserved = steal.groups[0].held = reserved_try_enter(job->scopes.queue_id) &&
		limits_reserve(MyDatabaseId, &job->scopes, LIMITS_ALL);
	if (steal.reserved && take_marked(job))
		return true;
	batch_leave_reserved();
	return false;
}
