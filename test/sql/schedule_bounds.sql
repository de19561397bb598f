-- Schedules: who pauses them and why, bounds in time and number, failures in a row
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE SCHEMA bounds_test;
SET search_path = bounds_test, pg_catalog;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE FUNCTION bounds_work() RETURNS void LANGUAGE sql AS '';
CREATE ROLE bounds_alice;
CREATE ROLE bounds_bob;
GRANT USAGE ON SCHEMA defer, bounds_test TO bounds_alice, bounds_bob;
CREATE VIEW shown AS
	SELECT name, active, paused_at IS NOT NULL AS since, paused_by, pause_reason, runs, failures, last_error
	  FROM defer.schedules WHERE name LIKE 'bounds%' ORDER BY name;
GRANT SELECT ON shown TO bounds_alice;
-- Do as the scheduler does, from one instant to another
CREATE FUNCTION run_until(at timestamptz, until timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WHILE at <= until LOOP
		at := defer.run_schedules(at);
	END LOOP;
END $$;

-- Who, when and why
SET ROLE bounds_alice;
SELECT defer.cron_command('bounds_a', '0 8 * * *', 'SELECT 1') > 0 AS made;
SELECT defer.pause_cron('bounds_a', 'the partner is down until Monday');
SELECT * FROM shown;
SELECT next_run_at, next_runs FROM defer.schedules WHERE name = 'bounds_a';
RESET ROLE;
-- another who may, by its id
SELECT defer.pause_cron(id) FROM defer.schedule WHERE name = 'bounds_a';
SELECT active, paused_by = current_user AS mine, pause_reason FROM defer.schedules WHERE name = 'bounds_a';
-- to make the same schedule again does not let it go on
SET ROLE bounds_alice;
SELECT defer.pause_cron('bounds_a', 'again');
SELECT defer.cron_command('bounds_a', '0 9 * * *', 'SELECT 1') > 0 AS made;
SELECT * FROM shown;
SELECT defer.resume_cron('bounds_a');
SELECT * FROM shown;
SELECT next_run_at > now() AS next, cardinality(next_runs) FROM defer.schedules WHERE name = 'bounds_a';
-- the older ways
SELECT defer.alter_cron('bounds_a', active => false);
SELECT * FROM shown;
SELECT defer.cron_command('bounds_a', '0 9 * * *', 'SELECT 1', active => true) > 0 AS made;
SELECT * FROM shown;
-- an empty reason is none
SELECT defer.pause_cron('bounds_a', '');
SELECT pause_reason IS NULL AS none FROM shown;
RESET ROLE;
-- not others
SET ROLE bounds_bob;
SELECT defer.pause_cron('bounds_a', 'spite');
SELECT defer.resume_cron('bounds_a');
SELECT defer.pause_cron(s.id) FROM defer.schedules s;
RESET ROLE;
SELECT defer.pause_cron(NULL::text);
SELECT defer.resume_cron(NULL::bigint);
SELECT defer.pause_cron('bounds_a', repeat('x', 1001));
SELECT defer.pause_cron(0);
SET default_transaction_read_only = on;
SELECT defer.pause_cron('bounds_a');
SELECT defer.resume_cron('bounds_a');
RESET default_transaction_read_only;

-- Bounds in time, the second one not included
BEGIN;
SELECT defer.cron_command('bounds_time', '0 8 * * *', 'SELECT 1', overlap => 'allow',
	starts_at => '2050-03-01 08:00+00', ends_at => '2050-03-04 08:00+00') > 0 AS made;
SELECT next_run_at, next_runs, starts_at, ends_at FROM defer.schedules WHERE name = 'bounds_time';
SELECT run_until('2050-03-01 08:00+00', '2050-03-09 00:00+00');
SELECT scheduled_for FROM defer.jobs WHERE schedule = 'bounds_time' ORDER BY 1;
SELECT name, active, pause_reason, runs, next_run_at FROM defer.schedules WHERE name = 'bounds_time';
-- and goes on with others
SELECT defer.alter_cron('bounds_time', ends_at => 'infinity', starts_at => '-infinity');
SELECT defer.resume_cron('bounds_time');
SELECT active, pause_reason, starts_at, ends_at, cardinality(next_runs) FROM defer.schedules WHERE name = 'bounds_time';
ROLLBACK;
-- a long sleep: what was missed after the end is not caught up with
BEGIN;
SELECT defer.cron_command('bounds_late', '0 * * * *', 'SELECT 1', overlap => 'allow', catch_up => 'all', catch_up_window => '30 days',
	starts_at => '2050-03-01 08:00+00', ends_at => '2050-03-01 11:00+00') > 0 AS made;
SELECT defer.run_schedules('2050-03-05 00:00+00');
SELECT scheduled_for FROM defer.jobs WHERE schedule = 'bounds_late' ORDER BY 1;
SELECT active, pause_reason FROM defer.schedules WHERE name = 'bounds_late';
ROLLBACK;
-- a bound that moves changes the next time
BEGIN;
SELECT defer.cron_command('bounds_move', '0 8 * * *', 'SELECT 1') > 0 AS made;
SELECT defer.alter_cron('bounds_move', starts_at => '2050-05-05 12:00+00');
SELECT next_run_at FROM defer.schedules WHERE name = 'bounds_move';
SELECT defer.alter_cron('bounds_move', starts_at => '-infinity');
SELECT next_run_at < now() + interval '2 days' AS soon FROM defer.schedules WHERE name = 'bounds_move';
ROLLBACK;

-- A number of runs
BEGIN;
SELECT defer.cron_command('bounds_runs', '0 * * * *', 'SELECT 1', overlap => 'allow', starts_at => '2050-03-01 00:00+00', max_runs => 3) > 0 AS made;
SELECT next_runs FROM defer.schedules WHERE name = 'bounds_runs';
SELECT run_until('2050-03-01 00:00+00', '2050-03-02 00:00+00');
SELECT scheduled_for FROM defer.jobs WHERE schedule = 'bounds_runs' ORDER BY 1;
SELECT * FROM shown WHERE name = 'bounds_runs';
SAVEPOINT s;
SELECT defer.resume_cron('bounds_runs');
ROLLBACK TO s;
SELECT defer.alter_cron('bounds_runs', active => true);
ROLLBACK TO s;
SELECT defer.alter_cron('bounds_runs', max_runs => 4, active => true);
SELECT cardinality(next_runs), max_runs, runs FROM defer.schedules WHERE name = 'bounds_runs';
SELECT defer.alter_cron('bounds_runs', max_runs => 0);
SELECT cardinality(next_runs), max_runs, runs FROM defer.schedules WHERE name = 'bounds_runs';
ROLLBACK;

-- Failures in a row: a success in between, what is cancelled does not count
BEGIN;
SELECT defer.cron_command('bounds_fail', '0 * * * *', 'SELECT 1', overlap => 'allow', starts_at => '2050-03-01 00:00+00', pause_after_failures => 2) > 0 AS made;
SELECT id AS schedule FROM defer.schedule WHERE name = 'bounds_fail' \gset
SELECT run_until('2050-03-01 00:00+00', '2050-03-01 01:00+00');
SELECT id AS job FROM defer.job WHERE schedule_id = :schedule ORDER BY id LIMIT 1 \gset
SELECT defer.cancel(:job);
SELECT count(*) FROM defer.schedule_result;
INSERT INTO defer.schedule_result VALUES (:schedule, 1, true, '2050-03-01 00:01+00'), (:schedule, 2, false, '2050-03-01 00:02+00'), (:schedule, 3, true, '2050-03-01 00:03+00');
SELECT run_until('2050-03-01 02:00+00', '2050-03-01 02:00+00');
SELECT * FROM shown WHERE name = 'bounds_fail';
-- those of others are left alone
INSERT INTO defer.schedule_result VALUES (:schedule, 4, true, '2050-03-01 02:01+00'), (:schedule + 1, 5, true, '2050-03-01 02:01+00');
SELECT run_until('2050-03-01 03:00+00', '2050-03-01 03:00+00');
SELECT * FROM shown WHERE name = 'bounds_fail';
SELECT schedule_id - :schedule AS other FROM defer.schedule_result;
SELECT count(*) AS runs FROM defer.jobs WHERE schedule = 'bounds_fail';
SELECT severity, regexp_replace(finding, 'since .*: ', 'since ...: ') AS finding, regexp_replace(hint, '\d+', 'N') AS hint
  FROM defer.health WHERE finding LIKE '%bounds_fail%';
SELECT defer.resume_cron(:schedule);
SELECT * FROM shown WHERE name = 'bounds_fail';
ROLLBACK;

-- Wrong values
SELECT defer.cron('bounds_work', '@daily', starts_at => 'infinity');
SELECT defer.cron('bounds_work', '@daily', ends_at => '-infinity');
SELECT defer.cron('bounds_work', '@daily', starts_at => '2050-01-02 00:00+00', ends_at => '2050-01-02 00:00+00');
SELECT defer.cron('bounds_work', '@daily', ends_at => '2020-01-01 00:00+00');
SELECT defer.cron('bounds_work', '@yearly', starts_at => '2050-01-02 00:00+00', ends_at => '2050-12-31 00:00+00');
SELECT defer.cron('bounds_work', '@daily', max_runs => -1);
SELECT defer.cron('bounds_work', '@daily', pause_after_failures => -1);
SELECT defer.alter_cron('bounds_a', ends_at => '2020-01-01 00:00+00', active => true);

DROP SCHEMA bounds_test CASCADE;
DELETE FROM defer.schedule WHERE name LIKE 'bounds%';
REVOKE USAGE ON SCHEMA defer FROM bounds_alice, bounds_bob;
DROP ROLE bounds_alice;
DROP ROLE bounds_bob;
