/*
 * step_table.c
 *		Rows of defer.step: what procedures with steps have done.
 *
 * By direct access, as in table/job_table.c.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_collation.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "table/direct_insert.h"
#include "table/direct_scan.h"
#include "table/job_row.h"
#include "table/step_table.h"

enum
{
	STEP_JOB_ID = 1, STEP_NAME, STEP_OWNER, STEP_ORD, STEP_KIND, STEP_RESULT, STEP_STARTED_AT,
	STEP_FINISHED_AT, STEP_UNTIL, STEP_AWAITS, STEP_WAITS_SINCE,
	STEP_NATTS = STEP_WAITS_SINCE
};

static const char *const step_columns[] = {
	[STEP_JOB_ID - 1] = "job_id",
	[STEP_NAME - 1] = "name",
	[STEP_OWNER - 1] = "owner",
	[STEP_ORD - 1] = "ord",
	[STEP_KIND - 1] = "kind",
	[STEP_RESULT - 1] = "result",
	[STEP_STARTED_AT - 1] = "started_at",
	[STEP_FINISHED_AT - 1] = "finished_at",
	[STEP_UNTIL - 1] = "until",
	[STEP_AWAITS - 1] = "awaits",
	[STEP_WAITS_SINCE - 1] = "waits_since",
};

static void
to_values(const Step *step, Datum *values, bool *nulls)
{
	memset(nulls, 0, STEP_NATTS * sizeof(bool));
	values[STEP_JOB_ID - 1] = Int64GetDatum(step->job_id);
	values[STEP_NAME - 1] = CStringGetTextDatum(step->name);
	values[STEP_OWNER - 1] = ObjectIdGetDatum(step->owner);
	values[STEP_ORD - 1] = Int32GetDatum(step->ord);
	values[STEP_KIND - 1] = CharGetDatum(step->kind);
	nulls[STEP_RESULT - 1] = step->result == NULL;
	values[STEP_RESULT - 1] = PointerGetDatum(step->result);
	values[STEP_STARTED_AT - 1] = TimestampTzGetDatum(step->started_at);
	nulls[STEP_FINISHED_AT - 1] = step->finished_at == NO_TIME;
	values[STEP_FINISHED_AT - 1] = TimestampTzGetDatum(step->finished_at);
	nulls[STEP_UNTIL - 1] = step->until == NO_TIME;
	values[STEP_UNTIL - 1] = TimestampTzGetDatum(step->until);
	nulls[STEP_AWAITS - 1] = step->awaits == NULL;
	if (step->awaits != NULL)
		values[STEP_AWAITS - 1] = CStringGetTextDatum(step->awaits);
	nulls[STEP_WAITS_SINCE - 1] = step->waits_since == NO_TIME;
	values[STEP_WAITS_SINCE - 1] = TimestampTzGetDatum(step->waits_since);
}

static void
from_slot(TupleTableSlot *slot, Step *step)
{
	Datum	   *values = slot->tts_values;
	bool	   *nulls = slot->tts_isnull;

	slot_getsomeattrs(slot, STEP_NATTS);
	memset(step, 0, sizeof(Step));
	step->job_id = DatumGetInt64(values[STEP_JOB_ID - 1]);
	step->name = TextDatumGetCString(values[STEP_NAME - 1]);
	step->owner = DatumGetObjectId(values[STEP_OWNER - 1]);
	step->ord = DatumGetInt32(values[STEP_ORD - 1]);
	step->kind = DatumGetChar(values[STEP_KIND - 1]);
	step->result = nulls[STEP_RESULT - 1] ? NULL : DatumGetJsonbPCopy(values[STEP_RESULT - 1]);
	step->started_at = DatumGetTimestampTz(values[STEP_STARTED_AT - 1]);
	step->finished_at = nulls[STEP_FINISHED_AT - 1] ? NO_TIME :
		DatumGetTimestampTz(values[STEP_FINISHED_AT - 1]);
	step->until = nulls[STEP_UNTIL - 1] ? NO_TIME : DatumGetTimestampTz(values[STEP_UNTIL - 1]);
	step->awaits = nulls[STEP_AWAITS - 1] ? NULL : TextDatumGetCString(values[STEP_AWAITS - 1]);
	step->waits_since = nulls[STEP_WAITS_SINCE - 1] ? NO_TIME :
		DatumGetTimestampTz(values[STEP_WAITS_SINCE - 1]);
	step->tid = slot->tts_tid;
}

static const DirectTable step_table = {CAT_STEP, step_columns, STEP_NATTS};

bool
step_find(int64 job_id, const char *name, Step *step)
{
	DirectScan	scan;
	ScanKeyData keys[2];
	bool		found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job_id));
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXTEQ, CStringGetTextDatum(name));
	direct_scan_open(&scan, &step_table, CAT_STEP_PKEY, lengthof(keys), keys);
	found = direct_scan_next(&scan);
	if (found)
		from_slot(scan.slot, step);
	direct_scan_close(&scan);
	return found;
}

void
step_insert(const Step *step)
{
	Datum		values[STEP_NATTS];
	bool		nulls[STEP_NATTS];

	to_values(step, values, nulls);
	direct_insert(catalog_oid(CAT_STEP), step_columns, STEP_NATTS, values, nulls);
}

void
step_update(const Step *step)
{
	Relation	rel = table_open(catalog_oid(CAT_STEP), RowExclusiveLock);
	ItemPointerData tid = step->tid;
	Datum		values[STEP_NATTS];
	bool		nulls[STEP_NATTS];

	to_values(step, values, nulls);
	if (!direct_update_rel(rel, step_columns, STEP_NATTS, &tid, values, nulls))
		elog(ERROR, "step \"%s\" of job " INT64_FORMAT " was changed by another process",
			 step->name, step->job_id);
	table_close(rel, NoLock);
}

void
step_stop_waiting(int64 job_id)
{
	DirectScan	scan;
	ScanKeyData key;
	Step		step = {.waits_since = NO_TIME};

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job_id));
	direct_scan_open(&scan, &step_table, CAT_STEP_PKEY, 1, &key);
	while (step.waits_since == NO_TIME && direct_scan_next(&scan))
	{
		CHECK_FOR_INTERRUPTS();
		if (!slot_attisnull(scan.slot, STEP_WAITS_SINCE))
			from_slot(scan.slot, &step);
	}
	direct_scan_close(&scan);
	if (step.waits_since == NO_TIME)
		return;
	step.waits_since = NO_TIME;
	step_update(&step);
}

bool
step_any(int64 job_id)
{
	DirectScan	scan;
	ScanKeyData key;
	bool		found;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job_id));
	direct_scan_open(&scan, &step_table, CAT_STEP_PKEY, 1, &key);
	found = direct_scan_next(&scan);
	direct_scan_close(&scan);
	return found;
}
