# Commands on more jobs than one transaction deals with: exactly once for each job
# through crashes, cancelled half-way, done with the caller's rights only, in a dump; one
# role's does not hold up another's.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DeferTest;

my $node = new_server('bulk', 'defer.max_objects_per_role = 3');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	CREATE EXTENSION defer;
	CREATE ROLE ann LOGIN; CREATE ROLE bea LOGIN;
	CREATE TABLE gate (open boolean);
	INSERT INTO gate VALUES (false);
	GRANT USAGE ON SCHEMA defer TO ann, bea;
	CREATE FUNCTION work(n integer) RETURNS void LANGUAGE sql AS '';
	SET ROLE ann;
	SELECT count(defer.enqueue('work', '[1]', delay => '1 day', metadata => '{"set": 1}')) FROM generate_series(1, 25000);
	SELECT count(defer.enqueue('work', '[2]', delay => '1 day', metadata => '{"set": 2}')) FROM generate_series(1, 12000);
	SET ROLE bea;
	SELECT count(defer.enqueue('work', '[3]', delay => '1 day', metadata => '{"set": 1}')) FROM generate_series(1, 10001);
});

# A crash in the midst: a lock on one job's row stops the command half-way
my $middle = sql(q{SELECT id FROM defer.job WHERE metadata @> '{"set": 1}' AND owner = 'ann'::regrole ORDER BY id OFFSET 12000 LIMIT 1});
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT FROM defer.job WHERE id = $middle FOR UPDATE");
my $job = sql(q{SET ROLE ann; SELECT job_id FROM defer.cancel_jobs(metadata => '{"set": 1}')});
ok($job > 0, 'a job deals with so many');
until_ok($node, q{SELECT done >= 10000 FROM defer.bulk_jobs}, 'it is under way');
is(sql(q{SELECT matched || ' ' || owner || ' ' || action FROM defer.bulk_jobs}), '25000 ann cancel', 'and shows how far');
until_ok($node, qq{SELECT progress > 0.3 FROM defer.jobs WHERE id = $job}, 'as its progress, too');

# meanwhile another role's is not held up
is(sql(q{SET ROLE bea; SELECT matched FROM defer.cancel_jobs(metadata => '{"set": 1}')}), '10001', 'another role has one');
until_ok($node, q{SELECT count(*) = 0 FROM defer.job WHERE owner = 'bea'::regrole}, 'which is done meanwhile');
is(sql(q{SELECT count(*) FROM defer.job_history WHERE owner = 'bea'::regrole AND state = 'c'}), '10001', 'with all of its jobs and no others');

$node->stop('immediate');
$session->quit;
$node->start;
until_ok($node, qq{SELECT state = 'succeeded' FROM defer.jobs WHERE id = $job}, 'it goes on after a crash');
is(sql("SELECT result->>'matched', result->>'done', result->>'left_alone' FROM defer.jobs WHERE id = $job"), '25000|25000|0', 'and counts each job once');
is(sql(q{SELECT count(*), count(DISTINCT id) FROM defer.job_history WHERE owner = 'ann'::regrole AND metadata @> '{"set": 1}' AND state = 'c'}), '25000|25000', 'as each has ended once');
is(sql(q{SELECT (SELECT count(*) FROM defer.bulk), (SELECT count(*) FROM defer.bulk_part)}), '0|0', 'nothing is left of it');

# Run again, through a crash: one copy of each.  A lock stops it at the fourth part.
sql(q{
	CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN OLD; END';
	CREATE TRIGGER gate BEFORE DELETE ON defer.bulk_part FOR EACH ROW WHEN (OLD.part = 4) EXECUTE FUNCTION wait_at_gate();
});
$session = $node->background_psql('postgres');
$session->query_safe('SELECT pg_advisory_lock(1)');
$job = sql(q{SET ROLE ann; SELECT job_id FROM defer.rerun_jobs(metadata => '{"set": 1}', states => '{cancelled}')});
until_ok($node, q{SELECT done = 1500 FROM defer.bulk_jobs}, 'another is under way');
$node->stop('immediate');
$session->quit;
$node->start;
until_ok($node, qq{SELECT state = 'succeeded' FROM defer.jobs WHERE id = $job}, 'and goes on after a crash');
is(sql(qq{SELECT count(*), count(DISTINCT rerun_of) FROM defer.jobs WHERE parent_id = $job}), '25000|25000', 'each job has run again once');
sql('DROP TRIGGER gate ON defer.bulk_part; DROP FUNCTION wait_at_gate()');

# Left alone: what has changed its state in between
$session = $node->background_psql('postgres');
my $first = sql(q{SELECT max(id) FROM defer.job WHERE metadata @> '{"set": 2}'});
$session->query_safe("BEGIN; SELECT FROM defer.job WHERE id = $first FOR UPDATE");
$job = sql(q{SET ROLE ann; SELECT job_id FROM defer.reschedule_jobs(metadata => '{"set": 2}', run_at => now() + interval '2 days')});
until_ok($node, qq{SELECT pg_blocking_pids(pid) <> '{}' FROM defer.workers WHERE job_id = $job}, 'one waits');
is(sql(q{SET ROLE ann; SELECT matched, done FROM defer.cancel_jobs(metadata => '{"set": 2}', before => (SELECT min(id) + 7 FROM defer.jobs WHERE metadata @> '{"set": 2}'))}), '7|7', 'some jobs end meanwhile');
$session->query_safe('COMMIT');
$session->quit;
until_ok($node, qq{SELECT state = 'succeeded' FROM defer.jobs WHERE id = $job}, 'it is done');
is(sql("SELECT result->>'done', result->>'left_alone' FROM defer.jobs WHERE id = $job"), '11993|7', 'those are left alone, and counted');

# Cancelled half-way: parts that are done stay done
$session = $node->background_psql('postgres');
$middle = sql(q{SELECT id FROM defer.job WHERE metadata @> '{"set": 2}' ORDER BY id OFFSET 6000 LIMIT 1});
$session->query_safe("BEGIN; SELECT FROM defer.job WHERE id = $middle FOR UPDATE");
$job = sql(q{SET ROLE ann; SELECT job_id FROM defer.cancel_jobs(metadata => '{"set": 2}')});
until_ok($node, q{SELECT done > 5000 FROM defer.bulk_jobs}, 'a part of it is done');
until_ok($node, qq{SELECT pg_blocking_pids(pid) <> '{}' FROM defer.workers WHERE job_id = $job}, 'it waits for a row');
my $done = sql('SELECT done FROM defer.bulk_jobs');
sql("SET ROLE ann; SELECT defer.cancel($job, force => true)");
until_ok($node, qq{SELECT state = 'cancelled' FROM defer.jobs WHERE id = $job}, 'it is cancelled');
is(sql(q{SELECT count(*) FROM defer.job WHERE metadata @> '{"set": 2}'}), 11993 - $done, 'the rest is as it was');
$session->query_safe('COMMIT');
$session->quit;

# A dump has what is left, and the restored job goes on
sql(q{ALTER SYSTEM SET defer.enabled = off; SELECT pg_reload_conf()});
sql(q{SELECT count(defer.enqueue('work', '[4]', delay => '1 day', metadata => '{"set": 4}')) FROM generate_series(1, 11000)});
$job = sql(q{SELECT job_id FROM defer.cancel_jobs(metadata => '{"set": 4}')});
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'it is dumped');
sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'and restored');
$node->safe_psql('restored', 'SELECT defer.activate()');
sql(q{ALTER SYSTEM RESET defer.enabled; SELECT pg_reload_conf()});
for my $database ('postgres', 'restored')
{
	ok($node->poll_query_until($database, "SELECT state = 'succeeded' AND result->>'done' = '11000' FROM defer.jobs WHERE id = $job"), "done in $database");
}

# So many at once for each role
$node->stop('immediate');
$node->append_conf('postgresql.conf', 'defer.enabled = off');
$node->start;
sql(q{SET ROLE bea; SELECT count(defer.enqueue('work', '[3]', delay => '1 day', metadata => '{"set": 3}')) FROM generate_series(1, 10001)});
sql(q{SET ROLE bea; SELECT defer.cancel_jobs(metadata => '{"set": 3}')}) for 1 .. 3;
my ($ret, $out, $err) = $node->psql('postgres', q{SET ROLE bea; SELECT defer.cancel_jobs(metadata => '{"set": 3}')});
like($err, qr/role "bea" has too many bulk commands in progress/, 'a role has only so many in progress');
sql(q{SET ROLE ann; SELECT defer.cancel_jobs(metadata => '{"set": 2}')});
pass('others are not concerned');

done_testing();
