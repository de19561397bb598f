/*
 * flow_server.c
 *		What the real files ask of a server: see flow.h.
 *
 * Locks check that they are taken in the order that shmem/shmem.h has.  Memory that is
 * given back is overwritten.  A heap is a sorted list; of what is equal any may be first.
 */
#include "flow.h"

#include "common/hashfn.h"
#include "lib/pairingheap.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/timer.h"
#include "shmem/claim_lock.h"
#include "shmem/leases.h"
#include "shmem/ready_queue_slots.h"
#include "shmem/reserved.h"
#include "shmem/scheduler_wake.h"
#include "shmem/senders.h"

#define BUCKETS		256
#define WALL_CLOCK	INT64CONST(800000000000000) /* when the monotonic one is 0 */

int64		flow_clock;

/* What the server or other files have */
Oid			MyDatabaseId = DATABASE;
volatile uint32 InterruptHoldoffCount;
volatile sig_atomic_t InterruptPending;
sigjmp_buf *PG_exception_stack;
ErrorContextCallback *error_context_stack;
MemoryContext TopMemoryContext;
MemoryContext CurrentMemoryContext;
int			max_worker_processes = 2;
int			defer_max_workers = WORKERS;
int			defer_shared_slots = 64;
int			defer_max_leases = 4;
bool		defer_enabled = true;
SharedState *shared;
WorkerSlot *worker_slots;
WorkerSlot *my_worker;

static SharedState state;
static WorkerSlot slots[WORKERS];
static LWLock locks[16];

/* ------------------------------------------------------------------------
 * Clock, errors
 * ------------------------------------------------------------------------ */

int64
monotonic_now(void)
{
	return flow_clock;
}

TimestampTz
GetCurrentTimestamp(void)
{
	return WALL_CLOCK + flow_clock;
}

void
pg_re_throw(void)
{
	siglongjmp(*PG_exception_stack, 1);
}

#if PG_VERSION_NUM < 160000
void
ExceptionalCondition(const char *conditionName, const char *errorType, const char *fileName,
					 int lineNumber)
#else
void
ExceptionalCondition(const char *conditionName, const char *fileName, int lineNumber)
#endif
{
	printf("%s:%d: an assertion does not hold: %s\n", fileName, lineNumber, conditionName);
	fflush(stdout);
	abort();
}

/* ------------------------------------------------------------------------
 * Locks
 * ------------------------------------------------------------------------ */

static LWLock *held[4];
static int	nheld;

bool
server_holds_lock(void)
{
	return nheld > 0;
}

/* "tranche" is the place in the order */
bool
LWLockAcquire(LWLock *lock, LWLockMode mode)
{
	if (nheld == 0)
		process_yield(false);
	if (nheld == lengthof(held) || (nheld > 0 && held[nheld - 1]->tranche >= lock->tranche))
	{
		printf("locks are taken in a wrong order\n");
		abort();
	}
	held[nheld++] = lock;
	return true;
}

void
LWLockRelease(LWLock *lock)
{
	Assert(nheld > 0 && held[nheld - 1] == lock);
	nheld--;
}

static bool
same_queue(const ReadyQueueChoice *a, const ReadyQueueChoice *b)
{
	return a->owner == b->owner && a->limits_key == b->limits_key && a->priority == b->priority;
}

static bool
lock_is_held(const ReadyQueueChoice *queue)
{
	Process    *all[WORKERS + 1] = {sender};

	for (int i = 0; i < WORKERS; i++)
		all[i + 1] = &workers[i];
	for (int i = 0; i <= WORKERS; i++)
	{
		for (int k = 0; k < all[i]->nlocks; k++)
		{
			if (same_queue(&all[i]->locks[k], queue))
				return true;
		}
	}
	return false;
}

void
claim_lock_acquire(Oid database, const ReadyQueueChoice *queue)
{
	process_yield(true);
	while (lock_is_held(queue))
		process_sleep(flow_clock + 2000, true);
	current_process->locks[current_process->nlocks++] = *queue;
}

void
claim_lock_release(Oid database, const ReadyQueueChoice *queue)
{
	Process    *me = current_process;

	for (int i = 0; i < me->nlocks; i++)
	{
		if (same_queue(&me->locks[i], queue))
		{
			me->locks[i] = me->locks[--me->nlocks];
			return;
		}
	}
	Assert(false);
}

/* ------------------------------------------------------------------------
 * Shared memory
 * ------------------------------------------------------------------------ */

static void *allocated[16];
static HTAB *tables[16];
static int	nallocated;
static int	ntables;

Size
add_size(Size a, Size b)
{
	return a + b;
}

Size
mul_size(Size a, Size b)
{
	return a * b;
}

Size
hash_estimate_size(long n, Size size)
{
	return n * size;
}

void *
ShmemInitStruct(const char *name, Size size, bool *found)
{
	*found = false;
	return allocated[nallocated++] = calloc(1, size);
}

typedef struct Entry
{
	dlist_node	node;
	dlist_node	all;
	double		data[FLEXIBLE_ARRAY_MEMBER];	/* aligned */
} Entry;

struct HTAB
{
	Size		key_size;
	Size		entry_size;
	long		size;
	long		n;
	dlist_head	all;
	dlist_head	buckets[BUCKETS];
};

#if PG_VERSION_NUM >= 190000
HTAB *
ShmemInitHash(const char *name, int64 size, HASHCTL *control, int flags)
#else
HTAB *
ShmemInitHash(const char *name, long init_size, long size, HASHCTL *control, int flags)
#endif
{
	HTAB	   *table = calloc(1, sizeof(HTAB));

	table->key_size = control->keysize;
	table->entry_size = control->entrysize;
	table->size = size;
	dlist_init(&table->all);
	for (int i = 0; i < BUCKETS; i++)
		dlist_init(&table->buckets[i]);
	return tables[ntables++] = table;
}

uint32
hash_bytes(const unsigned char *k, int keylen)
{
	uint64		hash = UINT64CONST(14695981039346656037);

	for (int i = 0; i < keylen; i++)
		hash = (hash ^ k[i]) * UINT64CONST(1099511628211);
	return (uint32) (hash ^ (hash >> 32));
}

void *
hash_search(HTAB *table, const void *key, HASHACTION action, bool *found)
{
	uint32		bucket = hash_bytes(key, (int) table->key_size) % BUCKETS;
	Entry	   *entry;
	dlist_iter	iter;

	dlist_foreach(iter, &table->buckets[bucket])
	{
		entry = dlist_container(Entry, node, iter.cur);
		if (memcmp(entry->data, key, table->key_size) != 0)
			continue;
		if (action == HASH_REMOVE)
		{
			dlist_delete(&entry->node);
			dlist_delete(&entry->all);
			memset(entry, 0x7f, offsetof(Entry, data) + table->entry_size);
			free(entry);
			table->n--;
		}
		return action == HASH_REMOVE ? (void *) table : entry->data;
	}
	if (action != HASH_ENTER_NULL || table->n == table->size)
		return NULL;
	entry = malloc(offsetof(Entry, data) + table->entry_size);
	memset(entry, 0x7f, offsetof(Entry, data) + table->entry_size);
	memcpy(entry->data, key, table->key_size);
	dlist_push_tail(&table->buckets[bucket], &entry->node);
	dlist_push_tail(&table->all, &entry->all);
	table->n++;
	return entry->data;
}

long
hash_get_num_entries(HTAB *table)
{
	return table->n;
}

/* The entry that the scan is at may be removed: it holds the next one */
void
hash_seq_init(HASH_SEQ_STATUS *status, HTAB *table)
{
	status->hashp = table;
	status->curEntry = dlist_is_empty(&table->all) ? NULL : (void *) dlist_head_node(&table->all);
}

void *
hash_seq_search(HASH_SEQ_STATUS *status)
{
	dlist_node *node = (dlist_node *) status->curEntry;
	dlist_head *all = &status->hashp->all;

	if (node == NULL)
		return NULL;
	status->curEntry = dlist_has_next(all, node) ? (void *) dlist_next_node(all, node) : NULL;
	return dlist_container(Entry, all, node)->data;
}

void
hash_seq_term(HASH_SEQ_STATUS *status)
{
}

/* ------------------------------------------------------------------------
 * Heaps
 * ------------------------------------------------------------------------ */

void
pairingheap_add(pairingheap *heap, pairingheap_node *node)
{
	pairingheap_node *before = NULL;
	pairingheap_node *after = heap->ph_root;

	while (after != NULL)
	{
		int			compared = heap->ph_compare(after, node, heap->ph_arg);

		if (compared < 0 || (compared == 0 && random_below(2) == 0))
			break;
		before = after;
		after = after->next_sibling;
	}
	node->first_child = NULL;
	node->prev_or_parent = before;
	node->next_sibling = after;
	if (after != NULL)
		after->prev_or_parent = node;
	if (before != NULL)
		before->next_sibling = node;
	else
		heap->ph_root = node;
}

void
pairingheap_remove(pairingheap *heap, pairingheap_node *node)
{
	if (node->next_sibling != NULL)
		node->next_sibling->prev_or_parent = node->prev_or_parent;
	if (node->prev_or_parent != NULL)
		node->prev_or_parent->next_sibling = node->next_sibling;
	else
	{
		Assert(heap->ph_root == node);
		heap->ph_root = node->next_sibling;
	}
}

/* ------------------------------------------------------------------------
 * Other files
 * ------------------------------------------------------------------------ */

int
worker_slot_count(void)
{
	return WORKERS;
}

void
database_wake_scheduler(Oid database)
{
	process_set_latch(scheduler);
}

void
databases_wake_schedulers(void)
{
	process_set_latch(scheduler);
}

bool
sender_has(Oid database, int64 job_id, bool cancel)
{
	FlowJob    *row = find_job(job_id);

	return row != NULL && row->job.claim != 0 && claim_process(row->job.claim) == sender &&
		!claim_is_left(row->job.claim);
}

bool
lease_has(Oid database, int64 job_id, bool cancel)
{
	return false;
}

void
server_begin(void)
{
	static LWLock *const order[] = {&locks[0], &locks[8], &locks[9]};

	while (nallocated > 0)
		free(allocated[--nallocated]);
	while (ntables > 0)
	{
		HTAB	   *table = tables[--ntables];

		while (!dlist_is_empty(&table->all))
			free(dlist_container(Entry, all, dlist_pop_head_node(&table->all)));
		free(table);
	}
	nheld = 0;
	memset(&state, 0, sizeof(state));
	shared = &state;
	for (int i = 0; i < lengthof(order); i++)
		order[i]->tranche = i == 0 ? 1 : i + 2;
	shared->workers_lock = order[0];
	shared->leases_lock = order[1];
	shared->ready_lock = order[2];
	shared->nworker_slots = WORKERS;
	worker_slots = slots;
	memset(slots, 0, sizeof(slots));
	for (int i = 0; i < WORKERS; i++)
	{
		slots[i].lock = &locks[1 + i];
		slots[i].lock->tranche = 2;
	}
	ready_queues_shmem_init();
	reserved_shmem_init();
}
