-- Ticks on injected time, through defer.run_schedules().  Everything is rolled
-- back: the real scheduler and the workers see none of it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE SCHEMA ticks_test;
SET search_path = ticks_test, pg_catalog;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';

-- Let all schedules of the test begin after an instant
CREATE FUNCTION begin_at(at timestamptz) RETURNS void LANGUAGE sql AS $$
	UPDATE defer.schedule s SET next_tick = n.t, next_run_at = n.t, last_tick = NULL, last_run_at = NULL
	  FROM (SELECT q.id, (SELECT t FROM defer.cron_next(q.schedule, q.timezone, at, 1) t) FROM defer.schedule q) n(id, t)
	 WHERE s.id = n.id AND s.active AND s.name LIKE 'ticks %'
$$;

-- Do as the scheduler does: wake up when something is due, and see to it.  Returns how often
CREATE FUNCTION run_until(at timestamptz, until timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	turns integer := 0;
BEGIN
	WHILE at <= until LOOP
		at := defer.run_schedules(at);
		turns := turns + 1;
	END LOOP;
	RETURN turns;
END $$;

CREATE FUNCTION make(name text, schedule text, zone text DEFAULT 'UTC', overlap text DEFAULT 'allow',
					 catch_up text DEFAULT 'one', catch_up_window interval DEFAULT '1 day', jitter interval DEFAULT '0')
	RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM defer.cron_command('ticks ' || name, schedule, 'SELECT 1', zone, overlap, catch_up, catch_up_window, jitter);
END $$;

-- What has become of ticks, each row being a stretch of ticks with the same fate
CREATE VIEW fates AS
	SELECT name, state, min(tick) AS first, max(tick) AS last, count(*) AS ticks, error
	  FROM (SELECT *, row_number() OVER (PARTITION BY name ORDER BY tick, id) - row_number() OVER (PARTITION BY name, state, error ORDER BY tick, id) AS stretch
			  FROM (SELECT substr(s.name, 7) AS name, j.id, CASE WHEN j.run_at = 'infinity' THEN 'held' ELSE 'queued' END AS state, j.scheduled_for AS tick, NULL AS error
					  FROM defer.job j JOIN defer.schedule s ON s.id = j.schedule_id
					UNION ALL
					SELECT substr(s.name, 7), h.id, CASE h.state WHEN 'd' THEN 'discarded' WHEN 'c' THEN 'cancelled' ELSE h.state::text END, h.scheduled_for, h.error
					  FROM defer.job_history h JOIN defer.schedule s ON s.id = h.schedule_id) fate) run
	 GROUP BY name, state, stretch, error;

-- Run schedules of a zone from an instant to another, and compare.  In one
-- transaction each turn leaves dead rows to the next: no more than some weeks.
CREATE TYPE finding AS (zone text, start timestamptz, schedule text, ticks bigint, same boolean);
CREATE FUNCTION findings(zone text, start timestamptz, until timestamptz, schedules text[]) RETURNS finding[] LANGUAGE plpgsql AS $$
BEGIN
	UPDATE defer.schedule SET active = false WHERE active;
	PERFORM make(s, s, zone) FROM unnest(schedules) s;
	PERFORM begin_at(start);
	PERFORM run_until(start, until);
	RETURN (SELECT array_agg(ROW (zone, start, s.schedule, COALESCE(cardinality(ran.ticks), 0), ran.ticks IS NOT DISTINCT FROM wanted.ticks)::finding)
			  FROM defer.schedule s,
				   LATERAL (SELECT array_agg(j.scheduled_for ORDER BY j.scheduled_for) FROM defer.job j WHERE j.schedule_id = s.id) ran(ticks),
				   LATERAL (SELECT array_agg(t ORDER BY t) FROM defer.cron_next(s.schedule, zone, start, 10000) t WHERE t <= until) wanted(ticks)
			 WHERE s.name LIKE 'ticks %');
END $$;

-- A year, tick by tick; each month is rolled back on its own, variables remain
DO $$
DECLARE
	found finding[];
BEGIN
	FOR month IN 0 .. 11 LOOP
		found := found || findings('Europe/Paris', '2031-01-01 00:00+00'::timestamptz + month * interval '1 month', '2031-01-01 00:00+00'::timestamptz + (month + 1) * interval '1 month',
			ARRAY['0 */8 * * *', '30 2 * * *', '0 8 * * 1', '0 0 L * *', '0 9 * * sat#3', 'every 28 hours', '0 0 1 jan *']);
		ROLLBACK;
	END LOOP;
	CREATE TABLE found AS SELECT * FROM unnest(found);
END $$;
SELECT schedule, sum(ticks) AS ticks, bool_and(same) AS as_cron_next FROM found GROUP BY schedule ORDER BY schedule;
DROP TABLE found;

-- The last run has not ended
BEGIN;
UPDATE defer.schedule SET active = false;
SELECT count(make(o, '@hourly', overlap => o)) FROM unnest(ARRAY['skip', 'queue', 'allow', 'replace']) o;
SELECT begin_at('2031-01-01 00:30+00');
SELECT run_until('2031-01-01 00:30+00', '2031-01-01 04:30+00') AS turns;
SELECT * FROM fates ORDER BY name, first, state;
-- they end, and go on
DELETE FROM defer.job j USING defer.schedule s WHERE s.id = j.schedule_id AND s.name LIKE 'ticks %';
SELECT run_until('2031-01-01 04:30+00', '2031-01-01 06:30+00') AS turns;
SELECT name, state, first, last, ticks FROM fates WHERE last > '2031-01-01 04:30+00' ORDER BY name, first, state;
ROLLBACK;

-- Runs wait for the one before them, but not any number of them
BEGIN;
UPDATE defer.schedule SET active = false;
SELECT make('seconds', '* * * * * *', overlap => 'queue', catch_up => 'all');
SELECT begin_at('2031-01-01 00:00+00');
SELECT run_until('2031-01-01 00:16:40+00', '2031-01-01 00:16:43+00') AS turns;
SELECT name, state, ticks, error FROM fates ORDER BY name, first, state;
ROLLBACK;

-- Down-time of two days
BEGIN;
UPDATE defer.schedule SET active = false;
SELECT count(make(c, '@hourly', catch_up => c)) FROM unnest(ARRAY['none', 'one', 'all']) c;
SELECT make('one, 20 minutes', '@hourly', catch_up => 'one', catch_up_window => '20 minutes'),
	make('all, 6 hours', '@hourly', catch_up => 'all', catch_up_window => '6 hours'),
	make('all, skip', '@hourly', overlap => 'skip', catch_up => 'all', catch_up_window => '6 hours');
SELECT begin_at('2031-01-01 00:30+00');
SELECT defer.run_schedules('2031-01-03 00:30+00') AS next;
SELECT * FROM fates ORDER BY name, first, state;
-- a little late is in time, whatever catch_up
SELECT defer.run_schedules('2031-01-03 01:00:45+00') AS next;
SELECT name, state, count(*) FROM fates WHERE last = '2031-01-03 01:00+00' GROUP BY 1, 2 ORDER BY 1;
ROLLBACK;

-- Down-time of which nobody wants a row for each tick, not even to count them
BEGIN;
UPDATE defer.schedule SET active = false;
SELECT make('minutes', '* * * * *', catch_up => 'none'), make('seconds', '* * * * * *', catch_up => 'one', overlap => 'skip'),
	make('some', '* * * * * *', catch_up => 'all', catch_up_window => '10 minutes'), make('rare', '0 0 29 2 *', catch_up => 'all', catch_up_window => '36500 days');
SELECT begin_at('2031-01-01 00:00+00');
SELECT defer.run_schedules('2033-01-01 00:01:30+00') AS next;
SELECT name, state, first, last, ticks, error FROM fates ORDER BY name, last, state;
ROLLBACK;

-- Turns that come late, each by another while: no minute is lost, none fires twice
BEGIN;
UPDATE defer.schedule SET active = false;
SELECT make('minutes', '* * * * *', catch_up => 'all');
SELECT begin_at('2031-01-01 00:00:30+00');
SELECT count(defer.run_schedules('2031-01-01 00:00:30+00'::timestamptz + i * interval '37.9 s')) AS turns FROM generate_series(0, 200) i;
SELECT count(DISTINCT defer.run_schedules('2031-01-01 02:07:10+00')) AS turns_at_the_same_time FROM generate_series(1, 5);
SELECT * FROM fates;
ROLLBACK;

-- Seconds, met in the middle of one: the next tick is not put off
BEGIN;
UPDATE defer.schedule SET active = false;
SELECT make('seconds', '* * * * * *');
SELECT begin_at('2031-01-01 00:00+00');
SELECT defer.run_schedules('2031-01-01 00:00:01.4+00') AS next;
ROLLBACK;

-- A clock that is set back a little: what has fired does not fire again, and then it goes on
BEGIN;
UPDATE defer.schedule SET active = false;
SELECT count(make(c, '*/10 * * * *', catch_up => c)) FROM unnest(ARRAY['none', 'one', 'all']) c;
SELECT make('daily', '0 12 * * *', 'Europe/Paris');
SELECT begin_at('2031-06-01 00:00+00');
SELECT run_until('2031-06-01 00:00+00', '2031-06-01 12:00+00') AS turns;
DELETE FROM defer.job j USING defer.schedule s WHERE s.id = j.schedule_id AND s.name LIKE 'ticks %';
SELECT defer.run_schedules('2031-06-01 11:05+00') AS next_after_an_hour_back;
SELECT run_until('2031-06-01 11:05+00', '2031-06-01 13:00+00') AS turns;
SELECT * FROM fates ORDER BY name, first, state;
-- set back by years: plainly wrong before, so it goes on from here
SELECT defer.run_schedules('2029-01-01 00:05+00') AS next_after_years_back;
SELECT run_until('2029-01-01 00:05+00', '2029-01-01 01:05+00') AS turns;
SELECT * FROM fates WHERE first < '2030-01-01' ORDER BY name, first, state;
-- forwards by years and back again: no storm, no stall
SELECT defer.run_schedules('2035-01-01 00:05+00') AS next_after_years_forward;
SELECT name, state, min(first) AS first, max(last) AS last, sum(ticks) AS ticks, count(*) AS fates FROM fates WHERE first > '2034-01-01' OR last > '2034-01-01' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT defer.run_schedules('2029-01-01 01:15+00') AS next_after_that;
SELECT run_until('2029-01-01 01:15+00', '2029-01-01 02:05+00') AS turns;
SELECT substr(s.name, 7) AS name, min(j.scheduled_for) AS first, max(j.scheduled_for) AS last, count(*) AS ticks, count(DISTINCT j.scheduled_for) AS different
  FROM defer.job j JOIN defer.schedule s ON s.id = j.schedule_id WHERE j.scheduled_for BETWEEN '2029-01-01 01:05+00' AND '2029-01-01 03:00+00' GROUP BY s.name ORDER BY s.name;
ROLLBACK;

-- Jitter: the runs of a schedule keep their distance, and never pass the next tick
BEGIN;
UPDATE defer.schedule SET active = false;
SELECT count(make('jitter ' || i, '@hourly', jitter => '30 minutes')) FROM generate_series(1, 8) i;
SELECT make('jitter', '*/10 * * * *', jitter => '1 day');
CREATE TEMPORARY TABLE delays (name text, delay interval);
DO $$
DECLARE
	at timestamptz := '2031-01-01 00:00+00';
BEGIN
	UPDATE defer.schedule SET next_tick = NULL, next_run_at = NULL WHERE name LIKE 'ticks %';
	WHILE at < '2031-01-01 06:00+00' LOOP
		at := defer.run_schedules(at);
		INSERT INTO delays SELECT name, next_run_at - next_tick FROM defer.schedule WHERE active;
	END LOOP;
END $$;
SELECT count(DISTINCT name) AS schedules, count(DISTINCT (name, delay)) AS delays, count(DISTINCT delay) > 4 AS scattered,
	min(delay) >= '0' AS after_the_tick, max(delay) FILTER (WHERE name <> 'ticks jitter') < '30 minutes' AS within, max(delay) FILTER (WHERE name = 'ticks jitter') < '10 minutes' AS before_the_next
  FROM delays;
SELECT count(*) BETWEEN 34 AND 36 AS ticks, count(DISTINCT j.scheduled_for) = count(*) AS different
  FROM defer.job j JOIN defer.schedule s ON s.id = j.schedule_id WHERE s.name = 'ticks jitter';
ROLLBACK;

-- A schedule that cannot be run does not keep the others from it
BEGIN;
UPDATE defer.schedule SET active = false;
CREATE FUNCTION gone() RETURNS void LANGUAGE sql AS '';
CREATE ROLE ticks_role;
GRANT USAGE ON SCHEMA defer TO ticks_role;
SELECT make('a zone', '@hourly'), make('a text', '@hourly'), make('good', '@hourly'), defer.cron('gone', '@hourly', name => 'ticks gone') > 0 AS made;
SET LOCAL ROLE ticks_role;
SELECT defer.cron_command('ticks no role', '@hourly', 'SELECT 1') > 0 AS made;
RESET ROLE;
REVOKE USAGE ON SCHEMA defer FROM ticks_role;
SELECT begin_at('2031-01-01 00:30+00');
UPDATE defer.schedule SET timezone = 'Mars/Phobos' WHERE name = 'ticks a zone';
UPDATE defer.schedule SET schedule = '0 0 31 2 *' WHERE name = 'ticks a text';
DROP FUNCTION gone();
DROP ROLE ticks_role;
SELECT run_until('2031-01-01 00:30+00', '2031-01-01 02:30+00') AS turns;
SELECT substr(name, 7) AS name, next_run_at, last_error FROM defer.schedule WHERE name LIKE 'ticks %' ORDER BY name;
SELECT name, state, first, last, ticks, replace(error, 'ticks_test.', '') AS error FROM fates ORDER BY name;
ROLLBACK;

-- Around each change of the clocks of ten awkward zones: exactly what
-- defer.cron_next() says, each once.  Each change is rolled back on its own;
-- variables remain.
DO $$
DECLARE
	zones text[];
	days timestamptz[];
	found finding[];
BEGIN
	SELECT array_agg(zone), array_agg(day) INTO zones, days
	  FROM (VALUES ('Europe/Paris', 2026, 2026), ('America/New_York', 2026, 2026), ('Australia/Lord_Howe', 2024, 2024), ('America/Sao_Paulo', 2018, 2018),
				('Pacific/Apia', 2011, 2011), ('Africa/Casablanca', 2013, 2013), ('Antarctica/Troll', 2024, 2024), ('America/Havana', 2012, 2012),
				('Africa/Cairo', 2010, 2010), ('Asia/Pyongyang', 2015, 2018)) z(zone, first, last),
		   generate_series(make_timestamptz(first, 1, 1, 0, 0, 0, 'UTC'), make_timestamptz(last, 12, 31, 0, 0, 0, 'UTC'), '1 day') day
	 WHERE day AT TIME ZONE zone + interval '1 day' <> (day + interval '1 day') AT TIME ZONE zone;
	FOR i IN 1 .. cardinality(days) LOOP
		found := found || findings(zones[i], days[i] - interval '12 hours', days[i] + interval '36 hours',
			ARRAY['*/30 * * * *', '0 * * * *', '0 0 * * *', '30 2 * * *', '0,15,30 0-3 * * *', '30 */2 * * *', '0 3 * * sun', '59 59 23 L * *', 'every 2 hours']);
		ROLLBACK;
	END LOOP;
	CREATE TABLE found AS SELECT * FROM unnest(found);
END $$;
SELECT zone, count(DISTINCT start) AS changes, sum(ticks) > 180 * count(DISTINCT start) AS many, bool_and(same) AS as_cron_next FROM found GROUP BY zone ORDER BY zone;
SELECT sum(ticks) > 3000 AS thousands, count(*) FILTER (WHERE NOT same) AS wrong FROM found;
SELECT * FROM found WHERE NOT same LIMIT 10;

SET client_min_messages = error;
DROP SCHEMA ticks_test CASCADE;
