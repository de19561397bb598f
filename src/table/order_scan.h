/*
 * order_scan.h
 *		Reading the jobs of a group in their order: table/order_scan.c.
 */
#ifndef ORDER_SCAN_H
#define ORDER_SCAN_H

#include "access/genam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "executor/tuptable.h"
#include "utils/snapshot.h"

/* Rows of defer.job with that order_scope and group: the first in the order first */
typedef struct OrderScan
{
	ScanKeyData keys[2];
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} OrderScan;

/* What is committed by now, and what this transaction has written, is read */
extern void order_scan_open(OrderScan *scan, int32 order_scope, text *group_key);
extern bool order_scan_next(OrderScan *scan);
extern void order_scan_close(OrderScan *scan);

#endif							/* ORDER_SCAN_H */
