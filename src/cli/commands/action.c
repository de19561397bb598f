/*
 * action.c
 *		Calling one function of defer for each argument of a command.
 */
#include "commands/action.h"

#include <stdlib.h>
#include <string.h>

#include "core/buffer.h"
#include "core/connect.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "core/text.h"

typedef struct Outcome
{
	int			result;			/* exit code: the worst so far */
	Buffer		json;			/* an array; with --json */
} Outcome;

/* Note an exit code; an error is worse than nothing done */
static void
note_result(Outcome *outcome, int result)
{
	if (outcome->result == CLI_OK || result == CLI_REFUSED)
		outcome->result = result;
}

static void
report_failure(Outcome *outcome, const Action *action, PGconn *conn, const PGresult *res,
			   const char *argument)
{
	static const char *const ambiguous = "42P08";
	const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	Buffer		error = {0};
	char	   *name = text_line(argument);

	if (PQstatus(conn) != CONNECTION_OK)
		query_fail(conn, res);
	result_error(&error, conn, res);
	if (action->of_roles && sqlstate != NULL && strcmp(sqlstate, ambiguous) == 0)
		buffer_add(&error, "\nHINT:  --owner says which role's.");
	report_error("%s: %s", name, error.data);
	json_member(&outcome->json, "error", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY));
	json_member(&outcome->json, "sqlstate", sqlstate);
	note_result(outcome, CLI_REFUSED);
	buffer_free(&error);
	free(name);
}

static void
report_answer(Outcome *outcome, const Action *action, const PGresult *res, const char *argument)
{
	bool		found = PQntuples(res) > 0;
	const char *answer = found ? PQgetvalue(res, 0, 0) : "f";
	bool		done = found && (PQgetisnull(res, 0, 0) || strcmp(answer, "f") != 0);
	char	   *name = text_line(argument);

	if (!done)
		note_result(outcome, CLI_NOTHING_DONE);
	if (options_json)
	{
		json_member_raw(&outcome->json, "done", done ? "true" : "false");
		if (action->new_job && done)
			json_member_raw(&outcome->json, "id", answer);
	}
	else if (!done)
		report_error(action->nothing, name);
	else if (action->new_job)
		printf("%s\n", answer); /* for scripts, as enqueue does */
	else if (!report_quiet)
		printf("%s %s\n", action->done, name);
	free(name);
}

int
action_call(const Action *action, int count, char **arguments, int nvalues, const char **values)
{
	PGconn	   *conn;
	Outcome		outcome = {0};

	for (int i = 0; action->ids && i < count; i++)
		options_check_number("the job's id", arguments[i]);
	conn = connect_or_exit();
	for (int i = 0; i < count; i++)
	{
		PGresult   *res;

		values[0] = arguments[i];
		res = action->by_name ? query_by_name_try(conn, action->sql, nvalues, values) :
			query_try(conn, action->sql, nvalues, values);
		buffer_add(&outcome.json, i == 0 ? "[{" : ",\n{");
		json_member(&outcome.json, "argument", arguments[i]);
		if (PQresultStatus(res) == PGRES_TUPLES_OK)
			report_answer(&outcome, action, res, arguments[i]);
		else
			report_failure(&outcome, action, conn, res, arguments[i]);
		buffer_char(&outcome.json, '}');
		PQclear(res);
	}
	if (options_json)
		printf("%s]\n", outcome.json.data);
	buffer_free(&outcome.json);
	PQfinish(conn);
	return outcome.result;
}

int
action_on_schedules(int argc, char **argv, const Action *by_name, const Action *by_owner)
{
	static const char *owner = NULL;
	static const Option options[] = {
		{"owner", 0, OPTION_TEXT, &owner},
		{NULL}
	};
	const char *values[2];
	int			count;

	argv = options_parse(argc, argv, options, 1, -1, &count);
	values[1] = owner;
	return action_call(owner != NULL ? by_owner : by_name, count, argv, owner != NULL ? 2 : 1,
					   values);
}
