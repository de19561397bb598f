/*
 * status.c
 *		defer status: findings, queues, running jobs.
 *
 * Only the findings about failed jobs read the history.
 */
#include "commands/commands.h"

#include <string.h>

#include "core/connect.h"
#include "core/json.h"
#include "core/query.h"
#include "core/report.h"
#include "core/terminal.h"
#include "core/text.h"
#include "commands/show.h"

#define SERVER_SQL \
	"SELECT pg_catalog.current_database() AS database," \
	" pg_catalog.current_user()::pg_catalog.text AS role," \
	" defer.version() AS version, s.preloaded, s.enabled, s.active, s.recovery," \
	" s.launcher, s.scheduler, s.workers, s.max_workers," \
	" pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD') AS today" \
	" FROM defer.server_state() s"

#define FINDINGS_SQL \
	"SELECT h.severity, h.finding, h.hint FROM defer.health h" \
	" ORDER BY pg_catalog.array_position(ARRAY['error', 'warning', 'info'], h.severity), h.finding"

/* Of all nodes of Citus: findings of each, the sums of the queues, all jobs that run */
#define ALL_FINDINGS_SQL \
	"SELECT h.node, h.severity, pg_catalog.format('node %s: %s', h.node, h.finding) AS finding, h.hint" \
	" FROM defer.all_health h" \
	" ORDER BY pg_catalog.array_position(ARRAY['error', 'warning', 'info'], h.severity), h.node, h.finding"

#define ALL_QUEUES_SQL \
	"SELECT q.queue, pg_catalog.bool_and(q.paused) AS paused, pg_catalog.sum(q.concurrency) AS concurrency," \
	" pg_catalog.sum(q.queued) AS queued, pg_catalog.sum(q.running) AS running," \
	" pg_catalog.sum(q.retrying) AS retrying, pg_catalog.sum(q.scheduled) AS scheduled," \
	" pg_catalog.min(q.oldest_ready) AS oldest_ready," \
	" EXTRACT(epoch FROM pg_catalog.statement_timestamp() - pg_catalog.min(q.oldest_ready))" \
	"::pg_catalog.float8 AS oldest_ready_seconds" \
	" FROM defer.all_queues q GROUP BY q.queue ORDER BY q.queue"

#define ALL_RUNNING_SQL \
	"SELECT j.id, j.function, j.args, j.queue, j.owner::pg_catalog.text AS owner," \
	" j.attempt, j.started_at, j.progress, j.pid," \
	" EXTRACT(epoch FROM j.duration)::pg_catalog.float8 AS duration" \
	" FROM defer.find_all_jobs(states => '{running}', n => 1000) j ORDER BY j.started_at, j.id"

static const char *const all_document_sql =
"SELECT pg_catalog.row_to_json(status) FROM (SELECT s.*, "
JSON_ROWS(ALL_FINDINGS_SQL) " AS findings, "
JSON_ROWS(ALL_QUEUES_SQL) " AS queues, "
JSON_ROWS(ALL_RUNNING_SQL) " AS running"
" FROM (" SERVER_SQL ") s) status";

static bool all_servers = false;

static const char *const document_sql =
"SELECT pg_catalog.row_to_json(status) FROM (SELECT s.*, "
JSON_ROWS(FINDINGS_SQL) " AS findings, "
JSON_ROWS(SHOW_QUEUES_SQL) " AS queues, "
JSON_ROWS(SHOW_RUNNING_SQL) " AS running"
" FROM (" SERVER_SQL ") s) status";

/* Print the findings, each with its hint */
static void
print_findings(const PGresult *res)
{
	Buffer		out = {0};

	buffer_add(&out, "");
	for (int row = 0; row < PQntuples(res); row++)
	{
		const char *severity = result_text(res, row, "severity");

		buffer_printf(&out, "%s%-8s%s ", terminal_colour(terminal_state_colour(severity)), severity,
					  terminal_colour(COLOUR_PLAIN));
		text_escape(&out, result_text(res, row, "finding"), TEXT_LINE);
		buffer_printf(&out, "\n         %s", terminal_colour(COLOUR_DIM));
		text_escape(&out, result_text(res, row, "hint"), TEXT_LINE);
		buffer_printf(&out, "%s\n", terminal_colour(COLOUR_PLAIN));
	}
	if (PQntuples(res) == 0)
		buffer_printf(&out, "%sok%s       no findings\n", terminal_colour(COLOUR_GREEN), terminal_colour(COLOUR_PLAIN));
	fputs(out.data, stdout);
	buffer_free(&out);
}

static void
print_server(const PGresult *server)
{
	Buffer		line = {0};

	buffer_printf(&line, "%sdefer ", terminal_colour(COLOUR_BOLD));
	text_escape(&line, result_text(server, 0, "version"), TEXT_LINE);
	buffer_add(&line, " in ");
	text_escape(&line, result_text(server, 0, "database"), TEXT_LINE);
	buffer_printf(&line, "%s as ", terminal_colour(COLOUR_PLAIN));
	text_escape(&line, result_text(server, 0, "role"), TEXT_LINE);
	buffer_printf(&line, ": %s of %s workers on this server\n\n",
				  result_text(server, 0, "workers"), result_text(server, 0, "max_workers"));
	fputs(line.data, stdout);
	buffer_free(&line);
}

static void
print_status(PGconn *conn, const PGresult *findings)
{
	PGresult   *server = query_run(conn, SERVER_SQL, 0, NULL);
	PGresult   *queues = query_run(conn, all_servers ? ALL_QUEUES_SQL : SHOW_QUEUES_SQL, 0,
								   NULL);
	PGresult   *running = query_run(conn, all_servers ? ALL_RUNNING_SQL : SHOW_RUNNING_SQL, 0,
									NULL);
	Table		table;

	print_server(server);
	print_findings(findings);
	printf("\n");
	show_queues(&table, queues);
	table_print(&table);
	table_free(&table);
	if (PQntuples(running) > 0)
	{
		printf("\n");
		show_running(&table, running);
		table_print(&table);
		table_free(&table);
	}
	PQclear(server);
	PQclear(queues);
	PQclear(running);
}

/* Return the exit code that findings mean */
static int
check_findings(const PGresult *findings)
{
	int			result = CLI_OK;

	for (int row = 0; row < PQntuples(findings); row++)
	{
		const char *severity = result_text(findings, row, "severity");

		if (strcmp(severity, "error") == 0)
			return CLI_UNHEALTHY;
		if (strcmp(severity, "warning") == 0)
			result = CLI_WARNINGS;
	}
	return result;
}

static int
cmd_status(int argc, char **argv)
{
	static bool check = false;
	static const Option options[] = {
		{"check", 'c', OPTION_FLAG, &check},
		{"all-servers", 0, OPTION_FLAG, &all_servers},
		{NULL}
	};
	PGconn	   *conn;
	PGresult   *findings;
	int			result;

	options_parse(argc, argv, options, 0, 0, NULL);
	conn = connect_or_exit();
	findings = query_run(conn, all_servers ? ALL_FINDINGS_SQL : FINDINGS_SQL, 0, NULL);
	result = check ? check_findings(findings) : CLI_OK;
	if (check && report_quiet)
		;						/* the exit code says it */
	else if (options_json)
	{
		PGresult   *document = query_run(conn, all_servers ? all_document_sql : document_sql, 0,
										 NULL);

		json_print(document);
		PQclear(document);
	}
	else
		print_status(conn, findings);
	PQclear(findings);
	PQfinish(conn);
	return result;
}

const Command command_status = {
	"status", "[--check] [--all-servers]", "How it stands: findings, queues, running jobs", cmd_status,
	"\nOptions:\n"
	"  -c, --check            exit with 9 if a finding is an error, with 10 if there are warnings\n"
	ALL_SERVERS_HELP
	"\nExamples:\n"
	"  defer -d shop status\n"
	"  defer -d shop status --check --quiet || echo 'look at defer'\n"
	"  defer -d shop status --json | jq -r '.findings[].finding'\n"
};
