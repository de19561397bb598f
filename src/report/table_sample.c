/*
 * table_sample.c
 *		Numbers about very many jobs with bounded work, for what asks each second.
 *
 * defer.throughput() counts what has ended, step by step.  defer.history_sample()
 * and defer.live_rows() return all rows if there are not
 * too many.  Else they return those of some blocks, each with a weight: how
 * many rows it stands for.  So sum(weight) is the count, exactly or nearly.
 *
 * Any user can call these functions, as the views.  They show no row that
 * defer.jobs would not show to that user.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
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
#include "utils/tuplestore.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/job_state.h"
#include "base/roles.h"
#include "report/block_sample.h"
#include "table/job_row.h"

/* Rows of a block, for a guess; most rows that may be asked for */
#define ROWS_IN_BLOCK	40
#define ROWS_MAX		1000000

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

/* How long a job ran, as an interval in *result; 0: it never began */
static Datum
duration_of(const Datum *row, const bool *isnull, Interval *result)
{
	Job			job = {0};
	int64		duration;

	if (!isnull[HIST_FIRST_STARTED_AT - 1])
	{
		job.first_started_at = DatumGetTimestampTz(row[HIST_FIRST_STARTED_AT - 1]);
		job.earlier_time = DatumGetInt64(row[HIST_EARLIER_TIME - 1]);
	}
	duration = job_duration(&job, isnull[HIST_STARTED_AT - 1] ? NO_TIME :
							DatumGetTimestampTz(row[HIST_STARTED_AT - 1]),
							DatumGetTimestampTz(row[HIST_FINISHED_AT - 1]));
	memset(result, 0, sizeof(Interval));
	result->time = duration;
	return duration < 0 ? (Datum) 0 : IntervalPGetDatum(result);
}

static void
put_history_row(HeapTuple tuple, TupleDesc desc, double weight, void *arg)
{
	Sink	   *sink = arg;
	Datum		row[MaxTupleAttributeNumber];
	bool		isnull[MaxTupleAttributeNumber];
	Datum		values[10];
	bool		nulls[10] = {0};
	Interval	interval;
	int			end;

	heap_deform_tuple(tuple, desc, row, isnull);
	if (DatumGetTimestampTz(row[HIST_FINISHED_AT - 1]) < sink->since ||
		(sink->children && isnull[HIST_PARENT_ID - 1]) ||
		!may_see(sink, DatumGetObjectId(row[HIST_OWNER - 1])))
		return;
	end = job_end_number(DatumGetChar(row[HIST_STATE - 1]));
	values[0] = Float8GetDatum(weight);
	values[1] = row[HIST_ID - 1];
	values[2] = CStringGetTextDatum(end >= 0 ? job_end_name(end) : "");
	values[3] = row[HIST_FUNCTION - 1];
	values[4] = row[HIST_QUEUE - 1];
	values[5] = row[HIST_PARENT_ID - 1];
	nulls[5] = isnull[HIST_PARENT_ID - 1];
	values[6] = row[HIST_RUN_AT - 1];
	values[7] = row[HIST_STARTED_AT - 1];
	nulls[7] = isnull[HIST_STARTED_AT - 1];
	values[8] = row[HIST_FINISHED_AT - 1];
	values[9] = duration_of(row, isnull, &interval);
	nulls[9] = values[9] == (Datum) 0;
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
	state = !isnull[JOB_WAITS - 1] && !due ? "waiting" : DatumGetInt32(row[JOB_ATTEMPT - 1]) > 0 ||
		DatumGetInt16(row[JOB_CONFLICTS - 1]) > 0 ? "retrying" :
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
	Sink		sink = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo,
		.since = PG_GETARG_TIMESTAMPTZ(0),
	.children = PG_GETARG_BOOL(2)};
	int			rows = row_count(fcinfo, 1);
	SamplePart *parts;
	uint64		nblocks;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	n = block_sample_open_history(sink.since, &parts, &nblocks);
	block_sample_read(parts, n, block_sample_stride(nblocks, Max(rows / ROWS_IN_BLOCK, 16)),
					  put_history_row, &sink);
	block_sample_close(parts, n);
	return (Datum) 0;
}

/* Counts by step and state */
typedef struct Counts
{
	Sink		sink;			/* who asks, since when */
	int64		step;			/* microseconds */
	int			nsteps;
	double		jobs[STEPS_MAX][JOB_ENDS];
} Counts;

static void
count_history_row(HeapTuple tuple, TupleDesc desc, double weight, void *arg)
{
	Counts	   *counts = arg;
	bool		isnull;
	TimestampTz at = DatumGetTimestampTz(heap_getattr(tuple, HIST_FINISHED_AT, desc, &isnull));
	int64		step;
	int			end;

	if (at < counts->sink.since)
		return;
	step = (at - counts->sink.since) / counts->step;
	if (step >= counts->nsteps ||
		!may_see(&counts->sink, DatumGetObjectId(heap_getattr(tuple, HIST_OWNER, desc, &isnull))))
		return;
	end = job_end_number(DatumGetChar(heap_getattr(tuple, HIST_STATE, desc, &isnull)));
	if (end >= 0)
		counts->jobs[step][end] += weight;
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
	SamplePart *parts;
	uint64		nblocks;
	BlockNumber stride;
	int			n;

	counts->sink.since = PG_GETARG_TIMESTAMPTZ(0);
	counts->nsteps = PG_GETARG_INT32(2);
	counts->step = step_length(step);
	check_steps(counts);
	InitMaterializedSRF(fcinfo, 0);
	n = block_sample_open_history(counts->sink.since, &parts, &nblocks);
	stride = block_sample_stride(nblocks, COUNT_BLOCKS);
	block_sample_read(parts, n, stride, count_history_row, counts);
	block_sample_close(parts, n);
	for (int i = 0; i < counts->nsteps; i++)
	{
		Datum		values[2 + JOB_ENDS];
		bool		nulls[2 + JOB_ENDS] = {0};

		values[0] = TimestampTzGetDatum(counts->sink.since + i * counts->step);
		for (int j = 0; j < JOB_ENDS; j++)
			values[1 + j] = Float8GetDatum(counts->jobs[i][j]);
		values[1 + JOB_ENDS] = BoolGetDatum(stride > 1);
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
	Sink		sink = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo,
		.now = GetCurrentStatementStartTimestamp()};
	int			rows = row_count(fcinfo, 0);
	SamplePart	part = {0};

	InitMaterializedSRF(fcinfo, 0);
	part.rel = table_open(catalog_oid(CAT_JOB), AccessShareLock);
	if (!read_all(part.rel, rows, &sink))
	{
		BlockNumber stride;

		tuplestore_clear(sink.rsinfo->setResult);
		part.nblocks = RelationGetNumberOfBlocks(part.rel);
		stride = block_sample_stride(part.nblocks, Max(rows / ROWS_IN_BLOCK, 16));
		block_sample_read(&part, 1, stride, put_live_row, &sink);
	}
	table_close(part.rel, AccessShareLock);
	return (Datum) 0;
}
