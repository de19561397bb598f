/*
 * as_job.c
 *		defer.as_job(): a worker outside of the server acts as the job that it holds, up
 *		to the end of its transaction.
 *
 * What it enqueues has the job as its parent, and functions for jobs, such as
 * defer.when_done(), defer.log() and defer.inputs(), are about that job.  Roles are as
 * they were: the session's role owns what it enqueues.  Nothing of this stays in the
 * session, so a pooler may give it to others.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/callbacks.h"
#include "base/errcodes.h"
#include "job/current_job.h"
#include "job/lease.h"
#include "table/job_by_id.h"
#include "task/task_call.h"

PG_FUNCTION_INFO_V1(defer_as_job);

/* A call, in TopTransactionContext */
typedef struct ActedJob
{
	slist_node	node;
	int			level;			/* of the subtransaction that has called */
	Job			job;
	pg_uuid_t	token;
	Oid			role;
} ActedJob;

/* The last call first: it counts */
static slist_head acted = SLIST_STATIC_INIT(acted);

static void
set_current(void)
{
	ActedJob   *entry;

	memset(&current_job, 0, sizeof(current_job));
	if (slist_is_empty(&acted))
		return;
	entry = slist_head_element(ActedJob, node, &acted);
	current_job.job = &entry->job;
	current_job.token = &entry->token;
	current_job.role = entry->role;
}

static void
xact_callback(XactEvent event)
{
	if (slist_is_empty(&acted))
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has called defer.as_job()")));
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	slist_init(&acted);
	set_current();
}

static void
subxact_callback(SubXactEvent event)
{
	const int	level = GetCurrentTransactionNestLevel();
	slist_mutable_iter iter;

	if (slist_is_empty(&acted) ||
		(event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB))
		return;
	slist_foreach_modify(iter, &acted)
	{
		ActedJob   *entry = slist_container(ActedJob, node, iter.cur);

		if (entry->level < level)
			break;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			entry->level = level - 1;
		else
			slist_delete_current(&iter);
	}
	set_current();
}

/* Refuse a session that runs a job itself */
static void
check_runs_none(void)
{
	if (current_job.job != NULL && current_job.token == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("defer.as_job() cannot be called in job " INT64_FORMAT,
						current_job.job->id),
				 errdetail("It is for workers outside of the server.")));
}

/* defer.as_job(id, token) */
Datum
defer_as_job(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	HeldLease	held;
	ActedJob   *entry;

	PreventCommandIfReadOnly("defer.as_job()");
	task_check_loaded();
	check_runs_none();
	require_argument(fcinfo, 0, "id");
	require_argument(fcinfo, 1, "token");
	lease_find_to_end(PG_GETARG_INT64(0), PG_GETARG_UUID_P(1), &held);

	defer_on_xact_event(xact_callback);
	defer_on_subxact_event(subxact_callback);
	context = MemoryContextSwitchTo(TopTransactionContext);
	entry = palloc0(sizeof(ActedJob));
	if (!job_read(held.job_id, &entry->job))
		lease_find_to_end(held.job_id, &held.token, &held); /* raises the error */
	MemoryContextSwitchTo(context);
	entry->level = GetCurrentTransactionNestLevel();
	entry->token = held.token;
	entry->role = held.role;
	slist_push_head(&acted, &entry->node);
	set_current();
	PG_RETURN_VOID();
}
