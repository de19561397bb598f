/*
 * job_steps.c
 *		The steps of a procedure on the page of its job: a time line of bars.
 */
#include "dashboard/job.h"

#include <math.h>
#include <string.h>

#include "dashboard/html.h"

#define SCALE	1000.0			/* of the bars' coordinates */
#define THIN	6.0				/* of it is a bar at least, to be seen */

/* The last steps, with the attempts that have come as far as each; times in seconds since 1970 */
static const char *const steps_sql =
"SELECT s.*, pg_catalog.date_part('epoch', s.started_at) AS begun,"
" pg_catalog.date_part('epoch', COALESCE(s.finished_at, pg_catalog.statement_timestamp())) AS ended,"
" (SELECT pg_catalog.count(*) FROM defer.attempts a WHERE a.job_id = $1::bigint AND a.finished_at > s.before"
" AND a.finished_at <= COALESCE(s.finished_at, 'infinity')) AS failures"
" FROM (SELECT x.*, pg_catalog.lag(x.finished_at, 1, '-infinity') OVER (ORDER BY x.finished_at, x.ord) AS before"
" FROM (SELECT * FROM defer.steps WHERE job_id = $1::bigint ORDER BY started_at DESC, ord DESC LIMIT 200) x) s"
" ORDER BY s.started_at, s.ord";

/* Append what a step waits for: a job, jobs, an event, a time */
static void
step_awaits(Page *page, const PGresult *res, int row)
{
	Buffer	   *out = page->out;
	const char *kind = result_text(res, row, "kind");
	const char *awaits = result_value(res, row, "awaits");

	if (awaits != NULL && (strcmp(kind, "wait_job") == 0 || strcmp(kind, "request") == 0))
		html_add(out, " for <a href=\"/job?id=%s\">job %s</a>", awaits, awaits);
	else if (awaits != NULL)
		html_add(out, " for %s%s", strcmp(kind, "wait_event") == 0 ? "event " : "", awaits);
	if (result_value(res, row, "until") != NULL)
	{
		buffer_add(out, awaits != NULL ? ", at most until " : " until ");
		html_clock(out, result_text(res, row, "until"), page->now);
	}
}

/* Append the bar of a step in the time from the first one's begin to the last one's end */
static void
step_bar(Buffer *out, const PGresult *res, int row, double from, double to, const char *state)
{
	double		scale = to > from ? SCALE / (to - from) : 0;
	double		begun = result_number(res, row, "begun");
	double		x = (begun - from) * scale;
	double		width = fmax(THIN, (result_number(res, row, "ended") - begun) * scale);

	html_add(out, "<svg class=\"bar\" viewBox=\"0 0 %.0f 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
			 "<rect class=\"track\" width=\"%.0f\" height=\"8\"/><rect class=\"fill-%s\" x=\"%.1f\" width=\"%.1f\" height=\"8\"/></svg>",
			 SCALE, SCALE, state, fmin(x, SCALE - THIN), width);
}

static void
show_step(Page *page, const PGresult *res, int row, double from, double to)
{
	Buffer	   *out = page->out;
	bool		done = strcmp(result_text(res, row, "state"), "done") == 0;
	double		failures = result_number(res, row, "failures");

	html_add(out, "<li><div class=\"head\"><strong>%s</strong> ", result_text(res, row, "name"));
	if (done)
		html_add(out, "<span class=\"state is-succeeded\">%s</span>", result_text(res, row, "kind"));
	else
	{
		buffer_add(out, "<span class=\"state is-waiting\">waits</span><span>");
		step_awaits(page, res, row);
		buffer_add(out, "</span>");
	}
	if (failures > 0)
		html_add(out, "<span class=\"state is-retrying\">%.0f attempts</span>", failures + 1);
	buffer_add(out, "<span class=\"quiet\">");
	html_clock_exact(out, result_text(res, row, "started_at"), page->now);
	buffer_add(out, ", ");
	html_seconds(out, fmax(0, result_number(res, row, "ended") - result_number(res, row, "begun")));
	buffer_add(out, "</span></div>");
	step_bar(out, res, row, from, to, !done ? "cancelled" : failures > 0 ? "retrying" : "succeeded");
	if (result_value(res, row, "result") != NULL)
		html_add(out, "<code class=\"cut\">%s</code>", result_text(res, row, "result"));
	buffer_add(out, "</li>\n");
}

/* Append the steps of a procedure, as far as it has come; nothing if it has none */
void
job_steps(Page *page, const char *id)
{
	PGresult   *res = page_query(page, steps_sql, 1, &id);
	Buffer	   *out = page->out;
	double		to = 0;

	if (result_good(res) && PQntuples(res) > 0)
	{
		for (int row = 0; row < PQntuples(res); row++)
			to = fmax(to, result_number(res, row, "ended"));
		buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-steps\"><h2 id=\"h-steps\">Steps</h2><ol class=\"bars\">\n");
		for (int row = 0; row < PQntuples(res); row++)
			show_step(page, res, row, result_number(res, 0, "begun"), to);
		buffer_add(out, "</ol></section>\n");
	}
	PQclear(res);
}
