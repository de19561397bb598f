# What jobs need is dropped or renamed while they are queued and while they run:
# those jobs say why they fail, nobody else notices, and no DROP hangs.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 6
defer.retention = 0});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE gone LOGIN;
	GRANT USAGE ON SCHEMA defer TO gone;
	CREATE TABLE effect (job bigint);
	CREATE TABLE gate (open boolean);
	GRANT ALL ON effect, gate TO PUBLIC;
	CREATE SCHEMA app;
	GRANT USAGE ON SCHEMA app TO PUBLIC;
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	SELECT defer.cron('tick', '* * * * * *', overlap => 'allow', catch_up => 'all')});

# Functions that wait until the gate is open
my $gated = q{() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect VALUES (defer.current_job());
		WHILE NOT EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;};
$node->safe_psql('postgres', join("\n", map { "CREATE FUNCTION $_ $gated" } qw(dropped renamed moved app.inside of_role)));
my %queued;
my %running;

sub enqueue
{
	my ($function, $sql) = @_;

	# one that runs, and then one that waits behind it
	$sql //= '';
	$running{$function} = $node->safe_psql('postgres', "$sql SELECT defer.enqueue('$function', max_attempts => 1)");
	until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $running{$function}", "$function runs");
	$queued{$function} = $node->safe_psql('postgres', "$sql SELECT defer.enqueue('$function', max_attempts => 1, delay => '1 hour')");
	return;
}

sub ddl_ok
{
	my ($sql, $database) = @_;
	my ($out, $err);

	is($node->psql($database // 'postgres', "SET statement_timeout = '90 s';\n$sql;", stdout => \$out, stderr => \$err), 0, $sql)
	  or diag($err);
	return;
}

enqueue('dropped');
enqueue('renamed');
enqueue('moved');
enqueue('app.inside');
enqueue('of_role', 'SET ROLE gone;');
ddl_ok('DROP FUNCTION dropped()');
ddl_ok('ALTER FUNCTION renamed() RENAME TO has_a_new_name');
ddl_ok('ALTER FUNCTION moved() SET SCHEMA app');
ddl_ok('DROP SCHEMA app CASCADE');
ddl_ok('DROP OWNED BY gone');
ddl_ok('DROP ROLE gone');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
for my $function (sort keys %running)
{
	until_ok($node, "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $running{$function}", "$function: what ran ends");
	is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $running{$function}"),
		'succeeded', "$function: and has succeeded");
	$node->safe_psql('postgres', "SELECT defer.reschedule($queued{$function})");
	until_ok($node, "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $queued{$function}", "$function: what was queued ends");
	like($node->safe_psql('postgres', "SELECT state || ': ' || error FROM defer.jobs WHERE id = $queued{$function}"),
		qr/^failed: .*does not exist/, "$function: and says why");
}

# A schedule whose function goes, beside one whose function stays
$node->safe_psql('postgres', q{
	CREATE FUNCTION short_lived() RETURNS void LANGUAGE sql AS 'INSERT INTO effect VALUES (defer.current_job())';
	SELECT defer.cron('short_lived', '* * * * * *', name => 'short', overlap => 'allow')});
until_ok($node, q{SELECT count(*) > 0 FROM defer.jobs WHERE schedule = 'short' AND state = 'succeeded'}, 'a schedule fires');
$node->safe_psql('postgres', 'SELECT defer.configure(\'short_lived\', max_attempts => 1)');
ddl_ok('DROP FUNCTION short_lived()');
until_ok($node, q{
	SELECT EXISTS (SELECT FROM defer.jobs WHERE schedule = 'short' AND error LIKE '%does not exist%')
		OR EXISTS (SELECT FROM defer.health WHERE finding LIKE 'schedule "short"%')}, 'without its function it says so');

# A database in full use is copied, and goes on
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 20000)});
ddl_ok('CREATE DATABASE copy TEMPLATE postgres', 'template1');
is($node->safe_psql('copy', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%restored or copied%'}), '1', 'the copy is still');
until_ok($node, q{SELECT count(*) = 20000 FROM defer.jobs WHERE function = 'public.work()' AND state = 'succeeded'},
	'the original goes on');
is($node->safe_psql('copy', q{SELECT count(*) FROM defer.jobs WHERE state IN ('running', 'failed') AND function = 'public.work()'}), '0',
	'nothing of it is running or failed in the copy');
$node->safe_psql('copy', 'SELECT defer.activate()');
until_ok($node, q{SELECT count(*) = 20000 AND count(DISTINCT job) = count(*)
	FROM effect JOIN defer.jobs j ON j.id = job WHERE j.function = 'public.work()'}, 'activated, the copy ends each job once, too', 'copy');
ddl_ok('DROP DATABASE copy', 'template1');

# All our own, under load
$node->safe_psql('postgres', 'CREATE DATABASE other');
for my $round (1 .. 2)
{
	$node->safe_psql('other', q{
		CREATE EXTENSION defer;
		CREATE TABLE IF NOT EXISTS effect (job bigint);
		CREATE OR REPLACE FUNCTION nap() RETURNS void LANGUAGE sql AS 'INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(0.02)';
		SELECT defer.cron_command('each second', '* * * * * *', 'SELECT 1');
		SELECT count(defer.enqueue('nap')) FROM generate_series(1, 1000)});
	until_ok($node, q{SELECT EXISTS (SELECT FROM defer.workers WHERE database = 'other' AND job_id IS NOT NULL)}, "round $round: under load");
	ddl_ok('DROP EXTENSION defer', 'other');
	until_ok($node, q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'other' AND backend_type LIKE 'defer%')},
		"round $round: our processes are gone");
}
$node->safe_psql('other', q{CREATE EXTENSION defer; SELECT count(defer.enqueue('nap')) FROM generate_series(1, 1000)});
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.workers WHERE database = 'other' AND job_id IS NOT NULL)}, 'under load again');
ddl_ok('DROP DATABASE other');

quiesce($node);
history_ok($node, [], what => 'at the end', ticks => ['tick']);
$node->stop;
done_testing();
