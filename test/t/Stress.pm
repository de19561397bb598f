# Random work and random faults, and then the history checker.
#
# Clients are processes of their own that run scripts of statements with psql;
# what the server acknowledged is what psql printed, in a file that no fault
# reaches.  All choices come from the seed: the same seed is the same sequence
# of statements for each client, and of faults.  What of it is reached in
# the given time, and what a fault meets, is up to the machine.
package Stress;
use strict;
use warnings;

use Exporter 'import';
use POSIX ();
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
		my $script = "$file.sql";
		my @statements;

		for (1 .. 2 + any(15))
		{
			push @statements, $role eq 'postgres' && rand() < 0.35
			  ? control_statement() : enqueue_statement();
		}
		open(my $handle, '>', $script) or die "$script: $!";
		print $handle "$_\n" for @statements;
		close($handle);
		my $begun = time();
		system("psql -XAtq -U $role -d '"
			  . $node->connstr('postgres') . "' -f $script >>$file 2>>$file.err");
		# the server is away
		usleep(100_000) if time() - $begun < 0.05;
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
		my $child = fork();
		die "could not fork: $!" unless defined $child;
		if ($child == 0)
		{
			eval { client($node, $number, $option{seed}, $until, $file) };
			print STDERR $@ if $@;
			POSIX::_exit($@ ? 1 : 0);
		}
		push @children, $child;
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
# The history checker
# ------------------------------------------------------------------------

# Load what clients have in their files
sub load_acknowledged
{
	my ($node, @files) = @_;

	$node->safe_psql('postgres', q{
		CREATE TABLE IF NOT EXISTS acknowledged (id bigint);
		CREATE TABLE IF NOT EXISTS cancelled (id bigint);
		TRUNCATE acknowledged, cancelled});
	for my $file (@files)
	{
		my %ids = (ack => '', cancelled => '');

		open(my $handle, '<', $file) or die "$file: $!";
		while (my $line = <$handle>)
		{
			$ids{$1} .= "$2\n" if $line =~ /^(ack|cancelled) (\d+)$/;
		}
		close($handle);
		for my $table ([ ack => 'acknowledged' ], [ cancelled => 'cancelled' ])
		{
			open(my $copy, '>', "$file.$table->[1]") or die $!;
			print $copy $ids{ $table->[0] };
			close($copy);
			$node->safe_psql('postgres', "\\copy $table->[1] FROM '$file.$table->[1]'");
		}
	}
	return;
}

sub nothing
{
	my ($node, $query, $what) = @_;

	is($node->safe_psql('postgres', "$query LIMIT 10"), '', $what);
	return;
}

sub stress_check
{
	my ($node, @files) = @_;

	load_acknowledged($node, @files);
	# what a client began and could not end
	for my $gid (split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
	{
		$node->safe_psql('postgres', "COMMIT PREPARED '$gid'");
	}
	$node->safe_psql('postgres', q{
		SELECT defer.unschedule(name) FROM defer.schedules;
		SELECT defer.resume(function) FROM defer.functions WHERE paused;
		SELECT defer.resume_queue(queue) FROM defer.queues WHERE paused});
	my $settled = $node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM defer.job j
		WHERE NOT EXISTS (SELECT FROM defer.job_history h WHERE h.id = j.id))');

	ok($settled, 'each job ends');
	diag($node->safe_psql('postgres',
			'SELECT id, function, state, run_at - now(), attempt, pid FROM defer.jobs
			  WHERE finished_at IS NULL LIMIT 20; TABLE defer.claim; TABLE defer.workers; TABLE defer.health'))
	  unless $settled;
	ok($node->poll_query_until('postgres',
			'SELECT NOT EXISTS (SELECT FROM defer.claim) AND NOT EXISTS (SELECT FROM defer.job)'),
		'no claim is left');
	nothing($node, 'SELECT id, count(*) FROM defer.job_history GROUP BY id HAVING count(*) > 1',
		'no job has ended twice');
	nothing($node, 'SELECT a.id FROM acknowledged a LEFT JOIN defer.job_history h USING (id) WHERE h.id IS NULL',
		'none that was acknowledged is lost');
	nothing($node, q{SELECT h.id, h.function FROM defer.job_history h WHERE h.metadata = '"rolled back"'},
		'none that was rolled back is there');
	nothing($node, q{SELECT c.id, h.state FROM cancelled c JOIN defer.job_history h USING (id) WHERE h.state <> 'c'},
		'what was cancelled stayed so');
	nothing($node, q{SELECT h.id, h.function, h.state, h.attempt, count(e.job)
		  FROM defer.job_history h LEFT JOIN effect e ON e.job = h.id
		 GROUP BY 1, 2, 3, 4 HAVING count(e.job) <> (h.state = 's')::int},
		'each effect once for each success, and none otherwise');
	nothing($node, 'SELECT e.job FROM effect e LEFT JOIN defer.job_history h ON h.id = e.job WHERE h.id IS NULL',
		'no effect of nothing');
	nothing($node, q{SELECT e.job, e.what, count(h.id) FROM effect e LEFT JOIN defer.job_history h ON h.parent_id = e.job
		 WHERE e.what IS NOT NULL GROUP BY 1, 2 HAVING count(h.id) <> e.what::int},
		'each fan-out is whole, and there once');
	nothing($node, q{SELECT c.id, c.parent_id FROM defer.job_history c JOIN defer.job_history p ON p.id = c.parent_id
		 WHERE p.state <> 's'}, 'none is a child of a job that did not succeed');
	nothing($node, q{SELECT h.schedule_id, h.scheduled_for, count(*) FROM defer.job_history h
		 WHERE h.scheduled_for IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1},
		'each tick has one row');
	nothing($node, q{SELECT h.scheduled_for, h.before FROM (SELECT h.scheduled_for,
				lag(h.scheduled_for) OVER (ORDER BY h.scheduled_for) AS before
			  FROM defer.job_history h WHERE h.function LIKE '%s_tick()' AND h.scheduled_for IS NOT NULL) h
		 WHERE h.scheduled_for <> h.before + interval '1 second'},
		'no tick is missing');
	nothing($node, q{SELECT w.pid, w.kind, w.job_id FROM defer.workers w
		 WHERE w.job_id IS NOT NULL OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = w.pid)},
		'nothing runs without a process');
	nothing($node, q{SELECT h.id, h.attempt FROM defer.job_history h
		 WHERE h.state = 'f' AND h.attempt < 8 AND h.sqlstate = '57P01'
		   AND (SELECT count(*) FROM defer.attempt a WHERE a.job_id = h.id AND a.outcome = 'crashed') < 3},
		'none is given up before it has crashed three times');
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);

	is(join("\n", $log =~ /^.*(?:PANIC:|TRAP:|terminated by signal (?:4|6|7|8|11)\b).*$/mg), '',
		'no crash of ours');
	note('jobs: ' . $node->safe_psql('postgres', q{SELECT string_agg(state || ' ' || n, ', ') FROM
		(SELECT state, count(*) AS n FROM defer.jobs GROUP BY 1 ORDER BY 1) s}));
	note('attempts without success: ' . $node->safe_psql('postgres', q{SELECT string_agg(outcome || ' ' || n, ', ') FROM
		(SELECT outcome, count(*) AS n FROM defer.attempts GROUP BY 1 ORDER BY 1) s}));
	note($node->safe_psql('postgres', 'SELECT count(*) FROM acknowledged') . ' acknowledged');
	return;
}

1;
