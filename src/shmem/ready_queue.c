/*
 * ready_queue.c
 *		Ready queues in shared memory: which there are.
 *
 * Commits lower the minimum key of a queue, claims raise it (ready_scan.c).
 *
 * There are defer.shared_slots slots, for all roles of all databases.  A role
 * may take half of them as long as no other role needs them.  When they are all
 * taken, a queue with due jobs gets the slot of one whose jobs are due later
 * than now, or else the worst one of the role that has most.  So a role that
 * has very many queues waits for itself, and no other role does.
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
#include "shmem/databases.h"
#include "shmem/ready_queue_slots.h"

static HTAB *role_table = NULL;
static HTAB *queue_table = NULL;
static ReadyDatabase *databases = NULL; /* [max_worker_processes] */

/* ------------------------------------------------------------------------
 * Shared memory
 * ------------------------------------------------------------------------ */

Size
ready_queues_shmem_size(void)
{
	Size		size = MAXALIGN(mul_size(max_worker_processes, sizeof(ReadyDatabase)));

	size = add_size(size, hash_estimate_size(defer_shared_slots, sizeof(ReadyRole)));
	size = add_size(size, hash_estimate_size(defer_shared_slots, sizeof(ReadyQueue)));
	return add_size(size, limits_shmem_size());
}

void
ready_queues_shmem_init(void)
{
	HASHCTL		control = {0};
	bool		found;

	databases = ShmemInitStruct("defer ready databases",
								mul_size(max_worker_processes, sizeof(ReadyDatabase)), &found);
	if (!found)
		memset(databases, 0, max_worker_processes * sizeof(ReadyDatabase));
	control.keysize = sizeof(ReadyRoleTag);
	control.entrysize = sizeof(ReadyRole);
	role_table = compat_shmem_hash("defer ready roles", defer_shared_slots, &control);
	control.keysize = sizeof(ReadyQueueTag);
	control.entrysize = sizeof(ReadyQueue);
	queue_table = compat_shmem_hash("defer ready queues", defer_shared_slots, &control);
	limits_shmem_init();
}

/* ------------------------------------------------------------------------
 * Finding and freeing slots; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

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

static void
free_role(ReadyRole *role)
{
	Assert(role->nqueues == 0);
	dlist_delete(&role->node);
	role->database->nroles--;
	role->database->unlisted_at = Min(role->database->unlisted_at, role->unlisted_at);
	(void) hash_search(role_table, &role->tag, HASH_REMOVE, NULL);
}

void
ready_role_release(ReadyRole *role)
{
	if (role->nqueues == 0 && role->unlisted_at == DT_NOEND)
		free_role(role);
}

static void
free_queue(ReadyQueue *slot)
{
	limits_detach(slot->limits);
	dlist_delete(&slot->node);
	slot->role->nqueues--;
	(void) hash_search(queue_table, &slot->tag, HASH_REMOVE, NULL);
}

void
ready_queue_release(ReadyQueue *slot)
{
	ReadyRole  *role = slot->role;

	if (slot->nclaims > 0 || slot->min_key.run_at != DT_NOEND)
		return;
	free_queue(slot);
	ready_role_release(role);
}

/* Take the slot from a queue that has jobs: its role remembers from when on */
static void
evict_queue(ReadyQueue *slot)
{
	slot->role->unlisted_at = Min(slot->role->unlisted_at, slot->min_key.run_at);
	free_queue(slot);
}

/* ------------------------------------------------------------------------
 * Making room
 * ------------------------------------------------------------------------ */

/* Compare two queues of a role: true if the first one is missed less */
static bool
is_worse(const ReadyQueue *slot, const ReadyQueue *than, TimestampTz now)
{
	bool		future = slot->min_key.run_at > now;
	bool		capacity = limits_have_capacity_locked(slot->limits);
	bool		than_capacity = limits_have_capacity_locked(than->limits);

	if (future != (than->min_key.run_at > now))
		return future;
	if (capacity != than_capacity)
		return !capacity;
	if (!future && slot->tag.priority != than->tag.priority)
		return slot->tag.priority > than->tag.priority;
	return ready_key_before(than->min_key, slot->min_key);
}

/* The queue of a role that it misses least; NULL: all are in use */
static ReadyQueue *
worst_queue(ReadyRole *role, TimestampTz now)
{
	ReadyQueue *worst = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &role->queues)
	{
		ReadyQueue *slot = dlist_container(ReadyQueue, node, iter.cur);

		if (slot->nclaims == 0 && (worst == NULL || is_worse(slot, worst, now)))
			worst = slot;
	}
	return worst;
}

/* The queue whose jobs are due last; NULL: all are due now, or in use */
static ReadyQueue *
latest_queue(TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	ReadyQueue *slot;
	ReadyQueue *latest = NULL;

	hash_seq_init(&scan, queue_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->nclaims == 0 && slot->min_key.run_at > now &&
			(latest == NULL || slot->min_key.run_at > latest->min_key.run_at))
			latest = slot;
	}
	return latest;
}

static ReadyRole *
largest_role(void)
{
	HASH_SEQ_STATUS scan;
	ReadyRole  *role;
	ReadyRole  *largest = NULL;

	hash_seq_init(&scan, role_table);
	while ((role = hash_seq_search(&scan)) != NULL)
	{
		if (largest == NULL || role->nqueues > largest->nqueues)
			largest = role;
	}
	return largest;
}

/*
 * Have a slot free for a queue of the role; false: it gets none.  No queue
 * loses its slot to one whose jobs are due later.  *evicted: the database whose
 * scheduler has to look for what has lost its slot.
 *
 * It walks all slots if they are all taken, and then only for a role that has
 * less than its half.
 */
static bool
make_room(ReadyRole *role, const ReadyQueueChoice *queue, TimestampTz now, Oid *evicted)
{
	ReadyQueue *source = NULL;
	bool		full = hash_get_num_entries(queue_table) >= defer_shared_slots;
	ReadyRole  *largest;

	if (!full && role->nqueues < READY_QUEUES_OF_ROLE)
		return true;
	if (queue->min_key.run_at > now)
		return false;
	if (role->nqueues < READY_QUEUES_OF_ROLE)
	{
		source = latest_queue(now);
		if (source == NULL && (largest = largest_role())->nqueues > role->nqueues + 1)
			source = worst_queue(largest, now);
	}
	if (source == NULL)
	{
		source = worst_queue(role, now);
		if (source == NULL ||
			(source->min_key.run_at <= now && limits_have_capacity_locked(source->limits) &&
			 (source->tag.priority < queue->priority ||
			  (source->tag.priority == queue->priority &&
			   ready_key_before(source->min_key, queue->min_key)))))
			return false;		/* the new one is the worst */
	}
	*evicted = source->tag.database;
	evict_queue(source);
	return true;
}

/* Have a slot free for a role; false: all roles have due jobs */
static bool
make_room_for_role(TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	ReadyRole  *role;
	dlist_mutable_iter iter;

	if (hash_get_num_entries(role_table) < defer_shared_slots)
		return true;
	hash_seq_init(&scan, role_table);
	while ((role = hash_seq_search(&scan)) != NULL)
	{
		bool		waits = true;

		dlist_foreach_modify(iter, &role->queues)
		{
			ReadyQueue *slot = dlist_container(ReadyQueue, node, iter.cur);

			waits = waits && slot->nclaims == 0 && slot->min_key.run_at > now;
		}
		if (waits)
			break;
	}
	if (role == NULL)
		return false;
	hash_seq_term(&scan);
	dlist_foreach_modify(iter, &role->queues)
		evict_queue(dlist_container(ReadyQueue, node, iter.cur));
	free_role(role);
	return true;
}

/* ------------------------------------------------------------------------
 * Adding; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

static ReadyRole *
add_role(ReadyDatabase *database, Oid owner, TimestampTz now)
{
	ReadyRoleTag tag = {database->database, owner};
	ReadyRole  *role = hash_search(role_table, &tag, HASH_FIND, NULL);

	if (role != NULL || !make_room_for_role(now))
		return role;
	role = hash_search(role_table, &tag, HASH_ENTER_NULL, NULL);
	if (role == NULL)
		return NULL;
	role->database = database;
	dlist_push_tail(&database->roles, &role->node);
	database->nroles++;
	dlist_init(&role->queues);
	role->nqueues = 0;
	role->unlisted_at = DT_NOEND;
	return role;
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
	ReadyQueue *slot;
	LimitSlot  *limits[LIMITS_OF_KEY];

	if (role == NULL)
	{
		database->unlisted_at = Min(database->unlisted_at, queue->min_key.run_at);
		return NULL;
	}
	queue_tag(&tag, database->database, queue);
	if (!make_room(role, queue, now, evicted) ||
		!limits_attach(database, queue->limits_key, limits))
		slot = NULL;
	else if ((slot = hash_search(queue_table, &tag, HASH_ENTER_NULL, NULL)) == NULL)
		limits_detach(limits);
	if (slot == NULL)
	{
		role->unlisted_at = Min(role->unlisted_at, queue->min_key.run_at);
		return NULL;
	}
	slot->role = role;
	dlist_push_tail(&role->queues, &slot->node);
	role->nqueues++;
	memcpy(slot->limits, limits, sizeof(limits));
	slot->min_key = slot->scan_min = READY_KEY_NONE;
	slot->nclaims = 0;
	slot->ready = 0;
	slot->retry_at = 0;
	return slot;
}

/*
 * There are jobs in a queue from its min_key on: find or make its slot, and
 * lower its minimum key.  NULL: it has no slot.
 */
static ReadyQueue *
lower_queue(Oid database, const ReadyQueueChoice *queue, TimestampTz now, Oid *evicted)
{
	ReadyDatabase *db = ready_database(database);
	ReadyQueue *slot = db != NULL ? ready_queue_slot(queue, database) : NULL;

	if (db == NULL)
		return NULL;			/* the scheduler reads all of them when it
								 * comes */
	if (slot == NULL && (slot = add_queue(db, queue, now, evicted)) == NULL)
		return NULL;
	if (ready_key_before(queue->min_key, slot->min_key))
		slot->min_key = queue->min_key;
	if (slot->nclaims > 0 && ready_key_before(queue->min_key, slot->scan_min))
		slot->scan_min = queue->min_key;
	slot->retry_at = 0;
	return slot;
}

bool
ready_queue_add(Oid database, Oid owner, int64 limits_key, int32 priority, ReadyKey key,
				int64 count, TimestampTz now)
{
	ReadyQueueChoice queue = {owner, limits_key, priority, key, count};
	ReadyQueue *slot;
	Oid			evicted = InvalidOid;
	bool		tell;

	if (key.run_at == DT_NOEND)
		return false;			/* held: who releases it calls again */
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = lower_queue(database, &queue, now, &evicted);
	if (slot != NULL)
		slot->ready += count;
	tell = key.run_at <= now && (slot == NULL || !limits_are_known(slot->limits));
	LWLockRelease(shared->ready_lock);
	if (OidIsValid(evicted))
		database_wake_scheduler(evicted);
	return tell;
}

void
ready_queue_found(Oid database, const ReadyQueueChoice *queue, TimestampTz now)
{
	ReadyQueue *slot;
	Oid			evicted = InvalidOid;

	if (queue->min_key.run_at == DT_NOEND)
		return;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = lower_queue(database, queue, now, &evicted);
	if (slot != NULL)
		slot->ready = Max(slot->ready, queue->ready);
	LWLockRelease(shared->ready_lock);
	if (OidIsValid(evicted) && evicted != database)
		database_wake_scheduler(evicted);
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

/* ------------------------------------------------------------------------
 * Databases
 * ------------------------------------------------------------------------ */

void
ready_queues_open(Oid database)
{
	ReadyDatabase *db;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);

	/*
	 * there are as many as DatabaseSlots, and each of those gives its own
	 * back
	 */
	if (db == NULL && (db = ready_database(InvalidOid)) != NULL)
	{
		db->database = database;
		db->unlisted_at = DT_NOEND;
		db->nroles = 0;
		dlist_init(&db->roles);
		dlist_init(&db->stale_limits);
	}
	if (db != NULL)
		limits_reload_locked(db);
	LWLockRelease(shared->ready_lock);
}

void
ready_queues_forget(Oid database)
{
	ReadyDatabase *db;
	dlist_mutable_iter roles;
	dlist_mutable_iter queues;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	if (db != NULL)
	{
		dlist_foreach_modify(roles, &db->roles)
		{
			ReadyRole  *role = dlist_container(ReadyRole, node, roles.cur);

			dlist_foreach_modify(queues, &role->queues)
				free_queue(dlist_container(ReadyQueue, node, queues.cur));
			free_role(role);
		}
		limits_forget_locked(db);
		db->database = InvalidOid;
	}
	LWLockRelease(shared->ready_lock);
}
