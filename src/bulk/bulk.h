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
	BULK_RETRY,
	BULK_ACKNOWLEDGE,
	BULK_RESCHEDULE
} BulkAction;

/* What is done with each job */
typedef struct BulkOrder
{
	BulkAction	action;
	bool		force;			/* of cancel: stop those that run; of rerun
								 * and retry: run again those that were
								 * already */
	TimestampTz run_at;			/* of reschedule */
	char	   *note;			/* of acknowledge; NULL: none */
} BulkOrder;

/*
 * bulk/run.c
 */

extern const char *const bulk_action_names[];	/* by BulkAction */

/*
 * Do it with jobs, the lowest id first, in the caller's transaction and as the
 * current user.  Returns with how many; the others are left as they are: their
 * state does not allow it any more.
 */
extern int64 bulk_do(const BulkOrder *order, int64 *ids, int n);

/* Delete sets of jobs whose job has ended for good without getting through them */
extern void bulk_clean_up(void);

#endif							/* BULK_H */
