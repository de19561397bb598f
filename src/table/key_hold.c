/*
 * key_hold.c
 *		Rows of defer.key_hold: see key_hold.h.
 *
 * By direct access, as in table/job_table.c.  A key's row is written only by a
 * transaction that has inserted a row of defer.job with that key, which makes
 * all others with the key wait; and removed by the scheduler when it is over.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/table_check.h"
#include "table/direct_insert.h"
#include "table/job_row.h"
#include "table/key_hold.h"

enum
{
	HOLD_OWNER = 1, HOLD_FUNCTION, HOLD_KEY, HOLD_JOB_ID, HOLD_UNTIL,
	HOLD_NATTS = HOLD_UNTIL
};

static const char *const hold_columns[] = {
	[HOLD_OWNER - 1] = "owner",
	[HOLD_FUNCTION - 1] = "function",
	[HOLD_KEY - 1] = "key",
	[HOLD_JOB_ID - 1] = "job_id",
	[HOLD_UNTIL - 1] = "until",
};

/* The row of a key, as of now */
typedef struct HoldScan
{
	Relation	rel;
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} HoldScan;

static bool
hold_scan_begin(HoldScan *scan, const Job *job, LOCKMODE mode)
{
	ScanKeyData keys[3];

	CommandCounterIncrement();
	scan->rel = table_open(catalog_oid(CAT_KEY_HOLD), mode);
	table_check(scan->rel, hold_columns, HOLD_NATTS);
	scan->index = index_open(catalog_oid(CAT_KEY_HOLD_PKEY), AccessShareLock);
	scan->slot = table_slot_create(scan->rel, NULL);
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(job->owner));
	for (int i = 1; i < 3; i++)
		ScanKeyEntryInitialize(&keys[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   scan->index->rd_indcollation[i], F_TEXTEQ,
							   PointerGetDatum(i == 1 ? job->function : job->key));
	scan->scan = compat_index_beginscan(scan->rel, scan->index, scan->snapshot, lengthof(keys));
	index_rescan(scan->scan, keys, lengthof(keys), NULL, 0);
	return index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot);
}

/* Locks on the table are kept to the end of the transaction */
static void
hold_scan_end(HoldScan *scan)
{
	index_endscan(scan->scan);
	UnregisterSnapshot(scan->snapshot);
	ExecDropSingleTupleTableSlot(scan->slot);
	index_close(scan->index, NoLock);
	table_close(scan->rel, NoLock);
}

bool
key_hold_find(const Job *job, TimestampTz now, int64 *holder)
{
	HoldScan	scan;
	bool		found = false;

	if (hold_scan_begin(&scan, job, AccessShareLock))
	{
		bool		isnull;

		found = DatumGetTimestampTz(slot_getattr(scan.slot, HOLD_UNTIL, &isnull)) > now;
		*holder = DatumGetInt64(slot_getattr(scan.slot, HOLD_JOB_ID, &isnull));
	}
	hold_scan_end(&scan);
	return found;
}

void
key_hold_set(const Job *job, TimestampTz until)
{
	HoldScan	scan;
	Datum		values[HOLD_NATTS];
	bool		nulls[HOLD_NATTS] = {false};

	/* if the scheduler is just removing it that is waited for */
	if (hold_scan_begin(&scan, job, RowExclusiveLock))
	{
		TM_FailureData failure;

		(void) compat_table_delete(scan.rel, &scan.slot->tts_tid, GetCurrentCommandId(true), true,
								   &failure);
	}
	hold_scan_end(&scan);

	values[HOLD_OWNER - 1] = ObjectIdGetDatum(job->owner);
	values[HOLD_FUNCTION - 1] = PointerGetDatum(job->function);
	values[HOLD_KEY - 1] = PointerGetDatum(job->key);
	values[HOLD_JOB_ID - 1] = Int64GetDatum(job->id);
	values[HOLD_UNTIL - 1] = TimestampTzGetDatum(until);
	direct_insert(catalog_oid(CAT_KEY_HOLD), hold_columns, HOLD_NATTS, values, nulls);
}

bool
key_hold_purge(TimestampTz now, int most)
{
	Relation	rel;
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	ScanKeyData key;
	int			n = 0;

	rel = table_open(catalog_oid(CAT_KEY_HOLD), RowExclusiveLock);
	index = index_open(catalog_oid(CAT_KEY_HOLD_UNTIL_IDX), AccessShareLock);
	slot = table_slot_create(rel, NULL);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&key, 1, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(now));
	scan = compat_index_beginscan(rel, index, snapshot, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	while (n < most && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		TM_FailureData failure;

		CHECK_FOR_INTERRUPTS();
		/* one that a session is just writing is left alone */
		if (compat_table_delete(rel, &slot->tts_tid, GetCurrentCommandId(true), false,
								&failure) == TM_Ok)
			n++;
	}
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(rel, NoLock);
	return n == most;
}
