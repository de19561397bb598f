# Nothing fires in a restored dump or in a template copy until defer.activate();
# then everything goes on.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'defer'
max_worker_processes = 24
fsync = off
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE original');
$node->safe_psql('original', q{
	CREATE ROLE app LOGIN;
	CREATE EXTENSION defer;
	GRANT USAGE ON SCHEMA defer TO app;
	CREATE TABLE ran (arg text);
	GRANT INSERT ON ran TO app;
	CREATE FUNCTION work(arg text) RETURNS void LANGUAGE sql AS 'INSERT INTO public.ran VALUES (arg)';
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS $$INSERT INTO public.ran VALUES ('tick')$$;
	CREATE FUNCTION fail() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'said'; RAISE EXCEPTION 'no'; END$$;
	SELECT defer.configure('work', max_attempts => 5, priority => 3, group_by => 'arg');
	SELECT defer.create_queue('special', concurrency => 2, group_by => 'metadata.tenant');
	SELECT defer.grant_queue('special', 'app');
	CREATE TABLE parts (what text);
	GRANT INSERT, SELECT ON parts TO app;
	CREATE FUNCTION part(what text) RETURNS text LANGUAGE sql AS 'INSERT INTO public.parts VALUES (what) RETURNING what';
	CREATE FUNCTION parked(what text) RETURNS text LANGUAGE sql AS 'INSERT INTO public.parts VALUES (what) RETURNING what';
	SELECT defer.pause('parked')});

# History of two days in partitions as the scheduler makes them, unless it has made them already
$node->safe_psql('original', q{
	DO $$ DECLARE
		t text;
		day date;
	BEGIN
		FOREACH t IN ARRAY ARRAY['job_history', 'attempt', 'log'] LOOP
			FOR i IN -1..1 LOOP
				day := (now() AT TIME ZONE 'UTC')::date + i;
				IF to_regclass(format('defer.%s_p%s', t, to_char(day, 'YYYYMMDD'))) IS NULL THEN
					EXECUTE format('CREATE TABLE defer.%s_p%s PARTITION OF defer.%s FOR VALUES FROM (%L) TO (%L)',
						t, to_char(day, 'YYYYMMDD'), t, day || ' 00:00+00', day + 1 || ' 00:00+00');
				END IF;
			END LOOP;
		END LOOP;
	END $$});
$node->safe_psql('original', q{
	SET ROLE app;
	SELECT defer.enqueue('work', '["before"]', key => 'held', key_for => '1 day'), defer.enqueue('fail', max_attempts => 1)});
ok($node->poll_query_until('original', q{
	SELECT count(*) = 2 FROM defer.jobs WHERE state IN ('succeeded', 'failed')}), 'some history');

# What waits: due in two seconds, in a day, every second
$node->safe_psql('original', q{
	SET ROLE app;
	SELECT defer.enqueue('work', '["waited"]', delay => '1 day', queue => 'special'),
		defer.enqueue('work', '["soon"]', delay => '2 hours', key => 'k', metadata => '{"m": 1}');
	SELECT defer.cron('tick', 'every 1 second', name => 'each second', group_key => 'acme')});
# A workflow on its way: what it comes after has ended, waits, and has made jobs
$node->safe_psql('original', q{
	SET ROLE app;
	SELECT defer.workflow('dumped', '[
		{"name": "done", "function": "part", "args": ["done"]},
		{"name": "waits", "function": "part", "args": ["waits"], "after": ["done"], "delay": "1 day"},
		{"name": "later", "function": "part", "args": [{"$input": "done"}], "after": ["waits"]},
		{"name": "each", "function": "parked", "for_each": ["x", "y"]},
		{"name": "inner", "workflow": [{"name": "i", "function": "parked", "args": ["i"]}, {"name": "j", "function": "part", "args": [{"$input": "i"}]}]},
		{"name": "last", "function": "part", "args": ["last"], "after": ["later", "each", "inner"]}]');
	SELECT defer.cron_workflow('yearly', '0 0 1 1 *', '[{"name": "a", "function": "part", "args": ["yearly"]}]')});
ok($node->poll_query_until('original', q{
	SELECT count(*) FILTER (WHERE s.state = 'succeeded') = 1 AND sum(jobs) = 3 FROM defer.workflow_steps s JOIN defer.workflows w ON w.id = s.workflow_id
	 WHERE w.name = 'dumped'}), 'a workflow on its way');
ok($node->poll_query_until('original', q{SELECT count(*) >= 2 FROM ran WHERE arg = 'tick'}), 'the schedule fires');
$node->safe_psql('original', q{ALTER SYSTEM SET defer.enabled = off; SELECT pg_reload_conf()});
ok($node->poll_query_until('original', q{
	SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE state IN ('running', 'queued') AND function NOT LIKE '%parked%')
	   AND NOT EXISTS (SELECT FROM defer.health WHERE severity = 'error')}), 'all quiet');

# Make what waits due, as if time had passed: the copies must not run it
$node->safe_psql('original', q{
	UPDATE defer.job SET run_at = now() - interval '1 minute' WHERE waits IS NULL});
# A role that is gone when the dump is made: its number is another role's elsewhere
$node->safe_psql('original', q{
	CREATE ROLE leaver LOGIN;
	GRANT USAGE ON SCHEMA defer TO leaver;
	GRANT EXECUTE ON FUNCTION defer.endpoint, defer.slack, defer.alert TO leaver;
	SET ROLE leaver;
	SELECT defer.command('SELECT 1', delay => '1 year', key => 'gone', key_for => '1 year'), defer.cron_command('each year', '0 0 1 1 *', 'SELECT 1'),
		defer.endpoint('secret', 'slack', 'https://peer.example/'), defer.alert('mine', 'secret');
	RESET ROLE;
	REVOKE ALL ON SCHEMA defer FROM leaver;
	REVOKE ALL ON FUNCTION defer.endpoint, defer.slack, defer.alert FROM leaver;
	DROP ROLE leaver});
my $orphans = q{
	SELECT (SELECT count(*) FROM defer.job WHERE owner::text ~ '^\d'), (SELECT count(*) FROM defer.schedule WHERE owner::text ~ '^\d'),
		(SELECT count(*) FROM defer.endpoint WHERE owner::text ~ '^\d'), (SELECT count(*) FROM defer.alert WHERE owner::text ~ '^\d'),
		(SELECT count(*) FROM defer.key_hold WHERE owner::text ~ '^\d')};
is($node->safe_psql('original', $orphans), '1|1|1|1|1', 'the role that is gone left something');
my $dump = $node->basedir . '/original.sql';
my $folder = $node->basedir . '/original.dir';
my $inserts = $node->basedir . '/inserts.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('original'), '-f', $dump ], 'pg_dump');
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-d', $node->connstr('original'), '-f', $folder ], 'pg_dump -Fd');
$node->command_ok([ 'pg_dump', '--inserts', '-d', $node->connstr('original'), '-f', $inserts ], 'pg_dump --inserts');
$node->safe_psql('original', "DELETE FROM defer.$_ WHERE owner::text ~ '^[0-9]'") for qw(job schedule alert endpoint key_hold);
my $jobs = $node->safe_psql('original', 'SELECT id, function, args, state, queue, priority, owner, attempt, error, key, metadata, group_key FROM defer.jobs ORDER BY id');
my $attempts = $node->safe_psql('original', 'SELECT * FROM defer.attempts ORDER BY 1, 2');
my $logs = $node->safe_psql('original', 'SELECT * FROM defer.logs ORDER BY 1, 2, 3');
my $schedules = $node->safe_psql('original', 'SELECT id, name, function, schedule, owner, active, group_key FROM defer.schedules');
my $settings = $node->safe_psql('original', q{
	SELECT function, max_attempts, priority, group_by FROM defer.functions WHERE max_attempts IS NOT NULL
	UNION ALL SELECT queue, NULL, NULL, group_by FROM defer.queues});
my $steps = $node->safe_psql('original', 'SELECT * FROM defer.workflow_steps ORDER BY workflow_id, ord');
my $ran = $node->safe_psql('original', 'SELECT count(*) FROM ran');

$node->safe_psql('postgres', 'CREATE DATABASE template_copy TEMPLATE original');
pass('CREATE DATABASE ... TEMPLATE of a database that is served');
$node->safe_psql('postgres', "CREATE DATABASE $_") for ('dump_copy', 'folder_copy', 'inserts_copy');
$node->safe_psql('original', q{ALTER SYSTEM RESET defer.enabled; SELECT pg_reload_conf()});

# Restores while everything is enabled
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('dump_copy'), '-f', $dump ],
	'restore with psql');
$node->command_ok([ 'pg_restore', '-e', '-j', '3', '-d', $node->connstr('folder_copy'), $folder ],
	'restore with pg_restore -j');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('inserts_copy'), '-f', $inserts ],
	'restore of INSERTs');

my @copies = ('template_copy', 'dump_copy', 'folder_copy', 'inserts_copy');
is($node->safe_psql($_, $orphans), '0|0|0|0|0', "$_: nothing of the role that is gone") for @copies[1 .. 3];
# The original goes on meanwhile: so there has been time enough
ok($node->poll_query_until('original', "SELECT count(*) >= $ran + 3 FROM ran"), 'the original goes on');
sleep(2);
for my $copy (@copies)
{
	is($node->safe_psql($copy, 'SELECT count(*) FROM ran'), $ran, "$copy: nothing has fired");
	is($node->safe_psql($copy, q{SELECT hint LIKE '%defer.activate()%' FROM defer.health WHERE finding LIKE '%restored or copied%'}),
		't', "$copy: defer.health says so");
	is($node->safe_psql($copy, 'SELECT id, function, args, state, queue, priority, owner, attempt, error, key, metadata, group_key FROM defer.jobs ORDER BY id'),
		$jobs, "$copy: the same jobs");
	is($node->safe_psql($copy, 'SELECT * FROM defer.attempts ORDER BY 1, 2'), $attempts, "$copy: the same attempts");
	is($node->safe_psql($copy, 'SELECT * FROM defer.logs ORDER BY 1, 2, 3'), $logs, "$copy: the same messages");
	is($node->safe_psql($copy, 'SELECT id, name, function, schedule, owner, active, group_key FROM defer.schedules'),
		$schedules, "$copy: the same schedules");
	is($node->safe_psql($copy, 'SELECT * FROM defer.workflow_steps ORDER BY workflow_id, ord'), $steps, "$copy: the same steps of workflows");
	is($node->safe_psql($copy, q{
		SELECT function, max_attempts, priority, group_by FROM defer.functions WHERE max_attempts IS NOT NULL
	UNION ALL SELECT queue, NULL, NULL, group_by FROM defer.queues}),
		$settings, "$copy: the same settings");

	# What is new waits with the old
	$node->safe_psql($copy, q{SET ROLE app; SELECT defer.enqueue('work', '["new"]')});
}
sleep(1);
for my $copy (@copies)
{
	is($node->safe_psql($copy, 'SELECT count(*) FROM ran'), $ran, "$copy: new jobs wait too");
	my ($status, $out, $err) = $node->psql($copy, 'SET ROLE app; SELECT defer.activate()');
	like($err, qr/permission denied/, "$copy: not everybody may activate it");
	$node->safe_psql($copy, 'SELECT defer.activate()');
	ok($node->poll_query_until($copy, q{
		SELECT count(*) = 3 FROM ran WHERE arg IN ('waited', 'soon', 'new')}), "$copy: active, its jobs run");
	ok($node->poll_query_until($copy, "SELECT count(*) >= $ran + 5 FROM ran"), "$copy: its schedule fires");
	$node->safe_psql($copy, q{SELECT defer.resume('parked')});
	ok($node->poll_query_until($copy, q{SELECT count(*) = 2 FROM defer.workflows WHERE state = 'succeeded' AND unfinished = 0}), "$copy: the workflow ends");
	is($node->safe_psql($copy, q{SELECT string_agg(what, ' ' ORDER BY what COLLATE "C") FROM parts}), 'done done i i last waits x y',
		"$copy: each of its steps once");
	$node->safe_psql($copy, q{SET ROLE app; SELECT defer.trigger('yearly')});
	ok($node->poll_query_until($copy, q{SELECT count(*) = 1 FROM parts WHERE what = 'yearly'}), "$copy: the schedule of a workflow starts it");
	is($node->safe_psql($copy, q{SET ROLE app; SELECT outcome FROM defer.enqueue_one('work', '["held"]', key => 'held')}), 'kept',
		"$copy: a key counts as long as it did");
	is($node->safe_psql($copy, q{SELECT count(*), count(DISTINCT arg) FROM ran WHERE arg <> 'tick'}), '4|4',
		"$copy: each job once");
	is($node->safe_psql($copy, q{SELECT count(*) FROM defer.health WHERE severity = 'error'}), '0',
		"$copy: nothing is wrong");
	my ($again, $none, $notice) = $node->psql($copy, 'SELECT defer.activate()');
	like($notice, qr/active in this database already/, "$copy: once is enough");
	# No id twice
	is($node->safe_psql($copy, q{SELECT count(*) = count(DISTINCT id) FROM defer.jobs}), 't', "$copy: ids are unique");
	$node->safe_psql($copy, q{SET ROLE app; SELECT defer.unschedule('each second')});
}

# A restore loads tables in any order: the identity may be there before all that waits for it
foreach my $how ('COPY defer.origin FROM STDIN', q{SET check_function_bodies = off; INSERT INTO defer.origin VALUES (gen_random_uuid())})
{
	my $name = $how =~ /COPY/ ? 'early_copy' : 'early_insert';
	my $schedulers = "SELECT count(*) FROM pg_stat_activity WHERE datname = '$name' AND backend_type = 'defer scheduler'";

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, 'CREATE EXTENSION defer');
	ok($node->poll_query_until($name, $schedulers, '1'), "$name: a new installation is served");
	$node->safe_psql($name, $how =~ /COPY/ ? "$how;\n11111111-1111-1111-1111-111111111111\n\\.\n" : $how);
	ok($node->poll_query_until($name, $schedulers, '0'), "$name: and no more when the identity of another has come");
}

# Each table may be the first that comes
$node->safe_psql('postgres', 'CREATE DATABASE any_table');
$node->safe_psql('any_table', 'CREATE EXTENSION defer');
my @dumped = split /\n/, $node->safe_psql('any_table', q{
	SELECT c.oid::regclass FROM pg_extension e JOIN pg_class c ON c.oid = ANY (e.extconfig)
	 WHERE e.extname = 'defer' AND c.relkind = 'r' AND c.relname <> 'origin' ORDER BY 1});
is($node->safe_psql('any_table', join(';', map { "BEGIN; COPY $_ FROM '/dev/null'; SELECT '$_' FROM defer.origin HAVING count(*) = 1; ROLLBACK" } @dumped)),
	'', 'rows of any of ' . @dumped . ' tables hold the database back');
$node->safe_psql('any_table', q{COPY defer.bulk (id, owner, action, force) FROM STDIN;
1	10	cancel	f
\.
});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'any_table' AND backend_type = 'defer scheduler'}),
	'its scheduler leaves when a command on many jobs comes before its job');
is($node->safe_psql('any_table', 'SELECT count(*) FROM defer.bulk'), '1', 'which is not removed');

# A copy of a copy, and a renamed database
$node->safe_psql('postgres', 'CREATE DATABASE second TEMPLATE dump_copy');
is($node->safe_psql('second', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%restored or copied%'}), '1',
	'a copy of a copy is one');
$node->safe_psql('postgres', 'ALTER DATABASE dump_copy RENAME TO renamed');
is($node->safe_psql('renamed', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%restored or copied%'}), '0',
	'a renamed database is none');
$node->safe_psql('renamed', q{SET ROLE app; SELECT defer.enqueue('work', '["renamed"]')});
ok($node->poll_query_until('renamed', q{SELECT count(*) = 1 FROM ran WHERE arg = 'renamed'}), 'and goes on');

# Who can dump: defer's tables hold what belongs to all roles, so the owner of the
# database alone cannot; without the schema defer, or as a reader of all data
$node->safe_psql('postgres', q{CREATE ROLE database_owner LOGIN; CREATE ROLE reader LOGIN IN ROLE pg_read_all_data});
$node->safe_psql('postgres', 'ALTER DATABASE renamed OWNER TO database_owner');
$node->safe_psql('renamed', 'CREATE TABLE theirs (a int); ALTER TABLE theirs OWNER TO database_owner; INSERT INTO theirs VALUES (42)');
$node->safe_psql('renamed', 'GRANT SELECT ON ALL TABLES IN SCHEMA public TO database_owner');
my $partial = $node->basedir . '/partial.sql';
$node->command_checks_all([ 'pg_dump', '-U', 'database_owner', '-d', $node->connstr('renamed'), '-f', $partial ], 1, [], [ qr/permission denied/ ],
	'the owner of the database cannot dump the tables of defer');
$node->command_ok([ 'pg_dump', '-U', 'database_owner', '-N', 'defer', '-d', $node->connstr('renamed'), '-f', $partial ],
	'but all else, with -N defer');
$node->command_ok([ 'pg_dump', '-U', 'reader', '-d', $node->connstr('renamed'), '-f', $dump ], 'a member of pg_read_all_data dumps all');
for my $file ($partial, $dump)
{
	my $all = $file eq $dump;
	my $name = $all ? 'from_reader' : 'from_owner';

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($name), '-f', $file ], "$name: restore");
	is($node->safe_psql($name, 'SELECT a FROM theirs'), '42', "$name: the table is there");
	is($node->safe_psql($name, q{SELECT count(*) > 0 FROM defer.jobs}), $all ? 't' : 'f', "$name: the jobs are " . ($all ? '' : 'not ') . 'there');
	is($node->safe_psql($name, q{SELECT count(*) FROM defer.health WHERE finding LIKE '%restored or copied%'}), $all ? '1' : '0',
		"$name: " . ($all ? 'a copy' : 'a new installation'));
}

$node->stop('fast');
done_testing();
