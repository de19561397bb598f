/*
 * mend.c
 *		Commands about failures: errors shows them, rerun, retry and acknowledge deal
 *		with them.
 */
#include "commands/action.h"
#include "commands/bulk.h"
#include "commands/commands.h"

#include <stdlib.h>

#include "core/connect.h"
#include "core/format.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "core/table.h"

/* ------------------------------------------------------------------------
 * errors
 * ------------------------------------------------------------------------ */

#define ERRORS_SQL \
	"SELECT e.fingerprint, e.function, e.sqlstate, e.error, e.failed, e.retrying, e.first_at, e.last_at," \
	" e.last_job_id, e.last_error," \
	" pg_catalog.to_char(e.first_at, 'YYYY-MM-DD HH24:MI') AS first_text," \
	" pg_catalog.to_char(e.last_at, 'YYYY-MM-DD HH24:MI') AS last_text" \
	" FROM defer.errors e ORDER BY e.failed DESC, e.retrying DESC, e.last_at DESC, e.fingerprint"

static void
show_errors(const PGresult *res)
{
	static const Column columns[] = {
		{"FINGERPRINT", COLUMN_TEXT, 16, 0},
		{"FUNCTION", COLUMN_TEXT, 12, 1},
		{"FAILED", COLUMN_NUMBER, 0, 0},
		{"RETRYING", COLUMN_NUMBER, 0, 0},
		{"FIRST", COLUMN_TEXT, 16, 3},
		{"LAST", COLUMN_TEXT, 16, 2},
		{"ERROR", COLUMN_TEXT, 20, 0},
	};
	Table		table;

	table_init(&table, columns, lengthof(columns));
	for (int row = 0; row < PQntuples(res); row++)
	{
		table_cell(&table, result_text(res, row, "fingerprint"));
		table_cell(&table, result_text(res, row, "function"));
		table_cell_count(&table, result_number(res, row, "failed"));
		table_cell_count(&table, result_number(res, row, "retrying"));
		table_cell(&table, result_text(res, row, "first_text"));
		table_cell(&table, result_text(res, row, "last_text"));
		table_cell(&table, result_text(res, row, "error"));
	}
	table_print(&table);
	table_free(&table);
}

static int
cmd_errors(int argc, char **argv)
{
	static const Option options[] = {{NULL}};
	PGconn	   *conn;
	PGresult   *res;

	options_parse(argc, argv, options, 0, 0, NULL);
	conn = connect_or_exit();
	if (options_json)
	{
		res = query_run(conn, "SELECT pg_catalog.json_build_object('errors', " JSON_ROWS(ERRORS_SQL) ")", 0, NULL);
		json_print(res);
	}
	else
	{
		res = query_run(conn, ERRORS_SQL, 0, NULL);
		if (PQntuples(res) > 0)
			show_errors(res);
		else if (!report_quiet)
			printf("no job has failed about which nothing was done\n");
	}
	PQclear(res);
	PQfinish(conn);
	return CLI_OK;
}

const Command command_errors = {
	"errors", "", "Errors about which nothing was done, those that are alike together", cmd_errors,
	"\nShows jobs that have failed for good and were neither run again nor acknowledged since, and\n"
	"jobs that are retried.  Deal with all of one error by its fingerprint:\n"
	"\nExamples:\n"
	"  defer -d shop errors\n"
	"  defer -d shop retry --fingerprint 7d3f5e0a9b1c2d4e\n"
	"  defer -d shop acknowledge --fingerprint 7d3f5e0a9b1c2d4e --note 'bad orders of Monday'\n"
};

/* ------------------------------------------------------------------------
 * rerun, retry, acknowledge
 * ------------------------------------------------------------------------ */

static int
cmd_rerun(int argc, char **argv)
{
	static const Action action = {
		.sql = "SELECT defer.rerun($1::pg_catalog.int8, force => $2::pg_catalog.bool)",
		.ids = true, .new_job = true
	};
	static bool force = false;
	static const Option options[] = {
		{"force", 0, OPTION_FLAG, &force},
		JOB_FILTER_OPTIONS('f'),
		BULK_OPTIONS,
		{NULL}
	};
	static const BulkCommand all = {
		"rerun_jobs(force => $18::pg_catalog.bool, ", "Run %lld jobs again?", "enqueued copies of %lld of %lld jobs"
	};
	const char *values[2];
	int			count;

	argv = options_parse(argc, argv, options, 0, -1, &count);
	values[1] = force ? "true" : "false";
	return bulk_or_each(&all, &action, count, argv, 2, values);
}

const Command command_rerun = {
	"rerun", "ID... | [which]", "Enqueue copies of jobs, and write the ids", cmd_rerun,
	"\nOptions:\n"
	"      --force            also those that were run again already; else the id of that job is\n"
	"                         written, and nothing is done\n"
	"\nWhich finished ones, instead of ids; it says how many they are, and asks:\n"
	JOB_FILTER_HELP("-f, ")
	BULK_HELP
	"\nExamples:\n"
	"  defer -d shop rerun 17\n"
	"  defer -d shop rerun -s cancelled -f send_invoice --since 1h\n"
};

static int
cmd_retry(int argc, char **argv)
{
	static bool force = false;
	static const Action action = {
		.sql = "SELECT defer.retry($1::pg_catalog.int8, force => $2::pg_catalog.bool)",
		.done = "retries",
		.nothing = "job %s was left as it is",
		.ids = true
	};
	static const Option options[] = {
		{"force", 0, OPTION_FLAG, &force},
		JOB_FILTER_OPTIONS('f'),
		BULK_OPTIONS,
		{NULL}
	};
	static const BulkCommand all = {
		"retry_jobs(force => $18::pg_catalog.bool, ", "Retry %lld jobs?", "retries %lld of %lld jobs"
	};
	const char *values[2];
	int			count;

	argv = options_parse(argc, argv, options, 0, -1, &count);
	values[1] = force ? "true" : "false";
	return bulk_or_each(&all, &action, count, argv, 2, values);
}

const Command command_retry = {
	"retry", "ID... | [which]", "Take failed jobs themselves on again", cmd_retry,
	"\nOptions:\n"
	"      --force            also those that were run again as another job, or acknowledged\n"
	"\nWhich failed ones, instead of ids; it says how many they are, and asks:\n"
	JOB_FILTER_HELP("-f, ")
	BULK_HELP
	"\nExits with 4 if one of them has not failed or was run again already, or if there are none.\n"
	"\nExamples:\n"
	"  defer -d shop retry 17\n"
	"  defer -d shop retry --fingerprint 7d3f5e0a9b1c2d4e\n"
	"  defer -d shop retry -f send_invoice --since 1h\n"
};

static int
cmd_acknowledge(int argc, char **argv)
{
	static const char *note = NULL;
	static const Action action = {
		.sql = "SELECT defer.acknowledge($1::pg_catalog.int8, $2)",
		.done = "acknowledged",
		.nothing = "job %s has not failed, or something was done about it already",
		.ids = true
	};
	static const Option options[] = {
		{"note", 0, OPTION_TEXT, &note},
		JOB_FILTER_OPTIONS('f'),
		BULK_OPTIONS,
		{NULL}
	};
	static const BulkCommand all = {
		"acknowledge_jobs(note => $18, ", "Acknowledge the failures of %lld jobs?",
		"acknowledged %lld of %lld jobs"
	};
	const char *values[2];
	int			count;

	argv = options_parse(argc, argv, options, 0, -1, &count);
	values[1] = note;
	return bulk_or_each(&all, &action, count, argv, 2, values);
}

const Command command_acknowledge = {
	"acknowledge", "ID... | [which]", "Say that nothing is to be done about failures", cmd_acknowledge,
	"\nOptions:\n"
	"      --note=TEXT        why, for others to see in defer.failures\n"
	"\nWhich failed jobs, instead of ids; it says how many they are, and asks:\n"
	JOB_FILTER_HELP("-f, ")
	BULK_HELP
	"\nExits with 4 if something was done about one of them already, or if there are none.\n"
	"\nExamples:\n"
	"  defer -d shop acknowledge 17 --note 'the customer has paid in cash'\n"
	"  defer -d shop acknowledge -f send_invoice --until 1d\n"
};
