/*
 * direct_scan.h
 *		Reading rows of our tables by an index, without plan and executor:
 *		table/direct_scan.c.
 */
#ifndef DIRECT_SCAN_H
#define DIRECT_SCAN_H

#include "access/genam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "base/catalog.h"

/* A table, as base/table_check.h wants it */
typedef struct DirectTable
{
	CatalogObject table;
	const char *const *columns;
	int			natts;
} DirectTable;

/* A scan as of now, which sees what this transaction has written */
typedef struct DirectScan
{
	Relation	rel;
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} DirectScan;

/* The table is locked as for writing, until the end of the transaction */
extern void direct_scan_open(DirectScan *scan, const DirectTable *table, CatalogObject index,
							 int nkeys, ScanKey keys);
extern bool direct_scan_next(DirectScan *scan);
extern void direct_scan_close(DirectScan *scan);

#endif							/* DIRECT_SCAN_H */
