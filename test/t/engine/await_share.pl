# Jobs that await others hold a worker each, and do not keep the server from anything:
# what they await finds a worker here, other roles' jobs begin, other databases get
# their scheduler, parallel query its workers.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# What the README recommends for one database
my $node = new_server('main', q{max_worker_processes = 21});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE many LOGIN;
	CREATE ROLE ann LOGIN;
	CREATE ROLE ben LOGIN;
	GRANT USAGE ON SCHEMA defer TO many, ann, ben;
	CREATE FUNCTION quick() RETURNS int LANGUAGE sql AS 'SELECT 42';
	CREATE PROCEDURE parent() LANGUAGE plpgsql AS $$
	DECLARE child bigint;
	BEGIN
		child := defer.enqueue('public.quick');
		COMMIT;
		PERFORM defer.await(child);
	END $$;
	CREATE PROCEDURE grandparent(depth int) LANGUAGE plpgsql AS $$
	DECLARE child bigint;
	BEGIN
		child := CASE WHEN depth = 0 THEN defer.enqueue('public.quick')
			ELSE defer.enqueue('public.grandparent', jsonb_build_array(depth - 1)) END;
		COMMIT;
		PERFORM defer.await(child);
	END $$;
	CREATE FUNCTION waits(job bigint) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM defer.await(job); END';
	CREATE TABLE wide AS SELECT i FROM generate_series(1, 10000) i});

# A hundred parents, each with a child that is enqueued behind all of them
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('parent')) FROM generate_series(1, 100)}, extra_params => [ '-U', 'many' ]);
settled($node, 'a hundred parents and their children end');
is($node->safe_psql('postgres', 'SELECT state, count(*), max(attempt) FROM defer.jobs GROUP BY 1'), 'succeeded|200|1', 'all have succeeded');

# Children that are parents themselves
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('grandparent', '[3]')) FROM generate_series(1, 30)}, extra_params => [ '-U', 'many' ]);
settled($node, 'parents of parents end');
is($node->safe_psql('postgres', q{SELECT state, count(*) FROM defer.jobs WHERE function LIKE '%grandparent%' GROUP BY 1}),
	'succeeded|120', 'all have succeeded');

# Sixty await one that is years off
my $far = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick', delay => '80 years')}, extra_params => [ '-U', 'many' ]);
$node->safe_psql('postgres', qq{SELECT count(defer.enqueue('waits', '[$far]', max_duration => '0')) FROM generate_series(1, 60)},
	extra_params => [ '-U', 'many' ]);
until_ok($node, q{SELECT count(*) >= 4 FROM defer.jobs WHERE function LIKE '%waits%' AND state = 'running'}, 'some of them wait in a worker');
for my $role ('ann', 'ben')
{
	my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick')}, extra_params => [ '-U', $role ]);

	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", "a job of $role runs meanwhile");
}
my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('parent')}, extra_params => [ '-U', 'ann' ]);
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", "a parent of ann's, too");
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION quick() RETURNS int LANGUAGE sql AS 'SELECT 42';
	SELECT defer.enqueue('quick')});
settled($node, 'another database gets a scheduler, and its job a worker', 'other');
like($node->safe_psql('postgres', q{
	SET parallel_setup_cost = 0;
	SET parallel_tuple_cost = 0;
	SET min_parallel_table_scan_size = 0;
	SET max_parallel_workers_per_gather = 4;
	ALTER TABLE wide SET (parallel_workers = 4);
	EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*) FROM wide}),
	qr/Workers Launched: 4/, 'a parallel query has all of its workers');
is($node->safe_psql('postgres', q{SELECT count(*) <= 10 FROM defer.workers WHERE kind = 'worker'}), 't', 'no more workers than max_workers and a quarter');
is($node->safe_psql('postgres', q{SELECT count(*) FROM defer.jobs WHERE function LIKE '%waits%' AND state NOT IN ('running', 'queued')}),
	'0', 'meanwhile those that wait still do');
unlike(slurp_file($node->logfile), qr/no background worker is free/, 'there was always a free background worker');

# It is moved to now: all of them end
$node->safe_psql('postgres', "SELECT defer.reschedule($far)");
settled($node, 'what they await ends, and so do they');
is($node->safe_psql('postgres', q{SELECT state, count(*) FROM defer.jobs WHERE function LIKE '%waits%' GROUP BY 1}), 'succeeded|60', 'all have succeeded');

# All workers of a role are at jobs that await, or take very long
$node->safe_psql('postgres', q{
	CREATE FUNCTION long() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(86400)'});
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('long')) FROM generate_series(1, 4)}, extra_params => [ '-U', 'many' ]);
until_ok($node, q{SELECT count(*) = 4 FROM defer.jobs WHERE function LIKE '%long()' AND state = 'running'}, 'four long jobs run');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('parent')) FROM generate_series(1, 20)}, extra_params => [ '-U', 'many' ]);
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE function LIKE '%parent()' AND state IN ('queued', 'running'))},
	'beside them parents and their children end');
$node->safe_psql('postgres', q{SELECT count(defer.cancel(id, force => true)) FROM defer.jobs WHERE function LIKE '%long()'});
settled($node, 'all end');

# Where there are more background workers, jobs that await do not count
$node->append_conf('postgresql.conf', "max_worker_processes = 60\ndefer.max_workers = 2");
$node->restart;
$far = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick', delay => '80 years')});
$node->safe_psql('postgres', qq{SELECT count(defer.enqueue('waits', '[$far]', max_duration => '0')) FROM generate_series(1, 10)});
until_ok($node, q{SELECT count(*) = 10 FROM defer.jobs WHERE function LIKE '%waits%' AND state = 'running'}, 'all ten await in a worker each');
$id = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick')});
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", 'and others of that role run');
$node->stop;
done_testing();
