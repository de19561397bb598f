/*
 * ready_scan.c
 *		Taking jobs from a ready queue: the part of a claim that is in shared
 *		memory (job/claim.c reads and writes the rows).
 *
 *		choose		reserve the limits of a queue, note that it is in use
 *		scan_begin	take the claim lock, begin at the minimum key
 *		scan_advance	raise the minimum key, release the claim lock
 *		(commit)
 *		scan_end	or scan_abort, which lowers the minimum key again
 *
 * test/model/ready_queue.pml is a model of this: change it with the protocol.
 */
#include "postgres.h"

#include "storage/lwlock.h"

#include "base/limits_key.h"
#include "shmem/claim_lock.h"
#include "shmem/ready_queue_slots.h"

/* All rows that a claim met were locked: leave the queue alone for so long (microseconds) */
#define RETRY_DELAY	(50 * 1000)

/* The queue that this process has chosen and is not done with */
static ReadyQueueChoice current;
static bool has_current = false;

/* What a process looks for */
typedef struct Wanted
{
	bool		deliveries;		/* these, or jobs for workers */
	bool		mails;			/* e-mails, too */
	TimestampTz now;
} Wanted;

/* ------------------------------------------------------------------------
 * Choosing; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

static bool
is_due(const ReadyQueue *slot, const Wanted *wanted)
{
	return slot->min_key.run_at <= wanted->now &&
		LIMITS_KEY_IS_DELIVERY(slot->tag.limits_key) == wanted->deliveries &&
		(wanted->mails || !LIMITS_KEY_IS_MAIL(slot->tag.limits_key)) &&
		limits_have_capacity_locked(slot->limits);
}

/* Compare two queues: true if the first is claimed first, or the second is NULL */
static bool
goes_before(const ReadyQueue *slot, const ReadyQueue *than)
{
	return than == NULL || slot->tag.priority < than->tag.priority ||
		(slot->tag.priority == than->tag.priority &&
		 ready_key_before(slot->min_key, than->min_key));
}

/* The better of "best" and the queues of a role */
static ReadyQueue *
best_of_role(ReadyRole *role, const Wanted *wanted, ReadyQueue *best,
			 TimestampTz *next_check)
{
	dlist_iter	iter;

	dlist_foreach(iter, &role->queues)
	{
		ReadyQueue *slot = dlist_container(ReadyQueue, node, iter.cur);

		if (!goes_before(slot, best) || !is_due(slot, wanted))
			continue;
		/* further off than it ever is: the clock was set back */
		if (slot->retry_at > wanted->now && slot->retry_at <= wanted->now + RETRY_DELAY)
			*next_check = Min(*next_check, slot->retry_at);
		else
			best = slot;
	}
	return best;
}

static void
choose(ReadyQueue *slot, TimestampTz now, ReadyQueueChoice *chosen)
{
	ready_queue_copy(slot, chosen);
	limits_add_locked(slot->tag.database, slot->tag.limits_key, 1, 1);
	slot->nclaims++;
	if (slot->retry_at != 0)
		slot->retry_at = now + RETRY_DELAY; /* one process is enough to try */
	current = *chosen;
	has_current = true;
}

bool
ready_queue_choose(Oid database, Oid owner, TimestampTz now, ReadyQueueChoice *chosen,
				   TimestampTz *next_check)
{
	const Wanted wanted = {.now = now};
	ReadyQueue *best = NULL;
	ReadyRole  *role;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	role = ready_role(database, owner);
	if (role != NULL)
		best = best_of_role(role, &wanted, NULL, next_check);
	if (best != NULL)
		choose(best, now, chosen);
	LWLockRelease(shared->ready_lock);
	return best != NULL;
}

bool
ready_queue_choose_delivery(Oid database, bool (*may_take) (Oid owner, bool mails),
							TimestampTz now, ReadyQueueChoice *chosen, TimestampTz *next_check)
{
	ReadyQueue *best = NULL;
	ReadyDatabase *db;
	dlist_iter	iter;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	db = ready_database(database);
	if (db != NULL)
	{
		dlist_foreach(iter, &db->roles)
		{
			ReadyRole  *role = dlist_container(ReadyRole, node, iter.cur);
			const Oid	owner = role->tag.owner;
			const Wanted wanted = {true, may_take(owner, true), now};

			if (may_take(owner, false))
				best = best_of_role(role, &wanted, best, next_check);
		}
	}
	if (best != NULL)
		choose(best, now, chosen);
	LWLockRelease(shared->ready_lock);
	return best != NULL;
}

bool
ready_queue_is_due(Oid database, Oid owner, TimestampTz now)
{
	const Wanted wanted = {.now = now};
	ReadyRole  *role;
	dlist_iter	iter;
	bool		due = false;

	LWLockAcquire(shared->ready_lock, LW_SHARED);
	role = ready_role(database, owner);
	if (role != NULL)
	{
		dlist_foreach(iter, &role->queues)
			due = due || is_due(dlist_container(ReadyQueue, node, iter.cur), &wanted);
	}
	LWLockRelease(shared->ready_lock);
	return due;
}

/* ------------------------------------------------------------------------
 * Claiming
 * ------------------------------------------------------------------------ */

/*
 * The slot of the chosen queue; NULL: it was taken away with all of the
 * database's, and the claim has nothing to say about a new one of that name.
 */
static ReadyQueue *
chosen_slot(const ReadyQueueChoice *chosen, Oid database)
{
	ReadyQueue *slot = ready_queue_slot(chosen, database);

	return slot != NULL && slot->nclaims > 0 ? slot : NULL;
}

void
ready_queue_scan_begin(ReadyQueueChoice *chosen, Oid database)
{
	ReadyQueue *slot;

	claim_lock_acquire(database, chosen);
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = chosen_slot(chosen, database);
	if (slot != NULL)
	{
		chosen->min_key = slot->min_key;
		slot->scan_min = READY_KEY_NONE;
	}
	LWLockRelease(shared->ready_lock);
	current = *chosen;
}

void
ready_queue_scan_advance(const ReadyQueueChoice *chosen, Oid database, ReadyKey next)
{
	ReadyQueue *slot;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = chosen_slot(chosen, database);
	if (slot != NULL)
		slot->min_key = ready_key_before(slot->scan_min, next) ? slot->scan_min : next;
	LWLockRelease(shared->ready_lock);
	claim_lock_release(database, chosen);
}

void
ready_queue_scan_end(const ReadyQueueChoice *chosen, Oid database, ReadyKey next, int64 taken,
					 TimestampTz now)
{
	ReadyQueue *slot;

	has_current = false;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = chosen_slot(chosen, database);
	if (slot != NULL)
	{
		slot->ready = Max(slot->ready - taken, 0);
		slot->retry_at = taken == 0 && next.run_at <= now ? now + RETRY_DELAY : 0;
		slot->nclaims--;
		ready_queue_release(slot);
	}
	limits_add_locked(database, chosen->limits_key, taken == 0 ? -1 : 0, -1);
	LWLockRelease(shared->ready_lock);
}

void
ready_queue_scan_abort(const ReadyQueueChoice *chosen, Oid database)
{
	ReadyQueue *slot;

	has_current = false;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = chosen_slot(chosen, database);
	if (slot != NULL)
	{
		if (ready_key_before(chosen->min_key, slot->min_key))
			slot->min_key = chosen->min_key;
		if (ready_key_before(chosen->min_key, slot->scan_min))
			slot->scan_min = chosen->min_key;
		slot->nclaims--;
		ready_queue_release(slot);
	}
	limits_add_locked(database, chosen->limits_key, -1, -1);
	LWLockRelease(shared->ready_lock);
}

void
ready_queue_scan_abandon(Oid database)
{
	if (has_current)
		ready_queue_scan_abort(&current, database);
}
