/*
 * job.c
 *		defer job ID: everything about one job.
 */
#include "commands/commands.h"

#include <string.h>

#include "core/connect.h"
#include "core/format.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "core/terminal.h"
#include "core/text.h"
#include "commands/job_logs.h"
#include "commands/job_parts.h"
#include "commands/show.h"

#define JOB_SQL \
	"SELECT " SHOW_JOB_COLUMNS " FROM defer.jobs j WHERE j.id = $1::pg_catalog.int8"

#define ATTEMPTS_SQL \
	"SELECT a.attempt, a.started_at, a.finished_at," \
	" EXTRACT(epoch FROM a.finished_at - a.started_at)::pg_catalog.float8 AS duration," \
	" a.outcome, a.sqlstate, a.message, a.detail, a.hint, a.context, a.retry_at" \
	" FROM defer.attempts a WHERE a.job_id = $1::pg_catalog.int8 ORDER BY a.finished_at, a.attempt"

#define WHY_SQL \
	"SELECT w.reason, w.detail, w.until FROM defer.why($1::pg_catalog.int8) w"

#define LOGS_SQL \
	"SELECT l.attempt, l.at, l.level, l.message" \
	" FROM defer.logs l WHERE l.job_id = $1::pg_catalog.int8 ORDER BY l.at, l.attempt"

#define CHILDREN_SQL \
	"SELECT c.state, c.jobs FROM defer.child_states($1::pg_catalog.int8) c"

#define PARENT_SQL(id) \
	"SELECT p.id, p.function, p.state FROM defer.jobs p WHERE p.id = " id

static const char *const document_sql =
"SELECT pg_catalog.row_to_json(job) FROM (SELECT j.*, "
JSON_ROWS(WHY_SQL) " AS waits_for, "
JSON_ROWS(ATTEMPTS_SQL) " AS attempts, "
JSON_ROWS(LOGS_SQL) " AS logs, "
JSON_ROWS(JOB_AFTER_SQL) " AS after, "
JSON_ROWS(JOB_STEPS_SQL) " AS steps, "
JSON_ROW(JOB_BATCH_SQL) " AS batch, "
JSON_ROW(PARENT_SQL("j.parent_id")) " AS parent,"
" (SELECT COALESCE(pg_catalog.json_object_agg(s.state, s.jobs), '{}') FROM (" CHILDREN_SQL ") s) AS children"
" FROM (" JOB_SQL ") j) job";

static void
print_head(const PGresult *job, const PGresult *parent)
{
	const char *state = result_text(job, 0, "state");
	Buffer		line = {0};

	show_label("job");
	show_state(state);
	printf(" %s\n", result_text(job, 0, "id"));
	show_field("function", result_value(job, 0, "function"), TEXT_LINE);
	show_field("arguments", result_value(job, 0, "args"), TEXT_BLOCK);
	show_field("result", result_value(job, 0, "result"), TEXT_BLOCK);
	if (result_value(job, 0, "error") != NULL)
	{
		buffer_printf(&line, "%s: %s", result_text(job, 0, "sqlstate"), result_text(job, 0, "error"));
		show_field(strcmp(state, "succeeded") == 0 ? "earlier error" : "error", line.data, TEXT_BLOCK);
	}
	if (result_value(job, 0, "progress") != NULL)
	{
		buffer_reset(&line);
		show_progress(&line, result_number(job, 0, "progress"), 30);
		show_field("progress", line.data, TEXT_LINE);
	}
	buffer_reset(&line);
	buffer_printf(&line, "%s of %s", result_text(job, 0, "attempt"), result_text(job, 0, "max_attempts"));
	show_field("attempts", line.data, TEXT_LINE);
	show_field("role", result_value(job, 0, "owner"), TEXT_LINE);
	buffer_reset(&line);
	buffer_printf(&line, "%s, priority %s", result_text(job, 0, "queue"), result_text(job, 0, "priority"));
	show_field("queue", line.data, TEXT_LINE);
	show_field("key", result_value(job, 0, "key"), TEXT_LINE);
	show_field("waits for", result_value(job, 0, "behind"), TEXT_LINE);
	show_field("group", result_value(job, 0, "group_key"), TEXT_LINE);
	show_field("metadata", result_value(job, 0, "metadata"), TEXT_BLOCK);
	show_field("schedule", result_value(job, 0, "schedule"), TEXT_LINE);
	show_field("process", result_value(job, 0, "pid"), TEXT_LINE);
	if (parent != NULL && PQntuples(parent) > 0)
	{
		buffer_reset(&line);
		buffer_printf(&line, "%s %s (%s)", result_text(parent, 0, "id"), result_text(parent, 0, "function"),
					  result_text(parent, 0, "state"));
		show_field("parent", line.data, TEXT_LINE);
	}
	else
		show_field("parent", result_value(job, 0, "parent_id"), TEXT_LINE);
	show_field("rerun of", result_value(job, 0, "rerun_of"), TEXT_LINE);
	buffer_free(&line);
}

/* Print why it does not begin: a line for each reason */
static void
print_why(PGconn *conn, const char *id)
{
	PGresult   *res = query_run(conn, WHY_SQL, 1, &id);

	for (int row = 0; row < PQntuples(res); row++)
	{
		Buffer		line = {0};

		buffer_printf(&line, "%s: %s", result_text(res, row, "reason"), result_text(res, row, "detail"));
		if (result_value(res, row, "until") != NULL)
		{
			buffer_add(&line, ", until ");
			format_time(&line, result_text(res, row, "until"), NULL);
		}
		show_field(row == 0 ? "waits for" : " ", line.data, TEXT_LINE);
		buffer_free(&line);
	}
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * The time line
 * ------------------------------------------------------------------------ */

/* Add a line; at NULL: none */
static void
event(Table *table, const char *at, const char *what, const char *detail)
{
	Buffer		time = {0};

	if (at == NULL)
		return;
	format_time_exact(&time, at);
	table_cell(table, time.data);
	buffer_free(&time);
	table_cell(table, what);
	table_cell(table, detail);
}

/* Add the begin and the end of an attempt that did not succeed */
static void
attempt_events(Table *table, const PGresult *attempts, int row)
{
	Buffer		what = {0};
	Buffer		detail = {0};

	buffer_printf(&what, "attempt %s", result_text(attempts, row, "attempt"));
	event(table, result_value(attempts, row, "started_at"), what.data, "started");
	buffer_add(&detail, result_text(attempts, row, "outcome"));
	if (result_value(attempts, row, "duration") != NULL)
	{
		buffer_add(&detail, " after ");
		format_seconds(&detail, result_number(attempts, row, "duration"));
	}
	if (result_value(attempts, row, "message") != NULL)
		buffer_printf(&detail, ": %s", result_text(attempts, row, "message"));
	event(table, result_value(attempts, row, "finished_at"), what.data, detail.data);
	buffer_free(&what);
	buffer_free(&detail);
}

static void
print_time_line(const PGresult *job, const PGresult *attempts)
{
	static const Column columns[] = {
		{"TIME", COLUMN_TEXT, 0, 0}, {"", COLUMN_STATE, 0, 0}, {"", COLUMN_TEXT, 20, 0},
	};
	const char *state = result_text(job, 0, "state");
	const char *started = result_value(job, 0, "started_at");
	Table		table;
	bool		ended = result_value(job, 0, "finished_at") != NULL;
	int			n = PQntuples(attempts);
	int			order = started == NULL || n == 0 ? 1 : /* to the first attempt */
		strcmp(started, result_text(attempts, 0, "started_at"));

	table_init(&table, columns, lengthof(columns));
	event(&table, result_value(job, 0, "scheduled_for"), "tick", "of the schedule");
	event(&table, result_value(job, 0, "enqueued_at"), "enqueued", NULL);
	if (order < 0)				/* of several passes */
		event(&table, started, "started", NULL);
	for (int row = 0; row < n; row++)
		attempt_events(&table, attempts, row);
	if (started != NULL && order > 0 &&
		(n == 0 || strcmp(started, result_text(attempts, n - 1, "started_at")) != 0))
		event(&table, started, "started", NULL);
	if (ended)
	{
		Buffer		took = {0};

		buffer_add(&took, "");
		if (result_value(job, 0, "duration") != NULL && strcmp(state, "succeeded") == 0)
		{
			buffer_add(&took, "after ");
			format_seconds(&took, result_number(job, 0, "duration"));
		}
		event(&table, result_value(job, 0, "finished_at"), state, took.data);
		buffer_free(&took);
	}
	else if (started == NULL || strcmp(state, "running") != 0)
		event(&table, result_value(job, 0, "run_at"), "may begin", NULL);
	if (!ended)
		event(&table, result_value(job, 0, "discard_at"), "discarded", "unless it has begun");
	printf("\n");
	table_print(&table);
	table_free(&table);
}

static void
print_attempts(const PGresult *attempts)
{
	for (int row = 0; row < PQntuples(attempts); row++)
	{
		printf("\n%sattempt %s%s: ", terminal_colour(COLOUR_BOLD),
			   result_text(attempts, row, "attempt"), terminal_colour(COLOUR_PLAIN));
		show_state(result_text(attempts, row, "outcome"));
		printf("\n");
		show_field("  sqlstate", result_value(attempts, row, "sqlstate"), TEXT_LINE);
		show_field("  message", result_value(attempts, row, "message"), TEXT_BLOCK);
		show_field("  detail", result_value(attempts, row, "detail"), TEXT_BLOCK);
		show_field("  hint", result_value(attempts, row, "hint"), TEXT_BLOCK);
		show_field("  context", result_value(attempts, row, "context"), TEXT_BLOCK);
		show_field("  next", result_value(attempts, row, "retry_at"), TEXT_LINE);
	}
}

static void
print_children(const PGresult *children, const char *id)
{
	double		total = 0;

	if (PQntuples(children) == 0)
		return;
	for (int row = 0; row < PQntuples(children); row++)
		total += result_number(children, row, "jobs");
	printf("\n");
	show_label("children");
	printf("%.0f:", total);
	for (int row = 0; row < PQntuples(children); row++)
	{
		const char *state = result_text(children, row, "state");

		printf("%s %s %s%s%s", row > 0 ? "," : "", result_text(children, row, "jobs"),
			   terminal_colour(terminal_state_colour(state)), state, terminal_colour(COLOUR_PLAIN));
	}
	printf("  %s(defer jobs --parent %s)%s\n", terminal_colour(COLOUR_DIM), id, terminal_colour(COLOUR_PLAIN));
}

static void
print_job(PGconn *conn, const PGresult *job, const char *id)
{
	const char *parent_id = result_value(job, 0, "parent_id");
	PGresult   *attempts = query_run(conn, ATTEMPTS_SQL, 1, &id);
	PGresult   *logs = query_run(conn, LOGS_SQL, 1, &id);
	PGresult   *children = query_run(conn, CHILDREN_SQL, 1, &id);
	PGresult   *parent = NULL;

	if (parent_id != NULL)
		parent = query_run(conn, PARENT_SQL("$1::pg_catalog.int8"), 1, &parent_id);
	print_head(job, parent);
	if (result_value(job, 0, "finished_at") == NULL)
		print_why(conn, id);
	print_time_line(job, attempts);
	job_print_steps(conn, id);
	job_print_after(conn, id);
	job_print_batch(conn, id);
	print_children(children, id);
	print_attempts(attempts);
	job_logs_print(logs);
	PQclear(attempts);
	PQclear(logs);
	PQclear(children);
	PQclear(parent);
}

static int
cmd_job(int argc, char **argv)
{
	static bool follow = false;
	static const Option options[] = {
		{"follow", 'f', OPTION_FLAG, &follow},
		{NULL}
	};
	PGconn	   *conn;
	PGresult   *job;
	const char *id;

	argv = options_parse(argc, argv, options, 1, 1, NULL);
	if (follow && options_json)
		report_usage_error("--follow and --json cannot be used together");
	id = argv[0];
	options_check_number("the job's id", id);
	conn = connect_or_exit();
	job = query_run(conn, options_json ? document_sql : JOB_SQL, 1, &id);
	if (PQntuples(job) == 0)
	{
		report_error("there is no job %s that you may see", id);
		return CLI_NOTHING_DONE;
	}
	if (follow)
		job_logs_follow(conn, id);
	else if (options_json)
		json_print(job);
	else
		print_job(conn, job, id);
	PQclear(job);
	PQfinish(conn);
	return CLI_OK;
}

const Command command_job = {
	"job", "[--follow] ID", "Everything about one job", cmd_job,
	"\nOptions:\n"
	"  -f, --follow           only what it says, as it comes, until it has ended\n"
	"\nArguments, result, why it waits, times, steps, attempts with their errors, logs, parent\n"
	"and children, and the jobs that it comes after or that wait for it.\n"
	"Exits with 4 if there is none that you may see.\n"
	"\nExamples:\n"
	"  defer -d shop job 4711\n"
	"  defer -d shop job 4711 --follow\n"
	"  defer -d shop job 4711 --json | jq '.attempts[-1].context'\n"
};
