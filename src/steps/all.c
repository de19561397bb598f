/*
 * all.c
 *		defer.step_all(): a step that enqueues a job for each element of an array, and
 *		waits for all of them.
 *
 * The jobs are the step's own: rows of defer.dependency with AFTER_FAILURE_OWN, which
 * have the order of the array.  The jobs and these rows are committed with the wait.  If
 * the procedure is cancelled, or fails, those that have not ended are cancelled.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/job_state.h"
#include "base/jsonb_util.h"
#include "job/after.h"
#include "job/dependents.h"
#include "job/enqueue.h"
#include "shmem/dependents.h"
#include "steps/all.h"
#include "steps/pass.h"
#include "steps/wait.h"
#include "table/dependency_table.h"
#include "table/history_table.h"

PG_FUNCTION_INFO_V1(defer_step_all);

/* Arguments: the fourth is on_failure, or the result of the form with four */
enum
{
	ARG_NAME, ARG_FUNCTION, ARG_ARGS, ARG_ON_FAILURE, ARG_RESULTS
};

/* ------------------------------------------------------------------------
 * Waiting
 * ------------------------------------------------------------------------ */

void
all_wait(PassStep *step, int n, const int64 *ids)
{
	bool	   *open = palloc(n * sizeof(bool));

	dependents_begin(false);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		dependents_publish(ids[i]);
		open[i] = true;
	}
	dependents_wait(current_job.job, n, ids, open, AFTER_FAILURE_OWN);
	step->step.awaits = psprintf("%d jobs", n);
	pass_wait(step, WAITS_STEP_JOBS, DT_NOEND);
}

/*
 * The rows of the jobs that the step waits for, from the last one on: they were the last to
 * be added.  Those behind them are of earlier steps.
 */
static int
read_rows(const PassStep *step, Dependency **rows)
{
	int			n = pg_strtoint32(pnstrdup(step->step.awaits, strcspn(step->step.awaits, " ")));

	if (dependency_of_step(step->step.job_id, rows) < n)
		elog(ERROR, "dependencies of step \"%s\" are missing", step->step.name);
	return n;
}

static Jsonb *
result_of(const Dependency *row)
{
	HistoryRow	ended;
	Jsonb	   *kept = NULL;

	if (history_read(row->parent_id, &ended))
		return ended.result;
	(void) inputs_kept_result(row->parent_id, &kept);
	return kept;
}

/* The results, in the order of the jobs.  Error if they are too large for a step */
static Jsonb *
collect(const PassStep *step, const Dependency *rows, int n)
{
	JsonbBuilder state = {0};
	Size		size = 0;

	(void) jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = n - 1; i >= 0; i--)
	{
		Jsonb	   *result = result_of(&rows[i]);

		CHECK_FOR_INTERRUPTS();
		jsonb_push_element(&state, result);
		size += result != NULL ? VARSIZE(result) : 0;
		pass_check_size(step, size);
	}
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_ARRAY, NULL));
}

/* Error if a job did not succeed, about the first of them.  The rows are from the last one on */
static void
check_successes(const Dependency *rows, int n, const char *array, const char *hint)
{
	int			first = -1;
	int			failed = 0;

	for (int i = 0; i < n; i++)
	{
		if (rows[i].state == STATE_SUCCEEDED)
			continue;
		first = i;
		failed++;
	}
	if (failed > 0)
		wait_raise_failure(rows[first].parent_id, rows[first].state,
						   array == NULL ? NULL :
						   psprintf("element %d of \"%s\"", n - 1 - first, array),
						   failed - 1, hint);
}

Jsonb *
all_results(PassStep *step, bool fail, const char *array, const char *hint, bool results)
{
	Dependency *rows;
	int			n = read_rows(step, &rows);
	Jsonb	   *result;

	for (int i = n - 1; i >= 0; i--)
	{
		if (rows[i].open)
			pass_wait(step, WAITS_STEP_JOBS, DT_NOEND);
	}
	if (fail)
		check_successes(rows, n, array, hint);
	result = results ? collect(step, rows, n) : NULL;
	(void) dependents_wait_end(step->step.job_id);
	return result;
}

/* ------------------------------------------------------------------------
 * The step
 * ------------------------------------------------------------------------ */

Jsonb *
all_args(JsonbValue *element)
{
	JsonbBuilder state = {0};

	if (element->type == jbvBinary)
		return JsonbValueToJsonb(element);
	(void) jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	(void) jsonb_push(&state, WJB_ELEM, element);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_ARRAY, NULL));
}

/* Enqueue a job for each element.  Returns how many */
static int
enqueue_all(const char *function, Jsonb *args, int64 **ids)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "defer enqueue",
												  ALLOCSET_DEFAULT_SIZES);
	JsonbIterator *iterator = JsonbIteratorInit(&args->root);
	JsonbIteratorToken token;
	JsonbValue	element;
	int			n = 0;

	*ids = palloc_extended(Max(JB_ROOT_COUNT(args), 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		MemoryContext old;

		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(scratch);
		(*ids)[n++] = enqueue_by_name(function, all_args(&element), NULL, -1);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	MemoryContextDelete(scratch);
	return n;
}

/* In the first pass: wait, unless there is nothing to wait for */
static Jsonb *
begin(FunctionCallInfo fcinfo, PassStep *step)
{
	char	   *function = args_required_text(fcinfo, ARG_FUNCTION, "function");
	Jsonb	   *args;
	int64	   *ids;
	int			n;

	require_argument(fcinfo, ARG_ARGS, "args");
	args = PG_GETARG_JSONB_P(ARG_ARGS);
	if (!JB_ROOT_IS_ARRAY(args) || JB_ROOT_IS_SCALAR(args))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"args\" must be a JSON array with the arguments of each job"),
				 errhint("Write it as in '[[1, \"a\"], [2, \"b\"]]', or '[1, 2]' for one argument.")));
	n = enqueue_all(function, args, &ids);
	if (n > 0)
		all_wait(step, n, ids);
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("[]")));
}

/* defer.step_all(name, function, args [, on_failure] [, INOUT results]) */
Datum
defer_step_all(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	const bool	both = PG_NARGS() > ARG_RESULTS;
	const bool	results = both ||
		get_fn_expr_argtype(fcinfo->flinfo, ARG_ON_FAILURE) == JSONBOID;
	const bool	fail = (results && !both) || wait_read_on_failure(fcinfo, ARG_ON_FAILURE);
	PassStep	step;

	pass_enter(fcinfo, "defer.step_all()", STEP_ALL, &step);
	if (!step.done)
	{
		Jsonb	   *result;

		result = step.found ? all_results(&step, fail, "args", WAIT_GOES_ON, results) :
			begin(fcinfo, &step);
		MemoryContextSwitchTo(context);
		pass_commit(&step, results ? result : NULL);
	}
	pass_leave(&step);
	return pass_return_jsonb(fcinfo, step.step.result);
}
