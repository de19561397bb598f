# DDL that wants us out: on databases, of the extension, of roles and functions.
use strict;
use warnings;

use DeferTest;
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
$node->stop;
done_testing();
