/*
 * ready_claim.c
 *		Taking jobs from a ready queue: the part of a claim that is in shared
 *		memory (job/claim.c reads and writes the rows).
 *
 *		choose		take places under the limits of queues, note that they are in use
 *		scan_begin	take the claim lock, begin at the minimum key
 *		scan_advance	raise the minimum key, release the claim lock; the next queue
 *		(commit)
 *		scan_end	or scan_abort, which lowers the minimum key again
 *
 * test/model/ready_queue.pml is a model of this: change it with the protocol.
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "base/limits_key.h"
#include "shmem/claim_lock.h"
#include "shmem/ready_queue_slots.h"

/* The queues that this process has chosen and is not done with */
static ReadyClaim current;
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
is_wanted(const ReadyBundle *bundle, const Wanted *wanted)
{
	return LIMITS_KEY_IS_DELIVERY(bundle->tag.kinds) == wanted->deliveries &&
		(wanted->mails || !LIMITS_KEY_IS_MAIL(bundle->tag.kinds)) &&
		limits_have_capacity_locked(bundle->limits);
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

	dlist_foreach(iter, &role->bundles)
	{
		ReadyBundle *bundle = dlist_container(ReadyBundle, node, iter.cur);
		ReadyQueue *slot;

		if (!is_wanted(bundle, wanted))
			continue;
		slot = ready_first(bundle, wanted->now);
		if (slot != NULL && goes_before(slot, best))
			best = slot;
		if (bundle->later != NULL)
		{
			slot = pairingheap_container(ReadyQueue, heap_node, bundle->later);
			if (slot->retry_at > wanted->now)
				*next_check = Min(*next_check, slot->due);
		}
	}
	return best;
}

/* Take places under the limits of the queue's group, and note that it is in use */
static void
choose_queue(ReadyQueue *slot, TimestampTz now, ReadyQueueChoice *chosen)
{
	ready_queue_copy(slot, chosen);
	chosen->next = READY_KEY_NONE;
	chosen->taken = 0;
	chosen->pause_after = true;
	limits_take(slot->groups, 1);
	slot->nclaims++;
	dlist_move_tail(&slot->bundle->queues, &slot->node);
	if (slot->retry_at != 0)
		slot->retry_at = now + READY_RETRY_DELAY;	/* one process is enough
													 * to try */
}

/*
 * Choose the first queue of a bundle, and if it is one of a group others after it,
 * until they hold about "max" jobs.
 */
static ReadyClaim *
choose(ReadyQueue *first, int max, TimestampTz now)
{
	ReadyBundle *bundle = first->bundle;
	ReadyQueue *chosen[READY_CLAIM_MAX];
	int64		jobs = 0;
	bool		single = LIMITS_KEY_IS_DELIVERY(bundle->tag.kinds) ||
		(bundle->limits[0] != NULL && bundle->limits[0]->cancel);
	int			n = 0;

	limits_take(bundle->limits, 1);
	for (ReadyQueue *slot = first; slot != NULL; slot = ready_first(bundle, now))
	{
		choose_queue(slot, now, &current.queues[n]);
		chosen[n++] = slot;
		jobs += Max(slot->ready, 1);
		if (single || jobs >= max || n == READY_CLAIM_MAX)
			break;
		ready_displace(slot);	/* the next one is the first now */
	}
	for (int i = 0; i < n; i++)
		ready_place(chosen[i], now);
	current.nqueues = n;
	has_current = true;
	return &current;
}

ReadyClaim *
ready_queue_choose(Oid database, Oid owner, int max, TimestampTz now, TimestampTz *next_check)
{
	const Wanted wanted = {.now = now};
	ReadyQueue *best = NULL;
	ReadyClaim *claim = NULL;
	ReadyRole  *role;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	role = ready_role(database, owner);
	if (role != NULL)
		best = best_of_role(role, &wanted, NULL, next_check);
	if (best != NULL)
		claim = choose(best, max, now);
	LWLockRelease(shared->ready_lock);
	return claim;
}

ReadyClaim *
ready_queue_choose_delivery(Oid database, bool (*may_take) (Oid owner, bool mails),
							TimestampTz now, TimestampTz *next_check)
{
	ReadyQueue *best = NULL;
	ReadyClaim *claim = NULL;
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
		claim = choose(best, 1, now);
	LWLockRelease(shared->ready_lock);
	return claim;
}

/* Check for a queue that is due by now; its group's limits may be full */
static bool
may_be_due(ReadyBundle *bundle, TimestampTz now)
{
	return bundle->ready != NULL ||
		(bundle->later != NULL &&
		 pairingheap_container(ReadyQueue, heap_node, bundle->later)->due <= now);
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
		dlist_foreach(iter, &role->bundles)
		{
			ReadyBundle *bundle = dlist_container(ReadyBundle, node, iter.cur);

			due = due || (may_be_due(bundle, now) && is_wanted(bundle, &wanted));
		}
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
}

void
ready_queue_scan_advance(const ReadyQueueChoice *chosen, Oid database, TimestampTz now)
{
	ReadyQueue *slot;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	slot = chosen_slot(chosen, database);
	if (slot != NULL)
	{
		slot->min_key = ready_key_before(slot->scan_min, chosen->next) ? slot->scan_min :
			chosen->next;
		ready_place(slot, now);
	}
	LWLockRelease(shared->ready_lock);
	claim_lock_release(database, chosen);
}

bool
ready_queue_scan_end(ReadyClaim *claim, Oid database, TimestampTz now)
{
	bool		waited = false;
	int64		taken = 0;

	has_current = false;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	for (int i = 0; i < claim->nqueues; i++)
	{
		const ReadyQueueChoice *chosen = &claim->queues[i];
		ReadyQueue *slot = chosen_slot(chosen, database);

		taken += chosen->taken;
		if (chosen->taken == 0)
			waited = limits_give_back(database, &chosen->scopes, true, 1) || waited;
		else
			limits_chosen(database, &chosen->scopes, true);
		if (slot == NULL)
			continue;
		ready_set_count(slot, Max(slot->ready - chosen->taken, 0));
		slot->retry_at = chosen->taken == 0 && chosen->pause_after && chosen->next.run_at <= now ?
			now + READY_RETRY_DELAY : 0;
		slot->nclaims--;
		ready_place(slot, now);
		ready_queue_release(slot);
	}
	if (taken == 0)
		waited = limits_give_back(database, &claim->queues[0].scopes, false, 1) || waited;
	else
		limits_chosen(database, &claim->queues[0].scopes, false);
	LWLockRelease(shared->ready_lock);
	return waited;
}

void
ready_queue_scan_abort(ReadyClaim *claim, Oid database)
{
	const TimestampTz now = GetCurrentTimestamp();

	has_current = false;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	for (int i = 0; i < claim->nqueues; i++)
	{
		const ReadyQueueChoice *chosen = &claim->queues[i];
		ReadyQueue *slot = chosen_slot(chosen, database);

		(void) limits_give_back(database, &chosen->scopes, true, 1);
		if (slot == NULL)
			continue;
		if (ready_key_before(chosen->min_key, slot->min_key))
			slot->min_key = chosen->min_key;
		if (ready_key_before(chosen->min_key, slot->scan_min))
			slot->scan_min = chosen->min_key;
		slot->nclaims--;
		ready_place(slot, now);
		ready_queue_release(slot);
	}
	(void) limits_give_back(database, &claim->queues[0].scopes, false, 1);
	LWLockRelease(shared->ready_lock);
}

void
ready_queue_scan_abandon(Oid database)
{
	if (has_current)
		ready_queue_scan_abort(&current, database);
}
