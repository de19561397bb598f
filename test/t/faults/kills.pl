# Each kind of process is killed, or terminated, in the midst of work: nothing
# is lost, nothing is done twice, and all goes on.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = new_server('main', q{defer.max_workers = 4
defer.retention = 0});
my @files;

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION nap() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(0.05)';
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	SELECT defer.cron('tick', '* * * * * *', overlap => 'allow', catch_up => 'all')});

sub load_begins
{
	my ($what) = @_;
	my @clients = (
		client_start($node, q{SELECT 'ack ' || defer.enqueue('quick') FROM generate_series(1, 20);}, 'SELECT pg_sleep(0.01);'),
		client_start($node, q{SELECT 'ack ' || defer.enqueue('nap') FROM generate_series(1, 2);}, 'SELECT pg_sleep(0.02);'));

	until_ok($node, q{SELECT count(*) > 1 FROM defer.workers WHERE kind = 'worker' AND job_id IS NOT NULL},
		"$what: under load");
	return @clients;
}

sub load_ends
{
	my ($what, @clients) = @_;

	push @files, clients_stop(@clients);
	history_ok($node, \@files, what => $what, busy => 1);
	return;
}

# How long after the server was back did a job begin?  Only to be seen: the
# machine may have better to do.
sub note_return
{
	my ($what, $from) = @_;
	my @ready;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		@ready = slurp_log($node, $from) =~ /^(\S+ \S+ \S+) .*database system is ready to accept connections$/mg;
		last if @ready;
		usleep(100_000);
	}
	is(scalar @ready, 1, "$what: the server has started anew, once") or return;
	my $begun = "SELECT min(h.started_at) FROM defer.job_history h WHERE h.started_at > '$ready[0]'";

	until_ok($node, "SELECT ($begun) IS NOT NULL", "$what: jobs run again");
	note($node->safe_psql('postgres', "SELECT '$what: ' || (extract(epoch FROM ($begun) - '$ready[0]') * 1000)::int || ' ms until a job ran'"));
	return;
}

for my $type ('defer worker', 'defer scheduler', 'defer launcher', 'client backend', 'checkpointer')
{
	my $what = "kill -9 of a $type";
	my @clients = load_begins($what);
	my $from = -s $node->logfile;
	my ($pid, $victim);

	# one that is there to stay: others may just be on their way out
	if ($type eq 'client backend')
	{
		$victim = $node->background_psql('postgres', on_error_stop => 0);
		$pid = $victim->query('SELECT pg_backend_pid()');
	}
	else
	{
		$pid = $node->safe_psql('postgres', "SELECT max(pid) FROM pg_stat_activity WHERE backend_type = '$type'");
	}
	kill('KILL', $pid);
	note_return($what, $from);
	eval { $victim->quit } if $victim;
	load_ends($what, @clients);
}

for my $type ('defer worker', 'defer scheduler', 'defer launcher')
{
	my $what = "termination of each $type";
	my @clients = load_begins($what);
	my $job = $node->safe_psql('postgres', q{SELECT defer.command('SELECT pg_sleep(600)')});

	until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $job", "$what: a long job runs");
	my @pids = split /\n/, $node->safe_psql('postgres', qq{
		WITH them AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE backend_type = '$type')
		SELECT pid FROM them WHERE pg_terminate_backend(pid)});

	cmp_ok(scalar @pids, '>', 0, "$what: there were some");
	until_ok($node, sprintf(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid IN (%s))
		AND EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = '%s')}, join(',', @pids), $type),
		"$what: others are there");
	until_ok($node, "SELECT EXISTS (SELECT FROM defer.attempts WHERE job_id = $job AND outcome = 'crashed')",
		"$what: the crashed attempt is recorded") if $type eq 'defer worker';
	$node->safe_psql('postgres', "SELECT defer.cancel($job, force => true)");
	load_ends($what, @clients);
}

# The postmaster itself: our processes end without being told, also in a job
my @clients = load_begins('kill -9 of the postmaster');
my $long = $node->safe_psql('postgres',
	q{SELECT defer.command('SELECT pg_sleep(600)')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $long", 'a long job runs');
my @pids = split /\n/, $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'defer%'});
$node->kill9;
my $left = 0;
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	$left = grep { kill(0, $_) } @pids;
	last if !$left;
	usleep(100_000);
}
is($left, 0, 'kill -9 of the postmaster: our processes end by themselves');
$node->start;
until_ok($node, "SELECT pid IS NOT NULL FROM defer.jobs WHERE id = $long", 'kill -9 of the postmaster: the long job runs again');
$node->safe_psql('postgres', "SELECT defer.cancel($long, force => true)");
load_ends('kill -9 of the postmaster', @clients);

quiesce($node);
history_ok($node, \@files, what => 'at the end', ticks => ['tick']);
$node->stop;
done_testing();
