/*
 * drain.c
 *		defer.drain(): run jobs in the caller's session, for tests of applications.
 *
 * A worker runs a job in a transaction of its own, and sees what is committed.  A
 * test that rolls back at its end needs the opposite: here each job runs in a
 * subtransaction of the caller's, and its end is written in the same transaction, by
 * the code that workers use.  So a rollback of the caller undoes all of it, and other
 * sessions see nothing before the commit.
 *
 * Rows that others have locked, or that a worker has claimed, are left to them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/job_state.h"
#include "base/own_sql.h"
#include "base/subtransaction.h"
#include "function/direct_call_check.h"
#include "job/current_job.h"
#include "job/end.h"
#include "job/execute.h"
#include "job/fan_out_task.h"
#include "job/finish.h"
#include "job/job_log.h"
#include "shmem/preload.h"
#include "shmem/xact_notify_job.h"
#include "table/job_by_id.h"

/* Ids that are read at once */
#define IDS_MAX		100

PG_FUNCTION_INFO_V1(defer_drain);

typedef struct Drain
{
	text	   *queue;			/* NULL: any */
	TimestampTz as_of;			/* NO_TIME: the time of each look */
	bool		raise;
	List	   *left;			/* palloc'd ids that others have */
	MemoryContext context;		/* for "left" */
} Drain;

/* One run of a job, for subtransaction_try() */
typedef struct Run
{
	Job		   *job;
	TimestampTz started_at;
} Run;

/* ------------------------------------------------------------------------
 * Finding jobs
 * ------------------------------------------------------------------------ */

static Datum
left_ids(const Drain *drain)
{
	Datum	   *ids = palloc(Max(list_length(drain->left), 1) * sizeof(Datum));
	int			n = 0;
	ListCell   *cell;

	foreach(cell, drain->left)
		ids[n++] = Int64GetDatum(*(int64 *) lfirst(cell));
	return PointerGetDatum(construct_array(ids, n, INT8OID, 8, FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/* The first jobs that may begin, in the order in which they would */
static int
find_ready(const Drain *drain, int64 *ids)
{
	Oid			types[] = {OIDOID, TIMESTAMPTZOID, TEXTOID, INT8ARRAYOID, INT4OID};
	Datum		values[] = {
		ObjectIdGetDatum(GetUserId()),
		TimestampTzGetDatum(drain->as_of != NO_TIME ? drain->as_of : GetCurrentTimestamp()),
		PointerGetDatum(drain->queue), left_ids(drain), Int32GetDatum(IDS_MAX)
	};
	char		nulls[] = {' ', ' ', drain->queue == NULL ? 'n' : ' ', ' ', ' '};
	OwnSql		own;
	bool		isnull;
	int			n;

	own_sql_begin(&own);
	SPI_connect();
	n = (int) own_sql_run("SELECT j.id FROM defer.job j"
						  " WHERE j.owner OPERATOR(pg_catalog.=) $1"
						  " AND j.run_at OPERATOR(pg_catalog.<=) $2"
						  " AND j.run_at OPERATOR(pg_catalog.<) 'infinity'::pg_catalog.timestamptz"
						  " AND j.claim IS NULL"
						  " AND j.kind OPERATOR(pg_catalog.=) ANY ('{f,p,c}'::pg_catalog.\"char\"[])"
						  " AND ($3 IS NULL OR j.queue OPERATOR(pg_catalog.=) $3)"
						  " AND j.id OPERATOR(pg_catalog.<>) ALL ($4)"
						  " AND (j.order_scope IS NULL OR NOT EXISTS (SELECT FROM defer.job b"
						  " WHERE b.order_scope OPERATOR(pg_catalog.=) j.order_scope"
						  " AND b.group_key COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) j.group_key COLLATE pg_catalog.\"C\""
						  " AND (COALESCE(b.rerun_of, b.id), b.id) OPERATOR(pg_catalog.<) (COALESCE(j.rerun_of, j.id), j.id)"
						  " AND (b.claim IS NULL OR NOT EXISTS (SELECT FROM defer.job_history h"
						  " WHERE h.id OPERATOR(pg_catalog.=) b.id)))"
						  " AND NOT EXISTS (SELECT FROM defer.group_hold o"
						  " WHERE o.kind OPERATOR(pg_catalog.=) CASE WHEN j.order_scope OPERATOR(pg_catalog.>) 0 THEN 'q' ELSE 'f' END::pg_catalog.\"char\""
						  " AND o.id OPERATOR(pg_catalog.=) pg_catalog.abs(j.order_scope)"
						  " AND o.group_key OPERATOR(pg_catalog.=) j.group_key))"
						  " ORDER BY j.priority, j.run_at, j.id LIMIT $5",
						  lengthof(types), types, values, nulls, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
		ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1,
											 &isnull));
	SPI_finish();
	own_sql_end(&own);
	return n;
}

static void
leave(Drain *drain, int64 id)
{
	MemoryContext old = MemoryContextSwitchTo(drain->context);
	int64	   *copy = palloc(sizeof(int64));

	*copy = id;
	drain->left = lappend(drain->left, copy);
	MemoryContextSwitchTo(old);
}

/* ------------------------------------------------------------------------
 * Running one
 * ------------------------------------------------------------------------ */

/* In the job's subtransaction: its work and its end */
static void
run(void *arg)
{
	Run		   *r = arg;
	Job		   *job = r->job;
	int			guc_level = NewGUCNestLevel();
	Jsonb	   *result = execute_job(job);

	/* what the job has set is not the caller's */
	AtEOXact_GUC(false, guc_level);
	PushActiveSnapshot(GetTransactionSnapshot());
	job_end(job, STATE_SUCCEEDED, job->attempt + 1, r->started_at, result, NULL, NULL);
	job_log_write(job->id, job->owner, job->attempt + 1);
	job_delete(job->id);
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/* Check for an error that is the caller's: its statement is cancelled, or its session */
static bool
is_interrupted(const ErrorData *error)
{
	return error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE && subtransaction_interrupted(error);
}

/* Run a job whose row is locked, and record how that went */
static void
run_locked(const Drain *drain, Job *job)
{
	const bool	in_worker = direct_call_in_worker;
	Run			r = {job, GetCurrentTimestamp()};
	ErrorData  *error;

	memset(&current_job, 0, sizeof(current_job));
	current_job.job = job;
	direct_call_in_worker = true;
	job_log_begin();
	error = subtransaction_try(run, &r);
	direct_call_in_worker = in_worker;
	if (error != NULL && !drain->raise && !is_interrupted(error))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		finish_failed_row(job, r.started_at, FAILURE_ERROR, error);
		PopActiveSnapshot();
		CommandCounterIncrement();
		error = NULL;
	}
	job_log_end();
	memset(&current_job, 0, sizeof(current_job));
	if (error != NULL)
		ThrowErrorData(error);
}

/* A job that was not begun in time ends, as a worker would end it */
static bool
discard(Job *job)
{
	if (job->discard_at == NO_TIME || job->discard_at > GetCurrentTimestamp() || job->attempt > 0)
		return false;
	PushActiveSnapshot(GetTransactionSnapshot());
	job_end_discarded(job);
	job_delete(job->id);
	PopActiveSnapshot();
	CommandCounterIncrement();
	return true;
}

/* Returns true if the job ran */
static bool
run_one(Drain *drain, int64 id)
{
	Job			job;

	if (job_lock_claim(id, 0, true, &job) != JOB_LOCKED)
	{
		leave(drain, id);
		return false;
	}
	if (discard(&job))
		return false;
	run_locked(drain, &job);
	return true;
}

/*
 * Run the next jobs, at most "max", until there may be one that comes before the rest.
 * Returns false if there are none.
 */
static bool
run_some(Drain *drain, int64 max, int64 *ran)
{
	int64		ids[IDS_MAX];
	int			n = find_ready(drain, ids);
	uint64		noted = xact_notify_jobs_noted();

	for (int i = 0; i < n && *ran < max && noted == xact_notify_jobs_noted(); i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (run_one(drain, ids[i]))
			(*ran)++;
	}
	return n > 0;
}

/* ------------------------------------------------------------------------
 * SQL
 * ------------------------------------------------------------------------ */

static int64
max_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1))
		return PG_INT64_MAX;
	if (PG_GETARG_INT64(1) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"max\" must not be negative"),
				 errhint("It is the number of jobs to run; NULL, the default, is all.")));
	return PG_GETARG_INT64(1);
}

/* defer.drain(queue, max, as_of, raise) */
Datum
defer_drain(PG_FUNCTION_ARGS)
{
	int64		max = max_argument(fcinfo);
	int64		ran = 0;
	MemoryContext context;
	bool		more = true;
	Drain		drain = {0};

	PreventCommandIfReadOnly("defer.drain()");
	warn_if_not_preloaded();
	if (current_job.job != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("defer.drain() cannot be called in a job"),
				 errhint("The jobs that a job enqueues are run by the same call that runs the job.")));
	drain.queue = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	drain.as_of = PG_ARGISNULL(2) ? NO_TIME : PG_GETARG_TIMESTAMPTZ(2);
	drain.raise = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	drain.context = CurrentMemoryContext;
	context = AllocSetContextCreate(CurrentMemoryContext, "defer drain", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	while (more && ran < max)
	{
		more = run_some(&drain, max, &ran) || (ran < max && fan_out_end_own());
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(drain.context);
	MemoryContextDelete(context);
	PG_RETURN_INT64(ran);
}
