# Jobs that take the server down with them, each time: they are blamed at the first
# crash, and given up; those that ran in other workers lose no attempt.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $library = test_library();
my $node = new_server('main', q{defer.max_workers = 16
log_min_messages = warning});

$node->safe_psql('postgres', qq{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE FUNCTION crash(how text) RETURNS void LANGUAGE c AS '$library', 'crash';
	CREATE FUNCTION poison(how text) RETURNS void LANGUAGE plpgsql AS \$\$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		PERFORM crash(how);
	END \$\$;
	CREATE FUNCTION late_poison() RETURNS void LANGUAGE plpgsql AS \$\$
	BEGIN
		INSERT INTO effect VALUES (defer.current_job());
		PERFORM pg_sleep(0.3);
		PERFORM crash('null');
	END \$\$;
	CREATE FUNCTION nap() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(0.5)';
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())'});

sub enqueue
{
	my ($sql) = @_;

	# the job may run, and crash the server, before psql has ended
	my ($status, $ids) = $node->psql('postgres', "BEGIN; $sql; COMMIT");

	return $ids;
}

# What has become of the poison, and were the others left alone?
sub given_up
{
	my ($what, $poison, $bystanders) = @_;

	settled($node, "$what: all jobs end");
	is($node->safe_psql('postgres', "SELECT state, sqlstate FROM defer.jobs WHERE id IN ($poison) GROUP BY 1, 2"),
		'failed|57P01', "$what: poison has failed");
	is($node->safe_psql('postgres', qq{
		SELECT j.id, j.attempt, count(*) FROM defer.jobs j LEFT JOIN defer.attempts a ON a.job_id = j.id AND a.outcome = 'crashed'
		 WHERE j.id IN ($poison) GROUP BY 1, 2 HAVING count(*) <> j.attempt OR count(*) <> 3}),
		'', "$what: after three crashes");
	is($node->safe_psql('postgres', qq{
		SELECT j.id, j.attempt, a.outcome, count(*) FROM defer.jobs j LEFT JOIN defer.attempts a ON a.job_id = j.id
		 WHERE j.function LIKE '%.$bystanders->[0]()' GROUP BY 1, 2, 3 HAVING j.attempt <> 1 OR a.outcome <> 'interrupted'}),
		'', "$what: bystanders have lost no attempt");
	is($node->safe_psql('postgres', "SELECT state, count(*) FROM defer.jobs WHERE function LIKE '%.$bystanders->[0]()' GROUP BY 1"),
		"succeeded|$bystanders->[1]", "$what: bystanders have succeeded");
	history_ok($node, [], what => $what, crashes => 1);
	return;
}

# Beside fifteen others, which are running at each crash
my $poison = enqueue(q{
	DO $$BEGIN PERFORM defer.enqueue('nap') FROM generate_series(1, 15); END$$;
	SELECT defer.enqueue('late_poison')});
given_up('beside long jobs', $poison, [ nap => 15 ]);

# In one batch with many
$poison = enqueue(q{
	DO $$BEGIN PERFORM defer.enqueue('quick') FROM generate_series(1, 200); END$$;
	SELECT defer.enqueue('poison', '["null"]');
	DO $$BEGIN PERFORM defer.enqueue('quick') FROM generate_series(1, 200); END$$});
given_up('in a batch', $poison, [ quick => 400 ]);

# Several at the same time, that die in other ways
$poison = enqueue(q{
	SELECT string_agg(defer.enqueue('poison', jsonb_build_array(how))::text, ',')
	  FROM unnest(ARRAY['null', 'abort', 'kill', 'exit', 'panic']) how;
	DO $$BEGIN PERFORM defer.enqueue('nap') FROM generate_series(1, 4); END$$});
given_up('five of them', $poison, [ nap => 19 ]);

# One that may be tried once is tried once
$poison = enqueue(q{SELECT defer.enqueue('poison', '["null"]', max_attempts => 1)});
settled($node, 'one attempt: ends');
is($node->safe_psql('postgres', "SELECT state, attempt FROM defer.jobs WHERE id = $poison"), 'failed|1',
	'one attempt: it was the only one');

# Beside fifteen others that run, again and again, each crash has one culprit, and the
# first one is enough.  DEFER_POISON=200 is the mark of bench/README.md.
$node->safe_psql('postgres', q{
	CREATE FUNCTION crashes() RETURNS bigint LANGUAGE sql AS
		$$SELECT count(*) FROM defer.jobs j JOIN defer.attempts a ON a.job_id = j.id
		   WHERE j.function LIKE '%.poison_once(%' AND a.outcome = 'crashed'$$;
	CREATE FUNCTION beside(try bigint) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF crashes() < try THEN
			PERFORM pg_sleep(600);
		END IF;
	END $$;
	CREATE FUNCTION poison_once(try bigint) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF crashes() < try THEN
			WHILE (SELECT count(*) FROM defer.jobs WHERE state = 'running') < 16 LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
			PERFORM crash((ARRAY['null', 'kill'])[1 + try % 2]);
		END IF;
	END $$});
my $tries = $ENV{DEFER_POISON} // 2;

for my $try (1 .. $tries)
{
	$node->safe_psql('postgres', qq{
		SELECT count(defer.enqueue('beside', '[$try]')) FROM generate_series(1, 15);
		SELECT defer.enqueue('poison_once', '[$try]')});
	settled($node, "try $try: all jobs end");
}
is($node->safe_psql('postgres', q{
	SELECT count(*), min(crashed), max(crashed), min(attempt), max(attempt)
	  FROM (SELECT j.attempt, count(*) FILTER (WHERE a.outcome = 'crashed') AS crashed
			  FROM defer.jobs j LEFT JOIN defer.attempts a ON a.job_id = j.id
			 WHERE j.function LIKE '%.poison_once(%' AND j.state = 'succeeded' GROUP BY j.id, j.attempt) p}),
	"$tries|1|1|2|2", "$tries times: blamed at the first crash");
is($node->safe_psql('postgres', q{SELECT count(*), max(attempt) FROM defer.jobs WHERE function LIKE '%.beside(%' AND state = 'succeeded'}),
	15 * $tries . '|1', "$tries times: the others lost no attempt");

# The server is as it should be
is($node->safe_psql('postgres', q{SELECT finding FROM defer.health WHERE severity = 'error'}), '', 'nothing is wrong');
$node->stop;
done_testing();
