# What defer is packaged from: META.json, the versions that files name, "make dist", what
# "make CLIENT=no" leaves out, and the files of "make image-volume", from which a server of
# PostgreSQL 18 or newer runs jobs.  tools/check-packages builds and installs the packages.
use strict;
use warnings;

use Cwd qw(getcwd);
use DeferTest;
use File::Find qw(find);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = getcwd();
my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
my ($version) = slurp_file('defer.control') =~ /^default_version = '(.*)'/m;
my $meta = decode_json(slurp_file('META.json'));

sub run
{
	my (@command) = @_;
	my $out;

	my $ok = IPC::Run::run(\@command, '>', \$out, '2>&1');
	return ($ok, $out);
}

# ------------------------------------------------------------------------
# META.json, by the specification of PGXN
# ------------------------------------------------------------------------
for my $key (qw(name abstract version maintainer license provides meta-spec))
{
	ok($meta->{$key}, "META.json has $key");
}
is($meta->{'meta-spec'}{version}, '1.0.0', 'the version of the specification');
like($meta->{name}, qr/^[^\s\/\\]{2,}$/, 'a name');
like($meta->{release_status}, qr/^(?:stable|testing|unstable)$/, 'a status');
is($meta->{license}, 'postgresql', 'a licence that the specification knows');
like($_, qr/^\d+\.\d+\.\d+$/, 'a semantic version') for $meta->{version}, $meta->{prereqs}{runtime}{requires}{PostgreSQL};
is_deeply([ $meta->{version}, $meta->{provides}{defer}{version} ], [ $version, $version ], 'the version of defer.control');
ok(-s $meta->{provides}{defer}{$_}, "its $_ is in the tree") for qw(file docfile);
is(ref $meta->{tags}, 'ARRAY', 'tags are a list');
like(slurp_file('debian/changelog'), qr/\Adefer \(\Q$version\E-\d/, 'the Debian packages have that version');
like(slurp_file('packaging/defer.spec'), qr/^Version: +\Q$version\E$/m, 'so have the RPM packages');

# ------------------------------------------------------------------------
# make dist
# ------------------------------------------------------------------------
SKIP:
{
	skip 'there is no git', 6 if system('git --version >/dev/null 2>&1') != 0;

	my $repo = PostgreSQL::Test::Utils::tempdir_short() . '/repo';
	my ($ok, $out) = run('sh', '-ec', "mkdir $repo && cp -r META.json Makefile defer.control .gitattributes tools .ci src sql $repo/ && cd $repo &&
		git init -q && git add -f Makefile META.json defer.control .gitattributes tools .ci sql/src &&
		git -c user.name=t -c user.email=t\@example.com commit -q -m t && git clean -q -d -f -x");
	ok($ok, 'a repository') or diag $out;
	($ok, $out) = run("$repo/tools/dist");
	ok($ok, 'a release is made') or diag $out;
	is($out, "./defer-$version.zip\n", '... and named');
	my ($listed, $list) = run('python3', '-m', 'zipfile', '-l', "$repo/defer-$version.zip");
	like($list, qr{^defer-\Q$version\E/META\.json }m, 'META.json is on top');
	unlike($list, qr{/\.ci/|gitattributes}, 'what is not for users is left out');
	append_to_file("$repo/Makefile", "\n");
	($ok, $out) = run("$repo/tools/dist");
	ok(!$ok && $out =~ /not committed/, 'not with changes that would be missing');
}

# ------------------------------------------------------------------------
# make CLIENT=no, make image-volume
# ------------------------------------------------------------------------
my @make = ('make', "PG_CONFIG=$pg_config", 'with_llvm=no');
my ($ok, $out) = run(@make, '-n', 'install', 'CLIENT=no');
ok($ok && $out !~ /src\/cli\/defer|defer\.1/, 'CLIENT=no installs no program') or diag $out;
($ok, $out) = run(@make, '-n', 'install');
ok($ok && $out =~ /src\/cli\/defer/ && $out =~ /defer\.1/, '... which is installed otherwise') or diag $out;

my $volume = PostgreSQL::Test::Utils::tempdir_short() . '/volume';
($ok, $out) = run(@make, 'image-volume', 'MAJORVERSION=18');
ok(!$ok && $out =~ /set DESTDIR/, 'no volume without a folder');
($ok, $out) = run(@make, 'image-volume', "DESTDIR=$volume", 'MAJORVERSION=17');
ok(!$ok && $out =~ /PostgreSQL 17 cannot load extensions from a volume/, 'no volume for a server that cannot use it');
ok(!-e $volume, '... and no files');
($ok, $out) = run(@make, 'image-volume', "DESTDIR=$volume", 'MAJORVERSION=18');
ok($ok, 'the files of a volume') or diag $out;
my @files;
find({ no_chdir => 1, wanted => sub { push @files, substr($_, length("$volume/")) if -f } }, $volume);
is_deeply([ sort @files ], [ sort 'lib/defer.so', 'lib/defer_sender.so', 'licenses/defer/LICENSE', 'share/extension/defer.control',
	map { s{^sql/}{share/extension/}r } glob('sql/defer--*.sql') ], 'its layout is that of an extension image');

SKIP:
{
	skip 'the server has no extension_control_path', 3 if (run($pg_config, '--version'))[1] =~ /PostgreSQL 1[567]\b/;

	# As CloudNativePG sets it
	my $node = PostgreSQL::Test::Cluster->new('volume');

	$node->init(extra => [ DeferTest::initdb_options() ]);
	$node->append_conf('postgresql.conf', qq{
shared_preload_libraries = 'defer'
max_worker_processes = 24
extension_control_path = '$volume/share:\$system'
dynamic_library_path = '$volume/lib:\$libdir'
});
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION defer');
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	like(slurp_file("/proc/$pid/maps"), qr{ \Q$volume\E/lib/defer\.so$}m, 'the server has loaded the library of the volume');
	my $job = $node->safe_psql('postgres', q{SELECT defer.command('SELECT 1')});
	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $job", 'a job runs');
	$job = $node->safe_psql('postgres', q{SELECT defer.http('GET', 'http://127.0.0.1:9/')});
	until_ok($node, "SELECT state = 'failed' AND sqlstate = '42501' FROM defer.jobs WHERE id = $job", 'the sender runs, too');
	$node->stop;
}

# ------------------------------------------------------------------------
# Another version is installed while the server runs: its sender does not run with the
# library that the server has loaded
# ------------------------------------------------------------------------
my $other = PostgreSQL::Test::Utils::tempdir_short();
my $sender = slurp_file((run($pg_config, '--pkglibdir'))[1] =~ s/\n//r . '/defer_sender.so');
my $never = $version =~ s/\d/9/gr;

ok($sender =~ s/\Q$version\E\0/$never\0/g, 'a sender of another version');
append_to_file("$other/defer_sender.so", $sender);
my $node = new_server('upgraded', "dynamic_library_path = '$other:\$libdir'");
$node->safe_psql('postgres', 'CREATE EXTENSION defer');
my $job = $node->safe_psql('postgres', q{SELECT defer.http('GET', 'http://127.0.0.1:9/')});
ok($node->wait_for_log(qr/FATAL:  library "defer_sender" is of version \Q$never\E, but the server has loaded version \Q$version\E of "defer"/),
	'it says so');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $job"), 'queued', 'the delivery waits');
unlink("$other/defer_sender.so") or die;
until_ok($node, "SELECT state = 'failed' AND sqlstate = '42501' FROM defer.jobs WHERE id = $job", 'until the libraries are of one version');
$node->stop;

done_testing();
