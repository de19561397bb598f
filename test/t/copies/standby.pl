# Nothing runs on a standby; after its promotion everything goes on.
use strict;
use warnings;

use DeferTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_server('primary', 'defer.max_workers = 2');
$primary->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE FUNCTION work() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	SELECT defer.enqueue('work')});
settled($primary, 'a job on the primary');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$primary->safe_psql('postgres', q{SELECT defer.enqueue('work', run_at => now() + interval '1 hour')});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'defer%'}),
	'0', 'no process of ours on the standby');
like($standby->safe_psql('postgres', q{SELECT finding FROM defer.health}), qr/standby/, 'health says why');
isnt($standby->psql('postgres', q{SELECT defer.enqueue('work')}), 0, 'no enqueue on a standby');

$primary->stop;
$standby->promote;
until_ok($standby, q{SELECT EXISTS (SELECT FROM defer.workers WHERE kind = 'scheduler')},
	'after the promotion there is a scheduler');
$standby->safe_psql('postgres', q{SELECT defer.reschedule(id) FROM defer.jobs WHERE state = 'scheduled'});
settled($standby, 'and jobs run');
check_history($standby, 'promotion');
$standby->stop;
done_testing();
