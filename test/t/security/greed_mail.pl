# Each e-mail takes a thread of the sender until its server has answered.  One role's
# many mails to a server that does not answer take a share of the threads, and those of
# others are sent; two such roles leave room for a third.
use strict;
use warnings;

use Deliveries;
use DeferTest;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $missing = Peers::missing('smtp');
plan skip_all => "$missing is not there" if $missing;

my $mail = Peers->smtp;
my $node = delivery_server('main', '');

$node->safe_psql('postgres', q{
	CREATE ROLE greedy LOGIN;
	CREATE ROLE ben LOGIN;
	CREATE ROLE ann LOGIN;
	GRANT USAGE ON SCHEMA defer TO greedy, ben, ann;
	GRANT EXECUTE ON FUNCTION defer.email, defer.endpoint TO greedy, ben, ann});

# Enqueue n mails of a role, over an endpoint of its own; returns their ids
sub mails
{
	my ($role, $recipient, $n) = @_;
	my $url = quoted($mail->url('plain'));

	return split /\n/, $node->safe_psql('postgres', qq{
		DO \$\$ BEGIN PERFORM defer.endpoint('of $role', 'email', $url, sender => '$role\@example.com'); END \$\$;
		SELECT defer.email('$recipient\@example.com', 's', 'b', endpoint => 'of $role', timeout => '1 hour',
			max_duration => '0') FROM generate_series(1, $n)}, extra_params => [ '-U', $role ]);
}

sub running
{
	my ($role) = @_;

	return $node->safe_psql('postgres', "SELECT count(*) FROM defer.jobs WHERE state = 'running' AND owner = '$role'");
}

mails('greedy', 'hang', 100);
until_ok($node, q{SELECT count(*) = 32 FROM defer.jobs WHERE state = 'running' AND owner = 'greedy'}, 'a role has half of the threads');
mails('ben', 'hang', 100);
until_ok($node, q{SELECT count(*) = 16 FROM defer.jobs WHERE state = 'running' AND owner = 'ben'}, 'a second one half of the rest');
my $ids = join ', ', mails('ann', 'ann', 20);
until_ok($node, "SELECT count(*) = 20 FROM defer.jobs WHERE id IN ($ids) AND state = 'succeeded'", "a third one's are sent");
is(running('greedy') . ' ' . running('ben'), '32 16', 'meanwhile those that hang still do, and are no more');
is(scalar($mail->mails), 20, 'and are the only ones that have arrived');
$node->stop;
done_testing();
