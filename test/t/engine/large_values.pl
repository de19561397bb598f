# Jobs whose arguments, metadata and errors are kept out of line: whatever becomes
# of them, what is large is read, written anew and deleted with them.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 2
log_min_messages = warning});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	-- does not compress
	CREATE FUNCTION large() RETURNS text LANGUAGE sql AS
		'SELECT string_agg(md5(i::text), '''') FROM generate_series(1, 5000) i';
	CREATE FUNCTION good(t text) RETURNS text LANGUAGE sql AS 'SELECT t';
	CREATE FUNCTION bad(t text) RETURNS void LANGUAGE plpgsql AS
		$$BEGIN RAISE EXCEPTION 'no: %', t; END$$;
	CREATE FUNCTION snoozes(t text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF NOT EXISTS (SELECT FROM defer.attempts WHERE job_id = defer.current_job()) THEN
			PERFORM defer.snooze('10 ms');
		END IF;
	END $$;
	CREATE FUNCTION sleepy(t text) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(600)';
	CREATE FUNCTION send(function text, options jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $$
		SELECT defer.enqueue(function, jsonb_build_array(large()), metadata => jsonb_build_object('large', large()),
			max_attempts => 3, initial_interval => '10 ms', max_duration => (options ->> 'max_duration')::interval,
			delay => (options ->> 'delay')::interval)
	$$});

my @jobs = split /\|/, $node->safe_psql('postgres', q{
	SELECT send('good'), send('bad'), send('snoozes'), send('sleepy', '{"max_duration": "50 ms"}'),
		send('good', '{"delay": "1 hour"}'), send('bad', '{"delay": "1 hour"}')});
$node->safe_psql('postgres', "SELECT defer.cancel($jobs[4]), defer.reschedule($jobs[5])");
settled($node, 'all of them end');
is($node->safe_psql('postgres', q{SELECT function, state, attempt, length(args ->> 0), length(metadata ->> 'large')
	FROM defer.jobs ORDER BY id}), join("\n", map { "public.$_|160000|160000" }
	'good(text)|succeeded|1', 'bad(text)|failed|3', 'snoozes(text)|succeeded|1', 'sleepy(text)|failed|3',
	'good(text)|cancelled|0', 'bad(text)|failed|3'), 'and as they should');

# Cancelled while it runs, its process terminated, the server stopped under it
my $job = $node->safe_psql('postgres', q{SELECT send('sleepy')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $job", 'it runs');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM defer.jobs WHERE id = $job");
until_ok($node, "SELECT state = 'running' AND attempt = 2 FROM defer.jobs WHERE id = $job",
	'and again, after its process was terminated');
$node->stop('fast');
$node->start;
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $job", 'and after a fast stop');
$node->stop('immediate');
$node->start;
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $job", 'and after an immediate stop');
$node->safe_psql('postgres', "SELECT defer.cancel($job, force => true)");
settled($node, 'and is cancelled');
is($node->safe_psql('postgres', "SELECT state, length(args ->> 0) FROM defer.jobs WHERE id = $job"),
	'cancelled|160000', 'with its arguments');
my $again = $node->safe_psql('postgres', "SELECT defer.rerun($jobs[0])");
settled($node, 'one is run again');
is($node->safe_psql('postgres', "SELECT state, length(args ->> 0), length(result #>> '{}') FROM defer.jobs WHERE id = $again"),
	'succeeded|160000|160000', 'with the same arguments');
until_ok($node, 'SELECT NOT EXISTS (SELECT FROM defer.claim) AND NOT EXISTS (SELECT FROM defer.job)', 'nothing is left');
is(join("\n", grep { !/no: c4ca|canceling|terminating|ERROR:  no:|job was cancelled|timed? ?out/ }
	slurp_file($node->logfile) =~ /^.* (?:ERROR|PANIC):.*$/mg), '', 'no error of our own');
$node->stop;
done_testing();
