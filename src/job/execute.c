/*
 * execute.c
 *		A job's work, inside the transaction that the worker has opened.
 *
 * A function that returns one value is called directly: no plan, no parser.
 * What returns rows, procedures and commands go through a portal, as a
 * client's statement does: so procedures may commit, and a VACUUM finds itself
 * at the top level.
 *
 * Whatever is called may have catalogs change, roll back or commit: nothing of
 * the function's cache entry is used after that.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/analyze.h"
#include "pgstat.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/citus.h"
#include "base/errcodes.h"
#include "base/compat.h"
#include "base/job_kind.h"
#include "function/function.h"
#include "job/batch.h"
#include "job/command.h"
#include "job/current_job.h"
#include "job/distributed.h"
#include "job/execute.h"
#include "job/fan_out_nodes.h"
#include "job/result.h"
#include "table/step_table.h"

/* For a procedure that is not there: microseconds until a job looks again */
#define SUCCESSOR_DELAY		(60 * USECS_PER_SEC)

/* A function and its arguments, on their own */
typedef struct Call
{
	FunctionEntry *entry;		/* it may have been invalidated, but is there */
	Oid			function;
	Oid			result_type;
	bool		strict;
	int			nargs;
	Oid		   *types;
	Datum	   *values;
	bool	   *nulls;
} Call;

/* ------------------------------------------------------------------------
 * Statements
 * ------------------------------------------------------------------------ */

/* Check for a statement that ends no transaction, and needs none of its own */
static bool
may_run_in_block(const RawStmt *stmt)
{
	switch (nodeTag(stmt->stmt))
	{
		case T_SelectStmt:
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
			return true;
		default:
			return false;
	}
}

void
execute_statement(RawStmt *stmt, const char *sql, ParamListInfo params, Oid *types, int nparams,
				  DestReceiver *receiver, QueryCompletion *completion)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *queries;
	List	   *plans;
	Portal		portal;
	bool		snapshot = false;

	if (citus_loaded && may_run_in_block(stmt))
		distributed_begin_block();
	if (analyze_requires_snapshot(stmt))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		snapshot = true;
	}
	queries = pg_analyze_and_rewrite_fixedparams(stmt, sql, types, nparams, NULL);
	plans = pg_plan_queries(queries, sql, CURSOR_OPT_PARALLEL_OK, params);
	if (snapshot)
		PopActiveSnapshot();

	/* it may commit, or be one that does not run in a transaction */
	if (plans != NIL && linitial_node(PlannedStmt, plans)->commandType == CMD_UTILITY)
		batch_effects_persist();

	/*
	 * a name of its own: the job's CALL runs while the function of a step
	 * does, and a client's statement while defer.drain() does
	 */
	portal = CreateNewPortal();
	portal->visible = false;
	PortalDefineQuery(portal, NULL, sql, CreateCommandTag(stmt->stmt), plans, NULL);
	PortalStart(portal, params, 0, InvalidSnapshot);
	InitializeQueryCompletion(completion);
	(void) compat_portal_run(portal, receiver != NULL ? receiver : None_Receiver, completion);
	PortalDrop(portal, false);
	MemoryContextSwitchTo(context);
}

/* ------------------------------------------------------------------------
 * Functions and procedures
 * ------------------------------------------------------------------------ */

/* As the parser finds it for a call with arguments of these types */
static Oid
input_collation(const Call *call)
{
	Oid			found = InvalidOid;

	for (int i = 0; i < call->nargs; i++)
	{
		Oid			collation = call->entry->arg_collations[i];

		if (!OidIsValid(collation) || collation == found)
			continue;
		if (OidIsValid(found))
			return DEFAULT_COLLATION_OID;
		found = collation;
	}
	return found;
}

/* What a call in a query would look like, for functions that ask */
static Node *
call_expression(const Call *call, Oid collation)
{
	List	   *args = NIL;

	for (int i = 0; i < call->nargs; i++)
	{
		Param	   *param = makeNode(Param);

		param->paramkind = PARAM_EXTERN;
		param->paramid = i + 1;
		param->paramtype = call->types[i];
		param->paramtypmod = -1;
		param->paramcollid = call->entry->arg_collations[i];
		param->location = -1;
		args = lappend(args, param);
	}
	return (Node *) makeFuncExpr(call->function, call->result_type, args, InvalidOid, collation,
								 COERCE_EXPLICIT_CALL);
}

static Jsonb *
call_directly(const Call *call)
{
	LOCAL_FCINFO(fcinfo, FUNC_MAX_ARGS);
	FmgrInfo	function;
	PgStat_FunctionCallUsage usage;
	Oid			collation = input_collation(call);
	Jsonb	   *result = NULL;
	Datum		value;

	if (call->strict)
	{
		for (int i = 0; i < call->nargs; i++)
		{
			if (call->nulls[i])
				return NULL;
		}
	}
	if (citus_loaded)
		distributed_begin_block();
	function_fmgr_info(call->entry, &function);
	fmgr_info_set_expr(call_expression(call, collation), &function);
	InitFunctionCallInfoData(*fcinfo, &function, call->nargs, collation, NULL, NULL);
	for (int i = 0; i < call->nargs; i++)
	{
		fcinfo->args[i].value = call->values[i];
		fcinfo->args[i].isnull = call->nulls[i];
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_init_function_usage(fcinfo, &usage);
	value = FunctionCallInvoke(fcinfo);
	pgstat_end_function_usage(&usage, true);
	if (!fcinfo->isnull && call->result_type != VOIDOID)
		result = result_of_value(value, call->result_type);
	PopActiveSnapshot();
	return result;
}

/* "$1, VARIADIC $2"; a procedure's OUT parameters as NULL */
static char *
argument_list(HeapTuple tuple)
{
	bool		is_procedure = ((Form_pg_proc) GETSTRUCT(tuple))->prokind == PROKIND_PROCEDURE;
	StringInfoData list;
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			n = get_func_arg_info(tuple, &types, &names, &modes);
	int			input = 0;

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		char		mode = modes != NULL ? modes[i] : PROARGMODE_IN;

		if (mode == PROARGMODE_TABLE || (mode == PROARGMODE_OUT && !is_procedure))
			continue;
		if (list.len > 0)
			appendStringInfoString(&list, ", ");
		if (mode == PROARGMODE_OUT)
			appendStringInfo(&list, "NULL::%s", format_type_be_qualified(types[i]));
		else
			appendStringInfo(&list, "%s$%d", mode == PROARGMODE_VARIADIC ? "VARIADIC " : "",
							 ++input);
	}
	return list.data;
}

static char *
call_statement(const Call *call, const char *verb)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->function));
	Form_pg_proc form;
	char	   *sql;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", call->function);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	sql = psprintf("%s %s(%s)", verb,
				   quote_qualified_identifier(get_namespace_name(form->pronamespace),
											  NameStr(form->proname)),
				   argument_list(tuple));
	ReleaseSysCache(tuple);
	return sql;
}

/* CALL, or SELECT of a function that returns rows, whose values are the rows' only column */
static Jsonb *
call_by_statement(const Call *call, const char *verb, bool whole)
{
	char	   *sql = call_statement(call, verb);
	ParamListInfo params = makeParamList(call->nargs);
	DestReceiver *receiver = result_receiver(whole);
	bool		is_void = !whole && call->result_type == VOIDOID;
	QueryCompletion completion;

	for (int i = 0; i < call->nargs; i++)
	{
		params->params[i].value = call->values[i];
		params->params[i].isnull = call->nulls[i];
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = call->types[i];
	}
	execute_statement(linitial_node(RawStmt, pg_parse_query(sql)), sql, params, call->types,
					  call->nargs, is_void ? NULL : receiver, &completion);
	return is_void ? NULL : result_of_rows(receiver);
}

/* Check that the current user may still call the function */
static void
check_may_call(const FunctionEntry *entry, const char *signature)
{
	if (!compat_may_execute(entry->oid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", signature),
				 errhint("The job's owner needs EXECUTE on it also when the job runs.")));
	if (!compat_may_use_schema(entry->schema, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for the schema of function %s", signature),
				 errhint("The job's owner needs USAGE on it also when the job runs.")));
	InvokeFunctionExecuteHook(entry->oid);
}

Jsonb *
execute_function(FunctionEntry *entry, Jsonb *args)
{
	char		kind = entry->kind;
	bool		returns_set = entry->returns_set;
	Call		call;

	call.entry = entry;
	call.function = entry->oid;
	call.result_type = entry->result_type;
	call.strict = entry->strict;
	call.nargs = entry->nargs;
	call.types = palloc(Max(call.nargs, 1) * sizeof(Oid));
	memcpy(call.types, entry->arg_types, call.nargs * sizeof(Oid));
	call.values = palloc0(Max(call.nargs, 1) * sizeof(Datum));
	call.nulls = palloc0(Max(call.nargs, 1) * sizeof(bool));

	function_convert_args(entry, args, call.values, call.nulls);

	if (kind == JOB_PROCEDURE)
		return call_by_statement(&call, "CALL", true);
	if (returns_set)
		return call_by_statement(&call, "SELECT", false);
	return call_directly(&call);
}

/*
 * Of a procedure with steps whose parameters may have changed since: what is called
 * now.  Error, which uses no attempt, if that is not known: the job comes back to it.
 */
static FunctionEntry *
find_successor(const Job *job, const char *signature)
{
	FunctionEntry *entry = function_successor(signature, job->args);

	if (entry != NULL)
		return entry;
	current_job.put_off = SUCCESSOR_DELAY;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("procedure %s does not exist", signature),
			 errdetail("The job has done steps of it. None of that name, or several, take the arguments of the job."),
			 errhint("Create it again. The job is tried once a minute, or after defer.reschedule(), and uses no attempt.")));
}

static Jsonb *
run_function(const Job *job)
{
	char	   *signature = text_to_cstring(job->function);
	FunctionEntry *entry = function_by_signature(signature);

	if (entry == NULL && job->kind == JOB_PROCEDURE && step_any(job->id))
		entry = find_successor(job, signature);
	if (entry == NULL || entry->kind != job->kind)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("%s %s does not exist",
						job->kind == JOB_PROCEDURE ? "procedure" : "function", signature),
				 errhint("It has been dropped or renamed, or its parameters have changed, since the job was enqueued.")));
	if (!function_owner_accepted(entry->owner, job->function_owner, job->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s has another owner than when the job was enqueued", signature),
				 errdetail("It belongs to role \"%s\".", GetUserNameFromId(entry->owner, false)),
				 errhint("If the owner of the job trusts that role, enqueue the job again.")));
	check_may_call(entry, signature);
	return execute_function(entry, job->args);
}

/* ------------------------------------------------------------------------
 * Entry point
 * ------------------------------------------------------------------------ */

Jsonb *
execute_job(const Job *job)
{
	Jsonb	   *result;

	if (citus_loaded)
		current_job.put_off = fan_out_wait_for_nodes(job);
	if (current_job.put_off > 0)
		ereport(ERROR,
				(errcode(ERRCODE_JOB_SNOOZED),
				 errmsg("jobs of its batch on other nodes of Citus have not ended")));
	result = job->kind == JOB_COMMAND ? command_run(job) : run_function(job);
	CommandCounterIncrement();
	return result;
}
