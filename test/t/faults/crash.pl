# Workers and servers that go in the middle of it: nothing is lost, nothing is
# done twice, and a job that takes the server with it is given up.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
log_min_messages = warning});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(0.001)';
	CREATE FUNCTION sleepy() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(1.5)';
	CREATE FUNCTION suicide() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_terminate_backend(pg_backend_pid());
		PERFORM pg_sleep(10);
	END $$;
	CREATE EXTENSION IF NOT EXISTS plpgsql;
});

# A worker is terminated: its job is crashed once, and succeeds then
my $job = $node->safe_psql('postgres', q{SELECT defer.enqueue('sleepy')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $job", 'the job runs');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM defer.jobs WHERE id = $job");
settled($node, 'after its worker was terminated');
is($node->safe_psql('postgres', "SELECT state, attempt FROM defer.jobs WHERE id = $job"),
	'succeeded|2', 'a job whose worker was terminated is run again');
is($node->safe_psql('postgres', "SELECT outcome FROM defer.attempts WHERE job_id = $job"),
	'crashed', 'and its attempt is recorded');

# A job that takes its process with it is given up
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('suicide')});
settled($node, 'a job that ends its process ends');
is($node->safe_psql('postgres', "SELECT state, attempt FROM defer.jobs WHERE id = $job"),
	'failed|3', 'it is given up after max_crashes');

# kill -9 of a worker under load: the server starts anew
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 5000)});
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.workers WHERE kind = 'worker' AND job_id IS NOT NULL)},
	'workers are at it');
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM defer.workers WHERE kind = 'worker' LIMIT 1});
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT true');
settled($node, 'after kill -9 of a worker');
check_history($node, 'kill -9 of a worker');

# Immediate stop under load
for my $round (1 .. 3)
{
	$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 3000)});
	until_ok($node, q{SELECT EXISTS (SELECT FROM defer.workers WHERE kind = 'worker' AND job_id IS NOT NULL)},
		"round $round: workers are at it");
	$node->stop('immediate');
	$node->start;
}
settled($node, 'after immediate stops');
check_history($node, 'immediate stops');
is($node->safe_psql('postgres', 'SELECT count(*) FROM effect'), 1 + 5000 + 9000, 'all were run');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.claim)}, 'no claim is left');

# Fast stop while a job runs: seconds, and no attempt is lost
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('sleepy')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $job", 'the job runs');
$node->stop('fast');
$node->start;
settled($node, 'after a fast stop');
is($node->safe_psql('postgres', "SELECT state, attempt FROM defer.jobs WHERE id = $job"),
	'succeeded|1', 'a fast stop costs no attempt');
is($node->safe_psql('postgres', "SELECT outcome FROM defer.attempts WHERE job_id = $job"),
	'interrupted', 'and is recorded');
check_history($node, 'fast stop');

# Scheduler and launcher come back
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM defer.workers WHERE kind IN ('scheduler', 'launcher')});
until_ok($node, q{SELECT count(*) = 2 FROM defer.workers WHERE kind IN ('scheduler', 'launcher')},
	'launcher and scheduler come back');
$node->safe_psql('postgres', q{SELECT defer.enqueue('work')});
settled($node, 'jobs run after that');
$node->stop;
done_testing();
