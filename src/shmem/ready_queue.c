/*
 * ready_queue.c
 *		Ready queues in shared memory: which there are.
 *
 * Commits lower the minimum key of a queue, claims raise it (ready_claim.c).
 *
 * There are defer.shared_slots slots, for all roles of all databases, and rules
 * for whose queue gives way when they are all taken: ready_room.c.
 *
 * What has no slot is remembered as one time for each role, and what belongs to
 * roles without a slot as one time for the database.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc.h"
#include "shmem/rates.h"
#include "shmem/scheduler_wake.h"
#include "shmem/ready_queue_slots.h"

static HTAB *role_table = NULL;
static HTAB *bundle_table = NULL;
static HTAB *queue_table = NULL;

/* ------------------------------------------------------------------------
 * Shared memory
 * ------------------------------------------------------------------------ */

Size
ready_queues_shmem_size(void)
{
	Size		size = ready_databases_shmem_size();

	size = add_size(size, hash_estimate_size(defer_shared_slots, sizeof(ReadyRole)));
	size = add_size(size, hash_estimate_size(defer_shared_slots, sizeof(ReadyBundle)));
	size = add_size(size, hash_estimate_size(defer_shared_slots, sizeof(ReadyQueue)));
	size = add_size(size, fair_queues_shmem_size());
	return add_size(size, limits_shmem_size());
}

void
ready_queues_shmem_init(void)
{
	HASHCTL		control = {0};

	ready_databases_shmem_init();
	control.keysize = sizeof(ReadyRoleTag);
	control.entrysize = sizeof(ReadyRole);
	role_table = compat_shmem_hash("defer ready roles", defer_shared_slots, &control);
	control.keysize = sizeof(ReadyBundleTag);
	control.entrysize = sizeof(ReadyBundle);
	bundle_table = compat_shmem_hash("defer ready bundles", defer_shared_slots, &control);
	control.keysize = sizeof(ReadyQueueTag);
	control.entrysize = sizeof(ReadyQueue);
	queue_table = compat_shmem_hash("defer ready queues", defer_shared_slots, &control);
	fair_queues_shmem_init();
	limits_shmem_init();
}

/* ------------------------------------------------------------------------
 * Finding and freeing slots; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

HTAB *
ready_roles(void)
{
	return role_table;
}

bool
ready_queues_full(void)
{
	return hash_get_num_entries(queue_table) >= defer_shared_slots;
}

ReadyRole *
ready_role(Oid database, Oid owner)
{
	ReadyRoleTag tag = {database, owner};

	return hash_search(role_table, &tag, HASH_FIND, NULL);
}

static void
queue_tag(ReadyQueueTag *tag, Oid database, const ReadyQueueChoice *queue)
{
	memset(tag, 0, sizeof(ReadyQueueTag));
	tag->database = database;
	tag->owner = queue->owner;
	tag->limits_key = queue->limits_key;
	tag->priority = queue->priority;
}

ReadyQueue *
ready_queue_slot(const ReadyQueueChoice *queue, Oid database)
{
	ReadyQueueTag tag;

	queue_tag(&tag, database, queue);
	return hash_search(queue_table, &tag, HASH_FIND, NULL);
}

void
ready_role_free(ReadyRole *role)
{
	Assert(role->nqueues == 0 && role->nfair == 0);
	dlist_delete(&role->node);
	role->database->nroles--;
	role->database->unlisted_at = Min(role->database->unlisted_at, role->unlisted_at);
	(void) hash_search(role_table, &role->tag, HASH_REMOVE, NULL);
}

void
ready_role_release(ReadyRole *role)
{
	if (role->nqueues == 0 && role->nfair == 0 && role->unlisted_at == DT_NOEND)
		ready_role_free(role);
}

/* Free a bundle, if it has no queue */
static void
release_bundle(ReadyBundle *bundle)
{
	if (bundle->nqueues > 0)
		return;
	limits_detach(bundle->limits);
	dlist_delete(&bundle->node);
	bundle->role->nbundles--;
	(void) hash_search(bundle_table, &bundle->tag, HASH_REMOVE, NULL);
}

/* Take a queue out of its bundle, which may be gone then */
static void
leave_bundle(ReadyQueue *slot)
{
	ready_displace(slot);
	fair_detach(slot);
	limits_detach(slot->groups);
	dlist_delete(&slot->node);
	slot->bundle->nqueues--;
	slot->bundle->role->nqueues--;
	release_bundle(slot->bundle);
}

void
ready_queue_free(ReadyQueue *slot)
{
	leave_bundle(slot);
	(void) hash_search(queue_table, &slot->tag, HASH_REMOVE, NULL);
}

void
ready_queue_release(ReadyQueue *slot)
{
	ReadyRole  *role = slot->bundle->role;

	if (slot->nclaims > 0 || slot->min_key.run_at != DT_NOEND)
		return;
	ready_queue_free(slot);
	ready_role_release(role);
}

/* ------------------------------------------------------------------------
 * Adding; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

static ReadyRole *
add_role(ReadyDatabase *database, Oid owner, TimestampTz now)
{
	ReadyRoleTag tag = {database->database, owner};
	ReadyRole  *role = hash_search(role_table, &tag, HASH_FIND, NULL);

	if (role != NULL ||
		(hash_get_num_entries(role_table) >= defer_shared_slots && !ready_room_for_role(now)))
		return role;
	role = hash_search(role_table, &tag, HASH_ENTER_NULL, NULL);
	if (role == NULL)
		return NULL;
	role->database = database;
	dlist_push_tail(&database->roles, &role->node);
	database->nroles++;
	dlist_init(&role->bundles);
	dlist_init(&role->parked);
	dlist_init(&role->fair_queues);
	role->nbundles = role->nqueues = role->nlater = role->nfair = role->nidle = 0;
	role->unlisted_at = DT_NOEND;
	return role;
}

static void
bundle_tag(ReadyBundleTag *tag, Oid database, const ReadyQueueChoice *queue)
{
	memset(tag, 0, sizeof(ReadyBundleTag));
	tag->database = database;
	tag->owner = queue->owner;
	tag->kinds = queue->limits_key & LIMITS_KEY_KINDS;
	tag->function_id = queue->scopes.function_id;
	tag->queue_id = queue->scopes.queue_id;
	tag->endpoint_id = queue->scopes.endpoint_id;
	tag->priority = queue->priority;
}

/* Find or make the bundle of a queue; NULL: there is no slot for its limits */
static ReadyBundle *
add_bundle(ReadyRole *role, const ReadyQueueChoice *queue)
{
	ReadyBundleTag tag;
	ReadyBundle *bundle;
	LimitSlot  *limits[LIMITS_OF_KEY];

	bundle_tag(&tag, role->tag.database, queue);
	bundle = hash_search(bundle_table, &tag, HASH_FIND, NULL);
	if (bundle != NULL)
		return bundle;
	if (!limits_attach(role->database, role->tag.owner, &queue->scopes, limits))
		return NULL;
	bundle = hash_search(bundle_table, &tag, HASH_ENTER_NULL, NULL);
	if (bundle == NULL)
	{
		limits_detach(limits);
		return NULL;
	}
	bundle->role = role;
	dlist_push_tail(&role->bundles, &bundle->node);
	role->nbundles++;
	memcpy(bundle->limits, limits, sizeof(limits));
	dlist_init(&bundle->queues);
	bundle->nqueues = 0;
	bundle->ready = bundle->later = NULL;
	bundle->nready = 0;
	bundle->full = false;
	bundle->floor = 0;
	return bundle;
}

/*
 * Put a queue into the bundle of its limits, and point it at those of its group.
 * False: there are no slots for them, and it has none.
 */
static bool
join_bundle(ReadyQueue *slot, ReadyRole *role, const ReadyQueueChoice *queue)
{
	ReadyBundle *bundle = add_bundle(role, queue);

	if (bundle == NULL)
		return false;
	slot->place = PLACE_NONE;
	slot->behind = false;
	slot->bundle = bundle;
	slot->group = queue->scopes.group;
	if (!limits_attach_groups(role->database, role->tag.owner, bundle->limits, slot->group,
							  slot->groups) ||
		!fair_attach(slot))
	{
		limits_detach(slot->groups);
		release_bundle(bundle);
		return false;
	}
	dlist_push_tail(&bundle->queues, &slot->node);
	bundle->nqueues++;
	role->nqueues++;
	return true;
}

static bool
has_bundle(Oid database, const ReadyQueueChoice *queue)
{
	ReadyBundleTag tag;

	bundle_tag(&tag, database, queue);
	return hash_search(bundle_table, &tag, HASH_FIND, NULL) != NULL;
}

/*
 * Find or make a slot for a queue.  NULL: there is none for it, and its role, or
 * else its database, remembers from when on to search for it.
 */
static ReadyQueue *
add_queue(ReadyDatabase *database, const ReadyQueueChoice *queue, TimestampTz now, Oid *evicted)
{
	ReadyRole  *role = add_role(database, queue->owner, now);
	ReadyQueueTag tag;
	ReadyQueue *slot = NULL;

	if (role == NULL)
	{
		database->unlisted_at = Min(database->unlisted_at, queue->min_key.run_at);
		return NULL;
	}
	queue_tag(&tag, database->database, queue);

	/* limits that the caller has not looked up are for the search */
	if ((queue->looked_up || limit_scopes_known(&queue->scopes, queue->limits_key)) &&
		ready_room_for_queue(role, queue, !has_bundle(database->database, queue), now, evicted))
		slot = hash_search(queue_table, &tag, HASH_ENTER_NULL, NULL);
	if (slot != NULL && !join_bundle(slot, role, queue))
	{
		(void) hash_search(queue_table, &tag, HASH_REMOVE, NULL);
		slot = NULL;
	}
	if (slot == NULL)
	{
		role->unlisted_at = Min(role->unlisted_at, queue->min_key.run_at);
		return NULL;
	}
	slot->min_key = slot->scan_min = READY_KEY_NONE;
	slot->nclaims = 0;
	slot->ready = 0;
	slot->retry_at = 0;
	slot->blocked = false;
	return slot;
}

/*
 * There are jobs in a queue from its min_key on, "count" more or at least "ready":
 * find or make its slot, lower its minimum key, put it in its place.  NULL: it has
 * no slot.
 */
static ReadyQueue *
lower_queue(Oid database, const ReadyQueueChoice *queue, int64 count, TimestampTz now,
			Oid *evicted)
{
	ReadyDatabase *db = ready_database(database);
	ReadyQueue *slot = db != NULL ? ready_queue_slot(queue, database) : NULL;
	LimitSlot  *order;
	bool		lower;
	bool		first;

	if (db == NULL)
		return NULL;			/* the scheduler reads all of them when it
								 * comes */
	if (slot == NULL && (slot = add_queue(db, queue, now, evicted)) == NULL)
		return NULL;
	ready_set_count(slot, Max(slot->ready + count, queue->ready));
	lower = ready_key_before(queue->min_key, slot->min_key);
	if (lower)
		slot->min_key = queue->min_key;
	if (slot->nclaims > 0 && ready_key_before(queue->min_key, slot->scan_min))
		slot->scan_min = queue->min_key;
	/* a claim that is under way has not seen it, and may have to wait for it */
	order = limit_of_order(slot->bundle->limits, slot->groups);
	if (order != NULL && slot->nclaims > 0)
		order->order_changes++;

	/* jobs after the one that it waits for change nothing */
	first = slot->behind && queue->first_order <= slot->behind_order;
	if (first)
		slot->behind = false;
	if (lower || first || slot->retry_at != 0)
	{
		slot->retry_at = 0;
		ready_place(slot, now);
	}
	return slot;
}

ReadyAdded
ready_queue_add(Oid database, const ReadyQueueChoice *queue, int64 count, TimestampTz now,
				TimestampTz *next_due)
{
	ReadyQueue *slot;
	Oid			evicted = InvalidOid;
	bool		due = queue->min_key.run_at <= now;
	ReadyAdded	added = READY_ADDED;

	if (queue->min_key.run_at == DT_NOEND)
		return added;			/* held: who releases it calls again */
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = lower_queue(database, queue, count, now, &evicted);
	if (due && (slot == NULL || !limits_are_known(slot->bundle->limits) ||
				!limits_are_known(slot->groups)))
		added = READY_ADDED_TELL;
	else if (due && slot->place == PLACE_READY &&
			 limits_have_capacity_locked(slot->bundle->limits) &&
			 rates_room(slot->bundle->limits, false) > 0)
		added = READY_ADDED_CLAIM;
	else if (due && limits_cancel(slot->bundle->limits, slot->groups, true))
		added = READY_ADDED_CANCEL;
	else if (due)
		*next_due = Min(*next_due, ready_queue_opening(slot));
	LWLockRelease(shared->ready_lock);
	if (OidIsValid(evicted))
		database_wake_scheduler(evicted);
	return added;
}

void
ready_queue_found(Oid database, const ReadyQueueChoice *queue, TimestampTz now)
{
	Oid			evicted = InvalidOid;

	if (queue->min_key.run_at == DT_NOEND)
		return;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	(void) lower_queue(database, queue, 0, now, &evicted);
	LWLockRelease(shared->ready_lock);
	if (OidIsValid(evicted) && evicted != database)
		database_wake_scheduler(evicted);
}

void
ready_queue_rescope(Oid database, const ReadyQueueChoice *queue, TimestampTz now)
{
	ReadyQueue *slot;
	LimitScopes scopes;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = ready_queue_slot(queue, database);
	if (slot != NULL && (scopes = ready_queue_scopes(slot),
						 !limit_scopes_equal(&scopes, &queue->scopes)))
	{
		ReadyRole  *role = slot->bundle->role;

		leave_bundle(slot);
		if (join_bundle(slot, role, queue))
			ready_place(slot, now);
		else
		{
			role->unlisted_at = Min(role->unlisted_at, slot->min_key.run_at);
			(void) hash_search(queue_table, &slot->tag, HASH_REMOVE, NULL);
		}
	}
	LWLockRelease(shared->ready_lock);
}

void
ready_role_unlisted(Oid database, Oid owner, TimestampTz at)
{
	const TimestampTz now = GetCurrentTimestamp();
	ReadyDatabase *db;
	ReadyRole  *role;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	role = db != NULL ? add_role(db, owner, now) : NULL;
	if (role != NULL)
		role->unlisted_at = Min(role->unlisted_at, at);
	else if (db != NULL)
		db->unlisted_at = Min(db->unlisted_at, at);
	LWLockRelease(shared->ready_lock);
}
