# Rights are those of the moment at which a job runs, also in a worker that has been
# there for long; and who is written down as owner is for nobody to say: neither by
# rights on our tables nor by those of PostgreSQL's own powerful roles.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Workers stay, and there is one a role
my $node = new_server('main', q{
defer.max_workers = 1
defer.worker_idle_timeout = '1h'
});

sub as
{
	my ($role, $sql) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]);
}

sub enqueue
{
	my ($role, $function) = @_;

	return as($role, "SELECT defer.enqueue('$function', max_attempts => 1)");
}

# The first error, '' if there is none
sub error_of
{
	my ($role, $sql) = @_;
	my ($out, $err);

	$node->psql('postgres', $sql, extra_params => [ '-U', $role ], stdout => \$out, stderr => \$err, on_error_stop => 0);
	return $err =~ /ERROR:  (.*)/ ? $1 : '';
}

# Wait for a job's end; what became of it
sub ended
{
	my ($id) = @_;

	$node->poll_query_until('postgres', "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $id")
	  or return 'not ended: ' . $node->safe_psql('postgres', "SELECT state, error FROM defer.jobs WHERE id = $id");
	return $node->safe_psql('postgres',
		"SELECT concat_ws('|', state, coalesce(sqlstate, ''), coalesce(result #>> '{}', '')) FROM defer.jobs WHERE id = $id");
}

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE ann LOGIN;
	CREATE ROLE root LOGIN SUPERUSER;
	CREATE SCHEMA lab;
	GRANT USAGE ON SCHEMA defer TO PUBLIC;
	GRANT USAGE ON SCHEMA lab TO PUBLIC;
	CREATE TABLE lab.gate (open boolean);
	GRANT SELECT ON lab.gate TO PUBLIC;
	CREATE FUNCTION lab.work() RETURNS text LANGUAGE sql AS $$SELECT format('%s as %s', session_user, current_user)$$;
	CREATE FUNCTION lab.wait() RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM lab.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
		RETURN current_user;
	END $$;
	CREATE FUNCTION lab.error_of(sql text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE sql;
		RAISE SQLSTATE 'DONE0';
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END $$;
	CREATE FUNCTION lab.become(who text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM set_config('session_authorization', who, false);
		RETURN format('%s as %s', session_user, current_user);
	END $$;
});

# ------------------------------------------------------------------------
# Between enqueue and run
# ------------------------------------------------------------------------
is(ended(enqueue('ann', 'lab.work')), 'succeeded||ann as ann', 'a worker is there');
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM defer.workers WHERE role = 'ann'});

for my $case (
	[ 'REVOKE EXECUTE ON FUNCTION lab.work FROM PUBLIC', 'GRANT EXECUTE ON FUNCTION lab.work TO PUBLIC', 'EXECUTE' ],
	[ 'REVOKE USAGE ON SCHEMA lab FROM PUBLIC', 'GRANT USAGE ON SCHEMA lab TO PUBLIC', 'USAGE' ])
{
	my ($revoke, $grant, $right) = @$case;
	my $id = as('ann', q{SELECT defer.enqueue('lab.work', delay => '1 day', max_attempts => 1)});

	$node->safe_psql('postgres', $revoke);
	$node->safe_psql('postgres', "SELECT defer.reschedule($id)");
	is(ended($id), 'failed|42501|', "without $right it fails");
	$node->safe_psql('postgres', $grant);
	is(ended($node->safe_psql('postgres', "SELECT defer.rerun($id)")), 'succeeded||ann as ann', "with $right it succeeds");
}
is($node->safe_psql('postgres', q{SELECT pid FROM defer.workers WHERE role = 'ann'}), $pid, 'in the same process');

# The same for what reaches the network, and for endpoints
$node->safe_psql('postgres', q{
	GRANT EXECUTE ON FUNCTION defer.http, defer.slack, defer.email TO ann;
	SELECT defer.endpoint('web', 'http', 'http://192.0.2.1/'), defer.endpoint('team', 'slack', 'http://192.0.2.1/'),
		defer.endpoint('post', 'email', 'smtp://192.0.2.1', sender => 'a@example.com');
	SELECT defer.grant_endpoint(e, 'ann') FROM unnest('{web,team,post}'::text[]) e});
my %sends = (
	http => q{defer.http('GET', '/', endpoint => 'web', delay => '1 day', max_attempts => 1)},
	slack => q{defer.slack('team', 'x', delay => '1 day', max_attempts => 1)},
	email => q{defer.email('b@example.com', 's', 'x', endpoint => 'post', delay => '1 day', max_attempts => 1)});
my %endpoint_of = (http => 'web', slack => 'team', email => 'post');
for my $kind (sort keys %sends)
{
	for my $case (
		[ "REVOKE EXECUTE ON FUNCTION defer.$kind FROM ann", "GRANT EXECUTE ON FUNCTION defer.$kind TO ann", "permission denied for function defer.$kind" ],
		[ 'REVOKE USAGE ON SCHEMA defer FROM PUBLIC', 'GRANT USAGE ON SCHEMA defer TO PUBLIC', "permission denied for function defer.$kind" ],
		[ "SELECT defer.revoke_endpoint('$endpoint_of{$kind}', 'ann')", "SELECT defer.grant_endpoint('$endpoint_of{$kind}', 'ann')",
			qq{permission denied for endpoint "$endpoint_of{$kind}"} ])
	{
		my ($revoke, $grant, $error) = @$case;
		my $id = as('ann', "SELECT $sends{$kind}");

		$node->safe_psql('postgres', $revoke);
		$node->safe_psql('postgres', "SELECT defer.reschedule($id)");
		is(ended($id), 'failed|42501|', "$kind: $revoke: it fails");
		is($node->safe_psql('postgres', "SELECT error FROM defer.jobs WHERE id = $id"), $error, "$kind: and says why");
		$node->safe_psql('postgres', $grant);
	}
	# with all of it only the address is wrong
	my $id = as('ann', "SELECT $sends{$kind}");
	$node->safe_psql('postgres', "SELECT defer.reschedule($id)");
	ended($id);
	like($node->safe_psql('postgres', "SELECT error FROM defer.jobs WHERE id = $id"), qr/the address of the host is not allowed/, "$kind: with all rights it is tried");
}

# What waits in a worker's batch is looked at again, too.  Quick ones first, so that
# the next batch is a large one.
for my $case (
	[ 'ALTER ROLE ann NOLOGIN', 'ALTER ROLE ann LOGIN', 'may not log in' ],
	[ 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC', 'GRANT CONNECT ON DATABASE postgres TO PUBLIC', 'may not connect' ])
{
	my ($revoke, $grant, $finding) = @$case;
	my ($waits, $last);

	as('ann', q{SELECT count(defer.enqueue('lab.work')) FROM generate_series(1, 500)});
	settled($node, "$revoke: quick jobs first");
	$node->safe_psql('postgres', 'TRUNCATE lab.gate');
	($waits, $last) = split /\|/, as('ann', q{
		BEGIN;
		CREATE TEMP TABLE waits AS SELECT defer.enqueue('lab.wait') AS id;
		CREATE TEMP TABLE rest AS SELECT defer.enqueue('lab.work') AS id FROM generate_series(1, 5);
		COMMIT;
		SELECT w.id, max(r.id) FROM waits w, rest r GROUP BY w.id});
	until_ok($node, "SELECT state = 'running' FROM defer.jobs WHERE id = $waits", "$revoke: a job runs");
	$node->safe_psql('postgres', $revoke);
	$node->safe_psql('postgres', 'INSERT INTO lab.gate VALUES (true)');
	is(ended($waits), 'succeeded||ann', "$revoke: that one ends as it began");
	until_ok($node, qq{SELECT count(*) = 1 FROM defer.health WHERE finding LIKE 'role ann $finding%jobs cannot run: 5'}, "$revoke: defer.health says so")
	  or diag($node->safe_psql('postgres', 'TABLE defer.health'));
	until_ok($node, q{SELECT count(*) = 0 FROM defer.workers WHERE role = 'ann'}, "$revoke: the worker has gone");
	is($node->safe_psql('postgres', "SELECT state, attempt, count(*) FROM defer.jobs WHERE id > $waits GROUP BY 1, 2"), 'queued|0|5',
		"$revoke: those behind it in the same batch have not begun");
	$node->safe_psql('postgres', $grant);
	is(ended($last), 'succeeded||ann as ann', "$grant: they go on");
	settled($node, "$grant: all of them");
}

# Superusers' jobs are switched off: at once, whoever is there already
is(ended(enqueue('root', 'lab.work')), 'succeeded||root as root', 'a superuser has a worker');
$node->safe_psql('postgres', 'ALTER SYSTEM SET defer.run_superuser_jobs = off');
$node->reload;
until_ok($node, q{SELECT NOT run_superuser_jobs FROM defer.server_state()}, 'superusers switched off');
until_ok($node, q{SELECT count(*) = 0 FROM defer.workers WHERE role = 'root'}, 'the worker leaves');
is(ended(enqueue('root', 'lab.work')), 'failed|42501|', "a superuser's job fails");
is(ended(as('root', q{SELECT defer.command('SELECT')})), 'failed|42501|', 'a command, too');
is(ended(as('root', q{SELECT defer.http('GET', 'http://192.0.2.1/')})), 'failed|42501|', 'a delivery, too');
like($node->safe_psql('postgres', q{SELECT error FROM defer.jobs WHERE owner = 'root' AND state = 'failed' LIMIT 1}), qr/defer\.run_superuser_jobs is off/,
	'and says why');
is(ended(enqueue('ann', 'lab.work')), 'succeeded||ann as ann', 'others run');
is(error_of('ann', q{SET defer.run_superuser_jobs = on}), q{parameter "defer.run_superuser_jobs" cannot be changed now}, 'nobody can switch them on in a session');

# A role that becomes a superuser, and one that is none any more
my $id = as('ann', q{SELECT defer.enqueue('lab.work', delay => '1 day', max_attempts => 1)});
$node->safe_psql('postgres', 'ALTER ROLE ann SUPERUSER');
$node->safe_psql('postgres', "SELECT defer.reschedule($id)");
is(ended($id), 'failed|42501|', 'a role that has become a superuser: switched off, too');
$node->safe_psql('postgres', 'ALTER ROLE ann NOSUPERUSER');
$node->safe_psql('postgres', 'ALTER SYSTEM SET defer.run_superuser_jobs = on');
$node->reload;
until_ok($node, q{SELECT run_superuser_jobs FROM defer.server_state()}, 'superusers switched on');
is(ended(as('root', q{SELECT defer.enqueue('lab.become', '["postgres"]')})), 'succeeded||postgres as postgres', "a superuser's job may become anybody");
until_ok($node, q{SELECT count(*) = 1 FROM defer.workers WHERE role = 'root'}, 'its worker stays');
$node->safe_psql('postgres', 'ALTER ROLE root NOSUPERUSER');
is(ended(as('root', q{SELECT defer.enqueue('lab.become', '["postgres"]', max_attempts => 1)})), 'failed|42501|', 'no superuser any more: not in that worker either');
is(ended(enqueue('root', 'lab.work')), 'succeeded||root as root', 'but its jobs run');

# ------------------------------------------------------------------------
# No right on tables and sequences, and with the most that PostgreSQL's roles give
# ------------------------------------------------------------------------
$node->safe_psql('postgres', q{
	CREATE ROLE maker LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS;
	CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
	CREATE ROLE writer LOGIN IN ROLE pg_write_all_data, pg_read_all_data;
	CREATE ROLE dbowner LOGIN;
	ALTER DATABASE postgres OWNER TO dbowner;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA defer TO ann});
my $held = as('ann', q{SELECT defer.enqueue('lab.work', delay => '1 day', key => 'held')});
as('ann', q{SET client_min_messages = error;
	SELECT defer.cron('lab.work', '0 0 29 2 *', name => 'leap');
	SELECT defer.endpoint('hook', 'http', 'http://192.0.2.1/', password => 'p', username => 'u');
	SELECT defer.alert('rule', 'hook')});
# (but for what workers and the scheduler do meanwhile: settle the last batch, add up counts)
until_ok($node, 'SELECT NOT EXISTS (SELECT FROM defer.claim)', 'all batches are settled');
my $state_of = q{SELECT md5(string_agg(t, ',')) FROM (
	SELECT query_to_xml(CASE relkind WHEN 'S' THEN format('SELECT * FROM defer.%I', relname) ELSE format('SELECT x::text FROM defer.%I x ORDER BY x::text', relname) END, true, true, '')::text AS t FROM pg_class
	 WHERE relnamespace = 'defer'::regnamespace AND relkind IN ('r', 'S') AND relname NOT LIKE 'job\_rollup%' ORDER BY relname) s
	UNION ALL SELECT md5(string_agg(c::text, ',' ORDER BY c::text)) FROM (SELECT function, owner, sum(succeeded), sum(failed) FROM defer.job_counts GROUP BY 1, 2) c};
my $before = $node->safe_psql('postgres', $state_of);
my @relations = map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', q{
	SELECT c.relname, c.relkind, (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = c.oid AND attnum = 1)
	  FROM pg_class c WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')});

for my $role ('ann', 'maker', 'watcher', 'dbowner')
{
	is(as($role, q{
		SELECT c.relname, p FROM pg_class c, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
		 WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind IN ('r', 'p', 'v')
		   AND (has_table_privilege(c.oid, p) OR (p IN ('INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(c.oid, p)))
		UNION ALL
		SELECT c.relname, p FROM pg_class c, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p
		 WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind = 'S' AND has_sequence_privilege(c.oid, p)}),
		'', "$role: no right on any table, view or sequence but to read views");
	my @tries;

	for my $relation (@relations)
	{
		my ($name, $kind, $column) = @$relation;

		push @tries, map { "$kind $_" } $kind eq 'S' ? ("SELECT nextval('defer.$name')", "SELECT setval('defer.$name', 1)", "SELECT * FROM defer.$name")
		  : ("INSERT INTO defer.$name DEFAULT VALUES", "INSERT INTO defer.$name ($column) VALUES (NULL) ON CONFLICT DO NOTHING", "UPDATE defer.$name SET $column = NULL",
			"DELETE FROM defer.$name", "TRUNCATE defer.$name", "SELECT * FROM defer.$name FOR UPDATE", "LOCK TABLE defer.$name IN EXCLUSIVE MODE",
			"ALTER TABLE defer.$name ADD x int", "DROP TABLE defer.$name", "CREATE RULE x AS ON INSERT TO defer.$name DO INSTEAD NOTHING",
			"ALTER TABLE defer.$name OWNER TO $role", $kind eq 'v' ? () : ("SELECT * FROM defer.$name", "CREATE INDEX ON defer.$name ($column)",
				"CREATE TRIGGER x BEFORE INSERT ON defer.$name FOR EACH STATEMENT EXECUTE FUNCTION defer.note_restore()"));
	}
	# (a view that cannot be written by anybody says that first)
	is(as($role, q{SELECT t, e FROM unnest(ARRAY[} . join(', ', map { "\$t\$$_\$t\$" } @tries) . q{]) t, lab.error_of(substr(t, 3)) e
		WHERE e <> '42501' AND NOT (t LIKE 'v %' AND e IN ('55000', '0A000', '42809'))}), '', "$role: nor is any of " . @tries . ' statements allowed');
	is(error_of($role, 'CREATE FUNCTION defer.mine() RETURNS int LANGUAGE sql AS $$SELECT 1$$'), 'permission denied for schema defer', "$role: nothing can be put into the schema");
}

# Who may write all data must not become who a row says
for my $sql (
	q{UPDATE defer.job SET owner = 10},
	qq{UPDATE defer.job SET args = '{"sql": "ALTER ROLE writer SUPERUSER"}', kind = 'c', function = 'defer.command', owner = 10 WHERE id = $held},
	q{INSERT INTO defer.job (id, owner, run_at, enqueued_at, kind, function, queue, args)
		VALUES (-1, 10, now(), now(), 'c', 'defer.command', 'default', '{"sql": "ALTER ROLE writer SUPERUSER"}')},
	q{COPY defer.job (id, owner, run_at, enqueued_at, kind, function, queue, args) FROM STDIN;
-1	10	2020-01-01	2020-01-01	c	defer.command	default	{"sql": "ALTER ROLE writer SUPERUSER"}
\.
},
	q{DELETE FROM defer.job}, q{MERGE INTO defer.job j USING (SELECT 1) x ON true WHEN MATCHED THEN UPDATE SET owner = 10},
	q{UPDATE defer.schedule SET owner = 10, kind = 'c', function = 'defer.command', command = 'ALTER ROLE writer SUPERUSER', next_run_at = now(), next_tick = now()},
	q{INSERT INTO defer.schedule (name, owner, kind, function, command, schedule, timezone, overlap, catch_up, catch_up_window, jitter, active, allow_direct)
		VALUES ('x', 10, 'c', 'defer.command', 'ALTER ROLE writer SUPERUSER', '* * * * * *', 'UTC', 'skip', 'one', '1 day', '0', true, true)},
	q{UPDATE defer.schedules SET owner = 10, command = 'ALTER ROLE writer SUPERUSER'},
	q{UPDATE defer.endpoint SET url = 'http://attacker.example/'}, q{UPDATE defer.endpoint SET granted = '{0}'}, q{UPDATE defer.endpoints SET granted = '{0}'},
	q{UPDATE defer.alert SET owner = 10}, q{UPDATE defer.alerts SET owner = 10})
{
	like(error_of('writer', $sql), qr/^(permission denied for table|cannot (update|delete from|insert into) (view|column)|syntax error at or near "MERGE")/,
		'pg_write_all_data: not by ' . substr($sql =~ s/\s+/ /gr, 0, 50));
}
# A history that is made up, or other tables of ours, do not help either
for my $sql (
	q{INSERT INTO defer.job_history (id, owner, state, kind, priority, attempt, run_at, enqueued_at, finished_at, function, queue, args)
		VALUES (900000001, 'postgres', 'f', 'c', 0, 1, now(), now(), now(), 'lab.work()', 'default', '{"sql": "alter role writer superuser"}')},
	(map { qq{UPDATE defer.$_} . q{ SET owner = 'postgres'} } 'job_history', 'job_history_default', 'attempt', 'log', 'queue'),
	(map { "DELETE FROM defer.$_" } 'job_history', 'job_history_default', 'attempt_default', 'log_default', 'installation', 'origin', 'claim', 'queue'),
	q{INSERT INTO defer.origin VALUES (gen_random_uuid())},
	(map { qq{DELETE FROM defer.$_} } split /\n/, $node->safe_psql('postgres',
		q{SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'defer'::regnamespace AND c.relname ~ '_p\d{8}$'})))
{
	like(error_of('writer', $sql), qr/^permission denied for table/, 'pg_write_all_data: not by ' . substr($sql =~ s/\s+/ /gr, 0, 50));
}
is($node->safe_psql('postgres', $state_of), $before, 'nothing has changed');

# If such a row is there all the same, it is not run again as what it is not
$node->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO defer.job_history (id, owner, state, kind, priority, attempt, run_at, enqueued_at, finished_at, function, queue, args)
		VALUES (900000001, 'postgres', 'f', 'c', 0, 1, now(), now(), now(), 'lab.work()', 'default', '{"sql": "alter role writer superuser"}'),
			(900000002, 'postgres', 'f', 'f', 0, 1, now(), now(), now(), 'defer.command', 'default', '{"sql": "alter role writer superuser"}'),
			(900000003, 'postgres', 'f', 'h', 0, 1, now(), now(), now(), 'lab.work()', 'default', '{}');
	COMMIT});
like(error_of('postgres', "SELECT defer.rerun($_)"), qr/kind and function do not belong together/, "a row $_ that says two things is not run again")
	for 900000001 .. 900000003;
$node->safe_psql('postgres', 'DELETE FROM defer.job_history WHERE id > 900000000');
is($node->safe_psql('postgres', q{SELECT rolname FROM pg_roles WHERE rolsuper ORDER BY 1}), 'postgres', 'and nobody has become a superuser');

# pg_monitor sees, and no more; CREATEROLE and the database's owner not even that
as($_, q{SELECT * FROM defer.health}) for 'watcher', 'maker', 'dbowner';
is(as('watcher', "SELECT count(*) FROM defer.jobs WHERE id = $held"), '1', 'pg_monitor sees a job');
is(as('maker', 'SELECT count(*) FROM defer.jobs'), '0', 'CREATEROLE does not');
is(as('dbowner', 'SELECT count(*) FROM defer.jobs'), '0', "nor the database's owner");
for my $role ('watcher', 'maker', 'dbowner')
{
	for my $sql ("defer.cancel($held)", "defer.cancel($held, force => true)", "defer.reschedule($held)", "defer.rerun($held)", q{defer.trigger('leap')},
		q{defer.alter_cron('leap', active => false)}, q{defer.alter_cron('leap', function => 'lab.wait')}, q{defer.pause('lab.work')}, q{defer.configure('lab.work', concurrency => 1)},
		q{defer.grant_endpoint('hook', 'public')}, q{defer.revoke_endpoint('hook', 'public')}, q{defer.run_schedules('2100-01-01')}, q{defer.activate()})
	{
		isnt(error_of($role, "SELECT $sql"), '', "$role: $sql is refused");
	}
	is(as($role, q{SELECT defer.unschedule('leap'), defer.drop_alert('rule')}), 'f|f', "$role: of that name there is nothing for it");
}
isnt(error_of('watcher', q{SELECT defer.drop_endpoint('hook')}), '', 'endpoints are not dropped');
is($node->safe_psql('postgres', $state_of), $before, 'nothing has changed by all of that');

$node->stop;
done_testing();
