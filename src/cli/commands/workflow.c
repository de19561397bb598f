/*
 * workflow.c
 *		defer workflow: a list, or the graph of one.
 */
#include "commands/commands.h"

#include <stdlib.h>
#include <string.h>

#include "core/connect.h"
#include "core/format.h"
#include "core/graph.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "core/table.h"
#include "core/terminal.h"
#include "commands/show.h"

#define COLUMNS_SQL \
	"w.id, w.name, w.owner::pg_catalog.text AS owner, w.state, w.steps, w.unfinished, w.succeeded, w.skipped," \
	" w.failed, w.cancelled, w.created_at, w.finished_at," \
	" EXTRACT(epoch FROM COALESCE(w.finished_at, pg_catalog.statement_timestamp()) - w.created_at)::pg_catalog.float8 AS duration," \
	" w.error, w.args, w.retry_of"

/* $1 is the limit, $2 the name: the newest first */
#define LIST_SQL \
	"SELECT " COLUMNS_SQL " FROM defer.workflows w WHERE $2::pg_catalog.text IS NULL OR w.name = $2" \
	" ORDER BY w.id DESC LIMIT $1::pg_catalog.int4"

#define WORKFLOW_SQL \
	"SELECT " COLUMNS_SQL " FROM defer.workflows w WHERE w.id = $1::pg_catalog.int8"

#define STEPS_SQL \
	"WITH " GRAPH_PLACES_SQL("$1::pg_catalog.int8") \
	" SELECT s.name, s.function, s.job_id, s.after, s.state, s.kept, s.error, s.result, s.started_at, s.finished_at," \
	" EXTRACT(epoch FROM COALESCE(s.finished_at, pg_catalog.statement_timestamp()) - s.started_at)::pg_catalog.float8 AS duration," \
	" s.place, s.before FROM places s ORDER BY s.place"

static const char *const list_sql =
"SELECT l.*, pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD') AS today FROM (" LIST_SQL ") l";

static const char *const list_document_sql =
"SELECT pg_catalog.json_build_object('workflows', " JSON_ROWS(LIST_SQL) ")";

static const char *const document_sql =
"WITH " GRAPH_PLACES_SQL("$1::pg_catalog.int8")
" SELECT pg_catalog.row_to_json(workflow) FROM (SELECT w.*, "
JSON_ROWS("SELECT s.name, s.function, s.job_id, pg_catalog.to_json(s.after) AS after, s.state, s.kept, s.error, s.result, s.started_at, s.finished_at"
		  " FROM places s ORDER BY s.place") " AS graph FROM (" WORKFLOW_SQL ") w) workflow";

static void
print_list(const PGresult *res)
{
	static const Column columns[] = {
		{"WORKFLOW", COLUMN_NUMBER, 0, 0}, {"STATE", COLUMN_STATE, 0, 0}, {"NAME", COLUMN_TEXT, 12, 0},
		{"ROLE", COLUMN_TEXT, 6, 4}, {"STEPS", COLUMN_NUMBER, 0, 1}, {"DONE", COLUMN_NUMBER, 0, 0},
		{"FAILED", COLUMN_NUMBER, 0, 0}, {"STARTED", COLUMN_TEXT, 0, 2}, {"TOOK", COLUMN_NUMBER, 0, 3},
		{"ERROR", COLUMN_TEXT, 14, 5},
	};
	Table		table;

	table_init(&table, columns, lengthof(columns));
	for (int row = 0; row < PQntuples(res); row++)
	{
		table_cell(&table, result_text(res, row, "id"));
		table_cell(&table, result_text(res, row, "state"));
		table_cell(&table, result_text(res, row, "name"));
		table_cell(&table, result_text(res, row, "owner"));
		table_cell(&table, result_text(res, row, "steps"));
		table_cell_count(&table, result_number(res, row, "steps") - result_number(res, row, "unfinished"));
		table_cell(&table, result_text(res, row, "failed"));
		table_cell_time(&table, result_value(res, row, "created_at"),
						result_value(res, row, "today"));
		table_cell_seconds(&table, res, row, "duration");
		table_cell(&table, result_value(res, row, "error"));
	}
	table_print(&table);
	table_free(&table);
}

/* ------------------------------------------------------------------------
 * The graph, as a tree
 * ------------------------------------------------------------------------ */

/* A step, which is drawn below one that it comes after; the others are named */
static void
print_step(Table *table, const Graph *graph, const PGresult *steps, int step, const char *lines)
{
	const GraphNode *node = &graph->nodes[step];
	const char *error = result_value(steps, step, "error");
	Buffer		cell = {0};

	buffer_printf(&cell, "%s%s", lines, result_text(steps, step, "name"));
	table_cell(table, cell.data);
	table_cell(table, result_text(steps, step, "state"));
	table_cell(table, result_text(steps, step, "job_id"));
	table_cell(table, result_text(steps, step, "function"));
	buffer_reset(&cell);
	buffer_add(&cell, "");
	for (int i = 0; i < node->nbefore; i++)
	{
		if (node->before[i] != node->under)
			buffer_printf(&cell, "%s%s", cell.len > 0 ? ", " : "",
						  result_text(steps, node->before[i], "name"));
	}
	table_cell(table, cell.data);
	table_cell_seconds(table, steps, step, "duration");
	table_cell(table, error != NULL ? error : result_value(steps, step, "result"));
	buffer_free(&cell);
}

/* The next step after that one, in their order, that is drawn below the same; -1: none */
static int
next_below(const Graph *graph, int under, int step)
{
	for (step++; step < graph->nnodes; step++)
	{
		if (graph->nodes[step].under == under)
			return step;
	}
	return -1;
}

/* Print the steps below one, -1: those that come after none; lines: of those above */
static void
print_below(Table *table, const Graph *graph, const PGresult *steps, int under, const char *lines)
{
	int			next;

	for (int step = next_below(graph, under, -1); step >= 0; step = next)
	{
		const char *own = "";
		const char *further = "";
		char	   *text;

		next = next_below(graph, under, step);
		if (under >= 0 && terminal_is_utf8)
		{
			own = next >= 0 ? "\xe2\x94\x9c\xe2\x94\x80 " : "\xe2\x94\x94\xe2\x94\x80 ";
			further = next >= 0 ? "\xe2\x94\x82  " : "   ";
		}
		else if (under >= 0)
		{
			own = next >= 0 ? "|- " : "`- ";
			further = next >= 0 ? "|  " : "   ";
		}
		text = xprintf("%s%s", lines, own);
		print_step(table, graph, steps, step, text);
		free(text);
		text = xprintf("%s%s", lines, further);
		print_below(table, graph, steps, step, text);
		free(text);
	}
}

static void
print_graph(const PGresult *steps)
{
	static const Column columns[] = {
		{"STEP", COLUMN_TEXT, 16, 0}, {"STATE", COLUMN_STATE, 0, 0}, {"JOB", COLUMN_NUMBER, 0, 0},
		{"FUNCTION", COLUMN_TEXT, 12, 3}, {"ALSO AFTER", COLUMN_TEXT, 10, 1}, {"TOOK", COLUMN_NUMBER, 0, 2},
		{"RESULT", COLUMN_TEXT, 12, 2},
	};
	Graph		graph;
	Table		table;

	graph_read(&graph, steps);
	table_init(&table, columns, lengthof(columns));
	print_below(&table, &graph, steps, -1, "");
	table_print(&table);
	table_free(&table);
	graph_free(&graph);
}

static void
print_workflow(PGconn *conn, const PGresult *workflow, const char *id)
{
	PGresult   *steps = query_run(conn, STEPS_SQL, 1, &id);
	Buffer		line = {0};

	show_label("workflow");
	show_state(result_text(workflow, 0, "state"));
	printf(" %s\n", result_text(workflow, 0, "id"));
	show_field("name", result_value(workflow, 0, "name"), TEXT_LINE);
	show_field("role", result_value(workflow, 0, "owner"), TEXT_LINE);
	show_field("arguments", result_value(workflow, 0, "args"), TEXT_BLOCK);
	show_field("error", result_value(workflow, 0, "error"), TEXT_BLOCK);
	show_field("retry of", result_value(workflow, 0, "retry_of"), TEXT_LINE);
	format_time_exact(&line, result_text(workflow, 0, "created_at"));
	show_field("started", line.data, TEXT_LINE);
	buffer_reset(&line);
	format_seconds(&line, result_number(workflow, 0, "duration"));
	show_field(result_value(workflow, 0, "finished_at") != NULL ? "took" : "for", line.data, TEXT_LINE);
	buffer_reset(&line);
	buffer_printf(&line, "%s: %s unfinished, %s succeeded, %s skipped, %s failed, %s cancelled",
				  result_text(workflow, 0, "steps"), result_text(workflow, 0, "unfinished"),
				  result_text(workflow, 0, "succeeded"), result_text(workflow, 0, "skipped"),
				  result_text(workflow, 0, "failed"), result_text(workflow, 0, "cancelled"));
	show_field("steps", line.data, TEXT_LINE);
	printf("\n");
	print_graph(steps);
	if (PQntuples(steps) < result_number(workflow, 0, "steps"))
		printf("%sThe first %d of them.%s\n", terminal_colour(COLOUR_DIM), PQntuples(steps), terminal_colour(COLOUR_PLAIN));
	buffer_free(&line);
	PQclear(steps);
}

static int
cmd_workflow(int argc, char **argv)
{
	static const char *limit = NULL;
	static const char *name = NULL;
	static const Option options[] = {
		{"limit", 'n', OPTION_NUMBER, &limit},
		{"name", 0, OPTION_TEXT, &name},
		{NULL}
	};
	const char *values[2];
	PGconn	   *conn;
	PGresult   *res;
	int			count;

	argv = options_parse(argc, argv, options, 0, 1, &count);
	if (limit != NULL && (strtoll(limit, NULL, 10) < 1 || strtoll(limit, NULL, 10) > 10000))
		report_usage_error("the limit is from 1 to 10000");
	values[0] = limit != NULL ? limit : "20";
	values[1] = name;
	if (count > 0 && strcmp(argv[0], "list") != 0)
	{
		options_check_number("the workflow's id", argv[0]);
		if (limit != NULL || name != NULL)
			report_usage_error("--limit and --name are options of the list");
		conn = connect_or_exit();
		res = query_run(conn, options_json ? document_sql : WORKFLOW_SQL, 1,
						(const char *const *) argv);
		if (PQntuples(res) == 0)
		{
			report_error("there is no workflow %s that you may see", argv[0]);
			return CLI_NOTHING_DONE;
		}
		if (options_json)
			json_print(res);
		else
			print_workflow(conn, res, argv[0]);
	}
	else
	{
		conn = connect_or_exit();
		res = query_run(conn, options_json ? list_document_sql : list_sql, lengthof(values),
						values);
		if (options_json)
			json_print(res);
		else
			print_list(res);
	}
	PQclear(res);
	PQfinish(conn);
	return CLI_OK;
}

const Command command_workflow = {
	"workflow", "[ID | list] [options]", "Workflows, or the graph of one", cmd_workflow,
	"\nWith an id the steps of that workflow, each below one that it comes after, with states.\n"
	"Exits with 4 if there is none that you may see.\n"
	"\nOptions of the list, the newest first:\n"
	"  -n, --limit=N          so many (20)\n"
	"      --name=NAME        of this name only\n"
	"\nExamples:\n"
	"  defer -d shop workflow list --name 'weekly order'\n"
	"  defer -d shop workflow 4711\n"
	"  defer -d shop workflow 4711 --json | jq '.graph[] | select(.state == \"failed\")'\n"
};
