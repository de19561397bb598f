/*
 * sample.c
 *		Numbers about very many jobs with bounded work, for what asks each second.
 *
 * defer.history_sample() and defer.live_rows() return all rows if there are not
 * too many.  Else they return those of some blocks, each with a weight: how
 * many rows it stands for.  So sum(weight) is the count, exactly or nearly.
 *
 * History is written in the order in which jobs end.  So the blocks from a
 * moment on are found by halving, without an index.  If the rows turn out not
 * to be in that order, as after a restore, all blocks count.
 *
 * Which blocks are read depends on their numbers alone: as long as the sample
 * is as sparse as before, two samples differ only in what is new.
 *
 * Like the views, these functions can be called by anybody, and show nobody a
 * row that defer.jobs would not.
 */
#include "defer.h"

#include "access/heapam.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "jobs.h"

/* Rows of a block, for a guess; most rows that may be asked for */
#define ROWS_IN_BLOCK	40
#define ROWS_MAX		1000000

/* Blocks that are looked at to see whether a table is in order */
#define PROBES			48

/*
 * Blocks before the one that was found: several workers write at the same
 * time, each into a block of its own.
 */
#define DISORDER		64

/* Blocks of one table that are to be sampled */
typedef struct Part
{
	Relation	rel;
	BlockNumber from;
	BlockNumber nblocks;		/* of the table, so up to here */
} Part;

/* Where rows go, and which */
typedef struct Sink
{
	ReturnSetInfo *rsinfo;
	TimestampTz since;			/* of history: ended at this time or later */
	bool		children;		/* only those with a parent */
	bool		history;		/* else rows of defer.job */
	TimestampTz now;
	Oid			owner;			/* the last one that was asked about */
	bool		visible;		/* and the answer */
} Sink;

PG_FUNCTION_INFO_V1(defer_history_sample);
PG_FUNCTION_INFO_V1(defer_live_rows);

/* ------------------------------------------------------------------------
 * Rows of a block
 * ------------------------------------------------------------------------ */

typedef void (*RowCallback) (HeapTuple tuple, TupleDesc desc, double weight, void *arg);

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
	for (OffsetNumber i = FirstOffsetNumber; i <= PageGetMaxOffsetNumber(page); i++)
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
static void
read_parts(const Part *parts, int nparts, BlockNumber stride, RowCallback callback, void *arg)
{
	for (int i = 0; i < nparts; i++)
	{
		const Part *part = &parts[i];
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

static bool
may_see(Sink *sink, Oid owner)
{
	if (owner != sink->owner)
	{
		sink->owner = owner;
		sink->visible = role_may_see(owner);
	}
	return sink->visible;
}

static void
put_history_row(HeapTuple tuple, TupleDesc desc, double weight, void *arg)
{
	static const char *const states[] = {"succeeded", "failed", "cancelled", "discarded"};
	static const char letters[] = "sfcd";
	Sink	   *sink = arg;
	Datum		row[MaxTupleAttributeNumber];
	bool		isnull[MaxTupleAttributeNumber];
	Datum		values[9];
	bool		nulls[9] = {0};
	const char *letter;

	heap_deform_tuple(tuple, desc, row, isnull);
	if (DatumGetTimestampTz(row[HIST_FINISHED_AT - 1]) < sink->since ||
		(sink->children && isnull[HIST_PARENT_ID - 1]) ||
		!may_see(sink, DatumGetObjectId(row[HIST_OWNER - 1])))
		return;
	letter = strchr(letters, DatumGetChar(row[HIST_STATE - 1]));
	values[0] = Float8GetDatum(weight);
	values[1] = row[HIST_ID - 1];
	values[2] = CStringGetTextDatum(letter != NULL ? states[letter - letters] : "");
	values[3] = row[HIST_FUNCTION - 1];
	values[4] = row[HIST_QUEUE - 1];
	values[5] = row[HIST_PARENT_ID - 1];
	nulls[5] = isnull[HIST_PARENT_ID - 1];
	values[6] = row[HIST_RUN_AT - 1];
	values[7] = row[HIST_STARTED_AT - 1];
	nulls[7] = isnull[HIST_STARTED_AT - 1];
	values[8] = row[HIST_FINISHED_AT - 1];
	tuplestore_putvalues(sink->rsinfo->setResult, sink->rsinfo->setDesc, values, nulls);
	pfree(DatumGetPointer(values[2]));
}

static void
put_live_row(HeapTuple tuple, TupleDesc desc, double weight, void *arg)
{
	Sink	   *sink = arg;
	Datum		row[MaxTupleAttributeNumber];
	bool		isnull[MaxTupleAttributeNumber];
	Datum		values[9];
	bool		nulls[9] = {0};
	bool		due;
	const char *state;

	heap_deform_tuple(tuple, desc, row, isnull);
	if (!may_see(sink, DatumGetObjectId(row[JOB_OWNER - 1])))
		return;
	due = DatumGetTimestampTz(row[JOB_RUN_AT - 1]) <= sink->now;
	state = DatumGetInt32(row[JOB_ATTEMPT - 1]) > 0 || DatumGetInt16(row[JOB_CONFLICTS - 1]) > 0 ? "retrying" :
		due ? "queued" : "scheduled";
	values[0] = Float8GetDatum(weight);
	values[1] = row[JOB_ID - 1];
	values[2] = CStringGetTextDatum(state);
	values[3] = BoolGetDatum(due);
	values[4] = BoolGetDatum(!isnull[JOB_CLAIM - 1]);
	values[5] = row[JOB_FUNCTION_NAME - 1];
	values[6] = row[JOB_QUEUE - 1];
	values[7] = row[JOB_PARENT_ID - 1];
	nulls[7] = isnull[JOB_PARENT_ID - 1];
	values[8] = row[JOB_RUN_AT - 1];
	tuplestore_putvalues(sink->rsinfo->setResult, sink->rsinfo->setDesc, values, nulls);
	pfree(DatumGetPointer(values[2]));
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

/* From which block on are rows that ended at that time or later? */
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
static BlockNumber
choose_stride(uint64 nblocks, int rows)
{
	uint64		wanted = Max(rows / ROWS_IN_BLOCK, 16);
	BlockNumber stride = 1;

	while (nblocks / stride > wanted)
		stride *= 2;
	return stride;
}

/* Is it the partition of a day that was over before then? */
static bool
is_over(Relation rel, TimestampTz since)
{
	const char *name = RelationGetRelationName(rel);
	const char *suffix = strstr(name, "_p");
	int			year,
				month,
				day;
	int64		since_day = since / USECS_PER_DAY - (since % USECS_PER_DAY < 0 ? 1 : 0);

	if (suffix == NULL || strlen(suffix) != 10 ||
		sscanf(suffix, "_p%4d%2d%2d", &year, &month, &day) != 3)
		return false;
	return date2j(year, month, day) - POSTGRES_EPOCH_JDATE < since_day;
}

/* ------------------------------------------------------------------------
 * Samples
 * ------------------------------------------------------------------------ */

static int
row_count(FunctionCallInfo fcinfo, int arg)
{
	int			rows = PG_GETARG_INT32(arg);

	if (rows < 1 || rows > ROWS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of rows must be between 1 and %d", ROWS_MAX)));
	return rows;
}

/* defer.history_sample(since, most, children) */
Datum
defer_history_sample(PG_FUNCTION_ARGS)
{
	Sink		sink = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo,.since = PG_GETARG_TIMESTAMPTZ(0),
	.children = PG_GETARG_BOOL(2),.history = true};
	int			rows = row_count(fcinfo, 1);
	List	   *partitions;
	ListCell   *cell;
	Part	   *parts;
	int			n = 0;
	uint64		nblocks = 0;

	compat_materialize_srf(fcinfo);
	partitions = find_inheritance_children(catalog_oid(CAT_HISTORY), AccessShareLock);
	parts = palloc(sizeof(Part) * Max(list_length(partitions), 1));
	foreach(cell, partitions)
	{
		Relation	rel = table_open(lfirst_oid(cell), AccessShareLock);
		Part	   *part = &parts[n];

		if (rel->rd_rel->relam != HEAP_TABLE_AM_OID || is_over(rel, sink.since))
		{
			table_close(rel, AccessShareLock);
			continue;
		}
		part->rel = rel;
		part->nblocks = RelationGetNumberOfBlocks(rel);
		part->from = first_block(rel, part->nblocks, sink.since);
		nblocks += part->nblocks - part->from;
		n++;
	}
	read_parts(parts, n, choose_stride(nblocks, rows), put_history_row, &sink);
	for (int i = 0; i < n; i++)
		table_close(parts[i].rel, AccessShareLock);
	return (Datum) 0;
}

/*
 * All rows of defer.job by its primary key; false: there are more than that.
 * By the key, because where a million jobs have been there are many empty blocks.
 */
static bool
read_all(Relation rel, int rows, Sink *sink)
{
	Relation	index = index_open(catalog_oid(CAT_JOB_PKEY), AccessShareLock);
	IndexScanDesc scan = compat_index_beginscan(rel, index, GetActiveSnapshot(), 0);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	int			n = 0;

	index_rescan(scan, NULL, 0, NULL, 0);
	while (n <= rows && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		bool		must_free;
		HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &must_free);

		CHECK_FOR_INTERRUPTS();
		put_live_row(tuple, RelationGetDescr(rel), 1, sink);
		if (must_free)
			heap_freetuple(tuple);
		n++;
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	return n <= rows;
}

/* defer.live_rows(most) */
Datum
defer_live_rows(PG_FUNCTION_ARGS)
{
	Sink		sink = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo,.now = GetCurrentStatementStartTimestamp()};
	int			rows = row_count(fcinfo, 0);
	Part		part = {0};

	compat_materialize_srf(fcinfo);
	part.rel = table_open(catalog_oid(CAT_JOB), AccessShareLock);
	if (!read_all(part.rel, rows, &sink))
	{
		tuplestore_clear(sink.rsinfo->setResult);
		part.nblocks = RelationGetNumberOfBlocks(part.rel);
		read_parts(&part, 1, choose_stride(part.nblocks, rows), put_live_row, &sink);
	}
	table_close(part.rel, AccessShareLock);
	return (Datum) 0;
}
