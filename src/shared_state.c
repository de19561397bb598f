/*
 * shared_state.c
 *		Shared memory: its making, and all that is done to lanes, limits, latches
 *		and waiting sessions.  See shared_state.h for what is what and for the
 *		order of locks.
 */
#include "defer.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "shared_state.h"

SharedState *shared = NULL;
WorkerSlot *worker_slots = NULL;
DatabaseSlot *database_slots = NULL;
CourierSlot *courier_slots = NULL;
AwaiterSlot *awaiter_slots = NULL;

WorkerSlot *my_worker = NULL;
DatabaseSlot *my_database = NULL;

/* Both under lanes_lock */
static HTAB *lane_table = NULL;
static HTAB *limit_table = NULL;

/*
 * A worker that waits in defer.await() does not count as one of
 * defer.max_workers, so there may be more.
 */
static int
worker_slot_count(void)
{
	return Max(defer_max_workers, max_worker_processes);
}

static Size
shared_arrays_size(void)
{
	Size		size = MAXALIGN(sizeof(SharedState));

	size = add_size(size, MAXALIGN(mul_size(worker_slot_count(), sizeof(WorkerSlot))));
	size = add_size(size, MAXALIGN(mul_size(max_worker_processes, sizeof(DatabaseSlot))));
	size = add_size(size, MAXALIGN(mul_size(max_worker_processes, sizeof(CourierSlot))));
	size = add_size(size, MAXALIGN(mul_size(defer_shared_slots, sizeof(AwaiterSlot))));
	return size;
}

/* Ask for what shared_state_startup() will use */
void
shared_state_request(void)
{
	Size		size = shared_arrays_size();

	size = add_size(size, hash_estimate_size(defer_shared_slots, sizeof(LaneSlot)));
	size = add_size(size, hash_estimate_size(defer_shared_slots, sizeof(LimitSlot)));
	size = add_size(size, statistics_shared_size());
	RequestAddinShmemSpace(size);
	RequestNamedLWLockTranche("defer", 3);
}

/* Runs in the postmaster; with EXEC_BACKEND in each process */
void
shared_state_startup(void)
{
	bool		found;
	char	   *memory;
	HASHCTL		control = {0};
	LWLockPadded *locks;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	memory = ShmemInitStruct("defer", shared_arrays_size(), &found);
	shared = (SharedState *) memory;
	memory += MAXALIGN(sizeof(SharedState));
	worker_slots = (WorkerSlot *) memory;
	memory += MAXALIGN(mul_size(worker_slot_count(), sizeof(WorkerSlot)));
	database_slots = (DatabaseSlot *) memory;
	memory += MAXALIGN(mul_size(max_worker_processes, sizeof(DatabaseSlot)));
	courier_slots = (CourierSlot *) memory;
	memory += MAXALIGN(mul_size(max_worker_processes, sizeof(CourierSlot)));
	awaiter_slots = (AwaiterSlot *) memory;

	if (!found)
	{
		memset(shared, 0, shared_arrays_size());
		locks = GetNamedLWLockTranche("defer");
		shared->workers_lock = &locks[0].lock;
		shared->lanes_lock = &locks[1].lock;
		shared->counters_lock = &locks[2].lock;
		shared->nworker_slots = worker_slot_count();
		shared->ndatabase_slots = max_worker_processes;
		shared->nawaiter_slots = defer_shared_slots;
		pg_atomic_init_u64(&shared->flush_point, 0);
		pg_atomic_init_u32(&shared->nawaiters, 0);
		pg_atomic_init_u32(&shared->nguarded, 0);
		for (int i = 0; i < GATES; i++)
		{
			pg_atomic_init_u32(&shared->gates[i].holder, 0);
			ConditionVariableInit(&shared->gates[i].open);
		}
		for (int i = 0; i < shared->nworker_slots; i++)
			SpinLockInit(&worker_slots[i].mutex);
		for (int i = 0; i < shared->ndatabase_slots; i++)
		{
			SpinLockInit(&courier_slots[i].mutex);
			pg_atomic_init_u32(&database_slots[i].rollup, 0);
		}
	}

	control.keysize = sizeof(LaneTag);
	control.entrysize = sizeof(LaneSlot);
	lane_table = ShmemInitHash("defer lanes", defer_shared_slots, defer_shared_slots,
							   &control, HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	control.keysize = sizeof(LimitTag);
	control.entrysize = sizeof(LimitSlot);
	limit_table = ShmemInitHash("defer limits", defer_shared_slots, defer_shared_slots,
								&control, HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	statistics_startup();
	LWLockRelease(AddinShmemInitLock);
}

bool
shared_state_present(void)
{
	return shared != NULL;
}

void
warn_if_not_preloaded(void)
{
	static bool warned = false;

	if (shared != NULL || warned)
		return;
	warned = true;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("defer is not loaded by the server: no job runs and no schedule fires"),
			 errhint("Add defer to shared_preload_libraries in postgresql.conf and restart the server.")));
}

/* ------------------------------------------------------------------------
 * Databases
 * ------------------------------------------------------------------------ */

/* The slot of a database; the caller holds workers_lock, exclusively to create */
DatabaseSlot *
database_slot(Oid database, bool create)
{
	DatabaseSlot *unused = NULL;

	Assert(OidIsValid(database));
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		DatabaseSlot *slot = &database_slots[i];

		if (slot->database == database)
			return slot;
		if (!OidIsValid(slot->database) && unused == NULL)
			unused = slot;
	}
	if (!create || unused == NULL)
		return NULL;
	memset(unused, 0, sizeof(DatabaseSlot));
	unused->database = database;
	unused->next_schedule = DT_NOEND;
	unused->next_wake = DT_NOEND;
	unused->rollup_many = PG_UINT32_MAX;	/* until the scheduler knows */
	pg_atomic_init_u32(&unused->rollup, 0);
	return unused;
}

void
wake_scheduler_locked(DatabaseSlot *slot)
{
	if (slot->scheduler_latch != NULL)
		SetLatch(slot->scheduler_latch);
}

void
wake_scheduler(Oid database)
{
	DatabaseSlot *slot;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = database_slot(database, false);
	if (slot != NULL)
		wake_scheduler_locked(slot);
	LWLockRelease(shared->workers_lock);
}

/* ------------------------------------------------------------------------
 * Workers
 * ------------------------------------------------------------------------ */

/* Wake up to n idle workers of that role; returns how many were woken */
int
wake_idle_workers(Oid database, Oid owner, int64 n)
{
	int			woken = 0;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots && woken < n; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_IDLE && !slot->woken &&
			slot->database == database && slot->owner == owner)
		{
			slot->woken = true;
			SetLatch(slot->latch);
			woken++;
		}
	}
	LWLockRelease(shared->workers_lock);
	return woken;
}

/*
 * Workers of that role, those not counted that wait for a job of their own in
 * defer.await(): they hold a process but do no work.  The caller holds
 * workers_lock.
 */
int
count_workers(Oid database, Oid owner, bool *idle)
{
	int			n = 0;

	*idle = false;
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot->state == WORKER_FREE || slot->state == WORKER_LEAVING || slot->awaiting ||
			slot->database != database || slot->owner != owner)
			continue;
		n++;
		if (slot->state == WORKER_STARTING || slot->state == WORKER_IDLE)
			*idle = true;
	}
	return n;
}

void
worker_set_state(WorkerState state)
{
	Assert(my_worker != NULL);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (my_worker->state != state)
	{
		my_worker->state = state;
		my_worker->since = GetCurrentTimestamp();
	}
	my_worker->woken = false;
	LWLockRelease(shared->workers_lock);
}

/*
 * What this worker wants to write fails, or somebody has locked it: until that
 * is over it is of no use to anybody, and there is no sense in more like it.
 */
void
worker_set_stuck(bool stuck)
{
	if (my_worker->stuck == stuck)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->stuck = stuck;
	LWLockRelease(shared->workers_lock);
}

void
worker_set_progress(float4 progress)
{
	if (my_worker == NULL)
		return;
	SpinLockAcquire(&my_worker->mutex);
	my_worker->progress = progress;
	SpinLockRelease(&my_worker->mutex);
}

/*
 * May this worker run a job that may have crashed the server?  Those that did
 * so once in company ("1") run beside others; those that did twice ("2") only
 * while no other such job runs anywhere, so that the next crash names one.
 */
bool
worker_reserve_suspect(int16 suspect)
{
	bool		may = true;

	Assert(suspect > 0);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nworker_slots && may; i++)
	{
		WorkerSlot *slot = &worker_slots[i];

		if (slot != my_worker && slot->state != WORKER_FREE && slot->suspect > 0)
			may = suspect == 1 && slot->suspect == 1;
	}
	if (may)
		my_worker->suspect = suspect;
	LWLockRelease(shared->workers_lock);
	return may;
}

void
worker_release_suspect(void)
{
	if (my_worker->suspect == 0)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->suspect = 0;
	LWLockRelease(shared->workers_lock);
}

/* This worker's job waits for another one: the pool may have one more instead */
void
worker_begin_await(void)
{
	if (my_worker == NULL)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->awaiting = true;
	if (my_database != NULL)
		wake_scheduler_locked(my_database);
	LWLockRelease(shared->workers_lock);
}

void
worker_end_await(void)
{
	if (my_worker == NULL || !my_worker->awaiting)
		return;
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_worker->awaiting = false;
	LWLockRelease(shared->workers_lock);
}

/* ------------------------------------------------------------------------
 * Couriers
 * ------------------------------------------------------------------------ */

CourierSlot *
courier_slot(Oid database)
{
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		if (courier_slots[i].database == database)
			return &courier_slots[i];
	}
	return NULL;
}

bool
wake_courier(Oid database)
{
	CourierSlot *slot;
	bool		there;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = courier_slot(database);
	there = slot != NULL && slot->pid != 0;
	if (there)
		SetLatch(slot->latch);
	LWLockRelease(shared->workers_lock);
	return there;
}

/* Does the courier have that job under way?  If so, and "cancel", it is told to stop it */
bool
courier_has(Oid database, int64 job_id, bool cancel)
{
	CourierSlot *slot;
	bool		found = false;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = courier_slot(database);
	if (slot != NULL && slot->pid != 0)
	{
		SpinLockAcquire(&slot->mutex);
		for (int i = 0; i < slot->nentries && !found; i++)
		{
			if (slot->entries[i].job_id == job_id)
			{
				found = true;
				if (cancel)
					slot->entries[i].cancel = true;
			}
		}
		SpinLockRelease(&slot->mutex);
		if (found && cancel)
			SetLatch(slot->latch);
	}
	LWLockRelease(shared->workers_lock);
	return found;
}

bool
courier_has_claim(Oid database, int64 claim_id)
{
	CourierSlot *slot;
	bool		found = false;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = courier_slot(database);
	if (slot != NULL && slot->pid != 0)
	{
		SpinLockAcquire(&slot->mutex);
		for (int i = 0; i < slot->nentries && !found; i++)
			found = slot->entries[i].job_id != 0 && slot->entries[i].claim_id == claim_id;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(shared->workers_lock);
	return found;
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
		slot->running = 0;
		slot->limit = -1;
		slot->cancel = false;
	}
	return slot;
}

/* A limit is new or has changed */
void
limit_set(Oid database, char kind, int32 id, int32 limit)
{
	LimitSlot  *slot;

	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = limit_slot(database, kind, id, limit >= 0);
	if (slot != NULL)
		slot->limit = limit;
	LWLockRelease(shared->lanes_lock);
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
			(!only_at_limit || slot->running >= slot->limit);
	LWLockRelease(shared->lanes_lock);
	return cancels;
}

/* Are jobs of that lane's function cancelled where they find no room? */
bool
lane_may_cancel(Oid database, int64 lane)
{
	return lane_cancels(database, lane, false);
}

/* Is the function of that lane at its limit, not paused, and are such jobs cancelled? */
bool
lane_cancels_at_limit(Oid database, int64 lane)
{
	return lane_cancels(database, lane, true);
}

/*
 * Is there room under both limits of a lane?  A limit that is not known here
 * does not hold (any more): the settings were loaded when the scheduler began
 * and every change comes by.
 */
static bool
limits_have_room_locked(Oid database, int64 lane)
{
	LimitSlot  *slot;

	if (!LANE_HAS_LIMITS(lane))
		return true;
	if (LANE_FUNCTION(lane) != 0 &&
		(slot = limit_slot(database, 'f', LANE_FUNCTION(lane), false)) != NULL &&
		slot->limit >= 0 && slot->running >= slot->limit)
		return false;
	if (LANE_QUEUE(lane) != 0 &&
		(slot = limit_slot(database, 'q', LANE_QUEUE(lane), false)) != NULL &&
		slot->limit >= 0 && slot->running >= slot->limit)
		return false;
	return true;
}

static void
limits_add_locked(Oid database, int64 lane, int delta)
{
	LimitSlot  *slot;

	if (LANE_FUNCTION(lane) != 0 &&
		(slot = limit_slot(database, 'f', LANE_FUNCTION(lane), true)) != NULL)
		slot->running = Max(slot->running + delta, 0);
	if (LANE_QUEUE(lane) != 0 &&
		(slot = limit_slot(database, 'q', LANE_QUEUE(lane), true)) != NULL)
		slot->running = Max(slot->running + delta, 0);
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
		limits_add_locked(database, lane, 1);
	LWLockRelease(shared->lanes_lock);
	return room;
}

void
limits_release(Oid database, int64 lane)
{
	if (!LANE_HAS_LIMITS(lane))
		return;
	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	limits_add_locked(database, lane, -1);
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
		limits_add_locked(database, best->tag.lane, 1);
		best->scanners++;
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

/*
 * All rows before "next" are dealt with, once we commit: let the next one in.
 */
void
lane_scan_advance(const LaneChoice *choice, Oid database, LaneKey next)
{
	LaneTag		tag;
	LaneSlot   *slot;

	lane_tag(&tag, database, choice->owner, choice->lane, choice->priority);
	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = hash_search(lane_table, &tag, HASH_FIND, NULL);
	if (slot != NULL)
		slot->low = lane_key_before(slot->scan_low, next) ? slot->scan_low : next;
	LWLockRelease(shared->lanes_lock);
	gate_leave();
}

/*
 * A scan has ended; "next" is the first key that it did not deal with.  The
 * limits stay reserved if something was taken.  If nothing was though jobs are
 * due, others hold them locked: leave the lane alone for a moment.
 */
void
lane_scan_end(const LaneChoice *choice, Oid database, LaneKey next, int64 taken,
			  TimestampTz now)
{
	LaneTag		tag;
	LaneSlot   *slot;

	has_chosen = false;
	lane_tag(&tag, database, choice->owner, choice->lane, choice->priority);
	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = hash_search(lane_table, &tag, HASH_FIND, NULL);
	if (slot != NULL)
	{
		Assert(slot->scanners > 0);
		slot->ready = Max(slot->ready - taken, 0);
		if (taken == 0 && next.run_at <= now)
			slot->retry_at = now + LANE_RETRY;
		slot->scanners--;
		lane_drop_if_empty(slot);
	}
	if (taken == 0)
		limits_add_locked(database, choice->lane, -1);
	LWLockRelease(shared->lanes_lock);
}

/* A scan has failed: everything is as before */
void
lane_scan_abort(const LaneChoice *choice, Oid database)
{
	LaneTag		tag;
	LaneSlot   *slot;

	has_chosen = false;
	lane_tag(&tag, database, choice->owner, choice->lane, choice->priority);
	LWLockAcquire(shared->lanes_lock, LW_EXCLUSIVE);
	slot = hash_search(lane_table, &tag, HASH_FIND, NULL);
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
	limits_add_locked(database, choice->lane, -1);
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

/* ------------------------------------------------------------------------
 * Who waits for jobs
 * ------------------------------------------------------------------------ */

int
await_register(int64 job_id)
{
	int			found = -1;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nawaiter_slots; i++)
	{
		AwaiterSlot *slot = &awaiter_slots[i];

		if (OidIsValid(slot->database))
			continue;
		slot->database = MyDatabaseId;
		slot->job_id = job_id;
		slot->latch = MyLatch;
		slot->done = false;
		pg_atomic_fetch_add_u32(&shared->nawaiters, 1);
		found = i;
		break;
	}
	LWLockRelease(shared->workers_lock);
	return found;
}

bool
await_done(int slot)
{
	bool		done;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	done = awaiter_slots[slot].done;
	LWLockRelease(shared->workers_lock);
	return done;
}

void
await_unregister(int slot)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	Assert(awaiter_slots[slot].latch == MyLatch);
	awaiter_slots[slot].database = InvalidOid;
	awaiter_slots[slot].latch = NULL;
	pg_atomic_fetch_sub_u32(&shared->nawaiters, 1);
	LWLockRelease(shared->workers_lock);
}

/* A job has ended (0: some job, everybody look) */
void
await_wake(Oid database, int64 job_id)
{
	uint32		left;

	if (pg_atomic_read_u32(&shared->nawaiters) == 0)
		return;

	/* the first free slot is taken: those in use are at the front */
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	left = pg_atomic_read_u32(&shared->nawaiters);
	for (int i = 0; i < shared->nawaiter_slots && left > 0; i++)
	{
		AwaiterSlot *slot = &awaiter_slots[i];

		if (!OidIsValid(slot->database))
			continue;
		left--;
		if (slot->database == database && (slot->job_id == job_id || job_id == 0))
		{
			slot->done = true;
			SetLatch(slot->latch);
		}
	}
	LWLockRelease(shared->workers_lock);
}

/* Jobs commit without waiting for the disk: who tells of a result flushes up to here first */
XLogRecPtr
await_flush_point(void)
{
	return pg_atomic_read_u64(&shared->flush_point);
}

void
note_flush_point(XLogRecPtr lsn)
{
	uint64		old = pg_atomic_read_u64(&shared->flush_point);

	while (old < lsn && !pg_atomic_compare_exchange_u64(&shared->flush_point, &old, lsn))
		;
}

/* ------------------------------------------------------------------------
 * The set of scheduled functions: a Bloom filter of two bits a function
 * ------------------------------------------------------------------------ */

static void
guard_bits(Oid function, uint32 *first, uint32 *second)
{
	uint32		hash = murmurhash32(function);

	*first = hash % (GUARD_WORDS * 64);
	*second = (hash >> 16) % (GUARD_WORDS * 64);
}

/*
 * Could the function be scheduled in this database?  Read without a lock: a
 * bit that is being set belongs to a transaction that has not returned yet.
 */
bool
shared_guard_maybe(Oid function)
{
	static int	known = -1;		/* index of this database's slot */
	uint32		first,
				second;

	if (shared == NULL || pg_atomic_read_u32(&shared->nguarded) == 0)
		return false;
	if (known < 0 || database_slots[known].database != MyDatabaseId)
	{
		known = -1;
		for (int i = 0; i < shared->ndatabase_slots; i++)
		{
			if (database_slots[i].database == MyDatabaseId)
				known = i;
		}
		if (known < 0)
			return false;
	}
	guard_bits(function, &first, &second);
	return (database_slots[known].guard[first / 64] >> (first % 64) & 1) != 0 &&
		(database_slots[known].guard[second / 64] >> (second % 64) & 1) != 0;
}

void
shared_guard_set(Oid database, Oid function)
{
	DatabaseSlot *slot;
	uint32		first,
				second;

	if (shared == NULL)
		return;
	guard_bits(function, &first, &second);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = database_slot(database, false);
	if (slot != NULL)
	{
		slot->guard[first / 64] |= UINT64CONST(1) << (first % 64);
		slot->guard[second / 64] |= UINT64CONST(1) << (second % 64);
		pg_atomic_write_u32(&shared->nguarded, 1);
	}
	LWLockRelease(shared->workers_lock);
}
