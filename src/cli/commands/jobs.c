/*
 * jobs.c
 *		defer jobs: the newest first, by page, by what they are.
 *
 * The ids come from defer.find_jobs(), which uses indexes whatever the filter,
 * and the rest from defer.jobs by id.
 */
#include "core/cli.h"

#include <stdlib.h>
#include <string.h>

static const char *states;
static const char *function;
static const char *queue;
static const char *schedule;
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
	{"schedule", 'S', OPTION_TEXT, &schedule},
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
 * The signatures that a name without arguments can mean, as jobs have them: of
 * functions that are there, and of settings.  A signature stands for itself,
 * also if the function has gone.
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

static const char *const find_sql =
"WITH wanted AS MATERIALIZED (SELECT f.id"
" FROM (SELECT pg_catalog.unnest($2::pg_catalog.text[]) AS function UNION ALL SELECT NULL WHERE $2 IS NULL) s"
" CROSS JOIN (SELECT c.id FROM defer.schedules c WHERE c.name = $4 UNION ALL SELECT NULL WHERE $4 IS NULL) c"
" CROSS JOIN LATERAL defer.find_jobs(states => $1::pg_catalog.text[], function => s.function, queue => $3,"
" schedule_id => c.id, parent_id => $5::pg_catalog.int8, metadata => $6::pg_catalog.jsonb, error => $7,"
" since => $8::pg_catalog.timestamptz, until => $9::pg_catalog.timestamptz, before => $10::pg_catalog.int8,"
" n => $11::pg_catalog.int4) f(id) ORDER BY f.id DESC LIMIT $11::pg_catalog.int4)"
" SELECT %s, pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD') AS today FROM defer.jobs j"
" WHERE j.id = ANY (ARRAY(SELECT w.id FROM wanted w)) ORDER BY j.id DESC";

static char *
find_signatures(PGconn *conn)
{
	PGresult   *res;
	char	   *result;

	if (function == NULL)
		return NULL;
	if (strchr(function, '(') != NULL)
		res = query(conn, "SELECT ARRAY[$1]::pg_catalog.text", 1, &function);
	else
		res = query(conn, signatures_sql, 1, &function);
	result = xstrdup(PQgetvalue(res, 0, 0));
	PQclear(res);
	if (strcmp(result, "{}") == 0)
	{
		Buffer		name = {0};

		text_escape(&name, function, TEXT_LINE);
		complain("there is no function \"%s\"\n"
				 "HINT:  If it has gone, give its signature, as in 'public.work(bigint)'.", name.data);
		exit(CLI_REFUSED);
	}
	return result;
}

/* "failed,retrying" as an array that the server reads */
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
			usage_error("states are scheduled, queued, running, retrying, succeeded, failed, cancelled and discarded");
		buffer_char(&array, *c);
	}
	buffer_char(&array, '}');
	return array.data;
}

int
cmd_jobs(int argc, char **argv)
{
	PGconn	   *conn;
	PGresult   *res;
	const char *values[11];
	char	   *sql;
	int			rows;
	bool		more;

	options_parse(argc, argv, options, 0, 0, NULL);
	if (strtoll(limit, NULL, 10) < 1 || strtoll(limit, NULL, 10) > 10000)
		usage_error("the limit is from 1 to 10000");
	values[0] = state_array();
	conn = connect_server();
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
	sql = xprintf(find_sql, job_columns);
	res = query(conn, sql, lengthof(values), values);
	rows = PQntuples(res);
	more = rows == strtoll(limit, NULL, 10);
	if (json_wanted)
	{
		Json		json = {.lines = true};

		json_open(&json, '{');
		json_key(&json, "jobs");
		json_open(&json, '[');
		for (int row = 0; row < rows; row++)
			json_row_but(&json, res, row, "today");
		json_close(&json, ']');
		json_key(&json, "next");
		json_raw(&json, more ? result_text(res, rows - 1, "id") : NULL);
		json_close(&json, '}');
		json_print(&json);
	}
	else
	{
		Table		table;

		jobs_table(&table, res);
		table_print(&table);
		table_free(&table);
		if (more && stdout_is_terminal)
			printf("%sMore: --before %s%s\n", colour(DIM), result_text(res, rows - 1, "id"), colour(PLAIN));
	}
	PQclear(res);
	PQfinish(conn);
	free(sql);
	return CLI_OK;
}
