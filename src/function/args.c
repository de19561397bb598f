/*
 * args.c
 *		A job's JSON arguments, and the parameters of its function.
 *
 * An array gives them by position, an object by name.  The same conversion
 * (function/conversion.c) is made twice: at enqueue, so that a wrong call fails
 * there, and when the job runs.  Where it depends on settings the result of the
 * first is stored: see function/portable_args.c.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "function/conversion.h"
#include "function/function.h"

/* All parameters of a function; in its entry's context */
typedef struct Conversions
{
	Conversion *parameters;
	List	   *defaults;		/* expressions of the last ndefaults */
	bool		money;			/* some may have a sum of money */
	bool		needs_snapshot; /* some may run code of users */
} Conversions;

/* ------------------------------------------------------------------------
 * Getting ready
 * ------------------------------------------------------------------------ */

static List *
read_defaults(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		isnull;
	Datum		expressions;
	List	   *list = NIL;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	expressions = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargdefaults, &isnull);
	if (!isnull)
		list = castNode(List, stringToNode(TextDatumGetCString(expressions)));
	ReleaseSysCache(tuple);
	return list;
}

static pg_noinline Conversions *
prepare(FunctionEntry *entry)
{
	Conversions *result;
	MemoryContext old;

	if (entry->conversions != NULL)
		return entry->conversions;
	old = MemoryContextSwitchTo(entry->entry_context);
	result = palloc0(sizeof(Conversions));
	result->parameters = palloc0(Max(entry->nargs, 1) * sizeof(Conversion));
	for (int i = 0; i < entry->nargs; i++)
	{
		conversion_prepare(&result->parameters[i], entry->arg_types[i], entry->entry_context);
		result->money = result->money || function_type_is_money(entry->arg_types[i]);
		result->needs_snapshot = result->needs_snapshot || result->parameters[i].needs_snapshot;
	}
	if (entry->ndefaults > 0)
		result->defaults = read_defaults(entry->oid);
	MemoryContextSwitchTo(old);
	entry->conversions = result;
	return result;
}

/* ------------------------------------------------------------------------
 * Which arguments there are
 * ------------------------------------------------------------------------ */

static int
given_count(Jsonb *args)
{
	return args == NULL ? 0 : (int) JsonContainerSize(&args->root);
}

static bool
has_default(const FunctionEntry *entry, int argument)
{
	return argument >= entry->nargs - entry->ndefaults;
}

/* The value given for a parameter; NULL: none */
static JsonbValue *
given_value(const FunctionEntry *entry, Jsonb *args, int argument, JsonbValue *space)
{
	const char *name = entry->arg_names[argument];

	if (args == NULL)
		return NULL;
	if (JB_ROOT_IS_ARRAY(args))
		return argument < given_count(args) ?
			getIthJsonbValueFromContainer(&args->root, argument) : NULL;
	if (name[0] == '\0')
		return NULL;
	return getKeyJsonValueFromContainer(&args->root, name, strlen(name), space);
}

/* Check whether the key is the name of a parameter */
static bool
is_parameter(const FunctionEntry *entry, const JsonbValue *key)
{
	for (int i = 0; i < entry->nargs; i++)
	{
		const char *name = entry->arg_names[i];

		if (name[0] != '\0' && strlen(name) == key->val.string.len &&
			memcmp(name, key->val.string.val, key->val.string.len) == 0)
			return true;
	}
	return false;
}

/* The first key that is no parameter; NULL: all are */
static char *
unknown_name(const FunctionEntry *entry, Jsonb *args)
{
	JsonbIterator *iterator = JsonbIteratorInit(&args->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY && !is_parameter(entry, &value))
			return pnstrdup(value.val.string.val, value.val.string.len);
	}
	return NULL;
}

/* The first parameter that has neither a value nor a default; -1: none */
static int
missing_argument(const FunctionEntry *entry, Jsonb *args)
{
	for (int i = 0; i < entry->nargs - entry->ndefaults; i++)
	{
		JsonbValue	space;

		if (given_value(entry, args, i, &space) == NULL)
			return i;
	}
	return -1;
}

bool
function_args_fit(const FunctionEntry *entry, Jsonb *args)
{
	if (args != NULL && JB_ROOT_IS_SCALAR(args))
		return false;
	if (args != NULL && JB_ROOT_IS_ARRAY(args) && given_count(args) > entry->nargs)
		return false;
	if (args != NULL && JB_ROOT_IS_OBJECT(args) && unknown_name(entry, args) != NULL)
		return false;
	return missing_argument(entry, args) < 0;
}

/* "1 ("user_id")", or "1" of a parameter without name */
static char *
argument_label(const FunctionEntry *entry, int i)
{
	return entry->arg_names[i][0] != '\0' ?
		psprintf("%d (\"%s\")", i + 1, entry->arg_names[i]) : psprintf("%d", i + 1);
}

/* "user_id bigint, [note text]" */
static char *
list_parameters(const FunctionEntry *entry)
{
	StringInfoData list;

	if (entry->nargs == 0)
		return "no parameters";
	initStringInfo(&list);
	for (int i = 0; i < entry->nargs; i++)
		appendStringInfo(&list, "%s%s%s%s%s%s", i > 0 ? ", " : "",
						 has_default(entry, i) ? "[" : "", entry->arg_names[i],
						 entry->arg_names[i][0] != '\0' ? " " : "",
						 format_type_be(entry->arg_types[i]), has_default(entry, i) ? "]" : "");
	return list.data;
}

void
function_too_many_args(const FunctionEntry *entry, int given)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_plural("function %s takes %d argument, not %d",
						   "function %s takes %d arguments, not %d",
						   entry->nargs, entry->signature, entry->nargs, given),
			 errhint("It takes: %s.", list_parameters(entry))));
}

static void
check_shape(const FunctionEntry *entry, Jsonb *args)
{
	char	   *unknown;
	int			missing;

	if (args != NULL && JB_ROOT_IS_SCALAR(args))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("arguments of function %s are neither a JSON array nor an object",
						entry->signature),
				 errhint("Give an array for arguments by position, as in '[1, \"a\"]', or an object for arguments by name.")));
	if (args != NULL && JB_ROOT_IS_ARRAY(args) && given_count(args) > entry->nargs)
		function_too_many_args(entry, given_count(args));
	if (args != NULL && JB_ROOT_IS_OBJECT(args) &&
		(unknown = unknown_name(entry, args)) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("function %s has no parameter \"%s\"", entry->signature, unknown),
				 errhint("It takes: %s.", list_parameters(entry))));
	missing = missing_argument(entry, args);
	if (missing >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument %s of function %s is missing", argument_label(entry, missing),
						entry->signature),
				 errhint("It takes: %s.", list_parameters(entry))));
}

/* ------------------------------------------------------------------------
 * All arguments
 * ------------------------------------------------------------------------ */

/*
 * Errors that say something of the value.  Others (out of memory, a cancel, what
 * a domain's function raises) are told as they are.
 */
static bool
is_about_value(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION ||
		category == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

void
function_rethrow_args(const FunctionEntry *entry, int i, MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (!is_about_value(error->sqlerrcode) || error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		PG_RE_THROW();
	FlushErrorState();
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument %s of function %s cannot be converted to type %s",
					argument_label(entry, i), entry->signature,
					format_type_be(entry->arg_types[i])),
			 error->detail != NULL ?
			 errdetail_internal("%s: %s", error->message, error->detail) :
			 errdetail_internal("%s.", error->message),
			 error->hint != NULL ? errhint("%s", error->hint) :
			 errhint("The function takes: %s.", list_parameters(entry))));
}

/*
 * Convert the arguments that are given; nothing is done for the others.  In
 * "stored", unless it is NULL, goes the value to be stored instead; NULL: the
 * argument as given.
 */
static void
convert_given(FunctionEntry *entry, Jsonb *args, Datum *values, bool *nulls, bool *given,
			  JsonbValue **stored)
{
	Conversions *conversions = prepare(entry);
	MemoryContext context = CurrentMemoryContext;
	volatile int i = 0;

	PG_TRY();
	{
		for (; i < entry->nargs; i++)
		{
			Conversion *conversion = &conversions->parameters[i];
			JsonbValue	space;
			JsonbValue *value = given_value(entry, args, i, &space);

			given[i] = value != NULL;
			if (!given[i])
				continue;
			values[i] = conversion_convert(conversion, entry->arg_types[i], value, &nulls[i]);
			if (stored != NULL && !nulls[i] && !conversion->is_portable)
			{
				stored[i] = palloc(sizeof(JsonbValue));
				function_portable_value(values[i], entry->arg_types[i], stored[i]);
			}
		}
	}
	PG_CATCH();
	{
		function_rethrow_args(entry, i, context);
	}
	PG_END_TRY();
}

/* The same of arguments that are stored, or as they are to be stored */
static void
convert_stored(FunctionEntry *entry, Jsonb *args, Datum *values, bool *nulls, bool *given)
{
	int			level = prepare(entry)->money ? function_money_begin() : 0;

	convert_given(entry, args, values, nulls, given, NULL);
	function_money_end(level);
}

Jsonb *
function_check_args(FunctionEntry *entry, Jsonb *args, bool portable)
{
	MemoryContext scratch;
	MemoryContext old;
	Datum	   *values;
	bool	   *nulls;
	bool	   *given;
	JsonbValue **stored;
	bool		replace = false;

	check_shape(entry, args);
	if (entry->nargs == 0)
		return args;
	scratch = AllocSetContextCreate(CurrentMemoryContext, "defer arguments",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	values = palloc(entry->nargs * sizeof(Datum));
	nulls = palloc(entry->nargs * sizeof(bool));
	given = palloc(entry->nargs * sizeof(bool));
	stored = palloc0(entry->nargs * sizeof(JsonbValue *));
	if (portable)
		convert_stored(entry, args, values, nulls, given);
	else
		convert_given(entry, args, values, nulls, given, stored);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < entry->nargs; i++)
		replace = replace || stored[i] != NULL;
	if (replace)
		args = function_replace_args(entry, args, stored);
	MemoryContextDelete(scratch);
	return args;
}

/* The default of a parameter, evaluated now */
static Datum
default_value(const FunctionEntry *entry, int argument, bool *isnull)
{
	const Conversions *conversions = entry->conversions;
	Node	   *node = list_nth(conversions->defaults,
								argument - (entry->nargs - entry->ndefaults));
	EState	   *estate = CreateExecutorState();
	ExprState  *state;
	Datum		value;

	state = ExecPrepareExpr((Expr *) copyObjectImpl(node), estate);
	value = ExecEvalExprSwitchContext(state, GetPerTupleExprContext(estate), isnull);
	if (!*isnull)
	{
		int16		length;
		bool		by_value;

		get_typlenbyval(entry->arg_types[argument], &length, &by_value);
		value = datumCopy(value, by_value, length);
	}
	FreeExecutorState(estate);
	return value;
}

void
function_convert_args(FunctionEntry *entry, Jsonb *args, Datum *values, bool *nulls)
{
	bool	   *given = palloc0(Max(entry->nargs, 1) * sizeof(bool));
	bool		defaults = false;
	bool		snapshot = prepare(entry)->needs_snapshot;

	check_shape(entry, args);
	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	convert_stored(entry, args, values, nulls, given);
	if (snapshot)
		PopActiveSnapshot();
	for (int i = 0; i < entry->nargs; i++)
		defaults = defaults || !given[i];
	if (!defaults)
		return;

	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < entry->nargs; i++)
	{
		if (!given[i])
			values[i] = default_value(entry, i, &nulls[i]);
	}
	PopActiveSnapshot();
}
