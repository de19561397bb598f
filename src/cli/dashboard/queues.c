/*
 * queues.c
 *		The queues, and the groups of one.
 */
#include "dashboard/pages.h"

#include <stdio.h>

#include "dashboard/dashboard.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"
#include "dashboard/series.h"

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

	buffer_add(out, "<h1>Queues</h1>\n<section class=\"card\" aria-label=\"Queues\">\n");
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

/* Append that a failed job holds the group, NULL: one that the user may not see */
static void
held_by(Buffer *out, const char *job)
{
	buffer_add(out, "held, because ");
	if (job != NULL)
		html_add(out, "<a href=\"/job?id=%s\">job %s</a> has failed", job, job);
	else
		buffer_add(out, "a job of another role has failed");
}

static void
group_row(Page *page, const PGresult *res, int i, const char *queue)
{
	Buffer	   *out = page->out;
	const char *group = result_text(res, i, "group_key");
	bool		paused = result_true(res, i, "paused");
	bool		held = result_value(res, i, "held_since") != NULL;

	buffer_add(out, "<tr><td><a href=\"/jobs?queue=");
	html_url(out, queue);
	buffer_add(out, "&amp;group=");
	html_url(out, group);
	html_add(out, "\">%s</a></td>", group);
	part_count_cell(page, res, i, "running", "is-running");
	html_add(out, "<td class=\"num\">%s</td>", result_text(res, i, "concurrency"));
	part_count_cell(page, res, i, "queued", "");
	part_count_cell(page, res, i, "retrying", "is-retrying");
	part_count_cell(page, res, i, "scheduled", "");
	part_count_cell(page, res, i, "waiting", "");
	part_seconds_cell(page, res, i, "oldest");
	html_add(out, "<td class=\"num\">%s</td><td class=\"num\">%s</td>", result_text(res, i, "weight"),
			 result_text(res, i, "percent"));
	buffer_add(out, "<td class=\"cut\">");
	if (paused)
		html_state(out, "paused");
	if (held)
		held_by(out, result_value(res, i, "held_by"));
	html_add(out, "%s%s</td><td class=\"actions\">", paused ? " " : "",
			 paused ? result_text(res, i, "reason") : held ? "" : result_text(res, i, "waits"));
	if (!dashboard.read_only && held)
	{
		part_form_begin(page, "release-group", "action", NULL, NULL);
		part_hidden(page, "queue", queue);
		part_hidden(page, "group", group);
		buffer_add(out, "<button class=\"small\">Release</button></form>");
	}
	if (!dashboard.read_only)
	{
		part_form_begin(page, paused ? "resume-group" : "pause-group", "action", NULL, NULL);
		part_hidden(page, "queue", queue);
		part_hidden(page, "group", group);
		html_add(out, "<button class=\"small\">%s</button></form>", paused ? "Resume" : "Pause");
	}
	buffer_add(out, "</td></tr>\n");
}

/* A group can be paused before it has jobs, with a reason */
static void
pause_form(Page *page, const char *queue)
{
	if (dashboard.read_only)
		return;
	part_form_begin(page, "pause-group", "inline", NULL, NULL);
	part_hidden(page, "queue", queue);
	buffer_add(page->out, "<label for=\"g-group\">Group</label><input id=\"g-group\" name=\"group\" required spellcheck=\"false\">"
			   "<label for=\"g-reason\">Reason</label><input id=\"g-reason\" name=\"reason\">"
			   "<button>Pause this group</button></form>\n");
}

/* Append the groups of a queue with unfinished jobs or settings, those with most first */
static void
show_groups(Page *page, const char *queue)
{
	static const char *const sql =
		"WITH h AS (SELECT j.group_key, pg_catalog.min(j.id) AS head FROM defer.live_jobs j"
		" WHERE j.queue = $1 AND j.group_key IS NOT NULL AND j.ready GROUP BY 1),"
		" g AS MATERIALIZED (SELECT g.* FROM defer.groups g WHERE g.kind = 'queue' AND g.name = $1"
		" ORDER BY g.paused DESC, g.held_since, g.queued DESC, g.group_key LIMIT 100)"
		" SELECT g.*, pg_catalog.round((g.share * 100)::pg_catalog.numeric) || '%' AS percent,"
		" pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - g.oldest_ready) AS oldest,"
		" defer.waiting_for(h.head) AS waits FROM g LEFT JOIN h ON h.group_key = g.group_key"
		" ORDER BY g.paused DESC, g.held_since, g.queued DESC, g.group_key";
	static const char *const titles[] = {
		"Group", "#Running", "#Limit", "#Queued", "#Retrying", "#Scheduled", "#Waiting", "#Oldest", "#Weight", "#Share", "Waits for", "Actions",
		NULL
	};
	PGresult   *res = page_query(page, sql, 1, &queue);

	buffer_add(page->out, "<section class=\"card\" aria-labelledby=\"h-groups\"><div class=\"head\"><h2 id=\"h-groups\">Groups</h2></div>\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "No group has unfinished jobs in this queue, or settings of its own.");
	else if (result_good(res))
	{
		part_table_begin(page, titles, "groups");
		for (int i = 0; i < PQntuples(res); i++)
			group_row(page, res, i, queue);
		part_table_end(page);
		if (PQntuples(res) == 100)
			buffer_add(page->out, "<p class=\"quiet note\">The 100 groups with most queued jobs.</p>\n");
	}
	pause_form(page, queue);
	buffer_add(page->out, "</section>\n");
	PQclear(res);
}

/* /queue: settings of a queue, and its groups */
void
page_queue(Page *page)
{
	static const char *const sql =
		"SELECT s.owner, s.paused, s.concurrency, s.priority, s.group_by, s.group_concurrency, s.max_attempts,"
		" s.rate, s.group_rate, s.group_order, s.on_group_failure, s.reserved"
		" FROM defer.settings s WHERE s.kind = 'queue' AND s.name = $1";
	static const struct
	{
		const char *label;
		const char *column;
	}			facts[] = {
		{"Owner", "owner"}, {"Limit", "concurrency"}, {"Priority", "priority"}, {"Attempts", "max_attempts"},
		{"Groups by", "group_by"}, {"Limit of a group", "group_concurrency"}, {"Rate", "rate"},
		{"Rate of a group", "group_rate"}, {"Order in a group", "group_order"},
		{"After a failed job", "on_group_failure"}, {"Reserved workers", "reserved"}
	};
	const char *name = request_query(page->request, "name");
	Buffer	   *out = page->out;
	PGresult   *res = page_query(page, sql, 1, &name);

	if (result_good(res) && PQntuples(res) == 0)
	{
		page->request->status = 404;
		buffer_add(out, "<h1>Not found</h1>\n");
		part_empty(page, "There is no such queue that you may see.");
		PQclear(res);
		return;
	}
	snprintf(page->title, sizeof(page->title), "%s", name != NULL ? name : "");
	html_add(out, "<div class=\"title\"><h1>%s</h1>", name);
	if (result_true(res, 0, "paused"))
		html_state(out, "paused");
	buffer_add(out, "<div class=\"actions\"><a class=\"button\" href=\"/jobs?queue=");
	html_url(out, name);
	buffer_add(out, "\">Jobs</a> ");
	part_button(page, result_true(res, 0, "paused") ? "resume-queue" : "pause-queue", "name", name,
				result_true(res, 0, "paused") ? "Resume" : "Pause", "", NULL);
	buffer_add(out, "</div></div>\n<section class=\"card\" aria-label=\"Settings\"><dl class=\"facts\">");
	for (size_t i = 0; i < lengthof(facts); i++)
	{
		if (result_value(res, 0, facts[i].column) != NULL)
			html_add(out, "<div><dt>%s</dt><dd>%s</dd></div>", facts[i].label, result_text(res, 0, facts[i].column));
	}
	buffer_add(out, "</dl></section>\n");
	PQclear(res);
	series_card(page, NULL, name);
	show_groups(page, name);
}
