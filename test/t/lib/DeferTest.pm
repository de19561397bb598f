# What the TAP tests share.
package DeferTest;
use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use File::Basename qw(dirname);
use File::Spec;

our @EXPORT = qw(new_server initdb_options until_ok settled check_history test_library);

# psql that cannot connect may be gone before all of its statements are written to
# it, and then the framework dies of that instead of saying that psql has failed.
for my $name (qw(psql poll_query_until))
{
	my $original = PostgreSQL::Test::Cluster->can($name);

	no strict 'refs';
	no warnings 'redefine';
	*{"PostgreSQL::Test::Cluster::$name"} = sub {
		my ($node, $database, $sql, @rest) = @_;
		my %params = @rest % 2 ? () : @rest;
		my $list = wantarray;

		for (;;)
		{
			my @result = eval { $list ? $original->(@_) : scalar $original->(@_) };

			return $list ? @result : $result[0] if $@ eq '';
			die $@ if $@ !~ /^ack Broken pipe/ || $params{on_error_die};
			return $list ? (2, '', $@) : 2 if $name eq 'psql';
		}
	};
}

# The locale is C here, which would make databases SQL_ASCII: no text can be escaped in JSON there
sub initdb_options { return ('--encoding=UTF8', '--locale=C'); }

# A started server with defer; more settings as text
sub new_server
{
	my ($name, $settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $preload = $ENV{CHECK_PRELOAD} // 'defer';

	$node->init(allows_streaming => 1, extra => [ initdb_options() ]);
	$node->append_conf('postgresql.conf', qq{
shared_preload_libraries = '$preload'
max_worker_processes = 24
fsync = off
restart_after_crash = on
$settings
});
	$node->start;
	return $node;
}

# A library that only tests load (test/modules), without suffix; defer_test has
# functions that they need
sub test_library
{
	my ($name) = @_;

	return File::Spec->rel2abs(dirname(__FILE__) . '/../../modules/' . ($name // 'defer_test'));
}

# Wait until the query's answer is "t".  If it does not come, tell what the jobs wait for
sub until_ok
{
	my ($node, $query, $what, $database) = @_;

	$database //= 'postgres';
	return 1 if ok($node->poll_query_until($database, $query), $what);
	for my $look ('SELECT id, state, function, attempt, waiting_for, left(error, 200) FROM defer.jobs
		WHERE state <> \'succeeded\' ORDER BY id DESC LIMIT 20',
		'SELECT w.pid, w.kind, w.role, w.job_id, a.wait_event, pg_blocking_pids(w.pid)
		 FROM defer.workers w LEFT JOIN pg_stat_activity a USING (pid)', 'SELECT * FROM defer.health')
	{
		my ($status, $out, $err) = $node->psql($database, $look);

		diag("$look:\n$out$err");
	}
	return 0;
}

# Wait until no job is left that is not finished
sub settled
{
	my ($node, $what, $database) = @_;

	until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.jobs
		WHERE state NOT IN ('succeeded', 'failed', 'cancelled', 'discarded'))}, $what, $database);
	return;
}

# Each effect once for each success and never otherwise.  The table "effect"
# has the id of the job that wrote each row.
sub check_history
{
	my ($node, $what, $database) = @_;
	my $wrong = $node->safe_psql($database // 'postgres', q{
		SELECT h.id, h.state, count(e.job) FROM defer.jobs h LEFT JOIN effect e ON e.job = h.id
		 GROUP BY h.id, h.state
		HAVING count(e.job) <> (h.state = 'succeeded')::int LIMIT 10});

	is($wrong, '', "$what: each effect exactly once");
	is($node->safe_psql($database // 'postgres',
		'SELECT count(*) FROM effect e WHERE NOT EXISTS (SELECT FROM defer.jobs j WHERE j.id = e.job)'),
		'0', "$what: no effect of nothing");
	return;
}

1;
