/*
 * enqueue_options.c
 *		The options of defer.enqueue() and its like: reading and checking them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/guc_job.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "config/group_by.h"
#include "config/queue_access.h"
#include "config/setting_values.h"
#include "config/settings_cache.h"
#include "job/enqueue_options.h"
#include "job/key.h"

/* Longest key, in bytes: it is in an index */
#define KEY_MAX_LENGTH	1000

const EnqueueOptionType enqueue_options[OPTION_N] = {
	[OPTION_RUN_AT] = {"run_at", TIMESTAMPTZOID},
	[OPTION_DELAY] = {"delay", INTERVALOID},
	[OPTION_QUEUE] = {"queue", TEXTOID},
	[OPTION_PRIORITY] = {"priority", INT8OID},
	[OPTION_KEY] = {"key", TEXTOID},
	[OPTION_DISCARD_AFTER] = {"discard_after", INTERVALOID},
	[OPTION_METADATA] = {"metadata", JSONBOID},
	[OPTION_MAX_ATTEMPTS] = {"max_attempts", INT8OID},
	[OPTION_INITIAL_INTERVAL] = {"initial_interval", INTERVALOID},
	[OPTION_MULTIPLIER] = {"multiplier", FLOAT8OID},
	[OPTION_MAX_INTERVAL] = {"max_interval", INTERVALOID},
	[OPTION_RANDOMIZATION] = {"randomization", FLOAT8OID},
	[OPTION_MAX_DURATION] = {"max_duration", INTERVALOID},
	[OPTION_GROUP_KEY] = {"group_key", TEXTOID},
	[OPTION_ON_KEY] = {"on_key", TEXTOID},
	[OPTION_DEBOUNCE_MAX] = {"debounce_max", INTERVALOID},
	[OPTION_KEY_FOR] = {"key_for", INTERVALOID},
	[OPTION_AFTER] = {"after", INT8ARRAYOID},
	[OPTION_AFTER_FAILURE] = {"after_failure", TEXTOID},
	[OPTION_WHEN_DONE] = {"when_done", TEXTOID},
};

/* The options from here on are the policy, in this order */
#define FIRST_OF_POLICY	OPTION_MAX_ATTEMPTS

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
	if (!PG_ARGISNULL(first + OPTION_RUN_AT) && !PG_ARGISNULL(first + OPTION_DELAY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"run_at\" and \"delay\" are both given"),
				 errhint("Give one of the two.")));
	if (!PG_ARGISNULL(first + OPTION_RUN_AT))
	{
		TimestampTz run_at = PG_GETARG_TIMESTAMPTZ(first + OPTION_RUN_AT);

		if (TIMESTAMP_NOT_FINITE(run_at))
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					 errmsg("\"run_at\" must be finite"),
					 errhint("To hold back all jobs of a function use defer.pause().")));
		return Max(run_at, now);
	}
	if (!PG_ARGISNULL(first + OPTION_DELAY))
	{
		Interval   *delay = PG_GETARG_INTERVAL_P(first + OPTION_DELAY);
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
static char *
read_queue(FunctionCallInfo fcinfo, int first, const FunctionSettings *function,
		   QueueSettings *settings)
{
	char	   *name = !PG_ARGISNULL(first + OPTION_QUEUE) ?
		text_to_cstring(PG_GETARG_TEXT_PP(first + OPTION_QUEUE)) :
		function->queue != NULL ? pstrdup(function->queue) : pstrdup(DEFAULT_QUEUE);

	*settings = *queue_check_usable(name, GetUserId());
	return name;
}

text *
enqueue_options_key(FunctionCallInfo fcinfo, int n)
{
	text	   *key;

	if (PG_ARGISNULL(n))
		return NULL;
	key = PG_GETARG_TEXT_P(n);
	if (VARSIZE_ANY_EXHDR(key) == 0 || VARSIZE_ANY_EXHDR(key) > KEY_MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"key\" must have 1 to %d bytes", KEY_MAX_LENGTH)));
	return key;
}

/*
 * The group that is given, else the one that the settings take from arguments and
 * metadata.  NULL: none.
 */
static text *
read_group(FunctionCallInfo fcinfo, int first, const char *signature,
		   const FunctionSettings *function, const QueueSettings *queue, const Job *job)
{
	text	   *group;

	if (PG_ARGISNULL(first + OPTION_GROUP_KEY))
		return group_of_job(signature, function->group_by, queue->group_by, job->args,
							job->metadata);
	group = PG_GETARG_TEXT_P(first + OPTION_GROUP_KEY);
	group_check(group);
	return group;
}

text *
enqueue_options_group(const Job *job)
{
	char	   *signature = text_to_cstring(job->function);
	const char *of_function = function_settings(signature)->group_by;
	const char *of_queue = queue_settings(text_to_cstring(job->queue))->group_by;

	return group_of_job(signature, of_function, of_queue, job->args, job->metadata);
}

static OnKey
read_on_key(FunctionCallInfo fcinfo, int n)
{
	static const char *const names[] = {
		[ON_KEY_KEEP] = "keep",
		[ON_KEY_REPLACE] = "replace",
		[ON_KEY_DEBOUNCE] = "debounce",
		[ON_KEY_ERROR] = "error",
	};
	char	   *given = args_text(fcinfo, n);

	if (given == NULL)
		return ON_KEY_KEEP;
	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(given, names[i]) == 0)
			return i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"on_key\" is not valid"),
			 errhint("Use keep, replace, debounce or error.")));
}

/* An interval of more than 0, in microseconds */
static int64
read_length(FunctionCallInfo fcinfo, int n, const char *name)
{
	int64		length = setting_interval(name, PG_GETARG_INTERVAL_P(n));

	if (length == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be more than 0", name)));
	return length;
}

static void
option_needs(const char *option, const char *needed)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is given without %s", option, needed)));
}

/* Read how far a job may be moved by enqueuing it again; by itself ten times its delay */
static int64
read_debounce_max(FunctionCallInfo fcinfo, int first)
{
	int64		delay;
	int64		longest;

	if (PG_ARGISNULL(first + OPTION_DELAY))
		option_needs("on_key", "\"delay\", which \"debounce\" needs");
	delay = read_length(fcinfo, first + OPTION_DELAY, "delay");
	if (PG_ARGISNULL(first + OPTION_DEBOUNCE_MAX))
		return Min(delay, SETTING_TIME_MAX / 10) * 10;
	longest = read_length(fcinfo, first + OPTION_DEBOUNCE_MAX, "debounce_max");
	if (longest < delay)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"debounce_max\" must not be shorter than \"delay\"")));
	return longest;
}

static void
read_key_rule(FunctionCallInfo fcinfo, int first, bool has_key, KeyRule *rule)
{
	if (!has_key)
	{
		if (!PG_ARGISNULL(first + OPTION_ON_KEY))
			option_needs("on_key", "\"key\"");
		if (!PG_ARGISNULL(first + OPTION_KEY_FOR))
			option_needs("key_for", "\"key\"");
	}
	else
	{
		rule->on_key = read_on_key(fcinfo, first + OPTION_ON_KEY);
		rule->key_for = PG_ARGISNULL(first + OPTION_KEY_FOR) ? 0 :
			read_length(fcinfo, first + OPTION_KEY_FOR, "key_for");
		if (rule->on_key == ON_KEY_DEBOUNCE)
		{
			rule->debounce_max = read_debounce_max(fcinfo, first);
			return;
		}
	}
	if (!PG_ARGISNULL(first + OPTION_DEBOUNCE_MAX))
		option_needs("debounce_max", "\"on_key\" of \"debounce\"");
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

	if (!PG_ARGISNULL(first + OPTION_DISCARD_AFTER))
	{
		wait = setting_interval("discard_after", PG_GETARG_INTERVAL_P(first + OPTION_DISCARD_AFTER));
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
	LOCAL_FCINFO(policy, lengthof(policy_columns));
	JsonbBuilder state = {0};

	InitFunctionCallInfoData(*policy, NULL, lengthof(policy_columns), InvalidOid, NULL, NULL);
	memcpy(policy->args, &fcinfo->args[first + FIRST_OF_POLICY],
		   lengthof(policy_columns) * sizeof(NullableDatum));
	if (!policy->args[0].isnull)
		policy->args[0].value = Int32GetDatum(args_int32(policy, 0, "max_attempts"));
	if (!setting_values_check(&policy_table, policy, 0))
		return NULL;
	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < lengthof(policy_columns); i++)
	{
		const SettingColumn *column = &policy_columns[i];
		Datum		value = policy->args[i].value;

		if (policy->args[i].isnull)
			continue;
		if (column->type == SETTING_COUNT)
			jsonb_push_number(&state, column->name, DatumGetInt32(value));
		else if (column->type == SETTING_TIME)
			jsonb_push_number(&state, column->name,
							  setting_interval(column->name, DatumGetIntervalP(value)));
		else
			push_option(&state, column->name, DatumGetFloat8(value));
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
 * All of them
 * ------------------------------------------------------------------------ */

void
enqueue_options_read(FunctionCallInfo fcinfo, int first, const char *signature, Job *job,
					 KeyRule *rule)
{
	LOCAL_FCINFO(nothing, OPTION_N);
	FunctionSettings function = *function_settings(signature);
	QueueSettings queue;
	char	   *queue_name;

	if (first < 0)
	{
		InitFunctionCallInfoData(*nothing, NULL, OPTION_N, InvalidOid, NULL, NULL);
		for (int i = 0; i < nothing->nargs; i++)
			nothing->args[i].isnull = true;
		fcinfo = nothing;
		first = 0;
	}
	job->metadata = PG_ARGISNULL(first + OPTION_METADATA) ? NULL :
		PG_GETARG_JSONB_P(first + OPTION_METADATA);
	queue_name = read_queue(fcinfo, first, &function, &queue);
	job->queue = cstring_to_text(queue_name);
	job->group_key = read_group(fcinfo, first, signature, &function, &queue, job);
	job->priority = !PG_ARGISNULL(first + OPTION_PRIORITY) ?
		args_int32(fcinfo, first + OPTION_PRIORITY, "priority") :
		function.has_priority ? function.priority :
		queue.has_priority ? queue.priority : 0;
	job->run_at = read_run_at(fcinfo, first, job->enqueued_at);
	job->discard_at = read_discard_at(fcinfo, first, &function, &queue, job->run_at);
	job->key = enqueue_options_key(fcinfo, first + OPTION_KEY);
	read_key_rule(fcinfo, first, job->key != NULL, rule);
	job->options = read_options(fcinfo, first);
	check_payload(job);
	check_metadata(job->metadata);
	settings_set_limits(job);
}
