# What a client is told that sends a type which no function takes; and the core of
# tools/check-clients: psycopg 2 and 3, where they are installed.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $python = '/usr/bin/python3';
my @modules = grep { -x $python && system("$python -c 'import $_' 2>/dev/null") == 0 } qw(psycopg2 psycopg);

my $node = new_server('main', 'defer.max_workers = 2');

$node->safe_psql('postgres', slurp_file('test/clients/setup.sql'));

# A number where an interval is wanted, in each such parameter, by its name
my @calls = split /\n/, $node->safe_psql('postgres', q{
	SELECT format('%s defer.%I(%s%I => %s);', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, p.proname,
			(SELECT string_agg('NULL, ', '') FROM generate_series(1, least(n, p.pronargs - p.pronargdefaults))), p.proargnames[n + 1], v)
	  FROM pg_proc p CROSS JOIN LATERAL generate_series(0, p.pronargs - 1) n CROSS JOIN (VALUES ('5'), ('1.5'), ('5::bigint')) v (v)
	 WHERE p.pronamespace = 'defer'::regnamespace AND p.proargtypes[n] = 'interval'::regtype ORDER BY 1});
my $err;

$node->psql('postgres', join("\n", @calls), stderr => \$err, on_error_stop => 0);
my @answers = split /^(?=psql:.*ERROR:)/m, $err;

cmp_ok(scalar(@calls), '>', 100, 'there are ' . @calls . ' calls');
is(scalar(@answers), scalar(@calls), 'each is an error');
is(join("\n", grep { !/\b(\w+) => .*HINT:  "\1" is an interval: give a text such as '90 seconds'/s } @answers), '', 'and the hint says what is wanted');

# By position, where there are few parameters; json, where no function takes it
for my $call ("defer.await(1, 5)", 'defer.snooze(5)', 'defer.release(1, NULL, 5)', 'defer.heartbeat(1, NULL, NULL, 5)')
{
	$node->psql('postgres', "SELECT $call", stderr => \$err);
	like($err, qr/HINT:  "\w+" is an interval/, $call);
}
$node->psql('postgres', q{SELECT defer.complete(1, gen_random_uuid(), '{}'::json)}, stderr => \$err);
like($err, qr/HINT:  Cast it from json to jsonb\./, 'json where no function takes it');
$node->psql('postgres', q{SELECT defer.enqueue(1, 2, 3)}, stderr => \$err);
like($err, qr/HINT:  (No function matches|You might need to add)/, "the server's hint stays where there is no better one");

for my $module (@modules)
{
	my ($out, $err);

	IPC::Run::run([ $python, 'test/clients/python.py', $module, sprintf('postgresql://app@/postgres?host=%s&port=%s', $node->host, $node->port) ], '>', \$out, '2>', \$err);
	is(join("\n", grep { /^(?:not ok|#  )/ } split /\n/, $out), '', "$module: what doc/drivers.md says");
	like($out, qr/^1\.\.\d\d/m, "$module: to the end") or diag $err;
}
$node->stop;
done_testing();
