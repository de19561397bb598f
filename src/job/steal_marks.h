/*
 * steal_marks.h
 *		Stealing: what a worker takes of another one's batch, for steal.c.
 *
 * Entries are marked in the slot of their worker, the source, with places for them; then
 * steal.c writes their rows.
 */
#ifndef DEFER_STEAL_MARKS_H
#define DEFER_STEAL_MARKS_H

#include "postgres.h"

#include "base/job.h"
#include "base/limits_key.h"
#include "job/batch.h"
#include "shmem/ready_queue.h"
#include "shmem/workers.h"

/* What is taken of one group of the source's batch */
typedef struct StolenGroup
{
	int64		group;			/* hash of its name; 0: jobs without */
	int			n;				/* jobs */
	bool		tried;			/* to get a place for it */
	bool		held;			/* its place is ours, or it needs none */
	bool		fair;			/* what it uses is charged */
	bool		ordered;		/* taken whole, or not at all */
} StolenGroup;

/* The theft in progress; one at a time */
typedef struct Theft
{
	WorkerSlot *source;			/* NULL: none */
	int64		claim_id;		/* the source's */
	LimitScopes scopes;			/* of its batch, but for groups */
	bool		reserved;		/* a place under these, for us */
	bool		waited;			/* processes wait for what changed: see
								 * batch_places_released() */
	int			ngroups;		/* the same as the source's */
	StolenGroup groups[READY_CLAIM_MAX];
	int			n;
	int64		ids[BATCH_MAX]; /* newest first */
	int16		group_of[BATCH_MAX];
} Theft;

extern Theft steal;

/*
 * Choose a source, a worker of our role with jobs that wait behind one that takes long, and
 * mark what we take.  *later: a worker may become one.
 */
extern void steal_mark_waiting(bool *later);

/*
 * Mark a job that waits in the batch of a worker of our role, with others of its group if it
 * cannot be had without them.  Returns whether it waits; if it may not run nothing is marked
 */
extern bool steal_mark_job(int64 job_id);

/* What is marked waits again.  Then its places are not needed; true: see batch_places_released() */
extern void steal_give_back(void);
extern bool steal_release_places(void);

extern LimitScopes steal_scopes_of_group(int index);

#endif							/* DEFER_STEAL_MARKS_H */
