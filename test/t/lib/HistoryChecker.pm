# Clients that write down what the server acknowledged to them, and the check
# that the tables agree with that, after whatever has happened meanwhile.
#
# A client is a process of its own that runs scripts with psql again and again.
# What it was told is what psql printed, in a file that no fault reaches:
# "ack <id>" for a job, "cancelled <id>" for one that was cancelled.
#
# Jobs write their id into the table "effect": that is what they are checked by.
package HistoryChecker;
use strict;
use warnings;

use Exporter 'import';
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

our @EXPORT = qw(fork_client run_script client_start clients_stop quiesce history_ok slurp_log);

my $serial = 0;

# ------------------------------------------------------------------------
# Clients
# ------------------------------------------------------------------------

# A process that does $work, which must not use Test::More.  Returns its pid.
sub fork_client
{
	my ($work) = @_;
	my $child = fork();

	die "could not fork: $!" unless defined $child;
	return $child if $child > 0;
	eval { $work->() };
	print STDERR $@ if $@;
	POSIX::_exit($@ ? 1 : 0);
}

# Statements by one psql, of a role ("role@database"); what it prints is added to the file
sub run_script
{
	my ($node, $who, $file, @statements) = @_;
	my ($role, $database) = split /@/, $who;
	my $begun = time();

	open(my $handle, '>', "$file.sql") or die "$file.sql: $!";
	print $handle "$_\n" for @statements;
	close($handle);
	system("psql -XAtq -U $role -d '" . $node->connstr($database // 'postgres') . "' -f $file.sql >>$file 2>>$file.err");

	# the server is away
	usleep(100_000) if time() - $begun < 0.05;
	return;
}

# A client that runs the statements until it is stopped, or the test has ended
sub client_start
{
	my ($node, @statements) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/client' . $serial++;

	open(my $handle, '>', $file) or die "$file: $!";
	close($handle);
	my $parent = $$;
	my $pid = fork_client(sub {
		run_script($node, 'postgres', $file, @statements) while !-e "$file.stop" && getppid() == $parent;
	});
	return { pid => $pid, file => $file };
}

# Returns their files
sub clients_stop
{
	my (@clients) = @_;

	for my $client (@clients)
	{
		open(my $handle, '>', "$client->{file}.stop") or die $!;
		close($handle);
	}
	waitpid($_->{pid}, 0) for @clients;
	return map { $_->{file} } @clients;
}

# ------------------------------------------------------------------------
# The check
# ------------------------------------------------------------------------

sub slurp_log
{
	my ($node, $from) = @_;

	return substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $from // 0);
}

# Nothing new comes, nothing is held: what a client began and could not end is
# ended, schedules are removed, nothing is paused
sub quiesce
{
	my ($node) = @_;

	for my $gid (split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
	{
		$node->safe_psql('postgres', "COMMIT PREPARED '$gid'");
	}
	$node->safe_psql('postgres', q{
		SELECT defer.unschedule(name) FROM defer.schedules;
		SELECT defer.resume(function) FROM defer.functions WHERE paused;
		SELECT defer.resume_queue(queue) FROM defer.queues WHERE paused});
	return;
}

# Load what a peer has been sent: complete requests, with body and key
sub load_arrived
{
	my ($node, $peer) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/arrived' . $serial++;

	open(my $copy, '>', $file) or die "$file: $!";
	print $copy "$_->{body}\t$_->{key}\n" for grep { $_->{complete} } $peer->requests('/record');
	close($copy);
	$node->safe_psql('postgres', q{
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS arrived;
		CREATE TABLE arrived (body text, key text)});
	$node->safe_psql('postgres', "\\copy arrived FROM '$file'");
	return;
}

# Load what clients have in their files
sub load_acknowledged
{
	my ($node, @files) = @_;

	$node->safe_psql('postgres', q{
		SET client_min_messages = warning;
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

# Name of an assertion, and the query that finds what contradicts it
sub assertions
{
	my (%option) = @_;
	my $max_attempts = $option{max_attempts} // 13;
	my @list = (
		[ 'no job has ended twice',
			'SELECT h.id, count(*) FROM defer.job_history h GROUP BY 1 HAVING count(*) > 1' ],
		[ 'none that was acknowledged is lost',
			'SELECT a.id FROM acknowledged a WHERE NOT EXISTS (SELECT FROM defer.job_history h WHERE h.id = a.id)' ],
		[ 'none that was rolled back is there',
			q{SELECT h.id, h.function FROM defer.job_history h WHERE h.metadata = '"rolled back"'} ],
		[ 'what was cancelled stayed so',
			q{SELECT c.id, h.state FROM cancelled c JOIN defer.job_history h USING (id) WHERE h.state <> 'c'} ],
		[ 'each effect once for each success, and none otherwise',
			q{SELECT h.id, h.function, h.state, h.attempt, count(e.job)
				FROM defer.job_history h LEFT JOIN effect e ON e.job = h.id
			   WHERE h.function NOT IN ('defer.http', 'defer.workflow', 'defer.run_step(jsonb)')
				 AND NOT EXISTS (SELECT FROM defer.workflow_step s WHERE s.job_id = h.id AND s.skipped)
			   GROUP BY 1, 2, 3, 4 HAVING count(e.job) <> (h.state = 's')::int} ],
		[ 'no effect of nothing',
			'SELECT e.job FROM effect e WHERE NOT EXISTS (SELECT FROM defer.job_history h WHERE h.id = e.job)' ],
		[ 'none is a child of a job that did not succeed',
			q{SELECT c.id, c.parent_id FROM defer.job_history c JOIN defer.job_history p ON p.id = c.parent_id
			   WHERE p.state <> 's' AND p.function <> 'defer.workflow' AND NOT EXISTS (SELECT FROM defer.step s WHERE s.job_id = p.id)} ],
		[ 'each began after those that it comes after had ended',
			q{SELECT c.id, d.parent_id, d.state, d.open FROM defer.job_history c JOIN defer.dependency d ON d.child_id = c.id
				LEFT JOIN defer.job_history p ON p.id = d.parent_id
			   WHERE c.started_at IS NOT NULL AND c.rerun_of IS NULL AND d.parent_id > 0 AND c.function <> 'defer.workflow'
				 AND (d.open OR d.state IS DISTINCT FROM p.state OR p.finished_at > c.started_at
					OR (d.after_failure <> 'r' AND p.state <> 's'))} ],
		[ 'those behind one that did not succeed are cancelled, and no others for that',
			q{SELECT c.id, c.state, c.error FROM defer.job_history c
				LEFT JOIN defer.dependency d ON d.child_id = c.id AND d.after_failure = 'c' AND d.state <> 's'
			   WHERE c.rerun_of IS NULL AND (d.child_id IS NOT NULL AND c.state <> 'c'
				  OR d.child_id IS NULL AND c.error LIKE 'job %, which it came after, %')} ],
		[ 'none waits for a job that has ended',
			q{SELECT d.child_id, d.parent_id FROM defer.dependency d
			   WHERE d.open AND d.state IS NULL AND EXISTS (SELECT FROM defer.job_history h WHERE h.id = d.parent_id)} ],
		[ 'each batch has the counts of its jobs',
			q{SELECT f.*, h.* FROM defer.fan_out f CROSS JOIN LATERAL (SELECT count(*) AS jobs,
					count(*) FILTER (WHERE c.state = 's') AS succeeded, count(*) FILTER (WHERE c.state = 'f') AS failed,
					count(*) FILTER (WHERE c.state = 'c') AS cancelled, count(*) FILTER (WHERE c.state = 'd') AS discarded
				 FROM defer.job_history c WHERE c.parent_id = f.id AND c.id >= f.from_id
				  AND c.rerun_of IS NULL AND c.schedule_id IS NULL) h
			   WHERE f.done AND NOT f.deep AND (f.jobs, f.succeeded, f.failed, f.cancelled, f.discarded)
				<> (h.jobs, h.succeeded, h.failed, h.cancelled, h.discarded)} ],
		[ 'each began after the batches that it comes after',
			q{SELECT c.id, d.parent_id, max(h.finished_at) FROM defer.dependency d
				JOIN defer.job_history c ON c.id = d.child_id JOIN defer.fan_out f ON f.id = -d.parent_id
				JOIN defer.job_history h ON h.parent_id = f.id AND h.id >= f.from_id AND h.rerun_of IS NULL AND h.schedule_id IS NULL
			   WHERE c.started_at IS NOT NULL AND c.rerun_of IS NULL AND NOT f.deep
			   GROUP BY c.id, d.parent_id, c.started_at HAVING max(h.finished_at) > c.started_at} ],
		[ 'each tick has one row',
			q{SELECT h.schedule_id, h.scheduled_for, count(*) FROM defer.job_history h
			   WHERE h.scheduled_for IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1} ],
		[ 'each attempt but the last is explained',
			# crashes are not the fault of a delivery, and use no attempt of it
			q{SELECT h.id, h.state, h.attempt, h.function, count(a.job_id) FROM defer.job_history h
				LEFT JOIN defer.attempt a ON a.job_id = h.id AND a.outcome IN ('failed', 'timed_out', 'crashed', 'cancelled', 'lost')
				 AND NOT (a.outcome = 'crashed' AND h.function = 'defer.http')
			   WHERE h.function <> 'defer.workflow'
				 AND NOT EXISTS (SELECT FROM defer.workflow_step s WHERE s.job_id = h.id AND s.skipped)
			   GROUP BY 1, 2, 3, 4 HAVING h.attempt - (h.state = 's')::int <> count(a.job_id)
				-- a mark begins to count anew
				AND NOT (h.attempt - (h.state = 's')::int < count(a.job_id) AND EXISTS (SELECT FROM defer.step s WHERE s.job_id = h.id))} ],
		[ 'each finished job is counted once',
			q{SELECT * FROM (SELECT c.hour, c.owner, c.function, c.queue, sum(c.succeeded) AS succeeded, sum(c.failed) AS failed,
					sum(c.cancelled) AS cancelled, sum(c.discarded) AS discarded
				 FROM defer.job_counts c GROUP BY 1, 2, 3, 4) c
				FULL JOIN (SELECT date_trunc('hour', h.finished_at, 'UTC') AS hour, h.owner, h.function, h.queue,
					count(*) FILTER (WHERE h.state = 's') AS succeeded, count(*) FILTER (WHERE h.state = 'f') AS failed,
					count(*) FILTER (WHERE h.state = 'c') AS cancelled, count(*) FILTER (WHERE h.state = 'd') AS discarded
				 FROM defer.job_history h GROUP BY 1, 2, 3, 4) h
			   USING (hour, owner, function, queue, succeeded, failed, cancelled, discarded)
			   WHERE c.* IS NULL OR h.* IS NULL} ],
		[ 'no job is outside the ids that its count tells',
			q{SELECT h.id, h.function, c.first_id, c.last_id FROM defer.job_history h
				LEFT JOIN (SELECT c.hour, c.owner, c.function, c.queue, min(c.first_id) AS first_id, max(c.last_id) AS last_id
				 FROM defer.job_counts c GROUP BY 1, 2, 3, 4) c
				  ON c.hour = date_trunc('hour', h.finished_at, 'UTC') AND c.owner = h.owner AND c.function = h.function
				 AND c.queue = h.queue
			   WHERE h.id NOT BETWEEN c.first_id AND c.last_id} ],
		[ 'none is given up before it has crashed three times',
			qq{SELECT h.id, h.attempt FROM defer.job_history h
			   WHERE h.state = 'f' AND h.attempt < $max_attempts AND h.sqlstate = '57P01'
				 AND (SELECT count(*) FROM defer.attempt a WHERE a.job_id = h.id AND a.outcome = 'crashed') < 3} ]);

	# at least once is what was promised, and under one key
	push @list, [ 'each delivery that has succeeded has arrived',
		q{SELECT h.id, h.args->>'body' FROM defer.job_history h WHERE h.function = 'defer.http' AND h.state = 's'
			 AND NOT EXISTS (SELECT FROM arrived a WHERE a.body = h.args->>'body')} ],
	  [ 'none has arrived that was rolled back', q{SELECT a.body FROM arrived a WHERE a.body LIKE 'rolled back%'} ],
	  # a job that is run once more is another job, with another key
	  [ 'what has arrived has the key of its job',
		q{SELECT a.body, a.key FROM arrived a LEFT JOIN defer.job_history h ON h.id = substring(a.key FROM '-(\d+)$')::bigint
		   WHERE h.args->>'body' IS DISTINCT FROM a.body} ]
	  if $option{deliveries};

	push @list, [ 'nothing is left',
		'SELECT j.id FROM defer.job j UNION ALL SELECT c.id FROM defer.claim c
			UNION ALL SELECT f.id FROM defer.fan_out f WHERE NOT f.done
			UNION ALL SELECT d.child_id FROM defer.dependency d WHERE d.ord < 0' ],
	  [ 'nothing runs without a process',
		q{SELECT w.pid, w.kind, w.job_id FROM defer.workers w
		   WHERE (w.job_id IS NOT NULL AND w.database = current_database())
			  OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = w.pid)} ]
	  unless $option{busy};

	# each fan-out has written down how many there were
	push @list, [ 'each fan-out is whole, and there once',
		q{SELECT e.job, e.what, count(h.id) FROM effect e LEFT JOIN defer.job_history h ON h.parent_id = e.job
		   WHERE e.what IS NOT NULL GROUP BY 1, 2 HAVING count(h.id) <> e.what::int} ]
	  if $option{fan_out};

	# and of it follows how many jobs are to begin after it; a rerun of one has its dependencies, too
	push @list, [ 'each batch has each of its callbacks',
		q{SELECT e.job, e.what, count(c.id) FROM effect e LEFT JOIN (defer.dependency d
				JOIN defer.job_history c ON c.id = d.child_id AND c.rerun_of IS NULL) ON d.parent_id = -e.job
		   WHERE e.what IS NOT NULL GROUP BY 1, 2 HAVING count(c.id) <> e.what::int % 3} ]
	  if $option{callbacks};

	# step_effect has what a procedure has written before a step, and in it
	push @list, [ 'what is written before a step, and in it, is there once with its mark, and not without',
		q{SELECT * FROM (SELECT s.job_id, s.name AS step, s.kind FROM defer.step s
				JOIN defer.job_history h ON h.id = s.job_id WHERE h.rerun_of IS NULL AND h.function <> 'defer.run_step(jsonb)') s
			FULL JOIN (SELECT e.job AS job_id, e.step, count(*) FILTER (WHERE NOT e.inside) AS before,
				count(*) FILTER (WHERE e.inside) AS inside FROM step_effect e GROUP BY 1, 2) e USING (job_id, step)
			LEFT JOIN defer.job_history h ON h.id = job_id
		   WHERE h.id IS NULL OR e.before > 1 OR e.inside > 1 OR h.rerun_of IS NULL AND (s.kind IS NULL
			  OR e.before IS DISTINCT FROM (step NOT LIKE 'book %')::int OR e.inside IS DISTINCT FROM (s.kind = 's')::int)} ],
	  [ 'marks that a procedure has written are of its last run, too',
		q{SELECT h.id, h.args, count(s.job_id) FROM defer.job_history h LEFT JOIN defer.step s ON s.job_id = h.id
		   WHERE h.state = 's' AND h.function LIKE '%.s_steps(%' GROUP BY 1, 2
		  HAVING count(*) FILTER (WHERE s.finished_at IS NOT NULL) <> COALESCE(h.args->>'n', h.args->>1)::int} ],
	  [ 'what a step has enqueued is there',
		q{SELECT s.job_id, s.name, s.result FROM defer.step s JOIN defer.job_history h ON h.id = s.job_id
		   WHERE h.rerun_of IS NULL AND s.name LIKE 'fan %'
			 AND NOT EXISTS (SELECT FROM defer.job_history c WHERE c.id = s.result::bigint AND c.parent_id = s.job_id)} ],
	  [ 'nor has a procedure other children',
		q{SELECT c.*, s.* FROM (SELECT c.parent_id, count(*) AS children FROM defer.job_history c JOIN defer.job_history h ON h.id = c.parent_id
				WHERE h.function LIKE '%.s_steps(%' AND h.rerun_of IS NULL AND c.rerun_of IS NULL GROUP BY 1) c
			CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE s.name ~ '^(fan|book) ' OR s.kind = 'j') AS steps
				FROM defer.step s WHERE s.job_id = c.parent_id) s
		   WHERE c.children <> s.steps} ],
	  [ 'each step has its callback',
		q{SELECT s.*, c.* FROM (SELECT s.job_id, count(*) AS steps FROM defer.step s JOIN defer.job_history h ON h.id = s.job_id
				WHERE s.name LIKE 'book %' AND h.rerun_of IS NULL GROUP BY 1) s
			CROSS JOIN LATERAL (SELECT count(*) AS callbacks, array_agg(c.id) AS ids FROM defer.dependency d
				JOIN defer.job_history c ON c.id = d.child_id
				WHERE d.parent_id = -s.job_id AND c.rerun_of IS NULL) c
		   WHERE c.callbacks <> s.steps} ],
	  [ 'a step without a time-out has its event',
		q{SELECT s.job_id, s.name FROM defer.step s WHERE s.kind = 'e' AND s.finished_at IS NOT NULL AND s.until = 'infinity' AND s.result IS NULL} ],
	  [ 'no step waits less than it is to',
		q{SELECT s.job_id, s.name FROM defer.step s WHERE s.kind = 'z' AND s.finished_at < s.until
		  OR s.kind = 'e' AND s.result IS NULL AND s.finished_at < s.until} ]
	  if $option{steps};

	push @list, [ 'each workflow has ended as its steps have',
		q{SELECT w.id, h.state, x.* FROM defer.workflow w LEFT JOIN defer.job_history h ON h.id = w.id
			CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE d.child_id IS NULL OR d.open) AS open,
				count(*) FILTER (WHERE d.state <> 's' AND s.on_failure = 'f' AND NOT (d.state = 'c' AND EXISTS
					(SELECT FROM defer.dependency e WHERE e.child_id = w.id AND e.ord = ANY (s.after) AND e.state <> 's'))) AS failed
				FROM defer.workflow_step s LEFT JOIN defer.dependency d ON d.child_id = s.workflow_id AND d.ord = s.ord
			   WHERE s.workflow_id = w.id) x
		   WHERE h.id IS NULL OR x.open > 0 OR h.state NOT IN ('s', 'f', 'c') OR h.state <> 'c' AND (h.state = 's') <> (x.failed = 0)} ],
	  [ 'and each step is as its job',
		q{SELECT s.workflow_id, s.name, s.job_id, d.state, h.state FROM defer.workflow_step s
			JOIN defer.dependency d ON d.child_id = s.workflow_id AND d.ord = s.ord
			LEFT JOIN defer.job_history h ON h.id = s.job_id WHERE d.state IS DISTINCT FROM h.state} ],
	  [ 'none was begun twice for one step, and each element of an array has its job',
		q{SELECT t.job_id, t.awaits, count(c.id) FROM defer.step t
			JOIN defer.job_history h ON h.id = t.job_id AND h.function = 'defer.run_step(jsonb)'
			LEFT JOIN defer.job_history c ON c.parent_id = t.job_id AND c.rerun_of IS NULL
		   GROUP BY 1, 2 HAVING count(c.id) <> COALESCE(split_part(t.awaits, ' ', 1)::int, 0)} ],
	  [ 'the results of these are in its order',
		q{SELECT h.id, h.result FROM defer.job_history h JOIN defer.workflow_step s ON s.job_id = h.id
		   WHERE h.state = 's' AND NOT s.skipped AND h.function = 'defer.run_step(jsonb)' AND s.function <> 'defer.workflow'
			 AND h.result <> (SELECT jsonb_agg(c.result ORDER BY c.id) FROM defer.job_history c WHERE c.parent_id = h.id AND c.rerun_of IS NULL)} ]
	  if $option{workflows};

	# When an attempt that a crash has ended had begun is not known
	push @list, [ "no two attempts of s_rate begin within $option{interval}",
		qq{SELECT * FROM (SELECT b.*, lag(b.at) OVER (ORDER BY b.at) AS before,
				lag(b.outcome || ' ' || b.job_id) OVER (ORDER BY b.at) AS other
			 FROM (SELECT h.id AS job_id, h.started_at AS at, 'succeeded' AS outcome FROM defer.job_history h
					WHERE h.function LIKE '%.s_rate()' AND h.state = 's'
					UNION ALL
				   SELECT a.job_id, a.started_at, a.outcome FROM defer.attempt a JOIN defer.job_history h ON h.id = a.job_id
					WHERE h.function LIKE '%.s_rate()' AND a.outcome NOT IN ('crashed', 'interrupted')) b) b
		   WHERE b.at - b.before < interval '$option{interval}'} ]
	  if $option{interval};

	# functions that are run each second, and none may be missing
	push @list, [ "no tick of $_ is missing",
		qq{SELECT h.scheduled_for, h.before FROM (SELECT h.scheduled_for,
				lag(h.scheduled_for) OVER (ORDER BY h.scheduled_for) AS before
			 FROM defer.job_history h WHERE h.function LIKE '%.$_()' AND h.scheduled_for IS NOT NULL) h
		   WHERE h.scheduled_for <> h.before + interval '1 second'} ]
	  for @{ $option{ticks} // [] };
	return @list;
}

# Jobs that were not woken, or are about to be
my $WAITS_IN_VAIN = q{
	SELECT j.id, 'what it comes after has ended' AS why FROM defer.job j
	 WHERE j.claim IS NULL AND j.waits IN ('j', 'w', 'p') AND NOT EXISTS (SELECT FROM defer.dependency d WHERE d.child_id = j.id AND d.open)
	UNION ALL
	SELECT d.child_id, 'job ' || h.id || ' has ended' FROM defer.dependency d JOIN defer.job_history h ON h.id = d.awaits_id
	 WHERE d.open AND d.state IS NULL
	UNION ALL
	SELECT d.child_id, 'the batch of ' || f.id || ' is over' FROM defer.dependency d JOIN defer.fan_out f ON f.id = -d.awaits_id
	 WHERE d.open AND f.done
	UNION ALL
	SELECT j.id, 'its event is there' FROM defer.step s JOIN defer.job j ON j.id = s.job_id AND j.waits = 'e' AND j.claim IS NULL
	 WHERE s.finished_at IS NULL AND (EXISTS (SELECT FROM defer.event e WHERE e.owner = s.owner AND e.name = s.awaits)
		OR EXISTS (SELECT FROM defer.signal g WHERE g.job_id = s.job_id AND g.name = s.awaits))
	UNION ALL
	SELECT j.id, 'its time has come' FROM defer.job j
	 WHERE j.waits IS NOT NULL AND j.claim IS NULL AND j.run_at < statement_timestamp()
	UNION ALL
	SELECT j.id, 'job ' || h.id || ', which it is behind, has ended' FROM defer.job j JOIN defer.job_history h ON h.id = j.behind
	 WHERE j.run_at = 'infinity'};

# Two panics of clients' sessions, when the postmaster is killed, are PostgreSQL's
# affair and happen without defer:
# - who leads parallel workers, on the way out, with code compiled by LLVM;
# - who has dropped relations and committed: the checkpointer is gone, its queue
#   (one request for each buffer, of which a test's server has few) is full, and
#   waiting for a place (RegisterSyncRequest) ends the process in mid-commit.
#   Here only the client of Stress.pm that does DDL drops relations.
sub crashes_of_ours
{
	my ($log) = @_;
	my @crashes = $log =~ /^.*(?:PANIC:|TRAP:|terminated by signal (?:4|6|7|8|11)\b).*$/mg;

	@crashes = grep { !/\] (?!defer)\S+ PANIC:  LLVMJitContext in use count not 0 at exit/ } @crashes
	  if $log =~ /postmaster exited during a parallel transaction/;
	@crashes = grep { !/\] stress_ddl PANIC:  cannot abort transaction \d+, it was already committed/ } @crashes
	  if $log =~ /terminating connection due to unexpected postmaster exit/;
	return @crashes;
}

# Wait until what there is has ended, then check it all.  Options:
#   what          put before the name of each assertion
#   busy => 1     schedules go on: only jobs of others must have ended
#   max_attempts  as configured for the jobs
#   fan_out => 1  effect.what is the number of a job's children
#   callbacks => 1  so many, modulo 3, are to begin after these
#   steps => 1    jobs are procedures of StressFlow
#   workflows => 1    jobs are steps of workflows
#   interval => ''  so far apart attempts at s_rate are to begin
#   ticks => []   functions that are scheduled each second, catching up all
#   crashes => 1  jobs were meant to crash the server
#   log_from      where the server's log is looked at from
#   deliveries => $peer   jobs of defer.http went there, each with a body of its own
sub history_ok
{
	my ($node, $files, %option) = @_;
	my $what = defined $option{what} ? "$option{what}: " : '';
	my $mine = $option{busy} ? 'j.schedule_id IS NULL AND' : '';

	ok($node->poll_query_until('postgres', 'SELECT true'), "${what}the server is there");
	load_acknowledged($node, @$files);
	# as long as nothing else comes to wake them; a moment later it is the time of another one
	my $woken = $node->poll_query_until('postgres', "SELECT NOT EXISTS ($WAITS_IN_VAIN)");
	ok($woken, "${what}no job waits for what is there");
	diag($node->safe_psql('postgres', "SELECT * FROM ($WAITS_IN_VAIN) w LIMIT 10")) unless $woken;

	# Steps that wait for an event get it.  Jobs that are held because another one has failed
	# wait for a rerun of it.
	my $settled = $node->poll_query_until('postgres', "SELECT (SELECT count(defer.emit(s.awaits, NULL, s.owner::text)) FROM defer.step s JOIN defer.job w ON w.id = s.job_id AND w.waits = 'e'
		  WHERE s.finished_at IS NULL) = 0
		AND (SELECT count(defer.cancel(d.job_id)) FROM defer.dependencies d
		  JOIN defer.job w ON w.id = d.job_id AND w.waits IS NOT NULL WHERE d.open AND d.state IS NOT NULL) = 0
		AND NOT EXISTS (SELECT FROM defer.dependency d WHERE d.open AND d.state IS NULL)
		AND NOT EXISTS (SELECT FROM defer.job j
		WHERE $mine NOT EXISTS (SELECT FROM defer.job_history h WHERE h.id = j.id))");

	ok($settled, "${what}each job ends");
	diag($node->safe_psql('postgres',
			'SELECT id, function, state, run_at - now(), attempt, pid FROM defer.jobs
			  WHERE finished_at IS NULL LIMIT 20; TABLE defer.claim; TABLE defer.workers; TABLE defer.health'))
	  unless $settled;
	$node->poll_query_until('postgres',
		'SELECT NOT EXISTS (SELECT FROM defer.claim) AND NOT EXISTS (SELECT FROM defer.job)')
	  if !$option{busy};
	# only now: deliveries were still being sent, and a peer notes each before it answers
	load_arrived($node, $option{deliveries}) if $option{deliveries};

	# one statement: they all see the same; there may be millions of rows
	$node->safe_psql('postgres', 'ANALYZE');
	my @assertions = assertions(%option);
	my %wrong;

	for my $line (split /\n/, $node->safe_psql('postgres', "SET work_mem = '128MB';\n" . join("\nUNION ALL\n",
		map { "(SELECT $_, wrong::text FROM ($assertions[$_][1] LIMIT 10) wrong)" } 0 .. $#assertions)))
	{
		my ($number, $row) = split /\|/, $line, 2;

		push @{ $wrong{$number} }, $row;
	}
	is(join("\n", @{ $wrong{$_} // [] }), '', $what . $assertions[$_][0]) for 0 .. $#assertions;
	is(join("\n", crashes_of_ours(slurp_log($node, $option{log_from}))), '', "${what}no crash of ours")
	  unless $option{crashes};
	note('jobs: ' . $node->safe_psql('postgres', q{SELECT string_agg(state || ' ' || n, ', ') FROM
		(SELECT state, count(*) AS n FROM defer.jobs GROUP BY 1 ORDER BY 1) s}));
	note('attempts without success: ' . $node->safe_psql('postgres', q{SELECT string_agg(outcome || ' ' || n, ', ') FROM
		(SELECT outcome, count(*) AS n FROM defer.attempts GROUP BY 1 ORDER BY 1) s}));
	note($node->safe_psql('postgres', 'SELECT count(*) FROM acknowledged') . ' acknowledged');
	return;
}

1;
