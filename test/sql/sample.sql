-- Samples of many jobs: exact where there are few, nearly so where there are many,
-- with bounded work; and nobody sees more in them than in defer.jobs
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE ROLE sample_alice;
GRANT USAGE ON SCHEMA defer TO sample_alice;
TRUNCATE defer.job_history;

-- 200,000 jobs in the order in which they ended, two days ago and one day long: no
-- partition is made for it, and so they are in the default one
INSERT INTO defer.job_history (id, owner, state, kind, priority, attempt, run_at, enqueued_at, started_at, finished_at, parent_id, function, queue)
  SELECT -i, CASE WHEN i % 4 = 0 THEN 'sample_alice' ELSE 'postgres' END::regrole, CASE WHEN i % 10 = 0 THEN 'f' ELSE 's' END, 'f', 0, 1, t, t, t, t,
    CASE WHEN i % 2 = 0 THEN -1 END, 'sample.f' || i % 2 || '()', 'default'
  FROM generate_series(1, 200000) i CROSS JOIN LATERAL
    (SELECT date_trunc('day', now(), 'UTC') - interval '2 days' + i * interval '432 ms') x (t);

-- all of it, an hour of it
SELECT count(*) > 5000 AND count(*) < 40000 AS bounded FROM defer.history_sample(now() - interval '3 days');
SELECT state, sum(weight) BETWEEN count * 0.9 AND count * 1.1 AS right
  FROM defer.history_sample(now() - interval '3 days') NATURAL JOIN (VALUES ('succeeded', 180000), ('failed', 20000)) v (state, count)
 GROUP BY state, count ORDER BY state;
SELECT sum(weight) = 200000 AS exact, bool_and(weight = 1) FROM defer.history_sample(now() - interval '3 days', 1000000);
SELECT sum(weight) AS "a twelfth of an hour", bool_and(weight = 1), bool_and(finished_at >= t.since) AS none_older
  FROM (SELECT max(finished_at) - interval '299.9 seconds' AS since FROM defer.job_history) t, defer.history_sample(t.since);

SELECT count(*) AS steps, bool_and(succeeded BETWEEN 7000 AND 8000) AS succeeded, bool_and(failed BETWEEN 600 AND 1100) AS failed,
    sum(cancelled) AS cancelled, sum(discarded) AS discarded
  FROM defer.throughput(date_trunc('day', now(), 'UTC') - interval '2 days', '1 hour', 24);
SELECT * FROM defer.throughput(now(), '1 hour', 0);
SELECT * FROM defer.throughput(now(), '1 month', 1);
SELECT * FROM defer.throughput(now(), '200000000 days', 1);
SELECT * FROM defer.throughput(now(), '1 day -24 hours', 1);
SELECT * FROM defer.throughput('infinity', '1 day', 1);
SELECT * FROM defer.throughput('294276-12-31', '1 day', 2);
SELECT * FROM defer.throughput(now(), '1000000 days', 1000);
SELECT sum(succeeded) FROM defer.throughput('4713-01-01 BC', '1 day', 1);

-- the same sample again
SELECT count(*) FROM (
  (SELECT id FROM defer.history_sample(now() - interval '3 days') EXCEPT SELECT id FROM defer.history_sample(now() - interval '3 days'))) x;
SELECT bool_and(parent_id = -1) AS children FROM defer.history_sample(now() - interval '3 days', 20000, true);

-- whoever may see a quarter of it
SET ROLE sample_alice;
SELECT sum(weight) BETWEEN 45000 AND 55000 AS a_quarter FROM defer.history_sample(now() - interval '3 days');
SELECT count(*) FROM defer.live_sample();
RESET ROLE;

-- not in order
DELETE FROM defer.job_history WHERE id % 2 = 0;
UPDATE defer.job_history SET finished_at = finished_at - interval '1 hour' WHERE id % 5 = 0;
SELECT sum(weight) BETWEEN 90000 AND 110000 AS half FROM defer.history_sample(now() - interval '3 days');
TRUNCATE defer.job_history;

-- jobs that live, in a table without the pages of earlier ones: 400 of very many pages may all be empty
TRUNCATE defer.job;
CREATE FUNCTION sample_work(i int) RETURNS int LANGUAGE sql AS 'SELECT i';
SELECT defer.pause('sample_work(int)');
SELECT count(defer.enqueue('sample_work', to_jsonb(ARRAY[i]), delay => CASE WHEN i % 2 = 0 THEN interval '1 day' END)) FROM generate_series(1, 3000) i;
SELECT state, ready, sum(weight), max(weight) FROM defer.live_sample() GROUP BY 1, 2 ORDER BY 1;
SELECT state, sum(weight) BETWEEN 1000 AND 2000 AS about, max(weight) > 1 AS sampled FROM defer.live_sample(400) GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM defer.live_sample(0);
SELECT kind, name, paused FROM defer.settings WHERE name LIKE '%sample_work%';
SELECT count(*) FROM (SELECT defer.cancel(id) FROM defer.jobs WHERE function LIKE '%sample_work%') x;
SELECT defer.resume('sample_work(int)');
TRUNCATE defer.job_history;
DROP FUNCTION sample_work;
DROP OWNED BY sample_alice;
DROP ROLE sample_alice;
