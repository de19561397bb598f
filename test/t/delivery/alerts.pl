# Alerts: messages that arrive, grouped; recovery; nothing lost in a crash;
# never an alert about an alert; backlog, schedules, workers.
use strict;
use warnings;

use lib 'test/t/lib';
use DeferTest;
use JSON::PP;
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

my $missing = Peers->can('missing') ? (Peers::missing('http') // Peers::missing('smtp')) : 'peers';
plan skip_all => "$missing is not there" if $missing;

my $http = Peers->http;
my $mail = Peers->smtp;
my $node = new_server('alerts', qq{
defer.http_allow = '127.0.0.0/8'
defer.smtp_url = '@{[ $mail->url('plain') ]}'
defer.smtp_from = 'Jobs <jobs\@example.com>'
defer.log_level = error
});

$node->safe_psql('postgres', qq{
CREATE EXTENSION defer;
CREATE FUNCTION work(n integer) RETURNS integer LANGUAGE plpgsql AS
  'BEGIN IF n > 0 THEN RAISE EXCEPTION ''broken <!channel> %'', n; END IF; RETURN n; END';
CREATE FUNCTION slow() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(3600)';
CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS '';
SELECT defer.configure('work', max_attempts => 1);
SELECT defer.endpoint('team', 'slack', '@{[ $http->url('/record') ]}?slack');
SELECT defer.endpoint('hook', 'http', '@{[ $http->url('/record') ]}?hook');
});

# The bodies that came for a query string, decoded
sub messages
{
	my ($which) = @_;

	return map { decode_json($_->{body}) }
	  grep { $_->{target} =~ /\?$which$/ } $http->requests('/record');
}

sub wait_for
{
	my ($which, $n, $what) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if scalar(my @all = messages($which)) >= $n;
		select(undef, undef, undef, 0.1);
	}
	my @all = messages($which);
	is(scalar @all, $n, $what);
	return @all;
}

# Ten thousand failures are one message for each rule
$node->safe_psql('postgres', q{
SELECT defer.alert('ops', 'team', function => 'work', group_window => '1 s');
SELECT defer.alert('hooks', 'hook', group_window => '1 s', show_args => false);
SELECT defer.alert('mails', recipients => '{"Ops <ops@example.com>"}', group_window => '1 s');
SELECT count(defer.enqueue('work', '[-1]')) FROM generate_series(1, 100) n});
settled($node, 'a hundred jobs have succeeded');
is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.alert_event'), '0', 'which is no event');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work', jsonb_build_array(n))) FROM generate_series(1, 10000) n});
settled($node, 'ten thousand jobs have failed');
until_ok($node, q{SELECT bool_and(unsent = 0 AND last_sent_at IS NOT NULL) FROM defer.alerts}, 'all is told');
settled($node, 'the messages are sent');
my $told = $node->safe_psql('postgres',
	q{SELECT count(*) FROM defer.jobs WHERE function = 'defer.slack' AND metadata->>'alert' = 'ops'});
cmp_ok($told, '<=', 3, 'in few messages');
my ($slack) = wait_for('slack', $told, 'which have arrived at Slack');
like($slack->{text}, qr/^\d+ jobs failed in database postgres$/, 'with a headline');
my $text = $slack->{blocks}[0]{text}{text};
like($text, qr/`public\.work\(integer\)`: \d+ failed/, 'counts');
like($text, qr/job \d+ `public\.work\(integer\)` `\[\d+\]`, 1 attempt, .* m?s: broken &lt;!channel&gt; \d+ \(P0001\)/,
	'samples, in which nothing is mark-up');
unlike($text, qr/<!channel>/, 'nobody is called by an error message');
my ($hook) = messages('hook');
is($hook->{status}, 'firing', 'the other endpoint was told, too');
is($hook->{events}[0]{event}, 'failed', 'what');
is(scalar @{ $hook->{samples} }, 5, 'five samples');
ok(!defined $hook->{samples}[0]{args}, 'without arguments if so wanted');
my $total = 0;
$total += $_->{events}[0]{count} for grep { $_->{status} eq 'firing' } messages('hook');
is($total, 10000, 'each failure is counted once');
my ($letter) = $mail->mails;
like($letter->{subject}, qr/^\d+ jobs failed in database postgres$/, 'an e-mail has come');

# Recovery
$node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[-1]')});
until_ok($node, q{SELECT bool_and(failing = '{}' AND unsent = 0) FROM defer.alerts}, 'recovered');
settled($node, 'that is sent');
my @recovered = grep { $_->{status} eq 'recovered' } messages('hook');
is(scalar @recovered, 1, 'one word of recovery');
is($recovered[0]{events}[0]{subject}, 'public.work(integer)', 'of what');
$node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[-1]')});
settled($node, 'another success');
is($node->safe_psql('postgres', q{SELECT sum(unsent) FROM defer.alerts}), '0', 'is not told');

# A success and then a failure, told together: it goes on failing, and the next success
# is news.  (Events wait while the window is an hour.)
$node->safe_psql('postgres', q{SELECT defer.drop_alert(name) FROM defer.alerts WHERE name <> 'hooks';
	UPDATE defer.alert SET group_window = '0';
	SELECT defer.enqueue('work', '[20001]')});
until_ok($node, q{SELECT failing = '{public.work(integer)}' AND unsent = 0 FROM defer.alerts}, 'it fails again');
$node->safe_psql('postgres', q{UPDATE defer.alert SET group_window = '1 hour'; SELECT defer.enqueue('work', '[-1]')});
settled($node, 'a success');
$node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[20002]')});
settled($node, 'then a failure');
is($node->safe_psql('postgres', 'SELECT unsent FROM defer.alerts'), '2', 'both wait to be told');
$node->safe_psql('postgres', q{UPDATE defer.alert SET group_window = '0'; SELECT defer.enqueue('work', '[20003]')});
until_ok($node, q{SELECT failing = '{public.work(integer)}' AND unsent = 0 FROM defer.alerts}, 'it has not recovered');
is(scalar(grep { $_->{status} eq 'recovered' } messages('hook')), 1, 'nor is that told');
$node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[-1]')});
until_ok($node, q{SELECT failing = '{}' AND unsent = 0 FROM defer.alerts}, 'now it has');
settled($node, 'the word of it is sent');
is(scalar(grep { $_->{status} eq 'recovered' } messages('hook')), 2, 'and is told');

# Mended before the failure is sent: both are told, and nothing is failing any more.  Twice
# each, so that a success counts that follows a failure in whatever process.
$http->clear;
$node->safe_psql('postgres', q{SELECT defer.alert('hooks', 'hook', group_window => '1 hour')});
for my $n (20004, -1, 20005, -1)
{
	$node->safe_psql('postgres', "SELECT defer.enqueue('work', '[$n]')");
	settled($node, 'mended soon: a job');
	is($node->safe_psql('postgres', 'SELECT failing FROM defer.alerts'), '{public.work(integer)}', 'mended soon: it counts as failing until that is told');
}
$node->safe_psql('postgres', q{SELECT defer.alert('hooks', 'hook', group_window => '0')});
until_ok($node, q{SELECT failing = '{}' AND unsent = 0 FROM defer.alerts}, 'mended soon: nothing is failing any more');
is(join(' ', sort map { $_->{status} } wait_for('hook', 2, 'mended soon: two messages')), 'firing recovered', 'mended soon: the failure and its end');
settled($node, 'nothing is left to do');

# Failures after a recovery that waits: it goes on failing
$http->clear;
$node->safe_psql('postgres', q{SELECT defer.alert('hooks', 'hook', group_window => '1 hour')});
for my $n (20006, -1, 20007)
{
	$node->safe_psql('postgres', "SELECT defer.enqueue('work', '[$n]')");
	settled($node, 'failed again: a job');
}
$node->safe_psql('postgres', q{SELECT defer.alert('hooks', 'hook', group_window => '0')});
until_ok($node, q{SELECT failing = '{public.work(integer)}' AND unsent = 0 FROM defer.alerts}, 'failed again: it is failing');
my ($again) = wait_for('hook', 1, 'failed again: one message');
is($again->{status}, 'firing', 'failed again: of the failures');
$node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[-1]')});
wait_for('hook', 2, 'failed again: and then of the success');
until_ok($node, q{SELECT failing = '{}' AND unsent = 0 FROM defer.alerts}, 'failed again: which is the end');

# A message that cannot be sent makes no message
$node->safe_psql('postgres', qq{
SELECT defer.drop_alert(name) FROM defer.alerts;
SELECT defer.endpoint('nobody', 'http', '@{[ $http->url('/status/404') ]}');
SELECT defer.alert('all', 'nobody', on_states => '{failed,succeeded,cancelled,discarded}', group_window => '0');
SELECT defer.enqueue('work', '[1]')});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE metadata->>'alert' = 'all' AND state = 'failed'},
	'a message has failed');
settled($node, 'nothing is left to do');
is($node->safe_psql('postgres', q{SELECT unsent FROM defer.alerts}), '0', 'no event about it');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE metadata->>'alert' = 'all'}),
	'1', 'and no message about it');

# An endpoint that was dropped, and has come back as one of another kind
$http->clear;
$node->safe_psql('postgres', qq{
SELECT defer.drop_alert('all');
SELECT defer.endpoint('turned', 'slack', '@{[ $http->url('/record') ]}?turned'),
	defer.endpoint('post', 'email', '@{[ $mail->url('plain') ]}');
SELECT defer.alert('no recipients', 'turned', group_window => '0'),
	defer.alert('with recipients', 'post', recipients => '{ops\@example.com}', group_window => '0');
SELECT defer.drop_endpoint('turned'), defer.drop_endpoint('post');
SELECT defer.endpoint('turned', 'email', '@{[ $mail->url('plain') ]}'),
	defer.endpoint('post', 'http', '@{[ $http->url('/record') ]}?turned');
SELECT defer.enqueue('work', '[2]')});
wait_for('turned', 1, 'as http: told, without the recipients');
until_ok($node, q{SELECT bool_and(unsent = 0 AND last_sent_at IS NOT NULL) FROM defer.alerts}, 'as e-mail: the events go');
settled($node, 'nothing is left to do');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE metadata->>'alert' = 'no recipients'}), '0',
	'as e-mail: there is nobody to send it to');
my $log = slurp_file($node->logfile);
like($log, qr/WARNING: .*alert "no recipients" of role with OID \d+ is not sent: its endpoint "turned" is of kind email now/,
	'as e-mail: the log says why');
unlike($log, qr/terminated by signal/, 'no process has crashed');
$node->safe_psql('postgres', q{SELECT defer.drop_alert(name) FROM defer.alerts; SELECT defer.drop_endpoint('turned'), defer.drop_endpoint('post')});

# An immediate stop between the failure and the message loses nothing
$http->clear;
$node->safe_psql('postgres', q{
SELECT defer.alert('crash', 'hook', group_window => '2 s');
SELECT count(defer.enqueue('work', '[10007]')) FROM generate_series(1, 50)});
settled($node, 'fifty have failed');
$node->stop('immediate');
$node->start;
my $seen = 0;
until_ok($node, q{SELECT unsent = 0 AND last_sent_at IS NOT NULL FROM defer.alerts}, 'told after the crash');
settled($node, 'and sent');
# A failure whose commit was lost with the crash is a failure once more afterwards
my %id;
$id{ $_->{alert} } += $_->{events}[0]{count} for grep { $_->{status} eq 'firing' } messages('hook');
cmp_ok($id{crash}, '>=', $node->safe_psql('postgres',
	q{SELECT count(*) FROM defer.jobs WHERE function LIKE '%work%' AND args = '[10007]' AND state = 'failed'}),
	'each failure of the history is told');

# Jobs that wait too long
$http->clear;
$node->append_conf('postgresql.conf', 'defer.max_workers = 1');
$node->restart;
$node->safe_psql('postgres', q{
SELECT defer.drop_alert('crash');
SELECT defer.alert('late', 'hook', on_states => '{}', backlog => '1 s', group_window => '0');
SELECT defer.enqueue('slow');
SELECT count(defer.enqueue('work', '[-1]')) FROM generate_series(1, 3)});
my ($late) = wait_for('hook', 1, 'a backlog is told');
is($late->{events}[0]{event}, 'backlog', 'as such');
like($late->{events}[0]{message}, qr/^3 jobs are ready and have waited for longer than 1 s/, 'how many');
$node->safe_psql('postgres', q{SELECT defer.cancel(id, force => true) FROM defer.jobs WHERE function LIKE '%slow%'});
my (undef, $over) = wait_for('hook', 2, 'and its end');
is($over->{status}, 'recovered', 'as recovery');

# A tick that found the last run still going
$http->clear;
$node->safe_psql('postgres', q{
SELECT defer.drop_alert('late');
SELECT defer.alert('ticks', 'hook', on_states => '{}', schedules => true, group_window => '0');
SELECT defer.cron_command('sleeper', '* * * * * *', 'SELECT pg_sleep(3600)')});
my ($skipped) = wait_for('hook', 1, 'a tick that did not run is told');
is($skipped->{events}[0]{event}, 'skipped', 'as such');
$node->safe_psql('postgres', q{SELECT defer.unschedule('sleeper'), defer.drop_alert('ticks')});

# Many alerts of one role, and one that cannot be checked, keep no other's waiting
$http->clear;
$node->append_conf('postgresql.conf', 'defer.max_workers = 8');
$node->restart;
$node->safe_psql('postgres', q{
CREATE ROLE ann LOGIN; CREATE ROLE ben LOGIN;
GRANT USAGE ON SCHEMA defer TO ann, ben;
GRANT EXECUTE ON FUNCTION defer.http, defer.alert TO ann, ben;
SELECT defer.grant_endpoint('hook', 'ann'), defer.grant_endpoint('hook', 'ben');
SELECT defer.configure('slow', concurrency => 1);
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM defer.alert a WHERE a.id = NEW.alert_id AND a.owner = 'ann'::regrole) THEN RAISE EXCEPTION 'not this one'; END IF;
	RETURN NEW;
END$$;
CREATE TRIGGER no BEFORE INSERT ON defer.alert_failing FOR EACH ROW WHEN (NEW.subject = '(backlog)') EXECUTE FUNCTION no();
SELECT defer.enqueue('slow')});
until_ok($node, q{SELECT count(*) = 1 FROM defer.jobs WHERE function LIKE '%slow%' AND state = 'running'}, 'two roles: a job has the place of all of its function');
$node->safe_psql('postgres', q{
SET ROLE ann;
SELECT count(defer.alert('ann' || n, 'hook', on_states => '{succeeded}', group_window => '0', backlog => '1 s')) FROM generate_series(1, 100) n;
SELECT defer.enqueue('slow'), defer.enqueue('slow'), defer.enqueue('tick');
SET ROLE ben;
SELECT defer.alert('ben', 'hook', on_states => '{succeeded}', group_window => '0', backlog => '1 s');
SELECT defer.enqueue('slow'), defer.enqueue('tick')});
until_ok($node, q{SELECT unsent = 0 AND failing = '{(backlog)}' FROM defer.alerts WHERE name = 'ben'}, 'two roles: the backlog of one is told');
until_ok($node, q{SELECT count(*) = 101 FROM defer.jobs WHERE metadata ->> 'alert' ~ '^ann'
	OR (metadata ->> 'alert' = 'ben' AND args ->> 'body' LIKE '%succeeded%')}, 'two roles: each success is told, too, once for each alert');
ok($node->wait_for_log(qr/conditions of alert "ann\d+" could not be checked: not this one/), 'two roles: the log says which could not be checked');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.alerts WHERE owner = 'ann' AND failing <> '{}'}), '0', 'two roles: nothing is recorded of those');

# One that changes an alert of its own, and does not end, holds up that alert alone
my $told = q{SELECT count(*) FROM defer.jobs WHERE metadata ->> 'alert' = '%s' AND args ->> 'body' LIKE '%%succeeded%%'};
my %before = map { $_ => $node->safe_psql('postgres', sprintf $told, $_) } 'ann1', 'ann2', 'ben';
my $log_from = -s $node->logfile;
my $holder = $node->background_psql('postgres', on_error_stop => 1);
$holder->query_safe(q{BEGIN; SET ROLE ann; SELECT defer.alert('ann1', 'hook', on_states => '{succeeded}', group_window => '0', backlog => '1 s')});
$node->safe_psql('postgres', q{SET ROLE ann; SELECT defer.enqueue('tick'); SET ROLE ben; SELECT defer.enqueue('tick')});
until_ok($node, "SELECT (" . sprintf($told, $_) . ") > $before{$_}", "a locked alert: another one is sent, $_") for 'ann2', 'ben';
is($node->safe_psql('postgres', sprintf $told, 'ann1'), $before{ann1}, 'a locked alert: it waits');
unlike(slurp_file($node->logfile, $log_from), qr/due to lock timeout/, 'a locked alert: nobody waits for the lock');
$holder->query_safe('ROLLBACK');
$holder->quit;
until_ok($node, "SELECT (" . sprintf($told, 'ann1') . ") > $before{ann1}", 'a locked alert: then it is sent');

# Retries are told before they are used up, once for each job, to those who may see it; and
# that they are over
$node->safe_psql('postgres', qq{
CREATE TABLE mended (); GRANT SELECT ON mended TO public;
CREATE FUNCTION shaky() RETURNS integer LANGUAGE plpgsql AS
  'BEGIN IF NOT EXISTS (SELECT FROM mended) THEN RAISE EXCEPTION ''no route to host''; END IF; RETURN 1; END';
CREATE FUNCTION steady() RETURNS integer LANGUAGE sql AS 'SELECT 1';
SELECT defer.configure('shaky', max_attempts => 1000, initial_interval => '100 ms', multiplier => 1);
CREATE ROLE one LOGIN; CREATE ROLE two LOGIN;
GRANT USAGE ON SCHEMA defer TO one, two;
GRANT EXECUTE ON FUNCTION defer.http, defer.alert TO one, two;
SELECT defer.endpoint(e, 'http', '@{[ $http->url('/record') ]}?' || e), defer.grant_endpoint(e, e) FROM unnest('{one,two}'::text[]) e;
SET ROLE one;
SELECT defer.alert('retries', 'one', on_states => '{}', retries => 2, group_window => '1 s');
SELECT count(defer.enqueue('shaky')) FROM generate_series(1, 30);
SELECT defer.enqueue('steady');
SET ROLE two;
SELECT defer.alert('retries', 'two', on_states => '{}', retries => 3, group_window => '1 s');
SELECT count(defer.enqueue('shaky')) FROM generate_series(1, 5)});
until_ok($node, q{SELECT bool_and(EXISTS (SELECT FROM defer.jobs j WHERE j.owner = a.owner AND j.function LIKE '%shaky%' AND j.attempt >= 5)
	AND a.unsent = 0) FROM defer.alerts a WHERE name = 'retries'}, 'retries: they are told while the jobs are retried');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT failing::text, ' ') FROM defer.alerts WHERE name = 'retries'}), '{public.shaky()}', 'retries: the function is failing');
$node->safe_psql('postgres', 'INSERT INTO mended DEFAULT VALUES');
until_ok($node, q{SELECT bool_and(failing = '{}' AND unsent = 0) FROM defer.alerts WHERE name = 'retries'}, 'retries: over');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.live_jobs WHERE owner IN ('one', 'two'))}, 'retries: all messages are sent');
for my $case ([ one => 30, 2 ], [ two => 5, 3 ])
{
	my ($role, $jobs, $attempt) = @$case;
	my (@firing, @over);

	push @{ $_->{status} eq 'firing' ? \@firing : \@over }, $_ for messages($role);
	my $sum = 0;
	$sum += $_->{count} for map { @{ $_->{events} } } @firing;
	is($sum, $jobs, "retries of $role: each job once, and none of another role");
	is_deeply([ map { "$_->{subject} $_->{event}: $_->{message}" } @{ $firing[0]{events} } ], ['public.shaky() retried: no route to host'], "retries of $role: what and why");
	like($firing[0]{text}, qr/^(?:\d+ jobs are|a job is) being retried in database postgres$/, "retries of $role: the headline");
	cmp_ok($firing[0]{samples}[0]{attempts} // $attempt, '>=', $attempt, "retries of $role: from the attempt on that it names");
	is($over[0]{events}[0]{subject}, 'public.shaky()', "retries of $role: the recovery");
}

# Steps that wait for long: each is told once, to those who may see it; a sleep is none
$node->safe_psql('postgres', q{
CREATE PROCEDURE waits(n int) LANGUAGE plpgsql AS $$
BEGIN
  CALL defer.sleep('nap', '10 ms');
  CALL defer.wait_event('answer', 'answer ' || n);
END $$;
CREATE PROCEDURE sleeps() LANGUAGE plpgsql AS $$BEGIN CALL defer.sleep('long', '1 day'); END$$;
CREATE PROCEDURE other_waits() LANGUAGE plpgsql AS $$BEGIN CALL defer.wait_event('other', 'never'); END$$;
SET ROLE one;
SELECT count(defer.enqueue('waits', jsonb_build_array(n))) FROM generate_series(1, 40) n;
SELECT defer.enqueue('sleeps'), defer.enqueue('other_waits');
SET ROLE two;
SELECT defer.enqueue('waits', '[1]')});
until_ok($node, q{SELECT count(*) = 42 FROM defer.steps WHERE kind = 'wait_event' AND state = 'waiting'}, 'waits: all of them wait');
my $cancelled = $node->safe_psql('postgres', q{SELECT defer.cancel(min(id)) FROM defer.jobs WHERE owner = 'one' AND state = 'waiting' AND function LIKE '%waits(integer)'});
is($cancelled . $node->safe_psql('postgres', q{SELECT count(*) FROM defer.step WHERE waits_since IS NOT NULL}), 't41', 'waits: one is cancelled, and waits no more');
my %before = map { $_ => scalar messages($_) } qw(one two);
$node->safe_psql('postgres', q{
SET ROLE one;
SELECT defer.alert('retries', 'one', on_states => '{}', step_waits => '1 s', function => 'waits', group_window => '0');
SET ROLE two;
SELECT defer.alert('retries', 'two', on_states => '{}', step_waits => '1 s', group_window => '0')});
until_ok($node, q{SELECT bool_and(a.unsent = 0 AND a.last_sent_at IS NOT NULL AND a.failing = '{}' AND t.waits_told >= (SELECT max(s.waits_since) FROM defer.step s WHERE s.owner = t.owner))
	FROM defer.alerts a JOIN defer.alert t ON t.name = a.name AND t.owner::text = a.owner WHERE a.name = 'retries'}, 'waits: they are told');
$node->safe_psql('postgres', q{SET ROLE one; SELECT defer.emit('answer ' || n) FROM generate_series(1, 40) n});
until_ok($node, q{SELECT count(*) = 2 FROM defer.steps WHERE kind = 'wait_event' AND state = 'waiting' AND job_id IN (SELECT id FROM defer.live_jobs)}, 'waits: they go on');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.step WHERE waits_since IS NOT NULL}), '2', 'waits: and wait no more');
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.live_jobs WHERE owner IN ('one', 'two') AND state <> 'waiting')}, 'waits: all messages are sent');
for my $case ([ one => 39 ], [ two => 1 ])
{
	my ($role, $jobs) = @$case;
	my @all = messages($role);
	my @new = @all[ $before{$role} .. $#all ];
	my $sum = 0;

	$sum += $_->{count} for map { @{ $_->{events} } } @new;
	is($sum, $jobs, "waits of $role: each step once, of that function, and none of another role");
	like("$new[0]{events}[0]{subject} $new[0]{events}[0]{event}: $new[0]{events}[0]{message}",
		qr/^public\.waits\(integer\) waiting: step 'answer' has waited since \S+ \S+ for event 'answer \d+'$/, "waits of $role: what, since when and for what");
	like($new[0]{text}, qr/^(?:\d+ jobs wait|a job waits) in a step for long in database postgres$/, "waits of $role: the headline");
	like($new[0]{samples}[0]{error}, qr/^step 'answer' has waited/, "waits of $role: an example");
}
$node->stop;
done_testing();
