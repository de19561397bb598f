-- Keys: on_key, debounce_max, key_for; defer.enqueue_one, defer.last_enqueue
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE ROLE keys_owner LOGIN;
CREATE ROLE keys_other LOGIN;
CREATE SCHEMA keys;
GRANT ALL ON SCHEMA keys TO keys_owner;
GRANT USAGE ON SCHEMA keys, defer TO keys_owner, keys_other;
SET search_path = keys, public;
SET ROLE keys_owner;

CREATE TABLE keys_done (x text, job bigint DEFAULT defer.current_job());
CREATE TABLE keys_gate (open text);
CREATE FUNCTION keys_work(x text DEFAULT '') RETURNS text LANGUAGE sql AS 'INSERT INTO keys.keys_done VALUES (x) RETURNING x';
-- Runs until its gate is open
CREATE FUNCTION keys_wait(x text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  WHILE NOT EXISTS (SELECT FROM keys.keys_gate WHERE open = x) LOOP
    PERFORM pg_sleep(0.01);
  END LOOP;
  INSERT INTO keys.keys_done VALUES (x);
  RETURN x;
END $$;
CREATE FUNCTION keys_fail(x text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF x = 'fail' THEN
    RAISE EXCEPTION 'no luck';
  END IF;
  INSERT INTO keys.keys_done VALUES (x);
  RETURN x;
END $$;
-- Enqueues itself again, n times
CREATE FUNCTION keys_again(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF n > 0 THEN
    PERFORM defer.enqueue('keys.keys_again', jsonb_build_array(n - 1), key => 'again', on_key => 'replace');
  END IF;
  INSERT INTO keys.keys_done VALUES (n || ' ' || coalesce(defer.last_enqueue(), 'none'));
  RETURN n;
END $$;
-- Waits until the job is in that state, three minutes at most
CREATE FUNCTION keys_until(job bigint, wanted text) RETURNS text LANGUAGE plpgsql AS $$
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
CREATE FUNCTION keys_error(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text;
  message text;
  detail text;
  hint text;
BEGIN
  EXECUTE sql;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN state || ': ' || regexp_replace(message, 'job \d+', 'job N') || CASE WHEN detail <> '' THEN ' / ' || detail ELSE '' END
    || CASE WHEN hint <> '' THEN ' / ' || hint ELSE '' END;
END $$;

-- Errors
SELECT keys_error($$SELECT defer.enqueue('keys_work', on_key => 'replace')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key_for => '1 hour')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', debounce_max => '1 hour')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', debounce_max => '1 hour')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', on_key => 'replace', debounce_max => '1 hour')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', on_key => 'Replace')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', on_key => '')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', on_key => 'debounce')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', on_key => 'debounce', run_at => now() + interval '1 hour')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', on_key => 'debounce', delay => '0')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', on_key => 'debounce', delay => '1 minute', debounce_max => '59 s')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', on_key => 'debounce', delay => '1 minute', debounce_max => '102 years')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', key_for => '0')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'k', key_for => '-1 s')$$);
SELECT keys_error($$SELECT defer.command('SELECT 1', on_key => 'keep')$$);
SELECT count(*) AS jobs FROM defer.jobs WHERE function LIKE 'keys.%';

-- Of a job that waits: keep, replace, error
SELECT defer.pause('keys_work');
SELECT id AS first, outcome FROM defer.enqueue_one('keys_work', '["a"]', key => 'k', priority => 3, metadata => '{"n": 1}', max_attempts => 2) \gset
\echo :outcome
SELECT id = :first AS same, outcome FROM defer.enqueue_one('keys_work', '["b"]', key => 'k');
SELECT id = :first AS same, outcome FROM defer.enqueue_one('keys_work', '["b"]', key => 'k', on_key => 'keep');
SELECT keys_error($$SELECT defer.enqueue('keys_work', '["b"]', key => 'k', on_key => 'error')$$);
SELECT args, priority, metadata, max_attempts, run_at <= now() AS due FROM defer.jobs WHERE id = :first;
SELECT id = :first AS same, outcome
  FROM defer.enqueue_one('keys_work', '["c"]', key => 'k', on_key => 'replace', delay => '1 hour', metadata => '{"n": 2}', discard_after => '1 day');
SELECT args, priority, metadata, max_attempts, run_at > now() + interval '59 minutes' AS later, enqueued_at < run_at - interval '1 hour' AS first_enqueue,
       discard_at - run_at AS discard_after FROM defer.jobs WHERE id = :first;
SELECT id = :first AS same, outcome FROM defer.enqueue_one('keys_work', '["d"]', key => 'k', on_key => 'replace');
SELECT args, run_at <= clock_timestamp() AS due, discard_at FROM defer.jobs WHERE id = :first;
-- arguments of what replaces are checked, and nothing is changed by what is not right
SELECT keys_error($$SELECT defer.enqueue('keys_work', '{"y": 1}', key => 'k', on_key => 'replace')$$);
SELECT keys_error($$SELECT defer.enqueue('keys_work', jsonb_build_array(repeat('x', 2000000)), key => 'k', on_key => 'replace')$$);
SELECT args FROM defer.jobs WHERE id = :first;
-- the other options of the key do nothing to jobs with another key, or of another function
SELECT outcome FROM defer.enqueue_one('keys_work', '["e"]', key => 'k2', on_key => 'error');
SELECT outcome FROM defer.enqueue_one('keys_wait', '["none"]', key => 'k', on_key => 'error', delay => '1 hour');
SELECT defer.cancel(id) FROM defer.jobs WHERE key IN ('k', 'k2') AND id <> :first;

-- Rolled back: as it was
BEGIN;
SELECT outcome FROM defer.enqueue_one('keys_work', '["f"]', key => 'k', on_key => 'replace');
ROLLBACK;
SELECT args FROM defer.jobs WHERE id = :first;

-- defer.last_enqueue() is of the transaction
SELECT defer.last_enqueue();
BEGIN;
SELECT defer.last_enqueue();
SELECT defer.enqueue('keys_work', key => 'k') = :first AS same;
SELECT defer.last_enqueue();
SELECT defer.enqueue('keys_work', '["d"]', key => 'k', on_key => 'replace') = :first AS same;
SELECT defer.last_enqueue();
SELECT defer.later('keys_work') > 0 AS made;
SELECT defer.last_enqueue();
ROLLBACK;
SELECT defer.last_enqueue();

-- Twice in one transaction: the second sees the first
BEGIN;
SELECT id AS own, outcome FROM defer.enqueue_one('keys_work', '["1"]', key => 'own', on_key => 'replace') \gset
\echo :outcome
SELECT id = :own AS same, outcome FROM defer.enqueue_one('keys_work', '["2"]', key => 'own', on_key => 'replace');
SAVEPOINT s;
SELECT id = :own AS same, outcome FROM defer.enqueue_one('keys_work', '["3"]', key => 'own', on_key => 'replace');
ROLLBACK TO s;
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'own', on_key => 'error')$$);
COMMIT;
SELECT args FROM defer.jobs WHERE id = :own;
SELECT defer.cancel(:own);
SELECT id <> :own AS another, outcome FROM defer.enqueue_one('keys_work', '["4"]', key => 'own', on_key => 'error');
SELECT defer.cancel(id) FROM defer.jobs WHERE key = 'own' AND state = 'queued';

-- It runs with what replaced it
SELECT defer.resume('keys_work');
SELECT defer.await(:first, '3 minutes');
SELECT x, job = :first AS first FROM keys_done;
SELECT outcome FROM defer.enqueue_one('keys_work', '["g"]', key => 'k', on_key => 'error', delay => '1 day');
SELECT defer.cancel(id) FROM defer.jobs WHERE key = 'k' AND state = 'scheduled';

-- Debounce: the time begins anew, up to debounce_max after the first
SELECT id AS d, outcome FROM defer.enqueue_one('keys_work', '["1"]', key => 'd', on_key => 'debounce', delay => '1 hour') \gset
\echo :outcome
SELECT id = :d AS same, outcome FROM defer.enqueue_one('keys_work', '["2"]', key => 'd', on_key => 'debounce', delay => '2 hours');
SELECT args, run_at - enqueued_at > '2 hours' AS later FROM defer.jobs WHERE id = :d;
SELECT outcome FROM defer.enqueue_one('keys_work', '["3"]', key => 'd', on_key => 'debounce', delay => '3 hours', debounce_max => '3 hours', discard_after => '1 hour');
SELECT args, run_at - enqueued_at AS after_the_first, discard_at - run_at AS discard_after FROM defer.jobs WHERE id = :d;
-- debounce_max is over: now
SELECT outcome FROM defer.enqueue_one('keys_work', '["4"]', key => 'd', on_key => 'debounce', delay => '1 microsecond', debounce_max => '1 microsecond');
SELECT defer.await(:d, '3 minutes');

-- Beside a running job: the new one waits for its end, and has the key
SELECT id AS ahead, outcome FROM defer.enqueue_one('keys_wait', '["1"]', key => 'r', on_key => 'replace') \gset
SELECT keys_until(:ahead, 'running');
SELECT id = :ahead AS same, outcome FROM defer.enqueue_one('keys_wait', '["none"]', key => 'r');
SELECT keys_error($$SELECT defer.enqueue('keys_wait', '["none"]', key => 'r', on_key => 'error')$$);
SELECT id AS behind, outcome FROM defer.enqueue_one('keys_wait', '["none"]', key => 'r', on_key => 'replace') \gset
\echo :outcome
SELECT id = :behind AS same, outcome FROM defer.enqueue_one('keys_wait', '["2"]', key => 'r', on_key => 'replace');
SELECT id = :behind AS same, outcome FROM defer.enqueue_one('keys_wait', '["3"]', key => 'r');
SELECT id = :behind AS second, state, run_at = 'infinity' AS held, behind = :ahead AS behind, args FROM defer.jobs WHERE id IN (:ahead, :behind) ORDER BY id;
-- the one that waits is cancelled: the running one has its key again
SELECT defer.cancel(:behind);
SELECT id = :ahead AS same, outcome FROM defer.enqueue_one('keys_wait', '["none"]', key => 'r');
SELECT id AS behind, outcome FROM defer.enqueue_one('keys_wait', '["none"]', key => 'r', on_key => 'debounce', delay => '1 hour', discard_after => '1 hour') \gset
\echo :outcome
-- rescheduled, it still waits
SELECT defer.reschedule(:behind);
SELECT run_at, behind = :ahead AS behind FROM defer.jobs WHERE id = :behind;
SELECT outcome FROM defer.enqueue_one('keys_wait', '["2"]', key => 'r', on_key => 'replace', discard_after => '1 hour');
INSERT INTO keys_gate VALUES ('1');
SELECT defer.await(:ahead, '3 minutes');
SELECT keys_until(:behind, 'running');
SELECT behind, run_at <= now() AS due, discard_at - run_at AS discard_after FROM defer.jobs WHERE id = :behind;
INSERT INTO keys_gate VALUES ('2');
SELECT defer.await(:behind, '3 minutes');
SELECT key, state FROM defer.jobs WHERE id IN (:ahead, :behind) ORDER BY id;
SELECT outcome FROM defer.enqueue_one('keys_wait', '["1"]', key => 'r', on_key => 'error');

-- A job does not wait for the one that waits for it
CREATE FUNCTION keys_circle() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  behind bigint;
BEGIN
  LOOP
    SELECT id INTO behind FROM defer.jobs WHERE key = 'circle' AND state = 'scheduled';
    EXIT WHEN found;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN defer.await(behind);
END $$;
SELECT defer.enqueue('keys_circle', key => 'circle', max_attempts => 1) AS circle \gset
SELECT keys_until(:circle, 'running');
SELECT id AS behind, outcome FROM defer.enqueue_one('keys_circle', key => 'circle', on_key => 'replace', delay => '1 hour') \gset
\echo :outcome
SELECT keys_until(:circle, 'failed');
SELECT regexp_replace(error, '\d+', 'N', 'g') AS error FROM defer.jobs WHERE id = :circle;
SELECT behind, state FROM defer.jobs WHERE id = :behind;
SELECT defer.cancel(:behind);

-- The running one is cancelled: that is an end, too
SELECT id AS ahead FROM defer.enqueue_one('keys_wait', '["never"]', key => 'c') \gset
SELECT keys_until(:ahead, 'running');
SELECT id AS behind, outcome FROM defer.enqueue_one('keys_wait', '["1"]', key => 'c', on_key => 'replace') \gset
\echo :outcome
SELECT defer.cancel(:ahead, force => true);
SELECT defer.await(:behind, '3 minutes');
SELECT state FROM defer.jobs WHERE id IN (:ahead, :behind) ORDER BY id;

-- Between two attempts it does not run: it is replaced, and its attempts begin anew
SELECT id AS f FROM defer.enqueue_one('keys_fail', '["fail"]', key => 'f', max_attempts => 2, initial_interval => '1 hour', randomization => 0) \gset
SELECT keys_until(:f, 'retrying');
SELECT id = :f AS same, outcome FROM defer.enqueue_one('keys_fail', '["fail"]', key => 'f', on_key => 'replace', max_attempts => 2, initial_interval => '1 hour');
SELECT keys_until(:f, 'retrying');
SELECT attempt, error FROM defer.jobs WHERE id = :f;
SELECT id = :f AS same, outcome FROM defer.enqueue_one('keys_fail', '["well"]', key => 'f', on_key => 'debounce', delay => '1 microsecond', debounce_max => '1 microsecond');
SELECT defer.await(:f, '3 minutes');
SELECT state, attempt, error, (SELECT count(*) FROM defer.attempts WHERE job_id = :f) AS failed FROM defer.jobs WHERE id = :f;

-- Behind one that is tried again: it waits until that one has ended for good
CREATE TABLE keys_tries (n int);
CREATE FUNCTION keys_thrice() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  WHILE NOT EXISTS (SELECT FROM keys.keys_gate WHERE open = 'thrice') LOOP
    PERFORM pg_sleep(0.01);
  END LOOP;
  IF EXISTS (SELECT FROM keys.keys_gate WHERE open = 'now') THEN
    INSERT INTO keys.keys_done VALUES ('thrice');
    RETURN 'done';
  END IF;
  RAISE EXCEPTION 'not yet';
END $$;
SELECT defer.enqueue('keys_thrice', key => 't', initial_interval => '1 hour') AS ahead \gset
SELECT keys_until(:ahead, 'running');
SELECT id AS behind, outcome FROM defer.enqueue_one('keys_thrice', key => 't', on_key => 'replace') \gset
\echo :outcome
INSERT INTO keys_gate VALUES ('thrice');
SELECT keys_until(:ahead, 'retrying');
SELECT id = :behind AS same, outcome FROM defer.enqueue_one('keys_thrice', key => 't', on_key => 'replace');
SELECT state, behind = :ahead AS behind FROM defer.jobs WHERE id = :behind;
INSERT INTO keys_gate VALUES ('now');
SELECT defer.reschedule(:ahead);
SELECT defer.await(:ahead, '3 minutes'), defer.await(:behind, '3 minutes');
SELECT job = :behind AS behind FROM keys_done WHERE x = 'thrice' ORDER BY job;
-- ... or is cancelled between attempts
DELETE FROM keys_gate;
SELECT defer.enqueue('keys_thrice', key => 't', initial_interval => '1 hour') AS ahead \gset
SELECT keys_until(:ahead, 'running');
SELECT defer.enqueue('keys_thrice', key => 't', on_key => 'replace', initial_interval => '1 hour') AS behind \gset
INSERT INTO keys_gate VALUES ('thrice');
SELECT keys_until(:ahead, 'retrying');
SELECT defer.cancel(:ahead);
SELECT keys_until(:behind, 'retrying');
SELECT defer.cancel(:behind);

-- A job that enqueues itself again: one after the other
SELECT defer.enqueue('keys_again', '[3]', key => 'again') AS again \gset
DO $$
BEGIN
  FOR i IN 1..18000 LOOP
    EXIT WHEN (SELECT count(*) FROM defer.jobs WHERE key = 'again' AND state = 'succeeded') = 4;
    PERFORM pg_sleep(0.01);
  END LOOP;
END $$;
SELECT x FROM keys_done WHERE x LIKE '% queued_behind' OR x LIKE '% none' ORDER BY job;

-- key_for: the key counts after the end, too
SELECT defer.enqueue('keys_work', '["throttled"]', key => 'h', key_for => '1 hour') AS held \gset
SELECT defer.await(:held, '3 minutes');
SELECT id = :held AS same, outcome FROM defer.enqueue_one('keys_work', key => 'h', key_for => '1 s');
SELECT id = :held AS same, outcome FROM defer.enqueue_one('keys_work', key => 'h');
SELECT id = :held AS same, outcome FROM defer.enqueue_one('keys_work', key => 'h', on_key => 'replace');
SELECT id = :held AS same, outcome FROM defer.enqueue_one('keys_work', key => 'h', on_key => 'debounce', delay => '1 hour');
SELECT keys_error($$SELECT defer.enqueue('keys_work', key => 'h', on_key => 'error')$$);
SELECT outcome FROM defer.enqueue_one('keys_wait', '["1"]', key => 'h', on_key => 'error', delay => '1 hour');
-- also if it was cancelled, and in the same transaction
BEGIN;
SELECT defer.enqueue('keys_work', key => 'h2', key_for => '1 hour', delay => '1 hour') AS held \gset
SELECT id = :held AS same, outcome FROM defer.enqueue_one('keys_work', '["x"]', key => 'h2', on_key => 'replace', delay => '1 hour');
SELECT defer.cancel(:held);
SELECT id = :held AS same, outcome FROM defer.enqueue_one('keys_work', key => 'h2', on_key => 'replace');
COMMIT;
SELECT id = :held AS same, outcome FROM defer.enqueue_one('keys_work', key => 'h2');
-- rolled back: it never counted
BEGIN;
SELECT defer.enqueue('keys_work', key => 'h3', key_for => '1 hour', delay => '1 hour') > 0 AS made;
ROLLBACK;
SELECT id AS h3, outcome FROM defer.enqueue_one('keys_work', key => 'h3', key_for => '1 microsecond') \gset
\echo :outcome
-- it is over
SELECT defer.await(:h3, '3 minutes') IS NOT NULL AS done;
SELECT id <> :h3 AS another, outcome FROM defer.enqueue_one('keys_work', key => 'h3', key_for => '1 hour');
-- one that runs in that time is kept: another would be the second of that time
SELECT id AS h4, outcome FROM defer.enqueue_one('keys_wait', '["h4"]', key => 'h4', key_for => '1 hour') \gset
SELECT keys_until(:h4, 'running');
SELECT id = :h4 AS same, outcome FROM defer.enqueue_one('keys_wait', '["h4"]', key => 'h4', on_key => 'replace');
INSERT INTO keys_gate VALUES ('h4');
SELECT defer.await(:h4, '3 minutes');

-- Commands have keys of their own
SELECT id AS c, outcome FROM (SELECT defer.command('SELECT 1', key => 'c', delay => '1 hour') AS id, defer.last_enqueue() AS outcome) x \gset
SELECT defer.command('SELECT 2', key => 'c', on_key => 'replace', delay => '1 hour') = :c AS same;
SELECT args FROM defer.jobs WHERE id = :c;
SELECT keys_error($$SELECT defer.command('SELECT 2', key => 'c', on_key => 'error')$$);
SELECT defer.cancel(:c);
SELECT defer.command('SELECT 7 AS x', key => 'c2', key_for => '1 hour') AS c2 \gset
SELECT defer.await(:c2, '3 minutes');
SELECT defer.command('SELECT 8 AS x', key => 'c2', on_key => 'debounce', delay => '1 hour') = :c2 AS kept;

-- Deliveries, too
RESET ROLE;
GRANT EXECUTE ON FUNCTION defer.http TO keys_owner;
SET ROLE keys_owner;
SELECT defer.http('GET', 'http://127.0.0.1:9/a', key => 'u', delay => '1 hour') AS u \gset
SELECT defer.http('GET', 'http://127.0.0.1:9/b', key => 'u', on_key => 'replace', delay => '1 hour') = :u AS same;
SELECT args ->> 'url' AS url FROM defer.jobs WHERE id = :u;
SELECT defer.cancel(:u);

-- Another role's keys are its own
GRANT EXECUTE ON FUNCTION keys_work(text) TO keys_other;
SELECT defer.enqueue('keys_work', '["mine"]', key => 'o', delay => '1 hour', key_for => '1 hour') AS mine \gset
SET ROLE keys_other;
SELECT id <> :mine AS another, outcome FROM defer.enqueue_one('keys.keys_work', '["theirs"]', key => 'o', on_key => 'replace', delay => '1 hour');
SELECT defer.cancel(id) FROM defer.jobs WHERE key = 'o';
SET ROLE keys_owner;
SELECT args FROM defer.jobs WHERE id = :mine;
SELECT defer.cancel(:mine);
SELECT * FROM defer.key_hold;
RESET ROLE;

-- Read only, and in a serializable transaction
BEGIN READ ONLY;
SELECT defer.enqueue_one('keys_work', key => 'k');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT outcome FROM defer.enqueue_one('keys_work', '["s"]', key => 's', on_key => 'replace', delay => '1 hour', key_for => '1 hour');
SELECT outcome FROM defer.enqueue_one('keys_work', '["s"]', key => 's', on_key => 'replace', delay => '1 hour', key_for => '1 hour');
ROLLBACK;

SELECT count(defer.cancel(id)) >= 0 AS cleaned FROM defer.jobs WHERE function LIKE 'keys.%' AND state IN ('queued', 'scheduled', 'retrying');
DELETE FROM defer.function WHERE signature LIKE 'keys.%';
DROP SCHEMA keys CASCADE;
DELETE FROM defer.key_hold WHERE owner = 'keys_owner'::regrole;
DROP OWNED BY keys_owner, keys_other;
DROP ROLE keys_owner, keys_other;
