-- Steps that wait: sleep, sleep_until, wait_job; what a waiting job looks like, and what
-- can be done with it
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE waits_owner LOGIN;
CREATE ROLE waits_other LOGIN;
CREATE SCHEMA waits;
GRANT ALL ON SCHEMA waits TO waits_owner, waits_other;
GRANT USAGE ON SCHEMA defer TO waits_owner, waits_other;
ALTER ROLE waits_owner SET search_path = waits, public;
SET search_path = waits, public;
SET ROLE waits_owner;

CREATE TABLE effect (place bigserial, job bigint DEFAULT defer.current_job(), what text);
CREATE TABLE gate (open text);
CREATE FUNCTION work(what text) RETURNS text LANGUAGE sql AS $$INSERT INTO waits.effect (what) VALUES (what); SELECT 'did ' || what$$;
CREATE FUNCTION gated(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  WHILE NOT EXISTS (SELECT FROM waits.gate WHERE open = what) LOOP PERFORM pg_sleep(0.01); END LOOP;
  IF what LIKE 'bad%' THEN RAISE '% luck', what; END IF;
  INSERT INTO waits.effect (what) VALUES (what);
  RETURN 'did ' || what;
END $$;
-- Waits, three minutes at most, until a query says true
CREATE PROCEDURE until(sql text) LANGUAGE plpgsql AS $$
DECLARE
  yes boolean;
BEGIN
  FOR i IN 1..18000 LOOP
    EXECUTE sql INTO yes;
    EXIT WHEN yes;
    COMMIT;
    PERFORM pg_sleep(0.01);
  END LOOP;
  IF yes IS NOT TRUE THEN RAISE 'never: %', sql; END IF;
END $$;
CREATE PROCEDURE state_is(job bigint, wanted text) LANGUAGE plpgsql AS $$
BEGIN
  CALL waits.until(format('SELECT state = %L FROM defer.jobs WHERE id = %s', wanted, job));
END $$;
CREATE FUNCTION marks(job bigint) RETURNS TABLE (ord int, name text, kind text, state text, result jsonb, lasts text) LANGUAGE sql AS $$
  SELECT s.ord, s.name, s.kind, s.state, s.result,
    CASE WHEN s.until IS NULL THEN NULL WHEN isfinite(s.until - s.started_at) THEN justify_hours(s.until - s.started_at)::text END
    FROM defer.steps s WHERE s.job_id = job ORDER BY s.ord
$$;
CREATE FUNCTION error_of(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text;
  message text;
BEGIN
  EXECUTE sql;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
  RETURN format('%s: %s', state, message);
END $$;

--
-- Asleep
--
CREATE PROCEDURE sleeps(duration interval, INOUT answer text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO effect (what) VALUES ('before');
  PERFORM defer.log('a pass');
  CALL defer.sleep('nap', duration);
  INSERT INTO effect (what) VALUES ('after');
  CALL defer.step('done', 'work', '["done"]');
  answer := 'slept';
END $$;
SELECT defer.enqueue('sleeps', '["3 days"]', discard_after => '1 day', key => 'one') AS id \gset
CALL state_is(:id, 'waiting');
SELECT state, waiting_for, attempt, run_at > now() + interval '2 days' AS later, discard_at, error FROM defer.jobs WHERE id = :id;
SELECT reason, detail, until = (SELECT until FROM defer.steps WHERE job_id = :id) AS until FROM defer.why(:id);
SELECT * FROM marks(:id);
SELECT what FROM effect ORDER BY place;
SELECT count(*) FROM defer.workers WHERE job_id = :id;
SELECT count(*) FROM defer.attempts WHERE job_id = :id;
SELECT attempt, message FROM defer.logs WHERE job_id = :id;
SELECT count(*) FROM defer.find_jobs(states => '{waiting}', function => 'waits.sleeps(interval,text)') AS f WHERE f = :id;
SELECT waiting, scheduled, queued FROM defer.functions WHERE function = 'waits.sleeps(interval,text)';
-- it has its key, and has begun: another one with it comes behind
SELECT defer.enqueue('sleeps', '["0"]', key => 'one') = :id AS same;
SELECT defer.enqueue('sleeps', '["0"]', key => 'one', on_key => 'replace') AS behind \gset
SELECT behind = :id AS behind FROM defer.jobs WHERE id = :behind;
-- to move it only has it look at the time
SELECT defer.reschedule(:id, now());
CALL until(format('SELECT count(*) = 2 FROM defer.logs WHERE job_id = %s', :id));
CALL state_is(:id, 'waiting');
SELECT run_at > now() + interval '2 days' AS later, attempt FROM defer.jobs WHERE id = :id;
SELECT what FROM effect ORDER BY place;
-- cancelled in its sleep
SELECT defer.cancel(:id);
SELECT state, attempt FROM defer.jobs WHERE id = :id;
CALL state_is(:behind, 'succeeded');
SELECT defer.result(:behind);
SELECT what FROM effect WHERE job = :behind ORDER BY place;
SELECT name, state FROM marks(:id);
-- and run again from there
TRUNCATE effect;
SELECT defer.rerun(:id, 'nap') AS again \gset
CALL state_is(:again, 'waiting');
SELECT what FROM effect ORDER BY place;
SELECT defer.cancel(:again);

-- It wakes, and goes on; time that is over, or none, is not waited for
TRUNCATE effect;
SELECT defer.enqueue('sleeps', '["200 milliseconds"]') AS id \gset
CALL state_is(:id, 'succeeded');
SELECT what FROM effect ORDER BY place;
SELECT name, kind, state, finished_at >= until AS slept FROM defer.steps WHERE job_id = :id ORDER BY ord;
SELECT attempt, error FROM defer.jobs WHERE id = :id;
CREATE PROCEDURE naps() LANGUAGE plpgsql AS $$
BEGIN
  CALL defer.sleep('none', '0');
  CALL defer.sleep_until('past', '2001-02-03 04:05:06+00');
  CALL defer.sleep_until(name => 'now', "time" => now());
  FOR i IN 1..3 LOOP
    CALL defer.sleep(name => 'nap ' || i, duration => '1 millisecond');
  END LOOP;
END $$;
SELECT defer.enqueue('naps') AS id \gset
CALL state_is(:id, 'succeeded');
SELECT string_agg(name || ' ' || state, ', ' ORDER BY ord) FROM marks(:id);
-- failed attempts count from the last step that was completed, sleeps included
CREATE PROCEDURE fails_twice() LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) < 2 FROM defer.attempts WHERE job_id = defer.current_job()) THEN RAISE 'not yet'; END IF;
  CALL defer.sleep('nap', '1 millisecond');
  IF (SELECT count(*) < 4 FROM defer.attempts WHERE job_id = defer.current_job()) THEN RAISE 'not yet, either'; END IF;
END $$;
SELECT defer.enqueue('fails_twice', max_attempts => 3, initial_interval => '1 ms', multiplier => 1, randomization => 0) AS id \gset
CALL state_is(:id, 'succeeded');
SELECT attempt, outcome, message FROM defer.attempts WHERE job_id = :id ORDER BY finished_at;
-- errors
CREATE PROCEDURE sleeps_until(t timestamptz) LANGUAGE plpgsql AS $$BEGIN CALL defer.sleep_until('x', t); END$$;
CREATE PROCEDURE sleeps_caught() LANGUAGE plpgsql AS $$
BEGIN
  BEGIN CALL defer.sleep('caught', '1 day'); EXCEPTION WHEN OTHERS THEN NULL; END;
END $$;
CREATE PROCEDURE outcome(function text, args jsonb DEFAULT NULL, INOUT outcome text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
  job bigint := defer.enqueue(function, args, max_attempts => 1);
BEGIN
  COMMIT;
  CALL waits.until(format('SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = %s', job));
  SELECT concat_ws(' ', j.state, j.sqlstate, regexp_replace(j.error, 'job \d+', 'job N')) INTO outcome FROM defer.jobs j WHERE j.id = job;
END $$;
CALL outcome('sleeps', '["-1 second"]');
CALL outcome('sleeps', '["102 years"]');
CALL outcome('sleeps', '[null]');
CALL outcome('sleeps_until', '["infinity"]');
CALL outcome('sleeps_until', '[null]');
CALL outcome('sleeps_caught');
SELECT error_of('CALL defer.sleep(''x'', ''1 day'')');

--
-- Waiting for a job
--
CREATE PROCEDURE waits_for(what text, on_failure text DEFAULT 'fail', INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
  child bigint;
BEGIN
  INSERT INTO effect (what) VALUES ('before ' || what);
  -- another one in each pass, which is rolled back
  child := defer.enqueue('gated', jsonb_build_array(what), max_attempts => 1);
  CALL defer.wait_job('child', child, on_failure, answer);
  INSERT INTO effect (what) VALUES ('after ' || what);
  SELECT s.awaits INTO child FROM defer.steps s WHERE s.job_id = defer.current_job() AND s.name = 'child';
  CALL defer.wait_job('again', child, on_failure);
END $$;
TRUNCATE effect;
SELECT defer.enqueue('waits_for', '["good"]') AS id \gset
CALL state_is(:id, 'waiting');
SELECT state, waiting_for, run_at, attempt FROM defer.jobs WHERE id = :id;
SELECT w.reason, w.detail = format('step "child" waits for job %s', s.awaits) AS detail FROM defer.why(:id) w, defer.steps s WHERE s.job_id = :id;
SELECT count(*) FROM defer.dependencies WHERE job_id = :id;
-- woken too early it waits on
SELECT defer.reschedule(:id, now());
CALL until(format('SELECT run_at = ''infinity'' FROM defer.jobs WHERE id = %s', :id));
INSERT INTO gate VALUES ('good');
CALL state_is(:id, 'succeeded');
SELECT defer.result(:id);
SELECT what FROM effect ORDER BY place;
SELECT ord, name, kind, state, result FROM marks(:id);
SELECT count(*) FROM defer.jobs WHERE parent_id = :id;
SELECT defer.enqueue('waits_for', '["bad one"]', max_attempts => 1) AS fails, defer.enqueue('waits_for', '["bad two", "return"]') AS returns \gset
CALL state_is(:fails, 'waiting');
CALL state_is(:returns, 'waiting');
INSERT INTO gate VALUES ('bad one'), ('bad two');
CALL state_is(:fails, 'failed');
CALL state_is(:returns, 'succeeded');
SELECT regexp_replace(message, 'job \d+', 'job N') AS message, detail, hint FROM defer.attempts WHERE job_id = :fails;
SELECT state, result FROM defer.jobs WHERE id = :returns;
SELECT what FROM effect WHERE job = :fails ORDER BY place;
-- one that is cancelled, one that is cancelled in its wait
SELECT defer.enqueue('waits_for', '["never", "return"]') AS id, defer.enqueue('waits_for', '["never either"]') AS other \gset
CALL state_is(:id, 'waiting');
CALL state_is(:other, 'waiting');
SELECT defer.cancel(awaits::bigint, force => true) FROM defer.steps WHERE job_id = :id;
CALL state_is(:id, 'succeeded');
SELECT defer.cancel(:other);
SELECT defer.cancel(awaits::bigint, force => true) FROM defer.steps WHERE job_id = :other;
-- each form in each arity; a job that has ended is not waited for
CREATE PROCEDURE forms(child bigint, INOUT answer jsonb DEFAULT '[]') LANGUAGE plpgsql AS $$
DECLARE
  r jsonb;
BEGIN
  CALL defer.wait_job('2', child);
  CALL defer.wait_job('3 text', child, 'return');
  CALL defer.wait_job('3 json', child, r);
  answer := answer || r;
  CALL defer.wait_job('4', child, 'fail', r);
  answer := answer || r;
  CALL defer.wait_job('named', id => child, on_failure => 'fail', result => r);
  CALL defer.wait_job(name => 'named 3', id => child, result => r);
  answer := answer || r;
END $$;
SELECT id AS child FROM defer.jobs WHERE function = 'waits.gated(text)' AND state = 'succeeded' ORDER BY id LIMIT 1 \gset
SELECT defer.enqueue('forms', jsonb_build_array(:child)) AS id \gset
CALL state_is(:id, 'succeeded');
SELECT defer.result(:id);
-- Several passes: when the first one began, and how long all of them took
CREATE PROCEDURE passes(how text) LANGUAGE plpgsql AS $$
BEGIN
  CALL defer.step('first', 'waits.work', jsonb_build_array(how));
  IF how <> 'sleeps' AND NOT EXISTS (SELECT FROM defer.attempts WHERE job_id = defer.current_job() AND outcome = 'failed') THEN
    RAISE 'fails after a step';
  END IF;
  CALL defer.sleep('sleep', CASE how WHEN 'for long' THEN interval '1 day' ELSE interval '200 ms' END);
  IF how = 'once more' AND NOT EXISTS (SELECT FROM waits.gate WHERE open = 'once more') THEN PERFORM defer.give_up('no more'); END IF;
  CALL defer.step('last', 'waits.work', jsonb_build_array(how));
END $$;
CREATE PROCEDURE no_passes() LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM defer.attempts WHERE job_id = defer.current_job()) THEN RAISE 'fails without a step'; END IF;
END $$;
SELECT defer.configure('passes', initial_interval => '10 ms'), defer.configure('no_passes', initial_interval => '10 ms');
SELECT defer.enqueue('passes', '["sleeps"]') AS sleeps, defer.enqueue('passes', '["fails"]') AS fails, defer.enqueue('passes', '["once more"]') AS again,
  defer.enqueue('passes', '["for long"]') AS long, defer.enqueue('no_passes') AS plain \gset
CALL state_is(:sleeps, 'succeeded');
CALL state_is(:fails, 'succeeded');
CALL state_is(:again, 'failed');
CALL state_is(:plain, 'succeeded');
CALL until(format('SELECT EXISTS (SELECT FROM defer.steps WHERE job_id = %s AND name = ''sleep'') AND state = ''waiting'' FROM defer.jobs WHERE id = %s', :long, :long));
SELECT started_at < (SELECT min(s.finished_at) FROM defer.steps s WHERE s.job_id = j.id) AS first, duration > '0' AS took FROM defer.jobs j WHERE id = :long;
SELECT defer.cancel(:long);
CALL state_is(:long, 'cancelled');
CREATE FUNCTION whole(ids bigint[]) RETURNS TABLE (how jsonb, state text, first boolean, attempt_began boolean, took boolean, without_waits boolean) LANGUAGE sql AS $$
  SELECT j.args, j.state, j.started_at < (SELECT min(s.finished_at) FROM defer.steps s WHERE s.job_id = j.id),
    j.started_at = (SELECT min(a.started_at) FROM defer.attempts a WHERE a.job_id = j.id), j.duration > '0',
    j.duration < j.finished_at - j.started_at
    FROM defer.jobs j WHERE j.id = ANY (ids) ORDER BY j.id
$$;
SELECT * FROM whole(ARRAY[:sleeps, :fails, :again, :long]);
-- a job without steps: its last attempt
SELECT j.started_at > a.finished_at AS last FROM defer.jobs j JOIN defer.attempts a ON a.job_id = j.id WHERE j.id = :plain;
-- counts and samples say the same
RESET ROLE;
SELECT sum(c.begun) AS begun, abs(sum(c.microseconds) / 1e6 - (SELECT sum(extract(epoch FROM j.duration)) FROM defer.jobs j WHERE j.function = 'waits.passes(text)')) < 0.0001 AS time
  FROM defer.job_counts c WHERE c.function = 'waits.passes(text)';
SELECT count(*) FROM defer.history_sample(now() - interval '1 hour') s JOIN defer.jobs j USING (id) WHERE j.function = 'waits.passes(text)' AND s.duration = j.duration;
SET ROLE waits_owner;
-- taken on again it is the same job; a rerun is another one
SELECT started_at AS before, duration AS took FROM defer.jobs WHERE id = :again \gset
INSERT INTO gate VALUES ('once more');
SELECT defer.retry(:again);
CALL state_is(:again, 'succeeded');
SELECT started_at = :'before' AS first, duration > :'took' AS longer FROM defer.jobs WHERE id = :again;
SELECT defer.rerun(:again, from_step => 'last', force => true) AS rerun \gset
CALL state_is(:rerun, 'succeeded');
SELECT started_at > (SELECT finished_at FROM defer.jobs WHERE id = :again) AS own, duration <= finished_at - started_at AS took FROM defer.jobs WHERE id = :rerun;

-- errors; a job of another role is one that is not there
SET ROLE waits_other;
SELECT defer.enqueue('pg_catalog.version()', delay => '1 day') AS others \gset
SET ROLE waits_owner;
CREATE PROCEDURE waits_self() LANGUAGE plpgsql AS $$BEGIN CALL defer.wait_job('self', defer.current_job()); END$$;
CREATE PROCEDURE waits_how(how text) LANGUAGE plpgsql AS $$BEGIN CALL defer.wait_job('how', 1, how); END$$;
CALL outcome('forms', jsonb_build_array(:others));
CALL outcome('forms', '[9223372036854775807]');
CALL outcome('forms', '[null]');
CALL outcome('waits_self');
CALL outcome('waits_how', '["perhaps"]');
-- nothing is left of what was waited for
SELECT count(*) FROM defer.steps WHERE state = 'waiting' AND job_id IN (SELECT id FROM defer.jobs WHERE state = 'succeeded');
RESET ROLE;
CALL until($$SELECT count(*) = 0 FROM defer.dependency d WHERE d.ord < 0 AND (d.open OR d.child_id IN (SELECT id FROM defer.jobs WHERE state IN ('succeeded', 'cancelled')))$$);

SELECT defer.cancel(:others);
DROP SCHEMA waits CASCADE;
DROP OWNED BY waits_owner, waits_other;
DROP ROLE waits_owner, waits_other;
