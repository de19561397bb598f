/*
 * bulk.c
 *		Commands on all jobs that pass a filter: defer.cancel_jobs(),
 *		defer.rerun_jobs(), defer.retry_jobs(), defer.acknowledge_jobs(),
 *		defer.reschedule_jobs().
 *
 * The filters are those of defer.find_jobs(), and the same code searches.  Up to
 * DIRECT_MAX jobs are dealt with in the caller's transaction.  Of more, the ids
 * are stored in it, in parts, with a row of defer.bulk and a job that deals with
 * one part after the other (bulk/run.c).  So the set is what the caller's
 * statement saw, nothing happens if the caller rolls back, and no transaction
 * holds millions of row locks.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/jsonb_util.h"
#include "base/roles.h"
#include "bulk/bulk.h"
#include "bulk/job_search.h"
#include "config/quota.h"
#include "function/function.h"
#include "job/control.h"
#include "job/enqueue.h"

/* Jobs that are dealt with in the caller's transaction, at most */
#define DIRECT_MAX		10000

/* Jobs of a part */
#define PART_JOBS		500

/* Parameters after the filters */
#define ARG_GROUP_KEY	10
#define ARG_REST		15

PG_FUNCTION_INFO_V1(defer_cancel_jobs);
PG_FUNCTION_INFO_V1(defer_rerun_jobs);
PG_FUNCTION_INFO_V1(defer_retry_jobs);
PG_FUNCTION_INFO_V1(defer_acknowledge_jobs);
PG_FUNCTION_INFO_V1(defer_reschedule_jobs);

/* What the function returns */
typedef struct Outcome
{
	int64		matched;
	int64		done;
	int64		job_id;			/* 0: none, it is all done */
} Outcome;

/* ------------------------------------------------------------------------
 * Sets that are stored
 * ------------------------------------------------------------------------ */

/* Insert the row of an order; returns its id */
static int64
insert_order(const BulkOrder *order)
{
	Oid			types[] = {REGROLEOID, TEXTOID, BOOLOID, TIMESTAMPTZOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(GetUserId()), CStringGetTextDatum(bulk_action_names[order->action]),
		BoolGetDatum(order->force), TimestampTzGetDatum(order->run_at),
		order->note != NULL ? CStringGetTextDatum(order->note) : (Datum) 0
	};
	char		nulls[] = {' ', ' ', ' ', order->action == BULK_RESCHEDULE ? ' ' : 'n',
		order->note != NULL ? ' ' : 'n'};
	OwnSql		own;
	bool		isnull;
	int64		id;

	quota_check("bulk", "bulk commands in progress", GetUserId());
	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("INSERT INTO defer.bulk (owner, action, force, run_at, note)"
					" VALUES ($1, $2, $3, $4, $5) RETURNING id",
					lengthof(types), types, values, nulls, SPI_OK_INSERT_RETURNING) != 1)
		elog(ERROR, "could not store the command");
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	own_sql_end(&own);
	return id;
}

/* Store a page of jobs as parts, the number of the first of which is *part */
static void
insert_parts(int64 bulk_id, int *part, const int64 *ids, int n)
{
	Oid			types[] = {INT8OID, INT4OID, INT8ARRAYOID};
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	for (int i = 0; i < n; i += PART_JOBS)
	{
		int			njobs = Min(PART_JOBS, n - i);
		Datum		elements[PART_JOBS];
		Datum		values[3];

		for (int j = 0; j < njobs; j++)
			elements[j] = Int64GetDatum(ids[i + j]);
		values[0] = Int64GetDatum(bulk_id);
		values[1] = Int32GetDatum((*part)++);
		values[2] = PointerGetDatum(construct_array(elements, njobs, INT8OID, 8, FLOAT8PASSBYVAL,
													TYPALIGN_DOUBLE));
		(void) own_sql_run("INSERT INTO defer.bulk_part (bulk_id, part, ids) VALUES ($1, $2, $3)",
						   lengthof(types), types, values, NULL, SPI_OK_INSERT);
	}
	SPI_finish();
	own_sql_end(&own);
}

/* Enqueue the job that deals with them; returns its id */
static int64
enqueue_run(int64 bulk_id)
{
	FunctionEntry *entry = function_by_signature("defer.run_bulk(bigint)");
	JsonbBuilder state = {0};

	if (entry == NULL)
		elog(ERROR, "procedure defer.run_bulk(bigint) does not exist");
	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_number(&state, "bulk", bulk_id);
	return enqueue_own_job(entry->kind, entry->signature, entry->owner,
						   JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL)));
}

/* Note how many jobs there are, and which job deals with them */
static void
finish_order(int64 bulk_id, const Outcome *outcome)
{
	Oid			types[] = {INT8OID, INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(bulk_id), Int64GetDatum(outcome->matched),
		Int64GetDatum(outcome->job_id)};
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run("UPDATE defer.bulk b SET matched = $2, job_id = $3 WHERE b.id OPERATOR(pg_catalog.=) $1",
					   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	own_sql_end(&own);
}

/* ------------------------------------------------------------------------
 * The functions
 * ------------------------------------------------------------------------ */

/* Find and count the jobs; deal with them, or store them, unless it is a dry run */
static void
run_command(FunctionCallInfo fcinfo, const BulkOrder *order, JobSearch *search, bool dry_run,
			Outcome *outcome)
{
	MemoryContext page_context = AllocSetContextCreate(CurrentMemoryContext, "defer bulk page",
													   ALLOCSET_DEFAULT_SIZES);
	int64	   *ids = palloc(sizeof(int64) * (DIRECT_MAX + 1));
	int64		bulk_id = 0;
	int			part = 1;
	int			n;

	do
	{
		MemoryContext old = MemoryContextSwitchTo(page_context);

		n = job_search_page(search, DIRECT_MAX + 1, ids);
		MemoryContextSwitchTo(old);
		if (dry_run)
			 /* counted below */ ;
		else if (outcome->matched == 0 && n <= DIRECT_MAX)
			outcome->done = bulk_do(order, ids, n);
		else if (n > 0)
		{
			if (bulk_id == 0)
				bulk_id = insert_order(order);
			insert_parts(bulk_id, &part, ids, n);
		}
		outcome->matched += n;
		MemoryContextReset(page_context);
	} while (n == DIRECT_MAX + 1);
	if (bulk_id != 0)
	{
		outcome->job_id = enqueue_run(bulk_id);
		finish_order(bulk_id, outcome);
	}
	MemoryContextDelete(page_context);
	pfree(ids);
}

/* dry_run and everything are the arguments from "last" on */
static Datum
bulk_command(FunctionCallInfo fcinfo, const BulkOrder *order, int last)
{
	bool		dry_run = !PG_ARGISNULL(last) && PG_GETARG_BOOL(last);
	bool		everything = !PG_ARGISNULL(last + 1) && PG_GETARG_BOOL(last + 1);
	char	   *name = psprintf("defer.%s_jobs()", bulk_action_names[order->action]);
	JobSearch  *search = job_search_begin(fcinfo, ARG_GROUP_KEY, role_may_manage);
	Outcome		outcome = {0};
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {0};

	if (!dry_run)
		PreventCommandIfReadOnly(name);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (order->action == BULK_RETRY || order->action == BULK_ACKNOWLEDGE)
		job_search_failed(search, !order->force);
	else
		job_search_only(search, order->action == BULK_RERUN);
	if (!everything && !job_search_filters(search))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s needs a filter", name),
				 errhint("If all jobs that you may manage are meant, use everything => true.")));
	run_command(fcinfo, order, search, dry_run, &outcome);
	values[0] = Int64GetDatum(outcome.matched);
	values[1] = Int64GetDatum(outcome.done);
	values[2] = Int64GetDatum(outcome.job_id);
	nulls[2] = outcome.job_id == 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* One that has the parameters filters, group_key .. owner, force, dry_run, everything */
static Datum
command_with_force(FunctionCallInfo fcinfo, BulkAction action)
{
	BulkOrder	order = {action};

	order.force = !PG_ARGISNULL(ARG_REST) && PG_GETARG_BOOL(ARG_REST);
	return bulk_command(fcinfo, &order, ARG_REST + 1);
}

Datum
defer_cancel_jobs(PG_FUNCTION_ARGS)
{
	return command_with_force(fcinfo, BULK_CANCEL);
}

Datum
defer_rerun_jobs(PG_FUNCTION_ARGS)
{
	return command_with_force(fcinfo, BULK_RERUN);
}

Datum
defer_retry_jobs(PG_FUNCTION_ARGS)
{
	return command_with_force(fcinfo, BULK_RETRY);
}

/* defer.acknowledge_jobs(filters, group_key .. owner, note, dry_run, everything) */
Datum
defer_acknowledge_jobs(PG_FUNCTION_ARGS)
{
	BulkOrder	order = {BULK_ACKNOWLEDGE};

	order.note = args_text(fcinfo, ARG_REST);
	job_check_note(order.note);
	return bulk_command(fcinfo, &order, ARG_REST + 1);
}

/* defer.reschedule_jobs(filters, group_key .. owner, run_at, dry_run, everything) */
Datum
defer_reschedule_jobs(PG_FUNCTION_ARGS)
{
	BulkOrder	order = {BULK_RESCHEDULE};

	require_argument(fcinfo, ARG_REST, "run_at");
	order.run_at = PG_GETARG_TIMESTAMPTZ(ARG_REST);
	job_check_run_at(order.run_at);
	return bulk_command(fcinfo, &order, ARG_REST + 1);
}
