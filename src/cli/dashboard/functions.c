/*
 * functions.c
 *		All functions, and one function.
 */
#include "dashboard/pages.h"

#include <stdlib.h>
#include <string.h>

#include "dashboard/chart.h"
#include "dashboard/groups.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"
#include "dashboard/series.h"
#include "dashboard/settings.h"

#define SPARK_BARS	24

/*
 * Functions that have jobs or settings, or had jobs in the last 24 hours; what
 * ended by the hour, as a list.  The busiest are chosen, and shown by name: rows
 * that change places each second cannot be clicked.
 */
#define FUNCTIONS_SQL(name) \
	"WITH h AS MATERIALIZED (SELECT s.* FROM defer.history_sample(pg_catalog.statement_timestamp() - interval '24 hours') s" name "),\n" \
	" b AS (SELECT function, pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - finished_at) / 3600)::int AS hour," \
	" pg_catalog.sum(weight) FILTER (WHERE state = 'succeeded') AS good, pg_catalog.sum(weight) FILTER (WHERE state = 'failed') AS bad FROM h GROUP BY 1, 2),\n" \
	" e AS (SELECT function, pg_catalog.sum(weight) FILTER (WHERE state = 'succeeded') AS succeeded, pg_catalog.sum(weight) FILTER (WHERE state = 'failed') AS failed," \
	" pg_catalog.avg(pg_catalog.date_part('epoch', duration)) AS avg," \
	" pg_catalog.percentile_disc(0.95) WITHIN GROUP (ORDER BY pg_catalog.date_part('epoch', duration)) AS p95, pg_catalog.max(finished_at) AS last" \
	" FROM h GROUP BY 1),\n" \
	" a AS (SELECT function, pg_catalog.string_agg(hour || ' ' || COALESCE(good, 0) || ' ' || COALESCE(bad, 0), ',') AS activity FROM b GROUP BY 1),\n" \
	" l AS (SELECT s.function, pg_catalog.sum(s.weight) FILTER (WHERE s.state = 'running') AS running, pg_catalog.sum(s.weight) FILTER (WHERE s.state = 'queued') AS queued," \
	" pg_catalog.sum(s.weight) FILTER (WHERE s.state = 'retrying') AS retrying, pg_catalog.sum(s.weight) FILTER (WHERE s.state = 'scheduled') AS scheduled," \
	" pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - pg_catalog.min(s.run_at) FILTER (WHERE s.ready)) AS oldest" \
	" FROM defer.live_sample() s" name " GROUP BY 1),\n" \
	" f AS (SELECT s.* FROM (SELECT name AS function, paused, concurrency, rate, max_queued, max_attempts, queue, priority FROM defer.settings WHERE kind = 'function') s" name ")\n" \
	" SELECT * FROM (SELECT function, l.running, l.queued, l.retrying, l.scheduled, l.oldest, e.succeeded, e.failed, e.avg, e.p95, e.last, a.activity," \
	" COALESCE(f.paused, false) AS paused, f.concurrency, f.rate, f.max_queued, (SELECT pg_catalog.max(weight) > 1 FROM h) AS estimated" \
	" FROM l FULL JOIN e USING (function) FULL JOIN a USING (function) FULL JOIN f USING (function)" \
	" ORDER BY COALESCE(l.running, 0) + COALESCE(e.succeeded, 0) + COALESCE(e.failed, 0) DESC, function LIMIT 300) x" \
	" ORDER BY function"

/* Read what ended by the hour, the last hour last */
static void
activity(const PGresult *res, int row, double *good, double *bad)
{
	const char *at = result_text(res, row, "activity");

	memset(good, 0, SPARK_BARS * sizeof(double));
	memset(bad, 0, SPARK_BARS * sizeof(double));
	while (*at != '\0')
	{
		char	   *end;
		long		hour = strtol(at, &end, 10);
		double		hour_good = strtod(end, &end);
		double		hour_bad = strtod(end, &end);

		if (hour >= 0 && hour < SPARK_BARS)
		{
			good[SPARK_BARS - 1 - hour] = hour_good;
			bad[SPARK_BARS - 1 - hour] = hour_bad;
		}
		at = end + strcspn(end, ",");
		at += *at == ',';
	}
}

static void
function_row(Page *page, const PGresult *res, int i)
{
	Buffer	   *out = page->out;
	const char *name = result_text(res, i, "function");
	double		ended = result_number(res, i, "succeeded") + result_number(res, i, "failed");
	double		rate = ended > 0 ? 100 * result_number(res, i, "failed") / ended : 0;
	double		good[SPARK_BARS];
	double		bad[SPARK_BARS];
	bool		paused = result_true(res, i, "paused");

	buffer_add(out, "<tr><td><a href=\"/function?name=");
	html_url(out, name);
	buffer_add(out, "\">");
	html_function(out, name);
	buffer_add(out, "</a>");
	if (paused)
		buffer_add(out, " <span class=\"state is-paused\">paused</span>");
	if (result_value(res, i, "concurrency") != NULL)
		html_add(out, " <span class=\"tag\" title=\"concurrency: at most so many at the same time\">max %s</span>", result_text(res, i, "concurrency"));
	if (result_value(res, i, "rate") != NULL)
		html_add(out, " <span class=\"tag\" title=\"rate: attempts begin no more often\">%s</span>", result_text(res, i, "rate"));
	if (result_value(res, i, "max_queued") != NULL)
		html_add(out, " <span class=\"tag\" title=\"max_queued: unfinished jobs, at most\">%s unfinished</span>", result_text(res, i, "max_queued"));
	buffer_add(out, "</td><td>");
	activity(res, i, good, bad);
	chart_spark(out, good, bad, SPARK_BARS, "What ended in each of the last 24 hours");
	buffer_add(out, "</td>");
	part_count_cell(page, res, i, "running", "is-running");
	part_count_cell(page, res, i, "queued", "");
	part_count_cell(page, res, i, "retrying", "is-retrying");
	part_count_cell(page, res, i, "succeeded", "");
	html_add(out, "<td class=\"num %s\">", rate > 0 ? "is-bad" : "zero");
	if (ended > 0)
		html_add(out, rate > 0 && rate < 0.1 ? "&lt; 0.1 %%" : "%.1f %%", rate);
	buffer_add(out, "</td>");
	part_seconds_cell(page, res, i, "avg");
	part_seconds_cell(page, res, i, "p95");
	buffer_add(out, "<td class=\"actions\">");
	part_button(page, paused ? "resume-function" : "pause-function", "name", name, paused ? "Resume" : "Pause", "small", NULL);
	buffer_add(out, "</td></tr>\n");
}

static const char *const function_titles[] = {
	"Function", "Last 24 hours", "#Running", "#Queued", "#Retrying", "#Succeeded", "#Failed", "#Average", "#95 % within", "Actions", NULL
};

/* /functions: all functions */
void
page_functions(Page *page)
{
	PGresult   *res = page_query(page, FUNCTIONS_SQL(""), 0, NULL);

	buffer_add(page->out, "<h1>Functions</h1>\n<section class=\"card\" aria-label=\"Functions\">\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "No function has jobs or settings.");
	else if (result_good(res))
	{
		page->estimated = result_true(res, 0, "estimated");
		part_table_begin(page, function_titles, "functions");
		for (int i = 0; i < PQntuples(res); i++)
			function_row(page, res, i);
		part_table_end(page);
		if (page->estimated)
			buffer_add(page->out, "<p class=\"quiet note\">These numbers are estimated from a sample of what ended; a function that seldom runs may be missing.</p>\n");
	}
	buffer_add(page->out, "</section>\n");
	PQclear(res);
}

/* /function: one function, named by its signature */
void
page_function(Page *page)
{
	const char *signature = request_query(page->request, "name");
	PGresult   *res;
	Buffer	   *out = page->out;

	if (signature == NULL)
	{
		page->request->status = 404;
		part_empty(page, "There is no such function.");
		return;
	}
	res = page_query(page, FUNCTIONS_SQL(" WHERE s.function = $1"), 1, &signature);
	buffer_add(out, "<div class=\"title\"><h1>");
	html_function(out, signature);
	buffer_add(out, "</h1><div class=\"actions\"><a class=\"button\" href=\"/jobs?function=");
	html_url(out, signature);
	buffer_add(out, "\">Jobs</a><a class=\"button\" href=\"/jobs?state=failed&amp;function=");
	html_url(out, signature);
	buffer_add(out, "\">Failed</a></div></div>\n<section class=\"card\" aria-label=\"Function\">\n");
	if (result_good(res) && PQntuples(res) > 0)
	{
		page->estimated = result_true(res, 0, "estimated");
		part_table_begin(page, function_titles, "functions");
		function_row(page, res, 0);
		part_table_end(page);
	}
	else
		part_empty(page, "It has no jobs of the last 24 hours and no settings.");
	buffer_add(out, "</section>\n");
	PQclear(res);

	series_card(page, signature, NULL);
	groups_card(page, "function", signature);
	settings_card(page, "function", signature);
	part_failures(page, signature, 10);
}
