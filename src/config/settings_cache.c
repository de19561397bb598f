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
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/job_kind.h"
#include "base/roles.h"
#include "base/table_check.h"
#include "config/endpoint_settings.h"
#include "config/settings_cache.h"
#include "config/settings_changes.h"
#include "shmem/databases.h"

/* Columns of defer.function */
enum
{
	FN_ID = 1, FN_SIGNATURE, FN_QUEUE, FN_PRIORITY, FN_MAX_ATTEMPTS, FN_INITIAL_INTERVAL,
	FN_MULTIPLIER, FN_MAX_INTERVAL, FN_RANDOMIZATION, FN_MAX_DURATION, FN_DISCARD_AFTER,
	FN_CONCURRENCY, FN_AT_LIMIT, FN_PAUSED, FN_OWNER, FN_MISSING_SINCE, FN_GROUP_BY,
	FN_GROUP_CONCURRENCY, FN_GROUP_OVERRIDES, FN_RATE, FN_RATE_BURST, FN_GROUP_RATE,
	FN_GROUP_RATE_BURST, FN_GROUP_ORDER, FN_ON_GROUP_FAILURE
};

static const char *const function_columns[] = {
	"id", "signature", "queue", "priority", "max_attempts", "initial_interval",
	"multiplier", "max_interval", "randomization", "max_duration", "discard_after",
	"concurrency", "at_limit", "paused", "owner", "missing_since", "group_by",
	"group_concurrency", "group_overrides", "rate", "rate_burst", "group_rate",
	"group_rate_burst", "group_order", "on_group_failure"
};

StaticAssertDecl(lengthof(function_columns) == FN_ON_GROUP_FAILURE, "a name for each column");

/* Columns of defer.queue */
enum
{
	QU_ID = 1, QU_NAME, QU_OWNER, QU_GRANTED, QU_PRIORITY, QU_MAX_ATTEMPTS, QU_INITIAL_INTERVAL,
	QU_MULTIPLIER, QU_MAX_INTERVAL, QU_RANDOMIZATION, QU_MAX_DURATION, QU_DISCARD_AFTER,
	QU_CONCURRENCY, QU_PAUSED, QU_GROUP_BY, QU_GROUP_CONCURRENCY, QU_GROUP_OVERRIDES, QU_RATE,
	QU_RATE_BURST, QU_GROUP_RATE, QU_GROUP_RATE_BURST, QU_RESERVED, QU_GROUP_ORDER,
	QU_ON_GROUP_FAILURE
};

static const char *const queue_columns[] = {
	"id", "name", "owner", "granted", "priority", "max_attempts", "initial_interval",
	"multiplier", "max_interval", "randomization", "max_duration", "discard_after",
	"concurrency", "paused", "group_by", "group_concurrency", "group_overrides", "rate",
	"rate_burst", "group_rate", "group_rate_burst", "reserved", "group_order",
	"on_group_failure"
};

StaticAssertDecl(lengthof(queue_columns) == QU_ON_GROUP_FAILURE, "a name for each column");

/* Columns of defer.endpoint; those with secrets are left alone */
enum
{
	EN_NAME = 1, EN_OWNER, EN_ID, EN_CONCURRENCY, EN_RATE
};

static const char *const endpoint_columns[] = {"name", "owner", "id", "concurrency", "rate"};

StaticAssertDecl(lengthof(endpoint_columns) == EN_RATE, "a name for each column");

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

/*
 * In processes of ours: a commit that changes limits and wakes them does so before the server
 * tells them of the change
 */
static inline void
hear_limit_changes(void)
{
	uint32		changes;

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
 * Reading rows
 * ------------------------------------------------------------------------ */

typedef struct Row
{
	HeapTuple	tuple;
	TupleDesc	desc;
} Row;

static Datum
column(const Row *row, AttrNumber number, bool *isnull)
{
	return heap_getattr(row->tuple, number, row->desc, isnull);
}

static int32
int_column(const Row *row, AttrNumber number, int32 otherwise)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? otherwise : DatumGetInt32(value);
}

static double
double_column(const Row *row, AttrNumber number)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? -1 : DatumGetFloat8(value);
}

/* Microseconds, -1 for NULL */
static int64
time_column(const Row *row, AttrNumber number, const char *name)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? -1 : setting_interval(name, DatumGetIntervalP(value));
}

static bool
bool_column(const Row *row, AttrNumber number)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return !isnull && DatumGetBool(value);
}

static char *
text_column(const Row *row, AttrNumber number)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static char *
rate_column(const Row *row, AttrNumber number)
{
	char	   *rate = text_column(row, number);

	return rate == NULL || strcmp(rate, "none") == 0 ? NULL : rate;
}

/* Two columns say it: group_order, and on_group_failure behind it */
static GroupOrder
order_columns(const Row *row, AttrNumber first)
{
	char	   *order = text_column(row, first);
	char	   *failure = text_column(row, first + 1);

	if (order == NULL || strcmp(order, "strict") != 0)
		return GROUP_ORDER_NONE;
	return failure != NULL && strcmp(failure, "hold") == 0 ? GROUP_ORDER_HOLD : GROUP_ORDER_SKIP;
}

static void
policy_unset(JobPolicy *policy)
{
	policy->max_attempts = -1;
	policy->initial_interval = policy->max_interval = policy->max_duration = -1;
	policy->multiplier = policy->randomization = -1;
}

/* The policy's columns stand side by side in both tables, from max_attempts on */
static void
read_policy(const Row *row, AttrNumber first, JobPolicy *policy)
{
	policy->max_attempts = int_column(row, first, -1);
	policy->initial_interval = time_column(row, first + 1, "initial_interval");
	policy->multiplier = double_column(row, first + 2);
	policy->max_interval = time_column(row, first + 3, "max_interval");
	policy->randomization = double_column(row, first + 4);
	policy->max_duration = time_column(row, first + 5, "max_duration");
}

static void
read_function(const Row *row, FunctionSettings *settings)
{
	bool		isnull;
	char	   *at_limit = text_column(row, FN_AT_LIMIT);

	settings->found = true;
	settings->id = int_column(row, FN_ID, 0);
	settings->owner = DatumGetObjectId(column(row, FN_OWNER, &isnull));
	settings->concurrency = int_column(row, FN_CONCURRENCY, -1);
	settings->group_concurrency = int_column(row, FN_GROUP_CONCURRENCY, -1);
	settings->group_overrides = bool_column(row, FN_GROUP_OVERRIDES);
	settings->rate = rate_column(row, FN_RATE);
	settings->group_rate = rate_column(row, FN_GROUP_RATE);
	settings->group_order = order_columns(row, FN_GROUP_ORDER);
	settings->cancel_at_limit = at_limit != NULL && strcmp(at_limit, "cancel") == 0;
	settings->paused = bool_column(row, FN_PAUSED);
	settings->priority = int_column(row, FN_PRIORITY, 0);
	(void) column(row, FN_PRIORITY, &isnull);
	settings->has_priority = !isnull;
	settings->queue = text_column(row, FN_QUEUE);
	settings->group_by = text_column(row, FN_GROUP_BY);
	settings->discard_after = time_column(row, FN_DISCARD_AFTER, "discard_after");
	read_policy(row, FN_MAX_ATTEMPTS, &settings->policy);
}

static void
read_queue(const Row *row, QueueSettings *settings)
{
	bool		isnull;
	Datum		granted;

	settings->found = true;
	settings->id = int_column(row, QU_ID, 0);
	settings->owner = DatumGetObjectId(column(row, QU_OWNER, &isnull));
	granted = column(row, QU_GRANTED, &isnull);
	if (!isnull)
		settings->granted = roles_of_array(granted, &settings->ngranted);
	settings->concurrency = int_column(row, QU_CONCURRENCY, -1);
	settings->group_concurrency = int_column(row, QU_GROUP_CONCURRENCY, -1);
	settings->group_overrides = bool_column(row, QU_GROUP_OVERRIDES);
	settings->rate = rate_column(row, QU_RATE);
	settings->group_rate = rate_column(row, QU_GROUP_RATE);
	settings->group_order = order_columns(row, QU_GROUP_ORDER);
	settings->reserved = int_column(row, QU_RESERVED, 0);
	settings->paused = bool_column(row, QU_PAUSED);
	settings->priority = int_column(row, QU_PRIORITY, 0);
	(void) column(row, QU_PRIORITY, &isnull);
	settings->has_priority = !isnull;
	settings->discard_after = time_column(row, QU_DISCARD_AFTER, "discard_after");
	settings->group_by = text_column(row, QU_GROUP_BY);
	read_policy(row, QU_MAX_ATTEMPTS, &settings->policy);
}

static void
read_endpoint(const Row *row, EndpointSettings *settings)
{
	bool		isnull;

	settings->id = int_column(row, EN_ID, 0);
	settings->owner = DatumGetObjectId(column(row, EN_OWNER, &isnull));
	settings->concurrency = int_column(row, EN_CONCURRENCY, -1);
	settings->rate = rate_column(row, EN_RATE);
}

static Relation
open_table(char kind, AttrNumber *name)
{
	Relation	rel = table_open(kind == 'f' ? function_table : kind == 'q' ? queue_table :
								 endpoint_table, AccessShareLock);

	*name = kind == 'f' ? FN_SIGNATURE : kind == 'q' ? QU_NAME : EN_NAME;
	if (kind == 'f')
		table_check_columns(rel, function_columns, lengthof(function_columns));
	else if (kind == 'q')
		table_check_columns(rel, queue_columns, lengthof(queue_columns));
	else
		table_check_columns(rel, endpoint_columns, lengthof(endpoint_columns));
	return rel;
}

static void
read_settings(CachedSettings *entry)
{
	AttrNumber	name;
	Relation	rel = open_table(entry->kind, &name);
	Snapshot	snapshot;
	SysScanDesc scan;
	ScanKeyData key;
	Row			row;

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
			read_function(&row, &entry->function);
		else if (entry->kind == 'q')
			read_queue(&row, &entry->queue);
		else
			read_endpoint(&row, &entry->endpoint);
		MemoryContextSwitchTo(context);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
}

/* ------------------------------------------------------------------------
 * Look-ups
 * ------------------------------------------------------------------------ */

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
