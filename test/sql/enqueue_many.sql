-- defer.enqueue_many
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE ROLE many_owner LOGIN;
CREATE SCHEMA many;
GRANT ALL ON SCHEMA many TO many_owner;
GRANT USAGE ON SCHEMA defer TO many_owner;
SET search_path = many, public;
SET ROLE many_owner;
CREATE TABLE many_done (x int, y text, job bigint DEFAULT defer.current_job());
CREATE FUNCTION many_work(x int, y text DEFAULT 'none') RETURNS int LANGUAGE sql AS 'INSERT INTO many.many_done VALUES (x, y) RETURNING x';
CREATE FUNCTION many_over(x int) RETURNS text LANGUAGE sql AS 'SELECT ''int''';
CREATE FUNCTION many_over(y text, z text) RETURNS text LANGUAGE sql AS 'SELECT ''texts''';
CREATE FUNCTION many_error(jobs jsonb, function text DEFAULT 'many_work') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text;
  message text;
  hint text;
BEGIN
  PERFORM defer.enqueue_many(function, jobs);
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  RETURN state || ': ' || regexp_replace(message, 'job \d+', 'job N') || CASE WHEN hint <> '' THEN ' / ' || hint ELSE '' END;
END $$;
SELECT defer.pause('many_work');

SELECT ord, id - min(id) OVER () AS nth, outcome
  FROM defer.enqueue_many('many_work', '[{"args": [1]}, {"args": {"x": 2, "y": "two"}}, {"args": ["3"], "priority": 7}]');
SELECT args, priority FROM defer.jobs WHERE function LIKE 'many.%' ORDER BY id;
SELECT defer.last_enqueue();
SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function LIKE 'many.%';

-- All options, of an object and of all; numbers as strings, null as if left out
SELECT count(*) FROM defer.enqueue_many('many_work',
  '[{"args": [1]},
    {"args": [2], "run_at": "2100-01-01 00:00+00", "queue": "default", "priority": "-5", "key": "k", "discard_after": "1 day", "metadata": {"n": 2},
     "max_attempts": 9, "initial_interval": "9 s", "multiplier": 1.5, "max_interval": "9 min", "randomization": "0.25", "max_duration": "9 h",
     "group_key": "g2", "on_key": "error", "debounce_max": null, "key_for": "1 h"},
    {"args": [3], "delay": null, "priority": null, "metadata": null, "queue": null, "key": null, "max_attempts": 2},
    {"args": [4], "metadata": {}, "delay": "2 h"}]',
  delay => '1 hour', priority => 3, metadata => '{"n": 1}', max_attempts => 4, multiplier => 2, group_key => 'g', on_key => 'replace');
SELECT args, priority, key, metadata, max_attempts, group_key, CASE WHEN run_at > '2099-01-01' THEN '2100' ELSE extract(hour FROM run_at - enqueued_at)::text END AS run_at,
       discard_at - run_at AS discard_after
  FROM defer.jobs WHERE function LIKE 'many.%' AND state = 'scheduled' ORDER BY id;
SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function LIKE 'many.%' AND state = 'scheduled';

-- Keys inside one call
SELECT ord, id - min(id) OVER () AS nth, outcome
  FROM defer.enqueue_many('many_work',
  '[{"args": [1], "key": "a"}, {"args": [2], "key": "b"}, {"args": [3], "key": "a"}, {"args": [4]}, {"args": [5], "key": "a", "on_key": "keep"},
    {"args": [6], "key": "b", "on_key": "debounce", "delay": "1 hour"}, {"args": [7], "key": "c", "key_for": "1 hour"}]', on_key => 'replace');
SELECT args, key, state FROM defer.jobs WHERE function LIKE 'many.%' AND state IN ('queued', 'scheduled') ORDER BY id;
SELECT many_error('[{"args": [1]}, {"args": [8], "key": "a", "on_key": "error"}]');
SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function LIKE 'many.%' AND state IN ('queued', 'scheduled');

-- Overloaded functions by the arguments of each
SELECT count(*) FROM defer.enqueue_many('many_over', '[{"args": [1]}, {"args": ["a", "b"]}, {"args": {"x": 3}}]', delay => '1 hour');
SELECT function, args FROM defer.jobs WHERE function LIKE 'many.many_over%' ORDER BY id;
SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function LIKE 'many.%' AND state = 'scheduled';

-- Nothing is enqueued, and that is well
SELECT count(*) FROM defer.enqueue_many('many_work', '[]');
SELECT defer.last_enqueue();

-- Errors name the object and the field
SELECT defer.enqueue_many(NULL, '[]');
SELECT defer.enqueue_many('many_work', NULL);
SELECT many_error('{}');
SELECT many_error('3');
SELECT many_error('null');
SELECT many_error('[{"args": [1]}, 3]');
SELECT many_error('[null]');
SELECT many_error('[[1]]');
SELECT many_error('[{"args": [1]}]', 'many_none');
SELECT many_error('[{"args": [1]}, {"args": [1], "Delay": "1 hour"}]');
SELECT many_error(jsonb_build_array(jsonb_build_object(E'a\nb\x1b' || repeat('x', 100), 1)));
SELECT many_error('[{"args": [1]}, {"args": [1]}, {"args": ["one"]}]');
SELECT many_error('[{}]');
SELECT many_error('[{"args": 1}]');
SELECT many_error('[{"args": "[1]"}]');
SELECT many_error('[{"args": [1, 2, 3]}]');
SELECT many_error('[{"args": {"z": 1}}]');
SELECT many_error('[{"args": [1], "delay": "soon"}]');
SELECT many_error('[{"args": [1], "delay": 3}]');
SELECT many_error('[{"args": [1], "delay": "-1 s"}]');
SELECT many_error('[{"args": [1], "delay": {}}]');
SELECT many_error('[{"args": [1], "run_at": "yesterday or so"}]');
SELECT many_error('[{"args": [1], "run_at": "infinity"}]');
SELECT many_error('[{"args": [1], "run_at": "2100-01-01", "delay": "1 s"}]');
SELECT many_error('[{"args": [1], "priority": 1.5}]');
SELECT many_error('[{"args": [1], "priority": 99999999999}]');
SELECT many_error('[{"args": [1], "priority": true}]');
SELECT many_error('[{"args": [1], "multiplier": "fast"}]');
SELECT many_error('[{"args": [1], "multiplier": 0.5}]');
SELECT many_error('[{"args": [1], "metadata": [1]}]');
SELECT many_error('[{"args": [1], "metadata": "x"}]');
SELECT many_error('[{"args": [1], "key": 17}]');
SELECT many_error('[{"args": [1], "key": ""}]');
SELECT many_error('[{"args": [1], "on_key": "keep"}]');
SELECT many_error('[{"args": [1], "key": "k", "on_key": "drop"}]');
SELECT many_error('[{"args": [1], "queue": "no such"}]');
SELECT many_error('[{"args": [1], "group_key": ""}]');
SELECT many_error(('[{"args": [1], "metadata": {"x": "' || repeat('x', 2000000) || '"}}]')::jsonb);
SELECT count(*) AS enqueued FROM defer.jobs WHERE function LIKE 'many.%' AND state IN ('queued', 'scheduled');

-- A default that is not right is an error of the first object
SELECT * FROM defer.enqueue_many('many_work', '[{"args": [1]}]', priority => 1, delay => '-1 s');
BEGIN READ ONLY;
SELECT * FROM defer.enqueue_many('many_work', '[]');
ROLLBACK;

-- 100,000 objects; one that is not right among them
SELECT count(*), count(DISTINCT id), min(ord), max(ord), min(outcome), max(outcome)
  FROM defer.enqueue_many('many_work', (SELECT jsonb_agg(jsonb_build_object('args', jsonb_build_array(n))) FROM generate_series(1, 100000) n));
RESET ROLE;
SELECT count(*), sum((args ->> 0)::bigint) FROM defer.job WHERE function LIKE 'many.%';
DELETE FROM defer.job WHERE function LIKE 'many.%';
SET ROLE many_owner;
SELECT many_error((SELECT jsonb_agg(jsonb_build_object('args', CASE WHEN n = 77777 THEN '["x"]' ELSE jsonb_build_array(n) END)) FROM generate_series(1, 100000) n));
RESET ROLE;
SELECT count(*) FROM defer.job WHERE function LIKE 'many.%';
SET ROLE many_owner;

-- They run
SELECT defer.resume('many_work');
SELECT defer.await(id, '3 minutes') FROM defer.enqueue_many('many_work', '[]');
CREATE TABLE many_ids AS SELECT * FROM defer.enqueue_many('many_work', '[{"args": [1]}, {"args": [2], "priority": -1}]');
SELECT ord, defer.await(id, '3 minutes') FROM many_ids;
RESET ROLE;
DELETE FROM defer.key_hold WHERE owner = 'many_owner'::regrole;
DELETE FROM defer.function WHERE signature LIKE 'many.%';
DROP SCHEMA many CASCADE;
DROP OWNED BY many_owner;
DROP ROLE many_owner;
