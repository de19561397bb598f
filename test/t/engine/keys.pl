# Jobs with a key whose predecessor just starts or just ends, and what is left when the
# server stops in between: at most one of a key runs, and the one that waits behind it
# begins when it has ended, always.
use strict;
use warnings;

use DeferTest;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
defer.max_workers = 4
defer.worker_idle_timeout = '10min'
max_prepared_transactions = 5
defer.http_allow = '127.0.0.1'
});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint, x text);
	CREATE TABLE overlap (job bigint);
	CREATE FUNCTION work(x text) RETURNS void LANGUAGE sql AS 'INSERT INTO effect VALUES (defer.current_job(), x)';
	CREATE FUNCTION wait_for(lock int, x text) RETURNS void LANGUAGE sql AS
		'SELECT pg_advisory_xact_lock_shared(lock); INSERT INTO effect VALUES (defer.current_job(), x)';
	-- says if another one of its key runs at the same time
	CREATE FUNCTION alone(k int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM defer.jobs WHERE key = 'k' || k AND state = 'running' AND id <> defer.current_job()) THEN
			INSERT INTO overlap VALUES (defer.current_job());
		END IF;
		INSERT INTO effect VALUES (defer.current_job(), k);
	END $$});

my $lock = $node->background_psql('postgres');
my $running = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'defer worker' AND wait_event = 'advisory'};

# Run a job up to where it has deleted its row, and cannot commit; and a session that
# enqueues the same key
my ($holder, $session);
sub just_ending
{
	my ($key) = @_;

	$holder = $node->background_psql('postgres');
	$session = $node->background_psql('postgres');
	$lock->query_safe('SELECT pg_advisory_lock(8)');
	$node->safe_psql('postgres', qq{SELECT defer.enqueue('wait_for', '[8, "$key first"]', key => '$key', initial_interval => '0')});
	until_ok($node, $running, "$key: a job runs");
	$holder->query_safe('BEGIN; LOCK TABLE defer.job_history');
	$lock->query_safe('SELECT pg_advisory_unlock(8)');
	until_ok($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'defer worker' AND wait_event = 'relation'},
		"$key: it is about to end");
	$session->query_until(qr/begun/, qq{
\\echo begun
SELECT 'outcome ' || outcome FROM defer.enqueue_one('wait_for', '[8, "$key second"]', key => '$key', on_key => 'replace');
});
	until_ok($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event = 'transactionid'},
		"$key: an enqueue waits for that");
	return;
}

# 1. The job just ends
just_ending('ends');
$holder->query_safe('COMMIT');
like($session->query_safe('SELECT 1'), qr/outcome created/, 'there is no other then');
settled($node, 'both have ended');
is($node->safe_psql('postgres', q{SELECT string_agg(x, ', ' ORDER BY job) FROM effect}), 'ends first, ends second', 'each once');

# 2. It fails where it just ends: it is replaced, or is tried again and the new one waits, or
# has ended by then
just_ending('fails');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'defer worker' AND wait_event = 'relation'});
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.attempt)
	OR EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event = 'relation' AND query LIKE '%enqueue_one%' AND pid <> pg_backend_pid())},
	'it has failed');
$holder->query_safe('COMMIT');
like($session->query_safe('SELECT 1'), qr/outcome (replaced|queued_behind|created)/, 'the enqueue goes on');
settled($node, 'all have ended');
like($node->safe_psql('postgres', q{SELECT string_agg(x, ', ' ORDER BY job) FROM effect WHERE x LIKE 'fails%'}), qr/^(fails first, )?fails second$/, 'each at most once');
$holder->quit;

# 3. The job just starts: it waits in the batch of a worker
$node->safe_psql('postgres', q{ALTER SYSTEM SET defer.max_workers = 1});
$lock->quit;
$session->quit;
$node->restart;
$lock = $node->background_psql('postgres');
$lock->query_safe('SELECT pg_advisory_lock(7)');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work', '["many"]')) FROM generate_series(1, 2000)});
settled($node, 'many short jobs');
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT defer.enqueue('wait_for', '[7, "gate"]');
	SELECT defer.enqueue('work', '["batch old"]', key => 'batch');
	COMMIT});
until_ok($node, q{SELECT count(*) = 2 FROM defer.job WHERE claim IS NOT NULL}, 'a job waits in a batch');
is($node->safe_psql('postgres', q{SELECT outcome FROM defer.enqueue_one('work', '["batch new"]', key => 'batch', on_key => 'replace')}),
	'replaced', 'it is taken out of that');
is($node->safe_psql('postgres', q{BEGIN; SELECT outcome FROM defer.enqueue_one('work', '["batch undone"]', key => 'batch', on_key => 'replace'); ROLLBACK}),
	'replaced', 'a replacement that is rolled back');
$lock->query_safe('SELECT pg_advisory_unlock(7)');
settled($node, 'it has run');
is($node->safe_psql('postgres', q{SELECT string_agg(x, ' ') FROM effect WHERE x LIKE 'batch%'}), 'batch new', 'once, with the new arguments');

# 4. The server crashes while one runs, and one waits behind it
$lock->query_safe('SELECT pg_advisory_lock(7)');
$node->safe_psql('postgres', q{SELECT defer.enqueue('wait_for', '[7, "crash ahead"]', key => 'crash')});
until_ok($node, $running, 'a job runs');
my ($behind, $outcome) = split /\|/, $node->safe_psql('postgres', q{SELECT * FROM defer.enqueue_one('wait_for', '[7, "crash behind"]', key => 'crash', on_key => 'replace')});
is($outcome, 'queued_behind', 'one waits behind it');
$lock->quit;
$node->stop('immediate');
$node->start;
settled($node, 'both have ended after the restart');
is($node->safe_psql('postgres', q{SELECT string_agg(x, ', ' ORDER BY job) FROM effect WHERE x LIKE 'crash%'}), 'crash ahead, crash behind',
	'in their order');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM defer.jobs a JOIN defer.jobs b ON b.id = $behind AND b.started_at >= a.finished_at WHERE a.key = 'crash' AND a.id < b.id}),
	'1', 'one after the other');

# 5. It ends while the session that has put one behind it has prepared its transaction; then
# the server crashes, and nothing in memory knows of it
$lock = $node->background_psql('postgres');
$lock->query_safe('SELECT pg_advisory_lock(7)');
$node->safe_psql('postgres', q{SELECT defer.enqueue('wait_for', '[7, "prepared ahead"]', key => 'prepared')});
until_ok($node, $running, 'a job runs');
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT defer.enqueue('wait_for', '[7, "prepared behind"]', key => 'prepared', on_key => 'replace');
	PREPARE TRANSACTION 'behind'});
$lock->query_safe('SELECT pg_advisory_unlock(7)');
until_ok($node, q{SELECT count(*) = 1 FROM effect WHERE x = 'prepared ahead'}, 'it ends');
$lock->quit;
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', q{COMMIT PREPARED 'behind'});
settled($node, 'the one behind it has ended');
is($node->safe_psql('postgres', q{SELECT string_agg(x, ', ' ORDER BY job) FROM effect WHERE x LIKE 'prepared%'}), 'prepared ahead, prepared behind', 'both have run once');

# 6. Nobody has looked: the start does
$node->safe_psql('postgres', q{
	SELECT defer.enqueue('work', '["at the start"]', key => 'start', delay => '1 day');
	UPDATE defer.job SET run_at = 'infinity', behind = 1, not_before = now() WHERE key = 'start'});
$node->restart;
until_ok($node, q{SELECT count(*) = 1 FROM effect WHERE x = 'at the start'}, 'the scheduler finds one that waits for nothing when it starts');
settled($node, 'all have ended');

# 7. All modes at once: of a key one runs at a time, each is run once, none is left
$node->safe_psql('postgres', q{ALTER SYSTEM SET defer.max_workers = 4; SELECT pg_reload_conf()});
$node->pgbench('--client=8 --transactions=150 --no-vacuum', 0, [qr/processed/], [qr/^$|.*/],
	'enqueues of three keys',
	{ 'keys' => q{
\set k random(1, 3)
\set m random(1, 4)
BEGIN;
SELECT defer.enqueue_one('alone', jsonb_build_array(:k), key => 'k' || :k, on_key => (ARRAY['keep', 'replace', 'debounce', 'replace'])[:m],
	delay => CASE WHEN :m = 3 THEN interval '1 ms' END);
\if :m > 2
SELECT pg_sleep(0.002);
\endif
\if :m < 3 or :k < 3
COMMIT;
\else
ROLLBACK;
\endif
} });
settled($node, 'all have ended');
is($node->safe_psql('postgres', q{SELECT count(*) FROM overlap}), '0', 'no two of a key have run at the same time');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.job WHERE behind IS NOT NULL OR followed_by IS NOT NULL}), '0', 'none waits');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE function LIKE '%alone(integer)' AND state <> 'succeeded'}), '0', 'all succeeded');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT x) FROM effect e JOIN defer.jobs j ON j.id = e.job WHERE j.function LIKE '%alone(integer)'}), '3', 'each key has run');

# 8. key_for, with many sessions: one job a key
$node->pgbench('--client=8 --transactions=100 --no-vacuum', 0, [qr/processed/], [qr/^$|.*/],
	'enqueues with key_for',
	{ 'key_for' => q{
\set k random(1, 30)
\set m random(1, 3)
SELECT defer.enqueue_one('work', jsonb_build_array('held ' || :k), key => 'held ' || :k, key_for => CASE WHEN :m < 3 THEN interval '1 hour' ELSE interval '2 hours' END,
	on_key => (ARRAY['keep', 'keep', 'replace'])[:m]);
} });
settled($node, 'all have ended');
is($node->safe_psql('postgres', q{SELECT count(*) || ' ' || count(DISTINCT x) FROM effect WHERE x LIKE 'held%'}), '30 30', 'one job of each key');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.key_hold}), '30', 'and one row');

# 9. Keys whose time is over are removed
$node->safe_psql('postgres', q{UPDATE defer.key_hold SET until = now() - interval '1 second' WHERE key <> 'held 1'});
$node->restart;
until_ok($node, q{SELECT count(*) = 1 FROM defer.key_hold}, 'keys that are over are removed');

# 10. Deliveries: one is sent, to a peer that does not answer, and one waits behind it
my $peer = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "no socket: $!";
my $url = 'http://127.0.0.1:' . $peer->sockport . '/';
my $sent = $node->safe_psql('postgres', qq{SELECT defer.http('GET', '$url', key => 'peer', timeout => '10 minutes')});
until_ok($node, qq{SELECT state = 'running' FROM defer.jobs WHERE id = $sent}, 'a delivery is sent');
my $next = $node->safe_psql('postgres', qq{SELECT defer.http('GET', '$url', key => 'peer', timeout => '100 ms', max_attempts => 1, on_key => 'replace')});
isnt($next, $sent, 'another one');
is($node->safe_psql('postgres', qq{SELECT state, behind FROM defer.jobs WHERE id = $next}), "scheduled|$sent", 'waits behind it');
is($node->safe_psql('postgres', qq{SELECT defer.cancel($sent, force => true)}), 't', 'the first is cancelled');
settled($node, 'both have ended');
is($node->safe_psql('postgres', qq{SELECT string_agg(state, ' ' ORDER BY id) FROM defer.jobs WHERE id IN ($sent, $next)}), 'cancelled failed', 'the second was sent then');
check_history($node, 'keys');

done_testing();
