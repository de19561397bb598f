/*
 * json_schema.c
 *		See json_schema.h.
 *
 * A place in the arguments is written as in "user.tags[2]"; "" is all of them.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "config/json_schema.h"

/* Keywords that check nothing */
static const char *const annotations[] = {
	"title", "description", "default", "examples", "deprecated", "$schema", "$id", "$comment"
};

static const char *const type_names[] = {
	"null", "boolean", "number", "integer", "string", "array", "object"
};

/* ------------------------------------------------------------------------
 * Reading schemas and values
 * ------------------------------------------------------------------------ */

static bool
is_string(const JsonbValue *value, const char *text)
{
	return value->type == jbvString && value->val.string.len == (int) strlen(text) &&
		memcmp(value->val.string.val, text, value->val.string.len) == 0;
}

static bool
is_one_of(const JsonbValue *value, const char *const *texts, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (is_string(value, texts[i]))
			return true;
	}
	return false;
}

static bool
is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) &&
		!JsonContainerIsScalar(value->val.binary.data);
}

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

/* A member of an object; NULL: it has none of that name */
static JsonbValue *
member(const JsonbValue *object, const char *name, int length)
{
	return getKeyJsonValueFromContainer(object->val.binary.data, name, length, NULL);
}

static char *
string_of(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static void
set_root(JsonbValue *value, Jsonb *jsonb)
{
	value->type = jbvBinary;
	value->val.binary.data = &jsonb->root;
	value->val.binary.len = VARSIZE_ANY_EXHDR(jsonb);
}

/* ------------------------------------------------------------------------
 * Schemas
 * ------------------------------------------------------------------------ */

static void
bad_schema(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid schema of a task"),
			 errdetail_internal("%s", detail),
			 errhint("Use the keywords type, properties, required, enum and items of JSON Schema.")));
}

/* Check that a keyword's value is an array of strings; "known": of the names of types */
static void
validate_strings(const char *keyword, const JsonbValue *array, bool known)
{
	if (!is_array(array))
		bad_schema(psprintf("The value of \"%s\" is not an array.", keyword));
	for (uint32 i = 0; i < JsonContainerSize(array->val.binary.data); i++)
	{
		JsonbValue *entry = getIthJsonbValueFromContainer(array->val.binary.data, i);

		if (entry->type != jbvString ||
			(known && !is_one_of(entry, type_names, lengthof(type_names))))
			bad_schema(psprintf("The value of \"%s\" has an entry that it cannot have.", keyword));
	}
}

static void validate(const JsonbValue *schema);

static void
validate_properties(const JsonbValue *properties)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!is_object(properties))
		bad_schema("The value of \"properties\" is not an object.");
	iterator = JsonbIteratorInit(properties->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_VALUE)
			validate(&value);
	}
}

static void
validate_keyword(const JsonbValue *keyword, const JsonbValue *value)
{
	if (is_string(keyword, "type"))
	{
		if (value->type != jbvString)
			validate_strings("type", value, true);
		else if (!is_one_of(value, type_names, lengthof(type_names)))
			bad_schema(psprintf("There is no type \"%s\".", string_of(value)));
	}
	else if (is_string(keyword, "properties"))
		validate_properties(value);
	else if (is_string(keyword, "required"))
		validate_strings("required", value, false);
	else if (is_string(keyword, "items"))
		validate(value);
	else if (is_string(keyword, "enum"))
	{
		if (!is_array(value))
			bad_schema("The value of \"enum\" is not an array.");
	}
	else if (!is_one_of(keyword, annotations, lengthof(annotations)))
		bad_schema(psprintf("Keyword \"%s\" is not supported.", string_of(keyword)));
}

static void
validate(const JsonbValue *schema)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue	keyword = {0};

	check_stack_depth();
	if (!is_object(schema))
		bad_schema("It is not an object.");
	iterator = JsonbIteratorInit(schema->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			keyword = value;
		else if (token == WJB_VALUE)
			validate_keyword(&keyword, &value);
	}
}

void
json_schema_validate(Jsonb *schema)
{
	JsonbValue	root;

	set_root(&root, schema);
	validate(&root);
}

/* ------------------------------------------------------------------------
 * Values
 * ------------------------------------------------------------------------ */

/* What is checked, for messages */
typedef struct Place
{
	const char *task;
	const char *path;
} Place;

static void
does_not_fit(const Place *place, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("arguments do not fit task \"%s\"", place->task),
			 place->path[0] == '\0' ? errdetail_internal("They %s.", problem) :
			 errdetail_internal("Argument \"%s\" %s.", place->path, problem),
			 errhint("The task's schema says what it takes.")));
}

static bool
is_integer(Numeric number)
{
	Datum		value = NumericGetDatum(number);

	return DatumGetBool(DirectFunctionCall2(numeric_eq, value,
											DirectFunctionCall2(numeric_trunc, value,
																Int32GetDatum(0))));
}

static bool
is_of_type(const JsonbValue *value, const JsonbValue *type)
{
	switch (value->type)
	{
		case jbvNull:
			return is_string(type, "null");
		case jbvBool:
			return is_string(type, "boolean");
		case jbvString:
			return is_string(type, "string");
		case jbvNumeric:
			return is_string(type, "number") ||
				(is_string(type, "integer") && is_integer(value->val.numeric));
		default:
			return is_string(type, is_object(value) ? "object" : "array");
	}
}

/* Check for one of the types in an array of their names, or a name */
static bool
has_type(const JsonbValue *value, const JsonbValue *type)
{
	if (type->type == jbvString)
		return is_of_type(value, type);
	for (uint32 i = 0; i < JsonContainerSize(type->val.binary.data); i++)
	{
		if (is_of_type(value, getIthJsonbValueFromContainer(type->val.binary.data, i)))
			return true;
	}
	return false;
}

static bool
are_equal(const JsonbValue *a, const JsonbValue *b)
{
	Jsonb	   *left = JsonbValueToJsonb(unconstify(JsonbValue *, a));
	Jsonb	   *right = JsonbValueToJsonb(unconstify(JsonbValue *, b));

	return compareJsonbContainers(&left->root, &right->root) == 0;
}

static bool
is_in(const JsonbValue *value, const JsonbValue *array)
{
	for (uint32 i = 0; i < JsonContainerSize(array->val.binary.data); i++)
	{
		if (are_equal(value, getIthJsonbValueFromContainer(array->val.binary.data, i)))
			return true;
	}
	return false;
}

static void check(const JsonbValue *schema, const JsonbValue *value, const Place *place);

static void
check_object(const JsonbValue *schema, const JsonbValue *object, const Place *place)
{
	JsonbValue *required = member(schema, "required", strlen("required"));
	JsonbValue *properties = member(schema, "properties", strlen("properties"));
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue	name = {0};

	for (uint32 i = 0; required != NULL && i < JsonContainerSize(required->val.binary.data); i++)
	{
		JsonbValue *wanted = getIthJsonbValueFromContainer(required->val.binary.data, i);

		if (member(object, wanted->val.string.val, wanted->val.string.len) == NULL)
			does_not_fit(place, psprintf("must have \"%s\"", string_of(wanted)));
	}
	if (properties == NULL)
		return;
	iterator = JsonbIteratorInit(properties->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		JsonbValue *given;
		Place		inner = *place;

		if (token == WJB_KEY)
			name = value;
		if (token != WJB_VALUE ||
			(given = member(object, name.val.string.val, name.val.string.len)) == NULL)
			continue;
		inner.path = psprintf("%s%s%s", place->path, place->path[0] == '\0' ? "" : ".",
							  string_of(&name));
		check(&value, given, &inner);
	}
}

static void
check_array(const JsonbValue *items, const JsonbValue *array, const Place *place)
{
	for (uint32 i = 0; i < JsonContainerSize(array->val.binary.data); i++)
	{
		const Place inner = {place->task, psprintf("%s[%u]", place->path, i)};

		CHECK_FOR_INTERRUPTS();
		check(items, getIthJsonbValueFromContainer(array->val.binary.data, i), &inner);
	}
}

static void
check(const JsonbValue *schema, const JsonbValue *value, const Place *place)
{
	JsonbValue *type = member(schema, "type", strlen("type"));
	JsonbValue *values = member(schema, "enum", strlen("enum"));
	JsonbValue *items = member(schema, "items", strlen("items"));

	check_stack_depth();
	if (type != NULL && !has_type(value, type))
		does_not_fit(place, type->type == jbvString ?
					 psprintf("must be of type %s", string_of(type)) :
					 "must be of one of the types in the schema");
	if (values != NULL && !is_in(value, values))
		does_not_fit(place, "must be one of the values in \"enum\"");
	if (is_object(value))
		check_object(schema, value, place);
	else if (is_array(value) && items != NULL)
		check_array(items, value, place);
}

void
json_schema_check(Jsonb *schema, Jsonb *args, const char *task)
{
	const Place place = {task, ""};
	JsonbValue	root;
	JsonbValue	value;

	set_root(&root, schema);
	if (args == NULL)
		args = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	set_root(&value, args);
	check(&root, &value, &place);
}
