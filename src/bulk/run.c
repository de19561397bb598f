/*
 * run.c
 *		Dealing with the jobs of a bulk command, at once or part by part:
 *		defer.run_bulk().
 *
 * The job that runs defer.run_bulk() is the caller's, like any other: it takes a
 * worker of that role, can be cancelled, and is tried again after a failure or a
 * crash.  A part, its row and the counts change in one transaction: so each part
 * is dealt with once, and a job that is tried again goes on where it was.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/roles.h"
#include "bulk/bulk.h"
#include "job/control.h"
#include "job/current_job.h"
#include "shmem/workers.h"

PG_FUNCTION_INFO_V1(defer_run_bulk);

/* A row of defer.bulk */
typedef struct Bulk
{
	int64		id;
	Oid			owner;
	BulkOrder	order;
	int64		matched;
	int64		done;
	int64		left_alone;
} Bulk;

/* ------------------------------------------------------------------------
 * Jobs
 * ------------------------------------------------------------------------ */

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

int64
bulk_do(const BulkOrder *order, int64 *ids, int n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "defer bulk job",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int64		done = 0;
	int64		new_id;

	/* in one order for all who lock several rows: they do not deadlock */
	qsort(ids, n, sizeof(int64), compare_ids);
	for (int i = 0; i < n; i++)
	{
		ControlResult result = CONTROL_LEFT;

		CHECK_FOR_INTERRUPTS();
		switch (order->action)
		{
			case BULK_CANCEL:
				result = job_cancel(ids[i], order->force);
				break;
			case BULK_RERUN:
				result = job_rerun(ids[i], false, order->force, &new_id);
				break;
			case BULK_RETRY:
				result = job_retry(ids[i], false, order->force);
				break;
			case BULK_ACKNOWLEDGE:
				result = job_acknowledge(ids[i], order->note);
				break;
			case BULK_RESCHEDULE:
				result = job_reschedule(ids[i], order->run_at, false);
				break;
		}
		if (result == CONTROL_DONE)
			done++;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return done;
}

/* ------------------------------------------------------------------------
 * Parts
 * ------------------------------------------------------------------------ */

const char *const bulk_action_names[] = {
	[BULK_CANCEL] = "cancel",
	[BULK_RERUN] = "rerun",
	[BULK_RETRY] = "retry",
	[BULK_ACKNOWLEDGE] = "acknowledge",
	[BULK_RESCHEDULE] = "reschedule"
};

static BulkAction
action_of_name(const char *name)
{
	for (int i = 0; i < lengthof(bulk_action_names); i++)
	{
		if (strcmp(name, bulk_action_names[i]) == 0)
			return (BulkAction) i;
	}
	elog(ERROR, "unrecognized bulk command \"%s\"", name);
}

/* Read and lock the row of a command that the current user may manage */
static void
lock_bulk(int64 id, Bulk *bulk)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};
	MemoryContext context = CurrentMemoryContext;
	HeapTuple	row;
	TupleDesc	desc;
	OwnSql		own;
	char	   *note;
	bool		isnull;
	bool		found;

	memset(bulk, 0, sizeof(Bulk));
	bulk->id = id;
	own_sql_begin(&own);
	SPI_connect();
	found = own_sql_run("SELECT b.owner, b.action, b.force, b.run_at, b.matched, b.done, b.left_alone, b.note"
						" FROM defer.bulk b WHERE b.id OPERATOR(pg_catalog.=) $1 FOR UPDATE",
						lengthof(types), types, values, NULL, SPI_OK_SELECT) == 1;
	if (found)
	{
		row = SPI_tuptable->vals[0];
		desc = SPI_tuptable->tupdesc;
		bulk->owner = DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull));
		bulk->order.action = action_of_name(SPI_getvalue(row, desc, 2));
		bulk->order.force = DatumGetBool(SPI_getbinval(row, desc, 3, &isnull));
		bulk->order.run_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 4, &isnull));
		bulk->matched = DatumGetInt64(SPI_getbinval(row, desc, 5, &isnull));
		bulk->done = DatumGetInt64(SPI_getbinval(row, desc, 6, &isnull));
		bulk->left_alone = DatumGetInt64(SPI_getbinval(row, desc, 7, &isnull));
		note = SPI_getvalue(row, desc, 8);
		if (note != NULL)
			bulk->order.note = MemoryContextStrdup(context, note);
	}
	SPI_finish();
	own_sql_end(&own);
	if (!found || !role_may_manage(bulk->owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("bulk command " INT64_FORMAT " does not exist", id),
				 errhint("What is left of one is removed some time after its job has ended.")));
}

/* Take the next part out of the table; its jobs in the current context.  0: none is left */
static int
take_part(int64 bulk_id, int64 **ids)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(bulk_id)};
	Datum	   *elements;
	OwnSql		own;
	bool		isnull;
	int			n = 0;

	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("DELETE FROM defer.bulk_part p WHERE p.bulk_id OPERATOR(pg_catalog.=) $1 AND p.part OPERATOR(pg_catalog.=)"
					" (SELECT q.part FROM defer.bulk_part q WHERE q.bulk_id OPERATOR(pg_catalog.=) $1"
					" ORDER BY q.part LIMIT 1) RETURNING p.ids",
					lengthof(types), types, values, NULL, SPI_OK_DELETE_RETURNING) == 1)
	{
		deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(SPI_tuptable->vals[0],
														   SPI_tuptable->tupdesc, 1, &isnull)),
						  INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, NULL, &n);
		*ids = MemoryContextAlloc(context, sizeof(int64) * Max(n, 1));
		for (int i = 0; i < n; i++)
			(*ids)[i] = DatumGetInt64(elements[i]);
	}
	SPI_finish();
	own_sql_end(&own);
	return n;
}

/* Write the counts; "finished": delete the row instead */
static void
write_bulk(const Bulk *bulk, bool finished)
{
	Oid			types[] = {INT8OID, INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(bulk->id), Int64GetDatum(bulk->done),
		Int64GetDatum(bulk->left_alone)};
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	if (finished)
		(void) own_sql_run("DELETE FROM defer.bulk b WHERE b.id OPERATOR(pg_catalog.=) $1",
						   1, types, values, NULL, SPI_OK_DELETE);
	else
		(void) own_sql_run("UPDATE defer.bulk b SET done = $2, left_alone = $3"
						   " WHERE b.id OPERATOR(pg_catalog.=) $1",
						   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	own_sql_end(&own);
}

/* Deal with the next part in the present transaction; false: there was none */
static bool
run_part(int64 id, Bulk *bulk)
{
	int64	   *ids = NULL;
	int64		done;
	int			n;

	PushActiveSnapshot(GetTransactionSnapshot());
	lock_bulk(id, bulk);
	n = take_part(id, &ids);
	if (n > 0)
	{
		done = bulk_do(&bulk->order, ids, n);
		bulk->done += done;
		bulk->left_alone += n - done;
	}
	write_bulk(bulk, n == 0);
	PopActiveSnapshot();
	if (bulk->matched > 0)
		worker_set_progress((float4) Min(1.0, (double) (bulk->done + bulk->left_alone) /
										 bulk->matched));
	return n > 0;
}

/* CALL defer.run_bulk(bulk, matched, done, left_alone) */
Datum
defer_run_bulk(PG_FUNCTION_ARGS)
{
	bool		atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic;
	MemoryContext context;
	Bulk		bulk;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {0};
	int64		id;
	bool		more;

	require_argument(fcinfo, 0, "bulk");
	id = PG_GETARG_INT64(0);
	if (current_job.job == NULL || atomic)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s can only be called as a job", "defer.run_bulk()"),
				 errhint("Use defer.cancel_jobs(), defer.retry_jobs() and the like.")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	context = AllocSetContextCreate(CurrentMemoryContext, "defer bulk part", ALLOCSET_DEFAULT_SIZES);
	do
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		more = run_part(id, &bulk);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		if (more)
			SPI_commit();
	} while (more);
	SPI_finish();
	values[0] = Int64GetDatum(bulk.matched);
	values[1] = Int64GetDatum(bulk.done);
	values[2] = Int64GetDatum(bulk.left_alone);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

void
bulk_clean_up(void)
{
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_execute("DELETE FROM defer.bulk b WHERE b.job_id IS NULL OR"
						   " NOT EXISTS (SELECT FROM defer.job j WHERE j.id OPERATOR(pg_catalog.=) b.job_id)",
						   SPI_OK_DELETE);
	SPI_finish();
	own_sql_end(&own);
}
