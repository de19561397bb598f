/*
 * commands.h
 *		The commands of the program "defer" and their help; part of main.c.
 *		doc/defer.1 and doc/cli.md say the same at more length.
 */
	{"status", "[--check]", "How it stands: findings, queues, running jobs", cmd_status,
		"\nOptions:\n"
		"  -c, --check            exit with 9 if something does not run, with 10 if there are warnings\n"
		"\nExamples:\n"
		"  defer -d shop status\n"
		"  defer -d shop status --check --quiet || echo 'look at defer'\n"
		"  defer -d shop status --json | jq -r '.findings[].finding'\n"},
	{"top", "[options]", "Queues and running jobs, live", cmd_top,
		"\nOptions:\n"
		"  -i, --interval=TIME    between two looks (2s)\n"
		"  -n, --iterations=N     end after so many\n"
		"  -b, --batch            one below the other, as where there is no terminal\n"
		"\nKeys: q ends, blank looks at once, + and - make the interval longer and shorter.\n"
		"\nExamples:\n"
		"  defer -d shop top\n"
		"  defer -d shop top --interval 500ms\n"
		"  defer -d shop top --json --iterations 10 --interval 1s | jq .rates\n"},
	{"jobs", "[options]", "Jobs, the newest first", cmd_jobs,
		"\nOptions:\n"
		"  -s, --state=STATES     scheduled, queued, running, retrying, succeeded, failed, cancelled,\n"
		"                         discarded; several with commas between them\n"
		"  -f, --function=NAME    a name, with schema or without, or a signature\n"
		"  -Q, --queue=NAME\n"
		"  -S, --schedule=NAME    runs of a schedule\n"
		"  -P, --parent=ID        jobs that this one has enqueued\n"
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
		"  defer -d shop jobs -s failed -n 1000 --json | jq '.jobs[].id' | xargs defer -d shop rerun\n"},
	{"job", "ID", "Everything about one job", cmd_job,
		"\nArguments, result, times, attempts with their errors, logs, parent and children.\n"
		"Exits with 4 if there is none that you may see.\n"
		"\nExamples:\n"
		"  defer -d shop job 4711\n"
		"  defer -d shop job 4711 --json | jq '.attempts[-1].context'\n"},
	{"schedules", "[NAME]", "Schedules: in words, last and next times", cmd_schedules,
		"\nWith a name all there is to know about that one, and its next five times.\n"
		"\nExamples:\n"
		"  defer -d shop schedules\n"
		"  defer -d shop schedules nightly_cleanup\n"
		"  defer -d shop schedules --json | jq '.schedules[] | select(.last_error)'\n"},
	{"enqueue", "FUNCTION [ARGUMENTS]", "Enqueue a job, and write its id", cmd_enqueue,
		"\nARGUMENTS are JSON: an array by position, an object by name; - reads standard input.\n"
		"\nOptions:\n"
		"      --run-at=TIME      not before then\n"
		"      --delay=TIME       not before so long from now\n"
		"  -Q, --queue=NAME\n"
		"      --priority=N       smaller runs first\n"
		"  -k, --key=KEY          at most one unfinished job of the function has it\n"
		"      --discard-after=TIME\n"
		"  -m, --metadata=JSON\n"
		"      --max-attempts=N, --initial-interval=TIME, --multiplier=X, --max-interval=TIME,\n"
		"      --randomization=X, --max-duration=TIME\n"
		"                         as in defer.enqueue()\n"
		"  -c, --command          FUNCTION is a statement of SQL, of any kind\n"
		"      --wait             wait for its end, and write its result: see defer wait --help\n"
		"  -t, --timeout=TIME     but not longer than that\n"
		"\nTimes are what PostgreSQL takes as timestamptz or interval.\n"
		"\nExamples:\n"
		"  defer -d shop enqueue send_invoice '{\"invoice_id\": 42}'\n"
		"  defer -d shop enqueue 'billing.send_invoice(integer)' '[42]' --delay '10 minutes'\n"
		"  jq -c . order.json | defer -d shop enqueue import_order - --key order-17\n"
		"  defer -d shop enqueue --command 'VACUUM ANALYZE invoice' --wait --timeout 10min\n"},
	{"trigger", "SCHEDULE...", "Run schedules now, and write the ids of the jobs", cmd_trigger,
		"\nExamples:\n"
		"  defer -d shop trigger nightly_cleanup\n"
		"  defer -d shop wait $(defer -d shop trigger nightly_cleanup)\n"},
	{"cancel", "ID...", "Cancel jobs", cmd_cancel,
		"\nOptions:\n"
		"  -f, --force            stop them if they run\n"
		"\nExits with 4 if one of them runs (without --force) or has ended.\n"
		"\nExamples:\n"
		"  defer -d shop cancel 17\n"
		"  defer -d shop cancel --force 17 18 19\n"},
	{"rerun", "ID...", "Enqueue jobs like these, and write their ids", cmd_rerun,
		"\nExamples:\n"
		"  defer -d shop rerun 17\n"
		"  defer -d shop jobs -s failed -f send_invoice --json | jq '.jobs[].id' | xargs defer -d shop rerun\n"},
	{"reschedule", "ID...", "Let waiting jobs run now, or at another time", cmd_reschedule,
		"\nOptions:\n"
		"      --at=TIME          a timestamptz\n"
		"      --delay=TIME       an interval, from now\n"
		"\nExits with 4 if one of them runs or has ended.\n"
		"\nExamples:\n"
		"  defer -d shop reschedule 17\n"
		"  defer -d shop reschedule 17 18 --delay '2 hours'\n"
		"  defer -d shop reschedule 17 --at '2026-12-24 18:00 Europe/Berlin'\n"},
	{"pause", "NAME...", "Hold back the jobs of functions, queues or schedules", cmd_pause,
		"\nOptions:\n"
		"  -Q, --queue            the names are of queues, not functions\n"
		"  -S, --schedule         the names are of schedules\n"
		"\nExamples:\n"
		"  defer -d shop pause send_invoice\n"
		"  defer -d shop pause --queue reports mails\n"
		"  defer -d shop pause --schedule nightly_cleanup\n"},
	{"resume", "NAME...", "Let them go on", cmd_resume,
		"\nOptions:\n"
		"  -Q, --queue            the names are of queues, not functions\n"
		"  -S, --schedule         the names are of schedules\n"
		"\nExamples:\n"
		"  defer -d shop resume send_invoice\n"
		"  defer -d shop resume --queue reports\n"},
	{"wait", "ID...", "Wait until jobs and those that they enqueue have ended", cmd_wait,
		"\nWrites the result of a job that has succeeded. Meanwhile a bar is drawn on the terminal.\n"
		"\nOptions:\n"
		"  -t, --timeout=TIME     no longer than that, such as 30s or 10min\n"
		"  -a, --alone            do not wait for the jobs that they have enqueued\n"
		"\nExit codes: 0 all succeeded, 4 there is no such job, 5 one failed (or, of those that it\n"
		"enqueued, did not succeed), 6 it was cancelled, 7 discarded, 8 the timeout is over.\n"
		"\nExamples:\n"
		"  defer -d shop wait 4711\n"
		"  defer -d shop wait --timeout 10min $(defer -d shop trigger weekly) && echo done\n"},
	{"metrics", "", "Metrics for Prometheus, as text", cmd_metrics,
		"\nCounters count from the start of the server on. See doc/cli.md for what each means.\n"
		"\nExamples:\n"
		"  defer -d shop metrics > /var/lib/node_exporter/defer.prom.new &&\n"
		"    mv /var/lib/node_exporter/defer.prom.new /var/lib/node_exporter/defer.prom\n"},
#ifdef DEFER_DASHBOARD
	{"dashboard", "[options]", "Serve a dashboard for the browser", cmd_dashboard, dashboard_help},
#endif
