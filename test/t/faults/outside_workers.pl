# Workers outside of the server, among faults: sessions that are killed and terminated,
# stops of the server, workers that are late, or go without a word.  Each effect is
# committed once, and nothing is lost or left.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 2
defer.retention = 0});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	SELECT defer.create_task('remote', max_attempts => 100, initial_interval => '0');
	CREATE PROCEDURE work() LANGUAGE plpgsql AS $$
	DECLARE
		ids bigint[];
		tokens uuid[];
		dice double precision;
	BEGIN
		FOR i IN 1 .. 20 LOOP
			SELECT array_agg(t.id), array_agg(t.token) INTO ids, tokens
			  FROM defer.take('{remote}', n => 3, lease => '1 second') t;
			COMMIT;
			IF ids IS NULL THEN
				PERFORM pg_sleep(0.01);
				CONTINUE;
			END IF;
			FOR n IN 1 .. cardinality(ids) LOOP
				dice := random();
				IF dice < 0.03 THEN
					CONTINUE;			-- not a word
				ELSIF dice < 0.06 THEN
					PERFORM defer.fail(ids[n], tokens[n], 'on purpose');
				ELSIF dice < 0.09 THEN
					INSERT INTO effect VALUES (-1);
					DELETE FROM effect WHERE job = -1;
					PERFORM defer.release(ids[n], tokens[n]);
				ELSE
					INSERT INTO effect VALUES (ids[n]);
					IF dice < 0.11 THEN
						PERFORM pg_sleep(1.5);	-- late for the call
					END IF;
					PERFORM defer.complete(ids[n], tokens[n]);
					IF dice > 0.98 THEN
						PERFORM pg_sleep(1.5);	-- late for COMMIT
					END IF;
				END IF;
				COMMIT;
			END LOOP;
		END LOOP;
	END $$});

my @workers = map { client_start($node, 'CALL work();') } 1 .. 3;
my @files;

sub load_begins
{
	my ($what) = @_;
	my $client = client_start($node, q{SELECT 'ack ' || defer.enqueue('remote') FROM generate_series(1, 10);}, 'SELECT pg_sleep(0.02);');
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM effect');

	until_ok($node, "SELECT count(*) > $before + 20 FROM effect", "$what: under load");
	return $client;
}

sub load_ends
{
	my ($what, $client) = @_;

	push @files, clients_stop($client);
	history_ok($node, \@files, what => $what, max_attempts => 100, busy => 1);
	return;
}

# A worker's session that is in the midst of it
sub worker_pid
{
	my ($do) = @_;

	for (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $pid = $node->safe_psql('postgres', "SELECT max(pid) $do FROM pg_stat_activity WHERE query = 'CALL work();' AND state = 'active'");

		return $pid if $pid ne '';
		select(undef, undef, undef, 0.01);
	}
	die 'no worker';
}

my $client = load_begins('termination');
for (1 .. 3)
{
	my $pid = worker_pid('');

	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
}
load_ends('termination', $client);

$client = load_begins('kill -9');
kill('KILL', worker_pid(''));
until_ok($node, 'SELECT true', 'kill -9: the server is back');
load_ends('kill -9', $client);

for my $mode (qw(fast immediate))
{
	$client = load_begins("stop $mode");
	$node->stop($mode);
	$node->start;
	load_ends("stop $mode", $client);
}

clients_stop(@workers);
history_ok($node, \@files, what => 'all', max_attempts => 100);
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM defer.attempts WHERE outcome = 'lost'}), 't', 'some leases were lost');
$node->stop;
done_testing();
