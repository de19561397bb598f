# Rates of deliveries: their token is taken when they are handed to the network.
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

my $http = Peers->http;
my $node = delivery_server('main', 'defer.max_workers = 4');

# Enqueue so many; returns the first id
sub post
{
	my ($tag, $n, $more) = @_;
	my $url = quoted($http->url("/record?tag=$tag"));

	$more //= '';
	return $node->safe_psql('postgres', qq{
		SELECT min(defer.http('POST', $url, i::text $more)) FROM generate_series(1, $n) i});
}

sub arrived
{
	my ($tag) = @_;

	return scalar(grep { ($_->{query}{tag} // '') eq $tag } $http->requests('/record'));
}

# The most that have begun in a half-open span
sub most
{
	my ($since, $span) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY started_at
				RANGE BETWEEN CURRENT ROW AND '$span'::interval - interval '1 us' FOLLOWING) AS n
			FROM defer.jobs WHERE id >= $since) x});
}

$node->safe_psql('postgres', q{SELECT defer.configure('defer.http', rate => '100/s')});
my $since = post('spaced', 150);
settled($node, 'deliveries with a rate end');
is(arrived('spaced'), 150, 'all arrive');
is(most($since, '10 ms'), '1', 'none begins before its token');

# Several groups at the same time, each at its own rate
$node->safe_psql('postgres', q{SELECT defer.configure('defer.http', rate => 'none', group_rate => '40/s')});
$since = post('groups', 60, q{, group_key => 'g' || i % 3});
settled($node, 'deliveries of groups end');
is($node->safe_psql('postgres', qq{
	SELECT max(n) FROM (SELECT count(*) OVER (PARTITION BY group_key ORDER BY started_at
			RANGE BETWEEN CURRENT ROW AND interval '25 ms' - interval '1 us' FOLLOWING) AS n
		FROM defer.jobs WHERE id >= $since) x}), '1', 'each group has its rate');

# One token an hour, a queue without one; and after a crash
$node->safe_psql('postgres', q{
	SELECT defer.configure('defer.http', reset => true);
	SELECT defer.create_queue('seldom', rate => '1/hour')});
post('seldom', 5, q{, queue => 'seldom'});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE queue = 'seldom' AND state = 'succeeded'}, 'one is sent');
$since = post('beside', 20);
until_ok($node, "SELECT count(*) = 20 FROM defer.jobs WHERE id >= $since AND queue = 'default' AND state = 'succeeded'",
	'others are sent beside those that wait');
$node->stop('immediate');
$node->start;
$since = post('after', 5);
until_ok($node, "SELECT count(*) = 5 FROM defer.jobs WHERE id >= $since AND queue = 'default' AND state = 'succeeded'",
	'and after a crash');
is(arrived('seldom'), 1, 'the token of the hour was used once');
$node->safe_psql('postgres', q{SELECT defer.alter_queue('seldom', rate => '100/s')});
settled($node, 'the rest is sent when the rate is raised');
is(arrived("seldom"), 5, 'each once');
# 429 with Retry-After pauses the endpoint, and nothing else
sub via
{
	my ($path) = @_;

	return $node->safe_psql('postgres', qq{SELECT defer.http('POST', '$path', 'x'::text, endpoint => 'partner', initial_interval => '1 hour')});
}

sub is_put_off
{
	my ($id, $what) = @_;

	return until_ok($node, "SELECT run_at > now() + '50 minutes' AND attempt = 0 AND state = 'scheduled' FROM defer.jobs WHERE id = $id", $what);
}

$node->safe_psql('postgres', q{SELECT defer.endpoint('partner', 'http', '} . $http->url('') . q{')});
my $refused = via('/retry-after?value=3600&status=503');
until_ok($node, "SELECT count(*) = 1 FROM defer.attempts WHERE job_id = $refused", '503 is answered');
is($node->safe_psql('postgres', q{SELECT paused_until FROM defer.endpoints}), '', 'that does not pause it');
$refused = via('/retry-after?value=3600&status=429');
until_ok($node, q{SELECT paused_until BETWEEN now() + '50 minutes' AND now() + '61 minutes' FROM defer.endpoints}, '429 does, for as long as it says');
my $held = via('/record?tag=held');
is_put_off($held, 'a delivery to it is put off');
is($node->safe_psql('postgres', "SELECT reason, detail, until > now() + '50 minutes' FROM defer.why($held) ORDER BY reason LIMIT 1"),
	'paused|the server of endpoint "partner" has asked to wait|t', 'defer.why says so');
$since = post('free', 3);
until_ok($node, "SELECT count(*) = 3 FROM defer.jobs WHERE id >= $since AND state = 'succeeded'", 'those that do not name it are sent to the same server');
$node->stop('immediate');
$node->start;
is_put_off(via('/record?tag=held'), 'after a crash it is still paused');
is(arrived('held'), 0, 'nothing was sent');
$node->safe_psql('postgres', q{SELECT defer.endpoint('partner', 'http', headers => '{"X-Who": "me"}')});
is($node->safe_psql('postgres', q{SELECT paused_until FROM defer.endpoints}), '', 'a change of the endpoint ends the pause');
$node->safe_psql('postgres', q{SELECT done FROM defer.reschedule_jobs(states => '{scheduled}', run_at => now())});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $held", 'what was put off can be moved');
unlike(slurp_file($node->logfile), qr/TRAP|PANIC/, 'no crash of ours');
$node->stop;
done_testing();
