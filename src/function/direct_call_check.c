/*
 * direct_call_check.c
 *		A scheduled function is run by its schedule, not called directly.
 *
 * The server asks this hook about every function that is not built in, each
 * time one is looked up to be called.  For functions without a schedule the
 * answer must cost nothing: a set in shared memory (a Bloom filter for each
 * database, see shmem/scheduled_set.h) says "no" first.  A function that it does
 * not rule out is looked up in defer.schedule, and remembered until its row in
 * pg_proc is announced as changed.  A session that changes a schedule announces
 * that of the schedule's function, and so has plans made anew, too.
 * The table is read only if it is the extension's own: a session may be in a
 * database from which the extension has been dropped, and where another role
 * has made a schema and a table of these names.
 *
 * A schedule binds every role if it belongs to the function's owner (or to a role
 * with the owner's rights, such as a superuser), and otherwise only the role that
 * made the schedule: no role can keep others from calling a function by making a
 * schedule of it.  For the same reason a schedule costs only the roles that it
 * binds: for the others the planner may inline the function, and calls do not go
 * through the hook.
 *
 * Hooks run in all kinds of places, also while the extension is being dropped:
 * nothing here may raise an error, but for the refusal itself.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/callbacks.h"
#include "base/compat.h"
#include "base/roles.h"
#include "shmem/preload.h"
#include "shmem/scheduled_set.h"
#include "shmem/xact_notify.h"
#include "function/direct_call_check.h"
#include "function/function.h"

/* Columns of defer.schedule that are read here by name, as they may have moved */
typedef struct ScheduleColumns
{
	AttrNumber	name;
	AttrNumber	owner;
	AttrNumber	allow_direct;
	AttrNumber	function;
	AttrNumber	command;
} ScheduleColumns;

/* A schedule that does not allow direct calls */
typedef struct BindingSchedule
{
	struct BindingSchedule *next;
	Oid			owner;
	char	   *name;
} BindingSchedule;

typedef struct FunctionSchedules
{
	Oid			function;		/* hash key */
	Oid			owner;			/* of the function */
	BindingSchedule *schedules; /* NULL: none */
} FunctionSchedules;

bool		direct_call_in_worker = false;

/* This transaction has changed schedules: the shared set does not know yet */
static bool changed_here = false;

static HTAB *entries = NULL;
static MemoryContext entries_context = NULL;
static bool stale = false;
static bool looking = false;

/* Schedules are read so often at most, if each time something is announced meanwhile */
#define READ_TRIES	3

static needs_fmgr_hook_type prev_needs_fmgr_hook = NULL;
static fmgr_hook_type prev_fmgr_hook = NULL;

/* ------------------------------------------------------------------------
 * Schedules of a function
 * ------------------------------------------------------------------------ */

/* Mark the entries for the next look-up to discard: they may be in use */
static void
function_changed(int cache, uint32 hash)
{
	stale = true;
}

static void
prepare_entries(void)
{
	HASHCTL		control = {0};

	if (entries != NULL && !stale)
		return;
	defer_on_syscache_change(PROCOID, function_changed);
	entries = NULL;
	if (entries_context == NULL)
		entries_context = AllocSetContextCreate(CacheMemoryContext, "defer direct-call check",
												ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(entries_context);
	stale = false;
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(FunctionSchedules);
	control.hcxt = entries_context;
	entries = hash_create("defer direct-call check", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Return the signature of a function without parameters; NULL: it has some */
static char *
signature_of(Oid function, Oid *owner)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	char	   *signature = NULL;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	*owner = form->proowner;
	if (form->pronargs == 0)
		signature = function_signature(form);
	ReleaseSysCache(tuple);
	return signature;
}

/* Return the number of a column of that name and type; InvalidAttrNumber: there is none */
static AttrNumber
find_column(Oid relation, const char *name, Oid type)
{
	AttrNumber	number = get_attnum(relation, name);

	return number > 0 && get_atttype(relation, number) == type ? number : InvalidAttrNumber;
}

static bool
find_columns(Oid relation, ScheduleColumns *columns)
{
	columns->name = find_column(relation, "name", TEXTOID);
	columns->owner = find_column(relation, "owner", REGROLEOID);
	columns->allow_direct = find_column(relation, "allow_direct", BOOLOID);
	columns->function = find_column(relation, "function", TEXTOID);
	columns->command = find_column(relation, "command", TEXTOID);
	return columns->name > 0 && columns->owner > 0 && columns->allow_direct > 0 &&
		columns->function > 0 && columns->command > 0;
}

/* Find the extension's table of schedules; InvalidOid: there is none in this database */
static Oid
find_table(Oid schema)
{
	Oid			extension = get_extension_oid("defer", true);
	Oid			relation = OidIsValid(extension) ? get_relname_relid("schedule", schema) : InvalidOid;

	if (!OidIsValid(relation) || get_rel_relkind(relation) != RELKIND_RELATION ||
		getExtensionOfObject(RelationRelationId, relation) != extension)
		return InvalidOid;
	return relation;
}

/* Find the table's index on the column "function"; InvalidOid: there is none */
static Oid
find_index(Oid schema, Oid table)
{
	Oid			index = get_relname_relid("schedule_function_idx", schema);

	return OidIsValid(index) && get_rel_relkind(index) == RELKIND_INDEX &&
		IndexGetRelation(index, true) == table ? index : InvalidOid;
}

/* Take a schedule into the list, one of each owner, unless it allows direct calls */
static BindingSchedule *
add_schedule(BindingSchedule *list, HeapTuple tuple, TupleDesc desc, const ScheduleColumns *columns)
{
	BindingSchedule *schedule;
	Oid			owner;
	bool		isnull;

	if (DatumGetBool(heap_getattr(tuple, columns->allow_direct, desc, &isnull)) ||
		!heap_attisnull(tuple, columns->command, desc))
		return list;
	owner = DatumGetObjectId(heap_getattr(tuple, columns->owner, desc, &isnull));
	for (BindingSchedule *s = list; s != NULL; s = s->next)
	{
		if (s->owner == owner)
			return list;
	}
	schedule = palloc(sizeof(BindingSchedule));
	schedule->next = list;
	schedule->owner = owner;
	schedule->name = TextDatumGetCString(heap_getattr(tuple, columns->name, desc, &isnull));
	return schedule;
}

/* Read the schedules of a function, by index if there is one */
static BindingSchedule *
read_schedules(const char *signature)
{
	Oid			schema = get_namespace_oid("defer", true);
	Oid			table_oid = OidIsValid(schema) ? find_table(schema) : InvalidOid;
	Oid			index;
	ScheduleColumns columns;
	BindingSchedule *list = NULL;
	Relation	table;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	MemoryContext context;

	if (!OidIsValid(table_oid) || !find_columns(table_oid, &columns))
		return NULL;
	index = find_index(schema, table_oid);
	table = table_open(table_oid, AccessShareLock);
	ScanKeyEntryInitialize(&key, 0, columns.function, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ, CStringGetTextDatum(signature));
	scan = systable_beginscan(table, index, OidIsValid(index), NULL, 1, &key);
	context = MemoryContextSwitchTo(entries_context);
	while ((tuple = systable_getnext(scan)) != NULL)
		list = add_schedule(list, tuple, RelationGetDescr(table), &columns);
	MemoryContextSwitchTo(context);
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return list;
}

/*
 * Return the schedules of a function, from the cache or the table.  NULL: the table
 * cannot be read here and now.
 */
static FunctionSchedules *
look_up(Oid function)
{
	FunctionSchedules *entry;
	bool		found;

	if (looking || !IsTransactionState())
		return NULL;
	prepare_entries();
	entry = hash_search(entries, &function, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;

	looking = true;
	PG_TRY();
	{
		BindingSchedule *schedules = NULL;
		Oid			owner = InvalidOid;

		/*
		 * reading may announce changes: read again until it does not; if it
		 * always does, the next look-up will
		 */
		for (int i = 0; i < READ_TRIES && (i == 0 || stale); i++)
		{
			char	   *signature;

			prepare_entries();
			schedules = NULL;
			owner = InvalidOid;
			signature = signature_of(function, &owner);
			if (signature != NULL)
				schedules = read_schedules(signature);
		}
		entry = hash_search(entries, &function, HASH_ENTER, &found);
		entry->owner = owner;
		entry->schedules = schedules;
	}
	PG_FINALLY();
	{
		looking = false;
	}
	PG_END_TRY();
	return entry;
}

/* Return the schedule that binds the current user; NULL: none */
static const BindingSchedule *
binding_schedule(Oid function)
{
	FunctionSchedules *entry = look_up(function);

	if (entry == NULL)
		return NULL;
	for (BindingSchedule *s = entry->schedules; s != NULL; s = s->next)
	{
		if (s->owner == GetUserId() || has_privs_of_role(s->owner, entry->owner))
			return s;
	}
	return NULL;
}

/* ------------------------------------------------------------------------
 * The hooks
 * ------------------------------------------------------------------------ */

/* Check whether this is a client's session, or a parallel worker of one */
static bool
in_client_session(void)
{
	if (direct_call_in_worker || MyProc == NULL)
		return false;
	if (IsParallelWorker() && MyProc->lockGroupLeader != NULL)
		return compat_is_client_process(MyProc->lockGroupLeader);
	return MyBackendType == B_BACKEND;
}

static inline bool
worth_looking(Oid function)
{
	return (changed_here || scheduled_set_may_have(function)) && in_client_session();
}

/*
 * For those whom a schedule binds only: what needs the hook is neither inlined
 * nor called directly.
 */
static bool
direct_call_needs_fmgr_hook(Oid function)
{
	if (prev_needs_fmgr_hook != NULL && prev_needs_fmgr_hook(function))
		return true;
	return worth_looking(function) && binding_schedule(function) != NULL;
}

static void
refuse(Oid function, const BindingSchedule *schedule)
{
	Oid			owner;
	char	   *name = pstrdup(schedule->name);
	bool		may = role_may_manage(schedule->owner);
	char	   *signature = signature_of(function, &owner);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("function %s is scheduled and cannot be called directly",
					signature != NULL ? signature : get_func_name(function)),
			 may ?
			 errhint("To run it now use defer.trigger(%s); defer.alter_cron(%s, allow_direct => true) allows direct calls.",
					 quote_literal_cstr(name), quote_literal_cstr(name)) :
			 errhint("The owner of its schedule can run it with defer.trigger(), and can allow direct calls.")));
}

static void
direct_call_fmgr_hook(FmgrHookEventType event, FmgrInfo *flinfo, Datum *private)
{
	if (event == FHET_START && worth_looking(flinfo->fn_oid))
	{
		const BindingSchedule *schedule = binding_schedule(flinfo->fn_oid);

		if (schedule != NULL)
			refuse(flinfo->fn_oid, schedule);
	}
	if (prev_fmgr_hook != NULL)
		prev_fmgr_hook(event, flinfo, private);
}

/*
 * A change that was announced and then rolled back is not announced to other
 * backends, and we may have looked meanwhile.  After a commit the shared set
 * has what was added, and so has the scheduler's next look into the tables
 * after COMMIT PREPARED.
 */
static void
direct_call_xact_callback(XactEvent event)
{
	if (!changed_here)
		return;
	if (event == XACT_EVENT_ABORT)
		stale = true;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		changed_here = false;
}

static void
direct_call_subxact_callback(SubXactEvent event)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && changed_here)
		stale = true;
}

void
direct_call_check_init(void)
{
	defer_on_xact_event(direct_call_xact_callback);
	defer_on_subxact_event(direct_call_subxact_callback);
	prev_needs_fmgr_hook = needs_fmgr_hook;
	needs_fmgr_hook = direct_call_needs_fmgr_hook;
	prev_fmgr_hook = fmgr_hook;
	fmgr_hook = direct_call_fmgr_hook;
}

/* ------------------------------------------------------------------------
 * For others
 * ------------------------------------------------------------------------ */

/* Without shared memory there is no set, and the table is asked */
bool
direct_call_is_scheduled(Oid function)
{
	if (!changed_here && shmem_is_present() && !scheduled_set_may_have(function))
		return false;
	return binding_schedule(function) != NULL;
}

void
direct_call_changed(Oid function)
{
	Relation	proc = table_open(ProcedureRelationId, AccessShareLock);
	HeapTuple	tuple = SearchSysCacheCopy1(PROCOID, ObjectIdGetDatum(function));

	changed_here = true;
	if (HeapTupleIsValid(tuple))
	{
		CacheInvalidateHeapTuple(proc, tuple, NULL);
		(void) GetCurrentCommandId(true);	/* or the command's end would not
											 * deliver it */
		heap_freetuple(tuple);
	}
	table_close(proc, AccessShareLock);
	xact_notify_scheduled_function(function);
}
