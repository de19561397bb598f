/*
 * workflow.h
 *		Starting workflows, and what the scheduler does for them.
 */
#ifndef WORKFLOW_H
#define WORKFLOW_H

#include "utils/jsonb.h"

#include "workflow/definition.h"

/*
 * workflow/start.c: enqueue the steps that have no job_id, and the workflow.  Returns its id,
 * or that of an unfinished one that has the key; then nothing is enqueued.
 */
extern int64 workflow_start(Workflow *workflow, Jsonb *args, text *key, int64 retry_of,
							WorkflowPlace *place);

/* workflow/prepare.c: this process is the scheduler */
extern void workflow_prepare_init(void);

#endif							/* WORKFLOW_H */
