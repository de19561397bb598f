/*
 * task_failures.c
 *		Tasks of this database's scheduler that fail, for defer.health.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/roles.h"
#include "shmem/databases.h"
#include "shmem/shmem.h"
#include "process/tasks.h"

PG_FUNCTION_INFO_V1(defer_task_failures);

/*
 * Return a row for each task that has failed and not succeeded since.  The
 * error may tell of other roles' objects: it is NULL for users who do not see
 * all.
 */
Datum
defer_task_failures(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TaskFailure failures[SCHEDULER_TASKS] = {0};
	DatabaseSlot *slot;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = database_slot(MyDatabaseId, false);
	if (slot != NULL)
		memcpy(failures, slot->task_failures, sizeof(failures));
	LWLockRelease(shared->workers_lock);
	for (int i = 0; i < SCHEDULER_TASKS; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {0};

		if (failures[i].times == 0)
			continue;
		values[0] = CStringGetTextDatum(task_name(i));
		values[1] = Int32GetDatum(failures[i].times);
		values[2] = TimestampTzGetDatum(failures[i].since);
		nulls[3] = !role_may_see(InvalidOid);
		values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(failures[i].message);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
