/*
 * jsonb_util.c
 *		Reading and writing the members of a JSON object.
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "base/jsonb_util.h"

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

static bool
find(const Jsonb *object, const char *key, JsonbValue *value)
{
	return object != NULL && JB_ROOT_IS_OBJECT(object) &&
		getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &object->root), key,
									 strlen(key), value) != NULL;
}

const char *
jsonb_read_text(const Jsonb *object, const char *key)
{
	JsonbValue	value;

	if (!find(object, key, &value) || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

int64
jsonb_read_number(const Jsonb *object, const char *key, int64 otherwise)
{
	JsonbValue	value;

	if (!find(object, key, &value) || value.type != jbvNumeric)
		return otherwise;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8,
											 NumericGetDatum(value.val.numeric)));
}

Jsonb *
jsonb_read_json(const Jsonb *object, const char *key)
{
	JsonbValue	value;

	if (!find(object, key, &value) || value.type != jbvBinary)
		return NULL;
	return JsonbValueToJsonb(&value);
}

Jsonb *
jsonb_read_any(const Jsonb *object, const char *key)
{
	JsonbValue	value;

	return find(object, key, &value) ? JsonbValueToJsonb(&value) : NULL;
}

List *
jsonb_read_list(const Jsonb *object, const char *key)
{
	Jsonb	   *array = jsonb_read_json(object, key);
	List	   *list = NIL;

	if (array == NULL || !JB_ROOT_IS_ARRAY(array))
		return NIL;
	for (uint32 i = 0; i < JB_ROOT_COUNT(array); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(&array->root, i);

		if (value != NULL && value->type == jbvString)
			list = lappend(list, pnstrdup(value->val.string.val, value->val.string.len));
	}
	return list;
}

/* Call a function for each pair of an object whose value is a string */
void
jsonb_read_pairs(const Jsonb *object, JsonbMember call, void *context)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
		return;
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &object->root));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && name != NULL && value.type == jbvString)
			call(name, pnstrdup(value.val.string.val, value.val.string.len), context);
	}
}

bool
jsonb_is_text(const JsonbValue *value, const char *text)
{
	return value->val.string.len == strlen(text) &&
		memcmp(value->val.string.val, text, value->val.string.len) == 0;
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------ */

void
jsonb_push_key(JsonbBuilder *state, const char *key)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = pstrdup(key);
	value.val.string.len = strlen(key);
	(void) jsonb_push(state, WJB_KEY, &value);
}

void
jsonb_push_bytes(JsonbBuilder *state, const char *key, const char *bytes, int length)
{
	JsonbValue	value;

	jsonb_push_key(state, key);
	value.type = jbvString;
	value.val.string.val = pnstrdup(bytes, length);
	value.val.string.len = length;
	(void) jsonb_push(state, WJB_VALUE, &value);
}

void
jsonb_push_text(JsonbBuilder *state, const char *key, const char *text)
{
	jsonb_push_bytes(state, key, text, strlen(text));
}

void
jsonb_push_number(JsonbBuilder *state, const char *key, int64 number)
{
	JsonbValue	value;

	jsonb_push_key(state, key);
	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	(void) jsonb_push(state, WJB_VALUE, &value);
}

void
jsonb_push_bool(JsonbBuilder *state, const char *key, bool truth)
{
	JsonbValue	value;

	jsonb_push_key(state, key);
	value.type = jbvBool;
	value.val.boolean = truth;
	(void) jsonb_push(state, WJB_VALUE, &value);
}

/* Push any JSON value, a scalar too */
void
jsonb_push_json(JsonbBuilder *state, const char *key, Jsonb *json)
{
	JsonbValue	value;

	jsonb_push_key(state, key);
	if (JB_ROOT_IS_SCALAR(json))
	{
		(void) JsonbExtractScalar(&json->root, &value);
		(void) jsonb_push(state, WJB_VALUE, &value);
		return;
	}
	JsonbToJsonbValue(json, &value);
	(void) jsonb_push(state, WJB_VALUE, &value);
}

void
jsonb_push_element(JsonbBuilder *state, Jsonb *json)
{
	JsonbValue	value = {.type = jbvNull};

	if (json != NULL && !JsonbExtractScalar(&json->root, &value))
		JsonbToJsonbValue(json, &value);
	(void) jsonb_push(state, WJB_ELEM, &value);
}

Jsonb *
jsonb_object_of_text(const char *key, const char *text)
{
	JsonbBuilder state = {0};

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&state, key, text);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

/* In a copy of the call, because the executor keeps constant arguments in the call itself */
Datum
jsonb_call(FunctionCallInfo fcinfo, PGFunction function, const int *json, int njson)
{
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);
	Datum		result;

	memcpy(call, fcinfo, SizeForFunctionCallInfo(fcinfo->nargs));
	for (int i = 0; i < njson; i++)
	{
		NullableDatum *arg = &call->args[json[i]];

		if (!arg->isnull)
			arg->value = DirectFunctionCall1(jsonb_in,
											 CStringGetDatum(TextDatumGetCString(arg->value)));
	}
	result = function(call);
	for (int i = 0; i < njson; i++)
	{
		if (!call->args[json[i]].isnull)
			pfree(DatumGetPointer(call->args[json[i]].value));
	}
	fcinfo->isnull = call->isnull;
	return result;
}
