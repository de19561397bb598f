# The core of tools/check-clients: psycopg 2 and 3, where they are installed.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $python = '/usr/bin/python3';
my @modules = grep { -x $python && system("$python -c 'import $_' 2>/dev/null") == 0 } qw(psycopg2 psycopg);

plan skip_all => "$python has neither psycopg2 nor psycopg" if !@modules;

my $node = new_server('main', 'defer.max_workers = 2');

$node->safe_psql('postgres', slurp_file('test/clients/setup.sql'));
for my $module (@modules)
{
	my ($out, $err);

	IPC::Run::run([ $python, 'test/clients/python.py', $module, sprintf('postgresql://app@/postgres?host=%s&port=%s', $node->host, $node->port) ], '>', \$out, '2>', \$err);
	is(join("\n", grep { /^(?:not ok|#  )/ } split /\n/, $out), '', "$module: what doc/drivers.md says");
	like($out, qr/^1\.\.\d\d/m, "$module: to the end") or diag $err;
}
$node->stop;
done_testing();
