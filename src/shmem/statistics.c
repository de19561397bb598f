/*
 * statistics.c
 *		Counters of what has ended, for each role, function and queue, in shared
 *		memory: for monitoring, which asks every few seconds and must not read
 *		millions of rows of history each time.
 *
 * They begin with the server's start (also after a crash of it) and only
 * grow.  A transaction collects what it adds and adds it when it has committed,
 * so they never tell of anything that was rolled back; a rolled back
 * subtransaction is not taken out, and prepared transactions are not counted.
 *
 * A role has one slot for all that is counted without a name, and at most a
 * share of the others.  What has no room is counted without a name.  When all
 * slots are taken, a role that has only few gets the slot that is used least of
 * the role that has most; what that has counted goes to its unnamed slot, so
 * that sums stay right.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/job_state.h"
#include "shmem/shmem.h"
#include "shmem/statistics.h"

const int64 statistics_bounds[STATISTICS_BUCKETS - 1] = {
	100, 1000, 5 * 1000, 10 * 1000, 50 * 1000, 100 * 1000, 500 * 1000,
	INT64CONST(1) * USECS_PER_SEC, INT64CONST(5) * USECS_PER_SEC, INT64CONST(10) * USECS_PER_SEC,
	INT64CONST(30) * USECS_PER_SEC, USECS_PER_MINUTE, 5 * USECS_PER_MINUTE, 15 * USECS_PER_MINUTE,
	USECS_PER_HOUR
};

static const char *const outcomes[STATISTICS_OUTCOMES] = {
	"failed", "timed_out", "crashed", "conflict", "snoozed", "interrupted", "cancelled"
};

static const char states[STATISTICS_STATES] = {
	STATE_SUCCEEDED, STATE_FAILED, STATE_CANCELLED, STATE_DISCARDED
};

/* No padding; the names are in it as their hash, 0: without a name */
typedef struct CounterTag
{
	Oid			database;
	Oid			owner;
	uint64		names;
} CounterTag;

typedef struct CounterSlot
{
	CounterTag	tag;
	int			nnamed;			/* without a name: named slots of the role */
	char		function[256];
	char		queue[NAMEDATALEN];
	pg_atomic_uint64 counters[STATISTICS_COUNTERS];
} CounterSlot;

/* What this transaction will add to one slot */
typedef struct Addition
{
	CounterTag	tag;
	const text *function;
	const text *queue;
	int64		counters[STATISTICS_COUNTERS];
} Addition;

/* Slots are added under statistics_lock, and counted in under a share of it */
static HTAB *counter_table = NULL;

/* In TopTransactionContext */
static Addition *additions = NULL;
static int	nadditions = 0;
static int	size = 0;

/* ------------------------------------------------------------------------
 * Shared memory
 * ------------------------------------------------------------------------ */

/* More than that is not needed where there are many ready queues */
static int
slot_count(void)
{
	return Min(defer_shared_slots, 4096);
}

/* Named slots of a role: at most, and even if other roles have them */
#define SLOTS_OF_ROLE	(slot_count() / 8)
#define SLOTS_ASSURED	(slot_count() / 64)

Size
statistics_shmem_size(void)
{
	return hash_estimate_size(slot_count(), sizeof(CounterSlot));
}

void
statistics_shmem_init(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(CounterTag);
	control.entrysize = sizeof(CounterSlot);
	counter_table = compat_shmem_hash("defer counters", slot_count(), &control);
}

static void
copy_name(char *to, size_t room, const text *name)
{
	size_t		len = VARSIZE_ANY_EXHDR(name);

	if (len >= room)
		len = pg_mbcliplen(VARDATA_ANY(name), len, room - 1);
	memcpy(to, VARDATA_ANY(name), len);
	to[len] = '\0';
}

/* Some slots are left for those without a name */
static bool
no_room_for_names(void)
{
	return hash_get_num_entries(counter_table) >= slot_count() - slot_count() / 8;
}

static CounterSlot *
unnamed_slot(const CounterTag *tag)
{
	CounterTag	unnamed = {tag->database, tag->owner, 0};

	return hash_search(counter_table, &unnamed, HASH_FIND, NULL);
}

/*
 * The slot to count in.  NULL: one may have to be made, under an exclusive lock.
 */
static CounterSlot *
find_slot(const CounterTag *tag)
{
	CounterSlot *slot = hash_search(counter_table, tag, HASH_FIND, NULL);
	CounterSlot *unnamed;

	if (slot != NULL)
		return slot;
	unnamed = unnamed_slot(tag);
	if (unnamed != NULL &&
		(unnamed->nnamed >= SLOTS_OF_ROLE ||
		 (unnamed->nnamed >= SLOTS_ASSURED && no_room_for_names())))
		return unnamed;
	return NULL;
}

/* Make a slot; NULL: there is no room */
static CounterSlot *
add_slot(const CounterTag *tag)
{
	CounterSlot *slot;
	bool		found;

	slot = hash_search(counter_table, tag, HASH_ENTER_NULL, &found);
	if (slot != NULL && !found)
	{
		slot->nnamed = 0;
		slot->function[0] = slot->queue[0] = '\0';
		for (int i = 0; i < STATISTICS_COUNTERS; i++)
			pg_atomic_init_u64(&slot->counters[i], 0);
	}
	return slot;
}

static uint64
jobs_of(CounterSlot *slot)
{
	uint64		sum = 0;

	for (int i = COUNT_STATES; i < COUNT_STATES + STATISTICS_STATES; i++)
		sum += pg_atomic_read_u64(&slot->counters[i]);
	return sum;
}

/* The role with most named slots gives up the one that has counted least; false: none has many */
static bool
take_from_largest(void)
{
	HASH_SEQ_STATUS scan;
	CounterSlot *slot;
	CounterSlot *largest = NULL;
	CounterSlot *least = NULL;

	hash_seq_init(&scan, counter_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.names == 0 && (largest == NULL || slot->nnamed > largest->nnamed))
			largest = slot;
	}
	if (largest == NULL || largest->nnamed <= SLOTS_ASSURED)
		return false;
	hash_seq_init(&scan, counter_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.names != 0 && slot->tag.database == largest->tag.database &&
			slot->tag.owner == largest->tag.owner &&
			(least == NULL || jobs_of(slot) < jobs_of(least)))
			least = slot;
	}
	if (least == NULL)
		return false;
	for (int i = 0; i < STATISTICS_COUNTERS; i++)
		pg_atomic_fetch_add_u64(&largest->counters[i], pg_atomic_read_u64(&least->counters[i]));
	largest->nnamed--;
	(void) hash_search(counter_table, &least->tag, HASH_REMOVE, NULL);
	return true;
}

/* Find or make the slot to count in; NULL: there is no room at all */
static CounterSlot *
find_or_add_slot(const CounterTag *tag, const text *function, const text *queue)
{
	CounterTag	unnamed_tag = {tag->database, tag->owner, 0};
	CounterSlot *slot = find_slot(tag);
	CounterSlot *unnamed;

	if (slot != NULL)
		return slot;
	unnamed = add_slot(&unnamed_tag);
	if (unnamed == NULL || unnamed->nnamed >= SLOTS_OF_ROLE ||
		(no_room_for_names() &&
		 (unnamed->nnamed >= SLOTS_ASSURED || !take_from_largest())))
		return unnamed;
	slot = add_slot(tag);
	if (slot == NULL)
		return unnamed;
	copy_name(slot->function, sizeof(slot->function), function);
	copy_name(slot->queue, sizeof(slot->queue), queue);
	unnamed->nnamed++;
	return slot;
}

/* Databases that are gone need no counters; the launcher tells which are there */
void
statistics_forget_dropped(List *databases)
{
	HASH_SEQ_STATUS scan;
	CounterSlot *slot;

	LWLockAcquire(shared->statistics_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, counter_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (!list_member_oid(databases, slot->tag.database))
			hash_search(counter_table, &slot->tag, HASH_REMOVE, NULL);
	}
	LWLockRelease(shared->statistics_lock);
}

/* ------------------------------------------------------------------------
 * Counting
 * ------------------------------------------------------------------------ */

/* The hash of function and queue; that of the last job is remembered, as most are like it */
static uint64
hash_names(const text *function, const text *queue)
{
	static char last[256];
	static size_t lengths[2] = {0, 0};
	static uint64 hash;
	const size_t length = VARSIZE_ANY_EXHDR(function);
	const size_t queue_length = VARSIZE_ANY_EXHDR(queue);

	if (length == lengths[0] && queue_length == lengths[1] && length > 0 &&
		memcmp(last, VARDATA_ANY(function), length) == 0 &&
		memcmp(last + length, VARDATA_ANY(queue), queue_length) == 0)
		return hash;
	hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(function), length, 0);
	hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(queue), queue_length, hash) | 1;
	lengths[0] = lengths[1] = 0;
	if (length + queue_length <= sizeof(last))
	{
		lengths[0] = length;
		lengths[1] = queue_length;
		memcpy(last, VARDATA_ANY(function), length);
		memcpy(last + length, VARDATA_ANY(queue), queue_length);
	}
	return hash;
}

/* What this transaction adds for jobs like this one */
static Addition *
addition(const Job *job)
{
	const CounterTag tag = {MyDatabaseId, job->owner, hash_names(job->function, job->queue)};
	Addition   *found;
	MemoryContext old;

	/* the last one is the likely one */
	for (int i = nadditions - 1; i >= 0; i--)
	{
		if (memcmp(&additions[i].tag, &tag, sizeof(tag)) == 0)
			return &additions[i];
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	if (nadditions == size)
	{
		int			more = size == 0 ? 2 : size * 2;

		additions = size == 0 ? palloc(more * sizeof(Addition)) :
			repalloc(additions, more * sizeof(Addition));
		size = more;
	}
	found = &additions[nadditions];
	memset(found, 0, sizeof(Addition));
	found->tag = tag;
	found->function = DatumGetTextPCopy(PointerGetDatum(job->function));
	found->queue = DatumGetTextPCopy(PointerGetDatum(job->queue));
	nadditions++;
	MemoryContextSwitchTo(old);
	return found;
}

static void
add_time(int64 *counters, int buckets, int sum, int64 time)
{
	int			bucket = 0;

	time = Max(time, 0);
	while (bucket < lengthof(statistics_bounds) && time > statistics_bounds[bucket])
		bucket++;
	counters[buckets + bucket]++;
	counters[sum] += time;
}

/* A job has ended: its row of history is written */
void
statistics_job_ended(const Job *job, char state, TimestampTz started_at, TimestampTz finished_at)
{
	const int64 duration = job_duration(job, started_at, finished_at);
	Addition   *add;

	if (counter_table == NULL)
		return;
	add = addition(job);
	for (int i = 0; i < STATISTICS_STATES; i++)
	{
		if (states[i] == state)
			add->counters[COUNT_STATES + i]++;
	}
	if (state == STATE_DISCARDED && job->schedule_id != 0)
		add->counters[COUNT_SKIPPED]++;
	if (duration >= 0)
		add_time(add->counters, COUNT_DURATIONS, COUNT_DURATION_SUM, duration);
	if (started_at != NO_TIME && !TIMESTAMP_NOT_FINITE(job->run_at))
		add_time(add->counters, COUNT_DELAYS, COUNT_DELAY_SUM, started_at - job->run_at);
}

/* An attempt has not succeeded: its row is written */
void
statistics_attempt_ended(const Job *job, const char *outcome)
{
	if (counter_table == NULL)
		return;
	for (int i = 0; i < STATISTICS_OUTCOMES; i++)
	{
		if (strcmp(outcomes[i], outcome) == 0)
			addition(job)->counters[COUNT_OUTCOMES + i]++;
	}
}

/* The transaction has committed: nothing may be thrown */
static void
count_additions(void)
{
	for (int i = 0; i < nadditions; i++)
	{
		Addition   *add = &additions[i];
		CounterSlot *slot;

		LWLockAcquire(shared->statistics_lock, LW_SHARED);
		slot = find_slot(&add->tag);
		if (slot == NULL)
		{
			LWLockRelease(shared->statistics_lock);
			LWLockAcquire(shared->statistics_lock, LW_EXCLUSIVE);
			slot = find_or_add_slot(&add->tag, add->function, add->queue);
		}
		for (int j = 0; slot != NULL && j < STATISTICS_COUNTERS; j++)
		{
			if (add->counters[j] != 0)
				pg_atomic_fetch_add_u64(&slot->counters[j], add->counters[j]);
		}
		LWLockRelease(shared->statistics_lock);
	}
}

static void
statistics_xact_callback(XactEvent event)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT)
		count_additions();
	additions = NULL;
	nadditions = size = 0;
}

void
statistics_init(void)
{
	defer_on_xact_event(statistics_xact_callback);
}

/* ------------------------------------------------------------------------
 * Copies
 * ------------------------------------------------------------------------ */

/* False: nothing was counted */
static bool
copy_counters(CounterSlot *slot, StatisticsCounters *copy)
{
	bool		any = false;

	copy->owner = slot->tag.owner;
	memcpy(copy->function, slot->function, sizeof(copy->function));
	memcpy(copy->queue, slot->queue, sizeof(copy->queue));
	for (int i = 0; i < STATISTICS_COUNTERS; i++)
	{
		copy->counters[i] = (int64) pg_atomic_read_u64(&slot->counters[i]);
		any = any || copy->counters[i] != 0;
	}
	return any;
}

int
statistics_copy(Oid database, StatisticsCounters **copies)
{
	HASH_SEQ_STATUS scan;
	CounterSlot *slot;
	int			n = 0;

	*copies = NULL;
	if (counter_table == NULL)
		return 0;
	/* not under the lock */
	*copies = palloc_extended(mul_size(slot_count(), sizeof(StatisticsCounters)),
							  MCXT_ALLOC_HUGE);
	LWLockAcquire(shared->statistics_lock, LW_SHARED);
	hash_seq_init(&scan, counter_table);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->tag.database == database && n < slot_count() &&
			copy_counters(slot, &(*copies)[n]))
			n++;
	}
	LWLockRelease(shared->statistics_lock);
	return n;
}
