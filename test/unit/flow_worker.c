/*
 * flow_worker.c
 *		Workers of the property test: what job/claim.c, job/batch.c and process/worker.c do, but
 *		for the rows.  See flow.h.
 */
#include "flow.h"

#include "executor/tuptable.h"
#include "utils/timestamp.h"

#include "config/settings_changes.h"
#include "job/claim.h"
#include "job/claim_row.h"
#include "process/batch_size.h"
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
 * Claiming rows: as job/claim.c, claim_row.c and claim_order.c
 * ------------------------------------------------------------------------ */

static ScanAction
move_row(FlowJob *row)
{
	if (!lock_row(row))
		return ROW_LOCKED;
	set_limits(row, &row->next);
	row->notify = true;
	return ROW_MOVED;
}

static ScanAction
take_row(Batch *batch_of, FlowJob *row, const LimitScopes *has, bool in_order, LimitScopes *needs)
{
	Job			job = row->job;
	BatchJob   *entry = &batch_of->jobs[batch_of->njobs];

	if (job.claim != 0 || row->writer == current_process)
		return ROW_CLAIMED_BEFORE;
	if (row->writer != NULL)
		return ROW_LOCKED;
	set_limits(row, &job);
	*needs = job.scopes;
	if (!limit_scopes_cover(has, needs))
		return job.limits_key != row->job.limits_key ? move_row(row) : ROW_OTHER_LIMITS;
	if (job.order_scope != 0)
	{
		if (job.order_scope != row->job.order_scope)
			return move_row(row);
		if (!in_order)
			return ROW_IN_ORDER;
	}
	(void) lock_row(row);
	row->next.claim = batch_of->claim_id;
	row->claimed = step;
	row->ordered = in_order;
	entry->job = row->next;
	entry->job.scopes = *has;
	entry->group = batch_of->ngroups - 1;
	entry->state = JOB_TAKEN;
	batch_of->njobs++;
	return ROW_CLAIMED;
}

/* The first row in the order of that one's group, after "id"; NULL: there is none */
static FlowJob *
next_in_order(const FlowJob *like, int64 id)
{
	FlowJob    *first = NULL;

	for (int i = 0; i < JOBS; i++)
	{
		FlowJob    *row = &jobs[i];

		if (row->used && row->visible && row->job.order_scope == like->job.order_scope &&
			row->group == like->group && row->job.id > id &&
			(first == NULL || row->job.id < first->job.id))
			first = row;
	}
	return first;
}

static bool
is_of(const FlowJob *row, const ReadyQueueChoice *queue)
{
	return row->job.owner == queue->owner && row->job.limits_key == queue->limits_key &&
		row->job.priority == queue->priority;
}

static ScanAction
take_in_order(Batch *batch_of, const FlowJob *met, ReadyQueueChoice *queue, int max,
			  TimestampTz now, LimitScopes *needs)
{
	const int	before = batch_of->njobs;
	ScanAction	action = ROW_STOP;
	int64		id = 0;
	FlowJob    *row;

	batch_of->ordered[batch_of->ngroups - 1] = true;
	while (batch_of->njobs < max && (row = next_in_order(met, id)) != NULL)
	{
		id = row->job.id;
		action = ROW_STOP;
		if (row->job.claim == 0 && row->job.run_at <= now && is_of(row, queue))
			action = take_row(batch_of, row, &queue->scopes, true, needs);
		else
		{
			queue->behind = true;
			queue->pause_after = false;
			queue->behind_order = id;
			queue->behind_until = row->job.claim == 0 && row->job.run_at > now ? row->job.run_at : DT_NOEND;
		}
		if (action != ROW_CLAIMED)
			break;
	}
	if (batch_of->njobs > before)
		queue->behind = false;
	return action;
}

static bool
batch_has(const Batch *batch_of, int64 id)
{
	for (int i = 0; i < batch_of->njobs; i++)
	{
		if (batch_of->jobs[i].job.id == id)
			return true;
	}
	return false;
}

/* The first row of a ready queue that has no smaller key; NULL: there is none */
static FlowJob *
next_of_queue(const ReadyQueueChoice *queue, ReadyKey from)
{
	FlowJob    *first = NULL;

	for (int i = 0; i < JOBS; i++)
	{
		FlowJob    *row = &jobs[i];
		const ReadyKey key = {row->job.run_at, row->job.id};

		if (row->used && row->visible && is_of(row, queue) && !ready_key_before(key, from) &&
			(first == NULL ||
			 ready_key_before(key, (ReadyKey) {first->job.run_at, first->job.id})))
			first = row;
	}
	return first;
}

static void
begin_group(Batch *batch_of, const ReadyQueueChoice *choice)
{
	const int	i = batch_of->ngroups++;

	batch_of->groups[i] = choice->scopes.group;
	batch_of->charges[i] = (FairCharge) {choice->scopes.group != 0, false, 0};
	batch_of->rated[i] = batch_of->counted[i] = choice->planned > 0;
	batch_of->ordered[i] = false;
}

/* Length: the parts of claim_ready_queue() that concern keys stand together, as there */
void
scan_queue(Batch *batch_of, ReadyQueueChoice *choice, int max, TimestampTz now)
{
	const int	before = batch_of->njobs;
	ReadyKey	postponed = READY_KEY_NONE;
	ReadyKey	stopped = READY_KEY_NONE;
	LimitScopes needs = {0};
	ScanAction	action = ROW_DONE;
	bool		in_order = false;
	FlowJob    *row;

	begin_group(batch_of, choice);
	choice->pause_after = true;
	ready_queue_scan_begin(choice, DATABASE);
	choice->next = choice->min_key;
	if (choice->min_key.run_at > now)
	{
		ready_queue_scan_advance(choice, DATABASE, now);
		return;
	}
	for (ReadyKey from = choice->min_key; (row = next_of_queue(choice, from)) != NULL;)
	{
		const ReadyKey key = {row->job.run_at, row->job.id};

		from = (ReadyKey) {key.run_at, key.id + 1};
		action = ROW_STOP;
		if (key.run_at <= now && (in_order || batch_of->njobs < max))
		{
			ScanAction	found = ROW_IN_ORDER;

			if (!in_order)
				found = take_row(batch_of, row, &choice->scopes, false, &needs);
			if (found == ROW_IN_ORDER && !in_order)
			{
				in_order = true;
				found = take_in_order(batch_of, row, choice, max, now, &needs);
				choice->pause_after = choice->pause_after && found != ROW_MOVED;
			}
			action = !in_order ? found : batch_has(batch_of, key.id) ? ROW_CLAIMED :
				found == ROW_OTHER_LIMITS ? ROW_OTHER_LIMITS : ROW_STOP;
		}
		if (action == ROW_STOP || action == ROW_OTHER_LIMITS)
		{
			stopped = key;
			break;
		}
		if (action == ROW_LOCKED && ready_key_before(key, postponed))
			postponed = key;
	}
	choice->next = ready_key_before(postponed, stopped) ? postponed : stopped;
	choice->taken = batch_of->njobs - before;
	ready_queue_scan_advance(choice, DATABASE, now);
	if (action == ROW_OTHER_LIMITS)
	{
		ReadyQueueChoice moved = *choice;

		moved.scopes = needs;
		ready_queue_rescope(DATABASE, &moved, now);
		process_set_latch(scheduler);
		choice->pause_after = false;
	}
}

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

/* In a transaction of its own */
static void
finalize(void)
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

/* ------------------------------------------------------------------------
 * Jobs: as process/run_job.c
 * ------------------------------------------------------------------------ */

static bool
limits_have_changed(FlowJob *row, const Job *job)
{
	Job			needs = *job;

	model_decides(row);
	if (batch.settings == generation)
		return false;
	set_limits(row, &needs);
	return !limit_scopes_cover(&job->scopes, &needs.scopes) ||
		limits_are_exceeded(DATABASE, &needs.scopes);
}

static bool
wait_for_token(FlowJob *row, const BatchJob *job, int index)
{
	Token		token = {0};
	TokenOutcome outcome;

	if (!batch.rated[job->group] && batch.settings == generation)
		return true;
	outcome = batch_take_token(index, &job->job.scopes, &token);
	batch_places_released(token.waited);
	if (outcome != TOKEN_TAKEN)
		return outcome == TOKEN_NOT_NEEDED;
	model_token(row, &job->job.scopes, &token);
	process_sleep(token.at, true);
	return true;
}

static void
end_job(FlowJob *row, bool succeeded)
{
	process_yield(true);
	while (!lock_row(row))
		process_sleep(flow_clock + 5000, true);
	row->deleted = succeeded;
	if (!succeeded)
	{
		row->next.attempt++;
		row->next.run_at = GetCurrentTimestamp() + random_below(400000);
		free_row(row, &row->next);
	}
	transaction_end();
	model_ends(row);
}

static int64
duration(void)
{
	if (plan.fair)
		return plan.longest;
	/* so long that others take over what waits in the batch */
	if (!plan.draining && random_below(plan.pace > 1 ? 12 : 50) == 0)
		return random_below(5 * USECS_PER_SEC);
	return random_below(8) == 0 ? random_below(plan.longest * 10) : random_below(plan.longest);
}

static void
run_job(Process *me, BatchJob *job, int index)
{
	FlowJob    *row = find_job(job->job.id);
	bool		succeeded = plan.draining || plan.fair || random_below(8) != 0;

	process_yield(true);
	if (row == NULL || !wait_for_token(row, job, index))
	{
		batch_leave_job(index);
		return;
	}
	if (limits_have_changed(row, &job->job))
		batch_leave_job(index);
	if (!batch_start_job(index, GetCurrentTimestamp()))
		return;
	model_starts(row, &job->job.scopes);
	me->runs = row;
	process_sleep(flow_clock + duration(), true);
	end_job(row, succeeded);
	me->runs = NULL;
	job->state = JOB_SETTLED;
	batch_end_job(succeeded);
}

/* ------------------------------------------------------------------------
 * The process: as process/worker.c and batch_claim()
 * ------------------------------------------------------------------------ */

static void
claim_queues(Batch *new_batch, ReadyClaim *claim, int max, TimestampTz now)
{
	own_transaction_begin();
	batch_finalize_in_transaction();
	new_batch->claim_id = nextval_internal(InvalidOid, false);
	new_batch->settings = generation;
	for (int i = 0; i < claim->nqueues && new_batch->njobs < max; i++)
		scan_queue(new_batch, &claim->queues[i],
				   Min(max, new_batch->njobs + claim->queues[i].share), now);
	batch_publish(new_batch);
	own_transaction_end();
}

static bool
claim_batch(Process *me, int max, TimestampTz *look_again)
{
	const TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;
	ReadyClaim *claim;
	Batch	   *new_batch;
	bool		claimed;
	bool		waited;

	batch_release_limits();
	claim = ready_queue_choose(DATABASE, my_worker->owner, max, now, look_again);
	if (claim == NULL)
	{
		finalize();
		return false;
	}
	new_batch = batch_new_begin();
	new_batch->scopes = claim->queues[0].scopes;
	new_batch->scopes.group = 0;
	PG_TRY();
	{
		claim_queues(new_batch, claim, max, now);
	}
	PG_CATCH();
	{
		ready_queue_scan_abort(claim, DATABASE);
		batch_new_abort();
		PG_RE_THROW();
	}
	PG_END_TRY();
	claimed = new_batch->njobs > 0;
	waited = ready_queue_scan_end(claim, DATABASE, now);
	new_batch->reserved = claimed;
	for (int i = 0; i < new_batch->ngroups; i++)
		new_batch->charges[i] = claim->queues[i].charge;
	batch_new_commit(new_batch);
	next = claim->next_token;
	for (int i = 0; i < claim->nqueues; i++)
	{
		if (claim->queues[i].next.run_at > now)
			next = Min(next, claim->queues[i].next.run_at);
	}
	if (!claimed)
	{
		batch_leave_reserved();
		*look_again = Min(*look_again, now);
	}
	if (waited || next < DT_NOEND)
		process_set_latch(scheduler);
	return claimed;
}

/* False: nothing was taken; an error counts as that */
static bool
take_batch(Process *me, int max, TimestampTz *look_again, bool *steal_later)
{
	volatile bool took = false;
	volatile bool failed = false;

	PG_TRY();
	{
		took = claim_batch(me, max, look_again) || batch_steal(steal_later);
	}
	PG_CATCH();
	{
		failed = true;
	}
	PG_END_TRY();
	if (failed)
	{
		transaction_abort();
		me->nlocks = 0;
		process_sleep(flow_clock + USECS_PER_SEC, true);
		*look_again = 0;
	}
	return took;
}

static int
next_batch_size(BatchSizing *sizing, int max, int64 elapsed)
{
	const BatchRun last = {batch.jobs[0].job.priority, plan.flushes, max, batch.njobs, elapsed,
	flow_clock};

	if (!plan.fair && random_below(4) == 0)
		return 1 + random_below(20);
	return batch_size_next(sizing, &last, BATCH_MAX);
}

void
worker_main(Process *me)
{
	BatchSizing sizing = {0};
	int			max = 1;

	my_worker = &worker_slots[me->number];
	my_worker->database = DATABASE;
	my_worker->owner = FIRST_OWNER + me->number % plan.nowners;
	claims_begin(me);
	leftovers[me - processes].n = 0;
	for (;;)
	{
		TimestampTz look_again = DT_NOEND;
		bool		steal_later = false;
		int64		until = flow_clock + 10 * USECS_PER_SEC;

		me->latch = false;
		my_worker->state = WORKER_IDLE;
		my_worker->woken = false;
		if (take_batch(me, max, &look_again, &steal_later))
		{
			const int64 began = flow_clock;
			bool		woken = my_worker->woken;

			my_worker->state = WORKER_BUSY;
			my_worker->woken = false;
			if (woken && ready_queue_is_due(DATABASE, my_worker->owner, GetCurrentTimestamp()))
				process_set_latch(scheduler);
			for (int i = 0; i < batch.njobs; i++)
				run_job(me, &batch.jobs[i], i);
			max = next_batch_size(&sizing, max, flow_clock - began);
			continue;
		}
		if (look_again != DT_NOEND)
			until = Min(until, flow_clock + Max(look_again - GetCurrentTimestamp(), 0) + 1000);
		if (steal_later)
			until = Min(until, flow_clock + 20000);
		me->idle = true;
		if (!my_worker->woken)
			process_wait(until);
		me->idle = false;
	}
}

/* The process ends, in the midst of anything: as worker_before_exit() and worker_detach() */
void
worker_ends(Process *me)
{
	FlowJob    *row = me->runs;
	const bool	hard = random_below(3) == 0;

	ready_queue_scan_abandon(DATABASE);
	batch_steal_abandon();
	transaction_abort();
	me->nlocks = 0;
	me->runs = NULL;
	if (row != NULL)
		model_ends(row);
	if (!hard && row != NULL)
	{
		for (int i = 0; i < batch.njobs; i++)
		{
			if (batch.jobs[i].job.id == row->job.id)
				batch.jobs[i].state = JOB_SETTLED;
		}
		while (!lock_row(row))
			process_sleep(flow_clock + 5000, false);
		free_row(row, &row->next);
		transaction_end();
	}
	if (!hard)
		finalize();
	batch_release_limits();
	my_worker->state = WORKER_FREE;
	my_worker->nentries = my_worker->nwaiting = my_worker->ngroups = 0;
	my_worker->current_job = 0;
	my_worker->database = InvalidOid;
	process_set_latch(scheduler);
}
