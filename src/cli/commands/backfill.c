/*
 * backfill.c
 *		defer backfill: runs of a schedule for times that are past.
 */
#include "commands/commands.h"

#include <stdio.h>

#include "core/connect.h"
#include "core/query.h"
#include "core/report.h"
#include "core/text.h"

static const char *const by_name_sql =
"SELECT defer.backfill($1, $2::pg_catalog.timestamptz, COALESCE($3::pg_catalog.timestamptz, pg_catalog.now()),"
" overlap => $4, priority => $5::pg_catalog.int4, dry_run => $6::pg_catalog.bool, rate => $8) AS runs"
" WHERE $7::pg_catalog.text IS NULL";

static const char *const by_owner_sql =
"SELECT defer.backfill(s.id, $2::pg_catalog.timestamptz, COALESCE($3::pg_catalog.timestamptz, pg_catalog.now()),"
" overlap => $4, priority => $5::pg_catalog.int4, dry_run => $6::pg_catalog.bool, rate => $8) AS runs"
" FROM defer.schedules s WHERE s.name = $1 AND s.owner::pg_catalog.text = $7";

static int
cmd_backfill(int argc, char **argv)
{
	static const char *owner = NULL;
	static const char *since = NULL;
	static const char *until = NULL;
	static const char *overlap = NULL;
	static const char *rate = NULL;
	static const char *priority = NULL;
	static bool dry_run = false;
	static const Option options[] = {
		{"owner", 0, OPTION_TEXT, &owner},
		{"since", 0, OPTION_TEXT, &since},
		{"until", 0, OPTION_TEXT, &until},
		{"overlap", 0, OPTION_TEXT, &overlap},
		{"rate", 0, OPTION_TEXT, &rate},
		{"priority", 0, OPTION_NUMBER, &priority},
		{"dry-run", 0, OPTION_FLAG, &dry_run},
		{NULL}
	};
	PGconn	   *conn;
	PGresult   *res;
	const char *values[8];
	bool		found;

	argv = options_parse(argc, argv, options, 1, 1, NULL);
	if (since == NULL)
		report_usage_error("--since is missing");
	values[0] = argv[0];
	values[1] = since;
	values[2] = until;
	values[3] = overlap;
	values[4] = priority;
	values[5] = dry_run ? "true" : "false";
	values[6] = owner;
	values[7] = rate;
	conn = connect_or_exit();
	res = query_run(conn, owner != NULL ? by_owner_sql : by_name_sql, lengthof(values), values);
	found = PQntuples(res) > 0;
	if (!found)
		report_error("schedule \"%s\" does not exist\nHINT:  defer schedules has those that you may see.",
					 text_line(argv[0]));
	else if (options_json)
		printf("{\"runs\": %s}\n", result_text(res, 0, "runs"));
	else
		printf("%s runs\n", result_text(res, 0, "runs"));
	PQclear(res);
	PQfinish(conn);
	return found ? CLI_OK : CLI_NOTHING_DONE;
}

const Command command_backfill = {
	"backfill", "SCHEDULE --since=TIME", "Run a schedule for times that are past", cmd_backfill,
	"\nTimes that have a run are left out.  The runs are enqueued some at a time: see the view\n"
	"defer.backfills.\n"
	"\nOptions:\n"
	"      --since=TIME       a timestamptz: the first time\n"
	"      --until=TIME       before that; now\n"
	"      --overlap=RULE     queue (one after the other, the default) or allow\n"
	"      --rate=RATE        become due no more often, as 10/minute\n"
	"      --priority=N       of these runs; the schedule's\n"
	"      --owner=ROLE       the schedule of this role, as several can have one of that name\n"
	"      --dry-run          only say how many they are\n"
	"\nExamples:\n"
	"  defer -d shop backfill nightly_report --since 2026-11-01 --dry-run\n"
	"  defer -d shop backfill nightly_report --since 2026-11-01 --until 2026-11-08\n"
};
