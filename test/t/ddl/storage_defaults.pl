# Settings that say how tables are made have no say in how ours are; tables of another
# access method, into which somebody has made them, are refused.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
defer.max_workers = 2
defer.retention = '7d'
});
my $library = test_library();

$node->safe_psql('postgres', qq{
	CREATE FUNCTION other_handler(internal) RETURNS table_am_handler LANGUAGE c AS '$library', 'other_handler';
	CREATE ACCESS METHOD other TYPE TABLE HANDLER other_handler;
	ALTER SYSTEM SET default_table_access_method = other;
	ALTER SYSTEM SET default_tablespace = pg_default;
	ALTER SYSTEM SET quote_all_identifiers = on;
	ALTER SYSTEM SET array_nulls = off;
	ALTER SYSTEM SET transform_null_equals = on;
	ALTER SYSTEM SET IntervalStyle = sql_standard;
	ALTER SYSTEM SET DateStyle = 'SQL, DMY';
	ALTER SYSTEM SET TimeZone = 'Asia/Kathmandu'});
$node->restart;
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION work(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
	SELECT defer.enqueue('work', '[1]')});
settled($node, 'a job runs');
# five, and one more after midnight
until_ok($node, q{SELECT count(*) >= 5 FROM pg_inherits WHERE inhparent = 'defer.job_history'::regclass}, 'partitions are made');
is($node->safe_psql('postgres', q{
	SELECT c.relname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
	 WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind = 'r' AND a.amname <> 'heap'}),
	'', 'all tables and partitions are of the access method heap');
is($node->safe_psql('postgres', q{
	SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind IN ('r', 'p', 'i', 'I') AND c.reltablespace <> 0}),
	'', 'and where the database is');
is($node->safe_psql('postgres', q{
	SELECT c.relname FROM pg_class c, pg_get_expr(c.relpartbound, c.oid) b
	 WHERE c.relnamespace = 'defer'::regnamespace AND c.relname ~ '^job_history_p\d{8}$'
	   AND b NOT LIKE '%' || to_char(to_date(right(c.relname, 8), 'YYYYMMDD'), 'DD/MM/YYYY') || '%'}), '', 'by the days that their names say');

# A dump of it goes into a database with the same settings
my $dump = $node->data_dir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump is made');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('copy') ], 'and restored');
is($node->safe_psql('copy', 'SELECT count(*) FROM defer.job_history'), '1', 'with its job');

# New partitions are where somebody has moved the partitioned table
my $folder = $node->basedir . '/elsewhere';
mkdir $folder;
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$folder'");
$node->safe_psql('postgres', q{
	ALTER TABLE defer.log SET TABLESPACE elsewhere;
	DROP TABLE defer.log_p} . $node->safe_psql('postgres', q{SELECT to_char(now() AT TIME ZONE 'UTC' + interval '3 days', 'YYYYMMDD')}));
$node->reload;
until_ok($node, q{
	SELECT count(*) > 0 FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
	 WHERE t.spcname = 'elsewhere' AND c.relname ~ '^log_p\d{8}$'}, 'a partition is made in the tablespace of its table');

# Rows are written as heap has them: into nothing else.  (The other method is heap by another
# name, for which no index can be built: so it is put into the catalog.)
sub set_method
{
	my ($table, $method) = @_;

	$node->safe_psql('postgres', qq{
		SET allow_system_table_mods = on;
		UPDATE pg_class SET relam = (SELECT oid FROM pg_am WHERE amname = '$method') WHERE oid = 'defer.$table'::regclass});
	return;
}
set_method('job', 'other');
my ($status, $out, $error) = $node->psql('postgres', q{SELECT defer.enqueue('work', '[2]')});
isnt($status, 0, 'a table of another access method is not written');
like($error, qr/table "defer\.job" is not of the access method "heap"/, 'and says so');
like($error, qr/ALTER TABLE defer\.job SET ACCESS METHOD heap/, 'and what to do');
set_method('job', 'heap');
$node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[3]')});
settled($node, 'it goes on when it is mended');
set_method('claim', 'other');
my $offset = -s $node->logfile;
$node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[4]')});
ok($node->wait_for_log(qr/table "defer\.claim" is not of the access method "heap"/, $offset), 'no claim is written');
set_method('claim', 'heap');
settled($node, 'the job runs');

$node->stop;
done_testing();
