# A database that belongs to somebody malicious: in front of pg_catalog there is a
# schema with functions, operators, aggregates, types and relations of the names that
# all of pg_catalog's have, and the database's search_path begins with it.  Whatever
# of it is called writes down as whom.  All that we do in that database, in clients'
# sessions and in processes of our own, must call none of it, but as that role itself.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'defer'
max_worker_processes = 24
fsync = off
restart_after_crash = on
defer.max_workers = 4
defer.http_allow = '127.0.0.0/8'
defer.smtp_url = 'smtp://127.0.0.1:1'
defer.smtp_from = 'defer@example.com'
log_min_messages = log
log_statement = none
log_line_prefix = '%b|%u|'
});
$node->start;

# By default sessions of this test see nothing of it.  trapped() has them see it first
# of all: only for statements without operators and with all names qualified.
$ENV{PGOPTIONS} = '-c search_path=pg_catalog';
my $database = 'trapped';

sub trapped
{
	my ($sql, $role) = @_;

	return $node->safe_psql($database, "SET search_path = trap, pg_catalog, public;\n$sql",
		extra_params => [ '-U', $role // 'postgres' ]);
}

# As whom were traps sprung, since that place in the log?
sub sprung
{
	my ($from) = @_;
	my $log = slurp_file($node->logfile, $from);
	my %as;

	$as{$2}{"$1: $3"}++ while $log =~ /^([^|\n]*)\|.*LOG:  sprung as (\S+ of \S+): (.*)$/mg;
	return \%as;
}

# What is not mallory's doing, and may not be
sub only_mallory
{
	my ($from, $what) = @_;
	my $as = sprung($from);

	delete $as->{'mallory of mallory'};
	return is_deeply($as, {}, $what);
}

# ------------------------------------------------------------------------
# The traps
# ------------------------------------------------------------------------

$node->safe_psql('postgres', q{
	CREATE ROLE mallory LOGIN;
	CREATE ROLE bob LOGIN;
	CREATE DATABASE trapped OWNER mallory});
$node->safe_psql($database, q{
	CREATE SCHEMA trap;
	GRANT USAGE, CREATE ON SCHEMA public TO PUBLIC;
	GRANT USAGE ON SCHEMA trap TO PUBLIC;

	CREATE FUNCTION trap.spring(what text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
	BEGIN
		RAISE LOG 'sprung as % of %: %', current_user, session_user, what;
		RETURN true;
	END $$;

	-- Each trap does what the real one does: nothing must break, or it would not be found
	DO $do$
	DECLARE
		f record;
		n int := 0;
	BEGIN
		FOR f IN
			SELECT p.*, format('%I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) AS signature,
				(SELECT string_agg('$' || i, ', ' ORDER BY i) FROM generate_series(1, p.pronargs) i) AS numbers
			  FROM pg_proc p
			 WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0
			   AND NOT p.proname LIKE 'pg\_stat\_%' AND NOT p.proname LIKE 'binary\_upgrade%'
			   AND NOT EXISTS (SELECT FROM unnest(p.proargtypes::oid[] || p.prorettype) t JOIN pg_type y ON y.oid = t
								WHERE y.typtype = 'p' AND y.typname NOT IN ('anyelement', 'anyarray', 'anynonarray', 'void', 'record'))
			   AND p.proargmodes IS NULL AND (p.prorettype <> 'record'::regtype)
			   AND NOT ('record'::regtype = ANY (p.proargtypes::oid[]))
		LOOP
			BEGIN
				EXECUTE format('CREATE FUNCTION trap.%s RETURNS %s%s LANGUAGE plpgsql %s SET search_path = pg_catalog AS %L',
					f.signature, CASE WHEN f.proretset THEN 'SETOF ' ELSE '' END, format_type(f.prorettype, NULL),
					CASE f.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE '' END,
					format(E'BEGIN\nPERFORM trap.spring(%L);\n%s\nEND', 'function ' || f.signature,
						CASE WHEN f.proretset THEN format('RETURN QUERY SELECT pg_catalog.%I(%s);', f.proname, f.numbers)
							WHEN f.prorettype = 'void'::regtype THEN format('PERFORM pg_catalog.%I(%s);', f.proname, f.numbers)
							ELSE format('RETURN pg_catalog.%I(%s);', f.proname, f.numbers) END));
				n := n + 1;
			EXCEPTION WHEN OTHERS THEN
				RAISE DEBUG '%: %', f.signature, SQLERRM;
			END;
		END LOOP;

		FOR f IN
			SELECT o.oprname, o.oprleft, o.oprright, p.proname
			  FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
			 WHERE o.oprnamespace = 'pg_catalog'::regnamespace
		LOOP
			BEGIN
				EXECUTE format('CREATE OPERATOR trap.%s (FUNCTION = trap.%I%s, RIGHTARG = %s)', f.oprname, f.proname,
					CASE WHEN f.oprleft <> 0 THEN ', LEFTARG = ' || format_type(f.oprleft, NULL) ELSE '' END,
					format_type(f.oprright, NULL));
				n := n + 1;
			EXCEPTION WHEN OTHERS THEN
				RAISE DEBUG '%: %', f.oprname, SQLERRM;
			END;
		END LOOP;

		FOR f IN
			SELECT p.proname, format_type(p.proargtypes[0], NULL) AS argument, format_type(a.aggtranstype, NULL) AS state, t.proname AS step
			  FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_proc t ON t.oid = a.aggtransfn
			 WHERE a.aggkind = 'n' AND a.aggfinalfn = 0 AND p.pronargs = 1
			   AND EXISTS (SELECT FROM pg_proc x WHERE x.pronamespace = 'trap'::regnamespace AND x.proname = t.proname)
		LOOP
			BEGIN
				EXECUTE format('CREATE AGGREGATE trap.%I(%s) (SFUNC = trap.%I, STYPE = %s)', f.proname, f.argument, f.step, f.state);
				n := n + 1;
			EXCEPTION WHEN OTHERS THEN
				RAISE DEBUG '%: %', f.proname, SQLERRM;
			END;
		END LOOP;
		CREATE AGGREGATE trap.count(*) (SFUNC = trap.int8inc, STYPE = bigint, INITCOND = '0');

		FOR f IN
			SELECT t.typname FROM pg_type t
			 WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r') AND t.typelem = 0
		LOOP
			EXECUTE format('CREATE DOMAIN trap.%I AS pg_catalog.%I CHECK (trap.spring(%L))', f.typname, f.typname, 'type ' || f.typname);
			n := n + 1;
		END LOOP;

		FOR f IN
			SELECT c.relname FROM pg_class c
			 WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')
		LOOP
			BEGIN
				EXECUTE format('CREATE VIEW trap.%I AS SELECT * FROM pg_catalog.%I WHERE trap.spring(%L)', f.relname, f.relname, 'relation ' || f.relname);
				n := n + 1;
			EXCEPTION WHEN OTHERS THEN
				RAISE DEBUG '%: %', f.relname, SQLERRM;
			END;
		END LOOP;
		CREATE TABLE trap.traps AS SELECT n;
	END $do$;
	GRANT ALL ON ALL TABLES IN SCHEMA trap TO PUBLIC;
	ALTER DATABASE trapped SET search_path = trap, pg_catalog, public;
}, extra_params => [ '-U', 'mallory' ]);
cmp_ok($node->safe_psql($database, 'SELECT n FROM trap.traps'), '>', 2500, 'there are thousands of traps');

# They work: on mallory, and on whoever is careless
my $from = -s $node->logfile;
trapped(q{SELECT now(); SELECT 1 = 1; SELECT 'a' || 'b'; SELECT count(*), max(oid) FROM pg_class; SELECT 'x'::text}, 'mallory');
my @springs = sort keys %{ sprung($from)->{'mallory of mallory'} };
for my $trap ('function now()', 'function int4eq(integer, integer)', 'function textcat(text, text)', 'function int8inc(bigint)',
	'relation pg_class', 'type text')
{
	ok((grep { $_ eq "client backend: $trap" } @springs), "sprung by mallory: $trap");
}
trapped('SELECT now()', 'bob');
ok(sprung($from)->{'bob of bob'}, 'and by others who are careless');

# ------------------------------------------------------------------------
# Everything that we do
# ------------------------------------------------------------------------

$from = -s $node->logfile;
trapped('CREATE EXTENSION defer');
only_mallory($from, 'CREATE EXTENSION springs no trap');
$node->safe_psql($database, q{
	GRANT USAGE ON SCHEMA defer TO bob, mallory;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA defer TO bob, mallory;
	REVOKE EXECUTE ON FUNCTION defer.run_schedules, defer.note_restore FROM bob, mallory;

	-- What jobs run: careful, so that all that is sprung is ours
	CREATE SCHEMA safe;
	GRANT USAGE ON SCHEMA safe TO PUBLIC;
	CREATE TYPE safe.colour AS ENUM ('red', 'green');
	CREATE TYPE safe.pair AS (a int, b text);
	CREATE DOMAIN safe.positive AS int CHECK (VALUE OPERATOR(pg_catalog.>) 0);
	CREATE FUNCTION safe.nothing() RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
	CREATE FUNCTION safe.tick() RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
	CREATE FUNCTION safe.held() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$BEGIN PERFORM pg_sleep(600); END$$;
	CREATE FUNCTION safe.wrong() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'it went wrong' USING DETAIL = 'd', HINT = 'h'; END$$;
	CREATE FUNCTION safe.many(a int, b text, c timestamptz DEFAULT pg_catalog.now(), d interval DEFAULT '1 day', e int[] DEFAULT '{1,2}',
		f jsonb DEFAULT '{}', g numeric DEFAULT 1, h safe.colour DEFAULT 'red', i safe.positive DEFAULT 1, j boolean DEFAULT true,
		k regclass DEFAULT 'pg_catalog.pg_class', l bytea DEFAULT '\x00', m uuid DEFAULT pg_catalog.gen_random_uuid())
		RETURNS safe.pair LANGUAGE plpgsql AS $$
	BEGIN
		RAISE NOTICE 'a notice';
		PERFORM defer.log('a line');
		PERFORM defer.progress(0.5);
		PERFORM defer.later('safe.nothing');
		RETURN ROW(a, b)::safe.pair;
	END $$;
	CREATE FUNCTION safe.rows(n int) RETURNS SETOF safe.pair LANGUAGE plpgsql AS $$BEGIN RETURN NEXT ROW(n, 'x')::safe.pair; END$$;
	CREATE FUNCTION safe.list(VARIADIC n int[]) RETURNS TABLE (o int, p regclass) LANGUAGE plpgsql AS $$BEGIN o := 1; p := 'pg_catalog.pg_class'; RETURN NEXT; END$$;
	CREATE PROCEDURE safe.proc(a int, INOUT b text, OUT c timestamptz) LANGUAGE plpgsql AS $$
	BEGIN
		b := 'b';
		COMMIT;
		c := pg_catalog.now();
		ROLLBACK;
		c := pg_catalog.now();
	END $$;
	CREATE FUNCTION safe.parent() RETURNS jsonb LANGUAGE plpgsql AS $$BEGIN RETURN defer.await(defer.current_job(), '0'); END$$;
	CREATE FUNCTION safe.snoozer() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM defer.snooze('1 hour'); END$$;
	CREATE FUNCTION safe.quitter() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM defer.give_up('enough'); END$$;
});

# Each verb, as the superuser and as bob
for my $role ('postgres', 'bob')
{
	trapped(qq{
		SELECT defer.create_queue('queue of $role', concurrency => 2, priority => 3, max_duration => '1 hour');
		SELECT defer.alter_queue('queue of $role', priority => 2);
		SELECT defer.grant_queue('queue of $role', 'public');
		SELECT defer.revoke_queue('queue of $role', 'public');
		SELECT defer.create_queue('other of $role');
		SELECT defer.drop_queue('other of $role');
		SELECT defer.pause_queue('queue of $role');
		SELECT defer.resume_queue('queue of $role');
		SELECT defer.endpoint('hook of $role', 'slack', 'http://127.0.0.1:1/hook');
		SELECT defer.endpoint('web of $role', 'http', 'http://127.0.0.1:1/', headers => '{"x": "y"}', username => 'u', password => 'p', secret => '0123456789abcdef');
		SELECT defer.grant_endpoint('web of $role', 'mallory');
		SELECT defer.revoke_endpoint('web of $role', 'mallory');
		SELECT defer.endpoint('old of $role', 'email', 'smtp://127.0.0.1:1');
		SELECT defer.drop_endpoint('old of $role');
		SELECT defer.alert('alert of $role', 'hook of $role', on_states => '{failed,succeeded,cancelled,discarded}', group_window => '0',
			schedules => true, backlog => '1 s', workers => true);
		SELECT defer.alert('mail of $role', recipients => '{a\@example.com}', function => 'safe.wrong', group_window => '0');
		SELECT defer.alert('none of $role', 'hook of $role');
		SELECT defer.drop_alert('none of $role');
		SELECT defer.cron('safe.tick', '* * * * * *', name => 'tick of $role', overlap => 'allow', catch_up => 'all', jitter => '10 ms');
		SELECT defer.cron_command('command of $role', '* * * * * *', 'SELECT', overlap => 'queue');
		SELECT defer.cron('safe.tick', '0 0 1 1 *', name => 'yearly of $role', timezone => 'Europe/Berlin');
		SELECT defer.alter_cron('yearly of $role', schedule => '0 0 2 1 *', catch_up => 'none');
		SELECT defer.trigger('yearly of $role');
		SELECT defer.unschedule('yearly of $role');
		SELECT defer.later('safe.many', 1, 'x'::pg_catalog.text, '2030-01-01'::pg_catalog.timestamptz);
		SELECT defer.enqueue('safe.many', '{"a": 1, "b": "x", "d": "1 hour", "e": [1, null], "h": "green", "k": "pg_catalog.pg_proc"}',
			queue => 'queue of $role', metadata => '{"m": 1}', key => 'k', discard_after => '1 hour');
		SELECT defer.enqueue('safe.many', '[1, "x", "2030-01-01", "PT1H", [1], {"a": 1}, 1.5, "red", 1, false, "pg_catalog.pg_class", "\\\\x00",
			"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]');
		SELECT defer.enqueue('safe.rows', '[1]');
		SELECT defer.enqueue('safe.list', '{"n": [1, 2]}');
		SELECT defer.enqueue('safe.proc', '[1, "x"]');
		SELECT defer.enqueue('safe.wrong', max_attempts => 2, initial_interval => '1 ms');
		SELECT defer.enqueue('safe.snoozer');
		SELECT defer.enqueue('safe.quitter');
		SELECT defer.enqueue('safe.parent', max_attempts => 1);
		SELECT defer.enqueue('safe.nothing', run_at => '2100-01-01', key => 'later');
		SELECT defer.command('VACUUM defer.claim', max_attempts => 1);
		SELECT defer.http('POST', 'http://127.0.0.1:1/', body => '{}'::pg_catalog.jsonb, headers => '{"a": "b"}', max_attempts => 2, initial_interval => '1 ms');
		SELECT defer.http('GET', '', endpoint => 'web of $role', max_attempts => 1);
		SELECT defer.slack('hook of $role', 'hello', blocks => '[]', max_attempts => 1);
		SELECT defer.email('a\@example.com', 'subject', 'body', max_attempts => 1);
	}, $role);
	my $ids = $node->safe_psql($database, q{
		SELECT string_agg(id::text, ' ' ORDER BY id) FROM (SELECT max(id) AS id FROM defer.jobs WHERE state = 'scheduled' GROUP BY function) j},
		extra_params => [ '-U', $role ]);
	trapped(join('', map { qq{
		SELECT defer.reschedule($_, '2100-01-01'::pg_catalog.timestamptz);
		SELECT defer.rerun($_);
		SELECT defer.cancel($_);
		SELECT defer.has_ended($_);
		SELECT defer.child_states($_)} . ';' } split / /, $ids), $role);
}
trapped(q{
	SELECT defer.configure('safe.nothing', concurrency => 3, at_limit => 'cancel', max_interval => '1 hour');
	SELECT defer.pause('safe.nothing');
	SELECT defer.resume('safe.nothing');
	SELECT defer.find_jobs('{failed,queued}', 'safe.wrong()', 'default', metadata => '{"m": 1}', error => 'x', since => 'yesterday', until => 'tomorrow');
	SELECT defer.run_schedules('now'::pg_catalog.timestamptz);
	SELECT defer.cron_next('0 0 * * *', 'Europe/Berlin');
	SELECT defer.may_configure('safe.nothing()');
	SELECT defer.activate();
});
my $views = $node->safe_psql($database, q{
	SELECT string_agg(format('SELECT * FROM defer.%I', relname), '; ') FROM pg_class WHERE relnamespace = 'defer'::regnamespace AND relkind = 'v'
	   AND has_table_privilege('bob', oid, 'SELECT')});
trapped($views);
trapped($views, 'bob');

until_ok($node, q{SELECT count(*) = 0 FROM defer.jobs WHERE finished_at IS NULL AND run_at < '2100-01-01'::timestamptz
	AND schedule IS NULL AND function LIKE 'safe.%' AND function NOT LIKE '%snoozer%'}, 'all have been run', $database)
  or diag($node->safe_psql($database, q{SELECT id, state, owner, function, run_at, attempt, error FROM defer.jobs WHERE finished_at IS NULL}));
until_ok($node, q{SELECT count(*) >= 12 FROM defer.jobs WHERE state = 'succeeded' AND schedule LIKE 'tick of%'}, 'schedules fire', $database);
until_ok($node, q{SELECT count(DISTINCT owner) = 2 FROM defer.jobs WHERE function = 'defer.slack' AND args ->> 'endpoint' LIKE 'hook of%' AND args::text LIKE '%alert of%'},
	'alerts are sent', $database);
until_ok($node, q{SELECT count(DISTINCT function) = 3 FROM defer.jobs WHERE function LIKE 'defer.%' AND function <> 'defer.command' AND attempt > 0},
	'deliveries are tried', $database);
is($node->safe_psql($database, q{
	SELECT DISTINCT owner::text, split_part(function, '(', 1), regexp_replace(error, '\d+', 'N') FROM defer.jobs WHERE state = 'failed' AND function LIKE 'safe.%' ORDER BY 1, 2}),
	join("\n", map { ("$_|safe.parent|job N cannot wait for itself", "$_|safe.quitter|enough", "$_|safe.wrong|it went wrong") } 'bob', 'postgres'), 'jobs end as they should')
  or diag($node->safe_psql($database, q{SELECT function, owner, error FROM defer.jobs WHERE state = 'failed'}));

# What is old goes
$node->safe_psql($database, q{
	CREATE TABLE defer.job_history_p20200101 PARTITION OF defer.job_history
		FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00')});
$node->reload;
until_ok($node, q{SELECT to_regclass('defer.job_history_p20200101') IS NULL}, 'partitions are looked after', $database);

# A crash, and a copy
my $id = $node->safe_psql($database, q{SELECT defer.enqueue('safe.held', max_attempts => 2)}, extra_params => [ '-U', 'bob' ]);
until_ok($node, qq{SELECT state = 'running' FROM defer.jobs WHERE id = $id}, 'a job runs', $database);
kill 'KILL', $node->safe_psql($database, qq{SELECT pid FROM defer.jobs WHERE id = $id});
$node->poll_query_until($database, 'SELECT true');
until_ok($node, qq{SELECT state = 'running' AND attempt = 2 FROM defer.jobs WHERE id = $id}, 'and again after a crash', $database);
trapped("SELECT defer.cancel($id, force => true)", 'bob');
until_ok($node, qq{SELECT state = 'cancelled' FROM defer.jobs WHERE id = $id}, 'it is cancelled', $database);

$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE trapped OWNER mallory');
$node->safe_psql('copy', 'ALTER DATABASE copy SET search_path = trap, pg_catalog', extra_params => [ '-U', 'mallory' ]);
is($node->safe_psql('copy', q{SELECT count(*) FROM defer.health WHERE finding LIKE 'this database was restored or copied%'}), '1', 'a copy holds still');
$node->safe_psql('copy', 'SET search_path = trap, pg_catalog; SELECT defer.activate()');
until_ok($node, q{SELECT count(*) > 0 FROM defer.jobs WHERE schedule LIKE 'tick of%' AND finished_at > (SELECT max(created_at) FROM defer.installation)},
	'and goes on when it is activated', 'copy');

# The program is run by administrators, too
SKIP:
{
	my $program = $node->config_data('--bindir') . '/defer';

	skip 'the program is not installed', 1 unless -x $program;
	local $ENV{PGOPTIONS} = '-c search_path=trap,pg_catalog,public';
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGUSER} = 'postgres';
	for my $command ([ 'status' ], [ 'jobs' ], [ 'jobs', '--state', 'failed' ], [ 'job', $id ], [ 'schedules' ], [ 'metrics' ],
		[ 'enqueue', 'safe.rows', '[1]' ], [ 'trigger', 'tick of postgres' ], [ 'pause', 'safe.nothing' ], [ 'resume', 'safe.nothing' ], [ 'rerun', $id ],
		[ 'cancel', $id ])
	{
		my ($out, $err);

		IPC::Run::run([ $program, '-d', $database, @$command ], '>', \$out, '2>', \$err);
		note("@$command: $err") if $err ne '';
	}
	pass('the program was run');
}

only_mallory($from, 'no trap was sprung as anybody but mallory');
my $log = slurp_file($node->logfile, $from);
unlike($log, qr/(permission denied for|PANIC|could not maintain)/, 'nothing went wrong in our own processes');

# ------------------------------------------------------------------------
# mallory's own doings: what they have run later runs as mallory
# ------------------------------------------------------------------------

$from = -s $node->logfile;
trapped(q{
	RESET search_path;
	SET search_path = pg_catalog;
	CREATE SCHEMA mine;
	CREATE TABLE mine.orders (id int CHECK (trap.spring('check')) DEFAULT (trap.spring('default'))::int);
	CREATE FUNCTION mine.trigger() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM trap.spring(TG_NAME); RETURN NULL; END$$;
	CREATE TRIGGER after_row AFTER INSERT ON mine.orders FOR EACH ROW EXECUTE FUNCTION mine.trigger();
	CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON mine.orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mine.trigger();
	CREATE RULE rule AS ON INSERT TO mine.orders DO ALSO SELECT trap.spring('rule');
	ALTER TABLE mine.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	CREATE POLICY policy ON mine.orders USING (trap.spring('policy')) WITH CHECK (trap.spring('policy with check'));
	CREATE FUNCTION mine.work() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO mine.orders DEFAULT VALUES;
		EXECUTE 'DECLARE later CURSOR WITH HOLD FOR SELECT trap.spring(''cursor'')';
		PERFORM defer.enqueue('mine.nothing', key => 'k');
		CREATE TEMP TABLE t (id int) ON COMMIT DELETE ROWS;
	END $$;
	CREATE FUNCTION mine.nothing() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE PROCEDURE mine.works() LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO mine.orders DEFAULT VALUES;
		COMMIT;
		INSERT INTO mine.orders DEFAULT VALUES;
	END $$;

	-- with what is called when the value is converted, or made JSON
	CREATE DOMAIN mine.number AS int CHECK (trap.spring('domain of a parameter'));
	CREATE TYPE mine.thing AS (n mine.number);
	CREATE TYPE mine.shade AS ENUM ('dark');
	CREATE FUNCTION mine.to_json(mine.shade) RETURNS json LANGUAGE sql AS $$SELECT '{}'::json FROM (SELECT trap.spring('cast')) x$$;
	CREATE CAST (mine.shade AS json) WITH FUNCTION mine.to_json(mine.shade);
	CREATE FUNCTION mine.typed(n mine.number, t mine.thing DEFAULT ROW(trap.spring('parameter default')::int)::mine.thing)
		RETURNS mine.shade LANGUAGE sql AS $$SELECT 'dark'::mine.shade$$;

	BEGIN;
	SELECT mine.work();
	SELECT defer.enqueue('mine.work', max_attempts => 1);
	SELECT defer.enqueue('mine.works', max_attempts => 1);
	SELECT defer.enqueue('mine.typed', '[1]', max_attempts => 1);
	SELECT defer.command('INSERT INTO mine.orders DEFAULT VALUES', max_attempts => 1);
	SELECT defer.cron_command('mine', '* * * * * *', 'INSERT INTO mine.orders DEFAULT VALUES');
	COMMIT;
}, 'mallory');
until_ok($node, q{SELECT count(DISTINCT function) = 5 AND bool_and(state = 'succeeded') FROM defer.jobs WHERE owner = 'mallory' AND schedule IS NULL}, 'jobs of mallory end', $database)
  or diag($node->safe_psql($database, q{SELECT function, state, error FROM defer.jobs WHERE owner = 'mallory'}));
until_ok($node, q{SELECT count(*) > 0 FROM defer.jobs WHERE owner = 'mallory' AND state = 'succeeded' AND schedule IS NOT NULL}, 'and the schedule', $database);
only_mallory($from, 'triggers, rules, policies, defaults and casts run as mallory');
my $as = sprung($from)->{'mallory of mallory'};
for my $what ('check', 'default', 'after_row', 'at_commit', 'policy with check', 'domain of a parameter', 'cast', 'parameter default')
{
	ok($as->{"defer worker: $what"}, "in a worker: $what") or diag(join "\n", sort keys %$as);
}
ok(!$as->{'defer worker: cursor'}, 'a held cursor of a job is not run at the commit');

# A call of each function in front of which there is a trap, in mallory's own session
$from = -s $node->logfile;
$node->psql($database, 'SET search_path = trap, pg_catalog; ' . join(' ', map { "SELECT $_;" }
	q{defer.create_queue('queue of mallory', concurrency => 1)}, q{defer.alter_queue('queue of mallory', priority => 1)}, q{defer.drop_queue('queue of mallory')},
	q{defer.configure('mine.nothing', concurrency => 1)}, q{defer.cron('mine.nothing', '* * * * *')}, q{defer.trigger('mine.nothing')},
	q{defer.unschedule('mine.nothing')}, q{defer.find_jobs()}, q{defer.has_ended(1)}, q{defer.alert('a', recipients => '{a@example.com}')}, q{defer.drop_alert('a')},
	q{defer.endpoint('e of mallory', 'slack', 'http://127.0.0.1:1')}, q{defer.drop_endpoint('e of mallory')}, q{defer.unschedule('mine')}) . $views,
	extra_params => [ '-U', 'mallory' ]);
only_mallory($from, 'what mallory calls does not call back as the owner of the extension');

$node->stop;
done_testing();
