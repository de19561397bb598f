/*
 * xact_notify.c
 *		What a transaction has done that other processes must hear of once it
 *		commits: see xact_notify.h.
 *
 * It is kept in memory of constant size, however many jobs the transaction
 * enqueues: counters and minimum keys.  What does not fit is looked for in the
 * tables by the scheduler.  The callback runs after the commit is visible to
 * others, when nothing may fail any more.
 *
 * What a subtransaction has added is not taken out when it is rolled back: then
 * a job that is not there is looked for once, and a limit is read again.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "base/guc.h"
#include "base/job.h"
#include "shmem/databases.h"
#include "shmem/limits.h"
#include "shmem/ready_queue.h"
#include "shmem/scheduled_set.h"
#include "shmem/senders.h"
#include "shmem/shmem.h"
#include "shmem/waiters.h"
#include "shmem/workers.h"
#include "shmem/xact_notify.h"

#define MAX_READY_QUEUES	64
#define MAX_ROLES	8
#define MAX_LIMITS	16
#define MAX_FINALS	32
#define MAX_SCHEDULED	16

/* A scheduler that waits for room in its pools looks more often than that */
#define LOOKS_SOON	(200 * 1000)

typedef struct PendingQueue
{
	Oid			owner;
	int32		priority;
	int64		limits_key;
	LimitScopes scopes;
	ReadyKey	min_key;
	int64		count;
} PendingQueue;

/* Queues of a role for which there was no room above */
typedef struct PendingRole
{
	Oid			owner;
	TimestampTz due;			/* the first of their jobs */
} PendingRole;

static struct
{
	bool		any;
	int			nqueues;
	int			last;			/* ready queue of the last xact_notify_job() */
	int			nroles;
	int			nlimits;		/* MAX_LIMITS + 1: more than there is room for */
	int			nfinals;		/* likewise */
	int			nscheduled;
	int			nbehind;		/* BEHIND_MAX + 1: more than there is room for */
	bool		release;
	bool		results;
	bool		installed;
	bool		rescan;
	bool		alert;
	bool		probe;			/* look which databases there are */
	uint32		rollup;			/* new counts of finished jobs */
	TimestampTz next_schedule;
	PendingQueue queues[MAX_READY_QUEUES];
	PendingRole roles[MAX_ROLES];
	LimitChange limits[MAX_LIMITS];
	int64		finals[MAX_FINALS];
	int64		behind[BEHIND_MAX];
	Oid			scheduled[MAX_SCHEDULED];
}			pending;

static uint64 jobs_noted = 0;

/* Nothing is pending */
static void
pending_reset(void)
{
	pending.any = false;
	pending.nqueues = pending.nroles = pending.nlimits = pending.nfinals = 0;
	pending.nscheduled = pending.nbehind = pending.last = 0;
	pending.release = pending.installed = pending.rescan = pending.alert = pending.probe = false;
	pending.results = false;
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

/* There is no room for the queue: let all queues of its role be searched for */
static void
note_role(Oid owner, TimestampTz due)
{
	for (int i = 0; i < pending.nroles; i++)
	{
		if (pending.roles[i].owner == owner)
		{
			pending.roles[i].due = Min(pending.roles[i].due, due);
			return;
		}
	}
	if (pending.nroles == MAX_ROLES)
		pending.rescan = true;
	else
		pending.roles[pending.nroles++] = (PendingRole) {owner, due};
}

static PendingQueue *
find_queue(Oid owner, int64 limits_key, int32 priority)
{
	/* the last one is the likely one */
	for (int i = 0; i < pending.nqueues; i++)
	{
		PendingQueue *queue = &pending.queues[(pending.last + i) % pending.nqueues];

		if (queue->owner == owner && queue->limits_key == limits_key &&
			queue->priority == priority)
			return queue;
	}
	return NULL;
}

uint64
xact_notify_jobs_noted(void)
{
	return jobs_noted;
}

void
xact_notify_job(const Job *job)
{
	ReadyKey	key = {job->run_at, job->id};
	PendingQueue *queue;

	if (job->run_at == DT_NOEND)
		return;					/* held: who releases it calls again */
	jobs_noted++;
	pending_begin();
	queue = find_queue(job->owner, job->limits_key, job->priority);
	if (queue == NULL)
	{
		if (pending.nqueues == MAX_READY_QUEUES)
		{
			note_role(job->owner, job->run_at);
			return;
		}
		queue = &pending.queues[pending.nqueues++];
		*queue = (PendingQueue)
		{
			job->owner, job->priority, job->limits_key, job->scopes,
				READY_KEY_NONE, 0
		};
	}
	pending.last = queue - pending.queues;
	if (ready_key_before(key, queue->min_key))
		queue->min_key = key;
	queue->count++;
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
xact_notify_limit(char kind, int32 id, int32 limit)
{
	const LimitChange change = {kind, id, limit, 0};

	note_limit(change);
}

void
xact_notify_group_limit(char kind, int32 id, int64 group)
{
	const LimitChange change = {kind, id, 0, group};

	note_limit(change);
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
 * Check whether the scheduler can do something for jobs that found no idle
 * worker.  If all workers that there may be are there it can make room among
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
		if (LIMITS_KEY_IS_DELIVERY(pending.queues[i].limits_key))
			return true;		/* the sender was not there */
	}

	for (int i = 0; i < shared->nworker_slots; i++)
	{
		if (!worker_counts(&worker_slots[i]))
			continue;
		working++;
		others = others || worker_slots[i].database != MyDatabaseId ||
			worker_slots[i].owner != pending.queues[0].owner;
	}
	if (working < defer_max_workers ||
		(others && db->next_wake > GetCurrentTimestamp() + LOOKS_SOON))
		return true;
	for (int i = 0; i < pending.nqueues; i++)
	{
		if (workers_count(MyDatabaseId, pending.queues[i].owner, &idle) == 0)
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
		if (pending.next_schedule < db->next_schedule)
		{
			db->next_schedule = pending.next_schedule;
			wake = true;
		}
		if (next_due < db->next_wake)
			wake = true;
		if (grow && !wake)
			wake = pool_can_grow(db);
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

/*
 * Jobs have come.  *next_due is lowered to when the first of those is due that
 * are not yet; *grow is set if there are more than idle workers take up, *wake
 * if the scheduler is needed for another reason.
 */
static void
commit_jobs(TimestampTz *next_due, bool *grow, bool *wake)
{
	const TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < pending.nqueues; i++)
	{
		const PendingQueue *queue = &pending.queues[i];
		const ReadyQueueChoice ready = {queue->owner, queue->priority, queue->limits_key,
			queue->scopes, queue->min_key};
		ReadyAdded	added = ready_queue_add(MyDatabaseId, &ready, queue->count, now);

		if (queue->min_key.run_at > now)
			*next_due = Min(*next_due, queue->min_key.run_at);
		else if (added != READY_ADDED_CLAIM)
			*wake = *wake || added != READY_ADDED;
		else if (LIMITS_KEY_IS_DELIVERY(queue->limits_key))
			*grow = !sender_wake(MyDatabaseId) || *grow;
		else if (workers_wake_idle(MyDatabaseId, queue->owner, queue->count) < queue->count)
			*grow = true;
	}
	for (int i = 0; i < pending.nroles; i++)
	{
		ready_role_unlisted(MyDatabaseId, pending.roles[i].owner, pending.roles[i].due);
		*next_due = Min(*next_due, pending.roles[i].due);
	}
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

/* The transaction is committed: nothing below may throw an error */
static void
pending_commit(void)
{
	TimestampTz next_due = DT_NOEND;
	bool		grow = false;
	bool		wake = false;

	if (pending.nlimits > 0)
		wake = limits_changed(MyDatabaseId, pending.nlimits > MAX_LIMITS ? NULL : pending.limits,
							  pending.nlimits);
	for (int i = 0; i < pending.nscheduled; i++)
		scheduled_set_add(MyDatabaseId, pending.scheduled[i]);
	if (pending.nqueues > 0)
		commit_jobs(&next_due, &grow, &wake);
	commit_finals();

	/* those of our processes that end most jobs need no lock for it */
	if (pending.rollup > 0 && my_database != NULL && my_database->database == MyDatabaseId &&
		note_rollup(my_database))
		database_wake_scheduler(MyDatabaseId);
	if (grow || wake || next_due != DT_NOEND || pending.rescan || pending.release ||
		pending.results || pending.nbehind > 0 || pending.alert || pending.rollup > 0 ||
		pending.installed || pending.probe || pending.next_schedule != DT_NOEND)
		tell_scheduler(grow, wake, next_due);
}

static void
pending_xact_callback(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (pending.any && shared != NULL)
				pending_commit();
			pending.any = false;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:

			/*
			 * The session that runs COMMIT PREPARED one day makes the
			 * scheduler look in the tables: see lifecycle/database_ddl.c.
			 */
			pending.any = false;
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
