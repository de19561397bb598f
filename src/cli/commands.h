/*
 * commands.h
 *		The commands of the program "defer" and their help; part of main.c.
 *		doc/defer.1 and doc/cli.md say the same at more length.
 */
	{"status", "[--check]", "How it stands: findings, workers, queues, running jobs", cmd_status,
		"\nOptions:\n"
		"      --check            exit with 9 if something does not run, with 10 if there are warnings\n"
		"\nExamples:\n"
		"  defer -d shop status\n"
		"  defer -d shop status --check --quiet || echo 'look at defer'\n"
		"  defer -d shop --json status | jq '.findings[].finding'\n"},
#ifdef DEFER_DASHBOARD
	{"dashboard", "[options]", "Serve a dashboard for the browser", cmd_dashboard, dashboard_help},
#endif
