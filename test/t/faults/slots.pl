# No background worker is free, no connection is to be had: work waits, the log
# has one warning, defer.health says so, and it goes on when there is room.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $library = test_library();
my $node = new_server('main', q{defer.max_workers = 4
defer.worker_idle_timeout = 0
max_worker_processes = 6
max_connections = 12
superuser_reserved_connections = 3
max_wal_senders = 0});

$node->safe_psql('postgres', qq{
	CREATE FUNCTION hold_slots(library text) RETURNS int LANGUAGE c AS '$library', 'hold_slots';
	CREATE TABLE effect (job bigint);
	SET check_function_bodies = off;
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	CREATE ROLE ann LOGIN;
	GRANT INSERT ON effect TO ann});

# Take all that are free, and those that others are about to give back
sub hold_all
{
	my ($n) = @_;

	until_ok($node, "SELECT hold_slots('$library') = 0
		AND (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'slot holder') = $n", "$n slots are held");
	return;
}

sub release_all
{
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'slot holder'});
	return;
}

sub warnings_like
{
	my ($pattern) = @_;

	return scalar(() = slurp_log($node) =~ /WARNING:  $pattern/g);
}

# No slot for a scheduler
hold_all(4);
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	GRANT USAGE ON SCHEMA defer TO ann;
	SELECT defer.enqueue('work')});
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.health WHERE finding LIKE 'no scheduler runs%' AND hint LIKE '%max_worker_processes%')},
	'no scheduler: defer.health says so');
is(warnings_like('no background worker is free for a scheduler'), 1, 'no scheduler: one warning');
is($node->safe_psql('postgres', 'SELECT count(*) FROM effect'), '0', 'no scheduler: work waits');
release_all();
settled($node, 'no scheduler: goes on');
is(warnings_like('no background worker is free for a scheduler'), 1, 'no scheduler: it was told once');

# No slot for a worker
hold_all(3);
for my $number (1 .. 4)
{
	# each of them wakes the scheduler, which tries
	$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 5)});
	until_ok($node, q{SELECT EXISTS (SELECT FROM defer.health WHERE finding LIKE 'a worker could not be started%' AND hint LIKE '%max_worker_processes (now 6)%')},
		"no worker, $number: defer.health says so");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE state = 'queued'}), '20', 'no worker: work waits');
release_all();
settled($node, 'no worker: goes on');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.health)}, 'no worker: all is well again');
is(warnings_like('no background worker is free to run jobs'), 1, 'no worker: one warning');

# Limits of sessions are none of background workers, or are waited for
$node->safe_psql('postgres', q{
	ALTER ROLE ann CONNECTION LIMIT 0;
	ALTER DATABASE postgres CONNECTION LIMIT 0;
	SET ROLE ann;
	SELECT defer.enqueue('work')});
settled($node, 'CONNECTION LIMIT 0: jobs run');
$node->safe_psql('postgres', q{
	ALTER ROLE ann CONNECTION LIMIT -1;
	ALTER DATABASE postgres CONNECTION LIMIT -1});
my $session = $node->background_psql('postgres', extra_params => [ '-U', 'ann' ]);
$node->safe_psql('postgres', q{
	ALTER ROLE ann CONNECTION LIMIT 0;
	SET ROLE ann;
	SELECT defer.enqueue('work');
	RESET ROLE;
	SELECT defer.enqueue('work')});
until_ok($node, q{SELECT bool_and(state = 'succeeded') FROM defer.jobs WHERE owner = 'postgres'},
	'more sessions than the limit: others are not touched');
$session->quit;
settled($node, 'more sessions than the limit: when they have gone, all run');
$node->safe_psql('postgres', 'ALTER ROLE ann CONNECTION LIMIT -1');

# No connection is left for those who are not superusers.  Up to 16 this is for
# background workers, too.
my @sessions = map { $node->background_psql('postgres', extra_params => [ '-U', 'ann' ]) } 1 .. 9;
$node->safe_psql('postgres', q{
	SELECT defer.enqueue('work');
	SET ROLE ann;
	SELECT defer.enqueue('work')});
until_ok($node, q{
	SELECT bool_and(state = 'succeeded') OR EXISTS (SELECT FROM defer.health WHERE finding LIKE 'workers are started and cannot connect%')
	  FROM defer.jobs WHERE owner = 'ann'}, 'no connection: jobs run, or defer.health says why not');
until_ok($node, q{SELECT bool_and(state = 'succeeded') FROM defer.jobs WHERE owner = 'postgres'},
	'no connection: jobs of superusers run');
$_->quit for @sessions;
settled($node, 'no connection: when they have gone, all run');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.health)}, 'no connection: all is well again');
cmp_ok(warnings_like('a worker for role'), '<=', 2, 'no connection: one warning each time');
history_ok($node, [], what => 'at the end');
$node->stop;
done_testing();
