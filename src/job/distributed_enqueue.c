/*
 * distributed_enqueue.c
 *		Enqueuing for rows of a distributed table: the statement is sent to the nodes that
 *		have the rows, and each enqueues its part.
 *
 * Citus takes a SELECT for one that writes nothing.  Outside of a transaction block each
 * node commits its part at once, and in one it does so by itself at the end: after an
 * error or a crash some parts would be there and others not.  But what is sent after a
 * write on the same rows goes over the connections that have written, as it has to see
 * that, and these take part in two-phase commit.  So before a SELECT that calls a function
 * of ours is run in a transaction block, or in a job, we delete nothing from each
 * distributed table that it reads: no row has that ctid, and looking for it reads no page.
 *
 * With that a setting is sent, which says that it was done, and for which job.  A node
 * that is to enqueue for a statement with a FROM looks for it: without it that is an
 * error.  A statement that writes needs none of this, nor does a call without a FROM,
 * which is one part.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/planner.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/callbacks.h"
#include "base/citus.h"
#include "base/compat.h"
#include "base/guc_job.h"
#include "job/distributed.h"

/* A plan that may enqueue is marked by a bit of jitFlags that the server does not use */
#define MAY_ENQUEUE		(1 << 30)

static planner_hook_type prev_planner = NULL;
static ExecutorStart_hook_type prev_executor_start = NULL;

/* Tables that this transaction has been prepared for, or that are not distributed */
static List *looked_at = NIL;

/* ------------------------------------------------------------------------
 * The node that sends the statement
 * ------------------------------------------------------------------------ */

static bool
is_enqueue(Oid function, void *context)
{
	return function >= FirstNormalObjectId && func_volatile(function) == PROVOLATILE_VOLATILE &&
		get_func_namespace(function) == *(Oid *) context;
}

/* Check for a volatile function of a schema */
static bool
calls_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, calls_function, context, 0);
	return check_functions_in_node(node, is_enqueue, context) ||
		expression_tree_walker(node, calls_function, context);
}

static bool
may_enqueue(Query *query)
{
	Oid			schema;

	if (query->commandType != CMD_SELECT || query->rtable == NIL || !IsTransactionState() ||
		!citus_here())
		return false;
	schema = get_namespace_oid("defer", true);
	return OidIsValid(schema) && calls_function((Node *) query, &schema);
}

static PlannedStmt *
mark_plan(Query *query, const char *sql, int options,
		  ParamListInfo params COMPAT_PLANNER_PARAMETER)
{
	const bool	marked = may_enqueue(query);	/* before planning, which
												 * changes it */
	PlannedStmt *plan = prev_planner != NULL ?
		prev_planner(query, sql, options, params COMPAT_PLANNER_ARGUMENT) :
		standard_planner(query, sql, options, params COMPAT_PLANNER_ARGUMENT);

	if (marked)
		plan->jitFlags |= MAY_ENQUEUE;
	return plan;
}

/*
 * Set defer.distributed_job here, and on each node that takes part in the transaction:
 * for SET LOCAL Citus does that if it is told to, as far as the text of the statement goes.
 */
static void
send_job(void)
{
	char	   *sql = psprintf("SET LOCAL defer.distributed_job = '" INT64_FORMAT "'",
							   distributed_job());
	PlannedStmt *plan = makeNode(PlannedStmt);
	int			level = NewGUCNestLevel();

	plan->commandType = CMD_UTILITY;
	plan->canSetTag = true;
	plan->utilityStmt = linitial_node(RawStmt, pg_parse_query(sql))->stmt;
	(void) set_config_option("citus.propagate_set_commands", "local", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	ProcessUtility(plan, sql, false, PROCESS_UTILITY_QUERY, NULL, NULL, None_Receiver, NULL);
	AtEOXact_GUC(true, level);
}

/* Code of the table's owner, which a SELECT would not run, is not run with the rights of others */
static void
check_no_code(Oid table)
{
	Relation	relation = table_open(table, AccessShareLock);
	const TriggerDesc *triggers = relation->trigdesc;
	const bool	runs = relation->rd_rel->relhasrules ||
		(triggers != NULL && (triggers->trig_delete_before_statement ||
							  triggers->trig_delete_after_statement));

	table_close(relation, NoLock);
	if (runs)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot enqueue for rows of distributed table \"%s\", which has a rule or a trigger FOR EACH STATEMENT",
						get_rel_name(table)),
				 errhint("Drop the trigger for DELETE, or the rules.")));
}

/* Have the transaction end in two phases on all nodes with rows of the table */
static void
delete_nothing(Oid table)
{
	char	   *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
												  get_rel_name(table));
	int			level;

	if (pg_class_aclcheck(table, GetUserId(), ACL_DELETE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to enqueue for rows of distributed table \"%s\"",
						get_rel_name(table)),
				 errdetail("The nodes that have the rows commit together only if the transaction may write on the table."),
				 errhint("GRANT DELETE ON %s; no row is deleted.", name)));
	check_no_code(table);

	/*
	 * over one connection to a node, without the lock against others that
	 * write on all of it
	 */
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("citus.multi_shard_modify_mode", "sequential", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (SPI_execute(psprintf("DELETE FROM %s WHERE ctid OPERATOR(pg_catalog.=) '(0,0)'::pg_catalog.tid",
							 name), false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not prepare table %s", name);
	AtEOXact_GUC(true, level);
	SPI_finish();
	PopActiveSnapshot();
}

static void
prepare_tables(const PlannedStmt *plan)
{
	bool		any = false;
	ListCell   *cell;

	foreach(cell, plan->rtable)
	{
		Oid			table = lfirst_node(RangeTblEntry, cell)->relid;
		MemoryContext context;

		if (lfirst_node(RangeTblEntry, cell)->rtekind != RTE_RELATION ||
			list_member_oid(looked_at, table))
			continue;
		if (citus_distributes(table))
		{
			delete_nothing(table);
			any = true;
		}
		context = MemoryContextSwitchTo(TopTransactionContext);
		looked_at = lappend_oid(looked_at, table);
		MemoryContextSwitchTo(context);
	}
	if (any)
		send_job();
}

static void
start_executor(QueryDesc *query, int flags)
{
	/*
	 * outside of a block there is no transaction that the parts could belong
	 * to
	 */
	if ((query->plannedstmt->jitFlags & MAY_ENQUEUE) != 0 &&
		(flags & EXEC_FLAG_EXPLAIN_ONLY) == 0 &&
		(IsTransactionBlock() || distributed_job() != 0) && !XactReadOnly)
		prepare_tables(query->plannedstmt);
	if (prev_executor_start != NULL)
		prev_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

/* A savepoint that is rolled back takes the setting with it */
static void
forget_tables_of_savepoint(SubXactEvent event)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		looked_at = NIL;
}

static void
forget_tables(XactEvent event)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		looked_at = NIL;
}

void
distributed_enqueue_init(void)
{
	prev_planner = planner_hook;
	planner_hook = mark_plan;
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = start_executor;
	defer_on_xact_event(forget_tables);
	defer_on_subxact_event(forget_tables_of_savepoint);
}

/* ------------------------------------------------------------------------
 * A node that gets a part of it
 * ------------------------------------------------------------------------ */

/*
 * Check whether the statement has a FROM, and writes nothing: then it may be one of several
 * parts.  A function there may run one of a table.
 */
static bool
reads_rows(void)
{
	Portal		portal = GetPortalByName("");	/* of the session's statement */
	PlannedStmt *plan;
	ListCell   *cell;

	if (!PortalIsValid(portal) || list_length(portal->stmts) != 1)
		return false;
	plan = linitial_node(PlannedStmt, portal->stmts);
	if (plan->commandType != CMD_SELECT || plan->hasModifyingCTE)
		return false;
	foreach(cell, plan->rtable)
	{
		if (lfirst_node(RangeTblEntry, cell)->rtekind != RTE_RESULT)
			return true;
	}
	return false;
}

int64
distributed_sender(void)
{
	const char *text = defer_distributed_job;
	int64		job_id;
	char	   *end;

	if (strncmp(application_name, CITUS_INTERNAL_SESSION, strlen(CITUS_INTERNAL_SESSION)) != 0 ||
		!citus_here())
		return 0;
	if (text != NULL && *text != '\0')
	{
		job_id = strtoi64(text, &end, 10);

		/*
		 * a setting can name any job: none of this node is counted as having
		 * enqueued it
		 */
		return *end == '\0' && job_id > 0 && citus_node_of_job(job_id) != citus_node() ? job_id : 0;
	}
	if (reads_rows())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("jobs for rows of a distributed table can be enqueued in a transaction block or in a job only"),
				 errdetail("Each node would commit its part by itself, and some jobs would stay if another part failed."),
				 errhint("Write BEGIN and COMMIT around the statement, or run it by defer.command() or a schedule. It has to call the function of defer itself, not one that calls it.")));
	return 0;
}
