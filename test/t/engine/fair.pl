# Fair share of workers between groups: counted by the order in which jobs begin, never by time.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 2
defer.shared_slots = 256});
$node->safe_psql('postgres', q{
	CREATE ROLE one LOGIN;
	CREATE ROLE two LOGIN;
	CREATE EXTENSION defer;
	GRANT USAGE ON SCHEMA defer TO one, two;
	CREATE FUNCTION nap(ms float8 DEFAULT 4) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(ms / 1000)';
	CREATE FUNCTION nap1() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.004)';
	CREATE FUNCTION nap2() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.004)';
	CREATE FUNCTION nap3() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.004)';
	CREATE FUNCTION nap4() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.004)';
	SELECT defer.create_queue('gate');
	SELECT defer.grant_queue('gate', 'public');
	-- how many jobs of a group had begun when the last one of others did
	CREATE FUNCTION begun_before(since bigint, monster text, others text) RETURNS bigint LANGUAGE sql AS $$
		SELECT count(*) FROM defer.jobs WHERE id > since AND COALESCE(group_key, 'none') = monster AND started_at <
			(SELECT max(started_at) FROM defer.jobs WHERE id > since AND COALESCE(group_key, 'none') LIKE others) $$;
});

# The last id that was given out
sub last_id { return $node->safe_psql('postgres', q{SELECT nextval('defer.job_id_seq')}); }

# Jobs are enqueued while the queue "gate" is paused, and begin together; those of the groups
# named end, the others are cancelled
sub run_until
{
	my ($jobs, $others, $what) = @_;
	my $since = last_id();

	$node->safe_psql('postgres', "SELECT defer.pause_queue('gate')");
	$node->safe_psql('postgres', $jobs);
	$node->safe_psql('postgres', "SELECT defer.resume_queue('gate')");
	until_ok($node, "SELECT bool_and(finished_at IS NOT NULL) FROM defer.jobs WHERE id > $since AND group_key LIKE '$others'", $what);
	$node->safe_psql('postgres', "SELECT defer.cancel_jobs(queue => 'gate')");
	settled($node, "$what: the rest is cancelled");
	return $since;
}

# One tenant has very many jobs, nine others some: those get their share
my $since = run_until(q{
	SELECT count(defer.enqueue('nap', queue => 'gate', group_key => 'monster')) FROM generate_series(1, 4000);
	SELECT count(defer.enqueue('nap', queue => 'gate', group_key => 'small' || i % 9)) FROM generate_series(1, 180) i},
	'small%', 'jobs of nine tenants end beside 4000 of one');
my $begun = $node->safe_psql('postgres', "SELECT begun_before($since, 'monster', 'small%')");
cmp_ok($begun, '<', 200, "$begun of the large one begin before the last of the others, who have 20 each");
cmp_ok($begun, '>', 2, 'it gets its share, too');

# Jobs without a group are one of them; in a queue without limits, too
$since = last_id();
$node->safe_psql('postgres', q{
	SELECT defer.create_queue('plain');
	BEGIN;
	SELECT count(defer.enqueue('nap', queue => 'plain')) FROM generate_series(1, 3000);
	SELECT count(defer.enqueue('nap', queue => 'plain', group_key => 'small' || i % 9)) FROM generate_series(1, 180) i;
	COMMIT});
until_ok($node, "SELECT bool_and(finished_at IS NOT NULL) FROM defer.jobs WHERE id > $since AND group_key LIKE 'small%'",
	'jobs of nine tenants end beside 3000 without a group');
$begun = $node->safe_psql('postgres', "SELECT begun_before($since, 'none', 'small%')");
cmp_ok($begun, '<', 200, "$begun without a group begin before the last of the others");

# One that comes late: neither has it to wait for the old jobs, nor do they wait for it
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('nap', queue => 'plain', group_key => 'late')) FROM generate_series(1, 40)});
my $late = last_id() - 41;
until_ok($node, "SELECT count(*) = 40 FROM defer.jobs WHERE id > $late AND group_key = 'late' AND finished_at IS NOT NULL", 'the late one is served');
my $first = $node->safe_psql('postgres', "SELECT min(started_at) FROM defer.jobs WHERE id > $late AND group_key = 'late'");
$begun = $node->safe_psql('postgres', qq{
	SELECT count(*) FROM defer.jobs WHERE id > $since AND group_key IS NULL AND started_at BETWEEN '$first' AND
		(SELECT max(started_at) FROM defer.jobs WHERE id > $late AND group_key = 'late')});
cmp_ok($begun, '<', 200, "$begun others begin meanwhile");
cmp_ok($begun, '>', 4, 'they go on');
$node->safe_psql('postgres', "SELECT defer.cancel_jobs(queue => 'plain')");
settled($node, 'the rest is cancelled');

# Weights
$node->safe_psql('postgres', q{SELECT defer.set_group('heavy', queue => 'gate', weight => 5)});
$since = run_until(q{
	SELECT count(defer.enqueue('nap', queue => 'gate', group_key => g)) FROM generate_series(1, 300), unnest('{heavy,light}'::text[]) g},
	'heavy', 'a group of weight 5 beside one of weight 1');
$begun = $node->safe_psql('postgres', "SELECT begun_before($since, 'light', 'heavy')");
cmp_ok($begun, '<', 180, "$begun of the light one begin beside 300 of the heavy one");
cmp_ok($begun, '>', 6, 'not fewer than its share');
is($node->safe_psql('postgres', q{SELECT defer.reset_group('heavy', queue => 'gate')}), 't', 'the weight is taken back');

# Functions with limits of their own have bundles of their own: the account is one
$node->safe_psql('postgres', q{SELECT defer.configure('nap' || i, concurrency => 100) FROM generate_series(1, 4) i});
$since = run_until(q{
	SELECT count(defer.enqueue(f, queue => 'gate', group_key => 'spread'))
	  FROM generate_series(1, 250), unnest('{nap,nap1,nap2,nap3,nap4}'::text[]) f;
	SELECT count(defer.enqueue('nap', queue => 'gate', group_key => 'single')) FROM generate_series(1, 100)},
	'single', 'a group with jobs of one function beside one with jobs of five');
$begun = $node->safe_psql('postgres', "SELECT begun_before($since, 'spread', 'single')");
cmp_ok($begun, '<', 250, "$begun of five functions begin beside 100 of one");

# Work-conserving: where only one has jobs it has all workers
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('nap', '[100]', queue => 'gate', group_key => 'alone')) FROM generate_series(1, 20)});
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE state = 'running' AND group_key = 'alone'}, 'one group alone has all workers');
settled($node, 'they end');

# A long job is charged while it runs: the other worker serves the others
$since = last_id();
$node->safe_psql('postgres', q{
	SELECT defer.pause_queue('gate');
	SELECT count(defer.enqueue('nap', '[100]', queue => 'gate', group_key => 'long')) FROM generate_series(1, 40);
	SELECT count(defer.enqueue('nap', queue => 'gate', group_key => 'short')) FROM generate_series(1, 100);
	SELECT defer.resume_queue('gate')});
until_ok($node, "SELECT count(*) = 100 FROM defer.jobs WHERE id > $since AND group_key = 'short' AND finished_at IS NOT NULL", 'short jobs beside long ones');
$begun = $node->safe_psql('postgres', "SELECT begun_before($since, 'long', 'short')");
cmp_ok($begun, '<', 20, "$begun of 40 long ones begin before the last of 100 short ones");
until_ok($node, q{SELECT share > 0.5 FROM defer.groups WHERE kind = 'queue' AND name = 'gate' AND group_key = 'long'}, 'the share of the last minute is shown');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.groups WHERE kind = 'function' AND share IS NOT NULL}), '0', 'of queues only');
settled($node, 'all end');

# Two roles: accounts of one are nothing to the other, and it does not see them
my %jobs = (one => 200, two => 30);
for my $role (sort keys %jobs)
{
	$node->safe_psql('postgres', qq{
		SET ROLE $role;
		SELECT count(defer.command('SELECT pg_sleep(0.02)', queue => 'gate', group_key => 'same')) FROM generate_series(1, $jobs{$role})});
}
until_ok($node, q{SELECT count(*) = 30 FROM defer.jobs WHERE owner = 'two' AND finished_at IS NOT NULL}, 'a role with a few jobs of a group of the same name');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM defer.jobs WHERE owner = 'one' AND finished_at IS NULL}), 't', 'does not wait for the other one');
is($node->safe_psql('postgres', q{SET ROLE two; SELECT COALESCE(defer.group_share('gate', 'same'), 1)}), '1', 'its share is of its own time');
settled($node, 'jobs of both end');

# More groups than there are slots, with and without limits; workers that are killed meanwhile
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('nap', '[1]', queue => 'plain', group_key => 'many' || i % 500, max_attempts => 100, initial_interval => '1 ms'))
	  FROM generate_series(1, 1500) i});
for (1 .. 5)
{
	# on a busy machine they may be through with all by now
	until_ok($node, q{SELECT EXISTS (SELECT FROM defer.workers WHERE job_id IS NOT NULL)
		OR NOT EXISTS (SELECT FROM defer.jobs WHERE group_key LIKE 'many%' AND finished_at IS NULL)}, 'workers are busy');
	$node->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid)) FROM defer.workers WHERE job_id IS NOT NULL});
}
settled($node, 'jobs of 500 groups, with room for 128, end');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE group_key LIKE 'many%' AND state = 'succeeded'}), '1500', 'all of them');

# The server crashes: accounts begin anew
$since = run_until(q{
	SELECT count(defer.enqueue('nap', queue => 'gate', group_key => 'monster')) FROM generate_series(1, 1000);
	SELECT count(defer.enqueue('nap', queue => 'gate', group_key => 'small' || i % 3)) FROM generate_series(1, 30) i},
	'small%', 'once more');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('nap', queue => 'gate', group_key => 'again' || i % 3)) FROM generate_series(1, 300) i});
$node->stop('immediate');
$node->start;
settled($node, 'jobs of groups after a crash');
$node->stop;
done_testing();
