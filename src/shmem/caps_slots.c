/*
 * caps_slots.c
 *		Slots of caps and of groups under them, in shared memory: see caps_slots.h.
 *
 * Groups have slots while they have jobs.  A role may take all of these as long as no
 * other needs one; then the role with most of them gives one up.  Groups without a slot
 * are counted together, which is never too low either: "rest".
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "base/guc.h"
#include "shmem/caps.h"
#include "shmem/caps_slots.h"

/* Caps that are counted; slots of groups for each ready queue */
#define SCOPES_MAX		Min(defer_shared_slots, 4096)
#define GROUPS_MAX		(4 * defer_shared_slots)

Caps	   *caps = NULL;
static HTAB *scope_table = NULL;
static HTAB *group_table = NULL;
static HTAB *role_table = NULL;

/* ------------------------------------------------------------------------
 * Shared memory
 * ------------------------------------------------------------------------ */

#define GROUP_KEY_SIZE	offsetof(CapGroup, count)

Size
caps_shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(Caps));

	size = add_size(size, hash_estimate_size(SCOPES_MAX, sizeof(CapScope)));
	size = add_size(size, hash_estimate_size(SCOPES_MAX, sizeof(CapRole)));
	return add_size(size, hash_estimate_size(GROUPS_MAX, sizeof(CapGroup)));
}

void
caps_shmem_init(void)
{
	HASHCTL		control = {0};
	bool		found;

	caps = ShmemInitStruct("defer caps", sizeof(Caps), &found);
	if (!found)
	{
		memset(caps, 0, sizeof(Caps));
		ConditionVariableInit(&caps->counted);
		for (int i = 0; i < CAP_CELLS; i++)
		{
			pg_atomic_init_u32(&caps->cells[i].generation, 1);
			pg_atomic_init_u32(&caps->cells[i].scopes, 0);
		}
	}
	control.keysize = sizeof(int64);
	control.entrysize = sizeof(CapScope);
	scope_table = compat_shmem_hash("defer caps of functions and queues", SCOPES_MAX, &control);
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(CapRole);
	role_table = compat_shmem_hash("defer caps of roles", SCOPES_MAX, &control);
	control.keysize = GROUP_KEY_SIZE;
	control.entrysize = sizeof(CapGroup);
	group_table = compat_shmem_hash("defer caps of groups", GROUPS_MAX, &control);
}

static CapCell *
my_cell(void)
{
	return &caps->cells[MyDatabaseId % CAP_CELLS];
}

uint32
caps_generation(void)
{
	return caps == NULL ? 1 : pg_atomic_read_u32(&my_cell()->generation);
}

void
caps_changed(void)
{
	if (caps != NULL)
		pg_atomic_fetch_add_u32(&my_cell()->generation, 1);
}

bool
caps_in_use(void)
{
	return caps != NULL && pg_atomic_read_u32(&my_cell()->scopes) > 0;
}

/* ------------------------------------------------------------------------
 * Slots
 * ------------------------------------------------------------------------ */

CapScope *
caps_find(int64 cap)
{
	return hash_search(scope_table, &cap, HASH_FIND, NULL);
}

static CapGroup *
find_group(int64 cap, int64 group)
{
	CapGroup	key = {.cap = cap, .group = group};

	return hash_search(group_table, &key, HASH_FIND, NULL);
}

static void
free_group(CapScope *scope, CapGroup *group)
{
	CapGroup	key = {.cap = group->cap, .group = group->group};

	dlist_delete(&group->of_scope);
	scope->ngroups--;
	scope->role->ngroups--;
	hash_search(group_table, &key, HASH_REMOVE, NULL);
}

static void
free_groups(CapScope *scope, bool empty_only)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &scope->groups)
	{
		CapGroup   *group = dlist_container(CapGroup, of_scope, iter.cur);

		if (!empty_only || group->count == 0)
			free_group(scope, group);
	}
}

static void
free_scope(CapScope *scope)
{
	CapRole    *role = scope->role;

	free_groups(scope, false);
	dlist_delete(&scope->of_role);
	pg_atomic_fetch_sub_u32(&caps->cells[scope->database % CAP_CELLS].scopes, 1);
	hash_search(scope_table, &scope->cap, HASH_REMOVE, NULL);
	if (--role->nscopes == 0)
		hash_search(role_table, &role->owner, HASH_REMOVE, NULL);
}

/* The role that takes most of the scopes, or of the groups */
static CapRole *
largest_role(bool by_groups)
{
	HASH_SEQ_STATUS scan;
	CapRole    *role;
	CapRole    *largest = NULL;

	hash_seq_init(&scan, role_table);
	while ((role = hash_seq_search(&scan)) != NULL)
	{
		if (largest == NULL ||
			(by_groups ? role->ngroups > largest->ngroups : role->nscopes > largest->nscopes))
			largest = role;
	}
	return largest;
}

/* Free the scope of the role with most of them that was counted first */
static bool
make_room_for_scope(void)
{
	CapRole    *role = largest_role(false);
	dlist_node *node;

	if (role == NULL)
		return false;
	for (node = dlist_tail_node(&role->scopes);; node = dlist_prev_node(&role->scopes, node))
	{
		CapScope   *scope = dlist_container(CapScope, of_role, node);

		if (scope->phase != CAP_CUT && scope->phase != CAP_COUNTING)
		{
			free_scope(scope);
			return true;
		}
		if (!dlist_has_prev(&role->scopes, node))
			return false;
	}
}

/* Count a group of another role, one with more slots, in its scope's rest */
static bool
make_room_for_group(const CapRole *needy)
{
	CapRole    *role = largest_role(true);
	dlist_iter	iter;

	if (role == needy || role->ngroups <= needy->ngroups + 1)
		return false;
	dlist_foreach(iter, &role->scopes)
	{
		CapScope   *scope = dlist_container(CapScope, of_role, iter.cur);
		CapGroup   *group;

		if (scope->ngroups == 0)
			continue;
		group = dlist_container(CapGroup, of_scope, dlist_tail_node(&scope->groups));
		scope->rest += group->count;
		scope->overflowed = true;
		free_group(scope, group);
		return true;
	}
	return false;
}

CapScope *
caps_make_scope(const CapNeed *need)
{
	CapScope   *scope;
	CapRole    *role;
	bool		found;

	if (hash_get_num_entries(scope_table) >= SCOPES_MAX && !make_room_for_scope())
		return NULL;
	role = hash_search(role_table, &need->owner, HASH_ENTER, &found);
	if (!found)
	{
		role->nscopes = role->ngroups = 0;
		dlist_init(&role->scopes);
	}
	scope = hash_search(scope_table, &need->cap, HASH_ENTER, &found);
	Assert(!found);
	memset((char *) scope + sizeof(scope->cap), 0, sizeof(CapScope) - sizeof(scope->cap));
	scope->database = MyDatabaseId;
	scope->role = role;
	role->nscopes++;
	dlist_push_head(&role->scopes, &scope->of_role);
	dlist_init(&scope->groups);
	pg_atomic_fetch_add_u32(&my_cell()->scopes, 1);

	/* with a barrier: before the snapshot of its count */
	caps_changed();
	return scope;
}

/*
 * Find the slot of a group or make one; NULL: it is counted in the rest.  While some groups
 * are, a group without a slot may be one of these.
 */
static CapGroup *
group_slot(CapScope *scope, int64 group)
{
	CapGroup   *slot = find_group(scope->cap, group);
	CapGroup	key = {.cap = scope->cap, .group = group};

	if (slot != NULL || scope->overflowed)
		return slot;
	if (hash_get_num_entries(group_table) >= GROUPS_MAX && !make_room_for_group(scope->role))
	{
		scope->overflowed = true;
		return NULL;
	}
	slot = hash_search(group_table, &key, HASH_ENTER, NULL);
	slot->count = 0;
	dlist_push_head(&scope->groups, &slot->of_scope);
	scope->ngroups++;
	scope->role->ngroups++;
	return slot;
}

/* ------------------------------------------------------------------------
 * Counts
 * ------------------------------------------------------------------------ */

void
caps_forget(CapScope *scope)
{
	free_groups(scope, false);
	scope->phase = CAP_UNKNOWN;
	scope->counting = 0;
	scope->count = scope->rest = 0;
	scope->doubtful = scope->negative = scope->overflowed = false;
}

static void
add_to_group(CapScope *scope, int64 group, int32 n)
{
	CapGroup   *slot = group_slot(scope, group);
	int32	   *count = slot != NULL ? &slot->count : &scope->rest;

	*count += n;
	if (*count < 0)
		scope->negative = true;
	if (*count != 0 || scope->phase != CAP_KNOWN)
		return;
	if (slot != NULL)
		free_group(scope, slot);
	else
		scope->overflowed = false;
}

void
caps_add(CapScope *scope, int64 group, int32 n)
{
	scope->count += n;
	if (group != 0)
		add_to_group(scope, group, n);
	/* a user has deleted or changed rows by hand */
	if (scope->phase == CAP_KNOWN && (scope->count < 0 || scope->negative))
		caps_forget(scope);
}

int32
caps_count(const CapScope *scope, int64 group, bool *together)
{
	const CapGroup *slot;

	*together = false;
	if (group == 0)
		return scope->count;
	slot = find_group(scope->cap, group);
	*together = slot == NULL && scope->overflowed;
	return slot != NULL ? slot->count : *together ? scope->rest : 0;
}

void
caps_free_empty_groups(CapScope *scope)
{
	free_groups(scope, true);
}

void
caps_each(void (*change) (CapScope *scope))
{
	HASH_SEQ_STATUS scan;
	CapScope   *scope;

	hash_seq_init(&scan, scope_table);
	while ((scope = hash_seq_search(&scan)) != NULL)
	{
		if (scope->database == MyDatabaseId)
			change(scope);
	}
}
