/*
 * flow_batch.c
 *		Batches of the property test, but for what is real: as job/batch.c; and rows, as
 *		job/steal.c needs them.  See flow.h.
 */
#include "flow.h"

#include "executor/tuptable.h"

#include "config/settings_changes.h"
#include "job/claim.h"
#include "table/job_table.h"

/* Of claims, their number has the process, too */
#define CLAIM_STEP	64

/* Jobs of earlier batches whose rows were locked when they were to be set free */
typedef struct Leftovers
{
	int			n;
	int64		ids[JOBS];
	int64		claims[JOBS];
} Leftovers;

static Batch spares[PROCESSES];
static Leftovers leftovers[PROCESSES];
static int64 last_claim;

/* ------------------------------------------------------------------------
 * Batches: as job/batch.c
 * ------------------------------------------------------------------------ */

int64
nextval_internal(Oid relid, bool check_permissions)
{
	return ++last_claim * CLAIM_STEP + (current_process - processes);
}

Process *
claim_process(int64 claim)
{
	return &processes[claim % CLAIM_STEP];
}

bool
claim_is_left(int64 claim)
{
	const Process *process = claim_process(claim);

	return claim != 0 && (!process->alive || claim < process->first_claim);
}

/* What the process claims from now on is its own */
void
claims_begin(Process *process)
{
	process->first_claim = (last_claim + 1) * CLAIM_STEP;
	leftovers[process - processes].n = 0;
}

Batch *
batch_new_begin(void)
{
	Batch	   *spare = &spares[current_process - processes];

	spare->njobs = spare->ngroups = 0;
	spare->reserved = false;
	return spare;
}

void
free_row(FlowJob *row, Job *job)
{
	job->claim = 0;
	set_limits(row, job);
	row->notify = true;
}

/* False: it is locked */
static bool
finalize_row(int64 id, int64 claim)
{
	FlowJob    *row = find_job(id);

	if (row == NULL || row->job.claim != claim)
		return true;
	if (!lock_row(row))
		return false;
	free_row(row, &row->next);
	return true;
}

void
batch_finalize_in_transaction(void)
{
	Leftovers  *left = &leftovers[current_process - processes];
	const int	nleft = left->n;

	left->n = 0;
	for (int i = 0; i < nleft; i++)
	{
		if (!finalize_row(left->ids[i], left->claims[i]))
		{
			left->ids[left->n] = left->ids[i];
			left->claims[left->n++] = left->claims[i];
		}
	}
	for (int i = 0; i < batch.njobs; i++)
	{
		if (batch.jobs[i].state == JOB_TAKEN &&
			!finalize_row(batch.jobs[i].job.id, batch.claim_id) && left->n < JOBS)
		{
			left->ids[left->n] = batch.jobs[i].job.id;
			left->claims[left->n++] = batch.claim_id;
		}
	}
}

void
batch_new_record(Batch *new_batch)
{
	batch_publish(new_batch);
}

void
batch_new_commit(Batch *new_batch)
{
	memcpy(&batch, new_batch, offsetof(Batch, jobs) + new_batch->njobs * sizeof(BatchJob));
	batch_unpublish(false);
}

void
batch_new_abort(void)
{
	batch_unpublish(true);
}

void
own_transaction_begin(void)
{
	process_yield(true);
}

void
own_transaction_end(void)
{
	transaction_end();
}

void
finalize_batch(void)
{
	Batch	   *empty = batch_new_begin();

	batch_release_limits();
	if (batch.claim_id == 0 && leftovers[current_process - processes].n == 0)
		return;
	own_transaction_begin();
	batch_finalize_in_transaction();
	empty->claim_id = 0;
	empty->scopes = (LimitScopes) {0};
	batch_publish(empty);
	own_transaction_end();
	batch_new_commit(empty);
}

/* ------------------------------------------------------------------------
 * What job/steal.c needs
 * ------------------------------------------------------------------------ */

static FlowJob *found[PROCESSES];

JobTable *
job_table(void)
{
	static JobTable table;

	return &table;
}

TupleTableSlot *
table_slot_create(Relation rel, List **reglist)
{
	return NULL;
}

void
ExecDropSingleTupleTableSlot(TupleTableSlot *slot)
{
}

bool
job_tid(int64 id, ItemPointer tid, TupleTableSlot *slot)
{
	FlowJob    *row = find_job(id);

	found[current_process - processes] = row;
	return row != NULL;
}

void
job_from_slot(Job *job, TupleTableSlot *slot)
{
	*job = found[current_process - processes]->job;
}

bool
job_set_claim_at(ItemPointer tid, TupleTableSlot *old, int64 claim, CachedTid *place)
{
	FlowJob    *row = found[current_process - processes];

	if (!lock_row(row))
		return false;
	row->next.claim = claim;
	return true;
}

bool
claim_job(Batch *batch_of, const Job *wanted)
{
	abort();
}

Oid
catalog_oid(CatalogObject which)
{
	return InvalidOid;
}

uint64
settings_generation(void)
{
	return generation;
}

void
worker_release_suspect(void)
{
}
