/*
 * claim_row.c
 *		A claim and one row that it has found: see claim_row.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "config/endpoint_settings.h"
#include "config/settings_cache.h"
#include "config/settings_memo.h"
#include "job/claim_row.h"
#include "job/end.h"
#include "shmem/workers.h"
#include "shmem/xact_notify_job.h"
#include "table/job_by_id.h"
#include "table/job_table.h"

/*
 * Returns the limits that a job has by the settings as they are, but for its group.
 * A batch is mostly of one function, so the last ones are remembered.
 */
static const JobLimits *
limits_by_settings(const Job *job)
{
	static SettingsMemo memo;
	static JobLimits limits;
	uint64		read_at;

	if (settings_memo_holds(&memo, job))
		return &limits;
	read_at = settings_memo_begin(&memo, job);
	settings_limits(memo.function, memo.queue, &limits);
	settings_memo_end(&memo, read_at);
	return &limits;
}

/*
 * Read what a job needs places under, by the settings as they are, from its row, and the
 * order_scope that it should have; returns its limits_key by them.
 */
static int64
needs_of_row(const Job *job, TupleTableSlot *slot, LimitScopes *needs, int32 *order)
{
	const JobLimits *limits = limits_by_settings(job);
	bool		isnull;
	Datum		value = slot_getattr(slot, JOB_GROUP_KEY, &isnull);
	const		text *group = isnull ? NULL : DatumGetTextPP(value);
	int32		endpoint_id = 0;

	*order = isnull ? 0 : limits->order_scope;
	if (LIMITS_KEY_IS_DELIVERY(limits->kinds))
	{
		value = slot_getattr(slot, JOB_ARGS, &isnull);
		if (!isnull)
			endpoint_id = settings_limited_endpoint(DatumGetJsonbP(value),
													DatumGetObjectId(slot_getattr(slot, JOB_OWNER,
																				  &isnull)));
	}
	return settings_scopes_of_job(limits, group, endpoint_id, needs);
}

/* Read the order_scope that a row has */
static int32
order_of_row(TupleTableSlot *slot)
{
	bool		isnull;
	Datum		scope = slot_getattr(slot, JOB_ORDER_SCOPE, &isnull);

	return isnull ? 0 : DatumGetInt32(scope);
}

/* A job that was not begun in time ends here */
static ScanAction
discard_row(ItemPointer tid, TupleTableSlot *slot)
{
	Job			job;

	job_from_slot(&job, slot);
	if (!job_delete_at(tid))
		return ROW_LOCKED;
	job_end_discarded(&job);
	return ROW_DONE;
}

/*
 * A job that has a limit by now goes into the ready queue of that limit, and one whose group
 * has an order gets a place in it
 */
static ScanAction
move_row(ItemPointer tid, TupleTableSlot *slot)
{
	Job			job;

	job_from_slot(&job, slot);
	if (!job_set_claim_at(tid, slot, 0, NULL))
		return ROW_LOCKED;
	CommandCounterIncrement();
	settings_set_limits(&job);
	job_update(&job);
	xact_notify_job(&job);
	return ROW_MOVED;
}

/* Copy a row that carries our claim now into the batch */
static void
add_to_batch(Batch *new_batch, TupleTableSlot *slot, const LimitScopes *has)
{
	BatchJob   *entry = &new_batch->jobs[new_batch->njobs++];
	MemoryContext context = MemoryContextSwitchTo(new_batch->context);

	job_from_slot(&entry->job, slot);
	MemoryContextSwitchTo(context);
	entry->job.claim = new_batch->claim_id;
	entry->job.scopes = *has;
	entry->group = new_batch->ngroups - 1;
	entry->state = JOB_TAKEN;
	new_batch->bytes += (entry->job.args != NULL ? VARSIZE_ANY(entry->job.args) : 0) +
		(entry->job.metadata != NULL ? VARSIZE_ANY(entry->job.metadata) : 0) + sizeof(BatchJob);
}

/*
 * Whether the row can be had is known only when it has been written: its values are
 * not copied before that.
 */
ScanAction
claim_row(Batch *new_batch, TupleTableSlot *slot, const LimitScopes *has, bool in_order,
		  TimestampTz now, LimitScopes *needs)
{
	ItemPointerData tid = slot->tts_tid;
	Job			job;
	int64		limits_key;
	int32		order;
	bool		alone;

	job_peek(&job, slot);
	if (job.claim != 0)
		return ROW_CLAIMED_BEFORE;
	if (job.discard_at != NO_TIME && job.discard_at <= now && job.attempt == 0)
		return discard_row(&tid, slot);
	limits_key = needs_of_row(&job, slot, needs, &order);
	if (!limit_scopes_cover(has, needs))
		return limits_key != job.limits_key ? move_row(&tid, slot) :
			ROW_OTHER_LIMITS;
	if (order != 0)
	{
		if (order != order_of_row(slot))
			return move_row(&tid, slot);
		if (!in_order)
			return ROW_IN_ORDER;
	}
	alone = job.suspect >= SUSPECT_ALONE && my_worker != NULL;
	if (alone)
	{
		/* alone in its batch, and only if that is possible now */
		if (new_batch->njobs > 0)
			return ROW_STOP;
		if (!worker_reserve_suspect())
			return ROW_POSTPONED;
	}
	if (!job_set_claim_at(&tid, slot, new_batch->claim_id,
						  &new_batch->jobs[new_batch->njobs].place))
	{
		/* what the batch takes instead is no suspect */
		if (alone)
			worker_release_suspect();
		return ROW_LOCKED;
	}
	add_to_batch(new_batch, slot, has);
	return ROW_CLAIMED;
}
