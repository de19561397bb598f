/*
 * all_nodes.c
 *		What the other nodes of Citus have, for defer.all_jobs and the like.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/citus.h"
#include "base/jsonb_util.h"
#include "job/elsewhere.h"
#include "job/run_here.h"

PG_FUNCTION_INFO_V1(defer_this_node);
PG_FUNCTION_INFO_V1(defer_other_nodes);
PG_FUNCTION_INFO_V1(defer_other_node);

/* defer.this_node() */
Datum
defer_this_node(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(citus_loaded ? citus_node() : 0);
}

/* Add a row: an element of the list of a node, or, with NULL, why there is none */
static void
put_row(ReturnSetInfo *rsinfo, const NodeAnswer *answer, const char *error, JsonbValue *element)
{
	Datum		values[4];
	bool		nulls[4] = {false, false, error == NULL, element == NULL};

	values[0] = Int32GetDatum(answer->node);
	values[1] = CStringGetTextDatum(answer->address);
	if (error != NULL)
		values[2] = CStringGetTextDatum(error);
	if (element != NULL)
		values[3] = JsonbPGetDatum(JsonbValueToJsonb(element));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Return the list of a node; NULL: it is empty.  *error: it has answered otherwise */
static Jsonb *
list_of(const NodeAnswer *answer, const char **error)
{
	Jsonb	   *json = elsewhere_answer(answer);
	Jsonb	   *value;

	*error = json != NULL ? NULL : answer->text;
	if (json == NULL)
		return NULL;
	value = jsonb_read_json(json, "error");
	if (value != NULL)
	{
		*error = jsonb_read_text(value, "message");
		return NULL;
	}
	value = jsonb_read_json(json, "value");
	return value != NULL && JB_ROOT_IS_ARRAY(value) ? value : NULL;
}

/*
 * defer.other_nodes(command, args, tell): the rows of all other nodes.  One that does not
 * answer has a row with the error; if "tell", a warning as well.
 */
Datum
defer_other_nodes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *command = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const bool	tell = PG_GETARG_BOOL(2);
	ListCell   *cell;

	run_here_check(command, HERE_LISTS);
	InitMaterializedSRF(fcinfo, 0);
	if (!citus_loaded)
		return (Datum) 0;
	foreach(cell, elsewhere_ask(CITUS_ALL_NODES, command, PG_GETARG_JSONB_P(1)))
	{
		const NodeAnswer *answer = lfirst(cell);
		const char *error;
		Jsonb	   *list = list_of(answer, &error);

		if (error != NULL)
			put_row(rsinfo, answer, error, NULL);
		if (error != NULL && tell)
			ereport(WARNING,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("node %d of Citus does not answer, and is left out",
							(int) answer->node),
					 errdetail_internal("%s: %s", answer->address, error)));
		for (uint32 i = 0; list != NULL && i < JB_ROOT_COUNT(list); i++)
			put_row(rsinfo, answer, NULL, getIthJsonbValueFromContainer(&list->root, i));
	}
	return (Datum) 0;
}

/* defer.other_node(command, id): the rows of a job of another node; NULL: there are none */
Datum
defer_other_node(PG_FUNCTION_ARGS)
{
	char	   *command = text_to_cstring(PG_GETARG_TEXT_PP(0));
	JsonbBuilder args;
	Jsonb	   *list;

	run_here_check(command, HERE_SHOWS);
	if (!job_is_elsewhere(PG_GETARG_INT64(1)))
		PG_RETURN_NULL();
	elsewhere_begin(&args, PG_GETARG_INT64(1));
	list = elsewhere_run(command, &args, PG_GETARG_INT64(1));
	if (list == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(list);
}
