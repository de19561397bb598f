/*
 * jobs.c
 *		The page Jobs: a list of the jobs that pass the filter of the address.
 */
#include "dashboard/pages.h"

#include <string.h>

#include "dashboard/bulk.h"
#include "dashboard/filter.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"
#include "dashboard/search.h"

#define PAGE_ROWS	50

/* Seconds that the search may take */
#define SEARCH_TIME	0.12

#define JOB_COLUMNS \
	"j.id, j.function, j.state, j.queue, j.group_key, j.run_at, j.enqueued_at, j.started_at, j.finished_at," \
	" pg_catalog.date_part('epoch', j.duration) AS seconds, j.attempt, j.max_attempts," \
	" pg_catalog.left(j.error, 200) AS error, j.progress, j.schedule, pg_catalog.left(j.args::text, 120) AS args"

/* ------------------------------------------------------------------------
 * The list
 * ------------------------------------------------------------------------ */

/* Append a row of the list */
static void
job_row(Page *page, const PGresult *res, int row)
{
	Buffer	   *out = page->out;
	const char *state = result_text(res, row, "state");
	const char *id = result_text(res, row, "id");
	const char *when = result_value(res, row, "finished_at");
	bool		failed = strcmp(state, "failed") == 0 || strcmp(state, "retrying") == 0;

	if (when == NULL)
		when = result_value(res, row, strcmp(state, "running") == 0 ? "started_at" : "run_at");
	html_add(out, "<tr><td class=\"num\"><a href=\"/job?id=%s\">%s</a></td><td>", id, id);
	html_function(out, result_text(res, row, "function"));
	if (result_value(res, row, "schedule") != NULL)
		html_add(out, " <span class=\"tag\">%s</span>", result_text(res, row, "schedule"));
	buffer_add(out, "</td><td>");
	html_state(out, state);
	if (result_value(res, row, "progress") != NULL)
		html_add(out, " <progress max=\"1\" value=\"%s\">%.0f %%</progress>", result_text(res, row, "progress"),
				 100 * result_number(res, row, "progress"));
	html_add(out, "</td><td class=\"cut\"><code>%s</code>", result_text(res, row, "args"));
	if (failed && result_value(res, row, "error") != NULL)
		html_add(out, "<span class=\"is-bad\">%s</span>", result_text(res, row, "error"));
	html_add(out, "</td><td>%s", result_text(res, row, "queue"));
	if (result_value(res, row, "group_key") != NULL)
		html_add(out, " <span class=\"tag\">%s</span>", result_text(res, row, "group_key"));
	html_add(out, "</td><td class=\"num\">%s<span class=\"quiet\">/%s</span></td><td class=\"num\">",
			 result_text(res, row, "attempt"), result_text(res, row, "max_attempts"));
	if (result_value(res, row, "seconds") != NULL)
		html_seconds(out, result_number(res, row, "seconds"));
	buffer_add(out, "</td><td>");
	html_time(out, when, page->now);
	buffer_add(out, "</td></tr>\n");
}

/* Append a link to this page, to be continued from an id */
static void
page_link(Page *page, const Search *search, const char *label, const char *id)
{
	Buffer	   *out = page->out;

	html_add(out, "<a class=\"button\" rel=\"next\" id=\"%s\" href=\"", id);
	filter_address(out, "/jobs", page->request, "before");
	html_add(out, "%s=%lld\">%s</a>", search->oldest_first ? "after" : "before",
			 (long long) search->reached, label);
}

/* Append how far the search came, and the way on */
static void
pager(Page *page, const Search *search)
{
	buffer_add(page->out, "<nav class=\"pager\" aria-label=\"Pages of jobs\">");
	if (search->more && !search->full)
	{
		html_add(page->out, "<p class=\"quiet\">Searched ids %s to %lld", search->oldest_first ? "up" : "down",
				 (long long) search->reached);
		buffer_add(page->out, search->found > 0 ? ".</p>" : ", none found yet.</p>");
		page_link(page, search, "Search further", "further");
	}
	else if (search->more)
		page_link(page, search, search->oldest_first ? "Newer jobs" : "Older jobs", "older");
	buffer_add(page->out, "</nav>");
}

/* Append links to the list in the other order, and as a file */
static void
list_links(Page *page, const Search *search)
{
	Buffer	   *out = page->out;

	buffer_add(out, "<nav class=\"list-links\" aria-label=\"The list\">");
	if (search_has_order(search))
	{
		buffer_add(out, "<a id=\"order\" href=\"");
		filter_address(out, "/jobs", page->request, "order");
		html_add(out, "%s\">%s</a> ", search->oldest_first ? "" : "order=oldest",
				 search->oldest_first ? "Newest first" : "Oldest first");
	}
	buffer_add(out, "<a id=\"csv\" download href=\"");
	filter_address(out, "/jobs.csv", page->request, "before");
	buffer_add(out, "\" title=\"The jobs that pass the filter, up to 10,000\">CSV</a></nav>\n");
}

static void
show_list(Page *page, Search *search)
{
	static const char *const titles[] = {
		"#Id", "Function", "State", "Arguments, and error", "Queue", "#Attempt", "#Duration", "When", NULL
	};
	Buffer	   *out = page->out;
	Buffer		rows = {0};
	bool		good;

	/* the rows first: whether there are any decides what stands above them */
	buffer_add(&rows, "");
	page->out = &rows;
	good = search_run(page, search);
	page->out = out;
	if (good)
	{
		bulk_links(page);
		list_links(page, search);
		if (search->found > 0)
		{
			part_table_begin(page, titles, "jobs");
			buffer_add(out, rows.data);
			part_table_end(page);
		}
		else if (!search->more)
			part_empty(page, request_query(page->request, search->oldest_first ? "after" : "before") != NULL ?
					   "There are no more jobs." :
					   search->filtered ? "No job passes the filter." : "There are no jobs.");
		pager(page, search);
	}
	buffer_free(&rows);
}

/* /jobs: the jobs that pass the filter of the address */
void
page_jobs(Page *page)
{
	Search		search;

	buffer_add(page->out, "<div class=\"title\"><h1>Jobs</h1>"
			   "<form method=\"get\" action=\"/job\" class=\"jump\" role=\"search\" aria-label=\"Go to a job\"><label for=\"jump\">Job</label>"
			   "<input id=\"jump\" name=\"id\" inputmode=\"numeric\" pattern=\"[0-9]+\" required size=\"10\" placeholder=\"id\"><button>Go</button></form></div>\n");
	filter_form(page);
	filter_tabs(page);
	buffer_add(page->out, "<section class=\"card\" aria-label=\"Jobs found\">\n");
	search_begin(&search, page->request, JOB_COLUMNS, PAGE_ROWS, SEARCH_TIME, job_row);
	show_list(page, &search);
	search_end(&search);
	buffer_add(page->out, "</section>\n");
}
