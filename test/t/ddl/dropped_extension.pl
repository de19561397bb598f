# A session has changed schedules, the extension is dropped, and a role makes a schema
# and a table of the names that were ours: the session must not read that table.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', '');
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE app LOGIN;
	CREATE ROLE planter LOGIN;
	GRANT USAGE ON SCHEMA defer TO app;
	GRANT CREATE ON DATABASE postgres TO planter;
	CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 42';
	CREATE FUNCTION public.g() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 43; END'});

my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe(q{SET client_min_messages = warning; SET ROLE app; SELECT defer.cron('public.f()', '@yearly', name => 'f');
	SELECT defer.cron('public.g()', '@yearly', name => 'g')});
$node->safe_psql('postgres', 'DROP EXTENSION defer');

# Of other types, and as a view that runs what the planter likes
for my $planted (
	q{CREATE TABLE defer.schedule (name int8, owner int4, allow_direct bool, function text, command text);
	  INSERT INTO defer.schedule VALUES (1094795585, 10, false, 'public.f()', NULL), (1094795585, 10, false, 'public.g()', NULL)},
	q{CREATE TABLE defer.schedule (name text, owner regrole, allow_direct bool, function text, command text);
	  INSERT INTO defer.schedule VALUES ('planted', 10, false, 'public.f()', NULL), ('planted', 10, false, 'public.g()', NULL);
	  CREATE INDEX schedule_function_idx ON defer.schedule (name)},
	q{CREATE FUNCTION defer.boom() RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'planted'; END$$;
	  CREATE VIEW defer.schedule AS SELECT text 'n' AS name, 10::oid::regrole AS owner, false AS allow_direct, defer.boom() AS function, NULL::text AS command},
	q{CREATE SEQUENCE defer.schedule})
{
	$node->safe_psql('postgres', qq{
		SET ROLE planter;
		CREATE SCHEMA defer;
		GRANT USAGE ON SCHEMA defer TO PUBLIC;
		$planted;
		GRANT SELECT ON defer.schedule TO PUBLIC});
	# CREATE OR REPLACE: what the session knows of the functions is looked up again
	$node->safe_psql('postgres', q{CREATE OR REPLACE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 42';
		CREATE OR REPLACE FUNCTION public.g() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 43; END'});
	is($session->query_safe('SELECT public.f(), public.g()'), '42|43', 'a planted ' . ($planted =~ /CREATE (?:FUNCTION.*CREATE )?(VIEW|TABLE|SEQUENCE)/s)[0]);
	$node->safe_psql('postgres', 'DROP SCHEMA defer CASCADE');
}
$session->quit;
unlike(slurp_file($node->logfile), qr/was terminated by signal/, 'nothing has crashed');
$node->stop;
done_testing();
