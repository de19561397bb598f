/*
 * execute.c
 *		A job's work, inside the transaction that the worker has opened.
 *
 * A function that returns one value is called directly: no plan, no parser.
 * What returns rows, procedures and commands go through a portal, as a
 * client's statement does: so procedures may commit, and a VACUUM finds itself
 * at the top level.
 *
 * The result is what to_jsonb() makes of a function's value; an array of that
 * for a set; an object of a procedure's OUT parameters; and for a command its
 * tag, as in {"command": "DELETE 5"}.  NULL, void and what is larger than
 * defer.max_payload are not kept.
 *
 * Whatever is called may have catalogs change, roll back or commit: nothing of
 * the function's cache entry is used after that.
 */
#include "postgres.h"

#include "access/detoast.h"
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
#include "tcop/cmdtag.h"
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

#include "base/compat.h"
#include "base/guc_job.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "function/function.h"
#include "job/execute.h"

/* A function and its arguments, on their own */
typedef struct Call
{
	Oid			function;
	Oid			result_type;
	bool		strict;
	int			nargs;
	Oid		   *types;
	Datum	   *values;
	bool	   *nulls;
} Call;

/* ------------------------------------------------------------------------
 * Results
 * ------------------------------------------------------------------------ */

static inline bool
too_large(Size size)
{
	return size > (Size) defer_max_payload * 1024;
}

static void
warn_not_kept(void)
{
	ereport(WARNING,
			(errmsg("the job's result is not kept: it is larger than %d kB", defer_max_payload),
			 errhint("Keep it in a table, or raise defer.max_payload.")));
}

/* A result that is too large is not kept, and the job's log says so */
static Jsonb *
keep_result(Jsonb *result)
{
	if (!too_large(VARSIZE(result)))
		return result;
	warn_not_kept();
	return NULL;
}

/*
 * Would it be in vain, or even impossible, to make JSON of the value?  Nearly
 * all types are longer as JSON; only JSON itself may be shorter.
 */
static bool
value_too_large(Datum value, Oid type)
{
	return get_typlen(type) == -1 && type != JSONOID && too_large(toast_raw_datum_size(value));
}

static Jsonb *
value_to_result(Datum value, Oid type)
{
	if (value_too_large(value, type))
	{
		warn_not_kept();
		return NULL;
	}
	return keep_result(type == JSONBOID ? DatumGetJsonbPCopy(value) :
					   argument_to_jsonb(value, type));
}

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------ */

/* Makes JSON of rows: of each row's only column, or of one whole row */
typedef struct RowReceiver
{
	DestReceiver pub;
	bool		whole;
	MemoryContext context;		/* of what is kept */
	MemoryContext row_context;	/* of one row's conversion */
	TupleDesc	desc;
	List	   *rows;			/* Jsonb, or NULL */
	Size		bytes;
	bool		overflow;		/* too large: nothing is kept */
} RowReceiver;

static Jsonb *
row_to_jsonb(RowReceiver *receiver, TupleTableSlot *slot)
{
	Oid			type = receiver->whole ? RECORDOID : TupleDescAttr(receiver->desc, 0)->atttypid;
	bool		isnull = false;
	Datum		value = receiver->whole ? ExecFetchSlotHeapTupleDatum(slot) :
		slot_getattr(slot, 1, &isnull);

	if (isnull)
		return NULL;
	if (value_too_large(value, type))
	{
		receiver->overflow = true;
		return NULL;
	}
	return argument_to_jsonb(value, type);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MemoryContext old;
	Jsonb	   *row;

	if (receiver->overflow)
		return true;			/* the function runs to its end all the same */
	old = MemoryContextSwitchTo(receiver->row_context);
	row = row_to_jsonb(receiver, slot);
	receiver->bytes += row != NULL ? VARSIZE(row) : sizeof(JEntry);
	if (too_large(receiver->bytes))
		receiver->overflow = true;
	MemoryContextSwitchTo(receiver->context);
	if (!receiver->overflow)
	{
		if (row != NULL)
			row = memcpy(palloc(VARSIZE(row)), row, VARSIZE(row));
		receiver->rows = lappend(receiver->rows, row);
	}
	else
	{
		receiver->rows = NIL;
		MemoryContextReset(receiver->context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->row_context);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	RowReceiver *receiver = (RowReceiver *) self;

	receiver->desc = receiver->whole ? BlessTupleDesc(desc) : desc;
}

static void
receiver_nothing(DestReceiver *self)
{
}

static RowReceiver *
make_receiver(bool whole)
{
	RowReceiver *receiver = palloc0(sizeof(RowReceiver));

	receiver->pub.receiveSlot = receive_row;
	receiver->pub.rStartup = receiver_startup;
	receiver->pub.rShutdown = receiver_nothing;
	receiver->pub.rDestroy = receiver_nothing;
	receiver->pub.mydest = DestNone;
	receiver->whole = whole;
	receiver->context = AllocSetContextCreate(CurrentMemoryContext, "defer rows",
											  ALLOCSET_DEFAULT_SIZES);
	receiver->row_context = AllocSetContextCreate(CurrentMemoryContext, "defer row",
												  ALLOCSET_DEFAULT_SIZES);
	return receiver;
}

static void
push_row(JsonbBuilder *state, Jsonb *row)
{
	JsonbValue	element;

	if (row == NULL)
		element.type = jbvNull;
	else if (!JB_ROOT_IS_SCALAR(row) || !JsonbExtractScalar(&row->root, &element))
	{
		element.type = jbvBinary;
		element.val.binary.data = &row->root;
		element.val.binary.len = VARSIZE(row) - VARHDRSZ;
	}
	(void) jsonb_push(state, WJB_ELEM, &element);
}

/* The rows that were received: an array, or the whole row */
static Jsonb *
received_result(RowReceiver *receiver)
{
	JsonbBuilder state = {0};
	ListCell   *cell;

	if (receiver->overflow)
	{
		warn_not_kept();
		return NULL;
	}
	if (receiver->whole)
		return receiver->rows != NIL ? linitial(receiver->rows) : NULL;
	(void) jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, receiver->rows)
		push_row(&state, lfirst(cell));
	return keep_result(JsonbValueToJsonb(jsonb_push(&state, WJB_END_ARRAY, NULL)));
}

/* ------------------------------------------------------------------------
 * Statements
 * ------------------------------------------------------------------------ */

/*
 * Run one statement as if a client had sent it; "receiver" may be NULL.  It may
 * end transactions; there is one on return.  All that it needs is in the
 * current memory context, which must outlive a transaction.
 */
static void
run_statement(RawStmt *stmt, const char *sql, ParamListInfo params, Oid *types, int nparams,
			  DestReceiver *receiver, QueryCompletion *completion)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *queries;
	List	   *plans;
	Portal		portal;
	bool		snapshot = false;

	if (analyze_requires_snapshot(stmt))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		snapshot = true;
	}
	queries = pg_analyze_and_rewrite_fixedparams(stmt, sql, types, nparams, NULL);
	plans = pg_plan_queries(queries, sql, CURSOR_OPT_PARALLEL_OK, params);
	if (snapshot)
		PopActiveSnapshot();

	portal = CreatePortal("", true, true);
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
		Oid			collation = get_typcollation(call->types[i]);

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
		param->paramcollid = get_typcollation(call->types[i]);
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
	fmgr_info(call->function, &function);
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
		result = value_to_result(value, call->result_type);
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
	RowReceiver *receiver = make_receiver(whole);
	bool		is_void = !whole && call->result_type == VOIDOID;
	QueryCompletion completion;

	for (int i = 0; i < call->nargs; i++)
	{
		params->params[i].value = call->values[i];
		params->params[i].isnull = call->nulls[i];
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = call->types[i];
	}
	run_statement(linitial_node(RawStmt, pg_parse_query(sql)), sql, params, call->types,
				  call->nargs, is_void ? NULL : &receiver->pub, &completion);
	return is_void ? NULL : received_result(receiver);
}

/* May the current user still call it? */
static void
check_may_call(Oid function, const char *signature)
{
	if (!compat_may_execute(function, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", signature),
				 errhint("The job's owner needs EXECUTE on it also when the job runs.")));
	if (!compat_may_use_schema(get_func_namespace(function), GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for the schema of function %s", signature),
				 errhint("The job's owner needs USAGE on it also when the job runs.")));
	InvokeFunctionExecuteHook(function);
}

static Jsonb *
run_function(const Job *job)
{
	char	   *signature = text_to_cstring(job->function);
	FunctionEntry *entry = function_by_signature(signature);
	bool		returns_set;
	Call		call;

	if (entry == NULL || entry->kind != job->kind)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("%s %s does not exist",
						job->kind == JOB_PROCEDURE ? "procedure" : "function", signature),
				 errhint("It has been dropped or renamed, or its parameters have changed, since the job was enqueued.")));
	if (!function_owner_accepted(entry, job->function_owner, job->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s has another owner than when the job was enqueued", signature),
				 errdetail("It belongs to role \"%s\".", GetUserNameFromId(entry->owner, false)),
				 errhint("If the owner of the job trusts that role, enqueue the job again.")));
	check_may_call(entry->oid, signature);

	returns_set = entry->returns_set;
	call.function = entry->oid;
	call.result_type = entry->result_type;
	call.strict = entry->strict;
	call.nargs = entry->nargs;
	call.types = palloc(Max(call.nargs, 1) * sizeof(Oid));
	memcpy(call.types, entry->arg_types, call.nargs * sizeof(Oid));
	call.values = palloc0(Max(call.nargs, 1) * sizeof(Datum));
	call.nulls = palloc0(Max(call.nargs, 1) * sizeof(bool));

	/* domains and defaults may have functions of users, which want a snapshot */
	PushActiveSnapshot(GetTransactionSnapshot());
	function_convert_args(entry, job->args, call.values, call.nulls);
	PopActiveSnapshot();

	if (job->kind == JOB_PROCEDURE)
		return call_by_statement(&call, "CALL", true);
	if (returns_set)
		return call_by_statement(&call, "SELECT", false);
	return call_directly(&call);
}

/* ------------------------------------------------------------------------
 * Commands
 * ------------------------------------------------------------------------ */

static void
fill_position(void *arg)
{
	const char *sql = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(sql);
	}
}

/* Positions of errors are in this text, not in the statement of whoever calls us */
static List *
parse(const char *sql)
{
	ErrorContextCallback callback;
	List	   *list;

	callback.callback = fill_position;
	callback.arg = unconstify(char *, sql);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	list = pg_parse_query(sql);
	error_context_stack = callback.previous;
	return list;
}

/* Does the statement make a temporary table, view or sequence? */
static bool
makes_temporary(Node *stmt)
{
	RangeVar   *relation = NULL;

	switch (nodeTag(stmt))
	{
		case T_CreateStmt:
			relation = ((CreateStmt *) stmt)->relation;
			break;
		case T_CreateTableAsStmt:
			relation = ((CreateTableAsStmt *) stmt)->into->rel;
			break;
		case T_SelectStmt:
			/* a set operation has the INTO of its first part */
			while (((SelectStmt *) stmt)->op != SETOP_NONE)
				stmt = (Node *) ((SelectStmt *) stmt)->larg;
			if (((SelectStmt *) stmt)->intoClause != NULL)
				relation = ((SelectStmt *) stmt)->intoClause->rel;
			break;
		case T_ViewStmt:
			relation = ((ViewStmt *) stmt)->view;
			break;
		case T_CreateSeqStmt:
			relation = ((CreateSeqStmt *) stmt)->sequence;
			break;
		default:
			break;
	}
	return relation != NULL &&
		(relation->relpersistence == RELPERSISTENCE_TEMP ||
		 (relation->schemaname != NULL && strcmp(relation->schemaname, "pg_temp") == 0));
}

/* Why a statement cannot be run as a job; NULL: it can */
static const char *
unfit_statement(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_TransactionStmt:
			if (((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED ||
				((TransactionStmt *) stmt)->kind == TRANS_STMT_ROLLBACK_PREPARED)
				return NULL;
			return "A job is a transaction by itself. For several in one job write a procedure.";
		case T_LockStmt:
			return "The lock would be released at once. Take it in the function that needs it.";
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
			return "Prepared statements end with the job. Use the statement itself.";
		case T_CopyStmt:
			if (((CopyStmt *) stmt)->filename == NULL)
				return "There is no client to copy from or to. Use a file or a program.";
			return NULL;
		case T_ListenStmt:
		case T_UnlistenStmt:
			return "There is no client to be notified.";
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
			return "There is no client to fetch rows, and cursors end with the job.";
		case T_VariableSetStmt:
			return "Settings end with the job. Use ALTER ROLE ... SET, or the SET clause of a function.";
		case T_ConstraintsSetStmt:
			return "It would hold for this statement only. Use it in the function that needs it.";
		case T_DiscardStmt:
			return "Each job begins in a session without traces of others.";
		case T_LoadStmt:
			return "It would be loaded into one worker process. Use session_preload_libraries.";
		default:
			return makes_temporary(stmt) ?
				"Temporary objects end with the job. Use them in the function that needs them." : NULL;
	}
}

/* The one statement that a command is; errors if it is none or unfit */
static RawStmt *
parse_command(const char *sql)
{
	List	   *list = parse(sql);
	const char *reason;
	RawStmt    *stmt;

	if (list_length(list) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 list == NIL ?
				 errmsg("the command is empty") :
				 errmsg("a command is one statement, and these are %d", list_length(list)),
				 list == NIL ?
				 errhint("Give one SQL statement, as in 'VACUUM my_table'.") :
				 errhint("For several statements use a DO block, a function or a procedure.")));
	stmt = linitial_node(RawStmt, list);
	reason = unfit_statement(stmt->stmt);
	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be run as a job", GetCommandTagName(CreateCommandTag(stmt->stmt))),
				 errhint("%s", reason)));
	return stmt;
}

void
command_check(const char *sql)
{
	(void) parse_command(sql);
}

/* {"command": "DELETE 5"} */
static Jsonb *
command_result(const QueryCompletion *completion)
{
	const char *tag = GetCommandTagName(completion->commandTag);

	if (command_tag_display_rowcount(completion->commandTag))
		tag = psprintf("%s%s " UINT64_FORMAT, tag,
					   completion->commandTag == CMDTAG_INSERT ? " 0" : "",
					   completion->nprocessed);
	return jsonb_object_of_text("command", tag);
}

static Jsonb *
run_command(const Job *job)
{
	JsonbValue	found;
	QueryCompletion completion;
	char	   *sql;
	RawStmt    *stmt;

	if (job->args == NULL || !JB_ROOT_IS_OBJECT(job->args) ||
		getKeyJsonValueFromContainer(&job->args->root, "sql", strlen("sql"), &found) == NULL ||
		found.type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("job " INT64_FORMAT " has no statement", job->id)));
	sql = pnstrdup(found.val.string.val, found.val.string.len);

	/* what runs is the statement: for pg_stat_activity and the server's log */
	debug_query_string = psprintf("defer job " INT64_FORMAT ": %s", job->id, sql);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	stmt = parse_command(sql);
	run_statement(stmt, sql, NULL, NULL, 0, NULL, &completion);
	return command_result(&completion);
}

/* ------------------------------------------------------------------------
 * Entry point
 * ------------------------------------------------------------------------ */

Jsonb *
execute_job(const Job *job)
{
	Jsonb	   *result = job->kind == JOB_COMMAND ? run_command(job) : run_function(job);

	CommandCounterIncrement();
	return result;
}
