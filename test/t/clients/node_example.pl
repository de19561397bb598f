# examples/nextjs-like, as its README says: a thousand users, of whom one has no address.  The
# worker is killed in the midst of it, and each user still gets one mail.  With DEFER_CHECK_CLIENTS
# only, which tools/check-clients sets: it installs the example's packages.
use strict;
use warnings;

use Dashboard;
use DeferTest;
use NodeClient;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $example = 'examples/nextjs-like';

plan skip_all => 'only with DEFER_CHECK_CLIENTS, which make check-clients sets' if !$ENV{DEFER_CHECK_CLIENTS};
plan skip_all => $_ for grep { $_ } NodeClient::missing();
plan skip_all => "npm has not installed the packages of $example" if !-d "$example/node_modules/typescript";
plan skip_all => Peers::missing('smtp') . ' is not there' if Peers::missing('smtp');

my $mail = Peers->smtp;
my $node = new_server('main', sprintf(q{defer.max_workers = 2
max_connections = 60
defer.smtp_url = '%s'
defer.smtp_from = 'The Marketplace <hello@shop.example>'}, $mail->url('plain')));
my $log = PostgreSQL::Test::Utils::tempdir() . '/worker.log';

$node->safe_psql('postgres', slurp_file("$example/schema.sql"));
local $ENV{DATABASE_URL} = NodeClient::url($node, 'shop_app');
chdir $example or die "$example: $!";

sub start_worker
{
	return IPC::Run::start([ 'node', 'node_modules/defer-postgres/bin/defer-worker.js', 'src/defer', '--concurrency', 20, '--lease', 2 ],
		'<', '/dev/null', '>>', $log, '2>&1');
}

my $worker = start_worker();

until_ok($node, q{SELECT count(*) = 1 FROM defer.schedules WHERE name = 'weeklyProductRecommendations'}, 'the schedule is declared');
my $run = IPC::Run::start([ 'node', '--import', 'defer-postgres/register', 'src/trigger.ts' ], '<', '/dev/null', '>', \my $said, '2>', \my $error);
$run->finish;
is($said, "job 1\n", 'one line triggers it') or diag $error;
until_ok($node, 'SELECT count(*) > 100 FROM recommendation', 'it is under way');
$worker->kill_kill(grace => 0);
$worker = start_worker();
until_ok($node, q{SELECT count(*) > 1999 AND count(*) = count(finished_at) FROM defer.jobs}, 'all has ended');
is($node->safe_psql('postgres', q{SELECT function, state, count(*) FROM defer.jobs GROUP BY 1, 2 ORDER BY 1, 2}),
	"computeProductRecommendation|failed|1\ncomputeProductRecommendation|succeeded|999\ndefer.email|succeeded|999\n"
	. 'weeklyProductRecommendations|succeeded|1', 'of a thousand users one could not be served');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT user_id) FROM recommendation'), '999|999', 'each has one recommendation');
my %mails = map { $_->{rcpt_tos}[0] => 1 } $mail->mails;

is(scalar($mail->mails), 999, 'one mail each');
is(scalar(keys %mails), 999, 'to each of them');
$worker->signal('TERM');
$worker->finish;
is($worker->result(0), 0, 'SIGTERM ends the worker');
if (has_dashboard())
{
	my $dash = start_dashboard($node, [ '--read-only' ], user => 'shop_app');

	login($dash, token => $dash->{token});

	like(get($dash, '/functions')->{content}, qr/computeProductRecommendation/, 'the dashboard shows the function');
	stop_dashboard($dash);
}
$node->stop;
done_testing();
