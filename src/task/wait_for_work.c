/*
 * wait_for_work.c
 *		defer.wait_for_work(): wait until there may be jobs of tasks to take.
 *
 * It commits first, and so waits without a snapshot; its transaction, which has
 * nothing in it, has no start time in pg_stat_activity.  This session stands in shared
 * memory (shmem/work_waiters.h) and sleeps on its latch: nothing is polled.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_status.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/guc.h"
#include "base/session_wait.h"
#include "base/timer.h"
#include "shmem/scheduler_wake.h"
#include "shmem/work_waiters.h"
#include "task/task_call.h"

PG_FUNCTION_INFO_V1(defer_wait_for_work);

/* Of tasks that cannot wake us: look so often (microseconds) */
#define LOOK_INTERVAL	USECS_PER_SEC

/* ------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------ */

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
			session_wait_sleep(look ? Min(left, LOOK_INTERVAL) : left, DEFER_WAIT_WORK);
			again = session_wait_serve() || again;
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

/* defer.wait_for_work(tasks, timeout, queues, INOUT work, worker) */
Datum
defer_wait_for_work(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	int64		timeout;
	ReadyTasks	tasks;
	char	   *worker;
	Datum		work;
	bool		null = false;

	task_check_loaded();
	session_wait_check(fcinfo, "work");
	check_served();
	timeout = session_wait_timeout(fcinfo, 1);

	context = session_wait_open();
	task_read_wanted(fcinfo, 0, 2, &tasks);
	worker = task_read_worker(fcinfo, 4);
	SPI_commit();
	pgstat_report_xact_timestamp(0);
	work = BoolGetDatum(wait_registered(&tasks, worker, session_wait_end(timeout)));
	return session_wait_close(fcinfo, context, &work, &null);
}
