# What a job says as it fails may be of any length: what is kept of it is not.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
defer.max_workers = 1
defer.retention = 0
log_min_messages = fatal
defer.log_level = fatal
});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION wordy(n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION '%', repeat('é', n) USING DETAIL = repeat('d', n), HINT = repeat('h', n), ERRCODE = 'AB123';
	END $$;
	CREATE FUNCTION deep(n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF n = 0 THEN RAISE EXCEPTION 'at the bottom'; END IF;
		PERFORM deep(n - 1);
	END $$;
	CREATE FUNCTION good() RETURNS void LANGUAGE sql AS 'SELECT'});
for my $n (100, 10_000_000)
{
	my $id = $node->safe_psql('postgres', "SELECT defer.enqueue('wordy', '[$n]', max_attempts => 1)");

	settled($node, "an error of $n characters");
	is($node->safe_psql('postgres', qq{SELECT state, sqlstate, octet_length(error) <= 70000 FROM defer.jobs WHERE id = $id}), 'failed|AB123|t', 'the job has failed, with its SQLSTATE');
	is($node->safe_psql('postgres', qq{
		SELECT octet_length(message) <= 70000, octet_length(detail) <= 70000, octet_length(hint) <= 70000 FROM defer.attempts WHERE job_id = $id}),
		't|t|t', 'what is kept of it is not too long');
	is($node->safe_psql('postgres', qq{
		SELECT message ~ 'bytes\\)\$', detail ~ 'bytes\\)\$', hint ~ 'bytes\\)\$' FROM defer.attempts WHERE job_id = $id}),
		$n > 1000 ? 't|t|t' : 'f|f|f', 'and says if it was cut');
}
my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('deep', '[1500]', max_attempts => 1)});
settled($node, 'a long context');
is($node->safe_psql('postgres', qq{SELECT octet_length(context) BETWEEN 10000 AND 70000, context ~ 'bytes\\)\$' FROM defer.attempts WHERE job_id = $id}), 't|t', 'is cut, too');

# What cannot be written as it is, is written in short; and the next job runs
$node->safe_psql('postgres', q{
	ALTER TABLE defer.attempt ADD CONSTRAINT no_secrets CHECK (message NOT LIKE '%secret%');
	CREATE FUNCTION secret() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'a secret'; END $$});
$id = $node->safe_psql('postgres', q{SELECT defer.enqueue('secret', max_attempts => 1)});
settled($node, 'an error that a constraint of somebody does not want');
$node->safe_psql('postgres', q{SELECT defer.enqueue('good')});
settled($node, 'the worker goes on');

# As much as a text can have
SKIP:
{
	my ($free) = map { /^MemAvailable:\s+(\d+) kB/ ? $1 : () } split /\n/, slurp_file('/proc/meminfo');

	skip 'not enough memory', 2 if !$ENV{DEFER_TEST_LARGE} || $free < 6_000_000;
	my $huge = $node->safe_psql('postgres', q{SELECT defer.enqueue('wordy', '[536870000]', max_attempts => 1)});
	settled($node, 'an error of a gigabyte');
	is($node->safe_psql('postgres', qq{SELECT state FROM defer.jobs WHERE id = $huge}), 'failed', 'has failed');
}
$node->stop;
done_testing();
