# Workers of clients/ among faults: they are killed, hang beyond their leases, lose their
# connections; their network is cut, also after it has carried a COMMIT to the server, or is down
# for some seconds; PgBouncer, behind which one of them is, is killed; sessions
# are terminated, the server crashes and stops.  Each effect is committed
# once, and nothing is lost or left.  With DEFER_CHECK_CLIENTS only, which tools/check-clients sets.
# DEFER_FAULT_SECONDS=600: all of these for so long besides, by chance.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use IO::Socket::INET;
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
my @tasks = @task{@names};

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

# Behind PgBouncer in transaction mode
my ($pooler, $pooler_port);

sub start_pooler
{
	my $begun = time;

	$pooler = IPC::Run::start([ 'pgbouncer', '-q', "$folder/pgbouncer.ini" ], '<', '/dev/null');
	until (IO::Socket::INET->new(PeerAddr => "127.0.0.1:$pooler_port"))
	{
		die 'PgBouncer did not start' if time > $begun + $PostgreSQL::Test::Utils::timeout_default;
		select(undef, undef, undef, 0.05);
	}
	return;
}

if ($missing{node})
{
	diag('no worker behind PgBouncer: there is no node');
}
elsif (system('pgbouncer --version >/dev/null 2>&1') != 0)
{
	diag('no worker behind PgBouncer: it is not there');
}
else
{
	$pooler_port = PostgreSQL::Test::Cluster::get_free_port();
	append_to_file("$folder/pgbouncer.ini", sprintf(<<'INI', $node->host, $node->port, $folder, $pooler_port));
[databases]
postgres = host=%s port=%s user=postgres
[pgbouncer]
logfile = %s/pgbouncer.log
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
ignore_startup_parameters = extra_float_digits
INI
	start_pooler();
	$command{pooled} = "env DATABASE_URL=postgresql://postgres\@127.0.0.1:$pooler_port/postgres $command{node} --poll";
	push @names, 'pooled';
}

# In a network of its own, whose loopback can be taken down; the proxy in there reaches the server
# by its Unix socket
my ($space, $inside);

if (!$missing{node} && system('unshare -rn ip link set lo up 2>/dev/null') == 0)
{
	$space = IPC::Run::start([ 'unshare', '-rn', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh',
			'/usr/bin/python3', 'test/servers/cut_proxy.py', "$folder/inner", $node->host . '/.s.PGSQL.' . $node->port ], '<', '/dev/null');
	select(undef, undef, undef, 0.05) until -e "$folder/inner";
	my ($port, $pid) = split ' ', slurp_file("$folder/inner");

	$inside = "nsenter -t $pid -U -n --preserve-credentials";
	$command{apart} = "$inside env DATABASE_URL=postgresql://postgres\@127.0.0.1:$port/postgres $command{node}";
	push @names, 'apart';
}
else
{
	diag('no worker in a network of its own: that takes node, unshare -rn and ip');
}

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
	# no more than the workers come up with: each phase waits for all to end
	my $few = '(SELECT count(*) < 1000 FROM defer.job)';
	my $client = client_start($node, (map { "SELECT 'ack ' || defer.enqueue('$_', '[]') FROM generate_series(1, 10) WHERE $few;" } @tasks),
		'SELECT pg_sleep(0.02);');
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

# A value, of a server that may be about to crash; '' then
sub value
{
	my ($sql) = @_;
	my ($status, $out) = $node->psql('postgres', $sql);

	return $status == 0 ? $out : '';
}

# Wait until some more effects are there
sub goes_on
{
	my $before;

	for (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$before = value('SELECT count(*) FROM effect');
		last if $before ne '';
		select(undef, undef, undef, 0.05);
	}
	return $node->poll_query_until('postgres', "SELECT count(*) > $before + 20 FROM effect");
}

sub restart_pooler
{
	$pooler->kill_kill(grace => 0);
	start_pooler();
	return;
}

# The network is down for longer than a lease; neither end is told
sub take_network_down
{
	system("$inside ip link set lo down") == 0 or die 'cannot take the network down';
	select(undef, undef, undef, 2 + rand 2);
	system("$inside ip link set lo up") == 0 or die 'cannot take the network up';
	return;
}

push @workers, start_worker($_) for @names;
until_ok($node, sprintf('SELECT count(*) = %d FROM defer.tasks', scalar @tasks), 'the tasks are declared');

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

if ($pooler)
{
	$client = load_begins('a pooler that is killed');
	for (1 .. 2)
	{
		restart_pooler();
		ok(goes_on(), 'they connect again');
	}
	load_ends('a pooler that is killed', $client);
}

if ($inside)
{
	$client = load_begins('a network that is down');
	take_network_down();
	ok(goes_on(), 'others go on');
	load_ends('a network that is down', $client);
}

# Faults of all kinds, by chance
if ($ENV{DEFER_FAULT_SECONDS})
{
	my $all_sessions = 'SELECT count(pg_terminate_backend(pid)) ' . $sessions;
	my %fault = (
		'worker killed' => sub { kill('KILL', slurp_file("$folder/$names[rand @names].pid")) },
		'worker stopped' => sub { kill('TERM', slurp_file("$folder/$names[rand @names].pid")) },
		'connections cut' => sub { kill('USR1', $proxy_pid) },
		'sessions terminated' => sub { value($all_sessions) },
		'session killed' => sub { kill('KILL', $_) for grep { $_ } value("SELECT max(pid) $sessions") },
		'server stopped, fast' => sub { $node->stop('fast'); $node->start },
		'server stopped, immediate' => sub { $node->stop('immediate'); $node->start },
		($pooler ? ('pooler killed' => \&restart_pooler) : ()),
		($inside ? ('network down' => \&take_network_down) : ()));
	my @kinds = sort keys %fault;
	my $end = time + $ENV{DEFER_FAULT_SECONDS};
	my %n;

	$client = load_begins('all faults');
	while (time < $end)
	{
		my $kind = $kinds[rand @kinds];

		$fault{$kind}->();
		$n{$kind}++;
		goes_on() or die "$kind: no job has ended since";
	}
	load_ends('all faults', $client);
	diag(join ', ', map { "$_ $n{$_}" } sort keys %n);
	diag($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM defer.job_history) || ' jobs, ' || (SELECT count(*) FROM effect) || ' effects, attempts: '
		|| string_agg(outcome || ' ' || n, ', ') FROM (SELECT outcome, count(*) AS n FROM defer.attempts GROUP BY outcome ORDER BY outcome) a}));
}

append_to_file("$folder/stop", '');
kill('TERM', slurp_file("$folder/$_.pid")) for @names;
$_->finish for @workers;
$_->kill_kill(grace => 1) for grep { $_ } $proxy, $pooler, $space;
history_ok($node, \@files, what => 'all', max_attempts => 100);
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM defer.attempts WHERE outcome = 'lost'}), 't', 'some leases were lost');
my $log = join '', map { slurp_file("$folder/$_.log") } @names;
like($log, qr/given back/, 'some jobs were given back');
unlike($log, qr/^(?:node:internal|TypeError|ReferenceError|.*\.js:\d+$|Exception in thread|Traceback)/m, 'no worker had an error of its own');
$node->stop;
done_testing();
