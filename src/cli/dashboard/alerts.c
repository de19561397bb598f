/*
 * alerts.c
 *		The alerts: what each is about, and what it has told.
 */
#include "dashboard/pages.h"

#include "dashboard/html.h"
#include "dashboard/parts.h"

/* Append a cell with text */
static void
text_cell(Page *page, const char *value, const char *class)
{
	html_add(page->out, "<td class=\"%s\">%s</td>", class, value);
}

/* /alerts: all alerts; what one comes for is on the left */
void
page_alerts(Page *page)
{
	static const char *const sql =
		"SELECT a.name, a.owner, a.unsent, a.last_sent_at,"
		" pg_catalog.array_to_string(a.failing, ', ') AS failing,"
		" pg_catalog.concat_ws(', ', NULLIF(pg_catalog.array_to_string(a.on_states, ', '), ''),"
		" CASE WHEN a.function IS NOT NULL THEN 'of ' || a.function END,"
		" CASE WHEN a.recovered THEN 'recovered' END, CASE WHEN a.schedules THEN 'schedules' END,"
		" CASE WHEN a.backlog IS NOT NULL THEN 'backlog over ' || a.backlog END,"
		" CASE WHEN a.workers THEN 'workers' END,"
		" CASE WHEN a.step_waits IS NOT NULL THEN 'steps that wait ' || a.step_waits END,"
		" CASE WHEN a.retries IS NOT NULL THEN 'retries after attempt ' || a.retries END) AS about,"
		" COALESCE(a.endpoint, pg_catalog.array_to_string(a.recipients, ', ')) AS target, a.group_window"
		" FROM defer.alerts a ORDER BY a.name, a.owner::text LIMIT 200";
	static const char *const titles[] = {
		"Alert", "Failing now", "#Unsent", "Last sent", "About", "Sent to", "Grouped for", "Owner", NULL
	};
	PGresult   *res = page_query(page, sql, 0, NULL);

	buffer_add(page->out, "<h1>Alerts</h1>\n<section class=\"card\" aria-label=\"Alerts\">\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "There are no alerts: defer.alert() makes one.");
	else if (result_good(res))
	{
		part_table_begin(page, titles, "alerts");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html_add(page->out, "<tr><td><strong>%s</strong></td>", result_text(res, i, "name"));
			text_cell(page, result_text(res, i, "failing"), "is-bad");
			part_count_cell(page, res, i, "unsent", "");
			buffer_add(page->out, "<td>");
			html_time(page->out, result_value(res, i, "last_sent_at"), page->now);
			buffer_add(page->out, "</td>");
			text_cell(page, result_text(res, i, "about"), "");
			text_cell(page, result_text(res, i, "target"), "");
			text_cell(page, result_text(res, i, "group_window"), "");
			text_cell(page, result_text(res, i, "owner"), "");
			buffer_add(page->out, "</tr>\n");
		}
		part_table_end(page);
	}
	buffer_add(page->out, "</section>\n");
	PQclear(res);
}
