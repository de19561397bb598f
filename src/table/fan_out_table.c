/*
 * fan_out_table.c
 *		Rows of defer.fan_out: jobs whose batch, the jobs that they enqueue, is awaited.
 *
 * By direct access, as in table/job_table.c.  The scheduler changes rows with SQL
 * (job/fan_out_task.c).
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/fmgroids.h"

#include "base/catalog.h"
#include "shmem/dependents_counts.h"
#include "table/direct_insert.h"
#include "table/direct_scan.h"
#include "table/fan_out_table.h"

enum
{
	FAN_OUT_ID = 1, FAN_OUT_OWNER, FAN_OUT_FROM_ID, FAN_OUT_DEEP, FAN_OUT_OUTER_ID, FAN_OUT_CLOSED,
	FAN_OUT_DONE, FAN_OUT_JOBS, FAN_OUT_SUCCEEDED, FAN_OUT_FAILED, FAN_OUT_CANCELLED,
	FAN_OUT_DISCARDED,
	FAN_OUT_NATTS = FAN_OUT_DISCARDED
};

static const char *const fan_out_columns[] = {
	[FAN_OUT_ID - 1] = "id",
	[FAN_OUT_OWNER - 1] = "owner",
	[FAN_OUT_FROM_ID - 1] = "from_id",
	[FAN_OUT_DEEP - 1] = "deep",
	[FAN_OUT_OUTER_ID - 1] = "outer_id",
	[FAN_OUT_CLOSED - 1] = "closed",
	[FAN_OUT_DONE - 1] = "done",
	[FAN_OUT_JOBS - 1] = "jobs",
	[FAN_OUT_SUCCEEDED - 1] = "succeeded",
	[FAN_OUT_FAILED - 1] = "failed",
	[FAN_OUT_CANCELLED - 1] = "cancelled",
	[FAN_OUT_DISCARDED - 1] = "discarded",
};

void
fan_out_insert(const FanOut *fan_out)
{
	Datum		values[FAN_OUT_NATTS] = {0};
	bool		nulls[FAN_OUT_NATTS] = {false};

	values[FAN_OUT_ID - 1] = Int64GetDatum(fan_out->id);
	values[FAN_OUT_OWNER - 1] = ObjectIdGetDatum(fan_out->owner);
	values[FAN_OUT_FROM_ID - 1] = Int64GetDatum(fan_out->from_id);
	values[FAN_OUT_DEEP - 1] = BoolGetDatum(fan_out->deep);
	values[FAN_OUT_OUTER_ID - 1] = Int64GetDatum(fan_out->outer_id);
	nulls[FAN_OUT_OUTER_ID - 1] = fan_out->outer_id == 0;
	values[FAN_OUT_CLOSED - 1] = BoolGetDatum(false);
	values[FAN_OUT_DONE - 1] = BoolGetDatum(false);
	for (int i = FAN_OUT_JOBS; i <= FAN_OUT_NATTS; i++)
		values[i - 1] = Int64GetDatum(0);
	direct_insert(catalog_oid(CAT_FAN_OUT), fan_out_columns, FAN_OUT_NATTS, values, nulls);
}

static const DirectTable fan_out_table = {CAT_FAN_OUT, fan_out_columns, FAN_OUT_NATTS};

/* Check whether the transaction under way has written this version of a row */
static bool
is_own_version(TupleTableSlot *slot)
{
	bool		isnull;
	Datum		xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull);

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

bool
fan_out_read(int64 id, FanOut *fan_out)
{
	DirectScan	scan;
	ScanKeyData key;
	bool		found;

	ScanKeyInit(&key, FAN_OUT_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	direct_scan_open(&scan, &fan_out_table, CAT_FAN_OUT_PKEY, 1, &key);
	found = direct_scan_next(&scan);
	if (found)
	{
		const Datum *values = scan.slot->tts_values;

		slot_getsomeattrs(scan.slot, FAN_OUT_DONE);
		fan_out->id = id;
		fan_out->owner = DatumGetObjectId(values[FAN_OUT_OWNER - 1]);
		fan_out->from_id = DatumGetInt64(values[FAN_OUT_FROM_ID - 1]);
		fan_out->deep = DatumGetBool(values[FAN_OUT_DEEP - 1]);
		fan_out->outer_id = scan.slot->tts_isnull[FAN_OUT_OUTER_ID - 1] ? 0 :
			DatumGetInt64(values[FAN_OUT_OUTER_ID - 1]);
		fan_out->done = DatumGetBool(values[FAN_OUT_DONE - 1]);
		fan_out->uncommitted = is_own_version(scan.slot);
	}
	direct_scan_close(&scan);
	return found;
}

bool
fan_out_find(int64 id, FanOut *fan_out)
{
	return dependents_may_have(-id) && fan_out_read(id, fan_out);
}
