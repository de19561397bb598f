-- Jobs that come after other jobs: after, after_failure, defer.result, defer.inputs
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE after_owner LOGIN;
CREATE ROLE after_other LOGIN;
CREATE SCHEMA after AUTHORIZATION after_owner;
GRANT USAGE ON SCHEMA after TO after_other;
GRANT USAGE ON SCHEMA defer TO after_owner, after_other;
SET search_path = after, public;

SET ROLE after_owner;
CREATE TABLE gate (open text);
CREATE TABLE ran (job bigint, what text, inputs jsonb);
GRANT SELECT ON gate TO after_other;
CREATE FUNCTION work(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO after.ran SELECT defer.current_job(), what, (SELECT jsonb_agg(jsonb_build_array(i.state, i.result)) FROM defer.inputs() i);
  RETURN 'result of ' || what;
END $$;
CREATE FUNCTION gated(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  WHILE NOT EXISTS (SELECT FROM after.gate WHERE open IN (what, 'all')) LOOP
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN after.work(what);
END $$;
CREATE FUNCTION fails(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM after.gate WHERE open = 'mended ' || what) THEN
    RAISE EXCEPTION 'no luck with %', what;
  END IF;
  RETURN after.work(what);
END $$;
SELECT defer.configure('fails', max_attempts => 1);

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
CREATE FUNCTION reason(job bigint) RETURNS text LANGUAGE sql AS
  $$ SELECT state || ': ' || regexp_replace(error, '\d+', 'N', 'g') FROM defer.jobs WHERE id = job $$;

-- It waits for both, and has their results, in the order in which they were named
SELECT defer.enqueue('gated', '["a"]') AS a \gset
SELECT defer.enqueue('gated', '["b"]') AS b \gset
SELECT defer.enqueue('work', '["c"]', after => ARRAY[:b, :a, :b]) AS c \gset
SELECT state, run_at < now() AS run_at, started_at FROM defer.jobs WHERE id = :c;
SELECT waiting_for FROM defer.jobs WHERE id = :c;
SELECT reason, regexp_replace(detail, '\d+', 'N', 'g') AS detail, until FROM defer.why(:c);
SELECT ord, after_id = CASE ord WHEN 1 THEN :b ELSE :a END AS after, after_failure, state, open FROM defer.dependencies WHERE job_id = :c ORDER BY ord;
SELECT count(*) FROM defer.find_jobs(states => '{waiting}', function => 'after.work(text)');
SELECT waiting, queued FROM defer.functions WHERE function = 'after.work(text)';
SELECT waiting > 0 AS waiting FROM defer.queues WHERE queue = 'default';
SELECT error_of(format('SELECT defer.result(%s)', :c));
INSERT INTO gate VALUES ('a');
SELECT until(:a, 'succeeded');
SELECT state FROM defer.jobs WHERE id = :c;
SELECT ord, state, open FROM defer.dependencies WHERE job_id = :c ORDER BY ord;
INSERT INTO gate VALUES ('b');
SELECT until(:c, 'succeeded');
SELECT inputs FROM ran WHERE job = :c;
SELECT defer.result(:a), defer.result(:c);
SELECT bool_and(p.finished_at <= c.started_at) AS in_order FROM defer.jobs p, defer.jobs c WHERE p.id IN (:a, :b) AND c.id = :c;
SELECT ord, state, open FROM defer.dependencies WHERE job_id = :c ORDER BY ord;

-- After jobs that have ended it begins at once
SELECT defer.enqueue('work', '["d"]', after => ARRAY[:a, :c]) AS d \gset
SELECT until(:d, 'succeeded');
SELECT inputs FROM ran WHERE job = :d;
-- After none, too
SELECT defer.enqueue('work', '["none"]', after => '{}') AS made1 \gset
SELECT until(:made1, 'succeeded');

-- A chain in one statement, one in one transaction, and one job after many
WITH RECURSIVE chain(n, id) AS (
  SELECT 1, defer.enqueue('work', '["chain"]')
  UNION ALL
  SELECT n + 1, defer.enqueue('work', '["chain"]', after => ARRAY[id]) FROM chain WHERE n < 50)
SELECT max(id) AS last FROM chain \gset
SELECT until(:last, 'succeeded');
SELECT count(*) FROM ran WHERE what = 'chain';
SELECT defer.enqueue('work', '["many"]', after => array_agg(defer.enqueue('work', '["one of many"]'))) AS many FROM generate_series(1, 300) \gset
SELECT until(:many, 'succeeded');
SELECT jsonb_array_length(inputs), (SELECT count(*) FROM ran WHERE what = 'one of many') FROM ran WHERE job = :many;
SELECT defer.enqueue('gated', '["first"]') AS first \gset
SELECT count(defer.enqueue('work', '["follower"]', after => ARRAY[:first])) FROM generate_series(1, 1234);
SELECT waiting FROM defer.functions WHERE function = 'after.work(text)';
INSERT INTO gate VALUES ('first');
SELECT bool_and(until(id, 'succeeded') = 'succeeded') FROM defer.jobs WHERE args = '["follower"]';
SELECT count(*), count(DISTINCT job) FROM ran WHERE what = 'follower';
SELECT count(*) FROM defer.dependencies WHERE open;

-- When one fails: cancelled, with those behind it; or it goes on; or it is held
SELECT defer.enqueue('gated', '["g"]') AS g \gset
SELECT defer.enqueue('fails', '["x"]', after => ARRAY[:g]) AS x \gset
SELECT defer.enqueue('work', '["x1"]', after => ARRAY[:x], key => 'x1') AS x1 \gset
SELECT defer.enqueue('work', '["x2"]', after => ARRAY[:x1], after_failure => 'cancel') AS x2 \gset
SELECT defer.enqueue('work', '["x3"]', after => ARRAY[:x2, :x], after_failure => 'run') AS x3 \gset
SELECT defer.enqueue('work', '["x4"]', after => ARRAY[:x], after_failure => 'hold') AS x4 \gset
SELECT defer.enqueue('work', '["x5"]', after => ARRAY[:x4]) AS x5 \gset
INSERT INTO gate VALUES ('g');
SELECT until(:x, 'failed'), until(:x1, 'cancelled'), until(:x2, 'cancelled'), until(:x3, 'succeeded');
SELECT reason(:x1), reason(:x2);
SELECT error = format('job %s, which it came after, failed', :x) AS named FROM defer.jobs WHERE id = :x1;
SELECT inputs FROM ran WHERE job = :x3;
SELECT state FROM defer.jobs WHERE id IN (:x4, :x5);
SELECT state, open, after_failure FROM defer.dependencies WHERE job_id IN (:x4, :x5) ORDER BY job_id;
SELECT reason, regexp_replace(detail, '\d+', 'N', 'g') AS detail FROM defer.why(:x4);
RESET ROLE;
SELECT severity, finding, regexp_replace(hint, '\d+', 'N', 'g') AS hint FROM defer.health WHERE finding LIKE '%after.work%rerun%';
SET ROLE after_other;
SELECT count(*) FROM defer.health WHERE finding LIKE '%rerun%';
RESET ROLE;
SET ROLE after_owner;
-- a rerun that fails, too, changes nothing; the success of a rerun of that one counts
SELECT defer.rerun(:x) AS xr \gset
SELECT until(:xr, 'failed');
SELECT state FROM defer.jobs WHERE id = :x4;
INSERT INTO gate VALUES ('mended x');
SELECT defer.rerun(:xr) AS xr2 \gset
SELECT rerun_of = :x AS first_of_line FROM defer.jobs WHERE id = :xr2;
SELECT until(:x5, 'succeeded'), until(:x4, 'succeeded');
SELECT inputs FROM ran WHERE job = :x4;
SELECT after_id = :xr2 AS after, state, open FROM defer.dependencies WHERE job_id = :x4;
-- one that has failed already
SELECT defer.enqueue('work', '["y"]', after => ARRAY[:a, :x]) AS y \gset
SELECT reason(:y);
SELECT defer.enqueue('work', '["y2"]', after => ARRAY[:x], after_failure => 'run') AS made2 \gset
SELECT until(:made2, 'succeeded');
SELECT defer.enqueue('work', '["y3"]', after => ARRAY[:x], after_failure => 'hold') AS y3 \gset
SELECT state FROM defer.jobs WHERE id = :y3;
SELECT defer.rerun(:x, force => true) AS made3 \gset
SELECT until(:made3, 'succeeded'), until(:y3, 'succeeded');

-- Control of jobs that wait
SELECT defer.enqueue('gated', '["h"]') AS h \gset
SELECT defer.enqueue('work', '["h1"]', after => ARRAY[:h], key => 'h1') AS h1 \gset
SELECT defer.enqueue('work', '["h1"]', key => 'h1') = :h1 AS kept, defer.enqueue('work', '["h1"]', after => ARRAY[:h], key => 'h1') = :h1 AS kept;
SELECT defer.enqueue('work', '["h2"]', after => ARRAY[:h1]) AS h2 \gset
SELECT defer.enqueue('work', '["h3"]', after => ARRAY[:h], discard_after => '1 day') AS h3 \gset
SELECT defer.enqueue('work', '["h4"]', after => ARRAY[:h], run_at => now() + interval '1 day', discard_after => '1 hour') AS h4 \gset
SELECT defer.cancel(:h1), defer.cancel(:h1);
SELECT until(:h2, 'cancelled'), reason(:h2);
SELECT defer.reschedule(:h3, now() + interval '2 days');
SELECT state, run_at > now() + interval '1 day' AS later, discard_at FROM defer.jobs WHERE id = :h3;
SELECT error_of(format('SELECT defer.await(%s, timeout => %L)', :h3, '10 ms'));
SELECT defer.rerun(:h3) AS made4 \gset
SELECT until(:made4, 'succeeded');
INSERT INTO gate VALUES ('h');
SELECT until(:h3, 'scheduled'), until(:h4, 'scheduled');
SELECT run_at > now() + interval '1 day' AS later, discard_at - run_at AS discard FROM defer.jobs WHERE id IN (:h3, :h4) ORDER BY id;
SELECT defer.reschedule(:h3), defer.cancel(:h4);
SELECT until(:h3, 'succeeded');
-- discard_after does not count while it waits
SELECT defer.enqueue('gated', '["i"]') AS i \gset
SELECT defer.enqueue('work', '["i1"]', after => ARRAY[:i], discard_after => '1 ms') AS i1 \gset
SELECT pg_sleep(0.05);
SELECT state FROM defer.jobs WHERE id = :i1;
INSERT INTO gate VALUES ('i');
SELECT until(:i, 'succeeded');

-- A job after the one that enqueues it, and after commands and procedures
CREATE FUNCTION enqueues() RETURNS bigint LANGUAGE sql AS
  $$ SELECT defer.enqueue('after.work', '["after its parent"]', after => ARRAY[defer.current_job()]) $$;
SELECT defer.enqueue('enqueues') AS parent \gset
SELECT defer.await(:parent) AS child \gset
SELECT until(:child, 'succeeded');
SELECT inputs->0->>0 AS state, inputs->0->>1 = :'child' AS result FROM ran WHERE job = :child;
SELECT defer.command('SELECT 1', after => ARRAY[defer.command('VACUUM after.ran')]) AS made5 \gset
SELECT until(:made5, 'succeeded');

-- Many at once: all of them, or some, after others
SELECT defer.enqueue('gated', '["m"]') AS m \gset
SELECT ord, outcome FROM defer.enqueue_many('work', '[{"args": ["m1"]}, {"args": ["m2"]}]', after => ARRAY[:m]);
SELECT ord, outcome FROM defer.enqueue_many('work', format('[{"args": ["m3"], "after": [%s]}, {"args": ["m4"]}]', :m)::jsonb);
SELECT args, state = 'waiting' AS waiting FROM defer.jobs WHERE args->>0 LIKE 'm_' ORDER BY id;
SELECT error_of($$ SELECT * FROM defer.enqueue_many('work', '[{"args": ["z"], "after": ["x"]}]') $$);
-- by places in the array, too
SELECT count(m.id) FROM defer.enqueue_many('work', jsonb_build_array(
  '{"args": ["o1"]}'::jsonb, '{"args": ["o2"], "after_ord": [1]}'::jsonb,
  jsonb_build_object('args', '["o3"]'::jsonb, 'after', jsonb_build_array(:m), 'after_ord', '[2, 1]'::jsonb),
  '{"args": ["o4"], "after_ord": []}'::jsonb, '{"args": ["o5"], "after_ord": null}'::jsonb)) m;
SELECT j.args ->> 0 AS what, d.ord, (SELECT a.args ->> 0 FROM defer.jobs a WHERE a.id = d.after_id) AS after
  FROM defer.jobs j JOIN defer.dependencies d ON d.job_id = j.id WHERE j.args ->> 0 LIKE 'o_' ORDER BY 1, 2;
SELECT error_of(format($$ SELECT * FROM defer.enqueue_many('work', '[{"args": ["z"]}, {"args": ["z"], "after_ord": %s}]') $$, o))
  FROM unnest('{[2],[0],[-1],[3],1,"[\"1\"]","[null]"}'::text[]) o;
INSERT INTO gate VALUES ('m');
SELECT bool_and(until(id, 'succeeded') = 'succeeded') FROM defer.jobs WHERE args->>0 LIKE 'm_' OR args->>0 LIKE 'o_';

-- Nothing of it after a rollback, of a part, too
BEGIN;
SELECT defer.enqueue('gated', '["r"]') AS r \gset
SAVEPOINT s;
SELECT defer.enqueue('work', '["r1"]', after => ARRAY[:r]) AS r1 \gset
ROLLBACK TO s;
SELECT defer.enqueue('work', '["r2"]', after => ARRAY[:r]) AS r2 \gset
COMMIT;
SELECT state FROM defer.jobs WHERE id IN (:r, :r1, :r2) AND id <> :r;
SELECT count(*) FROM defer.dependencies WHERE job_id IN (:r1, :r2);
BEGIN;
SELECT defer.cancel(:r) IS NOT NULL AS rolled_back;
ROLLBACK;
INSERT INTO gate VALUES ('all');
SELECT until(:r2, 'succeeded');

-- Typed arguments
DELETE FROM gate;
CREATE FUNCTION sum_of(a int DEFAULT 1, b numeric DEFAULT 2) RETURNS numeric LANGUAGE sql AS 'SELECT a + b';
SELECT defer.enqueue('gated', '["first"]') AS f \gset
SELECT defer.later_after(ARRAY[:f], 'sum_of', 3::bigint, 1.5) AS l1, defer.later_after(ARRAY[:f], 'sum_of', '4', '2') AS l2,
  defer.later_after(ARRAY[:f], 'sum_of') AS l3, defer.later_after(ARRAY[:f], 'sum_of', VARIADIC ARRAY['5']) AS l4, defer.later_after('{}', 'sum_of', 6) AS l5 \gset
SELECT until(:l5, 'succeeded');
SELECT state, args, waiting_for IS NOT NULL AS waits FROM defer.jobs WHERE id IN (:l1, :l2, :l3, :l4) ORDER BY id;
INSERT INTO gate VALUES ('all');
SELECT until(id, 'succeeded') FROM unnest(ARRAY[:l1, :l2, :l3, :l4]::bigint[]) id;
SELECT result FROM defer.jobs WHERE id IN (:l1, :l2, :l3, :l4, :l5) ORDER BY id;
SELECT error_of($$ SELECT defer.later_after(NULL, 'sum_of', 1) $$);
SELECT error_of($$ SELECT defer.later_after('{0}', 'sum_of', 1) $$);
SELECT error_of($$ SELECT defer.later_after('{}', 'sum_of', 1, 2, 3) $$);

-- Bad input: nothing is enqueued
SELECT count(*) AS before FROM defer.jobs \gset
SELECT error_of($$ SELECT defer.enqueue('work', '["z"]', after => ARRAY[0]) $$);
SELECT error_of($$ SELECT defer.enqueue('work', '["z"]', after => ARRAY[9223372036854775807]) $$);
SELECT error_of(format($$ SELECT defer.enqueue('work', '["z"]', after => ARRAY[%s, NULL]) $$, :a));
SELECT error_of(format($$ SELECT defer.enqueue('work', '["z"]', after => ARRAY[%s], after_failure => 'skip') $$, :a));
SELECT error_of($$ SELECT defer.enqueue('work', '["z"]', after_failure => 'run') $$);
SELECT error_of($$ SELECT * FROM defer.inputs() $$);
SELECT error_of($$ SELECT defer.result(NULL) $$);
SELECT error_of($$ SELECT defer.result(-1) $$);
RESET ROLE;
SET ROLE after_other;
SELECT error_of(format($$ SELECT defer.command('SELECT 1', after => ARRAY[%s]) $$, :a));
SELECT error_of(format($$ SELECT defer.result(%s) $$, :a));
SELECT count(*) FROM defer.dependencies;
RESET ROLE;
SET ROLE after_owner;
SELECT count(*) = :before AS nothing FROM defer.jobs;
-- the one that has a millisecond may be discarded
SELECT bool_and(until(id, 'succeeded') = 'succeeded') FROM defer.jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled', 'discarded') AND owner = 'after_owner' AND id <> :i1;
RESET ROLE;
SELECT count(*) FROM defer.dependency WHERE open;
