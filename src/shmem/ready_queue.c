/*
 * ready_queue.c
 *		What there is to do, in shared memory: ready queues of jobs and concurrency
 *		limits.
 *
 * A ready queue is the jobs of one role and priority that are under the same limits:
 * its slot knows the lowest key (run_at, id) at which a job may be found.
 * Whoever commits jobs lowers it, whoever takes jobs raises it.  A claim
 * chooses a ready queue, reserves room in its limits and reads the index from that key
 * on (table/ready_scan.c), one process at a time: see the claim_locks.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/job.h"
#include "shmem/shmem.h"

/* Both under ready_queue_lock */
static HTAB *ready_queue_table = NULL;
static HTAB *limit_table = NULL;

Size
ready_queue_shared_size(void)
{
	return add_size(hash_estimate_size(defer_shared_slots, sizeof(ReadyQueue)),
					hash_estimate_size(defer_shared_slots, sizeof(LimitSlot)));
}

/* Part of shared_state_startup() */
void
ready_queue_startup(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(ReadyQueueTag);
	control.entrysize = sizeof(ReadyQueue);
	ready_queue_table = compat_shmem_hash("defer ready queues", defer_shared_slots, &control);
	control.keysize = sizeof(LimitTag);
	control.entrysize = sizeof(LimitSlot);
	limit_table = compat_shmem_hash("defer limits", defer_shared_slots, &control);
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
	if (hash_get_num_entries(limit_table) >= shared->nwaiter_slots)
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

	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	slot = limit_slot(database, kind, id, limit >= 0);
	if (slot != NULL)
	{
		slot->limit = limit;
		slot->stale = false;
		limit_drop_if_unused(slot);
	}
	LWLockRelease(shared->ready_queue_lock);
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

	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, limit_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database == database)
			slot->stale = true;
	}
	LWLockRelease(shared->ready_queue_lock);
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

	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, limit_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database != database || !slot->stale)
			continue;
		slot->limit = -1;
		limit_drop_if_unused(slot);
	}
	LWLockRelease(shared->ready_queue_lock);
	return pg_atomic_read_u32(&shared->limit_changes) == begun;
}

/* Whether jobs of that function that find no room are cancelled */
void
limit_set_cancel(Oid database, int32 function_id, bool cancel)
{
	LimitSlot  *slot;

	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	slot = limit_slot(database, 'f', function_id, false);
	if (slot != NULL)
		slot->cancel = cancel;
	LWLockRelease(shared->ready_queue_lock);
}

static bool
limits_cancel(Oid database, int64 limits_key, bool only_at_limit)
{
	LimitSlot  *slot;
	bool		cancels = false;

	if (LIMITS_KEY_FUNCTION(limits_key) == 0)
		return false;
	LWLockAcquire(shared->ready_queue_lock, LW_SHARED);
	slot = limit_slot(database, 'f', LIMITS_KEY_FUNCTION(limits_key), false);
	if (slot != NULL)
		cancels = slot->cancel && slot->limit > 0 &&
			(!only_at_limit || slot->running - slot->choosing >= slot->limit);
	LWLockRelease(shared->ready_queue_lock);
	return cancels;
}

/* Are jobs of that ready queue's function cancelled where they find no room? */
bool
limits_may_cancel(Oid database, int64 limits_key)
{
	return limits_cancel(database, limits_key, false);
}

/*
 * Is the function of that ready queue at its limit, not paused, and are such jobs
 * cancelled?  Room that is only reserved does not count: the job that whoever
 * has reserved it is about to take would be cancelled, too.
 */
bool
limits_cancel_at_limit(Oid database, int64 limits_key)
{
	return limits_cancel(database, limits_key, true);
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

/* Is there room under both limits of a ready queue? */
static bool
limits_have_room_locked(Oid database, int64 limits_key)
{
	return limit_has_room_locked(database, 'f', LIMITS_KEY_FUNCTION(limits_key)) &&
		limit_has_room_locked(database, 'q', LIMITS_KEY_QUEUE(limits_key));
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
limits_add_locked(Oid database, int64 limits_key, int running, int choosing)
{
	limit_add_locked(database, 'f', LIMITS_KEY_FUNCTION(limits_key), running, choosing);
	limit_add_locked(database, 'q', LIMITS_KEY_QUEUE(limits_key), running, choosing);
}

bool
limits_have_capacity(Oid database, int64 limits_key)
{
	bool		room;

	LWLockAcquire(shared->ready_queue_lock, LW_SHARED);
	room = limits_have_room_locked(database, limits_key);
	LWLockRelease(shared->ready_queue_lock);
	return room;
}

bool
limits_reserve(Oid database, int64 limits_key)
{
	bool		room;

	if (!LIMITS_KEY_HAS_LIMITS(limits_key))
		return true;
	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	room = limits_have_room_locked(database, limits_key);
	if (room)
		limits_add_locked(database, limits_key, 1, 0);
	LWLockRelease(shared->ready_queue_lock);
	return room;
}

void
limits_release(Oid database, int64 limits_key)
{
	if (!LIMITS_KEY_HAS_LIMITS(limits_key))
		return;
	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	limits_add_locked(database, limits_key, -1, 0);
	LWLockRelease(shared->ready_queue_lock);
}

/* ------------------------------------------------------------------------
 * Ready queues
 * ------------------------------------------------------------------------ */

static void
ready_queue_tag(ReadyQueueTag *tag, Oid database, Oid owner, int64 limits_key, int32 priority)
{
	memset(tag, 0, sizeof(ReadyQueueTag));
	tag->database = database;
	tag->owner = owner;
	tag->limits_key = limits_key;
	tag->priority = priority;
}

/* A ready queue with nothing in it and nobody at it needs no slot */
static void
ready_queue_drop_if_empty(ReadyQueue *slot)
{
	if (slot->scanners == 0 && slot->min_key.run_at == DT_NOEND)
		hash_search(ready_queue_table, &slot->tag, HASH_REMOVE, NULL);
}

/*
 * There are "count" more jobs in a ready queue, the first of them at "key".  If there
 * is no slot left, the database is marked: its scheduler looks in the table.
 */
void
ready_queue_add(Oid database, Oid owner, int64 limits_key, int32 priority, ReadyKey key, int64 count)
{
	ReadyQueueTag		tag;
	ReadyQueue   *slot;
	bool		found = true;
	bool		overflow = false;

	if (key.run_at == DT_NOEND)
		return;					/* held: there for whoever sets it free */

	ready_queue_tag(&tag, database, owner, limits_key, priority);
	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	slot = hash_search(ready_queue_table, &tag, HASH_FIND, NULL);
	if (slot == NULL)
	{
		if (hash_get_num_entries(ready_queue_table) < defer_shared_slots)
			slot = hash_search(ready_queue_table, &tag, HASH_ENTER_NULL, &found);
		if (slot == NULL)
			overflow = true;
		else if (!found)
		{
			slot->min_key = READY_KEY_NONE;
			slot->scan_min_key = READY_KEY_NONE;
			slot->scanners = 0;
			slot->ready = 0;
			slot->retry_at = 0;
		}
	}
	if (slot != NULL)
	{
		if (ready_key_before(key, slot->min_key))
			slot->min_key = key;
		slot->retry_at = 0;
		if (slot->scanners > 0 && ready_key_before(key, slot->scan_min_key))
			slot->scan_min_key = key;
		slot->ready += count;
	}
	LWLockRelease(shared->ready_queue_lock);

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

/* All rows that a scan met were locked: leave the ready queue alone for so long (microseconds) */
#define READY_QUEUE_RETRY	(50 * 1000)

/* The ready queue that this process has chosen and is not done with */
static ReadyQueueChoice chosen;
static bool has_chosen = false;
static ClaimLock *my_gate = NULL;

static void
claim_lock_acquire(const ReadyQueueTag *tag)
{
	ClaimLock	   *claim_lock = &shared->claim_locks[tag_hash(tag, sizeof(ReadyQueueTag)) % CLAIM_LOCKS];
	uint32		nobody = 0;

	Assert(my_gate == NULL);
	if (!pg_atomic_compare_exchange_u32(&claim_lock->holder, &nobody, MyProcPid))
	{
		ConditionVariablePrepareToSleep(&claim_lock->open);
		for (;;)
		{
			nobody = 0;
			if (pg_atomic_compare_exchange_u32(&claim_lock->holder, &nobody, MyProcPid))
				break;
			ConditionVariableSleep(&claim_lock->open, PG_WAIT_EXTENSION);
		}
		ConditionVariableCancelSleep();
	}
	my_gate = claim_lock;
}

static void
claim_lock_release(void)
{
	ClaimLock	   *claim_lock = my_gate;

	if (claim_lock == NULL)
		return;
	my_gate = NULL;
	pg_atomic_write_u32(&claim_lock->holder, 0);
	pg_memory_barrier();
	ConditionVariableSignal(&claim_lock->open);
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

/* The ready queues of one role, or (InvalidOid) of all but some */
static bool
choose_ready_queue(Oid database, Oid owner, bool deliveries, bool mails, const Oid *excluded,
			int nexcluded, TimestampTz now, ReadyQueueChoice *choice, TimestampTz *look_again)
{
	HASH_SEQ_STATUS scan;
	ReadyQueue   *slot;
	ReadyQueue   *best = NULL;

	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, ready_queue_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database != database || slot->min_key.run_at > now ||
			LIMITS_KEY_IS_DELIVERY(slot->tag.limits_key) != deliveries ||
			(LIMITS_KEY_IS_MAIL(slot->tag.limits_key) && !mails) ||
			(OidIsValid(owner) && slot->tag.owner != owner) ||
			is_one_of(slot->tag.owner, excluded, nexcluded))
			continue;
		if (best != NULL &&
			(slot->tag.priority > best->tag.priority ||
			 (slot->tag.priority == best->tag.priority &&
			  !ready_key_before(slot->min_key, best->min_key))))
			continue;
		if (!limits_have_room_locked(database, slot->tag.limits_key))
			continue;
		if (slot->retry_at > now && slot->retry_at <= now + READY_QUEUE_RETRY)
			*look_again = Min(*look_again, slot->retry_at);
		else
			best = slot;
	}
	if (best != NULL)
	{
		choice->owner = best->tag.owner;
		choice->limits_key = best->tag.limits_key;
		choice->priority = best->tag.priority;
		choice->min_key = best->min_key;
		choice->ready = best->ready;
		limits_add_locked(database, best->tag.limits_key, 1, 1);
		best->scanners++;
		if (best->retry_at != 0)
			best->retry_at = now + READY_QUEUE_RETRY;	/* one is enough to try */
		chosen = *choice;
		has_chosen = true;
	}
	LWLockRelease(shared->ready_queue_lock);
	return best != NULL;
}

/*
 * Choose the ready queue that a worker of that role takes jobs from: the smallest
 * priority, then the oldest, of those that are due and have room.  Its limits
 * are reserved for one job, and a scan of it has begun: ready_queue_scan_end() or
 * ready_queue_scan_abort() must follow.  *look_again is lowered to when a ready queue whose
 * rows were locked is to be tried again.
 */
bool
ready_queue_choose(Oid database, Oid owner, TimestampTz now, ReadyQueueChoice *choice,
			TimestampTz *look_again)
{
	Assert(OidIsValid(owner));
	return choose_ready_queue(database, owner, false, false, NULL, 0, now, choice, look_again);
}

/* The same for the sender: deliveries of any role but these, with e-mails or without */
bool
ready_queue_choose_delivery(Oid database, bool mails, const Oid *excluded, int nexcluded, TimestampTz now,
					 ReadyQueueChoice *choice, TimestampTz *look_again)
{
	return choose_ready_queue(database, InvalidOid, true, mails, excluded, nexcluded, now, choice, look_again);
}

/* Is there a ready queue that a worker of that role could take jobs from? */
bool
ready_queue_is_due(Oid database, Oid owner, TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	ReadyQueue   *slot;
	bool		due = false;

	LWLockAcquire(shared->ready_queue_lock, LW_SHARED);
	hash_seq_init(&scan, ready_queue_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database != database || slot->tag.owner != owner ||
			slot->min_key.run_at > now || LIMITS_KEY_IS_DELIVERY(slot->tag.limits_key) ||
			!limits_have_room_locked(database, slot->tag.limits_key))
			continue;
		due = true;
		hash_seq_term(&scan);
		break;
	}
	LWLockRelease(shared->ready_queue_lock);
	return due;
}

/*
 * The scan begins, from the ready queue's lowest key as it is now, when nobody else
 * takes jobs of the ready queue: ready_queue_scan_advance() must follow.
 */
void
ready_queue_scan_begin(ReadyQueueChoice *choice, Oid database)
{
	ReadyQueueTag		tag;
	ReadyQueue   *slot;

	ready_queue_tag(&tag, database, choice->owner, choice->limits_key, choice->priority);
	claim_lock_acquire(&tag);
	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	slot = hash_search(ready_queue_table, &tag, HASH_FIND, NULL);
	if (slot != NULL)
	{
		choice->min_key = slot->min_key;
		slot->scan_min_key = READY_KEY_NONE;
	}
	chosen = *choice;
	LWLockRelease(shared->ready_queue_lock);
}

/* NULL: there is nothing in that ready queue any more.  Under ready_queue_lock */
static ReadyQueue *
slot_of_choice(const ReadyQueueChoice *choice, Oid database)
{
	ReadyQueueTag		tag;

	ready_queue_tag(&tag, database, choice->owner, choice->limits_key, choice->priority);
	return hash_search(ready_queue_table, &tag, HASH_FIND, NULL);
}

/*
 * All rows before "next" are dealt with, once we commit: let the next one in.
 */
void
ready_queue_scan_advance(const ReadyQueueChoice *choice, Oid database, ReadyKey next)
{
	ReadyQueue   *slot;

	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	slot = slot_of_choice(choice, database);
	if (slot != NULL)
		slot->min_key = ready_key_before(slot->scan_min_key, next) ? slot->scan_min_key : next;
	LWLockRelease(shared->ready_queue_lock);
	claim_lock_release();
}

/*
 * A scan has ended; "next" is the first key that it did not deal with.  The
 * limits stay reserved if something was taken, and count as taken from now on.
 * If nothing was though jobs are due, others hold them locked: leave the ready queue
 * alone for a moment.
 */
void
ready_queue_scan_end(const ReadyQueueChoice *choice, Oid database, ReadyKey next, int64 taken,
			  TimestampTz now)
{
	ReadyQueue   *slot;

	has_chosen = false;
	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	slot = slot_of_choice(choice, database);
	if (slot != NULL)
	{
		Assert(slot->scanners > 0);
		slot->ready = Max(slot->ready - taken, 0);
		slot->retry_at = taken == 0 && next.run_at <= now ? now + READY_QUEUE_RETRY : 0;
		slot->scanners--;
		ready_queue_drop_if_empty(slot);
	}
	limits_add_locked(database, choice->limits_key, taken == 0 ? -1 : 0, -1);
	LWLockRelease(shared->ready_queue_lock);
}

/* A scan has failed: everything is as before */
void
ready_queue_scan_abort(const ReadyQueueChoice *choice, Oid database)
{
	ReadyQueue   *slot;

	has_chosen = false;
	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	slot = slot_of_choice(choice, database);
	if (slot != NULL)
	{
		Assert(slot->scanners > 0);
		if (ready_key_before(choice->min_key, slot->min_key))
			slot->min_key = choice->min_key;
		if (ready_key_before(choice->min_key, slot->scan_min_key))
			slot->scan_min_key = choice->min_key;
		slot->scanners--;
		ready_queue_drop_if_empty(slot);
	}
	limits_add_locked(database, choice->limits_key, -1, -1);
	LWLockRelease(shared->ready_queue_lock);
	claim_lock_release();
}

/* The process ends in the middle of whatever it was doing */
void
ready_queue_scan_abandon(Oid database)
{
	ConditionVariableCancelSleep();
	if (has_chosen)
		ready_queue_scan_abort(&chosen, database);
}

/* The database has no jobs for us any more */
void
ready_queues_forget(Oid database)
{
	HASH_SEQ_STATUS scan;
	ReadyQueue   *rq;
	LimitSlot  *limit;

	LWLockAcquire(shared->ready_queue_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, ready_queue_table);
	while ((rq = hash_seq_search(&scan)) != NULL)
	{
		if (rq->tag.database == database && rq->scanners == 0)
			hash_search(ready_queue_table, &rq->tag, HASH_REMOVE, NULL);
	}
	hash_seq_init(&scan, limit_table);
	while ((limit = hash_seq_search(&scan)) != NULL)
	{
		if (limit->tag.database == database && limit->running == 0)
			hash_search(limit_table, &limit->tag, HASH_REMOVE, NULL);
	}
	LWLockRelease(shared->ready_queue_lock);
}

/* A copy of the ready queues of a database that have jobs */
int
ready_queues_of_database(Oid database, ReadyQueueChoice **rqs)
{
	HASH_SEQ_STATUS scan;
	ReadyQueue   *slot;
	int			n = 0;

	/* not under the lock: palloc may fail */
	*rqs = palloc_extended(sizeof(ReadyQueueChoice) * defer_shared_slots, MCXT_ALLOC_HUGE);
	LWLockAcquire(shared->ready_queue_lock, LW_SHARED);
	hash_seq_init(&scan, ready_queue_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		ReadyQueueChoice *rq;

		if (slot->tag.database != database || slot->min_key.run_at == DT_NOEND)
			continue;
		rq = &(*rqs)[n++];
		rq->owner = slot->tag.owner;
		rq->limits_key = slot->tag.limits_key;
		rq->priority = slot->tag.priority;
		rq->min_key = slot->min_key;
		rq->ready = slot->ready;
		Assert(n <= defer_shared_slots);
	}
	LWLockRelease(shared->ready_queue_lock);
	return n;
}
