# What the tests of the dashboard share: start one, and speak to it as a browser does.
package Dashboard;
use strict;
use warnings;

use Exporter 'import';
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(has_dashboard start_dashboard stop_dashboard get whole post login act);

my $http = HTTP::Tiny->new(max_redirect => 0, timeout => 60);

sub has_dashboard { return system('defer help 2>/dev/null | grep -qw dashboard') == 0; }

# Start one for a server; returns what it tells, with the handle and the text that it wrote
sub start_dashboard
{
	my ($node, $options, %more) = @_;
	my ($out, $err) = ('', '');
	my @command = ('defer', '-h', $node->host, '-p', $node->port, '-d', $more{database} // 'postgres', '--json',
		'dashboard', '--http-port', '0', @$options);
	local $ENV{PGUSER} = $more{user} if $more{user};
	my $handle = IPC::Run::start(\@command, '<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	$handle->pump until $out =~ /\n/ || !$handle->pumpable;
	like($out, qr/^\{.*\}\n$/, 'it says where it is') or BAIL_OUT("the dashboard did not start: $err");
	return { %{ decode_json($out) }, handle => $handle, said => $out };
}

sub stop_dashboard
{
	my ($dash) = @_;

	$dash->{handle}->signal('TERM');
	$dash->{handle}->finish;
	is($dash->{handle}->result(0), 0, 'SIGTERM ends it');
	return;
}

sub get
{
	my ($dash, $path, %headers) = @_;

	return $http->get("http://127.0.0.1:$dash->{port}$path",
		{ headers => { ($dash->{cookie} ? (Cookie => $dash->{cookie}) : ()), %headers } });
}

# The text of a page once all parts of it are there: on a busy machine a query may take too long
sub whole
{
	my ($dash, $path) = @_;
	my $content;

	for (1 .. 20)
	{
		$content = get($dash, $path)->{content};
		last if $content !~ /took too long/;
	}
	return $content;
}

# A form, or the text of a body; headers that are undef are left out
sub post
{
	my ($dash, $path, $form, %headers) = @_;
	my %all = (Origin => "http://127.0.0.1:$dash->{port}",
		'Content-Type' => 'application/x-www-form-urlencoded',
		($dash->{cookie} ? (Cookie => $dash->{cookie}) : ()), %headers);

	delete $all{$_} for grep { !defined $all{$_} } keys %all;
	return $http->post("http://127.0.0.1:$dash->{port}$path",
		{ headers => \%all, content => ref $form ? $http->www_form_urlencode($form) : $form });
}

# Log in, and keep the cookie and the token of the forms
sub login
{
	my ($dash, %form) = @_;
	my $answer = post($dash, '/login', \%form);

	is($answer->{status}, 303, 'login');
	($dash->{cookie}) = ($answer->{headers}{'set-cookie'} // '') =~ /^([^;]*)/;
	($dash->{csrf}) = get($dash, '/')->{content} =~ /name="csrf" value="([0-9a-f]{32})"/;
	return $answer;
}

# Do what a button of a page does; returns the page that follows
sub act
{
	my ($dash, $what, %form) = @_;
	my $done = post($dash, "/do/$what", { csrf => $dash->{csrf}, back => '/jobs', %form });

	is($done->{status}, 303, "$what: back to a page");
	return get($dash, $done->{headers}{location})->{content};
}

1;
