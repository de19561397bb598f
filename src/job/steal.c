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
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/own_transaction.h"
#include "config/settings_changes.h"
#include "job/batch.h"
#include "job/claim.h"
#include "job/steal_marks.h"
#include "table/job_table.h"
#include "shmem/limits.h"
#include "shmem/reserved.h"

/* The process ends, or an error does, in the middle of it */
void
batch_steal_abandon(void)
{
	if (steal.source != NULL)
		steal_give_back();
	batch_places_released(steal_release_places());
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
		entry->job.scopes = steal_scopes_of_group(group);
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
	batch_places_released(steal_release_places());
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
	steal_mark_waiting(later);
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
	if (steal_mark_job(job->id))
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
	steal.groups[0] = (StolenGroup)
	{
		.group = job->scopes.group, .n = 1,
			.fair = job->scopes.group != 0
	};
	steal.reserved = steal.groups[0].held = reserved_try_enter(job->scopes.queue_id) &&
		limits_reserve(MyDatabaseId, &job->scopes, LIMITS_ALL);
	if (steal.reserved && take_marked(job))
		return true;
	batch_leave_reserved();
	return false;
}
