/*
 * schedule.c
 *		One schedule: its runs, its next times, its options; and a form for a new one.
 */
#include "dashboard/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "dashboard/chart.h"
#include "dashboard/dashboard.h"
#include "dashboard/form.h"
#include "dashboard/html.h"
#include "dashboard/pages.h"
#include "dashboard/parts.h"

/* Runs that are shown */
#define RUNS		40

/* Options that both forms have */
#define OPTION_FIELDS \
	{"timezone", "Time zone", FORM_TEXT, "Europe/Paris"}, \
	{"overlap", "If the last run has not ended", FORM_CHOICE, "skip,queue,allow,replace"}, \
	{"catch_up", "After downtime", FORM_CHOICE, "one,none,all"}, \
	{"catch_up_window", "No further back than", FORM_TEXT, "1 day"}, \
	{"jitter", "Begin up to so much later", FORM_TEXT, "0"}, \
	{"queue", "Queue", FORM_TEXT, "of the function"}, \
	{"priority", "Priority", FORM_NUMBER, "of the function"}, \
	{"group_key", "Group", FORM_TEXT, ""}, \
	{"starts_at", "Not before", FORM_TIME, "2030-01-01 08:00"}, \
	{"ends_at", "Ends", FORM_TIME, "2031-01-01 08:00"}, \
	{"max_runs", "Runs, at most", FORM_NUMBER, "no limit"}, \
	{"pause_after_failures", "Pause after failures in a row", FORM_NUMBER, "never"}, \
	{"when_done", "Run when a run is done", FORM_TEXT, "public.function"}

/* ------------------------------------------------------------------------
 * Runs
 * ------------------------------------------------------------------------ */

/* Append a bar for the duration of each run, the last one on the right */
static void
run_durations(Page *page, const PGresult *runs)
{
	double		good[RUNS] = {0};
	double		bad[RUNS] = {0};
	int			n = PQntuples(runs);

	if (n < 2)
		return;
	for (int i = 0; i < n; i++)
	{
		bool		failed = strcmp(result_text(runs, i, "state"), "failed") == 0;

		(failed ? bad : good)[n - 1 - i] = result_number(runs, i, "seconds");
	}
	buffer_add(page->out, "<div class=\"durations\">");
	chart_spark(page->out, good, bad, n, "Durations of the runs, the last one on the right");
	buffer_add(page->out, "<span class=\"quiet\">durations, the last run on the right</span></div>\n");
}

/* Append the last runs */
static void
show_runs(Page *page, const char *id)
{
	static const char *const sql =
		"SELECT j.id, j.state, j.scheduled_for, j.started_at, j.attempt, j.max_attempts, pg_catalog.left(j.error, 200) AS error,"
		" pg_catalog.date_part('epoch', j.duration) AS seconds, pg_catalog.date_part('epoch', j.started_at - j.scheduled_for) AS late"
		" FROM defer.jobs j WHERE j.id = ANY (ARRAY(SELECT defer.find_jobs(schedule_id => $1::bigint, n => 40))) ORDER BY j.id DESC";
	static const char *const titles[] = {"#Job", "State", "For", "#Began late by", "#Duration", "#Attempt", "Error", NULL};
	Buffer	   *out = page->out;
	PGresult   *res = page_query(page, sql, 1, &id);

	html_add(out, "<section class=\"card\" aria-labelledby=\"h-runs\"><div class=\"head\"><h2 id=\"h-runs\">Runs</h2>"
			 "<a href=\"/jobs?schedule=%s\">All</a></div>\n", id);
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "It has not run yet.");
	else if (result_good(res))
	{
		run_durations(page, res);
		part_table_begin(page, titles, "runs");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html_add(out, "<tr><td class=\"num\"><a href=\"/job?id=%s\">%s</a></td><td>", result_text(res, i, "id"), result_text(res, i, "id"));
			html_state(out, result_text(res, i, "state"));
			buffer_add(out, "</td><td>");
			if (result_value(res, i, "scheduled_for") != NULL)
				html_clock(out, result_value(res, i, "scheduled_for"), page->now);
			else
				buffer_add(out, "<span class=\"quiet\">by hand</span>");
			buffer_add(out, "</td>");
			part_seconds_cell(page, res, i, "late");
			part_seconds_cell(page, res, i, "seconds");
			html_add(out, "<td class=\"num\">%s<span class=\"quiet\">/%s</span></td><td class=\"cut is-bad\">%s</td></tr>\n",
					 result_text(res, i, "attempt"), result_text(res, i, "max_attempts"), result_text(res, i, "error"));
		}
		part_table_end(page);
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

/* Append the next times, as clocks in the zone of the schedule show them */
static void
show_next(Page *page, const PGresult *schedule, const char *id)
{
	static const char *const sql =
		"SELECT n.at, pg_catalog.to_char(n.at AT TIME ZONE s.timezone, 'Dy YYYY-MM-DD HH24:MI:SS') AS clock"
		" FROM defer.schedules s CROSS JOIN LATERAL pg_catalog.unnest(s.next_runs) WITH ORDINALITY n (at, place)"
		" WHERE s.id = $1::bigint ORDER BY n.place";
	Buffer	   *out = page->out;
	PGresult   *res = page_query(page, sql, 1, &id);

	html_add(out, "<section class=\"card\" aria-labelledby=\"h-next\"><h2 id=\"h-next\">Next times <span class=\"quiet\">in %s</span></h2>\n",
			 result_text(schedule, 0, "timezone"));
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, result_true(schedule, 0, "active") ? "It does not fire any more." : "It is paused.");
	else if (result_good(res))
	{
		buffer_add(out, "<ol class=\"times\">\n");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html_add(out, "<li>%s <span class=\"quiet\">", result_text(res, i, "clock"));
			html_time(out, result_text(res, i, "at"), page->now);
			buffer_add(out, "</span></li>\n");
		}
		buffer_add(out, "</ol>\n");
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * Backfills
 * ------------------------------------------------------------------------ */

/* Append backfills in progress */
static void
backfills(Page *page, const char *id)
{
	PGresult   *res = page_query(page, "SELECT b.id, b.since, b.until, b.runs, b.enqueued FROM defer.backfills b"
								 " WHERE b.schedule_id = $1::bigint ORDER BY b.id LIMIT 20", 1, &id);
	Buffer	   *out = page->out;

	for (int i = 0; i < PQntuples(res); i++)
	{
		buffer_add(out, "<div class=\"inline\"><span>From ");
		html_clock(out, result_text(res, i, "since"), page->now);
		buffer_add(out, " to ");
		html_clock(out, result_text(res, i, "until"), page->now);
		html_add(out, ": %s of %s runs enqueued</span> <progress max=\"%s\" value=\"%s\" aria-label=\"Runs enqueued\"></progress> ",
				 result_text(res, i, "enqueued"), result_text(res, i, "runs"), result_text(res, i, "runs"),
				 result_text(res, i, "enqueued"));
		part_button(page, "cancel-backfill", "id", result_text(res, i, "id"), "Cancel", "small danger", "Enqueue no more of its runs?");
		buffer_add(out, "</div>\n");
	}
	PQclear(res);
}

/* Append how many runs the backfill would have that the address describes, and the button */
static void
backfill_count(Page *page, const char *id)
{
	static const char *const sql =
		"SELECT defer.backfill($1::bigint, $2::timestamptz, $3::timestamptz, overlap => COALESCE($4, 'queue'), rate => $5, dry_run => true) AS n";
	const char *values[] = {
		id, request_query(page->request, "from"), request_query(page->request, "to"),
		request_query(page->request, "order"), request_query(page->request, "rate")
	};
	Buffer	   *out = page->out;
	char	   *back;
	PGresult   *res;

	if (values[1] == NULL || values[2] == NULL)
		return;
	res = page_query(page, sql, lengthof(values), values);
	if (result_good(res))
	{
		html_add(out, "<p class=\"message\">The backfill has <strong id=\"backfill-count\">%s</strong> runs.</p>\n", result_text(res, 0, "n"));
		back = xprintf("/schedule?id=%s", id);
		if (result_int64(res, 0, "n") > 0)
		{
			part_form_begin(page, "backfill", "inline", back, NULL);
			part_hidden(page, "id", id);
			part_hidden(page, "from", values[1]);
			part_hidden(page, "to", values[2]);
			part_hidden(page, "order", values[3] != NULL ? values[3] : "");
			part_hidden(page, "rate", values[4] != NULL ? values[4] : "");
			html_add(out, "<button class=\"primary\">Run %s times</button></form>\n", result_text(res, 0, "n"));
		}
		free(back);
	}
	PQclear(res);
}

/* Append backfills in progress, and the form that counts the runs of another */
static void
show_backfill(Page *page, const char *id)
{
	static const FormField fields[] = {
		{"from", "From", FORM_TIME, "2030-01-01 00:00", true},
		{"to", "Before", FORM_TIME, "2030-02-01 00:00", true},
		{"order", "Order", FORM_CHOICE, "queue,allow"},
		{"rate", "Rate", FORM_TEXT, "10/minute"},
		{NULL}
	};
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-backfill\"><h2 id=\"h-backfill\">Backfill</h2>\n");
	backfills(page, id);
	if (!dashboard.read_only)
	{
		html_add(out, "<p class=\"quiet note\">Runs it for times that are past and have no run. Times are in %s; queue runs one after the other, allow several at a time.</p>\n",
				 page->zone);
		html_add(out, "<form method=\"get\" action=\"/schedule\" class=\"fields\"><input type=\"hidden\" name=\"id\" value=\"%s\">", id);
		form_fields_of_address(page, "backfill", fields);
		buffer_add(out, "<div class=\"buttons\"><button>Count the runs</button></div></form>\n");
		backfill_count(page, id);
	}
	buffer_add(out, "</section>\n");
}

/* ------------------------------------------------------------------------
 * Pages
 * ------------------------------------------------------------------------ */

/* Append the form that changes the schedule */
static void
edit_form(Page *page, const PGresult *res, const char *id)
{
	static const FormField fields[] = {
		{"schedule", "When", FORM_TEXT, "30 3 * * *", true},
		OPTION_FIELDS,
		{NULL}
	};
	static const FormField command = {"command", "SQL", FORM_LINES, "", true};
	static const FormField function = {"function", "Function", FORM_TEXT, "", true};
	Buffer	   *out = page->out;

	if (dashboard.read_only)
		return;
	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-edit\"><h2 id=\"h-edit\">Change</h2>\n");
	part_form_begin(page, "alter-schedule", "fields", NULL, NULL);
	part_hidden(page, "id", id);
	form_fields(page, "edit", fields, res);
	form_field(page, "edit", result_value(res, 0, "command") != NULL ? &command : &function, res);
	buffer_add(out, "<div class=\"buttons\"><button class=\"primary\">Save</button></div></form>\n</section>\n");
}

static void
schedule_title(Page *page, const PGresult *res, const char *id)
{
	Buffer	   *out = page->out;
	bool		active = result_true(res, 0, "active");
	char	   *question = xprintf("Run the schedule \"%s\" of %s now?", result_text(res, 0, "name"), result_text(res, 0, "owner"));
	char	   *delete = xprintf("Delete the schedule \"%s\" of %s? Its runs stay.", result_text(res, 0, "name"), result_text(res, 0, "owner"));

	html_add(out, "<div class=\"title\"><h1>%s ", result_text(res, 0, "name"));
	if (!active)
		html_state(out, "paused");
	buffer_add(out, "</h1><div class=\"actions\">");
	part_button(page, "trigger", "id", id, "Run now", "primary", question);
	part_button(page, active ? "pause-schedule" : "resume-schedule", "id", id, active ? "Pause" : "Resume", "", NULL);
	if (!dashboard.read_only)
	{
		part_form_begin(page, "unschedule", "action", "/schedules", delete);
		part_hidden(page, "id", id);
		buffer_add(out, "<button class=\"danger\">Delete</button></form>");
	}
	buffer_add(out, "</div></div>\n");
	free(question);
	free(delete);
}

/* Append what it runs, when, as whom, and how it goes */
static void
schedule_facts(Page *page, const PGresult *res)
{
	static const struct
	{
		const char *label;
		const char *column;
	}			facts[] = {
		{"Owner", "owner"}, {"If the last still runs", "overlap"}, {"After downtime", "catch_up"},
		{"No further back than", "catch_up_window"}, {"Queue", "queue"}, {"Priority", "priority"}, {"Group", "group_key"},
		{"Runs so far", "runs"}, {"Runs, at most", "max_runs"}, {"Pause after failures", "pause_after_failures"},
		{"Run when done", "when_done"}
	};
	static const char *const times[][2] = {
		{"Last run", "last_run_at"}, {"Next", "next_run_at"}, {"Not before", "starts_at"}, {"Ends", "ends_at"}, {"Made", "created_at"}
	};
	Buffer	   *out = page->out;

	html_add(out, "<section class=\"card schedule\" aria-label=\"Schedule\"><p class=\"words\">%s <span class=\"quiet\">\xc2\xb7 %s</span></p>\n",
			 result_text(res, 0, "description"), result_text(res, 0, "timezone"));
	html_add(out, "<p class=\"runs\"><code class=\"cron\">%s</code> ", result_text(res, 0, "schedule"));
	if (result_value(res, 0, "command") != NULL)
		html_add(out, "<code>%s</code></p>\n", result_text(res, 0, "command"));
	else
	{
		buffer_add(out, "<a href=\"/function?name=");
		html_url(out, result_text(res, 0, "function"));
		buffer_add(out, "\">");
		html_function(out, result_text(res, 0, "function"));
		buffer_add(out, "</a></p>\n");
	}
	if (result_value(res, 0, "last_error") != NULL)
		html_add(out, "<p class=\"message bad\">%s</p>\n", result_text(res, 0, "last_error"));
	schedule_pause(page, res, 0);
	buffer_add(out, "<dl class=\"facts\">");
	for (size_t i = 0; i < lengthof(times); i++)
	{
		if (result_value(res, 0, times[i][1]) == NULL)
			continue;
		html_add(out, "<div><dt>%s</dt><dd>", times[i][0]);
		html_time(out, result_value(res, 0, times[i][1]), page->now);
		buffer_add(out, "</dd></div>");
	}
	for (size_t i = 0; i < lengthof(facts); i++)
	{
		if (result_value(res, 0, facts[i].column) != NULL)
			html_add(out, "<div><dt>%s</dt><dd>%s</dd></div>", facts[i].label, result_text(res, 0, facts[i].column));
	}
	buffer_add(out, "</dl></section>\n");
}

/* /schedule: one schedule, by its id */
void
page_schedule(Page *page)
{
	const char *id = request_query(page->request, "id");
	PGresult   *res = page_query(page, "SELECT s.* FROM defer.schedules s WHERE s.id = $1::bigint", 1, &id);

	if (!result_good(res) || PQntuples(res) == 0)
	{
		page->request->status = 404;
		buffer_add(page->out, "<h1>Not found</h1>\n");
		part_empty(page, "There is no such schedule that you may see.");
		PQclear(res);
		return;
	}
	snprintf(page->title, sizeof(page->title), "%s", result_text(res, 0, "name"));
	schedule_title(page, res, id);
	buffer_add(page->out, "<div class=\"columns\">");
	schedule_facts(page, res);
	show_next(page, res, id);
	buffer_add(page->out, "</div>\n");
	show_runs(page, id);
	show_backfill(page, id);
	edit_form(page, res, id);
	PQclear(res);
}

/* /new-schedule: a form */
void
page_new_schedule(Page *page)
{
	static const FormField fields[] = {
		{"name", "Name", FORM_TEXT, "nightly", true},
		{"schedule", "When", FORM_TEXT, "30 3 * * *", true},
		{"function", "Function without parameters", FORM_TEXT, "public.send_invoices"},
		OPTION_FIELDS,
		{"command", "or one SQL statement", FORM_LINES, "SELECT send_invoice(42)"},
		{"allow_direct", "The function may also be called and enqueued directly", FORM_CHECK, ""},
		{NULL}
	};
	Buffer	   *out = page->out;

	buffer_add(out, "<h1>New schedule</h1>\n");
	if (dashboard.read_only)
	{
		page->request->status = 404;
		part_empty(page, "This dashboard is read-only.");
		return;
	}
	buffer_add(out, "<section class=\"card\" aria-label=\"New schedule\">\n");
	part_form_begin(page, "new-schedule", "fields", "/new-schedule", NULL);
	form_fields(page, "new", fields, NULL);
	buffer_add(out, "<div class=\"buttons\"><button class=\"primary\">Make it</button> <a class=\"button\" href=\"/schedules\">Cancel</a></div></form>\n"
			   "<p class=\"quiet note\">Five fields as in cron, six with seconds in front, @daily and the like, or every 5 minutes. It is yours, and its runs are jobs as you.</p>\n</section>\n");
}
