/*
 * parts.c
 *		Parts that several pages have: buttons, tables, links to jobs.
 */
#include "dashboard/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dashboard/dashboard.h"
#include "dashboard/html.h"

const char *const parts_states[PARTS_STATES] = {
	"succeeded", "failed", "cancelled", "discarded", "running", "retrying", "queued", "scheduled",
	"waiting"
};

/* Append a field of a form that is not seen */
void
part_hidden(Page *page, const char *name, const char *value)
{
	html_add(page->out, "<input type=\"hidden\" name=\"%s\" value=\"%s\">", name, value);
}

/*
 * Open the form of an action.  back: the page that it leads to, NULL: this one.
 * confirm, unless NULL, is what the script asks before the form is sent.  Live
 * updates leave a form alone unless its class is "action".
 */
void
part_form_begin(Page *page, const char *action, const char *class, const char *back,
				const char *confirm)
{
	Buffer	   *out = page->out;

	html_add(out, "<form method=\"post\" action=\"/do/%s\" class=\"%s\"", action, class);
	if (confirm != NULL)
		html_add(out, " data-confirm=\"%s\"", confirm);
	buffer_char(out, '>');
	part_hidden(page, "csrf", page->session->csrf);
	if (back != NULL)
	{
		part_hidden(page, "back", back);
		return;
	}
	html_add(out, "<input type=\"hidden\" name=\"back\" value=\"%s", page->request->path);
	for (int i = 0; i < page->request->nquery; i++)
	{
		buffer_char(out, i == 0 ? '?' : ';');
		html_url(out, page->request->query[i].name);
		buffer_char(out, '=');
		html_url(out, page->request->query[i].value);
	}
	buffer_add(out, "\">");
}

/* Append a button: a form of its own with one field */
void
part_button(Page *page, const char *action, const char *name, const char *value,
			const char *label, const char *class, const char *confirm)
{
	if (dashboard.read_only)
		return;
	part_form_begin(page, action, "action", NULL, confirm);
	part_hidden(page, name, value);
	html_add(page->out, "<button class=\"%s\">%s</button></form>", class, label);
}

/*
 * Append a button that copies a text; NULL: that of the next <pre>.  It needs the
 * script, which shows it.
 */
void
part_copy(Page *page, const char *text, const char *label)
{
	html_add(page->out, "<button type=\"button\" class=\"plain copy\" hidden title=\"%s\" aria-label=\"%s\"", label, label);
	if (text != NULL)
		html_add(page->out, " data-copy=\"%s\"", text);
	buffer_add(page->out, ">Copy</button>");
}

/* Append a text with its heading; NULL: nothing */
void
part_block(Page *page, const char *title, const char *value, bool json)
{
	char	   *label;

	if (value == NULL)
		return;
	label = xprintf("Copy: %s", title);
	html_add(page->out, "<h3>%s ", title);
	part_copy(page, NULL, label);
	free(label);
	buffer_add(page->out, "</h3><pre tabindex=\"0\">");
	if (json)
		html_json(page->out, value);
	else
		html_block(page->out, value);
	buffer_add(page->out, "</pre>\n");
}

/* Append what stands in place of an empty list */
void
part_empty(Page *page, const char *text)
{
	html_add(page->out, "<p class=\"empty\">%s</p>\n", text);
}

/* Append how far a fan-out is: a bar of its states, and the numbers */
void
part_progress(Page *page, const double *by_state, double total, const char *label)
{
	Buffer	   *out = page->out;
	double		x = 0;
	double		done = by_state[0] + by_state[1] + by_state[2] + by_state[3];
	double		percent = total > 0 ? floor(100 * done / total) : 0;

	html_add(out, "<svg class=\"stack\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s: %.0f%% done\">",
			 label, percent);
	buffer_add(out, "<rect class=\"track\" width=\"1000\" height=\"10\"/>");
	for (int i = 0; i < PARTS_STATES && total > 0; i++)
	{
		double		width = by_state[i] / total * 1000;

		if (i < 6 && by_state[i] > 0)
			html_add(out, "<rect class=\"fill-%s\" x=\"%.2f\" width=\"%.2f\" height=\"10\"/>", parts_states[i], x, width < 2 ? 2 : width);
		x += width;
	}
	html_add(out, "</svg><p class=\"legend\"><strong>%.0f%%</strong>", percent);
	for (int i = 0; i < PARTS_STATES; i++)
	{
		if (by_state[i] <= 0)
			continue;
		html_add(out, " <span class=\"state is-%s\">", parts_states[i]);
		html_count_about(out, by_state[i], page->estimated);
		html_add(out, " %s</span>", parts_states[i]);
	}
	buffer_add(out, "</p>\n");
}

/* Append a cell with a duration */
void
part_seconds_cell(Page *page, const PGresult *res, int row, const char *column)
{
	buffer_add(page->out, "<td class=\"num\">");
	if (result_value(res, row, column) != NULL)
		html_seconds(page->out, result_number(res, row, column));
	buffer_add(page->out, "</td>");
}

/* Append a cell with a count; class is for counts above 0 */
void
part_count_cell(Page *page, const PGresult *res, int row, const char *column, const char *class)
{
	double		count = result_number(res, row, column);

	html_add(page->out, "<td class=\"num %s\">", count > 0 ? class : "zero");
	/* those that run are always counted one by one */
	html_count_about(page->out, count, page->estimated && strcmp(column, "running") != 0);
	buffer_add(page->out, "</td>");
}

/* Open a table; a title with # in front is that of numbers; NULL ends them */
void
part_table_begin(Page *page, const char *const *titles, const char *class)
{
	html_add(page->out, "<div class=\"scroll\" tabindex=\"0\"><table class=\"%s\"><thead><tr>", class);
	for (; *titles != NULL; titles++)
	{
		bool		number = (*titles)[0] == '#';

		html_add(page->out, "<th scope=\"col\"%s>%s</th>", number ? " class=num" : "", *titles + (number ? 1 : 0));
	}
	buffer_add(page->out, "</tr></thead><tbody>\n");
}

void
part_table_end(Page *page)
{
	buffer_add(page->out, "</tbody></table></div>\n");
}

/* Append a link to each job of a list: "12:failed 13:queued" */
void
part_job_links(Page *page, const char *list)
{
	Buffer	   *out = page->out;

	buffer_add(out, "<ul class=\"leaves\">");
	while (*list != '\0')
	{
		size_t		len = strcspn(list, " ");
		char	   *job = xprintf("%.*s", (int) len, list);
		char	   *state = strchr(job, ':');

		if (state != NULL)
		{
			*state++ = '\0';
			html_add(out, "<li><a href=\"/job?id=%s\"><span class=\"state is-%s\">%s</span><span class=\"spoken\"> %s</span></a></li>",
					 job, state, job, state);
		}
		free(job);
		list += len + (list[len] == ' ');
	}
	buffer_add(out, "</ul>");
}

/* ------------------------------------------------------------------------
 * Jobs that failed last
 * ------------------------------------------------------------------------ */

/* Failed jobs that one search finds: those with the largest ids */
#define FAILED_FOUND		"500"

/* Milliseconds for the searches by time */
#define FAILURES_TIMEOUT	300

/*
 * Find the jobs that failed last.  Jobs are found by id, but one can fail long
 * after others that are younger.  So, if there are more than one search finds,
 * several periods are searched, the longest without an end, and what they find
 * is compared.  One can still be missed if more than FAILED_FOUND younger jobs
 * failed in the same period.
 */
static PGresult *
find_failures(Page *page, const char *function, const char *n)
{
	static const char *const sql =
		"WITH i AS MATERIALIZED (SELECT DISTINCT f.id FROM pg_catalog.unnest($3::interval[]) p (period)"
		" CROSS JOIN LATERAL defer.find_jobs('{failed}', function => $1,"
		" since => pg_catalog.statement_timestamp() - p.period, n => " FAILED_FOUND ") f (id))"
		" SELECT j.id, j.function, j.finished_at, pg_catalog.left(j.error, 300) AS error,"
		" (SELECT pg_catalog.count(*) FROM i) AS found"
		" FROM defer.jobs j WHERE j.id = ANY (ARRAY(SELECT i.id FROM i))"
		" ORDER BY j.finished_at DESC, j.id DESC LIMIT $2::integer";
	const char *values[] = {function, n, "{NULL}"};
	PGresult   *newest = page_query(page, sql, 3, values);
	bool		timed_out = page->timed_out;
	PGresult   *res;

	if (result_int64(newest, 0, "found") < strtoll(FAILED_FOUND, NULL, 10))
		return newest;
	values[2] = "{NULL,1 day,1 hour,1 min,1 s}";
	res = page_query_within(page, FAILURES_TIMEOUT, sql, 3, values);
	if (result_good(res))
	{
		PQclear(newest);
		return res;
	}
	page->timed_out = timed_out;	/* the newest are shown instead */
	PQclear(res);
	return newest;
}

/* Append the list of the n jobs that failed last; function NULL: of all functions */
void
part_failures(Page *page, const char *function, int n)
{
	Buffer	   *out = page->out;
	char		count[12];
	PGresult   *res;

	snprintf(count, sizeof(count), "%d", n);
	res = find_failures(page, function, count);
	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-failed\"><div class=\"head\"><h2 id=\"h-failed\">Failed last</h2>"
			   "<a href=\"/jobs?state=failed");
	if (function != NULL)
	{
		buffer_add(out, "&amp;function=");
		html_url(out, function);
	}
	buffer_add(out, "\">All</a></div>\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "No job has failed.");
	else if (result_good(res))
		buffer_add(out, "<ul class=\"failures\">\n");
	for (int i = 0; i < PQntuples(res); i++)
	{
		const char *id = result_text(res, i, "id");

		html_add(out, "<li><a href=\"/job?id=%s\">Job %s</a> ", id, id);
		if (function == NULL)
		{
			buffer_add(out, "<a href=\"/function?name=");
			html_url(out, result_text(res, i, "function"));
			buffer_add(out, "\">");
			html_function(out, result_text(res, i, "function"));
			buffer_add(out, "</a> ");
		}
		buffer_add(out, "<span class=\"quiet\">");
		html_time(out, result_value(res, i, "finished_at"), page->now);
		html_add(out, "</span><p class=\"error-text\">%s</p></li>\n", result_text(res, i, "error"));
	}
	if (PQntuples(res) > 0)
		buffer_add(out, "</ul>\n");
	buffer_add(out, "</section>\n");
	PQclear(res);
}
