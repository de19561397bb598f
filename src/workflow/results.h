/*
 * results.h
 *		Results of steps, for the scheduler: workflow/results.c.
 */
#ifndef WORKFLOW_RESULTS_H
#define WORKFLOW_RESULTS_H

#include "utils/jsonb.h"

struct Job;

/* What one step refers to */
typedef struct StepResults StepResults;

/*
 * Read what the references in args and in a condition of a step stand for; NULL: there is
 * none.  Good in the current memory context.  In own_sql_begin().
 */
extern StepResults *results_of_step(const struct Job *job, Jsonb *args, Jsonb *condition);

/* What a reference stands for.  Error if all that were read are too large together */
extern Jsonb *results_look_up(const char *reference, void *results);

/*
 * The result of a workflow whose steps have ended: an object with those of its final steps.
 * NULL: it has none, or they are too large.
 */
extern Jsonb *results_of_workflow(int64 workflow_id);

#endif							/* WORKFLOW_RESULTS_H */
