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

typedef struct CachedTid
{
	ItemPointerData tid;		/* of the version that we wrote last */
	Oid			file;			/* of the table, that it was in */
} CachedTid;

extern void tid_cache_set(CachedTid *place, Relation rel, ItemPointer tid);

/*
 * Check whether the row with that id, its first column, is still there.  The
 * slot, one of rel's, has it then, and keeps it there until it is cleared.
 * *nblocks: of rel, as it was looked up last in this transaction; 0 at first.
 */
extern bool tid_cache_holds(CachedTid *place, Relation rel, BlockNumber *nblocks, int64 id,
							TupleTableSlot *slot);

#endif							/* ROW_PLACE_H */
