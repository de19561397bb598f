/*
 * errors.c
 *		Errors about which nothing was done, those that are alike in one row, with
 *		buttons that deal with all of their jobs.
 */
#include "dashboard/pages.h"

#include <stdlib.h>

#include "dashboard/dashboard.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"

/* Rows that are shown */
#define MAX_ERRORS		"200"

/* Milliseconds: it looks at all failures about which nothing was done */
#define ERRORS_TIMEOUT	2000

/* Append how many jobs there are in a state, with a link to them */
static void
count_link(Page *page, const PGresult *res, int row, const char *state)
{
	if (result_int64(res, row, state) == 0)
	{
		part_count_cell(page, res, row, state, "");
		return;
	}
	html_add(page->out, "<td class=\"num\"><a href=\"/jobs?state=%s&amp;fingerprint=%s\">", state,
			 result_text(res, row, "fingerprint"));
	html_count(page->out, result_number(res, row, state));
	buffer_add(page->out, "</a></td>");
}

/* Append the cells of one error */
static void
error_cells(Page *page, const PGresult *res, int row)
{
	Buffer	   *out = page->out;
	const char *function = result_text(res, row, "function");
	const char *id = result_text(res, row, "last_job_id");

	buffer_add(out, "<tr><td><a href=\"/function?name=");
	html_url(out, function);
	buffer_add(out, "\">");
	html_function(out, function);
	html_add(out, "</a></td><td><span class=\"is-bad\"><code>%s</code> %s</span><br><a class=\"small\" href=\"/job?id=%s\">last: job %s</a></td>",
			 result_text(res, row, "sqlstate"), result_text(res, row, "error"), id, id);
	count_link(page, res, row, "failed");
	count_link(page, res, row, "retrying");
	buffer_add(out, "<td>");
	html_time(out, result_value(res, row, "first_at"), page->now);
	buffer_add(out, "</td><td>");
	html_time(out, result_value(res, row, "last_at"), page->now);
	buffer_add(out, "</td>");
}

/* Append what can be done with all jobs of one error that have failed for good */
static void
error_buttons(Page *page, const PGresult *res, int row)
{
	const char *fingerprint = result_text(res, row, "fingerprint");
	const char *n = result_text(res, row, "failed");
	bool		many = result_int64(res, row, "failed") != 1;

	buffer_add(page->out, "<td><div class=\"actions\">");
	if (result_int64(res, row, "failed") > 0)
	{
		char	   *label = many ? xprintf("Retry all %s", n) : xstrdup("Retry it");
		char	   *retry = xprintf("Take %s failed job%s on again?", n, many ? "s" : "");
		char	   *close = xprintf("Is nothing to be done about %s failed job%s?", n, many ? "s" : "");

		part_button(page, "retry-error", "fingerprint", fingerprint, label, "primary", retry);
		part_button(page, "acknowledge-error", "fingerprint", fingerprint, "Acknowledge", "", close);
		free(label);
		free(retry);
		free(close);
	}
	buffer_add(page->out, "</div></td></tr>\n");
}

/* /errors: jobs that need attention, by what they have in common */
void
page_errors(Page *page)
{
	static const char *const sql =
		"SELECT e.fingerprint, e.function, e.sqlstate, e.error, e.failed, e.retrying, e.first_at, e.last_at, e.last_job_id"
		" FROM defer.errors e ORDER BY e.failed DESC, e.retrying DESC, e.last_at DESC, e.fingerprint LIMIT " MAX_ERRORS;
	static const char *const titles[] = {
		"Function", "Error", "#Failed", "#Retrying", "First", "Last", "For all that failed", NULL
	};
	PGresult   *res = page_query_within(page, ERRORS_TIMEOUT, sql, 0, NULL);

	buffer_add(page->out, "<h1>Errors</h1>\n<section class=\"card\" aria-label=\"Errors\">\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "No job is being retried, and none has failed about which nothing was done.");
	else if (result_good(res))
	{
		part_table_begin(page, titles, "errors");
		for (int i = 0; i < PQntuples(res); i++)
		{
			error_cells(page, res, i);
			error_buttons(page, res, i);
		}
		part_table_end(page);
	}
	else if (page->timed_out)
		part_empty(page, "There are too many to be shown here: use defer errors, or the view defer.errors.");
	buffer_add(page->out, "</section>\n");
	PQclear(res);
}
