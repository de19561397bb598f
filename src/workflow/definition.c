/*
 * definition.c
 *		A workflow as it was given: reading and checking its steps.
 *
 * Nothing is written before all of them are right.  The functions of steps are looked up with
 * their arguments as defer.enqueue() does, where null stands for what is not known yet.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "base/args.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "job/enqueue.h"
#include "job/enqueue_object.h"
#include "job/enqueue_options.h"
#include "table/step_table.h"
#include "workflow/definition.h"
#include "workflow/inputs.h"

#define FIELDS	"name, function, http, email, command, workflow, args, after, if, for_each, on_failure, run_at, delay, queue, priority, discard_after, metadata, max_attempts, initial_interval, multiplier, max_interval, randomization, max_duration, group_key, when_done"

#define KINDS	"function, http, email, command and workflow"

/* A step by its name */
typedef struct NameEntry
{
	char		name[STEP_NAME_MAX + 1];
	int			ord;
	int			later;			/* the last step that was found to come after
								 * it: ord */
} NameEntry;

/* ------------------------------------------------------------------------
 * Members of a step
 * ------------------------------------------------------------------------ */

static char *
read_string(const JsonbValue *value)
{
	if (value->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the value must be a string")));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static char
read_on_failure(const char *name)
{
	if (strcmp(name, "fail") == 0)
		return ON_FAILURE_FAIL;
	if (strcmp(name, "skip") == 0)
		return ON_FAILURE_SKIP;
	if (strcmp(name, "run") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized value \"%s\"", name),
				 errhint("It is fail, skip or run.")));
	return ON_FAILURE_RUN;
}

/* One of "after": the name of a step, or the id of another job */
static void
read_earlier(const JsonbValue *value, WorkflowStep *step)
{
	if (value->type == jbvNumeric)
	{
		Datum		id = DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric));

		step->outer = step->nouter == 0 ? palloc(sizeof(int64)) :
			repalloc(step->outer, (step->nouter + 1) * sizeof(int64));
		step->outer[step->nouter++] = DatumGetInt64(id);
		return;
	}
	step->names = lappend(step->names, read_string(value));
}

static void
read_after(const JsonbValue *value, WorkflowStep *step)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the value must be an array of names of steps"),
				 errhint("Ids of jobs that are not of the workflow can be in it, too.")));
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			read_earlier(&element, step);
	}
}

/* Note the step that a reference names, and stand for it */
static Jsonb *
note_reference(const char *reference, void *arg)
{
	WorkflowStep *step = arg;
	char	   *name = inputs_step(reference);

	if (strcmp(name, WORKFLOW_ITEM) == 0 && step->items != NULL)
		return NULL;
	step->prepare = true;
	step->references = lappend(step->references, pstrdup(reference));
	if (strcmp(name, WORKFLOW_ARGS) != 0)
		step->names = lappend(step->names, name);
	return NULL;
}

Jsonb *
workflow_note_references(WorkflowStep *step, Jsonb *json, bool *any)
{
	return inputs_fill(json, note_reference, step, JOB_FUNCTION, any);
}

/* A reference, which may have one of two other members */
static void
read_condition(const JsonbValue *value, WorkflowStep *step)
{
	JsonbContainer *object = value->type == jbvBinary ? value->val.binary.data : NULL;
	char	   *reference = object != NULL && JsonContainerIsObject(object) ?
		inputs_reference(object, false) : NULL;
	int			known = 1;

	if (reference != NULL && getKeyJsonValueFromContainer(object, "equals", 6, NULL) != NULL)
		known++;
	else if (reference != NULL && getKeyJsonValueFromContainer(object, "differs", 7, NULL) != NULL)
		known++;
	if (reference == NULL || JsonContainerSize(object) != known)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the value is not a condition"),
				 errhint("Write {\"$input\": \"step.path\"}, which holds unless that is false or null, or {\"$input\": \"step.path\", \"equals\": 7}, or \"differs\".")));
	step->condition = reference;
}

static bool
is_option_of_step(EnqueueOption option)
{
	return option != OPTION_KEY && option != OPTION_AFTER && option != OPTION_AFTER_FAILURE &&
		!option_is_of_key(option);
}

static void
read_option(const JsonbValue *name, const JsonbValue *value, WorkflowStep *step,
			WorkflowPlace *place)
{
	LOCAL_FCINFO(call, OPTION_N);
	int			option;

	memcpy(call->args, step->options, OPTION_N * sizeof(NullableDatum));
	option = enqueue_object_option(name, value, call, &place->field);
	if (option < 0 || !is_option_of_step(option))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no field \"%s\"",
						enqueue_object_shown(name->val.string.val, name->val.string.len)),
				 errhint("The fields are " FIELDS ".")));
	memcpy(step->options, call->args, OPTION_N * sizeof(NullableDatum));
}

static void
set_kind(WorkflowStep *step, WorkflowKind kind)
{
	if (step->kind != WORKFLOW_NO_KIND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the step does something else, too"),
				 errhint("A step has one of " KINDS ".")));
	step->kind = kind;
}

/* Fields of a step, and what they say that it does */
typedef struct Field
{
	const char *name;
	void		(*read) (const JsonbValue *value, WorkflowStep *step);
	WorkflowKind kind;
} Field;

static void
read_nothing(const JsonbValue *value, WorkflowStep *step)
{
}

static void
read_args(const JsonbValue *value, WorkflowStep *step)
{
	step->args = JsonbValueToJsonb(unconstify(JsonbValue *, value));
}

static void
read_items(const JsonbValue *value, WorkflowStep *step)
{
	JsonbContainer *container = value->type == jbvBinary ? value->val.binary.data : NULL;

	if (container == NULL || (JsonContainerIsObject(container) &&
							  inputs_reference(container, true) == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the value must be an array"),
				 errhint("Or a reference to one, such as {\"$input\": \"step.path\"}.")));
	step->items = JsonbValueToJsonb(unconstify(JsonbValue *, value));
}

static void
read_failure(const JsonbValue *value, WorkflowStep *step)
{
	step->on_failure = read_on_failure(read_string(value));
}

static void
read_text(const JsonbValue *value, WorkflowStep *step)
{
	step->text = read_string(value);
}

static void
read_object(const JsonbValue *value, WorkflowStep *step)
{
	if (value->type != jbvBinary)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 step->kind == WORKFLOW_WORKFLOW_STEP ?
				 errmsg("the value must be an array of steps") :
				 errmsg("the value must be an object with the parameters of the delivery")));
	step->object = JsonbValueToJsonb(unconstify(JsonbValue *, value));
}

static const Field fields[] = {
	{"name", read_nothing}, {"args", read_args}, {"after", read_after}, {"if", read_condition},
	{"for_each", read_items}, {"on_failure", read_failure},
	{"function", read_text, WORKFLOW_FUNCTION_STEP}, {"http", read_object, WORKFLOW_HTTP_STEP},
	{"email", read_object, WORKFLOW_EMAIL_STEP}, {"command", read_text, WORKFLOW_COMMAND_STEP},
	{"workflow", read_object, WORKFLOW_WORKFLOW_STEP}
};

static void
read_member(const JsonbValue *name, const JsonbValue *value, WorkflowStep *step,
			WorkflowPlace *place)
{
	int			field = 0;

	while (field < lengthof(fields) && !jsonb_is_text(name, fields[field].name))
		field++;
	if (field == lengthof(fields))
	{
		read_option(name, value, step, place);
		return;
	}
	if (value->type == jbvNull)
		return;					/* as if it were left out */
	place->field = fields[field].name;
	if (fields[field].kind != WORKFLOW_NO_KIND)
		set_kind(step, fields[field].kind);
	fields[field].read(value, step);
	place->field = NULL;
}

/* ------------------------------------------------------------------------
 * A step
 * ------------------------------------------------------------------------ */

static void
read_name(JsonbContainer *object, WorkflowStep *step, WorkflowPlace *place)
{
	JsonbValue *name = getKeyJsonValueFromContainer(object, "name", strlen("name"), NULL);

	if (name == NULL || name->type == jbvNull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the step has no \"name\"")));
	place->field = "name";
	step->name = read_string(name);
	args_check_name("step", step->name, STEP_NAME_MAX);
	if (strchr(step->name, '.') != NULL || strcmp(step->name, WORKFLOW_ARGS) == 0 ||
		strcmp(step->name, WORKFLOW_ITEM) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" cannot be the name of a step", step->name),
				 errhint("A name contains no \".\"; \"args\" are the arguments of the workflow, and \"item\" is the element of \"for_each\".")));
	place->field = NULL;
	place->name = step->name;
}

/* The element of "for_each" has no part in the condition */
static void
note_condition(WorkflowStep *step)
{
	Jsonb	   *items = step->items;

	step->items = NULL;
	(void) note_reference(step->condition, step);
	step->items = items;
}

void
workflow_read_step(JsonbValue *object, WorkflowStep *step, WorkflowPlace *place)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	value;

	if (object->type != jbvBinary || !JsonContainerIsObject(object->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a step must be a JSON object"),
				 errhint("Write it as in '{\"name\": \"load\", \"function\": \"load_day\", \"args\": [42]}'.")));
	step->definition = JsonbValueToJsonb(object);
	step->on_failure = ON_FAILURE_FAIL;
	step->final = true;
	step->options = palloc0(OPTION_N * sizeof(NullableDatum));
	for (int i = 0; i < OPTION_N; i++)
		step->options[i].isnull = true;
	read_name(object->val.binary.data, step, place);
	iterator = JsonbIteratorInit(object->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &name, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		read_member(&name, &value, step, place);
	}
	if (step->kind == WORKFLOW_NO_KIND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the step has no \"function\""),
				 errhint("A step has one of " KINDS ".")));
	if (step->condition != NULL)
		note_condition(step);
	workflow_resolve(step, place);
}

/* ------------------------------------------------------------------------
 * All of them
 * ------------------------------------------------------------------------ */

static HTAB *
make_names(int n)
{
	HASHCTL		control = {.keysize = STEP_NAME_MAX + 1, .entrysize = sizeof(NameEntry),
		.hcxt = CurrentMemoryContext};

	return hash_create("defer workflow", n, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

static void
add_name(HTAB *names, const WorkflowStep *step)
{
	bool		found;
	NameEntry  *entry = hash_search(names, step->name, HASH_ENTER, &found);

	if (found)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("there are two steps of that name")));
	entry->ord = step->ord;
	entry->later = 0;
}

/* Find the steps that one comes after */
static void
find_earlier(HTAB *names, Workflow *workflow, WorkflowStep *step)
{
	ListCell   *cell;

	step->after = palloc(Max(list_length(step->names), 1) * sizeof(int));
	foreach(cell, step->names)
	{
		char	   *name = lfirst(cell);
		NameEntry  *entry = strlen(name) > STEP_NAME_MAX ? NULL :
			hash_search(names, name, HASH_FIND, NULL);

		if (entry == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("there is no step \"%s\", which it comes after",
							enqueue_object_shown(name, strlen(name))),
					 strcmp(name, WORKFLOW_ITEM) == 0 ?
					 errhint("\"item\" is the element of \"for_each\", in \"args\", \"http\" and \"email\" of that step.") :
					 errhint("\"after\" and \"$input\" name steps of the same workflow.")));
		if (entry->later != step->ord)
			step->after[step->nafter++] = entry->ord;
		entry->later = step->ord;
		workflow->steps[entry->ord - 1].final = false;
	}
}

static void
at(WorkflowPlace *place, const WorkflowStep *step)
{
	CHECK_FOR_INTERRUPTS();
	*place = (WorkflowPlace) {step->ord, step->name, NULL};
}

void
workflow_read(Jsonb *steps, Workflow *workflow, WorkflowPlace *place)
{
	HTAB	   *names;

	if (!JB_ROOT_IS_ARRAY(steps) || JB_ROOT_IS_SCALAR(steps) || JB_ROOT_COUNT(steps) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"steps\" must be a JSON array of objects, and not empty"),
				 errhint("Write it as in '[{\"name\": \"load\", \"function\": \"load_day\"}, {\"name\": \"sum\", \"function\": \"sum_day\", \"after\": [\"load\"]}]'.")));
	workflow->n = JB_ROOT_COUNT(steps);
	workflow->steps = palloc_extended(workflow->n * sizeof(WorkflowStep),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	names = make_names(workflow->n);
	for (int i = 0; i < workflow->n; i++)
	{
		WorkflowStep *step = &workflow->steps[i];

		step->ord = i + 1;
		at(place, step);
		workflow_read_step(getIthJsonbValueFromContainer(&steps->root, i), step, place);
		if (step->items != NULL || step->kind == WORKFLOW_WORKFLOW_STEP)
			workflow_wrap(step, place);
		add_name(names, step);
	}
	for (int i = 0; i < workflow->n; i++)
	{
		at(place, &workflow->steps[i]);
		find_earlier(names, workflow, &workflow->steps[i]);
	}
	workflow_put_in_order(workflow, place);
	place->ord = 0;
}

Jsonb *
workflow_definitions(const Workflow *workflow)
{
	JsonbBuilder state = {0};

	(void) jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < workflow->n; i++)
		jsonb_push_element(&state, workflow->steps[i].definition);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_ARRAY, NULL));
}

void
workflow_error(ErrorData *error, const WorkflowPlace *place)
{
	char	   *step;

	if (place->ord == 0)
		return;
	step = place->name != NULL ? psprintf("step \"%s\"", place->name) :
		psprintf("step %d", place->ord);
	error->message = place->field == NULL ? psprintf("%s: %s", step, error->message) :
		psprintf("%s, field \"%s\": %s", step, place->field, error->message);
}
