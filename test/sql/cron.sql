-- What a schedule's text means: all forms, wrong ones, zones and their changes of clocks
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE SCHEMA cron_test;
SET search_path = cron_test, pg_catalog;
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- A schedule's next and last times around an instant, on the clock of a zone
CREATE FUNCTION show(schedule text, zone text DEFAULT 'UTC', start timestamptz DEFAULT '2026-01-01 00:00+00', n integer DEFAULT 3)
	RETURNS text LANGUAGE plpgsql SET datestyle = 'ISO' AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('timezone', zone, true);
	SELECT string_agg(to_char(t, 'Dy YYYY-MM-DD HH24:MI:SSTZH:TZM'), ', ' ORDER BY t)
	  INTO result FROM defer.cron_next(schedule, zone, start, n) t;
	RETURN result;
END $$;

-- Without the offset, for UTC
CREATE FUNCTION plain(schedule text, start timestamptz DEFAULT '2026-01-01 00:00+00', n integer DEFAULT 3)
	RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(to_char(t, 'Dy YYYY-MM-DD HH24:MI:SS'), ', ' ORDER BY t) FROM defer.cron_next(schedule, 'UTC', start, n) t
$$;

-- An error, on one line
CREATE FUNCTION refused(schedule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	RETURN 'accepted: ' || defer.cron_describe(schedule);
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', message, detail, hint);
END $$;

-- All forms
\pset format unaligned
\pset tuples_only on
SELECT s, defer.cron_describe(s), plain(s)
  FROM unnest(ARRAY[
	'* * * * *', '5 * * * *', '0 8 * * *', '0 8 * * 1', '0 8,17 * * *', '0 9-17 * * *', '*/15 * * * *', '10-30/5 * * * *', '5/15 * * * *',
	'1,15,20-25 3 * * *', '0 0 1 * *', '0 0 1,15 * *', '0 0 1 jan,jul *', '0 0 1 JUN-AUG *', '0 0 * nov-feb sun', '0 12 * * mon-fri',
	'0 12 * * Fri-Mon', '0 0 * * 0', '0 0 * * 7', '0 0 * * 5-7', '0 0 * * sat-sun', '0 0 13 * 5', '0 0 */2 * 1', '0 0 1-31/2 * 1', '0 0 ? * 1',
	'? ? ? ? ?', '0	8  *   * 1', ' 0 8 * * 1 ',
	-- the last day, weekdays near a day
	'0 0 L * *', '0 0 L-3 * *', '0 0 LW * *', '0 0 15W * *', '0 0 1W * *', '0 0 31W * *', '0 0 L-3W * *', '0 0 l 2 *', '0 0 1,L * *',
	-- days of week within the month
	'0 0 * * 5L', '0 0 * * friL', '0 0 * * 6#3', '0 0 * * sat#3', '0 0 * * mon#5', '0 0 * * 1#1,1#3',
	-- seconds
	'* * * * * *', '30 0 8 * * *', '*/20 * * * * *', '15,45 59 23 31 12 *', '0 0 8 * * 1',
	-- ranges that go on from the beginning
	'*/5 22-6 * * *', '*/5 22-6 * * 1', '0 22-6/2 * * *', '50-10 * * * *', '0 0 25-5 * *', '0 0 1 dec-3 *', '0 0 * * 5-1', '0 0 * * 7-2',
	-- names
	'@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly', '@DAILY',
	-- intervals
	'every second', 'every 90 seconds', 'every 7 minutes', 'every 1 hour 30 minutes', 'every 6 hours', 'every day', 'every week', 'every 2 w', 'EVERY 36525 days']) s;

-- Wrong ones: where, what, and what would be right
SELECT s, refused(s)
  FROM unnest(ARRAY[
	'', ' ', '*', '* * * *', '0 8 * * 1 2026 *', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * 32 * *', '* * * 13 *', '* * * 0 *', '* * * * 8', '60 * * * * *',
	'-1 * * * *', '1.5 * * * *', '*/0 * * * *', '*/60 * * * *', '* */24 * * *', '*/ * * * *', '5/0 * * * *', '1- * * * *', '-5 * * * *', '1-2-3 * * * *',
	', * * * *', '1,,2 * * * *', '1, * * * *', '*5 * * * *', '**  * * * *', '1;2 * * * *', '99999999999999999999 * * * *',
	'0 0 * monday *', '0 0 * * monday', '0 0 * * mo', '0 0 * * mon#6', '0 0 * * mon#0', '0 0 * * 5#', '0 0 * * #3', '0 0 * * 1-5#2', '0 0 * * L', '0 0 * * 8L', '0 0 15L * *', '0 0 1-5W * *',
	'0 0 L-0 * *', '0 0 L-31 * *', '0 0 W * *', '0 0 $ * *', '0 0 LL * *', 'L * * * *', '0 0 * L *', '0 5#3 * * *', 'jan * * * *',
	'@', '@reboot', '@never', '@daily 5', '@ daily', 'daily', 'every', 'every 0 seconds', 'every 1.5 hours', 'every -1 hour', 'every month', 'every 2 years', 'every 30 minutes 1 hour',
	'every 36526 days', 'every 90', 'every other day', 'every 99999999999999999999 s', '30 seconds', '0 8 * * 1 # weekly', E'0 8 *\n* *', '0 8 * * ü', 'TZ=UTC 0 8 * * *',
	-- never
	'0 0 30 2 *', '0 0 31 4,6,9,11 *', '0 0 31W feb *', '0 0 L-30 2 *']) s;

-- Rare ones
SELECT s, plain(s, t) FROM (VALUES
	('0 0 29 2 *', '2089-01-01 00:00+00'::timestamptz), ('0 0 * 2 1#5', '2026-01-01'), ('0 0 29 2 1', '2026-01-01'), ('59 59 23 31 12 *', '2026-01-01'),
	('0 0 31 12 *', '9997-01-01'), ('0 0 L 2 *', '2099-01-01')) v(s, t);

-- Back is the same as forth
SELECT s, zone, count(*) AS ticks, bool_and(forth = back) AS same
  FROM (SELECT s, zone, array_agg(t ORDER BY t) AS forth, max(t) + interval '1 microsecond' AS after_last
		  FROM unnest(ARRAY['*/7 3-5 * * *', '30 2 * * *', '0 0 L * *', '0 9 * * mon#1', 'every 90 minutes', '*/20 30 1,2 * * *', '15 * * * 0', '0 0 15W * *']) s,
			   unnest(ARRAY['UTC', 'Europe/Paris', 'America/New_York', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'Pacific/Apia']) zone,
			   defer.cron_next(s, zone, '2011-06-01 00:00+00', 400) t
		 GROUP BY s, zone) f,
	   LATERAL (SELECT array_agg(t ORDER BY t) AS back FROM defer.cron_previous(s, zone, after_last, 400) t) b
 GROUP BY s, zone HAVING NOT bool_and(forth = back) OR count(*) <> 1;

-- Neither has the instant itself; fractions of a second
SELECT defer.cron_next('0 8 * * *', after => '2026-01-01 08:00+00', n => 1), defer.cron_previous('0 8 * * *', before => '2026-01-01 08:00+00', n => 1);
SELECT defer.cron_next('0 8 * * *', after => '2026-01-01 07:59:59.999999+00', n => 1), defer.cron_previous('0 8 * * *', before => '2026-01-01 08:00:00.000001+00', n => 1);
SELECT t FROM defer.cron_previous('0 8 * * 1', 'Asia/Tokyo', '2026-01-01 00:00+00') t;
SELECT t FROM defer.cron_previous('0 0 1 1 *', before => '1969-12-31 23:59:59.5+00', n => 2) t;
SELECT t FROM defer.cron_previous('0 0 1 1 *', before => '0003-06-01 00:00+00', n => 5) t;
SELECT count(*) FROM defer.cron_previous('@yearly', before => '0044-03-15 12:00+00 BC');
SELECT count(*), min(t) = max(t) AS latest_first FROM (SELECT t FROM defer.cron_previous('@hourly') t LIMIT 1) s;
SELECT count(*), max(t) < now() AS past FROM defer.cron_previous('@hourly') t;
SELECT count(*) FROM defer.cron_previous('@hourly', n => 0);
SELECT count(*) FROM defer.cron_previous(NULL);
SELECT count(*) FROM defer.cron_previous('* * * * *', n => 100000);
SELECT defer.cron_previous('@hourly', before => '-infinity');
SELECT defer.cron_previous('@hourly', n => 100001);
SELECT defer.cron_previous('@hourly', 'Nowhere');
SELECT defer.cron_previous('0 8 * *');
SELECT array_agg(t) FROM (VALUES ('30 2 * * *'), ('0 * * * *')) v(s), defer.cron_previous(s, 'Europe/Paris', '2026-03-29 12:00+00', 2) t;

-- Names of zones: the database's, in any case; nothing that POSIX would read into them
SELECT zone, show('0 12 * * *', zone, n => 1) FROM unnest(ARRAY['UTC', 'gmt', 'europe/paris', 'Asia/Kathmandu', 'EST5EDT', 'Etc/GMT+5']) zone;
SELECT defer.cron_next('0 12 * * *', '');
SELECT defer.cron_next('0 12 * * *', 'Mars5');
SELECT defer.cron_next('0 12 * * *', '+02');
SELECT defer.cron_next('0 12 * * *', '<+02>-2');

-- Clocks forward and back: an hour
SELECT 'Paris', s, show(s, 'Europe/Paris', '2026-03-29 00:00+01'), show(s, 'Europe/Paris', '2026-10-25 00:00+02', 4)
  FROM unnest(ARRAY['30 1 * * *', '30 2 * * *', '0,15,30 2 * * *', '30 2,3 * * *', '0 3 * * *', '0 * * * *', '*/30 2 * * *', '30 */2 * * *', 'every 6 hours', '0 2 * * 0', '59 59 2 * * *']) s;
SELECT 'New York', s, show(s, 'America/New_York', '2026-03-08 00:00-05'), show(s, 'America/New_York', '2026-11-01 00:00-04', 4)
  FROM unnest(ARRAY['30 1 * * *', '30 2 * * *', '0,15,30 2 * * *', '30 2,3 * * *', '0 * * * *', '*/30 1 * * *', '0 1 1 11 *', '0 1,2 * * *']) s;
-- half an hour
SELECT 'Lord Howe', s, show(s, 'Australia/Lord_Howe', '2026-10-04 00:00+10:30', 4), show(s, 'Australia/Lord_Howe', '2026-04-05 00:00+11', 4)
  FROM unnest(ARRAY['15 2 * * *', '0 2 * * *', '45 1 * * *', '*/15 * * * *', '15,45 1-2 * * *', '0 * * * *']) s;
-- at midnight
SELECT 'Sao Paulo', s, show(s, 'America/Sao_Paulo', '2018-11-03 12:00-03', 3), show(s, 'America/Sao_Paulo', '2018-02-17 12:00-02', 4)
  FROM unnest(ARRAY['0 0 * * *', '30 0 * * *', '30 23 * * *', '@daily', '0 0 4 11 *', '0 0 * * sun', '0 * * * *', '30 * * * *']) s;
-- a day that was left out: 30 December 2011
SELECT 'Samoa', s, show(s, 'Pacific/Apia', '2011-12-29 00:00-10', 3)
  FROM unnest(ARRAY['0 12 * * *', '0 0 * * *', '0 12 30 12 *', '0 12 30,31 12 *', '0 12 * * fri', '0 */6 * * *', '0 0 L * *', '0 12 LW * *', '0 12 * 12 5L']) s;
-- a day by the clock is a day of the zone, each day once
SELECT zone, count(*) AS runs, count(DISTINCT (t AT TIME ZONE zone)::date) AS days
  FROM unnest(ARRAY['Europe/Paris', 'America/New_York', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'Pacific/Apia', 'Africa/Casablanca', 'Asia/Gaza', 'Antarctica/Troll', 'America/Havana', 'Africa/Cairo']) zone,
	   LATERAL (SELECT t FROM defer.cron_next('30 0 * * *', zone, '2010-01-01 00:00+00', 5000) t) s
 GROUP BY zone ORDER BY zone;

\pset tuples_only off
\pset format aligned
SET client_min_messages = error;
DROP SCHEMA cron_test CASCADE;
