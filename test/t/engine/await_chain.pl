# A chain of jobs, of which each awaits the next, and which never ends: it takes a worker
# for each of them, up to a bound, and leaves some to other roles.
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
	GRANT USAGE ON SCHEMA defer TO many, ann;
	CREATE FUNCTION quick() RETURNS int LANGUAGE sql AS 'SELECT 42';
	CREATE PROCEDURE parent() LANGUAGE plpgsql AS $$
	DECLARE child bigint;
	BEGIN
		child := defer.enqueue('public.quick');
		COMMIT;
		PERFORM defer.await(child);
	END $$;
	CREATE PROCEDURE chain() LANGUAGE plpgsql AS $$
	DECLARE child bigint;
	BEGIN
		child := defer.enqueue('public.chain', max_attempts => 1, max_duration => '0');
		COMMIT;
		PERFORM defer.await(child);
	END $$});
$node->safe_psql('postgres', q{SELECT defer.enqueue('chain', max_attempts => 1, max_duration => '0')}, extra_params => [ '-U', 'many' ]);

# max_workers, and half as many for awaited jobs only
my $running = q{SELECT count(*) FROM defer.jobs WHERE function LIKE '%chain%' AND state = 'running'};
until_ok($node, qq{SELECT ($running) = 12}, 'the chain takes all that it may have');
for my $function ('quick', 'parent')
{
	my $id = $node->safe_psql('postgres', qq{SELECT defer.enqueue('$function')}, extra_params => [ '-U', 'ann' ]);

	until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", "another role's job $function() runs");
}
is($node->safe_psql('postgres', $running), '12', 'the chain has taken no more');

# Without the last of them all end
$node->safe_psql('postgres', q{SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function LIKE '%chain%' AND state = 'queued'});
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE function LIKE '%chain%' AND state IN ('queued', 'running'))},
	'the chain ends with its last job');
$node->stop;
done_testing();
