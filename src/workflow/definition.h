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

/*
 * Names that stand for something else than a step in references: the arguments of the
 * workflow, and the element of "for_each"
 */
#define WORKFLOW_ARGS	"args"
#define WORKFLOW_ITEM	"item"

/* The procedure that runs a step which makes jobs of its own: workflow/run_step.c */
#define WORKFLOW_RUN_STEP	"defer.run_step(jsonb)"

/* What a step does: the field of its object that says so */
typedef enum WorkflowKind
{
	WORKFLOW_NO_KIND,
	WORKFLOW_FUNCTION_STEP,		/* a function, a procedure or a task */
	WORKFLOW_HTTP_STEP,
	WORKFLOW_EMAIL_STEP,
	WORKFLOW_COMMAND_STEP,
	WORKFLOW_WORKFLOW_STEP
} WorkflowKind;

/* What is done if a step does not succeed (workflow_step.on_failure) */
#define ON_FAILURE_FAIL		'f' /* the workflow fails */
#define ON_FAILURE_SKIP		's' /* the steps after it are not run */
#define ON_FAILURE_RUN		'r' /* they are run all the same */

typedef struct WorkflowStep
{
	int			ord;			/* from 1 on */
	const char *name;
	Jsonb	   *definition;		/* the object; from workflow_resolve() on its
								 * functions are signatures */
	WorkflowKind kind;
	char	   *text;			/* of a function its name, of a command */
	Jsonb	   *object;			/* of a delivery, or a workflow: as it was
								 * given */
	struct Workflow *inner;		/* given: where a workflow is to be read into;
								 * NULL: it is only checked */
	const char *condition;		/* the reference in it; NULL: none */
	Jsonb	   *items;			/* for_each; NULL: none */
	bool		wrapped;		/* its job is one of defer.run_step() */
	JobTarget	target;			/* of its job; without the entry */
	const char *function;		/* what it does, as the views show it */
	Jsonb	   *args;			/* as they were given, then those of the job;
								 * NULL: none */
	Jsonb	   *sample;			/* these with null for each reference */
	bool		prepare;		/* references or a condition */
	char		on_failure;
	bool		final;			/* no other step comes after it */
	List	   *names;			/* of "after" and of references, as char * */
	List	   *references;		/* that stand for what comes before, likewise */
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

/*
 * workflow/resolve.c: find what a step does, check it, and set what its job gets.  Fields
 * of the place are set.
 */
extern void workflow_resolve(WorkflowStep *step, WorkflowPlace *place);

/* The same for a step that is to be run by defer.run_step(), which gets what it needs */
extern void workflow_wrap(WorkflowStep *step, WorkflowPlace *place);

/* Read one step by itself: its references are noted, and not looked up */
extern void workflow_read_step(JsonbValue *object, WorkflowStep *step, WorkflowPlace *place);

/*
 * Note the references in JSON that is a part of a step.  Returns the JSON with null for
 * them; *any tells whether there are any.
 */
extern Jsonb *workflow_note_references(WorkflowStep *step, Jsonb *json, bool *any);

/*
 * Read steps and check all of them.  Returns them with functions as signatures.  The place of
 * an error is in its message.  inner: is set to what was read; NULL: that is freed.
 */
extern Jsonb *workflow_check(Jsonb *steps, Workflow *inner);

/* The steps as an array, with functions as signatures: they can be read again */
extern Jsonb *workflow_definitions(const Workflow *workflow);

/* Have the message of an error say where it was found */
extern void workflow_error(ErrorData *error, const WorkflowPlace *place);

/*
 * workflow/graph.c: put the steps in an order in which each is behind those that it comes
 * after.  Error, with *place, if there is a circle.
 */
extern void workflow_put_in_order(Workflow *workflow, WorkflowPlace *place);

#endif							/* WORKFLOW_DEFINITION_H */
