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
#include "base/defer.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "table/job_table.h"
#include "shmem/shmem.h"

#define MAX_LANES	64
#define MAX_LIMITS	16
#define MAX_FINALS	32
#define MAX_GUARDED	16

/* A scheduler that waits for room in its pools looks more often than that */
#define LOOKS_SOON	(200 * 1000)

typedef struct PendingLane
{
	Oid			owner;
	int32		priority;
	int64		lane;
	LaneKey		low;
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
	int			nlanes;
	int			last;			/* lane of the last pending_job() */
	int			nlimits;
	int			nfinals;
	int			nguarded;
	bool		release;
	bool		installed;
	bool		rescan;
	bool		alert;
	bool		probe;			/* which databases are there? */
	uint32		rollup;			/* new counts of finished jobs */
	TimestampTz next_schedule;
	PendingLane lanes[MAX_LANES];
	PendingLimit limits[MAX_LIMITS];
	int64		finals[MAX_FINALS];
	Oid			guarded[MAX_GUARDED];
}			pending;

/* Nothing is pending */
static void
pending_reset(void)
{
	pending.any = false;
	pending.nlanes = pending.nlimits = pending.nfinals = pending.nguarded = 0;
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
pending_job(Oid owner, int64 lane, int32 priority, TimestampTz run_at, int64 id)
{
	LaneKey		key = {run_at, id};
	PendingLane *found = NULL;

	if (run_at == DT_NOEND)
		return;					/* held: whoever sets it free calls again */
	pending_begin();
	for (int i = 0; i < pending.nlanes; i++)
	{
		PendingLane *candidate = &pending.lanes[(pending.last + i) % pending.nlanes];

		if (candidate->owner == owner && candidate->lane == lane &&
			candidate->priority == priority)
		{
			found = candidate;
			break;
		}
	}
	if (found == NULL)
	{
		if (pending.nlanes == MAX_LANES)
		{
			pending.rescan = true;
			return;
		}
		found = &pending.lanes[pending.nlanes++];
		found->owner = owner;
		found->lane = lane;
		found->priority = priority;
		found->low = LANE_KEY_NONE;
		found->count = 0;
	}
	pending.last = found - pending.lanes;
	if (lane_key_before(key, found->low))
		found->low = key;
	found->count++;
}

void
pending_limit(char kind, int32 id, int32 limit)
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
pending_schedule(TimestampTz next_run_at)
{
	pending_begin();
	pending.next_schedule = Min(pending.next_schedule, next_run_at);
}

void
pending_final(int64 job_id)
{
	pending_begin();
	if (pending.nfinals < MAX_FINALS)
		pending.finals[pending.nfinals] = job_id;
	if (pending.nfinals <= MAX_FINALS)
		pending.nfinals++;		/* one more than there is room for: all */
}

void
pending_scheduled_function(Oid function)
{
	pending_begin();
	if (pending.nguarded == MAX_GUARDED)
		pending.rescan = true;
	else
		pending.guarded[pending.nguarded++] = function;
}

void
pending_release(void)
{
	pending_begin();
	pending.release = true;
}

void
pending_installed(void)
{
	pending_begin();
	pending.installed = true;
}

void
pending_alert(void)
{
	pending_begin();
	pending.alert = true;
}

void
pending_probe(void)
{
	pending_begin();
	pending.probe = true;
}

void
pending_rollup(uint32 counts)
{
	pending_begin();
	pending.rollup += counts;
}

void
pending_rescan(void)
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

	for (int i = 0; i < pending.nlanes; i++)
	{
		if (LANE_IS_DELIVERY(pending.lanes[i].lane))
			return true;		/* the courier was not there */
	}

	for (int i = 0; i < shared->nworker_slots; i++)
	{
		if (worker_slots[i].state == WORKER_FREE || worker_slots[i].awaiting)
			continue;
		working++;
		others = others || worker_slots[i].database != MyDatabaseId ||
			worker_slots[i].owner != pending.lanes[0].owner;
	}
	if (working < defer_max_workers ||
		(others && db->next_wake > GetCurrentTimestamp() + LOOKS_SOON))
		return true;
	for (int i = 0; i < pending.nlanes; i++)
	{
		if (count_workers(MyDatabaseId, pending.lanes[i].owner, &idle) == 0)
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
	for (int i = 0; i < pending.nguarded; i++)
		guard_add(MyDatabaseId, pending.guarded[i]);
	for (int i = 0; i < pending.nlanes; i++)
	{
		PendingLane *lane = &pending.lanes[i];

		lane_lower(MyDatabaseId, lane->owner, lane->lane, lane->priority,
				   lane->low, lane->count);
		if (lane->low.run_at > now)
			next_due = Min(next_due, lane->low.run_at);
		else if (!limits_have_room(MyDatabaseId, lane->lane))
			cancel = cancel || lane_cancels_at_limit(MyDatabaseId, lane->lane);
		else if (LANE_IS_DELIVERY(lane->lane))
			grow = !wake_courier(MyDatabaseId) || grow;
		else if (wake_idle_workers(MyDatabaseId, lane->owner, lane->count) < lane->count)
			grow = true;
	}
	if (pending.nfinals > 0)
	{
		note_flush_point(XactLastCommitEnd);
		if (pending.nfinals > MAX_FINALS)
			await_wake(MyDatabaseId, 0);
		else
			for (int i = 0; i < pending.nfinals; i++)
				await_wake(MyDatabaseId, pending.finals[i]);
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
pending_init(void)
{
	pending_reset();
	RegisterXactCallback(pending_xact_callback, NULL);
}
