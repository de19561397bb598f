# A server that was restored from a base backup is still until defer.activate();
# a standby that takes over is not, and neither is a server that has crashed.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('original', q{defer.max_workers = 4
defer.retention = 0});
my $setup = q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	-- ends on the original once the backup is there, and at once in a copy
	CREATE TABLE backed_up (at timestamptz);
	CREATE FUNCTION sleepy() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		WHILE current_setting('cluster_name') = 'original' AND NOT EXISTS (SELECT FROM backed_up) LOOP
			PERFORM pg_sleep(0.01);
		END LOOP;
	END $$;
	SELECT defer.cron('work', '* * * * * *', overlap => 'allow')};
my $restored = q{SELECT EXISTS (SELECT FROM defer.health WHERE finding LIKE '%restored or copied%')};

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', 'CREATE DATABASE without');
$node->safe_psql($_, $setup) for ('postgres', 'other');
until_ok($node, q{SELECT count(*) > 0 FROM effect}, 'the original works');

# taken while jobs run
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('sleepy')) FROM generate_series(1, 4)});
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.jobs WHERE state = 'running')}, 'jobs run');
$node->backup('base');
$node->safe_psql('postgres', 'INSERT INTO backed_up VALUES (now())');

sub still
{
	my ($copy, $what, $database) = @_;

	until_ok($copy, $restored, "$what: $database is still", $database);
	is($copy->safe_psql($database, q{SELECT count(*) FROM defer.jobs WHERE started_at > pg_postmaster_start_time()}), '0',
		"$what: nothing has run in $database");
	is($copy->safe_psql($database, q{SELECT count(*) FROM defer.jobs WHERE state = 'running'}), '0', "$what: nothing runs");
	return;
}

sub gone
{
	my ($copy, $what) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if !-e $copy->data_dir . '/defer.restored';
		select(undef, undef, undef, 0.1);
	}
	ok(!-e $copy->data_dir . '/defer.restored', "$what: all databases have been looked into");
	return;
}

# Started as a second primary
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'base');
$copy->start;
still($copy, 'base backup', $_) for ('postgres', 'other');
gone($copy, 'base backup');
$copy->stop('immediate');
$copy->start;
still($copy, 'base backup, after a crash', $_) for ('postgres', 'other');
$copy->safe_psql('postgres', 'SELECT defer.activate()');
until_ok($copy, q{SELECT count(*) FILTER (WHERE function LIKE '%sleepy()') = 4 AND count(*) FILTER (WHERE schedule = 'work') > 2
	FROM defer.jobs WHERE state = 'succeeded' AND finished_at > pg_postmaster_start_time()}, 'activated, it works');
$copy->restart;
is($copy->safe_psql('postgres', $restored), 'f', 'and does so after a restart');
still($copy, 'base backup, restarted', 'other');
$copy->safe_psql('without', $setup);
until_ok($copy, q{SELECT count(*) > 0 FROM effect}, 'a database that gets the extension here works', 'without');
$copy->stop;

# Restored to a point in time
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
my $point = PostgreSQL::Test::Cluster->new('point');
$point->init_from_backup($node, 'base');
$point->set_recovery_mode;
$point->append_conf('postgresql.conf', q{restore_command = 'false'
recovery_target = 'immediate'
recovery_target_action = 'promote'});
$point->start;
until_ok($point, 'SELECT NOT pg_is_in_recovery()', 'restored to a point in time');
still($point, 'point in time', $_) for ('postgres', 'other');
gone($point, 'point in time');

# A standby of the restored server takes over: it is what its primary was
$point->safe_psql('other', 'SELECT defer.activate()');
$point->append_conf('postgresql.conf', q{restore_command = ''
recovery_target = ''});
$point->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($point, 'base', has_streaming => 1);
$standby->start;
$point->wait_for_catchup($standby, 'replay', $point->lsn('write'));
$point->stop;
$standby->promote;
until_ok($standby, q{SELECT count(*) > 0 FROM defer.jobs WHERE state = 'succeeded' AND finished_at > pg_postmaster_start_time()},
	'standby: what was active goes on', 'other');
still($standby, 'standby', 'postgres');
$standby->restart;
is($standby->safe_psql('other', $restored), 'f', 'standby: also after a restart');
$standby->stop;

# The original never noticed
is($node->safe_psql($_, $restored), 'f', "the original is active: $_") for ('postgres', 'other');
quiesce($node);
history_ok($node, [], what => 'the original', ticks => []);
$node->stop;
done_testing();
