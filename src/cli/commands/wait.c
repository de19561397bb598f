/*
 * wait.c
 *		defer wait, and enqueue --wait: until a job and those that it has enqueued
 *		have ended, with a bar meanwhile.
 *
 * It asks again and again, less often where the answer takes the server
 * longer.  defer.await() would be quicker to answer, but knows nothing of
 * children or progress.
 */
#include "core/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define LEAST_PAUSE		0.05
#define MOST_PAUSE		1.0

typedef struct Waiting
{
	PGconn	   *conn;
	const char *id;
	PGresult   *job;			/* as it was last seen */
	double		children;		/* how many there are */
	double		ended;			/* children that have ended, of which ... */
	double		failed;			/* ... failed, were cancelled or discarded */
	double		running;
	double		began;			/* when we began to wait */
	bool		bar;			/* there is a terminal to draw it on */
	bool		drawn;
} Waiting;

static const char *const job_sql =
"SELECT j.id, j.state, j.result, j.error, j.sqlstate, j.progress, j.attempt, j.max_attempts, j.function"
" FROM defer.jobs j WHERE j.id = $1::pg_catalog.int8";

static const char *const children_sql =
"SELECT COALESCE(pg_catalog.sum(c.jobs), 0) AS jobs,"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.state IN ('succeeded', 'failed', 'cancelled', 'discarded')), 0) AS ended,"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.state IN ('failed', 'cancelled', 'discarded')), 0) AS failed,"
" COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.state = 'running'), 0) AS running"
" FROM defer.child_states($1::pg_catalog.int8) c";

static double
clock_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

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

/* See how far it is; false: there is no such job */
static bool
look(Waiting *waiting, bool with_children)
{
	PQclear(waiting->job);
	waiting->job = query(waiting->conn, job_sql, 1, &waiting->id);
	if (PQntuples(waiting->job) == 0)
		return false;
	if (with_children)
	{
		PGresult   *res = query(waiting->conn, children_sql, 1, &waiting->id);

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
report(const Waiting *waiting, bool timed_out)
{
	const PGresult *job = waiting->job;

	if (json_wanted)
	{
		Json		json = {0};

		json_open(&json, '{');
		json_members(&json, job, 0);
		json_key(&json, "children");
		json_open(&json, '{');
		json_key(&json, "jobs");
		json_int(&json, (int64_t) waiting->children);
		json_key(&json, "ended");
		json_int(&json, (int64_t) waiting->ended);
		json_key(&json, "not_succeeded");
		json_int(&json, (int64_t) waiting->failed);
		json_close(&json, '}');
		json_key(&json, "timed_out");
		json_bool(&json, timed_out);
		json_close(&json, '}');
		json_print(&json);
		return;
	}
	if (timed_out)
		complain("job %s has not ended in time, it is %s", waiting->id, result_text(job, 0, "state"));
	else if (strcmp(result_text(job, 0, "state"), "succeeded") != 0)
	{
		Buffer		error = {0};

		buffer_add(&error, "");
		text_escape(&error, result_text(job, 0, "error"), TEXT_BLOCK);
		complain("job %s %s%s%s", waiting->id, result_text(job, 0, "state"), error.len > 0 ? ": " : "", error.data);
		buffer_free(&error);
	}
	else if (waiting->failed > 0)
		complain("%.0f of the %.0f jobs that job %s has enqueued did not succeed\n"
				 "HINT:  defer jobs --parent %s --state failed,cancelled,discarded",
				 waiting->failed, waiting->children, waiting->id, waiting->id);
	else if (result_value(job, 0, "result") != NULL && !quiet_wanted)
	{
		Buffer		text = {0};

		text_escape(&text, result_text(job, 0, "result"), TEXT_BLOCK);
		printf("%s\n", text.data);
		buffer_free(&text);
	}
}

/*
 * Wait for a job, and for those that it has enqueued if so wanted; at most
 * timeout seconds (negative: without end).  Returns how to exit.
 */
int
wait_for_job(PGconn *conn, const char *id, double timeout, bool with_children)
{
	Waiting		waiting = {.conn = conn, .id = id};
	bool		timed_out = false;
	int			result;

	waiting.began = clock_seconds();
	waiting.bar = !quiet_wanted && isatty(STDERR_FILENO);
	for (;;)
	{
		double		before = clock_seconds();
		double		pause;

		if (!look(&waiting, with_children))
		{
			end_line(&waiting);
			complain("there is no job %s that you may see", id);
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
		if (pause < LEAST_PAUSE)
			pause = LEAST_PAUSE;
		if (pause > MOST_PAUSE)
			pause = MOST_PAUSE;
		if (timeout >= 0 && pause > waiting.began + timeout - clock_seconds())
			pause = waiting.began + timeout - clock_seconds();
		if (pause > 0)
			pause_for(pause);
	}
	end_line(&waiting);
	report(&waiting, timed_out);
	result = timed_out ? CLI_TIMEOUT : exit_code(&waiting);
	PQclear(waiting.job);
	return result;
}

int
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
		check_number("the job's id", argv[i]);
	conn = connect_server();
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
