# defer dashboard, as a browser and as somebody with bad intentions speak to it:
# logins, where requests may come from, forms, what is shown as text, rights.
use strict;
use warnings;

use Dashboard;
use DeferTest;
use HTTP::Tiny;
use IO::Socket::INET;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'built without the dashboard' unless has_dashboard();

my $node = new_server('dashboard', q{max_connections = 60
defer.smtp_url = 'smtp://localhost:1'
defer.smtp_from = 'a@example.com'});
my $hostile = q{"<script>alert('name')</script>"};

$node->safe_psql('postgres', qq{
CREATE EXTENSION defer;
CREATE ROLE dash_user LOGIN PASSWORD 'right';
CREATE ROLE open_user LOGIN PASSWORD 'right';
GRANT USAGE ON SCHEMA defer TO dash_user, open_user;
CREATE FUNCTION work(n integer) RETURNS integer LANGUAGE plpgsql AS
  'BEGIN RAISE NOTICE ''<b>said</b> %'', n; IF n > 0 THEN RAISE EXCEPTION ''<img src=x onerror=alert(1)> "quoted" & %'', n
    USING DETAIL = ''</pre><script>alert(2)</script>''; END IF; RETURN n; END';
CREATE FUNCTION $hostile() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION slow() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(3600)';
CREATE FUNCTION fan() RETURNS bigint LANGUAGE sql AS 'SELECT count(defer.enqueue(''work'', ''[0]'')) FROM generate_series(1, 20)';
CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS '';
SELECT defer.configure('work', max_attempts => 1);
SELECT defer.cron('tick', '0 4 * * *', name => '<i>tick</i>', allow_direct => true);
SELECT defer.create_queue('</td>queue');
SELECT defer.endpoint('<u>crm', 'http', 'http://127.0.0.1:1/', concurrency => 5, rate => '10/s');
});
my $failed = $node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[1]', metadata => '{"<u>": "</code>"}', key => '<key>')});
my $fan = $node->safe_psql('postgres', q{SELECT defer.enqueue('fan')});
my $tick = $node->safe_psql('postgres', 'SELECT id FROM defer.schedules');
my $later = $node->safe_psql('postgres', qq{SELECT defer.enqueue('$hostile', delay => '1 day')} =~ s/'"/'"/r
	=~ s/'name'/''name''/r);
settled_but($node, 1);

# Wait until only so many jobs are unfinished
sub settled_but
{
	my ($server, $n) = @_;

	return until_ok($server, "SELECT count(*) = $n FROM defer.live_jobs", "all but $n have ended");
}

sub dashboard { return start_dashboard($node, @_); }

# Of a request with that Host
sub status_for_host
{
	my ($host) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => our_port()) or return 'no connection';

	print $socket "GET /login HTTP/1.0\r\n" . (defined $host ? "Host: $host\r\n" : '') . "\r\n";
	my $line = <$socket>;
	return $line =~ /^HTTP\/1\.[01] (\d+)/ ? $1 : $line;
}

my $dash = dashboard([]);

sub our_port { return $dash->{port} }
my $answer;

# --- without a session

is(get($dash, '/')->{headers}{location}, '/login', 'no session: to the login');
is(get($dash, '/', 'X-Fragment' => 1)->{status}, 401, 'no session: no live update');
is(get($dash, '/metrics')->{status}, 401, 'no session: no metrics');
is(post($dash, '/do/cancel', { id => $later })->{status}, 403, 'no session: no action');
$answer = get($dash, '/login');
is($answer->{status}, 200, 'the login');
like($answer->{headers}{'content-security-policy'}, qr/default-src 'none'; style-src 'self'; script-src 'self'.*frame-ancestors 'none'/, 'content security policy');
unlike($answer->{headers}{'content-security-policy'}, qr/unsafe|data:|\*/, 'nothing loose in it');
is($answer->{headers}{'x-content-type-options'}, 'nosniff', 'nosniff');
is($answer->{headers}{'x-frame-options'}, 'DENY', 'no frames');
is($answer->{headers}{'cache-control'}, 'no-store', 'nothing is stored');
$answer = get($dash, "/login?token=$dash->{token}");
ok(!$answer->{headers}{'set-cookie'}, 'a GET with the token does not log in');
like($answer->{content}, qr/value="$dash->{token}"/, 'it fills in the form');
like(get($dash, '/login?token=%22%3E%3Cscript%3E')->{content}, qr/value="&quot;&gt;&lt;script&gt;"/, 'a hostile token stays within its quotes');

# --- from elsewhere

is(status_for_host('evil.example'), 421, 'another name: DNS rebinding');
is(status_for_host("evil.example:$dash->{port}"), 421, 'another name with our port');
is(status_for_host("localhost:$dash->{port}"), 200, 'localhost');
is(status_for_host(undef), 421, 'no name');
for my $origin (undef, 'null', 'http://evil.example', "https://127.0.0.1:$dash->{port}", "http://127.0.0.1:$dash->{port}.evil.example", "http://127.0.0.1")
{
	is(post($dash, '/login', { token => $dash->{token} }, Origin => $origin)->{status}, 403,
		'login from ' . ($origin // 'nowhere') . ': refused');
}

# --- log in

$answer = post($dash, '/login', { token => 'x' x 32 });
is($answer->{status}, 403, 'wrong token');
ok(!$answer->{headers}{'set-cookie'}, 'no cookie');
$answer = login($dash, token => $dash->{token});
like($answer->{headers}{'set-cookie'}, qr/^defer_dashboard_\d+=[0-9a-f]{32}; Path=\/; HttpOnly; SameSite=Strict$/, 'the cookie');
ok($dash->{csrf}, 'forms have a token');

# --- every page; hostile names and texts are text

my @pages = ('/', '/?range=10min', '/?range=7d', '/?range=%3Cscript%3E', '/jobs', '/jobs?state=failed', '/jobs?state=scheduled',
	'/jobs?state=succeeded', '/jobs?state=running', '/errors', '/jobs?queue=default&function=wor', '/jobs?metadata=%7B%7D', '/jobs?error=quoted',
	'/jobs?since=-1+hour', '/jobs?order=oldest', '/jobs?order=oldest&state=queued&function=wor', "/jobs?parent=$fan", "/jobs?schedule=$tick", '/functions', '/function?name=public.work(integer)', '/schedules', '/queues',
	"/schedule?id=$tick", '/new-schedule', '/new-schedule?name=%22%3E%3Cscript%3E&command=%3C%2Ftextarea%3E%3Cscript%3E',
	'/queue?name=default', '/queue?name=%3C%2Ftd%3Equeue', '/bulk?do=cancel&state=scheduled', '/bulk?do=rerun&metadata=%7B%22%3Cu%3E%22%3A+%22%3C%2Fcode%3E%22%7D',
	'/bulk?do=reschedule&queue=%3C%2Ftd%3Equeue&group=%3Cu%3E', '/workers', '/servers', '/endpoints', '/alerts', "/job?id=$failed", "/job?id=$fan", "/job?id=$later", "/tree?id=$fan");
for my $path (@pages)
{
	$answer = get($dash, $path);
	is($answer->{status}, 200, "GET $path");
	unlike($answer->{content}, qr/<(script>|img src=x|b>said|i>tick|u>|\/td>queue|key>)/, "$path: nothing hostile");
	unlike($answer->{content}, qr/The server said|took too long/, "$path: no error");
	unlike($answer->{content}, qr/<[^<>]*\s(style|on\w+)=/, "$path: nothing inline");
	unlike($answer->{content}, qr/(src|href)="(?!\/)(?!#)/, "$path: nothing from elsewhere");
	like($answer->{content}, qr/<h1.*<main|<main.*<h1/s, "$path: a heading");
	my $fragment = get($dash, $path, 'X-Fragment' => 1);
	unlike($fragment->{content}, qr/<html|<main/, "$path: a part of it");
}
like(get($dash, '/endpoints')->{content}, qr/&lt;u&gt;crm.*>0 of 5<.*>10\/s</s, 'limits of an endpoint');
like(get($dash, "/job?id=$failed")->{content}, qr/&lt;img src=x onerror=alert\(1\)&gt; &quot;quoted&quot; &amp; 1/, 'error');
like(get($dash, "/job?id=$failed")->{content}, qr/&lt;b&gt;said&lt;\/b&gt; 1/, 'message');
like(get($dash, '/jobs?state=scheduled')->{content}, qr/&lt;script&gt;alert\((<wbr>)?&#39;name&#39;\)/, 'function');
like(get($dash, '/jobs?function=%22%3E%3Cscript%3E')->{content}, qr/value="&quot;&gt;&lt;script&gt;"/, 'filter');
like(get($dash, '/jobs?state=%27;DROP')->{content}, qr/unrecognized job state/, 'a state that there is not');
for my $bad ('metadata=%7B', 'args=%7B', 'since=bogus', 'until=bogus', 'ended_since=bogus', 'parent=x', 'before=x', 'schedule=x', 'state=bogus', 'parent=99999999999999999999')
{
	$answer = get($dash, "/jobs?$bad");
	is($answer->{status}, 200, "$bad: a page");
	like($answer->{content}, qr/The server said.*(invalid input syntax|out of range|unrecognized)/s, "$bad: what is wrong");
	unlike($answer->{content}, qr/href="\/job\?id/, "$bad: no jobs");
}
my $grouped = $node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[0]', delay => '1 day', group_key => '<b>&acme')});
like(get($dash, "/job?id=$grouped")->{content}, qr/<dt>Group<\/dt><dd><a href="\/jobs\?group=%3Cb%3E%26acme">&lt;b&gt;&amp;acme<\/a>/,
	'the group of a job');
like(get($dash, "/job?id=$grouped")->{content}, qr/Waits for<\/h2>.*<dt>run_at<\/dt><dd>its time has not come <span/s, 'why it waits');
unlike(get($dash, "/job?id=$failed")->{content}, qr/Waits for/, 'nothing of a job that has ended');
like(get($dash, '/jobs?group=%3Cb%3E%26acme')->{content}, qr/href="\/job\?id=$grouped".*<span class="tag">&lt;b&gt;&amp;acme<\/span>/s, 'jobs of a group');
like(get($dash, '/jobs?args=%5B1%5D')->{content}, qr/href="\/job\?id=$failed"/, 'jobs by arguments');
unlike(get($dash, '/jobs?args=2')->{content}, qr/href="\/job\?id=/, 'none with others');
for my $state ('', '&state=failed')
{
	like(get($dash, "/jobs?key=%3Ckey%3E&args=1$state")->{content}, qr/href="\/job\?id=$failed"/, "by key$state");
	unlike(get($dash, "/jobs?key=key$state")->{content}, qr/href="\/job\?id=/, "the whole key$state");
	unlike(get($dash, "/jobs?owner=dash_user$state")->{content}, qr/href="\/job\?id=/, "by owner$state");
}
like(get($dash, '/jobs')->{content}, qr/href="\/jobs\?state=failed">failed <span class="n">1<.*state=succeeded">succeeded <span class="n">21</s, 'a tab for each state');
like(get($dash, '/jobs?queue=default&state=failed')->{content},
	qr/href="\/jobs\?queue=default&amp;state=failed" aria-current=true>failed <span class="n">1<.*queue=default&amp;state=running">|running <span class="n zero">0</s, 'of a queue');

# charts: of all, of a function, of a queue; each step leads to its jobs
my $charts = get($dash, '/?range=24h')->{content};
like($charts, qr/<strong>21<\/strong> succeeded.*<strong>1<\/strong> failed.*half within <strong>.*Failures.*Backlog/s, 'charts of all jobs');
like($charts, qr/<title>[-0-9]+ [0-9:]+\+00: 21 succeeded, 1 failed<\/title>|<title>[^<]*: \d+ succeeded, 1 failed<\/title>/, 'what a step says');
like(get($dash, '/function?name=public.work(integer)')->{content}, qr/<strong>20<\/strong> succeeded.*<strong>1<\/strong> failed/s, 'of a function');
like(get($dash, '/function?name=public.slow()')->{content}, qr/<strong>0<\/strong> succeeded.*No job ended in this time/s, 'of one that has not run');
like(get($dash, '/queue?name=default&range=7d')->{content}, qr/\/queue\?name=default&amp;range=6h.*<strong>21<\/strong> succeeded/s, 'of a queue');
my ($step) = get($dash, '/function?name=public.work(integer)&range=24h')->{content} =~ /class="step" tabindex="-1" href="([^"]*state=failed[^"]*)"/;
$step =~ s/&amp;/&/g;
like($step, qr/^\/jobs\?function=public\.work.*ended_since=.*ended_until=/, 'where a step leads');
like(get($dash, $step)->{content}, qr/do=retry&amp;[^"]*ended_until.*href="\/job\?id=$failed"/s, 'to its jobs, and what can be done with all of them');
unlike(get($dash, "$_")->{content}, qr/href="\/job\?id=\d/, "$_: none") for '/jobs?ended_until=2000-01-01', '/jobs?ended_since=2100-01-01&state=failed';
like(get($dash, '/jobs?ended_since=2000-01-01&ended_until=2100-01-01')->{content}, qr/href="\/job\?id=$failed"/, 'all that ended');
like(get($dash, '/bulk?do=rerun&state=failed&ended_since=2000-01-01')->{content}, qr/bulk-count">1</, 'counted');
like(get($dash, '/bulk?do=rerun&state=failed&ended_since=2100-01-01')->{content}, qr/bulk-count">0</, 'and others not');
unlike(get($dash, '/jobs?key=x')->{content}, qr/<span class="n/, 'no counts where they would take long');
like(get($dash, '/jobs?group=%3Cb%3E%26acme&state=scheduled')->{content}, qr/href="\/job\?id=$grouped"/, 'by index');
unlike(get($dash, '/jobs?group=acme')->{content}, qr/href="\/job\?id=/, 'none of another');
$node->safe_psql('postgres', "SELECT defer.cancel($grouped)");
like(get($dash, "/tree?id=$fan")->{content}, qr/20 jobs/, 'the fan-out');
like(get($dash, "/tree?id=$fan")->{content}, qr/100%.*20 succeeded/s, 'all of it');
$node->safe_psql('postgres', qq{INSERT INTO defer.step (job_id, name, owner, ord, kind, result, started_at, finished_at)
	SELECT $grouped, '<b>book</b>', owner::regrole, 1, 's', '"<i>booked</i>"', now(), now() FROM defer.jobs WHERE id = $grouped});
like(get($dash, "/job?id=$grouped")->{content}, qr/Steps<\/h2>.*&lt;b&gt;book&lt;\/b&gt;.*&lt;i&gt;booked&lt;\/i&gt;/s, 'steps');
is(get($dash, '/job?id=1%27')->{status}, 404, 'no such id');
is(get($dash, '/job?id=999999999')->{status}, 404, 'no such job');
is(get($dash, '/nothing')->{status}, 404, 'no such page');
is(get($dash, '/../etc/passwd')->{status}, 404, 'no files');
is(HTTP::Tiny->new->request('DELETE', "http://127.0.0.1:$dash->{port}/", { headers => { Cookie => $dash->{cookie} } })->{status}, 405, 'no other method');
for my $asset ('/dashboard.css', '/dashboard.js', '/icon.svg')
{
	is(get($dash, $asset)->{status}, 200, $asset);
}

# --- actions

is(get($dash, "/do/cancel?id=$later&csrf=$dash->{csrf}")->{status}, 404, 'a GET does nothing');
is(post($dash, '/do/cancel', { id => $later })->{status}, 403, 'no token in the form');
is(post($dash, '/do/cancel', { id => $later, csrf => 'a' x 32 })->{status}, 403, 'a wrong one');
is(post($dash, '/do/cancel', { id => $later, csrf => $dash->{csrf} }, Origin => 'http://evil.example')->{status}, 403, 'from another site');
is(post($dash, '/do/cancel', { id => $later, csrf => $dash->{csrf} }, Origin => undef)->{status}, 403, 'from nowhere');
is(post($dash, '/do/cancel', { id => $later, csrf => $dash->{csrf} }, 'Content-Type' => 'text/plain')->{status}, 415, 'no form');
is(post($dash, '/do/cancel', 'x' x 100000)->{status}, 413, 'too large');
is(post($dash, '/do/drop-database', { csrf => $dash->{csrf} })->{status}, 404, 'no such action');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $later"), 'scheduled', 'it waits all the same');

like(act($dash, 'run-now', id => $later), qr/Job $later is ready to run/, 'run now');
settled_but($node, 0);
my ($new) = post($dash, '/do/rerun', { id => $later, csrf => $dash->{csrf} })->{headers}{location} =~ /^\/job\?id=(\d+)$/;
ok($new && $new > $later, 'run again: to the new job');
settled_but($node, 0);
my $cancelled = $node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[0]', delay => '1 day')});
like(act($dash, 'cancel', id => $cancelled), qr/Job $cancelled is cancelled/, 'cancel');
is($node->safe_psql('postgres', "SELECT state FROM defer.jobs WHERE id = $cancelled"), 'cancelled', 'it is');
like(act($dash, 'cancel', id => $cancelled), qr/was not cancelled/, 'twice');
my $slow = $node->safe_psql('postgres', q{SELECT defer.enqueue('slow')});
until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $slow", 'a job that runs');
like(get($dash, '/jobs?state=running')->{content}, qr/href="\/job\?id=$slow"/, 'it is in the list');
like(get($dash, '/workers')->{content}, qr/href="\/job\?id=$slow"/, 'and in that of the workers');
like(get($dash, '/servers')->{content}, qr/this server<.*answers<.*>Queues<.*href="\/job\?id=$slow"/s, 'and in that of all servers');
like(act($dash, 'stop', id => $slow), qr/Job $slow is being stopped/, 'stop');
settled_but($node, 0);

# A job of a task, which a worker outside of the server holds
$node->safe_psql('postgres', q{SELECT defer.create_task('<b>task'); SELECT defer.enqueue('<b>task')});
my $held = '';
for (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if $held = $node->safe_psql('postgres', q{SELECT format('%s, %L', id, token) FROM defer.take('{<b>task}', worker => '<i>one')});
	select(undef, undef, undef, 0.01);
}
like(get($dash, '/functions')->{content}, qr/&lt;b&gt;task/, 'a task is among the functions');
like(get($dash, '/workers')->{content}, qr/&lt;b&gt;task <span class="quiet">&lt;i&gt;one, jobs: 1</, 'the worker that holds it is among the workers');
$node->safe_psql('postgres', "SELECT defer.complete($held)");
like(act($dash, 'trigger', id => $tick), qr/A run of &quot;&lt;i&gt;tick&lt;\/i&gt;&quot; was enqueued: job \d+/, 'trigger');
like(act($dash, 'pause-schedule', id => $tick), qr/The schedule &quot;&lt;i&gt;tick&lt;\/i&gt;&quot; is paused/, 'pause a schedule');
is($node->safe_psql('postgres', 'SELECT active FROM defer.schedules'), 'f', 'it is');
like(act($dash, 'resume-schedule', id => $tick), qr/The schedule &quot;&lt;i&gt;tick&lt;\/i&gt;&quot; is active/, 'and again');
like(act($dash, 'trigger', id => '999999'), qr/There is no such schedule/, 'no such schedule');
like(act($dash, 'trigger', id => q{1'); DROP TABLE x; --}), qr/invalid input syntax/, 'no number');
like(act($dash, 'pause-function', name => 'public.work(integer)'), qr/The function &quot;public\.work\(integer\)&quot; is paused/, 'pause a function');
is($node->safe_psql('postgres', q{SELECT paused FROM defer.settings WHERE name = 'public.work(integer)'}), 't', 'it is');
like(get($dash, '/functions')->{content}, qr/is-paused/, 'one sees it');
like(act($dash, 'resume-function', name => 'public.work(integer)'), qr/The function &quot;public\.work\(integer\)&quot; is resumed/, 'and again');
like(act($dash, 'pause-queue', name => '</td>queue'), qr/The queue &quot;&lt;\/td&gt;queue&quot; is paused/, 'pause a queue');
like(act($dash, 'resume-queue', name => '</td>queue'), qr/The queue &quot;&lt;\/td&gt;queue&quot; is resumed/, 'and again');
like(act($dash, 'pause-queue', name => q{'); DROP TABLE x; --}), qr/does not exist/, 'what the server says');
for my $back ('//evil.example', 'http://evil.example', '/\\evil.example', "/\r\nX: y", '')
{
	is(post($dash, '/do/pause-queue', { name => '</td>queue', back => $back, csrf => $dash->{csrf} })->{headers}{location}, '/', 'back to nowhere else');
}

# --- a schedule with a reason, groups

act($dash, 'pause-schedule', id => $tick, reason => '<b>moving</b>');
like(get($dash, '/schedules')->{content}, qr/Paused .* by \w+: &lt;b&gt;moving&lt;\/b&gt;/, 'why a schedule is paused');
unlike(get($dash, '/schedules')->{content}, qr/do\/pause-schedule/, 'it cannot be paused again');
act($dash, 'resume-schedule', id => $tick);
like(get($dash, '/schedules')->{content}, qr/name="reason"/, 'a field for the reason');

my $queue_page = '/queue?name=%3C%2Ftd%3Equeue';
my $member = $node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[0]', queue => '</td>queue', group_key => '<u>acme', run_at => '2100-01-01')});

like(get($dash, '/queues')->{content}, qr/href="\Q$queue_page\E"/, 'from the queues to one of them');
like(get($dash, $queue_page)->{content}, qr/>&lt;u&gt;acme<\/a><\/td>.*<button class="small">Pause</s, 'a group');
like(act($dash, 'pause-group', queue => '</td>queue', group => '<u>acme', reason => '<b>unpaid'), qr/The group &quot;&lt;u&gt;acme&quot; is paused/, 'pause a group');
is($node->safe_psql('postgres', q{SELECT paused, reason FROM defer.groups WHERE kind = 'queue'}), 't|<b>unpaid', 'it is');
like(get($dash, $queue_page)->{content}, qr/is-paused">paused<\/span> &lt;b&gt;unpaid<.*>Resume</s, 'one sees why');
like(act($dash, 'resume-group', queue => '</td>queue', group => '<u>acme'), qr/The group &quot;&lt;u&gt;acme&quot; is resumed/, 'and again');
is($node->safe_psql('postgres', q{SELECT paused FROM defer.groups WHERE kind = 'queue'}), 'f', 'it goes on');
like(act($dash, 'pause-group', queue => 'gone', group => 'x'), qr/does not exist/, 'no such queue');
like(act($dash, 'pause-group', queue => '</td>queue'), qr/must not be null/, 'no group');
is(get($dash, '/queue?name=gone')->{status}, 404, 'a queue that there is not');
is(get($dash, '/queue')->{status}, 404, 'no queue');
$node->safe_psql('postgres', "SELECT defer.cancel($member)");

# a group that a failed job holds
$node->safe_psql('postgres', q{CREATE FUNCTION unlucky() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no luck'; END $$;
	SELECT defer.create_queue('ordered', group_order => 'strict', on_group_failure => 'hold')});
my $unlucky = $node->safe_psql('postgres', q{SELECT defer.enqueue('unlucky', queue => 'ordered', group_key => 'acme', max_attempts => 1)});
until_ok($node, q{SELECT held_by IS NOT NULL FROM defer.groups WHERE kind = 'queue' AND name = 'ordered'}, 'a job of a group fails');
like(get($dash, '/queue?name=ordered')->{content}, qr/held, because <a href="\/job\?id=$unlucky">job $unlucky<\/a> has failed.*<button class="small">Release<.*Order in a group<\/dt><dd>strict</s, 'it is shown as held');
like(act($dash, 'release-group', queue => 'ordered', group => 'acme'), qr/The group &quot;acme&quot; goes on/, 'release it');
like(act($dash, 'release-group', queue => 'ordered', group => 'acme'), qr/The group &quot;acme&quot; is not held/, 'once');

# what a group waits for
$node->safe_psql('postgres', q{SELECT defer.create_queue('narrow', group_concurrency => 1, rate => '1000/s');
	SELECT defer.enqueue('slow', queue => 'narrow', group_key => 'acme')});
until_ok($node, q{SELECT running = 1 FROM defer.groups WHERE kind = 'queue' AND name = 'narrow'}, 'one of a group runs');
$node->safe_psql('postgres', q{SELECT defer.enqueue('slow', queue => 'narrow', group_key => 'acme')});
until_ok($node, q{SELECT waiting_for LIKE 'concurrency%' FROM defer.jobs WHERE queue = 'narrow' AND state = 'queued'}, 'the other waits');
like(get($dash, '/queue?name=narrow')->{content}, qr/<td class="num">1<\/td>.*<a href="\/job\?id=(\d+)">job \1<\/a> concurrency: 1 of 1 jobs of group &quot;acme&quot;.*Jobs of a group<\/dt><dd>1</s, 'and the page says for what');
like(get($dash, '/queue?name=narrow')->{content}, qr/: 1 waited<\/title>/, 'the backlog has it');
like(get($dash, '/queue?name=narrow')->{content}, qr/Rate<\/dt><dd>1000\/s</, 'and what rate there is');


# --- a schedule: its page, made, changed, run for the past, deleted

my %options = (overlap => 'queue', catch_up => 'one', catch_up_window => '2 days', jitter => '0', queue => '', priority => '3', group_key => '<g>',
	starts_at => '2030-01-01 08:00', ends_at => '', max_runs => '5', pause_after_failures => '', when_done => '');
my $made = post($dash, '/do/new-schedule', { name => '<b>made', schedule => '*/5 * * * *', command => "SELECT 1,\r\n'</textarea>'",
	timezone => 'Europe/Paris', %options, csrf => $dash->{csrf}, back => '/new-schedule' })->{headers}{location};
like($made, qr/^\/schedule\?id=\d+$/, 'a new schedule: to its page');
my ($made_id) = $made =~ /(\d+)/;
is($node->safe_psql('postgres', "SELECT name, schedule, command, timezone, overlap, catch_up_window, priority, group_key, starts_at AT TIME ZONE 'UTC', max_runs, ends_at IS NULL
	FROM defer.schedules WHERE id = $made_id"), "<b>made|*/5 * * * *|SELECT 1,\n'</textarea>'|Europe/Paris|queue|2 days|3|<g>|2030-01-01 08:00:00|5|t", 'as it was wanted');
like(get($dash, $made)->{content}, qr/The schedule &quot;&lt;b&gt;made&quot; is made.*Next times <span class="quiet">in Europe\/Paris.*Tue 2030-01-01 09:00:00 .*It has not run yet.*&lt;\/textarea&gt;/s, 'its page');
my $again = post($dash, '/do/new-schedule', { name => '<b>made', schedule => '@daily', command => 'SELECT 2', back => '/new-schedule', csrf => $dash->{csrf} })->{headers}{location};
like($again, qr/^\/new-schedule\?typed=[0-9a-f]{32}&name=%3Cb%3Emade&schedule=%40daily/, 'none twice: back to the form');
like(get($dash, $again)->{content}, qr/No schedule was made.*value="&lt;b&gt;made".*SELECT 2<\/textarea>/s, 'which has what was typed');
unlike(get($dash, "/schedule?id=$made_id&typed=&command=DROP+TABLE+t&jitter=3+days")->{content}, qr/DROP TABLE|3 days/, 'no link fills in a form');
like(act($dash, 'new-schedule', name => 'both', schedule => '@daily', command => 'SELECT 2', function => 'tick'), qr/No schedule was made/, 'a function and a statement');
like(act($dash, 'new-schedule', name => 'bad', schedule => 'bogus', command => 'SELECT 2'), qr/message bad/, 'what the server says');

# Names of functions are looked up with the search_path of the role, not with that of the pages
$node->safe_psql('postgres', q{
CREATE SCHEMA shop;
CREATE FUNCTION shop.in_shop() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION shop.in_shop_too() RETURNS void LANGUAGE sql AS '';
ALTER ROLE postgres IN DATABASE postgres SET search_path = shop, public});
{
	my $other = dashboard([]);

	login($other, token => $other->{token});
	like(act($other, 'new-schedule', name => 'of the shop', schedule => '@daily', function => 'in_shop', when_done => 'in_shop_too'),
		qr/&quot;of the shop&quot; is made/, 'a schedule of a function without its schema');
	my $id = $node->safe_psql('postgres', q{SELECT id FROM defer.schedules WHERE name = 'of the shop'});
	like(act($other, 'alter-schedule', id => $id, function => 'in_shop_too', when_done => 'in_shop'), qr/is changed/, '... which is changed');
	is($node->safe_psql('postgres', "SELECT function || ' ' || when_done FROM defer.schedules WHERE id = $id"),
		'shop.in_shop_too() shop.in_shop()', 'both are those of that schema');
	act($other, 'unschedule', id => $id);
	stop_dashboard($other);
}
$node->safe_psql('postgres', 'ALTER ROLE postgres IN DATABASE postgres RESET search_path');

# --- a job like another one, with other arguments: for its owner alone

my $mine = $node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[0]', queue => 'default', priority => 7, group_key => 'g',
	metadata => '{"a": 1}')});
like(get($dash, "/job?id=$mine")->{content}, qr/SELECT defer\.enqueue\(&#39;public\.work\(integer\)&#39;, &#39;\[0\]&#39;, queue =&gt; &#39;default&#39;\);/, 'a job as SQL');
my ($like) = post($dash, '/do/run-with', { id => $mine, args => "[\r\n0\r\n]", csrf => $dash->{csrf} })->{headers}{location} =~ /^\/job\?id=(\d+)$/;
ok($like && $like > $mine, 'another job');
is($node->safe_psql('postgres', "SELECT concat_ws(' ', owner, function, args, queue, priority, group_key, metadata) FROM defer.jobs WHERE id = $like"),
	'postgres public.work(integer) [0] default 7 g {"a": 1}', '... with what that one has');
$again = post($dash, '/do/run-with', { id => $mine, args => '["<i>"]', csrf => $dash->{csrf}, back => "/job?id=$mine" })->{headers}{location};
like(get($dash, $again)->{content}, qr/invalid input syntax for type integer.*<details open>.*\["&lt;i&gt;"\]<\/textarea>|invalid input syntax for type integer.*<details open>.*\[&quot;&lt;i&gt;&quot;\]<\/textarea>/s,
	'arguments that do not fit: back to the form');
like(act($dash, 'run-with', id => 999999, args => '[1]'), qr/is not yours/, 'no such job');

# A superuser that sees another's job runs nothing of theirs with more rights than they have
$node->safe_psql('postgres', 'CREATE ROLE shop_user LOGIN; GRANT USAGE ON SCHEMA defer TO shop_user; GRANT CREATE ON SCHEMA public TO shop_user');
my $theirs = $node->safe_psql('postgres', q{
	CREATE FUNCTION trap(n integer) RETURNS boolean LANGUAGE plpgsql AS
	  'BEGIN PERFORM set_config(''role'', ''none'', false); IF n > 0 THEN ALTER ROLE shop_user SUPERUSER; END IF; RETURN true; END';
	CREATE DOMAIN trapped AS integer CHECK (trap(VALUE));
	CREATE FUNCTION theirs(n trapped) RETURNS void LANGUAGE sql AS '';
	SELECT defer.enqueue('theirs', '[0]')}, extra_params => [ '-U', 'shop_user' ]);
unlike(get($dash, "/job?id=$theirs")->{content}, qr/run-with|As SQL/, 'the page of a job of another role has no form');
like(act($dash, 'run-with', id => $theirs, args => '[1]'), qr/is not yours/, 'nor is the address of any use');
is($node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'shop_user'}), 'f', 'nothing of that role was run');

# --- the list from the oldest on, and as a file

my ($oldest) = get($dash, '/jobs?order=oldest')->{content} =~ /<tbody>\s*<tr><td class="num"><a href="\/job\?id=(\d+)/;
is($oldest, $node->safe_psql('postgres', 'SELECT min(id) FROM defer.jobs'), 'the oldest first');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work', '[0]', delay => '1 day', metadata => '{"page": true}')) FROM generate_series(1, 60)});
my @waiting = split /\n/, $node->safe_psql('postgres', q{SELECT id FROM defer.jobs WHERE state = 'scheduled' AND metadata ? 'page' ORDER BY id});
for my $filter ('state=scheduled&metadata=%7B%22page%22%3A+true%7D', 'metadata=%7B%22page%22%3A+true%7D')
{
	my $page = get($dash, "/jobs?$filter&order=oldest")->{content};
	my @ids = $page =~ /<tr><td class="num"><a href="\/job\?id=(\d+)/g;
	my ($next) = $page =~ /id="older" href="([^"]+)"/;

	is_deeply(\@ids, [ @waiting[ 0 .. 49 ] ], "$filter: the first page, from the oldest on");
	$page = get($dash, ($next // '') =~ s/&amp;/&/gr)->{content};
	is_deeply([ $page =~ /<tr><td class="num"><a href="\/job\?id=(\d+)/g ], [ @waiting[ 50 .. 59 ] ], '... and the second');
	unlike($page, qr/id="older"/, '... which is the last');
}
unlike(get($dash, "/jobs?schedule=$tick&order=oldest")->{content}, qr/id="order"/, 'not where only the newest can be found');

$answer = get($dash, '/jobs.csv?metadata=%7B%22page%22%3A+true%7D');
is($answer->{headers}{'content-type'}, 'text/csv; charset=utf-8', 'a file');
is($answer->{headers}{'content-disposition'}, 'attachment; filename="jobs.csv"', '... to be saved, with all of them');
my @lines = split /\r\n/, $answer->{content};
is(scalar @lines, 61, '... more than a page');
like($lines[0], qr/^id,function,state,/, '... with names');
like($lines[1], qr/^"$waiting[59]","public\.work\(integer\)","scheduled","default",.*,"\[0\]",,"\{""page"": true\}"$/, '... and values');
$node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[0]', delay => '1 day', key => '=cmd|''/c calc''!A1', priority => -3)});
like(get($dash, '/jobs.csv?key=%3Dcmd%7C%27%2Fc+calc%27%21A1')->{content}, qr/"-3","\w+",,"'=cmd\|/, 'no formula for a spreadsheet');
$answer = get($dash, '/jobs.csv?since=bogus');
is($answer->{status}, 400, 'a filter that is not valid: no file');
like($answer->{content}, qr/invalid input syntax/, '... but why');
$node->safe_psql('postgres', q{SELECT count(defer.cancel(id)) FROM defer.jobs WHERE state = 'scheduled'});

# --- what needs attention is in the icon, too

my $attention = qr/<link rel="icon" href="\/alarm\.svg".*<span id="page-title" hidden data-alarm>\(\d+\) Overview/s;
like(get($dash, '/')->{content}, $attention, 'a job has failed');
is(get($dash, '/alarm.svg')->{status}, 200, 'an icon for that');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.schedules}), '2', 'nothing was made');
my %now = (id => $made_id, schedule => '*/5 * * * *', timezone => 'Europe/Paris', %options, starts_at => '', max_runs => '', command => "SELECT 1,\r\n'</textarea>'");
like(act($dash, 'alter-schedule', %now, schedule => '0 4 * * *', pause_after_failures => '3'), qr/The schedule &quot;&lt;b&gt;made&quot; is changed/, 'change it');
is($node->safe_psql('postgres', "SELECT schedule, starts_at, max_runs, pause_after_failures, priority, command FROM defer.schedules WHERE id = $made_id"),
	"0 4 * * *|||3|3|SELECT 1,\n'</textarea>'", 'what was emptied is no more, and the rest as it was');
like(act($dash, 'alter-schedule', %now, id => 999999), qr/There is no such schedule/, 'one that there is not');
my $bad_form = post($dash, '/do/alter-schedule', { %now, schedule => 'bogus<', back => $made, csrf => $dash->{csrf} })->{headers}{location};
like(get($dash, $bad_form)->{content}, qr/message bad.*value="bogus&lt;"/s, 'what is not valid stays in the form');
my $past = '&from=2026-01-01&to=2026-01-04&order=allow';
like(get($dash, "$made$past")->{content}, qr/id="backfill-count">3<.*do\/backfill/s, 'a backfill is counted');
is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.backfills'), '0', 'a GET does nothing');
like(get($dash, "$made&from=bogus&to=2026-01-04")->{content}, qr/The server said/, 'a time that there is not');
like(act($dash, 'backfill', id => $made_id, from => '2026-01-01', to => '2026-01-04', order => 'allow'), qr/Runs of &quot;&lt;b&gt;made&quot; that will be enqueued: 3/, 'and run');
until_ok($node, "SELECT count(*) = 3 FROM defer.find_jobs('{succeeded,failed}', schedule_id => $made_id)", 'it has run');
like(get($dash, $made)->{content}, qr/Runs<\/h2>.*class="durations".*2026-01-03 03:00:00/s, 'its runs');
like(act($dash, 'cancel-backfill', id => 1), qr/There is no such backfill/, 'it is over');
like(act($dash, 'unschedule', id => $made_id), qr/The schedule &quot;&lt;b&gt;made&quot; is deleted/, 'deleted');
is(get($dash, $made)->{status}, 404, 'it is no more');
is(get($dash, $_)->{status}, 404, "$_: no schedule") for '/schedule', '/schedule?id=x';

# --- settings of functions, queues and groups

my $work = 'public.work(integer)';
my $settings = q{FROM defer.settings WHERE name =};
my ($in_form) = get($dash, "/function?name=$work")->{content} =~ /(<form[^>]*do\/configure".*?<\/form>)/s;
my @columns = split /\n/, $node->safe_psql('postgres', q{SELECT attname FROM pg_attribute WHERE attrelid = 'defer.settings'::regclass AND attnum > 0
	AND attname NOT IN ('kind', 'name', 'owner', 'granted', 'paused', 'reserved')});
like($in_form, qr/name="$_"/, "$_ can be set") for @columns;
like(act($dash, 'configure', name => $work, max_attempts => '1', concurrency => '3', rate => '100/s', queue => '</td>queue', initial_interval => '5 s'),
	qr/The settings of &quot;public\.work\(integer\)&quot; are changed/, 'settings of a function');
is($node->safe_psql('postgres', "SELECT max_attempts, concurrency, rate, queue, initial_interval $settings '$work'"), '1|3|100/s|</td>queue|00:00:05', 'they are set');
like(get($dash, "/function?name=$work")->{content}, qr/<dt>Rate<\/dt><dd>100\/s<.*name="concurrency" value="3"/s, 'and shown');
act($dash, 'configure', name => $work, max_attempts => '1', concurrency => '4', initial_interval => '00:00:05');
is($node->safe_psql('postgres', "SELECT max_attempts, concurrency, rate, queue, initial_interval $settings '$work'"), '1|4|||00:00:05', 'what was emptied is taken back');
like(act($dash, 'configure', name => $work, max_attempts => 'many'), qr/invalid input syntax/, 'no number');
like(act($dash, 'configure', name => $work, max_attempts => '0'), qr/message bad/, 'out of range');
act($dash, 'configure', name => $work, max_attempts => '1');
like(act($dash, 'configure', name => 'public.tick()', max_duration => '5 min'), qr/are changed/, 'of a function that had none');
like(act($dash, 'configure', name => 'gone()', max_attempts => '1'), qr/does not exist/, 'of one that there is not');
like(act($dash, 'new-queue', name => '<i>new'), qr/The queue &quot;&lt;i&gt;new&quot; is made/, 'a new queue');
like(act($dash, 'new-queue', name => '<i>new'), qr/already exists/, 'once');
like(act($dash, 'alter-queue', name => '<i>new', group_by => 'metadata.tenant', group_order => 'strict', reserved => '1'), qr/are changed/, 'its settings');
is($node->safe_psql('postgres', "SELECT group_by, group_order, reserved $settings '<i>new'"), 'metadata.tenant|strict|1', 'they are set');
act($dash, 'alter-queue', name => '<i>new', group_by => 'metadata.tenant');
is($node->safe_psql('postgres', "SELECT group_by, group_order, reserved $settings '<i>new'"), 'metadata.tenant||', 'and taken back');
like(act($dash, 'set-group', queue => '<i>new', group => 'acme', weight => '2', concurrency => 'none', rate => '5/s'), qr/The settings of the group &quot;acme&quot; are changed/, 'of a group');
is($node->safe_psql('postgres', q{SELECT weight, concurrency, rate FROM defer.groups WHERE name = '<i>new'}), '2||5/s', 'they are set');
like(get($dash, '/queue?name=%3Ci%3Enew')->{content}, qr/do\/reset-group/, 'and can be taken back');
like(act($dash, 'reset-group', queue => '<i>new', group => 'acme'), qr/has no settings of its own/, 'they are');
like(act($dash, 'set-group', function => $work, group => 'blue', weight => '3'), qr/are changed/, 'of a group of a function');
like(get($dash, "/function?name=$work")->{content}, qr/Groups<\/h2>.*>blue<\/a>.*do\/pause-group.*name="function" value="public\.work\(integer\)"/s, 'which shows it');
act($dash, 'reset-group', function => $work, group => 'blue');
like(act($dash, 'drop-queue', name => '<i>new'), qr/The queue &quot;&lt;i&gt;new&quot; is deleted/, 'delete a queue');

# --- one zone for all times, chosen by the user

like(act($dash, 'zone', zone => 'Asia/Tokyo'), qr/Times are in the time zone Asia\/Tokyo/, 'another zone');
like(get($dash, '/')->{content}, qr/<title>[-0-9]+ [0-9:]+\+09: .*Times are in the time zone Asia\/Tokyo/s, 'in charts, too');
my $noon = $node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[0]', delay => '1 day', key => 'noon')});
act($dash, 'reschedule-jobs', key => 'noon', run_at => '2100-01-01T12:00');
is($node->safe_psql('postgres', "SELECT run_at AT TIME ZONE 'UTC' FROM defer.jobs WHERE id = $noon"), '2100-01-01 03:00:00', 'and in forms');
$node->safe_psql('postgres', "SELECT defer.cancel($noon)");
like(act($dash, 'zone', zone => '"><script>'), qr/invalid value/, 'a zone that there is not');
like(get($dash, '/workers')->{content}, qr/time zone Asia\/Tokyo/, 'it stays');
my $rules = '<-0500>+05:00:00<-0400>+04:00:00,M3.2.0/02:00:00,M11.1.0/02:00:00';
like(act($dash, 'zone', zone => $rules), qr/Times are in the time zone &lt;-0500&gt;/, 'the rules of a zone, longer than its name');
like(get($dash, '/workers')->{content}, qr{Times are in the time zone \Q&lt;-0500&gt;+05:00:00&lt;-0400&gt;+04:00:00,M3.2.0/02:00:00,M11.1.0/02:00:00\E</summary>},
	'they stay');
like(act($dash, 'zone', zone => ''), qr/Times are in the time zone (?!Asia)/, 'that of the server again');

# --- all jobs that a filter shows

$node->safe_psql('postgres', q{SELECT defer.create_queue('</td>many')});

my @many = split /\n/, $node->safe_psql('postgres', q{SELECT defer.enqueue('work', '[0]', queue => '</td>many', metadata => '{"tenant": 7}', delay => '1 day') FROM generate_series(1, 3)});
my $filter = 'queue=%3C%2Ftd%3Emany&metadata=%7B%22tenant%22%3A7%7D&function=wor';
my %fields = (queue => '</td>many', metadata => '{"tenant":7}', function => 'WOR');

unlike(get($dash, '/jobs')->{content}, qr/\/bulk\?/, 'no filter: nothing to act on');
like(get($dash, "/jobs?$filter")->{content}, qr/\/bulk\?do=cancel.*\/bulk\?do=reschedule.*\/bulk\?do=rerun/s, 'a filter: all that pass');
unlike(get($dash, "/jobs?$filter&state=failed")->{content}, qr/\/bulk\?do=(cancel|reschedule)/, 'those that have ended cannot be cancelled');
like(get($dash, "/jobs?$filter&state=running")->{content}, qr/\/bulk\?do=cancel/, 'those that run can');
unlike(get($dash, "/jobs?$filter&state=running")->{content}, qr/\/bulk\?do=(rerun|reschedule)/, 'and nothing else');
like(get($dash, "/jobs?$filter&since=-1+hour")->{content}, qr/clear the times/, 'not with a time, which is another one there');
like(get($dash, "/bulk?do=cancel&$filter")->{content}, qr/id="bulk-count">3<\/strong> jobs that you may manage pass/, 'it says how many');
is($node->safe_psql('postgres', "SELECT count(*) FROM defer.jobs WHERE state = 'scheduled' AND metadata = '{\"tenant\": 7}'"), '3', 'a GET does nothing');
for my $nothing ('/bulk', '/bulk?do=drop', "/bulk?$filter")
{
	is(get($dash, $nothing)->{status}, 404, "$nothing: there is no such action");
}
like(get($dash, '/bulk?do=cancel&metadata=%7B')->{content}, qr/The server said/, 'what the server says of a filter');
unlike(get($dash, '/bulk?do=cancel&metadata=%7B')->{content}, qr/do\/cancel-jobs/, 'and no button');
like(get($dash, '/bulk?do=cancel&function=gone')->{content}, qr/bulk-count">0</, 'no such function: none');
unlike(get($dash, '/bulk?do=cancel&function=gone')->{content}, qr/do\/cancel-jobs/, 'none: no button');
like(get($dash, '/bulk?do=cancel')->{content}, qr/needs a filter/, 'no filter');
like(act($dash, 'cancel-jobs'), qr/needs a filter/, 'nor when it is sent');
like(act($dash, 'reschedule-jobs', %fields, state => 'running'), qr/0 of 0 jobs/, 'a state that does not go with it');
like(act($dash, 'reschedule-jobs', %fields, run_at => '2100-01-01T00:00'), qr/3 of 3 jobs were moved/, 'to another time');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE metadata = '{"tenant": 7}' AND run_at = '2100-01-01'}), '3', 'which is that of the zone of the page');
like(act($dash, 'reschedule-jobs', %fields, run_at => 'bogus'), qr/invalid input syntax/, 'to no time');
like(act($dash, 'reschedule-jobs', %fields), qr/3 of 3 jobs were moved/, 'to now');
until_ok($node, q{SELECT count(*) = 3 FROM defer.jobs WHERE state = 'succeeded' AND metadata = '{"tenant": 7}'}, 'they have run');
like(act($dash, 'rerun-jobs', %fields), qr/3 of 3 jobs were enqueued as copies/, 'run them again');
is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.jobs WHERE rerun_of = ANY (ARRAY[' . join(',', @many) . '])'), '3', 'copies');
until_ok($node, q{SELECT count(*) = 6 FROM defer.jobs WHERE state = 'succeeded' AND metadata = '{"tenant": 7}'}, 'which have run');
like(act($dash, 'cancel-jobs', queue => 'narrow'), qr/1 of 2 jobs were cancelled/, 'cancel them, but the one that runs');
like(act($dash, 'cancel-jobs', queue => 'narrow', force => '1'), qr/1 of 1 jobs were cancelled, or are being stopped/, 'that one, too');
settled_but($node, 0);
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work', '[0]', metadata => '{"very": "many"}', delay => '1 day')) FROM generate_series(1, 10001)});
like(act($dash, 'cancel-jobs', metadata => '{"very": "many"}'), qr/Job \d+ does that with 10001 jobs/, 'very many: by a job');
settled_but($node, 0);
is(post($dash, '/do/cancel-jobs', { state => 'scheduled' })->{status}, 403, 'no token in the form');

# --- mending: 71 jobs fail with two errors; a click for each mends them, and done twice nothing runs twice

$node->safe_psql('postgres', q{
	SELECT count(defer.acknowledge(job_id)) FROM defer.failures WHERE state = 'open';
	CREATE TABLE broken AS SELECT true AS is;
	CREATE TABLE paid (invoice integer);
	CREATE FUNCTION pay(invoice integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
		IF EXISTS (SELECT FROM broken) AND invoice % 2 = 0 THEN RAISE 'account "a%" is <b>closed</b>', invoice; END IF;
		IF EXISTS (SELECT FROM broken) THEN RAISE 'no answer about invoice %', invoice; END IF;
		INSERT INTO paid VALUES (invoice); END $$;
	SELECT defer.configure('pay', max_attempts => 1);
	SELECT count(defer.enqueue('pay', jsonb_build_array(n))) FROM generate_series(1, 71) n});
settled_but($node, 0);
my $errors = get($dash, '/errors')->{content};
my $in_row = q{(?:(?!<tr>).)*};
my ($closed) = $errors =~ /account &quot;\*&quot; is &lt;b&gt;closed&lt;\/b&gt;$in_row>35<\/a>$in_row name="fingerprint" value="([0-9a-f]{16})"/s;
my ($silent) = $errors =~ /no answer about invoice #$in_row>36<\/a>$in_row name="fingerprint" value="([0-9a-f]{16})"/s;
ok($closed && $silent && $closed ne $silent, 'two lines, of 35 and 36 jobs');
is(scalar(() = $errors =~ /do\/retry-error/g), 2, 'with a button each');
my ($to_jobs) = $errors =~ /href="(\/jobs\?state=failed&amp;fingerprint=$closed)">35</;
$to_jobs =~ s/&amp;/&/;
is(scalar(() = get($dash, $to_jobs)->{content} =~ /<tr><td class="num"><a href="\/job\?id=\d+">/g), 35, 'and a link to its jobs');
like(get($dash, "/bulk?do=retry&state=failed&fingerprint=$closed")->{content}, qr/bulk-count">35</, 'which can be dealt with there, too');
like(get($dash, '/')->{content}, qr/<title>\(\d+\) Overview .*71 jobs of public\.pay\(integer\) failed for good.*href="\/jobs\?state=failed&amp;function=public\.pay%28integer%29">the jobs/s, 'they need attention');
$node->safe_psql('postgres', 'DELETE FROM broken');
for my $again ('', ' again')
{
	my $n = $again ? 0 : 35;

	like(act($dash, 'retry-error', fingerprint => $closed), qr/$n of $n jobs are taken on again/, "a click$again");
	$n = $again ? 0 : 36;
	like(act($dash, 'retry-error', fingerprint => $silent), qr/$n of $n jobs are taken on again/, "one for the other$again");
	settled_but($node, 0);
	is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT invoice) FROM paid'), '71|71', "each has run once$again");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.health}), '0', "health is green$again");
	like(get($dash, '/', 'X-Fragment' => 1)->{content}, qr/id="page-title" hidden>Overview</, "the title, too$again");
	like(whole($dash, '/'), qr/Nothing\.<\/span> Jobs and schedules run/, "nothing needs attention$again");
}
like(get($dash, '/errors')->{content}, qr/none has failed about which nothing was done/, 'no errors are left');

# one job: taken on again, run again, acknowledged
my $sick = $node->safe_psql('postgres', q{INSERT INTO broken VALUES (true); SELECT defer.enqueue('pay', '[1001]')});
settled_but($node, 0);
like(get($dash, "/job?id=$sick")->{content}, qr/do\/retry.*do\/acknowledge.*do\/rerun/s, 'a failed job can be mended');
like(act($dash, 'retry', id => $sick), qr/Job $sick is taken on again/, 'taken on again');
settled_but($node, 0);
my $rerun = post($dash, '/do/rerun', { id => $sick, csrf => $dash->{csrf} })->{headers}{location};
settled_but($node, 0);
like(get($dash, $rerun)->{content}, qr/Rerun of<\/dt><dd><a href="\/job\?id=$sick"/, 'linked');
like(get($dash, "/job?id=$sick")->{content}, qr/Run again as<\/dt><dd><a href="\/job\?id=\d+"/, 'both ways');
like(get($dash, "/jobs?state=failed&function=public.pay")->{content}, qr/\/bulk\?do=retry.*\/bulk\?do=acknowledge/s, 'all that a filter shows');
like(get($dash, '/bulk?do=acknowledge&state=failed&function=pay')->{content}, qr/bulk-count">1<.*name="note"/s, 'how many');
like(act($dash, 'acknowledge', id => $sick, note => '<i>known</i>'), qr/The failure of job $sick is acknowledged/, 'acknowledged');
like(act($dash, 'acknowledge', id => $sick), qr/Something was done about job $sick already/, 'once');
like(get($dash, $node->safe_psql('postgres', "SELECT '/job?id=' || job_id FROM defer.failures WHERE state = 'acknowledged' AND note IS NOT NULL"))->{content},
	qr/Acknowledged<\/dt><dd>.*by postgres<\/span> &lt;i&gt;known&lt;\/i&gt;/, 'and the page says by whom');
like(act($dash, 'acknowledge-error', fingerprint => $silent), qr/0 of 0 jobs were acknowledged/, 'nothing is left of the error');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.health}), '0', 'health is green');

# --- metrics

is(get($dash, '/metrics')->{status}, 200, 'metrics, in a session');
delete $dash->{cookie};
$answer = get($dash, '/metrics', Authorization => "Bearer $dash->{token}");
is($answer->{status}, 200, 'metrics, with the token');
like($answer->{content}, qr/^# TYPE defer_/m, 'in the text format');
is(get($dash, '/metrics', Authorization => 'Bearer ' . 'x' x 32)->{status}, 401, 'metrics, with a wrong one');
like(get($dash, '/metrics?buckets=all', Authorization => "Bearer $dash->{token}")->{content}, qr/le="0\.05"/, 'metrics with all buckets');
unlike(get($dash, '/metrics', Authorization => "Bearer $dash->{token}")->{content}, qr/le="0\.05"/, '... and with few');
unlike(get($dash, '/metrics?functions=0', Authorization => "Bearer $dash->{token}")->{content}, qr/_bucket/, '... and without histograms');
is(get($dash, "/metrics?$_", Authorization => "Bearer $dash->{token}")->{status}, 400, "metrics with $_") for 'groups=1001', 'groups=-1', 'functions=x', 'buckets=some';
is(get($dash, '/metrics?buckets=some', Authorization => 'Bearer ' . 'x' x 32)->{status}, 401, 'a wrong token learns nothing about that');

# --- a server that does not answer in time

login($dash, token => $dash->{token});
my $locker = $node->background_psql('postgres', on_error_stop => 1);
$locker->query_safe('BEGIN; LOCK TABLE defer.job, defer.queue');
is(get($dash, '/queue')->{status}, 404, 'a page of no queue');
$answer = get($dash, '/');
is($answer->{status}, 200, 'a page comes all the same');
like($answer->{content}, qr/took too long and is left out/, 'and says what is missing');
$locker->query_safe('ROLLBACK');
$locker->quit;
unlike(get($dash, '/')->{content}, qr/took too long/, 'then all is there again');
delete $dash->{cookie};

# --- the server away and back; many sessions; logging out

login($dash, token => $dash->{token});
$node->restart;
until_ok($node, 'SELECT true', 'the server is back');
get($dash, '/');
is(get($dash, '/')->{status}, 200, 'the session goes on after a restart of the server');
for (1 .. 40)
{
	my %other = (%$dash, cookie => undef);
	post(\%other, '/login', { token => $dash->{token} });
}
is(get($dash, '/')->{status}, 303, 'of very many sessions the oldest has gone');
login($dash, token => $dash->{token});
is(post($dash, '/logout', { csrf => 'b' x 32 })->{status}, 403, 'nobody logs us out');
$answer = post($dash, '/logout', { csrf => $dash->{csrf} });
like($answer->{headers}{'set-cookie'}, qr/Max-Age=0/, 'log out');
is(get($dash, '/')->{status}, 303, 'the session is over');

# --- guessing

delete $dash->{cookie};
my @statuses = map { post($dash, '/login', { token => "guess $_" })->{status} } 1 .. 12;
is($statuses[-1], 429, 'too many guesses');
login($dash, token => $dash->{token});
stop_dashboard($dash);

# --- look, change nothing

$dash = dashboard([ '--read-only' ]);
login($dash, token => $dash->{token});
is(post($dash, '/do/trigger', { id => $tick, csrf => $dash->{csrf} })->{status}, 403, 'read-only: no action');
for my $path ('/jobs', '/jobs?queue=default', "/job?id=$failed", '/functions', '/function?name=public.work(integer)', '/schedules', "/schedule?id=$tick",
	'/queues', '/queue?name=default')
{
	unlike(get($dash, $path)->{content}, qr/action="\/do\/(?!zone)|\/bulk\?|new-schedule/, "read-only: $path has no buttons");
}
is(get($dash, '/bulk?do=cancel&state=scheduled')->{status}, 404, 'read-only: nor the page that asks');
is(get($dash, '/new-schedule')->{status}, 404, 'read-only: nor that for a new schedule');
like(act($dash, 'zone', zone => 'UTC'), qr/time zone UTC/, 'read-only: a zone can be chosen');
stop_dashboard($dash);

# --- whose rights

$dash = dashboard([], user => 'dash_user');
login($dash, token => $dash->{token});
unlike(get($dash, '/jobs')->{content}, qr/href="\/job\?id/, 'a role without jobs sees none');
is(get($dash, "/job?id=$failed")->{status}, 404, 'nor one by its id');
like(act($dash, 'pause-function', name => 'public.work(integer)'), qr/message bad/, 'nor may it pause');
like(act($dash, 'configure', name => 'public.work(integer)', max_attempts => '2'), qr/message bad/, 'nor change settings');
like(act($dash, 'unschedule', id => $tick), qr/There is no such schedule/, 'nor delete a schedule');
stop_dashboard($dash);

# --- with passwords

my $hba = $node->data_dir . '/pg_hba.conf';
my $rules = slurp_file($hba);
open(my $file, '>', $hba) or die;
print $file "local all dash_user scram-sha-256\n$rules";
close $file;
$node->reload;
{
	local $ENV{PGPASSWORD};
	delete $ENV{PGPASSWORD};
	$dash = dashboard([ '--login', 'password' ]);
	ok(!defined $dash->{token}, 'no token');
	is(post($dash, '/login', { token => '' })->{status}, 403, 'nor without one');
	is(post($dash, '/login', { role => 'dash_user', password => 'wrong' })->{status}, 403, 'wrong password');
	is(post($dash, '/login', { role => 'dash_user host=127.0.0.1', password => 'right' })->{status}, 403, 'a role is a role');
	login($dash, role => 'dash_user', password => 'right');
	like(get($dash, '/')->{content}, qr/dash_user/, 'as that role');
	is(get($dash, "/job?id=$failed")->{status}, 404, 'with its rights');
	stop_dashboard($dash);
}

# --- a password that nobody has typed, or that the server does not ask for

my $passfile = $node->basedir . '/pgpass';
append_to_file($passfile, "*:*:*:*:right\n");
chmod(0600, $passfile) or die "cannot change $passfile: $!";

# Of /metrics, with a role and a password
sub metrics_as
{
	my ($role, $password) = @_;

	return get($dash, '/metrics', Authorization => 'Basic ' . encode_base64("$role:$password", ''));
}

for my $from (qw(PGPASSWORD PGPASSFILE))
{
	local %ENV = %ENV;
	delete $ENV{PGPASSWORD};
	$ENV{$from} = $from eq 'PGPASSWORD' ? 'right' : $passfile;
	$dash = dashboard([ '--login', 'password' ]);
	for my $case ([ 'dash_user', '', 'no password' ], [ 'dash_user', 'wrong', 'a wrong password' ], [ 'open_user', 'wrong', 'a role that is trusted' ],
		[ '', 'right', 'no role' ])
	{
		my ($role, $password, $what) = @$case;

		$answer = post($dash, '/login', { role => $role, password => $password });
		is($answer->{status}, 403, "$from is set, $what: refused");
		ok(!$answer->{headers}{'set-cookie'}, "$from is set, $what: no cookie");
		like($answer->{content}, qr/did not ask for a password for the role &quot;open_user&quot;.*pg_hba\.conf/s, "$what: it says why")
		  if $role eq 'open_user';
		$answer = metrics_as($role, $password);
		isnt($answer->{status}, 200, "$from is set, $what: no metrics");
		unlike($answer->{content}, qr/^# TYPE/m, "$from is set, $what: none at all");
	}
	is(metrics_as('dash_user', 'right')->{status}, 200, "$from is set: metrics with the right password");
	login($dash, role => 'dash_user', password => 'right');
	stop_dashboard($dash);
}
{
	local $ENV{PGPASSFILE} = $passfile;

	unlink($passfile) or die "cannot remove $passfile: $!";
	append_to_file($passfile, "*:*:*:*:wrong\n");
	chmod(0600, $passfile) or die "cannot change $passfile: $!";
	$dash = dashboard([ '--login', 'password' ]);
	login($dash, role => 'dash_user', password => 'right');
	like(get($dash, '/')->{content}, qr/dash_user/, 'what was typed goes before a file of passwords');
	stop_dashboard($dash);
}

# --- with a token of one's own, and pages that have more than usual

append_to_file($node->data_dir . '/token', "a-token-of-my-own-12345\n");
$dash = dashboard([ '--token-file', $node->data_dir . '/token' ]);
is($dash->{token}, undef, 'no other token is made');
login($dash, token => 'a-token-of-my-own-12345');
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('work', '[0]')) FROM generate_series(1, 120);
	SELECT defer.cron('tick', '* * * * * *', name => 'quick', allow_direct => true);
	SELECT defer.alert('<b>alert</b>', recipients => '{a@example.com}')});
until_ok($node, q{SELECT count(*) FILTER (WHERE function LIKE '%work(integer)') >= 120 AND count(*) FILTER (WHERE schedule = 'quick') > 0
	FROM defer.jobs WHERE state = 'succeeded' AND id > } . $later, 'more jobs have ended');
$answer = get($dash, '/jobs?function=work')->{content};
like($answer, qr/id="older" href="([^"]*before=\d+)"/, 'more jobs than a page has');
my ($older) = $answer =~ /id="older" href="([^"]*)"/;
$older =~ s/&amp;/&/g;
like(get($dash, $older)->{content}, qr/work\(integer\)/, 'the next page has the others');
like(get($dash, '/alerts')->{content}, qr/<strong>&lt;b&gt;alert/, 'alerts are shown as text');
like(get($dash, '/schedules')->{content}, qr/class="leaves"><li><a href="\/job\?id=\d+"/, 'the last runs of a schedule');
stop_dashboard($dash);

# --- schedules of one name that belong to several roles

$node->safe_psql('postgres', q{
	CREATE ROLE one LOGIN; CREATE ROLE two LOGIN; GRANT USAGE ON SCHEMA defer TO one, two;
	SELECT defer.cron_command('backup', '0 3 * * *', 'SELECT 0');
	SET ROLE one; SELECT defer.cron_command('backup', '0 2 * * *', 'SELECT 1'); SELECT defer.cron_command('only', '0 2 * * *', 'SELECT 1'); RESET ROLE;
	SET ROLE two; SELECT defer.cron_command('backup', '0 1 * * *', 'SELECT 2'); SELECT defer.cron_command('only', '0 1 * * *', 'SELECT 2'); RESET ROLE});
my %id = map { split /=/ } split /\n/, $node->safe_psql('postgres', q{SELECT name || '/' || owner || '=' || id FROM defer.schedules});
my ($superuser) = map { m{^backup/(.*)} && $1 !~ /^(one|two)$/ ? $1 : () } keys %id;

sub active { return $node->safe_psql('postgres', q{SELECT string_agg(name || '/' || owner, ' ' ORDER BY name, owner::text) FROM defer.schedules WHERE NOT active}); }

$dash = dashboard([]);
login($dash, token => $dash->{token});
like(act($dash, 'pause-schedule', id => $id{'backup/one'}), qr/The schedule &quot;backup&quot; is paused/, 'pause the schedule of another role');
is(active(), 'backup/one', 'it is that one');
act($dash, 'pause-schedule', id => $id{'only/two'});
is(active(), 'backup/one only/two', 'of two that are others\', that one');
act($dash, 'resume-schedule', id => $id{'backup/one'});
like(act($dash, 'trigger', id => $id{'backup/two'}), qr/A run of &quot;backup&quot; was enqueued: job (\d+)/, 'run one of them');
act($dash, 'resume-schedule', id => $id{'only/two'});
settled_but($node, 0);
is($node->safe_psql('postgres', q{SELECT owner || ' ' || (args ->> 'sql') FROM defer.jobs WHERE schedule = 'backup'}), 'two SELECT 2', 'it was that one');
like(get($dash, "/jobs?schedule=$id{'backup/two'}")->{content}, qr/href="\/job\?id=\d+"/, 'runs of the one that ran');
unlike(get($dash, "/jobs?schedule=$id{'backup/one'}")->{content}, qr/href="\/job\?id=\d+"/, 'and not of the others');
my ($run) = get($dash, "/jobs?schedule=$id{'backup/two'}")->{content} =~ /href="\/job\?id=(\d+)"/;
like(get($dash, "/job?id=$run")->{content}, qr/href="\/jobs\?schedule=$id{'backup\/two'}"/, 'from a run to the runs of that schedule');

# Cards are in the same order whatever runs next, or is paused
sub cards { return join ' ', get($dash, '/schedules')->{content} =~ /name="id" value="(\d+)"><button class="small">Run now/g; }
my $cards = cards();
is($cards, join(' ', map { $id{$_} } sort { (split m{/}, $a)[0] cmp (split m{/}, $b)[0] || (split m{/}, $a)[1] cmp (split m{/}, $b)[1] } keys %id), 'by name and owner');
act($dash, 'pause-schedule', id => $id{'backup/two'});
$node->safe_psql('postgres', q{SELECT defer.alter_cron('<i>tick</i>', '* * * * * *')});
is(cards(), $cards, 'the same whatever happens to them');
$node->safe_psql('postgres', q{SELECT defer.alter_cron('<i>tick</i>', '0 4 * * *')});
settled_but($node, 0);

# --- what failed last, by when it failed; ids that a double cannot hold

$node->safe_psql('postgres', q{CREATE TABLE open (n integer)});
$node->safe_psql('postgres', q{CREATE FUNCTION late() RETURNS void LANGUAGE plpgsql AS
	$$ BEGIN WHILE NOT EXISTS (SELECT FROM open) LOOP PERFORM pg_sleep(0.01); END LOOP; RAISE 'late'; END $$});
my $late = $node->safe_psql('postgres', q{SELECT defer.enqueue('late', max_attempts => 1)});
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work', '[2]')) FROM generate_series(1, 20)});
settled_but($node, 1);
$node->safe_psql('postgres', q{INSERT INTO open VALUES (1)});
settled_but($node, 0);
like(get($dash, '/')->{content}, qr/Failed last.*?<li>.*?href="\/job\?id=$late"/s, 'what failed last is there');
my ($first) = get($dash, '/')->{content} =~ /Failed last.*?<li>.*?href="\/job\?id=(\d+)"/s;
is($first, $late, 'and comes first');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('work', '[3]')) FROM generate_series(1, 520)});
settled_but($node, 0);
is(scalar(() = get($dash, '/')->{content} =~ /<li><a href="\/job\?id=\d+">Job /g), 8, 'of very many failed ones the last');
like(get($dash, '/')->{content}, qr/dashboard\.css\?\d+".*dashboard\.js\?\d+"/s, 'assets have a version');
act($dash, 'resume-queue', name => '</td>queue');
my $large = '9007199254740993';
$node->safe_psql('postgres', qq{SELECT setval('defer.job_id_seq', $large - 1)});
is($node->safe_psql('postgres', q{SELECT count(defer.enqueue('work', '[0]', queue => '</td>queue')) FROM generate_series(1, 61)}), '61', 'jobs with large ids');
settled_but($node, 0);
my $content = get($dash, '/jobs?queue=%3C%2Ftd%3Equeue')->{content};
my @listed = $content =~ /href="\/job\?id=(\d+)"/g;
my ($next) = $content =~ /id="older" href="([^"]*)"/;
$next =~ s/&amp;/&/g;
push @listed, get($dash, $next)->{content} =~ /href="\/job\?id=(\d+)"/g;
is(join(' ', @listed), $node->safe_psql('postgres', q{SELECT string_agg(id::text, ' ' ORDER BY id DESC) FROM defer.jobs WHERE queue = '</td>queue' AND id > 1000000}),
	'each of them once, on two pages');
is(get($dash, "/job?id=$listed[-1]")->{status}, 200, 'one of them');
like(get($dash, "/job?id=$listed[-1]")->{content}, qr/<title>Job $listed[-1] /, 'a title that tells tabs apart');

# --- workflows, steps, batches

$node->safe_psql('postgres', q{
	CREATE FUNCTION says(what jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT what';
	CREATE FUNCTION fan_in() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION fan_out() RETURNS bigint LANGUAGE sql AS $$
		SELECT count(defer.enqueue('public.work', '[3]')) FROM generate_series(1, 3);
		SELECT defer.when_done('public.fan_in') $$;
	CREATE SEQUENCE tries;
	CREATE FUNCTION second_time() RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		IF nextval('public.tries') = 1 THEN RAISE 'not yet'; END IF;
		RETURN '<b>now</b>';
	END $$;
	CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$
	BEGIN
		CALL defer.step('<i>twice</i>', 'public.second_time');
		CALL defer.wait_event('decision', '<b>decided</b>', '7 days');
	END $$});
my $flow = $node->safe_psql('postgres', q{SELECT defer.workflow('<b>order</b>', '[
	{"name": "<i>reserve</i>", "function": "says", "args": ["<b>said</b>"]},
	{"name": "a name that is longer than its box", "function": "says", "args": [1], "after": ["<i>reserve</i>"]},
	{"name": "ship", "function": "says", "args": [2], "after": ["<i>reserve</i>", "a name that is longer than its box"], "delay": "1 day"}]',
	'{"note": "<u>"}')});
my $procedure = $node->safe_psql('postgres', q{SELECT defer.enqueue('steps', initial_interval => '10 ms')});
my $batch = $node->safe_psql('postgres', q{SELECT defer.enqueue('fan_out')});
until_ok($node, "SELECT string_agg(state, ',' ORDER BY ord) = 'succeeded,succeeded,scheduled' FROM defer.workflow_steps WHERE workflow_id = $flow", 'a workflow under way');
until_ok($node, "SELECT EXISTS (SELECT FROM defer.steps WHERE job_id = $procedure AND state = 'waiting')", 'a procedure that waits');
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE function = 'public.fan_in()'", 'a batch that is over');
for my $path ('/workflows', '/workflows?before=1', '/workflows?before=x', "/workflow?id=$flow", "/job?id=$procedure", "/job?id=$batch", "/job?id=$flow")
{
	$answer = get($dash, $path);
	is($answer->{status}, 200, "GET $path");
	unlike($answer->{content}, qr/<(b>|i>|u>)/, "$path: nothing hostile");
	unlike($answer->{content}, qr/The server said|took too long/, "$path: no error");
	unlike($answer->{content}, qr/<[^<>]*\s(style|on\w+)=/, "$path: nothing inline");
}
like(get($dash, '/workflows')->{content}, qr/href="\/workflow\?id=$flow">$flow<.*is-running.*&lt;b&gt;order.* 2 of 3</s, 'the list of workflows');
like(get($dash, '/workflows?before=1')->{content}, qr/There are no older workflows/, 'none before the first');
my $graph = get($dash, "/workflow?id=$flow")->{content};
like($graph, qr/<svg class="graph" width="620" height="50" .*(<path d="M[^"]*"\/>\s*){3}/s, 'the graph: three lines, and three levels of one box');
like($graph, qr/class="at-succeeded"><title>&lt;i&gt;reserve&lt;\/i&gt;: succeeded<\/title>/, 'a box');
like($graph, qr/<text [^>]*>a name that is lon\xe2\x80\xa6<\/text>/, 'a name is cut');
like($graph, qr/<strong>ship<\/strong>.*is-scheduled.*&lt;i&gt;reserve&lt;\/i&gt;, a name that/s, 'the table of its steps');
is(get($dash, "/workflow?id=$procedure")->{status}, 404, 'no workflow');
is(get($dash, '/workflow?id=x')->{status}, 404, 'no id');
like(get($dash, "/job?id=$flow")->{content}, qr/href="\/workflow\?id=$flow"/, 'from the job of a workflow to its graph');
like(get($dash, "/job?id=$procedure")->{content}, qr/&lt;i&gt;twice&lt;\/i&gt;.*>2 attempts<.*&lt;b&gt;now.*<strong>decision<.*waits<.* for event &lt;b&gt;decided&lt;\/b&gt;, at most until <time/s,
	'the steps of a procedure');
like(get($dash, "/job?id=$batch")->{content}, qr/Batch of 3 jobs.*<h3>Then<.*fan_in.*<span class="state is-succeeded"/s, 'a batch, and what came after it');
act($dash, 'cancel', id => $flow);
until_ok($node, "SELECT state = 'cancelled' FROM defer.workflows WHERE id = $flow", 'a workflow is cancelled');
stop_dashboard($dash);

# --- what it says when it cannot begin

command_fails_like([ 'defer', '-h', $node->host, '-p', $node->port, '-d', 'postgres', 'dashboard', '--origin', 'ftp://x' ], qr/begins with http/, 'no origin');
my $token_file = $node->basedir . '/token';
for my $case ([ 'short', qr/less than 16/ ], [ '', qr/it is empty/ ])
{
	append_to_file($token_file, $case->[0]);
	command_fails_like([ 'defer', '-h', $node->host, '-p', $node->port, '-d', 'postgres', 'dashboard', '--token-file', $token_file ],
		$case->[1], "token '$case->[0]'");
	unlink($token_file) or die "cannot remove $token_file: $!";
}
command_fails_like([ 'defer', '-h', $node->host, '-p', $node->port, '-d', 'postgres', 'dashboard', '--token-file', $token_file ],
	qr/could not read the token/, 'no file');
command_fails_like([ 'defer', '-h', $node->host, '-p', $node->port, '-d', 'nothing', 'dashboard' ], qr/does not exist/, 'no database');

done_testing();
