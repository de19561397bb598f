# Random work and random faults: nothing is lost, nothing is done twice.  The
# long form is tools/stress.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Utils;
use Stress;
use Test::More;

my $seed = $ENV{DEFER_STRESS_SEED} || 1 + int(rand(999_999));
my $seconds = $ENV{DEFER_STRESS_SECONDS} || 10;

# printed even if all goes well
diag("seed $seed, $seconds s; to run it again: tools/stress --seconds $seconds --seed $seed");
my $node = new_server('main', q{defer.max_workers = 4
defer.retention = 0
max_prepared_transactions = 10
defer.http_allow = '127.0.0.0/8'
max_worker_processes = 32
log_min_messages = log
log_statement = none});

stress_setup($node);
stress_run($node, seconds => $seconds, seed => $seed, clients => 3, pause_ms => 400);
$node->stop;
done_testing();
