/*
 * typed_args.c
 *		Typed arguments, those of defer.later(), as JSON.
 *
 * What the worker makes of an argument's JSON must be the value that was given.
 * So each is first made one of its parameter's type, here, where the caller's
 * settings are (a timestamp becomes a timestamptz in the caller's time zone),
 * and its text does not depend on settings that the worker does not share.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "function/function.h"

/*
 * Look for a function that takes smaller numbers than those that were given: drivers
 * send numbers as they are in their language, a long or a float.  Whether the values
 * fit is seen when they are converted.
 */
static FuncDetailCode
find_by_smaller_types(List *name, int ntypes, const Oid *types, Oid *function)
{
	static const Oid smaller[][2] = {
		{FLOAT8OID, NUMERICOID}, {INT8OID, INT4OID}, {INT4OID, INT2OID}
	};
	Oid		   *tried = palloc(ntypes * sizeof(Oid));
	FuncDetailCode code = FUNCDETAIL_NOTFOUND;

	memcpy(tried, types, ntypes * sizeof(Oid));
	for (int step = 0; step < lengthof(smaller) && code == FUNCDETAIL_NOTFOUND; step++)
	{
		for (int i = 0; i < ntypes; i++)
		{
			if (tried[i] == smaller[step][0])
				tried[i] = smaller[step][1];
		}
		code = compat_function_detail(name, ntypes, tried, function);
	}
	return code;
}

FuncDetailCode
function_detail_by_types(List *name, int ntypes, const Oid *types, Oid *function)
{
	FuncDetailCode code = compat_function_detail(name, ntypes, types, function);

	return code == FUNCDETAIL_NOTFOUND ?
		find_by_smaller_types(name, ntypes, types, function) : code;
}

/*
 * Convert a value to the parameter's type as an implicit cast in a call would.
 * Returns the type that it has then: its own if there is no such cast.
 */
static Oid
coerce_argument(Datum *value, bool *isnull, Oid from, Oid to)
{
	Node	   *expression;
	EState	   *estate;
	int16		length;
	bool		by_value;

	if (from == to)
		return to;
	get_typlenbyval(from, &length, &by_value);
	expression = coerce_to_target_type(NULL,
									   (Node *) makeConst(from, -1, get_typcollation(from), length,
														  *value, *isnull, by_value),
									   from, to, -1, COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
	if (expression == NULL)
		return from;

	/*
	 * the executor state is not freed, because the value is in its memory;
	 * the caller resets the context above
	 */
	estate = CreateExecutorState();
	*value = ExecEvalExprSwitchContext(ExecPrepareExpr((Expr *) expression, estate),
									   GetPerTupleExprContext(estate), isnull);
	return to;
}

static void
push_typed(JsonbBuilder *state, Datum value, bool isnull, Oid from, Oid to)
{
	JsonbValue	element;
	Oid			type = from;

	if (!isnull)
		type = coerce_argument(&value, &isnull, from, to);
	if (isnull)
		element.type = jbvNull;
	else
		function_portable_value(value, type, &element);
	(void) jsonb_push(state, WJB_ELEM, &element);
}

Jsonb *
function_args_from_values(FunctionEntry *entry, int nargs, const Datum *values, const bool *nulls,
						  const Oid *types)
{
	MemoryContext context = CurrentMemoryContext;
	JsonbBuilder state = {0};
	volatile int i = 0;

	if (nargs > entry->nargs)
		function_too_many_args(entry, nargs);
	(void) jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	PG_TRY();
	{
		for (; i < nargs; i++)
			push_typed(&state, values[i], nulls[i], types[i], entry->arg_types[i]);
	}
	PG_CATCH();
	{
		function_rethrow_args(entry, i, context);
	}
	PG_END_TRY();
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_ARRAY, NULL));
}
