/*
 * worker.c
 *		A process that runs jobs: connected as their owner, to their database.
 *
 * It claims a batch, runs its jobs one after the other, each in a transaction
 * of its own, claims the next, and leaves when there has been nothing to do
 * for a while.  While it idles a session that enqueues can wake it.
 *
 * However the process ends, the outcome of its job is written down on the way
 * out, and the rest of the batch is set free.  If that fails, too, the
 * scheduler finds the claim (job/recovery.c).
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "base/guc.h"
#include "base/guc_job.h"
#include "base/own_transaction.h"
#include "base/role_check.h"
#include "base/timer.h"
#include "base/wait_events.h"
#include "shmem/begun_jobs.h"
#include "shmem/databases.h"
#include "shmem/scheduler_wake.h"
#include "shmem/ready_queue.h"
#include "shmem/workers.h"
#include "function/direct_call_check.h"
#include "job/batch.h"
#include "job/claim.h"
#include "job/finish.h"
#include "job/job_log.h"
#include "job/session.h"
#include "process/batch_size.h"
#include "process/job_timer.h"
#include "process/process.h"
#include "process/run_job.h"
#include "process/slot.h"

/* Waits (milliseconds): before trying to steal again, and after an error of our own */
#define STEAL_WAIT		20
#define ERROR_WAIT		1000

/* Microseconds until jobs left alone because of awaited ones are looked at */
#define LEFT_ALONE_DELAY	(500 * 1000)

/* Take up changes of the role's settings, and give memory back, at least so often */
#define MAX_LIFETIME	(30 * USECS_PER_MINUTE)

static int64 lost_job = 0;		/* it ran, and its end is not recorded */
static bool connected = false;
static int64 started_at;		/* monotonic_now() */
static bool retire = false;		/* a new worker is to take over */

static bool owner_stale = true; /* roles, rights or settings have changed */
static bool superuser_session;	/* connected as a superuser */

static bool
asked_to_leave(void)
{
	return my_worker->leave || my_database->withdrawn ||
		my_database->database != MyDatabaseId || !defer_enabled;
}

/* The timer and processes with work for us set our latch: wait all the same */
void
worker_pause(bool may_leave)
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
 * Check whether we may still run jobs of this role.  If not the scheduler
 * deals with them.
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
	may_run = role_check_state(my_worker->owner) == OWNER_OK &&
		superuser_arg(my_worker->owner) == superuser_session;
	own_transaction_end();
	return may_run;
}

/*
 * Run the batch; what we do not get to is set free when it is finalized.
 * Returns how many were ours to run.
 */
static int
run_batch(MemoryContext scratch)
{
	int			done = 0;

	job_timer_start();
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

/* How many jobs to take next, after this batch */
static int
next_batch_size(int max, int done, int64 elapsed)
{
	static BatchSizing sizing = {0};
	BatchRun	last = {batch.jobs[0].job.priority,
		synchronous_commit != SYNCHRONOUS_COMMIT_OFF, max, done, elapsed, monotonic_now()};

	return batch_size_next(&sizing, &last, BATCH_MAX);
}

/* ------------------------------------------------------------------------
 * Coming and going
 * ------------------------------------------------------------------------ */

/* Who has sent SIGTERM: the postmaster, when the server is stopped */
static volatile pid_t terminated_by = 0;
static struct sigaction next_sigterm;	/* what does the rest: die() */

static void
handle_sigterm(int signo, siginfo_t * info, void *context)
{
	terminated_by = info->si_pid;
	if (next_sigterm.sa_flags & SA_SIGINFO)
		next_sigterm.sa_sigaction(signo, info, context);
	else
		next_sigterm.sa_handler(signo);
}

/* The server's own handler does not tell who has sent the signal: ours goes before it */
static void
watch_sigterm(void)
{
	struct sigaction action;

	if (sigaction(SIGTERM, NULL, &next_sigterm) != 0)
		elog(FATAL, "could not read a signal handler: %m");
	action = next_sigterm;
	action.sa_flags |= SA_SIGINFO;
	action.sa_sigaction = handle_sigterm;
	if (sigaction(SIGTERM, &action, NULL) != 0)
		elog(FATAL, "could not set a signal handler: %m");
}

/*
 * Before the process exits, while there still is a database connection.  Errors
 * cannot be caught here: they lead on to worker_detach(), which finds the batch
 * unfinalized.
 */
static void
worker_before_exit(int code, Datum arg)
{
	TimestampTz since;
	BatchJob   *job = run_job_abandon(&since);

	job_timer_shut_down();
	/* one that we stop to make way uses no attempt */
	lost_job = job != NULL && !asked_to_leave() ? job->job.id : 0;
	worker_set_state(WORKER_LEAVING);
	ready_queue_scan_abandon(MyDatabaseId);
	batch_steal_abandon();
	AbortOutOfAnyTransaction();
	/* nothing interrupts a wait for a standby: do not begin one */
	synchronous_commit = Min(synchronous_commit, SYNCHRONOUS_COMMIT_LOCAL_FLUSH);
	MemoryContextSwitchTo(TopMemoryContext);
	if (my_database->database != MyDatabaseId || (job == NULL && !batch_unfinalized()))
		return;
	if (!PostmasterIsAlive() && begun_job_leave())
		return;

	/*
	 * A session may have locked what we write: then the scheduler finds the
	 * claim.  proc_exit() holds interrupts; without that lock_timeout, which
	 * each transaction of our own sets, could not end a wait, and nothing
	 * else could end this process.
	 */
	InterruptHoldoffCount = 0;
	if (!own_transaction_extension_exists() || own_transaction_would_wait())
		return;
	if (job != NULL)
	{
		FailureKind kind = my_worker->cancel_job != 0 ? FAILURE_CANCELLED :
			job_timer_expired() ? FAILURE_TIMED_OUT :
			asked_to_leave() || terminated_by == PostmasterPid ? FAILURE_INTERRUPTED :
			FAILURE_CRASHED;

		finish_failure(job, since, kind, NULL);
		if (job->state == JOB_SETTLED)
			lost_job = 0;
	}
	batch_finalize();
	pgstat_report_stat(true);
}

static void
worker_detach(int code, Datum arg)
{
	bool		unfinalized = batch_unfinalized();

	batch_release_limits();
	begun_job_clear();
	slot_detach_worker(connected, unfinalized, lost_job);
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

	if (job_timer_is_armed() || get_timeout_indicator(LOCK_TIMEOUT, false))
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
	job_timer_init();
	defer_on_syscache_change(AUTHOID, owner_changed);
	defer_on_syscache_change(DATABASEOID, owner_changed);
	/* as a setting, so that a job that changes it does not leave it empty */
	SetConfigOption("application_name", "defer worker", PGC_USERSET, PGC_S_OVERRIDE);
}

/* Wait for work.  False: there has been none since then, for so long that it is time to go */
static bool
idle(int64 since, TimestampTz look_again, bool steal_later)
{
	int64		timeout = defer_worker_idle_timeout - (monotonic_now() - since) / 1000;

	if (timeout <= 0)
		return false;
	if (look_again != DT_NOEND)
		timeout = Min(timeout, 1 + TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
																   look_again));
	if (steal_later)
		timeout = Min(timeout, STEAL_WAIT);
	pgstat_report_activity(STATE_IDLE, NULL);
	pgstat_report_stat(true);

	/* a wait since the state was set may have reset the latch */
	if (my_worker->woken || asked_to_leave())
		return true;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) timeout, defer_wait_event(DEFER_WAIT_WORKER_MAIN));
	return true;
}

/*
 * Claim jobs, or take over some.  Where as many workers of the role wait in
 * defer.await() as may, only a job that is awaited (see job/claim_awaited.c).
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
	{
		taken = batch_take_awaited(min_depth, &depth, look_again);

		/* jobs that others await may be at work for longer than expected */
		if (!taken && ready_queue_is_due(MyDatabaseId, my_worker->owner, GetCurrentTimestamp()))
			*look_again = Min(*look_again, GetCurrentTimestamp() + LEFT_ALONE_DELAY);
	}
	else if (my_worker->await_extra)
	{
		retire = true;			/* the others are enough */
		batch_finalize();
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
		own_transaction_report_error(context);
		failed = true;
	}
	PG_END_TRY();
	if (failed)
	{
		worker_reserve_end(0);
		job_timer_forget_cancel();
		if (!own_transaction_extension_exists())
			proc_exit(EXIT_DONE);
		worker_set_state(WORKER_IDLE);	/* another role may have our place */
		worker_set_blocked(true);
		database_wake_scheduler(MyDatabaseId);	/* or jobs that are due later */
		worker_pause(true);
		*look_again = 0;		/* the pause may have swallowed a wake-up */
	}
	else
		worker_set_blocked(false);
	return took;
}

/*
 * We have jobs, and are not idle any more.  A session that has enqueued as we took them counts
 * on us all the same: jobs that we have not seen are for another worker.  So are those that
 * we were to look for at that time, if it is not DT_NOEND.
 */
static void
begin_work(TimestampTz look_again)
{
	if (look_again != DT_NOEND)
		database_wake_scheduler(MyDatabaseId);
	if (my_worker->state != WORKER_BUSY && worker_set_state(WORKER_BUSY) &&
		ready_queue_is_due(MyDatabaseId, my_worker->owner, GetCurrentTimestamp()))
		database_wake_scheduler(MyDatabaseId);
}

static void
main_loop(MemoryContext scratch)
{
	int64		idle_since = 0;
	TimestampTz promised = DT_NOEND;	/* to look again then */
	int			max = 1;

	for (;;)
	{
		TimestampTz look_again;
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
			worker_set_state(WORKER_IDLE);	/* before the look for jobs */
		look_again = promised != DT_NOEND && promised > GetCurrentTimestamp() ? promised : DT_NOEND;
		if (take_batch(max, &look_again, &steal_later))
		{
			int64		began = monotonic_now();
			int			done;

			begin_work(look_again);
			promised = DT_NOEND;
			idle_since = 0;
			done = run_batch(scratch);
			max = next_batch_size(max, done, monotonic_now() - began);
			continue;
		}
		job_timer_stop();
		promised = look_again;
		if (idle_since == 0)
			idle_since = monotonic_now();
		else if (!idle(idle_since, look_again, steal_later) && slot_stop_idling())
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
	pqsignal(SIGQUIT, begun_job_handle_sigquit);
	watch_sigterm();
	BackgroundWorkerUnblockSignals();

	/* before there is a connection, and detached after it is gone */
	if (!slot_attach_worker(index, process_generation()))
		proc_exit(EXIT_DONE);
	on_shmem_exit(worker_detach, (Datum) 0);
	begun_jobs_attach(index);
	BackgroundWorkerInitializeConnectionByOid(my_worker->database, my_worker->owner, 0);
	before_shmem_exit(worker_before_exit, (Datum) 0);
	started_at = monotonic_now();
	set_up_session();
	connected = true;			/* and counts as idle until the first claim */

	scratch = AllocSetContextCreate(TopMemoryContext, "defer job", ALLOCSET_DEFAULT_SIZES);
	main_loop(scratch);
	if (!my_worker->blocked)
		batch_finalize();		/* else worker_before_exit() does, once */
	proc_exit(EXIT_DONE);
}
