# The tests of clients/python, by pytest.  With DEFER_CHECK_CLIENTS only, which tools/check-clients sets.
use strict;
use warnings;

use DeferTest;
use NodeClient;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'only with DEFER_CHECK_CLIENTS, which make check-clients sets' if !$ENV{DEFER_CHECK_CLIENTS};
for my $module (qw(psycopg pytest))
{
	plan skip_all => "python3 has no $module" if system("/usr/bin/python3 -c 'import $module' 2>/dev/null") != 0;
}

my $node = new_server('main', "defer.max_workers = 2\nmax_connections = 60");

$node->safe_psql('postgres', 'CREATE EXTENSION defer');
local $ENV{DATABASE_URL} = NodeClient::url($node);
local $ENV{PYTHONPATH} = 'clients/python';
my ($out, $err);
IPC::Run::run([ qw(/usr/bin/python3 -m pytest -q -p no:cacheprovider -rs clients/python/tests) ], '>', \$out, '2>', \$err);
like($out, qr/^\d+ passed in /m, 'all tests pass, and none is skipped') or diag "$out$err";
$node->stop;
done_testing();
