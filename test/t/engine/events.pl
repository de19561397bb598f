# Events and steps that wait for them: thousands at the same time, stops in the midst,
# prepared transactions, roles, dump and restore.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $MANY = 2000;
my $node = new_server('main', q{defer.max_workers = 4
max_prepared_transactions = 5
autovacuum = off});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE alice LOGIN;
	CREATE ROLE bob LOGIN;
	GRANT USAGE ON SCHEMA defer TO PUBLIC;
	CREATE TABLE effect (job bigint DEFAULT defer.current_job(), what text);
	GRANT ALL ON effect TO PUBLIC;
	CREATE PROCEDURE waits(event text, timeout interval DEFAULT NULL, INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect (what) VALUES ('before');
		CALL defer.wait_event('wait', event, timeout, answer);
		INSERT INTO public.effect (what) VALUES ('after');
		IF answer IS NULL THEN answer := '"timed out"'; END IF;
	END $$;
	-- of three signals each
	CREATE PROCEDURE listens(INOUT answer jsonb DEFAULT '[]') LANGUAGE plpgsql AS $$
	DECLARE
		r jsonb;
	BEGIN
		FOR i IN 1..3 LOOP
			CALL defer.wait_event('signal ' || i, 'signal', NULL, r);
			answer := answer || r;
		END LOOP;
		INSERT INTO public.effect (what) VALUES ('listened');
	END $$});

sub query { my ($sql, @as) = @_; return $node->safe_psql('postgres', $sql, @as); }

sub state_is
{
	my ($id, $state, $what) = @_;

	return until_ok($node, "SELECT state = '$state' FROM defer.jobs WHERE id = $id", $what);
}

# ------------------------------------------------------------------------
# Emits while steps begin to wait
# ------------------------------------------------------------------------
# jobs begin one after the other, and are emitted to from two sessions meanwhile
query(qq{SELECT count(defer.enqueue('waits', jsonb_build_array('event ' || i))) FROM generate_series(1, $MANY) i});
$node->pgbench('--no-vacuum --client=2 --jobs=2 --transactions=' . int($MANY / 2), 0, [qr{processed: $MANY/}], [qr{^$}], 'emits',
	{ 'emits' => q{SELECT defer.emit('event ' || nextval('public.next'));} }) if query('CREATE SEQUENCE next') eq '';
settled($node, "$MANY events for $MANY steps");
is(query(q{SELECT count(*) FROM defer.jobs WHERE state = 'succeeded' AND result = '{"answer": null}'}), $MANY, 'all of them have come');
is(query(q{SELECT count(*) FILTER (WHERE what = 'before'), count(*) FILTER (WHERE what = 'after') FROM effect}), "$MANY|$MANY", 'each write once');
is(query('SELECT count(*) FROM defer.dependency'), '0', 'nothing is left');

# One for many: the scheduler wakes those beyond a hundred
query('TRUNCATE effect');
query(qq{SELECT count(defer.enqueue('waits', '["for all"]')) FROM generate_series(1, $MANY)});
until_ok($node, qq{SELECT waiting > $MANY / 2 FROM defer.live_functions WHERE function LIKE 'public.waits%'}, 'many wait');
is(query(q{SELECT defer.emit('for all', '"x"')}), 't', 'one event');
settled($node, 'wakes them all');
is(query('SELECT count(*) FROM effect'), 2 * $MANY, 'each write once');

# Signals, while steps consume those before
query('TRUNCATE effect');
query(q{CREATE TABLE listener AS SELECT defer.enqueue('listens') AS id FROM generate_series(1, 200)});
$node->pgbench('--no-vacuum --client=2 --jobs=2 --transactions=300', 0, [qr{processed: 600/}], [qr{^$}], 'signals',
	{ 'signals' => q{SELECT defer.signal((SELECT id FROM public.listener ORDER BY id OFFSET (n - 1) % 200 LIMIT 1), 'signal', to_jsonb(n)) FROM nextval('public.signals') n;} })
  if query('CREATE SEQUENCE signals') eq '';
settled($node, '600 signals for 200 steps');
is(query(q{SELECT count(*) FROM effect}), '200', 'each has gone on once');
is(query(q{SELECT count(DISTINCT n) FROM defer.jobs j, jsonb_array_elements(j.result -> 'answer') n WHERE j.function LIKE 'public.listens%'}), '600', 'each signal was consumed once');
is(query('SELECT count(*) FROM defer.signal'), '0', 'none is left');

# Time-outs and events at the same time: whatever comes first, the step goes on once
query('TRUNCATE effect');
query(qq{SELECT count(defer.enqueue('waits', jsonb_build_array('race ' || i, '100 milliseconds'))) FROM generate_series(1, 500) i});
query(q{SELECT defer.emit('race ' || i) FROM generate_series(500, 1, -1) i});
settled($node, '500 events beside time-outs');
is(query(q{SELECT count(*) FILTER (WHERE what = 'before'), count(*) FILTER (WHERE what = 'after') FROM effect}), '500|500', 'each write once');

# A transaction that has emitted, and stays open, holds up no worker; one that is rolled back was none
my $session = $node->background_psql('postgres', extra_params => [ '-U', 'alice' ]);
my $waits = query(q{SELECT defer.enqueue('waits', '["slow", "1 second"]')}, extra_params => [ '-U', 'alice' ]);
my $long = query(q{SELECT defer.enqueue('waits', '["slow"]')}, extra_params => [ '-U', 'alice' ]);
state_is($waits, 'waiting', 'one waits for a second');
state_is($long, 'waiting', 'one without end');
$session->query_safe(q{BEGIN; SELECT defer.emit('slow', '1')});
my $bobs = query(q{SELECT defer.enqueue('waits', '["slow", "0"]')}, extra_params => [ '-U', 'bob' ]);
state_is($bobs, 'succeeded', 'bob does not wait for the event of alice');
$session->query_safe('ROLLBACK');
state_is($waits, 'succeeded', 'after the rollback the time is over');
is(query("SELECT defer.result($waits)"), '{"answer": "timed out"}', 'and it has timed out');
$session->query_safe(q{SELECT defer.emit('slow', '2')});
$session->quit;
state_is($long, 'succeeded', 'another emit counts');
is(query("SELECT defer.result($long)"), '{"answer": 2}', 'with its payload');

# One that ends between its event and its next pass leaves no rows; nor one whose procedure has lost the step
query(q{CREATE PROCEDURE changes() LANGUAGE plpgsql AS 'BEGIN CALL defer.wait_event(''old'', ''change''); END'});
my $cancelled_job = query(q{SELECT defer.enqueue('waits', '["change"]')});
my $changed = query(q{SELECT defer.enqueue('changes')});
state_is($_, 'waiting', 'it waits') for $cancelled_job, $changed;
query(q{CREATE OR REPLACE PROCEDURE changes() LANGUAGE plpgsql AS 'BEGIN CALL defer.step(''new'', ''pg_catalog.now''); END';
	SELECT defer.pause('waits'); SELECT defer.emit('change')});
until_ok($node, "SELECT state = 'queued' FROM defer.jobs WHERE id = $cancelled_job", 'it is woken');
query("SELECT defer.cancel($cancelled_job); SELECT defer.resume('waits')");
state_is($changed, 'succeeded', 'the other one goes on with what the procedure is now');
is(query('SELECT count(*) FROM defer.dependency'), '0', 'they leave no rows');

# Prepared transactions
my $prepared = query(q{SELECT defer.enqueue('waits', '["prepared"]')});
state_is($prepared, 'waiting', 'one waits');
query(q{BEGIN; SELECT defer.emit('prepared', '"p"'); PREPARE TRANSACTION 'p'});
is(query("SELECT state FROM defer.jobs WHERE id = $prepared"), 'waiting', 'the event is prepared only');
query(q{COMMIT PREPARED 'p'});
state_is($prepared, 'succeeded', 'it is committed');

# ------------------------------------------------------------------------
# Stops
# ------------------------------------------------------------------------
for my $how (qw(immediate fast kill))
{
	query('TRUNCATE effect');
	query(qq{SELECT count(defer.enqueue('waits', '["stop $how"]')) FROM generate_series(1, 1000)});
	my $later = query(qq{SELECT defer.enqueue('waits', '["stopped $how"]')});
	until_ok($node, qq{SELECT waiting > 500 FROM defer.live_functions WHERE function LIKE 'public.waits%'}, "$how: many wait");
	query(qq{SELECT defer.emit('stop $how')});
	if ($how eq 'kill')
	{
		kill('KILL', query(q{SELECT pid FROM defer.workers WHERE kind = 'worker' LIMIT 1}));
		$node->poll_query_until('postgres', 'SELECT true');
	}
	else
	{
		$node->stop($how);
		$node->start;
	}
	until_ok($node, qq{SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE finished_at IS NULL AND args = '["stop $how"]')}, "$how: all go on");
	is(query(q{SELECT count(*) FILTER (WHERE what = 'before'), count(*) FILTER (WHERE what = 'after') FROM effect}), '1001|1000', "$how: each write once");
	state_is($later, 'waiting', "$how: another one still waits");
	query(qq{SELECT defer.emit('stopped $how')});
	state_is($later, 'succeeded', "$how: until its event comes");
}

# ------------------------------------------------------------------------
# Retention; dump and restore, where roles have other numbers
# ------------------------------------------------------------------------
query(q{UPDATE defer.event SET at = now() - interval '8 days' WHERE name = 'slow'});
$node->reload;
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.event WHERE name = 'slow')}, 'old events are removed');

my $forgotten = query(q{SELECT defer.enqueue('waits', '["forgotten"]')});
state_is($forgotten, 'waiting', 'one waits');
my $finding = q{SELECT count(*) FROM defer.health WHERE finding LIKE 'jobs of public.waits(%for an event%'};
is(query($finding), '0', 'not for long');
query("UPDATE defer.step SET started_at = now() - interval '8 days' WHERE job_id = $forgotten");
is(query($finding), '1', 'longer than events are kept: defer.health says so');
like(query(q{SELECT hint FROM defer.health WHERE finding LIKE '%for an event%'}), qr/defer\.signal\($forgotten, 'forgotten'\)/, 'and how to go on');
is(query("SET ROLE bob; $finding"), '0', 'not to others');
query("SELECT defer.signal($forgotten, 'forgotten')");
state_is($forgotten, 'succeeded', 'as it does');

my $restored_job = query(q{SELECT defer.enqueue('waits', '["restored"]')}, extra_params => [ '-U', 'alice' ]);
my $early = query(q{SELECT defer.enqueue('waits', '["signalled"]')}, extra_params => [ '-U', 'alice' ]);
state_is($restored_job, 'waiting', 'one waits as the dump is made');
state_is($early, 'waiting', 'and another');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'dumped');
my $copy = new_server('copy', q{defer.max_workers = 2});
$copy->safe_psql('postgres', 'CREATE ROLE other LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE alice LOGIN');
$copy->safe_psql('postgres', 'CREATE DATABASE restored');
$copy->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'restored' ], 'restored');
$copy->safe_psql('restored', 'SELECT defer.activate()');
$copy->safe_psql('restored', q{SELECT defer.emit('restored', '"in the copy"')}, extra_params => [ '-U', 'alice' ]);
until_ok($copy, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $restored_job", 'the copy hears of its event', 'restored');
$copy->safe_psql('restored', "SELECT defer.signal($early, 'signalled')");
until_ok($copy, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $early", 'and of its signal', 'restored');
is(query("SELECT state FROM defer.jobs WHERE id = $restored_job"), 'waiting', 'the original does not');
is($copy->safe_psql('restored', q{SELECT count(*) FROM defer.events WHERE name = 'for all'}), '1', 'events are in the dump');

$copy->stop;
# ------------------------------------------------------------------------
# A role that may emit another's events, and does not end its transaction
# ------------------------------------------------------------------------
query(q{GRANT EXECUTE ON PROCEDURE waits TO PUBLIC; SET ROLE alice; SELECT defer.grant_event('pay:', 'bob')});
my $held = query(q{SET ROLE alice; SELECT defer.enqueue('waits', '["pay:1", "1 s"]')});
my $woken = query(q{SET ROLE alice; SELECT defer.enqueue('waits', '["pay:1"]')});
state_is($_, 'waiting', 'a step waits for the event') for $woken;
my $bob = $node->background_psql('postgres', on_error_stop => 1);
$bob->query_safe(q{SET ROLE bob; BEGIN; SELECT defer.emit('pay:1', '1', 'alice')});
state_is($held, 'succeeded', 'its time-out passes all the same');
my $cancelled = query(q{SET ROLE alice; SELECT defer.enqueue('waits', '["pay:1"]')});
state_is($cancelled, 'waiting', 'another one waits');
is(query(qq{SET ROLE alice; SET statement_timeout = '60 s'; SELECT defer.cancel($cancelled)}), 't', 'and can be cancelled');
is(query(qq{SELECT result->>'answer' FROM defer.jobs WHERE id = $held}), 'timed out', 'the event was not there');
$bob->query_safe('COMMIT');
$bob->quit;
state_is($woken, 'succeeded', 'the commit wakes the step');
is(query(qq{SELECT result->>'answer' FROM defer.jobs WHERE id = $woken}), '1', 'with the payload');

$node->stop;
done_testing();
