/*
 * fair_queue.c
 *		Fair queues and their accounts in shared memory: see fair_queue.h.
 *
 * An account is needed while a ready queue points at it or a charge is held on it.  Then it
 * is kept, idle, as long as it has a debt: a group that has run empty does not get rid of
 * it.  Idle accounts have defer.shared_slots slots together.  If these are taken the role
 * with the most of them loses one.
 *
 * A fair queue ends when it has neither a ready queue nor a charge: nothing competes then.
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "shmem/fair_queue.h"
#include "shmem/ready_queue_slots.h"

/* A job of a queue of which nothing is known yet is expected to take so long (microseconds) */
#define FIRST_MEAN		1000

/* Idle accounts that are looked at for one without a debt */
#define IDLE_LOOKS		4

static HTAB *queue_table = NULL;
static HTAB *account_table = NULL;

/* ------------------------------------------------------------------------
 * Shared memory
 * ------------------------------------------------------------------------ */

static int
queue_count(void)
{
	return defer_shared_slots + worker_slot_count();
}

/* Of ready queues, of batches, and idle ones */
static int
account_count(void)
{
	return 2 * defer_shared_slots + worker_slot_count() * READY_CLAIM_MAX;
}

Size
fair_queues_shmem_size(void)
{
	return add_size(hash_estimate_size(queue_count(), sizeof(FairQueue)),
					hash_estimate_size(account_count(), sizeof(FairAccount)));
}

void
fair_queues_shmem_init(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(FairQueueTag);
	control.entrysize = sizeof(FairQueue);
	queue_table = compat_shmem_hash("defer fair queues", queue_count(), &control);
	control.keysize = sizeof(FairAccountTag);
	control.entrysize = sizeof(FairAccount);
	account_table = compat_shmem_hash("defer fair accounts", account_count(), &control);
}

/* ------------------------------------------------------------------------
 * Slots
 * ------------------------------------------------------------------------ */

FairQueueTag
fair_queue_tag(Oid database, Oid owner, int64 kinds, int32 queue_id, int32 priority)
{
	FairQueueTag tag = {database, owner, kinds, queue_id, priority};

	return tag;
}

void
fair_set_idle(FairAccount *account, bool idle)
{
	if (account->idle == idle)
		return;
	account->idle = idle;
	account->queue->role->nidle += idle ? 1 : -1;
	if (idle)
		dlist_push_tail(&account->queue->idle, &account->idle_node);
	else
		dlist_delete(&account->idle_node);
}

static void
free_account(FairAccount *account)
{
	dlist_mutable_iter iter;

	fair_set_idle(account, false);
	dlist_foreach_modify(iter, &account->runs)
	{
		FairRun    *run = dlist_container(FairRun, node, iter.cur);

		dlist_delete(&run->node);
		run->account = NULL;
	}
	account->queue->ncharges -= account->ncharges;
	account->queue->naccounts--;
	dlist_delete(&account->node);
	(void) hash_search(account_table, &account->tag, HASH_REMOVE, NULL);
}

/* Free a fair queue with its accounts; ready queues of it are in none then */
static void
free_queue(FairQueue *queue)
{
	while (!dlist_is_empty(&queue->accounts))
	{
		FairAccount *account = dlist_head_element(FairAccount, node, &queue->accounts);
		dlist_iter	iter;

		dlist_foreach(iter, &account->queues)
			dlist_container(ReadyQueue, account_node, iter.cur)->account = NULL;
		free_account(account);
	}
	dlist_delete(&queue->node);
	queue->role->nfair--;
	(void) hash_search(queue_table, &queue->tag, HASH_REMOVE, NULL);
}

/* An account has a ready queue or a charge less: free what is not needed any more */
void
fair_release(FairAccount *account)
{
	FairQueue  *queue = account->queue;

	if (queue->nqueues == 0 && queue->ncharges == 0)
	{
		free_queue(queue);
		return;
	}
	if (account->nqueues == 0 && account->ncharges == 0)
	{
		if (account->virtual.finish > queue->virtual_time)
			fair_set_idle(account, true);
		else
			free_account(account);
	}

	/* jobs without a group are alone again: they need no account */
	if (queue->naccounts == 1 && queue->ncharges == 0 &&
		dlist_head_element(FairAccount, node, &queue->accounts)->tag.group == 0)
		free_queue(queue);
}

/* Virtual time has gone on: some idle accounts may be without a debt now */
void
fair_free_idle(FairQueue *queue)
{
	for (int i = 0; i < IDLE_LOOKS && !dlist_is_empty(&queue->idle); i++)
	{
		FairAccount *account = dlist_head_element(FairAccount, idle_node, &queue->idle);

		if (account->virtual.finish <= queue->virtual_time)
			free_account(account);
		else
			dlist_move_tail(&queue->idle, &account->idle_node);
	}
}

/* All slots are taken: free the longest idle account of the role that has most of them */
static void
make_room(void)
{
	HASH_SEQ_STATUS scan;
	ReadyRole  *role;
	ReadyRole  *largest = NULL;
	dlist_iter	iter;

	hash_seq_init(&scan, ready_roles());
	while ((role = hash_seq_search(&scan)) != NULL)
	{
		if (largest == NULL || role->nidle > largest->nidle)
			largest = role;
	}
	if (largest == NULL || largest->nidle == 0)
		return;
	dlist_foreach(iter, &largest->fair_queues)
	{
		FairQueue  *queue = dlist_container(FairQueue, node, iter.cur);

		if (dlist_is_empty(&queue->idle))
			continue;
		free_account(dlist_head_element(FairAccount, idle_node, &queue->idle));
		return;
	}
}

/* Find or make an account; NULL: there is no slot for it */
static FairAccount *
add_account(FairQueue *queue, int64 group)
{
	const FairAccountTag tag = {queue->tag, group};
	FairAccount *account = hash_search(account_table, &tag, HASH_FIND, NULL);

	if (account != NULL)
	{
		fair_set_idle(account, false);
		return account;
	}
	if (hash_get_num_entries(account_table) >= account_count())
		make_room();
	account = hash_search(account_table, &tag, HASH_ENTER_NULL, NULL);
	if (account == NULL)
		return NULL;
	account->queue = queue;
	dlist_push_tail(&queue->accounts, &account->node);
	queue->naccounts++;
	dlist_init(&account->queues);
	dlist_init(&account->runs);
	account->nqueues = account->nready = account->ncharges = 0;
	account->idle = false;
	account->virtual.finish = account->virtual.floor = queue->virtual_time;
	account->mean = queue->mean;
	memset(&account->minute, 0, sizeof(account->minute));
	return account;
}

static bool
attach(FairQueue *queue, ReadyQueue *slot)
{
	FairAccount *account = add_account(queue, slot->group);

	if (account == NULL)
		return false;
	dlist_push_tail(&account->queues, &slot->account_node);
	account->nqueues++;
	queue->nqueues++;
	slot->account = account;
	if (slot->place == PLACE_READY)
		fair_ready(account, true);
	return true;
}

/* The first job of a group has come: those without a group compete from now on, too */
static void
adopt_others(FairQueue *queue)
{
	dlist_iter	bundles;
	dlist_iter	queues;

	dlist_foreach(bundles, &queue->role->bundles)
	{
		ReadyBundle *bundle = dlist_container(ReadyBundle, node, bundles.cur);

		if (bundle->tag.queue_id != queue->tag.queue_id || bundle->tag.kinds != queue->tag.kinds ||
			bundle->tag.priority != queue->tag.priority)
			continue;
		dlist_foreach(queues, &bundle->queues)
		{
			ReadyQueue *slot = dlist_container(ReadyQueue, node, queues.cur);

			if (slot->account == NULL)
				(void) attach(queue, slot);
		}
	}
}

static FairQueue *
add_queue(ReadyRole *role, const FairQueueTag *tag)
{
	FairQueue  *queue = hash_search(queue_table, tag, HASH_ENTER_NULL, NULL);

	if (queue == NULL)
		return NULL;
	queue->role = role;
	dlist_push_tail(&role->fair_queues, &queue->node);
	role->nfair++;
	dlist_init(&queue->accounts);
	dlist_init(&queue->idle);
	queue->naccounts = queue->nqueues = queue->nready = queue->ncharges = 0;
	queue->virtual_time = 0;
	queue->mean = FIRST_MEAN;
	memset(&queue->minute, 0, sizeof(queue->minute));
	return queue;
}

bool
fair_attach(ReadyQueue *slot)
{
	const ReadyBundleTag *tag = &slot->bundle->tag;
	ReadyRole  *role = slot->bundle->role;
	FairQueueTag key;
	FairQueue  *queue;
	bool		attached;

	slot->account = NULL;
	if (slot->group == 0 && role->nfair == 0)
		return true;
	key = fair_queue_tag(tag->database, tag->owner, tag->kinds, tag->queue_id, tag->priority);
	queue = hash_search(queue_table, &key, HASH_FIND, NULL);
	if (queue == NULL && slot->group == 0)
		return true;
	if (queue == NULL && (queue = add_queue(role, &key)) == NULL)
		return false;
	attached = attach(queue, slot);
	if (attached && queue->naccounts == 1)
		adopt_others(queue);
	if (!attached && queue->naccounts == 0)
		free_queue(queue);
	return attached;
}

void
fair_detach(ReadyQueue *slot)
{
	FairAccount *account = slot->account;

	if (account == NULL)
		return;
	Assert(slot->place != PLACE_READY);
	slot->account = NULL;
	dlist_delete(&slot->account_node);
	account->nqueues--;
	account->queue->nqueues--;
	fair_release(account);
}

void
fair_forget(ReadyRole *role)
{
	while (!dlist_is_empty(&role->fair_queues))
		free_queue(dlist_head_element(FairQueue, node, &role->fair_queues));
}

bool
fair_has_charges(const ReadyRole *role)
{
	dlist_iter	iter;

	dlist_foreach(iter, &unconstify(ReadyRole *, role)->fair_queues)
	{
		if (dlist_container(FairQueue, node, iter.cur)->ncharges > 0)
			return true;
	}
	return false;
}

FairAccount *
fair_account(const FairQueueTag *queue, int64 group)
{
	const FairAccountTag tag = {*queue, group};

	return hash_search(account_table, &tag, HASH_FIND, NULL);
}
