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
max_prepared_transactions = 5
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

# ----------------------------------------------------------------------------
# Backfills, workflows, tasks
# ----------------------------------------------------------------------------

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Wait until no job of a function is unfinished, nor counted
sub settled_function
{
	my ($function, $what) = @_;

	return until_ok($node, "SELECT there = 0 AND COALESCE(counted, 0) = 0 FROM count_of('$function')", $what);
}

# The error of a statement
sub error_of
{
	my ($sql) = @_;
	my ($code, $said, $err) = $node->psql('postgres', $sql);

	return $err;
}

sql(q{
	CREATE FUNCTION run() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION step(n int DEFAULT 0) RETURNS int LANGUAGE sql AS 'SELECT n';
	SELECT defer.configure('run', max_queued => 3), defer.pause('run');
	SELECT defer.cron('run', '0 * * * *', name => 'hourly', active => false, overlap => 'allow', allow_direct => true);
	-- unfinished jobs of a function, as they are counted and as they are
	CREATE FUNCTION count_of(name text, OUT counted bigint, OUT there bigint) LANGUAGE sql AS $$
		SELECT c.unfinished, (SELECT count(*) FROM defer.jobs j WHERE j.function = name AND j.finished_at IS NULL)
		  FROM defer.cap_state('function', name) c $$});
is(sql(q{SELECT defer.backfill('hourly', '2026-01-01 00:00+00', '2026-01-01 10:00+00', overlap => 'allow')}), '10', 'a backfill of ten runs');
until_ok($node, q{SELECT enqueued = 3 FROM defer.backfills}, 'it has as many as there is room for');
like(error_of(q{SELECT defer.enqueue('run')}), qr/as many unfinished jobs as it may have/, 'there is no room left');
is(sql(q{SELECT count_of('public.run()'), enqueued FROM defer.backfills}), '(3,3)|3', 'none is taken in vain');
sql(q{SELECT defer.resume('run')});
until_ok($node, q{SELECT count(*) = 0 FROM defer.backfills}, 'it goes on when there is room');
settled_function('public.run()', 'its runs end');
is(sql(q{SELECT count(*) = count(DISTINCT scheduled_for), count(*) FROM defer.jobs WHERE schedule = 'hourly' AND state = 'succeeded'}), 't|10', 'each time has one run');

# Steps of a workflow count when it is made: all of them have room, or it is not made
sql(q{SELECT defer.configure('step', max_queued => 3), defer.pause('step')});
my $steps = q{(SELECT jsonb_agg(jsonb_build_object('name', 's' || i, 'function', 'step', 'args', jsonb_build_array(i))) FROM generate_series(1, %d) i)};
like(error_of(sprintf("SELECT defer.workflow('many', $steps)", 4)), qr/function public.step\(integer\) has as many unfinished jobs/, 'a workflow of four steps has no room');
is(sql(q{SELECT count(*), (count_of('public.step(integer)')).* FROM defer.workflows}), '0|0|0', 'and nothing of it is left');
my $flow = sql(sprintf("SELECT defer.workflow('some', $steps)", 3));
is(sql(q{SELECT count_of('public.step(integer)')}), '(3,3)', 'one of three has');
like(error_of(q{SELECT defer.enqueue('step')}), qr/as many unfinished jobs/, 'its steps count');
sql(q{SELECT defer.resume('step')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.workflows WHERE id = $flow", 'it ends');
settled_function('public.step(integer)', 'and its steps do not count any more');
# Jobs of for_each are made by a step
$flow = sql(q{SELECT defer.workflow('each', '[{"name": "list", "function": "step", "args": [1]},
	{"name": "all", "function": "step", "for_each": [1, 2, 3, 4], "after": ["list"]}]')});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE function LIKE 'defer.run_step%' AND state = 'retrying' AND error LIKE '%as many unfinished jobs%'},
	'a step of four jobs finds no room, and is tried again');
sql(q{SELECT defer.configure('step', max_queued => 10)});
sql("SELECT defer.cancel($flow)");
settled_function('public.step(integer)', 'nothing of it counts');

# Jobs that workers outside of the server hold count until they have ended
sql(q{SELECT defer.create_task('outside', max_queued => 2, initial_interval => '0'), defer.enqueue('outside'), defer.enqueue('outside')});
my $take = q{SELECT id, token FROM defer.take('{outside}')};
my ($id, $token);
for (1 .. 1800)
{
	($id, $token) = split /\|/, sql($take);
	last if defined $token;
	select(undef, undef, undef, 0.1);
}
like(error_of(q{SELECT defer.enqueue('outside')}), qr/outside has as many unfinished jobs/, 'a job that is held counts');
sql("SELECT defer.release($id, '$token')");
like(error_of(q{SELECT defer.enqueue('outside')}), qr/as many unfinished jobs/, 'so does one that was released');
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE function = 'outside' AND state = 'queued'}, 'both wait');
($id, $token) = split /\|/, sql($take);
sql("BEGIN; SELECT defer.complete($id, '$token'); ROLLBACK");
like(error_of(q{SELECT defer.enqueue('outside')}), qr/as many unfinished jobs/, 'and one whose end was rolled back');
sql("SELECT defer.complete($id, '$token')");
is(sql(q{SELECT count_of('outside')}), '(1,1)', 'one that has ended does not');
like(sql(q{SELECT defer.enqueue('outside')}), qr/^\d+$/, 'there is room');

# ----------------------------------------------------------------------------
# Prepared transactions, of which no session remembers anything
# ----------------------------------------------------------------------------

sql(q{CREATE FUNCTION prepared() RETURNS void LANGUAGE sql AS 'SELECT'; SELECT defer.pause('prepared')});
# one that has enqueued before there was a cap
sql(q{BEGIN; SELECT defer.enqueue('prepared'); PREPARE TRANSACTION 'p'});
sql(q{SELECT defer.configure('prepared', max_queued => 1)});
like(error_of(q{SELECT defer.enqueue('prepared')}), qr/as many unfinished jobs/, 'a job of a prepared transaction counts');
sql(q{COMMIT PREPARED 'p'});
like(error_of(q{SELECT defer.enqueue('prepared')}), qr/as many unfinished jobs/, 'and when that has committed');
is(sql(q{SELECT count_of('public.prepared()')}), '(1,1)', 'once');
# one that ends a job
sql(q{BEGIN; SELECT defer.cancel(id) FROM defer.jobs WHERE function = 'public.prepared()' AND finished_at IS NULL; PREPARE TRANSACTION 'p'});
like(error_of(q{SELECT defer.enqueue('prepared')}), qr/as many unfinished jobs/, 'a job that a prepared transaction ends counts');
sql(q{COMMIT PREPARED 'p'});
# the count is made anew, but not at each refusal
my $enqueue_soon = q{DO $$
	BEGIN
		FOR i IN 1 .. 6000 LOOP
			BEGIN
				PERFORM defer.enqueue('prepared');
				RETURN;
			EXCEPTION WHEN SQLSTATE 'DF040' THEN PERFORM pg_sleep(0.03);
			END;
		END LOOP;
		RAISE 'no room';
	END $$};
sql($enqueue_soon);
is(sql(q{SELECT count_of('public.prepared()')}), '(1,1)', 'when it has committed there is room');
# one whose job was counted is rolled back
sql(q{SELECT defer.configure('prepared', reset => true), defer.cancel(id) FROM defer.jobs WHERE function = 'public.prepared()' AND finished_at IS NULL});
sql(q{BEGIN; SELECT defer.enqueue('prepared'); PREPARE TRANSACTION 'p'});
sql(q{SELECT defer.pause('prepared'), defer.configure('prepared', max_queued => 1)});
like(error_of(q{SELECT defer.enqueue('prepared')}), qr/as many unfinished jobs/, 'a job of another one counts');
sql(q{ROLLBACK PREPARED 'p'});
sql($enqueue_soon);
is(sql(q{SELECT count_of('public.prepared()')}), '(1,1)', 'when it is rolled back there is room');

# ----------------------------------------------------------------------------
# A dump that is restored has counts of its own
# ----------------------------------------------------------------------------

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump');
sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'it is restored');
my ($code, $said, $err) = $node->psql('restored', q{SELECT defer.enqueue('prepared')});
like($err, qr/as many unfinished jobs/, 'jobs that it has brought count');
$node->safe_psql('restored', q{SELECT defer.activate(); SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function = 'public.prepared()' AND finished_at IS NULL;
	SELECT defer.enqueue('prepared')});
is($node->safe_psql('restored', q{SELECT count_of('public.prepared()')}), '(1,1)', 'by themselves');
is(sql(q{SELECT count_of('public.prepared()')}), '(1,1)', 'and those of the first database, too');

# ----------------------------------------------------------------------------
# More caps than there are slots: the role with most loses one of its own
# ----------------------------------------------------------------------------

sql(q{
	SET ROLE greedy;
	DO $$
	BEGIN
		FOR i IN 1 .. 100 LOOP
			EXECUTE format('CREATE FUNCTION greedy.g%s() RETURNS void LANGUAGE sql AS ''SELECT''', i);
			PERFORM defer.pause('greedy.g' || i), defer.configure('greedy.g' || i, max_queued => 1);
		END LOOP;
	END $$});
sql(q{SET ROLE modest; SELECT defer.enqueue('modest.f', '{"tenant": "x"}')});
is(sql(q{SET ROLE greedy; SELECT count(defer.enqueue('greedy.g' || i)) FROM generate_series(1, 100) i}), '100', 'more caps than slots are used');
is(sql(q{SELECT count(*) FILTER (WHERE counted IS NOT NULL) < 64, count(*) FILTER (WHERE counted <> there) FROM generate_series(1, 100) i, count_of('greedy.g' || i || '()')}),
	't|0', 'some are not counted, and no count is wrong');
is(sql(q{SELECT count_of('modest.f(text)')}), '(1,1)', 'that of another role still is');
is(sql(q{
	SET ROLE greedy;
	CREATE FUNCTION greedy.refused(n int) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM defer.enqueue('greedy.g' || n);
		RETURN false;
	EXCEPTION WHEN SQLSTATE 'DF040' THEN RETURN true;
	END $$;
	SELECT count(*) FROM generate_series(1, 100) i WHERE greedy.refused(i)}), '100', 'and each of them holds');

$node->stop;
done_testing();
