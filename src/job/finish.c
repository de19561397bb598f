/*
 * finish.c
 *		Writing how a job, or an attempt at it, has ended.
 *
 * Success is part of the job's own transaction: one row in the history.  The
 * job's row stays, and is deleted with the next claim: a process that finds a
 * claimed row without a worker looks into the history first.  Where the row
 * must go at once it goes in that transaction: a job with a key, which may be
 * enqueued again from then on, the run of a schedule, for which the next
 * one may be waiting, and a job of a group with an order, of which the next is looked
 * for among the rows that are left.
 *
 * Everything else comes after the job's transaction has been rolled back, in a
 * transaction of our own, which leaves the row either free for the next
 * attempt or deleted.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/errcodes.h"
#include "base/guc_job.h"
#include "base/job_kind.h"
#include "base/job_state.h"
#include "base/own_transaction.h"
#include "base/text.h"
#include "config/job_policy.h"
#include "config/settings_cache.h"
#include "job/batch.h"
#include "job/finish.h"
#include "job/current_job.h"
#include "job/job_log.h"
#include "job/retry.h"
#include "pure/retry_policy.h"
#include "shmem/xact_notify.h"
#include "shmem/xact_notify_job.h"
#include "table/job_by_id.h"
#include "table/job_table.h"
#include "table/rollup.h"
#include "table/step_table.h"
#include "job/end.h"

/* A delivery is given up after so many crashes of the server */
#define DELIVERY_MAX_CRASHES	50

/* ------------------------------------------------------------------------
 * Success
 * ------------------------------------------------------------------------ */

/*
 * Returns the state that the job has in the batch once this has committed.
 */
BatchJobState
finish_success(BatchJob *job, TimestampTz started_at, Jsonb *result)
{
	int32		attempt = job->job.attempt + 1;
	bool		now = job->job.key != NULL || job->job.schedule_id != 0 ||
		job->job.order_scope != 0;
	bool		snapshot = now || COMPAT_INSERT_NEEDS_SNAPSHOT;
	bool		deleted = false;

	/* values stored out of line are not deleted without one */
	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());

	/* if another session has the row locked, it goes with the next claim */
	if (now)
		deleted = job_delete_left(&job->place, job->job.id, &job->job.followed_by);

	/*
	 * that session may be putting one behind this job, which is not to be
	 * seen yet
	 */
	if (!deleted && job->job.key != NULL)
		xact_notify_behind(job->job.id);
	job->started_at = started_at;
	job->finished_at = job_end_uncounted(&job->job, STATE_SUCCEEDED, attempt, started_at, result,
										 NULL, NULL);
	job_log_write(job->job.id, job->job.owner, attempt);
	if (deleted)
		rollup_add(&job->job, STATE_SUCCEEDED, job->started_at, job->finished_at);
	if (snapshot)
		PopActiveSnapshot();
	return deleted ? JOB_SETTLED : JOB_SUCCEEDED;
}

/* ------------------------------------------------------------------------
 * Steps
 * ------------------------------------------------------------------------ */

void
finish_pass(Job *job, TimestampTz started_at, TimestampTz finished_at)
{
	if (job->kind != JOB_PROCEDURE || started_at == NO_TIME ||
		(job->first_started_at == 0 && !step_any(job->id)))
		return;
	job->earlier_time = job_duration(job, started_at, finished_at);
	if (job->first_started_at == 0)
		job->first_started_at = started_at;
}

bool
finish_step(const Job *running)
{
	Job			job;

	if (running->attempt == 0 && running->conflicts == 0 && running->crashes == 0 &&
		running->waits == WAITS_NOTHING)
		return false;
	if (job_lock(running->id, false, &job) != JOB_LOCKED || job.claim != running->claim)
		return false;			/* a user has changed it by hand */
	job.attempt = 0;
	job.conflicts = job.crashes = 0;
	job.waits = WAITS_NOTHING;
	job_update(&job);
	return true;
}

void
finish_wait(const Job *running, TimestampTz started_at, char waits, TimestampTz until)
{
	Job			job;

	if (job_lock(running->id, false, &job) != JOB_LOCKED || job.claim != running->claim)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " was changed while it ran", running->id)));
	job_log_write(job.id, job.owner, job.attempt + 1);
	job.waits = waits;
	job.not_before = GetCurrentTimestamp();
	finish_pass(&job, started_at, job.not_before);
	job.discard_at = NO_TIME;	/* it has begun in time */
	job.suspect = 0;
	job.claim = 0;
	job.run_at = until;
	settings_set_limits(&job);
	job_update(&job);
	xact_notify_job(&job);
}

/* ------------------------------------------------------------------------
 * Failure
 * ------------------------------------------------------------------------ */

/* What the attempts table and the server's log say when the job raised nothing */
static ErrorData *
made_up_error(FailureKind kind, const JobPolicy *policy)
{
	ErrorData  *error = palloc0(sizeof(ErrorData));

	error->elevel = ERROR;
	switch (kind)
	{
		case FAILURE_TIMED_OUT:
			error->sqlerrcode = ERRCODE_QUERY_CANCELED;
			error->message = current_job.transaction_timeout > 0 ?
				psprintf("job was stopped after transaction_timeout of %g s",
						 current_job.transaction_timeout / 1000000.0) :
				psprintf("job was stopped after its max_duration of %g s",
						 policy->max_duration / 1000000.0);
			break;
		case FAILURE_CANCELLED:
			error->sqlerrcode = ERRCODE_QUERY_CANCELED;
			error->message = pstrdup("job was cancelled while it ran");
			break;
		case FAILURE_INTERRUPTED:
			error->sqlerrcode = ERRCODE_ADMIN_SHUTDOWN;
			error->message = pstrdup("the server, or work on the database, has stopped the job");
			break;
		default:
			error->sqlerrcode = ERRCODE_ADMIN_SHUTDOWN;
			error->message = pstrdup("the process that ran the job has ended");
			break;
	}
	return error;
}

/* The row: free for the next attempt at run_at, or gone.  started_at: of the one before */
static void
free_row(Job *job, TimestampTz started_at, TimestampTz run_at)
{
	finish_pass(job, started_at, GetCurrentTimestamp());
	job->claim = 0;
	job->run_at = run_at;
	job->waits = WAITS_NOTHING;
	settings_set_limits(job);
	job_update(job);
	xact_notify_job(job);
}

static void
end_row(Job *job, char state, TimestampTz started_at, const char *sqlstate, const char *message)
{
	job_end(job, state, job->attempt, started_at, NULL, sqlstate, message);
	job_delete(job->id);
}

/*
 * The server's log, if it wants errors of jobs: one record, whatever is in the
 * names.
 */
static void
report_failure(const Job *job, int32 attempt, const AttemptResult *result, const ErrorData *error)
{
	if (defer_log_level > ERROR || strcmp(result->outcome, "snoozed") == 0 ||
		strcmp(result->outcome, "released") == 0)
		return;
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("job " INT64_FORMAT " (%s), attempt %d %s: %s", job->id,
					text_to_cstring(job->function), attempt, result->outcome,
					error->message != NULL ? error->message : ""),
			 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
			 result->state == 0 ?
			 errhint("It is tried again at %s.", timestamptz_to_str(result->retry_at)) : 0,
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Returns an error with as much of its texts as is kept: they may be as long as
 * memory is.
 */
static ErrorData *
error_to_keep(const ErrorData *error)
{
	ErrorData  *kept = palloc0(sizeof(ErrorData));

#define KEEP(field) (kept->field = error->field != NULL ? text_valid_cut(error->field) : NULL)
	kept->elevel = error->elevel;
	kept->sqlerrcode = error->sqlerrcode;
	KEEP(message);
	KEEP(detail);
	KEEP(hint);
	KEEP(context);
#undef KEEP
	return kept;
}

/*
 * Return the error to record in place of one that cannot be recorded: it has
 * the same SQLSTATE, and no text of the job.
 */
ErrorData *
finish_substitute_error(const ErrorData *error)
{
	ErrorData  *substitute = palloc0(sizeof(ErrorData));

	substitute->elevel = ERROR;
	substitute->sqlerrcode = error->sqlerrcode;
	substitute->message = pstrdup("the error of the job could not be recorded");
	substitute->hint = pstrdup("The server's log says why.");
	return substitute;
}

void
finish_failed_row(Job *job, TimestampTz started_at, FailureKind kind, const ErrorData *error)
{
	const int32 attempt = job->attempt + 1;
	JobPolicy	policy;
	AttemptResult result;
	char	   *sqlstate;

	job_log_write(job->id, job->owner, attempt);
	job_policy(job, &policy);
	if (error == NULL || kind != FAILURE_ERROR)
		error = made_up_error(kind, &policy);
	error = error_to_keep(error);
	result = retry_classify_failure(job, &policy, kind, error);
	sqlstate = pstrdup(unpack_sql_state(error->sqlerrcode));
	job->suspect = 0;
	if (result.outcome == NULL)
	{
		/* not where it only waits */
		if (error->sqlerrcode != ERRCODE_JOB_SNOOZED)
		{
			job->sqlstate = cstring_to_text(sqlstate);
			job->error = cstring_to_text(error->message);
		}
		free_row(job, started_at, result.retry_at);
		return;
	}
	job_attempt_end(job, attempt, started_at, result.outcome, error, result.retry_at);
	if (result.counts)
		job->attempt++;
	if (strcmp(result.outcome, "conflict") == 0)
		job->conflicts++;
	if (strcmp(result.outcome, "snoozed") != 0)
	{
		job->sqlstate = cstring_to_text(sqlstate);
		job->error = cstring_to_text(error->message != NULL ? error->message : "");
	}
	report_failure(job, attempt, &result, error);
	if (result.state == 0)
	{
		job->discard_at = NO_TIME;	/* it has begun in time */
		free_row(job, started_at, result.retry_at);
	}
	else
		end_row(job, result.state, started_at, sqlstate, error->message);
}

/*
 * The attempt is over, its transaction rolled back.  Runs in a transaction of
 * its own; on an error nothing has been written, and it can be called again.
 */
void
finish_failure(BatchJob *batch_job, TimestampTz started_at, FailureKind kind,
			   const ErrorData *error)
{
	Job			job;
	JobLock		lock;

	own_transaction_begin();
	lock = job_lock(batch_job->job.id, proc_exit_inprogress, &job);
	if (lock == JOB_BUSY)
	{
		/* on the way out we do not wait: the scheduler finds the claim */
		own_transaction_end();
		return;
	}
	if (lock != JOB_LOCKED || job.claim != batch_job->job.claim)
	{
		/* a user has removed it by hand */
		own_transaction_end();
		batch_job->state = JOB_SETTLED;
		return;
	}
	if (kind == FAILURE_CRASHED)
	{
		job_log_write(job.id, job.owner, job.attempt + 1);
		finish_crashed_row(&job, started_at, true, true);
	}
	else
		finish_failed_row(&job, started_at, kind, error);
	own_transaction_end();
	batch_job->state = JOB_SETTLED;
}

void
finish_remote(Job *job, TimestampTz started_at, const DeliveryEnd *end)
{
	JobPolicy	policy;
	AttemptResult result;
	ErrorData	error = {0};
	char	   *sqlstate;

	if (end->outcome == DELIVERY_DONE)
	{
		job_end(job, STATE_SUCCEEDED, job->attempt + 1, started_at, end->result, NULL, NULL);
		job_delete(job->id);
		return;
	}

	job_policy(job, &policy);
	result = retry_classify_delivery(job, &policy, end);
	job->suspect = 0;
	if (result.outcome == NULL)
	{
		free_row(job, started_at, result.retry_at);
		return;
	}
	error.elevel = ERROR;
	error.sqlerrcode = end->sqlerrcode;
	error.message = text_valid_cut(end->message);
	error.detail = end->detail != NULL ? text_valid_cut(end->detail) : NULL;
	sqlstate = pstrdup(unpack_sql_state(end->sqlerrcode));
	job_attempt_end(job, job->attempt + 1, started_at, result.outcome, &error, result.retry_at);
	report_failure(job, job->attempt + 1, &result, &error);
	if (result.counts)
		job->attempt++;
	if (strcmp(result.outcome, "conflict") == 0)
		job->conflicts++;
	if (end->outcome != DELIVERY_RELEASED)
	{
		job->sqlstate = cstring_to_text(sqlstate);
		job->error = cstring_to_text(error.message);
	}
	if (result.state == 0)
	{
		job->discard_at = NO_TIME;	/* it has begun in time */
		free_row(job, started_at, result.retry_at);
	}
	else
	{
		job_end(job, result.state, job->attempt, started_at, end->result, sqlstate,
				error.message);
		job_delete(job->id);
	}
}

bool
finish_delivery(const Job *taken, TimestampTz started_at, const DeliveryEnd *end)
{
	Job			job;
	JobLock		lock = job_lock(taken->id, true, &job);

	if (lock != JOB_LOCKED)
		return lock == JOB_GONE;
	/* else a user has changed it by hand */
	if (job.claim == taken->claim)
		finish_remote(&job, started_at, end);
	return true;
}

/*
 * The server or the sender went while a delivery was under way.  That is not
 * its fault, so it does not use up an attempt, but it is not done for ever.
 */
void
finish_crashed_delivery(Job *job, TimestampTz started_at)
{
	ErrorData  *error = made_up_error(FAILURE_CRASHED, NULL);
	bool		last = ++job->crashes >= DELIVERY_MAX_CRASHES;
	TimestampTz now = GetCurrentTimestamp();

	job_attempt_end(job, job->attempt + 1, started_at, "crashed", error, last ? NO_TIME : now);
	job->discard_at = NO_TIME;
	if (last)
		end_row(job, STATE_FAILED, started_at, unpack_sql_state(error->sqlerrcode), error->message);
	else
		free_row(job, started_at, now);
}

/*
 * The server has crashed while the job ran, through no fault of it, and its writes are
 * gone: no attempt is used up.  The caller has locked its row and has set "suspect".
 */
void
finish_interrupted_row(Job *job, TimestampTz started_at)
{
	TimestampTz next = Max(GetCurrentTimestamp(), job->run_at);

	job_attempt_end(job, job->attempt + 1, started_at, "interrupted",
					made_up_error(FAILURE_INTERRUPTED, NULL), next);
	job->discard_at = NO_TIME;	/* it has begun in time */
	free_row(job, started_at, next);
}

/*
 * A job that may have been running when its process or the server went; the
 * caller has locked its row and has set "suspect".  "named": it is known to
 * have taken the process with it; "counts": it is known to have been running.
 */
void
finish_crashed_row(Job *job, TimestampTz started_at, bool named, bool counts)
{
	JobPolicy	policy;
	ErrorData  *error;
	TimestampTz now = GetCurrentTimestamp();
	bool		last;

	if (!counts)
	{
		free_row(job, NO_TIME, job->run_at);
		return;
	}
	job_policy(job, &policy);
	error = made_up_error(FAILURE_CRASHED, &policy);
	if (named)
		job->crashes++;
	last = job->attempt + 1 >= policy.max_attempts ||
		(named && job->crashes >= defer_max_crashes);
	job_attempt_end(job, job->attempt + 1, started_at, "crashed", error, last ? NO_TIME : now);
	job->attempt++;
	job->sqlstate = cstring_to_text(unpack_sql_state(error->sqlerrcode));
	job->error = cstring_to_text(error->message);
	if (last)
		end_row(job, STATE_FAILED, started_at, text_to_cstring(job->sqlstate), error->message);
	else
	{
		job->discard_at = NO_TIME;
		free_row(job, started_at, now);
	}
}
