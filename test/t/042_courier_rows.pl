# Others lock, hold or rewrite our tables while the courier claims deliveries or
# writes how they have ended: nothing is sent again for that, none waits for
# another, and neither memory nor room under a limit goes.
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
my $node = delivery_server('main', q{defer.max_workers = 4
autovacuum = off});
my $holder = $node->background_psql('postgres', on_error_stop => 1);

sub request
{
	my ($target, $options) = @_;

	return $node->safe_psql('postgres', q{SELECT defer.http('GET', } . quoted($http->url($target)) . ($options // '') . ')');
}

sub succeeds
{
	my ($id, $what) = @_;

	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", $what);
	is($node->safe_psql('postgres', "SELECT attempt FROM defer.jobs WHERE id = $id"), '1', "$what: at the first attempt");
	return;
}

sub courier_waits
{
	my ($what) = @_;

	until_ok($node, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'defer courier' AND wait_event_type = 'Lock')}, $what);
	return;
}

# ------------------------------------------------------------------------
# The claims are where they were not
# ------------------------------------------------------------------------
{
	my @ids;

	for (1 .. 5)
	{
		succeeds(request('/record'), 'a delivery');
	}
	for my $n (1 .. 3)
	{
		push @ids, request('/hang', q{, timeout => '1 hour'});
		$http->wait_for_requests($n, '/hang', 'rewritten: one that hangs');
	}
	is($node->safe_psql('postgres', q{SELECT string_agg(jobs::text, ' ' ORDER BY id) FROM defer.claim}), "{$ids[0]} {$ids[1]} {$ids[2]}",
		'rewritten: each has its claim');
	$node->safe_psql('postgres', 'VACUUM FULL defer.claim; VACUUM FULL defer.job');
	$node->safe_psql('postgres', "SELECT defer.cancel($ids[0], force => true)");
	until_ok($node, "SELECT state = 'cancelled' FROM defer.jobs WHERE id = $ids[0]", 'rewritten: one ends');
	is($node->safe_psql('postgres', q{SELECT string_agg(jobs::text, ' ' ORDER BY id) FROM defer.claim}), "{$ids[1]} {$ids[2]}",
		'rewritten: its claim goes, and no other');
	$node->safe_psql('postgres', "SELECT defer.cancel($_, force => true)") for @ids[1, 2];
	settled($node, 'rewritten: the others end');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.claim'), '0', 'rewritten: no claim is left');
	$http->clear;
}

# ------------------------------------------------------------------------
# Cancelled while it is being claimed
# ------------------------------------------------------------------------
for my $round (1 .. 20)
{
	my $cancels = $node->background_psql('postgres', on_error_stop => 1);

	$holder->query_safe('BEGIN; LOCK TABLE defer.claim IN SHARE MODE;');
	my $id = request('/record');
	courier_waits("cancel $round: it is being claimed");
	$cancels->query_until(qr/^begun$/m, "\\echo begun\nBEGIN;\nSELECT 'said ' || defer.cancel($id);\n");
	until_ok($node, q{SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')
		OR NOT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%''said ''%' AND pid <> pg_backend_pid())},
		"cancel $round: it waits for that");
	$holder->query_safe('COMMIT;');
	my ($said) = $cancels->query_until(qr/^said \w+$/m, '') =~ /^said (\w+)$/m;

	# else the courier had given up, and tries again
	if ($said eq 'false')
	{
		succeeds($id, 'cancel: it is sent, and nothing of it is locked by who wanted to cancel it');
		$cancels->query_safe('COMMIT;');
		$cancels->quit;
		last;
	}
	$cancels->query_safe('COMMIT;');
	$cancels->quit;
	isnt($round, 20, 'cancel: came too early');
}

is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.claim'), '0', 'no claim is left');
$holder->quit;

my @crashes = slurp_file($node->logfile) =~ /^.*(?:PANIC:|TRAP:|terminated by signal (?:4|6|7|8|11)\b).*$/mg;

is(join("\n", @crashes), '', 'no crash of ours');
$node->stop;
done_testing();
