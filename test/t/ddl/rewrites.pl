# Somebody rewrites our tables, or deletes rows in them by hand, while a worker is in
# the middle of a batch: where it left its rows there are others now, or there is
# nothing.  No other job goes, and none is stuck.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# one worker, so that what waits in its batch is not taken over
my $node = new_server('main', q{defer.max_workers = 1
defer.retention = 0
autovacuum = off});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE TABLE waits (job bigint);
	CREATE TABLE gate (open boolean);
	CREATE FUNCTION later() RETURNS void LANGUAGE sql AS 'INSERT INTO effect VALUES (defer.current_job())';
	-- the first that is at least the third of its batch waits, without a snapshot for long
	CREATE PROCEDURE work() LANGUAGE plpgsql AS $$
	DECLARE
		job bigint := defer.current_job();
	BEGIN
		INSERT INTO effect VALUES (job);
		IF NOT EXISTS (SELECT FROM gate) AND (SELECT max(array_position(jobs, job)) >= 3 FROM defer.claim) THEN
			INSERT INTO waits VALUES (job);
			LOOP
				COMMIT;
				EXIT WHEN EXISTS (SELECT FROM gate);
				PERFORM pg_sleep(0.01);
			END LOOP;
		END IF;
	END $$});

# Jobs that run among others that are due later, behind rows that are gone; and wait
# until a batch is half done
sub half_done
{
	my ($what, $n) = @_;

	$node->safe_psql('postgres', q{
		TRUNCATE gate, waits;
		CREATE TEMPORARY TABLE filler AS SELECT defer.enqueue('later', delay => '1 hour') AS id FROM generate_series(1, 300);
		SELECT count(defer.enqueue('work')), count(defer.enqueue('later', delay => '1 hour')) FROM generate_series(1, } . $n . q{);
		SELECT count(*) FROM filler WHERE defer.cancel(id)});
	until_ok($node, 'SELECT EXISTS (SELECT FROM waits)', "$what: a batch is half done");
	return;
}

# All others are still there, and what ran has ended once
sub all_there
{
	my ($what, $n) = @_;

	$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
	until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE function LIKE '%.work()' AND finished_at IS NULL)}, "$what: all jobs end");
	until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.claim)}, "$what: no claim is left");
	is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT id) FROM defer.job_history WHERE function LIKE '%.work()'}),
		"$n|$n", "$what: each once");
	is($node->safe_psql('postgres', q{SELECT function, count(*) FROM defer.job GROUP BY 1}), "public.later()|$n", "$what: those that wait are all there");
	$node->safe_psql('postgres', 'SELECT count(defer.reschedule(id)) FROM defer.jobs WHERE finished_at IS NULL');
	settled($node, "$what: and run when they are due");
	history_ok($node, [], what => $what);
	$node->safe_psql('postgres', 'TRUNCATE defer.job_history, defer.job_rollup, defer.job_rollup_new, effect');
	return;
}

for my $rewrite ('VACUUM FULL defer.job', 'CLUSTER defer.job USING job_pkey', 'VACUUM FULL defer.claim')
{
	half_done($rewrite, 200);
	$node->safe_psql('postgres', $rewrite);
	all_there($rewrite, 200);
}

# By a job whose row goes as it ends, as it has a key
half_done('by a job', 50);
my $job = $node->safe_psql('postgres', q{SELECT defer.command('VACUUM FULL defer.job', key => 'full', priority => -1, max_attempts => 1)});
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $job", 'by a job: it succeeds');
isnt($node->safe_psql('postgres', q{SELECT defer.command('VACUUM FULL defer.job', key => 'full', max_attempts => 1)}), $job, 'by a job: its key is free');
until_ok($node, q{SELECT count(*) = 2 FROM defer.job_history WHERE key = 'full'}, 'by a job: and once more');
$node->safe_psql('postgres', q{INSERT INTO effect SELECT id FROM defer.job_history WHERE key = 'full' AND state = 's'});
all_there('by a job', 50);

# A row that was deleted by hand, and another job has its place
$node->safe_psql('postgres', 'TRUNCATE defer.job; ALTER TABLE defer.job SET (fillfactor = 100)');
half_done('deleted by hand', 20);
my $tid = $node->safe_psql('postgres', q{
	WITH gone AS (SELECT min(j.id) AS id FROM defer.job j WHERE EXISTS (SELECT FROM defer.job_history h WHERE h.id = j.id))
	DELETE FROM defer.job j USING gone g WHERE j.id = g.id RETURNING j.ctid});
like($tid, qr/^\(\d+,\d+\)$/, 'deleted by hand: a job that has succeeded');
my $others = 20;

for (1 .. $PostgreSQL::Test::Utils::timeout_default)
{
	$node->safe_psql('postgres', 'VACUUM defer.job');
	$node->safe_psql('postgres', q{SELECT count(defer.enqueue('later', delay => '1 hour')) FROM generate_series(1, 50)});
	$others += 50;
	last if $node->safe_psql('postgres', "SELECT EXISTS (SELECT FROM defer.job WHERE ctid = '$tid')") eq 't';
}
my $other = $node->safe_psql('postgres', "SELECT id FROM defer.job WHERE ctid = '$tid'");

like($other, qr/^\d+$/, 'deleted by hand: another job has its place');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.claim)}, 'deleted by hand: all jobs end');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $other"), 'scheduled', 'deleted by hand: the other job is there');
is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.job'), $others, 'deleted by hand: and so are all');

# All rows, and the file is cut off
half_done('all deleted', 20);
$node->safe_psql('postgres', 'DELETE FROM defer.job');
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	$node->safe_psql('postgres', 'VACUUM defer.job');
	last if $node->safe_psql('postgres', q{SELECT pg_relation_size('defer.job')}) eq '0';
	select(undef, undef, undef, 0.1);
}
is($node->safe_psql('postgres', q{SELECT pg_relation_size('defer.job')}), '0', 'all deleted: the file is empty');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.claim)}, 'all deleted: no claim is left');
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('later')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $job", 'all deleted: new ones run');
unlike(slurp_file($node->logfile), qr/could not (?:read|open)|ERROR:  .*invalid page/, 'and nothing was looked for where there is nothing');
is(join("\n", HistoryChecker::crashes_of_ours(slurp_file($node->logfile))), '', 'no crash of ours');
$node->stop;
done_testing();
