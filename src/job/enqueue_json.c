/*
 * enqueue_json.c
 *		defer.enqueue() and its like with json in place of jsonb, as some drivers
 *		send it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "job/enqueue.h"
#include "job/enqueue_options.h"

PG_FUNCTION_INFO_V1(defer_enqueue_json);
PG_FUNCTION_INFO_V1(defer_enqueue_one_json);
PG_FUNCTION_INFO_V1(defer_enqueue_many_json);
PG_FUNCTION_INFO_V1(defer_command_json);

/* The arguments in front of the options: function and args, or the statement */
#define AFTER_ARGS	2
#define AFTER_SQL	1

/*
 * Call a function with jsonb in place of json: the option metadata and, if it has such
 * a one, argument 1.  "first" is the number of the first option.  In a copy of the call,
 * because the executor keeps constant arguments in the call itself.
 */
static Datum
call_with_jsonb(FunctionCallInfo fcinfo, PGFunction function, int first)
{
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);
	int			json[] = {first + OPTION_METADATA, 1};
	int			njson = first == AFTER_ARGS ? 2 : 1;
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

Datum
defer_enqueue_json(PG_FUNCTION_ARGS)
{
	return call_with_jsonb(fcinfo, defer_enqueue, AFTER_ARGS);
}

Datum
defer_enqueue_one_json(PG_FUNCTION_ARGS)
{
	return call_with_jsonb(fcinfo, defer_enqueue_one, AFTER_ARGS);
}

Datum
defer_enqueue_many_json(PG_FUNCTION_ARGS)
{
	return call_with_jsonb(fcinfo, defer_enqueue_many, AFTER_ARGS);
}

Datum
defer_command_json(PG_FUNCTION_ARGS)
{
	return call_with_jsonb(fcinfo, defer_command, AFTER_SQL);
}
