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
#include "commands/show.h"

static const char *states;
static const char *function;
static const char *queue;
static const char *group;
static const char *schedule;
static const char *owner;
static const char *parent;
static const char *metadata;
static const char *error;
static const char *since;
static const char *until;
static const char *before;
static const char *limit = "20";

static const Option options[] = {
	{"state", 's', OPTION_TEXT, &states},
	{"function", 'f', OPTION_TEXT, &function},
	{"queue", 'Q', OPTION_TEXT, &queue},
	{"group", 'g', OPTION_TEXT, &group},
	{"schedule", 'S', OPTION_TEXT, &schedule},
	{"owner", 0, OPTION_TEXT, &owner},
	{"parent", 'P', OPTION_NUMBER, &parent},
	{"metadata", 'm', OPTION_TEXT, &metadata},
	{"error", 'e', OPTION_TEXT, &error},
	{"since", 0, OPTION_TEXT, &since},
	{"until", 0, OPTION_TEXT, &until},
	{"before", 'b', OPTION_NUMBER, &before},
	{"limit", 'n', OPTION_NUMBER, &limit},
	{NULL}
};

/*
 * The signatures that a name without arguments can mean: of functions, of their
 * settings, and of schedules.  A signature stands for itself, also if the
 * function has been dropped.
 */
static const char *const signatures_sql =
"SELECT COALESCE(pg_catalog.array_agg(DISTINCT s.signature)::pg_catalog.text, '{}') AS signatures"
" FROM (SELECT p.oid::pg_catalog.regprocedure::pg_catalog.text AS signature FROM pg_catalog.pg_proc p"
" JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
" WHERE p.proname = pg_catalog.split_part($1, '.', 1) OR p.proname = pg_catalog.split_part($1, '.', 2)"
" AND n.nspname = pg_catalog.split_part($1, '.', 1)"
" UNION SELECT f.function FROM defer.live_functions f"
" UNION SELECT f.function FROM defer.schedules f) s"
" WHERE s.signature = $1 OR pg_catalog.starts_with(s.signature, $1 || '(')"
" OR pg_catalog.strpos(s.signature, '.' || $1 || '(') > 0";

/* $1 to $13 are the filters; the newest jobs that pass them */
#define FOUND_SQL \
	"WITH wanted AS MATERIALIZED (SELECT f.id" \
	" FROM (SELECT pg_catalog.unnest($2::pg_catalog.text[]) AS function" \
	" UNION ALL SELECT NULL WHERE $2 IS NULL) s" \
	" CROSS JOIN (SELECT c.id FROM defer.schedules c WHERE c.name = $4" \
	" AND ($12::pg_catalog.text IS NULL OR c.owner::pg_catalog.text = $12)" \
	" UNION ALL SELECT NULL WHERE $4 IS NULL) c" \
	" CROSS JOIN LATERAL defer.find_jobs(states => $1::pg_catalog.text[]," \
	" function => s.function, queue => $3, schedule_id => c.id," \
	" parent_id => $5::pg_catalog.int8, metadata => $6::pg_catalog.jsonb, error => $7," \
	" since => $8::pg_catalog.timestamptz, until => $9::pg_catalog.timestamptz," \
	" before => $10::pg_catalog.int8, n => $11::pg_catalog.int4, group_key => $13) f(id)" \
	" ORDER BY f.id DESC LIMIT $11::pg_catalog.int4)"

#define FROM_FOUND " FROM defer.jobs j WHERE j.id = ANY (ARRAY(SELECT w.id FROM wanted w)) ORDER BY j.id DESC"

static const char *const find_sql =
FOUND_SQL " SELECT " SHOW_JOB_COLUMNS ", pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD') AS today" FROM_FOUND;

/* next: the smallest id of a full page */
static const char *const document_sql =
FOUND_SQL ", page AS MATERIALIZED (SELECT " SHOW_JOB_COLUMNS FROM_FOUND ")"
" SELECT pg_catalog.json_build_object('jobs', " JSON_ROWS("SELECT * FROM page ORDER BY id DESC") ", 'next',"
" (SELECT pg_catalog.min(p.id) FROM page p HAVING pg_catalog.count(*) = $11::pg_catalog.int4))";

/* Return the signatures that --function means, as an array; NULL: not given */
static char *
find_signatures(PGconn *conn)
{
	PGresult   *res;
	char	   *result;

	if (function == NULL)
		return NULL;
	if (strchr(function, '(') != NULL)
		res = query_run(conn, "SELECT ARRAY[$1]::pg_catalog.text", 1, &function);
	else
		res = query_run(conn, signatures_sql, 1, &function);
	result = xstrdup(PQgetvalue(res, 0, 0));
	PQclear(res);
	if (strcmp(result, "{}") == 0)
	{
		report_error("there is no function \"%s\"\n"
					 "HINT:  If it was dropped, give its signature, as in 'public.work(bigint)'.",
					 text_line(function));
		exit(CLI_REFUSED);
	}
	return result;
}

/* Return "failed,retrying" as an array; NULL: not given */
static char *
state_array(void)
{
	Buffer		array = {0};

	if (states == NULL)
		return NULL;
	buffer_char(&array, '{');
	for (const char *c = states; *c != '\0'; c++)
	{
		if ((*c < 'a' || *c > 'z') && *c != ',')
			report_usage_error("states are waiting, scheduled, queued, running, retrying, succeeded, failed, cancelled and discarded");
		buffer_char(&array, *c);
	}
	buffer_char(&array, '}');
	return array.data;
}

/*
 * Return a time that the user gave, as a timestamptz: "2h" is two hours ago,
 * anything else the server reads.  NULL stays NULL.
 */
static char *
resolve_time(PGconn *conn, const char *what, const char *text)
{
	char	   *end;
	char		seconds[64];
	const char *values[1] = {text};
	PGresult   *res;
	char	   *result;

	if (text == NULL)
		return NULL;
	(void) strtod(text, &end);
	if (end != text && strpbrk(text, "-:/") == NULL)
	{
		snprintf(seconds, sizeof(seconds), "%.6f", options_seconds(what, text));
		values[0] = seconds;
		res = query_run(conn, "SELECT (pg_catalog.now() - pg_catalog.make_interval(secs => $1::pg_catalog.float8))"
						"::pg_catalog.text", 1, values);
	}
	else
		res = query_run(conn, "SELECT $1::pg_catalog.timestamptz::pg_catalog.text", 1, values);
	result = xstrdup(PQgetvalue(res, 0, 0));
	PQclear(res);
	return result;
}

static void
print_page(const PGresult *res)
{
	int			rows = PQntuples(res);
	Table		table;

	show_jobs(&table, res);
	table_print(&table);
	table_free(&table);
	if (rows == strtoll(limit, NULL, 10) && terminal_is_tty)
		printf("%sMore: --before %s%s\n", terminal_colour(COLOUR_DIM), result_text(res, rows - 1, "id"),
			   terminal_colour(COLOUR_PLAIN));
}

static int
cmd_jobs(int argc, char **argv)
{
	PGconn	   *conn;
	PGresult   *res;
	const char *values[13];

	options_parse(argc, argv, options, 0, 0, NULL);
	if (strtoll(limit, NULL, 10) < 1 || strtoll(limit, NULL, 10) > 10000)
		report_usage_error("the limit is from 1 to 10000");
	if (owner != NULL && schedule == NULL)
		report_usage_error("--owner goes with --schedule");
	values[0] = state_array();
	conn = connect_or_exit();
	values[1] = find_signatures(conn);
	values[2] = queue;
	values[3] = schedule;
	values[4] = parent;
	values[5] = metadata;
	values[6] = error;
	values[7] = resolve_time(conn, "--since", since);
	values[8] = resolve_time(conn, "--until", until);
	values[9] = before;
	values[10] = limit;
	values[11] = owner;
	values[12] = group;
	res = query_run(conn, options_json ? document_sql : find_sql, lengthof(values), values);
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
	"  -s, --state=STATES     waiting, scheduled, queued, running, retrying, succeeded, failed, cancelled,\n"
	"                         discarded; several with commas between them\n"
	"  -f, --function=NAME    a name, with schema or without, or a signature\n"
	"  -Q, --queue=NAME\n"
	"  -g, --group=NAME       in this group\n"
	"  -S, --schedule=NAME    runs of the schedules of that name\n"
	"      --owner=ROLE       of this role only, as several can have one of that name\n"
	"  -P, --parent=ID        jobs that this one enqueued\n"
	"  -m, --metadata=JSON    that contain this\n"
	"  -e, --error=TEXT       with this text in their error, or this SQLSTATE\n"
	"      --since=TIME       ended since then, or enqueued if they have not ended: a time,\n"
	"      --until=TIME       or how long ago it is, such as 90s, 15min, 2h or 1d\n"
	"  -n, --limit=N          so many (20)\n"
	"  -b, --before=ID        the next page: smaller ids than that\n"
	"\nExamples:\n"
	"  defer -d shop jobs --state running,retrying\n"
	"  defer -d shop jobs --state failed --since 1h --error 'connection refused'\n"
	"  defer -d shop jobs --function send_invoice --metadata '{\"tenant\": 7}'\n"
	"  defer -d shop jobs -s failed -n 1000 --json | jq '.jobs[].id' | xargs defer -d shop rerun\n"
};
