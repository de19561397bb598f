# Somebody locks our tables in one database, whose workers have all the places
# that there are: they give them up, and another database has its jobs run.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# workers that idle do not leave by themselves
my $node = new_server('main', q{defer.max_workers = 4
defer.retention = 0
defer.worker_idle_timeout = 1h});

$node->safe_psql('postgres', 'CREATE ROLE ann LOGIN; CREATE DATABASE other');
$node->safe_psql($_, q{
	CREATE EXTENSION defer;
	GRANT USAGE ON SCHEMA defer TO ann;
	CREATE TABLE effect (job bigint);
	CREATE SEQUENCE gate;
	CREATE SEQUENCE met;
	GRANT ALL ON effect TO ann;
	GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO ann;
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		WHILE NOT (SELECT is_called FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	-- none of three ends before all have begun
	CREATE FUNCTION meet() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		PERFORM nextval('met');
		WHILE (SELECT last_value FROM met) < 3 LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$}) for ('postgres', 'other');

for my $lock ('defer.job', 'defer.claim')
{
	$node->safe_psql($_, q{ALTER SEQUENCE gate RESTART; ALTER SEQUENCE met RESTART}) for ('postgres', 'other');

	# all places, and the one beyond them that a role without a worker gets
	$node->safe_psql('postgres', q{SELECT count(defer.enqueue('gated')) FROM generate_series(1, 8)});
	until_ok($node, q{SELECT count(*) = 4 FROM defer.workers WHERE job_id IS NOT NULL}, "$lock: one role has all places");
	$node->safe_psql('postgres', q{SET ROLE ann; SELECT count(defer.enqueue('gated')) FROM generate_series(1, 4)});
	until_ok($node, q{SELECT count(*) = 5 FROM defer.workers WHERE job_id IS NOT NULL}, "$lock: another one has one more");

	my $session = $node->background_psql('postgres', on_error_stop => 1);
	$session->query_safe("BEGIN; LOCK TABLE $lock IN ACCESS EXCLUSIVE MODE; SELECT nextval('gate');");
	until_ok($node, q{SELECT count(*) >= 4 FROM pg_stat_activity
		WHERE datname = 'postgres' AND backend_type = 'defer worker' AND wait_event_type = 'Lock'}, "$lock: its workers wait", 'other');

	# not only the one that a role without a worker is entitled to
	$node->safe_psql('other', q{SELECT count(defer.enqueue('meet')) FROM generate_series(1, 3)});
	settled($node, "$lock: three jobs run at the same time in another database", 'other');
	is($node->safe_psql('other', q{SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND locktype = 'relation'}), '1',
		"$lock: while it is locked");
	$session->query_safe('COMMIT;');
	$session->quit;
	settled($node, "$lock: all goes on when it is released");
}
check_history($node, $_, $_) for ('postgres', 'other');
is($node->safe_psql('postgres', q{SELECT state, attempt, count(*) FROM defer.jobs GROUP BY 1, 2}), 'succeeded|1|24',
	'and none has used a second attempt');
until_ok($node, q{SELECT count(*) <= 4 FROM defer.workers WHERE kind = 'worker'}, 'there are no more workers than there may be');
$node->stop;
done_testing();
