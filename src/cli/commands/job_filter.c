/*
 * job_filter.c
 *		Options that say which jobs: of defer jobs, and of commands on all that
 *		pass.
 */
#include "commands/job_filter.h"

#include <stdlib.h>
#include <string.h>

#include "core/buffer.h"
#include "core/connect.h"
#include "core/query.h"
#include "core/report.h"
#include "core/text.h"

JobFilter	job_filter;

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

/* Return the signatures that --function means, as an array; NULL: not given */
static char *
find_signatures(PGconn *conn)
{
	PGresult   *res;
	char	   *result;

	if (job_filter.function == NULL)
		return NULL;
	if (strchr(job_filter.function, '(') != NULL)
		res = query_run(conn, "SELECT ARRAY[$1]::pg_catalog.text", 1, &job_filter.function);
	else
		res = query_run(conn, signatures_sql, 1, &job_filter.function);
	result = xstrdup(PQgetvalue(res, 0, 0));
	PQclear(res);
	if (strcmp(result, "{}") == 0)
	{
		report_error("there is no function \"%s\"\n"
					 "HINT:  If it was dropped, give its signature, as in 'public.work(bigint)'.",
					 text_line(job_filter.function));
		exit(CLI_REFUSED);
	}
	return result;
}

/* Return "failed,retrying" as an array; NULL: not given */
static char *
state_array(void)
{
	Buffer		array = {0};

	if (job_filter.states == NULL)
		return NULL;
	buffer_char(&array, '{');
	for (const char *c = job_filter.states; *c != '\0'; c++)
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

bool
job_filter_given(void)
{
	static const JobFilter none = {0};

	return memcmp(&job_filter, &none, sizeof(JobFilter)) != 0;
}

void
job_filter_values(PGconn *conn, const char **values)
{
	const JobFilter *f = &job_filter;

	values[0] = state_array();
	values[1] = find_signatures(conn);
	values[2] = f->queue;
	values[3] = f->schedule;
	values[4] = f->parent;
	values[5] = f->metadata;
	values[6] = f->error;
	values[7] = resolve_time(conn, "--since", f->since);
	values[8] = resolve_time(conn, "--until", f->until);
	values[9] = f->before;
	values[JOB_FILTER_LIMIT] = NULL;
	values[11] = f->owner;
	values[12] = f->group;
	values[13] = f->fingerprint;
	values[14] = f->args;
	values[15] = f->key;
}
