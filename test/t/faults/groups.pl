# Limits of groups under random work, control, kills and crashes: each job looks for a free
# advisory lock of its group, of which there are as many as the limit allows, and complains
# if there is none.  At the end no place is missing.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{DEFER_SEED} // time;
srand($seed);
note("DEFER_SEED=$seed");

my $node = new_server('main', q{defer.max_workers = 8
defer.shared_slots = 64
restart_after_crash = on});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	-- in the transaction of the job, which ends before its places are given back
	CREATE FUNCTION take(what text, places int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		FOR k IN 1 .. places LOOP
			IF pg_try_advisory_xact_lock(hashtext(what), k) THEN RETURN; END IF;
		END LOOP;
		RAISE LOG 'limit exceeded: more than % of %', places, what;
	END $$;
	CREATE FUNCTION one(tenant text, places int, nap float8) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM take('one ' || tenant, places), take('one', 5), take('queue ' || tenant, 3);
		PERFORM pg_sleep(nap);
		IF random() < 0.1 THEN RAISE 'no luck'; END IF;
	END $$;
	CREATE FUNCTION two(tenant text, places int, nap float8) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM take('queue ' || tenant, 3);
		PERFORM pg_sleep(nap);
	END $$;
	CREATE FUNCTION plain(nap float8) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(nap)';
	CREATE FUNCTION places(tenant int) RETURNS int LANGUAGE sql AS 'SELECT 1 + tenant % 2';
});

sub complaints { return scalar(() = slurp_file($node->logfile) =~ /limit exceeded: more than/g); }

# Jobs of both functions and of two priorities, for 30 groups, some of them long
sub enqueue
{
	my ($n) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT count(defer.enqueue(CASE WHEN i % 3 = 0 THEN 'two' ELSE 'one' END,
			jsonb_build_object('tenant', 'g' || t, 'places', places(t), 'nap', CASE WHEN random() < 0.03 THEN 0.1 ELSE 0.002 * random() END),
			queue => 'shared', priority => i % 2, max_attempts => 50, initial_interval => '1 ms', max_interval => '5 ms'))
		  FROM generate_series(1, $n) i, LATERAL (SELECT (random() * i * 7)::int % 30 AS t) x;
		SELECT count(defer.enqueue('plain', jsonb_build_array(0.001))) FROM generate_series(1, $n / 20) i});
}

# The check itself: without limits they are exceeded
$node->safe_psql('postgres', q{SELECT defer.create_queue('shared', group_by => 'tenant')});
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('one', '{"tenant": "g0", "places": 1, "nap": 0.05}', queue => 'shared', max_attempts => 50, initial_interval => '1 ms')) FROM generate_series(1, 40)});
settled($node, 'jobs without limits end');
my $before = complaints();
cmp_ok($before, '>', 0, 'they notice that');

$node->safe_psql('postgres', q{
	SELECT defer.configure('one', group_concurrency => 1, concurrency => 5);
	SELECT defer.alter_queue('shared', group_concurrency => 3);
	SELECT defer.set_group('g' || i, function => 'one', concurrency => places(i)) FROM generate_series(1, 29, 2) i});

# What happens meanwhile
my @events = (
	sub { return q{SELECT count(defer.cancel(id)) FROM (SELECT id FROM defer.jobs WHERE state IN ('queued', 'running') ORDER BY random() LIMIT 10) x} },
	sub { return q{SELECT count(defer.cancel(id, force => true)) FROM (SELECT id FROM defer.jobs WHERE state = 'running' ORDER BY random() LIMIT 2) x} },
	sub { return q{SELECT count(defer.reschedule(id, now() + '10 ms')) FROM (SELECT id FROM defer.jobs WHERE state = 'queued' ORDER BY random() LIMIT 20) x} },
	sub { return q{SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM defer.workers WHERE kind = 'worker' ORDER BY random() LIMIT 2) x} },
	sub { my $g = 2 * int(rand(15)); return "SELECT defer.set_group('g$g', function => 'one', paused => true)" },
	sub { my $g = 2 * int(rand(15)); return "SELECT defer.reset_group('g$g', function => 'one')" },
	sub { my $g = int(rand(30)); return "SELECT defer.set_group('g$g', queue => 'shared', concurrency => 2)" },
	sub { return q{SELECT defer.configure('one', concurrency => 4); SELECT pg_sleep(0.02); SELECT defer.configure('one', concurrency => 5)} },
	sub { return q{BEGIN; SELECT count(*) FROM (SELECT id FROM defer.job ORDER BY id LIMIT 50 FOR UPDATE SKIP LOCKED) x; SELECT pg_sleep(0.03); ROLLBACK} });

for my $round (1 .. 3)
{
	enqueue(600);
	for (1 .. 12)
	{
		$node->psql('postgres', $events[ int(rand(@events)) ]->());
	}
	if ($round == 2)
	{
		$node->stop('immediate');
		$node->start;
	}
	$node->safe_psql('postgres', q{SELECT defer.reset_group('g' || i, function => 'one') FROM generate_series(0, 28, 2) i;
		SELECT defer.reset_group('g' || i, queue => 'shared') FROM generate_series(0, 29) i});
	settled($node, "round $round: all end");
	is(complaints(), $before, "round $round: no limit was exceeded");
}

# All places have come back: as many jobs of each group run at one time as may
$node->safe_psql('postgres', q{
	CREATE TABLE gate (open boolean);
	CREATE OR REPLACE FUNCTION one(tenant text, places int, nap float8) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$});
for my $group (0 .. 29)
{
	my $places = 1 + $group % 2;

	$node->safe_psql('postgres', qq{
		SELECT count(defer.enqueue('one', '{"tenant": "g$group", "places": 1, "nap": 0}', queue => 'shared')) FROM generate_series(1, 3)});
	until_ok($node, qq{SELECT count(*) = $places FROM defer.jobs WHERE group_key = 'g$group' AND state = 'running'},
		"group g$group has its places");
	$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
	settled($node, "its jobs end");
	$node->safe_psql('postgres', 'DELETE FROM gate');
}
unlike(slurp_file($node->logfile), qr/TRAP|PANIC/, 'no crash of ours');
$node->stop;
done_testing();
