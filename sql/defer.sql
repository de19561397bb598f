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
	lane			bigint NOT NULL DEFAULT 0,
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
CREATE INDEX job_claim_idx ON defer.job (owner, lane, priority, run_at, id);
CREATE UNIQUE INDEX job_key_idx ON defer.job (owner, function, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX job_schedule_idx ON defer.job (schedule_id, scheduled_for) WHERE schedule_id IS NOT NULL;

COMMENT ON TABLE defer.job IS 'jobs that are not finished; look at defer.jobs instead';
COMMENT ON COLUMN defer.job.lane IS
	'0, or the concurrency limits the job is under: number of the limited function << 32 | number of the limited queue';
COMMENT ON COLUMN defer.job.claim IS
	'the claim (row of defer.claim) of the worker that has taken the job; NULL when it is free to be taken';
COMMENT ON COLUMN defer.job.attempt IS 'attempts that have ended without success and count';
COMMENT ON COLUMN defer.job.crashes IS 'attempts known to have ended with the process or the server';
COMMENT ON COLUMN defer.job.suspect IS
	'0; 1: may have been running when the server crashed, taken alone; 2: did so twice in company, runs while no other such job does';
COMMENT ON COLUMN defer.job.conflicts IS 'retries after serialization failures and deadlocks, which are not attempts';
COMMENT ON COLUMN defer.job.kind IS 'f function, p procedure, c command';
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
CREATE INDEX job_history_id_idx ON defer.job_history (id);
COMMENT ON TABLE defer.job_history IS 'finished jobs, a partition for each UTC day of finish; look at defer.jobs instead';
COMMENT ON COLUMN defer.job_history.state IS 's succeeded, f failed, c cancelled, d discarded';
COMMENT ON COLUMN defer.job_history.attempt IS 'attempts that were started';
CREATE TABLE defer.job_history_default PARTITION OF defer.job_history DEFAULT;
COMMENT ON TABLE defer.job_history_default IS 'finished jobs of days that have no partition yet';

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
CREATE INDEX attempt_job_id_idx ON defer.attempt (job_id);
COMMENT ON TABLE defer.attempt IS 'attempts that did not succeed; look at defer.attempts instead';
COMMENT ON COLUMN defer.attempt.outcome IS
	'failed, timed_out, crashed, conflict (class 40, retried at once), snoozed, cancelled, interrupted (the server or the process was stopped)';
CREATE TABLE defer.attempt_default PARTITION OF defer.attempt DEFAULT;
COMMENT ON TABLE defer.attempt_default IS 'attempts of days that have no partition yet';

CREATE TABLE defer.log (
	job_id		bigint NOT NULL,
	owner		regrole NOT NULL,
	attempt		integer NOT NULL,
	at			timestamptz NOT NULL,
	level		text NOT NULL,
	message		text NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX log_job_id_idx ON defer.log (job_id);
COMMENT ON TABLE defer.log IS 'what jobs said; look at defer.logs instead';
CREATE TABLE defer.log_default PARTITION OF defer.log DEFAULT;
COMMENT ON TABLE defer.log_default IS 'messages of days that have no partition yet';

CREATE SEQUENCE defer.function_id_seq AS integer;
COMMENT ON SEQUENCE defer.function_id_seq IS 'numbers of configured functions, part of a lane';
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
COMMENT ON SEQUENCE defer.queue_id_seq IS 'numbers of queues, part of a lane';
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
	queue			text NOT NULL,
	priority		integer NOT NULL,
	next_tick		timestamptz,
	next_run_at		timestamptz,
	last_tick		timestamptz,
	last_run_at		timestamptz,
	last_error		text,
	created_at		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT schedule_pkey PRIMARY KEY (id),
	CONSTRAINT schedule_owner_name_key UNIQUE (owner, name)
);
CREATE INDEX schedule_due_idx ON defer.schedule (next_run_at) WHERE active AND next_run_at IS NOT NULL;
CREATE INDEX schedule_function_idx ON defer.schedule (function);
COMMENT ON TABLE defer.schedule IS 'schedules; look at defer.schedules instead';
COMMENT ON COLUMN defer.schedule.next_tick IS 'the next time the schedule names';
COMMENT ON COLUMN defer.schedule.next_run_at IS 'next_tick and the schedule''s jitter: when its job is enqueued';
COMMENT ON COLUMN defer.schedule.last_error IS 'why the schedule does not go on, when it does not';

SELECT pg_catalog.pg_extension_config_dump('defer.origin', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.claim', '');
SELECT pg_catalog.pg_extension_config_dump('defer.claim_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job_history_default', '');
SELECT pg_catalog.pg_extension_config_dump('defer.attempt_default', '');
SELECT pg_catalog.pg_extension_config_dump('defer.log_default', '');
SELECT pg_catalog.pg_extension_config_dump('defer.function', '');
SELECT pg_catalog.pg_extension_config_dump('defer.function_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.queue', '');
SELECT pg_catalog.pg_extension_config_dump('defer.queue_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.schedule', '');
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

------------------------------------------------------------------------------
-- Views
------------------------------------------------------------------------------

------------------------------------------------------------------------------
-- Rights
------------------------------------------------------------------------------
