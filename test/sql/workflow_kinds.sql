-- Steps of workflows that are not one function: deliveries, statements, an array, a workflow
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE kind_owner LOGIN;
CREATE ROLE kind_poor LOGIN;
CREATE SCHEMA kinds;
GRANT ALL ON SCHEMA kinds TO kind_owner;
GRANT USAGE ON SCHEMA defer TO kind_owner, kind_poor;
GRANT EXECUTE ON FUNCTION defer.http, defer.email, defer.endpoint TO kind_owner;
SET search_path = kinds, public;
SET ROLE kind_owner;
SELECT defer.endpoint('kinds hook', 'http', 'https://hooks.example.com/x');
SELECT defer.endpoint('kinds mail', 'email', 'smtp://127.0.0.1:1', sender => 'kinds@example.com');

CREATE TABLE effect (place bigserial, what text);
CREATE TABLE gate (open text);
CREATE FUNCTION work(what text DEFAULT 'nothing', n int DEFAULT 0) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF what LIKE 'gate%' THEN
    WHILE NOT EXISTS (SELECT FROM kinds.gate WHERE open = what) LOOP PERFORM pg_sleep(0.01); END LOOP;
  END IF;
  INSERT INTO kinds.effect (what) VALUES (what);
  IF what LIKE 'bad%' AND NOT EXISTS (SELECT FROM kinds.gate WHERE open = what) THEN RAISE '% luck', what; END IF;
  RETURN jsonb_build_object('what', what, 'n', n);
END $$;
CREATE FUNCTION double(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
CREATE FUNCTION tricky() RETURNS jsonb LANGUAGE sql AS $$ SELECT '{"of": [3, 1, 2], "none": [], "rows": [{"a": "x", "n": 1}, {"a": {"$input": "item"}, "n": 2}]}'::jsonb $$;
CREATE FUNCTION returns(value jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT value';
SELECT defer.configure('work(text,int)', max_attempts => 1);
CREATE PROCEDURE until(sql text) LANGUAGE plpgsql AS $$
DECLARE
  yes boolean;
BEGIN
  FOR i IN 1..18000 LOOP
    EXECUTE sql INTO yes;
    EXIT WHEN yes;
    COMMIT;
    PERFORM pg_sleep(0.01);
  END LOOP;
  IF yes IS NOT TRUE THEN RAISE 'never: %', sql; END IF;
END $$;
CREATE PROCEDURE ended(id bigint) LANGUAGE plpgsql AS $$
BEGIN
  CALL kinds.until(format('SELECT state <> ''running'' AND unfinished = 0 FROM defer.workflows WHERE id = %s', id));
END $$;
CREATE FUNCTION steps(id bigint) RETURNS TABLE (name text, kind text, for_each boolean, jobs bigint, unfinished bigint, state text, result jsonb, error text) LANGUAGE sql AS $$
  SELECT s.name, s.kind, s.for_each, s.jobs, s.unfinished_jobs, s.state, s.result, regexp_replace(s.error, 'job \d+', 'job N', 'g')
    FROM defer.workflow_steps s WHERE s.workflow_id = $1 ORDER BY s.ord
$$;
CREATE FUNCTION error_of(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text;
  message text;
  detail text;
BEGIN
  EXECUTE sql;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
  RETURN format('%s: %s', state, concat_ws(' | ', message, nullif(detail, '')));
END $$;
CREATE FUNCTION wrong(steps jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT kinds.error_of(format('SELECT defer.workflow(''wrong'', %L)', steps))
$$;

--
-- A job for each element
--
SELECT defer.workflow('each', '[
  {"name": "list", "function": "tricky"},
  {"name": "doubled", "function": "double", "for_each": {"$input": "list.of"}},
  {"name": "none", "function": "double", "for_each": {"$input": "list.none"}},
  {"name": "rows", "function": "returns", "args": [{"row": {"$input": "item"}, "a": {"$input": "item.a"}, "first": {"$input": "list.of.0"}, "no": {"$input": "args.no"}}], "for_each": {"$input": "list.rows"}},
  {"name": "literal", "function": "work", "for_each": [["p", 1], {"what": "q", "n": 2}, "r"], "priority": 5, "metadata": {"m": 1}},
  {"name": "sum", "function": "returns", "args": [[{"$input": "doubled"}, {"$input": "none"}, {"$input": "rows.1.a"}]]}]') AS id \gset
CALL ended(:id);
SELECT state, error, result FROM defer.workflows WHERE id = :id;
SELECT * FROM steps(:id);
SELECT c.function, c.args, c.priority, c.metadata, c.owner FROM defer.workflow_steps s JOIN defer.jobs c ON c.parent_id = s.job_id WHERE s.workflow_id = :id AND s.name = 'literal' ORDER BY c.id;
SELECT j.function, j.priority, j.result FROM defer.workflow_steps s JOIN defer.jobs j ON j.id = s.job_id WHERE s.workflow_id = :id AND s.name = 'literal';
SELECT defer.result(job_id) FROM defer.workflow_steps WHERE workflow_id = :id AND name = 'doubled';

-- one fails: the others end, and then the step has failed; with "run" its place is null
SELECT defer.workflow('bad', '[
  {"name": "fails", "function": "work", "for_each": ["good", "bad two", "good, too"]},
  {"name": "later", "function": "work", "after": ["fails"]},
  {"name": "runs", "function": "work", "args": [{"$input": "item.0"}], "for_each": [["well"], ["bad one"]], "on_failure": "run"},
  {"name": "after it", "function": "returns", "args": [{"$input": "runs"}]}]') AS id \gset
CALL ended(:id);
SELECT state, failed, cancelled, regexp_replace(error, 'job \d+', 'job N') AS error FROM defer.workflows WHERE id = :id;
SELECT * FROM steps(:id);
SELECT what FROM effect WHERE what LIKE 'good%' ORDER BY what;

-- what the elements come to can be wrong
SELECT defer.workflow('wrong elements', '[
  {"name": "list", "function": "returns", "args": [{"text": ["1", "x"], "no": 7}]},
  {"name": "type", "function": "double", "for_each": {"$input": "list.text"}},
  {"name": "no list", "function": "double", "for_each": {"$input": "list.no"}}]') AS id \gset
CALL ended(:id);
SELECT * FROM steps(:id);
SELECT a.attempt, a.outcome FROM defer.workflow_steps s JOIN defer.attempts a USING (job_id) WHERE s.workflow_id = :id ORDER BY s.ord;

-- an element that is used often is not copied each time: it could not be enqueued
CREATE FUNCTION flags(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_agg(true) FROM generate_series(1, n) $$;
SELECT defer.workflow('often', jsonb_build_array('{"name": "l", "function": "flags", "args": [200000]}'::jsonb,
  jsonb_build_object('name', 'each', 'function', 'returns', 'for_each', '[[7]]'::jsonb || jsonb_build_array(jsonb_build_array('{"$input": "l.1"}'::jsonb)),
    'args', jsonb_build_array((SELECT jsonb_agg('{"$input": "item"}'::jsonb) FROM generate_series(1, 100)))),
  jsonb_build_object('name', 'large', 'function', 'returns', 'for_each', '[7]'::jsonb,
    'args', jsonb_build_array((SELECT jsonb_agg('{"$input": "l"}'::jsonb) FROM generate_series(1, 100)))))) AS id \gset
CALL ended(:id);
SELECT name, state, jsonb_array_length(result), error FROM steps(:id) WHERE name <> 'l';
-- jobs for which there is no room now are tried again
CREATE FUNCTION few(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
SELECT defer.configure('few', max_queued => 1);
SELECT defer.workflow('full', '[{"name": "each", "function": "few", "for_each": [1, 2, 3]}]') AS id \gset
CALL until(format('SELECT state = ''retrying'' FROM defer.jobs WHERE id = (SELECT job_id FROM defer.workflow_steps WHERE workflow_id = %s)', :id));
SELECT defer.configure('few', max_queued => 10);
SELECT defer.reschedule(job_id) FROM defer.workflow_steps WHERE workflow_id = :id;
CALL ended(:id);
SELECT name, state, jobs, result FROM steps(:id);

-- the job of a step that has not begun can be run by itself if nothing was to be prepared
SELECT defer.workflow('never', '[
  {"name": "first", "function": "work", "args": ["gate retry"]},
  {"name": "each", "function": "double", "args": [{"$input": "item"}], "for_each": [1, 2], "after": ["first"]},
  {"name": "refers", "function": "double", "args": [{"$input": "args.n"}], "for_each": [1, 2], "after": ["first"]},
  {"name": "plain", "function": "double", "args": [4], "after": ["first"]},
  {"name": "if", "function": "double", "args": [4], "if": {"$input": "first"}}]', '{"n": 3}') AS id \gset
SELECT defer.cancel_workflow(:id);
CALL ended(:id);
SELECT name, error_of(format('SELECT defer.rerun(%s)', job_id)) !~ 'refers to results' AS rerun FROM defer.workflow_steps
 WHERE workflow_id = :id AND name <> 'first' ORDER BY ord;
CALL until(format('SELECT count(*) = 2 FROM defer.workflow_steps s JOIN defer.jobs j ON j.rerun_of = s.job_id WHERE s.workflow_id = %s AND j.state = ''succeeded''', :id));
SELECT s.name, j.result FROM defer.workflow_steps s JOIN defer.jobs j ON j.rerun_of = s.job_id WHERE s.workflow_id = :id ORDER BY s.ord;

--
-- A workflow within a workflow, also for each element; again
--
SELECT defer.workflow('outer', '[
  {"name": "load", "function": "returns", "args": [{"days": [1, 2], "x": {"y": 7}}]},
  {"name": "one", "args": {"x": {"$input": "load.x"}}, "workflow": [
    {"name": "a", "function": "double", "args": [{"$input": "args.x.y"}]},
    {"name": "b", "function": "double", "args": [{"$input": "a"}]}]},
  {"name": "each", "for_each": {"$input": "load.days"}, "workflow": [
    {"name": "a", "function": "work", "args": ["day", {"$input": "args"}]},
    {"name": "deep", "args": {"$input": "a"}, "workflow": [{"name": "z", "function": "returns", "args": [{"$input": "args.n"}]}]}]},
  {"name": "end", "function": "returns", "args": [{"$input": "one.b"}], "after": ["each"]}]') AS id \gset
CALL ended(:id);
SELECT * FROM steps(:id);
SELECT w.name, w.state, w.args, w.result FROM defer.workflows w JOIN defer.workflow_steps s ON s.job_id = w.parent_id WHERE s.workflow_id = :id ORDER BY w.name, w.args;
SELECT definition -> 'workflow' -> 0 ->> 'function' AS inner FROM defer.workflow_steps WHERE workflow_id = :id AND name = 'each';
SET search_path = public;
SELECT defer.retry_workflow(:id, 'all') AS again \gset
SET search_path = kinds, public;
CALL ended(:again);
SELECT state, result FROM defer.workflows WHERE id = :again;
SELECT defer.workflow('fails within', '[{"name": "in", "workflow": [{"name": "a", "function": "work", "args": ["bad in"]}]}]') AS id \gset
CALL ended(:id);
SELECT regexp_replace(error, 'job \d+', 'job N', 'g') AS error FROM defer.workflows WHERE id = :id;
INSERT INTO gate VALUES ('bad in');
SELECT defer.retry_workflow(:id) AS id \gset
CALL ended(:id);
SELECT state FROM defer.workflows WHERE id = :id;

-- cancelled with all that is in it
SELECT defer.workflow('long', '[
  {"name": "in", "workflow": [{"name": "runs", "function": "work", "args": ["gate never"]}, {"name": "waits", "function": "work", "after": ["runs"]}]},
  {"name": "each", "function": "work", "for_each": ["gate never", "gate never"]}]') AS id \gset
CALL until(format('SELECT count(*) = 3 FROM defer.jobs j WHERE function LIKE ''%%work%%'' AND state = ''running'''));
SELECT defer.cancel_workflow(:id);
CALL ended(:id);
CALL until('SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE state NOT IN (''succeeded'', ''failed'', ''cancelled''))');
SELECT s.name, j.state, count(*) FROM defer.workflow_steps s JOIN defer.jobs j ON j.parent_id = s.job_id WHERE s.workflow_id = :id GROUP BY 1, 2 ORDER BY 1;

--
-- Statements and deliveries are jobs of their kinds
--
SELECT defer.workflow('kinds', '[
  {"name": "clean", "command": "DELETE FROM kinds.effect", "max_attempts": 2},
  {"name": "tell", "http": {"method": "post", "url": "/done", "endpoint": "kinds hook", "body": {"n": 1}, "timeout": "5 s"}, "after": ["clean"], "delay": "1 day"},
  {"name": "ask", "http": {"method": "GET", "url": "https://example.com/", "headers": {"X-Tag": {"$input": "clean.command"}}}, "delay": "1 day"},
  {"name": "mail", "email": {"recipients": ["a@example.com"], "subject": {"$input": "clean.command"}, "body": "done", "cc": "b@example.com", "endpoint": "kinds mail"}, "delay": "1 day"},
  {"name": "bad mail", "email": {"recipients": {"$input": "clean.command"}, "subject": "x", "body": "x", "endpoint": "kinds mail"}},
  {"name": "mails", "email": {"recipients": {"$input": "item"}, "subject": "x", "body": {"$input": "clean.command"}, "endpoint": "kinds mail"}, "for_each": ["c@example.com", "d@example.com"], "discard_after": "1 day"}]') AS id \gset
CALL until(format('SELECT count(*) = 3 FROM defer.workflow_steps WHERE workflow_id = %s AND state = ''scheduled''', :id));
CALL until(format('SELECT jobs = 2 FROM defer.workflow_steps WHERE workflow_id = %s AND name = ''mails''', :id));
CALL until(format('SELECT state = ''failed'' FROM defer.workflow_steps WHERE workflow_id = %s AND name = ''bad mail''', :id));
SELECT s.name, s.kind, s.state IN ('scheduled', 'waiting') AS waits, j.function, j.args, regexp_replace(j.error, '\d+', 'N') AS error
  FROM defer.workflow_steps s JOIN defer.jobs j ON j.id = s.job_id WHERE s.workflow_id = :id AND s.name <> 'mails' ORDER BY s.ord;
SELECT c.function, c.args FROM defer.workflow_steps s JOIN defer.jobs c ON c.parent_id = s.job_id WHERE s.workflow_id = :id AND s.name = 'mails' ORDER BY c.id;
SELECT defer.cancel_workflow(:id);
CALL ended(:id);
CALL until('SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE state NOT IN (''succeeded'', ''failed'', ''cancelled''))');

--
-- What is wrong is said before anything is written
--
SELECT count(*) AS before FROM defer.workflows \gset
SELECT wrong('[{"name": "a", "function": "work", "command": "SELECT 1"}]');
SELECT wrong('[{"name": "a", "command": "SELECT 1; SELECT 2"}]');
SELECT wrong('[{"name": "a", "command": "SELEC"}]');
SELECT wrong('[{"name": "a", "command": "SELECT 1", "args": [1]}]');
SELECT wrong('[{"name": "a", "command": "SELECT 1", "for_each": [1]}]');
SELECT wrong('[{"name": "a", "command": ["SELECT 1"]}]');
SELECT wrong('[{"name": "a", "http": "https://example.com"}]');
SELECT wrong('[{"name": "a", "http": []}]');
SELECT wrong('[{"name": "a", "http": {"$input": "args"}}]');
SELECT wrong('[{"name": "a", "http": {"method": "GET"}}]');
SELECT wrong('[{"name": "a", "http": {"method": "TAKE", "url": {"$input": "args.url"}}}]');
SELECT wrong('[{"name": "a", "http": {"method": "GET", "url": "ftp://example.com"}}]');
SELECT wrong('[{"name": "a", "http": {"method": "GET", "url": 7}}]');
SELECT wrong('[{"name": "a", "http": {"method": "GET", "url": "https://example.com", "verb": 7}}]');
SELECT wrong('[{"name": "a", "http": {"method": "GET", "url": "https://example.com", "timeout": 7}}]');
SELECT wrong('[{"name": "a", "http": {"method": "GET", "endpoint": "no such"}}]');
SELECT wrong('[{"name": "a", "http": {"method": "GET", "endpoint": {"$input": "args.e"}}}]');
SELECT wrong('[{"name": "a", "http": {"method": "GET", "url": "https://example.com", "headers": {"A": {"$input": "b.c"}}}}]');
SELECT wrong('[{"name": "a", "email": {"recipients": ["a@example.com", "b"], "subject": "x", "body": "x", "endpoint": "kinds mail"}}]');
SELECT wrong('[{"name": "a", "email": {"recipients": [7], "subject": "x", "body": "x", "endpoint": "kinds mail"}}]');
SELECT wrong('[{"name": "a", "email": {"recipients": {"$input": "args"}, "subject": "x", "endpoint": "kinds mail"}}]');
SELECT wrong('[{"name": "a", "function": "work", "for_each": 7}]');
SELECT wrong('[{"name": "a", "function": "work", "for_each": {"a": 1}}]');
SELECT wrong('[{"name": "a", "function": "work", "for_each": {"$input": "b"}}]');
SELECT wrong('[{"name": "a", "function": "work", "for_each": [{"$input": "item"}]}]');
SELECT wrong('[{"name": "a", "function": "double", "for_each": [1, "x"]}]');
SELECT wrong('[{"name": "a", "function": "double", "args": [{"$input": "item.n"}], "for_each": [{"n": 1}, {"n": "x"}]}]');
SELECT wrong('[{"name": "a", "function": "no_such", "for_each": {"$input": "args"}}]');
SELECT wrong('[{"name": "a", "function": "double", "args": [{"$input": "item"}]}]');
SELECT wrong('[{"name": "a", "function": "work", "for_each": [1], "if": {"$input": "item"}}]');
SELECT wrong('[{"name": "a", "function": "work", "for_each": {"$input": "args"}, "max_attempts": -1}]');
SELECT wrong('[{"name": "item", "function": "work"}]');
SELECT wrong('[{"name": "a", "workflow": {"name": "b"}}]');
SELECT wrong('[{"name": "a", "workflow": []}]');
SELECT wrong('[{"name": "a", "workflow": [{"name": "b", "function": "double", "args": ["x"]}]}]');
SELECT wrong('[{"name": "a", "workflow": [{"name": "b", "workflow": [{"name": "c", "function": "work", "after": ["a"]}]}]}]');
SELECT wrong('[{"name": "a", "workflow": [{"name": "b", "function": "work"}], "max_attempts": 3}]');
SELECT wrong('[{"name": "a", "workflow": [{"name": "b", "function": "double", "args": [{"$input": "item"}]}], "for_each": [1]}]');
SELECT error_of($$CALL defer.run_step('{}')$$), error_of($$CALL defer.run_step(NULL)$$);
SET ROLE kind_poor;
SELECT regexp_replace(defer.workflow('x', '[{"name": "a", "function": "pg_catalog.version()", "delay": "1 day"}]')::text, '\d+', 'N');
RESET ROLE;
GRANT USAGE ON SCHEMA kinds TO kind_poor;
SET ROLE kind_poor;
SELECT wrong('[{"name": "a", "http": {"method": "GET", "url": "https://example.com"}}]');
SELECT wrong('[{"name": "a", "email": {"recipients": "a@example.com", "subject": "x", "body": "x"}, "for_each": [1]}]');
SELECT defer.cancel_workflow(id) FROM defer.workflows WHERE name = 'x';
RESET ROLE;
SET ROLE kind_owner;
SELECT count(*) - :before AS written FROM defer.workflows;
-- as a job of its own
SELECT array_agg(defer.enqueue('defer.run_step', jsonb_build_array(a), max_attempts => 1)) AS ids FROM (VALUES
  ('{"definition": "[]"}'::jsonb), ('{"definition": "{\"name\": 7}"}'), ('{"definition": "{"}'), ('{"definition": "{\"name\": \"a\", \"command\": \"SELECT 1\"}"}'), ('[]'),
  (jsonb_build_object('name', repeat('x', 201), 'definition', '{"name": "a", "workflow": [{"name": "b", "command": "SELECT 1"}]}'))) v (a) \gset
CALL until(format('SELECT count(*) = 6 FROM defer.jobs WHERE id = ANY (%L) AND state = ''failed''', :'ids'));
SELECT error FROM defer.jobs WHERE id = ANY (:'ids') ORDER BY id;

--
-- On a schedule
--
SET timezone = 'UTC';
SELECT defer.cron_workflow('kinds.nightly', '0 3 * * *', '[
  {"name": "when", "function": "returns", "args": [{"$input": "args.scheduled_for"}]},
  {"name": "each", "function": "work", "args": [{"$input": "item"}, {"$input": "args.n"}], "for_each": ["x", "y"], "after": ["when"]}]',
  '{"n": 7, "odd": {"$input": "when"}}', active => false, pause_after_failures => 1) > 0 AS made;
SELECT name, function, active, overlap, command, workflow -> 'workflow' -> 1 ->> 'function' AS step, workflow -> 'args' AS args, last_error FROM defer.schedules WHERE name = 'kinds.nightly';
SELECT defer.backfill('kinds.nightly', '2026-03-01', '2026-03-03');
CALL until('SELECT count(*) = 2 FROM defer.workflows WHERE name = ''kinds.nightly'' AND state = ''succeeded''');
SELECT owner, args - 'scheduled_for' AS args, (args ->> 'scheduled_for')::timestamptz AS scheduled_for, result, parent_id IS NOT NULL AS parent FROM defer.workflows WHERE name = 'kinds.nightly' ORDER BY id;
CALL until('SELECT count(*) = 2 FROM defer.jobs WHERE function = ''defer.run_step(jsonb)'' AND scheduled_for IS NOT NULL AND state = ''succeeded''');
SELECT scheduled_for, result FROM defer.jobs WHERE function = 'defer.run_step(jsonb)' AND scheduled_for IS NOT NULL ORDER BY id;
-- a run by hand, in other sessions' search_path; a workflow that fails fails the run
SET search_path = public;
SELECT defer.trigger('kinds.nightly') AS run \gset
SET search_path = kinds, public;
CALL until(format('SELECT state = ''succeeded'' FROM defer.jobs WHERE id = %s', :run));
SELECT args ? 'scheduled_for' AS time FROM defer.workflows WHERE parent_id = :run;
SELECT defer.cron_workflow('kinds.nightly', '0 3 * * *', '[{"name": "a", "function": "work", "args": ["bad nightly"]}]') > 0 AS changed;
SELECT defer.trigger('kinds.nightly') AS run \gset
CALL until(format('SELECT state = ''failed'' FROM defer.jobs WHERE id = %s', :run));
SELECT regexp_replace(error, 'job \d+', 'job N') AS error FROM defer.jobs WHERE id = :run;
SELECT active, workflow FROM defer.schedules WHERE name = 'kinds.nightly';
-- to cancel a run is to cancel the workflow
SELECT defer.cron_workflow('kinds.nightly', '0 3 * * *', '[{"name": "a", "function": "work", "args": ["gate never"]}]') > 0 AS changed;
SELECT defer.trigger('kinds.nightly') AS run \gset
CALL until(format('SELECT count(*) = 1 FROM defer.workflows w JOIN defer.workflow_steps s ON s.workflow_id = w.id WHERE w.parent_id = %s AND s.state = ''running''', :run));
SELECT state FROM defer.jobs WHERE id = :run;
SELECT defer.cancel(:run);
CALL until(format('SELECT state = ''cancelled'' FROM defer.workflows WHERE parent_id = %s', :run));
CALL until('SELECT NOT EXISTS (SELECT FROM defer.jobs WHERE state NOT IN (''succeeded'', ''failed'', ''cancelled''))');
-- it may become something else, and back
SELECT defer.alter_cron('kinds.nightly', sql => 'SELECT 1');
SELECT function, command, workflow FROM defer.schedules WHERE name = 'kinds.nightly';
SELECT error_of($$SELECT defer.cron_workflow('kinds', '0 3 * * *', '[{"name": "a", "function": "double", "args": ["x"]}]')$$);
SELECT error_of($$SELECT defer.cron_workflow('kinds', '0 3 * * *', '[]')$$), error_of($$SELECT defer.cron_workflow('kinds', '0 3 * * *', NULL)$$);
SELECT error_of($$SELECT defer.cron_workflow('kinds', '0 3 * * *', '[{"name": "a", "function": "work"}]', '[1]')$$);
SELECT error_of($$SELECT defer.cron_workflow('kinds', '0 3 * * *', '[{"name": "a", "function": "work"}]', jsonb_build_object('x', repeat('x', 1024 * 1024)))$$);
SELECT error_of($$SELECT defer.cron_workflow('kinds', '0 3 * *', '[{"name": "a", "function": "work"}]')$$);
SELECT count(*) FROM defer.schedules WHERE name = 'kinds';
SELECT defer.unschedule('kinds.nightly');

RESET ROLE;
CALL until('SELECT NOT EXISTS (SELECT FROM defer.job j JOIN defer.workflow w USING (id) WHERE w.owner = ''kind_poor''::regrole)');
SELECT count(*) FROM defer.dependency WHERE open AND owner = 'kind_owner'::regrole;
SELECT defer.drop_endpoint('kinds hook'), defer.drop_endpoint('kinds mail');
DROP SCHEMA kinds CASCADE;
DROP OWNED BY kind_owner, kind_poor;
DROP ROLE kind_owner, kind_poor;
