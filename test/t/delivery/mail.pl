# E-mail to a server with and without TLS and authentication, and one that refuses
# in all the ways that there are.  What arrives is read by Python's email parser.
use strict;
use warnings;
use utf8;

use DeferTest;
use Deliveries;
use Encode ();
use JSON::PP;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $missing = Peers::missing('smtp');
plan skip_all => "$missing is not there" if $missing;

my ($user, $password) = ('ann@example.org', 'pässword %:@');
my $mail = Peers->smtp(user => $user, password => Encode::encode('UTF-8', $password));
my $node = delivery_server('main', "defer.http_ca_file = '" . Peers::ca() . q{'
defer.smtp_password_file = 'mail_password'
defer.smtp_from = 'Market <noreply@market.example>'});
my $quick = $Deliveries::quick;

# Without a server for e-mails the call says so, and not the job on Monday
for my $call (q{defer.email('a@example.com', 's', 'b')}, q{defer.alert('ops', recipients => '{a@example.com}')})
{
	my (undef, undef, $error) = $node->psql('postgres', "SELECT $call");

	like($error, qr/no (?:SMTP|mail) server is .*set defer\.smtp_url/s, "$call without a mail server");
}

# The URL of a server of the peer, with a user
sub mail_url
{
	my ($port, $login) = @_;
	my $url = $mail->url($port);

	if (defined $login)
	{
		utf8::encode($login);
		$login =~ s/([^A-Za-z0-9])/sprintf('%%%02X', ord($1))/ge;
		$url =~ s{//}{//$login@};
	}
	return $url;
}

# To which server the next ones go; the password is in a file
sub use_server
{
	my ($port, $login, $word) = @_;
	my $url = mail_url($port, $login);

	if (defined $word)
	{
		open(my $file, '>:utf8', $node->data_dir . '/mail_password') or die $!;
		print $file "$word\n";
		close($file);
	}
	$node->safe_psql('postgres', 'ALTER SYSTEM SET defer.smtp_url = ' . quoted($url));
	$node->reload;
	until_ok($node, 'SELECT pg_catalog.current_setting(\'defer.smtp_url\') = ' . quoted($url), "to the server \"$port\"");
	$mail->clear;
	return;
}

# A password in the setting would be in the server's log at each change: it is refused, and not told
{
	my ($out, $err);
	my $from = -s $node->logfile;

	$node->psql('postgres', q{SET log_statement = none; SET log_min_error_statement = panic; ALTER SYSTEM SET defer.smtp_url = 'smtp://ann:TELLNOBODY@127.0.0.1'},
		stdout => \$out, stderr => \$err);
	like($err, qr/invalid value for parameter "defer.smtp_url"\n.*contains a password/, 'a password in defer.smtp_url is refused');
	append_to_file($node->data_dir . '/postgresql.conf', "defer.smtp_url = 'smtp://ann:TELLNOBODY\@127.0.0.1'\n");
	$node->reload;
	ok($node->wait_for_log(qr/invalid value for parameter "defer.smtp_url"/, $from), 'also in the configuration file');
	unlike(slurp_file($node->logfile), qr/TELLNOBODY/, 'and the log does not tell it');
	append_to_file($node->data_dir . '/postgresql.conf', "defer.smtp_url = ''\n");
	$node->reload;
}

# ------------------------------------------------------------------------
# TLS and authentication
# ------------------------------------------------------------------------
my $one = "max_attempts => 1, timeout => '5 s'";
for my $row (
	# port, login, state, TLS, user, error
	[ 'plain', undef, 'succeeded', 0, undef ],
	[ 'bare', undef, 'succeeded', 0, undef ],
	[ 'helo', undef, 'succeeded', 0, undef ],
	[ 'utf8', undef, 'succeeded', 0, undef ],
	[ 'tls_offered', undef, 'succeeded', 1, undef ],
	[ 'starttls_open', undef, 'succeeded', 1, undef ],
	[ 'smtps_open', undef, 'succeeded', 1, undef ],
	[ 'starttls', [ $user, $password ], 'succeeded', 1, $user ],
	[ 'smtps', [ $user, $password ], 'succeeded', 1, $user ],
	# who wants a password does not get one without TLS
	[ 'plain', [ $user, $password ], 'failed' ],
	[ 'plain_auth', [ $user, $password ], 'failed' ],
	[ 'bare', [ $user, $password ], 'failed' ],
	[ 'tls_broken', [ $user, $password ], 'failed' ],
	[ 'starttls', [ $user, 'wrong' ], 'failed', undef, undef, qr/535|denied/i ],
	[ 'starttls', undef, 'failed', undef, undef, qr/530/ ],
	[ 'plain_auth', undef, 'failed', undef, undef, qr/530/ ],
	(map { my $kind = $_; map { [ "${_}_$kind", undef, 'failed', undef, undef, qr/certificate|SSL/ ] } 'starttls', 'smtps' }
		'self_signed', 'expired', 'wrong_host'),
	[ 'busy', undef, 'failed', undef, undef, qr/421/ ])
{
	my ($port, $login, $state, $tls, $auth, $error) = @$row;
	my $case = {
		name => "server \"$port\"" . ($login ? ' with a password' : ''), state => $state, error => $error,
		call => "defer.email('bob\@example.org', 'TLS', 'body', $one)" };

	use_server($port, $login ? @$login : ());
	send_all($node, $case);
	check_all($node, $case);
	my @mails = $mail->mails;

	is(scalar(@mails), $state eq 'succeeded' ? 1 : 0, "$case->{name}: what arrived");
	next unless @mails && $state eq 'succeeded';
	is($mails[0]{tls} ? 1 : 0, $tls, "$case->{name}: TLS is " . ($tls ? 'used' : 'not to be had'));
	is($mails[0]{auth}, $auth, "$case->{name}: authenticated");
}
ok(!(grep { $_->{port} =~ /^(plain|bare|tls_broken)/ } $mail->events('auth')), 'no password went over the wire in clear');

# ------------------------------------------------------------------------
# Messages
# ------------------------------------------------------------------------
use_server('plain');
my $long = join(' ', map { "Wörter№$_" } 1 .. 40);
my @messages = (
	{ name => 'plain', args => [ "'bob\@example.org'", 'Hello', "Hi Bob,\nhow are you?\n" ] },
	{ name => 'other scripts', args => [ "'bob\@example.org'", 'Grüße aus 東京 🎉', "Überraschung: 你好, мир! 🎉\n" ] },
	{ name => 'a long subject', args => [ "'bob\@example.org'", $long, 'x' ] },
	{ name => 'a long subject without spaces', args => [ "'bob\@example.org'", 'x' x 900, 'x' ] },
	{ name => 'a subject of spaces', args => [ "'bob\@example.org'", '', 'x' ] },
	{ name => 'what looks encoded', args => [ "'bob\@example.org'", '=?UTF-8?Q?=41?= and =41', "=41 = \n=" ] },
	{ name => 'dots and From', args => [ "'bob\@example.org'", 'dots', ".\n..\n.x\nFrom me\n.\n" ] },
	{ name => 'a long line', args => [ "'bob\@example.org'", 'long', 'ü' x 5000 ] },
	{ name => 'line ends', args => [ "'bob\@example.org'", 'ends', "a\r\nb\nc\n\n\nspaces   \n\ttab\t\nno end" ] },
	{ name => 'empty', args => [ "'bob\@example.org'", 'empty', '' ] },
	{ name => 'large', args => [ "'bob\@example.org'", 'large', join("\n", map { "line $_ of it: ä" } 1 .. 20000) ] },
	{ name => 'HTML', args => [ "'bob\@example.org'", 'HTML', "Hallo Bär\n" ], html => "<p>Hallo <b>Bär</b> &amp; Co = 1</p>\n" },
	{ name => 'HTML only', args => [ "'bob\@example.org'", 'HTML only', undef ], html => '<p>ü</p>' },
	{ name => 'names', args => [ quoted("{\"Dr. Bäcker, Jürgen <jb\@example.org>\",\"\\\"O'Neil, \\\\\\\\ X\\\" <on\@example.org>\",plain\@example.org}") . '::text[]',
			'names', 'x' ], rcpt => [ 'jb@example.org', 'on@example.org', 'plain@example.org' ] },
	{ name => 'many recipients', args => [ "ARRAY(SELECT 'user' || i || '\@example.org' FROM generate_series(1, 200) i)", 'many', 'x' ],
		rcpt => [ map { "user$_\@example.org" } 1 .. 200 ] },
	{ name => 'copies', args => [ "'bob\@example.org'", 'copies', 'x' ],
		more => q{, cc => '{cc1@example.org,cc2@example.org}', bcc => '{secret@example.org}', reply_to => 'Reply <reply@example.org>', sender => 'Älfred <al@example.net>'},
		rcpt => [ 'bob@example.org', 'cc1@example.org', 'cc2@example.org', 'secret@example.org' ], sender => 'al@example.net' },
	{ name => 'a template', args => [ "'bob\@example.org'", '{name} %s $1 \\n', "%s \\n \\r \$1 {}\n" ] });

for my $message (@messages)
{
	my ($to, $subject, $body) = @{ $message->{args} };

	$message->{call} = "defer.email($to, " . quoted($subject) . ', ' . (defined $body ? quoted($body) : 'NULL')
	  . (defined $message->{html} ? ', html => ' . quoted($message->{html}) : '') . ($message->{more} // '') . ", $one)";
	$message->{state} = 'succeeded';
}
send_all($node, @messages);
check_all($node, @messages);

# Line ends on the wire are CR LF; how many there are at the end is the format's affair
sub same_text
{
	my ($text) = @_;

	return unless defined $text;
	$text =~ s/\r\n?/\n/g;
	$text =~ s/\n+\z//;
	return $text;
}

my @arrived = $mail->wait_for_mails(scalar @messages, 'each message arrived');
for my $message (@messages)
{
	my ($to, $subject, $body) = @{ $message->{args} };
	my $name = $message->{name};
	my ($got) = grep { ($_->{message_id} // '') =~ /(?<!\d)$message->{id}\@/ } @arrived;

	ok($got, "$name: there with its Message-ID") or next;
	is($got->{subject} // '', $subject, "$name: subject");
	is(same_text($got->{text}), same_text($body), "$name: body");
	is(same_text($got->{html}), same_text($message->{html}), "$name: HTML");
	is_deeply($got->{rcpt_tos}, $message->{rcpt} // [ 'bob@example.org' ], "$name: recipients");
	is($got->{mail_from}, $message->{sender} // 'noreply@market.example', "$name: sender of the envelope");
	is_deeply($got->{defects}, [], "$name: nothing wrong for the parser");
	cmp_ok(abs(($got->{date} // 0) - time()), '<', 600, "$name: Date");
	unlike($got->{data}, qr/(?<!\r)\n|\r(?!\n)/, "$name: lines end with CR LF");
	is(scalar(grep { length > 998 } split /\r\n/, $got->{data}), 0, "$name: no line is too long");
	unlike($got->{data}, qr/[^\x00-\x7f]/, "$name: 7 bits are enough");
	unlike($got->{data}, qr/secret\@example\.org/, "$name: Bcc is not told");
	my %count;

	$count{ lc $_->[0] }++ for @{ $got->{headers} };
	is(join(' ', grep { ($count{$_} // 0) != 1 } 'from', 'to', 'subject', 'date', 'message-id', 'mime-version', 'content-type'),
		'', "$name: each header once");
}
{
	my ($names) = grep { ($_->{subject} // '') eq 'names' } @arrived;
	my ($copies) = grep { ($_->{subject} // '') eq 'copies' } @arrived;
	my ($html) = grep { ($_->{subject} // '') eq 'HTML' } @arrived;

	like($names->{to}, qr/Bäcker, Jürgen/, 'a name with a comma and umlauts');
	like($names->{to}, qr/O'Neil/, 'a name in quotes');
	is($copies->{cc}, 'cc1@example.org, cc2@example.org', 'Cc');
	like($copies->{reply_to}, qr/reply\@example\.org/, 'Reply-To');
	like($copies->{from}, qr/Älfred <al\@example\.net>/, 'From');
	is_deeply($html->{types}, [ 'multipart/alternative', 'text/plain', 'text/html' ], 'plain and HTML are alternatives');
	my %ids = map { $_->{message_id} => 1 } @arrived;

	is(scalar(keys %ids), scalar(@arrived), 'each mail has an id of its own');
}

# ------------------------------------------------------------------------
# No header can be smuggled in
# ------------------------------------------------------------------------
for my $address ("bob\@example.org\r\nBcc: eve\@example.org", "bob\@example.org\nX: y", "bob\@example.org\r", "bob\@example.org> SIZE=1",
	'bob@example.org, eve@example.org', 'bob@example.org eve@example.org', 'Bob <bob@example.org> <eve@example.org>', '<>', '', ' ', '@',
	'bob@', '@example.org', 'bob@example..org', 'bob@-example.org', "b\x01ob\@example.org", 'bob@example.org>', '<bob@example.org',
	"Bob\r\nBcc: eve\@example.org <bob\@example.org>", "Bob\x{2028}Bcc: eve\@example.org")
{
	(my $shown = $address) =~ s/[^\x20-\x7e]/?/g;
	refused($node, 'defer.email(' . quoted($address) . ", 's', 'b')", qr/ERROR/, "refused: to \"$shown\"");
	refused($node, "defer.email('bob\@example.org', 's', 'b', sender => " . quoted($address) . ')', qr/ERROR/, "refused: from \"$shown\"");
	refused($node, "defer.email('bob\@example.org', 's', 'b', reply_to => " . quoted($address) . ')', qr/ERROR/, "refused: reply to \"$shown\"");
}
for my $subject ("s\r\nBcc: eve\@example.org", "s\nX: y", "s\r", "s\x00" x 0 . "s\x01", "s\x7f")
{
	(my $shown = $subject) =~ s/[^\x20-\x7e]/?/g;
	refused($node, "defer.email('bob\@example.org', " . quoted($subject) . ", 'b')", qr/ERROR/, "refused: subject \"$shown\"");
}

# Unicode's line ends in a subject are text like any other
$mail->clear;
my $odd = { name => 'odd spaces', call => 'defer.email(\'bob@example.org\', ' . quoted("a\x{2028}b\x{85}c\x{a0}d") . ", 'x', $one)", state => 'succeeded' };
send_all($node, $odd);
check_all($node, $odd);
{
	my ($got) = $mail->wait_for_mails(1, 'odd spaces: arrived');
	my ($head) = split /\r\n\r\n/, $got->{data};

	is(join("\n", grep { !/^(From|To|Subject|Date|Message-ID|Auto-Submitted|MIME-Version|Content-[A-Za-z-]+|\s)/i } split /\r\n/, $head), '',
		'odd spaces: no line too many');
}

# ------------------------------------------------------------------------
# Refused, for good and for the time being
# ------------------------------------------------------------------------
$mail->clear;
my $twice = "max_attempts => 2, $quick, timeout => '1 s'";
my @refusals = map { {
	name => $_->[0], call => "defer.email($_->[1], " . quoted($_->[0]) . ", 'x', " . ($_->[5] // $twice) . ')',
	state => $_->[2], attempt => $_->[3], error => $_->[4] } } (
	(map { [ $_, "'$_\@example.org'", 'failed', 1, qr/55\d/ ] } 'perm550', 'perm553', 'data554', 'multiline', 'weird'),
	(map { [ $_, "'$_\@example.org'", 'failed', 2, qr/4\d\d/ ] } 'temp450', 'temp451', 'temp452', 'data452', 'data421'),
	[ 'drop', "'drop\@example.org'", 'failed', 2 ],
	[ 'temponce', "'temponce\@example.org'", 'succeeded', 2 ],
	[ 'sender refused', "'bob\@example.org'", 'failed', 1, qr/553/, "$twice, sender => 'perm553\@example.org'" ],
	[ 'sender put off', "'bob\@example.org'", 'failed', 2, qr/451/, "$twice, sender => 'temp451\@example.org'" ],
	# all of them or none
	[ 'one of three is refused', "'{bob\@example.org,perm550\@example.org,eve\@example.org}'::text[]", 'failed', 1, qr/550/ ],
	[ 'one of three is put off', "'{bob\@example.org,temp451\@example.org,eve\@example.org}'::text[]", 'failed', 2, qr/451/ ]);
send_all($node, @refusals);
check_all($node, @refusals);
is(join(' ', map { $_->{subject} } $mail->mails), 'temponce', 'nothing arrives of what was refused');
unlike($node->safe_psql('postgres', q{SELECT string_agg(error, '') FROM defer.jobs}), qr/[\x00-\x09\x0b-\x1f\x7f]/,
	'no control character of an answer is in a message');

# Those that never answer
my @hangs = map { {
	name => $_, call => "defer.email('$_\@example.org', '$_', 'x', $twice)", state => 'failed', attempt => 2,
	error => qr/tim(e|ed)[ -]?out/i } } 'hang', 'hangdata';
send_all($node, @hangs);
check_all($node, @hangs);

# Kept by the server, which does not say so: sent again, with the same id
$mail->clear;
my $again = { name => 'dropafter', call => "defer.email('dropafter\@example.org', 'again', 'x', $twice)", state => 'failed', attempt => 2 };
send_all($node, $again);
check_all($node, $again);
my @copies = $mail->wait_for_mails(2, 'the copies arrived');
is($copies[0]{message_id}, $copies[1]{message_id}, 'with one id');

# ------------------------------------------------------------------------
# Servers of endpoints
# ------------------------------------------------------------------------
$mail->clear;
my $sql = q{SELECT defer.endpoint('post', 'email', } . quoted($mail->url('starttls')) . ', username => '
	  . quoted($user) . ', password => ' . quoted($password) . q{, sender => 'Shop <shop@example.net>'),
	defer.endpoint('clear', 'email', } . quoted($mail->url('plain')) . q{, username => 'x', password => 'y'),
	defer.endpoint('small', 'email', } . quoted($mail->url('small')) . ')';
utf8::encode($sql);
$node->safe_psql('postgres', $sql);
my @endpoints = (
	{ name => 'endpoint', call => "defer.email('bob\@example.org', 'endpoint', 'x', endpoint => 'post', $one)", state => 'succeeded' },
	{ name => 'no password in clear', call => "defer.email('bob\@example.org', 's', 'x', endpoint => 'clear', $one)", state => 'failed' },
	{ name => 'too large for the server', call => "defer.email('bob\@example.org', 's', repeat('x', 20000), endpoint => 'small', $twice)",
		state => 'failed', attempt => 1, error => qr/552/ });
send_all($node, @endpoints);
check_all($node, @endpoints);
{
	my @got = $mail->mails;

	is(scalar(@got), 1, 'one arrived');
	is($got[0]{auth}, $user, 'with the endpoint\'s credentials');
	like($got[0]{from}, qr/^Shop <shop\@example\.net>$/, 'from its sender');
}

# Many at a time
$mail->clear;
use_server('smtps', $user, $password);
$node->safe_psql('postgres', qq{SELECT count(defer.email('user' || i || '\@example.org', 'reuse', 'x')) FROM generate_series(1, 60) i});
settled($node, 'sixty mails are sent');
is(scalar(() = $mail->mails), 60, 'and have arrived');
note(scalar(() = $mail->events('connect')) . ' connections');
# A mail server that does not answer holds up nobody else, and cancelling ends it
$mail->clear;
use_server('plain');
for my $where ('hangdata', 'hang')
{
	my $mail_id = $node->safe_psql('postgres',
		"SELECT defer.email('$where\@example.org', 's', 'x', max_attempts => 1, timeout => '4 s')");

	$mail->wait_for_events($where eq 'hang' ? 2 : 1, 'refused', "$where: the server has it");
	my $other = $node->safe_psql('postgres',
		q{SELECT defer.email('bob@example.org', 's', 'x', max_attempts => 1)});

	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $other", "$where: another mail is sent");
	is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $mail_id"), 'running', "$where: meanwhile");
	$node->safe_psql('postgres', "SELECT defer.cancel($mail_id, force => true)");
	settled($node, "$where: it ends");
	is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $mail_id"), 'cancelled', "$where: cancelled");
}

$node->stop;
done_testing();
