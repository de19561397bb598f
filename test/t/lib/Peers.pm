# Servers that the deliveries of a test go to: test/servers, and nghttpd.
#
#	my $http = Peers->http;				# misbehaves by path
#	my $mail = Peers->smtp(user => 'u', password => 'p');
#	my $h2 = Peers->http2;				# undef: nghttpd is not there
#
#	$http->url('/status/200')			http://127.0.0.1:port/status/200
#	$http->url('/echo', 'https_expired')	by the names that the server prints
#	$mail->url('starttls')				smtp:// or smtps://
#	$http->port('deaf')  $http->ca  $http->pid
#	$http->requests('/record')			what came for that path so far (all: no path),
#										a list of hashes; see test/servers/*.py
#	$http->wait_for_requests(3, '/record', 'three came')	waits, is an assertion
#	$mail->mails  $mail->wait_for_mails(3, 'three came')
#	$http->events('close')				all of a kind
#	$http->clear						forget what came so far
#	$http->stop
#
# They go away with the object, and with the process that made them.
package Peers;
use strict;
use warnings;

use Cwd 'abs_path';
use File::Basename 'dirname';
use File::Path 'make_path';
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $servers = abs_path(dirname(__FILE__) . '/../../servers');
my $python = -x '/usr/bin/python3' ? '/usr/bin/python3' : 'python3';
my $folder;
my $serial = 0;

# What is missing for the kind of peer, undef if nothing
sub missing
{
	my ($kind) = @_;

	for my $module ('ssl', $kind eq 'smtp' ? 'aiosmtpd' : ())
	{
		return "python3 with its $module module" . ($module eq 'aiosmtpd' ? ' (python3-aiosmtpd)' : '')
		  if system("'$python' -c 'import $module' >/dev/null 2>&1") != 0;
	}
	return 'openssl' if system('openssl version >/dev/null 2>&1') != 0;
	return;
}

# One folder for all peers of a test, so that they share the CA
sub folder
{
	$folder //= PostgreSQL::Test::Utils::tempdir('peers');
	return $folder;
}

# The CA that has signed the good certificates; there once a peer was started
sub ca
{
	return folder() . '/certs/ca.pem';
}

sub http
{
	my ($class, %options) = @_;

	return $class->python_peer('http_peer.py',
		(map { ('--host', $_) } @{ $options{hosts} // [] }),
		$options{full} ? '--full' : ());
}

sub smtp
{
	my ($class, %options) = @_;

	return $class->python_peer('smtp_peer.py',
		defined $options{user} ? ('--user', $options{user}, '--password', $options{password}) : ());
}

sub python_peer
{
	my ($class, $program, @options) = @_;
	my $log = folder() . '/log' . ++$serial;
	my $self = $class->start($log, $python, "$servers/$program", '--log', $log,
		'--certs', folder() . '/certs', @options);
	my $select = IO::Select->new($self->{out});
	my $line;

	$line = readline($self->{out})
	  if $select->can_read($PostgreSQL::Test::Utils::timeout_default);
	if (!defined $line)
	{
		$self->stop;
		die "$program did not start: " . slurp_file("$log.err");
	}
	$self->{ports} = decode_json($line);
	return $self;
}

# An HTTP/2 server with TLS, or undef.  It knows /record and the files of
# $h2->{root}.  $h2->text is all that it said: frames and headers.
sub http2
{
	my ($class, %options) = @_;
	my $program = (grep { -x } '/usr/sbin/nghttpd', '/usr/bin/nghttpd')[0];
	my $certs = folder() . '/certs';
	my $root = folder() . '/htdocs';

	return unless $program;
	# The certificates are made by the other peers
	$class->http->stop unless -e ca();
	make_path($root);
	append_to_file("$root/record", "recorded\n");
	for my $try (1 .. 20)
	{
		my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
		my $port = $socket->sockport;
		my $log = folder() . '/log' . ++$serial;

		close($socket);
		my $self = $class->start($log, 'setpriv', '--pdeathsig', 'TERM', $program, '-v', '-a', '127.0.0.1', '-d', $root,
			$port, "$certs/good.key", "$certs/good.pem");
		$self->{root} = $root;
		$self->{ports} = { https => $port };
		for (1 .. 600)
		{
			last if waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid};
			return $self if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
			usleep(50_000);
		}
		$self->stop;
	}
	die "nghttpd did not start";
}

# Run a command with a pipe as its standard input, which ends it when we end
sub start
{
	my ($class, $log, @command) = @_;
	my $self = bless { log => $log, owner => $$, read => 0, events => [], ports => {} }, $class;

	pipe(my $in, $self->{in}) or die "pipe: $!";
	pipe($self->{out}, my $out) or die "pipe: $!";
	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0)
	{
		open(STDIN, '<&', $in) or POSIX::_exit(126);
		if ($command[0] eq $python)
		{
			open(STDOUT, '>&', $out) or POSIX::_exit(126);
		}
		else
		{
			open(STDOUT, '>', $log) or POSIX::_exit(126);
		}
		open(STDERR, '>', "$log.err") or POSIX::_exit(126);
		exec(@command) or POSIX::_exit(127);
	}
	return $self;
}

sub stop
{
	my ($self) = @_;

	return if !$self->{pid} || $self->{owner} != $$;
	# Not the status of the test, if this is its end
	local ($?, $!);
	kill('TERM', $self->{pid});
	close($self->{in});
	waitpid($self->{pid}, 0);
	$self->{pid} = undef;
	return;
}

sub DESTROY { $_[0]->stop; return; }

sub pid { return $_[0]{pid}; }

sub port
{
	my ($self, $name) = @_;

	return $self->{ports}{$name} // die "no port \"$name\"";
}

sub has_port { return defined $_[0]{ports}{ $_[1] }; }

sub url
{
	my ($self, $path, $port) = @_;

	# mail: url(port)
	return ($path =~ /^smtps/ ? 'smtps' : 'smtp') . '://127.0.0.1:' . $self->port($path)
	  if defined $self->{ports}{plain};
	$port //= defined $self->{ports}{http} ? 'http' : 'https';
	return ($port =~ /^https/ ? 'https' : 'http') . '://127.0.0.1:' . $self->port($port) . $path;
}

sub text { return slurp_file($_[0]{log}); }

# All events of a kind that came since the last clear(), or simply all
sub events
{
	my ($self, $kind) = @_;

	if (open(my $handle, '<:raw', $self->{log}))
	{
		seek($handle, $self->{read}, 0);
		while (defined(my $line = readline($handle)))
		{
			# the rest is still being written
			last if $line !~ /\n\z/;
			$self->{read} += length($line);
			my $event = decode_json($line);
			for my $name ('body', 'data')
			{
				$event->{$name} = decode_base64($event->{$name}) if defined $event->{$name};
			}
			push @{ $self->{events} }, $event;
		}
		close($handle);
	}
	return grep { !defined $kind || $_->{event} eq $kind } @{ $self->{events} };
}

sub clear
{
	my ($self) = @_;

	$self->events;
	$self->{events} = [];
	return;
}

sub requests
{
	my ($self, $path) = @_;

	return grep { !defined $path || $_->{path} eq $path } $self->events('request');
}

sub mails { return $_[0]->events('mail'); }

# Wait until the function gives at least n things
sub wait_for
{
	my ($n, $what, $function) = @_;
	my $until = time() + $PostgreSQL::Test::Utils::timeout_default;
	my @found = $function->();

	while (@found < $n && time() < $until)
	{
		usleep(20_000);
		@found = $function->();
	}
	local $Test::Builder::Level = $Test::Builder::Level + 2;
	cmp_ok(scalar(@found), '>=', $n, $what);
	return @found;
}

sub wait_for_requests
{
	my ($self, $n, $path, $what) = @_;

	return wait_for($n, $what // "$n requests" . (defined $path ? " of $path" : ''),
		sub { return $self->requests($path); });
}

sub wait_for_mails
{
	my ($self, $n, $what) = @_;

	return wait_for($n, $what // "$n mails", sub { return $self->mails; });
}

sub wait_for_events
{
	my ($self, $n, $kind, $what) = @_;

	return wait_for($n, $what // "$n events $kind", sub { return $self->events($kind); });
}

1;
