/*
 * lease_take.c
 *		What a transaction has taken for a worker outside of the server: leases when
 *		it commits, free jobs when it, or the subtransaction, is rolled back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "job/lease.h"
#include "shmem/scheduler_wake.h"

typedef struct TakenJob
{
	slist_node	node;
	int		   *njobs;			/* of its claim */
	int			level;			/* of the subtransaction that has taken it */
	int64		job_id;
	int64		claim_id;
	Oid			owner;			/* these: its ready queue */
	int32		priority;
	int64		limits_key;
	LimitScopes scopes;
	ReadyKey	key;
} TakenJob;

/* In TopTransactionContext, the last one first */
static slist_head taken = SLIST_STATIC_INIT(taken);

/* Memory for those that are about to be taken */
static struct
{
	TakenJob   *jobs;
	int		   *njobs;
	int			used;
}			room;

/* Throws nothing: it is called when the transaction has ended */
static void
give_back(const TakenJob *job, TimestampTz now)
{
	const ReadyQueueChoice queue = {
		.owner = job->owner, .priority = job->priority, .limits_key = job->limits_key,
		.scopes = job->scopes, .min_key = job->key
	};
	TimestampTz next_due = DT_NOEND;

	lease_remove(MyDatabaseId, job->job_id, job->claim_id);
	if (ready_queue_add(MyDatabaseId, &queue, 1, now, &next_due) != READY_ADDED)
		database_wake_scheduler(MyDatabaseId);
}

static void
hold_all(void)
{
	TimestampTz end = DT_NOEND;
	slist_iter	iter;

	slist_foreach(iter, &taken)
	{
		TakenJob   *job = slist_container(TakenJob, node, iter.cur);

		end = Min(end, lease_hold(MyDatabaseId, job->job_id, job->claim_id, *job->njobs));
	}
	database_lease_ends(MyDatabaseId, end);
}

static void
xact_callback(XactEvent event)
{
	slist_iter	iter;

	if (slist_is_empty(&taken))
		return;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			hold_all();
			slist_init(&taken);
			break;
		case XACT_EVENT_ABORT:
			slist_foreach(iter, &taken)
				give_back(slist_container(TakenJob, node, iter.cur), GetCurrentTimestamp());
			slist_init(&taken);
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event)
{
	const int	level = GetCurrentTransactionNestLevel();
	slist_mutable_iter iter;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	slist_foreach_modify(iter, &taken)
	{
		TakenJob   *job = slist_container(TakenJob, node, iter.cur);

		if (job->level < level)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			job->level = level - 1;
		else
		{
			slist_delete_current(&iter);
			give_back(job, GetCurrentTimestamp());
		}
	}
}

void
lease_take_begin(int n)
{
	defer_on_xact_event(xact_callback);
	defer_on_subxact_event(subxact_callback);
	room.jobs = MemoryContextAlloc(TopTransactionContext, n * sizeof(TakenJob));
	room.njobs = MemoryContextAllocZero(TopTransactionContext, sizeof(int));
	room.used = 0;
}

void
lease_take(const Lease *lease, const Job *job)
{
	TakenJob   *entry = &room.jobs[room.used++];

	entry->njobs = room.njobs;
	entry->level = GetCurrentTransactionNestLevel();
	entry->job_id = job->id;
	entry->claim_id = lease->claim_id;
	entry->owner = job->owner;
	entry->priority = job->priority;
	entry->limits_key = job->limits_key;
	entry->scopes = lease->scopes;
	entry->key = (ReadyKey) {job->run_at, job->id};
	leases_add(lease);
	slist_push_head(&taken, &entry->node);
	(*entry->njobs)++;
}

bool
lease_any_taken(void)
{
	return !slist_is_empty(&taken);
}
