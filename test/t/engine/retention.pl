# Partitions: made, filled from the default one, dropped.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 2
defer.retention = '7d'});

# Default privileges must not open partitions to anybody
$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN;
	ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app;
	CREATE EXTENSION defer;
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS 'SELECT'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'defer.job_history'::regclass}),
	'1', 'no partition but the default one where nothing has happened');
$node->safe_psql('postgres', q{SELECT defer.enqueue('work')});
settled($node, 'a job ends');
until_ok($node, q{SELECT count(*) >= 5 FROM pg_inherits WHERE inhparent = 'defer.job_history'::regclass},
	'partitions for today and three days');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs}), '1', 'the job is there');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a
	 WHERE c.relnamespace = 'defer'::regnamespace AND c.relname ~ '_p\d{8}$' AND a.grantee <> c.relowner}),
	'0', 'nobody else may read partitions');

# An old partition, and old rows in the default one, go; new rows are moved
$node->safe_psql('postgres', q{
	CREATE TABLE defer.job_history_p20200101 PARTITION OF defer.job_history
		FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00');
	INSERT INTO defer.job_history SELECT 1000001, owner, state, kind, priority, attempt, run_at, enqueued_at, started_at,
		'2020-01-01 12:00+00', parent_id, schedule_id, scheduled_for, discard_at, function, queue FROM defer.job_history;
	INSERT INTO defer.job_history SELECT 1000002, owner, state, kind, priority, attempt, run_at, enqueued_at, started_at,
		now() - interval '30 days', parent_id, schedule_id, scheduled_for, discard_at, function, queue
	  FROM defer.job_history WHERE id < 1000000;
	INSERT INTO defer.job_history SELECT 1000003, owner, state, kind, priority, attempt, run_at, enqueued_at, started_at,
		now() - interval '2 days', parent_id, schedule_id, scheduled_for, discard_at, function, queue
	  FROM defer.job_history WHERE id < 1000000;
});
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE id > 1000000}), '3', 'three old jobs');
$node->reload;
until_ok($node, q{SELECT to_regclass('defer.job_history_p20200101') IS NULL}, 'the old partition is dropped');
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE id > 1000000}, 'old rows of the default one are deleted');
is($node->safe_psql('postgres', q{SELECT id FROM defer.jobs WHERE id > 1000000}), '1000003', 'what is not old stays');

# A reader in a long transaction holds nobody up, and what is due is done later
my $reader = $node->background_psql('postgres', on_error_stop => 1) if $node->can('background_psql');
SKIP:
{
	skip 'no background_psql', 3 if !defined $reader || !$reader->can('query_safe');
	$node->safe_psql('postgres', q{
		CREATE TABLE defer.job_history_p20200102 PARTITION OF defer.job_history
			FOR VALUES FROM ('2020-01-02 00:00+00') TO ('2020-01-03 00:00+00')});
	$reader->query_safe('BEGIN; SELECT count(*) FROM defer.jobs;');
	$node->reload;
	$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 200)});
	settled($node, 'jobs run while a reader keeps the partitions from being dropped');
	$reader->query_safe('COMMIT;');
	$reader->quit;
	$node->reload;
	until_ok($node, q{SELECT to_regclass('defer.job_history_p20200102') IS NULL}, 'dropped when the reader is gone');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE state = 'succeeded' AND id < 1000000}), '201', 'all are there');
}

# A day of a job that a claim still names is kept: after a crash only the history knows that it has ended
$node->safe_psql('postgres', q{
	CREATE FUNCTION wait_for(lock int) RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_xact_lock_shared(lock)'});
my $locker = $node->background_psql('postgres');
$locker->query_safe('SELECT pg_advisory_lock(5)');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 2000)});
settled($node, 'many short jobs');
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT count(defer.enqueue('work')) FROM generate_series(1, 20);
	SELECT count(defer.enqueue('wait_for', '[5]')) FROM generate_series(1, 2);
	COMMIT});
until_ok($node, q{SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'defer worker' AND wait_event = 'advisory'}, 'two long jobs run');
my $ended = $node->safe_psql('postgres', q{SELECT max(h.id) FROM defer.job_history h JOIN defer.job j USING (id)});
ok($ended, 'behind jobs of their batches that have ended');
$node->safe_psql('postgres', qq{
	CREATE TABLE defer.job_history_p20200103 PARTITION OF defer.job_history
		FOR VALUES FROM ('2020-01-03 00:00+00') TO ('2020-01-04 00:00+00');
	CREATE TABLE defer.job_history_p20200104 PARTITION OF defer.job_history
		FOR VALUES FROM ('2020-01-04 00:00+00') TO ('2020-01-05 00:00+00');
	UPDATE defer.job_history SET finished_at = '2020-01-03 12:00+00' WHERE id = $ended;
	SELECT pg_reload_conf()});
until_ok($node, q{SELECT to_regclass('defer.job_history_p20200104') IS NULL}, 'a day without such a job is dropped');
is($node->safe_psql('postgres', q{SELECT to_regclass('defer.job_history_p20200103')}), 'defer.job_history_p20200103', 'the day of the job is not');
$locker->query_safe('SELECT pg_advisory_unlock(5)');
$locker->quit;
settled($node, 'the batches end');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.claim)}, 'and are settled');
$node->reload;
until_ok($node, q{SELECT to_regclass('defer.job_history_p20200103') IS NULL}, 'then the day is dropped');

# Retention 0 keeps everything
$node->safe_psql('postgres', q{ALTER SYSTEM SET defer.retention = 0});
$node->safe_psql('postgres', q{
	INSERT INTO defer.job_history SELECT 1000004, owner, state, kind, priority, attempt, run_at, enqueued_at, started_at,
		'2020-01-01 12:00+00', parent_id, schedule_id, scheduled_for, discard_at, function, queue
	  FROM defer.job_history WHERE id = (SELECT min(id) FROM defer.job_history)});
$node->reload;
$node->safe_psql('postgres', q{SELECT defer.enqueue('work')});
settled($node, 'a job with retention 0');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE id = 1000004}), '1', 'nothing was deleted');
$node->stop;
done_testing();
