# Rates of deliveries: their token is taken when they are handed to the network.  Limits of
# endpoints.
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

# Deliveries of a group that has an order are sent one after the other, retries included; one
# that fails for good holds its group, also when it is tried again
sub letter
{
	my ($path, $group) = @_;

	return $node->safe_psql('postgres', q{SELECT defer.http('POST', } . quoted($http->url($path)) .
		qq{, 'x'::text, queue => 'letters', group_key => '$group', initial_interval => '20 ms', max_interval => '20 ms')});
}

sub state_is
{
	my ($id, $state, $what) = @_;

	return until_ok($node, "SELECT state = '$state' FROM defer.jobs WHERE id = $id", $what);
}

$node->safe_psql('postgres', q{SELECT defer.create_queue('letters', group_order => 'strict', on_group_failure => 'hold')});
my @letters = (letter('/flaky?n=2', 'a'), map { letter("/record?tag=letter", 'a') } 1 .. 3);
settled($node, 'letters end');
is($node->safe_psql('postgres', q{SELECT string_agg(id::text, ' ' ORDER BY started_at) FROM defer.jobs WHERE queue = 'letters'}), "@letters", 'in their order');
is($node->safe_psql('postgres', "SELECT bool_and(j.started_at >= b.finished_at) FROM defer.jobs j JOIN defer.jobs b ON b.id = j.id - 1 WHERE j.queue = 'letters' AND b.queue = 'letters'"),
	't', 'one after the other');
@letters = (letter('/status/404', 'b'), map { letter("/record?tag=held_letter", 'b') } 1 .. 2);
state_is($letters[0], 'failed', 'one fails');
state_is(letter('/record?tag=letter', 'c'), 'succeeded', 'one of another group is sent');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM defer.workers WHERE kind = 'sender'});
$node->safe_psql('postgres', "SELECT defer.retry($letters[0])");
state_is(letter('/record?tag=letter', 'c'), 'succeeded', 'after the end of the sender, too');
is($node->safe_psql('postgres', "SELECT string_agg(state, ' ') FROM defer.jobs WHERE id IN ($letters[0], $letters[1])"), 'queued queued', 'its own group is held, with the one that is to be sent again');
$node->safe_psql('postgres', q{SELECT defer.release_group('b', queue => 'letters')});
until_ok($node, "SELECT count(*) = 2 FROM defer.attempts WHERE job_id = $letters[0]", 'released, that is sent');
state_is(letter('/record?tag=letter', 'c'), 'succeeded', 'one of another group after that');
is($node->safe_psql('postgres', "SELECT string_agg(state, ' ' ORDER BY id) FROM defer.jobs WHERE id IN ($letters[0], $letters[1])"), 'failed queued', 'it fails, and the others are held again');
is(arrived('held_letter'), 0, 'nothing of them was sent');
$node->safe_psql('postgres', q{SELECT defer.release_group('b', queue => 'letters')});
settled($node, 'they are sent when their group is released');
is(arrived('held_letter'), 2, 'each once');

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

# Limits of an endpoint are for all roles that send with it, and for nothing else
$node->safe_psql('postgres', q{
	CREATE ROLE other LOGIN;
	GRANT USAGE ON SCHEMA defer TO other;
	GRANT EXECUTE ON FUNCTION defer.http, defer.endpoint TO other;
	SELECT defer.grant_endpoint('partner', 'other');
	SELECT defer.cancel(id) FROM defer.live_jobs WHERE state = 'retrying'});

sub as_other
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', "SET ROLE other; $sql");
}

# The rest of a call of defer.http() by way of the endpoint
my $partner = q{endpoint => 'partner', initial_interval => '0', timeout => '1 hour'};
my $first = $node->safe_psql('postgres', qq{
	BEGIN;
	SELECT min(defer.http('GET', '/hang', priority => -100, $partner)) FROM generate_series(1, 6);
	SELECT defer.endpoint('partner', 'http', concurrency => 2);
	COMMIT});
my $hanging = qq{FROM defer.jobs WHERE id BETWEEN $first AND $first + 5};

sub cancel_one
{
	return $node->safe_psql('postgres', "SELECT defer.cancel(id, force => true) $hanging AND state = 'running' ORDER BY id LIMIT 1");
}

until_ok($node, q{SELECT running = 2 AND concurrency = 2 FROM defer.endpoints}, 'as many are sent at a time as the endpoint may have');
is($node->safe_psql('postgres', qq{SELECT DISTINCT reason, detail FROM defer.why((SELECT max(id) $hanging))}),
	'concurrency|2 of 2 jobs for endpoint "partner" run', 'defer.why says what the others wait for');
$since = post('besides', 20);
until_ok($node, "SELECT count(*) = 20 FROM defer.jobs WHERE id >= $since AND state = 'succeeded'", 'deliveries without an endpoint are sent meanwhile');

# A role with a backlog of higher priority has turns with another
my $other = as_other(qq{SELECT defer.http('GET', '/record?tag=other', $partner)});
cancel_one();
until_ok($node, qq{SELECT count(*) = 3 OR (SELECT state = 'succeeded' FROM defer.jobs WHERE id = $other)
	$hanging AND started_at IS NOT NULL}, 'the place that is free is taken');
cancel_one() if $node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $other") ne 'succeeded';
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $other", 'the other role has its turn');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) $hanging AND started_at < (SELECT started_at FROM defer.jobs WHERE id = $other)"),
	'<=', 3, 'after one of the first role at most');

# After a crash the places are counted anew, and never too many
$node->stop('immediate');
$node->start;
until_ok($node, qq{SELECT count(*) = 2 $hanging AND state = 'running'}, 'after a crash as many are sent again');
is($node->safe_psql('postgres', 'SELECT running FROM defer.endpoints'), '2', 'and no more');
$node->safe_psql('postgres', q{SELECT defer.endpoint('partner', 'http', concurrency => 4)});
until_ok($node, qq{SELECT (SELECT running FROM defer.endpoints) = count(*) $hanging AND state = 'running' AND
	(SELECT count(*) $hanging AND state = 'queued') = 0}, 'all the rest, when it is raised');
$node->safe_psql('postgres', qq{SELECT defer.endpoint('partner', 'http', reset => true); SELECT defer.cancel(id, force => true) $hanging});
settled($node, 'all have ended');
is($node->safe_psql('postgres', 'SELECT concurrency, rate, rate_burst, running, next_token FROM defer.endpoints'), '||||', 'its limits are gone');

# A rate, set behind those that wait; it outlives a crash
$first = $node->safe_psql('postgres', qq{
	BEGIN;
	SELECT min(defer.http('GET', '/record?tag=rated', $partner)) FROM generate_series(1, 3);
	SELECT defer.endpoint('partner', 'http', rate => '1/hour');
	COMMIT});
until_ok($node, "SELECT count(*) = 1 FROM defer.jobs WHERE id BETWEEN $first AND $first + 2 AND state = 'succeeded'", 'one is sent');
$node->stop('immediate');
$node->start;
$since = post('between', 5);
until_ok($node, "SELECT count(*) = 5 FROM defer.jobs WHERE id >= $since AND state = 'succeeded'", 'others are sent after a crash');
is(arrived('rated'), 1, 'none by way of the endpoint');
is($node->safe_psql('postgres', qq{SELECT DISTINCT detail, until > now() + '50 minutes', until - next_token < '1 second'
	FROM defer.endpoints, defer.jobs j, defer.why(j.id) WHERE j.id BETWEEN $first AND $first + 2}),
	'waits for the next token for endpoint "partner"|t|t', 'defer.why says when the next one is sent');

# Dropped and made by another role: what was meant for the first one fails, however slow it is
$node->safe_psql('postgres', q{SELECT defer.drop_endpoint('partner')});
as_other(q{SELECT defer.endpoint('partner', 'http', '} . $http->url('') . q{', rate => '1/300 days')});
as_other(q{SELECT defer.http('GET', '/record?tag=own', endpoint => 'partner')});
until_ok($node, q{SELECT next_token > now() + '200 days' FROM defer.endpoints}, 'the other role uses its token');
is(as_other(qq{SELECT defer.http('GET', '/record?tag=own', endpoint => 'partner') IS NOT NULL}), 't', 'and has one that waits');
until_ok($node, "SELECT count(*) = 2 FROM defer.jobs WHERE id BETWEEN $first AND $first + 2 AND state = 'failed'",
	'those of the first owner do not wait for tokens of the second');
as_other(q{SELECT defer.drop_endpoint('partner')});
settled($node, 'a dropped endpoint holds up nothing');
unlike(slurp_file($node->logfile), qr/TRAP|PANIC/, 'no crash of ours');
$node->stop;
done_testing();
