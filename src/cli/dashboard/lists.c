/*
 * lists.c
 *		Functions, schedules, queues, workers, endpoints and alerts.
 */
#include "dashboard/dashboard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPARK_BARS	24

void
cell_seconds(Page *page, const PGresult *res, int row, const char *column)
{
	buffer_add(page->out, "<td class=\"num\">");
	if (result_value(res, row, column) != NULL)
		html_seconds(page->out, result_number(res, row, column));
	buffer_add(page->out, "</td>");
}

void
cell_count(Page *page, const PGresult *res, int row, const char *column, const char *class)
{
	double		count = result_number(res, row, column);

	html(page->out, "<td class=\"num %s\">", count > 0 ? class : "zero");
	html_count_about(page->out, count, page->estimated);
	buffer_add(page->out, "</td>");
}

void
table_begin(Page *page, const char *const *titles, const char *class)
{
	html(page->out, "<div class=\"scroll\"><table class=\"%s\"><thead><tr>", class);
	for (; *titles != NULL; titles++)
	{
		bool		number = (*titles)[0] == '#';

		html(page->out, "<th scope=\"col\"%s>%s</th>", number ? " class=num" : "", *titles + (number ? 1 : 0));
	}
	buffer_add(page->out, "</tr></thead><tbody>\n");
}

void
table_end(Page *page)
{
	buffer_add(page->out, "</tbody></table></div>\n");
}

/* ------------------------------------------------------------------------
 * Functions
 * ------------------------------------------------------------------------ */

/*
 * Functions that have jobs, or had some in the last 24 hours, or settings; what
 * ended by the hour, as arrays.
 */
#define FUNCTIONS_SQL(name) \
	"WITH h AS MATERIALIZED (SELECT s.* FROM defer.history_sample(pg_catalog.statement_timestamp() - interval '24 hours') s" name "),\n" \
	" b AS (SELECT function, pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - finished_at) / 3600)::int AS hour," \
	" pg_catalog.sum(weight) FILTER (WHERE state = 'succeeded') AS good, pg_catalog.sum(weight) FILTER (WHERE state = 'failed') AS bad FROM h GROUP BY 1, 2),\n" \
	" e AS (SELECT function, pg_catalog.sum(weight) FILTER (WHERE state = 'succeeded') AS succeeded, pg_catalog.sum(weight) FILTER (WHERE state = 'failed') AS failed," \
	" pg_catalog.avg(pg_catalog.date_part('epoch', finished_at - started_at)) AS avg," \
	" pg_catalog.percentile_disc(0.95) WITHIN GROUP (ORDER BY pg_catalog.date_part('epoch', finished_at - started_at)) AS p95, pg_catalog.max(finished_at) AS last" \
	" FROM h GROUP BY 1),\n" \
	" a AS (SELECT function, pg_catalog.string_agg(hour || ' ' || COALESCE(good, 0) || ' ' || COALESCE(bad, 0), ',') AS activity FROM b GROUP BY 1),\n" \
	" l AS (SELECT s.function, pg_catalog.sum(s.weight) FILTER (WHERE s.state = 'running') AS running, pg_catalog.sum(s.weight) FILTER (WHERE s.state = 'queued') AS queued," \
	" pg_catalog.sum(s.weight) FILTER (WHERE s.state = 'retrying') AS retrying, pg_catalog.sum(s.weight) FILTER (WHERE s.state = 'scheduled') AS scheduled," \
	" pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - pg_catalog.min(s.run_at) FILTER (WHERE s.ready)) AS oldest" \
	" FROM defer.live_sample() s" name " GROUP BY 1),\n" \
	" f AS (SELECT s.* FROM (SELECT name AS function, paused, concurrency, max_attempts, queue, priority FROM defer.settings WHERE kind = 'function') s" name ")\n" \
	" SELECT function, l.running, l.queued, l.retrying, l.scheduled, l.oldest, e.succeeded, e.failed, e.avg, e.p95, e.last, a.activity," \
	" COALESCE(f.paused, false) AS paused, f.concurrency, (SELECT pg_catalog.max(weight) > 1 FROM h) AS estimated" \
	" FROM l FULL JOIN e USING (function) FULL JOIN a USING (function) FULL JOIN f USING (function)" \
	" ORDER BY COALESCE(l.running, 0) DESC, COALESCE(e.succeeded, 0) + COALESCE(e.failed, 0) DESC, function LIMIT 300"

static void
activity(const PGresult *res, int row, double *good, double *bad)
{
	const char *at = result_text(res, row, "activity");

	memset(good, 0, SPARK_BARS * sizeof(double));
	memset(bad, 0, SPARK_BARS * sizeof(double));
	while (*at != '\0')
	{
		char	   *end;
		long		hour = strtol(at, &end, 10);
		double		hour_good = strtod(end, &end);
		double		hour_bad = strtod(end, &end);

		if (hour >= 0 && hour < SPARK_BARS)
		{
			good[SPARK_BARS - 1 - hour] = hour_good;
			bad[SPARK_BARS - 1 - hour] = hour_bad;
		}
		at = end + strcspn(end, ",");
		at += *at == ',';
	}
}

static void
function_row(Page *page, const PGresult *res, int i)
{
	Buffer	   *out = page->out;
	const char *name = result_text(res, i, "function");
	double		ended = result_number(res, i, "succeeded") + result_number(res, i, "failed");
	double		rate = ended > 0 ? 100 * result_number(res, i, "failed") / ended : 0;
	double		good[SPARK_BARS];
	double		bad[SPARK_BARS];
	bool		paused = result_true(res, i, "paused");

	buffer_add(out, "<tr><td><a href=\"/function?name=");
	html_url(out, name);
	buffer_add(out, "\">");
	html_function(out, name);
	buffer_add(out, "</a>");
	if (paused)
		buffer_add(out, " <span class=\"state is-paused\">paused</span>");
	if (result_value(res, i, "concurrency") != NULL)
		html(out, " <span class=\"tag\" title=\"concurrency: at most so many at the same time\">max %s</span>", result_text(res, i, "concurrency"));
	buffer_add(out, "</td><td>");
	activity(res, i, good, bad);
	chart_spark(out, good, bad, SPARK_BARS, "What ended in each of the last 24 hours");
	buffer_add(out, "</td>");
	cell_count(page, res, i, "running", "is-running");
	cell_count(page, res, i, "queued", "");
	cell_count(page, res, i, "retrying", "is-retrying");
	cell_count(page, res, i, "succeeded", "");
	html(out, "<td class=\"num %s\">", rate > 0 ? "is-bad" : "zero");
	if (ended > 0)
		html(out, rate > 0 && rate < 0.1 ? "&lt; 0.1 %%" : "%.1f %%", rate);
	buffer_add(out, "</td>");
	cell_seconds(page, res, i, "avg");
	cell_seconds(page, res, i, "p95");
	buffer_add(out, "<td class=\"actions\">");
	button(page, paused ? "resume-function" : "pause-function", "name", name, paused ? "Resume" : "Pause", "small", NULL);
	buffer_add(out, "</td></tr>\n");
}

static const char *const function_titles[] = {
	"Function", "Last 24 hours", "#Running", "#Queued", "#Retrying", "#Succeeded", "#Failed", "#Average", "#95 %", "", NULL
};

void
page_functions(Page *page)
{
	PGresult   *res = page_query(page, FUNCTIONS_SQL(""), 0, NULL);

	buffer_add(page->out, "<h1>Functions</h1>\n<section class=\"card\" aria-label=\"Functions\">\n");
	if (page_result(page, res) && PQntuples(res) == 0)
		empty_note(page, "No function has jobs or settings.");
	else if (page_result(page, res))
	{
		page->estimated = result_true(res, 0, "estimated");
		table_begin(page, function_titles, "functions");
		for (int i = 0; i < PQntuples(res); i++)
			function_row(page, res, i);
		table_end(page);
		if (page->estimated)
			buffer_add(page->out, "<p class=\"quiet note\">So much has ended that these numbers are estimated from a sample; a function that seldom runs may be missing.</p>\n");
	}
	buffer_add(page->out, "</section>\n");
	PQclear(res);
}

void
page_function(Page *page, const char *signature)
{
	const char *values[] = {signature};
	PGresult   *res;
	Buffer	   *out = page->out;

	if (signature == NULL)
	{
		page->request->status = 404;
		empty_note(page, "There is no such function.");
		return;
	}
	res = page_query(page, FUNCTIONS_SQL(" WHERE s.function = $1"), 1, values);
	buffer_add(out, "<div class=\"title\"><h1>");
	html_function(out, signature);
	buffer_add(out, "</h1><div class=\"actions\"><a class=\"button\" href=\"/jobs?function=");
	html_url(out, signature);
	buffer_add(out, "\">Jobs</a><a class=\"button\" href=\"/jobs?state=failed&amp;function=");
	html_url(out, signature);
	buffer_add(out, "\">Failed</a></div></div>\n<section class=\"card\" aria-label=\"Function\">\n");
	if (page_result(page, res) && PQntuples(res) > 0)
	{
		page->estimated = result_true(res, 0, "estimated");
		table_begin(page, function_titles, "functions");
		function_row(page, res, 0);
		table_end(page);
	}
	else
		empty_note(page, "It has neither jobs of the last 24 hours nor settings.");
	buffer_add(out, "</section>\n");
	PQclear(res);

	res = page_query(page, "SELECT k.key, k.value FROM defer.settings s CROSS JOIN LATERAL pg_catalog.jsonb_each_text(pg_catalog.to_jsonb(s) - ARRAY['kind', 'name', 'paused']) k"
					 " WHERE s.kind = 'function' AND s.name = $1 AND k.value IS NOT NULL", 1, values);
	if (page_result(page, res) && PQntuples(res) > 0)
	{
		buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-settings\"><h2 id=\"h-settings\">Settings</h2><dl class=\"facts\">\n");
		for (int i = 0; i < PQntuples(res); i++)
			html(out, "<div><dt>%s</dt><dd>%s</dd></div>\n", result_text(res, i, "key"), result_text(res, i, "value"));
		buffer_add(out, "</dl></section>\n");
	}
	PQclear(res);

	res = page_query(page, "SELECT j.id, j.function, j.finished_at, j.sqlstate, pg_catalog.left(j.error, 300) AS error"
					 " FROM defer.jobs j WHERE j.id = ANY (ARRAY(SELECT defer.find_jobs('{failed}', function => $2, n => 10)))"
					 " AND j.function = $1 ORDER BY j.id DESC", 2, (const char *const[]) {signature, signature});
	if (page_result(page, res) && PQntuples(res) > 0)
	{
		buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-failed\"><h2 id=\"h-failed\">Failed last</h2><ul class=\"failures\">\n");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html(out, "<li><a href=\"/job?id=%s\">Job %s</a> <span class=\"quiet\">", result_text(res, i, "id"), result_text(res, i, "id"));
			html_time(out, result_value(res, i, "finished_at"), page->now);
			html(out, "</span><p class=\"error-text\">%s</p></li>\n", result_text(res, i, "error"));
		}
		buffer_add(out, "</ul></section>\n");
	}
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * Schedules
 * ------------------------------------------------------------------------ */

static void
schedule_card(Page *page, const PGresult *res, int i)
{
	Buffer	   *out = page->out;
	const char *name = result_text(res, i, "name");
	bool		active = result_true(res, i, "active");
	const char *next = result_text(res, i, "next_runs");

	html(out, "<article class=\"card schedule%s\"><div class=\"head\"><h2>%s</h2>", active ? "" : " inactive", name);
	if (!active)
		html_state(out, "paused");
	if (result_value(res, i, "last_state") != NULL)
		html_state(out, result_text(res, i, "last_state"));
	buffer_add(out, "<div class=\"actions\">");
	button(page, "trigger", "name", name, "Run now", "small", NULL);
	button(page, active ? "pause-schedule" : "resume-schedule", "name", name, active ? "Pause" : "Resume", "small", NULL);
	buffer_add(out, "</div></div>\n<p class=\"words\">");
	html(out, "%s <span class=\"quiet\">%s</span></p>\n", result_text(res, i, "description"), result_text(res, i, "timezone"));
	html(out, "<p class=\"runs\"><code class=\"cron\">%s</code> ", result_text(res, i, "schedule"));
	if (result_value(res, i, "command") != NULL)
		html(out, "<code class=\"cut\">%s</code>", result_text(res, i, "command"));
	else
		html_function(out, result_text(res, i, "function"));
	html(out, " <span class=\"quiet\">as %s</span></p>\n", result_text(res, i, "owner"));
	if (result_value(res, i, "last_error") != NULL)
		html(out, "<p class=\"message bad\">%s</p>\n", result_text(res, i, "last_error"));
	buffer_add(out, "<dl class=\"facts\"><div><dt>Last run</dt><dd>");
	html_time(out, result_value(res, i, "last_run_at"), page->now);
	buffer_add(out, " <a class=\"small\" href=\"/jobs?schedule=");
	html_url(out, name);
	buffer_add(out, "\">Runs</a></dd></div>\n<div><dt>Next</dt><dd>");
	html_time(out, result_value(res, i, "next_run_at"), page->now);
	html(out, "</dd></div>\n<div><dt>If the last still runs</dt><dd>%s</dd></div>\n<div><dt>After down-time</dt><dd>%s</dd></div></dl>\n",
		 result_text(res, i, "overlap"), result_text(res, i, "catch_up"));
	if (result_value(res, i, "runs") != NULL)
	{
		buffer_add(out, "<div><p class=\"label\">Last runs</p>");
		job_leaves(page, result_text(res, i, "runs"));
		buffer_add(out, "</div>\n");
	}
	if (*next == '{' && next[1] != '}')
	{
		buffer_add(out, "<details open><summary>Next five times</summary><ol class=\"times\">\n");
		for (next++; *next != '\0' && *next != '}';)
		{
			char	   *time;
			size_t		len;

			next += *next == '"' || *next == ',';
			next += *next == '"';
			len = strcspn(next, "\",}");
			time = xprintf("%.*s", (int) len, next);
			buffer_add(out, "<li>");
			html_clock(out, time, page->now);
			buffer_add(out, "</li>");
			free(time);
			next += len;
			next += *next == '"';
		}
		buffer_add(out, "</ol></details>\n");
	}
	buffer_add(out, "</article>\n");
}

void
page_schedules(Page *page)
{
	/* the last runs only of the first ones: each is a search of its own */
	static const char *const sql =
	"WITH s AS MATERIALIZED (SELECT s.*, pg_catalog.row_number() OVER (ORDER BY s.active DESC, s.next_run_at, s.name) AS place"
	" FROM defer.schedules s ORDER BY place LIMIT 200)"
	" SELECT s.*, CASE WHEN s.place <= 20 AND s.last_run_at IS NOT NULL THEN"
	" (SELECT pg_catalog.string_agg(j.id || ':' || j.state, ' ' ORDER BY j.id DESC) FROM defer.jobs j"
	" WHERE j.id = ANY (ARRAY(SELECT defer.find_jobs(schedule_id => s.id, n => 6)))) END AS runs"
	" FROM s ORDER BY s.place";
	PGresult   *res = page_query(page, sql, 0, NULL);

	buffer_add(page->out, "<h1>Schedules</h1>\n");
	if (page_result(page, res) && PQntuples(res) == 0)
		empty_note(page, "There are no schedules: defer.cron() makes one.");
	else if (page_result(page, res))
	{
		buffer_add(page->out, "<div class=\"cards\">\n");
		for (int i = 0; i < PQntuples(res); i++)
			schedule_card(page, res, i);
		buffer_add(page->out, "</div>\n");
	}
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * Queues
 * ------------------------------------------------------------------------ */

void
page_queues(Page *page)
{
	static const char *const sql =
	"WITH h AS MATERIALIZED (SELECT * FROM defer.history_sample(pg_catalog.statement_timestamp() - interval '24 hours')),"
	" e AS (SELECT queue, pg_catalog.sum(weight) FILTER (WHERE state = 'succeeded') AS succeeded, pg_catalog.sum(weight) FILTER (WHERE state = 'failed') AS failed,"
	" pg_catalog.avg(pg_catalog.date_part('epoch', started_at - run_at)) AS waited FROM h GROUP BY 1),"
	" l AS (SELECT queue, pg_catalog.sum(weight) FILTER (WHERE state = 'running') AS running, pg_catalog.sum(weight) FILTER (WHERE state = 'queued') AS queued,"
	" pg_catalog.sum(weight) FILTER (WHERE state = 'retrying') AS retrying, pg_catalog.sum(weight) FILTER (WHERE state = 'scheduled') AS scheduled,"
	" pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - pg_catalog.min(run_at) FILTER (WHERE ready)) AS oldest FROM defer.live_sample() GROUP BY 1)"
	" SELECT s.name, s.owner, s.paused, s.concurrency, s.priority, l.*, e.succeeded, e.failed, e.waited, (SELECT pg_catalog.max(weight) > 1 FROM h) AS estimated"
	" FROM defer.settings s LEFT JOIN e ON e.queue = s.name LEFT JOIN l ON l.queue = s.name WHERE s.kind = 'queue' ORDER BY s.name <> 'default', s.name LIMIT 300";
	static const char *const titles[] = {"Queue", "Owner", "#Limit", "#Priority", "#Running", "#Queued", "#Retrying", "#Scheduled", "#Oldest", "#Succeeded", "#Failed", "#Waited", "", NULL};
	PGresult   *res = page_query(page, sql, 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<h1>Queues</h1>\n<section class=\"card\" aria-label=\"Queues\">\n");
	if (page_result(page, res))
	{
		table_begin(page, titles, "queues");
		for (int i = 0; i < PQntuples(res); i++)
		{
			const char *name = result_text(res, i, "name");
			bool		paused = result_true(res, i, "paused");

			page->estimated = result_true(res, i, "estimated");
			buffer_add(out, "<tr><td><a href=\"/jobs?queue=");
			html_url(out, name);
			html(out, "\">%s</a></td><td>%s</td><td class=\"num\">%s</td><td class=\"num\">%s</td>", name,
				 result_text(res, i, "owner"), result_text(res, i, "concurrency"), result_text(res, i, "priority"));
			cell_count(page, res, i, "running", "is-running");
			cell_count(page, res, i, "queued", "");
			cell_count(page, res, i, "retrying", "is-retrying");
			cell_count(page, res, i, "scheduled", "");
			cell_seconds(page, res, i, "oldest");
			cell_count(page, res, i, "succeeded", "");
			cell_count(page, res, i, "failed", "is-bad");
			cell_seconds(page, res, i, "waited");
			buffer_add(out, "<td class=\"actions\">");
			if (paused)
				html_state(out, "paused");
			button(page, paused ? "resume-queue" : "pause-queue", "name", name, paused ? "Resume" : "Pause", "small", NULL);
			buffer_add(out, "</td></tr>\n");
		}
		table_end(page);
		buffer_add(out, "<p class=\"quiet note\">Succeeded, failed, waited (on average, until it began): of the last 24 hours.</p>\n");
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * Workers
 * ------------------------------------------------------------------------ */

void
page_workers(Page *page)
{
	static const char *const sql =
	"SELECT w.*, pg_catalog.date_part('epoch', pg_catalog.statement_timestamp() - w.since) AS seconds, a.wait_event_type, a.wait_event,"
	" r.progress FROM defer.workers w LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = w.pid"
	" LEFT JOIN defer.running_jobs() r ON r.job_id = w.job_id AND w.database = pg_catalog.current_database()"
	" ORDER BY pg_catalog.array_position(ARRAY['launcher', 'scheduler', 'sender', 'worker'], w.kind), w.job_id IS NULL, w.since LIMIT 500";
	static const char *const titles[] = {"Process", "#Pid", "Database", "Role", "Does", "#Since", "Waits for", NULL};
	PGresult   *res = page_query(page, sql, 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<h1>Workers</h1>\n<section class=\"card\" aria-label=\"Processes\">\n");
	if (page_result(page, res) && PQntuples(res) == 0)
		empty_note(page, "No process that you may see runs. Workers leave when they have nothing to do.");
	else if (page_result(page, res))
	{
		table_begin(page, titles, "workers");
		for (int i = 0; i < PQntuples(res); i++)
		{
			const char *job = result_value(res, i, "job_id");

			html(out, "<tr><td>%s</td><td class=\"num\">%s</td><td>%s</td><td>%s</td><td>", result_text(res, i, "kind"),
				 result_text(res, i, "pid"), result_text(res, i, "database"), result_text(res, i, "role"));
			if (job != NULL && result_value(res, i, "function") != NULL)
			{
				html(out, "<a href=\"/job?id=%s\">", job);
				html_function(out, result_text(res, i, "function"));
				html(out, "</a> <span class=\"quiet\">job %s</span>", job);
			}
			else if (job != NULL)
				html(out, "job %s", job);
			else if (strcmp(result_text(res, i, "kind"), "worker") == 0)
				buffer_add(out, "<span class=\"quiet\">idle</span>");
			if (result_value(res, i, "progress") != NULL)
				html(out, " <progress max=\"1\" value=\"%s\" aria-label=\"Progress\"></progress>", result_text(res, i, "progress"));
			buffer_add(out, "</td>");
			cell_seconds(page, res, i, "seconds");
			if (job != NULL && result_value(res, i, "wait_event") != NULL)
				html(out, "<td>%s <span class=\"quiet\">%s</span></td></tr>\n", result_text(res, i, "wait_event"), result_text(res, i, "wait_event_type"));
			else
				buffer_add(out, "<td></td></tr>\n");
		}
		table_end(page);
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * Endpoints and deliveries, alerts
 * ------------------------------------------------------------------------ */

/* Any view, as it is: for those whose columns are not ours to know */
static void
show_table(Page *page, const PGresult *res)
{
	Buffer	   *out = page->out;

	buffer_add(out, "<div class=\"scroll\"><table><thead><tr>");
	for (int c = 0; c < PQnfields(res); c++)
		html(out, "<th scope=\"col\">%s</th>", PQfname(res, c));
	buffer_add(out, "</tr></thead><tbody>\n");
	for (int r = 0; r < PQntuples(res); r++)
	{
		buffer_add(out, "<tr>");
		for (int c = 0; c < PQnfields(res); c++)
		{
			const char *value = PQgetvalue(res, r, c);

			if (PQgetisnull(res, r, c))
				buffer_add(out, "<td></td>");
			else if (PQftype(res, c) == 16)
				html(out, "<td>%s</td>", value[0] == 't' ? "yes" : "no");
			else if (PQftype(res, c) == 1184)
			{
				buffer_add(out, "<td>");
				html_time(out, value, page->now);
				buffer_add(out, "</td>");
			}
			else
				html(out, "<td>%s</td>", value);
		}
		buffer_add(out, "</tr>\n");
	}
	buffer_add(out, "</tbody></table></div>\n");
}

void
page_endpoints(Page *page)
{
	static const char *const titles[] = {"Endpoint", "Kind", "Address", "Owner", "Open to", "Sender", "Secrets", "Made", NULL};
	PGresult   *res = page_query(page, "SELECT e.* FROM defer.endpoints e ORDER BY e.name LIMIT 300", 0, NULL);
	Buffer	   *out = page->out;

	buffer_add(out, "<h1>Endpoints and deliveries</h1>\n<section class=\"card\" aria-label=\"Endpoints\">\n");
	if (page_result(page, res) && PQntuples(res) == 0)
		empty_note(page, "There are no endpoints: defer.endpoint() makes one.");
	else if (page_result(page, res))
	{
		table_begin(page, titles, "endpoints");
		for (int i = 0; i < PQntuples(res); i++)
		{
			html(out, "<tr><td><strong>%s</strong></td><td>%s</td><td><code>%s</code></td><td>%s</td><td>%s</td><td>%s</td><td>%s%s%s</td><td>",
				 result_text(res, i, "name"), result_text(res, i, "kind"), result_text(res, i, "address"), result_text(res, i, "owner"),
				 strcmp(result_text(res, i, "granted"), "{}") == 0 ? "" : result_text(res, i, "granted"), result_text(res, i, "sender"),
				 result_true(res, i, "has_headers") ? "headers " : "", result_true(res, i, "has_password") ? "password " : "",
				 result_true(res, i, "has_secret") ? "signs" : "");
			html_time(out, result_value(res, i, "created_at"), page->now);
			buffer_add(out, "</td></tr>\n");
		}
		table_end(page);
	}
	buffer_add(out, "</section>\n");
	PQclear(res);

	res = page_query(page, "SELECT s.function, s.state, pg_catalog.sum(s.weight) AS jobs, pg_catalog.max(s.weight) > 1 AS estimated FROM ("
					 "SELECT function, state, weight FROM defer.history_sample(pg_catalog.statement_timestamp() - interval '24 hours')"
					 " UNION ALL SELECT function, state, weight FROM defer.live_sample()) s"
					 " WHERE s.function IN ('defer.http', 'defer.email', 'defer.slack') GROUP BY 1, 2 ORDER BY 1, 2", 0, NULL);
	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-deliveries\"><h2 id=\"h-deliveries\">Deliveries of the last 24 hours</h2>\n");
	if (page_result(page, res) && PQntuples(res) == 0)
		empty_note(page, "There were none.");
	else if (page_result(page, res))
	{
		static const char *const columns[] = {"Kind", "State", "#Jobs", NULL};

		table_begin(page, columns, "deliveries");
		for (int i = 0; i < PQntuples(res); i++)
		{
			page->estimated = result_true(res, i, "estimated");
			html(out, "<tr><td><a href=\"/jobs?function=%s\">%s</a></td><td>", result_text(res, i, "function"), result_text(res, i, "function"));
			html_state(out, result_text(res, i, "state"));
			buffer_add(out, "</td>");
			cell_count(page, res, i, "jobs", "");
			buffer_add(out, "</tr>\n");
		}
		table_end(page);
	}
	buffer_add(out, "</section>\n");
	PQclear(res);
}

void
page_alerts(Page *page)
{
	PGresult   *res;

	buffer_add(page->out, "<h1>Alerts</h1>\n<section class=\"card\" aria-label=\"Alerts\">\n");
	if (!page->session->has_alerts)
	{
		empty_note(page, "This version of defer has no alerts.");
		buffer_add(page->out, "</section>\n");
		return;
	}
	res = page_query(page, "SELECT * FROM defer.alerts LIMIT 200", 0, NULL);
	if (page_result(page, res) && PQntuples(res) == 0)
		empty_note(page, "There are no alerts: defer.alert() makes one.");
	else if (page_result(page, res))
		show_table(page, res);
	buffer_add(page->out, "</section>\n");
	PQclear(res);
}
