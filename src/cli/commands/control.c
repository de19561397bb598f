/*
 * control.c
 *		Commands that call one function of defer for each of their arguments:
 *		cancel, rerun, reschedule, trigger, pause, resume.
 *
 * Each call is a transaction of its own.  One that does not work keeps none of
 * the others from being tried.
 */
#include "core/cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct Action
{
	const char *sql;			/* $1 is the argument; one column, one row */
	const char *done;			/* what to say; before the argument */
	const char *nothing;		/* what to say when the answer is false */
	bool		ids;			/* arguments are ids of jobs */
	bool		by_name;		/* they name functions, as the role finds them */
	bool		new_job;		/* the answer is the id of a new job */
} Action;

typedef struct Outcome
{
	int			result;			/* exit code so far: the worst */
	Json		json;
} Outcome;

/* An error is worse than that there was nothing to be done */
static void
note_result(Outcome *outcome, int result)
{
	if (outcome->result == CLI_OK || result == CLI_REFUSED)
		outcome->result = result;
}

static void
report_error(Outcome *outcome, PGconn *conn, const PGresult *res, const char *argument)
{
	Buffer		error = {0};
	Buffer		name = {0};

	if (PQstatus(conn) != CONNECTION_OK)
		fail_with_result(conn, res);
	buffer_add(&error, "");
	buffer_add(&name, "");
	result_error(&error, conn, res);
	text_escape(&name, argument, TEXT_LINE);
	complain("%s: %s", name.data, error.data);
	if (json_wanted)
	{
		json_key_string(&outcome->json, "error", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY));
		json_key_string(&outcome->json, "sqlstate", PQresultErrorField(res, PG_DIAG_SQLSTATE));
	}
	note_result(outcome, CLI_REFUSED);
	buffer_free(&error);
	buffer_free(&name);
}

static void
report_answer(Outcome *outcome, const Action *action, const PGresult *res, const char *argument)
{
	const char *answer = PQgetvalue(res, 0, 0);
	bool		done = PQgetisnull(res, 0, 0) || strcmp(answer, "f") != 0;
	Buffer		name = {0};

	buffer_add(&name, "");
	text_escape(&name, argument, TEXT_LINE);
	if (!done)
		note_result(outcome, CLI_NOTHING_DONE);
	if (json_wanted)
	{
		json_key(&outcome->json, "done");
		json_bool(&outcome->json, done);
		if (action->new_job)
		{
			json_key(&outcome->json, "id");
			json_raw(&outcome->json, answer);
		}
	}
	else if (action->new_job)
		printf("%s\n", answer);	/* for scripts, as enqueue does */
	else if (!done)
		complain(action->nothing, name.data);
	else if (!quiet_wanted)
		printf("%s %s\n", action->done, name.data);
	buffer_free(&name);
}

static int
act(const Action *action, int count, char **arguments, int nvalues, const char **values)
{
	PGconn	   *conn;
	Outcome		outcome = {.json = {.lines = true}};

	for (int i = 0; action->ids && i < count; i++)
		check_number("the job's id", arguments[i]);
	conn = connect_server();
	if (json_wanted)
		json_open(&outcome.json, '[');
	for (int i = 0; i < count; i++)
	{
		PGresult   *res;

		values[0] = arguments[i];
		res = action->by_name ? query_by_name_try(conn, action->sql, nvalues, values) :
			query_try(conn, action->sql, nvalues, values);
		if (json_wanted)
		{
			json_open(&outcome.json, '{');
			json_key_string(&outcome.json, "argument", arguments[i]);
		}
		if (PQresultStatus(res) == PGRES_TUPLES_OK)
			report_answer(&outcome, action, res, arguments[i]);
		else
			report_error(&outcome, conn, res, arguments[i]);
		if (json_wanted)
			json_close(&outcome.json, '}');
		PQclear(res);
	}
	if (json_wanted)
	{
		json_close(&outcome.json, ']');
		json_print(&outcome.json);
	}
	PQfinish(conn);
	return outcome.result;
}

int
cmd_cancel(int argc, char **argv)
{
	static bool force = false;
	static const Option options[] = {
		{"force", 'f', OPTION_FLAG, &force},
		{NULL}
	};
	static const Action action = {
		.sql = "SELECT defer.cancel($1::pg_catalog.int8, force => $2::pg_catalog.bool)",
		.done = "cancelled",
		.nothing = "job %s runs or has ended\nHINT:  --force stops one that runs.",
		.ids = true
	};
	const char *values[2];
	int			count;

	argv = options_parse(argc, argv, options, 1, -1, &count);
	values[1] = force ? "true" : "false";
	return act(&action, count, argv, 2, values);
}

int
cmd_rerun(int argc, char **argv)
{
	static const Action action = {
		.sql = "SELECT defer.rerun($1::pg_catalog.int8)",
		.ids = true, .new_job = true
	};
	const char *values[1];
	int			count;

	argv = options_parse(argc, argv, NULL, 1, -1, &count);
	return act(&action, count, argv, 1, values);
}

int
cmd_reschedule(int argc, char **argv)
{
	static const char *at = NULL;
	static const char *delay = NULL;
	static const Option options[] = {
		{"at", 0, OPTION_TEXT, &at},
		{"delay", 0, OPTION_TEXT, &delay},
		{NULL}
	};
	static const Action action = {
		.sql = "SELECT defer.reschedule($1::pg_catalog.int8, COALESCE($2::pg_catalog.timestamptz,"
		" pg_catalog.now() + COALESCE($3::pg_catalog.interval, '0')))",
		.done = "rescheduled",
		.nothing = "job %s runs or has ended",
		.ids = true
	};
	const char *values[3];
	int			count;

	argv = options_parse(argc, argv, options, 1, -1, &count);
	if (at != NULL && delay != NULL)
		usage_error("one of --at and --delay, please");
	values[1] = at;
	values[2] = delay;
	return act(&action, count, argv, 3, values);
}

int
cmd_trigger(int argc, char **argv)
{
	static const Action action = {
		.sql = "SELECT defer.trigger($1)",
		.by_name = true, .new_job = true
	};
	const char *values[1];
	int			count;

	argv = options_parse(argc, argv, NULL, 1, -1, &count);
	return act(&action, count, argv, 1, values);
}

/* pause and resume: functions, queues or schedules */
static int
pause_or_resume(int argc, char **argv, const Action *of_functions, const Action *of_queues,
				const Action *of_schedules)
{
	static bool queues = false;
	static bool schedules = false;
	static const Option options[] = {
		{"queue", 'Q', OPTION_FLAG, &queues},
		{"schedule", 'S', OPTION_FLAG, &schedules},
		{NULL}
	};
	const char *values[1];
	int			count;

	argv = options_parse(argc, argv, options, 1, -1, &count);
	if (queues && schedules)
		usage_error("one of --queue and --schedule, please");
	return act(queues ? of_queues : schedules ? of_schedules : of_functions, count, argv, 1, values);
}

int
cmd_pause(int argc, char **argv)
{
	static const Action function = {
		.sql = "SELECT defer.pause($1)", .done = "paused function", .by_name = true
	};
	static const Action queue = {
		.sql = "SELECT defer.pause_queue($1)", .done = "paused queue"
	};
	static const Action schedule = {
		.sql = "SELECT defer.alter_cron($1, active => false)", .done = "paused schedule"
	};

	return pause_or_resume(argc, argv, &function, &queue, &schedule);
}

int
cmd_resume(int argc, char **argv)
{
	static const Action function = {
		.sql = "SELECT defer.resume($1)", .done = "resumed function", .by_name = true
	};
	static const Action queue = {
		.sql = "SELECT defer.resume_queue($1)", .done = "resumed queue"
	};
	static const Action schedule = {
		.sql = "SELECT defer.alter_cron($1, active => true)", .done = "resumed schedule"
	};

	return pause_or_resume(argc, argv, &function, &queue, &schedule);
}
