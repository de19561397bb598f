/*
 * workers.c
 *		The processes of the server, and workers of tasks outside of it; the nodes of Citus
 *		as one, which without Citus is this server.
 */
#include "dashboard/pages.h"

#include <string.h>

#include "dashboard/html.h"
#include "dashboard/parts.h"

/* What an outside worker does: the tasks that it holds jobs of or waits for */
static void
add_outside(Page *page, const PGresult *res, int row)
{
	const char *host = result_value(res, row, "host");
	Buffer	   *out = page->out;

	html_add(out, "%s <span class=\"quiet\">%s, jobs: %s</span>", result_text(res, row, "task_names"),
			 result_value(res, row, "name") == NULL ? "no name" : result_text(res, row, "name"),
			 result_text(res, row, "leases"));
	if (host != NULL)
		html_add(out, " <span class=\"quiet\">at %s</span>", host);
}

/* /workers: the processes of the server, and outside workers */
void
page_workers(Page *page)
{
	static const char *const sql =
		"SELECT w.*, pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - w.since) AS seconds, a.wait_event_type, a.wait_event,"
		" r.progress, pg_catalog.array_to_string(w.tasks, ', ') AS task_names FROM defer.workers w LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = w.pid"
		" LEFT JOIN defer.running_jobs() r ON r.job_id = w.job_id AND w.database = pg_catalog.current_database()"
		" ORDER BY pg_catalog.array_position(ARRAY['launcher', 'scheduler', 'sender', 'worker', 'outside'], w.kind), w.job_id IS NULL, w.since LIMIT 500";
	static const char *const titles[] = {"Process", "#Pid", "Database", "Role", "Does", "#Since", "Waits for", NULL};
	PGresult   *res = page_query(page, sql, 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<h1>Workers</h1>\n<p><a href=\"/servers\">All servers</a></p>\n<section class=\"card\" aria-label=\"Processes\">\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "No process that you may see runs. Idle workers exit.");
	else if (result_good(res))
	{
		part_table_begin(page, titles, "workers");
		for (int i = 0; i < PQntuples(res); i++)
		{
			const char *job = result_value(res, i, "job_id");

			html_add(out, "<tr><td>%s</td><td class=\"num\">%s</td><td>%s</td><td>%s</td><td>", result_text(res, i, "kind"),
					 result_text(res, i, "pid"), result_text(res, i, "database"), result_text(res, i, "role"));
			if (job != NULL && result_value(res, i, "function") != NULL)
			{
				html_add(out, "<a href=\"/job?id=%s\">", job);
				html_function(out, result_text(res, i, "function"));
				html_add(out, "</a> <span class=\"quiet\">job %s</span>", job);
			}
			else if (job != NULL)
				html_add(out, "job %s", job);
			else if (strcmp(result_text(res, i, "kind"), "outside") == 0)
				add_outside(page, res, i);
			else if (strcmp(result_text(res, i, "kind"), "worker") == 0)
				buffer_add(out, "<span class=\"quiet\">idle</span>");
			if (result_value(res, i, "progress") != NULL)
				html_add(out, " <progress max=\"1\" value=\"%s\" aria-label=\"Progress\"></progress>", result_text(res, i, "progress"));
			buffer_add(out, "</td>");
			part_seconds_cell(page, res, i, "seconds");
			if (job != NULL && result_value(res, i, "wait_event") != NULL)
				html_add(out, "<td>%s <span class=\"quiet\">%s</span></td></tr>\n", result_text(res, i, "wait_event"), result_text(res, i, "wait_event_type"));
			else
				buffer_add(out, "<td></td></tr>\n");
		}
		part_table_end(page);
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * All servers
 * ------------------------------------------------------------------------ */

static void
section_nodes(Page *page)
{
	static const char *const titles[] = {"Node", "Address", "State", NULL};
	PGresult   *res = page_query(page, "SELECT n.node, n.address, n.error FROM defer.nodes n ORDER BY n.node", 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-label=\"Nodes\">\n");
	if (result_good(res))
	{
		part_table_begin(page, titles, "nodes");
		for (int i = 0; i < PQntuples(res); i++)
		{
			const char *address = result_value(res, i, "address");
			const char *error = result_value(res, i, "error");

			html_add(out, "<tr><td>%s</td><td>%s</td><td>", result_text(res, i, "node"),
					 address == NULL ? "this server" : address);
			html_add(out, "%s", error == NULL ? "answers" : "does not answer: ");
			html_text(out, error == NULL ? "" : error);
			buffer_add(out, "</td></tr>\n");
		}
		part_table_end(page);
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

static void
section_findings(Page *page)
{
	PGresult   *res = page_query(page, "SELECT h.node, h.severity, h.finding, h.hint FROM defer.all_health h"
								 " ORDER BY pg_catalog.array_position(ARRAY['error', 'warning', 'info'], h.severity), h.node, h.finding LIMIT 100",
								 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-label=\"Findings\">\n<h2>Findings</h2>\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "No findings.");
	else if (result_good(res))
	{
		buffer_add(out, "<ul class=\"findings\">\n");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html_add(out, "<li class=\"%s\">", result_text(res, i, "severity"));
			html_state(out, result_text(res, i, "severity"));
			html_add(out, "<div><p>Node %s: %s</p><p class=\"quiet\">%s</p></div></li>\n", result_text(res, i, "node"),
					 result_text(res, i, "finding"), result_text(res, i, "hint"));
		}
		buffer_add(out, "</ul>\n");
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

static void
section_queues(Page *page)
{
	static const char *const titles[] = {"Queue", "#Node", "#Queued", "#Running", "#Retrying", "#Scheduled", NULL};
	static const char *const counts[] = {"queued", "running", "retrying", "scheduled"};
	PGresult   *res = page_query(page, "SELECT q.queue, q.node, q.queued, q.running, q.retrying, q.scheduled FROM defer.all_queues q"
								 " ORDER BY q.queue, q.node LIMIT 500", 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-label=\"Queues\">\n<h2>Queues</h2>\n");
	if (result_good(res))
	{
		part_table_begin(page, titles, "queues");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html_add(out, "<tr><td>%s</td><td class=\"num\">%s</td>", result_text(res, i, "queue"), result_text(res, i, "node"));
			for (int j = 0; j < (int) lengthof(counts); j++)
				part_count_cell(page, res, i, counts[j], "");
			buffer_add(out, "</tr>\n");
		}
		part_table_end(page);
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

/* Jobs of other nodes have no page here */
static void
section_jobs(Page *page)
{
	static const char *const titles[] = {"Job", "#Node", "State", "Function", "Enqueued", NULL};
	PGresult   *res = page_query(page, "SELECT j.id, j.node, j.state, j.function, j.enqueued_at, j.node = defer.this_node() AS here"
								 " FROM defer.find_all_jobs(n => 50) j", 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-label=\"Jobs\">\n<h2>Newest jobs</h2>\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "There is no job that you may see.");
	else if (result_good(res))
	{
		part_table_begin(page, titles, "jobs");
		for (int i = 0; i < PQntuples(res); i++)
		{
			const char *id = result_text(res, i, "id");

			if (result_true(res, i, "here"))
				html_add(out, "<tr><td><a href=\"/job?id=%s\">%s</a></td>", id, id);
			else
				html_add(out, "<tr><td>%s</td>", id);
			html_add(out, "<td class=\"num\">%s</td><td>", result_text(res, i, "node"));
			html_state(out, result_text(res, i, "state"));
			buffer_add(out, "</td><td>");
			html_function(out, result_text(res, i, "function"));
			buffer_add(out, "</td><td>");
			html_time(out, result_text(res, i, "enqueued_at"), page->now);
			buffer_add(out, "</td></tr>\n");
		}
		part_table_end(page);
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

/* /servers: all nodes of Citus */
void
page_servers(Page *page)
{
	buffer_add(page->out, "<h1>All servers</h1>\n");
	section_nodes(page);
	section_findings(page);
	section_queues(page);
	section_jobs(page);
}
