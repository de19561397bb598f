/*
 * args.c
 *		A job's JSON arguments, and the parameters of its function.
 *
 * An array gives them by position, an object by name.  A JSON null is NULL, a
 * string, number or boolean is what the type's input function makes of its
 * text; arrays and objects are for arrays and composite types, and json and
 * jsonb take anything as it is.  The same conversion is made twice: at
 * enqueue, so that a wrong call fails there, and when the job runs.
 *
 * Converting may run code of users (domains, types), which may enqueue jobs in
 * turn: nothing about a conversion is kept in static variables.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "function/function.h"

/* How values of one parameter are made */
typedef struct Conversion
{
	Oid			base;			/* the type, or what its domain is over */
	Oid			element;		/* of an array, else InvalidOid */
	struct Conversion *of_element;	/* NULL: no array */
	bool		is_domain;
	bool		is_composite;
	FmgrInfo	input;			/* of the base type */
	Oid			input_param;
	int32		typmod;
} Conversion;

/* All parameters of a function; in its entry's context */
typedef struct Conversions
{
	Conversion *parameters;
	List	   *defaults;		/* expressions of the last ndefaults */
} Conversions;

/* ------------------------------------------------------------------------
 * Getting ready
 * ------------------------------------------------------------------------ */

static void
prepare_conversion(Conversion *conversion, Oid type, MemoryContext context)
{
	Oid			input;

	memset(conversion, 0, sizeof(Conversion));
	conversion->typmod = -1;
	conversion->base = getBaseTypeAndTypmod(type, &conversion->typmod);
	conversion->is_domain = conversion->base != type;
	conversion->element = get_element_type(conversion->base);
	conversion->is_composite = type_is_rowtype(conversion->base);
	getTypeInputInfo(conversion->base, &input, &conversion->input_param);
	fmgr_info_cxt(input, &conversion->input, context);
	if (OidIsValid(conversion->element))
	{
		conversion->of_element = MemoryContextAlloc(context, sizeof(Conversion));
		prepare_conversion(conversion->of_element, conversion->element, context);
		/* a domain over varchar(3)[] says so of the elements */
		if (!conversion->of_element->is_domain)
			conversion->of_element->typmod = conversion->typmod;
	}
}

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
		prepare_conversion(&result->parameters[i], entry->arg_types[i], entry->entry_context);
	if (entry->ndefaults > 0)
		result->defaults = read_defaults(entry->oid);
	MemoryContextSwitchTo(old);
	entry->conversions = result;
	return result;
}

/* ------------------------------------------------------------------------
 * One value
 * ------------------------------------------------------------------------ */

static Datum convert(Conversion *conversion, Oid type, JsonbValue *value, bool *isnull);

static char *
scalar_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;		/* an array or object */
	}
}

/* An array's JSON elements, as many levels deep as they go */
typedef struct Elements
{
	Conversion *element;
	Oid			type;
	int			ndims;
	int			dims[MAXDIM];
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			size;
} Elements;

static bool
is_json_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) &&
		!JsonContainerIsScalar(value->val.binary.data);
}

/* The first elements tell how many levels there are */
static void
measure(Elements *elements, JsonbContainer *container)
{
	for (;;)
	{
		JsonbValue *first;

		if (elements->ndims == MAXDIM)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("an array has at most %d dimensions", MAXDIM)));
		elements->dims[elements->ndims++] = JsonContainerSize(container);
		if (JsonContainerSize(container) == 0)
			return;
		first = getIthJsonbValueFromContainer(container, 0);
		if (!is_json_array(first) || elements->element->base == JSONBOID ||
			elements->element->base == JSONOID)
			return;
		container = first->val.binary.data;
	}
}

static void
gather(Elements *elements, JsonbContainer *container, int level)
{
	int			n = JsonContainerSize(container);

	if (n != elements->dims[level])
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("the arrays in an array must be of one length")));
	for (int i = 0; i < n; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(container, i);

		if (level + 1 < elements->ndims)
		{
			if (!is_json_array(value))
				ereport(ERROR,
						(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						 errmsg("the arrays in an array must be of one length")));
			gather(elements, value->val.binary.data, level + 1);
			continue;
		}
		if (elements->n == elements->size)
		{
			elements->size *= 2;
			elements->values = repalloc(elements->values, elements->size * sizeof(Datum));
			elements->nulls = repalloc(elements->nulls, elements->size * sizeof(bool));
		}
		elements->values[elements->n] = convert(elements->element, elements->type, value,
												&elements->nulls[elements->n]);
		elements->n++;
	}
}

static Datum
convert_array(Conversion *conversion, JsonbContainer *container)
{
	Elements	elements = {0};
	int			lower_bounds[MAXDIM];
	int16		length;
	bool		by_value;
	char		align;

	elements.type = conversion->element;
	elements.element = conversion->of_element;
	elements.size = 16;
	elements.values = palloc(elements.size * sizeof(Datum));
	elements.nulls = palloc(elements.size * sizeof(bool));
	measure(&elements, container);
	gather(&elements, container, 0);
	if (elements.n == 0)
		return PointerGetDatum(construct_empty_array(elements.type));
	for (int i = 0; i < MAXDIM; i++)
		lower_bounds[i] = 1;
	get_typlenbyvalalign(elements.type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(elements.values, elements.nulls, elements.ndims,
											  elements.dims, lower_bounds, elements.type,
											  length, by_value, align));
}

/* By the server's own function, which takes the type from its argument's expression */
static Datum
convert_composite(Conversion *conversion, JsonbValue *value, bool *isnull)
{
	LOCAL_FCINFO(fcinfo, 2);
	FmgrInfo	populate;
	Datum		result;

	fmgr_info(F_JSONB_POPULATE_RECORD, &populate);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_JSONB_POPULATE_RECORD, conversion->base,
											 list_make2(makeNullConst(conversion->base, -1, InvalidOid),
														makeNullConst(JSONBOID, -1, InvalidOid)),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &populate);
	InitFunctionCallInfoData(*fcinfo, &populate, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = (Datum) 0;
	fcinfo->args[0].isnull = true;
	fcinfo->args[1].value = JsonbPGetDatum(JsonbValueToJsonb(value));
	fcinfo->args[1].isnull = false;
	result = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
	return result;
}

static Datum
convert_base(Conversion *conversion, JsonbValue *value, bool *isnull)
{
	char	   *text;

	*isnull = value->type == jbvNull;
	if (conversion->base == JSONBOID)
	{
		/* also a null is a value of theirs, but SQL's NULL is what is meant */
		return *isnull ? (Datum) 0 : JsonbPGetDatum(JsonbValueToJsonb(value));
	}
	if (*isnull)
		return (Datum) 0;
	if (conversion->base == JSONOID)
	{
		Jsonb	   *json = JsonbValueToJsonb(value);

		return CStringGetTextDatum(JsonbToCString(NULL, &json->root, VARSIZE(json)));
	}
	text = scalar_text(value);
	if (text != NULL)
		return InputFunctionCall(&conversion->input, text, conversion->input_param,
								 conversion->typmod);
	if (OidIsValid(conversion->element) && is_json_array(value))
		return convert_array(conversion, value->val.binary.data);
	if (conversion->is_composite && !is_json_array(value))
		return convert_composite(conversion, value, isnull);
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("a JSON %s is no value of type %s", is_json_array(value) ? "array" : "object",
					format_type_be(conversion->base))));
	return (Datum) 0;
}

static Datum
convert(Conversion *conversion, Oid type, JsonbValue *value, bool *isnull)
{
	Datum		result = convert_base(conversion, value, isnull);

	if (conversion->is_domain)
		domain_check(result, *isnull, type, NULL, NULL);
	return result;
}

/* A value of some type as JSON, as to_jsonb() makes it */
Jsonb *
argument_to_jsonb(Datum value, Oid type)
{
	FmgrInfo	finfo;

	prepare_to_jsonb(&finfo, type, CurrentMemoryContext);
	return DatumGetJsonbP(FunctionCall1(&finfo, value));
}

/* Make to_jsonb() ready for a type: it asks for the type of its argument's expression */
void
prepare_to_jsonb(FmgrInfo *finfo, Oid type, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Node	   *argument = (Node *) makeNullConst(type, -1, InvalidOid);

	fmgr_info_cxt(F_TO_JSONB, finfo, context);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   finfo);
	MemoryContextSwitchTo(old);
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

/* Is it one of the parameters' names? */
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

/* Convert what is given; nothing is done for the others */
static void
convert_given(FunctionEntry *entry, Jsonb *args, Datum *values, bool *nulls, bool *given)
{
	Conversions *conversions = prepare(entry);
	MemoryContext context = CurrentMemoryContext;
	volatile int i = 0;

	PG_TRY();
	{
		for (; i < entry->nargs; i++)
		{
			JsonbValue	space;
			JsonbValue *value = given_value(entry, args, i, &space);

			given[i] = value != NULL;
			if (given[i])
				values[i] = convert(&conversions->parameters[i], entry->arg_types[i], value,
									&nulls[i]);
		}
	}
	PG_CATCH();
	{
		function_rethrow_args(entry, i, context);
	}
	PG_END_TRY();
}

void
function_check_args(FunctionEntry *entry, Jsonb *args)
{
	MemoryContext scratch;
	MemoryContext old;
	Datum	   *values;
	bool	   *nulls;
	bool	   *given;

	check_shape(entry, args);
	if (entry->nargs == 0)
		return;
	scratch = AllocSetContextCreate(CurrentMemoryContext, "defer arguments",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	values = palloc(entry->nargs * sizeof(Datum));
	nulls = palloc(entry->nargs * sizeof(bool));
	given = palloc(entry->nargs * sizeof(bool));
	convert_given(entry, args, values, nulls, given);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
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

	check_shape(entry, args);
	convert_given(entry, args, values, nulls, given);
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
