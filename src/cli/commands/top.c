/*
 * top.c
 *		defer top: queues and running jobs, live, as top(1) shows processes.
 *
 * The screen is drawn anew as a whole, in one write, over the old one: no line
 * is ever seen empty.  Signals only set flags; the loop looks at them and
 * gives the terminal back as it was.
 */
#include "core/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define LEAST_INTERVAL 0.1

static const char *const head_sql =
"SELECT pg_catalog.current_database() AS database, pg_catalog.to_char(pg_catalog.clock_timestamp(), 'HH24:MI:SS') AS now,"
" s.preloaded, s.enabled, s.active, s.recovery, s.launcher, s.scheduler, s.no_slots, s.workers, s.max_workers"
" FROM defer.server_state() s";

/* Counters since the server was started; the rates are what has been added */
static const char *const counters_sql =
"SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp())::pg_catalog.float8 AS at,"
" COALESCE(pg_catalog.sum(s.succeeded), 0) AS succeeded, COALESCE(pg_catalog.sum(s.failed), 0) AS failed,"
" COALESCE(pg_catalog.sum(s.attempts_failed + s.attempts_timed_out + s.attempts_crashed + s.attempts_conflict"
" + s.attempts_snoozed + s.attempts_interrupted), 0) AS attempts"
" FROM defer.statistics s";

static volatile sig_atomic_t end_wanted = 0;
static volatile sig_atomic_t resized = 0;
static volatile sig_atomic_t stop_wanted = 0;

static struct termios terminal_before;
static bool terminal_taken = false;

/* What is drawn */
typedef struct Picture
{
	PGresult   *head;
	PGresult   *queues;
	PGresult   *running;
	PGresult   *counters;
	PGresult   *counters_before;
	Buffer		error;			/* not empty: why there is nothing newer */
} Picture;

/* ------------------------------------------------------------------------
 * The terminal
 * ------------------------------------------------------------------------ */

static void
on_signal(int number)
{
	switch (number)
	{
		case SIGWINCH:
			resized = 1;
			break;
		case SIGTSTP:
			stop_wanted = 1;
			break;
		case SIGCONT:
			resized = 1;
			break;
		default:
			end_wanted = number;
	}
}

static void
write_all(const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = write(STDOUT_FILENO, data, len);

		if (n < 0 && errno != EINTR)
			return;				/* the terminal is gone; its signal is on the way */
		if (n > 0)
		{
			data += n;
			len -= n;
		}
	}
}

static void
take_terminal(void)
{
	static const char enter[] = "\033[?1049h\033[?25l\033[2J";
	struct termios raw;

	if (terminal_taken)
		return;
	if (tcgetattr(STDIN_FILENO, &terminal_before) == 0)
	{
		raw = terminal_before;
		raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
		raw.c_cc[VMIN] = 0;
		raw.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	write_all(enter, sizeof(enter) - 1);
	terminal_taken = true;
}

/* As it was before; at the end, whatever the reason */
static void
give_terminal_back(void)
{
	static const char leave[] = "\033[0m\033[?25h\033[?1049l";

	if (!terminal_taken)
		return;
	terminal_taken = false;
	write_all(leave, sizeof(leave) - 1);
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
}

static void
handle_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};
	struct sigaction action = {0};

	action.sa_handler = on_signal;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < lengthof(numbers); i++)
		sigaction(numbers[i], &action, NULL);
	atexit(give_terminal_back);
}

/* Ctrl-Z: stop as any program does, and take the terminal again afterwards */
static void
stop_for_a_while(void)
{
	stop_wanted = 0;
	give_terminal_back();
	kill(getpid(), SIGSTOP);
	take_terminal();
}

/* ------------------------------------------------------------------------
 * The picture
 * ------------------------------------------------------------------------ */

/* A result that took over from an older one; false: it is an error */
static bool
look(PGconn *conn, const char *sql, PGresult **result, Buffer *error)
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

/* Ask the server; after a lost connection it is tried anew each time */
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
	if (look(*conn, head_sql, &picture->head, &picture->error) &&
		look(*conn, live_queues_sql, &picture->queues, &picture->error) &&
		look(*conn, running_jobs_sql, &picture->running, &picture->error) &&
		look(*conn, counters_sql, &picture->counters, &picture->error))
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

/* How many a second; negative: not known yet */
static double
rate(const Picture *picture, const char *counter)
{
	double		seconds;
	double		more;

	if (picture->counters == NULL || picture->counters_before == NULL)
		return -1;
	seconds = result_number(picture->counters, 0, "at") - result_number(picture->counters_before, 0, "at");
	more = result_number(picture->counters, 0, counter) - result_number(picture->counters_before, 0, counter);
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
sum(const PGresult *res, const char *column)
{
	double		total = 0;

	for (int row = 0; row < PQntuples(res); row++)
		total += result_number(res, row, column);
	return total;
}

static const char *
trouble(const PGresult *head)
{
	if (!result_true(head, 0, "preloaded"))
		return "the server has not loaded defer";
	if (!result_true(head, 0, "enabled"))
		return "defer.enabled is off";
	if (!result_true(head, 0, "active"))
		return "a copy: nothing runs before defer.activate()";
	if (result_true(head, 0, "recovery"))
		return "a standby: nothing runs here";
	if (!result_true(head, 0, "launcher") || !result_true(head, 0, "scheduler"))
		return "no scheduler runs";
	if (result_true(head, 0, "no_slots"))
		return "no background worker is free";
	return NULL;
}

/* One line of the screen: cut, and the rest of the old one erased */
static void
add_line(Buffer *screen, Colour which, const char *line, int width)
{
	buffer_add(screen, colour(which));
	if (width > 0)
		text_cut(screen, line, width);
	else
		buffer_add(screen, line);
	if (which != PLAIN)
		buffer_add(screen, colour(PLAIN));
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
	add_line(screen, BOLD, line.data, width);

	buffer_reset(&line);
	format_count(&line, sum(picture->queues, "queued"));
	buffer_add(&line, " queued, ");
	format_count(&line, sum(picture->queues, "running"));
	buffer_add(&line, " running, ");
	format_count(&line, sum(picture->queues, "retrying"));
	buffer_add(&line, " retrying, ");
	format_count(&line, sum(picture->queues, "scheduled"));
	buffer_add(&line, " scheduled");
	for (int row = 0; row < PQntuples(picture->queues); row++)
	{
		if (result_value(picture->queues, row, "oldest_ready_seconds") != NULL &&
			result_number(picture->queues, row, "oldest_ready_seconds") > oldest)
			oldest = result_number(picture->queues, row, "oldest_ready_seconds");
	}
	if (oldest >= 0)
	{
		buffer_add(&line, "; the oldest ready waits for ");
		format_seconds(&line, oldest);
	}
	add_line(screen, PLAIN, line.data, width);
	if (trouble(head) != NULL)
		add_line(screen, RED, trouble(head), width);
	buffer_free(&line);
}

/* As much as there is room for; height 0: all of it */
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
		add_line(screen, RED, text.data, width);
		add_line(screen, RED, "Trying again.", width);
	}
	if (picture->running != NULL)
	{
		int			queues = PQntuples(picture->queues);

		for (const char *c = screen->data; *c != '\0'; c++)
			used += *c == '\n';
		/* queues have a third of what is left, and jobs the rest */
		if (height > 0 && queues > (height - used) / 3)
			queues = (height - used) / 3 > 1 ? (height - used) / 3 : 1;
		buffer_char(screen, '\n');
		queues_table(&table, picture->queues);
		table_render(&table, screen, width, queues);
		table_free(&table);
		buffer_char(screen, '\n');
		running_table(&table, picture->running);
		table_render(&table, screen, width, 0);
		table_free(&table);
	}
	buffer_free(&text);
}

/* The same onto the terminal: each line in its place, nothing scrolls */
static void
put_on_screen(const Buffer *screen, int rows)
{
	Buffer		out = {0};
	const char *line = screen->data;

	buffer_add(&out, "\033[H");
	for (int row = 0; row < rows && *line != '\0'; row++)
	{
		size_t		len = strcspn(line, "\n");

		if (row > 0)
			buffer_add(&out, "\r\n");
		buffer_add_len(&out, line, len);
		buffer_add(&out, "\033[K");
		line += len + (line[len] == '\n');
	}
	buffer_add(&out, "\033[J");
	write_all(out.data, out.len);
	buffer_free(&out);
}

static void
print_json(const Picture *picture)
{
	Json		json = {0};
	static const char *const counters[] = {"succeeded", "failed", "attempts"};

	json_open(&json, '{');
	json_members(&json, picture->head, 0);
	json_key(&json, "rates");
	json_open(&json, '{');
	for (size_t i = 0; i < lengthof(counters); i++)
	{
		char		value[64];

		snprintf(value, sizeof(value), "%.3f", rate(picture, counters[i]));
		json_key(&json, counters[i]);
		json_raw(&json, value[0] == '-' ? NULL : value);
	}
	json_close(&json, '}');
	json_key(&json, "queues");
	json_rows(&json, picture->queues);
	json_key(&json, "running");
	json_rows(&json, picture->running);
	json_close(&json, '}');
	json_print(&json);
	fflush(stdout);
}

/* ------------------------------------------------------------------------
 * The loop
 * ------------------------------------------------------------------------ */

static double
clock_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/*
 * Wait for the next turn.  Returns the key that was pressed, or 0: it is
 * time, or a signal has come.
 */
static int
wait_for_key(double seconds)
{
	struct pollfd input = {.fd = terminal_taken ? STDIN_FILENO : -1, .events = POLLIN};
	char		key;

	if (seconds < 0)
		seconds = 0;
	if (poll(&input, 1, (int) (seconds * 1000 + 0.999)) <= 0)
		return 0;
	if (read(STDIN_FILENO, &key, 1) == 1)
		return (unsigned char) key;
	end_wanted = SIGHUP;		/* the terminal is gone */
	return 0;
}

/* Until the interval is over or the user wants something; *again: ask now */
static void
spend_interval(double *interval, const Picture *picture, Buffer *screen)
{
	double		until = clock_seconds() + *interval;

	while (!end_wanted && clock_seconds() < until)
	{
		int			key = wait_for_key(until - clock_seconds());

		if (stop_wanted)
			stop_for_a_while();
		if (resized && terminal_taken)
		{
			int			columns;
			int			rows;

			resized = 0;
			terminal_size(&columns, &rows);
			draw(screen, picture, columns, rows);
			put_on_screen(screen, rows);
		}
		if (key == 'q' || key == 'Q')
			end_wanted = -1;
		else if (key == ' ' || key == '\r' || key == '\n')
			return;
		else if (key == '+' && *interval < 60)
			*interval *= 2;
		else if (key == '-' && *interval / 2 >= LEAST_INTERVAL)
			*interval /= 2;
	}
}

int
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
	Buffer		screen = {0};
	long long	turns;

	options_parse(argc, argv, options, 0, 0, NULL);
	if (interval < LEAST_INTERVAL)
		usage_error("the interval is at least 100ms");
	batch = batch || json_wanted || !stdout_is_terminal || !isatty(STDIN_FILENO);
	turns = iterations != NULL ? strtoll(iterations, NULL, 10) : batch && !json_wanted ? 2 : -1;
	conn = connect_server();
	handle_signals();
	if (!batch)
		take_terminal();
	while (!end_wanted && turns != 0)
	{
		int			columns;
		int			rows;

		refresh(&conn, &picture);
		if (batch && picture.error.len > 0)
		{
			complain("%s", picture.error.data);
			exit(conn == NULL ? CLI_NO_CONNECTION : CLI_REFUSED);
		}
		terminal_size(&columns, &rows);
		if (json_wanted)
			print_json(&picture);
		else if (batch)
		{
			draw(&screen, &picture, columns, 0);
			printf("%s\n", screen.data);
			fflush(stdout);
		}
		else
		{
			draw(&screen, &picture, columns, rows);
			put_on_screen(&screen, rows);
		}
		if (turns > 0)
			turns--;
		if (turns != 0)
			spend_interval(&interval, &picture, &screen);
	}
	give_terminal_back();
	if (conn != NULL)
		PQfinish(conn);
	PQclear(picture.head);
	PQclear(picture.queues);
	PQclear(picture.running);
	PQclear(picture.counters);
	PQclear(picture.counters_before);
	buffer_free(&picture.error);
	buffer_free(&screen);
	return CLI_OK;
}
