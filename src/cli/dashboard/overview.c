/*
 * overview.c
 *		The overview: what runs and waits, findings, throughput, failures.
 */
#include "dashboard/pages.h"

#include <math.h>
#include <string.h>

#include "dashboard/chart.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"

#define MAX_BARS	100

typedef struct Range
{
	const char *name;
	const char *label;
	double		seconds;
	int			bars;
} Range;

static const Range ranges[] = {
	{"10min", "10 minutes", 600, 60},
	{"1h", "1 hour", 3600, 60},
	{"6h", "6 hours", 6 * 3600, 72},
	{"24h", "24 hours", 86400, 72},
	{"7d", "7 days", 7 * 86400, 84},
};

static const Range *
chosen_range(Page *page)
{
	const char *name = request_query(page->request, "range");

	for (size_t i = 0; name != NULL && i < lengthof(ranges); i++)
	{
		if (strcmp(ranges[i].name, name) == 0)
			return &ranges[i];
	}
	return &ranges[1];
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
		buffer_add(page->out, "<ul class=\"findings\">\n");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html_add(page->out, "<li class=\"%s\">", result_text(res, i, "severity"));
			html_state(page->out, result_text(res, i, "severity"));
			html_add(page->out, "<div><p>%s</p><p class=\"quiet\">%s</p></div></li>\n",
					 result_text(res, i, "finding"), result_text(res, i, "hint"));
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

static void
range_links(Page *page, const Range *range)
{
	buffer_add(page->out, "<nav class=\"ranges\" aria-label=\"Time shown\">");
	for (size_t i = 0; i < lengthof(ranges); i++)
		html_add(page->out, "<a href=\"/?range=%s\"%s>%s</a>", ranges[i].name,
				 &ranges[i] == range ? " aria-current=true" : "", ranges[i].label);
	buffer_add(page->out, "</nav>");
}

/* Append the busiest functions; the first row is all functions together */
static void
overview_functions(Page *page, const PGresult *res)
{
	static const char *const titles[] = {"Function", "#Succeeded", "#Failed", "#Average", "#95 %", NULL};
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-top\"><h2 id=\"h-top\">Busiest functions</h2>\n");
	if (PQntuples(res) <= 1)
		part_empty(page, "No job ended in this time.");
	else
	{
		part_table_begin(page, titles, "busiest");
		for (int i = 1; i < PQntuples(res); i++)
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

/* What ended in the chosen range, by step */
typedef struct Throughput
{
	const Range *range;
	double		step;			/* seconds of a bar */
	double		start;			/* of the first bar, seconds since 1970 */
	char		since[40];		/* the same as text */
	double		good[MAX_BARS];
	double		bad[MAX_BARS];
	double		succeeded;		/* sums */
	double		failed;
	bool		estimated;
} Throughput;

/* Count what ended; false: the query failed */
static bool
read_throughput(Page *page, Throughput *t)
{
	static const char *const sql =
		"SELECT * FROM defer.throughput(pg_catalog.to_timestamp($1::float8), $2 * interval '1 second', $3::integer)";
	char		width[40];
	char		bars[20];
	const char *values[] = {t->since, width, bars};
	PGresult   *res;
	bool		good;

	t->range = chosen_range(page);
	t->step = t->range->seconds / t->range->bars;

	/* whole steps, so that bars keep their places */
	t->start = (floor(page->now / t->step) + 1) * t->step - t->range->seconds;
	snprintf(t->since, sizeof(t->since), "%.0f", t->start);
	snprintf(width, sizeof(width), "%.0f", t->step);
	snprintf(bars, sizeof(bars), "%d", t->range->bars);
	res = page_query(page, sql, lengthof(values), values);
	good = result_good(res);
	for (int i = 0; i < PQntuples(res) && i < t->range->bars; i++)
	{
		t->succeeded += t->good[i] = result_number(res, i, "succeeded");
		t->failed += t->bad[i] = result_number(res, i, "failed");
		t->estimated = result_true(res, i, "estimated");
	}
	PQclear(res);
	return good;
}

/* Append the line under the chart; all: the row of all functions together */
static void
throughput_legend(Page *page, const Throughput *t, const PGresult *all)
{
	Buffer	   *out = page->out;
	int			last = t->range->bars - 1;

	buffer_add(out, "<p class=\"legend\"><span class=\"key good\"></span><strong>");
	html_count_about(out, t->succeeded, t->estimated);
	buffer_add(out, "</strong> succeeded <span class=\"key bad\"></span><strong>");
	html_count_about(out, t->failed, t->estimated);
	buffer_add(out, "</strong> failed");
	if (t->succeeded + t->failed > 0 && result_good(all) && PQntuples(all) > 0)
	{
		/* the last two bars, of which the last has just begun */
		double		passed = fmax(1, page->now - (t->start + (last - 1) * t->step));
		double		ended = t->good[last - 1] + t->bad[last - 1] + t->good[last] + t->bad[last];

		buffer_add(out, " <span class=\"quiet\">\xc2\xb7</span> <strong>");
		html_count(out, ended / passed);
		buffer_add(out, "</strong>/s now <span class=\"quiet\">\xc2\xb7</span> average <strong>");
		html_seconds(out, result_number(all, 0, "avg"));
		buffer_add(out, "</strong>, 95 % within <strong>");
		html_seconds(out, result_number(all, 0, "p95"));
		buffer_add(out, "</strong>");
	}
	buffer_add(out, "</p>\n");
}

/* Append what ended: a bar for each step, and by function */
static void
overview_ended(Page *page)
{
	static const char *const functions_sql =
		"WITH h AS MATERIALIZED (SELECT function, state, weight, pg_catalog.date_part('epoch', finished_at - started_at) AS took"
		" FROM defer.history_sample(pg_catalog.to_timestamp($1::float8), 20000))"
		" SELECT function, pg_catalog.sum(weight) FILTER (WHERE state = 'succeeded') AS good,"
		" pg_catalog.sum(weight) FILTER (WHERE state = 'failed') AS bad, pg_catalog.avg(took) AS avg,"
		" pg_catalog.percentile_disc(0.95) WITHIN GROUP (ORDER BY took) AS p95, pg_catalog.max(weight) > 1 AS estimated"
		" FROM h GROUP BY GROUPING SETS ((), (function)) ORDER BY function IS NOT NULL, pg_catalog.sum(weight) DESC LIMIT 9";
	Throughput	t = {0};
	bool		good = read_throughput(page, &t);
	const char *values[] = {t.since};
	Buffer	   *out = page->out;
	PGresult   *functions = page_query(page, functions_sql, 1, values);

	buffer_add(out, "<section class=\"card throughput\" aria-labelledby=\"h-throughput\"><div class=\"head\"><h2 id=\"h-throughput\">Throughput</h2>");
	range_links(page, t.range);
	buffer_add(out, "</div>\n");
	if (good)
	{
		chart_bars(out, t.good, t.bad, t.range->bars, t.start, t.step, "Jobs that ended, over time");
		throughput_legend(page, &t, functions);
	}
	buffer_add(out, "</section>\n");
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
	overview_ended(page);
	part_failures(page, NULL, 8);
}
