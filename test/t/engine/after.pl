# Jobs that come after many others, and many after one; turns of roles; crashes in the
# midst; prepared transactions; what is left when the history goes.
use strict;
use warnings;

use DeferTest;
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
	CREATE FUNCTION work() RETURNS int LANGUAGE sql AS 'INSERT INTO public.effect VALUES (defer.current_job()); SELECT 7';
	CREATE FUNCTION gated(what text) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect VALUES (defer.current_job());
		WHILE NOT EXISTS (SELECT FROM public.gate WHERE open = what) LOOP PERFORM pg_sleep(0.01); END LOOP;
		RETURN 7;
	END $$;
	CREATE FUNCTION inputs() RETURNS bigint LANGUAGE sql AS
		'INSERT INTO public.effect VALUES (defer.current_job()); SELECT sum(i.result::int) FROM defer.inputs() i'});

sub state_is
{
	my ($id, $state, $what) = @_;

	return until_ok($node, "SELECT state = '$state' FROM defer.jobs WHERE id = $id", $what);
}

# One job after many, and many after one
my $last = $node->safe_psql('postgres', qq{
	SELECT defer.enqueue('inputs', after => array_agg(defer.enqueue('work'))) FROM generate_series(1, $MANY)});
state_is($last, 'succeeded', "one job after $MANY");
is($node->safe_psql('postgres', "SELECT defer.result($last)"), 7 * $MANY, 'it has the results of all');
my $first = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated', '["first"]')});
$node->safe_psql('postgres', qq{SELECT count(defer.enqueue('work', after => ARRAY[${first}::bigint])) FROM generate_series(1, $MANY)});
is($node->safe_psql('postgres', q{SELECT waiting FROM defer.live_functions WHERE function = 'public.work()'}), $MANY, "$MANY wait");
$node->safe_psql('postgres', q{INSERT INTO gate VALUES ('first')});
settled($node, "$MANY jobs after one");
check_history($node, 'many');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.dependency WHERE open}), '0', 'nothing is open');

# Bob does not wait for what comes after a job of alice
my $parent = sub {
	my ($role, $n) = @_;
	my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated', '["roles"]')}, extra_params => [ '-U', $role ]);

	$node->safe_psql('postgres', "SELECT count(defer.enqueue('work', after => ARRAY[${id}::bigint])) FROM generate_series(1, $n)",
		extra_params => [ '-U', $role ]);
	return;
};
$parent->('alice', 30_000);
$parent->('bob', 500);
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE state = 'running' AND function LIKE '%gated%'}, 'both run');
$node->safe_psql('postgres', q{INSERT INTO gate VALUES ('roles')});
settled($node, 'jobs of both roles');
# run_at is when a job was made ready
is($node->safe_psql('postgres', q{
	SELECT max(run_at) FILTER (WHERE owner = 'bob') < max(run_at) FILTER (WHERE owner = 'alice') FROM defer.jobs WHERE function = 'public.work()'}),
	't', 'those of bob were ready before all of alice were');

# A crash while the scheduler makes them ready; what it was told is lost
for my $how (qw(immediate kill_scheduler kill_worker))
{
	$node->safe_psql('postgres', 'TRUNCATE gate');
	my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated', '["crash"]')});

	$node->safe_psql('postgres', "SELECT count(defer.enqueue('work', after => ARRAY[${id}::bigint])) FROM generate_series(1, 20000)");
	my $one = $node->safe_psql('postgres', "SELECT defer.enqueue('work', after => array_agg(job_id)) FROM defer.dependencies WHERE after_id = $id");
	state_is($id, 'running', "$how: the first runs");
	$node->safe_psql('postgres', q{INSERT INTO gate VALUES ('crash')});
	until_ok($node, "SELECT count(*) FILTER (WHERE NOT open) > 0 FROM defer.dependencies WHERE after_id = $id", "$how: some are ready");
	if ($how eq 'kill_scheduler')
	{
		$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM defer.workers WHERE kind = 'scheduler'});
	}
	elsif ($how eq 'kill_worker')
	{
		# it takes all of the server's processes with it, and shared memory
		kill('KILL', $node->safe_psql('postgres', q{SELECT pid FROM defer.workers WHERE kind = 'worker' LIMIT 1}));
		$node->poll_query_until('postgres', 'SELECT true');
	}
	else
	{
		$node->stop('immediate');
		$node->start;
	}
	settled($node, "$how: all end");
	state_is($one, 'succeeded', "$how: and the one after all of them");
	check_history($node, $how);
}

# Prepared transactions: the job ends before, between and after
$node->safe_psql('postgres', 'TRUNCATE gate');
my $held = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated', '["prepared"]')});
my $early = $node->safe_psql('postgres', "BEGIN; SELECT defer.enqueue('inputs', after => ARRAY[$held]); PREPARE TRANSACTION 'early'");
my $late = $node->safe_psql('postgres', "BEGIN; SELECT defer.enqueue('inputs', after => ARRAY[$held]); PREPARE TRANSACTION 'late'");
$node->safe_psql('postgres', "COMMIT PREPARED 'early'");
$node->safe_psql('postgres', q{INSERT INTO gate VALUES ('prepared')});
state_is($early, 'succeeded', 'committed before the end');
$node->safe_psql('postgres', "COMMIT PREPARED 'late'");
state_is($late, 'succeeded', 'committed after the end');
my $before = $node->safe_psql('postgres', q{SELECT defer.enqueue('work', delay => '1 day')});
my $behind = $node->safe_psql('postgres', "SELECT defer.enqueue('work', after => ARRAY[$before], after_failure => 'run')");
$node->safe_psql('postgres', "BEGIN; SELECT defer.cancel($before); PREPARE TRANSACTION 'end'");
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $behind"), 'waiting', 'the end is prepared only');
$node->safe_psql('postgres', "COMMIT PREPARED 'end'");
state_is($behind, 'succeeded', 'the end is committed');

# The history of the earlier job goes: its result is kept, and who is held waits no more
$node->safe_psql('postgres', q{CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE 'no luck'; END$$});
my $old = $node->safe_psql('postgres', q{SELECT defer.enqueue('work')});
my $bad = $node->safe_psql('postgres', q{SELECT defer.enqueue('fails', max_attempts => 1)});
my $blocker = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated', '["old"]')});
state_is($old, 'succeeded', 'one has succeeded');
state_is($bad, 'failed', 'one has failed');
my $keeps = $node->safe_psql('postgres', "SELECT defer.enqueue('inputs', after => ARRAY[$old, $blocker])");
my $holds = $node->safe_psql('postgres', "SELECT defer.enqueue('inputs', after => ARRAY[$bad], after_failure => 'hold')");
$node->safe_psql('postgres', "UPDATE defer.job_history SET finished_at = now() - interval '90 days' WHERE id IN ($old, $bad)");
$node->reload;
until_ok($node, "SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE id IN ($old, $bad))", 'their history is gone');
state_is($holds, 'cancelled', 'the one that is held is cancelled');
is($node->safe_psql('postgres', "SELECT error FROM defer.jobs WHERE id = $holds"), "job $bad, which it came after, is not there any more", 'and says why');
$node->safe_psql('postgres', q{INSERT INTO gate VALUES ('old')});
state_is($keeps, 'succeeded', 'the other one runs');
is($node->safe_psql('postgres', "SELECT defer.result($keeps)"), '14', 'with both results');
$node->safe_psql('postgres', "UPDATE defer.job_history SET finished_at = now() - interval '90 days' WHERE id = $keeps");
$node->reload;
until_ok($node, "SELECT NOT EXISTS (SELECT FROM defer.dependency WHERE child_id = $keeps)", 'rows of jobs that are gone are deleted');

$node->stop;
done_testing();
