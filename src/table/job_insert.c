/*
 * job_insert.c
 *		New rows of defer.job, without and with a key.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/citus.h"
#include "base/compat.h"
#include "shmem/xact_notify_job.h"
#include "table/job_insert.h"
#include "table/job_table.h"

/* Make of a number of this node one that no other node gives out */
static int64
id_on_node(int64 number)
{
	const int64 node = citus_node();

	if (node == 0)
		return number;
	if (number >= CITUS_NODE_IDS || node >= PG_INT64_MAX / CITUS_NODE_IDS)
		ereport(ERROR,
				(errcode(ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED),
				 errmsg("node %d of Citus has no ids of jobs left", (int) node)));
	return node * CITUS_NODE_IDS + number;
}

int64
job_new_id(void)
{
	const int64 number = nextval_internal(catalog_oid(CAT_JOB_ID_SEQ), false);

	return citus_loaded ? id_on_node(number) : number;
}

/* Set what a new row has */
static void
begin_row(Job *job)
{
	if (job->id == 0)
		job->id = job_new_id();
	if (job->enqueued_at == 0)
		job->enqueued_at = GetCurrentTimestamp();
	job->claim = 0;
}

int64
job_insert(Job *job)
{
	JobTable   *table = job_table_with_indexes();
	MemoryContext context;

	Assert(job->key == NULL);
	begin_row(job);
	context = MemoryContextSwitchTo(GetPerTupleMemoryContext(table->estate));
	job_to_slot(job, table->slot);
	table_tuple_insert(table->rel, table->slot, GetCurrentCommandId(true), 0, NULL);
	job_table_index_row(table, NULL, false);
	MemoryContextSwitchTo(context);
	ExecClearTuple(table->slot);
	ResetPerTupleExprContext(table->estate);
	xact_notify_job(job);
	return job->id;
}

/* ------------------------------------------------------------------------
 * With a key
 * ------------------------------------------------------------------------ */

/* Read whose row it is that has the key; false: it went away meanwhile */
static bool
read_holder(JobTable *table, ItemPointer tid, KeyHolder *holder)
{
	TupleTableSlot *slot = table_slot_create(table->rel, NULL);
	bool		found = table_tuple_fetch_row_version(table->rel, tid, SnapshotAny, slot);

	if (found)
	{
		bool		isnull;

		holder->id = DatumGetInt64(slot_getattr(slot, JOB_ID, &isnull));
		(void) slot_getattr(slot, JOB_CLAIM, &isnull);
		holder->claimed = !isnull;
	}
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/*
 * Insert a row with a key, as INSERT ... ON CONFLICT DO NOTHING does: wait for
 * a transaction that is inserting the same key and has not committed.  False:
 * there is a row that has the key then.
 */
static bool
insert_with_key(JobTable *table, const Job *job, List *arbiters, KeyHolder *holder)
{
	for (;;)
	{
		ItemPointerData other;
		uint32		token;
		bool		conflict = false;

		CHECK_FOR_INTERRUPTS();
		job_to_slot(job, table->slot);
		ItemPointerSetInvalid(&table->slot->tts_tid);
		if (!compat_check_index_constraints(table->info, table->slot, table->estate,
											&other, arbiters))
		{
			if (read_holder(table, &other, holder))
				return false;
			continue;
		}
		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
		table_tuple_insert_speculative(table->rel, table->slot,
									   GetCurrentCommandId(true), 0, NULL, token);
		job_table_index_row(table, &conflict, false);
		table_tuple_complete_speculative(table->rel, table->slot, token, !conflict);
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
		if (!conflict)
			return true;
	}
}

bool
job_insert_key(Job *job, KeyHolder *holder)
{
	JobTable   *table = job_table_with_indexes();
	MemoryContext context;
	List	   *arbiters;
	bool		inserted;

	begin_row(job);

	/* not in the memory of the row, which goes with each try */
	arbiters = list_make1_oid(table->key_index);
	context = MemoryContextSwitchTo(GetPerTupleMemoryContext(table->estate));
	inserted = insert_with_key(table, job, arbiters, holder);
	MemoryContextSwitchTo(context);
	list_free(arbiters);
	ExecClearTuple(table->slot);
	ResetPerTupleExprContext(table->estate);
	if (inserted)
		xact_notify_job(job);
	return inserted;
}
