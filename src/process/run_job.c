/*
 * run_job.c
 *		One job: its transaction, and the record of its failure.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "pure/retry_policy.h"
#include "base/callbacks.h"
#include "base/citus.h"
#include "base/guc.h"
#include "base/guc_job.h"
#include "base/role_check.h"
#include "base/timer.h"
#include "base/wait_events.h"
#include "shmem/begun_jobs.h"
#include "shmem/limits.h"
#include "shmem/workers.h"
#include "function/direct_call_check.h"
#include "config/limits_load.h"
#include "config/job_policy.h"
#include "config/settings_cache.h"
#include "config/settings_changes.h"
#include "job/batch.h"
#include "job/finish.h"
#include "job/current_job.h"
#include "job/distributed.h"
#include "job/execute.h"
#include "job/job_log.h"
#include "job/session.h"
#include "process/job_timer.h"
#include "process/process.h"
#include "process/run_job.h"
#include "steps/steps.h"

/* How much of a function's name is in pg_stat_activity (bytes) */
#define FUNCTION_SHOWN_MAX	200

/* A failure is recorded without what the job has said after so many tries */
#define RECORD_TRIES	3

static BatchJob *running = NULL;
static TimestampTz running_since;

/* It may be tried once: that it was is to be known after any crash */
static bool running_once;

static void
report_activity(const Job *job)
{
	static char text[256] = "defer job ";
	char	   *end = text + strlen("defer job ");
	int			length = VARSIZE_ANY_EXHDR(job->function);

	/* once a job: by hand, as it costs a tenth of snprintf() */
	end += pg_lltoa(job->id, end);
	*end++ = ':';
	*end++ = ' ';
	if (length > FUNCTION_SHOWN_MAX)
		length = pg_mbcliplen(VARDATA_ANY(job->function), length, FUNCTION_SHOWN_MAX);
	memcpy(end, VARDATA_ANY(job->function), length);
	end[length] = '\0';
	debug_query_string = text;
	pgstat_report_activity(STATE_RUNNING, text);
}

/*
 * Check whether the settings of functions, queues or groups have changed since the
 * batch was taken, and the job may not begin: it is under other limits now than
 * those that the batch has places under, or one of them was lowered or paused.
 */
static bool
limits_have_changed(const Job *job)
{
	JobLimits	limits;
	LimitScopes needs;

	if (batch.settings == settings_generation())
		return false;
	settings_limits(text_to_cstring(job->function), text_to_cstring(job->queue), &limits);
	(void) settings_scopes_of_job(&limits, job->group_key, 0, &needs);
	return !limit_scopes_cover(&job->scopes, &needs) ||
		limits_are_exceeded(MyDatabaseId, &needs);
}

/* Tokens come at most RATE_WAIT ahead: that need not be interrupted */
static void
sleep_until(int64 at)
{
	int64		wait;

	while ((wait = at - monotonic_now()) > 0)
	{
		pgstat_report_wait_start(defer_wait_event(DEFER_WAIT_TOKEN));
		pg_usleep((long) wait);
		pgstat_report_wait_end();
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Get a job what its rates ask for, and wait until it may begin; outside of a transaction.
 * False: it may not begin now.  *started_at is set to when it counts as begun; 0: it has
 * no rate.
 */
static bool
wait_for_token(const BatchJob *job, int index, TimestampTz *started_at)
{
	Token		token = {0};
	TokenOutcome outcome;

	*started_at = 0;

	/* the settings may have changed since the claim: then all are asked */
	if (!batch.rated[job->group] && batch.settings == settings_generation())
		return true;
	outcome = batch_take_token(index, &job->job.scopes, &token);
	batch_places_released(token.waited);
	if (outcome != TOKEN_TAKEN)
		return outcome == TOKEN_NOT_NEEDED;
	*started_at = token.started_at;
	if (token.nused > 0 && !limits_write_used(token.used, token.nused))
		return false;
	sleep_until(token.at);
	return true;
}

static FailureKind
failure_kind(const ErrorData *error)
{
	if (my_worker->cancel_job != 0)
		return FAILURE_CANCELLED;
	if (job_timer_expired() && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		return FAILURE_TIMED_OUT;
	return FAILURE_ERROR;
}

/* Check for an error that may pass, such as a lock or a full disk */
static bool
may_pass(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
	}
	return false;
}

/*
 * Write down how the attempt ended, however long that takes (a full disk).  If
 * the text of the job cannot be written, because of a constraint that a user
 * has added or for its size, it is left out.
 */
static void
write_failure(BatchJob *job, FailureKind kind, const ErrorData *error)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool written = false;
	volatile int refused = 0;
	const ErrorData *volatile recorded = error;

	while (!written)
	{
		if (refused == RECORD_TRIES)
		{
			job_log_end();
			recorded = finish_substitute_error(error);
		}
		PG_TRY();
		{
			finish_failure(job, running_since, kind, recorded);
			written = true;
		}
		PG_CATCH();
		{
			if (!may_pass(geterrcode()))
				refused++;
			own_transaction_report_error(context);
		}
		PG_END_TRY();
		worker_set_blocked(!written);
		if (!written)
			worker_pause(false);
	}
}

/* For messages of a job in the server's log: which job it is */
#define CONTEXT_PREFIX	"defer job "

static void
job_context(void *arg)
{
	const Job  *job = arg;

	errcontext(CONTEXT_PREFIX INT64_FORMAT ", function %.*s", job->id,
			   (int) VARSIZE_ANY_EXHDR(job->function), VARDATA_ANY(job->function));
}

static void
push_context(ErrorContextCallback *callback, const Job *job)
{
	callback->callback = job_context;
	callback->arg = unconstify(Job *, job);
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

static void
pop_context(ErrorContextCallback *callback)
{
	error_context_stack = callback->previous;
}

/* The error goes into defer.attempt, with the job's id: cut our line, the last */
static void
cut_context(ErrorData *error)
{
	char	   *line;

	if (error->context == NULL)
		return;
	line = strrchr(error->context, '\n');
	if (strncmp(line != NULL ? line + 1 : error->context, CONTEXT_PREFIX,
				strlen(CONTEXT_PREFIX)) != 0)
		return;
	if (line != NULL)
		*line = '\0';
	else
		error->context = NULL;
}

/*
 * Store that the job begins.  Where that has to be known also if the machine is lost,
 * or cannot be stored, the claim says so.
 */
static void
store_begin(const Job *job, const JobPolicy *policy)
{
	running_once = policy->max_attempts <= 1;
	if (!begun_job_store(job, running_since))
		batch_flush_claim();
	else if (running_once)
		batch_effects_persist();
}

/* The end of the job is written, and may not be flushed yet */
static void
store_end(void)
{
	if (running_once)
		XLogFlush(XactLastCommitEnd);
	running_once = false;
	begun_job_clear();
}

/* The job's own transaction; false: it was not ours to run any more */
static bool
run_in_transaction(BatchJob *job, int index, TimestampTz started_at)
{
	MemoryContext context = CurrentMemoryContext;
	BatchJobState state;
	JobPolicy	policy;
	Jsonb	   *result;
	ErrorContextCallback callback;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	if (limits_have_changed(&job->job))
		batch_leave_job(index);
	running_since = started_at != 0 ? started_at : GetCurrentTimestamp();
	if (!batch_start_job(index, running_since))
	{
		CommitTransactionCommand();
		return false;
	}
	running = job;
	report_activity(&job->job);
	job_policy(&job->job, &policy);
	store_begin(&job->job, &policy);
	current_job.job = &job->job;
	job_log_begin();
	if (citus_loaded)
		distributed_set_job(job->job.id);
	session_before_job();
	job_timer_arm(&policy);
	push_context(&callback, &job->job);
	result = steps_end(execute_job(&job->job));
	session_after_job();
	pop_context(&callback);
	MemoryContextSwitchTo(context);
	state = finish_success(job, running_since, result);
	distributed_commit();
	job->state = state;
	running = NULL;
	return true;
}

bool
run_job(BatchJob *job, int index, MemoryContext scratch)
{
	volatile bool ran = true;
	volatile bool succeeded = false;
	TimestampTz started_at;

	MemoryContextReset(scratch);
	MemoryContextSwitchTo(scratch);
	batch_before_job(index);
	if (!wait_for_token(job, index, &started_at))
	{
		batch_leave_job(index);
		return false;
	}
	MemoryContextSwitchTo(scratch);
	PG_TRY();
	{
		ran = run_in_transaction(job, index, started_at);
		succeeded = true;
		job_timer_disarm();
		session_between_jobs();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		job_timer_suspend();
		MemoryContextSwitchTo(scratch);
		error = CopyErrorData();
		FlushErrorState();
		cut_context(error);
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(scratch);
		job_timer_disarm();
		session_between_jobs();
		MemoryContextSwitchTo(scratch);
		if (running != NULL)
		{
			if (steps_waits())
				job->state = JOB_SETTLED;
			else
				write_failure(job, failure_kind(error), error);
			running = NULL;
		}
		else
			ThrowErrorData(error);
	}
	PG_END_TRY();
	store_end();
	job_log_end();
	steps_forget();
	memset(&current_job, 0, sizeof(current_job));
	if (citus_loaded)
		distributed_set_job(0);
	batch_end_job(succeeded);
	debug_query_string = NULL;
	return ran;
}

BatchJob *
run_job_abandon(TimestampTz *since)
{
	BatchJob   *job = running;

	running = NULL;
	*since = running_since;
	return job;
}
