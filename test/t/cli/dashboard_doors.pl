# Who may come in to the dashboard: others' wrong tokens and passwords shut out nobody,
# requests that never end hold no place, two dashboards do not share a port, and a token
# that is in a file is shown nowhere.
use strict;
use warnings;

use Dashboard;
use DeferTest;
use IO::Select;
use IO::Socket::INET;
use IPC::Run;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'built without the dashboard' unless has_dashboard();

my $node = new_server('doors', 'max_connections = 60');
$node->safe_psql('postgres', q{
CREATE EXTENSION defer;
CREATE ROLE dash_user LOGIN PASSWORD 'right';
CREATE ROLE other_user LOGIN PASSWORD 'right';
GRANT USAGE ON SCHEMA defer TO dash_user, other_user});

# ------------------------------------------------------------------------
# Requests that never end
# ------------------------------------------------------------------------

my $dash = start_dashboard($node, []);

# As many connections as one likes, each with a request to which a byte is added now
# and then, until all of them are closed
sub drip
{
	my ($begin) = @_;
	my $pid = fork() // die "cannot fork: $!";

	return $pid if $pid > 0;
	local $SIG{PIPE} = 'IGNORE';
	my @sockets = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $dash->{port}) } 1 .. 100;
	my $open = IO::Select->new(grep { defined } @sockets);

	print {$_} $begin for $open->handles;
	$_->flush for $open->handles;
	while ($open->count > 0)
	{
		# an answer, or the end
		for my $socket ($open->can_read(0.5))
		{
			$open->remove($socket) unless sysread($socket, my $answer, 4096);
		}
		for my $socket ($open->handles)
		{
			$open->remove($socket) unless syswrite($socket, 'x');
		}
	}
	POSIX::_exit(0);
}

for my $case ([ 'a header', "GET / HTTP/1.1\r\nHost: 127.0.0.1:$dash->{port}\r\nX-Slow: " ],
	[ 'a line of the request', 'GET /' ],
	[ 'a body', "POST /login HTTP/1.1\r\nHost: 127.0.0.1:$dash->{port}\r\nContent-Length: 60000\r\n\r\n" ])
{
	my ($what, $begin) = @$case;
	my $pid = drip($begin);

	for (1 .. 20)
	{
		is(get($dash, '/login')->{status}, 200, "$what without end: the page is there for others");
	}
	waitpid($pid, 0);
	is($?, 0, "$what without end: each was ended");
	is(get($dash, '/login')->{status}, 200, "$what without end: the page is there afterwards");
}
login($dash, token => $dash->{token});
is(get($dash, '/')->{status}, 200, 'with a session, too');

# ------------------------------------------------------------------------
# Wrong tokens
# ------------------------------------------------------------------------

my $cookie = delete $dash->{cookie};
my @wrong = map { get($dash, '/metrics', Authorization => "Bearer guess $_")->{status} } 1 .. 12;
is($wrong[0], 401, 'metrics with a wrong token');
is($wrong[-1], 429, 'metrics with many wrong tokens');
is(get($dash, '/metrics', Authorization => "Bearer $dash->{token}")->{status}, 200, 'the right token still has metrics');
is(post($dash, '/login', { token => 'guess' })->{status}, 429, 'a wrong token does not log in');
login($dash, token => $dash->{token});
is(get($dash, '/')->{status}, 200, 'the right token still logs in');

# ------------------------------------------------------------------------
# Two on one port
# ------------------------------------------------------------------------

my ($out, $err) = ('', '');
IPC::Run::run([ 'defer', '-h', $node->host, '-p', $node->port, '-d', 'postgres', 'dashboard', '--http-port', $dash->{port} ],
	'<', \undef, '>', \$out, '2>', \$err);
is($? >> 8, 1, 'a second dashboard on the same port ends');
like($err, qr/could not listen on 127\.0\.0\.1, port $dash->{port}: Address already in use\nHINT:/, 'and says why');
is($out, '', 'and gives no address');
stop_dashboard($dash);
my $again = start_dashboard($node, [ '--http-port', $dash->{port} ]);
is($again->{port}, $dash->{port}, 'after the end of the first the port is free at once');
stop_dashboard($again);

# ------------------------------------------------------------------------
# A token in a file
# ------------------------------------------------------------------------

my $token = 'a-token-of-my-own-12345';
my $file = $node->basedir . '/token';
append_to_file($file, "$token\n");
$dash = start_dashboard($node, [ '--token-file', $file ]);
unlike($dash->{said}, qr/$token/, 'a token from a file is not told');
is($dash->{url}, "http://127.0.0.1:$dash->{port}/login", 'nor is it in the address');
is($dash->{token}, undef, 'nor a part of the JSON');
login($dash, token => $token);
stop_dashboard($dash);
{
	my ($said, $errors) = ('', '');
	my $handle = IPC::Run::start([ 'defer', '-h', $node->host, '-p', $node->port, '-d', 'postgres', 'dashboard', '--http-port', '0', '--token-file', $file ],
		'<', \undef, '>', \$said, '2>', \$errors, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	$handle->pump until $said =~ /Ctrl-C/ || !$handle->pumpable;
	$handle->signal('TERM');
	$handle->finish;
	unlike("$said$errors", qr/$token/, 'nor for people');
	like($said, qr/\Q$file\E/, 'but where it is');
}

# ------------------------------------------------------------------------
# Wrong passwords
# ------------------------------------------------------------------------

my $hba = $node->data_dir . '/pg_hba.conf';
my $rules = slurp_file($hba);
unlink $hba;
append_to_file($hba, "local all dash_user,other_user scram-sha-256\n$rules");
$node->reload;
until_ok($node, q{SELECT count(*) > 0 FROM pg_hba_file_rules WHERE 'dash_user' = ANY (user_name)}, 'passwords are needed');
{
	local %ENV = %ENV;
	delete $ENV{PGPASSWORD};
	$dash = start_dashboard($node, [ '--login', 'password' ]);

	sub metrics_as
	{
		my ($role, $password) = @_;

		return get($dash, '/metrics', Authorization => 'Basic ' . encode_base64("$role:$password", ''))->{status};
	}

	is(metrics_as('dash_user', 'wrong'), 401, 'metrics with a wrong password');
	is(metrics_as('nobody', 'wrong'), 401, 'metrics of no role');
	is(metrics_as('dash_user', 'right'), 200, 'metrics with the right one');
	@wrong = map { post($dash, '/login', { role => 'other_user', password => "guess $_" })->{status} } 1 .. 12;
	is($wrong[0], 403, 'a wrong password');
	is($wrong[-1], 429, 'many wrong passwords');
	is(post($dash, '/login', { role => 'other_user', password => 'right' })->{status}, 429, 'no more guesses for that role');
	login($dash, role => 'dash_user', password => 'right');
	is(metrics_as('dash_user', 'right'), 200, 'another role comes in');
	$node->stop;
	is(metrics_as('dash_user', 'right'), 503, 'metrics while the server is away');
	stop_dashboard($dash);
}

done_testing();
