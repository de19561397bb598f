/*
 * job.c
 *		One job with everything about it.
 */
#include "dashboard/job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dashboard/html.h"
#include "dashboard/pages.h"
#include "dashboard/parts.h"

static void
fact(Page *page, const char *label)
{
	html_add(page->out, "<div><dt>%s</dt><dd>", label);
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
	static const char *const waiting[] = {"waiting", "scheduled", "queued", "retrying", NULL};
	static const char *const later[] = {"scheduled", "retrying", NULL};
	const char *state = result_text(res, 0, "state");

	buffer_add(page->out, "<div class=\"actions\">");
	if (is_one_of(state, later))
		part_button(page, "run-now", "id", id, "Run now", "primary", NULL);
	if (is_one_of(state, waiting))
		part_button(page, "cancel", "id", id, "Cancel", "danger", "Cancel this job? It will not run.");
	if (strcmp(state, "running") == 0)
		part_button(page, "stop", "id", id, "Stop", "danger", "Stop this job while it runs? What it has written is rolled back.");
	if (strcmp(state, "failed") == 0)
		part_button(page, "retry", "id", id, "Retry", "primary", "Take this job on again?");
	if (strcmp(result_text(res, 0, "failure"), "open") == 0)
		part_button(page, "acknowledge", "id", id, "Acknowledge", "", "Is nothing to be done about this failure?");
	part_button(page, "rerun", "id", id, "Run again", "", "Enqueue a new job like this one?");
	if (strcmp(result_text(res, 0, "function"), "defer.workflow") == 0)
		html_add(page->out, "<a class=\"button\" href=\"/workflow?id=%s\">Workflow</a>", id);
	buffer_add(page->out, "</div>");
}

/* Add a fact that is another job, if there is one */
static void
fact_job(Page *page, const PGresult *res, const char *name, const char *column)
{
	const char *id = result_value(res, 0, column);

	if (id == NULL)
		return;
	fact(page, name);
	html_add(page->out, "<a href=\"/job?id=%s\">job %s</a>", id, id);
	fact_end(page);
}

static void
job_facts(Page *page, const PGresult *res)
{
	Buffer	   *out = page->out;

	buffer_add(out, "<dl class=\"facts\">\n");
	fact(page, "Attempt");
	html_add(out, "%s <span class=\"quiet\">of %s</span>", result_text(res, 0, "attempt"), result_text(res, 0, "max_attempts"));
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
	if (result_value(res, 0, "group_key") != NULL)
	{
		fact(page, "Group");
		buffer_add(out, "<a href=\"/jobs?group=");
		html_url(out, result_text(res, 0, "group_key"));
		html_add(out, "\">%s</a>", result_text(res, 0, "group_key"));
		fact_end(page);
	}
	fact_text(page, res, "Process", "pid");
	if (result_value(res, 0, "schedule") != NULL)
	{
		fact(page, "Schedule");
		html_add(out, "<a href=\"/jobs?schedule=%s\">%s</a>", result_text(res, 0, "schedule_id"),
				 result_text(res, 0, "schedule"));
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
	fact_job(page, res, "Enqueued by", "parent_id");
	fact_job(page, res, "Begins after the end of", "behind");
	fact_job(page, res, "Rerun of", "rerun_of");
	fact_job(page, res, "Run again as", "rerun_by");
	if (strcmp(result_text(res, 0, "failure"), "acknowledged") == 0)
	{
		fact(page, "Acknowledged");
		html_time(out, result_value(res, 0, "closed_at"), page->now);
		html_add(out, " <span class=\"quiet\">by %s</span> %s", result_text(res, 0, "closed_by"), result_text(res, 0, "note"));
		fact_end(page);
	}
	buffer_add(out, "</dl>\n");
}

/* Append one point of the time line */
static void
moment(Page *page, const char *at, const char *state, const char *what)
{
	if (at == NULL)
		return;
	html_add(page->out, "<li class=\"is-%s\"><span class=\"what\">%s</span> ", state, what);
	html_clock_exact(page->out, at, page->now);
	buffer_add(page->out, "</li>\n");
}

static void
job_time_line(Page *page, const PGresult *res, const PGresult *attempts)
{
	Buffer	   *out = page->out;
	const bool	passes = strcmp(result_text(res, 0, "passes"), "t") == 0;	/* more than one */
	const char *state = result_text(res, 0, "state");

	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-time\"><h2 id=\"h-time\">Time line</h2><ol class=\"timeline\">\n");
	moment(page, result_value(res, 0, "enqueued_at"), "queued", "Enqueued");
	if (passes)
		moment(page, result_value(res, 0, "started_at"), "running", "Began");
	for (int i = 0; i < PQntuples(attempts); i++)
	{
		char	   *what = xprintf("Attempt %s began", result_text(attempts, i, "attempt"));

		moment(page, result_value(attempts, i, "started_at"), "running", what);
		free(what);
		what = xprintf("Attempt %s: %s", result_text(attempts, i, "attempt"), result_text(attempts, i, "outcome"));
		moment(page, result_value(attempts, i, "finished_at"), result_text(attempts, i, "outcome"), what);
		free(what);
	}
	if (!passes && (strcmp(state, "succeeded") == 0 || strcmp(state, "running") == 0))
	{
		char	   *what = xprintf("Attempt %s began", result_text(res, 0, "attempt"));

		moment(page, result_value(res, 0, "started_at"), "running", what);
		free(what);
	}
	if (result_value(res, 0, "finished_at") != NULL)
		moment(page, result_value(res, 0, "finished_at"), state,
			   strcmp(state, "failed") == 0 ? "Failed for good" : state);
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
		html_add(out, "<article class=\"attempt\"><h3>Attempt %s ", result_text(attempts, i, "attempt"));
		html_state(out, result_text(attempts, i, "outcome"));
		if (result_value(attempts, i, "sqlstate") != NULL)
			html_add(out, " <code>%s</code>", result_text(attempts, i, "sqlstate"));
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
		part_block(page, "Detail", result_value(attempts, i, "detail"), false);
		part_block(page, "Hint", result_value(attempts, i, "hint"), false);
		part_block(page, "Context", result_value(attempts, i, "context"), false);
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

/* Append links to a job and to its function */
static void
link_job(Page *page, const char *id, const char *function)
{
	html_add(page->out, "<a href=\"/job?id=%s\">job %s</a> <a href=\"/function?name=", id, id);
	html_url(page->out, function);
	buffer_add(page->out, "\">");
	html_function(page->out, function);
	buffer_add(page->out, "</a> ");
}

/* The jobs that it comes after, or, with behind, those that wait for it */
static void
job_neighbours(Page *page, const char *id, const char *title, bool behind)
{
	PGresult   *res = page_query(page, behind ?
								 "SELECT d.job_id AS id, j.function, j.state, false AS open, d.batch FROM defer.dependencies d"
								 " JOIN defer.jobs j ON j.id = d.job_id WHERE d.open AND d.after_id = $1::bigint"
								 " AND d.awaits_id IN ($1::bigint, -$1::bigint, (SELECT x.rerun_of FROM defer.jobs x WHERE x.id = $1::bigint))"
								 " ORDER BY d.job_id LIMIT 100" :
								 "SELECT d.after_id AS id, j.function, COALESCE(d.state, CASE WHEN d.batch THEN 'waiting' END, j.state, 'gone') AS state,"
								 " d.open, d.batch"
								 " FROM defer.dependencies d LEFT JOIN defer.jobs j ON j.id = d.after_id"
								 " WHERE d.job_id = $1::bigint ORDER BY d.ord LIMIT 100", 1, &id);
	Buffer	   *out = page->out;

	if (result_good(res) && PQntuples(res) > 0)
	{
		html_add(out, "<section class=\"card\"><h2>%s</h2><ul class=\"plain\">\n", title);
		for (int i = 0; i < PQntuples(res); i++)
		{
			buffer_add(out, behind || !result_true(res, i, "batch") ? "<li>" : "<li><span class=\"quiet\">the batch of</span> ");
			link_job(page, result_text(res, i, "id"), result_text(res, i, "function"));
			html_state(out, result_text(res, i, "state"));
			buffer_add(out, strcmp(result_text(res, i, "open"), "t") == 0 ? " <span class=\"quiet\">awaited</span></li>\n" : "</li>\n");
		}
		buffer_add(out, "</ul></section>\n");
	}
	PQclear(res);
}

/* The jobs that begin when the batch of a job is over */
static void
job_callbacks(Page *page, const char *id)
{
	PGresult   *res = page_query(page, "SELECT d.job_id, j.function, j.state FROM defer.dependencies d"
								 " JOIN defer.jobs j ON j.id = d.job_id WHERE d.awaits_id = -$1::bigint ORDER BY d.job_id LIMIT 100",
								 1, &id);
	Buffer	   *out = page->out;

	if (result_good(res) && PQntuples(res) > 0)
	{
		buffer_add(out, "<h3>Then</h3><ul class=\"plain\">\n");
		for (int i = 0; i < PQntuples(res); i++)
		{
			buffer_add(out, "<li>");
			link_job(page, result_text(res, i, "job_id"), result_text(res, i, "function"));
			html_state(out, result_text(res, i, "state"));
			buffer_add(out, "</li>\n");
		}
		buffer_add(out, "</ul>\n");
	}
	PQclear(res);
}

/* How far the batch of the job is, if others wait for it */
static void
job_batch(Page *page, const char *id)
{
	static const char *const states[] = {"succeeded", "failed", "cancelled", "discarded", "unfinished"};
	PGresult   *res = page_query(page, "SELECT b.* FROM defer.batches b WHERE b.job_id = $1::bigint", 1, &id);
	Buffer	   *out = page->out;

	if (result_good(res) && PQntuples(res) > 0)
	{
		const char *jobs = result_text(res, 0, "jobs");
		double		ended = result_number(res, 0, "jobs") - result_number(res, 0, "unfinished");

		html_add(out, "<section class=\"card\" aria-labelledby=\"h-batch\"><h2 id=\"h-batch\">Batch of %s jobs</h2>\n", jobs);
		if (result_number(res, 0, "jobs") > 0)
			html_add(out, "<p class=\"wide-progress\"><progress max=\"%s\" value=\"%.0f\" aria-label=\"Jobs that have ended\"></progress></p>\n",
					 jobs, ended);
		buffer_add(out, "<dl class=\"facts\">\n");
		for (size_t i = 0; i < lengthof(states); i++)
		{
			fact(page, states[i]);
			html_text(out, result_text(res, 0, states[i]));
			fact_end(page);
		}
		buffer_add(out, "</dl>");
		job_callbacks(page, id);
		buffer_add(out, "</section>\n");
	}
	PQclear(res);
}

static void
job_logs(Page *page, const char *id)
{
	const char *values[] = {id};
	PGresult   *res = page_query(page, "SELECT l.attempt, l.at, l.level, l.message FROM defer.logs l WHERE l.job_id = $1::bigint ORDER BY l.at DESC LIMIT 200",
								 1, values);
	Buffer	   *out = page->out;

	if (result_good(res) && PQntuples(res) > 0)
	{
		buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-logs\"><h2 id=\"h-logs\">Log</h2><ol class=\"log\">\n");
		for (int i = PQntuples(res) - 1; i >= 0; i--)
		{
			buffer_add(out, "<li>");
			html_time(out, result_value(res, i, "at"), page->now);
			html_add(out, " <span class=\"quiet\">attempt %s</span> ", result_text(res, i, "attempt"));
			html_state(out, result_text(res, i, "level"));
			buffer_add(out, " <span class=\"said\">");
			html_block(out, result_text(res, i, "message"));
			buffer_add(out, "</span></li>\n");
		}
		buffer_add(out, "</ol></section>\n");
	}
	PQclear(res);
}

/* Return the job with an id; NULL: there is none, and the page says so */
PGresult *
job_find(Page *page, const char *id)
{
	const char *values[] = {id};
	PGresult   *res;

	if (id == NULL || strspn(id, "0123456789") != strlen(id) || strlen(id) > 18)
	{
		page->request->status = 404;
		part_empty(page, "There is no such job.");
		return NULL;
	}
	res = page_query(page, "SELECT j.*, f.state AS failure, f.closed_at, f.closed_by, f.note, pg_catalog.date_part('epoch', j.duration) AS seconds,"
	/* of several passes each has waited */
					 " COALESCE(j.started_at < j.run_at, false) AS passes, CASE WHEN j.started_at < j.run_at THEN NULL"
					 " ELSE pg_catalog.date_part('epoch', COALESCE(j.started_at, pg_catalog.statement_timestamp()) - j.run_at) END AS waited,"
					 " pg_catalog.date_part('epoch', j.run_at - pg_catalog.statement_timestamp()) AS in_future,"
					 " (SELECT s.id FROM defer.schedules s WHERE s.name = j.schedule AND s.owner = j.owner) AS schedule_id,"
					 " LEAST(j.started_at, (SELECT pg_catalog.min(a.started_at) FROM defer.attempts a WHERE a.job_id = j.id)) AS began"
					 " FROM defer.jobs j LEFT JOIN LATERAL (SELECT x.* FROM defer.failures x WHERE x.job_id = j.id"
					 " ORDER BY x.failed_at DESC LIMIT 1) f ON j.state = 'failed' WHERE j.id = $1::bigint", 1, values);
	if (result_good(res) && PQntuples(res) == 1)
		return res;
	if (result_good(res))
	{
		page->request->status = 404;
		part_empty(page, "There is no such job that you may see. Finished jobs are kept as long as defer.retention says.");
	}
	PQclear(res);
	return NULL;
}

/* Append the heading of a job, with its buttons and progress; name the window */
void
job_title(Page *page, const PGresult *res, const char *id)
{
	Buffer	   *out = page->out;

	snprintf(page->title, sizeof(page->title), "Job %s %s", id, result_text(res, 0, "state"));
	html_add(out, "<div class=\"title\"><h1><span class=\"quiet\">Job %s ", id);
	part_copy(page, id, "Copy the id");
	buffer_add(out, "</span> ");
	html_function(out, result_text(res, 0, "function"));
	buffer_add(out, " <span id=\"job-state\" data-say>");
	html_state(out, result_text(res, 0, "state"));
	buffer_add(out, "</span></h1>");
	job_buttons(page, res, id);
	buffer_add(out, "</div>\n");
	if (result_value(res, 0, "progress") != NULL)
		html_add(out, "<p class=\"wide-progress\"><progress max=\"1\" value=\"%s\" aria-label=\"Progress\"></progress> %.0f %%</p>\n",
				 result_text(res, 0, "progress"), 100 * result_number(res, 0, "progress"));
}

/* Append why a job that has not ended does not begin */
static void
job_waits_for(Page *page, const PGresult *job, const char *id)
{
	Buffer	   *out = page->out;
	PGresult   *res;

	if (result_value(job, 0, "finished_at") != NULL || strcmp(result_text(job, 0, "state"), "running") == 0)
		return;
	res = page_query(page, "SELECT w.reason, w.detail, w.until FROM defer.why($1::bigint) w", 1, &id);
	if (result_good(res) && PQntuples(res) > 0)
	{
		buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-why\"><h2 id=\"h-why\">Waits for</h2><dl class=\"facts\">\n");
		for (int i = 0; i < PQntuples(res); i++)
		{
			fact(page, result_text(res, i, "reason"));
			html_text(out, result_text(res, i, "detail"));
			if (result_value(res, i, "until") != NULL)
			{
				buffer_add(out, " <span class=\"quiet\">");
				html_clock(out, result_text(res, i, "until"), page->now);
				buffer_add(out, "</span>");
			}
			fact_end(page);
		}
		buffer_add(out, "</dl></section>\n");
	}
	PQclear(res);
}

/* /job: everything about one job */
void
page_job(Page *page)
{
	const char *id = request_query(page->request, "id");
	PGresult   *res = job_find(page, id);
	PGresult   *attempts;
	Buffer	   *out = page->out;

	if (res == NULL)
		return;
	attempts = page_query(page, "SELECT a.*, pg_catalog.date_part('epoch', a.finished_at - a.started_at) AS seconds"
						  " FROM (SELECT * FROM defer.attempts WHERE job_id = $1::bigint ORDER BY finished_at DESC LIMIT 50) a"
						  " ORDER BY a.finished_at", 1, &id);
	job_title(page, res, id);
	/* not that of an attempt before a step that has been completed since */
	if (result_value(res, 0, "error") != NULL && strcmp(result_text(res, 0, "state"), "succeeded") != 0 &&
		(result_value(res, 0, "finished_at") != NULL || result_number(res, 0, "attempt") > 0))
	{
		html_add(out, "<p class=\"message bad\"><code>%s</code> ", result_text(res, 0, "sqlstate"));
		html_block(out, result_text(res, 0, "error"));
		buffer_add(out, "</p>\n");
	}
	job_waits_for(page, res, id);
	buffer_add(out, "<div class=\"columns\"><section class=\"card\" aria-labelledby=\"h-facts\"><h2 id=\"h-facts\">Job</h2>\n");
	job_facts(page, res);
	part_block(page, "Arguments", result_value(res, 0, "args"), true);
	part_block(page, "Result", result_value(res, 0, "result"), true);
	part_block(page, "Metadata", result_value(res, 0, "metadata"), true);
	job_again(page, id);
	buffer_add(out, "</section>\n");
	job_time_line(page, res, attempts);
	buffer_add(out, "</div>\n");
	job_steps(page, id);
	job_neighbours(page, id, "Comes after", false);
	job_neighbours(page, id, "Waits for it", true);
	job_batch(page, id);
	tree_children(page, res, id, false);
	job_attempts(page, attempts);
	job_logs(page, id);
	PQclear(attempts);
	PQclear(res);
}
