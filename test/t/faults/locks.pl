# Deadlocks, serialization failures, time-outs that a role has set, locks on our
# own tables, a snapshot that is held: each is what the job or nobody feels.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
defer.retention = 0
defer.worker_idle_timeout = 500ms
deadlock_timeout = 100ms
autovacuum = off});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE snapshots LOGIN;
	CREATE ROLE impatient LOGIN;
	CREATE ROLE hasty LOGIN;
	ALTER ROLE snapshots SET default_transaction_isolation = 'repeatable read';
	ALTER ROLE impatient SET lock_timeout = '50 ms';
	ALTER ROLE impatient SET idle_session_timeout = '50 ms';
	ALTER ROLE impatient SET idle_in_transaction_session_timeout = '50 ms';
	ALTER ROLE hasty SET statement_timeout = '100 ms';
	GRANT USAGE ON SCHEMA defer TO PUBLIC;
	CREATE TABLE effect (job bigint);
	CREATE TABLE account (id int PRIMARY KEY, n int DEFAULT 0);
	INSERT INTO account VALUES (1), (2);
	GRANT ALL ON effect, account TO PUBLIC;
	CREATE SEQUENCE met;
	CREATE SEQUENCE changed;
	CREATE SEQUENCE tries;
	GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
	-- the first two wait for each other between their updates; the one that is tried again waits for the other to end
	CREATE FUNCTION transfer(a int, b int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF (SELECT last_value FROM met) >= 2 THEN
			WHILE NOT EXISTS (SELECT FROM effect) LOOP PERFORM pg_sleep(0.01); END LOOP;
		END IF;
		INSERT INTO effect VALUES (defer.current_job());
		UPDATE account SET n = n - 1 WHERE id = a;
		PERFORM nextval('met');
		WHILE (SELECT last_value FROM met) < 2 LOOP PERFORM pg_sleep(0.01); END LOOP;
		UPDATE account SET n = n + 1 WHERE id = b;
	END $$;
	-- the first one lets somebody else change what it has read
	CREATE FUNCTION stale() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		PERFORM n FROM account WHERE id = 1;
		PERFORM nextval('tries');
		WHILE NOT (SELECT is_called FROM changed) LOOP PERFORM pg_sleep(0.01); END LOOP;
		UPDATE account SET n = n + 100 WHERE id = 1;
	END $$;
	CREATE FUNCTION always_conflicts() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE serialization_failure; END $$;
	CREATE FUNCTION locks() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job()); UPDATE account SET n = n WHERE id = 2';
	CREATE FUNCTION sleepy() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(600)';
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())'});

sub job_is
{
	my ($job, $expected, $what) = @_;

	is($node->safe_psql('postgres', qq{
		SELECT j.state, j.attempt, j.sqlstate, (SELECT string_agg(a.outcome || ' ' || a.sqlstate, ', ' ORDER BY a.finished_at)
			FROM defer.attempts a WHERE a.job_id = j.id)
		  FROM defer.jobs j WHERE j.id = $job}), $expected, $what);
	return;
}

# Two that lock each other out: one is retried at once
$node->safe_psql('postgres', q{SELECT defer.later('transfer', 1, 2), defer.later('transfer', 2, 1)});
settled($node, 'deadlock: both end');
is($node->safe_psql('postgres', q{SELECT state, attempt, count(*) FROM defer.jobs WHERE function LIKE '%transfer%' GROUP BY 1, 2}),
	'succeeded|1|2', 'deadlock: at their first attempt');
is($node->safe_psql('postgres', q{SELECT outcome, sqlstate, count(*) FROM defer.attempts GROUP BY 1, 2}),
	'conflict|40P01|1', 'deadlock: it is recorded');
is($node->safe_psql('postgres', 'SELECT string_agg(n::text, \',\' ORDER BY id) FROM account'), '0,0', 'deadlock: each transfer once');

# Snapshot too old for an update
my $job = $node->safe_psql('postgres', q{SET ROLE snapshots; SELECT defer.enqueue('stale')});
until_ok($node, 'SELECT is_called FROM tries', 'serialization failure: the job has read');
$node->safe_psql('postgres', q{UPDATE account SET n = 7 WHERE id = 1; SELECT nextval('changed')});
settled($node, 'serialization failure: it ends');
job_is($job, 'succeeded|1||conflict 40001', 'serialization failure: retried at once, no attempt is used');
is($node->safe_psql('postgres', 'SELECT n FROM account WHERE id = 1'), '107', 'serialization failure: on what is there now');
$job = $node->safe_psql('postgres', q{SELECT defer.enqueue('always_conflicts', max_attempts => 2, initial_interval => '10 ms')});
settled($node, 'nothing but serialization failures: it ends');
job_is($job, 'failed|2|40001|' . join(', ', ('conflict 40001') x 5, ('failed 40001') x 2),
	'nothing but serialization failures: a few do not count');

# Time-outs that the role has set
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_safe('BEGIN; SELECT FROM account WHERE id = 2 FOR UPDATE;');
$job = $node->safe_psql('postgres', q{SET ROLE impatient; SELECT defer.enqueue('locks', initial_interval => '50 ms', max_interval => '50 ms', max_attempts => 10000)});
until_ok($node, "SELECT count(*) >= 2 FROM defer.attempts WHERE job_id = $job", 'lock_timeout: the job fails, and is retried');
is($node->safe_psql('postgres', "SELECT DISTINCT outcome, sqlstate FROM defer.attempts WHERE job_id = $job"),
	'failed|55P03', 'lock_timeout: it says so');
$session->query_safe('COMMIT;');
settled($node, 'lock_timeout: without the lock it ends');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $job"), 'succeeded', 'lock_timeout: well');
$job = $node->safe_psql('postgres', q{SET ROLE hasty; SELECT defer.enqueue('sleepy', max_attempts => 1)});
settled($node, 'statement_timeout: the job ends');
job_is($job, 'failed|1|57014|failed 57014', 'statement_timeout: the role\'s own, not max_duration');
unlike(slurp_log($node), qr/terminating connection due to idle/, 'idle time-outs of roles are not for workers');

# Somebody locks our tables
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work', delay => '200 ms')) FROM generate_series(1, 100);
	SELECT defer.cron('work', '* * * * * *', overlap => 'allow', catch_up => 'all')});
$session->query_safe('BEGIN; LOCK TABLE defer.job IN ACCESS EXCLUSIVE MODE;');
until_ok($node, q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted}, 'our processes wait for a lock');
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if slurp_log($node) =~ /scheduler task .* lock timeout/;
	select(undef, undef, undef, 0.1);
}
like(slurp_log($node), qr/scheduler task .* failed in database .*lock timeout/, 'but not for ever');
$session->query_safe('COMMIT;');
until_ok($node, q{SELECT count(*) FILTER (WHERE scheduled_for IS NULL) >= 100 AND count(*) FILTER (WHERE scheduled_for IS NOT NULL) > 1
	FROM defer.jobs WHERE function LIKE '%.work()' AND state = 'succeeded'}, 'it is released: all goes on');
quiesce($node);
settled($node, 'it is released: all has ended');

# The next run of a schedule is locked while the one that it waits for ends
$node->safe_psql('postgres', q{
	CREATE TABLE gate (open boolean);
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	SELECT defer.cron('gated', '* * * * * *', name => 'one by one', overlap => 'queue')});
my $held = q{FROM defer.job WHERE function LIKE '%gated()' AND run_at = 'infinity'};
until_ok($node, "SELECT EXISTS (SELECT $held)", 'a run waits for the one before it');
$node->safe_psql('postgres', q{SELECT defer.alter_cron('one by one', schedule => '0 0 1 1 *')});
$held = $node->safe_psql('postgres', "SELECT min(id) $held");
$session->query_safe("BEGIN; SELECT defer.cancel($held);");
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.jobs j, pg_stat_activity a WHERE j.function LIKE '%gated()' AND j.state = 'succeeded'
	AND a.backend_type = 'defer scheduler' AND a.state = 'idle' AND a.state_change > j.finished_at)}, 'that one has ended, and the scheduler has looked');
$session->query_safe('ROLLBACK;');
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $held", 'the run begins when its row is free');
quiesce($node);

# A session that has made schedules looks into their table for none of the functions that
# it calls later; in the transaction that made them it does
{
	my $other = $node->background_psql('postgres', on_error_stop => 1);

	$node->safe_psql('postgres', q{CREATE FUNCTION free() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 7; END';
		CREATE FUNCTION yearly() RETURNS int LANGUAGE sql AS 'SELECT 1'});
	$session->query_safe(q{SET client_min_messages = warning; SET lock_timeout = '10 s'; SELECT defer.cron('yearly', '@yearly');});
	$other->query_safe('BEGIN; LOCK TABLE defer.schedule IN ACCESS EXCLUSIVE MODE;');
	is($session->query_safe('SELECT free();'), '7', 'a function is called while the table of schedules is locked');
	$other->query_safe('ROLLBACK;');
	$other->quit;
	$session->query_safe(q{RESET lock_timeout; SELECT defer.unschedule('yearly');});
}

# To wait for a job whose row this transaction has locked would never end, also if another
# one has locked it, too
{
	my $other = $node->background_psql('postgres', on_error_stop => 1);
	my $far = $node->safe_psql('postgres', q{SELECT defer.enqueue('work', delay => '1 day')});
	my $err;

	$other->query_safe("BEGIN; SELECT FROM defer.job WHERE id = $far FOR SHARE;");
	$node->psql('postgres', "BEGIN; SELECT FROM defer.job WHERE id = $far FOR SHARE; SELECT defer.await($far, '5 s')", stderr => \$err);
	like($err, qr/cannot wait for job $far, which this transaction has enqueued or changed/, 'a job that we have locked with others is not waited for');
	$node->psql('postgres', "SELECT defer.await($far, '10 ms')", stderr => \$err);
	like($err, qr/timed out waiting for job $far/, 'one that only others have locked is');
	$other->query_safe('ROLLBACK;');
	$other->quit;
	$node->safe_psql('postgres', "SELECT defer.cancel($far)");
}

# A snapshot that is held: what the claims read does not grow with what has been
# deleted meanwhile
sub blocks_of_round
{
	my $blocks = q{SELECT idx_blks_hit + idx_blks_read FROM pg_statio_user_indexes WHERE indexrelname = 'job_claim_idx'};
	my $no_worker = q{SELECT NOT EXISTS (SELECT FROM defer.workers WHERE kind = 'worker')};

	$node->poll_query_until('postgres', $no_worker);
	$node->safe_psql('postgres', q{SELECT pg_stat_reset_single_table_counters('defer.job_claim_idx'::regclass)});
	$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 5000)});
	settled($node, '5000 jobs under a held snapshot');
	# statistics come when their process leaves
	$node->poll_query_until('postgres', $no_worker);
	return $node->safe_psql('postgres', $blocks);
}

$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM effect;');
my @rounds = map { blocks_of_round() } 1 .. 4;
note("blocks of the claim index in each round: @rounds");
cmp_ok($rounds[0], '>', 0, 'blocks are counted');
cmp_ok($rounds[3], '<', 2 * $rounds[0], 'the fourth round reads no more than the first did');
$session->quit;

history_ok($node, [], what => 'at the end', max_attempts => 10000);
$node->stop;
done_testing();
