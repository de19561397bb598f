# Completion in bash and zsh: names from the server are data, and nothing in them is run
# by the shell; the options are those that the help has; the man page has them, too.
use strict;
use warnings;

use DeferTest;
use File::Basename 'dirname';
use File::Spec;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = File::Spec->rel2abs(dirname(__FILE__) . '/../../..');
my $bash = "$top/src/cli/completion/defer.bash";
my $zsh = "$top/src/cli/completion/_defer";
my $scratch = PostgreSQL::Test::Utils::tempdir();
my $node = new_server('main');

# Replies of bash to TAB behind these words, the last of which is being typed
sub replies
{
	my @words = @_;
	my $script = q{
		cd "$1" && source "$2" && shift 2
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_defer 2>&1 && ((${#COMPREPLY[@]} == 0)) || printf '%s\0' "${COMPREPLY[@]}"
	};
	my ($out, $err) = ('', '');

	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port);
	IPC::Run::run([ 'bash', '-c', $script, 'bash', $scratch, $bash, @words ], '<', \undef, '>', \$out, '2>', \$err)
	  or diag("bash: $err");
	return split /\0/, $out;
}

# What a shell makes of a reply when the line is executed
sub word_of
{
	my ($reply) = @_;
	my $out = '';

	IPC::Run::run([ 'bash', '-c', "cd \"\$1\" && printf %s $reply", 'bash', $scratch ], '>', \$out);
	return $out;
}

sub left_behind { return join ' ', glob("$scratch/*"); }

# ------------------------------------------------------------------------
# Names of databases
# ------------------------------------------------------------------------

my @names = ('shop', '$(id>pwned)', '`id>pwned`', '$(id>${IFS}pwned)', "two words", "a'b\"c", 'x;id>pwned', '*', "line\nfeed", '\\$(id>pwned)', '${x[$(id>pwned)]}');

# from PostgreSQL 19 on no name has a line break
@names = grep { !/\n/ } @names if $node->pg_version >= 19;

for my $name (@names)
{
	my $quoted = $name =~ s/"/""/gr;

	$node->safe_psql('postgres', qq{CREATE DATABASE "$quoted" TEMPLATE template0});
}
for my $option ([ '-d' ], [ '--dbname' ], [ '--dbname', '=' ])
{
	my @replies = replies('defer', @$option, '');

	is_deeply([ sort map { word_of($_) } @replies ], [ sort @names, 'postgres', 'template1' ], "@$option: each name as it is");
	is(left_behind(), '', "@$option: nothing was run");
}
is_deeply([ replies('defer', '-d', 'sh') ], ['shop'], 'the beginning of a name');
is_deeply([ replies('defer', '-h', $node->host, '-p', $node->port, '-d', 'sh') ], ['shop'], 'with options in front');
is_deeply([ replies('defer', 'workflow', 'l') ], ['list'], 'the list of workflows');
is_deeply([ replies('defer', '--dbname', '=') ], [ replies('defer', '-d', '') ], 'behind =');
for my $typed ('$', '$(', '\\$\\(', '"$(', q{'$(}, '`', '"`', '*', '\\*')
{
	my @replies = replies('defer', '-d', $typed);
	my @bad = grep { my $word = word_of($_); !grep { $_ eq $word } @names } @replies;

	is("@bad", '', "behind $typed: names only");
	is(left_behind(), '', "behind $typed: nothing was run");
	is(scalar @replies, 0, "behind $typed: nothing that a quoted string would run") if $typed =~ /^"/;
}
is_deeply([ replies('defer', '-h', '$(id>pwned)', '-U', '`id>pwned`', '-d', '') ] && left_behind(), '', 'options in front are data, too');

# ------------------------------------------------------------------------
# Names of schedules, queues, functions, groups
# ------------------------------------------------------------------------

$node->safe_psql('shop', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION work(a int) RETURNS void LANGUAGE sql AS '';
	CREATE FUNCTION tidy() RETURNS void LANGUAGE sql AS '';
	SELECT defer.cron('tidy', '@daily', name => 'nightly');
	SELECT defer.cron_command('vacuum', '@daily', 'VACUUM');
	SELECT defer.cron('tidy', '@daily', name => $$x'$(id>pwned)$$);
	SELECT defer.create_queue('mails'), defer.create_queue('$(id>pwned)');
	SELECT defer.configure('work', queue => 'mails');
	SELECT defer.set_group('acme', queue => 'mails', weight => 2), defer.set_group('`id>pwned`', queue => 'mails', weight => 2)});
my @functions = qw(public.tidy public.work tidy work);
my @queues = ('$(id>pwned)', 'default', 'mails');
my @schedules = ('nightly', 'vacuum', q{x'$(id>pwned)});
my @groups = ('`id>pwned`', 'acme');

for my $case (
	[ \@schedules, 'trigger' ], [ \@schedules, 'schedules' ], [ \@schedules, 'alter-cron', 'nightly' ], [ \@schedules, 'unschedule' ],
	[ \@schedules, 'backfill' ], [ \@schedules, 'pause', '-S' ], [ \@schedules, 'resume', '--schedule' ], [ \@schedules, 'jobs', '--schedule' ],
	[ \@schedules, 'pause', '-S', 'nightly' ], [ [], 'pause', '-S', '--reason' ], [ [], 'alter-cron', '--schedule' ],
	[ \@queues, 'queues' ], [ \@queues, 'alter-queue' ], [ \@queues, 'drop-queue' ], [ \@queues, 'pause', '-Q' ], [ \@queues, 'release', '--queue' ],
	[ \@queues, 'jobs', '--queue' ], [ \@queues, 'enqueue', 'work', '-Q' ], [ \@queues, 'set-group', 'acme', '--queue', '=' ],
	[ \@functions, 'functions' ], [ \@functions, 'configure' ], [ \@functions, 'configure', '--reset' ], [ \@functions, 'enqueue' ],
	[ \@functions, 'cron' ], [ \@functions, 'pause' ], [ \@functions, 'jobs', '-f' ], [ \@functions, 'cancel', '--function' ],
	[ [], 'cron', '-c' ], [ [], 'enqueue', 'work' ], [ [], 'cancel', '-f' ], [ [], 'configure', '--rate' ], [ [], 'create-queue' ],
	[ \@groups, 'groups' ], [ \@groups, 'set-group' ], [ \@groups, 'jobs', '-g' ], [ \@groups, 'reset-group', 'acme' ])
{
	my ($wanted, @words) = @$case;

	is_deeply([ sort map { word_of($_) } replies('defer', '-d', 'shop', @words, '') ], $wanted, "@words: names");
	is(left_behind(), '', "@words: nothing was run");
}
is_deeply([ replies('defer', '--dbname', '=', 'shop', 'trigger', 'n') ], ['nightly'], 'the beginning of a name, in the database of --dbname');
is_deeply([ replies('defer', '-d', 'postgres', 'trigger', '') ], [], 'none in a database without the extension');
# a schema of the same name, by which a role would run code as another one
$node->safe_psql('postgres', 'CREATE DATABASE trap');
$node->safe_psql('trap', q{CREATE SCHEMA defer; CREATE TABLE defer.caught (who name);
	CREATE FUNCTION defer.catch() RETURNS text LANGUAGE sql AS 'INSERT INTO defer.caught VALUES (current_user) RETURNING ''trap''';
	CREATE VIEW defer.schedules AS SELECT defer.catch() AS name;
	CREATE VIEW defer.live_queues AS SELECT defer.catch() AS queue});
is_deeply([ map { replies('defer', '-d', 'trap', $_, '') } qw(trigger queues) ], [], 'none of a schema that is not the extension\'s');
is($node->safe_psql('trap', 'SELECT count(*) FROM defer.caught'), '0', 'which runs nothing');
is_deeply([ replies('defer', '-d', '$(id>pwned)', 'trigger', '') ], [], 'none in a database whose name the shell would read');
is_deeply([ replies('defer', 'cron', '-z', 'Europe/Par') ], [ 'Europe/Paris' ], 'time zones');
is(left_behind(), '', 'nothing was run');

# ------------------------------------------------------------------------
# Options and commands
# ------------------------------------------------------------------------

my $help = `defer --help`;
my ($list) = $help =~ /\nCommands:\n(.*?)\n\n/s;
my @commands = $list =~ /^  ([\w-]+)/mg;
my $zsh_source = slurp_file($zsh);
my ($zsh_cases) = $zsh_source =~ /\ncase \$state in\n(.*)/s;
my %arrays = (global => ' ', $zsh_source =~ /^(which|bulk|settings|schedule_options)=\((.*?)\)\n/msg);
my $man = slurp_file("$top/doc/defer.1") =~ s/\\-/-/gr;

cmp_ok(scalar @commands, '>', 10, 'the help lists commands');
is_deeply([ sort grep { !/^-/ } replies('defer', '') ], [ sort @commands ], 'bash: the commands');
like($zsh_source, qr/'$_:/, "zsh: $_") for @commands;
for my $command (grep { $_ ne 'help' } @commands)
{
	my ($own) = `defer $command --help` =~ /^(.*)\nOptions of all commands/s;
	my %wanted;
	my ($case) = $zsh_cases =~ /\n\t(?:[\w |-]+\| )?\Q$command\E(?: \| [\w-]+)*\)(.*?);;/s;

	$wanted{$_} = 1 for $own =~ /^ +(?:-\w, )?(--[\w-]+)/mg, $own =~ /, (--[\w-]+)=/g;
	1 while ($case // '') =~ /\$(\w+)/ && $arrays{$1} && $case =~ s/\$(\w+)/$arrays{$1}/;
	is_deeply([ grep { !$wanted{$_} } replies('defer', $command, '--') ], [ grep { !$wanted{$_} } replies('defer', 'of_none', '--') ],
		"bash: $command has no option that it does not have");
	my %has = map { $_ => 1 } replies('defer', $command, '--');
	for my $option (sort keys %wanted)
	{
		my $bare = $option =~ s/^--//r;

		ok($has{$option}, "bash: $command $option");
		like($case // '', qr/$option\b|[{,]\Q$bare\E[,}]/, "zsh: $command $option");
		like($man, qr/$option\b/, "man page: $command $option");
	}
}
is_deeply([ replies('defer', 'jobs', '--state', 'failed,r') ], [ 'failed,running', 'failed,retrying' ], 'bash: states');
is_deeply([ replies('defer', 'dashboard', '--login', '=') ], [ 'token', 'password' ], 'bash: kinds of login');
SKIP:
{
	skip 'there is no zsh', 1 if system('command -v zsh >/dev/null') != 0;
	is(system('zsh', '-n', $zsh), 0, 'zsh: the syntax');
}

$node->stop;
done_testing();
