/*
 * retry.c
 *		defer.retry_workflow(), defer.cancel_workflow().
 *
 * A workflow that is run again is a new one, with the description of the old one.  The steps
 * that are not to be run again have their jobs of before, which have ended.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/job_state.h"
#include "base/jsonb_util.h"
#include "base/roles.h"
#include "job/control.h"
#include "shmem/preload.h"
#include "workflow/workflow.h"

PG_FUNCTION_INFO_V1(defer_retry_workflow);
PG_FUNCTION_INFO_V1(defer_cancel_workflow);

/* Arguments of defer.retry_workflow() */
enum
{
	ARG_ID, ARG_MODE, ARG_FROM_STEP
};

/* Which steps are run again, besides those that did not succeed */
typedef enum RetryMode
{
	RETRY_FAILED,
	RETRY_FAILED_AND_LATER,		/* and all that come after these */
	RETRY_ALL
} RetryMode;

/* What is known of the old one */
typedef struct Old
{
	int64		id;
	Oid			owner;
	bool		ended;
	char	   *name;
	Jsonb	   *args;
	Jsonb	   *steps;			/* definitions */
	int64	   *jobs;			/* these: of each step */
	bool	   *succeeded;
	bool	   *skipped;
} Old;

static void
no_such_workflow(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("workflow " INT64_FORMAT " does not exist", id),
			 errhint("Workflows that have finished are removed after defer.retention; those of other roles are not shown.")));
}

/* ------------------------------------------------------------------------
 * Reading the old one
 * ------------------------------------------------------------------------ */

/* Returns false if it is not there */
static bool
read_workflow(Old *old, MemoryContext context)
{
	Oid			type = INT8OID;
	Datum		id = Int64GetDatum(old->id);
	MemoryContext spi;
	HeapTuple	row;
	TupleDesc	columns;
	bool		isnull;
	Datum		args;

	if (own_sql_run("SELECT w.owner::pg_catalog.oid, w.name, w.args,"
					" NOT EXISTS (SELECT FROM defer.job j WHERE j.id OPERATOR(pg_catalog.=) w.id)"
					" FROM defer.workflow w WHERE w.id OPERATOR(pg_catalog.=) $1",
					1, &type, &id, NULL, SPI_OK_SELECT) == 0)
		return false;
	row = SPI_tuptable->vals[0];
	columns = SPI_tuptable->tupdesc;
	old->owner = DatumGetObjectId(SPI_getbinval(row, columns, 1, &isnull));
	old->ended = DatumGetBool(SPI_getbinval(row, columns, 4, &isnull));
	args = SPI_getbinval(row, columns, 3, &isnull);
	spi = MemoryContextSwitchTo(context);
	old->name = SPI_getvalue(row, columns, 2);
	old->args = isnull ? NULL : DatumGetJsonbPCopy(args);
	MemoryContextSwitchTo(spi);
	return true;
}

/* Their functions are signatures, whatever search_path is now */
static void
read_steps(Old *old, MemoryContext context)
{
	Oid			type = INT8OID;
	Datum		id = Int64GetDatum(old->id);
	uint64		n = own_sql_run("SELECT s.job_id, d.state OPERATOR(pg_catalog.=) 's', s.definition, s.skipped"
								" FROM defer.workflow_step s LEFT JOIN defer.dependency d"
								" ON d.child_id OPERATOR(pg_catalog.=) s.workflow_id"
								" AND d.ord OPERATOR(pg_catalog.=) s.ord"
								" WHERE s.workflow_id OPERATOR(pg_catalog.=) $1 ORDER BY s.ord",
								1, &type, &id, NULL, SPI_OK_SELECT);
	SPITupleTable *rows = SPI_tuptable;
	MemoryContext spi = MemoryContextSwitchTo(context);
	JsonbBuilder state = {0};

	old->jobs = palloc(n * sizeof(int64));
	old->succeeded = palloc(n * sizeof(bool));
	old->skipped = palloc(n * sizeof(bool));
	(void) jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		old->jobs[i] = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		old->succeeded[i] = DatumGetBool(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull));
		old->skipped[i] = DatumGetBool(SPI_getbinval(rows->vals[i], rows->tupdesc, 4, &isnull));
		jsonb_push_element(&state, DatumGetJsonbPCopy(SPI_getbinval(rows->vals[i], rows->tupdesc,
																	3, &isnull)));
	}
	old->steps = JsonbValueToJsonb(jsonb_push(&state, WJB_END_ARRAY, NULL));
	MemoryContextSwitchTo(spi);
}

static void
read_old(Old *old)
{
	MemoryContext context = CurrentMemoryContext;
	OwnSql		own;
	bool		found;

	own_sql_begin(&own);
	SPI_connect();
	found = read_workflow(old, context);
	if (found)
		read_steps(old, context);
	SPI_finish();
	own_sql_end(&own);
	if (!found || !role_may_manage(old->owner))
		no_such_workflow(old->id);
	if (!old->ended)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("workflow " INT64_FORMAT " has not ended", old->id),
				 errhint("Cancel it first, with defer.cancel_workflow().")));
}

/* ------------------------------------------------------------------------
 * Again
 * ------------------------------------------------------------------------ */

static RetryMode
read_mode(FunctionCallInfo fcinfo)
{
	char	   *mode = args_text(fcinfo, ARG_MODE);

	if (mode == NULL || strcmp(mode, "failed") == 0)
		return RETRY_FAILED;
	if (strcmp(mode, "failed_and_later") == 0)
		return RETRY_FAILED_AND_LATER;
	if (strcmp(mode, "all") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized value \"%s\" for \"mode\"", mode),
				 errhint("It is failed, failed_and_later or all.")));
	return RETRY_ALL;
}

static int
find_step(const Workflow *workflow, const char *name)
{
	for (int i = 0; i < workflow->n; i++)
	{
		if (strcmp(workflow->steps[i].name, name) == 0)
			return workflow->steps[i].ord;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("the workflow has no step \"%s\"", name)));
}

/* Leave those steps their jobs that are not run again.  "from": a step that is; 0: none */
static void
keep_steps(Workflow *workflow, const Old *old, RetryMode mode, int from)
{
	bool	   *later = palloc0((workflow->n + 1) * sizeof(bool));
	bool		any = false;

	for (int i = 0; i < workflow->n; i++)
	{
		WorkflowStep *step = &workflow->steps[workflow->order[i] - 1];
		const bool	succeeded = old->succeeded[step->ord - 1];

		later[step->ord] = step->ord == from || (mode == RETRY_FAILED_AND_LATER && !succeeded);
		for (int j = 0; j < step->nafter && !later[step->ord]; j++)
			later[step->ord] = later[step->after[j]];
		if (mode != RETRY_ALL && succeeded && !later[step->ord])
		{
			step->job_id = old->jobs[step->ord - 1];
			step->skipped = old->skipped[step->ord - 1];
		}
		else
			any = true;
	}
	if (!any)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("all steps of workflow " INT64_FORMAT " have succeeded", old->id),
				 errhint("Use mode => 'all', or from_step.")));
}

/* As the owner of the workflow, whose jobs these are */
static int64
start_again(const Old *old, RetryMode mode, const char *from_step)
{
	Workflow	workflow = {.name = old->name};
	WorkflowPlace place;
	Oid			user;
	int			security_context;
	int64		id;

	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(old->owner, security_context | SECURITY_LOCAL_USERID_CHANGE);
	workflow_read(old->steps, &workflow, &place);
	keep_steps(&workflow, old, mode, from_step != NULL ? find_step(&workflow, from_step) : 0);
	id = workflow_start(&workflow, old->args, NULL, old->id, &place);
	SetUserIdAndSecContext(user, security_context);
	return id;
}

/* defer.retry_workflow(id, mode, from_step) */
Datum
defer_retry_workflow(PG_FUNCTION_ARGS)
{
	RetryMode	mode = read_mode(fcinfo);
	Old			old = {0};

	PreventCommandIfReadOnly("defer.retry_workflow()");
	require_argument(fcinfo, ARG_ID, "id");
	warn_if_not_preloaded();
	old.id = PG_GETARG_INT64(ARG_ID);
	read_old(&old);
	PG_RETURN_INT64(start_again(&old, mode, args_text(fcinfo, ARG_FROM_STEP)));
}

/* defer.cancel_workflow(id): its steps are cancelled with it, as they are its own */
Datum
defer_cancel_workflow(PG_FUNCTION_ARGS)
{
	Oid			type = INT8OID;
	Datum		value;
	OwnSql		own;
	bool		found;
	int64		id;
	ControlResult result;

	PreventCommandIfReadOnly("defer.cancel_workflow()");
	require_argument(fcinfo, 0, "id");
	id = PG_GETARG_INT64(0);
	value = Int64GetDatum(id);
	own_sql_begin(&own);
	SPI_connect();
	found = own_sql_run("SELECT FROM defer.workflow w WHERE w.id OPERATOR(pg_catalog.=) $1",
						1, &type, &value, NULL, SPI_OK_SELECT) > 0;
	SPI_finish();
	own_sql_end(&own);
	result = found ? job_cancel(id, false) : CONTROL_NOT_THERE;
	if (result == CONTROL_NOT_THERE)
		no_such_workflow(id);
	PG_RETURN_BOOL(result == CONTROL_DONE);
}
