# Sessions of the server without a process of their own: the wire protocol by hand, for
# tests with hundreds of them.
package RawSession;
use strict;
use warnings;

use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;

# Connect to a node as that role
sub new
{
	my ($class, $node, $role) = @_;
	my $socket;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;

	# the queue of a server that forks may be full for a moment
	for (1 .. 1000)
	{
		last if $socket = IO::Socket::UNIX->new(Peer => $path);
		select(undef, undef, undef, 0.01);
	}
	die "cannot connect to $path: $!" unless $socket;
	my $self = bless { socket => $socket, buffer => '', rows => [], error => '' }, $class;
	my $startup = pack('N', 196608) . join("\0", 'user', $role // scalar(getpwuid($<)), 'database', 'postgres', '', '');

	$self->write(pack('N', length($startup) + 4) . $startup);
	$self->finish;
	die "cannot connect: $self->{error}" if $self->{error} ne '';
	return $self;
}

sub write
{
	my ($self, $bytes) = @_;

	while (length $bytes)
	{
		my $n = syswrite($self->{socket}, $bytes) // die "write: $!";

		substr($bytes, 0, $n) = '';
	}
	return;
}

sub message
{
	my ($type, $body) = @_;

	return $type . pack('N', length($body) + 4) . $body;
}

sub begin
{
	my ($self) = @_;

	$self->{rows} = [];
	$self->{error} = $self->{sqlstate} = '';
	$self->{busy} = 1;
	return;
}

# Begin a statement, by the simple protocol or the extended one
sub send
{
	my ($self, $sql) = @_;

	$self->begin;
	$self->write(message('Q', "$sql\0"));
	return $self;
}

sub send_extended
{
	my ($self, $sql) = @_;

	$self->begin;
	$self->write(message('P', "\0$sql\0" . pack('n', 0)) . message('B', "\0\0" . pack('nnn', 0, 0, 0))
		. message('E', "\0" . pack('N', 0)) . message('S', ''));
	return $self;
}

# Read what has come; returns whether the statement is over
sub step
{
	my ($self) = @_;
	my $n = sysread($self->{socket}, $self->{buffer}, 65536, length $self->{buffer});

	die 'the server has closed the connection' unless $n;
	while (length $self->{buffer} >= 5)
	{
		my ($type, $length) = unpack('aN', $self->{buffer});

		last if length $self->{buffer} < $length + 1;
		my $body = substr($self->{buffer}, 5, $length - 4);

		substr($self->{buffer}, 0, $length + 1) = '';
		if ($type eq 'D')
		{
			my ($fields, @row) = (unpack('n', $body));
			my $at = 2;

			for (1 .. $fields)
			{
				my $size = unpack('l>', substr($body, $at, 4));

				push @row, $size < 0 ? undef : substr($body, $at + 4, $size);
				$at += 4 + ($size < 0 ? 0 : $size);
			}
			push @{ $self->{rows} }, \@row;
		}
		elsif ($type eq 'E')
		{
			my %fields = map { substr($_, 0, 1) => substr($_, 1) } grep { length } split /\0/, $body;

			($self->{error}, $self->{sqlstate}) = @fields{ 'M', 'C' };
		}
		$self->{busy} = 0 if $type eq 'Z';
	}
	return !$self->{busy};
}

# Wait up to so many seconds for the first of these that has an answer; undef: none has
sub first
{
	my ($seconds, @sessions) = @_;
	my $end = time() + $seconds;

	for (;;)
	{
		my $mask = '';

		vec($mask, fileno($_->{socket}), 1) = 1 for @sessions;
		my $n = select(my $ready = $mask, undef, undef, $end > time() ? $end - time() : 0);

		return if $n <= 0;
		for my $session (@sessions)
		{
			return $session if vec($ready, fileno($session->{socket}), 1) && $session->step;
		}
	}
	return;
}

# Wait for the end of the statement; returns the first row, joined by "|"
sub finish
{
	my ($self) = @_;

	$self->{busy} = 1 unless exists $self->{busy};
	first($PostgreSQL::Test::Utils::timeout_default, $self) || die 'no answer' if $self->{busy};
	return join('|', map { $_ // '' } @{ $self->{rows}[0] // [] });
}

sub query
{
	my ($self, $sql) = @_;

	$self->send($sql)->finish;
	die "$sql: $self->{error}" if $self->{error} ne '';
	return join('|', map { $_ // '' } @{ $self->{rows}[0] // [] });
}

# Go without a word, as a process does that is killed
sub close
{
	my ($self) = @_;

	close($self->{socket});
	return;
}

1;
