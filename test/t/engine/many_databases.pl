# Every database with the extension is served, however many there are, after each
# start of the server: also where processes are terminated and databases dropped while
# the launcher looks into them, and where other databases do not have the extension.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $nserved = 24;
my $nothers = 12;
my $node = new_server('main', q{max_worker_processes = 64
defer.max_workers = 4});

# One is made, the rest are copies that are activated: CREATE EXTENSION takes longer
$node->safe_psql('postgres', 'CREATE DATABASE served1');
$node->safe_psql('served1', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS 'SELECT'});
for my $number (2 .. $nserved)
{
	$node->safe_psql('postgres', "CREATE DATABASE served$number TEMPLATE served1");
	$node->safe_psql("served$number", 'SELECT defer.activate()');
}
$node->safe_psql('postgres', "CREATE DATABASE other$_") for 1 .. $nothers;

sub served_ok
{
	my ($n, $what) = @_;

	return until_ok($node, "SELECT count(DISTINCT datname) = $n FROM pg_stat_activity WHERE backend_type = 'defer scheduler'",
		"$what: $n databases have a scheduler");
}

served_ok($nserved, 'at first');
for my $number (1 .. 4)
{
	$node->restart;
	served_ok($nserved, "restart $number");
}
$node->stop('immediate');
$node->start;
served_ok($nserved, 'immediate stop');

# Schedulers, and the launcher, end while it looks into the databases
for my $number (1 .. 3)
{
	$node->restart;
	for my $kill (1 .. 10)
	{
		$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE backend_type IN ('defer scheduler', 'defer launcher') ORDER BY random() LIMIT 3});
	}
	served_ok($nserved, "processes end, $number");
}

# Databases go and come meanwhile
my $left = $nserved;
for my $number (1 .. 3)
{
	$node->restart;
	$node->safe_psql('postgres', "DROP DATABASE served" . $left--);
	$node->safe_psql('postgres', "DROP DATABASE other$number");
	$node->safe_psql('postgres', "DROP DATABASE served" . $left--);
	served_ok($left, "databases are dropped, $number");
}

# None is only there: each of them runs jobs
for my $number (1 .. $left)
{
	$node->safe_psql("served$number", q{SELECT defer.enqueue('work')});
}
settled($node, "the job of served$_ ends", "served$_") for 1 .. $left;

# More databases than background workers: those that have the extension are served
# all the same, as the others need one for a moment only
$node->safe_psql('postgres', "DROP DATABASE served" . $left--) while $left > 6;
$node->append_conf('postgresql.conf', 'max_worker_processes = 12');
for my $number (1 .. 2)
{
	$node->restart;
	served_ok($left, "few background workers, $number");
}
unlike(slurp_file($node->logfile), qr/(database \d+|database "\w+") does not exist/, 'nobody has looked for a database that is gone');
unlike(slurp_file($node->logfile), qr/no background worker is free/, 'there was always a background worker for a scheduler');
$node->stop;
done_testing();
