/*
 * direct_scan.c
 *		Reading rows of our tables by an index, without plan and executor.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/table_check.h"
#include "table/direct_scan.h"

/* The snapshot is the active one, too: values may be stored out of line */
void
direct_scan_open(DirectScan *scan, const DirectTable *table, CatalogObject index, int nkeys,
				 ScanKey keys)
{
	CommandCounterIncrement();
	scan->rel = table_open(catalog_oid(table->table), RowExclusiveLock);
	table_check(scan->rel, table->columns, table->natts);
	scan->index = index_open(catalog_oid(index), AccessShareLock);
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	PushActiveSnapshot(scan->snapshot);
	scan->slot = table_slot_create(scan->rel, NULL);
	scan->scan = compat_index_beginscan(scan->rel, scan->index, scan->snapshot, nkeys);
	index_rescan(scan->scan, keys, nkeys, NULL, 0);
}

bool
direct_scan_next(DirectScan *scan)
{
	CHECK_FOR_INTERRUPTS();
	return index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot);
}

void
direct_scan_close(DirectScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	PopActiveSnapshot();
	UnregisterSnapshot(scan->snapshot);
	index_close(scan->index, NoLock);
	table_close(scan->rel, NoLock);
}
