# Jobs from end to end: retries, long jobs beside short ones, idle servers.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 2
defer.worker_idle_timeout = 1s});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint, at timestamptz DEFAULT clock_timestamp());
	CREATE SEQUENCE tries;
	CREATE FUNCTION twice() RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		IF nextval('tries') <= 2 THEN RAISE EXCEPTION 'not yet'; END IF;
		RETURN 7;
	END $$;
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS 'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION slow() RETURNS void LANGUAGE sql AS
		'SELECT pg_sleep(5); INSERT INTO effect VALUES (defer.current_job())';
});

# A function that writes and then fails twice
my $job = $node->safe_psql('postgres', q{SELECT defer.enqueue('twice', initial_interval => '10 ms')});
settled($node, 'a job that fails twice ends');
is($node->safe_psql('postgres', "SELECT state, attempt, result FROM defer.jobs WHERE id = $job"),
	'succeeded|3|7', 'it succeeds at the third attempt');
is($node->safe_psql('postgres', "SELECT count(*) FROM effect WHERE job = $job"), '1',
	'and has left one row');
is($node->safe_psql('postgres',
	"SELECT string_agg(attempt || outcome || message || sqlstate, ',' ORDER BY attempt) FROM defer.attempts WHERE job_id = $job"),
	'1failednot yetP0001,2failednot yetP0001', 'and two attempts');

# One slow job among short ones, in one batch: the short ones do not wait
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT defer.enqueue('quick') FROM generate_series(1, 1000);
	SELECT defer.enqueue('slow');
	SELECT defer.enqueue('quick') FROM generate_series(1, 1000);
	COMMIT});
settled($node, 'a slow and 2000 short jobs end');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM effect e
	 WHERE e.at > (SELECT s.started_at FROM defer.jobs s WHERE s.function LIKE '%slow%') + interval '4 seconds'}),
	'1', 'none of the short ones waited for the slow one');
check_history($node, 'slow and short');

# Nothing to do: workers leave, and nobody asks the server anything
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.workers WHERE kind = 'worker')},
	'idle workers leave');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'defer%' AND state = 'active'}),
	'0', 'and nothing is active');
is($node->safe_psql('postgres', 'SELECT finding FROM defer.health'), '', 'all is well');

# One job wakes them up again
$node->safe_psql('postgres', q{SELECT defer.enqueue('quick')});
settled($node, 'a job after a pause');
$node->stop;
done_testing();
