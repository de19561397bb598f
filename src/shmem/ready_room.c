/*
 * ready_room.c
 *		Whose ready queue gives way when the slots are taken.
 *
 * There are defer.shared_slots slots, for all roles of all databases.  A role
 * may take half of them as long as no other role needs them.  When they are all
 * taken, a queue with due jobs gets the slot of one of the role that has most: of
 * one that can not be claimed now (its jobs are due later, or its group's limit is
 * full), or else of the worst.  So a role that has very many queues waits for
 * itself, and no other role does.
 *
 * No slot but those of bundles, of which a role has no more than a claim walks
 * through, and of roles is looked at for that.
 */
#include "postgres.h"

#include "shmem/rates.h"
#include "shmem/ready_queue_slots.h"

/* Queues of a bundle that are looked at for one that no claim has chosen */
#define TRIES	8

/* Take the slot from a queue that has jobs: its role remembers from when on */
static void
evict_queue(ReadyQueue *slot)
{
	ReadyRole  *role = slot->bundle->role;

	role->unlisted_at = Min(role->unlisted_at, slot->min_key.run_at);
	ready_queue_free(slot);
}

/* The queue of a role that cannot be claimed for longest; NULL: there is none */
static ReadyQueue *
parked_queue(ReadyRole *role)
{
	dlist_iter	iter;
	int			tries = 0;

	dlist_foreach(iter, &role->parked)
	{
		ReadyQueue *slot = dlist_container(ReadyQueue, parked_node, iter.cur);

		if (slot->nclaims == 0)
			return slot;
		if (++tries == TRIES)
			break;
	}
	return NULL;
}

/* A queue of a bundle that was claimed lately and is in no claim; NULL: none of the last */
static ReadyQueue *
last_of_bundle(ReadyBundle *bundle)
{
	dlist_node *node;
	int			tries = 0;

	if (dlist_is_empty(&bundle->queues))
		return NULL;
	for (node = dlist_tail_node(&bundle->queues);; node = dlist_prev_node(&bundle->queues, node))
	{
		ReadyQueue *slot = dlist_container(ReadyQueue, node, node);

		if (slot->nclaims == 0)
			return slot;
		if (++tries == TRIES || !dlist_has_prev(&bundle->queues, node))
			return NULL;
	}
}

/* Check whether the limits of a queue's function, queue and endpoint let jobs of it begin now */
static bool
has_capacity(const ReadyQueue *slot)
{
	return limits_have_capacity_locked(slot->bundle->limits) &&
		rates_room(slot->bundle->limits, false) > 0;
}

/* Compare two queues of a role: true if the first one is missed less */
static bool
is_worse(const ReadyQueue *slot, const ReadyQueue *than)
{
	bool		ready = slot->place == PLACE_READY;
	bool		than_ready = than->place == PLACE_READY;
	bool		capacity = has_capacity(slot);
	bool		than_capacity = has_capacity(than);

	if (ready != than_ready)
		return !ready;
	if (capacity != than_capacity)
		return !capacity;
	if (ready && slot->tag.priority != than->tag.priority)
		return slot->tag.priority > than->tag.priority;
	return ready_key_before(than->min_key, slot->min_key);
}

/*
 * A queue of a role that it misses least, or nearly; "only": the last one of its
 * bundle.  NULL: all are in use.
 */
static ReadyQueue *
worst_queue(ReadyRole *role, bool only)
{
	ReadyQueue *worst = only ? NULL : parked_queue(role);
	dlist_iter	iter;

	if (worst != NULL)
		return worst;
	dlist_foreach(iter, &role->bundles)
	{
		ReadyBundle *bundle = dlist_container(ReadyBundle, node, iter.cur);
		ReadyQueue *slot = only && bundle->nqueues > 1 ? NULL : last_of_bundle(bundle);

		if (slot != NULL && (worst == NULL || is_worse(slot, worst)))
			worst = slot;
	}
	return worst;
}

/* The queue of the role that has most; or else, of one that cannot be claimed now */
static ReadyQueue *
queue_of_others(const ReadyRole *role)
{
	HASH_SEQ_STATUS scan;
	ReadyRole  *other;
	ReadyRole  *largest = NULL;
	ReadyQueue *parked = NULL;

	hash_seq_init(&scan, ready_roles());
	while ((other = hash_seq_search(&scan)) != NULL)
	{
		if (largest == NULL || other->nqueues > largest->nqueues)
			largest = other;
		if (parked == NULL && other->nlater > 0)
			parked = parked_queue(other);
	}
	if (largest != NULL && largest->nqueues > role->nqueues + 1)
		return worst_queue(largest, false);
	return parked;
}

bool
ready_room_for_queue(ReadyRole *role, const ReadyQueueChoice *queue, bool needs_bundle,
					 TimestampTz now, Oid *evicted)
{
	bool		bundle = needs_bundle && role->nbundles >= READY_BUNDLES_OF_ROLE;
	bool		own = bundle || role->nqueues >= READY_QUEUES_OF_ROLE;
	ReadyQueue *source = NULL;

	if (!own && !ready_queues_full())
		return true;
	if (queue->min_key.run_at > now)
		return false;
	if (!own)
		source = queue_of_others(role);
	if (source == NULL)
	{
		source = worst_queue(role, bundle);
		if (source == NULL ||
			(source->place == PLACE_READY && has_capacity(source) &&
			 (source->tag.priority < queue->priority ||
			  (source->tag.priority == queue->priority &&
			   ready_key_before(source->min_key, queue->min_key)))))
			return false;		/* the new one is the worst */
	}
	*evicted = source->tag.database;
	evict_queue(source);
	return true;
}

/* Check whether all jobs of a role are due later, and no claim is under way */
static bool
waits(ReadyRole *role)
{
	dlist_iter	iter;

	if (role->nlater < role->nqueues || fair_has_charges(role))
		return false;
	dlist_foreach(iter, &role->parked)
	{
		if (dlist_container(ReadyQueue, parked_node, iter.cur)->nclaims > 0)
			return false;
	}
	return true;
}

/* Have a slot free for a role; false: all roles have due jobs */
bool
ready_room_for_role(TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	ReadyRole  *role;
	dlist_iter	iter;

	hash_seq_init(&scan, ready_roles());
	while ((role = hash_seq_search(&scan)) != NULL)
	{
		dlist_foreach(iter, &role->bundles)
			ready_place_due(dlist_container(ReadyBundle, node, iter.cur), now);
		if (waits(role))
			break;
	}
	if (role == NULL)
		return false;
	hash_seq_term(&scan);
	while (!dlist_is_empty(&role->parked))
		evict_queue(dlist_head_element(ReadyQueue, parked_node, &role->parked));
	ready_role_free(role);
	return true;
}
