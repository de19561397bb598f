/*
 * sql/src/functions_deliveries.sql
 *		Endpoints, HTTP requests, e-mails, messages to Slack.
 */

-- Whatever reaches the network needs a grant of its own: these are not for
-- PUBLIC.  They are written so that each name is one function, and GRANT EXECUTE
-- ON FUNCTION defer.http TO app is enough.  A parameter for values of several types
-- is anycompatible, not "any": a driver's parameter without a type is text then.

CREATE FUNCTION defer.endpoint(name text, kind text, url text DEFAULT NULL, headers jsonb DEFAULT NULL,
							   username text DEFAULT NULL, password text DEFAULT NULL,
							   secret text DEFAULT NULL, sender text DEFAULT NULL,
							   concurrency bigint DEFAULT NULL, rate text DEFAULT NULL,
							   rate_burst bigint DEFAULT NULL, reset boolean DEFAULT false) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_endpoint';
COMMENT ON FUNCTION defer.endpoint IS
	'makes an endpoint, an address with its credentials, or changes the one of yours of that name: what is given; NULL leaves as is. kind: http, slack or email. url: http(s)://, of a Slack webhook, or smtp(s)://. headers, username and password (HTTP: Basic), secret (HTTP: requests are signed with it as Standard Webhooks has it), sender (e-mail: From). concurrency: deliveries to it under way at the same time, of all roles; rate: deliveries to it that begin, such as 100/minute or none, with rate_burst at once; reset takes these three back, but for those that are given. Jobs carry the name only, and nobody can read the rest back. Takes effect when you commit';

CREATE FUNCTION defer.drop_endpoint(name text) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_drop_endpoint';
COMMENT ON FUNCTION defer.drop_endpoint(text) IS
	'removes an endpoint of yours, when you commit; deliveries that name it fail when they are due. False: there is none of that name';

CREATE FUNCTION defer.grant_endpoint(name text, role text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_grant_endpoint';
COMMENT ON FUNCTION defer.grant_endpoint(text, text) IS
	'lets a role and its members send with an endpoint of yours; "public" lets every role. The role''s name is taken as it is, without quotes. Takes effect when you commit';

CREATE FUNCTION defer.revoke_endpoint(name text, role text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_revoke_endpoint';
COMMENT ON FUNCTION defer.revoke_endpoint(text, text) IS
	'takes back what defer.grant_endpoint() gave; deliveries of that role that are not sent yet fail. No error if there is nothing to take. Takes effect when you commit';

CREATE FUNCTION defer.http(method text, url text, body anycompatible DEFAULT NULL, headers jsonb DEFAULT NULL,
							endpoint text DEFAULT NULL, timeout interval DEFAULT '30 s',
							connect_timeout interval DEFAULT '10 s', follow_redirects bigint DEFAULT 0,
							max_response bigint DEFAULT 262144,
	--@enqueue_options@
	) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_http';
COMMENT ON FUNCTION defer.http IS
	'enqueues an HTTP request and returns the job''s id; it is sent when you have committed, at least once, with a header Idempotency-Key that is the same each time. body: text, json, jsonb or bytea. headers: a JSON object. With an endpoint, url is what comes after its URL. max_response: bytes of the answer that are kept. Result: {"status", "headers", "body" or "base64"}. 2xx succeeds; 408, 425, 429, 5xx and network errors are tried again, after Retry-After if that is up to an hour; others fail at once. Further options as of defer.enqueue()';

CREATE FUNCTION defer.email(recipients anycompatible, subject text, body text DEFAULT NULL, html text DEFAULT NULL,
							cc text[] DEFAULT NULL, bcc text[] DEFAULT NULL, reply_to text DEFAULT NULL,
							sender text DEFAULT NULL, endpoint text DEFAULT NULL, timeout interval DEFAULT '60 s',
	--@enqueue_options@
	) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_email';
COMMENT ON FUNCTION defer.email IS
	'enqueues an e-mail and returns the job''s id; it is sent when you have committed, at least once, with a Message-ID that is the same each time. recipients: text or an array of text, name@example.com or Some Name <name@example.com>. body, html: one of them or both. By the server of the endpoint, or of defer.smtp_url; from sender, the endpoint''s or defer.smtp_from. It goes to all recipients or none. 5xx answers of the server fail at once, all else is tried again. Further options as of defer.enqueue()';

CREATE FUNCTION defer.slack(endpoint text, text text, blocks jsonb DEFAULT NULL, timeout interval DEFAULT '30 s',
	--@enqueue_options@
	) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_slack';
COMMENT ON FUNCTION defer.slack IS
	'enqueues a message to the Slack webhook of an endpoint and returns the job''s id; it is sent when you have committed, at least once. text: with Slack''s markup. blocks: a JSON array of blocks of Slack''s Block Kit; text is then what notifications show. Answers are treated as those of defer.http(). Further options as of defer.enqueue()';

CREATE FUNCTION defer.endpoint_address(url text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_endpoint_address';
COMMENT ON FUNCTION defer.endpoint_address(text) IS 'scheme and host of a URL; the rest may be a secret';
