/*
 * dependents_told.c
 *		What transactions have told the scheduler about jobs that come after others.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"

#include "shmem/databases.h"
#include "shmem/dependents_told.h"
#include "shmem/scheduler_wake.h"
#include "shmem/shmem.h"

void
dependents_tell_scheduler(const DependentsTold *told, int n)
{
	DatabaseSlot *slot;
	bool		news = false;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = database_slot(MyDatabaseId, false);
	if (slot != NULL)
	{
		news = slot->dependents_ntold == 0 && !slot->dependents_all;
		if (n > DEPENDENTS_TOLD)
			slot->dependents_all = true;
		for (int i = 0; !slot->dependents_all && i < n; i++)
		{
			bool		known = false;

			for (int j = 0; j < slot->dependents_ntold && !known; j++)
				known = slot->dependents_told[j].id == told[i].id &&
					slot->dependents_told[j].waits == told[i].waits;
			if (known)
				continue;
			if (slot->dependents_ntold == DEPENDENTS_TOLD)
				slot->dependents_all = true;
			else
				slot->dependents_told[slot->dependents_ntold++] = told[i];
		}
		/* if it has not taken what it was told before it was woken for that */
		if (news)
			database_wake_scheduler_locked(slot);
	}
	LWLockRelease(shared->workers_lock);
}

int
dependents_take(DependentsTold *told, bool *all, bool *clean)
{
	int			n;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	n = my_database->dependents_ntold;
	memcpy(told, my_database->dependents_told, n * sizeof(DependentsTold));
	*all = my_database->dependents_all;
	*clean = my_database->dependents_clean;
	my_database->dependents_ntold = 0;
	my_database->dependents_all = my_database->dependents_clean = false;
	LWLockRelease(shared->workers_lock);
	return n;
}

void
dependents_look_at_all(bool clean)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_database->dependents_all = true;
	my_database->dependents_clean = my_database->dependents_clean || clean;
	database_wake_scheduler_locked(my_database);
	LWLockRelease(shared->workers_lock);
}
