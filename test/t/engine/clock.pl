# The clock of the server is set forwards and back: no storm of ticks, nothing
# stands still, and no time-out goes by it.
#
# The server runs with a clock of our own (test/modules/clock_shim.c).
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $HOUR = 3600;
my $offset = 0;
my $clock = PostgreSQL::Test::Utils::tempdir() . '/clock';

# In place: the server has it mapped
sub set_clock
{
	my ($by) = @_;

	$offset += $by;
	open(my $handle, -e $clock ? '+<' : '>', $clock) or die $!;
	binmode($handle);
	syswrite($handle, pack('q', $offset * 1_000_000)) == 8 or die $!;
	close($handle);
	return;
}

set_clock(0);
$ENV{CLOCK_SHIM_FILE} = $clock;
$ENV{LD_PRELOAD} = test_library('clock_shim') . '.so';
my $node = new_server('main', q{defer.max_workers = 6
defer.retention = 0
defer.worker_idle_timeout = 1h});
delete $ENV{LD_PRELOAD};

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE TABLE gate (open boolean);
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS 'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION tick_one() RETURNS void LANGUAGE sql AS 'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION tick_none() RETURNS void LANGUAGE sql AS 'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION sleepy() RETURNS void LANGUAGE sql AS 'INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(600)';
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	CREATE FUNCTION second_time() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		IF NOT EXISTS (SELECT FROM defer.attempts WHERE job_id = defer.current_job()) THEN RAISE EXCEPTION 'not yet'; END IF;
	END $$;
	SELECT defer.cron('tick_one', '* * * * * *', name => 'one', overlap => 'allow', catch_up => 'one');
	SELECT defer.cron('tick_none', '* * * * * *', name => 'none', overlap => 'allow', catch_up => 'none')});

sub now { return $node->safe_psql('postgres', 'SELECT clock_timestamp()'); }

# Each schedule fires by the clock as it is
sub ticks
{
	my ($since, $what) = @_;

	until_ok($node, "SELECT count(*) = 2 FROM (SELECT schedule FROM defer.jobs
		WHERE scheduled_for BETWEEN '$since'::timestamptz + interval '1 s' AND clock_timestamp() AND state = 'succeeded' GROUP BY 1) x", "$what: schedules go on");
	return;
}

my $before = now();
ticks($before, 'before');

# Forwards, with a job that may take an hour
my $gated = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated', max_duration => '1 hour', max_attempts => 1)});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $gated", 'forwards: a job runs');
$before = now();
set_clock(6 * $HOUR);
my $after = now();
ticks($after, 'forwards');
is($node->safe_psql('postgres', qq{SELECT count(*) FILTER (WHERE schedule = 'one') <= 2, count(*) FILTER (WHERE schedule = 'none') <= 1
	FROM defer.jobs WHERE state <> 'discarded' AND scheduled_for > '$before'::timestamptz + interval '1 min' AND scheduled_for < '$after'}), 't|t',
	'forwards: no storm of what lies between');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $gated"), 'running', 'forwards: the job has not run out of time');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $gated", 'forwards: it ends well');

# Back by days: what was due, what is to be tried again, what runs, and what is
# not to begin before its time
$node->safe_psql('postgres', q{SELECT defer.pause('work')});
my $sleepy = $node->safe_psql('postgres', q{SELECT defer.enqueue('sleepy', max_duration => '3 s', max_attempts => 1)});
my $again = $node->safe_psql('postgres', q{SELECT defer.enqueue('second_time', initial_interval => '3 s', randomization => 0)});
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 10)});
my $later = $node->safe_psql('postgres', q{SELECT defer.enqueue('work', run_at => now() + interval '10 days')});
until_ok($node, "SELECT bool_and(state IN ('running', 'retrying')) FROM defer.jobs WHERE id IN ($sleepy, $again)", 'back: jobs run and wait');
set_clock(-60 * $HOUR);
$after = now();
$node->safe_psql('postgres', q{SELECT defer.resume('work')});
until_ok($node, "SELECT state = 'failed' FROM defer.jobs WHERE id = $sleepy", 'back: max_duration goes by another clock');
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $again", 'back: what failed is tried again');
until_ok($node, q{SELECT count(*) = 10 FROM defer.jobs WHERE function LIKE '%.work()' AND state = 'succeeded'}, 'back: what was due runs');
is($node->safe_psql('postgres', "SELECT outcome FROM defer.attempts WHERE job_id = $sleepy"), 'timed_out', 'back: it was stopped for that');
ticks($after, 'back');
is($node->safe_psql('postgres', "SELECT state, run_at > clock_timestamp() + interval '12 days' FROM defer.jobs WHERE id = $later"), 'scheduled|t',
	'back: a time that somebody asked for stays');
is($node->safe_psql('postgres', q{SELECT schedule, scheduled_for FROM defer.jobs WHERE scheduled_for IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1}), '',
	'no tick came twice');

# A token comes when it would have, also for the job that waits for it
$node->safe_psql('postgres', q{
	CREATE FUNCTION paced(tenant text) RETURNS void LANGUAGE sql AS 'INSERT INTO effect VALUES (defer.current_job())';
	SELECT defer.configure('paced', group_by => 'tenant', group_rate => '1/5 s');
	SELECT count(defer.enqueue('paced', '["g"]')) FROM generate_series(1, 3)});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE function LIKE '%.paced(%' AND state = 'succeeded'}, 'one of a rate has run');
set_clock(-2 * $HOUR);
until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE function LIKE '%.paced(%' AND state = 'succeeded'}, 'the others run when their tokens come');

# DDL that waits for us does not wait for the clock
$node->safe_psql('postgres', q{CREATE DATABASE other});
$node->safe_psql('other', q{CREATE EXTENSION defer; SELECT defer.command('SELECT pg_sleep(600)')});
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.jobs WHERE state = 'running')}, 'another database is in use', 'other');
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_until(qr/begun/, "\\echo begun\nDROP DATABASE other;\n\\echo dropped\n");
set_clock(-2 * $HOUR);
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname = 'other')}, 'DROP DATABASE ends');
$session->quit;

$node->safe_psql('postgres', "SELECT defer.cancel($later)");
quiesce($node);
history_ok($node, [], what => 'at the end');
$node->stop;
done_testing();
