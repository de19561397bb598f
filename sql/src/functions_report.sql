/*
 * sql/src/functions_report.sql
 *		Functions that views, dashboards and monitoring call.
 */

CREATE FUNCTION defer.version() RETURNS text
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_version';
COMMENT ON FUNCTION defer.version() IS 'the version of the library that the server has loaded';

-- What the views ask C for.  These run as whoever looks, so anybody may call
-- them, and none tells more than the views do.

CREATE FUNCTION defer.may_see(owner oid) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_may_see';
COMMENT ON FUNCTION defer.may_see(oid) IS
	'whether the current role sees what belongs to that role: it is a member of it, a superuser, or a member of pg_monitor';

CREATE FUNCTION defer.may_configure(function text) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_may_configure';
COMMENT ON FUNCTION defer.may_configure(text) IS
	'whether the current role sees the settings of a function, given by its stored signature: it may call it, with EXECUTE and USAGE of its schema, or sees everything';

CREATE FUNCTION defer.has_ended(id bigint) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_has_ended';
COMMENT ON FUNCTION defer.has_ended(bigint) IS
	'whether a job that the current role may see has ended, as of the running query''s snapshot';

CREATE FUNCTION defer.waiting_for(id bigint) RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_waiting_for';
COMMENT ON FUNCTION defer.waiting_for(bigint) IS
	'the first reason of defer.why(); NULL if the job could begin now, runs or has ended, or you may not see it; look at defer.jobs instead';

CREATE FUNCTION defer.why(id bigint, OUT reason text, OUT detail text, OUT until timestamptz)
	RETURNS SETOF record
	LANGUAGE c PARALLEL RESTRICTED ROWS 2 AS 'MODULE_PATHNAME', 'defer_why';
COMMENT ON FUNCTION defer.why(bigint) IS
	'why a job that you may see does not begin, as of now: no row if it could, runs or has ended. reason: run_at, order (behind another job), paused, concurrency, commit (of your transaction), lock (of its row by another), worker. until: when that is over, if it is known. Jobs of other roles are counted, not named. Error: there is no such job that you may see';

CREATE FUNCTION defer.running_jobs(OUT job_id bigint, OUT pid integer, OUT started_at timestamptz, OUT progress real)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 AS 'MODULE_PATHNAME', 'defer_running_jobs';
COMMENT ON FUNCTION defer.running_jobs() IS
	'the jobs that run in this database at this moment and that the current role may see; look at defer.jobs instead';

CREATE FUNCTION defer.endpoint_places(name text) RETURNS integer
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_endpoint_places';
COMMENT ON FUNCTION defer.endpoint_places(text) IS
	'deliveries of all roles, as of now, that have a place under the limits of an endpoint that you own or may send with; 0: it has no limits, or is not such a one';

CREATE FUNCTION defer.reserved_workers(queue text) RETURNS integer
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_reserved_workers';
COMMENT ON FUNCTION defer.reserved_workers(text) IS
	'how many workers are kept for a queue: those that are set as reserved, as far as defer.max_workers allows; look at defer.queues instead';

CREATE FUNCTION defer.group_share(queue text, group_key text) RETURNS double precision
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_group_share';
COMMENT ON FUNCTION defer.group_share(text, text) IS
	'the part, from 0 to 1, of the worker time of the last minute in a queue that jobs of a group took, among roles that the current role may see; NULL: none, or not known; look at defer.groups instead';

CREATE FUNCTION defer.processes(OUT pid integer, OUT kind text, OUT database oid, OUT role oid, OUT job_id bigint, OUT since timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 AS 'MODULE_PATHNAME', 'defer_processes';
COMMENT ON FUNCTION defer.processes() IS
	'the processes of defer on this server that the current role may see; look at defer.workers instead';

CREATE FUNCTION defer.outside_workers(OUT role oid, OUT worker text, OUT host text, OUT pid integer, OUT job_id bigint,
									  OUT tasks integer[], OUT since timestamptz, OUT last_seen timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 AS 'MODULE_PATHNAME', 'defer_outside_workers';
COMMENT ON FUNCTION defer.outside_workers() IS
	'the leases of workers outside of the server in this database, and the sessions in which they wait, of roles that the current role may see; look at defer.workers instead';

CREATE FUNCTION defer.task_failures(OUT task text, OUT times integer, OUT since timestamptz, OUT error text)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 2 AS 'MODULE_PATHNAME', 'defer_task_failures';
COMMENT ON FUNCTION defer.task_failures() IS
	'tasks of the scheduler of this database that have failed and not succeeded since: how many times in a row, since when, and the last error, which is NULL for those who do not see all';

CREATE FUNCTION defer.server_state(OUT preloaded boolean, OUT enabled boolean, OUT active boolean, OUT recovery boolean,
		OUT launcher boolean, OUT scheduler boolean, OUT no_slots boolean, OUT overflow boolean,
		OUT workers integer, OUT max_workers integer, OUT run_superuser_jobs boolean, OUT refused boolean)
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'defer_server_state';
COMMENT ON FUNCTION defer.server_state() IS
	'how defer stands on this server and in this database; look at defer.health instead';

CREATE FUNCTION defer.schedule_description(schedule text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_schedule_description';
COMMENT ON FUNCTION defer.schedule_description(text) IS
	'the same as defer.cron_describe(), but NULL instead of an error when the schedule cannot be read';

CREATE FUNCTION defer.schedule_next_runs(schedule text, timezone text, after timestamptz, n integer) RETURNS timestamptz[]
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_schedule_next_runs';
COMMENT ON FUNCTION defer.schedule_next_runs(text, text, timestamptz, integer) IS
	'the next n (0 to 1000) times of a schedule after an instant, without jitter; NULL when schedule or zone cannot be read';

CREATE FUNCTION defer.live_logs(OUT job_id bigint, OUT attempt integer, OUT at timestamptz, OUT level text, OUT message text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 20 AS 'MODULE_PATHNAME', 'defer_live_logs';
COMMENT ON FUNCTION defer.live_logs() IS
	'what running jobs you may see have said so far in their attempt: they are in defer.logs, too';

-- Jobs by what they are.  A condition on anything but the id makes defer.jobs read
-- all of history; these use indexes.

CREATE FUNCTION defer.find_jobs(states text[] DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL,
								parent_id bigint DEFAULT NULL, schedule_id bigint DEFAULT NULL,
								metadata jsonb DEFAULT NULL, error text DEFAULT NULL,
								since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
								before bigint DEFAULT NULL, n bigint DEFAULT 50,
								group_key text DEFAULT NULL, fingerprint text DEFAULT NULL,
								args jsonb DEFAULT NULL, key text DEFAULT NULL, owner text DEFAULT NULL) RETURNS SETOF bigint
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50 AS 'MODULE_PATHNAME', 'defer_find_jobs';
COMMENT ON FUNCTION defer.find_jobs(text[], text, text, bigint, bigint, jsonb, text, timestamptz, timestamptz, bigint, bigint, text, text, jsonb, text, text) IS
	'ids of the newest n (0 to 10000) jobs you may see that are like that, the newest first; before: with smaller ids than that, the next page. function: a signature as in defer.jobs. metadata, args: contain that, or, of a number or a string, one of the arguments is that. key, owner: have that key, belong to the role of that name. error: has that text in it, or that SQLSTATE. fingerprint: has an error of that fingerprint, see defer.errors. since, until: finished at or after and before, or, if unfinished, enqueued. Quick with a long history unless metadata, args, key, owner, queue, group_key or a time alone leave few jobs of many. Errors: no such state, n out of range';

CREATE FUNCTION defer.error_pattern(error text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_error_pattern';
COMMENT ON FUNCTION defer.error_pattern(text) IS
	'an error message without what differs from job to job: # in place of numbers, times, addresses, UUIDs and other words with a digit, * in place of what is in quotation marks; its first 300 bytes';

CREATE FUNCTION defer.error_fingerprint(function text, sqlstate text, error text) RETURNS text
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_error_fingerprint';
COMMENT ON FUNCTION defer.error_fingerprint(text, text, text) IS
	'what errors have in common that have the same function, SQLSTATE and defer.error_pattern(): 16 hexadecimal digits';

CREATE FUNCTION defer.child_states(parent_id bigint, OUT state text, OUT jobs bigint) RETURNS SETOF record
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 8 AS 'MODULE_PATHNAME', 'defer_child_states';
COMMENT ON FUNCTION defer.child_states(bigint) IS
	'how many jobs that a job has enqueued, and that you may see, are in each state';

-- Counters: see shmem/statistics.c

CREATE FUNCTION defer.job_statistics(OUT owner oid, OUT function text, OUT queue text,
		OUT succeeded bigint, OUT failed bigint, OUT cancelled bigint, OUT discarded bigint, OUT skipped_ticks bigint,
		OUT attempts_failed bigint, OUT attempts_timed_out bigint, OUT attempts_crashed bigint, OUT attempts_conflict bigint,
		OUT attempts_snoozed bigint, OUT attempts_interrupted bigint, OUT attempts_cancelled bigint,
		OUT durations bigint[], OUT duration_seconds double precision,
		OUT delays bigint[], OUT delay_seconds double precision) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50 AS 'MODULE_PATHNAME', 'defer_job_statistics';
COMMENT ON FUNCTION defer.job_statistics() IS
	'counters of this database, for roles that the current role may see; look at defer.statistics instead';

CREATE FUNCTION defer.statistics_bounds() RETURNS double precision[]
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_statistics_bounds';
COMMENT ON FUNCTION defer.statistics_bounds() IS
	'upper bounds, in seconds, of the classes that defer.statistics counts durations and delays in, but for the last class, which has none';

-- Durations of many jobs: see table/duration_histogram.c

CREATE FUNCTION defer.durations(class integer, jobs bigint) RETURNS bigint[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_durations';
COMMENT ON FUNCTION defer.durations(integer, bigint) IS
	'so many jobs of a class of durations (0 to 207, a quarter of a doubling each, from a microsecond on), as defer.sum_durations() takes them; of class -1: none. Errors: out of range';

CREATE FUNCTION defer.merge_durations(a bigint[], b bigint[]) RETURNS bigint[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_merge_durations';
COMMENT ON FUNCTION defer.merge_durations(bigint[], bigint[]) IS
	'the jobs of both, by class of durations. Errors: an array is not made of pairs of a class, rising, and a number of jobs';

CREATE AGGREGATE defer.sum_durations(durations bigint[]) (
	SFUNC = defer.merge_durations, STYPE = bigint[], COMBINEFUNC = defer.merge_durations,
	INITCOND = '{}', PARALLEL = SAFE
);
COMMENT ON AGGREGATE defer.sum_durations(bigint[]) IS
	'the jobs of all, by class of durations';

CREATE FUNCTION defer.duration_percentile(durations bigint[], part double precision) RETURNS interval
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_duration_percentile';
COMMENT ON FUNCTION defer.duration_percentile(bigint[], double precision) IS
	'how long that part (0 to 1) of the jobs took at most, within a few percent; NULL if there are none. Errors: as of defer.merge_durations(); part is out of range';

CREATE FUNCTION defer.duration_class(duration interval) RETURNS integer
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_duration_class';
COMMENT ON FUNCTION defer.duration_class(interval) IS
	'the class of a duration, as defer.durations() takes it';

-- What dashboards and monitoring ask for each second: see report/table_sample.c

CREATE FUNCTION defer.history_sample(since timestamptz, most integer DEFAULT 20000, children boolean DEFAULT false,
		OUT weight double precision, OUT id bigint, OUT state text, OUT function text, OUT queue text,
		OUT parent_id bigint, OUT run_at timestamptz, OUT started_at timestamptz, OUT finished_at timestamptz,
		OUT duration interval)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 20000 AS 'MODULE_PATHNAME', 'defer_history_sample';
COMMENT ON FUNCTION defer.history_sample(timestamptz, integer, boolean) IS
	'jobs you may see that ended since then: all of them with weight 1, or, if there are many more than most (1 to 1000000), about as many, each with the number of jobs that it stands for. children: only those that a job enqueued. started_at: of the last attempt, or pass; duration: of all passes. Takes some 50 ms for 20000 rows, however long the history is';

CREATE FUNCTION defer.throughput(since timestamptz, step interval, steps integer, OUT at timestamptz,
		OUT succeeded double precision, OUT failed double precision, OUT cancelled double precision,
		OUT discarded double precision, OUT estimated boolean)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 60 AS 'MODULE_PATHNAME', 'defer_throughput';
COMMENT ON FUNCTION defer.throughput(timestamptz, interval, integer) IS
	'how many jobs you may see ended in each of so many steps (1 to 1000) from a time on; estimated if there are some 100000 or more since then, within a few percent. Takes milliseconds, however long the history is';

CREATE FUNCTION defer.live_rows(most integer, OUT weight double precision, OUT id bigint, OUT state text, OUT due boolean,
		OUT claimed boolean, OUT function text, OUT queue text, OUT parent_id bigint, OUT run_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 20000 AS 'MODULE_PATHNAME', 'defer_live_rows';
COMMENT ON FUNCTION defer.live_rows(integer) IS
	'rows of defer.job of jobs you may see, or a sample of them, for defer.live_sample()';
