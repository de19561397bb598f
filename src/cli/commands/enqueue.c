/*
 * enqueue.c
 *		defer enqueue: a job of a function, or of one SQL statement.
 */
#include "core/cli.h"

#include <stdlib.h>
#include <string.h>

/* Parameters of both functions from the third on */
static const char *options_values[13];

#define OPTIONS_SQL \
	" run_at => $3::pg_catalog.timestamptz, delay => $4::pg_catalog.interval, queue => $5," \
	" priority => $6::pg_catalog.int4, key => $7, discard_after => $8::pg_catalog.interval," \
	" metadata => $9::pg_catalog.jsonb, max_attempts => $10::pg_catalog.int4," \
	" initial_interval => $11::pg_catalog.interval, multiplier => $12::pg_catalog.float8," \
	" max_interval => $13::pg_catalog.interval, randomization => $14::pg_catalog.float8," \
	" max_duration => $15::pg_catalog.interval) AS id"

static const char *const enqueue_sql =
"SELECT defer.enqueue($1::pg_catalog.text, args => $2::pg_catalog.jsonb," OPTIONS_SQL;

/* $2 is NULL, and used so that there are as many parameters */
static const char *const command_sql =
"SELECT defer.command(COALESCE($1::pg_catalog.text, $2::pg_catalog.text)," OPTIONS_SQL;

/* All that standard input has, for arguments that are "-" */
static char *
read_input(void)
{
	Buffer		input = {0};
	char		chunk[8192];
	size_t		n;

	buffer_add(&input, "");
	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
		buffer_add_len(&input, chunk, n);
	if (strlen(input.data) != input.len)
		usage_error("the arguments on standard input have a null byte in them");
	return input.data;
}

int
cmd_enqueue(int argc, char **argv)
{
	static bool is_command = false;
	static bool wait = false;
	static double timeout = -1;
	static const Option options[] = {
		{"run-at", 0, OPTION_TEXT, &options_values[0]},
		{"delay", 0, OPTION_TEXT, &options_values[1]},
		{"queue", 'Q', OPTION_TEXT, &options_values[2]},
		{"priority", 0, OPTION_NUMBER, &options_values[3]},
		{"key", 'k', OPTION_TEXT, &options_values[4]},
		{"discard-after", 0, OPTION_TEXT, &options_values[5]},
		{"metadata", 'm', OPTION_TEXT, &options_values[6]},
		{"max-attempts", 0, OPTION_NUMBER, &options_values[7]},
		{"initial-interval", 0, OPTION_TEXT, &options_values[8]},
		{"multiplier", 0, OPTION_TEXT, &options_values[9]},
		{"max-interval", 0, OPTION_TEXT, &options_values[10]},
		{"randomization", 0, OPTION_TEXT, &options_values[11]},
		{"max-duration", 0, OPTION_TEXT, &options_values[12]},
		{"command", 'c', OPTION_FLAG, &is_command},
		{"wait", 0, OPTION_FLAG, &wait},
		{"timeout", 't', OPTION_SECONDS, &timeout},
		{NULL}
	};
	const char *values[2 + lengthof(options_values)] = {NULL};
	PGconn	   *conn;
	PGresult   *res;
	int			count;
	int			result = CLI_OK;

	argv = options_parse(argc, argv, options, 1, 2, &count);
	if (is_command && count > 1)
		usage_error("a command has no arguments: is it quoted?");
	if (timeout >= 0 && !wait)
		usage_error("--timeout goes with --wait");
	values[0] = argv[0];
	if (count > 1)
		values[1] = strcmp(argv[1], "-") == 0 ? read_input() : argv[1];
	memcpy(&values[2], options_values, sizeof(options_values));
	conn = connect_server();
	res = query_by_name(conn, is_command ? command_sql : enqueue_sql, lengthof(values), values);
	if (wait)
		result = wait_for_job(conn, result_text(res, 0, "id"), timeout, true);
	else if (json_wanted)
	{
		Json		json = {0};

		json_row(&json, res, 0);
		json_print(&json);
	}
	else
		printf("%s\n", result_text(res, 0, "id"));
	PQclear(res);
	PQfinish(conn);
	return result;
}
