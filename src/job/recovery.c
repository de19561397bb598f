/*
 * recovery.c
 *		Claims that no worker works on any more: of before a crash of the
 *		server, or of a worker that ended without finalizing its batch.
 *
 * A row of defer.claim that no live worker has in its slot is an orphan.  Its
 * jobs have ended (there is a row in the history), or are set free.
 *
 * Workers outside of the server hold theirs by a token: see job/lease_recover.c.
 *
 * A worker that ended by itself has left word of what it ran: that attempt is
 * over, and the other jobs lose none.
 *
 * After a crash of the server job/crashed_jobs.c first deals with the jobs that had
 * begun.  The others lose no attempt.  If the machine was lost it is unknown which had
 * begun: a job that may be tried once, and was alone in its claim, counts as tried.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pure/lost_jobs.h"
#include "base/job_kind.h"
#include "shmem/databases.h"
#include "shmem/senders.h"
#include "shmem/workers.h"
#include "table/claim_table.h"
#include "table/history_table.h"
#include "table/job_by_id.h"
#include "table/rollup.h"
#include "config/job_policy.h"
#include "job/crashed_jobs.h"
#include "job/finish.h"
#include "job/lease.h"
#include "job/recovery.h"

/* A claim that no live process has */
typedef struct Orphan
{
	ClaimRow   *claim;
	int			nunfinished;	/* its jobs that have not ended */
} Orphan;

/* ------------------------------------------------------------------------
 * Which claims
 * ------------------------------------------------------------------------ */

bool
claim_is_live(int64 id)
{
	bool		live = false;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && !live; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || slot->database != MyDatabaseId)
			continue;
		LWLockAcquire(slot->lock, LW_SHARED);
		live = slot->claim_id == id || slot->previous_claim_id == id;
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
	return live || sender_has_claim(MyDatabaseId, id);
}

/*
 * Return the orphans, as a list in the current memory context; in *outside the
 * claims of workers outside of the server, who live on.
 *
 * A live claim is in its worker's slot before it is committed.  So first read
 * the committed rows, then look which process has each; a claim that has been
 * finalized meanwhile is found out when its row is deleted.
 */
static List *
find_orphans(List **outside)
{
	List	   *orphans = NIL;
	ListCell   *cell;

	foreach(cell, claim_rows_read())
	{
		ClaimRow   *claim = lfirst(cell);
		Orphan	   *orphan;

		if (claim->token != NULL)
		{
			*outside = lappend(*outside, claim);
			continue;
		}
		if (claim_is_live(claim->id))
			continue;
		orphan = palloc0(sizeof(Orphan));
		orphan->claim = claim;
		orphans = lappend(orphans, orphan);
	}
	return orphans;
}

/* ------------------------------------------------------------------------
 * Their jobs
 * ------------------------------------------------------------------------ */

/*
 * Check whether the row is still this claim's, or that of a claim without a
 * live worker
 */
static bool
is_orphaned(const Job *job, const Orphan *orphan)
{
	return job->claim != 0 && (job->claim == orphan->claim->id || !claim_is_live(job->claim));
}

/* Count the unfinished jobs of the orphans.  Reads only, and locks nothing */
static void
count_unfinished(List *orphans)
{
	ListCell   *cell;

	foreach(cell, orphans)
	{
		Orphan	   *orphan = lfirst(cell);

		for (int i = 0; i < orphan->claim->njobs; i++)
		{
			Job			job;

			CHECK_FOR_INTERRUPTS();
			if (orphan->claim->jobs[i] == CLAIM_SETTLED_JOBS ||
				(job_read(orphan->claim->jobs[i], &job) && is_orphaned(&job, orphan) &&
				 !history_exists(job.id) && !kind_is_delivery(job.kind)))
				orphan->nunfinished++;
		}
	}
}

/* Check whether a job may be begun only once: at most once is what its owner wants */
static bool
may_run_once(const Job *job)
{
	JobPolicy	policy;

	job_policy(job, &policy);
	return policy.max_attempts <= 1;
}

static void
free_job(Job *job, const Orphan *orphan, const LostJobs *lost, bool after_crash)
{
	bool		alone = orphan->nunfinished == 1;

	if (kind_is_delivery(job->kind))
		finish_crashed_delivery(job, orphan->claim->claimed_at);
	else
		finish_crashed_row(job, orphan->claim->claimed_at, false,
						   after_crash ? alone && may_run_once(job) :
						   lost_jobs_has(lost, job->id, alone));
}

typedef enum SettleResult
{
	SETTLED,
	SETTLED_IN_PART,
	NOTHING_SETTLED				/* the transaction has nothing to commit */
} SettleResult;

/*
 * Finalize the jobs of a claim whose row has just been deleted, in the same
 * transaction.  If other sessions have locked some of the jobs, the claim is
 * written again with those.  *nfreed is increased by the jobs set free.
 */
static SettleResult
finalize_orphan(const Orphan *orphan, const LostJobs *lost, bool after_crash, int *nfreed)
{
	const ClaimRow *claim = orphan->claim;
	ClaimRow	rest = {claim->id, claim->claimed_at, 0, NULL};
	bool		finalized_any = false;

	rest.jobs = palloc((claim->njobs + 1) * sizeof(int64));
	for (int i = 0; i < claim->njobs; i++)
	{
		Job			job;

		CHECK_FOR_INTERRUPTS();
		if (claim->jobs[i] == CLAIM_SETTLED_JOBS)
		{
			finalized_any = true;
			continue;
		}
		switch (job_lock(claim->jobs[i], true, &job))
		{
			case JOB_GONE:
				break;
			case JOB_BUSY:
				rest.jobs[rest.njobs++] = claim->jobs[i];
				break;
			case JOB_LOCKED:
				if (!is_orphaned(&job, orphan))
				{
					finalized_any = true;	/* job/crashed_jobs.c did */
					break;
				}
				if (!rollup_delete_ended(&job, rollup_add))
				{
					free_job(&job, orphan, lost, after_crash);
					finalized_any = true;
					(*nfreed)++;
				}
				break;
		}
	}
	if (rest.njobs == 0)
		return SETTLED;
	if (finalized_any)
		rest.jobs[rest.njobs++] = CLAIM_SETTLED_JOBS;
	if (rest.njobs == claim->njobs)
		return NOTHING_SETTLED;
	claim_row_insert(&rest, NULL);
	return SETTLED_IN_PART;
}

/*
 * Finalize a claim in a transaction of its own.  An error is reported, and stops no
 * other claim.  Returns whether all of its jobs are finalized.
 */
static bool
finalize_claim(const Orphan *orphan, const LostJobs *lost, bool after_crash, int *nfreed)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool finalized = false;

	PG_TRY();
	{
		SettleResult result = SETTLED;
		int			freed = 0;

		own_transaction_begin();
		if (claim_row_delete_id(orphan->claim->id, true))
			result = finalize_orphan(orphan, lost, after_crash, &freed);
		if (result == NOTHING_SETTLED)
		{
			AbortCurrentTransaction();
			MemoryContextSwitchTo(context);
		}
		else
			own_transaction_end();
		*nfreed += freed;
		finalized = result == SETTLED;
	}
	PG_CATCH();
	{
		own_transaction_report_error(context);
	}
	PG_END_TRY();
	return finalized;
}

/*
 * Finalize claims that no worker works on.  Returns true if some rows are
 * locked by other sessions, and have to be looked at again.
 */
bool
recover_claims(bool after_crash)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(context, "defer recovery", ALLOCSET_DEFAULT_SIZES);
	List	   *orphans;
	List	   *outside = NIL;
	ListCell   *cell;
	LostJobs	lost;
	bool		complete;
	int			nfreed = 0;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	lost = my_database->lost;
	LWLockRelease(shared->workers_lock);

	own_transaction_begin();
	MemoryContextSwitchTo(scratch);
	orphans = find_orphans(&outside);
	count_unfinished(orphans);
	own_transaction_end();
	complete = crashed_jobs_settle(&nfreed);

	foreach(cell, orphans)
	{
		if (!finalize_claim(lfirst(cell), &lost, after_crash, &nfreed))
			complete = false;
	}
	foreach(cell, outside)
	{
		if (!lease_restore(lfirst(cell)))
			complete = false;
	}
	if (complete)
	{
		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		lost_jobs_forget(&my_database->lost, lost.n);
		LWLockRelease(shared->workers_lock);
	}
	if (nfreed > 0)
		ereport(LOG,
				(after_crash ?
				 errmsg_plural("defer released %d claimed job after the server had stopped",
							   "defer released %d claimed jobs after the server had stopped", nfreed, nfreed) :
				 errmsg_plural("defer released %d claimed job after a worker had exited",
							   "defer released %d claimed jobs after a worker had exited", nfreed, nfreed)));
	MemoryContextSwitchTo(context);
	MemoryContextDelete(scratch);
	return !complete;
}
