/*
 * direct_insert.c
 *		Rows into our tables and their indexes, without plan and executor.
 *
 * Once a job at least: so what there is to know of a table's indexes is looked
 * up once, and kept until it is invalidated.  Only plain btree indexes are
 * written here, with a condition at most; a table that has others, which
 * somebody has made, goes the general way.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "nodes/pg_list.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/callbacks.h"
#include "base/compat.h"
#include "table/job_table.h"

/* A table with more indexes is not "plain" */
#define MAX_INDEXES		16

typedef struct InsertIndex
{
	Oid			index;
	IndexInfo  *info;
	Node	   *condition;		/* NULL: none */
} InsertIndex;

/* How rows get into the indexes of a table */
typedef struct InsertPlan
{
	Oid			relation;		/* InvalidOid: to be looked up */
	bool		plain;			/* we can do without an executor */
	int			n;
	InsertIndex indexes[MAX_INDEXES];
	MemoryContext context;		/* has what they point to */
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

	InitResultRelInfo(info, rel, 1, NULL, 0);
	ExecOpenIndices(info, false);
	(void) compat_insert_index_tuples(info, slot, estate, false, false, NULL, NIL, false);
	ExecCloseIndices(info);
	FreeExecutorState(estate);
}

/* What is left of that for a plain index */
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

/*
 * Is an index's condition made of what table/partitions.c writes: "column IS NOT
 * NULL", a "char" that differs from a constant, and AND and OR of such?
 */
static bool
condition_is_plain(Node *node)
{
	if (node == NULL)
		return true;
	if (IsA(node, List) || IsA(node, BoolExpr))
	{
		List	   *members = IsA(node, List) ? (List *) node : ((BoolExpr *) node)->args;
		ListCell   *cell;

		if (IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop == NOT_EXPR)
			return false;
		foreach(cell, members)
		{
			if (!condition_is_plain(lfirst(cell)))
				return false;
		}
		return true;
	}
	if (IsA(node, NullTest))
		return IsA(((NullTest *) node)->arg, Var) && !((NullTest *) node)->argisrow;
	if (IsA(node, OpExpr))
	{
		OpExpr	   *test = (OpExpr *) node;

		return get_opcode(test->opno) == F_CHARNE && IsA(linitial(test->args), Var) &&
			IsA(lsecond(test->args), Const) && !((Const *) lsecond(test->args))->constisnull;
	}
	return false;
}

/* Does it hold for a row? */
static bool
condition_holds(Node *node, TupleTableSlot *slot)
{
	Datum		value;
	bool		isnull;

	if (node == NULL)
		return true;
	if (IsA(node, List) || IsA(node, BoolExpr))
	{
		bool		any = IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop == OR_EXPR;
		List	   *members = IsA(node, List) ? (List *) node : ((BoolExpr *) node)->args;
		ListCell   *cell;

		foreach(cell, members)
		{
			if (condition_holds(lfirst(cell), slot) == any)
				return any;
		}
		return !any;
	}
	if (IsA(node, NullTest))
	{
		NullTest   *test = (NullTest *) node;

		(void) slot_getattr(slot, ((Var *) test->arg)->varattno, &isnull);
		return isnull == (test->nulltesttype == IS_NULL);
	}
	value = slot_getattr(slot, ((Var *) linitial(((OpExpr *) node)->args))->varattno, &isnull);
	return !isnull &&
		DatumGetChar(value) != DatumGetChar(((Const *) lsecond(((OpExpr *) node)->args))->constvalue);
}

/*
 * The indexes of a table that we insert into, looked up once.  Whatever
 * changes them sends a relcache invalidation for the table.
 */
static InsertPlan *
insert_plan(Relation rel)
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
	plan->n = 0;
	plan->plain = true;

	indexes = RelationGetIndexList(rel);
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), RowExclusiveLock);
		Node	   *condition = (Node *) RelationGetIndexPredicate(index);

		if (RelationGetIndexExpressions(index) != NIL || !condition_is_plain(condition) ||
			index->rd_rel->relam != BTREE_AM_OID || index->rd_index->indisexclusion ||
			!index->rd_index->indimmediate || plan->n == MAX_INDEXES)
			plan->plain = false;
		else
		{
			InsertIndex *into = &plan->indexes[plan->n++];

			old = MemoryContextSwitchTo(plan->context);
			into->index = lfirst_oid(cell);
			into->info = BuildIndexInfo(index);
			into->condition = copyObject(condition);
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

/*
 * Insert a row into one of our tables, with its indexes.  This is once a job:
 * plain indexes are written without an executor.
 */
void
direct_insert(Oid relation, int natts, Datum *values, bool *nulls)
{
	Relation	rel = table_open(relation, RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	int			all = slot->tts_tupleDescriptor->natts;
	InsertPlan *plan;

	if (all < natts)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"defer.%s\" is not as this version of defer made it",
						RelationGetRelationName(rel)),
				 errhint("Run ALTER EXTENSION defer UPDATE.")));
	memcpy(slot->tts_values, values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, natts * sizeof(bool));
	for (int i = natts; i < all; i++)
		slot->tts_isnull[i] = true; /* somebody's own column */
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(rel, slot, GetCurrentCommandId(true), 0, NULL);

	plan = insert_plan(rel);
	if (!plan->plain)
		insert_with_executor(rel, slot);
	else
	{
		/*
		 * Opening an index may hear of a change and make the plan invalid, but
		 * its memory is ours until insert_plan() is called again.
		 */
		for (int i = 0; i < plan->n; i++)
		{
			if (condition_holds(plan->indexes[i].condition, slot))
				insert_plain_index_entry(rel, &plan->indexes[i], slot);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
}
