# Counts of finished jobs: they agree with the history in every state of things,
# and jobs of a function are found by them.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{
defer.max_workers = 4
defer.retention = 0
});

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE ann LOGIN;
	CREATE ROLE bob LOGIN;
	GRANT USAGE ON SCHEMA defer TO ann, bob;
	SELECT defer.create_queue('side'), defer.grant_queue('side', 'public');
	CREATE FUNCTION good(int) RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION bad() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$;
	CREATE FUNCTION seldom(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
	-- as many functions as a batch has jobs, and more
	DO $$BEGIN
		FOR i IN 1 .. 700 LOOP
			EXECUTE format('CREATE FUNCTION many_%s() RETURNS void LANGUAGE sql AS ''SELECT''', i);
		END LOOP;
	END$$});

# By what differs, if anything does; in one statement, while jobs end
my $differences = q{
	SELECT * FROM (SELECT c.hour, c.owner, c.function, c.queue, sum(c.succeeded) AS succeeded, sum(c.failed) AS failed,
			sum(c.cancelled) AS cancelled, sum(c.discarded) AS discarded, sum(c.begun) AS begun,
			min(c.first_id) <= min(c.last_id) AS ids
		 FROM defer.job_counts c GROUP BY 1, 2, 3, 4) c
	FULL JOIN (SELECT date_trunc('hour', h.finished_at, 'UTC') AS hour, h.owner, h.function, h.queue,
			count(*) FILTER (WHERE h.state = 's') AS succeeded, count(*) FILTER (WHERE h.state = 'f') AS failed,
			count(*) FILTER (WHERE h.state = 'c') AS cancelled, count(*) FILTER (WHERE h.state = 'd') AS discarded,
			count(h.started_at) AS begun, true AS ids
		 FROM defer.job_history h GROUP BY 1, 2, 3, 4) h
	USING (hour, owner, function, queue, succeeded, failed, cancelled, discarded, begun, ids)
	WHERE c.* IS NULL OR h.* IS NULL LIMIT 5};

sub agree
{
	my ($what) = @_;

	is($node->safe_psql('postgres', $differences), '', $what);
	return;
}

agree('nothing has ended');

# All ways in which a job ends
for my $role ('ann', 'bob')
{
	$node->safe_psql('postgres', qq{
		SET ROLE $role;
		SELECT count(defer.enqueue('good', '[1]')) FROM generate_series(1, 3000);
		SELECT count(defer.enqueue('good', '[2]', queue => 'side')) FROM generate_series(1, 500);
		SELECT defer.enqueue('seldom', jsonb_build_array(i)) FROM generate_series(1, 3) i;
		SELECT count(defer.enqueue(format('many_%s', i))) FROM generate_series(1, 700) i;
		SELECT defer.enqueue('good', '[3]', key => 'k' || i) FROM generate_series(1, 20) i;
		SELECT defer.enqueue('bad', max_attempts => 2, initial_interval => '10 ms') FROM generate_series(1, 20);
		SELECT count(defer.cancel(defer.enqueue('good', '[4]', delay => '1 day'))) FROM generate_series(1, 20)});
	# while the rows of ended jobs are still in batches
	agree("$role: while jobs run") for 1 .. 5;
}
$node->safe_psql('postgres', q{
	SET ROLE ann;
	SELECT defer.enqueue('good', '[5]', discard_after => '1 ms', delay => '1 ms') FROM generate_series(1, 5)});
settled($node, 'all have ended');
agree('all have ended');

# What a role sees is its own
my $seen = q{SELECT function, succeeded, failed, cancelled FROM defer.functions
	WHERE function IN ('public.good(integer)', 'public.bad()', 'public.seldom(integer)') ORDER BY function COLLATE "C"};
my $of_bob = "SET ROLE bob; $seen";
my $expected = "public.bad()|0|20|0\npublic.good(integer)|3520|0|20\npublic.seldom(integer)|3|0|0";
is($node->safe_psql('postgres', $of_bob), $expected, 'a role sees counts of its own jobs');
is($node->safe_psql('postgres', q{SET ROLE bob; SELECT queue, succeeded FROM defer.queues WHERE queue = 'side'}), 'side|500', 'by queue');
is($node->safe_psql('postgres', q{SET ROLE bob; SELECT count(*) FROM defer.health WHERE finding LIKE '20 jobs of public.bad() failed for good%'}),
	'1', 'defer.health knows how many failed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.functions WHERE function LIKE '%many\_%' AND succeeded = 2}), '700',
	'each of many functions');

# The durations are about those of the history
is($node->safe_psql('postgres', q{
	WITH h AS (SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY finished_at - started_at) AS p, avg(finished_at - started_at) AS a
			   FROM defer.job_history WHERE function = 'public.good(integer)' AND started_at IS NOT NULL)
	SELECT EXTRACT(epoch FROM f.median_duration) BETWEEN EXTRACT(epoch FROM h.p[1]) * 0.8 - 1e-6 AND EXTRACT(epoch FROM h.p[1]) * 1.2 + 1e-6,
		EXTRACT(epoch FROM f.p95_duration) BETWEEN EXTRACT(epoch FROM h.p[2]) * 0.8 - 1e-6 AND EXTRACT(epoch FROM h.p[2]) * 1.2 + 1e-6,
		abs(EXTRACT(epoch FROM f.avg_duration - h.a)) < 2e-6
	  FROM h, defer.functions f WHERE f.function = 'public.good(integer)'}), 't|t|t', 'durations');

# Pages of a function's jobs, newest first, whatever else there is between them
sub pages_agree
{
	my ($what) = @_;

	for my $function ('public.good(integer)', 'public.seldom(integer)', 'public.bad()', 'public.many_77()')
	{
		is($node->safe_psql('postgres', qq{
			WITH RECURSIVE page AS (
				SELECT ARRAY(SELECT defer.find_jobs(function => '$function', n => 997)) AS ids
				UNION ALL
				SELECT ARRAY(SELECT defer.find_jobs(function => '$function', before => page.ids[cardinality(page.ids)], n => 997))
				  FROM page WHERE cardinality(page.ids) = 997)
			SELECT COALESCE((SELECT array_agg(id ORDER BY id DESC) FROM page, unnest(page.ids) id), '{}')
				 = ARRAY(SELECT id FROM defer.jobs WHERE function = '$function' ORDER BY id DESC)}), 't', "$what: all jobs of $function");
	}
	is($node->safe_psql('postgres', q{SELECT array_agg(j.state) FROM defer.find_jobs(states => '{cancelled}', function => 'public.good(integer)', n => 3) f
		JOIN defer.jobs j ON j.id = f}), '{cancelled,cancelled,cancelled}', "$what: by state, too");
	is($node->safe_psql('postgres', q{SET ROLE bob; SELECT count(*) FROM defer.find_jobs(states => '{succeeded}', function => 'public.seldom(integer)')}), '3', "$what: only one's own");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.find_jobs(function => 'public.good(integer)', since => now() + interval '1 hour')}), '0', "$what: none later");
	return;
}
pages_agree('before they are added up');

# A scheduler that starts adds up what there is (mostly: it is done after ten seconds, too)
note($node->safe_psql('postgres', 'SELECT count(*) FROM defer.job_rollup_new') . ' rows are to be added up');
$node->restart;
until_ok($node, 'SELECT count(*) = 0 FROM defer.job_rollup_new', 'it is added up');
agree('added up');
is($node->safe_psql('postgres', $of_bob), $expected, 'the counts are the same');
is($node->safe_psql('postgres', q{SELECT max(n) <= 2 FROM (SELECT count(*) AS n FROM defer.job_rollup GROUP BY owner, function, queue) x}), 't',
	'in a row for each hour');
pages_agree('added up');

# And what comes later is added to that
$node->safe_psql('postgres', q{
	SET ROLE bob;
	SELECT count(defer.enqueue('good', '[6]')) FROM generate_series(1, 1000);
	SELECT defer.enqueue('seldom', delay => '1 day', args => '[9]')});
until_ok($node, q{SELECT count(*) = 2 * 3520 + 1000 FROM defer.jobs WHERE function = 'public.good(integer)' AND state = 'succeeded'}, 'more have ended');
agree('more have ended');
$node->restart;
until_ok($node, 'SELECT count(*) = 0 FROM defer.job_rollup_new', 'they are added up');
agree('added to what was there');
pages_agree('added to what was there');

# Days that are over are forgotten with their history
$node->safe_psql('postgres', q{
	UPDATE defer.job_rollup SET hour = hour - interval '3 days' WHERE function = 'public.bad()';
	ALTER SYSTEM SET defer.retention = '1d';
	SELECT pg_reload_conf()});
until_ok($node, q{SELECT count(*) = 0 FROM defer.job_rollup WHERE function = 'public.bad()'}, 'retention');
isnt($node->safe_psql('postgres', 'SELECT count(*) FROM defer.job_rollup'), '0', 'the others stay');

# defer.health does not read all open failures, and what one role has hides nothing of others
$node->safe_psql('postgres', q{
	SET session_replication_role = replica;
	INSERT INTO defer.failure (line_id, job_id, owner, function, fingerprint, failed_at)
	SELECT i, i, CASE i % 2 WHEN 0 THEN 'ann' ELSE 'bob' END::regrole, 'public.f' || i % 7 || '()', (i % 50)::text, now() - i * interval '0.2 s'
	  FROM generate_series(1, 200000) i
	UNION ALL
	SELECT i, i, 'ann'::regrole, 'public.a' || to_char(i, 'FM000') || '()', i::text, now() - interval '1 minute' FROM generate_series(1, 150) i
	UNION ALL
	SELECT i, i, 'bob'::regrole, 'public.old()', i::text, now() - interval '2 days' FROM generate_series(1, 10) i
	UNION ALL
	SELECT 1, 1, 'bob'::regrole, 'public.z()', '0', now();
	VACUUM ANALYZE defer.failure});
my $plan = $node->safe_psql('postgres', 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, COSTS OFF) SELECT * FROM defer.health');
my ($hit) = $plan =~ /^  Buffers: shared hit=(\d+)/m;
my ($read) = $plan =~ /^  Buffers: shared .*?read=(\d+)/m;
# to read all of them once is more than 4,000 pages; how many it is depends on the visibility map
cmp_ok($hit + ($read // 0), '<', 3900, 'health of 200,000 open failures') or diag $plan;
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE finding ~ '^1 job of public.a\d+\(\) failed'),
	count(*) FILTER (WHERE finding ~ '^1000 jobs or more of public.f\d\(\) failed'), count(*) FILTER (WHERE finding ~ '^1 job of public.z\(\) failed'),
	count(*) FILTER (WHERE finding ~ 'public.old') FROM defer.health}), '100|7|1|0', 'health: of each role up to 100 functions, what failed during the last day');
is($node->safe_psql('postgres', q{SET ROLE bob; SELECT count(*) FILTER (WHERE finding ~ 'public.a'), count(*) FILTER (WHERE finding ~ 'public.[fz]')
	FROM defer.health}), '0|8', 'health: of the roles that one may see');
$node->safe_psql('postgres', q{
	SET session_replication_role = replica;
	UPDATE defer.failure SET closed = 'a'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%for good%'}), '0', 'health: nothing of what was dealt with');

$node->stop;
done_testing();
