# Why a job waits: defer.why() and defer.jobs.waiting_for, for each of the reasons.
use strict;
use warnings;

use DeferTest;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 2
defer.max_deliveries = 4
defer.http_allow = '127.0.0.1'
max_prepared_transactions = 2});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE app LOGIN;
	CREATE ROLE other LOGIN;
	GRANT USAGE ON SCHEMA defer TO app, other;
	CREATE TABLE gate (open boolean);
	GRANT SELECT ON gate TO PUBLIC;
	CREATE FUNCTION free() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	CREATE FUNCTION boom() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', 'a reason'; END $$});

sub sql { return $node->safe_psql('postgres', @_); }
sub why { return sql("SELECT reason, detail FROM defer.why($_[0])"); }
sub waiting_for { return sql("SELECT coalesce(waiting_for, '-') FROM defer.jobs WHERE id = $_[0]"); }

# The reasons of a job, and that the view has the first of them
sub is_waiting
{
	my ($id, $pattern, $what) = @_;
	my $reasons = why($id);

	like($reasons, $pattern, $what);
	is(waiting_for($id), (split /\|/, $reasons)[0], "$what: in the view");
	return;
}

sub until_running { return until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $_[0]", $_[1]); }

# Its time has not come
my $id = sql(q{SELECT defer.enqueue('free', delay => '1 day')});
is_waiting($id, qr/^run_at\|its time has not come$/, 'delay');
is(sql("SELECT w.until = j.run_at FROM defer.why($id) w, defer.jobs j WHERE j.id = $id"), 't', 'until then');
$id = sql(q{SELECT defer.enqueue('boom', initial_interval => '1 day')});
until_ok($node, "SELECT state = 'retrying' FROM defer.jobs WHERE id = $id", 'an attempt has failed');
is_waiting($id, qr/^run_at\|the next attempt, after 1 without success: no: a reason$/, 'a retry');

# Nothing: it has ended, or runs
is(sql(q{SELECT count(*) FROM defer.jobs j, LATERAL defer.why(j.id) WHERE j.finished_at IS NOT NULL}), '0', 'none of a job that has ended');
my ($status, $out, $err) = $node->psql('postgres', 'SELECT defer.why(99999)');
like($err, qr/job 99999 does not exist/, 'no such job');
($status, $out, $err) = $node->psql('postgres', 'SELECT defer.why(NULL)');
like($err, qr/"id" must not be null/, 'NULL is refused');
is(sql('SELECT defer.waiting_for(99999) IS NULL'), 't', 'no such job: NULL in the view');

# Paused: function, queue, both, the server
sql(q{SELECT defer.pause('free'), defer.create_queue('side'), defer.pause_queue('side')});
$id = sql(q{SELECT defer.enqueue('free', queue => 'side')});
is_waiting($id, qr/^paused\|function public\.free\(\) is paused\npaused\|queue "side" is paused$/, 'function and queue');
sql(q{SELECT defer.resume('free')});
is_waiting($id, qr/^paused\|queue "side" is paused$/, 'the queue alone');
sql(q{ALTER SYSTEM SET defer.enabled = off});
sql(q{SELECT pg_reload_conf()});
until_ok($node, q{SELECT NOT current_setting('defer.enabled')::boolean}, 'switched off');
is_waiting($id, qr/^paused\|defer\.enabled is off\npaused\|queue "side" is paused$/, 'the server');
sql(q{ALTER SYSTEM RESET defer.enabled});
sql(q{SELECT pg_reload_conf()});
until_ok($node, q{SELECT current_setting('defer.enabled')::boolean}, 'switched on');
is(sql("SELECT defer.cancel($id)"), 't', 'cancelled');
sql(q{SELECT defer.drop_queue('side')});

# Paused: a role that may not log in, or connect
$id = sql(q{SET ROLE app; SELECT defer.enqueue('free', delay => '1 day')});
sql(q{ALTER ROLE app NOLOGIN});
is_waiting($id, qr/^run_at\|[^\n]*\npaused\|role "app" may not log in$/, 'no login');
sql("SELECT defer.reschedule($id)");
is_waiting($id, qr/^paused\|role "app" may not log in$/, 'no login, and due');
sql(q{REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; ALTER ROLE app LOGIN});
is_waiting($id, qr/^paused\|role "app" may not connect to this database$/, 'no connect');
sql(q{GRANT CONNECT ON DATABASE postgres TO PUBLIC});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", 'and then it runs');

# Concurrency: of the function, of the queue; running jobs are named
sql(q{SELECT defer.configure('gated', concurrency => 1), defer.create_queue('one', concurrency => 1)});
my $runs = sql(q{SELECT defer.enqueue('gated', queue => 'one')});
until_running($runs, 'a job runs');
is(why($runs), '', 'no reason for a job that runs');
is(waiting_for($runs), '-', 'and none in the view');
$id = sql(q{SELECT defer.enqueue('gated', queue => 'one')});
is_waiting($id, qr/^concurrency\|1 of 1 jobs of function public\.gated\(\) run: $runs\nconcurrency\|1 of 1 jobs in queue "one" run: $runs$/, 'both limits');
my $by_queue = sql(q{SELECT defer.enqueue('free', queue => 'one')});
is_waiting($by_queue, qr/^concurrency\|1 of 1 jobs in queue "one" run: $runs$/, 'the limit of a queue');

# Groups: their limits under function and queue, those of one group, pauses with a reason
sql(q{SELECT defer.configure('gated', group_concurrency => 1), defer.create_queue('tenants', group_concurrency => 2),
	defer.set_group('acme', queue => 'tenants', concurrency => 1)});
sql(q{SELECT defer.cancel(} . $id . q{), defer.cancel(} . $by_queue . q{), defer.configure('gated', concurrency => 2)});
my $grouped = sql(q{SELECT defer.enqueue('gated', queue => 'tenants', group_key => 'acme')});
until_running($grouped, 'a job of a group runs');
$id = sql(q{SELECT defer.enqueue('gated', queue => 'tenants', group_key => 'acme')});
is_waiting($id, qr/^concurrency\|2 of 2 jobs of function public\.gated\(\) run: $runs, $grouped
concurrency\|1 of 1 jobs of group "acme" of function public\.gated\(\) run: $grouped
concurrency\|1 of 1 jobs of group "acme" in queue "tenants" run: $grouped$/, 'the limits of a group');
$by_queue = sql(q{SELECT defer.enqueue('free', queue => 'tenants', group_key => 'acme')});
is_waiting($by_queue, qr/^concurrency\|1 of 1 jobs of group "acme" in queue "tenants" run: $grouped$/, 'the limit of a group in a queue');
my $blue = sql(q{SELECT defer.enqueue('free', queue => 'tenants', group_key => 'blue', run_at => '2100-01-01')});
is_waiting($blue, qr/^run_at\|[^\n]*$/, 'another group is under no limit of that one');
sql(q{SELECT defer.set_group('blue', queue => 'tenants', paused => true, reason => 'invoice not paid'), defer.set_group('blue', "function" => 'free', paused => true)});
is_waiting($blue, qr/^run_at\|[^\n]*
paused\|group "blue" of function public\.free\(\) is paused
paused\|group "blue" in queue "tenants" is paused: invoice not paid$/, 'pauses of a group');
sql(q{SELECT defer.set_group('blue', queue => 'tenants', paused => false)});
is_waiting($blue, qr/^run_at\|[^\n]*\npaused\|group "blue" of function public\.free\(\) is paused$/, 'one of them is over');
sql("SELECT defer.cancel($blue), defer.cancel($id), defer.cancel($by_queue), defer.cancel($grouped, true)");
until_ok($node, "SELECT state = 'cancelled' FROM defer.jobs WHERE id = $grouped", 'the job of the group has ended');
sql(q{SELECT defer.reset_group('blue', "function" => 'free'), defer.configure('gated', reset => true), defer.configure('gated', concurrency => 1)});
$id = sql(q{SELECT defer.enqueue('gated', queue => 'one')});

# The row is locked by a session, or changed by this one
my $session = $node->background_psql('postgres', on_error_stop => 1);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe("BEGIN; SELECT defer.reschedule($id)");
like(why($id), qr/^lock\|the transaction of process $pid has changed or locked its row$/m, 'locked');
$session->query_safe('ROLLBACK');
unlike(why($id), qr/^lock/m, 'not any more');
like(sql("BEGIN; SELECT defer.reschedule($id); SELECT reason FROM defer.why($id)"), qr/^commit$/m, 'changed by this transaction');
$id = sql(q{BEGIN; SELECT defer.enqueue('free') AS id \gset
SELECT waiting_for FROM defer.jobs WHERE id = :id;});
is($id, 'commit', 'enqueued by this transaction');

$session->quit;

# Workers are busy
sql(q{SELECT defer.configure('gated', reset => true)});
my $second = sql(q{SELECT defer.enqueue('gated')});
until_running($second, 'two jobs run');
$id = sql(q{SELECT defer.enqueue('free')});
until_ok($node, "SELECT waiting_for = 'worker' FROM defer.jobs WHERE id = $id", 'it waits for a worker');
like(why($id), qr/^worker\|(all workers that the role may have are busy: 2 of role "postgres", of 2 on the server \(defer\.max_workers is 2\)|is in the batch of the worker with PID \d+, behind job \d+)$/,
	'all workers are busy');
sql(q{INSERT INTO gate VALUES (true)});
settled($node, 'all have run') if sql(q{SELECT count(defer.cancel(id)) >= 0 FROM defer.jobs WHERE state IN ('scheduled', 'retrying')}) eq 't';
is(sql(q{SELECT count(*) FROM defer.jobs WHERE waiting_for IS NOT NULL}), '0', 'nothing waits for anything');

# Many behind them, in the workers' batches or not claimed yet
sql(q{DELETE FROM gate});
sql(q{SELECT count(defer.enqueue('gated')) FROM generate_series(1, 12)});
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE state = 'running'}, 'two jobs run');
is(sql(q{SELECT count(*) FROM defer.jobs WHERE state = 'queued' AND waiting_for = 'worker'}), '10', 'the others wait for a worker');
is(sql(q{SELECT DISTINCT w.reason FROM defer.jobs j, LATERAL defer.why(j.id) w WHERE j.state = 'queued'}), 'worker', 'all of them');
sql(q{INSERT INTO gate VALUES (true)});
settled($node, 'all have run');
sql(q{DELETE FROM gate});

# A run of a schedule behind the one before
sql(q{SELECT defer.cron('gated', 'every 1 second', overlap => 'queue')});
until_ok($node, q{SELECT count(*) > 1 FROM defer.jobs WHERE run_at = 'infinity'}, 'runs are held');
($runs, $id, my $third) = split /\n/, sql(q{SELECT id FROM defer.jobs WHERE schedule = 'gated' AND finished_at IS NULL ORDER BY id LIMIT 3});
is_waiting($id, qr/^order\|waits for job $runs, the run of its schedule before it$/, 'held behind the one that runs');
is_waiting($third, qr/^order\|waits for job $runs, the run of its schedule before it$/, 'the one after that, too');
sql(q{SELECT defer.unschedule('gated')});
sql(q{INSERT INTO gate VALUES (true)});
settled($node, 'all have run');

# Behind the running job that has its key
sql(q{DELETE FROM gate});
$runs = sql(q{SELECT defer.enqueue('gated', key => 'k')});
until_running($runs, 'a job with a key runs');
$id = sql(q{SELECT defer.enqueue('gated', key => 'k', on_key => 'replace')});
is_waiting($id, qr/^order\|waits for job $runs, which had its key when it was enqueued$/, 'behind it');
sql(q{INSERT INTO gate VALUES (true)});
settled($node, 'all have run');

# The sender has as many deliveries of the role as it may
my $peer = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1') or die $!;
my $url = 'http://127.0.0.1:' . $peer->sockport . '/';
sql("SELECT defer.http('GET', '$url', max_attempts => 1, timeout => '5 minutes') FROM generate_series(1, 3)");
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE state = 'running' AND function = 'defer.http'}, 'two deliveries are under way');
$id = sql(q{SELECT id FROM defer.jobs WHERE state = 'queued' AND function = 'defer.http'});
is_waiting($id, qr/^worker\|the sender has 2 deliveries under way, 2 of role "postgres" \(defer\.max_deliveries is 4\)$/, 'the share of the role');
sql(q{SELECT defer.cancel(id, force => true) FROM defer.jobs WHERE finished_at IS NULL ORDER BY id DESC});
settled($node, 'all have ended');

# Another role's jobs are counted, not named; another role's job is not there
sql(q{DELETE FROM gate; SELECT defer.grant_queue('one', 'other')});
$runs = sql(q{SELECT defer.enqueue('gated', queue => 'one')});
until_running($runs, 'a job runs');
my $others = sql(q{SET ROLE other; SELECT defer.enqueue('free', queue => 'one')});
is(sql("SET ROLE other; SELECT reason, detail FROM defer.why($others)"), 'concurrency|1 of 1 jobs in queue "one" run',
	'jobs of another role: a count');
($status, $out, $err) = $node->psql('postgres', "SET ROLE other; SELECT defer.why($runs)");
like($err, qr/job $runs does not exist/, 'a job of another role');
is(sql("SET ROLE other; SELECT defer.waiting_for($runs) IS NULL"), 't', 'nor by the function of the view');
sql(q{INSERT INTO gate VALUES (true)});
settled($node, 'all have run');

# A copy that is not active; a server without defer
sql('CREATE DATABASE copy TEMPLATE postgres');
$id = $node->safe_psql('copy', q{SELECT defer.enqueue('free')});
is($node->safe_psql('copy', "SELECT reason, detail FROM defer.why($id)"),
	'paused|this database was restored or copied, and is not active: see defer.activate()', 'a copy');
is($node->safe_psql('copy', "SELECT waiting_for FROM defer.jobs WHERE id = $id"), 'paused', 'a copy: in the view');
$node->stop('fast');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$id = sql(q{SET client_min_messages = error; SELECT defer.enqueue('free')});
is_waiting($id, qr/^worker\|defer is not loaded by the server$/, 'not loaded');

$node->stop('fast');
done_testing();
