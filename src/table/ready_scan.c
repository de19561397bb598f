/*
 * ready_scan.c
 *		Reading the claim index of defer.job: (owner, ready queue, priority, run_at, id).
 *
 * Claims read one ready queue from its lowest live key on.  The scheduler finds
 * out which ready queues there are by jumping from one to the next.
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
#include "shmem/ready_queue.h"
#include "table/job_table.h"
#include "table/ready_scan.h"

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
	JobTable   *table = job_table_with_claim_index();

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

/* ------------------------------------------------------------------------
 * Many ready queues
 * ------------------------------------------------------------------------ */

bool
ready_scan_is_row_of(TupleTableSlot *slot, const ReadyQueueChoice *queue)
{
	bool		isnull;

	return DatumGetObjectId(slot_getattr(slot, JOB_OWNER, &isnull)) == queue->owner &&
		DatumGetInt64(slot_getattr(slot, JOB_LIMITS_KEY, &isnull)) == queue->limits_key &&
		DatumGetInt32(slot_getattr(slot, JOB_PRIORITY, &isnull)) == queue->priority;
}

/* Copy what a job's limits depend on, by the settings */
static void
copy_names(Job *job, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		group = slot_getattr(slot, JOB_GROUP_KEY, &isnull);

	job_peek(job, slot);
	job->function = DatumGetTextPCopy(PointerGetDatum(job->function));
	job->queue = DatumGetTextPCopy(PointerGetDatum(job->queue));
	job->group_key = isnull ? NULL : DatumGetTextPCopy(group);
	job->owner = DatumGetObjectId(slot_getattr(slot, JOB_OWNER, &isnull));
	if (LIMITS_KEY_IS_DELIVERY(job->limits_key))
	{
		Datum		args = slot_getattr(slot, JOB_ARGS, &isnull);

		job->args = isnull ? NULL : DatumGetJsonbPCopy(args);
	}
}

/*
 * Read the first jobs of the ready queue that the scan stands before: its first
 * free one, and how many of those are due, up to COUNT_MAX.  False: the index
 * is at its end.
 */
static bool
read_queue(IndexScanDesc scan, TupleTableSlot *slot, TimestampTz now, ReadyQueueChoice *queue,
		   Job *first)
{
	bool		isnull;

	if (!index_getnext_slot(scan, ForwardScanDirection, slot))
		return false;
	queue->owner = DatumGetObjectId(slot_getattr(slot, JOB_OWNER, &isnull));
	queue->limits_key = DatumGetInt64(slot_getattr(slot, JOB_LIMITS_KEY, &isnull));
	queue->priority = DatumGetInt32(slot_getattr(slot, JOB_PRIORITY, &isnull));
	queue->scopes = limit_scopes_of_key(queue->limits_key);
	queue->looked_up = false;
	queue->min_key = READY_KEY_NONE;
	queue->ready = 0;
	queue->first_order = 0;
	first->id = 0;
	do
	{
		ReadyKey	key;

		(void) slot_getattr(slot, JOB_CLAIM, &isnull);
		if (!isnull)
			continue;
		key.run_at = DatumGetTimestampTz(slot_getattr(slot, JOB_RUN_AT, &isnull));
		key.id = DatumGetInt64(slot_getattr(slot, JOB_ID, &isnull));
		if (ready_key_before(key, queue->min_key))
			queue->min_key = key;
		if (first->id == 0 && LIMITS_KEY_IS_HASHED(queue->limits_key))
			copy_names(first, slot);
		if (key.run_at > now)
			break;
		queue->ready++;
	} while (queue->ready < COUNT_MAX &&
			 index_getnext_slot(scan, ForwardScanDirection, slot) &&
			 ready_scan_is_row_of(slot, queue));
	return true;
}

/*
 * Let the scan go on behind the cursor, or at it where nothing was read yet.  The scan
 * reads the members for as long as it goes on: they are the caller's.
 */
static void
move_to_cursor(IndexScanDesc scan, const ReadyCursor *cursor, ScanKey members)
{
	const StrategyNumber strategy =
		cursor->started ? BTGreaterStrategyNumber : BTGreaterEqualStrategyNumber;
	ScanKeyData key;

	row_member(&members[0], 1, strategy, false, F_BTOIDCMP, ObjectIdGetDatum(cursor->owner));
	row_member(&members[1], 2, strategy, false, F_BTINT8CMP, Int64GetDatum(cursor->limits_key));
	row_member(&members[2], 3, strategy, true, F_BTINT4CMP, Int32GetDatum(cursor->priority));
	row_header(&key, 1, strategy, members);
	index_rescan(scan, &key, 1, NULL, 0);
}

void
ready_cursor_begin(ReadyCursor *cursor, Oid owner)
{
	cursor->started = false;
	cursor->owner = owner;
	cursor->limits_key = PG_INT64_MIN;
	cursor->priority = PG_INT32_MIN;
}

bool
ready_scan_queues(ReadyCursor *cursor, bool one_role, int max, int max_of_role,
				  ReadySetScopes set_scopes, TimestampTz now)
{
	JobTable   *table = job_table_with_claim_index();
	TupleTableSlot *slot = table_slot_create(table->rel, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = compat_index_beginscan(table->rel, table->claim_index, snapshot, 1);
	ScanKeyData members[3];
	int			of_role = 0;
	bool		at_end = false;

	for (int n = 0; n < max && !at_end; n++)
	{
		ReadyQueueChoice queue;
		Job			first;

		CHECK_FOR_INTERRUPTS();
		move_to_cursor(scan, cursor, members);
		if (!read_queue(scan, slot, now, &queue, &first) ||
			(one_role && queue.owner != cursor->owner))
		{
			at_end = true;
			continue;
		}
		of_role = queue.owner == cursor->owner ? of_role + 1 : 1;
		cursor->started = true;
		cursor->owner = queue.owner;
		if (of_role <= max_of_role)
		{
			cursor->limits_key = queue.limits_key;
			cursor->priority = queue.priority;
			if (first.id != 0)
			{
				set_scopes(&first);
				queue.scopes = first.scopes;
				queue.looked_up = true;
			}
			ready_queue_found(MyDatabaseId, &queue, now);
		}
		else
		{
			/*
			 * the rest of the role is searched for by itself: on to the next
			 * role
			 */
			cursor->limits_key = PG_INT64_MAX;
			cursor->priority = PG_INT32_MAX;
			ready_role_unlisted(MyDatabaseId, queue.owner, now);
		}
	}
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return at_end;
}
