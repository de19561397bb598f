/*
 * enqueue_json.c
 *		defer.enqueue() and its like with json in place of jsonb, as some drivers
 *		send it.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/jsonb_util.h"
#include "job/enqueue.h"
#include "job/enqueue_options.h"

PG_FUNCTION_INFO_V1(defer_enqueue_json);
PG_FUNCTION_INFO_V1(defer_enqueue_one_json);
PG_FUNCTION_INFO_V1(defer_enqueue_many_json);
PG_FUNCTION_INFO_V1(defer_command_json);

/* The arguments in front of the options: function and args, or the statement */
#define AFTER_ARGS	2
#define AFTER_SQL	1

/* "first" is the number of the first option; argument 1 is json if there are two in front */
static Datum
call_with_jsonb(FunctionCallInfo fcinfo, PGFunction function, int first)
{
	const int	json[] = {first + OPTION_METADATA, 1};

	return jsonb_call(fcinfo, function, json, first == AFTER_ARGS ? 2 : 1);
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
