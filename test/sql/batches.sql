-- Jobs that begin when a batch is over: defer.when_done, when_done, defer.batch
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE batches_owner LOGIN;
CREATE ROLE batches_other LOGIN;
CREATE SCHEMA batches AUTHORIZATION batches_owner;
GRANT USAGE ON SCHEMA batches TO batches_other;
GRANT USAGE ON SCHEMA defer TO batches_owner, batches_other;
SET search_path = batches, public;

SET ROLE batches_owner;
CREATE TABLE gate (open text);
CREATE TABLE ran (job bigint, what text, counts text);
CREATE FUNCTION child(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF what = 'bad' THEN
    RAISE EXCEPTION 'no luck';
  ELSIF what LIKE 'gate%' THEN
    WHILE NOT EXISTS (SELECT FROM batches.gate WHERE open = what) LOOP PERFORM pg_sleep(0.01); END LOOP;
  ELSIF what = 'deeper' THEN
    PERFORM defer.enqueue('batches.child', '["gate of a child"]');
  END IF;
END $$;
SELECT defer.configure('child', max_attempts => 1);
CREATE FUNCTION report(what text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  said text := (SELECT string_agg(b.state || ' ' || b.jobs, ', ' ORDER BY b.state) FROM defer.batch() b WHERE b.jobs > 0);
BEGIN
  INSERT INTO batches.ran VALUES (defer.current_job(), what, said);
  RETURN (SELECT string_agg(i.state, ',') FROM defer.inputs() i) || ': ' || COALESCE(said, 'empty');
END $$;

-- Waits until the job is in that state, three minutes at most
CREATE FUNCTION until(job bigint, wanted text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  is_now text;
BEGIN
  FOR i IN 1..18000 LOOP
    SELECT state INTO is_now FROM defer.jobs WHERE id = job;
    EXIT WHEN is_now = wanted;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN is_now;
END $$;
-- The callbacks of a job: their states and results, once they and the job have ended
CREATE FUNCTION ended(job bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..18000 LOOP
    EXIT WHEN EXISTS (SELECT FROM defer.jobs WHERE id = job AND finished_at IS NOT NULL);
    PERFORM pg_sleep(0.01);
  END LOOP;
END $$;
CREATE FUNCTION reported(of bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  callback bigint;
BEGIN
  PERFORM batches.ended(of);
  FOR callback IN SELECT d.job_id FROM defer.dependencies d WHERE d.after_id = of AND d.batch ORDER BY 1 LOOP
    PERFORM batches.ended(callback);
    RETURN QUERY SELECT concat_ws(': ', j.state, j.result #>> '{}', regexp_replace(j.error, '\d+', 'N', 'g')) FROM defer.jobs j WHERE j.id = callback;
  END LOOP;
END $$;
-- Errors with the jobs' numbers taken out
CREATE FUNCTION error_of(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text;
  message text;
BEGIN
  EXECUTE sql;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
  RETURN state || ': ' || regexp_replace(message, '\d+', 'N', 'g');
END $$;

-- A fan-out that says so at its end; one of its jobs fails, one is cancelled, one waits
CREATE FUNCTION fan_out() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  id bigint;
BEGIN
  FOR i IN 1..20 LOOP
    PERFORM defer.enqueue('batches.child', '["good"]');
  END LOOP;
  PERFORM defer.enqueue('batches.child', '["bad"]');
  id := defer.enqueue('batches.child', '["never"]', delay => '1 day');
  PERFORM defer.cancel(id);
  PERFORM defer.enqueue('batches.child', '["good"]', after => ARRAY[id]);
  BEGIN
    PERFORM defer.enqueue('batches.child', '["rolled back"]');
    RAISE EXCEPTION 'take it back';
  EXCEPTION WHEN raise_exception THEN NULL;
  END;
  BEGIN
    PERFORM defer.enqueue('batches.child', '["gate"]');
  EXCEPTION WHEN raise_exception THEN NULL;
  END;
  PERFORM defer.when_done('batches.report', '["end"]');
  PERFORM defer.when_done('batches.report', '["again"]', on_states => '{succeeded,failed}');
  PERFORM defer.when_done('batches.report', '["not this"]', on_states => '{failed,cancelled}');
END $$;
SELECT defer.enqueue('fan_out') AS id \gset
SELECT until(:id, 'succeeded');
SELECT d.job_id AS waits FROM defer.dependencies d WHERE d.after_id = :id AND d.batch ORDER BY 1 LIMIT 1 \gset
DO $$ BEGIN WHILE (SELECT b.jobs <> 24 OR b.failed + b.cancelled <> 3 FROM defer.batches b ORDER BY job_id DESC LIMIT 1) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT b.done, b.deep, b.owner, b.jobs, b.unfinished > 0 AS unfinished, b.succeeded < 21 AS succeeded, b.failed, b.cancelled, b.discarded FROM defer.batches b WHERE b.job_id = :id;
SELECT reason, regexp_replace(detail, '\d+', 'N', 'g') AS detail, until FROM defer.why(:waits);
SELECT ord, after_id = :id AS of, batch, state, open FROM defer.dependencies WHERE job_id = :waits ORDER BY ord;
INSERT INTO gate VALUES ('gate');
SELECT reported(:id);
SELECT what, counts FROM ran ORDER BY what;
SELECT done, unfinished FROM defer.batches WHERE job_id = :id;

-- A fan-out of none is done at once; one that fails has enqueued none
CREATE FUNCTION empty(fail boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM defer.enqueue('batches.child', '["gate that stays shut"]') WHERE fail;
  IF fail THEN RAISE EXCEPTION 'failed'; END IF;
END $$;
SELECT defer.configure('empty', max_attempts => 1);
SELECT defer.enqueue('empty', '[false]', when_done => 'report') AS id \gset
SELECT reported(:id);
SELECT defer.enqueue('empty', '[true]', when_done => 'batches.report') AS id \gset
SELECT reported(:id);
SELECT defer.enqueue('empty', '[false]', delay => '1 day', when_done => 'batches.report') AS id \gset
SELECT defer.cancel(:id);
SELECT reported(:id);
-- in each function that has the options
SELECT defer.command('SELECT 1', when_done => 'report') AS id \gset
SELECT reported(:id);
SELECT id FROM defer.enqueue_one('empty', '[false]', when_done => 'report') \gset
SELECT reported(:id);
SELECT m.id FROM defer.enqueue_many('empty', '[{"args": [false], "when_done": "report"}]') m \gset
SELECT reported(:id);
-- a job that has ended at once because of another one
SELECT defer.enqueue('empty', '[false]', after => ARRAY[defer.enqueue('empty', '[false]', delay => '1 day')]) AS id \gset
SELECT defer.cancel(:id);
SELECT defer.enqueue('empty', '[false]', after => ARRAY[:id], when_done => 'report') AS id \gset
SELECT reported(:id);
-- a key that a job has: nothing is enqueued
SELECT defer.enqueue('empty', '[false]', key => 'k', delay => '1 day') AS first \gset
SELECT defer.enqueue('empty', '[false]', key => 'k', when_done => 'report') = :first AS kept;
SELECT count(*) FROM defer.dependencies WHERE after_id = :first;

-- Of another job: before it begins, with the jobs of its jobs
CREATE FUNCTION outer_one() RETURNS void LANGUAGE sql AS
  $$ SELECT defer.enqueue('batches.child', '["deeper"]'); SELECT defer.enqueue('batches.child', '["good"]') $$;
SELECT defer.enqueue('outer_one', delay => '1 day') AS id \gset
SELECT defer.when_done('report', '["deep"]', of => :id, deep => true) AS callback \gset
SELECT error_of(format('SELECT defer.when_done(''report'', of => %s)', :id));
SELECT defer.reschedule(:id, now());
DO $$ BEGIN WHILE (SELECT b.jobs <> 3 OR b.unfinished <> 1 FROM defer.batches b ORDER BY job_id DESC LIMIT 1) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT state FROM defer.jobs WHERE id = :callback;
INSERT INTO gate VALUES ('gate of a child');
SELECT reported(:id);
-- a rerun of it says the same
SELECT defer.rerun(:callback) AS again \gset
SELECT until(:again, 'succeeded');
SELECT defer.result(:again);

-- Of a job that has ended: some of its jobs have, some have not
CREATE FUNCTION two() RETURNS void LANGUAGE sql AS
  $$ SELECT defer.enqueue('batches.child', '["bad"]'); SELECT defer.enqueue('batches.child', '["gate of two"]') $$;
SELECT defer.enqueue('two') AS id \gset
SELECT until(:id, 'succeeded');
SELECT until((SELECT min(f) FROM defer.find_jobs(parent_id => :id) f), 'failed');
SELECT defer.when_done('report', of => :id) AS callback \gset
SELECT state FROM defer.jobs WHERE id = :callback;
SELECT error_of(format('SELECT defer.when_done(''report'', of => %s, deep => true)', :id));
INSERT INTO gate VALUES ('gate of two');
SELECT until(:callback, 'succeeded');
SELECT defer.result(:callback);

-- One batch within another; the outer one has all of both
CREATE FUNCTION inner_one() RETURNS void LANGUAGE sql AS
  $$ SELECT defer.when_done('batches.report', '["inner"]', deep => true); SELECT defer.enqueue('batches.outer_one') $$;
CREATE FUNCTION nested() RETURNS void LANGUAGE sql AS
  $$ SELECT defer.when_done('batches.report', '["outer"]', deep => true); SELECT defer.enqueue('batches.inner_one') $$;
SELECT defer.enqueue('nested') AS id \gset
SELECT reported(:id);
DO $$ BEGIN WHILE (SELECT count(*) < 2 FROM ran WHERE what IN ('inner', 'outer')) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT what, counts FROM ran WHERE what IN ('inner', 'outer') ORDER BY 1;

-- A procedure that commits: what it has enqueued before, it is not asked about
CREATE PROCEDURE in_parts() LANGUAGE plpgsql AS $$
BEGIN
  PERFORM defer.enqueue('batches.child', '["good"]');
  COMMIT;
  PERFORM defer.enqueue('batches.child', '["good"]');
  PERFORM defer.when_done('batches.report', '["parts"]');
  COMMIT;
  PERFORM defer.enqueue('batches.child', '["good"]');
  COMMIT;
  PERFORM defer.enqueue('batches.child', '["bad"]');
END $$;
SELECT defer.enqueue('in_parts') AS id \gset
SELECT reported(:id);

-- Reruns, runs of schedules and callbacks do not count
CREATE FUNCTION others(id bigint) RETURNS void LANGUAGE sql AS
  $$ SELECT defer.enqueue('batches.child', '["good"]'); SELECT defer.rerun(id); SELECT defer.when_done('batches.report', '["others"]') $$;
SELECT defer.enqueue('others', jsonb_build_array(:id)) AS id \gset
SELECT reported(:id);

-- After each run of a schedule
CREATE FUNCTION run() RETURNS void LANGUAGE sql AS $$ SELECT defer.enqueue('batches.child', '["good"]'); SELECT defer.enqueue('batches.child', '["bad"]') $$;
SET client_min_messages = warning;
SELECT defer.cron('run', '0 0 1 1 *', when_done => 'two') > 0 AS made;
SELECT error_of($$ SELECT defer.cron('run', '0 0 1 1 *', when_done => 'nothing') $$);
SELECT error_of($$ SELECT defer.cron('run', '0 0 1 1 *', when_done => 'child') $$);
CREATE FUNCTION tell() RETURNS text LANGUAGE sql AS 'SELECT batches.report(''run'')';
SELECT defer.alter_cron('run', when_done => 'tell');
SELECT when_done FROM defer.schedules WHERE name = 'run';
SELECT defer.trigger('run') AS id \gset
SELECT reported(:id);
SELECT defer.alter_cron('run', schedule => '* * * * * *');
DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM defer.jobs WHERE schedule = 'run' AND scheduled_for IS NOT NULL) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT defer.pause_cron('run');
SELECT id FROM defer.jobs WHERE schedule = 'run' AND scheduled_for IS NOT NULL ORDER BY id LIMIT 1 \gset
SELECT reported(:id);
DROP FUNCTION tell();
SELECT defer.trigger('run') AS id \gset
SELECT state, error FROM defer.jobs WHERE function = 'batches.tell()' ORDER BY id DESC LIMIT 1;
SELECT defer.alter_cron('run', when_done => '');
SELECT when_done FROM defer.schedules WHERE name = 'run';
SELECT until(:id, 'succeeded');
SELECT defer.unschedule('run');

-- Errors
SELECT error_of($$ SELECT defer.when_done('report') $$);
SELECT error_of($$ SELECT defer.when_done(NULL) $$);
SELECT error_of($$ SELECT defer.when_done('nothing', of => 1) $$);
SELECT error_of($$ SELECT defer.when_done('report', of => -1) $$);
SELECT error_of($$ SELECT defer.when_done('report', of => 9000000000000000000) $$);
SELECT error_of(format('SELECT defer.when_done(''report'', on_states => ''{%s}'', of => %s)', s, :id)) FROM unnest(ARRAY['failed', 'done', '"NULL"', '']) s;
SELECT error_of(format('SELECT defer.when_done(''report'', ''[1, 2]'', of => %s)', :id));
SELECT error_of($$ SELECT defer.enqueue('empty', '[false]', when_done => 'nothing') $$);
SELECT error_of($$ SELECT defer.enqueue('empty', '[false]', after => ARRAY[-1]) $$);
SELECT error_of($$ SELECT * FROM defer.batch() $$);
CREATE FUNCTION no_batch() RETURNS text LANGUAGE sql AS $$ SELECT batches.error_of('SELECT * FROM defer.batch()') $$;
SELECT defer.enqueue('no_batch') AS no_batch \gset
SELECT until(:no_batch, 'succeeded');
SELECT defer.result(:no_batch);
SELECT defer.enqueue('child', '["gate of one"]') AS runs \gset
SELECT until(:runs, 'running');
SELECT error_of(format('SELECT defer.when_done(''report'', of => %s)', :runs));
INSERT INTO gate VALUES ('gate of one');
CREATE FUNCTION too_late() RETURNS text LANGUAGE sql AS
  $$ SELECT defer.enqueue('batches.child', '["good"]'); SELECT batches.error_of('SELECT defer.when_done(''batches.report'', deep => true)') $$;
SELECT defer.enqueue('too_late') AS late \gset
SELECT until(:late, 'succeeded');
SELECT defer.result(:late);

-- Another role sees none of it
SET ROLE batches_other;
SELECT batches.error_of(format('SELECT defer.when_done(''batches.report'', of => %s)', :id));
SELECT batches.error_of('SELECT defer.when_done(''batches.report'', of => 9000000000000000000)');
SELECT count(*) FROM defer.batches;
RESET ROLE;
-- All that has ended is counted
DO $$ BEGIN
  WHILE EXISTS (SELECT FROM defer.fan_out_delta) OR EXISTS (SELECT FROM defer.fan_out f WHERE NOT f.done AND NOT EXISTS
    (SELECT FROM defer.jobs j WHERE j.finished_at IS NULL AND (j.id = f.id OR j.parent_id = f.id))) LOOP
    PERFORM pg_sleep(0.01);
  END LOOP;
END $$;
