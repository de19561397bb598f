# What belongs to another role is neither seen nor touched, through any view and any
# function: all of them are found in the catalogs, and each function is called with
# the other's ids, names, keys, roles in each parameter, in a session and in a job.
# An id of the other's is answered like one that does not exist.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
defer.max_workers = 4
defer.retention = 0
autovacuum = off
defer.smtp_url = 'smtp://127.0.0.1:1'
defer.smtp_from = 'defer@example.com'
});

sub as
{
	my ($role, $sql) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]);
}

# ------------------------------------------------------------------------
# What alice has.  ALICES is a part of every text of hers.
# ------------------------------------------------------------------------
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE alice LOGIN;
	CREATE ROLE bob LOGIN;
	CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
	CREATE SCHEMA "ALICES" AUTHORIZATION alice;
	CREATE SCHEMA lab;
	GRANT USAGE ON SCHEMA lab, defer TO alice, bob, watcher;
	GRANT CREATE ON SCHEMA lab TO alice, bob;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA defer TO alice, bob, watcher;
	SELECT defer.grant_tasks('alice');
	REVOKE EXECUTE ON FUNCTION defer.run_schedules, defer.activate FROM alice, bob, watcher;
	CREATE FUNCTION lab.noop() RETURNS void LANGUAGE sql AS 'SELECT';
});
as('alice', q{
	CREATE TABLE "ALICES".gate (open boolean);
	SELECT defer.create_task('ALICES task');
	CREATE FUNCTION "ALICES".work(how text, secret text DEFAULT 'ALICES default') RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		RAISE WARNING 'ALICES message';
		PERFORM defer.log('ALICES log');
		IF how LIKE '%fail' THEN
			RAISE EXCEPTION 'ALICES error' USING DETAIL = 'ALICES detail', HINT = 'ALICES hint', ERRCODE = 'AL123';
		ELSIF how LIKE '%parent' THEN
			PERFORM defer.enqueue('"ALICES".work', '["ALICES child"]');
		END IF;
		WHILE how LIKE '%wait' AND NOT EXISTS (SELECT FROM "ALICES".gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
		RETURN 'ALICES result';
	END $$;
	CREATE FUNCTION "ALICES".held() RETURNS void LANGUAGE sql AS 'SELECT';
	-- one that bob may execute and does not own
	CREATE FUNCTION lab."ALICES_open"() RETURNS text LANGUAGE sql AS $$SELECT 'ALICES'$$;

	SET client_min_messages = error;
	SELECT defer.create_queue('ALICES queue', concurrency => 5);
	SELECT defer.configure('"ALICES".work', max_attempts => 1);
	SELECT defer.pause('"ALICES".held');
	SELECT defer.configure('lab."ALICES_open"', priority => 4);
	SELECT defer.cron_command('ALICES cron', '0 0 29 2 *', 'SELECT ''ALICES command''');
	SELECT defer.cron('lab."ALICES_open"', '0 0 29 2 *', name => 'ALICES other', allow_direct => true, queue => 'ALICES queue');
	SELECT defer.endpoint('ALICES hook', 'http', 'http://192.0.2.1/ALICES', headers => '{"x": "ALICES"}', secret => '0123456789ALICES');
	SELECT defer.alert('ALICES rule', 'ALICES hook', on_states => '{failed,succeeded,cancelled,discarded}', group_window => '1 day', schedules => true, backlog => '1 s', workers => true);
	SELECT defer.alert('ALICES mail', recipients => '{ALICES@example.com}', group_window => '1 day');
});
my %jobs = (
	succeeded => q{defer.enqueue('"ALICES".work', '["ALICES ok"]', key => 'ALICES once', metadata => '{"of": "ALICES"}')},
	failed => q{defer.enqueue('"ALICES".work', '["ALICES fail"]', queue => 'ALICES queue')},
	retrying => q{defer.enqueue('"ALICES".work', '["ALICES fail"]', max_attempts => 3, initial_interval => '1 day')},
	running => q{defer.enqueue('"ALICES".work', '["ALICES wait"]')},
	scheduled => q{defer.enqueue('"ALICES".work', '["ALICES"]', delay => '1 day', key => 'ALICES key', group_key => 'ALICES group', metadata => '{"of": "ALICES"}')},
	queued => q{defer.enqueue('"ALICES".held')},
	parent => q{defer.enqueue('"ALICES".work', '["ALICES parent"]')},
	command => q{defer.command('SELECT ''ALICES''')},
	trigger => q{defer.trigger('ALICES cron')},
	delivery => q{defer.http('GET', '/ALICES', endpoint => 'ALICES hook', max_attempts => 1)},
	waiting => q{defer.enqueue('"ALICES".work', '["ALICES"]', after => ARRAY[defer.enqueue('"ALICES".work', '["ALICES"]', delay => '1 day')])},
	workflow => q{defer.workflow('ALICES workflow', '[{"name": "ALICES step", "function": "\"ALICES\".work", "args": ["ALICES"], "delay": "1 day"}]')},
	cancelled => q{defer.enqueue('"ALICES".work', '["ALICES"]', delay => '1 day')});

$jobs{$_} = as('alice', "SELECT $jobs{$_}") for sort keys %jobs;
as('alice', "SELECT defer.cancel($jobs{$_})") for qw(cancelled waiting);
until_ok($node, qq{SELECT count(*) = 6 FROM defer.jobs WHERE finished_at IS NOT NULL AND id IN ($jobs{succeeded}, $jobs{failed}, $jobs{parent}, $jobs{command},
	$jobs{trigger}, $jobs{delivery})}, 'jobs of alice end') or diag($node->safe_psql('postgres', 'SELECT id, state, function, error FROM defer.jobs'));
until_ok($node, qq{SELECT state = 'running' FROM defer.jobs WHERE id = $jobs{running}}, 'one runs');
until_ok($node, qq{SELECT state = 'retrying' FROM defer.jobs WHERE id = $jobs{retrying}}, 'one waits for another attempt');
until_ok($node, qq{SELECT count(*) = 1 FROM defer.jobs WHERE parent_id = $jobs{parent} AND state = 'succeeded'}, 'one has a child');
# (in progress, which is over too soon if the scheduler hears of them)
$node->safe_psql('postgres', qq{
	INSERT INTO defer.step (job_id, name, owner, ord, kind, result, started_at, finished_at)
	VALUES ($jobs{running}, 'ALICES step', 'alice', 1, 's', '"ALICES"', now(), now());
	INSERT INTO defer.event (owner, name, key, payload, at) VALUES ('alice', 'ALICES event', -1, '"ALICES"', now());
	INSERT INTO defer.event_grant (owner, prefix, grantee) VALUES ('alice', 'ALICES', 'alice');
	INSERT INTO defer.fan_out (id, owner, from_id, deep) VALUES ($jobs{running}, 'alice', 1, false);
	INSERT INTO defer.bulk (owner, action, force, job_id) VALUES ('alice', 'ALICES', false, $jobs{retrying});
	INSERT INTO defer.backfill (schedule_id, owner, since, until, overlap, runs, created_by)
	SELECT id, owner, now(), now(), 'queue', 1, 'ALICES' FROM defer.schedule WHERE owner = 'alice'::regrole LIMIT 1});
my $mine = as('bob', q{SELECT defer.enqueue('lab.noop')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $mine", 'bob has a job');

# ------------------------------------------------------------------------
# Views
# ------------------------------------------------------------------------
my @views = split /\n/, $node->safe_psql('postgres', q{SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'defer'::regnamespace AND relkind = 'v'
	AND has_table_privilege('alice', oid, 'SELECT') AND relname <> 'nodes'});

# (those that have nothing of alice's: settings have no names of roles that may not be seen)
for my $view (@views)
{
	cmp_ok(as('alice', "SELECT count(*) FROM defer.$view v WHERE v::text ~ '" . ($view =~ /^(dependencies|batches)$/ ? 'alice' : 'ALICES') . "'"), '>', 0, "$view: alice sees what is hers")
	  unless $view eq 'health';
	is(as('bob', "SELECT v::text FROM defer.$view v WHERE v::text ~ 'ALICES|alice|AL123'"), $view =~ /^(live_|all_)?functions$|^settings$/ ? as('bob',
		"SELECT v::text FROM defer.$view v WHERE v::text ~ 'ALICES_open'") : '', "$view: bob sees nothing of it");
	# nor by what the server says on the way
	my ($out, $err);
	$node->psql('postgres', qq{SET client_min_messages = debug1; SET debug_print_plan = on; EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) SELECT * FROM defer.$view}, stdout => \$out, stderr => \$err,
		extra_params => [ '-U', 'bob' ]);
	unlike("$out$err", qr/ALICES(?!_open)/, "$view: EXPLAIN does not tell");
}
is(as('bob', q{SELECT count(*) FROM defer.functions WHERE function LIKE '%ALICES_open%' AND (queued, running, succeeded, failed) <> (0, 0, 0, 0)}), '0',
	'of a function that bob may execute the settings are seen, and no jobs');
is(as('bob', q{SELECT a::text FROM pg_stat_activity a WHERE a.query LIKE '%ALICES%' AND a.pid <> pg_backend_pid()}), '', 'pg_stat_activity does not tell');
is(as('bob', q{SELECT s::text FROM pg_stats s WHERE s::text LIKE '%ALICES%'}), '', 'pg_stats does not tell');

# ------------------------------------------------------------------------
# Functions
# ------------------------------------------------------------------------

# What is put into parameters, as expressions, by their name or else type
my @ids = @jobs{ sort keys %jobs };
my $schedule = $node->safe_psql('postgres', q{SELECT id FROM defer.schedules WHERE name = 'ALICES cron'});
my %hers = (
	text => [ map { "'$_'" } 'ALICES cron', 'ALICES other', 'ALICES queue', 'ALICES hook', 'ALICES rule', 'ALICES mail', 'ALICES key', 'ALICES', 'alice', 'AL123',
		'"ALICES".work', '"ALICES".work(text,text)', '"ALICES".held()', 'lab."ALICES_open"', 'lab."ALICES_open"()', 'SELECT * FROM "ALICES".gate' ],
	bigint => \@ids,
	schedule_id => [$schedule],
	'timestamp with time zone' => [ q{'-infinity'}, q{'2000-01-01'} ],
	'text[]' => [ q{'{failed,succeeded,running,queued,retrying,cancelled,discarded,scheduled}'}, q{'{ALICES@example.com}'} ],
	jsonb => [ q{'{"of": "ALICES"}'}, q{'["ALICES"]'}, q{'{}'} ],
	oid => [ q{'alice'::regrole::oid} ],
	boolean => [ 'true', 'false' ],
	integer => [ '1', '1000' ],
	'"any"' => [ q{'ALICES'::text}, q{ARRAY['ALICES@example.com']} ]);
$hers{anycompatible} = $hers{'"any"'};
$hers{'character varying'} = $hers{text};
$hers{json} = $hers{jsonb};
$hers{$_} = ['5000'] for qw(priority max_attempts follow_redirects max_response concurrency group_concurrency rate_burst group_rate_burst max_queued group_max_queued reserved max_runs
	pause_after_failures retries n);    # numbers, no ids

# and what is plain
sub plain
{
	my ($name, $type) = @_;
	my %by_name = (function => q{'lab.noop'}, schedule => q{'0 0 29 2 *'}, sql => q{'SELECT 1'}, method => q{'GET'}, url => q{'http://192.0.2.1/'}, kind => q{'http'},
		endpoint => 'NULL', timezone => q{'UTC'});
	my %by_type = (text => q{'mine'}, bigint => $mine, 'timestamp with time zone' => 'now()', 'text[]' => q{'{failed}'}, jsonb => 'NULL', oid => '10', boolean => 'true',
		integer => '10', 'bigint[]' => q{'{1,2}'}, interval => q{'1 s'}, 'double precision' => '0.5', '"any"' => q{'mine@example.com'::text},
		anycompatible => q{'mine@example.com'::text}, 'character varying' => q{'mine'}, json => 'NULL');

	return $by_name{$name} // $by_type{$type};
}

my %parameters;
for my $row (split /\n/, $node->safe_psql('postgres', q{
	SELECT p.oid, p.proname, coalesce(n, -1), coalesce(p.proargnames[n + 1], ''), coalesce(p.proargtypes[n]::oid::regtype::text, ''), n >= p.pronargs - p.pronargdefaults,
		p.provariadic <> 0 AND n = p.pronargs - 1
	  FROM pg_proc p LEFT JOIN LATERAL generate_series(0, p.pronargs - 1) n ON true
	 WHERE p.pronamespace = 'defer'::regnamespace AND p.prorettype <> 'trigger'::regtype AND has_function_privilege('bob', p.oid, 'EXECUTE')
	 ORDER BY p.proname, p.oid, n}))
{
	my ($oid, $function, $n, $name, $type, $optional, $variadic) = split /\|/, $row;

	$parameters{"$function $oid"} //= [];
	push @{ $parameters{"$function $oid"} }, { name => $name, type => $type, optional => $optional eq 't', variadic => $variadic eq 't' } if $n >= 0;
}
my @calls;
for my $key (sort keys %parameters)
{
	my ($function) = split / /, $key;
	my @parameters = @{ $parameters{$key} };
	my $call = sub {
		# (who may see a job may wait for it, without end)
		my (%given) = ($function eq 'await' ? (timeout => q{'0'}) : (), @_);

		# below an id are all of bob's own jobs: those are only counted
		$given{dry_run} = 'true' if $given{before} && grep { $_->{name} eq 'dry_run' } @parameters;

		return "defer.$function(" . join(', ', map {
			my $value = $given{ $_->{name} } // ($_->{optional} ? undef : plain($_->{name}, $_->{type}));

			defined $value ? $_->{variadic} ? $value : "$_->{name} => " . ($_->{type} =~ /any|oid/ ? $value : "$value\::$_->{type}") : () } @parameters) . ')';
	};

	push @calls, $call->();
	for my $parameter (@parameters)
	{
		push @calls, map { $call->($parameter->{name} => $_) } @{ $hers{ $parameter->{name} } // $hers{ $parameter->{type} } // [] };
		# with her endpoint or e-mail, and so to her data's addressees
		push @calls, map { $call->($parameter->{name} => $_, endpoint => q{'ALICES hook'}) } @{ $hers{ $parameter->{name} } // $hers{ $parameter->{type} } // [] }
		  if $parameter->{name} ne 'endpoint' && grep { $_->{name} eq 'endpoint' } @parameters;
		push @calls, map { $call->($parameter->{name} => $_, force => 'true') } @{ $hers{ $parameter->{name} } // $hers{ $parameter->{type} } // [] }
		  if $parameter->{name} eq 'id' && grep { $_->{name} eq 'force' } @parameters;
	}
}
my %seen;
@calls = grep { !$seen{$_}++ } @calls;
cmp_ok(scalar(@calls), '>', 500, 'there are ' . scalar(@calls) . ' calls');
is($node->safe_psql('postgres', q{SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'defer'::regnamespace AND NOT has_function_privilege('bob', p.oid, 'EXECUTE') ORDER BY p.oid}),
	join("\n", 'defer.run_schedules(timestamp with time zone)', 'defer.activate()', 'defer.note_restore()', 'defer.owner_only()'), 'of all functions but these')
  if $node->safe_psql('postgres', q{REVOKE EXECUTE ON FUNCTION defer.note_restore, defer.owner_only FROM alice, bob, watcher; SELECT true});

# Makes each call, keeps what it does, and tells what it says.  "hers" and "nobody's": the
# same call with an id that there is not.
$node->safe_psql('postgres', q{
	CREATE TABLE lab.call (n int, sql text);
	CREATE TABLE lab.answer (n int, who text, answer text);
	GRANT SELECT ON lab.call TO PUBLIC;
	GRANT INSERT, SELECT ON lab.answer TO PUBLIC;
	CREATE FUNCTION lab.answer_to(call text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		answer text;
		detail text;
		hint text;
	BEGIN
		EXECUTE format('SELECT string_agg(r::text, '' '') FROM (SELECT (%s)) r', call) INTO answer;
		RETURN 'answer: ' || coalesce(answer, 'none');
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		RETURN concat_ws(' ', 'error:', SQLSTATE, SQLERRM, detail, hint);
	END $$;
	CREATE FUNCTION lab.call_all(who text) RETURNS bigint LANGUAGE sql AS $$
		INSERT INTO lab.answer SELECT n, who, lab.answer_to(sql) FROM lab.call ORDER BY n;
		SELECT count(*) FROM lab.answer a WHERE a.who = call_all.who $$;
});
my $n = 0;
$node->safe_psql('postgres', join("\n", 'BEGIN;', (map { 'INSERT INTO lab.call VALUES (' . $n++ . ", \$c\$$_\$c\$);" } @calls), 'COMMIT;'));

# All that is alice's in all tables, found from the catalogs (as text: XML has no infinite times)
my $all_hers = q{SELECT string_agg(t, E'\n' ORDER BY name) FROM (
	SELECT c.relname AS name, c.relname || query_to_xml(format('SELECT x::text FROM defer.%I x WHERE %s ORDER BY x::text', c.relname,
		CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'owner') THEN 'owner = ''alice''::regrole'
			WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'alert_id')
				THEN 'alert_id IN (SELECT id FROM defer.alert WHERE owner = ''alice''::regrole)'
			WHEN c.relname = 'function' THEN 'signature LIKE ''%ALICES%'''
			WHEN c.relname = 'claim' THEN 'false'
			ELSE 'true' END), true, true, '')::text AS t
	  FROM pg_class c WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE 'job\_rollup%'
	-- (these the scheduler adds up when it is time)
	UNION ALL SELECT 'job_counts', string_agg(c::text, ',' ORDER BY c::text)
	  FROM (SELECT function, sum(succeeded), sum(failed), sum(cancelled), sum(discarded) FROM defer.job_counts WHERE owner = 'alice'::regrole GROUP BY 1) c) s};

# (an event of a backlog may come at any time)
$node->safe_psql('postgres', q{UPDATE defer.alert SET backlog = NULL});
$node->safe_psql('postgres', 'DELETE FROM defer.bulk; DELETE FROM defer.backfill');
my $before = $node->safe_psql('postgres', $all_hers);
my $running = $node->safe_psql('postgres', "SELECT pid, attempt, state FROM defer.jobs WHERE id = $jobs{running}");
cmp_ok(() = $before =~ /ALICES/g, '>', 40, 'alice has much');

for my $who ('bob', 'bob in a job', 'watcher')
{
	my ($role) = split / /, $who;
	my $notices = '';

	if ($who =~ /job/)
	{
		my $id = as('bob', qq{SELECT defer.later('lab.call_all', '$who'::text)});

		until_ok($node, "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $id", "$who: all calls are made");
		is($node->safe_psql('postgres', "SELECT state, error FROM defer.jobs WHERE id = $id"), 'succeeded|', "$who: to their end");
	}
	else
	{
		$node->psql('postgres', "SELECT lab.call_all('$who')", extra_params => [ '-U', $role ], stderr => \$notices);
	}
	is($node->safe_psql('postgres', qq{SELECT count(*) FROM lab.answer WHERE who = '$who'}), scalar(@calls), "$who: each call is answered");
	is($node->safe_psql('postgres', $all_hers), $before, "$who: nothing of hers has changed");
	is($node->safe_psql('postgres', "SELECT pid, attempt, state FROM defer.jobs WHERE id = $jobs{running}"), $running, "$who: and her job runs as before");
	next if $role ne 'bob';
	my @told;

	for my $row (split /\x{1e}/, $node->safe_psql('postgres', qq{SELECT string_agg(n || E'\\x1f' || answer, E'\\x1e' ORDER BY n) FROM lab.answer WHERE who = '$who'}))
	{
		my ($number, $answer) = split /\x{1f}/, $row, 2;
		my $call = $calls[$number];
		my $rest = $answer;

		# what his own job has said before, which is this one
		next if $who =~ /job/ && $call =~ /^defer\.live_logs\(/;

		# bob's own jobs, with what he has said in these calls: none has her as its owner
		next if $call =~ /^defer\.find_all_jobs\(/ && $answer !~ /,-?\d+,alice,"+\d{4}-/;

		# what was said in the call may be said again
		while ($call =~ /'([^']*(?:ALICES|alice|AL123)[^']*)'/g)
		{
			my $word = $1;

			$rest =~ s/\Q$_\E//g for $word, map { ($_ =~ s/"//gr, $_ =~ s/"/""/gr, $_ =~ s/\(.*//r) } $word, ($word =~ /(\w+@[\w.]+|"?ALICES\w*"?)/g);
		}
		# that one everybody may run, and bob's own job of it may have ended meanwhile
		$rest =~ s/ALICES_open//g;
		push @told, "$call: $answer" if $rest =~ /ALICES|AL123/ || ($rest =~ /alice/ && $answer !~ /must be (owner|member)/);
	}
	is(join("\n", @told), '', "$who: no answer tells of hers");
	unlike($notices =~ s/ALICES (cron|other|queue|hook|rule|mail|key)|"?ALICES"?\.(work|held)|ALICES_open|"ALICES"|"AL123"//gr, qr/ALICES|AL123/, "$who: nor does any message");
}

# Her ids, and those that there are not
my $far = 8_000_000_000;
my $wanted = join('|', @ids, $schedule);
# (the bigint of defer.durations() is a number of jobs)
my @with_id = grep { $calls[$_] =~ /=> ($wanted)::bigint/ && $calls[$_] !~ /^defer\.durations\(/ } 0 .. $#calls;
my (@differ, $compared);

for my $number (@with_id)
{
	my $call = $calls[$number];
	my $other = $call =~ s/=> ($wanted)::bigint/=> $far\::bigint/gr;
	my ($id) = $call =~ /=> ($wanted)::bigint/;
	my ($hers_says, $none_says) = split /\x{1e}/, as('bob', "SELECT lab.answer_to(\$c\$$call\$c\$) || E'\\x1e' || lab.answer_to(\$c\$$other\$c\$)");

	$compared++;
	push @differ, "$call: $hers_says; but $other: $none_says" if $hers_says =~ s/\b$id\b/N/gr ne $none_says =~ s/\b$far\b/N/gr;
}
cmp_ok($compared, '>', 60, "$compared calls with ids");
# (what is older than an id is bob's own, and paging by an id that is not one's own is no secret)
is(join("\n", grep { !/^defer\.(?:find|cancel|rerun|retry|acknowledge|reschedule)_jobs\(before/ } @differ), '', "her id is answered like one that does not exist");

# The net would catch something: it is hers for alice
is(as('alice', "SELECT lab.answer_to('defer.child_states($jobs{parent})')"), q{answer: ("(succeeded,1)")}, 'alice is told');
$node->safe_psql('postgres', 'TRUNCATE lab.answer');
as('alice', "SELECT lab.call_all('alice')");
isnt($node->safe_psql('postgres', $all_hers), $before, 'and what alice calls does change things');

as('alice', 'INSERT INTO "ALICES".gate VALUES (true)');
$node->stop;
done_testing();
