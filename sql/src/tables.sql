/*
 * sql/src/tables.sql
 *		Tables, sequences and indexes; what pg_dump saves of them.
 */

-- This installation: made anew by CREATE EXTENSION, never dumped.  A dump, a
-- template copy, carries defer.origin with another UUID or this row with
-- another database's OID; either keeps everything still until activate().
CREATE TABLE defer.installation (
	id			uuid NOT NULL PRIMARY KEY,
	database	oid NOT NULL,
	created_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	node		integer
);
COMMENT ON TABLE defer.installation IS
	'identity of this installation; not dumped, so that a restored copy is recognised';
COMMENT ON COLUMN defer.installation.node IS
	'its number as a node of Citus; a server with another one is a copy of it. NULL: no node, or the coordinator';

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
	limits_key		bigint NOT NULL DEFAULT 0,
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
	followed_by		bigint,
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
	function_owner	regrole,
	rerun_of		bigint,
	group_key		text,
	behind			bigint,
	waits			"char",
	not_before		timestamptz,
	fan_out_id		bigint,
	order_scope		integer,
	first_started_at timestamptz,
	earlier_time	bigint,
	CONSTRAINT job_pkey PRIMARY KEY (id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02,
		autovacuum_vacuum_threshold = 20000, autovacuum_analyze_scale_factor = 0.2,
		autovacuum_analyze_threshold = 20000);
-- Jobs that wait for something else than a time and a worker have run_at "infinity".  They
-- are not in this index, and leave no dead entries at the end of a ready queue.
CREATE INDEX job_claim_idx ON defer.job (owner, limits_key, priority, run_at, id)
	WHERE run_at OPERATOR(pg_catalog.<) 'infinity'::pg_catalog.timestamptz;
-- the key of a running job that another one waits behind is that one's
CREATE UNIQUE INDEX job_key_idx ON defer.job (owner, function, key) WHERE key IS NOT NULL AND followed_by IS NULL;
CREATE UNIQUE INDEX job_schedule_idx ON defer.job (schedule_id, scheduled_for) WHERE schedule_id IS NOT NULL;
-- jobs that wait for the end of another: runs, with overlap => 'queue', for the one
-- before them; and, without a schedule, those with on_key => 'replace'
CREATE INDEX job_held_idx ON defer.job (schedule_id, scheduled_for, behind)
	WHERE run_at OPERATOR(pg_catalog.=) 'infinity'::pg_catalog.timestamptz AND waits IS NULL;
CREATE INDEX job_waits_idx ON defer.job (id) WHERE waits IS NOT NULL;
-- jobs of which an attempt has failed
CREATE INDEX job_error_idx ON defer.job (id) WHERE sqlstate IS NOT NULL;
-- the order of jobs of groups with group_order => 'strict': a rerun has the place of its job
CREATE INDEX job_order_idx ON defer.job (order_scope, group_key COLLATE pg_catalog."C",
		(COALESCE(rerun_of, id)), id) WHERE order_scope IS NOT NULL;

COMMENT ON TABLE defer.job IS 'jobs that are not finished; look at defer.jobs instead';
COMMENT ON COLUMN defer.job.limits_key IS
	'0, or the concurrency limits the job is under: number of the limited function << 32 | number of the limited queue; of deliveries the same with the sign bit set, of tasks with the bit below it';
COMMENT ON COLUMN defer.job.claim IS
	'the claim (row of defer.claim) of the worker that has taken the job; NULL when it is free to be taken';
COMMENT ON COLUMN defer.job.attempt IS 'attempts that have ended without success and count';
COMMENT ON COLUMN defer.job.crashes IS 'attempts known to have ended with the process or the server';
COMMENT ON COLUMN defer.job.suspect IS
	'crashes of the server that it may have caused; after two it is taken alone, and runs while no other such job does';
COMMENT ON COLUMN defer.job.conflicts IS 'retries after serialization failures and deadlocks, which are not attempts';
COMMENT ON COLUMN defer.job.kind IS 'f function, p procedure, c command, t task, w workflow; deliveries: h HTTP, e e-mail, s Slack';
COMMENT ON COLUMN defer.job.group_key IS 'the group, such as a tenant; NULL: the job is in none';
COMMENT ON COLUMN defer.job.rerun_of IS 'the job that this is another run of: see defer.rerun()';
COMMENT ON COLUMN defer.job.behind IS
	'the job with the same key that ran when this one was to replace it: this one may begin when that one has ended; run_at is infinity until then';
COMMENT ON COLUMN defer.job.followed_by IS 'the job that waits behind this one, and has its key now';
COMMENT ON COLUMN defer.job.function_owner IS
	'owner of the function when the job was enqueued: a function that another role makes anew under its name is not run; NULL for commands and deliveries';
COMMENT ON COLUMN defer.job.options IS 'the job''s own retry policy and max_duration; times in microseconds';
COMMENT ON COLUMN defer.job.sqlstate IS 'SQLSTATE of the last attempt''s error';
COMMENT ON COLUMN defer.job.error IS 'message of the last attempt''s error';
COMMENT ON COLUMN defer.job.waits IS
	'j: waits for other jobs to end, see defer.dependency; run_at is "infinity" until then; p: the same, and is then prepared by the scheduler, see defer.workflow_step. In a step of a procedure: s sleeps until run_at, w waits for other jobs, e for an event. NULL: it does not';
COMMENT ON COLUMN defer.job.fan_out_id IS
	'the job whose batch, one with "deep", this job is counted in; see defer.fan_out';
COMMENT ON COLUMN defer.job.order_scope IS
	'the jobs of its group run in the order of their ids, under this queue or, below 0, this function: their numbers; NULL: they do not';
COMMENT ON COLUMN defer.job.first_started_at IS
	'of a procedure with steps: when its first pass began, once that has ended; NULL: it has not';
COMMENT ON COLUMN defer.job.earlier_time IS 'how long its passes took that have ended, together, in microseconds';
COMMENT ON COLUMN defer.job.not_before IS
	'of a job that waits, or is behind another: run_at afterwards; discard_at is as far from it as it will be from run_at';

-- A row for each job that another one comes after.  It stays as long as the later job,
-- which can ask for the results of the earlier ones.  See job/dependents.c.
CREATE TABLE defer.dependency (
	child_id		bigint NOT NULL,
	ord				integer NOT NULL,
	owner			regrole NOT NULL,
	parent_id		bigint NOT NULL,
	awaits_id		bigint NOT NULL,
	open			boolean NOT NULL,
	after_failure	"char" NOT NULL,
	state			"char",
	function		text,
	result			jsonb,
	on_states		text,
	CONSTRAINT dependency_pkey PRIMARY KEY (child_id, ord)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000);
CREATE INDEX dependency_awaits_idx ON defer.dependency (awaits_id, child_id) WHERE open;
CREATE INDEX dependency_open_idx ON defer.dependency (child_id, ord) WHERE open;
-- jobs that are held because an earlier one has not succeeded: few, as a rule
CREATE INDEX dependency_held_idx ON defer.dependency (child_id) WHERE open AND state IS NOT NULL;
CREATE INDEX dependency_fan_out_idx ON defer.dependency (awaits_id) WHERE awaits_id OPERATOR(pg_catalog.<) 0;
COMMENT ON TABLE defer.dependency IS 'jobs that come after other jobs; look at defer.dependencies instead';
COMMENT ON COLUMN defer.dependency.ord IS 'place of the earlier job in "after", from 1 on';
COMMENT ON COLUMN defer.dependency.parent_id IS
	'the earlier job, or the rerun of it whose success counted for it; a negative id: the batch of that job, see defer.fan_out';
COMMENT ON COLUMN defer.dependency.awaits_id IS
	'the job whose end is awaited; once that has failed, and the later job is held, the first of the line of reruns of which one has to succeed';
COMMENT ON COLUMN defer.dependency.open IS 'the later job still waits for this';
COMMENT ON COLUMN defer.dependency.after_failure IS 'if the earlier job does not succeed: c cancel, r run, h hold; w, in a step: run, also if others have not ended; o: run, and if the later one ends before, and not well, the earlier one is cancelled';
COMMENT ON COLUMN defer.dependency.state IS
	'how the earlier job ended, as in defer.job_history, or g if it is gone; NULL: it has not';
COMMENT ON COLUMN defer.dependency.function IS 'of the earlier job, once its history is gone; so is result';
COMMENT ON COLUMN defer.dependency.on_states IS
	'letters of the states of the earlier job in which the later one runs, of defer.when_done(); NULL: after_failure says what is done';

-- Batches: jobs for which defer.when_done() was called before they had ended, and how many
-- of the jobs that they have enqueued have ended.  Only the scheduler changes a row, by
-- adding up those of fan_out_delta: see table/fan_out_count.c and job/fan_out_task.c.
CREATE TABLE defer.fan_out (
	id				bigint NOT NULL,
	owner			regrole NOT NULL,
	from_id			bigint NOT NULL,
	deep			boolean NOT NULL,
	outer_id		bigint,
	closed			boolean NOT NULL DEFAULT false,
	done			boolean NOT NULL DEFAULT false,
	jobs			bigint NOT NULL DEFAULT 0,
	succeeded		bigint NOT NULL DEFAULT 0,
	failed			bigint NOT NULL DEFAULT 0,
	cancelled		bigint NOT NULL DEFAULT 0,
	discarded		bigint NOT NULL DEFAULT 0,
	CONSTRAINT fan_out_pkey PRIMARY KEY (id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- those that are over, and have to be found: none, as a rule
CREATE INDEX fan_out_over_idx ON defer.fan_out (id)
	WHERE closed AND NOT done AND jobs OPERATOR(pg_catalog.=)
		(succeeded OPERATOR(pg_catalog.+) failed OPERATOR(pg_catalog.+) cancelled OPERATOR(pg_catalog.+) discarded);
COMMENT ON TABLE defer.fan_out IS 'batches, the jobs that a job enqueues, for the end of which others wait; look at defer.batches instead';
COMMENT ON COLUMN defer.fan_out.id IS 'the job that enqueues the others';
COMMENT ON COLUMN defer.fan_out.from_id IS 'jobs with smaller ids are not counted: they were enqueued before';
COMMENT ON COLUMN defer.fan_out.deep IS 'the jobs that these enqueue are counted, too';
COMMENT ON COLUMN defer.fan_out.outer_id IS 'the batch, one with "deep", in which all that is counted here is counted as well';
COMMENT ON COLUMN defer.fan_out.closed IS 'the job has ended';
COMMENT ON COLUMN defer.fan_out.done IS 'it and all jobs that are counted have ended';

CREATE TABLE defer.fan_out_delta (
	id				bigint NOT NULL,
	closed			boolean NOT NULL,
	jobs			bigint NOT NULL,
	succeeded		bigint NOT NULL,
	failed			bigint NOT NULL,
	cancelled		bigint NOT NULL,
	discarded		bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
COMMENT ON TABLE defer.fan_out_delta IS
	'counts that the scheduler has not added to defer.fan_out yet; a row is what one transaction has enqueued or ended';

-- What procedures with steps have done.  A row is committed together with the work of the
-- step, and stays as long as the job.  See steps/pass.c.
CREATE TABLE defer.step (
	job_id			bigint NOT NULL,
	name			text COLLATE pg_catalog."C" NOT NULL,
	owner			regrole NOT NULL,
	ord				integer NOT NULL,
	kind			"char" NOT NULL,
	result			jsonb,
	started_at		timestamptz NOT NULL,
	finished_at		timestamptz,
	until			timestamptz,
	awaits			text,
	waits_since		timestamptz,
	CONSTRAINT step_pkey PRIMARY KEY (job_id, name)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000);
-- steps that wait for something else than a time: see alert/conditions.c
CREATE INDEX step_waits_idx ON defer.step (owner, waits_since) WHERE waits_since IS NOT NULL;
COMMENT ON TABLE defer.step IS 'steps of procedures; look at defer.steps instead';
COMMENT ON COLUMN defer.step.owner IS 'of the job';
COMMENT ON COLUMN defer.step.ord IS 'place of the step in the run of the procedure that first came to it, from 1 on';
COMMENT ON COLUMN defer.step.kind IS 's step, t defer.now(), r defer.random(); waits: z sleep, j for a job, a for several, h for an HTTP request, e for an event';
COMMENT ON COLUMN defer.step.started_at IS 'in the run that completed it, or that began to wait';
COMMENT ON COLUMN defer.step.finished_at IS 'NULL: it waits';
COMMENT ON COLUMN defer.step.waits_since IS
	'when it began to wait for something else than a time; NULL: it does not, or its job has ended';
COMMENT ON COLUMN defer.step.until IS 'of a wait: when it ends, at the latest; NULL: not known';
COMMENT ON COLUMN defer.step.awaits IS 'what a wait is for: the id of a job, how many jobs, the name of an event; NULL: for a time';

-- What steps wait for.  "key" stands for it in defer.dependency.awaits_id: see steps/event.c.
CREATE TABLE defer.event (
	owner		regrole NOT NULL,
	name		text COLLATE pg_catalog."C" NOT NULL,
	key			bigint NOT NULL,
	payload		jsonb,
	at			timestamptz NOT NULL,
	CONSTRAINT event_pkey PRIMARY KEY (owner, name)
);
CREATE INDEX event_key_idx ON defer.event (key);
CREATE INDEX event_at_idx ON defer.event (at);
COMMENT ON TABLE defer.event IS 'events that were emitted; look at defer.events instead. Removed after defer.event_retention';
COMMENT ON COLUMN defer.event.key IS 'a hash of owner and name, below 0';
CREATE SEQUENCE defer.signal_id_seq AS bigint;
COMMENT ON SEQUENCE defer.signal_id_seq IS 'numbers of signals, in whose order they are consumed';
CREATE TABLE defer.signal (
	job_id		bigint NOT NULL,
	name		text COLLATE pg_catalog."C" NOT NULL,
	id			bigint NOT NULL DEFAULT pg_catalog.nextval('defer.signal_id_seq'::pg_catalog.regclass),
	owner		regrole NOT NULL,
	key			bigint NOT NULL,
	payload		jsonb,
	at			timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT signal_pkey PRIMARY KEY (job_id, name, id)
);
CREATE INDEX signal_key_idx ON defer.signal (key);
COMMENT ON TABLE defer.signal IS 'signals to jobs that no step has consumed yet';
COMMENT ON COLUMN defer.signal.owner IS 'of the job';
COMMENT ON COLUMN defer.signal.key IS 'a hash of job_id and name, below 0';
CREATE TABLE defer.event_grant (
	owner		regrole NOT NULL,
	prefix		text COLLATE pg_catalog."C" NOT NULL,
	grantee		regrole NOT NULL,
	CONSTRAINT event_grant_pkey PRIMARY KEY (owner, prefix, grantee)
);
COMMENT ON TABLE defer.event_grant IS 'roles that may emit events of the owner whose name begins so; look at defer.event_grants instead';

-- Workflows.  Each is a job, which has a row of defer.dependency for each of its steps, with
-- the same "ord", and these are jobs, too: see workflow/workflow.c.
CREATE TABLE defer.workflow (
	id			bigint NOT NULL,
	owner		regrole NOT NULL,
	name		text NOT NULL,
	args		jsonb,
	retry_of	bigint,
	parent_id	bigint,
	created_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT workflow_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE defer.workflow IS 'workflows, by their jobs; look at defer.workflows instead';
COMMENT ON COLUMN defer.workflow.parent_id IS 'the job that has started it; that of a step, if it is one of another workflow';
COMMENT ON COLUMN defer.workflow.retry_of IS 'the workflow that this is another run of: see defer.retry_workflow()';
CREATE TABLE defer.workflow_step (
	workflow_id	bigint NOT NULL,
	ord			integer NOT NULL,
	owner		regrole NOT NULL,
	name		text COLLATE pg_catalog."C" NOT NULL,
	job_id		bigint NOT NULL,
	function	text NOT NULL,
	after		integer[] NOT NULL,
	on_failure	"char" NOT NULL,
	final		boolean NOT NULL,
	skipped		boolean NOT NULL DEFAULT false,
	definition	jsonb NOT NULL,
	CONSTRAINT workflow_step_pkey PRIMARY KEY (workflow_id, ord)
);
CREATE UNIQUE INDEX workflow_step_name_idx ON defer.workflow_step (workflow_id, name);
CREATE INDEX workflow_step_job_idx ON defer.workflow_step (job_id);
COMMENT ON TABLE defer.workflow_step IS 'steps of workflows; look at defer.workflow_steps instead';
COMMENT ON COLUMN defer.workflow_step.owner IS 'of the workflow';
COMMENT ON COLUMN defer.workflow_step.job_id IS 'its job, which is one of an earlier workflow if that has done the step';
COMMENT ON COLUMN defer.workflow_step.function IS 'signature of its function, or the name of its task; else defer.http, defer.email, defer.command or defer.workflow. With for_each, of its jobs';
COMMENT ON COLUMN defer.workflow_step.after IS 'ord of the steps that have to end before';
COMMENT ON COLUMN defer.workflow_step.on_failure IS 'f the workflow fails, s the steps after it are left out, r they are run all the same';
COMMENT ON COLUMN defer.workflow_step.final IS 'no other step comes after it';
COMMENT ON COLUMN defer.workflow_step.skipped IS 'its condition was not met: its job has succeeded without a run';
COMMENT ON COLUMN defer.workflow_step.definition IS 'as it was given, with functions as signatures';

-- Keys that count for a time after the enqueue, whatever has become of the job
CREATE TABLE defer.key_hold (
	owner		regrole NOT NULL,
	function	text NOT NULL,
	key			text NOT NULL,
	job_id		bigint NOT NULL,
	until		timestamptz NOT NULL,
	CONSTRAINT key_hold_pkey PRIMARY KEY (owner, function, key)
);
CREATE INDEX key_hold_until_idx ON defer.key_hold (until);
COMMENT ON TABLE defer.key_hold IS
	'keys of jobs that were enqueued with key_for: no other job of that owner, function and key is enqueued until then; rows that are over are removed by the scheduler';

-- One row for each batch a worker has taken, so that recovery after a crash
-- reads what was taken and not the whole of defer.job.
CREATE TABLE defer.claim (
	id			bigint NOT NULL PRIMARY KEY,
	claimed_at	timestamptz NOT NULL,
	jobs		bigint[] NOT NULL,
	token		uuid,
	role		regrole,
	length		bigint,
	worker		text
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE defer.claim IS 'batches of jobs taken by workers';
COMMENT ON COLUMN defer.claim.token IS 'by which a worker outside of the server ends the jobs; NULL: a process of defer has them';
COMMENT ON COLUMN defer.claim.role IS 'of that worker';
COMMENT ON COLUMN defer.claim.length IS 'of the leases, in microseconds';

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
	error			text,
	function_owner	regrole,
	rerun_of		bigint,
	group_key		text,
	token			uuid,
	fan_out_id		bigint,
	first_started_at timestamptz,
	earlier_time	bigint
) PARTITION BY RANGE (finished_at);
COMMENT ON TABLE defer.job_history IS 'finished jobs, a partition for each UTC day of finish; look at defer.jobs instead';
COMMENT ON COLUMN defer.job_history.state IS 's succeeded, f failed, c cancelled, d discarded';
COMMENT ON COLUMN defer.job_history.attempt IS 'attempts that were started';
COMMENT ON COLUMN defer.job_history.started_at IS 'of the last attempt, or pass of a procedure with steps';
COMMENT ON COLUMN defer.job_history.first_started_at IS 'as in defer.job: if the last pass was not the only one';
COMMENT ON COLUMN defer.job_history.earlier_time IS 'as in defer.job: of the passes before the last one';
COMMENT ON COLUMN defer.job_history.token IS 'by which a worker outside of the server has ended the job';
CREATE TABLE defer.job_history_default PARTITION OF defer.job_history DEFAULT;
CREATE INDEX job_history_default_id_idx ON defer.job_history_default (id);
CREATE INDEX job_history_default_parent_idx ON defer.job_history_default (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX job_history_default_schedule_idx ON defer.job_history_default (schedule_id, id) WHERE schedule_id IS NOT NULL;
CREATE INDEX job_history_default_trouble_idx ON defer.job_history_default (id) WHERE state OPERATOR(pg_catalog.<>) 's' OR error IS NOT NULL;
COMMENT ON COLUMN defer.job_history.fan_out_id IS 'as in defer.job';
COMMENT ON TABLE defer.job_history_default IS 'finished jobs of days that have no partition yet';

-- Failures for good, one row for each end of a job as failed.  Workers only insert, so there
-- is no unique index; sessions close rows: see table/failure_table.c and job/mend.c.
CREATE TABLE defer.failure (
	line_id			bigint NOT NULL,
	job_id			bigint NOT NULL,
	owner			regrole NOT NULL,
	function		text NOT NULL,
	fingerprint		text COLLATE pg_catalog."C" NOT NULL,
	failed_at		timestamptz NOT NULL,
	closed			"char",
	closed_at		timestamptz,
	closed_by		text,
	note			text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000);
CREATE INDEX failure_line_idx ON defer.failure (line_id);
CREATE INDEX failure_job_idx ON defer.failure (job_id);
-- Read a function at a time, by defer.health
CREATE INDEX failure_open_idx ON defer.failure (owner, (function COLLATE pg_catalog."C"), failed_at) WHERE closed IS NULL;
COMMENT ON TABLE defer.failure IS 'jobs that have failed for good, and what was done about it; look at defer.failures instead';
COMMENT ON COLUMN defer.failure.line_id IS 'the job, or the first one of its line of reruns';
COMMENT ON COLUMN defer.failure.fingerprint IS 'what errors of the same function that are alike have in common: see defer.error_fingerprint()';
COMMENT ON COLUMN defer.failure.closed IS 'what was done: r run again as another job, t taken on again itself, a acknowledged; NULL: nothing yet';
COMMENT ON COLUMN defer.failure.closed_by IS 'the role that did it, by its name then';
COMMENT ON COLUMN defer.failure.note IS 'of defer.acknowledge()';

-- A row for each job that was run again, with all of its reruns: who has locked it may
-- run the job again.
CREATE TABLE defer.rerun_line (
	id				bigint NOT NULL,
	owner			regrole NOT NULL,
	last_id			bigint NOT NULL,
	retried			boolean NOT NULL,
	changed_at		timestamptz NOT NULL,
	CONSTRAINT rerun_line_pkey PRIMARY KEY (id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000);
COMMENT ON TABLE defer.rerun_line IS 'jobs that were run again';
COMMENT ON COLUMN defer.rerun_line.id IS 'the first job of the line: rerun_of of the others';
COMMENT ON COLUMN defer.rerun_line.last_id IS 'the job of the line that was made, or taken on again, last; id: none was yet';
COMMENT ON COLUMN defer.rerun_line.retried IS 'last_id was taken on again by defer.retry()';

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
	retry_at	timestamptz,
	token		uuid
) PARTITION BY RANGE (finished_at);
COMMENT ON TABLE defer.attempt IS 'attempts that did not succeed; look at defer.attempts instead';
COMMENT ON COLUMN defer.attempt.outcome IS
	'failed, timed_out, crashed, conflict (class 40, retried at once), snoozed, cancelled, interrupted (the server or the process was stopped); of tasks lost (the lease was over) and released, too';
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

-- 30 bits are for each of them in job.limits_key
CREATE SEQUENCE defer.function_id_seq AS integer MAXVALUE 1073741823 CYCLE;
COMMENT ON SEQUENCE defer.function_id_seq IS 'numbers of configured functions, part of job.limits_key';
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
	owner				regrole NOT NULL,
	missing_since		timestamptz,
	group_by			text,
	group_concurrency	integer,
	group_overrides		boolean NOT NULL DEFAULT false,
	rate				text,
	rate_burst			integer,
	group_rate			text,
	group_rate_burst	integer,
	group_order			text,
	on_group_failure	text,
	max_queued			integer,
	group_max_queued	integer,
	cap					bigint,
	CONSTRAINT function_pkey PRIMARY KEY (signature),
	CONSTRAINT function_id_key UNIQUE (id),
	CONSTRAINT function_id_check CHECK (id OPERATOR(pg_catalog.>=) 1 AND id OPERATOR(pg_catalog.<=) 1073741823)
);
-- What lives outside of the server.  Its settings are in defer.function, under its name.
CREATE TABLE defer.task (
	name			text NOT NULL,
	owner			regrole NOT NULL,
	enqueue_roles	regrole[] NOT NULL DEFAULT '{}',
	work_roles		regrole[] NOT NULL DEFAULT '{}',
	schema			jsonb,
	created_at		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT task_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE defer.task IS 'tasks, made by defer.create_task; look at defer.tasks instead';
COMMENT ON COLUMN defer.task.enqueue_roles IS 'roles that may enqueue jobs of it besides its owner; 0 stands for everybody';
COMMENT ON COLUMN defer.task.work_roles IS 'roles that may take jobs of it besides its owner; 0 stands for everybody';
COMMENT ON COLUMN defer.task.schema IS 'JSON Schema that arguments are checked with; NULL: they are not';
CREATE TABLE defer.task_creator (
	role	regrole NOT NULL,
	CONSTRAINT task_creator_pkey PRIMARY KEY (role)
);
COMMENT ON TABLE defer.task_creator IS 'roles that may create tasks besides the owner of the database; 0 stands for everybody';
COMMENT ON TABLE defer.function IS 'settings of functions and tasks, made by defer.configure and defer.pause; NULL is the default';
COMMENT ON COLUMN defer.function.owner IS 'owner of the function: another role''s new function of that signature does not have these settings';
COMMENT ON COLUMN defer.function.group_by IS 'what names the group of a job: a parameter of the function, or metadata.<name>';
COMMENT ON COLUMN defer.function.group_overrides IS 'defer.group_setting has rows of the function';
COMMENT ON COLUMN defer.function.cap IS 'the number under which jobs are counted for max_queued and group_max_queued: another one whenever one of the two is set that was not, or taken off';
COMMENT ON COLUMN defer.function.missing_since IS 'when the scheduler first found that the function is gone; NULL: it is there';

CREATE SEQUENCE defer.queue_id_seq AS integer MAXVALUE 1073741823 CYCLE;
COMMENT ON SEQUENCE defer.queue_id_seq IS 'numbers of queues, part of job.limits_key';
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
	group_by			text,
	group_concurrency	integer,
	group_overrides		boolean NOT NULL DEFAULT false,
	rate				text,
	rate_burst			integer,
	group_rate			text,
	group_rate_burst	integer,
	reserved			integer,
	group_order			text,
	on_group_failure	text,
	max_queued			integer,
	group_max_queued	integer,
	cap					bigint,
	CONSTRAINT queue_pkey PRIMARY KEY (name),
	CONSTRAINT queue_id_key UNIQUE (id),
	CONSTRAINT queue_id_check CHECK (id OPERATOR(pg_catalog.>=) 1 AND id OPERATOR(pg_catalog.<=) 1073741823)
);
COMMENT ON TABLE defer.queue IS 'queues other than "default", and the settings of "default" where it has any';
COMMENT ON COLUMN defer.queue.group_by IS 'as in defer.function, of whatever function the job has';
COMMENT ON COLUMN defer.queue.group_overrides IS 'defer.group_setting has rows of the queue';
COMMENT ON COLUMN defer.queue.cap IS 'as in defer.function';
COMMENT ON COLUMN defer.queue.reserved IS 'so many of defer.max_workers are kept for its jobs';
COMMENT ON COLUMN defer.queue.granted IS 'roles that may use the queue besides its owner; 0 stands for everybody';

-- Settings of single groups.  They are looked up by scope and hash, never read all.
CREATE TABLE defer.group_setting (
	kind		"char" NOT NULL,
	id			integer NOT NULL,
	group_key	text NOT NULL,
	group_hash	bigint NOT NULL,
	concurrency	integer,
	paused		boolean NOT NULL DEFAULT false,
	reason		text,
	weight		double precision,
	rate		text,
	CONSTRAINT group_setting_pkey PRIMARY KEY (kind, id, group_key),
	CONSTRAINT group_setting_kind_check CHECK (kind OPERATOR(pg_catalog.=) ANY (ARRAY['f', 'q']::"char"[]))
);
CREATE INDEX group_setting_hash_idx ON defer.group_setting (kind, id, group_hash);
COMMENT ON TABLE defer.group_setting IS 'settings of single groups of a function or queue, made by defer.set_group; look at defer.groups instead';
COMMENT ON COLUMN defer.group_setting.kind IS 'f of a function, q of a queue';
COMMENT ON COLUMN defer.group_setting.id IS 'number of the function or queue';
COMMENT ON COLUMN defer.group_setting.group_hash IS 'as limits_group_hash() in base/limits_key.c computes it';
COMMENT ON COLUMN defer.group_setting.concurrency IS 'NULL: as for each group of the function or queue; -1: no limit';
COMMENT ON COLUMN defer.group_setting.weight IS 'NULL: 1';
COMMENT ON COLUMN defer.group_setting.rate IS 'NULL: as for each group of the function or queue';

-- Groups that are held back because a job of theirs has failed, with on_group_failure => 'hold'.
-- Ends of jobs insert rows, and never wait for each other; two may hold one group.
CREATE TABLE defer.group_hold (
	kind		"char" NOT NULL,
	id			integer NOT NULL,
	group_key	text NOT NULL,
	group_hash	bigint NOT NULL,
	job_id		bigint NOT NULL,
	owner		regrole NOT NULL,
	at			timestamptz NOT NULL
);
CREATE INDEX group_hold_idx ON defer.group_hold (kind, id, group_hash);
COMMENT ON TABLE defer.group_hold IS
	'groups that wait for defer.release_group(), as a job of theirs has failed; look at defer.groups instead';
COMMENT ON COLUMN defer.group_hold.kind IS 'f of a function, q of a queue';
COMMENT ON COLUMN defer.group_hold.id IS 'number of the function or queue';
COMMENT ON COLUMN defer.group_hold.group_hash IS 'as in defer.group_setting';
COMMENT ON COLUMN defer.group_hold.job_id IS 'the job that has failed';
COMMENT ON COLUMN defer.group_hold.owner IS 'of that job';

-- Written before an attempt begins that has taken a token, where the next one is more than
-- ten seconds off; read when a server starts.  It is not dumped: a copy begins anew.
CREATE TABLE defer.rate_used (
	kind		"char" NOT NULL,
	id			integer NOT NULL,
	group_hash	bigint NOT NULL,
	until		timestamptz NOT NULL,
	CONSTRAINT rate_used_pkey PRIMARY KEY (kind, id, group_hash)
);
COMMENT ON TABLE defer.rate_used IS 'tokens of rates that were taken: what must count as used after a crash of the server';
COMMENT ON COLUMN defer.rate_used.kind IS 'f of a function, q of a queue, e of an endpoint';
COMMENT ON COLUMN defer.rate_used.id IS 'number of the function, queue or endpoint';
COMMENT ON COLUMN defer.rate_used.group_hash IS 'of the group under it; 0: of all its jobs';
COMMENT ON COLUMN defer.rate_used.until IS 'when all tokens are there again';

CREATE SEQUENCE defer.schedule_id_seq AS bigint;
COMMENT ON SEQUENCE defer.schedule_id_seq IS 'ids of schedules';
CREATE TABLE defer.schedule (
	id				bigint NOT NULL DEFAULT pg_catalog.nextval('defer.schedule_id_seq'::pg_catalog.regclass),
	name			text NOT NULL,
	owner			regrole NOT NULL,
	kind			"char" NOT NULL,
	function		text NOT NULL,
	function_owner	regrole,
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
	group_key		text,
	starts_at		timestamptz,
	ends_at			timestamptz,
	max_runs		integer,
	pause_after_failures integer,
	runs			integer NOT NULL DEFAULT 0,
	failures		integer NOT NULL DEFAULT 0,
	paused_at		timestamptz,
	paused_by		text,
	pause_reason	text,
	when_done		text,
	when_done_owner	regrole,
	CONSTRAINT schedule_pkey PRIMARY KEY (id),
	CONSTRAINT schedule_owner_name_key UNIQUE (owner, name)
);
CREATE INDEX schedule_due_idx ON defer.schedule (next_run_at) WHERE active AND last_error IS NULL;
CREATE INDEX schedule_function_idx ON defer.schedule (function);
COMMENT ON TABLE defer.schedule IS 'schedules; look at defer.schedules instead';
COMMENT ON COLUMN defer.schedule.function IS 'signature of the function, or defer.command or defer.workflow';
COMMENT ON COLUMN defer.schedule.function_owner IS 'its owner when the schedule was made or changed, as in defer.job; NULL for commands';
COMMENT ON COLUMN defer.schedule.command IS 'the statement of a command; steps and args of a workflow, as JSON';
COMMENT ON COLUMN defer.schedule.queue IS 'NULL: as the settings of the function say';
COMMENT ON COLUMN defer.schedule.priority IS 'NULL: as the settings of the function or the queue say';
COMMENT ON COLUMN defer.schedule.group_key IS 'group of its jobs; NULL: none';
COMMENT ON COLUMN defer.schedule.when_done IS 'signature of the function that is run when a run and its batch have ended; NULL: none';
COMMENT ON COLUMN defer.schedule.when_done_owner IS 'its owner, as function_owner';
COMMENT ON COLUMN defer.schedule.next_tick IS 'the next time the schedule names';
COMMENT ON COLUMN defer.schedule.next_run_at IS 'next_tick and the schedule''s jitter: when its job is enqueued';
COMMENT ON COLUMN defer.schedule.last_error IS 'why the schedule does not go on, when it does not';
COMMENT ON COLUMN defer.schedule.runs IS 'runs that its times have started, for max_runs';
COMMENT ON COLUMN defer.schedule.failures IS 'failed runs in a row, for pause_after_failures';
COMMENT ON COLUMN defer.schedule.paused_by IS 'the role that paused it, by its name then; NULL: defer itself, see pause_reason';

-- Runs for times that are past, and have not been enqueued yet.  Deleted with the last part.
CREATE SEQUENCE defer.backfill_id_seq AS bigint;
COMMENT ON SEQUENCE defer.backfill_id_seq IS 'numbers of backfills';
CREATE TABLE defer.backfill (
	id			bigint NOT NULL DEFAULT pg_catalog.nextval('defer.backfill_id_seq'::pg_catalog.regclass),
	schedule_id	bigint NOT NULL,
	owner		regrole NOT NULL,
	since		timestamptz NOT NULL,
	until		timestamptz NOT NULL,
	overlap		text NOT NULL,
	priority	integer,
	runs		bigint NOT NULL,
	enqueued	bigint NOT NULL DEFAULT 0,
	created_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	created_by	text NOT NULL,
	rate		text,
	rate_used	timestamptz,
	CONSTRAINT backfill_pkey PRIMARY KEY (id)
) WITH (fillfactor = 50);
COMMENT ON TABLE defer.backfill IS 'backfills in progress; look at defer.backfills instead';
COMMENT ON COLUMN defer.backfill.rate_used IS 'what counts under the rate: see pure/rate.h; NULL: nothing yet';
COMMENT ON COLUMN defer.backfill.owner IS 'the schedule''s owner';
COMMENT ON COLUMN defer.backfill.created_by IS 'the role that called defer.backfill(), by its name then';
CREATE TABLE defer.backfill_part (
	backfill_id	bigint NOT NULL,
	part		integer NOT NULL,
	ticks		timestamptz[] NOT NULL,
	CONSTRAINT backfill_part_pkey PRIMARY KEY (backfill_id, part),
	CONSTRAINT backfill_part_backfill_fkey FOREIGN KEY (backfill_id) REFERENCES defer.backfill (id) ON DELETE CASCADE
);
COMMENT ON TABLE defer.backfill_part IS 'the times for which a backfill has still to enqueue runs';

-- Ends of runs of schedules with pause_after_failures: written in the transaction of
-- the end, deleted in the one that counts them in defer.schedule.failures.
CREATE TABLE defer.schedule_result (
	schedule_id	bigint NOT NULL,
	job_id		bigint NOT NULL,
	failed		boolean NOT NULL,
	at			timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX schedule_result_idx ON defer.schedule_result (schedule_id, at);
COMMENT ON TABLE defer.schedule_result IS 'ends of runs that defer.schedule.failures does not count yet';

-- Commands on more jobs than one transaction deals with: the job defer.run_bulk() of
-- the role takes one part after the other.  Deleted with the last part.
CREATE SEQUENCE defer.bulk_id_seq AS bigint;
COMMENT ON SEQUENCE defer.bulk_id_seq IS 'numbers of bulk commands';
CREATE TABLE defer.bulk (
	id			bigint NOT NULL DEFAULT pg_catalog.nextval('defer.bulk_id_seq'::pg_catalog.regclass),
	owner		regrole NOT NULL,
	action		text NOT NULL,
	force		boolean NOT NULL,
	run_at		timestamptz,
	job_id		bigint,
	matched		bigint NOT NULL DEFAULT 0,
	done		bigint NOT NULL DEFAULT 0,
	left_alone	bigint NOT NULL DEFAULT 0,
	created_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	note		text,
	CONSTRAINT bulk_pkey PRIMARY KEY (id)
) WITH (fillfactor = 50);
COMMENT ON TABLE defer.bulk IS 'bulk commands in progress; look at defer.bulk_jobs instead';
COMMENT ON COLUMN defer.bulk.action IS 'cancel, rerun, retry, acknowledge or reschedule';
COMMENT ON COLUMN defer.bulk.note IS 'of acknowledge';
CREATE TABLE defer.bulk_part (
	bulk_id		bigint NOT NULL,
	part		integer NOT NULL,
	ids			bigint[] NOT NULL,
	CONSTRAINT bulk_part_pkey PRIMARY KEY (bulk_id, part),
	CONSTRAINT bulk_part_bulk_fkey FOREIGN KEY (bulk_id) REFERENCES defer.bulk (id) ON DELETE CASCADE
);
COMMENT ON TABLE defer.bulk_part IS 'the jobs that a bulk command has still to deal with';

CREATE SEQUENCE defer.endpoint_id_seq AS integer MAXVALUE 1073741823 CYCLE;
COMMENT ON SEQUENCE defer.endpoint_id_seq IS 'numbers of endpoints with limits, part of what job.limits_key is a hash of';
CREATE TABLE defer.endpoint (
	name		text NOT NULL,
	owner		regrole NOT NULL,
	created_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	id			integer,
	concurrency	integer,
	rate		text,
	rate_burst	integer,
	granted		regrole[] NOT NULL DEFAULT '{}',
	kind		text NOT NULL,
	url			text NOT NULL,
	headers		jsonb,
	username	text,
	password	text,
	secret		text,
	sender		text,
	paused_until	timestamptz,
	CONSTRAINT endpoint_pkey PRIMARY KEY (name),
	CONSTRAINT endpoint_id_key UNIQUE (id)
);
COMMENT ON TABLE defer.endpoint IS 'addresses and credentials of deliveries; look at defer.endpoints instead';
COMMENT ON COLUMN defer.endpoint.created_at IS 'deliveries of other roles know the endpoint by it, whatever the name of its owner is by then';
COMMENT ON COLUMN defer.endpoint.id IS 'its number in shared memory; NULL: it never had a limit';
COMMENT ON COLUMN defer.endpoint.concurrency IS 'deliveries under way at the same time; NULL: no limit';
COMMENT ON COLUMN defer.endpoint.rate IS 'as in defer.function';
COMMENT ON COLUMN defer.endpoint.paused_until IS 'its server has answered 429 with Retry-After: nothing is sent before that';
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
	retries			integer,
	backlog			interval,
	workers			boolean NOT NULL,
	last_sent_at	timestamptz,
	created_at		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	endpoint_owner	regrole,
	step_waits		interval,
	waits_told		timestamptz NOT NULL DEFAULT '-infinity',
	CONSTRAINT alert_pkey PRIMARY KEY (id),
	CONSTRAINT alert_owner_name_key UNIQUE (owner, name)
);
COMMENT ON TABLE defer.alert IS 'rules for alerts; look at defer.alerts instead';
COMMENT ON COLUMN defer.alert.endpoint_owner IS 'owner of the endpoint when it was named: a role that takes the name later gets nothing';
COMMENT ON COLUMN defer.alert.retries IS 'tells of jobs whose attempt of this number has failed and is not the last; NULL: does not';
COMMENT ON COLUMN defer.alert.step_waits IS 'tells of steps that have waited for so long; NULL: does not';
COMMENT ON COLUMN defer.alert.waits_told IS 'steps that began to wait up to then were looked at, see defer.step.waits_since';
COMMENT ON COLUMN defer.alert.function IS 'signature, or defer.http and the like; NULL: all';

-- Events of the next message: written in the transaction that ends a job, deleted in the
-- one that enqueues the message.
CREATE TABLE defer.alert_event (
	alert_id	integer NOT NULL,
	kind		"char" NOT NULL,
	subject		text NOT NULL,
	job_id		bigint,
	at			timestamptz NOT NULL,
	message		text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX alert_event_idx ON defer.alert_event (alert_id, at);
COMMENT ON TABLE defer.alert_event IS 'events that are in no message yet';
COMMENT ON COLUMN defer.alert_event.kind IS
	'final state as in defer.job_history, or t retried, k tick that did not run, e step that waits, b backlog, w no worker, r recovered';

CREATE TABLE defer.alert_failing (
	alert_id	integer NOT NULL,
	subject		text NOT NULL,
	since		timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX alert_failing_idx ON defer.alert_failing (alert_id);
COMMENT ON TABLE defer.alert_failing IS
	'functions and conditions that alerts have events about and that have not recovered. Processes that record the first failure at the same time write a row each: a unique key would have them wait for each other';

-- What acts as a role, or has its secrets, is left out when the role is gone: it
-- would be dumped with its OID, which is another role's where it is restored.
SELECT pg_catalog.pg_extension_config_dump('defer.origin', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.job_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.key_hold',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.dependency',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.step',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.workflow',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.workflow_step',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.event',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.signal',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.signal_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.event_grant',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)'
	' AND EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) grantee)');
SELECT pg_catalog.pg_extension_config_dump('defer.fan_out',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.fan_out_delta', '');
SELECT pg_catalog.pg_extension_config_dump('defer.failure',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.rerun_line',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.claim', '');
SELECT pg_catalog.pg_extension_config_dump('defer.claim_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job_history_default', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job_rollup', '');
SELECT pg_catalog.pg_extension_config_dump('defer.job_rollup_new', '');
SELECT pg_catalog.pg_extension_config_dump('defer.attempt_default', '');
SELECT pg_catalog.pg_extension_config_dump('defer.log_default', '');
SELECT pg_catalog.pg_extension_config_dump('defer.function', '');
SELECT pg_catalog.pg_extension_config_dump('defer.function_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.task',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.task_creator',
	'WHERE role OPERATOR(pg_catalog.=) 0::pg_catalog.oid OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) role)');
SELECT pg_catalog.pg_extension_config_dump('defer.queue', '');
SELECT pg_catalog.pg_extension_config_dump('defer.queue_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.group_setting', '');
SELECT pg_catalog.pg_extension_config_dump('defer.group_hold',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.endpoint',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.endpoint_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.alert',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.alert_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.schedule',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.schedule_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.backfill',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.backfill_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.backfill_part',
	'WHERE EXISTS (SELECT FROM defer.backfill b JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) b.owner WHERE b.id OPERATOR(pg_catalog.=) backfill_id)');
SELECT pg_catalog.pg_extension_config_dump('defer.bulk',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) owner)');
SELECT pg_catalog.pg_extension_config_dump('defer.bulk_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('defer.bulk_part',
	'WHERE EXISTS (SELECT FROM defer.bulk b JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) b.owner WHERE b.id OPERATOR(pg_catalog.=) bulk_id)');
SELECT pg_catalog.pg_extension_config_dump('defer.schedule_result', '');

INSERT INTO defer.installation (id, database)
	SELECT pg_catalog.gen_random_uuid(), d.oid
	  FROM pg_catalog.pg_database d
	 WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database();
INSERT INTO defer.origin (id) SELECT i.id FROM defer.installation i;
