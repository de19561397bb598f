/*
 * flow_claim.c
 *		Claims of the property test: the rows of a ready queue, as job/claim.c, claim_row.c and
 *		claim_order.c take them.  See flow.h.
 */
#include "flow.h"

#include "job/claim_row.h"

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
