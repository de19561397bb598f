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
	'moves a job that waits, for its first attempt or a retry, to another time, when you commit; attempts already made still count. False: it runs or has finished. Error if there is no such job of yours, or if it would be discarded before run_at';

CREATE FUNCTION defer.rerun(id bigint) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_rerun';
COMMENT ON FUNCTION defer.rerun(bigint) IS
	'enqueues a new job with the owner, function, arguments, queue, priority, metadata and options of a job, finished or not, and returns its id; begun after you commit. It has no key, no discard_at and no schedule; rerun_of in defer.jobs tells where it comes from. Error if there is no such job of yours, if its owner may no longer use the function or the queue, or if the function belongs to another role than when the job was enqueued';

CREATE FUNCTION defer.await(id bigint, timeout interval DEFAULT NULL) RETURNS jsonb
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_await';
COMMENT ON FUNCTION defer.await(bigint, interval) IS
	'waits until a job has ended, and returns its result once that is on disk. timeout NULL waits without end. Errors: the job''s own, with its SQLSTATE, if it failed; DF010 if it was cancelled, DF011 if it was discarded, DF012 after the timeout; at once if the job was enqueued or changed in this transaction, as it cannot begin before its commit. A job that needs a lock which this transaction holds is waited for in vain';
