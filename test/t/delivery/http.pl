# HTTP deliveries to a server that answers in all the ways that there are.
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

my $http = Peers->http(full => 1);
my $node = delivery_server('main', "defer.http_ca_file = '" . Peers::ca() . "'");
my $quick = $Deliveries::quick;

# defer.http() as SQL
sub call
{
	my ($path, $options, $port) = @_;

	return "defer.http('POST', " . quoted($http->url($path, $port)) . ", 'body'::text"
	  . ($options ? ", $options" : '') . ')';
}

# Rows: path, options, state, attempts, more
sub cases
{
	return map { {
		name => $_->[0], call => call($_->[0], $_->[1], $_->[5]),
		state => $_->[2], attempt => $_->[3], %{ $_->[4] // {} } } } @_;
}

my $twice = "max_attempts => 2, $quick";
my $short = "max_attempts => 1, timeout => '300 ms'";

# ------------------------------------------------------------------------
# Whole answers
# ------------------------------------------------------------------------
my @answers = cases(
	(map { [ "/status/$_", $twice, 'succeeded', 1, { status => $_ } ] } 200, 201, 202, 204, 206, 299),
	(map { [ "/status/$_", $twice, 'failed', 1, { error => qr/$_/ } ] }
		300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 422, 451, 499),
	(map { [ "/status/$_", $twice, 'failed', 2, { error => qr/$_/ } ] }
		408, 425, 429, 500, 502, 503, 504, 507, 599),
	[ '/status/200?body=some%20text', $twice, 'succeeded', 1, { body => 'some text' } ],
	[ '/flaky?n=2', "max_attempts => 5, $quick", 'succeeded', 3, { body => "at last\n" } ],
	[ '/flaky?n=2&status=429', "max_attempts => 5, $quick", 'succeeded', 3 ],
	[ '/early-hints', $twice, 'succeeded', 1, { status => 200, body => "hinted\n" } ],
	[ '/http10', $twice, 'succeeded', 1, { body => "until the end\n" } ],
	[ '/bytes?n=5000&chunked=1', $twice, 'succeeded', 1, { body => qr/^(0123456789abcdef){312}01234567$/ } ],
	[ '/long', $twice, 'succeeded', 1, { body => 'longer' } ],
	[ '/cookie', $twice, 'succeeded', 1 ],
	[ '/many-headers?n=500', $twice, 'succeeded', 1 ],
	[ '/nul', $twice, 'succeeded', 1 ],
	[ '/slow?ms=300', $twice, 'succeeded', 1 ],
	# over TLS
	[ '/status/200', $twice, 'succeeded', 1, { status => 200 }, 'https' ],
	[ '/status/404', $twice, 'failed', 1, { error => qr/404/ }, 'https' ],

	# Broken ones
	[ '/short', $twice, 'failed', 2 ],
	[ '/bad-chunk', $twice, 'failed', 2 ],
	[ '/close', $twice, 'failed', 2 ],
	[ '/close?after=headers', $twice, 'failed', 2 ],
	[ '/reset', $twice, 'failed', 2 ],
	[ '/reset?after=headers', $twice, 'failed', 2 ],
	[ '/reset', $twice, 'failed', 2, {}, 'https' ],
	[ '/garbage', $twice, 'failed', 2 ],
	[ '/empty-line', $twice, 'failed', 2 ],
	[ '/nul-header', $twice, 'failed' ],
	[ '/huge-header?n=200000', $twice, 'failed' ],
	[ '/endless-headers', $twice, 'failed' ],
	[ '/continue-flood', $short, 'failed' ],
	[ '/status/200', $twice, 'failed', 2, { error => qr/connect/i }, 'closed' ],

	# Those that take for ever
	[ '/hang', $short, 'failed', 1, { error => qr/tim(e|ed)[ -]?out/i } ],
	[ '/hang', $twice . ", timeout => '200 ms'", 'failed', 2 ],
	[ '/hang-after-headers', $short, 'failed', 1, { error => qr/tim(e|ed)[ -]?out/i } ],
	[ '/drip?ms=20', $short, 'failed', 1, { error => qr/tim(e|ed)[ -]?out/i } ],
	[ '/drip-headers?ms=20', $short, 'failed', 1, { error => qr/tim(e|ed)[ -]?out/i } ],
	[ '/slow?ms=3000000', $short, 'failed', 1, { error => qr/tim(e|ed)[ -]?out/i } ],
	[ '/status/200', $short, 'failed', 1, { error => qr/tim(e|ed)[ -]?out/i }, 'deaf' ],
	$http->has_port('full')
	  ? [ '/status/200', "max_attempts => 1, connect_timeout => '300 ms'", 'failed', 1,
		  { error => qr/tim(e|ed)[ -]?out/i }, 'full' ] : (),
);

send_all($node, @answers);
check_all($node, @answers);

# A key for each job, the same for all its attempts
{
	my (%jobs, %keys);

	for my $request ($http->requests('/flaky'))
	{
		push @{ $keys{ $request->{target} }{ $request->{key} // '' } }, $request;
	}
	for my $target (sort keys %keys)
	{
		is(join(' ', map { scalar @$_ } values %{ $keys{$target} }), '3', "$target: one key, three attempts");
		unlike((keys %{ $keys{$target} })[0], qr/^$/, "$target: there is a key");
	}
	$jobs{ $_->{key} }++ for $http->requests('/status/200');
	is(scalar(keys %jobs), 3, 'each job has a key of its own');
	ok(!(grep { defined $_->{headers}{cookie} } $http->requests), 'no cookie is ever sent');
	is(scalar(grep { $_->{method} ne 'POST' || $_->{body} ne 'body' } $http->requests), 0,
		'each attempt sends all of it');
}

# ------------------------------------------------------------------------
# What is sent
# ------------------------------------------------------------------------
$http->clear;
my $record = quoted($http->url('/record'));
my @sent = map { { name => $_->[0], call => $_->[1], state => 'succeeded', attempt => 1, status => 200, want => $_->[2] } } (
	(map { [ $_, "defer.http('$_', $record)", { method => $_, body => '' } ] } qw(GET DELETE OPTIONS POST PUT PATCH)),
	[ 'a method in small letters', "defer.http('post', $record, 'x'::text)", { method => 'POST', body => 'x' } ],
	[ 'text', "defer.http('POST', $record, 'gr\x{c3}\x{bc}n'::text)", { body => "gr\x{c3}\x{bc}n" } ],
	[ 'JSON', qq{defer.http('POST', $record, '{"a": [1, null]}'::jsonb)},
		{ body => '{"a": [1, null]}', headers => { 'content-type' => 'application/json' } } ],
	[ 'bytea', q{defer.http('PUT', } . $record . q{, '\x00ff0d0a00'::bytea)}, { body => "\x00\xff\x0d\x0a\x00" } ],
	[ 'an empty body', "defer.http('POST', $record, ''::text)", { body => '' } ],
	[ 'headers', qq{defer.http('POST', $record, 'x'::text, headers => '{"X-One": "1", "x-empty": "", "Content-Type": "text/x-own"}')},
		{ headers => { 'x-one' => '1', 'x-empty' => '', 'content-type' => 'text/x-own' } } ],
	[ 'a query', "defer.http('GET', $record || '?a=b%20c&d=%27')", { query => { a => 'b c', d => q{'} } } ],
	[ 'a large body', "defer.http('POST', $record, repeat('0123456789', 50000))", { length => 500_000 } ]);
send_all($node, @sent);
check_all($node, @sent);
{
	my %by_key = map { $_->{key} => $_ } $http->requests('/record');

	for my $case (@sent)
	{
		my ($request) = grep { $_->{key} =~ /-$case->{id}\z/ } values %by_key;
		my $want = $case->{want};

		ok($request, "$case->{name}: arrived") or next;
		for my $what (grep { $_ ne 'headers' } sort keys %$want)
		{
			is_deeply($request->{$what}, $want->{$what}, "$case->{name}: $what");
		}
		is($request->{headers}{$_}, $want->{headers}{$_}, "$case->{name}: header $_")
		  for sort keys %{ $want->{headers} // {} };
	}
}

# ------------------------------------------------------------------------
# What is refused at the call
# ------------------------------------------------------------------------
my $host = $http->url('');
for my $url ('', 'nonsense', '/record', '//127.0.0.1/', 'http://', "$host/a b", "$host/\r\nX: y",
	"$host/\x01", 'ftp://127.0.0.1/', 'file:///etc/passwd', 'gopher://127.0.0.1/', 'smtp://127.0.0.1', 'dict://127.0.0.1/',
	'http://127.0.0.1:99999/', 'http://[::1/', "http://user:secret\@127.0.0.1/")
{
	refused($node, "defer.http('GET', " . quoted($url) . ')', qr/ERROR/, 'refused: URL "' . $url =~ s/[\x00-\x1f]/?/gr . '"');
}
for my $method ('', 'GET /x HTTP/1.1', "GET\r\nX: y", 'G@T', 'CONNECT', 'TRACE', 'x' x 100)
{
	refused($node, 'defer.http(' . quoted($method) . ", $record)", qr/ERROR/,
		'refused: method "' . $method =~ s/[\x00-\x1f]/?/gr . '"');
}
for my $headers ('[]', '"x"', '{"a": {}}', '{"a": ["b"]}', '{"": "x"}', '{"a b": "x"}', '{"a:": "x"}', '{"a": "x\r\ny: z"}',
	'{"a": "x\ny"}', '{"a\r\nb": "x"}', '{"Content-Length": "5"}', '{"Transfer-Encoding": "chunked"}', '{"Host": "other"}',
	'{"Connection": "close"}')
{
	refused($node, "defer.http('GET', $record, headers => " . quoted($headers) . ')', qr/ERROR/, "refused: headers $headers");
}
for my $options (q{timeout => '0'}, q{timeout => '-1 s'}, q{timeout => 'infinity'}, q{connect_timeout => '-1 s'},
	q{follow_redirects => -1}, q{max_response => -1}, q{endpoint => 'nobody'}, q{delay => '-1 s'}, q{queue => 'nobody'})
{
	refused($node, "defer.http('GET', $record, $options)", qr/ERROR/, "refused: $options");
}

# ------------------------------------------------------------------------
# Retry-After
# ------------------------------------------------------------------------
my @later = (
	# text, least and most seconds until the next attempt; the policy's own is 1 s
	[ '2', 2, 3 ], [ '0', 0, 1.5 ], [ '-5', 0, 1.5 ], [ '120', 120, 121 ], [ '1000000000000', 10, 7 * 86400 + 1 ],
	[ '99999999999999999999999999', 0, 7 * 86400 + 1 ], [ 'soon', 0, 1.5 ], [ '', 0, 1.5 ], [ '1.5', 0, 3 ], [ '2 s', 0, 3 ],
	[ '0x10', 0, 1.5 ], [ 'Thu, 01 Jan 1970 00:00:00 GMT', 0, 1.5 ], [ 'Fri, 31 Dec 9999 23:59:59 GMT', 0, 7 * 86400 + 1 ],
	[ 'Thu, 32 Foo 2026 25:61:61 GMT', 0, 1.5 ], [ "\x{c3}\x{bc}", 0, 1.5 ]);
my @waiting;
for my $row (@later)
{
	for my $status (429, 503)
	{
		my $value = join('', map { sprintf('%%%02x', ord) } split(//, $row->[0]));

		push @waiting, { row => $row, name => "Retry-After of $status: \"$row->[0]\"",
			call => call("/retry-after?value=$value&status=$status",
				q{max_attempts => 2, initial_interval => '1 s', randomization => 0}) };
	}
}
send_all($node, @waiting);
for my $case (@waiting)
{
	until_ok($node, "SELECT EXISTS (SELECT FROM defer.attempts WHERE job_id = $case->{id})", "$case->{name}: tried");
	my $seconds = $node->safe_psql('postgres', qq{
		SELECT extract(epoch FROM retry_at - finished_at) FROM defer.attempts
		 WHERE job_id = $case->{id} ORDER BY attempt LIMIT 1});
	my (undef, $least, $most) = @{ $case->{row} };

	ok($seconds ne '' && $seconds >= $least - 0.1 && $seconds <= $most + 0.5,
		"$case->{name}: retried within bounds") or diag("after $seconds s");
}
$node->safe_psql('postgres', 'SELECT defer.cancel(id) FROM defer.jobs WHERE finished_at IS NULL');
settled($node, 'those that wait can be cancelled');

# ------------------------------------------------------------------------
# Redirects
# ------------------------------------------------------------------------
$http->clear;
my $other = $http->url('/record', 'https');
my @redirects = cases(
	[ '/redirect?to=/record', $twice, 'failed', 1, { error => qr/302/ } ],
	[ '/redirect?to=/record', "$twice, follow_redirects => 0", 'failed', 1, { error => qr/302/ } ],
	[ '/redirect?to=/record', "$twice, follow_redirects => 1", 'succeeded', 1, { body => "recorded\n" } ],
	[ '/redirect-chain?n=3', "$twice, follow_redirects => 3", 'succeeded', 1 ],
	[ '/redirect-chain?n=4', "$twice, follow_redirects => 3", 'failed' ],
	[ '/redirect-loop', "$twice, follow_redirects => 5", 'failed' ],
	[ "/redirect?to=$other", "$twice, follow_redirects => 1", 'succeeded', 1 ],
	(map { [ "/redirect?to=$_", "$twice, follow_redirects => 3", 'failed' ] }
		'file:///etc/passwd', 'ftp://127.0.0.1/', 'gopher://127.0.0.1/', 'smtp://127.0.0.1/', 'nonsense://', 'http://',
		'dict://127.0.0.1/'));
send_all($node, @redirects);
check_all($node, @redirects);
is(scalar($http->requests('/record')), 3, 'followed only where asked for');

# ------------------------------------------------------------------------
# Size
# ------------------------------------------------------------------------
my @sizes = cases(
	[ '/bytes?n=1000', "$twice, max_response => 1000", 'succeeded', 1 ],
	(map { [ $_, "max_attempts => 1, max_response => 1000, timeout => '60 s'", 'ended', 1,
		{ check => sub { cmp_ok(length($_[0]{result}{body} // ''), '<=', 1000, 'body is capped'); } } ] }
		'/bytes?n=1001', '/bytes?n=10000000', '/bytes?n=10000000&chunked=1', '/endless', '/gzip?n=100000000'),
	[ '/endless', "max_attempts => 1, timeout => '60 s'", 'ended', 1 ]);
for my $case (@sizes) { $case->{state} = qr/^(succeeded|failed)$/ if $case->{state} eq 'ended'; }
send_all($node, @sizes);
check_all($node, @sizes);

# ------------------------------------------------------------------------
# Messages are text of the database's encoding, whatever is quoted and cut in them: or a
# dump could not be restored
# ------------------------------------------------------------------------
my $library = test_library();
$node->safe_psql('postgres', q{CREATE DATABASE utf8 TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'});
$node->safe_psql('utf8', qq{CREATE EXTENSION defer;
	CREATE FUNCTION half() RETURNS void LANGUAGE c AS '$library', 'half_a_character'});
# with one byte more in front another byte is the last
for my $before ('', 'x')
{
	for my $url ($http->url("/$before"), "http://127.0.0.1:1/$before")
	{
		$node->safe_psql('utf8', qq{SELECT defer.http('GET', '$url' || repeat(chr(233), 400), max_attempts => 2, initial_interval => '1 day')});
	}
}
$node->safe_psql('utf8', q{SELECT defer.enqueue('half', max_attempts => 1)});
until_ok($node, q{SELECT count(*) = 5 FROM defer.jobs WHERE error IS NOT NULL}, 'all have failed', 'utf8');
for my $column ('job.error', 'job_history.error', 'attempt.message', 'attempt.detail', 'log.message')
{
	my ($table, $name) = split /\./, $column;
	my ($out, $err);

	$node->psql('utf8', "SELECT count(convert_from(convert_to($name, 'UTF8'), 'UTF8')) > 0 FROM defer.$table", stdout => \$out, stderr => \$err);
	is($out, 't', "$column is text") or diag($err);
}
is($node->safe_psql('utf8', q{SELECT count(*) FROM defer.jobs WHERE error ~ (chr(233) || ': (the server answered 404|.*127.0.0.1)')}), '4',
	'URLs are cut between characters');
is($node->safe_psql('utf8', q{SELECT error FROM defer.jobs WHERE function LIKE '%half%'}), 'half of ?', 'what is no character is a question mark');
done_testing();
