/*
 * dependency_table.c
 *		Rows of defer.dependency: which job comes after which.
 *
 * By direct access, as in table/job_table.c.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/job_state.h"
#include "table/dependency_table.h"
#include "table/direct_insert.h"
#include "table/direct_scan.h"

enum
{
	DEP_CHILD_ID = 1, DEP_ORD, DEP_OWNER, DEP_PARENT_ID, DEP_AWAITS_ID, DEP_OPEN, DEP_AFTER_FAILURE,
	DEP_STATE, DEP_FUNCTION, DEP_RESULT, DEP_ON_STATES,
	DEP_NATTS = DEP_ON_STATES
};

static const char *const dependency_columns[] = {
	[DEP_CHILD_ID - 1] = "child_id",
	[DEP_ORD - 1] = "ord",
	[DEP_OWNER - 1] = "owner",
	[DEP_PARENT_ID - 1] = "parent_id",
	[DEP_AWAITS_ID - 1] = "awaits_id",
	[DEP_OPEN - 1] = "open",
	[DEP_AFTER_FAILURE - 1] = "after_failure",
	[DEP_STATE - 1] = "state",
	[DEP_FUNCTION - 1] = "function",
	[DEP_RESULT - 1] = "result",
	[DEP_ON_STATES - 1] = "on_states",
};

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------ */

/* function and result are filled in when the history goes, and closed rows are not written */
static void
to_values(const Dependency *dependency, Datum *values, bool *nulls)
{
	memset(nulls, 0, DEP_NATTS * sizeof(bool));
	values[DEP_CHILD_ID - 1] = Int64GetDatum(dependency->child_id);
	values[DEP_ORD - 1] = Int32GetDatum(dependency->ord);
	values[DEP_OWNER - 1] = ObjectIdGetDatum(dependency->owner);
	values[DEP_PARENT_ID - 1] = Int64GetDatum(dependency->parent_id);
	values[DEP_AWAITS_ID - 1] = Int64GetDatum(dependency->awaits_id);
	values[DEP_OPEN - 1] = BoolGetDatum(dependency->open);
	values[DEP_AFTER_FAILURE - 1] = CharGetDatum(dependency->after_failure);
	values[DEP_STATE - 1] = CharGetDatum(dependency->state);
	nulls[DEP_STATE - 1] = dependency->state == PARENT_NOT_ENDED;
	nulls[DEP_FUNCTION - 1] = nulls[DEP_RESULT - 1] = true;
	nulls[DEP_ON_STATES - 1] = dependency->on_states[0] == '\0';
	if (dependency->on_states[0] != '\0')
		values[DEP_ON_STATES - 1] = CStringGetTextDatum(dependency->on_states);
}

static void
from_slot(TupleTableSlot *slot, Dependency *dependency)
{
	Datum	   *values = slot->tts_values;

	slot_getsomeattrs(slot, DEP_ON_STATES);
	dependency->child_id = DatumGetInt64(values[DEP_CHILD_ID - 1]);
	dependency->ord = DatumGetInt32(values[DEP_ORD - 1]);
	dependency->owner = DatumGetObjectId(values[DEP_OWNER - 1]);
	dependency->parent_id = DatumGetInt64(values[DEP_PARENT_ID - 1]);
	dependency->awaits_id = DatumGetInt64(values[DEP_AWAITS_ID - 1]);
	dependency->open = DatumGetBool(values[DEP_OPEN - 1]);
	dependency->after_failure = DatumGetChar(values[DEP_AFTER_FAILURE - 1]);
	dependency->state = slot->tts_isnull[DEP_STATE - 1] ? PARENT_NOT_ENDED :
		DatumGetChar(values[DEP_STATE - 1]);
	dependency->on_states[0] = '\0';
	if (!slot->tts_isnull[DEP_ON_STATES - 1])
		text_to_cstring_buffer(DatumGetTextPP(values[DEP_ON_STATES - 1]), dependency->on_states,
							   sizeof(dependency->on_states));
	dependency->tid = slot->tts_tid;
}

bool
dependency_cancels(const Dependency *dependency, char state)
{
	if (dependency->on_states[0] != '\0')
		return state != PARENT_GONE && strchr(dependency->on_states, state) == NULL;
	return state != STATE_SUCCEEDED && dependency->after_failure == AFTER_FAILURE_CANCEL;
}

void
dependency_insert(const Dependency *dependency)
{
	Datum		values[DEP_NATTS];
	bool		nulls[DEP_NATTS];

	to_values(dependency, values, nulls);
	direct_insert(catalog_oid(CAT_DEPENDENCY), dependency_columns, DEP_NATTS, values, nulls);
}

bool
dependency_update(const Dependency *dependency)
{
	Relation	rel = table_open(catalog_oid(CAT_DEPENDENCY), RowExclusiveLock);
	ItemPointerData tid = dependency->tid;
	Datum		values[DEP_NATTS];
	bool		nulls[DEP_NATTS];
	bool		updated;

	to_values(dependency, values, nulls);
	updated = direct_update_rel(rel, dependency_columns, DEP_NATTS, &tid, values, nulls);
	table_close(rel, NoLock);
	return updated;
}

/* ------------------------------------------------------------------------
 * Scans
 * ------------------------------------------------------------------------ */

static const DirectTable dependency_table = {CAT_DEPENDENCY, dependency_columns, DEP_NATTS};

bool
dependency_delete(const Dependency *dependency)
{
	Relation	rel = table_open(catalog_oid(CAT_DEPENDENCY), RowExclusiveLock);
	ItemPointerData tid = dependency->tid;
	TM_FailureData failure;
	TM_Result	result = compat_table_delete(rel, &tid, GetCurrentCommandId(true), false, &failure);

	table_close(rel, NoLock);
	return result == TM_Ok;
}

/* Read up to max rows of a scan into an array */
static int
read_rows(DirectScan *scan, int max, Dependency **found)
{
	int			size = Min(max, 16);
	int			n = 0;

	*found = palloc(size * sizeof(Dependency));
	while (n < max && direct_scan_next(scan))
	{
		if (n == size)
		{
			size = Min(max, size * 2);
			*found = repalloc_huge(*found, (Size) size * sizeof(Dependency));
		}
		from_slot(scan->slot, &(*found)[n++]);
	}
	return n;
}

int
dependency_awaiting(int64 awaits_id, int64 after, int max, Dependency **found)
{
	DirectScan	scan;
	ScanKeyData keys[2];
	int			n;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(awaits_id));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(after));
	direct_scan_open(&scan, &dependency_table, CAT_DEPENDENCY_AWAITS_IDX, lengthof(keys), keys);
	n = read_rows(&scan, max, found);
	direct_scan_close(&scan);
	return n;
}

static bool
has_open(int64 child_id, StrategyNumber strategy, RegProcedure compare, int32 ord)
{
	DirectScan	scan;
	ScanKeyData keys[2];
	bool		found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(child_id));
	ScanKeyInit(&keys[1], 2, strategy, compare, Int32GetDatum(ord));
	direct_scan_open(&scan, &dependency_table, CAT_DEPENDENCY_OPEN_IDX, lengthof(keys), keys);
	found = direct_scan_next(&scan);
	direct_scan_close(&scan);
	return found;
}

bool
dependency_has_open(int64 child_id, int32 ord)
{
	return has_open(child_id, BTGreaterStrategyNumber, F_INT4GT, ord) ||
		has_open(child_id, BTLessEqualStrategyNumber, F_INT4LE, ord);
}

int
dependency_of_child(int64 child_id, Dependency **found)
{
	DirectScan	scan;
	ScanKeyData key;
	int			n;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(child_id));
	direct_scan_open(&scan, &dependency_table, CAT_DEPENDENCY_PKEY, 1, &key);
	n = read_rows(&scan, PG_INT32_MAX, found);
	direct_scan_close(&scan);
	return n;
}

int
dependency_of_step(int64 child_id, Dependency **found)
{
	DirectScan	scan;
	ScanKeyData keys[2];
	int			n;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(child_id));
	ScanKeyInit(&keys[1], 2, BTLessStrategyNumber, F_INT4LT, Int32GetDatum(0));
	direct_scan_open(&scan, &dependency_table, CAT_DEPENDENCY_PKEY, lengthof(keys), keys);
	n = read_rows(&scan, PG_INT32_MAX, found);
	direct_scan_close(&scan);
	return n;
}

bool
dependency_step_closed(int64 child_id)
{
	Dependency *rows;
	int			n = dependency_of_step(child_id, &rows);
	bool		closed = false;

	for (int i = 0; i < n && !closed; i++)
		closed = !rows[i].open;
	pfree(rows);
	return closed;
}

bool
dependency_step_open(int64 child_id)
{
	DirectScan	scan;
	ScanKeyData keys[2];
	bool		found = false;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(child_id));
	ScanKeyInit(&keys[1], 2, BTLessStrategyNumber, F_INT4LT, Int32GetDatum(0));
	direct_scan_open(&scan, &dependency_table, CAT_DEPENDENCY_OPEN_IDX, lengthof(keys), keys);
	while (!found && direct_scan_next(&scan))
	{
		Dependency	row;

		from_slot(scan.slot, &row);
		found = row.after_failure != AFTER_FAILURE_WAKE;
	}
	direct_scan_close(&scan);
	return found;
}

int
dependency_own(int64 child_id, int32 after, int max, Dependency **found)
{
	DirectScan	scan;
	ScanKeyData keys[2];
	int			n = 0;

	*found = palloc(max * sizeof(Dependency));
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(child_id));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT4GT, Int32GetDatum(after));
	direct_scan_open(&scan, &dependency_table, CAT_DEPENDENCY_OPEN_IDX, lengthof(keys), keys);
	while (n < max && direct_scan_next(&scan))
	{
		from_slot(scan.slot, &(*found)[n]);
		if ((*found)[n].after_failure == AFTER_FAILURE_OWN)
			n++;
	}
	direct_scan_close(&scan);
	return n;
}

void
dependency_each_open(void (*function) (int64 awaits_id))
{
	DirectScan	scan;

	direct_scan_open(&scan, &dependency_table, CAT_DEPENDENCY_AWAITS_IDX, 0, NULL);
	while (direct_scan_next(&scan))
	{
		Dependency	dependency;

		from_slot(scan.slot, &dependency);
		function(dependency.awaits_id);
	}
	direct_scan_close(&scan);
}
