/*
 * sender_start.c
 *		Starting the sender of a database: for the scheduler.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "process/process.h"
#include "shmem/shmem.h"
#include "shmem/senders.h"

/* A sender that has not attached to its slot after so long never will */
#define START_TIMEOUT	(60 * USECS_PER_SEC)

/* Take a slot for a sender; -1: there is none */
static int
take_slot(uint32 *generation)
{
	int			found = -1;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->ndatabase_slots && found < 0; i++)
	{
		SenderSlot *slot = &sender_slots[i];

		if (OidIsValid(slot->database))
			continue;
		slot->database = MyDatabaseId;
		slot->generation++;
		slot->pid = 0;
		slot->latch = NULL;
		slot->since = GetCurrentTimestamp();
		slot->nentries = 0;
		memset(slot->entries, 0, sizeof(slot->entries));
		*generation = slot->generation;
		found = i;
	}
	LWLockRelease(shared->workers_lock);
	return found;
}

static bool
start_sender(BackgroundWorkerHandle **handle)
{
	uint32		generation;
	int			index = take_slot(&generation);
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
	{
		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		if (sender_slots[index].generation == generation && sender_slots[index].pid == 0)
			sender_slots[index].database = InvalidOid;
		LWLockRelease(shared->workers_lock);
	}
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
	SenderSlot *slot;
	pid_t		pid;
	bool		starting = false;

	if (wake_sender(MyDatabaseId))
	{
		failures = 0;
		return true;
	}
	if (handle != NULL && GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED)
	{
		pfree(handle);
		handle = NULL;
	}
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = sender_slot(MyDatabaseId);
	if (slot != NULL && slot->pid == 0)
	{
		/* one that is on its way out still holds its slot */
		starting = handle != NULL || slot->since > now - START_TIMEOUT;
		if (handle == NULL && slot->latch == NULL)
		{
			slot->database = InvalidOid;
			starting = false;
			failures = Min(failures + 1, 6);
			not_before = now + (USECS_PER_SEC << (failures - 1));
		}
	}
	LWLockRelease(shared->workers_lock);
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
