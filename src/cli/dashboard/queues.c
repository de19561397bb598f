/*
 * queues.c
 *		The queues.
 */
#include "dashboard/pages.h"


#include "dashboard/html.h"
#include "dashboard/parts.h"

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
	static const char *const titles[] = {"Queue", "Owner", "#Limit", "#Priority", "#Running", "#Queued", "#Retrying", "#Scheduled", "#Oldest", "#Succeeded", "#Failed", "#Waited", "", NULL};
	PGresult   *res = page_query(page, sql, 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<h1>Queues</h1>\n<section class=\"card\" aria-label=\"Queues\">\n");
	if (result_good(res))
	{
		part_table_begin(page, titles, "queues");
		for (int i = 0; i < PQntuples(res); i++)
		{
			const char *name = result_text(res, i, "name");
			bool		paused = result_true(res, i, "paused");

			page->estimated = result_true(res, i, "estimated");
			buffer_add(out, "<tr><td><a href=\"/jobs?queue=");
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
