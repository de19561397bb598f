-- Runs for times of a schedule that are past
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE SCHEMA backfill_test;
SET search_path = backfill_test, pg_catalog;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE ROLE backfill_alice LOGIN;
CREATE ROLE backfill_bob LOGIN;
GRANT USAGE ON SCHEMA defer, backfill_test TO backfill_alice, backfill_bob;
CREATE PROCEDURE wait_until(condition text) LANGUAGE plpgsql AS $$
DECLARE
	met boolean := false;
BEGIN
	FOR i IN 1 .. 12000 LOOP
		EXECUTE 'SELECT ' || condition INTO met;
		EXIT WHEN met;
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
	IF NOT met THEN RAISE 'not met: %', condition; END IF;
END $$;
SET ROLE backfill_alice;
SELECT defer.cron_command('backfill_a', '0 8 * * *', 'SELECT 1', timezone => 'Europe/Paris', jitter => '3 hours', active => false) > 0 AS made;
SELECT id AS schedule FROM defer.schedules WHERE name = 'backfill_a' \gset

-- Count; since is included, until is not
BEGIN READ ONLY;
SELECT defer.backfill('backfill_a', '2026-03-01', '2026-03-08', dry_run => true);
SELECT defer.backfill('backfill_a', '2026-03-01 07:00', '2026-03-02 07:00', dry_run => true);
SELECT defer.backfill('backfill_a', '2026-03-01 07:00:00.000001', '2026-03-02 07:00:00.000001', dry_run => true);
SELECT defer.backfill(:schedule, '2026-03-01 07:30', '2026-03-01 08:30', dry_run => true);
SELECT defer.backfill('backfill_a', '2026-03-01', '2026-03-08');
ROLLBACK;
SELECT count(*) FROM defer.backfills;
SELECT defer.backfill('backfill_a', '2026-03-01', '2026-03-08', rate => '1/month');

-- One after the other, also while the schedule is paused, at the nominal times
BEGIN;
SELECT defer.backfill('backfill_a', '2026-03-26', '2026-04-01', priority => 7);
SELECT schedule, owner, since, until, overlap, priority, runs, enqueued, created_by FROM defer.backfills;
SELECT defer.backfill('backfill_a', '2026-03-30', '2026-04-03', dry_run => true) AS not_those_of_another;
COMMIT;
RESET ROLE;
CALL wait_until('NOT EXISTS (SELECT FROM defer.backfill)');
CALL wait_until($$NOT EXISTS (SELECT FROM defer.jobs WHERE schedule = 'backfill_a' AND state <> 'succeeded')$$);
SET ROLE backfill_alice;
SELECT scheduled_for, state, priority, owner FROM defer.jobs WHERE schedule = 'backfill_a' ORDER BY id;
SELECT active, last_run_at, runs FROM defer.schedules WHERE name = 'backfill_a';
-- those are not run again
SELECT defer.backfill('backfill_a', '2026-03-26', '2026-04-01'), defer.backfill('backfill_a', '2026-03-25', '2026-04-02', dry_run => true);
SELECT count(*) FROM defer.backfills;

-- What was skipped or missed has no run
BEGIN;
SELECT defer.alter_cron('backfill_a', active => true, overlap => 'allow', schedule => '0 8 1 1 *', timezone => 'UTC');
RESET ROLE;
UPDATE defer.schedule SET next_tick = '2001-01-01 08:00+00', next_run_at = '2001-01-01 08:00+00' WHERE name = 'backfill_a';
SELECT defer.run_schedules('2005-06-01 00:00+00') >= '2006-01-01 08:00+00' AS next;
SELECT scheduled_for, state FROM defer.jobs WHERE schedule = 'backfill_a' AND scheduled_for < '2010-01-01' ORDER BY 1;
SELECT defer.backfill('backfill_a', '2001-01-01', '2006-01-01', dry_run => true);
ROLLBACK;

-- Not enqueued if this is rolled back; ended by its id, or with its schedule
SET ROLE backfill_alice;
BEGIN;
SELECT defer.backfill('backfill_a', '2025-01-01', '2025-01-05');
ROLLBACK;
SELECT count(*) FROM defer.backfills;
BEGIN;
SELECT defer.backfill('backfill_a', '2025-01-01', '2025-01-05');
SELECT defer.cancel_backfill(id), defer.cancel_backfill(id), defer.cancel_backfill(0) FROM defer.backfills;
SELECT count(*) FROM defer.backfills;
SELECT defer.backfill('backfill_a', '2025-01-01', '2025-01-05');
SELECT defer.unschedule('backfill_a');
SELECT count(*) FROM defer.backfills;
ROLLBACK;

-- So many in progress for a role
BEGIN;
SELECT sum(defer.backfill('backfill_a', day, day + interval '1 day')) FROM generate_series('2025-02-01'::timestamptz, '2025-02-10', '1 day') day;
SELECT defer.backfill('backfill_a', '2025-03-01', '2025-03-02');
ROLLBACK;

-- Others may not
SET ROLE backfill_bob;
SELECT defer.backfill('backfill_a', '2025-01-01', '2025-01-05');
SELECT defer.backfill(s.id, '2025-01-01', '2025-01-05', dry_run => true) FROM defer.schedules s;
RESET ROLE;

-- Wrong calls
SELECT defer.backfill('backfill_none', '2025-01-01', '2025-01-05');
SELECT defer.backfill('backfill_a', NULL, '2025-01-05');
SELECT defer.backfill('backfill_a', '2025-01-01', NULL);
SELECT defer.backfill(NULL::bigint, '2025-01-01', '2025-01-05');
SELECT defer.backfill('backfill_a', '-infinity', '2025-01-05');
SELECT defer.backfill('backfill_a', '2025-01-01', 'infinity');
SELECT defer.backfill('backfill_a', '2025-01-01', '2025-01-01');
SELECT defer.backfill('backfill_a', '2025-01-01', '2090-01-01');
SELECT defer.backfill('backfill_a', '2025-01-01', '2025-01-05', overlap => 'skip');
SELECT defer.cron_command('backfill_seconds', 'every second', 'SELECT 1', active => false) > 0 AS made;
SELECT defer.backfill('backfill_seconds', '2025-01-01', '2025-01-03');
SELECT defer.unschedule('backfill_seconds'), defer.unschedule(:schedule);
DROP SCHEMA backfill_test CASCADE;
REVOKE USAGE ON SCHEMA defer FROM backfill_alice, backfill_bob;
