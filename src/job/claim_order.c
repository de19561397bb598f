/*
 * claim_order.c
 *		A claim and the jobs of a group that run in order: see claim_row.h.
 *
 * The claim holds the only place of the group, so no job of it runs, but for one that a
 * process has left behind when it ended: its row has a claim, and no row in the history.
 * Whatever keeps the first job from being taken keeps those after it, too: it is not due,
 * waits for other jobs, is another role's or of another priority, is locked.
 *
 * A job that another transaction has enqueued and not committed is not seen: if its id is
 * smaller it runs later all the same, when it is there.
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "job/claim_row.h"
#include "table/history_table.h"
#include "table/job_row.h"
#include "table/job_table.h"
#include "table/order_scan.h"
#include "table/ready_scan.h"

/* Note that the ready queue waits for a job: until its time, or until something is changed */
static void
wait_behind(ReadyQueueChoice *queue, TupleTableSlot *slot, TimestampTz until)
{
	bool		isnull;
	Datum		rerun_of = slot_getattr(slot, JOB_RERUN_OF, &isnull);

	queue->behind = true;
	queue->pause_after = false;
	queue->behind_order = DatumGetInt64(isnull ? slot_getattr(slot, JOB_ID, &isnull) : rerun_of);
	queue->behind_until = until;
}

/* Deal with the next row of the order.  ROW_CLAIMED and ROW_DONE: the one after it is next */
static ScanAction
next_row(Batch *new_batch, TupleTableSlot *slot, ReadyQueueChoice *queue, int64 only,
		 TimestampTz now, LimitScopes *needs)
{
	bool		isnull;
	int64		id = DatumGetInt64(slot_getattr(slot, JOB_ID, &isnull));
	TimestampTz run_at = DatumGetTimestampTz(slot_getattr(slot, JOB_RUN_AT, &isnull));

	(void) slot_getattr(slot, JOB_CLAIM, &isnull);
	if (!isnull)
	{
		/* it has ended, and a session had its row locked just then */
		if (history_exists(id))
			return ROW_DONE;
		wait_behind(queue, slot, DT_NOEND);
		return ROW_CLAIMED_BEFORE;
	}
	if (run_at > now || !ready_scan_is_row_of(slot, queue) || (only != 0 && id != only))
	{
		wait_behind(queue, slot, run_at > now ? run_at : DT_NOEND);
		return ROW_STOP;
	}
	return claim_row(new_batch, slot, &queue->scopes, true, now, needs);
}

ScanAction
claim_in_order(Batch *new_batch, TupleTableSlot *met, ReadyQueueChoice *queue, int max,
			   int64 only, TimestampTz now, LimitScopes *needs)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "defer ordered row",
													  ALLOCSET_SMALL_SIZES);
	bool		isnull;
	int32		scope = DatumGetInt32(slot_getattr(met, JOB_ORDER_SCOPE, &isnull));
	text	   *group = DatumGetTextPP(slot_getattr(met, JOB_GROUP_KEY, &isnull));
	const int	before = new_batch->njobs;
	ScanAction	action = ROW_STOP;
	OrderScan	scan;

	new_batch->ordered[new_batch->ngroups - 1] = true;
	order_scan_open(&scan, scope, group);
	while (new_batch->njobs < max && new_batch->bytes <= CLAIM_BYTES && order_scan_next(&scan))
	{
		MemoryContext context = MemoryContextSwitchTo(row_context);

		action = next_row(new_batch, scan.slot, queue, only, now, needs);
		MemoryContextSwitchTo(context);
		MemoryContextReset(row_context);
		if (action != ROW_CLAIMED && action != ROW_DONE)
			break;
		if (my_worker != NULL && action == ROW_CLAIMED &&
			new_batch->jobs[0].job.suspect >= SUSPECT_ALONE)
			break;
	}
	order_scan_close(&scan);
	MemoryContextDelete(row_context);
	if (new_batch->njobs > before)
		queue->behind = false;	/* it waits for these now */
	return action;
}
