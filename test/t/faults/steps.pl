# Procedures with steps and waits, stopped in each of their lines by a kill -9 of their
# workers, an immediate stop, a fast stop and terminated workers: nothing that they write
# is there twice or missing, in steps or outside of them.
#
# Many jobs run at a time.  Each is held in one place, by a lock of a session or by a row
# that this has inserted and not committed.  Then all of them are stopped at once.
use strict;
use warnings;

use DeferTest;
use Deliveries;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $missing = Peers::missing('http');
plan skip_all => "$missing is not there" if $missing;

my $http = Peers->http;
my $url = $http->url('/status/200');
my $node = delivery_server('main', q{defer.max_workers = 40
max_worker_processes = 60
defer.max_crashes = 1000
autovacuum = off});

$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA defer TO app;
	GRANT EXECUTE ON FUNCTION defer.http TO app;
	CREATE TABLE effect (job bigint DEFAULT defer.current_job(), user_id bigint, what text);
	CREATE TABLE app_user (id bigint PRIMARY KEY, welcomed int DEFAULT 0);
	CREATE TABLE booking (user_id bigint PRIMARY KEY, score jsonb, answer jsonb);
	GRANT ALL ON effect, app_user, booking TO app;
	CREATE TABLE left_alone (job_id bigint, step text);
	-- a place, where the job of a user waits if the test has locked it
	CREATE FUNCTION here(user_id bigint, place text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_lock_shared(user_id::int, hashtext(place));
		PERFORM pg_advisory_unlock_shared(user_id::int, hashtext(place));
	END $$;
	-- the step that the job has waited for
	CREATE FUNCTION woken() RETURNS text LANGUAGE sql AS $$
		SELECT COALESCE(max(s.name), 'new') FROM defer.steps s WHERE s.job_id = defer.current_job() AND s.state = 'waiting'$$;
	-- makes places of lines in which || stands, whose text is left as it is
	CREATE FUNCTION concat_here(prefix text, user_id bigint) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM public.here(user_id, left(prefix, 4) || ' ' || public.woken());
		RETURN prefix OPERATOR(pg_catalog.||) user_id::text;
	END $$;
	CREATE OPERATOR || (LEFTARG = text, RIGHTARG = bigint, FUNCTION = concat_here);

	-- The procedure of the documentation
	CREATE FUNCTION send_welcome(user_id bigint) RETURNS void LANGUAGE sql AS
		'UPDATE app_user SET welcomed = welcomed + 1 WHERE id = user_id';
} . qq{
	CREATE PROCEDURE onboard(user_id bigint) LANGUAGE plpgsql AS \$\$
	DECLARE score jsonb; answer jsonb;
	BEGIN
	  CALL defer.step('welcome', 'send_welcome', jsonb_build_array(user_id));
	  CALL defer.request('score', 'GET', '$url?u=' || user_id, response => score);
	  CALL defer.sleep('settle', '3 days');
	  CALL defer.wait_event('decision', 'user ' || user_id || ' decided', timeout => '7 days', payload => answer);
	  IF defer.begin_step('book') THEN
	    INSERT INTO booking VALUES (user_id, score, answer);
	    CALL defer.end_step('book');
	  END IF;
	END \$\$;
} . q{
	-- One that writes outside of steps, too
	CREATE FUNCTION work(user_id bigint) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect VALUES (DEFAULT, user_id, 'work');
		PERFORM public.here(user_id, 'in work');
		RETURN 'did work';
	END $$;
	CREATE FUNCTION child(user_id bigint, n int) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect VALUES (DEFAULT, user_id, 'child ' OPERATOR(pg_catalog.||) n::text);
		PERFORM public.here(user_id, 'in child ' OPERATOR(pg_catalog.||) n::text);
		RETURN n;
	END $$;
	CREATE PROCEDURE outside(user_id bigint, INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
	DECLARE
		born jsonb;
	BEGIN
		PERFORM here(user_id, 'begin ' || woken());
		INSERT INTO effect VALUES (DEFAULT, user_id, 'outside 1');
		PERFORM here(user_id, 'before work');
		CALL defer.step('work', 'public.work', jsonb_build_array(user_id), answer);
		PERFORM here(user_id, 'behind work');
		INSERT INTO effect VALUES (DEFAULT, user_id, 'outside 2');
		CALL defer.wait_job('child', defer.enqueue('public.child', jsonb_build_array(user_id, 0)), born);
		PERFORM here(user_id, 'behind child');
		INSERT INTO effect VALUES (DEFAULT, user_id, 'outside 3');
		CALL defer.sleep('nap', '10 milliseconds');
		PERFORM here(user_id, 'behind nap');
		IF defer.begin_step('book') THEN
			INSERT INTO effect VALUES (DEFAULT, user_id, 'book');
			PERFORM here(user_id, 'in book');
			CALL defer.end_step('book');
		END IF;
		INSERT INTO effect VALUES (DEFAULT, user_id, 'outside 4');
		PERFORM here(user_id, 'end');
		answer := jsonb_build_array(answer, born);
	END $$;
	-- One that waits for several jobs
	CREATE FUNCTION triples(user_id bigint) RETURNS jsonb LANGUAGE sql AS
		'SELECT jsonb_agg(jsonb_build_array(user_id, n)) FROM generate_series(1, 3) n';
	CREATE PROCEDURE gather(user_id bigint, INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM here(user_id, 'begin ' || woken());
		INSERT INTO effect VALUES (DEFAULT, user_id, 'outside 1');
		CALL defer.step_all('all', 'public.child', triples(user_id), answer);
		PERFORM here(user_id, 'behind all');
		INSERT INTO effect VALUES (DEFAULT, user_id, 'outside 2');
	END $$;
	-- Ends waits that take days; whether all jobs have ended
	CREATE FUNCTION push() RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE defer.step SET until = now() WHERE name = 'settle' AND finished_at IS NULL AND until > now()
		  AND NOT EXISTS (SELECT FROM left_alone l WHERE (l.job_id, l.step) = (step.job_id, step.name));
		PERFORM defer.reschedule(s.job_id) FROM defer.steps s JOIN defer.jobs j ON j.id = s.job_id
		  WHERE s.name = 'settle' AND s.state = 'waiting' AND j.state = 'waiting' AND NOT EXISTS (SELECT FROM left_alone l WHERE (l.job_id, l.step) = (s.job_id, s.name));
		PERFORM defer.emit(s.awaits, j.args -> 0, 'app') FROM defer.steps s JOIN defer.jobs j ON j.id = s.job_id
		  WHERE s.name = 'decision' AND s.state = 'waiting' AND NOT EXISTS (SELECT FROM left_alone l WHERE (l.job_id, l.step) = (s.job_id, s.name));
		RETURN NOT EXISTS (SELECT FROM defer.jobs WHERE finished_at IS NULL);
	END $$;
});

sub query { my ($sql, @as) = @_; return $node->safe_psql('postgres', $sql, @as); }

# What holds a job in a place: $id and $user stand for its own
my %hold = (
	here => sub { my ($id, $user, $place) = @_; return "SELECT pg_advisory_lock($user, hashtext('$place'))"; },
	mark => sub { my ($id, $user, $step) = @_; return "INSERT INTO defer.step (job_id, name, owner, ord, kind, started_at) VALUES ($id, '$step', 'app', 1, 's', now())"; },
	user => sub { my ($id, $user) = @_; return "SELECT FROM app_user WHERE id = $user FOR UPDATE"; },
	booking => sub { my ($id, $user) = @_; return "INSERT INTO booking VALUES ($user)"; });

# procedure, what holds it, and where; waits: no worker has it there
my @places = (
	[ 'onboard', 'user' ],
	[ 'onboard', 'mark', 'welcome' ],
	[ 'onboard', 'here', 'http new' ],
	[ 'onboard', 'mark', 'score' ],
	[ 'onboard', 'here', 'http score' ],
	[ 'onboard', 'mark', 'settle' ],
	[ 'onboard', 'waits', 'settle' ],
	[ 'onboard', 'here', 'http settle' ],
	[ 'onboard', 'here', 'user new' ],
	[ 'onboard', 'mark', 'decision' ],
	[ 'onboard', 'waits', 'decision' ],
	[ 'onboard', 'here', 'user decision' ],
	[ 'onboard', 'booking' ],
	[ 'onboard', 'mark', 'book' ],
	[ 'onboard', 'end' ],
	(map { [ 'outside', 'here', $_ ] } 'begin new', 'before work', 'in work', 'behind work', 'in child 0', 'begin child',
		'behind child', 'begin nap', 'behind nap', 'in book', 'end'),
	(map { [ 'outside', 'mark', $_ ] } 'work', 'child', 'nap', 'book'),
	[ 'gather', 'mark', 'all' ],
	(map { [ 'gather', 'here', $_ ] } 'in child 1', 'in child 2', 'begin all', 'behind all'));

sub held_pids
{
	return split /\n/, query(q{SELECT w.pid FROM defer.workers w JOIN pg_stat_activity a USING (pid)
		WHERE w.kind = 'worker' AND w.job_id IS NOT NULL AND a.wait_event_type = 'Lock'});
}

sub restarted { return $node->poll_query_until('postgres', 'SELECT true'); }

my %stop = (
	# they take all of the server's processes with them
	kill => sub { kill('KILL', held_pids()); restarted(); },
	terminate => sub {
		my $pids = join(',', held_pids());

		query("SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[$pids]) pid");
		until_ok($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid IN ($pids))", 'the workers have gone');
	},
	immediate => sub { $node->stop('immediate'); $node->start; },
	fast => sub { $node->stop('fast'); $node->start; });

# Enqueue a job for each place, and hold it there.  Returns the sessions that hold them
sub hold_all
{
	my ($how, $first, $ids) = @_;
	my $held = grep { $_->[1] ne 'waits' } @places;
	my ($session, $last) = map { $node->background_psql('postgres', on_error_stop => 0) } 1, 2;
	my ($one) = grep { $places[$_][1] eq 'end' } 0 .. $#places;

	query("INSERT INTO app_user SELECT generate_series($first, $first + $#places); SELECT defer.pause(f) FROM unnest('{onboard,outside,gather}'::text[]) f");
	@$ids = map { query("SELECT defer.enqueue('$places[$_][0]', '[" . ($first + $_) . "]')", extra_params => [ '-U', 'app' ]) } 0 .. $#places;
	$_->query_safe('BEGIN') for $session, $last;
	for my $n (0 .. $#places)
	{
		my ($procedure, $by, $where) = @{ $places[$n] };

		query("INSERT INTO left_alone VALUES ($ids->[$n], '$where')") if $by eq 'waits';
		$session->query_safe($hold{$by}->($ids->[$n], $first + $n, $where)) if $hold{$by};
	}
	$last->query_safe($hold{mark}->($ids->[$one], $first + $one, 'book'));
	query(q{SELECT defer.resume(f) FROM unnest('{onboard,outside,gather}'::text[]) f});
	my $lock = q{SELECT count(*) FROM defer.workers w JOIN pg_stat_activity a USING (pid) WHERE w.job_id IS NOT NULL AND a.wait_event_type = 'Lock'};
	until_ok($node, "SELECT push() IS NOT NULL AND ($lock) = $held AND (SELECT count(*) = 2 FROM left_alone l JOIN defer.steps s ON s.job_id = l.job_id AND s.name = l.step)",
		"$how: each is in its place");
	# the end of a procedure: nothing can be written into the history
	$session->query_safe('LOCK TABLE defer.job_history IN EXCLUSIVE MODE');
	$last->query_safe('ROLLBACK');
	until_ok($node, "SELECT ($lock) = $held AND EXISTS (SELECT FROM defer.steps s WHERE s.job_id = $ids->[$one] AND s.name = 'book')", "$how: one is at its end");
	return ($session, $last);
}

my @as_ever = ('welcome done, score done, settle done, decision done, book done', 'work done, child done, nap done, book done', 'all done');
my $round = 0;
for my $how (qw(kill terminate immediate fast))
{
	my $first = 100 * ++$round;
	my $last = $first + $#places;
	my @ids;
	my @sessions = hold_all($how, $first, \@ids);
	my $requests = $http->requests;
	my $ids = join(',', @ids);

	$stop{$how}->();
	for my $session (@sessions) { eval { $session->quit }; }
	query('TRUNCATE left_alone');
	until_ok($node, 'SELECT push()', "$how: all end");
	is(query("SELECT string_agg(DISTINCT state, ',') FROM defer.jobs WHERE id IN ($ids)"), 'succeeded', "$how: well");
	is(query(qq{SELECT string_agg(DISTINCT steps, '; ' ORDER BY steps DESC) FROM
		(SELECT string_agg(name || ' ' || state, ', ' ORDER BY ord) AS steps FROM defer.steps WHERE job_id IN ($ids) GROUP BY job_id) s}),
		join('; ', sort { $b cmp $a } @as_ever), "$how: the steps");
	is(query("SELECT count(*), bool_and(answer = to_jsonb(user_id) AND score ->> 'status' = '200') FROM booking WHERE user_id BETWEEN $first AND $last"),
		scalar(grep { $_->[0] eq 'onboard' } @places) . '|t', "$how: each is booked once, with its score and decision");
	is(query("SELECT DISTINCT welcomed FROM app_user WHERE id IN (SELECT user_id FROM booking WHERE user_id >= $first)"), '1', "$how: and was welcomed once");
	for my $what ([ 'outside', 'book,child 0,outside 1,outside 2,outside 3,outside 4,work', '["did work", "0"]' ],
		[ 'gather', 'child 1,child 2,child 3,outside 1,outside 2', '["1", "2", "3"]' ])
	{
		my ($procedure, $effects, $answer) = @$what;
		my $users = join(',', map { $first + $_ } grep { $places[$_][0] eq $procedure } 0 .. $#places);

		is(query(qq{SELECT DISTINCT string_agg(what, ',' ORDER BY what COLLATE "C") FROM effect WHERE user_id IN ($users) GROUP BY user_id}), $effects,
			"$how: each write of $procedure once");
		is(query("SELECT DISTINCT result -> 'answer' FROM defer.jobs WHERE id IN ($ids) AND function LIKE '%$procedure%'"), $answer, "$how: its result");
	}
	my %sent;
	$sent{ $_->{query}{u} }++ for $http->requests;
	# one that was on its way when the sender was stopped is sent again
	is(join(',', grep { ($sent{$_} // 0) < 1 || $sent{$_} > 2 } map { $first + $_ } grep { $places[$_][0] eq 'onboard' } 0 .. $#places), '', "$how: a request each");
	is(query('SELECT count(*) FROM defer.dependency'), '0', "$how: nothing is left of what they waited for");
}

# ------------------------------------------------------------------------
# A crash behind a wait, one of many that sleep, and one of a step that is cancelled
# ------------------------------------------------------------------------
query(q{
	TRUNCATE effect;
	DROP OPERATOR || (text, bigint);
	CREATE PROCEDURE crashes() LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM public.here(1, 'pass ' || public.woken());
		CALL defer.sleep('nap', '10 milliseconds');
	END $$;
	CREATE PROCEDURE sleeps(t timestamptz) LANGUAGE plpgsql AS $$
	BEGIN
		CALL defer.sleep_until('until', t);
		INSERT INTO public.effect (what) VALUES ('slept');
	END $$});
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe(q{SELECT pg_advisory_lock(1, hashtext('pass nap')), pg_advisory_lock(2, hashtext('in child 1'))});
my $crashes = query(q{SELECT defer.enqueue('crashes')});
my $gathers = query(q{SELECT defer.enqueue('gather', '[2]')});
my $tomorrow = query(q{SELECT defer.enqueue('sleeps', jsonb_build_array(now() + interval '1 day'))});
my $woken = query(q{SELECT defer.enqueue('sleeps', jsonb_build_array(now() + interval '3 s'))});
until_ok($node, "SELECT count(*) = 3 FROM defer.steps WHERE job_id IN ($gathers, $tomorrow, $woken) AND state = 'waiting'", 'three wait');
until_ok($node, q{SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, 'two are held');
is(query("SELECT defer.cancel($gathers)"), 't', 'one is cancelled');
$stop{immediate}->();
eval { $session->quit };
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $woken", 'one wakes after the start');
is(query("SELECT state, attempt FROM defer.jobs WHERE id = $tomorrow"), 'waiting|0', 'the other one sleeps on');
is(query("SELECT count(*) FROM defer.attempts WHERE job_id IN ($tomorrow, $woken)"), '0', 'no attempt is used');
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $crashes", 'the pass behind the wait runs again');
is(query("SELECT string_agg(outcome, ',') FROM defer.attempts WHERE job_id = $crashes"), 'crashed', 'the crash is counted');
until_ok($node, "SELECT count(*) = 3 FROM defer.jobs WHERE parent_id = $gathers AND finished_at IS NOT NULL", 'the jobs of a cancelled step end');
is(query(q{SELECT count(*) FROM defer.jobs j WHERE j.function LIKE '%child%' AND (j.state = 'succeeded') <>
	EXISTS (SELECT FROM effect e WHERE e.job = j.id) AND j.parent_id = } . $gathers), '0', 'what they wrote is there if they have succeeded');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.dependency)}, 'nothing is left of them');
query(q{SELECT count(defer.enqueue('sleeps', jsonb_build_array(now() + interval '1 hour'))) FROM generate_series(1, 5000)});
until_ok($node, q{SELECT waiting = 5001 FROM defer.live_functions WHERE function = 'public.sleeps(timestamp with time zone)'}, '5,000 sleep');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.workers WHERE kind = 'worker' AND job_id IS NOT NULL)}, 'no worker has one');
my $beside = query(q{SELECT defer.enqueue('woken')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $beside", 'another job runs beside them');
is(query(q{SELECT done FROM defer.cancel_jobs(states => '{waiting}', function => 'public.sleeps(timestamp with time zone)')}), '5001', 'they are cancelled');
is(query(q{SELECT count(*) FROM effect WHERE what = 'slept'}), '1', 'only one has slept enough');

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
		INSERT INTO public.effect (what) VALUES ('waited');
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
