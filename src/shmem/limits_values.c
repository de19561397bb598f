/*
 * limits_values.c
 *		The values of limits: what changes them, and which ones the scheduler is to
 *		read.  See limits.h.
 */
#include "postgres.h"

#include "storage/lwlock.h"

#include "shmem/ready_queue_slots.h"

/* Find the queues that wait for capacity of a function's or queue's groups */
static void
place_groups_blocked(const LimitSlot *parent)
{
	HASH_SEQ_STATUS scan;
	LimitSlot  *slot;

	hash_seq_init(&scan, limits_table());
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.group != 0 && slot->tag.id == parent->tag.id &&
			slot->tag.kind == parent->tag.kind && slot->tag.database == parent->tag.database)
			(void) ready_place_blocked(slot);
	}
}

static bool
limit_changed(Oid database, char kind, int32 id, int32 limit)
{
	LimitSlot  *slot;
	ReadyDatabase *db;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	slot = db != NULL ? limit_slot(database, kind, id, 0) : NULL;
	if (slot != NULL)
	{
		slot->limit = limit;
		slot->group_limit = LIMIT_UNKNOWN;	/* that may have changed, too */
		limit_set_stale(slot, db);
	}
	LWLockRelease(shared->ready_lock);
	return slot != NULL;
}

static bool
group_limit_changed(Oid database, char kind, int32 id, int64 group)
{
	LimitSlot  *parent;
	LimitSlot  *slot = NULL;
	ReadyDatabase *db;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	parent = db != NULL ? limit_slot(database, kind, id, 0) : NULL;
	if (parent != NULL)
	{
		parent->group_overrides = true;
		limit_set_stale(parent, db);	/* what is being read may be of before */
	}
	slot = db != NULL ? limit_slot(database, kind, id, group) : NULL;
	if (slot != NULL)
	{
		slot->limit = LIMIT_UNKNOWN;
		limit_set_stale(slot, db);
	}
	LWLockRelease(shared->ready_lock);
	return parent != NULL || slot != NULL;
}

void
limits_reload_locked(ReadyDatabase *database)
{
	HASH_SEQ_STATUS scan;
	LimitSlot  *slot;

	hash_seq_init(&scan, limits_table());
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database != database->database)
			continue;
		limit_set_stale(slot, database);
		slot->group_overrides = true;	/* until that is known */
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

bool
limits_changed(Oid database, const LimitChange *changes, int n)
{
	bool		read = changes == NULL;

	if (changes == NULL)
		limits_reload(database);
	for (int i = 0; changes != NULL && i < n; i++)
	{
		const LimitChange *change = &changes[i];

		if (change->group != 0)
			read = group_limit_changed(database, change->kind, change->id, change->group) || read;
		else
			read = limit_changed(database, change->kind, change->id, change->limit) || read;
	}
	return read;
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

		limit_clear_stale(slot);
		values[n++] = (LimitValue)
		{
			.kind = slot->tag.kind,
				.id = slot->tag.id,
				.group = slot->tag.group,
				.limit = slot->tag.group != 0 ? LIMIT_INHERITED : LIMIT_NONE,
				.group_limit = LIMIT_NONE,
		};
	}
	LWLockRelease(shared->ready_lock);
	return n;
}

void
limit_loaded(Oid database, const LimitValue *value)
{
	LimitSlot  *slot;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = limit_slot(database, value->kind, value->id, value->group);
	if (slot != NULL && !slot->stale)
	{
		bool		groups = value->group == 0 &&
			(slot->limit == LIMIT_UNKNOWN || slot->group_limit != value->group_limit);

		slot->limit = value->limit;
		slot->group_limit = value->group_limit;
		slot->group_overrides = value->group_overrides;
		slot->cancel = value->cancel;
		slot->weight = value->weight;
		if (groups)
			place_groups_blocked(slot);
		else
			(void) ready_place_blocked(slot);
	}
	LWLockRelease(shared->ready_lock);
}
