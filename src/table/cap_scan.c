/*
 * cap_scan.c
 *		Reading all unfinished jobs of one function or queue, to count them.
 *
 * Jobs that are not committed count, too, and are not waited for: so the snapshot is not
 * enough.  A row that it does not see belongs to another job if it was inserted by a
 * transaction that is not in the snapshot; new versions of rows, which updates have
 * written, are of jobs that were counted by another version.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "table/cap_scan.h"
#include "table/history_table.h"
#include "table/job_table.h"

/* Check for a row of a transaction that is open as of the snapshot, and was not rolled back */
static bool
is_new(TupleTableSlot *slot, Snapshot snapshot)
{
	HeapTupleHeader tuple = ExecFetchSlotHeapTuple(slot, false, NULL)->t_data;
	TransactionId inserted_by;

	if ((tuple->t_infomask & HEAP_UPDATED) != 0 || HeapTupleHeaderXminInvalid(tuple))
		return false;
	inserted_by = HeapTupleHeaderGetXmin(tuple);
	if (!TransactionIdIsNormal(inserted_by))
		return false;
	if (TransactionIdIsCurrentTransactionId(inserted_by))
		return true;
	return XidInMVCCSnapshot(inserted_by, snapshot) &&
		(TransactionIdIsInProgress(inserted_by) || TransactionIdDidCommit(inserted_by));
}

static bool
is_text(TupleTableSlot *slot, AttrNumber attribute, const char *wanted, Size length)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, attribute, &isnull);
	const text *found;

	if (isnull)
		return false;
	found = DatumGetTextPP(value);
	return VARSIZE_ANY_EXHDR(found) == length && memcmp(VARDATA_ANY(found), wanted, length) == 0;
}

/* Check for a job that has ended, and whose row is still there */
static bool
has_ended(TupleTableSlot *slot, Snapshot snapshot)
{
	bool		isnull;
	int64		id = DatumGetInt64(slot_getattr(slot, JOB_ID, &isnull));

	(void) slot_getattr(slot, JOB_CLAIM, &isnull);
	return !isnull && history_exists_in(id, snapshot);
}

void
cap_scan(char kind, const char *name, Snapshot snapshot, CapScanJob job, void *arg)
{
	Relation	rel = job_table()->rel;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = compat_table_beginscan(rel, SnapshotAny, 0, NULL);
	const AttrNumber attribute = kind == 'f' ? JOB_FUNCTION_NAME : JOB_QUEUE;
	const Size	length = strlen(name);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "defer counted job",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext context = MemoryContextSwitchTo(scratch);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		group;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(scratch);
		if (!(table_tuple_satisfies_snapshot(rel, slot, snapshot) || is_new(slot, snapshot)) ||
			!is_text(slot, attribute, name, length) || has_ended(slot, snapshot))
			continue;
		group = slot_getattr(slot, JOB_GROUP_KEY, &isnull);
		job(isnull ? NULL : DatumGetTextPP(group), arg);
	}
	MemoryContextSwitchTo(context);
	MemoryContextDelete(scratch);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}
