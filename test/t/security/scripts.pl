# The extension's script and the SQL in its library: rules that keep others' objects
# out of them, and that these rules catch mistakes.  CREATE EXTENSION where somebody was
# there before: what was planted makes it fail, and default privileges open nothing.
# What was made, from the catalogs.
use strict;
use warnings;

use DeferTest;
use File::Basename 'dirname';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ScriptRules;
use Test::More;

# ------------------------------------------------------------------------
# The script
# ------------------------------------------------------------------------
my $top = dirname(__FILE__) . '/../../..';
my ($version) = slurp_file("$top/defer.control") =~ /^default_version *= *'(.*)'/m;
my $script = slurp_file("$top/sql/defer--$version.sql") =~ s/^\\echo .*//r;

is(join("\n", script_problems($script)), '', 'the script follows the rules');

# Each mistake, at the end of the script unless it says what it replaces
my $pin = 'SET LOCAL search_path TO pg_catalog, pg_temp;';
my $c = q{LANGUAGE c AS 'MODULE_PATHNAME', 'x'};
for my $case (
	[ qr/first statement/, '', $pin ],
	[ qr/first statement/, 'SET LOCAL search_path TO pg_temp, pg_catalog;', $pin ],
	[ qr/first statement/, 'SET search_path TO pg_catalog, pg_temp;', $pin ],
	[ qr/another SET/, 'SET LOCAL search_path TO public;' ],
	[ qr/set_config/, q{SELECT pg_catalog.set_config('search_path', 'public', false);} ],
	[ qr/OR REPLACE/, "CREATE OR REPLACE FUNCTION defer.x() RETURNS int $c;" ],
	[ qr/OR REPLACE/, 'CREATE OR REPLACE VIEW defer.x AS SELECT 1;' ],
	[ qr/IF NOT EXISTS/, 'CREATE TABLE IF NOT EXISTS defer.x (a int);' ],
	[ qr/IF NOT EXISTS/, 'CREATE SCHEMA IF NOT EXISTS defer;' ],
	[ qr/schema that is not ours/, 'CREATE SCHEMA other;' ],
	[ qr/table made in no schema/, 'CREATE TABLE x (a int);' ],
	[ qr/table made in no schema/, 'CREATE TABLE public.x (a int);' ],
	[ qr/view made in no schema/, 'CREATE VIEW x AS SELECT 1;' ],
	[ qr/function made in no schema/, "CREATE FUNCTION x() RETURNS int $c;" ],
	[ qr/index on a table of no schema/, 'CREATE INDEX x ON job (id);' ],
	[ qr/trigger on a table of no schema/, 'CREATE TRIGGER x BEFORE INSERT ON job FOR EACH STATEMENT EXECUTE FUNCTION defer.note_restore();' ],
	[ qr/CREATE EVENT is not/, 'CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION defer.note_restore();' ],
	[ qr/CREATE CAST is not/, 'CREATE CAST (text AS jsonb) WITH INOUT;' ],
	[ qr/CREATE ROLE is not/, 'CREATE ROLE x;' ],
	[ qr/ALTER is not/, 'ALTER TABLE defer.job OWNER TO x;' ],
	[ qr/DROP is not/, 'DROP TABLE defer.job;' ],
	[ qr/UPDATE is not/, 'UPDATE pg_catalog.pg_proc SET prosecdef = true;' ],
	[ qr/unqualified function now/, 'INSERT INTO defer.origin (id) SELECT now();' ],
	[ qr/unqualified function public\.now/, 'INSERT INTO defer.origin (id) SELECT public.now();' ],
	[ qr/unqualified function now/, 'CREATE TABLE defer.x (a timestamptz DEFAULT now());' ],
	[ qr/unqualified function lower/, 'CREATE INDEX x ON defer.job (lower(key));' ],
	[ qr/unqualified function count/, 'CREATE VIEW defer.x AS SELECT count(*) FROM defer.job;' ],
	[ qr/unqualified function may_see/, 'CREATE VIEW defer.x AS SELECT 1 FROM defer.job j WHERE may_see(j.owner);' ],
	[ qr/unqualified function gen_random_uuid/, 'SELECT gen_random_uuid();' ],
	[ qr/unqualified function note_restore/, 'CREATE TRIGGER x BEFORE INSERT ON defer.job FOR EACH STATEMENT EXECUTE FUNCTION note_restore();' ],
	[ qr/unqualified table pg_class/, 'CREATE VIEW defer.x AS SELECT c.oid FROM pg_class c;' ],
	[ qr/unqualified table job/, 'CREATE VIEW defer.x AS SELECT 1 FROM defer.job_history h LEFT JOIN job j ON j.id = h.id;' ],
	[ qr/unqualified table job/, 'CREATE VIEW defer.x AS SELECT 1 FROM defer.job_history h, job j;' ],
	[ qr/unqualified table public\.job/, 'CREATE VIEW defer.x AS SELECT 1 FROM public.job j;' ],
	[ qr/unqualified table origin/, 'INSERT INTO origin (id) SELECT i.id FROM defer.installation i;' ],
	[ qr/unqualified operator =/, q{INSERT INTO defer.origin (id) SELECT i.id FROM defer.installation i WHERE i.database = 1;} ],
	[ qr/unqualified operator \|\|/, q{SELECT pg_catalog.pg_extension_config_dump('a' || 'b', '');} ],
	[ qr/unqualified operator >/, 'CREATE TABLE defer.x (a int CHECK (a > 0));' ],
	[ qr/unqualified operator <>/, q{CREATE INDEX x ON defer.job (id) WHERE kind <> 'f';} ],
	[ qr/unqualified operator of IN/, q{CREATE INDEX x ON defer.job (id) WHERE kind IN ('f');} ],
	[ qr/unqualified operator of LIKE/, q{SELECT pg_catalog.count(*) FROM defer.job j WHERE j.key LIKE 'x';} ],
	[ qr/unqualified type regclass/, q{CREATE TABLE defer.x (a bigint DEFAULT pg_catalog.nextval('defer.job_id_seq'::regclass));} ],
	[ qr/unqualified type text/, q{SELECT pg_catalog.count(*) FROM defer.job j WHERE j.id::text OPERATOR(pg_catalog.=) '1';} ],
	[ qr/in a body: unqualified function format/, q{DO LANGUAGE plpgsql $$BEGIN EXECUTE format('x'); END$$;} ],
	[ qr/in a body: unqualified operator =/, q{DO LANGUAGE plpgsql $$BEGIN IF 1 = 1 THEN NULL; END IF; END$$;} ],
	[ qr/function without a search_path/, q{CREATE FUNCTION defer.x() RETURNS int LANGUAGE sql AS 'SELECT 1';} ],
	[ qr/function without a search_path/, q{CREATE FUNCTION defer.x() RETURNS int LANGUAGE plpgsql AS $$BEGIN RETURN 1; END$$;} ],
	[ qr/function without a search_path/, q{CREATE FUNCTION defer.x() RETURNS int LANGUAGE plpgsql SET search_path = public AS $$BEGIN RETURN 1; END$$;} ],
	[ qr/SECURITY DEFINER without/, "CREATE FUNCTION defer.x() RETURNS int SECURITY DEFINER $c;" ],
	[ qr/SECURITY DEFINER without/, q{CREATE FUNCTION defer.x() RETURNS int LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT 1; END;} ],
	[ qr/type internal/, "CREATE FUNCTION defer.x(a internal) RETURNS int $c;" ],
	[ qr/language internal/, q{CREATE FUNCTION defer.x(a int) RETURNS int LANGUAGE internal AS 'int4um';} ],
	[ qr/language plperlu/, q{CREATE FUNCTION defer.x(a int) RETURNS int LANGUAGE plperlu AS 'x';} ],
	[ qr/schema opened/, 'GRANT USAGE ON SCHEMA defer TO PUBLIC;' ],
	[ qr/unexpected grant: ALL/, 'GRANT ALL ON defer.jobs TO PUBLIC;' ],
	[ qr/unexpected grant: INSERT/, 'GRANT INSERT ON defer.job TO pg_monitor;' ],
	[ qr/no view: defer\.job\b/, 'GRANT SELECT ON defer.jobs, defer.job TO PUBLIC;' ],
	[ qr/no view: defer\.endpoint\b/, 'GRANT SELECT ON TABLE defer.endpoint TO pg_monitor;' ],
	[ qr/EXECUTE on some functions/, 'GRANT EXECUTE ON FUNCTION defer.http TO PUBLIC;' ],
	[ qr/WITH GRANT OPTION/, 'GRANT SELECT ON defer.jobs TO pg_monitor WITH GRANT OPTION;' ])
{
	my ($found, $mistake, $instead) = @$case;
	my $wrong = defined $instead ? $script =~ s/^\Q$instead\E$/$mistake/mr : "$script\n$mistake\n";

	isnt($wrong, $script, 'a mistake is planted') if defined $instead;
	like(join("\n", script_problems($wrong)), $found, "found: $mistake");
}

# ------------------------------------------------------------------------
# SQL in C.  It runs between own_sql_begin() and own_sql_end(), which pin search_path
# as the script does, so its names are safe by that already.
# ------------------------------------------------------------------------
my %c;
for my $file (sort(grep { !m{/cli/} } map { glob("$top/src/$_") } qw(*.c */*.[ch] */*/*.[ch])))
{
	my ($name) = $file =~ m{^\Q$top\E/src/(.*)$};

	$c{$name} = slurp_file($file);
	# tables of pg_cron, which must belong to that extension (import/pg_cron_jobs.c looks)
	my @problems = c_sql_problems($c{$name}, schemas => $name eq 'import/pg_cron_jobs.c' ? ['cron'] : []);

	# not a statement: what pg_stat_activity shows in place of one
	@problems = grep { !/<not shown>/ } @problems if $name eq 'delivery/endpoint.c';
	# a table of the user's, by quote_qualified_identifier()
	@problems = grep { !/unqualified table %s \(DELETE FROM %s WHERE ctid/ } @problems if $name eq 'job/distributed_enqueue.c';
	is(join("\n", @problems), '', "the SQL in $name follows the rules");
}
cmp_ok(scalar(grep { /"[^"]*\bOPERATOR\(pg_catalog\./ } values %c), '>', 10, 'there is some in many of them');
# (these are called between the two by other files; own_sql_run() asserts it)
is(join(' ', grep { $c{$_} =~ /\b(?:SPI_execute\w*|own_sql_run|own_sql_execute)\(/ && $c{$_} !~ /\bown_sql_begin\(|set_config_option\("search_path", "pg_catalog, pg_temp"/ } sort grep { /\.c$/ } keys %c),
	'alert/collect.c alert/conditions.c config/setting_values.c delivery/endpoint_limits.c workflow/results.c', 'and each file with some pins search_path');
for my $case (
	[ qr/unqualified function now/, q{run("INSERT INTO defer.origin (id) SELECT now()");} ],
	[ qr/unqualified table job/, q{run("DELETE FROM job");} ],
	[ qr/unqualified table job/, q{run("UPDATE job SET claim = NULL");} ],
	[ qr/unqualified operator =/, q{run("UPDATE defer.job j SET claim = NULL WHERE j.id = $1");} ],
	[ qr/unqualified operator \+/, q{run("UPDATE defer.job SET attempt = attempt + 1");} ],
	[ qr/unqualified operator =/, q{append(" AND j.id = %d");} ],
	[ qr/unqualified operator =/, qq{run("SELECT FROM defer.job j"\n\t" WHERE j.id"\n\t" = 1");} ],
	[ qr/unqualified type text/, q{run("SELECT j.id::text FROM defer.job j");} ])
{
	my ($found, $mistake) = @$case;

	like(join("\n", c_sql_problems($mistake)), $found, "found: $mistake");
}

# ------------------------------------------------------------------------
# CREATE EXTENSION
# ------------------------------------------------------------------------

my $node = new_server('main', '');

# A schema of that name, whoever owns it
$node->safe_psql('postgres', q{CREATE ROLE mallory LOGIN; CREATE SCHEMA defer AUTHORIZATION mallory});
for my $command ('CREATE EXTENSION defer', 'CREATE EXTENSION defer SCHEMA defer')
{
	my ($out, $err);

	isnt($node->psql('postgres', $command, stdout => \$out, stderr => \$err), 0, "$command fails with a schema of somebody else");
	like($err, qr/already exists|must be installed in schema/, 'and says why');
}
$node->safe_psql('postgres', 'DROP SCHEMA defer');

# Only superusers, whatever else a role may do
$node->safe_psql('postgres', 'CREATE DATABASE hers OWNER mallory');
my ($out, $err);
isnt($node->psql('hers', 'CREATE EXTENSION defer', stderr => \$err, extra_params => [ '-U', 'mallory' ]), 0, 'the owner of a database may not make it');
like($err, qr/permission denied to create extension/, 'and is told so');

# Default privileges for roles by name
$node->safe_psql('postgres', q{
	CREATE ROLE "app ""x" LOGIN;
	ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO "app ""x";
	ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO "app ""x";
	ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO "app ""x";
	ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO "app ""x";
	ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
	CREATE EXTENSION defer});
is($node->safe_psql('postgres', q{
	SELECT o, a.grantee::regrole, a.privilege_type
	  FROM (SELECT relname, relowner, relacl FROM pg_class WHERE relnamespace = 'defer'::regnamespace AND relkind <> 'v'
			UNION ALL SELECT proname, proowner, proacl FROM pg_proc WHERE pronamespace = 'defer'::regnamespace
			UNION ALL SELECT nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = 'defer') o (o, owner, acl), aclexplode(acl) a
	 WHERE a.grantee NOT IN (owner, 'pg_monitor'::regrole) AND NOT (a.grantee = 0 AND a.privilege_type = 'EXECUTE')}),
	'', 'open no schema, table, sequence or function');
is($node->safe_psql('postgres', q{
	SELECT DISTINCT a.grantee::regrole, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
	 WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind = 'v' AND a.grantee <> c.relowner ORDER BY 1, 2}),
	"-|SELECT\npg_monitor|SELECT", 'and views are only read');

# ------------------------------------------------------------------------
# What was made
# ------------------------------------------------------------------------
my $members = q{SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'defer'};
my %rules = (
	'a member outside the schema' => qq{
		SELECT pg_describe_object(m.classid, m.objid, 0) FROM ($members) m, pg_identify_object(m.classid, m.objid, 0) i
		 WHERE i.schema IS DISTINCT FROM 'defer' AND NOT (i.type = 'schema' AND i.name = 'defer')
		   AND NOT (i.type = 'trigger' AND i.identity LIKE '% on defer.%') AND NOT (i.type IN ('default value', 'view column', 'rule'))},
	'something in the schema that is no member' => qq{
		SELECT pg_describe_object(o.c, o.o, 0)
		  FROM (SELECT 'pg_class'::regclass, oid FROM pg_class WHERE relnamespace = 'defer'::regnamespace AND relkind <> 'i' AND relkind <> 'I'
				UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = 'defer'::regnamespace
				UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator WHERE oprnamespace = 'defer'::regnamespace) o (c, o)
		 WHERE (o.c, o.o) NOT IN ($members)},
	'a use of what is neither ours nor of PostgreSQL' => qq{
		SELECT pg_describe_object(d.classid, d.objid, d.objsubid) || ': ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
		  FROM pg_depend d, pg_identify_object(d.refclassid, d.refobjid, 0) r
		 WHERE ((d.classid, d.objid) IN ($members)
				OR (d.classid = 'pg_rewrite'::regclass AND d.objid IN (SELECT w.oid FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class WHERE c.relnamespace = 'defer'::regnamespace))
				OR (d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT a.oid FROM pg_attrdef a JOIN pg_class c ON c.oid = a.adrelid WHERE c.relnamespace = 'defer'::regnamespace))
				OR (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT oid FROM pg_class WHERE relnamespace = 'defer'::regnamespace)))
		   AND r.schema IS DISTINCT FROM 'defer' AND r.schema IS DISTINCT FROM 'pg_catalog' AND r.schema IS DISTINCT FROM 'pg_toast'
		   AND NOT (r.type IN ('schema', 'language', 'extension', 'role'))},
	'a function in another language than C, and not parsed once for all' => q{
		SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
		 WHERE p.pronamespace = 'defer'::regnamespace AND l.lanname <> 'c' AND NOT (l.lanname = 'sql' AND p.prosqlbody IS NOT NULL)
		   AND p.prokind <> 'a'
		   AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)},
	'a SECURITY DEFINER function' => q{
		SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'defer'::regnamespace AND prosecdef},
	'internal' => q{
		SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'defer'::regnamespace
		   AND ('internal'::regtype = ANY (proargtypes::oid[] || prorettype) OR 'internal'::regtype = ANY (proallargtypes))},
	'a view through which conditions see what they should not' => q{
		SELECT oid::regclass FROM pg_class WHERE relnamespace = 'defer'::regnamespace AND relkind = 'v' AND relname <> 'jobs'
		   AND NOT coalesce('security_barrier=true' = ANY (reloptions), false)},
	'a right for everybody that is not intended' => q{
		SELECT o, a.privilege_type FROM (
			SELECT oid::regclass::text, CASE relkind WHEN 'v' THEN '{SELECT}' ELSE '{}' END::text[], coalesce(relacl, acldefault('r', relowner))
			  FROM pg_class WHERE relnamespace = 'defer'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
			UNION ALL SELECT oid::regclass::text, '{}', coalesce(relacl, acldefault('s', relowner)) FROM pg_class WHERE relnamespace = 'defer'::regnamespace AND relkind = 'S'
			UNION ALL SELECT 'schema', '{}', nspacl FROM pg_namespace WHERE nspname = 'defer'
			UNION ALL SELECT proname, CASE WHEN proname IN ('alert', 'endpoint', 'http', 'email', 'slack', 'activate', 'run_schedules') OR prorettype = 'trigger'::regtype
					THEN '{}' ELSE '{EXECUTE}' END::text[], coalesce(proacl, acldefault('f', proowner)) FROM pg_proc WHERE pronamespace = 'defer'::regnamespace) x (o, may, acl),
			aclexplode(x.acl) a
		 WHERE a.grantee = 0 AND a.privilege_type <> ALL (x.may)});
is($node->safe_psql('postgres', $rules{$_}), '', "there is not: $_") for sort keys %rules;

# Again the rules catch mistakes, each in a transaction that is undone
my $add = 'ALTER EXTENSION defer ADD';
for my $case (
	[ 'a member outside the schema', "CREATE TABLE public.x (); $add TABLE public.x" ],
	[ 'something in the schema that is no member', 'CREATE TABLE defer.x ()' ],
	[ 'something in the schema that is no member', q{CREATE FUNCTION defer.x() RETURNS int LANGUAGE sql AS 'SELECT 1'} ],
	[ 'a use of what is neither ours nor of PostgreSQL', "CREATE TABLE public.y (a int); CREATE VIEW defer.x AS SELECT * FROM public.y; $add VIEW defer.x" ],
	[ 'a use of what is neither ours nor of PostgreSQL', q{CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.now()';
		ALTER TABLE defer.schedule ALTER created_at SET DEFAULT public.now()} ],
	[ 'a use of what is neither ours nor of PostgreSQL', "CREATE FUNCTION public.eq(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE OPERATOR public.= (FUNCTION = public.eq, LEFTARG = int, RIGHTARG = int);
		CREATE VIEW defer.x AS SELECT 1 OPERATOR(public.=) 1 AS a; $add VIEW defer.x" ],
	[ 'a use of what is neither ours nor of PostgreSQL', 'CREATE DOMAIN public.text AS pg_catalog.text; ALTER TABLE defer.queue ADD x public.text' ],
	[ 'a use of what is neither ours nor of PostgreSQL', q{CREATE FUNCTION public.f(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1'; CREATE INDEX x ON defer.job (public.f(key))} ],
	[ 'a function in another language than C, and not parsed once for all', q{CREATE FUNCTION defer.x() RETURNS int LANGUAGE sql AS 'SELECT 1'} ],
	[ 'a function in another language than C, and not parsed once for all', q{CREATE FUNCTION defer.x() RETURNS int LANGUAGE plpgsql SET search_path = public AS 'BEGIN END'} ],
	[ 'a SECURITY DEFINER function', 'ALTER FUNCTION defer.version() SECURITY DEFINER' ],
	[ 'internal', q{CREATE FUNCTION defer.x(internal) RETURNS internal LANGUAGE c AS '$libdir/defer', 'defer_version'} ],
	[ 'a view through which conditions see what they should not', 'ALTER VIEW defer.attempts RESET (security_barrier)' ],
	[ 'a right for everybody that is not intended', 'GRANT SELECT ON defer.job TO PUBLIC' ],
	[ 'a right for everybody that is not intended', 'GRANT INSERT ON defer.jobs TO PUBLIC' ],
	[ 'a right for everybody that is not intended', 'GRANT USAGE ON SEQUENCE defer.job_id_seq TO PUBLIC' ],
	[ 'a right for everybody that is not intended', 'GRANT USAGE ON SCHEMA defer TO PUBLIC' ],
	[ 'a right for everybody that is not intended', 'GRANT EXECUTE ON FUNCTION defer.http TO PUBLIC' ])
{
	my ($rule, $mistake) = @$case;

	isnt($node->safe_psql('postgres', "BEGIN; SET LOCAL check_function_bodies = off; $mistake; $rules{$rule}; ROLLBACK"), '',
		"found: $rule: " . ($mistake =~ s/\s+/ /gr));
}

$node->stop;
done_testing();
