/*
 * sender_start.c
 *		Starting the sender of a database: for the scheduler.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "shmem/senders.h"
#include "process/process.h"
#include "process/slot.h"

/* Start a sender for this database; false: there is no background worker, or no slot */
static bool
start_sender(BackgroundWorkerHandle **handle)
{
	uint32		generation;
	int			index = slot_take_sender(&generation);
	ProcessStart start;
	bool		started;

	if (index < 0)
		return false;
	start = (ProcessStart)
	{
		"sender", Int32GetDatum(index), generation, scheduler_database_name(), NULL,
			"defer_sender"
	};
	started = process_start(&start, handle);
	if (!started)
		slot_give_back_sender(index, generation);
	return started;
}

/*
 * Make sure that a sender runs, as there are deliveries to send.  False: no
 * background worker could be had.  *look_again is lowered to when to come
 * back.
 */
bool
sender_maintain(TimestampTz now, TimestampTz *look_again)
{
	static BackgroundWorkerHandle *handle = NULL;
	static TimestampTz not_before = 0;
	static int	failures = 0;
	pid_t		pid;
	bool		starting;
	bool		lost;

	if (sender_wake(MyDatabaseId))
	{
		failures = 0;
		return true;
	}
	if (handle != NULL && GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED)
	{
		pfree(handle);
		handle = NULL;
	}
	starting = slot_reap_sender(handle != NULL, &lost);
	if (lost)
	{
		failures = Min(failures + 1, 6);
		not_before = now + (USECS_PER_SEC << (failures - 1));
	}
	if (starting)
	{
		*look_again = Min(*look_again, now + 100 * 1000);
		return true;
	}
	if (not_before > now)
	{
		*look_again = Min(*look_again, not_before);
		return true;
	}
	return start_sender(&handle);
}
