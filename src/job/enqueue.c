/*
 * enqueue.c
 *		defer.enqueue(), defer.later(), defer.command(): a row in defer.job, as part
 *		of the caller's transaction.
 *
 * All that can be wrong with a job is found here, in the caller's face.  The
 * way to the row is short: with the function, its settings and the table known
 * from the call before, a million jobs in one statement are a million rows.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/callbacks.h"
#include "base/citus.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "job/after.h"
#include "job/distributed.h"
#include "job/enqueue.h"
#include "job/enqueue_options.h"
#include "job/held.h"
#include "job/key.h"
#include "config/job_caps.h"
#include "config/job_target.h"
#include "job/when_done.h"
#include "shmem/dependents.h"
#include "shmem/preload.h"
#include "function/direct_call_check.h"
#include "function/function.h"
#include "table/fan_out_count.h"
#include "job/current_job.h"
#include "job/command.h"

PG_FUNCTION_INFO_V1(defer_enqueue);
PG_FUNCTION_INFO_V1(defer_enqueue_one);
PG_FUNCTION_INFO_V1(defer_last_enqueue);
PG_FUNCTION_INFO_V1(defer_later);
PG_FUNCTION_INFO_V1(defer_later_text);
PG_FUNCTION_INFO_V1(defer_later_after);
PG_FUNCTION_INFO_V1(defer_later_after_text);
PG_FUNCTION_INFO_V1(defer_command);

/* What the last enqueue of the transaction has come to, for defer.last_enqueue() */
static EnqueueOutcome last_outcome = ENQUEUE_NONE;

static void
enqueue_xact_callback(XactEvent event)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		last_outcome = ENQUEUE_NONE;
}

void
enqueue_init(void)
{
	defer_on_xact_event(enqueue_xact_callback);
}

/* Set what a new job of the current role has before its options are read */
static void
begin_job(Job *job, char kind, const char *signature, Oid function_owner, Jsonb *args)
{
	memset(job, 0, sizeof(Job));
	job->enqueued_at = GetCurrentTimestamp();
	job->owner = GetUserId();
	job->kind = kind;
	job->function = cstring_to_text(signature);
	job->function_owner = function_owner;
	job->args = args;
	job->scheduled_for = NO_TIME;
}

/* Set what the job has of the one that enqueues it */
static void
set_parent(Job *job)
{
	if (current_job.job == NULL)
	{
		if (citus_loaded)
			job->parent_id = distributed_sender();
		return;
	}
	job->parent_id = current_job.job->id;
	job->fan_out_id = fan_out_of_children(current_job.job);
}

/* Do what else belongs to a job that has got a row, or has ended without one */
static void
finish_new(FunctionCallInfo fcinfo, int first, const Job *job)
{
	if (first >= 0 && !PG_ARGISNULL(first + OPTION_WHEN_DONE))
		when_done_of_new(job, text_to_cstring(PG_GETARG_TEXT_PP(first + OPTION_WHEN_DONE)));
}

/* exceeds_caps: it is never refused */
static int64
enqueue_new(FunctionCallInfo fcinfo, int first, char kind, const char *signature,
			Oid function_owner, Jsonb *args, bool exceeds_caps)
{
	Job			job;
	KeyRule		rule = {0};
	EnqueueOutcome outcome = ENQUEUE_CREATED;
	int64		id;
	After		after;
	bool		comes_after;

	begin_job(&job, kind, signature, function_owner, args);
	job.exceeds_caps = exceeds_caps;
	set_parent(&job);
	enqueue_options_read(fcinfo, first, signature, &job, &rule);
	comes_after = after_read(fcinfo, first, &after);
	if (comes_after && !after_prepare(&after, &job, &rule))
		id = job.id;			/* it has ended already */
	else
	{
		id = job.key != NULL ? key_enqueue(&job, &rule, &outcome) :
			job_caps_insert(&job);
		if (comes_after)
			after_write(&after, id, outcome == ENQUEUE_CREATED);
		if (outcome == ENQUEUE_CREATED || outcome == ENQUEUE_QUEUED_BEHIND)
			fan_out_enqueued(&job);
	}
	if (outcome == ENQUEUE_CREATED || outcome == ENQUEUE_QUEUED_BEHIND)
		finish_new(fcinfo, first, &job);
	last_outcome = outcome;
	return id;
}

void
enqueue_check_options(const JobTarget *target, Jsonb *args, FunctionCallInfo options)
{
	Job			job;
	KeyRule		rule = {0};

	begin_job(&job, target->kind, target->name, target->owner, args);
	enqueue_options_read(options, 0, target->name, &job, &rule);
}

int64
enqueue_job(FunctionCallInfo fcinfo, int first, char kind, const char *signature,
			Oid function_owner, Jsonb *args)
{
	return enqueue_new(fcinfo, first, kind, signature, function_owner, args, false);
}

int64
enqueue_own_job(char kind, const char *signature, Oid function_owner, Jsonb *args)
{
	return enqueue_new(NULL, -1, kind, signature, function_owner, args, true);
}

int64
enqueue_step(const JobTarget *target, Jsonb *args, Jsonb *sample, FunctionCallInfo options,
			 int64 workflow_id, After *after, bool prepare)
{
	Job			job;
	KeyRule		rule = {0};
	bool		over;

	begin_job(&job, target->kind, target->name, target->owner, sample);
	set_parent(&job);
	enqueue_options_read(options, 0, target->name, &job, &rule);
	job.parent_id = workflow_id;
	job.args = args;
	if (!after_prepare(after, &job, &rule))
		return job.id;			/* it has ended already */
	over = job.waits == WAITS_NOTHING;
	if (prepare && over)
		job_hold(&job);
	if (prepare)
		job.waits = WAITS_PREPARE;
	(void) job_caps_insert(&job);
	after_write(after, job.id, true);
	if (prepare && over)
		dependents_tell(job.id, true);
	fan_out_enqueued_deep(&job);
	finish_new(options, 0, &job);
	return job.id;
}

bool
enqueue_workflow(int64 *id, const char *name, text *key)
{
	Job			job;
	KeyRule		rule = {.on_key = ON_KEY_KEEP};
	EnqueueOutcome outcome = ENQUEUE_CREATED;

	begin_job(&job, JOB_WORKFLOW, WORKFLOW_FUNCTION, InvalidOid,
			  jsonb_object_of_text("name", name));
	set_parent(&job);
	enqueue_options_read(NULL, -1, WORKFLOW_FUNCTION, &job, &rule);
	job.id = *id;
	job.key = key;
	job.waits = WAITS_PREPARE;
	job_hold(&job);
	*id = key != NULL ? key_enqueue(&job, &rule, &outcome) : job_caps_insert(&job);
	last_outcome = outcome;
	if (outcome != ENQUEUE_CREATED)
		return false;
	fan_out_enqueued(&job);
	return true;
}

/* NULL: nothing was enqueued in this transaction */
Datum
enqueue_last_outcome(bool *isnull)
{
	static const char *const names[] = {
		[ENQUEUE_CREATED] = "created",
		[ENQUEUE_KEPT] = "kept",
		[ENQUEUE_REPLACED] = "replaced",
		[ENQUEUE_QUEUED_BEHIND] = "queued_behind",
	};

	*isnull = last_outcome == ENQUEUE_NONE;
	return *isnull ? (Datum) 0 : CStringGetTextDatum(names[last_outcome]);
}

static void
check_not_scheduled(const FunctionEntry *entry)
{
	if (direct_call_is_scheduled(entry->oid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("function %s is scheduled and cannot be enqueued directly",
						entry->signature),
				 errhint("To run it now use defer.trigger(); defer.alter_cron(name, allow_direct => true) allows it.")));
}

void
enqueue_resolve(const char *name, Jsonb **args, JobTarget *target)
{
	job_target_resolve(name, args, target);
	if (target->function != NULL)
		check_not_scheduled(target->function);
}

int64
enqueue_by_name(const char *name, Jsonb *args, FunctionCallInfo fcinfo, int first)
{
	JobTarget	target;

	enqueue_resolve(name, &args, &target);
	return enqueue_job(fcinfo, first, target.kind, target.name, target.owner, args);
}

void
enqueue_make_job(const char *name, Jsonb *args, Job *job)
{
	JobTarget	target;
	KeyRule		rule = {0};

	enqueue_resolve(name, &args, &target);
	begin_job(job, target.kind, target.name, target.owner, args);
	enqueue_options_read(NULL, -1, target.name, job, &rule);
}

/*
 * Memory of one call is given back at its end: in one statement there may be a
 * million of them, and not every plan resets its memory after each.
 */
static MemoryContext
begin_call(void)
{
	return MemoryContextSwitchTo(AllocSetContextCreate(CurrentMemoryContext, "defer enqueue",
													   ALLOCSET_DEFAULT_SIZES));
}

static void
end_call(MemoryContext outer)
{
	MemoryContext call = MemoryContextSwitchTo(outer);

	MemoryContextDelete(call);
}

/* defer.enqueue() and defer.enqueue_one(): function, args, options */
static int64
enqueue_function(FunctionCallInfo fcinfo, const char *command)
{
	MemoryContext context;
	Jsonb	   *args;
	int64		id;

	PreventCommandIfReadOnly(command);
	require_argument(fcinfo, 0, "function");
	warn_if_not_preloaded();
	context = begin_call();
	args = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	id = enqueue_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)), args, fcinfo, 2);
	end_call(context);
	return id;
}

Datum
defer_enqueue(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(enqueue_function(fcinfo, "defer.enqueue()"));
}

Datum
defer_enqueue_one(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(enqueue_function(fcinfo, "defer.enqueue_one()"));
	values[1] = enqueue_last_outcome(&nulls[1]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
defer_last_enqueue(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(enqueue_last_outcome(&fcinfo->isnull));
}

Datum
defer_command(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	char	   *sql;
	int64		id;

	PreventCommandIfReadOnly("defer.command()");
	require_argument(fcinfo, 0, "sql");
	warn_if_not_preloaded();
	context = begin_call();
	sql = text_to_cstring(PG_GETARG_TEXT_PP(0));
	command_check(sql);
	id = enqueue_job(fcinfo, 1, JOB_COMMAND, COMMAND_FUNCTION, InvalidOid,
					 jsonb_object_of_text("sql", sql));
	end_call(context);
	PG_RETURN_INT64(id);
}

/* ------------------------------------------------------------------------
 * defer.later(): typed arguments
 * ------------------------------------------------------------------------ */

/* "options": as of a call that has these only; NULL: none */
static int64
enqueue_typed(text *function, int nargs, const Datum *values, const bool *nulls, const Oid *types,
			  FunctionCallInfo options)
{
	FunctionEntry *entry = function_resolve_types(text_to_cstring(function), nargs, types);
	Jsonb	   *args = function_args_from_values(entry, nargs, values, nulls, types);

	(void) function_check_args(entry, args, true);
	function_warn_of_steps(entry);
	check_not_scheduled(entry);
	return enqueue_job(options, options == NULL ? -1 : 0, entry->kind, entry->signature,
					   entry->owner, args);
}

/* Arguments of any types, from "first" on */
static int64
enqueue_later(FunctionCallInfo fcinfo, int first, const char *command, FunctionCallInfo options)
{
	int			nargs = PG_NARGS() - first;
	Oid			types[FUNC_MAX_ARGS];
	Datum		values[FUNC_MAX_ARGS];
	bool		nulls[FUNC_MAX_ARGS];
	MemoryContext context;
	int64		id;

	PreventCommandIfReadOnly(command);
	require_argument(fcinfo, first - 1, "function");
	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s takes a VARIADIC array of text only", command),
				 errhint("Use defer.enqueue() with to_jsonb(array).")));
	warn_if_not_preloaded();
	context = begin_call();
	for (int i = 0; i < nargs; i++)
	{
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, first + i);
		if (!OidIsValid(types[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine the type of argument %d", i + 1),
					 errhint("Use defer.enqueue().")));
		values[i] = PG_GETARG_DATUM(first + i);
		nulls[i] = PG_ARGISNULL(first + i);
	}
	id = enqueue_typed(PG_GETARG_TEXT_PP(first - 1), nargs, values, nulls, types, options);
	end_call(context);
	return id;
}

/* Arguments that are text, as literals without a type: the array is argument "first" */
static int64
enqueue_later_text(FunctionCallInfo fcinfo, int first, const char *command,
				   FunctionCallInfo options)
{
	Oid			types[FUNC_MAX_ARGS];
	Datum	   *values;
	bool	   *nulls;
	MemoryContext context;
	int			nargs;
	int64		id;

	PreventCommandIfReadOnly(command);
	require_argument(fcinfo, first - 1, "function");
	require_argument(fcinfo, first, "args");
	warn_if_not_preloaded();
	context = begin_call();
	args_text_array(PG_GETARG_DATUM(first), &values, &nulls, &nargs);
	if (nargs > FUNC_MAX_ARGS)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_ARGUMENTS),
				 errmsg("a function has at most %d arguments", FUNC_MAX_ARGS)));
	for (int i = 0; i < nargs; i++)
	{
		types[i] = UNKNOWNOID;
		if (!nulls[i])
			values[i] = CStringGetDatum(TextDatumGetCString(values[i]));
	}
	id = enqueue_typed(PG_GETARG_TEXT_PP(first - 1), nargs, values, nulls, types, options);
	end_call(context);
	return id;
}

Datum
defer_later(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(enqueue_later(fcinfo, 1, "defer.later()", NULL));
}

Datum
defer_later_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(enqueue_later_text(fcinfo, 1, "defer.later()", NULL));
}

/* Options of which "after", argument 0, is the only one */
static void
only_after(FunctionCallInfo fcinfo, FunctionCallInfo options)
{
	require_argument(fcinfo, 0, "after");
	InitFunctionCallInfoData(*options, NULL, OPTION_N, InvalidOid, NULL, NULL);
	for (int i = 0; i < OPTION_N; i++)
		options->args[i].isnull = i != OPTION_AFTER;
	options->args[OPTION_AFTER].value = PG_GETARG_DATUM(0);
}

/* defer.later_after(after, function, VARIADIC args) */
Datum
defer_later_after(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(options, OPTION_N);

	only_after(fcinfo, options);
	PG_RETURN_INT64(enqueue_later(fcinfo, 2, "defer.later_after()", options));
}

Datum
defer_later_after_text(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(options, OPTION_N);

	only_after(fcinfo, options);
	PG_RETURN_INT64(enqueue_later_text(fcinfo, 2, "defer.later_after()", options));
}
