/*
 * conversion.c
 *		A value of JSON as a value of a type, and back.
 *
 * A JSON null is NULL, a string, number or boolean is what the type's input
 * function makes of its text; arrays and objects are for arrays and composite
 * types, and json and jsonb take anything as it is.
 *
 * Converting may run code of users (domains, types), which may enqueue jobs in
 * turn: nothing about a conversion is kept in static variables.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "function/conversion.h"
#include "function/function.h"

void
conversion_prepare(Conversion *conversion, Oid type, MemoryContext context)
{
	Oid			input;

	memset(conversion, 0, sizeof(Conversion));
	conversion->typmod = -1;
	conversion->base = getBaseTypeAndTypmod(type, &conversion->typmod);
	conversion->is_domain = conversion->base != type;
	conversion->element = get_element_type(conversion->base);
	conversion->is_composite = type_is_rowtype(conversion->base);
	conversion->is_portable = function_type_is_portable(type);
	getTypeInputInfo(conversion->base, &input, &conversion->input_param);
	fmgr_info_cxt(input, &conversion->input, context);
	if (OidIsValid(conversion->element))
	{
		conversion->of_element = MemoryContextAlloc(context, sizeof(Conversion));
		conversion_prepare(conversion->of_element, conversion->element, context);
		/* a domain over varchar(3)[] says so of the elements */
		if (!conversion->of_element->is_domain)
			conversion->of_element->typmod = conversion->typmod;
	}
	conversion->needs_snapshot = type >= FirstNormalObjectId || conversion->is_domain ||
		conversion->is_composite ||
		(conversion->of_element != NULL && conversion->of_element->needs_snapshot);
}

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
		elements->values[elements->n] = conversion_convert(elements->element, elements->type, value,
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
											 list_make2(makeNullConst(conversion->base, -1,
																	  InvalidOid),
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
		/* also a null is a value of theirs, but SQL's NULL is meant */
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
			 errmsg("cannot convert JSON %s to type %s", is_json_array(value) ? "array" : "object",
					format_type_be(conversion->base))));
	return (Datum) 0;
}

Datum
conversion_convert(Conversion *conversion, Oid type, JsonbValue *value, bool *isnull)
{
	Datum		result = convert_base(conversion, value, isnull);

	if (conversion->is_domain)
		domain_check(result, *isnull, type, NULL, NULL);
	return result;
}

/* Make to_jsonb() ready for a type: it asks for the type of its argument's expression */
static void
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

/* A value of some type as JSON, as to_jsonb() makes it */
Jsonb *
conversion_to_jsonb(Datum value, Oid type)
{
	FmgrInfo	finfo;

	prepare_to_jsonb(&finfo, type, CurrentMemoryContext);
	return DatumGetJsonbP(FunctionCall1(&finfo, value));
}
