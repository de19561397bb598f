# A publication that has our tables, in each way in which it can, stops nothing.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
wal_level = logical
defer.max_workers = 2
defer.retention = '7d'
defer.smtp_url = 'smtp://127.0.0.1:1'
defer.smtp_from = 'defer@example.com'
});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION good(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
	CREATE FUNCTION bad() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END $$;
	CREATE ROLE peer});

# The day's partitions come later than the first rows: they are moved from the default one
my %publications = (
	'all tables' => 'FOR ALL TABLES',
	'the schema' => 'FOR TABLES IN SCHEMA defer',
	'the tables by name' => 'FOR TABLE defer.job, defer.job_history, defer.attempt, defer.log, defer.job_rollup, defer.job_rollup_new, defer.alert_event, defer.alert_failing, defer.alert, defer.claim, defer.schedule, defer.schedule_result, defer.bulk, defer.bulk_part, defer.backfill, defer.backfill_part, defer.function, defer.queue, defer.endpoint, defer.installation, defer.origin',
	'some rows' => q{FOR TABLE defer.job_rollup_new WHERE (hour > '2020-01-01'), defer.alert_event WHERE (alert_id > 0), defer.job_history_default WHERE (id > 0), defer.attempt_default WHERE (job_id > 0), defer.log_default WHERE (job_id > 0)},
);
for my $what (sort keys %publications)
{
	$node->safe_psql('postgres', "CREATE PUBLICATION p $publications{$what}");
	is($node->safe_psql('postgres', q{
		SELECT count(*) FROM defer.health WHERE finding LIKE '%publication%p%'}), '1', "$what: defer.health names the publication");

	# what is left to do is done by the scheduler that is started now, and not in ten seconds
	$node->safe_psql('postgres', q{
		SELECT defer.alert('failures', recipients => '{a@example.com}', group_window => '0');
		SELECT count(defer.enqueue('good', jsonb_build_array(i))) FROM generate_series(1, 50) i;
		SELECT defer.enqueue('bad', max_attempts => 1);
		INSERT INTO defer.job_history_default SELECT 1000000 + id, owner, state, kind, priority, attempt, run_at, enqueued_at, started_at,
			now() - interval '30 days', parent_id, schedule_id, scheduled_for, discard_at, function, queue FROM defer.job_history LIMIT 1;
	});
	until_ok($node, q{SELECT count(*) > 0 FROM defer.find_jobs(function => 'defer.email')}, "$what: an alert is sent");
	until_ok($node, q{SELECT count(*) = 0 FROM defer.alert_event}, "$what: its events are deleted");
	until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE state = 'queued' AND function LIKE 'public.%')}, "$what: jobs run");
	$node->restart;
	until_ok($node, q{SELECT count(*) = 0 FROM defer.job_rollup_new}, "$what: counts are added up");
	until_ok($node, q{SELECT count(*) = 0 FROM defer.job_history WHERE finished_at < now() - interval '20 days'}, "$what: what is old is deleted");
	is($node->safe_psql('postgres', q{
		SELECT c.relname FROM pg_class c
		 WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind = 'r' AND c.relreplident <> 'f'
		   AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)}), '',
		"$what: each table has a replica identity");
	is($node->safe_psql('postgres', q{SELECT defer.drop_alert('failures')}), 't', "$what: an alert is dropped");

	# partitions are made anew, and rows are moved into them
	$node->safe_psql('postgres', q{
		DO $$
		DECLARE p regclass;
		BEGIN
			FOR p IN SELECT inhrelid FROM pg_inherits WHERE inhparent IN ('defer.job_history'::regclass, 'defer.attempt'::regclass, 'defer.log'::regclass)
				AND inhrelid::regclass::text ~ '_p\d{8}$' LOOP
				EXECUTE format('DROP TABLE %s', p);
			END LOOP;
		END $$;
		INSERT INTO defer.job_history SELECT 2000000, 'postgres'::regrole, 's', 'f', 0, 1, now(), now(), now(), now(), NULL, NULL, NULL, NULL, 'public.good(integer)', 'default';
		INSERT INTO defer.attempt VALUES (2000000, 'postgres'::regrole, 1, now(), now(), 'failed');
		INSERT INTO defer.log VALUES (2000000, 'postgres'::regrole, 1, now(), 'info', 'text');
		SELECT pg_reload_conf()});
	for my $table ('job_history', 'attempt', 'log')
	{
		until_ok($node, "SELECT count(*) = 5 AND (SELECT count(*) FROM defer.${table}_default) = 0 FROM pg_inherits WHERE inhparent = 'defer.$table'::regclass",
			"$what: partitions of $table are made");
	}
	$node->safe_psql('postgres', q{
		DROP PUBLICATION p;
		DELETE FROM defer.job_history;
		DELETE FROM defer.attempt;
		DELETE FROM defer.log});
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%publication%'}), '0', 'no publication, no finding');

# On the other side: what a subscription brings runs nowhere but where it comes from, before and after
# defer.activate(), until the subscription has gone
$node->safe_psql('postgres', q{
	CREATE DATABASE subscriber;
	CREATE PUBLICATION p FOR TABLE defer.job, defer.schedule;
	SELECT pg_create_logical_replication_slot('s', 'pgoutput');
	CREATE FUNCTION tick() RETURNS int LANGUAGE sql AS 'SELECT 1';
	SELECT defer.cron('tick', '0 0 1 1 *', name => 'yearly');
	SELECT defer.enqueue('good', '[2]', run_at => now() + interval '1 hour')});
$node->safe_psql('subscriber', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION tick() RETURNS int LANGUAGE sql AS 'SELECT 1';
	CREATE FUNCTION good(n int) RETURNS int LANGUAGE sql AS 'SELECT n'});
my $connection = $node->connstr('postgres') =~ s/'/''/gr;
my $jobs = q{FROM defer.jobs WHERE state = 'scheduled'};
my $held = q{SELECT count(*) = 1 FROM defer.health WHERE finding LIKE '%restored or copied%'};
my $no_scheduler = q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'subscriber' AND backend_type LIKE 'defer%')};
until_ok($node, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'subscriber' AND backend_type LIKE 'defer%')}, 'there is a scheduler');
$node->safe_psql('subscriber', qq{CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION p WITH (create_slot = false, slot_name = s)});
until_ok($node, "SELECT count(*) = 1 $jobs", 'what is there is copied', 'subscriber');
is($node->safe_psql('subscriber', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%subscription%s%'}), '1',
	'defer.health names the subscription');
until_ok($node, $held, 'what is copied holds the database back', 'subscriber');
until_ok($node, $no_scheduler, 'its scheduler has left');

$node->safe_psql('subscriber', 'SELECT defer.activate()');
$node->safe_psql('postgres', q{SELECT defer.enqueue('good', '[3]', run_at => now() + interval '1 hour')});
until_ok($node, "SELECT count(*) = 2 $jobs", 'what comes later is applied', 'subscriber');
until_ok($node, $held, 'it holds the database back again', 'subscriber');
until_ok($node, $no_scheduler, 'its scheduler has left again');

$node->safe_psql('subscriber', q{ALTER SUBSCRIPTION s DISABLE; ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s});
$node->safe_psql('postgres', q{DROP PUBLICATION p});
until_ok($node, q{SELECT pg_drop_replication_slot(slot_name) IS NOT NULL FROM pg_replication_slots WHERE NOT active}, 'the slot is dropped');
$node->safe_psql('subscriber', q{SELECT defer.activate(); SELECT defer.reschedule(id) FROM defer.jobs; SELECT defer.trigger('yearly')});
until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE state = 'succeeded'}, 'then all of it runs', 'subscriber');
is($node->safe_psql('subscriber', q{SELECT count(*) - count(DISTINCT id) FROM defer.jobs}), '0', 'no id is given out twice');

$node->stop;
done_testing();
