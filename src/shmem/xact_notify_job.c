/*
 * xact_notify_job.c
 *		Jobs that a transaction has made ready: what xact_notify.c tells other
 *		processes of them when it commits.
 *
 * However many there are, this is memory of constant size: a minimum key and a
 * counter for each ready queue.  Roles whose queues do not fit have all of theirs
 * searched for; if there are too many roles, the scheduler searches for all.
 *
 * What a subtransaction has added is not taken out when it is rolled back: then
 * a job that is not there is looked for once.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/job.h"
#include "shmem/databases.h"
#include "shmem/ready_queue.h"
#include "shmem/senders.h"
#include "shmem/work_waiters.h"
#include "shmem/workers.h"
#include "shmem/xact_notify_job.h"

#define MAX_READY_QUEUES	64
#define MAX_ROLES	8

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
	int64		first_order;	/* job_order() of the first of its group */
} PendingQueue;

/* Queues of a role for which there was no room above */
typedef struct PendingRole
{
	Oid			owner;
	TimestampTz due;			/* the first of their jobs */
} PendingRole;

static struct
{
	int			nqueues;
	int			last;			/* ready queue of the last xact_notify_job() */
	int			nroles;
	bool		left_out;		/* there was no room for all of the roles */
	PendingQueue queues[MAX_READY_QUEUES];
	PendingRole roles[MAX_ROLES];
}			pending;

static uint64 jobs_noted = 0;

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
		pending.left_out = true;
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
				READY_KEY_NONE, 0, PG_INT64_MAX
		};
	}
	pending.last = queue - pending.queues;
	if (ready_key_before(key, queue->min_key))
		queue->min_key = key;
	queue->first_order = Min(queue->first_order, job_order(job));
	queue->count++;
}

bool
xact_notify_jobs_pending(void)
{
	return pending.nqueues > 0;
}

bool
xact_notify_jobs_left_out(void)
{
	return pending.left_out;
}

void
xact_notify_jobs_forget(void)
{
	pending.nqueues = pending.nroles = pending.last = 0;
	pending.left_out = false;
}

bool
xact_notify_jobs_need_workers(const DatabaseSlot *db)
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

void
xact_notify_jobs_commit(TimestampTz *next_due, bool *grow, bool *wake)
{
	const TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < pending.nqueues; i++)
	{
		const PendingQueue *queue = &pending.queues[i];
		const ReadyQueueChoice ready = {
			.owner = queue->owner, .priority = queue->priority, .limits_key = queue->limits_key,
			.scopes = queue->scopes, .min_key = queue->min_key, .first_order = queue->first_order
		};
		ReadyAdded	added = ready_queue_add(MyDatabaseId, &ready, queue->count, now, next_due);

		if (queue->min_key.run_at > now)
			*next_due = Min(*next_due, queue->min_key.run_at);
		else if (added != READY_ADDED_CLAIM)
			*wake = *wake || added != READY_ADDED;
		else if (LIMITS_KEY_IS_TASK(queue->limits_key))
			work_waiters_wake(MyDatabaseId, &queue->scopes, queue->count);
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
