/*
 * pages.c
 *		The frame that all pages have, and the overview.
 */
#include "dashboard/dashboard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------
 * The frame
 * ------------------------------------------------------------------------ */

typedef struct Entry
{
	const char *path;
	const char *title;
	void		(*write) (Page *page);
	bool		in_menu;
} Entry;

static void page_one_job(Page *page);
static void page_one_tree(Page *page);
static void page_one_function(Page *page);

static const Entry entries[] = {
	{"/", "Overview", page_overview, true},
	{"/jobs", "Jobs", page_jobs, true},
	{"/functions", "Functions", page_functions, true},
	{"/schedules", "Schedules", page_schedules, true},
	{"/queues", "Queues", page_queues, true},
	{"/workers", "Workers", page_workers, true},
	{"/endpoints", "Endpoints", page_endpoints, true},
	{"/alerts", "Alerts", page_alerts, true},
	{"/job", "Job", page_one_job, false},
	{"/tree", "Fan-out", page_one_tree, false},
	{"/function", "Function", page_one_function, false},
};

static void
page_one_job(Page *page)
{
	page_job(page, query_field(page->request, "id"));
}

static void
page_one_tree(Page *page)
{
	page_tree(page, query_field(page->request, "id"));
}

static void
page_one_function(Page *page)
{
	page_function(page, query_field(page->request, "name"));
}

static void
open_document(Buffer *out, const char *title)
{
	html(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		 "<meta name=\"color-scheme\" content=\"light dark\">\n"
		 "<title>%s \xc2\xb7 defer</title>\n"
		 "<link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\">\n"
		 "<link rel=\"stylesheet\" href=\"/dashboard.css?%s\">\n"
		 "<script src=\"/dashboard.js?%s\" defer></script>\n</head>\n",
		 title, asset_version(".css"), asset_version(".js"));
}

static void
brand(Buffer *out)
{
	buffer_add(out, "<span class=\"brand\"><img src=\"/icon.svg\" alt=\"\" width=\"24\" height=\"24\"> defer</span>");
}

static void
menu(Buffer *out, const Session *session, const char *path)
{
	bool		job = strcmp(path, "/job") == 0 || strcmp(path, "/tree") == 0;

	buffer_add(out, "<nav aria-label=\"Pages\"><ul>\n");
	for (size_t i = 0; i < lengthof(entries); i++)
	{
		const char *own = entries[i].path;
		bool		here = strcmp(path, own) == 0 || (job && strcmp(own, "/jobs") == 0) ||
		(strcmp(path, "/function") == 0 && strcmp(own, "/functions") == 0);

		if (!entries[i].in_menu || (strcmp(own, "/alerts") == 0 && !session->has_alerts))
			continue;
		html(out, "<li><a href=\"%s\"%s>%s</a></li>\n", own, here ? " aria-current=page" : "", entries[i].title);
	}
	buffer_add(out, "</ul></nav>\n");
}

static void
frame_begin(Buffer *out, const Session *session, const char *path, const char *title)
{
	open_document(out, title);
	buffer_add(out, "<body>\n<a class=\"skip\" href=\"#main\">Skip to the content</a>\n<header>\n");
	brand(out);
	menu(out, session, path);
	html(out, "<div class=\"who\"><span class=\"live\" id=\"live\" hidden>"
		 "<button type=\"button\" class=\"plain\" id=\"live-button\" aria-pressed=\"true\">Live</button></span>"
		 "<span class=\"where\" title=\"role and database\">%s <span class=\"quiet\">on</span> %s%s</span>"
		 "<form method=\"post\" action=\"/logout\"><input type=\"hidden\" name=\"csrf\" value=\"%s\">"
		 "<button class=\"plain\">Log out</button></form></div>\n</header>\n",
		 session->role, session->database, dashboard.read_only ? " (read-only)" : "", session->csrf);
	buffer_add(out, "<p class=\"spoken\" id=\"spoken\" aria-live=\"polite\"></p>\n");
}

/* What the last action did, once */
static void
show_message(Buffer *out, Session *session)
{
	if (session->message[0] == '\0')
		return;
	html(out, "<p class=\"message%s\" role=\"%s\">%s</p>\n", session->message_bad ? " bad" : "",
		 session->message_bad ? "alert" : "status", session->message);
	session->message[0] = '\0';
}

/* The page that was asked for, or only its changing part */
void
page_write(Page *page)
{
	Buffer	   *out = page->out;
	Buffer		content = {0};
	const Entry *entry = NULL;
	const char *path = page->request->path;
	PGresult   *res;

	for (size_t i = 0; i < lengthof(entries); i++)
	{
		if (strcmp(entries[i].path, path) == 0)
			entry = &entries[i];
	}
	if (entry == NULL)
	{
		page->request->status = 404;
		error_page(out, page->session, "Not found", "There is no such page.");
		return;
	}
	buffer_add(&content, "");
	page->out = &content;
	res = page_query(page, "SELECT pg_catalog.date_part('epoch', pg_catalog.statement_timestamp()) AS now", 0, NULL);
	page->now = result_number(res, 0, "now");
	PQclear(res);
	entry->write(page);
	page->out = out;

	if (!page->request->fragment)
	{
		frame_begin(out, page->session, path, entry->title);
		buffer_add(out, "<main id=\"main\" tabindex=\"-1\">\n");
		show_message(out, page->session);
		buffer_add(out, "<div id=\"content\">");
	}
	if (page->timed_out)
		buffer_add(out, "<p class=\"message bad\" role=\"alert\">A part of this page took too long and is left out.</p>\n");
	if (page->problem.len > 0)
	{
		buffer_add(out, "<p class=\"message bad\" role=\"alert\">The server said: ");
		html_block(out, page->problem.data);
		buffer_add(out, "</p>\n");
	}
	buffer_add(out, content.data);
	buffer_free(&content);
	if (!page->request->fragment)
		html(out, "</div>\n<footer><span>defer %s</span> <span>this page took %.0f ms</span></footer>\n</main>\n</body>\n</html>\n",
			 DEFER_VERSION, monotonic_ms() - page->begun);
}

void
error_page(Buffer *out, Session *session, const char *title, const char *text)
{
	if (session != NULL)
		frame_begin(out, session, "", title);
	else
	{
		open_document(out, title);
		buffer_add(out, "<body class=\"alone\">\n");
	}
	html(out, "<main id=\"main\" class=\"card\" tabindex=\"-1\"><h1>%s</h1><p class=\"error-text\">", title);
	html_block(out, text);
	buffer_add(out, "</p><p><a href=\"/\">To the overview</a></p></main>\n</body>\n</html>\n");
}

/* A token from the address is put into the form; sending it is left to the user */
void
login_page(Buffer *out, const char *token, const char *problem)
{
	open_document(out, "Log in");
	buffer_add(out, "<body class=\"alone\">\n<main id=\"main\" class=\"card login\" tabindex=\"-1\">\n<h1>");
	brand(out);
	buffer_add(out, "</h1>\n");
	if (problem != NULL)
	{
		buffer_add(out, "<p class=\"message bad\" role=\"alert\">");
		html_block(out, problem);
		buffer_add(out, "</p>\n");
	}
	html(out, "<form method=\"post\" action=\"/login\" id=\"login\"%s>\n",
		 token != NULL && problem == NULL && dashboard.login == LOGIN_TOKEN ? " data-send" : "");
	if (dashboard.login == LOGIN_TOKEN)
		html(out, "<label for=\"token\">Token</label>\n"
			 "<input id=\"token\" name=\"token\" type=\"password\" value=\"%s\" autocomplete=\"off\" required autofocus>\n"
			 "<p class=\"quiet\"><code>defer dashboard</code> printed it when it was started.</p>\n", token);
	else
		buffer_add(out, "<label for=\"role\">Role</label>\n"
				   "<input id=\"role\" name=\"role\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" required autofocus>\n"
				   "<label for=\"password\">Password</label>\n"
				   "<input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\n"
				   "<p class=\"quiet\">Those of the database.</p>\n");
	buffer_add(out, "<button class=\"primary\">Log in</button>\n</form>\n</main>\n</body>\n</html>\n");
}

/* ------------------------------------------------------------------------
 * Pieces
 * ------------------------------------------------------------------------ */

/*
 * A button that does something: a form of its own.  name and value say to what;
 * confirm, if there is one, is asked before (by the script).
 */
void
button(Page *page, const char *action, const char *name, const char *value,
	   const char *label, const char *class, const char *confirm)
{
	Buffer	   *out = page->out;

	if (dashboard.read_only)
		return;
	html(out, "<form method=\"post\" action=\"/do/%s\" class=\"action\"", action);
	if (confirm != NULL)
		html(out, " data-confirm=\"%s\"", confirm);
	html(out, "><input type=\"hidden\" name=\"csrf\" value=\"%s\"><input type=\"hidden\" name=\"%s\" value=\"%s\">",
		 page->session->csrf, name, value);
	html(out, "<input type=\"hidden\" name=\"back\" value=\"%s", page->request->path);
	for (int i = 0; i < page->request->nquery; i++)
	{
		buffer_char(out, i == 0 ? '?' : ';');
		html_url(out, page->request->query[i].name);
		buffer_char(out, '=');
		html_url(out, page->request->query[i].value);
	}
	html(out, "\"><button class=\"%s\">%s</button></form>", class, label);
}

void
empty_note(Page *page, const char *text)
{
	html(page->out, "<p class=\"empty\">%s</p>\n", text);
}

/* Did the query work?  If it did not, the page says so elsewhere */
bool
page_result(Page *page, const PGresult *res)
{
	(void) page;
	return PQresultStatus(res) == PGRES_TUPLES_OK;
}

static const char *const progress_states[] = {"succeeded", "failed", "cancelled", "discarded", "running", "retrying", "queued", "scheduled"};

/* How far a fan-out is: a bar of its states, and the numbers */
void
progress_bar(Page *page, const double *by_state, double total, const char *label)
{
	Buffer	   *out = page->out;
	double		x = 0;
	double		done = by_state[0] + by_state[1] + by_state[2] + by_state[3];
	double		percent = total > 0 ? floor(100 * done / total) : 0;

	html(out, "<svg class=\"stack\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s: %.0f%% done\">",
		 label, percent);
	buffer_add(out, "<rect class=\"track\" width=\"1000\" height=\"10\"/>");
	for (size_t i = 0; i < lengthof(progress_states) && total > 0; i++)
	{
		double		width = by_state[i] / total * 1000;

		if (i < 6 && by_state[i] > 0)
			html(out, "<rect class=\"fill-%s\" x=\"%.2f\" width=\"%.2f\" height=\"10\"/>", progress_states[i], x, width < 2 ? 2 : width);
		x += width;
	}
	html(out, "</svg><p class=\"legend\"><strong>%.0f%%</strong>", percent);
	for (size_t i = 0; i < lengthof(progress_states); i++)
	{
		if (by_state[i] <= 0)
			continue;
		html(out, " <span class=\"state is-%s\">", progress_states[i]);
		html_count_about(out, by_state[i], page->estimated);
		html(out, " %s</span>", progress_states[i]);
	}
	buffer_add(out, "</p>\n");
}

/* ------------------------------------------------------------------------
 * Overview
 * ------------------------------------------------------------------------ */

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
	const char *name = query_field(page->request, "range");

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
	/* looks at each unfinished job: with a million of them it takes its time */
	bool		before = page->timed_out;
	PGresult   *res = page_query_within(page, 300, "SELECT severity, finding, hint FROM defer.health"
										" ORDER BY pg_catalog.array_position(ARRAY['error', 'warning', 'info'], severity), finding LIMIT 50",
										0, NULL);

	buffer_add(page->out, "<section class=\"card health\" aria-labelledby=\"h-health\"><h2 id=\"h-health\">Needs attention</h2>\n");
	page->timed_out = before;	/* it is said here */
	if (!page_result(page, res))
		empty_note(page, "Not known at the moment: that took too long.");
	else if (PQntuples(res) == 0)
		buffer_add(page->out, "<p class=\"fine\"><span class=\"state is-succeeded\">Nothing.</span> Everything runs.</p>\n");
	else
	{
		buffer_add(page->out, "<ul class=\"findings\">\n");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html(page->out, "<li class=\"%s\">", result_text(res, i, "severity"));
			html_state(page->out, result_text(res, i, "severity"));
			html(page->out, "<div><p>%s</p><p class=\"quiet\">%s</p></div></li>\n",
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
	html(page->out, "<div class=\"figure %s\"><dt>%s</dt><dd>", class, label);
	if (link != NULL)
		html(page->out, "<a href=\"%s\">", link);
}

static void
figure_end(Page *page, const char *link, const char *note)
{
	if (link != NULL)
		buffer_add(page->out, "</a>");
	if (note != NULL)
		html(page->out, "<span class=\"note\">%s</span>", note);
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

	if (page_result(page, res))
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
		figure_end(page, NULL, result_value(res, 0, "oldest") != NULL ? "waits so long" : "nothing waits");
		figure(page, "Retrying", "/jobs?state=retrying", "retrying");
		html_count_about(out, result_number(res, 0, "retrying"), about);
		figure_end(page, "/jobs?state=retrying", NULL);
		figure(page, "Scheduled", "/jobs?state=scheduled", "scheduled");
		html_count_about(out, result_number(res, 0, "scheduled"), about);
		figure_end(page, "/jobs?state=scheduled", "for later");
		figure(page, "Workers", "/workers", "workers");
		html(out, "%s<span class=\"quiet\"> / %s</span>", result_text(res, 0, "busy"),
			 result_value(res, 0, "max_workers") != NULL ? result_text(res, 0, "max_workers") : "?");
		buffer_printf(&note, "busy; %s started", result_text(res, 0, "workers"));
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
		html(page->out, "<a href=\"/?range=%s\"%s>%s</a>", ranges[i].name,
			 &ranges[i] == range ? " aria-current=true" : "", ranges[i].label);
	buffer_add(page->out, "</nav>");
}

/* The first row is all of them together */
static void
overview_functions(Page *page, const PGresult *res)
{
	static const char *const titles[] = {"Function", "#Succeeded", "#Failed", "#Average", "#95 %", NULL};
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-top\"><h2 id=\"h-top\">Busiest functions</h2>\n");
	if (PQntuples(res) <= 1)
		empty_note(page, "Nothing ended in this time.");
	else
	{
		table_begin(page, titles, "busiest");
		for (int i = 1; i < PQntuples(res); i++)
		{
			const char *name = result_text(res, i, "function");

			page->estimated = result_true(res, i, "estimated");
			buffer_add(out, "<tr><td><a href=\"/function?name=");
			html_url(out, name);
			buffer_add(out, "\">");
			html_function(out, name);
			buffer_add(out, "</a></td>");
			cell_count(page, res, i, "good", "");
			cell_count(page, res, i, "bad", "is-bad");
			cell_seconds(page, res, i, "avg");
			cell_seconds(page, res, i, "p95");
			buffer_add(out, "</tr>\n");
		}
		table_end(page);
	}
	buffer_add(out, "</section>\n");
}

/* What ended: a bar for each step; and by function */
static void
overview_ended(Page *page)
{
	static const char *const steps_sql =
	"SELECT * FROM defer.throughput(pg_catalog.to_timestamp($1::float8), $2 * interval '1 second', $3::integer)";
	static const char *const functions_sql =
	"WITH h AS MATERIALIZED (SELECT function, state, weight, pg_catalog.date_part('epoch', finished_at - started_at) AS took"
	" FROM defer.history_sample(pg_catalog.to_timestamp($1::float8), 20000))"
	" SELECT function, pg_catalog.sum(weight) FILTER (WHERE state = 'succeeded') AS good,"
	" pg_catalog.sum(weight) FILTER (WHERE state = 'failed') AS bad, pg_catalog.avg(took) AS avg,"
	" pg_catalog.percentile_disc(0.95) WITHIN GROUP (ORDER BY took) AS p95, pg_catalog.max(weight) > 1 AS estimated"
	" FROM h GROUP BY GROUPING SETS ((), (function)) ORDER BY function IS NOT NULL, pg_catalog.sum(weight) DESC LIMIT 9";
	const Range *range = chosen_range(page);
	double		step = range->seconds / range->bars;

	/* whole steps, so that bars stay where they are */
	double		end = (floor(page->now / step) + 1) * step;
	double		start = end - range->seconds;
	char		since[40];
	char		width[40];
	char		bars[20];
	const char *values[] = {since, width, bars};
	double		good[100] = {0};
	double		bad[100] = {0};
	double		succeeded = 0;
	double		failed = 0;
	bool		estimated = false;
	Buffer	   *out = page->out;
	PGresult   *res;
	PGresult   *functions;

	snprintf(since, sizeof(since), "%.0f", start);
	snprintf(width, sizeof(width), "%.0f", step);
	snprintf(bars, sizeof(bars), "%d", range->bars);
	res = page_query(page, steps_sql, 3, values);
	functions = page_query(page, functions_sql, 1, values);
	buffer_add(out, "<section class=\"card throughput\" aria-labelledby=\"h-throughput\"><div class=\"head\"><h2 id=\"h-throughput\">Throughput</h2>");
	range_links(page, range);
	buffer_add(out, "</div>\n");
	if (page_result(page, res))
	{
		for (int i = 0; i < PQntuples(res) && i < range->bars; i++)
		{
			succeeded += good[i] = result_number(res, i, "succeeded");
			failed += bad[i] = result_number(res, i, "failed");
			estimated = result_true(res, i, "estimated");
		}
		chart_bars(out, good, bad, range->bars, start, step, "Jobs that ended, over time");
		buffer_add(out, "<p class=\"legend\"><span class=\"key good\"></span><strong>");
		html_count_about(out, succeeded, estimated);
		buffer_add(out, "</strong> succeeded <span class=\"key bad\"></span><strong>");
		html_count_about(out, failed, estimated);
		buffer_add(out, "</strong> failed");
		if (succeeded + failed > 0 && page_result(page, functions) && PQntuples(functions) > 0)
		{
			/* the last two bars, of which the last has only begun */
			double		passed = fmax(1, step + page->now - (end - step));

			buffer_add(out, " <span class=\"quiet\">\xc2\xb7</span> <strong>");
			html_count(out, (good[range->bars - 2] + bad[range->bars - 2] + good[range->bars - 1] + bad[range->bars - 1]) / passed);
			buffer_add(out, "</strong>/s of late <span class=\"quiet\">\xc2\xb7</span> average <strong>");
			html_seconds(out, result_number(functions, 0, "avg"));
			buffer_add(out, "</strong>, 95 % within <strong>");
			html_seconds(out, result_number(functions, 0, "p95"));
			buffer_add(out, "</strong>");
		}
		buffer_add(out, "</p>\n");
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
	overview_functions(page, functions);
	PQclear(functions);
}

static void
overview_failures(Page *page)
{
	PGresult   *res = page_query(page, "SELECT j.id, j.function, j.finished_at, j.sqlstate, pg_catalog.left(j.error, 300) AS error"
								 " FROM defer.jobs j WHERE j.id = ANY (ARRAY(SELECT defer.find_jobs('{failed}', n => 8)))"
								 " ORDER BY j.id DESC", 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-failed\"><div class=\"head\"><h2 id=\"h-failed\">Failed last</h2>"
			   "<a href=\"/jobs?state=failed\">All</a></div>\n");
	if (page_result(page, res) && PQntuples(res) == 0)
		empty_note(page, "No job has failed.");
	else if (page_result(page, res))
	{
		buffer_add(out, "<ul class=\"failures\">\n");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html(out, "<li><a href=\"/job?id=%s\">", result_text(res, i, "id"));
			html_function(out, result_text(res, i, "function"));
			buffer_add(out, "</a> <span class=\"quiet\">");
			html_time(out, result_value(res, i, "finished_at"), page->now);
			html(out, "</span><p class=\"error-text\">%s</p></li>\n", result_text(res, i, "error"));
		}
		buffer_add(out, "</ul>\n");
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

void
page_overview(Page *page)
{
	buffer_add(page->out, "<h1 class=\"spoken\">Overview</h1>\n");
	overview_now(page);
	overview_health(page);
	overview_ended(page);
	overview_failures(page);
}
