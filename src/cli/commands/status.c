/*
 * status.c
 *		defer status: what is wrong, and how much is going on.
 *
 * Nothing in here reads the history but for what has failed.
 */
#include "core/cli.h"

#include <string.h>

static const char *const server_sql =
"SELECT pg_catalog.current_database() AS database, pg_catalog.current_user()::pg_catalog.text AS role,"
" defer.version() AS version, s.preloaded, s.enabled, s.active, s.recovery, s.launcher, s.scheduler,"
" s.workers, s.max_workers,"
" pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD') AS today"
" FROM defer.server_state() s";

static const char *const findings_sql =
"SELECT h.severity, h.finding, h.hint FROM defer.health h"
" ORDER BY pg_catalog.array_position(ARRAY['error', 'warning', 'info'], h.severity), h.finding";

/* What is wrong; each with what to do about it */
static void
print_findings(const PGresult *res)
{
	Buffer		out = {0};
	int			columns;
	int			rows;

	terminal_size(&columns, &rows);
	buffer_add(&out, "");
	for (int row = 0; row < PQntuples(res); row++)
	{
		const char *severity = result_text(res, row, "severity");

		buffer_printf(&out, "%s%-8s%s ", colour(state_colour(severity)), severity, colour(PLAIN));
		text_escape(&out, result_text(res, row, "finding"), TEXT_LINE);
		buffer_printf(&out, "\n         %s", colour(DIM));
		text_escape(&out, result_text(res, row, "hint"), TEXT_LINE);
		buffer_printf(&out, "%s\n", colour(PLAIN));
	}
	if (PQntuples(res) == 0)
		buffer_printf(&out, "%sok%s       nothing is found wrong\n", colour(GREEN), colour(PLAIN));
	fputs(out.data, stdout);
	buffer_free(&out);
}

static void
print_server(const PGresult *server)
{
	Buffer		line = {0};

	buffer_printf(&line, "%sdefer ", colour(BOLD));
	text_escape(&line, result_text(server, 0, "version"), TEXT_LINE);
	buffer_add(&line, " in ");
	text_escape(&line, result_text(server, 0, "database"), TEXT_LINE);
	buffer_printf(&line, "%s as ", colour(PLAIN));
	text_escape(&line, result_text(server, 0, "role"), TEXT_LINE);
	buffer_printf(&line, ": %s of %s workers on this server\n\n",
				  result_text(server, 0, "workers"), result_text(server, 0, "max_workers"));
	fputs(line.data, stdout);
	buffer_free(&line);
}

static void
print_status_json(const PGresult *server, const PGresult *findings, const PGresult *queues, const PGresult *running)
{
	Json		json = {.lines = true};

	json_open(&json, '{');
	json_members(&json, server, 0);
	json_key(&json, "findings");
	json_rows(&json, findings);
	json_key(&json, "queues");
	json_rows(&json, queues);
	json_key(&json, "running");
	json_rows(&json, running);
	json_close(&json, '}');
	json_print(&json);
}

int
cmd_status(int argc, char **argv)
{
	static bool check = false;
	static const Option options[] = {
		{"check", 'c', OPTION_FLAG, &check},
		{NULL}
	};
	PGconn	   *conn;
	PGresult   *server;
	PGresult   *findings;
	int			result = CLI_OK;

	options_parse(argc, argv, options, 0, 0, NULL);
	conn = connect_server();
	server = query(conn, server_sql, 0, NULL);
	findings = query(conn, findings_sql, 0, NULL);
	if (!(check && quiet_wanted))
	{
		PGresult   *queues = query(conn, live_queues_sql, 0, NULL);
		PGresult   *running = query(conn, running_jobs_sql, 0, NULL);
		Table		table;

		if (json_wanted)
			print_status_json(server, findings, queues, running);
		else
		{
			print_server(server);
			print_findings(findings);
			printf("\n");
			queues_table(&table, queues);
			table_print(&table);
			table_free(&table);
			if (PQntuples(running) > 0)
			{
				printf("\n");
				running_table(&table, running);
				table_print(&table);
				table_free(&table);
			}
		}
		PQclear(queues);
		PQclear(running);
	}
	for (int row = 0; check && row < PQntuples(findings); row++)
	{
		const char *severity = result_text(findings, row, "severity");

		if (strcmp(severity, "error") == 0)
			result = CLI_UNHEALTHY;
		else if (strcmp(severity, "warning") == 0 && result == CLI_OK)
			result = CLI_WARNINGS;
	}
	PQclear(server);
	PQclear(findings);
	PQfinish(conn);
	return result;
}
