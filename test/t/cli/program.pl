# The program "defer": each command, JSON, exit codes, hostile text; top and the
# bar of wait in a real terminal.
use strict;
use warnings;

use DeferTest;
use IPC::Run;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

delete @ENV{qw(NO_COLOR COLUMNS LANG LC_ALL LC_CTYPE PGAPPNAME)};
$ENV{LC_ALL} = 'C.UTF-8';
$ENV{TERM} = 'xterm';

my $node = new_server('main', q{defer.max_workers = 4});
my $connection = $node->connstr('postgres');

# Run it; returns exit code, standard output and standard error
sub run_defer
{
	my @arguments = @_;
	my ($out, $err) = ('', '');
	my $input = ref $arguments[0] eq 'SCALAR' ? ${ shift @arguments } : '';

	IPC::Run::run([ 'defer', '-d', $connection, @arguments ], '<', \$input, '>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

# ... and it must end like that
sub defer_ok
{
	my ($expected, $what, @arguments) = @_;
	my ($code, $out, $err) = run_defer(@arguments);

	is($code, $expected, "$what: exit code") or diag("$out$err");
	return wantarray ? ($out, $err) : $out;
}

# ... and write JSON, which is returned
sub defer_json
{
	my ($what, @arguments) = @_;
	my ($code, $out, $err) = run_defer(@arguments, '--json');
	my $json = eval { JSON::PP->new->utf8->allow_nonref->decode($out) };

	ok(defined $json, "$what: JSON") or diag("$@\n$out$err");
	return $json;
}

sub sql { return $node->safe_psql('postgres', $_[0]); }

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE gate (open boolean);
	CREATE FUNCTION add(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT a + b';
	CREATE FUNCTION boom(what text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		RAISE NOTICE 'about to %', what;
		RAISE EXCEPTION 'no: %', what USING ERRCODE = 'DF900', DETAIL = 'the detail', HINT = 'the hint';
	END $$;
	CREATE FUNCTION gated() RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM defer.progress(0.42);
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
		RETURN 'opened';
	END $$;
	CREATE FUNCTION fan(n int) RETURNS bigint LANGUAGE sql AS $$
		SELECT count(defer.enqueue('add', jsonb_build_array(i))) FROM generate_series(1, n) i $$;
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.configure('boom', max_attempts => 2, initial_interval => '10 ms', randomization => 0);
	SELECT defer.cron('tick', '30 3 * * *', name => 'nightly', timezone => 'Europe/Paris');
	SELECT defer.create_queue('side', concurrency => 2)});

# ----------------------------------------------------------------------------
# Help, usage, connections
# ----------------------------------------------------------------------------

my @commands = qw(status top jobs job functions queues groups workers schedules cron alter-cron unschedule configure
	create-queue alter-queue drop-queue set-group reset-group release errors retry acknowledge backfill enqueue trigger cancel rerun reschedule pause resume wait metrics);

like(defer_ok(0, 'help', '--help'), qr/Commands:.*enqueue.*Exit codes/s, 'help lists commands');
like(defer_ok(0, 'version', '--version'), qr/^defer \d+\.\d+/, 'version');
for my $command (@commands)
{
	my $help = defer_ok(0, "help of $command", $command, '--help');

	like($help, qr/^usage: defer .*$command/, "help of $command: synopsis");
	like($help, qr/Examples:\n  .*defer/, "help of $command: examples");
	is(defer_ok(0, "help $command", 'help', $command), $help, "the same by \"help $command\"");
}
for my $wrong ([], ['gone'], ['status', '--gone'], ['status', 'x'], ['job'], ['job', 'x'], [ 'job', '1', '2' ], ['job', '1', '--follow', '--json'],
	['jobs', '--limit', 'x'], ['jobs', '--limit'], ['jobs', '--limit', '0'], ['jobs', '--state', 'a;b'],
	['top', '--interval', '1 parsec'], ['status', '--json=x'], ['status', '--color=pink'],
	['reschedule', '1', '--at', 'now', '--delay', '1s'], ['enqueue', 'add', '[1]', '--timeout', '1s'],
	['pause', '-Q', '-S', 'x'], ['cancel', '1x'], ['cancel'], ['cancel', '1', '--state', 'queued'], ['rerun', '1', '--dry-run'],
	['rerun', '1', '--everything'], ['retry'], ['retry', '1', '--fingerprint', 'x'], ['acknowledge', '--note', 'x'], ['errors', 'x'], ['cancel', '--queue', 'side', '--state', 'a;b', '--yes'],
	['pause', '-S', '-g', 'acme', 'x'], ['pause', '--reason', 'why', 'add'], ['resume', '--reason', 'why', '-S', 'nightly'],
	['cron', 'tick'], ['cron', '--command', 'SELECT 1', '@daily'], ['cron', '--command', 'SELECT 1', '@daily', '--name', 'x', '--allow-direct', 'yes'],
	['alter-cron', 'nightly'], ['alter-cron', '--jitter', '1 s'], ['configure', 'add'], ['configure', 'add', '--concurrency', 'x'],
	['alter-queue', 'side'], ['drop-queue'], ['set-group', 'acme', '--weight', '2'], ['set-group', 'acme', '--queue', 'side'],
	['set-group', 'acme', '--queue', 'side', '--function', 'add', '--weight', '2'], ['reset-group', 'acme'], ['functions', 'a', 'b'],
	['groups', '--all-servers'], ['jobs', '--all-servers', '--before', '1'],
	['backfill', 'nightly'], ['backfill', '--since', '2026-01-01'])
{
	my ($out, $err) = defer_ok(3, "wrong: @$wrong", @$wrong);

	like($err, qr/^defer: .*\nTry "defer .*--help"/s, "wrong: @$wrong: says so");
	is($out, '', "wrong: @$wrong: nothing else");
}

my ($code, $out, $err) = run_defer('status', '-h', '/nonexistent', '-d', 'postgres');
is($code, 2, 'no connection');
like($err, qr/^defer: .*nonexistent/, 'no connection: why');
sql('CREATE DATABASE bare');
($code, $out, $err) = run_defer('-d', $node->connstr('bare'), 'status');
is($code, 1, 'no extension');
like($err, qr/not installed in the database "bare"/, 'no extension: says so');

my ($host, $port) = ($node->host, $node->port);
my $file = PostgreSQL::Test::Utils::tempdir() . '/service';
append_to_file($file, "[here]\nhost=$host\nport=$port\ndbname=postgres\n");
{
	local %ENV = (%ENV, PGSERVICEFILE => $file, PGSERVICE => 'here');
	command_like([ 'defer', 'status' ], qr/in postgres as/, 'a service');
}
{
	local %ENV = (%ENV, PGHOST => $host, PGPORT => $port, PGDATABASE => 'postgres');
	command_like([ 'defer', 'status' ], qr/in postgres as/, 'variables');
}
command_like([ 'defer', '-h', $host, '-p', $port, '--dbname', 'postgres', 'status' ], qr/in postgres as/, 'options');
command_like([ 'defer', 'status', '--host', $host, "--port=$port", '-dpostgres' ], qr/in postgres as/,
	'options behind the command');
(my $encoded = $host) =~ s{([^A-Za-z0-9])}{sprintf '%%%02X', ord $1}ge;
command_like([ 'defer', '-d', "postgresql:///postgres?host=$encoded&port=$port", 'status' ], qr/in postgres as/, 'a URI');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'defer'}), '0', 'no connection is left');

# ----------------------------------------------------------------------------
# Jobs
# ----------------------------------------------------------------------------

# enqueue
my $added = defer_ok(0, 'enqueue', 'enqueue', 'add', '[20, 22]');
chomp $added;
like($added, qr/^\d+$/, 'enqueue writes the id');
is(defer_ok(0, 'wait', 'wait', $added), "42\n", 'wait writes the result');
is(defer_ok(0, 'enqueue --wait', 'enqueue', 'add', '{"a": 5}', '--wait'), "6\n", 'enqueue and wait');
is(defer_ok(0, 'standard input', \"[1,\n 2]", 'enqueue', 'add', '-', '--wait'), "3\n", 'arguments from standard input');
is(defer_ok(0, 'command', 'enqueue', '--command', 'VACUUM gate', '--wait', '--quiet'), '', 'a command, quietly');
my $later = defer_json('enqueue with options', 'enqueue', 'add', '[1]', '--delay', '1 day', '--queue', 'side',
	'--priority', '7', '--key', 'k', '--metadata', '{"tenant": 7}', '--discard-after', '1 hour', '--max-attempts', '3',
	'--max-duration', '1 min', '--initial-interval', '2 s', '--multiplier', '3', '--max-interval', '1 h',
	'--randomization', '0.1', '--group', 'acme')->{id};
is(sql("SELECT state, queue, priority, key, metadata, max_attempts, discard_at - run_at, group_key FROM defer.jobs WHERE id = $later"),
	'scheduled|side|7|k|{"tenant": 7}|3|01:00:00|acme', 'options of enqueue arrive');
is(defer_json('the same key', 'enqueue', 'add', '[1]', '--key', 'k', '--run-at', 'tomorrow')->{id}, $later, 'a key');
my $keyed = defer_json('a job with a key', 'enqueue', 'add', '[8]', '--key', 'k2', '--delay', '1 day')->{id};
is(defer_json('another with that key', 'enqueue', 'add', '[9]', '--key', 'k2', '--on-key', 'debounce', '--delay', '2 days', '--debounce-max', '3 days')->{id},
	$keyed, '--on-key');
is(sql("SELECT args FROM defer.jobs WHERE id = $keyed"), '[9]', 'it is replaced');
(undef, $err) = defer_ok(1, 'an error', 'enqueue', 'add', '[9]', '--key', 'k2', '--on-key', 'error', '--key-for', '1 h');
like($err, qr/^defer: job $keyed of function \S+ has the same key/, '--on-key error: the message of the server');
is(sql("SELECT defer.cancel($keyed)"), 't', 'it is not needed any more');
(undef, $err) = defer_ok(1, 'no such function', 'enqueue', 'gone');
like($err, qr/^defer: function "gone" does not exist\nHINT:/, 'no such function: the message of the server');
defer_ok(1, 'bad JSON', 'enqueue', 'add', '[1');
defer_ok(1, 'bad arguments', 'enqueue', 'add', '["x"]');

# A job that fails
my $failed = defer_json('enqueue', 'enqueue', 'boom', '["try"]')->{id};
(undef, $err) = defer_ok(5, 'wait for one that fails', 'wait', $failed);
is($err, "defer: job $failed failed: no: try\n", 'its error');
is(defer_json('wait for one that fails', 'wait', $failed)->{sqlstate}, 'DF900', 'its SQLSTATE');
my $job = defer_json('job', 'job', $failed);
is($job->{state}, 'failed', 'job: state');
is_deeply($job->{args}, ['try'], 'job: arguments');
is(scalar @{ $job->{attempts} }, 2, 'job: attempts');
is($job->{attempts}[1]{detail}, 'the detail', 'job: detail of an attempt');
is_deeply([ map { $_->{message} } @{ $job->{logs} } ], [ 'about to try', 'about to try' ], 'job: logs');
like($job->{enqueued_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d$/, 'job: times as in RFC 3339');
$out = defer_ok(0, 'job', 'job', $failed);
like($out, qr/error +DF900: no: try.*attempt 2 +failed after .*attempt 2: failed.*hint +the hint.*PL\/pgSQL function.*logs\n.*about to try/s,
	'job: for people');
unlike($out, qr/\e/, 'job: no colours in a pipe');
like(defer_ok(0, 'job', 'job', $failed, '--color=always'), qr/\e\[31mfailed\e\[0m/, 'colours if they are wanted');
(undef, $err) = defer_ok(4, 'no such job', 'job', '999999');
like($err, qr/no job 999999/, 'no such job: says so');

# Fan-out
my $fan = defer_json('enqueue', 'enqueue', 'fan', '[30]')->{id};
my $waited = defer_json('wait for a fan-out', 'wait', $fan);
is_deeply($waited->{children}, { jobs => 30, ended => 30, not_succeeded => 0 }, 'wait: children');
$job = defer_json('parent', 'job', $fan);
is_deeply($job->{children}, { succeeded => 30 }, 'job: children');
like(defer_ok(0, 'parent', 'job', $fan), qr/children +30: 30 succeeded/, 'job: children, for people');
my $child = sql("SELECT min(id) FROM defer.jobs WHERE parent_id = $fan");
is(defer_json('child', 'job', $child)->{parent}{id}, $fan, 'job: parent');
is(scalar @{ defer_json('children', 'jobs', '--parent', $fan, '-n', '100')->{jobs} }, 30, 'jobs of a parent');

# jobs
is(defer_json('failed', 'jobs', '--state', 'failed,cancelled')->{jobs}[0]{id}, $failed, 'jobs by state');
is(defer_json('error', 'jobs', '--error', 'NO: TR')->{jobs}[0]{id}, $failed, 'jobs by error');
is(defer_json('SQLSTATE', 'jobs', '--error', 'DF900')->{jobs}[0]{id}, $failed, 'jobs by SQLSTATE');
is(defer_json('function', 'jobs', '--function', 'boom')->{jobs}[0]{id}, $failed, 'jobs by function');
is(defer_json('function', 'jobs', '--function', 'public.boom')->{jobs}[0]{id}, $failed, 'jobs by function and schema');
is(defer_json('function', 'jobs', '--function', 'public.boom(text)')->{jobs}[0]{id}, $failed, 'jobs by signature');
is(defer_json('queue', 'jobs', '--queue', 'side')->{jobs}[0]{id}, $later, 'jobs by queue');
is(defer_json('group', 'jobs', '--group', 'acme')->{jobs}[0]{group_key}, 'acme', 'jobs by group');
is(scalar @{ defer_json('group', 'jobs', '--group', 'blue')->{jobs} }, 0, 'no jobs of another group');
like(defer_ok(0, 'group', 'jobs', '-g', 'acme'), qr/ GROUP .*\n.* acme /, 'jobs: a column for groups');
unlike(defer_ok(0, 'no group', 'jobs', '--state', 'failed'), qr/ GROUP /, 'jobs: none where there is no group');
$node->safe_psql('postgres', qq{INSERT INTO defer.step (job_id, name, owner, ord, kind, result, started_at, finished_at)
	SELECT $later, 'book', owner, 1, 's', '"booked"', '2026-01-02 03:04:05+00', '2026-01-02 03:04:07+00' FROM defer.job WHERE id = $later});
like(defer_ok(0, 'steps', 'job', $later), qr/^STEP +KIND +STATE +TRY.*\nbook +step +done +1 +\S+.* 2.0 s +"booked"$/m, 'job: its steps');
is(defer_json('steps', 'job', $later)->{steps}[0]{result}, 'booked', 'job: its steps, in JSON');
like(defer_ok(0, 'group', 'job', $later), qr/^group +acme$/m, 'job: its group');
like(defer_ok(0, 'why', 'job', $later), qr/^waits for +run_at: its time has not come, until [^\n]+$/m, 'job: why it waits');
is(defer_json('why', 'job', $later)->{waits_for}[0]{reason}, 'run_at', 'job: why it waits, in JSON');
is_deeply(defer_json('why', 'job', $failed)->{waits_for}, [], 'job: nothing of one that has ended');
is(defer_json('metadata', 'jobs', '--metadata', '{"tenant": 7}')->{jobs}[0]{id}, $later, 'jobs by metadata');
is(scalar @{ defer_json('since', 'jobs', '--since', '1h', '--function', 'boom')->{jobs} }, 1, 'jobs since');
is(scalar @{ defer_json('until', 'jobs', '--until', '1h')->{jobs} }, 0, 'jobs until');
is(scalar @{ defer_json('times', 'jobs', '--since', '2001-01-01', '--until', '2001-01-02 12:00')->{jobs} }, 0, 'jobs by times');
defer_ok(1, 'no function of that name', 'jobs', '--function', 'gone');
defer_ok(1, 'no such state', 'jobs', '--state', 'gone');
defer_ok(1, 'no such time', 'jobs', '--since', 'yesteryear');
my (@seen, $before);
do
{
	my $page = defer_json('page', 'jobs', '--limit', '7', '--parent', $fan, defined $before ? ('--before', $before) : ());

	push @seen, map { $_->{id} } @{ $page->{jobs} };
	$before = $page->{next};
} while (defined $before);
is(join(',', @seen), sql("SELECT string_agg(id::text, ',' ORDER BY id DESC) FROM defer.jobs WHERE parent_id = $fan"),
	'pages: each job once, the newest first');
like(defer_ok(0, 'jobs', 'jobs', '--state', 'failed'), qr/^ *JOB +STATE.*\n *$failed +failed +public\.boom\(text\) +\["try"\] .*no: try\n$/,
	'jobs: a table');

# ----------------------------------------------------------------------------
# Workflows and procedures with steps
# ----------------------------------------------------------------------------

$node->safe_psql('postgres', q{
	CREATE FUNCTION says(what jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT what';
	CREATE SEQUENCE tries;
	CREATE FUNCTION second_time() RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		IF nextval('public.tries') = 1 THEN RAISE 'not yet'; END IF;
		RETURN 'now';
	END $$;
	CREATE PROCEDURE waits() LANGUAGE plpgsql AS $$
	BEGIN
		CALL defer.step('first', 'public.says', '[1]');
		CALL defer.step('twice', 'public.second_time');
		CALL defer.wait_event('decision', 'decided', '7 days');
	END $$});
my $flow = sql(q{SELECT defer.workflow('order', '[
	{"name": "reserve", "function": "says", "args": [{"item": 3}]},
	{"name": "charge", "function": "says", "args": ["paid"], "after": ["reserve"]},
	{"name": "gift", "function": "says", "args": [1], "after": ["reserve"], "if": {"$input": "args.gift"}, "on_failure": "skip"},
	{"name": "ship", "function": "says", "args": [2], "after": ["charge", "gift"], "delay": "1 day"},
	{"name": "stamp", "function": "boom", "args": ["stamp"]}]', '{"gift": false}')});
until_ok($node, "SELECT string_agg(state, ',' ORDER BY ord) = 'succeeded,succeeded,skipped,scheduled,failed' FROM defer.workflow_steps WHERE workflow_id = $flow",
	'a workflow as far as it comes');
my $flow_text = defer_ok(0, 'workflow', 'workflow', $flow);
my %step_jobs = map { $_->{name} => $_->{job_id} } @{ defer_json('workflow', 'workflow', $flow)->{graph} };
like($flow_text, qr/^workflow +running $flow\nname +order\nrole +\w+\narguments +\{"gift": false\}\nstarted +\S.*\nfor +\S.*\nsteps +5: 1 unfinished, 2 succeeded, 1 skipped, 1 failed, 0 cancelled$/m,
	'workflow: its head');
like($flow_text, qr/^STEP +STATE +JOB +FUNCTION +ALSO AFTER +TOOK +RESULT\nreserve +succeeded +$step_jobs{reserve} .*\{"item": 3\}\n├─ charge +succeeded .*"paid"\n└─ gift +skipped .*\n   └─ ship +scheduled +$step_jobs{ship} +\S+ +charge.*\nstamp +failed .* no: stamp\n\z/m,
	'workflow: its graph');
is_deeply(defer_json('workflow', 'workflow', $flow)->{graph}[3]{after}, [ 'charge', 'gift' ], 'workflow: its graph, in JSON');
like(defer_ok(0, 'workflows', 'workflow', 'list'), qr/^WORKFLOW +STATE +NAME .*\n *$flow +running +order +\w+ +5 +4 +1 /, 'workflow list');
is(defer_json('workflows', 'workflow', 'list')->{workflows}[0]{id}, $flow, 'workflow list, in JSON');
is(scalar @{ defer_json('workflows', 'workflow', 'list', '--name', 'others')->{workflows} }, 0, 'workflow list --name');
defer_ok(4, 'no such workflow', 'workflow', $fan);
defer_ok(3, 'not an id', 'workflow', 'order');
defer_ok(3, 'an option of the list', 'workflow', $flow, '--limit', '3');
my $ship = defer_ok(0, 'step of a workflow', 'job', $step_jobs{ship});
like($ship, qr/^after +$step_jobs{charge} public\.says\(jsonb\) succeeded\n +$step_jobs{gift} public\.says\(jsonb\) succeeded$/m, 'job: what it comes after');
like($ship, qr/^before +$flow .* \w+$/m, 'job: what comes after it');
sql("SELECT defer.cancel_workflow($flow)");
my $procedure = sql(q{SELECT defer.enqueue('waits', initial_interval => '10 ms')});
until_ok($node, "SELECT EXISTS (SELECT FROM defer.steps WHERE job_id = $procedure AND state = 'waiting')", 'a procedure waits in a step');
my $steps_text = defer_ok(0, 'steps', 'job', $procedure);
like($steps_text, qr/^first +step +done +1 .* 1\ntwice +step +done +2 .*"now"\ndecision +wait_event +waiting +1 .* waits for event decided, at most until \S.*$/m, 'job: attempts of its steps, and what it waits for');
is(join(',', map { $_->{attempts} } @{ defer_json('steps', 'job', $procedure)->{steps} }), '1,2,1', 'job: attempts of its steps, in JSON');
sql("SELECT defer.signal($procedure, 'decided')");
until_ok($node, "SELECT count(*) = 2 FROM defer.jobs WHERE id IN ($procedure, $flow) AND finished_at IS NOT NULL AND state IN ('succeeded', 'cancelled')", 'both end');
like(defer_ok(0, 'steps', 'job', $procedure), qr/^decision +wait_event +done +1 /m, 'job: its last step');

# ----------------------------------------------------------------------------
# Control
# ----------------------------------------------------------------------------

like(defer_ok(0, 'job --follow of one that has ended', 'job', '--follow', $failed), qr/^\S+ \S+ +1 +notice +about to try\n\S+ \S+ +2 +notice +about to try\n$/, 'job: what it said');
my $gated = defer_json('enqueue', 'enqueue', 'gated')->{id};
until_ok($node, "SELECT progress > 0.4 FROM defer.jobs WHERE id = $gated", 'a job runs');
(undef, $err) = defer_ok(8, 'wait with a timeout', 'wait', $gated, '--timeout', '100ms');
like($err, qr/job $gated has not ended in time, it is running/, 'wait with a timeout: says so');
defer_ok(4, 'cancel of a running one', 'cancel', $gated);
like(defer_ok(0, 'status', 'status'), qr/QUEUE.*\ndefault +0 +1 +0 +0.*\nside +0 +0 +0 +1 +2.*JOB .*\n *$gated +public\.gated\(\).*\[####\.+\]  42 %/s,
	'status: queues and running jobs');
my $status = defer_json('status', 'status');
is($status->{running}[0]{id}, $gated, 'status: running');
is($status->{max_workers}, 4, 'status: workers');
is(defer_json('top', 'top', '-n', '1')->{running}[0]{id}, $gated, 'top: running');
like(defer_ok(0, 'top in a pipe', 'top', '-n', '1'), qr/^defer top - postgres .* of 4 workers.*\n.*1 running, 0 retrying, 1 scheduled/, 'top in a pipe');
is(defer_ok(0, 'cancel by force', 'cancel', '--force', $gated), "cancelled $gated\n", 'cancel by force');
defer_ok(6, 'wait for a cancelled one', 'wait', $gated);
is_deeply(defer_json('cancel of several', 'cancel', $later, $later, '999999'),
	[ { argument => $later, done => JSON::PP::true }, { argument => $later, done => JSON::PP::false },
		{ argument => '999999', error => 'job 999999 does not exist', sqlstate => '42704' } ], 'cancel of several');
($code) = run_defer('cancel', $later, '999999', '--json');
is($code, 1, 'an error is worse than nothing done');
my $rerun = defer_ok(0, 'rerun', 'rerun', $added);
is(defer_ok(0, 'the new one', 'wait', $rerun =~ s/\n//r), "42\n", 'rerun');
is(defer_ok(0, 'rerun twice', 'rerun', $added, '-q'), $rerun, 'rerun: once');
isnt(defer_ok(0, 'rerun by force', 'rerun', $added, '--force'), $rerun, 'rerun: by force');

# --- failures

sql(q{CREATE FUNCTION sick(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no: %', what; END $$});
sql(q{SELECT count(defer.acknowledge(job_id)) FROM defer.failures WHERE state = 'open'});
like(defer_ok(0, 'errors: none', 'errors'), qr/^no job has failed/, 'errors: none');
is_deeply(defer_json('errors: none', 'errors')->{errors}, [], 'errors: none');
my @sick = map { defer_json('enqueue', 'enqueue', 'sick', qq{["patient $_ of room 12"]}, '--max-attempts', '1')->{id} } 1 .. 3;
until_ok($node, q{SELECT failed = 3 FROM defer.errors WHERE function LIKE '%sick%'}, 'three jobs fail');
my $errors = defer_json('errors', 'errors')->{errors};
is(scalar(@$errors), 1, 'errors: alike');
my $fingerprint = $errors->[0]{fingerprint};
like(defer_ok(0, 'errors', 'errors'), qr/^FINGERPRINT .*\n$fingerprint +public\.sick\(text\) +3 +0 .*patient # of room #/, 'errors: a table');
is(defer_json('jobs by fingerprint', 'jobs', '--fingerprint', $fingerprint)->{jobs}[0]{id}, $sick[2], 'jobs: by fingerprint');
like(defer_ok(10, 'status', 'status', '--check'), qr/3 jobs of public\.sick\(text\) failed for good/, 'status: they need attention');
is(defer_ok(0, 'acknowledge', 'acknowledge', $sick[0], '--note', 'gone home'), "acknowledged $sick[0]\n", 'acknowledge');
defer_ok(4, 'acknowledge twice', 'acknowledge', $sick[0]);
is(sql("SELECT state || ' ' || note FROM defer.failures WHERE job_id = $sick[0]"), 'acknowledged gone home', 'acknowledge: the note');
is(defer_ok(0, 'retry: how many', 'retry', '--fingerprint', $fingerprint, '--dry-run'), "2 jobs\n", 'retry: how many');
is(defer_ok(0, 'retry', 'retry', $sick[1]), "retries $sick[1]\n", 'retry');
defer_ok(5, 'it fails again', 'wait', $sick[1]);
sql(q{CREATE OR REPLACE FUNCTION sick(what text) RETURNS void LANGUAGE plpgsql AS 'BEGIN END'});
is(defer_ok(0, 'retry all', 'retry', '--fingerprint', $fingerprint, '--yes'), "retries 2 of 2 jobs\n", 'retry: all');
defer_ok(4, 'retry all twice', 'retry', '--fingerprint', $fingerprint, '--yes');
defer_ok(0, 'they succeed', 'wait', @sick[1, 2]);
defer_ok(4, 'retry of one that has succeeded', 'retry', $sick[1]);
unlike(defer_ok(0, 'status', 'status'), qr/failed for good/, 'status: nothing needs attention');
my $waiting = defer_json('enqueue', 'enqueue', 'add', '[7]', '--delay', '1 day')->{id};
is(defer_ok(0, 'reschedule', 'reschedule', $waiting, '--at', '2100-01-01 00:00+00'), "rescheduled $waiting\n", 'reschedule');
is(sql("SELECT run_at = '2100-01-01 00:00+00' FROM defer.jobs WHERE id = $waiting"), 't', 'reschedule: when');
defer_ok(0, 'reschedule by a delay', 'reschedule', $waiting, '--delay', '2 hours');
is(sql("SELECT run_at BETWEEN now() + '1 hour' AND now() + '2 hours' FROM defer.jobs WHERE id = $waiting"), 't', 'reschedule: in a while');
defer_ok(0, 'reschedule to now', 'reschedule', $waiting);
is(defer_ok(0, 'run now', 'wait', $waiting), "8\n", 'reschedule: now');
defer_ok(4, 'reschedule of one that has ended', 'reschedule', $waiting);
my $ticked = defer_ok(0, 'trigger', 'trigger', 'nightly');
defer_ok(0, 'a run of a schedule', 'wait', $ticked =~ s/\n//r);
is(defer_json('runs', 'jobs', '--schedule', 'nightly')->{jobs}[0]{id}, $ticked =~ s/\n//r, 'jobs of a schedule');
defer_ok(1, 'trigger of nothing', 'trigger', 'gone');

is(defer_ok(0, 'pause', 'pause', 'add'), "paused function add\n", 'pause');
is(sql(q{SELECT paused FROM defer.functions WHERE function LIKE '%add(%'}), 't', 'a function is paused');
defer_ok(0, 'resume', 'resume', 'add');
is(sql(q{SELECT paused FROM defer.functions WHERE function LIKE '%add(%'}), 'f', 'and goes on');
defer_ok(0, 'pause a queue', 'pause', '--queue', 'side');
like(defer_ok(0, 'status', 'status'), qr/\nside +paused/, 'status: paused');
defer_ok(0, 'resume a queue', 'resume', '--queue', 'side');
is(sql(q{SELECT paused FROM defer.queues WHERE queue = 'side'}), 'f', 'a queue goes on');
defer_ok(0, 'pause a schedule', 'pause', '--schedule', 'nightly', '-q');
like(defer_ok(0, 'schedules', 'schedules'), qr/\nnightly +\S+ +paused +30 3/, 'schedules: paused');
defer_ok(0, 'resume a schedule', 'resume', '--schedule', 'nightly', '-q');
defer_ok(0, 'pause with a reason', 'pause', '--schedule', 'nightly', '--reason', 'moving');
like(defer_ok(0, 'a paused schedule', 'schedules', 'nightly'), qr/paused by +postgres\n.*reason +moving\n/s, 'schedules: why it is paused');
is(defer_json('a paused schedule', 'schedules', 'nightly')->{schedules}[0]{pause_reason}, 'moving', 'schedules: the reason');
defer_ok(0, 'of a role', 'resume', '--schedule', 'nightly', '--owner', 'postgres', '-q');
defer_ok(0, 'of a role', 'pause', '--schedule', 'nightly', '--owner', 'postgres', '--reason', 'again', '-q');
is(sql(q{SELECT pause_reason FROM defer.schedules WHERE name = 'nightly'}), 'again', 'pause with a reason: of a role');
defer_ok(0, 'resume a schedule', 'resume', '--schedule', 'nightly', '-q');
defer_ok(1, 'pause of nothing', 'pause', 'gone');

# A group of a function or queue
my $grouped = defer_json('enqueue', 'enqueue', 'add', '[1]', '--queue', 'side', '--group', 'acme', '--delay', '1 day')->{id};

for my $kind ([ 'queue', 'side', '-Q' ], [ 'function', 'add' ])
{
	my ($what, $name, @option) = @$kind;
	my $state = "SELECT paused || ' ' || coalesce(reason, 'none') FROM defer.groups WHERE kind = '$what' AND group_key = 'acme'";

	is(defer_ok(0, "pause a group of a $what", 'pause', @option, $name, '--group', 'acme', '--reason', 'unpaid'),
		"paused the group in $what $name\n", "pause a group of a $what");
	is(sql($state), 'true unpaid', "a group of a $what is paused");
	defer_ok(0, "resume a group of a $what", 'resume', @option, $name, '-g', 'acme', '-q');
	is(sql($state), 'false none', "a group of a $what goes on");
}
defer_ok(1, 'a group of nothing', 'pause', '-Q', 'gone', '-g', 'acme');
sql(q{SELECT defer.alter_queue('side', group_order => 'strict', on_group_failure => 'hold')});
sql(q{INSERT INTO defer.group_hold SELECT 'q', id, 'acme', 0, 1, 'postgres'::regrole, now() FROM defer.queue WHERE name = 'side'});
is(defer_ok(0, 'release', 'release', '-Q', 'side', '-g', 'acme'), "released the group in queue side\n", 'release a group of a queue');
(undef, $err) = defer_ok(4, 'release again', 'release', '-Q', 'side', '--group', 'acme');
like($err, qr/side: the group is not held/, 'release: not held');
defer_ok(4, 'release', 'release', 'add', '-g', 'acme');
(undef, $err) = defer_ok(3, 'no group', 'release', 'add');
like($err, qr/--group is needed/, 'release: a group is needed');
sql(q{SELECT defer.alter_queue('side', group_order => 'none')});

# All jobs that pass a filter
my @many = map { defer_json('enqueue', 'enqueue', 'add', "[$_]", '--queue', 'side', '--delay', '1 day', '--metadata', '{"tenant": 77}')->{id} } 1 .. 3;
my @tenant = ('--metadata', '{"tenant": 77}');

is(defer_ok(0, 'dry run', 'cancel', @tenant, '--dry-run'), "3 jobs\n", 'cancel: only counts');
is_deeply(defer_json('dry run', 'cancel', @tenant, '--dry-run'), { matched => 3, done => 0, jobs => [] }, 'cancel: only counts, as JSON');
(undef, $err) = defer_ok(3, 'nobody to ask', 'cancel', @tenant);
like($err, qr/--yes is needed/, 'nobody to ask: says so');
for my $answer ('n', '')
{
	my ($typed, $screen) = ("$answer\n", '');
	my $h = IPC::Run::start([ 'defer', '-d', $connection, 'cancel', @tenant ], '<pty<', \$typed, '>pty>', \$screen);

	$h->finish;
	is($h->result(0), 4, "the answer \"$answer\" does nothing");
	like($screen, qr/Cancel 3 jobs\? \[y\/N\]/, 'it asks');
}
is(sql("SELECT string_agg(DISTINCT state, ' ') FROM defer.jobs WHERE id IN ($many[0], $many[1], $many[2])"), 'scheduled', 'nothing is done');
is(defer_ok(0, 'reschedule of all', 'reschedule', '-f', 'add', '-Q', 'side', @tenant, '--at', '2100-01-01 00:00+00', '--yes'),
	"rescheduled 3 of 3 jobs\n", 'reschedule of all');
is(sql("SELECT count(*) FROM defer.jobs WHERE run_at = '2100-01-01 00:00+00' AND metadata IS NOT NULL"), 3, 'reschedule of all: when');
{
	my ($typed, $screen) = ("y\n", '');

	IPC::Run::start([ 'defer', '-d', $connection, 'cancel', @tenant, '--before', $many[2] ], '<pty<', \$typed, '>pty>', \$screen)->finish;
	like($screen, qr/cancelled 2 of 2 jobs/, 'yes cancels them');
}
is(defer_ok(0, 'the last one', 'cancel', '--function', 'add', '--force', @tenant, '-y'), "cancelled 1 of 1 jobs\n", 'cancel of all');
is(defer_ok(4, 'none left', 'cancel', '--state', 'scheduled', @tenant, '-y'), "0 jobs\n", 'cancel of none');
is_deeply(defer_json('rerun of all', 'rerun', '-s', 'cancelled', @tenant, '--yes'), { matched => 3, done => 3, jobs => [] }, 'rerun of all');
is(sql('SELECT count(*) FROM defer.jobs WHERE rerun_of IN (' . join(', ', @many) . ')'), 3, 'rerun of all: copies');
defer_ok(1, 'a filter that is not right', 'cancel', '--metadata', 'x', '--yes');
defer_ok(1, 'cancel of jobs of no function', 'cancel', '--function', 'gone', '--yes');
is(defer_ok(0, 'everything', 'cancel', '--everything', '--dry-run'), sql('SELECT count(*) FROM defer.live_jobs') . " job\n", 'everything');
sql("SELECT defer.cancel($grouped)");

# Runs for times that are past
is(defer_ok(0, 'backfill', 'backfill', 'nightly', '--since', '2026-01-01', '--until', '2026-01-04', '--dry-run'), "3 runs\n", 'backfill: only counts');
is_deeply(defer_json('backfill', 'backfill', 'nightly', '--since', '2026-01-01', '--until', '2026-01-03', '--owner', 'postgres',
		'--overlap', 'allow', '--priority', '3', '--rate', '100/s'), { runs => 2 }, 'backfill');
until_ok($node, q{SELECT count(*) = 2 FROM defer.jobs WHERE scheduled_for < '2026-02-01' AND priority = 3 AND state = 'succeeded'}, 'backfill: the runs');
defer_ok(4, 'backfill of nothing', 'backfill', 'nightly', '--owner', 'app', '--since', '2026-01-01');
defer_ok(1, 'backfill that is refused', 'backfill', 'gone', '--since', '2026-01-01');
like(defer_ok(0, 'schedules', 'schedules'), qr/^NAME.*\nnightly .*At 03:30, every day.*Europe\/Paris/, 'schedules: a table');
like(defer_ok(0, 'one schedule', 'schedules', 'nightly'), qr/in words +At 03:30, every day\n.*next times +\d{4}.*(\n +\d{4}.*){4}\n$/s, 'schedules: one');
my $schedule = defer_json('schedules', 'schedules', 'nightly')->{schedules}[0];
is(scalar @{ $schedule->{next_runs} }, 5, 'schedules: the next five times');
defer_ok(4, 'no such schedule', 'schedules', 'gone');

# Health and exit codes
sql(q{CREATE FUNCTION ill() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'ill'; END $$});
defer_ok(5, 'a job that fails', 'enqueue', 'ill', '--max-attempts', '1', '--wait');
is_deeply([ run_defer('status', '--check', '--quiet') ], [ 10, '', '' ], 'status --check: warnings, as a job has failed');
is(defer_ok(0, 'acknowledge all', 'acknowledge', '-f', 'ill', '--yes', '--note', 'better now'), "acknowledged 1 of 1 jobs\n", 'acknowledge: all');
is_deeply([ run_defer('status', '--check', '--quiet') ], [ 0, '', '' ], 'status --check: all is well');
sql('ALTER SYSTEM SET defer.enabled = off');
sql('SELECT pg_reload_conf()');
until_ok($node, q{SELECT count(*) > 0 FROM defer.health}, 'switched off');
($code, $out) = run_defer('status', '--check');
is($code, 10, 'status --check: switched off');
like($out, qr/warning +defer.enabled is off/, 'status: findings');
sql('ALTER SYSTEM RESET defer.enabled');
sql('SELECT pg_reload_conf()');
until_ok($node, q{SELECT count(*) = 0 FROM defer.health}, 'switched on');

# ----------------------------------------------------------------------------
# Roles, search_path
# ----------------------------------------------------------------------------

sql(q{
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA defer TO app;
	CREATE SCHEMA app AUTHORIZATION app;
	CREATE FUNCTION app.work(n int) RETURNS int LANGUAGE sql AS 'SELECT -n';
	ALTER ROLE app SET search_path = app, evil, public;
	CREATE SCHEMA evil AUTHORIZATION app;
	SET ROLE app;
	CREATE FUNCTION evil.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
	CREATE OPERATOR evil.= (FUNCTION = evil.trap, LEFTARG = text, RIGHTARG = text);
	CREATE FUNCTION evil.count(bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
	RESET ROLE;
	ALTER ROLE app SET search_path = app, evil, pg_catalog, public});
is(defer_ok(0, 'as another role', '-U', 'app', 'enqueue', 'work', '[5]', '--wait'), "-5\n",
	'functions are found with the search_path of the role');
is(join(',', map { $_->{function} } @{ defer_json('jobs of a role', '-U', 'app', 'jobs')->{jobs} }), 'app.work(integer)',
	'a role sees its own jobs');
for my $command ([ 'status' ], [ 'top', '-n', '1' ], [ 'schedules' ], [ 'jobs', '-f', 'work' ], [ 'metrics' ])
{
	my (undef, $trapped) = defer_ok(0, "@$command with a hostile search_path", '-U', 'app', @$command);
	is($trapped, '', "@$command with a hostile search_path: no error");
}
defer_ok(4, 'a job of another', '-U', 'app', 'job', $added);
defer_ok(1, 'cancel of another\'s', '-U', 'app', 'cancel', $added);
sql('CREATE ROLE stranger LOGIN');
(undef, $err) = defer_ok(1, 'no right to the schema', '-U', 'stranger', 'status');
like($err, qr/role "stranger" may not use defer/, 'no right to the schema: says so');

# ----------------------------------------------------------------------------
# Schedules of one name that belong to several roles
# ----------------------------------------------------------------------------

sql(q{
	CREATE ROLE one; CREATE ROLE "Two ""2"""; GRANT USAGE ON SCHEMA defer TO one, "Two ""2""";
	SELECT defer.cron_command('backup', '0 3 * * *', 'SELECT 0');
	SET ROLE one; SELECT defer.cron_command('backup', '0 2 * * *', 'SELECT 1'); SELECT defer.cron_command('only', '0 2 * * *', 'SELECT 1'); RESET ROLE;
	SET ROLE "Two ""2"""; SELECT defer.cron_command('only', '0 1 * * *', 'SELECT 2'); RESET ROLE});
sub paused { return sql(q{SELECT string_agg(name || ' ' || owner, ', ' ORDER BY 1) FROM defer.schedules WHERE NOT active}); }
(undef, $err) = defer_ok(1, 'several roles have one', 'trigger', 'only');
like($err, qr/several roles have a schedule "only"\nHINT: .*--owner/s, 'several roles have one: says how to choose');
is(defer_ok(0, 'pause that of a role', 'pause', '--schedule', 'backup', '--owner', 'one'), "paused schedule backup\n", 'pause that of a role');
is(paused(), 'backup one', 'it is that one');
defer_ok(0, 'resume that of a role', 'resume', '--schedule', 'backup', '--owner', 'one', '-q');
is(paused(), '', 'and again');
defer_ok(0, 'a name with quotes', 'pause', '-S', 'only', '--owner', 'Two "2"', '-q');
is(paused(), 'only Two "2"', 'a name with quotes: it is that one');
my $of_one = defer_ok(0, 'trigger that of a role', 'trigger', 'only', '--owner', 'one') =~ s/\n//r;
is(sql("SELECT owner || ' ' || (args ->> 'sql') FROM defer.jobs WHERE id = $of_one"), 'one SELECT 1', 'it was that one');
sql(q{SET ROLE "Two ""2"""; SELECT defer.trigger('only')});
is(join(' ', map { $_->{id} } @{ defer_json('jobs of a schedule of a role', 'jobs', '--schedule', 'only', '--owner', 'one')->{jobs} }), $of_one,
	'jobs of a schedule of a role');
is(scalar @{ defer_json('jobs of schedules', 'jobs', '--schedule', 'only')->{jobs} }, 2, 'jobs of all schedules of that name');
is(join(' ', map { $_->{owner} } @{ defer_json('a schedule of a role', 'schedules', 'only', '--owner', 'one')->{schedules} }), 'one', 'a schedule of a role');
is(scalar @{ defer_json('schedules of a role', 'schedules', '--owner', 'one')->{schedules} }, 2, 'schedules of a role');
defer_ok(4, 'no such schedule of a role', 'schedules', 'backup', '--owner', 'Two "2"');
(undef, $err) = defer_ok(4, 'no such schedule of a role', 'trigger', 'backup', '--owner', 'Two "2"');
like($err, qr/schedule "backup" does not exist/, 'no such schedule of a role: says so');
defer_ok(4, 'no such role', 'trigger', 'backup', '--owner', 'nobody');
defer_ok(3, 'whose function?', 'pause', 'add', '--owner', 'one');
like(defer_ok(0, 'schedules of several roles', 'schedules'), qr/^NAME +ROLE.*\nbackup +one .*\nonly +one /s, 'schedules: whose they are');
sql(q{SELECT defer.unschedule(id) FROM defer.schedules WHERE name = 'only'});

# ----------------------------------------------------------------------------
# Making and changing schedules, settings of functions, queues and groups; lists
# ----------------------------------------------------------------------------

sub schedule { return sql("SELECT schedule, timezone, overlap, jitter, queue, function, command, active FROM defer.schedules WHERE name = '$_[0]'"); }
like(defer_ok(0, 'cron', 'cron', 'tick', '0 4 * * 1', '--name', 'made', '-z', 'Asia/Tokyo', '--overlap=queue'), qr/^\d+\n$/, 'cron writes the id');
is(schedule('made'), '0 4 * * 1|Asia/Tokyo|queue|00:00:00||public.tick()||t', 'cron: the schedule');
is(defer_json('cron', 'cron', 'tick', '0 5 * * 1', '--name', 'made', '--active=no')->[0]{id},
	sql(q{SELECT id FROM defer.schedules WHERE name = 'made'}), 'cron: anew, as JSON');
is(schedule('made'), '0 5 * * 1|UTC|skip|00:00:00||public.tick()||f', 'cron: all options are set anew');
defer_ok(0, 'cron --command', 'cron', '-c', q{SELECT 'it''s'}, '@daily', '--name', 'statement');
is(schedule('statement'), q{@daily|UTC|skip|00:00:00||defer.command|SELECT 'it''s'|t}, 'cron --command: the schedule');
(undef, $err) = defer_ok(1, 'cron: refused', 'cron', 'tick', '61 * * * *', '--name', 'bad');
like($err, qr/invalid schedule "61 \* \* \* \*"/, 'cron: why it is refused');
is((defer_ok(0, 'alter-cron', 'alter-cron', 'made', 'statement', '--jitter', '5 min', '-Q', 'side'))[0],
	"changed schedule made\nchanged schedule statement\n", 'alter-cron says what it has done');
is(schedule('made'), '0 5 * * 1|UTC|skip|00:05:00|side|public.tick()||f', 'alter-cron changes what is given only');
defer_ok(0, 'alter-cron --sql', 'alter-cron', 'statement', '--sql', 'SELECT 2', '--schedule', '@hourly', '--owner', sql('SELECT current_user'));
is(schedule('statement'), '@hourly|UTC|skip|00:05:00|side|defer.command|SELECT 2|t', 'alter-cron with --owner');
defer_ok(1, 'alter-cron of one that is not there', 'alter-cron', 'gone', '--jitter', '1 s');
defer_ok(4, '... with --owner', 'alter-cron', 'gone', '--jitter', '1 s', '--owner', 'nobody');
defer_ok(0, 'unschedule', 'unschedule', 'made', 'statement');
defer_ok(4, 'unschedule of one that is gone', 'unschedule', 'made');
defer_ok(4, '... with --owner', 'unschedule', 'made', '--owner', 'nobody');
is(sql(q{SELECT count(*) FROM defer.schedules WHERE name IN ('made', 'statement', 'bad')}), 0, 'unschedule: they are gone');

defer_ok(0, 'create-queue', 'create-queue', 'q1', 'q2', '--concurrency', '3', '--priority', '-5');
defer_ok(0, 'alter-queue', 'alter-queue', 'q1', '--rate', '10/minute', '--max-interval', '2 h');
is(sql(q{SELECT string_agg(concat_ws(' ', queue, concurrency, priority, rate, max_interval), ', ' ORDER BY queue) FROM defer.queues WHERE queue LIKE 'q_'}),
	'q1 3 -5 10/minute 02:00:00, q2 3 -5', 'queues: made and changed');
defer_ok(0, 'alter-queue --reset', 'alter-queue', 'q1', '--reset');
is(sql(q{SELECT num_nulls(concurrency, priority, rate, max_interval) FROM defer.queues WHERE queue = 'q1'}), 4, 'alter-queue --reset');
defer_ok(1, 'create-queue of one that is there', 'create-queue', 'q1');
defer_ok(0, 'configure', 'configure', 'add', 'fan', '--queue', 'q2', '--max-attempts', '7', '--multiplier', '1.5', '--at-limit', 'cancel', '--concurrency', '9');
is(sql(q{SELECT string_agg(concat_ws(' ', function, queue, max_attempts, multiplier, at_limit, concurrency), ', ' ORDER BY function)
	FROM defer.functions WHERE queue = 'q2'}), 'public.add(integer,integer) q2 7 1.5 cancel 9, public.fan(integer) q2 7 1.5 cancel 9', 'configure: settings');
like((defer_ok(1, 'configure: refused', 'configure', 'nothing', '--concurrency', '1'))[1], qr/nothing: function "nothing" does not exist/, 'configure: why');
defer_ok(0, 'set-group', 'set-group', 'mine', 'blue', '--queue', 'q1', '--concurrency', 'none', '--weight', '2.5');
defer_ok(0, 'set-group of a function', 'set-group', 'mine', '--function', 'add', '--concurrency', '4', '--rate', '1/s');
is(sql(q{SELECT string_agg(concat_ws(' ', group_key, name, concurrency, rate, weight), ', ' ORDER BY group_key, name) FROM defer.groups WHERE group_key IN ('mine', 'blue')}),
	'blue q1 2.5, mine public.add(integer,integer) 4 1/s 1, mine q1 2.5', 'set-group: settings');

# the lists
my %list = (functions => 'function', queues => 'queue', groups => 'group_key');
for my $command (sort keys %list)
{
	my $document = defer_json($command, $command);

	is(join(',', map { $_->{ $list{$command} } } @{ $document->{$command} }),
		sql("SELECT string_agg($list{$command}, ',' ORDER BY $list{$command} COLLATE \"C\") FROM defer.$command"), "$command --json has all");
	(my $text) = defer_ok(0, $command, $command);
	like($text, qr/^(?:FUNCTION|QUEUE|GROUP) .*LIMIT .*QUEUED .*OLDEST READY\n/, "$command: a table");
	is(scalar(split /\n/, $text), 1 + @{ $document->{$command} }, "$command: a line each");
	like((defer_ok(4, "$command gone", $command, 'gone'))[1], qr/there is no .*"gone"/, "$command: one that is not there");
}
for my $name ('add', 'public.add', 'public.add(integer,integer)')
{
	like((defer_ok(0, "functions $name", 'functions', $name))[0],
		qr/^function +public\.add\(integer,integer\)\nqueue +q2\n.*^concurrency +9\n.*^max_attempts +7\n/ms, "functions $name: its settings");
}
is(defer_json('queues q2', 'queues', 'q2')->{queues}[0]{concurrency}, 3, 'queues q2: its settings');
is(scalar(() = (defer_ok(0, 'groups mine', 'groups', 'mine'))[0] =~ /^group_key +mine$/mg), 2, 'groups mine: of the function and of the queue');
defer_ok(0, 'reset-group', 'reset-group', 'mine', '--function', 'add');
is((defer_ok(4, 'reset-group', 'reset-group', 'mine', 'red', 'blue', '-Q', 'q1'))[0], "reset group mine\nreset group blue\n", 'reset-group: one has no settings');
is(sql(q{SELECT count(*) FROM defer.groups WHERE group_key IN ('mine', 'blue')}), 0, 'reset-group: nothing is left');
defer_ok(1, 'drop-queue of one in use', 'drop-queue', 'q2');

# tasks, and their workers outside of the server
sql(q{SELECT defer.create_task('outside task'); SELECT defer.enqueue('outside task', '[1]')});
my $held_by_one = '';
for (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if $held_by_one = sql(q{SELECT format('%s, %L', id, token) FROM defer.take('{outside task}', lease => '1 hour', worker => 'host one')});
	select(undef, undef, undef, 0.01);
}
like((defer_ok(0, 'workers', 'workers'))[0], qr/^WORKER +ROLE .*TASKS +JOBS .*LAST SEEN\nhost one +\w+ +\S+ +outside task +1 [^\n]*\n\z/, 'workers: a table');
is(defer_json('workers host one', 'workers', 'host one')->{workers}[0]{leases}, 1, 'workers: as JSON');
like((defer_ok(0, 'workers host one', 'workers', 'host one'))[0], qr/^tasks +outside task$/m, 'workers: all about one');
like((defer_ok(4, 'workers gone', 'workers', 'gone'))[1], qr/there is no worker "gone"/, 'workers: one that is not there');
like((defer_ok(0, 'functions', 'functions'))[0], qr/^outside task .* 1 /m, 'a task is among the functions');
# all servers: one, without Citus
like((defer_ok(0, 'functions of all', 'functions', '--all-servers'))[0], qr/^NODE  FUNCTION.*^0 +outside task .* 1 /ms, 'functions of all servers');
like((defer_ok(0, 'queues of all', 'queues', '--all-servers'))[0], qr/^NODE  QUEUE.*^0 +side /ms, 'queues of all servers');
is((JSON::PP::decode_json((defer_ok(0, 'queue of all', 'queues', 'side', '--all-servers', '--json'))[0]))->{queues}[0]{node}, 0, 'a queue, as JSON');
like((defer_ok(0, 'jobs of all', 'jobs', '-n', '3', '--all-servers'))[0], qr/^JOB .*outside task.*SELECT 2/s, 'jobs of all servers');
is((JSON::PP::decode_json((defer_ok(0, 'jobs of all, as JSON', 'jobs', '-n', '3', '--all-servers', '--json'))[0]))->{jobs}[2]{node}, 0, 'as JSON');
like((defer_ok(0, 'status of all', 'status', '--all-servers'))[0], qr/^side .*/m, 'the status of all servers');
is(scalar @{(JSON::PP::decode_json((defer_ok(0, 'status of all, as JSON', 'status', '--all-servers', '--json'))[0]))->{queues}},
	scalar @{(JSON::PP::decode_json((defer_ok(0, 'status, as JSON', 'status', '--json'))[0]))->{queues}}, 'as JSON');
sql("SELECT defer.complete($held_by_one)");
defer_ok(0, 'configure --reset', 'configure', 'add', 'fan', '--reset');
defer_ok(0, 'drop-queue', 'drop-queue', 'q1', 'q2');
defer_ok(4, 'drop-queue of one that is gone', 'drop-queue', 'q1');

# ----------------------------------------------------------------------------
# Hostile text
# ----------------------------------------------------------------------------

my $evil = "e\e]0;owned\a\e[2J\\x\"'%s\$(touch /tmp/x)\x{9}\x{d}\x{7f}\x{c2}\x{9b}31m\x{e2}\x{80}\x{ae}\n\x{e2}\x{82}\x{ac}";
sub literal { return "E'" . join('', map { sprintf '\\x%02x', ord } split //, $_[0]) . "'"; }
my $text = literal($evil);
# Names of queues and schedules may not have control characters
my $mild = "q\"'%s\$(touch /tmp/x)\\x\x{e2}\x{80}\x{ae}\x{e2}\x{82}\x{ac}";
my $name = literal($mild);
sql(qq{
	DO \$do\$
	BEGIN
		EXECUTE format('CREATE FUNCTION %I() RETURNS text LANGUAGE plpgsql AS %L', $text, format(
			'BEGIN PERFORM defer.log(%L); PERFORM defer.progress(0.5); RAISE %L USING DETAIL = %L, HINT = %L; END',
			$text, replace($text, '%', '%%'), $text, $text));
		EXECUTE format('CREATE FUNCTION %I() RETURNS text LANGUAGE sql AS %L', $text || 'good', format('SELECT %L::text', $text));
		PERFORM defer.create_queue($name || 'queue');
		PERFORM defer.cron_command($name || 'schedule', '0 0 29 2 *', 'SELECT ' || quote_literal($text));
	END \$do\$});
my $signature = sql(qq{SELECT quote_ident($text)});
my $bad = sql(qq{SELECT defer.enqueue('public.' || quote_ident($text) || '()', max_attempts => 1, metadata => jsonb_build_object($text, $text), queue => $name || 'queue', key => $text)});
my $good = sql(qq{SELECT defer.enqueue('public.' || quote_ident($text || 'good') || '()')});
my $held = sql(qq{SELECT defer.enqueue('add', '[1]', delay => '1 day', queue => $name || 'queue')});
defer_ok(5, 'hostile job', 'wait', $bad, '-q');
defer_ok(0, 'hostile result', 'wait', $good);
for my $command ([ 'status' ], [ 'top', '-n', '1' ], [ 'jobs' ], [ 'job', $bad ], [ 'job', $good ], [ 'schedules' ],
	[ 'schedules', "${mild}schedule" ], [ 'functions' ], [ 'workers' ], [ 'queues' ], [ 'queues', "${mild}queue" ], [ 'groups' ], [ 'functions', $evil ],
	[ 'cron', $evil, $evil ], [ 'alter-cron', $evil, '--sql', $evil ], [ 'configure', $evil, '--reset' ], [ 'set-group', $evil, '-Q', $evil, '--rate', $evil ], [ 'wait', $bad ], [ 'wait', $good ], [ 'metrics' ], [ 'enqueue', $evil ],
	[ 'trigger', "$evil-gone" ], [ 'pause', '-Q', "${mild}queue" ], [ 'resume', '-Q', "${mild}queue" ],
	[ 'jobs', '-f', $evil ], [ $evil ], [ 'status', "--$evil" ], [ 'status', $evil ], [ 'jobs', '-n', $evil ],
	[ 'status', '-d', "dbname='" . ($evil =~ s/(['\\])/\\$1/gr) . "'" ])
{
	(my $what = $command->[0]) =~ s/[^a-z]//g;
	for my $format ([], ['--json'], ['--color=always'])
	{
		($code, $out, $err) = run_defer(@$command, @$format);
		my $all = $out . $err;
		$all =~ s/\e\[\d*m//g if "@$format" =~ /always/;
		unlike($all, qr/[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]/, "$what @$format: nothing that a terminal obeys");
		ok(defined eval { JSON::PP->new->utf8->decode($out) }, "$what: JSON with hostile text")
			if "@$format" eq '--json' && $out ne '' && $what ne 'metrics';
	}
}
$job = defer_json('hostile', 'job', $bad);
# (JSON::PP of Perl 5.40 loses a 0 that is written as \u0030)
my $wanted = $evil;
utf8::decode($wanted);
is($job->{error}, $wanted, 'JSON has the text as it is');
sql('SELECT defer.cancel(id) FROM defer.jobs WHERE state = \'scheduled\'');

# ----------------------------------------------------------------------------
# Metrics
# ----------------------------------------------------------------------------

# Queries of doc/grafana.json, of its panels and variables
sub grafana_expressions
{
	my $dashboard = JSON::PP->new->utf8->decode(slurp_file('doc/grafana.json'));

	return (map { $_->{expr} } map { @{ $_->{targets} } } @{ $dashboard->{panels} }),
		map { $_->{query}{query} =~ /^label_values\((.*), \w+\)$/ ? $1 : $_->{query}{query} }
		grep { $_->{type} eq 'query' } @{ $dashboard->{templating}{list} };
}

$node->restart;
$fan = defer_json('enqueue', 'enqueue', 'fan', '[50]')->{id};
defer_ok(0, 'fan-out', 'wait', $fan);
defer_ok(5, 'a failure', 'enqueue', 'boom', '["x"]', '--wait', '-q');
$held = defer_json('enqueue', 'enqueue', 'add', '[1]', '--delay', '1 day', '--queue', 'side')->{id};
sql(q{SELECT defer.configure('fan', max_queued => 1)});
my $after = sql("SELECT defer.enqueue('fan', '[1]', after => ARRAY[$held])");
like((run_defer('enqueue', 'fan', '[1]'))[2], qr/has as many unfinished jobs as it may have/, 'one more than max_queued is refused');
sql(q{SELECT defer.configure('fan', max_queued => 2)});
until_ok($node, q{SELECT sum(succeeded) >= 51 AND sum(failed) = 1 FROM defer.statistics}, 'counted');
my $metrics = defer_ok(0, 'metrics', 'metrics', '--buckets', 'all');
my %value;
# each sample has the label "database", which is left out here
for (grep { !/^#/ } split /\n/, $metrics)
{
	/^([a-z_]+)\{database="postgres",?(.*)\} (\S+)$/ or fail("metrics: $_ has no database"), next;
	$value{ $2 eq '' ? $1 : "$1\{$2\}" } = $3;
}
is($value{'defer_up'}, 1, 'metrics: up');
is($value{'defer_jobs{function="public.add(integer,integer)",queue="side",state="scheduled"}'}, 1, 'metrics: unfinished jobs');
is($value{'defer_jobs{function="public.fan(integer)",queue="default",state="waiting"}'}, 1, 'metrics: a job that waits');
is($value{'defer_waiting_jobs{function="public.fan(integer)",queue="default",reason="after"}'}, 1, 'metrics: and what for');
is(scalar(grep { /^defer_waiting_jobs/ } keys %value), 1, 'metrics: no others wait');
for my $row (split /\n/, sql(q{SELECT function, queue, state, count(*) FROM defer.jobs
	WHERE finished_at > pg_postmaster_start_time() GROUP BY 1, 2, 3}))
{
	my ($function, $queue, $state, $n) = split /\|/, $row;
	is($value{qq{defer_jobs_ended_total{function="$function",queue="$queue",state="$state"}}}, $n, "metrics: $state jobs of $function");
}
my $capped = 'kind="function",name="public.fan(integer)"';
is(join(' ', map { $value{"defer_${_}{$capped}"} // 'none' } qw(max_queued counted_jobs refused_enqueues_total)), '2 1 1', 'metrics: max_queued');
my ($counted) = grep { $_->{function} eq 'public.fan(integer)' } @{ defer_json('functions', 'functions')->{functions} };
is("$counted->{max_queued} $counted->{unfinished} $counted->{refused}", '2 1 1', 'and its numbers');
defer_ok(0, 'it is cancelled', 'cancel', $after);
my $of = 'function="public.add(integer,integer)",queue="default"';
is($value{"defer_job_duration_seconds_count{$of}"}, 50, 'metrics: durations');
is($value{"defer_job_duration_seconds_bucket{$of,le=\"+Inf\"}"}, 50, 'metrics: the last bucket has all');
my @buckets = map { $value{"defer_job_duration_seconds_bucket{$of,le=\"$_\"}"} } qw(0.0001 0.001 0.005 0.01 0.05 0.1 0.5 1 5 10 30 60 300 900 3600);
is(scalar(grep { !defined } @buckets), 0, 'metrics: all buckets');
is("@buckets", join(' ', sort { $a <=> $b } @buckets), 'metrics: buckets are cumulative');
for my $bound (0.001, 0.01, 1)
{
	is($value{"defer_job_duration_seconds_bucket{$of,le=\"$bound\"}"},
		sql("SELECT count(*) FROM defer.jobs WHERE function = 'public.add(integer,integer)' AND parent_id = $fan AND duration <= interval '$bound s'"),
		"metrics: jobs of up to $bound s");
}
my $sum = sql("SELECT sum(extract(epoch FROM duration)) FROM defer.jobs WHERE function = 'public.add(integer,integer)' AND parent_id = $fan");
cmp_ok(abs($value{"defer_job_duration_seconds_sum{$of}"} - $sum), '<', 1e-6, 'metrics: sum of durations');
is($value{"defer_job_pickup_delay_seconds_count{$of}"}, 50, 'metrics: delays');
is($value{'defer_attempts_not_succeeded_total{function="public.boom(text)",queue="default",outcome="failed"}'}, 2, 'metrics: attempts');
is($value{'defer_workers_limit'}, 4, 'metrics: limit of workers');
is("$value{'defer_outside_workers'} $value{'defer_leases'}", '0 0', 'metrics: no outside workers');

# groups: those that have most jobs, and no more than are asked for
is($value{'defer_groups'}, 0, 'metrics: no group has unfinished jobs');
unlike($metrics, qr/^defer_group_/m, 'metrics: nor has one a series');
sql(q{SELECT count(defer.enqueue('add', '[1]', queue => 'side', group_key => 'g' || i, delay => '1 day')) FROM generate_series(1, 12) i, generate_series(1, i) j});
sql(q{SELECT defer.enqueue('add', '[1]', queue => 'side', group_key => 'a "\\', delay => '1 day') FROM generate_series(1, 20)});
for my $case ([ [], 10 ], [ [ '--groups', '3' ], 3 ], [ [ '--groups', '0' ], 0 ], [ [ '--groups', '1000' ], 13 ])
{
	my ($options, $n) = @$case;
	my $text = defer_ok(0, "metrics @$options", 'metrics', @$options);

	like($text, qr/^defer_groups\{database="postgres"\} 13$/m, "metrics @$options: all groups are counted");
	is(scalar(() = $text =~ /^defer_group_jobs\{database="postgres",queue="side",group="[^{}]*",state="scheduled"\} [1-9]/mg), $n, "metrics @$options: $n groups");
	is(scalar(() = $text =~ /^defer_group_jobs\{/mg), 5 * $n, "metrics @$options: a series for each state");
	is(scalar(() = $text =~ /^defer_group_oldest_ready_seconds\{.*\} 0$/mg), $n, "metrics @$options: nothing is ready");
}
$metrics = defer_ok(0, 'metrics', 'metrics', '--groups', '2');
like($metrics, qr/^defer_group_jobs\{database="postgres",queue="side",group="a \\"\\\\",state="scheduled"\} 20$/m, 'metrics: the largest group, escaped');
like($metrics, qr/^defer_group_jobs\{database="postgres",queue="side",group="g12",state="scheduled"\} 12$/m, 'metrics: the next one');
defer_ok(3, 'metrics of too many groups', 'metrics', '--groups', '1001');
sql(q{SELECT count(defer.cancel(id)) FROM defer.live_jobs WHERE group_key IS NOT NULL});
# histograms: their buckets, and of which functions; the counters have all functions
for my $case ([ [], 8 ], [ [ '--buckets', 'few' ], 8 ], [ [ '--buckets', 'all' ], 16 ], [ [ '--buckets', 'none' ], 1 ])
{
	my ($options, $n) = @$case;
	my $text = defer_ok(0, "metrics @$options", 'metrics', @$options);

	for my $name ('defer_job_duration_seconds', 'defer_job_pickup_delay_seconds')
	{
		is(scalar(() = $text =~ /^${name}_bucket\{database="postgres",\Q$of\E,le="/mg), $n, "metrics @$options: buckets of $name");
		like($text, qr/^${name}_bucket\{database="postgres",\Q$of\E,le="\+Inf"\} (\d+)\n${name}_sum\{database="postgres",\Q$of\E\} \S+\n${name}_count\{database="postgres",\Q$of\E\} \1\n/m,
			"metrics @$options: sum and count of $name");
	}
}
my ($most) = sql(q{SELECT format('function="%s",queue="%s"', function, queue) FROM defer.statistics GROUP BY function, queue
	ORDER BY sum(succeeded + failed + cancelled + discarded) DESC, function, queue LIMIT 1});
my $one = defer_ok(0, 'metrics --functions 1', 'metrics', '--functions', '1');
is(scalar(() = $one =~ /^defer_job_duration_seconds_count\{database="postgres",\Q$most\E\}/mg), 1, 'metrics: a histogram of the function that ran most');
is(scalar(() = $one =~ /^defer_job_duration_seconds_count/mg), 1, 'metrics: and of no other');
like($one, qr/^defer_jobs_ended_total\{.*"public\.boom\(text\)"/m, 'metrics: counters of the others');
unlike(defer_ok(0, 'metrics --functions 0', 'metrics', '--functions', '0'), qr/_bucket/, 'metrics: no histograms');
defer_ok(3, 'metrics of too many functions', 'metrics', '--functions', '10001');
defer_ok(3, 'metrics with other buckets', 'metrics', '--buckets', 'some');
is($value{'defer_findings{severity="warning"}'}, sql(q{SELECT count(*) FROM defer.health WHERE severity = 'warning'}), 'metrics: findings');
sql(q{SELECT defer.configure('fan', reset => true)});
is($value{'defer_schedule_active{schedule="nightly",role="' . sql('SELECT current_user') . '"}'}, 1, 'metrics: schedules');
my $promtool = $ENV{PROMTOOL};	# see tools/promtool
SKIP:
{
	skip 'there is no promtool (Debian package prometheus)', 4 unless $promtool && -x $promtool;
	my ($good_out, $good_err) = ('', '');
	IPC::Run::run([ $promtool, 'check', 'metrics' ], '<', \$metrics, '>', \$good_out, '2>', \$good_err);
	is("$?$good_out$good_err", '0', 'promtool accepts the metrics, and has nothing to remark');
	for my $command ([ 'check', 'rules', 'doc/prometheus-rules.yml' ], [ 'test', 'rules', 'test/prometheus/rules.test.yml' ])
	{
		ok(IPC::Run::run([ $promtool, @$command ], '<', \undef, '>', \$good_out, '2>&1'), "promtool @$command") or diag $good_out;
	}
	# All expressions of the Grafana dashboard, as rules
	my $rules = "groups: [{name: grafana, rules: [\n";
	$rules .= '{record: "x", expr: ' . JSON::PP->new->allow_nonref->encode($_ =~ s/\$__rate_interval/5m/gr) . "},\n" for grafana_expressions();
	my $file = PostgreSQL::Test::Utils::tempdir() . '/grafana.yml';
	append_to_file($file, "$rules]}]\n");
	ok(IPC::Run::run([ $promtool, 'check', 'rules', $file ], '<', \undef, '>', \$good_out, '2>&1'), 'promtool accepts the expressions of the Grafana dashboard')
		or diag $good_out;
}
# What the dashboard for Grafana and the rules for Prometheus name is there
{
	my %labels;
	my @expressions = (grafana_expressions(), slurp_file('doc/prometheus-rules.yml') =~ /^ +expr: (.*?)^ +(?:for|labels):/msg);

	for ($metrics =~ /^(\w+\{.*\}) \S+$/mg)
	{
		my ($name, $list) = /^(\w+)\{(.*)\}$/;
		$labels{$name}{$_} = 1 for $list =~ /(?:^|,)(\w+)="/g;
	}
	cmp_ok(scalar @expressions, '>', 25, 'Grafana and Prometheus: there are expressions');
	for my $expression (@expressions)
	{
		my @names = $expression =~ /\b(defer_[a-z_]+)/g;
		my @wrong = grep { !$labels{$_} } @names;
		my @wanted = grep { $_ ne 'instance' } map { split /[, ]+/ } $expression =~ /\b(?:by|on) \(([^)]*)\)/g;

		isnt(scalar @names, 0, "a metric of defer: $expression");
		is("@wrong", '', 'which the program writes');
		for my $name (@names)
		{
			push @wanted, grep { $_ ne 'instance' } $1 =~ /(\w+)=/g while $expression =~ /\b$name\{(.*?)\}/g;
			push @wrong, grep { !$labels{$name}{$_} } @wanted;
		}
		is("@wrong", '', 'with these labels');
	}
}
sql("SELECT defer.cancel($held)");

# ----------------------------------------------------------------------------
# In a terminal
# ----------------------------------------------------------------------------

my ($socket, @tmux);

SKIP:
{
	$socket = PostgreSQL::Test::Utils::tempdir_short() . '/tmux';
	@tmux = ('tmux', '-S', $socket, '-f', '/dev/null');

	skip 'tmux is not installed', 1 if system('tmux -V >/dev/null 2>&1') != 0;

	sub tmux
	{
		my @arguments = @_;
		my ($got, $error) = ('', '');

		IPC::Run::run([ @tmux, @arguments ], '<', \undef, '>', \$got, '2>', \$error) or diag("tmux @arguments: $error");
		return $got;
	}

	# Wait until the screen looks like that
	sub screen_like
	{
		my ($pattern, $what, @how) = @_;
		my $screen = '';

		for (1 .. 300)
		{
			$screen = tmux('capture-pane', '-p', @how);
			last if $screen =~ $pattern;
			sleep 0.1;
		}
		like($screen, $pattern, $what);
		return $screen;
	}

	sql(q{TRUNCATE gate});
	$gated = defer_json('enqueue', 'enqueue', 'gated')->{id};
	until_ok($node, "SELECT progress > 0.4 FROM defer.jobs WHERE id = $gated", 'a job runs');

	# Whatever becomes of the test
	END { my $status = $?; system(@tmux, 'kill-server') if @tmux && -e $socket; $? = $status; }

	# Started here, so that its server inherits our environment
	$ENV{DEFER_TEST} = "defer -d '$connection'";
	tmux('new-session', '-d', '-x', '110', '-y', '24', 'env PS1="ready> " sh');
	screen_like(qr/ready>/, 'a shell');
	my $modes = sub {
		tmux('send-keys', 'clear; echo modes $(stty -g | cksum).', 'Enter');
		return screen_like(qr/^modes \d+ \d+\.$/m, 'modes of the terminal') =~ /^(modes \d+ \d+)\.$/m ? $1 : undef;
	};
	my $modes_before = $modes->();
	tmux('send-keys', 'clear; eval "$DEFER_TEST top --interval 200ms"; echo ended $?', 'Enter');
	my $screen = screen_like(qr/^defer top - postgres.*^ *JOB .*$gated +public\.gated\(\).*\[####\.+\]  42 %/ms, 'top draws');
	is(tmux('display-message', '-p', '#{alternate_on}#{cursor_flag}'), "10\n", 'top: a screen of its own, without a cursor');
	my ($clock) = $screen =~ /(\d\d:\d\d:\d\d)/;
	screen_like(qr/^defer top - postgres (?!$clock)\d\d:\d\d:\d\d/, 'top draws again');
	like(tmux('capture-pane', '-p', '-e'), qr/\e\[1m.*defer top/s, 'top: bold on a terminal');
	my $started = sql(q{SELECT defer.enqueue('add', '[1]', delay => '1 day') FROM generate_series(1, 3)});
	screen_like(qr/^.*3 scheduled/m, 'top follows');

	# A smaller window
	tmux('resize-window', '-x', '50', '-y', '9');
	$screen = screen_like(qr/^defer top.*^ *JOB +FUNCTION/ms, 'top after a resize');
	cmp_ok(length($_), '<=', 50, 'top fits') for grep { /\S/ } split /\n/, $screen =~ s/\xe2\x80\xa6/./gr;
	cmp_ok(scalar(split /\n/, $screen), '<=', 9, 'top: not more lines than there are');
	tmux('resize-window', '-x', '140', '-y', '30');
	screen_like(qr/$gated +public\.gated\(\) +default +\S+ +\d+ /, 'top after a resize to more');

	# The server goes away and comes back
	$node->stop('immediate');
	screen_like(qr/Trying again/, 'top: the server is gone');
	$node->start;
	screen_like(qr/^defer top(?!.*Trying again)/s, 'top: it is back');
	until_ok($node, "SELECT progress > 0.4 FROM defer.jobs WHERE id = $gated", 'the job runs again');

	# The end, by key and by signal; the terminal is as before
	tmux('send-keys', 'q');
	screen_like(qr/^ended 0$/m, 'top ends');
	is(tmux('display-message', '-p', '#{alternate_on}#{cursor_flag}'), "01\n", 'top gives the screen back');
	is($modes->(), $modes_before, 'top: modes of the terminal as before');
	for my $how ('C-c', 'TERM')
	{
		tmux('send-keys', 'clear; eval "$DEFER_TEST top --interval 60s"; echo ended $?', 'Enter');
		screen_like(qr/^defer top/, "top before $how");
		if ($how eq 'TERM')
		{
			my $shell = tmux('display-message', '-p', '#{pane_pid}') + 0;
			my ($top) = `ps -o pid= --ppid $shell` =~ /(\d+)/;
			kill 'TERM', $top;
		}
		else
		{
			tmux('send-keys', $how);
		}
		screen_like(qr/^ended 0$/m, "top ends on $how");
		is(tmux('display-message', '-p', '#{alternate_on}#{cursor_flag}'), "01\n", "top gives the screen back on $how");
	}

	# The bar of wait, colours and NO_COLOR
	tmux('send-keys', "clear; eval \"\$DEFER_TEST wait $gated\"; echo ended \$?", 'Enter');
	screen_like(qr/^\[#+\.+\]  42 %  job $gated running, attempt \d+ of 13/m, 'wait draws a bar');
	sql('INSERT INTO gate VALUES (true)');
	screen_like(qr/^"opened"\nended 0$/m, 'wait ends with the result');
	tmux('send-keys', "clear; eval \"\$DEFER_TEST wait $fan\"; echo ended \$?", 'Enter');
	screen_like(qr/\] 100 %  50 of 50, .*\n50\nended 0$/m, 'wait shows the children');
	tmux('send-keys', 'clear; eval "$DEFER_TEST jobs -s succeeded -n 1"; echo ended $?', 'Enter');
	screen_like(qr/\e\[32m *succeeded/, 'colours on a terminal', '-e');
	screen_like(qr/More: --before \d+/, 'the next page on a terminal');
	tmux('send-keys', 'clear; eval "NO_COLOR=1 $DEFER_TEST jobs -s succeeded -n 1"; echo ended $?', 'Enter');
	$screen = screen_like(qr/ended 0/, 'NO_COLOR', '-e');
	unlike($screen, qr/\e\[32m/, 'NO_COLOR: none');

	# A password is asked for on the terminal, and not shown
	sql(q{CREATE ROLE secret LOGIN PASSWORD 'opensesame' IN ROLE pg_monitor});
	my $hba = $node->data_dir . '/pg_hba.conf';
	my $rules = slurp_file($hba);
	unlink $hba;
	append_to_file($hba, "local all secret scram-sha-256\n$rules");
	$node->reload;
	until_ok($node, q{SELECT count(*) > 0 FROM pg_hba_file_rules WHERE user_name = '{secret}'}, 'a password is needed');
	my ($refused) = run_defer('-U', 'secret', '-w', 'status');
	is($refused, 2, '--no-password');
	tmux('send-keys', 'clear; eval "$DEFER_TEST -U secret status"; echo ended $?', 'Enter');
	screen_like(qr/^Password for user secret:/m, 'a password is asked for');
	tmux('send-keys', 'opensesame', 'Enter');
	$screen = screen_like(qr/in postgres as secret.*^ended 0$/ms, 'and is good');
	unlike($screen, qr/opensesame/, 'it is not shown');
	my $pass = PostgreSQL::Test::Utils::tempdir() . '/pgpass';
	append_to_file($pass, "*:*:*:secret:opensesame\n");
	chmod 0600, $pass;
	{
		local $ENV{PGPASSFILE} = $pass;
		($refused) = run_defer('-U', 'secret', '-w', 'status');
		is($refused, 0, '.pgpass');
	}
}

$node->stop;
done_testing();
