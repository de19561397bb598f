/*
 * ready_scan.c
 *		Reading the claim index of defer.job: (owner, lane, priority, run_at, id).
 *
 * Claims read one lane from its lowest live key on.  The scheduler finds out
 * which lanes there are, when it starts, by jumping from one to the next.
 */
#include "base/defer.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "table/job_table.h"
#include "shmem/shmem.h"

/* Rows that are counted in a lane, to guess how much work there is */
#define COUNT_MAX	64

/* A member of a row comparison; it names a comparison function */
static void
row_member(ScanKey key, AttrNumber column, StrategyNumber strategy, bool last,
		   RegProcedure procedure, Datum value)
{
	ScanKeyEntryInitialize(key, SK_ROW_MEMBER | (last ? SK_ROW_END : 0), column, strategy,
						   InvalidOid, InvalidOid, procedure, value);
}

static void
row_header(ScanKey key, AttrNumber column, StrategyNumber strategy, ScanKey members)
{
	memset(key, 0, sizeof(ScanKeyData));
	key->sk_flags = SK_ROW_HEADER;
	key->sk_attno = column;
	key->sk_strategy = strategy;
	key->sk_argument = PointerGetDatum(members);
}

/* ------------------------------------------------------------------------
 * One lane
 * ------------------------------------------------------------------------ */

void
lane_scan_open(LaneScan *scan, const LaneChoice *lane)
{
	JobTable   *table = job_table();

	ScanKeyInit(&scan->keys[0], 1, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(lane->owner));
	ScanKeyInit(&scan->keys[1], 2, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(lane->lane));
	ScanKeyInit(&scan->keys[2], 3, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(lane->priority));
	row_member(&scan->from[0], 4, BTGreaterEqualStrategyNumber, false,
			   F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(lane->low.run_at));
	row_member(&scan->from[1], 5, BTGreaterEqualStrategyNumber, true,
			   F_BTINT8CMP, Int64GetDatum(lane->low.id));
	row_header(&scan->keys[3], 4, BTGreaterEqualStrategyNumber, scan->from);

	scan->slot = table_slot_create(table->rel, NULL);
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = compat_index_beginscan(table->rel, table->claim_index, scan->snapshot, 4);
	index_rescan(scan->scan, scan->keys, 4, NULL, 0);
}

void
lane_scan_close(LaneScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	UnregisterSnapshot(scan->snapshot);
}

/*
 * Those that are locked are left alone.  *next is the first key that was not
 * dealt with.
 */
int
lane_end_due(const LaneChoice *lane, TimestampTz now, int max, char state,
			 const char *sqlstate, const char *error, LaneKey *next)
{
	LaneScan	scan;
	int			n = 0;

	*next = LANE_KEY_NONE;
	lane_scan_open(&scan, lane);
	while (index_getnext_slot(scan.scan, ForwardScanDirection, scan.slot))
	{
		ItemPointerData tid = scan.slot->tts_tid;
		bool		isnull;
		LaneKey		key;
		Job			job;

		CHECK_FOR_INTERRUPTS();
		key.run_at = DatumGetTimestampTz(slot_getattr(scan.slot, JOB_RUN_AT, &isnull));
		key.id = DatumGetInt64(slot_getattr(scan.slot, JOB_ID, &isnull));
		if (key.run_at > now || n == max)
		{
			if (lane_key_before(key, *next))
				*next = key;
			break;
		}
		(void) slot_getattr(scan.slot, JOB_CLAIM, &isnull);
		if (!isnull)
			continue;
		job_from_slot(&job, scan.slot);
		if (!job_delete_at(&tid))
		{
			if (lane_key_before(key, *next))
				*next = key;
			continue;
		}
		history_insert(&job, state, job.attempt, NO_TIME, NULL, sqlstate, error);
		if (job.schedule_id != 0)
			pending_release();
		n++;
	}
	lane_scan_close(&scan);
	return n;
}

/* ------------------------------------------------------------------------
 * All lanes
 * ------------------------------------------------------------------------ */

/* Read the first jobs of the lane that the scan stands in; false: the index is at its end */
static bool
load_lane(IndexScanDesc scan, TupleTableSlot *slot, TimestampTz now, LaneChoice *lane)
{
	int64		count = 0;
	bool		isnull;

	if (!index_getnext_slot(scan, ForwardScanDirection, slot))
		return false;
	lane->owner = DatumGetObjectId(slot_getattr(slot, JOB_OWNER, &isnull));
	lane->lane = DatumGetInt64(slot_getattr(slot, JOB_LANE, &isnull));
	lane->priority = DatumGetInt32(slot_getattr(slot, JOB_PRIORITY, &isnull));
	lane->low.run_at = DatumGetTimestampTz(slot_getattr(slot, JOB_RUN_AT, &isnull));
	lane->low.id = DatumGetInt64(slot_getattr(slot, JOB_ID, &isnull));
	do
	{
		if (DatumGetObjectId(slot_getattr(slot, JOB_OWNER, &isnull)) != lane->owner ||
			DatumGetInt64(slot_getattr(slot, JOB_LANE, &isnull)) != lane->lane ||
			DatumGetInt32(slot_getattr(slot, JOB_PRIORITY, &isnull)) != lane->priority ||
			DatumGetTimestampTz(slot_getattr(slot, JOB_RUN_AT, &isnull)) > now)
			break;
		(void) slot_getattr(slot, JOB_CLAIM, &isnull);
		if (isnull)
			count++;
	} while (count < COUNT_MAX && index_getnext_slot(scan, ForwardScanDirection, slot));
	lane_lower(MyDatabaseId, lane->owner, lane->lane, lane->priority, lane->low, count);
	return true;
}

void
lanes_load(TimestampTz now)
{
	JobTable   *table = job_table();
	TupleTableSlot *slot = table_slot_create(table->rel, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->claim_index, snapshot, 1);
	ScanKeyData members[3];
	ScanKeyData key;
	LaneChoice	lane;
	bool		more;

	/* all of them first, then what comes after the lane that was found */
	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_OIDGE, ObjectIdGetDatum(InvalidOid));
	index_rescan(scan, &key, 1, NULL, 0);
	for (more = load_lane(scan, slot, now, &lane); more; more = load_lane(scan, slot, now, &lane))
	{
		CHECK_FOR_INTERRUPTS();
		row_member(&members[0], 1, BTGreaterStrategyNumber, false,
				   F_BTOIDCMP, ObjectIdGetDatum(lane.owner));
		row_member(&members[1], 2, BTGreaterStrategyNumber, false,
				   F_BTINT8CMP, Int64GetDatum(lane.lane));
		row_member(&members[2], 3, BTGreaterStrategyNumber, true,
				   F_BTINT4CMP, Int32GetDatum(lane.priority));
		row_header(&key, 1, BTGreaterStrategyNumber, members);
		index_rescan(scan, &key, 1, NULL, 0);
	}
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
}
