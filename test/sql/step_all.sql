-- Steps that wait for several jobs: step_all; what becomes of the jobs
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE all_owner LOGIN;
CREATE SCHEMA stepall;
GRANT ALL ON SCHEMA stepall TO all_owner;
GRANT USAGE ON SCHEMA defer TO all_owner;
ALTER ROLE all_owner SET search_path = stepall, public;
SET search_path = stepall, public;
SET ROLE all_owner;

CREATE TABLE gate (open int);
CREATE FUNCTION gated(n int, what text DEFAULT 'it') RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  WHILE n > 0 AND NOT EXISTS (SELECT FROM stepall.gate WHERE open = n) LOOP PERFORM pg_sleep(0.01); END LOOP;
  IF what = 'bad' THEN RAISE 'bad luck with %', n; END IF;
  RETURN CASE WHEN what = 'none' THEN NULL ELSE to_jsonb(what || ' ' || n) END;
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
  CALL stepall.until(format('SELECT state = %L FROM defer.jobs WHERE id = %s', wanted, job));
END $$;
CREATE PROCEDURE all_of(args jsonb, on_failure text DEFAULT 'fail', INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM defer.log('a pass');
  CALL defer.step_all('each', 'gated', args, on_failure, answer);
END $$;

-- results are in the order of the array, not of the ends; a single value is the only argument
SELECT defer.enqueue('all_of', '[[1, {"n": 2, "what": "two"}, [3, "none"], [4]]]') AS id \gset
CALL state_is(:id, 'waiting');
SELECT state, waiting_for, run_at, attempt FROM defer.jobs WHERE id = :id;
SELECT reason, detail FROM defer.why(:id);
SELECT kind, state, awaits, result FROM defer.steps WHERE job_id = :id;
SELECT count(*), count(DISTINCT parent_id) FROM defer.jobs WHERE parent_id = :id;
SELECT count(*) FROM defer.dependencies WHERE job_id = :id;
-- woken too early it waits on
SELECT defer.reschedule(:id, now());
CALL until(format('SELECT run_at = ''infinity'' FROM defer.jobs WHERE id = %s AND (SELECT count(*) = 2 FROM defer.logs WHERE job_id = %s)', :id, :id));
INSERT INTO gate VALUES (4);
CALL until(format('SELECT count(*) = 1 FROM defer.jobs WHERE parent_id = %s AND state = ''succeeded''', :id));
INSERT INTO gate VALUES (2);
CALL until(format('SELECT count(*) = 2 FROM defer.jobs WHERE parent_id = %s AND state = ''succeeded''', :id));
SELECT state FROM defer.jobs WHERE id = :id;
INSERT INTO gate VALUES (1), (3);
CALL state_is(:id, 'succeeded');
SELECT defer.result(:id);
SELECT name, kind, state, result, awaits FROM defer.steps WHERE job_id = :id;
SELECT count(*) FROM defer.jobs WHERE parent_id = :id;
-- none is done at once
SELECT defer.enqueue('all_of', '[[]]') AS id \gset
CALL state_is(:id, 'succeeded');
SELECT defer.result(:id);
SELECT count(*) FROM defer.logs WHERE job_id = :id;

-- one that fails: the others are waited for, and the job fails for good or goes on
SELECT defer.configure('gated(int,text)', max_attempts => 1);
SELECT defer.enqueue('all_of', '[[[1], [5, "bad"], [6]]]') AS fails, defer.enqueue('all_of', '[[[1], [5, "bad"], [6]], "return"]') AS returns \gset
CALL state_is(:fails, 'waiting');
CALL state_is(:returns, 'waiting');
SELECT count(defer.cancel(id, force => true)) FROM defer.jobs WHERE parent_id IN (:fails, :returns) AND args = '[6]';
CALL until(format('SELECT count(*) = 2 FROM defer.jobs WHERE parent_id IN (%s, %s) AND state = ''cancelled''', :fails, :returns));
INSERT INTO gate VALUES (5);
CALL state_is(:fails, 'failed');
CALL state_is(:returns, 'succeeded');
SELECT attempt, regexp_replace(error, 'job \d+', 'job N') AS error FROM defer.jobs WHERE id = :fails;
SELECT regexp_replace(message, 'job \d+', 'job N') AS message, detail FROM defer.attempts WHERE job_id = :fails;
SELECT defer.result(:returns);

-- its jobs are cancelled with it, those that run and those that do not
SELECT defer.configure('gated(int,text)', concurrency => 1);
SELECT defer.enqueue('all_of', '[[7, 8, 9]]') AS id \gset
CALL state_is(:id, 'waiting');
CALL until(format('SELECT count(*) = 1 FROM defer.jobs WHERE parent_id = %s AND state = ''running''', :id));
SELECT defer.cancel(:id);
CALL until(format('SELECT count(*) = 3 FROM defer.jobs WHERE parent_id = %s AND state = ''cancelled''', :id));
SELECT state FROM defer.jobs WHERE id = :id;
SELECT defer.configure('gated(int,text)', reset => true);
-- run again from the step it has new ones, from a later one none
CREATE PROCEDURE twice(INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  CALL defer.step_all('first', 'gated', '[0, [0, "again"]]', answer);
  CALL defer.step_all('second', 'gated', '[[0, "b"], [0, "a"]]');
  answer := answer || '["end"]';
END $$;
SELECT defer.enqueue('twice') AS id \gset
CALL state_is(:id, 'succeeded');
SELECT defer.result(:id);
SELECT defer.rerun(:id, 'second') AS again \gset
CALL state_is(:again, 'succeeded');
SELECT defer.result(:again), (SELECT count(*) FROM defer.jobs WHERE parent_id = :again) AS jobs;
RESET ROLE;
SELECT count(*) FROM defer.dependency d WHERE d.child_id IN (:id, :again);
SET ROLE all_owner;

-- each form in each arity
CREATE PROCEDURE forms(INOUT answer jsonb DEFAULT '[]') LANGUAGE plpgsql AS $$
DECLARE
  r jsonb;
BEGIN
  CALL defer.step_all('3', 'gated', '[0]');
  CALL defer.step_all('4 text', 'gated', '[0]', 'return');
  CALL defer.step_all('4 json', 'gated', '[[0, "four"]]', r);
  answer := answer || r;
  CALL defer.step_all('5', 'gated', '[[0, "five"]]', 'fail', r);
  answer := answer || r;
  CALL defer.step_all(name => 'named', function => 'gated', args => '[[0, "named"]]', on_failure => 'fail', results => r);
  answer := answer || r;
END $$;
SELECT defer.enqueue('forms') AS id \gset
CALL state_is(:id, 'succeeded');
SELECT defer.result(:id);
-- errors
CREATE PROCEDURE outcome(function text, args jsonb DEFAULT NULL, INOUT outcome text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
  job bigint := defer.enqueue(function, args, max_attempts => 1);
BEGIN
  COMMIT;
  CALL stepall.until(format('SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = %s', job));
  SELECT concat_ws(' ', j.state, j.sqlstate, j.error, (SELECT count(*) FROM defer.jobs c WHERE c.parent_id = job)) INTO outcome FROM defer.jobs j WHERE j.id = job;
END $$;
CALL outcome('all_of', '[{"a": 1}]');
CALL outcome('all_of', '[7]');
CALL outcome('all_of', '[null]');
CALL outcome('all_of', '[[0, "x"]]');
CALL outcome('all_of', '[[0], "perhaps"]');
CREATE PROCEDURE no_function() LANGUAGE plpgsql AS $$BEGIN CALL defer.step_all('none', 'no_such_function', '[1]'); END$$;
CALL outcome('no_function');
CREATE PROCEDURE too_large(INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  CALL defer.step_all('large', 'large', '[0, 1, 2]', answer);
END $$;
CREATE FUNCTION large(n int) RETURNS text LANGUAGE sql AS $$SELECT repeat('x', 600000)$$;
CALL outcome('too_large');

RESET ROLE;
SELECT count(*) FROM defer.dependency d WHERE d.open AND d.owner = 'all_owner'::regrole;
DROP SCHEMA stepall CASCADE;
DROP OWNED BY all_owner;
DROP ROLE all_owner;
