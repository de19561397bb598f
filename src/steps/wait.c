/*
 * wait.c
 *		Steps that wait: defer.sleep(), sleep_until(), wait_job(), request().
 *
 * A wait ends the pass.  Its step is committed without a time at which it is done, and
 * the row of the job is free again in the same commit: no worker, no transaction and no
 * snapshot is held meanwhile.  The pass that finds it over completes the step.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/errcodes.h"
#include "base/job_state.h"
#include "base/roles.h"
#include "job/after.h"
#include "job/dependents.h"
#include "shmem/dependents.h"
#include "steps/pass.h"
#include "steps/wait.h"
#include "table/dependency_table.h"
#include "table/history_table.h"
#include "table/job_row.h"

PG_FUNCTION_INFO_V1(defer_sleep);
PG_FUNCTION_INFO_V1(defer_sleep_until);
PG_FUNCTION_INFO_V1(defer_wait_job);
PG_FUNCTION_INFO_V1(defer_request);

/* ------------------------------------------------------------------------
 * Times
 * ------------------------------------------------------------------------ */

/* Complete the step, which is new or an earlier pass has begun, or wait on */
static void
sleep_until(PassStep *step, TimestampTz until)
{
	if (step->found)
		until = step->step.until;
	step->step.until = until;
	if (until > GetCurrentTimestamp())
		pass_wait(step, WAITS_SLEEP, until);
	pass_commit(step, NULL);
}

/* defer.sleep(name, duration) */
Datum
defer_sleep(PG_FUNCTION_ARGS)
{
	PassStep	step;
	int64		duration;

	pass_enter(fcinfo, "defer.sleep()", STEP_SLEEP, &step);
	if (!step.done)
	{
		require_argument(fcinfo, 1, "duration");
		duration = setting_interval("duration", PG_GETARG_INTERVAL_P(1));
		sleep_until(&step, step.step.started_at + duration);
	}
	pass_leave(&step);
	PG_RETURN_VOID();
}

/* defer.sleep_until(name, time) */
Datum
defer_sleep_until(PG_FUNCTION_ARGS)
{
	PassStep	step;
	TimestampTz until;

	pass_enter(fcinfo, "defer.sleep_until()", STEP_SLEEP, &step);
	if (!step.done)
	{
		require_argument(fcinfo, 1, "time");
		until = PG_GETARG_TIMESTAMPTZ(1);
		if (TIMESTAMP_NOT_FINITE(until))
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					 errmsg("\"time\" must be finite")));
		sleep_until(&step, until);
	}
	pass_leave(&step);
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Jobs
 * ------------------------------------------------------------------------ */

/*
 * Look at a job that a step waits for, published before.  Error if there is none that the
 * current role may manage; one whose history is gone since the step has begun has ended.
 */
static char
look_at_job(int64 id, bool begun)
{
	JobLook		look;

	dependents_publish(id);
	job_look(id, &look);
	if (!look.found && begun)
		return PARENT_GONE;
	if (!look.found || !role_may_manage(look.owner))
		job_not_found(id);
	return look.state;
}

/*
 * The result of a job that has ended: in the history, or kept in the row that awaited it.
 * NULL: none
 */
static Jsonb *
result_of_job(int64 id)
{
	HistoryRow	row;
	Jsonb	   *kept = NULL;

	if (history_read(id, &row))
		return row.result;
	(void) inputs_kept_result(id, &kept);
	return kept;
}

void
wait_raise_failure(int64 id, char state, const char *what, int others, const char *hint)
{
	HistoryRow	row;
	const char *error = history_read(id, &row) && row.job.error != NULL ?
		text_to_cstring(row.job.error) : NULL;
	int			sqlerrcode = state == STATE_CANCELLED ? ERRCODE_JOB_CANCELLED :
		state == STATE_DISCARDED ? ERRCODE_JOB_DISCARDED : ERRCODE_RAISE_EXCEPTION;

	current_job.give_up = sqlerrcode;	/* each attempt would find the same
										 * end */
	ereport(ERROR,
			(errcode(sqlerrcode),
			 errmsg("%s%sjob " INT64_FORMAT "%s %s%s%s%s", what != NULL ? what : "",
					what != NULL ? ": " : "", id,
					what != NULL ? "" : ", which the step waits for,",
					state == STATE_FAILED ? "failed" : state == STATE_CANCELLED ? "was cancelled" :
					state == STATE_DISCARDED ? "was discarded" : "is not there any more",
					error != NULL ? ": " : "", error != NULL ? error : "",
					others > 0 ? psprintf(" (and %d more)", others) : ""),
			 errhint("%s", hint)));
}

bool
wait_read_on_failure(FunctionCallInfo fcinfo, int n)
{
	char	   *name = args_text(fcinfo, n);

	if (name == NULL || strcmp(name, "fail") == 0)
		return true;
	if (strcmp(name, "return") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized value \"%s\" for \"on_failure\"", name),
				 errhint("It is fail or return.")));
	return false;
}

/*
 * Complete the step, or wait for the job to end.  In a later pass it is the job of the
 * first one: the procedure may have enqueued another since, which is rolled back.
 */
static void
wait_job(PassStep *step, int64 id, bool fail)
{
	MemoryContext context = CurrentMemoryContext;
	const bool	open = true;
	char		state;
	Jsonb	   *result;

	if (id == step->step.job_id)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a job cannot wait for itself")));
	dependents_begin(false);
	state = look_at_job(id, step->found);
	if (state == PARENT_NOT_ENDED)
	{
		if (!step->found)
			dependents_wait(current_job.job, 1, &id, &open, AFTER_FAILURE_RUN);
		pass_wait(step, WAITS_STEP_JOBS, DT_NOEND);
	}
	if (state != STATE_SUCCEEDED && fail)
		wait_raise_failure(id, state, NULL, 0, WAIT_GOES_ON);
	result = result_of_job(id);
	if (step->found)
		(void) dependents_wait_end(step->step.job_id);
	MemoryContextSwitchTo(context);
	pass_commit(step, result);
}

/* defer.wait_job(name, id [, on_failure] [, INOUT result]) */
Datum
defer_wait_job(PG_FUNCTION_ARGS)
{
	PassStep	step;
	bool		fail = true;

	if (PG_NARGS() == 4 || get_fn_expr_argtype(fcinfo->flinfo, 2) == TEXTOID)
		fail = wait_read_on_failure(fcinfo, 2);
	pass_enter(fcinfo, "defer.wait_job()", STEP_JOB, &step);
	if (!step.done)
	{
		require_argument(fcinfo, 1, "id");
		if (!step.found)
			step.step.awaits = psprintf(INT64_FORMAT, PG_GETARG_INT64(1));
		wait_job(&step, strtoi64(step.step.awaits, NULL, 10), fail);
	}
	pass_leave(&step);
	return pass_return_jsonb(fcinfo, step.step.result);
}

/* ------------------------------------------------------------------------
 * Requests
 * ------------------------------------------------------------------------ */

/* The arguments of the long form behind the name, for defer.http() */
#define REQUEST_ARGS	5

/* Enqueue the request as the current role, with its rights.  Returns the id as text */
static char *
enqueue_request(FunctionCallInfo fcinfo)
{
	Oid			types[REQUEST_ARGS] = {TEXTOID, TEXTOID, JSONBOID, JSONBOID, TEXTOID};
	Datum		values[REQUEST_ARGS] = {0};
	char		nulls[REQUEST_ARGS + 1] = "nnnnn";
	int			given = PG_NARGS() > REQUEST_ARGS ? REQUEST_ARGS : 2;
	int			level = NewGUCNestLevel();
	bool		isnull;
	Datum		id;

	for (int i = 0; i < given; i++)
	{
		if (PG_ARGISNULL(i + 1))
			continue;
		values[i] = PG_GETARG_DATUM(i + 1);
		nulls[i] = ' ';
	}
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_execute_with_args("SELECT defer.http($1, $2, $3, headers => $4, endpoint => $5)",
							  REQUEST_ARGS, types, values, nulls, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not enqueue a request");
	id = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	AtEOXact_GUC(false, level);
	return psprintf(INT64_FORMAT, DatumGetInt64(id));
}

/*
 * defer.request(name, method, url [, body, headers, endpoint, on_failure]
 * [, INOUT response])
 */
Datum
defer_request(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	PassStep	step;
	bool		fail = PG_NARGS() <= REQUEST_ARGS || wait_read_on_failure(fcinfo, REQUEST_ARGS + 1);

	pass_enter(fcinfo, "defer.request()", STEP_REQUEST, &step);
	if (!step.done)
	{
		if (!step.found)
			step.step.awaits = enqueue_request(fcinfo);
		MemoryContextSwitchTo(context);
		wait_job(&step, strtoi64(step.step.awaits, NULL, 10), fail);
	}
	pass_leave(&step);
	return pass_return_jsonb(fcinfo, step.step.result);
}
