-- Commands on all jobs that pass a filter
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE SCHEMA bulk_test;
SET search_path = bulk_test, pg_catalog;
SET timezone = 'UTC';
CREATE FUNCTION bulk_work(n integer) RETURNS integer LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION bulk_other(n integer) RETURNS integer LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION bulk_gone() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE ROLE bulk_alice LOGIN;
CREATE ROLE bulk_bob LOGIN;
GRANT USAGE ON SCHEMA defer, bulk_test TO bulk_alice, bulk_bob;
-- How many jobs of the test are in each state
CREATE VIEW states AS SELECT owner, function, state, count(*) FROM defer.jobs WHERE function LIKE 'bulk_test.%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
GRANT SELECT ON states TO bulk_alice;

-- They wait for a day, so that no worker is in the way
SET ROLE bulk_alice;
SELECT count(defer.enqueue('bulk_work', jsonb_build_array(n), delay => '1 day', metadata => jsonb_build_object('tenant', n % 3))) FROM generate_series(1, 30) n;
SELECT count(defer.enqueue('bulk_other', jsonb_build_array(n), delay => '1 day', discard_after => '2 days')) FROM generate_series(1, 5) n;
SET ROLE bulk_bob;
SELECT count(defer.enqueue('bulk_work', jsonb_build_array(n), delay => '1 day')) FROM generate_series(1, 7) n;
RESET ROLE;

-- Only count
SET ROLE bulk_alice;
BEGIN READ ONLY;
SELECT * FROM defer.cancel_jobs(function => 'bulk_test.bulk_work(integer)', dry_run => true);
SELECT * FROM defer.cancel_jobs(everything => true, dry_run => true);
SELECT * FROM defer.rerun_jobs(everything => true, dry_run => true);
SELECT * FROM defer.reschedule_jobs(metadata => '{"tenant": 1}', dry_run => true);
SELECT * FROM defer.cancel_jobs(function => 'bulk_test.bulk_work(integer)');
ROLLBACK;
SELECT * FROM states;

-- Filters are those of find_jobs; only what the caller may manage
BEGIN;
SELECT * FROM defer.cancel_jobs(metadata => '{"tenant": 1}');
SELECT * FROM states;
SELECT * FROM defer.cancel_jobs(metadata => '{"tenant": 1}');
ROLLBACK;
SELECT * FROM states;
SELECT * FROM defer.cancel_jobs(states => '{scheduled}', function => 'bulk_test.bulk_work(integer)', metadata => '{"tenant": 1}');
SELECT * FROM defer.reschedule_jobs(function => 'bulk_test.bulk_work(integer)', run_at => '2090-01-01 00:00+00');
SELECT DISTINCT run_at FROM defer.jobs WHERE function = 'bulk_test.bulk_work(integer)' AND state = 'scheduled';
-- what would be discarded before it runs is left alone
SELECT * FROM defer.reschedule_jobs(function => 'bulk_test.bulk_other(integer)', run_at => '2090-01-01 00:00+00');
SELECT * FROM defer.reschedule_jobs(function => 'bulk_test.bulk_other(integer)', run_at => now() + interval '1 hour');
-- run again
SELECT * FROM defer.rerun_jobs(function => 'bulk_test.bulk_work(integer)');
SELECT count(*), min(metadata::text), max(metadata::text), count(DISTINCT rerun_of) FROM defer.jobs WHERE rerun_of IS NOT NULL AND function = 'bulk_test.bulk_work(integer)';
RESET ROLE;
DO $$ BEGIN WHILE EXISTS (SELECT FROM defer.jobs WHERE rerun_of IS NOT NULL AND function LIKE 'bulk_test.%' AND state <> 'succeeded') LOOP PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$;
SELECT * FROM states;

-- A member of pg_monitor sees, and may not
GRANT pg_monitor TO bulk_bob;
SET ROLE bulk_bob;
SELECT count(*) FROM defer.find_jobs(function => 'bulk_test.bulk_work(integer)', states => '{scheduled}');
SELECT * FROM defer.cancel_jobs(function => 'bulk_test.bulk_work(integer)', dry_run => true);
RESET ROLE;
REVOKE pg_monitor FROM bulk_bob;

-- Jobs that cannot be run again are left alone
SET ROLE bulk_alice;
SELECT count(defer.enqueue('bulk_gone', delay => '1 day')) FROM generate_series(1, 2);
SELECT * FROM defer.cancel_jobs(function => 'bulk_test.bulk_gone()');
RESET ROLE;
DROP FUNCTION bulk_gone();
SET ROLE bulk_alice;
SELECT * FROM defer.rerun_jobs(function => 'bulk_test.bulk_gone()');
SELECT * FROM defer.rerun_jobs(states => '{cancelled}', dry_run => true);

-- Ids below one; by group
SELECT min(id) + 3 AS fourth FROM defer.jobs WHERE function = 'bulk_test.bulk_other(integer)' \gset
SELECT * FROM defer.cancel_jobs(function => 'bulk_test.bulk_other(integer)', before => :fourth);
SELECT defer.enqueue('bulk_other', '[6]', delay => '1 day', group_key => 'acme') > 0 AS made;
SELECT * FROM defer.cancel_jobs(group_key => 'acme', args => '7');
SELECT * FROM defer.cancel_jobs(group_key => 'acme', key => 'none');
SELECT * FROM defer.cancel_jobs(args => '{}', owner => 'bulk_alice');
SELECT * FROM defer.cancel_jobs(group_key => 'acme', args => '6', owner => 'bulk_alice');
RESET ROLE;

-- Wrong calls
SELECT defer.cancel_jobs();
SELECT defer.rerun_jobs();
SELECT defer.reschedule_jobs();
SELECT defer.cancel_jobs(states => '{waiting,scheduled,queued,running,retrying}');
SELECT defer.rerun_jobs(states => '{succeeded,failed,cancelled,discarded}');
SELECT defer.cancel_jobs(metadata => '{}');
SELECT defer.cancel_jobs(error => '');
SELECT defer.cancel_jobs(states => '{failed}');
SELECT defer.rerun_jobs(states => '{failed,queued}');
SELECT defer.reschedule_jobs(states => '{nonsense}');
SELECT defer.reschedule_jobs(queue => 'x', run_at => NULL);
SELECT defer.reschedule_jobs(queue => 'x', run_at => 'infinity');
SELECT defer.cancel_jobs(states => '{}');
CALL defer.run_bulk(1, NULL, NULL, NULL);

-- More than 10000: stored in this transaction, and dealt with by a job of the caller
SET ROLE bulk_alice;
SELECT count(defer.enqueue('bulk_other', '[1]', delay => '1 day', queue => 'default', metadata => '{"big": 1}')) FROM generate_series(1, 10001) n;
BEGIN;
SELECT matched, done, job_id > 0 AS job FROM defer.cancel_jobs(metadata => '{"big": 1}');
SELECT action, matched, done, left_alone, owner FROM defer.bulk_jobs;
ROLLBACK;
SELECT count(*) FROM defer.bulk_jobs;
SELECT matched, done, job_id FROM defer.cancel_jobs(metadata => '{"big": 1}') \gset
SELECT :matched, :done;
SELECT defer.await(:job_id, timeout => '2 minutes');
SELECT state, count(*) FROM defer.jobs WHERE metadata @> '{"big": 1}' GROUP BY 1;
SELECT function, owner, state FROM defer.jobs WHERE id = :job_id;
SELECT count(*) FROM defer.bulk_jobs;
RESET ROLE;
SELECT count(*) FROM defer.bulk_part;

-- Clean up
SELECT defer.cancel_jobs(states => '{scheduled}', function => 'bulk_test.bulk_work(integer)');
SELECT defer.cancel_jobs(states => '{scheduled}', function => 'bulk_test.bulk_other(integer)');
DROP SCHEMA bulk_test CASCADE;
REVOKE USAGE ON SCHEMA defer FROM bulk_alice, bulk_bob;
