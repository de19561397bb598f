# A large workflow, with all kinds of steps that make jobs, under immediate stops and a
# killed worker: each step is done once, and what comes after it sees its result.
#
# DEFER_WORKFLOW_STEPS: how many steps it has, of each of the two rows
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $n = $ENV{DEFER_WORKFLOW_STEPS} || 400;
my $node = new_server('main', q{defer.max_workers = 6
defer.max_crashes = 1000
max_worker_processes = 24
track_commit_timestamp = on});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA defer TO app;
	CREATE TABLE effect (job bigint DEFAULT defer.current_job(), what text);
	GRANT ALL ON effect TO app;
	CREATE FUNCTION work(what text, inputs jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
		INSERT INTO public.effect (what) VALUES (what);
		SELECT COALESCE(inputs, to_jsonb(what))
	$$;
	SELECT defer.configure('work', max_attempts => 1000)});

# A row of n steps, one of n that each come after one of these, and one after all of them
my $steps = qq{(SELECT jsonb_agg(s ORDER BY place, i) FROM (
	SELECT 1 AS place, i, jsonb_build_object('name', 'a' || i, 'function', 'work', 'args', jsonb_build_array('a' || i)) AS s FROM generate_series(1, $n) i
	UNION ALL
	SELECT 2, i, jsonb_build_object('name', 'b' || i, 'function', 'work', 'args', jsonb_build_array('b' || i, jsonb_build_object('\$input', 'a' || i))) FROM generate_series(1, $n) i
	UNION ALL
	SELECT 3, 0, jsonb_build_object('name', 'end', 'function', 'work', 'args', jsonb_build_array('end', jsonb_agg(jsonb_build_object('\$input', 'b' || i) ORDER BY i))) FROM generate_series(1, $n) i
	UNION ALL
	SELECT 4, 0, '{"name": "each", "function": "work", "for_each": {"\$input": "end"}}'
	UNION ALL
	SELECT 5, 0, '{"name": "inner", "args": {"\$input": "a1"}, "workflow": [{"name": "x", "function": "work", "args": ["x"]}, {"name": "y", "function": "work", "args": ["y", {"\$input": "x"}]}]}'
	UNION ALL
	SELECT 6, 0, '{"name": "last", "function": "work", "args": ["last", {"\$input": "inner.y"}], "after": ["each"]}') x)};
my @as = (extra_params => [ '-U', 'app' ]);
my $id = $node->safe_psql('postgres', "SELECT defer.workflow('large', $steps)", @as);
# One that is cancelled on its way
my $other = $node->safe_psql('postgres', q{SELECT defer.workflow('cancelled', '[{"name": "a", "function": "work", "args": ["c"], "delay": "1 day"},
	{"name": "in", "workflow": [{"name": "b", "function": "work", "args": ["d"], "delay": "1 day"}]}]')}, @as);

my @stops = ('immediate', 'kill', 'immediate');
for my $i (0 .. $#stops)
{
	my $half = int(2 * $n * ($i + 1) / (@stops + 1));

	until_ok($node, "SELECT count(*) > $half FROM defer.job_history WHERE parent_id = $id", "$half steps have ended");
	if ($stops[$i] eq 'kill')
	{
		until_ok($node, q{SELECT EXISTS (SELECT FROM defer.workers WHERE kind = 'worker')}, 'a worker is there');
		my $pid = $node->safe_psql('postgres', q{SELECT pid FROM defer.workers WHERE kind = 'worker' ORDER BY (job_id IS NULL), pid LIMIT 1});

		$pid eq '' or kill 'KILL', $pid or diag("no process $pid");
		until_ok($node, 'SELECT true', 'the server is back') if $pid;
	}
	else
	{
		$node->stop('immediate');
		$node->start;
	}
	if ($i == 0)
	{
		until_ok($node, "SELECT jobs = 1 FROM defer.workflow_steps WHERE workflow_id = $other AND name = 'in'", 'a workflow within one is there once');
		is($node->safe_psql('postgres', "SELECT defer.cancel_workflow($other)", @as), 't', 'it is cancelled');
	}
}
until_ok($node, "SELECT state <> 'running' FROM defer.workflows WHERE id = $id", 'the workflow ends');
is($node->safe_psql('postgres', "SELECT state, unfinished, succeeded, failed, cancelled, error, result FROM defer.workflows WHERE id = $id"),
	'succeeded|0|' . (2 * $n + 4) . '|0|0||{"last": "x"}', 'well, with the result of its last step');
is($node->safe_psql('postgres', "SELECT jsonb_array_length(result), result = (SELECT jsonb_agg('a' || i ORDER BY i) FROM generate_series(1, $n) i) FROM defer.workflow_steps WHERE workflow_id = $id AND name = 'end'"),
	"$n|t", 'what comes after all of them has each result in its place');
is($node->safe_psql('postgres', "SELECT jobs, jsonb_array_length(result), unfinished_jobs FROM defer.workflow_steps WHERE workflow_id = $id AND name = 'each'"),
	"$n|$n|0", 'an element each');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT job) FROM effect}), (3 * $n + 4) . '|' . (3 * $n + 4), 'each job has done its work once');
until_ok($node, "SELECT state = 'cancelled' AND unfinished = 0 FROM defer.workflows WHERE id = $other", 'the other one is cancelled');
until_ok($node, 'SELECT NOT EXISTS (SELECT FROM defer.job)', 'with all that is in it');
is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.dependency WHERE open'), '0', 'nothing waits');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.workflow_steps s JOIN defer.dependency d ON d.child_id = s.workflow_id AND d.ord = s.ord
	JOIN defer.job_history h ON h.id = s.job_id WHERE d.state IS DISTINCT FROM h.state}), '0', 'each state is that of its job');

# What a role's workflows have the scheduler of all roles read is bounded, and others have turns
$node->safe_psql('postgres', q{
	CREATE ROLE other LOGIN;
	GRANT USAGE ON SCHEMA defer TO other;
	GRANT INSERT ON effect TO other;
	CREATE FUNCTION flags(n int) RETURNS jsonb LANGUAGE sql AS $$SELECT jsonb_agg(true) FROM generate_series(1, n)$$;
	CREATE FUNCTION later(n int, inputs jsonb) RETURNS int LANGUAGE sql AS 'SELECT n';
	SELECT defer.pause('later');
	CREATE FUNCTION large(n int) RETURNS text LANGUAGE sql AS $$SELECT repeat(chr(65 + n % 26), 1000000)$$});
my $greedy = $node->safe_psql('postgres', q{SELECT defer.workflow('greedy', (SELECT jsonb_agg(jsonb_build_object('name', 'l' || i, 'function', 'large', 'args', jsonb_build_array(i)))
	|| jsonb_build_object('name', 'all', 'function', 'work', 'args', jsonb_build_array('all', jsonb_agg(jsonb_build_object('$input', 'l' || i || '.no'))))
	|| jsonb_build_object('name', 'part', 'function', 'work', 'args', jsonb_build_array('part', jsonb_agg(jsonb_build_object('$input', 'l1.no'))))
	FROM generate_series(1, 70) i))}, @as);
my $small = $node->safe_psql('postgres', q{SELECT defer.workflow('small', '[{"name": "a", "function": "work", "args": ["small"]}, {"name": "b", "function": "work", "args": ["b", {"$input": "a"}]}]')}, extra_params => [ '-U', 'other' ]);
my $wide = $node->safe_psql('postgres', q{SELECT defer.workflow('wide', '[{"name": "a", "function": "large", "args": [1]}, {"name": "b", "function": "large", "args": [2]}]')}, @as);
until_ok($node, "SELECT count(*) = 3 FROM defer.workflows WHERE id IN ($greedy, $small, $wide) AND state <> 'running' AND unfinished = 0", 'workflows with large results end');
is($node->safe_psql('postgres', "SELECT state, error FROM defer.workflow_steps WHERE workflow_id = $greedy AND name IN ('all', 'part') ORDER BY name"),
	"failed|the results that the step refers to are larger than 64 MB together\nsucceeded|", 'a step is not prepared with all too much');
# ... and what it makes of them: a large result is not copied for each reference to it
my $scheduler = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'defer scheduler' AND datname = 'postgres'});
my $peak = sub { return -r "/proc/$scheduler/status" && slurp_file("/proc/$scheduler/status") =~ /^VmPeak:\s+(\d+)/m ? $1 : 0 };
my $before = $peak->();
my $often = $node->safe_psql('postgres', q{SELECT defer.workflow('often', jsonb_build_array(
	jsonb_build_object('name', 'l', 'function', 'flags', 'args', jsonb_build_array(200000)),
	jsonb_build_object('name', 'x', 'function', 'work', 'args', jsonb_build_array('x', (SELECT jsonb_agg('{"$input": "l"}'::jsonb) FROM generate_series(1, 100))))))}, @as);
until_ok($node, "SELECT state = 'failed' FROM defer.workflows WHERE id = $often", 'a workflow with many references to a large result fails');
is($node->safe_psql('postgres', "SELECT error FROM defer.workflow_steps WHERE workflow_id = $often AND name = 'x'"),
	'arguments with the results of earlier steps are larger than 1024 kB', 'because the arguments of a step are too large');
cmp_ok($peak->() - $before, '<', 200_000, 'and the scheduler has not made all the copies first');
# ... nor does it prepare all steps that one end makes ready in one transaction
my $many = $node->safe_psql('postgres', q{SELECT defer.workflow('many', (SELECT jsonb_agg(jsonb_build_object('name', 'l' || i, 'function', 'large', 'args', jsonb_build_array(i))) FROM generate_series(1, 8) i)
	|| (SELECT jsonb_agg(jsonb_build_object('name', 'b' || i, 'function', 'later', 'args', jsonb_build_array(i, (SELECT jsonb_agg(jsonb_build_object('$input', 'l' || k || '.no')) FROM generate_series(1, 8) k))))
		FROM generate_series(1, 200) i))}, @as);
until_ok($node, "SELECT count(*) = 200 FROM defer.workflow_steps WHERE workflow_id = $many AND name LIKE 'b%' AND state = 'queued'", 'many steps are prepared');
cmp_ok($node->safe_psql('postgres', "SELECT max(n) FROM (SELECT count(*) AS n FROM defer.job WHERE parent_id = $many GROUP BY pg_xact_commit_timestamp(xmin)) x"),
	'<', 60, 'some in each transaction');
$node->safe_psql('postgres', "SELECT defer.cancel_workflow($many)", @as);
is($node->safe_psql('postgres', "SELECT state, result FROM defer.workflows WHERE id IN ($small, $wide) ORDER BY id"), qq{succeeded|{"b": "small"}\nsucceeded|},
	'the other role has its results; those that do not fit are none of the workflow');
$node->stop;
done_testing();
