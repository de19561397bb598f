-- Steps of procedures: marks, what is run again, misuse, values that are made once,
-- reruns from a step, rights
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE steps_owner LOGIN;
CREATE ROLE steps_other LOGIN;
CREATE SCHEMA steps;
GRANT ALL ON SCHEMA steps TO steps_owner, steps_other;
GRANT USAGE ON SCHEMA defer TO steps_owner, steps_other;
ALTER ROLE steps_owner SET search_path = steps, public;
SET search_path = steps, public;
SET ROLE steps_owner;

CREATE TABLE effect (place bigserial, what text);
-- A pass fails at each place that is named here, and takes it away
CREATE TABLE fault (place text, times int);
-- Sequences are not rolled back
CREATE SEQUENCE passes;

CREATE FUNCTION maybe_fail(here text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  failures bigint;
BEGIN
  SELECT count(*) INTO failures FROM defer.attempts a WHERE a.job_id = defer.current_job() AND a.message = 'fault ' || here;
  IF EXISTS (SELECT FROM steps.fault f WHERE f.place = here AND f.times > failures) THEN
    RAISE 'fault %', here;
  END IF;
END $$;
CREATE FUNCTION work(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO steps.effect (what) VALUES (what);
  PERFORM steps.maybe_fail('in ' || what);
  RETURN 'did ' || what;
END $$;
CREATE FUNCTION outcome(job bigint) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN state = 'succeeded' THEN coalesce(result::text, 'NULL')
    ELSE format('%s %s: %s', state, sqlstate, error) END
    FROM defer.jobs WHERE id = job AND state IN ('succeeded', 'failed', 'cancelled', 'discarded')
$$;
CREATE PROCEDURE finish(job bigint, INOUT outcome text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..18000 LOOP
    outcome := steps.outcome(job);
    EXIT WHEN outcome IS NOT NULL;
    PERFORM pg_sleep(0.01);
    COMMIT;
  END LOOP;
END $$;
CREATE PROCEDURE run(function text, args jsonb DEFAULT NULL, attempts int DEFAULT 1, INOUT outcome text DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
  job bigint := defer.enqueue(function, args, max_attempts => attempts, initial_interval => '1 ms', randomization => 0, multiplier => 1);
BEGIN
  COMMIT;
  CALL steps.finish(job, outcome);
END $$;
CREATE FUNCTION marks(job bigint) RETURNS TABLE (ord int, name text, kind text, state text, result jsonb) LANGUAGE sql AS $$
  SELECT s.ord, s.name, s.kind, s.state, CASE WHEN s.kind = 'step' THEN s.result END
    FROM defer.steps s WHERE s.job_id = job ORDER BY s.ord
$$;
CREATE FUNCTION error_of(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text;
  message text;
  hint text;
BEGIN
  EXECUTE sql;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  RETURN format('%s: %s | %s', state, message, hint);
END $$;

--
-- A procedure that fails in each of its lines: all is there once
--
CREATE PROCEDURE onboard(INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
  a jsonb;
  set_of jsonb;
  at timestamptz;
  chance float8;
BEGIN
  PERFORM nextval('steps.passes');
  INSERT INTO effect (what) VALUES ('before a');
  PERFORM maybe_fail('before a');
  CALL defer.step('a', 'steps.work', '["a"]', a);
  PERFORM maybe_fail('behind a');
  INSERT INTO effect (what) VALUES ('between');
  at := defer.now('at');
  chance := defer.random('chance');
  PERFORM maybe_fail('between');
  CALL defer.step('b', 'steps.work', '{"what": "b"}');
  PERFORM maybe_fail('behind b');
  CALL defer.step('set', 'pg_catalog.generate_series(integer,integer)', '[1, 3]', set_of);
  IF defer.begin_step('book') THEN
    INSERT INTO effect (what) VALUES ('book 1');
    PERFORM maybe_fail('in book');
    INSERT INTO effect (what) VALUES ('book 2 ' || (a ->> 0));
    CALL defer.end_step('book', '{"booked": 2}');
    PERFORM maybe_fail('behind book');
  END IF;
  FOR i IN 1..3 LOOP
    CALL defer.step('turn ' || i, 'steps.work', jsonb_build_array('turn ' || i));
    PERFORM maybe_fail('turn ' || i);
  END LOOP;
  INSERT INTO effect (what) VALUES ('at the end');
  PERFORM maybe_fail('at the end');
  answer := jsonb_build_object('a', a, 'set', set_of, 'at', at <= clock_timestamp(), 'chance', chance < 1);
END $$;
CALL run('onboard');
SELECT what, count(*) FROM effect GROUP BY what ORDER BY min(place);
SELECT * FROM marks((SELECT max(id) FROM defer.jobs));
TRUNCATE effect;
INSERT INTO fault SELECT unnest('{before a,in a,behind a,between,in b,behind b,in book,behind book,turn 1,turn 2,in turn 3,turn 3,at the end}'::text[]), 2;
-- 25 failures: only in passes that did "book" is there a place behind it
CALL run('onboard', attempts => 7);
SELECT what, count(*) FROM effect GROUP BY what ORDER BY min(place);
SELECT count(*) AS failures, count(DISTINCT message) AS places, max(attempt) AS most FROM defer.attempts WHERE job_id = (SELECT max(id) FROM defer.jobs);
SELECT state, attempt, error FROM defer.jobs WHERE id = (SELECT max(id) FROM defer.jobs);
SELECT count(*) FILTER (WHERE ord <> n) AS out_of_order FROM (SELECT ord, row_number() OVER (ORDER BY started_at, ord) AS n FROM defer.steps WHERE job_id = (SELECT max(id) FROM defer.jobs)) s;
DELETE FROM fault;

-- Values are the same in each pass
CREATE PROCEDURE kept() LANGUAGE plpgsql AS $$
DECLARE
  n jsonb := jsonb_build_array(defer.now('n'), defer.random('r'));
BEGIN
  INSERT INTO effect (what) VALUES (n::text);
  CALL defer.step('one', 'steps.work', '["one"]');
  PERFORM maybe_fail('kept');
  CALL defer.step('two', 'steps.work', jsonb_build_array(n::text));
END $$;
TRUNCATE effect;
INSERT INTO fault VALUES ('kept', 1);
CALL run('kept', attempts => 3);
SELECT count(*) FROM effect e, defer.steps n, defer.steps r WHERE n.job_id = (SELECT max(id) FROM defer.jobs) AND n.name = 'n'
  AND r.job_id = n.job_id AND r.name = 'r' AND e.what = format('[%s, %s]', n.result, to_jsonb((r.result ->> 0)::float8));
DELETE FROM fault;

--
-- Misuse: the error names the step, and cannot be swallowed
--
CREATE PROCEDURE caught() LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    CALL defer.step('caught', 'steps.work', '["caught"]');
  EXCEPTION WHEN OTHERS THEN
    INSERT INTO effect (what) VALUES ('swallowed');
  END;
END $$;
CREATE PROCEDURE caught_begin() LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    IF defer.begin_step('caught') THEN NULL; END IF;
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
  CALL defer.step('next', 'steps.work', '["next"]');
END $$;
CREATE FUNCTION in_function() RETURNS void LANGUAGE plpgsql AS $$BEGIN CALL defer.step('f', 'steps.work', '["f"]'); END$$;
CREATE PROCEDURE below_function() LANGUAGE plpgsql AS $$BEGIN PERFORM in_function(); END$$;
CREATE PROCEDURE below_function_caught() LANGUAGE plpgsql AS $$
BEGIN
  BEGIN PERFORM in_function(); EXCEPTION WHEN OTHERS THEN NULL; END;
END $$;
CREATE PROCEDURE in_sql() LANGUAGE sql AS $$CALL defer.step('s', 'steps.work', '["s"]')$$;
CREATE PROCEDURE definer() SECURITY DEFINER LANGUAGE plpgsql AS $$BEGIN CALL defer.step('d', 'steps.work', '["d"]'); END$$;
CREATE PROCEDURE below_definer() LANGUAGE plpgsql AS $$BEGIN CALL definer(); END$$;
CREATE PROCEDURE with_set() SET work_mem = '1MB' LANGUAGE plpgsql AS $$BEGIN CALL defer.step('w', 'steps.work', '["w"]'); END$$;
CREATE PROCEDURE executes() LANGUAGE plpgsql AS $$BEGIN EXECUTE $e$CALL defer.step('e', 'steps.work', '["e"]')$e$; END$$;
CREATE PROCEDURE does() LANGUAGE plpgsql AS $$BEGIN DO $d$BEGIN CALL defer.step('d', 'steps.work', '["d"]'); END$d$; END$$;
CREATE PROCEDURE twice() LANGUAGE plpgsql AS $$
BEGIN
  CALL defer.step('t', 'steps.work', '["t"]');
  CALL defer.step('t', 'steps.work', '["t"]');
END $$;
CREATE PROCEDURE inner_step() LANGUAGE plpgsql AS $$BEGIN CALL defer.step('n', 'steps.work', '["n"]'); END$$;
CREATE PROCEDURE nested() LANGUAGE plpgsql AS $$BEGIN CALL inner_step(); CALL defer.step('m', 'steps.work', '["m"]'); END$$;
CREATE PROCEDURE nested_twice() LANGUAGE plpgsql AS $$BEGIN CALL inner_step(); CALL inner_step(); END$$;
CREATE PROCEDURE not_ended() LANGUAGE plpgsql AS $$BEGIN IF defer.begin_step('open') THEN NULL; END IF; END$$;
CREATE PROCEDURE not_ended_next() LANGUAGE plpgsql AS $$
BEGIN
  IF defer.begin_step('open') THEN CALL defer.step('next', 'steps.work', '["next"]'); END IF;
END $$;
CREATE PROCEDURE not_begun() LANGUAGE plpgsql AS $$BEGIN CALL defer.end_step('closed'); END$$;
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$
BEGIN
  IF defer.begin_step('commits') THEN
    INSERT INTO effect (what) VALUES ('commits');
    COMMIT;
    CALL defer.end_step('commits');
  END IF;
END $$;
CREATE PROCEDURE rolls_back() LANGUAGE plpgsql AS $$
BEGIN
  IF defer.begin_step('rolls back') THEN
    ROLLBACK;
    CALL defer.end_step('rolls back');
  END IF;
END $$;
CREATE PROCEDURE writes_first() LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO effect (what) VALUES ('first');
  IF defer.begin_step('second') THEN CALL defer.end_step('second'); END IF;
END $$;
CREATE PROCEDURE cursor_loop() LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN INSERT INTO effect (what) VALUES ('looped'), ('looped') RETURNING what LOOP
    CALL defer.step('loop', 'steps.work', '["loop"]');
  END LOOP;
END $$;
CREATE PROCEDURE read_loop() LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT g FROM generate_series(1, 3) g LOOP
    CALL defer.step('loop ' || r.g, 'steps.work', jsonb_build_array('loop ' || r.g));
  END LOOP;
END $$;
CREATE PROCEDURE named(name text) LANGUAGE plpgsql AS $$BEGIN CALL defer.step(name, 'steps.work', '["named"]'); END$$;
CREATE PROCEDURE no_function() LANGUAGE plpgsql AS $$BEGIN CALL defer.step('no function', 'steps.not_there'); END$$;
CREATE PROCEDURE null_function() LANGUAGE plpgsql AS $$BEGIN CALL defer.step('null', NULL); END$$;
CREATE PROCEDURE step_of_procedure() LANGUAGE plpgsql AS $$BEGIN CALL defer.step('procedure', 'steps.inner_step'); END$$;
CREATE FUNCTION large() RETURNS text LANGUAGE sql AS $$INSERT INTO steps.effect (what) VALUES ('large'); SELECT repeat('x', 2000000)$$;
CREATE FUNCTION large_set() RETURNS SETOF text LANGUAGE sql AS $$SELECT repeat('x', 1000) FROM generate_series(1, 2000)$$;
CREATE PROCEDURE too_large() LANGUAGE plpgsql AS $$BEGIN CALL defer.step('large', 'steps.large'); END$$;
CREATE PROCEDURE too_large_set() LANGUAGE plpgsql AS $$BEGIN CALL defer.step('large set', 'steps.large_set'); END$$;
CREATE PROCEDURE too_large_block() LANGUAGE plpgsql AS $$
BEGIN
  IF defer.begin_step('large block') THEN CALL defer.end_step('large block', to_jsonb(repeat('x', 2000000))); END IF;
END $$;
CREATE PROCEDURE changed_kind() LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('steps.passes') % 2 = 0 THEN
    CALL defer.step('kind', 'steps.work', '["kind"]');
    RAISE 'again';
  END IF;
  PERFORM defer.now('kind');
END $$;
-- Enqueueing warns of steps that cannot be committed, once in a session, where one can see it
CREATE PROCEDURE no_steps() SECURITY DEFINER LANGUAGE plpgsql AS $$BEGIN PERFORM defer.log('nothing'); END$$;
BEGIN;
SELECT count(defer.enqueue('definer')) FROM generate_series(1, 2);
SELECT defer.later('with_set') > 0 AS enqueued;
SELECT defer.enqueue('in_sql') > 0 AND defer.enqueue('no_steps') > 0 AND defer.enqueue('below_definer') > 0 AS enqueued;
ROLLBACK;
TRUNCATE effect;
CALL run('caught');
CALL run('caught_begin');
CALL run('in_function');
CALL run('below_function');
CALL run('below_function_caught');
CALL run('in_sql');
CALL run('definer');
CALL run('below_definer');
CALL run('with_set');
CALL run('executes');
CALL run('does');
CALL run('twice');
CALL run('nested');
CALL run('nested_twice');
CALL run('not_ended');
CALL run('not_ended_next');
CALL run('not_begun');
CALL run('commits');
CALL run('rolls_back');
CALL run('writes_first');
CALL run('cursor_loop');
CALL run('read_loop');
CALL run('named', '[""]');
CALL run('named', '[null]');
CALL run('named', jsonb_build_array(repeat('x', 201)));
CALL run('named', jsonb_build_array(repeat('x', 200)));
CALL run('no_function');
CALL run('null_function');
CALL run('step_of_procedure');
CALL run('too_large');
CALL run('too_large_set');
CALL run('too_large_block');
SELECT setval('passes', 1);
CALL run('changed_kind', attempts => 2);
SELECT what, count(*) FROM effect GROUP BY what ORDER BY min(place);
SELECT error_of('CALL defer.step(''x'', ''steps.work'', ''["x"]'')');
SELECT error_of('SELECT defer.begin_step(''x'')');
SELECT error_of('SELECT defer.now(''x'')');
-- where it fails is in the attempt's context
SELECT context FROM defer.attempts WHERE message LIKE '%not_there%';

-- Each form in each arity
CREATE PROCEDURE forms() LANGUAGE plpgsql AS $$
DECLARE
  r jsonb;
BEGIN
  CALL defer.step('2', 'pg_catalog.version');
  CALL defer.step('3', 'steps.work', '["3"]');
  CALL defer.step('4', 'steps.work', '["4"]', r);
  CALL defer.step('named', function => 'steps.work', args => '["named"]', result => r);
  CALL defer.step(name => '3 named', function => 'steps.work', args => '{"what": "3 named"}');
  IF defer.begin_step('1') THEN CALL defer.end_step('1'); END IF;
  IF defer.begin_step('2 of end') THEN CALL defer.end_step('2 of end', r); END IF;
END $$;
CALL run('forms');
SELECT name, CASE WHEN name <> '2' THEN result END AS result FROM marks((SELECT max(id) FROM defer.jobs));

-- A step enqueues jobs with its mark; its rollback takes them along
CREATE FUNCTION enqueues() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  id bigint := defer.enqueue('steps.work', '["enqueued"]');
BEGIN
  PERFORM steps.maybe_fail('enqueues');
  RETURN id;
END $$;
CREATE PROCEDURE enqueuer() LANGUAGE plpgsql AS $$BEGIN CALL defer.step('enqueue', 'steps.enqueues'); PERFORM maybe_fail('enqueuer'); END$$;
INSERT INTO fault VALUES ('enqueues', 1), ('enqueuer', 1);
CALL run('enqueuer', attempts => 5);
SELECT count(*) FROM defer.jobs WHERE parent_id = (SELECT max(id) FROM defer.jobs WHERE function = 'steps.enqueuer()');
DELETE FROM fault;

--
-- Run again from a step
--
CREATE PROCEDURE three(INOUT answer text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
  r jsonb;
BEGIN
  CALL defer.step('one', 'steps.work', '["one"]', r);
  answer := r;
  CALL defer.step('two', 'steps.work', '["two"]', r);
  answer := answer || r::text;
  PERFORM maybe_fail('three');
  CALL defer.step('three', 'steps.work', '["three"]');
END $$;
TRUNCATE effect;
CALL run('three');
SELECT max(id) AS id FROM defer.jobs \gset
TRUNCATE effect;
SELECT defer.rerun(:id) AS again \gset
CALL finish(:again);
SELECT string_agg(what, ' ' ORDER BY place) FROM effect;
TRUNCATE effect;
SELECT defer.rerun(:id, from_step => 'two', force => true) AS again \gset
CALL finish(:again);
SELECT string_agg(what, ' ' ORDER BY place) FROM effect;
SELECT name FROM marks(:again);
TRUNCATE effect;
SELECT defer.rerun(:id, 'one', force => true) AS again \gset
CALL finish(:again);
SELECT string_agg(what, ' ' ORDER BY place) FROM effect;
-- a step that was not completed: all that was done is before it
INSERT INTO fault VALUES ('three', 1);
CALL run('three');
SELECT max(id) AS id FROM defer.jobs \gset
DELETE FROM fault;
TRUNCATE effect;
SELECT defer.rerun(:id, 'three') AS again \gset
CALL finish(:again);
SELECT string_agg(what, ' ' ORDER BY place) FROM effect;

--
-- A write in the statement of begin_step()
--
CREATE TABLE early (what text);
CREATE PROCEDURE writes_with_begin() LANGUAGE plpgsql AS $$
DECLARE
  b boolean;
BEGIN
  WITH x AS (INSERT INTO early VALUES ('early') RETURNING 1) SELECT defer.begin_step('b') INTO b FROM x;
  IF b THEN CALL defer.end_step('b'); END IF;
END$$;
CALL run('writes_with_begin');
SELECT count(*) FROM early;

--
-- Other roles
--
SELECT count(*) > 0 AS mine FROM defer.steps;
SET ROLE steps_other;
SELECT count(*) FROM defer.steps;
SELECT count(*) FROM defer.step;
SELECT error_of(format('SELECT defer.rerun(%s, ''two'')', :id)) LIKE '%does not exist%' AS hidden;
-- a SECURITY DEFINER function of another role speaks for no job
CREATE FUNCTION others_value() RETURNS timestamptz SECURITY DEFINER LANGUAGE sql AS $$SELECT defer.now('theirs')$$;
RESET ROLE;
SET ROLE steps_owner;
CREATE PROCEDURE calls_other() LANGUAGE plpgsql AS $$BEGIN PERFORM others_value(); END$$;
CALL run('calls_other');

RESET ROLE;
DROP SCHEMA steps CASCADE;
DROP OWNED BY steps_owner, steps_other;
DROP ROLE steps_owner, steps_other;
