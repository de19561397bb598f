# A streaming standby takes over in the midst of work, near a tick: no tick comes
# twice, none is left out, and nothing is lost that had been replicated.
use strict;
use warnings;

use DeferTest;
use HistoryChecker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $node = new_server('primary', q{defer.max_workers = 4
defer.retention = 0});
my @files;

$node->safe_psql('postgres', q{
	CREATE EXTENSION defer;
	CREATE TABLE effect (job bigint);
	CREATE FUNCTION quick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	CREATE FUNCTION nap() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job()); SELECT pg_sleep(0.05)';
	CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS
		'INSERT INTO effect VALUES (defer.current_job())';
	SELECT defer.cron('tick', '* * * * * *', overlap => 'allow', catch_up => 'all');
	SELECT defer.enqueue('quick', run_at => now() + interval '1 hour', metadata => '{"later": true}')});

sub sleep_until_fraction
{
	my ($fraction) = @_;
	my $now = time();
	my $wait = $fraction - ($now - int($now));

	usleep(1_000_000 * ($wait < 0 ? $wait + 1 : $wait));
	return;
}

# Twice: once the primary is stopped just before a tick, once just after one.
# What is acknowledged has been replicated, because commits wait for it.
my $round = 0;
for my $fraction (0.97, 0.02)
{
	my $what = sprintf('failover %d', ++$round);
	my $standby = PostgreSQL::Test::Cluster->new("standby$round");

	$node->backup("base$round");
	$standby->init_from_backup($node, "base$round", has_streaming => 1);
	$standby->start;
	$node->append_conf('postgresql.auto.conf', "synchronous_standby_names = '*'");
	$node->reload;
	until_ok($node, q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'}, "$what: there is a standby");

	my $client = client_start($node, q{SELECT 'ack ' || defer.enqueue('quick') FROM generate_series(1, 20);},
		q{SELECT 'ack ' || defer.enqueue('nap') FROM generate_series(1, 2);});
	until_ok($node, q{SELECT count(*) > 1 FROM defer.workers WHERE kind = 'worker' AND job_id IS NOT NULL}, "$what: under load");
	is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'defer%'}), '0',
		"$what: no process of ours on the standby");
	sleep_until_fraction($fraction);
	$node->stop('immediate');
	push @files, clients_stop($client);
	$standby->append_conf('postgresql.auto.conf', "synchronous_standby_names = ''");
	$standby->reload;
	$standby->promote;
	my $since = $standby->safe_psql('postgres', 'SELECT now()');

	is($standby->safe_psql('postgres', q{SELECT count(*) FROM defer.health WHERE finding LIKE '%restored or copied%'}), '0',
		"$what: it is not taken for a copy");
	until_ok($standby, "SELECT max(scheduled_for) > '$since' FROM defer.jobs WHERE state = 'succeeded'",
		"$what: it ticks on the standby");
	$node = $standby;

	my @ticks = split /\n/, $node->safe_psql('postgres', q{
		SELECT extract(epoch FROM scheduled_for)::bigint FROM defer.jobs WHERE scheduled_for IS NOT NULL ORDER BY 1});
	is_deeply(\@ticks, [ $ticks[0] .. $ticks[-1] ], "$what: each tick once, none missing");
}

is($node->safe_psql('postgres', q{SELECT defer.reschedule(id) FROM defer.jobs WHERE metadata = '{"later": true}'}), 't',
	'what was to come later is there');
quiesce($node);
history_ok($node, \@files, what => 'after two failovers', ticks => ['tick']);
$node->stop;
done_testing();
