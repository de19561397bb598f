/*
 * fair_queue.h
 *		Fair share of workers between groups of one role, queue and priority.
 *
 * A fair queue is the ready queues of a role and priority that are under the limits of
 * one queue; queues without limits count as one.  It exists while some of its jobs are
 * of a group.  Each group has an account in it, those without a group have one together:
 * what the group was served, by its weight (pure/virtual_time.h).  Claims take from the
 * account that was served least.
 *
 * Whatever is taken of an account is charged when it is chosen, with what it is expected
 * to take.  The charge is held by the claim, then by the group's part of the batch, and
 * is corrected once, when that part has ended:
 *
 *		a claim			ReadyQueueChoice, from choose to _scan_end() or _abort()
 *		a batch			BatchGroup, until the first job of the part begins, or none will
 *		a worker		FairRun, until the part has ended; it is charged on meanwhile
 *
 * test/model/fair.pml is a model of this.  All is under ready_lock.
 */
#ifndef DEFER_FAIR_QUEUE_H
#define DEFER_FAIR_QUEUE_H

#include "postgres.h"

#include "lib/ilist.h"

/* What a batch holds for a group */
typedef struct FairCharge
{
	bool		fair;			/* its jobs are to be charged */
	bool		held;			/* this was charged already, and is to be
								 * corrected: */
	double		amount;			/* virtual time */
} FairCharge;

/* The part of a worker's batch that runs: in its slot */
typedef struct FairRun
{
	struct FairAccount *account;	/* NULL: none */
	dlist_node	node;			/* in account->runs */
	int			group;			/* index in the batch's groups */
	int			njobs;			/* that have begun */
	int64		since;			/* monotonic */
	double		charged;		/* virtual time */
	double		counted;		/* microseconds, in the use of the last minute */
	double		weight;
} FairRun;

/* What a group, and all of its fair queue, have used in the last minute (microseconds) */
typedef struct FairUse
{
	Oid			owner;
	double		by_group;
	double		by_all;
} FairUse;

struct WorkerSlot;

/*
 * The worker begins a job of that group of its batch; ends the part that ran before.
 * The caller holds the lock of the slot.
 */
extern void fair_run_job(struct WorkerSlot *slot, int group);

/*
 * Nothing of that group of the worker's batch is left to run: correct what was charged.
 * The caller holds the lock of the slot.
 */
extern void fair_run_end(struct WorkerSlot *slot, int group);

/*
 * What a group has used in the fair queues of each role and priority under that queue, 0:
 * under queues without limits; at most "max".  Returns how many.
 */
extern int	fair_uses(Oid database, int32 queue_id, int64 group, FairUse *uses, int max);

#endif							/* DEFER_FAIR_QUEUE_H */
