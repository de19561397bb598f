/*
 * flow_worker.c
 *		Workers of the property test: what process/worker.c, run_job.c and batch_claim() do.
 *		See flow.h.
 */
#include "flow.h"

#include "commands/sequence.h"
#include "utils/timestamp.h"

#include "config/settings_changes.h"
#include "job/claim.h"
#include "process/batch_size.h"

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
	row->failed = !succeeded && row->job.order_scope != 0 && random_below(2) == 0;
	row->deleted = succeeded || row->failed;
	if (!row->deleted)
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
		finalize_batch();
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
	my_worker->blocked = failed;
	if (failed)
	{
		transaction_abort();
		me->nlocks = 0;
		process_set_latch(scheduler);
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
	TimestampTz promised = DT_NOEND;
	int			max = 1;

	my_worker = &worker_slots[me->number];
	my_worker->database = DATABASE;
	my_worker->owner = FIRST_OWNER + me->number % plan.nowners;
	claims_begin(me);
	for (;;)
	{
		TimestampTz look_again = promised > GetCurrentTimestamp() ? promised : DT_NOEND;
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
			if (look_again != DT_NOEND)
				process_set_latch(scheduler);
			promised = DT_NOEND;
			if (woken && ready_queue_is_due(DATABASE, my_worker->owner, GetCurrentTimestamp()))
				process_set_latch(scheduler);
			for (int i = 0; i < batch.njobs; i++)
				run_job(me, &batch.jobs[i], i);
			max = next_batch_size(&sizing, max, flow_clock - began);
			continue;
		}
		promised = look_again;
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
		finalize_batch();
	batch_release_limits();
	my_worker->state = WORKER_FREE;
	my_worker->blocked = false;
	my_worker->nentries = my_worker->nwaiting = my_worker->ngroups = 0;
	my_worker->current_job = 0;
	my_worker->database = InvalidOid;
	process_set_latch(scheduler);
}
