# A task of the scheduler that fails again and again stands in defer.health, stops no
# other, and stands there no more when it has succeeded.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
defer.smtp_url = 'smtp://127.0.0.1:1'
defer.smtp_from = 'defer@example.com'});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE ann LOGIN;
	GRANT USAGE ON SCHEMA defer TO ann;
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not today'; END$$;
	CREATE TRIGGER no BEFORE INSERT ON defer.job_rollup EXECUTE FUNCTION no();
	SELECT defer.enqueue('quick')});
my $finding = q{finding LIKE 'the scheduler''s task "add up counts of finished jobs" has failed % times in a row since %'};
until_ok($node, "SELECT EXISTS (SELECT FROM defer.health WHERE $finding AND finding LIKE '%: not today')", 'the task that fails is in defer.health');
is($node->safe_psql('postgres', "SELECT count(*) FROM defer.health WHERE $finding AND finding NOT LIKE '%not today%'",
		extra_params => [ '-U', 'ann' ]), '1', 'for other roles without the error');
my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", 'jobs run meanwhile');
$node->safe_psql('postgres', 'DROP TRIGGER no ON defer.job_rollup');
until_ok($node, 'SELECT NOT EXISTS (SELECT FROM defer.health)', 'when it has succeeded nothing is found any more');
like(slurp_file($node->logfile), qr/scheduler task "add up counts of finished jobs" failed in database "postgres": not today/, "the server's log has it");

# So does one that goes on after an error
$node->safe_psql('postgres', q{
	DO $$BEGIN EXECUTE format('DROP TABLE defer.attempt_p%s', to_char(now() AT TIME ZONE 'UTC' + interval '2 days', 'YYYYMMDD')); END$$;
	CREATE TRIGGER no BEFORE DELETE ON defer.attempt_default EXECUTE FUNCTION no();
	SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'defer scheduler'});
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.task_failures() WHERE task = 'maintain partitions' AND error = 'not today')}, 'partitions that cannot be made are told of');
$node->safe_psql('postgres', q{
	DROP TRIGGER no ON defer.attempt_default;
	SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'defer scheduler'});
until_ok($node, 'SELECT NOT EXISTS (SELECT FROM defer.task_failures())', 'until they are made');

# An alert whose messages cannot be made holds up those of no other role
$node->safe_psql('postgres', q{
	CREATE ROLE ben LOGIN;
	GRANT USAGE ON SCHEMA defer TO ben;
	GRANT EXECUTE ON FUNCTION defer.alert, defer.email TO ann, ben;
	CREATE TRIGGER no BEFORE DELETE ON defer.alert_event FOR EACH ROW
		WHEN (OLD.alert_id = 1) EXECUTE FUNCTION no();
	CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$});
for my $role ('ann', 'ben')
{
	$node->safe_psql('postgres', q{
		SELECT defer.alert('mine', recipients => '{a@example.com}', group_window => '0');
		SELECT defer.enqueue('fails', max_attempts => 1)}, extra_params => [ '-U', $role ]);
}
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.jobs WHERE function = 'defer.email' AND owner = 'ben')}, "ben's alert is sent");
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.alert_event WHERE alert_id = 1)}, "ann's waits");
$node->safe_psql('postgres', 'DROP TRIGGER no ON defer.alert_event; ALTER SYSTEM SET log_min_messages = warning; SELECT pg_reload_conf()');
until_ok($node, q{SELECT EXISTS (SELECT FROM defer.jobs WHERE function = 'defer.email' AND owner = 'ann')}, 'until it can be made');
$node->stop;
done_testing();
