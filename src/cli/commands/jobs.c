/*
 * jobs.c
 *		defer jobs: a page of jobs that pass a filter, the newest first.
 *
 * defer.find_jobs() finds the ids, by index for most filters; defer.jobs has
 * the other columns, by id.
 */
#include "commands/commands.h"

#include <stdlib.h>
#include <string.h>

#include "core/connect.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "core/terminal.h"
#include "core/text.h"
#include "commands/job_filter.h"
#include "commands/show.h"

static const char *limit = "20";
static bool all_servers = false;

static const Option options[] = {
	JOB_FILTER_OPTIONS('f'),
	{"limit", 'n', OPTION_NUMBER, &limit},
	{"all-servers", 0, OPTION_FLAG, &all_servers},
	{NULL}
};

/* $1 to $16 are the filters; the newest jobs that pass them */
#define FOUND_SQL \
	"WITH wanted AS MATERIALIZED (SELECT f.id" \
	" FROM " JOB_FILTER_FROM \
	" CROSS JOIN LATERAL defer.find_jobs(" JOB_FILTER_ARGUMENTS ", n => $11::pg_catalog.int4) f(id)" \
	" ORDER BY f.id DESC LIMIT $11::pg_catalog.int4)"

#define FROM_FOUND " FROM defer.jobs j WHERE j.id = ANY (ARRAY(SELECT w.id FROM wanted w)) ORDER BY j.id DESC"

static const char *const find_sql =
FOUND_SQL " SELECT " SHOW_JOB_COLUMNS ", pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD') AS today" FROM_FOUND;

/* next: the smallest id of a full page */
static const char *const document_sql =
FOUND_SQL ", page AS MATERIALIZED (SELECT " SHOW_JOB_COLUMNS FROM_FOUND ")"
" SELECT pg_catalog.json_build_object('jobs', " JSON_ROWS("SELECT * FROM page ORDER BY id DESC") ", 'next',"
" (SELECT pg_catalog.min(p.id) FROM page p HAVING pg_catalog.count(*) = $11::pg_catalog.int4))";

/* The same of all nodes of Citus, of which each has numbers of its own: there is no next page */
#define ALL_SQL \
	"SELECT j.node, " SHOW_JOB_COLUMNS ", pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD') AS today" \
	" FROM " JOB_FILTER_FROM \
	" CROSS JOIN LATERAL defer.find_all_jobs(" JOB_FILTER_ALL_ARGUMENTS ", n => $11::pg_catalog.int4) j" \
	" WHERE $10::pg_catalog.int8 IS NULL ORDER BY j.enqueued_at DESC, j.id DESC LIMIT $11::pg_catalog.int4"

static const char *const all_sql = ALL_SQL;
static const char *const all_document_sql =
"SELECT pg_catalog.json_build_object('jobs', " JSON_ROWS(ALL_SQL) ")";

static const char *
choose_sql(void)
{
	if (all_servers)
		return options_json ? all_document_sql : all_sql;
	return options_json ? document_sql : find_sql;
}

static void
print_page(const PGresult *res)
{
	int			rows = PQntuples(res);
	Table		table;

	show_jobs(&table, res);
	table_print(&table);
	table_free(&table);
	if (rows == strtoll(limit, NULL, 10) && terminal_is_tty && !all_servers)
		printf("%sMore: --before %s%s\n", terminal_colour(COLOUR_DIM), result_text(res, rows - 1, "id"),
			   terminal_colour(COLOUR_PLAIN));
}

static int
cmd_jobs(int argc, char **argv)
{
	PGconn	   *conn;
	PGresult   *res;
	const char *values[JOB_FILTER_N];

	options_parse(argc, argv, options, 0, 0, NULL);
	if (strtoll(limit, NULL, 10) < 1 || strtoll(limit, NULL, 10) > 10000)
		report_usage_error("the limit is from 1 to 10000");
	if (all_servers && job_filter.before != NULL)
		report_usage_error("--before is for one server: with --all-servers use --until");
	conn = connect_or_exit();
	job_filter_values(conn, values);
	values[JOB_FILTER_LIMIT] = limit;
	res = query_run(conn, choose_sql(), lengthof(values), values);
	if (options_json)
		json_print(res);
	else
		print_page(res);
	PQclear(res);
	PQfinish(conn);
	return CLI_OK;
}

const Command command_jobs = {
	"jobs", "[options]", "Jobs, the newest first", cmd_jobs,
	"\nOptions:\n"
	JOB_FILTER_HELP("-f, ")
	"  -n, --limit=N          so many (20)\n"
	ALL_SERVERS_HELP
	"\nExamples:\n"
	"  defer -d shop jobs --state running,retrying\n"
	"  defer -d shop jobs --state failed --since 1h --error 'connection refused'\n"
	"  defer -d shop jobs --function send_invoice --metadata '{\"tenant\": 7}'\n"
	"  defer -d shop jobs -s failed -n 1000 --json | jq '.jobs[].args'\n"
};
