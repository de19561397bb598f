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

# A job's commit is flushed, also if it says otherwise: then it waits for a standby that is not there
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()});
until_ok($node, q{SELECT current_setting('synchronous_standby_names') = 'nobody'}, 'there is no standby');
$id = $node->safe_psql('postgres', q{SET synchronous_commit = off;
	SELECT defer.command($$WITH s AS (SELECT set_config('synchronous_commit', 'off', true)) SELECT * FROM s$$)});
until_ok($node, q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'defer worker' AND wait_event = 'SyncRep'},
	'a job is flushed that has switched that off');
$node->safe_psql('postgres', q{SET synchronous_commit = off; ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()});
until_ok($node, qq{SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id}, 'and ends');

$node->safe_psql('postgres', q{CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE $$trapped$$; END';
	CREATE TRIGGER trap BEFORE DELETE ON spread FOR EACH STATEMENT EXECUTE FUNCTION trap()});
refused(q{BEGIN; SELECT defer.command('SELECT 1') FROM spread}, qr/"spread", which has a rule or a trigger FOR EACH STATEMENT/,
	'code of the table is not run by one who reads');

# ------------------------------------------------------------------------
# All nodes as one.  The other node is a database, which Citus's function reaches by dblink.
# ------------------------------------------------------------------------

sub of
{
	my ($database, $sql, $role) = @_;

	return $node->safe_psql($database, $sql, extra_params => [ '-U', $role // 'postgres' ]);
}

# What ann is told of a statement that fails, with the SQLSTATE
sub error_of
{
	my ($role, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]);

	return $status == 0 ? "no error: $out" : $err;
}

sub be_nodes
{
	$node->safe_psql('postgres', q{CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE DATABASE other});
	$node->safe_psql('other', q{CREATE EXTENSION defer; SET allow_system_table_mods = on;
		CREATE TABLE pg_catalog.pg_dist_local_group (groupid int NOT NULL PRIMARY KEY);
		INSERT INTO pg_catalog.pg_dist_local_group VALUES (5);
		CREATE FUNCTION say(what text) RETURNS text LANGUAGE plpgsql AS $$
		BEGIN
			RAISE NOTICE 'about to say %', what;
			IF what = 'no' THEN RAISE 'no' USING ERRCODE = 'AB123'; END IF;
			RETURN what;
		END $$});
	for my $database ('postgres', 'other')
	{
		$node->safe_psql($database, q{SET allow_system_table_mods = on;
			CREATE TABLE pg_catalog.pg_dist_node (groupid int, nodename text, nodeport int, isactive boolean, noderole text);
			GRANT SELECT ON pg_catalog.pg_dist_node, pg_catalog.pg_dist_local_group TO PUBLIC;
			GRANT USAGE ON SCHEMA defer TO ann, bob;
			CREATE EXTENSION dblink;
			GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO PUBLIC;
			CREATE FUNCTION pg_catalog.master_run_on_worker(worker_name text[], port integer[], command text[], parallel boolean,
				OUT node_name text, OUT node_port integer, OUT success boolean, OUT result text) RETURNS SETOF record
				LANGUAGE plpgsql STRICT AS $$
			BEGIN
				FOR i IN 1 .. cardinality(worker_name) LOOP
					node_name := worker_name[i];
					node_port := port[i];
					success := true;
					BEGIN
						PERFORM public.dblink_connect_u('c', format('dbname=%s user=%s', node_name, current_user));
						SELECT r INTO result FROM public.dblink('c', command[i]) AS t(r text);
					EXCEPTION WHEN OTHERS THEN
						success := false;
						result := SQLERRM;
					END;
					IF 'c' = ANY (public.dblink_get_connections()) THEN PERFORM public.dblink_disconnect('c'); END IF;
					RETURN NEXT;
				END LOOP;
			END $$});
	}
	return;
}

sub all_nodes
{
	my $job;

	be_nodes();
	is(of('postgres', q{SELECT node, address, error FROM defer.nodes}), '4||', 'without other nodes there is this one');
	of($_, q{INSERT INTO pg_catalog.pg_dist_node VALUES (4, 'postgres', 1, true, 'primary'), (5, 'other', 2, true, 'primary'),
		(5, 'standby', 3, true, 'secondary'), (6, 'gone', 4, true, 'primary'), (7, 'disabled', 5, false, 'primary')}) for ('postgres', 'other');
	is(of('postgres', q{SELECT node, address, error LIKE '%could not establish connection%' FROM defer.nodes ORDER BY node}), "4||\n5|other:2|\n6|gone:4|t",
		'the others, and why one does not answer');
	like(of('postgres', q{SELECT string_agg(concat_ws(' ', node, severity, finding), E'\n') FROM defer.all_health}),
		qr/^6 error node 6 of Citus \(gone:4\) does not answer: could not establish connection/m, 'which is a finding');
	my ($status, $out, $err) = $node->psql('other', q{SELECT node FROM defer.all_queues ORDER BY 1});
	is($out, "4\n5", 'queues of those that answer');
	like($err, qr/WARNING:  node 6 of Citus does not answer, and is left out\nDETAIL:  gone:4: /, 'with a warning');

	$job = of('other', q{SELECT defer.enqueue('say', '["it"]', metadata => '{"a": [1, null]}')}, 'ann');
	is(int($job / $range), 5, 'a job of another node');
	is(of('postgres', "SELECT defer.await($job)", 'ann'), '"it"', 'is awaited');
	is(of('postgres', "SELECT defer.result($job)", 'ann'), '"it"', 'has a result');
	is(of('postgres', "SELECT state, owner, metadata, function FROM defer.show_job($job)", 'ann'), 'succeeded|ann|{"a": [1, null]}|public.say(text)', 'a row');
	is(of('postgres', "SELECT message FROM defer.show_logs($job)", 'ann'), 'about to say it', 'a log');
	is(of('postgres', q{SELECT node, id FROM defer.find_all_jobs(metadata => '{"a": [1]}', function => 'public.say(text)', states => '{succeeded}',
		since => now() - interval '1 hour', owner => 'ann')}, 'ann'), "5|$job", 'and is found');
	is(of('postgres', "SELECT node FROM defer.all_jobs WHERE id = $job", 'ann'), '5', 'among all');
	is(of('postgres', "SELECT (SELECT count(*) FROM defer.all_jobs WHERE id = $job) + (SELECT count(*) FROM defer.show_job($job))", 'bob'), '0',
		'another role does not see it');
	like(error_of('bob', "SELECT defer.$_"), qr/ERROR:  P0002: job $job does not exist|ERROR:  42704: job $job does not exist/, "nor $_") for ("rerun($job)", "await($job)", "result($job)", "retry($job)", "acknowledge($job)", "cancel($job, true)");
	my $again = of('postgres', "SELECT defer.rerun($job)", 'ann');
	is(of('other', "SELECT rerun_of FROM defer.jobs WHERE id = $again"), $job, 'it is run again there');

	$job = of('other', q{SELECT defer.enqueue('say', '["later"]', delay => '1 hour')}, 'ann');
	is(of('postgres', "SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'; SELECT defer.reschedule($job, '03/02/2100 12:00')", 'ann'), 't', 'a job is moved');
	is(of('other', "SELECT run_at = '2100-02-03 12:00 Asia/Tokyo' FROM defer.jobs WHERE id = $job"), 't', 'to that time');
	like(error_of('ann', "SELECT defer.await($job, '10 ms')"), qr/ERROR:  DF012: timed out waiting for job $job/, 'and awaited in vain');
	is(of('postgres', "SELECT defer.cancel($job), defer.cancel($job)", 'ann'), 't|f', 'it is cancelled, once');
	like(error_of('ann', "SELECT defer.await($job)"), qr/ERROR:  DF010: job $job was cancelled/, 'as its end says');
	of('postgres', q{BEGIN READ ONLY; SELECT count(*) FROM defer.all_jobs; COMMIT}, 'ann');

	$job = of('other', q{SELECT defer.enqueue('say', '["no"]', max_attempts => 1)}, 'ann');
	like(error_of('ann', "SELECT defer.await($job)"), qr/ERROR:  AB123: no\nDETAIL:  Job $job failed after 1 attempt.*node 5 of Citus, other:2/s, 'a failure is raised as it is');
	is(of('postgres', "SELECT outcome, message FROM defer.show_attempts($job)", 'ann'), 'failed|no', 'and shown');
	is(of('postgres', "SELECT defer.retry($job)", 'ann'), 't', 'taken on again');
	until_ok($node, "SELECT state = 'failed' FROM defer.show_job($job)", 'it fails again');
	is(of('postgres', "SELECT defer.acknowledge($job, E'it''s \\\\ known')", 'ann'), 't', 'acknowledged');
	is(of('other', "SELECT note FROM defer.failures WHERE job_id = $job AND note IS NOT NULL"), q{it's \\ known}, 'with a note');

	like(error_of('ann', 'SELECT defer.cancel(600000000000001)'), qr/ERROR:  08006: node 6 of Citus does not answer/, 'the node is away');
	like(error_of('ann', 'SELECT defer.cancel(800000000000001)'), qr/job 800000000000001 does not exist/, 'there is no such node');
	like(error_of('ann', q{SELECT defer.run_here('drop', '{}')}), qr/22023: unrecognized command of a node: "drop"/, 'no other commands');
	like(error_of('ann', q{SELECT * FROM defer.other_nodes('cancel', '{"id": 1}')}), qr/22023: command "cancel" of a node returns no such list/, 'none on all nodes that acts');
	# what is in front of pg_catalog in a role's search_path is not called
	of('other', q{CREATE SCHEMA trap AUTHORIZATION bob; ALTER ROLE ann SET search_path = trap, pg_catalog, public});
	of('other', q{CREATE FUNCTION trap.jsonb_agg(anyelement) RETURNS jsonb LANGUAGE sql AS 'SELECT to_jsonb(1 / 0)'; GRANT USAGE ON SCHEMA trap TO ann}, 'bob');
	is(of('postgres', q{SELECT count(*) > 0 FROM defer.all_functions WHERE node = 5}, 'ann'), 't', 'nor what a role has in its search_path');
	return;
}
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'dblink'}) eq '1')
{
	all_nodes();
}
else
{
	note('all nodes as one: not tested, dblink is not installed');
}

# The numbers of a node come to an end
become(2_000_000_000);
$node->safe_psql('postgres', q{UPDATE defer.installation SET node = NULL});
refused(q{SELECT defer.command('SELECT 1')}, qr/node 2000000000 of Citus has no ids of jobs left/,
	'there are no ids beyond');
$node->stop;
done_testing();
