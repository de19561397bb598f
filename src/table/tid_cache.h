/*
 * tid_cache.h
 *		Where we left a row of ours, for a transaction to come.
 */
#ifndef ROW_PLACE_H
#define ROW_PLACE_H

#include "executor/tuptable.h"
#include "storage/block.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"

typedef struct RowPlace
{
	ItemPointerData tid;		/* of the version that we wrote last */
	Oid			file;			/* of the table, that it was in */
} RowPlace;

extern void row_place_set(RowPlace *place, Relation rel, ItemPointer tid);

/*
 * Is the row with that id, its first column, still there?  The slot, one of
 * rel's, has it then, and keeps it there until it is cleared.  *nblocks: of
 * rel, as it was looked up last in this transaction; 0 at first.
 */
extern bool row_place_holds(RowPlace *place, Relation rel, BlockNumber *nblocks, int64 id,
							TupleTableSlot *slot);

#endif							/* ROW_PLACE_H */
