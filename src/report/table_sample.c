/*
 * table_sample.c
 *		Numbers about very many jobs with bounded work, for what asks each second.
 *
 * defer.throughput() counts what has ended, step by step.  defer.history_sample()
 * and defer.live_rows() return all rows if there are not
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
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "common/hashfn.h"
#include "common/int.h"
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

#include "base/catalog.h"
#include "base/compat.h"
#include "base/roles.h"
#include "table/job_table.h"

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

/* Blocks that are read to count */
#define COUNT_BLOCKS	4000

/* Most steps of a chart */
#define STEPS_MAX		1000

/* Where rows go, and which */
typedef struct Sink
{
	ReturnSetInfo *rsinfo;
	TimestampTz since;			/* of history: ended at this time or later */
	bool		children;		/* only those with a parent */
	TimestampTz now;
	Oid			owner;			/* the last one that was asked about */
	bool		visible;		/* and the answer */
} Sink;

PG_FUNCTION_INFO_V1(defer_history_sample);
PG_FUNCTION_INFO_V1(defer_live_rows);
PG_FUNCTION_INFO_V1(defer_throughput);

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

static const char *const ended_states[] = {"succeeded", "failed", "cancelled", "discarded"};
static const char ended_letters[] = "sfcd";

static void
put_history_row(HeapTuple tuple, TupleDesc desc, double weight, void *arg)
{
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
	letter = strchr(ended_letters, DatumGetChar(row[HIST_STATE - 1]));
	values[0] = Float8GetDatum(weight);
	values[1] = row[HIST_ID - 1];
	values[2] = CStringGetTextDatum(letter != NULL ? ended_states[letter - ended_letters] : "");
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
choose_stride(uint64 nblocks, int wanted)
{
	BlockNumber stride = 1;

	while (nblocks / stride > wanted)
		stride *= 2;
	return stride;
}

/* Is it the partition of a day that was over before then?  See table/partitions.c for names */
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

/* The partitions that have what ended since then, from the block on that matters */
static int
open_history(TimestampTz since, Part **result, uint64 *nblocks)
{
	List	   *partitions = find_inheritance_children(catalog_oid(CAT_HISTORY), AccessShareLock);
	Part	   *parts = palloc(sizeof(Part) * Max(list_length(partitions), 1));
	ListCell   *cell;
	int			n = 0;

	*nblocks = 0;
	foreach(cell, partitions)
	{
		Relation	rel = table_open(lfirst_oid(cell), AccessShareLock);
		Part	   *part = &parts[n];

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

static void
close_parts(Part *parts, int n)
{
	for (int i = 0; i < n; i++)
		table_close(parts[i].rel, AccessShareLock);
	pfree(parts);
}

/* defer.history_sample(since, most, children) */
Datum
defer_history_sample(PG_FUNCTION_ARGS)
{
	Sink		sink = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo,.since = PG_GETARG_TIMESTAMPTZ(0),
	.children = PG_GETARG_BOOL(2)};
	int			rows = row_count(fcinfo, 1);
	Part	   *parts;
	uint64		nblocks;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	n = open_history(sink.since, &parts, &nblocks);
	read_parts(parts, n, choose_stride(nblocks, Max(rows / ROWS_IN_BLOCK, 16)), put_history_row, &sink);
	close_parts(parts, n);
	return (Datum) 0;
}

/* Counts by step and state */
typedef struct Counts
{
	Sink		sink;			/* who asks, since when */
	int64		step;			/* microseconds */
	int			nsteps;
	double		jobs[STEPS_MAX][lengthof(ended_states)];
} Counts;

static void
count_history_row(HeapTuple tuple, TupleDesc desc, double weight, void *arg)
{
	Counts	   *counts = arg;
	bool		isnull;
	TimestampTz at = DatumGetTimestampTz(heap_getattr(tuple, HIST_FINISHED_AT, desc, &isnull));
	int64		step;
	const char *letter;

	if (at < counts->sink.since)
		return;
	step = (at - counts->sink.since) / counts->step;
	if (step >= counts->nsteps ||
		!may_see(&counts->sink, DatumGetObjectId(heap_getattr(tuple, HIST_OWNER, desc, &isnull))))
		return;
	letter = strchr(ended_letters, DatumGetChar(heap_getattr(tuple, HIST_STATE, desc, &isnull)));
	if (letter != NULL && *letter != '\0')
		counts->jobs[step][letter - ended_letters] += weight;
}

/* The length of a step in microseconds */
static int64
step_length(const Interval *step)
{
	int64		days;
	int64		result;

	if (step->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not contain months", "step"),
				 errhint("Give days or less, as in '1 day'.")));
	if (pg_mul_s64_overflow(step->day, USECS_PER_DAY, &days) ||
		pg_add_s64_overflow(step->time, days, &result))
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("\"%s\" is out of range", "step")));
	if (result <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be more than 0", "step")));
	return result;
}

/* Error unless all steps are times that there are */
static void
check_steps(const Counts *counts)
{
	int64		length;
	TimestampTz end;

	if (counts->nsteps < 1 || counts->nsteps > STEPS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of steps must be between 1 and %d", STEPS_MAX)));
	if (TIMESTAMP_NOT_FINITE(counts->sink.since))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be finite", "since")));
	if (pg_mul_s64_overflow(counts->step, counts->nsteps, &length) ||
		pg_add_s64_overflow(counts->sink.since, length, &end) || !IS_VALID_TIMESTAMP(end))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("the last step is out of range"),
				 errhint("Give fewer or shorter steps.")));
}

/* defer.throughput(since, step, steps) */
Datum
defer_throughput(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Counts	   *counts = palloc0(sizeof(Counts));
	Interval   *step = PG_GETARG_INTERVAL_P(1);
	Part	   *parts;
	uint64		nblocks;
	BlockNumber stride;
	int			n;

	counts->sink.since = PG_GETARG_TIMESTAMPTZ(0);
	counts->nsteps = PG_GETARG_INT32(2);
	counts->step = step_length(step);
	check_steps(counts);
	InitMaterializedSRF(fcinfo, 0);
	n = open_history(counts->sink.since, &parts, &nblocks);
	stride = choose_stride(nblocks, COUNT_BLOCKS);
	read_parts(parts, n, stride, count_history_row, counts);
	close_parts(parts, n);
	for (int i = 0; i < counts->nsteps; i++)
	{
		Datum		values[2 + lengthof(ended_states)];
		bool		nulls[2 + lengthof(ended_states)] = {0};

		values[0] = TimestampTzGetDatum(counts->sink.since + i * counts->step);
		for (int j = 0; j < lengthof(ended_states); j++)
			values[1 + j] = Float8GetDatum(counts->jobs[i][j]);
		values[1 + lengthof(ended_states)] = BoolGetDatum(stride > 1);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
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

	InitMaterializedSRF(fcinfo, 0);
	part.rel = table_open(catalog_oid(CAT_JOB), AccessShareLock);
	if (!read_all(part.rel, rows, &sink))
	{
		tuplestore_clear(sink.rsinfo->setResult);
		part.nblocks = RelationGetNumberOfBlocks(part.rel);
		read_parts(&part, 1, choose_stride(part.nblocks, Max(rows / ROWS_IN_BLOCK, 16)), put_live_row, &sink);
	}
	table_close(part.rel, AccessShareLock);
	return (Datum) 0;
}
