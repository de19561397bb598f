# Control characters in names, messages and answers of peers make no second record in
# the server's log, in none of its three formats, and no line of their own in alerts.
#
# PostgreSQL begins each line of a message but the first with a tab, so in stderr's
# format a record is forged by a line that begins like the prefix of a record.  The
# prefix here is one that can be told from everything else.  In CSV and JSON quoting
# keeps a record together: they are parsed.
use strict;
use warnings;

use DeferTest;
use IO::Socket::INET;
use JSON::PP;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Ends whatever it stands in, and then looks like a record of each format
my $prefix = '@666@forged@';
my $forged = qq{x'"\\\n$prefix LOG:  FORGED\r\n$prefix ERROR:  FORGED\n"\n"}
  . qq{2030-01-01 00:00:00.000 UTC,"forged","forged",666,,1.1,1,"x",2030-01-01 00:00:00 UTC,1/1,0,LOG,00000,"FORGED",,,,,,,,,"","x",,0}
  . qq~\n"\n"}\n{"timestamp":"2030-01-01 00:00:00.000 UTC","pid":666,"error_severity":"LOG","message":"FORGED"}\n~
  . qq{\x1b[31m\x08\x0b\x0c\x7f\x01};
my $e = "E'" . join('', map { sprintf '\\x%02x', ord } split //, $forged) . "'";

# A server that says it to whoever connects: HTTP answers and SMTP refusals
sub evil_peer
{
	my ($answers) = @_;
	my $socket = IO::Socket::INET->new(Listen => 10, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!";
	my $pid = fork() // die "fork: $!";

	return ($socket->sockport, $pid) if $pid;
	$SIG{PIPE} = 'IGNORE';
	while (my $client = $socket->accept)
	{
		$answers->($client);
		close($client);
	}
	POSIX::_exit(0);
}
my ($http_port, $http_pid) = evil_peer(
	sub {
		my ($client) = @_;
		my $path = '';

		while (defined(my $line = readline($client)))
		{
			$path = $1 if $line =~ m{^\S+ (\S+)};
			last if $line =~ /^\r?\n$/;
		}
		my $status = $path =~ /good/ ? '200 OK' : $path =~ /broken/ ? "\x1b[31m$prefix LOG:  FORGED" : "400 No\x0b\x1b[31m $prefix LOG:  FORGED\n$prefix LOG:  FORGED";
		my $header = $path =~ /redirect/ ? "Location: http://x\x01\n$prefix LOG:  FORGED\r\n" : "X-Evil: $prefix LOG:  FORGED\r\n";

		print $client ($path =~ /redirect/ ? 'HTTP/1.1 302 x' : "HTTP/1.1 $status") . "\r\n${header}Content-Length: " . length($forged) . "\r\n\r\n$forged";
	});
my ($smtp_port, $smtp_pid) = evil_peer(
	sub {
		my ($client) = @_;

		print $client "554-no\x1b[31m\r\n554-$prefix LOG:  FORGED\n554 $prefix LOG:  FORGED\x01\r\n";
		1 while defined readline($client);
	});
END
{
	my $status = $?;

	kill 'KILL', grep { $_ } $http_pid, $smtp_pid;
	$? = $status;
}

# The server says all that it can
my $mail = Peers::missing('smtp') ? undef : Peers->smtp;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
my $formats = $node->pg_version >= 15 ? 'stderr,csvlog,jsonlog' : 'stderr,csvlog';
$node->append_conf('postgresql.conf', qq{
shared_preload_libraries = 'defer'
max_worker_processes = 24
fsync = off
restart_after_crash = on
defer.http_allow = '127.0.0.0/8'
defer.smtp_url = '@{[ defined $mail ? $mail->url('plain') : "smtp://127.0.0.1:$smtp_port" ]}'
defer.smtp_from = 'defer\@example.com'
defer.log_level = debug
logging_collector = on
log_directory = 'log'
log_filename = 'all.log'
log_rotation_age = 0
log_rotation_size = 0
log_destination = '$formats'
log_line_prefix = '\@%p\@%b\@ '
log_error_verbosity = verbose
log_min_messages = debug1
log_statement = all
log_min_duration_statement = 0
});
$node->start;
my $logs = $node->data_dir . '/log';

# ------------------------------------------------------------------------
# Everything with a name or a text
# ------------------------------------------------------------------------
my $role = substr($forged, 0, 50);
my $er = "E'" . join('', map { sprintf '\\x%02x', ord } split //, $role) . "'";

$node->safe_psql('postgres', qq{
	CREATE EXTENSION defer;
	CREATE SCHEMA lab;
	DO \$do\$
	BEGIN
		EXECUTE format('CREATE ROLE %I LOGIN', $er);
		EXECUTE format('GRANT USAGE ON SCHEMA defer TO %I', $er);
		EXECUTE format('CREATE SCHEMA %I', $er || 's');
		EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I, lab TO %I', $er || 's', $er);
		EXECUTE format('CREATE TYPE lab.%I AS (a int)', $er || 't');
		EXECUTE format('CREATE FUNCTION %I.%I(a text, %I lab.%I DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS %L', $er || 's', $er || 'f', $er || 'p', $er || 't', format(
			'BEGIN
				RAISE NOTICE %1\$L; RAISE INFO %1\$L; RAISE WARNING %1\$L USING DETAIL = %1\$L, HINT = %1\$L; RAISE LOG %1\$L;
				PERFORM defer.log(%1\$L);
				PERFORM set_config(''application_name'', %1\$L, false);
				IF a = ''give up'' THEN PERFORM defer.give_up(%1\$L); END IF;
				IF a = ''wait'' THEN PERFORM pg_sleep(600); END IF;
				RAISE EXCEPTION %1\$L USING DETAIL = %1\$L, HINT = %1\$L, ERRCODE = ''XXX99'', CONSTRAINT = %1\$L, SCHEMA = %1\$L;
			END', replace($e, '%', '%%')));
		EXECUTE format('CREATE FUNCTION lab.%I() RETURNS text LANGUAGE sql AS %L', $er || 'tick', 'SELECT 1');
	END \$do\$;
});
# All names of functions, as they are stored
my ($function) = map { quoted($_) } $node->safe_psql('postgres', qq{SELECT format('%I.%I', $er || 's', $er || 'f')});
sub quoted { return "E'" . join('', map { sprintf '\\x%02x', ord } split //, $_[0]) . "'"; }

# What is refused, the server writes down, too
for my $call (
	"defer.enqueue($e)", "defer.enqueue($e || '(int)')", "defer.enqueue($function, jsonb_build_object($e, 1))", "defer.enqueue($function, '[1, \"x\"]')",
	"defer.enqueue($function, '[\"a\"]', queue => $e)", "defer.command($e)", "defer.cron($e, '* * * * *')", "defer.cron('lab.' || quote_ident($er || 'tick'), $e)",
	"defer.cron('lab.' || quote_ident($er || 'tick'), '* * * * *', timezone => $e)", "defer.cron('lab.' || quote_ident($er || 'tick'), '* * * * *', name => $e)",
	"defer.cron('lab.' || quote_ident($er || 'tick'), '* * * * *', overlap => $e)", "defer.create_queue($e)", "defer.grant_queue('default', $e)", "defer.trigger($e)",
	"defer.alter_cron($e)", "defer.endpoint($e, 'http', 'http://x/')", "defer.endpoint('x', $e)", "defer.endpoint('x', 'http', $e)",
	"defer.endpoint('x', 'http', 'http://x/', headers => jsonb_build_object($e, $e))", "defer.alert($e, $e)", "defer.alert('x', $e)", "defer.alert('x', recipients => ARRAY[$e])",
	"defer.alert('x', on_states => ARRAY[$e])", "defer.http($e, 'http://127.0.0.1/')", "defer.http('GET', $e)", "defer.http('GET', '', endpoint => $e)",
	"defer.http('GET', 'http://127.0.0.1/', headers => jsonb_build_object($e, $e))", "defer.email($e, 's', 'b')", "defer.email('a\@example.com', $e, 'b')",
	"defer.slack($e, $e)", "defer.cron_describe($e)", "defer.cron_next('* * * * *', $e)", "defer.find_jobs(ARRAY[$e])", "defer.configure($function, at_limit => $e)",
	"defer.pause($e)", "defer.drop_queue($e || 'x')")
{
	my ($out, $err);

	$node->psql('postgres', "SELECT $call", stdout => \$out, stderr => \$err);
	like($err, qr/ERROR:/, 'refused: ' . substr($call =~ s/E'[^']*'/.../gr, 0, 70)) unless $call =~ /drop_queue/;
}

# A NUL is not even text
for my $call (q{defer.enqueue('pg_catalog.upper', '["a\u0000b"]')}, q{defer.enqueue('pg_catalog.upper', '["a"]', metadata => '{"\u0000": 1}')}, q{defer.log(U&'\0000')})
{
	my ($out, $err);

	isnt($node->psql('postgres', "SELECT $call", stdout => \$out, stderr => \$err), 0, "no NUL: $call");
}

# Jobs, as a role of such a name, too
for my $as (undef, $role)
{
	my @as = defined $as ? (extra_params => [ '-U', $as ]) : ();

	$node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		SELECT defer.enqueue($function, '["x"]', key => $e, metadata => jsonb_build_object($e, $e), max_attempts => 2, initial_interval => '1 ms');
		SELECT defer.enqueue($function, '["give up"]');
		SELECT defer.command('SELECT ' || quote_literal($e) || '::int', max_attempts => 1);
		SELECT defer.command('DO ' || quote_literal('BEGIN RAISE EXCEPTION ' || quote_literal(replace($e, '%', '%%')) || '; END'), max_attempts => 1);
		SELECT defer.cron('lab.' || quote_ident($er || 'tick'), '* * * * * *', name => 'tick');
	}, @as);
}
# and what peers answer
my $url = "http://127.0.0.1:$http_port";
$node->safe_psql('postgres', qq{
	SELECT defer.endpoint('evil', 'slack', '$url/refuse');
	SELECT defer.endpoint('post', 'email', 'smtp://127.0.0.1:$smtp_port');
	SELECT defer.http('GET', '$url/good', max_attempts => 1, timeout => '5 s');
	SELECT defer.http('GET', '$url/refuse', max_attempts => 1, timeout => '5 s');
	SELECT defer.http('GET', '$url/broken', max_attempts => 1, timeout => '5 s');
	SELECT defer.http('GET', '$url/redirect', follow_redirects => 2, max_attempts => 1, timeout => '5 s');
	SELECT defer.http('POST', '$url/refuse', $e, max_attempts => 1, timeout => '5 s');
	SELECT defer.slack('evil', $e, max_attempts => 1, timeout => '5 s');
	SELECT defer.email('a\@example.com', 's', $e, endpoint => 'post', max_attempts => 1, timeout => '5 s');
});
until_ok($node, q{SELECT count(*) = 0 FROM defer.jobs WHERE finished_at IS NULL AND schedule IS NULL}, 'all of them end')
  or diag($node->safe_psql('postgres', 'SELECT id, state, function, error FROM defer.jobs WHERE finished_at IS NULL'));
until_ok($node, q{SELECT count(*) > 0 FROM defer.jobs WHERE state = 'succeeded' AND schedule IS NOT NULL}, 'schedules fire');

# A schedule whose function goes, and one that cannot be read any more
$node->safe_psql('postgres', qq{
	UPDATE defer.schedule SET timezone = $e WHERE owner = 10;
	DO \$do\$ BEGIN EXECUTE format('DROP FUNCTION lab.%I()', $er || 'tick'); END \$do\$});
until_ok($node, q{SELECT count(*) > 0 FROM defer.jobs WHERE state = 'failed' AND schedule IS NOT NULL AND sqlstate = '42883'}, 'a function is gone');
until_ok($node, q{SELECT count(*) > 0 FROM defer.schedules WHERE last_error IS NOT NULL}, 'a time zone is not one');

# A worker that dies with such a job: the postmaster tells what it was running
my $id = $node->safe_psql('postgres', qq{SELECT defer.enqueue($function, '["wait"]', max_attempts => 1)});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $id", 'a job waits');
my $victim = $node->safe_psql('postgres', "SELECT pid FROM defer.jobs WHERE id = $id");
kill 'KILL', $victim;
$node->poll_query_until('postgres', 'SELECT true');
until_ok($node, "SELECT state = 'failed' FROM defer.jobs WHERE id = $id", 'its crash is known');

# Sizes of the log: that is all of it
$node->stop('fast');
my $text = slurp_file("$logs/all.log");

# ------------------------------------------------------------------------
# Records
# ------------------------------------------------------------------------
my @levels = qw(DEBUG LOG INFO NOTICE WARNING ERROR FATAL PANIC DETAIL HINT QUERY CONTEXT LOCATION STATEMENT BACKTRACE);
my $begin = qr/^\@\d+\@[a-z][a-z ]*\@ (?:@{[ join '|', @levels ]}):  /;
my @lines = split /\n/, $text;

cmp_ok(() = $text =~ /FORGED/g, '>', 200, 'the log has much of it');
is(join("\n", map { substr($_, 0, 200) } grep { !/$begin/ && !/^\t/ } @lines), '', 'stderr: each line begins a record or goes on with one');
is(join("\n", grep { /^\@666\@/ } @lines), '', 'stderr: none is forged');
my @own = grep { /^\@\d+\@defer [a-z]+\@ LOG:  (?:[0-9A-Z]{5}: )?job \d+ / } @lines;
cmp_ok(scalar(@own), '>=', 10, 'stderr: what defer itself reports of failed jobs is there');
like($text, qr/^\@\d+\@postmaster\@ DETAIL:  Failed process was running: defer job \d+: /m, 'stderr: so is what the one that was killed was running');

# CSV: as any reader takes it
my $csv = slurp_file("$logs/all.csv");
my ($records, $odd) = (0, '');
my $fields = $node->pg_version >= 14 ? 26 : 24;
pos($csv) = 0;
while (pos($csv) < length($csv))
{
	my @record;

	while (1)
	{
		$csv =~ /\G(?:"((?:[^"]|"")*)"|([^",\n]*))([,\n])/gc or last;
		push @record, $1 // $2;
		last if $3 eq "\n";
	}
	$records++;
	if (@record != $fields || ($record[3] // '') !~ /^\d+$/ || $record[3] == 666 || ($record[11] // '') !~ /^(@{[ join '|', @levels ]})/)
	{
		$odd = "record $records at " . pos($csv) . ': ' . join('|', map { substr($_ // '', 0, 60) } @record);
		last;
	}
}
is($odd, '', 'CSV: each record is whole, and none is forged');
cmp_ok($records, '>', 200, "CSV: $records of them");

SKIP:
{
	skip 'this server has no jsonlog', 2 if $formats !~ /json/;
	my @wrong;
	my $n = 0;

	for my $line (split /\n/, slurp_file("$logs/all.json"))
	{
		my $record = eval { JSON::PP->new->latin1->decode($line) };

		$n++;
		push @wrong, substr($line, 0, 200) if !defined $record || $record->{pid} == 666;
	}
	is(join("\n", @wrong), '', 'JSON: each line is a record, and none is forged');
	is($n, $records, 'JSON: as many as in CSV');
}
done_testing();
