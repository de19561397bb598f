/*
 * ready_list.c
 *		What there is to do, for the scheduler: copies of the ready queues of its
 *		database, and the roles that have queues without a slot.
 */
#include "postgres.h"

#include "storage/lwlock.h"

#include "shmem/ready_queue_slots.h"

static int
count_queues(ReadyDatabase *db)
{
	dlist_iter	roles;
	int			n = 0;

	dlist_foreach(roles, &db->roles)
		n += dlist_container(ReadyRole, node, roles.cur)->nqueues;
	return n;
}

static int
copy_queues(ReadyDatabase *db, ReadyQueueChoice *copies)
{
	dlist_iter	roles;
	dlist_iter	queues;
	int			n = 0;

	dlist_foreach(roles, &db->roles)
	{
		dlist_foreach(queues, &dlist_container(ReadyRole, node, roles.cur)->queues)
		{
			ReadyQueue *slot = dlist_container(ReadyQueue, node, queues.cur);

			if (slot->min_key.run_at != DT_NOEND)
				ready_queue_copy(slot, &copies[n++]);
		}
	}
	return n;
}

int
ready_queues_of_database(Oid database, ReadyQueueChoice **queues)
{
	int			room = 64;
	int			n = -1;

	*queues = palloc(room * sizeof(ReadyQueueChoice));
	while (n < 0)
	{
		ReadyDatabase *db;
		int			count;

		LWLockAcquire(shared->ready_lock, LW_SHARED);
		db = ready_database(database);
		count = db != NULL ? count_queues(db) : 0;
		if (count <= room)
			n = db != NULL ? copy_queues(db, *queues) : 0;
		LWLockRelease(shared->ready_lock);
		if (n < 0)
		{
			/* not under the lock; some more may have come until we are back */
			room = count + 64;
			*queues = repalloc(*queues, room * sizeof(ReadyQueueChoice));
		}
	}
	return n;
}

/* ------------------------------------------------------------------------
 * Queues without a slot
 * ------------------------------------------------------------------------ */

int
ready_roles_unlisted(Oid database, TimestampTz now, Oid **owners, TimestampTz *next)
{
	ReadyDatabase *db;
	dlist_iter	iter;
	int			room;
	int			n = 0;

	LWLockAcquire(shared->ready_lock, LW_SHARED);
	db = ready_database(database);
	room = db != NULL ? db->nroles + 1 : 0;
	LWLockRelease(shared->ready_lock);
	*owners = palloc(Max(room, 1) * sizeof(Oid));
	LWLockAcquire(shared->ready_lock, LW_SHARED);
	db = ready_database(database);
	if (db != NULL && db->unlisted_at <= now && n < room)
		(*owners)[n++] = InvalidOid;
	else if (db != NULL)
		*next = Min(*next, db->unlisted_at);
	if (db != NULL)
	{
		dlist_foreach(iter, &db->roles)
		{
			ReadyRole  *role = dlist_container(ReadyRole, node, iter.cur);

			if (role->unlisted_at > now || n == room)
				*next = Min(*next, role->unlisted_at);
			else
				(*owners)[n++] = role->tag.owner;
		}
	}
	LWLockRelease(shared->ready_lock);
	return n;
}

void
ready_role_search_begin(Oid database, Oid owner)
{
	ReadyDatabase *db;
	ReadyRole  *role;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	role = OidIsValid(owner) ? ready_role(database, owner) : NULL;
	if (role != NULL)
		role->unlisted_at = DT_NOEND;
	else if (db != NULL && !OidIsValid(owner))
		db->unlisted_at = DT_NOEND;
	LWLockRelease(shared->ready_lock);
}

void
ready_role_search_end(Oid database, Oid owner)
{
	ReadyRole  *role;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	role = OidIsValid(owner) ? ready_role(database, owner) : NULL;
	if (role != NULL)
		ready_role_release(role);
	LWLockRelease(shared->ready_lock);
}

bool
ready_queues_overflow(Oid database, TimestampTz now)
{
	ReadyDatabase *db;
	dlist_iter	iter;
	bool		overflow = false;

	LWLockAcquire(shared->ready_lock, LW_SHARED);
	db = ready_database(database);
	if (db != NULL)
	{
		overflow = db->unlisted_at <= now;
		dlist_foreach(iter, &db->roles)
			overflow = overflow ||
			dlist_container(ReadyRole, node, iter.cur)->unlisted_at <= now;
	}
	LWLockRelease(shared->ready_lock);
	return overflow;
}
