/*
 * xact_notify.c
 *		What a transaction has done that others must hear of once it commits.
 *
 * It is kept in memory of constant size, however many jobs the transaction
 * enqueues: counters and lowest keys.  If that is not enough the scheduler is
 * asked to look in the tables.  The callback is registered once; it runs after
 * the commit is visible to others, when nothing may fail any more.
 *
 * A rolled back subtransaction is not taken out: others then look for a job
 * that is not there, once.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/job.h"
#include "function/direct_call_check.h"
#include "shmem/shmem.h"
#include "shmem/statistics.h"
#include "shmem/xact_notify.h"
#include "table/job_table.h"

#define MAX_READY_QUEUES	64
#define MAX_LIMITS	16
#define MAX_FINALS	32
#define MAX_GUARDED	16

/* A scheduler that waits for room in its pools looks more often than that */
#define LOOKS_SOON	(200 * 1000)

typedef struct PendingLane
{
	Oid			owner;
	int32		priority;
	int64		limits_key;
	ReadyKey		min_key;
	int64		count;
} PendingLane;

typedef struct PendingLimit
{
	char		kind;
	int32		id;
	int32		limit;
} PendingLimit;

static struct
{
	bool		any;
	int			nqueues;
	int			last;			/* ready queue of the last xact_notify_job() */
	int			nlimits;
	int			nfinals;
	int			nscheduled;
	bool		release;
	bool		installed;
	bool		rescan;
	bool		alert;
	bool		probe;			/* which databases are there? */
	uint32		rollup;			/* new counts of finished jobs */
	TimestampTz next_schedule;
	PendingLane rqs[MAX_READY_QUEUES];
	PendingLimit limits[MAX_LIMITS];
	int64		finals[MAX_FINALS];
	Oid			guarded[MAX_GUARDED];
}			pending;

/* Nothing is pending */
static void
pending_reset(void)
{
	pending.any = false;
	pending.nqueues = pending.nlimits = pending.nfinals = pending.nscheduled = 0;
	pending.last = 0;
	pending.release = pending.installed = pending.rescan = pending.alert = pending.probe = false;
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

void
xact_notify_job(Oid owner, int64 limits_key, int32 priority, TimestampTz run_at, int64 id)
{
	ReadyKey		key = {run_at, id};
	PendingLane *found = NULL;

	if (run_at == DT_NOEND)
		return;					/* held: whoever sets it free calls again */
	pending_begin();
	for (int i = 0; i < pending.nqueues; i++)
	{
		PendingLane *candidate = &pending.rqs[(pending.last + i) % pending.nqueues];

		if (candidate->owner == owner && candidate->limits_key == limits_key &&
			candidate->priority == priority)
		{
			found = candidate;
			break;
		}
	}
	if (found == NULL)
	{
		if (pending.nqueues == MAX_READY_QUEUES)
		{
			pending.rescan = true;
			return;
		}
		found = &pending.rqs[pending.nqueues++];
		found->owner = owner;
		found->limits_key = limits_key;
		found->priority = priority;
		found->min_key = READY_KEY_NONE;
		found->count = 0;
	}
	pending.last = found - pending.rqs;
	if (ready_key_before(key, found->min_key))
		found->min_key = key;
	found->count++;
}

void
xact_notify_limit(char kind, int32 id, int32 limit)
{
	pending_begin();
	if (pending.nlimits == MAX_LIMITS)
	{
		pending.rescan = true;
		return;
	}
	pending.limits[pending.nlimits++] = (PendingLimit) {kind, id, limit};
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
	if (pending.nscheduled == MAX_GUARDED)
		pending.rescan = true;
	else
		pending.guarded[pending.nscheduled++] = function;
}

void
xact_notify_release(void)
{
	pending_begin();
	pending.release = true;
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
 * Is there something that the scheduler can do for jobs that found no idle
 * worker?  If all workers that there may be are there it can make room among
 * those of others as they become idle, for which it looks now and then once it
 * knows.  The caller holds workers_lock.
 */
static bool
pool_can_grow(const DatabaseSlot *db)
{
	int			working = 0;
	bool		others = false;
	bool		idle;

	for (int i = 0; i < pending.nqueues; i++)
	{
		if (LIMITS_KEY_IS_DELIVERY(pending.rqs[i].limits_key))
			return true;		/* the sender was not there */
	}

	for (int i = 0; i < shared->nworker_slots; i++)
	{
		if (worker_slots[i].state == WORKER_FREE || worker_slots[i].awaiting)
			continue;
		working++;
		others = others || worker_slots[i].database != MyDatabaseId ||
			worker_slots[i].owner != pending.rqs[0].owner;
	}
	if (working < defer_max_workers ||
		(others && db->next_wake > GetCurrentTimestamp() + LOOKS_SOON))
		return true;
	for (int i = 0; i < pending.nqueues; i++)
	{
		if (count_workers(MyDatabaseId, pending.rqs[i].owner, &idle) == 0)
			return true;
	}
	return false;
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
		if (pending.alert && !db->alert)
			wake = db->alert = true;
		if (note_rollup(db))
			wake = true;
		if (pending.next_schedule < db->next_schedule)
		{
			db->next_schedule = pending.next_schedule;
			wake = true;
		}
		if (db->overflow || next_due < db->next_wake)
			wake = true;
		if (grow && !wake)
			wake = pool_can_grow(db);
		if (wake)
			wake_scheduler_locked(db);
	}
	if (pending.installed || pending.probe)
	{
		if (db == NULL || pending.probe)
			shared->probe = true;
		if (shared->launcher_latch != NULL)
			SetLatch(shared->launcher_latch);
	}
	LWLockRelease(shared->workers_lock);
}

/* The transaction is committed: nothing below may throw an error */
static void
pending_commit(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next_due = DT_NOEND;
	bool		grow = false;
	bool		cancel = false;

	if (pending.nlimits > 0)
		limits_changed();
	for (int i = 0; i < pending.nlimits; i++)
	{
		if (!limit_set(MyDatabaseId, pending.limits[i].kind, pending.limits[i].id,
					   pending.limits[i].limit))
			pending.rescan = true;	/* the scheduler finds that out, and tells */
	}
	for (int i = 0; i < pending.nscheduled; i++)
		scheduled_set_add(MyDatabaseId, pending.guarded[i]);
	for (int i = 0; i < pending.nqueues; i++)
	{
		PendingLane *rq = &pending.rqs[i];

		ready_queue_add(MyDatabaseId, rq->owner, rq->limits_key, rq->priority,
				   rq->min_key, rq->count);
		if (rq->min_key.run_at > now)
			next_due = Min(next_due, rq->min_key.run_at);
		else if (!limits_have_capacity(MyDatabaseId, rq->limits_key))
			cancel = cancel || limits_cancel_at_limit(MyDatabaseId, rq->limits_key);
		else if (LIMITS_KEY_IS_DELIVERY(rq->limits_key))
			grow = !wake_sender(MyDatabaseId) || grow;
		else if (wake_idle_workers(MyDatabaseId, rq->owner, rq->count) < rq->count)
			grow = true;
	}
	if (pending.nfinals > 0)
	{
		waiters_record_flush_point(XactLastCommitEnd);
		if (pending.nfinals > MAX_FINALS)
			waiters_wake(MyDatabaseId, 0);
		else
			for (int i = 0; i < pending.nfinals; i++)
				waiters_wake(MyDatabaseId, pending.finals[i]);
	}
	/* those of our processes that end most jobs need no lock for it */
	if (pending.rollup > 0 && my_database != NULL && my_database->database == MyDatabaseId &&
		note_rollup(my_database))
		wake_scheduler(MyDatabaseId);
	if (grow || cancel || next_due != DT_NOEND || pending.rescan || pending.release ||
		pending.alert || pending.rollup > 0 || pending.installed || pending.probe ||
		pending.next_schedule != DT_NOEND)
		tell_scheduler(grow, cancel, next_due);
}

static void
pending_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			job_table_close();
			break;
		case XACT_EVENT_COMMIT:
			if (pending.any && shared != NULL)
				pending_commit();
			pending.any = false;
			statistics_commit();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:

			/*
			 * Whoever runs COMMIT PREPARED one day makes the scheduler look
			 * in the tables: see lifecycle/withdraw.c.
			 */
			job_table_forget();
			pending.any = false;
			statistics_forget();
			break;
		default:
			break;
	}
}

void
xact_notify_init(void)
{
	pending_reset();
	RegisterXactCallback(pending_xact_callback, NULL);
}
