/*
 * tasks.c
 *		The work of a scheduler, as a table of tasks.
 *
 * A task is performed when it is due, says when it is due again, and takes no
 * longer than a moment: the rest it does in its next turn.  One that fails is
 * reported and performed again after a while.  It never stops the others; if
 * it fails again and again defer.health says so.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "shmem/ready_queue.h"
#include "shmem/shmem.h"
#include "table/day_partition.h"
#include "table/event_table.h"
#include "table/key_hold.h"
#include "table/ready_search.h"
#include "table/rollup.h"
#include "config/function_identity.h"
#include "config/limits_load.h"
#include "config/settings_cache.h"
#include "job/behind.h"
#include "job/dependents_task.h"
#include "job/fan_out_task.h"
#include "job/lease.h"
#include "job/recovery.h"
#include "alert/alert.h"
#include "bulk/bulk.h"
#include "schedule/backfill.h"
#include "lifecycle/lifecycle.h"
#include "process/process.h"
#include "process/tasks.h"
#include "workflow/workflow.h"

/* A task that failed is performed again after so long (microseconds) */
#define FAILURE_DELAY	(5 * USECS_PER_SEC)

/* Rows are locked by a session: look again */
#define RETRY_DELAY		USECS_PER_SEC

/* Keys that are over are removed so many at once, with such a pause (microseconds) */
#define PURGE_ROWS		10000
#define PURGE_DELAY		(100 * 1000)

int64		tasks_clock_set_back = 0;

/* An error that the task has met and has gone on after; NULL: none */
static ErrorData *met = NULL;

static TimestampTz
task_load(TimestampTz now)
{
	scheduler_check_database();
	ready_queues_open(MyDatabaseId);
	own_transaction_begin();
	activate_note_node();
	schedule_load_set();
	workflow_prepare_init();
	dependents_load();
	reserved_load_all();
	ready_search_all(now, settings_set_queue_scopes);
	own_transaction_end();
	/* a restore may have brought jobs since: then they were not to be found */
	scheduler_check_database();
	return DT_NOEND;
}

static TimestampTz
task_search(TimestampTz now)
{
	return ready_search(now, settings_set_queue_scopes);
}

static TimestampTz
task_limits(TimestampTz now)
{
	return limits_load() ? DT_NOEND : now;
}

static TimestampTz
task_recover(TimestampTz now)
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
task_leases(TimestampTz now)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database->claims_left = false;
	LWLockRelease(shared->workers_lock);
	return leases_end(now);
}

static TimestampTz
task_partitions(TimestampTz now)
{
	TimestampTz again = partitions_maintain(now, &met);

	own_transaction_begin();
	function_identity_maintain(now);
	schedule_load_set();
	if (key_hold_purge(now, PURGE_ROWS))
		again = Min(again, now + PURGE_DELAY);
	bulk_clean_up();
	limits_purge_used();
	if (event_purge(PURGE_ROWS))
		again = Min(again, now + PURGE_DELAY);
	if (own_transaction_end_if_active())
		return again;
	scheduler_check_database();
	return now;
}

static TimestampTz
task_schedules(TimestampTz now)
{
	if (!defer_enabled)
		return DT_NOEND;
	return schedule_run_due(now, true);
}

static TimestampTz
task_results(TimestampTz now)
{
	bool		all;

	own_transaction_begin();
	all = schedule_count_all_results();
	own_transaction_end();
	return all ? DT_NOEND : now + RETRY_DELAY;
}

static TimestampTz
task_release(TimestampTz now)
{
	bool		all;

	own_transaction_begin();
	all = schedule_release_held();
	own_transaction_end();
	return all ? DT_NOEND : now + RETRY_DELAY;
}

/*
 * Look at the jobs that are named, and at a part of all that wait, if that is
 * wanted: at first, after an error, if a row was locked, or if more were named
 * than are remembered.  The other tasks have their turn between the parts.
 */
static TimestampTz
task_behind(TimestampTz now)
{
	static bool wanted = true;	/* to look at all */
	static bool looking = false;	/* under way, behind this: */
	static int64 after = 0;
	int64		ahead[BEHIND_MAX];
	bool		complete = true;
	int			n;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	n = my_database->nbehind;
	memcpy(ahead, my_database->behind, sizeof(ahead));
	my_database->nbehind = 0;
	LWLockRelease(shared->workers_lock);

	if (n > BEHIND_MAX)
		wanted = true;
	else if (n > 0)
	{
		bool		before = wanted;

		wanted = true;			/* if there is an error */
		own_transaction_begin();
		complete = behind_look(ahead, n);
		own_transaction_end();
		wanted = before || !complete;
	}
	if (wanted && !looking && complete)
	{
		wanted = false;
		looking = true;
		after = 0;
	}
	if (looking)
	{
		bool		last;

		own_transaction_begin();
		complete = behind_look_all(&after, &last);
		own_transaction_end();
		wanted = wanted || !complete;
		looking = !last;
	}
	return looking ? now : wanted ? now + RETRY_DELAY : DT_NOEND;
}

static TimestampTz
task_backfill(TimestampTz now)
{
	if (!defer_enabled)
		return DT_NOEND;
	return backfill_continue(now);
}

static TimestampTz
task_alerts(TimestampTz now)
{
	if (!defer_enabled)
		return DT_NOEND;
	return alerts_maintain(now);
}

/*
 * Move jobs back with the clock.  Jobs that were due by the old one, or are
 * retried, would wait until the new one has caught up.  They are as far off as
 * they were instead.  Jobs that are wanted at a time stay there.  A session
 * that has a row locked writes it itself: it does not hold up the others.
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
							  " WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT j.id FROM defer.job j"
							  " WHERE j.claim IS NULL AND j.run_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()"
							  " AND j.run_at OPERATOR(pg_catalog.<) 'infinity' AND (j.attempt OPERATOR(pg_catalog.>) 0"
							  " OR j.run_at OPERATOR(pg_catalog.<=) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $1))"
							  " FOR UPDATE SKIP LOCKED))",
							  1, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not move the times of jobs");
	SPI_finish();
	own_sql_end(&own);
	own_transaction_end();
}

static TimestampTz
task_clock(TimestampTz now)
{
	if (tasks_clock_set_back == 0)
		return DT_NOEND;
	move_jobs_back(tasks_clock_set_back);
	tasks_clock_set_back = 0;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database->rescan = true;
	LWLockRelease(shared->workers_lock);
	SetLatch(MyLatch);
	return DT_NOEND;
}

static TimestampTz
task_fan_out(TimestampTz now)
{
	/* before the snapshot: what comes later says so again */
	(void) pg_atomic_exchange_u32(&my_database->fan_out, 0);
	return fan_out_maintain(now);
}

static TimestampTz
task_rollup(TimestampTz now)
{
	pg_atomic_write_u32(&my_database->rollup, 0);
	return rollup_maintain(now, &my_database->rollup_many);
}

typedef struct Task
{
	const char *name;			/* in messages and defer.health */
	TimestampTz (*perform) (TimestampTz now);	/* returns when to do it again */
} Task;

static const Task tasks[TASK_N] = {
	[TASK_CLOCK] = {"follow the clock", task_clock},
	[TASK_LOAD] = {"load ready queues", task_load},
	[TASK_SEARCH] = {"search for ready queues", task_search},
	[TASK_LIMITS] = {"load limits", task_limits},
	[TASK_RECOVER] = {"finalize claims of processes that have exited", task_recover},
	[TASK_LEASES] = {"end leases of tasks", task_leases},
	[TASK_PARTITIONS] = {"maintain partitions", task_partitions},
	[TASK_RESULTS] = {"count failed runs of schedules", task_results},
	[TASK_SCHEDULES] = {"fire schedules", task_schedules},
	[TASK_RELEASE] = {"release held runs of schedules", task_release},
	[TASK_BEHIND] = {"release jobs that wait for the end of another", task_behind},
	[TASK_BACKFILL] = {"enqueue runs of backfills", task_backfill},
	[TASK_FAN_OUT] = {"add up counts of batches", task_fan_out},
	[TASK_DEPENDENTS] = {"treat jobs that come after others", dependents_maintain},
	[TASK_POOL] = {"start workers", pool_maintain},
	[TASK_ALERTS] = {"send alerts", task_alerts},
	[TASK_ROLLUP] = {"add up counts of finished jobs", task_rollup},
};

const char *
task_name(TaskName name)
{
	return tasks[name].name;
}

/* For defer.health: how the task has ended; NULL: well */
static void
record_outcome(TaskName name, const ErrorData *error)
{
	TaskFailure *failure = &my_database->task_failures[name];

	if (error == NULL && failure->times == 0)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (error == NULL)
		failure->times = 0;
	else
	{
		if (failure->times++ == 0)
			failure->since = GetCurrentTimestamp();
		strlcpy(failure->message, error->message,
				pg_mbcliplen(error->message, strlen(error->message),
							 sizeof(failure->message) - 1) + 1);
	}
	LWLockRelease(shared->workers_lock);
}

TimestampTz
task_perform(TaskName name, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;
	volatile TimestampTz due;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		met = NULL;
		due = tasks[name].perform(now);
		record_outcome(name, met);
		if (met != NULL)
			FreeErrorData(met);
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
		record_outcome(name, error);
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("scheduler task \"%s\" failed in database \"%s\": %s",
						tasks[name].name, scheduler_database_name(), error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 errhint("The task is repeated in a few seconds.")));
		FreeErrorData(error);
		due = now + FAILURE_DELAY;
		/* the extension may have been dropped */
		scheduler_check_database();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return due;
}
