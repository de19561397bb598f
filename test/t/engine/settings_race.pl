# Settings that change, or cannot be read, while a worker claims: no job goes into the
# queue of another function, and no paused function runs.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
defer.max_workers = 1
defer.worker_idle_timeout = '10min'
log_error_verbosity = verbose
});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE done (name text, n int);
	CREATE FUNCTION held(n int) RETURNS void LANGUAGE sql AS $$INSERT INTO done VALUES ('held', n)$$;
	CREATE FUNCTION other(n int) RETURNS void LANGUAGE sql AS $$INSERT INTO done VALUES ('other', n)$$;
	CREATE FUNCTION last(n int) RETURNS void LANGUAGE sql AS $$INSERT INTO done VALUES ('last', n)$$;
	SELECT defer.create_queue('side', priority => -1)});

# 1. The look-up of a function's settings fails.  What the worker knew last was a paused
# function: its jobs, and only those, are held.
my $session = $node->background_psql('postgres');
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT defer.enqueue('held', '[1]');
	SELECT defer.pause('held');
	COMMIT});
until_ok($node, q{SELECT count(*) = 1 FROM defer.job j JOIN defer.function f ON j.limits_key >> 32 = f.id WHERE j.function = f.signature},
	'the job of the paused function is held');
$session->query_safe(q{SELECT defer.enqueue('other', '[0]', delay => '1 day')});	# it has read the settings
my $locker = $node->background_psql('postgres');
my $offset = -s $node->logfile;
$locker->query_safe('BEGIN; LOCK TABLE defer.function IN ACCESS EXCLUSIVE MODE');
$session->query_safe(q{SELECT defer.enqueue('other', '[2]')});
ok($node->wait_for_log(qr/lock timeout/, $offset), 'the worker cannot read the settings');
$locker->query_safe('COMMIT');
until_ok($node, q{SELECT count(*) = 1 FROM done WHERE name = 'other' AND n = 2}, 'the other function runs');
is($node->safe_psql('postgres', q{SELECT count(*) FROM done WHERE name = 'held'}), '0', 'the paused one does not');

# 2. A function is paused while the worker, which has looked it up, waits for the
# settings of the queue.
$node->restart;
$session->quit;
$locker->quit;
$session = $node->background_psql('postgres');
# in this order, or the worker runs it, and has met what it must not have met
$session->query_safe(q{SELECT defer.cancel(id) FROM defer.jobs WHERE function LIKE '%held%' AND state = 'queued'; SELECT defer.resume('held')});
$session->query_safe(q{SELECT defer.enqueue('last', '[0]', delay => '1 day', priority => 5)});
$session->query_safe(q{SELECT defer.enqueue('held', '[0]', delay => '1 day')});
# there must be a worker already: the scheduler, which reads limits, waits for the lock, too
$session->query_safe(q{SELECT defer.enqueue('other', '[3]', queue => 'side')});
until_ok($node, q{SELECT count(*) = 1 FROM done WHERE name = 'other' AND n = 3}, 'a worker is there, which has not met these');
$locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE defer.queue IN ACCESS EXCLUSIVE MODE');
$session->query_safe(q{SELECT count(defer.enqueue('held', jsonb_build_array(i))) FROM generate_series(1, 50) i});
until_ok($node, q{
	SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	 WHERE a.backend_type = 'defer worker' AND NOT l.granted AND l.relation = 'defer.queue'::regclass},
	'the worker has looked up the function and waits for the queue');
$node->safe_psql('postgres', q{SELECT defer.pause('held')});
$locker->query_safe('COMMIT');
$session->query_safe(q{SELECT defer.enqueue('last', '[1]', priority => 5)});
until_ok($node, q{SELECT count(*) = 1 FROM done WHERE name = 'last'}, 'what is enqueued after that runs');
is($node->safe_psql('postgres', q{SELECT count(*) FROM done WHERE name = 'held'}), '0', 'no job of the paused function has run');

$_->quit for $session, $locker;
$node->stop;
done_testing();
