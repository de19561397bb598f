/*
 * direct_insert.c
 *		Rows into our tables and their indexes, and new versions of rows, without
 *		plan and executor.
 *
 * Once a job at least: so the properties of a table's indexes are looked up
 * once, and kept until it is invalidated.  Only plain btree indexes are
 * written here, with a condition at most; a table with other indexes, which a
 * user has made, goes the general way.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pg_list.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/callbacks.h"
#include "base/compat.h"
#include "base/table_check.h"
#include "table/direct_insert.h"

/* A table with more indexes is not "plain" */
#define MAX_INDEXES		16

typedef struct InsertIndex
{
	Oid			index;
	IndexInfo  *info;
	ExprState  *predicate;		/* NULL: none */
} InsertIndex;

/* How rows get into the indexes of a table */
typedef struct InsertPlan
{
	Oid			relation;		/* InvalidOid: to be looked up */
	bool		plain;			/* we can do without an executor */
	int			n;
	InsertIndex indexes[MAX_INDEXES];
	EState	   *estate;			/* of their predicates */
	TupleTableSlot *slot;		/* for the row */
	MemoryContext context;		/* has what all of these point to */
} InsertPlan;

static InsertPlan insert_plans[8];
static unsigned int next_insert_plan = 0;
static unsigned int forgotten = 0;	/* counts what has been invalidated */

static void
forget_plans(Oid relation)
{
	forgotten++;
	for (int i = 0; i < lengthof(insert_plans); i++)
	{
		if (relation == InvalidOid || insert_plans[i].relation == relation)
			insert_plans[i].relation = InvalidOid;
	}
}

/* The general way, for tables whose indexes have expressions and the like */
static void
insert_with_executor(Relation rel, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);

	PushActiveSnapshot(GetTransactionSnapshot());
	InitResultRelInfo(info, rel, 1, NULL, 0);
	ExecOpenIndices(info, false);
	(void) compat_insert_index_tuples(info, slot, estate, false, false, NULL, NIL, false);
	ExecCloseIndices(info);
	FreeExecutorState(estate);
	PopActiveSnapshot();
}

/* Do the part of this that a plain index needs */
static void
insert_plain_index_entry(Relation rel, const InsertIndex *into, TupleTableSlot *slot)
{
	Relation	index = index_open(into->index, RowExclusiveLock);
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	if (index->rd_index->indisready)
	{
		FormIndexDatum(into->info, slot, NULL, values, nulls);
		index_insert(index, values, nulls, &slot->tts_tid, rel,
					 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, into->info);
	}
	index_close(index, NoLock);
}

/* Check for a function that a user may replace without announcing it to us */
static bool
is_users_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

static bool
calls_users_function(Node *node, void *context)
{
	return node != NULL &&
		(check_functions_in_node(node, is_users_function, NULL) ||
		 expression_tree_walker(node, calls_users_function, NULL));
}

/* Check whether the row belongs into the index */
static bool
predicate_holds(InsertPlan *plan, const InsertIndex *into, TupleTableSlot *slot)
{
	ExprContext *context;

	if (into->predicate == NULL)
		return true;
	context = GetPerTupleExprContext(plan->estate);
	context->ecxt_scantuple = slot;
	return ExecQual(into->predicate, context);
}

/*
 * The indexes of a table that we insert into, looked up once.  Whatever
 * changes them sends a relcache invalidation for the table.
 */
static InsertPlan *
insert_plan(Relation rel, const char *const *columns, int natts)
{
	InsertPlan *plan = NULL;
	unsigned int forgotten_before = forgotten;
	List	   *indexes;
	ListCell   *cell;
	MemoryContext old;

	defer_on_relcache_change(forget_plans);
	for (int i = 0; i < lengthof(insert_plans); i++)
	{
		if (insert_plans[i].relation == RelationGetRelid(rel))
			return &insert_plans[i];
		if (plan == NULL && insert_plans[i].relation == InvalidOid)
			plan = &insert_plans[i];
	}
	if (plan == NULL)
		plan = &insert_plans[next_insert_plan++ % lengthof(insert_plans)];
	plan->relation = InvalidOid;
	if (plan->context == NULL)
		plan->context = AllocSetContextCreate(TopMemoryContext, "defer indexes",
											  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(plan->context);
	table_check(rel, columns, natts);
	plan->n = 0;
	plan->plain = true;
	old = MemoryContextSwitchTo(plan->context);
	plan->estate = CreateExecutorState();
	plan->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(rel)),
										  table_slot_callbacks(rel));
	MemoryContextSwitchTo(old);

	indexes = RelationGetIndexList(rel);
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), RowExclusiveLock);
		List	   *predicate = RelationGetIndexPredicate(index);

		if (RelationGetIndexExpressions(index) != NIL ||
			calls_users_function((Node *) predicate, NULL) ||
			index->rd_rel->relam != BTREE_AM_OID || index->rd_index->indisexclusion ||
			!index->rd_index->indimmediate || plan->n == MAX_INDEXES)
			plan->plain = false;
		else
		{
			InsertIndex *into = &plan->indexes[plan->n++];

			old = MemoryContextSwitchTo(plan->context);
			into->index = lfirst_oid(cell);
			into->info = BuildIndexInfo(index);
			into->predicate = ExecPrepareQual(into->info->ii_Predicate, plan->estate);
			MemoryContextSwitchTo(old);
		}
		index_close(index, NoLock);
	}
	list_free(indexes);
	/* if something has changed meanwhile it is for this time only */
	if (forgotten == forgotten_before)
		plan->relation = RelationGetRelid(rel);
	return plan;
}

/* Put the values of a row into the plan's slot, as the table has it now; returns it */
static TupleTableSlot *
make_row(InsertPlan *plan, int natts, Datum *values, bool *nulls)
{
	TupleTableSlot *slot = plan->slot;
	int			all = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, natts * sizeof(bool));
	for (int i = natts; i < all; i++)
		slot->tts_isnull[i] = true; /* a later version's, or a user's own */
	ExecStoreVirtualTuple(slot);
	return slot;
}

static void
insert_index_entries(Relation rel, InsertPlan *plan, TupleTableSlot *slot)
{
	if (!plan->plain)
	{
		insert_with_executor(rel, slot);
		return;
	}

	/*
	 * Opening an index may hear of a change and make the plan invalid, but
	 * its memory is ours until insert_plan() is called again.
	 */
	for (int i = 0; i < plan->n; i++)
	{
		if (predicate_holds(plan, &plan->indexes[i], slot))
			insert_plain_index_entry(rel, &plan->indexes[i], slot);
	}
	ResetPerTupleExprContext(plan->estate);
}

void
direct_insert_rel(Relation rel, const char *const *columns, int natts, Datum *values, bool *nulls)
{
	InsertPlan *plan = insert_plan(rel, columns, natts);
	TupleTableSlot *slot = make_row(plan, natts, values, nulls);

	table_tuple_insert(rel, slot, GetCurrentCommandId(true), 0, NULL);
	insert_index_entries(rel, plan, slot);
	ExecClearTuple(slot);
}

bool
direct_update_rel(Relation rel, const char *const *columns, int natts, ItemPointer tid,
				  Datum *values, bool *nulls)
{
	InsertPlan *plan = insert_plan(rel, columns, natts);
	TupleTableSlot *slot = make_row(plan, natts, values, nulls);
	TM_FailureData failure;
	LockTupleMode lock_mode;
	CompatUpdateIndexes indexes;
	TM_Result	result;

	result = compat_table_update(rel, tid, slot, GetCurrentCommandId(true), false, &failure,
								 &lock_mode, &indexes);
	if (result == TM_Ok && !COMPAT_NO_INDEXES(indexes) && !COMPAT_ONLY_SUMMARIZING(indexes))
		insert_index_entries(rel, plan, slot);
	ExecClearTuple(slot);
	return result == TM_Ok;
}

void
direct_insert(Oid relation, const char *const *columns, int natts, Datum *values, bool *nulls)
{
	Relation	rel = table_open(relation, RowExclusiveLock);

	direct_insert_rel(rel, columns, natts, values, nulls);
	table_close(rel, NoLock);
}
