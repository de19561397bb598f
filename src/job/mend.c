/*
 * mend.c
 *		Mending failures: running a job again, as a copy (defer.rerun) or itself
 *		(defer.retry), and saying that it need not be (defer.acknowledge).
 *
 * A job and all of its reruns are a line.  A session that wants another run of it locks
 * the row of the line in defer.rerun_line first, and looks whether the job that was made
 * or taken on again last is unfinished or has succeeded: then there is nothing to do.
 * So a command that is given twice, by two sessions at the same time for one, runs a
 * job once.
 *
 * defer.retry() takes a job that has failed back from the history, in one
 * transaction: its row there is deleted, and one with the same id inserted into
 * defer.job.  So in each snapshot it has failed or is unfinished, and after a crash
 * the same.  What the job has kept while it had ended, it has again:
 *
 *	its key				if no other job has it now; else it is left
 *	its batch			the end is taken out of the counts of the batch
 *	jobs that are held	they wait for its next end (job/dependents.c); those that were
 *						cancelled or have run stay as they are
 *	its steps			those that are done; one that waited begins anew
 *	its run of a schedule
 *	its attempts		are in defer.attempts; it has all of max_attempts again
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/job_kind.h"
#include "base/job_state.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "shmem/preload.h"
#include "function/function.h"
#include "table/dependency_table.h"
#include "table/failure_table.h"
#include "table/fan_out_count.h"
#include "table/history_table.h"
#include "config/job_caps.h"
#include "table/job_insert.h"
#include "table/job_row.h"
#include "table/rerun_line.h"
#include "table/step_table.h"
#include "config/queue_access.h"
#include "config/setting_values.h"
#include "config/settings_cache.h"
#include "config/task.h"
#include "job/after.h"
#include "job/control.h"
#include "job/current_job.h"
#include "job/dependents.h"
#include "job/elsewhere.h"
#include "job/finish.h"

PG_FUNCTION_INFO_V1(defer_retry);
PG_FUNCTION_INFO_V1(defer_acknowledge);

/* Longest note, in bytes */
#define NOTE_MAX	1000

/* ------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------ */

/* The job's owner could enqueue it today, too */
static void
check_can_run(const Job *job)
{
	char	   *function = text_to_cstring(job->function);
	char	   *queue_name = text_to_cstring(job->queue);
	char	   *owner = GetUserNameFromId(job->owner, true);

	if (job->kind == JOB_WORKFLOW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("job " INT64_FORMAT " is a workflow", job->id),
				 errhint("Use defer.retry_workflow().")));
	inputs_check_prepared(job);
	if (owner == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", job->owner),
				 errdetail("It was the owner of job " INT64_FORMAT ".", job->id),
				 errhint("Use defer.enqueue() as the role that is to run the job.")));
	if ((job->kind == JOB_COMMAND) != (strcmp(function, COMMAND_FUNCTION) == 0) ||
		kind_is_delivery(job->kind) != name_is_delivery(function) ||
		(job->kind == JOB_TASK) != name_is_task(function))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("job " INT64_FORMAT " cannot be run again: its kind and function do not belong together",
						job->id),
				 errdetail("Its kind is \"%c\", and its function %s.", job->kind, function)));
	if (job->kind == JOB_FUNCTION || job->kind == JOB_PROCEDURE)
	{
		FunctionEntry *entry = function_by_signature(function);

		if (entry == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("function %s does not exist", function),
					 errhint("The job's function has been dropped or renamed, or its parameters have changed: use defer.enqueue() with the function that there is now.")));
		if (!function_owner_accepted(entry->owner, job->function_owner, job->owner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("function %s has another owner than when the job was enqueued", function),
					 errdetail("It belongs to role \"%s\".", GetUserNameFromId(entry->owner, false)),
					 errhint("If the owner of the job trusts that role, use defer.enqueue().")));
		if (!compat_may_execute(entry->oid, job->owner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for function %s", function),
					 errdetail("The job's owner, role \"%s\", may not execute it.", owner)));
	}
	if (job->kind == JOB_TASK &&
		!function_owner_accepted(task_check_usable(function, job->owner)->owner,
								 job->function_owner, job->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("task \"%s\" has another owner than when the job was enqueued", function),
				 errhint("If the owner of the job trusts that role, use defer.enqueue().")));

	(void) queue_check_usable(queue_name, job->owner);
}

/* Check the same, without an error if it cannot */
static bool
can_run(const Job *job)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool can = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		check_can_run(job);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != ERRCODE_UNDEFINED_OBJECT &&
			error->sqlerrcode != ERRCODE_UNDEFINED_FUNCTION &&
			error->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE &&
			error->sqlerrcode != ERRCODE_WRONG_OBJECT_TYPE &&
			error->sqlerrcode != ERRCODE_DATA_CORRUPTED)
			ReThrowError(error);
		FreeErrorData(error);
		can = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return can;
}

/*
 * Lock the line of a job.  Returns the job that makes another run superfluous: it is
 * unfinished, or has succeeded since.  0: there is none.
 */
static int64
lock_line(const Job *job, RerunLine *line)
{
	JobLook		look;

	rerun_line_lock(rerun_line_of(job), job->owner, line);
	if (line->last_id == job->id && !line->retried)
		return 0;
	job_look(line->last_id, &look);
	return look.found && (look.state == PARENT_NOT_ENDED || look.state == STATE_SUCCEEDED) ?
		line->last_id : 0;
}

static void
report_superfluous(int64 id, int64 other)
{
	if (id == other)
		ereport(NOTICE,
				(errmsg("job " INT64_FORMAT " was taken on again already", id),
				 errhint("With force => true it is run again all the same.")));
	else
		ereport(NOTICE,
				(errmsg("job " INT64_FORMAT " was run again already, as job " INT64_FORMAT,
						id, other),
				 errhint("With force => true it is run again all the same.")));
}

/* ------------------------------------------------------------------------
 * A copy
 * ------------------------------------------------------------------------ */

/* A run that a user wants now: it has no key, schedule or discard_at, and waits for no job */
static int64
insert_copy(const Job *old)
{
	Job			job = {0};

	job.owner = old->owner;
	job.priority = old->priority;
	job.run_at = GetCurrentTimestamp();
	job.kind = old->kind;
	job.parent_id = current_job.job != NULL ? current_job.job->id : 0;
	job.scheduled_for = NO_TIME;
	job.discard_at = NO_TIME;
	job.rerun_of = rerun_line_of(old);
	job.function = old->function;
	job.function_owner = old->function_owner;
	job.queue = old->queue;
	job.args = old->args;
	job.metadata = old->metadata;
	job.group_key = old->group_key;
	job.options = old->options;
	settings_set_limits(&job);
	job.exceeds_caps = true;
	(void) job_caps_insert(&job);
	after_copy(old->id, job.id, job.owner);
	return job.id;
}

ControlResult
job_rerun(int64 id, bool must, bool force, int64 *new_id)
{
	Job			old;
	RerunLine	line;
	bool		finished;

	if (!job_find(id, &old, &finished))
		return CONTROL_NOT_THERE;
	if (must)
		check_can_run(&old);
	else if (!can_run(&old))
		return CONTROL_LEFT;
	*new_id = lock_line(&old, &line);
	if (*new_id != 0 && !force)
	{
		if (must)
			report_superfluous(id, *new_id);
		return CONTROL_LEFT;
	}
	warn_if_not_preloaded();
	*new_id = insert_copy(&old);
	line.last_id = *new_id;
	line.retried = false;
	rerun_line_write(rerun_line_of(&old), &line);
	return CONTROL_DONE;
}

/* ------------------------------------------------------------------------
 * The job itself
 * ------------------------------------------------------------------------ */

/* Find an unfinished run of the same time of a schedule, such as one of a backfill; 0: none */
static int64
find_same_run(const Job *job)
{
	Oid			types[] = {INT8OID, TIMESTAMPTZOID};
	Datum		values[] = {Int64GetDatum(job->schedule_id),
		TimestampTzGetDatum(job->scheduled_for)};
	OwnSql		own;
	bool		isnull;
	int64		id = 0;

	if (job->schedule_id == 0 || job->scheduled_for == NO_TIME)
		return 0;
	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("SELECT j.id FROM defer.job j WHERE j.schedule_id OPERATOR(pg_catalog.=) $1"
					" AND j.scheduled_for OPERATOR(pg_catalog.=) $2",
					lengthof(types), types, values, NULL, SPI_OK_SELECT) > 0)
		id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	own_sql_end(&own);
	return id;
}

/* Insert the row; false: another job has its key, or is that run, *other */
static bool
insert_again(Job *job, int64 *other)
{
	KeyHolder	holder;
	JobCaps		caps;

	job->exceeds_caps = true;
	*other = find_same_run(job);
	if (*other != 0)
		return false;
	if (job->key == NULL)
	{
		(void) job_caps_insert(job);
		return true;
	}
	job_caps_find(&caps, job);
	if (job_insert_key(job, &holder))
	{
		job_caps_count(&caps, job);
		return true;
	}
	*other = holder.id;
	return false;
}

static ControlResult
report_twin(const Job *job, int64 other, bool must)
{
	if (must)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 job->key != NULL ?
				 errmsg("job " INT64_FORMAT " cannot be taken on again: job " INT64_FORMAT " has its key",
						job->id, other) :
				 errmsg("job " INT64_FORMAT " cannot be taken on again: job " INT64_FORMAT " is the same run of its schedule",
						job->id, other),
				 errhint("Wait until that one has ended, or use defer.rerun(), whose job has no key and no schedule.")));
	return CONTROL_LEFT;
}

/* Check whether jobs that a step has enqueued are still to be cancelled, as the job has failed */
static bool
has_own_jobs(const Job *job)
{
	Dependency *rows;

	return kind_has_own(job->kind) && dependency_own(job->id, PG_INT32_MIN, 1, &rows) > 0;
}

/* Let the step that has failed begin anew, if it waited for something */
static void
forget_wait(const Job *job)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(job->id);
	OwnSql		own;

	if (job->kind != JOB_PROCEDURE || !step_any(job->id))
		return;
	(void) dependents_wait_end(job->id);
	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run("DELETE FROM defer.step s WHERE s.job_id OPERATOR(pg_catalog.=) $1"
					   " AND s.finished_at IS NULL", 1, &type, &value, NULL, SPI_OK_DELETE);
	SPI_finish();
	own_sql_end(&own);
}

static ControlResult
report_own(int64 id, bool must)
{
	if (must)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("job " INT64_FORMAT " cannot be taken on again yet", id),
				 errdetail("Jobs that one of its steps has enqueued are being cancelled."),
				 errhint("Try again when they have ended.")));
	return CONTROL_LEFT;
}

/* Take a failed job from the history, whose line is locked by us */
static ControlResult
take_on(const HistoryRow *row, RerunLine *line, bool must)
{
	Job			job = row->job;
	int64		other = 0;

	job.run_at = GetCurrentTimestamp();
	job.discard_at = NO_TIME;
	job.sqlstate = job.error = NULL;
	job.waits = WAITS_NOTHING;
	job.not_before = NO_TIME;
	finish_pass(&job, row->started_at, row->finished_at);
	settings_set_limits(&job);
	if (has_own_jobs(&job))
		return report_own(job.id, must);
	if (!insert_again(&job, &other))
		return report_twin(&job, other, must);
	if (!history_delete(row))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("job " INT64_FORMAT " was changed by another session", job.id)));
	fan_out_reopened(&job, row->state);
	forget_wait(&job);
	line->last_id = job.id;
	line->retried = true;
	rerun_line_write(rerun_line_of(&job), line);
	return CONTROL_DONE;
}

ControlResult
job_retry(int64 id, bool must, bool force)
{
	Job			job;
	HistoryRow	row;
	RerunLine	line;
	int64		other;
	bool		finished;

	if (!job_find(id, &job, &finished))
		return CONTROL_NOT_THERE;
	other = lock_line(&job, &line);
	if (other != 0 && (other == id || !force))
	{
		if (must)
			report_superfluous(id, other);
		return CONTROL_LEFT;
	}

	/* as of now: it may have been taken on before we had the line */
	if (!history_read(id, &row) || row.state != STATE_FAILED)
	{
		if (must)
			ereport(NOTICE,
					(errmsg("job " INT64_FORMAT " has not failed", id),
					 errhint("defer.rerun() runs a job again that has ended otherwise.")));
		return CONTROL_LEFT;
	}
	if (must)
		check_can_run(&row.job);
	else if (!can_run(&row.job))
		return CONTROL_LEFT;
	warn_if_not_preloaded();
	return take_on(&row, &line, must);
}

/* defer.retry(id, force) */
Datum
defer_retry(PG_FUNCTION_ARGS)
{
	int64		id;
	bool		force;

	PreventCommandIfReadOnly("defer.retry()");
	require_argument(fcinfo, 0, "id");
	id = PG_GETARG_INT64(0);
	force = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	if (job_is_elsewhere(id))
		return elsewhere_forced("retry", id, force);
	return control_answer(id, job_retry(id, true, force));
}

/* ------------------------------------------------------------------------
 * Acknowledging
 * ------------------------------------------------------------------------ */

void
job_check_note(const char *note)
{
	if (note != NULL && strlen(note) > NOTE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("\"note\" must have at most %d bytes", NOTE_MAX)));
}

ControlResult
job_acknowledge(int64 id, const char *note)
{
	Job			job;
	bool		finished;

	if (!job_find(id, &job, &finished))
		return CONTROL_NOT_THERE;
	return failure_close(rerun_line_of(&job), FAILURE_ACKNOWLEDGED, note) > 0 ? CONTROL_DONE :
		CONTROL_LEFT;
}

/* defer.acknowledge(id, note) */
Datum
defer_acknowledge(PG_FUNCTION_ARGS)
{
	char	   *note;
	int64		id;

	PreventCommandIfReadOnly("defer.acknowledge()");
	require_argument(fcinfo, 0, "id");
	id = PG_GETARG_INT64(0);
	note = args_text(fcinfo, 1);
	job_check_note(note);
	if (job_is_elsewhere(id))
		return elsewhere_with_text("acknowledge", id, "note", note);
	return control_answer(id, job_acknowledge(id, note));
}
