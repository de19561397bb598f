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

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "function/function.h"

/*
 * Make a value one of the parameter's type, where a call would do it by itself;
 * returns its type then, which is the old one where there is no such way.
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

	/* the estate is left to the memory context that the caller resets: the value is in it */
	estate = CreateExecutorState();
	*value = ExecEvalExprSwitchContext(ExecPrepareExpr((Expr *) expression, estate),
									   GetPerTupleExprContext(estate), isnull);
	return to;
}

/* Does the text of its values depend on search_path: regclass and the like, or what may have one? */
static bool
depends_on_path(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);

	switch (OidIsValid(element) ? getBaseType(element) : base)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGTYPEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGCOLLATIONOID:
			return true;
		default:
			return type_is_rowtype(OidIsValid(element) ? getBaseType(element) : base);
	}
}

static void
set_for_text(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/*
 * Text that is read the same whatever settings the reader has.  Undone with
 * AtEOXact_GUC() of what this returns, 0 if nothing had to be set.
 */
static int
begin_portable_text(bool path)
{
	bool		date_style = DateStyle != USE_ISO_DATES;
	bool		interval_style = IntervalStyle != INTSTYLE_POSTGRES;
	bool		digits = extra_float_digits < 1;
	int			level;

	if (!date_style && !interval_style && !digits && !path)
		return 0;
	level = NewGUCNestLevel();
	if (date_style)
		set_for_text("datestyle", "ISO");
	if (interval_style)
		set_for_text("intervalstyle", "postgres");
	if (digits)
		set_for_text("extra_float_digits", "3");
	if (path)
		set_for_text("search_path", "pg_catalog, pg_temp");
	return level;
}

static void
string_value(JsonbValue *value, char *string)
{
	value->type = jbvString;
	value->val.string.val = string;
	value->val.string.len = strlen(string);
}

/*
 * As to_jsonb() does it, but for types that have a cast to JSON: there is none
 * back.
 */
static void
value_to_json(Datum value, Oid type, JsonbValue *result)
{
	Oid			base = getBaseType(type);
	Jsonb	   *json;

	if (type == UNKNOWNOID)
		string_value(result, DatumGetCString(value));
	else if (base >= FirstNormalObjectId && !OidIsValid(get_element_type(base)) &&
			 !type_is_rowtype(base))
	{
		Oid			output;
		bool		is_varlena;

		getTypeOutputInfo(type, &output, &is_varlena);
		string_value(result, OidOutputFunctionCall(output, value));
	}
	else
	{
		json = argument_to_jsonb(value, type);
		if (!JB_ROOT_IS_SCALAR(json) || !JsonbExtractScalar(&json->root, result))
		{
			result->type = jbvBinary;
			result->val.binary.data = &json->root;
			result->val.binary.len = VARSIZE(json) - VARHDRSZ;
		}
	}
}

static void
push_typed(JsonbBuilder *state, Datum value, bool isnull, Oid from, Oid to)
{
	JsonbValue	element;
	Oid			type = from;
	int			level;

	if (!isnull)
		type = coerce_argument(&value, &isnull, from, to);
	if (isnull)
		element.type = jbvNull;
	else
	{
		level = begin_portable_text(depends_on_path(type));
		value_to_json(value, type, &element);
		if (level != 0)
			AtEOXact_GUC(true, level);
	}
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
