/*
 * when_done.c
 *		defer.when_done(), defer.batch(): jobs that begin when a job and all jobs that
 *		it has enqueued, its batch, have ended.
 *
 * Such a job comes after two others: after the job itself, with the states in which
 * it runs, and after the batch, which has the negative id of the job.  The batch of a
 * job that has not ended is counted (table/fan_out_count.c).  If the job has ended, it
 * comes after the jobs of the batch one by one, as no more can come: then the
 * history has the counts.
 *
 * A job of another session must not have begun: its row stays locked, so it does not
 * begin before this transaction has committed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/citus.h"
#include "base/compat.h"
#include "base/jsonb_util.h"
#include "base/own_sql.h"
#include "job/after.h"
#include "job/control.h"
#include "job/current_job.h"
#include "job/enqueue.h"
#include "job/fan_out_nodes.h"
#include "job/key.h"
#include "job/when_done.h"
#include "shmem/preload.h"
#include "table/dependency_table.h"
#include "table/fan_out_count.h"
#include "table/fan_out_table.h"
#include "config/job_caps.h"
#include "table/job_insert.h"
#include "table/job_row.h"

PG_FUNCTION_INFO_V1(defer_when_done);
PG_FUNCTION_INFO_V1(defer_when_done_json);
PG_FUNCTION_INFO_V1(defer_batch);

/* Arguments of defer.when_done() */
enum
{
	ARG_FUNCTION, ARG_ARGS, ARG_ON_STATES, ARG_OF, ARG_DEEP
};

/* A job that is to begin when a batch is over */
typedef struct Callback
{
	int64		of;				/* the job whose batch it is */
	bool		ended;			/* that has ended */
	bool		deep;
	const char *on_states;		/* NULL: in any */
	Job			job;
} Callback;

/* ------------------------------------------------------------------------
 * The batch
 * ------------------------------------------------------------------------ */

static void
check_depth(int64 of, bool deep, const FanOut *fan_out)
{
	if (fan_out->deep == deep)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 fan_out->deep ?
			 errmsg("the batch of job " INT64_FORMAT " is counted with the jobs that its jobs enqueue", of) :
			 errmsg("the batch of job " INT64_FORMAT " is counted without the jobs that its jobs enqueue", of),
			 errhint("All jobs that wait for a batch have the same \"deep\".")));
}

/* Have the batch of a job that has not ended counted from now on */
static void
count_batch(const Callback *callback, const Job *of)
{
	const int64 first_id = fan_out_first_id(of->id);
	FanOut		fan_out = {.id = of->id, .owner = of->owner, .deep = callback->deep};

	if (fan_out_read(of->id, &fan_out))
	{
		check_depth(of->id, callback->deep, &fan_out);
		return;
	}
	if (callback->deep && first_id != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " has enqueued others already", of->id),
				 errhint("With \"deep\" call defer.when_done() before the job enqueues others.")));
	fan_out.from_id = first_id != 0 ? first_id : callback->job.id;
	fan_out.outer_id = callback->deep ? of->fan_out_id : 0;
	fan_out_insert(&fan_out);
	fan_out_forget(of->id);
}

/*
 * Add the jobs of the batch of a job that has ended which may not have ended, behind
 * room for n others in *ids.  Returns how many that are together.
 */
static int
add_unfinished(int64 of, int64 **ids, int n)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(of);
	OwnSql		own;

	/*
	 * also in a transaction with an older snapshot: they are there with the
	 * end of the job
	 */
	PushActiveSnapshot(GetLatestSnapshot());
	own_sql_begin(&own);
	SPI_connect();
	if (SPI_execute_with_args("SELECT j.id FROM defer.job j WHERE j.parent_id OPERATOR(pg_catalog.=) $1"
							  " AND j.id OPERATOR(pg_catalog.>) $1 AND j.rerun_of IS NULL AND j.schedule_id IS NULL"
							  " ORDER BY j.id", 1, &type, &value, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the jobs of a batch");
	*ids = MemoryContextAllocExtended(context, (n + SPI_processed) * sizeof(int64),
									  MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		(*ids)[n++] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1,
												  &isnull));
	}
	SPI_finish();
	own_sql_end(&own);
	PopActiveSnapshot();
	return n;
}

/* Set what the job comes after: the job, its batch, and perhaps the jobs of that one by one */
static void
set_after(const Callback *callback, After *after)
{
	FanOut		fan_out;

	after->after_failure = AFTER_FAILURE_RUN;
	after->on_states = callback->on_states;
	after->each = NULL;
	after->n = 2;
	if (callback->ended && !fan_out_read(callback->of, &fan_out))
		after->n = add_unfinished(callback->of, &after->ids, after->n);
	else
		after->ids = palloc(after->n * sizeof(int64));
	after->ids[0] = callback->of;
	after->ids[1] = -callback->of;
}

/* ------------------------------------------------------------------------
 * The job
 * ------------------------------------------------------------------------ */

/* "of": the job, if it has not ended */
static int64
enqueue(Callback *callback, const Job *of)
{
	KeyRule		rule = {0};
	After		after;

	callback->job.id = job_new_id();
	if (of != NULL)
		count_batch(callback, of);
	set_after(callback, &after);
	if (after_prepare(&after, &callback->job, &rule))
	{
		(void) job_caps_insert(&callback->job);
		after_write(&after, callback->job.id, true);
	}
	return callback->job.id;
}

void
when_done_of_job(const Job *job, const Job *after)
{
	Callback	callback = {.of = job->id, .job = *after};
	JobLook		look;

	/* it may have ended at once */
	job_look(job->id, &look);
	callback.ended = look.state != PARENT_NOT_ENDED;
	(void) enqueue(&callback, callback.ended ? NULL : job);
}

void
when_done_of_new(const Job *job, const char *function)
{
	Job			after;

	enqueue_make_job(function, NULL, &after);
	when_done_of_job(job, &after);
}

/* The states that are given, as letters; NULL: all */
static const char *
read_states(FunctionCallInfo fcinfo)
{
	char	   *letters = palloc0(JOB_ENDS + 1);
	Datum	   *values;
	bool	   *nulls;
	int			n;

	if (PG_ARGISNULL(ARG_ON_STATES))
		return NULL;
	args_text_array(PG_GETARG_DATUM(ARG_ON_STATES), &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name = nulls[i] ? "NULL" : TextDatumGetCString(values[i]);
		int			state = 0;

		while (state < JOB_ENDS && strcmp(name, job_end_name(state)) != 0)
			state++;
		if (state == JOB_ENDS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"on_states\" has an unrecognized state: \"%s\"", name),
					 errhint("The states are succeeded, failed, cancelled and discarded.")));
		if (strchr(letters, JOB_END_LETTERS[state]) == NULL)
			letters[strlen(letters)] = JOB_END_LETTERS[state];
	}
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"on_states\" is empty"),
				 errhint("Name the states in which the job is to run.")));
	return letters[JOB_ENDS - 1] != '\0' ? NULL : letters;
}

/* Lock the row of a job, so that it does not begin before we commit.  False: it has ended */
static bool
hold_back(int64 id, Job *job)
{
	switch (job_take(id, job))
	{
		case TAKEN_FINISHED:
			return false;
		case TAKEN_NOT_THERE:
			job_not_found(id);
			break;
		case TAKEN_RUNNING:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("job " INT64_FORMAT " is running", id),
					 errhint("Call defer.when_done() inside the job, before it begins, or when it has ended; or enqueue it with \"when_done\".")));
			break;
		case TAKEN:
			break;
	}
	/* it was taken out of a worker's batch */
	if (job->claim != 0)
		(void) job_reschedule(id, job->run_at, false);
	return true;
}

/* The job of argument "of"; NULL: it has ended */
static const Job *
read_of(FunctionCallInfo fcinfo, Callback *callback, Job *taken)
{
	if (PG_ARGISNULL(ARG_OF) ||
		(current_job.job != NULL && PG_GETARG_INT64(ARG_OF) == current_job.job->id))
	{
		current_job_require("defer.when_done()");
		callback->of = current_job.job->id;
		return current_job.job;
	}
	callback->of = PG_GETARG_INT64(ARG_OF);
	if (hold_back(callback->of, taken))
		return taken;
	callback->ended = true;
	if (callback->deep)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " has ended already", callback->of),
				 errhint("With \"deep\" call defer.when_done() before the job begins.")));
	return NULL;
}

Datum
defer_when_done(PG_FUNCTION_ARGS)
{
	Callback	callback = {0};
	const Job  *of;
	Job			taken;

	PreventCommandIfReadOnly("defer.when_done()");
	require_argument(fcinfo, ARG_FUNCTION, "function");
	warn_if_not_preloaded();
	callback.deep = !PG_ARGISNULL(ARG_DEEP) && PG_GETARG_BOOL(ARG_DEEP);
	callback.on_states = read_states(fcinfo);
	enqueue_make_job(text_to_cstring(PG_GETARG_TEXT_PP(ARG_FUNCTION)),
					 PG_ARGISNULL(ARG_ARGS) ? NULL : PG_GETARG_JSONB_P(ARG_ARGS), &callback.job);
	of = read_of(fcinfo, &callback, &taken);
	PG_RETURN_INT64(enqueue(&callback, of));
}

/* ------------------------------------------------------------------------
 * Inside the job
 * ------------------------------------------------------------------------ */

/*
 * The counts of a batch, by its job.  One that was not counted, because its job had
 * ended, is counted in the history.
 */
static const char *const batch_sql =
"SELECT f.succeeded, f.failed, f.cancelled, f.discarded FROM defer.fan_out f WHERE f.id OPERATOR(pg_catalog.=) $1"
" UNION ALL SELECT pg_catalog.count(*) FILTER (WHERE h.state OPERATOR(pg_catalog.=) 's'),"
" pg_catalog.count(*) FILTER (WHERE h.state OPERATOR(pg_catalog.=) 'f'),"
" pg_catalog.count(*) FILTER (WHERE h.state OPERATOR(pg_catalog.=) 'c'),"
" pg_catalog.count(*) FILTER (WHERE h.state OPERATOR(pg_catalog.=) 'd')"
" FROM defer.job_history h WHERE h.parent_id OPERATOR(pg_catalog.=) $1 AND h.rerun_of IS NULL AND h.schedule_id IS NULL"
" AND NOT EXISTS (SELECT FROM defer.fan_out f WHERE f.id OPERATOR(pg_catalog.=) $1) LIMIT 1";

/* The job for whose batch the current one waited */
static int64
batch_of_current(void)
{
	Dependency *rows;
	int			n = dependency_of_child(current_job.job->id, &rows);

	for (int i = 0; i < n; i++)
	{
		if (rows[i].parent_id < 0)
			return -rows[i].parent_id;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("job " INT64_FORMAT " did not wait for a batch", current_job.job->id),
			 errhint("Call defer.batch() in a function that was enqueued by defer.when_done().")));
}

Datum
defer_batch(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		counts[JOB_ENDS];
	Oid			type = INT8OID;
	Datum		of;
	OwnSql		own;

	current_job_require("defer.batch()");
	of = Int64GetDatum(batch_of_current());
	InitMaterializedSRF(fcinfo, 0);
	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run(batch_sql, 1, &type, &of, NULL, SPI_OK_SELECT) != 1)
		elog(ERROR, "could not count the jobs of a batch");
	for (int i = 0; i < JOB_ENDS; i++)
	{
		bool		isnull;

		counts[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1,
												&isnull));
	}
	SPI_finish();
	own_sql_end(&own);
	if (citus_loaded)
		fan_out_add_nodes(DatumGetInt64(of), counts);
	for (int i = 0; i < JOB_ENDS; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false};

		values[0] = CStringGetTextDatum(job_end_name(i));
		values[1] = Int64GetDatum(counts[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The same with json */
Datum
defer_when_done_json(PG_FUNCTION_ARGS)
{
	const int	json[] = {1};

	return jsonb_call(fcinfo, defer_when_done, json, lengthof(json));
}
