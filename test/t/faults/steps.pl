# A procedure with steps and waits, stopped in each of its lines by a kill -9 of its
# worker, an immediate stop, a fast stop and a terminated worker: nothing that it writes
# is there twice or missing, in steps or outside of them.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
defer.max_crashes = 1000
autovacuum = off});

# Each place of the procedure waits until the test lets it go on
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA defer TO app;
	CREATE TABLE effect (job bigint DEFAULT defer.current_job(), what text);
	CREATE TABLE gate (place text PRIMARY KEY, at_it boolean);
	GRANT ALL ON effect, gate TO app;
	CREATE FUNCTION open_gates() RETURNS text[] LANGUAGE sql AS $$SELECT array_agg(place) FROM public.gate$$;
	-- says where it is by an advisory lock, which nothing rolls back but the end of the process
	CREATE FUNCTION here(place text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM public.gate g WHERE g.place = here.place) THEN RETURN; END IF;
		PERFORM pg_advisory_lock(hashtext(place));
		WHILE NOT EXISTS (SELECT FROM public.gate g WHERE g.place = here.place) LOOP PERFORM pg_sleep(0.01); END LOOP;
		PERFORM pg_advisory_unlock(hashtext(place));
	END $$;
	CREATE FUNCTION work(what text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect (what) VALUES (work.what);
		PERFORM public.here('in ' || what);
		RETURN 'did ' || what;
	END $$;
	CREATE FUNCTION child() RETURNS text LANGUAGE sql AS $$INSERT INTO public.effect (job, what) VALUES (1, 'child'); SELECT 'of age'$$;
	CREATE PROCEDURE onboard(INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
	DECLARE
		score jsonb;
	BEGIN
		INSERT INTO effect (what) VALUES ('outside 1');
		PERFORM here('begin');
		CALL defer.step('welcome', 'public.work', '["welcome"]', answer);
		PERFORM here('behind welcome');
		INSERT INTO effect (what) VALUES ('outside 2');
		CALL defer.wait_job('child', defer.enqueue('public.child'), score);
		PERFORM here('behind child');
		INSERT INTO effect (what) VALUES ('outside 3');
		CALL defer.sleep('settle', '10 milliseconds');
		PERFORM here('behind settle');
		IF defer.begin_step('book') THEN
			INSERT INTO effect (what) VALUES ('book');
			PERFORM here('in book');
			CALL defer.end_step('book');
		END IF;
		PERFORM here('behind book');
		INSERT INTO effect (what) VALUES ('outside 4');
		PERFORM here('end');
		answer := jsonb_build_array(answer, score);
	END $$;
});

my @places = ('begin', 'in welcome', 'behind welcome', 'behind child', 'behind settle', 'in book', 'behind book', 'end');
my @effects = sort('outside 1', 'welcome', 'outside 2', 'child', 'outside 3', 'book', 'outside 4');

sub running_pid
{
	my ($id) = @_;

	return $node->safe_psql('postgres', "SELECT pid FROM defer.workers WHERE job_id = $id");
}

my %stop = (
	kill => sub {
		my ($id) = @_;

		# it takes all of the server's processes with it
		kill('KILL', running_pid($id));
		$node->poll_query_until('postgres', 'SELECT true');
	},
	terminate => sub {
		my ($id) = @_;
		my $pid = running_pid($id);

		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		until_ok($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 'the worker has gone');
	},
	immediate => sub { $node->stop('immediate'); $node->start; },
	fast => sub { $node->stop('fast'); $node->start; });

for my $how (qw(kill terminate immediate fast))
{
	$node->safe_psql('postgres', 'TRUNCATE effect, gate');
	my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('onboard', max_attempts => 3)}, extra_params => [ '-U', 'app' ]);

	for my $place (@places)
	{
		for my $turn (1, 2)
		{
			until_ok($node, qq{SELECT EXISTS (SELECT FROM pg_locks l JOIN defer.workers w ON w.pid = l.pid
				WHERE l.locktype = 'advisory' AND l.objid = hashtext('$place')::oid AND w.job_id = $id)}, "$how: it is at \"$place\"");
			$stop{$how}->($id) if $turn == 1;
		}
		$node->safe_psql('postgres', "INSERT INTO gate VALUES ('$place')");
	}
	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", "$how: it ends");
	is($node->safe_psql('postgres', q{SELECT string_agg(what, ',' ORDER BY what COLLATE "C") FROM effect}), join(',', @effects), "$how: each write once");
	is($node->safe_psql('postgres', "SELECT defer.result($id)"), '{"answer": ["did welcome", "of age"]}', "$how: the result");
	is($node->safe_psql('postgres', "SELECT string_agg(name || ' ' || state, ', ' ORDER BY ord) FROM defer.steps WHERE job_id = $id"),
		'welcome done, child done, settle done, book done', "$how: the steps");
	is($node->safe_psql('postgres', "SELECT count(*) FROM defer.jobs WHERE parent_id = $id"), '1', "$how: one child");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.dependency'), '0', "$how: nothing is left of what it waited for");
}

# A pass behind a wait is known to have run when the server crashes
$node->safe_psql('postgres', q{
	TRUNCATE gate;
	CREATE PROCEDURE crashes() LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM defer.steps WHERE job_id = defer.current_job()) THEN PERFORM public.here('second pass'); END IF;
		CALL defer.sleep('nap', '10 milliseconds');
	END $$});
my $crashes = $node->safe_psql('postgres', q{SELECT defer.enqueue('crashes')});
until_ok($node, q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = hashtext('second pass')::oid)}, 'the second pass runs');
$stop{kill}->($crashes);
until_ok($node, "SELECT EXISTS (SELECT FROM defer.attempts WHERE job_id = $crashes AND outcome = 'crashed')", 'its crash is counted');
$node->safe_psql('postgres', q{INSERT INTO gate VALUES ('second pass')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $crashes", 'and it ends');

# ------------------------------------------------------------------------
# Asleep: stops, and many at a time
# ------------------------------------------------------------------------
$node->safe_psql('postgres', q{
	CREATE PROCEDURE sleeps(t timestamptz) LANGUAGE plpgsql AS $$
	BEGIN
		CALL defer.sleep_until('until', t);
		INSERT INTO public.effect VALUES (defer.current_job(), 'slept');
	END $$;
	TRUNCATE effect});
my $tomorrow = $node->safe_psql('postgres', q{SELECT defer.enqueue('sleeps', jsonb_build_array(now() + interval '1 day'))});
my $woken = $node->safe_psql('postgres', q{SELECT defer.enqueue('sleeps', jsonb_build_array(now() + interval '3 s'))});
until_ok($node, "SELECT count(*) = 2 FROM defer.jobs WHERE id IN ($tomorrow, $woken) AND state = 'waiting'", 'both sleep');
$node->stop('immediate');
$node->start;
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $woken", 'one wakes after the start');
is($node->safe_psql('postgres', "SELECT state, attempt FROM defer.jobs WHERE id = $tomorrow"), 'waiting|0', 'the other one sleeps on');
is($node->safe_psql('postgres', "SELECT count(*) FROM defer.attempts WHERE job_id IN ($tomorrow, $woken)"), '0', 'no attempt is used');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('sleeps', jsonb_build_array(now() + interval '1 hour'))) FROM generate_series(1, 5000)});
until_ok($node, q{SELECT waiting = 5001 FROM defer.live_functions WHERE function = 'public.sleeps(timestamp with time zone)'}, '5,000 sleep');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.workers WHERE kind = 'worker' AND job_id IS NOT NULL)}, 'no worker has one');
is($node->safe_psql('postgres', 'SELECT defer.enqueue(\'child\') > 0'), 't', 'another job');
until_ok($node, q{SELECT state = 'succeeded' FROM defer.jobs WHERE function = 'public.child()' ORDER BY id DESC LIMIT 1}, 'runs beside them');
is($node->safe_psql('postgres', q{SELECT done FROM defer.cancel_jobs(states => '{waiting}', function => 'public.sleeps(timestamp with time zone)')}), '5001', 'they are cancelled');
is($node->safe_psql('postgres', 'SELECT count(*) FROM effect WHERE what = \'slept\''), '1', 'only one has slept enough');

# ------------------------------------------------------------------------
# Jobs that end while others begin to wait for them
# ------------------------------------------------------------------------
$node->safe_psql('postgres', q{
	TRUNCATE effect;
	CREATE FUNCTION quick() RETURNS int LANGUAGE sql AS 'SELECT 7';
	CREATE PROCEDURE waits_for_quick() LANGUAGE plpgsql AS $$
	DECLARE
		children bigint[];
	BEGIN
		IF defer.begin_step('children') THEN
			FOR i IN 1..3 LOOP PERFORM defer.enqueue('public.quick', metadata => jsonb_build_object('n', i)); END LOOP;
			CALL defer.end_step('children');
		END IF;
		FOR i IN 1..3 LOOP
			SELECT array_agg(j.id ORDER BY j.id) INTO children FROM defer.jobs j WHERE j.parent_id = defer.current_job();
			CALL defer.wait_job('child ' || i, children[i]);
		END LOOP;
		INSERT INTO public.effect VALUES (defer.current_job(), 'waited');
	END $$;
	SELECT count(defer.enqueue('waits_for_quick')) FROM generate_series(1, 500)});
settled($node, '500 procedures wait for three jobs each');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT job) FROM effect WHERE what = 'waited'}), '500|500', 'each has gone on once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.dependency}), '0', 'nothing is left');

# The history of a procedure goes, and its steps with it
my $old = $node->safe_psql('postgres', q{SELECT max(id) FROM defer.jobs WHERE function = 'public.waits_for_quick()'});
$node->safe_psql('postgres', "UPDATE defer.job_history SET finished_at = now() - interval '90 days' WHERE id = $old");
$node->reload;
until_ok($node, "SELECT NOT EXISTS (SELECT FROM defer.step WHERE job_id = $old)", 'steps of jobs that are gone are deleted');
isnt($node->safe_psql('postgres', 'SELECT count(*) FROM defer.steps'), '0', 'others are kept');

$node->stop;
done_testing();
