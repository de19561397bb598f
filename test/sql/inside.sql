-- What runs inside a job: functions, procedures, commands; the session from one
-- job to the next; messages; defer.current_job(), log, progress, snooze, give_up
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE inside_owner LOGIN;
CREATE ROLE inside_setting LOGIN;
ALTER ROLE inside_setting SET work_mem = '5MB';
CREATE ROLE inside_group;
GRANT inside_group TO inside_owner;
CREATE SCHEMA inside;
GRANT ALL ON SCHEMA inside TO inside_owner;
GRANT USAGE ON SCHEMA inside TO inside_group, inside_setting;
GRANT USAGE ON SCHEMA defer TO inside_owner, inside_group, inside_setting;
SET search_path = inside, public;
SET ROLE inside_owner;

CREATE TABLE inside_effect (what text);
CREATE TABLE inside_gate (open boolean);
GRANT ALL ON inside_effect TO inside_group;

-- What came of a job that has ended: the result, or the error with the job's
-- number taken out; NULL: it has not
CREATE FUNCTION inside_outcome(job bigint) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN state = 'succeeded' THEN coalesce(result::text, 'NULL')
    ELSE format('%s %s: %s', state, sqlstate, regexp_replace(error, 'job \d+', 'job N')) END
    FROM defer.jobs WHERE id = job AND state IN ('succeeded', 'failed', 'cancelled', 'discarded')
$$;
-- Waits, three minutes at most, without a snapshot of its own: CREATE INDEX
-- CONCURRENTLY would wait for that
CREATE PROCEDURE inside_end(job bigint, INOUT outcome text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..18000 LOOP
    outcome := inside.inside_outcome(job);
    EXIT WHEN outcome IS NOT NULL;
    PERFORM pg_sleep(0.01);
    COMMIT;
  END LOOP;
END $$;
-- A job begins after the commit of whoever enqueues it
CREATE PROCEDURE inside_run(function text, args jsonb DEFAULT NULL, INOUT outcome text DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
  job bigint := defer.enqueue(function, args, max_attempts => 1);
BEGIN
  COMMIT;
  CALL inside.inside_end(job, outcome);
END $$;
CREATE PROCEDURE inside_command(sql text, INOUT outcome text DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
  job bigint := defer.command(sql, max_attempts => 1);
BEGIN
  COMMIT;
  CALL inside.inside_end(job, outcome);
END $$;
CREATE FUNCTION inside_logs(job bigint) RETURNS TABLE (attempt int, level text, message text) LANGUAGE sql AS $$
  SELECT l.attempt, l.level, left(l.message, 200) FROM defer.logs l WHERE l.job_id = job ORDER BY l.attempt, l.at
$$;
CREATE FUNCTION inside_error(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text;
  message text;
  hint text;
BEGIN
  EXECUTE sql;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  RETURN format('%s: %s | %s', state, message, hint);
END $$;

--
-- Results
--
CREATE TYPE inside_pair AS (a int, b text);
CREATE DOMAIN inside_even AS int CHECK (VALUE % 2 = 0);
CREATE FUNCTION r_void() RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION r_int(x int) RETURNS int LANGUAGE sql AS 'SELECT x + 1';
CREATE FUNCTION r_text(x text) RETURNS text LANGUAGE sql AS 'SELECT upper(x)';
CREATE FUNCTION r_null() RETURNS int LANGUAGE sql AS 'SELECT NULL::int';
CREATE FUNCTION r_strict(x int) RETURNS int STRICT LANGUAGE plpgsql AS 'BEGIN RAISE ''called''; END';
CREATE FUNCTION r_json() RETURNS json LANGUAGE sql AS $$SELECT '{"b": [1, 2],  "a": null}'::json$$;
CREATE FUNCTION r_jsonb() RETURNS jsonb LANGUAGE sql AS $$SELECT '"scalar"'::jsonb$$;
CREATE FUNCTION r_float(x float8) RETURNS float8 LANGUAGE sql AS 'SELECT x';
CREATE FUNCTION r_time() RETURNS timestamptz LANGUAGE sql AS $$SELECT timestamptz '2026-01-02 03:04:05+00'$$ SET timezone = 'UTC';
CREATE FUNCTION r_array() RETURNS int[] LANGUAGE sql AS 'SELECT ARRAY[[1,2],[3,NULL]]';
CREATE FUNCTION r_pair() RETURNS inside_pair LANGUAGE plpgsql AS $$BEGIN RETURN ROW(1, 'x'::text); END$$;
CREATE FUNCTION r_pair_sql() RETURNS inside_pair LANGUAGE sql AS $$SELECT 2, 'y'::text$$;
CREATE FUNCTION r_row(OUT n int, OUT t text) LANGUAGE plpgsql AS $$BEGIN n := 3; END$$;
CREATE FUNCTION r_record() RETURNS record LANGUAGE plpgsql AS $$BEGIN RETURN ROW(1, 'z'::text); END$$;
CREATE FUNCTION r_set(n int) RETURNS SETOF int LANGUAGE sql AS 'SELECT * FROM generate_series(1, n)';
CREATE FUNCTION r_table() RETURNS TABLE (x int, r text) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY VALUES (1, 'a'), (2, NULL);
END $$;
CREATE FUNCTION r_nulls() RETURNS SETOF int LANGUAGE sql AS 'VALUES (1), (NULL)';
CREATE FUNCTION r_void_set() RETURNS SETOF void LANGUAGE sql AS $$INSERT INTO inside.inside_effect VALUES ('void set')$$;
CREATE FUNCTION r_even(x inside_even) RETURNS inside_even LANGUAGE sql AS 'SELECT x';
CREATE FUNCTION r_defaults(x int, y int DEFAULT length('four'), z text DEFAULT 'z') RETURNS text LANGUAGE sql AS 'SELECT x || '' '' || y || z';
CREATE FUNCTION r_variadic(VARIADIC x int[]) RETURNS int LANGUAGE sql AS 'SELECT cardinality(x)';
CREATE FUNCTION r_variadic_set(VARIADIC x int[]) RETURNS SETOF int LANGUAGE sql AS 'SELECT unnest(x)';
CREATE FUNCTION "R Odd ""name"""("A b" int) RETURNS SETOF int LANGUAGE sql AS 'SELECT "A b"';
CALL inside_run('r_void');
CALL inside_run('r_int', '[41]');
CALL inside_run('r_text', '["collated"]');
CALL inside_run('pg_catalog.upper(text)', '["built in"]');
CALL inside_run('r_null');
CALL inside_run('r_strict', '[null]');
CALL inside_run('r_json');
CALL inside_run('r_jsonb');
CALL inside_run('r_float', '["NaN"]');
CALL inside_run('r_time');
CALL inside_run('r_array');
CALL inside_run('r_pair');
CALL inside_run('r_pair_sql');
CALL inside_run('r_row');
CALL inside_run('r_record');
CALL inside_run('r_set', '[3]');
CALL inside_run('r_set', '[0]');
CALL inside_run('r_table');
CALL inside_run('r_nulls');
CALL inside_run('r_void_set');
SELECT count(*) FROM inside_effect WHERE what = 'void set';
CALL inside_run('r_even', '{"x": 4}');
CALL inside_run('r_defaults', '[1]');
CALL inside_run('r_variadic', '[[1, 2, 3]]');
CALL inside_run('r_variadic_set', '[[1, 2, 3]]');
CALL inside_run('"R Odd ""name"""', '{"A b": 5}');

-- A domain whose check reads a table, in a function that is stable
CREATE TABLE inside_allowed (x int);
INSERT INTO inside_allowed VALUES (1);
CREATE FUNCTION inside_is_allowed(x int) RETURNS boolean STABLE LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM inside.inside_allowed a WHERE a.x = $1); END';
CREATE DOMAIN inside_allowed_int AS int CHECK (inside.inside_is_allowed(VALUE));
CREATE FUNCTION r_allowed(x inside_allowed_int) RETURNS int LANGUAGE sql AS 'SELECT x';
CALL inside_run('r_allowed', '[1]');

-- What is too large is not kept, and the function runs to its end
CREATE FUNCTION r_large(n int) RETURNS text LANGUAGE sql AS $$SELECT repeat('x', n)$$;
CREATE FUNCTION r_many(n int) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..n LOOP
    RETURN NEXT 'row ' || i;
  END LOOP;
  INSERT INTO inside.inside_effect VALUES ('many');
END $$;
SELECT defer.enqueue('r_large', '[2000000]') AS id \gset
CALL inside_end(:id);
SELECT * FROM inside_logs(:id);
SELECT defer.enqueue('r_large', '[500000000]') AS id \gset
CALL inside_end(:id);
SELECT defer.enqueue('r_many', '[200000]') AS id \gset
CALL inside_end(:id);
SELECT * FROM inside_logs(:id);
SELECT count(*) FROM inside_effect WHERE what = 'many';

--
-- Functions that have changed since
--
CREATE FUNCTION f_gone() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT defer.enqueue('f_gone', delay => '1 hour', max_attempts => 1) AS id \gset
DROP FUNCTION f_gone();
SELECT defer.reschedule(:id);
CALL inside_end(:id);
CREATE FUNCTION f_gone() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT defer.enqueue('f_gone', delay => '1 hour', max_attempts => 1) AS id \gset
DROP FUNCTION f_gone();
CREATE PROCEDURE f_gone() LANGUAGE sql AS 'SELECT 1';
SELECT defer.reschedule(:id);
CALL inside_end(:id);
-- the right to it, and to its schema, are looked at when it runs
RESET ROLE;
CREATE SCHEMA inside_other;
GRANT USAGE ON SCHEMA inside_other TO inside_owner;
CREATE FUNCTION inside_other.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
SET ROLE inside_owner;
CALL inside_run('inside_other.f');
SELECT defer.enqueue('inside_other.f', delay => '1 hour', max_attempts => 1) AS id \gset
SELECT defer.enqueue('inside_other.f', delay => '1 hour', max_attempts => 1) AS id2 \gset
RESET ROLE;
REVOKE USAGE ON SCHEMA inside_other FROM inside_owner;
SET ROLE inside_owner;
SELECT defer.reschedule(:id);
CALL inside_end(:id);
RESET ROLE;
GRANT USAGE ON SCHEMA inside_other TO inside_owner;
REVOKE EXECUTE ON FUNCTION inside_other.f() FROM PUBLIC;
SET ROLE inside_owner;
SELECT defer.reschedule(:id2);
CALL inside_end(:id2);
-- one that replaces and drops itself while it runs
CREATE FUNCTION f_self() RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
  EXECUTE 'CREATE OR REPLACE FUNCTION inside.f_self() RETURNS text LANGUAGE sql AS ''SELECT 1::text''';
  PERFORM defer.enqueue('inside.f_self()', delay => '1 hour', key => 'self');
  EXECUTE 'DROP FUNCTION inside.f_self()';
  RETURN 'still here';
END $f$;
CALL inside_run('f_self');

--
-- Procedures
--
CREATE PROCEDURE p_plain(x int) LANGUAGE plpgsql AS $$BEGIN INSERT INTO inside.inside_effect VALUES ('p_plain ' || x); END$$;
CREATE PROCEDURE p_out(INOUT a int, OUT b text, c int DEFAULT 5) LANGUAGE plpgsql AS $$BEGIN a := a + c; b := 'out'; END$$;
CREATE PROCEDURE p_commit(n int, INOUT done int DEFAULT 0) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..n LOOP
    INSERT INTO inside.inside_effect VALUES ('p_commit');
    IF i % 2 = 0 THEN ROLLBACK; ELSE COMMIT; done := done + 1; END IF;
  END LOOP;
END $$;
CREATE PROCEDURE p_commit_fail() LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO inside.inside_effect VALUES ('kept');
  COMMIT;
  INSERT INTO inside.inside_effect VALUES ('lost');
  RAISE EXCEPTION 'after the commit';
END $$;
-- a loop over a cursor that is held over commits, and fails then
CREATE PROCEDURE p_loop() LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT g FROM generate_series(1, 3) g LOOP
    COMMIT;
    IF r.g = 2 THEN RAISE EXCEPTION 'in the loop'; END IF;
  END LOOP;
END $$;
CREATE FUNCTION f_commit() RETURNS void LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
CREATE PROCEDURE p_self_drop() LANGUAGE plpgsql AS $$
BEGIN
  DROP PROCEDURE inside.p_self_drop();
  COMMIT;
  INSERT INTO inside.inside_effect VALUES ('p_self_drop');
END $$;
CALL inside_run('p_plain', '{"x": 7}');
CALL inside_run('p_out', '[37]');
CALL inside_run('p_commit', '[5]');
CALL inside_run('p_commit_fail');
CALL inside_run('p_loop');
CALL inside_run('f_commit');
CALL inside_run('p_self_drop');
SELECT what, count(*) FROM inside_effect WHERE what IN ('p_plain 7', 'p_commit', 'kept', 'lost', 'p_self_drop') GROUP BY what ORDER BY what COLLATE "C";

--
-- Commands
--
CREATE TABLE inside_table (x int);
INSERT INTO inside_table SELECT generate_series(1, 10);
CALL inside_command('SELECT * FROM inside.inside_table');
CALL inside_command('INSERT INTO inside.inside_table VALUES (11), (12);');
CALL inside_command('WITH d AS (DELETE FROM inside.inside_table WHERE x > 11 RETURNING x) SELECT * FROM d');
CALL inside_command('DELETE FROM inside.inside_table WHERE x > 10');
CALL inside_command('VACUUM (ANALYZE) inside.inside_table');
CALL inside_command('CREATE INDEX CONCURRENTLY inside_idx ON inside.inside_table (x)');
CALL inside_command('REINDEX INDEX CONCURRENTLY inside.inside_idx');
CALL inside_command('DROP INDEX CONCURRENTLY inside.inside_idx');
CALL inside_command('CALL inside.p_commit(3)');
CALL inside_command($$DO 'BEGIN COMMIT; PERFORM 1/0; END'$$);
CALL inside_command('SET search_path = nowhere');
CALL inside_command('EXPLAIN SELECT 1');
CALL inside_command('DISCARD ALL');
CALL inside_command('SELECT * FROM inside.no_such_table');
CALL inside_command('CREATE UNIQUE INDEX CONCURRENTLY inside_unique ON inside.inside_table ((x / 100))');
SELECT count(*) FROM inside_table;
-- what is refused at once
SELECT inside_error('SELECT defer.command(' || quote_nullable(sql) || ')') FROM (VALUES
  (1, ''), (2, '-- nothing'), (3, 'SELECT 1; SELECT 2'), (4, 'SELEC 1'), (5, 'BEGIN'), (6, 'COMMIT'),
  (7, 'SAVEPOINT a'), (8, 'PREPARE TRANSACTION ''x'''), (9, 'COPY inside_table FROM STDIN'),
  (10, 'COPY inside_table TO STDOUT'), (11, 'LISTEN x'), (12, 'DECLARE c CURSOR FOR SELECT 1'),
  (13, 'FETCH c'), (14, 'LOCK TABLE inside_table'), (15, 'PREPARE q AS SELECT 1'), (16, NULL)) v (n, sql) ORDER BY n;
SELECT defer.command('SELECT 1 FROM WHERE');

--
-- The session
--
CREATE FUNCTION s_touch() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  SET work_mem = '77MB';
  SET LOCAL statement_timeout = '1h';
  PERFORM set_config('inside.mine', 'set', false), set_config('search_path', 'nowhere', false);
  CREATE TEMP TABLE inside_temp AS SELECT 1 AS x;
  EXECUTE 'PREPARE inside_stmt AS SELECT 1';
  EXECUTE 'DECLARE inside_cursor CURSOR WITH HOLD FOR SELECT 1';
  EXECUTE 'CREATE FUNCTION pg_temp.inside_f() RETURNS int LANGUAGE sql AS ''SELECT 1''';
  PERFORM pg_catalog.pg_advisory_lock(4711);
  PERFORM pg_catalog.nextval('inside.inside_seq');
  PERFORM pg_catalog.setseed(0.5);
  PERFORM defer.log('pid ' || pg_catalog.pg_backend_pid());
  SET ROLE inside_group;
  RETURN 1;
END $$;
CREATE PROCEDURE s_touch_commit(fail boolean) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM inside.s_touch();
  COMMIT;
  IF fail THEN RAISE EXCEPTION 'touched'; END IF;
END $$;
CREATE FUNCTION s_touch_fail() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM inside.s_touch();
  RAISE EXCEPTION 'touched';
END $$;
CREATE SEQUENCE inside_seq;
CREATE FUNCTION s_look() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  last text;
  number float8 := random();
BEGIN
  PERFORM defer.log('pid ' || pg_backend_pid()), setseed(0.5);
  BEGIN
    last := currval('inside.inside_seq');
  EXCEPTION WHEN OBJECT_NOT_IN_PREREQUISITE_STATE THEN
    last := 'none';
  END;
  RETURN jsonb_build_object('user', current_user, 'session', session_user, 'work_mem', current_setting('work_mem'),
    'timeout', current_setting('statement_timeout'), 'mine', nullif(current_setting('inside.mine', true), ''),
    'path', current_setting('search_path'), 'temp', to_regclass('pg_temp.inside_temp'),
    'function', to_regprocedure('pg_temp.inside_f()'),
    'statements', (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
    'cursors', (SELECT count(*) FROM pg_cursors WHERE name = 'inside_cursor'),
    'locks', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND pid = pg_backend_pid()),
    'currval', last, 'seeded', number = random());
END $$;
-- Two jobs, one after the other, until they happen to have run in one process
CREATE PROCEDURE s_both(first text, args jsonb, second text, INOUT a text DEFAULT NULL, INOUT b text DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
  job1 bigint;
  job2 bigint;
BEGIN
  FOR i IN 1..100 LOOP
    job1 := defer.enqueue(first, args, queue => 'inside', max_attempts => 1);
    job2 := defer.enqueue(second, queue => 'inside', max_attempts => 1);
    COMMIT;
    CALL inside.inside_end(job1, a);
    CALL inside.inside_end(job2, b);
    IF (SELECT count(DISTINCT message) = 1 FROM defer.logs WHERE job_id IN (job1, job2) AND message LIKE 'pid %') THEN
      RETURN;
    END IF;
  END LOOP;
  RAISE 'no two jobs in one process';
END $$;
SELECT defer.create_queue('inside', concurrency => 1);
CALL inside_run('s_look') \gset
SELECT jsonb_pretty(:'outcome') AS before;
CREATE FUNCTION s_touch_void() RETURNS void LANGUAGE sql AS 'SELECT inside.s_touch()';
CALL s_both('s_touch_void', NULL, 's_look') \gset
SELECT :'a', :'b' = :'outcome' AS as_before;
CALL s_both('s_touch_fail', NULL, 's_look') \gset
SELECT :'a', :'b' = :'outcome' AS as_before;
CALL s_both('s_touch_commit', '[false]', 's_look') \gset
SELECT :'a', :'b' = :'outcome' AS as_before;
CALL s_both('s_touch_commit', '[true]', 's_look') \gset
SELECT :'a', :'b' = :'outcome' AS as_before;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711;
-- settings of the role hold in its jobs, and come back
CREATE PROCEDURE s_set_commit() LANGUAGE plpgsql AS $$
BEGIN
  PERFORM defer.log('pid ' || pg_backend_pid());
  SET work_mem = '77MB';
  COMMIT;
END $$;
CREATE FUNCTION s_setting() RETURNS text LANGUAGE sql AS $$SELECT defer.log('pid ' || pg_backend_pid()); SELECT current_setting('work_mem')$$;
SELECT defer.grant_queue('inside', 'inside_setting');
SET ROLE inside_setting;
CALL inside_run('s_setting');
CALL s_both('s_set_commit', NULL, 's_setting');
SET ROLE inside_owner;
SELECT defer.drop_queue('inside');
-- triggers that are deferred run as part of the job
CREATE TABLE inside_deferred (x int, CONSTRAINT inside_deferred_key UNIQUE (x) DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION d_fail() RETURNS int LANGUAGE sql AS 'INSERT INTO inside.inside_deferred VALUES (1), (1) RETURNING x';
CREATE FUNCTION d_ok() RETURNS int LANGUAGE sql AS 'INSERT INTO inside.inside_deferred VALUES (2), (2); DELETE FROM inside.inside_deferred WHERE ctid = (SELECT max(ctid) FROM inside.inside_deferred) RETURNING x';
CALL inside_run('d_fail');
CALL inside_run('d_ok');
SELECT * FROM inside_deferred;
CREATE FUNCTION d_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'deferred, as %, in job %', current_user, defer.current_job() IS NOT NULL;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER d_trigger AFTER DELETE ON inside_deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION d_trigger();
CREATE FUNCTION d_notice() RETURNS void LANGUAGE sql AS 'DELETE FROM inside.inside_deferred';
SELECT defer.enqueue('d_notice') AS id \gset
CALL inside_end(:id);
SELECT * FROM inside_logs(:id);

--
-- Messages
--
CREATE FUNCTION l_all(fail boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE DEBUG 'debug';
  RAISE LOG 'for the administrator';
  RAISE INFO 'info';
  RAISE NOTICE 'notice with %', 'detail' USING DETAIL = 'some detail', HINT = 'a hint';
  RAISE WARNING 'warning';
  PERFORM defer.log('said so'), defer.log(NULL), defer.log('');
  BEGIN
    RAISE EXCEPTION 'caught';
  EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'after it was %', SQLERRM;
  END;
  IF fail THEN RAISE EXCEPTION 'and failed'; END IF;
END $$;
SELECT defer.enqueue('l_all', '[false]') AS id \gset
CALL inside_end(:id);
SELECT * FROM inside_logs(:id);
-- those of attempts that fail are kept, too
SELECT defer.enqueue('l_all', '[true]', max_attempts => 2, initial_interval => '0') AS id \gset
CALL inside_end(:id);
SELECT attempt, count(*), min(message), max(level) FROM inside_logs(:id) GROUP BY attempt ORDER BY attempt;
-- also when it is the commit that fails
CREATE FUNCTION l_commit() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'before the end'; PERFORM inside.d_fail(); END$$;
SELECT defer.enqueue('l_commit', max_attempts => 1) AS id \gset
CALL inside_end(:id);
SELECT * FROM inside_logs(:id);
-- others see them while the job runs; they are there once when it has been rolled back
CREATE TABLE inside_live_gate (x int);
CREATE FUNCTION l_live() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'first' USING DETAIL = 'more of it';
  PERFORM defer.log('second');
  WHILE NOT EXISTS (SELECT FROM inside.inside_live_gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
  RAISE WARNING 'third';
  RAISE EXCEPTION 'all is rolled back';
END $$;
CREATE PROCEDURE inside_said(job bigint, n int) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..18000 LOOP
    EXIT WHEN (SELECT count(*) FROM defer.logs l WHERE l.job_id = job) >= n;
    PERFORM pg_sleep(0.01);
    COMMIT;
  END LOOP;
END $$;
SELECT defer.enqueue('l_live', max_attempts => 2, initial_interval => '0') AS id \gset
CALL inside_said(:id, 2);
SELECT * FROM inside_logs(:id);
SELECT state FROM defer.jobs WHERE id = :id;
SELECT count(*) FROM defer.live_logs() WHERE job_id = :id;
RESET ROLE;
SET ROLE inside_setting;
SELECT count(*) FROM defer.logs WHERE job_id = :id;
RESET ROLE;
SET ROLE inside_owner;
INSERT INTO inside_live_gate VALUES (1);
CALL inside_end(:id);
SELECT * FROM inside_logs(:id);
SELECT count(*) FROM defer.live_logs() WHERE job_id = :id;
-- a thousand at most, and a megabyte
CREATE FUNCTION l_many(n int, size int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..n LOOP
    RAISE NOTICE '%', rpad(i::text, size, 'x');
  END LOOP;
END $$;
SELECT defer.enqueue('l_many', '[1500, 5]') AS id \gset
CALL inside_end(:id);
SELECT count(*), max(message) FILTER (WHERE level = 'warning') FROM inside_logs(:id);
SELECT defer.enqueue('l_many', '[50, 100000]') AS id \gset
CALL inside_end(:id);
SELECT count(*), max(message) FILTER (WHERE level = 'warning') FROM inside_logs(:id);
-- one that cannot be kept does not keep others out
CREATE FUNCTION l_large() RETURNS void LANGUAGE sql AS $$SELECT defer.log(repeat('x', 2000000)); SELECT defer.log('small')$$;
SELECT defer.enqueue('l_large') AS id \gset
CALL inside_end(:id);
SELECT * FROM inside_logs(:id);

--
-- The current job
--
CREATE FUNCTION c_self() RETURNS boolean LANGUAGE sql AS 'SELECT state = ''running'' FROM defer.jobs WHERE id = defer.current_job()';
CREATE FUNCTION c_child() RETURNS bigint LANGUAGE sql AS 'SELECT defer.enqueue(''inside.r_void'')';
CREATE FUNCTION c_progress(x float8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM defer.progress(x);
  WHILE NOT EXISTS (SELECT FROM inside.inside_gate) LOOP
    PERFORM pg_sleep(0.01);
  END LOOP;
END $$;
CALL inside_run('c_self');
SELECT defer.enqueue('c_child') AS id \gset
CALL inside_end(:id) \gset
SELECT :'outcome'::bigint AS child \gset
SELECT parent_id = :id AS is_parent FROM defer.jobs WHERE id = :child;
-- progress is seen while the job runs
SELECT defer.enqueue('c_progress', '[0.25]') AS id \gset
DO $$
BEGIN
  FOR i IN 1..18000 LOOP
    EXIT WHEN EXISTS (SELECT FROM defer.jobs WHERE function LIKE '%c_progress%' AND progress IS NOT NULL);
    PERFORM pg_sleep(0.01);
  END LOOP;
END $$;
SELECT state, progress FROM defer.jobs WHERE id = :id;
INSERT INTO inside_gate VALUES (true);
CALL inside_end(:id);
SELECT state, progress FROM defer.jobs WHERE id = :id;
CALL inside_run('c_progress', '[1.5]');
CALL inside_run('c_progress', '[-0.1]');
CALL inside_run('c_progress', '["NaN"]');
CALL inside_run('c_progress', '["Infinity"]');
CALL inside_run('c_progress', '[null]');
CALL inside_run('c_progress', '[1]');

-- Snooze: nothing that was written stays, and no attempt is used up
CREATE SEQUENCE inside_tries;
CREATE FUNCTION c_snooze(delay interval, catch boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO inside.inside_effect VALUES ('snooze');
  IF nextval('inside.inside_tries') < 3 THEN
    PERFORM defer.log('not yet');
    PERFORM defer.snooze(delay);
  END IF;
  RETURN 'awake';
EXCEPTION WHEN SQLSTATE 'DF001' THEN
  IF NOT catch THEN RAISE; END IF;
  RAISE 'another error';
END $$;
SELECT defer.enqueue('c_snooze', '["1 ms"]', max_attempts => 1) AS id \gset
CALL inside_end(:id);
SELECT attempt FROM defer.jobs WHERE id = :id;
SELECT attempt, outcome, sqlstate, regexp_replace(message, '\d+', 'N') FROM defer.attempts WHERE job_id = :id;
SELECT * FROM inside_logs(:id);
SELECT count(*) FROM inside_effect WHERE what = 'snooze';
SELECT setval('inside_tries', 1, false);
SELECT defer.enqueue('c_snooze', '["2 hours"]') AS id \gset
DO $$
BEGIN
  FOR i IN 1..18000 LOOP
    EXIT WHEN EXISTS (SELECT FROM defer.attempts a JOIN defer.jobs j ON j.id = a.job_id WHERE j.args = '["02:00:00"]');
    PERFORM pg_sleep(0.01);
  END LOOP;
END $$;
SELECT state, run_at - enqueued_at BETWEEN '119 minutes' AND '121 minutes' AS later FROM defer.jobs WHERE id = :id;
SELECT defer.cancel(:id);
-- caught: it is as if it had not been called
SELECT setval('inside_tries', 1, false);
CALL inside_run('c_snooze', '["1 ms", true]');
SELECT setval('inside_tries', 1, false);
CALL inside_run('c_snooze', '["0"]');
SELECT setval('inside_tries', 1, false);
CALL inside_run('c_snooze', '["-1 s"]');
SELECT setval('inside_tries', 1, false);
CALL inside_run('c_snooze', '["1000 years"]');
SELECT setval('inside_tries', 1, false);
CALL inside_run('c_snooze', '[null]');
-- somebody else's error of that code is an error
CREATE FUNCTION c_false() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE 'not by defer' USING ERRCODE = 'DF001'; END$$;
CALL inside_run('c_false');

-- Give up: no more attempts
CREATE FUNCTION c_give_up(reason text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO inside.inside_effect VALUES ('give up');
  PERFORM defer.give_up(reason);
END $$;
SELECT defer.enqueue('c_give_up', '["no such customer 100%s"]') AS id \gset
CALL inside_end(:id);
SELECT attempt, outcome, sqlstate, message, retry_at FROM defer.attempts WHERE job_id = :id;
SELECT defer.enqueue('c_give_up', '[null]') AS id \gset
CALL inside_end(:id);
SELECT count(*) FROM inside_effect WHERE what = 'give up';
-- in a procedure, after a commit
CREATE PROCEDURE c_give_up_late() LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO inside.inside_effect VALUES ('late');
  COMMIT;
  INSERT INTO inside.inside_effect VALUES ('late');
  PERFORM defer.give_up('late');
END $$;
SELECT defer.enqueue('c_give_up_late') AS id \gset
CALL inside_end(:id);
SELECT count(*) FROM inside_effect WHERE what = 'late';

-- In pg_stat_activity a long name is cut, but no character of it
DO $$
DECLARE
  type text := repeat(chr(233), 31);
BEGIN
  EXECUTE format('CREATE DOMAIN inside.%I AS integer', type);
  FOR shift IN 0..1 LOOP
    EXECUTE format('CREATE FUNCTION inside.%I(inside.%I, inside.%2$I, inside.%2$I) RETURNS boolean LANGUAGE sql AS %L',
      repeat('x', shift) || repeat(chr(233), 30), type,
      'SELECT convert_from(convert_to(query, ''UTF8''), ''UTF8'') LIKE ''defer job %'' FROM pg_stat_activity WHERE pid = pg_backend_pid()');
  END LOOP;
END $$;
SELECT defer.enqueue('"' || repeat(chr(233), 30) || '"', '[1, 1, 1]') AS id \gset
CALL inside_end(:id);
SELECT defer.enqueue('"x' || repeat(chr(233), 30) || '"', '[1, 1, 1]') AS id \gset
CALL inside_end(:id);

-- Outside a job
SELECT defer.current_job();
SELECT inside_error('SELECT defer.log(''x'')');
SELECT inside_error('SELECT defer.progress(0.5)');
SELECT inside_error('SELECT defer.snooze(''1 s'')');
SELECT inside_error('SELECT defer.give_up()');

RESET ROLE;
-- jobs that wait for another attempt
SELECT count(defer.cancel(id)) >= 0 AS cancelled FROM defer.jobs
 WHERE owner::text LIKE 'inside%' AND state IN ('queued', 'scheduled', 'retrying');
DROP SCHEMA inside_other CASCADE;
DROP SCHEMA inside CASCADE;
DROP OWNED BY inside_owner, inside_group, inside_setting;
DROP ROLE inside_owner, inside_group, inside_setting;
