/*
 * control.c
 *		Commands on jobs that have not ended: cancel, reschedule.
 *
 * A row of defer.job with a claim does not tell the state of its job: the job
 * may wait in a worker's batch, run, or have ended (the rows of a batch are
 * deleted later).  Shared memory and the history know.  So a claimed job is
 * first taken out of its batch, and a job is locked only if no worker runs it:
 * a lock on a running job's row would hold up its worker until our transaction
 * ends.
 *
 * A job of another role is reported exactly like one that is not there.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/job_state.h"
#include "base/roles.h"
#include "shmem/xact_notify_job.h"
#include "table/history_table.h"
#include "table/job_by_id.h"
#include "config/settings_cache.h"
#include "job/batch.h"
#include "job/behind.h"
#include "job/control.h"
#include "job/current_job.h"
#include "job/dependents.h"
#include "job/elsewhere.h"
#include "job/end.h"
#include "table/job_row.h"

PG_FUNCTION_INFO_V1(defer_cancel);
PG_FUNCTION_INFO_V1(defer_reschedule);

/* Read a job that has not been deleted, or one of the history (then *finished is true) */
static bool
read_any(int64 id, Job *job, bool *finished)
{
	HistoryRow	row;

	/*
	 * In this order: the row goes only after there is one in the history.  A
	 * second time, as defer.retry() takes it from there to the table.
	 */
	*finished = false;
	if (!job_read(id, job))
	{
		*finished = history_read(id, &row);
		if (*finished)
			*job = row.job;
		else if (!job_read(id, job))
			return false;
	}
	return true;
}

bool
job_find(int64 id, Job *job, bool *finished)
{
	return read_any(id, job, finished) && role_may_manage(job->owner);
}

Taken
job_take(int64 id, Job *job)
{
	bool		wait = false;

	if (my_worker == NULL && current_job.job != NULL && current_job.job->id == id &&
		!current_job_is_acted(id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("job " INT64_FORMAT " is run by defer.drain() in this session", id),
				 errhint("In a job use defer.give_up() or defer.snooze().")));
	for (;;)
	{
		bool		finished;

		CHECK_FOR_INTERRUPTS();
		if (!job_find(id, job, &finished))
			return TAKEN_NOT_THERE;
		if (finished)
			return TAKEN_FINISHED;
		if (job->claim != 0 && batch_job_runs(id))
			return history_exists(id) ? TAKEN_FINISHED : TAKEN_RUNNING;
		if (history_has_ended(job))
			return TAKEN_FINISHED;

		switch (job_lock_claim(id, job->claim, !wait, job))
		{
			case JOB_GONE:
				wait = false;
				continue;
			case JOB_BUSY:
				if (job->claim != 0 && batch_job_runs(id))
					return history_exists(id) ? TAKEN_FINISHED : TAKEN_RUNNING;
				wait = true;
				continue;
			case JOB_LOCKED:
				break;
		}

		/*
		 * one that a worker could not steal may have begun before we had the
		 * lock
		 */
		if (job->claim == 0)
			return TAKEN;
		if (batch_job_runs(id))
			return history_exists(id) ? TAKEN_FINISHED : TAKEN_RUNNING;
		return history_exists(id) ? TAKEN_FINISHED : TAKEN;
	}
}

static int64
job_argument(FunctionCallInfo fcinfo, const char *command)
{
	PreventCommandIfReadOnly(command);
	require_argument(fcinfo, 0, "id");
	return PG_GETARG_INT64(0);
}

/* ------------------------------------------------------------------------
 * Cancel
 * ------------------------------------------------------------------------ */

static void
finish_as_cancelled(Job *job)
{
	job->claim = 0;
	dependents_stop_waiting(job);
	job_end(job, STATE_CANCELLED, job->attempt, NO_TIME, NULL,
			job->sqlstate != NULL ? text_to_cstring(job->sqlstate) : NULL,
			job->error != NULL ? text_to_cstring(job->error) : NULL);
	job_delete(job->id);
	if (job->behind != 0)
		behind_give_back_key(job);
}

/*
 * To stop a running job is no part of our transaction: the worker is told at
 * once and records the end itself.
 */
ControlResult
job_cancel(int64 id, bool force)
{
	for (;;)
	{
		Job			job;

		switch (job_take(id, &job))
		{
			case TAKEN:
				finish_as_cancelled(&job);
				return CONTROL_DONE;
			case TAKEN_FINISHED:
				return CONTROL_LEFT;
			case TAKEN_NOT_THERE:
				return CONTROL_NOT_THERE;
			case TAKEN_RUNNING:
				if (!force)
					return CONTROL_LEFT;
				if (batch_cancel_job(id))
					return CONTROL_DONE;
				pg_usleep(1000);
				break;			/* it has just stopped: look again */
		}
	}
}

/*
 * For the scheduler: rows that are locked are not waited for, and rights have been looked at
 * where the job was enqueued.
 */
bool
job_stop(int64 id)
{
	bool		finished;
	Job			job;

	if (!read_any(id, &job, &finished) || finished)
		return true;
	if (job.claim != 0 && batch_job_runs(id))
	{
		(void) batch_cancel_job(id);
		return history_exists(id);
	}
	if (history_has_ended(&job))
		return true;
	if (job_lock_claim(id, job.claim, true, &job) != JOB_LOCKED)
		return false;
	if (job.claim != 0 && (batch_job_runs(id) || history_exists(id)))
		return history_exists(id);
	finish_as_cancelled(&job);
	return true;
}

Datum
control_answer(int64 id, ControlResult result)
{
	if (result == CONTROL_NOT_THERE)
		job_not_found(id);
	PG_RETURN_BOOL(result == CONTROL_DONE);
}

/* defer.cancel(id, force) */
Datum
defer_cancel(PG_FUNCTION_ARGS)
{
	int64		id = job_argument(fcinfo, "defer.cancel()");
	const bool	force = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);

	if (job_is_elsewhere(id))
		return elsewhere_forced("cancel", id, force);
	return control_answer(id, job_cancel(id, force));
}

/* ------------------------------------------------------------------------
 * Reschedule
 * ------------------------------------------------------------------------ */

void
job_check_run_at(TimestampTz run_at)
{
	if (TIMESTAMP_NOT_FINITE(run_at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("\"run_at\" must be finite"),
				 errhint("To hold back all jobs of a function use defer.pause().")));
}

static void
check_not_discarded(const Job *job, TimestampTz run_at)
{
	if (job->waits == WAITS_NOTHING && job->discard_at != NO_TIME && run_at >= job->discard_at)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("job " INT64_FORMAT " would be discarded before it runs", job->id),
				 errdetail("It is discarded unless it begins before %s.",
						   timestamptz_to_str(job->discard_at)),
				 errhint("Choose an earlier time, or make a new job with defer.rerun().")));
}

ControlResult
job_reschedule(int64 id, TimestampTz run_at, bool must)
{
	Job			job;
	Taken		taken = job_take(id, &job);

	if (taken != TAKEN)
		return taken == TAKEN_NOT_THERE ? CONTROL_NOT_THERE : CONTROL_LEFT;
	if (must)
		check_not_discarded(&job, run_at);
	else if (job.waits == WAITS_NOTHING && job.discard_at != NO_TIME && run_at >= job.discard_at)
		return CONTROL_LEFT;
	if (waits_for_jobs(job.waits) || job.behind != 0)
	{
		/* it waits on, and begins then or later */
		if (waits_for_jobs(job.waits) && job.discard_at != NO_TIME)
			job.discard_at += run_at - job.not_before;
		job.not_before = run_at;
	}
	else
		job.run_at = run_at;
	job.claim = 0;
	settings_set_limits(&job);
	job_update(&job);
	xact_notify_job(&job);
	return CONTROL_DONE;
}

/* defer.reschedule(id, run_at) */
Datum
defer_reschedule(PG_FUNCTION_ARGS)
{
	int64		id = job_argument(fcinfo, "defer.reschedule()");

	require_argument(fcinfo, 1, "run_at");
	job_check_run_at(PG_GETARG_TIMESTAMPTZ(1));
	if (job_is_elsewhere(id))
	{
		char		time[MAXDATELEN + 1];

		(void) JsonEncodeDateTime(time, PG_GETARG_DATUM(1), TIMESTAMPTZOID, NULL);
		return elsewhere_with_text("reschedule", id, "run_at", time);
	}
	return control_answer(id, job_reschedule(id, PG_GETARG_TIMESTAMPTZ(1), true));
}
