/*
 * limits.c
 *		Concurrency limits in shared memory: see limits.h.
 *
 * There are slots for the limits of all ready queues that can have a slot, so
 * that one which is needed is always found: a slot is needed while a ready
 * queue points at it or jobs run under it, and the one that has not been needed
 * for longest is given away first.
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/limits_key.h"
#include "shmem/limits.h"
#include "shmem/ready_queue_slots.h"
#include "shmem/workers.h"

static HTAB *limit_table = NULL;
static dlist_head * unused_limits = NULL;	/* the longest unused first */

/* Workers hold at most LIMITS_OF_KEY each; some more for deliveries under way */
static int
slot_count(void)
{
	return LIMITS_OF_KEY * (defer_shared_slots + worker_slot_count()) + 256;
}

Size
limits_shmem_size(void)
{
	return add_size(MAXALIGN(sizeof(dlist_head)),
					hash_estimate_size(slot_count(), sizeof(LimitSlot)));
}

void
limits_shmem_init(void)
{
	HASHCTL		control = {0};
	bool		found;

	unused_limits = ShmemInitStruct("defer unused limits", sizeof(dlist_head), &found);
	if (!found)
		dlist_init(unused_limits);
	control.keysize = sizeof(LimitTag);
	control.entrysize = sizeof(LimitSlot);
	limit_table = compat_shmem_hash("defer limits", slot_count(), &control);
}

/* ------------------------------------------------------------------------
 * Slots; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

/* The two limits of a limits_key; id 0: none */
static void
limit_tags(Oid database, int64 limits_key, LimitTag *tags)
{
	tags[0] = (LimitTag) {database, LIMITS_KEY_FUNCTION(limits_key), 'f'};
	tags[1] = (LimitTag) {database, LIMITS_KEY_QUEUE(limits_key), 'q'};
}

static LimitSlot *
find_limit(Oid database, char kind, int32 id)
{
	LimitTag	tag = {database, id, kind};

	return hash_search(limit_table, &tag, HASH_FIND, NULL);
}

static void
set_stale(LimitSlot *slot, ReadyDatabase *database)
{
	if (slot->stale)
		return;
	slot->stale = true;
	dlist_push_tail(&database->stale_limits, &slot->stale_node);
}

static void
clear_stale(LimitSlot *slot)
{
	if (!slot->stale)
		return;
	slot->stale = false;
	dlist_delete(&slot->stale_node);
}

static void
free_limit(LimitSlot *slot)
{
	Assert(slot->nqueues == 0 && slot->running == 0);
	clear_stale(slot);
	if (slot->unused)
		dlist_delete(&slot->unused_node);
	(void) hash_search(limit_table, &slot->tag, HASH_REMOVE, NULL);
}

/* Keep the list of unused slots right; call it when nqueues or running has changed */
static void
note_use(LimitSlot *slot)
{
	bool		unused = slot->nqueues == 0 && slot->running == 0;

	if (unused == slot->unused)
		return;
	slot->unused = unused;
	if (unused)
		dlist_push_tail(unused_limits, &slot->unused_node);
	else
		dlist_delete(&slot->unused_node);
}

static LimitSlot *
find_or_add_limit(ReadyDatabase *database, const LimitTag *tag)
{
	LimitSlot  *slot = hash_search(limit_table, tag, HASH_FIND, NULL);

	if (slot == NULL)
	{
		if (hash_get_num_entries(limit_table) >= slot_count())
		{
			if (dlist_is_empty(unused_limits))
				return NULL;
			free_limit(dlist_head_element(LimitSlot, unused_node, unused_limits));
		}
		slot = hash_search(limit_table, tag, HASH_ENTER_NULL, NULL);
		if (slot == NULL)
			return NULL;
		slot->running = slot->choosing = slot->nqueues = 0;
		slot->limit = LIMIT_UNKNOWN;
		slot->cancel = slot->stale = slot->unused = false;
	}
	if (slot->limit == LIMIT_UNKNOWN)
		set_stale(slot, database);
	return slot;
}

/* Point a ready queue at its limits; false: there is no slot for them */
bool
limits_attach(ReadyDatabase *database, int64 limits_key, LimitSlot **limits)
{
	LimitTag	tags[LIMITS_OF_KEY];

	limit_tags(database->database, limits_key, tags);
	memset(limits, 0, LIMITS_OF_KEY * sizeof(LimitSlot *));
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (tags[i].id == 0)
			continue;
		limits[i] = find_or_add_limit(database, &tags[i]);
		if (limits[i] == NULL)
		{
			limits_detach(limits);
			return false;
		}
		limits[i]->nqueues++;
		note_use(limits[i]);
	}
	return true;
}

void
limits_detach(LimitSlot **limits)
{
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (limits[i] == NULL)
			continue;
		limits[i]->nqueues--;
		note_use(limits[i]);
		limits[i] = NULL;
	}
}

bool
limits_are_known(LimitSlot *const *limits)
{
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (limits[i] != NULL && limits[i]->limit == LIMIT_UNKNOWN)
			return false;
	}
	return true;
}

static bool
limit_has_capacity(const LimitSlot *slot)
{
	return slot->limit == LIMIT_NONE ||
		(slot->limit != LIMIT_UNKNOWN && slot->running < slot->limit);
}

bool
limits_have_capacity_locked(LimitSlot *const *limits)
{
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (limits[i] != NULL && !limit_has_capacity(limits[i]))
			return false;
	}
	return true;
}

/* The same by the limits_key: one that has no slot has no capacity, as it is not known */
static bool
key_has_capacity(Oid database, int64 limits_key)
{
	LimitTag	tags[LIMITS_OF_KEY];

	limit_tags(database, limits_key, tags);
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		LimitSlot  *slot;

		if (tags[i].id == 0)
			continue;
		slot = hash_search(limit_table, &tags[i], HASH_FIND, NULL);
		if (slot == NULL || !limit_has_capacity(slot))
			return false;
	}
	return true;
}

void
limits_add_locked(Oid database, int64 limits_key, int running, int choosing)
{
	LimitTag	tags[LIMITS_OF_KEY];

	limit_tags(database, limits_key, tags);
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		LimitSlot  *slot;

		if (tags[i].id == 0 ||
			(slot = hash_search(limit_table, &tags[i], HASH_FIND, NULL)) == NULL)
			continue;
		slot->running = Max(slot->running + running, 0);
		slot->choosing = Max(slot->choosing + choosing, 0);
		note_use(slot);
	}
}

/* ------------------------------------------------------------------------
 * Values
 * ------------------------------------------------------------------------ */

bool
limit_changed(Oid database, char kind, int32 id, int32 limit)
{
	LimitSlot  *slot;
	ReadyDatabase *db;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	slot = db != NULL ? find_limit(database, kind, id) : NULL;
	if (slot != NULL)
	{
		slot->limit = limit;
		set_stale(slot, db);
	}
	LWLockRelease(shared->ready_lock);
	return slot != NULL;
}

void
limits_reload_locked(ReadyDatabase *database)
{
	HASH_SEQ_STATUS scan;
	LimitSlot  *slot;

	hash_seq_init(&scan, limit_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database == database->database)
			set_stale(slot, database);
	}
}

void
limits_reload(Oid database)
{
	ReadyDatabase *db;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	if (db != NULL)
		limits_reload_locked(db);
	LWLockRelease(shared->ready_lock);
}

/* The database is not served any more: numbers may mean other limits when it is again */
void
limits_forget_locked(ReadyDatabase *database)
{
	HASH_SEQ_STATUS scan;
	LimitSlot  *slot;

	hash_seq_init(&scan, limit_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database != database->database)
			continue;
		clear_stale(slot);
		slot->limit = LIMIT_UNKNOWN;
		slot->cancel = false;
		if (slot->unused)
			free_limit(slot);	/* the one that the scan is at may be removed */
	}
}

int
limits_to_load(Oid database, LimitValue *values, int max)
{
	ReadyDatabase *db;
	int			n = 0;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	while (db != NULL && n < max && !dlist_is_empty(&db->stale_limits))
	{
		LimitSlot  *slot = dlist_head_element(LimitSlot, stale_node, &db->stale_limits);

		clear_stale(slot);
		values[n++] = (LimitValue) {slot->tag.kind, slot->tag.id, LIMIT_NONE, false};
	}
	LWLockRelease(shared->ready_lock);
	return n;
}

void
limit_loaded(Oid database, const LimitValue *value)
{
	LimitSlot  *slot;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = find_limit(database, value->kind, value->id);
	if (slot != NULL && !slot->stale)
	{
		slot->limit = value->limit;
		slot->cancel = value->cancel;
	}
	LWLockRelease(shared->ready_lock);
}

/* ------------------------------------------------------------------------
 * Capacity
 * ------------------------------------------------------------------------ */

bool
limits_have_capacity(Oid database, int64 limits_key)
{
	bool		capacity;

	if (!LIMITS_KEY_HAS_LIMITS(limits_key))
		return true;
	LWLockAcquire(shared->ready_lock, LW_SHARED);
	capacity = key_has_capacity(database, limits_key);
	LWLockRelease(shared->ready_lock);
	return capacity;
}

int
limit_running(Oid database, char kind, int32 id)
{
	LimitSlot  *slot;
	int			running;

	if (id == 0)
		return 0;
	LWLockAcquire(shared->ready_lock, LW_SHARED);
	slot = find_limit(database, kind, id);
	running = slot == NULL ? 0 : slot->running;
	LWLockRelease(shared->ready_lock);
	return running;
}

bool
limits_reserve(Oid database, int64 limits_key)
{
	bool		capacity;

	if (!LIMITS_KEY_HAS_LIMITS(limits_key))
		return true;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	capacity = key_has_capacity(database, limits_key);
	if (capacity)
		limits_add_locked(database, limits_key, 1, 0);
	LWLockRelease(shared->ready_lock);
	return capacity;
}

void
limits_release(Oid database, int64 limits_key)
{
	if (!LIMITS_KEY_HAS_LIMITS(limits_key))
		return;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	limits_add_locked(database, limits_key, -1, 0);
	LWLockRelease(shared->ready_lock);
}

static bool
limits_cancel(Oid database, int64 limits_key, bool only_at_limit)
{
	LimitSlot  *slot;
	bool		cancels = false;

	if (LIMITS_KEY_FUNCTION(limits_key) == 0)
		return false;
	LWLockAcquire(shared->ready_lock, LW_SHARED);
	slot = find_limit(database, 'f', LIMITS_KEY_FUNCTION(limits_key));
	if (slot != NULL)
		cancels = slot->cancel && slot->limit > LIMIT_PAUSED &&
			(!only_at_limit || slot->running - slot->choosing >= slot->limit);
	LWLockRelease(shared->ready_lock);
	return cancels;
}

bool
limits_may_cancel(Oid database, int64 limits_key)
{
	return limits_cancel(database, limits_key, false);
}

bool
limits_cancel_at_limit(Oid database, int64 limits_key)
{
	return limits_cancel(database, limits_key, true);
}
