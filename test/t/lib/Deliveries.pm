# What the tests of deliveries share: servers that may reach 127.0.0.1, and
# tables of calls with what must become of them.
package Deliveries;
use strict;
use warnings;

use DeferTest;
use Exporter 'import';
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(delivery_server quoted send_all check_all job_of refused);

# Retries within the test's time
our $quick = q{initial_interval => '20 ms', max_interval => '100 ms'};

# A server with the extension, whose sender may reach this machine and trusts
# the test CA
sub delivery_server
{
	my ($name, $settings) = @_;
	my $node = new_server($name, qq{
log_min_messages = warning
defer.http_allow = '127.0.0.0/8, ::1/128'
$settings
});

	$node->safe_psql('postgres', 'CREATE EXTENSION defer');
	return $node;
}

# SQL as psql takes it, if there is Perl text in it
sub bytes
{
	my ($sql) = @_;

	utf8::encode($sql) if utf8::is_utf8($sql);
	return $sql;
}

sub quoted
{
	my ($text) = @_;

	return 'NULL' unless defined $text;
	$text =~ s/'/''/g;
	return "'$text'";
}

# All that is to be known of a job
sub job_of
{
	my ($node, $id) = @_;

	return decode_json($node->safe_psql('postgres', qq{
		SELECT row_to_json(j)::jsonb - 'args' - 'function' || jsonb_build_object('attempts',
				(SELECT jsonb_agg(a ORDER BY a.attempt, a.started_at) FROM defer.attempts a WHERE a.job_id = j.id))
		  FROM defer.jobs j WHERE j.id = $id}));
}

# Make the jobs of all cases, in one transaction.  A case is a hash:
#	call		SQL expression that gives the job's id
#	name		of the assertions; default: the call
#	state		that it must end in, or a regular expression; and:
#	attempt		number of attempts; not checked if it is not given
#	error		regular expression
#	sqlstate
#	status		of the result
#	body		string or regular expression, of the result
#	check		function called with the job, for more assertions
sub send_all
{
	my ($node, @cases) = @_;
	my @ids = split /\n/, $node->safe_psql('postgres',
		bytes(join("\n", 'BEGIN;', (map { "SELECT $_->{call};" } @cases), 'COMMIT;')));

	is(scalar(@ids), scalar(@cases), 'all are enqueued');
	$cases[$_]{id} = $ids[$_] for 0 .. $#cases;
	return;
}

# Wait for their end and compare
sub check_all
{
	my ($node, @cases) = @_;
	my $ids = join(', ', map { $_->{id} } @cases);

	until_ok($node, qq{SELECT count(*) = 0 FROM defer.jobs
		WHERE id IN ($ids) AND finished_at IS NULL}, 'all of them end')
	  or diag($node->safe_psql('postgres', qq{SELECT id, state, attempt, run_at, error, left(args::text, 100) FROM defer.jobs
		WHERE id IN ($ids) AND finished_at IS NULL}));
	for my $case (@cases)
	{
		my $name = $case->{name} // $case->{call};
		my $job = job_of($node, $case->{id});
		my $result = $job->{result} // {};
		my $good = ref $case->{state}
		  ? like($job->{state}, $case->{state}, "$name: ends")
		  : is($job->{state}, $case->{state}, "$name: $case->{state}");

		$good &= is($job->{attempt}, $case->{attempt}, "$name: $case->{attempt} attempts")
		  if defined $case->{attempt};
		$good &= like($job->{error}, $case->{error}, "$name: error")
		  if defined $case->{error};
		$good &= is($job->{sqlstate}, $case->{sqlstate}, "$name: SQLSTATE")
		  if defined $case->{sqlstate};
		$good &= is($result->{status}, $case->{status}, "$name: status")
		  if defined $case->{status};
		if (defined $case->{body})
		{
			$good &= ref $case->{body}
			  ? like($result->{body}, $case->{body}, "$name: body")
			  : is($result->{body}, $case->{body}, "$name: body");
		}
		diag(encode_json($job)) unless $good;
		$case->{check}->($job) if $case->{check};
	}
	return;
}

# A call must be an error
sub refused
{
	my ($node, $call, $error, $what, @psql) = @_;
	my ($out, $err);

	$node->psql('postgres', bytes("SELECT $call"), stdout => \$out, stderr => \$err, @psql);
	like($err, $error, $what // "refused: $call");
	return;
}

1;
