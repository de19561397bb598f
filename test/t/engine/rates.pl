# Rates: in no span of the period do more attempts begin than may, whoever begins them and
# whatever ends; they begin as often as they may; what has no token holds up nothing.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 8
restart_after_crash = on});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION quick(tenant text DEFAULT NULL) RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION other(tenant text DEFAULT NULL) RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION plain() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION seldom() RETURNS void LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION slow() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.02)';
	CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
	-- All attempts that have begun, of jobs of an id or more
	CREATE FUNCTION begun(since bigint, functions text DEFAULT '%') RETURNS TABLE (at timestamptz, group_key text) LANGUAGE sql AS $$
		SELECT j.started_at, j.group_key FROM defer.jobs j WHERE j.id >= since AND j.function LIKE functions AND j.started_at IS NOT NULL
		UNION
		SELECT a.started_at, j.group_key FROM defer.attempts a JOIN defer.jobs j ON j.id = a.job_id
		 WHERE j.id >= since AND j.function LIKE functions $$;
	-- The most that have begun in a half-open span of that length
	CREATE FUNCTION most(since bigint, span interval, functions text DEFAULT '%', of_group text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
		SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY at RANGE BETWEEN CURRENT ROW AND span - interval '1 us' FOLLOWING) AS n
			FROM begun(since, functions) WHERE of_group IS NULL OR group_key = of_group) x $$;
});

sub next_id { return $node->safe_psql('postgres', q{SELECT nextval('defer.job_id_seq')}); }

# Enqueue so many of a function; returns the first id
sub enqueue
{
	my ($function, $n, $more) = @_;
	my $since = next_id();

	$more //= '';
	$node->safe_psql('postgres', "SELECT count(defer.enqueue('$function'$more)) FROM generate_series(1, $n) i");
	return $since;
}

# Spaced: no two attempts closer than the interval, over all workers
$node->safe_psql('postgres', q{SELECT defer.configure('quick', rate => '300/s')});
my $since = enqueue('quick', 600);
settled($node, 'jobs with a rate end');
is($node->safe_psql('postgres', "SELECT most($since, '1 s') <= 300, most($since, '100 ms') <= 30, most($since, '3334 us')"),
	't|t|1', 'never more than the rate in any span');

# A burst of five: five at once, and no more than N + 4 in any span
$node->safe_psql('postgres', q{SELECT defer.configure('other', rate => '100/s', rate_burst => 5)});
$since = enqueue('other', 150);
settled($node, 'jobs with a burst end');
is($node->safe_psql('postgres', "SELECT most($since, '1 s') <= 104, most($since, '10 ms') <= 5, most($since, '10 ms') > 1"),
	't|t|t', 'a burst adds to the rate what it says');

# Two limits: the function's and the queue's; groups under both
$node->safe_psql('postgres', q{
	SELECT defer.create_queue('shared', rate => '200/s', group_rate => '50/s');
	SELECT defer.configure('quick', rate => '150/s', group_rate => '40/s', group_by => 'tenant');
	SELECT defer.configure('other', rate => 'none', group_by => 'tenant');
	SELECT defer.set_group('t1', queue => 'shared', rate => '20/s')});
$since = next_id();
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue(f, jsonb_build_object('tenant', 't' || i % 8), queue => 'shared'))
	  FROM generate_series(1, 80) i, unnest('{quick,other}'::text[]) f});
settled($node, 'jobs under several rates end');
is($node->safe_psql('postgres', qq{
	SELECT most($since, '5 ms'), most($since, '6666 us', '%quick%'), max(most($since, '20 ms', '%', 't' || g)),
		max(most($since, '25 ms', '%quick%', 't' || g)), most($since, '50 ms', '%', 't1') FROM generate_series(0, 7) g}),
	'1|1|1|1|1', 'each rate holds');
is($node->safe_psql('postgres', q{SELECT group_key, running, rate FROM defer.groups}), 't1|0|20/s', 'no group has jobs left, and one has settings');

# Retries take tokens, too
$node->safe_psql('postgres', q{SELECT defer.configure('fails', rate => '100/s', max_attempts => 4, initial_interval => '1 ms', max_interval => '1 ms')});
$since = enqueue('fails', 20);
settled($node, 'failing jobs with a rate end');
is($node->safe_psql('postgres', "SELECT most($since, '10 ms'), count(*) FROM begun($since)"), '1|80', 'each attempt has a token');

# Jobs without a token hold up no others, nor do they keep workers busy
$node->safe_psql('postgres', q{SELECT defer.configure('seldom', rate => '1/hour')});
my $seldom = enqueue('seldom', 1000);
until_ok($node, "SELECT count(*) = 1 FROM begun($seldom)", 'one begins');
my $beside = enqueue('plain', 2000);
until_ok($node, "SELECT count(*) = 2000 FROM defer.jobs WHERE id >= $beside AND state = 'succeeded' AND function LIKE '%plain%'",
	'others run beside a thousand that wait');
is($node->safe_psql('postgres', "SELECT count(*) FROM begun($seldom, '%seldom%')"), '1', 'still one');
is($node->safe_psql('postgres', qq{
	SELECT reason, until > now() + '50 minutes', until < now() + '61 minutes', detail
	  FROM defer.why((SELECT max(id) FROM defer.jobs WHERE function LIKE '%seldom%'))}),
	'rate|t|t|waits for the next token of function public.seldom()', 'defer.why says what they wait for');
until_ok($node, q{SELECT count(*) = 0 FROM defer.workers WHERE job_id IS NOT NULL}, 'workers are idle');

# It counts after a crash of the server: it was written down
$node->stop('immediate');
$node->start;
$beside = enqueue('plain', 10);
until_ok($node, "SELECT count(*) = 10 FROM defer.jobs WHERE id >= $beside AND state = 'succeeded' AND function LIKE '%plain%'",
	'after a crash others run');
is($node->safe_psql('postgres', "SELECT count(*) FROM begun($seldom, '%seldom%')"), '1', 'no other of that rate');

# Raised, it holds at once; lowered, too
$node->safe_psql('postgres', q{SELECT defer.configure('seldom', rate => '200/s')});
settled($node, 'when the rate is raised the others run');
is($node->safe_psql('postgres', "SELECT most($seldom, '5 ms', '%seldom%')"), '1', 'at the new one');
$node->safe_psql('postgres', q{SELECT defer.configure('seldom', rate => '1/day')});
$seldom = enqueue('seldom', 10);
$beside = enqueue('plain', 10);
until_ok($node, "SELECT count(*) = 10 FROM defer.jobs WHERE id >= $beside AND state = 'succeeded' AND function LIKE '%plain%'",
	'others run');
is($node->safe_psql('postgres', "SELECT count(*) FROM begun($seldom, '%seldom%')"), '0', 'none when it is lowered');
$node->safe_psql('postgres', q{SELECT defer.configure('seldom', rate => 'none')});
settled($node, 'all when it is taken away');

# At the limit: cancel
$node->safe_psql('postgres', q{SELECT defer.configure('seldom', rate => '2/hour', rate_burst => 3, at_limit => 'cancel')});
$seldom = enqueue('seldom', 20);
until_ok($node, "SELECT count(*) FILTER (WHERE state = 'succeeded') = 3 AND count(*) FILTER (WHERE state = 'cancelled') = 17
	FROM defer.jobs WHERE id >= $seldom AND function LIKE '%seldom%'", 'jobs that find no token are cancelled');
$node->safe_psql('postgres', q{SELECT defer.configure('seldom', reset => true)});

# Groups have each their own; a pause of one, and overrides
$node->safe_psql('postgres', q{
	SELECT defer.configure('quick', reset => true);
	SELECT defer.configure('quick', group_by => 'tenant', group_rate => '1/hour');
	SELECT defer.set_group('rich', function => 'quick', rate => 'none')});
$since = next_id();
$node->safe_psql('postgres', q{
	SELECT count(defer.enqueue('quick', jsonb_build_object('tenant', t))) FROM generate_series(1, 30) i, unnest('{a,b,c,rich}'::text[]) t});
until_ok($node, qq{SELECT string_agg(t || ' ' || n, ' ' ORDER BY t) = 'a 1 b 1 c 1 rich 30' FROM
	(SELECT group_key AS t, count(*) AS n FROM begun($since) GROUP BY 1) x}, 'each group has a token of its own, or needs none');
is($node->safe_psql('postgres', q{SELECT string_agg(group_key || ' ' || rate || ' ' || (next_token > now() + '50 minutes'), ', ' ORDER BY group_key)
	FROM defer.groups WHERE kind = 'function'}), 'a 1/hour true, b 1/hour true, c 1/hour true', 'defer.groups shows them');
is($node->safe_psql('postgres', qq{SELECT reason, detail FROM defer.why((SELECT max(id) FROM defer.jobs WHERE group_key = 'a'))}),
	'rate|waits for the next token of group "a" of function public.quick(text)', 'and defer.why the group');
$node->safe_psql('postgres', q{SELECT defer.configure('quick', group_rate => '100/s')});
settled($node, 'all run when the rate of groups is raised');

# Workers that are killed, jobs that are cancelled, then a crash: never more than may.  When
# an attempt has begun that a crash of the server has ended is not known.
$node->safe_psql('postgres', q{
	SELECT defer.configure('slow', rate => '150/s', max_attempts => 30, initial_interval => '1 ms', max_interval => '1 ms')});
$since = enqueue('slow', 500);
for my $round (1 .. 6)
{
	if ($round == 5)
	{
		is($node->safe_psql('postgres', "SELECT most($since, '6666 us')"), '1', 'no two too close to each other');
		$node->safe_psql('postgres', q{DELETE FROM defer.attempt});
		$node->stop('immediate');
		$node->start;
	}
	until_ok($node, qq{SELECT count(*) >= 20 * $round FROM begun($since)}, "round $round: jobs begin");
	$node->psql('postgres', $round % 2 == 0 ? q{SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM defer.workers WHERE kind = 'worker' ORDER BY random() LIMIT 3) x} :
		q{SELECT count(defer.cancel(id, force => true)) FROM (SELECT id FROM defer.jobs WHERE state IN ('running', 'queued') ORDER BY random() LIMIT 5) x});
}
settled($node, 'jobs end in spite of that');
$node->safe_psql('postgres', q{DELETE FROM defer.attempt WHERE outcome = 'crashed'});
is($node->safe_psql('postgres', "SELECT most($since, '6666 us'), most($since, '1 s') <= 150"), '1|t', 'nor after a crash');
unlike(slurp_file($node->logfile), qr/TRAP|PANIC/, 'no crash of ours');
$node->stop;
done_testing();
