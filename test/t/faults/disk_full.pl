# Disks that are full: first that of the tables, where errors are seen and
# outlived, then that of the WAL, which the server itself does not outlive.
#
# Small file systems are mounted where only this test sees them, in namespaces
# of its own, for which no root is needed if the system allows it.
use strict;
use warnings;

use File::Spec;
use File::Temp;
use Test::More;

# Before the modules below take standard output away: run again, in there
BEGIN
{
	if (!defined $ENV{DEFER_SMALL_DISKS})
	{
		my $where = File::Temp->newdir('/tmp/defer-disks-XXXXXX');
		my @inside = ('unshare', '--user', '--map-current-user', '--keep-caps', '--mount', 'sh', '-c',
			'mount -t tmpfs -o size=48m tables "$0/tables" && mount -t tmpfs -o size=12m wal "$0/wal" && exec "$@"', $where);

		mkdir("$where/$_") or die $! for ('tables', 'wal');
		plan skip_all => 'small file systems cannot be mounted here: no unshare --user --mount'
		  if system(join(' ', (map { "'$_'" } @inside), 'true', '>/dev/null', '2>&1')) != 0;
		$ENV{DEFER_SMALL_DISKS} = $where;
		exit(system(@inside, $^X, (map { '-I' . File::Spec->rel2abs($_) } @INC), File::Spec->rel2abs($0)) ? 1 : 0);
	}
}

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

my $folder = $ENV{DEFER_SMALL_DISKS};

# Fill a disk, but for so many kB
sub fill
{
	my ($disk, $but) = @_;
	my $block = "\0" x 1024;

	open(my $handle, '>', "$folder/$disk/ballast") or die $!;
	$handle->autoflush(1);
	1 while syswrite($handle, $block);
	truncate($handle, (-s $handle) - $but * 1024);
	close($handle);
	return;
}

sub make_room
{
	my ($disk) = @_;

	unlink("$folder/$disk/ballast") or die $!;
	return;
}

sub wait_for_text
{
	my ($file, $from, $pattern, $what) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		if (substr(slurp_file($file), $from) =~ $pattern)
		{
			pass($what);
			return;
		}
		usleep(100_000);
	}
	fail($what);
	return;
}

my $setup = q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint, ballast text);
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS
		$$INSERT INTO effect VALUES (defer.current_job(), repeat('x', 500))$$;
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION big() RETURNS void LANGUAGE sql AS
		$$INSERT INTO effect VALUES (defer.current_job(), (SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 500)))$$;
	SELECT defer.configure(f, initial_interval => '100 ms', max_interval => '1 s', max_attempts => 1000)
	  FROM unnest(ARRAY['work', 'big', 'tick']) f;
	SELECT defer.cron('tick', '* * * * * *', overlap => 'allow', catch_up => 'all')};
my @load = (q{SELECT 'ack ' || defer.enqueue('work', metadata => jsonb_build_object('ballast', repeat('x', 100))) FROM generate_series(1, 20);},
	'SELECT pg_sleep(0.01);');

# The disk of the tables
my $node = new_server('tables', q{defer.max_workers = 3
defer.retention = 0});
$node->safe_psql('postgres', $setup);
mkdir("$folder/tables/space") or die $!;
$node->safe_psql('template1', "CREATE TABLESPACE small LOCATION '$folder/tables/space'");
$node->safe_psql('template1', 'ALTER DATABASE postgres SET TABLESPACE small');

my $client = client_start($node, @load);
until_ok($node, q{SELECT count(*) > 10 FROM effect}, 'jobs run');
$node->safe_psql('postgres', q{SELECT defer.pause('big'); SELECT count(defer.enqueue('big')) FROM generate_series(1, 300)});
fill('tables', 64);
wait_for_text("$client->{file}.err", 0, qr/No space left on device/, 'clients are told that the disk is full');
make_room('tables');
fill('tables', 64);
$node->safe_psql('postgres', q{SELECT defer.resume('big')});
wait_for_text($node->logfile, 0, qr/\] ERROR:  .*No space left on device/, 'workers tell the log');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.workers WHERE kind IN ('launcher', 'scheduler')}), '2',
	'our processes are still there');
my @files = clients_stop($client);
make_room('tables');
history_ok($node, \@files, what => 'room for tables again', busy => 1, max_attempts => 1000);
$client = client_start($node, @load);
until_ok($node, q{SELECT count(*) > 10 FROM defer.jobs j WHERE j.state = 'succeeded' AND j.enqueued_at > now() - interval '1 s'},
	'jobs run again');
push @files, clients_stop($client);
quiesce($node);
history_ok($node, \@files, what => 'at the end', max_attempts => 1000, ticks => ['tick']);
$node->stop;

# The disk of the WAL: the server stops with a PANIC, and starts when there is room
my $other = PostgreSQL::Test::Cluster->new('wal');
$other->init(extra => [ "--waldir=$folder/wal/pg_wal", '--wal-segsize=1' ]);
$other->append_conf('postgresql.conf', q{
shared_preload_libraries = 'defer'
defer.max_workers = 3
defer.retention = 0
min_wal_size = 2MB
max_wal_size = 1GB
fsync = off
log_min_messages = log
});
$other->start;
$other->safe_psql('postgres', $setup);
$client = client_start($other, @load);
until_ok($other, q{SELECT count(*) > 10 FROM effect}, 'WAL: jobs run');
fill('wal', 0);
$other->psql('postgres', 'SELECT pg_switch_wal()') for 1 .. 5;	# the segments that are there already
wait_for_text($other->logfile, 0, qr/PANIC: .*No space left on device/, 'WAL: the server gives up');
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if !-e $other->data_dir . '/postmaster.pid';
	usleep(100_000);
}
$other->stop('immediate', fail_ok => 1);
make_room('wal');
$other->start;
until_ok($other, q{SELECT count(*) > 10 FROM defer.jobs j WHERE j.state = 'succeeded' AND j.enqueued_at > now() - interval '1 s'},
	'WAL: jobs run again');
@files = clients_stop($client);
quiesce($other);
history_ok($other, \@files, what => 'room for WAL again', crashes => 1, max_attempts => 1000, ticks => ['tick']);
$other->stop;
done_testing();
