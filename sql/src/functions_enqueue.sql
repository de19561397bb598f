/*
 * sql/src/functions_enqueue.sql
 *		Enqueuing jobs.
 */

CREATE FUNCTION defer.enqueue(function text, args jsonb DEFAULT NULL,
	--@enqueue_options@
	) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_enqueue';
COMMENT ON FUNCTION defer.enqueue IS
	'enqueues a job that runs the function or procedure as the current role, and returns its id; it can begin when you have committed. args: a JSON array by position or object by name. Errors: no such function, or several; no right to execute it; arguments that it does not take or that do not convert; it is scheduled; no such queue, or no right to it; an option out of range. run_at in the past is now; discard_after counts from run_at, or else from the call; metadata is a JSON object; a key has at most 1000 bytes. group_key: the job''s group, such as a tenant, 1 to 200 bytes; NULL: by the setting group_by of the function, else of the queue. With a key that an unfinished job of yours of that function has, on_key says what is done: keep (the default) returns that job''s id and enqueues nothing; replace changes that job to this one, or, if it runs, enqueues one that begins when that one has ended; debounce, which needs delay, does the same, and counts delay anew, but never beyond debounce_max (by itself ten times delay) after the first; error raises unique_violation. key_for: the key counts for so long, also when the job has ended; replace and debounce then change nothing but a job that has not begun. Waits for a transaction that has enqueued the same key and is not committed. defer.last_enqueue() tells what has been done. after: jobs of yours that have to end first; after_failure: what becomes of the job when one of them does not succeed: cancel (the default), run, or hold (it waits until a rerun of that job succeeds). run_at and delay are the earliest time then, and discard_after counts from when it can begin. Not with on_key => replace or debounce';


CREATE FUNCTION defer.enqueue_one(function text, args jsonb DEFAULT NULL,
	--@enqueue_options@
	, OUT id bigint, OUT outcome text)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_enqueue_one';
COMMENT ON FUNCTION defer.enqueue_one IS
	'enqueues a job as defer.enqueue() does, and returns its id with what has been done: created, kept (there is a job with that key), replaced (that one was changed) or queued_behind (this one begins when that one has ended)';

CREATE FUNCTION defer.enqueue_many(function text, jobs jsonb,
	--@enqueue_options@
	, OUT ord integer, OUT id bigint, OUT outcome text) RETURNS SETOF record
	LANGUAGE c ROWS 1000 AS 'MODULE_PATHNAME', 'defer_enqueue_many';
COMMENT ON FUNCTION defer.enqueue_many IS
	'enqueues a job of the function for each object of a JSON array, in the order of the array, and returns for each its place in the array (ord, from 1 on), the job''s id and what has been done, as defer.enqueue_one() does. Fields of an object: args, the options of defer.enqueue(), by name, and after_ord, the places of earlier objects after whose jobs this one comes; JSON null is as if the field were left out. The options of the call hold for objects that do not have them. The first object that is not right is an error that names its place and the field, and nothing is enqueued';

CREATE FUNCTION defer.last_enqueue() RETURNS text
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_last_enqueue';
COMMENT ON FUNCTION defer.last_enqueue() IS
	'what the last call of defer.enqueue() or its like in this transaction has done: created, kept, replaced or queued_behind; NULL: there was none';

-- VARIADIC "any", although a driver's parameter without a type is an error there:
-- arguments may be of different types.  If none has a type the function below is it.
CREATE FUNCTION defer.later(function text, VARIADIC args "any") RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_later';
COMMENT ON FUNCTION defer.later(text, "any") IS
	'enqueues a job as defer.enqueue() does, with typed arguments by position, which also tell overloaded functions apart and become values of the parameters'' types now, as in a call: SELECT defer.later(''send_invoice'', 42, ''paper''). Where no function takes a number of that type, one is taken that takes a smaller one, and the value must fit';
CREATE FUNCTION defer.later(function text, VARIADIC args text[]) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_later_text';
COMMENT ON FUNCTION defer.later(text, text[]) IS
	'the same for arguments that are all text or of no type, such as parameters of drivers: each is read as a value of its parameter''s type';
CREATE FUNCTION defer.later(function text) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_later';
COMMENT ON FUNCTION defer.later(text) IS
	'the same for a function without arguments';

CREATE FUNCTION defer.later_after(after bigint[], function text, VARIADIC args "any") RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_later_after';
COMMENT ON FUNCTION defer.later_after(bigint[], text, "any") IS
	'enqueues a job as defer.later() does, to begin when the jobs with these ids, which are yours, have ended: SELECT defer.later_after(ARRAY[id], ''send_invoice'', 42). If one of them does not succeed it is cancelled; for other rules use defer.enqueue()';
CREATE FUNCTION defer.later_after(after bigint[], function text, VARIADIC args text[]) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_later_after_text';
COMMENT ON FUNCTION defer.later_after(bigint[], text, text[]) IS
	'the same for arguments that are all text or of no type, as of defer.later()';
CREATE FUNCTION defer.later_after(after bigint[], function text) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_later_after';
COMMENT ON FUNCTION defer.later_after(bigint[], text) IS
	'the same for a function without arguments';

CREATE FUNCTION defer.command(sql text,
	--@enqueue_options@
	) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_command';
COMMENT ON FUNCTION defer.command IS
	'enqueues a job that runs one SQL statement of any kind, VACUUM and CREATE INDEX CONCURRENTLY included, with the options of defer.enqueue(). A statement that cannot be rolled back may be run again after a crash. Errors: it does not parse, is more than one, or cannot be run without a client';

-- The same for drivers that send json.  The first parameter is varchar, so that these
-- are not chosen where text or no type is given and the other function fits, too: a
-- parameter without a type stays jsonb, which drivers that ask for types rely on.

CREATE FUNCTION defer.enqueue(function varchar, args json DEFAULT NULL,
	--@enqueue_options json@
	) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_enqueue_json';
COMMENT ON FUNCTION defer.enqueue(function varchar, args json,
	--@enqueue_types json@
	) IS 'the same with args and metadata as json';

CREATE FUNCTION defer.enqueue_one(function varchar, args json DEFAULT NULL,
	--@enqueue_options json@
	, OUT id bigint, OUT outcome text)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_enqueue_one_json';
COMMENT ON FUNCTION defer.enqueue_one(function varchar, args json,
	--@enqueue_types json@
	) IS 'the same with args and metadata as json';

CREATE FUNCTION defer.enqueue_many(function varchar, jobs json,
	--@enqueue_options json@
	, OUT ord integer, OUT id bigint, OUT outcome text) RETURNS SETOF record
	LANGUAGE c ROWS 1000 AS 'MODULE_PATHNAME', 'defer_enqueue_many_json';
COMMENT ON FUNCTION defer.enqueue_many(function varchar, jobs json,
	--@enqueue_types json@
	) IS 'the same with jobs and metadata as json';

CREATE FUNCTION defer.command(sql varchar,
	--@enqueue_options json@
	) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_command_json';
COMMENT ON FUNCTION defer.command(sql varchar,
	--@enqueue_types json@
	) IS 'the same with metadata as json';

CREATE FUNCTION defer.when_done(function text, args jsonb DEFAULT NULL, on_states text[] DEFAULT NULL,
								of bigint DEFAULT NULL, deep boolean DEFAULT false) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_when_done';
COMMENT ON FUNCTION defer.when_done IS
	'enqueues a job of the function that begins when a job and its batch, all jobs that it enqueues, have ended, and returns its id. of: that job; NULL: the one that this is called in. Each call enqueues one. on_states: the states, of succeeded, failed, cancelled and discarded, of that job, not of its batch, in which it runs; in others it is cancelled; NULL: all. deep: the jobs that the jobs of the batch enqueue belong to it, and so on. Retries are the same job; reruns, runs of schedules and jobs of defer.when_done() do not belong to a batch. Inside it defer.batch() has the counts. Called inside the job, it holds if that job''s transaction commits. A job of another session must not have begun, and does not begin before you commit, or must have ended; with deep it must not have begun. Errors: as of defer.enqueue(); no such job of yours; it is running; a state is unknown; outside a job without of; with deep, if the job has enqueued others or ended; deep is not as in an earlier call for that job';
CREATE FUNCTION defer.when_done(function varchar, args json, on_states text[] DEFAULT NULL,
								of bigint DEFAULT NULL, deep boolean DEFAULT false) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_when_done_json';
COMMENT ON FUNCTION defer.when_done(varchar, json, text[], bigint, boolean) IS 'the same with args as json';
