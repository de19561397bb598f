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
 * statement must not open five relations each.  The open relations belong to
 * the transaction itself, so that they outlive a subtransaction's rollback.
 */
JobTable *
job_table(void)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext context;
	Oid			pkey,
				claim_index;

	if (opened.rel != NULL)
		return &opened;

	context = MemoryContextSwitchTo(TopTransactionContext);
	CurrentResourceOwner = TopTransactionResourceOwner;
	PG_TRY();
	{
		Relation	rel = table_open(catalog_oid(CAT_JOB), RowExclusiveLock);

		table_check(rel, job_columns, JOB_NATTS);

		/*
		 * not before: a session that we have waited for may have made them
		 * anew
		 */
		pkey = catalog_oid(CAT_JOB_PKEY);
		claim_index = catalog_oid(CAT_JOB_CLAIM_IDX);
		opened.key_index = catalog_oid(CAT_JOB_KEY_IDX);
		opened.estate = CreateExecutorState();
		opened.info = makeNode(ResultRelInfo);
		InitResultRelInfo(opened.info, rel, 1, NULL, 0);
		ExecOpenIndices(opened.info, true);
		opened.slot = table_slot_create(rel, NULL);
		opened.nblocks = 0;
		opened.pkey = opened.claim_index = NULL;
		for (int i = 0; i < opened.info->ri_NumIndices; i++)
		{
			Relation	index = opened.info->ri_IndexRelationDescs[i];

			if (RelationGetRelid(index) == pkey)
				opened.pkey = index;
			else if (RelationGetRelid(index) == claim_index)
				opened.claim_index = index;
		}
		if (opened.pkey == NULL || opened.claim_index == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"defer.job\" does not have the indexes that this version of defer expects"),
					 errhint("Run ALTER EXTENSION defer UPDATE.")));
		opened.rel = rel;
	}
	PG_CATCH();
	{
		CurrentResourceOwner = owner;
		PG_RE_THROW();
	}
	PG_END_TRY();
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(context);
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
	ExecCloseIndices(table.info);
	table_close(table.rel, NoLock);
	FreeExecutorState(table.estate);
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
	List	   *arbiters = conflict != NULL ? list_make1_oid(table->key_index) : NIL;

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
	JobTable   *table = job_table();
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
 * Write the claim alone: "old" holds the row's version at tid.  new_place is
 * where the row is then; NULL: not needed.
 */
bool
job_set_claim_at(ItemPointer tid, TupleTableSlot *old, int64 claim, CachedTid *new_place)
{
	JobTable   *table = job_table();
	int			natts = table->slot->tts_tupleDescriptor->natts;
	TM_Result	result;

	slot_getallattrs(old);
	ExecClearTuple(table->slot);
	memcpy(table->slot->tts_values, old->tts_values, natts * sizeof(Datum));
	memcpy(table->slot->tts_isnull, old->tts_isnull, natts * sizeof(bool));
	table->slot->tts_values[JOB_CLAIM - 1] = Int64GetDatum(claim);
	table->slot->tts_isnull[JOB_CLAIM - 1] = claim == 0;
	ExecStoreVirtualTuple(table->slot);
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
