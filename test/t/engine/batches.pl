# Jobs that begin when a batch is over: once, with the counts of its jobs, whatever stops in
# the midst; two roles; transactions that are prepared or stay open; copies; retention.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $MANY = 100_000;
my $node = new_server('main', q{defer.max_workers = 4
max_prepared_transactions = 5
autovacuum = off});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE alice LOGIN;
	CREATE ROLE bob LOGIN;
	GRANT USAGE ON SCHEMA defer TO PUBLIC;
	CREATE TABLE effect (job bigint);
	CREATE TABLE gate (open text);
	GRANT ALL ON effect, gate TO PUBLIC;
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS 'INSERT INTO public.effect VALUES (defer.current_job())';
	CREATE FUNCTION some_fail(i int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF i % 1000 = 0 THEN PERFORM defer.give_up('no luck'); END IF;
		INSERT INTO public.effect VALUES (defer.current_job());
	END $$;
	CREATE FUNCTION gated(what text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect VALUES (defer.current_job());
		WHILE NOT EXISTS (SELECT FROM public.gate WHERE open = what) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	CREATE FUNCTION tally() RETURNS text LANGUAGE sql AS $$
		INSERT INTO public.effect VALUES (defer.current_job());
		SELECT string_agg(b.jobs::text, ' ') FROM defer.batch() b $$;
	CREATE FUNCTION fan_out(n int) RETURNS bigint LANGUAGE sql AS $$
		INSERT INTO public.effect VALUES (defer.current_job());
		SELECT count(defer.enqueue('public.some_fail', jsonb_build_array(i))) FROM generate_series(1, n) i;
		SELECT defer.when_done('public.tally') $$});

sub value { return $node->safe_psql('postgres', @_); }

sub state_is
{
	my ($id, $state, $what) = @_;

	return until_ok($node, "SELECT state = '$state' FROM defer.jobs WHERE id = $id", $what);
}

# The jobs that wait for the batch of a job
sub callbacks { return value("SELECT string_agg(job_id::text, ',' ORDER BY job_id) FROM defer.dependencies WHERE after_id = $_[0] AND batch"); }

# All that the checker of histories knows of batches
sub batches_are_right
{
	my ($what) = @_;

	for my $assertion (grep { $_->[0] =~ /batch|nothing is left/ } HistoryChecker::assertions())
	{
		until_ok($node, "SELECT NOT EXISTS ($assertion->[1])", "$what: $assertion->[0]");
	}
	return;
}

# Many, on all workers
my $id = value("SELECT defer.enqueue('fan_out', '[$MANY]')");
state_is($id, 'succeeded', 'the fan-out');
my $callback = callbacks($id);
state_is($callback, 'succeeded', "after $MANY jobs");
is(value("SELECT defer.result($callback)"), sprintf('"%d %d 0 0"', $MANY - $MANY / 1000, $MANY / 1000), 'with their counts');
settled($node, 'many');
check_history($node, 'many');
batches_are_right('many');

# What stops in the midst
for my $how (qw(immediate fast kill_worker kill_scheduler))
{
	my @ids = map { value("SELECT defer.enqueue('fan_out', '[$_]')") } (1, 300, 10_000);

	state_is($ids[2], 'succeeded', "$how: the fan-out");
	until_ok($node, "SELECT succeeded > 0 FROM defer.batches WHERE job_id = $ids[2]", "$how: some have ended");
	if ($how eq 'kill_scheduler')
	{
		$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM defer.workers WHERE kind = 'scheduler'});
	}
	elsif ($how eq 'kill_worker')
	{
		kill('KILL', value(q{SELECT pid FROM defer.workers WHERE kind = 'worker' LIMIT 1}));
		$node->poll_query_until('postgres', 'SELECT true');
	}
	else
	{
		$node->stop($how);
		$node->start;
	}
	settled($node, "$how: all end");
	is(value("SELECT string_agg(defer.result(job_id)::text, ' ' ORDER BY job_id) FROM defer.dependencies WHERE batch AND after_id IN (" . join(',', @ids) . ')'),
		'"1 0 0 0" "300 0 0 0" "9990 10 0 0"', "$how: the counts");
	check_history($node, $how);
	batches_are_right($how);
}

# What is enqueued while the scheduler starts, and counts what it sees, is counted, too
$node->safe_psql('postgres', q{
	CREATE FUNCTION fans_out_slowly() RETURNS void LANGUAGE sql AS $$
		INSERT INTO public.effect VALUES (defer.current_job());
		SELECT defer.when_done('public.tally');
		SELECT count(defer.enqueue('public.work')) FROM generate_series(1, 10);
		SELECT public.gated('counted')$$;
	CREATE FUNCTION nothing() RETURNS void LANGUAGE sql AS 'SELECT'});
for my $how ('is terminated', 'loads again')
{
	my $slow = value(q{SELECT defer.enqueue('fans_out_slowly')});
	my $scheduler = value(q{SELECT pid FROM defer.workers WHERE kind = 'scheduler' AND database = 'postgres'});
	state_is($slow, 'running', "the scheduler $how: a job enqueues others");
	if ($how eq 'is terminated')
	{
		value("SELECT pg_terminate_backend($scheduler)");
		until_ok($node, "SELECT EXISTS (SELECT FROM defer.workers WHERE kind = 'scheduler' AND database = 'postgres' AND pid <> $scheduler)", 'another one starts');
	}
	else
	{
		value(q{BEGIN; SELECT defer.enqueue('work'); PREPARE TRANSACTION 'p'});
		value(q{COMMIT PREPARED 'p'});
	}
	# a worker of a role that had none shows that it has loaded
	my $role = $how eq 'is terminated' ? 'alice' : 'bob';
	state_is(value("SET ROLE $role; SELECT defer.enqueue('nothing')"), 'succeeded', 'it has');
	value(q{INSERT INTO gate VALUES ('counted')});
	state_is($slow, 'succeeded', 'the job ends');
	until_ok($node, "SELECT state = 'succeeded' AND result = '\"10 0 0 0\"' FROM defer.jobs WHERE id = " . callbacks($slow), "the scheduler $how: its batch is counted");
	value(q{DELETE FROM gate});
}

# Jobs of a batch do not wait to be counted for a longer job that was taken with them
$node->append_conf('postgresql.conf', 'defer.max_workers = 1');
$node->restart;
$node->safe_psql('postgres', q{
	CREATE FUNCTION waits_and_fans_out() RETURNS void LANGUAGE sql AS $$
		SELECT count(defer.enqueue('public.work')) FROM generate_series(1, 100);
		SELECT defer.when_done('public.tally');
		SELECT public.gated('begin') $$});
$id = value(q{SELECT defer.enqueue('waits_and_fans_out')});
state_is($id, 'running', 'it runs');
my $long = value(q{SELECT defer.enqueue('gated', '["long"]', delay => '1 s')});
$node->safe_psql('postgres', q{SELECT pg_sleep(1.1); INSERT INTO gate VALUES ('begin')});
state_is($long, 'running', 'a longer one runs');
$callback = callbacks($id);
state_is($callback, 'queued', 'and the job after the batch is ready');
$node->safe_psql('postgres', q{INSERT INTO gate VALUES ('long')});
settled($node, 'longer');
batches_are_right('longer');
$node->append_conf('postgresql.conf', 'defer.max_workers = 4');
$node->restart;

# Bob does not wait for alice
for my $role ([ 'alice', 20_000 ], [ 'bob', 100 ])
{
	$node->safe_psql('postgres', "SELECT defer.enqueue('fan_out', '[$role->[1]]')", extra_params => [ '-U', $role->[0] ]);
}
settled($node, 'jobs of both roles');
is(value(q{SELECT string_agg(owner || ' ' || (result #>> '{}'), ', ' ORDER BY run_at) FROM defer.jobs WHERE function = 'public.tally()' AND owner IN ('alice', 'bob')}),
	'bob 100 0 0 0, alice 19980 20 0 0', 'the batch of bob was over first');

# The job does not begin before the transaction that waits for it has ended
$id = value(q{SELECT defer.enqueue('fan_out', '[3]', delay => '1 day')});
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT defer.when_done('tally', of => $id)");
my $other = $node->background_psql('postgres');
$other->query_until(qr/begun/, "\\echo begun\nSELECT defer.reschedule($id, now());\n");
until_ok($node, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%reschedule%')}, 'another session waits');
$session->query_safe('COMMIT');
$session->quit;
settled($node, 'committed');
$other->quit;
is(value("SELECT string_agg(defer.result(job_id)::text, ' ') FROM defer.dependencies WHERE batch AND after_id = $id"), '"3 0 0 0" "3 0 0 0"', 'both callbacks ran');

# Jobs that are cancelled by a prepared transaction
$id = value(q{SELECT defer.enqueue('fan_out', '[0]', delay => '1 day', when_done => 'tally')});
$node->safe_psql('postgres', "BEGIN; SELECT defer.cancel($id); PREPARE TRANSACTION 'end'");
is(value("SELECT done FROM defer.batches WHERE job_id = $id"), 'f', 'the end is prepared only');
$node->safe_psql('postgres', "COMMIT PREPARED 'end'");
state_is(callbacks($id), 'succeeded', 'the end is committed');
$node->safe_psql('postgres', "BEGIN; SELECT defer.enqueue('fan_out', '[5]', when_done => 'tally'); PREPARE TRANSACTION 'begin'");
$node->safe_psql('postgres', "COMMIT PREPARED 'begin'");
settled($node, 'prepared');
batches_are_right('prepared');

# Each in a subtransaction, and half of these rolled back
$node->safe_psql('postgres', q{
	CREATE FUNCTION in_subtransactions() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect VALUES (defer.current_job());
		FOR i IN 1..1000 LOOP
			BEGIN
				PERFORM defer.enqueue('public.work');
				BEGIN
					PERFORM defer.enqueue('public.work');
					IF i % 4 = 0 THEN RAISE division_by_zero; END IF;
				EXCEPTION WHEN division_by_zero THEN NULL;
				END;
				IF i % 2 = 0 THEN RAISE division_by_zero; END IF;
			EXCEPTION WHEN division_by_zero THEN NULL;
			END;
		END LOOP;
		PERFORM defer.when_done('public.tally');
	END $$});
$id = value(q{SELECT defer.enqueue('in_subtransactions')});
settled($node, 'subtransactions');
is(value('SELECT defer.result(' . callbacks($id) . ')'), '"1000 0 0 0"', 'those that were committed count');
batches_are_right('subtransactions');

# A dump in the midst: all of it goes on in the copy
$id = value(q{SELECT defer.enqueue('fan_out', '[3]')});
state_is(callbacks($id), 'succeeded', 'one more');
$node->safe_psql('postgres', q{
	CREATE FUNCTION fan_out_gated() RETURNS void LANGUAGE sql AS $$
		INSERT INTO public.effect VALUES (defer.current_job());
		SELECT defer.enqueue('public.work'), defer.enqueue('public.gated', '["copy"]', delay => '1 day');
		SELECT defer.when_done('public.tally') $$});
$id = value(q{SELECT defer.enqueue('fan_out_gated')});
until_ok($node, "SELECT succeeded = 1 FROM defer.batches WHERE job_id = $id", 'one has ended, one waits');
$callback = callbacks($id);
my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'it is dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-q', '-d', $node->connstr('copy'), '-f', $dump ], 'and restored');
$node->safe_psql('copy', q{SET client_min_messages = warning; SELECT defer.activate(); INSERT INTO gate VALUES ('copy')});
$node->safe_psql('copy', "SELECT defer.reschedule(id, now()) FROM defer.jobs WHERE parent_id = $id AND finished_at IS NULL");
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $callback", 'the copy goes on', 'copy');
is($node->safe_psql('copy', "SELECT defer.result($callback)"), '"2 0 0 0"', 'with all counts');
is(value("SELECT state FROM defer.jobs WHERE id = $callback"), 'waiting', 'the original waits');
$node->safe_psql('postgres', "SELECT defer.cancel(id) FROM defer.jobs WHERE parent_id = $id AND finished_at IS NULL");
state_is($callback, 'succeeded', 'it is cancelled there');
is(value("SELECT defer.result($callback)"), '"1 0 1 0"', 'and counted as that');

# When the history of all is gone so is the batch
cmp_ok(value('SELECT count(*) FROM defer.fan_out'), '>', 10, 'batches are kept with their jobs');
$node->safe_psql('postgres', q{UPDATE defer.job_history SET finished_at = now() - interval '90 days'});
$node->reload;
until_ok($node, 'SELECT NOT EXISTS (SELECT FROM defer.fan_out) AND NOT EXISTS (SELECT FROM defer.dependency)', 'and go with them');

$node->stop;
done_testing();
