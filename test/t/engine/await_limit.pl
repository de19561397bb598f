# A job that waits in defer.await() for one that needs its place is told so where that
# is plain, and defer.why() tells where it is not.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 6});

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	CREATE EXTENSION defer;
	CREATE TABLE wanted (waiter bigint, job bigint);
	CREATE FUNCTION child(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
	-- what to wait for comes from another transaction
	CREATE FUNCTION waits() RETURNS jsonb LANGUAGE plpgsql AS $$
	DECLARE
		id bigint;
	BEGIN
		LOOP
			SELECT w.job INTO id FROM wanted w WHERE w.waiter = defer.current_job();
			EXIT WHEN id IS NOT NULL;
			PERFORM pg_sleep(0.01);
		END LOOP;
		RETURN defer.await(id);
	END $$;
	SELECT defer.configure('waits', max_attempts => 1);
	SELECT defer.create_queue('one', concurrency => 1);
	SELECT defer.create_queue('tenants', group_concurrency => 1);
	SELECT defer.create_queue('two', concurrency => 2)});

# Have a job wait for another; returns the ids of both
sub wait_for
{
	my ($own, $other) = @_;
	my $waiter = sql("SELECT defer.enqueue('waits'$own)");
	my $job;

	until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $waiter", 'it runs');
	$job = sql("SELECT defer.enqueue($other)");
	sql("INSERT INTO wanted VALUES ($waiter, $job)");
	return ($waiter, $job);
}

sub refused
{
	my ($own, $other, $limit, $what) = @_;
	my ($waiter, $job) = wait_for($own, $other);

	until_ok($node, "SELECT state = 'failed' FROM defer.jobs WHERE id = $waiter", "$what: it fails");
	is(sql("SELECT message FROM defer.attempts WHERE job_id = $waiter"), "job $waiter cannot wait for job $job, which needs its place", "$what: why");
	is(sql("SELECT detail FROM defer.attempts WHERE job_id = $waiter"), "The limit of $limit is 1, and a job keeps its place while it waits.", "$what: which limit");
	until_ok($node, "SELECT state IN ('succeeded', 'failed') FROM defer.jobs WHERE id = $job", "$what: the other one has its place");
}

refused(", queue => 'one'", "'child', '[1]', queue => 'one'", 'queue "one"', 'a queue');
refused(", queue => 'tenants', group_key => 'acme'", "'child', '[1]', queue => 'tenants', group_key => 'acme'", 'group "acme" in queue "tenants"', 'a group of a queue');
sql(q{SELECT defer.configure('waits', concurrency => 1)});
my ($waiter, $job) = wait_for('', q{'child', '[2]'});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $waiter", 'a job of another function runs beside');
$waiter = sql(q{SELECT defer.enqueue('waits')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $waiter", 'it runs');
$job = sql(q{SELECT defer.enqueue('waits')});
sql("INSERT INTO wanted VALUES ($waiter, $job)");
until_ok($node, "SELECT state = 'failed' FROM defer.jobs WHERE id = $waiter", 'the limit of its function: it fails');
like(sql("SELECT detail FROM defer.attempts WHERE job_id = $waiter"), qr/^The limit of function public\.waits\(\) is 1/, 'the limit of its function');
sql("INSERT INTO wanted VALUES ($job, (SELECT defer.enqueue('child', '[3]')))");
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $job", 'then the other one runs');

# The group has a limit of its own
sql(q{SELECT defer.configure('waits', reset => true), defer.configure('waits', max_attempts => 1), defer.set_group('blue', queue => 'tenants', concurrency => 2)});
($waiter, $job) = wait_for(", queue => 'tenants', group_key => 'blue'", "'child', '[4]', queue => 'tenants', group_key => 'blue'");
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $waiter", 'a group with two places');

# Other groups, no group, a limit that was set afterwards
($waiter, $job) = wait_for(", queue => 'tenants', group_key => 'acme'", "'child', '[5]', queue => 'tenants', group_key => 'green'");
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $waiter", 'a job of another group');
($waiter, $job) = wait_for(", queue => 'tenants', group_key => 'acme'", "'child', '[5]', queue => 'tenants'");
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $waiter", 'a job of no group');
$waiter = sql(q{SELECT defer.enqueue('waits', queue => 'two')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $waiter", 'it runs');
sql(q{SELECT defer.create_queue('later')});
my $unlimited = sql(q{SELECT defer.enqueue('waits', queue => 'later')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $unlimited", 'one runs without a limit');
sql(q{SELECT defer.alter_queue('later', concurrency => 1)});
$job = sql(q{SELECT defer.enqueue('child', '[6]', queue => 'later')});
sql("INSERT INTO wanted VALUES ($unlimited, $job)");
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $unlimited", 'it holds no place under a limit that was set later');

# Two places, both of jobs that wait: not plain, as one may end; why tells
my $second = sql(q{SELECT defer.enqueue('waits', queue => 'two')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $second", 'two run');
$job = sql(q{SELECT defer.enqueue('child', '[7]', queue => 'two')});
sql("INSERT INTO wanted VALUES ($waiter, $job), ($second, $job)");
until_ok($node, "SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event IN ('DeferAwait', 'Extension') AND backend_type LIKE 'defer%' AND query LIKE '%waits%'", 'both wait');
is(sql("SELECT reason, detail FROM defer.why($job)"), "concurrency|2 of 2 jobs in queue \"two\" run: $waiter, $second; waiting for this job: $waiter, $second", 'defer.why');
is(sql("SELECT defer.cancel($second, true)"), 't', 'one is stopped');
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $waiter", 'so that the other goes on');
$node->stop;
done_testing();
