/*
 * filter.c
 *		The filter of the page Jobs: its form, and a tab for each state.
 *
 * Tabs have counts where these cost the same however many jobs there are: without
 * a filter, or with a function or a queue.  What has ended is counted by the server,
 * by the hour; unfinished jobs are read, or a sample of them.
 */
#include "dashboard/filter.h"

#include <stdlib.h>
#include <string.h>

#include "dashboard/html.h"
#include "dashboard/parts.h"

/* Fields of the address that are no filter of the counts */
static const char *const uncounted[] = {
	"group", "error", "metadata", "args", "key", "owner", "parent", "schedule", "since", "until", "ended_since", "ended_until",
	"fingerprint"
};

/* ------------------------------------------------------------------------
 * Addresses
 * ------------------------------------------------------------------------ */

/* Append the address of this list, to be continued: without a field, and from its top */
void
filter_address(Buffer *out, const char *path, const Request *request, const char *without)
{
	html_add(out, "%s?", path);
	for (int i = 0; i < request->nquery; i++)
	{
		const Field *field = &request->query[i];

		if (strcmp(field->name, "before") == 0 || strcmp(field->name, "after") == 0 ||
			strcmp(field->name, without) == 0 ||
			field->value[0] == '\0')
			continue;
		html_url(out, field->name);
		buffer_char(out, '=');
		html_url(out, field->value);
		buffer_add(out, "&amp;");
	}
}

/* Return a pattern for ILIKE that contains a text; allocated, NULL stays NULL */
char *
filter_pattern(const char *part)
{
	Buffer		out = {0};

	if (part == NULL)
		return NULL;
	buffer_char(&out, '%');
	for (; *part != '\0'; part++)
	{
		if (strchr("\\%_", *part) != NULL)
			buffer_char(&out, '\\');
		buffer_char(&out, *part);
	}
	buffer_char(&out, '%');
	return out.data;
}

/* ------------------------------------------------------------------------
 * Tabs
 * ------------------------------------------------------------------------ */

/* Count jobs by state; NULL: the filter has something that cannot be counted at once */
static PGresult *
count_states(Page *page)
{
	static const char *const sql =
		"WITH h AS MATERIALIZED (SELECT pg_catalog.sum(c.succeeded) AS succeeded, pg_catalog.sum(c.failed) AS failed,"
		" pg_catalog.sum(c.cancelled) AS cancelled, pg_catalog.sum(c.discarded) AS discarded FROM defer.job_hours c"
		" WHERE ($1::text IS NULL OR c.function ILIKE $1 OR c.function = $2) AND ($3::text IS NULL OR c.queue = $3))"
		" SELECT l.state, pg_catalog.sum(l.weight) AS jobs, pg_catalog.max(l.weight) > 1 AS estimated"
		" FROM defer.live_sample() l"
		" WHERE ($1::text IS NULL OR l.function ILIKE $1 OR l.function = $2) AND ($3::text IS NULL OR l.queue = $3)"
		" GROUP BY 1 UNION ALL SELECT e.state, e.jobs, false FROM h CROSS JOIN LATERAL"
		" (VALUES ('succeeded', h.succeeded), ('failed', h.failed),"
		" ('cancelled', h.cancelled), ('discarded', h.discarded)) e (state, jobs)";
	const char *function = request_query(page->request, "function");
	const char *queue = request_query(page->request, "queue");
	char	   *pattern = filter_pattern(function);
	const char *values[] = {pattern, function, queue};
	PGresult   *res;

	for (size_t i = 0; i < lengthof(uncounted); i++)
	{
		if (request_query(page->request, uncounted[i]) != NULL)
		{
			free(pattern);
			return NULL;
		}
	}
	res = page_query(page, sql, lengthof(values), values);
	free(pattern);
	return res;
}

/* Append a tab; state NULL: all jobs; counts NULL, or of a query that failed: without a number */
static void
tab(Page *page, const char *state, const PGresult *counts)
{
	Buffer	   *out = page->out;
	const char *here = request_query(page->request, "state");
	bool		current = state == NULL ? here == NULL : here != NULL && strcmp(here, state) == 0;
	double		n = 0;
	bool		about = false;

	for (int i = 0; counts != NULL && i < PQntuples(counts); i++)
	{
		if (state != NULL && strcmp(result_text(counts, i, "state"), state) != 0)
			continue;
		n += result_number(counts, i, "jobs");
		about |= result_true(counts, i, "estimated");
	}
	buffer_add(out, "<li><a href=\"");
	filter_address(out, "/jobs", page->request, "state");
	if (state != NULL)
		html_add(out, "state=%s", state);
	html_add(out, "\"%s>%s", current ? " aria-current=true" : "", state == NULL ? "all" : state);
	if (counts != NULL && result_good(counts))
	{
		html_add(out, " <span class=\"n%s\">", n > 0 ? "" : " zero");
		html_count_about(out, n, about);
		buffer_add(out, "</span>");
	}
	buffer_add(out, "</a></li>\n");
}

/* Append a tab for each state, with the number of jobs where it is cheap */
void
filter_tabs(Page *page)
{
	static const char *const states[PARTS_STATES] = {
		"running", "queued", "retrying", "scheduled", "waiting", "failed", "succeeded", "cancelled", "discarded"
	};
	PGresult   *counts = count_states(page);

	buffer_add(page->out, "<nav class=\"tabs\" aria-label=\"States\"><ul>\n");
	tab(page, NULL, counts);
	for (int i = 0; i < PARTS_STATES; i++)
		tab(page, states[i], counts);
	buffer_add(page->out, "</ul></nav>\n");
	PQclear(counts);
}

/* ------------------------------------------------------------------------
 * The form
 * ------------------------------------------------------------------------ */

/* Append the names to choose from: a list with an id, of the column "name" */
static void
known_names(Page *page, const char *id, const char *sql)
{
	PGresult   *res = page_query(page, sql, 0, NULL);

	html_add(page->out, "<datalist id=\"%s\">", id);
	for (int i = 0; i < PQntuples(res); i++)
		html_add(page->out, "<option value=\"%s\"></option>", result_text(res, i, "name"));
	buffer_add(page->out, "</datalist>");
	PQclear(res);
}

/* A text field of the form */
typedef struct FilterField
{
	const char *name;
	const char *label;
	const char *placeholder;
	const char *title;
	bool		always;			/* also where the address does not have it */
} FilterField;

/* Append a field of the form, filled in with what the address has */
static void
filter_field(Page *page, const FilterField *field)
{
	const char *value = request_query(page->request, field->name);
	bool		function = strcmp(field->name, "function") == 0;
	bool		queue = strcmp(field->name, "queue") == 0;

	if (value == NULL && !field->always)
		return;
	html_add(page->out, "<div><label for=\"f-%s\">%s</label><input id=\"f-%s\" name=\"%s\" value=\"%s\" placeholder=\"%s\" title=\"%s\" spellcheck=\"false\"%s>",
			 field->name, field->label, field->name, field->name, value, field->placeholder,
			 field->title,
			 function ? " list=functions" : queue ? " list=queues" : "");
	if (function)
		known_names(page, "functions", "SELECT s.function AS name FROM defer.statistics s WHERE s.function <> ''"
					" UNION SELECT t.name FROM defer.settings t WHERE t.kind = 'function' ORDER BY 1 LIMIT 200");
	if (queue)
		known_names(page, "queues", "SELECT t.name FROM defer.settings t WHERE t.kind = 'queue' ORDER BY 1 LIMIT 200");
	buffer_add(page->out, "</div>\n");
}

/* Append the form of the filter */
void
filter_form(Page *page)
{
	static const FilterField fields[] = {
		{"function", "Function", "part of name", "A part of the name, or the whole signature", true},
		{"args", "Arguments", "42, {\"id\": 42}", "A number, a \"text\", or JSON that the arguments contain as they were given", true},
		{"key", "Key", "", "The whole key", true},
		{"queue", "Queue", "", "The whole name", true},
		{"group", "Group", "", "The whole name", true},
		{"owner", "Owner", "", "The role that the jobs run as", true},
		{"error", "Error", "part of text", "A part of the message, or the SQLSTATE", true},
		{"metadata", "Metadata", "{\"key\": 1}", "JSON that the metadata contains", true},
		{"since", "Enqueued since", "-1 hour", "A time, or how long ago: -1 hour", true},
		{"until", "and until", "-5 min", "A time, or how long ago: -5 min", true},
		{"fingerprint", "Fingerprint", "", "That of the error, on the page Errors", false},
		{"ended_since", "Ended since", "", "A time: ended at it or later, or, if unfinished, enqueued", false},
		{"ended_until", "and before", "", "A time: ended before, or, if unfinished, enqueued", false},
		{"parent", "Parent", "", "The id of the job that enqueued it", false},
		{"schedule", "Schedule (id)", "", "The id of the schedule", false},
	};
	const char *state = request_query(page->request, "state");
	Buffer	   *out = page->out;

	buffer_add(out, "<form method=\"get\" action=\"/jobs\" class=\"filters card\" role=\"search\" aria-label=\"Filter jobs\">\n");
	if (state != NULL)
		part_hidden(page, "state", state);
	if (request_query(page->request, "order") != NULL)
		part_hidden(page, "order", request_query(page->request, "order"));
	for (size_t i = 0; i < lengthof(fields); i++)
		filter_field(page, &fields[i]);
	buffer_add(out, "<div class=\"buttons\"><button class=\"primary\">Filter</button> <a class=\"button\" href=\"/jobs\">Clear</a></div>\n</form>\n");
}
