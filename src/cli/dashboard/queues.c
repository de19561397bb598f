/*
 * queues.c
 *		All queues, and one queue.
 */
#include "dashboard/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dashboard/dashboard.h"
#include "dashboard/groups.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"
#include "dashboard/series.h"
#include "dashboard/settings.h"

/* /queues: all queues */
void
page_queues(Page *page)
{
	static const char *const sql =
		"WITH h AS MATERIALIZED (SELECT * FROM defer.history_sample(pg_catalog.statement_timestamp() - interval '24 hours')),"
		" e AS (SELECT queue, pg_catalog.sum(weight) FILTER (WHERE state = 'succeeded') AS succeeded, pg_catalog.sum(weight) FILTER (WHERE state = 'failed') AS failed,"
		" pg_catalog.avg(pg_catalog.date_part('epoch', started_at - run_at)) AS waited FROM h GROUP BY 1),"
		" l AS (SELECT queue, pg_catalog.sum(weight) FILTER (WHERE state = 'running') AS running, pg_catalog.sum(weight) FILTER (WHERE state = 'queued') AS queued,"
		" pg_catalog.sum(weight) FILTER (WHERE state = 'retrying') AS retrying, pg_catalog.sum(weight) FILTER (WHERE state = 'scheduled') AS scheduled,"
		" pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - pg_catalog.min(run_at) FILTER (WHERE ready)) AS oldest FROM defer.live_sample() GROUP BY 1)"
		" SELECT s.name, s.owner, s.paused, s.concurrency, s.priority, l.*, e.succeeded, e.failed, e.waited, (SELECT pg_catalog.max(weight) > 1 FROM h) AS estimated"
		" FROM defer.settings s LEFT JOIN e ON e.queue = s.name LEFT JOIN l ON l.queue = s.name WHERE s.kind = 'queue' ORDER BY s.name <> 'default', s.name LIMIT 300";
	static const char *const titles[] = {"Queue", "Owner", "#Limit", "#Priority", "#Running", "#Queued", "#Retrying", "#Scheduled", "#Oldest", "#Succeeded", "#Failed", "#Waited", "Actions", NULL};
	PGresult   *res = page_query(page, sql, 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<div class=\"title\"><h1>Queues</h1>");
	if (!dashboard.read_only)
	{
		part_form_begin(page, "new-queue", "inline", NULL, NULL);
		buffer_add(out, "<label for=\"new-queue\">New queue</label><input id=\"new-queue\" name=\"name\" required maxlength=\"63\" spellcheck=\"false\"><button>Make it</button></form>");
	}
	buffer_add(out, "</div>\n<section class=\"card\" aria-label=\"Queues\">\n");
	if (result_good(res))
	{
		part_table_begin(page, titles, "queues");
		for (int i = 0; i < PQntuples(res); i++)
		{
			const char *name = result_text(res, i, "name");
			bool		paused = result_true(res, i, "paused");

			page->estimated = result_true(res, i, "estimated");
			buffer_add(out, "<tr><td><a href=\"/queue?name=");
			html_url(out, name);
			html_add(out, "\">%s</a></td><td>%s</td><td class=\"num\">%s</td><td class=\"num\">%s</td>", name,
					 result_text(res, i, "owner"), result_text(res, i, "concurrency"), result_text(res, i, "priority"));
			part_count_cell(page, res, i, "running", "is-running");
			part_count_cell(page, res, i, "queued", "");
			part_count_cell(page, res, i, "retrying", "is-retrying");
			part_count_cell(page, res, i, "scheduled", "");
			part_seconds_cell(page, res, i, "oldest");
			part_count_cell(page, res, i, "succeeded", "");
			part_count_cell(page, res, i, "failed", "is-bad");
			part_seconds_cell(page, res, i, "waited");
			buffer_add(out, "<td class=\"actions\">");
			if (paused)
			{
				html_state(out, "paused");
				buffer_char(out, ' ');
			}
			part_button(page, paused ? "resume-queue" : "pause-queue", "name", name, paused ? "Resume" : "Pause", "small", NULL);
			buffer_add(out, "</td></tr>\n");
		}
		part_table_end(page);
		buffer_add(out, "<p class=\"quiet note\">Succeeded, failed and waited (average time until the attempt began) are of the last 24 hours.</p>\n");
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * One queue
 * ------------------------------------------------------------------------ */

/* /queue: one queue: charts, groups, settings */
void
page_queue(Page *page)
{
	static const char *const sql =
		"SELECT s.paused FROM defer.settings s WHERE s.kind = 'queue' AND s.name = $1";
	const char *name = request_query(page->request, "name");
	Buffer	   *out = page->out;
	PGresult   *res = page_query(page, sql, 1, &name);

	if (name == NULL || (result_good(res) && PQntuples(res) == 0))
	{
		page->request->status = 404;
		buffer_add(out, "<h1>Not found</h1>\n");
		part_empty(page, "There is no such queue that you may see.");
		PQclear(res);
		return;
	}
	snprintf(page->title, sizeof(page->title), "%s", name);
	html_add(out, "<div class=\"title\"><h1>%s</h1>", name);
	if (result_true(res, 0, "paused"))
		html_state(out, "paused");
	buffer_add(out, "<div class=\"actions\"><a class=\"button\" href=\"/jobs?queue=");
	html_url(out, name);
	buffer_add(out, "\">Jobs</a> ");
	part_button(page, result_true(res, 0, "paused") ? "resume-queue" : "pause-queue", "name", name,
				result_true(res, 0, "paused") ? "Resume" : "Pause", "", NULL);
	if (!dashboard.read_only && strcmp(name, "default") != 0)
	{
		char	   *question = xprintf("Delete the queue \"%s\"?", name);

		part_form_begin(page, "drop-queue", "action", "/queues", question);
		part_hidden(page, "name", name);
		buffer_add(out, "<button class=\"danger\">Delete</button></form>");
		free(question);
	}
	buffer_add(out, "</div></div>\n");
	PQclear(res);
	series_card(page, NULL, name);
	groups_card(page, "queue", name);
	settings_card(page, "queue", name);
}
