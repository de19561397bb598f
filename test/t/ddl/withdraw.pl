# DDL that wants us out: on databases, of the extension, of roles and functions.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', 'defer.max_workers = 4');
my $setup = q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION sleepy() RETURNS void LANGUAGE sql AS
		'SELECT pg_sleep(600); INSERT INTO effect VALUES (defer.current_job())';
};

sub busy_database
{
	my ($name) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, $setup);
	$node->safe_psql($name, q{SELECT defer.enqueue('sleepy'), defer.enqueue('work', run_at => '2100-01-01')});
	until_ok($node, q{SELECT EXISTS (SELECT FROM defer.jobs WHERE state = 'running')},
		"$name: a job runs", $name);
	return;
}

sub sql_ok
{
	my ($sql, $what) = @_;
	my ($out, $err);

	is($node->psql('postgres', $sql, stdout => \$out, stderr => \$err), 0, $what) or diag($err);
	return;
}

busy_database('moved');
sql_ok('ALTER DATABASE moved RENAME TO renamed', 'a database in use is renamed');
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.jobs WHERE state = 'running')},
	'and its job is run again', 'renamed');
is($node->safe_psql('renamed', q{SELECT outcome, attempt FROM defer.attempts}), 'interrupted|1',
	'the interruption is recorded');

sql_ok('CREATE DATABASE copied TEMPLATE renamed', 'a database in use is copied');
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.jobs WHERE state = 'running')},
	'the original goes on', 'renamed');
is($node->safe_psql('copied', q{SELECT count(*) FROM defer.jobs WHERE state = 'running'}), '0',
	'nothing runs in the copy');
is($node->safe_psql('copied', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%copied%'}), '1',
	'and defer.health says why');
sql_ok('DROP DATABASE renamed', 'a database in use is dropped');
sql_ok('DROP DATABASE copied', 'a copy is dropped');

# Somebody without the right to it disturbs nobody
busy_database('other');
$node->safe_psql('postgres', 'CREATE ROLE nobody_special LOGIN');
my ($out, $err);
isnt($node->psql('postgres', 'DROP DATABASE other', extra_params => [ '-U', 'nobody_special' ],
	stdout => \$out, stderr => \$err), 0, 'no right to drop');
is($node->safe_psql('other', q{SELECT count(*) FROM defer.attempts}), '0', 'and no job was disturbed');

# DROP EXTENSION under a running job
is($node->psql('other', 'DROP EXTENSION defer', stderr => \$err), 0, 'the extension is dropped')
	or diag($err);
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity
	WHERE datname = 'other' AND backend_type LIKE 'defer%')}, 'its processes are gone');
$node->safe_psql('other', 'CREATE EXTENSION defer');
$node->safe_psql('other', q{SELECT defer.enqueue('work')});
settled($node, 'created again it works', 'other');

# A function and a role that are gone: their jobs fail and say so
$node->safe_psql('other', q{
	CREATE ROLE gone LOGIN;
	GRANT USAGE ON SCHEMA defer TO gone;
	CREATE FUNCTION temporary() RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.enqueue('temporary', delay => '1 second', max_attempts => 1);
	SET ROLE gone;
	SELECT defer.command('SELECT 1', delay => '1 second');
	RESET ROLE;
	DROP FUNCTION temporary();
	REVOKE USAGE ON SCHEMA defer FROM gone;
	DROP ROLE gone});
settled($node, 'their jobs end', 'other');
like($node->safe_psql('other', q{SELECT error FROM defer.jobs WHERE function LIKE '%temporary%'}),
	qr/does not exist/, 'the job of a dropped function');
like($node->safe_psql('other', q{SELECT error FROM defer.jobs WHERE state = 'failed' AND function = 'defer.command'}),
	qr/role .* does not exist/, 'the job of a dropped role');
$node->safe_psql('other', q{SELECT defer.enqueue('work')});
settled($node, 'nobody else noticed', 'other');
check_history($node, 'at the end', 'other');

# Works is what says that processes of ours are there
sub works_ok
{
	my ($database, $what) = @_;

	$node->safe_psql($database, q{SELECT defer.enqueue('work')});
	settled($node, $what, $database);
	return;
}

# The session that wants us out is terminated while it waits
$node->safe_psql('postgres', 'CREATE DATABASE calm');
$node->safe_psql('calm', $setup);
works_ok('calm', 'a database with nothing to do');
my $reader = $node->background_psql('calm');
$reader->query_safe('BEGIN; SELECT count(*) FROM defer.job');
my $dropper = fork_client(sub { $node->psql('calm', 'DROP EXTENSION defer') });
my $waits = q{FROM pg_stat_activity WHERE query = 'DROP EXTENSION defer' AND wait_event_type = 'Lock'};
until_ok($node, "SELECT EXISTS (SELECT $waits)", 'DROP EXTENSION waits for a client');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid, 60000) $waits");
waitpid($dropper, 0);
$reader->quit;
works_ok('calm', 'it is terminated: we are back');

# A job wants us out of the database that it runs in
my $job = $node->safe_psql('calm', q{SELECT defer.command('CREATE DATABASE by_job TEMPLATE calm', max_attempts => 1)});
settled($node, 'a job that copies its database ends', 'calm');
is($node->safe_psql('calm', "SELECT state, attempt FROM defer.jobs WHERE id = $job"), 'succeeded|1', 'it has copied it');
is($node->safe_psql('by_job', 'SELECT count(*) FROM defer.installation'), '1', 'the copy is there');
$job = $node->safe_psql('calm', q{SELECT defer.command('ALTER DATABASE calm SET TABLESPACE pg_default', max_attempts => 1)});
settled($node, 'a job that cannot move its database ends', 'calm');
is($node->safe_psql('calm', "SELECT state, attempt FROM defer.jobs WHERE id = $job"), 'failed|1', 'it has failed');
works_ok('calm', 'and we are back');

# No connections for a while
$node->safe_psql('postgres', q{
	ALTER DATABASE calm ALLOW_CONNECTIONS false;
	SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = 'calm'});
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'calm')}, 'nobody is connected');
$node->restart;
$node->safe_psql('postgres', 'BEGIN; ALTER DATABASE calm ALLOW_CONNECTIONS true; COMMIT');
works_ok('calm', 'connections are allowed again: we are back');

# Templates are copied by roles that own nothing
$node->safe_psql('postgres', q{
	CREATE ROLE maker LOGIN CREATEDB;
	ALTER DATABASE calm IS_TEMPLATE true});
for my $copy ('made_one', 'made_two')
{
	is($node->psql('postgres', "CREATE DATABASE $copy TEMPLATE calm", extra_params => [ '-U', 'maker' ], stderr => \$err), 0,
		"a template in use is copied: $copy") or diag($err);
}
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'calm')}, 'we are not in a template any more');
$node->safe_psql('calm', q{SELECT defer.enqueue('work')});
$node->safe_psql('postgres', 'ALTER DATABASE calm IS_TEMPLATE false');
settled($node, 'no template any more: its job runs', 'calm');

# Two sessions want the database at the same time: the end of one command does not let us
# come back under the other, which waits for a lock here
{
	my $holder = $node->background_psql('postgres', on_error_stop => 1);

	$node->safe_psql('postgres', 'CREATE DATABASE beside');
	$holder->query_safe('BEGIN; LOCK TABLE pg_database IN SHARE MODE;');
	my $copy = $node->background_psql('postgres', on_error_stop => 0);

	$copy->query_until(qr/^begun$/m, "\\echo begun\nCREATE DATABASE made_slowly TEMPLATE calm;\n");
	until_ok($node, q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'pg_database'::regclass AND NOT granted)}, 'a copy is being made');
	isnt($node->psql('postgres', 'CREATE DATABASE made_one TEMPLATE calm', stderr => \$err), 0, 'another one fails');
	like($err, qr/database "made_one" already exists/, 'as its name is taken');
	# the launcher has looked at all databases since
	$node->safe_psql('beside', 'CREATE EXTENSION defer');
	until_ok($node, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'defer scheduler' AND datname = 'beside')}, 'another database is served');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass AND NOT granted}),
		'0', 'we stay away from the one that is being copied, and do not wait for it either');
	$holder->query_safe('COMMIT;');
	$holder->quit;
	$copy->quit;
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_database WHERE datname = 'made_slowly'}), '1', 'the copy is made');
	works_ok('calm', 'then we are back');
}

# One transaction renames two databases: both are served again
$node->safe_psql('postgres', 'BEGIN; ALTER DATABASE calm RENAME TO calm_too; ALTER DATABASE beside RENAME TO beside_too; COMMIT');
for my $name ('calm_too', 'beside_too')
{
	until_ok($node, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'defer scheduler' AND datname = '$name')", "$name is served");
}

# Created because another extension needs it
my $folder = $node->config_data('--sharedir') . '/extension';
SKIP:
{
	skip "cannot write to $folder", 1 if !-w $folder;
	my @files = ("$folder/defer_needed.control", "$folder/defer_needed--1.sql");

	append_to_file($files[0], "default_version = '1'\nrequires = 'defer'\n");
	append_to_file($files[1], "-- nothing\n");
	$node->safe_psql('postgres', 'CREATE DATABASE cascaded');
	$node->safe_psql('cascaded', 'CREATE EXTENSION defer_needed CASCADE');
	unlink @files;
	$node->safe_psql('cascaded', $setup =~ s/CREATE EXTENSION defer;//r);
	works_ok('cascaded', 'created by CASCADE it works');
}
$node->stop;
done_testing();
