# Names of functions that are too long for our indexes are refused; and one row that
# cannot be added up stops the counts of nobody else.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
defer.max_workers = 2
defer.retention = 0
defer.smtp_url = 'smtp://127.0.0.1:1'
defer.smtp_from = 'defer@example.com'
});

sub refused
{
	my ($sql, $what) = @_;
	my ($status, $out, $error) = $node->psql('postgres', $sql);

	isnt($status, 0, "$what: refused");
	like($error, qr/signature of function .* is too long/, "$what: and says why");
	return;
}

# Types with names that cannot be compressed
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE ann LOGIN;
	CREATE ROLE bob LOGIN;
	GRANT USAGE ON SCHEMA defer TO ann, bob;
	DO $$
	DECLARE types text[] := '{}';
	BEGIN
		FOR i IN 1 .. 60 LOOP
			EXECUTE format('CREATE DOMAIN %I AS int', left(md5(i::text) || md5('x' || i), 63));
			types := types || format('%I', left(md5(i::text) || md5('x' || i), 63));
		END LOOP;
		EXECUTE format('CREATE FUNCTION long(%s) RETURNS void LANGUAGE sql AS ''SELECT''', array_to_string(types[1:40], ', '));
		EXECUTE format('CREATE PROCEDURE long_procedure(%s) LANGUAGE sql AS ''SELECT''', array_to_string(types, ', '));
		EXECUTE format('CREATE FUNCTION fits(%s) RETURNS void LANGUAGE sql AS ''SELECT''', array_to_string(types[1:15], ', '));
	END $$;
	CREATE FUNCTION good() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION bad() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END $$});
my $args = q{(SELECT jsonb_agg(i) FROM generate_series(1, 40) i)};
refused("SELECT defer.enqueue('long', $args)", 'enqueue');
refused("SELECT defer.enqueue('long_procedure', (SELECT jsonb_agg(i) FROM generate_series(1, 60) i))", 'enqueue of a procedure');
refused("SELECT defer.configure('long', priority => 1)", 'configure');
refused("SELECT defer.pause('long')", 'pause');
refused("SELECT defer.alert('x', recipients => '{a\@example.com}', function => 'long')", 'alert');
refused("SELECT defer.cron('long', '0 0 * * *')", 'cron');

# The longest that fits goes through everything, with the longest key and name of a queue
$node->safe_psql('postgres', q{
	SELECT defer.alert('failures', recipients => '{a@example.com}', group_window => '0', on_states => '{failed,succeeded}');
	SELECT defer.create_queue(repeat('q', 63));
	SELECT defer.configure('fits', max_attempts => 1);
	SELECT defer.enqueue('fits', (SELECT jsonb_agg(i) FROM generate_series(1, 15) i), queue => repeat('q', 63),
		key => (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 31) i))});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE function LIKE '%fits%' AND state = 'succeeded'}, 'a name that just fits');

# It fails, and is remembered as failing; the alerts of another role are sent as ever
$node->safe_psql('postgres', q{
	GRANT EXECUTE ON FUNCTION defer.alert, defer.email TO bob;
	SET ROLE bob; SELECT defer.alert('of bob', recipients => '{b@example.com}', group_window => '0'); RESET ROLE;
	DO $$
	BEGIN
		EXECUTE (SELECT replace(pg_get_functiondef(p.oid), 'SELECT', 'SELECT 1 / 0') FROM pg_proc p WHERE p.proname = 'fits');
	END $$;
	SELECT defer.enqueue('fits', (SELECT jsonb_agg(i) FROM generate_series(1, 15) i));
	SET ROLE bob; SELECT defer.enqueue('public.bad', max_attempts => 1)});
until_ok($node, q{SELECT count(*) = 2 FROM defer.alerts a, unnest(a.failing) f WHERE a.name = 'failures' AND (f LIKE '%fits%' OR f LIKE '%bad%')},
	'a long name that fails is remembered');
until_ok($node, q{SELECT count(*) = 2 FROM defer.alerts WHERE unsent = 0 AND last_sent_at IS NOT NULL}, 'and told; so is that of another role');

# Rows that nobody can add up: they are left out, and said to be
my $offset = -s $node->logfile;
$node->safe_psql('postgres', q{SET ROLE bob; SELECT count(defer.enqueue('public.good')) FROM generate_series(1, 20)});
until_ok($node, q{SELECT count(*) = 20 FROM defer.jobs WHERE function = 'public.good()' AND state = 'succeeded'}, 'jobs of another role');
$node->safe_psql('postgres', q{
	INSERT INTO defer.job_rollup_new SELECT date_trunc('hour', now()), 'ann'::regrole, ARRAY[f], '{default}', '{s}', '{1}', '{1}', '{1}', '{1}', '{1}'
	  FROM (SELECT string_agg(md5(i::text), '') AS f FROM generate_series(1, 120) i) x;
	INSERT INTO defer.job_rollup_new VALUES
		(date_trunc('hour', now()), 'ann'::regrole, '{public.f()}', '{default}', '{s}', '{1}', '{1}', '{9223372036854775807}', '{1}', '{1}'),
		(date_trunc('hour', now()), 'ann'::regrole, '{public.f()}', '{default}', '{s}', '{1}', '{1}', '{9223372036854775807}', '{1}', '{1}'),
		(date_trunc('hour', now()), 'ann'::regrole, '{public.g()}', '{default}', '{s}', '{999}', '{1}', '{1}', '{1}', '{1}')});
$node->safe_psql('postgres', q{SET ROLE bob; SELECT count(defer.enqueue('public.good')) FROM generate_series(1, 20)});
until_ok($node, q{SELECT count(*) = 40 FROM defer.jobs WHERE function = 'public.good()' AND state = 'succeeded'}, 'more jobs');
$node->restart;
until_ok($node, 'SELECT count(*) = 0 FROM defer.job_rollup_new', 'all is added up, or left out');
is($node->safe_psql('postgres', q{SELECT sum(succeeded) FROM defer.job_rollup WHERE function = 'public.good()'}), '40', 'what could be counted is');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.job_rollup WHERE function = 'public.f()'}), '1', 'as far as it goes');
ok($node->wait_for_log(qr/WARNING: .*counts of finished jobs of role "?ann"? were left out/, $offset), 'the log says what was left out');
$node->stop;
done_testing();
