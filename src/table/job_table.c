/*
 * job_table.c
 *		defer.job: the table, and rows of it by their place.
 *
 * By direct access to table and indexes: plans, permissions, search_path,
 * triggers and row security do not apply, and it is fast.  Row triggers that a
 * user puts on defer.job do not fire; further indexes are kept up.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/table_check.h"
#include "table/job_row.h"
#include "table/job_table.h"

static JobTable opened;			/* rel == NULL: not open */

/* ------------------------------------------------------------------------
 * The table
 * ------------------------------------------------------------------------ */

/*
 * Open defer.job for writing, once a transaction: a million enqueues in one
 * statement must not open seven relations each.  The open relations belong to
 * the transaction itself, so that they outlive a subtransaction's rollback.
 */
static void
open_table(void)
{
	Relation	rel = table_open(catalog_oid(CAT_JOB), RowExclusiveLock);

	table_check(rel, job_columns, JOB_NATTS);
	opened.slot = table_slot_create(rel, NULL);
	opened.nblocks = 0;
	opened.pkey = opened.claim_index = opened.order_index = NULL;
	opened.info = NULL;
	opened.estate = NULL;
	opened.rel = rel;
}

static void
open_pkey(void)
{
	opened.pkey = index_open(catalog_oid(CAT_JOB_PKEY), RowExclusiveLock);
}

static void
open_claim_index(void)
{
	opened.claim_index = index_open(catalog_oid(CAT_JOB_CLAIM_IDX), RowExclusiveLock);
}

static void
open_order_index(void)
{
	opened.order_index = index_open(catalog_oid(CAT_JOB_ORDER_IDX), RowExclusiveLock);
}

/* Open all indexes, for new entries */
static void
open_indexes(void)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);

	opened.key_index = catalog_oid(CAT_JOB_KEY_IDX);
	InitResultRelInfo(info, opened.rel, 1, NULL, 0);
	ExecOpenIndices(info, true);
	opened.estate = estate;
	opened.info = info;
}

/* Let the transaction itself own what that opens */
static void
open_for_transaction(void (*open) (void))
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);

	CurrentResourceOwner = TopTransactionResourceOwner;
	PG_TRY();
	{
		open();
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

JobTable *
job_table(void)
{
	if (opened.rel == NULL)
		open_for_transaction(open_table);
	return &opened;
}

static JobTable *
table_with_pkey(void)
{
	if (job_table()->pkey == NULL)
		open_for_transaction(open_pkey);
	return &opened;
}

JobTable *
job_table_with_claim_index(void)
{
	if (job_table()->claim_index == NULL)
		open_for_transaction(open_claim_index);
	return &opened;
}

JobTable *
job_table_with_order_index(void)
{
	if (job_table()->order_index == NULL)
		open_for_transaction(open_order_index);
	return &opened;
}

JobTable *
job_table_with_indexes(void)
{
	if (job_table()->info == NULL)
		open_for_transaction(open_indexes);
	return &opened;
}

/* At the commit, and before utility commands */
void
job_table_close(void)
{
	ResourceOwner owner = CurrentResourceOwner;
	JobTable	table = opened;

	if (table.rel == NULL)
		return;
	opened.rel = NULL;
	CurrentResourceOwner = TopTransactionResourceOwner;
	ExecDropSingleTupleTableSlot(table.slot);
	if (table.pkey != NULL)
		index_close(table.pkey, NoLock);
	if (table.claim_index != NULL)
		index_close(table.claim_index, NoLock);
	if (table.order_index != NULL)
		index_close(table.order_index, NoLock);
	if (table.info != NULL)
	{
		ExecCloseIndices(table.info);
		FreeExecutorState(table.estate);
	}
	table_close(table.rel, NoLock);
	CurrentResourceOwner = owner;
}

/*
 * An abort releases everything by itself.  At the commit it may have been opened
 * once more, by a callback that another library has registered and that is called
 * after ours.
 */
static void
job_table_xact_callback(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
		case XACT_EVENT_COMMIT:
			job_table_close();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			opened.rel = NULL;
			break;
		default:
			break;
	}
}

/* A table that this transaction has made may be gone with the subtransaction */
static void
job_table_subxact_callback(SubXactEvent event)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && opened.rel != NULL &&
		opened.rel->rd_createSubid != InvalidSubTransactionId)
		job_table_close();
}

void
job_table_init(void)
{
	defer_on_xact_event(job_table_xact_callback);
	defer_on_subxact_event(job_table_subxact_callback);
}

/*
 * Insert the index entries of the row in table->slot.  Never as an "update" in
 * the executor's sense, which looks for the columns that a query names, to give
 * indexes a hint.
 */
void
job_table_index_row(JobTable *table, bool *conflict, bool only_summarizing)
{
	List	   *arbiters;

	(void) job_table_with_indexes();
	arbiters = conflict != NULL ? list_make1_oid(table->key_index) : NIL;
	list_free(compat_insert_index_tuples(table->info, table->slot, table->estate, false,
										 conflict != NULL, conflict, arbiters,
										 only_summarizing));
	list_free(arbiters);
	ResetPerTupleExprContext(table->estate);
}

/* ------------------------------------------------------------------------
 * Find
 * ------------------------------------------------------------------------ */

/* The newest committed version of a row, into the slot */
bool
job_tid(int64 id, ItemPointer tid, TupleTableSlot *slot)
{
	JobTable   *table = table_with_pkey();
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan;
	ScanKeyData key;
	bool		found;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = compat_index_beginscan(table->rel, table->pkey, snapshot, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	if (found)
	{
		ExecMaterializeSlot(slot);
		*tid = slot->tts_tid;
	}
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	return found;
}

/* ------------------------------------------------------------------------
 * Change and delete
 * ------------------------------------------------------------------------ */

TM_Result
job_table_update_at(JobTable *table, ItemPointer tid, bool wait)
{
	TM_FailureData failure;
	LockTupleMode lock_mode;
	CompatUpdateIndexes indexes;
	TM_Result	result;

	result = compat_table_update(table->rel, tid, table->slot, GetCurrentCommandId(true), wait,
								 &failure, &lock_mode, &indexes);
	if (result == TM_Ok && !COMPAT_NO_INDEXES(indexes))
		job_table_index_row(table, NULL, COMPAT_ONLY_SUMMARIZING(indexes));
	return result;
}

/*
 * Copy a version of a row, with that claim.  No column is taken out and put in again: the
 * claim is at a fixed place, and its 8 bytes more leave the alignment of what is behind
 * them as it was.  claim 0: the row has none.
 */
static HeapTuple
copy_with_claim(HeapTuple old, int64 claim)
{
	const bool	free = HeapTupleHasNulls(old) && att_isnull(JOB_CLAIM - 1, old->t_data->t_bits);
	const uint32 before = old->t_data->t_hoff + offsetof(JobRowHead, claim);
	const uint32 more = free && claim != 0 ? sizeof(claim) : 0;
	HeapTuple	copy;

	Assert(claim != 0 || free);
	copy = palloc(HEAPTUPLESIZE + old->t_len + more);
	copy->t_len = old->t_len + more;
	copy->t_self = old->t_self;
	copy->t_tableOid = old->t_tableOid;
	copy->t_data = (HeapTupleHeader) ((char *) copy + HEAPTUPLESIZE);
	memcpy(copy->t_data, old->t_data, before);
	memcpy((char *) copy->t_data + before + more, (char *) old->t_data + before,
		   old->t_len - before);
	if (claim == 0)
		return copy;
	memcpy((char *) copy->t_data + before, &claim, sizeof(claim));
	if (free)
		copy->t_data->t_bits[(JOB_CLAIM - 1) >> 3] |= 1 << ((JOB_CLAIM - 1) & 0x07);
	return copy;
}

StaticAssertDecl(offsetof(JobRowHead, claim) % MAXIMUM_ALIGNOF == 0,
				 "what is behind the claim keeps its alignment");

/*
 * Write the claim alone: "old" holds the row's version at tid; 0: it has none, and gets
 * none.  new_place is where the row is then; NULL: not needed.
 */
bool
job_set_claim_at(ItemPointer tid, TupleTableSlot *old, int64 claim, CachedTid *new_place)
{
	JobTable   *table = job_table();
	bool		should_free;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(old, false, &should_free);
	TM_Result	result;

	ExecForceStoreHeapTuple(copy_with_claim(tuple, claim), table->slot, true);
	if (should_free)
		heap_freetuple(tuple);
	result = job_table_update_at(table, tid, false);
	if (new_place != NULL)
		tid_cache_set(new_place, table->rel, &table->slot->tts_tid);
	ExecClearTuple(table->slot);
	return result == TM_Ok;
}

bool
job_table_delete_at(ItemPointer tid, bool wait)
{
	TM_FailureData failure;
	TM_Result	result;

	result = compat_table_delete(job_table()->rel, tid, GetCurrentCommandId(true), wait, &failure);
	return result == TM_Ok || result == TM_SelfModified;
}

/* true: deleted, now or before by us; false: another session is at it or was */
bool
job_delete_at(ItemPointer tid)
{
	return job_table_delete_at(tid, false);
}

/*
 * Check whether the version of a row that the slot has was replaced by another,
 * in a transaction that may have been rolled back, or be under way.
 */
static bool
has_later_version(TupleTableSlot *slot)
{
	bool		should_free;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
	bool		later = !ItemPointerEquals(&tuple->t_data->t_ctid, &slot->tts_tid);

	if (should_free)
		heap_freetuple(tuple);
	return later;
}

/*
 * The same where an earlier transaction has left the row.  If it is not there
 * any more, or was changed, it is looked for: then *followed_by is the row's,
 * unless the pointer is NULL.
 */
bool
job_delete_left(CachedTid *place, int64 id, int64 *followed_by)
{
	JobTable   *table = job_table();
	ItemPointerData tid = place->tid;
	bool		deleted;

	if (!tid_cache_holds(place, table->rel, &table->nblocks, id, table->slot) ||
		has_later_version(table->slot))
	{
		CommandCounterIncrement();
		if (!job_tid(id, &tid, table->slot))
			ItemPointerSetInvalid(&tid);
		else if (followed_by != NULL)
		{
			bool		isnull;
			Datum		value = slot_getattr(table->slot, JOB_FOLLOWED_BY, &isnull);

			*followed_by = isnull ? 0 : DatumGetInt64(value);
		}
	}
	deleted = ItemPointerIsValid(&tid) && job_table_delete_at(&tid, false);
	ExecClearTuple(table->slot);
	return deleted;
}
