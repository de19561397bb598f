/*
 * batch.c
 *		The batch of jobs that this process has taken: its entries in shared
 *		memory, and its end, when the next one takes its place.
 *
 * A batch is finalized in the transaction that takes the next: the rows of its
 * jobs that succeeded are deleted, what has not begun is set free.
 *
 * Jobs of a batch that have not begun can be taken over by an idle worker of
 * the same role ("stolen"), or taken out by cancel and reschedule
 * ("withdrawn").  Both first mark the entry in shared memory, then write the
 * row.  If their transaction fails the row still carries our claim: so the
 * rows of such entries are looked at when the batch is finalized.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/job_state.h"
#include "base/own_transaction.h"
#include "config/settings_cache.h"
#include "job/batch.h"
#include "shmem/begun_jobs.h"
#include "shmem/xact_notify_job.h"
#include "table/claim_table.h"
#include "table/fan_out_count.h"
#include "table/job_by_id.h"
#include "table/job_table.h"
#include "table/rollup.h"
#include "shmem/workers.h"

Batch		batch;

/*
 * Rows of finalized batches that were locked when we wanted to delete or
 * release them; tried again with each batch.
 */
typedef struct Leftover
{
	int64		job_id;
	int64		claim_id;
	bool		finished;
	bool		done;			/* by the transaction that is under way */
} Leftover;

/* The end of a job that a fan-out counts is not to wait for a job that may run for long */
static struct
{
	int			looked;			/* jobs of the batch up to here */
	const Job  *last;			/* the last of them that may be counted */
}			members;

static Leftover *leftovers = NULL;
static int	nleftovers = 0;
static int	ncommitted = 0;		/* of them, from before that transaction */
static int	leftovers_size = 0;

/* ------------------------------------------------------------------------
 * Finalizing a batch, in a transaction that is open
 * ------------------------------------------------------------------------ */

static void
add_leftover(int64 job_id, int64 claim_id, bool finished)
{
	if (nleftovers == leftovers_size)
	{
		leftovers_size = Max(32, leftovers_size * 2);
		leftovers = leftovers == NULL
			? MemoryContextAlloc(TopMemoryContext, leftovers_size * sizeof(Leftover))
			: repalloc(leftovers, leftovers_size * sizeof(Leftover));
	}
	leftovers[nleftovers++] = (Leftover) {job_id, claim_id, finished, false};
}

/*
 * Finalize a row that carries our claim though no worker works on it: delete
 * it if the job has finished, else set it free.  Returns false if it is
 * locked.
 */
static bool
finalize_row(int64 job_id, int64 claim_id, bool finished)
{
	Job			job;
	JobLock		lock = job_lock(job_id, true, &job);

	if (lock != JOB_LOCKED)
		return lock == JOB_GONE;
	if (finished)
	{
		/* its row of history may be gone, with that day */
		if (!rollup_delete_ended(&job, rollup_collect))
		{
			fan_out_ended(&job, STATE_SUCCEEDED);
			job_delete(job_id);
		}
	}
	else if (job.claim == claim_id)
	{
		job.claim = 0;
		settings_set_limits(&job);
		job_update(&job);
		xact_notify_job(&job);
	}
	return true;
}

/*
 * Write all that is left of the batch and of earlier ones.  Memory changes
 * with finalized(), after the commit: if the transaction fails, all this is
 * done again.
 */
void
batch_finalize_in_transaction(void)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "defer finalize",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext context = MemoryContextSwitchTo(scratch);

	nleftovers = ncommitted;
	rollup_begin(ncommitted + batch.njobs);
	for (int i = 0; i < ncommitted; i++)
		leftovers[i].done = finalize_row(leftovers[i].job_id, leftovers[i].claim_id,
										 leftovers[i].finished);

	for (int i = 0; i < batch.njobs; i++)
	{
		BatchJob   *job = &batch.jobs[i];

		if (job->state == JOB_SUCCEEDED)
		{
			if (job_delete_left(&job->place, job->job.id, NULL))
				rollup_collect(&job->job, STATE_SUCCEEDED, job->started_at, job->finished_at);
			else
				add_leftover(job->job.id, batch.claim_id, true);
		}
		else if (job->state == JOB_TAKEN &&
				 !finalize_row(job->job.id, batch.claim_id, false))
			add_leftover(job->job.id, batch.claim_id, false);
	}
	rollup_write();
	if (batch.claim_id != 0)
		claim_row_delete(batch.claim_id, &batch.claim_place);
	MemoryContextSwitchTo(context);
	MemoryContextDelete(scratch);
}

/* The transaction that finalized has committed */
static void
finalized(void)
{
	int			kept = 0;

	for (int i = 0; i < nleftovers; i++)
	{
		if (!leftovers[i].done)
			leftovers[kept++] = leftovers[i];
	}
	nleftovers = ncommitted = kept;
	batch.claim_id = 0;
	batch.njobs = 0;
	members.looked = 0;
	members.last = NULL;
}

bool
batch_unfinalized(void)
{
	return batch.claim_id != 0 || nleftovers > 0;
}

/* ------------------------------------------------------------------------
 * Jobs that others count
 * ------------------------------------------------------------------------ */

/* Delete the rows of the jobs that have succeeded, as the end of the batch would */
static void
delete_succeeded(void)
{
	static int	deleted[BATCH_MAX];
	int			n = 0;

	own_transaction_begin();
	rollup_begin(members.looked);
	for (int i = 0; i < members.looked; i++)
	{
		BatchJob   *job = &batch.jobs[i];

		if (job->state != JOB_SUCCEEDED || !job_delete_left(&job->place, job->job.id, NULL))
			continue;
		rollup_collect(&job->job, STATE_SUCCEEDED, job->started_at, job->finished_at);
		deleted[n++] = i;
	}
	rollup_write();
	own_transaction_end();
	for (int i = 0; i < n; i++)
		batch.jobs[deleted[i]].state = JOB_SETTLED;
}

void
batch_before_job(int index)
{
	MemoryContext context = CurrentMemoryContext;

	for (; members.looked < index; members.looked++)
	{
		BatchJob   *job = &batch.jobs[members.looked];

		if (job->state == JOB_SUCCEEDED && fan_out_may_count(&job->job))
			members.last = &job->job;
	}
	if (members.last == NULL || fan_out_is_same(members.last, &batch.jobs[index].job))
		return;
	members.last = NULL;
	PG_TRY();
	{
		delete_succeeded();
	}
	PG_CATCH();
	{
		own_transaction_report_error(context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/* ------------------------------------------------------------------------
 * The next batch
 * ------------------------------------------------------------------------ */

static void
insert_claim_row(Batch *new_batch)
{
	ClaimRow	row = {new_batch->claim_id, GetCurrentTimestamp(), 0, NULL};

	row.jobs = palloc((new_batch->njobs + nleftovers) * sizeof(int64));
	for (int i = 0; i < new_batch->njobs; i++)
		row.jobs[row.njobs++] = new_batch->jobs[i].job.id;
	for (int i = 0; i < nleftovers; i++)
	{
		if (!leftovers[i].done)
			row.jobs[row.njobs++] = leftovers[i].job_id;
	}
	claim_row_insert(&row, &new_batch->claim_place);
}

/* The new batch is built beside the old one, which is still to be finalized */
Batch *
batch_new_begin(void)
{
	static Batch *spare = NULL;

	if (spare == NULL)
		spare = MemoryContextAllocZero(TopMemoryContext, sizeof(Batch));
	if (spare->context == NULL)
		spare->context = AllocSetContextCreate(TopMemoryContext, "defer batch",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(spare->context);
	spare->njobs = spare->ngroups = 0;
	spare->bytes = 0;
	spare->reserved = false;
	return spare;
}

/*
 * Write down what the new batch took, before the commit: in the table and for
 * the others in shared memory.  Leftovers of earlier batches go with it, even
 * if it is empty: each row that carries a claim is named in defer.claim.
 */
void
batch_new_record(Batch *new_batch)
{
	if (new_batch->njobs == 0 && nleftovers == 0)
	{
		new_batch->claim_id = 0;
		batch_publish(new_batch);
		return;
	}
	insert_claim_row(new_batch);
	batch_publish(new_batch);
	if (begun_jobs_stored())
		own_transaction_do_not_flush();
	else
		ForceSyncCommit();
}

/* The claim is committed: the new batch takes the old one's place */
void
batch_new_commit(Batch *new_batch)
{
	MemoryContext old = batch.context;

	finalized();

	/* copy only the used part: a Batch is large */
	memcpy(&batch, new_batch, offsetof(Batch, jobs) + new_batch->njobs * sizeof(BatchJob));
	batch.claim_lsn = XactLastCommitEnd;
	new_batch->context = old;
	new_batch->njobs = 0;
	batch_unpublish(false);
}

void
batch_new_abort(void)
{
	batch_unpublish(true);
	worker_release_suspect();
}

void
batch_flush_claim(void)
{
	if (XLogRecPtrIsInvalid(batch.claim_lsn))
		return;
	XLogFlush(batch.claim_lsn);
	batch.claim_lsn = InvalidXLogRecPtr;
}

void
batch_effects_persist(void)
{
	begun_job_persists();
	batch_flush_claim();
}

/* Finalize in a transaction of its own: no more jobs, or time to go */
void
batch_finalize(void)
{
	Batch	   *empty;

	batch_release_limits();
	worker_release_suspect();
	if (!batch_unfinalized())
		return;
	empty = batch_new_begin();
	empty->scopes = (LimitScopes) {0};
	PG_TRY();
	{
		own_transaction_begin();
		batch_finalize_in_transaction();
		if (nleftovers > 0)
			empty->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		batch_new_record(empty);
		own_transaction_end();
	}
	PG_CATCH();
	{
		batch_new_abort();
		PG_RE_THROW();
	}
	PG_END_TRY();
	batch_new_commit(empty);
}
