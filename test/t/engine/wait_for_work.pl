# defer.wait_for_work(): sessions that wait for jobs of tasks without a snapshot and
# without work for the processor; one is woken for a job, and another if that one takes
# none.  Likewise defer.await_any().  DEFER_WAITERS: how many sessions wait; 200 by
# itself; 2000 want "ulimit -n 8000".
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawSession;
use Test::More;

my $waiters = $ENV{DEFER_WAITERS} // 200;
my $connections = $waiters + 40;
my $node = new_server('main', qq{defer.max_workers = 4
max_connections = $connections});
my $waiting = q{FROM pg_stat_activity WHERE query LIKE 'CALL defer.wait_for_work%' AND wait_event IN ('DeferWork', 'Extension') AND state = 'active'};

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE worker LOGIN;
	CREATE ROLE stranger LOGIN;
	GRANT USAGE ON SCHEMA defer TO worker, stranger;
	SELECT defer.create_task('remote', initial_interval => '0');
	SELECT defer.create_task('other');
	SELECT defer.create_task('narrow', concurrency => 1);
	SELECT defer.create_queue('a');
	SELECT defer.create_queue('b');
	SELECT defer.grant_task('remote', 'worker', 'work');
	CREATE TABLE plain (a int)});

sub sqlstate_of
{
	my ($session, $sql) = @_;

	$session->send($sql)->finish;
	return $session->{sqlstate};
}

sub wait_sql
{
	my ($tasks, $more) = @_;

	return "CALL defer.wait_for_work('{$tasks}', '10 minutes'" . ($more // '') . ')';
}

# Begin to wait, and return when it does
sub waits
{
	my ($session, $tasks, $more) = @_;
	my $pid = $session->query('SELECT pg_backend_pid()');

	$session->send(wait_sql($tasks // 'remote', $more));
	$node->poll_query_until('postgres', "SELECT count(*) = 1 $waiting AND pid = $pid") || die 'it does not wait';
	return $session;
}

# Enqueue, in a transaction of its own
sub enqueue
{
	my ($task, $more) = @_;

	return $node->safe_psql('postgres', "SELECT defer.enqueue('$task'" . ($more // '') . ')');
}

my $take = q{SELECT count(defer.complete(id, token)) FROM defer.take('{remote}')};

# Errors
my $one = RawSession->new($node);
my $stranger = RawSession->new($node, 'stranger');

is(sqlstate_of($one, "CALL defer.wait_for_work('{remote}', '0')"), '', 'nothing to do');
is($one->{rows}[0][0], 'f', 'no work');
is(sqlstate_of($one, "BEGIN; CALL defer.wait_for_work('{remote}', '0')"), '25001', 'not in a transaction block');
$one->query('ROLLBACK');
is(sqlstate_of($one, q{DO $$BEGIN CALL defer.wait_for_work('{remote}', '0', work => NULL); EXCEPTION WHEN division_by_zero THEN NULL; END$$}), '42601', 'an output needs a variable');
is(sqlstate_of($one, q{DO $$DECLARE w boolean; BEGIN CALL defer.wait_for_work('{remote}', '0', NULL, w); EXCEPTION WHEN division_by_zero THEN NULL; END$$}), '25001', 'nor in a block with EXCEPTION');
is(sqlstate_of($one, "CALL defer.wait_for_work('{nothing}')"), '42704', 'no such task');
is(sqlstate_of($one, "CALL defer.wait_for_work('{remote}', '0', '{nothing}')"), '42704', 'no such queue');
is(sqlstate_of($one, "CALL defer.wait_for_work('{remote}', '-1 s')"), '22023', 'a negative time');
is(sqlstate_of($stranger, "CALL defer.wait_for_work('{remote}')"), '42501', 'another role may not wait for its jobs');
is(sqlstate_of($stranger, q{CALL defer.wait_for_work(timeout => '0')}), '', 'for all that it may work on');
is($stranger->{rows}[0][0], 'f', 'which is nothing');

# Shortly before the server's own limits it is as if the time were over
$one->query(q{SET statement_timeout = '1 s'});
is($one->query(wait_sql('remote')), 'f', 'it returns before statement_timeout');
$one->query('RESET statement_timeout');

# Called by a procedure, and by the extended protocol
$node->safe_psql('postgres', q{
	CREATE PROCEDURE serve(n integer) LANGUAGE plpgsql AS $$
	DECLARE
		work boolean;
	BEGIN
		WHILE n > 0 LOOP
			CALL defer.wait_for_work('{remote}', '10 minutes', NULL, work);
			n := n - (SELECT count(defer.complete(t.id, t.token)) FROM defer.take('{remote}') t);
			COMMIT;
		END LOOP;
	END $$});
$one->send('CALL serve(2)');
enqueue('remote') for 1 .. 2;
$one->finish;
is($one->{error}, '', 'a procedure that waits and takes');
enqueue('remote');
$one->send_extended(wait_sql('remote'));
is($one->finish, 't', 'the extended protocol');
is($one->query($take), 1, 'a job that was there before is found');

# Hundreds of sessions
my @all = map { RawSession->new($node, $_ % 2 ? undef : 'worker') } 1 .. $waiters;
$_->send(wait_sql('remote')) for @all;
until_ok($node, "SELECT count(*) = $waiters $waiting", "$waiters sessions wait");
is($node->safe_psql('postgres', "SELECT count(*) $waiting AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR xact_start IS NOT NULL)"), 0,
	'without a snapshot');
$node->safe_psql('postgres', 'CREATE INDEX CONCURRENTLY ON plain (a)');
pass('and hold up no CREATE INDEX CONCURRENTLY');

sub switches
{
	my $pids = $node->safe_psql('postgres', "SELECT pid $waiting");
	my $sum = 0;

	for my $pid (split /\n/, $pids)
	{
		open(my $file, '<', "/proc/$pid/status") or next;
		/^voluntary_ctxt_switches:\s*(\d+)/ and $sum += $1 while <$file>;
		CORE::close($file);
	}
	return $sum;
}
SKIP:
{
	skip 'no /proc', 1 unless -r '/proc/self/status';
	my $before = switches();

	select(undef, undef, undef, 1);
	cmp_ok(switches() - $before, '<', $waiters, 'nothing is polled');
}

my $answers = 0;
for my $turn (1 .. 5)
{
	enqueue('remote');
	my $done = 0;

	while (!$done)
	{
		my $woken = RawSession::first($PostgreSQL::Test::Utils::timeout_default, @all) // die 'nobody was woken';

		die $woken->{error} if $woken->{error} ne '';
		$answers++;
		$done = $woken->query($take);
		$woken->send(wait_sql('remote'));
	}
}
cmp_ok($answers, '<', $waiters, "not all are woken for a job: $answers for 5");
enqueue('other');
is(RawSession::first(0, @all), undef, 'nor any for a job of another task');

# Clients that go without a word are no longer there
$_->close for @all[ 2 .. $#all ];
until_ok($node, "SELECT count(*) = 2 $waiting", 'sessions of clients that have gone end');
my ($first, $second) = @all[ 0, 1 ];

# One that was woken and takes nothing, or goes: another one is woken
my $dead = waits(RawSession->new($node));
enqueue('remote');
my $woken = RawSession::first($PostgreSQL::Test::Utils::timeout_default, $first, $second, $dead);
my @others = grep { $_ != $woken } $first, $second, $dead;

my $next = RawSession::first($PostgreSQL::Test::Utils::timeout_default, @others);
ok($next, 'one that takes nothing is passed over');
my ($last) = grep { $_ != $next } @others;
$next->close;
ok(RawSession::first($PostgreSQL::Test::Utils::timeout_default, $last), 'one that goes, too');
is($last->query($take), 1, 'the job was not lost');
$last->close;
$woken->close;
until_ok($node, "SELECT count(*) = 0 $waiting", 'nobody waits');

# A transaction that takes and is rolled back
$first = waits(RawSession->new($node));
$second = waits(RawSession->new($node));
enqueue('remote');
$woken = RawSession::first($PostgreSQL::Test::Utils::timeout_default, $first, $second);
$next = $woken == $first ? $second : $first;
$woken->query(q{BEGIN; SELECT id FROM defer.take('{remote}')});
$woken->query('ROLLBACK');
is($next->finish, 't', 'a job that was given back wakes another');
is($next->query($take), 1, 'which takes it');

# Cancelled; terminated
waits($first);
$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) $waiting");
$first->finish;
is($first->{sqlstate}, '57014', 'it can be cancelled');
waits($first);
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $waiting");
until_ok($node, "SELECT count(*) = 0 $waiting", 'and terminated');
$first = $second;

# What else brings work: time, retries, places, leases that are over, settings
sub brings_work
{
	my ($what, $task, $do) = @_;

	waits($first, $task);
	my @result = $do->();
	is($first->finish, 't', $what);
	return @result;
}
brings_work('a job that is due later', 'remote', sub { enqueue('remote', q{, delay => '1 second'}) });
my ($job, $token) = split /\|/, $first->query(q{SELECT id, token FROM defer.take('{remote}')});
brings_work('a retry', 'remote', sub { $node->safe_psql('postgres', "SELECT defer.fail($job, '$token', 'on purpose')") });
$first->query(q{SELECT id, token FROM defer.take('{remote}', lease => '1 second')});
brings_work('a lease that is over', 'remote', sub { });
is($first->query($take), 1, 'its job can be taken');

enqueue('narrow') for 1 .. 2;
($job, $token) = split /\|/, $first->query(q{SELECT id, token FROM defer.take('{narrow}', n => 2)});
brings_work('a place under a limit', 'narrow', sub { $node->safe_psql('postgres', "SELECT defer.complete($job, '$token')") });
$node->safe_psql('postgres', q{SELECT count(defer.complete(id, token)) FROM defer.take('{narrow}')});
$node->safe_psql('postgres', q{SELECT defer.pause('narrow')});
enqueue('narrow');
brings_work('a pause that is over', 'narrow', sub { $node->safe_psql('postgres', q{SELECT defer.resume('narrow')}) });

my $locker = RawSession->new($node);
my $held = enqueue('remote');
$locker->query("BEGIN; SELECT FROM defer.job WHERE id = $held FOR UPDATE");
is($first->query($take), 0, 'a job that another session has locked');
$first->send(wait_sql('remote'));
$locker->query('COMMIT');
is($first->finish, 't', 'and sets free');
until_ok($node, $take =~ s/SELECT (.*?) FROM/SELECT $1 = 1 FROM/r, 'can be taken');

$node->append_conf('postgresql.conf', 'defer.enabled = off');
$node->reload;
until_ok($node, q{SELECT current_setting('defer.enabled') = 'off'}, 'switched off');
enqueue('remote');
is($first->query(q{CALL defer.wait_for_work('{remote}', '0')}), 'f', 'no work while it is switched off');
brings_work('switched on', 'remote', sub { $node->append_conf('postgresql.conf', 'defer.enabled = on'); $node->reload });
$first->query($take);

# Queues
waits($first, 'remote', q{, '{a}'});
$second = waits(RawSession->new($node), 'remote', q{, '{b}'});
enqueue('remote', q{, queue => 'b'});
is($second->finish, 't', 'the session that waits for the queue is woken');
is(RawSession::first(0, $first), undef, 'the other is not');
$second->query($take);
enqueue('remote', q{, queue => 'a'});
is($first->finish, 't', 'now it is');
$first->query($take);

# More tasks than can wake a session
$node->safe_psql('postgres', q{SELECT defer.create_task('many ' || i) FROM generate_series(1, 80) i});
my $pid = $first->query('SELECT pg_backend_pid()');
$first->send(q{CALL defer.wait_for_work(timeout => '10 minutes')});
until_ok($node, "SELECT count(*) = 0 FROM defer.live_jobs WHERE function LIKE 'many%'", 'none of these');
enqueue('many 80');
is($first->finish, 't', 'a job of the newest of many tasks');
$first->query(q{SELECT count(defer.complete(id, token)) FROM defer.take('{other,many 80,narrow}', n => 10)});

# The first of several jobs
$node->safe_psql('postgres', q{
	CREATE FUNCTION hold(n bigint) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN PERFORM pg_advisory_xact_lock(n); RETURN n; END$$;
	CREATE FUNCTION bad() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'on purpose'; END$$});
my $gate = RawSession->new($node);
$gate->query('SELECT pg_advisory_lock(1), pg_advisory_lock(2)');
my $slow = $node->safe_psql('postgres', q{SELECT defer.enqueue('hold', '[1]', max_duration => '0')});
my $slower = $node->safe_psql('postgres', q{SELECT defer.enqueue('hold', '[2]', max_duration => '0')});
my $any = RawSession->new($node);

is(sqlstate_of($any, "BEGIN; CALL defer.await_any('{$slow}')"), '25001', 'await_any: not in a transaction block');
$any->query('ROLLBACK');
is(sqlstate_of($any, q{CALL defer.await_any('{}')}), '22023', 'no jobs');
is(sqlstate_of($any, q{CALL defer.await_any('{1,NULL}')}), '22004', 'NULL among them');
is(sqlstate_of($any, q{CALL defer.await_any('{123456789}')}), '42704', 'no such job');
is(sqlstate_of($stranger, "CALL defer.await_any('{$slow}')"), '42704', 'jobs of others are not there');
is($any->query("CALL defer.await_any('{$slow,$slower}', '0')"), '||', 'none has ended in time');
my $ended = $node->safe_psql('postgres', q{SELECT defer.enqueue('bad', max_attempts => 1)});
until_ok($node, "SELECT state = 'failed' FROM defer.jobs WHERE id = $ended", 'one has failed');
is($any->query("CALL defer.await_any('{$slow,$ended}')"), "$ended|failed|", 'which is told');
my $any_waits = q{FROM pg_stat_activity WHERE query LIKE 'CALL defer.await_any%' AND wait_event IN ('DeferAwait', 'Extension') AND state = 'active'};
$any->send("CALL defer.await_any('{$slow,$slower}', '10 minutes')");
until_ok($node, "SELECT count(*) = 1 $any_waits AND backend_xmin IS NULL AND xact_start IS NULL", 'it waits without a snapshot');
for (1 .. 40)
{
	$node->safe_psql('postgres', q{SELECT count(defer.enqueue('bad', max_attempts => 1)) FROM generate_series(1, 3)});
}
is(RawSession::first(0, $any), undef, 'ends of other jobs do not end it');
$gate->query('SELECT pg_advisory_unlock(2)');
is($any->finish, "$slower|succeeded|2", 'the first that ends does');
$any->send("CALL defer.await_any('{$slow}', '10 minutes')");
until_ok($node, "SELECT count(pg_cancel_backend(pid)) = 1 $any_waits", 'it is cancelled');
$any->finish;
is($any->{sqlstate}, '57014', 'as any query');
$gate->query('SELECT pg_advisory_unlock(1)');
is($any->query("CALL defer.await_any('{$slow}')"), "$slow|succeeded|1", 'the session can go on');

# The server stops while sessions wait
waits($first);
$node->stop('fast');
pass('a fast stop ends them');
done_testing();
