/*
 * row.c
 *		Rows of defer.schedule, and the jobs that they make.
 */
#include "postgres.h"

#include "access/htup.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/job_kind.h"
#include "base/job_state.h"
#include "base/jsonb_util.h"
#include "shmem/scheduled_set.h"
#include "function/direct_call_check.h"
#include "function/function.h"
#include "table/job_insert.h"
#include "table/schedule_result.h"
#include "config/queue_access.h"
#include "config/setting_values.h"
#include "config/settings_cache.h"
#include "config/task.h"
#include "job/end.h"
#include "job/when_done.h"
#include "schedule/schedule.h"
#include "workflow/workflow.h"

static char *
text_value(Datum value, bool isnull)
{
	return isnull ? NULL : TextDatumGetCString(value);
}

static Interval *
interval_value(Datum value)
{
	Interval   *copy = palloc(sizeof(Interval));

	*copy = *DatumGetIntervalP(value);
	return copy;
}

/* Columns as in SCHEDULE_COLUMNS */
static void
schedule_from_tuple(Schedule *s, HeapTuple tuple, TupleDesc desc)
{
	int			column = 0;
	bool		isnull;
	Datum		value;

#define NEXT() (value = SPI_getbinval(tuple, desc, ++column, &isnull))
#define NEXT_TIME() (NEXT(), isnull ? NO_TIME : DatumGetTimestampTz(value))
#define NEXT_COUNT() (NEXT(), isnull ? 0 : DatumGetInt32(value))
	memset(s, 0, sizeof(Schedule));
	s->id = DatumGetInt64(NEXT());
	NEXT();
	s->name = text_value(value, isnull);
	s->owner = DatumGetObjectId(NEXT());
	s->kind = DatumGetChar(NEXT());
	NEXT();
	s->function = text_value(value, isnull);
	NEXT();
	s->function_owner = isnull ? InvalidOid : DatumGetObjectId(value);
	NEXT();
	s->command = text_value(value, isnull);
	NEXT();
	s->schedule = text_value(value, isnull);
	NEXT();
	s->timezone = text_value(value, isnull);
	NEXT();
	s->overlap = text_value(value, isnull);
	NEXT();
	s->catch_up = text_value(value, isnull);
	s->catch_up_window = interval_value(NEXT());
	s->jitter = interval_value(NEXT());
	s->active = DatumGetBool(NEXT());
	s->allow_direct = DatumGetBool(NEXT());
	NEXT();
	s->queue = text_value(value, isnull);
	NEXT();
	s->has_priority = !isnull;
	s->priority = isnull ? 0 : DatumGetInt32(value);
	NEXT();
	s->group_key = text_value(value, isnull);
	s->next_tick = NEXT_TIME();
	s->next_run_at = NEXT_TIME();
	s->last_tick = NEXT_TIME();
	s->last_run_at = NEXT_TIME();
	NEXT();
	s->last_error = text_value(value, isnull);
	s->starts_at = NEXT_TIME();
	s->ends_at = NEXT_TIME();
	s->max_runs = NEXT_COUNT();
	s->pause_after_failures = NEXT_COUNT();
	s->runs = NEXT_COUNT();
	s->failures = NEXT_COUNT();
	s->paused_at = NEXT_TIME();
	NEXT();
	s->paused_by = text_value(value, isnull);
	NEXT();
	s->pause_reason = text_value(value, isnull);
	NEXT();
	s->when_done = text_value(value, isnull);
	NEXT();
	s->when_done_owner = isnull ? InvalidOid : DatumGetObjectId(value);
#undef NEXT
#undef NEXT_TIME
#undef NEXT_COUNT
}

uint64
schedule_query(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
			   Schedule **rows)
{
	MemoryContext context = CurrentMemoryContext;
	OwnSql		own;
	uint64		n;
	int			result;

	own_sql_begin(&own);
	SPI_connect();
	result = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	n = SPI_processed;
	if (rows != NULL)
	{
		MemoryContextSwitchTo(context);
		*rows = palloc(sizeof(Schedule) * Max(n, 1));
		for (uint64 i = 0; i < n; i++)
			schedule_from_tuple(&(*rows)[i], SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	}
	SPI_finish();
	own_sql_end(&own);
	return n;
}

void
schedule_write_times(const Schedule *s)
{
	Oid			types[] = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TEXTOID, BOOLOID, INT4OID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];

#define TIME(i, at) (values[i] = TimestampTzGetDatum(at), nulls[i] = (at) == NO_TIME ? 'n' : ' ')
#define TEXT(i, text) \
	(values[i] = (text) == NULL ? (Datum) 0 : CStringGetTextDatum(text), \
	 nulls[i] = (text) == NULL ? 'n' : ' ')
	values[0] = Int64GetDatum(s->id);
	nulls[0] = ' ';
	TIME(1, s->next_tick);
	TIME(2, s->next_run_at);
	TIME(3, s->last_tick);
	TIME(4, s->last_run_at);
	TEXT(5, s->last_error);
	values[6] = BoolGetDatum(s->active);
	values[7] = Int32GetDatum(s->runs);
	values[8] = Int32GetDatum(s->failures);
	nulls[6] = nulls[7] = nulls[8] = ' ';
	TIME(9, s->active ? NO_TIME : s->paused_at);
	TEXT(10, s->active ? NULL : s->paused_by);
	TEXT(11, s->active ? NULL : s->pause_reason);
#undef TIME
#undef TEXT
	schedule_query("UPDATE defer.schedule s SET next_tick = $2, next_run_at = $3, last_tick = $4,"
				   " last_run_at = $5, last_error = $6, active = $7, runs = $8, failures = $9,"
				   " paused_at = $10, paused_by = $11, pause_reason = $12"
				   " WHERE s.id OPERATOR(pg_catalog.=) $1",
				   lengthof(types), types, values, nulls, NULL);
}

/* What the function's settings and the queue's say that the schedule does not */
static void
apply_settings(const Schedule *s, Job *job, const QueueSettings **queue)
{
	const FunctionSettings *settings = function_settings(s->function);
	const char *name = s->queue != NULL ? s->queue :
		settings->queue != NULL ? settings->queue : DEFAULT_QUEUE;
	int64		discard_after;

	job->queue = cstring_to_text(name);
	*queue = queue_settings(name);
	job->priority = s->has_priority ? s->priority :
		settings->has_priority ? settings->priority :
		(*queue)->has_priority ? (*queue)->priority : 0;
	discard_after = settings->discard_after >= 0 ? settings->discard_after :
		(*queue)->discard_after;
	if (discard_after >= 0)
		job->discard_at = job->run_at + discard_after;
}

/* Check that the schedule's owner can enqueue its task now; false: why it cannot */
static bool
check_task(const Schedule *s, const char **sqlstate, char **error)
{
	const TaskSettings *task = task_lock(s->function);

	if (task == NULL)
	{
		*sqlstate = "42704";
		*error = psprintf("task \"%s\" does not exist", s->function);
		return false;
	}
	if (!function_owner_accepted(task->owner, s->function_owner, s->owner))
	{
		*sqlstate = "42501";
		*error = psprintf("task \"%s\" has another owner than when the schedule was made",
						  s->function);
		return false;
	}
	if (!task_usable_by(task, s->owner, TASK_ENQUEUE))
	{
		*sqlstate = "42501";
		*error = psprintf("permission denied for task \"%s\"", s->function);
		return false;
	}
	return true;
}

/* Have the job start the workflow of the schedule */
static void
make_workflow_run(const Schedule *s, Job *job)
{
	job->kind = JOB_PROCEDURE;
	job->function = cstring_to_text(WORKFLOW_RUN_STEP);
	job->function_owner = function_by_signature(WORKFLOW_RUN_STEP)->owner;
	job->args = workflow_run_args(s->name, s->command);
}

/* Check that its function is still there, and whose it was; false: why it cannot run */
static bool
check_function(const Schedule *s, Job *job, const char **sqlstate, char **error)
{
	FunctionEntry *entry = function_by_signature(s->function);

	if (entry == NULL)
	{
		*sqlstate = "42883";
		*error = psprintf("function %s does not exist", s->function);
		return false;
	}
	if (!function_owner_accepted(entry->owner, s->function_owner, s->owner))
	{
		*sqlstate = "42501";
		*error = psprintf("function %s has another owner than when the schedule was made",
						  s->function);
		return false;
	}
	job->kind = entry->kind;
	/* one that was dropped and made again is not in the set */
	if (!s->allow_direct)
		scheduled_set_add(MyDatabaseId, entry->oid);
	return true;
}

bool
schedule_make_job(const Schedule *s, TimestampTz at, Job *job, const char **sqlstate, char **error)
{
	const QueueSettings *queue;

	memset(job, 0, sizeof(Job));
	job->owner = s->owner;
	job->kind = s->kind;
	job->function = cstring_to_text(s->function);
	job->function_owner = s->function_owner;
	job->run_at = at;
	job->enqueued_at = GetCurrentTransactionStartTimestamp();
	job->schedule_id = s->id;
	job->group_key = s->group_key == NULL ? NULL : cstring_to_text(s->group_key);
	job->scheduled_for = NO_TIME;
	job->discard_at = NO_TIME;
	if (s->pause_after_failures > 0)
		job->options = schedule_result_option();
	if (s->kind == JOB_WORKFLOW)
		make_workflow_run(s, job);
	else if (s->kind == JOB_COMMAND)
		job->args = jsonb_object_of_text("sql", s->command);
	else if (s->kind == JOB_TASK)
	{
		if (!check_task(s, sqlstate, error))
			goto cannot_run;
	}
	else if (!check_function(s, job, sqlstate, error))
		goto cannot_run;
	apply_settings(s, job, &queue);
	if (!queue->found)
	{
		*sqlstate = "42704";
		*error = psprintf("queue \"%s\" does not exist", text_to_cstring(job->queue));
		goto cannot_run;
	}
	if (!queue_usable_by(text_to_cstring(job->queue), queue, s->owner))
	{
		*sqlstate = "42501";
		*error = psprintf("permission denied for queue \"%s\"", text_to_cstring(job->queue));
		goto cannot_run;
	}
	settings_set_limits(job);
	return true;

cannot_run:
	job->id = job_new_id();
	if (job->queue == NULL)
		job->queue = cstring_to_text(s->queue != NULL ? s->queue : DEFAULT_QUEUE);
	return false;
}

void
schedule_when_done(const Schedule *s, const Job *run)
{
	Schedule	after = *s;
	Job			job;
	const char *sqlstate;
	char	   *error;

	if (s->when_done == NULL)
		return;
	after.id = 0;				/* it is no run */
	after.kind = name_is_task(s->when_done) ? JOB_TASK : JOB_FUNCTION;
	after.function = s->when_done;
	after.function_owner = s->when_done_owner;
	after.allow_direct = true;
	after.queue = after.group_key = NULL;
	after.has_priority = false;
	after.pause_after_failures = 0;
	if (schedule_make_job(&after, GetCurrentTimestamp(), &job, &sqlstate, &error))
	{
		/* the schedule goes on whatever waits under that function */
		job.exceeds_caps = true;
		when_done_of_job(run, &job);
	}
	else
		job_end_without_row(&job, STATE_FAILED, sqlstate, error);
}
