-- Making, changing and removing schedules
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE SCHEMA schedules_test;
SET search_path = schedules_test, pg_catalog;
CREATE FUNCTION schedules_weekly() RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint';
CREATE FUNCTION schedules_other() RETURNS void LANGUAGE sql AS '';
CREATE PROCEDURE schedules_procedure() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
CREATE FUNCTION schedules_parameter(a integer) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION schedules_default(a integer DEFAULT 1) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION schedules_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE ROLE schedules_alice;
CREATE ROLE schedules_bob;
CREATE ROLE schedules_group;
GRANT schedules_group TO schedules_alice;
GRANT USAGE ON SCHEMA defer, schedules_test TO schedules_alice, schedules_bob, schedules_group;

-- it says in English when it fires
\set VERBOSITY terse
SET client_min_messages = notice;
SELECT defer.cron('schedules_weekly', '0 8 * * 1') > 0 AS made;
SELECT defer.cron('schedules_weekly', '0 8 * * *', timezone => 'europe/paris') > 0 AS made;
SELECT defer.cron_command('schedules_vacuum', '@daily', 'VACUUM') > 0 AS made;
SET client_min_messages = warning;
\set VERBOSITY default

-- the same name is the same schedule
SELECT name, function, schedule, timezone, overlap, catch_up, catch_up_window, jitter, active,
	allow_direct, queue, priority, next_tick > now() AS next, next_run_at = next_tick AS punctual, last_error
  FROM defer.schedule ORDER BY name;
SELECT id AS before FROM defer.schedule WHERE name = 'schedules_weekly' \gset
SELECT defer.cron('schedules_weekly', '*/5 * * * *', timezone => 'Asia/Tokyo', overlap => 'queue',
	catch_up => 'all', catch_up_window => '2 hours', jitter => '1 minute', active => false,
	queue => 'default', priority => 3, allow_direct => true) = :before AS same_id;
SELECT schedule, timezone, overlap, catch_up, catch_up_window, jitter, active, allow_direct, queue, priority,
	next_run_at >= next_tick AND next_run_at < next_tick + interval '1 minute' AS jittered
  FROM defer.schedule WHERE id = :before;
-- what is made again as it is keeps a tick that is due
UPDATE defer.schedule SET active = true, next_tick = '2050-01-01', next_run_at = '2050-01-01' WHERE id = :before;
SELECT defer.cron('schedules_weekly', '*/5 * * * *', timezone => 'Asia/Tokyo', jitter => '1 minute') = :before AS same_id;
SELECT next_tick = '2050-01-01' AS kept, overlap FROM defer.schedule WHERE id = :before;

-- a name that nobody gave does not replace another function's schedule
CREATE SCHEMA schedules_test2;
CREATE FUNCTION schedules_test2.schedules_weekly() RETURNS void LANGUAGE sql AS '';
SELECT defer.cron('schedules_test2.schedules_weekly', '@daily');
SELECT defer.cron('schedules_test2.schedules_weekly', '@daily', name => 'schedules_weekly') = :before AS same_id;
SELECT function, schedule FROM defer.schedule WHERE id = :before;

-- procedures, quoted names
SELECT defer.cron('schedules_procedure', '@hourly', name => 'schedules "p" 1') > 0 AS made;
SELECT kind, function FROM defer.schedule WHERE name = 'schedules "p" 1';

-- change some of it
SELECT defer.alter_cron('schedules_weekly', schedule => '15 3 * * *', active => false);
SELECT schedule, timezone, active FROM defer.schedule WHERE id = :before;
SELECT defer.alter_cron('schedules_weekly', function => 'schedules_other', active => true, overlap => 'replace');
SELECT function, kind, command, overlap, active FROM defer.schedule WHERE id = :before;
SELECT defer.alter_cron('schedules_weekly', sql => 'SELECT 1');
SELECT function, kind, command FROM defer.schedule WHERE id = :before;
SELECT defer.alter_cron('schedules_weekly', function => 'schedules_weekly', sql => 'SELECT 1');
SELECT defer.alter_cron('schedules_none', active => true);
SELECT defer.alter_cron(NULL);

-- remove it
SELECT defer.unschedule('schedules_weekly'), defer.unschedule('schedules_weekly'), defer.unschedule('schedules "p" 1'),
	defer.unschedule('schedules_vacuum');

-- wrong calls, which leave nothing behind
SELECT defer.cron(NULL, '@daily');
SELECT defer.cron('schedules_weekly', NULL);
SELECT defer.cron('schedules_weekly', '0 8 * *');
SELECT defer.cron('schedules_weekly', '0 8 30 2 *');
SELECT defer.cron('schedules_weekly', '*/0 * * * *');
SELECT defer.cron('schedules_weekly', '0 25 * * *');
SELECT defer.cron('schedules_weekly', '0 8 * * mondax');
SELECT defer.cron('schedules_weekly', '0 ü * * *');
SELECT defer.cron('schedules_weekly', E'0 8\x01 * * *');
SELECT defer.cron('schedules_weekly', repeat('0 ', 5000));
SELECT defer.cron('schedules_weekly', '@daily', timezone => 'Mars/Phobos');
SELECT defer.cron('schedules_weekly', '@daily', timezone => 'Mars5');
SELECT defer.cron('schedules_weekly', '@daily', timezone => '');
SELECT defer.cron('schedules_weekly', '@daily', timezone => '../../etc/passwd');
SELECT defer.cron('schedules_weekly', '@daily', timezone => repeat('x', 1000));
SELECT defer.cron('schedules_weekly', '@daily', queue => 'schedules_no_queue');
SELECT defer.cron('schedules_weekly', '@daily', overlap => 'maybe');
SELECT defer.cron('schedules_weekly', '@daily', catch_up => 'some');
SELECT defer.cron('schedules_weekly', '@daily', catch_up_window => '-1 s');
SELECT defer.cron('schedules_weekly', '@daily', jitter => '-1 s');
SELECT defer.cron('schedules_weekly', '@daily', jitter => '25 hours');
SELECT defer.cron('schedules_weekly', '@daily', name => '');
SELECT defer.cron('schedules_weekly', '@daily', name => repeat('x', 201));
SELECT defer.cron('schedules_weekly', '@daily', name => E'a\nb');
SELECT defer.cron('schedules_parameter', '@daily');
SELECT defer.cron('schedules_default', '@daily');
SELECT defer.cron('schedules_trigger', '@daily');
SELECT defer.cron_command('schedules_vacuum', '@daily', NULL);
SELECT defer.cron_command(NULL, '@daily', 'SELECT 1');
\set VERBOSITY terse
SELECT defer.cron('schedules_nothing', '@daily');
SELECT defer.cron_command('schedules_vacuum', '@daily', 'SELECT 1; SELECT 2');
\set VERBOSITY default
SELECT count(*) FROM defer.schedule WHERE name LIKE 'schedules%';

-- roles
SET ROLE schedules_group;
SELECT defer.cron('schedules_test.schedules_weekly', '@daily', name => 'schedules_shared', allow_direct => true) > 0 AS made;
SET ROLE schedules_bob;
SELECT defer.cron('schedules_test.schedules_weekly', '@hourly', name => 'schedules_shared', allow_direct => true) > 0 AS made;
SELECT defer.unschedule('schedules_shared'), defer.unschedule('schedules_shared');
SELECT defer.alter_cron('schedules_shared', active => false);
SELECT defer.trigger('schedules_shared');
SELECT defer.run_schedules(now());
SET ROLE schedules_alice;
SELECT defer.alter_cron('schedules_shared', active => false);
SELECT owner, active FROM defer.schedules WHERE name = 'schedules_shared';
SELECT defer.trigger('schedules_shared') > 0 AS triggered;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION schedules_weekly() FROM PUBLIC;
SET ROLE schedules_bob;
SELECT defer.cron('schedules_test.schedules_weekly', '@daily');
SET ROLE schedules_alice;
SELECT defer.alter_cron('schedules_shared', function => 'schedules_test.schedules_weekly');
-- one's own comes first, and two others are ambiguous
RESET ROLE;
GRANT EXECUTE ON FUNCTION schedules_weekly() TO PUBLIC;
SET ROLE schedules_bob;
SELECT defer.cron('schedules_test.schedules_weekly', '@hourly', name => 'schedules_shared', allow_direct => true) > 0 AS made;
SELECT defer.alter_cron('schedules_shared', active => false);
RESET ROLE;
SELECT defer.alter_cron('schedules_shared', active => true);
SELECT owner, active FROM defer.schedule WHERE name = 'schedules_shared' ORDER BY owner::text;
-- an id means one of them
SELECT id AS group_id FROM defer.schedules WHERE name = 'schedules_shared' AND owner = 'schedules_group' \gset
SELECT id AS bob_id FROM defer.schedules WHERE name = 'schedules_shared' AND owner = 'schedules_bob' \gset
SELECT defer.alter_cron(:group_id, active => true);
SELECT owner, active FROM defer.schedule WHERE name = 'schedules_shared' ORDER BY owner::text;
SELECT defer.trigger(:group_id) AS triggered_id \gset
SELECT owner, schedule FROM defer.jobs WHERE id = :triggered_id;
SET ROLE schedules_alice;
\set VERBOSITY sqlstate
SELECT defer.trigger(:bob_id) IS NULL AS triggered;
SELECT defer.alter_cron(:bob_id, active => true);
\set VERBOSITY default
SELECT defer.unschedule(:bob_id);
RESET ROLE;
SELECT defer.trigger(0);
SELECT defer.alter_cron(NULL::bigint), defer.trigger(NULL::bigint);
SELECT defer.cron_command('schedules_by_id', '@yearly', 'SELECT 1') AS by_id \gset
SELECT defer.unschedule(:by_id), defer.unschedule(:by_id);
SELECT defer.unschedule(NULL::bigint);
SET ROLE schedules_bob;
SELECT defer.unschedule('schedules_shared');
SET ROLE schedules_group;
SELECT defer.unschedule('schedules_shared');
RESET ROLE;

-- by the function's name, if that has one schedule
SELECT defer.cron('schedules_other', '@yearly', name => 'schedules_a') > 0 AS made;
BEGIN;
SELECT defer.trigger('schedules_other') > 0 AS by_name, defer.trigger('schedules_test.schedules_other') > 0 AS by_schema,
	defer.trigger('schedules_test.schedules_other()') > 0 AS by_signature, defer.trigger('schedules_a') > 0 AS by_schedule;
SELECT function, kind, owner, scheduled_for IS NULL AS unscheduled, run_at <= clock_timestamp() AS due, count(*)
  FROM defer.job WHERE function LIKE '%schedules\_other%' GROUP BY 1, 2, 3, 4, 5;
ROLLBACK;
SELECT defer.cron('schedules_other', '@yearly', name => 'schedules_b') > 0 AS made;
SELECT defer.trigger('schedules_other');
SELECT defer.trigger('schedules_none');
SELECT defer.trigger(NULL);
DROP FUNCTION schedules_other();
SELECT defer.trigger('schedules_a');
SELECT defer.unschedule('schedules_a'), defer.unschedule('schedules_b');

-- looking only
SELECT defer.cron_describe('0 8 * * 1'), defer.cron_describe('0 8 * * *'), defer.cron_describe('every 90 seconds');
SELECT defer.cron_describe('0 8 * *');
SET timezone = 'UTC';
SELECT defer.cron_next('0 8 * * 1', after => '2026-01-01 00:00:00.5+00', n => 2);
SELECT defer.cron_next('30 2 * * *', 'Europe/Paris', '2026-03-28 00:00+00', 3);
SELECT defer.cron_next('30 2 * * *', 'America/New_York', '2026-10-31 00:00+00', 3);
SELECT defer.cron_next('0 0 1 1 *', after => '1969-12-31 23:59:59.9+00', n => 1);
SELECT defer.cron_next('0 0 1 1 *', after => '9998-06-01+00', n => 5);
SELECT count(*), min(n) > now() AS next FROM defer.cron_next('@hourly') n;
SELECT count(*) FROM defer.cron_next('@hourly', n => 0);
SELECT count(*) FROM defer.cron_next('@hourly', NULL);
SELECT defer.cron_next('@hourly', after => 'infinity');
SELECT defer.cron_next('@hourly', n => -1);
SELECT defer.cron_next('@hourly', 'Nowhere');
SELECT defer.run_schedules('infinity');

SET client_min_messages = error;
DELETE FROM defer.job WHERE owner = 'schedules_group'::regrole;
DROP SCHEMA schedules_test, schedules_test2 CASCADE;
REVOKE USAGE ON SCHEMA defer FROM schedules_alice, schedules_bob, schedules_group;
DROP ROLE schedules_alice, schedules_bob, schedules_group;
