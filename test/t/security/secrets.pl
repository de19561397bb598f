# A secret in an endpoint or in the settings turns up nowhere: not in the server's
# log however much it says, not in views, statistics, errors, process titles or a
# dump that an ordinary role makes.
use strict;
use warnings;

use DeferTest;
use Deliveries;
use IPC::Run ();
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $missing = Peers::missing('smtp');
plan skip_all => "$missing is not there" if $missing;

my $http = Peers->http;
my $mail = Peers->smtp(user => 'CANARYmailuser', password => 'CANARYmailpassword');
my $node = delivery_server('main', 'defer.max_workers = 4');
my $canary = qr/CANARY/;
my $short = "max_attempts => 1, timeout => '300 ms'";

$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA defer TO app});

# The statements that bring the secrets in are not logged: that is up to whoever
# gives them, as with CREATE ROLE ... PASSWORD
my $quiet = q{SET log_min_messages = fatal; SET log_min_error_statement = panic; SET log_statement = none;};
my %endpoints = (
	good => '/record', refuses => '/status/404', busy => '/status/503', breaks => '/garbage', resets => '/reset',
	hangs => '/hang', redirects => '/redirect', echoes => '/echo', short => '/short', huge => '/huge-header');
my $sql = $quiet;

for my $name (sort keys %endpoints)
{
	$sql .= "SELECT defer.endpoint('$name', 'http', " . quoted($http->url("$endpoints{$name}?token=CANARYquery"))
	  . q{, headers => '{"Authorization": "Bearer CANARYheader", "X-Api-Key": "CANARYapikey"}', secret => 'whsec_CANARYsecretCANARYsecret');};
	$sql .= "SELECT defer.endpoint('basic_$name', 'http', " . quoted($http->url($endpoints{$name}))
	  . q{, username => 'CANARYuser', password => 'CANARYpassword');};
}
for my $row ([ tls => 'https_expired' ], [ closed => 'closed' ], [ deaf => 'deaf' ])
{
	$sql .= "SELECT defer.endpoint('$row->[0]', 'slack', " . quoted($http->url('/services/CANARYpath', $row->[1])) . ');';
}
$sql .= "SELECT defer.endpoint('team', 'slack', " . quoted($http->url('/status/404/CANARYpath')) . ');';
for my $port ('smtps', 'starttls', 'plain', 'busy', 'smtps_expired')
{
	$sql .= "SELECT defer.endpoint('mail_$port', 'email', " . quoted($mail->url($port))
	  . q{, username => 'CANARYmailuser', password => 'CANARYmailpassword', sender => 'a@example.org');};
}
$sql .= q{SELECT defer.endpoint('mail_wrong', 'email', } . quoted($mail->url('smtps'))
  . q{, username => 'CANARYmailuser', password => 'CANARYwrong', sender => 'a@example.org');};
$sql .= q{SELECT defer.grant_endpoint(name, 'app') FROM defer.endpoints;
	ALTER SYSTEM SET defer.smtp_from = 'a@example.org'; ALTER SYSTEM SET defer.smtp_url = '}
  . $mail->url('starttls') =~ s{//}{//CANARYmailuser@}r . q{'; ALTER SYSTEM SET defer.smtp_password_file = 'mail_password'};
append_to_file($node->data_dir . '/mail_password', "CANARYmailpassword\n");
$node->safe_psql('postgres', $_) for map { "$quiet $_" } grep { /\S/ } split /;/, $sql =~ s/^\Q$quiet\E//r;

# Everything that the server may say, from here on
$node->safe_psql('postgres', qq{$quiet
	ALTER SYSTEM SET defer.http_ca_file = '@{[ Peers::ca() ]}'});
$node->safe_psql('postgres', "$quiet ALTER SYSTEM SET $_") for 'log_min_messages = debug5', 'log_statement = \'all\'',
  'log_min_duration_statement = 0', 'log_error_verbosity = verbose', 'defer.log_level = debug', 'log_parameter_max_length = -1',
  'debug_print_plan = on', 'debug_print_parse = on', 'log_executor_stats = on';
my $from = -s $node->logfile;
$node->restart;

$node->safe_psql('postgres', q{GRANT EXECUTE ON FUNCTION defer.http, defer.email, defer.slack TO app});
my $sends = '';
for my $name (sort keys %endpoints)
{
	$sends .= "SELECT defer.http('POST', NULL, 'x'::text, endpoint => '$_', $short);" for $name, "basic_$name";
}
$sends .= "SELECT defer.slack('$_', 'x', $short);" for 'tls', 'closed', 'deaf', 'team';
$sends .= "SELECT defer.email('b\@example.org', 's', 'x', endpoint => 'mail_$_', max_attempts => 1, timeout => '2 s');"
  for 'smtps', 'starttls', 'plain', 'busy', 'smtps_expired', 'wrong';
$sends .= "SELECT defer.email('$_\@example.org', 's', 'x', max_attempts => 1, timeout => '2 s');" for 'b', 'perm550', 'temp451';
$node->safe_psql('postgres', "SET ROLE app; $sends");

# What can be seen meanwhile and afterwards, by the administrator and by the role
my $seen = '';
sub look
{
	for my $role ('postgres', 'app')
	{
		for my $view (qw(defer.jobs defer.attempts defer.logs defer.endpoints defer.functions defer.queues defer.workers defer.health
			defer.schedules defer.job_history defer.attempt defer.log defer.job defer.endpoint pg_stat_activity pg_settings pg_stats
			pg_prepared_statements))
		{
			next if $role eq 'postgres' && $view =~ /^(defer\.endpoint|pg_settings|pg_stats)$/;
			my ($out, $err);

			$node->psql('postgres', "SELECT * FROM $view", extra_params => [ '-U', $role ], stdout => \$out, stderr => \$err);
			my @found = "$out$err" =~ /^.*CANARY.*$/mg;
			$seen .= "$role: $view: $_\n" for @found;
		}
	}
	return;
}
look();
for my $pid (split /\n/, $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'defer%'}))
{
	my ($title, $handle) = ('');

	if (open($handle, '<', "/proc/$pid/cmdline"))
	{
		$title = do { local $/; readline($handle) };
		close($handle);
	}
	unlike($title // '', $canary, "title of process $pid");
}
settled($node, 'all of them end');
look();
is($seen, '', 'nothing is seen in views');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE state = 'succeeded' AND function = 'defer.http'}), '>=', 4,
	'some have succeeded');
cmp_ok(scalar($mail->mails), '>=', 3, 'mails too');
ok((grep { ($_->{headers}{authorization} // '') eq 'Bearer CANARYheader' } $http->requests('/record')), 'the secrets have been used');

# A role that may send cannot read it in another way
for my $try (
	q{SHOW defer.smtp_url}, q{SELECT pg_catalog.current_setting('defer.smtp_url')}, 'SELECT * FROM defer.endpoint',
	q{COPY defer.endpoint TO STDOUT}, q{SELECT defer.endpoint('good', 'http')}, q{SELECT defer.http('GET', NULL, endpoint => 'nobody')})
{
	my ($out, $err);

	$node->psql('postgres', $try, extra_params => [ '-U', 'app' ], stdout => \$out, stderr => \$err);
	unlike("$out$err", $canary, "not by: $try");
}
my ($dump, $errors);
IPC::Run::run([ 'pg_dump', '-U', 'app', '-d', $node->connstr('postgres') ], '>', \$dump, '2>', \$errors);
unlike("$dump$errors", $canary, 'not in a dump by an ordinary role');
IPC::Run::run([ 'pg_dump', '-U', 'app', '--data-only', '--schema=defer', '-d', $node->connstr('postgres') ], '>', \$dump, '2>', \$errors);
unlike("$dump$errors", $canary, 'nor of the schema alone');
$node->stop;
my @logged = substr(slurp_file($node->logfile), $from) =~ /^.*CANARY.*$/mg;

is(join("\n", map { substr($_, 0, 300) } @logged[ 0 .. ($#logged > 4 ? 4 : $#logged) ]), '', 'not in the log of the server');
cmp_ok(-s $node->logfile, '>', $from + 100_000, 'which has said a lot');
done_testing();
