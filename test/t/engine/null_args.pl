# Every function of the extension, found from the catalogs, is called with NULLs,
# with what is huge, negative, empty, infinite or odd, outside and inside a job, by
# a superuser and by an ordinary role.  Each call answers or raises an error that is
# meant for users; nothing crashes and nothing is an internal error.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
log_min_messages = panic
defer.max_workers = 2
autovacuum = off
});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE ann LOGIN;
	CREATE SCHEMA torture;
	GRANT USAGE ON SCHEMA defer, torture TO ann;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA defer TO ann;
	SELECT defer.endpoint('hook', 'slack', 'https://hooks.example.com/x');
	SELECT defer.grant_endpoint('hook', 'public');
	CREATE FUNCTION torture.noop() RETURNS void LANGUAGE sql AS 'SELECT';

	-- Odd values, as text, of each type; those of pseudo-types are whole expressions
	CREATE TABLE torture.value (type regtype, value text);
	GRANT SELECT ON torture.value TO PUBLIC;
	INSERT INTO torture.value
	SELECT 'text'::regtype, unnest(ARRAY[NULL, '', ' ', repeat('x', 70000), repeat('(', 70000), repeat('"', 999),
			repeat('* ', 3000), repeat('9,', 9999), E'\n\r\t\x01\x7f\x1b[31m', '%s%n%d%*', '''; SELECT 1; --', '"', 'a.b.c.d.e.f',
			'f(', 'f(int', 'f(int,', '.', '..', '"".""', '-', 'pg_catalog.now', 'now()', 'every 0 s', 'every 9223372036854775807 s',
			'every -1 s', '99999999999999999999 * * * *', '*/2147483648 * * * *', '0 0 30 2 *', 'public', 'http://', 'http://[', 'http://a:99999999999',
			'smtp://', convert_from('\xf09f8e89cc81', 'UTF8'), '{}', '0', 'NaN'])
	UNION ALL SELECT 'integer'::regtype, unnest(ARRAY[NULL, '-2147483648', '-1', '0', '1', '1000000', '2147483647'])
	UNION ALL SELECT 'bigint'::regtype, unnest(ARRAY[NULL, '-9223372036854775808', '-1', '0', '1', '4294967296', '9223372036854775807'])
	UNION ALL SELECT 'oid'::regtype, unnest(ARRAY[NULL, '0', '1', '10', '4294967295'])
	UNION ALL SELECT 'boolean'::regtype, unnest(ARRAY[NULL, 'true', 'false'])
	UNION ALL SELECT 'double precision'::regtype, unnest(ARRAY[NULL, 'NaN', 'Infinity', '-Infinity', '1.7976931348623157e308', '-1', '-0', '5e-324', '2'])
	UNION ALL SELECT 'interval'::regtype, unnest(ARRAY[NULL, '0', '-1 microsecond', '1 microsecond', '-1 month 30 days', '1 month -30 days',
			'178000000 years', '-178000000 years', '2147483647 days', '-2147483648 days', '2562047788:00:54.775807',
			'-2562047788:00:54.775808', '2147483647 months 2147483647 days 2562047788:00:54.775807'])
	UNION ALL SELECT 'timestamptz'::regtype, unnest(ARRAY[NULL, 'infinity', '-infinity', 'epoch', '4714-11-24 00:00:00+00 BC',
			'294276-12-31 23:59:59.999999+00', '0001-01-01 00:00:00+00 BC', '9999-12-31 23:59:59.999999+00'])
	UNION ALL SELECT 'jsonb'::regtype, unnest(ARRAY[NULL, 'null', '{}', '[]', '[[]]', '""', '0', '1e1000', '-1e-1000', 'true', '[null]', '{"": ""}',
			'{"a": {"b": null}}', '{"a\nb": "\r\n"}', repeat('[', 3000) || repeat(']', 3000),
			'[' || repeat('0,', 20000) || '0]', '"' || repeat('y', 2000000) || '"'])
	UNION ALL SELECT 'text[]'::regtype, unnest(ARRAY[NULL, '{}', '{NULL}', '{""}', '{{a,b},{c,d}}', '[7:8]={failed,failed}', '[-2147483648:-2147483647]={a,b}',
			'{' || repeat('failed,', 5000) || 'failed}', '{no such}'])
	UNION ALL SELECT 'name'::regtype, unnest(ARRAY[NULL, '', 'x', repeat('n', 63), 'no such'])
	UNION ALL SELECT 'uuid'::regtype, unnest(ARRAY[NULL, '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'])
	UNION ALL SELECT 'uuid[]'::regtype, unnest(ARRAY[NULL, '{}', '{NULL}', '{00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff}',
			'{{00000000-0000-0000-0000-000000000000}}'])
	UNION ALL SELECT 'jsonb[]'::regtype, unnest(ARRAY[NULL, '{}', '{NULL}', '{1,NULL}', '{{1,2},{3,4}}', '[5:6]={1,2}'])
	UNION ALL SELECT 'bigint[]'::regtype, unnest(ARRAY[NULL, '{}', '{1}', '{1,2}', '{1,NULL}', '{-1,1}', '{207,1}', '{208,1}', '{2,1,1,1}', '{1,1,1,1}',
			'{1,-1}', '{{1,2},{3,4}}', '[5:6]={1,2}', '{0,9223372036854775807,1,9223372036854775807}', '{9223372036854775807,1}',
			'{' || repeat('1,1,', 50000) || '2,2}'])
	UNION ALL SELECT t, v FROM unnest('{"\"any\"",anycompatible}'::regtype[]) t CROSS JOIN unnest(ARRAY['NULL', 'NULL::text', '''unknown''', '''''', 'NULL::int', '9', '''NaN''::numeric', '1e300::numeric ^ 30',
			'''infinity''::float8', '''-infinity''::timestamptz', '''infinity''::date', '''-178000000 years''::interval', '''{}''::text[]', '''{NULL,{}}''::text[]',
			'ARRAY[[''a'',''b''],[''c'',NULL]]', 'ROW()', 'ROW(1, NULL, ROW(2))', 'NULL::record', '''\x''::bytea', '''[1,2)''::int4range', 'true', '''{}''::json',
			'''"\u0041"''::jsonb', 'repeat(''z'', 2000000)', '''(1,1)''::tid', '''x''::"char"', '1::oid', '''defer.jobs''::regclass', '''0/0''::pg_lsn',
			'NULL::defer.jobs', '''192.168.0.0/16''::cidr', '''<a/>''::xml', '''a b''::tsvector', 'ARRAY[NULL]::defer.jobs[]']) v;
	INSERT INTO torture.value
	SELECT 'character varying'::regtype, value FROM torture.value WHERE type = 'text'::regtype
	UNION ALL SELECT 'json'::regtype, value FROM torture.value WHERE type = 'jsonb'::regtype;

	-- A value that is all right for a parameter that must be given
	CREATE FUNCTION torture.plain(name text, type regtype) RETURNS text LANGUAGE sql AS $$
		SELECT CASE WHEN type IN ('"any"'::regtype, 'anycompatible'::regtype) THEN '''a'''
				WHEN name = 'function' THEN '''torture.noop'''
				WHEN name = 'sql' THEN '''SELECT 1'''
				WHEN name = 'schedule' THEN '''* * * * *'''
				WHEN name = 'kind' THEN '''http'''
				WHEN name = 'timezone' THEN '''UTC'''
				WHEN name = 'method' THEN '''GET'''
				WHEN name IN ('url', 'smtp_url') THEN '''http://example.com/'''
				WHEN name = 'endpoint' THEN '''hook'''
				WHEN type IN ('text'::regtype, 'character varying'::regtype) THEN '''x'''
				WHEN type IN ('integer'::regtype, 'bigint'::regtype, 'oid'::regtype) THEN '1'
				WHEN type = 'double precision'::regtype THEN '0.5'
				WHEN type = 'interval'::regtype THEN '''1 s'''
				WHEN type = 'timestamptz'::regtype THEN '''2030-01-01 00:00:00+00'''
				WHEN type = 'text[]'::regtype THEN '''{failed}'''
				WHEN type = 'uuid'::regtype THEN '''00000000-0000-0000-0000-000000000000'''
				WHEN type = 'uuid[]'::regtype THEN '''{00000000-0000-0000-0000-000000000000,00000000-0000-0000-0000-000000000001}'''
				WHEN type = 'bigint[]'::regtype THEN '''{1,2}'''
				ELSE 'NULL' END
	$$;

	-- Input parameters of all functions
	CREATE TABLE torture.parameter AS
	SELECT p.oid::regprocedure AS function, p.proname, n, p.proargtypes[n]::oid::regtype AS type,
		p.proargnames[n + 1] AS name, n >= p.pronargs - p.pronargdefaults AS optional,
		p.provariadic <> 0 AND n = p.pronargs - 1 AS variadic
	  FROM pg_proc p CROSS JOIN LATERAL generate_series(0, p.pronargs - 1) n
	 WHERE p.pronamespace = 'defer'::regnamespace;
	GRANT SELECT ON torture.parameter TO PUBLIC;

	-- One argument of a call
	CREATE FUNCTION torture.argument(p torture.parameter, expression text) RETURNS text LANGUAGE sql AS $$
		SELECT CASE WHEN p.variadic THEN expression ELSE format('%I => %s', p.name, expression) END
	$$;
	CREATE FUNCTION torture.expression(type regtype, value text) RETURNS text LANGUAGE sql AS $$
		SELECT CASE WHEN type IN ('"any"'::regtype, 'anycompatible'::regtype) THEN value ELSE format('%L::%s', value, type) END
	$$;

	-- The calls
	CREATE TABLE torture.call AS
	WITH plain AS (
		SELECT p.function, p.n, torture.argument(p, torture.plain(p.name, p.type)) AS argument
		  FROM torture.parameter p WHERE NOT p.optional
	), one AS (		-- one odd, the others plain or default
		SELECT p.function, p.proname,
			(SELECT string_agg(a.argument, ', ' ORDER BY a.n)
			   FROM (SELECT o.n, o.argument FROM plain o WHERE o.function = p.function AND o.n <> p.n
					 UNION ALL SELECT p.n, torture.argument(p, torture.expression(p.type, v.value))) a) AS arguments
		  FROM torture.parameter p JOIN torture.value v USING (type)
	), numbered AS (
		SELECT type, value, row_number() OVER (PARTITION BY type) - 1 AS i, count(*) OVER (PARTITION BY type) AS n FROM torture.value
	), every AS (		-- all odd, in a few combinations
		SELECT p.function, p.proname, string_agg(torture.argument(p, torture.expression(p.type, v.value)), ', ' ORDER BY p.n) AS arguments
		  FROM generate_series(0, 12) k, torture.parameter p, numbered v
		 WHERE v.type = p.type AND v.i = (k * (1 + p.n)) % v.n AND NOT p.variadic
		 GROUP BY k, p.function, p.proname
	)
	-- NULL for each: k = 0, as NULL comes first
	SELECT DISTINCT ON (function, arguments) function, format('SELECT * FROM defer.%I(%s)', proname, arguments) AS sql
	  FROM (SELECT * FROM one UNION ALL SELECT * FROM every
			UNION ALL SELECT p.oid::regprocedure, p.proname, '' FROM pg_proc p
			 WHERE p.pronamespace = 'defer'::regnamespace AND p.pronargs = p.pronargdefaults) c;
	GRANT SELECT ON torture.call TO PUBLIC;

	-- Makes all calls, undoes each, and tells how they ended
	-- After an error of those that end jobs of tasks the transaction cannot commit
	CREATE FUNCTION torture.all_calls(IN ends boolean DEFAULT false, OUT function regprocedure, OUT sql text, OUT code text, OUT message text)
		RETURNS SETOF record LANGUAGE plpgsql AS $$
	BEGIN
		FOR function, sql IN SELECT c.function, c.sql FROM torture.call c
				WHERE (c.function::text ~ '^defer.(complete|complete_many|fail|release)[(]') = ends ORDER BY c.function::text, c.sql COLLATE "C" LOOP
			BEGIN
				EXECUTE sql;
				RAISE SQLSTATE 'OK000';
			EXCEPTION WHEN OTHERS THEN
				code := SQLSTATE;
				message := SQLERRM;
			END;
			RETURN NEXT;
		END LOOP;
	END $$;

	-- The same as a job: what is not meant for users, and how many there were
	CREATE FUNCTION torture.as_job() RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_build_object('calls', count(*), 'who', current_user, 'internal',
				jsonb_agg(left(sql, 300) || ': ' || message) FILTER (WHERE code LIKE 'XX%'))
		  FROM torture.all_calls()
	$$;
});
my $calls = $node->safe_psql('postgres', 'SELECT count(*) FROM torture.call');
my $ends = $node->safe_psql('postgres', "SELECT count(*) FROM torture.call WHERE function::text ~ '^defer.(complete|complete_many|fail|release)[(]'");
my $server = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

cmp_ok($calls, '>', 1500, "there are $calls calls");
is($node->safe_psql('postgres', q{
	SELECT p.oid::regprocedure FROM pg_proc p
	 WHERE p.pronamespace = 'defer'::regnamespace
	   AND NOT EXISTS (SELECT FROM torture.call c WHERE c.function = p.oid)}),
	'', 'of every function');
is($node->safe_psql('postgres', q{SELECT DISTINCT type FROM torture.parameter WHERE type NOT IN (SELECT type FROM torture.value)}),
	'', 'with odd values of every type');

# Calls are well-formed.  What a user can meet has an SQLSTATE of its own: XX000 is "this cannot happen"
for my $role ('postgres', 'ann')
{
	my $answer = $node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		BEGIN;
		CREATE TEMP TABLE answer AS SELECT * FROM torture.all_calls() UNION ALL SELECT * FROM torture.all_calls(true);
		SELECT left(sql, 300), code, message FROM answer WHERE code LIKE 'XX%'
			OR (code IN ('42883', '42725') AND message LIKE 'function defer.%');
		ROLLBACK},
		extra_params => [ '-U', $role ]);
	is($answer, '', "as $role: each answers or raises an error that is meant for users");
}
my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('torture.as_job', max_attempts => 1)},
	extra_params => [ '-U', 'ann' ]);
settled($node, 'the same calls made by a job come to an end');
is($node->safe_psql('postgres', qq{
	SELECT state, result ->> 'who', result ->> 'calls', result ->> 'internal', error FROM defer.jobs WHERE id = $id}),
	'succeeded|ann|' . ($calls - $ends) . '||', 'in a job: the same');

# Nothing of it has had an effect, and nothing was taken down
is($node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM defer.jobs), (SELECT count(*) FROM defer.schedules), (SELECT count(*) FROM defer.function),
		(SELECT count(*) FROM defer.queue), (SELECT count(*) FROM defer.endpoints), (SELECT count(*) FROM defer.alerts)}),
	'1|0|0|0|1|0', 'what is rolled back has no effect');
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $server, 'the server is the same');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP/, 'and no process has crashed');

$node->stop;
done_testing();
