/*
 * ready_scan.c
 *		Reading the claim index of defer.job: (owner, ready queue, priority, run_at, id).
 *
 * Claims read one ready queue from its lowest live key on.  The scheduler finds out
 * which ready queues there are, when it starts, by jumping from one to the next.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/job.h"
#include "shmem/shmem.h"
#include "shmem/xact_notify.h"
#include "table/history_table.h"
#include "table/job_table.h"

/* Rows that are counted in a ready queue, to guess how much work there is */
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
 * One ready queue
 * ------------------------------------------------------------------------ */

void
ready_scan_open(ReadyScan *scan, const ReadyQueueChoice *rq)
{
	JobTable   *table = job_table();

	ScanKeyInit(&scan->keys[0], 1, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(rq->owner));
	ScanKeyInit(&scan->keys[1], 2, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(rq->limits_key));
	ScanKeyInit(&scan->keys[2], 3, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(rq->priority));
	row_member(&scan->from[0], 4, BTGreaterEqualStrategyNumber, false,
			   F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(rq->min_key.run_at));
	row_member(&scan->from[1], 5, BTGreaterEqualStrategyNumber, true,
			   F_BTINT8CMP, Int64GetDatum(rq->min_key.id));
	row_header(&scan->keys[3], 4, BTGreaterEqualStrategyNumber, scan->from);

	scan->slot = table_slot_create(table->rel, NULL);
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = compat_index_beginscan(table->rel, table->claim_index, scan->snapshot, 4);
	index_rescan(scan->scan, scan->keys, 4, NULL, 0);
}

void
ready_scan_close(ReadyScan *scan)
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
ready_scan_end_due(const ReadyQueueChoice *rq, TimestampTz now, int max, char state,
			 const char *sqlstate, const char *error, ReadyKey *next)
{
	ReadyScan	scan;
	int			n = 0;

	*next = READY_KEY_NONE;
	ready_scan_open(&scan, rq);
	while (index_getnext_slot(scan.scan, ForwardScanDirection, scan.slot))
	{
		ItemPointerData tid = scan.slot->tts_tid;
		bool		isnull;
		ReadyKey		key;
		Job			job;

		CHECK_FOR_INTERRUPTS();
		key.run_at = DatumGetTimestampTz(slot_getattr(scan.slot, JOB_RUN_AT, &isnull));
		key.id = DatumGetInt64(slot_getattr(scan.slot, JOB_ID, &isnull));
		if (key.run_at > now || n == max)
		{
			if (ready_key_before(key, *next))
				*next = key;
			break;
		}
		(void) slot_getattr(scan.slot, JOB_CLAIM, &isnull);
		if (!isnull)
			continue;
		job_from_slot(&job, scan.slot);
		if (!job_delete_at(&tid))
		{
			if (ready_key_before(key, *next))
				*next = key;
			continue;
		}
		history_insert(&job, state, job.attempt, NO_TIME, NULL, sqlstate, error);
		if (job.schedule_id != 0)
			xact_notify_release();
		n++;
	}
	ready_scan_close(&scan);
	return n;
}

/* ------------------------------------------------------------------------
 * All ready queues
 * ------------------------------------------------------------------------ */

/* Read the first jobs of the ready queue that the scan stands in; false: the index is at its end */
static bool
load_ready_queue(IndexScanDesc scan, TupleTableSlot *slot, TimestampTz now, ReadyQueueChoice *rq)
{
	int64		count = 0;
	bool		isnull;

	if (!index_getnext_slot(scan, ForwardScanDirection, slot))
		return false;
	rq->owner = DatumGetObjectId(slot_getattr(slot, JOB_OWNER, &isnull));
	rq->limits_key = DatumGetInt64(slot_getattr(slot, JOB_LIMITS_KEY, &isnull));
	rq->priority = DatumGetInt32(slot_getattr(slot, JOB_PRIORITY, &isnull));
	rq->min_key.run_at = DatumGetTimestampTz(slot_getattr(slot, JOB_RUN_AT, &isnull));
	rq->min_key.id = DatumGetInt64(slot_getattr(slot, JOB_ID, &isnull));
	do
	{
		if (DatumGetObjectId(slot_getattr(slot, JOB_OWNER, &isnull)) != rq->owner ||
			DatumGetInt64(slot_getattr(slot, JOB_LIMITS_KEY, &isnull)) != rq->limits_key ||
			DatumGetInt32(slot_getattr(slot, JOB_PRIORITY, &isnull)) != rq->priority ||
			DatumGetTimestampTz(slot_getattr(slot, JOB_RUN_AT, &isnull)) > now)
			break;
		(void) slot_getattr(slot, JOB_CLAIM, &isnull);
		if (isnull)
			count++;
	} while (count < COUNT_MAX && index_getnext_slot(scan, ForwardScanDirection, slot));
	ready_queue_add(MyDatabaseId, rq->owner, rq->limits_key, rq->priority, rq->min_key, count);
	return true;
}

void
ready_scan_load(TimestampTz now)
{
	JobTable   *table = job_table();
	TupleTableSlot *slot = table_slot_create(table->rel, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->claim_index, snapshot, 1);
	ScanKeyData members[3];
	ScanKeyData key;
	ReadyQueueChoice rq;
	bool		more;

	/* all of them first, then what comes after the ready queue that was found */
	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_OIDGE, ObjectIdGetDatum(InvalidOid));
	index_rescan(scan, &key, 1, NULL, 0);
	for (more = load_ready_queue(scan, slot, now, &rq); more; more = load_ready_queue(scan, slot, now, &rq))
	{
		CHECK_FOR_INTERRUPTS();
		row_member(&members[0], 1, BTGreaterStrategyNumber, false,
				   F_BTOIDCMP, ObjectIdGetDatum(rq.owner));
		row_member(&members[1], 2, BTGreaterStrategyNumber, false,
				   F_BTINT8CMP, Int64GetDatum(rq.limits_key));
		row_member(&members[2], 3, BTGreaterStrategyNumber, true,
				   F_BTINT4CMP, Int32GetDatum(rq.priority));
		row_header(&key, 1, BTGreaterStrategyNumber, members);
		index_rescan(scan, &key, 1, NULL, 0);
	}
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
}
