/*
 * workers.c
 *		The processes of the server, and workers of tasks outside of it.
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

	buffer_add(out, "<h1>Workers</h1>\n<section class=\"card\" aria-label=\"Processes\">\n");
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
