/*
 * pass.c
 *		A pass: one run of a procedure with steps, from its beginning.
 *
 * A step has a mark, a row of defer.step, which is committed together with what the
 * procedure has written since the mark before: CALL defer.step() ends the
 * transaction.  A later pass, after an error or a crash, comes to the same steps: of
 * one that has its mark it rolls back what it has written since the mark before, for
 * that is committed already, and goes on.  So each write is there once.
 *
 * Misuse is remembered outside of the transaction.  A procedure that catches the
 * error and goes on fails all the same at its next step, or at its end.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/htup_details.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "base/errcodes.h"
#include "base/guc_job.h"
#include "shmem/begun_jobs.h"
#include "job/finish.h"
#include "steps/pass.h"
#include "steps/steps.h"

/* A name that the pass has come to */
typedef struct PassName
{
	char		name[STEP_NAME_MAX + 1];
} PassName;

static struct
{
	MemoryContext context;		/* NULL: there is no pass; all of this is in
								 * it */
	HTAB	   *names;
	int32		nsteps;
	List	   *values;			/* Step *, to be written with the next mark */
	PassStep   *begun;			/* by defer.begin_step(); NULL: none */
	uint64		begun_in;		/* transactions_ended then */
	ErrorData  *misuse;			/* or that it waits: it must not go on */
	bool		waits;			/* that is committed */
	bool		has_result;		/* the job gets this, in place of what the
								 * procedure returns */
	Jsonb	   *result;
}			pass;

static uint64 transactions_ended = 0;

static void
count_transactions(XactEvent event)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		transactions_ended++;
}

/* ------------------------------------------------------------------------
 * Misuse
 * ------------------------------------------------------------------------ */

/* Remember an error that the attempt fails with, also if the procedure catches it */
static void
remember(int sqlerrcode, char *message, const char *detail, const char *hint)
{
	MemoryContext old = MemoryContextSwitchTo(pass.context);

	pass.misuse = palloc0(sizeof(ErrorData));
	pass.misuse->elevel = ERROR;
	pass.misuse->sqlerrcode = sqlerrcode;
	pass.misuse->message = pstrdup(message);
	pass.misuse->detail = detail != NULL ? pstrdup(detail) : NULL;
	pass.misuse->hint = hint != NULL ? pstrdup(hint) : NULL;
	MemoryContextSwitchTo(old);
}

pg_noreturn static void
misuse(int sqlerrcode, char *message, const char *detail, const char *hint)
{
	remember(sqlerrcode, message, detail, hint);
	ThrowErrorData(pass.misuse);
	pg_unreachable();
}

static void
check_no_misuse(void)
{
	if (pass.misuse != NULL)
		ThrowErrorData(pass.misuse);
}

/* Error unless what is called can end the transaction; NULL: a function, which need not */
static void
check_can_commit(FunctionCallInfo fcinfo, const char *name, bool commits)
{
	if (IsSubTransaction())
		misuse(ERRCODE_INVALID_TRANSACTION_TERMINATION,
			   psprintf("step \"%s\" is in a block with EXCEPTION", name),
			   "A step is committed, which is not possible in there.",
			   "Call it before or behind that block, or catch errors in the function of the step.");
	if (commits && (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
					castNode(CallContext, fcinfo->context)->atomic))
		misuse(ERRCODE_INVALID_TRANSACTION_TERMINATION,
			   psprintf("step \"%s\" cannot be committed where it is called", name),
			   "It must be called by CALL in the procedure that the job runs, or in one that this calls by CALL: not in a function or by EXECUTE, nor in or below a procedure in SQL, with SECURITY DEFINER or with SET.",
			   "Call it in the procedure itself.");
}

/* ------------------------------------------------------------------------
 * Names
 * ------------------------------------------------------------------------ */

void
steps_forget(void)
{
	if (pass.context == NULL)
		return;
	MemoryContextDelete(pass.context);
	memset(&pass, 0, sizeof(pass));
}

static void
begin_pass(void)
{
	HASHCTL		control = {.keysize = sizeof(PassName), .entrysize = sizeof(PassName)};

	if (current_job.has_pass)
		return;
	steps_forget();				/* that of a job whose end was not ours to see */
	current_job.has_pass = true;
	defer_on_xact_event(count_transactions);
	memset(&pass, 0, sizeof(pass));
	pass.context = AllocSetContextCreate(TopMemoryContext, "defer steps", ALLOCSET_SMALL_SIZES);
	control.hcxt = pass.context;
	pass.names = hash_create("defer steps", 16, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/*
 * Read the name, argument 0, in the current memory context.  A job of a function or a
 * command has no steps.
 */
static char *
read_name(FunctionCallInfo fcinfo, const char *function)
{
	char	   *name;

	current_job_require(function);
	name = args_required_text(fcinfo, 0, "name");
	args_check_name("step", name, STEP_NAME_MAX);
	if (current_job.job->kind != JOB_PROCEDURE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("step \"%s\" is in a job that is not a procedure", name),
				 errhint("Make a procedure of the function, and enqueue that.")));
	if (my_worker == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("step \"%s\" cannot be run by defer.drain()", name),
				 errdetail("Steps commit."),
				 errhint("Let a worker run the job.")));
	begin_pass();
	check_no_misuse();
	return name;
}

/* Come to a name, and look whether an earlier pass has */
static void
come_to(const char *name, char kind, PassStep *step)
{
	bool		known;

	memset(step, 0, sizeof(PassStep));
	(void) hash_search(pass.names, name, HASH_ENTER, &known);
	if (known)
		misuse(ERRCODE_DUPLICATE_OBJECT, psprintf("there are two steps \"%s\" in one pass", name),
			   "Steps are known by their names, those of nested procedures, too.",
			   "In a loop, make the key of its turn part of the name.");
	step->found = step_find(current_job.job->id, name, &step->step);
	step->done = step->found && step->step.finished_at != NO_TIME;
	pass.nsteps++;
	if (step->found && step->step.kind != kind)
		misuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			   psprintf("step \"%s\" was something else in an earlier pass", name), NULL,
			   "Give a new step a new name.");
	if (step->found)
		return;
	step->step = (Step)
	{
		.job_id = current_job.job->id, .name = name, .owner = current_job.job->owner,
			.ord = pass.nsteps, .kind = kind, .started_at = GetCurrentTimestamp(),
			.finished_at = NO_TIME, .until = NO_TIME, .waits_since = NO_TIME
	};
}

static void
check_none_begun(const char *name)
{
	if (pass.begun != NULL)
		misuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			   psprintf("step \"%s\" is called within step \"%s\"", name, pass.begun->step.name),
			   NULL, "CALL defer.end_step() before the next step.");
}

/* ------------------------------------------------------------------------
 * Marks
 * ------------------------------------------------------------------------ */

static void
write_values(void)
{
	ListCell   *cell;

	foreach(cell, pass.values)
		step_insert(lfirst(cell));
}

void
pass_check_size(const PassStep *step, Size size)
{
	if (size > (Size) defer_max_payload * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the result of step \"%s\" is larger than %d kB", step->step.name,
						defer_max_payload),
				 errhint("Keep it in a table, or raise defer.max_payload.")));
}

/* Write the step, and the values that were made since the mark before */
static void
write_step(const PassStep *step)
{
	write_values();
	if (step->found)
		step_update(&step->step);
	else
		step_insert(&step->step);
}

/* In SPI, which ends the transaction and begins the next */
static void
commit(PassStep *step)
{
	PopActiveSnapshot();
	step->snapshot = false;
	SPI_commit();
	pass.values = NIL;
}

void
pass_commit(PassStep *step, Jsonb *result)
{
	bool		reset;

	if (result != NULL)
		pass_check_size(step, VARSIZE(result));
	step->step.result = result;
	step->step.finished_at = GetCurrentTimestamp();
	step->step.waits_since = NO_TIME;
	write_step(step);
	reset = finish_step(current_job.job);
	commit(step);
	if (reset)
	{
		current_job.job->attempt = 0;
		begun_job_set_attempt(0);
		current_job.job->conflicts = current_job.job->crashes = 0;
		current_job.job->waits = WAITS_NOTHING;
	}
}

void
pass_wait(PassStep *step, char waits, TimestampTz until)
{
	if (!step->found)
	{
		step->step.waits_since = waits == WAITS_SLEEP ? NO_TIME : GetCurrentTimestamp();
		write_step(step);
	}
	finish_wait(current_job.job, my_worker->job_started, waits, until);
	if (!batch_leave_running_job())
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("job " INT64_FORMAT " is cancelled", current_job.job->id)));
	commit(step);
	pass.waits = true;
	remember(ERRCODE_JOB_WAITS,
			 psprintf("job " INT64_FORMAT " waits in step \"%s\"", current_job.job->id,
					  step->step.name),
			 NULL, NULL);
	ThrowErrorData(pass.misuse);
	pg_unreachable();
}

bool
steps_waits(void)
{
	return current_job.has_pass && pass.waits;
}

/* ------------------------------------------------------------------------
 * Procedures
 * ------------------------------------------------------------------------ */

/* For errors, also those of the step's function: which step it is */
static void
step_context(void *arg)
{
	errcontext("step \"%s\"", (const char *) arg);
}

/* Begin a step, whose name is in the current memory context */
static void
enter(char *name, PassStep *step, bool roll_back)
{
	MemoryContext context = CurrentMemoryContext;

	step->callback.callback = step_context;
	step->callback.arg = name;
	step->callback.previous = error_context_stack;
	error_context_stack = &step->callback;
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (roll_back)
		SPI_rollback();
	PushActiveSnapshot(GetTransactionSnapshot());
	step->snapshot = true;
	MemoryContextSwitchTo(context);
}

void
pass_leave(PassStep *step)
{
	if (step->snapshot)
		PopActiveSnapshot();
	SPI_finish();
	error_context_stack = step->callback.previous;
}

void
pass_enter(FunctionCallInfo fcinfo, const char *function, char kind, PassStep *step)
{
	char	   *name = read_name(fcinfo, function);

	check_none_begun(name);
	check_can_commit(fcinfo, name, true);
	come_to(name, kind, step);
	enter(name, step, step->found);
}

Datum
pass_return_jsonb(FunctionCallInfo fcinfo, Jsonb *value)
{
	TupleDesc	desc;
	Datum		datum = PointerGetDatum(value);
	bool		isnull = value == NULL;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		PG_RETURN_VOID();
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), &datum, &isnull));
}

/*
 * A function cannot end the transaction, so it can neither commit nor roll back what
 * was written since the mark before.
 */
bool
pass_begin_step(FunctionCallInfo fcinfo)
{
	char	   *name = read_name(fcinfo, "defer.begin_step()");
	PassStep	step;

	check_none_begun(name);
	check_can_commit(fcinfo, name, false);

	/*
	 * the statement itself may have written; sequences have a transaction id,
	 * too
	 */
	CommandCounterIncrement();
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		GetCurrentCommandId(false) != FirstCommandId)
		misuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			   psprintf("something was written, or rows were locked, between the last step and step \"%s\"", name),
			   "The next pass could not tell it from what belongs to the step.",
			   "Move it behind defer.begin_step(), or make a step of it.");
	come_to(name, STEP_WORK, &step);
	if (step.found)
		return false;
	pass.begun = MemoryContextAllocZero(pass.context, sizeof(PassStep));
	pass.begun->step = step.step;
	pass.begun->step.name = MemoryContextStrdup(pass.context, name);
	pass.begun_in = transactions_ended;
	return true;
}

void
pass_end_step(FunctionCallInfo fcinfo, Jsonb *result)
{
	char	   *name = read_name(fcinfo, "defer.end_step()");
	MemoryContext context = CurrentMemoryContext;
	PassStep   *step = pass.begun;

	check_can_commit(fcinfo, name, true);
	if (step == NULL || strcmp(step->step.name, name) != 0)
		misuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			   psprintf("step \"%s\" has not begun", name), NULL,
			   "Call it where defer.begin_step() of that name has returned true.");
	if (pass.begun_in != transactions_ended)
		misuse(ERRCODE_INVALID_TRANSACTION_TERMINATION,
			   psprintf("the transaction in which step \"%s\" began has ended", name),
			   "A step and its mark are one transaction.",
			   "Remove COMMIT and ROLLBACK from the step.");
	enter(name, step, false);
	pass_commit(step, result);
	pass_leave(step);
	pass.begun = NULL;
	MemoryContextSwitchTo(context);
}

/* ------------------------------------------------------------------------
 * Values that are made once
 * ------------------------------------------------------------------------ */

Jsonb *
pass_find_value(FunctionCallInfo fcinfo, const char *function, char kind)
{
	char	   *name = read_name(fcinfo, function);
	PassStep	step;

	come_to(name, kind, &step);
	return step.found ? step.step.result : NULL;
}

void
pass_keep_value(FunctionCallInfo fcinfo, char kind, Jsonb *value)
{
	MemoryContext old = MemoryContextSwitchTo(pass.context);
	Step	   *step = palloc0(sizeof(Step));

	step->job_id = current_job.job->id;
	step->name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	step->owner = current_job.job->owner;
	step->ord = pass.nsteps;
	step->kind = kind;
	step->result = memcpy(palloc(VARSIZE(value)), value, VARSIZE(value));
	step->started_at = step->finished_at = GetCurrentTimestamp();
	step->until = step->waits_since = NO_TIME;
	pass.values = lappend(pass.values, step);
	MemoryContextSwitchTo(old);
}

/* ------------------------------------------------------------------------
 * The end
 * ------------------------------------------------------------------------ */

void
pass_set_result(Jsonb *result)
{
	pass.has_result = true;
	pass.result = result == NULL ? NULL :
		memcpy(MemoryContextAlloc(pass.context, VARSIZE(result)), result, VARSIZE(result));
}

Jsonb *
steps_end(Jsonb *result)
{
	if (!current_job.has_pass)
		return result;
	check_no_misuse();
	if (pass.begun != NULL)
		misuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			   psprintf("step \"%s\" has begun and was not ended", pass.begun->step.name),
			   NULL, "CALL defer.end_step() before the procedure ends.");
	if (pass.values != NIL)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		write_values();
		PopActiveSnapshot();
	}
	return pass.has_result ? pass.result : result;
}
