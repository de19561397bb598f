/*
 * schedules.c
 *		The schedules, a card each.
 *
 * Buttons name a schedule by its id: several roles can have one of that name.
 * Cards are ordered by name: those that change places cannot be clicked.
 */
#include "dashboard/pages.h"

#include <stdlib.h>
#include <string.h>

#include "dashboard/dashboard.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"
#include "dashboard/schedule.h"

static void
card_head(Page *page, const PGresult *res, int i)
{
	Buffer	   *out = page->out;
	const char *id = result_text(res, i, "id");
	bool		active = result_true(res, i, "active");
	char	   *question = xprintf("Run the schedule \"%s\" of %s now?", result_text(res, i, "name"),
								   result_text(res, i, "owner"));

	html_add(out, "<article class=\"card schedule%s\" id=\"schedule-%s\"><div class=\"head\"><h2><a href=\"/schedule?id=%s\">%s</a></h2>",
			 active ? "" : " inactive", id, id, result_text(res, i, "name"));
	if (!active)
		html_state(out, "paused");
	if (result_value(res, i, "last_state") != NULL)
		html_state(out, result_text(res, i, "last_state"));
	buffer_add(out, "<div class=\"actions\">");
	part_button(page, "trigger", "id", id, "Run now", "small", question);
	part_button(page, active ? "pause-schedule" : "resume-schedule", "id", id,
				active ? "Pause" : "Resume", "small", NULL);
	buffer_add(out, "</div></div>\n");
	free(question);
}

/* Append who has paused it, when and why; or a form to pause it with a reason */
void
schedule_pause(Page *page, const PGresult *res, int i)
{
	Buffer	   *out = page->out;

	if (!result_true(res, i, "active"))
	{
		if (result_value(res, i, "paused_at") == NULL)
			return;
		buffer_add(out, "<p class=\"message\">Paused ");
		html_time(out, result_value(res, i, "paused_at"), page->now);
		if (result_value(res, i, "paused_by") != NULL)
			html_add(out, " by %s", result_text(res, i, "paused_by"));
		if (result_value(res, i, "pause_reason") != NULL)
			html_add(out, ": %s", result_text(res, i, "pause_reason"));
		buffer_add(out, "</p>\n");
	}
	else if (!dashboard.read_only)
	{
		buffer_add(out, "<details><summary>Pause with a reason</summary>");
		part_form_begin(page, "pause-schedule", "inline", NULL, NULL);
		part_hidden(page, "id", result_text(res, i, "id"));
		html_add(out, "<label for=\"reason-%s\">Reason</label><input id=\"reason-%s\" name=\"reason\" maxlength=\"1000\">"
				 "<button>Pause it</button></form></details>\n", result_text(res, i, "id"), result_text(res, i, "id"));
	}
}

static void
schedule_card(Page *page, const PGresult *res, int i)
{
	Buffer	   *out = page->out;

	card_head(page, res, i);
	html_add(out, "<p class=\"words\">%s <span class=\"quiet\">\xc2\xb7 %s</span></p>\n",
			 result_text(res, i, "description"), result_text(res, i, "timezone"));
	html_add(out, "<p class=\"runs\"><code class=\"cron\">%s</code> ", result_text(res, i, "schedule"));
	if (result_value(res, i, "command") != NULL)
		html_add(out, "<code class=\"cut\">%s</code>", result_text(res, i, "command"));
	else
		html_function(out, result_text(res, i, "function"));
	html_add(out, " <span class=\"quiet\">as %s</span></p>\n", result_text(res, i, "owner"));
	if (result_value(res, i, "last_error") != NULL)
		html_add(out, "<p class=\"message bad\">%s</p>\n", result_text(res, i, "last_error"));
	schedule_pause(page, res, i);
	buffer_add(out, "<dl class=\"facts\"><div><dt>Last run</dt><dd>");
	html_time(out, result_value(res, i, "last_run_at"), page->now);
	html_add(out, " <a class=\"small\" href=\"/jobs?schedule=%s\">Runs</a></dd></div>\n<div><dt>Next</dt><dd>",
			 result_text(res, i, "id"));
	if (result_value(res, i, "next_clock") != NULL)
		html_add(out, "%s<br>", result_text(res, i, "next_clock"));
	html_time(out, result_value(res, i, "next_run_at"), page->now);
	html_add(out, "</dd></div>\n<div><dt>If the last still runs</dt><dd>%s</dd></div>\n"
			 "<div><dt>After downtime</dt><dd>%s</dd></div></dl>\n",
			 result_text(res, i, "overlap"), result_text(res, i, "catch_up"));
	if (result_value(res, i, "last_jobs") != NULL)
	{
		buffer_add(out, "<div><p class=\"label\">Last runs</p>");
		part_job_links(page, result_text(res, i, "last_jobs"));
		buffer_add(out, "</div>\n");
	}
	buffer_add(out, "</article>\n");
}

/* /schedules: all schedules */
void
page_schedules(Page *page)
{
	/* the last runs of the first ones only: each is a search of its own */
	static const char *const sql =
		"WITH s AS MATERIALIZED (SELECT s.*, pg_catalog.row_number() OVER (ORDER BY s.name, s.owner::text, s.id) AS place"
		" FROM defer.schedules s ORDER BY place LIMIT 200)"
		" SELECT s.*, pg_catalog.to_char(s.next_run_at AT TIME ZONE s.timezone, 'Dy YYYY-MM-DD HH24:MI:SS') AS next_clock,"
		" CASE WHEN s.place <= 20 THEN"
		" (SELECT pg_catalog.string_agg(j.id || ':' || j.state, ' ' ORDER BY j.id DESC) FROM defer.jobs j"
		" WHERE j.id = ANY (ARRAY(SELECT defer.find_jobs(schedule_id => s.id, n => 6)))) END AS last_jobs"
		" FROM s ORDER BY s.place";
	PGresult   *res = page_query(page, sql, 0, NULL);

	buffer_add(page->out, "<div class=\"title\"><h1>Schedules</h1>");
	if (!dashboard.read_only)
		buffer_add(page->out, "<div class=\"actions\"><a class=\"button\" href=\"/new-schedule\">New schedule\xe2\x80\xa6</a></div>");
	buffer_add(page->out, "</div>\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "There are no schedules.");
	else if (result_good(res))
	{
		buffer_add(page->out, "<div class=\"cards\">\n");
		for (int i = 0; i < PQntuples(res); i++)
			schedule_card(page, res, i);
		buffer_add(page->out, "</div>\n");
	}
	PQclear(res);
}
