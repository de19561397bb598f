# A database that is a node of Citus, as its tables say.  Citus itself is not here (see
# tools/check-citus): what it has in pg_catalog is made by hand.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# that is how a server that has loaded Citus is known
my $node = new_server('main', q{citus.node_conninfo = ''});
my $range = 100_000_000_000_000;

sub become
{
	my ($group) = @_;

	$node->safe_psql('postgres', qq{SET allow_system_table_mods = on;
		UPDATE pg_catalog.pg_dist_local_group SET groupid = $group;
		ALTER TABLE pg_catalog.pg_dist_local_group SET (fillfactor = 50)});	# tells all sessions
	return;
}

sub refused
{
	my ($sql, $message, $what) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql);

	ok($status != 0 && $err =~ $message, $what) or diag("$out$err");
	return;
}

# Without the tables of Citus the database is no node
$node->safe_psql('postgres', q{CREATE EXTENSION defer;
	SELECT defer.cron_command('every', '* * * * * *', 'SELECT 1', overlap => 'allow')});
until_ok($node, q{SELECT count(*) > 0 FROM defer.jobs WHERE schedule = 'every' AND state = 'succeeded'},
	'without Citus in the database it does as ever');
$node->safe_psql('postgres', q{SET allow_system_table_mods = on;
	CREATE TABLE pg_catalog.pg_dist_local_group (groupid int NOT NULL PRIMARY KEY);
	INSERT INTO pg_catalog.pg_dist_local_group VALUES (0)});
my $seen = $node->safe_psql('postgres', q{SELECT max(id) FROM defer.jobs});
until_ok($node, qq{SELECT count(*) > 0 FROM defer.jobs WHERE id > $seen AND id < $range AND state = 'succeeded'},
	'on the coordinator schedules fire, and ids are as they were');
is($node->safe_psql('postgres', q{SELECT node IS NULL FROM defer.installation}), 't', 'it is not remembered');

# Node 3
become(3);
my $id = $node->safe_psql('postgres', q{SELECT defer.command('SELECT 1')});
is(int($id / $range), 3, "the node's ids begin with its number");
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.await(} . $id . ')'), '1', 'the job runs');
is($node->safe_psql('postgres', q{SELECT min(id) / } . $range . q{ FROM defer.enqueue_many('pg_catalog.pg_client_encoding', '[{}]')}),
	'3', 'so do those of many');
refused(q{SELECT defer.cron_command('more', '* * * * * *', 'SELECT 1')}, qr/node 3 of Citus fires no schedules/,
	'no schedule can be made');
is($node->safe_psql('postgres', q{SELECT defer.run_schedules(now() + interval '1 minute') IS NULL}), 't',
	'those that are there do not fire');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM defer.jobs WHERE schedule IS NOT NULL AND id > $range}), '0',
	'none has');
$node->restart;
until_ok($node, q{SELECT node = 3 FROM defer.installation}, 'the node is remembered');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.health WHERE severity = 'error'}), '0', 'nothing is wrong');

# A standby of it was made node 4, or it was added to another cluster
become(4);
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.health WHERE finding LIKE '%restored or copied%')},
	'another node is a copy');
$node->restart;
$id = $node->safe_psql('postgres', q{SELECT defer.command('SELECT 1')});
$node->safe_psql('postgres', q{SELECT defer.activate()});
until_ok($node, qq{SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id}, 'it works after activate()');
until_ok($node, q{SELECT node = 4 FROM defer.installation}, 'as the node that it is now');

# A part of a statement that another node has sent
my $part = q{SET application_name = 'citus_internal gpid=20000000017'; };
my $rows = q{SELECT defer.command('SELECT 1') FROM generate_series(1, 2)};

refused($part . $rows, qr/in a transaction block or in a job only/, 'a part that is not committed with the others');
refused($part . "BEGIN; $rows; COMMIT", qr/in a transaction block or in a job only/, 'nor is it in a block that nobody has prepared');
is($node->safe_psql('postgres', $part . q{SELECT defer.command('SELECT 1') > 0}), 't', 'a call without rows');
is($node->safe_psql('postgres', qq{$part CREATE TABLE made AS SELECT 1::bigint AS id; INSERT INTO made $rows; SELECT count(*) FROM made}), '3',
	'a statement that writes');
is($node->safe_psql('postgres', qq{$part BEGIN; SET LOCAL defer.distributed_job = '200000000000005';
	SELECT defer.command('SELECT 1') AS id FROM made LIMIT 1 \\gset
	COMMIT; SELECT parent_id FROM defer.jobs WHERE id = :id}), '200000000000005', 'a part that is, of a job of node 2');
is($node->safe_psql('postgres', qq{$part BEGIN; SET LOCAL defer.distributed_job = '$id';
	SELECT defer.command('SELECT 1') AS id FROM made LIMIT 1 \\gset
	COMMIT; SELECT parent_id IS NULL FROM defer.jobs WHERE id = :id}), 't', 'no job of this node gets children so');

# Before a statement is sent, the transaction writes on the table
$node->safe_psql('postgres', q{SET allow_system_table_mods = on;
	CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod "char", partkey text, colocationid int, repmodel "char");
	CREATE TABLE spread (id int); CREATE TABLE copied (id int); INSERT INTO spread VALUES (1), (2); INSERT INTO copied VALUES (1);
	CREATE ROLE reader; GRANT USAGE ON SCHEMA defer TO reader; GRANT SELECT ON spread, copied TO reader;
	INSERT INTO pg_catalog.pg_dist_partition VALUES ('spread', 'h', NULL, 1, 's'), ('copied', 'n', NULL, 2, 't')});
refused(q{SET ROLE reader; BEGIN; SELECT defer.command('SELECT 1') FROM spread}, qr/permission denied to enqueue for rows of distributed table "spread"/,
	'a role that may only read');
is($node->safe_psql('postgres', q{SET ROLE reader; BEGIN; SELECT count(*), current_setting('defer.distributed_job', true) FROM spread;
	SELECT count(defer.command('SELECT 1')), current_setting('defer.distributed_job', true) FROM copied; COMMIT}), "2|\n1|",
	'it may read, and enqueue for rows that each node has');
is($node->safe_psql('postgres', q{BEGIN; SELECT count(defer.command('SELECT 1')) FROM spread; SELECT current_setting('defer.distributed_job'); COMMIT;
	SELECT count(*), current_setting('defer.distributed_job') FROM spread}), "2\n0\n2|", 'the setting goes out, and no row is deleted');
$id = $node->safe_psql('postgres', q{SELECT defer.command($$SELECT current_setting('defer.distributed_job'), count(defer.command('SELECT 1')) FROM spread$$)});
until_ok($node, qq{SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id}, 'a job enqueues for them');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM defer.jobs WHERE parent_id = $id}), '2', 'its own are its children');

$node->safe_psql('postgres', q{CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE $$trapped$$; END';
	CREATE TRIGGER trap BEFORE DELETE ON spread FOR EACH STATEMENT EXECUTE FUNCTION trap()});
refused(q{BEGIN; SELECT defer.command('SELECT 1') FROM spread}, qr/"spread", which has a rule or a trigger FOR EACH STATEMENT/,
	'code of the table is not run by one who reads');

# The numbers of a node come to an end
become(2_000_000_000);
$node->safe_psql('postgres', q{UPDATE defer.installation SET node = NULL});
refused(q{SELECT defer.command('SELECT 1')}, qr/node 2000000000 of Citus has no ids of jobs left/,
	'there are no ids beyond');
$node->stop;
done_testing();
