/*
 * dependents_told.h
 *		What transactions have told the scheduler about jobs that come after others:
 *		shmem/dependents_told.c.
 */
#ifndef DEFER_DEPENDENTS_TOLD_H
#define DEFER_DEPENDENTS_TOLD_H

#include "postgres.h"

/* Jobs that the scheduler is told of by id; of more it looks at all */
#define DEPENDENTS_TOLD		64

/* What the scheduler is to look at */
typedef struct DependentsTold
{
	int64		id;
	bool		waits;			/* the job waits, and may wait in vain; else
								 * it has ended, and others may await it */
} DependentsTold;

/* Add to what it was told; n: DEPENDENTS_TOLD + 1: it is to look at all */
extern void dependents_tell_scheduler(const DependentsTold *told, int n);

/*
 * For the scheduler.  Take what it was told; *all: and that it is to look at all
 * dependencies, *clean: also for those of jobs whose history is gone.
 */
extern int	dependents_take(DependentsTold *told, bool *all, bool *clean);
extern void dependents_look_at_all(bool clean);

#endif							/* DEFER_DEPENDENTS_TOLD_H */
