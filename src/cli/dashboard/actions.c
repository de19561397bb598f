/*
 * actions.c
 *		What a POST does: one call of one of defer's functions, as the role of the
 *		session; then back to the page that it came from, which tells how it went.
 */
#include "dashboard/dashboard.h"

#include <stdlib.h>
#include <string.h>

typedef struct Action
{
	const char *path;
	const char *field;			/* the parameter */
	const char *sql;			/* a row with one column */
	const char *done;			/* what to say; %s is the column */
	const char *nothing;		/* what to say when it is false; NULL: never */
	bool		to_job;			/* go to the job that it made */
} Action;

static const Action actions[] = {
	{"/do/cancel", "id", "SELECT defer.cancel($1::bigint)", "The job is cancelled.", "The job was not cancelled: it runs, or has ended.", false},
	{"/do/stop", "id", "SELECT defer.cancel($1::bigint, force => true)", "The job is being stopped.", "The job was not stopped: it has ended.", false},
	{"/do/rerun", "id", "SELECT defer.rerun($1::bigint)", "This job was enqueued.", NULL, true},
	{"/do/run-now", "id", "SELECT defer.reschedule($1::bigint)", "The job is ready to run.", "The job was not moved: it runs, or has ended.", false},
	{"/do/trigger", "name", "SELECT defer.trigger($1)", "A run was enqueued: job %s.", NULL, false},
	{"/do/pause-schedule", "name", "SELECT defer.alter_cron($1, active => false)", "The schedule is paused.", NULL, false},
	{"/do/resume-schedule", "name", "SELECT defer.alter_cron($1, active => true)", "The schedule is active.", NULL, false},
	{"/do/pause-function", "name", "SELECT defer.pause($1)", "The function is paused: its jobs wait.", NULL, false},
	{"/do/resume-function", "name", "SELECT defer.resume($1)", "The function goes on.", NULL, false},
	{"/do/pause-queue", "name", "SELECT defer.pause_queue($1)", "The queue is paused: its jobs wait.", NULL, false},
	{"/do/resume-queue", "name", "SELECT defer.resume_queue($1)", "The queue goes on.", NULL, false},
};

/* A path of ours, with nothing in front of it that leads elsewhere */
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

/* In a transaction of its own, the only one that may write */
static PGresult *
run(Page *page, const Action *action, const char *value)
{
	const char *values[] = {value};
	PGresult   *res;

	PQclear(query_try(page->conn, "BEGIN READ WRITE", 0, NULL));
	res = query_try(page->conn, action->sql, 1, values);
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

static void
say(Session *session, bool bad, const char *message, const char *value)
{
	const char *place = strstr(message, "%s");

	session->message_bad = bad;
	if (place == NULL)
		snprintf(session->message, sizeof(session->message), "%s", message);
	else
		snprintf(session->message, sizeof(session->message), "%.*s%s%s", (int) (place - message), message, value, place + 2);
}

void
action_run(Page *page)
{
	Request    *request = page->request;
	const Action *action = NULL;
	const char *back = form_field(request, "back");
	PGresult   *res;

	for (size_t i = 0; i < lengthof(actions); i++)
	{
		if (strcmp(actions[i].path, request->path) == 0)
			action = &actions[i];
	}
	if (action == NULL)
	{
		request->status = 404;
		error_page(page->out, page->session, "Not found", "There is no such action.");
		return;
	}
	res = run(page, action, form_field(request, action->field));
	request->status = 303;
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
	{
		Buffer		error = {0};

		buffer_add(&error, "");
		result_error(&error, page->conn, res);
		say(page->session, true, "%s", error.data);
		buffer_free(&error);
	}
	else if (action->nothing != NULL && PQgetvalue(res, 0, 0)[0] == 'f')
		say(page->session, true, action->nothing, "");
	else
		say(page->session, false, action->done, PQgetvalue(res, 0, 0));
	if (PQresultStatus(res) == PGRES_TUPLES_OK && action->to_job)
		request->location = xprintf("/job?id=%s", PQgetvalue(res, 0, 0));
	else
		request->location = xstrdup(is_own_path(back) ? back : "/");
	PQclear(res);
}
