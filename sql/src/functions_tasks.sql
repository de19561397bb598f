/*
 * sql/src/functions_tasks.sql
 *		Tasks, and the calls of workers outside of the server.
 */

CREATE FUNCTION defer.create_task(name text, queue text DEFAULT NULL, priority bigint DEFAULT NULL,
								  max_attempts bigint DEFAULT NULL, initial_interval interval DEFAULT NULL,
								  multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
								  randomization double precision DEFAULT NULL, concurrency bigint DEFAULT NULL,
								  at_limit text DEFAULT NULL, max_duration interval DEFAULT NULL,
								  discard_after interval DEFAULT NULL, group_by text DEFAULT NULL,
								  group_concurrency bigint DEFAULT NULL, rate text DEFAULT NULL,
								  rate_burst bigint DEFAULT NULL, group_rate text DEFAULT NULL,
								  group_rate_burst bigint DEFAULT NULL, group_order text DEFAULT NULL,
								  on_group_failure text DEFAULT NULL, max_queued bigint DEFAULT NULL,
								  group_max_queued bigint DEFAULT NULL, schema jsonb DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_create_task';
COMMENT ON FUNCTION defer.create_task IS
	'makes a task of yours: a function that lives outside of the server, whose jobs workers take by defer.take(). defer.enqueue(), defer.cron(), defer.configure() and all others take its name, of 1 to 200 bytes, unique in the database; a function that search_path finds wins over it. Settings as in defer.configure(). group_by names a member of the arguments, or metadata.<name>. schema: JSON Schema that arguments are checked with at enqueue; keywords type, properties, required, enum and items. Errors: there is one of that name; you may not create tasks, see defer.grant_tasks(). Takes effect when you commit';

CREATE FUNCTION defer.alter_task(name text, schema jsonb) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_alter_task';
COMMENT ON FUNCTION defer.alter_task(text, jsonb) IS
	'changes the schema of a task that you own, for jobs that are enqueued later; NULL: arguments are not checked. Its settings are changed by defer.configure(). Takes effect when you commit';

CREATE FUNCTION defer.drop_task(name text) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_drop_task';
COMMENT ON FUNCTION defer.drop_task(text) IS
	'removes a task that you own, when you commit. False: there is none of that name. Error while jobs of it that are not finished or schedules are there. Waits for transactions that have enqueued it';

CREATE FUNCTION defer.grant_task(name text, role text, "right" text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_grant_task';
COMMENT ON FUNCTION defer.grant_task(text, text, text) IS
	'lets a role and its members enqueue jobs of a task that you own (right enqueue), or take and end them (right work), which shows them the arguments of all roles'' jobs of it. "public" is every role. The role''s name is taken as it is, without quotes. Takes effect when you commit';

CREATE FUNCTION defer.revoke_task(name text, role text, "right" text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_revoke_task';
COMMENT ON FUNCTION defer.revoke_task(text, text, text) IS
	'takes back what defer.grant_task() gave: jobs that the role has taken cannot be ended by it any more. No error if there is nothing to take. Takes effect when you commit';

CREATE FUNCTION defer.grant_tasks(role text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_grant_tasks';
COMMENT ON FUNCTION defer.grant_tasks(text) IS
	'lets a role and its members create tasks in this database; "public" is every role. For superusers and the owner of the database, who can create them anyway. Takes effect when you commit';

CREATE FUNCTION defer.revoke_tasks(role text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_revoke_tasks';
COMMENT ON FUNCTION defer.revoke_tasks(text) IS
	'takes back what defer.grant_tasks() gave; tasks that the role has made stay. No error if there is nothing to take. Takes effect when you commit';

CREATE FUNCTION defer.take(tasks text[] DEFAULT NULL, queues text[] DEFAULT NULL, n bigint DEFAULT 1,
						   lease interval DEFAULT '5 minutes', worker text DEFAULT NULL,
						   OUT id bigint, OUT token uuid, OUT task text, OUT args jsonb, OUT attempt integer,
						   OUT max_attempts integer, OUT metadata jsonb, OUT group_key text,
						   OUT lease_until timestamptz, OUT deadline timestamptz) RETURNS SETOF record
	LANGUAGE c ROWS 10 AS 'MODULE_PATHNAME', 'defer_take';
COMMENT ON FUNCTION defer.take IS
	'takes up to n (1 to 500) jobs of tasks that are due, for a worker outside of the server, when you commit. tasks, queues: of these only; NULL: of all tasks that you may work on, in all queues. The token is new for each call; with it the worker ends the jobs, by defer.complete(), defer.fail() or defer.release(). A job that is not ended is taken from it after lease (1 second to 7 days), which defer.heartbeat() extends, at the earliest at lease_until; and at its deadline, max_duration after it was taken. attempt counts this one. worker: a name of up to 63 bytes, for defer.workers. Errors: no such task or queue; no right to work on the task; your role holds as many jobs as it may';

CREATE PROCEDURE defer.wait_for_work(tasks text[] DEFAULT NULL, timeout interval DEFAULT '1 minute',
									 queues text[] DEFAULT NULL, INOUT work boolean DEFAULT NULL,
									 worker text DEFAULT NULL)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_wait_for_work';
COMMENT ON PROCEDURE defer.wait_for_work(text[], interval, text[], boolean, text) IS
	'waits until there may be jobs for defer.take(tasks, queues): work is true then, and false when timeout is over (NULL: never), or shortly before statement_timeout or transaction_timeout would be. Commits first, and holds no snapshot while it waits: nothing is polled. For each job that comes one session is woken; if it takes none within a second, or ends, another one is. Errors: in a transaction block or where CALL cannot commit; in a copy that was not activated and during recovery; no such task or queue; no right to work on the task. tasks NULL: those that you may work on now. worker: a name of up to 63 bytes, for defer.workers';

CREATE FUNCTION defer.complete(id bigint, token uuid, result jsonb DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_complete';
COMMENT ON FUNCTION defer.complete(bigint, uuid, jsonb) IS
	'ends a job that you have taken as succeeded, when you commit: together with what else the transaction writes, or not at all. Errors, after any of which the transaction cannot commit, whatever has caught it: DF030 if you do not hold the job with this token, because the lease is over or there is no such job or token; DF031 if it was cancelled; DF032 if it was ended with this token before. The first two may also come from COMMIT. PREPARE TRANSACTION is an error then';

CREATE FUNCTION defer.complete_many(ids bigint[], tokens uuid[], results jsonb[] DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_complete_many';
COMMENT ON FUNCTION defer.complete_many(bigint[], uuid[], jsonb[]) IS
	'ends many jobs that you have taken as succeeded, all of them or none, as defer.complete() does. The arrays have as many elements, at most 10000';

CREATE FUNCTION defer.fail(id bigint, token uuid, message text, sqlstate text DEFAULT NULL, detail text DEFAULT NULL,
						   retry boolean DEFAULT true, retry_in interval DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_fail';
COMMENT ON FUNCTION defer.fail(bigint, uuid, text, text, text, boolean, interval) IS
	'ends the attempt at a job that you have taken as failed, when you commit. It is tried again by its retry policy, or in retry_in; with retry => false, or after the last attempt, it has failed. sqlstate: five characters, P0001 by itself; with 40001 or 40P01, a conflict with other transactions, and without retry_in it is tried again at once, and uses no attempt, the first five times. A job that was cancelled is cancelled then. Errors as of defer.complete(), but for DF031';

CREATE FUNCTION defer.release(id bigint, token uuid, delay interval DEFAULT '0') RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_release';
COMMENT ON FUNCTION defer.release(bigint, uuid, interval) IS
	'gives a job that you have taken back, when you commit: it can be taken again after delay, and uses no attempt. Errors as of defer.fail()';

CREATE FUNCTION defer.heartbeat(id bigint, token uuid, progress double precision DEFAULT NULL,
								extend interval DEFAULT NULL) RETURNS text
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_heartbeat';
COMMENT ON FUNCTION defer.heartbeat(bigint, uuid, double precision, interval) IS
	'has the lease of a job that you have taken end extend from now, NULL: its length; returns "go on", or "cancel" if the job was cancelled. At once, whether you commit or not; writes nothing. progress: 0 to 1, for those who look. Errors: DF030, DF032 as of defer.complete(), but the transaction can commit';

CREATE FUNCTION defer.heartbeat_many(ids bigint[], tokens uuid[], extend interval DEFAULT NULL,
									 OUT id bigint, OUT answer text) RETURNS SETOF record
	LANGUAGE c ROWS 100 AS 'MODULE_PATHNAME', 'defer_heartbeat_many';
COMMENT ON FUNCTION defer.heartbeat_many(bigint[], uuid[], interval) IS
	'does what defer.heartbeat() does, for many jobs; answer is "lost" of those that you do not hold';

CREATE FUNCTION defer.log(id bigint, token uuid, message text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_task_log';
COMMENT ON FUNCTION defer.log(bigint, uuid, text) IS
	'adds a message to a job that you have taken, for defer.logs, when you commit. Errors: DF030, DF032 as of defer.complete(), but the transaction can commit';

CREATE FUNCTION defer.as_job(id bigint, token uuid) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_as_job';
COMMENT ON FUNCTION defer.as_job(bigint, uuid) IS
	'has your transaction act as a job that you have taken, up to its end: the job is the parent of what it enqueues, and defer.current_job(), defer.when_done(), defer.batch(), defer.inputs(), defer.log(text) and defer.progress() are about it. What you enqueue is your role''s all the same. Another call in the transaction counts instead; with its savepoint it is rolled back. Errors as of defer.complete(), but for DF031; in a job that a worker of the server runs. PREPARE TRANSACTION is an error then';

CREATE FUNCTION defer.lease_state(id bigint, token uuid) RETURNS text
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_lease_state';
COMMENT ON FUNCTION defer.lease_state(bigint, uuid) IS
	'what has become of a job that was taken with this token: held, completed, failed (this attempt), released, cancelled or lost. For a worker that has not heard the answer to its COMMIT. Error DF030 if there is no such job or token';
