/*
 * workflow.h
 *		Starting workflows, and what the scheduler does for them.
 */
#ifndef WORKFLOW_H
#define WORKFLOW_H

#include "utils/jsonb.h"

#include "base/own_sql.h"
#include "workflow/definition.h"

/*
 * workflow/start.c: enqueue the steps that have no job_id, and the workflow.  Returns its id,
 * or that of an unfinished one that has the key; then nothing is enqueued.
 */
extern int64 workflow_start(Workflow *workflow, Jsonb *args, text *key, int64 retry_of,
							WorkflowPlace *place);

/*
 * workflow/run_step.c: the arguments of a job of WORKFLOW_RUN_STEP that starts a workflow of
 * that name, and ends as it does.  "description" is text, of workflow_description().
 */
extern Jsonb *workflow_run_args(const char *name, const char *description);

/* Steps that were checked, and args, as text; NULL: none */
extern char *workflow_description(Jsonb *steps, Jsonb *args);

/* workflow/prepare.c: this process is the scheduler */
extern void workflow_prepare_init(void);

#endif							/* WORKFLOW_H */
