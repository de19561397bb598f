/*
 * limits.c
 *		Limits in shared memory: their slots, and the places that are taken under
 *		them.  See limits.h.
 *
 * There are slots for the limits of all ready queues that can have a slot, so
 * that one which is needed is always found: a slot is needed while a bundle or a
 * ready queue points at it or jobs run under it.
 *
 * A slot that is not needed remembers which tokens were used.  If all are taken, the
 * role with most of these gives up the one of a group that it has not needed for
 * longest: so a role that has very many groups loses its own, and no other's.
 *
 * A group has a slot for its limit under a function, and one for that under a
 * queue.  While no group of the function has limits of its own, the slot needs no
 * value from the tables: it inherits that of the function's slot.
 *
 * Each place is taken once and given back once.  Who holds it:
 *
 *		a claim			from ready_queue_choose() to _scan_end() or _abort()
 *		a batch			then: one under function and queue until its end; one under
 *						each group while entries of it are left (BatchLane)
 *		a thief			what it takes over or takes anew, until it has its batch
 *		a delivery		each under all of its limits, until it has ended
 *		a lease			the same
 *
 * test/model/places.pml is a model of this.
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/guc_delivery.h"
#include "base/limits_key.h"
#include "shmem/limits.h"
#include "shmem/rates.h"
#include "shmem/ready_queue_slots.h"

/* Roles whose OIDs have the same remainder count as one */
#define SHARES			256

/* Slots of a role that are not needed; the longest first */
typedef struct LimitShare
{
	int			n;
	dlist_head	groups;			/* limits of groups */
	dlist_head	others;
} LimitShare;

static HTAB *limit_table = NULL;
static LimitShare *shares = NULL;

/*
 * Deliveries in flight, as many as a database may have, each under limits of its own of
 * queue, endpoint and group: only a superuser can limit the functions of deliveries
 */
#define OF_DELIVERIES	(3 * TRANSFERS_MAX)

/*
 * Each queue that has a slot points at the limits of a group, its bundle at those of
 * function, queue and endpoint.  Workers hold some more, and so do leases and deliveries:
 * each of these has a share of what can run (pure/fair_share.h).
 */
static int
slot_count(void)
{
	return LIMITS_OF_KEY * defer_shared_slots +
		LIMITS_WITH_GROUPS * (defer_shared_slots + worker_slot_count() * (1 + READY_CLAIM_MAX) +
							  2 * defer_max_leases) + OF_DELIVERIES;
}

Size
limits_shmem_size(void)
{
	return add_size(add_size(MAXALIGN(SHARES * sizeof(LimitShare)), rates_shmem_size()),
					hash_estimate_size(slot_count(), sizeof(LimitSlot)));
}

void
limits_shmem_init(void)
{
	HASHCTL		control = {0};
	bool		found;

	shares = ShmemInitStruct("defer unused limits", SHARES * sizeof(LimitShare), &found);
	for (int i = 0; i < SHARES && !found; i++)
	{
		shares[i].n = 0;
		dlist_init(&shares[i].groups);
		dlist_init(&shares[i].others);
	}
	control.keysize = sizeof(LimitTag);
	control.entrysize = sizeof(LimitSlot);
	limit_table = compat_shmem_hash("defer limits", slot_count(), &control);
	rates_shmem_init();
}

/* ------------------------------------------------------------------------
 * Slots; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

HTAB *
limits_table(void)
{
	return limit_table;
}

LimitSlot *
limit_slot(Oid database, char kind, int32 id, int64 group)
{
	LimitTag	tag = limit_tag(database, kind, id, group);

	return hash_search(limit_table, &tag, HASH_FIND, NULL);
}

void
limit_set_stale(LimitSlot *slot, ReadyDatabase *database)
{
	if (slot->stale)
		return;
	slot->stale = true;
	dlist_push_tail(&database->stale_limits[slot->owner % LIMIT_TURNS], &slot->stale_node);
}

void
limit_clear_stale(LimitSlot *slot)
{
	if (!slot->stale)
		return;
	slot->stale = false;
	dlist_delete(&slot->stale_node);
}

/* Put a slot into the list of those of its role that are not needed, or take it out */
static void
set_unused(LimitSlot *slot, bool unused)
{
	LimitShare *share = &shares[slot->owner % SHARES];

	if (unused == slot->unused)
		return;
	slot->unused = unused;
	share->n += unused ? 1 : -1;
	if (unused)
		dlist_push_tail(slot->tag.group != 0 ? &share->groups : &share->others, &slot->unused_node);
	else
		dlist_delete(&slot->unused_node);
}

static void
free_limit(LimitSlot *slot)
{
	Assert(slot->nusers == 0 && slot->running == 0);
	Assert(dlist_is_empty(&slot->blocked));
	limit_clear_stale(slot);
	rate_forget(slot);
	set_unused(slot, false);
	(void) hash_search(limit_table, &slot->tag, HASH_REMOVE, NULL);
}

/* Free a slot that is not needed, of the role with most of them; false: all are needed */
static bool
free_of_largest(void)
{
	LimitShare *largest = &shares[0];

	for (int i = 1; i < SHARES; i++)
	{
		if (shares[i].n > largest->n)
			largest = &shares[i];
	}
	if (largest->n == 0)
		return false;
	free_limit(dlist_head_element(LimitSlot, unused_node, dlist_is_empty(&largest->groups) ?
								  &largest->others : &largest->groups));
	return true;
}

/* Keep the lists of unused slots right; call it when nusers or running has changed */
static void
note_use(LimitSlot *slot)
{
	set_unused(slot, slot->nusers == 0 && slot->running == 0);
}

/* Check whether a group's slot that is new needs nothing from the tables */
static bool
may_inherit(const LimitSlot *parent)
{
	return parent->limit != LIMIT_UNKNOWN && parent->group_limit != LIMIT_UNKNOWN &&
		!parent->group_overrides && !rate_is_long(&parent->group_rate);
}

/*
 * Returns a slot for the limit, one more user of it; NULL: there is none.  Of a
 * group, "parent" is that of its function or queue.  "owner" is the role whose jobs are
 * under it.
 */
static LimitSlot *
use_limit(ReadyDatabase *database, Oid owner, const LimitTag *tag, const LimitSlot *parent)
{
	LimitSlot  *slot = hash_search(limit_table, tag, HASH_FIND, NULL);

	if (slot == NULL)
	{
		if (hash_get_num_entries(limit_table) >= slot_count() && !free_of_largest())
			return NULL;
		slot = hash_search(limit_table, tag, HASH_ENTER_NULL, NULL);
		if (slot == NULL)
			return NULL;
		slot->owner = owner;
		slot->running = slot->choosing = slot->nusers = 0;
		slot->limit = LIMIT_UNKNOWN;
		slot->group_limit = LIMIT_NONE;
		slot->weight = 0;
		slot->strict = false;
		slot->order_changes = 0;
		slot->group_overrides = slot->cancel = slot->stale = slot->unused = false;
		dlist_init(&slot->blocked);
		rate_init(slot, parent != NULL);
		if (parent != NULL && may_inherit(parent))
		{
			slot->limit = LIMIT_INHERITED;
			rate_inherit(slot, parent, &parent->group_rate, database);
		}
	}
	else if (slot->unused && parent != NULL)
		rate_inherit(slot, parent, &parent->group_rate, database);
	if (slot->limit == LIMIT_UNKNOWN)
		limit_set_stale(slot, database);
	slot->nusers++;
	note_use(slot);
	return slot;
}

static bool
attach(ReadyDatabase *database, Oid owner, const LimitScopes *scopes, LimitSlot *const *parents,
	   LimitSlot **limits)
{
	LimitTag	tags[LIMITS_OF_KEY];

	limit_tags(database->database, scopes, parents != NULL, tags);
	memset(limits, 0, LIMITS_OF_KEY * sizeof(LimitSlot *));
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (tags[i].id == 0)
			continue;
		limits[i] = use_limit(database, owner, &tags[i], parents != NULL ? parents[i] : NULL);
		if (limits[i] == NULL)
		{
			limits_detach(limits);
			return false;
		}
	}
	return true;
}

bool
limits_attach(ReadyDatabase *database, Oid owner, const LimitScopes *scopes, LimitSlot **limits)
{
	return attach(database, owner, scopes, NULL, limits);
}

/* The group's, under these limits of function and queue */
bool
limits_attach_groups(ReadyDatabase *database, Oid owner, LimitSlot *const *limits, int64 group,
					 LimitSlot **groups)
{
	LimitScopes scopes = {group, limits[0] != NULL ? limits[0]->tag.id : 0,
		limits[1] != NULL ? limits[1]->tag.id : 0, 0};

	return attach(database, owner, &scopes, limits, groups);
}

void
limits_detach(LimitSlot **limits)
{
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (limits[i] == NULL)
			continue;
		limits[i]->nusers--;
		note_use(limits[i]);
		limits[i] = NULL;
	}
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
		limit_clear_stale(slot);
		slot->limit = LIMIT_UNKNOWN;
		slot->cancel = false;
		slot->fresh = true;
		slot->used = slot->lost = 0;
		if (slot->unused)
			free_limit(slot);	/* the one that the scan is at may be removed */
	}
}

/* ------------------------------------------------------------------------
 * Capacity; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

static bool
has_capacity(const LimitSlot *slot)
{
	return slot->limit == LIMIT_NONE ||
		(slot->limit != LIMIT_UNKNOWN && slot->running < slot->limit);
}

static bool
group_has_capacity(const LimitSlot *slot, const LimitSlot *parent)
{
	int32		limit = limit_of_group(slot, parent);

	return limit == LIMIT_NONE || (limit != LIMIT_UNKNOWN && slot->running < limit);
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

bool
limits_have_capacity_locked(LimitSlot *const *limits)
{
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (limits[i] != NULL && !has_capacity(limits[i]))
			return false;
	}
	return true;
}

LimitSlot *
limits_first_full(LimitSlot *const *groups, LimitSlot *const *limits)
{
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (groups[i] != NULL && !group_has_capacity(groups[i], limits[i]))
			return groups[i];
	}
	return NULL;
}

void
limits_take(LimitSlot *const *limits, int choosing)
{
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (limits[i] == NULL)
			continue;
		limits[i]->running++;
		limits[i]->choosing += choosing;
		note_use(limits[i]);
	}
}

bool
limits_give_back(Oid database, const LimitScopes *scopes, bool of_group, int choosing)
{
	LimitTag	tags[LIMITS_OF_KEY];
	bool		waited = false;

	limit_tags(database, scopes, of_group, tags);
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		LimitSlot  *slot;

		if (tags[i].id == 0)
			continue;
		slot = hash_search(limit_table, &tags[i], HASH_FIND, NULL);
		Assert(slot != NULL && slot->running > 0 && slot->choosing >= choosing);
		if (slot == NULL)
			continue;
		waited = waited || (!of_group && slot->limit >= 0 && slot->running >= slot->limit);
		slot->running--;
		slot->choosing -= choosing;
		note_use(slot);
		if (of_group)
			waited = ready_place_blocked(slot) || waited;
	}
	return waited;
}

/* A claim has taken jobs: its places stay taken */
void
limits_chosen(Oid database, const LimitScopes *scopes, bool of_group)
{
	LimitTag	tags[LIMITS_OF_KEY];

	limit_tags(database, scopes, of_group, tags);
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		LimitSlot  *slot = tags[i].id == 0 ? NULL :
			hash_search(limit_table, &tags[i], HASH_FIND, NULL);

		if (slot != NULL)
			slot->choosing--;
	}
}
