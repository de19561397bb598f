/*
 * bulk.c
 *		Commands on all jobs that pass a filter: cancel, rerun, retry, acknowledge and
 *		reschedule without ids.
 *
 * They say how many there are, and ask.  The set is taken anew when it is done.
 */
#include "commands/bulk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/connect.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "core/terminal.h"

#define NVALUES		(JOB_FILTER_N + 3)

BulkOptions bulk_options;

/* Ask on the terminal; false: no */
static bool
confirm(const BulkCommand *command, long long n)
{
	char		answer[16];

	if (!isatty(STDIN_FILENO))
		report_usage_error("--yes is needed where nobody can be asked");
	fprintf(stderr, command->question, n);
	fprintf(stderr, " [y/N] ");
	fflush(stderr);
	return fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static PGresult *
call(PGconn *conn, const BulkCommand *command, bool dry_run, const char **values)
{
	char	   *sql = xprintf("SELECT COALESCE(pg_catalog.sum(b.matched), 0) AS matched,"
							  " COALESCE(pg_catalog.sum(b.done), 0) AS done,"
							  " COALESCE(pg_catalog.to_json(pg_catalog.array_agg(b.job_id)"
							  " FILTER (WHERE b.job_id IS NOT NULL)), '[]') AS jobs,"
							  " pg_catalog.array_to_string(pg_catalog.array_agg(b.job_id), ' ') AS list"
							  " FROM " JOB_FILTER_FROM " CROSS JOIN LATERAL defer.%s" JOB_FILTER_ARGUMENTS
							  ", everything => $17::pg_catalog.bool, dry_run => %s) b"
							  " WHERE $11::pg_catalog.text IS NULL"
							  " AND pg_catalog.concat($18::pg_catalog.text, $19::pg_catalog.text) IS NOT NULL",
							  command->call, dry_run ? "true" : "false");
	PGresult   *res = query_run(conn, sql, NVALUES, values);

	free(sql);
	return res;
}

static void
print_outcome(const BulkCommand *command, const PGresult *res)
{
	if (options_json)
	{
		printf("{\"matched\": %s, \"done\": %s, \"jobs\": %s}\n", result_text(res, 0, "matched"),
			   result_text(res, 0, "done"), result_text(res, 0, "jobs"));
		return;
	}
	if (result_text(res, 0, "list")[0] != '\0')
		printf("%s jobs: job %s does it\n", result_text(res, 0, "matched"), result_text(res, 0, "list"));
	else if (!report_quiet)
	{
		printf(command->done, (long long) result_int64(res, 0, "done"),
			   (long long) result_int64(res, 0, "matched"));
		printf("\n");
	}
}

/* Check whether options say which jobs, and not ids; exits if both do */
static bool
is_meant(int count)
{
	bool		given = job_filter_given() || bulk_options.everything;

	if (count > 0 && (given || bulk_options.dry_run))
		report_usage_error("give either ids of jobs or options that say which");
	return count == 0;
}

static int
run(const BulkCommand *command, int nmore, const char *const *more)
{
	PGconn	   *conn;
	PGresult   *res;
	const char *values[NVALUES];
	long long	n;

	if (!job_filter_given() && !bulk_options.everything)
		report_usage_error("the ids of jobs are missing, or options that say which");
	conn = connect_or_exit();
	job_filter_values(conn, values);
	values[JOB_FILTER_N] = bulk_options.everything ? "true" : "false";
	values[JOB_FILTER_N + 1] = nmore > 0 ? more[0] : NULL;
	values[JOB_FILTER_N + 2] = nmore > 1 ? more[1] : NULL;
	res = call(conn, command, true, values);
	n = (long long) result_int64(res, 0, "matched");
	if (!bulk_options.dry_run && n > 0)
	{
		if (!bulk_options.yes && !confirm(command, n))
			n = 0;
		else
		{
			PQclear(res);
			res = call(conn, command, false, values);
			print_outcome(command, res);
		}
	}
	else if (options_json)
		print_outcome(command, res);
	else
		printf("%lld job%s\n", n, n == 1 ? "" : "s");
	PQclear(res);
	PQfinish(conn);
	return n > 0 ? CLI_OK : CLI_NOTHING_DONE;
}

int
bulk_or_each(const BulkCommand *all, const Action *each, int count, char **ids, int nvalues,
			 const char **values)
{
	return is_meant(count) ? run(all, nvalues - 1, values + 1) :
		action_call(each, count, ids, nvalues, values);
}
