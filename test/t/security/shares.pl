# What a role can fill (ready queues, limits, settings of groups, keys, counters, numbers)
# holds up nobody else: two roles, and room for 64.
use strict;
use warnings;

use DeferTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
defer.shared_slots = 64
max_connections = 90});

# A statement of a role; in database postgres if none is named
sub as_role
{
	my ($role, $sql, $database) = @_;

	return $node->safe_psql($database // 'postgres', $sql, extra_params => [ '-U', $role ]);
}

# The other role's job runs, whatever mary has done
sub vera_runs
{
	my ($what, $database) = @_;
	my $id = as_role('vera', q{SELECT defer.enqueue('vera.free')}, $database);

	return until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", "$what: another role's job runs", $database);
}

sub set_up
{
	my ($database) = @_;

	$node->safe_psql($database, q{
		CREATE EXTENSION defer;
		GRANT USAGE ON SCHEMA defer TO mary, vera;
		CREATE SCHEMA mary AUTHORIZATION mary;
		CREATE SCHEMA vera AUTHORIZATION vera});
	as_role('mary', q{CREATE FUNCTION mary.nop() RETURNS void LANGUAGE sql AS 'SELECT'}, $database);
	as_role('vera', q{CREATE FUNCTION vera.free() RETURNS void LANGUAGE sql AS 'SELECT'}, $database);
	return;
}

$node->safe_psql('postgres', 'CREATE ROLE mary LOGIN; CREATE ROLE vera LOGIN');
$node->safe_psql('postgres', 'CREATE DATABASE other');
set_up('postgres');
set_up('other');

# Jobs of the far future, each with a priority of its own, in three times as many
# transactions as there are slots
as_role('mary', join('', map { "SELECT defer.enqueue('mary.nop', delay => '80 years', priority => 1000 + $_);\n" } 1 .. 200));
vera_runs('far-off jobs');
vera_runs('far-off jobs, in another database', 'other');

# And all at once
as_role('mary', q{SELECT count(defer.enqueue('mary.nop', delay => '80 years', priority => 2000 + i)) FROM generate_series(1, 300) i});
vera_runs('very many far-off jobs in one transaction');

# One of mary's own that is due now, and some that will be in a moment
my $mine = as_role('mary', q{SELECT defer.enqueue('mary.nop', priority => 7)});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $mine", 'a job of hers that is due runs, too');
as_role('mary', join('', map { "SELECT defer.enqueue('mary.nop', delay => '2 s', priority => 5000 + $_);\n" } 1 .. 150));
until_ok($node, q{SELECT count(*) = 151 FROM defer.jobs WHERE owner = 'mary' AND state = 'succeeded'},
	'and those of 150 priorities when their time has come');
as_role('mary', q{SELECT count(defer.cancel(id)) FROM defer.jobs WHERE state = 'scheduled'});
vera_runs('cancelled ones');

# After a restart all of it is read from the tables
as_role('mary', q{SELECT count(defer.enqueue('mary.nop', delay => '80 years', priority => i)) FROM generate_series(-1000, 1000) i});
as_role('vera', q{SELECT defer.enqueue('vera.free', delay => '1 s', priority => 3)});
$node->restart;
until_ok($node, q{SELECT bool_and(state = 'succeeded') FROM defer.jobs WHERE owner = 'vera'}, 'all of it after a restart');
vera_runs('after a restart');
as_role('mary', q{SELECT count(defer.cancel(id)) FROM defer.jobs WHERE state = 'scheduled'});

# Due jobs that may not run: paused
as_role('mary', q{SELECT defer.pause('mary.nop')});
as_role('mary', q{SELECT count(defer.enqueue('mary.nop', priority => i)) FROM generate_series(1, 200) i});
as_role('mary', join('', map { "SELECT defer.enqueue('mary.nop', priority => 300 + $_);\n" } 1 .. 100));
vera_runs('paused jobs');
as_role('mary', q{CREATE FUNCTION mary.other() RETURNS void LANGUAGE sql AS 'SELECT'});
$mine = as_role('mary', q{SELECT defer.enqueue('mary.other', priority => 100000)});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $mine", 'a job of hers that is not paused runs behind them');
as_role('mary', q{SELECT defer.resume('mary.nop')});
settled($node, 'all of them run when they may');

# What was rolled back
as_role('mary', q{DO $$
	BEGIN
		FOR i IN 1 .. 200 LOOP
			BEGIN
				PERFORM defer.enqueue('mary.nop', delay => '80 years', priority => 10000 + i);
				RAISE division_by_zero;
			EXCEPTION WHEN division_by_zero THEN NULL;
			END;
			COMMIT;
		END LOOP;
	END $$});
vera_runs('subtransactions that were rolled back');

# Databases that are gone
$node->safe_psql('postgres', 'CREATE DATABASE gone');
set_up('gone');
as_role('mary', join('', map { "SELECT defer.enqueue('mary.nop', delay => '80 years', priority => 1000 + $_);\n" } 1 .. 100), 'gone');
as_role('mary', q{SELECT defer.pause('mary.nop')}, 'gone');
as_role('mary', join('', map { "SELECT defer.enqueue('mary.nop', priority => $_);\n" } 1 .. 100), 'gone');
vera_runs('another database that is full', 'other');
$node->safe_psql('postgres', 'DROP DATABASE gone');
vera_runs('a database that was dropped');
vera_runs('a database that was dropped, for the other one', 'other');
$node->safe_psql('postgres', 'CREATE DATABASE anew');
set_up('anew');
vera_runs('a database that was dropped, for a new one', 'anew');

# Limits: more queues than slots, with and without jobs
as_role('mary', join('', map { "SELECT defer.create_queue('mary$_', concurrency => 1);\n" } 1 .. 150));
as_role('vera', q{CREATE FUNCTION vera.limited() RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.configure('vera.limited', concurrency => 3)});
my $limited = as_role('vera', q{SELECT defer.enqueue('vera.limited')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $limited", 'many limits: a limited job of another role runs');
as_role('mary', join('', map { "SELECT defer.pause_queue('mary$_');\n" } 1 .. 100));
as_role('mary', join('', map { "SELECT defer.enqueue('mary.nop', queue => 'mary$_');\n" } 1 .. 150));
$limited = as_role('vera', q{SELECT defer.enqueue('vera.limited')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $limited", 'many paused queues with jobs: a limited job of another role runs');
vera_runs('many paused queues with jobs');
until_ok($node, q{SELECT count(*) = 50 FROM defer.jobs WHERE queue LIKE 'mary%' AND state = 'succeeded'}, 'and those that are not paused run');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE queue LIKE 'mary%' AND state = 'queued'}), '100', 'paused ones do not');
as_role('mary', join('', map { "SELECT defer.resume_queue('mary$_');\n" } 1 .. 100));
settled($node, 'until their queues are resumed');

# Counters: mary has jobs in 150 queues, and vera's are counted under their names
as_role('vera', q{CREATE FUNCTION vera.counted() RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.enqueue('vera.counted')});
settled($node, 'a job that is counted');
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.job_statistics() WHERE function = 'vera.counted()' AND succeeded = 1)},
	'it is counted under its name');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.job_statistics() WHERE owner = 'mary'::regrole::oid}), 64 / 8 + 1,
	'mary has her share of the counters, and one for the rest');
is($node->safe_psql('postgres', q{
	SELECT sum(succeeded) = (SELECT count(*) FROM defer.jobs j WHERE j.owner = 'mary' AND j.state = 'succeeded'
			AND j.finished_at > pg_postmaster_start_time())
	  FROM defer.job_statistics() WHERE owner = 'mary'::regrole::oid}), 't', 'all of her jobs are counted');

# Settings of groups: very many, which are changed without end, and read each time
as_role('mary', q{CREATE FUNCTION mary.grouped(tenant text) RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.configure('mary.grouped', group_by => 'tenant', group_concurrency => 2);
	SELECT count(defer.set_group('t' || i, function => 'mary.grouped', paused => true)) FROM generate_series(1, 400) i;
	SELECT count(defer.enqueue('mary.grouped', jsonb_build_array('t' || i))) FROM generate_series(1, 300) i});
as_role('vera', q{CREATE FUNCTION vera.grouped(tenant text) RETURNS text LANGUAGE sql AS 'SELECT tenant';
	CREATE FUNCTION vera.tick() RETURNS void LANGUAGE sql AS 'SELECT'});
append_to_file($node->data_dir . '/set_group.sql', q{\set i random(1, 400)
SELECT defer.set_group('t' || :i, function => 'mary.grouped', weight => 1 + :i % 7, paused => true);
});
my $changes = IPC::Run::start([ 'pgbench', '--host' => $node->host, '--port' => $node->port, '--username' => 'mary', '--no-vacuum',
		'--client' => 3, '--time' => 600, '--file' => $node->data_dir . '/set_group.sql', 'postgres' ],
	'>', \my $changed, '2>&1');
until_ok($node, q{SELECT count(*) = 3 FROM pg_stat_activity WHERE usename = 'mary' AND query LIKE '%set_group%'}, 'settings of groups change')
  or diag($changed);
as_role('vera', q{SELECT defer.configure('vera.grouped', group_by => 'tenant', group_concurrency => 1);
	SELECT defer.set_group('t1', function => 'vera.grouped', concurrency => 3), defer.set_group('t2', function => 'vera.grouped', paused => true);
	SELECT defer.enqueue('vera.grouped', jsonb_build_array('t' || i)) FROM generate_series(1, 3) i;
	SELECT defer.cron('vera.tick', '* * * * * *', name => 'tick', overlap => 'allow')});
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE function = 'vera.grouped(text)' AND state = 'succeeded'},
	'settings of groups that change: groups of another role have theirs');
until_ok($node, q{SELECT count(*) > 1 FROM defer.jobs WHERE function = 'vera.tick()' AND state = 'succeeded'}, 'and its schedules fire');
is(as_role('vera', q{SELECT string_agg(concat_ws(' ', group_key, queued, concurrency, paused), ', ' ORDER BY group_key) FROM defer.groups WHERE kind = 'function'}),
	't1 0 3 f, t2 1 1 t', 'it sees its own');
$changes->kill_kill;
as_role('vera', q{SELECT defer.unschedule('tick'); SELECT defer.set_group('t2', function => 'vera.grouped', paused => false)});
as_role('mary', q{SELECT count(defer.cancel(id)) FROM defer.jobs WHERE state = 'queued'});
settled($node, 'all of them end');

# Keys that count for a time: very many that are over, more than are removed at once
as_role('mary', q{SELECT count(defer.enqueue('mary.nop', key => 'k' || i, key_for => '1 us')) FROM generate_series(1, 12000) i});
is(as_role('vera', q{SELECT (defer.enqueue_one('vera.free', key => 'k1', key_for => '1 day')).outcome}), 'created', 'keys of another role are its own');
settled($node, 'jobs with keys end');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'defer scheduler' AND datname = 'postgres'});
until_ok($node, q{SELECT count(*) = 1 FROM defer.key_hold}, 'those that are over are removed');
is(as_role('vera', q{SELECT (defer.enqueue_one('vera.free', key => 'k1', key_for => '1 us')).outcome}), 'kept', 'and that of another role counts');
is(as_role('mary', q{SELECT (defer.enqueue_one('mary.nop', key => 'k1')).outcome}), 'created', 'for its own jobs only');

# More sessions of mary's wait for a job than there are slots
my $awaited = as_role('mary', q{SELECT defer.enqueue('mary.nop', delay => '80 years')});
append_to_file($node->data_dir . '/await.sql', "SELECT defer.await($awaited);\n");
my $nwaiting = q{(SELECT count(*) FROM pg_stat_activity WHERE usename = 'mary' AND query LIKE '%await%' AND wait_event_type = 'Extension')};
my $waiters = IPC::Run::start([ 'pgbench', '--host' => $node->host, '--port' => $node->port, '--username' => 'mary', '--no-vacuum',
		'--client' => 70, '--transactions' => 1, '--file' => $node->data_dir . '/await.sql', 'postgres' ],
	'>', \my $said, '2>&1');
until_ok($node, "SELECT $nwaiting >= 70", 'many sessions wait')
  or diag($said);
is(as_role('vera', q{
	SELECT defer.enqueue('vera.free') AS id \gset
	SELECT defer.await(:id) IS NULL}), 't', 'another session waits, too, and is woken');
as_role('mary', "SELECT defer.cancel($awaited)");
until_ok($node, "SELECT $nwaiting = 0", 'all are woken');
$waiters->finish;

# A claim that waits for a lock holds up neither other databases nor other roles,
# and is seen
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_safe('BEGIN; LOCK TABLE defer.job_rollup_new');
as_role('mary', q{SELECT count(defer.enqueue('mary.nop', discard_after => '1 us')) FROM generate_series(1, 3);
	SELECT count(defer.enqueue('mary.nop')) FROM generate_series(1, 200)});
until_ok($node, q{SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 3567 AND classid = 'mary'::regrole::oid AND granted},
	'a claim that waits holds its lock');
vera_runs('a claim that waits');
my $all = as_role('vera', q{SELECT count(defer.enqueue('vera.free', priority => i)) FROM generate_series(1, 100) i}, 'other');
until_ok($node, q{SELECT bool_and(state = 'succeeded') FROM defer.jobs}, 'a claim that waits: all ready queues of another database', 'other');
$session->query_safe('ROLLBACK');
$session->quit;
settled($node, 'it goes on');

# Numbers are not used up by what fails
my $numbers = q{SELECT last_value FROM defer.queue_id_seq};
my $before = $node->safe_psql('postgres', $numbers);
as_role('mary', q{DO $$
	BEGIN
		FOR i IN 1 .. 50 LOOP
			BEGIN
				PERFORM defer.create_queue('mary1');
			EXCEPTION WHEN duplicate_object THEN NULL;
			END;
		END LOOP;
	END $$});
is($node->safe_psql('postgres', $numbers), $before, 'queues that exist use up no number');
$node->safe_psql('postgres', q{SELECT setval('defer.queue_id_seq', 1073741822), setval('defer.function_id_seq', 1073741822)});
as_role('mary', q{
	SELECT defer.create_queue('last', concurrency => 1), defer.create_queue('one_more', concurrency => 1);
	SELECT defer.enqueue('mary.nop', queue => 'last'), defer.enqueue('mary.nop', queue => 'one_more')});
as_role('vera', q{
	CREATE FUNCTION vera.last() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION vera.one_more() RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.configure('vera.last', concurrency => 1), defer.configure('vera.one_more', concurrency => 1);
	SELECT defer.enqueue('vera.last'), defer.enqueue('vera.one_more')});
settled($node, 'numbers of 30 bits: jobs under the last ones run, and under those that begin anew');
is($node->safe_psql('postgres', q{SELECT max(id) = 1073741823 AND count(*) = count(DISTINCT id) FROM defer.queue}), 't', 'the numbers of queues');
is($node->safe_psql('postgres', q{SELECT max(id) = 1073741823 AND count(*) = count(DISTINCT id) FROM defer.function}), 't', 'and those of functions');

# A table that was made, written to and rolled back, all in one transaction
$node->safe_psql('postgres', 'CREATE DATABASE twice');
$node->safe_psql('twice', q{
	CREATE FUNCTION nop() RETURNS void LANGUAGE sql AS 'SELECT';
	DO $$
	BEGIN
		BEGIN
			CREATE EXTENSION defer;
			PERFORM defer.enqueue('nop');
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
		CREATE EXTENSION defer;
		PERFORM defer.enqueue('nop');
	END $$});
settled($node, 'an extension made twice in one transaction: its jobs run', 'twice');
is($node->safe_psql('twice', 'SELECT count(*) FROM defer.jobs'), '1', 'there is one');
vera_runs('at the end');
$node->stop;
done_testing();
