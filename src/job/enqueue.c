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

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/guc_job.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "job/enqueue.h"
#include "shmem/preload.h"
#include "function/direct_call_check.h"
#include "function/function.h"
#include "table/job_table.h"
#include "config/queue_access.h"
#include "config/setting_values.h"
#include "config/settings_cache.h"
#include "job/current_job.h"
#include "job/command.h"

PG_FUNCTION_INFO_V1(defer_enqueue);
PG_FUNCTION_INFO_V1(defer_later);
PG_FUNCTION_INFO_V1(defer_command);

/* Longest key, in bytes: it is in an index */
#define KEY_MAX_LENGTH	1000

/* Options, as parameters after the function and its arguments, or the command */
enum
{
	OPT_RUN_AT, OPT_DELAY, OPT_QUEUE, OPT_PRIORITY, OPT_KEY, OPT_DISCARD_AFTER, OPT_METADATA,
	OPT_POLICY					/* the first of policy_columns */
};

static const SettingColumn policy_columns[] = {
	{"max_attempts", SETTING_COUNT},
	{"initial_interval", SETTING_TIME},
	{"multiplier", SETTING_FACTOR},
	{"max_interval", SETTING_TIME},
	{"randomization", SETTING_SHARE},
	{"max_duration", SETTING_TIME},
};

static const SettingTable policy_table = {
	.name = "job",
	.ncolumns = lengthof(policy_columns),
	.columns = policy_columns,
};

/* ------------------------------------------------------------------------
 * Options
 * ------------------------------------------------------------------------ */

/*
 * Returns when the job may begin.  A time that is over is now: or else it would
 * run before all that wait.  "now" is the clock's time, and not that of the
 * transaction's beginning: discard_after counts from then.
 */
static TimestampTz
read_run_at(FunctionCallInfo fcinfo, int first, TimestampTz now)
{
	if (!PG_ARGISNULL(first + OPT_RUN_AT) && !PG_ARGISNULL(first + OPT_DELAY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"run_at\" and \"delay\" are both given"),
				 errhint("Give one of the two.")));
	if (!PG_ARGISNULL(first + OPT_RUN_AT))
	{
		TimestampTz run_at = PG_GETARG_TIMESTAMPTZ(first + OPT_RUN_AT);

		if (TIMESTAMP_NOT_FINITE(run_at))
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					 errmsg("\"run_at\" must be finite"),
					 errhint("To hold back all jobs of a function use defer.pause().")));
		return Max(run_at, now);
	}
	if (!PG_ARGISNULL(first + OPT_DELAY))
	{
		Interval   *delay = PG_GETARG_INTERVAL_P(first + OPT_DELAY);
		TimestampTz run_at;

		(void) setting_interval("delay", delay);
		run_at = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
														 TimestampTzGetDatum(now),
														 IntervalPGetDatum(delay)));
		return Max(run_at, now);	/* '1 month -30 days' */
	}
	return now;
}

/* By itself a job goes where its function's settings say */
static text *
read_queue(FunctionCallInfo fcinfo, int first, const FunctionSettings *function,
		   QueueSettings *settings)
{
	char	   *name = !PG_ARGISNULL(first + OPT_QUEUE) ?
		text_to_cstring(PG_GETARG_TEXT_PP(first + OPT_QUEUE)) :
		function->queue != NULL ? pstrdup(function->queue) : pstrdup(DEFAULT_QUEUE);

	*settings = *queue_check_usable(name, GetUserId());
	return cstring_to_text(name);
}

static text *
read_key(FunctionCallInfo fcinfo, int first)
{
	text	   *key;

	if (PG_ARGISNULL(first + OPT_KEY))
		return NULL;
	key = PG_GETARG_TEXT_P(first + OPT_KEY);
	if (VARSIZE_ANY_EXHDR(key) == 0 || VARSIZE_ANY_EXHDR(key) > KEY_MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"key\" must have 1 to %d bytes", KEY_MAX_LENGTH)));
	return key;
}

/*
 * Returns when the job is discarded if it has not begun; counted from when it
 * may begin.  In a transaction that stays open longer than that after the
 * call, it is over when the job is committed.
 */
static TimestampTz
read_discard_at(FunctionCallInfo fcinfo, int first, const FunctionSettings *function,
				const QueueSettings *queue, TimestampTz run_at)
{
	int64		wait = function->discard_after >= 0 ? function->discard_after :
		queue->discard_after;
	TimestampTz discard_at;

	if (!PG_ARGISNULL(first + OPT_DISCARD_AFTER))
	{
		wait = setting_interval("discard_after", PG_GETARG_INTERVAL_P(first + OPT_DISCARD_AFTER));
		if (wait == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"discard_after\" must be more than 0")));
	}
	if (wait < 0)
		return NO_TIME;
	if (pg_add_s64_overflow(run_at, wait, &discard_at) || !IS_VALID_TIMESTAMP(discard_at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("\"discard_after\" is out of range after \"run_at\""),
				 errhint("Give an earlier \"run_at\".")));
	return discard_at;
}

static void
push_option(JsonbBuilder *state, const char *name, double number)
{
	JsonbValue	value;

	jsonb_push_key(state, name);
	value.type = jbvNumeric;
	value.val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric,
															Float8GetDatum(number)));
	(void) jsonb_push(state, WJB_VALUE, &value);
}

/* The job's own policy, those fields that are given; NULL: none is */
static Jsonb *
read_options(FunctionCallInfo fcinfo, int first)
{
	JsonbBuilder state = {0};
	int			base = first + OPT_POLICY;

	if (!setting_values_check(&policy_table, fcinfo, base))
		return NULL;
	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < lengthof(policy_columns); i++)
	{
		const SettingColumn *column = &policy_columns[i];

		if (PG_ARGISNULL(base + i))
			continue;
		if (column->type == SETTING_COUNT)
			jsonb_push_number(&state, column->name, PG_GETARG_INT32(base + i));
		else if (column->type == SETTING_TIME)
			jsonb_push_number(&state, column->name,
							  setting_interval(column->name, PG_GETARG_INTERVAL_P(base + i)));
		else
			push_option(&state, column->name, PG_GETARG_FLOAT8(base + i));
	}
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

static void
check_payload(const Job *job)
{
	Size		size = (job->args != NULL ? VARSIZE(job->args) : 0) +
		(job->metadata != NULL ? VARSIZE(job->metadata) : 0);

	if (size > (Size) defer_max_payload * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("arguments and metadata of %zu bytes are too large for a job", size),
				 errhint("Keep them in a table and give the job their key. defer.max_payload is %d kB.",
						 defer_max_payload)));
}

static void
check_metadata(const Jsonb *metadata)
{
	if (metadata != NULL && !JB_ROOT_IS_OBJECT(metadata))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"metadata\" must be a JSON object"),
				 errhint("Write it as in '{\"order\": 42}'.")));
}

/* ------------------------------------------------------------------------
 * The job
 * ------------------------------------------------------------------------ */

int64
enqueue_job(FunctionCallInfo fcinfo, int first, char kind, const char *signature,
			Oid function_owner, Jsonb *args)
{
	LOCAL_FCINFO(nothing, OPT_POLICY + lengthof(policy_columns));
	FunctionSettings function = *function_settings(signature);
	QueueSettings queue;
	Job			job = {0};

	if (first < 0)
	{
		InitFunctionCallInfoData(*nothing, NULL, OPT_POLICY + lengthof(policy_columns),
								 InvalidOid, NULL, NULL);
		for (int i = 0; i < nothing->nargs; i++)
			nothing->args[i].isnull = true;
		fcinfo = nothing;
		first = 0;
	}
	job.enqueued_at = GetCurrentTimestamp();
	job.owner = GetUserId();
	job.kind = kind;
	job.function = cstring_to_text(signature);
	job.function_owner = function_owner;
	job.args = args;
	job.queue = read_queue(fcinfo, first, &function, &queue);
	job.priority = !PG_ARGISNULL(first + OPT_PRIORITY) ? PG_GETARG_INT32(first + OPT_PRIORITY) :
		function.has_priority ? function.priority :
		queue.has_priority ? queue.priority : 0;
	job.run_at = read_run_at(fcinfo, first, job.enqueued_at);
	job.discard_at = read_discard_at(fcinfo, first, &function, &queue, job.run_at);
	job.key = read_key(fcinfo, first);
	job.metadata = PG_ARGISNULL(first + OPT_METADATA) ? NULL :
		PG_GETARG_JSONB_P(first + OPT_METADATA);
	job.options = read_options(fcinfo, first);
	job.scheduled_for = NO_TIME;
	job.parent_id = current_job.job != NULL ? current_job.job->id : 0;
	check_payload(&job);
	check_metadata(job.metadata);
	job.limits_key = job_limits_key(signature, text_to_cstring(job.queue));
	return job_insert(&job);
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

Datum
defer_enqueue(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	FunctionEntry *entry;
	Jsonb	   *args;
	int64		id;

	PreventCommandIfReadOnly("defer.enqueue()");
	require_argument(fcinfo, 0, "function");
	warn_if_not_preloaded();
	context = begin_call();
	args = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	entry = function_resolve(text_to_cstring(PG_GETARG_TEXT_PP(0)), &args);
	check_not_scheduled(entry);
	id = enqueue_job(fcinfo, 2, entry->kind, entry->signature, entry->owner, args);
	end_call(context);
	PG_RETURN_INT64(id);
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

Datum
defer_later(PG_FUNCTION_ARGS)
{
	int			nargs = PG_NARGS() - 1;
	Oid			types[FUNC_MAX_ARGS];
	Datum		values[FUNC_MAX_ARGS];
	bool		nulls[FUNC_MAX_ARGS];
	MemoryContext context;
	FunctionEntry *entry;
	Jsonb	   *args;
	int64		id;

	PreventCommandIfReadOnly("defer.later()");
	require_argument(fcinfo, 0, "function");
	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("defer.later() takes no VARIADIC array"),
				 errhint("Use defer.enqueue() with to_jsonb(array).")));
	warn_if_not_preloaded();
	context = begin_call();
	for (int i = 0; i < nargs; i++)
	{
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, i + 1);
		if (!OidIsValid(types[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine the type of argument %d", i + 1),
					 errhint("Use defer.enqueue().")));
		values[i] = PG_GETARG_DATUM(i + 1);
		nulls[i] = PG_ARGISNULL(i + 1);
	}
	entry = function_resolve_types(text_to_cstring(PG_GETARG_TEXT_PP(0)), nargs, types);
	args = function_args_from_values(entry, nargs, values, nulls, types);
	(void) function_check_args(entry, args, true);
	check_not_scheduled(entry);
	id = enqueue_job(NULL, -1, entry->kind, entry->signature, entry->owner, args);
	end_call(context);
	PG_RETURN_INT64(id);
}
