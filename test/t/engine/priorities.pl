# Where jobs of several priorities are about, batches are short: one that is
# urgent waits for the end of a batch when no worker is idle.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 1
defer.worker_idle_timeout = '1h'});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE seen (job bigint, batch int);
	-- each takes a millisecond at least
	CREATE FUNCTION sized() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO seen SELECT defer.current_job(), cardinality(c.jobs) FROM defer.claim c WHERE defer.current_job() = ANY (c.jobs);
		PERFORM pg_sleep(0.001);
	END $$;
});

sub largest_batch
{
	my ($priority) = @_;

	$node->safe_psql('postgres', "TRUNCATE seen; SELECT count(defer.enqueue('sized', priority => $priority)) FROM generate_series(1, 300)");
	settled($node, "300 jobs of priority $priority");
	is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT job) FROM seen'), '300|300', 'each has seen its batch');
	return $node->safe_psql('postgres', 'SELECT max(batch) FROM seen');
}

cmp_ok(largest_batch(0), '<=', 10, 'jobs of ten milliseconds at most');
cmp_ok(largest_batch(-1), '<=', 10, 'the first of another priority');
cmp_ok(largest_batch(0), '<=', 3, 'and from then on of three');

$node->stop;
done_testing();
