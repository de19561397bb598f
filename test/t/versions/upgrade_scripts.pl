# An upgraded database is the same as a new one: for each released version, whose script is kept in
# sql/, the catalogs after CREATE EXTENSION and ALTER EXTENSION UPDATE are those of a fresh
# CREATE EXTENSION, down to rights, comments and the places of columns.  Compared is what pg_dump
# writes for pg_upgrade, which has the members of extensions.  It also needs what pg_upgrade needs:
# the library has all functions of released versions.
#
# Before the first release there is nothing to compare.  That differences are found, and that
# tools/next-version begins a version, is tested with one that is made up in a copy of the tree.
use strict;
use warnings;

use DeferTest;
use File::Copy qw(copy);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', 'defer.enabled = off');
my $folder = $node->config_data('--sharedir') . '/extension';
plan skip_all => "cannot write to $folder" if !-w $folder;

my ($current) = slurp_file('defer.control') =~ /^default_version = '(.*)'/m;
my ($databases, @installed) = (0);
END { unlink @installed if @installed; }

# All members of the extension, as a hash from kind and name to the statements that make them
sub catalogs
{
	my (@statements) = @_;
	my $database = 'd' . $databases++;
	my (%entries, $dump);

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, $_) for @statements;
	IPC::Run::run([ 'pg_dump', '--schema-only', '--binary-upgrade', $node->connstr($database) ], '>', \$dump) or die 'pg_dump';
	for my $entry (split /^--\n(?=-- Name: )/m, $dump)
	{
		my ($name, $type) = $entry =~ /^-- Name: (.*); Type: ([^;]*);/ or next;
		my @lines = grep { !/binary_upgrade_set_next|^UPDATE pg_catalog\.pg_class$|^SET rel(?:frozenxid|minmxid)|^WHERE oid = / }
			split /\n/, $entry =~ s/^--\n-- PostgreSQL database dump complete.*//msr;

		# numbers of objects; and the version, which is what differs
		next if $type eq 'EXTENSION';
		@lines = sort @lines if $type eq 'ACL';
		$entries{"$type $name"} = join("\n", @lines);
	}
	$entries{'what a dump contains'} = $node->safe_psql($database, q{SELECT c::regclass, w FROM pg_extension,
		unnest(extconfig, extcondition) AS x(c, w) WHERE extname = 'defer' ORDER BY c::regclass::text});
	$node->safe_psql('postgres', "DROP DATABASE $database");
	return \%entries;
}

sub fresh { my ($version) = @_; return catalogs("CREATE EXTENSION defer VERSION '$version'"); }
sub upgraded { my ($from, $to) = @_; return catalogs("CREATE EXTENSION defer VERSION '$from'", "ALTER EXTENSION defer UPDATE TO '$to'"); }

# What is not the same in both
sub differences
{
	my ($expected, $actual) = @_;
	my %all = (%$expected, %$actual);

	return [ grep { ($expected->{$_} // '') ne ($actual->{$_} // '') } sort keys %all ];
}

for my $version (map { m{^sql/defer--([0-9.]+)\.sql$} ? $1 : () } glob('sql/defer--*.sql'))
{
	next if $version eq $current;
	is_deeply(differences(fresh($current), upgraded($version, $current)), [], "from $version to $current");
}

# ------------------------------------------------------------------------
# A made-up version
# ------------------------------------------------------------------------
my $copy = PostgreSQL::Test::Utils::tempdir_short() . '/tree';
my $next = '999.0.0';
my $upgrade = "sql/defer--$current--$next.sql";
my $ours = q{
CREATE TABLE defer.planted (id bigint NOT NULL, made text);
SELECT pg_catalog.pg_extension_config_dump('defer.planted', 'WHERE id > 0');
GRANT SELECT ON defer.planted TO PUBLIC;
CREATE FUNCTION defer.plant() RETURNS int LANGUAGE sql AS 'SELECT 1';
COMMENT ON FUNCTION defer.plant() IS 'planted';
};

sub in_copy
{
	my (@command) = @_;
	my $out;

	my $ok = IPC::Run::run([ 'env', '-C', $copy, @command ], '>', \$out, '2>&1');
	return ($ok, $out);
}

# Put the made-up version and the way to it where the server finds them
sub install
{
	my ($script) = @_;

	append_to_file("$copy/$upgrade", $script);
	for my $file ($upgrade, "sql/defer--$next.sql")
	{
		my $there = "$folder/" . ($file =~ m{([^/]+)$})[0];

		copy("$copy/$file", $there) or die "$file: $!";
		push @installed, $there;
	}
	return;
}

mkdir $copy or die;
IPC::Run::run([ 'cp', '-r', qw(defer.control META.json Makefile sql tools debian packaging), $copy ]) or die;
IPC::Run::run([ 'sh', '-c', "mkdir -p $copy/src/cli && cp src/exports.txt $copy/src/ && cp src/cli/Makefile.cli $copy/src/cli/" ]) or die;
for my $version (qw(0.0.9 next), $current)
{
	my ($ok, $out) = in_copy('tools/next-version', $version);

	ok(!$ok, "next-version refuses $version");
	like($out, qr/\Q$current\E/, '... and names the present one');
}
my ($ok, $out) = in_copy('tools/next-version', $next);
ok($ok, 'the next version begins') or diag $out;
ok(-s "$copy/sql/defer--$current.sql", 'the script of the released version is kept');
for my $file (qw(defer.control META.json debian/changelog packaging/defer.spec))
{
	like(slurp_file("$copy/$file"), qr/\Q$next\E/, "$file is of the new version");
}
append_to_file("$copy/sql/src/rights.sql", $ours);
($ok, $out) = in_copy('make', 'PG_CONFIG=' . ($ENV{PG_CONFIG} // 'pg_config'), "sql/defer--$next.sql");
ok($ok, 'its script is made') or diag $out;

my @planted = ('ACL TABLE planted', 'COMMENT FUNCTION plant()', 'FUNCTION plant()', 'TABLE planted', 'what a dump contains');
install('');
my $fresh = fresh($next);
is_deeply(differences($fresh, upgraded($current, $next)), \@planted, 'changes without an upgrade script are found');
install($ours);
is_deeply(differences($fresh, upgraded($current, $next)), [], 'the same changes in both: none is found');
append_to_file("$copy/$upgrade", q{
REVOKE SELECT ON defer.planted FROM PUBLIC;
COMMENT ON FUNCTION defer.plant() IS 'other';
CREATE OR REPLACE FUNCTION defer.plant() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
ALTER TABLE defer.planted DROP COLUMN made, ADD COLUMN more int, ADD COLUMN made text;
ALTER TABLE defer.planted DROP COLUMN more;
SELECT pg_catalog.pg_extension_config_dump('defer.planted', '');
});
install('');
is_deeply(differences($fresh, upgraded($current, $next)), \@planted, 'rights, comments, options and places of columns are compared');

$node->stop;
done_testing();
