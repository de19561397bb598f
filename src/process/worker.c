/*
 * worker.c
 *		A process that runs jobs: connected as their owner, to their database.
 *
 * It claims a batch, runs its jobs one after the other, each in a transaction
 * of its own, claims the next, and leaves when there has been nothing to do
 * for a while.  While it idles it can be woken by whoever enqueues.
 *
 * A timer ticks while jobs run.  It stops a job that is over its max_duration,
 * or was cancelled by force; and it calls the scheduler when
 * jobs wait behind a long one, so that another worker takes them over.
 *
 * However the process ends, what its job came to is written down on the way
 * out, and the rest of the batch is set free.  If that fails, too, the
 * scheduler finds the claim (job/recovery.c).
 */
#include "postgres.h"

#include "access/xact.h"
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

#include "pure/backoff.h"
#include "base/callbacks.h"
#include "base/guc.h"
#include "base/guc_job.h"
#include "base/own_transaction.h"
#include "base/role_check.h"
#include "base/timer.h"
#include "base/wait_events.h"
#include "shmem/databases.h"
#include "shmem/ready_queue.h"
#include "shmem/shmem.h"
#include "shmem/workers.h"
#include "function/direct_call_check.h"
#include "config/settings_cache.h"
#include "job/batch.h"
#include "job/current_job.h"
#include "job/execute.h"
#include "job/job_log.h"
#include "job/session.h"
#include "process/pool_policy.h"
#include "process/process.h"

/* How much of a function's name is in pg_stat_activity (bytes) */
#define FUNCTION_SHOWN_MAX	200

/* The timer (milliseconds) */
#define TICK			100

/* A job that was told to stop is told again so often, and then ended with the process */
#define STOP_AGAIN_TICKS	3
#define STOP_DIE_TICKS		8

/*
 * Jobs of a batch should take about so long in all (microseconds).  When each
 * commit is flushed a job is mostly waiting for that, and so is a claim: fewer
 * of them, then.  And more of them where there are jobs of several priorities:
 * when all workers are busy one that is urgent waits until a batch is done.
 */
#define BATCH_TIME		(10 * 1000)
#define BATCH_TIME_FLUSHED	(40 * 1000)
#define BATCH_TIME_PRIORITIES	(3 * 1000)

/* So long after the last change of priority (microseconds) */
#define PRIORITIES_REMEMBERED	(30 * INT64CONST(1000000))
#define BATCH_GROWTH	4

/* Waits (milliseconds): before trying to steal again, and after an error of our own */
#define STEAL_WAIT		20
#define ERROR_WAIT		1000

/* A failure is recorded without what the job has said after so many tries */
#define RECORD_TRIES	3

/* Take up changes of the role's settings, and give memory back, at least so often */
#define MAX_LIFETIME	(30 * USECS_PER_MINUTE)

/* How long to wait for word whether the server stops (milliseconds) */
#define SHUTDOWN_NEWS_WAIT	20

/* What runs now; for the way out */
static BatchJob *running = NULL;
static TimestampTz running_since;
static int64 lost_job = 0;		/* it ran, and how it ended could not be
								 * written down */
static bool connected = false;
static int64 started_at;		/* monotonic_now() */
static bool retire = false;		/* a new worker is to take over */

/* For the timer */
static volatile sig_atomic_t ticking = false;
static volatile uint32 job_serial = 0;	/* grows with each job; 0 in the low
										 * bit while none runs */
static uint32 tick_serial = 0;	/* as of the last tick */
static volatile int64 deadline = 0; /* microseconds of the monotonic clock; 0:
									 * none */
static volatile sig_atomic_t timed_out = false;
static int	stop_ticks = 0;		/* since the job was told to stop */

static bool owner_stale = true; /* roles, rights or settings have changed */
static bool superuser_session;	/* was the owner a superuser when we
								 * connected? */

/* ------------------------------------------------------------------------
 * The timer, and cancelling
 * ------------------------------------------------------------------------ */

/* In a signal handler: ask the job to stop */
static void
interrupt_job(void)
{
	if (stop_ticks >= STOP_DIE_TICKS)
		ProcDiePending = true;
	else
		QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

static void
worker_tick(void)
{
	bool		same_job = job_serial != 0 && job_serial == tick_serial;

	tick_serial = job_serial;
	if (!ticking)
		return;
	if (job_serial != 0)
	{
		if (deadline != 0 && monotonic_now() >= deadline)
			timed_out = true;
		if (timed_out || my_worker->cancel_job != 0)
		{
			if (stop_ticks % STOP_AGAIN_TICKS == 0 || stop_ticks >= STOP_DIE_TICKS)
				interrupt_job();
			stop_ticks++;
		}
		/* unlocked looks: at worst the scheduler is woken in vain */
		if (same_job && my_worker->nwaiting > 0 && my_database->scheduler_latch != NULL)
			SetLatch(my_database->scheduler_latch);
	}
}

static void
start_ticking(void)
{
	if (ticking)
		return;
	ticking = true;
	interval_timer_start(TICK);
}

static void
stop_ticking(void)
{
	if (!ticking)
		return;
	ticking = false;
	interval_timer_stop();
}

/* A cancel that came too late must not hit what comes next */
static void
forget_cancel(void)
{
	HOLD_INTERRUPTS();
	QueryCancelPending = false;
	RESUME_INTERRUPTS();
}

static void
arm_job(const JobPolicy *policy)
{
	static uint32 serial = 0;

	if (++serial == 0)
		serial = 1;
	timed_out = false;
	stop_ticks = 0;
	deadline = policy->max_duration > 0 ? monotonic_now() + policy->max_duration : 0;
	job_serial = serial;
	if (StatementTimeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, StatementTimeout);
}

static void
disarm_job(void)
{
	job_serial = 0;
	deadline = 0;
	disable_timeout(STATEMENT_TIMEOUT, false);
	forget_cancel();
}

/* ------------------------------------------------------------------------
 * One job
 * ------------------------------------------------------------------------ */

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
 * The settings of functions or queues have changed since the batch was taken:
 * is the job still under no other limit than the batch is?
 */
static bool
limits_key_is_stale(const Job *job)
{
	return batch.settings != settings_generation() &&
		job_limits_key(text_to_cstring(job->function), text_to_cstring(job->queue)) != batch.limits_key;
}

static bool
asked_to_leave(void)
{
	return my_worker->leave || my_database->withdrawn ||
		my_database->database != MyDatabaseId || !defer_enabled;
}

static FailureKind
failure_kind(const ErrorData *error)
{
	if (my_worker->cancel_job != 0)
		return FAILURE_CANCELLED;
	if (timed_out && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		return FAILURE_TIMED_OUT;
	return FAILURE_ERROR;
}

/* The timer and whoever has work for us set our latch: wait all the same */
static void
pause_after_error(bool may_leave)
{
	const int64 until = monotonic_now() + ERROR_WAIT * INT64CONST(1000);
	int64		wait;

	while ((wait = (until - monotonic_now()) / 1000) > 0 &&
		   !(may_leave && asked_to_leave()))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) wait, defer_wait_event(DEFER_WAIT_WORKER_MAIN));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Is it an error that may pass, such as a lock or a full disk? */
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
 * what the job has said cannot be written, because of a constraint that somebody
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
			report_own_error(context);
		}
		PG_END_TRY();
		worker_set_stuck(!written);
		if (!written)
			pause_after_error(false);
	}
}

/* The job's own transaction; false: it was not ours to run any more */
static bool
run_in_transaction(BatchJob *job, int index)
{
	MemoryContext context = CurrentMemoryContext;
	BatchJobState state;
	JobPolicy	policy;
	Jsonb	   *result;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	if (limits_key_is_stale(&job->job))
		batch_leave_job(index);
	running_since = GetCurrentTimestamp();
	if (!batch_start_job(index, running_since))
	{
		CommitTransactionCommand();
		return false;
	}
	running = job;
	report_activity(&job->job);
	job_policy(&job->job, &policy);
	current_job.job = &job->job;
	job_log_begin();
	session_before_job();
	arm_job(&policy);
	result = execute_job(&job->job);
	session_after_job();
	MemoryContextSwitchTo(context);
	state = finish_success(job, running_since, result);
	CommitTransactionCommand();
	job->state = state;
	running = NULL;
	return true;
}

static bool
run_job(BatchJob *job, int index, MemoryContext scratch)
{
	volatile bool ran = true;

	MemoryContextReset(scratch);
	MemoryContextSwitchTo(scratch);
	PG_TRY();
	{
		ran = run_in_transaction(job, index);
		disarm_job();
		session_between_jobs();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		job_serial = 0;
		deadline = 0;
		MemoryContextSwitchTo(scratch);
		error = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(scratch);
		disarm_job();
		session_between_jobs();
		MemoryContextSwitchTo(scratch);
		if (running != NULL)
		{
			write_failure(job, failure_kind(error), error);
			running = NULL;
		}
		else
			ThrowErrorData(error);
	}
	PG_END_TRY();
	job_log_end();
	memset(&current_job, 0, sizeof(current_job));
	batch_end_job();
	debug_query_string = NULL;
	return ran;
}

/* ------------------------------------------------------------------------
 * A batch
 * ------------------------------------------------------------------------ */

static void
reload_settings(void)
{
	bool		synchronous = defer_synchronous_commit;

	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	owner_stale = true;			/* defer.run_superuser_jobs */
	if (defer_synchronous_commit != synchronous)
		retire = true;			/* it is for a new worker to obey */
}

static void
owner_changed(int cache, uint32 hash)
{
	owner_stale = true;
}

/*
 * May we still run jobs of this role?  If not the scheduler deals with them.
 *
 * A session that began as a superuser's keeps some of that (up to PostgreSQL
 * 16 it may SET SESSION AUTHORIZATION), so it is not for a role that has been
 * made an ordinary one meanwhile.
 */
static bool
owner_may_run(void)
{
	static bool may_run = false;

	AcceptInvalidationMessages();
	if (!owner_stale)
		return may_run;
	owner_stale = false;
	own_transaction_begin();
	may_run = owner_state(my_worker->owner) == OWNER_OK &&
		superuser_arg(my_worker->owner) == superuser_session;
	own_transaction_end();
	return may_run;
}

/*
 * Run the batch; what we do not get to is set free when it is settled.
 * Returns how many were ours to run.
 */
static int
run_batch(MemoryContext scratch)
{
	int			done = 0;

	start_ticking();
	for (int i = 0; i < batch.njobs; i++)
	{
		CHECK_FOR_INTERRUPTS();
		reload_settings();
		if (asked_to_leave() || !owner_may_run())
			batch_leave_job(i);
		else if (run_job(&batch.jobs[i], i, scratch))
			done++;
	}
	pgstat_report_stat(false);
	return done;
}

/* How long the next batch should take, after the one that is done */
static int64
next_batch_time(void)
{
	static bool known = false;
	static int32 priority = 0;
	static int64 changed_at = 0;	/* never */
	const int64 now = monotonic_now();

	if (known && batch.jobs[0].job.priority != priority)
		changed_at = now;
	known = true;
	priority = batch.jobs[0].job.priority;
	if (changed_at != 0 && now - changed_at < PRIORITIES_REMEMBERED)
		return BATCH_TIME_PRIORITIES;
	return synchronous_commit == SYNCHRONOUS_COMMIT_OFF ? BATCH_TIME : BATCH_TIME_FLUSHED;
}

/* How many jobs to take next: as many as fit into that time, by what they took so far */
static int
next_batch_size(int last_max, int done, int64 elapsed)
{
	static double average = 0;
	double		time = next_batch_time();
	double		each = (double) elapsed / Max(done, 1);
	double		size;

	average = average == 0 ? each : 0.5 * average + 0.5 * each;
	size = average > 0 ? time / average : BATCH_MAX;
	size = Min(size, (double) last_max * BATCH_GROWTH);
	return (int) Max(1, Min(size, BATCH_MAX));
}

/* ------------------------------------------------------------------------
 * Coming and going
 * ------------------------------------------------------------------------ */

/* Is the server being stopped?  The launcher may hear of it a moment after us */
static bool
server_is_stopping(void)
{
	for (int i = 0; i < SHUTDOWN_NEWS_WAIT && !shared->shutting_down; i++)
		pg_usleep(1000);
	return shared->shutting_down;
}

/*
 * On the way out, while there still is a database connection.  Errors cannot
 * be caught here: they lead on to worker_detach(), which finds the batch
 * unsettled.
 */
static void
worker_wind_up(int code, Datum arg)
{
	BatchJob   *job = running;

	ticking = false;
	job_serial = 0;
	running = NULL;
	/* one that we stop to make way uses no attempt */
	lost_job = job != NULL && !asked_to_leave() ? job->job.id : 0;
	worker_set_state(WORKER_LEAVING);
	ready_queue_scan_abandon(MyDatabaseId);
	batch_steal_abandon();
	AbortOutOfAnyTransaction();

	/* nothing can interrupt us any more: do not wait for a standby */
	synchronous_commit = Min(synchronous_commit, SYNCHRONOUS_COMMIT_LOCAL_FLUSH);
	MemoryContextSwitchTo(TopMemoryContext);
	if (my_database->database != MyDatabaseId || (job == NULL && !batch_unsettled()))
		return;

	/* nor for whoever has locked our tables: the scheduler finds the claim */
	if (!extension_is_there() || own_transaction_would_wait())
		return;
	if (job != NULL)
	{
		FailureKind kind = my_worker->cancel_job != 0 ? FAILURE_CANCELLED :
			timed_out ? FAILURE_TIMED_OUT :
			asked_to_leave() || server_is_stopping() ? FAILURE_INTERRUPTED : FAILURE_CRASHED;

		finish_failure(job, running_since, kind, NULL);
		lost_job = 0;
	}
	batch_settle();
	pgstat_report_stat(true);
}

static void
worker_detach(int code, Datum arg)
{
	bool		unsettled = batch_unsettled();

	batch_release_limits();
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	LWLockAcquire(my_worker->lock, LW_EXCLUSIVE);
	my_worker->claim_id = my_worker->previous_claim_id = 0;
	my_worker->current_job = my_worker->cancel_job = 0;
	my_worker->nentries = my_worker->nwaiting = 0;
	LWLockRelease(my_worker->lock);
	my_worker->pid = 0;
	my_worker->latch = NULL;
	my_worker->awaiting = my_worker->await_counts = my_worker->await_reserved = false;
	my_worker->await_depth = 0;
	my_worker->awaited_at = 0;
	my_worker->await_job = 0;
	my_worker->leave = my_worker->stuck = false;
	my_worker->suspect = 0;

	/* one that could not connect is looked at by the scheduler */
	my_worker->state = connected ? WORKER_FREE : WORKER_STARTING;
	if (my_database != NULL && my_database->database == my_worker->database)
	{
		if (unsettled)
			my_database->orphans = true;
		if (lost_job != 0 && my_database->nlost < LOST_MAX)
			my_database->lost[my_database->nlost] = lost_job;
		if (lost_job != 0 && my_database->nlost <= LOST_MAX)
			my_database->nlost++;	/* one more than there is room for: any
									 * may be one */
		wake_scheduler_locked(my_database);
	}
	LWLockRelease(shared->workers_lock);
}

/* Take the slot that the scheduler has prepared; false: it thinks we never came */
static bool
worker_attach(int index, uint32 generation)
{
	WorkerSlot *slot = &worker_slots[index];
	bool		ours = false;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (slot->state == WORKER_STARTING && slot->generation == generation && slot->pid == 0)
	{
		my_database = database_slot(slot->database, false);
		if (my_database != NULL && !my_database->withdrawn)
		{
			ours = true;
			slot->pid = MyProcPid;
			slot->latch = MyLatch;
			slot->since = GetCurrentTimestamp();
			my_worker = slot;
		}
		else
			slot->state = WORKER_FREE;
	}
	LWLockRelease(shared->workers_lock);
	return ours;
}

/* Nobody may count on us any more; false: somebody just did */
static bool
stop_idling(void)
{
	bool		woken;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	woken = my_worker->woken;
	if (!woken)
		my_worker->state = WORKER_LEAVING;
	LWLockRelease(shared->workers_lock);
	return !woken;
}

/* ------------------------------------------------------------------------
 * The process
 * ------------------------------------------------------------------------ */

/*
 * pg_cancel_backend(), which is not for anything but a job.  lock_timeout is,
 * and sends the same signal.
 */
static void
handle_sigint(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (job_serial != 0 || get_timeout_indicator(LOCK_TIMEOUT, false))
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
set_up_session(void)
{
	if (!defer_synchronous_commit)
		SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_OVERRIDE);

	/*
	 * jobs run as their owner, also where ALTER ROLE ... SET role says
	 * otherwise
	 */
	SetConfigOption("role", "none", PGC_USERSET, PGC_S_OVERRIDE);
	superuser_session = strcmp(GetConfigOption("is_superuser", false, false), "on") == 0;
	direct_call_in_worker = true;
	job_log_init();
	interval_timer_init(worker_tick);
	defer_on_syscache_change(AUTHOID, owner_changed);
	defer_on_syscache_change(DATABASEOID, owner_changed);
	/* as a setting, so that a job that changes it does not leave it empty */
	SetConfigOption("application_name", "defer worker", PGC_USERSET, PGC_S_OVERRIDE);
}

/*
 * Wait for work.  False: there has been none, since that time, for so long that it is time to go.
 */
static bool
idle(int64 since, TimestampTz look_again, bool steal_later)
{
	int64		timeout = defer_worker_idle_timeout - (monotonic_now() - since) / 1000;

	if (timeout <= 0)
		return false;
	if (look_again != DT_NOEND)
		timeout = Min(timeout, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), look_again) + 1);
	if (steal_later)
		timeout = Min(timeout, STEAL_WAIT);
	pgstat_report_activity(STATE_IDLE, NULL);
	pgstat_report_stat(true);

	/*
	 * whatever we have waited for since the state was set may have reset the
	 * latch
	 */
	if (my_worker->woken || asked_to_leave())
		return true;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) timeout, defer_wait_event(DEFER_WAIT_WORKER_MAIN));
	return true;
}

/*
 * Claim jobs, or take over some.  Where as many workers of the role wait in
 * defer.await() as may, only a job that is awaited (see job/awaited.c).
 */
static bool
claim_or_steal(int max, TimestampTz *look_again, bool *steal_later)
{
	AwaitCounts counts;
	int			min_depth;
	int			depth = 0;
	bool		taken;

	worker_reserve_begin(&counts);
	min_depth = pool_min_depth(&counts);
	if (min_depth > 0)
		taken = batch_take_awaited(min_depth, &depth, look_again);
	else if (my_worker->await_extra)
	{
		retire = true;			/* the others are enough */
		batch_settle();
		taken = false;
	}
	else
		taken = batch_claim(max, look_again) || batch_steal(steal_later);
	worker_reserve_end(taken ? depth : 0);
	return taken;
}

/* Get something to do; errors here are our own, and waited out */
static bool
take_batch(int max, TimestampTz *look_again, bool *steal_later)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool took = false;
	volatile bool failed = false;

	*steal_later = false;
	PG_TRY();
	{
		took = claim_or_steal(max, look_again, steal_later);
	}
	PG_CATCH();
	{
		report_own_error(context);
		failed = true;
	}
	PG_END_TRY();
	if (failed)
	{
		worker_reserve_end(0);
		forget_cancel();
		if (!extension_is_there())
			proc_exit(EXIT_DONE);
		worker_set_state(WORKER_IDLE);	/* whoever wants our place may have it */
		worker_set_stuck(true);
		pause_after_error(true);
		*look_again = 0;		/* the pause may have swallowed a wake-up */
	}
	else
		worker_set_stuck(false);
	return took;
}

/*
 * We have jobs, and are not idle any more.  Whoever has enqueued as we took them
 * counts on us all the same: what we have not seen is for another worker.
 */
static void
begin_work(void)
{
	if (my_worker->state != WORKER_BUSY && worker_set_state(WORKER_BUSY) &&
		ready_queue_is_due(MyDatabaseId, my_worker->owner, GetCurrentTimestamp()))
		wake_scheduler(MyDatabaseId);
}

static void
main_loop(MemoryContext scratch)
{
	int64		idle_since = 0;
	int			max = 1;

	for (;;)
	{
		TimestampTz look_again = DT_NOEND;
		bool		steal_later;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		reload_settings();
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		if (asked_to_leave() || !owner_may_run() || retire ||
			monotonic_now() - started_at > MAX_LIFETIME)
			return;
		if (idle_since != 0)
			worker_set_state(WORKER_IDLE);	/* before looking, so that no job
											 * slips by */
		if (take_batch(max, &look_again, &steal_later))
		{
			int64		began = monotonic_now();
			int			done;

			begin_work();
			idle_since = 0;
			done = run_batch(scratch);
			max = next_batch_size(max, done, monotonic_now() - began);
			continue;
		}
		stop_ticking();
		if (idle_since == 0)
			idle_since = monotonic_now();
		else if (!idle(idle_since, look_again, steal_later) && stop_idling())
			return;
	}
}

void
defer_worker_main(Datum arg)
{
	int			index = DatumGetInt32(arg);
	MemoryContext scratch;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, handle_sigint);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* before there is a connection, and detached after it is gone */
	if (!worker_attach(index, process_generation()))
		proc_exit(EXIT_DONE);
	on_shmem_exit(worker_detach, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(my_worker->database, my_worker->owner, 0);
	before_shmem_exit(worker_wind_up, (Datum) 0);
	started_at = monotonic_now();
	set_up_session();
	connected = true;			/* and counts as idle until the first claim */

	scratch = AllocSetContextCreate(TopMemoryContext, "defer job", ALLOCSET_DEFAULT_SIZES);
	main_loop(scratch);
	if (!my_worker->stuck)
		batch_settle();			/* else worker_wind_up() does, once */
	proc_exit(EXIT_DONE);
}
