# What may happen to the sender and to the server under it while deliveries are
# under way: each arrives at least once, the second copy has the same key, and
# nobody has to wait for a peer that hangs.
use strict;
use warnings;

use DeferTest;
use Deliveries;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $missing = Peers::missing('http');
plan skip_all => "$missing is not there" if $missing;

my $http = Peers->http;
my $node = delivery_server('main', 'defer.max_workers = 4');
my $hang = "defer.http('POST', " . quoted($http->url('/hang')) . ", 'x'::text, timeout => '1 hour')";
my $sender_runs = q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'defer sender')};

# So many that each takes a moment, in one transaction
sub post
{
	my ($tag, $n, $database) = @_;
	my $url = quoted($http->url("/slow?ms=100&tag=$tag"));

	return $node->safe_psql($database // 'postgres', qq{
		SELECT count(defer.http('POST', $url, i::text, max_attempts => 50,
			initial_interval => '50 ms', max_interval => '200 ms')) FROM generate_series(1, $n) i});
}

sub arrived
{
	my ($tag) = @_;

	return grep { ($_->{query}{tag} // '') eq $tag } $http->requests('/slow');
}

# Some of them are on their way
sub under_way
{
	my ($tag, $what) = @_;
	my $until = time() + $PostgreSQL::Test::Utils::timeout_default;

	usleep(5_000) until arrived($tag) || time() > $until;
	ok(arrived($tag) > 0, "$what: deliveries are under way");
	return;
}

# Each arrived, with its body, and those that did so again can be recognised
sub all_arrived
{
	my ($tag, $n, $what) = @_;
	my (%bodies, %keys);

	settled($node, "$what: all jobs end");
	for my $request (grep { $_->{complete} } arrived($tag))
	{
		$bodies{ $request->{body} }{ $request->{key} }++;
		$keys{ $request->{key} }{ $request->{body} }++;
	}
	is(scalar(keys %bodies), $n, "$what: each delivery arrived");
	is(scalar(grep { keys %$_ != 1 } values %bodies), 0, "$what: one key for all copies");
	is(scalar(grep { keys %$_ != 1 } values %keys), 0, "$what: no key for two deliveries");
	is($node->safe_psql('postgres', q{SELECT state, count(*) FROM defer.jobs GROUP BY 1}),
		"succeeded|$n", "$what: and all have succeeded");
	note("$what: " . arrived($tag) . " requests for $n deliveries");
	$node->safe_psql('postgres', 'TRUNCATE defer.job_history, defer.attempt');
	$http->clear;
	return;
}

sub http_get
{
	my ($target) = @_;

	return "defer.http('GET', " . quoted($http->url($target)) . ', max_attempts => 1)';
}

sub sender_pid
{
	my ($database) = @_;

	return $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'defer sender' AND datname = '} . ($database // 'postgres') . q{'});
}

# ------------------------------------------------------------------------
# Nothing is sent but by the commit
# ------------------------------------------------------------------------
{
	my $never = quoted($http->url('/record?tag=never'));

	$node->safe_psql('postgres', qq{
		CREATE FUNCTION sends_and_fails() RETURNS void LANGUAGE plpgsql AS \$\$
		BEGIN
			PERFORM defer.http('POST', $never, 'x'::text);
			RAISE EXCEPTION 'no';
		END \$\$;
		BEGIN;
		SELECT defer.http('POST', $never, 'x'::text);
		ROLLBACK;
		BEGIN;
		SAVEPOINT a;
		SELECT defer.http('POST', $never, 'x'::text);
		ROLLBACK TO a;
		SELECT defer.http('POST', } . quoted($http->url('/record?tag=kept')) . q{, 'x'::text);
		COMMIT;
		SELECT defer.enqueue('sends_and_fails', max_attempts => 1)});
	settled($node, 'all that was committed ends');
	is(join(' ', map { $_->{query}{tag} } $http->requests('/record')), 'kept', 'what was rolled back is never sent');
	$node->safe_psql('postgres', 'TRUNCATE defer.job_history, defer.attempt');
	$http->clear;
}

# ------------------------------------------------------------------------
# An answer made to be costly: as many headers of one name as libcurl takes (5,000 from
# version 8.6 on)
# ------------------------------------------------------------------------
{
	# This one keeps the sender there
	my $hanging = $node->safe_psql('postgres', "SELECT $hang");
	until_ok($node, $sender_runs, 'a sender runs');
	my $pid = sender_pid();
	my $peak = sub { return slurp_file("/proc/$pid/status") =~ /^VmPeak:\s+(\d+)/m ? $1 : undef };
	my $one = $node->safe_psql('postgres', 'SELECT ' . http_get('/record'));
	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $one", 'a request is answered');
	my $before = $peak->();
	my $many = $node->safe_psql('postgres', 'SELECT ' . http_get('/many-headers?n=4900&name=a'));

	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $many", 'so is one with 4900 headers');
	is($node->safe_psql('postgres', "SELECT length(result -> 'headers' ->> 'a') FROM defer.jobs WHERE id = $many"),
		2 * 4899, 'which are all kept');
	cmp_ok($peak->() - $before, '<', 16 * 1024, 'without much memory (kB)');
	$node->safe_psql('postgres', "SELECT defer.cancel($hanging, force => true)");
	settled($node, 'all end');
	$node->safe_psql('postgres', 'TRUNCATE defer.job_history, defer.attempt');
	$http->clear;
}

# ------------------------------------------------------------------------
# The sender goes, the server goes
# ------------------------------------------------------------------------
post('terminated', 200);
under_way('terminated', 'pg_terminate_backend');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'defer sender'});
all_arrived('terminated', 200, 'pg_terminate_backend');

for my $round (1 .. 3)
{
	post("kill$round", 200);
	under_way("kill$round", "kill -9, $round");
	kill('KILL', sender_pid());
	$node->poll_query_until('postgres', 'SELECT true');
	all_arrived("kill$round", 200, "kill -9, $round");
}
for my $round (1 .. 5)
{
	post("immediate$round", 200);
	under_way("immediate$round", "immediate stop, $round");
	usleep(int(rand(100_000)));
	$node->stop('immediate');
	$node->start;
	all_arrived("immediate$round", 200, "immediate stop, $round");
}
for my $round (1 .. 2)
{
	post("fast$round", 200);
	under_way("fast$round", "fast stop, $round");
	$node->stop('fast');
	$node->start;
	all_arrived("fast$round", 200, "fast stop, $round");
}

# ------------------------------------------------------------------------
# Peers that hang
# ------------------------------------------------------------------------

# Has the job this state?
sub state_of
{
	my ($id, $database) = @_;

	return $node->safe_psql($database // 'postgres', "SELECT state FROM defer.jobs WHERE id = $id");
}

# A job of that path that is under way
sub hanging
{
	my ($what, $path, $database) = @_;
	my $id = $node->safe_psql($database // 'postgres',
		"SELECT defer.http('POST', " . quoted($http->url($path)) . ", 'x'::text, timeout => '1 hour', max_attempts => 1)");
	my ($name) = split /\?/, $path;

	$http->wait_for_requests(1, $name, "$what: it has been sent");
	return $id;
}

# A thousand of them, and a healthy one gets through; by a sender that does not
# know the host yet
$node->restart;
$node->safe_psql('postgres', "SELECT count($hang) FROM generate_series(1, 1000)");
$http->wait_for_requests(1000, '/hang', 'a thousand peers hang');
my $healthy = $node->safe_psql('postgres', q{SELECT defer.http('GET', } . quoted($http->url('/record?tag=healthy')) . ')');
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $healthy", 'a healthy one is delivered');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE state = 'running'}), '1000', 'while they hang');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'defer sender' AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)}),
	'0', 'no transaction is open meanwhile');
is($node->safe_psql('postgres', q{
	WITH running AS MATERIALIZED (SELECT id FROM defer.jobs WHERE state = 'running')
	SELECT count(*) FROM running WHERE defer.cancel(id, force => true)}), '1000', 'all of them are cancelled');
settled($node, 'and end');
is($node->safe_psql('postgres', q{SELECT state, count(*) FROM defer.jobs GROUP BY 1 ORDER BY 1}), "cancelled|1000\nsucceeded|1",
	'as cancelled');
$node->safe_psql('postgres', 'TRUNCATE defer.job_history, defer.attempt');

# Cancelled, whatever the peer is at
for my $path ('/hang', '/drip?ms=10', '/drip-headers?ms=10', '/hang-after-headers', '/slow?ms=10000000')
{
	$http->clear;
	my $id = hanging("cancel of $path", $path);

	is($node->safe_psql('postgres', "SELECT defer.cancel($id, force => true)"), 't', "cancel of $path: told");
	until_ok($node, "SELECT state = 'cancelled' FROM defer.jobs WHERE id = $id", "cancel of $path: cancelled");
	$http->wait_for_events(1, 'close', "cancel of $path: the connection is closed");
}

# Nobody who wants something of the database has to wait
for my $stop ('fast', 'immediate')
{
	$http->clear;
	my $id = hanging("$stop stop", '/hang');
	my $begun = time();

	$node->stop($stop);
	note(sprintf('%s stop while a peer hangs: %.2f s', $stop, time() - $begun));
	$node->start;
	$http->wait_for_requests(2, '/hang', "$stop stop: sent again");
	my %keys = map { $_->{key} => 1 } $http->requests('/hang');

	is(scalar(keys %keys), 1, "$stop stop: under the same key");
	$node->safe_psql('postgres', "SELECT defer.cancel($id, force => true)");
	settled($node, "$stop stop: it ends");
}
{
	# the postmaster goes, and the sender notices by itself
	$http->clear;
	my $id = hanging('kill -9 of the postmaster', '/hang');
	my $sender = sender_pid();
	my $until = time() + $PostgreSQL::Test::Utils::timeout_default;

	$node->kill9;
	usleep(20_000) while kill(0, $sender) && time() < $until;
	ok(!kill(0, $sender), 'kill -9 of the postmaster: the sender is gone');
	$node->start;
	$http->wait_for_requests(2, '/hang', 'kill -9 of the postmaster: sent again');
	$node->safe_psql('postgres', "SELECT defer.cancel($id, force => true)");
	settled($node, 'kill -9 of the postmaster: it ends');
}

sub sql_ok
{
	my ($sql, $what, $database) = @_;
	my ($out, $err);

	is($node->psql($database // 'postgres', $sql, stdout => \$out, stderr => \$err), 0, $what) or diag($err);
	return;
}

$node->safe_psql('postgres', 'CREATE DATABASE used');
$node->safe_psql('used', 'CREATE EXTENSION defer');
$http->clear;
hanging('database', '/hang', 'used');
sql_ok('ALTER DATABASE used RENAME TO renamed', 'a database is renamed in mid-transfer');
$http->wait_for_requests(2, '/hang', 'renamed: sent again');
sql_ok('CREATE DATABASE copied TEMPLATE renamed', 'a database is copied in mid-transfer');
$http->wait_for_requests(3, '/hang', 'the original: sent again');
is($node->safe_psql('copied', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'copied' AND backend_type = 'defer sender'}), '0',
	'nothing is sent from the copy');
sql_ok('DROP EXTENSION defer', 'the extension is dropped in mid-transfer', 'renamed');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'defer sender' AND datname = 'renamed')},
	'its sender is gone');
$node->safe_psql('renamed', 'CREATE EXTENSION defer');
$http->clear;
hanging('extension made again', '/hang', 'renamed');
sql_ok('DROP DATABASE renamed', 'a database is dropped in mid-transfer');
sql_ok('DROP DATABASE copied', 'and so is the copy');
my %keys = map { $_->{key} => 1 } $http->requests('/hang');

is(scalar(keys %keys), 1, 'nothing else was sent');

# A role that goes while its delivery is under way
$node->safe_psql('postgres', 'TRUNCATE defer.job_history, defer.attempt');
$http->clear;
$node->safe_psql('postgres', q{
	CREATE ROLE gone LOGIN;
	GRANT USAGE ON SCHEMA defer TO gone;
	GRANT EXECUTE ON FUNCTION defer.http TO gone;
	SET ROLE gone;
	SELECT defer.http('POST', } . quoted($http->url('/flaky?n=1000')) . q{, 'x'::text, max_attempts => 1000,
		initial_interval => '20 ms', max_interval => '20 ms');
	SELECT defer.http('POST', } . quoted($http->url('/record?tag=later')) . q{, 'x'::text, delay => '1 day')});
$http->wait_for_requests(2, '/flaky', 'those of a role are sent');
$node->safe_psql('postgres', 'REVOKE EXECUTE ON FUNCTION defer.http FROM gone');
$node->safe_psql('postgres', q{SELECT defer.reschedule(id, clock_timestamp()) FROM defer.jobs WHERE state = 'scheduled'});
settled($node, 'without the right they end');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE state = 'failed' AND error LIKE 'permission denied%'}), '2',
	'and say why');
$node->safe_psql('postgres', 'REVOKE USAGE ON SCHEMA defer FROM gone; DROP ROLE gone');
is(scalar($http->requests('/record')), 0, 'and nothing is sent');

# An endpoint that goes, and a queue that cannot
$node->safe_psql('postgres', 'TRUNCATE defer.job_history, defer.attempt');
$http->clear;
$node->safe_psql('postgres', q{SELECT defer.create_queue('in_use'), defer.endpoint('short_lived', 'http', } . quoted($http->url('')) . ')');
my $options = q{endpoint => 'short_lived', queue => 'in_use', timeout => '1 hour', max_attempts => 1};
my $under_way = $node->safe_psql('postgres', "SELECT defer.http('POST', '/hang', 'x'::text, $options)");
my $queued = $node->safe_psql('postgres', "SELECT defer.http('POST', '/record?tag=gone', 'x'::text, delay => '1 hour', $options)");
my ($out, $err);

$http->wait_for_requests(1, '/hang', 'endpoint: a delivery is under way');
$node->psql('postgres', q{SELECT defer.drop_queue('in_use')}, stdout => \$out, stderr => \$err);
like($err, qr/cannot be dropped because it is in use/, 'queue: it has jobs, one of which runs');
sql_ok(q{SELECT defer.drop_endpoint('short_lived')}, 'endpoint: it is dropped');
$node->safe_psql('postgres', "SELECT defer.reschedule($queued)");
until_ok($node, "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $queued", 'endpoint: what was queued ends');
like($node->safe_psql('postgres', "SELECT state || ': ' || error FROM defer.jobs WHERE id = $queued"), qr/^failed: .*"short_lived" does not exist/,
	'endpoint: and says why');
is(state_of($under_way), 'running', 'endpoint: what was under way goes on');
$node->safe_psql('postgres', "SELECT defer.cancel($under_way, force => true)");
settled($node, 'endpoint: and can be cancelled');
sql_ok(q{SELECT defer.drop_queue('in_use')}, 'queue: without jobs it is dropped');
is(scalar($http->requests('/record')), 0, 'endpoint: nothing else was sent');

# An endpoint that goes and comes back as one of another kind
my @turned = map { $node->safe_psql('postgres', $_) } (
	q{SELECT defer.endpoint('web', 'http', } . quoted($http->url('')) . q{), defer.endpoint('team', 'slack', } . quoted($http->url('/record')) . q{),
		defer.endpoint('post', 'email', 'smtp://127.0.0.1:1', sender => 'a@example.com')},
	q{SELECT defer.http('POST', '/record', 'x'::text, endpoint => 'web', delay => '1 hour')},
	q{SELECT defer.slack('team', 'x', delay => '1 hour')},
	q{SELECT defer.email('b@example.com', 's', 'b', endpoint => 'post', delay => '1 hour')});
shift @turned;
$node->safe_psql('postgres', q{SELECT defer.drop_endpoint(name) FROM defer.endpoints});
$node->safe_psql('postgres', q{SELECT defer.endpoint('web', 'email', 'smtp://127.0.0.1:1'), defer.endpoint('team', 'http', } . quoted($http->url('')) . q{),
	defer.endpoint('post', 'slack', } . quoted($http->url('/record')) . ')');
$node->safe_psql('postgres', "SELECT defer.reschedule($_)") for @turned;
settled($node, 'endpoint of another kind: all that was queued ends');
is($node->safe_psql('postgres', q{SELECT state || ': ' || error FROM defer.jobs WHERE id IN (} . join(', ', @turned) . ') ORDER BY id'),
	join("\n", map { "failed: endpoint $_" } '"web" is of kind email, not http', '"team" is of kind http, not slack', '"post" is of kind slack, not email'),
	'endpoint of another kind: and says why');
is(scalar($http->requests('/record')), 0, 'endpoint of another kind: nothing was sent');

my @crashes = slurp_file($node->logfile) =~ /^.*(?:PANIC:|TRAP:|terminated by signal (?:4|6|7|8|11)\b).*$/mg;

is(join("\n", @crashes), '', 'no crash of ours');
$node->stop;
done_testing();
