/*
 * bulk.h
 *		Commands on all jobs that pass a filter.
 */
#ifndef BULK_H
#define BULK_H

#include "datatype/timestamp.h"

#include "base/own_sql.h"

typedef enum BulkAction
{
	BULK_CANCEL,
	BULK_RERUN,
	BULK_RESCHEDULE
} BulkAction;

/* What is done with each job */
typedef struct BulkOrder
{
	BulkAction	action;
	bool		force;			/* of cancel: stop those that run */
	TimestampTz run_at;			/* of reschedule */
} BulkOrder;

/*
 * bulk/run.c
 */

/*
 * Do it with jobs, the lowest id first, in the caller's transaction and as the
 * current user.  Returns with how many; the others are left as they are: their
 * state does not allow it any more.
 */
extern int64 bulk_do(const BulkOrder *order, int64 *ids, int n);

/* Delete sets of jobs whose job has ended for good without getting through them */
extern void bulk_clean_up(void);

#endif							/* BULK_H */
