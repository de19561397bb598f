/*
 * ready_queue.c
 *		What there is to do, in shared memory: lanes of jobs and concurrency
 *		limits.
 *
 * A lane is the jobs of one role and priority that are under the same limits:
 * its slot knows the lowest key (run_at, id) at which a job may be found.
 * Whoever commits jobs lowers it, whoever takes jobs raises it.  A claim
 * chooses a lane, reserves room in its limits and reads the index from that key
 * on (table/ready_scan.c), one process at a time: see the gates.
 */
#include "base/defer.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "shmem/shmem.h"

/* Both under lanes_lock */
static HTAB *lane_table = NULL;
static HTAB *limit_table = NULL;

Size
lanes_shared_size(void)
{
	return add_size(hash_estimate_size(defer_shared_slots, sizeof(LaneSlot)),
					hash_estimate_size(defer_shared_slots, sizeof(LimitSlot)));
}

/* Part of shared_state_startup() */
void
lanes_startup(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(LaneTag);
	control.entrysize = sizeof(LaneSlot);
	lane_table = ShmemInitHash("defer lanes", defer_shared_slots, defer_shared_slots,
							   &control, HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	control.keysize = sizeof(LimitTag);
	control.entrysize = sizeof(LimitSlot);
	limit_table = ShmemInitHash("defer limits", defer_shared_slots, defer_shared_slots,
								&control, HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
}

/* ------------------------------------------------------------------------
 * Limits
 * ------------------------------------------------------------------------ */

static LimitSlot *
limit_slot(Oid database, int32 kind, int32 id, bool create)
{
	LimitTag	tag = {database, id, kind};
	bool		found;
	LimitSlot  *slot;

	slot = hash_search(limit_table, &tag, HASH_FIND, NULL);
	if (slot != NULL || !create)
		return slot;
	if (hash_get_num_entries(limit_table) >= shared->nawaiter_slots)
		return NULL;
	slot = hash_search(limit_table, &tag, HASH_ENTER_NULL, &found);
	if (slot != NULL && !found)
	{
		slot->running = slot->choosing = 0;
		slot->limit = -1;
		slot->cancel = slot->stale = false;
	}
	return slot;
}

/* A limit that is none any more, with nobody under it, needs no slot */
static void
limit_drop_if_unused(LimitSlot *slot)
{
	if (slot->limit < 0 && slot->running == 0)
		hash_search(limit_table, &slot->tag, HASH_REMOVE, NULL);
}

/* A limit is new or has changed; false: there is no slot left for it */
bool
limit_set(Oid database, char kind, int32 id, int32 limit)
{
	LimitSlot  *slot;

	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = limit_slot(database, kind, id, limit >= 0);
	if (slot != NULL)
	{
		slot->limit = limit;
		slot->stale = false;
		limit_drop_if_unused(slot);
	}
	LWLockRelease(shared->lanes_lock);
	return slot != NULL || limit < 0;
}

/* A transaction that changes limits has committed, and is going to set them here */
void
limits_changed(void)
{
	pg_atomic_fetch_add_u32(&shared->limit_changes, 1);
}

/*
 * All limits are about to be read from the tables.  Those that no limit_set()
 * names from here, before there is a snapshot, to limits_load_end() are gone.
 * Returns what that is to be told.
 */
uint32
limits_load_begin(Oid database)
{
	const uint32 changes = pg_atomic_read_u32(&shared->limit_changes);
	HASH_SEQ_STATUS scan;
	LimitSlot  *slot;

	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, limit_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database == database)
			slot->stale = true;
	}
	LWLockRelease(shared->lanes_lock);
	return changes;
}

/*
 * False: somebody has changed limits meanwhile.  What was read may be older, and
 * have been set after it: do all that again.
 */
bool
limits_load_end(Oid database, uint32 begun)
{
	HASH_SEQ_STATUS scan;
	LimitSlot  *slot;

	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, limit_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database != database || !slot->stale)
			continue;
		slot->limit = -1;
		limit_drop_if_unused(slot);
	}
	LWLockRelease(shared->lanes_lock);
	return pg_atomic_read_u32(&shared->limit_changes) == begun;
}

/* Whether jobs of that function that find no room are cancelled */
void
limit_set_cancel(Oid database, int32 function_id, bool cancel)
{
	LimitSlot  *slot;

	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = limit_slot(database, 'f', function_id, false);
	if (slot != NULL)
		slot->cancel = cancel;
	LWLockRelease(shared->lanes_lock);
}

static bool
lane_cancels(Oid database, int64 lane, bool only_at_limit)
{
	LimitSlot  *slot;
	bool		cancels = false;

	if (LANE_FUNCTION(lane) == 0)
		return false;
	LWLockAcquire(shared->lanes_lock, LW_SHARED);
	slot = limit_slot(database, 'f', LANE_FUNCTION(lane), false);
	if (slot != NULL)
		cancels = slot->cancel && slot->limit > 0 &&
			(!only_at_limit || slot->running - slot->choosing >= slot->limit);
	LWLockRelease(shared->lanes_lock);
	return cancels;
}

/* Are jobs of that lane's function cancelled where they find no room? */
bool
lane_may_cancel(Oid database, int64 lane)
{
	return lane_cancels(database, lane, false);
}

/*
 * Is the function of that lane at its limit, not paused, and are such jobs
 * cancelled?  Room that is only reserved does not count: the job that whoever
 * has reserved it is about to take would be cancelled, too.
 */
bool
lane_cancels_at_limit(Oid database, int64 lane)
{
	return lane_cancels(database, lane, true);
}

/*
 * A limit that is not known here does not hold (any more): the settings were
 * loaded when the scheduler began and every change comes by.  Unless there were
 * more than slots: then it may be one of those, and there is no room.
 */
static bool
limit_has_room_locked(Oid database, char kind, int32 id)
{
	LimitSlot  *slot;

	if (id == 0)
		return true;
	slot = limit_slot(database, kind, id, false);
	if (slot == NULL)
		return my_database == NULL || !my_database->limits_overflow;
	return slot->limit < 0 || slot->running < slot->limit;
}

/* Is there room under both limits of a lane? */
static bool
limits_have_room_locked(Oid database, int64 lane)
{
	return limit_has_room_locked(database, 'f', LANE_FUNCTION(lane)) &&
		limit_has_room_locked(database, 'q', LANE_QUEUE(lane));
}

static void
limit_add_locked(Oid database, char kind, int32 id, int running, int choosing)
{
	LimitSlot  *slot;

	if (id == 0 || (slot = limit_slot(database, kind, id, true)) == NULL)
		return;
	slot->running = Max(slot->running + running, 0);
	slot->choosing = Max(slot->choosing + choosing, 0);
	limit_drop_if_unused(slot);
}

static void
limits_add_locked(Oid database, int64 lane, int running, int choosing)
{
	limit_add_locked(database, 'f', LANE_FUNCTION(lane), running, choosing);
	limit_add_locked(database, 'q', LANE_QUEUE(lane), running, choosing);
}

bool
limits_have_room(Oid database, int64 lane)
{
	bool		room;

	LWLockAcquire(shared->lanes_lock, LW_SHARED);
	room = limits_have_room_locked(database, lane);
	LWLockRelease(shared->lanes_lock);
	return room;
}

bool
limits_reserve(Oid database, int64 lane)
{
	bool		room;

	if (!LANE_HAS_LIMITS(lane))
		return true;
	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	room = limits_have_room_locked(database, lane);
	if (room)
		limits_add_locked(database, lane, 1, 0);
	LWLockRelease(shared->lanes_lock);
	return room;
}

void
limits_release(Oid database, int64 lane)
{
	if (!LANE_HAS_LIMITS(lane))
		return;
	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	limits_add_locked(database, lane, -1, 0);
	LWLockRelease(shared->lanes_lock);
}

/* ------------------------------------------------------------------------
 * Lanes
 * ------------------------------------------------------------------------ */

static void
lane_tag(LaneTag *tag, Oid database, Oid owner, int64 lane, int32 priority)
{
	memset(tag, 0, sizeof(LaneTag));
	tag->database = database;
	tag->owner = owner;
	tag->lane = lane;
	tag->priority = priority;
}

/* A lane with nothing in it and nobody at it needs no slot */
static void
lane_drop_if_empty(LaneSlot *slot)
{
	if (slot->scanners == 0 && slot->low.run_at == DT_NOEND)
		hash_search(lane_table, &slot->tag, HASH_REMOVE, NULL);
}

/*
 * There are "count" more jobs in a lane, the first of them at "key".  If there
 * is no slot left, the database is marked: its scheduler looks in the table.
 */
void
lane_lower(Oid database, Oid owner, int64 lane, int32 priority, LaneKey key, int64 count)
{
	LaneTag		tag;
	LaneSlot   *slot;
	bool		found = true;
	bool		overflow = false;

	if (key.run_at == DT_NOEND)
		return;					/* held: there for whoever sets it free */

	lane_tag(&tag, database, owner, lane, priority);
	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = hash_search(lane_table, &tag, HASH_FIND, NULL);
	if (slot == NULL)
	{
		if (hash_get_num_entries(lane_table) < defer_shared_slots)
			slot = hash_search(lane_table, &tag, HASH_ENTER_NULL, &found);
		if (slot == NULL)
			overflow = true;
		else if (!found)
		{
			slot->low = LANE_KEY_NONE;
			slot->scan_low = LANE_KEY_NONE;
			slot->scanners = 0;
			slot->ready = 0;
			slot->retry_at = 0;
		}
	}
	if (slot != NULL)
	{
		if (lane_key_before(key, slot->low))
			slot->low = key;
		slot->retry_at = 0;
		if (slot->scanners > 0 && lane_key_before(key, slot->scan_low))
			slot->scan_low = key;
		slot->ready += count;
	}
	LWLockRelease(shared->lanes_lock);

	if (overflow)
	{
		DatabaseSlot *db;

		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		db = database_slot(database, false);
		if (db != NULL)
			db->overflow = true;
		LWLockRelease(shared->workers_lock);
	}
}

/* All rows that a scan met were locked: leave the lane alone for so long (microseconds) */
#define LANE_RETRY	(50 * 1000)

/* The lane that this process has chosen and is not done with */
static LaneChoice chosen;
static bool has_chosen = false;
static Gate *my_gate = NULL;

static void
gate_enter(const LaneTag *tag)
{
	Gate	   *gate = &shared->gates[tag_hash(tag, sizeof(LaneTag)) % GATES];
	uint32		nobody = 0;

	Assert(my_gate == NULL);
	if (!pg_atomic_compare_exchange_u32(&gate->holder, &nobody, MyProcPid))
	{
		ConditionVariablePrepareToSleep(&gate->open);
		for (;;)
		{
			nobody = 0;
			if (pg_atomic_compare_exchange_u32(&gate->holder, &nobody, MyProcPid))
				break;
			ConditionVariableSleep(&gate->open, PG_WAIT_EXTENSION);
		}
		ConditionVariableCancelSleep();
	}
	my_gate = gate;
}

static void
gate_leave(void)
{
	Gate	   *gate = my_gate;

	if (gate == NULL)
		return;
	my_gate = NULL;
	pg_atomic_write_u32(&gate->holder, 0);
	pg_memory_barrier();
	ConditionVariableSignal(&gate->open);
}

static bool
is_one_of(Oid role, const Oid *roles, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (roles[i] == role)
			return true;
	}
	return false;
}

/* The lanes of one role, or (InvalidOid) of all but some */
static bool
choose_lane(Oid database, Oid owner, bool deliveries, bool mails, const Oid *excluded,
			int nexcluded, TimestampTz now, LaneChoice *choice, TimestampTz *look_again)
{
	HASH_SEQ_STATUS scan;
	LaneSlot   *slot;
	LaneSlot   *best = NULL;

	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, lane_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database != database || slot->low.run_at > now ||
			LANE_IS_DELIVERY(slot->tag.lane) != deliveries ||
			(LANE_IS_MAIL(slot->tag.lane) && !mails) ||
			(OidIsValid(owner) && slot->tag.owner != owner) ||
			is_one_of(slot->tag.owner, excluded, nexcluded))
			continue;
		if (best != NULL &&
			(slot->tag.priority > best->tag.priority ||
			 (slot->tag.priority == best->tag.priority &&
			  !lane_key_before(slot->low, best->low))))
			continue;
		if (!limits_have_room_locked(database, slot->tag.lane))
			continue;
		if (slot->retry_at > now && slot->retry_at <= now + LANE_RETRY)
			*look_again = Min(*look_again, slot->retry_at);
		else
			best = slot;
	}
	if (best != NULL)
	{
		choice->owner = best->tag.owner;
		choice->lane = best->tag.lane;
		choice->priority = best->tag.priority;
		choice->low = best->low;
		choice->ready = best->ready;
		limits_add_locked(database, best->tag.lane, 1, 1);
		best->scanners++;
		if (best->retry_at != 0)
			best->retry_at = now + LANE_RETRY;	/* one is enough to try */
		chosen = *choice;
		has_chosen = true;
	}
	LWLockRelease(shared->lanes_lock);
	return best != NULL;
}

/*
 * Choose the lane that a worker of that role takes jobs from: the smallest
 * priority, then the oldest, of those that are due and have room.  Its limits
 * are reserved for one job, and a scan of it has begun: lane_scan_end() or
 * lane_scan_abort() must follow.  *look_again is lowered to when a lane whose
 * rows were locked is to be tried again.
 */
bool
lane_choose(Oid database, Oid owner, TimestampTz now, LaneChoice *choice,
			TimestampTz *look_again)
{
	Assert(OidIsValid(owner));
	return choose_lane(database, owner, false, false, NULL, 0, now, choice, look_again);
}

/* The same for the courier: deliveries of any role but these, with e-mails or without */
bool
lane_choose_delivery(Oid database, bool mails, const Oid *excluded, int nexcluded, TimestampTz now,
					 LaneChoice *choice, TimestampTz *look_again)
{
	return choose_lane(database, InvalidOid, true, mails, excluded, nexcluded, now, choice, look_again);
}

/* Is there a lane that a worker of that role could take jobs from? */
bool
lane_is_due(Oid database, Oid owner, TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	LaneSlot   *slot;
	bool		due = false;

	LWLockAcquire(shared->lanes_lock, LW_SHARED);
	hash_seq_init(&scan, lane_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database != database || slot->tag.owner != owner ||
			slot->low.run_at > now || LANE_IS_DELIVERY(slot->tag.lane) ||
			!limits_have_room_locked(database, slot->tag.lane))
			continue;
		due = true;
		hash_seq_term(&scan);
		break;
	}
	LWLockRelease(shared->lanes_lock);
	return due;
}

/*
 * The scan begins, from the lane's lowest key as it is now, when nobody else
 * takes jobs of the lane: lane_scan_advance() must follow.
 */
void
lane_scan_begin(LaneChoice *choice, Oid database)
{
	LaneTag		tag;
	LaneSlot   *slot;

	lane_tag(&tag, database, choice->owner, choice->lane, choice->priority);
	gate_enter(&tag);
	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = hash_search(lane_table, &tag, HASH_FIND, NULL);
	if (slot != NULL)
	{
		choice->low = slot->low;
		slot->scan_low = LANE_KEY_NONE;
	}
	chosen = *choice;
	LWLockRelease(shared->lanes_lock);
}

/* NULL: there is nothing in that lane any more.  Under lanes_lock */
static LaneSlot *
slot_of_choice(const LaneChoice *choice, Oid database)
{
	LaneTag		tag;

	lane_tag(&tag, database, choice->owner, choice->lane, choice->priority);
	return hash_search(lane_table, &tag, HASH_FIND, NULL);
}

/*
 * All rows before "next" are dealt with, once we commit: let the next one in.
 */
void
lane_scan_advance(const LaneChoice *choice, Oid database, LaneKey next)
{
	LaneSlot   *slot;

	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = slot_of_choice(choice, database);
	if (slot != NULL)
		slot->low = lane_key_before(slot->scan_low, next) ? slot->scan_low : next;
	LWLockRelease(shared->lanes_lock);
	gate_leave();
}

/*
 * A scan has ended; "next" is the first key that it did not deal with.  The
 * limits stay reserved if something was taken, and count as taken from now on.
 * If nothing was though jobs are due, others hold them locked: leave the lane
 * alone for a moment.
 */
void
lane_scan_end(const LaneChoice *choice, Oid database, LaneKey next, int64 taken,
			  TimestampTz now)
{
	LaneSlot   *slot;

	has_chosen = false;
	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = slot_of_choice(choice, database);
	if (slot != NULL)
	{
		Assert(slot->scanners > 0);
		slot->ready = Max(slot->ready - taken, 0);
		slot->retry_at = taken == 0 && next.run_at <= now ? now + LANE_RETRY : 0;
		slot->scanners--;
		lane_drop_if_empty(slot);
	}
	limits_add_locked(database, choice->lane, taken == 0 ? -1 : 0, -1);
	LWLockRelease(shared->lanes_lock);
}

/* A scan has failed: everything is as before */
void
lane_scan_abort(const LaneChoice *choice, Oid database)
{
	LaneSlot   *slot;

	has_chosen = false;
	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = slot_of_choice(choice, database);
	if (slot != NULL)
	{
		Assert(slot->scanners > 0);
		if (lane_key_before(choice->low, slot->low))
			slot->low = choice->low;
		if (lane_key_before(choice->low, slot->scan_low))
			slot->scan_low = choice->low;
		slot->scanners--;
		lane_drop_if_empty(slot);
	}
	limits_add_locked(database, choice->lane, -1, -1);
	LWLockRelease(shared->lanes_lock);
	gate_leave();
}

/* The process ends in the middle of whatever it was doing */
void
lane_scan_abandon(Oid database)
{
	ConditionVariableCancelSleep();
	if (has_chosen)
		lane_scan_abort(&chosen, database);
}

/* The database has no jobs for us any more */
void
lanes_forget(Oid database)
{
	HASH_SEQ_STATUS scan;
	LaneSlot   *lane;
	LimitSlot  *limit;

	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, lane_table);
	while ((lane = hash_seq_search(&scan)) != NULL)
	{
		if (lane->tag.database == database && lane->scanners == 0)
			hash_search(lane_table, &lane->tag, HASH_REMOVE, NULL);
	}
	hash_seq_init(&scan, limit_table);
	while ((limit = hash_seq_search(&scan)) != NULL)
	{
		if (limit->tag.database == database && limit->running == 0)
			hash_search(limit_table, &limit->tag, HASH_REMOVE, NULL);
	}
	LWLockRelease(shared->lanes_lock);
}

/* A copy of the lanes of a database that have jobs */
int
lanes_of_database(Oid database, LaneChoice **lanes)
{
	HASH_SEQ_STATUS scan;
	LaneSlot   *slot;
	int			n = 0;

	/* not under the lock: palloc may fail */
	*lanes = palloc_extended(sizeof(LaneChoice) * defer_shared_slots, MCXT_ALLOC_HUGE);
	LWLockAcquire(shared->lanes_lock, LW_SHARED);
	hash_seq_init(&scan, lane_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		LaneChoice *lane;

		if (slot->tag.database != database || slot->low.run_at == DT_NOEND)
			continue;
		lane = &(*lanes)[n++];
		lane->owner = slot->tag.owner;
		lane->lane = slot->tag.lane;
		lane->priority = slot->tag.priority;
		lane->low = slot->low;
		lane->ready = slot->ready;
		Assert(n <= defer_shared_slots);
	}
	LWLockRelease(shared->lanes_lock);
	return n;
}
