/*
 * why_reasons.c
 *		Reasons why a job waits, in the order in which they are told.
 *
 * All is as of the call: settings from the tables, the rest from shared memory.  Of other
 * roles' jobs and workers the caller gets counts, of those that it may see ids, too.
 *
 * Length: one section for each kind of reason, and what puts them in order.
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/guc_delivery.h"
#include "base/job.h"
#include "base/role_check.h"
#include "base/roles.h"
#include "config/endpoint_settings.h"
#include "config/group_settings.h"
#include "config/settings_cache.h"
#include "process/pool_policy.h"
#include "pure/fair_share.h"
#include "report/server_facts.h"
#include "report/why.h"
#include "shmem/leases.h"
#include "shmem/limits.h"
#include "shmem/reserved.h"
#include "shmem/senders.h"
#include "shmem/workers.h"

static bool
enough(const Reasons *found)
{
	return found->first && found->list != NIL;
}

static void
add(Reasons *found, const char *reason, TimestampTz until, char *detail)
{
	Reason	   *entry = palloc(sizeof(Reason));

	entry->reason = reason;
	entry->detail = detail;
	entry->until = until;
	found->list = lappend(found->list, entry);
}

/* ------------------------------------------------------------------------
 * Its time
 * ------------------------------------------------------------------------ */

static void
time_reasons(Reasons *found, const WaitingJob *job)
{
	bool		later = job->run_at > GetCurrentTimestamp();

	if (job->paused_until != NO_TIME)
		add(found, "paused", job->paused_until,
			psprintf("the server of endpoint \"%s\" has asked to wait", job->endpoint));
	if (waits_for_jobs(job->waits))
		add(found, "dependencies", DT_NOEND, why_comes_after(job));
	else if (job->waits == WAITS_STEP_JOBS && later)
		add(found, "dependencies", DT_NOEND, why_step(job));
	else if (job->waits == WAITS_EVENT && later)
		add(found, "event", job->run_at, why_step(job));
	else if (job->waits == WAITS_SLEEP && later)
		add(found, "run_at", job->run_at, why_step(job));
	else if (job->run_at == DT_NOEND && job->behind != 0)
		add(found, "order", DT_NOEND,
			psprintf("waits for job " INT64_FORMAT ", which had its key when it was enqueued",
					 job->behind));
	else if (job->run_at == DT_NOEND && job->schedule_id != 0)
	{
		int64		before = found->first ? 0 : why_run_before(job);

		add(found, "order", DT_NOEND, before == 0 ?
			pstrdup("waits for the run of its schedule before it") :
			psprintf("waits for job " INT64_FORMAT ", the run of its schedule before it", before));
	}
	else if (later)
		add(found, "run_at", job->run_at, job->attempt == 0 ?
			pstrdup("its time has not come") :
			psprintf("the next attempt, after %d without success%s%s", job->attempt,
					 job->error != NULL ? ": " : "", job->error != NULL ? job->error : ""));
}

/* ------------------------------------------------------------------------
 * Pauses
 * ------------------------------------------------------------------------ */

/* Check once a statement: it reads tables */
static bool
database_is_active(void)
{
	static TimestampTz checked_at = 0;
	static bool active;
	TimestampTz now = GetCurrentStatementStartTimestamp();

	if (checked_at != now)
		active = server_database_is_active();
	checked_at = now;
	return active;
}

static void
server_reasons(Reasons *found)
{
	if (shared == NULL)
		add(found, "worker", DT_NOEND, pstrdup("defer is not loaded by the server"));
	else if (RecoveryInProgress())
		add(found, "paused", DT_NOEND, pstrdup("this server is a standby"));
	else if (!defer_enabled)
		add(found, "paused", DT_NOEND, pstrdup("defer.enabled is off"));
	else if (!database_is_active())
		add(found, "paused", DT_NOEND,
			pstrdup("this database was restored or copied, and is not active: see defer.activate()"));
}

/* The group of a job under its function and in its queue */
typedef struct Groups
{
	GroupSettings of_function;
	GroupSettings of_queue;
} Groups;

/* Set the limits and pauses of a job's group; of a job without one there are none */
static void
find_groups(const WaitingJob *job, Groups *groups)
{
	const FunctionSettings *function = function_settings(job->function);
	const QueueSettings *queue;

	groups->of_function = groups->of_queue = (GroupSettings) {LIMIT_NONE, false, NULL};
	if (job->group_key == NULL)
		return;
	groups->of_function.limit = function->group_concurrency;
	if (function->group_overrides)
		group_settings_read('f', function->id, job->group_key, &groups->of_function);
	queue = queue_settings(job->queue);
	groups->of_queue.limit = queue->group_concurrency;
	if (queue->group_overrides)
		group_settings_read('q', queue->id, job->group_key, &groups->of_queue);
}

/* "where" is its function or queue, in words */
static void
group_pause_reason(Reasons *found, const GroupSettings *group, const char *group_key,
				   const char *where)
{
	if (group->paused)
		add(found, "paused", DT_NOEND,
			psprintf("group \"%s\" %s is paused%s%s", group_key, where,
					 group->reason != NULL ? ": " : "",
					 group->reason != NULL ? group->reason : ""));
}

static void
pause_reasons(Reasons *found, const WaitingJob *job, const Groups *groups)
{
	if (function_settings(job->function)->paused)
		add(found, "paused", DT_NOEND, psprintf("function %s is paused", job->function));
	if (queue_settings(job->queue)->paused)
		add(found, "paused", DT_NOEND, psprintf("queue \"%s\" is paused", job->queue));
	group_pause_reason(found, &groups->of_function, job->group_key,
					   psprintf("of function %s", job->function));
	group_pause_reason(found, &groups->of_queue, job->group_key,
					   psprintf("in queue \"%s\"", job->queue));
	if (job->delivery || job->task)
		return;
	switch (role_check_state(job->owner))
	{
		case OWNER_NO_LOGIN:
			add(found, "paused", DT_NOEND, psprintf("role \"%s\" may not log in",
													GetUserNameFromId(job->owner, false)));
			break;
		case OWNER_NO_CONNECT:
			add(found, "paused", DT_NOEND, psprintf("role \"%s\" may not connect to this database",
													GetUserNameFromId(job->owner, false)));
			break;
		case OWNER_OK:
		case OWNER_GONE:		/* the last two: it fails at once */
		case OWNER_SUPERUSER:
			break;
	}
}

/* ------------------------------------------------------------------------
 * Order
 * ------------------------------------------------------------------------ */

static char *
job_of(int64 id, Oid owner)
{
	return role_may_see(owner) ? psprintf("job " INT64_FORMAT, id) : pstrdup("a job of another role");
}

/* The jobs before it in the order of its group */
static void
order_reasons(Reasons *found, const WaitingJob *job)
{
	OrderFacts	facts;
	char	   *where;

	if (job->order_scope == 0)
		return;
	where = job->order_scope > 0 ? psprintf("in queue \"%s\"", job->queue) :
		psprintf("of function %s", job->function);
	why_order(job, &facts);
	if (facts.held_by != 0)
		add(found, "order", DT_NOEND,
			psprintf("group \"%s\" %s is held, because %s has failed: see defer.release_group()",
					 job->group_key, where, job_of(facts.held_by, facts.held_owner)));
	if (facts.first != 0)
		add(found, "order",
			facts.first_at > GetCurrentTimestamp() ? facts.first_at : DT_NOEND,
			psprintf("%s is before it in group \"%s\" %s", job_of(facts.first, facts.first_owner),
					 job->group_key, where));
}

/* ------------------------------------------------------------------------
 * Limits
 * ------------------------------------------------------------------------ */

/* Ids of jobs that run in this database; of those that await a job, unless it is 0 */
static int
running(Datum *ids, int max, int64 awaited)
{
	int			n = 0;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots && n < max; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || slot->database != MyDatabaseId ||
			(awaited != 0 && !(slot->awaiting && slot->await_job == awaited)))
			continue;
		LWLockAcquire(slot->lock, LW_SHARED);
		ids[n] = Int64GetDatum(slot->current_job);
		LWLockRelease(slot->lock);
		if (DatumGetInt64(ids[n]) != 0)
			n++;
	}
	LWLockRelease(shared->workers_lock);
	return n;
}

/*
 * Name those that the caller may see of the jobs that run under a limit, and of these
 * the ones that wait for this job: they keep their places
 */
static char *
running_jobs(const WaitingJob *job, const char *column, const char *value, const char *group_key)
{
	Datum	   *ids = palloc(Max(shared->nworker_slots, 1) * sizeof(Datum));
	int			n = running(ids, shared->nworker_slots, 0);
	char	   *all = why_running_of(column, value, group_key, ids, n);
	char	   *waiting;

	n = running(ids, shared->nworker_slots, job->id);
	waiting = n > 0 ? why_running_of(column, value, group_key, ids, n) : "";
	return waiting[0] != '\0' ? psprintf("%s; waiting for this job%s", all, waiting) : all;
}

/* What has a limit, in words */
static char *
limit_of(const WaitingJob *job, char kind)
{
	return kind == 'f' ? psprintf("of function %s", job->function) :
		kind == 'q' ? psprintf("in queue \"%s\"", job->queue) :
		psprintf("for endpoint \"%s\"", job->endpoint);
}

/* group_key: of the limit of a group; NULL: of the function, queue or endpoint */
static void
limit_reason(Reasons *found, const WaitingJob *job, char kind, int32 id, int32 limit,
			 const char *group_key)
{
	int			places = limit_running(MyDatabaseId, kind, id, group_key == NULL ? 0 :
									   limits_group_hash(group_key, strlen(group_key)));
	char	   *group;
	char	   *others = "";

	if (limit < 0 || places < limit)
		return;
	group = group_key != NULL ? psprintf("of group \"%s\" ", group_key) : "";
	if (!found->first && kind != 'e')
		others = running_jobs(job, kind == 'f' ? "function" : "queue",
							  kind == 'f' ? job->function : job->queue, group_key);
	add(found, "concurrency", DT_NOEND,
		psprintf("%d of %d jobs %s%s run%s", places, limit, group, limit_of(job, kind), others));
}

/* When the next token of a rate comes; "group": of the job's, else of all jobs */
static void
rate_reason(Reasons *found, const WaitingJob *job, char kind, int32 id, bool of_group)
{
	int64		group = of_group ? limits_group_hash(job->group_key, strlen(job->group_key)) : 0;
	TimestampTz next = rates_next_token(MyDatabaseId, kind, id, group);

	if (next == 0 || enough(found))
		return;
	add(found, "rate", next, of_group ?
		psprintf("waits for the next token of group \"%s\" %s", job->group_key,
				 limit_of(job, kind)) :
		psprintf("waits for the next token %s", limit_of(job, kind)));
}

static void
rate_reasons(Reasons *found, const WaitingJob *job)
{
	for (int of_group = 0; of_group <= (job->group_key != NULL ? 1 : 0); of_group++)
	{
		rate_reason(found, job, 'f', function_settings(job->function)->id, of_group);
		rate_reason(found, job, 'q', queue_settings(job->queue)->id, of_group);
	}
	rate_reason(found, job, 'e', job->endpoint_id, false);
}

static void
limit_reasons(Reasons *found, const WaitingJob *job, const Groups *groups)
{
	const FunctionSettings *function = function_settings(job->function);
	int32		id = function->id;
	const QueueSettings *queue;

	/* naming jobs reads tables, and what the settings' cache has may go then */
	limit_reason(found, job, 'f', id, function->concurrency, NULL);
	limit_reason(found, job, 'f', id, groups->of_function.limit, job->group_key);
	queue = queue_settings(job->queue);
	id = queue->id;
	limit_reason(found, job, 'q', id, queue->concurrency, NULL);
	limit_reason(found, job, 'q', id, groups->of_queue.limit, job->group_key);
	if (job->endpoint_id != 0)
		limit_reason(found, job, 'e', job->endpoint_id,
					 endpoint_settings(job->endpoint)->concurrency, NULL);
}

/* ------------------------------------------------------------------------
 * Workers and the sender
 * ------------------------------------------------------------------------ */

/* What the workers of the server do */
typedef struct Workers
{
	int			of_role;		/* in this database */
	int			idle;			/* of these: idle, or starting */
	int			working;		/* of all roles: count against
								 * defer.max_workers */
	bool		others;			/* there are some of other roles or databases */
	bool		suspect;		/* one runs a job that may have crashed the
								 * server */
	bool		runs;			/* one runs this job */
	int			holder;			/* pid of the one whose batch has it, 0: none */
	int64		held_behind;	/* the job that this one runs */
	ServerFacts server;
} Workers;

/* Look for the job in a worker's batch; the caller holds workers_lock */
static void
look_into_batch(WorkerSlot *slot, int64 id, Workers *workers)
{
	LWLockAcquire(slot->lock, LW_SHARED);
	if (slot->current_job == id)
		workers->runs = true;
	for (int i = 0; i < slot->nentries; i++)
	{
		if (slot->entries[i].job_id == id && slot->entries[i].state == ENTRY_WAITING)
		{
			workers->holder = slot->process.pid;
			workers->held_behind = slot->current_job;
		}
	}
	LWLockRelease(slot->lock);
}

static void
look_at_workers(const WaitingJob *job, Workers *workers)
{
	memset(workers, 0, sizeof(Workers));
	server_facts(&workers->server);
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE)
			continue;
		workers->suspect = workers->suspect || slot->suspect;
		if (slot->database != MyDatabaseId || slot->owner != job->owner)
		{
			workers->others = true;
			continue;
		}
		workers->of_role++;
		if (slot->state == WORKER_IDLE || slot->state == WORKER_STARTING)
			workers->idle++;
		if (job->claimed)
			look_into_batch(slot, job->id, workers);
	}
	LWLockRelease(shared->workers_lock);
}

/* Check whether other roles of this database have jobs */
static bool
others_have_jobs(Oid owner)
{
	ReadySummary *summaries;
	int			n = ready_summaries(MyDatabaseId, GetCurrentTimestamp(), false, &summaries);
	bool		others = false;

	for (int i = 0; i < n && !others; i++)
		others = summaries[i].owner != owner;
	return others;
}

/* As policy_decide() in process/pool_policy.c does, a role that has a worker leaves some */
static int
most_workers(const WaitingJob *job, const Workers *workers)
{
	if (workers->of_role == 0 || defer_max_workers == 1 ||
		(!workers->others && !others_have_jobs(job->owner)))
		return defer_max_workers;
	return defer_max_workers - policy_extra_workers(defer_max_workers);
}

static void
worker_reasons(Reasons *found, const WaitingJob *job, const Workers *workers)
{
	if (job->suspect >= SUSPECT_ALONE && workers->suspect)
		add(found, "order", DT_NOEND,
			pstrdup("it may have crashed the server, and waits for the end of another such job"));
	if (workers->holder != 0)
		add(found, "worker", DT_NOEND,
			psprintf("is in the batch of the worker with PID %d, behind job " INT64_FORMAT,
					 workers->holder, workers->held_behind));
	else if (!workers->server.scheduler)
		add(found, "worker", DT_NOEND, pstrdup("no scheduler runs in this database: see defer.health"));
	else if (!reserved_may_begin(job->owner, queue_settings(job->queue)->id))
		add(found, "worker", DT_NOEND, pstrdup("all workers are busy that are not reserved for others"));
	else if (workers->idle > 0)
		return;
	else if (workers->server.no_slots)
		add(found, "worker", DT_NOEND,
			pstrdup("no background worker is free: max_worker_processes is too small"));
	else if (workers->server.refused && workers->of_role == 0)
		add(found, "worker", DT_NOEND,
			pstrdup("workers cannot connect to this database: see the server's log"));
	else if (workers->server.workers >= most_workers(job, workers))
		add(found, "worker", DT_NOEND,
			psprintf("all workers that the role may have are busy: %d of role \"%s\", of %d on the server (defer.max_workers is %d)",
					 workers->of_role, GetUserNameFromId(job->owner, false),
					 workers->server.workers, defer_max_workers));
}

static void
sender_reasons(Reasons *found, const WaitingJob *job)
{
	SenderSlot *slot;
	int			all = 0;
	int			own = 0;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = sender_slot(MyDatabaseId);
	if (slot != NULL && slot->process.pid != 0)
	{
		LWLockAcquire(slot->lock, LW_SHARED);
		for (int i = 0; i < slot->nentries; i++)
		{
			all += slot->entries[i].job_id != 0 ? 1 : 0;
			own += slot->entries[i].job_id != 0 && slot->entries[i].owner == job->owner ? 1 : 0;
		}
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
	if (fair_share(defer_max_deliveries, all, own) == 0)
		add(found, "worker", DT_NOEND,
			psprintf("the sender has %d deliveries under way, %d of role \"%s\" (defer.max_deliveries is %d)",
					 all, own, GetUserNameFromId(job->owner, false), defer_max_deliveries));
}

/* ------------------------------------------------------------------------
 * All of them
 * ------------------------------------------------------------------------ */

/* A session that has locked the row; a worker that is taking the job does so, too */
static void
lock_reasons(Reasons *found, const WaitingJob *job)
{
	int			pid;

	if (TransactionIdIsCurrentTransactionId(job->writer))
		add(found, "commit", DT_NOEND,
			pstrdup("your transaction has enqueued or changed it, and is not committed"));
	if (!TransactionIdIsNormal(job->locker) || !TransactionIdIsInProgress(job->locker))
		return;
	pid = BackendXidGetPid(SubTransGetTopmostTransaction(job->locker));
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		if (worker_slots[i].state != WORKER_FREE && worker_slots[i].process.pid == pid)
			return;
	}
	if (pid != 0)
		add(found, "lock", DT_NOEND,
			psprintf("the transaction of process %d has changed or locked its row", pid));
}

void
why_find(Reasons *found, const WaitingJob *job)
{
	Workers		workers;
	Groups		groups;

	server_reasons(found);
	if (shared == NULL || RecoveryInProgress() || enough(found))
		return;
	look_at_workers(job, &workers);
	if (workers.runs || (job->delivery && sender_has(MyDatabaseId, job->id, false)) ||
		(job->task && lease_has(MyDatabaseId, job->id, false)))
		return;
	time_reasons(found, job);
	if (!enough(found) && !job->claimed)
		order_reasons(found, job);
	if (!enough(found))
	{
		find_groups(job, &groups);
		pause_reasons(found, job, &groups);
	}
	if (!enough(found) && !job->claimed)
		limit_reasons(found, job, &groups);
	if (!enough(found) && !job->claimed)
		rate_reasons(found, job);
	if (!enough(found))
		lock_reasons(found, job);

	/* what else there is to wait for comes first */
	if (found->list == NIL && job->task)
		add(found, "worker", DT_NOEND, pstrdup("no worker of the task has taken it"));
	else if (found->list == NIL && job->delivery)
		sender_reasons(found, job);
	else if (found->list == NIL)
		worker_reasons(found, job, &workers);
}
