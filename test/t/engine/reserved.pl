# Reserved workers: an urgent job begins though long ones keep all other workers busy, and
# they take no more than is left.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
defer.worker_idle_timeout = '1h'});
$node->safe_psql('postgres', q{
	CREATE ROLE one LOGIN;
	CREATE ROLE two LOGIN;
	CREATE EXTENSION defer;
	GRANT USAGE ON SCHEMA defer TO one, two;
	CREATE TABLE gate (open boolean);
	GRANT SELECT ON gate TO public;
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS 'SELECT';
	-- the child has to be committed to be awaited
	CREATE PROCEDURE parent() LANGUAGE plpgsql AS $$
	DECLARE
		child bigint = defer.enqueue('quick');
	BEGIN
		COMMIT;
		PERFORM defer.await(child);
	END $$;
	SELECT defer.create_queue('urgent', reserved => 2);
	SELECT defer.grant_queue('urgent', 'public');
});

sub running
{
	my ($where) = @_;

	return $node->safe_psql('postgres', "SELECT count(*) FROM defer.jobs WHERE state = 'running' AND $where");
}

# Let the gate open, and close it when all is done
sub finish
{
	my ($what) = @_;

	$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
	settled($node, $what);
	$node->safe_psql('postgres', 'DELETE FROM gate');
	return;
}

# Only for superusers: workers are those of all databases
for my $call ("defer.create_queue('mine', reserved => 1)", "defer.alter_queue('own', reserved => 1)")
{
	my ($ret, $out, $err) = $node->psql('postgres', "SET ROLE one; SELECT defer.create_queue('own'); SELECT $call");
	like($err, qr/permission denied to reserve workers/, "refused: $call");
	$node->psql('postgres', q{SELECT defer.drop_queue('own')});
}
my ($ret, $out, $err) = $node->psql('postgres', q{SELECT defer.alter_queue('urgent', reserved => -1)});
like($err, qr/"reserved" must not be negative/, 'a negative number is refused');
is($node->safe_psql('postgres', q{SELECT reserved FROM defer.queues WHERE queue = 'urgent'}), '2', 'defer.queues shows it');

# Long jobs of one role: two of four workers, however many wait
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('gated')) FROM generate_series(1, 20)});
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE state = 'running'}, 'long jobs begin');
my $urgent = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick', queue => 'urgent')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $urgent", 'an urgent job of the same role runs');
is(running('true'), '2', 'the long ones have left two workers');
is($node->safe_psql('postgres', q{SELECT DISTINCT reason || ': ' || detail FROM defer.jobs j, defer.why(j.id) WHERE j.state = 'queued'}),
	'worker: all workers are busy that are not reserved for others', 'defer.why says so');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('gated', queue => 'urgent')) FROM generate_series(1, 3)});
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE state = 'running' AND queue = 'urgent'}, 'two urgent ones at a time');
$node->safe_psql('postgres', q{SELECT defer.enqueue('quick', queue => 'urgent') FROM generate_series(1, 3)});
is(running(q{queue = 'urgent'}), '2', 'no more when all workers are busy');
is(running(q{queue <> 'urgent'}), '2', 'beside the long ones');

# Other roles: one that has no worker at a job is not held up, neither with urgent jobs nor others
$node->safe_psql('postgres', q{SET ROLE one; SELECT defer.command('SELECT 1')});
until_ok($node, q{SELECT bool_and(state = 'succeeded') FROM defer.jobs WHERE owner = 'one'}, 'a job of another role runs');
finish('the gate opens');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('gated')) FROM generate_series(1, 20)});
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE state = 'running'}, 'long jobs again');
$node->safe_psql('postgres', q{SET ROLE two; SELECT defer.command('SELECT 2', queue => 'urgent') FROM generate_series(1, 3)});
until_ok($node, q{SELECT bool_and(state = 'succeeded') FROM defer.jobs WHERE owner = 'two'}, 'urgent jobs of a third role run');
finish('all end');

# Jobs that await others, and those, go on
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('parent')) FROM generate_series(1, 10);
	SELECT count(defer.enqueue('quick', group_key => 'g' || i % 3)) FROM generate_series(1, 300) i});
settled($node, 'jobs that await jobs end');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE function LIKE '%parent()' AND state = 'succeeded'}), '10', 'all of them');

# Batches behind a long job are taken over only by a worker that may
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT count(defer.enqueue(f)) FROM generate_series(1, 3), unnest('{gated,quick,quick,quick}'::text[]) f;
	COMMIT});
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE state = 'running'}, 'two long ones of a batch');
$urgent = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick', queue => 'urgent')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $urgent", 'an urgent one beside them');
is(running('true'), '2', 'the others wait');
finish('the gate opens for the batch');

# Changed, taken back; workers that are killed; a restart
$node->safe_psql('postgres', q{
	SELECT defer.alter_queue('urgent', reserved => 1);
	SELECT count(defer.enqueue('gated', max_attempts => 100, initial_interval => '1 ms')) FROM generate_series(1, 20)});
until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE state = 'running'}, 'one is reserved: three are left');
for (1 .. 3)
{
	$node->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid)) FROM defer.workers WHERE job_id IS NOT NULL});
	until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE state = 'running'}, 'three after they were killed');
}
$node->stop('immediate');
$node->start;
until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE state = 'running'}, 'three after a crash of the server');
$node->safe_psql('postgres', q{SELECT defer.alter_queue('urgent', reserved => 0)});
until_ok($node, q{SELECT count(*) = 4 FROM defer.jobs WHERE state = 'running'}, 'none is reserved: all four');
finish('they end');

# More than there are: the rest is ignored, and defer.health says so
$node->safe_psql('postgres', q{
	SELECT defer.alter_queue('urgent', reserved => 2);
	SELECT defer.create_queue('more', reserved => 5)});
until_ok($node, q{SELECT count(*) = 1 FROM defer.health WHERE finding = 'queue "more" has 1 of its 5 reserved workers'}, 'more are set than there are');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.health WHERE finding LIKE 'queue "urgent"%'}), '0', 'the first one has all');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('gated')) FROM generate_series(1, 5)});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE state = 'running'}, 'one is left for the others');
$node->safe_psql('postgres', q{SELECT defer.drop_queue('urgent'), defer.alter_queue('more', reset => true)});
until_ok($node, q{SELECT count(*) = 4 FROM defer.jobs WHERE state = 'running'}, 'a queue that is dropped, and one whose settings are taken back, leave theirs');
finish('all is done');

# Of another database
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', q{CREATE EXTENSION defer; SELECT defer.create_queue('urgent', reserved => 3)});
until_ok($node, q{SELECT defer.reserved_workers('urgent') = 3}, 'reserved in another database', 'other');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('gated')) FROM generate_series(1, 5)});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE state = 'running'}, 'one is left for this one');
$node->safe_psql('other', q{SELECT defer.command('SELECT 1', queue => 'urgent')});
until_ok($node, q{SELECT bool_and(state = 'succeeded') FROM defer.jobs}, 'and an urgent job there runs', 'other');
is(running('true'), '1', 'still one');
$node->safe_psql('other', q{DROP EXTENSION defer});
until_ok($node, q{SELECT count(*) = 4 FROM defer.jobs WHERE state = 'running'}, 'all when the extension is dropped there');
finish('the last end');
$node->stop;
done_testing();
