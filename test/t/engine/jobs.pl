# Jobs from end to end: retries, long jobs beside short ones, idle servers, and what
# idle workers take over.
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
$node->append_conf('postgresql.conf', "defer.worker_idle_timeout = '1h'");
$node->reload;
$node->safe_psql('postgres', q{SELECT defer.enqueue('quick')});
settled($node, 'a job after a pause');

# A worker that has found out how quick they are takes several jobs.  The first is
# long, and then the others are paused: whoever takes them over leaves them, too.
# While defer.job_history is locked there is nobody to do so.
for (1 .. 8)
{
	$node->safe_psql('postgres', q{SELECT defer.enqueue('quick')});
	settled($node, 'a quick job');
}
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->set_query_timer_restart;
$session->query_safe('BEGIN; LOCK TABLE defer.job_history IN SHARE MODE');
$node->safe_psql('postgres', q{
	CREATE TABLE gate (open boolean);
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	CREATE FUNCTION paused() RETURNS void LANGUAGE sql AS 'SELECT';
	BEGIN;
	SELECT defer.enqueue('gated');
	SELECT count(defer.enqueue('paused')) FROM generate_series(1, 20);
	COMMIT});
until_ok($node, q{SELECT max(cardinality(jobs)) > 1 FROM defer.claim}, 'a worker takes several jobs');
until_ok($node, q{SELECT state = 'running' FROM defer.jobs WHERE function LIKE '%gated()'}, 'and begins the first');
$node->safe_psql('postgres', q{SELECT defer.pause('paused')});
$session->query_safe('COMMIT');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.job WHERE function LIKE '%paused()' AND claim IS NOT NULL)},
	'another one takes over what waits behind a long job');
is($node->safe_psql('postgres', q{SELECT state, count(*) FROM defer.jobs WHERE function LIKE '%paused()' GROUP BY 1}),
	'queued|20', 'and does not run it, as it was paused meanwhile');
$node->safe_psql('postgres', q{INSERT INTO gate VALUES (true); SELECT defer.resume('paused')});
settled($node, 'until it is resumed');

# A worker that is terminated in the midst of taking jobs over from another one
# gives back what it has reserved under their limit
$node->safe_psql('postgres', q{
	CREATE TABLE gates (name text);
	CREATE FUNCTION waits(gate text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gates WHERE name = gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	CREATE FUNCTION limited(gate text) RETURNS void LANGUAGE sql AS 'SELECT waits(gate)';
	CREATE TABLE seen (together int);
	CREATE FUNCTION sees() RETURNS void LANGUAGE sql AS
		'INSERT INTO seen SELECT cardinality(c.jobs) FROM defer.claim c WHERE defer.current_job() = ANY (c.jobs)';
	SELECT defer.configure('limited', concurrency => 2);
	SELECT defer.enqueue('waits', '["first"]')});
until_ok($node, q{SELECT state = 'running' FROM defer.jobs WHERE function LIKE '%waits(text)'}, 'one of two workers is busy');
for (1 .. 100)
{
	$node->safe_psql('postgres', q{BEGIN; SELECT count(defer.enqueue('sees')) FROM generate_series(1, 2); COMMIT});
	$node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE function LIKE '%sees()' AND state <> 'succeeded')});
	last if $node->safe_psql('postgres', 'SELECT max(together) FROM seen') > 1;
}
is($node->safe_psql('postgres', 'SELECT max(together) FROM seen'), '2', 'the other one takes two jobs at a time');
$node->safe_psql('postgres', q{
	INSERT INTO gates VALUES ('open');
	BEGIN;
	SELECT defer.enqueue('limited', '["second"]'), defer.enqueue('limited', '["open"]');
	COMMIT});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE function LIKE '%limited(text)' AND state = 'running'}, 'and is busy, too');
$session->query_safe('BEGIN; ALTER SEQUENCE defer.claim_id_seq CACHE 1');
$node->safe_psql('postgres', q{INSERT INTO gates VALUES ('first')});
until_ok($node, q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'defer.claim_id_seq'::regclass AND NOT granted},
	'a worker is terminated as it takes over');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'defer.claim_id_seq'::regclass AND NOT granted)}, 'it ends');
$session->query_safe('ROLLBACK');
$node->safe_psql('postgres', q{INSERT INTO gates VALUES ('second')});
settled($node, 'the jobs end');
$node->safe_psql('postgres', q{SELECT defer.enqueue('limited', '["third"]') FROM generate_series(1, 2)});
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE function LIKE '%limited(text)' AND state = 'running'}, 'both places under the limit are free');
$node->safe_psql('postgres', q{INSERT INTO gates VALUES ('third')});
settled($node, 'and two jobs end');

# A worker that is alone, and idle.  The scheduler, which looks at the clock each ten
# seconds, has just done so when this returns.
sub one_idle_worker
{
	$node->append_conf('postgresql.conf', "defer.worker_idle_timeout = '100ms'");
	$node->reload;
	until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.workers WHERE kind = 'worker')}, 'workers leave');
	$node->append_conf('postgresql.conf', "defer.worker_idle_timeout = '1h'");
	$node->reload;
	$node->safe_psql('postgres', q{SELECT defer.enqueue('quick')});
	settled($node, 'a job starts one');
	return;
}

# What would wait for the clock otherwise does not.  A machine that stands still for
# seconds may look like that, but not three times.
sub without_the_clock
{
	my ($what, $scenario) = @_;
	my $waited = '';

	for my $try (1 .. 3)
	{
		my $sql = $scenario->($try);

		$waited = $node->safe_psql('postgres', $sql);
		last if $node->safe_psql('postgres', "SELECT interval '$waited' < '5 s'") eq 't';
	}
	is($node->safe_psql('postgres', "SELECT interval '$waited' < '5 s'"), 't', "$what: $waited");
	return;
}

# A job that comes while the worker takes another one, after it has looked
without_the_clock('a job that is left to a worker that has become busy', sub {
	my ($try) = @_;

	one_idle_worker();
	$session->query_safe('BEGIN; LOCK TABLE defer.claim IN SHARE MODE');
	$node->safe_psql('postgres', qq{SELECT defer.enqueue('waits', '["fourth $try"]')});
	until_ok($node, q{SELECT count(*) = 1 FROM pg_locks WHERE relation = 'defer.claim'::regclass AND NOT granted}, 'the worker has looked');
	$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick')});
	my $released = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
	$session->query_safe('COMMIT');
	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $job", 'a job is not left to a worker that is busy');
	$node->safe_psql('postgres', qq{INSERT INTO gates VALUES ('fourth $try')});
	settled($node, 'the other one ends');
	return "SELECT started_at - '$released' FROM defer.jobs WHERE id = $job";
});

# A job that somebody holds locked
without_the_clock('a job that was locked when a worker met it', sub {
	one_idle_worker();
	$job = $node->safe_psql('postgres', q{SELECT defer.pause('quick'); SELECT defer.enqueue('quick')});
	$job =~ s/.*\n//s;
	$session->query_safe("BEGIN; SELECT FROM defer.job WHERE id = $job FOR UPDATE");
	my $claims = $node->safe_psql('postgres', 'SELECT last_value FROM defer.claim_id_seq');
	$node->safe_psql('postgres', q{SELECT defer.resume('quick')});
	until_ok($node, "SELECT last_value > $claims FROM defer.claim_id_seq", 'the worker has met it');
	my $released = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
	$session->query_safe('COMMIT');
	settled($node, 'it ends');
	return "SELECT started_at - '$released' FROM defer.jobs WHERE id = $job";
});
$session->quit;
$node->stop;
done_testing();
