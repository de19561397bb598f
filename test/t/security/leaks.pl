# Nothing of one job is there for the next in the same process, however the first
# one ends; and processes are not shared between databases.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# One worker at a time: jobs follow each other in one process
my $node = new_server('main', q{defer.max_workers = 1
defer.worker_idle_timeout = '1h'});

my $setup = q{
	CREATE EXTENSION defer;
	CREATE SCHEMA leaks;
	GRANT USAGE ON SCHEMA defer, leaks TO PUBLIC;
	CREATE SEQUENCE leaks.numbers CACHE 100;
	GRANT ALL ON SEQUENCE leaks.numbers TO PUBLIC;

	-- All that a session can hold
	CREATE FUNCTION leaks.make_mess() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM set_config('search_path', 'leaks, pg_temp', false);
		PERFORM set_config('work_mem', '77MB', false);
		PERFORM set_config('TimeZone', 'Asia/Tokyo', false);
		PERFORM set_config('DateStyle', 'German', false);
		PERFORM set_config('statement_timeout', '123s', false);
		PERFORM set_config('default_transaction_read_only', 'on', false);
		PERFORM set_config('default_transaction_isolation', 'serializable', false);
		PERFORM set_config('application_name', 'somebody', false);
		PERFORM set_config('leaks.secret', 'secret', false);
		PERFORM set_config('plpgsql.check_asserts', 'off', false);
		IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN
			PERFORM set_config('session_replication_role', 'replica', false);
			PERFORM set_config('zero_damaged_pages', 'on', false);
			PERFORM set_config('log_min_messages', 'panic', false);
		END IF;
		EXECUTE 'CREATE TEMP TABLE secret AS SELECT 42 AS answer';
		EXECUTE 'CREATE TEMP TABLE pg_class (relname name)';
		EXECUTE 'CREATE TEMP SEQUENCE mine';
		EXECUTE 'CREATE FUNCTION pg_temp.secret() RETURNS int LANGUAGE sql AS ''SELECT 42''';
		EXECUTE 'CREATE TYPE pg_temp.text AS ENUM (''x'')';
		EXECUTE 'PREPARE secret AS SELECT 42';
		EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT 42';
		EXECUTE 'DECLARE plain CURSOR FOR SELECT 42';
		PERFORM pg_advisory_lock(4711);
		PERFORM pg_advisory_lock_shared(4712);
		PERFORM pg_advisory_xact_lock(4713);
		PERFORM setseed(0.5);
		PERFORM nextval('leaks.numbers');
		PERFORM nextval('pg_temp.mine');
		EXECUTE 'CREATE TEMP TABLE emptied (a int) ON COMMIT DELETE ROWS';
		PERFORM set_config('role', 'other', false);
	END $$;
	CREATE FUNCTION leaks.a_function() RETURNS int LANGUAGE plpgsql AS $$BEGIN PERFORM leaks.make_mess(); RETURN pg_backend_pid(); END$$;
	CREATE FUNCTION leaks.b_error() RETURNS int LANGUAGE plpgsql AS $$BEGIN PERFORM leaks.make_mess(); RAISE EXCEPTION 'after all that'; END$$;
	CREATE FUNCTION leaks.c_late_error() RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM leaks.make_mess();
		EXECUTE 'CREATE TEMP TABLE late (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)';
		EXECUTE 'INSERT INTO pg_temp.late VALUES (1), (1)';
		RETURN pg_backend_pid();
	END $$;
	CREATE PROCEDURE leaks.d_procedure() LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM leaks.make_mess();
		COMMIT;
		PERFORM pg_advisory_lock(4714);
		PERFORM set_config('lock_timeout', '55s', false);
	END $$;
	CREATE PROCEDURE leaks.e_procedure_error() LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM leaks.make_mess();
		COMMIT;
		RAISE EXCEPTION 'after the commit';
	END $$;
	CREATE FUNCTION leaks.f_timeout() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM leaks.make_mess(); PERFORM pg_sleep(600); END$$;
	CREATE FUNCTION leaks.g_snooze() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM leaks.make_mess(); PERFORM defer.give_up('no'); END$$;

	CREATE TABLE leaks.drawn (r double precision);
	CREATE TABLE leaks.seeded AS SELECT random() AS r FROM (SELECT setseed(0.5)) s;
	GRANT SELECT ON leaks.drawn, leaks.seeded TO PUBLIC;
	CREATE FUNCTION leaks.current_value() RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		RETURN currval('leaks.numbers');
	EXCEPTION WHEN object_not_in_prerequisite_state THEN
		RETURN 'none';
	END $$;

	-- and what of it there is
	CREATE FUNCTION leaks.look() RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_build_object('traces', jsonb_strip_nulls(jsonb_build_object(
			'by session', (SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE source = 'session'),
			'secret', nullif(current_setting('leaks.secret', true), ''),
			'user', nullif(current_user, session_user),
			'read only', nullif(current_setting('transaction_read_only'), 'off'),
			'isolation', nullif(current_setting('transaction_isolation'), 'read committed'),
			'name', nullif(current_setting('application_name'), 'defer worker'),
			'shown name', (SELECT nullif(application_name, 'defer worker') FROM pg_stat_activity WHERE pid = pg_backend_pid()),
			'temporary', (SELECT jsonb_agg(relname) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
			'functions', (SELECT jsonb_agg(proname) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()),
			'types', (SELECT jsonb_agg(typname) FROM pg_type WHERE typnamespace = pg_my_temp_schema()),
			'prepared', (SELECT jsonb_agg(name) FROM pg_prepared_statements),
			'cursors', (SELECT jsonb_agg(name) FROM pg_cursors WHERE name <> ''),
			'locks', (SELECT jsonb_agg(objid) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
			'random', (SELECT 'the seed' WHERE random() = (SELECT r FROM leaks.seeded)),
			'same', (SELECT 'random' WHERE EXISTS (SELECT FROM leaks.drawn WHERE r = random())),
			'snapshot', (SELECT 'held' FROM pg_stat_activity WHERE pid = pg_backend_pid() AND xact_start < statement_timestamp() - interval '1 hour')
		)), 'pid', pg_backend_pid(), 'sequence', leaks.current_value())
	$$;
};
$node->safe_psql('postgres', q{CREATE ROLE ann LOGIN; CREATE ROLE other; GRANT other TO ann;
	CREATE DATABASE second});
$node->safe_psql($_, $setup) for 'postgres', 'second';

# Is nothing there to begin with, so that what is found later has come from a job?
sub look
{
	my ($role, $what) = @_;
	my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('leaks.look', max_attempts => 1)}, extra_params => [ '-U', $role ]);

	$node->poll_query_until('postgres', "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $id");
	is($node->safe_psql('postgres', "SELECT result -> 'traces', result ->> 'sequence', error FROM defer.jobs WHERE id = $id"), '{}|none|', $what);
	return $node->safe_psql('postgres', "SELECT result ->> 'pid' FROM defer.jobs WHERE id = $id");
}

my %by_role;
for my $role ('ann', 'postgres')
{
	my $pid = look($role, "$role: a new session");

	for my $function ('leaks.a_function', 'leaks.b_error', 'leaks.c_late_error', 'leaks.d_procedure', 'leaks.e_procedure_error', 'leaks.f_timeout', 'leaks.g_snooze')
	{
		my $duration = $function eq 'leaks.f_timeout' ? q{, max_duration => '200 ms'} : '';
		# (a superuser has switched constraints off)
		my $id = $node->safe_psql('postgres', qq{SELECT defer.enqueue('$function', max_attempts => 1$duration)}, extra_params => [ '-U', $role ]);

		$node->poll_query_until('postgres', "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $id");
		is($node->safe_psql('postgres', qq{SELECT state, coalesce(sqlstate, '') FROM defer.jobs WHERE id = $id}),
			{ a_function => 'succeeded|', b_error => 'failed|P0001', c_late_error => $role eq 'postgres' ? 'succeeded|' : 'failed|23505', d_procedure => 'succeeded|',
			  e_procedure_error => 'failed|P0001', f_timeout => 'failed|57014', g_snooze => 'failed|DF002' }->{ $function =~ s/leaks.//r },
			"$role: $function ends as it should")
		  or diag($node->safe_psql('postgres', "SELECT error FROM defer.jobs WHERE id = $id"));
		is(look($role, "$role: nothing is left of $function"), $pid, 'seen by a job in the same process');
	}
	$by_role{$role} = $pid;

	# One statement may change a setting, too
	my $id = $node->safe_psql('postgres', q{SELECT defer.command('SELECT set_config(''work_mem'', ''66MB'', false)', max_attempts => 1)}, extra_params => [ '-U', $role ]);
	$node->poll_query_until('postgres', "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $id");
	look($role, "$role: nothing is left of a changed setting");
}
isnt($by_role{ann}, $by_role{postgres}, 'each role has a process of its own');

# Nobody holds what was locked
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), '0', 'no lock is held');

# Another database: another process
my $id = $node->safe_psql('second', q{SELECT defer.enqueue('leaks.look', max_attempts => 1)});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", 'a job in another database runs', 'second');
isnt($node->safe_psql('second', "SELECT result ->> 'pid' FROM defer.jobs WHERE id = $id"), $by_role{postgres}, 'in another process');
is($node->safe_psql('second', "SELECT result -> 'traces' FROM defer.jobs WHERE id = $id"), '{}', 'with nothing in it');

$node->stop;
done_testing();
