# Limits of groups: no more jobs of one at a time than there may be, whatever ends or takes
# them; groups that are held do not hold up others.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 8
defer.shared_slots = 256});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE gate (open boolean);
	CREATE FUNCTION nap(tenant text) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.01)';
	CREATE FUNCTION other(tenant text) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.01)';
	CREATE FUNCTION quick(tenant text) RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION plain() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION fails(tenant text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
	CREATE FUNCTION gated(tenant text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	-- the largest number of jobs of a group that ran at one time, among those of an id or more
	CREATE FUNCTION most(since bigint, functions text DEFAULT '%') RETURNS bigint LANGUAGE sql AS $$
		WITH run AS (SELECT group_key, started_at, finished_at FROM defer.jobs
			WHERE id >= since AND function LIKE functions AND finished_at IS NOT NULL)
		SELECT max((SELECT count(*) FROM run b
			WHERE b.group_key = a.group_key AND b.started_at <= a.started_at AND b.finished_at > a.started_at))
		  FROM run a $$;
});

# The first id of the jobs that come from now on
sub next_id { return $node->safe_psql('postgres', q{SELECT nextval('defer.job_id_seq')}); }

# All groups of a role, and no places are taken under their limits when all is done
sub no_place_is_left
{
	my ($what) = @_;

	return until_ok($node, q{SELECT count(*) = 0 FROM defer.workers WHERE job_id IS NOT NULL}, "$what: workers are idle");
}

# One at a time of each group, and groups beside each other
$node->safe_psql('postgres', q{SELECT defer.configure('nap', group_by => 'tenant', group_concurrency => 1)});
my $since = next_id();
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('nap', jsonb_build_object('tenant', 't' || i % 7))) FROM generate_series(1, 140) i});
settled($node, 'jobs of seven groups end');
is($node->safe_psql('postgres', "SELECT most($since)"), '1', 'one at a time of each');
is($node->safe_psql('postgres', qq{
	WITH run AS (SELECT started_at, finished_at FROM defer.jobs WHERE id >= $since)
	SELECT max((SELECT count(*) FROM run b WHERE b.started_at <= a.started_at AND b.finished_at > a.started_at)) > 1 FROM run a}),
	't', 'several groups at a time');

# Each group of a queue, whatever the function; both limits hold
$node->safe_psql('postgres', q{
	SELECT defer.create_queue('tenants', group_concurrency => 2, group_by => 'tenant');
	SELECT defer.configure('other', group_concurrency => 1)});
$since = next_id();
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue(f, jsonb_build_object('tenant', 't' || i % 3), queue => 'tenants', priority => i % 2))
	  FROM generate_series(1, 60) i, unnest('{quick,other,gated}'::text[]) f;
	INSERT INTO gate VALUES (true)});
settled($node, 'jobs of three functions in one queue end');
is($node->safe_psql('postgres', "SELECT most($since)"), '2', 'two at a time of each group in the queue');
is($node->safe_psql('postgres', "SELECT most($since, '%other%')"), '1', 'and one of the function that has a lower limit');

# A group that is full holds up no other, nor jobs without a group
$node->safe_psql('postgres', q{
	DELETE FROM gate;
	SELECT defer.configure('gated', group_by => 'tenant', group_concurrency => 1)});
my $full = $node->safe_psql('postgres', q{SELECT count(defer.enqueue('gated', '{"tenant": "full"}')) FROM generate_series(1, 50)});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE state = 'running'}, 'one of the full group runs');
my $beside = $node->safe_psql('postgres', q{
	SELECT defer.enqueue('gated', '{"tenant": "beside"}');
	SELECT defer.enqueue('plain')}) =~ s/\n.*//sr;
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $beside", 'one of another group runs beside it');
until_ok($node, q{SELECT bool_and(state = 'succeeded') FROM defer.jobs WHERE function LIKE '%plain()'}, 'a job without a group, too');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE state = 'running' AND group_key = 'full'}), '1', 'still one of the full group');

# A limit of the group itself: raised, then lowered, then taken away while jobs run
$since = next_id();
$node->safe_psql('postgres', q{SELECT defer.set_group('full', function => 'gated', concurrency => 3)});
until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE state = 'running' AND group_key = 'full'}, 'three when it may');
$node->safe_psql('postgres', q{SELECT defer.set_group('full', function => 'gated', concurrency => 2)});
my ($one) = split /\n/, $node->safe_psql('postgres', q{SELECT id FROM defer.jobs WHERE state = 'running' AND group_key = 'full' ORDER BY id});
$node->safe_psql('postgres', "SELECT defer.cancel($one, force => true)");
until_ok($node, "SELECT state = 'cancelled' FROM defer.jobs WHERE id = $one", 'one of three is cancelled');
$node->safe_psql('postgres', q{SELECT defer.enqueue('plain')});
until_ok($node, q{SELECT bool_and(state = 'succeeded') FROM defer.jobs WHERE function LIKE '%plain()'}, 'workers have looked since');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE state = 'running' AND group_key = 'full'}), '2', 'two are left when the limit is two');
$node->safe_psql('postgres', q{SELECT defer.reset_group('full', function => 'gated')});
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
settled($node, 'all of them end');

# A pause of a group
$node->safe_psql('postgres', q{SELECT defer.set_group('held', function => 'quick', paused => true)});
my $held = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick', '{"tenant": "held"}', group_key => 'held')});
my $free = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick', '{"tenant": "free"}', group_key => 'free')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $free", 'a job of another group runs');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $held"), 'queued', 'that of the paused one does not');
$node->safe_psql('postgres', q{SELECT defer.set_group('held', function => 'quick', paused => false)});
settled($node, 'it runs when the pause is over');
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT count(defer.enqueue('plain', group_key => 'g' || i % 4)) FROM generate_series(1, 40) i;
	SELECT defer.set_group('g1', function => 'plain', paused => true);
	COMMIT});
until_ok($node, q{SELECT count(*) = 10 FROM defer.jobs WHERE function LIKE '%plain()' AND state = 'queued' AND group_key = 'g1'
	HAVING count(*) = (SELECT count(*) FROM defer.jobs WHERE state = 'queued')}, 'jobs from before the first pause of a group wait for it, too');
$node->safe_psql('postgres', q{SELECT defer.reset_group('g1', function => 'plain')});
settled($node, 'until it is taken back');

# The settings that made the ready queues go, and come again, while jobs wait in them
$node->safe_psql('postgres', q{
	DELETE FROM gate;
	SELECT count(defer.enqueue('gated', jsonb_build_object('tenant', 'x' || i % 2))) FROM generate_series(1, 20) i});
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE state = 'running'}, 'one of each group');
$node->safe_psql('postgres', q{SELECT defer.configure('gated', reset => true)});
until_ok($node, q{SELECT count(*) = 8 FROM defer.jobs WHERE state = 'running'}, 'all workers when there is no limit');
$node->safe_psql('postgres', q{SELECT defer.configure('gated', group_by => 'tenant', group_concurrency => 1)});
$since = next_id();
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('gated', jsonb_build_object('tenant', 'x' || i % 2))) FROM generate_series(1, 20) i;
	INSERT INTO gate VALUES (true)});
settled($node, 'all end');
is($node->safe_psql('postgres', "SELECT most($since)"), '1', 'later ones one at a time again');

# Many groups, more than there are slots; retries; cancelled ones
$node->safe_psql('postgres', q{SELECT defer.configure('quick', group_by => 'tenant', group_concurrency => 1),
	defer.configure('fails', group_by => 'tenant', group_concurrency => 1, max_attempts => 3, initial_interval => '1 ms', max_interval => '1 ms')});
$since = next_id();
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('quick', jsonb_build_object('tenant', 'm' || i % 600))) FROM generate_series(1, 1800) i;
	SELECT count(defer.enqueue('fails', jsonb_build_object('tenant', 'm' || i % 40))) FROM generate_series(1, 80) i});
settled($node, 'jobs of 600 groups, with room for 128');
is($node->safe_psql('postgres', "SELECT most($since, '%quick%'), most($since, '%fails%')"), '1|1', 'one at a time of each');
is($node->safe_psql('postgres', qq{SELECT count(*), min(attempt) FROM defer.jobs WHERE id >= $since AND state = 'failed'}), '80|3', 'with retries');

# Long jobs with others of the same batch behind them, of their group and of others
$node->safe_psql('postgres', q{DELETE FROM gate});
$since = next_id();
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('quick', jsonb_build_object('tenant', 's' || i % 20))) FROM generate_series(1, 400) i;
	SELECT count(defer.enqueue('gated', jsonb_build_object('tenant', 's' || i))) FROM generate_series(1, 4) i;
	SELECT count(defer.enqueue('quick', jsonb_build_object('tenant', 's' || i % 20))) FROM generate_series(1, 400) i});
until_ok($node, qq{SELECT count(*) = 800 FROM defer.jobs WHERE id >= $since AND function LIKE '%quick%' AND state = 'succeeded'},
	'what waits behind long jobs runs');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
settled($node, 'they end');
is($node->safe_psql('postgres', "SELECT most($since, '%quick%')"), '1', 'one at a time, stolen or not');

# A long job of a group, and in its batch several of another group that has one place: the
# worker that takes them over takes all of them, as the place comes with the last one only
$node->safe_psql('postgres', 'DELETE FROM gate');
for my $pair (1 .. 3)
{
	$node->safe_psql('postgres', qq{
		SELECT count(defer.enqueue('gated', jsonb_build_object('tenant', CASE i WHEN 1 THEN 'long' ELSE 'behind' END || $pair)))
		  FROM generate_series(1, 6) i});
	until_ok($node, qq{SELECT count(DISTINCT group_key) = 2 * $pair FROM defer.jobs WHERE state = 'running'},
		"pair $pair: one of each group runs");
}
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
settled($node, 'they end');

# Workers that are killed give their places back
$node->safe_psql('postgres', q{DELETE FROM gate});
$node->safe_psql('postgres', q{
	SELECT defer.configure('gated', max_attempts => 30, initial_interval => '1 ms', max_interval => '1 ms');
	SELECT count(defer.enqueue('gated', jsonb_build_object('tenant', 'k' || i % 3))) FROM generate_series(1, 12) i});
for my $round (1 .. 4)
{
	until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE state = 'running'}, "round $round: one of each group");
	$node->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid)) FROM defer.workers WHERE job_id IS NOT NULL});
}
until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE state = 'running'}, 'and again');
$node->stop('immediate');
$node->start;
until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE state = 'running'}, 'after a crash of the server, one of each group');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
settled($node, 'they end');

# At the limit of a group: cancel
$node->safe_psql('postgres', q{
	DELETE FROM gate;
	SELECT defer.configure('gated', at_limit => 'cancel')});
my $first = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated', '{"tenant": "c"}')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $first", 'the first of a group runs');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('gated', '{"tenant": "c"}')) FROM generate_series(1, 5)});
until_ok($node, qq{SELECT count(*) = 5 FROM defer.jobs WHERE id > $first AND state = 'cancelled'}, 'those that find no room are cancelled');
my $second = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated', '{"tenant": "d"}')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $second", 'not those of another group');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
settled($node, 'all is done');
no_place_is_left('at the end');

# Jobs of one ready queue whose limits change before it is found again: one of them is paused,
# one was under a limit that is gone
$node->safe_psql('postgres', q{
	SELECT defer.create_queue('still');
	SELECT defer.create_queue('goes');
	SELECT defer.configure('quick', group_concurrency => 1);
	SELECT defer.endpoint('partner', 'http', 'http://127.0.0.1:1/', concurrency => 1)});
$node->safe_psql('postgres', 'ALTER SYSTEM SET defer.enabled = off');
$node->restart;
my ($still, $goes, $sent) = split /\|/, $node->safe_psql('postgres', q{
	SELECT defer.enqueue('quick', '{"tenant": "x"}', group_key => 'x', queue => 'still'),
		defer.enqueue('quick', '{"tenant": "x"}', group_key => 'x', queue => 'goes'),
		defer.http('POST', '', endpoint => 'partner', max_attempts => 1)});
$node->safe_psql('postgres', q{
	SELECT defer.pause_queue('still');
	SELECT defer.endpoint('partner', 'http', reset => true)});
$node->safe_psql('postgres', 'ALTER SYSTEM RESET defer.enabled');
$node->restart;
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $goes", 'one of a queue that is not paused runs');
until_ok($node, "SELECT state = 'failed' FROM defer.jobs WHERE id = $sent", 'a delivery that was limited is begun');
is($node->safe_psql('postgres', "SELECT started_at IS NULL FROM defer.jobs WHERE id = $still"), 't', 'the paused one is not');

# Groups that wait for tokens of their function have all slots that the role may have
$node->safe_psql('postgres', q{
	SELECT defer.configure('nap', reset => true, rate => '1/hour');
	SELECT count(defer.enqueue('nap', '{"tenant": "-"}', group_key => 'slot' || i)) FROM generate_series(1, 300) i});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE group_key LIKE 'slot%' AND state = 'succeeded'}, 'one has the token');
my $beside = $node->safe_psql('postgres', q{SELECT defer.enqueue('plain')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $beside", 'a job of another function runs beside them');
$node->stop;
done_testing();
