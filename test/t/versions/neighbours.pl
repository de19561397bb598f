# Beside another library (test/modules/neighbour.c) that takes most of what libraries
# share and has the same hooks, loaded before defer and behind it: all hooks are called,
# and ours do what they do alone.  And the symbols that our libraries show to others.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib $FindBin::RealBin;
use DeferTest;

my $library = test_library('neighbour');

my ($pkglibdir) = run_command([ 'pg_config', '--pkglibdir' ]);
my @libraries = glob "$pkglibdir/defer*.so";
ok(@libraries > 0, 'the library is installed');
for my $file (@libraries)
{
	my ($symbols) = run_command([ 'nm', '-D', '--defined-only', $file ]);
	my @shown = grep { !/^(_PG_init|Pg_magic_func|(pg_finfo_)?defer_\w+)$/ }
		map { (split ' ')[-1] } split /\n/, $symbols;

	is("@shown", '', 'no symbol is shown but our entry points: ' . (split m{/}, $file)[-1]);
}

for my $order ([ 'before', "$library,defer" ], [ 'behind', "defer,$library" ])
{
	my ($where, $preload) = @$order;
	my $node = new_server("neighbour_$where", "shared_preload_libraries = '$preload'");
	my ($out, $err);

	$node->safe_psql('postgres', qq{
		CREATE EXTENSION defer;
		CREATE FUNCTION hook_calls() RETURNS text LANGUAGE c AS '$library';
		CREATE FUNCTION at_commit(text) RETURNS void LANGUAGE c AS '$library';
		CREATE TABLE effect (job bigint);
		CREATE FUNCTION work() RETURNS void LANGUAGE plpgsql AS \$\$
		BEGIN
			INSERT INTO effect VALUES (defer.current_job());
			RAISE WARNING 'so it is %', hook_calls();
		END \$\$;
		CREATE FUNCTION nightly() RETURNS void LANGUAGE sql AS 'SELECT';
		SELECT defer.enqueue('work') FROM generate_series(1, 20);
		SELECT defer.cron('nightly', '0 3 * * *')});
	settled($node, "$where: jobs run");
	check_history($node, $where);
	like($node->safe_psql('postgres', 'SELECT message FROM defer.logs LIMIT 1'),
		qr/^so it is .*startup 1/, "$where: a job's log");
	until_ok($node, q{SELECT EXISTS (SELECT FROM defer.workers WHERE kind = 'scheduler')},
		"$where: the scheduler runs");

	my $named = $node->safe_psql('postgres', 'SHOW server_version_num') >= 170000;

	until_ok($node, q{SELECT array_agg(DISTINCT wait_event) @> '} .
		($named ? '{DeferLauncherMain,DeferSchedulerMain}' : '{Extension}') .
		q{' FROM pg_stat_activity WHERE backend_type LIKE 'defer %' AND wait_event_type = 'Extension'},
		"$where: our processes name what they wait for");

	like($node->safe_psql('postgres', 'CREATE TABLE t (); DROP TABLE t; SELECT hook_calls()'),
		qr/utility [1-9]\d*, access [1-9]\d*, needs_fmgr [1-9]\d*, fmgr [1-9]\d*, request 1, startup 1/,
		"$where: each hook of the other library is called");
	($out, $err) = (undef, undef);
	$node->psql('postgres', 'SELECT nightly()', stderr => \$err);
	like($err, qr/is scheduled and cannot be called directly/, "$where: a direct call is refused");

	# A callback of the other library enqueues when ours have already been called
	is($node->safe_psql('postgres', q{
		BEGIN;
		SELECT at_commit('SELECT defer.enqueue(''work'')');
		SELECT defer.enqueue('work') > 0;
		COMMIT;
		SELECT defer.enqueue('work') > 0;
		BEGIN;
		SELECT at_commit('SELECT defer.enqueue(''work'')');
		COMMIT;
		SELECT count(defer.enqueue('work')) FROM generate_series(1, 3)}), "\nt\nt\n\n3", "$where: jobs enqueued within the commit");
	settled($node, "$where: they run");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM effect'), '27', "$where: each of them");
	$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE postgres');
	$node->safe_psql('postgres', 'DROP DATABASE copied');
	pass("$where: our processes leave a database that is copied");
	unlike(slurp_file($node->logfile), qr/callback_list slots|PANIC|terminated by signal|reference leak/,
		"$where: all find their place");
	$node->stop;
}

done_testing();
