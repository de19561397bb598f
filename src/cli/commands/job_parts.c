/*
 * job_parts.c
 *		Parts of "defer job": steps, what the job comes after, its batch.
 */
#include "commands/job_parts.h"

#include <string.h>

#include "core/format.h"
#include "core/query.h"
#include "core/table.h"
#include "commands/show.h"

/* The jobs that wait for the job, or for its batch */
#define BEFORE_SQL \
	"SELECT d.job_id, j.function, j.state FROM defer.dependencies d JOIN defer.jobs j ON j.id = d.job_id" \
	" WHERE d.open AND d.after_id = $1::pg_catalog.int8 AND d.awaits_id IN ($1::pg_catalog.int8, -$1::pg_catalog.int8," \
	" (SELECT x.rerun_of FROM defer.jobs x WHERE x.id = $1::pg_catalog.int8)) ORDER BY d.job_id LIMIT 100"

/* Append what a step waits for: a job, jobs, an event, a time */
static void
step_awaits(Buffer *out, const PGresult *steps, int row)
{
	const char *kind = result_text(steps, row, "kind");
	const char *awaits = result_value(steps, row, "awaits");
	const char *until = result_value(steps, row, "until");

	buffer_add(out, "waits");
	if (awaits != NULL)
		buffer_printf(out, " for %s%s", strcmp(kind, "wait_event") == 0 ? "event " :
					  strcmp(kind, "step_all") == 0 ? "" : "job ", awaits);
	if (until != NULL)
	{
		buffer_add(out, awaits != NULL ? ", at most until " : " until ");
		format_time(out, until, NULL);
	}
}

/* Print the steps of a procedure, with the attempts that each has taken */
void
job_print_steps(PGconn *conn, const char *id)
{
	static const Column columns[] = {
		{"STEP", COLUMN_TEXT, 12, 0}, {"KIND", COLUMN_TEXT, 0, 1}, {"STATE", COLUMN_STATE, 0, 0},
		{"TRY", COLUMN_NUMBER, 0, 2}, {"STARTED", COLUMN_TEXT, 0, 3}, {"TOOK", COLUMN_NUMBER, 0, 0},
		{"RESULT", COLUMN_TEXT, 20, 0},
	};
	PGresult   *steps = query_run(conn, JOB_STEPS_SQL, 1, &id);
	Table		table;

	if (PQntuples(steps) > 0)
	{
		table_init(&table, columns, lengthof(columns));
		for (int row = 0; row < PQntuples(steps); row++)
		{
			bool		waits = result_value(steps, row, "finished_at") == NULL;
			Buffer		cell = {0};

			table_cell(&table, result_text(steps, row, "name"));
			table_cell(&table, result_text(steps, row, "kind"));
			table_cell(&table, result_text(steps, row, "state"));
			table_cell(&table, result_text(steps, row, "attempts"));
			format_time_exact(&cell, result_text(steps, row, "started_at"));
			table_cell(&table, cell.data);
			table_cell_seconds(&table, steps, row, "duration");
			buffer_reset(&cell);
			if (waits)
				step_awaits(&cell, steps, row);
			table_cell(&table, waits ? cell.data : result_value(steps, row, "result"));
			buffer_free(&cell);
		}
		printf("\n");
		table_print(&table);
		table_free(&table);
	}
	PQclear(steps);
}

/* Print what the job comes after, and what waits for it: at most a hundred of each */
void
job_print_after(PGconn *conn, const char *id)
{
	PGresult   *after = query_run(conn, JOB_AFTER_SQL, 1, &id);
	PGresult   *before = query_run(conn, BEFORE_SQL, 1, &id);

	for (int row = 0; row < PQntuples(after); row++)
	{
		bool		open = result_true(after, row, "open");
		const char *state = result_value(after, row, "state");

		printf("%s", row == 0 ? "\n" : "");
		show_label(row == 0 ? "after" : "");
		printf("%s%s %s ", result_true(after, row, "batch") ? "the batch of " : "",
			   result_text(after, row, "after_id"), result_text(after, row, "function"));
		show_state(state != NULL ? state : "gone");
		printf("%s\n", !open ? "" : strcmp(result_text(after, row, "after_failure"), "hold") == 0 &&
			   state != NULL && strcmp(state, "failed") == 0 ? " (held)" : " (waits)");
	}
	for (int row = 0; row < PQntuples(before); row++)
	{
		printf("%s", row == 0 ? "\n" : "");
		show_label(row == 0 ? "before" : "");
		printf("%s %s ", result_text(before, row, "job_id"), result_text(before, row, "function"));
		show_state(result_text(before, row, "state"));
		printf("\n");
	}
	PQclear(after);
	PQclear(before);
}

/* Print how far the job's batch is, if a job waits for that */
void
job_print_batch(PGconn *conn, const char *id)
{
	PGresult   *batch = query_run(conn, JOB_BATCH_SQL, 1, &id);

	if (PQntuples(batch) > 0)
	{
		printf("\n");
		show_label("batch");
		printf("%s jobs%s: %s unfinished, %s succeeded, %s failed, %s cancelled, %s discarded\n",
			   result_text(batch, 0, "jobs"), result_true(batch, 0, "deep") ? ", with theirs" : "",
			   result_text(batch, 0, "unfinished"), result_text(batch, 0, "succeeded"), result_text(batch, 0, "failed"),
			   result_text(batch, 0, "cancelled"), result_text(batch, 0, "discarded"));
	}
	PQclear(batch);
}
