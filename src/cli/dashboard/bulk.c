/*
 * bulk.c
 *		All jobs that the filter of the page Jobs shows: links to act on them, and
 *		the page that says how many they are and asks.
 *
 * The set is taken anew when the form is sent.
 */
#include "dashboard/bulk.h"

#include <stdlib.h>
#include <string.h>

#include "dashboard/dashboard.h"
#include "dashboard/html.h"
#include "dashboard/pages.h"
#include "dashboard/parts.h"

/* Milliseconds for counting */
#define COUNT_TIMEOUT	2000

typedef struct BulkAction
{
	const char *name;			/* of the address */
	const char *title;
	const char *action;			/* of the form */
	const char *count_sql;
	const char *button;
	bool		finished;		/* it is about jobs that have ended, else
								 * about those that have not */
	bool		failed;			/* about failed ones only */
} BulkAction;

#define COUNT(function) \
	"SELECT COALESCE(pg_catalog.sum(d.matched), 0) AS n FROM " BULK_FUNCTIONS \
	" CROSS JOIN LATERAL defer." function "(" BULK_ARGUMENTS ", dry_run => true) d"

static const BulkAction bulk_actions[] = {
	{"cancel", "Cancel jobs", "cancel-jobs", COUNT("cancel_jobs"), "Cancel them", false},
	{"reschedule", "Reschedule jobs", "reschedule-jobs", COUNT("reschedule_jobs"), "Move them", false},
	{"retry", "Retry failed jobs", "retry-jobs", COUNT("retry_jobs"), "Retry them", true, true},
	{"acknowledge", "Acknowledge failures", "acknowledge-jobs", COUNT("acknowledge_jobs"), "Acknowledge them", true, true},
	{"rerun", "Run jobs again", "rerun-jobs", COUNT("rerun_jobs"), "Run them again", true},
};

static const char *const fields[BULK_NFIELDS] = {BULK_FIELDS};

/* Report whether the action can do something with jobs of the state that is asked for */
static bool
goes_with_state(const BulkAction *action, const char *state)
{
	if (action->failed)
		return state != NULL && strcmp(state, "failed") == 0;
	if (state == NULL)
		return true;
	for (int i = 0; i < PARTS_STATES; i++)
	{
		if (strcmp(parts_states[i], state) == 0)
			return action->finished == (i < PARTS_FINAL) &&
				(strcmp(state, "running") != 0 || strcmp(action->name, "cancel") == 0);
	}
	return false;
}

/* Append an address with the filter of this page; "what" is its field "do", NULL: none */
static void
filter_url(Buffer *out, const Request *request, const char *path, const char *what)
{
	html_add(out, "%s?", path);
	if (what != NULL)
		html_add(out, "do=%s&amp;", what);
	for (int i = 0; i < BULK_NFIELDS; i++)
	{
		const char *value = request_query(request, fields[i]);

		if (value == NULL)
			continue;
		html_add(out, "%s=", fields[i]);
		html_url(out, value);
		buffer_add(out, "&amp;");
	}
}

/* Append links to act on all jobs that the filter shows, if there is a filter */
void
bulk_links(Page *page)
{
	Request    *request = page->request;
	Buffer	   *out = page->out;
	bool		filtered = false;

	for (int i = 0; i < BULK_NFIELDS; i++)
		filtered |= request_query(request, fields[i]) != NULL;
	if (!filtered || dashboard.read_only)
		return;
	if (request_query(request, "since") != NULL || request_query(request, "until") != NULL)
	{
		buffer_add(out, "<p class=\"quiet\">To act on all of these jobs, clear the times.</p>\n");
		return;
	}
	buffer_add(out, "<nav class=\"actions\" aria-label=\"All of these jobs\">");
	for (size_t i = 0; i < lengthof(bulk_actions); i++)
	{
		if (!goes_with_state(&bulk_actions[i], request_query(request, "state")))
			continue;
		buffer_add(out, "<a class=\"button\" href=\"");
		filter_url(out, request, "/bulk", bulk_actions[i].name);
		html_add(out, "\">%s\xe2\x80\xa6</a> ", bulk_actions[i].title);
	}
	buffer_add(out, "</nav>\n");
}

/* Append what the filter says */
static void
show_filter(Page *page)
{
	Buffer	   *out = page->out;

	buffer_add(out, "<dl class=\"facts\">");
	for (int i = 0; i < BULK_NFIELDS; i++)
	{
		const char *value = request_query(page->request, fields[i]);

		if (value != NULL)
			html_add(out, "<div><dt>%s</dt><dd>%s</dd></div>", fields[i], value);
	}
	buffer_add(out, "</dl>\n");
}

/* Append the form that does it */
static void
show_form(Page *page, const BulkAction *action)
{
	Buffer	   *out = page->out;
	Buffer		back = {0};

	/* an address of a form: html_url() for what is in it, and no markup */
	buffer_add(&back, "/jobs");
	for (int i = 0; i < BULK_NFIELDS; i++)
	{
		const char *value = request_query(page->request, fields[i]);

		if (value == NULL)
			continue;
		buffer_char(&back, strchr(back.data, '?') == NULL ? '?' : '&');
		buffer_add(&back, fields[i]);
		buffer_char(&back, '=');
		html_url(&back, value);
	}
	part_form_begin(page, action->action, "bulk", back.data, NULL);
	buffer_free(&back);
	for (int i = 0; i < BULK_NFIELDS; i++)
	{
		if (request_query(page->request, fields[i]) != NULL)
			part_hidden(page, fields[i], request_query(page->request, fields[i]));
	}
	if (strcmp(action->name, "cancel") == 0)
		buffer_add(out, "<label class=\"check\"><input type=\"checkbox\" name=\"force\" value=\"1\"> also stop those that run</label>");
	if (strcmp(action->name, "acknowledge") == 0)
		buffer_add(out, "<label>Note <input name=\"note\" maxlength=\"1000\"></label>");
	if (strcmp(action->name, "reschedule") == 0)
		html_add(out, "<label>New time in %s, empty: now <input type=\"datetime-local\" name=\"run_at\" step=\"1\"></label>",
				 page->zone);
	html_add(out, "<button class=\"%s\">%s</button></form>\n",
			 strcmp(action->name, "cancel") == 0 ? "danger" : "primary", action->button);
}

/* /bulk: how many jobs pass the filter, and the button to act on them */
void
page_bulk(Page *page)
{
	const char *what = request_query(page->request, "do");
	const BulkAction *action = NULL;
	const char *values[BULK_NFIELDS];
	Buffer	   *out = page->out;
	PGresult   *res;

	for (size_t i = 0; i < lengthof(bulk_actions); i++)
	{
		if (what != NULL && strcmp(bulk_actions[i].name, what) == 0)
			action = &bulk_actions[i];
	}
	if (action == NULL || dashboard.read_only)
	{
		page->request->status = 404;
		buffer_add(out, "<h1>Not found</h1>\n");
		part_empty(page, "There is no such action.");
		return;
	}
	for (int i = 0; i < BULK_NFIELDS; i++)
		values[i] = request_query(page->request, fields[i]);
	res = page_query_within(page, COUNT_TIMEOUT, action->count_sql, BULK_NFIELDS, values);
	html_add(out, "<h1>%s</h1>\n<section class=\"card\" aria-label=\"%s\">\n", action->title, action->title);
	if (result_good(res))
	{
		double		n = result_number(res, 0, "n");

		buffer_add(out, "<p class=\"words\"><strong id=\"bulk-count\">");
		html_count(out, n);
		html_add(out, "</strong> job%s that you may manage pass%s this filter:</p>\n",
				 n == 1 ? "" : "s", n == 1 ? "es" : "");
	}
	else if (page->timed_out)
		part_empty(page, "There are more jobs than can be counted here: narrow the filter, or use the program defer.");
	show_filter(page);
	if (result_good(res) && result_number(res, 0, "n") > 0)
		show_form(page, action);
	buffer_add(out, "<p><a href=\"");
	filter_url(out, page->request, "/jobs", NULL);
	buffer_add(out, "\">Back to the list</a></p>\n</section>\n");
	PQclear(res);
}
