# Node.js and the packages of clients/node, for tests.
package NodeClient;
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

my $debian = '/usr/share/nodejs';

# Why there can be no test, or nothing.  Debian's package node-pg does for npm's.
sub missing
{
	my ($version) = (`node --version 2>/dev/null` // '') =~ /^v(\d+)/ or return 'there is no node';

	return "node $version is older than 18" if $version < 18;
	if (!-d 'clients/node/node_modules/pg')
	{
		return "neither npm's package pg in clients/node nor Debian's node-pg is there" if !-d "$debian/pg";
		mkdir 'clients/node/node_modules';
		symlink("$debian/pg", 'clients/node/node_modules/pg') or return "cannot link pg: $!";
	}
	return;
}

sub url
{
	my ($node, $role) = @_;

	return sprintf('postgresql:///postgres?host=%s&port=%s&user=%s', $node->host, $node->port, $role // 'postgres');
}

1;
