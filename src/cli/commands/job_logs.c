/*
 * job_logs.c
 *		What a job has said, and what it says while it runs.
 */
#include "commands/job_logs.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/format.h"
#include "core/query.h"
#include "core/terminal.h"
#include "core/text.h"

/* $2: those later than that; NULL: all */
#define LOGS_SINCE_SQL \
	"SELECT l.attempt, l.at, l.at::pg_catalog.text AS exact, l.level, l.message" \
	" FROM defer.logs l WHERE l.job_id = $1::pg_catalog.int8" \
	" AND ($2::pg_catalog.text IS NULL OR l.at > $2::pg_catalog.timestamptz) ORDER BY l.at, l.attempt"

/* Microseconds between two looks of --follow */
#define FOLLOW_PAUSE	300000

static void
print_log_lines(const PGresult *logs)
{
	for (int row = 0; row < PQntuples(logs); row++)
	{
		const char *level = result_text(logs, row, "level");
		Buffer		line = {0};
		Buffer		text = {0};

		format_time(&line, result_text(logs, row, "at"), NULL);
		buffer_printf(&line, "  %2s  %s%-7s%s  ", result_text(logs, row, "attempt"),
					  terminal_colour(terminal_state_colour(level)), level,
					  terminal_colour(COLOUR_PLAIN));
		text_escape(&text, result_text(logs, row, "message"), TEXT_BLOCK);
		text_indent(&line, text.data == NULL ? "" : text.data, 34);
		printf("%s\n", line.data);
		buffer_free(&line);
		buffer_free(&text);
	}
}

void
job_logs_print(const PGresult *logs)
{
	if (PQntuples(logs) == 0)
		return;
	printf("\n%slogs%s\n", terminal_colour(COLOUR_BOLD), terminal_colour(COLOUR_PLAIN));
	print_log_lines(logs);
}

void
job_logs_follow(PGconn *conn, const char *id)
{
	const char *values[] = {id, NULL};
	char	   *last = NULL;
	bool		ended;

	do
	{
		PGresult   *state = query_run(conn, "SELECT j.finished_at FROM defer.jobs j WHERE j.id = $1::pg_catalog.int8",
									  1, values);
		PGresult   *logs = query_run(conn, LOGS_SINCE_SQL, 2, values);
		int			rows = PQntuples(logs);

		/* asked before, so nothing that it has said is missing */
		ended = PQntuples(state) == 0 || !PQgetisnull(state, 0, 0);
		print_log_lines(logs);
		fflush(stdout);
		if (rows > 0)
		{
			free(last);
			values[1] = last = xstrdup(result_text(logs, rows - 1, "exact"));
		}
		PQclear(state);
		PQclear(logs);
		if (!ended)
			usleep(FOLLOW_PAUSE);
	} while (!ended);
	free(last);
}
