/*
 * delivery_args.c
 *		The arguments of deliveries as JSON: writing them, reading them, and what
 *		must not be in them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "pure/http_headers.h"
#include "pure/mail_address.h"
#include "pure/url_check.h"
#include "base/compat.h"
#include "delivery/delivery.h"

/* Longest URL */
#define URL_MAX_LENGTH	8000

const char *const http_schemes[] = {"http", "https", NULL};
const char *const mail_schemes[] = {"smtp", "smtps", NULL};

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static bool
find(const Jsonb *args, const char *key, JsonbValue *value)
{
	return args != NULL && JB_ROOT_IS_OBJECT(args) &&
		getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &args->root), key,
									 strlen(key), value) != NULL;
}

const char *
delivery_text(const Jsonb *args, const char *key)
{
	JsonbValue	value;

	if (!find(args, key, &value) || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

int64
delivery_number(const Jsonb *args, const char *key, int64 otherwise)
{
	JsonbValue	value;

	if (!find(args, key, &value) || value.type != jbvNumeric)
		return otherwise;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8,
											 NumericGetDatum(value.val.numeric)));
}

Jsonb *
delivery_json(const Jsonb *args, const char *key)
{
	JsonbValue	value;

	if (!find(args, key, &value) || value.type != jbvBinary)
		return NULL;
	return JsonbValueToJsonb(&value);
}

List *
delivery_list(const Jsonb *args, const char *key)
{
	Jsonb	   *array = delivery_json(args, key);
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

/* The pairs of an object whose values are strings */
void
delivery_pairs(const Jsonb *object, DeliveryPair call, void *context)
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

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------ */

static void
push_key(JsonbBuilder *state, const char *key)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = pstrdup(key);
	value.val.string.len = strlen(key);
	(void) jsonb_push(state, WJB_KEY, &value);
}

void
push_bytes(JsonbBuilder *state, const char *key, const char *bytes, int length)
{
	JsonbValue	value;

	push_key(state, key);
	value.type = jbvString;
	value.val.string.val = pnstrdup(bytes, length);
	value.val.string.len = length;
	(void) jsonb_push(state, WJB_VALUE, &value);
}

void
push_text(JsonbBuilder *state, const char *key, const char *text)
{
	push_bytes(state, key, text, strlen(text));
}

void
push_number(JsonbBuilder *state, const char *key, int64 number)
{
	JsonbValue	value;

	push_key(state, key);
	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	(void) jsonb_push(state, WJB_VALUE, &value);
}

void
push_bool(JsonbBuilder *state, const char *key, bool truth)
{
	JsonbValue	value;

	push_key(state, key);
	value.type = jbvBool;
	value.val.boolean = truth;
	(void) jsonb_push(state, WJB_VALUE, &value);
}

/* Any JSON, a scalar too */
void
push_json(JsonbBuilder *state, const char *key, Jsonb *json)
{
	JsonbValue	value;

	push_key(state, key);
	if (JB_ROOT_IS_SCALAR(json))
	{
		(void) JsonbExtractScalar(&json->root, &value);
		(void) jsonb_push(state, WJB_VALUE, &value);
		return;
	}
	JsonbToJsonbValue(json, &value);
	(void) jsonb_push(state, WJB_VALUE, &value);
}

/* ------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------ */

void
check_no_control(const char *value, const char *parameter)
{
	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if (*c < 0x20 || *c == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must not contain control characters", parameter),
					 errdetail("Character %d is one.", (int) (c - (const unsigned char *) value) + 1),
					 errhidestmt(true)));
	}
}

static void
check_header(const char *name, const char *value, void *context)
{
	switch (http_check_header(name, value))
	{
		case HEADER_GOOD:
			break;
		case HEADER_BAD_NAME:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is not the name of a header", name),
					 errhint("It has letters, digits and hyphens."),
					 errhidestmt(true)));
			break;
		case HEADER_OWN:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("header \"%s\" cannot be set", name),
					 errhint("It follows from the request."),
					 errhidestmt(true)));
			break;
		case HEADER_BAD_VALUE:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("value of header \"%s\" must not contain control characters", name),
					 errhidestmt(true)));
	}
}

void
check_headers(const Jsonb *headers)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (headers == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(headers))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"headers\" must be a JSON object"),
				 errhint("Write it as in '{\"Accept\": \"text/csv\"}'."),
				 errhidestmt(true)));
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &headers->root));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_VALUE && value.type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the values in \"headers\" must be strings"),
					 errhidestmt(true)));
	}
	delivery_pairs(headers, check_header, NULL);
}

/* Messages do not repeat the URL: its path may be a secret */
char *
check_url(const char *url, const char *const *schemes, const char *parameter)
{
	check_no_control(url, parameter);
	if (strlen(url) > URL_MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must have at most %d bytes", parameter, URL_MAX_LENGTH),
				 errhidestmt(true)));
	switch (url_check(url, schemes))
	{
		case URL_GOOD:
			break;
		case URL_MALFORMED:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is not a URL", parameter),
					 errdetail("It must be whole, beginning with %s:// or %s://, with special characters encoded.",
							   schemes[0], schemes[1]),
					 errhidestmt(true)));
			break;
		case URL_WRONG_SCHEME:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must begin with %s:// or %s://", parameter, schemes[0], schemes[1]),
					 errhidestmt(true)));
			break;
		case URL_HAS_USER:
		case URL_HAS_PASSWORD:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must not contain a user or password", parameter),
					 errhint("Keep them in an endpoint: see defer.endpoint()."),
					 errhidestmt(true)));
	}
	return pstrdup(url);
}

void
check_mail_address(const char *address, const char *parameter)
{
	const char *problem;

	if (!mail_address_valid(address, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not an e-mail address: %s", parameter, problem),
				 errhint("Write name@example.com, or Some Name <name@example.com>.")));
}
