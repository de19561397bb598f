/*
 * actions.c
 *		What a POST does: one call of one of defer's functions, as the role of the
 *		session; then back to the page that it came from, which tells the result.
 */
#include "dashboard/actions.h"

#include <string.h>

#include "dashboard/bulk.h"
#include "dashboard/html.h"
#include "dashboard/settings.h"

/* One that stores the ids of a million jobs takes seconds */
#define ACTION_TIMEOUT	"'30s'"

#define MAX_FIELDS	24

typedef struct Action
{
	const char *path;
	const char *fields[MAX_FIELDS + 1]; /* of the form; $1 and so on of the
										 * statement */
	const char *sql;			/* one row: the result, and the name of its
								 * object */
	const char *done;			/* message; %n is the name, %r the result */
	const char *nothing;		/* message for false, or no row */
	const char *leads_to;		/* address, to be continued with the result;
								 * NULL: back */
	bool		is_zone;		/* the result is the zone of the session */
	bool		refill;			/* after an error, lead back with what was
								 * typed */
} Action;

#define JOB(call)		"SELECT defer." call ", $1"
#define SCHEDULE(call)	"SELECT defer." call ", s.name FROM defer.schedules s WHERE s.id = $1::bigint"
#define SCHEDULE_BY_NAME(call)	"SELECT defer." call ", s.name FROM defer.schedules s, " OWN_PATH " WHERE s.id = $1::bigint"
/*
 * A row that has functions named in forms looked up with the search_path of the role, until the
 * transaction ends.  The names in the statement itself are resolved before, with ours.
 */
#define OWN_PATH \
	"(SELECT pg_catalog.set_config('search_path', p.reset_val, true) FROM pg_catalog.pg_settings p" \
	" WHERE p.name = 'search_path' OFFSET 0) own_path"
/* A text area, whose line breaks are those of the browser */
#define LINES(value)	"pg_catalog.replace(" value ", E'\\r\\n', E'\\n')"

/* Fields $4 to $15 of schedules */
#define SCHEDULE_OPTIONS \
	"overlap", "catch_up", "catch_up_window", "jitter", "queue", "priority", "group_key", "starts_at", "ends_at", \
	"max_runs", "pause_after_failures", "when_done"

#define NEW_OPTIONS \
	"timezone => COALESCE($3, 'UTC'), overlap => COALESCE($4, 'skip'), catch_up => COALESCE($5, 'one')," \
	" catch_up_window => COALESCE($6::interval, '1 day'), jitter => COALESCE($7::interval, '0'), queue => $8," \
	" priority => $9::integer, group_key => $10, starts_at => $11::timestamptz, ends_at => $12::timestamptz," \
	" max_runs => $13::integer, pause_after_failures => $14::integer, when_done => $15"

#define NO_SCHEDULE		"There is no such schedule that you may see."

/*
 * Change settings: those that differ, and the others are taken back if one of those
 * that are set was emptied, as there is no other way to take one back.
 */
#define SETTINGS(function, kind, more, names, values) \
	"SELECT defer." function "($1, " more " priority => $2::text::integer, concurrency => $3::text::integer," \
	" rate => $4, rate_burst => $5::text::integer, max_attempts => $6::text::integer, initial_interval => $7::text::interval," \
	" multiplier => $8::text::float8, max_interval => $9::text::interval, randomization => $10::text::float8," \
	" max_duration => $11::text::interval, discard_after => $12::text::interval, group_by => $13," \
	" group_concurrency => $14::text::integer, group_rate => $15, group_rate_burst => $16::text::integer," \
	" group_order => $17, on_group_failure => $18, max_queued => $19::text::integer," \
	" group_max_queued => $20::text::integer," \
	" reset => EXISTS (SELECT FROM pg_catalog.jsonb_each_text(pg_catalog.to_jsonb(s)) k" \
	" JOIN ROWS FROM (pg_catalog.unnest(ARRAY['priority', 'concurrency', 'rate', 'rate_burst', 'max_attempts'," \
	" 'initial_interval', 'multiplier', 'max_interval', 'randomization', 'max_duration', 'discard_after', 'group_by'," \
	" 'group_concurrency', 'group_rate', 'group_rate_burst', 'group_order', 'on_group_failure', 'max_queued'," \
	" 'group_max_queued'" names "]), pg_catalog.unnest(ARRAY[$2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13," \
	" $14, $15, $16, $17, $18, $19, $20" values "])) f (name, value)" \
	" ON f.name = k.key WHERE k.value IS NOT NULL AND f.value IS NULL)), $1" \
	" FROM (VALUES ($1)) n (name) LEFT JOIN defer.settings s ON s.kind = '" kind "' AND s.name = n.name"

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
	{"/do/rerun", {"id"}, JOB("rerun($1::bigint)"), "This job is another run of job %n.", NULL, "/job?id="},
	{"/do/run-with", {"id", "args"},
	"SELECT defer.enqueue(j.function, " LINES("$2") "::jsonb, queue => j.queue, priority => j.priority, group_key => j.group_key,"
	" metadata => j.metadata), j.id FROM defer.jobs j WHERE j.id = $1::bigint AND j.owner = CURRENT_USER",
	"This job is like job %n, with other arguments.", "Job %n is not yours.", "/job?id=", .refill = true},
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
	{"/do/unschedule", {"id"}, SCHEDULE("unschedule(s.id)"), "The schedule \"%n\" is deleted.", NO_SCHEDULE},
	{"/do/backfill", {"id", "from", "to", "order", "rate"},
	SCHEDULE("backfill(s.id, $2::timestamptz, $3::timestamptz, overlap => COALESCE($4, 'queue'), rate => $5)"),
	"Runs of \"%n\" that will be enqueued: %r.", NO_SCHEDULE},
	{"/do/cancel-backfill", {"id"}, JOB("cancel_backfill($1::bigint)"),
	"The backfill is cancelled: runs that were enqueued go on.", "There is no such backfill."},
	{"/do/alter-schedule", {"id", "schedule", "timezone", SCHEDULE_OPTIONS, "function", "command"},
	SCHEDULE_BY_NAME("alter_cron(s.id, schedule => NULLIF($2, s.schedule), timezone => NULLIF($3, s.timezone)," \
					 " overlap => NULLIF($4, s.overlap), catch_up => NULLIF($5, s.catch_up)," \
					 " catch_up_window => NULLIF($6::interval, s.catch_up_window), jitter => NULLIF($7::interval, s.jitter)," \
					 " queue => NULLIF($8, s.queue), priority => NULLIF($9::integer, s.priority), group_key => NULLIF($10, s.group_key)," \
					 " starts_at => CASE WHEN $11::timestamptz IS DISTINCT FROM s.starts_at THEN COALESCE($11::timestamptz, '-infinity') END," \
					 " ends_at => CASE WHEN $12::timestamptz IS DISTINCT FROM s.ends_at THEN COALESCE($12::timestamptz, 'infinity') END," \
					 " max_runs => CASE WHEN $13::integer IS DISTINCT FROM s.max_runs THEN COALESCE($13::integer, 0) END," \
					 " pause_after_failures => CASE WHEN $14::integer IS DISTINCT FROM s.pause_after_failures THEN COALESCE($14::integer, 0) END," \
					 " when_done => CASE WHEN $15 IS DISTINCT FROM s.when_done THEN COALESCE($15, '') END," \
					 " function => NULLIF($16, s.function), sql => NULLIF(" LINES("$17") ", s.command))"),
	"The schedule \"%n\" is changed.", NO_SCHEDULE, .refill = true},
	{"/do/new-schedule", {"name", "schedule", "timezone", SCHEDULE_OPTIONS, "function", "command", "allow_direct"},
	"SELECT CASE WHEN $16::text IS NOT NULL AND $17::text IS NOT NULL THEN 'f'"
	" WHEN $17 IS NOT NULL THEN defer.cron_command($1, $2, " LINES("$17") ", " NEW_OPTIONS ")::text"
	" ELSE defer.cron($16, $2, name => $1, allow_direct => $18::text IS NOT NULL, " NEW_OPTIONS ")::text END, $1"
	" FROM " OWN_PATH " WHERE NOT EXISTS (SELECT FROM defer.schedules s WHERE s.name = $1 AND s.owner = CURRENT_USER)",
	"The schedule \"%n\" is made.",
	"No schedule was made: give either a function or a statement, and a name that no schedule of yours has.", "/schedule?id=", .refill = true},
	{"/do/configure", {"name", SETTINGS_FIELDS, "queue", "at_limit"},
	SETTINGS("configure", "function", "queue => $21, at_limit => $22,", ", 'queue', 'at_limit'", ", $21, $22"),
	"The settings of \"%n\" are changed.", .refill = true},
	{"/do/alter-queue", {"name", SETTINGS_FIELDS, "reserved"},
	SETTINGS("alter_queue", "queue", "reserved => NULLIF($21::text::integer, s.reserved),", ", 'reserved'", ", $21"),
	"The settings of \"%n\" are changed.", .refill = true},
	{"/do/new-queue", {"name"}, JOB("create_queue($1)"), "The queue \"%n\" is made."},
	{"/do/drop-queue", {"name"}, JOB("drop_queue($1)"), "The queue \"%n\" is deleted.", "There is no queue \"%n\"."},
	{"/do/set-group", {"group", "queue", "function", "weight", "concurrency", "rate"},
	JOB("set_group($1, queue => $2, function => $3, weight => $4::float8, concurrency => $5::text, rate => $6)"),
	"The settings of the group \"%n\" are changed."},
	{"/do/reset-group", {"group", "queue", "function"}, JOB("reset_group($1, queue => $2, function => $3)"),
	"The group \"%n\" has no settings of its own.", "The group \"%n\" had no settings of its own."},
	{"/do/pause-group", {"group", "queue", "function", "reason"},
	JOB("set_group($1, queue => $2, function => $3, paused => true, reason => $4)"), "The group \"%n\" is paused: its jobs wait."},
	{"/do/resume-group", {"group", "queue", "function"}, JOB("set_group($1, queue => $2, function => $3, paused => false)"),
	"The group \"%n\" is resumed."},
	{"/do/release-group", {"group", "queue", "function"}, JOB("release_group($1, queue => $2, function => $3)"),
	"The group \"%n\" goes on.", "The group \"%n\" is not held."},
	{"/do/zone", {"zone"}, "SELECT pg_catalog.set_config('TimeZone', $1, false), ''", "Times are in the time zone %r.",
	.is_zone = true},
	{"/do/cancel-jobs", {BULK_FIELDS, "force"},
	ALL_JOBS("cancel_jobs", ", force => $15::text IS NOT NULL", "were cancelled, or are being stopped."), "%r"},
	{"/do/rerun-jobs", {BULK_FIELDS}, ALL_JOBS("rerun_jobs", "", "were enqueued as copies."), "%r"},
	{"/do/retry-jobs", {BULK_FIELDS}, ALL_JOBS("retry_jobs", "", "are taken on again."), "%r"},
	{"/do/acknowledge-jobs", {BULK_FIELDS, "note"},
	ALL_JOBS("acknowledge_jobs", ", note => $15", "were acknowledged."), "%r"},
	{"/do/reschedule-jobs", {BULK_FIELDS, "run_at"},
	ALL_JOBS("reschedule_jobs", ", run_at => COALESCE($15::timestamptz, pg_catalog.now())", "were moved."), "%r"},
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
	const char *zone = page->session->zone;
	int			n = 0;
	PGresult   *res;

	for (; action->fields[n] != NULL; n++)
	{
		values[n] = request_form(page->request, action->fields[n]);
		if (values[n][0] == '\0')
			values[n] = NULL;
	}
	/* times of forms are in the zone of the page, also on a new connection */
	if (zone[0] != '\0')
		PQclear(query_try(page->conn, "SELECT pg_catalog.set_config('TimeZone', $1, false)", 1, &zone));
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

/* Set the message; false: the action has failed, or did nothing */
static bool
report(Page *page, const Action *action, const PGresult *res)
{
	Buffer		message = {0};
	bool		good = PQresultStatus(res) == PGRES_TUPLES_OK;
	bool		found = good && PQntuples(res) > 0;

	if (!good)
	{
		result_error(&message, page->conn, res);
		set_message(page->session, true, message.data);
		good = false;
	}
	else if (action->nothing != NULL && (!found || PQgetvalue(res, 0, 0)[0] == 'f'))
	{
		fill_message(&message, action->nothing, found ? PQgetvalue(res, 0, 1) : "", "");
		set_message(page->session, true, message.data);
		good = false;
	}
	else
	{
		fill_message(&message, action->done, PQgetvalue(res, 0, 1), PQgetvalue(res, 0, 0));
		set_message(page->session, false, message.data);
	}
	buffer_free(&message);
	return good;
}

/* Characters of an address that browsers and proxies take without question */
#define MAX_ADDRESS		6000

/* Return the address of the form, filled in; without, if that is too long.  Allocated */
static char *
with_fields(Session *session, const Request *request, const Action *action, const char *back)
{
	Buffer		address = {0};

	secret_token(session->typed);
	buffer_printf(&address, "%s%ctyped=%s", back, strchr(back, '?') == NULL ? '?' : '&',
				  session->typed);
	for (int i = 0; action->fields[i] != NULL; i++)
	{
		/* what names the object is in the address */
		if (i == 0 && strchr(back, '?') != NULL)
			continue;
		buffer_char(&address, '&');
		buffer_add(&address, action->fields[i]);
		buffer_char(&address, '=');
		html_url(&address, request_form(request, action->fields[i]));
	}
	if (address.len <= MAX_ADDRESS)
		return address.data;
	buffer_free(&address);
	return xstrdup(back);
}

/* Do what the request's path means, and redirect */
void
action_run(Page *page)
{
	Request    *request = page->request;
	const Action *action = NULL;
	const char *back = request_form(request, "back");
	PGresult   *res;
	bool		good;

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
	good = report(page, action, res);
	if (good && action->is_zone)
		snprintf(page->session->zone, sizeof(page->session->zone), "%s",
				 request_form(request, "zone")[0] != '\0' ? PQgetvalue(res, 0, 0) : "");
	request->status = 303;
	if (action->leads_to != NULL && good)
		request->location = xprintf("%s%s", action->leads_to, PQgetvalue(res, 0, 0));
	else if (action->refill && !good && is_own_path(back))
		request->location = with_fields(page->session, request, action, back);
	else
		request->location = xstrdup(is_own_path(back) ? back : "/");
	PQclear(res);
}
