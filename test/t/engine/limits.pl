# Concurrency limits, priorities, time limits, more ready queues and limits than shared memory
# has room for.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 8
defer.shared_slots = 64});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE gate (open boolean);
	CREATE TABLE ran (what text, n int, at timestamptz DEFAULT clock_timestamp());
	CREATE FUNCTION nap() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.02)';
	CREATE FUNCTION free() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION note(n int) RETURNS void LANGUAGE sql AS $$ INSERT INTO ran VALUES ('note', n) $$;
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	CREATE FUNCTION deaf() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN
				PERFORM pg_sleep(0.1);
			EXCEPTION WHEN query_canceled THEN NULL;
			END;
		END LOOP;
	END $$;
	-- the largest number of jobs that ran at one time
	CREATE FUNCTION most(pattern text) RETURNS bigint LANGUAGE sql AS $$
		WITH run AS (SELECT started_at, finished_at FROM defer.jobs WHERE function LIKE pattern AND finished_at IS NOT NULL)
		SELECT max((SELECT count(*) FROM run b WHERE b.started_at <= a.started_at AND b.finished_at > a.started_at))
		  FROM run a $$;
});

# A limit of a function; others do not wait behind what it holds back
$node->safe_psql('postgres', q{SELECT defer.configure('nap', concurrency => 2)});
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('nap')) FROM generate_series(1, 100);
	SELECT defer.enqueue('free')});
until_ok($node, q{SELECT state = 'succeeded' FROM defer.jobs WHERE function LIKE '%free()'}, 'an unlimited job');
settled($node, 'limited jobs end');
is($node->safe_psql('postgres', q{SELECT max(started_at) FILTER (WHERE function LIKE '%nap()') > max(finished_at) FILTER (WHERE function LIKE '%free()')
	FROM defer.jobs}), 't', 'it ran while limited ones waited');
is($node->safe_psql('postgres', q{SELECT most('%nap()')}), '2', 'two at a time');

# A limit of a queue, over jobs of several functions
$node->safe_psql('postgres', q{
	SELECT defer.configure('nap', reset => true);
	SELECT defer.create_queue('narrow', concurrency => 3);
	CREATE FUNCTION queue_nap() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.02)';
	SELECT count(defer.enqueue('queue_nap', queue => 'narrow')) FROM generate_series(1, 60)});
settled($node, 'jobs of a limited queue end');
is($node->safe_psql('postgres', q{SELECT most('%queue_nap()')}), '3', 'three at a time');

# A queue that was dropped, but for a subtransaction's end, is still paused
$node->safe_psql('postgres', q{
	CREATE FUNCTION in_pause() RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.create_queue('closed');
	SELECT defer.pause_queue('closed')});
$node->safe_psql('postgres', q{BEGIN; SAVEPOINT s; SELECT defer.drop_queue('closed'); ROLLBACK TO s; COMMIT});
$node->safe_psql('postgres', q{SELECT defer.cron('free', '* * * * * *', name => 'after')});
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.jobs WHERE scheduled_for IS NOT NULL)}, 'the scheduler has looked since');
my $closed = $node->safe_psql('postgres', q{SELECT defer.unschedule('after'); SELECT defer.enqueue('in_pause', queue => 'closed')}) =~ s/.*\n//sr;
$node->safe_psql('postgres', q{SELECT defer.enqueue('free')});
until_ok($node, qq{SELECT bool_and(state = 'succeeded') FROM defer.jobs WHERE id > $closed}, 'a job after that in another queue');
is($node->safe_psql('postgres', "SELECT state, attempt FROM defer.jobs WHERE id = $closed"), 'queued|0', 'it waits in the paused queue');
$node->safe_psql('postgres', q{SELECT defer.resume_queue('closed')});
settled($node, 'until that is resumed');

# At the limit: cancel
$node->safe_psql('postgres', q{
	SELECT defer.configure('gated', concurrency => 1, at_limit => 'cancel');
	SELECT defer.enqueue('gated')});
until_ok($node, q{SELECT state = 'running' FROM defer.jobs WHERE function LIKE '%gated()'}, 'one runs');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('gated')) FROM generate_series(1, 5)});
until_ok($node, q{SELECT count(*) = 5 FROM defer.jobs WHERE function LIKE '%gated()' AND state = 'cancelled'},
	'those that find no room are cancelled');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
settled($node, 'the one that runs ends');
$node->safe_psql('postgres', q{SELECT defer.enqueue('gated')});
settled($node, 'and there is room again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE function LIKE '%gated()' AND state = 'succeeded'}),
	'2', 'it ran');
$node->safe_psql('postgres', q{
	DELETE FROM gate;
	SELECT count(defer.enqueue('gated')) FROM generate_series(1, 5)});
until_ok($node, q{SELECT count(*) = 9 FROM defer.jobs WHERE function LIKE '%gated()' AND state = 'cancelled'},
	'of those that come together, too');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
settled($node, 'and the one that found room ends');

# Room that is reserved by a worker that has taken nothing yet: one of two jobs runs
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_safe('BEGIN; ALTER SEQUENCE defer.claim_id_seq CACHE 1');
my $first = $node->safe_psql('postgres', q{DELETE FROM gate; SELECT defer.enqueue('gated')});
until_ok($node, q{SELECT count(*) > 0 FROM pg_locks WHERE relation = 'defer.claim_id_seq'::regclass AND NOT granted},
	'a worker has reserved room');
my $second = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated', priority => 1)});
$node->safe_psql('postgres', q{
	CREATE ROLE ann LOGIN;
	GRANT USAGE ON SCHEMA defer TO ann;
	SET ROLE ann;
	SELECT defer.enqueue('free')});
until_ok($node, q{SELECT count(*) > 0 FROM defer.workers WHERE role = 'ann'}, 'meanwhile the scheduler has looked');
$session->query_safe('ROLLBACK');
$session->quit;
until_ok($node, "SELECT state <> 'queued' FROM defer.jobs WHERE id = $first", 'the worker takes the first job');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $first"), 'running', 'which runs');
until_ok($node, "SELECT state = 'cancelled' FROM defer.jobs WHERE id = $second", 'and the other one, which finds no room, is cancelled');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
settled($node, 'then the first one ends');

# A limit that comes while jobs wait in the ready queue without one, and goes
$node->safe_psql('postgres', q{
	CREATE FUNCTION late_nap() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.02)';
	SELECT defer.pause('late_nap');
	SELECT count(defer.enqueue('late_nap')) FROM generate_series(1, 40);
	SELECT defer.configure('late_nap', concurrency => 1);
	SELECT defer.resume('late_nap')});
settled($node, 'jobs from before the limit end');
is($node->safe_psql('postgres', q{SELECT most('%late_nap()')}), '1', 'one at a time');

# Priority: smaller first, then the oldest
$node->safe_psql('postgres', q{
	SELECT defer.configure('note', concurrency => 1);
	SELECT defer.pause('note');
	SELECT defer.enqueue('note', '[3]', priority => 5), defer.enqueue('note', '[4]', priority => 5),
		defer.enqueue('note', '[1]', priority => -5), defer.enqueue('note', '[2]');
	SELECT defer.resume('note')});
settled($node, 'jobs of several priorities end');
is($node->safe_psql('postgres', q{SELECT string_agg(n::text, ',' ORDER BY at) FROM ran WHERE what = 'note'}),
	'1,2,3,4', 'by priority');

# More ready queues than there is room for
$node->safe_psql('postgres', q{
	SELECT defer.configure('note', reset => true);
	SELECT count(defer.enqueue('note', to_jsonb(ARRAY[i]), priority => i)) FROM generate_series(1, 300) i});
settled($node, 'jobs of 300 priorities end, with room for 64');

# Time limits: one that hears, one that does not
my $job = $node->safe_psql('postgres', q{
	CREATE FUNCTION long() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(600)';
	SELECT defer.enqueue('long', max_duration => '200 ms', max_attempts => 2, initial_interval => '1 ms')});
settled($node, 'a job over its time ends');
is($node->safe_psql('postgres', "SELECT state, attempt FROM defer.jobs WHERE id = $job"), 'failed|2', 'it has failed');
is($node->safe_psql('postgres', "SELECT string_agg(outcome || sqlstate, ',') FROM defer.attempts WHERE job_id = $job"),
	'timed_out57014,timed_out57014', 'its attempts have timed out');
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('deaf', max_duration => '100 ms', max_attempts => 1)});
settled($node, 'a job that does not hear ends, with its process');
is($node->safe_psql('postgres', "SELECT j.state, a.outcome FROM defer.jobs j JOIN defer.attempts a ON a.job_id = j.id WHERE j.id = $job"),
	'failed|timed_out', 'it has timed out');
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('deaf')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $job", 'another one runs');
$node->safe_psql('postgres', "SELECT defer.cancel($job, force => true)");
settled($node, 'and is cancelled by force');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $job"), 'cancelled', 'it is cancelled');

# Limits come and go, more of them than there is room for at one time
$node->safe_psql('postgres', q{
	DO $$
	BEGIN
		FOR i IN 1 .. 100 LOOP
			PERFORM defer.create_queue('passing', concurrency => 1);
			COMMIT;
			PERFORM defer.drop_queue('passing');
			COMMIT;
		END LOOP;
	END $$;
	CREATE FUNCTION kept_nap() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.02)';
	SELECT defer.configure('kept_nap', concurrency => 1);
	SELECT count(defer.enqueue('kept_nap')) FROM generate_series(1, 40)});
settled($node, 'jobs under a limit that came after a hundred others');
is($node->safe_psql('postgres', q{SELECT most('%kept_nap()')}), '1', 'one at a time');

# More limits than slots: what is paused does not run
$node->safe_psql('postgres', q{
	DO $$BEGIN PERFORM defer.create_queue('many' || i, concurrency => 1) FROM generate_series(1, 64) i; END$$;
	CREATE FUNCTION held() RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.pause('held')});
my $held = $node->safe_psql('postgres', q{SELECT defer.enqueue('held')});
$node->safe_psql('postgres', q{SELECT defer.enqueue('free')});
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE function LIKE '%free()' AND state <> 'succeeded')}, 'jobs without a limit run');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $held"), 'queued', 'what is paused does not');
$node->safe_psql('postgres', q{DO $$BEGIN PERFORM defer.drop_queue('many' || i) FROM generate_series(1, 64) i; END$$});
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $held"), 'queued', 'what is paused still waits');
$node->safe_psql('postgres', q{SELECT defer.resume('held')});
settled($node, 'and runs when it is resumed');
$node->safe_psql('postgres', q{
	DO $$BEGIN PERFORM defer.create_queue('more' || i, concurrency => 1) FROM generate_series(1, 50) i; END$$;
	SELECT defer.configure('free', concurrency => 1);
	SELECT count(defer.enqueue('free')) FROM generate_series(1, 10)});
settled($node, 'there is room for fifty others');

# What was reserved under limits has been given back
$node->safe_psql('postgres', q{
	SELECT defer.configure('free', concurrency => 1);
	SELECT count(defer.enqueue('free', queue => 'narrow')) FROM generate_series(1, 500)});
settled($node, 'limited jobs after all that');
$node->stop;
done_testing();
