-- What drivers send: parameters without a type, json, numbers of another size.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
CREATE SCHEMA drivers_test;
SET search_path = drivers_test;
CREATE FUNCTION f(a integer DEFAULT 0, b text DEFAULT NULL) RETURNS text LANGUAGE sql AS 'SELECT b';

-- Functions with a parameter that a driver cannot give without its type: defer.later,
-- which has a second function for when no parameter has one
SELECT p.oid::regprocedure AS untyped_is_an_error
  FROM pg_proc p
 WHERE p.pronamespace = 'defer'::regnamespace
   AND EXISTS (SELECT FROM unnest(p.proargtypes::oid[]) t
                WHERE t IN ('"any"'::regtype, 'anyelement'::regtype, 'anynonarray'::regtype, 'anyarray'::regtype))
 ORDER BY 1;

-- Every function takes parameters without a type: by position each number of them that
-- it may be given, and by name each one beside those that it must be given
CREATE FUNCTION prepare_problem(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('PREPARE untyped AS SELECT defer.%s', call);
	DEALLOCATE untyped;
	RETURN NULL;
EXCEPTION WHEN undefined_function OR ambiguous_function OR indeterminate_datatype THEN
	RETURN call || ': ' || SQLERRM;
END $$;
WITH f AS (
	SELECT p.oid, p.proname, p.pronargs AS n, p.pronargs - p.pronargdefaults AS must, p.proargnames AS names, p.provariadic <> 0 AS many
	  FROM pg_proc p
	 WHERE p.pronamespace = 'defer'::regnamespace AND p.prokind = 'f' AND p.prorettype <> 'trigger'::regtype
), call AS (
	SELECT format('%I(%s)', proname, (SELECT string_agg('$' || i, ', ' ORDER BY i) FROM generate_series(1, k) i)) AS call
	  FROM f CROSS JOIN LATERAL generate_series(must, n + CASE WHEN many THEN 3 ELSE 0 END) k
	UNION
	SELECT format('%I(%s%I => $%s)', proname, (SELECT string_agg('$' || i || ', ', '' ORDER BY i) FROM generate_series(1, must) i),
			names[k], must + 1)
	  FROM f CROSS JOIN LATERAL generate_series(must + 1, n) k
	 WHERE NOT many
)
SELECT prepare_problem(call) AS problem FROM call WHERE prepare_problem(call) IS NOT NULL ORDER BY 1;

-- Functions of one name differ in more than what a parameter without a type tells: it
-- is of the type that drivers expect who ask the server for it
PREPARE untyped AS SELECT defer.enqueue($1, $2, metadata => $3, delay => $4, after => $5);
PREPARE untyped_one AS SELECT defer.enqueue_one($1, $2, priority => $3);
PREPARE untyped_many AS SELECT defer.enqueue_many($1, $2, metadata => $3);
PREPARE untyped_http AS SELECT defer.http($1, $2, $3, headers => $4);
PREPARE untyped_email AS SELECT defer.email($1, $2, $3, cc => $4);
PREPARE untyped_group AS SELECT defer.set_group($1, $2, concurrency => $3);
PREPARE untyped_later AS SELECT defer.later($1, $2, $3);
SELECT name, parameter_types FROM pg_prepared_statements ORDER BY name;
DEALLOCATE ALL;

-- json in place of jsonb
PREPARE typed(json, json) AS SELECT defer.enqueue('f', $1, metadata => $2);
EXECUTE typed('[1, "x"]', '{"m": 1}') \gset a_
EXECUTE typed(NULL, NULL) \gset b_
SELECT defer.enqueue('f', '{"b": "y"}'::json) AS id \gset c_
SELECT defer.enqueue('f', metadata => '{"m": 2}'::json) AS id \gset d_
SELECT defer.enqueue('f'::varchar, '[3]'::jsonb) AS id \gset e_
SELECT defer.enqueue('f'::varchar, '[4]', queue => 'default', delay => '1 h') AS id \gset f_
SELECT id, outcome FROM defer.enqueue_one('f', '[5]'::json, key => 'k') \gset g_
SELECT * FROM defer.command('SELECT 1', metadata => '{"m": 3}'::json) AS id \gset h_
SELECT row_number() OVER (ORDER BY id) AS n, args, metadata FROM defer.jobs
 WHERE id IN (:a_enqueue, :b_enqueue, :c_id, :d_id, :e_id, :f_id, :g_id, :h_id) ORDER BY id;
SELECT :'g_outcome' AS outcome;
CREATE TEMP TABLE many AS
SELECT * FROM defer.enqueue_many('f', '[{"args": [1]}, {"args": {"b": "z"}}]'::json, metadata => '{"m": 4}'::json);
SELECT m.ord, m.outcome, j.args, j.metadata FROM many m JOIN defer.jobs j USING (id) ORDER BY m.ord;
-- the same constants again and again, in one statement
CREATE TEMP TABLE thrice AS
SELECT defer.enqueue('f', '[6]'::json, metadata => '{}'::json) AS id FROM generate_series(1, 3);
SELECT args, metadata, count(*) FROM thrice JOIN defer.jobs USING (id) GROUP BY args, metadata;
SELECT defer.enqueue('f', '"\u0000"'::json);
SELECT defer.enqueue('f', '[1]'::json, metadata => '[1]');
SELECT defer.enqueue_many('f', '{}'::json);

-- An event, a signal, a workflow, what comes after a job
BEGIN;
SELECT defer.emit('drivers', '{"e": 1}'::json);
SELECT payload FROM defer.events WHERE name = 'drivers';
SELECT defer.workflow('drivers', '[{"name": "s", "function": "drivers_test.f", "args": [6, "x"]}]'::json, '7'::json) > 0 AS started;
SELECT defer.when_done('f', '[8]'::json, of => defer.enqueue('f', '[7]', delay => '1 h')) AS id \gset done_
SELECT args FROM defer.jobs WHERE id = :done_id;
ROLLBACK;
SELECT defer.signal(0, 'drivers', '{"e": 1}'::json);

-- Numbers of another size: the value has to fit.  Smaller ones are parameters of functions
-- behind views
SELECT p.oid::regprocedure AS takes_no_bigint
  FROM pg_proc p
 WHERE p.pronamespace = 'defer'::regnamespace AND p.proargtypes::oid[] && ARRAY['int2'::regtype, 'int4'::regtype]::oid[]
 ORDER BY 1;
SELECT defer.configure('f', max_attempts => 3::bigint, priority => -7::bigint);
SELECT max_attempts, priority FROM defer.functions WHERE function LIKE 'drivers_test.f(%';
SELECT defer.configure('f', concurrency => 2147483648);
SELECT defer.create_queue('drivers', rate => '1/s', rate_burst => 2147483648);
SELECT defer.cron_command('drivers', '@daily', 'SELECT 1', priority => -2147483649);
SELECT defer.cron_command('drivers', '@daily', 'SELECT 1', max_runs => 2147483648);
SELECT count(*) FROM defer.cron_next('@daily', n => 2::bigint);
SELECT defer.cron_next('@daily', n => 2147483648);
SELECT defer.find_jobs(n => 2147483648);
SELECT defer.take(n => 2147483648);
SELECT defer.endpoint('drivers', 'http', 'http://192.0.2.1', concurrency => 2147483648);
CREATE FUNCTION numbers(small smallint, whole integer, exact numeric, short real) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION sized(x smallint) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION sized(x integer) RETURNS void LANGUAGE sql AS 'SELECT';
SELECT defer.later('numbers', 1::bigint, 2::bigint, 1.1::float8, 2.5::float8) AS id \gset a_
SELECT defer.later('sized', 70000::bigint) AS id \gset b_
SELECT defer.later('sized', 7::smallint) AS id \gset c_
SELECT function, args FROM defer.jobs WHERE id IN (:a_id, :b_id, :c_id) ORDER BY id;
SELECT defer.later('numbers', 32768::bigint, 1, 1, 1);
SELECT defer.later('numbers', 1, 2147483648, 1, 1);
SELECT defer.later('numbers', 1, 1.5, 1, 1);
SELECT defer.later('sized', 1.5::float8);
SELECT defer.enqueue('f', priority => 5::bigint, max_attempts => 2::bigint, delay => '1 h') AS id \gset a_
SELECT priority, options FROM defer.job WHERE id = :a_id;
SELECT defer.enqueue('f', priority => 2147483648);
SELECT defer.enqueue('f', max_attempts => -2147483649);
SELECT defer.enqueue('f', max_attempts => 0);
SELECT ord FROM defer.enqueue_many('f', '[{"priority": 2147483648}]');
SELECT defer.http('GET', 'http://example.com/', max_response => 2147483648);
SELECT defer.http('GET', 'http://example.com/', follow_redirects => -2147483649);
SELECT defer.http('GET', 'http://example.com/', max_response => -1);

-- A number is no length of time
SELECT ord FROM defer.enqueue_many('f', '[{"delay": 300}]');
SELECT ord FROM defer.enqueue_many('f', '[{"queue": 300}]');

-- defer.later() with arguments that have no type, or are all text
PREPARE untyped AS SELECT defer.later('f', $1, $2);
EXECUTE untyped('8', 'eight') \gset a_
EXECUTE untyped(NULL, NULL) \gset b_
SELECT defer.later('f', VARIADIC ARRAY['9', 'nine']) AS id \gset c_
SELECT defer.later('f', '10'::varchar) AS id \gset d_
SELECT args FROM defer.jobs WHERE id IN (:a_later, :b_later, :c_id, :d_id) ORDER BY id;
EXECUTE untyped('eight', '8');
SELECT defer.later('f', '1', '2', '3');
SELECT defer.later('f', VARIADIC NULL::text[]);
SELECT defer.later('f', VARIADIC array_fill('1'::text, '{101}'));
SELECT defer.later('f', VARIADIC ARRAY[1, 2]);
SELECT defer.later(NULL, '1');

-- Values of several types
SELECT defer.http('POST', 'http://example.com/', x, run_at => '2100-01-01') FROM (SELECT 'text' AS x) s \gset a_
SELECT defer.http('POST', 'http://example.com/', '{"a": 1}'::json, run_at => '2100-01-01') \gset b_
SELECT defer.http('POST', 'http://example.com/', '{"a": 1}'::jsonb, run_at => '2100-01-01') \gset c_
SELECT defer.http('POST', 'http://example.com/', '\x00ff'::bytea, run_at => '2100-01-01') \gset d_
SELECT defer.http('POST', 'http://example.com/', 'c'::varchar, run_at => '2100-01-01') \gset e_
SELECT args - 'method' - 'url' FROM defer.job WHERE id IN (:a_http, :b_http, :c_http, :d_http, :e_http) ORDER BY id;
SELECT defer.http('POST', 'http://example.com/', 42);
SELECT defer.endpoint('drivers_mail', 'email', 'smtp://localhost', sender => 'me@example.com');
SELECT defer.email('a@example.com', 's', 'b', endpoint => 'drivers_mail', run_at => '2100-01-01') \gset a_
SELECT defer.email('{a@example.com,b@example.com}'::varchar[], 's', 'b', endpoint => 'drivers_mail', run_at => '2100-01-01') \gset b_
SELECT args -> 'to' FROM defer.job WHERE id IN (:a_email, :b_email) ORDER BY id;
SELECT defer.email('{"a@example.com","b@example.com"}', 's', 'b', endpoint => 'drivers_mail');
SELECT defer.email(42, 's', 'b', endpoint => 'drivers_mail');

-- Clean up
SET client_min_messages = error;
SELECT count(defer.cancel(id)) > 0 AS cancelled FROM defer.live_jobs WHERE run_at > now();
SELECT defer.drop_endpoint('drivers_mail');
DROP SCHEMA drivers_test CASCADE;
