-- Mending failures: errors that are alike, defer.retry, reruns that are made once,
-- defer.acknowledge, all that pass a filter
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE mending_owner LOGIN;
CREATE ROLE mending_other LOGIN;
CREATE SCHEMA mending AUTHORIZATION mending_owner;
GRANT USAGE ON SCHEMA mending TO mending_other;
GRANT USAGE ON SCHEMA defer TO mending_owner, mending_other;
ALTER ROLE mending_owner SET search_path = mending, public;
SET search_path = mending, public;

SET ROLE mending_owner;
CREATE TABLE broken (what text);
CREATE TABLE paid (job bigint, invoice int);
CREATE FUNCTION pay(invoice int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  IF invoice % 2 = 1 AND EXISTS (SELECT FROM mending.broken WHERE what = 'bank') THEN
    RAISE 'the bank did not answer invoice % within % ms', invoice, invoice * 10;
  ELSIF invoice % 2 = 0 AND EXISTS (SELECT FROM mending.broken WHERE what = 'account') THEN
    RAISE 'account "a%" is closed', invoice USING ERRCODE = 'P0042';
  END IF;
  INSERT INTO mending.paid VALUES (defer.current_job(), invoice);
  RETURN invoice;
END $$;
SELECT defer.configure('pay', max_attempts => 1);
-- Waits until no job of the role is unfinished, three minutes at most
CREATE FUNCTION idle() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..18000 LOOP
    IF NOT EXISTS (SELECT FROM defer.live_jobs WHERE owner = 'mending_owner'::regrole AND state <> 'waiting') THEN RETURN 'idle'; END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN 'busy';
END $$;
CREATE FUNCTION error_of(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hint text;
BEGIN
  EXECUTE command;
  RETURN 'none';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
  RETURN format('%s: %s | %s', SQLSTATE, regexp_replace(SQLERRM, '\d+', 'N', 'g'), hint);
END $$;
CREATE VIEW lines AS SELECT function, sqlstate, error, failed, retrying, first_at <= last_at AS spans, last_job_id IS NOT NULL AS job
  FROM defer.errors WHERE function LIKE 'mending.%' ORDER BY error;
CREATE VIEW findings AS SELECT severity, finding, hint FROM defer.health WHERE finding LIKE '%mending.%' ORDER BY finding;

-- What messages have in common
SELECT defer.error_pattern('duplicate key value violates unique constraint "x_pkey" at 12:30:05, id 7'), defer.error_pattern(NULL), defer.error_pattern('');
SELECT octet_length(defer.error_pattern(repeat('ä', 1000)));
SELECT defer.error_fingerprint('f()', 'P0001', 'no 1') = defer.error_fingerprint('f()', 'P0001', 'no  22'),
  defer.error_fingerprint('f()', 'P0001', 'no 1') = defer.error_fingerprint('g()', 'P0001', 'no 1'),
  defer.error_fingerprint('f()', 'P0001', 'no 1') = defer.error_fingerprint('f()', 'P0002', 'no 1'),
  defer.error_fingerprint(NULL, NULL, NULL) ~ '^[0-9a-f]{16}$';

-- 71 jobs fail with two errors
INSERT INTO broken VALUES ('bank'), ('account');
SELECT count(defer.enqueue('pay', jsonb_build_array(n))) FROM generate_series(1, 71) n;
SELECT idle();
SELECT * FROM lines;
SELECT * FROM findings;
SELECT fingerprint AS bank FROM defer.errors WHERE sqlstate = 'P0001' \gset
SELECT fingerprint AS account FROM defer.errors WHERE sqlstate = 'P0042' \gset
SELECT count(*) FROM defer.find_jobs(fingerprint => :'bank');
SELECT count(*) FROM defer.find_jobs(fingerprint => :'account', states => '{succeeded}');
-- of another role nothing is seen
SET ROLE mending_other;
SELECT count(*) FROM defer.errors WHERE function LIKE 'mending.%';
SELECT count(*) FROM defer.failures;
SELECT count(*) FROM defer.health WHERE finding LIKE '%mending.%';
SELECT * FROM defer.retry_jobs(fingerprint => :'bank');
SELECT * FROM defer.acknowledge_jobs(fingerprint => :'bank');
RESET ROLE;
SET ROLE mending_owner;
-- mended: one command for each error, which only counts at first; given twice it does nothing
DELETE FROM broken;
BEGIN READ ONLY;
SELECT * FROM defer.retry_jobs(fingerprint => :'bank', dry_run => true);
ROLLBACK;
SELECT * FROM defer.retry_jobs(fingerprint => :'bank');
SELECT * FROM defer.retry_jobs(fingerprint => :'bank');
SELECT * FROM defer.rerun_jobs(fingerprint => :'account');
SELECT * FROM defer.rerun_jobs(fingerprint => :'account');
SELECT idle();
SELECT * FROM defer.rerun_jobs(fingerprint => :'account');
SELECT * FROM defer.retry_jobs(fingerprint => :'account');
SELECT * FROM lines;
SELECT * FROM findings;
SELECT count(*), count(DISTINCT invoice), min(invoice), max(invoice) FROM paid;
-- those that were taken on again are the same jobs, the others are linked with their reruns
SELECT j.state, count(*), count(DISTINCT p.invoice) FROM defer.jobs j LEFT JOIN paid p ON p.job = j.id WHERE j.function = 'mending.pay(integer)' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM defer.jobs a JOIN defer.jobs b ON b.id = a.rerun_by AND b.rerun_of = a.id AND b.args = a.args WHERE a.state = 'failed' AND b.rerun_by IS NULL;
SELECT state, closed_by, note, count(*) FROM defer.failures WHERE owner = 'mending_owner' GROUP BY 1, 2, 3 ORDER BY 1;
-- told to, they run all the same
SELECT * FROM defer.rerun_jobs(fingerprint => :'account', force => true);
SELECT idle();
SELECT count(*), count(DISTINCT invoice) FROM paid;

-- One job
INSERT INTO broken VALUES ('bank');
SELECT defer.enqueue('pay', '[101]', key => 'once', metadata => '{"a": 1}', priority => 3) AS id \gset
SELECT idle();
SELECT defer.retry(:id) AS retried \gset
SELECT :'retried' AS retried;
SELECT idle();
SELECT state, attempt, key, metadata, priority, error, started_at IS NOT NULL AS began FROM defer.jobs WHERE id = :id;
SELECT attempt, outcome, message FROM defer.attempts WHERE job_id = :id ORDER BY finished_at;
SELECT state, count(*) FROM defer.failures WHERE job_id = :id GROUP BY 1 ORDER BY 1;
-- another job has its key
SELECT defer.enqueue('pay', '[102]', key => 'once', delay => '1 hour') AS twin \gset
SELECT error_of(format('SELECT defer.retry(%s)', :id));
SELECT * FROM defer.retry_jobs(function => 'mending.pay(integer)');
SELECT defer.cancel(:twin);
DELETE FROM broken;
-- it is unfinished in the transaction that has taken it on, and after a rollback has failed
BEGIN;
SELECT defer.retry(:id);
SELECT state, error FROM defer.jobs WHERE id = :id;
SELECT * FROM defer.health WHERE finding LIKE '%mending.%';
ROLLBACK;
SELECT state FROM defer.jobs WHERE id = :id;
BEGIN;
SELECT defer.retry(:id);
SELECT defer.cancel(:id);
COMMIT;
SELECT state FROM defer.jobs WHERE id = :id;
\set VERBOSITY terse
SELECT defer.retry(:id), defer.rerun(:id) AS again \gset
\set VERBOSITY default
SELECT idle();
SELECT state, result, rerun_by FROM defer.jobs WHERE id = :again;

-- A procedure goes on after the steps that it has done; attempts begin anew
CREATE FUNCTION book(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM mending.broken b WHERE b.what = book.what) THEN RAISE 'no %', what; END IF;
  INSERT INTO mending.paid VALUES (defer.current_job(), length(what));
  RETURN what;
END $$;
CREATE PROCEDURE travel() LANGUAGE plpgsql AS $$
DECLARE r jsonb;
BEGIN
  CALL defer.step('flight', 'mending.book', '["flight"]', r);
  CALL defer.step('hotel', 'mending.book', '["hotel"]', r);
END $$;
SELECT defer.configure('travel', max_attempts => 2, initial_interval => '0');
TRUNCATE paid;
INSERT INTO broken VALUES ('hotel');
SELECT defer.enqueue('travel') AS id \gset
SELECT idle();
SELECT state, attempt FROM defer.jobs WHERE id = :id;
SELECT defer.retry(:id);
SELECT idle();
SELECT state, attempt FROM defer.jobs WHERE id = :id;
SELECT count(*) FROM defer.attempts WHERE job_id = :id;
DELETE FROM broken;
SELECT defer.retry(:id);
SELECT defer.await(:id, '1 min');
SELECT state, attempt, error FROM defer.jobs WHERE id = :id;
SELECT invoice FROM paid WHERE job = :id ORDER BY 1;
SELECT * FROM findings;

-- a step that has waited for a job that failed looks at it anew
CREATE PROCEDURE trip(child bigint) LANGUAGE plpgsql AS $$
DECLARE r jsonb;
BEGIN
  CALL defer.step('flight', 'mending.book', '["flight"]', r);
  CALL defer.wait_job('payment', child);
END $$;
SELECT defer.configure('trip', max_attempts => 1);
INSERT INTO broken VALUES ('bank');
SELECT defer.enqueue('pay', '[151]', delay => '1 day') AS child \gset
SELECT defer.enqueue('trip', jsonb_build_array(:child)) AS id \gset
DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM defer.steps WHERE name = 'payment' AND state = 'waiting') LOOP PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$;
SELECT defer.reschedule(:child);
DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM defer.jobs WHERE function = 'mending.trip(bigint)' AND state = 'failed') LOOP PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$;
DELETE FROM broken;
SELECT defer.retry(:child), defer.retry(:id);
SELECT defer.await(:id, '1 min');
SELECT state FROM defer.jobs WHERE id IN (:child, :id) ORDER BY id;
SELECT count(*) FROM paid WHERE job = :id;
SELECT * FROM findings;

-- Jobs that come after it, and its batch
CREATE FUNCTION parent(first int) RETURNS void LANGUAGE sql AS $$ SELECT defer.enqueue('mending.pay', jsonb_build_array(n)) FROM generate_series(first, first + 3) n $$;
CREATE FUNCTION over() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(state || ' ' || jobs, ', ' ORDER BY state) FROM defer.batch() WHERE jobs > 0 $$;
TRUNCATE paid;
INSERT INTO broken VALUES ('bank');
BEGIN;
SELECT defer.enqueue('pay', '[201]', delay => '1 day') AS id \gset
SELECT defer.enqueue('pay', '[202]', after => ARRAY[:id], after_failure => 'hold') AS held \gset
SELECT defer.enqueue('pay', '[204]', after => ARRAY[:id]) AS cancelled \gset
SELECT defer.enqueue('pay', '[206]', after => ARRAY[:id], after_failure => 'run') AS ran \gset
COMMIT;
SELECT defer.reschedule(:id);
SELECT idle();
SELECT state FROM defer.jobs WHERE id IN (:id, :held, :cancelled, :ran) ORDER BY id;
SELECT defer.retry(:id);
SELECT idle();
SELECT state FROM defer.jobs WHERE id IN (:id, :held) ORDER BY id;
DELETE FROM broken;
SELECT defer.retry(:id);
SELECT defer.await(:held, '1 min');
SELECT state FROM defer.jobs WHERE id IN (:id, :held, :cancelled, :ran) ORDER BY id;
-- a batch that is not over waits for a job that was taken on again
INSERT INTO broken VALUES ('bank');
SELECT defer.pause('pay');
BEGIN;
SELECT defer.enqueue('parent', '[301]') AS parent \gset
SELECT defer.when_done('over', of => :parent) AS over \gset
COMMIT;
SELECT defer.await(:parent, '1 min');
SELECT id AS child FROM defer.jobs WHERE parent_id = :parent AND args = '[301]' \gset
SELECT defer.reschedule(id, now() + interval '1 day') FROM defer.jobs WHERE parent_id = :parent AND args <> '[301]';
SELECT defer.resume('pay');
DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM defer.jobs WHERE args = '[301]' AND state = 'failed') LOOP PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$;
DELETE FROM broken;
SELECT defer.retry(:child);
SELECT defer.await(:child, '1 min');
SELECT state FROM defer.jobs WHERE id = :over;
SELECT defer.reschedule(id) FROM defer.jobs WHERE parent_id = :parent AND state = 'scheduled';
SELECT defer.await(:over, '1 min');
SELECT done, jobs, unfinished, succeeded, failed FROM defer.batches WHERE job_id = :parent;

-- Acknowledged: by id, by filter, with a note
INSERT INTO broken VALUES ('bank'), ('account');
SELECT count(defer.enqueue('pay', jsonb_build_array(n))) FROM generate_series(401, 405) n;
SELECT idle();
SELECT max(id) AS id FROM defer.jobs WHERE args = '[401]' \gset
SELECT defer.acknowledge(:id, 'the customer has paid'), defer.acknowledge(:id);
SELECT * FROM lines;
SELECT * FROM findings;
SELECT * FROM defer.acknowledge_jobs(fingerprint => :'account', note => 'known', dry_run => true);
SELECT * FROM defer.acknowledge_jobs(fingerprint => :'account', note => 'known');
SELECT * FROM defer.acknowledge_jobs(fingerprint => :'account', note => 'known');
SELECT * FROM defer.acknowledge_jobs(states => '{failed}', dry_run => true);
SELECT * FROM defer.acknowledge_jobs(function => 'mending.pay(integer)', since => now() - interval '1 hour');
SELECT * FROM lines;
SELECT * FROM findings;
SELECT f.state, closed_by, note, closed_at >= failed_at AS later, count(*) FROM defer.failures f JOIN defer.jobs j ON j.id = f.job_id WHERE j.function LIKE 'mending.pay(%' AND (j.args ->> 0)::int > 400 GROUP BY 1, 2, 3, 4 ORDER BY 3, 1;
SELECT defer.acknowledge(:again);
-- a rerun that fails is open again, and the line is closed with it
SELECT defer.rerun(:id) AS again \gset
SELECT idle();
SELECT finding FROM findings;
SELECT defer.acknowledge(:id);
SELECT * FROM findings;
SELECT rerun_by = :again AS by, rerun_of FROM defer.jobs WHERE id = :id;

-- Jobs that are being retried
DELETE FROM broken;
SELECT defer.configure('pay', max_attempts => 2, initial_interval => '1 hour');
INSERT INTO broken VALUES ('bank');
SELECT count(defer.enqueue('pay', jsonb_build_array(n))) FROM generate_series(501, 524) n;
DO $$ BEGIN WHILE (SELECT count(*) FROM defer.live_jobs WHERE state = 'retrying' AND function = 'mending.pay(integer)') < 12 LOOP PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$;
SELECT * FROM lines;
-- a finding before any of them has failed for good
SELECT severity, finding, regexp_replace(hint, '\d+', 'N') AS hint FROM findings;
SELECT * FROM defer.reschedule_jobs(fingerprint => :'bank', run_at => now() + interval '2 hours');
SELECT * FROM defer.cancel_jobs(fingerprint => :'bank');
SELECT idle();
SELECT * FROM lines;

-- Errors
\set VERBOSITY terse
SELECT defer.retry_jobs();
SELECT defer.retry_jobs(states => '{failed,cancelled}');
SELECT defer.acknowledge_jobs(states => '{queued}');
SELECT defer.acknowledge_jobs(fingerprint => 'x', note => repeat('x', 1001));
SELECT defer.acknowledge(:id, repeat('x', 1001));
SELECT * FROM defer.retry_jobs(fingerprint => 'no such');
SELECT defer.retry_jobs(fingerprint => '');
SELECT defer.retry(0);
SELECT defer.acknowledge(NULL);
BEGIN READ ONLY;
SELECT defer.retry(1);
ROLLBACK;
BEGIN READ ONLY;
SELECT defer.acknowledge(1);
ROLLBACK;
SET ROLE mending_other;
SELECT error_of(format('SELECT defer.retry(%s)', :id));
SELECT error_of(format('SELECT defer.acknowledge(%s)', :id));
RESET ROLE;
-- the function has gone
SET ROLE mending_owner;
CREATE FUNCTION gone() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
SELECT defer.configure('gone', max_attempts => 1);
SELECT defer.enqueue('gone') AS id \gset
SELECT idle();
DROP FUNCTION gone();
SELECT error_of(format('SELECT defer.retry(%s)', :id));
SELECT * FROM defer.retry_jobs(function => 'mending.gone()');
SELECT defer.acknowledge(:id);
RESET ROLE;

DROP SCHEMA mending CASCADE;
DELETE FROM defer.job_history WHERE owner = 'mending_owner'::regrole;
DROP OWNED BY mending_owner, mending_other;
DROP ROLE mending_owner, mending_other;
