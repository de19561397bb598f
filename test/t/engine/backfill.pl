# Backfills: each time once through crashes; the schedule itself is not held up, nor is
# another role; overlap => 'allow' has so many at a time; one is ended; a dump goes on.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DeferTest;

my $node = new_server('backfill', 'defer.max_workers = 4');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	CREATE EXTENSION defer;
	CREATE ROLE ann LOGIN; CREATE ROLE bea LOGIN;
	GRANT USAGE ON SCHEMA defer TO ann, bea;
	CREATE TABLE gate (name text, open boolean, most integer DEFAULT 0);
	INSERT INTO gate VALUES ('ann', false), ('bea', true);
	CREATE TABLE ran (id bigint, who text);
	GRANT ALL ON gate, ran TO ann, bea;
	CREATE FUNCTION work() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT (SELECT open OR (SELECT count(*) < most FROM ran WHERE who = name) FROM gate WHERE name = current_user) LOOP PERFORM pg_sleep(0.01); END LOOP;
		INSERT INTO ran VALUES (defer.current_job(), current_user);
	END $$;
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS '';
	SET ROLE ann;
	SELECT defer.cron('work', '0 * * * *', name => 'hourly', active => false);
	SELECT defer.cron('quick', 'every second', name => 'seconds', overlap => 'skip');
	SET ROLE bea;
	SELECT defer.cron('work', '0 * * * *', name => 'hourly', active => false);
});

# ann's runs wait in a row; bea's go through
is(sql(q{SET ROLE ann; SELECT defer.backfill('hourly', '2026-01-01 00:00+00', '2026-01-03 02:00+00')}), '50', 'fifty times');
until_ok($node, q{SELECT count(*) = 1 FROM defer.job WHERE schedule_id = (SELECT id FROM defer.schedule WHERE name = 'hourly' AND owner = 'ann'::regrole)}, 'the first is enqueued');
is(sql(q{SET ROLE bea; SELECT defer.backfill('hourly', '2026-01-01 00:00+00', '2026-01-11 00:00+00', overlap => 'allow')}), '240', 'another role has more');
until_ok($node, q{SELECT count(*) = 240 FROM defer.job_history WHERE owner = 'bea'::regrole AND state = 's' AND schedule_id IS NOT NULL}, 'which are not held up');
is(sql(q{SELECT count(DISTINCT scheduled_for), min(scheduled_for), max(scheduled_for) FROM defer.job_history WHERE owner = 'bea'::regrole AND schedule_id IS NOT NULL}),
	'240|2026-01-01 00:00:00+00|2026-01-10 23:00:00+00', 'one for each time');
is(sql(q{SELECT count(*) FROM defer.job WHERE schedule_id = (SELECT id FROM defer.schedule WHERE name = 'hourly' AND owner = 'ann'::regrole)}), '1', 'and of the first still one runs');

# A schedule with a backfill fires as ever, with overlap => 'skip'
is(sql(q{SET ROLE ann; SELECT defer.alter_cron('hourly', schedule => 'every second', active => true); SELECT defer.alter_cron('hourly', function => 'quick')}), "\n", 'the schedule itself');
until_ok($node, q{SELECT count(*) > 2 FROM defer.jobs j WHERE schedule = 'hourly' AND owner = 'ann' AND function = 'public.quick()' AND state = 'succeeded'}, 'is not held up by its backfill');
is(sql(q{SELECT count(*) FROM defer.jobs WHERE schedule = 'hourly' AND state = 'discarded'}), '0', 'no tick is skipped');
sql(q{SET ROLE ann; SELECT defer.alter_cron('hourly', schedule => '0 * * * *', function => 'work', active => false)});

# A crash, and it goes on where it was
$node->stop('immediate');
$node->start;
sql(q{UPDATE gate SET most = 10});
until_ok($node, q{SELECT enqueued > 10 FROM defer.backfills}, 'it goes on after a crash');
$node->stop('immediate');
$node->start;
sql(q{UPDATE gate SET open = true});
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.backfill) AND NOT EXISTS (SELECT FROM defer.job WHERE scheduled_for < '2026-02-01')}, 'through another one');
is(sql(q{SELECT count(*), count(DISTINCT scheduled_for) FROM defer.jobs WHERE schedule = 'hourly' AND owner = 'ann' AND scheduled_for < '2026-02-01' AND state = 'succeeded'}), '50|50', 'each time has one run');
is(sql(q{SELECT count(*), count(DISTINCT id) FROM ran WHERE who = 'ann'}), '50|50', 'that has run once');
is(sql(q{SELECT count(*) FROM (SELECT lag(finished_at) OVER w <= started_at AS apart FROM defer.jobs WHERE schedule = 'hourly' AND owner = 'ann' AND scheduled_for < '2026-02-01' AND state = 'succeeded' WINDOW w AS (ORDER BY scheduled_for)) s WHERE NOT apart}), '0', 'one after the other');

# So many at a time
sql(q{UPDATE gate SET open = false});
is(sql(q{SET ROLE bea; SELECT defer.backfill('hourly', '2025-01-01 00:00+00', '2025-02-01 00:00+00', overlap => 'allow')}), '744', 'a long one');
until_ok($node, q{SELECT enqueued = 100 FROM defer.backfills}, 'a hundred of it are enqueued');
is(sql(q{SELECT count(*) FROM defer.jobs WHERE scheduled_for < '2025-03-01'}), '100', 'and no more');

# A dump has the rest
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'it is dumped');

# Ended: what is enqueued goes on
is(sql(q{SET ROLE bea; SELECT defer.cancel_backfill(id) FROM defer.backfills}), 't', 'it is ended');
sql(q{UPDATE gate SET open = true});
until_ok($node, q{SELECT count(*) = 100 FROM defer.jobs WHERE scheduled_for < '2025-03-01' AND state = 'succeeded'}, 'its hundred runs have run');
is(sql(q{SELECT (SELECT count(*) FROM defer.backfill), (SELECT count(*) FROM defer.backfill_part)}), '0|0', 'nothing is left of it');

# With a rate
is(sql(q{SET ROLE ann; SELECT defer.backfill('hourly', '2024-01-01 00:00+00', '2024-01-03 00:00+00', overlap => 'allow', rate => '20/s')}), '48', 'one with a rate');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.backfill) AND count(*) = 48 FROM defer.jobs WHERE scheduled_for < '2024-03-01' AND state = 'succeeded'}, 'its runs run');
is(sql(q{SELECT count(*) FROM (SELECT run_at - lag(run_at) OVER (ORDER BY scheduled_for) AS gap FROM defer.jobs WHERE scheduled_for < '2024-03-01') x WHERE gap < interval '50 ms'}), '0', 'none is due earlier than the rate allows');

sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'the dump is restored');
$node->safe_psql('restored', 'UPDATE gate SET open = true; SELECT defer.activate()');
ok($node->poll_query_until('restored', q{SELECT count(*) = 744 FROM defer.jobs WHERE scheduled_for < '2025-03-01' AND state = 'succeeded'}), 'the restored backfill goes on to its end');

done_testing();
