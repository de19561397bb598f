# Workers of several roles share what there may be of them: none waits for
# another role's idle workers.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', q{defer.max_workers = 4
defer.worker_idle_timeout = '1h'});
$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE ROLE ann LOGIN;
	CREATE ROLE ben LOGIN;
	GRANT USAGE ON SCHEMA defer TO ann, ben;
	CREATE TABLE gate (open boolean);
	GRANT SELECT ON gate TO PUBLIC;
	CREATE FUNCTION nap() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.2)';
	CREATE FUNCTION gated() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS 'SELECT';
});

# ann's workers take all that there is, and idle from then on
$node->safe_psql('postgres', q{SET ROLE ann; SELECT count(defer.enqueue('nap')) FROM generate_series(1, 20)});
settled($node, "ann's jobs end");
is($node->safe_psql('postgres', q{SELECT count(*) > 1 FROM defer.workers WHERE kind = 'worker' AND role = 'ann'}),
	't', 'and her workers idle');

# ben's one worker is busy; his next jobs are not for an hour from now
$node->safe_psql('postgres', q{SET ROLE ben; SELECT defer.enqueue('gated')});
until_ok($node, q{SELECT state = 'running' FROM defer.jobs WHERE function LIKE '%gated()'}, "ben's job runs");
$node->safe_psql('postgres', q{SET ROLE ann; SELECT count(defer.enqueue('nap')) FROM generate_series(1, 20)});
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE function LIKE '%nap()' AND state <> 'succeeded')},
	"ann's workers are back");
$node->safe_psql('postgres', q{SET ROLE ben; SELECT count(defer.enqueue('quick')) FROM generate_series(1, 10)});
until_ok($node, q{SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE function LIKE '%quick()' AND state <> 'succeeded')},
	"ben's other jobs run");
is($node->safe_psql('postgres', q{SELECT max(started_at - run_at) < '30 s' FROM defer.jobs WHERE function LIKE '%quick()'}),
	't', 'and not only because the scheduler looks each minute');
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (true)');
settled($node, 'all end');

# A role whose only job may not run is left no worker: ann has all of them
$node->safe_psql('postgres', q{
	CREATE FUNCTION held() RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.pause('held');
	SET ROLE ben;
	SELECT defer.enqueue('held');
	RESET ROLE;
	DELETE FROM gate;
	SET ROLE ann;
	SELECT count(defer.enqueue('gated')) FROM generate_series(1, 4)});
until_ok($node, q{SELECT count(*) = 4 FROM defer.jobs WHERE function LIKE '%gated()' AND state = 'running'},
	'beside a job that is paused all workers are used');
$node->safe_psql('postgres', q{INSERT INTO gate VALUES (true); SELECT defer.resume('held')});
settled($node, 'and all of these end');

# A role that is gone: its jobs fail one after the other.  The scheduler looks at the
# clock each ten seconds, and does not wait for that with what is left: it would be nine times,
# a minute and a half.
$node->safe_psql('postgres', q{
	CREATE ROLE carl LOGIN;
	GRANT USAGE ON SCHEMA defer TO carl;
	CREATE FUNCTION orphan() RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.pause('orphan');
	SET ROLE carl;
	SELECT count(defer.enqueue('orphan')) FROM generate_series(1, 5000);
	RESET ROLE;
	DROP OWNED BY carl;
	DROP ROLE carl;
	SELECT defer.resume('orphan')});
settled($node, 'jobs of a role that is gone end');
is($node->safe_psql('postgres', q{SELECT state, count(*) FROM defer.jobs WHERE function LIKE '%orphan()' GROUP BY 1}),
	'failed|5000', 'they have failed');
is($node->safe_psql('postgres', q{SELECT max(finished_at) - min(finished_at) < '60 s' FROM defer.jobs WHERE function LIKE '%orphan()'}),
	't', 'and did not wait for the clock');

# Another database comes, too
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', q{
	CREATE EXTENSION defer;
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS 'SELECT';
	SELECT defer.enqueue('quick')});
settled($node, 'jobs of another database', 'other');
$node->stop;
done_testing();
