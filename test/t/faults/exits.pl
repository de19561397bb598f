# How a worker exits in the midst of a job: who has stopped it is known exactly, and
# no lock of a session keeps it from exiting.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
max_prepared_transactions = 4});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE gate (open boolean);
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$});

sub start_job
{
	my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated')});

	until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $id", "job $id runs");
	return $id;
}

sub pid_of
{
	my ($kind) = @_;

	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'defer $kind'");
}

# A fast stop, while the launcher does not hear of it
my $id = start_job();
my $launcher = pid_of('launcher');
my $worker = pid_of('worker');
kill('STOP', $launcher);
$node->command_ok([ 'pg_ctl', '-D', $node->data_dir, '-m', 'fast', '-W', 'stop' ], 'a fast stop begins');
my $tries = 0;
select(undef, undef, undef, 0.1) while kill(0, $worker) && $tries++ < 1800;
ok(!kill(0, $worker), 'the worker is gone');
kill('CONT', $launcher);
$node->stop('fast', fail_ok => 1);	# it may have stopped already
$node->start;
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $id", 'the job runs again');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT outcome, ',') FROM defer.attempts WHERE job_id = $id"),
	'interrupted', 'it was interrupted and has not crashed');

# A fast stop, while nothing can be written: a prepared transaction has the table
$node->safe_psql('postgres', q{BEGIN; LOCK TABLE defer.job_history IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'lock'});
$node->stop('fast');
$node->start;
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'lock'});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $id", 'the job runs again, though that was not written');
is($node->safe_psql('postgres', "SELECT attempt, suspect, crashes FROM defer.job WHERE id = $id"), '0|0|0',
	'no attempt is used up, and it is not suspected');

# Locks of what a worker wants to write when it is terminated: the row, the day's partition
for my $lock ("SELECT FROM defer.job WHERE id = $id FOR UPDATE",
	q{DO $$ BEGIN EXECUTE 'LOCK TABLE defer.' || (SELECT relname FROM pg_class WHERE relname LIKE 'attempt_p%'
		AND relkind = 'r' ORDER BY relname LIMIT 1) || ' IN ACCESS EXCLUSIVE MODE'; END $$})
{
	$worker = pid_of('worker');
	$node->safe_psql('postgres', "BEGIN; $lock; PREPARE TRANSACTION 'lock'");
	is($node->safe_psql('postgres', "SELECT pg_terminate_backend($worker, 60000)"), 't', 'the worker exits');
	$node->safe_psql('postgres', q{ROLLBACK PREPARED 'lock'});
	until_ok($node, "SELECT state = 'running' AND pid <> $worker FROM defer.jobs WHERE id = $id", 'the job runs again');
}
is($node->safe_psql('postgres', "SELECT attempt FROM defer.job WHERE id = $id"), '2', 'it has used up two attempts');

$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
settled($node, 'all end');
$node->stop;
done_testing();
