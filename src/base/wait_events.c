/*
 * wait_events.c
 *		Names of what our processes and sessions wait for.
 *
 * All libraries of a server share 128 names.  The postmaster registers ours, so
 * that each process inherits their numbers; if there is no room left, they stay
 * without a name, rather than keep the server from its start.
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/wait_events.h"

/* 0: not registered */
static uint32 numbers[DEFER_WAIT_EVENTS];

#ifdef COMPAT_WAIT_EVENT_NAMES
static const char *const names[DEFER_WAIT_EVENTS] = {
	[DEFER_WAIT_LAUNCHER_MAIN] = "DeferLauncherMain",
	[DEFER_WAIT_SCHEDULER_MAIN] = "DeferSchedulerMain",
	[DEFER_WAIT_WORKER_MAIN] = "DeferWorkerMain",
	[DEFER_WAIT_SENDER_MAIN] = "DeferSenderMain",
	[DEFER_WAIT_AWAIT] = "DeferAwait",
	[DEFER_WAIT_WORK] = "DeferWork",
	[DEFER_WAIT_WITHDRAW] = "DeferWithdraw",
	[DEFER_WAIT_TOKEN] = "DeferToken",
	[DEFER_WAIT_CAP] = "DeferCap"
};

void
defer_wait_events_init(void)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		for (int i = 0; i < DEFER_WAIT_EVENTS; i++)
			numbers[i] = WaitEventExtensionNew(names[i]);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* The server raises the error with its lock held, and holds no other */
		LWLockReleaseAll();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ereport(LOG,
				(errmsg("could not name all wait events of defer: %s", error->message)));
		FreeErrorData(error);
	}
	PG_END_TRY();
}
#else
void
defer_wait_events_init(void)
{
}
#endif

uint32
defer_wait_event(DeferWaitEvent event)
{
	return numbers[event] != 0 ? numbers[event] : PG_WAIT_EXTENSION;
}
