/*
 * session_wait.c
 *		Procedures that wait without a snapshot: see session_wait.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/client.h"
#include "base/compat.h"
#include "base/session_wait.h"
#include "base/timer.h"

/* Return so long before the server's time limits, at most a tenth of them (microseconds) */
#define LIMIT_MARGIN	USECS_PER_SEC

void
session_wait_check(FunctionCallInfo fcinfo, const char *what)
{
	if (IsSubTransaction() || fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot wait for %s in a transaction block", what),
				 errdetail("It commits, so that it holds no snapshot while it waits."),
				 errhint("CALL it by itself, in autocommit mode: not behind BEGIN, in a function, or in a block with EXCEPTION.")));
}

MemoryContext
session_wait_open(void)
{
	MemoryContext context = CurrentMemoryContext;

	/* the memory of SPI outlives a transaction */
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	return context;
}

Datum
session_wait_close(FunctionCallInfo fcinfo, MemoryContext context, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	SPI_commit();
	SPI_finish();
	MemoryContextSwitchTo(context);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

int64
session_wait_timeout(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? -1 : setting_interval("timeout", PG_GETARG_INTERVAL_P(n));
}

void
session_wait_sleep(int64 time, DeferWaitEvent event)
{
	const int	wanted = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
	const long	timeout = (Min(time, SESSION_SLEEP_MAX) + 999) / 1000;
	int			events;

	if (client_socket() == PGINVALID_SOCKET || !WaitEventSetCanReportClosed())
		events = WaitLatch(MyLatch, wanted, timeout, defer_wait_event(event));
	else
		events = WaitLatchOrSocket(MyLatch, wanted | WL_SOCKET_CLOSED, client_socket(), timeout,
								   defer_wait_event(event));
	ResetLatch(MyLatch);
	if ((events & WL_SOCKET_CLOSED) != 0)
	{
		ClientConnectionLost = true;
		InterruptPending = true;
	}
}

bool
session_wait_serve(void)
{
	const bool	reload = ConfigReloadPending;

	CHECK_FOR_INTERRUPTS();
	if (reload)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
	return reload;
}

/* Lower the end to shortly before a time limit of the server, if that is on */
static void
heed_limit(TimeoutId limit, int length, int64 *end)
{
	const int64 margin = Min(LIMIT_MARGIN, (int64) length * 1000 / 10);

	if (length > 0 && get_timeout_active(limit))
		*end = Min(*end, monotonic_now() + get_timeout_finish_time(limit) -
				   GetCurrentTimestamp() - margin);
}

int64
session_wait_end(int64 timeout)
{
	int64		end = timeout < 0 ? PG_INT64_MAX : monotonic_now() + timeout;

	heed_limit(STATEMENT_TIMEOUT, StatementTimeout, &end);
#ifdef COMPAT_TRANSACTION_TIMEOUT
	heed_limit(TRANSACTION_TIMEOUT, TransactionTimeout, &end);
#endif
	return end;
}
