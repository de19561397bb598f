# Caps on unfinished jobs: never exceeded and never counted too high, whatever sessions that
# enqueue, roll back, cancel and are killed, and workers whose jobs fail, do at the same time;
# after a crash and a restart; and a role that is full does not hold up another one.
use strict;
use warnings;

use DeferTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
defer.shared_slots = 64
restart_after_crash = on});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE seen (most bigint);
	CREATE FUNCTION busy(tenant text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF random() < 0.3 THEN RAISE 'no luck'; END IF;
	END $$;
	SELECT defer.configure('busy', max_queued => 20, group_by => 'tenant', group_max_queued => 8,
		max_attempts => 2, initial_interval => '10 ms');
	-- as others see it, at times
	CREATE FUNCTION jobs(groups text DEFAULT '%') RETURNS bigint LANGUAGE sql AS $$
		SELECT count(*) FROM defer.jobs WHERE function = 'public.busy(text)' AND finished_at IS NULL AND COALESCE(group_key, '') LIKE groups $$;
	CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql AS $$
		SELECT unfinished FROM defer.functions WHERE function = 'public.busy(text)' $$;
	CREATE PROCEDURE play(turns int) LANGUAGE plpgsql AS $$
	DECLARE n bigint;
	BEGIN
		FOR i IN 1 .. turns LOOP
			BEGIN
				PERFORM defer.enqueue('busy', jsonb_build_object('tenant', 't' || i % 4));
				BEGIN
					PERFORM defer.enqueue('busy', jsonb_build_object('tenant', 't' || i % 3));
					IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
				EXCEPTION WHEN division_by_zero THEN NULL;
				END;
			EXCEPTION WHEN SQLSTATE 'DF040' THEN NULL;
			END;
			IF i % 5 = 0 THEN
				PERFORM defer.cancel(id) FROM (SELECT id FROM defer.jobs WHERE function = 'public.busy(text)' AND state = 'queued' LIMIT 1) j;
			END IF;
			IF i % 7 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
			IF jobs() > 20 OR jobs('t1') > 8 THEN INSERT INTO seen VALUES (jobs()); END IF;
			COMMIT;
		END LOOP;
	END $$;
});

sub start_players
{
	my ($turns) = @_;
	my @players;

	foreach (1 .. 4)
	{
		my ($in, $out) = (\undef, '');

		push @players, IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "CALL play($turns)" ],
			'<', $in, '>&', \$out);
	}
	return @players;
}

sub is_exact
{
	my ($what) = @_;

	$node->safe_psql('postgres', q{SELECT defer.pause('busy')});
	until_ok($node, q{SELECT count(*) = 0 FROM defer.workers WHERE job_id IS NOT NULL}, "$what: workers are idle");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM seen}), '0', "$what: never exceeded");
	is($node->safe_psql('postgres', q{SELECT counted() = jobs() OR counted() IS NULL}), 't', "$what: the count is exact")
		or diag($node->safe_psql('postgres', q{SELECT counted(), jobs()}));
	return;
}

# As many as can be enqueued
sub fill
{
	return $node->safe_psql('postgres', q{
		DO $$ BEGIN LOOP PERFORM defer.enqueue('busy'); END LOOP; EXCEPTION WHEN SQLSTATE 'DF040' THEN NULL; END $$;
		DO $$ BEGIN FOR i IN 1 .. 20 - jobs() LOOP PERFORM defer.enqueue('busy'); END LOOP; END $$;
		SELECT jobs()});
}

# Sessions and workers at the same time
my @players = start_players(150);
$_->finish foreach @players;
is_exact('sessions and workers');
is(fill(), '20', 'all places can be taken');
$node->safe_psql('postgres', q{SELECT defer.resume('busy')});
settled($node, 'jobs end');
is($node->safe_psql('postgres', q{SELECT counted()}), '0', 'and none is left');

# A session is killed: the server begins anew, and counts
@players = start_players(1000000);
until_ok($node, q{SELECT counted() > 0}, 'sessions enqueue');
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL play%' AND backend_type = 'client backend' LIMIT 1});
kill 'KILL', $pid;
$_->finish foreach @players;
ok($node->poll_query_until('postgres', 'SELECT true'), 'the server is there again');
is_exact('after a crash');
is(fill(), '20', 'all places can be taken after a crash');
is_exact('filled after a crash');

# Jobs that are there when the server starts count
$node->restart;
my ($status, $out, $error) = $node->psql('postgres', q{SELECT defer.enqueue('busy')});
like($error, qr/function public.busy\(text\) has as many unfinished jobs as it may have/, 'full after a restart');
is($node->safe_psql('postgres', q{SELECT counted(), jobs()}), '20|20', 'and counted');

# A role that is full does not hold up another one; nor does one with more groups than there
# are slots: these are counted together
$node->safe_psql('postgres', q{
	CREATE ROLE greedy LOGIN; CREATE ROLE modest LOGIN;
	CREATE SCHEMA greedy AUTHORIZATION greedy; CREATE SCHEMA modest AUTHORIZATION modest;
	GRANT USAGE ON SCHEMA defer TO greedy, modest;
	SET ROLE greedy;
	CREATE FUNCTION greedy.f(tenant text) RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.pause('greedy.f'), defer.configure('greedy.f', group_by => 'tenant', group_max_queued => 100);
	SELECT count(defer.enqueue('greedy.f', jsonb_build_object('tenant', i::text))) FROM generate_series(1, 300) i;
	RESET ROLE;
	SET ROLE modest;
	CREATE FUNCTION modest.f(tenant text) RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.pause('modest.f'), defer.configure('modest.f', group_by => 'tenant', group_max_queued => 1)});
is($node->safe_psql('postgres', q{
	SELECT together BETWEEN 1 AND 100 FROM defer.cap_state('function', 'greedy.f(text)')}), 't', 'groups without a slot are counted together');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%more groups%'}), '1', 'and health says so');
is($node->safe_psql('postgres', q{
	SET ROLE modest;
	SELECT count(defer.enqueue('modest.f', jsonb_build_object('tenant', i::text))) FROM generate_series(1, 100) i}), '100', 'another role has slots for its groups');
is($node->safe_psql('postgres', q{
	SELECT together FROM defer.cap_state('function', 'modest.f(text)')}), '0', 'each of its own');
($status, $out, $error) = $node->psql('postgres', q{SET ROLE greedy; SELECT defer.enqueue('greedy.f', '{"tenant": "new"}') FROM generate_series(1, 101)});
like($error, qr/group "new" of function greedy.f\(text\).*found no room in shared memory.*defer.shared_slots/s, 'a group without a slot is refused early');
$node->safe_psql('postgres', q{SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function IN ('greedy.f(text)', 'modest.f(text)') AND finished_at IS NULL});
is($node->safe_psql('postgres', q{
	SELECT unfinished, together FROM defer.cap_state('function', 'greedy.f(text)')}), '0|0', 'when its jobs have ended none is left');
is($node->safe_psql('postgres', q{
	SET ROLE greedy;
	SELECT count(defer.enqueue('greedy.f', '{"tenant": "new"}')) FROM generate_series(1, 100)}), '100', 'and there is room again');

$node->stop;
done_testing();
