/*
 * xact_notify.c
 *		What a transaction has done that other processes must hear of once it
 *		commits: see xact_notify.h.
 *
 * It is kept in memory of constant size; jobs are in xact_notify_job.c.  What does
 * not fit is looked for in the tables by the scheduler.  The callback runs after
 * the commit is visible to others, when nothing may fail any more.
 *
 * What a subtransaction has added is not taken out when it is rolled back: then
 * a limit is read again, or the scheduler looks once for nothing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "shmem/databases.h"
#include "shmem/scheduler_wake.h"
#include "shmem/limits.h"
#include "shmem/scheduled_set.h"
#include "shmem/waiters.h"
#include "shmem/workers.h"
#include "shmem/xact_notify.h"
#include "shmem/xact_notify_job.h"

#define MAX_LIMITS	16
#define MAX_FINALS	32
#define MAX_SCHEDULED	16
#define MAX_ORDERS	16

typedef struct GroupOfLimit
{
	char		kind;
	int32		id;
	int64		group;
} GroupOfLimit;

static struct
{
	bool		any;
	int			nlimits;		/* MAX_LIMITS + 1: more than there is room for */
	int			nfinals;		/* likewise */
	int			nscheduled;
	int			norders;		/* MAX_ORDERS + 1: more than there is room for */
	int			nbehind;		/* BEHIND_MAX + 1: more than there is room for */
	bool		release;
	bool		results;
	bool		fan_out;
	bool		installed;
	bool		rescan;
	bool		alert;
	bool		probe;			/* look which databases there are */
	uint32		rollup;			/* new counts of finished jobs */
	TimestampTz next_schedule;
	LimitChange limits[MAX_LIMITS];
	int64		finals[MAX_FINALS];
	int64		behind[BEHIND_MAX];
	Oid			scheduled[MAX_SCHEDULED];
	GroupOfLimit orders[MAX_ORDERS];
}			pending;

/* Nothing is pending */
static void
pending_reset(void)
{
	pending.any = false;
	pending.nlimits = pending.nfinals = pending.nscheduled = pending.nbehind = pending.norders = 0;
	pending.release = pending.installed = pending.rescan = pending.alert = pending.probe = false;
	pending.results = pending.fan_out = false;
	pending.rollup = 0;
	pending.next_schedule = DT_NOEND;
}

static inline void
pending_begin(void)
{
	if (!pending.any)
	{
		pending_reset();
		pending.any = true;
	}
}

static void
note_limit(LimitChange limit)
{
	pending_begin();
	if (pending.nlimits < MAX_LIMITS)
		pending.limits[pending.nlimits] = limit;
	if (pending.nlimits <= MAX_LIMITS)
		pending.nlimits++;
}

void
xact_notify_limit(char kind, int32 id, int32 limit, bool rated)
{
	const LimitChange change = {kind, id, limit, 0, rated};

	note_limit(change);
}

void
xact_notify_group_limit(char kind, int32 id, int64 group)
{
	const LimitChange change = {kind, id, 0, group, false};

	note_limit(change);
}

void
xact_notify_order(char kind, int32 id, int64 group)
{
	pending_begin();
	for (int i = 0; i < Min(pending.norders, MAX_ORDERS); i++)
	{
		const GroupOfLimit *order = &pending.orders[i];

		if (order->kind == kind && order->id == id && order->group == group)
			return;
	}
	if (pending.norders < MAX_ORDERS)
		pending.orders[pending.norders] = (GroupOfLimit) {kind, id, group};
	if (pending.norders <= MAX_ORDERS)
		pending.norders++;
}

void
xact_notify_schedule(TimestampTz next_run_at)
{
	pending_begin();
	pending.next_schedule = Min(pending.next_schedule, next_run_at);
}

void
xact_notify_final(int64 job_id)
{
	pending_begin();
	if (pending.nfinals < MAX_FINALS)
		pending.finals[pending.nfinals] = job_id;
	if (pending.nfinals <= MAX_FINALS)
		pending.nfinals++;		/* one more than there is room for: all */
}

void
xact_notify_scheduled_function(Oid function)
{
	pending_begin();
	if (pending.nscheduled == MAX_SCHEDULED)
		pending.rescan = true;
	else
		pending.scheduled[pending.nscheduled++] = function;
}

void
xact_notify_release(void)
{
	pending_begin();
	pending.release = true;
}

void
xact_notify_results(void)
{
	pending_begin();
	pending.results = true;
}

void
xact_notify_behind(int64 ahead)
{
	pending_begin();
	if (pending.nbehind < BEHIND_MAX)
		pending.behind[pending.nbehind] = ahead;
	if (pending.nbehind <= BEHIND_MAX)
		pending.nbehind++;
}

void
xact_notify_fan_out(void)
{
	pending_begin();
	pending.fan_out = true;
}

void
xact_notify_installed(void)
{
	pending_begin();
	pending.installed = true;
}

void
xact_notify_alert(void)
{
	pending_begin();
	pending.alert = true;
}

void
xact_notify_probe(void)
{
	pending_begin();
	pending.probe = true;
}

void
xact_notify_rollup(uint32 counts)
{
	pending_begin();
	pending.rollup += counts;
}

void
xact_notify_rescan(void)
{
	pending_begin();
	pending.rescan = true;
}

/*
 * Tell of new counts of finished jobs.  True: the scheduler must hear of it now,
 * as they are the first ones, or many by now.
 */
static bool
note_rollup(DatabaseSlot *db)
{
	uint32		counts = pending.rollup;
	uint32		before;

	if (counts == 0)
		return false;
	pending.rollup = 0;
	before = pg_atomic_fetch_add_u32(&db->rollup, counts);
	return before == 0 || (before < db->rollup_many && before + counts >= db->rollup_many);
}

/* Tell of new counts of batches.  True: the scheduler must hear of it, as they are the first */
static bool
note_fan_out(DatabaseSlot *db)
{
	bool		news = pending.fan_out;

	pending.fan_out = false;
	return news && pg_atomic_exchange_u32(&db->fan_out, 1) == 0;
}

/* Set the scheduler of this database to work, if there is reason to */
static void
tell_scheduler(bool grow, bool wake, TimestampTz next_due)
{
	DatabaseSlot *db;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	db = database_slot(MyDatabaseId, pending.installed);
	if (db != NULL)
	{
		if (pending.installed)
			db->wanted = true;
		if (pending.rescan)
			wake = db->rescan = true;
		if (pending.release)
			wake = db->release = true;
		if (pending.results)
			wake = db->results = true;
		if (pending.nbehind > 0)
		{
			database_add_behind(db, pending.behind, pending.nbehind);
			wake = true;
		}
		if (pending.alert && !db->alert)
			wake = db->alert = true;
		if (note_rollup(db))
			wake = true;
		if (note_fan_out(db))
			wake = true;
		if (pending.next_schedule < db->next_schedule)
		{
			db->next_schedule = pending.next_schedule;
			wake = true;
		}
		if (next_due < db->next_wake)
			wake = true;
		if (grow && !wake)
			wake = xact_notify_jobs_need_workers(db);
		if (wake)
			database_wake_scheduler_locked(db);
	}
	if (pending.installed || pending.probe)
	{
		if (db == NULL || pending.probe)
			shared->probe = true;
		if (shared->launcher.latch != NULL)
			SetLatch(shared->launcher.latch);
	}
	LWLockRelease(shared->workers_lock);
}

static void
commit_finals(void)
{
	if (pending.nfinals == 0)
		return;
	waiters_record_flush_point(XactLastCommitEnd);
	if (pending.nfinals > MAX_FINALS)
	{
		waiters_wake(MyDatabaseId, 0);
		return;
	}
	for (int i = 0; i < pending.nfinals; i++)
		waiters_wake(MyDatabaseId, pending.finals[i]);
}

/*
 * Processes that are woken by this commit must not go by the settings that they know:
 * the server tells them of the change after its callbacks only.
 */
static void
commit_limit_changes(void)
{
	DatabaseSlot *db;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	db = database_slot(MyDatabaseId, false);
	if (db != NULL)
		pg_atomic_fetch_add_u32(&db->limit_changes, 1);
	LWLockRelease(shared->workers_lock);
}

/* True: see limits_release() */
static bool
commit_orders(void)
{
	bool		waited = false;

	if (pending.norders > MAX_ORDERS)
		return limits_orders_changed(MyDatabaseId);
	for (int i = 0; i < pending.norders; i++)
		waited = limits_order_changed(MyDatabaseId, pending.orders[i].kind, pending.orders[i].id,
									  pending.orders[i].group) || waited;
	return waited;
}

/* The transaction is committed: nothing below may throw an error */
static void
pending_commit(void)
{
	TimestampTz next_due = DT_NOEND;
	bool		grow = false;
	bool		wake = false;

	pending_begin();
	if (xact_notify_jobs_left_out())
		pending.rescan = true;
	if (pending.nlimits > 0)
	{
		commit_limit_changes();
		wake = limits_changed(MyDatabaseId, pending.nlimits > MAX_LIMITS ? NULL : pending.limits,
							  pending.nlimits);
	}
	if (commit_orders())
		wake = true;
	for (int i = 0; i < pending.nscheduled; i++)
		scheduled_set_add(MyDatabaseId, pending.scheduled[i]);
	xact_notify_jobs_commit(&next_due, &grow, &wake);
	commit_finals();

	/* those of our processes that end most jobs need no lock for it */
	if ((pending.rollup > 0 || pending.fan_out) && my_database != NULL &&
		my_database->database == MyDatabaseId)
	{
		bool		news = note_rollup(my_database);

		if (note_fan_out(my_database) || news)
			database_wake_scheduler(MyDatabaseId);
	}
	if (grow || wake || next_due != DT_NOEND || pending.rescan || pending.release ||
		pending.results || pending.fan_out || pending.nbehind > 0 || pending.alert ||
		pending.rollup > 0 ||
		pending.installed || pending.probe || pending.next_schedule != DT_NOEND)
		tell_scheduler(grow, wake, next_due);
}

static void
pending_xact_callback(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if ((pending.any || xact_notify_jobs_pending()) && shared != NULL)
				pending_commit();
			pending.any = false;
			xact_notify_jobs_forget();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:

			/*
			 * The session that runs COMMIT PREPARED one day makes the
			 * scheduler look in the tables: see lifecycle/database_ddl.c.
			 */
			pending.any = false;
			xact_notify_jobs_forget();
			break;
		default:
			break;
	}
}

void
xact_notify_init(void)
{
	pending_reset();
	defer_on_xact_event(pending_xact_callback);
}
