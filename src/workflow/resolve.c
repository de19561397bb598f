/*
 * resolve.c
 *		What a step of a workflow does: looked up and checked, and the arguments of its job.
 *
 * A step is one job: of a function or a task, a delivery or a statement.  A step that makes
 * jobs of its own, by "for_each" or "workflow", is a job of defer.run_step(), which gets a
 * description and what the references in it stand for.  The description is text, so that
 * nothing in it is taken for a reference of the job, and no result that a reference stands
 * for is ever looked through for references.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "delivery/delivery.h"
#include "job/command.h"
#include "job/enqueue.h"
#include "job/enqueue_object.h"
#include "job/enqueue_options.h"
#include "steps/all.h"
#include "workflow/definition.h"
#include "workflow/inputs.h"

/* ------------------------------------------------------------------------
 * Descriptions
 * ------------------------------------------------------------------------ */

/* Have the description of the step that member */
static void
set_member(WorkflowStep *step, Jsonb *member)
{
	step->definition = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat,
														  JsonbPGetDatum(step->definition),
														  JsonbPGetDatum(member)));
}

static Jsonb *
object_of(const char *name, Jsonb *value)
{
	JsonbBuilder state = {0};

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_json(&state, name, value);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

/* Check for an option of defer.run_step(), and not of the jobs that it makes */
static bool
is_of_wrapper(EnqueueOption option)
{
	return option == OPTION_RUN_AT || option == OPTION_DELAY || option == OPTION_DISCARD_AFTER ||
		option == OPTION_WHEN_DONE;
}

/* ------------------------------------------------------------------------
 * Kinds
 * ------------------------------------------------------------------------ */

/* Copy what the step needs of a target */
static void
set_target(WorkflowStep *step, const JobTarget *target)
{
	step->target = *target;
	step->target.name = pstrdup(target->name);
	step->target.function = NULL;
}

static Jsonb *
no_value(const char *reference, void *arg)
{
	return NULL;
}

/* Fill an element into JSON of a step, and null for all other references */
static Jsonb *
item_value(const char *reference, void *arg)
{
	if (strcmp(inputs_step(reference), WORKFLOW_ITEM) != 0)
		return NULL;
	return inputs_follow(arg, reference);
}

static void
check_args(const Jsonb *args)
{
	if (JB_ROOT_IS_SCALAR(args) ||
		(JB_ROOT_IS_OBJECT(args) &&
		 inputs_reference(unconstify(JsonbContainer *, &args->root), true) != NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the value must be an array or an object of arguments"),
				 errhint("Each of them can be a reference, such as {\"$input\": \"step.path\"}.")));
}

static void
resolve_function(WorkflowStep *step, WorkflowPlace *place)
{
	JobTarget	found;
	Jsonb	   *sample = step->args;
	bool		any = false;

	if (step->args != NULL)
	{
		place->field = "args";
		check_args(step->args);
		sample = workflow_note_references(step, step->args, &any);
		place->field = NULL;
	}
	if (step->args == NULL && step->items != NULL)
		job_target_resolve_name(step->text, &found);
	else
		enqueue_resolve(step->text, &sample, &found);
	set_target(step, &found);
	step->function = step->target.name;
	if (!any)
		step->args = sample;
	step->sample = sample;
	set_member(step, jsonb_object_of_text("function", step->target.name));
}

/* An object with null for each member that has references */
static Jsonb *
sample_of_delivery(WorkflowStep *step, bool *any)
{
	JsonbIterator *iterator = JsonbIteratorInit(&step->object->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbBuilder state = {0};

	*any = false;
	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	(void) JsonbIteratorNext(&iterator, &value, true);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) == WJB_KEY)
	{
		const bool	is_endpoint = jsonb_is_text(&value, "endpoint");
		bool		references;

		(void) jsonb_push(&state, WJB_KEY, &value);
		(void) JsonbIteratorNext(&iterator, &value, true);
		(void) workflow_note_references(step, JsonbValueToJsonb(&value), &references);
		if (references && is_endpoint)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"endpoint\" must not be a reference"),
					 errhint("The right to it is checked when the workflow starts.")));
		if (references)
			value.type = jbvNull;
		*any = *any || references;
		(void) jsonb_push(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

/* As a delivery that an object describes, with what is known of it */
static Jsonb *
delivery_args(char kind, const Jsonb *object, bool sample, WorkflowPlace *place)
{
	Jsonb	   *args;

	place->field = kind == JOB_HTTP ? "http" : "email";
	args = delivery_of_object(kind, object, sample, &place->field);
	place->field = NULL;
	return args;
}

/* References are filled in by the scheduler, which then reads the object again */
static void
resolve_delivery(WorkflowStep *step, WorkflowPlace *place)
{
	const bool	is_http = step->kind == WORKFLOW_HTTP_STEP;
	bool		any = false;
	Jsonb	   *sample = step->object;

	place->field = is_http ? "http" : "email";
	if (JB_ROOT_IS_OBJECT(step->object) && inputs_reference(&step->object->root, false) == NULL)
		sample = sample_of_delivery(step, &any);
	step->target = (JobTarget)
	{
		is_http ? JOB_HTTP : JOB_EMAIL,
			is_http ? HTTP_FUNCTION : EMAIL_FUNCTION, InvalidOid, NULL
	};
	step->function = step->target.name;
	step->sample = delivery_args(step->target.kind, sample, any, place);
	step->args = any ? step->object : step->sample;
}

static void
resolve_command(WorkflowStep *step, WorkflowPlace *place)
{
	place->field = "command";
	command_check(step->text);
	place->field = NULL;
	step->target = (JobTarget) {JOB_COMMAND, COMMAND_FUNCTION, InvalidOid, NULL};
	step->function = step->target.name;
	step->args = step->sample = jsonb_object_of_text("sql", step->text);
}

/* Read steps, in the current memory context.  The place of an error is added to its message */
static Jsonb *
read_inner(Jsonb *steps, Workflow *inner)
{
	MemoryContext context = CurrentMemoryContext;
	volatile WorkflowPlace place = {0};

	check_stack_depth();
	PG_TRY();
	{
		workflow_read(steps, inner, (WorkflowPlace *) &place);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!enqueue_object_is_wrong(error))
			PG_RE_THROW();
		FlushErrorState();
		workflow_error(error, (WorkflowPlace *) &place);
		ReThrowError(error);
	}
	PG_END_TRY();
	return workflow_definitions(inner);
}

/* Of a workflow within others each level would keep what it has read */
Jsonb *
workflow_check(Jsonb *steps, Workflow *inner)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext scratch;
	Workflow	read = {0};
	Jsonb	   *definitions;

	if (inner != NULL)
		return read_inner(steps, inner);
	scratch = AllocSetContextCreate(context, "defer workflow", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	definitions = read_inner(steps, &read);
	MemoryContextSwitchTo(context);
	definitions = DatumGetJsonbPCopy(JsonbPGetDatum(definitions));
	MemoryContextDelete(scratch);
	return definitions;
}

static void
resolve_workflow(WorkflowStep *step, WorkflowPlace *place)
{
	bool		any;

	place->field = "workflow";
	set_member(step, object_of("workflow", workflow_check(step->object, step->inner)));
	place->field = NULL;
	for (int i = 0; i < OPTION_N; i++)
	{
		if (!step->options[i].isnull && !is_of_wrapper(i) && i != OPTION_QUEUE &&
			i != OPTION_PRIORITY && i != OPTION_METADATA)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a workflow has no option \"%s\"", enqueue_options[i].name),
					 errhint("Give it to the steps of the workflow.")));
	}
	if (step->args != NULL)
		(void) workflow_note_references(step, step->args, &any);
	step->function = WORKFLOW_FUNCTION;
}

void
workflow_resolve(WorkflowStep *step, WorkflowPlace *place)
{
	const bool	takes_args = step->kind == WORKFLOW_FUNCTION_STEP ||
		step->kind == WORKFLOW_WORKFLOW_STEP;

	if (step->args != NULL && !takes_args)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the step has \"args\", but no \"function\" or \"workflow\"")));
	if (step->items != NULL && step->kind == WORKFLOW_COMMAND_STEP)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the step has \"for_each\" and \"command\""),
				 errhint("A command has no arguments. Write a function, and give it the element.")));
	step->references = NIL;
	switch (step->kind)
	{
		case WORKFLOW_NO_KIND:
			pg_unreachable();
		case WORKFLOW_FUNCTION_STEP:
			resolve_function(step, place);
			break;
		case WORKFLOW_HTTP_STEP:
		case WORKFLOW_EMAIL_STEP:
			resolve_delivery(step, place);
			break;
		case WORKFLOW_COMMAND_STEP:
			resolve_command(step, place);
			break;
		case WORKFLOW_WORKFLOW_STEP:
			resolve_workflow(step, place);
			break;
	}
}

/* ------------------------------------------------------------------------
 * Steps that make jobs of their own
 * ------------------------------------------------------------------------ */

/* Check the elements, if these and what is made of them are known */
static void
check_items(WorkflowStep *step, WorkflowPlace *place)
{
	for (uint32 i = 0; i < JB_ROOT_COUNT(step->items); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&step->items->root, i);
		Jsonb	   *item = JsonbValueToJsonb(element);
		JobTarget	found;
		Jsonb	   *args;

		CHECK_FOR_INTERRUPTS();
		place->field = psprintf("for_each.%u", i);
		if (step->kind == WORKFLOW_FUNCTION_STEP)
		{
			args = step->args == NULL ? all_args(element) :
				inputs_fill(step->args, item_value, item, JOB_FUNCTION, NULL);
			enqueue_resolve(step->function, &args, &found);
		}
		else if (step->kind != WORKFLOW_WORKFLOW_STEP && step->references == NIL)
		{
			args = inputs_fill(step->object, item_value, item, step->target.kind, NULL);
			(void) delivery_args(step->target.kind, args, false, place);
		}
	}
	place->field = NULL;
}

/* The description as defer.run_step() wants it: the elements are given besides */
static char *
description(const WorkflowStep *step)
{
	static const char *const not[] = {"after", "if", "for_each"};
	Datum		json = JsonbPGetDatum(step->definition);
	Jsonb	   *left;

	for (int i = 0; i < lengthof(not); i++)
		json = DirectFunctionCall2(jsonb_delete, json, CStringGetTextDatum(not[i]));
	for (int i = 0; i < OPTION_N; i++)
	{
		if (is_of_wrapper(i) && !step->options[i].isnull)
			json = DirectFunctionCall2(jsonb_delete, json,
									   CStringGetTextDatum(enqueue_options[i].name));
	}
	left = DatumGetJsonbP(json);
	return JsonbToCString(NULL, &left->root, VARSIZE(left));
}

/* An object with a reference for each name that stands for one */
/* Put a reference of which there are many in one place */
static int
compare_references(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* An object with each of the references once, by itself.  The list is sorted */
static Jsonb *
inputs_of(List *references)
{
	JsonbBuilder state = {0};
	const ListCell *cell;
	const char *last = NULL;

	list_sort(references, compare_references);
	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(cell, references)
	{
		const char *reference = lfirst(cell);

		if (last == NULL || strcmp(reference, last) != 0)
			jsonb_push_json(&state, reference, inputs_make(reference));
		last = reference;
	}
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

static Jsonb *
argument(const WorkflowStep *step)
{
	JsonbBuilder state = {0};

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_key(&state, "step");
	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&state, "definition", description(step));
	jsonb_push_json(&state, "inputs", inputs_of(step->references));
	if (step->items != NULL)
		jsonb_push_json(&state, "for_each", step->items);
	(void) jsonb_push(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

/* Leave the options of defer.run_step(), when those of its jobs are checked */
static void
take_options(WorkflowStep *step)
{
	LOCAL_FCINFO(call, OPTION_N);

	InitFunctionCallInfoData(*call, NULL, OPTION_N, InvalidOid, NULL, NULL);
	memcpy(call->args, step->options, OPTION_N * sizeof(NullableDatum));
	if (step->kind != WORKFLOW_WORKFLOW_STEP)
		enqueue_check_options(&step->target, step->sample, call);
	for (int i = 0; i < OPTION_N; i++)
	{
		if (!is_of_wrapper(i) && i != OPTION_QUEUE && i != OPTION_PRIORITY && i != OPTION_METADATA)
			step->options[i].isnull = true;
	}
}

void
workflow_wrap(WorkflowStep *step, WorkflowPlace *place)
{
	List	   *references = step->references;
	Jsonb	   *items = step->items;
	JobTarget	found;
	bool		any = false;

	take_options(step);
	if (items != NULL)
	{
		step->items = NULL;		/* it has no part in itself */
		place->field = "for_each";
		(void) workflow_note_references(step, items, &any);
		place->field = NULL;
		step->items = items;
		step->references = references;
		if (!any)
			check_items(step, place);
	}
	step->args = argument(step);
	step->sample = inputs_fill(step->args, no_value, NULL, JOB_FUNCTION, NULL);
	enqueue_resolve(WORKFLOW_RUN_STEP, &step->sample, &found);
	set_target(step, &found);
	step->wrapped = true;
}
