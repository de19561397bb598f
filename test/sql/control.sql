-- Control of jobs: defer.cancel, defer.reschedule, defer.rerun, defer.await
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE control_owner LOGIN;
CREATE ROLE control_member LOGIN;
CREATE ROLE control_other LOGIN;
GRANT control_owner TO control_member;
CREATE SCHEMA control;
GRANT ALL ON SCHEMA control TO control_owner;
GRANT USAGE ON SCHEMA control TO control_member, control_other;
GRANT USAGE ON SCHEMA defer TO control_owner, control_member, control_other;
SET search_path = control, public;

SET ROLE control_owner;
CREATE TABLE control_effect (x integer);
CREATE TABLE control_gate (open boolean);
CREATE FUNCTION control_work(x integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO control.control_effect VALUES (x);
  RETURN x * 2;
END $$;
CREATE FUNCTION control_fail(x integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO control.control_effect VALUES (x);
  RAISE EXCEPTION 'no luck with %', x USING ERRCODE = 'XY123';
END $$;
CREATE FUNCTION control_wait() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  WHILE NOT EXISTS (SELECT FROM control.control_gate) LOOP
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN 'through';
END $$;
CREATE FUNCTION control_nothing() RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION control_self() RETURNS jsonb LANGUAGE sql AS 'SELECT defer.await(defer.current_job())';

-- Waits until the job is in that state, three minutes at most
CREATE FUNCTION control_until(job bigint, wanted text) RETURNS text LANGUAGE plpgsql AS $$
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
-- Errors with the job's number taken out
CREATE FUNCTION control_error(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text;
  message text;
  detail text;
BEGIN
  EXECUTE sql;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
  RETURN regexp_replace(state || ': ' || message || ' | ' || detail, '(job|Job) \d+', '\1 N', 'g');
END $$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA control TO PUBLIC;

SELECT defer.configure('control_fail', max_attempts => 2, initial_interval => '0', randomization => 0);

-- Await: the result; NULL of one that returns nothing
SELECT defer.enqueue('control_work', '[21]') AS id \gset
SELECT defer.await(:id);
SELECT defer.await(:id, '0');
SELECT defer.await(:id, timeout => '1 hour');
SELECT defer.enqueue('control_nothing') AS id \gset
SELECT defer.await(:id, '30 s') IS NULL AS nothing;
-- at another isolation level
SELECT defer.enqueue('control_work', '[22]') AS id \gset
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT count(*) >= 0 AS snapshot FROM control_effect;
SELECT defer.await(:id, '30 s');
COMMIT;
-- a failure is the job's error
SELECT defer.enqueue('control_fail', '[23]') AS id \gset
SELECT control_error(format('SELECT defer.await(%s, ''30 s'')', :id));
SELECT control_error(format('SELECT defer.await(%s)', :id));
-- what can never end is refused at once
BEGIN;
SELECT control_error('SELECT defer.await(defer.enqueue(''control_work'', ''[24]''))');
SELECT defer.enqueue('control_work', '[24]') AS id \gset
SELECT control_error(format('SELECT defer.await(%s)', :id));
SAVEPOINT a;
SELECT control_error(format('SELECT defer.await(%s)', :id));
ROLLBACK;
SELECT control_error(format('SELECT defer.await(%s)', :id));
SELECT defer.enqueue('control_work', '[25]', delay => '1 hour') AS id \gset
BEGIN;
SELECT defer.reschedule(:id, now() + interval '2 hours');
SELECT control_error(format('SELECT defer.await(%s)', :id));
ROLLBACK;
SELECT control_error(format('SELECT defer.await(%s, ''10 ms'')', :id));
SELECT defer.cancel(:id);
SELECT control_error(format('SELECT defer.await(%s)', :id));
SELECT defer.enqueue('control_self', max_attempts => 1) AS id \gset
SELECT control_error(format('SELECT defer.await(%s, ''30 s'')', :id));
SELECT control_error('SELECT defer.await(NULL)');
SELECT control_error('SELECT defer.await(0)');
SELECT control_error('SELECT defer.await(0, ''-1 s'')');

-- Cancel: one that waits
SELECT defer.enqueue('control_work', '[31]', delay => '1 hour') AS id \gset
BEGIN;
SELECT defer.cancel(:id);
SELECT state FROM defer.jobs WHERE id = :id;
ROLLBACK;
SELECT state FROM defer.jobs WHERE id = :id;
SELECT defer.cancel(:id), defer.cancel(:id);
SELECT state, attempt, finished_at IS NOT NULL AS finished FROM defer.jobs WHERE id = :id;
SELECT defer.cancel(:id, force => true);
-- one that waits for a retry
SELECT defer.enqueue('control_fail', '[32]', initial_interval => '1 hour') AS id \gset
SELECT control_until(:id, 'retrying');
SELECT defer.cancel(:id);
SELECT state, attempt, sqlstate, error FROM defer.jobs WHERE id = :id;
-- many in one statement
SELECT count(defer.enqueue('control_work', '[33]', delay => '1 hour')) FROM generate_series(1, 1000);
SELECT count(*) FILTER (WHERE defer.cancel(id)) FROM defer.jobs WHERE state = 'scheduled' AND args = '[33]';
SELECT state, count(*) FROM defer.jobs WHERE args = '[33]' GROUP BY state;
-- one that runs: only by force
SELECT defer.enqueue('control_wait') AS id \gset
SELECT control_until(:id, 'running');
SELECT defer.cancel(:id);
SELECT defer.reschedule(:id);
SELECT state FROM defer.jobs WHERE id = :id;
SELECT defer.cancel(:id, force => true);
SELECT control_error(format('SELECT defer.await(%s, ''5 s'')', :id));
SELECT state FROM defer.jobs WHERE id = :id;
SELECT outcome FROM defer.attempts WHERE job_id = :id;
-- the same with a key, whose row its own transaction deletes
SELECT defer.enqueue('control_wait', key => 'control') AS id \gset
SELECT control_until(:id, 'running');
SELECT defer.cancel(:id);
SELECT defer.cancel(:id, force => true);
SELECT control_error(format('SELECT defer.await(%s, ''5 s'')', :id));
-- its key is free again
SELECT defer.enqueue('control_wait', key => 'control') <> :id AS another;
SELECT defer.enqueue('control_wait', key => 'control') AS id \gset
-- one that is finished
INSERT INTO control_gate VALUES (true);
SELECT defer.await(:id, '30 s');
SELECT defer.cancel(:id), defer.cancel(:id, force => true), defer.reschedule(:id);
DELETE FROM control_gate;
SELECT control_error('SELECT defer.cancel(0)');
SELECT control_error('SELECT defer.cancel(NULL)');

-- Reschedule: later, now, and for a retry
SELECT defer.enqueue('control_work', '[41]', delay => '1 hour') AS id \gset
SELECT defer.reschedule(:id, now() + interval '2 hours');
SELECT state, run_at - enqueued_at > interval '100 minutes' AS later FROM defer.jobs WHERE id = :id;
SELECT defer.reschedule(:id);
SELECT defer.await(:id, '30 s');
SELECT defer.enqueue('control_fail', '[42]', initial_interval => '1 hour') AS id \gset
SELECT control_until(:id, 'retrying');
SELECT defer.reschedule(:id);
SELECT control_error(format('SELECT defer.await(%s, ''30 s'')', :id));
SELECT attempt FROM defer.jobs WHERE id = :id;
SELECT defer.enqueue('control_work', '[43]', delay => '1 hour', discard_after => '2 hours') AS id \gset
SELECT regexp_replace(control_error(format('SELECT defer.reschedule(%s, now() + interval ''3 hours'')', :id)), 'before \d.*', 'before TIME');
SELECT control_error(format('SELECT defer.reschedule(%s, ''infinity'')', :id));
SELECT control_error(format('SELECT defer.reschedule(%s, ''-infinity'')', :id));
SELECT control_error(format('SELECT defer.reschedule(%s, NULL)', :id));
SELECT state FROM defer.jobs WHERE id = :id;
SELECT defer.cancel(:id);
SELECT control_error('SELECT defer.reschedule(0)');

-- Rerun: of one that has succeeded, failed, or is still there
SELECT defer.enqueue('control_work', '{"x": 51}', priority => 3, metadata => '{"m": 1}', max_attempts => 7,
                     key => 'control') AS id \gset
SELECT defer.await(:id, '30 s');
SELECT defer.rerun(:id) AS again \gset
SELECT defer.await(:again, '30 s');
SELECT count(*) FROM control_effect WHERE x = 51;
SELECT n.args, n.priority, n.metadata, n.max_attempts, n.key, n.owner, n.parent_id, n.rerun_of = :id AS rerun_of
  FROM defer.jobs n WHERE n.id = :again;
-- and of that again: each names the one that it was made of
SELECT defer.rerun(:again) AS third \gset
SELECT defer.await(:third, '30 s');
SELECT rerun_of = :id AS rerun_of FROM defer.jobs WHERE id = :third;
SELECT defer.enqueue('control_work', '[52]', delay => '1 hour') AS id \gset
SELECT defer.rerun(:id) AS again \gset
SELECT defer.await(:again, '30 s');
SELECT state FROM defer.jobs WHERE id = :id;
-- the function has gone
CREATE FUNCTION control_gone() RETURNS void LANGUAGE sql AS 'SELECT';
SELECT defer.enqueue('control_gone', delay => '1 hour') AS gone \gset
DROP FUNCTION control_gone();
SELECT control_error(format('SELECT defer.rerun(%s)', :gone));
SELECT defer.cancel(:gone);
SELECT control_error('SELECT defer.rerun(0)');
RESET ROLE;
-- the owner may not execute it any more
REVOKE EXECUTE ON FUNCTION control_work(integer) FROM PUBLIC, control_owner;
ALTER FUNCTION control_work(integer) OWNER TO postgres;
SELECT control_error(format('SELECT defer.rerun(%s)', :id));
ALTER FUNCTION control_work(integer) OWNER TO control_owner;
GRANT EXECUTE ON FUNCTION control_work(integer) TO control_owner;

-- Somebody else's job is as one that is not there
SET ROLE control_other;
SELECT control_error(format('SELECT defer.cancel(%s)', :id));
SELECT control_error(format('SELECT defer.cancel(%s, force => true)', :id));
SELECT control_error(format('SELECT defer.reschedule(%s)', :id));
SELECT control_error(format('SELECT defer.rerun(%s)', :id));
SELECT control_error(format('SELECT defer.await(%s)', :id));
SELECT control_error(format('SELECT defer.cancel(%s)', :again));
SELECT control_error(format('SELECT defer.rerun(%s)', :again));
SELECT control_error(format('SELECT defer.await(%s)', :again));
RESET ROLE;
-- A member of the owner manages it as the owner; the new job is the owner's
SET ROLE control_member;
SELECT defer.rerun(:id, force => true) AS again \gset
SELECT defer.await(:again, '30 s');
SELECT owner FROM defer.jobs WHERE id = :again;
SELECT defer.cancel(:id);
RESET ROLE;

-- Nothing is done in a transaction that is read only
BEGIN READ ONLY;
SELECT defer.cancel(:id);
ROLLBACK;

-- Pause holds, resume lets go
SET ROLE control_owner;
SELECT defer.pause('control_work');
SELECT defer.enqueue('control_work', '[61]') AS id \gset
SELECT control_error(format('SELECT defer.await(%s, ''200 ms'')', :id));
SELECT state FROM defer.jobs WHERE id = :id;
SELECT defer.resume('control_work');
SELECT defer.await(:id, '30 s');
SELECT defer.create_queue('control');
SELECT defer.pause_queue('control');
SELECT defer.enqueue('control_work', '[62]', queue => 'control') AS id \gset
SELECT control_error(format('SELECT defer.await(%s, ''200 ms'')', :id));
SELECT defer.resume_queue('control');
SELECT defer.await(:id, '30 s');
SELECT defer.drop_queue('control');
-- Also what was enqueued before the pause
SELECT defer.enqueue('control_work', '[63]', delay => '300 ms') AS id \gset
SELECT defer.pause('control_work');
SELECT control_error(format('SELECT defer.await(%s, ''600 ms'')', :id));
SELECT defer.resume('control_work');
SELECT defer.await(:id, '30 s');
RESET ROLE;

DELETE FROM defer.function WHERE signature LIKE 'control.%';
DROP SCHEMA control CASCADE;
DROP OWNED BY control_owner, control_member, control_other;
DROP ROLE control_owner, control_member, control_other;
