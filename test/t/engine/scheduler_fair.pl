# What one role has does not keep the scheduler from the work of another: jobs that are
# to be cancelled, schedules that are due, rows that nobody can write.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
defer.max_objects_per_role = 20000});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE many LOGIN;
	CREATE ROLE ann LOGIN;
	GRANT USAGE ON SCHEMA defer TO many, ann;
	GRANT CREATE ON SCHEMA public TO many;
	CREATE TABLE gate (open boolean);
	GRANT SELECT ON gate TO PUBLIC;
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS 'SELECT'});
$node->safe_psql('postgres', q{
	CREATE FUNCTION one() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	SELECT defer.configure('one', concurrency => 1, at_limit => 'cancel', max_duration => '0')}, extra_params => [ '-U', 'many' ]);

# A hundred thousand that find no room, while one runs
$node->safe_psql('postgres', q{SELECT defer.enqueue('one')}, extra_params => [ '-U', 'many' ]);
until_ok($node, q{SELECT state = 'running' FROM defer.jobs}, 'one runs');
$node->safe_psql('postgres', q{SELECT count(defer.enqueue('one')) FROM generate_series(1, 100000)}, extra_params => [ '-U', 'many' ]);
my $id = $node->safe_psql('postgres', q{SELECT defer.enqueue('quick')}, extra_params => [ '-U', 'ann' ]);
until_ok($node, "SELECT state = 'succeeded' FROM defer.jobs WHERE id = $id", "ann's job ends");
my $cancelled = $node->safe_psql('postgres', "SELECT count(*) FROM defer.job_history h, defer.job_history a
	WHERE a.id = $id AND h.state = 'c' AND h.finished_at < a.started_at");
cmp_ok($cancelled, '<', 100000, "it did not wait for the end of many's");
until_ok($node, q{SELECT count(*) = 100000 FROM defer.job_history WHERE state = 'c'}, "all of many's are cancelled in the end");

# The clock of schedules: one of ann's each second, and two thousand of another role, each
# of which takes the scheduler some milliseconds, so that it never gets through them
$node->safe_psql('postgres', q{
	INSERT INTO gate VALUES (true);
	CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_catalog.pg_sleep(0.003); RETURN NEW; END$$;
	CREATE TRIGGER slow BEFORE UPDATE ON defer.schedule FOR EACH ROW WHEN (NEW.name OPERATOR(pg_catalog.<>) 'mine')
		EXECUTE FUNCTION slow();
	CREATE ROLE ben LOGIN;
	GRANT USAGE ON SCHEMA defer TO ben});
$node->safe_psql('postgres', q{SELECT count(defer.cron('quick', '* * * * * *', name => 's' || i, overlap => 'allow')) FROM generate_series(1, 2000) i},
	extra_params => [ '-U', 'many' ]);
for my $role ('ann', 'ben')
{
	$node->safe_psql('postgres', q{SELECT defer.cron('quick', '* * * * * *', name => 'mine', overlap => 'allow')}, extra_params => [ '-U', $role ]);
}
until_ok($node, q{SELECT count(*) >= 5 FROM defer.jobs WHERE schedule = 'mine' AND owner = 'ann' AND state <> 'discarded'}, "ann's schedule fires");
until_ok($node, q{SELECT count(*) >= 5 FROM defer.jobs WHERE schedule = 'mine' AND owner = 'ben' AND state <> 'discarded'}, "ben's schedule fires");

# By the numbers of their jobs, which are given out as the ticks fire: between two of ann's
# there is a turn of the scheduler (500 schedules), and not all of theirs
for my $role ('ann', 'ben')
{
	cmp_ok($node->safe_psql('postgres', qq{
		SELECT max(theirs) FROM (SELECT (SELECT count(*) FROM defer.jobs t WHERE t.owner = 'many' AND t.state <> 'discarded' AND t.id > m.before AND t.id < m.id) AS theirs
			FROM (SELECT id, lag(id) OVER (ORDER BY id) AS before FROM defer.jobs WHERE schedule = 'mine' AND owner = '$role' AND state <> 'discarded') m
			WHERE m.before IS NOT NULL) x}), '<', 1000, "${role}'s does not wait for all of another role's");
}
$node->stop;
done_testing();
