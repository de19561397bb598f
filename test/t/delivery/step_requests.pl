# Steps that send a request and wait for its answer, without a worker.
use strict;
use warnings;

use DeferTest;
use Deliveries;
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $missing = Peers::missing('http');
plan skip_all => "$missing is not there" if $missing;

my $http = Peers->http(full => 1);
my $node = delivery_server('main', '');

$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA defer TO app;
	CREATE TABLE effect (what text);
	GRANT ALL ON effect TO app;
	CREATE PROCEDURE asks(url text, how text DEFAULT 'fail', INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.effect VALUES ('before');
		CALL defer.request('ask', 'POST', url, '{"a": 1}', '{"x-y": "z"}', NULL, how, answer);
		INSERT INTO public.effect VALUES ('after');
	END $$;
	CREATE PROCEDURE forms(url text, INOUT answer jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
	BEGIN
		CALL defer.request('3', 'GET', url);
		CALL defer.request('4', 'GET', url, answer);
		CALL defer.request('named', method => 'GET', url => url, response => answer);
	END $$});

sub outcome
{
	my ($procedure, $args, @as) = @_;
	my $id = $node->safe_psql('postgres', "SELECT defer.enqueue('$procedure', jsonb_build_array($args), max_attempts => 1)", @as);

	until_ok($node, "SELECT finished_at IS NOT NULL FROM defer.jobs WHERE id = $id", "$procedure $args ends");
	return $node->safe_psql('postgres', "SELECT concat_ws('|', state, result #>> '{answer,status}', result #>> '{answer,body}', error) FROM defer.jobs WHERE id = $id");
}

sub url { return quoted($http->url($_[0])); }

is(outcome('asks', url('/status/200?body=some%20text')), 'succeeded|200|some text', 'the answer is the result');
is($node->safe_psql('postgres', q{SELECT string_agg(what, ' ' ORDER BY what) FROM effect}), 'after before', 'each write once');
is($node->safe_psql('postgres', q{SELECT kind, state, awaits IS NOT NULL, result ->> 'status' FROM defer.steps}), 'request|done|t|200', 'the step');
is(scalar(() = $http->requests), 1, 'one request');
like(outcome('asks', url('/status/404')), qr/^failed\|job \d+, which the step waits for, failed: POST \S+: the server answered 404$/, 'another answer is an error');
like(outcome('asks', url('/status/404') . ", 'return'"), qr/^succeeded\|404/, 'or is returned');
is(outcome('forms', url('/status/201')), "succeeded|201|status 201\n", 'each form in each arity');
like(outcome('asks', url('/status/200'), extra_params => [ '-U', 'app' ]), qr/^failed\|permission denied for function http$/, 'a right to requests is needed');

# Steps of a workflow that are requests
my $url = $http->url('/status/200?body=');
my $workflow = $node->safe_psql('postgres', qq{
	SELECT defer.workflow('requests', jsonb_build_array(
		'{"name": "first", "http": {"method": "GET", "url": "${url}5"}}'::jsonb,
		'{"name": "second", "http": {"method": "POST", "url": {"\$input": "args.url"}, "body": {"n": {"\$input": "first.body"}}}}'::jsonb,
		'{"name": "each", "http": {"method": "GET", "url": {"\$input": "item.url"}, "headers": {"X-Tag": {"\$input": "first.body"}}}, "for_each": {"\$input": "args.all"}}'::jsonb,
		'{"name": "wrong", "http": {"method": "GET", "url": {"\$input": "second.body"}}, "on_failure": "skip"}'::jsonb),
		'{"url": "${url}6", "all": [{"url": "${url}7"}, {"url": "${url}8"}]}')});
until_ok($node, "SELECT state <> 'running' FROM defer.workflows WHERE id = $workflow", 'a workflow of requests ends');
is($node->safe_psql('postgres', "SELECT state, error FROM defer.workflows WHERE id = $workflow"), 'succeeded|', 'well');
is($node->safe_psql('postgres', "SELECT jsonb_path_query_array(result, '\$[*].body') FROM defer.workflow_steps WHERE workflow_id = $workflow AND name = 'each'"),
	'["7", "8"]', 'answers in the order of the elements');
is($node->safe_psql('postgres', "SELECT error FROM defer.workflow_steps WHERE workflow_id = $workflow AND name = 'wrong'"),
	'"url" is not a URL', 'what a reference comes to is checked');
is((grep { ($_->{body} // '') =~ /^\{"n": "5"\}$/ } $http->requests), 1, 'a result in the body');
is((grep { ($_->{headers}{'x-tag'} // '') eq '5' } $http->requests), 2, 'and in a header');

is($node->safe_psql('postgres', 'SELECT count(*) FROM defer.dependency WHERE open'), '0', 'nothing is left');

$node->stop;
done_testing();
