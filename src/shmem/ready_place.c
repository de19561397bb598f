/*
 * ready_place.c
 *		Where a ready queue stands: among those of its bundle that may be claimed,
 *		among those that are due later, or at a limit of its group that has no
 *		capacity.  One whose limit has no token is due when that has.  One whose group
 *		has an order waits at its limit for the first job, if that is not to be had
 *		here.
 *
 * So a claim looks at the first of each heap and at nothing that has to wait.  Two
 * things change without a call for each queue: time passes (ready_place_due() before
 * a look into bundle->ready), and the limit of a group becomes full while several
 * queues under it are READY (ready_first() finds that out).
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/timer.h"
#include "shmem/rates.h"
#include "shmem/ready_queue_slots.h"

/* ------------------------------------------------------------------------
 * Heaps: the comparison stands here, as its address is not for shared memory
 * ------------------------------------------------------------------------ */

static int
compare_ready(const pairingheap_node * a, const pairingheap_node * b, void *arg)
{
	const ReadyQueue *left = pairingheap_const_container(ReadyQueue, heap_node, a);
	const ReadyQueue *right = pairingheap_const_container(ReadyQueue, heap_node, b);

	if (left->account != NULL && right->account != NULL &&
		left->account->virtual.finish != right->account->virtual.finish)
		return left->account->virtual.finish < right->account->virtual.finish ? 1 : -1;
	return ready_key_before(left->min_key, right->min_key) ? 1 :
		ready_key_before(right->min_key, left->min_key) ? -1 : 0;
}

static int
compare_later(const pairingheap_node * a, const pairingheap_node * b, void *arg)
{
	const ReadyQueue *left = pairingheap_const_container(ReadyQueue, heap_node, a);
	const ReadyQueue *right = pairingheap_const_container(ReadyQueue, heap_node, b);

	return left->due < right->due ? 1 : left->due > right->due ? -1 : 0;
}

static void
heap_add(pairingheap_node * *root, pairingheap_comparator compare, ReadyQueue *slot)
{
	pairingheap heap = {compare, NULL, *root};

	pairingheap_add(&heap, &slot->heap_node);
	*root = heap.ph_root;
}

static void
heap_remove(pairingheap_node * *root, pairingheap_comparator compare, ReadyQueue *slot)
{
	pairingheap heap = {compare, NULL, *root};

	pairingheap_remove(&heap, &slot->heap_node);
	*root = heap.ph_root;
}

/* ------------------------------------------------------------------------
 * Places
 * ------------------------------------------------------------------------ */

void
ready_displace(ReadyQueue *slot)
{
	ReadyBundle *bundle = slot->bundle;

	switch (slot->place)
	{
		case PLACE_NONE:
			break;
		case PLACE_READY:
			heap_remove(&bundle->ready, compare_ready, slot);
			bundle->nready -= slot->ready;
			if (slot->account != NULL)
				fair_ready(slot->account, false);
			break;
		case PLACE_LATER:
			heap_remove(&bundle->later, compare_later, slot);
			dlist_delete(&slot->parked_node);
			bundle->role->nlater--;
			break;
		case PLACE_BLOCKED:
			dlist_delete(&slot->parked_node);
			break;
	}
	if (slot->blocked)
		dlist_delete(&slot->blocked_node);
	slot->blocked = false;
	slot->place = PLACE_NONE;
}

static void
place_later(ReadyQueue *slot, TimestampTz due)
{
	ReadyBundle *bundle = slot->bundle;

	slot->place = PLACE_LATER;
	slot->due = due;
	heap_add(&bundle->later, compare_later, slot);
	dlist_push_tail(&bundle->role->parked, &slot->parked_node);
	bundle->role->nlater++;
}

static void
add_to_blocked(ReadyQueue *slot, LimitSlot *limit)
{
	slot->blocked = true;
	dlist_push_tail(&limit->blocked, &slot->blocked_node);
}

/* Put a queue that is due where its limits have it wait; false: they do not */
static bool
place_at_limit(ReadyQueue *slot)
{
	LimitSlot  *limit = limits_first_full(slot->groups, slot->bundle->limits);
	int64		opening = 0;

	if (limit == NULL)
		limit = rates_hold(slot, &opening);
	if (limit == NULL)
		return false;
	add_to_blocked(slot, limit);
	if (opening != 0)
	{
		place_later(slot, GetCurrentTimestamp() + (opening - monotonic_now()));
		return true;
	}
	slot->place = PLACE_BLOCKED;
	dlist_push_tail(&slot->bundle->role->parked, &slot->parked_node);
	return true;
}

/*
 * Put a queue that is due where it waits for the first job in the order of its group, which
 * is another queue's, or not due; false: it does not, or that may have changed.
 */
static bool
place_behind(ReadyQueue *slot, TimestampTz now)
{
	LimitSlot  *limit;

	if (!slot->behind)
		return false;
	limit = limit_of_order(slot->bundle->limits, slot->groups);
	if (limit == NULL || limit->order_changes != slot->behind_changes ||
		slot->behind_until <= now)
	{
		slot->behind = false;
		return false;
	}
	add_to_blocked(slot, limit);
	if (slot->behind_until != DT_NOEND)
		place_later(slot, slot->behind_until);
	else
	{
		slot->place = PLACE_BLOCKED;
		dlist_push_tail(&slot->bundle->role->parked, &slot->parked_node);
	}
	return true;
}

/* Put a queue that stands nowhere where it belongs */
static void
place(ReadyQueue *slot, TimestampTz now)
{
	ReadyBundle *bundle = slot->bundle;

	if (slot->min_key.run_at == DT_NOEND)
		return;
	/* further off than it ever is: the clock was set back */
	if (slot->retry_at > now + READY_RETRY_DELAY)
		slot->retry_at = 0;
	slot->due = Max(slot->min_key.run_at, slot->retry_at);
	if (slot->due > now)
		place_later(slot, slot->due);
	else if (!place_at_limit(slot) && !place_behind(slot, now))
	{
		slot->place = PLACE_READY;
		if (slot->account != NULL && slot->account->nready == 0)
			fair_come(slot->account);
		if (slot->account != NULL)
			fair_ready(slot->account, true);
		heap_add(&bundle->ready, compare_ready, slot);
		bundle->nready += slot->ready;
	}
}

/* A queue that stays READY does not come back */
void
ready_place(ReadyQueue *slot, TimestampTz now)
{
	FairAccount *account = slot->place == PLACE_READY ? slot->account : NULL;

	if (account != NULL)
		fair_ready(account, true);
	ready_displace(slot);
	place(slot, now);
	if (account != NULL)
		fair_ready(account, false);
}

void
ready_place_claimed(ReadyQueue *slot, const ReadyQueueChoice *chosen, TimestampTz now)
{
	slot->behind = chosen->behind;
	slot->behind_changes = chosen->order_changes;
	slot->behind_order = chosen->behind_order;
	slot->behind_until = chosen->behind_until;
	ready_place(slot, now);
}

void
ready_move_account(FairAccount *account, const VirtualAccount *moved)
{
	dlist_iter	iter;

	/* the heaps compare the tag: first out of them */
	dlist_foreach(iter, &account->queues)
	{
		ReadyQueue *slot = dlist_container(ReadyQueue, account_node, iter.cur);

		if (slot->place == PLACE_READY)
			heap_remove(&slot->bundle->ready, compare_ready, slot);
	}
	account->virtual = *moved;
	dlist_foreach(iter, &account->queues)
	{
		ReadyQueue *slot = dlist_container(ReadyQueue, account_node, iter.cur);

		if (slot->place == PLACE_READY)
			heap_add(&slot->bundle->ready, compare_ready, slot);
	}
}

void
ready_place_due(ReadyBundle *bundle, TimestampTz now)
{
	while (bundle->later != NULL)
	{
		ReadyQueue *slot = pairingheap_container(ReadyQueue, heap_node, bundle->later);

		if (slot->due > now)
			return;
		ready_place(slot, now);
	}
}

/*
 * A queue that was blocked was due then, and still is.  True: one can be claimed now, or
 * earlier than before.
 */
bool
ready_place_blocked(LimitSlot *limit)
{
	dlist_head	blocked;
	bool		any = false;

	if (dlist_is_empty(&limit->blocked))
		return false;
	/* those that stay blocked go back to the list's end: go through it once */
	dlist_init(&blocked);
	while (!dlist_is_empty(&limit->blocked))
		dlist_push_tail(&blocked, dlist_pop_head_node(&limit->blocked));
	while (!dlist_is_empty(&blocked))
	{
		ReadyQueue *slot = dlist_head_element(ReadyQueue, blocked_node, &blocked);
		const TimestampTz before = slot->place == PLACE_LATER ? slot->due : DT_NOEND;

		ready_place(slot, before != DT_NOEND ? GetCurrentTimestamp() : slot->due);
		any = any || slot->place == PLACE_READY ||
			(slot->place == PLACE_LATER && slot->due < before);
	}
	return any;
}

TimestampTz
ready_bundle_opening(const ReadyBundle *bundle)
{
	int64		opening;

	if (bundle->ready == NULL || !limits_have_capacity_locked(bundle->limits) ||
		rates_room(bundle->limits, false) > 0)
		return DT_NOEND;
	opening = rates_opening(bundle->limits);
	return opening == PG_INT64_MAX ? DT_NOEND :
		GetCurrentTimestamp() + Max(opening - monotonic_now(), 0);
}

TimestampTz
ready_queue_opening(const ReadyQueue *slot)
{
	return slot->place == PLACE_READY ? ready_bundle_opening(slot->bundle) :
		slot->place == PLACE_LATER ? slot->due : DT_NOEND;
}

void
ready_set_count(ReadyQueue *slot, int64 ready)
{
	if (slot->place == PLACE_READY)
		slot->bundle->nready += ready - slot->ready;
	slot->ready = ready;
}

ReadyQueue *
ready_first(ReadyBundle *bundle, TimestampTz now, int64 clock, TimestampTz *next_check)
{
	ready_place_due(bundle, now);
	while (bundle->ready != NULL)
	{
		ReadyQueue *slot = pairingheap_container(ReadyQueue, heap_node, bundle->ready);
		int64		opening;

		if (limits_first_full(slot->groups, bundle->limits) != NULL ||
			rates_hold(slot, &opening) != NULL)
		{
			ready_place(slot, now);
			/* the scheduler has seen it READY */
			if (slot->place == PLACE_LATER)
				*next_check = Min(*next_check, slot->due);
		}
		else if (slot->account == NULL || !fair_charge_on(slot->account, clock))
			return slot;
	}
	return NULL;
}
