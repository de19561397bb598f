-- Deliveries: what is refused at the call, what a job carries, who may.
-- Nothing is sent here, whatever the server's settings are: the jobs are in a queue that
-- is paused; test/t has peers.
\set VERBOSITY default
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
DROP ROLE IF EXISTS delivery_app, delivery_other;
RESET client_min_messages;
CREATE ROLE delivery_app LOGIN;
CREATE ROLE delivery_other LOGIN;
GRANT USAGE ON SCHEMA defer TO delivery_app, delivery_other;

-- Nobody may without a grant of its own
SET ROLE delivery_app;
SELECT defer.http('GET', 'https://example.com/');
SELECT defer.email('a@example.com', 's', 'b');
SELECT defer.slack('team', 'hello');
SELECT defer.endpoint('team', 'slack', 'https://hooks.example.com/x');
RESET ROLE;
GRANT EXECUTE ON FUNCTION defer.http, defer.email, defer.slack, defer.endpoint TO delivery_app;

-- Endpoints
SET ROLE delivery_app;
SELECT defer.endpoint(NULL, 'http', 'https://example.com');
SELECT defer.endpoint('', 'http', 'https://example.com');
SELECT defer.endpoint(E'a\nb', 'http', 'https://example.com');
SELECT defer.endpoint('e', 'ftp', 'https://example.com');
SELECT defer.endpoint('e', 'http');
SELECT defer.endpoint('e', 'http', 'example.com');
SELECT defer.endpoint('e', 'http', 'file:///etc/passwd');
SELECT defer.endpoint('e', 'http', 'smtp://example.com');
SELECT defer.endpoint('e', 'email', 'https://example.com');
SELECT defer.endpoint('e', 'http', 'https://user:pw@example.com');
SELECT defer.endpoint('e', 'http', E'https://example.com/\r\nX: y');
SELECT defer.endpoint('e', 'http', 'https://example.com', headers => '[]');
SELECT defer.endpoint('e', 'http', 'https://example.com', headers => '{"a": 1}');
SELECT defer.endpoint('e', 'http', 'https://example.com', headers => '{"a b": "1"}');
SELECT defer.endpoint('e', 'http', 'https://example.com', headers => '{"Host": "x"}');
SELECT defer.endpoint('e', 'http', 'https://example.com', headers => '{"a": "1\r\nb: 2"}');
SELECT defer.endpoint('e', 'http', 'https://example.com', secret => 'short');
SELECT defer.endpoint('e', 'slack', 'https://example.com', password => 'x');
SELECT defer.endpoint('e', 'http', 'https://example.com', sender => 'a@example.com');
SELECT defer.endpoint('e', 'email', 'smtps://example.com', sender => 'nobody');
SELECT defer.endpoint('crm', 'http', 'https://crm.example.com/v1/', headers => '{"Authorization": "Bearer canary"}',
	secret => 'canary-canary-canary');
SELECT defer.endpoint('team', 'slack', 'https://hooks.example.com/services/canary');
SELECT defer.endpoint('post', 'email', 'smtps://mail.example.com:465', username => 'u', password => 'canary',
	sender => 'Shop <shop@example.com>');
SELECT defer.endpoint('team', 'http');
SELECT defer.endpoint('crm', 'http', concurrency => 0);
SELECT defer.endpoint('crm', 'http', concurrency => -5);
SELECT defer.endpoint('crm', 'http', rate => 'often');
SELECT defer.endpoint('crm', 'http', rate => '1/month');
SELECT defer.endpoint('crm', 'http', rate_burst => 0);
SELECT concurrency, rate, rate_burst, running FROM defer.endpoints WHERE name = 'crm';
SELECT defer.endpoint('crm', 'http', concurrency => 5, rate => '10/s', rate_burst => 3);
SELECT concurrency, rate, rate_burst, running, next_token FROM defer.endpoints WHERE name = 'crm';
SELECT defer.endpoint('crm', 'http', concurrency => 6, rate => 'none', headers => '{"Authorization": "Bearer canary"}');
SELECT concurrency, rate, rate_burst, running, next_token FROM defer.endpoints WHERE name = 'crm';
SELECT defer.endpoint('crm', 'http', rate => '7/minute', reset => true);
SELECT concurrency, rate, rate_burst, running, next_token FROM defer.endpoints WHERE name = 'crm';
SELECT defer.endpoint('crm', 'http', reset => true);
SELECT name, kind, address, owner, granted, sender, has_headers, has_username, has_password, has_secret
  FROM defer.endpoints ORDER BY name;
SELECT * FROM defer.endpoint;
RESET ROLE;
SET ROLE delivery_other;
SELECT count(*) FROM defer.endpoints;
SELECT defer.drop_endpoint('team');
SELECT defer.grant_endpoint('team', 'delivery_other');
RESET ROLE;

-- Held back from here on: the queue is paused, so that nothing is sent
SELECT defer.create_queue('held');
SELECT defer.grant_queue('held', 'public');
SELECT defer.pause_queue('held');

-- HTTP
SET ROLE delivery_app;
SELECT defer.http(NULL, 'https://example.com/');
SELECT defer.http('BREW', 'https://example.com/');
SELECT defer.http('GET', NULL);
SELECT defer.http('GET', 'gopher://example.com/');
SELECT defer.http('GET', '//example.com/');
SELECT defer.http('GET', 'https://user@example.com/');
SELECT defer.http('GET', 'https://example.com/', body => 42);
SELECT defer.http('GET', 'https://example.com/', headers => '"x"');
SELECT defer.http('GET', 'https://example.com/', headers => '{"Content-Length": "5"}');
SELECT defer.http('GET', 'https://example.com/', timeout => '-1 s');
SELECT defer.http('GET', 'https://example.com/', timeout => '2 hours');
SELECT defer.http('GET', 'https://example.com/', connect_timeout => '0');
SELECT defer.http('GET', 'https://example.com/', follow_redirects => 21);
SELECT defer.http('GET', 'https://example.com/', max_response => -1);
SELECT defer.http('GET', 'https://example.com/', endpoint => 'nowhere');
SELECT defer.http('GET', 'https://example.com/', endpoint => 'crm');
SELECT defer.http('GET', '/x/../../y', endpoint => 'crm');
SELECT defer.http('GET', '/%2E.', endpoint => 'crm');
SELECT defer.http('GET', '/x/.?y', endpoint => 'crm');
SELECT defer.http('GET', '/x', endpoint => 'crm', follow_redirects => 1);
SELECT defer.http('GET', '/x', endpoint => 'team');
SELECT defer.http('GET', 'https://example.com/', queue => 'none');
SELECT defer.http('get', 'https://example.com/a?b=c', queue => 'held') AS a \gset
SELECT defer.http('POST', 'https://example.com/', 'text', queue => 'held') AS b \gset
SELECT defer.http('POST', 'https://example.com/', body => '{"a": [1, 2]}'::jsonb, headers => '{"X-A": "b"}', timeout => '1.5 s', queue => 'held') AS c \gset
SELECT defer.http('PUT', 'https://example.com/', body => '\x0001ff'::bytea, follow_redirects => 3, max_response => 100, queue => 'held') AS d \gset
SELECT defer.http('POST', '/orders', body => '{ "a":1 }'::json, endpoint => 'crm', key => 'k', queue => 'held') AS e \gset
SELECT defer.http('POST', '/orders', endpoint => 'crm', key => 'k', queue => 'held') = :e AS same_key;
BEGIN;
SELECT defer.http('GET', '/.../a..b/..c?x=/../y', endpoint => 'crm', queue => 'held') IS NOT NULL AS dots_elsewhere;
ROLLBACK;

-- Slack, e-mail
SELECT defer.slack(NULL, 'x');
SELECT defer.slack('team', NULL);
SELECT defer.slack('crm', 'x');
SELECT defer.slack('team', 'x', '{}');
SELECT defer.slack('team', 'hello *you*', '[{"type": "divider"}]', queue => 'held') AS f \gset
SELECT defer.email('a@example.com', 's', 'b', endpoint => 'crm');
SELECT defer.email(NULL::text, 's', 'b', endpoint => 'post');
SELECT defer.email('nobody', 's', 'b', endpoint => 'post');
SELECT defer.email('a@b..example', 's', 'b', endpoint => 'post');
SELECT defer.email('a b@example.com', 's', 'b', endpoint => 'post');
SELECT defer.email('<a@example.com', 's', 'b', endpoint => 'post');
SELECT defer.email('a@exämple.com', 's', 'b', endpoint => 'post');
SELECT defer.email(E'a@example.com\r\nBcc: b@example.com', 's', 'b', endpoint => 'post');
SELECT defer.email(ARRAY['a@example.com', NULL], 's', 'b', endpoint => 'post');
SELECT defer.email('{}'::text[], 's', 'b', endpoint => 'post');
SELECT defer.email(42, 's', 'b', endpoint => 'post');
SELECT defer.email('a@example.com', E's\nBcc: b@example.com', 'b', endpoint => 'post');
SELECT defer.email('a@example.com', 's', endpoint => 'post');
SELECT defer.email('a@example.com', 's', 'b', sender => 'x', endpoint => 'post');
SELECT defer.email('Ärger & Söhne <a@example.com>', 'Grüße', 'b', html => '<b>b</b>', cc => '{c@example.com}',
	bcc => '{d@example.com}', reply_to => 'r@example.com', endpoint => 'post', queue => 'held') AS g \gset
SELECT defer.email(ARRAY['a@example.com', 'b@example.com']::varchar[], 's', 'b', endpoint => 'post', queue => 'held') AS h \gset
SELECT function, state, args, queue, key FROM defer.jobs WHERE queue = 'held' ORDER BY id;
SELECT defer.cancel(:a), defer.cancel(:b);
SELECT defer.rerun(:c) IS NOT NULL AS rerun;
RESET ROLE;

-- An endpoint that somebody else was granted
SET ROLE delivery_app;
SELECT defer.grant_endpoint('team', 'nobody_at_all');
SELECT defer.grant_endpoint('team', 'delivery_other');
SELECT defer.grant_endpoint('team', 'delivery_other');
RESET ROLE;
GRANT EXECUTE ON FUNCTION defer.slack, defer.http TO delivery_other;
SET ROLE delivery_other;
SELECT name, kind, address, granted FROM defer.endpoints;
SELECT defer.slack('team', 'from another', queue => 'held') IS NOT NULL AS sent;
SELECT defer.http('GET', '/', endpoint => 'crm', queue => 'held');
SELECT defer.endpoint('team', 'slack', 'https://evil.example.com/');
SELECT count(*) AS jobs_of_others FROM defer.jobs WHERE function = 'defer.http';
RESET ROLE;
SET ROLE delivery_app;
SELECT defer.revoke_endpoint('team', 'delivery_other');
SELECT granted FROM defer.endpoints WHERE name = 'team';
RESET ROLE;

-- Settings of deliveries belong to the administrator
SET ROLE delivery_app;
SELECT defer.configure('defer.http', concurrency => 1);
RESET ROLE;
SELECT defer.configure('defer.http', concurrency => 7, max_attempts => 3);
SELECT function, concurrency, max_attempts FROM defer.functions WHERE function = 'defer.http';
SELECT DISTINCT max_attempts FROM defer.jobs WHERE function = 'defer.http' AND queue = 'held';
SELECT defer.configure('defer.http', reset => true);

-- A setting that cannot be read is not taken
ALTER SYSTEM SET defer.http_allow = '10.0.0.0/33';
ALTER SYSTEM SET defer.http_allow = 'localhost';
ALTER SYSTEM SET defer.smtp_url = 'mail.example.com';
ALTER SYSTEM SET defer.smtp_from = 'nobody';

SELECT count(defer.cancel(id)) > 0 AS cancelled FROM defer.jobs WHERE queue = 'held' AND state NOT IN ('cancelled', 'failed');
SELECT defer.drop_endpoint(name) FROM defer.endpoints ORDER BY name;
SELECT defer.drop_endpoint('team');
SELECT defer.resume_queue('held');
SELECT defer.drop_queue('held');
REVOKE USAGE ON SCHEMA defer FROM delivery_app, delivery_other;
REVOKE EXECUTE ON FUNCTION defer.http, defer.email, defer.slack, defer.endpoint FROM delivery_app, delivery_other;
DROP ROLE delivery_app, delivery_other;
