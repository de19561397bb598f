/*
 * metrics.c
 *		Metrics in the text format of Prometheus.
 *
 * No query here reads the history: counters and histograms come from
 * defer.statistics, which is in shared memory and begins with the server's
 * start; gauges are of unfinished jobs.  So a scrape every few seconds is cheap,
 * however long the history is.  The connected role sees what it may see; only
 * members of pg_monitor see all processes of the server.
 */
#include "commands/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "core/connect.h"
#include "core/query.h"
#include "core/report.h"
#include "commands/commands.h"
#include "commands/metrics_format.h"

/* Groups and functions that have series of their own, unless an option says how many */
#define METRICS_GROUPS		"10"
#define METRICS_FUNCTIONS	"100"

/* By state, and those that wait by what for: read once */
static const char *const live_sql =
"SELECT j.function, j.queue, j.state, j.waits_for, CASE WHEN j.state IS NOT NULL THEN pg_catalog.count(*) END AS jobs,"
" CASE WHEN j.state IS NULL THEN pg_catalog.count(*) END AS waiting FROM defer.live_jobs j"
" GROUP BY GROUPING SETS ((1, 2, 3), (1, 2, 4))"
" HAVING j.state IS NOT NULL OR j.waits_for IS NOT NULL ORDER BY 1, 2, 3, 4";

static const char *const oldest_sql =
"SELECT q.queue, COALESCE(EXTRACT(epoch FROM pg_catalog.statement_timestamp() - q.oldest_ready), 0)"
"::pg_catalog.float8 AS seconds, q.paused::pg_catalog.int4 AS paused, q.concurrency"
" FROM defer.live_queues q ORDER BY 1";

/* A row for each function and queue that has max_queued or group_max_queued */
static const char *const caps_sql =
"SELECT s.kind, s.name, s.max_queued, c.unfinished, c.refused FROM defer.settings s,"
" LATERAL defer.cap_state(s.kind, s.name) c"
" WHERE s.max_queued IS NOT NULL OR s.group_max_queued IS NOT NULL ORDER BY 1, 2";

/*
 * The $1 groups that have most unfinished jobs.  There can be as many groups as
 * tenants, and each makes series of its own, so only some are told.
 */
static const char *const groups_sql =
"WITH g AS MATERIALIZED (SELECT j.queue, j.group_key, pg_catalog.count(*) AS jobs,"
" pg_catalog.count(*) FILTER (WHERE j.state = 'waiting') AS waiting,"
" pg_catalog.count(*) FILTER (WHERE j.state = 'scheduled') AS scheduled,"
" pg_catalog.count(*) FILTER (WHERE j.state = 'queued') AS queued,"
" pg_catalog.count(*) FILTER (WHERE j.state = 'running') AS running,"
" pg_catalog.count(*) FILTER (WHERE j.state = 'retrying') AS retrying,"
" pg_catalog.min(j.run_at) FILTER (WHERE j.ready) AS oldest"
" FROM defer.live_jobs j WHERE j.group_key IS NOT NULL GROUP BY 1, 2),"
" b AS MATERIALIZED (SELECT * FROM g ORDER BY g.jobs DESC, g.queue, g.group_key LIMIT $1::pg_catalog.int4)"
" SELECT b.*, (SELECT pg_catalog.count(*) FROM g) AS groups, defer.group_share(b.queue, b.group_key) AS share,"
" COALESCE(EXTRACT(epoch FROM pg_catalog.statement_timestamp() - b.oldest), 0)::pg_catalog.float8 AS seconds"
" FROM (SELECT) one LEFT JOIN b ON true ORDER BY b.jobs DESC, b.queue, b.group_key";

/* One row for each function and queue; roles are summed up */
static const char *const counters_sql =
"SELECT s.function, s.queue, pg_catalog.sum(s.succeeded) AS succeeded, pg_catalog.sum(s.failed) AS failed,"
" pg_catalog.sum(s.cancelled) AS cancelled, pg_catalog.sum(s.discarded) AS discarded,"
" pg_catalog.sum(s.skipped_ticks) AS skipped_ticks, pg_catalog.sum(s.attempts_failed) AS attempts_failed,"
" pg_catalog.sum(s.attempts_timed_out) AS attempts_timed_out, pg_catalog.sum(s.attempts_crashed) AS attempts_crashed,"
" pg_catalog.sum(s.attempts_conflict) AS attempts_conflict, pg_catalog.sum(s.attempts_snoozed) AS attempts_snoozed,"
" pg_catalog.sum(s.attempts_interrupted) AS attempts_interrupted,"
" pg_catalog.sum(s.attempts_cancelled) AS attempts_cancelled"
" FROM defer.statistics s GROUP BY 1, 2 ORDER BY 1, 2";

static const char *const deliveries_sql =
"SELECT k.kind, COALESCE(pg_catalog.sum(s.succeeded), 0) AS succeeded, COALESCE(pg_catalog.sum(s.failed), 0) AS failed,"
" COALESCE(pg_catalog.sum(s.cancelled), 0) AS cancelled, COALESCE(pg_catalog.sum(s.discarded), 0) AS discarded"
" FROM pg_catalog.unnest(ARRAY['http', 'email', 'slack']) k(kind)"
" LEFT JOIN defer.statistics s ON s.function = 'defer.' || k.kind GROUP BY 1 ORDER BY 1";

/*
 * One row for each bucket: jobs that took at most le seconds, of the $3 functions
 * and queues of which most jobs have ended.  $2 says which buckets.
 */
static const char *const histogram_sql =
"WITH bounds AS (SELECT b.le, b.i FROM pg_catalog.unnest(defer.statistics_bounds()) WITH ORDINALITY b(le, i)"
" UNION ALL SELECT NULL, pg_catalog.cardinality(defer.statistics_bounds()) + 1),"
" counts AS (SELECT s.function, s.queue, c.i, pg_catalog.sum(c.n) AS n"
" FROM defer.statistics s, pg_catalog.unnest(CASE WHEN $1 = 'duration' THEN s.durations ELSE s.delays END)"
" WITH ORDINALITY c(n, i) GROUP BY 1, 2, 3),"
" sums AS (SELECT s.function, s.queue,"
" pg_catalog.sum(CASE WHEN $1 = 'duration' THEN s.duration_seconds ELSE s.delay_seconds END) AS seconds"
" FROM defer.statistics s GROUP BY 1, 2"
" ORDER BY pg_catalog.sum(s.succeeded + s.failed + s.cancelled + s.discarded) DESC, 1, 2 LIMIT $3::pg_catalog.int8),"
" buckets AS (SELECT c.function, c.queue, c.i, b.le, s.seconds,"
" pg_catalog.sum(c.n) OVER (PARTITION BY c.function, c.queue ORDER BY c.i) AS jobs"
" FROM counts c JOIN bounds b USING (i) JOIN sums s USING (function, queue))"
" SELECT b.function, b.queue, COALESCE(b.le::pg_catalog.text, '+Inf') AS le, b.le IS NULL AS last, b.seconds, b.jobs"
" FROM buckets b WHERE b.le IS NULL OR $2 = 'all'"
" OR $2 = 'few' AND b.le = ANY (ARRAY[0.001, 0.01, 0.1, 1, 10, 60, 900]::pg_catalog.float8[]) ORDER BY 1, 2, b.i";

static const char *const server_sql =
"SELECT (s.preloaded AND s.enabled AND s.active AND NOT s.recovery AND s.launcher AND s.scheduler)"
"::pg_catalog.int4 AS up, s.max_workers, s.no_slots::pg_catalog.int4 AS no_slots,"
" defer.version() AS version,"
" (SELECT pg_catalog.count(*) FROM defer.workers w WHERE w.kind = 'worker') AS workers,"
" (SELECT pg_catalog.count(*) FROM defer.workers w WHERE w.kind = 'worker' AND w.job_id IS NOT NULL) AS busy,"
" o.workers AS outside, o.leases"
" FROM defer.server_state() s,"
" (SELECT pg_catalog.count(*) AS workers, COALESCE(pg_catalog.sum(w.leases), 0) AS leases"
" FROM defer.workers w WHERE w.kind = 'outside') o";

static const char *const schedules_sql =
"SELECT s.name, s.owner::pg_catalog.text AS owner, s.active::pg_catalog.int4 AS active,"
" (s.last_error IS NOT NULL)::pg_catalog.int4 AS stopped,"
" EXTRACT(epoch FROM s.last_run_at)::pg_catalog.float8 AS last_run,"
" EXTRACT(epoch FROM s.next_run_at)::pg_catalog.float8 AS next_run,"
" GREATEST(0, CASE WHEN s.active THEN EXTRACT(epoch FROM pg_catalog.statement_timestamp() - s.next_run_at) END)"
"::pg_catalog.float8 AS late"
" FROM defer.schedules s WHERE s.next_run_at IS NULL OR pg_catalog.isfinite(s.next_run_at) ORDER BY 1, 2";

static const char *const findings_sql =
"SELECT s.severity, pg_catalog.count(h.severity) AS findings"
" FROM pg_catalog.unnest(ARRAY['error', 'warning', 'info']) s(severity)"
" LEFT JOIN defer.health h ON h.severity = s.severity GROUP BY 1 ORDER BY 1";

/*
 * The oldest snapshot that keeps vacuum from removing rows: of sessions, prepared
 * transactions, slots.  Superusers and pg_monitor see those of other roles.
 */
static const char *const snapshot_sql =
"SELECT COALESCE(pg_catalog.max(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - x.since)), 0)"
"::pg_catalog.float8 AS seconds,"
" COALESCE(pg_catalog.max(pg_catalog.age(x.xmin)), 0) AS transactions"
" FROM (SELECT a.xact_start AS since, a.backend_xmin AS xmin FROM pg_catalog.pg_stat_activity a"
" WHERE a.backend_xmin IS NOT NULL AND a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()"
" UNION ALL SELECT p.prepared, p.transaction FROM pg_catalog.pg_prepared_xacts p"
" WHERE p.database = pg_catalog.current_database()"
" UNION ALL SELECT NULL, r.xmin FROM pg_catalog.pg_replication_slots r WHERE r.xmin IS NOT NULL) x";

/* ------------------------------------------------------------------------
 * Families
 * ------------------------------------------------------------------------ */

static const Label job_labels[] = {{"function", "function"}, {"queue", "queue"}, {NULL}};

/* Append a family of gauges, with a sample of each row that has a value in the column */
static void
add_gauges(Metrics *metrics, const PGresult *res, const Label *labels, const char *name,
		   const char *column, const char *help)
{
	metrics_family(metrics, name, "gauge", help);
	for (int row = 0; row < PQntuples(res); row++)
		metrics_sample(metrics, name, res, row, labels, NULL, NULL, column);
}

static void
add_live_jobs(Metrics *metrics)
{
	static const Label labels[] = {{"function", "function"}, {"queue", "queue"}, {"state", "state"}, {NULL}};
	static const Label reasons[] = {{"function", "function"}, {"queue", "queue"}, {"reason", "waits_for"}, {NULL}};
	static const Label queue_label[] = {{"queue", "queue"}, {NULL}};
	PGresult   *jobs = metrics_ask(metrics, live_sql, 0, NULL);
	PGresult   *queues = metrics_ask(metrics, oldest_sql, 0, NULL);

	if (!metrics->failed)
	{
		add_gauges(metrics, jobs, labels, "defer_jobs", "jobs",
				   "Unfinished jobs by state, function and queue.");
		add_gauges(metrics, jobs, reasons, "defer_waiting_jobs", "waiting",
				   "Jobs in state waiting by what they wait for.");
		add_gauges(metrics, queues, queue_label, "defer_oldest_ready_seconds", "seconds",
				   "Longest time that a ready job has waited for a worker; 0 if none waits.");
		add_gauges(metrics, queues, queue_label, "defer_queue_paused", "paused",
				   "1 if the queue is paused.");
	}
	PQclear(jobs);
	PQclear(queues);
}

/* Append what max_queued of functions and queues allows, has and refuses */
static void
add_caps(Metrics *metrics)
{
	static const Label labels[] = {{"kind", "kind"}, {"name", "name"}, {NULL}};
	PGresult   *res = metrics_ask(metrics, caps_sql, 0, NULL);

	if (res == NULL)
		return;
	add_gauges(metrics, res, labels, "defer_max_queued", "max_queued",
			   "Unfinished jobs that the function or queue may have.");
	add_gauges(metrics, res, labels, "defer_counted_jobs", "unfinished",
			   "Unfinished jobs that are counted for max_queued and group_max_queued.");
	metrics_family(metrics, "defer_refused_enqueues_total", "counter",
				   "Enqueues that were refused by max_queued or group_max_queued.");
	for (int row = 0; row < PQntuples(res); row++)
		metrics_sample(metrics, "defer_refused_enqueues_total", res, row, labels, NULL, NULL, "refused");
	PQclear(res);
}

/* Append how many groups there are, and the "n" of them that have most unfinished jobs */
static void
add_groups(Metrics *metrics, const char *n)
{
	static const Label labels[] = {{"queue", "queue"}, {"group", "group_key"}, {NULL}};
	static const char *const states[] = {"waiting", "scheduled", "queued", "running", "retrying"};
	PGresult   *res = metrics_ask(metrics, groups_sql, 1, &n);

	if (res == NULL)
		return;
	metrics_family(metrics, "defer_groups", "gauge", "Groups that have unfinished jobs, those of each queue.");
	metrics_sample(metrics, "defer_groups", res, 0, NULL, NULL, NULL, "groups");
	metrics_family(metrics, "defer_group_jobs", "gauge",
				   "Unfinished jobs of the groups that have most, by state and queue.");
	for (int row = 0; row < PQntuples(res); row++)
	{
		for (size_t i = 0; i < lengthof(states); i++)
			metrics_sample(metrics, "defer_group_jobs", res, row, labels, "state", states[i], states[i]);
	}
	metrics_family(metrics, "defer_group_oldest_ready_seconds", "gauge",
				   "Longest time that a ready job of the group has waited for a worker; 0 if none waits.");
	for (int row = 0; row < PQntuples(res) && result_value(res, row, "jobs") != NULL; row++)
		metrics_sample(metrics, "defer_group_oldest_ready_seconds", res, row, labels, NULL, NULL, "seconds");
	add_gauges(metrics, res, labels, "defer_group_worker_share", "share",
			   "Share of the worker time of the last minute, beside the other groups of the queue.");
	PQclear(res);
}

/* Append a family with a sample for each of several columns; a label has the column's name */
static void
add_counters(Metrics *metrics, const PGresult *res, const char *name, const char *help,
			 const char *label, const char *const *columns, size_t n, size_t skip)
{
	metrics_family(metrics, name, "counter", help);
	for (int row = 0; row < PQntuples(res); row++)
	{
		for (size_t i = 0; i < n; i++)
			metrics_sample(metrics, name, res, row, job_labels, label, columns[i] + skip,
						   columns[i]);
	}
}

static void
add_histogram(Metrics *metrics, const MetricsLimits *limits, const char *what, const char *name,
			  const char *help)
{
	const char *values[] = {what, limits->buckets, limits->functions};
	PGresult   *res = metrics_ask(metrics, histogram_sql, lengthof(values), values);
	char	   *bucket;
	char	   *sum;
	char	   *count;
	static const Label labels[] = {{"function", "function"}, {"queue", "queue"}, {"le", "le"}, {NULL}};

	if (res == NULL)
		return;
	bucket = xprintf("%s_bucket", name);
	sum = xprintf("%s_sum", name);
	count = xprintf("%s_count", name);
	metrics_family(metrics, name, "histogram", help);
	for (int row = 0; row < PQntuples(res); row++)
	{
		metrics_sample(metrics, bucket, res, row, labels, NULL, NULL, "jobs");
		if (!result_true(res, row, "last"))
			continue;
		metrics_sample(metrics, sum, res, row, job_labels, NULL, NULL, "seconds");
		metrics_sample(metrics, count, res, row, job_labels, NULL, NULL, "jobs");
	}
	free(bucket);
	free(sum);
	free(count);
	PQclear(res);
}

/* Append the counts of deliveries; defer_jobs_ended_total counts them, too */
static void
add_deliveries(Metrics *metrics, const char *const *states, size_t n)
{
	static const Label labels[] = {{"kind", "kind"}, {NULL}};
	PGresult   *res = metrics_ask(metrics, deliveries_sql, 0, NULL);

	if (res == NULL)
		return;
	metrics_family(metrics, "defer_deliveries_ended_total", "counter",
				   "Deliveries that have ended, by kind and state, since the start of the server.");
	for (int row = 0; row < PQntuples(res); row++)
	{
		for (size_t i = 0; i < n; i++)
			metrics_sample(metrics, "defer_deliveries_ended_total", res, row, labels, "state", states[i], states[i]);
	}
	PQclear(res);
}

static void
add_ended_jobs(Metrics *metrics, const MetricsLimits *limits)
{
	static const char *const states[] = {"succeeded", "failed", "cancelled", "discarded"};
	static const char *const attempts[] = {
		"attempts_failed", "attempts_timed_out", "attempts_crashed", "attempts_conflict", "attempts_snoozed",
		"attempts_interrupted", "attempts_cancelled"
	};
	PGresult   *res = metrics_ask(metrics, counters_sql, 0, NULL);

	if (res == NULL)
		return;
	add_counters(metrics, res, "defer_jobs_ended_total", "Jobs that have ended, by state, since the start of the server.",
				 "state", states, lengthof(states), 0);
	add_counters(metrics, res, "defer_attempts_not_succeeded_total",
				 "Attempts that did not succeed, by outcome, since the start of the server.",
				 "outcome", attempts, lengthof(attempts), strlen("attempts_"));
	metrics_family(metrics, "defer_ticks_skipped_total", "counter",
				   "Times of schedules at which no job ran: skipped, or missed, since the start of the server.");
	for (int row = 0; row < PQntuples(res); row++)
		metrics_sample(metrics, "defer_ticks_skipped_total", res, row, job_labels, NULL, NULL, "skipped_ticks");
	PQclear(res);
	add_deliveries(metrics, states, lengthof(states));
	add_histogram(metrics, limits, "duration", "defer_job_duration_seconds",
				  "Duration of the last attempt of jobs that have ended since the start of the server.");
	add_histogram(metrics, limits, "delay", "defer_job_pickup_delay_seconds",
				  "Time from when the last attempt of a job could begin until it began.");
}

static void
add_schedules(Metrics *metrics)
{
	static const Label labels[] = {{"schedule", "name"}, {"role", "owner"}, {NULL}};
	static const struct
	{
		const char *name;
		const char *column;
		const char *help;
	}			gauges[] = {
		{"defer_schedule_active", "active", "1 if the schedule is active."},
		{"defer_schedule_stopped", "stopped", "1 if the schedule does not go on because of an error."},
		{"defer_schedule_last_run_timestamp_seconds", "last_run", "When it last fired."},
		{"defer_schedule_next_run_timestamp_seconds", "next_run", "When it fires next."},
		{"defer_schedule_late_seconds", "late", "For how long it should have fired already; 0 if it is not late."},
	};
	PGresult   *res = metrics_ask(metrics, schedules_sql, 0, NULL);

	for (size_t i = 0; res != NULL && i < lengthof(gauges); i++)
		add_gauges(metrics, res, labels, gauges[i].name, gauges[i].column, gauges[i].help);
	PQclear(res);
}

static void
add_server(Metrics *metrics)
{
	static const Label severity[] = {{"severity", "severity"}, {NULL}};
	PGresult   *server = metrics_ask(metrics, server_sql, 0, NULL);
	PGresult   *findings = metrics_ask(metrics, findings_sql, 0, NULL);
	PGresult   *snapshot = metrics_ask(metrics, snapshot_sql, 0, NULL);

	if (!metrics->failed)
	{
		metrics_family(metrics, "defer_info", "gauge", "Always 1; the version of the library is its label.");
		metrics_sample_begin(metrics, "defer_info");
		buffer_add(metrics->out, ",version=\"");
		metrics_label_value(metrics, result_text(server, 0, "version"));
		buffer_add(metrics->out, "\"} 1\n");
		add_gauges(metrics, server, NULL, "defer_up", "up", "1 if jobs are run in this database.");
		add_gauges(metrics, server, NULL, "defer_workers", "workers", "Workers on the whole server.");
		add_gauges(metrics, server, NULL, "defer_workers_busy", "busy", "Workers that run a job.");
		metrics_family(metrics, "defer_outside_workers", "gauge",
					   "Workers of tasks that hold jobs or wait for them.");
		metrics_sample(metrics, "defer_outside_workers", server, 0, NULL, NULL, NULL, "outside");
		add_gauges(metrics, server, NULL, "defer_leases", "leases", "Jobs that these workers hold.");
		metrics_family(metrics, "defer_workers_limit", "gauge", "The setting defer.max_workers.");
		metrics_sample(metrics, "defer_workers_limit", server, 0, NULL, NULL, NULL, "max_workers");
		metrics_family(metrics, "defer_worker_slots_exhausted", "gauge",
					   "1 if a worker could not be started because max_worker_processes are in use.");
		metrics_sample(metrics, "defer_worker_slots_exhausted", server, 0, NULL, NULL, NULL, "no_slots");
		add_gauges(metrics, findings, severity, "defer_findings", "findings",
				   "Rows of defer.health, by severity.");
		metrics_family(metrics, "defer_oldest_snapshot_seconds", "gauge",
					   "Age of the oldest transaction that keeps deleted rows from being removed; 0 if there is none.");
		metrics_sample(metrics, "defer_oldest_snapshot_seconds", snapshot, 0, NULL, NULL, NULL, "seconds");
		metrics_family(metrics, "defer_oldest_snapshot_transactions", "gauge",
					   "How many transactions have begun since the oldest snapshot was taken, replication slots included.");
		metrics_sample(metrics, "defer_oldest_snapshot_transactions", snapshot, 0, NULL, NULL, NULL, "transactions");
	}
	PQclear(server);
	PQclear(findings);
	PQclear(snapshot);
}

/* Check whether a text is a whole number from 0 to a maximum */
static bool
is_count(const char *text, long most)
{
	char	   *end;
	long		n = strtol(text, &end, 10);

	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && n <= most;
}

/* Set missing limits to the defaults; return what is wrong with the others, NULL: nothing */
const char *
metrics_check_limits(MetricsLimits *limits)
{
	if (limits->groups == NULL)
		limits->groups = METRICS_GROUPS;
	if (limits->functions == NULL)
		limits->functions = METRICS_FUNCTIONS;
	if (limits->buckets == NULL)
		limits->buckets = "few";
	if (!is_count(limits->groups, 1000))
		return "the number of groups is from 0 to 1000";
	if (!is_count(limits->functions, 10000))
		return "the number of functions is from 0 to 10000";
	if (strcmp(limits->buckets, "few") != 0 && strcmp(limits->buckets, "all") != 0 &&
		strcmp(limits->buckets, "none") != 0)
		return "buckets are few, all or none";
	return NULL;
}

/*
 * Append all metrics, within limits that were checked.  False: a query failed,
 * error says why, and out has only a part.  Calls share no state.
 */
bool
metrics_collect(PGconn *conn, const MetricsLimits *limits, Buffer *out, Buffer *error)
{
	Metrics		metrics;

	if (!metrics_begin(&metrics, conn, out, error))
		return false;
	add_server(&metrics);
	add_live_jobs(&metrics);
	add_caps(&metrics);
	add_groups(&metrics, limits->groups);
	add_ended_jobs(&metrics, limits);
	add_schedules(&metrics);
	return metrics_end(&metrics);
}

static int
cmd_metrics(int argc, char **argv)
{
	static MetricsLimits limits;
	static const Option options[] = {
		{"groups", 0, OPTION_NUMBER, &limits.groups},
		{"functions", 0, OPTION_NUMBER, &limits.functions},
		{"buckets", 0, OPTION_TEXT, &limits.buckets},
		{NULL}
	};
	const char *wrong;
	PGconn	   *conn;
	Buffer		out = {0};
	Buffer		error = {0};
	bool		lost;

	options_parse(argc, argv, options, 0, 0, NULL);
	wrong = metrics_check_limits(&limits);
	if (wrong != NULL)
		report_usage_error("%s", wrong);
	conn = connect_or_exit();
	if (!metrics_collect(conn, &limits, &out, &error))
	{
		lost = PQstatus(conn) != CONNECTION_OK;
		report_error("%s", error.data);
		return lost ? CLI_NO_CONNECTION : CLI_REFUSED;
	}
	fputs(out.data, stdout);
	buffer_free(&out);
	PQfinish(conn);
	return CLI_OK;
}

const Command command_metrics = {
	"metrics", "[options]", "Metrics for Prometheus, as text", cmd_metrics,
	"\nOptions:\n"
	"      --groups=N         the N groups that have most unfinished jobs (" METRICS_GROUPS ")\n"
	"      --functions=N      histograms of the N functions of which most jobs have ended (" METRICS_FUNCTIONS ")\n"
	"      --buckets=WHICH    of histograms: few, all, or none but the sums and counts (few)\n"
	"\nCounters count from the start of the server on. See doc/cli.md for what each means.\n"
	"\nExamples:\n"
	"  defer -d shop metrics > /var/lib/node_exporter/defer.prom.new &&\n"
	"    mv /var/lib/node_exporter/defer.prom.new /var/lib/node_exporter/defer.prom\n"
};
