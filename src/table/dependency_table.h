/*
 * dependency_table.h
 *		Rows of defer.dependency: table/dependency_table.c.
 *
 * All reads are as of now, and see what this transaction has written.
 */
#ifndef DEPENDENCY_TABLE_H
#define DEPENDENCY_TABLE_H

#include "postgres.h"

#include "storage/itemptr.h"

#include "base/job_state.h"

/* What becomes of a job when one that it comes after does not succeed */
#define AFTER_FAILURE_CANCEL	'c'
#define AFTER_FAILURE_RUN		'r'
#define AFTER_FAILURE_HOLD		'h'
#define AFTER_FAILURE_WAKE		'w' /* run, whatever else it waits for */
#define AFTER_FAILURE_OWN		'o' /* run; the earlier job is cancelled if
									 * the later one ends before it, and not
									 * well */

/* dependency.state, besides those of the history */
#define PARENT_NOT_ENDED		'\0'
#define PARENT_GONE				'g'

typedef struct Dependency
{
	int64		child_id;
	int32		ord;			/* below 0: a step waits for it */
	Oid			owner;			/* of the later job */
	int64		parent_id;		/* below 0: the batch of that job */
	int64		awaits_id;
	bool		open;
	char		after_failure;
	char		state;
	char		on_states[JOB_ENDS + 1];	/* letters; "": after_failure says
											 * what is done */
	ItemPointerData tid;		/* of a row that was read */
} Dependency;

/* Check whether the later job does not run if the earlier one has ended so, or is gone */
extern bool dependency_cancels(const Dependency *dependency, char state);

extern void dependency_insert(const Dependency *dependency);

/* Returns false if another session is at the row or was: never waits */
extern bool dependency_update(const Dependency *dependency);

/* The same; deletes it */
extern bool dependency_delete(const Dependency *dependency);

/*
 * The open rows that await a job, from the later job behind "after" on: up to max of
 * them, in *found, in the current memory context.  Returns how many.
 */
extern int	dependency_awaiting(int64 awaits_id, int64 after, int max, Dependency **found);

/*
 * Check whether the job has an open row.  Those behind ord are looked at first:
 * they are the likely ones.
 */
extern bool dependency_has_open(int64 child_id, int32 ord);

/* All rows of a job in their order, in the current memory context */
extern int	dependency_of_child(int64 child_id, Dependency **found);

/* Those of a step that waits, with ord below 0 */
extern int	dependency_of_step(int64 child_id, Dependency **found);

/* Check for a closed one of these; for an open one that awaits a job */
extern bool dependency_step_closed(int64 child_id);
extern bool dependency_step_open(int64 child_id);

/*
 * The open rows of a job with AFTER_FAILURE_OWN, with ord above "after": up to max of them,
 * as above
 */
extern int	dependency_own(int64 child_id, int32 after, int max, Dependency **found);

/* Call a function with the awaited job of each open row */
extern void dependency_each_open(void (*function) (int64 awaits_id));

#endif							/* DEPENDENCY_TABLE_H */
