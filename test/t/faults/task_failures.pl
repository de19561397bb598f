# A task of the scheduler that fails again and again stands in defer.health, stops no
# other, and stands there no more when it has succeeded.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', 'defer.max_workers = 4');
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
$node->stop;
done_testing();
