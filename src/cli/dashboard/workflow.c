/*
 * workflow.c
 *		Workflows: a list, and the graph of one, as SVG with a table.
 *
 * Colours come from the style sheet.  All that the picture says is in the table, too.
 */
#include "dashboard/pages.h"

#include <stdlib.h>
#include <string.h>

#include "core/graph.h"
#include "core/text.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"

/* The picture: boxes of steps, levels from left to right */
#define BOX_WIDTH	168
#define BOX_HEIGHT	46
#define GAP_X		56
#define GAP_Y		14
#define MARGIN		2
#define NAME_WIDTH	19			/* of a step, in characters */

#define SECONDS_SQL(since, until) \
	"pg_catalog.date_part('epoch', COALESCE(" until ", pg_catalog.statement_timestamp()) - " since ") AS seconds"

static bool
is_id(const char *text)
{
	return text != NULL && text[0] != '\0' && strlen(text) <= 18 &&
		strspn(text, "0123456789") == strlen(text);
}

/* ------------------------------------------------------------------------
 * The list
 * ------------------------------------------------------------------------ */

static void
show_row(Page *page, const PGresult *res, int row)
{
	Buffer	   *out = page->out;
	const char *id = result_text(res, row, "id");
	double		steps = result_number(res, row, "steps");
	double		ended = steps - result_number(res, row, "unfinished");

	html_add(out, "<tr><td><a href=\"/workflow?id=%s\">%s</a></td><td>", id, id);
	html_state(out, result_text(res, row, "state"));
	html_add(out, "</td><td><a href=\"/workflow?id=%s\">%s</a></td>", id, result_text(res, row, "name"));
	html_add(out, "<td><progress max=\"%.0f\" value=\"%.0f\" aria-label=\"Steps that have ended\"></progress> %.0f of %.0f</td>",
			 steps > 0 ? steps : 1, ended, ended, steps);
	part_count_cell(page, res, row, "failed", "is-bad");
	buffer_add(out, "<td>");
	html_time(out, result_value(res, row, "created_at"), page->now);
	buffer_add(out, "</td>");
	part_seconds_cell(page, res, row, "seconds");
	html_add(out, "<td>%s</td></tr>\n", result_text(res, row, "owner"));
}

/* /workflows: the newest first; before: those with a smaller id */
void
page_workflows(Page *page)
{
	static const char *const sql =
		"SELECT w.id, w.name, w.owner, w.state, w.steps, w.unfinished, w.failed, w.created_at, "
		SECONDS_SQL("w.created_at", "w.finished_at")
		" FROM (SELECT * FROM defer.workflows x WHERE ($1::bigint IS NULL OR x.id < $1) ORDER BY x.id DESC LIMIT 50) w ORDER BY w.id DESC";
	static const char *const titles[] = {
		"Workflow", "State", "Name", "Steps", "#Failed", "Started", "#Took", "Owner", NULL
	};
	const char *before = request_query(page->request, "before");
	Buffer	   *out = page->out;
	PGresult   *res;

	if (!is_id(before))
		before = NULL;
	res = page_query(page, sql, 1, &before);
	buffer_add(out, "<h1>Workflows</h1>\n<section class=\"card\" aria-label=\"Workflows\">\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, before != NULL ? "There are no older workflows." :
				   "There are no workflows: defer.workflow() starts one.");
	else if (result_good(res))
	{
		part_table_begin(page, titles, "workflows");
		for (int row = 0; row < PQntuples(res); row++)
			show_row(page, res, row);
		part_table_end(page);
		if (PQntuples(res) == 50)
			html_add(out, "<p class=\"pager\"><a href=\"/workflows?before=%s\">Older</a></p>\n", result_text(res, 49, "id"));
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * The graph
 * ------------------------------------------------------------------------ */

static int
box_x(const GraphNode *node)
{
	return MARGIN + node->level * (BOX_WIDTH + GAP_X);
}

/* The boxes of a level are in the middle of the picture's height */
static int
box_y(const Graph *graph, const int *members, const GraphNode *node)
{
	return MARGIN + node->place * (BOX_HEIGHT + GAP_Y) +
		(graph->width - members[node->level]) * (BOX_HEIGHT + GAP_Y) / 2;
}

/* Append a line from a step to one that comes after it */
static void
draw_line(Buffer *out, const Graph *graph, const int *members, const GraphNode *from,
		  const GraphNode *to)
{
	int			x = box_x(from) + BOX_WIDTH;
	int			y = box_y(graph, members, from) + BOX_HEIGHT / 2;
	int			to_x = box_x(to);
	int			to_y = box_y(graph, members, to) + BOX_HEIGHT / 2;

	buffer_printf(out, "<path d=\"M%d %dC%d %d %d %d %d %d\"/>\n", x, y, x + GAP_X / 2, y,
				  to_x - GAP_X / 2, to_y, to_x, to_y);
}

/* Append the box of a step, which leads to its job */
static void
draw_box(Buffer *out, const PGresult *steps, int step, int x, int y)
{
	char	   *name = text_line(result_text(steps, step, "name"));
	const char *state = result_text(steps, step, "state");
	Buffer		cut = {0};

	text_cut(&cut, name, NAME_WIDTH);
	html_add(out, "<a href=\"/job?id=%s\" class=\"at-%s\"><title>%s: %s</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"7\"/>",
			 result_text(steps, step, "job_id"), state, result_text(steps, step, "name"), state, x, y,
			 BOX_WIDTH, BOX_HEIGHT);
	html_add(out, "<text x=\"%d\" y=\"%d\">%s</text>", x + 12, y + 19, cut.data != NULL ? cut.data : "");
	html_add(out, "<text class=\"note\" x=\"%d\" y=\"%d\">%s", x + 12, y + 36, state);
	if (result_value(steps, step, "seconds") != NULL)
	{
		buffer_add(out, ", ");
		html_seconds(out, result_number(steps, step, "seconds"));
	}
	buffer_add(out, "</text></a>\n");
	buffer_free(&cut);
	free(name);
}

static void
draw_graph(Page *page, const PGresult *steps)
{
	Buffer	   *out = page->out;
	Graph		graph;
	int		   *members;

	graph_read(&graph, steps);
	members = xmalloc((size_t) (graph.nlevels + 1) * sizeof(int));
	memset(members, 0, (size_t) (graph.nlevels + 1) * sizeof(int));
	for (int i = 0; i < graph.nnodes; i++)
		members[graph.nodes[i].level]++;
	buffer_printf(out, "<div class=\"graph-view\" tabindex=\"0\" role=\"group\" aria-label=\"Graph\"><svg class=\"graph\" width=\"%d\" height=\"%d\" role=\"group\" aria-label=\"Steps, from left to right\">\n",
				  2 * MARGIN + graph.nlevels * (BOX_WIDTH + GAP_X) - GAP_X,
				  2 * MARGIN + graph.width * (BOX_HEIGHT + GAP_Y) - GAP_Y);
	for (int i = 0; i < graph.nnodes; i++)
	{
		for (int j = 0; j < graph.nodes[i].nbefore; j++)
			draw_line(out, &graph, members, &graph.nodes[graph.nodes[i].before[j]],
					  &graph.nodes[i]);
	}
	for (int i = 0; i < graph.nnodes; i++)
		draw_box(out, steps, i, box_x(&graph.nodes[i]),
				 box_y(&graph, members, &graph.nodes[i]));
	buffer_add(out, "</svg></div>\n");
	free(members);
	graph_free(&graph);
}

/* The same as a table, with errors and results */
static void
show_steps(Page *page, const PGresult *steps)
{
	static const char *const titles[] = {"Step", "State", "Job", "Function", "After", "#Took", "Result", NULL};
	Buffer	   *out = page->out;

	part_table_begin(page, titles, "steps");
	for (int i = 0; i < PQntuples(steps); i++)
	{
		const char *job = result_text(steps, i, "job_id");
		const char *error = result_value(steps, i, "error");

		html_add(out, "<tr><td><strong>%s</strong></td><td>", result_text(steps, i, "name"));
		html_state(out, result_text(steps, i, "state"));
		html_add(out, "</td><td><a href=\"/job?id=%s\">%s</a>%s</td><td>", job, job,
				 result_true(steps, i, "kept") ? " <span class=\"quiet\">of an earlier run</span>" : "");
		html_function(out, result_text(steps, i, "function"));
		html_add(out, "</td><td>%s</td>", result_text(steps, i, "after_names"));
		part_seconds_cell(page, steps, i, "seconds");
		html_add(out, "<td class=\"cut %s\">%s</td></tr>\n", error != NULL ? "is-bad" : "",
				 error != NULL ? error : result_text(steps, i, "result"));
	}
	part_table_end(page);
}

/* ------------------------------------------------------------------------
 * One workflow
 * ------------------------------------------------------------------------ */

static void
show_title(Page *page, const PGresult *res, const char *id)
{
	Buffer	   *out = page->out;
	double		steps = result_number(res, 0, "steps");
	double		ended = steps - result_number(res, 0, "unfinished");

	snprintf(page->title, sizeof(page->title), "Workflow %s %s", id, result_text(res, 0, "state"));
	html_add(out, "<div class=\"title\"><h1><span class=\"quiet\">Workflow %s</span> %s <span id=\"job-state\" data-say>", id,
			 result_text(res, 0, "name"));
	html_state(out, result_text(res, 0, "state"));
	buffer_add(out, "</span></h1><div class=\"actions\">");
	if (result_value(res, 0, "finished_at") == NULL)
		part_button(page, "cancel", "id", id, "Cancel", "danger", "Cancel this workflow, and the steps that have not ended?");
	html_add(out, "<a class=\"button\" href=\"/job?id=%s\">Job</a></div></div>\n", id);
	if (result_value(res, 0, "error") != NULL)
		html_add(out, "<p class=\"message bad\">%s</p>\n", result_text(res, 0, "error"));
	if (steps > 0)
		html_add(out, "<p class=\"wide-progress\"><progress max=\"%.0f\" value=\"%.0f\" aria-label=\"Steps that have ended\"></progress> %.0f of %.0f</p>\n",
				 steps, ended, ended, steps);
}

static void
show_facts(Page *page, const PGresult *res)
{
	static const char *const facts[][2] = {
		{"Unfinished", "unfinished"}, {"Succeeded", "succeeded"}, {"Skipped", "skipped"}, {"Failed", "failed"},
		{"Cancelled", "cancelled"}, {"Owner", "owner"},
	};
	const char *retry_of = result_value(res, 0, "retry_of");
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-facts\"><h2 id=\"h-facts\">Workflow</h2>\n<dl class=\"facts\">\n<div><dt>Started</dt><dd>");
	html_clock(out, result_value(res, 0, "created_at"), page->now);
	html_add(out, "</dd></div>\n<div><dt>%s</dt><dd>", result_value(res, 0, "finished_at") != NULL ? "Took" : "For");
	html_seconds(out, result_number(res, 0, "seconds"));
	buffer_add(out, "</dd></div>\n");
	for (size_t i = 0; i < lengthof(facts); i++)
		html_add(out, "<div><dt>%s</dt><dd>%s</dd></div>\n", facts[i][0], result_text(res, 0, facts[i][1]));
	if (retry_of != NULL)
		html_add(out, "<div><dt>Retry of</dt><dd><a href=\"/workflow?id=%s\">workflow %s</a></dd></div>\n", retry_of, retry_of);
	buffer_add(out, "</dl>\n");
	if (result_value(res, 0, "args") != NULL)
	{
		buffer_add(out, "<h3>Arguments</h3><pre tabindex=\"0\">");
		html_json(out, result_text(res, 0, "args"));
		buffer_add(out, "</pre>\n");
	}
	buffer_add(out, "</section>\n");
}

/* /workflow: the graph of one, and its steps */
void
page_workflow(Page *page)
{
	static const char *const steps_sql =
		"WITH " GRAPH_PLACES_SQL("$1::bigint")
		" SELECT s.name, s.function, s.job_id, pg_catalog.array_to_string(s.after, ', ') AS after_names, s.state, s.kept,"
		" pg_catalog.left(s.error, 200) AS error, pg_catalog.left(s.result::text, 200) AS result, "
		SECONDS_SQL("s.started_at", "s.finished_at") ", s.before FROM places s ORDER BY s.place";
	const char *id = request_query(page->request, "id");
	PGresult   *res = NULL;
	PGresult   *steps;

	if (is_id(id))
		res = page_query(page, "SELECT w.*, " SECONDS_SQL("w.created_at", "w.finished_at")
						 " FROM defer.workflows w WHERE w.id = $1::bigint", 1, &id);
	if (res == NULL || (result_good(res) && PQntuples(res) == 0))
	{
		page->request->status = 404;
		part_empty(page, "There is no such workflow that you may see.");
	}
	else if (result_good(res))
	{
		steps = page_query(page, steps_sql, 1, &id);
		show_title(page, res, id);
		buffer_add(page->out, "<section class=\"card\" aria-labelledby=\"h-steps\"><h2 id=\"h-steps\">Steps</h2>\n");
		if (result_good(steps))
		{
			draw_graph(page, steps);
			show_steps(page, steps);
			if (PQntuples(steps) < result_number(res, 0, "steps"))
				html_add(page->out, "<p class=\"quiet\">The first %d of them.</p>\n", PQntuples(steps));
		}
		buffer_add(page->out, "</section>\n");
		show_facts(page, res);
		PQclear(steps);
	}
	PQclear(res);
}
