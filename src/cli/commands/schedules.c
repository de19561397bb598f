/*
 * schedules.c
 *		defer schedules: all of them, or one with all there is to know.
 */
#include "core/cli.h"

#include <string.h>

static const char *const schedules_sql =
"SELECT s.id, s.name, s.function, s.command, s.schedule, s.description, s.timezone,"
" s.owner::pg_catalog.text AS owner, s.active, s.overlap, s.catch_up, s.catch_up_window::pg_catalog.text,"
" s.jitter::pg_catalog.text, s.queue, s.priority, s.last_run_at, s.last_state, s.next_run_at,"
" pg_catalog.to_jsonb(s.next_runs) AS next_runs, s.last_error, s.created_at,"
" pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD') AS today"
" FROM defer.schedules s WHERE $1::pg_catalog.text IS NULL OR s.name = $1"
" ORDER BY s.name, s.owner";

/* The next times one by one, in the session's zone and as they are elsewhere */
static const char *const next_sql =
"SELECT n::pg_catalog.text AS at FROM defer.schedules s,"
" pg_catalog.unnest(s.next_runs) n WHERE s.id = $1::pg_catalog.int8 ORDER BY n";

static const char *
schedule_state(const PGresult *res, int row)
{
	if (!result_true(res, row, "active"))
		return "inactive";
	return result_value(res, row, "last_error") != NULL ? "error" : "";
}

static void
print_list(const PGresult *res)
{
	static const Column columns[] = {
		{"NAME", COLUMN_TEXT, 12, 0},
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
		{"schedule", "name"}, {"function", "function"}, {"command", "command"}, {"when", "schedule"},
		{"in words", "description"}, {"zone", "timezone"}, {"role", "owner"}, {"overlap", "overlap"},
		{"catch up", "catch_up"}, {"jitter", "jitter"}, {"queue", "queue"}, {"priority", "priority"},
		{"last run", "last_run_at"}, {"last state", "last_state"}, {"error", "last_error"},
	};
	const char *id = result_text(res, row, "id");
	const char *state = schedule_state(res, row);
	PGresult   *next = query(conn, next_sql, 1, &id);

	for (size_t i = 0; i < lengthof(fields); i++)
	{
		const char *value = result_value(res, row, fields[i].column);
		Buffer		text = {0};

		if (value == NULL)
			continue;
		buffer_add(&text, "");
		text_escape(&text, value, TEXT_LINE);
		printf("%s%-12s%s %s", colour(BOLD), fields[i].label, colour(PLAIN), text.data);
		if (i == 0 && state[0] != '\0')
			printf("  %s%s%s", colour(state_colour(state)), state, colour(PLAIN));
		printf("\n");
		buffer_free(&text);
	}
	for (int i = 0; i < PQntuples(next); i++)
	{
		Buffer		text = {0};

		text_escape(&text, PQgetvalue(next, i, 0), TEXT_LINE);
		printf("%s%-12s%s %s\n", colour(BOLD), i == 0 ? "next times" : "", colour(PLAIN), text.data);
		buffer_free(&text);
	}
	PQclear(next);
}

int
cmd_schedules(int argc, char **argv)
{
	PGconn	   *conn;
	PGresult   *res;
	const char *name = NULL;
	int			count;

	argv = options_parse(argc, argv, NULL, 0, 1, &count);
	if (count > 0)
		name = argv[0];
	conn = connect_server();
	res = query(conn, schedules_sql, 1, &name);
	if (json_wanted)
	{
		Json		json = {.lines = true};

		json_open(&json, '{');
		json_key(&json, "schedules");
		json_open(&json, '[');
		for (int row = 0; row < PQntuples(res); row++)
			json_row_but(&json, res, row, "today");
		json_close(&json, ']');
		json_close(&json, '}');
		json_print(&json);
	}
	else if (name == NULL)
		print_list(res);
	for (int row = 0; name != NULL && !json_wanted && row < PQntuples(res); row++)
	{
		if (row > 0)
			printf("\n");
		print_one(conn, res, row);
	}
	if (name != NULL && PQntuples(res) == 0)
	{
		Buffer		text = {0};

		buffer_add(&text, "");
		text_escape(&text, name, TEXT_LINE);
		complain("there is no schedule \"%s\" that you may see", text.data);
		return CLI_NOTHING_DONE;
	}
	PQclear(res);
	PQfinish(conn);
	return CLI_OK;
}
