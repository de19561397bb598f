/*
 * settings_cache.c
 *		The settings of functions, queues and endpoints, as those see them who enqueue
 *		and run jobs: read once, kept until the tables are announced as changed.
 *
 * What a look-up returns stays good during the next one, even if the cache has
 * been thrown away in between, and not longer: copy what you keep.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/job_kind.h"
#include "config/settings_cache.h"
#include "config/settings_changes.h"
#include "config/settings_row.h"
#include "shmem/caps.h"
#include "shmem/databases.h"

/* By the hash of kind and name; of two names with one hash the last is kept */
typedef struct CachedSettings
{
	uint64		hash;			/* key */
	char	   *name;
	char		kind;			/* 'f', 'q' or 'e' */
	FunctionSettings function;
	QueueSettings queue;
	EndpointSettings endpoint;
} CachedSettings;

static HTAB *cache = NULL;
static MemoryContext cache_context = NULL;
static MemoryContext retired_context = NULL;
static bool stale = true;
static uint64 generation = 1;
static bool changed_here = false;	/* by this transaction */
static uint32 limit_changes = 0;	/* that were heard of */
static uint32 caps_heard = 0;	/* caps_generation(), likewise */
static Oid	function_table = InvalidOid;
static Oid	queue_table = InvalidOid;
static Oid	endpoint_table = InvalidOid;

/* ------------------------------------------------------------------------
 * The cache
 * ------------------------------------------------------------------------ */

static void
forget_settings(Oid relation)
{
	if (relation == InvalidOid || relation == function_table || relation == queue_table ||
		relation == endpoint_table)
	{
		stale = true;
		generation++;
	}
}

/*
 * Forget the settings that this transaction has changed and read.  They are
 * rolled back, or prepared and may be.  No other process hears of it.
 */
static void
forget_rolled_back(void)
{
	if (!changed_here)
		return;
	stale = true;
	generation++;
}

static void
settings_xact_callback(XactEvent event)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		forget_rolled_back();
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		changed_here = false;
}

static void
settings_subxact_callback(SubXactEvent event)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_rolled_back();
}

/* A session that has begun to count jobs has seen a max_queued that others may not know */
static inline void
hear_caps(void)
{
	uint32		caps = caps_generation();

	if (caps == caps_heard)
		return;
	caps_heard = caps;
	stale = true;
	generation++;
}

/*
 * In processes of ours: a commit that changes limits and wakes them does so before the server
 * tells them of the change
 */
static inline void
hear_limit_changes(void)
{
	uint32		changes;

	hear_caps();

	if (my_database == NULL)
		return;
	changes = pg_atomic_read_u32(&my_database->limit_changes);
	if (changes == limit_changes)
		return;
	limit_changes = changes;
	stale = true;
	generation++;
}

static void
prepare_cache(void)
{
	HASHCTL		control = {0};

	hear_limit_changes();

	defer_on_xact_event(settings_xact_callback);
	defer_on_subxact_event(settings_subxact_callback);
	defer_on_relcache_change(forget_settings);
	function_table = catalog_oid(CAT_FUNCTION);
	queue_table = catalog_oid(CAT_QUEUE);
	endpoint_table = catalog_oid(CAT_ENDPOINT);
	if (cache != NULL && !stale)
		return;
	if (retired_context != NULL)
		MemoryContextDelete(retired_context);
	retired_context = cache_context;
	cache = NULL;
	cache_context = AllocSetContextCreate(CacheMemoryContext, "defer settings",
										  ALLOCSET_SMALL_SIZES);
	stale = false;
	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(CachedSettings);
	control.hcxt = cache_context;
	cache = hash_create("defer settings", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
settings_watch(void)
{
	prepare_cache();
}

uint64
settings_generation(void)
{
	hear_limit_changes();
	return generation;
}

void
settings_invalidate(void)
{
	CacheInvalidateRelcacheByRelid(catalog_oid(CAT_FUNCTION));
	CacheInvalidateRelcacheByRelid(catalog_oid(CAT_QUEUE));
	prepare_cache();			/* registers what a rollback calls */
	changed_here = true;
	stale = true;
	generation++;
}

/* ------------------------------------------------------------------------
 * Look-ups
 * ------------------------------------------------------------------------ */

static void
read_settings(CachedSettings *entry)
{
	AttrNumber	name;
	Relation	rel = settings_open(entry->kind, &name);
	Snapshot	snapshot;
	SysScanDesc scan;
	ScanKeyData key;
	SettingsRow row;

	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		CommandCounterIncrement();	/* what this transaction has changed
									 * counts */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyEntryInitialize(&key, 0, name, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ, CStringGetTextDatum(entry->name));
	scan = systable_beginscan(rel, compat_primary_key_index(rel), true, snapshot, 1, &key);
	row.tuple = systable_getnext(scan);
	row.desc = RelationGetDescr(rel);
	if (HeapTupleIsValid(row.tuple))
	{
		MemoryContext context = MemoryContextSwitchTo(cache_context);

		if (entry->kind == 'f')
			settings_read_function(&row, &entry->function);
		else if (entry->kind == 'q')
			settings_read_queue(&row, &entry->queue);
		else
			settings_read_endpoint(&row, &entry->endpoint);
		MemoryContextSwitchTo(context);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
}

static void
policy_unset(JobPolicy *policy)
{
	policy->max_attempts = -1;
	policy->initial_interval = policy->max_interval = policy->max_duration = -1;
	policy->multiplier = policy->randomization = -1;
}

static const CachedSettings *
look_up(char kind, const char *name)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) name, strlen(name), kind);
	CachedSettings *entry;
	CachedSettings fresh;

	prepare_cache();
	entry = hash_search(cache, &hash, HASH_FIND, NULL);
	if (entry != NULL && entry->kind == kind && strcmp(entry->name, name) == 0)
		return entry;

	/* read first: it may fail, or announce changes itself */
	memset(&fresh, 0, sizeof(fresh));
	fresh.hash = hash;
	fresh.kind = kind;
	fresh.name = MemoryContextStrdup(cache_context, name);
	fresh.function.concurrency = fresh.queue.concurrency = fresh.endpoint.concurrency = -1;
	fresh.function.group_concurrency = fresh.queue.group_concurrency = -1;
	fresh.function.discard_after = fresh.queue.discard_after = -1;
	policy_unset(&fresh.function.policy);
	policy_unset(&fresh.queue.policy);
	fresh.queue.found = kind == 'q' && strcmp(name, DEFAULT_QUEUE) == 0;
	read_settings(&fresh);
	entry = hash_search(cache, &hash, HASH_ENTER, NULL);
	*entry = fresh;
	return entry;
}

const FunctionSettings *
function_settings(const char *signature)
{
	return &look_up('f', signature)->function;
}

const QueueSettings *
queue_settings(const char *name)
{
	return &look_up('q', name)->queue;
}

const EndpointSettings *
endpoint_settings(const char *name)
{
	return &look_up('e', name)->endpoint;
}
