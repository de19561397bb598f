/*
 * run_step.c
 *		defer.run_step(): a step of a workflow that makes jobs of its own, for the elements
 *		of an array, or as a workflow within one.
 *
 * It enqueues the jobs as defer.step_all() does, as the workflow's owner and with the rights
 * of that, waits for them without a worker, and has their results as its own.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/datetime.h"
#include "utils/json.h"

#include "base/errcodes.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "delivery/delivery.h"
#include "job/current_job.h"
#include "job/enqueue.h"
#include "job/enqueue_object.h"
#include "job/enqueue_options.h"
#include "steps/all.h"
#include "workflow/inputs.h"
#include "workflow/workflow.h"

PG_FUNCTION_INFO_V1(defer_run_step);

/* The name of the step in which the procedure waits */
#define STEP	"jobs"

/* The step that a workflow is which no other one contains */
#define WHOLE	"workflow"

/* How a workflow goes on though a job of the step fails */
#define EACH_GOES_ON \
	"With \"on_failure\": \"run\" the step succeeds, with null in the place of such an element."
#define GOES_ON	"With \"on_failure\": \"run\" the steps after it are run."

/* What a workflow that a schedule starts finds in its args */
#define SCHEDULED_FOR	"scheduled_for"

/* What the procedure was given */
typedef struct Run
{
	WorkflowStep step;
	Workflow	workflow;		/* of a step that is one */
	Jsonb	   *args;			/* of a workflow that no other one contains;
								 * NULL: none */
	Jsonb	   *inputs;			/* what references stand for, by these */
	Jsonb	   *items;			/* an array; NULL: there is one job */
	int			index;			/* of the element that it has come to */
	Jsonb	   *item;			/* this; NULL: none */
} Run;

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

static void
malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"step\" is not the description of a step"),
			 errhint("It is made by defer.workflow() and defer.cron_workflow().")));
}

/* A member that is a description in text, as JSON */
static Jsonb *
read_description(const Jsonb *argument)
{
	const char *text = jsonb_read_text(argument, "definition");
	Jsonb	   *json;

	if (text == NULL)
		malformed();
	json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	if (!JB_ROOT_IS_OBJECT(json))
		malformed();
	return json;
}

static JsonbValue *
find_items(const Jsonb *argument, JsonbValue *items)
{
	return getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &argument->root), "for_each",
										strlen("for_each"), items);
}

static bool
has_items(const Jsonb *argument)
{
	JsonbValue	items;

	return find_items(argument, &items) != NULL;
}

static void
read_run(const Jsonb *argument, Run *run, WorkflowPlace *place)
{
	Jsonb	   *definition = read_description(argument);
	JsonbValue	value;

	memset(run, 0, sizeof(Run));
	run->inputs = jsonb_read_json(argument, "inputs");
	run->args = jsonb_read_json(argument, "args");
	if (find_items(argument, &value) != NULL)
	{
		run->items = JsonbValueToJsonb(&value);
		if (!JB_ROOT_IS_ARRAY(run->items) || JB_ROOT_IS_SCALAR(run->items))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"for_each\" is not an array")));
	}
	JsonbToJsonbValue(definition, &value);
	run->step.items = run->items;
	run->step.inner = &run->workflow;
	workflow_read_step(&value, &run->step, place);
	if (run->step.kind == WORKFLOW_WORKFLOW_STEP)
	{
		run->workflow.name = jsonb_read_text(argument, "name");
		if (run->workflow.name == NULL)
			run->workflow.name = run->step.name;
		args_check_name("workflow", run->workflow.name, WORKFLOW_NAME_MAX);
	}
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------ */

static Jsonb *
object_of(const char *name, Jsonb *value, const char *other, Jsonb *other_value)
{
	JsonbBuilder state = {0};

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_json(&state, name, value);
	if (other_value != NULL)
		jsonb_push_json(&state, other, other_value);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

char *
workflow_description(Jsonb *steps, Jsonb *args)
{
	Jsonb	   *object = object_of("workflow", steps, "args", args);

	return JsonbToCString(NULL, &object->root, VARSIZE(object));
}

/* As a step that is a workflow; what looks like references in args is data */
Jsonb *
workflow_run_args(const char *name, const char *description)
{
	Jsonb	   *object;
	Jsonb	   *args;
	JsonbBuilder state = {0};
	Jsonb	   *step;

	object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(description)));
	args = jsonb_read_json(object, "args");
	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&state, "name", WHOLE);
	jsonb_push_json(&state, "workflow", jsonb_read_json(object, "workflow"));
	step = JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
	memset(&state, 0, sizeof(state));
	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&state, "name", name);
	jsonb_push_text(&state, "definition", JsonbToCString(NULL, &step->root, VARSIZE(step)));
	if (args != NULL)
		jsonb_push_json(&state, "args", args);
	return object_of("step", JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL)), NULL,
					 NULL);
}

/* ------------------------------------------------------------------------
 * Jobs
 * ------------------------------------------------------------------------ */

static Jsonb *
look_up(const char *reference, void *arg)
{
	const Run  *run = arg;
	JsonbValue	value;

	if (run->item != NULL && strcmp(inputs_step(reference), WORKFLOW_ITEM) == 0)
		return inputs_follow(run->item, reference);
	if (run->inputs == NULL ||
		getKeyJsonValueFromContainer(&run->inputs->root, reference, strlen(reference),
									 &value) == NULL)
		return NULL;
	return JsonbValueToJsonb(&value);
}

static Jsonb *
fill(Run *run, Jsonb *json)
{
	return json == NULL ? NULL : inputs_fill(json, look_up, run, run->step.target.kind, NULL);
}

static int64
enqueue_function(Run *run, FunctionCallInfo options)
{
	Jsonb	   *args = fill(run, run->step.args);
	JsonbValue	element;

	if (args == NULL && run->item != NULL)
	{
		if (!JsonbExtractScalar(&run->item->root, &element))
			JsonbToJsonbValue(run->item, &element);
		args = all_args(&element);
	}
	return enqueue_by_name(run->step.text, args, options, 0);
}

/* The args of a run of a schedule, with the time that it is for */
static Jsonb *
args_of_run(Jsonb *args)
{
	char		time[MAXDATELEN + 1];
	Jsonb	   *object;

	if (current_job.job->scheduled_for == NO_TIME)
		return args;
	(void) JsonEncodeDateTime(time, TimestampTzGetDatum(current_job.job->scheduled_for),
							  TIMESTAMPTZOID, NULL);
	object = jsonb_object_of_text(SCHEDULED_FOR, time);
	return args == NULL ? object :
		DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(object),
										   JsonbPGetDatum(args)));
}

static int64
enqueue_workflow_of(Run *run, WorkflowPlace *place)
{
	Jsonb	   *args = run->step.args != NULL ? fill(run, run->step.args) :
		run->item != NULL ? run->item : args_of_run(run->args);

	for (int i = 0; i < run->workflow.n; i++)
		run->workflow.steps[i].job_id = 0;
	return workflow_start(&run->workflow, args, NULL, 0, place);
}

/* Enqueue the job of the element, or the only one */
static int64
enqueue_job_of(Run *run, WorkflowPlace *place)
{
	LOCAL_FCINFO(options, OPTION_N);
	const JobTarget *target = &run->step.target;

	InitFunctionCallInfoData(*options, NULL, OPTION_N, InvalidOid, NULL, NULL);
	memcpy(options->args, run->step.options, OPTION_N * sizeof(NullableDatum));
	switch (run->step.kind)
	{
		case WORKFLOW_FUNCTION_STEP:
			return enqueue_function(run, options);
		case WORKFLOW_WORKFLOW_STEP:
			return enqueue_workflow_of(run, place);
		case WORKFLOW_HTTP_STEP:
		case WORKFLOW_EMAIL_STEP:
			return enqueue_job(options, 0, target->kind, target->name, InvalidOid,
							   delivery_of_object(target->kind, fill(run, run->step.object), false,
												  &place->field));
		default:
			malformed();		/* a step of another kind makes no jobs */
			return 0;
	}
}

/* Enqueue all of them.  Returns how many */
static int
enqueue_all(Run *run, int64 **ids, WorkflowPlace *place)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "defer enqueue",
												  ALLOCSET_DEFAULT_SIZES);
	const int	n = run->items != NULL ? JB_ROOT_COUNT(run->items) : 1;

	*ids = palloc_extended(Max(n, 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	for (run->index = 0; run->index < n; run->index++)
	{
		MemoryContext old = MemoryContextSwitchTo(scratch);

		CHECK_FOR_INTERRUPTS();
		if (run->items != NULL)
			run->item = JsonbValueToJsonb(getIthJsonbValueFromContainer(&run->items->root,
																		run->index));
		(*ids)[run->index] = enqueue_job_of(run, place);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	MemoryContextDelete(scratch);
	return n;
}

/*
 * Check for an error that each attempt would find, as what is wrong are the jobs.  Not if there
 * is no room for them now, or a lock.
 */
static bool
is_for_good(const ErrorData *error)
{
	return enqueue_object_is_wrong(error) && error->sqlerrcode != ERRCODE_QUEUE_FULL &&
		error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE;
}

/* Fail the step for good with what is wrong with its jobs */
pg_noreturn static void
raise_for_good(ErrorData *error, const Run *run, const WorkflowPlace *place)
{
	workflow_error(error, place);
	if (run->item != NULL)
		error->message = psprintf("element %d of \"for_each\": %s", run->index, error->message);
	current_job.give_up = error->sqlerrcode;
	ReThrowError(error);
}

static int
enqueue_or_fail(const Jsonb *argument, int64 **ids)
{
	MemoryContext context = CurrentMemoryContext;
	volatile WorkflowPlace place = {0};
	volatile int n = 0;
	Run		   *run = palloc0(sizeof(Run));

	PG_TRY();
	{
		read_run(argument, run, (WorkflowPlace *) &place);
		place.ord = 0;
		n = enqueue_all(run, ids, (WorkflowPlace *) &place);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!is_for_good(error))
			PG_RE_THROW();
		FlushErrorState();
		raise_for_good(error, run, (WorkflowPlace *) &place);
	}
	PG_END_TRY();
	return n;
}

/* ------------------------------------------------------------------------
 * The step
 * ------------------------------------------------------------------------ */

/* In the first pass: enqueue, and wait.  Returns the results if there is nothing to wait for */
static Jsonb *
begin(PassStep *pass_step, const Jsonb *argument)
{
	int64	   *ids;
	int			n = enqueue_or_fail(argument, &ids);

	if (n > 0)
		all_wait(pass_step, n, ids);
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("[]")));
}

/* The only result, or all of them; NULL: none */
static Jsonb *
result_of(const Jsonb *argument, Jsonb *results)
{
	JsonbValue *only;

	if (has_items(argument))
		return results;
	only = getIthJsonbValueFromContainer(&results->root, 0);
	return only->type == jbvNull ? NULL : JsonbValueToJsonb(only);
}

/* defer.run_step(step) */
Datum
defer_run_step(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(call, 1);
	MemoryContext context = CurrentMemoryContext;
	PassStep	pass_step;
	Jsonb	   *argument;

	require_argument(fcinfo, 0, "step");
	argument = PG_GETARG_JSONB_P_COPY(0);
	if (!JB_ROOT_IS_OBJECT(argument))
		malformed();
	InitFunctionCallInfoData(*call, fcinfo->flinfo, 1, InvalidOid, fcinfo->context, NULL);
	call->args[0].value = CStringGetTextDatum(STEP);
	call->args[0].isnull = false;
	pass_enter(call, "defer.run_step()", STEP_ALL, &pass_step);
	if (!pass_step.done)
	{
		const char *on_failure = jsonb_read_text(read_description(argument), "on_failure");
		const bool	each = has_items(argument);
		const bool	fail = !each || on_failure == NULL || strcmp(on_failure, "run") != 0;
		Jsonb	   *results = pass_step.found ?
			all_results(&pass_step, fail, each ? "for_each" : NULL, each ? EACH_GOES_ON : GOES_ON,
						true) :
			begin(&pass_step, argument);

		MemoryContextSwitchTo(context);
		pass_commit(&pass_step, result_of(argument, results));
	}
	pass_leave(&pass_step);
	pass_set_result(pass_step.step.result);
	PG_RETURN_VOID();
}
