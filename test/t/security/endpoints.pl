# Endpoints against roles that may use them, and against those that may take their names.
use strict;
use warnings;

use lib 'test/t/lib';
use DeferTest;
use Deliveries;
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

my $missing = Peers::missing('http') // Peers::missing('smtp');
plan skip_all => "$missing is not there" if $missing;

my $http = Peers->http;
my $mail = Peers->smtp;
my $node = delivery_server('main', '');

$node->safe_psql('postgres', q{
CREATE ROLE ann LOGIN; CREATE ROLE ben LOGIN;
GRANT USAGE ON SCHEMA defer TO ann, ben;
GRANT EXECUTE ON FUNCTION defer.http, defer.email, defer.endpoint TO ann, ben});

sub as
{
	my ($role, $sql) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]);
}

sub ends
{
	my ($id, $state, $what) = @_;

	until_ok($node, "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $id", "$what: it ends");
	my $job = job_of($node, $id);

	is($job->{state}, $state, "$what: $state");
	return $job;
}

# ------------------------------------------------------------------------
# A name that was dropped
# ------------------------------------------------------------------------
as('ann', q{SELECT defer.endpoint('hook', 'http', } . quoted($http->url('/record?of=ann')) . q{), defer.grant_endpoint('hook', 'ben')});
my $own = as('ann', q{SELECT defer.http('POST', NULL, 'secret'::text, endpoint => 'hook', delay => '1 hour')});
my $granted = as('ben', q{SELECT defer.http('POST', NULL, 'secret'::text, endpoint => 'hook', delay => '1 hour')});
as('ann', q{SELECT defer.drop_endpoint('hook')});
as('ann', q{SELECT defer.endpoint('hook', 'http', } . quoted($http->url('/record?of=ann2')) . q{), defer.grant_endpoint('hook', 'ben')});
my $again = as('ben', q{SELECT defer.http('POST', NULL, 'secret'::text, endpoint => 'hook')});
ends($again, 'succeeded', 'made again by its owner');
as('ben', "SELECT defer.reschedule($granted)");
ends($granted, 'succeeded', 'made again by its owner, enqueued before');
as('ann', q{SELECT defer.drop_endpoint('hook')});
as('ben', q{SELECT defer.endpoint('hook', 'http', } . quoted($http->url('/record?of=ben')) . q{), defer.grant_endpoint('hook', 'public')});
as('ann', "SELECT defer.reschedule($own)");
like(ends($own, 'failed', 'taken by another role')->{error}, qr/endpoint "hook" belongs to another role now/, 'taken by another role: says so');
is(scalar(grep { $_->{query}{of} eq 'ben' } $http->requests('/record')), 0, 'taken by another role: which gets nothing');

# The owner has another name, which is no other owner
$node->safe_psql('postgres', q{CREATE ROLE cleo LOGIN; GRANT USAGE ON SCHEMA defer TO cleo; GRANT EXECUTE ON FUNCTION defer.endpoint TO cleo});
as('cleo', q{SELECT defer.endpoint('renamed', 'http', } . quoted($http->url('/record?of=cleo')) . q{, concurrency => 1), defer.grant_endpoint('renamed', 'ben')});
my @meant = map { as('ben', q{SELECT defer.http('POST', NULL, 'secret'::text, endpoint => 'renamed', delay => '1 hour')}) } 1 .. 3;
$node->safe_psql('postgres', q{ALTER ROLE cleo RENAME TO clea; CREATE ROLE cleo LOGIN; GRANT USAGE ON SCHEMA defer TO cleo;
	GRANT EXECUTE ON FUNCTION defer.endpoint TO cleo});
as('ben', "SELECT defer.reschedule($meant[0])");
ends($meant[0], 'succeeded', 'its owner was renamed');
as('clea', q{SELECT defer.endpoint('renamed', 'http', } . quoted($http->url('/record?of=clea')) . q{)});
as('ben', "SELECT defer.reschedule($meant[1])");
ends($meant[1], 'succeeded', 'its owner was renamed and has changed it');
is(scalar(grep { $_->{query}{of} eq 'clea' } $http->requests('/record')), 1, 'which counts');
# The owner is gone, and the endpoint still there
$node->safe_psql('postgres', q{DROP OWNED BY clea; DROP ROLE clea});
as('ben', "SELECT defer.reschedule($meant[2])");
ends($meant[2], 'failed', 'its owner was dropped');

# ------------------------------------------------------------------------
# Headers of the endpoint
# ------------------------------------------------------------------------
as('ann', q{SELECT defer.endpoint('api', 'http', } . quoted($http->url('/record')) . q{, username => 'ann', password => 'annspassword',
	secret => 'whsec_MDEyMzQ1Njc4OWFiY2RlZg=='), defer.grant_endpoint('api', 'ben')});
$http->clear;
for my $value ('Bearer mine', ' ', '')
{
	my $id = as('ben', qq{SELECT defer.http('POST', NULL, 'x'::text, endpoint => 'api',
		headers => '{"AUTHORIZATION": "$value", "webhook-id": "mine", "Webhook-Signature": "v1,mine", "X-Other": "kept"}')});

	ends($id, 'succeeded', "header \"$value\"");
}
for my $request ($http->requests('/record'))
{
	like($request->{headers}{authorization}, qr/^Basic YW5uOmFubnNwYXNzd29yZA==$/, 'the endpoint\'s credentials stay');
	unlike($request->{headers}{'webhook-id'} . $request->{headers}{'webhook-signature'}, qr/mine/, 'and its signature');
	is($request->{headers}{'x-other'}, 'kept', 'other headers are the job\'s');
}

# ------------------------------------------------------------------------
# Secrets in answers
# ------------------------------------------------------------------------
as('ann', q{SELECT defer.endpoint('echo', 'http', } . quoted($http->url('/echo')) . q{,
	headers => '{"X-Key": "quote\\"and\\\\slash/SECRET"}'), defer.grant_endpoint('echo', 'ben')});
for my $limit (10 .. 12, map { 20 * $_ } 1 .. 30)
{
	my $id = as('ben', qq{SELECT defer.http('GET', NULL, endpoint => 'echo', max_response => $limit)});
	my $text = ends($id, 'succeeded', "$limit bytes of the answer")->{result}{body} // '';

	unlike($text, qr/quote.{0,3}and/, "$limit bytes of the answer: no part of the secret");
	cmp_ok(length $text, '<=', $limit, "$limit bytes of the answer: and no more of them");
}

# ------------------------------------------------------------------------
# The sender of mails
# ------------------------------------------------------------------------
as('ann', q{SELECT defer.endpoint('post', 'email', } . quoted($mail->url('plain')) . q{, sender => 'shop@example.org'), defer.grant_endpoint('post', 'ben')});
refused($node, q{defer.email('b@example.org', 's', 'b', endpoint => 'post', sender => 'ceo@example.org')},
	qr/permission denied to choose the sender of endpoint "post"/, 'a role that it was granted to has no other sender', extra_params => [ '-U', 'ben' ]);
ends(as('ben', q{SELECT defer.email('b@example.org', 'bens', 'b', endpoint => 'post')}), 'succeeded', 'the sender of the endpoint');
ends(as('ann', q{SELECT defer.email('b@example.org', 'anns', 'b', endpoint => 'post', sender => 'ceo@example.org')}), 'succeeded', 'its owner chooses');
is(join(' ', map { "$_->{subject}: $_->{mail_from}" } sort { $a->{subject} cmp $b->{subject} } $mail->wait_for_mails(2)),
	'anns: ceo@example.org bens: shop@example.org', 'both arrive so');

# ------------------------------------------------------------------------
# The statement that makes an endpoint, in the server's log
# ------------------------------------------------------------------------
my $holder = $node->background_psql('postgres', on_error_stop => 1);
my $from = -s $node->logfile;

$node->append_conf('postgresql.conf', 'log_statement = none');
$node->reload;
until_ok($node, q{SELECT pg_catalog.current_setting('log_statement') = 'none'}, 'statements are not logged');
$from = -s $node->logfile;
$holder->query_safe(q{BEGIN; SELECT FROM defer.endpoint WHERE name = 'api' FOR UPDATE;});
my $make = q{SELECT defer.endpoint('api', 'http', password => 'TELLNOBODY')};

for my $try ("BEGIN READ ONLY; $make;", "SET lock_timeout = '20 ms'; $make;", "SET statement_timeout = '20 ms'; $make;",
	q{SELECT defer.endpoint(NULL, 'http', password => 'TELLNOBODY')}, q{SELECT defer.endpoint('api', 'other', password => 'TELLNOBODY')},
	"SET lock_timeout = '20 ms'; DO \$\$ BEGIN PERFORM defer.endpoint('api', 'http', password => 'TELLNOBODY'); END \$\$;")
{
	my ($out, $err);

	$node->psql('postgres', $try, stdout => \$out, stderr => \$err);
	like($err, qr/ERROR/, 'an error: ' . ($err =~ /ERROR: +(.*)/)[0]);
}
$holder->quit;
unlike(substr(slurp_file($node->logfile), $from), qr/TELLNOBODY/, 'the log has not the password');
$node->stop;
done_testing();
