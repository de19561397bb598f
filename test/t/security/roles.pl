# A job is its owner's and can become nobody else: whatever it tries, wherever its
# code is called; whatever happens to its role between enqueue and run; and whoever
# makes, claims to be or forges the owner.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Workers stay, so that what a role has lost is not only looked at by a new process
my $node = new_server('main', q{
defer.max_workers = 4
defer.worker_idle_timeout = '1h'
});
my $old_strings = $node->safe_psql('postgres', 'SHOW server_version_num') < 190000;

sub as
{
	my ($role, $sql) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]);
}

# The error that it ends with, or what it answers
sub tried
{
	my ($role, $sql) = @_;
	my ($out, $err);

	$node->psql('postgres', $sql, extra_params => [ '-U', $role ], stdout => \$out, stderr => \$err);
	return $err =~ /^psql:<stdin>:\d+: (ERROR:  .*)$/m ? $1 : $err ne '' ? $err : "answer: $out";
}

# Wait for a job's end; what became of it
sub ended
{
	my ($id) = @_;

	$node->poll_query_until('postgres', "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $id")
	  or return 'not ended: ' . $node->safe_psql('postgres', "SELECT state, error FROM defer.jobs WHERE id = $id");
	return $node->safe_psql('postgres', "SELECT concat_ws('|', state, coalesce(sqlstate, ''), coalesce(result #>> '{}', '')) FROM defer.jobs WHERE id = $id");
}

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE ann LOGIN;
	CREATE ROLE ben LOGIN;
	CREATE ROLE team LOGIN;
	GRANT team TO ann;
	CREATE SCHEMA lab;
	GRANT USAGE ON SCHEMA defer TO PUBLIC;
	GRANT USAGE, CREATE ON SCHEMA lab TO ann, ben, team;

	-- Only the superuser can write here: whoever does has become one
	CREATE TABLE lab.loot (by text);
	CREATE TABLE lab.tried (place text, escape text, error text, who name, login name, super text);
	GRANT INSERT ON lab.tried TO PUBLIC;
	CREATE TABLE lab.gate (open boolean);
	GRANT SELECT ON lab.gate TO PUBLIC;
	CREATE FUNCTION lab.who() RETURNS text LANGUAGE sql AS $$
		SELECT format('%s as %s', session_user, current_user) $$;
	CREATE FUNCTION lab.work() RETURNS text LANGUAGE sql AS 'SELECT lab.who()';
	CREATE FUNCTION lab.wait() RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM lab.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
		RETURN lab.who();
	END $$;
});

# ------------------------------------------------------------------------
# What a job may try, and where
# ------------------------------------------------------------------------
my @escapes = (
	'RESET ROLE', 'SET ROLE NONE', 'SET ROLE postgres', 'SET LOCAL ROLE postgres', 'SET ROLE pg_write_all_data', 'SET ROLE ben',
	'SET SESSION AUTHORIZATION postgres', 'SET LOCAL SESSION AUTHORIZATION postgres', 'SET SESSION AUTHORIZATION ben',
	'SET SESSION AUTHORIZATION DEFAULT', 'RESET SESSION AUTHORIZATION', 'RESET ALL', 'DISCARD ALL',
	q{SELECT set_config('role', 'postgres', false)}, q{SELECT set_config('role', 'none', true)},
	q{SELECT set_config('session_authorization', 'postgres', false)}, q{SELECT set_config('session_authorization', 'default', true)},
	q{UPDATE pg_catalog.pg_settings SET setting = 'postgres' WHERE name = 'role'},
	'SET is_superuser = on', 'SET session_replication_role = replica', 'SET log_min_messages = panic', 'SET defer.run_superuser_jobs = on',
	'SET defer.http_allow = $$0.0.0.0/0$$', 'ALTER SYSTEM SET defer.http_allow = $$0.0.0.0/0$$',
	'ALTER ROLE ann SUPERUSER', 'ALTER ROLE ann SET role = postgres', 'GRANT postgres TO ann', 'CREATE ROLE mallory SUPERUSER',
	'UPDATE pg_catalog.pg_authid SET rolsuper = true', q{COPY lab.tried FROM PROGRAM 'true'}, q{COPY lab.tried TO '/tmp/defer_test'},
	q{SELECT pg_catalog.pg_read_file('postgresql.conf')}, q{CREATE FUNCTION lab.c() RETURNS int LANGUAGE c AS '$libdir/defer', 'defer_version'},
	'CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION lab.nothing()',
	q{UPDATE defer.job SET owner = 'postgres'::regrole}, q{SELECT defer.run_schedules(now())}, 'SELECT defer.activate()',
	q{SET ROLE team; SET ROLE postgres}, q{SET ROLE team; RESET ROLE}, q{SET ROLE team; SET SESSION AUTHORIZATION postgres});
my $list = join(', ', map { "\$e\$$_\$e\$" } @escapes);

$node->safe_psql('postgres', qq{
	-- Tries to escape, then to write where only superusers can; and notes as whom it stands there
	CREATE FUNCTION lab.attack(place text, escapes text[] DEFAULT ARRAY[$list]) RETURNS void LANGUAGE plpgsql AS \$f\$
	DECLARE
		escape text;
		error text;
	BEGIN
		FOREACH escape IN ARRAY escapes LOOP
			error := NULL;
			BEGIN
				EXECUTE escape;
			EXCEPTION WHEN OTHERS THEN
				error := SQLERRM;
			END;
			BEGIN
				INSERT INTO lab.loot VALUES (place || ': ' || escape);
			EXCEPTION WHEN insufficient_privilege THEN
				NULL;
			END;
			INSERT INTO lab.tried VALUES (place, escape, error, current_user, session_user, current_setting('is_superuser'));
		END LOOP;
	END \$f\$;
});
as('ann', q{
	CREATE FUNCTION lab.in_function() RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM lab.attack('function'); RETURN 'x'; END$$;
	CREATE FUNCTION lab.in_set() RETURNS SETOF int LANGUAGE plpgsql AS $$BEGIN PERFORM lab.attack('set of rows'); RETURN NEXT 1; END$$;
	CREATE PROCEDURE lab.in_procedure() LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM lab.attack('procedure');
		COMMIT;
		PERFORM lab.attack('after COMMIT');
		COMMIT;
		ROLLBACK;
		PERFORM lab.attack('after ROLLBACK');
		COMMIT AND CHAIN;
		PERFORM lab.attack('after COMMIT AND CHAIN');
	END $$;
	CREATE FUNCTION lab.for_others() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN PERFORM lab.attack('SECURITY DEFINER'); RETURN lab.who(); END$$;

	-- Where code is called besides: constraints, triggers, defaults, conversions, indexes
	CREATE FUNCTION lab.note(place text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM lab.attack(place); RETURN true; END$$;
	CREATE FUNCTION lab.index(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN PERFORM lab.attack('index'); RETURN i; END$$;
	CREATE FUNCTION lab.fire() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM lab.attack(TG_NAME); RETURN NULL; END$$;
	CREATE TABLE lab.orders (id int);
	CREATE TRIGGER at_once AFTER INSERT ON lab.orders FOR EACH ROW EXECUTE FUNCTION lab.fire();
	CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON lab.orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lab.fire();
	CREATE FUNCTION lab.inserts() RETURNS void LANGUAGE sql AS 'INSERT INTO lab.orders VALUES (1)';
	CREATE TABLE lab.indexed (id int);
	INSERT INTO lab.indexed VALUES (1);
	CREATE DOMAIN lab.checked AS int CHECK (lab.note('domain of a parameter'));
	CREATE TYPE lab.shade AS ENUM ('dark');
	CREATE FUNCTION lab.to_json(lab.shade) RETURNS json LANGUAGE plpgsql AS $$BEGIN PERFORM lab.attack('cast of the result'); RETURN '1'; END$$;
	CREATE CAST (lab.shade AS json) WITH FUNCTION lab.to_json(lab.shade);
	CREATE FUNCTION lab.typed(a lab.checked, b boolean DEFAULT lab.note('default')) RETURNS lab.shade LANGUAGE sql AS $$SELECT 'dark'::lab.shade$$;
});

# A setting of the function itself
like(tried('ann', q{CREATE FUNCTION lab.with_role() RETURNS text LANGUAGE sql SET role = 'postgres' AS 'SELECT 1::text'; SELECT lab.with_role()}),
	qr/permission denied to set role "postgres"/, 'no function with SET role');

# (making the one index also calls its function, in the session: the table's rows are new)
my @ids = split /\n/, as('ann', q{
	TRUNCATE lab.indexed;
	INSERT INTO lab.indexed VALUES (1);
	SELECT defer.enqueue('lab.in_function', max_attempts => 1);
	SELECT defer.enqueue('lab.in_set', max_attempts => 1);
	SELECT defer.enqueue('lab.in_procedure', max_attempts => 1);
	SELECT defer.enqueue('lab.inserts', max_attempts => 1);
	SELECT defer.later('lab.typed', NULL::int);
	SELECT defer.command('DO $$BEGIN PERFORM lab.attack(''DO block''); END$$', max_attempts => 1);
	SELECT defer.command('CALL lab.in_procedure()', max_attempts => 1);
	SELECT defer.command('CREATE INDEX CONCURRENTLY ON lab.indexed (lab.index(id))', max_attempts => 1)});
is(ended($_) =~ s/\|.*//r, 'succeeded', "job $_ with attempts to escape ends") || diag($node->safe_psql('postgres', "SELECT function, error FROM defer.jobs WHERE id = $_"))
  for @ids;
my $by_ben = as('ben', q{SELECT defer.enqueue('lab.for_others', max_attempts => 1)});
is(ended($by_ben), 'succeeded||ben as ann', "a function of ann's that is SECURITY DEFINER runs as ann in ben's job, as anywhere");
my $places = q{'function', 'set of rows', 'procedure', 'after COMMIT', 'after ROLLBACK', 'after COMMIT AND CHAIN', 'at_once', 'deferred',
	'domain of a parameter', 'default', 'cast of the result', 'DO block', 'index', 'SECURITY DEFINER'};

is($node->safe_psql('postgres', qq{
	SELECT place, count(DISTINCT t.escape) FROM unnest(ARRAY[$places]) place LEFT JOIN lab.tried t USING (place)
	 GROUP BY place HAVING count(DISTINCT t.escape) <> @{[ scalar(@escapes) ]}}), '', 'everything was tried in every place');
is($node->safe_psql('postgres', 'SELECT * FROM lab.loot'), '', 'and never by a superuser');
is($node->safe_psql('postgres', q{SELECT * FROM lab.tried WHERE super <> 'off' OR who NOT IN ('ann', 'team')
	OR login <> CASE place WHEN 'SECURITY DEFINER' THEN 'ben' ELSE 'ann' END}), '', 'a job is always its owner, or a role that its owner is a member of');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM lab.tried WHERE escape = 'SET ROLE team; RESET ROLE' AND who = 'ann' AND error IS NULL}),
	't', 'which is allowed, and back');
is($node->safe_psql('postgres', q{SELECT DISTINCT escape FROM lab.tried WHERE error IS NULL AND place <> 'index' ORDER BY 1}),
	join("\n", sort('RESET ROLE', 'SET ROLE NONE', 'SET SESSION AUTHORIZATION DEFAULT', 'RESET SESSION AUTHORIZATION', 'RESET ALL',
		q{SELECT set_config('role', 'none', true)}, q{SET ROLE team; RESET ROLE},
		# these have no effect: there is no such row, and nobody becomes that at the next login
		q{UPDATE pg_catalog.pg_settings SET setting = 'postgres' WHERE name = 'role'}, 'ALTER ROLE ann SET role = postgres')),
	'nothing else is without an error');

# The net would catch something
my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('lab.attack', '["control", ["RESET ROLE"]]', max_attempts => 1)});
ended($id);
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM lab.loot'), '>', 0, "a superuser's job does write there");
$node->safe_psql('postgres', 'TRUNCATE lab.loot; ALTER ROLE ann RESET role');

# One statement each, and who comes after it in the same process
for my $escape (grep { !/[;\$]/ } @escapes)
{
	my ($out, $err);
	my $sql = $escape =~ s/'/''/gr;

	next if $node->psql('postgres', "SELECT defer.command('$sql', max_attempts => 1)", extra_params => [ '-U', 'ann' ], stdout => \$out, stderr => \$err) != 0;
	ended($out);
	is(ended(as('ann', q{SELECT defer.enqueue('lab.work', max_attempts => 1)})), 'succeeded||ann as ann', "after $escape");
}
$node->safe_psql('postgres', 'ALTER ROLE ann RESET role');
is($node->safe_psql('postgres', q{SELECT rolname FROM pg_roles WHERE rolsuper OR rolname = 'mallory'}), 'postgres', 'no role has become more');

# ------------------------------------------------------------------------
# Who is the owner?  Whoever is the current role
# ------------------------------------------------------------------------
$node->safe_psql('postgres', q{GRANT ben TO team; GRANT EXECUTE ON FUNCTION defer.http TO ann; CREATE ROLE nobody});
as('ann', q{
	CREATE FUNCTION lab.enqueues() RETURNS bigint LANGUAGE sql AS $$SELECT defer.enqueue('lab.work')$$;
	CREATE FUNCTION lab.enqueues_as_definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$SELECT defer.enqueue('lab.work')$$;
	CREATE FUNCTION lab.as_team() RETURNS bigint LANGUAGE plpgsql AS $$BEGIN SET ROLE team; RETURN defer.enqueue('lab.work'); END$$});
as('ben', q{CREATE FUNCTION lab.two_deep() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$SELECT lab.enqueues_as_definer()$$});
for my $case (
	[ 'ann', q{SELECT defer.enqueue('lab.work')}, 'ann' ],
	[ 'ann', q{SET ROLE team; SELECT defer.enqueue('lab.work')}, 'team' ],
	[ 'ann', q{SET ROLE ben; SELECT defer.enqueue('lab.work')}, 'ben' ],
	[ 'postgres', q{SET ROLE ann; SELECT defer.enqueue('lab.work')}, 'ann' ],
	[ 'postgres', q{SET SESSION AUTHORIZATION ann; SELECT defer.enqueue('lab.work')}, 'ann' ],
	[ 'ben', q{SELECT lab.enqueues()}, 'ben' ],
	[ 'ben', q{SELECT lab.enqueues_as_definer()}, 'ann' ],
	[ 'team', q{SELECT lab.two_deep()}, 'ann' ])
{
	my ($role, $sql, $owner) = @$case;

	is(ended(as($role, $sql)), "succeeded||$owner as $owner", "$role: $sql: runs as $owner");
}
$id = as('ann', q{SELECT defer.enqueue('lab.as_team')});
ended($id);
is(ended($node->safe_psql('postgres', "SELECT id FROM defer.jobs WHERE parent_id = $id")), 'succeeded||team as team', 'a job that is another role enqueues as that');

# A schedule is whose it is, whoever triggers it or makes it run again
as('ann', q{SET client_min_messages = error; SELECT defer.cron('lab.work', '0 0 29 2 *', allow_direct => true, name => 'leap')});
like(tried('ben', q{SELECT defer.trigger('leap')}), qr/schedule .* does not exist/, 'only who may');
is(ended($node->safe_psql('postgres', q{SELECT defer.trigger('leap')})), 'succeeded||ann as ann', 'a superuser triggers: the owner runs');
$id = as('ben', q{SELECT defer.enqueue('lab.work')});
ended($id);
is(ended(as('team', "SELECT defer.rerun($id)")), 'succeeded||ben as ben', 'a member runs it again: the owner does');

# ------------------------------------------------------------------------
# Settings of a role, which its jobs have: none of them changes whose they are
# ------------------------------------------------------------------------
$node->safe_psql('postgres', q{
	CREATE ROLE odd LOGIN;
	GRANT team TO odd;
	GRANT USAGE, CREATE ON SCHEMA lab TO odd;
	CREATE SCHEMA hostile AUTHORIZATION ben;
	GRANT USAGE ON SCHEMA hostile TO PUBLIC;
	CREATE TABLE lab.odd_work (who text);
	GRANT SELECT, INSERT ON lab.odd_work TO odd;
	CREATE FUNCTION lab.writes() RETURNS text LANGUAGE sql AS $$INSERT INTO lab.odd_work VALUES (lab.who()) RETURNING who$$});
as('ben', q{
	CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN PERFORM lab.attack('search_path'); RETURN pg_catalog.now(); END$$;
	CREATE FUNCTION hostile.work() RETURNS text LANGUAGE sql AS $$SELECT 'hostile'$$});
for my $case (
	[ 'search_path = hostile, pg_catalog', 'succeeded||odd as odd' ],
	[ q{role = 'postgres'}, 'succeeded||odd as odd' ],
	[ q{role = 'team'}, 'succeeded||odd as odd' ],
	[ 'row_security = off', 'succeeded||odd as odd' ],
	[ 'statement_timeout = 1', qr/^(succeeded\|\|odd as odd|failed\|57014\|)$/ ],
	[ 'lock_timeout = 1', 'succeeded||odd as odd' ],
	[ 'idle_in_transaction_session_timeout = 1', 'succeeded||odd as odd' ],
	[ 'idle_session_timeout = 1', 'succeeded||odd as odd' ],
	[ q{default_transaction_isolation = 'serializable'}, 'succeeded||odd as odd' ],
	[ 'default_transaction_read_only = on', 'failed|25006|' ],
	[ 'default_transaction_deferrable = on', 'succeeded||odd as odd' ],
	[ q{default_table_access_method = 'nonsense'}, 'succeeded||odd as odd' ],
	[ q{default_tablespace = 'nonsense'}, 'succeeded||odd as odd' ],
	[ q{temp_tablespaces = 'nonsense'}, 'succeeded||odd as odd' ],
	[ 'transform_null_equals = on', 'succeeded||odd as odd' ],
	# PostgreSQL 19 has no other strings any more
	($old_strings ? [ 'standard_conforming_strings = off', 'succeeded||odd as odd' ] : ()),
	[ 'quote_all_identifiers = on', 'succeeded||odd as odd' ],
	[ q{DateStyle = 'German'}, 'succeeded||odd as odd' ],
	[ q{IntervalStyle = 'sql_standard'}, 'succeeded||odd as odd' ],
	[ q{TimeZone = 'Pacific/Kiritimati'}, 'succeeded||odd as odd' ],
	[ q{client_encoding = 'LATIN1'}, 'succeeded||odd as odd' ],
	[ q{session_preload_libraries = 'nonsense'}, 'succeeded||odd as odd' ],
	[ q{local_preload_libraries = 'nonsense'}, 'succeeded||odd as odd' ],
	[ q{plan_cache_mode = 'force_custom_plan'}, 'succeeded||odd as odd' ],
	[ 'max_parallel_workers_per_gather = 8', 'succeeded||odd as odd' ],
	[ 'enable_indexscan = off', 'succeeded||odd as odd' ])
{
	my ($setting, $wanted) = @$case;
	my $name = $setting =~ s/ =.*//r;

	$node->safe_psql('postgres', "ALTER ROLE odd SET $setting");
	# one process after another takes them
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 60000) FROM defer.workers WHERE role = 'odd'});
	my $id = $node->safe_psql('postgres', q{SET ROLE odd; SELECT defer.enqueue('lab.writes', max_attempts => 1)});
	my $end = ended($id);

	ref $wanted ? like($end, $wanted, "ALTER ROLE SET $setting") : is($end, $wanted, "ALTER ROLE SET $setting");
	$node->safe_psql('postgres', "ALTER ROLE odd RESET $name");
}

# The same by the owner of a database, for all that happens in it: schedules fire,
# jobs run, history is kept, each as it should.  Our own sessions go without.
$node->safe_psql('postgres', 'CREATE DATABASE theirs OWNER ben');
$node->safe_psql('theirs', q{
	CREATE EXTENSION defer;
	CREATE TABLE ran (who text, super text);
	GRANT INSERT, SELECT ON ran TO PUBLIC;
	GRANT USAGE ON SCHEMA defer TO PUBLIC;
	CREATE FUNCTION work() RETURNS text LANGUAGE sql AS $$
		INSERT INTO public.ran VALUES (format('%s as %s', session_user, current_user), current_setting('is_superuser')) RETURNING who $$;
	CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$});
my @settings = ("role = 'ben'", 'default_transaction_deferrable = on', 'row_security = off', "default_transaction_isolation = 'serializable'", 'lock_timeout = 1',
	'idle_in_transaction_session_timeout = 1', 'quote_all_identifiers = on', 'transform_null_equals = on', ($old_strings ? 'standard_conforming_strings = off' : ()), "DateStyle = 'SQL, DMY'",
	"IntervalStyle = 'sql_standard'", "TimeZone = 'Pacific/Kiritimati'", "client_encoding = 'LATIN1'", "xmloption = 'document'", 'array_nulls = off', 'check_function_bodies = off',
	'extra_float_digits = -15', "bytea_output = 'escape'", 'enable_indexscan = off', 'work_mem = 64', 'jit = off', 'synchronize_seqscans = off',
	"search_path = pg_temp", "application_name = 'somebody'", 'statement_timeout = 1000', "session_replication_role = 'replica'");
my @set = grep { tried('ben', "ALTER DATABASE theirs SET $_") !~ /ERROR/ } @settings;

is(join(', ', grep { my $one = $_; !grep { $_ eq $one } @set } @settings), "session_replication_role = 'replica'", 'an owner may set all of that but what is for superusers')
  or diag(map { tried('ben', "ALTER DATABASE theirs SET $_") . "\n" } @settings);
# what is there already has not got them
$node->restart;
{
	local $ENV{PGOPTIONS} = '-c role=none -c search_path=public -c statement_timeout=0 -c default_transaction_isolation=read\\ committed -c lock_timeout=0'
	  . ' -c idle_in_transaction_session_timeout=0 -c default_transaction_deferrable=off';
	my @jobs = map { $node->safe_psql('theirs', $_->[1], extra_params => [ '-U', $_->[0] ]) } (
		[ 'ann', q{SELECT defer.enqueue('work')} ], [ 'postgres', q{SELECT defer.enqueue('work')} ], [ 'ben', q{SELECT defer.enqueue('work')} ],
		[ 'ann', q{SELECT defer.enqueue('fails', max_attempts => 2, initial_interval => '1 ms')} ], [ 'ann', q{SELECT defer.command('INSERT INTO public.ran DEFAULT VALUES')} ]);

	$node->safe_psql('theirs', q{SET client_min_messages = error; SELECT defer.cron_command('tick', '* * * * * *', 'SELECT public.work()', timezone => 'Europe/Paris')},
		extra_params => [ '-U', 'ann' ]);
	until_ok($node, "SELECT count(*) = 5 FROM defer.jobs WHERE id IN (@{[ join ', ', @jobs ]}) AND finished_at IS NOT NULL", 'settings of a database: jobs end', 'theirs');
	# a success on a busy machine may take more than one attempt: their time-outs hold for jobs
	is($node->safe_psql('theirs', "SELECT state, CASE state WHEN 'failed' THEN attempt ELSE 1 END, replace(owner::text, '\"', ''), result #>> '{}' FROM defer.jobs WHERE id IN (@{[ join ', ', @jobs ]}) ORDER BY id"),
		join("\n", (map { "succeeded|1|$_|$_ as $_" } 'ann', 'postgres', 'ben'), 'failed|2|ann|', 'succeeded|1|ann|{"command": "INSERT 0 1"}'), 'as whom, and how, they should')
	  or diag($node->safe_psql('theirs', 'SELECT id, state, error FROM defer.jobs'));
	until_ok($node, q{SELECT count(*) >= 3 FROM defer.jobs WHERE schedule = 'tick' AND state = 'succeeded'}, 'schedules fire', 'theirs');
	until_ok($node, q{SELECT count(*) > 2 FROM pg_class WHERE relnamespace = 'defer'::regnamespace AND starts_with(relname::text, 'job_history_p') AND relkind = 'r'},
		'partitions are made', 'theirs');
	is($node->safe_psql('theirs', q{SELECT DISTINCT who, super FROM ran WHERE who IS NOT NULL ORDER BY 1}), "ann as ann|off\nben as ben|off\npostgres as postgres|on", 'nobody was anybody else');
	is($node->safe_psql('theirs', q{SELECT finding FROM defer.health WHERE severity = 'error'}), '', 'nothing is wrong');
}
is($node->safe_psql('postgres', q{SELECT * FROM lab.tried WHERE place = 'search_path'}), '', 'nothing of an attacker is called by what has its own names');
is($node->safe_psql('postgres', q{SELECT * FROM lab.loot}), '', 'nobody has become a superuser');

$node->stop;
done_testing();
