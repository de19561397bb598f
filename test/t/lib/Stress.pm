# Random work and random faults, and then the history checker.
#
# All choices come from the seed: the same seed is the same sequence of
# statements for each client (see HistoryChecker), and of faults.  What of it is
# reached in the given time, and what a fault meets, is up to the machine.
package Stress;
use strict;
use warnings;

use Cwd qw(realpath);
use Exporter 'import';
use DeferTest;
use HistoryChecker;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StressFlow;
use Test::More;
use Time::HiRes qw(usleep time);

our @EXPORT = qw(stress_setup stress_run);

my @ROLES = qw(postgres stress_a stress_b);
my $serial = 0;
my $peer;

# Long runs are checked, and begin with empty tables again, after so many seconds
my $ROUND = $ENV{DEFER_STRESS_ROUND} || 600;

# A random whole number below n
sub any { return int(rand($_[0])); }
sub one_of { return $_[any(scalar @_)]; }

# What the jobs are
sub stress_setup
{
	my ($node) = @_;

	$peer = Peers->http unless Peers::missing('http');
	$node->safe_psql('postgres', q{
CREATE EXTENSION defer;
CREATE ROLE stress_a LOGIN;
CREATE ROLE stress_b LOGIN;
GRANT USAGE ON SCHEMA defer TO PUBLIC;
GRANT EXECUTE ON FUNCTION defer.http TO stress_a, stress_b;
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
	SELECT defer.when_done('public.s_tally') FROM generate_series(1, n % 3);
	SELECT count(defer.enqueue('public.s_work')) FROM generate_series(1, n)$$;
-- after the batch of an s_fan
CREATE FUNCTION s_tally() RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO effect VALUES (defer.current_job());
	SELECT sum(b.jobs) FROM defer.batch() b$$;
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
});
	flow_setup($node, $peer ? $peer->url('/record') : undef);

	# another one, for DDL
	$node->safe_psql('postgres', 'CREATE DATABASE stress_other');
	$node->safe_psql('stress_other', q{
CREATE TABLE effect (job bigint);
CREATE FUNCTION o_work() RETURNS void LANGUAGE plpgsql AS
	$$BEGIN INSERT INTO effect VALUES (defer.current_job()); PERFORM pg_sleep(random() * 0.02); END$$;
CREATE EXTENSION defer});
	return;
}

# Each second, and none may be missing; quiesce() removes them
sub schedules
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
SELECT defer.cron('s_tick', '* * * * * *', name => 'all', overlap => 'allow', catch_up => 'all');
SELECT defer.cron('s_tick_slow', '* * * * * *', name => 'slow', overlap => 'queue', catch_up => 'one')});
	return;
}

# Deliveries, each with a body of its own
sub delivery_statement
{
	my $n = one_of(1, 1, 5);
	my $body = "'$$." . $serial++ . ".' || i";
	my $call = "defer.http('POST', '" . $peer->url('/record') . "', %s, max_attempts => 1000, "
	  . "initial_interval => '20 ms', max_interval => '100 ms'%s) FROM generate_series(1, $n) i";

	return 'BEGIN; SELECT ' . sprintf($call, "'rolled back.' || $body", ", metadata => '\"rolled back\"'") . '; ROLLBACK;'
	  if rand() < 0.1;
	return "SELECT 'ack ' || " . sprintf($call, $body, rand() < 0.3 ? ", delay => '" . any(1500) . " ms'" : '') . ';';
}

# Enqueue: prints "ack <id>" for each job
sub enqueue_statement
{
	return delivery_statement() if rand() < 0.1 && $peer;

	return flow_workflow() if rand() < 0.06;

	my $options = '';
	my $n = one_of(1, 1, 1, 1, 5, 50, 300);
	my $job = one_of(
		"'s_work'", "'s_work'", "'s_work'",
		"'s_sleep', '[" . rand(0.08) . "]'",
		"'s_flaky', '[" . rand(0.7) . "]'",
		"'s_conflict'", "'s_late'", "'s_snooze'", "'s_limited'",
		"'s_fan', '[" . any(40) . "]'",
		"'s_await'",
		"'s_keyed'",
		('flow') x 5);

	$job = flow_job() if $job eq 'flow';
	$n = 5 if $n > 5 && $job =~ /sleep|fan|limited|await|steps|group|rate|task/;
	$options .= ", key => 'k" . any(5) . "'" if $job =~ /keyed/;
	$options .= ", priority => " . (any(5) - 2) if rand() < 0.3;
	$options .= ", delay => '" . any(1500) . " ms'" if rand() < 0.2;
	$options .= ", queue => 'stress'" if rand() < 0.15;
	$options .= ", discard_after => '" . (100 + any(3000)) . " ms'" if rand() < 0.05;
	# after jobs that run, have ended, or wait themselves
	$options .= ", after => ARRAY(SELECT j.id FROM defer.jobs j WHERE i > 0 ORDER BY j.id DESC OFFSET " . any(30) . ' LIMIT ' . (1 + any(4))
	  . "), after_failure => '" . one_of(qw(cancel run hold)) . "'" if rand() < 0.15;
	$options .= ", max_duration => '" . (20 + any(200)) . " ms'" if rand() < 0.05;
	if (rand() < 0.1)
	{
		return "SELECT 'ack ' || defer.command('INSERT INTO effect VALUES (defer.current_job())');";
	}
	# a transaction that is rolled back; its ids may be given out again after a crash
	if (rand() < 0.08)
	{
		return "BEGIN; SELECT count(defer.enqueue($job, metadata => '\"rolled back\"'$options)) "
		  . "FROM generate_series(1, $n) i; ROLLBACK;";
	}
	if (rand() < 0.04)
	{
		my $name = "t$$." . $serial++;

		# whether COMMIT PREPARED was reached or not, both are right
		return "BEGIN; SELECT count(defer.enqueue($job$options)) FROM generate_series(1, $n) i; "
		  . "PREPARE TRANSACTION '$name'; COMMIT PREPARED '$name';";
	}
	return "SELECT 'ack ' || defer.enqueue($job$options) FROM generate_series(1, $n) i;";
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
	my $function = one_of(qw(s_work s_limited s_flaky s_fan s_tick s_steps));

	return flow_statement() if rand() < 0.4;
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
		"SELECT defer.create_queue('passing', concurrency => 1); SELECT defer.drop_queue('passing');",
		"BEGIN; SAVEPOINT s; SELECT defer.drop_queue('stress'); ROLLBACK TO s; COMMIT;",
		# changed one's mind: the rows are locked meanwhile
		"BEGIN; SELECT defer.cancel(j.id) " . some_job() . "; SELECT pg_sleep(" . rand(0.2) . "); ROLLBACK;",
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

# DDL on databases and on the extension, beside a database in use; and settings
# that are reloaded.  A fault may stop any of it between two statements.
sub ddl_script
{
	return one_of(
		("\\c stress_other\nSELECT count(defer.enqueue('o_work')) FROM generate_series(1, " . any(300) . ');') x 4,
		"\\c stress_other\nBEGIN; DROP EXTENSION IF EXISTS defer; TRUNCATE effect; CREATE EXTENSION defer; COMMIT;",
		"CREATE DATABASE stress_copy TEMPLATE stress_other;\nDROP DATABASE stress_copy;",
		"CREATE DATABASE stress_copy TEMPLATE stress_other;\n\\c stress_copy\nSELECT defer.activate();\n\\c stress_other\nDROP DATABASE stress_copy;",
		"ALTER DATABASE stress_other RENAME TO stress_moved;\nALTER DATABASE stress_moved RENAME TO stress_other;",
		# clients are in the way: we have left it for nothing
		"ALTER DATABASE postgres RENAME TO stress_away;\nALTER DATABASE stress_away RENAME TO postgres;",
		# our tables are given other files
		("\\c postgres\nSET lock_timeout = '3s'; VACUUM FULL " . one_of(qw(defer.job defer.claim defer.job defer.schedule)) . ';') x 2,
		"\\c postgres\nSET lock_timeout = '3s'; CLUSTER " . one_of('defer.job USING job_pkey', 'defer.claim USING claim_pkey') . ';',
		# a transaction that was prepared, and whose client a fault has met, keeps its locks
		"SET lock_timeout = '3s'; LOCK TABLE " . one_of(qw(defer.job defer.job defer.claim defer.job_history defer.schedule defer.function defer.step defer.dependency defer.event))
		  . ' IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(' . rand(3) . ');',
		map { "ALTER SYSTEM SET $_->[0] = $_->[1];\nSELECT pg_reload_conf();\nSELECT pg_sleep(" . rand(1) . ");\n"
			. "ALTER SYSTEM RESET $_->[0];\nSELECT pg_reload_conf();" }
		  [ 'defer.enabled', 'off' ], [ 'defer.enabled', 'off' ], [ 'defer.synchronous_commit', 'on' ], [ 'defer.worker_idle_timeout', "'50 ms'" ]);
}

# What a fault has left half done; most of it is an error
my @half_done = ('ALTER DATABASE stress_away RENAME TO postgres;',
	'ALTER DATABASE stress_moved RENAME TO stress_other;', 'DROP DATABASE IF EXISTS stress_copy;');

sub ddl_client
{
	my ($node, $seed, $until, $file) = @_;

	$ENV{PGOPTIONS} = '-c statement_timeout=5min';
	# HistoryChecker::crashes_of_ours() knows it by this name
	$ENV{PGAPPNAME} = 'stress_ddl';
	srand($seed * 1000 + 998);
	while (time() < $until)
	{
		my $script = ddl_script();

		run_script($node, 'postgres@template1', $file, @half_done);
		run_script($node, $script =~ /^LOCK/ ? ('postgres', $file, "BEGIN; $script COMMIT;") : ('postgres@template1', $file, $script));
		usleep(any(200_000));
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

# The processes of a postmaster that was killed go when they notice it.  As long as one of
# them has the old shared memory no server starts, and each try prints the whole log.
sub old_ones_gone
{
	my ($node) = @_;
	my $folder = realpath($node->data_dir);
	my ($postmaster) = -e "$folder/postmaster.pid" ? slurp_file("$folder/postmaster.pid") =~ /^(\d+)/ : ();

	for (1 .. 50 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return unless ($postmaster && kill(0, $postmaster)) ||
		  grep { (readlink("$_/cwd") // '') eq $folder } glob('/proc/[0-9]*');
		usleep(20_000);
	}
	return;
}

sub start_again
{
	my ($node) = @_;

	old_ones_gone($node);
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $node->start(fail_ok => 1);
		# the file of the one that was killed is still there: it is not this one's
		$node->{_pid} = undef;
		usleep(100_000);
	}
	die 'the server does not start';
}

# A fast stop that comes just when PostgreSQL has begun to recover from a crash may not
# end; none of our processes is there then.  Any other one that does not is a finding.
sub stop_server
{
	my ($node, $mode) = @_;
	my $size = -s $node->logfile;

	return if $node->stop($mode, fail_ok => 1);
	my ($last) = slurp_log($node, $size > 10_000_000 ? $size - 10_000_000 : 0) =~ /.*(\bLOG:  (?:starting PostgreSQL|all server processes terminated).*)/s;

	ok(defined $last && $last !~ /database system is ready to accept connections/,
		"a $mode stop ends, but perhaps while the server recovers");
	$node->stop('immediate');
	return;
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
		('kill defer sender') x 2, ('terminate defer sender') x 2,
		'immediate', 'immediate', 'fast', 'kill9');
	my $which = rand();

	if ($what =~ /^(immediate|fast|kill9)$/)
	{
		my $workers = 2 + int($which * 6);

		$node->psql('postgres', "ALTER SYSTEM SET defer.max_workers = $workers", timeout => 30) if $workers % 2;
		$what eq 'kill9' ? $node->kill9 : stop_server($node, $what);
		start_again($node);
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
sub round_of_work
{
	my ($node, %option) = @_;
	my $until = time() + $option{seconds};
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my @files = map { "$folder/client$_" } 0 .. $option{clients};
	my @children;
	my $faults = 0;

	for my $number (0 .. $option{clients})
	{
		my $file = $files[$number];

		open(my $handle, '>', $file) or die "$file: $!";
		close($handle);
		push @children, fork_client(sub {
			$number == $option{clients} ? ddl_client($node, $option{seed}, $until, $file)
			  : client($node, $number, $option{seed}, $until, $file);
		});
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
	ok($node->poll_query_until('template1', 'SELECT true'), 'the server is back');
	# a fault may have come between the two renamings of the database
	$node->psql('template1', $_) for @half_done;
	is(join('', map { -e "$_.err" ? slurp_file("$_.err") =~ /^.*due to statement timeout.*$/mg : () } $files[-1]), '',
		'no DDL has hung');
	note("$faults faults");
	return @files;
}

# ------------------------------------------------------------------------
# The check
# ------------------------------------------------------------------------

# Nothing stays that was only set for a while, or made by a fault that came between
sub put_back
{
	my ($node) = @_;

	$node->psql('template1', $_) for @half_done;
	$node->safe_psql('postgres', "ALTER SYSTEM RESET $_")
	  for ('defer.enabled', 'defer.synchronous_commit', 'defer.worker_idle_timeout');
	$node->safe_psql('postgres', q{SELECT defer.alter_queue('stress', concurrency => 6);
		SELECT defer.reset_group(i::text, "function" => 's_group') FROM generate_series(0, 2) i});
	$node->reload;
	return;
}

sub check
{
	my ($node, $log_from, @files) = @_;

	put_back($node);
	quiesce($node);
	# it is sent while the checker waits
	$node->safe_psql('postgres', "SELECT defer.http('POST', '" . $peer->url('/record') . "', 'the last one', delay => '2 s')") if $peer;
	my $worker = client_start($node, flow_last_worker());
	history_ok($node, \@files, max_attempts => 8, fan_out => 1, callbacks => 1, steps => 1, workflows => 1, interval => '10 ms', ticks => ['s_tick'],
		log_from => $log_from, $peer ? (deliveries => $peer) : ());
	clients_stop($worker);
	note('workflows: ' . $node->safe_psql('postgres', q{SELECT string_agg(state || ' ' || n, ', ' ORDER BY state)
		FROM (SELECT state, count(*) AS n FROM defer.workflows GROUP BY 1) w}));
	unlike(slurp_log($node, $log_from), qr/limit exceeded/, 'no limit of a group is exceeded');
	$node->safe_psql('stress_other', 'CREATE EXTENSION IF NOT EXISTS defer');
	settled($node, 'the other database: each job ends', 'stress_other');
	check_history($node, 'the other database', 'stress_other');
	return;
}

# Work, faults and checks, for so many seconds of work
sub stress_run
{
	my ($node, %option) = @_;
	my $left = $option{seconds};

	for (my $round = 0; $left > 0; $round++)
	{
		my $seconds = $left < 1.5 * $ROUND ? $left : $ROUND;
		my $begun = time();
		my $log_from = -s $node->logfile;

		schedules($node);
		my @files = round_of_work($node, %option, seconds => $seconds, seed => $option{seed} + $round);

		check($node, $log_from, @files);
		note(sprintf('round %d: %.0f s of work, %.0f s until all was done and checked', $round + 1, $seconds, time() - $begun - $seconds));
		$left -= $seconds;
		last if !Test::More->builder->is_passing;
		$node->safe_psql('postgres', 'TRUNCATE defer.dependency, defer.fan_out, defer.step, defer.event, defer.signal, defer.job_history, defer.attempt, defer.log, defer.job_rollup, defer.job_rollup_new, effect, step_effect, held, late');
		$peer->clear if $peer;
	}
	return;
}

1;
