/*
 * claim_row.h
 *		What a claim does with a row.
 */
#ifndef DEFER_CLAIM_ROW_H
#define DEFER_CLAIM_ROW_H

#include "executor/tuptable.h"

#include "job/batch.h"

/* Most bytes of arguments that one claim reads */
#define CLAIM_BYTES			(4 * 1024 * 1024)

/* What a claim has done with a row */
typedef enum ScanAction
{
	ROW_CLAIMED_BEFORE,			/* nothing: it has a claim */
	ROW_CLAIMED,
	ROW_DONE,					/* discarded it */
	ROW_MOVED,					/* into another ready queue, or order */
	ROW_LOCKED,					/* nothing: another session has locked it */
	ROW_POSTPONED,				/* nothing: a suspect that cannot run now */
	ROW_IN_ORDER,				/* nothing: it is for claim_in_order() */
	ROW_OTHER_LIMITS,			/* nothing: shared memory does not know its
								 * limits, see ready_queue_rescope() */
	ROW_STOP					/* nothing, and the batch ends before it */
} ScanAction;

/*
 * Deal with a row of the scan, for which places under the limits "has" are taken:
 * add its job to the batch, if it is free and needs no other ones.  *needs is set to
 * the limits that it has by the settings as they are.  "in_order": no job of its group
 * comes before it.
 */
extern ScanAction claim_row(Batch *new_batch, TupleTableSlot *slot, const LimitScopes *has,
							bool in_order, TimestampTz now, LimitScopes *needs);

/*
 * claim_order.c: a scan of that ready queue has met a job whose group has an order: take
 * the first jobs in this order, as long as they are free, due and in this ready queue, so
 * many that the batch has "max", or ("only" is not 0) that one if it is the first.  Sets
 * queue->behind if the first is not to be had.  Returns what was done with the last one that
 * it has looked at.
 */
extern ScanAction claim_in_order(Batch *new_batch, TupleTableSlot *met, ReadyQueueChoice *queue,
								 int max, int64 only, TimestampTz now, LimitScopes *needs);

#endif							/* DEFER_CLAIM_ROW_H */
