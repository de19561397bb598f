/*
 * series.c
 *		Charts of what ended, how long it took and what waited, over time: of all
 *		jobs, or of a function or a queue.
 *
 * What ended by the hour is counted by the server.  For shorter steps, and for what
 * waited, no series is stored.  A finished job says when it was due, began and
 * ended, so the rows of the history that ended since the beginning of the charts,
 * with the unfinished jobs, have all of it: a job waited from run_at to started_at.
 * Of very many jobs a sample is read, and the charts are estimates.
 */
#include "dashboard/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dashboard/chart.h"
#include "dashboard/html.h"

/* Jobs of a function that are read one by one, if the sample has not all of them */
#define FOUND_JOBS		"10000"

/* Milliseconds for that, else the sample is shown */
#define FOUND_TIMEOUT	300

typedef struct Range
{
	const char *name;
	const char *label;
	int			seconds;
	int			steps;
	int			every;			/* steps from one label of the axis to the
								 * next */
	const char *unit;			/* of bars */
	const char *label_format;
} Range;

static const Range ranges[] = {
	{"10min", "10 minutes", 600, 60, 12, "jobs in 10 seconds", "HH24:MI"},
	{"1h", "1 hour", 3600, 60, 10, "jobs in a minute", "HH24:MI"},
	{"6h", "6 hours", 6 * 3600, 72, 12, "jobs in 5 minutes", "HH24:MI"},
	{"24h", "24 hours", 86400, 24, 4, "jobs in an hour", "HH24:MI"},
	{"7d", "7 days", 7 * 86400, 84, 12, "jobs in 2 hours", "Mon DD"},
};

/* What the charts show */
typedef struct Series
{
	const Range *range;
	const char *function;		/* NULL: all */
	const char *queue;			/* NULL: all */
	ChartAxis	axis;
	double		good[CHART_STEPS];
	double		bad[CHART_STEPS];
	double		half[CHART_STEPS];	/* of the jobs took no more; NAN: none */
	double		most[CHART_STEPS];	/* 95 % */
	double		waiting[CHART_STEPS];
} Series;

/*
 * The statement: history is what the jobs that have ended are read from, ended what
 * counts them by step
 */
#define SERIES_SQL(history, ended) \
	"WITH h AS MATERIALIZED (" history ")," \
	" w AS (SELECT run_at AS from_at, COALESCE(started_at, finished_at) AS until_at, weight FROM h" \
	" UNION ALL SELECT s.run_at, r.started_at, s.weight FROM defer.live_sample() s" \
	" LEFT JOIN defer.running_jobs() r ON r.job_id = s.id AND s.state = 'running'" \
	" WHERE (s.ready OR r.job_id IS NOT NULL) AND ($4::text IS NULL OR s.function = $4) AND ($5::text IS NULL OR s.queue = $5))," \
	/* a job counts in each step that ends while it waits */ \
	" b AS (SELECT c.step, pg_catalog.sum(c.change) AS change FROM (" \
	"SELECT GREATEST(pg_catalog.ceil((pg_catalog.date_part('epoch', from_at) - $1::float8) / $2::float8) - 1, 0) AS step, weight AS change" \
	" FROM w WHERE until_at IS NULL OR until_at > from_at" \
	" UNION ALL SELECT GREATEST(pg_catalog.ceil((pg_catalog.date_part('epoch', until_at) - $1::float8) / $2::float8) - 1, 0), -weight" \
	" FROM w WHERE until_at > from_at) c GROUP BY 1)," \
	" e AS (" ended ")" \
	" SELECT n.step, pg_catalog.to_timestamp($1::float8 + n.step * $2::float8) AS at," \
	" pg_catalog.to_char(pg_catalog.to_timestamp($1::float8 + n.step * $2::float8), $6) AS label," \
	" COALESCE(e.good, 0) AS good, COALESCE(e.bad, 0) AS bad, e.half, e.most, e.rows, e.estimated," \
	" pg_catalog.sum(COALESCE(b.change, 0)) OVER (ORDER BY n.step) AS waiting" \
	" FROM (SELECT pg_catalog.generate_series(0, $3::integer) AS step UNION ALL SELECT NULL) n" \
	" LEFT JOIN e ON e.step IS NOT DISTINCT FROM n.step LEFT JOIN b ON b.step = n.step ORDER BY n.step"

/* By the rows */
#define ROWS_SQL \
	"SELECT step, pg_catalog.sum(weight) FILTER (WHERE state = 'succeeded') AS good," \
	" pg_catalog.sum(weight) FILTER (WHERE state = 'failed') AS bad," \
	" pg_catalog.percentile_disc(0.5) WITHIN GROUP (ORDER BY took) AS half," \
	" pg_catalog.percentile_disc(0.95) WITHIN GROUP (ORDER BY took) AS most," \
	" pg_catalog.count(*) AS rows, pg_catalog.max(weight) > 1 AS estimated" \
	" FROM (SELECT pg_catalog.floor((pg_catalog.date_part('epoch', finished_at) - $1::float8) / $2::float8) AS step, state, weight," \
	" pg_catalog.date_part('epoch', duration) AS took FROM h) t GROUP BY GROUPING SETS ((step), ())"

/* By the counts of whole hours, which are exact */
#define HOURS_SQL \
	"SELECT step, pg_catalog.sum(succeeded) AS good, pg_catalog.sum(failed) AS bad," \
	" pg_catalog.date_part('epoch', defer.duration_percentile(defer.sum_durations(durations), 0.5)) AS half," \
	" pg_catalog.date_part('epoch', defer.duration_percentile(defer.sum_durations(durations), 0.95)) AS most," \
	" 0 AS rows, false AS estimated" \
	" FROM (SELECT pg_catalog.floor((pg_catalog.date_part('epoch', c.hour) - $1::float8) / $2::float8) AS step, c.*" \
	" FROM defer.job_hours c WHERE c.hour >= pg_catalog.to_timestamp($1::float8)" \
	" AND ($4::text IS NULL OR c.function = $4) AND ($5::text IS NULL OR c.queue = $5)) t GROUP BY GROUPING SETS ((step), ())"

#define SAMPLE_SQL \
	"SELECT s.state, s.weight, s.run_at, s.started_at, s.finished_at, s.duration FROM defer.history_sample(pg_catalog.to_timestamp($1::float8)) s" \
	" WHERE ($4::text IS NULL OR s.function = $4) AND ($5::text IS NULL OR s.queue = $5)"

#define FOUND_SQL \
	"SELECT j.state, 1::float8 AS weight, j.run_at, j.started_at, j.finished_at, j.duration FROM defer.jobs j" \
	" WHERE j.id = ANY (ARRAY(SELECT defer.find_jobs('{succeeded,failed,cancelled,discarded}', function => $4, queue => $5," \
	" since => pg_catalog.to_timestamp($1::float8), n => " FOUND_JOBS ")))"

static const Range *
chosen_range(const Page *page)
{
	const char *name = request_query(page->request, "range");

	for (size_t i = 0; name != NULL && i < lengthof(ranges); i++)
	{
		if (strcmp(ranges[i].name, name) == 0)
			return &ranges[i];
	}
	return &ranges[1];
}

/* Return when the charts of this page begin: at a whole step, so that bars keep their places */
double
series_since(const Page *page)
{
	const Range *range = chosen_range(page);
	double		step = (double) range->seconds / range->steps;

	return (floor(page->now / step) + 1) * step - range->seconds;
}

/* Run the statement; NULL: it failed.  The result is the caller's */
static PGresult *
read_series(Page *page, const Series *series)
{
	char		since[40];
	char		step[40];
	char		steps[12];
	const char *values[] = {
		since, step, steps, series->function, series->queue, series->range->label_format
	};
	bool		timed_out;
	PGresult   *sample;
	PGresult   *found;

	snprintf(since, sizeof(since), "%.0f", series_since(page));
	snprintf(step, sizeof(step), "%d", series->range->seconds / series->range->steps);
	snprintf(steps, sizeof(steps), "%d", series->range->steps);
	if (series->range->seconds / series->range->steps >= 3600)
		return page_query(page, SERIES_SQL(SAMPLE_SQL, HOURS_SQL), lengthof(values), values);
	sample = page_query(page, SERIES_SQL(SAMPLE_SQL, ROWS_SQL), lengthof(values), values);
	timed_out = page->timed_out;
	if (!result_good(sample) || series->function == NULL ||
		!result_true(sample, PQntuples(sample) - 1, "estimated"))
		return sample;
	found = page_query_within(page, FOUND_TIMEOUT, SERIES_SQL(FOUND_SQL, ROWS_SQL),
							  lengthof(values), values);
	page->timed_out = timed_out;	/* the sample is shown instead */
	if (result_good(found) &&
		result_int64(found, PQntuples(found) - 1, "rows") < strtoll(FOUND_JOBS, NULL, 10))
	{
		PQclear(sample);
		return found;
	}
	PQclear(found);
	return sample;
}

/* Return the column of a row, or NAN */
static double
number_or_nan(const PGresult *res, int row, const char *column)
{
	return result_value(res, row, column) != NULL ? result_number(res, row, column) : NAN;
}

/* Return the first step whose beginning is a round time: labels keep their places, too */
static int
first_label(double since, const Range *range)
{
	int			step = range->seconds / range->steps;
	int			over = (int) fmod(since / step, range->every);

	return over == 0 ? 0 : range->every - over;
}

/* Take the steps over; texts stay those of the result */
static void
fill_series(Series *series, const PGresult *res, double since)
{
	series->axis.n = series->range->steps;
	series->axis.every = series->range->every;
	series->axis.first = first_label(since, series->range);
	for (int i = 0; i <= series->range->steps; i++)
	{
		series->axis.times[i] = result_text(res, i, "at");
		if (i == series->range->steps)
			break;
		series->axis.labels[i] = result_text(res, i, "label");
		series->good[i] = result_number(res, i, "good");
		series->bad[i] = result_number(res, i, "bad");
		series->half[i] = number_or_nan(res, i, "half");
		series->most[i] = number_or_nan(res, i, "most");
		series->waiting[i] = fmax(0, result_number(res, i, "waiting"));
	}
}

/* Append the address of the jobs of the charts, to be continued with a state or times */
static void
jobs_address(Buffer *out, const Series *series)
{
	buffer_add(out, "/jobs?");
	if (series->function != NULL)
	{
		buffer_add(out, "function=");
		html_url(out, series->function);
		buffer_add(out, "&amp;");
	}
	if (series->queue != NULL)
	{
		buffer_add(out, "queue=");
		html_url(out, series->queue);
		buffer_add(out, "&amp;");
	}
}

/* Append links to this page with another range */
static void
range_links(Page *page, const Range *range)
{
	Buffer	   *out = page->out;

	buffer_add(out, "<nav class=\"ranges\" aria-label=\"Time shown\">");
	for (size_t i = 0; i < lengthof(ranges); i++)
	{
		html_add(out, "<a href=\"%s?", page->request->path);
		for (int j = 0; j < page->request->nquery; j++)
		{
			const Field *field = &page->request->query[j];

			if (strcmp(field->name, "range") == 0)
				continue;
			html_url(out, field->name);
			buffer_char(out, '=');
			html_url(out, field->value);
			buffer_add(out, "&amp;");
		}
		html_add(out, "range=%s\"%s>%s</a>", ranges[i].name, &ranges[i] == range ? " aria-current=true" : "",
				 ranges[i].label);
	}
	buffer_add(out, "</nav>");
}

/* Open one chart: its heading, with a link to its jobs in a state; NULL: of all states */
static void
panel_begin(Page *page, const Series *series, const char *title, const char *unit,
			const char *state)
{
	Buffer	   *out = page->out;

	html_add(out, "<div class=\"panel\"><p class=\"panel-head\"><a href=\"");
	jobs_address(out, series);
	if (state == NULL || strcmp(state, "queued") != 0)
	{
		buffer_add(out, "ended_since=");
		html_url(out, series->axis.times[0]);
		buffer_add(out, "&amp;");
	}
	if (state != NULL)
		html_add(out, "state=%s", state);
	html_add(out, "\">%s</a> <span class=\"quiet\">%s</span></p>", title, unit);
}

/* Append the sums under the first two charts, and the durations under the third */
static void
legend(Page *page, const PGresult *res, const char *what)
{
	Buffer	   *out = page->out;
	int			total = PQntuples(res) - 1;

	buffer_add(out, "<p class=\"legend\">");
	if (strcmp(what, "ended") == 0)
	{
		buffer_add(out, "<span><span class=\"key good\"></span><strong>");
		html_count_about(out, result_number(res, total, "good"), page->estimated);
		buffer_add(out, "</strong> succeeded</span> <span><span class=\"key bad\"></span><strong>");
		html_count_about(out, result_number(res, total, "bad"), page->estimated);
		buffer_add(out, "</strong> failed</span>");
	}
	else if (result_value(res, total, "half") != NULL)
	{
		buffer_add(out, "<span><span class=\"key low\"></span>half within <strong>");
		html_seconds(out, result_number(res, total, "half"));
		buffer_add(out, "</strong></span> <span><span class=\"key high\"></span>95 % within <strong>");
		html_seconds(out, result_number(res, total, "most"));
		buffer_add(out, "</strong></span>");
	}
	else
		buffer_add(out, "No job ended in this time.");
	buffer_add(out, "</p></div>\n");
}

/* Append the four charts */
static void
panels(Page *page, Series *series, const PGresult *res)
{
	Buffer	   *out = page->out;
	Buffer		link = {0};
	Buffer		failed_link = {0};

	jobs_address(&link, series);
	buffer_add(&failed_link, link.data);
	buffer_add(&failed_link, "state=failed&amp;");
	buffer_add(out, "<div class=\"charts\">\n");
	series->axis.link = link.data;
	panel_begin(page, series, "Throughput", series->range->unit, NULL);
	chart_bars(out, &series->axis, series->good, series->bad, "Jobs that ended, over time");
	legend(page, res, "ended");
	panel_begin(page, series, "Duration", "of last attempts", NULL);
	chart_lines(out, &series->axis, series->half, series->most, "Durations, over time");
	legend(page, res, "took");
	series->axis.link = failed_link.data;
	panel_begin(page, series, "Failures", "jobs that failed for good", "failed");
	chart_bars(out, &series->axis, NULL, series->bad, "Jobs that failed, over time");
	buffer_add(out, "</div>\n");
	series->axis.link = NULL;
	panel_begin(page, series, "Backlog", "jobs ready and not begun", "queued");
	chart_area(out, &series->axis, series->waiting, "Jobs that waited, over time");
	buffer_add(out, "</div>\n</div>\n");
	buffer_free(&link);
	buffer_free(&failed_link);
}

/* Append the charts of a function and a queue; NULL: of all */
void
series_card(Page *page, const char *function, const char *queue)
{
	Series		series = {chosen_range(page), function, queue};
	bool		estimated = page->estimated;
	Buffer	   *out = page->out;
	PGresult   *res = read_series(page, &series);

	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-activity\"><div class=\"head\"><h2 id=\"h-activity\">Activity</h2>");
	range_links(page, series.range);
	buffer_add(out, "</div>\n");
	if (result_good(res))
	{
		fill_series(&series, res, series_since(page));
		page->estimated = result_true(res, PQntuples(res) - 1, "estimated");
		panels(page, &series, res);
		page->estimated = estimated;
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}
