/*
 * lease_end.c
 *		Ending attempts of tasks, in the transaction of the worker: see lease.h.
 *
 *		call	check by the lease in shared memory, or without one by the rows of
 *				the job and its claim; note
 *		COMMIT	lock the row, or delete it after a success, if it has the claim;
 *				write the end
 *		then	remove the lease
 *
 * The row's lock decides between this and the scheduler, which ends leases that are
 * over: it locks the row as well, and takes the claim out of it.  The model of this
 * is test/model/lease.pml.
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "base/errcodes.h"
#include "base/job_state.h"
#include "config/task.h"
#include "job/end.h"
#include "job/lease.h"
#include "shmem/scheduler_wake.h"
#include "table/history_table.h"
#include "table/job_by_id.h"
#include "table/rollup.h"

/* An end that is noted */
typedef struct NotedEnd
{
	dlist_node	node;
	int			level;			/* of the subtransaction that has noted it */
	int			written;		/* of the one that has written it; 0: none */
	bool		claim_deleted;
	Oid			user;			/* who has noted it */
	HeldLease	held;
	DeliveryEnd end;
} NotedEnd;

/* In TopTransactionContext, in the order of the calls */
static dlist_head noted = DLIST_STATIC_INIT(noted);

/* The SQLSTATE because of which this transaction cannot commit; 0: it can */
static int	doomed = 0;
static int64 doomed_job;

/* ------------------------------------------------------------------------
 * Errors
 * ------------------------------------------------------------------------ */

/*
 * Raise the error that a job is not held.  One message for a lease that is over, a
 * wrong token, another role's job and no job at all: none of these can be found out.
 */
static void
raise_not_held(int64 job_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_LEASE_LOST),
			 errmsg("job " INT64_FORMAT " is not held with this token", job_id),
			 errdetail("The lease is over, or there is no such job or token."),
			 errhint("Roll back, and go on with another job: this one is another worker's or will be.")));
}

static void
raise_cancelled(int64 job_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_LEASE_CANCELLED),
			 errmsg("job " INT64_FORMAT " was cancelled while it ran", job_id),
			 errhint("Roll back, and end it by defer.fail() or defer.release(): it is cancelled then.")));
}

static void
raise_ended(int64 job_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_LEASE_ENDED),
			 errmsg("job " INT64_FORMAT " was ended with this token before", job_id),
			 errhint("defer.lease_state() tells how.")));
}

/* The top transaction cannot commit any more */
static void
doom(int sqlerrcode, int64 job_id)
{
	doomed = sqlerrcode;
	doomed_job = job_id;
	if (sqlerrcode == ERRCODE_LEASE_CANCELLED)
		raise_cancelled(job_id);
	if (sqlerrcode == ERRCODE_LEASE_ENDED)
		raise_ended(job_id);
	raise_not_held(job_id);
}

static void
check_not_doomed(void)
{
	if (doomed != 0)
		ereport(ERROR,
				(errcode(doomed),
				 errmsg("transaction cannot be committed"),
				 errdetail("It has tried to end job " INT64_FORMAT ", which it could not.",
						   doomed_job),
				 errhint("Roll it back.")));
}

/* ------------------------------------------------------------------------
 * Finding
 * ------------------------------------------------------------------------ */

static bool
is_token(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a, b, sizeof(pg_uuid_t)) == 0;
}

/* Set what a lease in shared memory says; false: there is none of that token */
static bool
find_in_memory(int64 job_id, const pg_uuid_t *token, HeldLease *held)
{
	Lease		lease;

	if (!lease_read(MyDatabaseId, job_id, &lease) || lease.state == LEASE_TAKING ||
		!is_token(&lease.token, token))
		return false;
	held->claim_id = lease.claim_id;
	held->role = lease.role;
	held->njobs = lease.njobs;
	held->taken_at = lease.taken_at;
	held->place = (CachedTid) {lease.row, lease.row_file};
	held->cancel = lease.cancel;
	return true;
}

/* Set what the rows of the job and its claim say, as they are now; false: another token */
static bool
find_in_tables(int64 job_id, const pg_uuid_t *token, HeldLease *held)
{
	Job			job;
	ClaimRow	claim;

	CommandCounterIncrement();
	if (!job_read(job_id, &job) || job.claim == 0 || !claim_row_read(job.claim, &claim) ||
		claim.token == NULL || !is_token(claim.token, token))
		return false;
	held->claim_id = claim.id;
	held->role = claim.role;
	held->njobs = claim.njobs;
	held->taken_at = claim.claimed_at;
	ItemPointerSetInvalid(&held->place.tid);
	held->cancel = false;
	return true;
}

/* Check whether this transaction has noted the end of that attempt */
static bool
is_noted(int64 job_id, const pg_uuid_t *token)
{
	dlist_iter	iter;

	dlist_foreach(iter, &noted)
	{
		NotedEnd   *entry = dlist_container(NotedEnd, node, iter.cur);

		if (entry->held.job_id == job_id && is_token(&entry->held.token, token))
			return true;
	}
	return false;
}

/* Returns the SQLSTATE of why the job is not held, 0: it is */
static int
find(int64 job_id, const pg_uuid_t *token, HeldLease *held)
{
	HistoryRow	row;

	held->job_id = job_id;
	held->token = *token;
	if (is_noted(job_id, token))
		return ERRCODE_LEASE_ENDED;
	if (find_in_memory(job_id, token, held) || find_in_tables(job_id, token, held))
		return has_privs_of_role(GetUserId(), held->role) ? 0 : ERRCODE_LEASE_LOST;
	return history_read(job_id, &row) && row.has_token && is_token(&row.token, token) ?
		ERRCODE_LEASE_ENDED : ERRCODE_LEASE_LOST;
}

void
lease_find(int64 job_id, const pg_uuid_t *token, HeldLease *held)
{
	switch (find(job_id, token, held))
	{
		case 0:
			break;
		case ERRCODE_LEASE_ENDED:
			raise_ended(job_id);
			break;
		default:
			raise_not_held(job_id);
	}
}

bool
lease_is_held(int64 job_id, const pg_uuid_t *token, HeldLease *held)
{
	return find(job_id, token, held) == 0;
}

void
lease_find_to_end(int64 job_id, const pg_uuid_t *token, HeldLease *held)
{
	int			problem = find(job_id, token, held);

	if (problem != 0)
		doom(problem, job_id);
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------ */

/* Check that the user who has noted an end may still work on the task */
static void
check_may_work(const NotedEnd *entry, const Job *job)
{
	char	   *name = text_to_cstring(job->function);
	const TaskSettings *task = task_find(name);

	if (task == NULL || !task_usable_by(task, entry->user, TASK_WORK))
		doom(ERRCODE_LEASE_LOST, job->id);
}

/* Check whether a job was cancelled by force since it was taken */
static bool
was_cancelled(const NotedEnd *entry)
{
	Lease		lease;

	return entry->held.cancel ||
		(lease_read(MyDatabaseId, entry->held.job_id, &lease) &&
		 lease.claim_id == entry->held.claim_id && lease.cancel);
}

/* Write another end than a success; the row is locked up to the end of the transaction */
static void
write_end(NotedEnd *entry)
{
	DeliveryEnd end = entry->end;
	Job			job;

	if (job_lock_claim(entry->held.job_id, entry->held.claim_id, false, &job) != JOB_LOCKED)
		doom(ERRCODE_LEASE_LOST, entry->held.job_id);
	check_may_work(entry, &job);
	if (was_cancelled(entry))
	{
		end.outcome = DELIVERY_CANCELLED;
		end.sqlerrcode = ERRCODE_QUERY_CANCELED;
		end.message = pstrdup("job was cancelled while it ran");
		end.detail = NULL;
	}
	job.token = &entry->held.token;
	finish_remote(&job, entry->held.taken_at, &end);
}

/*
 * Write a success.  The row is deleted at once, which is its lock: it is looked for
 * once.  The job is counted with the others.
 */
static void
write_success(NotedEnd *entry, RollupList *ended)
{
	HeldLease  *held = &entry->held;
	TimestampTz finished_at;
	Job			job;

	if (!job_delete_claim(held->job_id, held->claim_id, &held->place, &job))
		doom(ERRCODE_LEASE_LOST, held->job_id);
	check_may_work(entry, &job);
	if (was_cancelled(entry))
		doom(ERRCODE_LEASE_CANCELLED, job.id);
	job.token = &held->token;
	finished_at = job_end_uncounted(&job, STATE_SUCCEEDED, job.attempt + 1, held->taken_at,
									entry->end.result, NULL, NULL);
	rollup_list_add(ended, &job, STATE_SUCCEEDED, held->taken_at, finished_at);
}

/* Delete the claim of an end if this transaction has ended all of its jobs */
static void
delete_claim(NotedEnd *entry)
{
	const int64 claim_id = entry->held.claim_id;
	int			n = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &noted)
		n += dlist_container(NotedEnd, node, iter.cur)->held.claim_id == claim_id;
	if (n < entry->held.njobs || !claim_row_delete_id(claim_id, false))
		return;
	dlist_foreach(iter, &noted)
	{
		NotedEnd   *other = dlist_container(NotedEnd, node, iter.cur);

		if (other->held.claim_id == claim_id)
			other->claim_deleted = true;
	}
}

/* Write one; what is allocated meanwhile is not needed afterwards */
static void
write_entry(NotedEnd *entry, RollupList *ended)
{
	if (entry->end.outcome == DELIVERY_DONE)
		write_success(entry, ended);
	else
		write_end(entry);
	entry->written = GetCurrentTransactionNestLevel();
}

/* Check whether the next end is not of the same claim */
static bool
is_last_of_claim(dlist_iter iter)
{
	return !dlist_has_next(&noted, iter.cur) ||
		dlist_container(NotedEnd, node, dlist_next_node(&noted, iter.cur))->held.claim_id !=
		dlist_container(NotedEnd, node, iter.cur)->held.claim_id;
}

static int
count_unwritten(void)
{
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, &noted)
		n += dlist_container(NotedEnd, node, iter.cur)->written == 0;
	return n;
}

void
lease_write_ends(void)
{
	const int	n = count_unwritten();
	MemoryContext outer;
	MemoryContext all;
	MemoryContext each;
	RollupList *ended;
	dlist_iter	iter;

	if (n == 0)
		return;
	all = AllocSetContextCreate(CurrentMemoryContext, "defer ends", ALLOCSET_DEFAULT_SIZES);
	each = AllocSetContextCreate(all, "defer end", ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(all);
	ended = rollup_list_make(n);
	PushActiveSnapshot(GetTransactionSnapshot());
	dlist_foreach(iter, &noted)
	{
		NotedEnd   *entry = dlist_container(NotedEnd, node, iter.cur);

		if (entry->written != 0)
			continue;
		MemoryContextSwitchTo(each);
		write_entry(entry, ended);
		if (is_last_of_claim(iter))
			delete_claim(entry);
		CommandCounterIncrement();
		MemoryContextReset(each);
	}
	MemoryContextSwitchTo(all);
	rollup_list_write(ended);
	PopActiveSnapshot();
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(all);
}

/* ------------------------------------------------------------------------
 * The transaction
 * ------------------------------------------------------------------------ */

/* The ends are committed: their leases are over.  Throws nothing */
static void
remove_leases(void)
{
	bool		left = false;
	dlist_iter	iter;

	dlist_foreach(iter, &noted)
	{
		NotedEnd   *entry = dlist_container(NotedEnd, node, iter.cur);

		lease_remove(MyDatabaseId, entry->held.job_id, entry->held.claim_id);
		left = left || !entry->claim_deleted;
	}
	if (left)
		database_claim_left(MyDatabaseId);
}

static void
xact_callback(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			check_not_doomed();
			lease_write_ends();
			break;
		case XACT_EVENT_PRE_PREPARE:
			check_not_doomed();
			if (lease_any_taken() || !dlist_is_empty(&noted))
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has taken or ended jobs of tasks")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			if (event == XACT_EVENT_COMMIT && !dlist_is_empty(&noted))
				remove_leases();
			dlist_init(&noted);
			doomed = 0;
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event)
{
	const int	level = GetCurrentTransactionNestLevel();
	const bool	abort = event == SUBXACT_EVENT_ABORT_SUB;
	dlist_mutable_iter iter;

	if (!abort && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	dlist_foreach_modify(iter, &noted)
	{
		NotedEnd   *entry = dlist_container(NotedEnd, node, iter.cur);

		if (entry->level >= level && abort)
		{
			dlist_delete(&entry->node);
			continue;
		}
		if (abort)
		{
			if (entry->written >= level)
				entry->written = 0;
			entry->claim_deleted = false;	/* if it is, the scheduler looks
											 * in vain */
		}
		entry->level = Min(entry->level, level - 1);
		entry->written = Min(entry->written, level - 1);
	}
}

static char *
copy_text(const char *text)
{
	return text == NULL ? NULL : MemoryContextStrdup(TopTransactionContext, text);
}

void
lease_init(void)
{
	defer_on_xact_event(xact_callback);
	defer_on_subxact_event(subxact_callback);
}

void
lease_note_end(const HeldLease *held, const DeliveryEnd *end)
{
	NotedEnd   *entry;

	if (end->outcome == DELIVERY_DONE && held->cancel)
		doom(ERRCODE_LEASE_CANCELLED, held->job_id);
	entry = MemoryContextAllocZero(TopTransactionContext, sizeof(NotedEnd));
	entry->level = GetCurrentTransactionNestLevel();
	entry->user = GetUserId();
	entry->held = *held;
	entry->end = *end;
	entry->end.message = copy_text(end->message);
	entry->end.detail = copy_text(end->detail);
	if (end->result != NULL)
	{
		entry->end.result = MemoryContextAlloc(TopTransactionContext, VARSIZE(end->result));
		memcpy(entry->end.result, end->result, VARSIZE(end->result));
	}
	dlist_push_tail(&noted, &entry->node);
}
