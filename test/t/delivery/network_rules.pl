# Which addresses deliveries may reach: only public ones, unless the administrator
# says otherwise, and whatever a name resolves to at the moment; and names that do not
# resolve at all.
#
# The server runs with a network of our own (test/modules/net_shim.c): 8.8.8.8 leads
# to 127.0.0.2, and each attempt to connect is written down.
use strict;
use warnings;

use DeferTest;
use Deliveries;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $missing = Peers::missing('http');
plan skip_all => "$missing is not there" if $missing;

my $http = Peers->http(hosts => [ '127.0.0.1', '127.0.0.2', '::1' ]);
my $port = $http->port('http');
my $shim = test_library('net_shim') . '.so';
my $shim_log = PostgreSQL::Test::Utils::tempdir() . '/shim.log';
my $once = q{max_attempts => 1, timeout => '20 s', connect_timeout => '5 s'};

my $shim_go = PostgreSQL::Test::Utils::tempdir() . '/go';

append_to_file($shim_log, '');
$ENV{NET_SHIM_LOG} = $shim_log;
$ENV{NET_SHIM_GO} = $shim_go;
# of the environment of whoever starts the server: not for deliveries
$ENV{ lc $_ } = $ENV{$_} = 'http://127.0.0.1:' . $http->port('deaf') for qw(HTTP_PROXY HTTPS_PROXY ALL_PROXY);
$ENV{LD_PRELOAD} = $shim;
my $node = delivery_server('main', "defer.http_allow = ''");

sub get
{
	my ($url, $options) = @_;

	return "defer.http('GET', " . quoted($url) . ", $once" . ($options ? ", $options" : '') . ')';
}

# Addresses that the server tried to connect to since the last call
my $seen = 0;
sub connects
{
	my @lines = grep { /^connect / } split /\n/, substr(slurp_file($shim_log), $seen);

	$seen = -s $shim_log;
	return map { s/^connect //r } @lines;
}

# Either the call is an error, or the job fails at once
sub nowhere
{
	my ($what, @calls) = @_;
	my @ids;
	my $refused = 0;

	connects();
	$http->clear;
	for my $call (@calls)
	{
		my ($out, $err);

		if ($node->psql('postgres', "SELECT $call", stdout => \$out, stderr => \$err) == 0)
		{
			push @ids, $out;
		}
		else
		{
			$refused++;
		}
	}
	settled($node, "$what: all of them end");
	for my $id (@ids)
	{
		my ($state, $attempt, $url, $error) = split /\|/, $node->safe_psql('postgres',
			"SELECT state, attempt, args ->> 'url', error FROM defer.jobs WHERE id = $id"), 4;

		is("$state after $attempt", 'failed after 1', "$what: $url fails") or diag($error);
	}
	note("$what: $refused refused at the call");
	return;
}

# ------------------------------------------------------------------------
# Public is allowed, everything else is not
# ------------------------------------------------------------------------
my @public = map { {
	name => $_, call => get($_), state => 'succeeded', status => 200 } } (
	"http://8.8.8.8:$port/record", "http://public.test:$port/record", "http://PUBLIC.test:$port/record",
	"http://0x08080808:$port/record", "http://134744072:$port/record");
send_all($node, @public);
check_all($node, @public);
is(scalar($http->requests('/record')), scalar(@public), 'public addresses are reached, and through no proxy');
is(join(' ', grep { $_ ne '8.8.8.8' } connects()), '', 'and nothing else');

my @forms = (
	# loopback, in all the ways that it can be written
	qw(127.0.0.1 127.0.0.2 127.255.255.254 127.1 127.0.1 2130706433 0x7f000001 0x7f.1 0x7f.0.0.1 017700000001 0177.0.0.1
	  0177.1 127.0.0.01 localhost LOCALHOST localhost. private.test
	  0.0.0.0 0 0x0 0.1.2.3 [::] [::1] [0:0:0:0:0:0:0:1] [::0001] six.test
	  [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:0:127.0.0.1] mapped.test [::127.0.0.1] [::7f00:1] [::ffff:0.0.0.0]
	  [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:7f00:1::1] [2001::7f00:1]),
	# private, link-local, and others of which the server should have no business
	qw(10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255 167772161 lan.test
	  169.254.0.1 169.254.169.254 169.254.170.2 2852039166 meta.test 100.64.0.1 100.127.255.255 192.0.0.1 192.0.2.1
	  198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
	  [fe80::1] [febf::1] [fec0::1] [fc00::1] [fd00::1] [fd00:ec2::254] [ff02::1] [ff0e::1] [100::1] [2001:db8::1]
	  [::ffff:10.0.0.1] [::ffff:169.254.169.254] [64:ff9b::a00:1] [64:ff9b::a9fe:a9fe] [2002:a00:1::1] [2002:c0a8:1::]),
	# that a parser may read in two ways
	'8.8.8.8@127.0.0.1', '127.0.0.1#@8.8.8.8', '8.8.8.8\\@127.0.0.1', "127.0.0.1\\.8.8.8.8", '127.0.0.1%00.public.test',
	"\x{e2}\x{91}\x{a0}\x{e2}\x{91}\x{a1}\x{e2}\x{91}\x{a6}.0.0.1", "127\x{e3}\x{80}\x{82}0\x{e3}\x{80}\x{82}0\x{e3}\x{80}\x{82}1",
	"\x{ef}\x{bc}\x{91}27.0.0.1", '[::1%25lo]', '[fe80::1%25lo]');
nowhere('by address', map { get("http://$_:$port/record") } @forms);
is(join(' ', connects()), '', 'by address: no socket is ever connected');
is(scalar($http->events('connect')), 0, 'by address: nobody arrives');

# What fails there says why
{
	my $id = $node->safe_psql('postgres', 'SELECT ' . get("http://127.0.0.1:$port/record"));

	settled($node, 'a refused one ends');
	like($node->safe_psql('postgres', "SELECT error FROM defer.jobs WHERE id = $id"), qr/: the address of the host is not allowed$/,
		'the message says why');
	like($node->safe_psql('postgres', "SELECT detail FROM defer.attempts WHERE job_id = $id"), qr/defer\.http_allow/,
		'and what the administrator can do');
	ok($node->wait_for_log(qr/delivery of job $id was refused: address 127\.0\.0\.1 is neither public nor/), 'who is told the address');
}

# ------------------------------------------------------------------------
# Names that change, and redirects
# ------------------------------------------------------------------------
$http->clear;
my @rebind = map { $node->safe_psql('postgres',
	"SELECT defer.http('GET', 'http://rebind.test:$port/status/503', max_attempts => 6, initial_interval => '20 ms',
		max_interval => '50 ms', headers => '{\"X-Number\": \"$_\"}')") } 1 .. 3;
settled($node, 'a name that changes: all of them end');
is(join(' ', grep { $_ ne '127.0.0.2' } map { $_->{server} } $http->events('connect')), '',
	'a name that changes: only its public address is ever reached');
is(join(' ', grep { $_ ne '8.8.8.8' } connects()), '', 'a name that changes: no other is tried');

my $mixed = { name => 'a name with both', call => get("http://mixed.test:$port/record"), state => qr/^(succeeded|failed)$/ };
$http->clear;
send_all($node, $mixed);
check_all($node, $mixed);
is(join(' ', grep { $_ ne '8.8.8.8' } connects()), '', 'a name with both: the private one is not tried');

nowhere('redirect', map { get("http://8.8.8.8:$port/redirect?to=$_", 'follow_redirects => 5') } (
	map { "http://$_:$port/record" } '127.0.0.1', 'private.test', '[::1]', '2130706433', '0.0.0.0', '169.254.169.254', 'lan.test',
	'[::ffff:127.0.0.1]', 'mapped.test', 'meta.test', 'localhost'));
is(join(' ', grep { $_ ne '8.8.8.8' } connects()), '', 'redirect: the private address is not tried');
is(scalar($http->requests('/record')), 0, 'redirect: nothing arrives');
my $followed = { name => 'redirect to a public address', call => get("http://8.8.8.8:$port/redirect?to=http://public.test:$port/record",
	'follow_redirects => 1'), state => 'succeeded', body => "recorded\n" };
send_all($node, $followed);
check_all($node, $followed);

# ------------------------------------------------------------------------
# The same for endpoints, of all kinds
# ------------------------------------------------------------------------
$node->safe_psql('postgres', qq{
	SELECT defer.endpoint('web', 'http', 'http://private.test:$port/record'),
		defer.endpoint('team', 'slack', 'http://127.0.0.1:$port/record'),
		defer.endpoint('post', 'email', 'smtp://127.0.0.1:$port', sender => 'a\@example.org'),
		defer.endpoint('host', 'http', 'http://8.8.8.8:$port')});
nowhere('endpoint', "defer.http('GET', NULL, endpoint => 'web', $once)", q{defer.slack('team', 'x', max_attempts => 1)},
	q{defer.email('b@example.org', 's', 'b', endpoint => 'post', max_attempts => 1)});
is(join(' ', connects()), '', 'endpoint: no socket is ever connected');
# what comes after an endpoint's URL does not change the host
nowhere('path', map { "defer.http('GET', " . quoted($_) . ", endpoint => 'host', $once)" }
	'@127.0.0.1/record', ':80@127.0.0.1/record', '.private.test/record', "?x\@private.test/", "/\\\@127.0.0.1/");
is(join(' ', grep { $_ ne '8.8.8.8' } connects()), '', 'path: the host stays');

# ------------------------------------------------------------------------
# What the administrator allows
# ------------------------------------------------------------------------
$node->safe_psql('postgres', q{ALTER SYSTEM SET defer.http_allow = '127.0.0.1, ::1/128'});
$node->reload;
until_ok($node, q{SELECT pg_catalog.current_setting('defer.http_allow') <> ''}, 'allowed');
my @allowed = (
	(map { { name => $_, call => get("http://$_:$port/record"), state => 'succeeded' } }
		'127.0.0.1', '[::1]', 'private.test', '2130706433', 'six.test', '8.8.8.8'),
	(map { { name => $_, call => get("http://$_:$port/record"), state => 'failed', error => qr/is not allowed/ } }
		'127.0.0.2', '10.0.0.1', '169.254.169.254'));
send_all($node, @allowed);
check_all($node, @allowed);
$node->safe_psql('postgres', q{ALTER SYSTEM SET defer.http_allow = ''});
$node->reload;
until_ok($node, q{SELECT pg_catalog.current_setting('defer.http_allow') = ''}, 'not allowed any more');
# an open connection to there must not be used on
nowhere('not allowed any more', get("http://127.0.0.1:$port/record"), get("http://[::1]:$port/record"));
is(scalar($http->requests('/record')), 0, 'not allowed any more: nothing arrives');
# ------------------------------------------------------------------------
# A name server that does not answer
# ------------------------------------------------------------------------

# Hanging names: those whose lookup has begun, those whose lookup is over.  From libcurl
# 8.20 on a name is looked up twice at the same time, once for each kind of address.
sub lookups
{
	my ($word) = @_;
	my %names = map { $_ => 1 } slurp_file($shim_log) =~ /^$word (.*\.hang\.test)$/mg;

	return scalar keys %names;
}

sub wait_for_lookups
{
	my ($n, $what) = @_;

	for (1 .. 50 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if lookups('resolve') >= $n;
		select(undef, undef, undef, 0.02);
	}
	is(lookups('resolve'), $n, $what);
	return;
}

my $ended = q{SELECT count(*) >= %d FROM defer.jobs WHERE state = 'failed' AND metadata ->> 'hangs' = '%s'};
my $short = q{timeout => '1 s', max_attempts => 1};
$node->safe_psql('postgres', qq{SELECT defer.endpoint('far', 'email', 'smtp://mail.hang.test', sender => 'a\@example.org');
	SELECT defer.http('GET', 'http://web.hang.test/', $short, metadata => '{"hangs": "one"}');
	SELECT defer.email('b\@example.org', 's', 'b', endpoint => 'far', $short, metadata => '{"hangs": "one"}')});
wait_for_lookups(2, 'hanging name: two are looked up');
until_ok($node, sprintf($ended, 2, 'one'), 'hanging name: the deliveries end all the same');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT outcome, ' ') FROM defer.attempts
	WHERE job_id IN (SELECT id FROM defer.jobs WHERE metadata ? 'hangs')}), 'timed_out', 'hanging name: by their time-out');
my $other = { name => 'hanging name: another delivery', call => get("http://public.test:$port/record"), state => 'succeeded' };
send_all($node, $other);
check_all($node, $other);
is(lookups('resolved'), 0, 'hanging name: and the lookups still hang');

# They count as deliveries: of four, two may be one role's
$node->safe_psql('postgres', q{ALTER SYSTEM SET defer.max_deliveries = 4;
	CREATE ROLE other LOGIN; GRANT USAGE ON SCHEMA defer TO other; GRANT EXECUTE ON FUNCTION defer.http TO other});
$node->reload;
until_ok($node, q{SELECT pg_catalog.current_setting('defer.max_deliveries') = '4'}, 'four deliveries at most');
$node->safe_psql('postgres', qq{SELECT count(defer.http('GET', 'http://n' || n || '.hang.test/', $short,
	metadata => '{"hangs": "many"}')) FROM generate_series(1, 10) n});
$other = $node->safe_psql('postgres', 'SELECT ' . get("http://public.test:$port/record"), extra_params => [ '-U', 'other' ]);
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $other", 'hanging names: there is room for another role');
is(lookups('resolve') . ' ' . lookups('resolved'), '2 0', 'hanging names: all lookups still hang, and there is no other');
append_to_file($shim_go, '');
settled($node, 'hanging names: when they do not hang any more all goes on');
is(lookups('resolved'), 12, 'hanging names: each was looked up');

# libcurl looks names up in at most so many threads at a time (20, if nobody says more)
unlink $shim_go;
$node->safe_psql('postgres', q{ALTER SYSTEM RESET defer.max_deliveries});
$node->reload;
until_ok($node, q{SELECT pg_catalog.current_setting('defer.max_deliveries') <> '4'}, 'more deliveries');
$node->safe_psql('postgres', q{SELECT count(defer.http('GET', 'http://p' || n || '.hang.test/', timeout => '120 s',
	max_attempts => 1)) FROM generate_series(1, 30) n});
wait_for_lookups(42, 'thirty hanging names: all are looked up');
$other = $node->safe_psql('postgres', 'SELECT ' . get("http://public.test:$port/record"), extra_params => [ '-U', 'other' ]);
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $other", 'thirty hanging names: another role looks its own up');
append_to_file($shim_go, '');
settled($node, 'thirty hanging names: all goes on');

# ------------------------------------------------------------------------
# Rights
# ------------------------------------------------------------------------
refused($node, get("http://8.8.8.8:$port/record"), qr/permission denied for function/, 'without a grant nobody sends',
	extra_params => [ '-U', 'nobody_special' ]) if $node->safe_psql('postgres',
	'CREATE ROLE nobody_special LOGIN; GRANT USAGE ON SCHEMA defer TO nobody_special; SELECT true');
$node->stop;
done_testing();
