/*
 * claim_row.h
 *		What a claim does with a row.
 */
#ifndef DEFER_CLAIM_ROW_H
#define DEFER_CLAIM_ROW_H

#include "executor/tuptable.h"

#include "job/batch.h"

/* What a claim has done with a row */
typedef enum ScanAction
{
	ROW_CLAIMED_BEFORE,			/* nothing: it has a claim */
	ROW_CLAIMED,
	ROW_DONE,					/* moved or discarded it */
	ROW_LOCKED,					/* nothing: another session has locked it */
	ROW_POSTPONED,				/* nothing: a suspect that cannot run now */
	ROW_OTHER_LIMITS,			/* nothing: shared memory does not know its
								 * limits, see ready_queue_rescope() */
	ROW_STOP					/* nothing, and the batch ends before it */
} ScanAction;

/*
 * Deal with a row of the scan, for which places under the limits "has" are taken:
 * add its job to the batch, if it is free and needs no other ones.  *needs is set to
 * the limits that it has by the settings as they are.
 */
extern ScanAction claim_row(Batch *new_batch, TupleTableSlot *slot, const LimitScopes *has,
							TimestampTz now, LimitScopes *needs);

#endif							/* DEFER_CLAIM_ROW_H */
