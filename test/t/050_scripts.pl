# CREATE EXTENSION where somebody was there before: what was planted makes it fail,
# and default privileges open nothing.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

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

$node->stop;
done_testing();
