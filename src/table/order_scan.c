/*
 * order_scan.c
 *		Reading the jobs of a group in their order, by an index of defer.job that has
 *		only those of groups with group_order => 'strict'.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "table/job_table.h"
#include "table/order_scan.h"

void
order_scan_open(OrderScan *scan, int32 order_scope, text *group_key)
{
	JobTable   *table = job_table_with_order_index();

	CommandCounterIncrement();
	ScanKeyInit(&scan->keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(order_scope));
	ScanKeyEntryInitialize(&scan->keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid,
						   table->order_index->rd_indcollation[1], F_TEXTEQ,
						   PointerGetDatum(group_key));
	scan->slot = table_slot_create(table->rel, NULL);
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = compat_index_beginscan(table->rel, table->order_index, scan->snapshot, 2);
	index_rescan(scan->scan, scan->keys, 2, NULL, 0);
}

bool
order_scan_next(OrderScan *scan)
{
	CHECK_FOR_INTERRUPTS();
	return index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot);
}

void
order_scan_close(OrderScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	UnregisterSnapshot(scan->snapshot);
}
