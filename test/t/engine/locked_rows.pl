# Rows that a session holds locked: neither a claim nor the recovery of claims waits
# for them, keeps them in memory, or leaves the others undone.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
defer.max_workers = 2
defer.retention = 0
defer.max_payload = '1GB'
defer.worker_idle_timeout = '10min'
});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE FUNCTION work(n int, payload text DEFAULT '') RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION wait_for(lock int) RETURNS void LANGUAGE sql AS
		'SELECT pg_advisory_xact_lock_shared(lock); INSERT INTO effect VALUES (defer.current_job())'});

# 1. 30,000 jobs that a session is about to cancel, 20 kB each: those behind them run, and the
# worker has none of them in its memory.
my $holder = $node->background_psql('postgres');
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT defer.pause('work');
	SELECT count(defer.enqueue('work', jsonb_build_array(n, (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 625) i))))
	  FROM generate_series(1, 3000) n;
	SELECT count(defer.enqueue('work', jsonb_build_array(n, ''))) FROM generate_series(1, 27000) n;
	COMMIT});
$holder->query_safe(q{BEGIN; SELECT count(*) FROM (SELECT FROM defer.job FOR UPDATE) x});
$node->safe_psql('postgres', q{
	SELECT defer.resume('work');
	SELECT count(defer.enqueue('work', '[-1]')) FROM generate_series(1, 100)});
until_ok($node, q{SELECT count(*) = 100 FROM effect}, 'jobs behind 30,000 locked ones run');
my $offset = -s $node->logfile;
$node->safe_psql('postgres', q{
	SELECT pg_log_backend_memory_contexts(pid) FROM pg_stat_activity WHERE backend_type = 'defer worker'});
ok($node->wait_for_log(qr/Grand total: \d+ bytes/, $offset), 'a worker says how much memory it has');
my $log = substr(slurp_file($node->logfile), $offset);
my $largest = 0;
for ($log =~ /Grand total: (\d+) bytes/g) { $largest = $_ if $_ > $largest; }
cmp_ok($largest, '<', 20_000_000, 'far less than the rows that it cannot have');
$holder->query_safe('COMMIT');
settled($node, 'all run when the lock is gone');
check_history($node, 'locked rows');

# 2. A batch of a worker that was killed, one row of which is locked: the others go on
my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(7)');
$node->safe_psql('postgres', q{ALTER SYSTEM SET defer.max_workers = 1});
$node->restart;
$gate->quit;
$holder->quit;
$gate = $node->background_psql('postgres');
$holder = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(7)');

# so that its next batch is a large one
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work', '[1]')) FROM generate_series(1, 3000)});
settled($node, 'many short jobs');
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT defer.enqueue('wait_for', '[7]');
	SELECT count(defer.enqueue('work', '[2]')) FROM generate_series(1, 100);
	COMMIT});
until_ok($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'defer worker' AND wait_event = 'advisory'}, 'a job runs');
my $claimed = $node->safe_psql('postgres', q{SELECT count(*) FROM defer.job WHERE claim IS NOT NULL});
cmp_ok($claimed, '>', 2, 'and more were taken with it');
my $locked = $node->safe_psql('postgres', q{SELECT max(id) FROM defer.job WHERE claim IS NOT NULL});
$holder->query_safe("BEGIN; SELECT count(*) FROM (SELECT FROM defer.job WHERE id = $locked FOR UPDATE) x");
$node->safe_psql('postgres', q{BEGIN; SELECT defer.pause('work'); SELECT defer.pause('wait_for'); COMMIT});
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'defer worker'});
$node->safe_psql('postgres', q{ALTER SYSTEM SET defer.enabled = off; SELECT pg_reload_conf()});

# The worker cannot write as it leaves: so its claim is for the scheduler
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE defer.claim IN SHARE MODE');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
until_ok($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 'the worker has gone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.job WHERE claim IS NOT NULL}), $claimed, 'its jobs are still claimed');
$locker->query_safe('COMMIT');
$locker->quit;
until_ok($node, q{SELECT count(*) = 1 FROM defer.job WHERE claim IS NOT NULL}, 'all but the locked one are set free');
is($node->safe_psql('postgres', q{SELECT id FROM defer.job WHERE claim IS NOT NULL}), $locked, 'that one is still claimed');
is($node->safe_psql('postgres', q{SELECT jobs FROM defer.claim}), "{$locked,0}", 'and its claim has nothing else but a sign that there were others');
$holder->query_safe('COMMIT');
until_ok($node, q{SELECT count(*) = 0 FROM defer.job WHERE claim IS NOT NULL}, 'set free when it is unlocked');
until_ok($node, q{SELECT count(*) = 0 FROM defer.claim}, 'with its claim');
$gate->query_safe('SELECT pg_advisory_unlock(7)');
$node->safe_psql('postgres', q{
	SELECT defer.resume('work'), defer.resume('wait_for');
	ALTER SYSTEM RESET defer.enabled});
$node->reload;
settled($node, 'all run');
check_history($node, 'recovery beside a locked row');

# 3. A job that may have crashed the server runs alone among its like.  One that could not be
# taken, as its row is locked, keeps none of them waiting while the worker runs something else.
$node->safe_psql('postgres', q{ALTER SYSTEM SET defer.max_workers = 4; CREATE ROLE other LOGIN;
	GRANT USAGE ON SCHEMA defer TO other; GRANT INSERT ON effect TO other; SELECT pg_reload_conf()});
$gate->query_safe('SELECT pg_advisory_lock(7)');
my ($suspect, $long, $next) = split /\n/, $node->safe_psql('postgres', q{
	BEGIN;
	SELECT defer.pause('work');
	SELECT defer.pause('wait_for');
	SELECT defer.enqueue('wait_for', '[8]');
	SELECT defer.enqueue('wait_for', '[7]');
	SET LOCAL ROLE other;
	SELECT defer.enqueue('work', '[3]');
	RESET ROLE;
	UPDATE defer.job SET suspect = 2 WHERE args->>0 IN ('8', '3') OR args->>'n' = '3' OR args->>'lock' = '8';
	COMMIT}) =~ s/^\n+//r;
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.job WHERE suspect = 2}), '2', 'two may have crashed the server');
$holder->query_safe("BEGIN; SELECT count(*) FROM (SELECT FROM defer.job WHERE id = $suspect FOR UPDATE) x");
$node->safe_psql('postgres', q{SELECT defer.resume('wait_for')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $long", 'what is behind a locked one of them runs');
$node->safe_psql('postgres', q{SELECT defer.resume('work')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $next", 'and beside it the other one of them');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $long"), 'running', 'which has not waited for it');
$gate->query_safe('SELECT pg_advisory_unlock(7)');
$holder->query_safe('COMMIT');
settled($node, 'all run when the lock is gone');
check_history($node, 'suspects beside a locked row');

$_->quit for $holder, $gate;
$node->stop;
done_testing();
