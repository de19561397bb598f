# Stops of the server in the midst of work, at random times; and with a
# synchronous standby that is not there.  DEFER_STOPS says how many, DEFER_SEED
# when.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $stops = $ENV{DEFER_STOPS} || 50;
my $seed = $ENV{DEFER_SEED} || 1 + int(rand(999_999));
my $node = new_server('main', q{defer.max_workers = 4
defer.retention = 0});
my @files;

diag("seed $seed");
srand($seed);
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint, what text);
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION nap() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(0.05)';
	CREATE FUNCTION fan() RETURNS bigint LANGUAGE sql AS $$
		INSERT INTO effect VALUES (defer.current_job(), '20');
		SELECT count(defer.enqueue('public.quick')) FROM generate_series(1, 20)$$;
	CREATE FUNCTION flaky() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		IF random() < 0.3 THEN RAISE EXCEPTION 'no luck'; END IF;
	END $$;
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	SELECT defer.configure('flaky', initial_interval => '20 ms', max_interval => '50 ms');
	SELECT defer.cron('tick', '* * * * * *', overlap => 'allow', catch_up => 'all')});

sub load_begins
{
	return (
		client_start($node, q{SELECT 'ack ' || defer.enqueue('quick') FROM generate_series(1, 100);}, 'SELECT pg_sleep(0.01);'),
		client_start($node, q{SELECT 'ack ' || defer.enqueue('fan');}, q{SELECT 'ack ' || defer.enqueue('flaky') FROM generate_series(1, 5);},
			q{SELECT 'ack ' || defer.enqueue('nap');}));
}

my @clients = load_begins();
for my $number (1 .. $stops)
{
	# that many immediate ones, and some others between them
	for my $mode ('immediate', rand() < 0.2 ? 'fast' : ())
	{
		usleep(20_000 + rand(400_000));
		ok($node->stop($mode, fail_ok => 1), "stop $number: $mode");
		$node->start;
	}
}
push @files, clients_stop(@clients);
history_ok($node, \@files, what => "after $stops stops", busy => 1, fan_out => 1);

# What waits for a standby that never comes is not acknowledged; jobs and ticks,
# which nobody outside waits for, go on; and nothing holds up a stop.
for my $synchronous ('off', 'on')
{
	my $what = "no standby, defer.synchronous_commit = $synchronous";
	my $ticks = $node->safe_psql('postgres', 'SELECT max(scheduled_for) FROM defer.jobs');

	$node->append_conf('postgresql.auto.conf', "synchronous_standby_names = 'nobody'\ndefer.synchronous_commit = $synchronous");
	$node->reload;
	@clients = load_begins();
	until_ok($node, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend')},
		"$what: clients wait");
	until_ok($node, "SELECT max(scheduled_for) >= '$ticks'::timestamptz + interval '2 s' FROM defer.jobs", "$what: the scheduler does not");
	my $job = $node->safe_psql('postgres', q{SET synchronous_commit = local; SELECT defer.enqueue('quick')});
	if ($synchronous eq 'off')
	{
		until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $job", "$what: nor do jobs");
	}
	else
	{
		until_ok($node, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'defer worker')},
			"$what: jobs wait");
	}
	ok($node->stop('fast', fail_ok => 1), "$what: a fast stop ends");
	push @files, clients_stop(@clients);
	$node->append_conf('postgresql.auto.conf', "synchronous_standby_names = ''");
	$node->start;
	history_ok($node, \@files, what => $what, busy => 1, fan_out => 1);
}
quiesce($node);
history_ok($node, \@files, what => 'at the end', fan_out => 1, ticks => ['tick']);
$node->stop;
done_testing();
