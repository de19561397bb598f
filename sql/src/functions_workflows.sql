/*
 * sql/src/functions_workflows.sql
 *		Workflows.
 */

CREATE FUNCTION defer.workflow(name text, steps jsonb, args jsonb DEFAULT NULL, key text DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_workflow';
COMMENT ON FUNCTION defer.workflow(text, jsonb, jsonb, text) IS
	'starts a workflow of the current role when you commit, and returns its id, which is that of a job: it ends when all of its steps have ended, and can be awaited, cancelled, and named in after. steps: an array of objects with name, one of function, http and email (an object with the parameters of defer.http() or defer.email()), command (a statement) and workflow (steps) and, if wanted, args, after (names of steps; ids of other jobs), if, on_failure and options of defer.enqueue(). {"$input": "step.path"} in args stands for that part of the result of an earlier step, and {"$input": "args.path"} for one of args; in http and email, too. for_each: an array, or such an object: a job for each element, which is {"$input": "item"}; the step ends when they have, and their results in order are its result. if: such an object, which may have "equals" or "differs", too: where it does not hold the step is skipped. on_failure: fail (the default), skip or run. key: while a workflow of yours with that key is unfinished its id is returned, and nothing is started. All is checked before anything is written. Errors name the step: as of defer.enqueue(); no name, two of a name, an unknown name, a circle, an unknown field';
CREATE FUNCTION defer.workflow(name varchar, steps json, args json DEFAULT NULL, key text DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_workflow_json';
COMMENT ON FUNCTION defer.workflow(varchar, json, json, text) IS 'the same with steps and args as json';

CREATE FUNCTION defer.cancel_workflow(id bigint) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_cancel_workflow';
COMMENT ON FUNCTION defer.cancel_workflow(bigint) IS
	'ends a workflow as cancelled when you commit; soon after that its steps that have not ended are cancelled, running ones by force. defer.cancel() of its job does the same. False: it has ended. Error if there is no such workflow of yours';

CREATE FUNCTION defer.retry_workflow(id bigint, mode text DEFAULT 'failed', from_step text DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_retry_workflow';
COMMENT ON FUNCTION defer.retry_workflow(bigint, text, text) IS
	'starts a workflow that has ended again, as its owner, and returns the id of the new one. mode: which steps are run again, of failed (the default: those that did not succeed), failed_and_later (also those after them that did) and all; from_step: also this one and all after it. The new workflow has the jobs of the old one for the others. Errors: there is no such workflow of yours; it has not ended; nothing is to be run again; as of defer.workflow()';

CREATE PROCEDURE defer.run_step(step jsonb)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_run_step';
COMMENT ON PROCEDURE defer.run_step(jsonb) IS
	'what jobs of steps with for_each or workflow run: makes the jobs of the step, waits for them as defer.sleep() does, and has their results. Workflows enqueue it; its argument is theirs to write. Errors: as of defer.step(); what is wrong with one of the jobs, which fails the step for good; one of the jobs has not succeeded, unless on_failure is run';
