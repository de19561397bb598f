/*
 * inputs.c
 *		References to earlier results in a step's JSON: see workflow/inputs.h.
 *
 * A reference is an object with the only member "$input", a name of a step and perhaps a
 * path in its result, with dots: keys of objects and numbers of elements, from 0 on.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/compat.h"
#include "base/guc_job.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "workflow/inputs.h"

#define INPUT	"$input"

/* The JSON of a delivery is shorter as text, which is what its job has */
#define TEXT_SHORTER	8

/* Most bytes that a value takes by itself and not within others: headers and padding */
#define VALUE_HEADER	12

typedef struct Filling
{
	InputLookup lookup;
	void	   *arg;
	bool		any;
	Size		size;			/* of what references stand for */
	Size		max;			/* more does not fit in any case */
} Filling;

char *
inputs_reference(JsonbContainer *object, bool alone)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, INPUT, strlen(INPUT), NULL);

	if (value == NULL)
		return NULL;
	if (value->type != jbvString || value->val.string.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"$input\" must be a string"),
				 errhint("Write it as in {\"$input\": \"step.path\"}.")));
	if (alone && JsonContainerSize(object) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an object with \"$input\" has other members"),
				 errhint("It stands for the value that it names, as in {\"$input\": \"step.path\"}.")));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

Jsonb *
inputs_make(const char *reference)
{
	return jsonb_object_of_text(INPUT, reference);
}

char *
inputs_step(const char *reference)
{
	return pnstrdup(reference, strcspn(reference, "."));
}

/* ------------------------------------------------------------------------
 * Filling in
 * ------------------------------------------------------------------------ */

pg_noreturn static void
raise_too_large(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("arguments with the results of earlier steps are larger than %d kB",
					defer_max_payload)));
}

void
inputs_check_size(const Jsonb *args)
{
	if (args != NULL && VARSIZE(args) > (Size) defer_max_payload * 1024)
		raise_too_large();
}

/* What a reference stands for.  Error before, and not after, it is copied too often */
static Jsonb *
look_up(const char *reference, Filling *filling)
{
	Jsonb	   *value = filling->lookup(reference, filling->arg);

	CHECK_FOR_INTERRUPTS();
	filling->any = true;
	if (value != NULL)
		filling->size += VARSIZE(value) - Min(VARSIZE(value), VALUE_HEADER);
	if (filling->size > filling->max)
		raise_too_large();
	return value;
}

static JsonbValue *push_container(JsonbBuilder *state, JsonbContainer *container,
								  Filling *filling);

/* Push a value, an element or that of a member, with its references filled in */
static void
push_value(JsonbBuilder *state, JsonbIteratorToken token, JsonbValue *value, Filling *filling)
{
	JsonbContainer *container;
	JsonbValue	found = {.type = jbvNull};
	char	   *reference;
	Jsonb	   *json;

	if (value->type != jbvBinary)
	{
		(void) jsonb_push(state, token, value);
		return;
	}
	container = value->val.binary.data;
	reference = JsonContainerIsObject(container) ? inputs_reference(container, true) : NULL;
	if (reference == NULL)
	{
		(void) push_container(state, container, filling);
		return;
	}
	json = look_up(reference, filling);
	if (json != NULL && !JsonbExtractScalar(&json->root, &found))
		JsonbToJsonbValue(json, &found);
	(void) jsonb_push(state, token, &found);
}

static JsonbValue *
push_container(JsonbBuilder *state, JsonbContainer *container, Filling *filling)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue *whole = NULL;

	check_stack_depth();
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM || token == WJB_VALUE)
			push_value(state, token, &value, filling);
		else
			whole = jsonb_push(state, token, token == WJB_KEY ? &value : NULL);
	}
	return whole;
}

Jsonb *
inputs_fill(Jsonb *json, InputLookup lookup, void *arg, char kind, bool *any)
{
	Filling		filling = {
		lookup, arg, false, 0,
		(Size) defer_max_payload * 1024 * (kind_is_delivery(kind) ? TEXT_SHORTER : 1)
	};
	JsonbBuilder state = {0};
	char	   *reference = JB_ROOT_IS_OBJECT(json) ? inputs_reference(&json->root, true) : NULL;
	Jsonb	   *filled = json;

	if (reference != NULL)
		filled = look_up(reference, &filling);
	else if (!JB_ROOT_IS_SCALAR(json))
		filled = JsonbValueToJsonb(push_container(&state, &json->root, &filling));
	if (any != NULL)
		*any = filling.any;
	return filled;
}

/* ------------------------------------------------------------------------
 * Paths
 * ------------------------------------------------------------------------ */

/* The member or element of that name; false: there is none */
static bool
step_into(JsonbValue *value, const char *name, int length)
{
	JsonbContainer *container;
	JsonbValue *found = NULL;

	if (value->type != jbvBinary)
		return false;
	container = value->val.binary.data;
	if (JsonContainerIsObject(container))
		found = getKeyJsonValueFromContainer(container, name, length, NULL);
	else if (length > 0 && length < 10 && strspn(name, "0123456789") >= length)
		found = getIthJsonbValueFromContainer(container, strtoul(name, NULL, 10));
	if (found == NULL)
		return false;
	*value = *found;
	return true;
}

Jsonb *
inputs_follow(Jsonb *result, const char *reference)
{
	const char *p = reference + strcspn(reference, ".");
	JsonbValue	value;

	if (result == NULL || *p == '\0')
		return result;
	if (!JsonbExtractScalar(&result->root, &value))
		JsonbToJsonbValue(result, &value);
	while (*p == '.')
	{
		int			length = strcspn(++p, ".");

		if (!step_into(&value, p, length))
			return NULL;
		p += length;
	}
	return JsonbValueToJsonb(&value);
}
