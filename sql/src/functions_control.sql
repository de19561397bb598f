/*
 * sql/src/functions_control.sql
 *		Cancelling, rescheduling, running again and awaiting jobs.
 */

CREATE FUNCTION defer.cancel(id bigint, force boolean DEFAULT false) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_cancel';
COMMENT ON FUNCTION defer.cancel(bigint, boolean) IS
	'ends a job that waits as cancelled, when you commit; with force, stops a running one, too: at once, whether you commit or not, and it ends within about a second. False: it has finished, or runs and force is false. Error if there is no such job of yours';

CREATE FUNCTION defer.reschedule(id bigint, run_at timestamptz DEFAULT pg_catalog.now()) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_reschedule';
COMMENT ON FUNCTION defer.reschedule(bigint, timestamptz) IS
	'moves a job that waits, for its first attempt or a retry, to another time, when you commit; attempts already made still count; one that waits for other jobs then begins no earlier. False: it runs or has finished. Error if there is no such job of yours, or if it would be discarded before run_at';

CREATE FUNCTION defer.rerun(id bigint, from_step text DEFAULT NULL, force boolean DEFAULT false) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_rerun';
COMMENT ON FUNCTION defer.rerun(bigint, text, boolean) IS
	'enqueues a new job with the owner, function, arguments, queue, priority, metadata and options of a job, finished or not, and returns its id; begun after you commit. It has no key, no discard_at and no schedule, and waits for no other job; rerun_of in defer.jobs is the job it comes from, of a rerun of a rerun the first one. If the job was run again already, by defer.rerun() or defer.retry(), and that is unfinished or has succeeded, nothing is enqueued, with a NOTICE, and the id of that job is returned; force: enqueue all the same. from_step: it has the steps of that procedure that were done before that one began, and does not run them again. Its success counts for jobs that are held because that job failed. Error if there is no such job of yours, if its owner may no longer use the function or the queue, or if the function belongs to another role than when the job was enqueued';

CREATE FUNCTION defer.retry(id bigint, force boolean DEFAULT false) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_retry';
COMMENT ON FUNCTION defer.retry(bigint, boolean) IS
	'takes a job that has failed for good on again, when you commit: the same job, with its id, arguments, key, steps and batch, all attempts of its policy and no discard_at; jobs that are held because it failed wait for its next end, others that came after it have ended and stay as they are. False, with a NOTICE: it has not failed, or was run again already and that is unfinished or has succeeded (force: only if it is this job). Error if there is no such job of yours, if another job has its key, or if it cannot be run: see defer.rerun()';

CREATE FUNCTION defer.acknowledge(id bigint, note text DEFAULT NULL) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_acknowledge';
COMMENT ON FUNCTION defer.acknowledge(bigint, text) IS
	'notes that you know of the failure of a job, and of its reruns: defer.health and defer.errors do not count it any more, and defer.failures says who, when and the note. False: none of them has failed, or something was done about it already. Error if there is no such job of yours, or if note has more than 1000 bytes';

CREATE FUNCTION defer.await(id bigint, timeout interval DEFAULT NULL) RETURNS jsonb
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_await';
COMMENT ON FUNCTION defer.await(bigint, interval) IS
	'waits until a job has ended, and returns its result once that is on disk. timeout NULL waits without end. Errors: the job''s own, with its SQLSTATE, if it failed; DF010 if it was cancelled, DF011 if it was discarded, DF012 after the timeout; at once if the job was enqueued or changed in this transaction, as it cannot begin before its commit, or if it needs the place, under a limit of 1, of the job that this is called in. A job that needs a lock which this transaction holds is waited for in vain';

CREATE PROCEDURE defer.await_any(ids bigint[], timeout interval DEFAULT NULL, INOUT id bigint DEFAULT NULL,
								 INOUT state text DEFAULT NULL, INOUT result jsonb DEFAULT NULL)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_await_any';
COMMENT ON PROCEDURE defer.await_any(bigint[], interval, bigint, text, jsonb) IS
	'waits until one of up to 10000 jobs that you may see has ended, however; returns its id, how it has ended (succeeded, failed, cancelled, discarded) and its result. All are NULL when timeout is over, by NULL never, or shortly before statement_timeout or transaction_timeout would be. Commits first, and holds no snapshot while it waits, as defer.await() does. Errors: in a transaction block or where CALL cannot commit; in a job; if a job is not there, or of a role that you may not see';

CREATE FUNCTION defer.result(id bigint) RETURNS jsonb
	LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_result';
COMMENT ON FUNCTION defer.result(bigint) IS
	'the result of a job that has ended, as of now; NULL if it has none. Inside a job also of those that it came after and whose history is gone. Error if it has not ended, or if there is no such job that you may see';

-- The same for all jobs that pass a filter: see bulk/bulk.c

CREATE FUNCTION defer.cancel_jobs(states text[] DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL,
		parent_id bigint DEFAULT NULL, schedule_id bigint DEFAULT NULL, metadata jsonb DEFAULT NULL,
		error text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
		before bigint DEFAULT NULL, group_key text DEFAULT NULL, fingerprint text DEFAULT NULL,
		args jsonb DEFAULT NULL, key text DEFAULT NULL, owner text DEFAULT NULL,
		force boolean DEFAULT false, dry_run boolean DEFAULT false, everything boolean DEFAULT false,
		OUT matched bigint, OUT done bigint, OUT job_id bigint)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_cancel_jobs';
COMMENT ON FUNCTION defer.cancel_jobs(text[], text, text, bigint, bigint, jsonb, text, timestamptz, timestamptz, bigint, text, text, jsonb, text, text, boolean, boolean, boolean) IS
	'cancels all unfinished jobs that you may manage and that pass the filters of defer.find_jobs(), as defer.cancel() does. matched: how many there are; done: how many were cancelled; the others are left as they are, such as running ones without force. Up to 10000 in your transaction; of more, the set is stored, and the job job_id of yours cancels them part by part after your commit, can be cancelled itself, and has the counts as its result. dry_run only counts. Errors: no filter, unless everything; a state in which no job can be cancelled; too many commands of yours in progress';

CREATE FUNCTION defer.rerun_jobs(states text[] DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL,
		parent_id bigint DEFAULT NULL, schedule_id bigint DEFAULT NULL, metadata jsonb DEFAULT NULL,
		error text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
		before bigint DEFAULT NULL, group_key text DEFAULT NULL, fingerprint text DEFAULT NULL,
		args jsonb DEFAULT NULL, key text DEFAULT NULL, owner text DEFAULT NULL,
		force boolean DEFAULT false, dry_run boolean DEFAULT false, everything boolean DEFAULT false,
		OUT matched bigint, OUT done bigint, OUT job_id bigint)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_rerun_jobs';
COMMENT ON FUNCTION defer.rerun_jobs(text[], text, text, bigint, bigint, jsonb, text, timestamptz, timestamptz, bigint, text, text, jsonb, text, text, boolean, boolean, boolean) IS
	'enqueues a copy of each finished job that you may manage and that passes the filters of defer.find_jobs(), as defer.rerun() does. Jobs that were run again already are left alone, unless force; so are those that cannot be run. matched, done, job_id, dry_run, everything, errors: as of defer.cancel_jobs()';

CREATE FUNCTION defer.retry_jobs(states text[] DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL,
		parent_id bigint DEFAULT NULL, schedule_id bigint DEFAULT NULL, metadata jsonb DEFAULT NULL,
		error text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
		before bigint DEFAULT NULL, group_key text DEFAULT NULL, fingerprint text DEFAULT NULL,
		args jsonb DEFAULT NULL, key text DEFAULT NULL, owner text DEFAULT NULL,
		force boolean DEFAULT false, dry_run boolean DEFAULT false, everything boolean DEFAULT false,
		OUT matched bigint, OUT done bigint, OUT job_id bigint)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_retry_jobs';
COMMENT ON FUNCTION defer.retry_jobs(text[], text, text, bigint, bigint, jsonb, text, timestamptz, timestamptz, bigint, text, text, jsonb, text, text, boolean, boolean, boolean) IS
	'takes on again all failed jobs that you may manage, about which nothing was done and that pass the filters of defer.find_jobs(), as defer.retry() does; force: also those that were run again or acknowledged. Jobs that cannot be run, or whose key another job has, are left alone. matched, done, job_id, dry_run, everything, errors: as of defer.cancel_jobs()';

CREATE FUNCTION defer.acknowledge_jobs(states text[] DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL,
		parent_id bigint DEFAULT NULL, schedule_id bigint DEFAULT NULL, metadata jsonb DEFAULT NULL,
		error text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
		before bigint DEFAULT NULL, group_key text DEFAULT NULL, fingerprint text DEFAULT NULL,
		args jsonb DEFAULT NULL, key text DEFAULT NULL, owner text DEFAULT NULL,
		note text DEFAULT NULL, dry_run boolean DEFAULT false, everything boolean DEFAULT false,
		OUT matched bigint, OUT done bigint, OUT job_id bigint)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_acknowledge_jobs';
COMMENT ON FUNCTION defer.acknowledge_jobs(text[], text, text, bigint, bigint, jsonb, text, timestamptz, timestamptz, bigint, text, text, jsonb, text, text, text, boolean, boolean) IS
	'notes for all failed jobs that you may manage, about which nothing was done and that pass the filters of defer.find_jobs(), that you know of the failure, as defer.acknowledge() does. matched, done, job_id, dry_run, everything, errors: as of defer.cancel_jobs(); also if note has more than 1000 bytes';

CREATE FUNCTION defer.reschedule_jobs(states text[] DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL,
		parent_id bigint DEFAULT NULL, schedule_id bigint DEFAULT NULL, metadata jsonb DEFAULT NULL,
		error text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
		before bigint DEFAULT NULL, group_key text DEFAULT NULL, fingerprint text DEFAULT NULL,
		args jsonb DEFAULT NULL, key text DEFAULT NULL, owner text DEFAULT NULL,
		run_at timestamptz DEFAULT pg_catalog.now(), dry_run boolean DEFAULT false, everything boolean DEFAULT false,
		OUT matched bigint, OUT done bigint, OUT job_id bigint)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_reschedule_jobs';
COMMENT ON FUNCTION defer.reschedule_jobs(text[], text, text, bigint, bigint, jsonb, text, timestamptz, timestamptz, bigint, text, text, jsonb, text, text, timestamptz, boolean, boolean) IS
	'moves all waiting jobs that you may manage and that pass the filters of defer.find_jobs() to run_at, as defer.reschedule() does. Jobs that run, or would be discarded before run_at, are left alone. matched, done, job_id, dry_run, everything, errors: as of defer.cancel_jobs(); also if run_at is not finite';

CREATE PROCEDURE defer.run_bulk(bulk bigint, OUT matched bigint, OUT done bigint, OUT left_alone bigint)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_run_bulk';
COMMENT ON PROCEDURE defer.run_bulk(bigint) IS
	'deals with the jobs of a command on many, part by part; only as the job that defer.cancel_jobs() and its like enqueue';

CREATE FUNCTION defer.drain(queue text DEFAULT NULL, max bigint DEFAULT NULL, as_of timestamptz DEFAULT NULL,
							raise boolean DEFAULT false) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_drain';
COMMENT ON FUNCTION defer.drain(text, bigint, timestamptz, boolean) IS
	'for tests: runs your own jobs that may begin, and those that these enqueue, one after the other in this session and transaction, and returns how many ran. queue: only its jobs; max: so many at most; as_of: those that may begin by then, not only by now; raise: an error of a job is raised, not recorded. Limits, pauses and max_duration are those of workers, and do not hold here; deliveries are not sent. Errors: in a job, in a read-only transaction. What is done is undone if you roll back';
