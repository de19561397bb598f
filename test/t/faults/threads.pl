# Threads: those that the language of a job has started in a worker, and those that the
# sender cannot end, as they look up a name.
use strict;
use warnings;

use DeferTest;
use Deliveries;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $library = test_library();
my $shim_log = PostgreSQL::Test::Utils::tempdir() . '/shim.log';

append_to_file($shim_log, '');
$ENV{NET_SHIM_LOG} = $shim_log;
$ENV{NET_SHIM_GO} = PostgreSQL::Test::Utils::tempdir() . '/never';
$ENV{LD_PRELOAD} = test_library('net_shim') . '.so';
my $node = delivery_server('main', 'defer.max_workers = 1');

delete $ENV{LD_PRELOAD};
$node->safe_psql('postgres', qq{CREATE FUNCTION thread_of_timer() RETURNS text LANGUAGE c AS '$library'});

# The timer of a worker interrupts the main thread and no other
my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('thread_of_timer', max_attempts => 1)});

settled($node, 'a job with a thread ends');
is($node->safe_psql('postgres', "SELECT state, result FROM defer.jobs WHERE id = $id"), 'succeeded|"main"',
	'the signal of the timer is for the main thread');

# Names that hang: an e-mail in a thread of ours, a request in one of libcurl's
# (newer versions of libcurl look up each kind of address by itself)
my $names = sub {
	my %seen = map { $_ => 1 } slurp_file($shim_log) =~ /^resolve ((?:mail|web)\.hang\.test)$/mg;
	return scalar(keys %seen);
};

$node->safe_psql('postgres', q{
	SELECT defer.endpoint('far', 'email', 'smtp://mail.hang.test', sender => 'a@example.org');
	SELECT defer.email('b@example.org', 's', 'b', endpoint => 'far', timeout => '1 hour');
	SELECT defer.http('GET', 'http://web.hang.test/', timeout => '1 hour', connect_timeout => '1 hour')});
for (1 .. 50 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if $names->() >= 2;
	select(undef, undef, undef, 0.02);
}
is($names->(), 2, 'both names are looked up');
my $sender = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'defer sender'});

is($node->safe_psql('postgres', "SELECT pg_terminate_backend($sender, 120000)"), 't', 'the sender goes all the same');
$node->stop;
unlike(slurp_file($shim_log), qr/^unloaded/m, 'without the exit handlers of libraries that its threads still use');
unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC|TRAP/, 'nothing has crashed');
done_testing();
