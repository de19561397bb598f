/*
 * step.c
 *		Steps of a procedure: defer.step(), begin_step(), end_step(), now(), random().
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "function/function.h"
#include "job/execute.h"
#include "steps/pass.h"

PG_FUNCTION_INFO_V1(defer_step);
PG_FUNCTION_INFO_V1(defer_begin_step);
PG_FUNCTION_INFO_V1(defer_end_step);
PG_FUNCTION_INFO_V1(defer_now);
PG_FUNCTION_INFO_V1(defer_random);

/* ------------------------------------------------------------------------
 * Work
 * ------------------------------------------------------------------------ */

/* Run the function of a new step, in the transaction that commits its mark */
static Jsonb *
run_function(FunctionCallInfo fcinfo, const char *step, const char *name)
{
	Jsonb	   *args = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	FunctionEntry *entry = function_resolve(name, &args, false);
	Jsonb	   *result;

	if (entry->kind != JOB_FUNCTION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is a procedure", entry->signature),
				 errdetail("A step runs a function."),
				 errhint("Call it between defer.begin_step() and defer.end_step().")));
	current_job.step = step;
	result = execute_function(entry, args);
	current_job.step = NULL;
	return result;
}

/* defer.step(name, function, args [, INOUT result]) */
Datum
defer_step(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	PassStep	step;
	char	   *function;

	pass_enter(fcinfo, "defer.step()", STEP_WORK, &step);
	function = args_required_text(fcinfo, 1, "function");
	if (!step.found)
	{
		Jsonb	   *result = run_function(fcinfo, step.step.name, function);

		MemoryContextSwitchTo(context);
		if (result != NULL)
			result = memcpy(palloc(VARSIZE(result)), result, VARSIZE(result));
		pass_commit(&step, result);
	}
	pass_leave(&step);
	MemoryContextSwitchTo(context);
	return pass_return_jsonb(fcinfo, step.step.result);
}

/* defer.begin_step(name) */
Datum
defer_begin_step(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(pass_begin_step(fcinfo));
}

/* defer.end_step(name, result) */
Datum
defer_end_step(PG_FUNCTION_ARGS)
{
	pass_end_step(fcinfo, PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1));
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Values that are made once
 * ------------------------------------------------------------------------ */

static Datum
value_of(Jsonb *json, enum jbvType type, JsonbValue *value)
{
	if (!JsonbExtractScalar(&json->root, value) || value->type != type)
		elog(ERROR, "the value of a step is not of its type");
	if (type == jbvNumeric)
		return NumericGetDatum(value->val.numeric);
	return CStringGetDatum(pnstrdup(value->val.string.val, value->val.string.len));
}

/* defer.now(name) */
Datum
defer_now(PG_FUNCTION_ARGS)
{
	Jsonb	   *kept = pass_find_value(fcinfo, "defer.now()", STEP_NOW);
	JsonbValue	value;

	if (kept == NULL)
	{
		TimestampTz now = GetCurrentTimestamp();

		pass_keep_value(fcinfo, STEP_NOW,
						conversion_to_jsonb(TimestampTzGetDatum(now), TIMESTAMPTZOID));
		PG_RETURN_TIMESTAMPTZ(now);
	}
	PG_RETURN_DATUM(DirectFunctionCall3(timestamptz_in, value_of(kept, jbvString, &value),
										ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/* defer.random(name): 17 digits are enough to come back as the same number */
Datum
defer_random(PG_FUNCTION_ARGS)
{
	Jsonb	   *kept = pass_find_value(fcinfo, "defer.random()", STEP_RANDOM);
	JsonbValue	value;

	if (kept == NULL)
	{
		double		number = pg_prng_double(&pg_global_prng_state);
		char	   *digits = psprintf("%.17g", number);

		value.type = jbvNumeric;
		value.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(digits),
																ObjectIdGetDatum(InvalidOid),
																Int32GetDatum(-1)));
		pass_keep_value(fcinfo, STEP_RANDOM, JsonbValueToJsonb(&value));
		PG_RETURN_FLOAT8(number);
	}
	PG_RETURN_DATUM(DirectFunctionCall1(numeric_float8, value_of(kept, jbvNumeric, &value)));
}
