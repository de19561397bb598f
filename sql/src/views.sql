/*
 * sql/src/views.sql
 *		Views.
 */

-- Operators are left bare in the views for the reader's sake: a view keeps what
-- it was parsed to, and the search_path set above is in force for that.

-- Jobs.  This is the one view that is not a security barrier.  A barrier would be
-- planned by itself, so that ORDER BY id DESC LIMIT 20 would have to compute and
-- sort all jobs of a week.  Here it reads 20 rows by index.  Instead of that
-- each column but the id is empty for whoever may not see the row, wherever the
-- planner puts a condition that a user brings: nothing leaks but that an id exists.
CREATE VIEW defer.jobs AS
SELECT u.id,
	CASE WHEN defer.may_see(u.owner) THEN u.function END AS function,
	CASE WHEN defer.may_see(u.owner) THEN u.args END AS args,
	CASE WHEN defer.may_see(u.owner) THEN
		CASE u.state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed' WHEN 'c' THEN 'cancelled' WHEN 'd' THEN 'discarded'
			ELSE CASE WHEN u.claim IS NOT NULL AND r.job_id IS NOT NULL THEN 'running'
				WHEN u.waits IS NOT NULL THEN 'waiting'
				WHEN u.attempt > 0 OR u.conflicts > 0 THEN 'retrying'
				WHEN u.run_at > pg_catalog.statement_timestamp() THEN 'scheduled'
				ELSE 'queued' END
		END
	END AS state,
	CASE WHEN defer.may_see(u.owner) AND u.state IS NULL AND r.job_id IS NULL THEN defer.waiting_for(u.id) END AS waiting_for,
	CASE WHEN defer.may_see(u.owner) THEN u.queue END AS queue,
	CASE WHEN defer.may_see(u.owner) THEN u.priority END AS priority,
	CASE WHEN defer.may_see(u.owner) THEN pg_catalog.pg_get_userbyid(u.owner) END AS owner,
	CASE WHEN defer.may_see(u.owner) THEN u.run_at END AS run_at,
	CASE WHEN defer.may_see(u.owner) THEN u.enqueued_at END AS enqueued_at,
	CASE WHEN defer.may_see(u.owner) THEN
		CASE WHEN u.first_started_at IS NOT NULL THEN u.first_started_at WHEN u.claim IS NOT NULL THEN r.started_at ELSE u.started_at END
	END AS started_at,
	CASE WHEN defer.may_see(u.owner) THEN u.finished_at END AS finished_at,
	CASE WHEN defer.may_see(u.owner) THEN
		CASE WHEN u.claim IS NOT NULL AND r.started_at IS NOT NULL THEN GREATEST(pg_catalog.statement_timestamp(), r.started_at) - r.started_at
			WHEN u.started_at IS NOT NULL THEN u.finished_at - u.started_at
			WHEN u.first_started_at IS NOT NULL THEN interval '0' END
		+ COALESCE(u.earlier_time, 0) * interval '1 microsecond'
	END AS duration,
	CASE WHEN defer.may_see(u.owner) THEN
		u.attempt + CASE WHEN u.claim IS NOT NULL AND r.job_id IS NOT NULL THEN 1 ELSE 0 END
	END AS attempt,
	CASE WHEN defer.may_see(u.owner) THEN
		COALESCE((u.options ->> 'max_attempts')::integer, f.max_attempts, q.max_attempts, 13)
	END AS max_attempts,
	CASE WHEN defer.may_see(u.owner) THEN u.result END AS result,
	CASE WHEN defer.may_see(u.owner) THEN u.error END AS error,
	CASE WHEN defer.may_see(u.owner) THEN u.sqlstate END AS sqlstate,
	CASE WHEN defer.may_see(u.owner) THEN u.key END AS key,
	CASE WHEN defer.may_see(u.owner) THEN u.group_key END AS group_key,
	CASE WHEN defer.may_see(u.owner) THEN u.metadata END AS metadata,
	CASE WHEN defer.may_see(u.owner) THEN u.parent_id END AS parent_id,
	CASE WHEN defer.may_see(u.owner) THEN u.rerun_of END AS rerun_of,
	CASE WHEN defer.may_see(u.owner) AND l.last_id > u.id THEN l.last_id END AS rerun_by,
	CASE WHEN defer.may_see(u.owner) THEN s.name END AS schedule,
	CASE WHEN defer.may_see(u.owner) THEN u.scheduled_for END AS scheduled_for,
	CASE WHEN defer.may_see(u.owner) THEN u.discard_at END AS discard_at,
	CASE WHEN defer.may_see(u.owner) AND u.claim IS NOT NULL THEN r.progress END AS progress,
	CASE WHEN defer.may_see(u.owner) AND u.claim IS NOT NULL THEN r.pid END AS pid,
	CASE WHEN defer.may_see(u.owner) THEN u.behind END AS behind
  FROM (SELECT j.id, j.owner, j.function, j.args, NULL::"char" AS state, j.claim, j.conflicts, j.queue, j.priority,
			CASE WHEN j.waits IN ('j', 'p') THEN j.not_before ELSE j.run_at END AS run_at, j.enqueued_at, NULL::timestamptz AS started_at, NULL::timestamptz AS finished_at, j.attempt,
			j.options, NULL::jsonb AS result, j.error, j.sqlstate, j.key, j.group_key, j.metadata, j.parent_id, j.rerun_of, j.schedule_id,
			j.scheduled_for, CASE WHEN j.waits IS NULL THEN j.discard_at END AS discard_at, j.behind,
			CASE WHEN j.run_at > pg_catalog.statement_timestamp() THEN j.waits END AS waits, j.first_started_at, j.earlier_time
		  FROM defer.job j
		UNION ALL
		SELECT h.id, h.owner, h.function, h.args, h.state, NULL::bigint, NULL::smallint, h.queue, h.priority,
			h.run_at, h.enqueued_at, h.started_at, h.finished_at, h.attempt,
			h.options, h.result, h.error, h.sqlstate, h.key, h.group_key, h.metadata, h.parent_id, h.rerun_of, h.schedule_id,
			h.scheduled_for, h.discard_at, NULL::bigint, NULL::"char", h.first_started_at, h.earlier_time
		  FROM defer.job_history h) u
  LEFT JOIN defer.running_jobs() r ON r.job_id = u.id
  LEFT JOIN defer.function f ON f.signature = u.function
  LEFT JOIN defer.queue q ON q.name = u.queue
  LEFT JOIN defer.schedule s ON s.id = u.schedule_id
  LEFT JOIN defer.rerun_line l ON l.id = COALESCE(u.rerun_of, u.id)
 WHERE defer.may_see(u.owner) AND (u.claim IS NULL OR NOT defer.has_ended(u.id));
COMMENT ON VIEW defer.jobs IS
	'the jobs you may see. state: waiting (for other jobs), scheduled, queued, running, retrying, succeeded, failed, cancelled, discarded. waiting_for: why it does not begin, the first reason of defer.why(); NULL if it could. started_at, duration: of the last attempt; of a procedure with steps, when its first pass began, and how long all passes took together. attempt: attempts that were begun. max_attempts: what holds now. error, sqlstate: of the last failed attempt. progress: 0 to 1. rerun_of: the job that this is another run of, by defer.rerun(). rerun_by: the last rerun of that job, or of this one. pid: of the worker that runs it. behind: the job with the same key that ran when this one was to replace it: it begins when that one has ended; its run_at is infinity until then';

-- The same for unfinished jobs only, for the views below
CREATE VIEW defer.live_jobs WITH (security_barrier) AS
SELECT j.id, j.owner, j.function, j.queue, j.group_key, j.run_at, j.schedule_id, j.scheduled_for, x.state,
	x.state IN ('queued', 'retrying') AND j.run_at <= pg_catalog.statement_timestamp() AS ready,
	CASE WHEN x.state = 'waiting' THEN
		CASE j.waits WHEN 'j' THEN 'after' WHEN 's' THEN 'sleep' WHEN 'w' THEN 'wait_job' ELSE 'wait_event' END
	END AS waits_for
  FROM defer.job j
  LEFT JOIN defer.running_jobs() r ON r.job_id = j.id
 CROSS JOIN LATERAL (SELECT CASE WHEN j.claim IS NOT NULL AND r.job_id IS NOT NULL THEN 'running'
		WHEN j.waits IS NOT NULL AND j.run_at > pg_catalog.statement_timestamp() THEN 'waiting'
		WHEN j.attempt > 0 OR j.conflicts > 0 THEN 'retrying'
		WHEN j.run_at > pg_catalog.statement_timestamp() THEN 'scheduled'
		ELSE 'queued' END AS state) x
 WHERE defer.may_see(j.owner) AND (j.claim IS NULL OR NOT defer.has_ended(j.id));
COMMENT ON VIEW defer.live_jobs IS
	'unfinished jobs you may see, with little about each: to count them. ready: could begin now. waits_for: of those in state waiting, after (other jobs), or what the step is in which they wait: sleep, wait_job (also the end of a request), wait_event';

CREATE FUNCTION defer.live_sample(most integer DEFAULT 20000, OUT weight double precision, OUT id bigint, OUT state text,
		OUT ready boolean, OUT function text, OUT queue text, OUT parent_id bigint, OUT run_at timestamptz)
	RETURNS SETOF record
	LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 20000
BEGIN ATOMIC
	SELECT l.weight, l.id, l.state, l.due AND l.state NOT IN ('scheduled', 'waiting'), l.function, l.queue, l.parent_id, l.run_at
	  FROM defer.live_rows(most) l
	 WHERE NOT l.claimed
		OR (NOT defer.has_ended(l.id) AND NOT EXISTS (SELECT FROM defer.running_jobs() r WHERE r.job_id = l.id))
	UNION ALL
	SELECT 1, j.id, 'running', false, j.function, j.queue, j.parent_id, j.run_at
	  FROM defer.jobs j
	 WHERE j.id = ANY (ARRAY(SELECT r.job_id FROM defer.running_jobs() r)) AND j.state = 'running';
END;
COMMENT ON FUNCTION defer.live_sample(integer) IS
	'unfinished jobs you may see: all of them with weight 1, or, if there are more than most (1 to 1000000), about as many, each with the number of jobs that it stands for. Running ones are always all there';

CREATE VIEW defer.settings WITH (security_barrier) AS
SELECT 'function' AS kind, f.signature AS name, NULL::name AS owner, NULL::name[] AS granted, f.paused, f.queue, f.priority, f.max_attempts, f.initial_interval,
	f.multiplier, f.max_interval, f.randomization, f.max_duration, f.discard_after, f.concurrency, f.at_limit,
	f.group_by, f.group_concurrency, f.rate, f.rate_burst, f.group_rate, f.group_rate_burst, f.group_order, f.on_group_failure,
	NULL::integer AS reserved, f.max_queued, f.group_max_queued
  FROM defer.function f WHERE defer.may_see(f.owner) OR defer.may_configure(f.signature)
UNION ALL
SELECT 'queue', d.name, pg_catalog.pg_get_userbyid(q.owner),
	CASE WHEN q.granted IS NOT NULL THEN
		ARRAY(SELECT CASE WHEN g = 0::oid THEN 'public' ELSE pg_catalog.pg_get_userbyid(g) END
				FROM pg_catalog.unnest(q.granted) WITH ORDINALITY AS r(g, n) ORDER BY r.n)
	END,
	COALESCE(q.paused, false), NULL, q.priority, q.max_attempts, q.initial_interval,
	q.multiplier, q.max_interval, q.randomization, q.max_duration, q.discard_after, q.concurrency, NULL, q.group_by, q.group_concurrency,
	q.rate, q.rate_burst, q.group_rate, q.group_rate_burst, q.group_order, q.on_group_failure, q.reserved,
	q.max_queued, q.group_max_queued
  FROM (SELECT text 'default' AS name
		UNION
		SELECT v.name FROM defer.queue v
		 WHERE defer.may_see(v.owner)
			OR EXISTS (SELECT FROM pg_catalog.unnest(v.granted) g WHERE g = 0::oid OR defer.may_see(g))) d
  LEFT JOIN defer.queue q ON q.name = d.name;
COMMENT ON VIEW defer.settings IS
	'the settings that defer.functions and defer.queues show, without their counts: kind is function or queue. NULL is the default';

CREATE FUNCTION defer.next_token(kind text, name text, group_key text DEFAULT NULL) RETURNS timestamptz
	LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_next_token';
COMMENT ON FUNCTION defer.next_token IS
	'when the next attempt may begin by the rate of a function, queue or endpoint (kind) that you may put jobs under, or of a group of one of the first two; NULL: now, or it has no rate';

CREATE FUNCTION defer.cap_state(kind text, name text, OUT unfinished integer, OUT refused bigint, OUT together integer) RETURNS record
	LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_cap_state';
COMMENT ON FUNCTION defer.cap_state(text, text) IS
	'jobs that are counted for max_queued or group_max_queued of a function or queue (kind) that you may put jobs into: unfinished ones of all roles, those of transactions that have not ended, too; refused: enqueues since the count began; together: jobs of groups that have found no room in shared memory, which are counted as one group. NULL: they are not counted yet';

CREATE VIEW defer.tasks WITH (security_barrier) AS
SELECT t.name, pg_catalog.pg_get_userbyid(t.owner) AS owner,
	ARRAY(SELECT CASE WHEN g = 0::oid THEN 'public' ELSE pg_catalog.pg_get_userbyid(g) END
			FROM pg_catalog.unnest(t.enqueue_roles) WITH ORDINALITY AS r(g, n) ORDER BY r.n) AS may_enqueue,
	ARRAY(SELECT CASE WHEN g = 0::oid THEN 'public' ELSE pg_catalog.pg_get_userbyid(g) END
			FROM pg_catalog.unnest(t.work_roles) WITH ORDINALITY AS r(g, n) ORDER BY r.n) AS may_work,
	t.schema, t.created_at
  FROM defer.task t
 WHERE defer.may_see(t.owner) OR defer.may_configure(t.name);
COMMENT ON VIEW defer.tasks IS
	'tasks that you own, or may enqueue or work on. may_enqueue, may_work: roles that have these rights besides the owner, "public" is every role. Their settings and counts are in defer.functions';

-- Under the function and in the queue: each can have settings of its own for the group
CREATE VIEW defer.groups WITH (security_barrier) AS
SELECT kind, name, group_key, COALESCE(l.scheduled, 0) AS scheduled, COALESCE(l.queued, 0) AS queued,
	COALESCE(l.running, 0) AS running, COALESCE(l.retrying, 0) AS retrying, COALESCE(l.waiting, 0) AS waiting,
	l.oldest_ready,
	CASE WHEN s.group_order = 'strict' THEN 1 ELSE NULLIF(COALESCE(g.concurrency, s.group_concurrency), -1) END AS concurrency,
	NULLIF(COALESCE(g.rate, s.group_rate), 'none') AS rate, s.group_max_queued AS max_queued,
	CASE WHEN COALESCE(g.rate, s.group_rate) IS NOT NULL THEN defer.next_token(kind, name, group_key) END AS next_token,
	COALESCE(g.paused, false) AS paused, g.reason, COALESCE(g.weight, 1) AS weight,
	CASE WHEN kind = 'queue' THEN defer.group_share(name, group_key) END AS share,
	s.group_order, g.held_since, CASE WHEN defer.may_see(g.held_owner) THEN g.held_by END AS held_by
  FROM (SELECT 'function' AS kind, j.function AS name, j.group_key,
			pg_catalog.count(*) FILTER (WHERE j.state = 'scheduled') AS scheduled,
			pg_catalog.count(*) FILTER (WHERE j.state = 'queued') AS queued,
			pg_catalog.count(*) FILTER (WHERE j.state = 'running') AS running,
			pg_catalog.count(*) FILTER (WHERE j.state = 'retrying') AS retrying,
			pg_catalog.count(*) FILTER (WHERE j.state = 'waiting') AS waiting,
			pg_catalog.min(j.run_at) FILTER (WHERE j.ready) AS oldest_ready
		  FROM defer.live_jobs j WHERE j.group_key IS NOT NULL GROUP BY j.function, j.group_key
		UNION ALL
		SELECT 'queue', j.queue, j.group_key,
			pg_catalog.count(*) FILTER (WHERE j.state = 'scheduled'),
			pg_catalog.count(*) FILTER (WHERE j.state = 'queued'),
			pg_catalog.count(*) FILTER (WHERE j.state = 'running'),
			pg_catalog.count(*) FILTER (WHERE j.state = 'retrying'),
			pg_catalog.count(*) FILTER (WHERE j.state = 'waiting'),
			pg_catalog.min(j.run_at) FILTER (WHERE j.ready)
		  FROM defer.live_jobs j WHERE j.group_key IS NOT NULL GROUP BY j.queue, j.group_key) l
  FULL JOIN (SELECT c.what AS kind, c.name, group_key, c.mine, p.concurrency, p.rate, p.paused, p.reason, p.weight,
			h.at AS held_since, h.job_id AS held_by, h.owner AS held_owner
		  FROM defer.group_setting p
		  FULL JOIN (SELECT DISTINCT ON (o.kind, o.id, o.group_key) o.kind, o.id, o.group_key, o.at, o.job_id, o.owner
				  FROM defer.group_hold o ORDER BY o.kind, o.id, o.group_key, o.at, o.job_id) h USING (kind, id, group_key)
		  JOIN (SELECT 'function' AS what, "char" 'f' AS of, f.id AS number, f.signature AS name,
					defer.may_see(f.owner) OR defer.may_configure(f.signature) AS mine FROM defer.function f
				UNION ALL
				SELECT 'queue', 'q', q.id, q.name, defer.may_see(q.owner) FROM defer.queue q) c ON c.of = kind AND c.number = id)
		g USING (kind, name, group_key)
  LEFT JOIN (SELECT 'function' AS kind, f.signature AS name, f.group_concurrency, f.group_rate, f.group_order, f.group_max_queued
		  FROM defer.function f
		UNION ALL
		SELECT 'queue', q.name, q.group_concurrency, q.group_rate, q.group_order, q.group_max_queued FROM defer.queue q) s USING (kind, name)
 WHERE l.queued IS NOT NULL OR g.mine;
COMMENT ON VIEW defer.groups IS
	'groups that have unfinished jobs of yours, and those with settings of their own that are yours or held, by function and by queue: kind says which, name is that of the function or queue. scheduled, queued, running, retrying, waiting (for other jobs): jobs as of now. oldest_ready: since when the job waits that waits longest for a worker. concurrency: its jobs at the same time, NULL without limit; rate: attempts of it that begin, NULL without limit; max_queued: its unfinished jobs, NULL without limit; next_token: when the next one may, NULL if now; paused, reason, weight: by defer.set_group(). share: of the worker time that jobs of your roles took in the last minute, beside those of other groups of the queue; queues without limits count as one; NULL: none, or not known. group_order: strict, its jobs run in the order of their ids. held_since, held_by: it waits for defer.release_group() since then, because that job has failed, NULL if you may not see that; NULL: it does not';

CREATE VIEW defer.attempts WITH (security_barrier) AS
SELECT a.job_id, a.attempt, a.started_at, a.finished_at, a.outcome, a.sqlstate, a.message, a.detail, a.hint, a.context, a.retry_at
  FROM defer.attempt a
 WHERE defer.may_see(a.owner);
COMMENT ON VIEW defer.attempts IS
	'attempts that did not succeed, of jobs you may see. outcome: failed, timed_out, crashed, conflict (serialization failure or deadlock, retried at once), snoozed, cancelled, interrupted. retry_at: when the next was to begin, NULL if there was to be none';

CREATE VIEW defer.failures WITH (security_barrier) AS
SELECT f.job_id, pg_catalog.pg_get_userbyid(f.owner) AS owner, f.function, f.fingerprint, f.failed_at,
	CASE f.closed WHEN 'r' THEN 'rerun' WHEN 't' THEN 'retried' WHEN 'a' THEN 'acknowledged' ELSE 'open' END AS state,
	f.closed_at, f.closed_by, f.note
  FROM defer.failure f
 WHERE defer.may_see(f.owner);
COMMENT ON VIEW defer.failures IS
	'failures for good of jobs you may see; of a job that was taken on again and has failed again there are several. state: what was done about it: open (nothing), rerun, retried, acknowledged; closed_at, closed_by, note: when, by which role, and what it said to defer.acknowledge()';

-- The error of the newest job stands for all of the same fingerprint
CREATE VIEW defer.errors WITH (security_barrier) AS
SELECT g.fingerprint, g.function, x.sqlstate, defer.error_pattern(x.error) AS error, g.failed, g.retrying,
	LEAST(g.first_failed, a.first_at) AS first_at, GREATEST(g.last_failed, a.last_at) AS last_at,
	g.last_id AS last_job_id, x.error AS last_error
  FROM (SELECT e.fingerprint, e.function, pg_catalog.sum(e.failed) AS failed, pg_catalog.sum(e.retrying) AS retrying,
			pg_catalog.min(e.failed_at) AS first_failed, pg_catalog.max(e.failed_at) AS last_failed,
			pg_catalog.min(e.id) FILTER (WHERE e.retrying > 0) AS first_retrying,
			pg_catalog.max(e.id) FILTER (WHERE e.retrying > 0) AS last_retrying, pg_catalog.max(e.id) AS last_id
		  FROM (SELECT f.fingerprint, f.function, 1 AS failed, 0 AS retrying, f.failed_at, f.job_id AS id
				  FROM defer.failure f WHERE f.closed IS NULL AND defer.may_see(f.owner)
				UNION ALL
				SELECT defer.error_fingerprint(j.function, j.sqlstate, j.error), j.function, 0, 1, NULL, j.id
				  FROM defer.job j
				 WHERE j.sqlstate IS NOT NULL AND j.attempt > 0 AND defer.may_see(j.owner)
				   AND (j.claim IS NULL OR NOT defer.has_ended(j.id))) e
		 GROUP BY e.fingerprint, e.function) g
  LEFT JOIN LATERAL (SELECT j.sqlstate, j.error FROM defer.job j WHERE j.id = g.last_id AND j.sqlstate IS NOT NULL
					 UNION ALL
					 SELECT h.sqlstate, h.error FROM defer.job_history h WHERE h.id = g.last_id
					 LIMIT 1) x ON true
  LEFT JOIN LATERAL (SELECT pg_catalog.min(t.finished_at) AS first_at, pg_catalog.max(t.finished_at) AS last_at
					   FROM defer.attempt t WHERE t.job_id IN (g.first_retrying, g.last_retrying)) a ON true;
COMMENT ON VIEW defer.errors IS
	'errors of jobs you may see about which nothing was done, those that are alike together. fingerprint: stands for the function, SQLSTATE and error; find_jobs(), retry_jobs(), acknowledge_jobs() and the like take it. error: of the newest job, as defer.error_pattern() writes it. failed: jobs that have failed for good; retrying: unfinished jobs whose last attempt failed so. first_at, last_at: of these failures; of retrying jobs the attempts of the oldest and the newest one count';

CREATE VIEW defer.dependencies WITH (security_barrier) AS
SELECT d.child_id AS job_id, pg_catalog.pg_get_userbyid(d.owner) AS owner, d.ord, pg_catalog.abs(d.parent_id) AS after_id,
	d.parent_id OPERATOR(pg_catalog.<) 0 AS batch,
	CASE d.after_failure WHEN 'c' THEN 'cancel' WHEN 'h' THEN 'hold' ELSE 'run' END AS after_failure,
	CASE d.state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed' WHEN 'c' THEN 'cancelled' WHEN 'd' THEN 'discarded'
		WHEN 'g' THEN 'gone' END AS state,
	d.open, d.awaits_id
  FROM defer.dependency d
 WHERE d.ord > 0 AND defer.may_see(d.owner);
COMMENT ON VIEW defer.dependencies IS
	'what jobs you may see come after. ord: the place in "after". after_id: the earlier job, or the rerun of it whose success counted. batch: it is the batch of that job, the jobs that it enqueues, that has to end. state: how that ended; NULL: it has not. open: the job still waits for it, because it has not ended, or is held because it did not succeed. awaits_id: what it waits for, by index, if open: the first of the line of reruns of the job, or the negative id of the job whose batch it is';

CREATE VIEW defer.batches WITH (security_barrier) AS
SELECT f.id AS job_id, pg_catalog.pg_get_userbyid(f.owner) AS owner, f.deep, f.done, f.jobs,
	GREATEST(f.jobs OPERATOR(pg_catalog.-) (f.succeeded OPERATOR(pg_catalog.+) f.failed OPERATOR(pg_catalog.+)
		f.cancelled OPERATOR(pg_catalog.+) f.discarded), 0) AS unfinished,
	f.succeeded, f.failed, f.cancelled, f.discarded
  FROM defer.fan_out f
 WHERE defer.may_see(f.owner);
COMMENT ON VIEW defer.batches IS
	'batches, the jobs that a job enqueues, for whose end jobs of defer.when_done() wait or have waited; of jobs you may see. job_id: the job that enqueues. deep: the jobs that these enqueue are counted, too. done: it and all jobs of the batch have ended. The other columns are numbers of jobs, of a moment ago; jobs that a worker has taken together are counted together. A batch is there as long as the history of the jobs that have waited for it';

CREATE VIEW defer.steps WITH (security_barrier) AS
SELECT s.job_id, s.ord, s.name, CASE s.kind WHEN 's' THEN 'step' WHEN 't' THEN 'now' WHEN 'r' THEN 'random'
		WHEN 'z' THEN 'sleep' WHEN 'j' THEN 'wait_job' WHEN 'a' THEN 'step_all' WHEN 'h' THEN 'request' ELSE 'wait_event' END AS kind,
	CASE WHEN s.finished_at IS NULL THEN 'waiting' ELSE 'done' END AS state,
	s.result, s.started_at, s.finished_at, s.awaits,
	NULLIF(s.until, 'infinity') AS until
  FROM defer.step s
 WHERE defer.may_see(s.owner);
COMMENT ON VIEW defer.steps IS
	'steps of procedures, of jobs you may see, as long as these are known. ord: the order in which the procedure came to them. kind: step (defer.step, defer.begin_step), now, random, sleep, wait_job, step_all, request, wait_event. state: done, or waiting. result: what it returns. awaits: what a wait is for, the id of a job, the number of jobs, or the name of an event. until: when it ends, at the latest. A step that has begun and not been completed has no row';

CREATE VIEW defer.workflows WITH (security_barrier) AS
SELECT w.id, w.name, pg_catalog.pg_get_userbyid(w.owner) AS owner,
	CASE h.state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed' WHEN 'c' THEN 'cancelled' WHEN 'd' THEN 'discarded'
		ELSE 'running' END AS state,
	n.steps, n.unfinished, n.succeeded, n.skipped, n.failed, n.cancelled, w.created_at, h.finished_at, h.error, h.result, w.args, w.retry_of, w.parent_id
  FROM defer.workflow w
 CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS steps, pg_catalog.count(*) FILTER (WHERE d.open) AS unfinished,
			pg_catalog.count(*) FILTER (WHERE d.state = 's' AND NOT s.skipped) AS succeeded,
			pg_catalog.count(*) FILTER (WHERE d.state = 's' AND s.skipped) AS skipped,
			pg_catalog.count(*) FILTER (WHERE d.state IN ('f', 'd')) AS failed,
			pg_catalog.count(*) FILTER (WHERE d.state = 'c') AS cancelled
		  FROM defer.dependency d LEFT JOIN defer.workflow_step s ON s.workflow_id = d.child_id AND s.ord = d.ord
		 WHERE d.child_id = w.id AND d.ord > 0) n
  LEFT JOIN LATERAL (SELECT x.state, x.finished_at, x.error, x.result FROM defer.job_history x WHERE x.id = w.id OFFSET 0) h ON true
 WHERE defer.may_see(w.owner);
COMMENT ON VIEW defer.workflows IS
	'workflows you may see, by defer.workflow(). id: also that of a job. state: running, succeeded, failed, cancelled. steps: how many there are; unfinished, succeeded, skipped (their condition was not met), failed (or discarded), cancelled (also those that were left out because of an earlier one): how many of them. error: the first step that has failed it, and why. result: an object with the results of the steps that no other comes after, NULL if they are larger than defer.max_payload together. retry_of: the workflow that this is another run of. parent_id: the job that has started it; that of a step, if it is one of another workflow. A workflow is there as long as the history of its job';

CREATE VIEW defer.workflow_steps WITH (security_barrier) AS
SELECT s.workflow_id, s.ord, s.name, s.function, s.job_id,
	ARRAY(SELECT p.name FROM defer.workflow_step p WHERE p.workflow_id = s.workflow_id AND p.ord = ANY (s.after) ORDER BY p.ord) AS after,
	CASE s.on_failure WHEN 's' THEN 'skip' WHEN 'r' THEN 'run' ELSE 'fail' END AS on_failure,
	CASE WHEN s.skipped THEN 'skipped'
		ELSE COALESCE(j.state, CASE d.state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed' WHEN 'c' THEN 'cancelled' WHEN 'd' THEN 'discarded' ELSE 'gone' END)
	END AS state,
	j.started_at, j.finished_at, j.error, COALESCE(j.result, d.result) AS result, j.parent_id IS DISTINCT FROM s.workflow_id AND j.id IS NOT NULL AS kept,
	s.definition,
	CASE WHEN s.function IN ('defer.http', 'defer.email', 'defer.command', 'defer.workflow') THEN pg_catalog.substr(s.function, 7) ELSE 'function' END AS kind,
	COALESCE(pg_catalog.jsonb_typeof(s.definition -> 'for_each') <> 'null', false) AS for_each, n.jobs, n.unfinished_jobs
  FROM defer.workflow_step s
  LEFT JOIN defer.jobs j ON j.id = s.job_id
  LEFT JOIN defer.dependency d ON d.child_id = s.workflow_id AND d.ord = s.ord
 CROSS JOIN LATERAL (SELECT COALESCE((SELECT pg_catalog.split_part(t.awaits, ' ', 1)::bigint FROM defer.step t
				WHERE t.job_id = s.job_id AND t.name = 'jobs' AND (s.function = 'defer.workflow' OR s.definition ? 'for_each')), 0) AS jobs,
			(SELECT pg_catalog.count(*) FROM defer.dependency o WHERE o.child_id = s.job_id AND o.open AND o.ord < 0) AS unfinished_jobs) n
 WHERE defer.may_see(s.owner);
COMMENT ON VIEW defer.workflow_steps IS
	'steps of workflows you may see. ord: its place in the description. job_id: its job. after: the steps that it comes after, those of its references, too. state: that of its job; skipped: its condition was not met; gone: its history is. kept: an earlier run of the workflow has done it, see defer.retry_workflow(). definition: as it was given, with functions as signatures. kind: what it does, of function, http, email, command and workflow. for_each: it makes a job for each element of an array. jobs, unfinished_jobs: how many it has made, by for_each or as a workflow, once its own job has begun: their parent_id is job_id';

CREATE VIEW defer.events WITH (security_barrier) AS
SELECT pg_catalog.pg_get_userbyid(e.owner) AS owner, e.name, e.payload, e.at
  FROM defer.event e
 WHERE defer.may_see(e.owner);
COMMENT ON VIEW defer.events IS
	'events of roles that you may see, of the last defer.event_retention: by defer.emit()';

CREATE VIEW defer.event_grants WITH (security_barrier) AS
SELECT pg_catalog.pg_get_userbyid(g.owner) AS owner, g.prefix, pg_catalog.pg_get_userbyid(g.grantee) AS grantee
  FROM defer.event_grant g
 WHERE defer.may_see(g.owner) OR defer.may_see(g.grantee);
COMMENT ON VIEW defer.event_grants IS
	'who may emit events of another role, by the beginning of their names: by defer.grant_event(). What you may see of both roles';

CREATE VIEW defer.logs WITH (security_barrier) AS
SELECT l.job_id, l.attempt, l.at, l.level, l.message
  FROM defer.log l
 WHERE defer.may_see(l.owner)
UNION ALL
SELECT r.job_id, r.attempt, r.at, r.level, r.message
  FROM defer.live_logs() r
 WHERE NOT EXISTS (SELECT FROM defer.log l WHERE l.job_id = r.job_id AND l.at = r.at);
COMMENT ON VIEW defer.logs IS
	'what jobs you may see said: RAISE NOTICE and above, and defer.log(). Also while they run, and of attempts that failed';

CREATE VIEW defer.schedules WITH (security_barrier) AS
SELECT s.id, s.name, s.function, s.schedule, defer.schedule_description(s.schedule) AS description, s.timezone,
	pg_catalog.pg_get_userbyid(s.owner) AS owner,
	s.active, s.overlap, s.catch_up, s.last_run_at,
	COALESCE((SELECT l.state
				FROM defer.live_jobs l
			   WHERE l.schedule_id = s.id
			   ORDER BY l.id DESC LIMIT 1),
			 (SELECT CASE h.state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
						WHEN 'c' THEN 'cancelled' WHEN 'd' THEN 'discarded' END
				FROM defer.job_history h
			   WHERE h.schedule_id = s.id AND h.finished_at >= s.last_run_at
			   ORDER BY h.id DESC LIMIT 1)) AS last_state,
	CASE WHEN s.active THEN s.next_run_at END AS next_run_at,
	CASE WHEN s.active THEN
		(SELECT pg_catalog.array_agg(n.at ORDER BY n.place)
		   FROM pg_catalog.unnest(defer.schedule_next_runs(s.schedule, s.timezone,
				GREATEST(pg_catalog.statement_timestamp(), s.starts_at - interval '1 microsecond'), 5))
				WITH ORDINALITY AS n (at, place)
		  WHERE (s.ends_at IS NULL OR n.at < s.ends_at)
			AND (s.max_runs IS NULL OR n.place <= s.max_runs - s.runs))
	END AS next_runs,
	CASE WHEN s.kind = 'c' THEN s.command END AS command, s.catch_up_window, s.jitter, s.queue, s.priority, s.group_key, s.last_error, s.created_at,
	s.starts_at, s.ends_at, s.max_runs, s.runs, s.pause_after_failures, s.failures,
	s.paused_at, s.paused_by, s.pause_reason, s.when_done,
	CASE WHEN s.kind = 'w' THEN s.command::jsonb END AS workflow
  FROM defer.schedule s
 WHERE defer.may_see(s.owner);
COMMENT ON VIEW defer.schedules IS
	'the schedules you may see. description: in English. last_state: state of the last run''s job. next_run_at: with the schedule''s jitter. next_runs: the next five times, without jitter; NULL when the schedule is not active. last_error: why it does not go on, if it does not. runs: how many its times have started. failures: failed runs in a row, counted if pause_after_failures is set. paused_at, paused_by, pause_reason: since when it is not active, by whom (NULL: by defer, as it has ended or its runs have failed) and why. when_done: the function that is run when a run and all jobs that it has enqueued have ended. workflow: an object with the steps, as "workflow", and args of a schedule of defer.cron_workflow()';

CREATE VIEW defer.endpoints WITH (security_barrier) AS
SELECT e.name, e.kind, defer.endpoint_address(e.url) AS address,
	pg_catalog.pg_get_userbyid(e.owner) AS owner,
	ARRAY(SELECT CASE WHEN g = 0::oid THEN 'public' ELSE pg_catalog.pg_get_userbyid(g) END
			FROM pg_catalog.unnest(e.granted) WITH ORDINALITY AS r(g, n) ORDER BY r.n) AS granted, e.sender,
	e.headers IS NOT NULL AS has_headers, e.username IS NOT NULL AS has_username,
	e.password IS NOT NULL AS has_password, e.secret IS NOT NULL AS has_secret, e.created_at,
	CASE WHEN e.paused_until > pg_catalog.statement_timestamp() THEN e.paused_until END AS paused_until,
	e.concurrency, NULLIF(e.rate, 'none') AS rate, e.rate_burst,
	CASE WHEN e.concurrency IS NOT NULL OR e.rate IS NOT NULL THEN defer.endpoint_places(e.name) END AS running,
	CASE WHEN e.rate IS NOT NULL THEN defer.next_token('endpoint', e.name) END AS next_token
  FROM defer.endpoint e
 WHERE defer.may_see(e.owner)
	OR EXISTS (SELECT FROM pg_catalog.unnest(e.granted) g WHERE g = 0::oid OR defer.may_see(g));
COMMENT ON VIEW defer.endpoints IS
	'endpoints that you own or may send with. address: scheme and host, the rest of the URL is not shown. granted: roles that may send with it, "public" is every role. paused_until: its server has answered 429 with Retry-After, and nothing is sent before that; NULL: it is not paused. concurrency: deliveries at the same time, rate: deliveries that begin, NULL without limit. running: deliveries of all roles that have a place under these limits, NULL without. next_token: when the next may begin by the rate, NULL if now';

CREATE VIEW defer.alerts WITH (security_barrier) AS
SELECT a.name, pg_catalog.pg_get_userbyid(a.owner) AS owner, a.endpoint, a.recipients, a.states AS on_states, a.function, a.group_window, a.recovered,
	a.show_args, a.schedules, a.backlog, a.workers, a.retries, a.step_waits, a.created_at, a.last_sent_at,
	(SELECT pg_catalog.count(*) FROM defer.alert_event e WHERE e.alert_id = a.id) AS unsent,
	ARRAY(SELECT DISTINCT f.subject FROM defer.alert_failing f WHERE f.alert_id = a.id ORDER BY f.subject) AS failing
  FROM defer.alert a
 WHERE defer.may_see(a.owner);
COMMENT ON VIEW defer.alerts IS
	'the alerts you may see. unsent: events that are collected for the next message. failing: functions and conditions that the alert has had an event about and that have not recovered since';

-- Finished jobs by hour: those that are added up, those that are not yet, and those
-- whose rows are still in the batch of a worker, which counts them with its next claim.
-- Nobody is granted this: the views below ask who may see what.
CREATE VIEW defer.job_counts WITH (security_barrier) AS
SELECT r.hour, r.owner, r.function, r.queue, r.succeeded, r.failed, r.cancelled, r.discarded, r.begun, r.microseconds,
	r.durations, r.first_id, r.last_id
  FROM defer.job_rollup r
UNION ALL
SELECT u.hour, u.owner, u.function, u.queue,
	CASE WHEN u.state = 's' THEN u.jobs ELSE 0 END, CASE WHEN u.state = 'f' THEN u.jobs ELSE 0 END,
	CASE WHEN u.state = 'c' THEN u.jobs ELSE 0 END, CASE WHEN u.state = 'd' THEN u.jobs ELSE 0 END,
	CASE WHEN u.class >= 0 THEN u.jobs ELSE 0 END, u.microseconds,
	defer.durations(u.class, u.jobs), u.first_id, u.last_id
  FROM (SELECT n.hour, n.owner, pg_catalog.unnest(n.functions) AS function, pg_catalog.unnest(n.queues) AS queue,
			pg_catalog.unnest(n.states) AS state, pg_catalog.unnest(n.classes) AS class, pg_catalog.unnest(n.jobs) AS jobs,
			pg_catalog.unnest(n.microseconds) AS microseconds, pg_catalog.unnest(n.first_ids) AS first_id,
			pg_catalog.unnest(n.last_ids) AS last_id
		  FROM defer.job_rollup_new n) u
UNION ALL
SELECT pg_catalog.date_trunc('hour', h.finished_at, 'UTC'), h.owner, h.function, h.queue,
	(h.state = 's')::integer, (h.state = 'f')::integer, (h.state = 'c')::integer, (h.state = 'd')::integer,
	(t.duration IS NOT NULL)::integer, COALESCE((pg_catalog.date_part('epoch', t.duration) * 1000000)::bigint, 0),
	defer.durations(COALESCE(defer.duration_class(t.duration), -1), 1), h.id, h.id
  FROM (SELECT DISTINCT i.id FROM defer.claim c CROSS JOIN LATERAL pg_catalog.unnest(c.jobs) i(id)) i
 -- each looked up by index, whatever the planner thinks that there are
 CROSS JOIN LATERAL (SELECT j.id FROM defer.job j WHERE j.id = i.id AND j.claim IS NOT NULL OFFSET 0) j
 CROSS JOIN LATERAL (SELECT x.* FROM defer.job_history x WHERE x.id = j.id OFFSET 0) h
 CROSS JOIN LATERAL (SELECT COALESCE(h.finished_at - h.started_at, CASE WHEN h.first_started_at IS NOT NULL THEN interval '0' END)
			+ COALESCE(h.earlier_time, 0) * interval '1 microsecond' AS duration) t;
COMMENT ON VIEW defer.job_counts IS
	'finished jobs of all roles, counted by hour of finish, owner, function and queue, in several rows each';

CREATE VIEW defer.job_hours WITH (security_barrier) AS
SELECT c.hour, pg_catalog.pg_get_userbyid(c.owner) AS owner, c.function, c.queue,
	pg_catalog.sum(c.succeeded)::bigint AS succeeded, pg_catalog.sum(c.failed)::bigint AS failed,
	pg_catalog.sum(c.cancelled)::bigint AS cancelled, pg_catalog.sum(c.discarded)::bigint AS discarded,
	defer.sum_durations(c.durations) AS durations
  FROM defer.job_counts c
 WHERE defer.may_see(c.owner)
 GROUP BY c.hour, c.owner, c.function, c.queue;
COMMENT ON VIEW defer.job_hours IS
	'finished jobs you may see, by the hour in which they ended, owner, function and queue: exact, at once, and as long as the history. durations: of those that have begun, for defer.sum_durations() and defer.duration_percentile()';

CREATE VIEW defer.statistics WITH (security_barrier) AS
SELECT pg_catalog.pg_get_userbyid(s.owner) AS owner, s.function, s.queue, s.succeeded, s.failed, s.cancelled, s.discarded, s.skipped_ticks,
	s.attempts_failed, s.attempts_timed_out, s.attempts_crashed, s.attempts_conflict, s.attempts_snoozed,
	s.attempts_interrupted, s.attempts_cancelled, s.durations, s.duration_seconds, s.delays, s.delay_seconds
  FROM defer.job_statistics() s;
COMMENT ON VIEW defer.statistics IS
	'what has ended since the server was started, by role, function and queue; at once, however long the history is. The counters only grow, and begin anew with the server. skipped_ticks: times of schedules at which no job ran. attempts_*: attempts that did not succeed. durations, delays: how many jobs, by the bounds of defer.statistics_bounds(), took so long in their last attempt, and waited so long for it; *_seconds: their sums. An empty function: those of functions that found no room';

CREATE VIEW defer.workers WITH (security_barrier) AS
SELECT p.pid, p.kind, d.datname AS database, pg_catalog.pg_get_userbyid(p.role) AS role, p.job_id, j.function, p.since,
	NULL::text AS name, NULL::text AS host, NULL::text[] AS tasks, NULL::bigint AS leases, NULL::timestamptz AS last_seen
  FROM defer.processes() p
  LEFT JOIN pg_catalog.pg_database d ON d.oid = p.database
  LEFT JOIN defer.job j ON j.id = p.job_id AND d.datname = pg_catalog.current_database()
UNION ALL
SELECT pg_catalog.min(o.pid), 'outside', pg_catalog.current_database(), pg_catalog.pg_get_userbyid(o.role), NULL, NULL,
	pg_catalog.min(o.since), o.worker, o.host,
	pg_catalog.array_agg(DISTINCT COALESCE(j.function, f.signature)) FILTER (WHERE COALESCE(j.function, f.signature) IS NOT NULL),
	pg_catalog.count(o.job_id), pg_catalog.max(o.last_seen)
  FROM defer.outside_workers() o
  LEFT JOIN defer.job j ON j.id = o.job_id
  LEFT JOIN defer.function f ON f.id = ANY (o.tasks)
 GROUP BY o.role, o.worker, o.host;
COMMENT ON VIEW defer.workers IS
	'the processes of defer on the whole server: kind is launcher, scheduler, worker or sender; and, kind outside, workers of tasks of this database that hold jobs or wait in defer.wait_for_work(). since: when the job, or else the present state, began. function: NULL for jobs of other databases. Of outside workers: name, as they give it, host, tasks and leases, how many jobs they hold; last_seen, when one of their calls was about these, NULL: not since the server was started; pid, if a session waits. Superusers and members of pg_monitor see all, others the workers of their own roles';

CREATE VIEW defer.bulk_jobs WITH (security_barrier) AS
SELECT b.job_id, pg_catalog.pg_get_userbyid(b.owner) AS owner, b.action, b.force, b.run_at,
	b.matched, b.done, b.left_alone, b.created_at
  FROM defer.bulk b
 WHERE defer.may_see(b.owner);
COMMENT ON VIEW defer.bulk_jobs IS
	'commands of defer.cancel_jobs() and its like on more than 10000 jobs that are in progress: the job that deals with them, how many there are, how many it has dealt with, and how many it has left as they were. When it has ended the counts are the job''s result';

CREATE VIEW defer.backfills WITH (security_barrier) AS
SELECT b.id, s.name AS schedule, b.schedule_id, pg_catalog.pg_get_userbyid(b.owner) AS owner,
	b.since, b.until, b.overlap, b.priority, b.runs, b.enqueued, b.created_at, b.created_by, b.rate
  FROM defer.backfill b LEFT JOIN defer.schedule s ON s.id = b.schedule_id
 WHERE defer.may_see(b.owner);
COMMENT ON VIEW defer.backfills IS
	'backfills in progress of schedules you may see: runs, how many there are to be; enqueued, how many have been. One is gone when all of its runs have been enqueued';
