/*
 * execute.c
 *		A job's work, inside the transaction that the worker has opened.
 *
 * A plain function is called directly: no plan, no parser.  Sets, rows and
 * records are asked for in a prepared query.  Procedures and commands go
 * through a portal, as a client's statement does: so they may commit, and a
 * VACUUM finds itself at the top level.
 */
#include "defer.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "pgstat.h"
#include "tcop/cmdtag.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* A function made ready to be called; kept in its FunctionEntry */
typedef struct Call
{
	bool		direct;			/* by fmgr; else by a query */
	FmgrInfo	function;
	FmgrInfo	to_jsonb;		/* of its result type */
	char	   *query;			/* of functions that return rows, and of procedures */
} Call;

/* ------------------------------------------------------------------------
 * Results
 * ------------------------------------------------------------------------ */

/* A result that is too large is not kept, and the job's log says so */
static Jsonb *
keep_result(Jsonb *result)
{
	Size		size = VARSIZE(result);

	if (size <= (Size) defer_max_payload * 1024)
		return result;
	ereport(WARNING,
			(errmsg("the job's result of %zu bytes is not kept", size),
			 errhint("defer.max_payload is %d kB.", defer_max_payload)));
	return NULL;
}

static Jsonb *
to_jsonb_result(FmgrInfo *to_jsonb, Datum value)
{
	return keep_result(DatumGetJsonbP(FunctionCall1(to_jsonb, value)));
}

/* ------------------------------------------------------------------------
 * Calling functions
 * ------------------------------------------------------------------------ */

/* "$1, $2::type, VARIADIC $3" for a query; OUT arguments of procedures as NULL */
static char *
argument_list(HeapTuple tuple)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
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

		if (mode == PROARGMODE_TABLE ||
			(mode == PROARGMODE_OUT && form->prokind != PROKIND_PROCEDURE))
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
build_query(FunctionEntry *entry, MemoryContext context)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(entry->oid));
	Form_pg_proc form;
	char	   *name;
	char	   *query;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", entry->oid);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	name = quote_qualified_identifier(get_namespace_name(form->pronamespace),
									  NameStr(form->proname));
	query = psprintf(entry->kind == JOB_PROCEDURE ? "CALL %s(%s)" :
					 "SELECT pg_catalog.to_jsonb(x) FROM %s(%s) x",
					 name, argument_list(tuple));
	ReleaseSysCache(tuple);
	return MemoryContextStrdup(context, query);
}

static Call *
prepare_call(FunctionEntry *entry)
{
	Call	   *call;

	if (entry->call != NULL)
		return entry->call;
	call = MemoryContextAllocZero(entry->entry_context, sizeof(Call));
	call->direct = entry->kind == JOB_FUNCTION && !entry->returns_set &&
		get_typtype(entry->result_type) != TYPTYPE_COMPOSITE &&
		entry->result_type != RECORDOID;
	if (call->direct)
	{
		fmgr_info_cxt(entry->oid, &call->function, entry->entry_context);
		if (entry->result_type != VOIDOID)
			prepare_to_jsonb(&call->to_jsonb, entry->result_type, entry->entry_context);
	}
	else
		call->query = build_query(entry, entry->entry_context);
	entry->call = call;
	return call;
}

static Jsonb *
call_directly(FunctionEntry *entry, Call *call, Datum *values, bool *nulls)
{
	LOCAL_FCINFO(fcinfo, FUNC_MAX_ARGS);
	PgStat_FunctionCallUsage usage;
	Jsonb	   *result = NULL;
	Datum		value;

	if (entry->strict)
	{
		for (int i = 0; i < entry->nargs; i++)
		{
			if (nulls[i])
				return NULL;
		}
	}
	InitFunctionCallInfoData(*fcinfo, &call->function, entry->nargs, InvalidOid, NULL, NULL);
	for (int i = 0; i < entry->nargs; i++)
	{
		fcinfo->args[i].value = values[i];
		fcinfo->args[i].isnull = nulls[i];
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_init_function_usage(fcinfo, &usage);
	value = FunctionCallInvoke(fcinfo);
	pgstat_end_function_usage(&usage, true);
	if (!fcinfo->isnull && entry->result_type != VOIDOID)
		result = to_jsonb_result(&call->to_jsonb, value);
	PopActiveSnapshot();
	return result;
}

/* The rows of a query as a JSON array, as long as they are not too many */
static Jsonb *
rows_to_array(MemoryContext context)
{
	JsonbParseState *state = NULL;
	JsonbValue *array;
	MemoryContext old = MemoryContextSwitchTo(context);
	Jsonb	   *result;

	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		JsonbValue	element;
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		JsonbValue	scalar;

		if (isnull)
			element.type = jbvNull;
		else
		{
			Jsonb	   *row = DatumGetJsonbP(value);

			if (JB_ROOT_IS_SCALAR(row) && JsonbExtractScalar(&row->root, &scalar))
				element = scalar;
			else
			{
				element.type = jbvBinary;
				element.val.binary.data = &row->root;
				element.val.binary.len = VARSIZE(row) - VARHDRSZ;
			}
		}
		(void) pushJsonbValue(&state, WJB_ELEM, &element);
	}
	array = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	result = JsonbValueToJsonb(array);
	MemoryContextSwitchTo(old);
	return result;
}

/*
 * A function that returns rows.  It runs to its end, whatever becomes of its
 * result: of more rows than could be kept, none is.
 */
static Jsonb *
call_by_query(FunctionEntry *entry, Call *call, Datum *values, bool *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *null_flags = palloc(entry->nargs + 1);
	Jsonb	   *result = NULL;

	for (int i = 0; i < entry->nargs; i++)
		null_flags[i] = nulls[i] ? 'n' : ' ';
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute_with_args(call->query, entry->nargs, entry->arg_types, values, null_flags,
							  false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not call the function");
	if (entry->returns_set)
		result = rows_to_array(context);
	else if (SPI_processed > 0)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			result = DatumGetJsonbPCopy(value);
			MemoryContextSwitchTo(old);
		}
	}
	SPI_finish();
	PopActiveSnapshot();
	return result != NULL ? keep_result(result) : NULL;
}

/* ------------------------------------------------------------------------
 * Statements
 * ------------------------------------------------------------------------ */

/* Keeps the first row, as JSON */
typedef struct RowReceiver
{
	DestReceiver pub;
	MemoryContext context;
	Jsonb	   *row;
} RowReceiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->context);

	if (receiver->row == NULL)
	{
		FmgrInfo	to_jsonb;

		prepare_to_jsonb(&to_jsonb, RECORDOID, receiver->context);
		receiver->row = DatumGetJsonbP(FunctionCall1(&to_jsonb,
													 ExecFetchSlotHeapTupleDatum(slot)));
	}
	MemoryContextSwitchTo(old);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	BlessTupleDesc(desc);
}

static void
receiver_nothing(DestReceiver *self)
{
}

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
	queries = compat_analyze_and_rewrite(stmt, sql, types, nparams);
	plans = pg_plan_queries(queries, sql, CURSOR_OPT_PARALLEL_OK, params);
	if (snapshot)
		PopActiveSnapshot();

	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, sql, CreateCommandTag(stmt->stmt), plans, NULL);
	PortalStart(portal, params, 0, InvalidSnapshot);
	InitializeQueryCompletion(completion);
	if (receiver == NULL)
		receiver = None_Receiver;
	(void) compat_portal_run(portal, receiver, completion);
	PortalDrop(portal, false);
	CommandCounterIncrement();
	MemoryContextSwitchTo(context);
}

/* CALL; the result is what its OUT arguments are */
static Jsonb *
call_procedure(FunctionEntry *entry, Datum *values, bool *nulls)
{
	char	   *sql = pstrdup(prepare_call(entry)->query);
	int			nargs = entry->nargs;
	Oid		   *types = palloc(Max(nargs, 1) * sizeof(Oid));
	ParamListInfo params = makeParamList(nargs);
	RowReceiver receiver = {
		.pub = {.receiveSlot = receive_row,.rStartup = receiver_startup,
		.rShutdown = receiver_nothing,.rDestroy = receiver_nothing,.mydest = DestNone},
		.context = CurrentMemoryContext,
	};
	QueryCompletion completion;
	List	   *list;

	for (int i = 0; i < nargs; i++)
	{
		types[i] = entry->arg_types[i];
		params->params[i].value = values[i];
		params->params[i].isnull = nulls[i];
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = types[i];
	}
	list = pg_parse_query(sql);
	run_statement(linitial_node(RawStmt, list), sql, params, types, nargs, &receiver.pub,
				  &completion);
	return receiver.row != NULL ? keep_result(receiver.row) : NULL;
}

/* ------------------------------------------------------------------------
 * Commands
 * ------------------------------------------------------------------------ */

/* Why a statement cannot be run as a job; NULL: it can */
static const char *
unfit_statement(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_TransactionStmt:
			return "A job is a transaction by itself. For several in one job write a procedure.";
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
		default:
			return NULL;
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
				 errmsg("a command is one statement, and this is %d", list_length(list)),
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
	JsonbParseState *state = NULL;
	JsonbValue	value;
	const char *tag = GetCommandTagName(completion->commandTag);

	if (command_tag_display_rowcount(completion->commandTag))
		tag = psprintf("%s%s " UINT64_FORMAT, tag,
					   completion->commandTag == CMDTAG_INSERT ? " 0" : "",
					   completion->nprocessed);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	value.type = jbvString;
	value.val.string.val = pstrdup("command");
	value.val.string.len = strlen("command");
	(void) pushJsonbValue(&state, WJB_KEY, &value);
	value.val.string.val = pstrdup(tag);
	value.val.string.len = strlen(tag);
	(void) pushJsonbValue(&state, WJB_VALUE, &value);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
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
	stmt = parse_command(sql);
	run_statement(stmt, sql, NULL, NULL, 0, NULL, &completion);
	return command_result(&completion);
}

/* ------------------------------------------------------------------------
 * Entry point
 * ------------------------------------------------------------------------ */

/* The function of a job, if it is still there and may be executed */
static FunctionEntry *
find_function(const Job *job)
{
	char	   *signature = text_to_cstring(job->function);
	FunctionEntry *entry = function_by_signature(signature);

	if (entry == NULL || entry->kind != job->kind)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("%s %s does not exist",
						job->kind == JOB_PROCEDURE ? "procedure" : "function", signature),
				 errhint("It has been dropped or renamed, or its parameters have changed, since the job was enqueued.")));
	if (!compat_may_execute(entry->oid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", signature)));
	InvokeFunctionExecuteHook(entry->oid);
	return entry;
}

Jsonb *
execute_job(const Job *job)
{
	FunctionEntry *entry;
	Datum	   *values;
	bool	   *nulls;
	Call	   *call;

	if (job->kind == JOB_COMMAND)
		return run_command(job);

	entry = find_function(job);
	values = palloc(Max(entry->nargs, 1) * sizeof(Datum));
	nulls = palloc(Max(entry->nargs, 1) * sizeof(bool));
	function_convert_args(entry, job->args, values, nulls);
	if (entry->kind == JOB_PROCEDURE)
		return call_procedure(entry, values, nulls);
	call = prepare_call(entry);
	return call->direct ? call_directly(entry, call, values, nulls) :
		call_by_query(entry, call, values, nulls);
}
