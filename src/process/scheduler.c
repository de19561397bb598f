/*
 * scheduler.c
 *		The process that a database with the extension has: it enqueues what its
 *		schedules say, starts workers for jobs that are ready, and cleans up.
 *
 * It sleeps until the next thing is due or a process wakes it: commits that
 * enqueued more than idle workers take up, that changed a schedule, that ended
 * a run which others wait for; workers that end or need help.
 *
 * Its work is a table of tasks (tasks.c).  This file decides when each is due.
 * All of shared memory's knowledge of this database can be rebuilt from its
 * tables, which is what the first turn does.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/own_transaction.h"
#include "base/timer.h"
#include "base/wait_events.h"
#include "shmem/databases.h"
#include "shmem/ready_queue.h"
#include "shmem/shmem.h"
#include "table/rollup.h"
#include "lifecycle/lifecycle.h"
#include "process/process.h"
#include "process/slot.h"
#include "process/tasks.h"
#include "schedule/backfill.h"

/* Something lies in the future: look at the clock at least so often, it may be set */
#define CLOCK_CHECK		(10 * USECS_PER_SEC)

/* It was set, if it is further behind the monotonic one than before by so much */
#define CLOCK_SET_BACK	USECS_PER_SEC

/* Events for alerts are collected for so long before they are looked at */
#define ALERT_DELAY		(100 * 1000)

/* Ends that many others meet come in swarms: looked at no more often than this */
#define DEPENDENTS_DELAY	(5 * 1000)
#define FAN_OUT_DELAY		(5 * 1000)

/* Rows of claims whose jobs have ended are deleted together, after this */
#define CLAIMS_DELAY	(1000 * 1000)

/*
 * All tables are read for each COMMIT PREPARED, of which Citus has many: in a part of the
 * time only, 1 / (1 + LOAD_PAUSE), but at least each second
 */
#define LOAD_PAUSE		10
#define LOAD_PAUSE_MAX	USECS_PER_SEC

static TimestampTz due[TASK_N]; /* when each task is; DT_NOEND: when told */
static TimestampTz next_dependents = 0; /* TASK_DEPENDENTS, when told */
static TimestampTz next_fan_out = 0;	/* TASK_FAN_OUT, likewise */
static int64 next_load = 0;		/* TASK_LOAD, when told; of the monotonic
								 * clock */

/* ------------------------------------------------------------------------
 * The database
 * ------------------------------------------------------------------------ */

static void
leave(int code)
{
	proc_exit(code);
}

/* The name of this database; a change of it withdraws us first */
static char database_name[NAMEDATALEN];

const char *
scheduler_database_name(void)
{
	return database_name;
}

/*
 * Check whether there is anything for us to do in this database.  If not, it
 * is as if it had never had the extension, until a user creates or activates
 * it.
 */
void
scheduler_check_database(void)
{
	bool		serve;

	own_transaction_begin();
	serve = catalog_installed();
	if (serve && shared->restored)
	{
		restore_detect_mark_database();
		CommandCounterIncrement();
	}
	serve = serve && catalog_is_active() && !catalog_database_is_template(MyDatabaseId);
	strlcpy(database_name, get_database_name(MyDatabaseId), NAMEDATALEN);
	own_transaction_end();
	if (serve)
	{
		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		/* it may be waiting for us, to probe the next database */
		if (!my_database->checked && shared->launcher.latch != NULL)
			SetLatch(shared->launcher.latch);
		my_database->checked = true;
		LWLockRelease(shared->workers_lock);
		return;
	}
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database->wanted = false;
	LWLockRelease(shared->workers_lock);
	leave(EXIT_DONE);
}

/* ------------------------------------------------------------------------
 * The process
 * ------------------------------------------------------------------------ */

static void
scheduler_detach(int code, Datum arg)
{
	ready_queue_scan_abandon(my_database->database);
	slot_detach_scheduler();
}

/* Check whether all tables may be read again; if not, they are when the pause is over */
static bool
may_load(TimestampTz now)
{
	const int64 pause = next_load - monotonic_now();

	if (pause > 0)
		due[TASK_LOAD] = Min(due[TASK_LOAD], now + pause);
	return pause <= 0;
}

/* What others want of us */
static void
take_requests(TimestampTz now)
{
	bool		withdrawn;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	withdrawn = my_database->withdrawn;
	my_database->called = false;
	if (my_database->rescan && may_load(now))
	{
		due[TASK_FAN_OUT] = now;
		due[TASK_LOAD] = due[TASK_SCHEDULES] = due[TASK_RELEASE] = due[TASK_BACKFILL] = now;
		backfill_expected = true;
		my_database->nbehind = BEHIND_MAX + 1;
		my_database->rescan = false;
	}
	if (my_database->release)
	{
		due[TASK_RELEASE] = due[TASK_BACKFILL] = now;
		my_database->release = false;
	}
	if (my_database->results)
	{
		due[TASK_RESULTS] = due[TASK_BACKFILL] = now;
		backfill_expected = true;
		my_database->results = false;
	}
	if (my_database->nbehind > 0)
		due[TASK_BEHIND] = now;
	if (my_database->alert)
	{
		/* they come in swarms: not for each of them */
		due[TASK_ALERTS] = Min(due[TASK_ALERTS], now + ALERT_DELAY);
		my_database->alert = false;
	}
	if (pg_atomic_read_u32(&my_database->rollup) >= my_database->rollup_many)
		due[TASK_ROLLUP] = now;
	else if (pg_atomic_read_u32(&my_database->rollup) > 0)
		due[TASK_ROLLUP] = Min(due[TASK_ROLLUP], now + ROLLUP_DELAY);
	if (my_database->dependents_all || my_database->dependents_ntold > 0)
		due[TASK_DEPENDENTS] = Min(due[TASK_DEPENDENTS], Max(now, next_dependents));
	if (pg_atomic_read_u32(&my_database->fan_out) > 0)
		due[TASK_FAN_OUT] = Min(due[TASK_FAN_OUT], Max(now, next_fan_out));
	if (my_database->orphans)
	{
		due[TASK_RECOVER] = now;
		my_database->orphans = false;
	}
	if (my_database->next_lease < due[TASK_LEASES])
		due[TASK_LEASES] = my_database->next_lease;
	my_database->next_lease = DT_NOEND;
	if (my_database->next_work <= now)
		my_database->next_work = DT_NOEND;	/* it is what the pools look for */
	if (my_database->claims_left)
		due[TASK_LEASES] = Min(due[TASK_LEASES], now + CLAIMS_DELAY);
	if (my_database->next_schedule < due[TASK_SCHEDULES])
		due[TASK_SCHEDULES] = my_database->next_schedule;
	my_database->next_schedule = DT_NOEND;
	my_database->next_wake = DT_NOEND;	/* while we are awake, any time is
										 * news */
	LWLockRelease(shared->workers_lock);
	if (withdrawn)
		leave(EXIT_DONE);

	/*
	 * the process that wakes us may have work for workers, and the first
	 * history
	 */
	due[TASK_SEARCH] = due[TASK_LIMITS] = due[TASK_POOL] = now;
	if (due[TASK_PARTITIONS] == DT_NOEND)
		due[TASK_PARTITIONS] = now;
}

/* Each time that we wake up: all that is due is due by the old clock */
static void
check_clock(TimestampTz now)
{
	static int64 ahead = PG_INT64_MIN;	/* of the monotonic one */
	int64		ahead_now = now - monotonic_now();

	if (ahead != PG_INT64_MIN && ahead - ahead_now > CLOCK_SET_BACK)
	{
		tasks_clock_set_back += ahead - ahead_now;
		ereport(LOG,
				(errmsg("the clock was set back by %.1f s", (double) (ahead - ahead_now) / USECS_PER_SEC)));
		for (int i = 0; i < TASK_N; i++)
			due[i] = now;
	}
	ahead = ahead_now;
}

static void
sleep_until_due(void)
{
	TimestampTz next = DT_NOEND;
	TimestampTz now;
	long		timeout = -1;
	bool		called;

	for (int i = 0; i < TASK_N; i++)
		next = Min(next, due[i]);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	next = Min(next, my_database->next_work);
	my_database->next_wake = next;
	called = my_database->called;
	LWLockRelease(shared->workers_lock);
	if (next != DT_NOEND)
	{
		now = GetCurrentTimestamp();
		timeout = TimestampDifferenceMilliseconds(now, Min(next, now + CLOCK_CHECK));
		if (next > now)
			timeout++;			/* it rounds down */
	}

	/* a task that waited, for a lock, has reset the latch */
	if (called || ConfigReloadPending)
		return;
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout >= 0 ? WL_TIMEOUT : 0),
					 timeout, defer_wait_event(DEFER_WAIT_SCHEDULER_MAIN));
}

static void
reload_settings(TimestampTz now)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	due[TASK_SCHEDULES] = due[TASK_BACKFILL] = due[TASK_PARTITIONS] = due[TASK_ALERTS] = now;
}

void
defer_scheduler_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);
	MemoryContext turn;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* before there is a connection, and detached after it is gone */
	if (!slot_attach_scheduler(database))
		proc_exit(EXIT_DONE);
	on_shmem_exit(scheduler_detach, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pgstat_report_appname("defer scheduler");

	own_transaction_settings();
	scheduler_check_database();

	turn = AllocSetContextCreate(TopMemoryContext, "defer scheduler", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < TASK_N; i++)
		due[i] = GetCurrentTimestamp();
	for (;;)
	{
		TimestampTz now;
		int64		began;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(turn);
		MemoryContextSwitchTo(turn);
		now = GetCurrentTimestamp();
		reload_settings(now);
		check_clock(now);
		take_requests(now);
		for (int i = 0; i < TASK_N; i++)
		{
			if (due[i] > now)
				continue;
			began = monotonic_now();
			due[i] = task_perform(i, now);
			if (i == TASK_LOAD)
				next_load = began + Min((monotonic_now() - began) * (LOAD_PAUSE + 1),
										LOAD_PAUSE_MAX);
			if (i == TASK_DEPENDENTS)
				next_dependents = now + DEPENDENTS_DELAY;
			if (i == TASK_FAN_OUT)
				next_fan_out = now + FAN_OUT_DELAY;
		}
		pgstat_report_stat(false);
		pgstat_report_activity(STATE_IDLE, NULL);
		sleep_until_due();
	}
}
