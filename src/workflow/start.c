/*
 * start.c
 *		defer.workflow(): jobs that come after one another, from one description.
 *
 * The workflow is a job of kind JOB_WORKFLOW, which no process runs.  It waits for all of
 * its steps, which are its own (AFTER_FAILURE_OWN), and comes after each of them whatever
 * became of it; then the scheduler ends it (workflow/prepare.c).  So it can be awaited,
 * cancelled, and come after or before others as any job.  A step is a job that comes after
 * other steps.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/guc_job.h"
#include "base/job_state.h"
#include "base/jsonb_util.h"
#include "job/after.h"
#include "job/current_job.h"
#include "job/enqueue.h"
#include "job/enqueue_object.h"
#include "job/enqueue_options.h"
#include "shmem/dependents.h"
#include "shmem/preload.h"
#include "table/dependency_table.h"
#include "table/job_insert.h"
#include "workflow/workflow.h"

PG_FUNCTION_INFO_V1(defer_workflow);
PG_FUNCTION_INFO_V1(defer_workflow_json);

/* Arguments of defer.workflow() */
enum
{
	ARG_NAME, ARG_STEPS, ARG_ARGS, ARG_KEY
};

/* ------------------------------------------------------------------------
 * Jobs
 * ------------------------------------------------------------------------ */

static void
enqueue(const Workflow *workflow, WorkflowStep *step, int64 id)
{
	LOCAL_FCINFO(call, OPTION_N);
	const int	n = step->nafter + step->nouter;
	After		after = {.n = n, .ids = palloc(Max(n, 1) * sizeof(int64))};
	char	   *each = palloc(Max(n, 1));

	for (int i = 0; i < step->nafter; i++)
	{
		const WorkflowStep *earlier = &workflow->steps[step->after[i] - 1];

		after.ids[i] = earlier->job_id;
		each[i] = earlier->on_failure == ON_FAILURE_RUN ? AFTER_FAILURE_RUN : AFTER_FAILURE_CANCEL;
	}
	for (int i = step->nafter; i < n; i++)
	{
		after.ids[i] = step->outer[i - step->nafter];
		each[i] = AFTER_FAILURE_CANCEL;
	}
	after.each = each;
	InitFunctionCallInfoData(*call, NULL, OPTION_N, InvalidOid, NULL, NULL);
	memcpy(call->args, step->options, OPTION_N * sizeof(NullableDatum));
	step->job_id = enqueue_step(&step->target, step->args, step->sample, call, id, &after,
								step->prepare);
}

/* Have the workflow come after a step */
static void
await_step(const WorkflowStep *step, int64 id)
{
	JobLook		look;
	Dependency	row = {
		.child_id = id, .ord = step->ord, .owner = GetUserId(), .parent_id = step->job_id,
		.awaits_id = step->job_id, .after_failure = AFTER_FAILURE_OWN
	};

	dependents_publish(step->job_id);
	job_look(step->job_id, &look);
	row.state = look.found ? look.state : STATE_SUCCEEDED;	/* of an earlier
															 * workflow */
	row.open = row.state == PARENT_NOT_ENDED;
	dependency_insert(&row);
	if (row.open)
		dependents_opened(step->job_id);
}

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------ */

static void
insert_workflow(const Workflow *workflow, int64 id, Oid owner, Jsonb *args, int64 retry_of)
{
	Oid			types[] = {INT8OID, OIDOID, TEXTOID, JSONBOID, INT8OID, INT8OID};
	const int64 parent_id = current_job.job != NULL ? current_job.job->id : 0;
	Datum		values[] = {Int64GetDatum(id), ObjectIdGetDatum(owner),
		CStringGetTextDatum(workflow->name), PointerGetDatum(args), Int64GetDatum(retry_of),
		Int64GetDatum(parent_id)
	};
	const char	nulls[] = {' ', ' ', ' ', args == NULL ? 'n' : ' ', retry_of == 0 ? 'n' : ' ',
		parent_id == 0 ? 'n' : ' ', '\0'
	};

	(void) own_sql_run("INSERT INTO defer.workflow (id, owner, name, args, retry_of, parent_id)"
					   " VALUES ($1, $2, $3, $4, $5, $6)",
					   lengthof(types), types, values, nulls, SPI_OK_INSERT);
}

static Datum
array_of_ints(const int *values, int n)
{
	Datum	   *elements = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, n, INT4OID, 4, true, TYPALIGN_INT));
}

static void
insert_step(const WorkflowStep *step, int64 id, Oid owner)
{
	Oid			types[] = {
		INT8OID, INT4OID, OIDOID, TEXTOID, INT8OID, TEXTOID, INT4ARRAYOID, CHAROID, BOOLOID,
		JSONBOID, BOOLOID
	};
	Datum		values[] = {
		Int64GetDatum(id), Int32GetDatum(step->ord), ObjectIdGetDatum(owner),
		CStringGetTextDatum(step->name), Int64GetDatum(step->job_id),
		CStringGetTextDatum(step->function), array_of_ints(step->after, step->nafter),
		CharGetDatum(step->on_failure), BoolGetDatum(step->final),
		PointerGetDatum(step->definition), BoolGetDatum(step->skipped)
	};

	(void) own_sql_run("INSERT INTO defer.workflow_step (workflow_id, ord, owner, name, job_id, function,"
					   " after, on_failure, final, definition, skipped)"
					   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
					   lengthof(types), types, values, NULL, SPI_OK_INSERT);
}

static void
insert_rows(const Workflow *workflow, int64 id, Jsonb *args, int64 retry_of)
{
	const Oid	owner = GetUserId();
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	insert_workflow(workflow, id, owner, args, retry_of);
	for (int i = 0; i < workflow->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		insert_step(&workflow->steps[i], id, owner);
	}
	SPI_finish();
	own_sql_end(&own);
}

int64
workflow_start(Workflow *workflow, Jsonb *args, text *key, int64 retry_of, WorkflowPlace *place)
{
	int64		id = job_new_id();

	if (!enqueue_workflow(&id, workflow->name, key))
		return id;
	for (int i = 0; i < workflow->n; i++)
	{
		WorkflowStep *step = &workflow->steps[workflow->order[i] - 1];

		CHECK_FOR_INTERRUPTS();
		*place = (WorkflowPlace) {step->ord, step->name, NULL};
		if (step->job_id == 0)
			enqueue(workflow, step, id);
	}
	place->ord = 0;
	dependents_begin(false);
	for (int i = 0; i < workflow->n; i++)
		await_step(&workflow->steps[i], id);
	insert_rows(workflow, id, args, retry_of);
	dependents_tell(id, true);
	return id;
}

/* ------------------------------------------------------------------------
 * The call
 * ------------------------------------------------------------------------ */

/* Read and start it, in *place the step that it has come to */
static int64
read_and_start(FunctionCallInfo fcinfo, WorkflowPlace *place)
{
	Workflow	workflow = {0};
	Jsonb	   *args = PG_ARGISNULL(ARG_ARGS) ? NULL : PG_GETARG_JSONB_P(ARG_ARGS);

	workflow.name = args_required_text(fcinfo, ARG_NAME, "name");
	args_check_name("workflow", workflow.name, WORKFLOW_NAME_MAX);
	require_argument(fcinfo, ARG_STEPS, "steps");
	if (args != NULL && VARSIZE(args) > (Size) defer_max_payload * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("\"args\" are larger than %d kB", defer_max_payload),
				 errhint("Keep them in a table, or raise defer.max_payload.")));
	workflow_read(PG_GETARG_JSONB_P(ARG_STEPS), &workflow, place);
	return workflow_start(&workflow, args, enqueue_options_key(fcinfo, ARG_KEY), 0, place);
}

/* defer.workflow(name, steps, args, key) */
Datum
defer_workflow(PG_FUNCTION_ARGS)
{
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext context;
	volatile WorkflowPlace place = {0};
	volatile int64 id = 0;

	PreventCommandIfReadOnly("defer.workflow()");
	warn_if_not_preloaded();
	context = AllocSetContextCreate(outer, "defer workflow", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		id = read_and_start(fcinfo, (WorkflowPlace *) &place);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(outer);
		error = CopyErrorData();
		if (!enqueue_object_is_wrong(error))
			PG_RE_THROW();
		FlushErrorState();
		workflow_error(error, (WorkflowPlace *) &place);
		ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
	PG_RETURN_INT64(id);
}

/* The same with json */
Datum
defer_workflow_json(PG_FUNCTION_ARGS)
{
	const int	json[] = {1, 2};

	return jsonb_call(fcinfo, defer_workflow, json, lengthof(json));
}
