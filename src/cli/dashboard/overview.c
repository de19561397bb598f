/*
 * overview.c
 *		The overview: what runs and waits, findings, charts, failures.
 */
#include "dashboard/pages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dashboard/html.h"
#include "dashboard/parts.h"
#include "dashboard/series.h"

/* Append a finding: what can be done on a page of this dashboard, or the hint */
static void
finding(Page *page, const char *text, const char *hint)
{
	static const char *const failed = " failed for good";
	Buffer	   *out = page->out;
	const char *end = strstr(text, failed);
	const char *of = strstr(text, " of ");

	html_add(out, "<div><p>%s</p><p class=\"quiet\">", text);
	if (end != NULL && of != NULL && of + 4 < end)
	{
		char	   *function = xprintf("%.*s", (int) (end - of - 4), of + 4);

		buffer_add(out, "<a href=\"/errors\">Retry or acknowledge them by error</a>, or look at <a href=\"/jobs?state=failed&amp;function=");
		html_url(out, function);
		buffer_add(out, "\">the jobs</a>");
		free(function);
	}
	else
		html_text(out, hint);
	buffer_add(out, "</p></div></li>\n");
}

static void
overview_health(Page *page)
{
	/* defer.health looks at each unfinished job: slow with a million of them */
	bool		before = page->timed_out;
	PGresult   *res = page_query_within(page, 300, "SELECT severity, finding, hint FROM defer.health"
										" ORDER BY pg_catalog.array_position(ARRAY['error', 'warning', 'info'], severity), finding LIMIT 50",
										0, NULL);

	buffer_add(page->out, "<section class=\"card health\" aria-labelledby=\"h-health\">"
			   "<div class=\"head\"><h2 id=\"h-health\">Needs attention</h2><a href=\"/errors\">Errors</a></div>\n");
	page->timed_out = before;	/* said below */
	if (!result_good(res))
		part_empty(page, "Unknown: the query took too long.");
	else if (PQntuples(res) == 0)
		buffer_add(page->out, "<p class=\"fine\"><span class=\"state is-succeeded\">Nothing.</span> Jobs and schedules run.</p>\n");
	else
	{
		snprintf(page->title, sizeof(page->title), "(%d) Overview", PQntuples(res));
		/* the worst comes first */
		page->attention = strcmp(result_text(res, 0, "severity"), "info") != 0;
		buffer_add(page->out, "<ul class=\"findings\">\n");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html_add(page->out, "<li class=\"%s\">", result_text(res, i, "severity"));
			html_state(page->out, result_text(res, i, "severity"));
			finding(page, result_text(res, i, "finding"), result_text(res, i, "hint"));
		}
		buffer_add(page->out, "</ul>\n");
	}
	buffer_add(page->out, "</section>\n");
	PQclear(res);
}

static void
figure(Page *page, const char *label, const char *link, const char *class)
{
	html_add(page->out, "<div class=\"figure %s\"><dt>%s</dt><dd>", class, label);
	if (link != NULL)
		html_add(page->out, "<a href=\"%s\">", link);
}

static void
figure_end(Page *page, const char *link, const char *note)
{
	if (link != NULL)
		buffer_add(page->out, "</a>");
	if (note != NULL)
		html_add(page->out, "<span class=\"note\">%s</span>", note);
	buffer_add(page->out, "</dd></div>\n");
}

static void
overview_now(Page *page)
{
	static const char *const sql =
		"WITH l AS MATERIALIZED (SELECT state, ready, weight, run_at FROM defer.live_sample())"
		" SELECT (SELECT pg_catalog.sum(weight) FROM l WHERE state = 'running') AS running,"
		" (SELECT pg_catalog.sum(weight) FROM l WHERE ready) AS ready,"
		" (SELECT pg_catalog.sum(weight) FROM l WHERE state = 'retrying') AS retrying,"
		" (SELECT pg_catalog.sum(weight) FROM l WHERE state = 'scheduled') AS scheduled,"
		" (SELECT pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - pg_catalog.min(run_at)) FROM l WHERE ready) AS oldest,"
		" (SELECT pg_catalog.max(weight) > 1 FROM l) AS estimated,"
		" (SELECT pg_catalog.count(*) FROM defer.workers WHERE kind = 'worker' AND job_id IS NOT NULL) AS busy,"
		" (SELECT pg_catalog.count(*) FROM defer.workers WHERE kind = 'worker') AS workers,"
		" pg_catalog.current_setting('defer.max_workers', true) AS max_workers";
	PGresult   *res = page_query(page, sql, 0, NULL);
	Buffer	   *out = page->out;

	if (result_good(res))
	{
		bool		about = result_true(res, 0, "estimated");
		Buffer		note = {0};

		buffer_add(out, "<dl class=\"figures\">\n");
		figure(page, "Running", "/jobs?state=running", "running");
		html_count(out, result_number(res, 0, "running"));
		figure_end(page, "/jobs?state=running", NULL);
		figure(page, "Ready", "/jobs?state=queued", "ready");
		html_count_about(out, result_number(res, 0, "ready"), about);
		figure_end(page, "/jobs?state=queued", "waiting for a worker");
		figure(page, "Oldest ready", NULL, "oldest");
		if (result_value(res, 0, "oldest") != NULL)
			html_seconds(out, fmax(0, result_number(res, 0, "oldest")));
		else
			buffer_add(out, "\xe2\x80\x93");
		figure_end(page, NULL, result_value(res, 0, "oldest") != NULL ? "longest wait" : "no job waits");
		figure(page, "Retrying", "/jobs?state=retrying", "retrying");
		html_count_about(out, result_number(res, 0, "retrying"), about);
		figure_end(page, "/jobs?state=retrying", NULL);
		figure(page, "Scheduled", "/jobs?state=scheduled", "scheduled");
		html_count_about(out, result_number(res, 0, "scheduled"), about);
		figure_end(page, "/jobs?state=scheduled", "for later");
		figure(page, "Workers", "/workers", "workers");
		html_add(out, "%s<span class=\"quiet\"> / %s</span>", result_text(res, 0, "busy"),
				 result_value(res, 0, "max_workers") != NULL ? result_text(res, 0, "max_workers") : "?");
		buffer_printf(&note, "busy / maximum; %s running", result_text(res, 0, "workers"));
		figure_end(page, "/workers", note.data);
		buffer_add(out, "</dl>\n");
		buffer_free(&note);
	}
	PQclear(res);
}

/* Append the busiest functions */
static void
overview_functions(Page *page, const PGresult *res)
{
	static const char *const titles[] = {"Function", "#Succeeded", "#Failed", "#Average", "#95 % within", NULL};
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-top\"><h2 id=\"h-top\">Busiest functions</h2>\n");
	if (PQntuples(res) == 0)
		part_empty(page, "No job ended in this time.");
	else
	{
		part_table_begin(page, titles, "busiest");
		for (int i = 0; i < PQntuples(res); i++)
		{
			const char *name = result_text(res, i, "function");

			page->estimated = result_true(res, i, "estimated");
			buffer_add(out, "<tr><td><a href=\"/function?name=");
			html_url(out, name);
			buffer_add(out, "\">");
			html_function(out, name);
			buffer_add(out, "</a></td>");
			part_count_cell(page, res, i, "good", "");
			part_count_cell(page, res, i, "bad", "is-bad");
			part_seconds_cell(page, res, i, "avg");
			part_seconds_cell(page, res, i, "p95");
			buffer_add(out, "</tr>\n");
		}
		part_table_end(page);
	}
	buffer_add(out, "</section>\n");
}

/* Append what ended in the time of the charts, by function */
static void
overview_busiest(Page *page)
{
	static const char *const functions_sql =
		"WITH h AS MATERIALIZED (SELECT function, state, weight, pg_catalog.date_part('epoch', duration) AS took"
		" FROM defer.history_sample(pg_catalog.to_timestamp($1::float8), 20000))"
		" SELECT function, pg_catalog.sum(weight) FILTER (WHERE state = 'succeeded') AS good,"
		" pg_catalog.sum(weight) FILTER (WHERE state = 'failed') AS bad, pg_catalog.avg(took) AS avg,"
		" pg_catalog.percentile_disc(0.95) WITHIN GROUP (ORDER BY took) AS p95, pg_catalog.max(weight) > 1 AS estimated"
		" FROM h GROUP BY function ORDER BY pg_catalog.sum(weight) DESC LIMIT 8";
	char		since[40];
	const char *values[] = {since};
	PGresult   *functions;

	snprintf(since, sizeof(since), "%.0f", series_since(page));
	functions = page_query(page, functions_sql, 1, values);
	overview_functions(page, functions);
	PQclear(functions);
}

/* /: the overview */
void
page_overview(Page *page)
{
	buffer_add(page->out, "<h1 class=\"spoken\">Overview</h1>\n");
	overview_now(page);
	overview_health(page);
	series_card(page, NULL, NULL);
	overview_busiest(page);
	part_failures(page, NULL, 8);
}
