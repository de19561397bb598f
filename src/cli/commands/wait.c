/*
 * wait.c
 *		defer wait, and enqueue --wait: waits until a job and its children have
 *		ended, and draws a bar meanwhile.
 *
 * The program polls, less often where the answer takes the server longer.
 * defer.await() answers sooner, but knows neither children nor progress.
 */
#include "commands/wait.h"

#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/connect.h"
#include "core/format.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "core/text.h"
#include "commands/commands.h"
#include "commands/show.h"

#define MIN_PAUSE		0.05
#define MAX_PAUSE		1.0

typedef struct Waiting
{
	PGconn	   *conn;
	const char *id;
	PGresult   *job;			/* as of the last poll */
	double		children;		/* number of children */
	double		ended;			/* finished children */
	double		failed;			/* of these: failed, cancelled or discarded */
	double		running;		/* children that run */
	double		began;			/* start of waiting, clock_seconds() */
	bool		bar;			/* standard error is a terminal */
	bool		drawn;			/* the cursor is on the line of the bar */
} Waiting;

#define JOB_SQL \
	"SELECT j.id, j.state, j.result, j.error, j.sqlstate, j.progress, j.attempt," \
	" j.max_attempts, j.function FROM defer.jobs j WHERE j.id = $1::pg_catalog.int8"

static const char *const children_sql =
"SELECT COALESCE(pg_catalog.sum(c.jobs), 0) AS jobs,"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.state IN ('succeeded', 'failed', 'cancelled', 'discarded')), 0) AS ended,"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.state IN ('failed', 'cancelled', 'discarded')), 0) AS failed,"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.state = 'running'), 0) AS running"
" FROM defer.child_states($1::pg_catalog.int8) c";

/* $2: children, $3: of these ended, $4: not succeeded, $5: whether the time was over */
static const char *const document_sql =
"SELECT pg_catalog.row_to_json(job) FROM (SELECT j.*,"
" pg_catalog.json_build_object('jobs', $2::pg_catalog.int8, 'ended', $3::pg_catalog.int8,"
" 'not_succeeded', $4::pg_catalog.int8) AS children, $5::pg_catalog.bool AS timed_out"
" FROM (" JOB_SQL ") j) job";

static bool
has_ended(const PGresult *job)
{
	const char *state = result_text(job, 0, "state");

	return strcmp(state, "succeeded") == 0 || strcmp(state, "failed") == 0 ||
		strcmp(state, "cancelled") == 0 || strcmp(state, "discarded") == 0;
}

static int
exit_code(const Waiting *waiting)
{
	const char *state = result_text(waiting->job, 0, "state");

	if (strcmp(state, "failed") == 0)
		return CLI_JOB_FAILED;
	if (strcmp(state, "cancelled") == 0)
		return CLI_JOB_CANCELLED;
	if (strcmp(state, "discarded") == 0)
		return CLI_JOB_DISCARDED;
	return waiting->failed > 0 ? CLI_JOB_FAILED : CLI_OK;
}

/* ------------------------------------------------------------------------
 * The bar
 * ------------------------------------------------------------------------ */

static void
draw(Waiting *waiting)
{
	const PGresult *job = waiting->job;
	Buffer		line = {0};
	Buffer		cut = {0};
	struct winsize size;
	int			columns = 80;
	double		elapsed = clock_seconds() - waiting->began;

	if (!waiting->bar)
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		columns = size.ws_col;
	buffer_add(&line, "");
	if (waiting->children > 0)
	{
		double		left = waiting->children - waiting->ended;

		show_progress(&line, waiting->ended / waiting->children, columns > 100 ? 40 : 20);
		buffer_add(&line, "  ");
		format_count(&line, waiting->ended);
		buffer_add(&line, " of ");
		format_count(&line, waiting->children);
		if (waiting->failed > 0)
		{
			buffer_add(&line, ", ");
			format_count(&line, waiting->failed);
			buffer_add(&line, " not succeeded");
		}
		buffer_add(&line, ", ");
		format_count(&line, waiting->running);
		buffer_add(&line, " running, ");
		format_seconds(&line, elapsed);
		if (waiting->ended > 0 && left > 0 && elapsed > 1)
		{
			buffer_add(&line, ", about ");
			format_seconds(&line, elapsed * left / waiting->ended);
			buffer_add(&line, " left");
		}
	}
	else
	{
		if (result_value(job, 0, "progress") != NULL)
		{
			show_progress(&line, result_number(job, 0, "progress"), columns > 100 ? 40 : 20);
			buffer_add(&line, "  ");
		}
		buffer_printf(&line, "job %s %s, attempt %s of %s, ", waiting->id, result_text(job, 0, "state"),
					  result_text(job, 0, "attempt"), result_text(job, 0, "max_attempts"));
		format_seconds(&line, elapsed);
	}
	text_cut(&cut, line.data, columns - 1);
	fprintf(stderr, "\r%s\033[K", cut.data);
	fflush(stderr);
	waiting->drawn = true;
	buffer_free(&line);
	buffer_free(&cut);
}

static void
end_line(Waiting *waiting)
{
	if (waiting->drawn)
		fputc('\n', stderr);
	waiting->drawn = false;
}

/* ------------------------------------------------------------------------
 * Waiting
 * ------------------------------------------------------------------------ */

/* Poll the job and its children; false: there is no such job */
static bool
poll_job(Waiting *waiting, bool with_children)
{
	PQclear(waiting->job);
	waiting->job = query_run(waiting->conn, JOB_SQL, 1, &waiting->id);
	if (PQntuples(waiting->job) == 0)
		return false;
	if (with_children)
	{
		PGresult   *res = query_run(waiting->conn, children_sql, 1, &waiting->id);

		waiting->children = result_number(res, 0, "jobs");
		waiting->ended = result_number(res, 0, "ended");
		waiting->failed = result_number(res, 0, "failed");
		waiting->running = result_number(res, 0, "running");
		PQclear(res);
	}
	return true;
}

static void
pause_for(double seconds)
{
	struct timespec pause;

	pause.tv_sec = (time_t) seconds;
	pause.tv_nsec = (long) ((seconds - pause.tv_sec) * 1e9);
	nanosleep(&pause, NULL);
}

static void
report_json(const Waiting *waiting, bool timed_out)
{
	char		counts[3][24];
	const char *values[] = {waiting->id, counts[0], counts[1], counts[2], timed_out ? "true" : "false"};
	PGresult   *res;

	snprintf(counts[0], sizeof(counts[0]), "%.0f", waiting->children);
	snprintf(counts[1], sizeof(counts[1]), "%.0f", waiting->ended);
	snprintf(counts[2], sizeof(counts[2]), "%.0f", waiting->failed);
	res = query_run(waiting->conn, document_sql, lengthof(values), values);
	if (PQntuples(res) > 0)
		json_print(res);
	PQclear(res);
}

static void
report(const Waiting *waiting, bool timed_out)
{
	const PGresult *job = waiting->job;

	if (timed_out)
		report_error("job %s has not ended in time, it is %s", waiting->id, result_text(job, 0, "state"));
	else if (strcmp(result_text(job, 0, "state"), "succeeded") != 0)
	{
		Buffer		error = {0};

		buffer_add(&error, "");
		text_escape(&error, result_text(job, 0, "error"), TEXT_BLOCK);
		report_error("job %s %s%s%s", waiting->id, result_text(job, 0, "state"), error.len > 0 ? ": " : "", error.data);
		buffer_free(&error);
	}
	else if (waiting->failed > 0)
		report_error("%.0f of the %.0f jobs that job %s has enqueued did not succeed\n"
					 "HINT:  defer jobs --parent %s --state failed,cancelled,discarded",
					 waiting->failed, waiting->children, waiting->id, waiting->id);
	else if (result_value(job, 0, "result") != NULL && !report_quiet)
	{
		Buffer		text = {0};

		text_escape(&text, result_text(job, 0, "result"), TEXT_BLOCK);
		printf("%s\n", text.data);
		buffer_free(&text);
	}
}

/*
 * Wait for a job, and for its children if with_children, at most timeout
 * seconds (negative: no limit).  Return the exit code.
 */
int
wait_for_job(PGconn *conn, const char *id, double timeout, bool with_children)
{
	Waiting		waiting = {.conn = conn, .id = id};
	bool		timed_out = false;
	int			result;

	waiting.began = clock_seconds();
	waiting.bar = !report_quiet && isatty(STDERR_FILENO);
	for (;;)
	{
		double		before = clock_seconds();
		double		pause;

		if (!poll_job(&waiting, with_children))
		{
			end_line(&waiting);
			report_error("there is no job %s that you may see", id);
			PQclear(waiting.job);
			return CLI_NOTHING_DONE;
		}
		draw(&waiting);
		if (has_ended(waiting.job) && waiting.ended == waiting.children)
			break;
		if (timeout >= 0 && clock_seconds() - waiting.began >= timeout)
		{
			timed_out = true;
			break;
		}
		pause = 5 * (clock_seconds() - before);
		if (pause < MIN_PAUSE)
			pause = MIN_PAUSE;
		if (pause > MAX_PAUSE)
			pause = MAX_PAUSE;
		if (timeout >= 0 && pause > waiting.began + timeout - clock_seconds())
			pause = waiting.began + timeout - clock_seconds();
		if (pause > 0)
			pause_for(pause);
	}
	end_line(&waiting);
	if (options_json)
		report_json(&waiting, timed_out);
	else
		report(&waiting, timed_out);
	result = timed_out ? CLI_TIMEOUT : exit_code(&waiting);
	PQclear(waiting.job);
	return result;
}

static int
cmd_wait(int argc, char **argv)
{
	static double timeout = -1;
	static bool alone = false;
	static const Option options[] = {
		{"timeout", 't', OPTION_SECONDS, &timeout},
		{"alone", 'a', OPTION_FLAG, &alone},
		{NULL}
	};
	PGconn	   *conn;
	double		until;
	int			result = CLI_OK;
	int			count;

	argv = options_parse(argc, argv, options, 1, -1, &count);
	for (int i = 0; i < count; i++)
		options_check_number("the job's id", argv[i]);
	conn = connect_or_exit();
	until = clock_seconds() + timeout;
	for (int i = 0; i < count; i++)
	{
		double		left = timeout < 0 ? -1 : until - clock_seconds();
		int			one = wait_for_job(conn, argv[i], timeout >= 0 && left < 0 ? 0 : left, !alone);

		if (result == CLI_OK)
			result = one;
	}
	PQfinish(conn);
	return result;
}

const Command command_wait = {
	"wait", "ID...", "Wait until jobs and the jobs that they enqueue have ended", cmd_wait,
	"\nWrites the result of a job that has succeeded. Meanwhile a bar is drawn on the terminal.\n"
	"\nOptions:\n"
	"  -t, --timeout=TIME     no longer than that: 30s, 10min\n"
	"  -a, --alone            do not wait for the jobs that they have enqueued\n"
	"\nExit codes: 0 all succeeded, 4 there is no such job, 5 one failed (or a job that it\n"
	"enqueued did not succeed), 6 it was cancelled, 7 discarded, 8 the timeout is over.\n"
	"\nExamples:\n"
	"  defer -d shop wait 4711\n"
	"  defer -d shop wait --timeout 10min $(defer -d shop trigger weekly) && echo done\n"
};
