# A move to another server by logical replication, as doc/operating.md has it: tables of the
# application are replicated, defer's are dumped at the switch.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $blue = new_server('blue', "wal_level = logical\ndefer.max_workers = 2");
my $green = new_server('green', "wal_level = logical\ndefer.max_workers = 2");

$blue->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE app;
	CREATE TABLE effect (job bigint PRIMARY KEY);
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS 'INSERT INTO public.effect VALUES (defer.current_job())';
	CREATE FUNCTION late() RETURNS void LANGUAGE sql AS 'SELECT public.work()';
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS 'SELECT public.work()';
	CREATE VIEW open_jobs AS SELECT id FROM defer.jobs WHERE state <> 'succeeded';
	GRANT USAGE ON SCHEMA defer TO app;
	SELECT defer.create_queue('slow', concurrency => 1);
	SELECT defer.configure('late', queue => 'slow');
	SELECT defer.cron('tick', '0 0 1 1 *', timezone => 'Europe/Berlin');
	SELECT count(defer.enqueue('work')) FROM generate_series(1, 20);
	SELECT count(defer.enqueue('late', run_at => now() + interval '1 hour')) FROM generate_series(1, 10)});
until_ok($blue, q{SELECT count(*) = 20 FROM effect}, 'jobs run');

# Before the switch
$blue->safe_psql('postgres', 'CREATE PUBLICATION upgrade FOR TABLES IN SCHEMA public');
$green->safe_psql('postgres', 'CREATE ROLE app');
my $dump_folder = PostgreSQL::Test::Utils::tempdir;
sub dump_over
{
	my ($what, @options) = @_;
	my ($from, $to) = ($blue->connstr('postgres'), $green->connstr('postgres'));

	command_ok([ 'sh', '-c', "set -e; pg_dump @options -f $dump_folder/dump.sql -d '$from';"
		. " psql -XqAt -1 -v ON_ERROR_STOP=1 -f $dump_folder/dump.sql -d '$to'" ], $what);
	return;
}
dump_over('definitions', '--schema-only', '--no-publications');
my $connection = $blue->connstr('postgres') =~ s/'/''/gr;
$green->safe_psql('postgres', "CREATE SUBSCRIPTION upgrade CONNECTION '$connection' PUBLICATION upgrade");
$blue->wait_for_catchup('upgrade');
until_ok($green, q{SELECT count(*) = 20 FROM effect}, 'tables of the application are replicated');
is($green->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs}), '0', 'jobs are not');
is($green->safe_psql('postgres', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%subscription%'}), '0',
	'the subscription has none of our tables');

# The switch
$blue->safe_psql('postgres', q{SELECT defer.enqueue('work')});
$blue->append_conf('postgresql.conf', 'defer.enabled = off');
$blue->reload;
until_ok($blue, q{SELECT NOT EXISTS (SELECT FROM defer.workers WHERE kind NOT IN ('launcher', 'scheduler'))},
	'no job runs');
$blue->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 5)});
$blue->wait_for_catchup('upgrade');
dump_over("defer's rows", '--data-only', '--load-via-partition-root', '--exclude-schema=public', '--no-publications');
$green->safe_psql('postgres', 'DROP SUBSCRIPTION upgrade');
is($green->safe_psql('postgres', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%restored or copied%'}), '1', 'nothing runs yet');
$green->safe_psql('postgres', q{SELECT defer.activate()});

# It goes on there, and nowhere else
until_ok($green, q{SELECT count(*) = 26 FROM effect}, 'what waited runs');
is($green->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE state = 'scheduled'}), '10', 'what is to come later is there');
is($green->safe_psql('postgres', q{SELECT name, schedule, timezone, active, next_run_at > now() FROM defer.schedules}),
	'tick|0 0 1 1 *|Europe/Berlin|t|t', 'the schedule is there');
$green->safe_psql('postgres', q{SELECT defer.trigger('tick'); SELECT defer.reschedule(id) FROM defer.jobs WHERE state = 'scheduled'});
quiesce($green);
is($green->safe_psql('postgres', q{
	SELECT count(*), count(DISTINCT id), count(DISTINCT e.job) FROM defer.jobs j LEFT JOIN effect e ON e.job = j.id WHERE state = 'succeeded'}),
	'37|37|37', 'each once');
is($green->safe_psql('postgres', q{SELECT severity, finding FROM defer.health WHERE severity = 'error'}), '', 'nothing is wrong');
history_ok($green, [], what => 'afterwards');
$_->stop for $blue, $green;
done_testing();
