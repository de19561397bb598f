# Random work and random faults, and then the history checker.
#
# All choices come from the seed: the same seed is the same sequence of
# statements for each client (see HistoryChecker), and of faults.  What of it is
# reached in the given time, and what a fault meets, is up to the machine.
package Stress;
use strict;
use warnings;

use Exporter 'import';
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

our @EXPORT = qw(stress_setup stress_run stress_check);

my @ROLES = qw(postgres stress_a stress_b);
my $serial = 0;

# A random whole number below n
sub any { return int(rand($_[0])); }
sub one_of { return $_[any(scalar @_)]; }

# What the jobs are
sub stress_setup
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
CREATE EXTENSION defer;
CREATE ROLE stress_a LOGIN;
CREATE ROLE stress_b LOGIN;
GRANT USAGE ON SCHEMA defer TO PUBLIC;
CREATE TABLE effect (job bigint, what text);
CREATE TABLE late (job bigint, CONSTRAINT late_key UNIQUE (job) DEFERRABLE INITIALLY DEFERRED);
GRANT ALL ON effect, late TO PUBLIC;
CREATE FUNCTION s_work() RETURNS void LANGUAGE sql AS
	$$INSERT INTO effect VALUES (defer.current_job())$$;
CREATE FUNCTION s_sleep(seconds float8) RETURNS void LANGUAGE sql AS
	$$INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(seconds)$$;
CREATE FUNCTION s_flaky(p float8) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO effect VALUES (defer.current_job());
	RAISE NOTICE 'here I am';
	IF random() < p THEN RAISE EXCEPTION 'no luck'; END IF;
	RETURN 'luck';
END $$;
CREATE FUNCTION s_conflict() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO effect VALUES (defer.current_job());
	IF random() < 0.5 THEN RAISE serialization_failure; END IF;
END $$;
-- fails at its commit, once in two
CREATE FUNCTION s_late() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO effect VALUES (defer.current_job());
	INSERT INTO late SELECT defer.current_job() FROM generate_series(1, 1 + (random() < 0.5)::int);
END $$;
CREATE FUNCTION s_fan(n int) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO effect VALUES (defer.current_job(), n::text);
	SELECT count(defer.enqueue('public.s_work')) FROM generate_series(1, n)$$;
CREATE FUNCTION s_snooze() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO effect VALUES (defer.current_job());
	IF random() < 0.5 THEN PERFORM defer.snooze('10 ms'); END IF;
END $$;
CREATE FUNCTION s_limited() RETURNS void LANGUAGE sql AS
	$$INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(0.01)$$;
CREATE FUNCTION s_keyed() RETURNS void LANGUAGE sql AS
	$$INSERT INTO effect VALUES (defer.current_job())$$;
CREATE FUNCTION s_tick() RETURNS void LANGUAGE sql AS
	$$INSERT INTO effect VALUES (defer.current_job())$$;
CREATE FUNCTION s_tick_slow() RETURNS void LANGUAGE sql AS
	$$INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(1.2)$$;
CREATE FUNCTION s_await() RETURNS void LANGUAGE plpgsql AS $$
DECLARE child bigint;
BEGIN
	INSERT INTO effect VALUES (defer.current_job());
	child := (SELECT j.id FROM defer.jobs j WHERE j.state = 'queued' LIMIT 1);
	IF child IS NOT NULL THEN PERFORM defer.await(child, '200 ms'); END IF;
EXCEPTION WHEN OTHERS THEN
	INSERT INTO effect VALUES (defer.current_job());
END $$;
SELECT defer.create_queue('stress', concurrency => 3);
SELECT defer.grant_queue('stress', 'stress_a'), defer.grant_queue('stress', 'stress_b');
SELECT defer.configure('s_limited', concurrency => 2);
SELECT defer.configure(f, max_attempts => 8, initial_interval => '20 ms', max_interval => '100 ms')
  FROM unnest(ARRAY['s_flaky', 's_late', 's_conflict', 's_work', 's_sleep', 's_fan', 's_snooze',
					's_limited', 's_keyed', 's_tick', 's_tick_slow', 's_await']) f;
-- each second, and none may be missing
SELECT defer.cron('s_tick', '* * * * * *', name => 'all', overlap => 'allow', catch_up => 'all');
SELECT defer.cron('s_tick_slow', '* * * * * *', name => 'slow', overlap => 'queue', catch_up => 'one');
});
	return;
}

# Enqueue: prints "ack <id>" for each job
sub enqueue_statement
{
	my $options = '';
	my $n = one_of(1, 1, 1, 1, 5, 50, 300);
	my $job = one_of(
		"'s_work'", "'s_work'", "'s_work'",
		"'s_sleep', '[" . rand(0.08) . "]'",
		"'s_flaky', '[" . rand(0.7) . "]'",
		"'s_conflict'", "'s_late'", "'s_snooze'", "'s_limited'",
		"'s_fan', '[" . any(40) . "]'",
		"'s_await'",
		"'s_keyed'");

	$n = 5 if $n > 5 && $job =~ /sleep|fan|limited|await/;
	$options .= ", key => 'k" . any(5) . "'" if $job =~ /keyed/;
	$options .= ", priority => " . (any(5) - 2) if rand() < 0.3;
	$options .= ", delay => '" . any(1500) . " ms'" if rand() < 0.2;
	$options .= ", queue => 'stress'" if rand() < 0.15;
	$options .= ", discard_after => '" . (100 + any(3000)) . " ms'" if rand() < 0.05;
	$options .= ", max_duration => '" . (20 + any(200)) . " ms'" if rand() < 0.05;
	if (rand() < 0.1)
	{
		return "SELECT 'ack ' || defer.command('INSERT INTO effect VALUES (defer.current_job())');";
	}
	# a transaction that is rolled back; its ids may be given out again after a crash
	if (rand() < 0.08)
	{
		return "BEGIN; SELECT count(defer.enqueue($job, metadata => '\"rolled back\"'$options)) "
		  . "FROM generate_series(1, $n); ROLLBACK;";
	}
	if (rand() < 0.04)
	{
		my $name = "t$$." . $serial++;

		# whether COMMIT PREPARED was reached or not, both are right
		return "BEGIN; SELECT count(defer.enqueue($job$options)) FROM generate_series(1, $n); "
		  . "PREPARE TRANSACTION '$name'; COMMIT PREPARED '$name';";
	}
	return "SELECT 'ack ' || defer.enqueue($job$options) FROM generate_series(1, $n);";
}

# One of the jobs of ours that is not finished
sub some_job
{
	my $offset = any(50);

	return "FROM (SELECT j.id FROM defer.jobs j WHERE j.state NOT IN "
	  . "('succeeded', 'failed', 'cancelled', 'discarded') ORDER BY j.id OFFSET $offset LIMIT "
	  . (1 + any(3)) . ") j";
}

sub control_statement
{
	my $function = one_of(qw(s_work s_limited s_flaky s_fan s_tick));

	return one_of(
		"SELECT 'cancelled ' || j.id " . some_job() . " WHERE defer.cancel(j.id);",
		"SELECT defer.cancel(j.id, force => true) " . some_job() . ";",
		"SELECT defer.reschedule(j.id, clock_timestamp() + '" . any(800) . " ms') " . some_job() . ";",
		"SELECT 'ack ' || defer.rerun(j.id) " . some_job() . ";",
		"SELECT 'ack ' || defer.trigger('slow');",
		"SELECT defer.alter_cron('slow', overlap => '"
		  . one_of(qw(skip queue allow replace)) . "');",
		"SELECT defer.alter_cron('slow', active => " . one_of(qw(true true false)) . ");",
		"SELECT defer.pause('$function'); SELECT pg_sleep(" . rand(0.3) . "); SELECT defer.resume('$function');",
		"SELECT defer.pause_queue('stress'); SELECT pg_sleep(" . rand(0.3) . "); SELECT defer.resume_queue('stress');",
		"SELECT defer.configure('s_limited', concurrency => " . (1 + any(4)) . ");",
		"SELECT defer.configure('s_flaky', concurrency => " . (1 + any(20)) . ");",
		"SELECT defer.alter_queue('stress', concurrency => " . (1 + any(6)) . ");",
		"SELECT count(*) FROM defer.jobs; SELECT count(*) FROM defer.functions; "
		  . "SELECT count(*) FROM defer.queues; SELECT count(*) FROM defer.health;",
		"BEGIN; SELECT pg_catalog.set_config('lock_timeout', '1s', true); "
		  . "SELECT id FROM defer.jobs LIMIT 1; SELECT pg_sleep(0.1); COMMIT;");
}

sub client
{
	my ($node, $number, $seed, $until, $file) = @_;
	my $role = $ROLES[ $number % @ROLES ];

	srand($seed * 1000 + $number);
	while (time() < $until)
	{
		# A fault between PREPARE and COMMIT PREPARED leaves a transaction that
		# holds a key: nobody is to wait for it until the end
		my @statements = ("SET lock_timeout = '3s';");

		for (1 .. 2 + any(15))
		{
			push @statements, $role eq 'postgres' && rand() < 0.35
			  ? control_statement() : enqueue_statement();
		}
		run_script($node, $role, $file, @statements);
	}
	return;
}

# ------------------------------------------------------------------------
# Faults
# ------------------------------------------------------------------------

sub pids_of
{
	my ($node, $type) = @_;
	my ($status, $out) = $node->psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' AND pid <> pg_backend_pid() ORDER BY pid");

	return $status == 0 && defined $out ? split(/\n/, $out) : ();
}

sub fault
{
	my ($node) = @_;
	my $what = one_of(
		('kill defer worker') x 3,
		'kill defer scheduler', 'kill defer launcher', 'kill client backend', 'kill checkpointer',
		('terminate defer worker') x 4, ('terminate defer scheduler') x 2, 'terminate defer launcher',
		('terminate client backend') x 2,
		('cancel defer worker') x 2,
		'immediate', 'immediate', 'fast');
	my $which = rand();

	if ($what eq 'immediate' || $what eq 'fast')
	{
		$node->stop($what);
		$node->start;
		return $what;
	}
	my ($verb, $type) = $what =~ /^(\S+) (.*)$/;
	my @pids = pids_of($node, $type);
	return "$what: none there" unless @pids;
	my $pid = $pids[ int($which * @pids) ];

	kill(($verb eq 'kill' ? 'KILL' : $verb eq 'cancel' ? 'INT' : 'TERM'), $pid);
	return "$what $pid";
}

# Work and faults for so many seconds.  Returns the clients' files.
sub stress_run
{
	my ($node, %option) = @_;
	my $until = time() + $option{seconds};
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my @files;
	my @children;
	my $faults = 0;

	for my $number (0 .. $option{clients} - 1)
	{
		my $file = "$folder/client$number";

		push @files, $file;
		open(my $handle, '>', $file) or die "$file: $!";
		close($handle);
		push @children, fork_client(sub { client($node, $number, $option{seed}, $until, $file) });
	}

	srand($option{seed} * 1000 + 999);
	while (time() < $until)
	{
		usleep(($option{pause_ms} // 300) * 1000 * 2 * rand());
		my $what = fault($node);

		$faults++;
		note("fault $faults: $what");
	}
	waitpid($_, 0) for @children;
	ok($node->poll_query_until('postgres', 'SELECT true'), 'the server is back');
	note("$faults faults");
	return @files;
}

# ------------------------------------------------------------------------
# The check
# ------------------------------------------------------------------------

sub stress_check
{
	my ($node, @files) = @_;

	quiesce($node);
	history_ok($node, \@files, max_attempts => 8, fan_out => 1, ticks => ['s_tick']);
	return;
}

1;
