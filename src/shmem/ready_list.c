/*
 * ready_list.c
 *		What there is to do, for the scheduler: the bundles of ready queues of its
 *		database, and the roles that have queues without a slot.
 */
#include "postgres.h"

#include "storage/lwlock.h"

#include "shmem/rates.h"
#include "shmem/ready_queue_slots.h"
#include "shmem/reserved.h"

static int
count_bundles(ReadyDatabase *db)
{
	dlist_iter	roles;
	int			n = 0;

	dlist_foreach(roles, &db->roles)
		n += dlist_container(ReadyRole, node, roles.cur)->nbundles;
	return n;
}

/* The first due time of a bundle's queues, those that wait for capacity among them */
static TimestampTz
oldest_due(ReadyBundle *bundle, TimestampTz now)
{
	TimestampTz oldest = DT_NOEND;
	dlist_iter	iter;

	dlist_foreach(iter, &bundle->queues)
		oldest = Min(oldest, dlist_container(ReadyQueue, node, iter.cur)->min_key.run_at);
	return oldest <= now ? oldest : DT_NOEND;
}

static void
summarize(ReadyBundle *bundle, TimestampTz now, bool oldest, const ReservedView *reserved,
		  ReadySummary *summary)
{
	ready_place_due(bundle, now);
	summary->owner = bundle->tag.owner;
	summary->deliveries = LIMITS_KEY_IS_DELIVERY(bundle->tag.kinds);
	summary->tasks = LIMITS_KEY_IS_TASK(bundle->tag.kinds);
	summary->scopes = (LimitScopes) {0, bundle->tag.function_id, bundle->tag.queue_id};
	summary->capacity = limits_have_capacity_locked(bundle->limits) &&
		(summary->deliveries || reserved_allows(reserved, bundle->tag.queue_id)) &&
		rates_room(bundle->limits, false) > 0;
	summary->ready = bundle->ready != NULL ?
		Max(Min(bundle->nready, rates_room(bundle->limits, true)), 1) : 0;
	summary->oldest = oldest ? oldest_due(bundle, now) : DT_NOEND;
	summary->next_due = bundle->later == NULL ? DT_NOEND :
		pairingheap_container(ReadyQueue, heap_node, bundle->later)->due;
	summary->next_due = Min(summary->next_due, ready_bundle_opening(bundle));
}

static int
summarize_all(ReadyDatabase *db, TimestampTz now, bool oldest, ReadySummary *summaries)
{
	dlist_iter	roles;
	dlist_iter	bundles;
	int			n = 0;

	dlist_foreach(roles, &db->roles)
	{
		ReadyRole  *role = dlist_container(ReadyRole, node, roles.cur);
		ReservedView reserved;

		reserved_view(db->database, role->tag.owner, &reserved);
		dlist_foreach(bundles, &role->bundles)
			summarize(dlist_container(ReadyBundle, node, bundles.cur), now, oldest, &reserved,
					  &summaries[n++]);
	}
	return n;
}

int
ready_summaries(Oid database, TimestampTz now, bool oldest, ReadySummary **summaries)
{
	int			room = 64;
	int			n = -1;

	*summaries = palloc(room * sizeof(ReadySummary));
	while (n < 0)
	{
		ReadyDatabase *db;
		int			count;

		LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
		db = ready_database(database);
		count = db != NULL ? count_bundles(db) : 0;
		if (count <= room)
			n = db != NULL ? summarize_all(db, now, oldest, *summaries) : 0;
		LWLockRelease(shared->ready_lock);
		if (n < 0)
		{
			/* not under the lock; some more may have come until we are back */
			room = count + 64;
			*summaries = repalloc(*summaries, room * sizeof(ReadySummary));
		}
	}
	return n;
}

/* Copy those queues of a bundle whose jobs are to be cancelled; returns how many */
static int
copy_to_cancel(ReadyBundle *bundle, TimestampTz now, ReadyQueueChoice *queues, int max)
{
	dlist_iter	iter;
	int			n = 0;

	if (bundle->limits[0] == NULL || !bundle->limits[0]->cancel)
		return 0;
	dlist_foreach(iter, &bundle->queues)
	{
		ReadyQueue *slot = dlist_container(ReadyQueue, node, iter.cur);

		if (n < max && slot->min_key.run_at <= now &&
			limits_cancel(bundle->limits, slot->groups, true))
			ready_queue_copy(slot, &queues[n++]);
	}
	return n;
}

int
ready_queues_to_cancel(Oid database, TimestampTz now, ReadyQueueChoice *queues, int max)
{
	ReadyDatabase *db;
	dlist_iter	roles;
	dlist_iter	bundles;
	int			n = 0;

	LWLockAcquire(shared->ready_lock, LW_SHARED);
	db = ready_database(database);
	if (db != NULL)
	{
		dlist_foreach(roles, &db->roles)
		{
			dlist_foreach(bundles, &dlist_container(ReadyRole, node, roles.cur)->bundles)
				n += copy_to_cancel(dlist_container(ReadyBundle, node, bundles.cur), now,
									queues + n, max - n);
		}
	}
	LWLockRelease(shared->ready_lock);
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
