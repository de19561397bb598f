# Jobs of tasks, taken by workers outside of the server: leases that are over, late
# workers, limits, crashes of the server, copies, sessions that end.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 2
defer.max_leases = 64});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	SELECT defer.create_task('remote', max_attempts => 5, initial_interval => '0');
	SELECT defer.create_task('narrow', concurrency => 2);
	SELECT defer.create_task('grouped', group_by => 'tenant', group_concurrency => 1)});

# Take up to n jobs of a task, and wait until there are some: "id|token|attempt" of each
sub take
{
	my ($task, $n, $lease, $role) = @_;
	my $sql = sprintf(q{SET ROLE %s; SELECT id, token, attempt FROM defer.take('{%s}', n => %d, lease => '%s', worker => 'w1')},
		$role // 'postgres', $task, $n // 1, $lease // '5 min');

	for (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $taken = $node->safe_psql('postgres', $sql);

		return split(/\n/, $taken) if $taken ne '';
		select(undef, undef, undef, 0.01);
	}
	die "nothing to take of $task";
}

# The same until so many are taken
sub take_all
{
	my ($task, $n) = @_;
	my @taken;

	push @taken, take($task, 10) while @taken < $n;
	return @taken;
}

sub try_take
{
	my ($task, $n) = @_;

	return $node->safe_psql('postgres', sprintf(q{SELECT count(*) FROM defer.take('{%s}', n => %d)}, $task, $n // 1));
}

sub state_of
{
	my ($id) = @_;

	return $node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $id");
}

sub error_of
{
	my ($sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");

	return $err =~ /ERROR:  (\S+):/ ? $1 : '';
}

# A lease that is over: the attempt is lost, the job is another worker's, and the
# late one cannot commit what it has written
my $job = $node->safe_psql('postgres', q{SELECT defer.enqueue('remote')});
my ($taken) = take('remote', 1, '1 second');
my (undef, $token, $attempt) = split /\|/, $taken;
my $late = $node->background_psql('postgres', on_error_stop => 0);

is($attempt, 1, 'the first attempt');
$late->query_safe('BEGIN');
$late->query_safe("INSERT INTO effect VALUES ($job)");
$late->query_safe("SELECT defer.complete($job, '$token')");
until_ok($node, "SELECT outcome = 'lost' AND message LIKE 'worker w1 was not heard of%' FROM defer.attempts WHERE job_id = $job", 'the lease is ended, though a transaction is about to end the job');
is($node->safe_psql('postgres', "SELECT defer.lease_state($job, '$token')"), 'lost', 'its worker can ask');
$late->query('COMMIT');
like($late->{stderr}, qr/is not held with this token/, 'a late COMMIT is refused');
$late->{stderr} = '';
is($node->safe_psql('postgres', 'SELECT count(*) FROM effect'), 0, 'and leaves nothing');
is(error_of("SELECT defer.complete($job, '$token')"), 'DF030', 'so is a late call');
($taken) = take('remote');
my (undef, $second, $next) = split /\|/, $taken;
is($next, 2, 'the second attempt');
$node->safe_psql('postgres', "BEGIN; INSERT INTO effect VALUES ($job); SELECT defer.complete($job, '$second'); COMMIT");
is(state_of($job), 'succeeded', 'another worker has completed it');

# A savepoint wrapper or an exception block does not help
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('remote')});
is(error_of(q{DO $$
BEGIN
	INSERT INTO effect VALUES (0);
	PERFORM defer.complete(0, gen_random_uuid());
EXCEPTION WHEN OTHERS THEN
	INSERT INTO effect VALUES (0);
END $$}), 'DF030', 'an exception block does not save the transaction');
is($node->safe_psql('postgres', 'SELECT count(*) FROM effect WHERE job = 0'), 0, 'nothing of it is left');

# Heartbeats keep it
($taken) = take('remote', 1, '2 seconds');
(undef, $token) = split /\|/, $taken;
my $until = time() + 5;
while (time() < $until)
{
	$node->safe_psql('postgres', "SELECT defer.heartbeat($job, '$token', progress => 0.25)");
	select(undef, undef, undef, 0.2);
}
is($node->safe_psql('postgres', "SELECT defer.lease_state($job, '$token')"), 'held', 'heartbeats keep a lease beyond its length');
is($node->safe_psql('postgres', "SELECT progress FROM defer.jobs WHERE id = $job"), '0.25', 'progress');
$node->safe_psql('postgres', "SELECT defer.complete($job, '$token')");

# max_duration counts from the taking, whatever heartbeats say
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('remote', max_duration => '1 second', max_attempts => 1)});
($taken) = take('remote', 1, '1 hour');
(undef, $token) = split /\|/, $taken;
until_ok($node, "SELECT state = 'failed' FROM defer.jobs WHERE id = $job", 'max_duration ends it');
is($node->safe_psql('postgres', "SELECT outcome FROM defer.attempts WHERE job_id = $job"), 'timed_out', 'as timed out');
is($node->safe_psql('postgres', "SELECT defer.lease_state($job, '$token')"), 'lost', 'lost to its worker');

# A cancelled job of a worker that says nothing is cancelled with its lease
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('remote')});
($taken) = take('remote', 1, '1 second');
$node->safe_psql('postgres', "SELECT defer.cancel($job, force => true)");
until_ok($node, "SELECT state = 'cancelled' FROM defer.jobs WHERE id = $job", 'a cancelled job ends with its lease');

# Limits count leases
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('narrow')) FROM generate_series(1, 4)});
my @narrow = take_all('narrow', 2);
is(scalar @narrow, 2, 'two at a time');
is(try_take('narrow', 10), 0, 'no more');
my ($id) = split /\|/, $narrow[0];
(undef, $token) = split /\|/, $narrow[0];
$node->safe_psql('postgres', "BEGIN; SELECT defer.complete($id, '$token'); ROLLBACK");
is(try_take('narrow', 10), 0, 'a rolled back end gives no place back');
$node->safe_psql('postgres', "SELECT defer.complete($id, '$token')");
my ($third) = take('narrow', 10);
is(try_take('narrow', 10), 0, 'one has ended, one was taken');

# Of a group, too
$node->safe_psql('postgres', q{
	SELECT defer.enqueue('grouped', '{"tenant": "a"}') FROM generate_series(1, 3);
	SELECT defer.enqueue('grouped', '{"tenant": "b"}')});
my @grouped = take_all('grouped', 2);
is($node->safe_psql('postgres', q{SELECT string_agg(group_key, ',' ORDER BY group_key) FROM defer.jobs
	WHERE function = 'grouped' AND state = 'running'}), 'a,b', 'one of each group');
is(try_take('grouped', 10), 0, 'no more of the groups');

# Rates count what is taken
$node->safe_psql('postgres', q{
	SELECT defer.create_task('rated', rate => '1/hour', rate_burst => 2);
	SELECT count(defer.enqueue('rated')) FROM generate_series(1, 5)});
my @rated = take_all('rated', 2);
is(scalar @rated, 2, 'as many as the burst');
is(try_take('rated', 10), 0, 'no more in that hour');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE function = 'rated' AND state = 'running'}), 2, 'the others wait');
$node->safe_psql('postgres', q{SELECT count(*) FROM defer.cancel_jobs(function => 'rated', force => true)});

# Rolled back, by the transaction, a savepoint, or the end of the session
for ($narrow[1], $third, @grouped)
{
	my ($id, $token) = split /\|/;

	$node->safe_psql('postgres', "SELECT defer.complete($id, '$token')");
}
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('BEGIN');
for (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if $session->query_safe(q{SELECT count(*) FROM defer.take('{narrow}')}) == 1;
	select(undef, undef, undef, 0.01);
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE function = 'narrow' AND state = 'running'}), 0, 'taken, and not committed');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $session->query_safe('SELECT pg_backend_pid()') . ')');
eval { $session->quit };
my ($fourth) = take('narrow', 10);
my ($narrow_id, $narrow_token) = split /\|/, $fourth;
isnt($narrow_id, '', 'the job of a session that has ended is free again');

# A crash of the server takes nothing from a worker outside: its lease is there anew,
# with its place under limits, and nothing is suspected
$node->safe_psql('postgres', "SELECT defer.configure('narrow', concurrency => 1); SELECT defer.enqueue('narrow')");
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', "SELECT defer.heartbeat($narrow_id, '$narrow_token')"), 'go on', 'a lease after a crash, before it is read');
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $narrow_id", 'it runs, to those who look');
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE function = 'narrow' AND waiting_for = 'concurrency'}, 'and has its place');
is(try_take('narrow'), 0, 'no other job is taken');
is($node->safe_psql('postgres', "SELECT suspect, attempt, crashes FROM defer.job WHERE id = $narrow_id"), '0|0|0', 'no crash is counted');
$node->safe_psql('postgres', "SELECT defer.complete($narrow_id, '$narrow_token')");
($taken) = take('narrow');
($id, $token) = split /\|/, $taken;
$node->safe_psql('postgres', "SELECT defer.complete($id, '$token')");
is(state_of($narrow_id), 'succeeded', 'completed after the crash');

# A worker that is gone after a crash loses its lease
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('remote')});
($taken) = take('remote', 1, '1 second');
$node->stop('immediate');
$node->start;
until_ok($node, "SELECT outcome = 'lost' FROM defer.attempts WHERE job_id = $job", 'a lease of before the crash is over');
($taken) = take('remote');
($id, $token) = split /\|/, $taken;
is($id, $job, 'the job is taken again');

# A role has a share of the leases, and leaves the next one some
$node->safe_psql('postgres', q{
	CREATE ROLE greedy LOGIN; CREATE ROLE modest LOGIN;
	GRANT USAGE ON SCHEMA defer TO greedy, modest;
	SELECT defer.grant_task('remote', 'greedy', 'work');
	SELECT defer.grant_task('remote', 'modest', 'work');
	SELECT count(defer.enqueue('remote')) FROM generate_series(1, 100)});
my $greedy = 0;
my $refused = '';
for (1 .. 20)
{
	my ($rc, $out, $err) = $node->psql('postgres', q{SET ROLE greedy; SELECT count(*) FROM defer.take('{remote}', n => 50)});

	$refused = $err;
	last if $rc != 0 || $err ne '';
	$greedy += $out;
}
like($refused, qr/role "greedy" holds too many jobs of tasks/, 'a role that takes all it can is refused');
cmp_ok($greedy, '<', 64, 'it has not got all');
my @modest = take('remote', 10, '5 min', 'modest');
cmp_ok(scalar @modest, '>', 0, 'another role gets some');

# What a token is of can be found out by none who has not taken it, though it works on the task,
# too: another's job, one that there is not, and a wrong token are told alike
my ($modest_id, $modest_token) = split /\|/, $modest[0];
my @of_token = map { "defer.$_" } q{complete(ID, TOKEN, '{}')}, 'complete_many(ARRAY[ID], ARRAY[TOKEN])', q{fail(ID, TOKEN, 'no')}, 'release(ID, TOKEN)',
  'heartbeat(ID, TOKEN)', 'heartbeat_many(ARRAY[ID], ARRAY[TOKEN])', q{log(ID, TOKEN, 'no')}, 'as_job(ID, TOKEN)', 'lease_state(ID, TOKEN)';

is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'defer'::regnamespace AND proargtypes::oid[] && ARRAY['uuid', 'uuid[]']::regtype[]::oid[]}),
	scalar(@of_token), 'these are all functions that take a token');

sub answers
{
	my ($role, $id, $token) = @_;
	my $calls = join("\n", 'SET ROLE ' . $role . ';', map { 'SELECT ' . ($_ =~ s/ID/$id/r =~ s/TOKEN/uuid '$token'/r) . ';' } @of_token);
	my ($rc, $out, $err) = $node->psql('postgres', $calls, on_error_stop => 0);

	return "$out$err" =~ s/\b$id\b/ID/gr;
}
my $of_none = answers('greedy', 0, '00000000-0000-0000-0000-000000000000');

is(() = $of_none =~ /ERROR:  job ID is not held with this token/g, 8, 'a job that there is not');
is(answers('greedy', $modest_id, $modest_token), $of_none, "another's, with its token");
is(answers('greedy', $modest_id, '00000000-0000-0000-0000-000000000000'), $of_none, 'and with a wrong one');
is($node->safe_psql('postgres', "SET ROLE modest; SELECT defer.lease_state($modest_id, '$modest_token')"), 'held', 'it is held as before');

# A copy has none of the leases
$late->quit;
$node->safe_psql('postgres', 'CHECKPOINT');
$node->safe_psql('template1', 'CREATE DATABASE copied TEMPLATE postgres');
$node->safe_psql('copied', 'SELECT defer.activate()');
my ($rc, $out, $err) = $node->psql('copied', "SELECT defer.complete($modest_id, '$modest_token')");
like($err, qr/is not held with this token/, 'a token is worth nothing in a copy');
is($node->safe_psql('copied', "SELECT state FROM defer.jobs WHERE id = $modest_id"), 'queued', 'the job is free there');
$node->safe_psql('postgres', "SET ROLE modest; SELECT defer.complete($modest_id, '$modest_token')");
is(state_of($modest_id), 'succeeded', 'and held in the original');

# Schedules and dependencies
$node->safe_psql('postgres', q{SELECT defer.create_task('scheduled')});
$node->safe_psql('postgres', q{SELECT defer.cron('scheduled', 'every 1 second')});
($taken) = take('scheduled');
($id, $token) = split /\|/, $taken;
is($node->safe_psql('postgres', "SELECT schedule FROM defer.jobs WHERE id = $id"), 'scheduled', 'a schedule enqueues a task');
$node->safe_psql('postgres', q{SELECT defer.unschedule('scheduled')});
$node->safe_psql('postgres', 'CREATE FUNCTION afterwards() RETURNS void LANGUAGE sql AS $$SELECT$$');
my $after = $node->safe_psql('postgres', "SELECT defer.enqueue('afterwards', after => ARRAY[$id])");
is(state_of($after), 'waiting', 'a job waits for one of a task');
$node->safe_psql('postgres', "SELECT defer.complete($id, '$token')");
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $after", 'and runs after it');

# Outside workers, and tasks without one
$node->safe_psql('postgres', q{SELECT defer.create_task('alone'); SELECT defer.grant_task('alone', 'modest', 'work')});
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('alone')});
$node->safe_psql('postgres', "UPDATE defer.job SET run_at = run_at - interval '2 minutes' WHERE id = $job");
my $no_worker = q{SELECT count(*) FROM defer.health WHERE finding LIKE 'no worker takes jobs of task "alone": 1 are ready%'};
is($node->safe_psql('postgres', $no_worker), 1, 'a task that no worker takes jobs of');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.health WHERE finding LIKE 'ready jobs of role%'}), 0, 'its jobs need no worker of the server');
$node->safe_psql('postgres', q{SELECT defer.pause('alone')});
is($node->safe_psql('postgres', $no_worker), 0, 'none is missed while it is paused');
$node->safe_psql('postgres', "SELECT defer.resume('alone'), defer.reschedule($job)");
($taken) = take('alone', 1, '5 min', 'modest');
is($node->safe_psql('postgres', $no_worker), 0, 'nor when one works on it');
my $outside = q{SELECT role, name, host, tasks, leases, last_seen >= since, job_id, pid IS NOT NULL FROM defer.workers WHERE kind = 'outside' AND 'alone' = ANY (tasks)};
like($node->safe_psql('postgres', $outside), qr/^modest\|w1\|\[local\]\|\{alone,remote\}\|\d+\|t\|\|f$/, 'the worker that holds it');
is($node->safe_psql('postgres', "SET ROLE greedy; $outside"), '', 'other roles do not see it');
my $waiter = $node->background_psql('postgres');
$waiter->query_until(qr/asleep/, "\\echo asleep\nCALL defer.wait_for_work('{alone,narrow}', '1 hour', worker => 'idle one');\n");
until_ok($node, q{SELECT role = 'postgres' AND tasks = '{alone,narrow}' AND leases = 0 AND pid IS NOT NULL FROM defer.workers WHERE name = 'idle one'}, 'a worker that waits');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM defer.workers WHERE name = 'idle one'});
until_ok($node, q{SELECT count(*) = 0 FROM defer.workers WHERE name = 'idle one'}, 'and one that has gone');
($id, $token) = split /\|/, $taken;
$node->safe_psql('postgres', "SELECT defer.complete($id, '$token')");
is($node->safe_psql('postgres', $outside), '', 'one that holds nothing is not there');

# An alert tells of a task that no worker takes, and that one does again: to the role whose jobs wait
$node->safe_psql('postgres', q{
	CREATE ROLE watchful LOGIN;
	GRANT USAGE ON SCHEMA defer TO watchful;
	GRANT EXECUTE ON FUNCTION defer.alert, defer.http TO watchful, modest;
	SELECT defer.grant_task('alone', 'watchful', 'enqueue');
	SELECT defer.endpoint('hook', 'http', 'http://192.0.2.1/');
	SELECT defer.grant_endpoint('hook', 'public');
	SET ROLE modest;
	SELECT defer.alert('late', 'hook', on_states => '{}', backlog => '1 s');
	SET ROLE watchful;
	SELECT defer.alert('late', 'hook', on_states => '{}', backlog => '1 s', recovered => false);
	SELECT defer.enqueue('alone')});
until_ok($node, q{SELECT failing <> '{}' FROM defer.alerts WHERE owner = 'watchful'}, 'an alert tells of a task that no worker takes');
is($node->safe_psql('postgres', q{SELECT failing FROM defer.alerts WHERE owner = 'modest'}), '{}', "not another role's");
($taken) = take('alone', 1, '5 min', 'modest');
until_ok($node, q{SELECT failing = '{}' FROM defer.alerts WHERE owner = 'watchful'}, 'until one does');
($id, $token) = split /\|/, $taken;
$node->safe_psql('postgres', "SELECT defer.complete($id, '$token')");

# The rows of jobs of two roles have moved since they were taken, one by hand; all end in one
# transaction, and each is counted
$node->safe_psql('postgres', q{
	CREATE ROLE tenant;
	GRANT USAGE ON SCHEMA defer TO tenant;
	SELECT defer.create_task('moved');
	SELECT defer.grant_task('moved', 'tenant', 'enqueue');
	SELECT defer.enqueue('moved', key => 'key ' || i % 2) FROM generate_series(1, 2) i;
	SET ROLE tenant;
	SELECT defer.enqueue('moved', '{"a": 1}') FROM generate_series(1, 3)});
my @moved = map { [ split /\|/ ] } take_all('moved', 5);
my ($ids, $tokens) = map { my $n = $_; join ',', map { $_->[$n] } @moved } 0, 1;
$node->safe_psql('postgres', "VACUUM FULL defer.job; UPDATE defer.job SET metadata = '7' WHERE id = $moved[0][0]");
$node->safe_psql('postgres', "SELECT defer.complete_many('{$ids}', '{$tokens}')");
is($node->safe_psql('postgres', "SELECT count(*) FROM defer.job WHERE id IN ($ids)"), 0, 'their rows are gone');
is($node->safe_psql('postgres', "SELECT metadata FROM defer.job_history WHERE id = $moved[0][0]"), 7, 'as they were in the end');
is($node->safe_psql('postgres', q{SELECT string_agg(owner || ' ' || succeeded, ', ' ORDER BY owner) FROM defer.job_hours WHERE function = 'moved'}),
	'postgres 2, tenant 3', 'each is counted, under its owner');

# Another session has the row: COMMIT waits, and ends the job as that has left it, or not at all
for my $what (q{UPDATE defer.job SET metadata = '8'}, 'UPDATE defer.job SET claim = NULL', 'DELETE FROM defer.job')
{
	my $is_left = $what =~ /metadata/;
	($taken) = do { $node->safe_psql('postgres', q{SELECT defer.enqueue('moved')}); take('moved') };
	($id, $token) = split /\|/, $taken;
	my ($other, $completer) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;

	$other->query_safe("BEGIN; $what WHERE id = $id");
	$completer->query_until(qr/begun/, "\\echo begun\nSELECT defer.complete($id, '$token');\n");
	until_ok($node, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%complete%')}, "$what: COMMIT waits");
	$other->query_safe('COMMIT');
	$completer->query('');
	is($node->safe_psql('postgres', "SELECT metadata FROM defer.job_history WHERE id = $id AND state = 's'"), $is_left ? 8 : '', 'what has become of it');
	$is_left ? is($completer->{stderr}, '', 'the job has ended') : like($completer->{stderr}, qr/is not held with this token/, 'it is another one\'s, or none');
	$_->quit for $other, $completer;
	$node->safe_psql('postgres', "DELETE FROM defer.job WHERE id = $id");
}

# Rows of claims go with their last job; those of rows that were changed by hand, with their lease
my $last_claim = $node->safe_psql('postgres', 'SELECT COALESCE(max(id), 0) FROM defer.claim');
$node->safe_psql('postgres', q{SELECT defer.complete_many(array_agg(t.id), array_agg(t.token)) FROM defer.take('{remote}', n => 5) t});
until_ok($node, "SELECT NOT EXISTS (SELECT FROM defer.claim c WHERE c.token IS NOT NULL AND c.id > $last_claim)", 'no claim is left without jobs');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.workers WHERE kind = 'worker' AND function IS NOT NULL}), 0, 'no worker of the server runs a task');
$node->stop;
done_testing();
