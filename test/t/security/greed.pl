# One role's many long jobs, and its many deliveries to peers that do not answer, do
# not keep another role's from beginning.
use strict;
use warnings;

use Deliveries;
use DeferTest;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $missing = Peers::missing('http');
plan skip_all => "not there: $missing" if defined $missing;

my $node = delivery_server('main', q{defer.max_workers = 4
max_worker_processes = 12
defer.max_deliveries = 40});
my $http = Peers->http;

$node->safe_psql('postgres', q{
	CREATE ROLE greedy LOGIN;
	CREATE ROLE ann LOGIN;
	CREATE ROLE ben LOGIN;
	GRANT USAGE ON SCHEMA defer TO greedy, ann, ben, ben;
	GRANT EXECUTE ON FUNCTION defer.http TO greedy, ann, ben;
	CREATE TABLE gate (open boolean);
	GRANT SELECT ON gate TO PUBLIC;
	CREATE FUNCTION sleeps() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(86400)';
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS 'SELECT'});

# A hundred thousand, and no other role had anything to do when they came
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('sleeps')) FROM generate_series(1, 100000)}, extra_params => [ '-U', 'greedy' ]);
until_ok($node, q{SELECT count(*) = 4 FROM defer.workers WHERE role = 'greedy' AND job_id IS NOT NULL},
	'all workers are at work for one role');
for my $role ('ann', 'ben')
{
	my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick')}, extra_params => [ '-U', $role ]);

	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", "a job of $role runs all the same");
}

# The tables are long now: whoever comes next does not pay for it
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('quick')) FROM generate_series(1, 2000)}, extra_params => [ '-U', 'ann' ]);
until_ok($node, q{SELECT count(*) = 2001 FROM defer.find_jobs('{succeeded}', 'public.quick()', n => 10000) f JOIN defer.jobs j ON j.id = f
	WHERE j.owner = 'ann'}, 'and two thousand more');

# What is beyond defer.max_workers is for roles without a worker, and bounded
is($node->safe_psql('postgres', q{SELECT count(*) <= 4 FROM defer.workers WHERE role = 'greedy'}), 't', 'the greedy one has no more workers than before');

# Deliveries to a peer that takes the connection and is silent
my $deaf = $http->url('/', 'deaf');
$node->safe_psql('postgres', qq{SELECT count(defer.http('GET', '$deaf', timeout => '1 hour')) FROM generate_series(1, 5000)}, extra_params => [ '-U', 'greedy' ]);
until_ok($node, q{SELECT count(*) = 20 FROM defer.jobs WHERE state = 'running' AND function = 'defer.http'}, 'a role has half of what may be under way');
$node->safe_psql('postgres', qq{SELECT count(defer.http('GET', '$deaf', timeout => '1 hour')) FROM generate_series(1, 100)}, extra_params => [ '-U', 'ben' ]);
until_ok($node, q{SELECT count(*) = 10 FROM defer.jobs WHERE state = 'running' AND function = 'defer.http' AND owner = 'ben'}, 'a second one half of the rest');
my $echo = $http->url('/echo');
my $ids = $node->safe_psql('postgres', qq{SELECT min(id), max(id) FROM (SELECT defer.http('GET', '$echo') AS id FROM generate_series(1, 20)) x}, extra_params => [ '-U', 'ann' ]);
my ($first, $last) = split /\|/, $ids;
until_ok($node, "SELECT count(*) = 20 FROM defer.jobs WHERE id BETWEEN $first AND $last AND state = 'succeeded'", "another role's are sent")
  or diag($node->safe_psql('postgres', "SELECT state, error, count(*), min(id) FROM defer.jobs WHERE id BETWEEN $first AND $last GROUP BY 1, 2"));
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE state = 'running' AND function = 'defer.http' AND owner = 'greedy'}),
	'20', 'meanwhile those that hang still do');

$node->stop;
done_testing();
