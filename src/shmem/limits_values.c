/*
 * limits_values.c
 *		The values of limits: what changes them, and which ones the scheduler is to
 *		read.  See limits.h.
 */
#include "postgres.h"

#include "storage/lwlock.h"

#include "shmem/rates.h"
#include "shmem/ready_queue_slots.h"

/*
 * The values for the groups of a function or queue have changed, "old" was the rate of
 * each: find the queues that wait for them
 */
static void
groups_changed(const ReadyDatabase *database, const LimitSlot *parent, const Rate *old)
{
	HASH_SEQ_STATUS scan;
	LimitSlot  *slot;

	hash_seq_init(&scan, limits_table());
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.group != 0 && slot->tag.id == parent->tag.id &&
			slot->tag.kind == parent->tag.kind && slot->tag.database == parent->tag.database)
		{
			rate_inherit(slot, parent, old, database);
			(void) ready_place_blocked(slot);
		}
	}
}

/* Queues that wait for the first job of an order look again.  True: see ready_place_blocked() */
static bool
orders_changed(Oid database)
{
	HASH_SEQ_STATUS scan;
	LimitSlot  *slot;
	bool		waited = false;

	hash_seq_init(&scan, limits_table());
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database != database || slot->tag.group == 0)
			continue;
		slot->order_changes++;
		waited = ready_place_blocked(slot) || waited;
	}
	return waited;
}

static bool
limit_changed(Oid database, const LimitChange *change)
{
	LimitSlot  *slot;
	ReadyDatabase *db;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	slot = db != NULL ? limit_slot(database, change->kind, change->id, 0) : NULL;
	if (slot != NULL)
	{
		/* what is not told here may have changed, too */
		slot->limit = change->limit;
		if (change->rated && change->limit != LIMIT_PAUSED)
			slot->limit = LIMIT_UNKNOWN;
		slot->group_limit = LIMIT_UNKNOWN;
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
			read = limit_changed(database, change) || read;
	}
	return read;
}

/* The next limit that is to be read, of the roles by turns; NULL: there is none */
static LimitSlot *
next_stale(ReadyDatabase *database)
{
	for (int i = 0; i < LIMIT_TURNS; i++)
	{
		dlist_head *list = &database->stale_limits[database->next_turn++ % LIMIT_TURNS];

		if (!dlist_is_empty(list))
			return dlist_head_element(LimitSlot, stale_node, list);
	}
	return NULL;
}

int
limits_to_load(Oid database, LimitValue *values, int max)
{
	ReadyDatabase *db;
	LimitSlot  *slot;
	int			n = 0;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	while (db != NULL && n < max && (slot = next_stale(db)) != NULL)
	{
		limit_clear_stale(slot);
		values[n++] = (LimitValue)
		{
			.kind = slot->tag.kind,
				.id = slot->tag.id,
				.group = slot->tag.group,
				.limit = slot->tag.group != 0 ? LIMIT_INHERITED : LIMIT_NONE,
				.group_limit = LIMIT_NONE,
		};
		values[n - 1].rate.interval = slot->tag.group != 0 ? RATE_INHERITED : 0;
		values[n - 1].rate.burst = values[n - 1].group_rate.burst = 1;
	}
	LWLockRelease(shared->ready_lock);
	return n;
}

void
limit_loaded(Oid database, const LimitValue *value)
{
	ReadyDatabase *db;
	LimitSlot  *slot;
	LimitSlot  *parent;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	slot = limit_slot(database, value->kind, value->id, value->group);
	parent = value->group != 0 ? limit_slot(database, value->kind, value->id, 0) : NULL;
	if (db != NULL && slot != NULL && !slot->stale && (value->group == 0 || parent != NULL))
	{
		const Rate	old = slot->group_rate;
		const bool	order = value->group == 0 && slot->strict != value->strict;
		bool		groups = value->group == 0 &&
			(slot->limit == LIMIT_UNKNOWN || slot->group_limit != value->group_limit ||
		 slot->strict != value->strict ||
		 old.interval != value->group_rate.interval || old.burst != value->group_rate.burst);

		slot->limit = value->limit;
		slot->group_limit = value->group_limit;
		slot->strict = value->strict;
		slot->group_overrides = value->group_overrides;
		slot->cancel = value->cancel;
		slot->weight = value->weight;
		rate_set(slot, parent, value, db);
		if (groups)
			groups_changed(db, slot, &old);
		else
			(void) ready_place_blocked(slot);

		/*
		 * jobs may leave the order of their function for that of their queue,
		 * or come back
		 */
		if (order)
			(void) orders_changed(database);
	}
	LWLockRelease(shared->ready_lock);
}

bool
limits_order_changed(Oid database, char kind, int32 id, int64 group)
{
	LimitSlot  *slot;
	bool		waited = false;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = limit_slot(database, kind, id, group);
	if (slot != NULL)
	{
		slot->order_changes++;
		waited = ready_place_blocked(slot);
	}
	LWLockRelease(shared->ready_lock);
	return waited;
}

bool
limits_orders_changed(Oid database)
{
	bool		waited;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	waited = orders_changed(database);
	LWLockRelease(shared->ready_lock);
	return waited;
}
