-- Jobs by what they are: defer.find_jobs(), defer.child_states(); counters
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE ROLE find_alice LOGIN;
CREATE ROLE find_bob LOGIN;
GRANT USAGE ON SCHEMA defer TO find_alice, find_bob;
CREATE SCHEMA find;
GRANT ALL ON SCHEMA find TO find_alice, find_bob;

CREATE FUNCTION find.wait_until(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  good boolean;
BEGIN
  FOR i IN 1..18000 LOOP
    EXECUTE 'SELECT ' || condition INTO good;
    IF good THEN RETURN 'ok'; END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN 'waited in vain';
END $$;

SET ROLE find_alice;
CREATE FUNCTION find.child(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  IF n % 5 = 0 THEN RAISE 'No % today', n USING ERRCODE = 'DF901'; END IF;
  RETURN n;
END $$;
CREATE FUNCTION find.parent(n int) RETURNS bigint LANGUAGE sql AS $$
  SELECT count(defer.enqueue('find.child', jsonb_build_array(i), max_attempts => 1, metadata => jsonb_build_object('n', i % 3)))
    FROM generate_series(1, n) i $$;
CREATE FUNCTION find.later() RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION find.tick() RETURNS void LANGUAGE sql AS 'SELECT';
SELECT defer.enqueue('find.parent', '[20]') AS parent \gset
SELECT defer.await(:parent);
SELECT find.wait_until(format('(SELECT sum(jobs) FILTER (WHERE state IN (''succeeded'', ''failed'')) = 20 FROM defer.child_states(%s))', :parent));
SELECT * FROM defer.child_states(:parent) ORDER BY state;
SELECT defer.enqueue('find.later', delay => '1 day') AS later \gset
SELECT defer.enqueue('find.later', delay => '1 day') AS cancelled \gset
SELECT defer.cancel(:cancelled);
SELECT defer.cron('find.tick', '0 0 29 2 *', name => 'find leap') AS schedule \gset
SELECT defer.trigger('find leap') AS ticked \gset
SELECT defer.await(:ticked);

-- As what each is
SELECT f - :parent AS id FROM defer.find_jobs(function => 'find.parent(integer)') f;
SELECT j.args, j.state FROM defer.jobs j WHERE j.id = ANY (ARRAY(SELECT defer.find_jobs('{failed}'))) ORDER BY j.id DESC;
SELECT count(*) FROM defer.find_jobs(ARRAY['failed', 'succeeded']::varchar[], parent_id => :parent);
SELECT j.args FROM defer.jobs j WHERE j.id = ANY (ARRAY(SELECT defer.find_jobs(error => 'NO 15'))) ORDER BY j.id DESC;
SELECT count(*) FROM defer.find_jobs(error => 'DF901');
SELECT count(*) FROM defer.find_jobs('{succeeded}', error => 'DF901');
SELECT count(*) FROM defer.find_jobs(metadata => '{"n": 1}');
SELECT j.args FROM defer.jobs j WHERE j.id = ANY (ARRAY(SELECT defer.find_jobs(args => '15'))) ORDER BY j.id DESC;
SELECT count(*) FROM defer.find_jobs('{failed}', args => '[15]');
SELECT count(*) FROM defer.find_jobs('{failed}', args => '{"n": 15}');
SELECT count(*) FROM defer.find_jobs(owner => 'find_alice', parent_id => :parent);
SELECT count(*) FROM defer.find_jobs(owner => 'find_bob');
SELECT count(*) FROM defer.find_jobs(owner => 'nobody');
BEGIN;
SELECT defer.enqueue('find.child', '[1]', key => 'the key') AS keyed \gset
SELECT f = :keyed AS ok FROM defer.find_jobs(key => 'the key') f;
SELECT count(*) FROM defer.find_jobs(key => 'the key', args => '2');
SELECT defer.enqueue('find.child', '{"n": 77}') AS named \gset
SELECT f = :named AS ok FROM defer.find_jobs(args => '77') f;
SELECT f = :named AS ok FROM defer.find_jobs(args => '{"n": 77}') f;
SELECT count(*) FROM defer.find_jobs(args => '"n"');
ROLLBACK;
SELECT f = :later AS ok FROM defer.find_jobs('{scheduled}') f;
SELECT f = :later AS ok FROM defer.find_jobs('{scheduled,running}', function => 'find.later()') f;
SELECT f = :cancelled AS ok FROM defer.find_jobs('{cancelled}') f;
SELECT f = :ticked AS ok FROM defer.find_jobs(schedule_id => :schedule) f;
SELECT count(*) FROM defer.find_jobs(queue => 'none');
SELECT count(*) FROM defer.find_jobs(since => now() + interval '1 hour');
SELECT count(*) FROM defer.find_jobs(until => now() - interval '1 hour');
SELECT count(*) FROM defer.find_jobs('{succeeded}', since => now() - interval '1 hour', until => now() + interval '1 hour', parent_id => :parent);
-- Page by page, each job once, the newest first
WITH RECURSIVE page AS (
  SELECT 1 AS n, ARRAY(SELECT defer.find_jobs(parent_id => :parent, n => 7)) AS ids
  UNION ALL
  SELECT p.n + 1, ARRAY(SELECT defer.find_jobs(parent_id => :parent, n => 7, before => p.ids[cardinality(p.ids)]))
    FROM page p WHERE cardinality(p.ids) > 0)
SELECT n, cardinality(ids), ids = ARRAY(SELECT i FROM unnest(ids) i ORDER BY i DESC) AS sorted FROM page;
SELECT count(*) FROM defer.find_jobs(n => 0);
SELECT defer.find_jobs(n => 10001);
SELECT defer.find_jobs('{gone}');
SELECT count(*) FROM defer.find_jobs('{}');

-- What is counted is what has been
SELECT find.wait_until('(SELECT sum(succeeded) = 18 AND sum(failed) = 4 FROM defer.statistics)');
SELECT function, queue, succeeded, failed, cancelled, discarded, attempts_failed, attempts_crashed,
       (SELECT sum(d) FROM unnest(durations) d) AS durations, (SELECT sum(d) FROM unnest(delays) d) AS delays,
       duration_seconds > 0 AS took
  FROM defer.statistics WHERE function LIKE 'find.%' ORDER BY 1;
SELECT function, queue, owner, sum(succeeded) AS succeeded, sum(failed) AS failed, sum(cancelled) AS cancelled,
       defer.duration_percentile(defer.sum_durations(durations), 0.5) IS NOT NULL AS took
  FROM defer.job_hours WHERE function LIKE 'find.%' GROUP BY 1, 2, 3 ORDER BY 1;
SELECT cardinality(durations) - cardinality(defer.statistics_bounds()) AS one_more FROM defer.statistics LIMIT 1;

-- Of others nothing is to be seen
SET ROLE find_bob;
SELECT count(*) FROM defer.find_jobs();
SELECT count(*) FROM defer.child_states(:parent);
SELECT count(*) FROM defer.statistics;
SELECT count(*) FROM defer.job_hours;
CREATE FUNCTION find.bobs() RETURNS void LANGUAGE sql AS 'SELECT';
SELECT defer.enqueue('find.bobs', delay => '1 day') AS bobs \gset
SELECT f = :bobs AS ok FROM defer.find_jobs() f;
SELECT defer.cancel(:bobs);
RESET ROLE;
SELECT count(*) FROM defer.find_jobs(function => 'find.parent(integer)');

-- Partitions have the indexes of the default one, and rows are found by them
SELECT replace(i.indexdef, i.tablename, 'X') AS missing
  FROM pg_class c, pg_indexes i
 WHERE c.relnamespace = 'defer'::regnamespace AND c.relname LIKE 'job\_history\_p%' AND c.relkind = 'r'
   AND i.schemaname = 'defer' AND i.tablename = 'job_history_default'
   AND NOT EXISTS (SELECT FROM pg_indexes p WHERE p.schemaname = 'defer' AND p.tablename = c.relname
                      AND replace(p.indexdef, p.tablename, 'X') = replace(i.indexdef, i.tablename, 'X'));
SET enable_seqscan = off;
SELECT count(*) FROM defer.job_history h WHERE h.parent_id = :parent;
SELECT count(*) FROM defer.job_history h WHERE h.state <> 's' AND h.function LIKE 'find.%';
RESET enable_seqscan;

SET ROLE find_alice;
SELECT defer.cancel(:later), defer.unschedule('find leap');
RESET ROLE;
SET client_min_messages = error;
DROP OWNED BY find_alice, find_bob CASCADE;
DROP ROLE find_alice, find_bob;
DROP SCHEMA find CASCADE;
