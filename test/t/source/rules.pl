# The rules of the source tree refuse what breaks them: offences are planted in a copy,
# one at a time, and tools/check-layers and tools/check-style must name each of them.
use strict;
use warnings;

use Cwd qw(getcwd);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Find qw(find);
use File::Path qw(make_path remove_tree);
use PostgreSQL::Test::Utils;
use Test::More;

my $top = getcwd();
my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
my $copy = PostgreSQL::Test::Utils::tempdir_short() . '/tree';

# The tree with what it was built to, newer than its sources, so that make makes only
# what changes
sub copy_tree
{
	my (@later);

	find({ no_chdir => 1, wanted => sub {
		return if -d $_ || $_ !~ m{^(?:\./)?(?:src/|test/unit/|tools/|sql/|Makefile$|defer\.control$)};
		if (/\.(?:o|d|so)$/) { push @later, $_ }
		else { make_path(dirname("$copy/$_")); copy($_, "$copy/$_") or die "$_: $!"; }
	}}, 'src', 'test/unit', 'tools', 'sql', 'Makefile', 'defer.control');
	copy($_, "$copy/$_") for @later;
	chmod(0755, glob("$copy/tools/*"));
	return;
}

sub run_in
{
	my ($folder, @command) = @_;
	my ($out, $err);

	chdir($folder) or die;
	my $ok = IPC::Run::run(\@command, '>', \$out, '2>&1');
	chdir($top) or die;
	return ($ok, $out);
}

sub content
{
	my ($file, $new) = @_;

	return slurp_file("$copy/$file") unless defined $new;
	open(my $fh, '>', "$copy/$file") or die "$file: $!";
	print $fh $new;
	close($fh);
	return;
}

# Change a file, build its object if asked to, and expect a complaint
sub planted
{
	my ($what, $file, $change, $complaint, $tool, $object) = @_;
	my $before = -e "$copy/$file" ? content($file) : undef;
	my @objects;

	content($file, $change->($before // ''));
	if ($object)
	{
		my ($built, $log) = run_in($copy, 'make', "PG_CONFIG=$pg_config", 'with_llvm=no', $object);
		ok($built, "$what: it compiles") or diag $log;
		@objects = ('--objects', $copy);
	}
	my ($ok, $out) = run_in($copy, 'python3', "$top/tools/$tool", $tool eq 'check-layers' ? ('--sources', $copy, @objects) : $copy);
	ok(!$ok, "$what: $tool refuses it");
	like($out, $complaint, "$what: it says which");
	defined $before ? content($file, $before) : unlink("$copy/$file");
	unlink("$copy/$object") if $object;
	run_in($copy, 'make', "PG_CONFIG=$pg_config", 'with_llvm=no', $object) if $object && defined $before;
	return;
}

sub append
{
	my ($text) = @_;

	return sub { return $_[0] . $text };
}

copy_tree();
my ($ok, $out) = run_in($copy, 'python3', "$top/tools/check-layers", '--sources', $copy, '--objects', $top);
ok($ok, 'the tree as it is passes') or diag $out;

planted('an include of a higher folder', 'src/base/guc.c',
	append(qq{#include "job/batch.h"\n}),
	qr{src/base/guc\.c: includes "job/batch\.h", and src/base/ is below src/job/}, 'check-layers');
planted('a header of the server in what is pure', 'src/pure/network_rules.c',
	append(qq{#include "utils/builtins.h"\n}),
	qr{src/pure/network_rules\.c: includes "utils/builtins\.h"}, 'check-layers');
planted('a folder without a place', 'src/attic/old.c', sub { make_path("$copy/src/attic"); return "int old;\n" },
	qr{src/attic/old\.c: the folder has no place}, 'check-layers');
remove_tree("$copy/src/attic");
# What the header of base/ declares once more elsewhere
my ($twice) = content('src/base/timer.h') =~ /^(extern [^;]+;)/m;
my ($name) = $twice =~ /(\w+)\(/;
planted('an extern in two headers', 'src/process/process.h', append("$twice\n"),
	qr{declares $name, as src/base/timer\.h does}, 'check-layers');
planted('a header that declares what another folder defines', 'src/shmem/planted.h', append("extern void defer_launcher_main(Datum arg);\n"),
	qr{src/.*declares defer_launcher_main}, 'check-layers');
planted('a prototype written by hand', 'src/base/timer.c', append("extern int defer_planted(int);\nextern void defer_worker_main(Datum);\n"),
	qr{src/base/timer\.c: declares defer_worker_main by hand}, 'check-layers');
planted('a call that reaches up, hidden from the sources', 'src/base/timer.c',
	append(qq{#define REACH(name) extern void name(Datum); void defer_planted(Datum a); void defer_planted(Datum a) { name(a); }\nREACH(defer_worker_main)\n}),
	qr{src/base/timer\.c: uses defer_worker_main, which src/process/worker\.c defines: src/base/ is below src/process/},
	'check-layers', 'src/base/timer.o');
planted('a global function that only its own file uses', 'src/base/timer.c',
	append("extern int planted_helper(int);\nint planted_helper(int a) { return a; }\n"),
	qr{src/base/timer\.c: planted_helper is used nowhere else}, 'check-layers', 'src/base/timer.o');
# ... and one that another folder uses, under a name that says nothing
{
	my %before = map { $_ => content($_) } 'src/base/timer.c', 'src/shmem/shmem.c';
	my @built = map { s/c$/o/r } sort keys %before;
	my @make = ('make', "PG_CONFIG=$pg_config", 'with_llvm=no', @built);

	content('src/base/timer.c', "$before{'src/base/timer.c'}\nint helper(void);\nint helper(void) { return 1; }\n");
	content('src/shmem/shmem.c', "$before{'src/shmem/shmem.c'}\nint helper(void);\nint defer_planted(void);\nint defer_planted(void) { return helper(); }\n");
	my ($made, $log) = run_in($copy, @make);
	ok($made, 'a name without its subject: it compiles') or diag $log;
	($ok, $out) = run_in($copy, 'python3', "$top/tools/check-layers", '--sources', $copy, '--objects', $copy);
	like($out, qr{src/base/timer\.c: helper is used by other folders: it needs the prefix of its subject},
		'a name without its subject: check-layers refuses it');
	content($_, $before{$_}) for keys %before;
	unlink("$copy/$_") for @built;
	run_in($copy, @make);
}
planted('a long line', 'src/base/timer.c', append('/* ' . 'long ' x 25 . "*/\n"),
	qr{src/base/timer\.c:\d+: \d+ columns}, 'check-style');
planted('a long function', 'src/base/timer.c', append("\nstatic int\nplanted(int a)\n{\n" . "\ta++;\n" x 70 . "\treturn a;\n}\n"),
	qr{src/base/timer\.c:\d+: the function has 73 lines}, 'check-style');
planted('the latch of another process in a signal handler', 'src/process/job_timer.c', append("\nstatic void\nplanted(void)\n{\n\tif (my_database->scheduler.latch != NULL)\n\t\tSetLatch(my_database->scheduler.latch);\n}\n"),
	qr{src/process/job_timer\.c: my_database->scheduler\.latch is read again within a signal handler}, 'check-style');
planted('a long file', 'src/base/timer.c', append("\n" x 500),
	qr{src/base/timer\.c: \d+ lines, more than 500}, 'check-style');

SKIP:
{
	my ($there) = run_in($copy, 'sh', '-c', 'command -v pg_bsd_indent');

	skip 'there is no pg_bsd_indent', 2 if !$there;
	content('src/base/planted.c', "int\nplanted( int a )\n{\n  return a;\n}\n");
	my ($formatted, $diff) = run_in($copy, 'tools/format', '--check', 'src/base/planted.c');
	ok(!$formatted, 'a file that is not formatted: tools/format --check refuses it');
	like($diff, qr{^\+planted\(int a\)$}m, 'a file that is not formatted: it says what it should be');
}

# ------------------------------------------------------------------------
# A build in another folder leaves the source alone, and objects follow the
# headers that they were made from
# ------------------------------------------------------------------------
my $build = PostgreSQL::Test::Utils::tempdir_short();
my ($version) = content('defer.control') =~ /^default_version = '(.*)'/m;
my @make = ('make', '-f', "$copy/Makefile", "PG_CONFIG=$pg_config", 'with_llvm=no');
my @targets = ('src/base/timer.o', 'src/pure/network_rules.o', 'src/cli/core/buffer.o', "sql/defer--$version.sql");
my @files;

($ok, $out) = run_in($build, @make, @targets);
ok(!$ok, 'no build in another folder while there is one in the source');
like($out, qr/"make clean" there first/, 'it says why');
unlink(glob("$copy/src/*.o $copy/src/*/*.o $copy/src/*/*/*.o $copy/sql/defer--$version.sql $copy/sql/src/views_{functions,queues}.sql"));
($ok, $out) = run_in($build, @make, @targets);
ok($ok, 'a build in another folder') or diag $out;
ok(-s "$build/$_", "$_ is there") for @targets;
find({ no_chdir => 1, wanted => sub { push @files, $_ if -f } }, "$copy/sql", "$copy/src");
is_deeply([grep { /\.(?:o|tmp)$|defer--/ } @files], [], 'nothing was made in the source');
is((run_in($build, @make, '-q', $_))[0], 1, "$_ is made once") for @targets;
content('src/base/timer.h', content('src/base/timer.h'));
utime(time + 2, time + 2, "$copy/src/base/timer.h");
isnt((run_in($build, @make, '-q', 'src/base/timer.o'))[0], 1, 'an object is made anew with its header');
is((run_in($build, @make, '-q', 'src/pure/network_rules.o'))[0], 1, '... and no other');

done_testing();
