/*
 * schedules.c
 *		defer schedules: a list, or one schedule in detail.
 */
#include "commands/commands.h"

#include <string.h>

#include "core/connect.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "core/table.h"
#include "core/terminal.h"
#include "core/text.h"

/* $1 is the name, $2 the owner */
#define SCHEDULES_SQL \
	"SELECT s.id, s.name, s.function, s.command, s.schedule, s.description, s.timezone," \
	" s.owner::pg_catalog.text AS owner, s.active, s.overlap, s.catch_up," \
	" s.catch_up_window::pg_catalog.text, s.jitter::pg_catalog.text, s.queue, s.priority," \
	" s.last_run_at, s.last_state, s.next_run_at, s.starts_at, s.ends_at, s.max_runs, s.runs," \
	" s.pause_after_failures, s.failures, s.paused_at, s.paused_by, s.pause_reason," \
	" pg_catalog.to_jsonb(s.next_runs) AS next_runs, s.last_error, s.created_at" \
	" FROM defer.schedules s WHERE ($1::pg_catalog.text IS NULL OR s.name = $1)" \
	" AND ($2::pg_catalog.text IS NULL OR s.owner::pg_catalog.text = $2)" \
	" ORDER BY s.name, s.owner::pg_catalog.text"

static const char *const list_sql =
"SELECT l.*, pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD') AS today FROM (" SCHEDULES_SQL ") l";

static const char *const document_sql =
"SELECT pg_catalog.json_build_object('schedules', " JSON_ROWS(SCHEDULES_SQL) ") AS document, "
"pg_catalog.count(*) AS schedules FROM (" SCHEDULES_SQL ") c";

/* The next times of a schedule, in the session's time zone */
static const char *const next_sql =
"SELECT n::pg_catalog.text AS at FROM defer.schedules s,"
" pg_catalog.unnest(s.next_runs) n WHERE s.id = $1::pg_catalog.int8 ORDER BY n";

static const char *
schedule_state(const PGresult *res, int row)
{
	if (!result_true(res, row, "active"))
		return "paused";
	return result_value(res, row, "last_error") != NULL ? "error" : "";
}

static void
print_list(const PGresult *res)
{
	static const Column columns[] = {
		{"NAME", COLUMN_TEXT, 12, 0},
		{"ROLE", COLUMN_TEXT, 6, 6},
		{"", COLUMN_STATE, 0, 1},
		{"SCHEDULE", COLUMN_TEXT, 9, 4},
		{"WHEN", COLUMN_TEXT, 14, 2},
		{"ZONE", COLUMN_TEXT, 6, 5},
		{"LAST", COLUMN_TEXT, 0, 3},
		{"", COLUMN_STATE, 0, 3},
		{"NEXT", COLUMN_TEXT, 0, 0},
	};
	Table		table;

	table_init(&table, columns, lengthof(columns));
	for (int row = 0; row < PQntuples(res); row++)
	{
		const char *today = result_value(res, row, "today");

		table_cell(&table, result_text(res, row, "name"));
		table_cell(&table, result_text(res, row, "owner"));
		table_cell(&table, schedule_state(res, row));
		table_cell(&table, result_text(res, row, "schedule"));
		table_cell(&table, result_value(res, row, "description"));
		table_cell(&table, result_text(res, row, "timezone"));
		table_cell_time(&table, result_value(res, row, "last_run_at"), today);
		table_cell(&table, result_value(res, row, "last_state"));
		table_cell_time(&table, result_value(res, row, "next_run_at"), today);
	}
	table_print(&table);
	table_free(&table);
}

static void
print_one(PGconn *conn, const PGresult *res, int row)
{
	static const struct
	{
		const char *label;
		const char *column;
	}			fields[] = {
		{"schedule", "name"}, {"id", "id"}, {"function", "function"}, {"command", "command"}, {"when", "schedule"},
		{"in words", "description"}, {"zone", "timezone"}, {"role", "owner"}, {"overlap", "overlap"},
		{"catch up", "catch_up"}, {"jitter", "jitter"}, {"queue", "queue"}, {"priority", "priority"},
		{"starts", "starts_at"}, {"ends", "ends_at"}, {"max runs", "max_runs"}, {"runs", "runs"},
		{"failures", "failures"}, {"pause after", "pause_after_failures"},
		{"paused at", "paused_at"}, {"paused by", "paused_by"}, {"reason", "pause_reason"},
		{"last run", "last_run_at"}, {"last state", "last_state"}, {"error", "last_error"},
	};
	const char *id = result_text(res, row, "id");
	const char *state = schedule_state(res, row);
	PGresult   *next = query_run(conn, next_sql, 1, &id);

	for (size_t i = 0; i < lengthof(fields); i++)
	{
		const char *value = result_value(res, row, fields[i].column);
		Buffer		text = {0};

		if (value == NULL)
			continue;
		buffer_add(&text, "");
		text_escape(&text, value, TEXT_LINE);
		printf("%s%-12s%s %s", terminal_colour(COLOUR_BOLD), fields[i].label,
			   terminal_colour(COLOUR_PLAIN), text.data);
		if (i == 0 && state[0] != '\0')
			printf("  %s%s%s", terminal_colour(terminal_state_colour(state)), state,
				   terminal_colour(COLOUR_PLAIN));
		printf("\n");
		buffer_free(&text);
	}
	for (int i = 0; i < PQntuples(next); i++)
	{
		Buffer		text = {0};

		text_escape(&text, PQgetvalue(next, i, 0), TEXT_LINE);
		printf("%s%-12s%s %s\n", terminal_colour(COLOUR_BOLD), i == 0 ? "next times" : "",
			   terminal_colour(COLOUR_PLAIN), text.data);
		buffer_free(&text);
	}
	PQclear(next);
}

static int
cmd_schedules(int argc, char **argv)
{
	static const char *owner = NULL;
	static const Option options[] = {
		{"owner", 0, OPTION_TEXT, &owner},
		{NULL}
	};
	PGconn	   *conn;
	PGresult   *res;
	const char *values[2] = {NULL, NULL};
	int			count;
	bool		found;

	argv = options_parse(argc, argv, options, 0, 1, &count);
	if (count > 0)
		values[0] = argv[0];
	values[1] = owner;
	conn = connect_or_exit();
	res = query_run(conn, options_json ? document_sql : list_sql, lengthof(values), values);
	found = options_json ? result_int64(res, 0, "schedules") > 0 : PQntuples(res) > 0;
	if (options_json)
		json_print(res);
	else if (values[0] == NULL)
		print_list(res);
	for (int row = 0; values[0] != NULL && !options_json && row < PQntuples(res); row++)
	{
		if (row > 0)
			printf("\n");
		print_one(conn, res, row);
	}
	if (values[0] != NULL && !found)
	{
		report_error("there is no schedule \"%s\" that you may see", text_line(values[0]));
		return CLI_NOTHING_DONE;
	}
	PQclear(res);
	PQfinish(conn);
	return CLI_OK;
}

const Command command_schedules = {
	"schedules", "[NAME] [--owner=ROLE]", "Schedules: in words, last and next times", cmd_schedules,
	"\nWith a name the schedules of that name in detail, with their next five times.\n"
	"\nOptions:\n"
	"      --owner=ROLE       of this role only, as several can have one of that name\n"
	"\nExamples:\n"
	"  defer -d shop schedules\n"
	"  defer -d shop schedules nightly_cleanup\n"
	"  defer -d shop schedules --json | jq '.schedules[] | select(.last_error)'\n"
};
