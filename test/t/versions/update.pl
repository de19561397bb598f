# ALTER EXTENSION defer UPDATE under load: our processes make way, are started
# again, and go on.  The versions are made up here: they add a column that this
# library does not know to each of the hot tables, and make an index anew.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
defer.retention = 0});
my $folder = $node->config_data('--sharedir') . '/extension';
plan skip_all => "cannot write to $folder" if !-w $folder;

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE TABLE gate (open boolean);
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION nap() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(0.05)';
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	SELECT defer.cron('tick', '* * * * * *', overlap => 'allow', catch_up => 'all')});
my $version = $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'defer'});
my $index = $node->safe_psql('postgres', q{SELECT pg_get_indexdef('defer.job_claim_idx'::regclass)});
my @made = map { "$version+$_" } 1 .. 3;
my $from = $version;
my @scripts;

for my $to (@made)
{
	my ($n) = $to =~ /(\d+)$/;

	push @scripts, "$folder/defer--$from--$to.sql";
	append_to_file($scripts[-1], join("\n", (map { "ALTER TABLE defer.$_ ADD COLUMN of_version_$n text;" } qw(job job_history attempt schedule claim)),
		'DROP INDEX defer.job_claim_idx;', "$index;", "CREATE FUNCTION defer.of_version_$n() RETURNS int LANGUAGE sql AS 'SELECT $n';"));
	$from = $to;
}
END { unlink @scripts if @scripts; }

# DDL beside clients that enqueue: which of the two a deadlock ends is up to the server
sub ddl
{
	my ($sql) = @_;
	my $err;

	for (1 .. 20)
	{
		return '' if $node->psql('postgres', "SET statement_timeout = '90 s'; $sql", stderr => \$err, on_error_stop => 1) == 0;
		last if $err !~ /deadlock detected/;
		note($err);
	}
	return $err;
}

# A session that has been there all the time knows what has changed, too
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_safe(q{SELECT defer.enqueue('quick')});
my @clients = (
	client_start($node, q{SELECT 'ack ' || defer.enqueue('quick') FROM generate_series(1, 20);}, 'SELECT pg_sleep(0.01);'),
	client_start($node, q{SELECT 'ack ' || defer.enqueue('nap') FROM generate_series(1, 2);}, 'SELECT pg_sleep(0.02);'));
my @files;

for my $to (@made)
{
	my $gated = $node->safe_psql('postgres', q{TRUNCATE gate; SELECT defer.enqueue('gated', max_attempts => 1)});

	until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $gated", "$to: a long job runs");
	my $pids = $node->safe_psql('postgres', q{SELECT string_agg(pid::text, ', ') FROM pg_stat_activity WHERE backend_type IN ('defer scheduler', 'defer worker')});
	is(ddl("ALTER EXTENSION defer UPDATE TO '$to'"), '', "$to: updated");
	until_ok($node, qq{SELECT count(*) = 2 FROM (SELECT DISTINCT backend_type FROM pg_stat_activity
		WHERE backend_type IN ('defer scheduler', 'defer worker') AND pid NOT IN ($pids)) x}, "$to: other processes are there");
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid IN ($pids)"), '0', "$to: and none of those before");
	$session->query_safe(q{SELECT defer.enqueue('quick')});
	until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $gated", "$to: the long job runs again");
	$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
	until_ok($node, "SELECT state = 'succeeded' AND attempt = 1 FROM defer.jobs WHERE id = $gated", "$to: and has used no attempt");
}
is($node->safe_psql('postgres', 'SELECT defer.of_version_3()'), '3', 'the last version is there');

# One that fails, and a DROP that is rolled back
isnt(ddl("ALTER EXTENSION defer UPDATE TO 'nowhere'"), '', 'no such version');
is(ddl('BEGIN; DROP EXTENSION defer; SELECT pg_sleep(0.5); ROLLBACK'), '', 'DROP EXTENSION is rolled back');
$session->query_safe(q{SELECT defer.enqueue('quick')});
push @files, clients_stop(@clients);
my $marker = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $marker", 'after DROP EXTENSION was rolled back all goes on');
$session->quit;
is(join("\n", slurp_log($node) =~ /ERROR:  .*(?:could not open relation|cache lookup failed).*/g), '', 'nobody looked for what is gone');

quiesce($node);
history_ok($node, \@files, what => 'at the end', ticks => ['tick']);
$node->stop;
done_testing();
