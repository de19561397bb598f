/*
 * claim_table.c
 *		Rows of defer.claim: which jobs were taken together, for recovery.
 *
 * By direct access, as in table/job_table.c.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/table_check.h"
#include "table/claim_table.h"

enum
{
	CLAIM_ID = 1, CLAIM_CLAIMED_AT, CLAIM_JOBS, CLAIM_TOKEN, CLAIM_ROLE, CLAIM_LENGTH, CLAIM_WORKER,
	CLAIM_NATTS = CLAIM_WORKER
};

static const char *const claim_columns[] = {
	[CLAIM_ID - 1] = "id",
	[CLAIM_CLAIMED_AT - 1] = "claimed_at",
	[CLAIM_JOBS - 1] = "jobs",
	[CLAIM_TOKEN - 1] = "token",
	[CLAIM_ROLE - 1] = "role",
	[CLAIM_LENGTH - 1] = "length",
	[CLAIM_WORKER - 1] = "worker",
};

static Relation
open_claims(LOCKMODE mode)
{
	Relation	rel = table_open(catalog_oid(CAT_CLAIM), mode);

	table_check(rel, claim_columns, CLAIM_NATTS);
	return rel;
}

void
claim_row_insert(const ClaimRow *row, CachedTid *place)
{
	Relation	rel = open_claims(RowExclusiveLock);
	const int	natts = RelationGetNumberOfAttributes(rel);
	Datum	   *elements = palloc(Max(row->njobs, 1) * sizeof(Datum));
	Datum	   *values = palloc0(natts * sizeof(Datum));
	bool	   *nulls = palloc0(natts * sizeof(bool));
	HeapTuple	tuple;
	Relation	pkey;

	for (int i = 0; i < row->njobs; i++)
		elements[i] = Int64GetDatum(row->jobs[i]);
	values[CLAIM_ID - 1] = Int64GetDatum(row->id);
	values[CLAIM_CLAIMED_AT - 1] = TimestampTzGetDatum(row->claimed_at);
	values[CLAIM_JOBS - 1] = PointerGetDatum(construct_array(elements, row->njobs, INT8OID, 8,
															 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	for (int i = CLAIM_TOKEN - 1; i < natts; i++)
		nulls[i] = true;		/* those behind are a later version's */
	if (row->token != NULL)
	{
		nulls[CLAIM_TOKEN - 1] = nulls[CLAIM_ROLE - 1] = nulls[CLAIM_LENGTH - 1] = false;
		values[CLAIM_TOKEN - 1] = UUIDPGetDatum(row->token);
		values[CLAIM_ROLE - 1] = ObjectIdGetDatum(row->role);
		values[CLAIM_LENGTH - 1] = Int64GetDatum(row->length);
		nulls[CLAIM_WORKER - 1] = row->worker == NULL;
		if (row->worker != NULL)
			values[CLAIM_WORKER - 1] = CStringGetTextDatum(row->worker);
	}
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	simple_heap_insert(rel, tuple);
	if (place != NULL)
		tid_cache_set(place, rel, &tuple->t_self);

	pkey = index_open(catalog_oid(CAT_CLAIM_PKEY), RowExclusiveLock);
	index_insert(pkey, values, nulls, &tuple->t_self, rel, UNIQUE_CHECK_YES, false, NULL);
	index_close(pkey, NoLock);
	table_close(rel, NoLock);
}

bool
claim_row_delete_id(int64 claim_id, bool wait)
{
	Relation	rel = open_claims(RowExclusiveLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		deleted = false;

	ScanKeyInit(&key, CLAIM_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(claim_id));
	scan = systable_beginscan(rel, catalog_oid(CAT_CLAIM_PKEY), true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (tuple != NULL)
	{
		TM_FailureData failure;

		deleted = compat_table_delete(rel, &tuple->t_self, GetCurrentCommandId(true), wait,
									  &failure) == TM_Ok;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	return deleted;
}

void
claim_row_delete(int64 claim_id, CachedTid *place)
{
	Relation	rel = open_claims(RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	BlockNumber nblocks = 0;
	TM_FailureData failure;

	if (tid_cache_holds(place, rel, &nblocks, claim_id, slot))
		(void) compat_table_delete(rel, &place->tid, GetCurrentCommandId(true), false, &failure);
	else
		(void) claim_row_delete_id(claim_id, false);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
}

/* Read what a worker outside of the server has told */
static void
read_token(ClaimRow *row, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, CLAIM_TOKEN, desc, &isnull);

	if (isnull)
		return;
	row->token = palloc(sizeof(pg_uuid_t));
	memcpy(row->token, DatumGetUUIDP(value), sizeof(pg_uuid_t));
	row->role = DatumGetObjectId(heap_getattr(tuple, CLAIM_ROLE, desc, &isnull));
	row->length = DatumGetInt64(heap_getattr(tuple, CLAIM_LENGTH, desc, &isnull));
	value = heap_getattr(tuple, CLAIM_WORKER, desc, &isnull);
	row->worker = isnull ? NULL : TextDatumGetCString(value);
}

static ClaimRow *
claim_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	ClaimRow   *row = palloc0(sizeof(ClaimRow));
	bool		isnull;
	ArrayType  *array;
	Datum	   *ids;
	bool	   *nulls;

	row->id = DatumGetInt64(heap_getattr(tuple, CLAIM_ID, desc, &isnull));
	row->claimed_at = DatumGetTimestampTz(heap_getattr(tuple, CLAIM_CLAIMED_AT, desc, &isnull));
	array = DatumGetArrayTypePCopy(heap_getattr(tuple, CLAIM_JOBS, desc, &isnull));
	deconstruct_array(array, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &ids, &nulls, &row->njobs);
	row->jobs = palloc(Max(row->njobs, 1) * sizeof(int64));
	for (int i = 0; i < row->njobs; i++)
		row->jobs[i] = DatumGetInt64(ids[i]);
	read_token(row, tuple, desc);
	return row;
}

bool
claim_row_read(int64 claim_id, ClaimRow *row)
{
	Relation	rel = open_claims(AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, CLAIM_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(claim_id));
	scan = systable_beginscan(rel, catalog_oid(CAT_CLAIM_PKEY), true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (tuple != NULL)
		*row = *claim_from_tuple(tuple, RelationGetDescr(rel));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return tuple != NULL;
}

List *
claim_rows_read(void)
{
	Relation	rel = open_claims(AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	List	   *rows = NIL;
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
		rows = lappend(rows, claim_from_tuple(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return rows;
}
