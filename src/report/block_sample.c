/*
 * block_sample.c
 *		Rows of some blocks of a table.
 *
 * History is written in the order in which jobs end.  So the blocks from a
 * moment on are found by halving, without an index.  If the rows turn out not
 * to be in that order, as after a restore, all blocks count.
 *
 * Which blocks are read depends on their numbers alone: as long as the sample
 * is as sparse as before, two samples differ only in new blocks.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/datetime.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "report/block_sample.h"
#include "table/job_row.h"
#include "base/catalog.h"

/* Blocks that are looked at to see whether a table is in order */
#define PROBES			48

/*
 * Blocks before the one that was found: several workers write at the same
 * time, each into a block of its own.
 */
#define DISORDER		64

/* ------------------------------------------------------------------------
 * Rows of a block
 * ------------------------------------------------------------------------ */

/* Call back with each visible row of a block; they are there during the call only */
static void
read_block(Relation rel, BlockNumber block, double weight, RowCallback callback, void *arg)
{
	Snapshot	snapshot = GetActiveSnapshot();
	Buffer		buffer = ReadBuffer(rel, block);
	Page		page;
	OffsetNumber visible[MaxHeapTuplesPerPage];
	int			n = 0;

	/* a row that was visible stays where it is as long as the block is pinned */
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	for (int i = FirstOffsetNumber; i <= (int) PageGetMaxOffsetNumber(page); i++)
	{
		ItemId		item = PageGetItemId(page, i);
		HeapTupleData tuple;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, block, i);
		if (HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer))
			visible[n++] = i;
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	for (int i = 0; i < n; i++)
	{
		ItemId		item = PageGetItemId(page, visible[i]);
		HeapTupleData tuple;

		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, block, visible[i]);
		callback(&tuple, RelationGetDescr(rel), weight, arg);
	}
	ReleaseBuffer(buffer);
}

/*
 * Read the parts, or of each so many blocks one, chosen by its number.  stride
 * is a power of 2.
 */
void
block_sample_read(const SamplePart *parts, int nparts, BlockNumber stride, RowCallback callback,
				  void *arg)
{
	for (int i = 0; i < nparts; i++)
	{
		const SamplePart *part = &parts[i];
		BlockNumber first = part->from;

		while (first < part->nblocks)
		{
			/* up to the next multiple of stride */
			BlockNumber end = first - first % stride + stride;
			BlockNumber count;

			CHECK_FOR_INTERRUPTS();
			if (end > part->nblocks || end < first)
				end = part->nblocks;
			count = end - first;
			read_block(part->rel, first + murmurhash32(first / stride) % count,
					   count, callback, arg);
			first = end;
		}
	}
}

/* ------------------------------------------------------------------------
 * Which blocks
 * ------------------------------------------------------------------------ */

static void
note_finished_at(HeapTuple tuple, TupleDesc desc, double weight, void *arg)
{
	TimestampTz *earliest = arg;
	bool		isnull;
	TimestampTz at = DatumGetTimestampTz(heap_getattr(tuple, HIST_FINISHED_AT, desc, &isnull));

	if (!isnull && at < *earliest)
		*earliest = at;
}

/* When the first job of that block ended; DT_NOEND: there is none */
static TimestampTz
block_time(Relation rel, BlockNumber block)
{
	TimestampTz earliest = DT_NOEND;

	read_block(rel, block, 1, note_finished_at, &earliest);
	return earliest;
}

/* Find the block from which on rows ended at that time or later */
static BlockNumber
first_block(Relation rel, BlockNumber nblocks, TimestampTz since)
{
	BlockNumber low = 0;
	BlockNumber high = nblocks;
	TimestampTz before = DT_NOBEGIN;

	if (nblocks < 4 * PROBES)
		return 0;
	for (int i = 0; i < PROBES; i++)
	{
		BlockNumber block = (BlockNumber) ((uint64) nblocks * i / PROBES);
		TimestampTz at = block_time(rel, block);

		if (at == DT_NOEND)
			continue;
		if (at < before)
			return 0;			/* not in order */
		before = at;
		if (at < since)
			low = block;
		else if (high == nblocks)
			high = block;
	}
	while (high - low > 1)
	{
		BlockNumber middle = low + (high - low) / 2;

		if (block_time(rel, middle) < since)
			low = middle;
		else
			high = middle;
	}
	return low > DISORDER ? low - DISORDER : 0;
}

/* The power of 2 that leaves few enough blocks */
BlockNumber
block_sample_stride(uint64 nblocks, int wanted)
{
	BlockNumber stride = 1;

	while (nblocks / stride > wanted)
		stride *= 2;
	return stride;
}

/*
 * Check for the partition of a day that was over before then.  See
 * table/partitions.c for names
 */
static bool
is_over(Relation rel, TimestampTz since)
{
	const char *name = RelationGetRelationName(rel);
	int64		day = since / USECS_PER_DAY - (since % USECS_PER_DAY < 0 ? 1 : 0);
	char		of_day[NAMEDATALEN];
	int			year,
				month,
				dom;

	if (TIMESTAMP_NOT_FINITE(since))
		return false;
	j2date((int) day + POSTGRES_EPOCH_JDATE, &year, &month, &dom);
	snprintf(of_day, sizeof(of_day), "job_history_p%04d%02d%02d", year, month, dom);
	return strlen(name) == strlen(of_day) && strncmp(name, "job_history_p", 13) == 0 &&
		strcmp(name, of_day) < 0;
}

/* The partitions that have what ended since then, from the block on that matters */
int
block_sample_open_history(TimestampTz since, SamplePart **result, uint64 *nblocks)
{
	List	   *partitions = find_inheritance_children(catalog_oid(CAT_HISTORY), AccessShareLock);
	SamplePart *parts = palloc(sizeof(SamplePart) * Max(list_length(partitions), 1));
	ListCell   *cell;
	int			n = 0;

	*nblocks = 0;
	foreach(cell, partitions)
	{
		Relation	rel = table_open(lfirst_oid(cell), AccessShareLock);
		SamplePart *part = &parts[n];

		if (rel->rd_rel->relam != HEAP_TABLE_AM_OID || is_over(rel, since))
		{
			table_close(rel, AccessShareLock);
			continue;
		}
		part->rel = rel;
		part->nblocks = RelationGetNumberOfBlocks(rel);
		part->from = first_block(rel, part->nblocks, since);
		*nblocks += part->nblocks - part->from;
		n++;
	}
	*result = parts;
	return n;
}

void
block_sample_close(SamplePart *parts, int n)
{
	for (int i = 0; i < n; i++)
		table_close(parts[i].rel, AccessShareLock);
	pfree(parts);
}
