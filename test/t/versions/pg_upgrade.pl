# pg_upgrade carries everything over, and nothing runs meanwhile; a library that
# does not find the SQL objects it knows does no harm and says so.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = new_server('old', q{defer.max_workers = 4
defer.retention = 0});

$old->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE dropped_first LOGIN;
	CREATE ROLE app LOGIN;
	DROP ROLE dropped_first;
	GRANT USAGE ON SCHEMA defer TO app;
	CREATE TABLE effect (job bigint);
	GRANT ALL ON effect TO app;
	CREATE FUNCTION work() RETURNS text LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job()); SELECT current_user::text';
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION never() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
	SELECT defer.create_queue('narrow', concurrency => 1), defer.grant_queue('narrow', 'app');
	SELECT defer.configure('work', priority => 2);
	SET ROLE app;
	SELECT defer.enqueue('work') FROM generate_series(1, 10);
	SELECT defer.enqueue('never', max_attempts => 1);
	SELECT defer.cron('tick', '* * * * * *', overlap => 'allow', catch_up => 'all')});
until_ok($old, q{SELECT count(*) FILTER (WHERE state = 'succeeded') > 10 AND count(*) FILTER (WHERE state = 'failed') = 1 FROM defer.jobs},
	'some history');
$old->safe_psql('postgres', q{
	SET ROLE app;
	SELECT defer.enqueue('work', delay => '1 second', queue => 'narrow', metadata => '{"waits": true}') FROM generate_series(1, 20)});
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => [ initdb_options() ]);
$new->append_conf('postgresql.conf', q{
shared_preload_libraries = 'defer'
defer.max_workers = 4
defer.retention = 0
max_worker_processes = 24
fsync = off
});
my $bin = $old->config_data('--bindir');
{
	# its logs go there
	my $folder = PostgreSQL::Test::Utils::tempdir();

	chdir($folder) or die $!;
	command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin,
		'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade');
}
$new->start;
is($new->safe_psql('postgres', q{SELECT finding FROM defer.health WHERE severity = 'error'}), '', 'the new server is no copy');
until_ok($new, q{SELECT count(*) = 20 FROM defer.jobs WHERE metadata = '{"waits": true}' AND state = 'succeeded'}, 'what waited runs');
until_ok($new, q{SELECT max(scheduled_for) > pg_postmaster_start_time() FROM defer.jobs WHERE state = 'succeeded'}, 'the schedule goes on');
is($new->safe_psql('postgres', q{SELECT owner, result, queue, priority, count(*) FROM defer.jobs WHERE function LIKE '%work()' GROUP BY 1, 2, 3, 4 ORDER BY 3}),
	qq{app|"app"|default|2|10\napp|"app"|narrow|2|20}, 'with its owner and settings');
is($new->safe_psql('postgres', q{SELECT state, error, a.outcome FROM defer.jobs j JOIN defer.attempts a ON a.job_id = j.id WHERE function LIKE '%never()'}),
	'failed|no|failed', 'the history is there');
is($new->safe_psql('postgres', q{
	SELECT count(*) FROM defer.jobs WHERE started_at < pg_postmaster_start_time()
	   AND (metadata = '{"waits": true}' OR scheduled_for > (SELECT max(finished_at) FROM defer.jobs WHERE finished_at < pg_postmaster_start_time()))}),
	'0', 'nothing ran during the upgrade');

# A library that misses a table: one database says so, the other goes on
$new->safe_psql('postgres', 'CREATE DATABASE other');
$new->safe_psql('other', q{CREATE EXTENSION defer; CREATE FUNCTION work() RETURNS void LANGUAGE sql AS 'SELECT'});
until_ok($new, q{SELECT EXISTS (SELECT FROM defer.workers WHERE kind = 'scheduler' AND database = 'other')}, 'a second database', 'other');
my $from = -s $new->logfile;
$new->safe_psql('other', 'ALTER TABLE defer.job RENAME TO job_of_another_version');
my ($out, $err);
isnt($new->psql('other', q{SELECT defer.enqueue('work')}, stderr => \$err), 0, 'old SQL objects: no enqueue');
like($err, qr/relation "defer.job" does not exist.*ALTER EXTENSION defer UPDATE/s, 'old SQL objects: and a hint');
$new->restart;
my $ticks = $new->safe_psql('postgres', 'SELECT count(*) FROM defer.jobs WHERE scheduled_for IS NOT NULL');
until_ok($new, "SELECT count(*) > $ticks + 1 FROM defer.jobs WHERE scheduled_for IS NOT NULL", 'old SQL objects: other databases go on');
$new->safe_psql('other', 'ALTER TABLE defer.job_of_another_version RENAME TO job');
$new->safe_psql('other', q{SELECT defer.enqueue('work')});
settled($new, 'all there again: it goes on', 'other');

$new->safe_psql('postgres', 'SET ROLE app; SELECT defer.unschedule(name) FROM defer.schedules;');
history_ok($new, [], what => 'after the upgrade', ticks => ['tick']);
$new->stop;
done_testing();
