/* sql/defer.sql: the single source of the extension's SQL objects.
 *
 * Order: tables, inside helpers, enqueue, control, settings, schedules, views,
 * rights.  Everything is schema-qualified and nothing is OR REPLACE or IF NOT
 * EXISTS, so that an object planted before CREATE EXTENSION makes it fail. */

SET LOCAL search_path TO pg_catalog, pg_temp;

-- Not by the control file's "schema": that would take over a schema that
-- somebody else made and owns.
CREATE SCHEMA defer;
COMMENT ON SCHEMA defer IS 'background jobs and cron: defer';

------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------

-- This installation: made anew by CREATE EXTENSION, never dumped.  A dump, a
-- template copy, carries defer.origin with another UUID or this row with
-- another database's OID; either keeps everything still until activate().
CREATE TABLE defer.installation (
	id			uuid NOT NULL PRIMARY KEY,
	database	oid NOT NULL,
	created_at	timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE defer.installation IS
	'identity of this installation; not dumped, so that a restored copy is recognised';

CREATE TABLE defer.origin (
	id			uuid NOT NULL PRIMARY KEY
);
COMMENT ON TABLE defer.origin IS
	'installations that the data in these tables were made under; dumped with them';

-- Jobs that are not finished.  The claim index does not contain "claim", so
-- that taking a job is a HOT update; fillfactor leaves room for it.
CREATE SEQUENCE defer.job_id_seq AS bigint;
COMMENT ON SEQUENCE defer.job_id_seq IS 'ids of jobs';
CREATE SEQUENCE defer.claim_id_seq AS bigint CACHE 1;
COMMENT ON SEQUENCE defer.claim_id_seq IS 'ids of claims';

CREATE TABLE defer.job (
	id				bigint NOT NULL,
	owner			regrole NOT NULL,
	limits_key			bigint NOT NULL DEFAULT 0,
	priority		integer NOT NULL DEFAULT 0,
	run_at			timestamptz NOT NULL,
	enqueued_at		timestamptz NOT NULL,
	claim			bigint,
	attempt			integer NOT NULL DEFAULT 0,
	crashes			smallint NOT NULL DEFAULT 0,
	suspect			smallint NOT NULL DEFAULT 0,
	conflicts		smallint NOT NULL DEFAULT 0,
	kind			"char" NOT NULL,
	parent_id		bigint,
	schedule_id		bigint,
	scheduled_for	timestamptz,
	discard_at		timestamptz,
	function		text NOT NULL,
	queue			text NOT NULL,
	args			jsonb,
	key				text,
	metadata		jsonb,
	options			jsonb,
	sqlstate		text,
	error			text,
	CONSTRAINT job_pkey PRIMARY KEY (id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02,
		autovacuum_vacuum_threshold = 20000, autovacuum_analyze_scale_factor = 0.2,
		autovacuum_analyze_threshold = 20000);
CREATE INDEX job_claim_idx ON defer.job (owner, limits_key, priority, run_at, id);
CREATE UNIQUE INDEX job_key_idx ON defer.job (owner, function, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX job_schedule_idx ON defer.job (schedule_id, scheduled_for) WHERE schedule_id IS NOT NULL;

COMMENT ON TABLE defer.job IS 'jobs that are not finished; look at defer.jobs instead';
COMMENT ON COLUMN defer.job.limits_key IS
	'0, or the concurrency limits the job is under: number of the limited function << 32 | number of the limited queue; of deliveries the same with the sign bit set';
COMMENT ON COLUMN defer.job.claim IS
	'the claim (row of defer.claim) of the worker that has taken the job; NULL when it is free to be taken';
COMMENT ON COLUMN defer.job.attempt IS 'attempts that have ended without success and count';
COMMENT ON COLUMN defer.job.crashes IS 'attempts known to have ended with the process or the server';
COMMENT ON COLUMN defer.job.suspect IS
	'0; 1: may have been running when the server crashed, taken alone; 2: did so twice in company, runs while no other such job does';
COMMENT ON COLUMN defer.job.conflicts IS 'retries after serialization failures and deadlocks, which are not attempts';
COMMENT ON COLUMN defer.job.kind IS 'f function, p procedure, c command; deliveries: h HTTP, e e-mail, s Slack';
COMMENT ON COLUMN defer.job.options IS 'the job''s own retry policy and max_duration; times in microseconds';
COMMENT ON COLUMN defer.job.sqlstate IS 'SQLSTATE of the last attempt''s error';
COMMENT ON COLUMN defer.job.error IS 'message of the last attempt''s error';

-- One row for each batch a worker has taken, so that recovery after a crash
-- reads what was taken and not the whole of defer.job.
CREATE TABLE defer.claim (
	id			bigint NOT NULL PRIMARY KEY,
	claimed_at	timestamptz NOT NULL,
	jobs		bigint[] NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE defer.claim IS 'batches of jobs taken by workers';

-- Partitions have indexes of their own, and not of the partitioned tables: a dump
-- attaches a partition and then makes its indexes, which would be there already.
CREATE TABLE defer.job_history (
	id				bigint NOT NULL,
	owner			regrole NOT NULL,
	state			"char" NOT NULL,
	kind			"char" NOT NULL,
	priority		integer NOT NULL,
	attempt			integer NOT NULL,
	run_at			timestamptz NOT NULL,
	enqueued_at		timestamptz NOT NULL,
	started_at		timestamptz,
	finished_at		timestamptz NOT NULL,
	parent_id		bigint,
	schedule_id		bigint,
	scheduled_for	timestamptz,
	discard_at		timestamptz,
	function		text NOT NULL,
	queue			text NOT NULL,
	args			jsonb,
	key				text,
	metadata		jsonb,
	options			jsonb,
	result			jsonb,
	sqlstate		text,
	error			text
) PARTITION BY RANGE (finished_at);
COMMENT ON TABLE defer.job_history IS 'finished jobs, a partition for each UTC day of finish; look at defer.jobs instead';
COMMENT ON COLUMN defer.job_history.state IS 's succeeded, f failed, c cancelled, d discarded';
COMMENT ON COLUMN defer.job_history.attempt IS 'attempts that were started';
CREATE TABLE defer.job_history_default PARTITION OF defer.job_history DEFAULT;
CREATE INDEX job_history_default_id_idx ON defer.job_history_default (id);
CREATE INDEX job_history_default_parent_idx ON defer.job_history_default (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX job_history_default_schedule_idx ON defer.job_history_default (schedule_id, id) WHERE schedule_id IS NOT NULL;
CREATE INDEX job_history_default_trouble_idx ON defer.job_history_default (id) WHERE state OPERATOR(pg_catalog.<>) 's' OR error IS NOT NULL;
COMMENT ON TABLE defer.job_history_default IS 'finished jobs of days that have no partition yet';

-- How many jobs have ended, for views that must not read the history: see table/rollup.c.
-- first_id and last_id say where in the history jobs of a function are.
CREATE TABLE defer.job_rollup (
	hour			timestamptz NOT NULL,
	owner			regrole NOT NULL,
	function		text NOT NULL,
	queue			text NOT NULL,
	succeeded		bigint NOT NULL,
	failed			bigint NOT NULL,
	cancelled		bigint NOT NULL,
	discarded		bigint NOT NULL,
	begun			bigint NOT NULL,
	microseconds	bigint NOT NULL,
	durations		bigint[] NOT NULL,
	first_id		bigint NOT NULL,
	last_id			bigint NOT NULL,
	CONSTRAINT job_rollup_pkey PRIMARY KEY (hour, owner, function, queue)
);
CREATE INDEX job_rollup_function_idx ON defer.job_rollup (function, last_id);
COMMENT ON TABLE defer.job_rollup IS
	'finished jobs, counted by hour of finish, owner, function and queue; look at defer.functions and defer.queues instead';
COMMENT ON COLUMN defer.job_rollup.begun IS 'those with a duration: the others ended before their first attempt';
COMMENT ON COLUMN defer.job_rollup.microseconds IS 'sum of the durations of their last attempts';
COMMENT ON COLUMN defer.job_rollup.durations IS 'pairs of a class of durations and the number of jobs in it: see table/duration_histogram.c';
COMMENT ON COLUMN defer.job_rollup.first_id IS 'lowest id among the jobs that are counted';
COMMENT ON COLUMN defer.job_rollup.last_id IS 'highest id among the jobs that are counted';

CREATE TABLE defer.job_rollup_new (
	hour			timestamptz NOT NULL,
	owner			regrole NOT NULL,
	functions		text[] NOT NULL,
	queues			text[] NOT NULL,
	states			"char"[] NOT NULL,
	classes			smallint[] NOT NULL,
	jobs			integer[] NOT NULL,
	microseconds	bigint[] NOT NULL,
	first_ids		bigint[] NOT NULL,
	last_ids		bigint[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, toast_tuple_target = 8160);
COMMENT ON TABLE defer.job_rollup_new IS
	'counts that the scheduler has not added to defer.job_rollup yet; a row is what one transaction has ended';

CREATE TABLE defer.attempt (
	job_id		bigint NOT NULL,
	owner		regrole NOT NULL,
	attempt		integer NOT NULL,
	started_at	timestamptz,
	finished_at	timestamptz NOT NULL,
	outcome		text NOT NULL,
	sqlstate	text,
	message		text,
	detail		text,
	hint		text,
	context		text,
	retry_at	timestamptz
) PARTITION BY RANGE (finished_at);
COMMENT ON TABLE defer.attempt IS 'attempts that did not succeed; look at defer.attempts instead';
COMMENT ON COLUMN defer.attempt.outcome IS
	'failed, timed_out, crashed, conflict (class 40, retried at once), snoozed, cancelled, interrupted (the server or the process was stopped)';
CREATE TABLE defer.attempt_default PARTITION OF defer.attempt DEFAULT;
CREATE INDEX attempt_default_job_id_idx ON defer.attempt_default (job_id);
COMMENT ON TABLE defer.attempt_default IS 'attempts of days that have no partition yet';

CREATE TABLE defer.log (
	job_id		bigint NOT NULL,
	owner		regrole NOT NULL,
	attempt		integer NOT NULL,
	at			timestamptz NOT NULL,
	level		text NOT NULL,
	message		text NOT NULL
) PARTITION BY RANGE (at);
COMMENT ON TABLE defer.log IS 'what jobs said; look at defer.logs instead';
CREATE TABLE defer.log_default PARTITION OF defer.log DEFAULT;
CREATE INDEX log_default_job_id_idx ON defer.log_default (job_id);
COMMENT ON TABLE defer.log_default IS 'messages of days that have no partition yet';

CREATE SEQUENCE defer.function_id_seq AS integer;
COMMENT ON SEQUENCE defer.function_id_seq IS 'numbers of configured functions, part of a limits_key';
CREATE TABLE defer.function (
	id					integer NOT NULL DEFAULT pg_catalog.nextval('defer.function_id_seq'::pg_catalog.regclass),
	signature			text NOT NULL,
	queue				text,
	priority			integer,
	max_attempts		integer,
	initial_interval	interval,
	multiplier			double precision,
	max_interval		interval,
	randomization		double precision,
	max_duration		interval,
	discard_after		interval,
	concurrency			integer,
	at_limit			text,
	paused				boolean NOT NULL DEFAULT false,
	CONSTRAINT function_pkey PRIMARY KEY (signature),
	CONSTRAINT function_id_key UNIQUE (id)
);
COMMENT ON TABLE defer.function IS 'settings of functions, made by defer.configure and defer.pause; NULL is the default';

CREATE SEQUENCE defer.queue_id_seq AS integer;
COMMENT ON SEQUENCE defer.queue_id_seq IS 'numbers of queues, part of a limits_key';
CREATE TABLE defer.queue (
	id					integer NOT NULL DEFAULT pg_catalog.nextval('defer.queue_id_seq'::pg_catalog.regclass),
	name				text NOT NULL,
	owner				regrole NOT NULL,
	granted				regrole[] NOT NULL DEFAULT '{}',
	priority			integer,
	max_attempts		integer,
	initial_interval	interval,
	multiplier			double precision,
	max_interval		interval,
	randomization		double precision,
	max_duration		interval,
	discard_after		interval,
	concurrency			integer,
	paused				boolean NOT NULL DEFAULT false,
	CONSTRAINT queue_pkey PRIMARY KEY (name),
	CONSTRAINT queue_id_key UNIQUE (id)
);
COMMENT ON TABLE defer.queue IS 'queues other than "default", and the settings of "default" where it has any';
COMMENT ON COLUMN defer.queue.granted IS 'roles that may use the queue besides its owner; 0 stands for everybody';

CREATE SEQUENCE defer.schedule_id_seq AS bigint;
COMMENT ON SEQUENCE defer.schedule_id_seq IS 'ids of schedules';
CREATE TABLE defer.schedule (
	id				bigint NOT NULL DEFAULT pg_catalog.nextval('defer.schedule_id_seq'::pg_catalog.regclass),
	name			text NOT NULL,
	owner			regrole NOT NULL,
	kind			"char" NOT NULL,
	function		text NOT NULL,
	command			text,
	schedule		text NOT NULL,
	timezone		text NOT NULL,
	overlap			text NOT NULL,
	catch_up		text NOT NULL,
	catch_up_window	interval NOT NULL,
	jitter			interval NOT NULL,
	active			boolean NOT NULL,
	allow_direct	boolean NOT NULL,
	queue			text,
	priority		integer,
	next_tick		timestamptz,
	next_run_at		timestamptz,
	last_tick		timestamptz,
	last_run_at		timestamptz,
	last_error		text,
	created_at		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT schedule_pkey PRIMARY KEY (id),
	CONSTRAINT schedule_owner_name_key UNIQUE (owner, name)
);
CREATE INDEX schedule_due_idx ON defer.schedule (next_run_at) WHERE active AND last_error IS NULL;
CREATE INDEX schedule_function_idx ON defer.schedule (function);
COMMENT ON TABLE defer.schedule IS 'schedules; look at defer.schedules instead';
COMMENT ON COLUMN defer.schedule.function IS 'signature of the function, or defer.command';
COMMENT ON COLUMN defer.schedule.queue IS 'NULL: as the settings of the function say';
COMMENT ON COLUMN defer.schedule.priority IS 'NULL: as the settings of the function or the queue say';
COMMENT ON COLUMN defer.schedule.next_tick IS 'the next time the schedule names';
COMMENT ON COLUMN defer.schedule.next_run_at IS 'next_tick and the schedule''s jitter: when its job is enqueued';
COMMENT ON COLUMN defer.schedule.last_error IS 'why the schedule does not go on, when it does not';

CREATE TABLE defer.endpoint (
	name		text NOT NULL,
	owner		regrole NOT NULL,
	granted		regrole[] NOT NULL DEFAULT '{}',
	kind		text NOT NULL,
	url			text NOT NULL,
	headers		jsonb,
	username	text,
	password	text,
	secret		text,
	sender		text,
	created_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT endpoint_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE defer.endpoint IS 'addresses and credentials of deliveries; look at defer.endpoints instead';
COMMENT ON COLUMN defer.endpoint.granted IS 'roles that may use the endpoint besides its owner; 0 stands for everybody';

CREATE SEQUENCE defer.alert_id_seq AS integer;
COMMENT ON SEQUENCE defer.alert_id_seq IS 'numbers of alerts';
CREATE TABLE defer.alert (
	id				integer NOT NULL DEFAULT pg_catalog.nextval('defer.alert_id_seq'::pg_catalog.regclass),
	name			text NOT NULL,
	owner			regrole NOT NULL,
	endpoint		text,
	recipients		text[],
	function		text,
	states			text[] NOT NULL,
	group_window	interval NOT NULL,
	recovered		boolean NOT NULL,
	show_args		boolean NOT NULL,
	schedules		boolean NOT NULL,
	backlog			interval,
	workers			boolean NOT NULL,
	last_sent_at	timestamptz,
	created_at		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT alert_pkey PRIMARY KEY (id),
	CONSTRAINT alert_owner_name_key UNIQUE (owner, name)
);
COMMENT ON TABLE defer.alert IS 'rules for alerts; look at defer.alerts instead';
COMMENT ON COLUMN defer.alert.function IS 'signature, or defer.http and the like; NULL: all';

-- What is to be told: written in the transaction that ends a job, deleted in the
-- one that enqueues the message.
CREATE TABLE defer.alert_event (
	alert_id	integer NOT NULL,
	kind		"char" NOT NULL,
	subject		text NOT NULL,
	job_id		bigint,
	at			timestamptz NOT NULL,
	message		text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE defer.alert_event IS 'what alerts have not told yet';
COMMENT ON COLUMN defer.alert_event.kind IS
	'final state as in defer.job_history, or k tick that did not run, b backlog, w no worker, r recovered';

CREATE TABLE defer.alert_failing (
	alert_id	integer NOT NULL,
	subject		text NOT NULL,
	since		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT alert_failing_pkey PRIMARY KEY (alert_id, subject)
);
COMMENT ON TABLE defer.alert_failing IS 'what alerts have told of and has not recovered';

-- What acts as a role, or has its secrets, is left out when the role is gone: it
-- would be dumped with its OID, which is another role's where it is restored.
SELECT pg_catalog.pg_extension_config_dump('defer.origin', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.job_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.claim', '');
SELECT pg_catalog.pg_extension_config_dump('defer.claim_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job_history_default', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job_rollup', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job_rollup_new', '');
SELECT pg_catalog.pg_extension_config_dump('defer.attempt_default', '');
SELECT pg_catalog.pg_extension_config_dump('defer.log_default', '');
SELECT pg_catalog.pg_extension_config_dump('defer.function', '');
SELECT pg_catalog.pg_extension_config_dump('defer.function_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.queue', '');
SELECT pg_catalog.pg_extension_config_dump('defer.queue_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.endpoint',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.alert',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.alert_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.schedule',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.schedule_id_seq', '');

INSERT INTO defer.installation (id, database)
	SELECT pg_catalog.gen_random_uuid(), d.oid
	  FROM pg_catalog.pg_database d
	 WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database();
INSERT INTO defer.origin (id) SELECT i.id FROM defer.installation i;

------------------------------------------------------------------------------
-- Inside
------------------------------------------------------------------------------

------------------------------------------------------------------------------
-- Enqueue
------------------------------------------------------------------------------

CREATE FUNCTION defer.enqueue(function text, args jsonb DEFAULT NULL,
							  run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL,
							  queue text DEFAULT NULL, priority integer DEFAULT NULL, key text DEFAULT NULL,
							  discard_after interval DEFAULT NULL, metadata jsonb DEFAULT NULL,
							  max_attempts integer DEFAULT NULL, initial_interval interval DEFAULT NULL,
							  multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
							  randomization double precision DEFAULT NULL,
							  max_duration interval DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_enqueue';
COMMENT ON FUNCTION defer.enqueue(text, jsonb, timestamptz, interval, text, integer, text, interval, jsonb,
	integer, interval, double precision, interval, double precision, interval) IS
	'enqueues a job that runs the function or procedure as the current role, and returns its id; it can begin when you have committed. args: a JSON array by position or object by name. Errors: no such function, or several; no right to execute it; arguments that it does not take or that do not convert; it is scheduled; no such queue, or no right to it; an option out of range. run_at in the past is now; discard_after counts from when the job may begin; metadata is a JSON object; a key has at most 1000 bytes. With a key that an unfinished job of yours of that function has, nothing is enqueued and that job''s id is returned';

CREATE FUNCTION defer.later(function text, VARIADIC args "any") RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_later';
COMMENT ON FUNCTION defer.later(text, "any") IS
	'enqueues a job as defer.enqueue() does, with typed arguments by position, which also tell overloaded functions apart and become values of the parameters'' types now, as in a call: SELECT defer.later(''send_invoice'', 42, ''paper'')';
CREATE FUNCTION defer.later(function text) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_later';
COMMENT ON FUNCTION defer.later(text) IS
	'the same for a function without arguments';

CREATE FUNCTION defer.command(sql text, run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL,
							  queue text DEFAULT NULL, priority integer DEFAULT NULL, key text DEFAULT NULL,
							  discard_after interval DEFAULT NULL, metadata jsonb DEFAULT NULL,
							  max_attempts integer DEFAULT NULL, initial_interval interval DEFAULT NULL,
							  multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
							  randomization double precision DEFAULT NULL,
							  max_duration interval DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_command';
COMMENT ON FUNCTION defer.command(text, timestamptz, interval, text, integer, text, interval, jsonb,
	integer, interval, double precision, interval, double precision, interval) IS
	'enqueues a job that runs one SQL statement of any kind, VACUUM and CREATE INDEX CONCURRENTLY included, with the options of defer.enqueue(). A statement that cannot be rolled back may be run again after a crash. Errors: it does not parse, is more than one, or cannot be run without a client';

------------------------------------------------------------------------------
-- Deliveries
------------------------------------------------------------------------------

-- Whatever reaches the network needs a grant of its own: these are not for
-- PUBLIC.  They are written so that each name is one function, and GRANT EXECUTE
-- ON FUNCTION defer.http TO app is enough.

CREATE FUNCTION defer.endpoint(name text, kind text, url text DEFAULT NULL, headers jsonb DEFAULT NULL,
							   username text DEFAULT NULL, password text DEFAULT NULL,
							   secret text DEFAULT NULL, sender text DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_endpoint';
COMMENT ON FUNCTION defer.endpoint(text, text, text, jsonb, text, text, text, text) IS
	'makes an endpoint, an address with its credentials, or changes the one of yours of that name: what is given; NULL leaves as is. kind: http, slack or email. url: http(s)://, of a Slack webhook, or smtp(s)://. headers, username and password (HTTP: Basic), secret (HTTP: requests are signed with it as Standard Webhooks has it), sender (e-mail: From). Jobs carry the name only, and nobody can read the rest back. Takes effect when you commit';

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

CREATE FUNCTION defer.http(method text, url text, body "any" DEFAULT NULL, headers jsonb DEFAULT NULL,
							endpoint text DEFAULT NULL, timeout interval DEFAULT '30 s',
							connect_timeout interval DEFAULT '10 s', follow_redirects integer DEFAULT 0,
							max_response integer DEFAULT 262144,
							run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL,
							queue text DEFAULT NULL, priority integer DEFAULT NULL, key text DEFAULT NULL,
							discard_after interval DEFAULT NULL, metadata jsonb DEFAULT NULL,
							max_attempts integer DEFAULT NULL, initial_interval interval DEFAULT NULL,
							multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
							randomization double precision DEFAULT NULL,
							max_duration interval DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_http';
COMMENT ON FUNCTION defer.http(text, text, "any", jsonb, text, interval, interval, integer, integer,
	timestamptz, interval, text, integer, text, interval,
	jsonb, integer, interval, double precision, interval, double precision, interval) IS
	'enqueues an HTTP request and returns the job''s id; it is sent when you have committed, at least once, with a header Idempotency-Key that is the same each time. body: text, json, jsonb or bytea. headers: a JSON object. With an endpoint, url is what comes after its URL. max_response: bytes of the answer that are kept. Result: {"status", "headers", "body" or "base64"}. 2xx succeeds; 408, 425, 429, 5xx and network errors are tried again, after Retry-After if that is up to an hour; others fail at once. Further options as of defer.enqueue()';

CREATE FUNCTION defer.email(recipients "any", subject text, body text DEFAULT NULL, html text DEFAULT NULL,
							cc text[] DEFAULT NULL, bcc text[] DEFAULT NULL, reply_to text DEFAULT NULL,
							sender text DEFAULT NULL, endpoint text DEFAULT NULL, timeout interval DEFAULT '60 s',
							run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL,
							queue text DEFAULT NULL, priority integer DEFAULT NULL, key text DEFAULT NULL,
							discard_after interval DEFAULT NULL, metadata jsonb DEFAULT NULL,
							max_attempts integer DEFAULT NULL, initial_interval interval DEFAULT NULL,
							multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
							randomization double precision DEFAULT NULL,
							max_duration interval DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_email';
COMMENT ON FUNCTION defer.email("any", text, text, text, text[], text[], text, text, text, interval,
	timestamptz, interval, text, integer, text, interval,
	jsonb, integer, interval, double precision, interval, double precision, interval) IS
	'enqueues an e-mail and returns the job''s id; it is sent when you have committed, at least once, with a Message-ID that is the same each time. recipients: text or an array of text, name@example.com or Some Name <name@example.com>. body, html: one of them or both. By the server of the endpoint, or of defer.smtp_url; from sender, the endpoint''s or defer.smtp_from. It goes to all recipients or none. 5xx answers of the server fail at once, all else is tried again. Further options as of defer.enqueue()';

CREATE FUNCTION defer.slack(endpoint text, text text, blocks jsonb DEFAULT NULL, timeout interval DEFAULT '30 s',
							run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL,
							queue text DEFAULT NULL, priority integer DEFAULT NULL, key text DEFAULT NULL,
							discard_after interval DEFAULT NULL, metadata jsonb DEFAULT NULL,
							max_attempts integer DEFAULT NULL, initial_interval interval DEFAULT NULL,
							multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
							randomization double precision DEFAULT NULL,
							max_duration interval DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_slack';
COMMENT ON FUNCTION defer.slack(text, text, jsonb, interval,
	timestamptz, interval, text, integer, text, interval,
	jsonb, integer, interval, double precision, interval, double precision, interval) IS
	'enqueues a message to the Slack webhook of an endpoint and returns the job''s id; it is sent when you have committed, at least once. text: with Slack''s markup. blocks: a JSON array of blocks of Slack''s Block Kit; text is then what notifications show. Answers are treated as those of defer.http(). Further options as of defer.enqueue()';

CREATE FUNCTION defer.alert(name text, endpoint text DEFAULT NULL, on_states text[] DEFAULT '{failed}',
							function text DEFAULT NULL, group_window interval DEFAULT '1 min',
							recipients text[] DEFAULT NULL, recovered boolean DEFAULT true,
							show_args boolean DEFAULT true, schedules boolean DEFAULT false,
							backlog interval DEFAULT NULL, workers boolean DEFAULT false) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_alert';
COMMENT ON FUNCTION defer.alert(text, text, text[], text, interval, text[], boolean, boolean, boolean, interval, boolean) IS
	'makes a rule that tells of jobs, yours and those of roles you are a member of, or replaces the one of yours of that name. endpoint: where messages go; or e-mail by defer.smtp_url to recipients. on_states: final states to tell of. function: of that only. group_window: what happens within it after the first event, up to 1 day, is one message. recovered: also tell when a function succeeds again. show_args: arguments of up to five jobs are in the message. schedules: ticks that did not run, too. backlog: also when a ready job has waited so long, at least 1 second. workers: also when no background worker is free. Takes effect when you commit';

CREATE FUNCTION defer.drop_alert(name text) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_drop_alert';
COMMENT ON FUNCTION defer.drop_alert(text) IS
	'removes the alert of that name, yours or else that of a role that you are a member of, with what it has not told yet, when you commit. False: there is none. Error if several of those roles have one';

CREATE FUNCTION defer.endpoint_address(url text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_endpoint_address';
COMMENT ON FUNCTION defer.endpoint_address(text) IS 'scheme and host of a URL; the rest may be a secret';

------------------------------------------------------------------------------
-- Inside a job
------------------------------------------------------------------------------

CREATE FUNCTION defer.current_job() RETURNS bigint
	LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_current_job';
COMMENT ON FUNCTION defer.current_job() IS
	'the id of the job that this is called in; NULL outside a job';

CREATE FUNCTION defer.log(message text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_log';
COMMENT ON FUNCTION defer.log(text) IS
	'a line of level info in defer.logs, written when the attempt has ended, however it ends. NULL is nothing. Error outside a job';

CREATE FUNCTION defer.progress(fraction double precision) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_progress';
COMMENT ON FUNCTION defer.progress(double precision) IS
	'how much of the job is done, 0 to 1: seen by others at once in defer.jobs.progress, and kept nowhere. Error outside a job, or if it is out of range';

CREATE FUNCTION defer.snooze(delay interval) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_snooze';
COMMENT ON FUNCTION defer.snooze(interval) IS
	'puts the job off: its transaction is rolled back (by an error with SQLSTATE DF001, which must not be caught), and it is run again after the delay. No attempt is used up. Error outside a job, or if the delay is not more than 0';

CREATE FUNCTION defer.give_up(reason text DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_give_up';
COMMENT ON FUNCTION defer.give_up(text) IS
	'fails the job for good, with the reason as its error: its transaction is rolled back (by an error with SQLSTATE DF002, which must not be caught), and there are no more attempts. Error outside a job';

------------------------------------------------------------------------------
-- Control
------------------------------------------------------------------------------

CREATE FUNCTION defer.cancel(id bigint, force boolean DEFAULT false) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_cancel';
COMMENT ON FUNCTION defer.cancel(bigint, boolean) IS
	'ends a job that waits as cancelled, when you commit; with force, stops a running one, too: at once, whether you commit or not, and it ends within about a second. False: it has finished, or runs and force is false. Error if there is no such job of yours';

CREATE FUNCTION defer.reschedule(id bigint, run_at timestamptz DEFAULT pg_catalog.now()) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_reschedule';
COMMENT ON FUNCTION defer.reschedule(bigint, timestamptz) IS
	'moves a job that waits, for its first attempt or a retry, to another time, when you commit; attempts already made still count. False: it runs or has finished. Error if there is no such job of yours, or if it would be discarded before run_at';

CREATE FUNCTION defer.rerun(id bigint) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_rerun';
COMMENT ON FUNCTION defer.rerun(bigint) IS
	'enqueues a new job with the owner, function, arguments, queue, priority, metadata and options of a job, finished or not, and returns its id; begun after you commit. It has no key, no discard_at and no schedule. Error if there is no such job of yours, or if its owner may no longer use the function or the queue';

CREATE FUNCTION defer.await(id bigint, timeout interval DEFAULT NULL) RETURNS jsonb
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_await';
COMMENT ON FUNCTION defer.await(bigint, interval) IS
	'waits until a job has ended, and returns its result once that is on disk. timeout NULL waits without end. Errors: the job''s own, with its SQLSTATE, if it failed; DF010 if it was cancelled, DF011 if it was discarded, DF012 after the timeout; at once if the job was enqueued or changed in this transaction, as it cannot begin before its commit. A job that needs a lock which this transaction holds is waited for in vain';

------------------------------------------------------------------------------
-- Settings of functions and queues
------------------------------------------------------------------------------

CREATE FUNCTION defer.configure(function text, queue text DEFAULT NULL, priority integer DEFAULT NULL,
								max_attempts integer DEFAULT NULL, initial_interval interval DEFAULT NULL,
								multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
								randomization double precision DEFAULT NULL, concurrency integer DEFAULT NULL,
								at_limit text DEFAULT NULL, max_duration interval DEFAULT NULL,
								discard_after interval DEFAULT NULL, reset boolean DEFAULT false) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_configure';
COMMENT ON FUNCTION defer.configure(text, text, integer, integer, interval, double precision, interval,
									double precision, integer, text, interval, interval, boolean) IS
	'changes settings of a function that you own: those given; NULL leaves as is; reset => true takes all others back to their defaults. queue, priority and discard_after hold for jobs enqueued later, the others for all. initial_interval, max_interval: pauses between attempts; randomization: 0 to 1; concurrency: jobs at the same time; at_limit: keep or cancel those over it; max_duration: of an attempt, 0 without limit. Takes effect when you commit';

CREATE FUNCTION defer.pause(function text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_pause';
COMMENT ON FUNCTION defer.pause(text) IS
	'holds back the jobs of a function that you own, from your commit to defer.resume(); they can still be enqueued, and those that run go on';

CREATE FUNCTION defer.resume(function text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_resume';
COMMENT ON FUNCTION defer.resume(text) IS
	'lets the jobs of a function that you own go on after defer.pause(), when you commit; no error if it is not paused';

CREATE FUNCTION defer.create_queue(name text, concurrency integer DEFAULT NULL, priority integer DEFAULT NULL,
								   max_attempts integer DEFAULT NULL, initial_interval interval DEFAULT NULL,
								   multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
								   randomization double precision DEFAULT NULL,
								   max_duration interval DEFAULT NULL,
								   discard_after interval DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_create_queue';
COMMENT ON FUNCTION defer.create_queue(text, integer, integer, integer, interval, double precision, interval,
									   double precision, interval, interval) IS
	'makes a queue of yours; others may put jobs into it after defer.grant_queue(). The name has 1 to 63 bytes. Settings as in defer.configure(), whose settings win over those of the queue. Error if there is a queue of that name. Takes effect when you commit';

CREATE FUNCTION defer.alter_queue(name text, concurrency integer DEFAULT NULL, priority integer DEFAULT NULL,
								  max_attempts integer DEFAULT NULL, initial_interval interval DEFAULT NULL,
								  multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
								  randomization double precision DEFAULT NULL,
								  max_duration interval DEFAULT NULL,
								  discard_after interval DEFAULT NULL, reset boolean DEFAULT false) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_alter_queue';
COMMENT ON FUNCTION defer.alter_queue(text, integer, integer, integer, interval, double precision, interval,
									  double precision, interval, interval, boolean) IS
	'changes settings of a queue that you own: those given; NULL leaves as is; reset => true takes all others back to their defaults. The queue "default" is for superusers and the owner of the database. Takes effect when you commit';

CREATE FUNCTION defer.drop_queue(name text) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_drop_queue';
COMMENT ON FUNCTION defer.drop_queue(text) IS
	'removes a queue that you own, when you commit. False: there is none of that name. Error while jobs that are not finished, schedules or settings of functions name it';

CREATE FUNCTION defer.grant_queue(name text, role text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_grant_queue';
COMMENT ON FUNCTION defer.grant_queue(text, text) IS
	'lets a role and its members put jobs into a queue that you own, and pause it; "public" lets every role put jobs into it, not pause it. The role''s name is taken as it is, without quotes. Takes effect when you commit';

CREATE FUNCTION defer.revoke_queue(name text, role text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_revoke_queue';
COMMENT ON FUNCTION defer.revoke_queue(text, text) IS
	'takes back what defer.grant_queue() gave; jobs that are in the queue stay there. No error if there is nothing to take. Takes effect when you commit';

CREATE FUNCTION defer.pause_queue(name text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_pause_queue';
COMMENT ON FUNCTION defer.pause_queue(text) IS
	'holds back the jobs of a queue, from your commit to defer.resume_queue(); they can still be enqueued, and those that run go on. For the queue''s owner and roles that it was granted to by name; "default" for superusers and the owner of the database';

CREATE FUNCTION defer.resume_queue(name text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_resume_queue';
COMMENT ON FUNCTION defer.resume_queue(text) IS
	'lets the jobs of a queue go on after defer.pause_queue(), when you commit; no error if it is not paused';

------------------------------------------------------------------------------
-- Schedules
------------------------------------------------------------------------------

CREATE FUNCTION defer.cron(function text, schedule text, name text DEFAULT NULL,
						timezone text DEFAULT 'UTC', overlap text DEFAULT 'skip',
						catch_up text DEFAULT 'one', catch_up_window interval DEFAULT '1 day',
						jitter interval DEFAULT '0', active boolean DEFAULT true,
						queue text DEFAULT NULL, priority integer DEFAULT NULL,
						allow_direct boolean DEFAULT false) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_cron';
COMMENT ON FUNCTION defer.cron(text, text, text, text, text, text, interval, interval, boolean, text, integer, boolean) IS
	'makes a schedule of a function without parameters, or changes the one of yours that has that name (NULL: the function''s), and returns its id. schedule: five fields as in cron(8), six with seconds in front, @daily and the like, or every <interval>. timezone: IANA name. overlap, when the last run has not ended: skip, queue, allow or replace. catch_up, after down-time: none, one or all of the ticks missed, no further back than catch_up_window. jitter: its runs begin up to so much later, at most a day, each by the same time, which the server chooses. queue, priority: NULL as the function''s settings say. allow_direct: the function may also be called and enqueued. A NOTICE says in English when it fires. Errors: the function is not there, has parameters or may not be executed by you; schedule, zone, queue or another value is not valid. Takes effect when you commit';

CREATE FUNCTION defer.cron_command(name text, schedule text, sql text,
								timezone text DEFAULT 'UTC', overlap text DEFAULT 'skip',
								catch_up text DEFAULT 'one', catch_up_window interval DEFAULT '1 day',
								jitter interval DEFAULT '0', active boolean DEFAULT true,
								queue text DEFAULT NULL, priority integer DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_cron_command';
COMMENT ON FUNCTION defer.cron_command(text, text, text, text, text, text, interval, interval, boolean, text, integer) IS
	'makes or changes a schedule of yours that runs one SQL statement as defer.command() does, and returns its id. Options and errors as of defer.cron(). Takes effect when you commit';

CREATE FUNCTION defer.alter_cron(name text, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
								 overlap text DEFAULT NULL, catch_up text DEFAULT NULL,
								 catch_up_window interval DEFAULT NULL, jitter interval DEFAULT NULL,
								 active boolean DEFAULT NULL, queue text DEFAULT NULL,
								 priority integer DEFAULT NULL, allow_direct boolean DEFAULT NULL,
								 function text DEFAULT NULL, sql text DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_alter_cron';
COMMENT ON FUNCTION defer.alter_cron(text, text, text, text, text, interval, interval, boolean, text, integer, boolean, text, text) IS
	'changes what is given of a schedule, yours or of a role that you are a member of; NULL leaves as is. Options and errors as of defer.cron(); function, or sql, changes what it runs, which only roles that may SET ROLE to its owner can. Jobs already enqueued are not affected. Takes effect when you commit';

CREATE FUNCTION defer.unschedule(name text) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_unschedule';
COMMENT ON FUNCTION defer.unschedule(text) IS
	'removes a schedule, yours or of a role that you are a member of, when you commit. False: there is none of that name. Jobs already enqueued are not affected';

CREATE FUNCTION defer.trigger(name text) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_trigger';
COMMENT ON FUNCTION defer.trigger(text) IS
	'enqueues a run of a schedule to begin once you have committed, besides its times and whatever its overlap, and returns the job''s id. name: of the schedule, or of a function that has one schedule. The job belongs to the owner of the schedule. Error if there is no such schedule that you may manage, or if its function or queue has gone';

CREATE FUNCTION defer.import_pg_cron(deactivate boolean DEFAULT true)
	RETURNS TABLE (jobid bigint, name text, schedule text, imported boolean, note text)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_import_pg_cron';
COMMENT ON FUNCTION defer.import_pg_cron(boolean) IS
	'makes a schedule of each job of pg_cron in this database: your own, as a superuser all. One that was imported before is changed in place, and stays active or not. What is imported is what pg_cron runs; note says where that is not what the text says, and how to get what was meant, or why a job was not imported, which never stops the others. deactivate: switch the jobs off in pg_cron; with false they go on there, and new schedules are not active here. Errors: pg_cron is not installed here, or you may not read its jobs or switch them off. Takes effect when you commit';

CREATE FUNCTION defer.cron_next(schedule text, timezone text DEFAULT 'UTC',
								after timestamptz DEFAULT pg_catalog.now(), n integer DEFAULT 5)
	RETURNS SETOF timestamptz
	LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'defer_cron_next';
COMMENT ON FUNCTION defer.cron_next(text, text, timestamptz, integer) IS
	'the next n (0 to 100000) times of a schedule after an instant, without jitter; less if it fires no more before the year 10000. Errors: schedule or zone is not valid';

CREATE FUNCTION defer.cron_previous(schedule text, timezone text DEFAULT 'UTC',
									before timestamptz DEFAULT pg_catalog.now(), n integer DEFAULT 5)
	RETURNS SETOF timestamptz
	LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'defer_cron_previous';
COMMENT ON FUNCTION defer.cron_previous(text, text, timestamptz, integer) IS
	'the last n (0 to 100000) times of a schedule before an instant, without jitter, the latest first; less if it did not fire before in the years from 1 on. Errors: schedule or zone is not valid';

CREATE FUNCTION defer.cron_describe(schedule text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_cron_describe';
COMMENT ON FUNCTION defer.cron_describe(text) IS
	'when a schedule fires, in plain English. Error if it is not valid';

CREATE FUNCTION defer.run_schedules(as_of timestamptz) RETURNS timestamptz
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_run_schedules';
COMMENT ON FUNCTION defer.run_schedules(timestamptz) IS
	'does what the scheduler does, as if it were as_of: enqueues what is due, when you commit, and returns when something is due next, or NULL. Only for superusers, to test schedules';

------------------------------------------------------------------------------
-- Views
------------------------------------------------------------------------------

-- Operators are left bare in the views for the reader's sake: a view keeps what
-- it was parsed to, and the search_path set above is in force for that.

CREATE FUNCTION defer.version() RETURNS text
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_version';
COMMENT ON FUNCTION defer.version() IS 'the version of the library that the server has loaded';

-- What the views ask C for.  These run as whoever looks, so anybody may call
-- them, and none tells more than the views do.

CREATE FUNCTION defer.may_see(owner oid) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_may_see';
COMMENT ON FUNCTION defer.may_see(oid) IS
	'whether the current role sees what belongs to that role: it is a member of it, a superuser, or a member of pg_monitor';

CREATE FUNCTION defer.may_configure(function text) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_may_configure';
COMMENT ON FUNCTION defer.may_configure(text) IS
	'whether the current role sees the settings of a function, given by its stored signature: it may call it, with EXECUTE and USAGE of its schema, or sees everything';

CREATE FUNCTION defer.has_ended(id bigint) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_has_ended';
COMMENT ON FUNCTION defer.has_ended(bigint) IS
	'whether a job that the current role may see has ended, as of the running query''s snapshot';

CREATE FUNCTION defer.running_jobs(OUT job_id bigint, OUT pid integer, OUT started_at timestamptz, OUT progress real)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 AS 'MODULE_PATHNAME', 'defer_running_jobs';
COMMENT ON FUNCTION defer.running_jobs() IS
	'the jobs that run in this database at this moment and that the current role may see; look at defer.jobs instead';

CREATE FUNCTION defer.processes(OUT pid integer, OUT kind text, OUT database oid, OUT role oid, OUT job_id bigint, OUT since timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 AS 'MODULE_PATHNAME', 'defer_processes';
COMMENT ON FUNCTION defer.processes() IS
	'the processes of defer on this server that the current role may see; look at defer.workers instead';

CREATE FUNCTION defer.server_state(OUT preloaded boolean, OUT enabled boolean, OUT active boolean, OUT recovery boolean,
		OUT launcher boolean, OUT scheduler boolean, OUT no_slots boolean, OUT overflow boolean,
		OUT workers integer, OUT max_workers integer, OUT run_superuser_jobs boolean, OUT refused boolean,
		OUT limits_overflow boolean)
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'defer_server_state';
COMMENT ON FUNCTION defer.server_state() IS
	'how defer stands on this server and in this database; look at defer.health instead';

CREATE FUNCTION defer.schedule_description(schedule text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_schedule_description';
COMMENT ON FUNCTION defer.schedule_description(text) IS
	'the same as defer.cron_describe(), but NULL instead of an error when the schedule cannot be read';

CREATE FUNCTION defer.schedule_next_runs(schedule text, timezone text, after timestamptz, n integer) RETURNS timestamptz[]
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_schedule_next_runs';
COMMENT ON FUNCTION defer.schedule_next_runs(text, text, timestamptz, integer) IS
	'the next n (0 to 1000) times of a schedule after an instant, without jitter; NULL when schedule or zone cannot be read';

-- Jobs by what they are.  A condition on anything but the id makes defer.jobs read
-- all of history; these use indexes.

CREATE FUNCTION defer.find_jobs(states text[] DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL,
								parent_id bigint DEFAULT NULL, schedule_id bigint DEFAULT NULL,
								metadata jsonb DEFAULT NULL, error text DEFAULT NULL,
								since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
								before bigint DEFAULT NULL, n integer DEFAULT 50) RETURNS SETOF bigint
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50 AS 'MODULE_PATHNAME', 'defer_find_jobs';
COMMENT ON FUNCTION defer.find_jobs(text[], text, text, bigint, bigint, jsonb, text, timestamptz, timestamptz, bigint, integer) IS
	'ids of the newest n (0 to 10000) jobs you may see that are like that, the newest first; before: with smaller ids than that, the next page. function: a signature as in defer.jobs. metadata: contains that. error: has that text in it, or that SQLSTATE. since, until: finished at or after and before, or, if unfinished, enqueued. Quick with a long history unless metadata, queue or a time alone leave few jobs of many. Errors: no such state, n out of range';

CREATE FUNCTION defer.child_states(parent_id bigint, OUT state text, OUT jobs bigint) RETURNS SETOF record
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 8 AS 'MODULE_PATHNAME', 'defer_child_states';
COMMENT ON FUNCTION defer.child_states(bigint) IS
	'how many jobs that a job has enqueued, and that you may see, are in each state';

-- Counters: see shmem/statistics.c

CREATE FUNCTION defer.job_statistics(OUT owner oid, OUT function text, OUT queue text,
		OUT succeeded bigint, OUT failed bigint, OUT cancelled bigint, OUT discarded bigint, OUT skipped_ticks bigint,
		OUT attempts_failed bigint, OUT attempts_timed_out bigint, OUT attempts_crashed bigint, OUT attempts_conflict bigint,
		OUT attempts_snoozed bigint, OUT attempts_interrupted bigint, OUT attempts_cancelled bigint,
		OUT durations bigint[], OUT duration_seconds double precision,
		OUT delays bigint[], OUT delay_seconds double precision) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50 AS 'MODULE_PATHNAME', 'defer_job_statistics';
COMMENT ON FUNCTION defer.job_statistics() IS
	'counters of this database, for roles that the current role may see; look at defer.statistics instead';

CREATE FUNCTION defer.statistics_bounds() RETURNS double precision[]
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_statistics_bounds';
COMMENT ON FUNCTION defer.statistics_bounds() IS
	'upper bounds, in seconds, of the classes that defer.statistics counts durations and delays in, but for the last class, which has none';

CREATE VIEW defer.statistics WITH (security_barrier) AS
SELECT s.owner::regrole AS owner, s.function, s.queue, s.succeeded, s.failed, s.cancelled, s.discarded, s.skipped_ticks,
	s.attempts_failed, s.attempts_timed_out, s.attempts_crashed, s.attempts_conflict, s.attempts_snoozed,
	s.attempts_interrupted, s.attempts_cancelled, s.durations, s.duration_seconds, s.delays, s.delay_seconds
  FROM defer.job_statistics() s;
COMMENT ON VIEW defer.statistics IS
	'what has ended since the server was started, by role, function and queue; at once, however long the history is. The counters only grow, and begin anew with the server. skipped_ticks: times of schedules at which no job ran. attempts_*: attempts that did not succeed. durations, delays: how many jobs, by the bounds of defer.statistics_bounds(), took so long in their last attempt, and waited so long for it; *_seconds: their sums. An empty function: those of functions that found no room';

-- Durations of many jobs: see table/duration_histogram.c

CREATE FUNCTION defer.durations(class integer, jobs bigint) RETURNS bigint[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_durations';
COMMENT ON FUNCTION defer.durations(integer, bigint) IS
	'so many jobs of a class of durations (0 to 207, a quarter of a doubling each, from a microsecond on), as defer.sum_durations() takes them; of class -1: none. Errors: out of range';

CREATE FUNCTION defer.merge_durations(a bigint[], b bigint[]) RETURNS bigint[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_merge_durations';
COMMENT ON FUNCTION defer.merge_durations(bigint[], bigint[]) IS
	'the jobs of both, by class of durations. Errors: an array is not made of pairs of a class, rising, and a number of jobs';

CREATE AGGREGATE defer.sum_durations(durations bigint[]) (
	SFUNC = defer.merge_durations, STYPE = bigint[], COMBINEFUNC = defer.merge_durations,
	INITCOND = '{}', PARALLEL = SAFE
);
COMMENT ON AGGREGATE defer.sum_durations(bigint[]) IS
	'the jobs of all, by class of durations';

CREATE FUNCTION defer.duration_percentile(durations bigint[], part double precision) RETURNS interval
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_duration_percentile';
COMMENT ON FUNCTION defer.duration_percentile(bigint[], double precision) IS
	'how long that part (0 to 1) of the jobs took at most, within a few percent; NULL if there are none. Errors: as of defer.merge_durations(); part is out of range';

CREATE FUNCTION defer.duration_class(duration interval) RETURNS integer
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_duration_class';
COMMENT ON FUNCTION defer.duration_class(interval) IS
	'the class of a duration, as defer.durations() takes it';

-- What dashboards and monitoring ask for each second: see report/table_sample.c

CREATE FUNCTION defer.history_sample(since timestamptz, most integer DEFAULT 20000, children boolean DEFAULT false,
		OUT weight double precision, OUT id bigint, OUT state text, OUT function text, OUT queue text,
		OUT parent_id bigint, OUT run_at timestamptz, OUT started_at timestamptz, OUT finished_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 20000 AS 'MODULE_PATHNAME', 'defer_history_sample';
COMMENT ON FUNCTION defer.history_sample(timestamptz, integer, boolean) IS
	'jobs you may see that ended since then: all of them with weight 1, or, if there are many more than most (1 to 1000000), about as many, each with the number of jobs that it stands for. children: only those that a job enqueued. Takes some 50 ms for 20000 rows, however long the history is';

CREATE FUNCTION defer.throughput(since timestamptz, step interval, steps integer, OUT at timestamptz,
		OUT succeeded double precision, OUT failed double precision, OUT cancelled double precision,
		OUT discarded double precision, OUT estimated boolean)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 60 AS 'MODULE_PATHNAME', 'defer_throughput';
COMMENT ON FUNCTION defer.throughput(timestamptz, interval, integer) IS
	'how many jobs you may see ended in each of so many steps (1 to 1000) from a time on; estimated if there are some 100000 or more since then, within a few percent. Takes milliseconds, however long the history is';

CREATE FUNCTION defer.live_rows(most integer, OUT weight double precision, OUT id bigint, OUT state text, OUT due boolean,
		OUT claimed boolean, OUT function text, OUT queue text, OUT parent_id bigint, OUT run_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 20000 AS 'MODULE_PATHNAME', 'defer_live_rows';
COMMENT ON FUNCTION defer.live_rows(integer) IS
	'rows of defer.job of jobs you may see, or a sample of them, for defer.live_sample()';

-- Copies: see lifecycle/activate.c

CREATE FUNCTION defer.activate() RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_activate';
COMMENT ON FUNCTION defer.activate() IS
	'sets free what a restored or copied database holds back, when you commit: jobs are run, schedules go on from now without catching up. Only for superusers and the owner of the extension. A NOTICE and nothing else when the database is active';

CREATE FUNCTION defer.note_restore() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_note_restore';
COMMENT ON FUNCTION defer.note_restore() IS
	'trigger: rows that a restore brings hold the database back until defer.activate()';
CREATE TRIGGER note_restore BEFORE INSERT ON defer.job
	FOR EACH STATEMENT EXECUTE FUNCTION defer.note_restore();
COMMENT ON TRIGGER note_restore ON defer.job IS 'jobs of a restored dump wait for defer.activate()';
CREATE TRIGGER note_restore BEFORE INSERT ON defer.schedule
	FOR EACH STATEMENT EXECUTE FUNCTION defer.note_restore();
COMMENT ON TRIGGER note_restore ON defer.schedule IS 'schedules of a restored dump wait for defer.activate()';

-- Whoever may write all data must not become whoever a row says

CREATE FUNCTION defer.owner_only() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_owner_only';
COMMENT ON FUNCTION defer.owner_only() IS
	'trigger: only superusers and the owner of the extension write the table';
CREATE TRIGGER owner_only BEFORE INSERT OR UPDATE OR DELETE ON defer.job
	FOR EACH STATEMENT EXECUTE FUNCTION defer.owner_only();
COMMENT ON TRIGGER owner_only ON defer.job IS 'also not by pg_write_all_data: rows say as whom something is done';
CREATE TRIGGER owner_only BEFORE INSERT OR UPDATE OR DELETE ON defer.schedule
	FOR EACH STATEMENT EXECUTE FUNCTION defer.owner_only();
COMMENT ON TRIGGER owner_only ON defer.schedule IS 'also not by pg_write_all_data: rows say as whom something is done';
CREATE TRIGGER owner_only BEFORE INSERT OR UPDATE OR DELETE ON defer.endpoint
	FOR EACH STATEMENT EXECUTE FUNCTION defer.owner_only();
COMMENT ON TRIGGER owner_only ON defer.endpoint IS 'also not by pg_write_all_data: rows say as whom something is done';
CREATE TRIGGER owner_only BEFORE INSERT OR UPDATE OR DELETE ON defer.alert
	FOR EACH STATEMENT EXECUTE FUNCTION defer.owner_only();
COMMENT ON TRIGGER owner_only ON defer.alert IS 'also not by pg_write_all_data: rows say as whom something is done';

-- Jobs.  This is the one view that is not a security barrier.  A barrier would be
-- planned by itself, so that ORDER BY id DESC LIMIT 20 would have to compute and
-- sort all jobs of a week.  Here it reads 20 rows by index.  Instead of that
-- each column but the id is empty for whoever may not see the row, wherever the
-- planner puts a condition that a user brings: nothing leaks but that an id exists.
CREATE VIEW defer.jobs AS
SELECT u.id,
	CASE WHEN defer.may_see(u.owner) THEN u.function END AS function,
	CASE WHEN defer.may_see(u.owner) THEN u.args END AS args,
	CASE WHEN defer.may_see(u.owner) THEN
		CASE u.state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed' WHEN 'c' THEN 'cancelled' WHEN 'd' THEN 'discarded'
			ELSE CASE WHEN u.claim IS NOT NULL AND r.job_id IS NOT NULL THEN 'running'
				WHEN u.attempt > 0 OR u.conflicts > 0 THEN 'retrying'
				WHEN u.run_at > pg_catalog.statement_timestamp() THEN 'scheduled'
				ELSE 'queued' END
		END
	END AS state,
	CASE WHEN defer.may_see(u.owner) THEN u.queue END AS queue,
	CASE WHEN defer.may_see(u.owner) THEN u.priority END AS priority,
	CASE WHEN defer.may_see(u.owner) THEN u.owner END AS owner,
	CASE WHEN defer.may_see(u.owner) THEN u.run_at END AS run_at,
	CASE WHEN defer.may_see(u.owner) THEN u.enqueued_at END AS enqueued_at,
	CASE WHEN defer.may_see(u.owner) THEN
		CASE WHEN u.claim IS NOT NULL THEN r.started_at ELSE u.started_at END
	END AS started_at,
	CASE WHEN defer.may_see(u.owner) THEN u.finished_at END AS finished_at,
	CASE WHEN defer.may_see(u.owner) THEN
		CASE WHEN u.claim IS NOT NULL THEN GREATEST(pg_catalog.statement_timestamp(), r.started_at) - r.started_at
			ELSE u.finished_at - u.started_at END
	END AS duration,
	CASE WHEN defer.may_see(u.owner) THEN
		u.attempt + CASE WHEN u.claim IS NOT NULL AND r.job_id IS NOT NULL THEN 1 ELSE 0 END
	END AS attempt,
	CASE WHEN defer.may_see(u.owner) THEN
		COALESCE((u.options ->> 'max_attempts')::integer, f.max_attempts, q.max_attempts, 13)
	END AS max_attempts,
	CASE WHEN defer.may_see(u.owner) THEN u.result END AS result,
	CASE WHEN defer.may_see(u.owner) THEN u.error END AS error,
	CASE WHEN defer.may_see(u.owner) THEN u.sqlstate END AS sqlstate,
	CASE WHEN defer.may_see(u.owner) THEN u.key END AS key,
	CASE WHEN defer.may_see(u.owner) THEN u.metadata END AS metadata,
	CASE WHEN defer.may_see(u.owner) THEN u.parent_id END AS parent_id,
	CASE WHEN defer.may_see(u.owner) THEN s.name END AS schedule,
	CASE WHEN defer.may_see(u.owner) THEN u.scheduled_for END AS scheduled_for,
	CASE WHEN defer.may_see(u.owner) THEN u.discard_at END AS discard_at,
	CASE WHEN defer.may_see(u.owner) AND u.claim IS NOT NULL THEN r.progress END AS progress,
	CASE WHEN defer.may_see(u.owner) AND u.claim IS NOT NULL THEN r.pid END AS pid
  FROM (SELECT j.id, j.owner, j.function, j.args, NULL::"char" AS state, j.claim, j.conflicts, j.queue, j.priority,
			j.run_at, j.enqueued_at, NULL::timestamptz AS started_at, NULL::timestamptz AS finished_at, j.attempt,
			j.options, NULL::jsonb AS result, j.error, j.sqlstate, j.key, j.metadata, j.parent_id, j.schedule_id,
			j.scheduled_for, j.discard_at
		  FROM defer.job j
		UNION ALL
		SELECT h.id, h.owner, h.function, h.args, h.state, NULL::bigint, NULL::smallint, h.queue, h.priority,
			h.run_at, h.enqueued_at, h.started_at, h.finished_at, h.attempt,
			h.options, h.result, h.error, h.sqlstate, h.key, h.metadata, h.parent_id, h.schedule_id,
			h.scheduled_for, h.discard_at
		  FROM defer.job_history h) u
  LEFT JOIN defer.running_jobs() r ON r.job_id = u.id
  LEFT JOIN defer.function f ON f.signature = u.function
  LEFT JOIN defer.queue q ON q.name = u.queue
  LEFT JOIN defer.schedule s ON s.id = u.schedule_id
 WHERE defer.may_see(u.owner) AND (u.claim IS NULL OR NOT defer.has_ended(u.id));
COMMENT ON VIEW defer.jobs IS
	'the jobs you may see. state: scheduled, queued, running, retrying, succeeded, failed, cancelled, discarded. started_at, duration: of the last attempt. attempt: attempts that were begun. max_attempts: what holds now. error, sqlstate: of the last failed attempt. progress: 0 to 1. pid: of the worker that runs it';

-- The same for unfinished jobs only, for the views below
CREATE VIEW defer.live_jobs WITH (security_barrier) AS
SELECT j.id, j.owner, j.function, j.queue, j.run_at, j.schedule_id, j.scheduled_for, x.state,
	x.state IN ('queued', 'retrying') AND j.run_at <= pg_catalog.statement_timestamp() AS ready
  FROM defer.job j
  LEFT JOIN defer.running_jobs() r ON r.job_id = j.id
 CROSS JOIN LATERAL (SELECT CASE WHEN j.claim IS NOT NULL AND r.job_id IS NOT NULL THEN 'running'
		WHEN j.attempt > 0 OR j.conflicts > 0 THEN 'retrying'
		WHEN j.run_at > pg_catalog.statement_timestamp() THEN 'scheduled'
		ELSE 'queued' END AS state) x
 WHERE defer.may_see(j.owner) AND (j.claim IS NULL OR NOT defer.has_ended(j.id));
COMMENT ON VIEW defer.live_jobs IS
	'unfinished jobs you may see, with little about each: to count them. ready: could begin now';

CREATE FUNCTION defer.live_sample(most integer DEFAULT 20000, OUT weight double precision, OUT id bigint, OUT state text,
		OUT ready boolean, OUT function text, OUT queue text, OUT parent_id bigint, OUT run_at timestamptz)
	RETURNS SETOF record
	LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 20000
BEGIN ATOMIC
	SELECT l.weight, l.id, l.state, l.due AND l.state <> 'scheduled', l.function, l.queue, l.parent_id, l.run_at
	  FROM defer.live_rows(most) l
	 WHERE NOT l.claimed
		OR (NOT defer.has_ended(l.id) AND NOT EXISTS (SELECT FROM defer.running_jobs() r WHERE r.job_id = l.id))
	UNION ALL
	SELECT 1, j.id, 'running', false, j.function, j.queue, j.parent_id, j.run_at
	  FROM defer.jobs j
	 WHERE j.id = ANY (ARRAY(SELECT r.job_id FROM defer.running_jobs() r)) AND j.state = 'running';
END;
COMMENT ON FUNCTION defer.live_sample(integer) IS
	'unfinished jobs you may see: all of them with weight 1, or, if there are more than most (1 to 1000000), about as many, each with the number of jobs that it stands for. Running ones are always all there';

CREATE VIEW defer.settings WITH (security_barrier) AS
SELECT 'function' AS kind, f.signature AS name, NULL::regrole AS owner, f.paused, f.queue, f.priority, f.max_attempts, f.initial_interval,
	f.multiplier, f.max_interval, f.randomization, f.max_duration, f.discard_after, f.concurrency, f.at_limit
  FROM defer.function f WHERE defer.may_configure(f.signature)
UNION ALL
SELECT 'queue', d.name, q.owner, COALESCE(q.paused, false), NULL, q.priority, q.max_attempts, q.initial_interval,
	q.multiplier, q.max_interval, q.randomization, q.max_duration, q.discard_after, q.concurrency, NULL
  FROM (SELECT text 'default' AS name
		UNION
		SELECT v.name FROM defer.queue v
		 WHERE defer.may_see(v.owner)
			OR EXISTS (SELECT FROM pg_catalog.unnest(v.granted) g WHERE g = 0::oid OR defer.may_see(g))) d
  LEFT JOIN defer.queue q ON q.name = d.name;
COMMENT ON VIEW defer.settings IS
	'the settings that defer.functions and defer.queues show, without their counts: kind is function or queue. NULL is the default';

CREATE VIEW defer.attempts WITH (security_barrier) AS
SELECT a.job_id, a.attempt, a.started_at, a.finished_at, a.outcome, a.sqlstate, a.message, a.detail, a.hint, a.context, a.retry_at
  FROM defer.attempt a
 WHERE defer.may_see(a.owner);
COMMENT ON VIEW defer.attempts IS
	'attempts that did not succeed, of jobs you may see. outcome: failed, timed_out, crashed, conflict (serialization failure or deadlock, retried at once), snoozed, cancelled, interrupted. retry_at: when the next was to begin, NULL if there was to be none';

CREATE VIEW defer.logs WITH (security_barrier) AS
SELECT l.job_id, l.attempt, l.at, l.level, l.message
  FROM defer.log l
 WHERE defer.may_see(l.owner);
COMMENT ON VIEW defer.logs IS
	'what jobs you may see said: RAISE NOTICE and above, and defer.log(). Also of attempts that failed';

CREATE VIEW defer.schedules WITH (security_barrier) AS
SELECT s.id, s.name, s.function, s.schedule, defer.schedule_description(s.schedule) AS description, s.timezone, s.owner,
	s.active, s.overlap, s.catch_up, s.last_run_at,
	COALESCE((SELECT l.state
				FROM defer.live_jobs l
			   WHERE l.schedule_id = s.id
			   ORDER BY l.id DESC LIMIT 1),
			 (SELECT CASE h.state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
						WHEN 'c' THEN 'cancelled' WHEN 'd' THEN 'discarded' END
				FROM defer.job_history h
			   WHERE h.schedule_id = s.id AND h.finished_at >= s.last_run_at
			   ORDER BY h.id DESC LIMIT 1)) AS last_state,
	CASE WHEN s.active THEN s.next_run_at END AS next_run_at,
	CASE WHEN s.active THEN
		defer.schedule_next_runs(s.schedule, s.timezone, pg_catalog.statement_timestamp(), 5)
	END AS next_runs,
	s.command, s.catch_up_window, s.jitter, s.queue, s.priority, s.last_error, s.created_at
  FROM defer.schedule s
 WHERE defer.may_see(s.owner);
COMMENT ON VIEW defer.schedules IS
	'the schedules you may see. description: in English. last_state: state of the last run''s job. next_run_at: with the schedule''s jitter. next_runs: the next five times, without jitter; NULL when the schedule is not active. last_error: why it does not go on, if it does not';

CREATE VIEW defer.endpoints WITH (security_barrier) AS
SELECT e.name, e.kind, defer.endpoint_address(e.url) AS address, e.owner, e.granted, e.sender,
	e.headers IS NOT NULL AS has_headers, e.username IS NOT NULL AS has_username,
	e.password IS NOT NULL AS has_password, e.secret IS NOT NULL AS has_secret, e.created_at
  FROM defer.endpoint e
 WHERE defer.may_see(e.owner)
	OR EXISTS (SELECT FROM pg_catalog.unnest(e.granted) g WHERE g = 0::oid OR defer.may_see(g));
COMMENT ON VIEW defer.endpoints IS
	'endpoints that you own or may send with. address: scheme and host, the rest of the URL is not shown. granted: roles that may send with it, - is everybody';

CREATE VIEW defer.alerts WITH (security_barrier) AS
SELECT a.name, a.owner, a.endpoint, a.recipients, a.states AS on_states, a.function, a.group_window, a.recovered,
	a.show_args, a.schedules, a.backlog, a.workers, a.created_at, a.last_sent_at,
	(SELECT pg_catalog.count(*) FROM defer.alert_event e WHERE e.alert_id = a.id) AS untold,
	ARRAY(SELECT f.subject FROM defer.alert_failing f WHERE f.alert_id = a.id ORDER BY f.subject) AS failing
  FROM defer.alert a
 WHERE defer.may_see(a.owner);
COMMENT ON VIEW defer.alerts IS
	'the alerts you may see. untold: events that are collected for the next message. failing: functions and conditions that a message was sent about and that have not recovered since';

-- Finished jobs by hour: those that are added up, those that are not yet, and those
-- whose rows are still in the batch of a worker, which counts them with its next claim.
-- Nobody is granted this: the views below ask who may see what.
CREATE VIEW defer.job_counts WITH (security_barrier) AS
SELECT r.hour, r.owner, r.function, r.queue, r.succeeded, r.failed, r.cancelled, r.discarded, r.begun, r.microseconds,
	r.durations, r.first_id, r.last_id
  FROM defer.job_rollup r
UNION ALL
SELECT u.hour, u.owner, u.function, u.queue,
	CASE WHEN u.state = 's' THEN u.jobs ELSE 0 END, CASE WHEN u.state = 'f' THEN u.jobs ELSE 0 END,
	CASE WHEN u.state = 'c' THEN u.jobs ELSE 0 END, CASE WHEN u.state = 'd' THEN u.jobs ELSE 0 END,
	CASE WHEN u.class >= 0 THEN u.jobs ELSE 0 END, u.microseconds,
	defer.durations(u.class, u.jobs), u.first_id, u.last_id
  FROM (SELECT n.hour, n.owner, pg_catalog.unnest(n.functions) AS function, pg_catalog.unnest(n.queues) AS queue,
			pg_catalog.unnest(n.states) AS state, pg_catalog.unnest(n.classes) AS class, pg_catalog.unnest(n.jobs) AS jobs,
			pg_catalog.unnest(n.microseconds) AS microseconds, pg_catalog.unnest(n.first_ids) AS first_id,
			pg_catalog.unnest(n.last_ids) AS last_id
		  FROM defer.job_rollup_new n) u
UNION ALL
SELECT pg_catalog.date_trunc('hour', h.finished_at, 'UTC'), h.owner, h.function, h.queue,
	(h.state = 's')::integer, (h.state = 'f')::integer, (h.state = 'c')::integer, (h.state = 'd')::integer,
	(h.started_at IS NOT NULL)::integer,
	COALESCE((pg_catalog.date_part('epoch', h.finished_at - h.started_at) * 1000000)::bigint, 0),
	defer.durations(COALESCE(defer.duration_class(h.finished_at - h.started_at), -1), 1), h.id, h.id
  FROM (SELECT DISTINCT i.id FROM defer.claim c CROSS JOIN LATERAL pg_catalog.unnest(c.jobs) i(id)) i
 -- each looked up by index, whatever the planner thinks that there are
 CROSS JOIN LATERAL (SELECT j.id FROM defer.job j WHERE j.id = i.id AND j.claim IS NOT NULL OFFSET 0) j
 CROSS JOIN LATERAL (SELECT x.* FROM defer.job_history x WHERE x.id = j.id OFFSET 0) h;
COMMENT ON VIEW defer.job_counts IS
	'finished jobs of all roles, counted by hour of finish, owner, function and queue, in several rows each';

-- Without history, and so at once however long it is

CREATE VIEW defer.live_functions WITH (security_barrier) AS
SELECT function, f.queue, f.priority, f.max_attempts, f.initial_interval, f.multiplier, f.max_interval, f.randomization,
	f.max_duration, f.discard_after, f.concurrency, f.at_limit, COALESCE(f.paused, false) AS paused,
	COALESCE(l.scheduled, 0) AS scheduled, COALESCE(l.queued, 0) AS queued,
	COALESCE(l.running, 0) AS running, COALESCE(l.retrying, 0) AS retrying, l.oldest_ready
  FROM (SELECT j.function,
			pg_catalog.count(*) FILTER (WHERE j.state = 'scheduled') AS scheduled,
			pg_catalog.count(*) FILTER (WHERE j.state = 'queued') AS queued,
			pg_catalog.count(*) FILTER (WHERE j.state = 'running') AS running,
			pg_catalog.count(*) FILTER (WHERE j.state = 'retrying') AS retrying,
			pg_catalog.min(j.run_at) FILTER (WHERE j.ready) AS oldest_ready
		  FROM defer.live_jobs j GROUP BY j.function) l
  FULL JOIN (SELECT t.signature AS function, t.queue, t.priority, t.max_attempts, t.initial_interval, t.multiplier,
			t.max_interval, t.randomization, t.max_duration, t.discard_after, t.concurrency, t.at_limit, t.paused
		  FROM defer.function t WHERE defer.may_configure(t.signature)) f USING (function);
COMMENT ON VIEW defer.live_functions IS
	'functions that have settings, or unfinished jobs of yours: as defer.functions, without what is finished';

CREATE VIEW defer.live_queues WITH (security_barrier) AS
SELECT queue, q.owner, q.granted, q.priority, q.max_attempts, q.initial_interval, q.multiplier, q.max_interval, q.randomization,
	q.max_duration, q.discard_after, q.concurrency, COALESCE(q.paused, false) AS paused,
	COALESCE(l.scheduled, 0) AS scheduled, COALESCE(l.queued, 0) AS queued,
	COALESCE(l.running, 0) AS running, COALESCE(l.retrying, 0) AS retrying, l.oldest_ready
  FROM (SELECT j.queue,
			pg_catalog.count(*) FILTER (WHERE j.state = 'scheduled') AS scheduled,
			pg_catalog.count(*) FILTER (WHERE j.state = 'queued') AS queued,
			pg_catalog.count(*) FILTER (WHERE j.state = 'running') AS running,
			pg_catalog.count(*) FILTER (WHERE j.state = 'retrying') AS retrying,
			pg_catalog.min(j.run_at) FILTER (WHERE j.ready) AS oldest_ready
		  FROM defer.live_jobs j GROUP BY j.queue) l
  FULL JOIN (SELECT d.name AS queue, t.owner, t.granted, t.priority, t.max_attempts, t.initial_interval, t.multiplier,
			t.max_interval, t.randomization, t.max_duration, t.discard_after, t.concurrency, t.paused
		  FROM (SELECT text 'default' AS name
				UNION
				SELECT v.name FROM defer.queue v
				 WHERE defer.may_see(v.owner)
					OR EXISTS (SELECT FROM pg_catalog.unnest(v.granted) g WHERE g = 0::oid OR defer.may_see(g))) d
		  LEFT JOIN defer.queue t ON t.name = d.name) q USING (queue);
COMMENT ON VIEW defer.live_queues IS
	'queues that you own or may use, and "default": as defer.queues, without what is finished';

CREATE VIEW defer.functions WITH (security_barrier) AS
SELECT function, f.queue, f.priority, f.max_attempts, f.initial_interval, f.multiplier, f.max_interval, f.randomization,
	f.max_duration, f.discard_after, f.concurrency, f.at_limit, COALESCE(f.paused, false) AS paused,
	COALESCE(f.scheduled, 0) AS scheduled, COALESCE(f.queued, 0) AS queued,
	COALESCE(f.running, 0) AS running, COALESCE(f.retrying, 0) AS retrying,
	COALESCE(h.succeeded, 0) AS succeeded, COALESCE(h.failed, 0) AS failed,
	COALESCE(h.cancelled, 0) AS cancelled, COALESCE(h.discarded, 0) AS discarded,
	f.oldest_ready, h.avg_duration,
	defer.duration_percentile(h.durations, 0.5) AS median_duration,
	defer.duration_percentile(h.durations, 0.95) AS p95_duration
  FROM defer.live_functions f
  FULL JOIN (SELECT c.function,
			pg_catalog.sum(c.succeeded)::bigint AS succeeded, pg_catalog.sum(c.failed)::bigint AS failed,
			pg_catalog.sum(c.cancelled)::bigint AS cancelled, pg_catalog.sum(c.discarded)::bigint AS discarded,
			pg_catalog.sum(c.microseconds)::float8 / NULLIF(pg_catalog.sum(c.begun), 0)::float8 * interval '1 microsecond' AS avg_duration,
			defer.sum_durations(c.durations) AS durations
		  FROM defer.job_counts c
		 WHERE c.hour > pg_catalog.statement_timestamp() - interval '25 hours' AND defer.may_see(c.owner)
		 GROUP BY c.function) h USING (function);
COMMENT ON VIEW defer.functions IS
	'functions that have settings, or jobs of yours that are unfinished or ended during the last day. Settings: those of defer.configure(), NULL is the default. scheduled, queued, running, retrying: jobs as of now; succeeded, failed, cancelled, discarded and the durations: of the last day, from the full hour on; median and 95th percentile within a few percent. oldest_ready: since when the job waits that waits longest for a worker';

CREATE VIEW defer.queues WITH (security_barrier) AS
SELECT queue, q.owner, q.granted, q.priority, q.max_attempts, q.initial_interval, q.multiplier, q.max_interval, q.randomization,
	q.max_duration, q.discard_after, q.concurrency, COALESCE(q.paused, false) AS paused,
	COALESCE(q.scheduled, 0) AS scheduled, COALESCE(q.queued, 0) AS queued,
	COALESCE(q.running, 0) AS running, COALESCE(q.retrying, 0) AS retrying,
	COALESCE(h.succeeded, 0) AS succeeded, COALESCE(h.failed, 0) AS failed,
	COALESCE(h.cancelled, 0) AS cancelled, COALESCE(h.discarded, 0) AS discarded,
	q.oldest_ready, h.avg_duration,
	defer.duration_percentile(h.durations, 0.5) AS median_duration,
	defer.duration_percentile(h.durations, 0.95) AS p95_duration
  FROM defer.live_queues q
  FULL JOIN (SELECT c.queue,
			pg_catalog.sum(c.succeeded)::bigint AS succeeded, pg_catalog.sum(c.failed)::bigint AS failed,
			pg_catalog.sum(c.cancelled)::bigint AS cancelled, pg_catalog.sum(c.discarded)::bigint AS discarded,
			pg_catalog.sum(c.microseconds)::float8 / NULLIF(pg_catalog.sum(c.begun), 0)::float8 * interval '1 microsecond' AS avg_duration,
			defer.sum_durations(c.durations) AS durations
		  FROM defer.job_counts c
		 WHERE c.hour > pg_catalog.statement_timestamp() - interval '25 hours' AND defer.may_see(c.owner)
		 GROUP BY c.queue) h USING (queue);
COMMENT ON VIEW defer.queues IS
	'queues that you own or may use, and "default". granted: roles that may use it, - is everybody. Settings: NULL is the default. Counts and durations as in defer.functions, of jobs that you may see';

CREATE VIEW defer.workers WITH (security_barrier) AS
SELECT p.pid, p.kind, d.datname AS database, p.role::regrole AS role, p.job_id, j.function, p.since
  FROM defer.processes() p
  LEFT JOIN pg_catalog.pg_database d ON d.oid = p.database
  LEFT JOIN defer.job j ON j.id = p.job_id AND d.datname = pg_catalog.current_database();
COMMENT ON VIEW defer.workers IS
	'the processes of defer on the whole server: kind is launcher, scheduler, worker or sender. since: when the job, or else the present state, began. function: NULL for jobs of other databases. Superusers and members of pg_monitor see all, others the workers of their own roles';

CREATE VIEW defer.health WITH (security_barrier) AS
WITH server AS MATERIALIZED (
	SELECT s.*, s.preloaded AND s.enabled AND s.active AND NOT s.recovery AS working
	  FROM defer.server_state() s
), live AS MATERIALIZED (
	SELECT j.owner, j.function, j.queue, pg_catalog.count(*) FILTER (WHERE j.state <> 'running') AS waiting,
		pg_catalog.count(*) FILTER (WHERE j.ready) AS ready,
		pg_catalog.min(j.run_at) FILTER (WHERE j.ready) AS oldest,
		COALESCE(f.paused, false) AS function_paused, COALESCE(q.paused, false) AS queue_paused
	  FROM defer.live_jobs j
	  LEFT JOIN defer.function f ON f.signature = j.function
	  LEFT JOIN defer.queue q ON q.name = j.queue
	 GROUP BY j.owner, j.function, j.queue, f.paused, q.paused
)
SELECT 'error' AS severity,
	'defer is not loaded by the server: no job runs and no schedule fires' AS finding,
	'Add defer to shared_preload_libraries in postgresql.conf and restart the server.' AS hint
  FROM server s WHERE NOT s.preloaded
UNION ALL
SELECT 'warning', 'defer.enabled is off: no schedule fires and no job is begun',
	'ALTER SYSTEM SET defer.enabled = on; SELECT pg_reload_conf();'
  FROM server s WHERE NOT s.enabled
UNION ALL
SELECT 'error', 'this database was restored or copied from another one: nothing fires in it',
	'If it is to do the work from now on, call defer.activate() as a superuser.'
  FROM server s WHERE NOT s.active
UNION ALL
SELECT 'info', 'this server is a standby: jobs run and schedules fire on the primary',
	'Nothing is to be done; after a promotion they do so here.'
  FROM server s WHERE s.recovery
UNION ALL
SELECT 'error', 'the launcher does not run: no database is served',
	'It starts again by itself within seconds. If it does not, look for the reason in the server''s log.'
  FROM server s WHERE s.preloaded AND NOT s.recovery AND NOT s.launcher
UNION ALL
SELECT 'error', 'no scheduler runs in this database: no schedule fires, and no worker is started',
	CASE WHEN s.no_slots THEN 'There is no free background worker: raise max_worker_processes and restart the server.'
		ELSE 'It is started within seconds. If it is not, look for the reason in the server''s log.' END
  FROM server s WHERE s.working AND s.launcher AND NOT s.scheduler
UNION ALL
SELECT 'error', 'a worker could not be started: all background workers of the server are in use',
	'Raise max_worker_processes (now ' || pg_catalog.current_setting('max_worker_processes') || ') and restart the server.'
  FROM server s WHERE s.no_slots AND s.scheduler
UNION ALL
SELECT 'error', 'workers are started and cannot connect to this database: jobs of their roles wait',
	'The server''s log says why; it may be max_connections, or a CONNECTION LIMIT. They are tried again, at least every minute.'
  FROM server s WHERE s.refused AND s.scheduler
UNION ALL
SELECT 'error', 'there are more limits and pauses of functions and queues than defer.shared_slots: jobs under some of them do not run',
	'Raise defer.shared_slots (now ' || pg_catalog.current_setting('defer.shared_slots') || ') and restart the server, or take limits back.'
  FROM server s WHERE s.limits_overflow
UNION ALL
SELECT 'warning', 'defer.shared_slots is too small for the roles, priorities and limits of waiting jobs: some are looked for in the table, slowly',
	'Raise defer.shared_slots (now ' || pg_catalog.current_setting('defer.shared_slots') || ') and restart the server.'
  FROM server s WHERE s.overflow
UNION ALL
SELECT 'warning', pg_catalog.format('%s ready jobs of role %s have no worker, the oldest since %s', w.ready, w.owner,
		pg_catalog.date_trunc('second', w.oldest)),
	CASE WHEN s.workers >= s.max_workers
		THEN pg_catalog.format('All %s workers are in use: see defer.workers; raise defer.max_workers and restart the server.', s.max_workers)
		ELSE 'See the other findings, and the server''s log.' END
  FROM server s,
	(SELECT l.owner, pg_catalog.sum(l.ready) AS ready, pg_catalog.min(l.oldest) AS oldest
	   FROM live l WHERE l.ready > 0 AND NOT l.function_paused AND NOT l.queue_paused
	  GROUP BY l.owner) w
 WHERE s.working AND w.oldest < pg_catalog.statement_timestamp() - interval '1 minute'
   AND NOT EXISTS (SELECT FROM defer.processes() p JOIN pg_catalog.pg_database d ON d.oid = p.database
					WHERE p.kind = 'worker' AND p.role = w.owner AND d.datname = pg_catalog.current_database())
UNION ALL
SELECT 'warning', pg_catalog.format('a job of %s has been ready since %s, and %s in all are', l.function,
		pg_catalog.date_trunc('second', pg_catalog.min(l.oldest)), pg_catalog.sum(l.ready)),
	'More comes in than goes out: raise the limit it is under (see defer.functions, defer.queues), or defer.max_workers, or make the function faster.'
  FROM server s, live l
 WHERE s.working AND l.ready > 0 AND NOT l.function_paused AND NOT l.queue_paused
 GROUP BY l.function
HAVING pg_catalog.min(l.oldest) < pg_catalog.statement_timestamp() - interval '5 minutes'
UNION ALL
SELECT 'info', pg_catalog.format('function %s is paused, and %s of its jobs wait', l.function, pg_catalog.sum(l.waiting)),
	pg_catalog.format('SELECT defer.resume(%L);', l.function)
  FROM live l WHERE l.function_paused AND l.waiting > 0 GROUP BY l.function
UNION ALL
SELECT 'info', pg_catalog.format('queue "%s" is paused, and %s jobs wait in it', l.queue, pg_catalog.sum(l.waiting)),
	pg_catalog.format('SELECT defer.resume_queue(%L);', l.queue)
  FROM live l WHERE l.queue_paused AND l.waiting > 0 GROUP BY l.queue
UNION ALL
SELECT 'error', pg_catalog.format('schedule "%s" of role %s does not go on: %s', s.name, s.owner, s.last_error),
	pg_catalog.format('Put it right with defer.alter_cron(%L, ...), or remove it with defer.unschedule(%L).', s.name, s.name)
  FROM defer.schedule s WHERE s.active AND s.last_error IS NOT NULL AND defer.may_see(s.owner)
UNION ALL
SELECT 'warning', pg_catalog.format('%s jobs of %s failed for good during the last day', pg_catalog.sum(c.failed), c.function),
	pg_catalog.format('SELECT id, args, sqlstate, error FROM defer.jobs WHERE state = ''failed'' AND function = %L;', c.function)
  FROM defer.job_counts c
 WHERE c.failed > 0 AND c.hour > pg_catalog.statement_timestamp() - interval '25 hours' AND defer.may_see(c.owner)
 GROUP BY c.function
UNION ALL
SELECT 'error',
	CASE WHEN r.oid IS NULL THEN pg_catalog.format('role %s does not exist any more: its %s jobs cannot run', o.owner, o.waiting)
		WHEN NOT r.rolcanlogin THEN pg_catalog.format('role %s may not log in: its %s jobs cannot run', o.owner, o.waiting)
		ELSE pg_catalog.format('role %s may not connect to this database: its %s jobs cannot run', o.owner, o.waiting) END,
	CASE WHEN r.oid IS NULL THEN 'Cancel them with defer.cancel().'
		WHEN NOT r.rolcanlogin THEN pg_catalog.format('ALTER ROLE %s LOGIN;', o.owner)
		ELSE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %s;', pg_catalog.current_database(), o.owner) END
  FROM (SELECT l.owner, pg_catalog.sum(l.waiting) AS waiting FROM live l WHERE l.waiting > 0 GROUP BY l.owner) o
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = o.owner
 WHERE r.oid IS NULL OR NOT r.rolcanlogin
	OR NOT pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT')
UNION ALL
SELECT 'warning', pg_catalog.format('defer.run_superuser_jobs is off: %s jobs of superuser %s will fail', pg_catalog.sum(l.waiting), l.owner),
	'Cancel them with defer.cancel(), or switch the setting on.'
  FROM server s, live l JOIN pg_catalog.pg_roles r ON r.oid = l.owner
 WHERE NOT s.run_superuser_jobs AND r.rolsuper AND l.waiting > 0
 GROUP BY l.owner
UNION ALL
SELECT 'warning', pg_catalog.format('process %s has had a transaction open since %s: what defer deletes meanwhile cannot be vacuumed',
		a.pid, pg_catalog.date_trunc('second', a.xact_start)),
	pg_catalog.format('End it. If nobody will: SELECT pg_terminate_backend(%s);', a.pid)
  FROM pg_catalog.pg_stat_activity a
 WHERE a.datname = pg_catalog.current_database() AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
   AND a.xact_start < pg_catalog.statement_timestamp() - interval '1 hour'
UNION ALL
SELECT 'warning', pg_catalog.format('transaction %L was prepared at %s and is not ended: its jobs cannot begin, and what defer deletes meanwhile cannot be vacuumed',
		p.gid, pg_catalog.date_trunc('second', p.prepared)),
	pg_catalog.format('COMMIT PREPARED %L; or ROLLBACK PREPARED %L;', p.gid, p.gid)
  FROM pg_catalog.pg_prepared_xacts p
 WHERE p.database = pg_catalog.current_database() AND p.prepared < pg_catalog.statement_timestamp() - interval '5 minutes'
   AND (defer.may_see(0::oid)
		OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = p.owner AND defer.may_see(r.oid)))
UNION ALL
SELECT 'info', pg_catalog.format('defer.%I holds rows: they are not removed by the day', t.name),
	pg_catalog.format('Delete those that are not needed any more: DELETE FROM defer.%I;', t.name)
  FROM (SELECT 'job_history_default' AS name
		 WHERE EXISTS (SELECT FROM defer.job_history_default h
						WHERE h.finished_at < pg_catalog.statement_timestamp() - interval '2 days')
		UNION ALL
		SELECT 'attempt_default'
		 WHERE EXISTS (SELECT FROM defer.attempt_default a
						WHERE a.finished_at < pg_catalog.statement_timestamp() - interval '2 days')
		UNION ALL
		SELECT 'log_default'
		 WHERE EXISTS (SELECT FROM defer.log_default l
						WHERE l.at < pg_catalog.statement_timestamp() - interval '2 days')) t
 WHERE defer.may_see(0::oid);
COMMENT ON VIEW defer.health IS
	'what is wrong with defer and with jobs and schedules you may see, and what to do about it; no row is good. severity: error (something does not run), warning, info';

------------------------------------------------------------------------------
-- Rights
------------------------------------------------------------------------------

-- Nothing for PUBLIC but what GRANT USAGE ON SCHEMA defer opens: the functions and
-- the views.  Each of them looks at who asks.  Explicitly, because somebody's
-- default privileges may say something else.
REVOKE ALL ON SCHEMA defer FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA defer FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA defer FROM PUBLIC;

-- Default privileges may have given some to roles by name, too
DO LANGUAGE plpgsql $do$
DECLARE
	g record;
BEGIN
	FOR g IN
		SELECT DISTINCT pg_catalog.format('REVOKE ALL ON %s defer%s FROM %I', o.kind, o.name, r.rolname) AS command
		  FROM (SELECT 'SCHEMA' AS kind, '' AS name, n.nspowner AS owner, n.nspacl AS acl
				  FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'defer'
				UNION ALL
				SELECT CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
					pg_catalog.format('.%I', c.relname), c.relowner, c.relacl
				  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
				 WHERE n.nspname OPERATOR(pg_catalog.=) 'defer' AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,S,v}')
				UNION ALL
				SELECT 'FUNCTION', pg_catalog.format('.%I(%s)', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
					p.proowner, p.proacl
				  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
				 WHERE n.nspname OPERATOR(pg_catalog.=) 'defer') o
		 CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) a
		  JOIN pg_catalog.pg_authid r ON r.oid OPERATOR(pg_catalog.=) a.grantee
		 WHERE a.grantee OPERATOR(pg_catalog.<>) o.owner
	LOOP
		EXECUTE g.command;
	END LOOP;
END $do$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA defer TO PUBLIC;

-- Not for everybody who has USAGE:
REVOKE EXECUTE ON FUNCTION defer.alert, defer.endpoint, defer.http, defer.email, defer.slack FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION defer.activate() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION defer.note_restore() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION defer.owner_only() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION defer.run_schedules(timestamptz) FROM PUBLIC;

GRANT SELECT ON defer.jobs, defer.attempts, defer.logs, defer.schedules, defer.functions, defer.queues,
	defer.alerts, defer.endpoints, defer.workers, defer.health, defer.live_jobs, defer.live_functions, defer.live_queues,
	defer.statistics TO PUBLIC, pg_monitor;

GRANT SELECT ON defer.jobs, defer.attempts, defer.logs, defer.schedules, defer.functions, defer.queues, defer.settings,
	defer.endpoints, defer.workers, defer.health TO PUBLIC, pg_monitor;
GRANT USAGE ON SCHEMA defer TO pg_monitor;
