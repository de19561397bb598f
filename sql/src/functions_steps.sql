/*
 * sql/src/functions_steps.sql
 *		Steps of procedures that run as jobs.
 */

-- PL/pgSQL wants a variable for each INOUT argument, so there is a form without it
CREATE PROCEDURE defer.step(name text, function text, args jsonb DEFAULT NULL)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_step';
COMMENT ON PROCEDURE defer.step(text, text, jsonb) IS
	'a step of a procedure that runs as a job: runs the function, with arguments as of defer.enqueue(), and commits: its writes, what the procedure has written since the step before, and the mark that it is done are one commit. In later runs of the procedure, after an error or a crash, a step that is done is not run again. Errors of the function are those of the job. Error outside a job, where the procedure cannot commit, twice by one name, or if the result is larger than defer.max_payload';
CREATE PROCEDURE defer.step(name text, function text, args jsonb, INOUT result jsonb)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_step';
COMMENT ON PROCEDURE defer.step(text, text, jsonb, jsonb) IS
	'the same, with the function''s result as JSON; of a step that is done, what it returned then';

CREATE FUNCTION defer.begin_step(name text) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_begin_step';
COMMENT ON FUNCTION defer.begin_step(text) IS
	'whether the statements up to CALL defer.end_step() of that name are to be run: false if the step is done. Error outside a procedure that runs as a job, in a block with EXCEPTION, twice by one name, or if something was written since the step before';
CREATE PROCEDURE defer.end_step(name text, result jsonb DEFAULT NULL)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_end_step';
COMMENT ON PROCEDURE defer.end_step(text, jsonb) IS
	'commits what was written since defer.begin_step(), together with the mark that the step is done; the result is for defer.steps. Error if the step has not begun, its transaction has ended, or the procedure cannot commit';

CREATE FUNCTION defer.now(name text) RETURNS timestamptz
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_now';
COMMENT ON FUNCTION defer.now(text) IS
	'the time, which is the same in later runs of the procedure: written with the next step. Error outside a procedure that runs as a job, or twice by one name';
CREATE FUNCTION defer.random(name text) RETURNS double precision
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_random';
COMMENT ON FUNCTION defer.random(text) IS
	'a random number, 0 <= x < 1, which is the same in later runs of the procedure: written with the next step. Error outside a procedure that runs as a job, or twice by one name';

CREATE PROCEDURE defer.sleep(name text, duration interval)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_sleep';
COMMENT ON PROCEDURE defer.sleep(text, interval) IS
	'a step that waits for a time, counted from the first run of the procedure that comes to it. What the procedure has written since the step before is committed; the job waits without a worker or a transaction, and uses no attempt. Then the procedure is called again from its beginning. Errors: as of defer.step(); a negative duration, or more than 100 years';
CREATE PROCEDURE defer.sleep_until(name text, "time" timestamptz)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_sleep_until';
COMMENT ON PROCEDURE defer.sleep_until(text, timestamptz) IS
	'the same, until a time that the first run has given; if that is over the step is done at once';

CREATE PROCEDURE defer.wait_job(name text, id bigint, on_failure text DEFAULT 'fail')
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_wait_job';
COMMENT ON PROCEDURE defer.wait_job(text, bigint, text) IS
	'a step that waits until a job of yours has ended, as defer.sleep() does. on_failure: what is done if that does not succeed: fail raises an error, return goes on. Errors: as of defer.step(); there is no such job that you may manage';
CREATE PROCEDURE defer.wait_job(name text, id bigint, INOUT result jsonb)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_wait_job';
COMMENT ON PROCEDURE defer.wait_job(text, bigint, jsonb) IS
	'the same, with the result of the job';
CREATE PROCEDURE defer.wait_job(name text, id bigint, on_failure text, INOUT result jsonb)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_wait_job';
COMMENT ON PROCEDURE defer.wait_job(text, bigint, text, jsonb) IS
	'the same, with on_failure and the result: with return, what a job that did not succeed has left, such as the answer to a delivery, or NULL';

CREATE PROCEDURE defer.step_all(name text, function text, args jsonb, on_failure text DEFAULT 'fail')
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_step_all';
COMMENT ON PROCEDURE defer.step_all(text, text, jsonb, text) IS
	'a step that enqueues a job of the function for each element of args, an array, and waits until all of them have ended, as defer.sleep() does. An element is the arguments of its job, as of defer.enqueue(); a single value is the only one. An empty array is done at once. on_failure: what is done if one of them does not succeed: fail raises an error, return goes on. If the procedure is cancelled or fails before, those that have not ended are cancelled, by force. Errors: as of defer.step() and defer.enqueue()';
CREATE PROCEDURE defer.step_all(name text, function text, args jsonb, INOUT results jsonb)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_step_all';
COMMENT ON PROCEDURE defer.step_all(text, text, jsonb, jsonb) IS
	'the same, with the results as an array, in the order of args. Error if they are larger than defer.max_payload together';
CREATE PROCEDURE defer.step_all(name text, function text, args jsonb, on_failure text, INOUT results jsonb)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_step_all';
COMMENT ON PROCEDURE defer.step_all(text, text, jsonb, text, jsonb) IS
	'the same, with on_failure and the results: with return, null for a job that did not succeed and has left no result';

CREATE PROCEDURE defer.wait_event(name text, event text, timeout interval DEFAULT NULL)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_wait_for_event';
COMMENT ON PROCEDURE defer.wait_event(text, text, interval) IS
	'a step that waits, as defer.sleep() does, for an event of the job''s owner, which may have been emitted before, or for a signal of that name to the job, which it consumes. timeout counts from the first run of the procedure that comes to it; NULL: none. Errors: as of defer.step()';
CREATE PROCEDURE defer.wait_event(name text, event text, timeout interval, INOUT payload jsonb)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_wait_for_event';
COMMENT ON PROCEDURE defer.wait_event(text, text, interval, jsonb) IS
	'the same, with the payload: JSON''s null if it has none, and SQL''s NULL after the timeout';

CREATE FUNCTION defer.emit(event text, payload jsonb DEFAULT NULL, of text DEFAULT NULL) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_emit';
COMMENT ON FUNCTION defer.emit(text, jsonb, text) IS
	'an event of yours, or of the role "of" where that has granted it: steps that wait for it go on, and those that come to it within defer.event_retention do not wait, when you have committed. The first of a name counts: false, and nothing is done, if there is one. Waits for a transaction that has emitted the same event and is not committed. The name has 1 to 200 bytes. Error if you have no right to it, or the payload is larger than defer.max_payload';
CREATE FUNCTION defer.emit(event varchar, payload json, of text DEFAULT NULL) RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_emit_json';
COMMENT ON FUNCTION defer.emit(varchar, json, text) IS 'the same with the payload as json';
CREATE FUNCTION defer.signal(job_id bigint, name text, payload jsonb DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_signal';
COMMENT ON FUNCTION defer.signal(bigint, text, jsonb) IS
	'a signal to a job that you may manage: one defer.wait_event() of that name consumes it, now or later, and the next one the next signal, when you have committed. Error if there is no such job, if it has ended, or if the payload is larger than defer.max_payload';
CREATE FUNCTION defer.signal(job_id bigint, name varchar, payload json) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_signal_json';
COMMENT ON FUNCTION defer.signal(bigint, varchar, json) IS 'the same with the payload as json';
CREATE FUNCTION defer.grant_event(prefix text, role text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_grant_event';
COMMENT ON FUNCTION defer.grant_event(text, text) IS
	'allows a role to emit events of yours whose names begin so, with defer.emit(..., of => you)';
CREATE FUNCTION defer.revoke_event(prefix text, role text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_revoke_event';
COMMENT ON FUNCTION defer.revoke_event(text, text) IS
	'takes back what defer.grant_event() of that prefix and role has allowed';
CREATE FUNCTION defer.event_key(owner oid, name text) RETURNS bigint
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_event_key';
COMMENT ON FUNCTION defer.event_key(oid, text) IS 'what stands for an event in defer.dependency: for defer.activate()';

CREATE PROCEDURE defer.request(name text, method text, url text)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_request';
COMMENT ON PROCEDURE defer.request(text, text, text) IS
	'a step that sends an HTTP request, as defer.http() does, and waits for the end of that job, as defer.wait_job() does: if it does not succeed the step fails. Needs EXECUTE on defer.http(). Errors: as of these and of defer.step()';
CREATE PROCEDURE defer.request(name text, method text, url text, INOUT response jsonb)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_request';
COMMENT ON PROCEDURE defer.request(text, text, text, jsonb) IS
	'the same, with the answer: {"status", "headers", "body" or "base64"}';
CREATE PROCEDURE defer.request(name text, method text, url text, body jsonb, headers jsonb, endpoint text, on_failure text,
							   INOUT response jsonb)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_request';
COMMENT ON PROCEDURE defer.request(text, text, text, jsonb, jsonb, text, text, jsonb) IS
	'the same, with body, headers and endpoint as of defer.http(), each of which may be NULL. on_failure: fail raises an error if the request does not succeed, return goes on, with the last answer, if there was one';
