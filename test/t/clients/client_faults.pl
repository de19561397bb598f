# Workers of clients/ among faults: they are killed, hang beyond their leases, lose their
# connections; their network is cut, also after it has carried a COMMIT to the server; sessions
# are terminated, the server crashes and stops.  Each effect is committed
# once, and nothing is lost or left.  With DEFER_CHECK_CLIENTS only, which tools/check-clients sets.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use NodeClient;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'only with DEFER_CHECK_CLIENTS, which make check-clients sets' if !$ENV{DEFER_CHECK_CLIENTS};

# The commands, by the name of the worker; each has a task of its own
my %command = (
	node => 'node clients/node/bin/defer-worker.js --app faults --log-level debug clients/node/test/faults',
	python => 'env PYTHONPATH=clients/python:clients/python/tests /usr/bin/python3 -m defer_postgres risky');
my %task = (node => 'risky', python => 'risky_python');
my %missing = (node => scalar(NodeClient::missing()), python => system(q{/usr/bin/python3 -c 'import psycopg' 2>/dev/null}) == 0 ? undef : 'no psycopg');
my @names = grep { !$missing{$_} } sort keys %command;

plan skip_all => 'neither node nor psycopg is there' if !@names;
diag("$_: $missing{$_}") for grep { $missing{$_} } sort keys %missing;

my $node = new_server('main', q{defer.max_workers = 2
defer.retention = 0
max_connections = 120});
my $folder = PostgreSQL::Test::Utils::tempdir();
my (@workers, @files);

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint)});

# They connect through a proxy whose connections can be cut
my $proxy = IPC::Run::start([ '/usr/bin/python3', 'test/servers/cut_proxy.py', "$folder/proxy", $node->host . '/.s.PGSQL.' . $node->port ], '<', '/dev/null');

select(undef, undef, undef, 0.05) until -e "$folder/proxy";
my ($proxy_port, $proxy_pid) = split ' ', slurp_file("$folder/proxy");
local $ENV{DATABASE_URL} = "postgresql://postgres\@127.0.0.1:$proxy_port/postgres";

# A worker that is started again when it ends, until the file "stop" is there
sub start_worker
{
	my ($name) = @_;
	my $loop = qq{while [ ! -e $folder/stop ]; do
		$command{$name} --lease 1 --grace 1 --concurrency 8 &
		echo \$! >$folder/$name.pid; wait \$!; done};

	return IPC::Run::start([ 'bash', '-c', $loop ], '<', '/dev/null', '>', "$folder/$name.log", '2>&1');
}

sub load_begins
{
	my ($what) = @_;
	my $client = client_start($node, map { "SELECT 'ack ' || defer.enqueue('$task{$_}', '[]') FROM generate_series(1, 10);" } @names);
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM effect');

	until_ok($node, "SELECT count(*) > $before + 50 FROM effect", "$what: under load");
	return $client;
}

sub load_ends
{
	my ($what, $client) = @_;

	push @files, clients_stop($client);
	history_ok($node, \@files, what => $what, max_attempts => 100, busy => 1);
	return;
}

push @workers, start_worker($_) for @names;
until_ok($node, sprintf('SELECT count(*) = %d FROM defer.tasks', scalar @names), 'the tasks are declared');

my $client = load_begins('workers that are killed');
for my $i (0 .. 3)
{
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM effect');

	kill($i < 2 ? 'KILL' : 'TERM', slurp_file("$folder/$names[$i % @names].pid"));
	until_ok($node, "SELECT count(*) > $before + 20 FROM effect", 'others go on');
}
load_ends('workers that are killed', $client);

$client = load_begins('a network that is cut');
for (1 .. 3)
{
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM effect');

	kill('USR1', $proxy_pid);
	until_ok($node, "SELECT count(*) > $before + 20 FROM effect", 'they connect again');
}
load_ends('a network that is cut', $client);

$client = load_begins('sessions that are terminated');
for (1 .. 5)
{
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM effect');

	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'defer-worker'});
	until_ok($node, "SELECT count(*) > $before + 20 FROM effect", 'they connect again');
}
load_ends('sessions that are terminated', $client);

$client = load_begins('kill -9 of a session');
my $sessions = q{FROM pg_stat_activity WHERE application_name = 'defer-worker'};
my $pid;

until_ok($node, "SELECT count(*) > 0 $sessions", 'a worker is connected');
do { $pid = $node->safe_psql('postgres', "SELECT max(pid) $sessions") } until $pid;
kill('KILL', $pid);
until_ok($node, 'SELECT true', 'kill -9 of a session: the server is back');
load_ends('kill -9 of a session', $client);

for my $mode (qw(fast immediate))
{
	$client = load_begins("stop $mode");
	$node->stop($mode);
	$node->start;
	load_ends("stop $mode", $client);
}

append_to_file("$folder/stop", '');
kill('TERM', slurp_file("$folder/$_.pid")) for @names;
$_->finish for @workers;
$proxy->kill_kill(grace => 1);
history_ok($node, \@files, what => 'all', max_attempts => 100);
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM defer.attempts WHERE outcome = 'lost'}), 't', 'some leases were lost');
my $log = join '', map { slurp_file("$folder/$_.log") } @names;
like($log, qr/given back/, 'some jobs were given back');
unlike($log, qr/^(?:node:internal|TypeError|ReferenceError|.*\.js:\d+$|Exception in thread|Traceback)/m, 'no worker had an error of its own');
$node->stop;
done_testing();
