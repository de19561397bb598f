/*
 * portable_args.c
 *		Arguments as JSON that means the same in any session.
 *
 * The text of a date, a time, an interval, a sum of money or the name of a table
 * is read by DateStyle, TimeZone, IntervalStyle, lc_monetary and search_path.
 * The worker that runs a job has those of the job's role, which need not be
 * those of the session that enqueues it.  So a value of such a type is converted
 * where it is given, and stored as text that does not depend on them: dates and
 * times in ISO format, with their zone where the type has one, names with their
 * schema.  What depends on no setting stays as it was given.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "function/function.h"

/* ------------------------------------------------------------------------
 * Types
 * ------------------------------------------------------------------------ */

/* The type, without domains, that the text of its values is made of */
static Oid
inner_type(Oid type)
{
	for (;;)
	{
		Oid			base = getBaseType(type);
		Oid			inner = get_element_type(base);

		if (!OidIsValid(inner))
			inner = get_range_subtype(base);
		if (!OidIsValid(inner))
			inner = get_range_subtype(get_multirange_range(base));
		if (!OidIsValid(inner))
			return base;
		type = inner;
	}
}

/* Check whether the type is regclass or the like, or may have one in it */
static bool
depends_on_path(Oid inner)
{
	switch (inner)
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
			return type_is_rowtype(inner);
	}
}

bool
function_type_is_portable(Oid type)
{
	Oid			inner = inner_type(type);

	switch (inner)
	{
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
		case MONEYOID:
			return false;
		default:
			return !depends_on_path(inner);
	}
}

bool
function_type_is_money(Oid type)
{
	Oid			inner = inner_type(type);

	return inner == MONEYOID || type_is_rowtype(inner);
}

/* ------------------------------------------------------------------------
 * Settings
 * ------------------------------------------------------------------------ */

static void
set_for_text(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

int
function_money_begin(void)
{
	int			level;

	if (strcmp(GetConfigOption("lc_monetary", false, false), "C") == 0)
		return 0;
	level = NewGUCNestLevel();
	set_for_text("lc_monetary", "C");
	return level;
}

void
function_money_end(int level)
{
	if (level != 0)
		AtEOXact_GUC(true, level);
}

/*
 * Text that is read the same whatever settings the reader has.  Undone with
 * AtEOXact_GUC() of what this returns, 0 if nothing had to be set.
 */
static int
begin_portable_text(bool path, bool money)
{
	bool		date_style = DateStyle != USE_ISO_DATES;
	bool		interval_style = IntervalStyle != INTSTYLE_POSTGRES;
	bool		digits = extra_float_digits < 1;
	int			level;

	money = money && strcmp(GetConfigOption("lc_monetary", false, false), "C") != 0;
	if (!date_style && !interval_style && !digits && !path && !money)
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
	if (money)
		set_for_text("lc_monetary", "C");
	return level;
}

/* ------------------------------------------------------------------------
 * Values
 * ------------------------------------------------------------------------ */

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
		json = conversion_to_jsonb(value, type);
		if (!JB_ROOT_IS_SCALAR(json) || !JsonbExtractScalar(&json->root, result))
		{
			result->type = jbvBinary;
			result->val.binary.data = &json->root;
			result->val.binary.len = VARSIZE(json) - VARHDRSZ;
		}
	}
}

void
function_portable_value(Datum value, Oid type, JsonbValue *result)
{
	int			level = begin_portable_text(depends_on_path(inner_type(type)),
											function_type_is_money(type));

	value_to_json(value, type, result);
	if (level != 0)
		AtEOXact_GUC(true, level);
}

/* ------------------------------------------------------------------------
 * All arguments
 * ------------------------------------------------------------------------ */

/* The parameter of that name; -1: there is none */
static int
parameter_of(const FunctionEntry *entry, const JsonbValue *key)
{
	for (int i = 0; i < entry->nargs; i++)
	{
		if (strlen(entry->arg_names[i]) == key->val.string.len &&
			memcmp(entry->arg_names[i], key->val.string.val, key->val.string.len) == 0)
			return i;
	}
	return -1;
}

/* The arguments, an array or object, with these values in place of some; NULL: as it is */
Jsonb *
function_replace_args(const FunctionEntry *entry, Jsonb *args, JsonbValue **values)
{
	JsonbIterator *iterator = JsonbIteratorInit(&args->root);
	JsonbBuilder builder = {0};
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue *result = NULL;
	int			i = -1;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			i = parameter_of(entry, &value);
		else if (token == WJB_ELEM)
			i++;
		if ((token == WJB_VALUE || token == WJB_ELEM) && i >= 0 && values[i] != NULL)
			result = jsonb_push(&builder, token, values[i]);
		else
			result = jsonb_push(&builder, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	return JsonbValueToJsonb(result);
}
