-- defer.drain(): jobs run in the caller's session and transaction
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE drain_owner LOGIN;
CREATE ROLE drain_other LOGIN;
CREATE SCHEMA drain AUTHORIZATION drain_owner;
GRANT USAGE ON SCHEMA drain TO drain_other;
GRANT USAGE ON SCHEMA defer TO drain_owner, drain_other;
SET search_path = drain, public;

SET ROLE drain_owner;
CREATE TABLE ran (n serial, what text, job bigint, worked_as text, zone text);
GRANT INSERT ON ran TO drain_other;
GRANT USAGE ON SEQUENCE ran_n_seq TO drain_other;
CREATE FUNCTION work(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO drain.ran (what, job, worked_as, zone)
	VALUES (work.what, defer.current_job(), current_user, current_setting('timezone'));
	PERFORM defer.log('this is ' || what);
	PERFORM defer.progress(0.5);
	SET timezone = 'Asia/Tokyo';
	RETURN 'did ' || what;
END $$;
CREATE FUNCTION fan_out(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM defer.enqueue('drain.work', jsonb_build_array('child ' || i)) FROM generate_series(1, n) i;
	PERFORM defer.enqueue('drain.work', '["urgent child"]', priority => -1);
END $$;
CREATE FUNCTION fails(message text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO drain.ran (what) VALUES ('is rolled back');
	RAISE EXCEPTION '%', message;
END $$;
CREATE PROCEDURE proc(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; END $$;
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
CREATE FUNCTION snoozes() RETURNS void LANGUAGE sql AS $$ SELECT defer.snooze('1 hour') $$;
CREATE FUNCTION drains() RETURNS bigint LANGUAGE sql AS $$ SELECT defer.drain() $$;

-- nothing to do
SELECT defer.drain();

-- in order, those that jobs enqueue, too; the session keeps its settings
BEGIN;
SET LOCAL timezone = 'UTC';
SELECT count(defer.enqueue('work', jsonb_build_array('job ' || i))) FROM generate_series(1, 3) i;
SELECT defer.enqueue('fan_out', '[2]', priority => 1) IS NOT NULL AS enqueued;
SELECT defer.enqueue('work', '["first"]', priority => -5) IS NOT NULL AS enqueued;
SELECT defer.enqueue('work', '["later"]', delay => '1 hour') IS NOT NULL AS enqueued;
SELECT defer.drain();
SELECT what, worked_as, zone FROM ran ORDER BY n;
SHOW timezone;
SELECT j.state, j.attempt, j.result, j.parent_id IS NOT NULL AS has_parent, l.message
  FROM ran r JOIN defer.jobs j ON j.id = r.job LEFT JOIN defer.logs l ON l.job_id = j.id ORDER BY r.n;
SELECT defer.current_job();
SELECT defer.drain();
SELECT defer.drain(as_of => now() + interval '59 minutes');
SELECT defer.drain(as_of => now() + interval '61 minutes');
SELECT what FROM ran ORDER BY n DESC LIMIT 1;
ROLLBACK;
-- all of it is undone
SELECT count(*) FROM ran;
SELECT count(*) FROM defer.jobs WHERE function LIKE 'drain.%';

-- max, queue
BEGIN;
SELECT count(defer.enqueue('work', jsonb_build_array(i::text))) FROM generate_series(1, 250) i;
SELECT defer.drain(max => 3), defer.drain(max => 0);
SELECT defer.drain(queue => 'no such queue'), defer.drain(queue => 'default', max => 230), defer.drain('default');
SELECT array_agg(what::int ORDER BY n) = array_agg(what::int ORDER BY what::int) AS in_order, count(*) FROM ran;
SELECT defer.drain(max => -1);
ROLLBACK;

-- failures are recorded as a worker's: only the job is undone, and it is tried again
BEGIN;
SELECT defer.configure('fails', max_attempts => 2, initial_interval => '1 min', randomization => 0);
SELECT defer.enqueue('fails', '["no luck"]') AS failing \gset
SELECT defer.enqueue('work', '["goes on"]') IS NOT NULL AS enqueued;
SELECT defer.drain();
SELECT state, attempt, error, sqlstate FROM defer.jobs WHERE id = :failing;
SELECT attempt, outcome, message, retry_at - started_at > '50 s' AS later FROM defer.attempts WHERE job_id = :failing;
SELECT what FROM ran;
SELECT defer.drain(as_of => now() + interval '2 min');
SELECT state, attempt FROM defer.jobs WHERE id = :failing;
ROLLBACK;

-- or raised
BEGIN;
SELECT defer.enqueue('fails', '["no luck"]') IS NOT NULL AS enqueued;
SELECT defer.drain(raise => true);
ROLLBACK;
SELECT defer.current_job();

-- procedures, commands, snoozes; what cannot be in a transaction fails
BEGIN;
SELECT defer.enqueue('proc', '[41]') AS proc \gset
SELECT defer.enqueue('commits') AS commits \gset
SELECT defer.enqueue('snoozes') AS snoozes \gset
SELECT defer.enqueue('drains') AS drains \gset
SELECT defer.command('INSERT INTO drain.ran (what) VALUES (''by command'')') AS command \gset
SELECT defer.command('VACUUM drain.ran') AS vacuum \gset
SELECT defer.drain();
SELECT function, state, attempt, result, error FROM defer.jobs
 WHERE id IN (:proc, :commits, :snoozes, :drains, :command, :vacuum) ORDER BY id;
ROLLBACK;

-- a job that cancels itself
CREATE FUNCTION cancels_itself() RETURNS boolean LANGUAGE sql AS $$ SELECT defer.cancel(defer.current_job(), force => true) $$;
BEGIN;
SELECT defer.enqueue('cancels_itself') IS NOT NULL AS enqueued;
SELECT defer.drain();
SELECT regexp_replace(error, '\d+', 'N'), sqlstate FROM defer.jobs WHERE function = 'drain.cancels_itself()';
ROLLBACK;

-- after, keys, discard_after
BEGIN;
SELECT defer.enqueue('work', '["one"]') AS one \gset
SELECT defer.enqueue('work', '["two"]', after => ARRAY[:one]) AS two \gset
SELECT defer.enqueue('work', '["keyed"]', key => 'k') AS keyed \gset
SELECT defer.enqueue('work', '["too late"]', discard_after => '1 us') AS late \gset
SELECT defer.drain();
SELECT what FROM ran ORDER BY n;
SELECT state FROM defer.jobs WHERE id = :late;
SELECT defer.enqueue('work', '["keyed"]', key => 'k') <> :keyed AS a_new_one;
ROLLBACK;

-- a scheduled function may be called by its run; the caller may not
BEGIN;
CREATE FUNCTION nightly() RETURNS text LANGUAGE sql AS $$ SELECT drain.work('nightly') $$;
SELECT defer.cron('nightly', '0 3 * * *') IS NOT NULL AS made;
SELECT defer.trigger('nightly') AS run \gset
SELECT defer.drain();
SELECT result FROM defer.jobs WHERE id = :run;
SAVEPOINT direct;
SELECT nightly();
ROLLBACK TO direct;
ROLLBACK;

-- batches that have begun in the transaction end in it: callbacks run, and see the counts
CREATE FUNCTION fan(n int) RETURNS void LANGUAGE sql AS $$
	SELECT defer.enqueue('drain.work', jsonb_build_array('part ' || i)) FROM generate_series(1, n) i;
	SELECT defer.enqueue('drain.broken', max_attempts => 1) $$;
CREATE FUNCTION broken() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
CREATE FUNCTION told() RETURNS text LANGUAGE sql AS $$
	SELECT drain.work(string_agg(b.state || ' ' || b.jobs, ', ' ORDER BY b.state)) FROM defer.batch() b $$;
CREATE FUNCTION nested(n int) RETURNS void LANGUAGE sql AS $$
	SELECT defer.when_done('drain.told', deep => true);
	SELECT defer.enqueue('drain.fan', '[2]', when_done => 'drain.told') FROM generate_series(1, n) $$;
BEGIN;
SELECT defer.enqueue('fan', '[3]', when_done => 'drain.told') AS fan \gset
SELECT defer.drain(max => 4);
SELECT count(*) FROM ran WHERE what LIKE '%succeeded%';
SAVEPOINT before;
SELECT defer.drain();
SELECT what FROM ran ORDER BY n;
SELECT done, jobs, unfinished, succeeded, failed FROM defer.batches WHERE job_id = :fan;
-- what a subtransaction has counted is undone with it, and no more
ROLLBACK TO before;
SELECT done, jobs FROM defer.batches WHERE job_id = :fan;
SELECT defer.drain();
SELECT what FROM ran WHERE what LIKE '%succeeded%';
ROLLBACK;
BEGIN;
SELECT defer.enqueue('nested', '[2]') AS nested \gset
SELECT defer.drain();
SELECT what, count(*) FROM ran WHERE what LIKE '%succeeded%' GROUP BY what ORDER BY what;
SELECT done, jobs, succeeded, failed FROM defer.batches WHERE job_id = :nested;
ROLLBACK;
-- one with a job that may not begin yet does not end
BEGIN;
CREATE FUNCTION later() RETURNS bigint LANGUAGE sql AS $$ SELECT defer.enqueue('drain.work', '["tomorrow"]', delay => '1 day') $$;
SELECT defer.enqueue('later', when_done => 'drain.told') AS later \gset
SELECT defer.drain();
SELECT done, unfinished FROM defer.batches WHERE job_id = :later;
SELECT defer.drain(as_of => now() + interval '2 days');
SELECT what FROM ran ORDER BY n;
ROLLBACK;
-- committed: the scheduler counts nothing twice, and the callback has run once
TRUNCATE ran;
BEGIN;
SELECT defer.enqueue('fan', '[2]', when_done => 'drain.told') AS fan \gset
SELECT defer.drain();
COMMIT;
RESET ROLE;
DO $$ BEGIN
	FOR i IN 1..1800 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM defer.fan_out_delta);
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
SET ROLE drain_owner;
SELECT what, count(*) FROM ran WHERE what LIKE '%succeeded%' GROUP BY what;
SELECT done, jobs, unfinished, succeeded, failed FROM defer.batches WHERE job_id = :fan;
TRUNCATE ran;

-- one role's jobs are not another's
BEGIN;
SELECT defer.enqueue('work', '["the owner''s"]') IS NOT NULL AS enqueued;
SET LOCAL ROLE drain_other;
SELECT defer.drain();
SELECT defer.enqueue('drain.work', '["the other''s"]') IS NOT NULL AS enqueued;
SELECT defer.drain();
SET LOCAL ROLE drain_owner;
SELECT what, worked_as FROM ran;
ROLLBACK;

BEGIN READ ONLY;
SELECT defer.drain();
ROLLBACK;

RESET ROLE;
DROP SCHEMA drain CASCADE;
DROP OWNED BY drain_owner, drain_other;
DROP ROLE drain_owner, drain_other;
