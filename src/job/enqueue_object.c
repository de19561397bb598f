/*
 * enqueue_object.c
 *		Options of defer.enqueue() as members of a JSON object.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/jsonb_util.h"
#include "job/enqueue_object.h"
#include "job/enqueue_options.h"

/* Longest part of a name that a message shows, in bytes */
#define SHOWN_BYTES	60

char *
enqueue_object_shown(const char *name, int length)
{
	char	   *copy = pnstrdup(name, pg_mbcliplen(name, length, SHOWN_BYTES));

	for (char *p = copy; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			*p = '?';
	}
	return copy;
}

/* The text of a string, or of a number where the type of the option is one */
static char *
text_of_value(const JsonbValue *value, Oid type)
{
	bool		number = type == INT8OID || type == FLOAT8OID;

	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	if (number && value->type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(value->val.numeric)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 number ? errmsg("the value must be a number") : errmsg("the value must be a string"),
			 type == INTERVALOID && value->type == jbvNumeric ?
			 errhint("Give a length of time with its unit, such as \"90 seconds\".") : 0));
}

Datum
enqueue_object_numbers(const JsonbValue *value)
{
	bool		is_array = value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
	int			size = is_array ? JsonContainerSize(value->val.binary.data) : 0;
	Datum	   *ids = palloc(Max(size, 1) * sizeof(Datum));
	JsonbIterator *iterator = is_array ? JsonbIteratorInit(value->val.binary.data) : NULL;
	JsonbIteratorToken token;
	JsonbValue	element;
	int			n = 0;

	while (is_array && (token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		is_array = element.type == jbvNumeric;
		if (is_array)
			ids[n++] = DirectFunctionCall1(numeric_int8, NumericGetDatum(element.val.numeric));
	}
	if (!is_array)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the value must be an array of numbers")));
	return PointerGetDatum(construct_array(ids, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* The strings of an array, or a single one, as text[] */
static Datum
texts_of_value(const JsonbValue *value)
{
	const bool	is_array = value->type == jbvBinary &&
		JsonContainerIsArray(value->val.binary.data);
	JsonbContainer *array = is_array ? value->val.binary.data : NULL;
	const int	n = array != NULL ? JsonContainerSize(array) : 1;
	Datum	   *elements = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
	{
		const JsonbValue *element = array != NULL ? getIthJsonbValueFromContainer(array, i) : value;

		elements[i] = CStringGetTextDatum(text_of_value(element, TEXTOID));
	}
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
enqueue_object_value(const JsonbValue *value, Oid type)
{
	Datum		number;

	switch (type)
	{
		case JSONBOID:
			return JsonbPGetDatum(JsonbValueToJsonb(unconstify(JsonbValue *, value)));
		case TEXTOID:
			return CStringGetTextDatum(text_of_value(value, type));
		case TEXTARRAYOID:
			return texts_of_value(value);
		case INT8ARRAYOID:
			return enqueue_object_numbers(value);
		case INT8OID:			/* that fits into an integer */
			number = DirectFunctionCall1(int4in, CStringGetDatum(text_of_value(value, type)));
			return Int64GetDatum(DatumGetInt32(number));
		case FLOAT8OID:
			return DirectFunctionCall1(float8in, CStringGetDatum(text_of_value(value, type)));
		case TIMESTAMPTZOID:
			return DirectFunctionCall3(timestamptz_in, CStringGetDatum(text_of_value(value, type)),
									   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		case INTERVALOID:
			return DirectFunctionCall3(interval_in, CStringGetDatum(text_of_value(value, type)),
									   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		default:
			elog(ERROR, "no conversion of options of type %u", type);
	}
}

int
enqueue_object_option(const JsonbValue *name, const JsonbValue *value, FunctionCallInfo call,
					  const char **field)
{
	for (int i = 0; i < OPTION_N; i++)
	{
		if (!jsonb_is_text(name, enqueue_options[i].name))
			continue;
		if (value->type == jbvNull)
			return i;			/* as if it were left out */
		*field = enqueue_options[i].name;
		call->args[i].value = enqueue_object_value(value, enqueue_options[i].type);
		call->args[i].isnull = false;
		*field = NULL;
		return i;
	}
	return -1;
}

bool
enqueue_object_is_wrong(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return false;
		default:
			return true;
	}
}
