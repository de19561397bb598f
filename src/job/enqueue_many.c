/*
 * enqueue_many.c
 *		defer.enqueue_many(): a job for each object of a JSON array, in one call.
 *
 * An object has "args" and any of the options of defer.enqueue(); the options of
 * the call are what holds where it has none.  What an object has is made
 * arguments of a call of defer.enqueue(), so that all rules are the same.  Memory
 * is that of one object, of the ids, and of the result, which may go to disk.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/jsonb_util.h"
#include "job/enqueue.h"
#include "job/enqueue_object.h"
#include "job/enqueue_options.h"
#include "shmem/preload.h"

PG_FUNCTION_INFO_V1(defer_enqueue_many);

/* Arguments of the call */
enum
{
	MANY_FUNCTION, MANY_JOBS, MANY_OPTIONS
};

/* Where the reading of the objects has come to, for errors */
typedef struct Place
{
	int			ord;			/* of the object, from 1 on */
	const char *field;			/* NULL: no certain one */
	int64	   *ids;			/* of the jobs of the objects before it */
} Place;

/* The field that names earlier objects by their places; "after" has ids */
#define AFTER_ORD	"after_ord"

static void
no_such_field(const JsonbValue *name)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < OPTION_N; i++)
		appendStringInfo(&list, ", %s", enqueue_options[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no field \"%s\"",
					enqueue_object_shown(name->val.string.val, name->val.string.len)),
			 errhint("The fields are args%s, " AFTER_ORD ".", list.data)));
}

/* ------------------------------------------------------------------------
 * One object
 * ------------------------------------------------------------------------ */

/* Add the jobs of the objects with these places to those that the job comes after */
static void
add_earlier(const JsonbValue *places, FunctionCallInfo call, const Place *place)
{
	NullableDatum *after = &call->args[OPTION_AFTER];
	ArrayType  *numbers = DatumGetArrayTypeP(enqueue_object_numbers(places));
	int			n = ArrayGetNItems(ARR_NDIM(numbers), ARR_DIMS(numbers));
	int64	   *values = (int64 *) ARR_DATA_PTR(numbers);

	for (int i = 0; i < n; i++)
	{
		if (values[i] < 1 || values[i] >= place->ord)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("there is no object " INT64_FORMAT " before this one", values[i]),
					 errhint("Objects are counted from 1 on, and a job comes after earlier ones.")));
		values[i] = place->ids[values[i] - 1];
	}
	after->value = after->isnull ? PointerGetDatum(numbers) :
		DirectFunctionCall2(array_cat, after->value, PointerGetDatum(numbers));
	after->isnull = false;
}

/* Read one member of an object: into *args, or as an option into the call */
static void
read_member(const JsonbValue *name, const JsonbValue *value, Jsonb **args,
			FunctionCallInfo call, bool *given, Place *place)
{
	int			option;

	if (jsonb_is_text(name, "args"))
	{
		if (value->type != jbvNull)
			*args = JsonbValueToJsonb(unconstify(JsonbValue *, value));
		return;
	}
	option = enqueue_object_option(name, value, call, &place->field);
	if (option < 0)
		no_such_field(name);
	given[option] = value->type != jbvNull || given[option];
}

/* Leave out options of the whole call that do not go with what the object has */
static void
drop_options(FunctionCallInfo call, const bool *given)
{
	if (given[OPTION_RUN_AT] && !given[OPTION_DELAY])
		call->args[OPTION_DELAY].isnull = true;
	if (given[OPTION_DELAY] && !given[OPTION_RUN_AT])
		call->args[OPTION_RUN_AT].isnull = true;
	for (int i = 0; call->args[OPTION_KEY].isnull && i < OPTION_N; i++)
	{
		if (option_is_of_key(i) && !given[i])
			call->args[i].isnull = true;
	}
}

/* Read an object into *args and the call's options, which have those of the whole */
static void
read_object(JsonbValue *object, Jsonb **args, FunctionCallInfo call, Place *place)
{
	bool		given[OPTION_N] = {false};
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	value;
	JsonbValue	earlier = {.type = jbvNull};

	if (object->type != jbvBinary || !JsonContainerIsObject(object->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a job must be a JSON object"),
				 errhint("Write it as in '{\"args\": [42], \"delay\": \"1 hour\"}'.")));
	it = JsonbIteratorInit(object->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (jsonb_is_text(&name, AFTER_ORD))
			earlier = value;
		else
			read_member(&name, &value, args, call, given, place);
	}
	drop_options(call, given);
	if (earlier.type != jbvNull)
	{
		place->field = AFTER_ORD;
		add_earlier(&earlier, call, place);
		place->field = NULL;
	}
}

/* Enqueue the job of an object; returns its id */
static int64
enqueue_object(FunctionCallInfo fcinfo, const char *function, JsonbValue *object, Place *place)
{
	LOCAL_FCINFO(call, OPTION_N);
	Jsonb	   *args = NULL;

	InitFunctionCallInfoData(*call, NULL, OPTION_N, InvalidOid, NULL, NULL);
	memcpy(call->args, &fcinfo->args[MANY_OPTIONS], OPTION_N * sizeof(NullableDatum));
	read_object(object, &args, call, place);
	return enqueue_by_name(function, args, call, 0);
}

/* ------------------------------------------------------------------------
 * All of them
 * ------------------------------------------------------------------------ */

static void
enqueue_objects(FunctionCallInfo fcinfo, const char *function, Jsonb *jobs, Place *place)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "defer enqueue",
												  ALLOCSET_DEFAULT_SIZES);
	JsonbIterator *it = JsonbIteratorInit(&jobs->root);
	JsonbIteratorToken token;
	JsonbValue	object;

	(void) JsonbIteratorNext(&it, &object, false);	/* the beginning of the
													 * array */
	while ((token = JsonbIteratorNext(&it, &object, true)) == WJB_ELEM)
	{
		MemoryContext outer = MemoryContextSwitchTo(context);
		Datum		values[3];
		bool		nulls[3] = {false};

		CHECK_FOR_INTERRUPTS();
		place->ord++;
		values[0] = Int32GetDatum(place->ord);
		place->ids[place->ord - 1] = enqueue_object(fcinfo, function, &object, place);
		values[1] = Int64GetDatum(place->ids[place->ord - 1]);
		values[2] = enqueue_last_outcome(&nulls[2]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
}

Datum
defer_enqueue_many(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Place place = {0, NULL, NULL};
	char	   *function;
	Jsonb	   *jobs;

	PreventCommandIfReadOnly("defer.enqueue_many()");
	require_argument(fcinfo, MANY_FUNCTION, "function");
	require_argument(fcinfo, MANY_JOBS, "jobs");
	warn_if_not_preloaded();
	function = text_to_cstring(PG_GETARG_TEXT_PP(MANY_FUNCTION));
	jobs = PG_GETARG_JSONB_P(MANY_JOBS);
	if (!JB_ROOT_IS_ARRAY(jobs) || JB_ROOT_IS_SCALAR(jobs))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"jobs\" must be a JSON array"),
				 errhint("Write it as in '[{\"args\": [1]}, {\"args\": [2]}]'.")));
	place.ids = palloc_extended((Size) JB_ROOT_COUNT(jobs) * sizeof(int64), MCXT_ALLOC_HUGE);
	InitMaterializedSRF(fcinfo, 0);
	PG_TRY();
	{
		enqueue_objects(fcinfo, function, jobs, (Place *) &place);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!enqueue_object_is_wrong(error))
			PG_RE_THROW();
		FlushErrorState();
		error->message = place.field == NULL ?
			psprintf("object %d: %s", place.ord, error->message) :
			psprintf("object %d, field \"%s\": %s", place.ord, place.field, error->message);
		ReThrowError(error);
	}
	PG_END_TRY();
	return (Datum) 0;
}
