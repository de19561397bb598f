/*
 * definition.h
 *		A workflow as it was given: workflow/definition.c.
 */
#ifndef WORKFLOW_DEFINITION_H
#define WORKFLOW_DEFINITION_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "config/job_target.h"

/* Longest name of a workflow (bytes) */
#define WORKFLOW_NAME_MAX	200

/* The name that stands for the arguments of the workflow in references */
#define WORKFLOW_ARGS	"args"

/* What is done if a step does not succeed (workflow_step.on_failure) */
#define ON_FAILURE_FAIL		'f' /* the workflow fails */
#define ON_FAILURE_SKIP		's' /* the steps after it are not run */
#define ON_FAILURE_RUN		'r' /* they are run all the same */

typedef struct WorkflowStep
{
	int			ord;			/* from 1 on */
	const char *name;
	Jsonb	   *definition;		/* the object */
	JobTarget	target;			/* its function; without the entry */
	Jsonb	   *args;			/* NULL: none */
	Jsonb	   *sample;			/* the same with null for each reference */
	bool		prepare;		/* references or a condition */
	char		on_failure;
	bool		final;			/* no other step comes after it */
	List	   *names;			/* of "after" and of references, as char * */
	int			nafter;
	int		   *after;			/* these: ord, each once */
	int			nouter;
	int64	   *outer;			/* other jobs in "after" */
	NullableDatum *options;		/* as of a call that has these only */
	int64		job_id;			/* set by workflow/start.c; or that of an
								 * earlier run, and ... */
	bool		skipped;		/* ... its condition was not met */
} WorkflowStep;

typedef struct Workflow
{
	const char *name;
	int			n;
	WorkflowStep *steps;
	int		   *order;			/* ord of all of them, each behind those that
								 * it comes after */
} Workflow;

/* Where the reading has come to, for errors */
typedef struct WorkflowPlace
{
	int			ord;			/* of the step; 0: of none */
	const char *name;			/* NULL: it is not known yet */
	const char *field;			/* NULL: no certain one */
} WorkflowPlace;

/*
 * Read the steps and check all of them, as the current user, in the current memory context.
 * Errors are about *place: see workflow_error().
 */
extern void workflow_read(Jsonb *steps, Workflow *workflow, WorkflowPlace *place);

/* Have the message of an error say where it was found */
extern void workflow_error(ErrorData *error, const WorkflowPlace *place);

/*
 * workflow/graph.c: put the steps in an order in which each is behind those that it comes
 * after.  Error, with *place, if there is a circle.
 */
extern void workflow_put_in_order(Workflow *workflow, WorkflowPlace *place);

#endif							/* WORKFLOW_DEFINITION_H */
