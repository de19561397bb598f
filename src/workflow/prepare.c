/*
 * prepare.c
 *		The scheduler's part in workflows: steps whose earlier ones have ended, and
 *		workflows whose steps have.
 *
 * Of a step the references are replaced by what they stand for, and its condition is looked
 * at.  One that is not met ends the step well, without a run.  No code of users is run, and
 * an error ends that step only.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/fmgrprotos.h"

#include "base/job_kind.h"
#include "base/job_state.h"
#include "base/jsonb_util.h"
#include "base/subtransaction.h"
#include "delivery/delivery.h"
#include "job/dependents.h"
#include "job/end.h"
#include "job/enqueue_options.h"
#include "job/held.h"
#include "table/history_table.h"
#include "table/job_by_id.h"
#include "workflow/definition.h"
#include "workflow/inputs.h"
#include "workflow/results.h"
#include "workflow/workflow.h"

/* End a job that waits, without a run */
static void
end_job(Job *job, char state, TimestampTz started_at, Jsonb *result, const char *sqlstate,
		const char *error)
{
	dependents_stop_waiting(job);
	job_end(job, state, job->attempt, started_at, result, sqlstate, error);
	job_delete(job->id);
}

/* Run a query with the workflow and the job as $1 and $2, text as $3 */
static uint64
query(const char *sql, int64 workflow_id, int64 job_id, const char *name)
{
	Oid			types[] = {INT8OID, INT8OID, TEXTOID};
	Datum		values[] = {Int64GetDatum(workflow_id), Int64GetDatum(job_id),
		CStringGetTextDatum(name)};

	return own_sql_run(sql, lengthof(types), types, values, NULL, SPI_OK_SELECT);
}

/* A column of the first row as JSON, in that memory context; NULL: it is NULL */
static Jsonb *
json_column(int number, MemoryContext context)
{
	HeapTuple	row = SPI_tuptable->vals[0];
	MemoryContext old;
	Jsonb	   *json;
	bool		isnull;
	Datum		value = SPI_getbinval(row, SPI_tuptable->tupdesc, number, &isnull);

	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(context);
	json = DatumGetJsonbPCopy(value);
	MemoryContextSwitchTo(old);
	return json;
}

/* ------------------------------------------------------------------------
 * Steps
 * ------------------------------------------------------------------------ */

static bool
is_met(Jsonb *condition, StepResults *results)
{
	Jsonb	   *value = results_look_up(inputs_reference(&condition->root, false), results);
	bool		equals = true;
	JsonbValue *other = getKeyJsonValueFromContainer(&condition->root, "equals", 6, NULL);
	JsonbValue	scalar;

	if (other == NULL)
	{
		equals = false;
		other = getKeyJsonValueFromContainer(&condition->root, "differs", 7, NULL);
	}
	if (value == NULL)
		value = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("null")));
	if (other != NULL)
	{
		Datum		compared = DirectFunctionCall2(jsonb_eq, JsonbPGetDatum(value),
												   JsonbPGetDatum(JsonbValueToJsonb(other)));

		return equals == DatumGetBool(compared);
	}
	if (!JsonbExtractScalar(&value->root, &scalar))
		return true;
	return scalar.type != jbvNull && (scalar.type != jbvBool || scalar.val.boolean);
}

/* Read the condition of a step; NULL: none */
static Jsonb *
read_condition(const Job *job)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb	   *condition = NULL;

	SPI_connect();
	if (query("SELECT s.definition OPERATOR(pg_catalog.->) 'if' FROM defer.workflow_step s"
			  " WHERE s.workflow_id OPERATOR(pg_catalog.=) $1 AND s.job_id OPERATOR(pg_catalog.=) $2"
			  " AND $3 IS NOT NULL", job->parent_id, job->id, "") > 0)
		condition = json_column(1, context);
	SPI_finish();
	return condition != NULL && JB_ROOT_IS_OBJECT(condition) ? condition : NULL;
}

static void
skip_step(Job *job)
{
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(job->parent_id), Int64GetDatum(job->id)};

	SPI_connect();
	(void) own_sql_run("UPDATE defer.workflow_step SET skipped = true WHERE workflow_id OPERATOR(pg_catalog.=) $1"
					   " AND job_id OPERATOR(pg_catalog.=) $2",
					   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	end_job(job, STATE_SUCCEEDED, NO_TIME, NULL, NULL, NULL);
}

/* Read a delivery again when its references are filled in, with the rights of its owner */
static Jsonb *
delivery_args(const Job *job, const Jsonb *object)
{
	const char *field = NULL;
	Oid			user;
	int			security_context;
	Jsonb	   *args;

	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(job->owner, security_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	args = delivery_of_object(job->kind, object, false, &field);
	SetUserIdAndSecContext(user, security_context);
	return args;
}

static void
fill_in(Job *job, StepResults *results)
{
	bool		any;
	Jsonb	   *filled = inputs_fill(job->args, results_look_up, results, job->kind, &any);

	job->args = any && kind_is_delivery(job->kind) ? delivery_args(job, filled) : filled;
}

static void
prepare_step(Job *job)
{
	Jsonb	   *condition = read_condition(job);
	StepResults *results = results_of_step(job, job->args, condition);

	if (condition != NULL && !is_met(condition, results))
	{
		skip_step(job);
		return;
	}
	if (job->args != NULL)
		fill_in(job, results);
	inputs_check_size(job->args);
	if (job->group_key == NULL)
		job->group_key = enqueue_options_group(job);
	job_unhold(job);
}

/* ------------------------------------------------------------------------
 * Workflows
 * ------------------------------------------------------------------------ */

/*
 * The steps that fail the workflow: those that did not succeed, but for those that were left
 * out because of an earlier one, and those of which that is not wanted.
 */
static const char *const failed_sql =
"SELECT s.name, s.job_id, d.state, pg_catalog.count(*) OVER () FROM defer.workflow_step s"
" JOIN defer.dependency d ON d.child_id OPERATOR(pg_catalog.=) $1 AND d.ord OPERATOR(pg_catalog.=) s.ord"
" WHERE s.workflow_id OPERATOR(pg_catalog.=) $1 AND d.state OPERATOR(pg_catalog.<>) 's'"
" AND s.on_failure OPERATOR(pg_catalog.=) 'f' AND $2 IS NOT NULL AND $3 IS NOT NULL"
" AND NOT (d.state OPERATOR(pg_catalog.=) 'c' AND EXISTS (SELECT FROM defer.dependency e"
" WHERE e.child_id OPERATOR(pg_catalog.=) $1 AND e.ord OPERATOR(pg_catalog.=) ANY (s.after)"
" AND e.state OPERATOR(pg_catalog.<>) 's'))"
" ORDER BY s.ord LIMIT 1";

/* "workflow "x": step "load" failed: division by zero"; NULL: the workflow has not failed */
static char *
read_failure(const Job *job, char **sqlstate)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi;
	HeapTuple	first;
	HistoryRow	row;
	char	   *name;
	char	   *state;
	bool		isnull;
	bool		known;
	int64		step_id;
	int64		n;
	StringInfoData text;

	SPI_connect();
	if (query(failed_sql, job->id, 0, "") == 0)
	{
		SPI_finish();
		return NULL;
	}
	first = SPI_tuptable->vals[0];
	name = SPI_getvalue(first, SPI_tuptable->tupdesc, 1);
	step_id = DatumGetInt64(SPI_getbinval(first, SPI_tuptable->tupdesc, 2, &isnull));
	state = SPI_getvalue(first, SPI_tuptable->tupdesc, 3);
	n = DatumGetInt64(SPI_getbinval(first, SPI_tuptable->tupdesc, 4, &isnull));
	spi = MemoryContextSwitchTo(context);
	known = history_read(step_id, &row);
	initStringInfo(&text);
	appendStringInfo(&text, "workflow \"%s\": step \"%s\" %s",
					 jsonb_read_text(job->args, "name"), name, state[0] == STATE_FAILED ? "failed" :
					 state[0] == STATE_CANCELLED ? "was cancelled" : "was discarded");
	if (known && row.job.error != NULL)
		appendStringInfo(&text, ": %s", text_to_cstring(row.job.error));
	if (n > 1)
		appendStringInfo(&text, " (and " INT64_FORMAT " more)", n - 1);
	*sqlstate = known && row.job.sqlstate != NULL ? text_to_cstring(row.job.sqlstate) : NULL;
	MemoryContextSwitchTo(spi);
	SPI_finish();
	return text.data;
}

static void
end_workflow(Job *job)
{
	char	   *sqlstate = NULL;
	char	   *error = read_failure(job, &sqlstate);
	Jsonb	   *result = error == NULL ? results_of_workflow(job->id) : NULL;

	end_job(job, error != NULL ? STATE_FAILED : STATE_SUCCEEDED, job->enqueued_at, result, sqlstate,
			error);
}

/* ------------------------------------------------------------------------
 * Both
 * ------------------------------------------------------------------------ */

static void
prepare_in_subtransaction(void *arg)
{
	Job		   *job = arg;
	OwnSql		own;

	own_sql_begin(&own);
	if (job->kind == JOB_WORKFLOW)
		end_workflow(job);
	else
		prepare_step(job);
	own_sql_end(&own);
}

/* An error would come again each time: the job fails with it */
static void
prepare(Job *job)
{
	Job			copy = *job;
	ErrorData  *error = subtransaction_try(prepare_in_subtransaction, &copy);

	if (error == NULL)
		return;
	if (subtransaction_interrupted(error))
		ReThrowError(error);
	end_job(job, STATE_FAILED, NO_TIME, NULL, unpack_sql_state(error->sqlerrcode), error->message);
}

void
workflow_prepare_init(void)
{
	dependents_prepare = prepare;
}
