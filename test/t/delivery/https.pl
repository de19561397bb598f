# HTTP deliveries: TLS and its certificates, HTTP/2, what a request carries, the
# signature of Standard Webhooks, messages to Slack, connections used again.
use strict;
use warnings;

use DeferTest;
use Deliveries;
use Digest::SHA qw(hmac_sha256);
use JSON::PP;
use MIME::Base64;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $missing = Peers::missing('http');
plan skip_all => "$missing is not there" if $missing;

my $http = Peers->http;
my $node = delivery_server('main', "defer.http_ca_file = '" . Peers::ca() . "'");
my $quick = $Deliveries::quick;

sub url_of
{
	my ($host, $port, $path) = @_;

	return quoted("https://$host:" . $http->port($port) . $path);
}

# ------------------------------------------------------------------------
# Certificates
# ------------------------------------------------------------------------
my @tls = (
	{ name => 'a good certificate', call => 'defer.http(\'GET\', ' . url_of('localhost', 'https', '/status/200') . ", max_attempts => 1)",
		state => 'succeeded', status => 200 },
	map { {
		name => $_->[0], call => 'defer.http(\'GET\', ' . url_of('localhost', $_->[1], '/record?tls') . ", max_attempts => 2, $quick)",
		state => 'failed', attempt => 2, sqlstate => '08006', error => qr/certificate/i } }
	  [ 'an expired certificate', 'https_expired' ],
	  [ 'one of tomorrow', 'https_future' ],
	  [ 'one of another host', 'https_wrong_host' ],
	  [ 'a self-signed one', 'https_self_signed' ]);
push @tls, {
	name => 'not TLS at all', call => "defer.http('GET', " . quoted('https://localhost:' . $http->port('http') . '/record?tls') . ", max_attempts => 1)",
	state => 'failed', sqlstate => '08006' };
send_all($node, @tls);
check_all($node, @tls);
is(scalar(grep { $_->{target} eq '/record?tls' } $http->requests), 0, 'nothing was sent to a peer that cannot prove who it is');

# Nobody who sends can change that
for my $role ('defer.http_ca_file', 'defer.http_allow', 'defer.smtp_url')
{
	my ($ret, undef, $stderr) = $node->psql('postgres', "SET $role = ''");
	isnt($ret, 0, "$role cannot be set in a session");
}

# ------------------------------------------------------------------------
# HTTP/2
# ------------------------------------------------------------------------
SKIP:
{
	my $h2 = Peers->http2;
	skip 'nghttpd is not there', 3 unless $h2;
	my $url = quoted('https://localhost:' . $h2->port('https') . '/record');
	my $ids = $node->safe_psql('postgres',
		"SELECT string_agg(defer.http('GET', $url)::text, ',') FROM generate_series(1, 20)");

	until_ok($node, "SELECT count(*) = 20 FROM defer.jobs WHERE id IN ($ids) AND state = 'succeeded'", 'twenty over HTTP/2');
	like($h2->text, qr/:method: GET/, 'as frames of HTTP/2');
	like($h2->text, qr/idempotency-key: [0-9a-f-]{36}-\d+/, 'with their keys');
}

# ------------------------------------------------------------------------
# What a request carries
# ------------------------------------------------------------------------
my $secret = 'whsec_' . encode_base64('0123456789abcdef0123456789abcdef', '');
my $base = $http->url('/record');
$node->safe_psql('postgres', qq{
SELECT defer.endpoint('signed', 'http', '$base', secret => '$secret');
SELECT defer.endpoint('plain', 'http', '$base', secret => 'a secret of its own',
	headers => '{"Authorization": "Bearer token", "X-From": "endpoint"}');
SELECT defer.endpoint('basic', 'http', '$base', username => 'user', password => 'pass');
SELECT defer.endpoint('team', 'slack', '$base?slack')});
$http->clear;
my %sent = (
	signed => q{defer.http('POST', '?signed', '{"a": "ü"}'::json, endpoint => 'signed')},
	plain => q{defer.http('PUT', '?plain', 'text', '{"X-From": "job", "X-Job": "yes", "authorization": "mine"}', endpoint => 'plain')},
	basic => q{defer.http('GET', '?basic', endpoint => 'basic')},
	binary => "defer.http('POST', " . quoted("$base?binary") . q{, '\x00ff0a'::bytea)},
	own => "defer.http('DELETE', " . quoted("$base?own") . q{, headers => '{"Idempotency-Key": "own", "X-Empty": ""}')},
	slack => q{defer.slack('team', 'a <b> & "c"', '[{"type": "divider"}]')});
my @cases = map { { name => $_, call => $sent{$_}, state => 'succeeded', attempt => 1 } } sort keys %sent;
send_all($node, @cases);
check_all($node, @cases);
$http->wait_for_requests(6, '/record', 'all have arrived');
my %got = map { $_->{target} =~ /\?(\w+)$/ ? ($1 => $_) : () } $http->requests('/record');
my %id = map { $_->{name} => $_->{id} } @cases;
my $installation = $node->safe_psql('postgres', 'SELECT id FROM defer.installation');

is($got{signed}{body}, "{\"a\": \"\xc3\xbc\"}", 'json as it was written, in UTF-8');
is($got{signed}{headers}{'content-type'}, 'application/json', 'and called so');
for my $name ('signed', 'plain')
{
	my $headers = $got{$name}{headers};
	my $key = $name eq 'signed' ? '0123456789abcdef0123456789abcdef' : 'a secret of its own';
	my $signature = encode_base64(hmac_sha256("$headers->{'webhook-id'}.$headers->{'webhook-timestamp'}.$got{$name}{body}", $key), '');

	is($headers->{'webhook-id'}, "$installation-$id{$name}", "$name: id");
	cmp_ok(abs($headers->{'webhook-timestamp'} - time()), '<', 300, "$name: time");
	is($headers->{'webhook-signature'}, "v1,$signature", "$name: signature");
}
is($got{plain}{headers}{authorization}, 'Bearer token', 'the credentials of an endpoint cannot be replaced by a job');
is($got{plain}{headers}{'x-from'}, 'endpoint', 'nor other headers of it');
is($got{plain}{headers}{'x-job'}, 'yes', 'a job adds its own');
is($got{plain}{method}, 'PUT', 'method');
is($got{plain}{headers}{'content-type'}, 'text/plain; charset=utf-8', 'text is called so');
is($got{basic}{headers}{authorization}, 'Basic ' . encode_base64('user:pass', ''), 'user and password');
is($got{binary}{body}, "\x00\xff\x0a", 'bytes');
is($got{binary}{headers}{'idempotency-key'}, "$installation-$id{binary}", 'the key is of this installation and job');
is($got{own}{headers}{'idempotency-key'}, 'own', 'a key of one\'s own');
is($got{own}{headers}{'x-empty'}, '', 'an empty header');
ok(!exists $got{basic}{headers}{'webhook-signature'}, 'no signature without a secret');
my $slack = decode_json($got{slack}{body});
is($slack->{text}, 'a <b> & "c"', 'Slack: the text as it is');
is($slack->{blocks}[0]{type}, 'divider', 'Slack: blocks');
is($got{slack}{method}, 'POST', 'Slack: a POST');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM defer.jobs
	WHERE args::text ~ 'whsec|Bearer|pass|a secret' OR result::text ~ 'whsec|Bearer|pass|a secret'}), '0', 'no secret is in a job');

# Connections are kept for the next
$http->clear;
for my $round (1 .. 5)
{
	my $id = $node->safe_psql('postgres', "SELECT defer.http('GET', " . quoted("$base?again") . ')');

	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", "delivery $round");
}
my %connections = map { $_->{connection} => 1 } $http->requests('/record');
is(scalar(keys %connections), 1, 'one after the other over the same connection');
$node->stop;
done_testing();
