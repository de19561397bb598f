# transaction_timeout (PostgreSQL 17 and later) of a role or of the server ends sessions.
# Of a job it is a time limit, and none of defer's processes ends by it.
use strict;
use warnings;

use DeferTest;
use Deliveries;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $missing = Peers::missing('http');
plan skip_all => "$missing is not there" if $missing;

my $http = Peers->http;
my $node = delivery_server('main', 'defer.max_workers = 4');

if ($node->safe_psql('postgres', 'SHOW server_version_num') < 170000)
{
	$node->stop;
	plan skip_all => 'PostgreSQL has it from 17 on';
}

# The sessions of this test are not limited
$ENV{PGOPTIONS} = '-c transaction_timeout=0';

sub attempts
{
	my ($id) = @_;

	return $node->safe_psql('postgres', "SELECT j.state, j.attempt, string_agg(a.outcome || ' ' || a.message, ', ' ORDER BY a.attempt)
		FROM defer.jobs j LEFT JOIN defer.attempts a ON a.job_id = j.id WHERE j.id = $id GROUP BY 1, 2");
}

# ------------------------------------------------------------------------
# Of a role
# ------------------------------------------------------------------------

$node->safe_psql('postgres', q{
	CREATE ROLE brief LOGIN;
	ALTER ROLE brief SET transaction_timeout = '200 ms';
	CREATE ROLE patient LOGIN;
	ALTER ROLE patient SET transaction_timeout = '1 h';
	GRANT USAGE ON SCHEMA defer TO brief, patient;
	CREATE FUNCTION long() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(600)';
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS 'SELECT'});

sub enqueue_as
{
	my ($role, $job) = @_;

	return $node->safe_psql('postgres', "SELECT defer.enqueue($job, initial_interval => '1 ms')", extra_params => [ '-U', $role ]);
}

my $long = enqueue_as('brief', q{'long', max_attempts => 2});
my $quick = enqueue_as('brief', q{'quick', max_attempts => 1000});
my $limited = enqueue_as('patient', q{'long', max_attempts => 1, max_duration => '100 ms'});

settled($node, 'jobs of roles with the setting end');
is(attempts($long), 'failed|2|timed_out job was stopped after transaction_timeout of 0.2 s, '
	. 'timed_out job was stopped after transaction_timeout of 0.2 s', 'one over it has timed out');
like(attempts($quick), qr/^succeeded/, 'one below it has not');
is(attempts($limited), 'failed|1|timed_out job was stopped after its max_duration of 0.1 s', 'the shorter limit counts');

# ------------------------------------------------------------------------
# Of the server: shorter than the waits of our processes for locks of 200 ms and 2 s, and
# long enough for a session to begin on a busy machine
# ------------------------------------------------------------------------

$node->safe_psql('postgres', q{SELECT defer.cron('quick', '* * * * * *', name => 'due')});
$node->safe_psql('postgres', q{ALTER SYSTEM SET transaction_timeout = '150 ms'});
$node->restart;
my $holder = $node->background_psql('postgres', on_error_stop => 1);
my $log_from = -s $node->logfile;

# Wait until a process has waited for a lock for as long as it waits, in one transaction
sub waits_for_long
{
	my ($type, $what) = @_;
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' AND datname = 'postgres'");
	my $until = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $found = sub { return slurp_file($node->logfile, $log_from) =~ /\[$pid\] .*canceling statement due to lock timeout/; };

	usleep(20_000) until $found->() || time() > $until;
	ok($found->(), $what);
	return;
}

$holder->query_safe('BEGIN; LOCK TABLE defer.job_history, defer.schedule IN ACCESS EXCLUSIVE MODE;');
my $id = $node->safe_psql('postgres', "SELECT defer.http('GET', " . quoted($http->url('/record')) . ', max_attempts => 1)');
$http->wait_for_requests(1, '/record', 'a delivery is sent');
waits_for_long('defer sender', 'the sender waits for longer, to record it');
waits_for_long('defer scheduler', 'the scheduler waits for longer');
$holder->query_safe('COMMIT;');
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", 'then the delivery has succeeded');
is(scalar($http->requests('/record')), 1, 'and was not sent again');
unlike(slurp_file($node->logfile), qr/due to transaction timeout/, 'no process has ended by it');

$holder->quit;
$node->stop;
done_testing();
