/*
 * ready_database.c
 *		Ready queues: the databases whose scheduler serves them.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "base/timer.h"
#include "shmem/ready_queue_slots.h"
#include "shmem/reserved.h"

static ReadyDatabase *databases = NULL; /* [max_worker_processes] */

Size
ready_databases_shmem_size(void)
{
	return MAXALIGN(mul_size(max_worker_processes, sizeof(ReadyDatabase)));
}

void
ready_databases_shmem_init(void)
{
	bool		found;

	databases = ShmemInitStruct("defer ready databases",
								mul_size(max_worker_processes, sizeof(ReadyDatabase)), &found);
	if (!found)
		memset(databases, 0, max_worker_processes * sizeof(ReadyDatabase));
}

ReadyDatabase *
ready_database(Oid database)
{
	for (int i = 0; i < max_worker_processes; i++)
	{
		if (databases[i].database == database)
			return &databases[i];
	}
	return NULL;
}

void
ready_queues_open(Oid database)
{
	ReadyDatabase *db;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);

	/*
	 * there are as many as DatabaseSlots, which each give theirs back
	 */
	if (db == NULL && (db = ready_database(InvalidOid)) != NULL)
	{
		db->database = database;
		db->unlisted_at = DT_NOEND;
		db->opened_at = monotonic_now();
		db->nroles = 0;
		dlist_init(&db->roles);
		for (int i = 0; i < LIMIT_TURNS; i++)
			dlist_init(&db->stale_limits[i]);
	}

	/*
	 * queues that wait for a token are placed anew then: the clock may have
	 * been set
	 */
	if (db != NULL)
		limits_reload_locked(db);
	LWLockRelease(shared->ready_lock);
}

void
ready_queues_forget(Oid database)
{
	ReadyDatabase *db;
	dlist_mutable_iter roles;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	if (db != NULL)
	{
		dlist_foreach_modify(roles, &db->roles)
		{
			ReadyRole  *role = dlist_container(ReadyRole, node, roles.cur);

			/* a bundle goes with its last queue */
			while (!dlist_is_empty(&role->bundles))
			{
				ReadyBundle *bundle = dlist_head_element(ReadyBundle, node, &role->bundles);

				ready_queue_free(dlist_head_element(ReadyQueue, node, &bundle->queues));
			}
			fair_forget(role);
			ready_role_free(role);
		}
		limits_forget_locked(db);
		db->database = InvalidOid;
	}
	LWLockRelease(shared->ready_lock);
	reserved_load(database, NULL, 0);
}
