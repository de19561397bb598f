# What a role has for itself is bounded: schedules, queues, settings of functions,
# endpoints, alerts.  A role that has as many as it may keeps no other from making some.
# Settings of functions that are gone are removed.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', 'defer.max_objects_per_role = 5');
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE greedy LOGIN;
	CREATE ROLE modest LOGIN;
	CREATE SCHEMA s;
	GRANT ALL ON SCHEMA s TO greedy, modest;
	GRANT USAGE ON SCHEMA defer TO greedy, modest;
	GRANT EXECUTE ON FUNCTION defer.alert, defer.http, defer.endpoint TO greedy, modest;
	SELECT defer.endpoint('somewhere', 'http', 'http://127.0.0.1/'), defer.grant_endpoint('somewhere', 'public')});

my %make = (
	'schedules' => q{SELECT defer.cron_command('%s', '@yearly', 'SELECT 1')},
	'queues' => q{SELECT defer.create_queue('%s')},
	'endpoints' => q{SELECT defer.endpoint('%s', 'http', 'http://127.0.0.1/')},
	'alerts' => q{SELECT defer.alert('%s', 'somewhere')},
	'functions with settings' => q{CREATE OR REPLACE FUNCTION s.%1$s() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT defer.pause('s.%1$s')});

for my $kind (sort keys %make)
{
	my $made = sub {
		my ($role, $name) = @_;
		my ($out, $err);

		$node->psql('postgres', sprintf($make{$kind}, "${role}_$name"), stdout => \$out, stderr => \$err, on_error_stop => 1, extra_params => [ '-U', $role ]);
		return $err =~ s/^.*NOTICE.*\n(?:.*DETAIL.*\n?)?//mgr;
	};

	is($made->('greedy', $_), '', "$kind: $_") for 1 .. 5;
	like($made->('greedy', 6), qr/ERROR:  role "greedy" has too many $kind.*max_objects_per_role/s, "$kind: no more than that");
	is($made->('greedy', 5), $kind eq 'queues' ? $made->('greedy', 5) : '', "$kind: those that are there can be changed");
	is($made->('modest', 1), '', "$kind: another role has some of its own");
	is($made->('postgres', $_), '', "$kind: a superuser as many as it likes") for 1 .. 6;
}
$node->safe_psql('postgres', q{SELECT defer.unschedule('greedy_1'); SELECT defer.drop_queue('greedy_1')}, extra_params => [ '-U', 'greedy' ]);
$node->safe_psql('postgres', q{SELECT defer.cron_command('again', '@yearly', 'SELECT 1'); SELECT defer.create_queue('again')}, extra_params => [ '-U', 'greedy' ]);
pass('and others in their place');

# ------------------------------------------------------------------------
# Settings of functions that are gone; the scheduler looks when it starts
# ------------------------------------------------------------------------
sub look_again
{
	my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'defer scheduler'});

	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
}

$node->safe_psql('postgres', q{DROP FUNCTION s.greedy_1, s.greedy_2, s.greedy_3;
	SET ROLE greedy; SELECT defer.enqueue('s.greedy_4');
	RESET ROLE; DROP FUNCTION s.greedy_4; ALTER FUNCTION s.greedy_5() OWNER TO modest});
look_again();
until_ok($node, q{SELECT count(*) = 4 FROM defer.function WHERE missing_since IS NOT NULL}, 'four are gone');
until_ok($node, q{SELECT owner = 'modest'::regrole AND missing_since IS NULL FROM defer.function WHERE signature = 's.greedy_5()'}, 'one has another owner');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.function WHERE signature LIKE 's.greedy%'}), '5', 'all have their settings still');
$node->safe_psql('postgres', q{UPDATE defer.function SET missing_since = now() - interval '25 hours' WHERE signature IN ('s.greedy_1()', 's.greedy_4()');
	SET ROLE greedy; CREATE FUNCTION s.greedy_2() RETURNS int LANGUAGE sql AS 'SELECT 1'});
look_again();
until_ok($node, q{SELECT count(*) = 0 FROM defer.function WHERE signature = 's.greedy_1()'}, 'after a day they are removed');
until_ok($node, q{SELECT count(*) = 1 FROM defer.function WHERE signature = 's.greedy_2()' AND paused AND missing_since IS NULL}, 'but not if the function is there again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.function WHERE signature IN ('s.greedy_3()', 's.greedy_4()')}), '2',
	'nor earlier, nor while a job waits');
$node->safe_psql('postgres', q{CREATE FUNCTION s.another() RETURNS int LANGUAGE sql AS 'SELECT 1';
	ALTER FUNCTION s.another() RENAME TO greedy_3}, extra_params => [ '-U', 'modest' ]);
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.function WHERE signature = 's.greedy_3()'}), '0',
	'nor does a function of another role get them that is given the name');
$node->stop;
done_testing();
