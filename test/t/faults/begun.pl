# What is known after a crash of the server about the jobs that had begun: which one
# is blamed, which are suspects, and which only were there.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $library = test_library();
my $node = new_server('main', q{defer.max_workers = 4
log_min_messages = warning
max_parallel_workers = 8
autovacuum = off
wal_writer_delay = 10s});
my $file = $node->data_dir . '/pg_stat_tmp/defer.begun';
my $parallel = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';

# Jobs that end when there is a row in "gate"
$node->safe_psql('postgres', qq{
	CREATE EXTENSION defer;
	CREATE TABLE gate (open int);
	CREATE TABLE run (job bigint);
	CREATE FUNCTION crash(how text) RETURNS void LANGUAGE c PARALLEL SAFE AS '$library', 'crash';
	CREATE FUNCTION stay() RETURNS void LANGUAGE plpgsql AS \$\$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.02); END LOOP;
	END \$\$;
	CREATE PROCEDURE stay_persistently() LANGUAGE plpgsql AS \$\$
	BEGIN
		INSERT INTO run VALUES (defer.current_job());
		COMMIT;
		CALL defer_stay();
	END \$\$;
	CREATE PROCEDURE defer_stay() LANGUAGE plpgsql AS \$\$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.02); END LOOP;
	END \$\$;
	CREATE FUNCTION crash_in_helper() RETURNS void LANGUAGE sql SET $parallel = on AS
		\$\$SELECT crash('kill')\$\$;
	CREATE SEQUENCE tries;
	CREATE PROCEDURE in_steps() LANGUAGE plpgsql AS \$\$
	BEGIN
		IF nextval('tries') = 1 THEN RAISE EXCEPTION 'not at first'; END IF;
		IF defer.begin_step('one') THEN CALL defer.end_step('one'); END IF;
		CALL defer_stay();
	END \$\$;
	CREATE TABLE seen (job bigint, flushed pg_lsn);
	CREATE FUNCTION see() RETURNS void LANGUAGE sql AS
		'INSERT INTO seen VALUES (defer.current_job(), pg_current_wal_flush_lsn())';
	CREATE PROCEDURE see_persistently() LANGUAGE sql AS
		'INSERT INTO seen VALUES (defer.current_job(), pg_current_wal_flush_lsn())'});

# Enqueue, and wait until they all run; returns their ids
sub begin_jobs
{
	my (@calls) = @_;
	my @ids = split /\n/, $node->safe_psql('postgres', join(';', map { "SELECT defer.enqueue($_)" } @calls));

	running(@ids);
	return @ids;
}

sub running
{
	my (@ids) = @_;

	until_ok($node, sprintf("SELECT count(pid) = %d FROM defer.jobs WHERE id IN (%s) AND state = 'running'",
			scalar @ids, join(',', @ids)), 'the jobs run');
	return;
}

sub pid_of
{
	my ($id) = @_;

	return $node->safe_psql('postgres', "SELECT pid FROM defer.jobs WHERE id = $id");
}

# What is known of a job: attempts used up, crashes, suspicions, outcomes
sub known
{
	my ($id) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT j.attempt, j.crashes, j.suspect,
			(SELECT string_agg(a.outcome, ',' ORDER BY a.finished_at) FROM defer.attempts a WHERE a.job_id = j.id)
		  FROM defer.job j WHERE j.id = $id});
}

sub open_gate
{
	$node->safe_psql('postgres', 'INSERT INTO gate VALUES (1)');
	settled($node, 'all jobs end');
	$node->safe_psql('postgres', 'TRUNCATE gate');
	return;
}

# kill -9 of a worker: its job is blamed, and no other
my ($one, $two, $three) = begin_jobs("'stay'", "'stay'", "'stay'");
kill('KILL', pid_of($one));
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM defer.attempts WHERE job_id = $one");
running($one, $two, $three);
is(known($one), '1|1|0|crashed', 'kill -9 of a worker: its job is blamed at once');
is(known($_), '0|0|0|interrupted', 'kill -9 of a worker: another job loses no attempt') for $two, $three;

# kill -9 of another process: nobody is
my $client = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $client->query('SELECT pg_backend_pid()');
kill('KILL', $pid);
$node->poll_query_until('postgres', "SELECT count(*) = 2 FROM defer.attempts WHERE job_id = $two");
eval { $client->quit };
running($one, $two, $three);
is(known($two), '0|0|0|interrupted,interrupted', 'kill -9 of a client: a job loses no attempt, and is not suspected');

# An immediate stop: likewise
$node->stop('immediate');
$node->start;
running($one, $two, $three);
is(known($two), '0|0|0|interrupted,interrupted,interrupted', 'immediate stop: likewise');

# kill -9 of the postmaster, and of the workers if those are to be killed, too
sub kill_postmaster
{
	my ($workers) = @_;
	my @all = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
	my @workers = split /\n/, $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'defer worker'});

	push @all, $node->{_pid};
	kill('STOP', @workers) if $workers;
	$node->kill9;
	kill('KILL', @workers) if $workers;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if !grep { kill(0, $_) } @all;
		usleep(100_000);
	}
	$node->start;
	return;
}

# kill -9 of the postmaster: its processes end by themselves, and say so
my ($once) = begin_jobs("'stay_persistently', max_attempts => 1");
kill_postmaster(0);
running($one, $two, $three);
is(known($two), '0|0|0|interrupted,interrupted,interrupted,interrupted',
	'kill -9 of the postmaster: a job loses no attempt, and is not suspected');
is($node->safe_psql('postgres', "SELECT state, (SELECT count(*) FROM run WHERE job = $once) FROM defer.jobs WHERE id = $once"),
	'failed|1', 'kill -9 of the postmaster: what may be tried once has been');
open_gate();

# All processes are killed: those that ran are suspects, then run one at a time, and
# then one is blamed
($one, $two) = begin_jobs("'stay'", "'stay'");
kill_postmaster(1);
running($one, $two);
is(known($_), '0|0|1|interrupted', 'all are killed: each that ran is a suspect') for $one, $two;
kill_postmaster(1);
until_ok($node, "SELECT count(pid) = 1 FROM defer.jobs WHERE id IN ($one, $two) AND state = 'running'", 'one of them runs');
is(known($_), '0|0|2|interrupted,interrupted', 'all are killed again: suspects twice') for $one, $two;
my $alone = $node->safe_psql('postgres', "SELECT id FROM defer.jobs WHERE id IN ($one, $two) AND state = 'running'");
my $other = $alone == $one ? $two : $one;
is($node->safe_psql('postgres', "SELECT count(*) FROM defer.jobs WHERE id = $other AND state = 'running'"), '0',
	'such jobs run one at a time');
kill_postmaster(1);
until_ok($node, "SELECT count(pid) = 1 FROM defer.jobs WHERE id IN ($one, $two) AND state = 'running'", 'one of them runs');
like(known($alone), qr/^1\|1\|2\|interrupted,interrupted,crashed$/, 'the one that was alone is blamed');
is(known($other), '0|0|2|interrupted,interrupted', 'the other is not');
open_gate();

# A machine is lost, and the file with it: nobody is to blame; what may run once is
# not run again
($one, $two) = begin_jobs("'stay'", "'stay_persistently', max_attempts => 1");
$node->stop('immediate');
unlink($file) or die "$file: $!";
$node->start;
running($one);
is(known($one), '0|0|0|', 'without the file: nobody is to blame');
until_ok($node, "SELECT state = 'failed' FROM defer.jobs WHERE id = $two", 'without the file: what may be tried once has been');
is($node->safe_psql('postgres', "SELECT count(*) FROM run WHERE job = $two"), '1', 'it ran once');
open_gate();

# Procedures: what they have committed stays, so the attempt counts
($one, $two, $three) = begin_jobs("'stay'", "'stay_persistently'", "'stay_persistently', max_attempts => 1");
kill('KILL', pid_of($one));
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM defer.attempts WHERE job_id = $one");
running($one, $two);
is(known($two), '1|0|0|crashed', 'an attempt of a procedure counts, but it is not blamed');
is($node->safe_psql('postgres', "SELECT state, attempt, (SELECT count(*) FROM run WHERE job = $three) FROM defer.jobs WHERE id = $three"),
	'failed|1|1', 'a procedure that may be tried once is tried once');
open_gate();

# A step sets the attempts to 0 while the job runs
($one) = begin_jobs("'in_steps', initial_interval => '0'");
until_ok($node, "SELECT EXISTS (SELECT FROM defer.steps WHERE job_id = $one)", 'a step is completed');
is(known($one), '0|0|0|failed', 'after an attempt that failed');
# the crash is not to lose the number that the sequence has given
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
kill('KILL', pid_of($one));
$node->poll_query_until('postgres', "SELECT count(*) = 2 FROM defer.attempts WHERE job_id = $one");
running($one);
is(known($one), '1|1|0|failed,crashed', 'it is blamed all the same');
open_gate();

# Whatever kills a parallel worker of a job's query
($one) = split /\n/, $node->safe_psql('postgres', q{SELECT defer.enqueue('crash_in_helper')});
settled($node, 'a job whose parallel workers crash ends');
is($node->safe_psql('postgres', "SELECT state, attempt FROM defer.jobs WHERE id = $one"), 'failed|3',
	'it is given up');
is($node->safe_psql('postgres', "SELECT string_agg(outcome, ',' ORDER BY finished_at) FROM defer.attempts WHERE job_id = $one"),
	'interrupted,interrupted,crashed,crashed,crashed', 'after it was a suspect');

# A base backup has no such file, and one that is put there is ignored
($one) = begin_jobs("'stay'");
$node->backup('backup');
ok(!-e $node->backup_dir . '/backup/pg_stat_tmp/defer.begun', 'it is not in a base backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
system('cp', $file, $standby->data_dir . '/pg_stat_tmp/defer.begun') == 0 or die 'cp';
$standby->start;
$node->wait_for_catchup($standby);
$standby->promote;
until_ok($standby, "SELECT state = 'running' AND pid IS NOT NULL FROM defer.jobs WHERE id = $one", 'the promoted standby runs the job');
is($standby->safe_psql('postgres', "SELECT suspect, (SELECT count(*) FROM defer.attempts WHERE job_id = $one) FROM defer.job WHERE id = $one"),
	'0|0', 'and does not believe the file of another server');
$standby->stop('immediate');
open_gate();

# The claim of a function is not flushed before it runs, that of a procedure is
my $walwriter = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'});
kill('STOP', $walwriter);
sub seen
{
	my ($call) = @_;

	# the WAL as far as the enqueue, without its commit
	my ($id, $lsn) = split /\|/, $node->safe_psql('postgres',
		"SET synchronous_commit = off; WITH e AS MATERIALIZED (SELECT defer.enqueue($call) AS id) SELECT id, pg_current_wal_insert_lsn() FROM e");
	until_ok($node, "SELECT EXISTS (SELECT FROM seen WHERE job = $id)", "$call has run");
	return $node->safe_psql('postgres', "SELECT flushed > '$lsn' FROM seen WHERE job = $id");
}
my $flushed = 't';
for (1 .. 100)
{
	$flushed = seen("'see'");
	last if $flushed eq 'f';
}
is($flushed, 'f', 'the claim of a function is not flushed');
is(join(',', map { seen("'see_persistently'") } 1 .. 5), 't,t,t,t,t', 'that of a procedure is');
is(join(',', map { seen("'see', max_attempts => 1") } 1 .. 5), 't,t,t,t,t', 'that of a job that may be tried once is');
kill('CONT', $walwriter);
settled($node, 'they end');

# The file is cut: stores fail as on a full disk, and no process crashes
my $from = -s $node->logfile;
truncate($file, 0) or die "$file: $!";
for (1 .. 3)
{
	$node->safe_psql('postgres', q{SELECT defer.enqueue('see'), defer.enqueue('see')});
	settled($node, 'jobs run without the file');
}
my $log = substr(slurp_file($node->logfile), $from);
like($log, qr/could not access file "pg_stat_tmp\/defer.begun" any more/, 'the log says that it cannot be accessed');
unlike($log, qr/terminated by signal/, 'nothing has crashed');
$node->restart;
($one) = begin_jobs("'stay'");
kill('KILL', pid_of($one));
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM defer.attempts WHERE job_id = $one");
is(known($one), '1|1|0|crashed', 'after a restart jobs are blamed again');
running($one);
open_gate();
$node->stop;
done_testing();
