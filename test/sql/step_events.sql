-- Events and signals: what steps wait for, time-outs, who may emit
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE events_owner LOGIN;
CREATE ROLE events_other LOGIN;
CREATE ROLE events_group;
GRANT events_group TO events_other;
CREATE SCHEMA events;
GRANT ALL ON SCHEMA events TO events_owner, events_other;
GRANT USAGE ON SCHEMA defer TO events_owner, events_other;
ALTER ROLE events_owner SET search_path = events, public;
ALTER ROLE events_other SET search_path = events, public;
SET search_path = events, public;
SET ROLE events_owner;

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
  CALL events.until(format('SELECT state = %L FROM defer.jobs WHERE id = %s', wanted, job));
END $$;
CREATE FUNCTION error_of(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text;
  message text;
BEGIN
  EXECUTE sql;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
  RETURN format('%s: %s', state, regexp_replace(message, 'job \d+', 'job N'));
END $$;
CREATE TABLE effect (place bigserial, what text);
CREATE PROCEDURE waits(event text, timeout interval DEFAULT NULL, INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO events.effect (what) VALUES ('before ' || event);
  CALL defer.wait_event('wait', event, timeout, answer);
  INSERT INTO events.effect (what) VALUES ('after ' || event);
  IF answer IS NULL THEN answer := '"timed out"'; END IF;
END $$;

--
-- Events
--
SELECT defer.enqueue('waits', '["ordered"]') AS a, defer.enqueue('waits', '["ordered", "1 day"]') AS b, defer.enqueue('waits', '["other"]') AS c \gset
CALL state_is(:a, 'waiting');
CALL state_is(:b, 'waiting');
CALL state_is(:c, 'waiting');
SELECT state, waiting_for, run_at, attempt FROM defer.jobs WHERE id = :a;
SELECT reason, detail, until FROM defer.why(:a);
SELECT reason, detail, until > now() + interval '23 hours' AS later FROM defer.why(:b);
SELECT name, kind, state, awaits, until FROM defer.steps WHERE job_id = :a;
-- woken too early it waits on
SELECT defer.reschedule(:a, now());
CALL until(format('SELECT run_at = ''infinity'' FROM defer.jobs WHERE id = %s', :a));
-- part of the transaction
BEGIN;
SELECT defer.emit('ordered', '{"id": 1}');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT defer.emit('ordered', '{"id": 2}');
ROLLBACK TO s;
COMMIT;
SELECT count(*) FROM defer.events;
SELECT defer.emit('ordered', '{"id": 3}');
SELECT defer.emit('ordered', '{"id": 4}');
CALL state_is(:a, 'succeeded');
CALL state_is(:b, 'succeeded');
SELECT defer.result(:a), defer.result(:b);
SELECT state FROM defer.jobs WHERE id = :c;
SELECT name, owner, payload FROM defer.events;
SELECT what, count(*) FROM effect GROUP BY what ORDER BY what;
-- it may come before the wait; without a payload it is JSON's null
SELECT defer.enqueue('waits', '["ordered"]') AS a \gset
CALL state_is(:a, 'succeeded');
SELECT defer.result(:a);
SELECT defer.emit('other');
CALL state_is(:c, 'succeeded');
SELECT defer.result(:c);
-- time-outs: SQL's NULL
SELECT defer.enqueue('waits', '["never", "0"]') AS a, defer.enqueue('waits', '["never", "50 milliseconds"]') AS b \gset
CALL state_is(:a, 'succeeded');
CALL state_is(:b, 'succeeded');
SELECT defer.result(:a), defer.result(:b);
SELECT count(*) FROM defer.jobs WHERE id IN (:a, :b) AND (attempt <> 1 OR error IS NOT NULL);
-- cancelled in its wait
SELECT defer.enqueue('waits', '["never"]') AS a \gset
CALL state_is(:a, 'waiting');
SELECT defer.cancel(:a);
SELECT defer.emit('never');
SELECT state FROM defer.jobs WHERE id = :a;

--
-- Signals
--
CREATE PROCEDURE approves(INOUT answer jsonb DEFAULT '[]') LANGUAGE plpgsql AS $$
DECLARE
  r jsonb;
BEGIN
  FOR i IN 1..3 LOOP
    CALL defer.wait_event('signal ' || i, 'approve', NULL, r);
    answer := answer || r;
  END LOOP;
END $$;
SELECT defer.enqueue('approves') AS a, defer.enqueue('approves') AS b \gset
CALL state_is(:a, 'waiting');
CALL state_is(:b, 'waiting');
SELECT defer.signal(:a, 'approve', '1');
CALL until(format('SELECT count(*) = 1 FROM defer.steps WHERE job_id = %s AND state = ''done''', :a));
BEGIN;
SELECT defer.signal(:a, 'approve', '2');
SELECT defer.signal(:a, 'something else', '0');
SELECT defer.signal(:a, 'approve', '3');
COMMIT;
CALL state_is(:a, 'succeeded');
SELECT defer.result(:a);
SELECT state FROM defer.jobs WHERE id = :b;
SELECT count(*) FROM defer.steps WHERE job_id = :b;
-- an event is for all
SELECT defer.emit('approve', '"all"');
CALL state_is(:b, 'succeeded');
SELECT defer.result(:b);
SELECT error_of(format('SELECT defer.signal(%s, ''approve'')', :b));
SELECT error_of('SELECT defer.signal(9223372036854775807, ''approve'')');
SELECT error_of('SELECT defer.signal(NULL, ''approve'')');
SELECT error_of('SELECT defer.signal(1, NULL)');

-- Each form in each arity
CREATE PROCEDURE forms(INOUT answer jsonb DEFAULT '[]') LANGUAGE plpgsql AS $$
DECLARE
  r jsonb;
BEGIN
  CALL defer.wait_event('2', 'other');
  CALL defer.wait_event('3', 'other', '1 day');
  CALL defer.wait_event('4', 'ordered', '1 day', r);
  answer := answer || r;
  CALL defer.wait_event('named', event => 'ordered', timeout => '1 day', payload => r);
  answer := answer || r;
  CALL defer.wait_event(name => 'named 2', event => 'other');
END $$;
SELECT defer.enqueue('forms') AS a \gset
CALL state_is(:a, 'succeeded');
SELECT defer.result(:a);
-- errors
SELECT error_of('SELECT defer.emit(NULL)');
SELECT error_of('SELECT defer.emit('''')');
SELECT error_of(format('SELECT defer.emit(%L)', repeat('x', 201)));
SELECT error_of('SELECT defer.emit(''large'', to_jsonb(repeat(''x'', 2000000)))');
SELECT error_of('SELECT defer.emit(''x'', of => ''nobody at all'')');
SELECT error_of('CALL defer.wait_event(''x'', ''y'')');

--
-- Other roles
--
SET ROLE events_other;
-- its events are its own
SELECT count(*) FROM defer.events;
SELECT defer.emit('ordered', '"of other"');
SELECT owner, name, payload FROM defer.events;
SELECT error_of('SELECT defer.emit(''paid 17'', of => ''events_owner'')');
SELECT error_of(format('SELECT defer.signal(%s, ''approve'')', :b));
SET ROLE events_owner;
SELECT defer.enqueue('waits', '["paid 17"]') AS a \gset
CALL state_is(:a, 'waiting');
SELECT defer.grant_event('paid ', 'events_group');
SELECT defer.grant_event('paid ', 'events_group');
SELECT * FROM defer.event_grants;
SELECT error_of('SELECT defer.grant_event(NULL, ''events_group'')');
SELECT error_of('SELECT defer.grant_event(''x'', NULL)');
SELECT error_of('SELECT defer.grant_event(''x'', ''nobody at all'')');
SET ROLE events_other;
SELECT owner, prefix, grantee FROM defer.event_grants;
SELECT error_of('SELECT defer.emit(''refunded 17'', of => ''events_owner'')');
SELECT error_of(format('SELECT defer.signal(%s, ''paid 17'')', :a));
SELECT defer.emit('paid 17', '"by other"', of => 'events_owner');
SET ROLE events_owner;
CALL state_is(:a, 'succeeded');
SELECT defer.result(:a);
SELECT defer.revoke_event('paid ', 'events_group');
SET ROLE events_other;
SELECT error_of('SELECT defer.emit(''paid 18'', of => ''events_owner'')');
RESET ROLE;

-- After a time the name is free again
UPDATE defer.event SET at = now() - interval '8 days' WHERE name = 'ordered' AND owner = 'events_owner'::regrole;
SET ROLE events_owner;
SELECT defer.enqueue('waits', '["ordered"]') AS a \gset
CALL state_is(:a, 'waiting');
SELECT defer.emit('ordered', '"again"');
CALL state_is(:a, 'succeeded');
SELECT defer.result(:a);

--
-- A procedure that is replaced while jobs of it wait
--
CREATE PROCEDURE replaced(a int, INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO events.effect (what) VALUES ('first ' || a);
  CALL defer.wait_event('wait', 'deployed ' || a, NULL, answer);
END $$;
SELECT defer.enqueue('replaced', '[1]') AS a, defer.enqueue('replaced', '{"a": 2}', max_attempts => 1) AS b \gset
CALL state_is(:a, 'waiting');
CALL state_is(:b, 'waiting');
-- another signature: the only one of that name that takes the arguments
DROP PROCEDURE replaced;
CREATE PROCEDURE replaced(a bigint, b text DEFAULT 'new', INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO events.effect (what) VALUES (b || a);
  CALL defer.wait_event('wait', 'deployed ' || a, NULL, answer);
  answer := to_jsonb(b);
END $$;
CREATE PROCEDURE replaced(c int, d int, e int) LANGUAGE plpgsql AS 'BEGIN END';
SELECT defer.emit('deployed 1');
CALL state_is(:a, 'succeeded');
SELECT defer.result(:a);
-- none, or two: it waits for one, and no attempt is used
CREATE PROCEDURE replaced(a numeric) LANGUAGE plpgsql AS 'BEGIN END';
SELECT defer.emit('deployed 2');
CALL until(format('SELECT error IS NOT NULL FROM defer.jobs WHERE id = %s', :b));
SELECT state, attempt, error, run_at > now() AS later FROM defer.jobs WHERE id = :b;
SELECT count(*) FROM defer.attempts WHERE job_id = :b;
DROP PROCEDURE replaced(numeric);
SELECT defer.reschedule(:b, now());
CALL state_is(:b, 'succeeded');
SELECT defer.result(:b), (SELECT string_agg(what, ', ' ORDER BY place) FROM effect WHERE what LIKE '%2') AS writes;
-- a job that has done no step fails as ever
SELECT defer.enqueue('replaced(int,int,int)', '[1, 2, 3]', max_attempts => 1, delay => '1 day') AS c \gset
DROP PROCEDURE replaced(int, int, int);
SELECT defer.reschedule(:c, now());
CALL state_is(:c, 'failed');
SELECT error FROM defer.jobs WHERE id = :c;
RESET ROLE;
-- nothing is left
CALL until($$SELECT count(*) = 0 FROM defer.dependency WHERE ord < 0 AND open AND owner IN ('events_owner'::regrole, 'events_other'::regrole)$$);

DROP SCHEMA events CASCADE;
DELETE FROM defer.event WHERE owner IN ('events_owner'::regrole, 'events_other'::regrole);
DROP OWNED BY events_owner, events_other, events_group;
DROP ROLE events_owner, events_other, events_group;
