# What other tests reach by chance or not at all: a run that is replaced while it runs, a
# schedule that cannot be settled for a while, claims and ends of jobs that meet a lock,
# an index of somebody's own on the history.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
defer.retention = 0
autovacuum = off});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE gate (open boolean);
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS '';
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS '';
	CREATE FUNCTION hang() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(3600)';
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
});
my $session = $node->background_psql('postgres', on_error_stop => 1);

# A line of the log from a place on
sub logged
{
	my ($pattern, $from, $what) = @_;

	return ok($node->wait_for_log($pattern, $from), $what);
}

# ------------------------------------------------------------------------
# Schedules
# ------------------------------------------------------------------------

$node->safe_psql('postgres', q{SELECT defer.cron('hang', '* * * * * *', overlap => 'replace')});
until_ok($node, q{SELECT count(*) >= 3 FROM defer.jobs WHERE schedule = 'hang' AND state = 'cancelled' AND started_at IS NOT NULL},
	'each run that still runs is stopped for the next');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs a, defer.jobs b
	WHERE a.schedule = 'hang' AND b.schedule = 'hang' AND a.id < b.id AND b.started_at < a.finished_at}), '0',
	'no two ran at the same time');
$node->safe_psql('postgres', q{SELECT defer.unschedule('hang');
	SELECT defer.cancel(id, force => true) FROM defer.live_jobs});
settled($node, 'the last one ends');

# Somebody's trigger stands in the way of the next second, not of the next minute
my $from = -s $node->logfile;
$node->safe_psql('postgres', q{
	CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.name = 'bad' AND NEW.next_run_at < now() + interval '30 s' THEN
			RAISE EXCEPTION 'not "%"', NEW.name;
		END IF;
		RETURN NEW;
	END $$;
	SELECT defer.cron('tick', '* * * * * *', name => 'bad'), defer.cron('tick', '* * * * * *', name => 'good');
	CREATE TRIGGER forbid BEFORE UPDATE ON defer.schedule FOR EACH ROW EXECUTE FUNCTION forbid()});
logged(qr/could not fire, will be tried again in a minute: not "bad"/, $from, 'the log says so');
$from = $node->safe_psql('postgres', 'SELECT max(id) FROM defer.jobs');
until_ok($node, qq{SELECT count(*) FILTER (WHERE schedule = 'good') > 2 AND count(*) FILTER (WHERE schedule = 'bad') = 0
	FROM defer.jobs WHERE id > $from}, 'other schedules go on');
$node->safe_psql('postgres', q{DROP TRIGGER forbid ON defer.schedule;
	SELECT defer.unschedule('bad'), defer.unschedule('good')});
settled($node, 'all runs end');

# ------------------------------------------------------------------------
# Locks
# ------------------------------------------------------------------------

# A claim cannot be written down: what was chosen is given back, and taken later.  While
# a table is locked no worker is started: one that is to meet the lock is there before.
$node->safe_psql('postgres', q{ALTER SYSTEM SET defer.worker_idle_timeout = '1h'});
$node->reload;
$node->safe_psql('postgres', q{SELECT defer.enqueue('work')});
settled($node, 'a worker is there');
$node->safe_psql('postgres', 'TRUNCATE defer.job_history');
$session->query_safe('BEGIN; LOCK TABLE defer.claim IN ACCESS EXCLUSIVE MODE;');
$from = -s $node->logfile;
my $jobs = $node->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 5)});
logged(qr/canceling statement due to lock timeout|could not claim/, $from, 'a worker does not wait for ever');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE function LIKE '%work()' AND state = 'queued'}), $jobs,
	'the jobs wait');
$session->query_safe('COMMIT;');
settled($node, 'they run then');
is($node->safe_psql('postgres', q{SELECT count(*), max(attempt) FROM defer.jobs WHERE function LIKE '%work()' AND state = 'succeeded'}),
	"$jobs|1", 'each the first time');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET defer.worker_idle_timeout});
$node->reload;

# The same with a request; nobody listens there
$session->query_safe('BEGIN; LOCK TABLE defer.claim IN ACCESS EXCLUSIVE MODE;');
$from = -s $node->logfile;
my $request = $node->safe_psql('postgres', q{SELECT defer.http('GET', 'http://127.0.0.1:1/', max_attempts => 1)});
logged(qr/canceling statement due to lock timeout|could not claim/, $from, 'nor does the sender');
$session->query_safe('COMMIT;');
until_ok($node, "SELECT state = 'failed' AND attempt = 1 FROM defer.jobs WHERE id = $request", 'it is sent then');

# Somebody holds the row of a job that ends: the job has ended all the same
my $gated = $node->safe_psql('postgres', q{SELECT defer.enqueue('gated')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $gated", 'a job runs');
$session->query_safe("BEGIN; SELECT id FROM defer.job WHERE id = $gated FOR UPDATE;");
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $gated", 'it succeeds while somebody holds its row');
$session->query_safe('COMMIT;');
until_ok($node, "SELECT NOT EXISTS (SELECT FROM defer.job WHERE id = $gated)", 'which goes when it can');
$session->quit;

# ------------------------------------------------------------------------
# Indexes
# ------------------------------------------------------------------------

$node->safe_psql('postgres', q{CREATE INDEX ON defer.job_history (upper(function))});
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work')) FROM generate_series(1, 3)});
settled($node, 'jobs end');
for my $scan ('enable_seqscan', 'enable_indexscan')
{
	is($node->safe_psql('postgres', qq{SET $scan = off; SET enable_bitmapscan = off;
		SELECT count(*) FROM defer.job_history WHERE upper(function) = 'PUBLIC.WORK()'}), $jobs + 3, "$scan = off: old and new ones are found");
}
$node->stop;
done_testing();
