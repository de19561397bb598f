/*
 * tid_cache.c
 *		Rows of ours, found again where an earlier transaction has left them.
 *
 * It saves a look into an index for each job.  But between the transactions no
 * lock on the table is held, so a place may come to mean something else:
 * VACUUM FULL, CLUSTER, TRUNCATE and ALTER TABLE give the table another file,
 * and where a user has deleted the row by hand, VACUUM may have cut the file
 * off or given the place to another row.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "table/tid_cache.h"

void
tid_cache_set(CachedTid *place, Relation rel, ItemPointer tid)
{
	place->tid = *tid;
	place->file = compat_file_number(rel);
}

bool
tid_cache_holds(CachedTid *place, Relation rel, BlockNumber *nblocks, int64 id,
				TupleTableSlot *slot)
{
	BlockNumber block = ItemPointerGetBlockNumber(&place->tid);
	bool		isnull;

	if (compat_file_number(rel) != place->file)
		return false;

	/* with our lock on the table it does not become shorter */
	if (block >= *nblocks)
		*nblocks = RelationGetNumberOfBlocks(rel);
	return block < *nblocks &&
		table_tuple_fetch_row_version(rel, &place->tid, SnapshotAny, slot) &&
		DatumGetInt64(slot_getattr(slot, 1, &isnull)) == id;
}
