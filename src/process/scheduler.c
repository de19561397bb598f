/*
 * scheduler.c
 *		The process that a database with the extension has: it enqueues what its
 *		schedules say, starts workers for jobs that are ready, and cleans up.
 *
 * It sleeps until the next thing is due or somebody wakes it: commits that
 * enqueued more than idle workers take up, that changed a schedule, that ended
 * a run which others wait for; workers that end or need help.
 *
 * What is to be done is kept as a set of chores.  One that fails, for whatever
 * reason, is reported and done again after a while: it never stops the rest.
 * All of shared memory's knowledge of this database can be rebuilt from its
 * tables, which is what the first turn does.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/wait_events.h"
#include "alert/alert.h"
#include "base/catalog.h"
#include "base/guc.h"
#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "table/day_partition.h"
#include "base/timer.h"
#include "config/function_identity.h"
#include "job/batch.h"
#include "job/recovery.h"
#include "lifecycle/lifecycle.h"
#include "process/process.h"
#include "schedule/schedule.h"
#include "table/job_table.h"
#include "table/rollup.h"
#include "shmem/databases.h"
#include "shmem/ready_queue.h"
#include "shmem/shmem.h"
#include "table/ready_search.h"
#include "config/limits_load.h"

/* A chore that failed is done again after so long (microseconds) */
#define FAILURE_DELAY	(5 * USECS_PER_SEC)

/* Something lies in the future: look at the clock at least so often, it may be set */
#define CLOCK_CHECK		(10 * USECS_PER_SEC)

/* It was set, if it is further behind the monotonic one than before by so much */
#define CLOCK_SET_BACK	USECS_PER_SEC

/* Rows of a batch are locked by somebody; there are more ready queues or limits than slots */
#define RETRY_DELAY		USECS_PER_SEC

/* Events for alerts are collected for so long before they are looked at */
#define ALERT_DELAY		(100 * 1000)

typedef enum ChoreName
{
	CHORE_CLOCK,				/* it was set back */
	CHORE_LOAD,					/* scheduled functions and ready queues from
								 * the tables */
	CHORE_SEARCH,				/* ready queues without a slot */
	CHORE_LIMITS,				/* their limits */
	CHORE_RECOVER,
	CHORE_PARTITIONS,
	CHORE_SCHEDULES,
	CHORE_RELEASE,
	CHORE_POOL,
	CHORE_ALERTS,
	CHORE_ROLLUP,
	CHORE_N
} ChoreName;

typedef struct Chore
{
	const char *what;			/* for messages */
	TimestampTz (*perform) (TimestampTz now);	/* returns when to do it again */
	TimestampTz due;			/* DT_NOEND: when told */
} Chore;

/* ------------------------------------------------------------------------
 * Chores
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
 * Is there anything for us to do in this database?  If not, it is as if it
 * had never had the extension, until somebody creates or activates it.
 */
static void
check_database(void)
{
	bool		serve;

	own_transaction_begin();
	serve = catalog_installed();
	if (serve && shared->restored)
	{
		restored_mark_database();
		CommandCounterIncrement();
	}
	serve = serve && catalog_is_active() && !database_is_template(MyDatabaseId);
	strlcpy(database_name, get_database_name(MyDatabaseId), NAMEDATALEN);
	own_transaction_end();
	if (serve)
	{
		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		/* it may be waiting for us, to probe the next database */
		if (!my_database->checked && shared->launcher_latch != NULL)
			SetLatch(shared->launcher_latch);
		my_database->checked = true;
		LWLockRelease(shared->workers_lock);
		return;
	}
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database->wanted = false;
	LWLockRelease(shared->workers_lock);
	leave(EXIT_DONE);
}

static TimestampTz
chore_load(TimestampTz now)
{
	check_database();
	ready_queues_open(MyDatabaseId);
	own_transaction_begin();
	schedule_load_set();
	ready_search_all(now);
	own_transaction_end();
	/* a restore may have brought jobs since: then they were not to be found */
	check_database();
	return DT_NOEND;
}

static TimestampTz
chore_search(TimestampTz now)
{
	return ready_search(now);
}

static TimestampTz
chore_limits(TimestampTz now)
{
	limits_load();
	return DT_NOEND;
}

static TimestampTz
chore_recover(TimestampTz now)
{
	bool		again = recover_claims(!my_database->recovered && !shared->clean_start);

	if (!again)
	{
		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		my_database->recovered = true;
		LWLockRelease(shared->workers_lock);
	}
	return again ? now + RETRY_DELAY : DT_NOEND;
}

static TimestampTz
chore_partitions(TimestampTz now)
{
	TimestampTz again = partitions_maintain(now);

	own_transaction_begin();
	function_identity_maintain(now);
	schedule_load_set();
	own_transaction_end();
	return again;
}

static TimestampTz
chore_schedules(TimestampTz now)
{
	if (!defer_enabled)
		return DT_NOEND;
	return schedule_run_due(now, true);
}

static TimestampTz
chore_release(TimestampTz now)
{
	bool		all;

	own_transaction_begin();
	all = schedule_release_held();
	own_transaction_end();
	return all ? DT_NOEND : now + RETRY_DELAY;
}

static TimestampTz
chore_pool(TimestampTz now)
{
	return pool_maintain(now);
}

static TimestampTz
chore_alerts(TimestampTz now)
{
	if (!defer_enabled)
		return DT_NOEND;
	return alerts_maintain(now);
}

/* By how much; 0: nothing to do */
static int64 clock_set_back = 0;

/*
 * The clock was set back: what was due by the old one, or is retried, would
 * wait until the new one has caught up.  It is as far off as it was instead.
 * What somebody wants to be done at a time stays there.
 */
static void
move_jobs_back(int64 by)
{
	Oid			types[] = {INTERVALOID};
	Interval   *interval = palloc0(sizeof(Interval));
	Datum		values[] = {IntervalPGetDatum(interval)};
	OwnSql		own;

	interval->time = by;
	own_transaction_begin();
	own_sql_begin(&own);
	SPI_connect();
	if (SPI_execute_with_args("UPDATE defer.job SET run_at = run_at OPERATOR(pg_catalog.-) $1"
							  " WHERE claim IS NULL AND run_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()"
							  " AND run_at OPERATOR(pg_catalog.<) 'infinity' AND (attempt OPERATOR(pg_catalog.>) 0"
							  " OR run_at OPERATOR(pg_catalog.<=) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $1))",
							  1, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not move the times of jobs");
	SPI_finish();
	own_sql_end(&own);
	own_transaction_end();
}

static TimestampTz
chore_clock(TimestampTz now)
{
	if (clock_set_back == 0)
		return DT_NOEND;
	move_jobs_back(clock_set_back);
	clock_set_back = 0;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database->rescan = true;
	LWLockRelease(shared->workers_lock);
	SetLatch(MyLatch);
	return DT_NOEND;
}

static TimestampTz
chore_rollup(TimestampTz now)
{
	pg_atomic_write_u32(&my_database->rollup, 0);
	return rollup_maintain(now, &my_database->rollup_many);
}

static Chore chores[CHORE_N] = {
	[CHORE_CLOCK] = {"follow the clock", chore_clock},
	[CHORE_LOAD] = {"read its tables", chore_load},
	[CHORE_SEARCH] = {"look for ready queues", chore_search},
	[CHORE_LIMITS] = {"read concurrency limits", chore_limits},
	[CHORE_RECOVER] = {"settle the claims of processes that are gone", chore_recover},
	[CHORE_PARTITIONS] = {"maintain its partitions", chore_partitions},
	[CHORE_SCHEDULES] = {"run its schedules", chore_schedules},
	[CHORE_RELEASE] = {"release runs of schedules", chore_release},
	[CHORE_POOL] = {"start workers", chore_pool},
	[CHORE_ALERTS] = {"send alerts", chore_alerts},
	[CHORE_ROLLUP] = {"add up the counts of finished jobs", chore_rollup},
};

static void
perform(Chore *chore, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		chore->due = chore->perform(now);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
		LWLockReleaseAll();
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("the scheduler of database \"%s\" could not %s: %s",
						database_name, chore->what, error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 errhint("It tries again in a few seconds.")));
		FreeErrorData(error);
		chore->due = now + FAILURE_DELAY;
		/* the extension may have been dropped */
		check_database();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/* ------------------------------------------------------------------------
 * The process
 * ------------------------------------------------------------------------ */

static void
scheduler_detach(int code, Datum arg)
{
	Oid			database = my_database->database;

	ready_queue_scan_abandon(database);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database->scheduler_pid = 0;
	my_database->scheduler_latch = NULL;
	my_database->starting = false;
	if (!my_database->wanted && !my_database->withdrawn)
	{
		/* before the slot is free: what a next scheduler loads must stay */
		ready_queues_forget(database);
		my_database->database = InvalidOid;
	}
	else
		my_database->rescan = true; /* what we took to do may not be done */
	if (shared->launcher_latch != NULL)
		SetLatch(shared->launcher_latch);
	LWLockRelease(shared->workers_lock);
}

/* Take the database's slot; false: we are not wanted (any more) */
static bool
scheduler_attach(Oid database)
{
	bool		wanted = false;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database = database_slot(database, false);
	if (my_database != NULL && my_database->wanted && !my_database->withdrawn &&
		my_database->scheduler_pid == 0)
	{
		wanted = true;
		my_database->starting = my_database->checked = false;
		my_database->no_slots = false;
		my_database->scheduler_pid = MyProcPid;
		my_database->scheduler_latch = MyLatch;
		my_database->scheduler_since = GetCurrentTimestamp();
	}
	LWLockRelease(shared->workers_lock);
	return wanted;
}

/* What others want of us */
static void
take_requests(TimestampTz now)
{
	bool		withdrawn;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	withdrawn = my_database->withdrawn;
	my_database->called = false;
	if (my_database->rescan)
	{
		chores[CHORE_LOAD].due = chores[CHORE_SCHEDULES].due = chores[CHORE_RELEASE].due = now;
		my_database->rescan = false;
	}
	if (my_database->release)
	{
		chores[CHORE_RELEASE].due = now;
		my_database->release = false;
	}
	if (my_database->alert)
	{
		/* they come in swarms: not for each of them */
		chores[CHORE_ALERTS].due = Min(chores[CHORE_ALERTS].due, now + ALERT_DELAY);
		my_database->alert = false;
	}
	if (pg_atomic_read_u32(&my_database->rollup) >= my_database->rollup_many)
		chores[CHORE_ROLLUP].due = now;
	else if (pg_atomic_read_u32(&my_database->rollup) > 0)
		chores[CHORE_ROLLUP].due = Min(chores[CHORE_ROLLUP].due, now + ROLLUP_DELAY);
	if (my_database->orphans)
	{
		chores[CHORE_RECOVER].due = now;
		my_database->orphans = false;
	}
	if (my_database->next_schedule < chores[CHORE_SCHEDULES].due)
		chores[CHORE_SCHEDULES].due = my_database->next_schedule;
	my_database->next_schedule = DT_NOEND;
	my_database->next_wake = DT_NOEND;	/* while we are awake, any time is
										 * news */
	LWLockRelease(shared->workers_lock);
	if (withdrawn)
		leave(EXIT_DONE);

	/* whoever wakes us may have work for workers, and the first history */
	chores[CHORE_SEARCH].due = chores[CHORE_LIMITS].due = chores[CHORE_POOL].due = now;
	if (chores[CHORE_PARTITIONS].due == DT_NOEND)
		chores[CHORE_PARTITIONS].due = now;
}

/* Each time that we wake up: all that is due is due by the old clock */
static void
check_clock(TimestampTz now)
{
	static int64 ahead = PG_INT64_MIN;	/* of the monotonic one */
	int64		ahead_now = now - monotonic_now();

	if (ahead != PG_INT64_MIN && ahead - ahead_now > CLOCK_SET_BACK)
	{
		clock_set_back += ahead - ahead_now;
		ereport(LOG,
				(errmsg("the clock was set back by %.1f s", (double) (ahead - ahead_now) / USECS_PER_SEC)));
		for (int i = 0; i < CHORE_N; i++)
			chores[i].due = now;
	}
	ahead = ahead_now;
}

static void
sleep_until_due(void)
{
	TimestampTz due = DT_NOEND;
	TimestampTz now;
	long		timeout = -1;
	bool		called;

	for (int i = 0; i < CHORE_N; i++)
		due = Min(due, chores[i].due);
	if (due != DT_NOEND)
	{
		now = GetCurrentTimestamp();
		timeout = TimestampDifferenceMilliseconds(now, Min(due, now + CLOCK_CHECK));
		if (due > now)
			timeout++;			/* it rounds down */
	}
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database->next_wake = due;
	called = my_database->called;
	LWLockRelease(shared->workers_lock);

	/* a chore that waited, for a lock or at a claim_lock, has reset the latch */
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
	chores[CHORE_SCHEDULES].due = chores[CHORE_PARTITIONS].due = chores[CHORE_ALERTS].due = now;
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
	if (!scheduler_attach(database))
		proc_exit(EXIT_DONE);
	on_shmem_exit(scheduler_detach, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pgstat_report_appname("defer scheduler");

	/*
	 * Nobody outside waits for what we commit.  A synchronous standby that is
	 * away must not keep us from starting workers: what it has not got of us
	 * is done again there, should it take over.
	 */
	SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_OVERRIDE);
	check_database();

	turn = AllocSetContextCreate(TopMemoryContext, "defer scheduler", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < CHORE_N; i++)
		chores[i].due = GetCurrentTimestamp();
	for (;;)
	{
		TimestampTz now;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(turn);
		MemoryContextSwitchTo(turn);
		now = GetCurrentTimestamp();
		reload_settings(now);
		check_clock(now);
		take_requests(now);
		for (int i = 0; i < CHORE_N; i++)
		{
			if (chores[i].due <= now)
				perform(&chores[i], now);
		}
		pgstat_report_stat(false);
		pgstat_report_activity(STATE_IDLE, NULL);
		sleep_until_due();
	}
}
