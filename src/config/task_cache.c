/*
 * task_cache.c
 *		The tasks as sessions see them: all of them are read at once, and again when
 *		the settings of functions are announced as changed.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/roles.h"
#include "base/table_check.h"
#include "config/settings_changes.h"
#include "config/task.h"

/* Columns of defer.task */
enum
{
	TASK_NAME = 1, TASK_OWNER, TASK_ENQUEUE_ROLES, TASK_WORK_ROLES, TASK_SCHEMA,
	TASK_NATTS = TASK_SCHEMA
};

static const char *const task_columns[] = {
	"name", "owner", "enqueue_roles", "work_roles", "schema"
};

StaticAssertDecl(lengthof(task_columns) == TASK_NATTS, "a name for each column");

static MemoryContext cache_context = NULL;
static TaskSettings **tasks = NULL; /* sorted by name */
static int	ntasks = 0;
static uint64 generation = 0;	/* of the settings when they were read; 0:
								 * never */

/* Copy a row into the current memory context */
static TaskSettings *
read_task(HeapTuple tuple, TupleDesc desc)
{
	TaskSettings *task = palloc0(sizeof(TaskSettings));
	bool		isnull;
	Datum		value;

	task->name = TextDatumGetCString(heap_getattr(tuple, TASK_NAME, desc, &isnull));
	task->owner = DatumGetObjectId(heap_getattr(tuple, TASK_OWNER, desc, &isnull));
	for (int right = 0; right < TASK_RIGHTS; right++)
	{
		value = heap_getattr(tuple, TASK_ENQUEUE_ROLES + right, desc, &isnull);
		if (!isnull)
			task->granted[right] = roles_of_array(value, &task->ngranted[right]);
	}
	value = heap_getattr(tuple, TASK_SCHEMA, desc, &isnull);
	task->schema = isnull ? NULL : DatumGetJsonbPCopy(value);
	return task;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp((*(TaskSettings *const *) a)->name, (*(TaskSettings *const *) b)->name);
}

/* Read all tasks, unless they are known */
static void
read_tasks(void)
{
	uint64		now;
	MemoryContext fresh;
	MemoryContext context;
	Relation	rel;
	Snapshot	snapshot;
	SysScanDesc scan;
	HeapTuple	tuple;
	TaskSettings **found;
	int			room = 16;
	int			n = 0;

	settings_watch();
	now = settings_generation();
	if (generation == now)
		return;
	rel = table_open(catalog_oid(CAT_TASK), AccessShareLock);
	table_check_columns(rel, task_columns, lengthof(task_columns));
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		CommandCounterIncrement();	/* what this transaction has changed
									 * counts */
	fresh = AllocSetContextCreate(CacheMemoryContext, "defer tasks", ALLOCSET_SMALL_SIZES);
	context = MemoryContextSwitchTo(fresh);
	found = palloc(room * sizeof(TaskSettings *));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (n == room)
			found = repalloc(found, (room *= 2) * sizeof(TaskSettings *));
		found[n++] = read_task(tuple, RelationGetDescr(rel));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(context);

	qsort(found, n, sizeof(TaskSettings *), compare_names);
	if (cache_context != NULL)
		MemoryContextDelete(cache_context);
	cache_context = fresh;
	tasks = found;
	ntasks = n;
	generation = now;
}

const TaskSettings *
task_find(const char *name)
{
	TaskSettings wanted = {.name = unconstify(char *, name)};
	TaskSettings *key = &wanted;
	TaskSettings **found;

	read_tasks();
	found = bsearch(&key, tasks, ntasks, sizeof(TaskSettings *), compare_names);
	return found == NULL ? NULL : *found;
}

const TaskSettings *const *
task_all(int *n)
{
	read_tasks();
	*n = ntasks;
	return (const TaskSettings *const *) tasks;
}

bool
task_usable_by(const TaskSettings *task, Oid role, TaskRight right)
{
	if (has_privs_of_role(role, task->owner))
		return true;
	for (int i = 0; i < task->ngranted[right]; i++)
	{
		if (!OidIsValid(task->granted[right][i]) ||
			has_privs_of_role(role, task->granted[right][i]))
			return true;
	}
	return false;
}

void
task_lock_name(const char *name, LOCKMODE mode)
{
	/* two names of one hash only wait for each other */
	LockDatabaseObject(catalog_oid(CAT_TASK),
					   hash_bytes((const unsigned char *) name, strlen(name)), 0, mode);
}

const TaskSettings *
task_lock(const char *name)
{
	if (task_find(name) == NULL)
		return NULL;
	task_lock_name(name, AccessShareLock);
	return task_find(name);
}

const TaskSettings *
task_check_usable(const char *name, Oid role)
{
	const TaskSettings *task = task_lock(name);

	if (task == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("task \"%s\" does not exist", name),
				 errhint("Its owner makes it with defer.create_task().")));
	if (!task_usable_by(task, role, TASK_ENQUEUE))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for task \"%s\"", name),
				 errhint("Its owner can allow it with defer.grant_task().")));
	return task;
}
