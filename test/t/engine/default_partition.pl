# A row goes into the partition of its day although that is made while the worker
# waits for a lock of the default partition; and a dump of the tables is restored.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
defer.max_workers = 2
defer.retention = 0
});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION speak(n int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		RAISE NOTICE 'job %', n;
		PERFORM pg_advisory_xact_lock_shared(42);
		IF n < 0 THEN RAISE EXCEPTION 'job % fails', n; END IF;
		RETURN n;
	END $$});

# The scheduler makes no partitions as long as a reader is there, which has seen no rows
my $reader = $node->background_psql('postgres');
$reader->query_safe(q{BEGIN; SELECT count(*) FROM defer.jobs, defer.attempts, defer.logs});
my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(42)');
$node->safe_psql('postgres', q{
	SELECT defer.enqueue('speak', '[1]'), defer.enqueue('speak', '[-1]', max_attempts => 1)});
until_ok($node, q{SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'defer worker' AND wait_event = 'advisory'},
	'two jobs run, and there is no partition of this day yet');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'defer.job_history'::regclass}), '1',
	'only the default partition');

# What the scheduler does when the reader has gone, in the same order, and as slowly as
# the workers need to get behind it
my $day = $node->safe_psql('postgres', q{SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')});
my ($from, $to) = split /\|/, $node->safe_psql('postgres', q{
	SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD 00:00:00+00'), to_char(now() AT TIME ZONE 'UTC' + interval '1 day', 'YYYY-MM-DD 00:00:00+00')});
my $maker = $node->background_psql('postgres');
$reader->query_safe('COMMIT');
$maker->query_safe(qq{
	BEGIN;
	LOCK TABLE ONLY defer.job_history, ONLY defer.attempt, ONLY defer.log IN ACCESS EXCLUSIVE MODE;
	LOCK TABLE defer.job_history_default, defer.attempt_default, defer.log_default IN ACCESS EXCLUSIVE MODE});
for my $parent ('job_history', 'attempt', 'log')
{
	$maker->query_safe(qq{
		CREATE TABLE defer.${parent}_p$day (LIKE defer.$parent INCLUDING DEFAULTS INCLUDING STORAGE);
		ALTER TABLE defer.$parent ATTACH PARTITION defer.${parent}_p$day FOR VALUES FROM ('$from') TO ('$to')});
}
$gate->query_safe('SELECT pg_advisory_unlock(42)');
until_ok($node, q{
	SELECT count(DISTINCT a.pid) = 2 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	 WHERE a.backend_type = 'defer worker' AND NOT l.granted AND l.locktype = 'relation'},
	'both workers want to write, and wait');
$maker->query_safe('COMMIT');
settled($node, 'both jobs end');
until_ok($node, q{SELECT count(*) = 1 FROM defer.attempts}, 'and the attempt that failed is recorded');

# Unless it is midnight just now
SKIP:
{
	skip 'the day has changed', 4 if $node->safe_psql('postgres', q{SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')}) ne $day;
	is($node->safe_psql('postgres', "SELECT count(*) FROM defer.job_history_p$day"), '2', 'jobs are in the partition of their day');
	is($node->safe_psql('postgres', "SELECT count(*) FROM defer.attempt_p$day"), '1', 'so is the attempt');
	is($node->safe_psql('postgres', "SELECT count(*) FROM defer.log_p$day"), '2', 'so are the messages');
	is($node->safe_psql('postgres', q{
		SELECT (SELECT count(*) FROM defer.job_history_default) + (SELECT count(*) FROM defer.attempt_default)
			+ (SELECT count(*) FROM defer.log_default)}), '0', 'nothing is in the default partitions');
}

# Rows against the constraint of their partition would stop a restore
my $dump = $node->data_dir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump is made');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('copy') ], 'and restored');
is($node->safe_psql('copy', 'SELECT count(*) FROM defer.job_history'), '2', 'with the jobs that have ended');

$_->quit for $reader, $gate, $maker;
$node->stop;
done_testing();
