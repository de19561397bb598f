/*
 * shmem.c
 *		The making of shared memory: see shmem.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "shmem/alert_counter.h"
#include "shmem/caps.h"
#include "shmem/databases.h"
#include "shmem/dependents.h"
#include "shmem/leases.h"
#include "shmem/preload.h"
#include "shmem/ready_queue.h"
#include "shmem/reserved.h"
#include "shmem/senders.h"
#include "shmem/statistics.h"
#include "shmem/waiters.h"
#include "shmem/work_waiters.h"
#include "shmem/workers.h"

SharedState *shared = NULL;

void
defer_shmem_request(void)
{
	Size		size = MAXALIGN(sizeof(SharedState));

	size = add_size(size, MAXALIGN(databases_shmem_size()));
	size = add_size(size, MAXALIGN(workers_shmem_size()));
	size = add_size(size, MAXALIGN(senders_shmem_size()));
	size = add_size(size, MAXALIGN(waiters_shmem_size()));
	size = add_size(size, work_waiters_shmem_size());
	size = add_size(size, MAXALIGN(dependents_shmem_size()));
	size = add_size(size, caps_shmem_size());
	size = add_size(size, leases_shmem_size());
	size = add_size(size, ready_queues_shmem_size());
	size = add_size(size, reserved_shmem_size());
	size = add_size(size, statistics_shmem_size());
	size = add_size(size, MAXALIGN(alert_counters_shmem_size()));
	RequestAddinShmemSpace(size);

	/* by these names waits for them stand in pg_stat_activity */
	RequestNamedLWLockTranche("DeferWorkers", 1);
	RequestNamedLWLockTranche("DeferLeases", 1);
	RequestNamedLWLockTranche("DeferReadyQueues", 1);
	RequestNamedLWLockTranche("DeferWaiters", 1);
	RequestNamedLWLockTranche("DeferWorkWaiters", 1);
	RequestNamedLWLockTranche("DeferDependents", 1);
	RequestNamedLWLockTranche("DeferCaps", 1);
	RequestNamedLWLockTranche("DeferStatistics", 1);
	RequestNamedLWLockTranche("DeferBatch", worker_slot_count() + max_worker_processes);
}

void
defer_shmem_startup(void)
{
	LWLockPadded *batch_locks;
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("defer", sizeof(SharedState), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(SharedState));
		shared->workers_lock = &GetNamedLWLockTranche("DeferWorkers")->lock;
		shared->leases_lock = &GetNamedLWLockTranche("DeferLeases")->lock;
		shared->ready_lock = &GetNamedLWLockTranche("DeferReadyQueues")->lock;
		shared->waiters_lock = &GetNamedLWLockTranche("DeferWaiters")->lock;
		shared->work_waiters_lock = &GetNamedLWLockTranche("DeferWorkWaiters")->lock;
		shared->dependents_lock = &GetNamedLWLockTranche("DeferDependents")->lock;
		shared->caps_lock = &GetNamedLWLockTranche("DeferCaps")->lock;
		shared->statistics_lock = &GetNamedLWLockTranche("DeferStatistics")->lock;
		shared->nworker_slots = worker_slot_count();
		shared->ndatabase_slots = max_worker_processes;
		pg_atomic_init_u32(&shared->nscheduled, 0);
	}
	batch_locks = GetNamedLWLockTranche("DeferBatch");
	databases_shmem_init();
	workers_shmem_init(batch_locks);
	senders_shmem_init(batch_locks + worker_slot_count());
	waiters_shmem_init();
	work_waiters_shmem_init();
	dependents_shmem_init();
	caps_shmem_init();
	leases_shmem_init();
	ready_queues_shmem_init();
	reserved_shmem_init();
	statistics_shmem_init();
	alert_counters_shmem_init();
	LWLockRelease(AddinShmemInitLock);
}

bool
shmem_is_present(void)
{
	return shared != NULL;
}

void
warn_if_not_preloaded(void)
{
	static bool warned = false;

	if (shared != NULL || warned)
		return;
	warned = true;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("defer is not in shared_preload_libraries"),
			 errdetail("Jobs and schedules are stored, but not run."),
			 errhint("Add defer to shared_preload_libraries in postgresql.conf and restart the server.")));
}
