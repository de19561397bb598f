/*
 * actions.c
 *		What a POST does: one call of one of defer's functions, as the role of the
 *		session; then back to the page that it came from, which tells the result.
 */
#include "dashboard/actions.h"

#include <string.h>

#include "dashboard/bulk.h"

/* One that stores the ids of a million jobs takes seconds */
#define ACTION_TIMEOUT	"'30s'"

#define MAX_FIELDS	14

typedef struct Action
{
	const char *path;
	const char *fields[MAX_FIELDS + 1]; /* of the form; $1 and so on of the
										 * statement */
	const char *sql;			/* one row: the result, and the name of its
								 * object */
	const char *done;			/* message; %n is the name, %r the result */
	const char *nothing;		/* message for false, or no row */
	bool		to_job;			/* lead to the job whose id is the result */
} Action;

#define JOB(call)		"SELECT defer." call ", $1"
#define SCHEDULE(call)	"SELECT defer." call ", s.name FROM defer.schedules s WHERE s.id = $1::bigint"
#define NO_SCHEDULE		"There is no such schedule that you may see."

/* Fields that say which jobs: dashboard/bulk.h */
#define ALL_JOBS(function, more, words) \
	"SELECT CASE WHEN b.jobs IS NOT NULL THEN pg_catalog.format('Job %s does that with %s jobs.', b.jobs, b.matched)" \
	" ELSE pg_catalog.format('%s of %s jobs " words "', b.done, b.matched) END, ''" \
	" FROM (SELECT COALESCE(pg_catalog.sum(d.matched), 0) AS matched, COALESCE(pg_catalog.sum(d.done), 0) AS done," \
	" pg_catalog.string_agg(d.job_id::text, ', ') AS jobs" \
	" FROM " BULK_FUNCTIONS " CROSS JOIN LATERAL defer." function "(" BULK_ARGUMENTS more ") d) b"

#define ALL_OF_ERROR(function, more, words) \
	"SELECT CASE WHEN b.job_id IS NOT NULL THEN pg_catalog.format('Job %s does that with %s jobs.', b.job_id, b.matched)" \
	" ELSE pg_catalog.format('%s of %s jobs " words "', b.done, b.matched) END, ''" \
	" FROM defer." function "(fingerprint => $1" more ") b"

static const Action actions[] = {
	{"/do/cancel", {"id"}, JOB("cancel($1::bigint)"), "Job %n is cancelled.",
	"Job %n was not cancelled: it runs, or has ended."},
	{"/do/stop", {"id"}, JOB("cancel($1::bigint, force => true)"), "Job %n is being stopped.",
	"Job %n was not stopped: it has ended."},
	{"/do/rerun", {"id"}, JOB("rerun($1::bigint)"), "This job is another run of job %n.", NULL, true},
	{"/do/retry", {"id"}, JOB("retry($1::bigint)"), "Job %n is taken on again.",
	"Job %n was left as it is: it has not failed, or was run again already."},
	{"/do/acknowledge", {"id", "note"}, JOB("acknowledge($1::bigint, $2)"), "The failure of job %n is acknowledged.",
	"Something was done about job %n already."},
	{"/do/retry-error", {"fingerprint"}, ALL_OF_ERROR("retry_jobs", "", "are taken on again."), "%r"},
	{"/do/acknowledge-error", {"fingerprint", "note"},
	ALL_OF_ERROR("acknowledge_jobs", ", note => $2", "were acknowledged."), "%r"},
	{"/do/run-now", {"id"}, JOB("reschedule($1::bigint)"), "Job %n is ready to run.",
	"Job %n was not moved: it runs, or has ended."},
	{"/do/trigger", {"id"}, SCHEDULE("trigger(s.id)"), "A run of \"%n\" was enqueued: job %r.", NO_SCHEDULE},
	{"/do/pause-schedule", {"id", "reason"}, SCHEDULE("pause_cron(s.id, $2)"),
	"The schedule \"%n\" is paused.", NO_SCHEDULE},
	{"/do/resume-schedule", {"id"}, SCHEDULE("resume_cron(s.id)"),
	"The schedule \"%n\" is active.", NO_SCHEDULE},
	{"/do/pause-function", {"name"}, JOB("pause($1)"), "The function \"%n\" is paused: its jobs wait."},
	{"/do/resume-function", {"name"}, JOB("resume($1)"), "The function \"%n\" is resumed."},
	{"/do/pause-queue", {"name"}, JOB("pause_queue($1)"), "The queue \"%n\" is paused: its jobs wait."},
	{"/do/resume-queue", {"name"}, JOB("resume_queue($1)"), "The queue \"%n\" is resumed."},
	{"/do/pause-group", {"group", "queue", "reason"},
	JOB("set_group($1, queue => $2, paused => true, reason => $3)"), "The group \"%n\" is paused: its jobs wait."},
	{"/do/resume-group", {"group", "queue"}, JOB("set_group($1, queue => $2, paused => false)"),
	"The group \"%n\" is resumed."},
	{"/do/release-group", {"group", "queue"}, JOB("release_group($1, queue => $2)"),
	"The group \"%n\" goes on.", "The group \"%n\" is not held."},
	{"/do/cancel-jobs", {BULK_FIELDS, "force"},
	ALL_JOBS("cancel_jobs", ", force => $14::text IS NOT NULL", "were cancelled, or are being stopped."), "%r"},
	{"/do/rerun-jobs", {BULK_FIELDS}, ALL_JOBS("rerun_jobs", "", "were enqueued as copies."), "%r"},
	{"/do/retry-jobs", {BULK_FIELDS}, ALL_JOBS("retry_jobs", "", "are taken on again."), "%r"},
	{"/do/acknowledge-jobs", {BULK_FIELDS, "note"},
	ALL_JOBS("acknowledge_jobs", ", note => $14", "were acknowledged."), "%r"},
	{"/do/reschedule-jobs", {BULK_FIELDS, "run_at"},
	ALL_JOBS("reschedule_jobs", ", run_at => COALESCE($14::timestamptz, pg_catalog.now())", "were moved."), "%r"},
};

/* Report whether a path leads to a page of this dashboard, not elsewhere */
static bool
is_own_path(const char *path)
{
	if (path[0] != '/' || path[1] == '/' || path[1] == '\\')
		return false;
	for (; *path != '\0'; path++)
	{
		if ((unsigned char) *path <= ' ' || (unsigned char) *path > '~' || *path == '\\')
			return false;
	}
	return true;
}

/*
 * Execute the statement in a transaction of its own, the only one that may write.
 * Fields that are empty are NULL.
 */
static PGresult *
execute(Page *page, const Action *action)
{
	const char *values[MAX_FIELDS];
	int			n = 0;
	PGresult   *res;

	for (; action->fields[n] != NULL; n++)
	{
		values[n] = request_form(page->request, action->fields[n]);
		if (values[n][0] == '\0')
			values[n] = NULL;
	}
	PQclear(query_try(page->conn, "BEGIN READ WRITE", 0, NULL));
	PQclear(query_try(page->conn, "SET LOCAL statement_timeout = " ACTION_TIMEOUT, 0, NULL));
	res = query_try(page->conn, action->sql, n, values);
	if (PQresultStatus(res) == PGRES_TUPLES_OK)
	{
		PGresult   *commit = query_try(page->conn, "COMMIT", 0, NULL);

		if (PQresultStatus(commit) == PGRES_COMMAND_OK)
		{
			PQclear(commit);
			return res;
		}
		PQclear(res);
		res = commit;
	}
	if (PQtransactionStatus(page->conn) != PQTRANS_IDLE)
		PQclear(query_try(page->conn, "ROLLBACK", 0, NULL));
	return res;
}

/* Keep the message for the next page */
static void
set_message(Session *session, bool bad, const char *message)
{
	session->message_bad = bad;
	snprintf(session->message, sizeof(session->message), "%s", message);
}

/* Append a message with %n and %r replaced */
static void
fill_message(Buffer *out, const char *message, const char *name, const char *result)
{
	buffer_add(out, "");
	for (; *message != '\0'; message++)
	{
		if (strncmp(message, "%n", 2) == 0)
			buffer_add(out, name);
		else if (strncmp(message, "%r", 2) == 0)
			buffer_add(out, result);
		else
		{
			buffer_char(out, *message);
			continue;
		}
		message++;
	}
}

static void
report(Page *page, const Action *action, const PGresult *res)
{
	Buffer		message = {0};
	bool		good = PQresultStatus(res) == PGRES_TUPLES_OK;
	bool		found = good && PQntuples(res) > 0;

	if (!good)
	{
		result_error(&message, page->conn, res);
		set_message(page->session, true, message.data);
	}
	else if (action->nothing != NULL && (!found || PQgetvalue(res, 0, 0)[0] == 'f'))
	{
		fill_message(&message, action->nothing, found ? PQgetvalue(res, 0, 1) : "", "");
		set_message(page->session, true, message.data);
	}
	else
	{
		fill_message(&message, action->done, PQgetvalue(res, 0, 1), PQgetvalue(res, 0, 0));
		set_message(page->session, false, message.data);
	}
	buffer_free(&message);
}

/* Do what the request's path means, and redirect */
void
action_run(Page *page)
{
	Request    *request = page->request;
	const Action *action = NULL;
	const char *back = request_form(request, "back");
	PGresult   *res;

	for (size_t i = 0; i < lengthof(actions); i++)
	{
		if (strcmp(actions[i].path, request->path) == 0)
			action = &actions[i];
	}
	if (action == NULL)
	{
		request->status = 404;
		page_write_error(page->out, page->session, "Not found", "There is no such action.");
		return;
	}
	res = execute(page, action);
	report(page, action, res);
	request->status = 303;
	if (action->to_job && PQresultStatus(res) == PGRES_TUPLES_OK)
		request->location = xprintf("/job?id=%s", PQgetvalue(res, 0, 0));
	else
		request->location = xstrdup(is_own_path(back) ? back : "/");
	PQclear(res);
}
