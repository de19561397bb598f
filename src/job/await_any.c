/*
 * await_any.c
 *		defer.await_any(): wait until the first of several jobs has ended.
 *
 * It commits first, and so waits without a snapshot, which defer.await() cannot: that is
 * a function.  Each look is a transaction.  The commit that ends a job leaves its id in
 * shared memory for us (shmem/waiters.h), so that we look at that one, not at all.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/job_state.h"
#include "base/session_wait.h"
#include "base/timer.h"
#include "job/await.h"
#include "job/current_job.h"
#include "shmem/waiters.h"
#include "table/history_table.h"

PG_FUNCTION_INFO_V1(defer_await_any);

/* Jobs of one call */
#define IDS_MAX		10000

typedef struct AwaitAny
{
	MemoryContext scratch;		/* of a look */
	int64	   *ids;			/* sorted */
	int			n;
	int64		ended;			/* 0: none has */
	HistoryRow	outcome;
} AwaitAny;

static int
compare_ids(const void *a, const void *b)
{
	const int64 x = *(const int64 *) a;
	const int64 y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* The jobs that are waited for, in the current memory context */
static void
read_ids(FunctionCallInfo fcinfo, AwaitAny *any)
{
	Datum	   *values;
	bool	   *nulls;

	require_argument(fcinfo, 0, "ids");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, &nulls, &any->n);
	if (any->n == 0 || any->n > IDS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"ids\" must have 1 to %d elements", IDS_MAX)));
	any->ids = palloc(any->n * sizeof(int64));
	for (int i = 0; i < any->n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("\"ids\" must not contain NULL")));
		any->ids[i] = DatumGetInt64(values[i]);
	}
	qsort(any->ids, any->n, sizeof(int64), compare_ids);
}

/* Look at some jobs, in a transaction; returns whether one has ended */
static bool
look(AwaitAny *any, const int64 *ids, int n)
{
	MemoryContext context;

	MemoryContextReset(any->scratch);
	context = MemoryContextSwitchTo(any->scratch);
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < n && any->ended == 0; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (bsearch(&ids[i], any->ids, any->n, sizeof(int64), compare_ids) != NULL &&
			await_job_ended(ids[i], &any->outcome))
			any->ended = ids[i];
	}
	if (any->ended != 0)
		await_flush_end(any->ended);
	PopActiveSnapshot();
	MemoryContextSwitchTo(context);
	SPI_commit();
	pgstat_report_xact_timestamp(0);
	return any->ended != 0;
}

/* Wait up to that time of the monotonic clock; we are registered */
static void
wait_until(AwaitAny *any, int64 end)
{
	if (look(any, any->ids, any->n))
		return;
	for (;;)
	{
		const int64 left = end - monotonic_now();
		const int64 start = monotonic_now();
		int64		ended[WAITER_ENDED_MAX];
		int			n;

		if (left <= 0)
			return;
		session_wait_sleep(Min(left, AWAIT_RECHECK * INT64CONST(1000)), DEFER_WAIT_AWAIT);
		(void) session_wait_serve();
		n = waiter_take_ended(ended);
		if (n > 0 && look(any, ended, n))
			return;
		if ((n < 0 || monotonic_now() - start >= AWAIT_RECHECK * INT64CONST(1000)) &&
			look(any, any->ids, any->n))
			return;
	}
}

static void
wait_registered(AwaitAny *any, int64 end)
{
	waiter_register_any(any->ids, any->n);
	PG_TRY();
	{
		wait_until(any, end);
	}
	PG_FINALLY();
	{
		waiter_unregister();
	}
	PG_END_TRY();
}

/* Set the outputs; the result is copied into the memory context */
static void
set_outputs(const AwaitAny *any, MemoryContext context, Datum *values, bool *nulls)
{
	const Jsonb *result = any->ended != 0 ? any->outcome.result : NULL;
	const int	number = job_end_number(any->ended != 0 ? any->outcome.state : '\0');
	MemoryContext outer = MemoryContextSwitchTo(context);

	nulls[0] = any->ended == 0;
	nulls[1] = number < 0;
	nulls[2] = result == NULL;
	values[0] = Int64GetDatum(any->ended);
	values[1] = number < 0 ? (Datum) 0 : CStringGetTextDatum(job_end_name(number));
	values[2] = result == NULL ? (Datum) 0 :
		datumCopy(PointerGetDatum(result), false, -1);
	MemoryContextSwitchTo(outer);
}

static void
check_no_job(void)
{
	if (current_job.job != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("defer.await_any() cannot be called in a job"),
				 errhint("Call defer.await(), or enqueue what comes afterwards with \"after\".")));
}

/* defer.await_any(ids, timeout, INOUT id, INOUT state, INOUT result) */
Datum
defer_await_any(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	AwaitAny	any = {0};
	int64		timeout;
	Datum		values[3];
	bool		nulls[3];

	PreventCommandDuringRecovery("defer.await_any()");
	check_no_job();
	session_wait_check(fcinfo, "jobs");
	await_check_served();
	timeout = session_wait_timeout(fcinfo, 1);

	context = session_wait_open();
	any.scratch = AllocSetContextCreate(CurrentMemoryContext, "defer await", ALLOCSET_DEFAULT_SIZES);
	read_ids(fcinfo, &any);
	SPI_commit();
	wait_registered(&any, session_wait_end(timeout));
	set_outputs(&any, context, values, nulls);
	return session_wait_close(fcinfo, context, values, nulls);
}
