/*
 * sender.c
 *		The process that sends deliveries: one a database, while there are any.
 *
 * It claims deliveries of all roles, has many of them in flight at the same
 * time, and writes down the outcomes of finished ones, many in one
 * transaction.  No transaction is open while it waits for the network, and no
 * lock and no error of ours keeps it from the network for long.  A delivery is
 * at least once: if the process or the server goes in the middle of one, it is
 * unknown whether it has arrived, and it is sent again under the same key.
 *
 * It is started from the library defer_sender, which has libcurl, and which calls
 * defer_sender_run() with its functions.
 */
#include "postgres.h"

#include <sys/resource.h>
#include <unistd.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "pure/network_rules.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/guc_delivery.h"
#include "base/own_transaction.h"
#include "base/wait_events.h"
#include "shmem/databases.h"
#include "shmem/limits.h"
#include "shmem/senders.h"
#include "delivery/inflight.h"
#include "process/process.h"
#include "process/slot.h"

/* Waits (milliseconds): for a row that is locked, a lookup, after an error of our own */
#define BUSY_WAIT		20
#define LOOKUP_WAIT		100
#define ERROR_WAIT		1000

/* Open files that are not for transfers */
#define OTHER_FILES		100

/* Readable when perform() is due */
static int	network_fd = -1;

/* After an error, the next try is not before then (0: at once) */
static TimestampTz claim_not_before = 0;
static TimestampTz record_not_before = 0;

/* ------------------------------------------------------------------------
 * The slot
 * ------------------------------------------------------------------------ */

/* Give the slot back, when the connection to the database is gone */
static void
sender_detach(int code, Datum arg)
{
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		const Delivery *delivery = inflight.deliveries[i];

		if (delivery == NULL)
			continue;
		if (delivery->waits)
			(void) rates_without_token(MyDatabaseId, &delivery->job.scopes, 1);
		(void) limits_release(MyDatabaseId, &delivery->job.scopes, LIMITS_ALL);
	}
	slot_detach_sender(inflight.slot, inflight.ndeliveries > 0);
}

static bool
any_role(Oid role, bool mails)
{
	return true;
}

/*
 * Stop being the sender that an enqueue wakes.  False: there is something to do
 * after all, and we still are.
 */
static bool
stop_idling(void)
{
	TimestampTz ignored = DT_NOEND;
	ReadyClaim *claim;

	slot_hide_sender(inflight.slot);
	if (!defer_enabled ||
		(claim = ready_queue_choose_delivery(MyDatabaseId, any_role, GetCurrentTimestamp(),
											 &ignored)) == NULL)
		return true;
	ready_queue_scan_abort(claim, MyDatabaseId);
	slot_show_sender(inflight.slot);
	return false;
}

static bool
shutdown_requested(void)
{
	return my_database->withdrawn || my_database->database != MyDatabaseId;
}

/* ------------------------------------------------------------------------
 * The end of the process
 * ------------------------------------------------------------------------ */

/* Threads that could not be ended: they are in the system's name resolution */
static int	threads_left = 0;

/* lock_timeout, to which the server's own handler does not listen any more */
static void
handle_sigint_at_exit(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (get_timeout_indicator(LOCK_TIMEOUT, false))
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * On the way out, while there still is a database connection.  A session may
 * have locked the rows that are written here: the wait ends as that of a
 * worker does (see worker_before_exit()), and the scheduler finds the claims.
 */
static void
before_exit(int code, Datum arg)
{
	threads_left = inflight.transport->stop();
	ready_queue_scan_abandon(MyDatabaseId);
	delivery_claim_abandon();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(TopMemoryContext);
	pqsignal(SIGINT, handle_sigint_at_exit);
	InterruptHoldoffCount = 0;
	if (my_database->database == MyDatabaseId)
		delivery_record_all("the server, or work on the database, has stopped the job");
}

/*
 * The last callback of all.  exit() runs the handlers of libraries, OpenSSL's for
 * one, which free what threads that are left still use: a crash of this process, for
 * which the postmaster would restart the server.
 */
static void
leave_without_handlers(int code, Datum arg)
{
	if (threads_left > 0)
		_exit(code);
}

/* ------------------------------------------------------------------------
 * Settings
 * ------------------------------------------------------------------------ */

/* As many as the setting says, if the system lets us have so many files open */
static int
capacity_by_settings(void)
{
	int			capacity = Min(defer_max_deliveries, TRANSFERS_MAX);
	const		rlim_t wanted = capacity + OTHER_FILES + max_files_per_process;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return capacity;
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted)
	{
		limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? wanted : Min(limit.rlim_max, wanted);
		(void) setrlimit(RLIMIT_NOFILE, &limit);
		(void) getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur != RLIM_INFINITY)
		capacity = Min(capacity, Max((int) limit.rlim_cur - 3 * OTHER_FILES, 4));
	return capacity;
}

static void
apply_settings(void)
{
	NetworkList allowed = {0};
	char		problem[128];

	if (!networks_parse(defer_http_allow != NULL ? defer_http_allow : "", &allowed, problem,
						sizeof(problem)))
		allowed.n = 0;
	if (!inflight.transport->configure(&allowed, defer_http_ca_file))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	inflight.capacity = capacity_by_settings();
}

static void
reload_settings(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	apply_settings();
}

/* ------------------------------------------------------------------------
 * The loop
 * ------------------------------------------------------------------------ */

/*
 * Check whether it is too early for another try.  A deadline too far off is of
 * before the clock was set
 */
static bool
must_wait(TimestampTz not_before, TimestampTz now, TimestampTz *next_check)
{
	if (not_before <= now || not_before > now + ERROR_WAIT * 1000)
		return false;
	*next_check = Min(*next_check, not_before);
	return true;
}

/* The end of the pause after an error; the process ends if the extension is gone */
static TimestampTz
pause_after_error(TimestampTz *next_check)
{
	TimestampTz until;

	if (!own_transaction_extension_exists())
		proc_exit(EXIT_DONE);
	until = GetCurrentTimestamp() + ERROR_WAIT * 1000;
	*next_check = Min(*next_check, until);
	return until;
}

/* Write down ends, if there are any; true: some were, and there may be more */
static bool
record_ends(TimestampTz now, TimestampTz *next_check)
{
	if (inflight.nended == 0 || must_wait(record_not_before, now, next_check))
		return false;
	switch (delivery_record())
	{
		case RECORD_DONE:
			return true;
		case RECORD_BUSY:
			*next_check = Min(*next_check, now + BUSY_WAIT * 1000);
			return false;
		case RECORD_FAILED:
			record_not_before = pause_after_error(next_check);
			return false;
	}
	return false;
}

/* Claim and begin some; errors here are our own, and waited out */
static bool
take_work(TimestampTz now, TimestampTz *next_check)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool claimed = false;
	volatile bool failed = false;

	if (must_wait(claim_not_before, now, next_check))
		return false;
	PG_TRY();
	{
		claimed = delivery_claim(next_check);
	}
	PG_CATCH();
	{
		own_transaction_report_error(context);
		failed = true;
	}
	PG_END_TRY();
	if (failed)
		claim_not_before = pause_after_error(next_check);
	if (claimed)
		inflight_prepare_all();
	return claimed;
}

/* Wait for the latch, the network, or that time, and serve the network */
static void
wait_for_events(TimestampTz next_check, TimestampTz now)
{
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | WL_SOCKET_READABLE;
	long		timeout = inflight.transport->timeout();

	if (next_check != DT_NOEND)
	{
		long		wait = next_check <= now ? 0 :
			TimestampDifferenceMilliseconds(now, next_check) + 1;

		timeout = timeout < 0 ? wait : Min(timeout, wait);
	}
	if (timeout >= 0)
		events |= WL_TIMEOUT;
	(void) WaitLatchOrSocket(MyLatch, events, network_fd, timeout,
							 defer_wait_event(DEFER_WAIT_SENDER_MAIN));
	inflight.transport->perform();
}

static void
main_loop(MemoryContext scratch)
{
	const int64 idle_timeout = (int64) defer_worker_idle_timeout * 1000;
	TimestampTz idle_since = 0;

	for (;;)
	{
		TimestampTz next_check = DT_NOEND;
		TimestampTz now;
		bool		recorded;
		bool		claimed = false;

		ResetLatch(MyLatch);
		inflight.slot->called = false;
		CHECK_FOR_INTERRUPTS();
		reload_settings();
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		SetCurrentStatementStartTimestamp();
		inflight_collect();
		recorded = record_ends(GetCurrentTimestamp(), &next_check);
		if (!shutdown_requested())
			claimed = take_work(GetCurrentTimestamp(), &next_check);
		else if (inflight.ndeliveries == 0)
			return;
		inflight_begin(&next_check);
		now = GetCurrentTimestamp();
		if (claimed || inflight.ndeliveries + inflight.nlookups > 0)
			idle_since = 0;
		else if (idle_since == 0 || idle_since > now)
			idle_since = now;
		else if (now - idle_since >= idle_timeout && stop_idling())
			return;
		if (claimed || (recorded && inflight.nended > 0))
			next_check = now;	/* there may be more */
		if (inflight.slot->called || ConfigReloadPending)
			next_check = now;	/* a wait for a lock has reset the latch */
		if (inflight.nlookups > 0)
			next_check = Min(next_check, now + LOOKUP_WAIT * 1000);
		if (idle_since != 0)
			next_check = Min(next_check, idle_since + idle_timeout);
		pgstat_report_stat(false);
		wait_for_events(next_check, now);
	}
}

void
defer_sender_run(Datum arg, const char *version, const Transport *transport)
{
	int			index = DatumGetInt32(arg);
	const char *error;
	MemoryContext scratch;

	inflight.transport = transport;
	on_proc_exit(leave_without_handlers, (Datum) 0);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* before there is a connection, and detached after it is gone */
	inflight.slot = slot_attach_sender(index, process_generation());
	if (inflight.slot == NULL)
		proc_exit(EXIT_DONE);
	on_shmem_exit(sender_detach, (Datum) 0);
	/* installed while the server runs, which has loaded the one of before */
	if (strcmp(version, DEFER_VERSION) != 0)
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("library \"defer_sender\" is of version %s, but the server has loaded version %s of \"defer\"",
						version, DEFER_VERSION),
				 errhint("Restart the server after installing another version. Deliveries wait until then.")));
	BackgroundWorkerInitializeConnectionByOid(inflight.slot->database, InvalidOid, 0);
	before_shmem_exit(before_exit, (Datum) 0);
	pgstat_report_appname("defer sender");
	pgstat_report_activity(STATE_IDLE, NULL);

	own_transaction_settings();
	error = transport->init(&network_fd);
	if (error != NULL)
		ereport(ERROR, (errcode_for_file_access(), errmsg("%s: %m", error)));
	/* two descriptors, of which one is behind the other */
	ReserveExternalFD();
	ReserveExternalFD();
	apply_settings();

	scratch = AllocSetContextCreate(TopMemoryContext, "defer sender", ALLOCSET_DEFAULT_SIZES);
	main_loop(scratch);
	proc_exit(EXIT_DONE);
}
