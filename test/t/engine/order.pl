# Strict order of groups: the jobs of one run one after the other by their ids, whatever ends
# the first of them, moves it or holds it back.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 6
restart_after_crash = on
defer.log_level = warning});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE gate (tenant text);
	CREATE TABLE luck (tenant text);
	CREATE FUNCTION work(tenant text) RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION nap(tenant text) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.002)';
	CREATE FUNCTION gated(tenant text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate g WHERE g.tenant = gated.tenant) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	CREATE FUNCTION lucky(tenant text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF NOT EXISTS (SELECT FROM luck l WHERE l.tenant = lucky.tenant) THEN RAISE 'no luck'; END IF;
	END $$;
	CREATE FUNCTION often(tenant text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_sleep(0.003 * random());
		IF random() < 0.2 THEN RAISE 'no luck'; END IF;
	END $$;
	SELECT defer.configure(f, group_by => 'tenant', group_order => 'strict', initial_interval => '20 ms', max_interval => '20 ms', randomization => 0)
	  FROM unnest('{work,nap,gated,lucky,often}'::text[]) f;
	-- jobs of a group that began before an earlier one had ended
	CREATE FUNCTION wrong(since bigint) RETURNS bigint LANGUAGE sql AS $$
		WITH j AS (SELECT function, group_key, id, finished_at,
				LEAST(started_at, (SELECT min(a.started_at) FROM defer.attempts a WHERE a.job_id = id)) AS began
			  FROM defer.jobs WHERE id >= since AND started_at IS NOT NULL AND state IN ('succeeded', 'failed'))
		SELECT count(*) FROM (SELECT began, max(finished_at) OVER (PARTITION BY function, group_key ORDER BY id
				ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM j) x
		 WHERE began < before $$;
});

sub next_id { return $node->safe_psql('postgres', q{SELECT nextval('defer.job_id_seq')}); }
sub enqueue
{
	my ($function, $tenant, $options) = @_;

	return $node->safe_psql('postgres', "SELECT defer.enqueue('$function', '{\"tenant\": \"$tenant\"}'" . ($options // '') . ')');
}
sub state_is
{
	my ($id, $state, $what) = @_;

	return until_ok($node, "SELECT state = '$state' FROM defer.jobs WHERE id = $id", $what);
}
sub why { my ($id) = @_; return $node->safe_psql('postgres', "SELECT reason || ': ' || detail FROM defer.why($id) LIMIT 1"); }

# Jobs of another function and group have been taken: what could have begun has
sub others_ran
{
	return state_is(enqueue('work', 'others'), 'succeeded', 'jobs of others run');
}

# Many groups, jobs of which are due in the reverse order of their ids, of three priorities
my $since = next_id();
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('nap', jsonb_build_object('tenant', 'n' || i % 5), priority => i % 3,
		run_at => now() - make_interval(secs => i))) FROM generate_series(1, 150) i;
	SELECT count(defer.enqueue('work', jsonb_build_object('tenant', 'w' || i % 3))) FROM generate_series(1, 600) i});
settled($node, 'jobs of eight groups end');
is($node->safe_psql('postgres', "SELECT wrong($since)"), '0', 'in their order');
is($node->safe_psql('postgres', qq{
	WITH run AS (SELECT started_at, finished_at FROM defer.jobs WHERE id >= $since AND function LIKE '%nap%')
	SELECT max((SELECT count(*) FROM run b WHERE b.started_at <= a.started_at AND b.finished_at > a.started_at)) > 1 FROM run a}),
	't', 'several groups at a time');

# A retry holds back those behind it, and they are not looked at meanwhile
$since = next_id();
my ($retried, $behind) = map { enqueue('lucky', 'r', ', max_attempts => 100000') } 1 .. 2;
until_ok($node, "SELECT attempt > 1 FROM defer.jobs WHERE id = $retried", 'the first job of a group is tried again');
is($node->safe_psql('postgres', "SELECT attempt, state FROM defer.jobs WHERE id = $behind"), '0|queued', 'the one behind it waits');
is(why($behind), "order: job $retried is before it in group \"r\" of function public.lucky(text)", 'why');
$node->safe_psql('postgres', q{INSERT INTO luck VALUES ('r')});
settled($node, 'both end');
is($node->safe_psql('postgres', "SELECT wrong($since)"), '0', 'one after the other');

# So does one of the future, until it is moved or cancelled
my @ids = map { enqueue('work', 'f', $_) } (", delay => '1 hour'", '', ", priority => -1", '');
others_ran();
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT state, ' ' ORDER BY state) FROM defer.jobs WHERE id IN ($ids[0], $ids[1], $ids[2], $ids[3])"),
	'queued scheduled', 'a first job of the future holds those behind it');
like(why($ids[2]), qr/^order: job $ids[0] is before it in group "f"/, 'why, of another priority');
$node->safe_psql('postgres', "SELECT defer.reschedule($ids[0], now())");
settled($node, 'they run when it is moved');
is($node->safe_psql('postgres', "SELECT wrong($ids[0])"), '0', 'in their order');
@ids = map { enqueue('work', 'f', $_) } (", delay => '1 hour'", ", delay => '2 hours'", ", priority => -1");
others_ran();
$node->safe_psql('postgres', "SELECT defer.cancel($ids[0])");
others_ran();
is(why($ids[2]) =~ s/ is before.*//r, "order: job $ids[1]", 'when it is cancelled the next one is the first');
$node->safe_psql('postgres', "SELECT defer.cancel($ids[1])");
state_is($ids[2], 'succeeded', 'and so on');

# A job that is the first by its id, and commits later, begins when it is there
my $session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN});
my $late = $session->query_safe(q{SELECT defer.enqueue('gated', '{"tenant": "late"}')});
@ids = map { enqueue('gated', 'late') } 1 .. 3;
state_is($ids[0], 'running', 'one that another transaction has not committed is not waited for');
$session->query_safe('COMMIT');
$session->quit;
others_ran();
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $late"), 'queued', 'it waits for the one that runs');

# Jobs that wait in the batch of a worker: one is moved, one is cancelled
$node->safe_psql('postgres', "SELECT defer.reschedule($ids[1], now() + '1 hour'), defer.cancel($ids[2])");
my $last = enqueue('gated', 'late');
$node->safe_psql('postgres', q{INSERT INTO gate VALUES ('late')});
state_is($late, 'succeeded', 'it is the next');
others_ran();
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id IN ($ids[1], $last) ORDER BY id"), "scheduled\nqueued", 'none passes one that was moved');
$node->safe_psql('postgres', "SELECT defer.reschedule($ids[1], now())");
settled($node, 'all end');
is($node->safe_psql('postgres', "SELECT wrong($ids[1])"), '0', 'in their order');

# A long job of one group, and jobs of others in the same batch, which another worker takes
$since = next_id();
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('nap', jsonb_build_object('tenant', 's' || i % 4))) FROM generate_series(1, 100) i;
	SELECT defer.enqueue('gated', '{"tenant": "long"}');
	SELECT count(defer.enqueue('nap', jsonb_build_object('tenant', 's' || i % 4))) FROM generate_series(1, 100) i});
until_ok($node, "SELECT count(*) = 200 FROM defer.jobs WHERE id >= $since AND state = 'succeeded'", 'groups beside a long job run');
$node->safe_psql('postgres', q{INSERT INTO gate VALUES ('long')});
settled($node, 'that ends, too');
is($node->safe_psql('postgres', "SELECT wrong($since)"), '0', 'in their order');

# A failed job is passed over, or holds its group
@ids = map { enqueue('lucky', 'x', ', max_attempts => 1') } 1 .. 2;
settled($node, 'on_group_failure is skip');
is($node->safe_psql('postgres', "SELECT string_agg(state, ' ') FROM defer.jobs WHERE id IN ($ids[0], $ids[1])"), 'failed failed', 'the second one runs after the first has failed');
$node->safe_psql('postgres', q{SELECT defer.configure('lucky', on_group_failure => 'hold')});
@ids = map { enqueue('lucky', 'x', ', max_attempts => 1') } 1 .. 3;
state_is($ids[0], 'failed', 'with hold the first one fails');
others_ran();
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $ids[1]"), 'queued', 'the others are held');
is(why($ids[1]), "order: group \"x\" of function public.lucky(text) is held, because job $ids[0] has failed: see defer.release_group()", 'why');
is($node->safe_psql('postgres', q{SELECT held_by, paused, queued FROM defer.groups WHERE kind = 'function' AND group_key = 'x'}), "$ids[0]|f|2", 'defer.groups shows it');
like($node->safe_psql('postgres', q{SELECT finding || ' ' || hint FROM defer.health WHERE finding LIKE 'group%'}),
	qr/group "x" of function public.lucky\(text\) is held since .*, because job $ids[0] has failed .*release_group\('x', "function" => 'public.lucky\(text\)'\)/, 'so does defer.health');
my $rerun = $node->safe_psql('postgres', "INSERT INTO luck VALUES ('x'); SELECT defer.rerun($ids[0])");
others_ran();
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $rerun"), 'queued', 'a rerun is held, too');
$node->restart;
others_ran();
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $ids[1]"), 'queued', 'so are they after a restart');
is($node->safe_psql('postgres', q{SELECT defer.release_group('x', "function" => 'lucky'), defer.release_group('x', "function" => 'lucky')}), 't|f', 'it is released');
settled($node, 'they run');
is($node->safe_psql('postgres', "SELECT string_agg(id::text, ' ' ORDER BY started_at) FROM defer.jobs WHERE id IN ($ids[1], $ids[2], $rerun)"),
	"$rerun $ids[1] $ids[2]", 'the rerun has the place of the job that has failed');

# The failed job itself is taken on again: in its place, when the group is released; if it
# fails once more it holds its group anew
@ids = map { enqueue('lucky', 'z', ', max_attempts => 1') } 1 .. 3;
state_is($ids[0], 'failed', 'a group is held');
$node->safe_psql('postgres', "SELECT defer.retry($ids[0])");
others_ran();
is($node->safe_psql('postgres', "SELECT string_agg(state, ' ' ORDER BY id) FROM defer.jobs WHERE id IN ($ids[0], $ids[1])"), 'queued queued', 'a retry does not release it');
like(why($ids[0]), qr/^order: group "z" .* is held, because job $ids[0] has failed/, 'why');
$node->safe_psql('postgres', q{SELECT defer.release_group('z', "function" => 'lucky')});
until_ok($node, "SELECT count(*) = 2 FROM defer.attempts WHERE job_id = $ids[0]", 'released, it is tried again');
others_ran();
is($node->safe_psql('postgres', "SELECT string_agg(state, ' ' ORDER BY id) FROM defer.jobs WHERE id IN ($ids[0], $ids[1])"), 'failed queued', 'and holds its group again');
is($node->safe_psql('postgres', q{SELECT held_by FROM defer.groups WHERE kind = 'function' AND group_key = 'z'}), $ids[0], 'as defer.groups says');
$node->safe_psql('postgres', qq{INSERT INTO luck VALUES ('z'); SELECT defer.retry($ids[0]); SELECT defer.release_group('z', "function" => 'lucky')});
settled($node, 'all of it end');
is($node->safe_psql('postgres', "SELECT string_agg(id::text, ' ' ORDER BY started_at) FROM defer.jobs WHERE id IN ($ids[0], $ids[1], $ids[2])"),
	"@ids", 'the retry first');

# Where groups go on after a failure, a retry and a rerun are next after the job that runs
$node->safe_psql('postgres', q{SELECT defer.create_queue('line', group_order => 'strict')});
sub in_line { my ($function, $tenant) = @_; return enqueue($function, $tenant, q{, queue => 'line', group_key => 'line', max_attempts => 1}) }
@ids = (in_line('lucky', 'again'), in_line('lucky', 'again'), in_line('gated', 'again'), in_line('work', 'again'));
state_is($ids[2], 'running', 'two have failed, the third one runs');
$rerun = $node->safe_psql('postgres', qq{INSERT INTO luck VALUES ('again'); SELECT defer.rerun($ids[1])});
$node->safe_psql('postgres', "SELECT defer.retry($ids[0])");
others_ran();
is($node->safe_psql('postgres', "SELECT string_agg(state, ' ' ORDER BY id) FROM defer.jobs WHERE id IN ($ids[0], $rerun)"), 'queued queued', 'a retry and a rerun wait for the one that runs');
$node->safe_psql('postgres', q{INSERT INTO gate VALUES ('again')});
settled($node, 'they end');
is($node->safe_psql('postgres', "SELECT string_agg(id::text, ' ' ORDER BY started_at) FROM defer.jobs WHERE id IN ($ids[0], $rerun, $ids[2], $ids[3])"),
	"$ids[2] $ids[0] $rerun $ids[3]", 'and come before the next one');
$node->safe_psql('postgres', q{SELECT defer.configure('lucky', on_group_failure => 'hold', max_attempts => 1)});
@ids = map { enqueue('lucky', 'y') } 1 .. 2;
state_is($ids[0], 'failed', 'a group is held');
$node->safe_psql('postgres', q{INSERT INTO luck VALUES ('y'); SELECT defer.configure('lucky', group_order => 'none')});
state_is($ids[1], 'succeeded', 'without order it goes on');
$node->safe_psql('postgres', q{SELECT defer.configure('lucky', reset => true)});

# Jobs of before the setting get a place when a claim meets them
$node->safe_psql('postgres', q{CREATE FUNCTION later(tenant text) RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.configure('later', group_by => 'tenant'); SELECT defer.pause('later')});
$since = next_id();
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('later', '{"tenant": "l"}', priority => i % 2)) FROM generate_series(1, 10) i;
	SELECT defer.configure('later', group_order => 'strict');
	SELECT count(defer.enqueue('later', '{"tenant": "l"}', priority => -i)) FROM generate_series(1, 5) i});
$node->safe_psql('postgres', q{SELECT defer.resume('later')});
settled($node, 'jobs of before and after group_order end');
is($node->safe_psql('postgres', qq{WITH run AS (SELECT started_at, finished_at FROM defer.jobs WHERE id >= $since)
	SELECT max((SELECT count(*) FROM run b WHERE b.started_at <= a.started_at AND b.finished_at > a.started_at)) FROM run a}), '1', 'one at a time');

# Two roles in one queue; a held group of one does not hold another
$node->safe_psql('postgres', q{
	CREATE ROLE one LOGIN; CREATE ROLE two LOGIN;
	GRANT USAGE ON SCHEMA defer TO one, two; GRANT CREATE ON SCHEMA public TO one, two;
	GRANT SELECT, INSERT ON luck TO one, two;
	SELECT defer.create_queue('both', group_order => 'strict', on_group_failure => 'hold');
	SELECT defer.grant_queue('both', 'one'), defer.grant_queue('both', 'two');
	SET ROLE one;
	CREATE FUNCTION of_one(tenant text) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM lucky(tenant); END';
	SET ROLE two;
	CREATE FUNCTION of_two(tenant text) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM lucky(tenant); END';
	RESET ROLE;
	INSERT INTO luck VALUES ('fine')});
$since = next_id();
my $as_one = q{SELECT count(defer.enqueue('of_one', '{"tenant": "fine"}', queue => 'both', group_key => 'g' || i % 2)) FROM generate_series(1, 20) i};
my $as_two = $as_one =~ s/of_one/of_two/r;
for (1 .. 3)
{
	$node->safe_psql('postgres', $as_one, extra_params => [ '-U', 'one' ]);
	$node->safe_psql('postgres', $as_two, extra_params => [ '-U', 'two' ]);
}
settled($node, 'jobs of two roles end');
is($node->safe_psql('postgres', "SELECT count(*) FROM (SELECT started_at, max(finished_at) OVER (PARTITION BY group_key ORDER BY id
	ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM defer.jobs WHERE id >= $since) x WHERE started_at < before"), '0', 'in one order for each group of the queue');
my $failing = $node->safe_psql('postgres', q{SELECT defer.enqueue('of_one', '{"tenant": "bad"}', queue => 'both', group_key => 'of one', max_attempts => 1)}, extra_params => [ '-U', 'one' ]);
state_is($failing, 'failed', 'a job of one role fails');
my $held = $node->safe_psql('postgres', q{SELECT defer.enqueue('of_two', '{"tenant": "fine"}', queue => 'both', group_key => 'of one')}, extra_params => [ '-U', 'two' ]);
my $free = $node->safe_psql('postgres', q{SELECT defer.enqueue('of_two', '{"tenant": "fine"}', queue => 'both', group_key => 'of two')}, extra_params => [ '-U', 'two' ]);
state_is($free, 'succeeded', 'other groups of the queue go on');
like($node->safe_psql('postgres', "SELECT detail FROM defer.why($held) WHERE reason = 'order'", extra_params => [ '-U', 'two' ]),
	qr/^group "of one" in queue "both" is held, because a job of another role has failed/, 'the other role is not told by which job its group is held');
isnt($node->psql('postgres', q{SELECT defer.release_group('of one', queue => 'both')}, extra_params => [ '-U', 'two' ]), 0, 'and cannot release it');
$node->safe_psql('postgres', q{SELECT defer.release_group('of one', queue => 'both')});
state_is($held, 'succeeded', 'its owner can');

# A worker outside of the server gets one job of a group
$node->safe_psql('postgres', q{SELECT defer.create_task('resize', group_by => 'tenant', group_order => 'strict')});
@ids = map { enqueue('resize', 't') } 1 .. 3;
for my $id (@ids)
{
	my ($taken, $token) = split /\|/, $node->safe_psql('postgres', q{SELECT id, token FROM defer.take('{resize}', n => 10)});

	is($taken, $id, 'the next one');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.take('{resize}', n => 10)}), '0', 'and no more');
	$node->safe_psql('postgres', "SELECT defer.complete($taken, '$token')");
}

# Ends of workers, a crash of the server, and random commands
$node->safe_psql('postgres', q{SELECT defer.configure('often', max_attempts => 50, initial_interval => '1 ms', max_interval => '3 ms')});
$since = next_id();
for my $round (1 .. 6)
{
	$node->safe_psql('postgres', q{SELECT count(defer.enqueue('often', jsonb_build_object('tenant', 'o' || i % 6), priority => i % 2)) FROM generate_series(1, 60) i});
	$node->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM defer.workers WHERE kind = 'worker' ORDER BY random() LIMIT 2) x});
	$node->safe_psql('postgres', q{SELECT count(defer.cancel(id)) FROM (SELECT id FROM defer.jobs WHERE state IN ('queued', 'retrying') ORDER BY random() LIMIT 3) x});
	$node->safe_psql('postgres', q{SELECT count(defer.reschedule(id, now() + '20 ms')) FROM (SELECT id FROM defer.jobs WHERE state IN ('queued', 'retrying') ORDER BY random() LIMIT 5) x});
	if ($round == 4)
	{
		my $pid = $node->safe_psql('postgres', q{SELECT pid FROM defer.workers WHERE kind = 'worker' LIMIT 1});

		kill('KILL', $pid) if $pid ne '';
		until_ok($node, 'SELECT true', 'the server is back');
	}
}
settled($node, 'jobs of six groups end after kills and a crash');
is($node->safe_psql('postgres', "SELECT wrong($since)"), '0', 'in their order');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.job WHERE order_scope IS NOT NULL}), '0', 'no row is left of them');

done_testing();
