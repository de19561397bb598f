# Columns of our tables are found by their numbers.  One that is not where this version
# of the library expects it is an error, and never a value in a wrong column; when it is
# back all goes on.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 1
defer.worker_idle_timeout = 0});
my $expected = 'does not have the columns that this version of defer expects';

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM defer.log(''before''); RAISE EXCEPTION ''no''; END';
	SELECT defer.create_queue('narrow', concurrency => 1), defer.configure('work', queue => 'narrow');
	SELECT defer.endpoint('team', 'slack', 'https://hooks.example.com/a');
	SELECT defer.alert('ops', endpoint => 'team', on_states => '{cancelled}')});

# Move a column away, as an upgrade script does that drops it
sub moved
{
	my ($table, $column, $check) = @_;

	$node->safe_psql('postgres', "ALTER TABLE defer.$table RENAME COLUMN $column TO moved");
	$check->("$table.$column");
	$node->safe_psql('postgres', "ALTER TABLE defer.$table RENAME COLUMN moved TO $column");
	return;
}

# In a session: the end of a job that has a row in all these tables
my $in_session = q{SELECT defer.cancel(defer.enqueue('work', delay => '1 day'))};

is($node->safe_psql('postgres', $in_session), 't', 'as they are');
for my $case ([ 'job', 'claim' ], [ 'function', 'priority' ], [ 'queue', 'granted' ], [ 'job_history', 'attempt' ],
	[ 'job_rollup_new', 'jobs' ], [ 'alert', 'states' ], [ 'alert_failing', 'subject' ], [ 'alert_event', 'alert_id' ])
{
	moved(@$case, sub {
		my ($what) = @_;
		my ($out, $err);

		isnt($node->psql('postgres', $in_session, stdout => \$out, stderr => \$err), 0, "$what: refused");
		like($err, qr/ERROR:  table "defer\.\w+" $expected\nHINT:  Run ALTER EXTENSION defer UPDATE/, "$what: says so");
	});
}
is($node->safe_psql('postgres', $in_session), 't', 'as they were');

# In processes of ours: until it is back the job waits, or is at work
for my $case ([ 'claim', 'jobs' ], [ 'attempt', 'message' ], [ 'log', 'message' ])
{
	moved(@$case, sub {
		my ($what) = @_;
		my $from = -s $node->logfile;

		$node->safe_psql('postgres', q{SELECT defer.enqueue('fails', max_attempts => 1)});
		ok($node->wait_for_log(qr/table "defer\.\w+" $expected/, $from), "$what: is not written");
	});
	settled($node, "$case->[0]: then the job ends");
}
my $far = $node->safe_psql('postgres', q{SELECT defer.enqueue('work', delay => '1 day')});
for my $case ([ 'installation', 'database' ], [ 'origin', 'id' ])
{
	moved(@$case, sub {
		my ($what) = @_;
		my ($out, $err);

		isnt($node->psql('postgres', qq{SELECT defer.await($far, '1 s')}, stdout => \$out, stderr => \$err), 0, "$what: refused");
		like($err, qr/ERROR:  table "defer\.$case->[0]" $expected/, "$what: says so");
	});
}
$node->safe_psql('postgres', qq{SELECT defer.cancel($far), defer.enqueue('work')});
settled($node, 'in the end all jobs run');
is($node->safe_psql('postgres', q{SELECT state, count(*) FROM defer.jobs GROUP BY 1 ORDER BY 1}),
	"cancelled|3\nfailed|3\nsucceeded|1", 'and no other was made');
$node->stop;
done_testing();
