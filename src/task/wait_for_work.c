/*
 * wait_for_work.c
 *		defer.wait_for_work(): wait until there may be jobs of tasks to take.
 *
 * It commits first, and so waits without a snapshot; its transaction, which has
 * nothing in it, has no start time in pg_stat_activity.  This session stands in shared
 * memory (shmem/work_waiters.h) and sleeps on its latch: nothing is polled.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/catalog.h"
#include "base/client.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/timer.h"
#include "base/wait_events.h"
#include "shmem/scheduler_wake.h"
#include "shmem/work_waiters.h"
#include "task/task_call.h"

PG_FUNCTION_INFO_V1(defer_wait_for_work);

/* Longest sleep, in milliseconds, of WaitLatch */
#define SLEEP_MAX		(60 * 60 * 1000)

/* Of tasks that cannot wake us: look so often, in milliseconds */
#define LOOK_INTERVAL	1000

/* Return so long before the server's time limits, at most a tenth of them (microseconds) */
#define LIMIT_MARGIN	USECS_PER_SEC

/* ------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------ */

/* Refuse what could not commit, and so would hold a snapshot */
static void
check_can_commit(FunctionCallInfo fcinfo)
{
	if (IsSubTransaction() || fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot wait for work in a transaction block"),
				 errdetail("It commits, so that it holds no snapshot while it waits."),
				 errhint("CALL it by itself, in autocommit mode: not behind BEGIN, in a function, or in a block with EXCEPTION.")));
}

static void
check_served(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot wait for work during recovery"),
				 errhint("Connect to the primary server.")));
	if (!catalog_is_active())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait for work: no jobs run in this database"),
				 errdetail("It is a restored or copied database."),
				 errhint("Call defer.activate() to let its jobs run.")));
}

/* ------------------------------------------------------------------------
 * Waiting
 * ------------------------------------------------------------------------ */

/* Check for jobs that could be taken; of queues that are left alone the scheduler tells later */
static bool
work_is_due(const ReadyTasks *tasks)
{
	const TimestampTz now = GetCurrentTimestamp();
	TimestampTz next_check = DT_NOEND;
	bool		due = defer_enabled &&
		ready_queue_task_is_due(MyDatabaseId, tasks, now, &next_check);

	if (next_check != DT_NOEND)
		database_check_work(MyDatabaseId, Max(next_check - now, 0));
	return due;
}

/* Do what a session does between two statements; returns whether settings were read */
static bool
serve_session(void)
{
	const bool	reload = ConfigReloadPending;

	CHECK_FOR_INTERRUPTS();
	if (reload)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
	return reload;
}

/*
 * Sleep up to so many microseconds, 0: as long as nothing comes.  A client that has gone
 * ends the session: nobody would take what it is woken for.
 */
static void
sleep_on_latch(int64 time, bool look)
{
	int			wanted = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
	long		timeout = Min((time + 999) / 1000, look ? LOOK_INTERVAL : SLEEP_MAX);
	int			events;

	if (client_socket() == PGINVALID_SOCKET || !WaitEventSetCanReportClosed())
		events = WaitLatch(MyLatch, wanted, timeout, defer_wait_event(DEFER_WAIT_WORK));
	else
		events = WaitLatchOrSocket(MyLatch, wanted | WL_SOCKET_CLOSED, client_socket(), timeout,
								   defer_wait_event(DEFER_WAIT_WORK));
	ResetLatch(MyLatch);
	if ((events & WL_SOCKET_CLOSED) != 0)
	{
		ClientConnectionLost = true;
		InterruptPending = true;
	}
}

/* Wait up to that time of the monotonic clock; returns whether there is work */
static bool
wait_until(const ReadyTasks *tasks, const char *worker, int64 end)
{
	const bool	look = tasks->nfunctions > WORK_TASKS_MAX;

	for (;;)
	{
		bool		again = look;	/* after the sleep */

		/* in the lists before the look, so that no job is missed */
		work_waiter_enter(tasks, worker);
		if (work_is_due(tasks))
			return true;
		do
		{
			const int64 left = end - monotonic_now();

			if (left <= 0)
				return false;
			sleep_on_latch(left, look);
			again = serve_session() || again;
		} while (!again && !work_waiter_is_woken());

		/*
		 * woken, we are expected to take a job; if another session has, wait
		 * on
		 */
		if (work_is_due(tasks))
			return true;
	}
}

static bool
wait_registered(const ReadyTasks *tasks, const char *worker, int64 end)
{
	bool		work;

	PG_TRY();
	{
		work = wait_until(tasks, worker, end);
	}
	PG_CATCH();
	{
		work_waiter_abandon();	/* so does the end of the process */
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (work)
		work_waiter_leave();
	else
		work_waiter_abandon();
	return work;
}

/* ------------------------------------------------------------------------
 * Time
 * ------------------------------------------------------------------------ */

/* Lower the end to shortly before a time limit of the server, if that is on */
static void
heed_limit(TimeoutId limit, int length, int64 *end)
{
	const int64 margin = Min(LIMIT_MARGIN, (int64) length * 1000 / 10);

	if (length > 0 && get_timeout_active(limit))
		*end = Min(*end, monotonic_now() + get_timeout_finish_time(limit) -
				   GetCurrentTimestamp() - margin);
}

/* When the wait is over, on the monotonic clock; timeout: microseconds, negative: none */
static int64
end_of_wait(int64 timeout)
{
	int64		end = timeout < 0 ? PG_INT64_MAX : monotonic_now() + timeout;

	heed_limit(STATEMENT_TIMEOUT, StatementTimeout, &end);
#ifdef COMPAT_TRANSACTION_TIMEOUT
	heed_limit(TRANSACTION_TIMEOUT, TransactionTimeout, &end);
#endif
	return end;
}

static Datum
return_work(FunctionCallInfo fcinfo, bool work)
{
	Datum		value = BoolGetDatum(work);
	bool		null = false;
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), &value, &null));
}

/* defer.wait_for_work(tasks, timeout, queues, INOUT work, worker) */
Datum
defer_wait_for_work(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	int64		timeout = -1;
	ReadyTasks	tasks;
	char	   *worker;
	bool		work;

	task_check_loaded();
	check_can_commit(fcinfo);
	check_served();
	if (!PG_ARGISNULL(1))
		timeout = setting_interval("timeout", PG_GETARG_INTERVAL_P(1));

	/* the memory of SPI outlives the transaction */
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	task_read_wanted(fcinfo, 0, 2, &tasks);
	worker = task_read_worker(fcinfo, 4);
	SPI_commit();
	pgstat_report_xact_timestamp(0);
	work = wait_registered(&tasks, worker, end_of_wait(timeout));
	SPI_commit();				/* the caller's time begins now */
	SPI_finish();
	MemoryContextSwitchTo(context);
	return return_work(fcinfo, work);
}
