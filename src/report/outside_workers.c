/*
 * outside_workers.c
 *		Workers outside of the server, for defer.workers: what they hold, and the
 *		sessions in which they wait.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/job.h"
#include "base/roles.h"
#include "shmem/leases.h"
#include "shmem/shmem.h"
#include "shmem/work_waiters.h"

PG_FUNCTION_INFO_V1(defer_outside_workers);

/* role, worker, host, pid, job_id, tasks, since, last_seen */
#define COLUMNS		8

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text[0] == '\0';
	if (!nulls[column])
		values[column] = CStringGetTextDatum(text);
}

static void
put_lease(ReturnSetInfo *rsinfo, const Lease *lease)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};

	values[0] = ObjectIdGetDatum(lease->role);
	set_text(values, nulls, 1, lease->worker);
	set_text(values, nulls, 2, lease->host);
	nulls[3] = nulls[5] = true;
	values[4] = Int64GetDatum(lease->tag.job_id);
	values[6] = TimestampTzGetDatum(lease->taken_at);
	values[7] = TimestampTzGetDatum(lease->heard_at);
	nulls[7] = lease->heard_at == NO_TIME;	/* of before the server was
											 * started */
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
put_waiter(ReturnSetInfo *rsinfo, const WaitingWorker *waiter)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};
	Datum		tasks[WORK_TASKS_MAX];

	for (int i = 0; i < waiter->ntasks; i++)
		tasks[i] = Int32GetDatum(waiter->tasks[i]);
	values[0] = ObjectIdGetDatum(waiter->role);
	set_text(values, nulls, 1, waiter->worker);
	set_text(values, nulls, 2, waiter->host);
	values[3] = Int32GetDatum(waiter->pid);
	nulls[4] = true;
	values[5] = PointerGetDatum(construct_array(tasks, waiter->ntasks, INT4OID, 4, true,
												TYPALIGN_INT));
	values[6] = TimestampTzGetDatum(waiter->since);
	values[7] = TimestampTzGetDatum(GetCurrentTimestamp());
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* A row for each lease and for each session that waits, of roles that the user may see */
Datum
defer_outside_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Lease	   *leases;
	WaitingWorker *waiting;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;
	n = leases_copy(MyDatabaseId, &leases);
	for (int i = 0; i < n; i++)
	{
		if (leases[i].state != LEASE_TAKING && role_may_see(leases[i].role))
			put_lease(rsinfo, &leases[i]);
	}
	n = work_waiters_copy(MyDatabaseId, &waiting);
	for (int i = 0; i < n; i++)
	{
		if (role_may_see(waiting[i].role))
			put_waiter(rsinfo, &waiting[i]);
	}
	return (Datum) 0;
}
