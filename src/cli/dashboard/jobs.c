/*
 * jobs.c
 *		Lists of jobs, one job with everything about it, and a fan-out as a tree.
 *
 * A list goes downwards by id, from a key: the work for a page does not depend
 * on how far down it is.  Where few rows pass the filter it stops looking after a
 * while, and says how far it came: the next page goes on from there.
 */
#include "dashboard/dashboard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS			50

/* Ids that one query looks at: at first, at most; milliseconds for all of them */
#define FIRST_WINDOW		2000
#define LAST_WINDOW			50000
#define SEARCH_TIME			120

static const char *const all_states[] = {
	"running", "queued", "retrying", "scheduled", "succeeded", "failed", "cancelled", "discarded"
};

/* ------------------------------------------------------------------------
 * Lists
 * ------------------------------------------------------------------------ */

#define JOB_COLUMNS \
	"j.id, j.function, j.state, j.queue, j.run_at, j.enqueued_at, j.started_at, j.finished_at," \
	" pg_catalog.date_part('epoch', j.duration) AS seconds, j.attempt, j.max_attempts," \
	" pg_catalog.left(j.error, 200) AS error, j.progress, j.schedule, pg_catalog.left(j.args::text, 120) AS args"

/* The conditions, as parameters $3 on; "" passes everything */
#define JOB_FILTER \
	" ($3::text IS NULL OR j.state = $3) AND ($4::text IS NULL OR j.function ILIKE $4 OR j.function = $10)" \
	" AND ($5::text IS NULL OR j.queue = $5) AND ($6::text IS NULL OR j.sqlstate = $6 OR pg_catalog.strpos(pg_catalog.lower(j.error), pg_catalog.lower($6)) > 0)" \
	" AND ($7::jsonb IS NULL OR j.metadata @> $7::jsonb) AND ($8::bigint IS NULL OR j.parent_id = $8)" \
	" AND ($9::text IS NULL OR j.schedule = $9)"

typedef struct Search
{
	const char *values[10];		/* $1 below this id, $2 not below that one;
								 * $3 and on: filters */
	char		below[24];
	char		least[24];
	int			found;
	double		lowest;			/* how far down we have looked */
	bool		more;			/* there may be more */
	bool		filtered;
} Search;

void
job_table_head(Page *page)
{
	buffer_add(page->out, "<div class=\"scroll\"><table class=\"jobs\"><thead><tr><th scope=\"col\" class=\"num\">Id</th><th scope=\"col\">Function</th>"
			   "<th scope=\"col\">State</th><th scope=\"col\">Arguments, or error</th><th scope=\"col\">Queue</th>"
			   "<th scope=\"col\" class=\"num\">Attempt</th><th scope=\"col\" class=\"num\">Duration</th><th scope=\"col\">When</th></tr></thead><tbody>\n");
}

void
job_row(Page *page, const PGresult *res, int row)
{
	Buffer	   *out = page->out;
	const char *state = result_text(res, row, "state");
	const char *id = result_text(res, row, "id");
	const char *when = result_value(res, row, "finished_at");
	bool		failed = strcmp(state, "failed") == 0 || strcmp(state, "retrying") == 0;

	if (when == NULL)
		when = strcmp(state, "running") == 0 ? result_value(res, row, "started_at") : result_value(res, row, "run_at");
	html(out, "<tr><td class=\"num\"><a href=\"/job?id=%s\">%s</a></td><td>", id, id);
	html_function(out, result_text(res, row, "function"));
	if (result_value(res, row, "schedule") != NULL)
		html(out, " <span class=\"tag\">%s</span>", result_text(res, row, "schedule"));
	buffer_add(out, "</td><td>");
	html_state(out, state);
	if (result_value(res, row, "progress") != NULL)
		html(out, " <progress max=\"1\" value=\"%s\">%.0f %%</progress>", result_text(res, row, "progress"),
			 100 * result_number(res, row, "progress"));
	if (failed && result_value(res, row, "error") != NULL)
		html(out, "</td><td class=\"cut is-bad\">%s", result_text(res, row, "error"));
	else
		html(out, "</td><td class=\"cut\"><code>%s</code>", result_text(res, row, "args"));
	html(out, "</td><td>%s</td><td class=\"num\">%s<span class=\"quiet\">/%s</span></td><td class=\"num\">",
		 result_text(res, row, "queue"), result_text(res, row, "attempt"), result_text(res, row, "max_attempts"));
	if (result_value(res, row, "seconds") != NULL)
		html_seconds(out, result_number(res, row, "seconds"));
	buffer_add(out, "</td><td>");
	html_time(out, when, page->now);
	buffer_add(out, "</td></tr>\n");
}

/* Names to choose from: of what has run since the server was started, and what has settings */
static void
known_functions(Page *page)
{
	PGresult   *res = page_query(page, "SELECT s.function FROM defer.statistics s WHERE s.function <> ''"
								 " UNION SELECT t.name FROM defer.settings t WHERE t.kind = 'function' ORDER BY 1 LIMIT 200", 0, NULL);

	buffer_add(page->out, "<datalist id=\"functions\">");
	for (int i = 0; i < PQntuples(res); i++)
		html(page->out, "<option value=\"%s\"></option>", result_text(res, i, "function"));
	buffer_add(page->out, "</datalist>");
	PQclear(res);
}

static void
filter_form(Page *page)
{
	Request    *request = page->request;
	Buffer	   *out = page->out;
	const char *state = query_field(request, "state");

	buffer_add(out, "<form method=\"get\" action=\"/jobs\" class=\"filters card\" role=\"search\" aria-label=\"Filter jobs\">\n");
	buffer_add(out, "<div><label for=\"f-state\">State</label><select id=\"f-state\" name=\"state\"><option value=\"\">any</option>");
	for (size_t i = 0; i < lengthof(all_states); i++)
		html(out, "<option%s>%s</option>", state != NULL && strcmp(state, all_states[i]) == 0 ? " selected" : "", all_states[i]);
	buffer_add(out, "</select></div>\n");
	html(out, "<div><label for=\"f-function\">Function</label><input id=\"f-function\" name=\"function\" value=\"%s\" placeholder=\"part of its name\" spellcheck=\"false\" list=\"functions\">",
		 query_field(request, "function"));
	known_functions(page);
	buffer_add(out, "</div>\n");
	html(out, "<div><label for=\"f-queue\">Queue</label><input id=\"f-queue\" name=\"queue\" value=\"%s\" size=\"10\" spellcheck=\"false\"></div>\n",
		 query_field(request, "queue"));
	html(out, "<div><label for=\"f-error\">Error</label><input id=\"f-error\" name=\"error\" value=\"%s\" placeholder=\"part of the text, or SQLSTATE\"></div>\n",
		 query_field(request, "error"));
	html(out, "<div><label for=\"f-metadata\">Metadata</label><input id=\"f-metadata\" name=\"metadata\" value=\"%s\" placeholder='{\"customer\": 42}' spellcheck=\"false\"></div>\n",
		 query_field(request, "metadata"));
	html(out, "<div><label for=\"f-since\">Enqueued since</label><input id=\"f-since\" name=\"since\" value=\"%s\" placeholder=\"2026-11-24 08:00, -1 hour\" size=\"16\"></div>\n",
		 query_field(request, "since"));
	html(out, "<div><label for=\"f-until\">and until</label><input id=\"f-until\" name=\"until\" value=\"%s\" size=\"16\"></div>\n",
		 query_field(request, "until"));
	if (query_field(request, "parent") != NULL)
		html(out, "<div><label for=\"f-parent\">Parent</label><input id=\"f-parent\" name=\"parent\" value=\"%s\" size=\"8\" inputmode=\"numeric\"></div>\n",
			 query_field(request, "parent"));
	if (query_field(request, "schedule") != NULL)
		html(out, "<div><label for=\"f-schedule\">Schedule</label><input id=\"f-schedule\" name=\"schedule\" value=\"%s\"></div>\n",
			 query_field(request, "schedule"));
	buffer_add(out, "<div class=\"buttons\"><button class=\"primary\">Filter</button> <a class=\"button\" href=\"/jobs\">Clear</a></div>\n</form>\n");
	buffer_add(out, "<form method=\"get\" action=\"/job\" class=\"jump\" role=\"search\" aria-label=\"Go to a job\"><label for=\"jump\">Job</label>"
			   "<input id=\"jump\" name=\"id\" inputmode=\"numeric\" pattern=\"[0-9]+\" required size=\"10\" placeholder=\"id\"><button>Go</button></form>\n");
}

/* "part" as a pattern for ILIKE in which nothing is special */
static char *
pattern(const char *part)
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

/*
 * The lowest id whose job was enqueued at that time or later.  Ids rise with the
 * time of enqueueing, but for transactions that overlap, so this halves the
 * ids until it has the place.
 */
static double
id_of_time(Page *page, const char *time, bool *given)
{
	static const char *const sql =
	"WITH RECURSIVE t AS (SELECT CASE WHEN $1 ~ '^\\s*-' THEN pg_catalog.statement_timestamp() + $1::interval ELSE $1::timestamptz END AS at),"
	" s (lo, hi, n) AS ("
	" SELECT (SELECT j.id FROM defer.jobs j ORDER BY j.id LIMIT 1), (SELECT j.id + 1 FROM defer.jobs j ORDER BY j.id DESC LIMIT 1), 0"
	" UNION ALL"
	" SELECT CASE WHEN m.enqueued_at < t.at THEN GREATEST(m.id, (s.lo + s.hi) / 2) + 1 ELSE s.lo END,"
	" CASE WHEN m.enqueued_at < t.at THEN s.hi ELSE (s.lo + s.hi) / 2 END, s.n + 1"
	" FROM s CROSS JOIN t CROSS JOIN LATERAL"
	" (SELECT j.id, j.enqueued_at FROM defer.jobs j WHERE j.id >= (s.lo + s.hi) / 2 ORDER BY j.id LIMIT 1) m"
	" WHERE s.lo < s.hi AND s.n < 64)"
	" SELECT lo FROM s ORDER BY n DESC LIMIT 1";
	const char *values[] = {time};
	PGresult   *res = page_query(page, sql, 1, values);
	double		id = 0;

	*given = page_result(page, res) && result_value(res, 0, "lo") != NULL;
	if (*given)
		id = result_number(res, 0, "lo");
	PQclear(res);
	return id;
}

/* Can what is looked for be found without looking at all jobs? */
static bool
is_indexed(const Search *search)
{
	const char *state = search->values[2];

	return (state != NULL && strcmp(state, "succeeded") != 0) || search->values[5] != NULL ||
		search->values[7] != NULL || search->values[8] != NULL || search->values[9] != NULL;
}

static void
show_rows(Page *page, const PGresult *res, Search *search)
{
	for (int i = 0; i < PQntuples(res) && search->found < PAGE_ROWS; i++)
	{
		if (search->found++ == 0)
			job_table_head(page);
		job_row(page, res, i);
		search->lowest = result_number(res, i, "id");
		if (search->found == PAGE_ROWS)
			search->more = true;
	}
}

/* Look downwards, in windows of ids that grow, for as long as a page may take */
static void
search_windows(Page *page, Search *search, double below, double least)
{
	double		begun = monotonic_ms();
	double		window = search->filtered ? FIRST_WINDOW : 400;

	while (search->found < PAGE_ROWS && below > least && monotonic_ms() - begun < SEARCH_TIME)
	{
		double		from = fmax(least, below - window);
		PGresult   *res;

		snprintf(search->below, sizeof(search->below), "%.0f", below);
		snprintf(search->least, sizeof(search->least), "%.0f", from);
		res = page_query(page, "SELECT " JOB_COLUMNS " FROM defer.jobs j WHERE j.id < $1::bigint AND j.id >= $2::bigint AND"
						 JOB_FILTER " ORDER BY j.id DESC LIMIT 51", 10, search->values);
		if (!page_result(page, res))
		{
			PQclear(res);
			return;
		}
		search->lowest = from;
		show_rows(page, res, search);
		if (PQntuples(res) == 0 && !search->filtered)
		{
			/* a gap in the ids: jump over it */
			PGresult   *next = page_query(page, "SELECT j.id FROM defer.jobs j WHERE j.id < $1::bigint ORDER BY j.id DESC LIMIT 1",
										  1, (const char *const[]) {search->least});

			from = PQntuples(next) > 0 ? result_number(next, 0, "id") + 1 : least;
			PQclear(next);
		}
		PQclear(res);
		below = from;
		if (window < LAST_WINDOW)
			window *= 2;
	}
	if (below > least)
		search->more = true;
}

/*
 * The same for what the server has an index for.  Of a function of which only a
 * part of the name is known, more ids are asked for and then looked through.
 */
static void
search_indexed(Page *page, Search *search, double below, double least)
{
	static const char *const sql =
	"WITH i AS MATERIALIZED (SELECT f.id FROM defer.find_jobs("
	"states => CASE WHEN $3::text IS NOT NULL THEN ARRAY[$3] END, function => $10, queue => $5, error => $6,"
	" metadata => $7::jsonb, parent_id => $8::bigint,"
	" schedule_id => (SELECT s.id FROM defer.schedules s WHERE s.name = $9 ORDER BY s.id LIMIT 1),"
	" before => $1::bigint, n => CASE WHEN $4::text IS NOT NULL AND $10::text IS NULL THEN 1000 ELSE 50 END) f (id)),"
	" c AS (SELECT pg_catalog.count(*) AS looked, pg_catalog.min(i.id) AS lowest FROM i)"
	" SELECT " JOB_COLUMNS ", c.looked, c.lowest FROM c"
	" LEFT JOIN defer.jobs j ON j.id = ANY (ARRAY(SELECT i.id FROM i)) AND j.id >= $2::bigint AND" JOB_FILTER
	" ORDER BY j.id DESC NULLS LAST LIMIT 50";
	PGresult   *res;

	snprintf(search->below, sizeof(search->below), "%.0f", below);
	snprintf(search->least, sizeof(search->least), "%.0f", least);
	res = page_query(page, sql, 10, search->values);
	if (page_result(page, res) && PQntuples(res) > 0)
	{
		double		looked = result_number(res, 0, "looked");
		double		lowest = result_number(res, 0, "lowest");

		if (result_value(res, 0, "id") != NULL)
			show_rows(page, res, search);
		if (search->found < PAGE_ROWS)
		{
			search->lowest = lowest;
			search->more = lowest > least && (looked == 1000 || looked == PAGE_ROWS);
		}
	}
	PQclear(res);
}

static double
highest_id(Page *page)
{
	PGresult   *res = page_query(page, "SELECT j.id FROM defer.jobs j ORDER BY j.id DESC LIMIT 1", 0, NULL);
	double		id = PQntuples(res) > 0 ? result_number(res, 0, "id") : 0;

	PQclear(res);
	return id;
}

static double
lowest_id(Page *page)
{
	PGresult   *res = page_query(page, "SELECT j.id FROM defer.jobs j ORDER BY j.id LIMIT 1", 0, NULL);
	double		id = PQntuples(res) > 0 ? result_number(res, 0, "id") : 0;

	PQclear(res);
	return id;
}

/* The address of this page with another key */
static void
page_link(Page *page, double before, const char *label, const char *id)
{
	Buffer	   *out = page->out;

	html(out, "<a class=\"button\" rel=\"next\" id=\"%s\" href=\"/jobs?", id);
	for (int i = 0; i < page->request->nquery; i++)
	{
		if (strcmp(page->request->query[i].name, "before") == 0 || page->request->query[i].value[0] == '\0')
			continue;
		html_url(out, page->request->query[i].name);
		buffer_char(out, '=');
		html_url(out, page->request->query[i].value);
		buffer_add(out, "&amp;");
	}
	html(out, "before=%.0f\">%s</a>", before, label);
}

void
page_jobs(Page *page)
{
	Request    *request = page->request;
	Search		search = {{search.below, search.least, query_field(request, "state"), NULL,
	query_field(request, "queue"), NULL, query_field(request, "metadata"), query_field(request, "parent"), query_field(request, "schedule")}};
	const char *function = query_field(request, "function");
	char	   *function_pattern = pattern(function);
	const char *before = query_field(request, "before");
	double		below = before != NULL ? strtod(before, NULL) : highest_id(page) + 1;
	double		least = lowest_id(page);
	bool		given;

	search.values[3] = function_pattern;
	search.values[5] = query_field(request, "error");

	/* a whole signature, or the name of a delivery */
	search.values[9] = function != NULL && (strchr(function, '(') != NULL || strncmp(function, "defer.", 6) == 0) ? function : NULL;
	for (int i = 2; i < 10; i++)
		search.filtered |= search.values[i] != NULL;
	buffer_add(page->out, "<h1>Jobs</h1>\n");
	filter_form(page);
	if (query_field(request, "since") != NULL)
	{
		double		id = id_of_time(page, query_field(request, "since"), &given);

		least = given ? fmax(least, id) : least;
	}
	if (query_field(request, "until") != NULL)
	{
		double		id = id_of_time(page, query_field(request, "until"), &given);

		below = given ? fmin(below, id) : below;
	}
	if (search.values[7] != NULL)
		least = fmax(least, strtod(search.values[7], NULL) + 1);

	buffer_add(page->out, "<section class=\"card\" aria-label=\"Jobs found\">\n");
	if (is_indexed(&search))
		search_indexed(page, &search, below, least);
	else
		search_windows(page, &search, below, least);
	if (search.found > 0)
		buffer_add(page->out, "</tbody></table></div>\n");
	else if (!search.more)
		empty_note(page, before != NULL ? "There are no more jobs." : search.filtered ? "No job passes the filter." : "There are no jobs.");
	buffer_add(page->out, "<nav class=\"pager\" aria-label=\"Pages of jobs\">");
	if (search.more && search.found < PAGE_ROWS)
	{
		html(page->out, "<p class=\"quiet\">Looked at ids down to %.0f", search.lowest);
		buffer_add(page->out, search.found > 0 ? ".</p>" : " and found none yet.</p>");
		page_link(page, search.lowest, "Look further", "further");
	}
	else if (search.more)
		page_link(page, search.lowest, "Older jobs", "older");
	buffer_add(page->out, "</nav></section>\n");
	free(function_pattern);
}

/* ------------------------------------------------------------------------
 * One job
 * ------------------------------------------------------------------------ */

static void
fact(Page *page, const char *label)
{
	html(page->out, "<div><dt>%s</dt><dd>", label);
}

static void
fact_end(Page *page)
{
	buffer_add(page->out, "</dd></div>\n");
}

static void
fact_text(Page *page, const PGresult *res, const char *label, const char *column)
{
	if (result_value(res, 0, column) == NULL)
		return;
	fact(page, label);
	html_text(page->out, result_text(res, 0, column));
	fact_end(page);
}

static void
block(Page *page, const char *title, const char *value, bool json)
{
	if (value == NULL)
		return;
	html(page->out, "<h3>%s</h3><pre tabindex=\"0\">", title);
	if (json)
		html_json(page->out, value);
	else
		html_block(page->out, value);
	buffer_add(page->out, "</pre>\n");
}

static bool
is_one_of(const char *state, const char *const *states)
{
	for (; *states != NULL; states++)
	{
		if (strcmp(state, *states) == 0)
			return true;
	}
	return false;
}

static void
job_buttons(Page *page, const PGresult *res, const char *id)
{
	static const char *const waiting[] = {"scheduled", "queued", "retrying", NULL};
	static const char *const later[] = {"scheduled", "retrying", NULL};
	const char *state = result_text(res, 0, "state");

	buffer_add(page->out, "<div class=\"actions\">");
	if (is_one_of(state, later))
		button(page, "run-now", "id", id, "Run now", "primary", NULL);
	if (is_one_of(state, waiting))
		button(page, "cancel", "id", id, "Cancel", "danger", "Cancel this job? It will not run.");
	if (strcmp(state, "running") == 0)
		button(page, "stop", "id", id, "Stop", "danger", "Stop this job while it runs? What it has written is rolled back.");
	button(page, "rerun", "id", id, "Run again", "", "Enqueue a new job like this one?");
	buffer_add(page->out, "</div>");
}

static void
job_facts(Page *page, const PGresult *res)
{
	Buffer	   *out = page->out;

	buffer_add(out, "<dl class=\"facts\">\n");
	fact(page, "Attempt");
	html(out, "%s <span class=\"quiet\">of %s</span>", result_text(res, 0, "attempt"), result_text(res, 0, "max_attempts"));
	fact_end(page);
	if (result_value(res, 0, "seconds") != NULL)
	{
		fact(page, "Duration");
		html_seconds(out, result_number(res, 0, "seconds"));
		fact_end(page);
	}
	if (result_value(res, 0, "waited") != NULL)
	{
		fact(page, "Waited");
		html_seconds(out, fmax(0, result_number(res, 0, "waited")));
		fact_end(page);
	}
	fact_text(page, res, "Queue", "queue");
	fact_text(page, res, "Priority", "priority");
	fact_text(page, res, "Owner", "owner");
	fact_text(page, res, "Key", "key");
	fact_text(page, res, "Process", "pid");
	if (result_value(res, 0, "schedule") != NULL)
	{
		fact(page, "Schedule");
		buffer_add(out, "<a href=\"/jobs?schedule=");
		html_url(out, result_text(res, 0, "schedule"));
		html(out, "\">%s</a>", result_text(res, 0, "schedule"));
		fact_end(page);
	}
	if (result_value(res, 0, "scheduled_for") != NULL)
	{
		fact(page, "For");
		html_clock(out, result_value(res, 0, "scheduled_for"), page->now);
		fact_end(page);
	}
	if (result_value(res, 0, "discard_at") != NULL)
	{
		fact(page, "Discarded unless begun by");
		html_clock(out, result_value(res, 0, "discard_at"), page->now);
		fact_end(page);
	}
	if (result_value(res, 0, "parent_id") != NULL)
	{
		fact(page, "Enqueued by");
		html(out, "<a href=\"/job?id=%s\">job %s</a>", result_text(res, 0, "parent_id"), result_text(res, 0, "parent_id"));
		fact_end(page);
	}
	buffer_add(out, "</dl>\n");
}

/* One point of the time line */
static void
moment(Page *page, const char *at, const char *state, const char *what)
{
	if (at == NULL)
		return;
	html(page->out, "<li class=\"is-%s\"><span class=\"what\">%s</span> ", state, what);
	html_clock(page->out, at, page->now);
	buffer_add(page->out, "</li>\n");
}

static void
job_time_line(Page *page, const PGresult *res, const PGresult *attempts)
{
	Buffer	   *out = page->out;
	const char *state = result_text(res, 0, "state");

	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-time\"><h2 id=\"h-time\">Time line</h2><ol class=\"timeline\">\n");
	moment(page, result_value(res, 0, "enqueued_at"), "queued", "Enqueued");
	for (int i = 0; i < PQntuples(attempts); i++)
	{
		char	   *what = xprintf("Attempt %s began", result_text(attempts, i, "attempt"));

		moment(page, result_value(attempts, i, "started_at"), "running", what);
		free(what);
		what = xprintf("Attempt %s: %s", result_text(attempts, i, "attempt"), result_text(attempts, i, "outcome"));
		moment(page, result_value(attempts, i, "finished_at"), result_text(attempts, i, "outcome"), what);
		free(what);
	}
	if (strcmp(state, "succeeded") == 0 || strcmp(state, "running") == 0)
	{
		char	   *what = xprintf("Attempt %s began", result_text(res, 0, "attempt"));

		moment(page, result_value(res, 0, "started_at"), "running", what);
		free(what);
	}
	if (result_value(res, 0, "finished_at") != NULL)
		moment(page, result_value(res, 0, "finished_at"), state, state);
	else if (strcmp(state, "running") != 0)
		moment(page, result_value(res, 0, "run_at"), state, result_number(res, 0, "in_future") > 0 ? "Runs" : "Ready since");
	buffer_add(out, "</ol></section>\n");
}

static void
job_attempts(Page *page, const PGresult *attempts)
{
	Buffer	   *out = page->out;

	if (PQntuples(attempts) == 0)
		return;
	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-attempts\"><h2 id=\"h-attempts\">Attempts that did not succeed</h2>\n");
	for (int i = PQntuples(attempts) - 1; i >= 0; i--)
	{
		html(out, "<article class=\"attempt\"><h3>Attempt %s ", result_text(attempts, i, "attempt"));
		html_state(out, result_text(attempts, i, "outcome"));
		if (result_value(attempts, i, "sqlstate") != NULL)
			html(out, " <code>%s</code>", result_text(attempts, i, "sqlstate"));
		buffer_add(out, " <span class=\"quiet\">");
		html_time(out, result_value(attempts, i, "finished_at"), page->now);
		if (result_value(attempts, i, "seconds") != NULL)
		{
			buffer_add(out, ", after ");
			html_seconds(out, result_number(attempts, i, "seconds"));
		}
		buffer_add(out, "</span></h3>\n");
		if (result_value(attempts, i, "message") != NULL)
		{
			buffer_add(out, "<p class=\"error-text\">");
			html_block(out, result_text(attempts, i, "message"));
			buffer_add(out, "</p>");
		}
		block(page, "Detail", result_value(attempts, i, "detail"), false);
		block(page, "Hint", result_value(attempts, i, "hint"), false);
		block(page, "Context", result_value(attempts, i, "context"), false);
		if (result_value(attempts, i, "retry_at") != NULL)
		{
			buffer_add(out, "<p class=\"quiet\">Next attempt: ");
			html_clock(out, result_value(attempts, i, "retry_at"), page->now);
			buffer_add(out, "</p>");
		}
		buffer_add(out, "</article>\n");
	}
	buffer_add(out, "</section>\n");
}

static void
job_logs(Page *page, const char *id)
{
	const char *values[] = {id};
	PGresult   *res = page_query(page, "SELECT l.attempt, l.at, l.level, l.message FROM defer.logs l WHERE l.job_id = $1::bigint ORDER BY l.at DESC LIMIT 200",
								 1, values);
	Buffer	   *out = page->out;

	if (page_result(page, res) && PQntuples(res) > 0)
	{
		buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-logs\"><h2 id=\"h-logs\">What it said</h2><ol class=\"log\">\n");
		for (int i = PQntuples(res) - 1; i >= 0; i--)
		{
			buffer_add(out, "<li>");
			html_time(out, result_value(res, i, "at"), page->now);
			html(out, " <span class=\"quiet\">attempt %s</span> ", result_text(res, i, "attempt"));
			html_state(out, result_text(res, i, "level"));
			buffer_add(out, " <span class=\"said\">");
			html_block(out, result_text(res, i, "message"));
			buffer_add(out, "</span></li>\n");
		}
		buffer_add(out, "</ol></section>\n");
	}
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * A fan-out
 * ------------------------------------------------------------------------ */

static const char *const tree_states[] = {"succeeded", "failed", "cancelled", "discarded", "running", "retrying", "queued", "scheduled"};

typedef struct Node
{
	char	   *path;			/* functions from the top, each behind a line feed */
	const char *function;
	int			level;
	double		by_state[lengthof(tree_states)];
	double		total;
	char	   *ids;			/* "12:failed 13:queued ..." if there are few */
} Node;

/*
 * What the jobs below one have become, by function and level.  Counted from the
 * jobs that live and those that ended since the job began: of very many, a
 * sample.
 */
static const char *const tree_sql =
"WITH RECURSIVE s AS MATERIALIZED ("
" SELECT h.id, h.parent_id, h.function, h.state, h.weight FROM defer.history_sample($2::timestamptz, 20000, true) h WHERE h.parent_id IS NOT NULL"
" UNION ALL"
" SELECT l.id, l.parent_id, l.function, l.state, l.weight FROM defer.live_sample(20000) l WHERE l.parent_id IS NOT NULL),"
" t (id, function, state, weight, level, path) AS ("
" SELECT s.id, s.function, s.state, s.weight, 1, ARRAY[s.function] FROM s WHERE s.parent_id = $1::bigint"
" UNION ALL"
" SELECT s.id, s.function, s.state, s.weight * t.weight, t.level + 1, t.path || s.function FROM t JOIN s ON s.parent_id = t.id WHERE t.level < 6)"
" SELECT t.path::text AS path, t.function, t.level, t.state, pg_catalog.sum(t.weight) AS jobs, pg_catalog.max(t.weight) > 1 AS estimated,"
" CASE WHEN pg_catalog.sum(t.weight) <= 12 THEN pg_catalog.string_agg(t.id || ':' || t.state, ' ' ORDER BY t.id) END AS ids"
" FROM t GROUP BY t.path, t.function, t.level, t.state ORDER BY t.path, t.level LIMIT 400";

/* "12:failed 13:queued": a link for each */
void
job_leaves(Page *page, const char *list)
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
			html(out, "<li><a href=\"/job?id=%s\"><span class=\"state is-%s\">%s</span><span class=\"spoken\"> %s</span></a></li>",
				 job, state, job, state);
		}
		free(job);
		list += len + (list[len] == ' ');
	}
	buffer_add(out, "</ul>");
}

static void
show_node(Page *page, const Node *node, const char *id)
{
	Buffer	   *out = page->out;
	const char *at = node->ids;

	html(out, "<li class=\"level-%d\"><div class=\"node\"><div class=\"head\"><a href=\"/function?name=", node->level);
	html_url(out, node->function);
	buffer_add(out, "\">");
	html_function(out, node->function);
	buffer_add(out, "</a> <span class=\"quiet\">");
	html_count_about(out, node->total, page->estimated);
	html(out, " %s</span>", node->total == 1 ? "job" : "jobs");
	if (node->level == 1)
		html(out, " <a class=\"small\" href=\"/jobs?parent=%s\">List</a>", id);
	buffer_add(out, "</div>\n");
	progress_bar(page, node->by_state, node->total, "Progress");
	if (at != NULL && at[0] != '\0')
		job_leaves(page, at);
	buffer_add(out, "</div></li>\n");
}

/* Rows of one group follow each other: make a node of them.  Returns the jobs below. */
static double
show_nodes(Page *page, const PGresult *res, const char *id)
{
	double		all = 0;
	int			row = 0;

	while (row < PQntuples(res))
	{
		Node		node = {.path = PQgetvalue(res, row, 0),.function = result_text(res, row, "function")};
		Buffer		ids = {0};
		bool		few = true;

		node.level = (int) result_number(res, row, "level");
		buffer_add(&ids, "");
		for (; row < PQntuples(res) && strcmp(PQgetvalue(res, row, 0), node.path) == 0; row++)
		{
			double		jobs = result_number(res, row, "jobs");

			for (size_t i = 0; i < lengthof(tree_states); i++)
			{
				if (strcmp(tree_states[i], result_text(res, row, "state")) == 0)
					node.by_state[i] += jobs;
			}
			node.total += jobs;
			few = few && result_value(res, row, "ids") != NULL;
			if (ids.len > 0)
				buffer_char(&ids, ' ');
			buffer_add(&ids, result_text(res, row, "ids"));
		}
		node.ids = few && node.total <= 24 ? ids.data : NULL;
		show_node(page, &node, id);
		all += node.total;
		buffer_free(&ids);
	}
	return all;
}

static PGresult *
tree_query(Page *page, const char *id, const char *since)
{
	const char *values[] = {id, since};
	PGresult   *res = page_query(page, tree_sql, 2, values);

	for (int i = 0; i < PQntuples(res); i++)
		page->estimated |= result_true(res, i, "estimated");
	return res;
}

/* What it enqueued, if anything: on its own page, and on the page of the tree */
static void
job_children(Page *page, const PGresult *job, const char *id, bool always)
{
	/* what it enqueued is younger than its first attempt */
	const char *since = result_value(job, 0, "began");
	PGresult   *res;

	page->estimated = false;
	if (since == NULL)
		return;
	res = tree_query(page, id, since);
	if (page_result(page, res) && (PQntuples(res) > 0 || always))
	{
		html(page->out, "<section class=\"card\" aria-labelledby=\"h-tree\"><div class=\"head\"><h2 id=\"h-tree\">What it enqueued</h2>");
		if (!always)
			html(page->out, "<a href=\"/tree?id=%s\">Tree</a>", id);
		buffer_add(page->out, "</div>\n");
		if (PQntuples(res) == 0)
			empty_note(page, "It has enqueued nothing.");
		buffer_add(page->out, "<ul class=\"tree\">\n");
		show_nodes(page, res, id);
		buffer_add(page->out, "</ul></section>\n");
	}
	PQclear(res);
}

static PGresult *
find_job(Page *page, const char *id)
{
	const char *values[] = {id};
	PGresult   *res;

	if (id == NULL || strspn(id, "0123456789") != strlen(id) || strlen(id) > 18)
	{
		page->request->status = 404;
		empty_note(page, "There is no such job.");
		return NULL;
	}
	res = page_query(page, "SELECT j.*, pg_catalog.date_part('epoch', j.duration) AS seconds,"
					 " pg_catalog.date_part('epoch', COALESCE(j.started_at, pg_catalog.statement_timestamp()) - j.run_at) AS waited,"
					 " pg_catalog.date_part('epoch', j.run_at - pg_catalog.statement_timestamp()) AS in_future,"
					 " LEAST(j.started_at, (SELECT pg_catalog.min(a.started_at) FROM defer.attempts a WHERE a.job_id = j.id)) AS began"
					 " FROM defer.jobs j WHERE j.id = $1::bigint", 1, values);
	if (page_result(page, res) && PQntuples(res) == 1)
		return res;
	if (page_result(page, res))
	{
		page->request->status = 404;
		empty_note(page, "There is no such job that you may see. Jobs are kept for the time that defer.retention says.");
	}
	PQclear(res);
	return NULL;
}

static void
job_title(Page *page, const PGresult *res, const char *id)
{
	Buffer	   *out = page->out;

	html(out, "<div class=\"title\"><h1><span class=\"quiet\">Job %s</span> ", id);
	html_function(out, result_text(res, 0, "function"));
	buffer_add(out, " <span id=\"job-state\" data-say>");
	html_state(out, result_text(res, 0, "state"));
	buffer_add(out, "</span></h1>");
	job_buttons(page, res, id);
	buffer_add(out, "</div>\n");
	if (result_value(res, 0, "progress") != NULL)
		html(out, "<p class=\"wide-progress\"><progress max=\"1\" value=\"%s\" aria-label=\"Progress\"></progress> %.0f %%</p>\n",
			 result_text(res, 0, "progress"), 100 * result_number(res, 0, "progress"));
}

void
page_job(Page *page, const char *id)
{
	const char *values[] = {id};
	PGresult   *res = find_job(page, id);
	PGresult   *attempts;
	Buffer	   *out = page->out;

	if (res == NULL)
		return;
	attempts = page_query(page, "SELECT a.*, pg_catalog.date_part('epoch', a.finished_at - a.started_at) AS seconds"
						  " FROM (SELECT * FROM defer.attempts WHERE job_id = $1::bigint ORDER BY finished_at DESC LIMIT 50) a"
						  " ORDER BY a.finished_at", 1, values);
	job_title(page, res, id);
	if (result_value(res, 0, "error") != NULL && strcmp(result_text(res, 0, "state"), "succeeded") != 0)
	{
		html(out, "<p class=\"message bad\"><code>%s</code> ", result_text(res, 0, "sqlstate"));
		html_block(out, result_text(res, 0, "error"));
		buffer_add(out, "</p>\n");
	}
	buffer_add(out, "<div class=\"columns\"><section class=\"card\" aria-labelledby=\"h-facts\"><h2 id=\"h-facts\">Job</h2>\n");
	job_facts(page, res);
	block(page, "Arguments", result_value(res, 0, "args"), true);
	block(page, "Result", result_value(res, 0, "result"), true);
	block(page, "Metadata", result_value(res, 0, "metadata"), true);
	buffer_add(out, "</section>\n");
	job_time_line(page, res, attempts);
	buffer_add(out, "</div>\n");
	job_children(page, res, id, false);
	job_attempts(page, attempts);
	job_logs(page, id);
	PQclear(attempts);
	PQclear(res);
}

void
page_tree(Page *page, const char *id)
{
	PGresult   *res = find_job(page, id);

	if (res == NULL)
		return;
	job_title(page, res, id);
	html(page->out, "<p><a href=\"/job?id=%s\">All about this job</a></p>\n", id);
	job_children(page, res, id, true);
	PQclear(res);
}
