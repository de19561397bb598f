/*
 * command.c
 *		Jobs that are one SQL statement: defer.command() and schedules of statements.
 *
 * The result is the statement's tag, as in {"command": "DELETE 5"}.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "parser/analyze.h"
#include "pgstat.h"
#include "tcop/cmdtag.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "base/job.h"
#include "base/jsonb_util.h"
#include "job/command.h"
#include "job/execute.h"

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

/* Positions of errors are in this text, not in the statement of the caller */
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

/* Check whether the statement makes a temporary table, view or sequence */
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

Jsonb *
command_run(const Job *job)
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
	execute_statement(stmt, sql, NULL, NULL, 0, NULL, &completion);
	return command_result(&completion);
}
