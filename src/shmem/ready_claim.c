/*
 * ready_claim.c
 *		Taking jobs from a ready queue: the part of a claim that is in shared
 *		memory (job/claim.c reads and writes the rows).
 *
 *		choose		take places under the limits of queues, charge their accounts, note
 *					that they are in use
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
#include "base/timer.h"
#include "shmem/claim_lock.h"
#include "shmem/rates.h"
#include "shmem/ready_queue_slots.h"
#include "shmem/reserved.h"

/* The queues that this process has chosen and is not done with */
static ReadyClaim current;
static bool has_current = false;

/* What a process looks for */
typedef struct Wanted
{
	bool		deliveries;		/* these, or jobs for workers */
	bool		mails;			/* e-mails, too */
	const ReadyTasks *tasks;	/* these instead; NULL: none */
	TimestampTz now;
	int64		clock;			/* the same, monotonic */
	ReservedView reserved;		/* of workers */
} Wanted;

/* ------------------------------------------------------------------------
 * Choosing; the caller holds ready_lock
 * ------------------------------------------------------------------------ */

static int
compare_numbers(const void *a, const void *b)
{
	const int32 x = *(const int32 *) a;
	const int32 y = *(const int32 *) b;

	return x < y ? -1 : x > y;
}

static bool
has_number(const int32 *numbers, int n, int32 number)
{
	return bsearch(&number, numbers, n, sizeof(int32), compare_numbers) != NULL;
}

/* Check whether the tasks that are asked for, NULL: none, have those of a bundle among them */
static bool
has_task(const ReadyTasks *tasks, const ReadyBundle *bundle)
{
	if (tasks == NULL || !LIMITS_KEY_IS_TASK(bundle->tag.kinds))
		return tasks == NULL && !LIMITS_KEY_IS_TASK(bundle->tag.kinds);
	return has_number(tasks->functions, tasks->nfunctions, bundle->tag.function_id) &&
		(tasks->nqueues < 0 || has_number(tasks->queues, tasks->nqueues, bundle->tag.queue_id));
}

static bool
is_wanted(const ReadyBundle *bundle, const Wanted *wanted)
{
	return LIMITS_KEY_IS_DELIVERY(bundle->tag.kinds) == wanted->deliveries &&
		has_task(wanted->tasks, bundle) &&
		(wanted->mails || !LIMITS_KEY_IS_MAIL(bundle->tag.kinds)) &&
		(wanted->deliveries || wanted->tasks != NULL ||
		 reserved_allows(&wanted->reserved, bundle->tag.queue_id));
}

/*
 * Check, and note, whether a bundle has capacity.  Its accounts get nothing for the time
 * in which it had none: they begin with the virtual time of the fair queue.  "first" is
 * the bundle's, NULL: none is READY.
 */
static bool
has_capacity(ReadyBundle *bundle, const ReadyQueue *first)
{
	bool		full = !limits_have_capacity_locked(bundle->limits) ||
		rates_room(bundle->limits, false) == 0;

	if (bundle->full && !full && first != NULL && first->account != NULL)
		bundle->floor = first->account->queue->virtual_time;
	bundle->full = full;
	return !full;
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
		slot = ready_first(bundle, wanted->now, wanted->clock, next_check);
		if (!has_capacity(bundle, slot))
			continue;
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

/*
 * The queue of the account that was served least in the fair queue of one that was found
 * to be the best by its age: another bundle, of a function with a limit, may have it.
 * NULL: none was found.
 */
static ReadyQueue *
fairest(ReadyQueue *best, const Wanted *wanted, TimestampTz *next_check)
{
	const FairQueue *queue;
	dlist_iter	iter;

	if (best == NULL || best->account == NULL)
		return best;
	queue = best->account->queue;
	dlist_foreach(iter, &best->bundle->role->bundles)
	{
		ReadyBundle *bundle = dlist_container(ReadyBundle, node, iter.cur);
		ReadyQueue *slot;

		if (bundle->ready == NULL || bundle->full || bundle == best->bundle ||
			!is_wanted(bundle, wanted))
			continue;
		slot = ready_first(bundle, wanted->now, wanted->clock, next_check);
		if (slot != NULL && slot->account != NULL && slot->account->queue == queue &&
			ready_fair_tag(slot) < ready_fair_tag(best))
			best = slot;
	}
	return best;
}

/* Choose the first queue of a bundle, and others after it: see ready_choose.c */
static ReadyClaim *
choose(ReadyQueue *first, int max, const Wanted *wanted, TimestampTz *next_check)
{
	ready_choose(first, max, wanted->now, wanted->clock, &current, next_check);
	has_current = true;
	return &current;
}

ReadyClaim *
ready_queue_choose(Oid database, Oid owner, int max, TimestampTz now, TimestampTz *next_check)
{
	Wanted		wanted = {.now = now, .clock = monotonic_now()};
	ReadyQueue *best = NULL;
	ReadyClaim *claim = NULL;
	ReadyRole  *role;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	role = ready_role(database, owner);
	reserved_view(database, owner, &wanted.reserved);
	if (role != NULL)
		best = best_of_role(role, &wanted, NULL, next_check);
	if ((best = fairest(best, &wanted, next_check)) != NULL)
	{
		reserved_enter(best->bundle->tag.queue_id);
		claim = choose(best, max, &wanted, next_check);
	}
	LWLockRelease(shared->ready_lock);
	return claim;
}

ReadyClaim *
ready_queue_choose_delivery(Oid database, bool (*may_take) (Oid owner, bool mails),
							TimestampTz now, TimestampTz *next_check)
{
	Wanted		wanted = {.deliveries = true, .now = now, .clock = monotonic_now()};
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

			wanted.mails = may_take(role->tag.owner, true);
			if (may_take(role->tag.owner, false) &&
				(best = best_of_role(role, &wanted, NULL, next_check)) != NULL)
				break;
		}
	}
	if ((best = fairest(best, &wanted, next_check)) != NULL)
	{
		/* the others are asked first the next time */
		dlist_move_tail(&db->roles, &best->bundle->role->node);
		claim = choose(best, PG_INT32_MAX, &wanted, next_check);
	}
	LWLockRelease(shared->ready_lock);
	return claim;
}

/* The best queue of the tasks that are wanted, of all roles; NULL: none */
static ReadyQueue *
best_of_tasks(Oid database, const Wanted *wanted, TimestampTz *next_check)
{
	ReadyDatabase *db = ready_database(database);
	ReadyQueue *best = NULL;
	dlist_iter	iter;

	if (db == NULL)
		return NULL;
	dlist_foreach(iter, &db->roles)
		best = best_of_role(dlist_container(ReadyRole, node, iter.cur), wanted, best, next_check);
	return best;
}

bool
ready_queue_task_is_due(Oid database, const ReadyTasks *tasks, TimestampTz now,
						TimestampTz *next_check)
{
	const Wanted wanted = {.tasks = tasks, .now = now, .clock = monotonic_now()};
	bool		due;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	due = best_of_tasks(database, &wanted, next_check) != NULL;
	LWLockRelease(shared->ready_lock);
	return due;
}

ReadyClaim *
ready_queue_choose_task(Oid database, const ReadyTasks *tasks, TimestampTz now,
						TimestampTz *next_check)
{
	const Wanted wanted = {.tasks = tasks, .now = now, .clock = monotonic_now()};
	ReadyClaim *claim = NULL;
	ReadyQueue *best;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	best = fairest(best_of_tasks(database, &wanted, next_check), &wanted, next_check);
	if (best != NULL)
		claim = choose(best, PG_INT32_MAX, &wanted, next_check);
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
	Wanted		wanted = {.now = now};
	ReadyRole  *role;
	dlist_iter	iter;
	bool		due = false;

	LWLockAcquire(shared->ready_lock, LW_SHARED);
	role = ready_role(database, owner);
	if (role != NULL)
	{
		reserved_view(database, owner, &wanted.reserved);
		dlist_foreach(iter, &role->bundles)
		{
			ReadyBundle *bundle = dlist_container(ReadyBundle, node, iter.cur);

			due = due || (may_be_due(bundle, now) && is_wanted(bundle, &wanted) &&
						  limits_have_capacity_locked(bundle->limits) &&
						  rates_room(bundle->limits, false) > 0);
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

static void
end_scan(ReadyQueue *slot, const ReadyQueueChoice *chosen, TimestampTz now)
{
	ready_set_count(slot, Max(slot->ready - chosen->taken, 0));
	slot->retry_at = chosen->taken == 0 && chosen->pause_after && chosen->next.run_at <= now ?
		now + READY_RETRY_DELAY : 0;
	slot->nclaims--;
	ready_place_claimed(slot, chosen, now);
	ready_queue_release(slot);
}

/* When jobs can be claimed for whose tokens this claim was too early; DT_NOEND: none wait */
static TimestampTz
next_token(Oid database, const ReadyQueueChoice *chosen)
{
	const int64 opening = rates_reopening(database, &chosen->scopes);

	return opening == PG_INT64_MAX ? DT_NOEND :
		GetCurrentTimestamp() + Max(opening - monotonic_now(), 0);
}

bool
ready_queue_scan_end(ReadyClaim *claim, Oid database, TimestampTz now)
{
	bool		waited = false;
	int64		taken = 0;

	has_current = false;
	claim->next_token = DT_NOEND;
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	for (int i = 0; i < claim->nqueues; i++)
	{
		ReadyQueueChoice *chosen = &claim->queues[i];
		ReadyQueue *slot = chosen_slot(chosen, database);

		taken += chosen->taken;
		fair_chosen(chosen, database, true);
		waited = rates_planned(database, &chosen->scopes, chosen->planned, chosen->taken) || waited;
		if (chosen->taken == 0)
			waited = limits_give_back(database, &chosen->scopes, true, 1) || waited;
		else
			limits_chosen(database, &chosen->scopes, true);
		if (slot != NULL)
			end_scan(slot, chosen, now);
		if (chosen->planned > 0)
			claim->next_token = Min(claim->next_token, next_token(database, chosen));
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
		ReadyQueueChoice *chosen = &claim->queues[i];
		ReadyQueue *slot = chosen_slot(chosen, database);

		fair_chosen(chosen, database, false);
		(void) rates_planned(database, &chosen->scopes, chosen->planned, 0);
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
