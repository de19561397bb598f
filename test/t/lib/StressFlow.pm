# Of the stress test: procedures with steps, workflows, events, groups with limits and rates, and
# workers outside of the server.
#
# A procedure writes a row into step_effect before each of its steps, and the function
# of a step one more: HistoryChecker compares them with the marks.
package StressFlow;
use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(flow_setup flow_job flow_statement flow_workflow flow_last_worker);

# Steps of the procedures that this client has enqueued, whose events it emits
my @numbers;
my $serial = 0;

sub any { return int(rand($_[0])); }
sub one_of { return $_[any(scalar @_)]; }

# url: where requests of steps are sent; undef: none are
sub flow_setup
{
	my ($node, $url) = @_;
	my $asks = defined $url
	  ? "CALL defer.wait_job(step, defer.http('POST', '$url', 'step.' || defer.current_job() || '.' || i, "
	  . "max_attempts => 1000, initial_interval => '20 ms', max_interval => '100 ms'), on_failure => 'return')"
	  : "CALL defer.step(step, 'public.s_step', jsonb_build_array(step))";

	$node->safe_psql('postgres', q{
CREATE TABLE step_effect (job bigint DEFAULT defer.current_job(), step text, inside boolean);
CREATE TABLE held (id bigint, token uuid, worker text);
GRANT ALL ON step_effect TO PUBLIC;
CREATE FUNCTION s_step(step text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.step_effect VALUES (DEFAULT, step, true);
	IF random() < 0.2 THEN RAISE EXCEPTION 'no luck'; END IF;
	RETURN CASE WHEN step LIKE 'fan %' THEN defer.enqueue('public.s_work') END;
END $$;
-- n steps, the same ones for each number
CREATE PROCEDURE s_steps(number int, n int) LANGUAGE plpgsql AS $$
DECLARE
	kind text;
	step text;
	event text;
BEGIN
	FOR i IN 1 .. n LOOP
		kind := ('{work,book,sleep,job,timeout,event,fan,ask}'::text[])[1 + (hashint4(number * 31 + i) & 7)];
		step := kind || ' ' || i;
		event := 'e' || number || '.' || i;
		IF kind = 'book' THEN
			IF defer.begin_step(step) THEN
				INSERT INTO public.step_effect VALUES (DEFAULT, step, true);
				PERFORM defer.enqueue('public.s_work');
				PERFORM defer.when_done('public.s_tally');
				CALL defer.end_step(step);
			END IF;
			CONTINUE;
		END IF;
		INSERT INTO public.step_effect VALUES (DEFAULT, step, false);
		CASE kind
			WHEN 'sleep' THEN CALL defer.sleep(step, make_interval(secs => random() * 0.5));
			WHEN 'job' THEN CALL defer.wait_job(step, defer.enqueue('public.s_work'), on_failure => 'return');
			WHEN 'timeout' THEN CALL defer.wait_event(step, event, '300 ms');
			WHEN 'event' THEN CALL defer.wait_event(step, event);
			WHEN 'ask' THEN } . $asks . q{;
			ELSE CALL defer.step(step, 'public.s_step', jsonb_build_array(step));
		END CASE;
	END LOOP;
	INSERT INTO public.effect VALUES (defer.current_job());
END $$;
-- one of a tenant at a time: the lock ends with the transaction, before the place is given back
CREATE FUNCTION s_group(tenant int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.effect VALUES (defer.current_job());
	IF NOT pg_try_advisory_xact_lock(hashtext('s_group'), tenant) THEN RAISE LOG 'limit exceeded: more than one of tenant %', tenant; END IF;
	PERFORM pg_sleep(random() * 0.02);
END $$;
CREATE FUNCTION s_rate() RETURNS void LANGUAGE sql AS
	$$INSERT INTO public.effect VALUES (defer.current_job())$$;
SELECT defer.configure(f, max_attempts => 8, initial_interval => '20 ms', max_interval => '100 ms')
  FROM unnest('{s_steps,s_group,s_rate}'::text[]) f;
SELECT defer.configure('s_group', group_by => 'tenant', group_concurrency => 1);
SELECT defer.configure('s_rate', rate => '100/s');
SELECT defer.create_task('s_task', max_attempts => 8, initial_interval => '20 ms', max_interval => '100 ms', concurrency => 30);
SELECT defer.grant_task('s_task', 'public', 'enqueue')});
	return;
}

# Function and arguments of one of these jobs, for defer.enqueue()
sub flow_job
{
	my $number = any(1_000_000);

	return one_of("'s_group', '[" . any(3) . "]'", "'s_rate'", "'s_task'") if rand() < 0.4;
	push @numbers, $number;
	shift @numbers if @numbers > 20;
	return "'s_steps', '[$number, " . (1 + any(6)) . "]'";
}

# A step of a workflow, which may come after earlier ones
sub workflow_step
{
	my ($i, $deep) = @_;
	my @does = (
		'"function": "s_work"', '"function": "s_work"',
		'"function": "s_sleep", "args": [' . rand(0.05) . ']',
		'"function": "s_flaky", "args": [{"$input": "args.p"}]',
		'"function": "s_flaky", "for_each": {"$input": "args.list"}',
		'"function": "s_sleep", "args": [{"$input": "item"}], "for_each": [0.01, 0, 0.02]',
		'"command": "INSERT INTO effect VALUES (defer.current_job())"');
	my @more;

	push @does, '"args": {"$input": "args"}, "workflow": ' . workflow_steps(1 + any(3), $deep + 1) if $deep < 2;
	push @more, '"after": [' . join(', ', map { qq{"s$_"} } grep { rand() < 0.4 } 1 .. $i - 1) . ']' if rand() < 0.7;
	push @more, '"on_failure": "' . one_of(qw(fail skip run)) . '"' if rand() < 0.5;
	push @more, '"if": {"$input": "args.' . one_of(qw(yes no)) . '"}' if rand() < 0.2;
	push @more, '"delay": "' . any(300) . ' ms"' if rand() < 0.1;
	return '{' . join(', ', qq{"name": "s$i"}, one_of(@does), @more) . '}';
}

sub workflow_steps
{
	my ($n, $deep) = @_;

	return '[' . join(', ', map { workflow_step($_, $deep) } 1 .. $n) . ']';
}

sub flow_workflow
{
	my $args = '{"p": ' . rand(0.4) . ', "list": [0.1, 0.3, ' . rand(0.4) . '], "yes": true, "no": false}';

	return "SELECT 'ack ' || defer.workflow('stress', '" . workflow_steps(1 + any(6), 0) . "', '$args') FROM generate_series(1, " . (1 + any(3)) . ');';
}

# Take jobs of the task, and then what a worker may do with them; in held they are its own
sub worker_statements
{
	my ($worker, $n, $lease, @end) = @_;

	return "BEGIN; INSERT INTO held SELECT t.id, t.token, '$worker' FROM defer.take('{s_task}', n => $n, lease => '$lease') t; COMMIT;\n"
	  . join("\n", @end) . "\nDELETE FROM held WHERE worker = '$worker';";
}

sub complete
{
	my ($worker, $before_commit) = @_;

	return "BEGIN; INSERT INTO effect SELECT id FROM held WHERE worker = '$worker'; "
	  . "SELECT defer.complete(id, token) FROM held WHERE worker = '$worker'; $before_commit COMMIT;";
}

# A worker that completes all jobs of the task, for client_start()
sub flow_last_worker
{
	return (worker_statements('last', 100, '1 min', complete('last', '')), 'SELECT pg_sleep(0.05);');
}

# What of it a superuser does
sub flow_statement
{
	my $worker = "w$$." . $serial++;
	my $number = @numbers ? one_of(@numbers) : 0;

	return one_of(
		("SELECT count(defer.emit('e$number.' || i, 'true')) FROM generate_series(1, 6) i;") x 2,
		"SELECT count(defer.signal(s.job_id, s.awaits)) FROM (SELECT * FROM defer.steps s WHERE s.state = 'waiting' "
		  . "AND s.kind = 'wait_event' ORDER BY s.job_id OFFSET " . any(20) . ' LIMIT 3) s;',
		# the events of all roles
		"SELECT count(defer.emit(s.awaits, '1', j.owner)) FROM defer.steps s JOIN defer.jobs j ON j.id = s.job_id "
		  . "WHERE s.state = 'waiting' AND s.kind = 'wait_event' AND s.job_id % 3 = " . any(3) . ';',
		"SELECT 'ack ' || defer.rerun(s.job_id, from_step => s.name) FROM (SELECT * FROM defer.steps s JOIN defer.jobs j ON j.id = s.job_id "
		  . 'WHERE j.finished_at IS NOT NULL ORDER BY s.job_id DESC OFFSET ' . any(20) . ' LIMIT 1) s;',
		"SELECT 'ack ' || defer.retry_workflow(w.id, '" . one_of(qw(failed failed_and_later all)) . "') FROM (SELECT * FROM defer.workflows "
		  . "WHERE state = 'failed' ORDER BY id DESC OFFSET " . any(10) . ' LIMIT 1) w;',
		"SELECT defer.cancel_workflow(w.id) FROM (SELECT * FROM defer.workflows WHERE state = 'running' ORDER BY id DESC OFFSET " . any(10) . ' LIMIT 1) w;',
		"SELECT defer.set_group('" . any(3) . "', \"function\" => 's_group', paused => true); SELECT pg_sleep(" . rand(0.3) . '); '
		  . "SELECT defer.reset_group(i::text, \"function\" => 's_group') FROM generate_series(0, 2) i;",
		"SELECT defer.configure('s_rate', rate => '" . one_of(qw(100/s 50/s)) . "');",
		(worker_statements($worker, 1 + any(10), '1 s', complete($worker, ''))) x 4,
		worker_statements($worker, 5, '1 s', complete($worker, 'SELECT pg_sleep(1.2);')),
		worker_statements($worker, 5, '1 s', "SELECT defer.fail(id, token, 'no luck') FROM held WHERE worker = '$worker';"),
		worker_statements($worker, 5, '1 s', "SELECT defer.release(id, token) FROM held WHERE worker = '$worker';"),
		worker_statements($worker, 5, '1 s', "BEGIN; SELECT defer.heartbeat(id, token, extend => '2 s') FROM held WHERE worker = '$worker'; ROLLBACK;"));
}

1;
