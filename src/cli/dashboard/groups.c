/*
 * groups.c
 *		The groups of a function or a queue: what they wait for, and their settings.
 */
#include "dashboard/groups.h"

#include <string.h>

#include "dashboard/dashboard.h"
#include "dashboard/form.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"

/* Groups whose first job is asked in full why it does not begin */
#define EXPLAINED	"20"

/* Append that a failed job holds the group, NULL: one that the user may not see */
static void
held_by(Buffer *out, const char *job)
{
	buffer_add(out, "held, because ");
	if (job != NULL)
		html_add(out, "<a href=\"/job?id=%s\">job %s</a> has failed", job, job);
	else
		buffer_add(out, "a job of another role has failed");
}

/* Append a button about one group */
static void
group_button(Page *page, const char *action, const char *kind, const char *name, const char *group,
			 const char *label)
{
	if (dashboard.read_only)
		return;
	part_form_begin(page, action, "action", NULL, NULL);
	part_hidden(page, kind, name);
	part_hidden(page, "group", group);
	html_add(page->out, "<button class=\"small\">%s</button></form> ", label);
}

static void
group_row(Page *page, const PGresult *res, int i, const char *kind, const char *name)
{
	Buffer	   *out = page->out;
	const char *group = result_text(res, i, "group_key");
	bool		paused = result_true(res, i, "paused");
	bool		held = result_value(res, i, "held_since") != NULL;

	html_add(out, "<tr><td><a href=\"/jobs?%s=", kind);
	html_url(out, name);
	buffer_add(out, "&amp;group=");
	html_url(out, group);
	html_add(out, "\">%s</a></td>", group);
	html_add(out, "<td class=\"num %s\">%s", result_number(res, i, "running") > 0 ? "is-running" : "zero",
			 result_text(res, i, "running"));
	if (result_value(res, i, "concurrency") != NULL)
		html_add(out, "<span class=\"quiet\" title=\"its limit\">/%s</span>", result_text(res, i, "concurrency"));
	buffer_add(out, "</td>");
	part_count_cell(page, res, i, "queued", "");
	part_count_cell(page, res, i, "retrying", "is-retrying");
	part_count_cell(page, res, i, "scheduled", "");
	part_count_cell(page, res, i, "waiting", "");
	part_seconds_cell(page, res, i, "oldest");
	html_add(out, "<td class=\"num\">%s</td><td class=\"num\">%s</td>", result_text(res, i, "weight"),
			 result_text(res, i, "percent"));
	buffer_add(out, "<td class=\"cut\">");
	if (paused)
		html_state(out, "paused");
	if (held)
		held_by(out, result_value(res, i, "held_by"));
	if (paused)
		html_add(out, " %s", result_text(res, i, "reason"));
	else if (!held && result_value(res, i, "waits") != NULL)
		html_add(out, "<a href=\"/job?id=%s\">job %s</a> %s", result_text(res, i, "head"), result_text(res, i, "head"),
				 result_text(res, i, "waits"));
	buffer_add(out, "</td><td class=\"actions\">");
	if (held)
		group_button(page, "release-group", kind, name, group, "Release");
	group_button(page, paused ? "resume-group" : "pause-group", kind, name, group, paused ? "Resume" : "Pause");
	if (result_true(res, i, "own"))
		group_button(page, "reset-group", kind, name, group, "Reset");
	buffer_add(out, "</td></tr>\n");
}

/* Append the forms of one group, which can be set before it has jobs */
static void
group_forms(Page *page, const char *kind, const char *name)
{
	static const FormField fields[] = {
		{"group", "Group", FORM_TEXT, "", true},
		{"weight", "Weight", FORM_TEXT, "1"},
		{"concurrency", "Jobs at the same time", FORM_TEXT, "none: no limit"},
		{"rate", "Rate", FORM_TEXT, "10/minute"},
		{NULL}
	};

	if (dashboard.read_only)
		return;
	buffer_add(page->out, "<details><summary>Settings of one group</summary>");
	part_form_begin(page, "set-group", "fields", NULL, NULL);
	part_hidden(page, kind, name);
	form_fields(page, "group", fields, NULL);
	buffer_add(page->out, "<div class=\"buttons\"><button class=\"primary\">Set them</button> <span class=\"quiet\">An empty field stays as it is.</span></div></form></details>\n");
	part_form_begin(page, "pause-group", "inline", NULL, NULL);
	part_hidden(page, kind, name);
	buffer_add(page->out, "<label for=\"g-group\">Group</label><input id=\"g-group\" name=\"group\" required spellcheck=\"false\">"
			   "<label for=\"g-reason\">Reason</label><input id=\"g-reason\" name=\"reason\">"
			   "<button>Pause this group</button></form>\n");
}

/*
 * Append the groups with unfinished jobs or settings, those with most first.  A function
 * without groups has none of it; kind: function or queue.
 */
void
groups_card(Page *page, const char *kind, const char *name)
{
	static const char *const sql =
		"WITH h AS (SELECT j.group_key, pg_catalog.min(j.id) AS head FROM defer.live_jobs j"
		" WHERE CASE WHEN $1 = 'queue' THEN j.queue ELSE j.function END = $2 AND j.group_key IS NOT NULL AND j.ready GROUP BY 1),"
		" g AS MATERIALIZED (SELECT g.*, pg_catalog.row_number() OVER (ORDER BY g.paused DESC, g.held_since, g.queued DESC, g.group_key) AS place"
		" FROM defer.groups g WHERE g.kind = $1 AND g.name = $2"
		" ORDER BY g.paused DESC, g.held_since, g.queued DESC, g.group_key LIMIT 100)"
		" SELECT g.*, pg_catalog.round((g.share * 100)::pg_catalog.numeric) || '%' AS percent,"
		" pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - g.oldest_ready) AS oldest,"
		" CASE WHEN h.head IS NOT NULL AND g.place <= " EXPLAINED " THEN (SELECT w.reason || ': ' || w.detail FROM defer.why(h.head) w LIMIT 1)"
		" ELSE defer.waiting_for(h.head) END AS waits, h.head,"
		" g.paused OR g.reason IS NOT NULL OR g.weight <> 1"
		" OR (g.concurrency IS DISTINCT FROM s.group_concurrency AND s.group_order IS DISTINCT FROM 'strict')"
		" OR g.rate IS DISTINCT FROM s.group_rate AS own"
		" FROM g LEFT JOIN defer.settings s ON s.kind = $1 AND s.name = $2 LEFT JOIN h ON h.group_key = g.group_key"
		" ORDER BY g.place";
	static const char *const titles[] = {
		"Group", "#Running", "#Queued", "#Retrying", "#Scheduled", "#Waiting", "#Oldest", "#Weight", "#Share", "Waits for", "Actions",
		NULL
	};
	const char *values[] = {kind, name};
	bool		queue = strcmp(kind, "queue") == 0;
	PGresult   *res = page_query(page, sql, lengthof(values), values);

	/* a function in which there are no groups is the rule */
	if (!queue && (!result_good(res) || PQntuples(res) == 0))
	{
		PQclear(res);
		return;
	}

	buffer_add(page->out, "<section class=\"card\" aria-labelledby=\"h-groups\"><div class=\"head\"><h2 id=\"h-groups\">Groups</h2></div>\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "No group has unfinished jobs here, or settings of its own.");
	else if (result_good(res))
	{
		part_table_begin(page, titles, "groups");
		for (int i = 0; i < PQntuples(res); i++)
			group_row(page, res, i, kind, name);
		part_table_end(page);
		if (PQntuples(res) == 100)
			buffer_add(page->out, "<p class=\"quiet note\">The 100 groups with most queued jobs.</p>\n");
	}
	group_forms(page, kind, name);
	buffer_add(page->out, "</section>\n");
	PQclear(res);
}
