# Three databases with the extension, two roles each, all served by one server.
# Every job runs where and as whom it was enqueued, and each role sees only its own.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $jobs = 40;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'defer'
max_worker_processes = 24
defer.max_workers = 12
fsync = off
});
$node->start;

# Run SQL as a role that logs in itself
sub as_role
{
	my ($role, $database, $sql) = @_;
	my ($out, $err);
	my $status = $node->psql($database, $sql,
		extra_params => [ '-U', $role ], stdout => \$out, stderr => \$err,
		on_error_stop => 1);
	is($status, 0, "$role in $database: no error") or diag($err);
	return $out;
}

my @databases = ('one', 'two', 'three');
for my $database (@databases)
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, q{
		CREATE EXTENSION defer;
		CREATE TABLE ran (arg int, who name, login name, place name);
		GRANT INSERT ON ran TO PUBLIC;
		CREATE FUNCTION work(arg int) RETURNS text LANGUAGE sql AS $$
			INSERT INTO public.ran VALUES (arg, current_user, session_user, current_database());
			SELECT current_user || ' in ' || current_database()
		$$});
	for my $who ('ann', 'ben')
	{
		$node->safe_psql($database, "CREATE ROLE ${database}_$who LOGIN;
			GRANT USAGE ON SCHEMA defer TO ${database}_$who");
	}
}

# All at the same time
for my $database (@databases)
{
	for my $who ('ann', 'ben')
	{
		my $role = "${database}_$who";
		is(as_role($role, $database, qq{
			SELECT count(defer.enqueue('work', jsonb_build_array(i)))
			  FROM generate_series(1, $jobs) i}), $jobs, "$role enqueues");
	}
}
for my $database (@databases)
{
	ok($node->poll_query_until($database, qq{
		SELECT count(*) = 2 * $jobs FROM defer.jobs WHERE state = 'succeeded'}),
		"all jobs of $database are done");
	is($node->safe_psql($database, q{
		SELECT who, count(*), count(DISTINCT arg), min(arg), max(arg), bool_and(login = who AND place = current_database())
		  FROM ran GROUP BY who ORDER BY who}),
		join("\n", map { "${database}_$_|$jobs|$jobs|1|$jobs|t" } 'ann', 'ben'),
		"each job of $database ran once, as its owner, in its database");
	for my $who ('ann', 'ben')
	{
		my $role = "${database}_$who";
		is(as_role($role, $database, q{
			SELECT count(*), count(DISTINCT id), min(owner::text), max(owner::text), min(result #>> '{}'), max(result #>> '{}')
			  FROM defer.jobs}),
			"$jobs|$jobs|$role|$role|$role in $database|$role in $database",
			"$role sees its own jobs in $database and no others");
		is(as_role($role, $database, q{SELECT count(*) FROM defer.workers WHERE role <> current_user}),
			'0', "$role sees no worker of others");
		is(as_role($role, $database, q{SELECT succeeded FROM defer.functions WHERE function LIKE '%work(integer)'}),
			$jobs, "$role counts its own jobs");
	}
}

# The superuser sees a scheduler for each, one launcher, and workers in them
is($node->safe_psql('one', q{
	SELECT kind, database, count(*) FROM defer.workers WHERE kind <> 'worker' GROUP BY 1, 2 ORDER BY 1, 2}),
	"launcher||1\nscheduler|one|1\nscheduler|three|1\nscheduler|two|1",
	'one launcher, a scheduler in each database');

# A database that gets the extension later, and one that loses it
$node->safe_psql('postgres', 'CREATE EXTENSION defer');
ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 1 FROM defer.workers WHERE kind = 'scheduler' AND database = 'postgres'}),
	'CREATE EXTENSION starts a scheduler without a restart');
$node->safe_psql('two', 'DROP EXTENSION defer CASCADE');
ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 0 FROM defer.workers WHERE database = 'two'}),
	'DROP EXTENSION ends it');
$node->safe_psql('postgres', 'DROP DATABASE two');
pass('the database can be dropped');
is($node->safe_psql('one', q{SELECT count(*) FROM defer.health WHERE severity = 'error'}),
	'0', 'nothing is wrong');

$node->stop('fast');
done_testing();
