# pause_after_failures with runs that fail: counted by the scheduler as they end, also
# after a crash, a stop, and in a restored dump; a schedule that a session has locked
# keeps nobody else's from being counted.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DeferTest;

my $node = new_server('pauses', '');

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub shown { return sql("SELECT active, runs, failures, paused_by IS NULL AS itself, pause_reason ~ 'runs? failed in a row' FROM defer.schedules WHERE name = '$_[0]'"); }

sql(q{
	CREATE EXTENSION defer;
	CREATE TABLE fails (really boolean);
	INSERT INTO fails VALUES (true);
	CREATE FUNCTION sometimes() RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF (SELECT really FROM fails) THEN RAISE 'no'; END IF; END $$;
	CREATE FUNCTION always() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'never'; END $$;
	SELECT defer.configure('sometimes', max_attempts => 1), defer.configure('always', max_attempts => 1);
});

# It stops by itself, with exactly so many failed runs, and says so
sql(q{SELECT defer.cron('always', 'every second', overlap => 'queue', pause_after_failures => 3)});
until_ok($node, q{SELECT NOT active FROM defer.schedules WHERE name = 'always'}, 'a schedule whose runs fail is paused');
is(shown('always'), 'f|3|3|t|t', 'after three failures in a row');
until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE schedule = 'always' AND state = 'failed'}, 'and no more of them');
is(sql('SELECT count(*) FROM defer.schedule_result'), '0', 'all are counted');

# A success between failures
sql(q{SELECT defer.cron('sometimes', 'every second', overlap => 'queue', pause_after_failures => 1000)});
until_ok($node, q{SELECT failures >= 2 FROM defer.schedules WHERE name = 'sometimes'}, 'failures are counted');
sql('UPDATE fails SET really = false');
until_ok($node, q{SELECT failures = 0 FROM defer.schedules WHERE name = 'sometimes'}, 'a success begins anew');

# A run without the setting writes nothing
sql(q{SELECT defer.alter_cron('sometimes', pause_after_failures => 0)});
my $last = sql(q{SELECT max(id) FROM defer.jobs});
until_ok($node, qq{SELECT count(*) > 1 FROM defer.jobs WHERE schedule = 'sometimes' AND state = 'succeeded' AND id > $last}, 'it goes on');
is(sql(qq{SELECT count(*) FROM defer.job_history h JOIN defer.schedule s ON s.id = h.schedule_id WHERE s.name = 'sometimes' AND h.id > $last AND h.options IS NOT NULL}), '0', 'and its runs carry no option');

# A session that has a schedule locked: that one waits, others are counted
sql(q{SELECT defer.cron('always', 'every second', name => 'held', overlap => 'queue', pause_after_failures => 1)});
until_ok($node, q{SELECT NOT active FROM defer.schedules WHERE name = 'held'}, 'one to be locked');
my $session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN; SELECT FROM defer.schedule WHERE name = 'held' FOR UPDATE});
sql(q{INSERT INTO defer.schedule_result SELECT id, 0, true, now() FROM defer.schedule WHERE name = 'held'});
sql(q{SELECT defer.cron('always', 'every second', name => 'free', overlap => 'queue', pause_after_failures => 1)});
until_ok($node, q{SELECT NOT active FROM defer.schedules WHERE name = 'free'}, 'a locked schedule does not hold up others');
is(sql(q{SELECT count(*) FROM defer.schedule_result r JOIN defer.schedule s ON s.id = r.schedule_id WHERE s.name = 'held'}), '1', 'its own result waits');
$session->query_safe('COMMIT');
$session->quit;
until_ok($node, q{SELECT failures = 2 FROM defer.schedules WHERE name = 'held'}, 'and is counted afterwards');

# What a crash leaves uncounted
sql(q{UPDATE fails SET really = true; ALTER SYSTEM SET defer.enabled = off; SELECT pg_reload_conf();
	SELECT defer.alter_cron('sometimes', pause_after_failures => 2, schedule => '@yearly')});
sql(q{SELECT defer.alter_cron('sometimes', active => true)});
$node->stop('immediate');
$node->start;
sql(q{INSERT INTO defer.schedule_result SELECT id, n, true, now() FROM defer.schedule, generate_series(1, 2) n WHERE name = 'sometimes'});
$node->stop('immediate');
$node->start;
until_ok($node, q{SELECT NOT active FROM defer.schedules WHERE name = 'sometimes'}, 'results are counted after a crash');

# A dump has all of it
sql(q{SELECT defer.pause_cron('free', 'a dump'); SELECT defer.alter_cron('held', starts_at => '2050-01-01 00:00+00', ends_at => '2050-02-01 00:00+00', max_runs => 7)});
my $columns = 'name, active, starts_at, ends_at, max_runs, runs, pause_after_failures, failures, paused_at, paused_by, pause_reason';
my $before = sql("SELECT $columns FROM defer.schedules ORDER BY name");
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'it is dumped');
sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'and restored');
is($node->safe_psql('restored', "SELECT $columns FROM defer.schedules ORDER BY name"), $before, 'with pauses, bounds and counts');

done_testing();
