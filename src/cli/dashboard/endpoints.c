/*
 * endpoints.c
 *		The endpoints, and what was delivered lately.
 */
#include "dashboard/pages.h"

#include <string.h>

#include "dashboard/html.h"
#include "dashboard/parts.h"

/* Append the deliveries of the last day, by kind and state */
static void
deliveries(Page *page)
{
	PGresult   *res = page_query(page, "SELECT s.function, s.state, pg_catalog.sum(s.weight) AS jobs, pg_catalog.max(s.weight) > 1 AS estimated FROM ("
								 "SELECT function, state, weight FROM defer.history_sample(pg_catalog.statement_timestamp() - interval '24 hours')"
								 " UNION ALL SELECT function, state, weight FROM defer.live_sample()) s"
								 " WHERE s.function IN ('defer.http', 'defer.email', 'defer.slack') GROUP BY 1, 2 ORDER BY 1, 2", 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-deliveries\"><h2 id=\"h-deliveries\">Deliveries of the last 24 hours</h2>\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "There were none.");
	else if (result_good(res))
	{
		static const char *const columns[] = {"Kind", "State", "#Jobs", NULL};

		part_table_begin(page, columns, "deliveries");
		for (int i = 0; i < PQntuples(res); i++)
		{
			page->estimated = result_true(res, i, "estimated");
			html_add(out, "<tr><td><a href=\"/jobs?function=%s\">%s</a></td><td>", result_text(res, i, "function"), result_text(res, i, "function"));
			html_state(out, result_text(res, i, "state"));
			buffer_add(out, "</td>");
			part_count_cell(page, res, i, "jobs", "");
			buffer_add(out, "</tr>\n");
		}
		part_table_end(page);
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

/* Append the cell with the limits of an endpoint, and with its pause */
static void
limits_cell(Page *page, PGresult *res, int row)
{
	Buffer	   *out = page->out;

	buffer_add(out, "<td>");
	if (result_value(res, row, "concurrency") != NULL)
		html_add(out, "<span class=\"tag\" title=\"concurrency: under way, and at most so many at the same time\">%s of %s</span> ",
				 result_text(res, row, "running"), result_text(res, row, "concurrency"));
	if (result_value(res, row, "rate") != NULL)
		html_add(out, "<span class=\"tag\" title=\"rate: deliveries begin no more often\">%s</span> ", result_text(res, row, "rate"));
	if (result_value(res, row, "next_token") != NULL)
	{
		buffer_add(out, "next ");
		html_time(out, result_value(res, row, "next_token"), page->now);
	}
	if (result_value(res, row, "paused_until") != NULL)
	{
		buffer_add(out, " <span class=\"tag\" title=\"its server has asked to wait\">paused</span> ");
		html_time(out, result_value(res, row, "paused_until"), page->now);
	}
	buffer_add(out, "</td>");
}

/* /endpoints: all endpoints, and deliveries */
void
page_endpoints(Page *page)
{
	static const char *const titles[] = {"Endpoint", "Kind", "Address", "Owner", "Open to", "Limits", "Sender", "Secrets", "Made", NULL};
	PGresult   *res = page_query(page, "SELECT e.* FROM defer.endpoints e ORDER BY e.name LIMIT 300", 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<h1>Endpoints and deliveries</h1>\n<section class=\"card\" aria-label=\"Endpoints\">\n");
	if (result_good(res) && PQntuples(res) == 0)
		part_empty(page, "There are no endpoints: defer.endpoint() makes one.");
	else if (result_good(res))
	{
		part_table_begin(page, titles, "endpoints");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html_add(out, "<tr><td><strong>%s</strong></td><td>%s</td><td><code>%s</code></td><td>%s</td><td>%s</td>",
					 result_text(res, i, "name"), result_text(res, i, "kind"),
					 result_text(res, i, "address"), result_text(res, i, "owner"),
					 strcmp(result_text(res, i, "granted"), "{}") == 0 ? "" : result_text(res, i, "granted"));
			limits_cell(page, res, i);
			html_add(out, "<td>%s</td><td>%s%s%s</td><td>", result_text(res, i, "sender"),
					 result_true(res, i, "has_headers") ? "headers " : "", result_true(res, i, "has_password") ? "password " : "",
					 result_true(res, i, "has_secret") ? "signs" : "");
			html_time(out, result_value(res, i, "created_at"), page->now);
			buffer_add(out, "</td></tr>\n");
		}
		part_table_end(page);
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
	deliveries(page);
}
