/*
 * alert_rules.c
 *		The rules of alerts, as each process keeps them.
 *
 * A process that ends jobs keeps the rules, and the functions that are failing for
 * them, until defer.alert is announced as changed.  They are grouped by owner, and
 * the owners who may see a role's jobs are kept for each role: the end of a job
 * costs one look-up, however many rules other roles have.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/callbacks.h"
#include "base/guc.h"
#include "base/job_state.h"
#include "base/table_check.h"
#include "table/alert_event.h"
#include "table/alert_rules.h"
#include "table/direct_insert.h"

/* Columns of defer.alert that are read here */
enum
{
	AL_ID = 1, AL_NAME, AL_OWNER, AL_ENDPOINT, AL_RECIPIENTS, AL_FUNCTION, AL_STATES,
	AL_GROUP_WINDOW, AL_RECOVERED, AL_SHOW_ARGS, AL_SCHEDULES, AL_RETRIES
};

static const char *const rule_columns[] = {
	[AL_ID - 1] = "id",
	[AL_NAME - 1] = "name",
	[AL_OWNER - 1] = "owner",
	[AL_ENDPOINT - 1] = "endpoint",
	[AL_RECIPIENTS - 1] = "recipients",
	[AL_FUNCTION - 1] = "function",
	[AL_STATES - 1] = "states",
	[AL_GROUP_WINDOW - 1] = "group_window",
	[AL_RECOVERED - 1] = "recovered",
	[AL_SHOW_ARGS - 1] = "show_args",
	[AL_SCHEDULES - 1] = "schedules",
	[AL_RETRIES - 1] = "retries",
};

/* Of defer.alert_failing */
enum
{
	AF_ALERT_ID = 1, AF_SUBJECT, AF_SINCE
};

static const char *const failing_columns[] = {
	[AF_ALERT_ID - 1] = "alert_id",
	[AF_SUBJECT - 1] = "subject",
	[AF_SINCE - 1] = "since",
};

/* The owners who may see the jobs of a role */
typedef struct Watchers
{
	Oid			role;			/* hash key */
	List	   *owners;			/* of AlertOwner */
} Watchers;

/* All of this is in rules_context */
static MemoryContext rules_context = NULL;
static HTAB *owners = NULL;		/* AlertOwner by its OID */
static HTAB *rules = NULL;		/* AlertRule by its id */
static HTAB *failing = NULL;	/* Failing by rule and function */
static HTAB *watchers = NULL;	/* Watchers by role */
static int	wanted_states = 0;	/* bits of the states that any rule is about */

static unsigned int rule_changes = 1;	/* grows with each announced change */
static unsigned int rules_read_at = 0;	/* rule_changes when the rules were
										 * read */
static Oid	rule_table = InvalidOid;

/* What the transaction under way has put into these tables */
static bool reload_on_abort = false;
static bool reload_at_end = false;

int
alert_state_bit(char state)
{
	switch (state)
	{
		case STATE_SUCCEEDED:
			return 1;
		case STATE_FAILED:
			return 2;
		case STATE_CANCELLED:
			return 4;
		case STATE_DISCARDED:
			return 8;
		case EVENT_RETRIED:
			return 16;
	}
	return 0;
}

/* Return the bit of a state's name; 0: there is no such final state */
static int
named_state_bit(const char *name)
{
	for (int i = 0; i < JOB_ENDS; i++)
	{
		if (strcmp(name, job_end_name(i)) == 0)
			return alert_state_bit(JOB_END_LETTERS[i]);
	}
	return 0;
}

int
alert_states_of_array(Datum array)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;
	int			bits = 0;

	args_text_array(array, &names, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		int			bit = nulls[i] ? 0 : named_state_bit(TextDatumGetCString(names[i]));

		if (bit == 0)
			return -1;
		bits |= bit;
	}
	return bits;
}

/* ------------------------------------------------------------------------
 * Invalidation
 * ------------------------------------------------------------------------ */

static void
forget_rules(Oid relation)
{
	if (relation == InvalidOid || relation == rule_table)
		rule_changes++;
}

/* Memberships have changed, or roles */
static void
forget_watchers(int cache, uint32 hash)
{
	rule_changes++;
}

static void
alert_xact_callback(XactEvent event)
{
	if (event != XACT_EVENT_ABORT && event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE)
		return;
	if (reload_at_end || (reload_on_abort && event == XACT_EVENT_ABORT))
		rule_changes++;
	reload_on_abort = reload_at_end = false;
}

void
alert_rules_reload_on_abort(void)
{
	reload_on_abort = true;
}

void
alert_rules_changed(void)
{
	CacheInvalidateRelcacheByRelid(catalog_oid(CAT_ALERT));
	rule_changes++;
}

/* ------------------------------------------------------------------------
 * Failing functions
 * ------------------------------------------------------------------------ */

static uint32
failing_hash(const void *key, Size size)
{
	const FailingKey *k = key;

	return hash_combine(murmurhash32((uint32) k->alert_id),
						hash_bytes((const unsigned char *) k->function, strlen(k->function)));
}

static int
failing_match(const void *a, const void *b, Size size)
{
	const FailingKey *x = a;
	const FailingKey *y = b;

	return x->alert_id == y->alert_id ? strcmp(x->function, y->function) : 1;
}

Failing *
alert_rule_failing(const AlertRule *rule, const char *function)
{
	FailingKey	key = {rule->id, function};

	return hash_search(failing, &key, HASH_FIND, NULL);
}

/* Add an entry, unless it is there */
static void
enter_failing(AlertRule *rule, const char *function)
{
	FailingKey	key = {rule->id, function};
	Failing    *entry;

	if (alert_rule_failing(rule, function) != NULL)
		return;
	key.function = MemoryContextStrdup(rules_context, function);
	entry = hash_search(failing, &key, HASH_ENTER, NULL);
	entry->recorded = false;
	entry->failures = 0;
	rule->group->nfailing++;
	rule->group->wanted |= alert_state_bit(STATE_SUCCEEDED);
	wanted_states |= alert_state_bit(STATE_SUCCEEDED);
}

void
alert_rule_add_failing(AlertRule *rule, const char *function)
{
	const Oid	owner = rule->group->owner;
	Datum		values[AF_SINCE];
	bool		nulls[AF_SINCE] = {0};

	if (rule->group->nfailing >= defer_max_objects_per_role && !superuser_arg(owner))
		return;
	values[AF_ALERT_ID - 1] = Int32GetDatum(rule->id);
	values[AF_SUBJECT - 1] = CStringGetTextDatum(function);
	values[AF_SINCE - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	direct_insert(catalog_oid(CAT_ALERT_FAILING), failing_columns, AF_SINCE, values, nulls);
	enter_failing(rule, function);

	/*
	 * A subtransaction may roll it back: the rows decide afterwards.  Until
	 * then this process has it, and need not read all rules again.
	 */
	reload_at_end = true;
	CacheInvalidateRelcacheByRelid(catalog_oid(CAT_ALERT));
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

static HTAB *
create_table(const char *name, Size key, Size entry)
{
	HASHCTL		control = {0};

	control.keysize = key;
	control.entrysize = entry;
	control.hcxt = rules_context;
	return hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Begin with no rules, in an empty context */
static void
reset_rules(void)
{
	HASHCTL		control = {0};

	if (rules_context == NULL)
		rules_context = AllocSetContextCreate(CacheMemoryContext, "defer alerts",
											  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(rules_context);
	wanted_states = 0;
	owners = create_table("defer alerts: owners", sizeof(Oid), sizeof(AlertOwner));
	rules = create_table("defer alerts: rules", sizeof(int32), sizeof(AlertRule));
	watchers = create_table("defer alerts: roles", sizeof(Oid), sizeof(Watchers));
	control.keysize = sizeof(FailingKey);
	control.entrysize = sizeof(Failing);
	control.hash = failing_hash;
	control.match = failing_match;
	control.hcxt = rules_context;
	failing = hash_create("defer alerts: failing functions", 64, &control,
						  HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

/* Called in rules_context */
static void
add_rule(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	bool		found;
	Datum		value;
	int32		id = DatumGetInt32(heap_getattr(tuple, AL_ID, desc, &isnull));
	Oid			owner = DatumGetObjectId(heap_getattr(tuple, AL_OWNER, desc, &isnull));
	AlertOwner *group = hash_search(owners, &owner, HASH_ENTER, &found);
	AlertRule  *rule;

	if (!found)
	{
		group->wanted = group->nfailing = 0;
		group->rules = NIL;
	}
	rule = hash_search(rules, &id, HASH_ENTER, &found);
	if (found)
		return;
	rule->group = group;
	value = heap_getattr(tuple, AL_FUNCTION, desc, &isnull);
	rule->function = isnull ? NULL : TextDatumGetCString(value);
	rule->states = Max(alert_states_of_array(heap_getattr(tuple, AL_STATES, desc, &isnull)), 0);
	rule->recovered = DatumGetBool(heap_getattr(tuple, AL_RECOVERED, desc, &isnull));
	rule->schedules = DatumGetBool(heap_getattr(tuple, AL_SCHEDULES, desc, &isnull));
	value = heap_getattr(tuple, AL_RETRIES, desc, &isnull);
	rule->retries = isnull ? 0 : DatumGetInt32(value);
	group->rules = lappend(group->rules, rule);
	group->wanted |= rule->states;
	if (rule->retries > 0)
		group->wanted |= alert_state_bit(EVENT_RETRIED);
	if (rule->schedules)
		group->wanted |= alert_state_bit(STATE_FAILED) | alert_state_bit(STATE_CANCELLED) |
			alert_state_bit(STATE_DISCARDED);
	wanted_states |= group->wanted;
}

static void
add_failing(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	int32		id = DatumGetInt32(heap_getattr(tuple, AF_ALERT_ID, desc, &isnull));
	AlertRule  *rule = hash_search(rules, &id, HASH_FIND, NULL);

	if (rule != NULL && rule->recovered)
		enter_failing(rule,
					  TextDatumGetCString(heap_getattr(tuple, AF_SUBJECT, desc, &isnull)));
}

/* Call a function with each row of a table, in rules_context */
static void
read_table(Oid table, const char *const *columns, int ncolumns, Snapshot snapshot,
		   void (*add) (HeapTuple tuple, TupleDesc desc))
{
	Relation	rel = table_open(table, AccessShareLock);
	SysScanDesc scan;
	HeapTuple	tuple;

	table_check_columns(rel, columns, ncolumns);
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(rules_context);

		add(tuple, RelationGetDescr(rel));
		MemoryContextSwitchTo(context);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

int
alert_rules_load(void)
{
	const unsigned int changes = rule_changes;
	Relation	rel;
	Snapshot	snapshot;

	if (rules_read_at == changes)
		return wanted_states;
	defer_on_relcache_change(forget_rules);
	defer_on_syscache_change(AUTHMEMROLEMEM, forget_watchers);
	defer_on_syscache_change(AUTHOID, forget_watchers);
	defer_on_xact_event(alert_xact_callback);
	reset_rules();
	rule_table = catalog_oid(CAT_ALERT);

	/* after the snapshot is taken no change goes unnoticed */
	rel = table_open(rule_table, AccessShareLock);
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	read_table(rule_table, rule_columns, lengthof(rule_columns), snapshot, add_rule);
	if (hash_get_num_entries(rules) > 0)
		read_table(catalog_oid(CAT_ALERT_FAILING), failing_columns, lengthof(failing_columns),
				   snapshot, add_failing);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);

	/* an error leaves them to be read again, and so does a change meanwhile */
	rules_read_at = changes;
	return wanted_states;
}

List *
alert_owners_who_see(Oid role)
{
	Watchers   *entry = hash_search(watchers, &role, HASH_FIND, NULL);
	List	   *list = NIL;
	MemoryContext context;
	HASH_SEQ_STATUS scan;
	AlertOwner *group;

	if (entry != NULL)
		return entry->owners;
	context = MemoryContextSwitchTo(rules_context);
	hash_seq_init(&scan, owners);
	while ((group = hash_seq_search(&scan)) != NULL)
	{
		if (has_privs_of_role(group->owner, role))
			list = lappend(list, group);
	}
	entry = hash_search(watchers, &role, HASH_ENTER, NULL);
	entry->owners = list;
	MemoryContextSwitchTo(context);
	return list;
}
