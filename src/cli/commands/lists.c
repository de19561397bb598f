/*
 * lists.c
 *		defer functions, queues, groups, workers: lists of them with their settings and counts,
 *		or one in detail.
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
#include "commands/show.h"

/* A list: what it reads, and how it is shown */
typedef struct List
{
	const char *sql;			/* $1 is a name or NULL; all columns */
	const char *document;		/* the same as one JSON document */
	const char *all_sql;		/* of all nodes, with the column "node"; NULL:
								 * there is none */
	const char *all_document;
	const char *missing;		/* format of the message if it is not there */
	const Column *columns;
	const char *const *cells;	/* columns of the result, one for each */
	int			ncolumns;
} List;

/* Durations are numbers of seconds */
#define SECONDS(interval) "EXTRACT(epoch FROM " interval ")::pg_catalog.float8"

#define COUNTS(of) \
	of ".paused, " of ".queued, " of ".running, " of ".retrying, " of ".scheduled, " of ".waiting, " \
	of ".oldest_ready, " SECONDS("pg_catalog.statement_timestamp() - " of ".oldest_ready") " AS oldest_ready_seconds"

#define ENDED(of) \
	of ".succeeded, " of ".failed, " of ".cancelled, " of ".discarded, " \
	SECONDS(of ".avg_duration") " AS avg_duration, " SECONDS(of ".median_duration") " AS median_duration, " \
	SECONDS(of ".p95_duration") " AS p95_duration"

#define SETTINGS(of) \
	of ".priority, " of ".concurrency, " of ".max_attempts, " of ".initial_interval::pg_catalog.text, " \
	of ".multiplier, " of ".max_interval::pg_catalog.text, " of ".randomization, " \
	of ".max_duration::pg_catalog.text, " of ".discard_after::pg_catalog.text, " of ".group_by, " \
	of ".group_concurrency, " of ".rate, " of ".rate_burst, " of ".group_rate, " of ".group_rate_burst, " \
	of ".group_order, " of ".on_group_failure, " of ".max_queued, " of ".group_max_queued, " \
	of ".unfinished, " of ".refused"

/* Of the list of a view, with the columns "first"; and what of the statements is of one server or all */
#define BOTH(key, sql, view) \
	sql("", "defer." view), DOCUMENT(key, sql("", "defer." view)), \
	sql(NODE, "defer.all_" view), DOCUMENT(key, sql(NODE, "defer.all_" view))
#define NODE "x.node, "

/* A function is named by its signature, or by its name with or without the schema */
#define FUNCTIONS_SQL(first, view) \
	"SELECT " first "x.function, x.queue, " COUNTS("x") ", " ENDED("x") ", x.at_limit, " SETTINGS("x") \
	" FROM " view " x WHERE $1::pg_catalog.text IS NULL OR x.function = $1" \
	" OR pg_catalog.starts_with(x.function, $1 || '(') OR pg_catalog.strpos(x.function, '.' || $1 || '(') > 0" \
	" ORDER BY " first "x.function"

#define QUEUES_SQL(first, view) \
	"SELECT " first "x.queue, x.owner::pg_catalog.text, NULLIF(pg_catalog.array_to_string(x.granted, ', '), '') AS granted, x.reserved, " \
	COUNTS("x") ", " ENDED("x") ", " SETTINGS("x") \
	" FROM " view " x WHERE $1::pg_catalog.text IS NULL OR x.queue = $1 ORDER BY " first "x.queue"

#define GROUPS_SQL \
	"SELECT g.group_key, g.kind, g.name, " COUNTS("g") ", g.concurrency, g.rate, g.max_queued, g.next_token, g.weight, g.share," \
	" g.reason, g.group_order, g.held_since, g.held_by," \
	" CASE WHEN g.held_since IS NOT NULL THEN 'held' WHEN g.paused THEN 'paused' END AS state" \
	" FROM defer.groups g WHERE $1::pg_catalog.text IS NULL OR g.group_key = $1" \
	" ORDER BY g.group_key, g.kind, g.name"

/* Workers of tasks: processes outside of the server */
#define WORKERS_SQL(first, view) \
	"SELECT " first "COALESCE(x.name, '(no name)') AS name, x.role::pg_catalog.text, x.host," \
	" pg_catalog.array_to_string(x.tasks, ', ') AS tasks, x.leases, x.pid, x.since, x.last_seen," \
	" " SECONDS("pg_catalog.clock_timestamp() - x.since") " AS since_seconds," \
	" " SECONDS("pg_catalog.clock_timestamp() - x.last_seen") " AS last_seen_seconds" \
	" FROM " view " x WHERE x.kind = 'outside' AND ($1::pg_catalog.text IS NULL OR x.name = $1)" \
	" ORDER BY " first "x.name, x.role, x.since"

#define DOCUMENT(key, sql) "SELECT pg_catalog.json_build_object('" key "', " JSON_ROWS(sql) ") AS document"

static bool
ends_with(const char *text, const char *end)
{
	size_t		length = strlen(text);

	return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static bool all_servers = false;

static void
print_list(const List *list, const PGresult *res)
{
	static const Column node = {"NODE", COLUMN_TEXT, 0, 0};
	Column		columns[20] = {node};
	const int	first = all_servers ? 1 : 0;
	Table		table;

	memcpy(columns + first, list->columns, list->ncolumns * sizeof(Column));
	table_init(&table, columns, list->ncolumns + first);
	for (int row = 0; row < PQntuples(res); row++)
	{
		if (all_servers)
			table_cell(&table, result_value(res, row, "node"));
		for (int i = 0; i < list->ncolumns; i++)
		{
			const char *column = list->cells[i];

			if (strcmp(column, "paused") == 0)
				table_cell(&table, result_true(res, row, column) ? "paused" : "");
			else if (ends_with(column, "_seconds") || ends_with(column, "_duration"))
				table_cell_seconds(&table, res, row, column);
			else if (list->columns[i].kind == COLUMN_NUMBER && list->columns[i].shrink == 0 &&
					 result_value(res, row, column) != NULL)
				table_cell_count(&table, result_number(res, row, column));
			else
				table_cell(&table, result_value(res, row, column));
		}
	}
	table_print(&table);
	table_free(&table);
}

/* Print all columns of a row that have a value */
static void
print_one(const PGresult *res, int row)
{
	for (int i = 0; i < PQnfields(res); i++)
	{
		Buffer		text = {0};

		if (PQgetisnull(res, row, i))
			continue;
		buffer_add(&text, "");
		text_escape(&text, PQgetvalue(res, row, i), TEXT_LINE);
		printf("%s%-20s%s %s\n", terminal_colour(COLOUR_BOLD), PQfname(res, i),
			   terminal_colour(COLOUR_PLAIN), text.data);
		buffer_free(&text);
	}
}

static int
show_list(const List *list, int argc, char **argv)
{
	static const Option options[] = {
		{"all-servers", 0, OPTION_FLAG, &all_servers},
		{NULL}
	};
	PGconn	   *conn;
	PGresult   *res;
	const char *name = NULL;
	int			count;
	bool		found;

	argv = options_parse(argc, argv, list->all_sql != NULL ? options : NULL, 0, 1, &count);
	if (count > 0)
		name = argv[0];
	conn = connect_or_exit();
	res = query_run(conn, all_servers ? list->all_sql : list->sql, 1, &name);
	found = PQntuples(res) > 0;
	if (options_json)
	{
		const char *sql = all_servers ? list->all_document : list->document;
		PGresult   *document = query_run(conn, sql, 1, &name);

		json_print(document);
		PQclear(document);
	}
	else if (name == NULL)
		print_list(list, res);
	for (int row = 0; name != NULL && !options_json && row < PQntuples(res); row++)
	{
		if (row > 0)
			printf("\n");
		print_one(res, row);
	}
	PQclear(res);
	PQfinish(conn);
	if (name == NULL || found)
		return CLI_OK;
	report_error(list->missing, text_line(name));
	return CLI_NOTHING_DONE;
}

/* ------------------------------------------------------------------------
 * The lists
 * ------------------------------------------------------------------------ */

static int
cmd_functions(int argc, char **argv)
{
	static const Column columns[] = {
		{"FUNCTION", COLUMN_TEXT, 16, 0}, {"", COLUMN_STATE, 0, 1}, {"QUEUE", COLUMN_TEXT, 8, 6},
		{"LIMIT", COLUMN_NUMBER, 0, 5}, {"QUEUED", COLUMN_NUMBER, 0, 0}, {"RUNNING", COLUMN_NUMBER, 0, 0},
		{"RETRYING", COLUMN_NUMBER, 0, 0}, {"SCHEDULED", COLUMN_NUMBER, 0, 4}, {"SUCCEEDED", COLUMN_NUMBER, 0, 1},
		{"FAILED", COLUMN_NUMBER, 0, 0}, {"MEDIAN", COLUMN_NUMBER, 0, 3}, {"95 %", COLUMN_NUMBER, 0, 2},
		{"OLDEST READY", COLUMN_NUMBER, 0, 2},
	};
	static const char *const cells[] = {
		"function", "paused", "queue", "concurrency", "queued", "running", "retrying", "scheduled",
		"succeeded", "failed", "median_duration", "p95_duration", "oldest_ready_seconds"
	};
	static const List list = {
		BOTH("functions", FUNCTIONS_SQL, "functions"),
		"there is no function \"%s\" with settings of its own, or with jobs that have not ended or have ended during the last day",
		columns, cells, lengthof(columns)
	};

	return show_list(&list, argc, argv);
}

const Command command_functions = {
	"functions", "[--all-servers] [NAME]", "Functions: settings, jobs, durations", cmd_functions,
	"\nThose that have settings, or jobs that have not ended or have ended during the last day.\n"
	"With a name all about the functions of that name; what is not shown is the default.\n"
	"\nOptions:\n"
	ALL_SERVERS_HELP
	"\nExamples:\n"
	"  defer -d shop functions\n"
	"  defer -d shop functions send_invoice\n"
	"  defer -d shop functions --json | jq '.functions[] | select(.failed > 0) | .function'\n"
};

static int
cmd_queues(int argc, char **argv)
{
	static const Column columns[] = {
		{"QUEUE", COLUMN_TEXT, 12, 0}, {"", COLUMN_STATE, 0, 1}, {"OWNER", COLUMN_TEXT, 6, 6},
		{"LIMIT", COLUMN_NUMBER, 0, 4}, {"QUEUED", COLUMN_NUMBER, 0, 0}, {"RUNNING", COLUMN_NUMBER, 0, 0},
		{"RETRYING", COLUMN_NUMBER, 0, 0}, {"SCHEDULED", COLUMN_NUMBER, 0, 5}, {"SUCCEEDED", COLUMN_NUMBER, 0, 1},
		{"FAILED", COLUMN_NUMBER, 0, 0}, {"MEDIAN", COLUMN_NUMBER, 0, 3}, {"95 %", COLUMN_NUMBER, 0, 3},
		{"OLDEST READY", COLUMN_NUMBER, 0, 2},
	};
	static const char *const cells[] = {
		"queue", "paused", "owner", "concurrency", "queued", "running", "retrying", "scheduled",
		"succeeded", "failed", "median_duration", "p95_duration", "oldest_ready_seconds"
	};
	static const List list = {
		BOTH("queues", QUEUES_SQL, "queues"), "there is no queue \"%s\" that you may use",
		columns, cells, lengthof(columns)
	};

	return show_list(&list, argc, argv);
}

const Command command_queues = {
	"queues", "[--all-servers] [NAME]", "Queues: settings, jobs, durations", cmd_queues,
	"\nWith a name all about that queue; what is not shown is the default.\n"
	"\nOptions:\n"
	ALL_SERVERS_HELP
	"\nExamples:\n"
	"  defer -d shop queues\n"
	"  defer -d shop queues reports --json\n"
};

static int
cmd_groups(int argc, char **argv)
{
	static const Column columns[] = {
		{"GROUP", COLUMN_TEXT, 10, 0}, {"", COLUMN_STATE, 0, 0}, {"OF", COLUMN_TEXT, 0, 2},
		{"NAME", COLUMN_TEXT, 12, 0}, {"LIMIT", COLUMN_NUMBER, 0, 4}, {"RATE", COLUMN_TEXT, 0, 5},
		{"QUEUED", COLUMN_NUMBER, 0, 0}, {"RUNNING", COLUMN_NUMBER, 0, 0}, {"RETRYING", COLUMN_NUMBER, 0, 1},
		{"SCHEDULED", COLUMN_NUMBER, 0, 5}, {"OLDEST READY", COLUMN_NUMBER, 0, 3},
	};
	static const char *const cells[] = {
		"group_key", "state", "kind", "name", "concurrency", "rate", "queued", "running", "retrying",
		"scheduled", "oldest_ready_seconds"
	};
	static const List list = {
		GROUPS_SQL, DOCUMENT("groups", GROUPS_SQL), NULL, NULL,
		"there is no group \"%s\" with settings of its own or jobs that have not ended",
		columns, cells, lengthof(columns)
	};

	return show_list(&list, argc, argv);
}

const Command command_groups = {
	"groups", "[KEY]", "Groups: limits and jobs, by function and by queue", cmd_groups,
	"\nThose that have settings of their own, or jobs that have not ended. With a key all about\n"
	"that group.\n"
	"\nExamples:\n"
	"  defer -d shop groups\n"
	"  defer -d shop groups acme\n"
};

static int
cmd_workers(int argc, char **argv)
{
	static const Column columns[] = {
		{"WORKER", COLUMN_TEXT, 12, 0}, {"ROLE", COLUMN_TEXT, 6, 3}, {"HOST", COLUMN_TEXT, 8, 2},
		{"TASKS", COLUMN_TEXT, 12, 0}, {"JOBS", COLUMN_NUMBER, 0, 0}, {"SINCE", COLUMN_NUMBER, 0, 1},
		{"LAST SEEN", COLUMN_NUMBER, 0, 0},
	};
	static const char *const cells[] = {
		"name", "role", "host", "tasks", "leases", "since_seconds", "last_seen_seconds"
	};
	static const List list = {
		BOTH("workers", WORKERS_SQL, "workers"),
		"there is no worker \"%s\" that holds jobs of tasks or waits for them",
		columns, cells, lengthof(columns)
	};

	return show_list(&list, argc, argv);
}

const Command command_workers = {
	"workers", "[--all-servers] [NAME]", "Workers of tasks, outside of the server", cmd_workers,
	"\nThose that hold jobs of tasks, or wait for them: whose tasks they are, how many jobs they hold,\n"
	"when one of their calls was about these. For workers of the server see defer top.\n"
	"\nOptions:\n"
	ALL_SERVERS_HELP
	"\nExamples:\n"
	"  defer -d shop workers\n"
	"  defer -d shop workers --json | jq '.workers[] | select(.last_seen_seconds > 60)'\n"
};
