/*
 * sql/src/functions_inside.sql
 *		Functions for the code of a job.
 */

CREATE FUNCTION defer.current_job() RETURNS bigint
	LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'defer_current_job';
COMMENT ON FUNCTION defer.current_job() IS
	'the id of the job that this is called in; NULL outside a job';

CREATE FUNCTION defer.log(message text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_log';
COMMENT ON FUNCTION defer.log(text) IS
	'a line of level info in defer.logs: others see it at once, and it is kept however the attempt ends. NULL is nothing. Error outside a job';

CREATE FUNCTION defer.progress(fraction double precision) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_progress';
COMMENT ON FUNCTION defer.progress(double precision) IS
	'how much of the job is done, 0 to 1: seen by others at once in defer.jobs.progress, and kept nowhere. Error outside a job, or if it is out of range';

CREATE FUNCTION defer.snooze(delay interval) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_snooze';
COMMENT ON FUNCTION defer.snooze(interval) IS
	'puts the job off: its transaction is rolled back (by an error with SQLSTATE DF001, which must not be caught), and it is run again after the delay. No attempt is used up. Error outside a job, in code that does not run with the rights of the job''s owner, or if the delay is not more than 0 or more than a year';

CREATE FUNCTION defer.give_up(reason text DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_give_up';
COMMENT ON FUNCTION defer.give_up(text) IS
	'fails the job for good, with the reason as its error: its transaction is rolled back (by an error with SQLSTATE DF002, which must not be caught), and there are no more attempts. Error outside a job';

CREATE FUNCTION defer.inputs(OUT job_id bigint, OUT function text, OUT state text, OUT result jsonb) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 5 AS 'MODULE_PATHNAME', 'defer_inputs';
COMMENT ON FUNCTION defer.inputs() IS
	'the jobs that the job this is called in came after, in the order of "after", with their results; in place of one that failed, the rerun whose success counted. In a rerun: those of the job that it is a rerun of. Also when their history is gone. Error outside a job, or in code that does not run with the rights of its owner';

CREATE FUNCTION defer.batch(OUT state text, OUT jobs bigint) RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 4 AS 'MODULE_PATHNAME', 'defer_batch';
COMMENT ON FUNCTION defer.batch() IS
	'in a job of defer.when_done(), or of the option when_done: how many jobs of the batch that it waited for have ended in which state: a row each for succeeded, failed, cancelled and discarded. Error outside a job, in one that waited for no batch, or in code that does not run with the rights of its owner';
