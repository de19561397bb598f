-- Enqueue: right calls, wrong calls, options
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE SCHEMA enqueue_test;
CREATE SCHEMA enqueue_hidden;
SET search_path = enqueue_test, public;
CREATE ROLE enqueue_user LOGIN;
GRANT USAGE ON SCHEMA enqueue_test, defer TO enqueue_user;

CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TYPE pair AS (a integer, b text);
CREATE DOMAIN small AS integer CHECK (VALUE < 100);
CREATE FUNCTION one(user_id bigint) RETURNS bigint LANGUAGE sql AS 'SELECT user_id';
CREATE FUNCTION defaults(a integer, b text DEFAULT 'b', c integer DEFAULT 1 + 2) RETURNS text
	LANGUAGE sql AS 'SELECT concat_ws('','', a, b, c)';
CREATE FUNCTION unnamed(integer, text) RETURNS text LANGUAGE sql AS 'SELECT $1 || $2';
CREATE FUNCTION twice(a integer) RETURNS text LANGUAGE sql AS 'SELECT ''integer''';
CREATE FUNCTION twice(b text) RETURNS text LANGUAGE sql AS 'SELECT ''text''';
CREATE FUNCTION twice(a integer, b integer) RETURNS text LANGUAGE sql AS 'SELECT ''two''';
CREATE FUNCTION types(i integer[], m mood, p pair, s small, j jsonb, t timestamptz, n numeric, x boolean, v text)
	RETURNS text LANGUAGE sql AS $$ SELECT concat_ws('|', i, m, p, s, j, t = '2026-11-24 12:00+00', n, x, v) $$;
CREATE FUNCTION many(VARIADIC n integer[]) RETURNS bigint LANGUAGE sql AS 'SELECT sum(x) FROM unnest(n) x';
CREATE FUNCTION "Odd ""name"("Odd Arg" integer) RETURNS integer LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION outs(a integer, OUT b integer, INOUT c integer) LANGUAGE sql AS 'SELECT a + 1, c + 1';
CREATE FUNCTION poly(anyelement) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION strict_one(a integer) RETURNS integer STRICT LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION secret() RETURNS void LANGUAGE sql AS 'SELECT';
REVOKE EXECUTE ON FUNCTION secret() FROM PUBLIC;
CREATE FUNCTION enqueue_hidden.far_away() RETURNS void LANGUAGE sql AS 'SELECT';
CREATE PROCEDURE proc(a integer, INOUT b integer) LANGUAGE plpgsql AS 'BEGIN b := a + b; END';

-- What a job becomes: enqueue, run, wait, look
CREATE FUNCTION run(id bigint) RETURNS jsonb LANGUAGE sql AS $$ SELECT defer.await(id, '30 s') $$;

-- Arguments by position and by name, defaults, typed ones
SELECT defer.enqueue('one', '[7]') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('one', '{"user_id": 8}') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('one', '{"user_id": "9"}') AS id \gset
SELECT run(:id);
SELECT defer.later('one', 10) AS id \gset
SELECT run(:id);
SELECT defer.enqueue('defaults', '[1]') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('defaults', '{"a": 1, "c": 9}') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('defaults', '[1, null, 4]') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('unnamed', '[1, "x"]') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('types', '{"i": [1, 2, null], "m": "sad", "p": {"a": 5, "b": "bee"}, "s": 99, "j": {"k": [1]},
	"t": "2026-11-24T12:00:00Z", "n": 1.50, "x": true, "v": 42}') AS id \gset
SELECT run(:id);
SELECT defer.later('types', '{1,2}'::integer[], 'glad'::mood, ROW(1, 'one')::pair, 5::small, '[]'::jsonb,
	'2026-11-24 12:00+00'::timestamptz, 1.50, false, NULL::text) AS id \gset
SELECT run(:id);
SELECT defer.enqueue('many', '[[1, 2, 3]]') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('"Odd ""name"', '{"Odd Arg": 3}') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('outs', '[1, 2]') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('strict_one', '[null]') AS id \gset
SELECT run(:id) IS NULL AS nothing;
SELECT defer.enqueue('proc', '[3, 4]') AS id \gset
SELECT run(:id);
SELECT defer.later('secret') AS id \gset
SELECT run(:id) IS NULL AS nothing;

-- Overloads: by number and names of arguments, by signature, by type
SELECT defer.enqueue('twice', '[1, 2]') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('twice', '{"b": "x"}') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('twice(text)', '[1]') AS id \gset
SELECT run(:id);
SELECT defer.enqueue('enqueue_test.twice(integer)', '[1]') AS id \gset
SELECT run(:id);
SELECT defer.later('twice', 'x'::text) AS id \gset
SELECT run(:id);
SELECT defer.later('twice', 1) AS id \gset
SELECT run(:id);
SELECT function, args FROM defer.jobs WHERE id = :id;
SELECT defer.enqueue('twice', '[1]');
SELECT defer.enqueue('twice', '[1, 2, 3]');
SELECT defer.later('twice', 1, 2, 3);

SELECT count(*) AS before FROM defer.jobs WHERE function LIKE 'enqueue_test.%' \gset

-- Wrong calls
SELECT defer.enqueue(NULL);
SELECT defer.enqueue('nowhere');
SELECT defer.enqueue('far_away');
SELECT defer.enqueue('enqueue_nowhere.one');
SELECT defer.enqueue('');
SELECT defer.enqueue('one(bigint', '[1]');
SELECT defer.enqueue('one(no_such_type)', '[1]');
SELECT defer.enqueue('one; DROP TABLE x', '[1]');
SELECT defer.enqueue('one');
SELECT defer.enqueue('one', '[]');
SELECT defer.enqueue('one', '[1, 2]');
SELECT defer.enqueue('one', '{"user": 1}');
SELECT defer.enqueue('one', '{"user_id": 1, "more": 2}');
SELECT defer.enqueue('one', '["x"]');
SELECT defer.enqueue('one', '[1.5]');
SELECT defer.enqueue('one', '[99999999999999999999]');
SELECT defer.enqueue('one', '[{"a": 1}]');
SELECT defer.enqueue('one', '[[1]]');
SELECT defer.enqueue('one', '1');
SELECT defer.enqueue('unnamed', '{"a": 1}');
SELECT defer.enqueue('types', '{"i": [1, [2]], "m": "sad", "p": null, "s": 1, "j": 1, "t": null, "n": 1, "x": true, "v": ""}');
SELECT defer.enqueue('types', '{"i": [], "m": "angry", "p": null, "s": 1, "j": 1, "t": null, "n": 1, "x": true, "v": ""}');
SELECT defer.enqueue('types', '{"i": [], "m": "sad", "p": null, "s": 100, "j": 1, "t": null, "n": 1, "x": true, "v": ""}');
SELECT defer.enqueue('types', '{"i": [], "m": "sad", "p": {"a": "x"}, "s": 1, "j": 1, "t": null, "n": 1, "x": true, "v": ""}');
SELECT defer.enqueue('trig');
SELECT defer.enqueue('poly', '[1]');
SELECT defer.enqueue('pg_catalog.sum(integer)', '[1]');
SELECT defer.enqueue('one', '[1]', delay => '-1 s');
SELECT defer.enqueue('one', '[1]', delay => '1 s', run_at => now());
SELECT defer.enqueue('one', '[1]', run_at => 'infinity');
SELECT defer.enqueue('one', '[1]', delay => '200 years');
SELECT defer.enqueue('one', '[1]', queue => 'enqueue nowhere');
SELECT defer.enqueue('one', '[1]', discard_after => '0');
SELECT defer.enqueue('one', '[1]', discard_after => '-1 s');
SELECT defer.enqueue('one', '[1]', key => '');
SELECT defer.enqueue('one', '[1]', key => repeat('k', 1001));
SELECT defer.enqueue('one', '[1]', max_attempts => 0);
SELECT defer.enqueue('one', '[1]', multiplier => 0.9);
SELECT defer.enqueue('one', '[1]', randomization => 1.1);
SELECT defer.enqueue('one', '[1]', initial_interval => '-1 s');
SELECT defer.enqueue('one', '[1]', max_interval => '-1 s');
SELECT defer.enqueue('one', '[1]', max_duration => '-1 s');
SELECT defer.enqueue('one', '[1]', metadata => to_jsonb(repeat('x', 2000000)));
SET ROLE enqueue_user;
SELECT defer.enqueue('secret');
SELECT defer.later('secret');
SELECT defer.enqueue('enqueue_hidden.far_away');
RESET ROLE;
BEGIN READ ONLY;
SELECT defer.enqueue('one', '[1]');
ROLLBACK;
-- Commands
SELECT defer.command(NULL);
SELECT defer.command('');
SELECT defer.command('-- nothing');
SELECT defer.command('SELECT 1; SELECT 2');
SELECT defer.command('SELEC 1');
SELECT defer.command('BEGIN');
SELECT defer.command('COPY pg_class TO STDOUT');
SELECT defer.command('LISTEN x');
-- nor what would end with the job
CREATE FUNCTION enqueue_refused(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hint text;
BEGIN
  PERFORM defer.command(sql, delay => '1 year', key => 'refused?');
  RETURN NULL;
EXCEPTION WHEN feature_not_supported THEN
  GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
  RETURN SQLERRM || ': ' || hint;
END $$;
SELECT inputs.sql, enqueue_refused(inputs.sql) AS refused FROM (VALUES (1, 'SET work_mem = 1'), (2, 'RESET ALL'), (3, 'SET ROLE enqueue_app'),
  (4, 'SET LOCAL work_mem = 1'), (5, 'SET SESSION AUTHORIZATION enqueue_app'), (6, 'SET CONSTRAINTS ALL DEFERRED'), (7, 'DISCARD ALL'),
  (8, 'LOAD ''plpgsql'''), (9, 'CREATE TEMP TABLE t (a int)'), (10, 'CREATE TABLE pg_temp.t (a int)'), (11, 'CREATE TEMP TABLE t AS SELECT 1'),
  (12, 'SELECT 1 INTO TEMP t'), (13, 'SELECT 1 INTO TEMP t UNION SELECT 2'), (14, 'CREATE TEMP VIEW t AS SELECT 1'), (15, 'CREATE TEMP SEQUENCE t'),
  (16, 'SHOW work_mem'), (17, 'CREATE TABLE t (a int)'), (18, 'SELECT 1 INTO t')) inputs (n, sql) ORDER BY n;
SELECT defer.cancel(id) FROM defer.jobs WHERE key = 'refused?';
DROP FUNCTION enqueue_refused;
SELECT defer.command('SELECT 1', delay => '-1 s');

-- Nothing was left behind by any of these
SELECT count(*) - :before AS more FROM defer.jobs WHERE function LIKE 'enqueue_test.%';

-- What settings have a say in is converted once, here; the worker has other settings
CREATE TABLE there (a integer);
CREATE TYPE moment AS (d date, n integer);
CREATE DOMAIN day AS date;
CREATE FUNCTION local(d date, t timestamptz DEFAULT NULL, s timestamp DEFAULT NULL, i interval DEFAULT NULL, r regclass DEFAULT NULL,
	m moment DEFAULT NULL, a day[] DEFAULT NULL, g daterange DEFAULT NULL, v money DEFAULT NULL, n integer DEFAULT NULL, x text DEFAULT NULL, z timetz DEFAULT NULL)
	RETURNS text LANGUAGE sql SET datestyle = 'ISO' SET timezone = 'UTC' SET intervalstyle = 'postgres' AS
	'SELECT concat_ws('' | '', d, t, s, i, r, m, a, g, v, n, x, z)';
SET datestyle = 'SQL, DMY';
SET timezone = 'Asia/Tokyo';
SET intervalstyle = 'sql_standard';
SELECT defer.enqueue('local', '["03/02/2026", "03/02/2026 04:05", "03/02/2026 04:05", "-1 2:03:04", "there", {"d": "03/02/2026"}, ["03/02/2026", null],
	"[03/02/2026,04/02/2026)", "1.5", 7, "03/02/2026", "04:05"]', max_attempts => 1) AS by_position \gset
SELECT defer.enqueue('local', '{"d": "03/02/2026", "x": "03/02/2026", "t": null, "a": "{03/02/2026}"}', max_attempts => 1) AS by_name \gset
\set VERBOSITY terse
SELECT defer.enqueue('local', '["13/13/2026"]');	-- the hint is another from PostgreSQL 19 on
\set VERBOSITY default
RESET datestyle;
RESET timezone;
RESET intervalstyle;
SELECT args FROM defer.jobs WHERE id IN (:by_position, :by_name) ORDER BY id;
SELECT defer.await(:by_position, '60 s') AS by_position, defer.await(:by_name, '60 s') AS by_name \gx
DROP FUNCTION local;
DROP TABLE there;
DROP DOMAIN day;
DROP TYPE moment;

-- A function of pg_catalog is meant only if its schema is given or nothing else fits
CREATE FUNCTION charge(a integer, b numeric) RETURNS text LANGUAGE sql AS 'SELECT text ''mine''';
SELECT defer.enqueue('charge', '[1, 2]', delay => '1 year') AS id \gset
SELECT function FROM defer.job WHERE id = :id;
SELECT defer.enqueue('charge', '["x", "y"]', delay => '1 year');
SELECT defer.enqueue('charge', '[1, 2, 3, 4]');
SELECT defer.configure('charge', priority => 3);
SELECT signature FROM defer.function WHERE signature LIKE '%charge%';
CREATE FUNCTION charge(a integer, b text) RETURNS text LANGUAGE sql AS 'SELECT text ''mine''';
SELECT defer.enqueue('charge', '[1, 2]', delay => '1 year');
SELECT defer.configure('charge', priority => 3);
-- with an equal signature it is the one that a call means
CREATE FUNCTION version() RETURNS text LANGUAGE sql AS 'SELECT text ''mine''';
SELECT defer.enqueue('version', delay => '1 year') AS id \gset
SELECT function FROM defer.job WHERE id = :id;
SELECT defer.enqueue('pg_sleep', '[0]', delay => '1 year') AS id \gset
SELECT function FROM defer.job WHERE id = :id;
SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function ~ 'charge|version|pg_sleep' AND state = 'scheduled';
DELETE FROM defer.function WHERE signature LIKE '%charge%';
DROP FUNCTION charge(integer, numeric), charge(integer, text), enqueue_test.version();

-- Options
SELECT defer.create_queue('enqueue queue', priority => 4, max_attempts => 2);
SELECT defer.enqueue('one', '[1]', run_at => '2100-01-01 00:00+00', queue => 'enqueue queue', key => 'k',
	metadata => '{"m": 1}', max_attempts => 5, discard_after => '1 day') AS id \gset
SELECT state, queue, priority, run_at = '2100-01-01 00:00+00' AS then, key, metadata, max_attempts,
	discard_at = '2100-01-02 00:00+00' AS discarded, owner = current_user AS mine, parent_id
  FROM defer.jobs WHERE id = :id;
-- the job's own priority wins over the function's, that over the queue's
SELECT defer.configure('one', priority => 3);
SELECT defer.enqueue('one', '[1]', delay => '1 hour', queue => 'enqueue queue') AS a,
	defer.enqueue('one', '[1]', delay => '1 hour', queue => 'enqueue queue', priority => -1) AS b \gset
SELECT priority FROM defer.jobs WHERE id IN (:a, :b) ORDER BY id;
-- a key: one unfinished job of that function; free again when it has ended
SELECT defer.enqueue('one', '[2]', key => 'k') = :id AS the_same;
SELECT args FROM defer.jobs WHERE id = :id;
SELECT defer.enqueue('defaults', '[2]', key => 'k', delay => '1 hour') <> :id AS another_function;
SELECT defer.cancel(:id);
SELECT defer.enqueue('one', '[2]', key => 'k', delay => '1 hour') <> :id AS another;
-- a delay is from now
SELECT run_at - enqueued_at AS delay FROM defer.jobs WHERE id IN (:a);
-- what was not begun in time is discarded
SELECT defer.pause('defaults');
SELECT defer.enqueue('defaults', '[3]', discard_after => '1 millisecond') AS id \gset
SELECT pg_sleep(0.01);
SELECT defer.resume('defaults');
DO $$ BEGIN
  FOR i IN 1..18000 LOOP
    EXIT WHEN EXISTS (SELECT FROM defer.jobs WHERE state = 'discarded' AND function LIKE 'enqueue_test.defaults%');
    PERFORM pg_sleep(0.01);
  END LOOP;
END $$;
SELECT state, attempt, error FROM defer.jobs WHERE id = :id;

-- Rolled back is never enqueued; a thousand in one statement
BEGIN;
SELECT count(defer.enqueue('one', to_jsonb(ARRAY[i]))) FROM generate_series(1, 1000) i;
ROLLBACK;
SELECT count(*) FROM defer.jobs WHERE function LIKE 'enqueue_test.one%' AND state = 'queued';
SELECT count(defer.enqueue('one', jsonb_build_object('user_id', i))) FROM generate_series(1, 1000) i;
DO $$ BEGIN
  FOR i IN 1..18000 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM defer.jobs WHERE state IN ('queued', 'running') AND function LIKE 'enqueue_test.one%');
    PERFORM pg_sleep(0.01);
  END LOOP;
END $$;
SELECT state, count(*), count(DISTINCT args), min(result::text::int), max(result::text::int)
  FROM defer.jobs WHERE function LIKE 'enqueue_test.one%' AND args ? 'user_id' AND args->>'user_id' NOT IN ('8', '9') GROUP BY state;
-- A job enqueued inside a job knows its parent, and belongs to its owner
CREATE FUNCTION child() RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
CREATE FUNCTION parent() RETURNS bigint LANGUAGE sql AS $$ SELECT defer.enqueue('enqueue_test.child') $$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA enqueue_test TO enqueue_user;
SET ROLE enqueue_user;
SELECT defer.enqueue('parent') AS id \gset
SELECT run(:id)::text::bigint AS child \gset
SELECT run(:child);
SELECT parent_id = :id AS parent, owner FROM defer.jobs WHERE id = :child;
RESET ROLE;
-- An argument whose type enqueues while it is checked
CREATE FUNCTION nosy(integer) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN PERFORM defer.enqueue('enqueue_test.one', '[0]', run_at => '2100-01-01'); RETURN true; END $$;
CREATE DOMAIN nosy_int AS integer CHECK (nosy(VALUE));
CREATE FUNCTION takes_nosy(a nosy_int, b text) RETURNS text LANGUAGE sql AS 'SELECT a || b';
SELECT defer.enqueue('takes_nosy', '[1, "b"]') AS id \gset
SELECT run(:id);
SELECT function, args FROM defer.jobs WHERE id = :id;

-- An argument's error is its own, whatever was enqueued while it was checked
CREATE FUNCTION many_args(a integer, b integer, c integer, d integer) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION refuse(integer) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN PERFORM defer.enqueue('enqueue_test.many_args', '[0, 0, 0, 0]', run_at => '2100-01-01'); RETURN false; END $$;
CREATE DOMAIN refused AS integer CHECK (refuse(VALUE));
CREATE FUNCTION takes_refused(a refused) RETURNS void LANGUAGE sql AS 'SELECT';
SELECT defer.enqueue('takes_refused', '[1]');
SELECT count(*) FROM defer.jobs WHERE function LIKE 'enqueue\_test.many\_args%';
-- also errors that are not of the value's format; and the length in a domain over an array
CREATE FUNCTION takes_class(c regclass) RETURNS text LANGUAGE sql AS 'SELECT c::text';
SELECT defer.enqueue('takes_class', '["enqueue_no_table"]');
CREATE DOMAIN codes AS varchar(3)[];
CREATE FUNCTION takes_codes(c codes) RETURNS text LANGUAGE sql AS 'SELECT c::text';
SELECT defer.enqueue('takes_codes', '[["abc", "abcd"]]');
SELECT defer.enqueue('takes_codes', '[["abc"]]') AS id \gset
SELECT run(:id);

-- A function of this session's temporary schema could be another's when the job runs
CREATE FUNCTION pg_temp.short_lived() RETURNS void LANGUAGE sql AS 'SELECT';
DO $$ BEGIN
  PERFORM defer.enqueue('pg_temp.short_lived');
  RAISE WARNING 'was enqueued';
EXCEPTION WHEN wrong_object_type THEN
  RAISE WARNING 'refused';
END $$;
DROP FUNCTION pg_temp.short_lived();

-- Overloads of which only some can be jobs; what is known of a name follows the catalogs
CREATE FUNCTION mixed(a integer) RETURNS text LANGUAGE sql AS 'SELECT ''integer''';
CREATE FUNCTION mixed(a anyelement, b anyelement) RETURNS text LANGUAGE sql AS 'SELECT ''any''';
SELECT defer.enqueue('mixed', '[1, 2]');
SELECT defer.enqueue('mixed', '[1]', run_at => '2100-01-01') AS id \gset
SELECT function FROM defer.jobs WHERE id = :id;
BEGIN;
CREATE FUNCTION mixed(a text, b text) RETURNS text LANGUAGE sql AS 'SELECT ''two''';
SELECT defer.enqueue('mixed', '[1, 2]', run_at => '2100-01-01') AS id \gset
SELECT function FROM defer.jobs WHERE id = :id;
ROLLBACK;
SELECT defer.enqueue('mixed', '[1, 2]');
SET search_path = enqueue_hidden, enqueue_test, public;
SELECT defer.enqueue('mixed', '[1]', run_at => '2100-01-01') AS id \gset
SELECT function FROM defer.jobs WHERE id = :id;
CREATE FUNCTION enqueue_hidden.mixed(a integer) RETURNS text LANGUAGE sql AS 'SELECT ''hidden''';
SELECT defer.enqueue('mixed', '[1]', run_at => '2100-01-01') AS id \gset
SELECT function FROM defer.jobs WHERE id = :id;
SET search_path = enqueue_test, public;
SELECT defer.enqueue('mixed', '[1]', run_at => '2100-01-01') AS id \gset
SELECT function FROM defer.jobs WHERE id = :id;
-- types that are renamed
CREATE TYPE colour AS ENUM ('red');
CREATE FUNCTION paint(c colour) RETURNS text LANGUAGE sql AS 'SELECT c::text';
SELECT defer.enqueue('paint', '["red"]', run_at => '2100-01-01') AS id \gset
ALTER TYPE colour RENAME TO hue;
ALTER TYPE hue ADD VALUE 'blue';
CREATE TEMPORARY TABLE enqueue_temporary (x integer);
DROP TABLE enqueue_temporary;
SELECT defer.enqueue('paint', '["blue"]', run_at => '2100-01-01') AS id \gset
SELECT function FROM defer.jobs WHERE id = :id;
-- a right on a schema goes with the membership that gave it
CREATE ROLE enqueue_group;
GRANT USAGE ON SCHEMA enqueue_hidden TO enqueue_group;
GRANT enqueue_group TO enqueue_user;
SET ROLE enqueue_user;
SELECT defer.enqueue('enqueue_hidden.far_away', run_at => '2100-01-01') > 0 AS enqueued;
RESET ROLE;
REVOKE enqueue_group FROM enqueue_user;
SET ROLE enqueue_user;
SELECT defer.enqueue('enqueue_hidden.far_away', run_at => '2100-01-01') > 0 AS enqueued;
RESET ROLE;
REVOKE ALL ON SCHEMA enqueue_hidden FROM enqueue_group;
DROP ROLE enqueue_group;

-- Typed arguments arrive as they were, whatever the settings of this session
CREATE TABLE here (x integer);
CREATE FUNCTION arrive(t timestamptz, r daterange, i interval, f float8, j jsonb, c regclass, d date)
	RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws('|', t = '2020-02-01 05:00+00', lower(r) = '2020-02-01', i = interval '-1 day -02:03',
		f = 0.1::float8 + 0.2::float8, jsonb_typeof(j), c = 'enqueue_test.here'::regclass, d = '2020-02-03') $$;
SET TimeZone = 'America/New_York';
SET DateStyle = 'SQL, DMY';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = -10;
SELECT defer.later('arrive', timestamp '2020-02-01 00:00', daterange('2020-02-01', '2020-03-01'),
	interval '-1 day' - interval '02:03', 0.1::float8 + 0.2::float8, '{"a": 1}', 'here'::regclass, '03/02/2020') AS id \gset
SELECT current_setting('DateStyle') AS datestyle, current_setting('IntervalStyle') AS intervalstyle,
	current_setting('extra_float_digits') AS digits, current_setting('search_path') AS search_path;
RESET TimeZone;
RESET DateStyle;
RESET IntervalStyle;
RESET extra_float_digits;
SELECT args FROM defer.jobs WHERE id = :id;
SELECT run(:id);
SELECT defer.later('one', 'x');
SELECT defer.later('nowhere', 1);
SELECT defer.later('far_away');
SELECT defer.later('one', 1, 2);
SELECT defer.later('one(bigint)', 1, 2);
SELECT defer.later('one', VARIADIC ARRAY[1]);
SELECT defer.later(NULL);

-- Metadata is an object; a time that is over is now
SELECT defer.enqueue('one', '[1]', metadata => '[1]');
SELECT defer.enqueue('one', '[1]', metadata => 'null');
SELECT defer.enqueue('one', '[1]', run_at => '294276-12-31', discard_after => '1 year');
BEGIN;
SELECT defer.enqueue('one', '[1]', run_at => '2000-01-01') AS id \gset
SELECT run_at = enqueued_at AS now FROM defer.jobs WHERE id = :id;
-- which is when it was called, however long ago the transaction began: discard_after counts from then
SELECT pg_catalog.clock_timestamp() AS before \gset
SELECT defer.enqueue('one', '[1]', discard_after => '10 minutes') AS id \gset
SELECT run_at >= :'before' AS later, discard_at - run_at AS time_to_live FROM defer.jobs WHERE id = :id;
ROLLBACK;
-- a queue that only others may use
SELECT defer.create_queue('enqueue theirs');
SET ROLE enqueue_user;
SELECT defer.enqueue('one', '[1]', queue => 'enqueue theirs');
SELECT defer.command('SELECT 1', queue => 'enqueue theirs');
RESET ROLE;
SELECT defer.drop_queue('enqueue theirs');
-- the same key twice in one transaction
BEGIN;
SELECT defer.enqueue('one', '[1]', key => 'twice', run_at => '2100-01-01')
	= defer.enqueue('one', '[2]', key => 'twice', run_at => '2100-01-01') AS the_same;
ROLLBACK;
-- by a SECURITY DEFINER function: the job is its owner's
CREATE FUNCTION as_definer() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS
	$$ SELECT defer.enqueue('enqueue_test.one', '[1]', run_at => '2100-01-01') $$;
SET ROLE enqueue_user;
SELECT as_definer() AS id \gset
RESET ROLE;
SELECT owner = current_user AS of_definer FROM defer.jobs WHERE id = :id;
-- options of a command
SELECT defer.command('SELECT 1', run_at => '2100-01-01', key => 'k', priority => 2, metadata => '{}') AS id \gset
SELECT function, args, priority, key, metadata FROM defer.jobs WHERE id = :id;
SELECT defer.cancel(:id);

-- Clean up
SELECT count(defer.cancel(id)) > 0 AS cancelled FROM defer.jobs WHERE function LIKE 'enqueue\_%' AND state IN ('scheduled', 'queued');
SELECT defer.drop_queue('enqueue queue');
DELETE FROM defer.function WHERE signature LIKE 'enqueue\_test.%';
DROP SCHEMA enqueue_test, enqueue_hidden CASCADE;
REVOKE USAGE ON SCHEMA defer FROM enqueue_user;
DROP ROLE enqueue_user;
