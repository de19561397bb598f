# Whose code decides about a job: only that of its owner; and a function that another
# role has made anew under a name that was free is not run as somebody else.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
defer.max_workers = 4
defer.retention = 0
});

sub as
{
	my ($role, $sql) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]);
}

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE victim LOGIN;
	CREATE ROLE mallory LOGIN;
	CREATE ROLE friend LOGIN IN ROLE victim;
	GRANT USAGE ON SCHEMA defer TO victim, mallory, friend;
	CREATE SCHEMA shared;
	GRANT USAGE, CREATE ON SCHEMA shared TO victim, mallory, friend;
	CREATE TABLE shared.seen (who name, what text);
	GRANT INSERT, SELECT ON shared.seen TO PUBLIC});

# ------------------------------------------------------------------------
# Code of another role inside a job
# ------------------------------------------------------------------------
for my $call (q{defer.snooze('90 days')}, q{defer.give_up('no')}, q{defer.log('injected')}, q{defer.progress(0.5)})
{
	$node->safe_psql('postgres', qq{
		CREATE SCHEMA IF NOT EXISTS mallory AUTHORIZATION mallory;
		SET ROLE mallory;
		DROP TABLE IF EXISTS mallory.t;
		CREATE TABLE mallory.t (n int);
		INSERT INTO mallory.t VALUES (1);
		CREATE OR REPLACE FUNCTION mallory.evil(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS \$\$
		BEGIN
			IF defer.current_job() IS NOT NULL THEN PERFORM $call; END IF;
			RETURN n;
		END \$\$;
		CREATE INDEX evil ON mallory.t (mallory.evil(n));
		CREATE OR REPLACE FUNCTION mallory.as_me() RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS \$\$
		BEGIN
			PERFORM $call;
		END \$\$});
	my $id = $node->safe_psql('postgres', q{SELECT defer.command('ANALYZE mallory.t', max_attempts => 1)});

	settled($node, "ANALYZE of a table with an index that calls $call");
	is($node->safe_psql('postgres', "SELECT state, sqlstate FROM defer.jobs WHERE id = $id"), 'failed|42501', 'is an error that is seen');
	$node->safe_psql('postgres', 'GRANT USAGE ON SCHEMA mallory TO victim');
	$id = as('victim', q{SELECT defer.command('SELECT mallory.as_me()', max_attempts => 1)});
	settled($node, "a SECURITY DEFINER function of another role that calls $call");
	is(as('victim', "SELECT state, sqlstate FROM defer.jobs WHERE id = $id"), 'failed|42501', 'is an error, too');
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.logs WHERE message = 'injected'}), '0', 'nothing was said in the name of a job');

# Of the owner itself, of a superuser, of a member of the owner: as ever
$node->safe_psql('postgres', q{
	CREATE FUNCTION shared.say(what text) RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS $$BEGIN PERFORM defer.log(what); END $$;
	SET ROLE friend;
	CREATE FUNCTION shared.say_too(what text) RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS $$BEGIN PERFORM defer.log(what); END $$});
my $said = as('victim', q{SELECT defer.command($y$DO $x$BEGIN PERFORM defer.log('one'); PERFORM shared.say('two'); PERFORM shared.say_too('three'); END $x$$y$)});
settled($node, 'a job that speaks for itself');
is(as('victim', "SELECT string_agg(message, ' ' ORDER BY at) FROM defer.logs WHERE job_id = $said"), 'one two three', 'is heard');

# The job itself, after SET ROLE: it can undo that
$node->safe_psql('postgres', q{
	CREATE ROLE weaker;
	GRANT weaker TO victim;
	GRANT USAGE ON SCHEMA defer, mallory TO weaker});
$said = as('victim', q{SELECT defer.command($y$DO $x$BEGIN SET LOCAL ROLE weaker; PERFORM defer.log(current_user::text); PERFORM defer.progress(0.5); END $x$$y$, max_attempts => 1)});
settled($node, 'a job that speaks after SET ROLE');
is(as('victim', "SELECT state || ' ' || (SELECT string_agg(message, ' ') FROM defer.logs WHERE job_id = id) FROM defer.jobs WHERE id = $said"), 'succeeded weaker', 'is heard');
$said = as('victim', q{SELECT defer.command($y$DO $x$BEGIN SET LOCAL ROLE weaker; PERFORM mallory.as_me(); END $x$$y$, max_attempts => 1)});
settled($node, 'a SECURITY DEFINER function of another role that is called after SET ROLE');
is(as('victim', "SELECT state, sqlstate FROM defer.jobs WHERE id = $said"), 'failed|42501', 'is an error');

# A job can be put off by a year at most
my $id = as('victim', q{SELECT defer.command($$SELECT defer.snooze('2 years')$$, max_attempts => 1)});
settled($node, 'snooze for too long');
is(as('victim', "SELECT state, sqlstate FROM defer.jobs WHERE id = $id"), 'failed|22023', 'is refused');

# A run of a schedule that is put off holds up the next ones: said in defer.health
$node->safe_psql('postgres', q{
	CREATE FUNCTION shared.later() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM defer.snooze('30 days'); END $$;
	SET client_min_messages = error;
	SELECT defer.cron('shared.later', '* * * * * *', 'put off')});
until_ok($node, q{SELECT count(*) = 1 FROM defer.health WHERE finding LIKE 'schedule "put off" % waits for its run of %'}, 'defer.health names the schedule');
$node->safe_psql('postgres', q{SELECT defer.unschedule('put off'); SELECT defer.cancel(id) FROM defer.jobs WHERE function = 'shared.later()' AND state = 'scheduled'});

# ------------------------------------------------------------------------
# A function made anew by another role
# ------------------------------------------------------------------------
my $work = q{LANGUAGE sql AS $$INSERT INTO shared.seen VALUES (current_user, '%s')$$};
sub make
{
	my ($role, $name, $what) = @_;

	as($role, "CREATE FUNCTION shared.$name RETURNS void " . sprintf($work, $what));
	return;
}
make('victim', $_, 'right') for 'task()', 'ticking()', 'again()', 'other()', 'given()';
as('victim', q{CREATE PROCEDURE shared.proc() } . sprintf($work, 'right'));
my $done = as('victim', q{SELECT defer.enqueue('shared.again')});
settled($node, 'a job has run');
as('victim', q{SET client_min_messages = error; SELECT defer.cron('shared.ticking', '0 0 29 2 *', 'tick')});
my %jobs = map { $_ => as('victim', "SELECT defer.enqueue('shared.$_', delay => '1 day', max_attempts => 1)") } 'task', 'proc', 'other', 'given';

as('victim', "DROP FUNCTION shared.$_") for 'task()', 'ticking()', 'again()', 'other()';
as('victim', 'DROP PROCEDURE shared.proc()');
make('mallory', $_, 'wrong') for 'task()', 'ticking()', 'again()';
as('mallory', q{CREATE PROCEDURE shared.proc() } . sprintf($work, 'wrong'));
$node->safe_psql('postgres', q{CREATE FUNCTION shared.other() RETURNS void } . sprintf($work, 'by a superuser'));
$node->safe_psql('postgres', 'ALTER FUNCTION shared.given() OWNER TO postgres');
as('victim', "SELECT defer.reschedule($_)") for values %jobs;
settled($node, 'all have run or failed');
is(as('victim', "SELECT state, sqlstate FROM defer.jobs WHERE id = $jobs{$_}"), 'failed|42501', "$_: is not run")
  for 'task', 'proc';
is(as('victim', "SELECT state FROM defer.jobs WHERE id = $jobs{$_}"), 'succeeded', "$_: one of a superuser is")
  for 'other', 'given';
my ($status, $out, $error) = $node->psql('postgres', "SELECT defer.rerun($done)", extra_params => [ '-U', 'victim' ]);
like($error, qr/has another owner than when the job was enqueued/, 'nor is an old job run again');
($status, $out, $error) = $node->psql('postgres', "SELECT defer.trigger('tick')", extra_params => [ '-U', 'victim' ]);
like($error, qr/has another owner than when the schedule was made/, 'nor a schedule');
as('victim', q{SET client_min_messages = error; SELECT defer.alter_cron('tick', schedule => '* * * * * *')});
until_ok($node, q{SELECT count(*) > 0 FROM defer.jobs WHERE schedule = 'tick' AND state = 'failed' AND sqlstate = '42501'}, 'its ticks fail, and say so');
is($node->safe_psql('postgres', q{SELECT count(*) FROM shared.seen WHERE what = 'wrong'}), '0', 'nothing of the other role has run');

# Who says that it is right this way has it
as('victim', q{SET client_min_messages = error; SELECT defer.cron('shared.ticking', '* * * * * *', 'tick')});
until_ok($node, q{SELECT count(*) > 0 FROM shared.seen WHERE who = 'victim' AND what = 'wrong'}, 'made anew, the schedule runs');
as('victim', q{SELECT defer.unschedule('tick')});

$node->stop;
done_testing();
