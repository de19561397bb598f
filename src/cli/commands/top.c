/*
 * top.c
 *		defer top: queues and running jobs, live, as top(1) shows processes.
 */
#include "commands/commands.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/connect.h"
#include "core/format.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "core/screen.h"
#include "core/terminal.h"
#include "core/text.h"

#include "commands/show.h"

#define MIN_INTERVAL 0.1

#define HEAD_SQL \
	"SELECT pg_catalog.current_database() AS database," \
	" pg_catalog.to_char(pg_catalog.clock_timestamp(), 'HH24:MI:SS') AS now," \
	" s.preloaded, s.enabled, s.active, s.recovery, s.launcher, s.scheduler," \
	" s.no_slots, s.workers, s.max_workers FROM defer.server_state() s"

/* Counters since the start of the server; rates are their increase */
static const char *const counters_sql =
"SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp())::pg_catalog.float8 AS at,"
" COALESCE(pg_catalog.sum(s.succeeded), 0) AS succeeded, COALESCE(pg_catalog.sum(s.failed), 0) AS failed,"
" COALESCE(pg_catalog.sum(s.attempts_failed + s.attempts_timed_out + s.attempts_crashed + s.attempts_conflict"
" + s.attempts_snoozed + s.attempts_interrupted), 0) AS attempts"
" FROM defer.statistics s";

/* $1 to $3 are the rates */
static const char *const document_sql =
"SELECT pg_catalog.row_to_json(top) FROM (SELECT h.*, "
JSON_ROW("SELECT $1::pg_catalog.numeric AS succeeded, $2::pg_catalog.numeric AS failed,"
		 " $3::pg_catalog.numeric AS attempts") " AS rates, "
JSON_ROWS(SHOW_QUEUES_SQL) " AS queues, "
JSON_ROWS(SHOW_RUNNING_SQL) " AS running"
" FROM (" HEAD_SQL ") h) top";

/* The results that are drawn */
typedef struct Picture
{
	PGresult   *head;
	PGresult   *queues;
	PGresult   *running;
	PGresult   *counters;
	PGresult   *counters_before;
	Buffer		error;			/* not empty: why the results are old */
} Picture;

/* ------------------------------------------------------------------------
 * Queries
 * ------------------------------------------------------------------------ */

/* Replace a result by a new one; false: an error, and the old one stays */
static bool
replace_result(PGconn *conn, const char *sql, PGresult **result, Buffer *error)
{
	PGresult   *res = query_try(conn, sql, 0, NULL);

	if (PQresultStatus(res) != PGRES_TUPLES_OK)
	{
		result_error(error, conn, res);
		PQclear(res);
		return false;
	}
	PQclear(*result);
	*result = res;
	return true;
}

/* Query the server; a lost connection is opened anew each time */
static void
refresh(PGconn **conn, Picture *picture)
{
	PGresult   *before = picture->counters;

	buffer_reset(&picture->error);
	if (*conn == NULL)
		*conn = connect_try(NULL, &picture->error);
	if (*conn == NULL)
		return;
	picture->counters = NULL;
	if (replace_result(*conn, HEAD_SQL, &picture->head, &picture->error) &&
		replace_result(*conn, SHOW_QUEUES_SQL, &picture->queues, &picture->error) &&
		replace_result(*conn, SHOW_RUNNING_SQL, &picture->running, &picture->error) &&
		replace_result(*conn, counters_sql, &picture->counters, &picture->error))
	{
		PQclear(picture->counters_before);
		picture->counters_before = before;
		return;
	}
	PQclear(picture->counters);
	picture->counters = before;
	if (PQstatus(*conn) != CONNECTION_OK)
	{
		PQfinish(*conn);
		*conn = NULL;
	}
}

static void
free_picture(Picture *picture)
{
	PQclear(picture->head);
	PQclear(picture->queues);
	PQclear(picture->running);
	PQclear(picture->counters);
	PQclear(picture->counters_before);
	buffer_free(&picture->error);
}

/* Return the increase of a counter per second; negative: unknown */
static double
rate(const Picture *picture, const char *counter)
{
	const PGresult *now = picture->counters;
	const PGresult *before = picture->counters_before;
	double		seconds;
	double		more;

	if (now == NULL || before == NULL)
		return -1;
	seconds = result_number(now, 0, "at") - result_number(before, 0, "at");
	more = result_number(now, 0, counter) - result_number(before, 0, counter);
	return seconds <= 0 || more < 0 ? -1 : more / seconds;
}

static void
add_rate(Buffer *line, const Picture *picture, const char *counter, const char *name)
{
	double		value = rate(picture, counter);

	if (value < 0)
		buffer_add(line, "-");
	else
		format_count(line, value);
	buffer_printf(line, " %s/s", name);
}

static double
sum_column(const PGresult *res, const char *column)
{
	double		total = 0;

	for (int row = 0; row < PQntuples(res); row++)
		total += result_number(res, row, column);
	return total;
}

/* Return why no job runs; NULL: jobs run */
static const char *
stopped_because(const PGresult *head)
{
	if (!result_true(head, 0, "preloaded"))
		return "the server has not loaded defer";
	if (!result_true(head, 0, "enabled"))
		return "defer.enabled is off";
	if (!result_true(head, 0, "active"))
		return "a copy: no job runs before defer.activate()";
	if (result_true(head, 0, "recovery"))
		return "a standby: no job runs here";
	if (!result_true(head, 0, "launcher") || !result_true(head, 0, "scheduler"))
		return "no scheduler runs";
	if (result_true(head, 0, "no_slots"))
		return "no background worker is free";
	return NULL;
}

/* Append a line, cut to a width; 0: uncut */
static void
add_line(Buffer *screen, Colour which, const char *line, int width)
{
	buffer_add(screen, terminal_colour(which));
	if (width > 0)
		text_cut(screen, line, width);
	else
		buffer_add(screen, line);
	if (which != COLOUR_PLAIN)
		buffer_add(screen, terminal_colour(COLOUR_PLAIN));
	buffer_char(screen, '\n');
}

static void
draw_head(Buffer *screen, const Picture *picture, int width)
{
	const PGresult *head = picture->head;
	Buffer		line = {0};
	double		oldest = -1;

	buffer_add(&line, "defer top - ");
	text_escape(&line, result_text(head, 0, "database"), TEXT_LINE);
	buffer_printf(&line, " %s, %s of %s workers, ", result_text(head, 0, "now"),
				  result_text(head, 0, "workers"), result_text(head, 0, "max_workers"));
	add_rate(&line, picture, "succeeded", "succeeded");
	buffer_add(&line, ", ");
	add_rate(&line, picture, "failed", "failed");
	buffer_add(&line, ", ");
	add_rate(&line, picture, "attempts", "retried");
	add_line(screen, COLOUR_BOLD, line.data, width);

	buffer_reset(&line);
	format_count(&line, sum_column(picture->queues, "queued"));
	buffer_add(&line, " queued, ");
	format_count(&line, sum_column(picture->queues, "running"));
	buffer_add(&line, " running, ");
	format_count(&line, sum_column(picture->queues, "retrying"));
	buffer_add(&line, " retrying, ");
	format_count(&line, sum_column(picture->queues, "scheduled"));
	buffer_add(&line, " scheduled");
	for (int row = 0; row < PQntuples(picture->queues); row++)
	{
		if (result_value(picture->queues, row, "oldest_ready_seconds") != NULL &&
			result_number(picture->queues, row, "oldest_ready_seconds") > oldest)
			oldest = result_number(picture->queues, row, "oldest_ready_seconds");
	}
	if (oldest >= 0)
	{
		buffer_add(&line, "; longest wait ");
		format_seconds(&line, oldest);
	}
	add_line(screen, COLOUR_PLAIN, line.data, width);
	if (stopped_because(head) != NULL)
		add_line(screen, COLOUR_RED, stopped_because(head), width);
	buffer_free(&line);
}

/* Append the picture, in at most height lines; 0: all of it */
static void
draw(Buffer *screen, const Picture *picture, int width, int height)
{
	Buffer		text = {0};
	Table		table;
	int			used = 0;

	buffer_reset(screen);
	if (picture->head != NULL)
		draw_head(screen, picture, width);
	if (picture->error.len > 0)
	{
		buffer_add(&text, picture->error.data);
		text.data[strcspn(text.data, "\n")] = '\0';
		add_line(screen, COLOUR_RED, text.data, width);
		add_line(screen, COLOUR_RED, "Trying again.", width);
	}
	if (picture->running != NULL)
	{
		int			queues = PQntuples(picture->queues);

		for (const char *c = screen->data; *c != '\0'; c++)
			used += *c == '\n';
		/* queues have a third of the remaining lines, jobs the others */
		if (height > 0 && queues > (height - used) / 3)
			queues = (height - used) / 3 > 1 ? (height - used) / 3 : 1;
		buffer_char(screen, '\n');
		show_queues(&table, picture->queues);
		table_render(&table, screen, width, queues);
		table_free(&table);
		buffer_char(screen, '\n');
		show_running(&table, picture->running);
		table_render(&table, screen, width, 0);
		table_free(&table);
	}
	buffer_free(&text);
}

/* Print one line of JSON */
static void
print_json(PGconn *conn, const Picture *picture)
{
	static const char *const counters[] = {"succeeded", "failed", "attempts"};
	char		rates[lengthof(counters)][64];
	const char *values[lengthof(counters)];
	PGresult   *res;

	for (size_t i = 0; i < lengthof(counters); i++)
	{
		double		value = rate(picture, counters[i]);

		snprintf(rates[i], sizeof(rates[i]), "%.3f", value);
		values[i] = value < 0 ? NULL : rates[i];
	}
	res = query_run(conn, document_sql, lengthof(values), values);
	json_print_line(res);
	PQclear(res);
	fflush(stdout);
}

/* ------------------------------------------------------------------------
 * The loop
 * ------------------------------------------------------------------------ */

static void
draw_on_screen(Buffer *text, const Picture *picture)
{
	int			columns;
	int			rows;

	terminal_size(&columns, &rows);
	draw(text, picture, columns, rows);
	screen_draw(text, rows);
}

/* Write the picture as the options want it */
static void
show_picture(PGconn *conn, const Picture *picture, Buffer *text, bool batch)
{
	int			columns;
	int			rows;

	if (options_json)
		print_json(conn, picture);
	else if (batch)
	{
		terminal_size(&columns, &rows);
		draw(text, picture, columns, 0);
		printf("%s\n", text->data);
		fflush(stdout);
	}
	else
		draw_on_screen(text, picture);
}

/* Wait until the interval is over, or a key asks for the next picture */
static void
spend_interval(double *interval, const Picture *picture, Buffer *text)
{
	double		until = clock_seconds() + *interval;

	while (!screen_ended() && clock_seconds() < until)
	{
		int			key = screen_wait_for_key(until - clock_seconds());

		if (screen_was_resized())
			draw_on_screen(text, picture);
		if (key == 'q' || key == 'Q')
			screen_end();
		else if (key == ' ' || key == '\r' || key == '\n')
			return;
		else if (key == '+' && *interval < 60)
			*interval *= 2;
		else if (key == '-' && *interval / 2 >= MIN_INTERVAL)
			*interval /= 2;
	}
}

static int
cmd_top(int argc, char **argv)
{
	static double interval = 2;
	static const char *iterations = NULL;
	static bool batch = false;
	static const Option options[] = {
		{"interval", 'i', OPTION_SECONDS, &interval},
		{"iterations", 'n', OPTION_NUMBER, &iterations},
		{"batch", 'b', OPTION_FLAG, &batch},
		{NULL}
	};
	PGconn	   *conn;
	Picture		picture = {0};
	Buffer		text = {0};
	long long	turns;

	options_parse(argc, argv, options, 0, 0, NULL);
	if (interval < MIN_INTERVAL)
		report_usage_error("the interval is at least 100ms");
	batch = batch || options_json || !terminal_is_tty || !isatty(STDIN_FILENO);
	turns = iterations != NULL ? strtoll(iterations, NULL, 10) : batch && !options_json ? 2 : -1;
	conn = connect_or_exit();
	screen_handle_signals();
	if (!batch)
		screen_open();
	while (!screen_ended() && turns != 0)
	{
		refresh(&conn, &picture);
		if (batch && picture.error.len > 0)
		{
			report_error("%s", picture.error.data);
			exit(conn == NULL ? CLI_NO_CONNECTION : CLI_REFUSED);
		}
		show_picture(conn, &picture, &text, batch);
		if (turns > 0)
			turns--;
		if (turns != 0)
			spend_interval(&interval, &picture, &text);
	}
	screen_close();
	PQfinish(conn);
	free_picture(&picture);
	buffer_free(&text);
	return CLI_OK;
}

const Command command_top = {
	"top", "[options]", "Queues and running jobs, live", cmd_top,
	"\nOptions:\n"
	"  -i, --interval=TIME    between two pictures (2s)\n"
	"  -n, --iterations=N     end after N pictures\n"
	"  -b, --batch            one picture below the other, as without a terminal\n"
	"\nKeys: q ends, blank refreshes at once, + and - make the interval longer and shorter.\n"
	"\nExamples:\n"
	"  defer -d shop top\n"
	"  defer -d shop top --interval 500ms\n"
	"  defer -d shop top --json --iterations 10 --interval 1s | jq .rates\n"
};
