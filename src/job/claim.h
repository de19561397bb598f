/*
 * claim.h
 *		How a worker, or the sender, gets jobs: from ready queues, from another
 *		worker's batch, or one by its id.
 */
#ifndef DEFER_CLAIM_H
#define DEFER_CLAIM_H

#include "job/batch.h"

/* Each in a transaction of its own: job/claim.c, job/steal.c */
extern bool batch_claim(int max, TimestampTz *look_again);
extern bool batch_steal(bool *later);
extern bool batch_take_job(const Job *job);
extern void batch_steal_abandon(void);	/* SIGTERM may come in the midst of it */

/* Fill a batch; in the caller's transaction, for the sender, too */
extern void claim_ready_queue(Batch *new_batch, ReadyQueueChoice *choice, int max,
							  TimestampTz now);

/* One job, as it was read; in the caller's transaction */
extern bool claim_job(Batch *new_batch, const Job *wanted);

/*
 * job/claim_awaited.c: jobs that jobs await, the deepest first; see await_depth in
 * the worker's slot.  Take one of the worker's role, of min_depth or more; its
 * depth is in *depth.  Count those of a role that could begin now.  Both lower
 * *next_check to when one is due.
 */
extern bool batch_take_awaited(int min_depth, int *depth, TimestampTz *next_check);
extern int	awaited_ready(Oid owner, int min_depth, TimestampTz now, TimestampTz *next_check);

#endif							/* DEFER_CLAIM_H */
