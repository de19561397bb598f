/*
 * show.c
 *		What several commands show: labelled lines, queues, running jobs, lists of jobs.
 */
#include "commands/show.h"

#include <string.h>

#include "core/format.h"
#include "core/query.h"
#include "core/terminal.h"

#define LABEL_WIDTH 15

/* Print the beginning of a labelled line */
void
show_label(const char *name)
{
	printf("%s%s%s%*s", terminal_colour(COLOUR_BOLD), name, terminal_colour(COLOUR_PLAIN),
		   LABEL_WIDTH - (int) strlen(name), "");
}

/* Print a labelled line, or block of lines; nothing for NULL and "" */
void
show_field(const char *name, const char *value, TextMode mode)
{
	Buffer		text = {0};
	Buffer		out = {0};

	if (value == NULL || value[0] == '\0')
		return;
	text_escape(&text, value, mode);
	text_indent(&out, text.data, LABEL_WIDTH);
	show_label(name);
	printf("%s\n", out.data);
	buffer_free(&text);
	buffer_free(&out);
}

/* Print a state in its colour */
void
show_state(const char *state)
{
	printf("%s%s%s", terminal_colour(terminal_state_colour(state)), state, terminal_colour(COLOUR_PLAIN));
}

/* Fill a table of the queues that SHOW_QUEUES_SQL has found */
void
show_queues(Table *table, const PGresult *res)
{
	static const Column columns[] = {
		{"QUEUE", COLUMN_TEXT, 12, 0},
		{"", COLUMN_STATE, 0, 3},
		{"QUEUED", COLUMN_NUMBER, 0, 0},
		{"RUNNING", COLUMN_NUMBER, 0, 0},
		{"RETRYING", COLUMN_NUMBER, 0, 0},
		{"SCHEDULED", COLUMN_NUMBER, 0, 2},
		{"LIMIT", COLUMN_NUMBER, 0, 4},
		{"OLDEST READY", COLUMN_NUMBER, 0, 1},
	};
	static const char *const counts[] = {"queued", "running", "retrying", "scheduled"};

	table_init(table, columns, lengthof(columns));
	for (int row = 0; row < PQntuples(res); row++)
	{
		table_cell(table, result_text(res, row, "queue"));
		table_cell(table, result_true(res, row, "paused") ? "paused" : "");
		for (size_t i = 0; i < lengthof(counts); i++)
			table_cell_count(table, result_number(res, row, counts[i]));
		table_cell(table, result_value(res, row, "concurrency"));
		table_cell_seconds(table, res, row, "oldest_ready_seconds");
	}
}

/* Append a bar and a percentage: [#####.....] 50 % */
void
show_progress(Buffer *out, double fraction, int width)
{
	int			full = (int) (fraction * width + 0.5);

	if (width > 0)
	{
		buffer_char(out, '[');
		buffer_repeat(out, "#", full);
		buffer_repeat(out, ".", width - full);
		buffer_add(out, "] ");
	}
	buffer_printf(out, "%3d %%", (int) (fraction * 100));
}

/* Fill a table of the jobs that SHOW_RUNNING_SQL has found */
void
show_running(Table *table, const PGresult *res)
{
	static const Column columns[] = {
		{"JOB", COLUMN_NUMBER, 0, 0},
		{"FUNCTION", COLUMN_TEXT, 14, 0},
		{"ARGS", COLUMN_TEXT, 8, 2},
		{"QUEUE", COLUMN_TEXT, 8, 4},
		{"ROLE", COLUMN_TEXT, 8, 5},
		{"PID", COLUMN_NUMBER, 0, 6},
		{"TRY", COLUMN_NUMBER, 0, 3},
		{"FOR", COLUMN_NUMBER, 0, 0},
		{"PROGRESS", COLUMN_TEXT, 0, 1},
	};

	table_init(table, columns, lengthof(columns));
	for (int row = 0; row < PQntuples(res); row++)
	{
		Buffer		progress = {0};

		table_cell(table, result_text(res, row, "id"));
		table_cell(table, result_text(res, row, "function"));
		table_cell(table, result_value(res, row, "args"));
		table_cell(table, result_text(res, row, "queue"));
		table_cell(table, result_text(res, row, "owner"));
		table_cell(table, result_value(res, row, "pid"));
		table_cell(table, result_value(res, row, "attempt"));
		table_cell_seconds(table, res, row, "duration");
		buffer_add(&progress, "");
		if (result_value(res, row, "progress") != NULL)
			show_progress(&progress, result_number(res, row, "progress"), 10);
		table_cell(table, progress.data);
		buffer_free(&progress);
	}
}

/* Report whether any job of a list has a group */
static bool
any_group(const PGresult *res)
{
	for (int row = 0; row < PQntuples(res); row++)
	{
		if (result_value(res, row, "group_key") != NULL)
			return true;
	}
	return false;
}

/* Fill a table of jobs with SHOW_JOB_COLUMNS, and the day as "today" */
void
show_jobs(Table *table, const PGresult *res)
{
	static const Column columns[] = {
		{"JOB", COLUMN_NUMBER, 0, 0},
		{"STATE", COLUMN_STATE, 0, 0},
		{"FUNCTION", COLUMN_TEXT, 16, 0},
		{"ARGS", COLUMN_TEXT, 8, 2},
		{"QUEUE", COLUMN_TEXT, 8, 5},
		{"GROUP", COLUMN_TEXT, 8, 6},	/* only where a job has one */
		{"TRY", COLUMN_NUMBER, 0, 4},
		{"AT", COLUMN_TEXT, 0, 1},
		{"TOOK", COLUMN_NUMBER, 0, 3},
		{"ERROR", COLUMN_TEXT, 14, 2},
	};
	static Column shown[lengthof(columns)];
	bool		groups = any_group(res);
	int			n = 0;

	for (size_t i = 0; i < lengthof(columns); i++)
	{
		if (groups || strcmp(columns[i].title, "GROUP") != 0)
			shown[n++] = columns[i];
	}
	table_init(table, shown, n);
	for (int row = 0; row < PQntuples(res); row++)
	{
		const char *state = result_text(res, row, "state");
		const char *at = "run_at";
		Buffer		note = {0};

		if (result_value(res, row, "finished_at") != NULL)
			at = "finished_at";
		else if (strcmp(state, "running") == 0 && result_value(res, row, "started_at") != NULL)
			at = "started_at";
		buffer_add(&note, "");
		if (result_value(res, row, "error") != NULL && strcmp(state, "succeeded") != 0)
			buffer_add(&note, result_text(res, row, "error"));
		else if (result_value(res, row, "progress") != NULL)
			show_progress(&note, result_number(res, row, "progress"), 10);
		table_cell(table, result_text(res, row, "id"));
		table_cell(table, state);
		table_cell(table, result_text(res, row, "function"));
		table_cell(table, result_value(res, row, "args"));
		table_cell(table, result_text(res, row, "queue"));
		if (groups)
			table_cell(table, result_value(res, row, "group_key"));
		table_cell_printf(table, "%s/%s", result_text(res, row, "attempt"), result_text(res, row, "max_attempts"));
		table_cell_time(table, result_value(res, row, at), result_value(res, row, "today"));
		table_cell_seconds(table, res, row, "duration");
		table_cell(table, note.data);
		buffer_free(&note);
	}
}
