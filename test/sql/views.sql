-- What the views show of jobs in every state, and how they are planned
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE SCHEMA views;
CREATE TABLE views.gate (open boolean);

CREATE FUNCTION views.wait_until(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  good boolean;
BEGIN
  FOR i IN 1..18000 LOOP
    EXECUTE 'SELECT ' || condition INTO good;
    IF good THEN RETURN 'ok'; END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN 'waited in vain';
END $$;

SELECT defer.version();
-- The columns that people rely on, in this order
SELECT c.relname, string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
 WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind = 'v' GROUP BY c.relname ORDER BY 1;

-- A job in each state
CREATE FUNCTION views.add(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT a + b';
CREATE FUNCTION views.fail(text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'about to fail';
  RAISE EXCEPTION 'no: %', $1 USING ERRCODE = 'DF999', DETAIL = 'the detail', HINT = 'the hint';
END $$;
CREATE FUNCTION views.wait() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM defer.progress(0.25);
  WHILE NOT EXISTS (SELECT FROM views.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
END $$;
CREATE FUNCTION views.tick() RETURNS text LANGUAGE sql AS 'SELECT text ''ticked''';
SELECT defer.configure('views.fail', max_attempts => 1);
SELECT defer.configure('views.add', max_attempts => 7, priority => -2);
SELECT defer.cron('views.tick', '0 0 29 2 *', name => 'views leap', timezone => 'Europe/Paris') IS NOT NULL AS scheduled;

SELECT defer.enqueue('views.add', '{"a": 1}', metadata => '{"of": "views"}', key => 'views key') AS succeeded \gset
SELECT defer.enqueue('views.fail', '["x"]') AS failed \gset
SELECT defer.enqueue('views.fail', '["y"]', max_attempts => 3, initial_interval => '1 hour') AS retrying \gset
SELECT defer.enqueue('views.add', '[1, 2]', delay => '1 day') AS scheduled \gset
SELECT defer.enqueue('views.add', '[3]', delay => '1 day') AS cancelled \gset
SELECT defer.cancel(:cancelled);
SELECT defer.trigger('views leap') AS ticked \gset
SELECT defer.enqueue('views.wait') AS running \gset
SELECT views.wait_until(format($$ (SELECT count(*) FROM defer.jobs
   WHERE id IN (%s, %s, %s, %s) AND state IN ('succeeded', 'failed', 'retrying') AND attempt > 0) = 4 $$,
   :succeeded, :failed, :retrying, :ticked));
SELECT views.wait_until(format($$ (SELECT progress > 0 FROM defer.jobs WHERE id = %s) $$, :running));
SELECT defer.pause('views.add');
SELECT defer.enqueue('views.add', '[4]') AS queued \gset

SELECT function, args, state, queue, priority, attempt, max_attempts, result, error, sqlstate, key, metadata, schedule,
       progress
  FROM defer.jobs WHERE id >= :succeeded AND function LIKE 'views.%' ORDER BY id;
-- Times: which are there, and in which order
SELECT state, enqueued_at <= started_at AS started, started_at <= finished_at AS finished,
       duration = finished_at - started_at AS duration, duration >= '0' AS positive, pid IS NOT NULL AS pid,
       run_at > now() AS in_future, owner = current_user AS mine, discard_at IS NULL AS no_discard, parent_id
  FROM defer.jobs WHERE id >= :succeeded AND function LIKE 'views.%' ORDER BY id;
SELECT attempt, outcome, sqlstate, message, detail, hint, context, retry_at > finished_at AS retried
  FROM defer.attempts WHERE job_id IN (:failed, :retrying) ORDER BY job_id, attempt;
SELECT attempt, level, message FROM defer.logs WHERE job_id IN (:failed, :retrying) ORDER BY job_id, at;
SELECT name, function, schedule, description, timezone, active, overlap, catch_up, last_state,
       next_run_at = next_runs[1] AS next, array_length(next_runs, 1) AS next_runs
  FROM defer.schedules WHERE name = 'views leap';
SELECT function, priority, max_attempts, paused, scheduled, queued, running, retrying, succeeded, failed, cancelled, discarded,
       oldest_ready <= now() AS oldest_ready, avg_duration IS NOT NULL AS avg, median_duration <= p95_duration AS percentiles
  FROM defer.functions WHERE function LIKE 'views.%' ORDER BY function;
SELECT queue, paused, scheduled > 0 AS scheduled, queued > 0 AS queued, running > 0 AS running, retrying > 0 AS retrying,
       succeeded > 0 AS succeeded, failed > 0 AS failed, cancelled > 0 AS cancelled, oldest_ready <= now() AS oldest_ready
  FROM defer.queues WHERE queue = 'default';
SELECT kind, database = current_database() AS here, role, w.job_id = :running AS job, function, since <= clock_timestamp() AS since
  FROM defer.workers w WHERE kind = 'worker' AND job_id = :running;
SELECT kind, count(*) FROM defer.workers
 WHERE kind = 'launcher' OR (kind = 'scheduler' AND database = current_database()) GROUP BY kind ORDER BY kind;
SELECT severity, finding, hint FROM defer.health WHERE finding LIKE '%views.%' ORDER BY finding;
SELECT function, sqlstate, error, failed, retrying, last_error FROM defer.errors WHERE function LIKE 'views.%' ORDER BY function, failed;
-- In a database that works nothing is said of servers and processes
SELECT severity, finding, hint FROM defer.health WHERE severity = 'error';

-- Each job is shown once, also while it sits, ended, in a worker's batch
CREATE FUNCTION views.nothing(int) RETURNS void LANGUAGE sql AS '';
SELECT count(defer.enqueue('views.nothing', to_jsonb(ARRAY[i]))) FROM generate_series(1, 2000) i;
DO $$
DECLARE
  n bigint;
  ids bigint;
  ended bigint;
BEGIN
  FOR i IN 1..18000 LOOP
    SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE state = 'succeeded') INTO n, ids, ended
      FROM defer.jobs WHERE function = 'views.nothing(integer)';
    IF n <> 2000 OR ids <> 2000 THEN
      RAISE EXCEPTION '% rows, % jobs', n, ids;
    END IF;
    EXIT WHEN ended = 2000;
  END LOOP;
  IF ended <> 2000 THEN RAISE EXCEPTION 'only % have ended', ended; END IF;
END $$;

-- A schedule that cannot be read does not keep anybody from seeing the others
BEGIN;
UPDATE defer.schedule SET schedule = '61 * * * *' WHERE name = 'views leap';
SELECT name, description, next_runs FROM defer.schedules WHERE name = 'views leap';
UPDATE defer.schedule SET schedule = '0 8 * * 1', timezone = 'Nowhere/City', last_error = 'no such zone' WHERE name = 'views leap';
SELECT name, description, next_runs FROM defer.schedules WHERE name = 'views leap';
SELECT severity, finding, regexp_replace(hint, '[0-9]+', 'ID', 'g') AS hint FROM defer.health WHERE finding LIKE '%views leap%';
ROLLBACK;

-- What C says when it is called directly with odd values
SELECT defer.may_see(NULL), defer.may_see(0), defer.has_ended(NULL), defer.has_ended(-1), defer.may_configure('gone()'),
       defer.schedule_description('no'), defer.schedule_next_runs('no', 'UTC', now(), 1),
       defer.schedule_next_runs('* * * * *', 'UTC', 'infinity', 1),
       defer.schedule_next_runs('* * * * *', 'UTC', '2000-01-01 00:00+00', 0);
SELECT defer.schedule_next_runs('* * * * *', 'UTC', now(), -1);
SELECT defer.schedule_next_runs('* * * * *', 'UTC', now(), 2147483647);
SELECT defer.schedule_next_runs('0 12 * * *', 'Europe/Paris', '1969-12-31 23:59:59.5+00', 2)
     = '{1970-01-01 11:00+00, 1970-01-02 11:00+00}' AS before_1970;

-- One job, and the last ones, are found by index; by which kind of scan depends on
-- whether autovacuum has been there
SET enable_seqscan = off;
SET enable_bitmapscan = off;
CREATE FUNCTION views.plan(sql text) RETURNS TABLE (node text) LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT json) ' || sql INTO plan;
  RETURN QUERY SELECT DISTINCT n #>> '{}' FROM jsonb_path_query(plan,
    'strict $.** ? (exists (@."Relation Name") && (@."Relation Name" starts with "job" || @."Relation Name" starts with "attempt"
       || @."Relation Name" starts with "log"))."Node Type"') n
  UNION SELECT DISTINCT n #>> '{}' FROM jsonb_path_query(plan, 'strict $.** ? (@."Node Type" == "Merge Append")."Node Type"') n
  ORDER BY 1;
END $$;
SELECT * FROM views.plan('SELECT * FROM defer.jobs WHERE id = 5');
SELECT * FROM views.plan('SELECT * FROM defer.jobs ORDER BY id DESC LIMIT 20');
SELECT * FROM views.plan('SELECT * FROM defer.jobs WHERE id < 1000 ORDER BY id DESC LIMIT 20');
SELECT * FROM views.plan('SELECT * FROM defer.attempts WHERE job_id = 5');
SELECT * FROM views.plan('SELECT * FROM defer.logs WHERE job_id = 5');
RESET enable_seqscan;
RESET enable_bitmapscan;

-- Clean up
INSERT INTO views.gate VALUES (true);
SELECT views.wait_until(format($$ (SELECT state = 'succeeded' FROM defer.jobs WHERE id = %s) $$, :running));
SELECT defer.unschedule('views leap');
SELECT defer.resume('views.add');
SELECT count(defer.cancel(id)) >= 2 AS cancelled FROM defer.jobs
 WHERE function LIKE 'views.%' AND state IN ('scheduled', 'retrying', 'queued');
SELECT views.wait_until($$ NOT EXISTS (SELECT FROM defer.jobs WHERE function LIKE 'views.%'
   AND state NOT IN ('succeeded', 'failed', 'cancelled', 'discarded')) $$);
DROP SCHEMA views CASCADE;

-- A second row in defer.installation, as a subscription would bring it: nothing fires
BEGIN;
SELECT active FROM defer.server_state();
INSERT INTO defer.installation (id, database) SELECT i.id, 1 FROM (SELECT gen_random_uuid() AS id) i;
SELECT active FROM defer.server_state();
DELETE FROM defer.installation WHERE database = 1;
WITH mine AS (DELETE FROM defer.installation RETURNING *),
	theirs AS (INSERT INTO defer.installation (id, database) SELECT gen_random_uuid(), 1)
INSERT INTO defer.installation (id, database) SELECT id, database FROM mine;
SELECT active FROM defer.server_state();
ROLLBACK;
SELECT active FROM defer.server_state();
