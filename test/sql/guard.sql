-- A scheduled function is not called directly
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE SCHEMA guard_test;
SET search_path = guard_test, pg_catalog;
CREATE TABLE guard_calls (n integer);
CREATE FUNCTION guard_sql() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION guard_constant() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 2';
CREATE FUNCTION guard_set() RETURNS SETOF integer LANGUAGE sql AS 'SELECT 3';
CREATE FUNCTION guard_plpgsql() RETURNS integer LANGUAGE plpgsql AS
	'BEGIN INSERT INTO guard_test.guard_calls VALUES (1); RETURN 4; END';
CREATE PROCEDURE guard_procedure() LANGUAGE plpgsql AS
	'BEGIN INSERT INTO guard_test.guard_calls VALUES (2); COMMIT; END';
CREATE FUNCTION guard_free() RETURNS integer LANGUAGE sql AS 'SELECT 5';
CREATE FUNCTION guard_caller() RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN guard_test.guard_plpgsql(); END';
CREATE FUNCTION "guard odd()"() RETURNS integer LANGUAGE sql AS 'SELECT 6';

-- a plan with the function inlined, from before
PREPARE guard_inlined AS SELECT guard_sql();
EXECUTE guard_inlined;
SELECT guard_caller();

SELECT defer.cron('guard_sql', '@yearly') > 0 AS made;
SELECT defer.cron('guard_constant', '@yearly') > 0 AS made;
SELECT defer.cron('guard_set', '@yearly') > 0 AS made;
SELECT defer.cron('guard_plpgsql', '@yearly', name => 'it''s guarded') > 0 AS made;
SELECT defer.cron('guard_procedure', '@yearly') > 0 AS made;
SELECT defer.cron('"guard odd()"', '@yearly') > 0 AS made;

EXECUTE guard_inlined;
SELECT guard_sql();
SELECT guard_constant();
SELECT * FROM guard_set();
SELECT guard_plpgsql();
SELECT guard_caller();
CALL guard_procedure();
SELECT "guard odd()"();
SELECT guard_free();
-- whoever has been there before
\c -
SET client_min_messages = warning;
SET search_path = guard_test, pg_catalog;
SELECT guard_sql();
SELECT guard_plpgsql();
CALL guard_procedure();
SELECT guard_free();

-- nor enqueued
SELECT defer.enqueue('guard_sql');
SELECT defer.enqueue('guard_free') > 0 AS enqueued;

-- unless that is allowed
SELECT defer.alter_cron('guard_sql', allow_direct => true);
SELECT defer.alter_cron('guard_procedure', allow_direct => true);
SELECT guard_sql();
CALL guard_procedure();
SELECT count(*) FROM guard_calls WHERE n = 2;
SELECT defer.enqueue('guard_sql') > 0 AS enqueued;
SELECT defer.alter_cron('guard_sql', allow_direct => false);
SELECT guard_sql();
-- or the schedule goes, or another function comes
SELECT defer.unschedule('guard_sql');
SELECT guard_sql();
SELECT defer.alter_cron('guard_constant', function => 'guard_sql');
SELECT guard_constant();
SELECT guard_sql();
-- rolled back
BEGIN;
SELECT defer.unschedule('guard_constant');
SELECT guard_sql();
ROLLBACK;
SELECT guard_sql();
BEGIN;
SELECT defer.cron('guard_free', '@yearly') > 0 AS made;
SAVEPOINT s;
SELECT guard_free();
ROLLBACK;
SELECT guard_free();

-- jobs call what they like
CREATE FUNCTION guard_wait(id bigint) RETURNS jsonb LANGUAGE sql AS 'SELECT defer.await(id, ''30 s'')';
SELECT defer.enqueue('guard_caller') AS id \gset
SELECT defer.await(:id, '30 s');
SELECT defer.trigger('it''s guarded') AS id \gset
SELECT defer.await(:id, '30 s');
SELECT defer.command('SELECT guard_test.guard_sql()') AS id \gset
SELECT defer.await(:id, '30 s') IS NOT NULL AS ran;

-- parallel workers of a client's session are part of it
CREATE FUNCTION guard_parallel() RETURNS integer LANGUAGE plpgsql PARALLEL SAFE AS 'BEGIN RETURN 1; END';
CREATE TABLE guard_table AS SELECT i FROM pg_catalog.generate_series(1, 1000) i;
SELECT defer.cron('guard_parallel', '@yearly') > 0 AS made;
-- 16 has given this setting another name
SELECT set_config(name, 'regress', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
\set VERBOSITY terse
SELECT sum(guard_parallel()) FROM guard_table;
\set VERBOSITY default
RESET ALL;
SET client_min_messages = warning;
SET search_path = guard_test, pg_catalog;
-- EXPLAIN VERBOSE has a line for it where another library wants it
SET compute_query_id = off;

-- a schedule of somebody else's function binds nobody but who made it
CREATE ROLE guard_alice;
CREATE ROLE guard_bob;
GRANT USAGE ON SCHEMA defer, guard_test TO guard_alice, guard_bob;
SET ROLE guard_alice;
SELECT defer.cron('guard_test.guard_free', '@yearly') > 0 AS made;
SELECT guard_free();
-- the maker's plan has a call, which is refused; that of others is as it was before
EXPLAIN (COSTS OFF, VERBOSE) SELECT guard_free();
SET ROLE guard_bob;
SELECT guard_free();
EXPLAIN (COSTS OFF, VERBOSE) SELECT guard_free();
SELECT guard_plpgsql();
RESET ROLE;
SELECT guard_free();
SET ROLE guard_alice;
SELECT defer.unschedule('guard_free');
SELECT guard_free();
RESET ROLE;

SELECT count(*) AS unscheduled
  FROM (SELECT name, defer.unschedule(name) FROM defer.schedule WHERE function LIKE 'guard\_test.%') u;
SET client_min_messages = error;
DROP SCHEMA guard_test CASCADE;
REVOKE USAGE ON SCHEMA defer FROM guard_alice, guard_bob;
DROP ROLE guard_alice, guard_bob;
