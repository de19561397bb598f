/*
 * enqueue.c
 *		defer enqueue: a job of a function, or of one SQL statement.
 */
#include "commands/commands.h"

#include <string.h>

#include "core/buffer.h"
#include "core/connect.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "commands/wait.h"

/* Values of the options: parameters of both statements from the third on */
static const char *options_values[20];

#define OPTIONS_SQL \
	" run_at => $3::pg_catalog.timestamptz, delay => $4::pg_catalog.interval, queue => $5," \
	" priority => $6::pg_catalog.int4, key => $7, discard_after => $8::pg_catalog.interval," \
	" metadata => $9::pg_catalog.jsonb, max_attempts => $10::pg_catalog.int4," \
	" initial_interval => $11::pg_catalog.interval, multiplier => $12::pg_catalog.float8," \
	" max_interval => $13::pg_catalog.interval, randomization => $14::pg_catalog.float8," \
	" max_duration => $15::pg_catalog.interval, group_key => $16, on_key => $17," \
	" debounce_max => $18::pg_catalog.interval, key_for => $19::pg_catalog.interval," \
	" after => pg_catalog.string_to_array($20, ',')::pg_catalog.int8[], after_failure => $21, when_done => $22) AS id"

static const char *const enqueue_sql =
"SELECT defer.enqueue($1::pg_catalog.text, args => $2::pg_catalog.jsonb," OPTIONS_SQL;

/* $2 is NULL, and used so that both statements have the same parameters */
static const char *const command_sql =
"SELECT defer.command(COALESCE($1::pg_catalog.text, $2::pg_catalog.text)," OPTIONS_SQL;

/* Return all of standard input, for arguments that are "-" */
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
		report_usage_error("the arguments on standard input have a null byte in them");
	return input.data;
}

static int
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
		{"group", 'g', OPTION_TEXT, &options_values[13]},
		{"on-key", 0, OPTION_TEXT, &options_values[14]},
		{"debounce-max", 0, OPTION_TEXT, &options_values[15]},
		{"key-for", 0, OPTION_TEXT, &options_values[16]},
		{"after", 0, OPTION_TEXT, &options_values[17]},
		{"after-failure", 0, OPTION_TEXT, &options_values[18]},
		{"when-done", 0, OPTION_TEXT, &options_values[19]},
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
		report_usage_error("a command has no arguments: is it quoted?");
	if (timeout >= 0 && !wait)
		report_usage_error("--timeout goes with --wait");
	values[0] = argv[0];
	if (count > 1)
		values[1] = strcmp(argv[1], "-") == 0 ? read_input() : argv[1];
	memcpy(&values[2], options_values, sizeof(options_values));
	conn = connect_or_exit();
	res = query_by_name(conn, is_command ? command_sql : enqueue_sql, lengthof(values), values);
	if (wait)
		result = wait_for_job(conn, result_text(res, 0, "id"), timeout, true);
	else if (options_json)
	{
		Buffer		json = {0};

		buffer_add(&json, "{");
		json_member_raw(&json, "id", result_text(res, 0, "id"));
		printf("%s}\n", json.data);
		buffer_free(&json);
	}
	else
		printf("%s\n", result_text(res, 0, "id"));
	PQclear(res);
	PQfinish(conn);
	return result;
}

const Command command_enqueue = {
	"enqueue", "FUNCTION [ARGUMENTS]", "Enqueue a job, and write its id", cmd_enqueue,
	"\nARGUMENTS are JSON: an array by position, an object by name; - reads standard input.\n"
	"\nOptions:\n"
	"      --run-at=TIME      not before then\n"
	"      --delay=TIME       not before so long from now\n"
	"  -Q, --queue=NAME\n"
	"      --priority=N       smaller runs first\n"
	"  -k, --key=KEY          at most one unfinished job of the function has it\n"
	"      --on-key=MODE      if one has it: keep, replace, debounce or error\n"
	"      --debounce-max=TIME, --key-for=TIME\n"
	"                         as in defer.enqueue()\n"
	"  -g, --group=NAME       the group, such as a tenant\n"
	"      --after=ID,ID...   when these jobs have ended\n"
	"      --after-failure=WHAT  if one has not succeeded: cancel, run or hold\n"
	"      --when-done=FUNCTION  when it and all jobs that it enqueues have ended\n"
	"      --discard-after=TIME\n"
	"  -m, --metadata=JSON\n"
	"      --max-attempts=N, --initial-interval=TIME, --multiplier=X, --max-interval=TIME,\n"
	"      --randomization=X, --max-duration=TIME\n"
	"                         as in defer.enqueue()\n"
	"  -c, --command          FUNCTION is an SQL statement of any kind\n"
	"      --wait             wait for its end and write its result: see defer wait --help\n"
	"  -t, --timeout=TIME     with --wait: no longer than that\n"
	"\nTimes are what PostgreSQL takes as timestamptz or interval.\n"
	"\nExamples:\n"
	"  defer -d shop enqueue send_invoice '{\"invoice_id\": 42}'\n"
	"  defer -d shop enqueue 'billing.send_invoice(integer)' '[42]' --delay '10 minutes'\n"
	"  jq -c . order.json | defer -d shop enqueue import_order - --key order-17\n"
	"  defer -d shop enqueue index_shop '[7]' --key 'shop 7' --on-key debounce --delay '1 min'\n"
	"  defer -d shop enqueue --command 'VACUUM ANALYZE invoice' --wait --timeout 10min\n"
};
