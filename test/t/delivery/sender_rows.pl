# Others lock, hold or rewrite our tables while the sender claims deliveries or
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
defer.max_payload = '16MB'
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

sub sender_waits
{
	my ($what) = @_;

	until_ok($node, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'defer sender' AND wait_event_type = 'Lock')}, $what);
	return;
}

sub sender_pid
{
	return $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'defer sender'});
}

# Wait until the sender has failed so often to get a lock, by the log from there on
sub time_outs
{
	my ($pid, $from, $n, $what) = @_;
	my $until = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $found = sub { return scalar(() = slurp_file($node->logfile, $from) =~ /\[$pid\] .*ERROR:  canceling statement due to lock timeout/g); };

	usleep(20_000) until $found->() >= $n || time() > $until;
	cmp_ok($found->(), '>=', $n, $what);
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
# How it ended cannot be written for a while
# ------------------------------------------------------------------------
{
	my $log_from = -s $node->logfile;

	$holder->query_safe('BEGIN; LOCK TABLE defer.job_history IN ACCESS EXCLUSIVE MODE;');
	my $id = request('/record?tag=once', ', max_attempts => 1');
	$http->wait_for_requests(1, '/record', 'not written: it is sent');
	time_outs(sender_pid(), $log_from, 3, 'not written: it is tried again and again');
	$holder->query_safe('COMMIT;');
	succeeds($id, 'not written: then it is');
	is(scalar($http->requests('/record')), 1, 'not written: and was not sent again');
	$http->clear;
}

# ------------------------------------------------------------------------
# Meanwhile the network is served: a body that goes in a hundred pieces
# ------------------------------------------------------------------------
{
	my $log_from = -s $node->logfile;

	$holder->query_safe('BEGIN; LOCK TABLE defer.job_history IN ACCESS EXCLUSIVE MODE;');
	my $first = request('/record', ', max_attempts => 1');
	$http->wait_for_requests(1, '/record', 'served: one is sent');
	my $sender = sender_pid();

	time_outs($sender, $log_from, 1, 'served: its end cannot be written');
	my $failures_from = -s $node->logfile;
	my $large = $node->safe_psql('postgres', q{SELECT defer.http('POST', } . quoted($http->url('/status/200'))
		. q{, repeat('x', 8000000)::text, max_attempts => 1)});

	# not by wait_for_requests(), which takes long to read such a body
	my $until = time() + $PostgreSQL::Test::Utils::timeout_default;

	usleep(20_000) until $http->text =~ m{"/status/200"} || time() > $until;
	ok($http->text =~ m{"/status/200"}, 'served: a large body arrives');
	my $failures = () = slurp_file($node->logfile, $failures_from) =~ /\[$sender\] .*ERROR:  canceling statement due to lock timeout/g;

	cmp_ok($failures, '<', 25, 'served: and not a piece between any two failures');
	$holder->query_safe('COMMIT;');
	succeeds($_, 'served: then its end is written') for $first, $large;
	$http->clear;
}

# ------------------------------------------------------------------------
# After that the row of one is held
# ------------------------------------------------------------------------
{
	my $row = $node->background_psql('postgres', on_error_stop => 1);
	my $turns = q{SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'job_pkey'};
	my $log_from = -s $node->logfile;

	$holder->query_safe('BEGIN; LOCK TABLE defer.job_history IN ACCESS EXCLUSIVE MODE;');
	my $large = request('/bytes?n=190000', ', max_attempts => 1');
	$http->wait_for_requests(1, '/bytes', 'held: sent');
	my $other = request('/record', ', max_attempts => 1');
	$http->wait_for_requests(1, '/record', 'held: another one is sent');
	my $sender = sender_pid();

	time_outs($sender, $log_from, 1, 'held: how they ended is to be written one by one');
	$row->query_safe("BEGIN; SELECT FROM defer.job WHERE id = $large FOR UPDATE;");
	$holder->query_safe('COMMIT;');
	succeeds($other, 'held: one that is not held is not held up');

	my $peak = sub { return slurp_file("/proc/$sender/status") =~ /^VmPeak:\s+(\d+)/m ? $1 : undef };
	my $before = $peak->();
	my $from = $node->safe_psql('postgres', $turns);

	until_ok($node, "SELECT ($turns) > $from + 100", 'held: it is tried a hundred times');
	cmp_ok($peak->() - $before, '<', 16 * 1024, 'held: without more memory (kB)');
	$row->query_safe('COMMIT;');
	$row->quit;
	succeeds($large, 'held: it is let go');
	is(scalar($http->requests('/bytes')), 1, 'held: and was not sent again');
	$http->clear;
}

# ------------------------------------------------------------------------
# Cancelled while it is being claimed
# ------------------------------------------------------------------------
# The sender waits for a lock for a moment only: so both sessions look out for the right one by
# themselves, in the server
for my $round (1 .. 50)
{
	my $cancels = $node->background_psql('postgres', on_error_stop => 1);
	my $wait_until = sub { return "DO \$\$ BEGIN LOOP EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE $_[0]); PERFORM pg_sleep(0.001); END LOOP; END \$\$;\n" };

	$holder->query_until(qr/^locked$/m, "BEGIN; LOCK TABLE defer.claim IN SHARE MODE;\n\\echo locked\n"
		. $wait_until->(q{NOT granted AND locktype = 'transactionid' OR locktype = 'advisory' AND objid = 4711}) . "COMMIT;\n");
	my $id = request('/record');
	my ($said) = $cancels->query_until(qr/^said \w+$/m, $wait_until->(q{NOT granted AND relation = 'defer.claim'::regclass})
		. "BEGIN;\nSELECT 'said ' || defer.cancel($id);\nSELECT pg_advisory_lock(4711);\n") =~ /^said (\w+)$/m;

	# else the sender had given up, and tries again
	if ($said eq 'false')
	{
		succeeds($id, 'cancel: it is sent, and nothing of it is locked by who wanted to cancel it');
		$cancels->query_safe('COMMIT;');
		$cancels->quit;
		last;
	}
	$cancels->query_safe('COMMIT;');
	$cancels->quit;
	isnt($round, 50, 'cancel: came too early');
}

# ------------------------------------------------------------------------
# Memory runs out while deliveries are claimed: none stays in the sender's table
# ------------------------------------------------------------------------
SKIP:
{
	skip 'there is no prlimit', 14 if system('prlimit --version >/dev/null 2>&1') != 0;
	succeeds(request('/record'), 'memory: a sender is there');
	$http->clear;

	my $sender = sender_pid();
	my $short = 0;

	for my $megabytes (2, 4, 6, 8, 10, 12)
	{
		my ($size) = slurp_file("/proc/$sender/status") =~ /^VmSize:\s+(\d+) kB/m;
		my $from = -s $node->logfile;
		my $failed = sub { return slurp_file($node->logfile, $from) =~ /\[$sender\] .*ERROR:  out of memory/ };
		my $until = time() + $PostgreSQL::Test::Utils::timeout_default;

		$node->command_ok([ 'prlimit', '--pid', $sender, '--as=' . (($size + 1024 * $megabytes) * 1024) . ':' ], "memory: $megabytes MB more");
		my $ids = $node->safe_psql('postgres', q{SELECT string_agg(defer.http('POST', } . quoted($http->url('/status/200'))
			. q{, repeat('x', 1000000)::text, max_attempts => 1000)::text, ',') FROM generate_series(1, 4)});

		# some have failed in libcurl, or in the claim, or all have enough
		usleep(20_000)
		  until $failed->() || time() > $until
		  || $node->safe_psql('postgres', "SELECT bool_and(attempt > 0 OR state = 'succeeded') FROM defer.jobs WHERE id IN ($ids)") eq 't';
		system('prlimit', '--pid', $sender, '--as=unlimited:');
		$short++ if $failed->();
		until_ok($node, "SELECT bool_and(state = 'succeeded') FROM defer.jobs WHERE id IN ($ids)", "memory: $megabytes MB more: all are sent in the end");
	}
	# what is too little differs with the versions of the server and of libcurl
	note("memory: $short times it was too little");
	is(sender_pid(), $sender, 'memory: for a sender that goes on');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.claim'), '0', 'memory: no claim is left');
	$http->clear;
}

# ------------------------------------------------------------------------
# The sender goes while it claims deliveries that are under a limit
# ------------------------------------------------------------------------
$node->safe_psql('postgres', q{SELECT defer.configure('defer.http', concurrency => 5)});
$holder->query_safe('BEGIN; LOCK TABLE defer.claim IN SHARE MODE;');
$node->safe_psql('postgres', q{SELECT count(defer.http('GET', } . quoted($http->url('/hang')) . q{, timeout => '1 hour')) FROM generate_series(1, 6)});
until_ok($node, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'defer sender' AND wait_event_type = 'Lock'},
	'limit: it goes');
$holder->query_safe('COMMIT;');
$http->wait_for_requests(5, '/hang', 'limit: as many as there may be are sent by another one');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE state = 'running'}), '5', 'limit: and no more');
$node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE finished_at IS NULL AND defer.cancel(id, force => true)});
settled($node, 'limit: all end');
is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.claim'), '0', 'no claim is left');

# ------------------------------------------------------------------------
# The sender goes while a session has locked what it wants to write
# ------------------------------------------------------------------------
$http->clear;
my $hangs = request('/hang', q{, timeout => '1 hour'});
$http->wait_for_requests(1, '/hang', 'locked: it is sent');
$holder->query_safe('BEGIN; LOCK TABLE defer.attempt IN ACCESS EXCLUSIVE MODE;');
is($node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . sender_pid() . ', 60000)'), 't', 'locked: it goes all the same');
$holder->query_safe('COMMIT;');
$http->wait_for_requests(2, '/hang', 'locked: it is sent again');
$node->safe_psql('postgres', "SELECT defer.cancel($hangs, force => true)");
settled($node, 'locked: it ends');
$holder->quit;

my @crashes = slurp_file($node->logfile) =~ /^.*(?:PANIC:|TRAP:|terminated by signal (?:4|6|7|8|11)\b).*$/mg;

is(join("\n", @crashes), '', 'no crash of ours');
$node->stop;
done_testing();
