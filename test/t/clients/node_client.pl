# The tests of clients/node, by its own runner; the slow ones with DEFER_CHECK_CLIENTS, which
# tools/check-clients sets.
use strict;
use warnings;

use DeferTest;
use NodeClient;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => $_ for grep { $_ } NodeClient::missing();

my $node = new_server('main', "defer.max_workers = 2\nmax_connections = 60");
my @files = qw(unit worker);

push @files, 'slow', -d 'clients/node/node_modules/typescript' ? 'typescript' : () if $ENV{DEFER_CHECK_CLIENTS};
$node->safe_psql('postgres', 'CREATE EXTENSION defer');
local $ENV{DATABASE_URL} = NodeClient::url($node);
for my $file (@files)
{
	my ($out, $err);

	IPC::Run::run([ 'node', '--test', '--test-reporter=tap', "clients/node/test/$file.test.js" ], '>', \$out, '2>', \$err);
	is(join("\n", $out =~ /^ *(not ok .*)$/mg), '', "$file: no test fails") or diag $out;
	like($out, qr/^# pass [1-9]/m, "$file: there are tests") or diag "$out$err";
	is(join("\n", $out =~ /^(# skipped [1-9].*)$/mg), '', "$file: none is skipped");
}
$node->stop;
done_testing();
