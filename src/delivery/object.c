/*
 * object.c
 *		Deliveries that are given as a JSON object with the parameters of their function.
 *
 * The members become the arguments of a call, and what reads the arguments of a call checks
 * them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"

#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "delivery/delivery.h"
#include "job/enqueue_object.h"

/* Most parameters of a function, without options */
#define PARAMETERS_MAX	10

/* In the order of the function's parameters */
typedef struct Parameter
{
	const char *name;
	Oid			type;
	const char *sample;			/* for a value that is not known yet; NULL: it
								 * is left out */
} Parameter;

static const Parameter http_parameters[] = {
	{"method", TEXTOID, "GET"}, {"url", TEXTOID, "http://example.com/"}, {"body", JSONBOID},
	{"headers", JSONBOID}, {"endpoint", TEXTOID}, {"timeout", INTERVALOID},
	{"connect_timeout", INTERVALOID}, {"follow_redirects", INT8OID}, {"max_response", INT8OID}
};

static const Parameter email_parameters[] = {
	{"recipients", TEXTARRAYOID, "somebody@example.com"}, {"subject", TEXTOID, "subject"},
	{"body", TEXTOID, "body"}, {"html", TEXTOID, "body"}, {"cc", TEXTARRAYOID},
	{"bcc", TEXTARRAYOID}, {"reply_to", TEXTOID}, {"sender", TEXTOID}, {"endpoint", TEXTOID},
	{"timeout", INTERVALOID}
};

/* A delivery's function, as a call that is being put together */
typedef struct ObjectCall
{
	const char *function;		/* without its schema */
	const Parameter *parameters;
	int			n;
	Oid			types[PARAMETERS_MAX];
} ObjectCall;

static ObjectCall
call_of_kind(char kind)
{
	ObjectCall	http = {"http", http_parameters, lengthof(http_parameters)};
	ObjectCall	email = {"email", email_parameters, lengthof(email_parameters)};

	return kind == JOB_HTTP ? http : email;
}

/* A body is text or JSON */
static Oid
type_of_value(const Parameter *parameter, const JsonbValue *value)
{
	return value->type == jbvString && strcmp(parameter->name, "body") == 0 ? TEXTOID :
		parameter->type;
}

/* Find the parameter of a member */
static int
find_parameter(const ObjectCall *call, const JsonbValue *name)
{
	for (int i = 0; i < call->n; i++)
	{
		if (jsonb_is_text(name, call->parameters[i].name))
			return i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("defer.%s() has no parameter \"%s\"", call->function,
					enqueue_object_shown(name->val.string.val, name->val.string.len)),
			 errhint("Options of the job are members of the step itself.")));
}

/* Set the argument of a value that is not known yet */
static void
set_sample(const Parameter *parameter, bool has_endpoint, NullableDatum *argument)
{
	const char *sample = parameter->sample;

	if (has_endpoint && strcmp(parameter->name, "url") == 0)
		sample = NULL;			/* it needs none */
	argument->isnull = sample == NULL;
	if (sample != NULL)
		argument->value = CStringGetTextDatum(sample);
}

static void
read_members(ObjectCall *call, const Jsonb *object, bool sample, NullableDatum *arguments,
			 const char **field)
{
	const bool	has_endpoint = jsonb_read_text(object, "endpoint") != NULL;
	JsonbIterator *iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &object->root));
	const char *outer = *field;
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	value;

	for (int i = 0; i < call->n; i++)
	{
		call->types[i] = call->parameters[i].type;
		arguments[i].isnull = true;
	}
	while ((token = JsonbIteratorNext(&iterator, &name, true)) != WJB_DONE)
	{
		int			i;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		i = find_parameter(call, &name);
		if (value.type == jbvNull)
		{
			call->types[i] = TEXTOID;
			if (sample)
				set_sample(&call->parameters[i], has_endpoint, &arguments[i]);
			continue;
		}
		*field = psprintf("%s.%s", call->function, call->parameters[i].name);
		call->types[i] = type_of_value(&call->parameters[i], &value);
		arguments[i].value = enqueue_object_value(&value, call->types[i]);
		arguments[i].isnull = false;
		*field = outer;
	}
}

Jsonb *
delivery_of_object(char kind, const Jsonb *object, bool sample, const char **field)
{
	LOCAL_FCINFO(fcinfo, PARAMETERS_MAX);
	ObjectCall	call = call_of_kind(kind);
	FmgrInfo	info = {0};
	List	   *types = NIL;

	if (!delivery_allowed(call.function, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function defer.%s", call.function),
				 errhint("Have the administrator run GRANT EXECUTE ON FUNCTION defer.%s.",
						 call.function)));
	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the value must be an object with the parameters of defer.%s()",
						call.function)));
	InitFunctionCallInfoData(*fcinfo, &info, call.n, InvalidOid, NULL, NULL);
	read_members(&call, object, sample, fcinfo->args, field);
	for (int i = 0; i < call.n; i++)
		types = lappend(types, makeNullConst(call.types[i], -1, InvalidOid));
	fmgr_info_set_expr((Node *) makeFuncExpr(InvalidOid, INT8OID, types, InvalidOid, InvalidOid,
											 COERCE_EXPLICIT_CALL), &info);
	return kind == JOB_HTTP ? delivery_read_http(fcinfo) : delivery_read_email(fcinfo);
}
