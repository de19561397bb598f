-- Workflows: steps that come after one another, references, conditions, failures, retries
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE flow_owner LOGIN;
CREATE ROLE flow_other LOGIN;
CREATE SCHEMA flows;
GRANT ALL ON SCHEMA flows TO flow_owner, flow_other;
GRANT USAGE ON SCHEMA defer TO flow_owner, flow_other;
ALTER ROLE flow_owner SET search_path = flows, public;
SET search_path = flows, public;
GRANT EXECUTE ON FUNCTION defer.alert, defer.endpoint, defer.slack TO flow_owner;
SET ROLE flow_owner;

CREATE TABLE effect (place bigserial, what text);
CREATE TABLE gate (open text);
CREATE FUNCTION work(what text DEFAULT 'nothing', n int DEFAULT 0) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF what LIKE 'gate%' THEN
    WHILE NOT EXISTS (SELECT FROM flows.gate WHERE open = what) LOOP PERFORM pg_sleep(0.01); END LOOP;
  END IF;
  INSERT INTO flows.effect (what) VALUES (what);
  IF what LIKE 'bad%' AND NOT EXISTS (SELECT FROM flows.gate WHERE open = what) THEN RAISE '% luck', what; END IF;
  RETURN jsonb_build_object('what', what, 'n', n, 'list', jsonb_build_array(n, n + 1));
END $$;
CREATE FUNCTION double(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
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
  CALL flows.until(format('SELECT state <> ''running'' AND unfinished = 0 FROM defer.workflows WHERE id = %s', id));
END $$;
CREATE FUNCTION steps(id bigint) RETURNS TABLE (name text, after text, state text, result jsonb, error text) LANGUAGE sql AS $$
  SELECT s.name, array_to_string(s.after, ' '), s.state, s.result, regexp_replace(s.error, '\d+', 'N')
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
  SELECT flows.error_of(format('SELECT defer.workflow(''wrong'', %L)', steps))
$$;

--
-- One that succeeds: in the order of its graph, not of its description
--
SELECT defer.workflow('daily', '[
  {"name": "sum", "function": "work", "args": ["sum", {"$input": "load.n"}], "after": ["clean"]},
  {"name": "load", "function": "work", "args": {"what": "load", "n": {"$input": "args.day"}}, "priority": 3},
  {"name": "clean", "function": "double", "args": [{"$input": "load.list.1"}]},
  {"name": "other", "function": "work"},
  {"name": "report", "function": "work", "args": ["report", {"$input": "clean"}], "after": ["sum", "other"]}]',
  args => '{"day": 20}') AS id \gset
CALL ended(:id);
SELECT name, owner, state, steps, unfinished, succeeded, skipped, failed, cancelled, error, result, args, retry_of, finished_at >= created_at AS time FROM defer.workflows WHERE id = :id;
SELECT * FROM steps(:id);
SELECT what FROM effect WHERE what NOT IN ('nothing') ORDER BY place;
SELECT s.name, j.args, j.priority, j.parent_id = :id AS parent, s.kept, s.on_failure, s.function FROM defer.workflow_steps s JOIN defer.jobs j ON j.id = s.job_id WHERE s.workflow_id = :id ORDER BY s.ord;
-- it is a job
SELECT function, state, attempt, duration > '0' AS duration FROM defer.jobs WHERE id = :id;
SELECT defer.await(:id);
SELECT defer.cancel_workflow(:id);
SELECT count(*) FROM defer.why(:id);
-- another job can come after it, and it after another
SELECT defer.enqueue('work', '["gate before"]') AS before \gset
SELECT defer.workflow('after', jsonb_build_array(jsonb_build_object('name', 'only', 'function', 'work', 'args', '["only"]'::jsonb, 'after', jsonb_build_array(:before)))) AS id \gset
SELECT defer.enqueue('work', '["behind"]', after => ARRAY[:id]) AS behind \gset
SELECT state, waiting_for FROM defer.jobs WHERE id IN (:id, :behind);
SELECT s.state FROM defer.workflow_steps s WHERE workflow_id = :id;
SELECT state, steps, unfinished FROM defer.workflows WHERE id = :id;
INSERT INTO gate VALUES ('gate before');
CALL until(format('SELECT state = ''succeeded'' FROM defer.jobs WHERE id = %s', :behind));
SELECT what FROM effect ORDER BY place DESC LIMIT 3;

--
-- Conditions: a step that is skipped is done, without a result
--
SELECT defer.workflow('conditions', '[
  {"name": "a", "function": "work", "args": ["a", 7]},
  {"name": "is", "function": "work", "if": {"$input": "a.n", "equals": 7}},
  {"name": "is not", "function": "work", "if": {"$input": "a.n", "equals": "7"}},
  {"name": "differs", "function": "work", "if": {"$input": "a.list", "differs": [7, 9]}},
  {"name": "does not", "function": "work", "if": {"$input": "a.list", "differs": [7, 8]}},
  {"name": "there", "function": "work", "if": {"$input": "a.what"}},
  {"name": "not there", "function": "work", "if": {"$input": "a.what.else.0.1.x"}},
  {"name": "false", "function": "work", "if": {"$input": "args.no"}},
  {"name": "true", "function": "work", "if": {"$input": "args.yes"}},
  {"name": "end", "function": "work", "args": ["end"], "after": ["not there", "is not"], "if": {"$input": "not there", "equals": null}}]',
  '{"no": false, "yes": true}') AS id \gset
CALL ended(:id);
SELECT name, after, state, result IS NOT NULL AS result, error FROM steps(:id);
SELECT state, succeeded, skipped FROM defer.workflows WHERE id = :id;

--
-- Failures
--
SELECT defer.workflow('fails', '[
  {"name": "good", "function": "work", "args": ["good"]},
  {"name": "bad", "function": "work", "args": ["bad one"]},
  {"name": "later", "function": "work", "args": ["later"], "after": ["good", "bad"]},
  {"name": "latest", "function": "work", "args": ["latest", {"$input": "later.n"}]},
  {"name": "aside", "function": "work", "args": ["gate aside"], "after": ["good"]}]') AS fails \gset
SELECT defer.workflow('skips and runs', '[
  {"name": "skips", "function": "work", "args": ["bad skips"], "on_failure": "skip"},
  {"name": "left out", "function": "work", "after": ["skips"]},
  {"name": "left out, too", "function": "work", "after": ["left out"]},
  {"name": "runs", "function": "work", "args": ["bad runs"], "on_failure": "run"},
  {"name": "run", "function": "work", "args": [{"$input": "runs.what"}], "after": ["runs"]}]') AS id \gset
CALL ended(:id);
SELECT state, succeeded, failed, cancelled, error, result FROM defer.workflows WHERE id = :id;
SELECT name, state, error FROM steps(:id);
-- the others go on, and then it has failed
CALL until(format('SELECT count(*) = 2 FROM defer.workflow_steps WHERE workflow_id = %s AND state = ''cancelled''', :fails));
SELECT state, unfinished FROM defer.workflows WHERE id = :fails;
INSERT INTO gate VALUES ('gate aside');
CALL ended(:fails);
SELECT state, succeeded, failed, cancelled, error FROM defer.workflows WHERE id = :fails;
SELECT state, sqlstate, error FROM defer.jobs WHERE id = :fails;
SELECT name, state, error FROM steps(:fails);
-- what an input comes to can be wrong, too
SELECT defer.workflow('wrong type', '[{"name": "a", "function": "work", "args": ["not a number"]}, {"name": "b", "function": "double", "args": [{"$input": "a.what"}], "max_attempts": 1}]') AS id \gset
CALL ended(:id);
SELECT state, error FROM defer.workflows WHERE id = :id;

-- an alert is about the workflow, by its name
SELECT defer.endpoint('flows', 'slack', 'https://hooks.example.com/x');
SELECT defer.alert('flows', 'flows', function => 'defer.workflow', group_window => '1 day');
SELECT defer.workflow('alarming', '[{"name": "a", "function": "work", "args": ["bad a"]}, {"name": "b", "function": "work", "if": {"$input": "args.no"}}]') AS id \gset
CALL ended(:id);
SELECT unsent, failing FROM defer.alerts WHERE name = 'flows';
SELECT defer.drop_alert('flows'), defer.drop_endpoint('flows');

--
-- Again
--
INSERT INTO gate VALUES ('bad one');
TRUNCATE effect;
SELECT defer.retry_workflow(:fails) AS again \gset
CALL ended(:again);
SELECT state, steps, succeeded, retry_of = :fails AS retry FROM defer.workflows WHERE id = :again;
SELECT what FROM effect ORDER BY what;
SELECT name, kept, state, result ->> 'what' AS what FROM defer.workflow_steps WHERE workflow_id = :again ORDER BY ord;
SELECT regexp_replace(error_of(format('SELECT defer.retry_workflow(%s)', :again)), '\d+ ', 'N ');
TRUNCATE effect;
SELECT defer.retry_workflow(:again, from_step => 'later') AS third \gset
CALL ended(:third);
SELECT what FROM effect ORDER BY what;
SELECT state FROM defer.workflows WHERE id = :third;
TRUNCATE effect;
SELECT defer.retry_workflow(:fails, mode => 'all') AS fourth \gset
CALL ended(:fourth);
SELECT what FROM effect ORDER BY what;
SELECT defer.workflow('later', '[{"name": "a", "function": "work", "args": ["bad a"], "on_failure": "run"}, {"name": "b", "function": "work", "args": ["b"], "after": ["a"]}]') AS id \gset
CALL ended(:id);
TRUNCATE effect;
SELECT defer.retry_workflow(:id) AS one, defer.retry_workflow(:id, 'failed_and_later') AS two \gset
CALL ended(:one);
CALL ended(:two);
SELECT what, count(*) FROM effect GROUP BY what ORDER BY what;
SELECT error_of(format('SELECT defer.retry_workflow(%s, ''some'')', :id));
-- a step that was skipped is kept as that
SELECT defer.workflow('skip', '[{"name": "a", "function": "work", "if": {"$input": "args"}}, {"name": "b", "function": "work", "args": ["bad b"]}]') AS skip \gset
CALL ended(:skip);
INSERT INTO gate VALUES ('bad b');
SELECT defer.retry_workflow(:skip) AS skip \gset
CALL ended(:skip);
SELECT name, state, kept FROM defer.workflow_steps WHERE workflow_id = :skip ORDER BY ord;
SELECT state, succeeded, skipped FROM defer.workflows WHERE id = :skip;
SELECT error_of(format('SELECT defer.retry_workflow(%s, from_step => ''x'')', :id));
SELECT regexp_replace(error_of(format('SELECT defer.rerun(%s)', :id)), '\d+ ', 'N ');

-- a step by itself: not if it has not begun, and refers to others
SELECT job_id AS latest FROM defer.workflow_steps WHERE workflow_id = :fails AND name = 'latest' \gset
SELECT job_id AS later FROM defer.workflow_steps WHERE workflow_id = :fails AND name = 'later' \gset
SELECT regexp_replace(error_of(format('SELECT defer.rerun(%s)', :latest)), '\d+ ', 'N ');
SELECT regexp_replace(error_of(format('SELECT defer.retry(%s)', :latest)), '\d+ ', 'N ');
SELECT defer.rerun(:later) AS rerun \gset
CALL until(format('SELECT state = ''succeeded'' FROM defer.jobs WHERE id = %s', :rerun));
SELECT args, result FROM defer.jobs WHERE id = :rerun;

--
-- Cancelled, with all of its steps
--
SELECT defer.workflow('long', '[
  {"name": "runs", "function": "work", "args": ["gate never"]},
  {"name": "waits", "function": "work", "after": ["runs"]},
  {"name": "tomorrow", "function": "work", "delay": "1 day"}]') AS id \gset
CALL until(format('SELECT state = ''running'' FROM defer.workflow_steps WHERE workflow_id = %s AND name = ''runs''', :id));
SELECT regexp_replace(error_of(format('SELECT defer.retry_workflow(%s)', :id)), '\d+ ', 'N ');
SELECT defer.cancel_workflow(:id);
CALL ended(:id);
SELECT state, unfinished, cancelled FROM defer.workflows WHERE id = :id;
SELECT defer.cancel_workflow(:id);

--
-- A key: one at a time
--
SELECT defer.workflow('keyed', '[{"name": "a", "function": "work", "args": ["gate keyed"]}]', key => 'k') AS id \gset
SELECT defer.workflow('keyed', '[{"name": "a", "function": "work"}]', key => 'k') = :id AS same, defer.last_enqueue();
SELECT count(*) FROM defer.workflow_steps WHERE workflow_id >= :id;
INSERT INTO gate VALUES ('gate keyed');
CALL ended(:id);
SELECT defer.workflow('keyed', '[{"name": "a", "function": "work"}]', key => 'k') = :id AS same;

--
-- What is wrong is said before anything is written
--
SELECT count(*) AS before FROM defer.workflows \gset
SELECT wrong('{}');
SELECT wrong('[]');
SELECT wrong('[1]');
SELECT wrong('[{"function": "work"}]');
SELECT wrong('[{"name": "a", "function": "work"}, {"name": null, "function": "work"}]');
SELECT wrong('[{"name": "a.b", "function": "work"}]');
SELECT wrong('[{"name": "args", "function": "work"}]');
SELECT wrong('[{"name": 7, "function": "work"}]');
SELECT wrong('[{"name": "a"}]');
SELECT wrong('[{"name": "a", "function": "work"}, {"name": "a", "function": "work"}]');
SELECT wrong('[{"name": "a", "function": "no_such"}]');
SELECT wrong('[{"name": "a", "function": "double", "args": [1, 2]}]');
SELECT wrong('[{"name": "a", "function": "double", "args": ["x"]}]');
SELECT wrong('[{"name": "a", "function": "double", "args": {"m": {"$input": "args"}}}]');
SELECT wrong('[{"name": "a", "function": "double", "args": 7}]');
SELECT wrong('[{"name": "a", "function": "double", "args": {"$input": "args"}}]');
SELECT wrong('[{"name": "a", "function": "double", "args": [{"$input": 7}]}]');
SELECT wrong('[{"name": "a", "function": "double", "args": [{"$input": "args", "x": 1}]}]');
SELECT wrong('[{"name": "a", "function": "work", "after": ["b"]}]');
SELECT wrong('[{"name": "a", "function": "double", "args": [{"$input": "b.c"}]}]');
SELECT wrong('[{"name": "a", "function": "work", "after": "b"}]');
SELECT wrong('[{"name": "a", "function": "work", "after": [true]}]');
SELECT wrong('[{"name": "a", "function": "work", "after": ["a"]}]');
SELECT wrong('[{"name": "x", "function": "work"}, {"name": "a", "function": "work", "after": ["x", "c"]}, {"name": "b", "function": "work", "after": ["a"]}, {"name": "c", "function": "double", "args": [{"$input": "b"}]}, {"name": "d", "function": "work", "after": ["c"]}]');
SELECT wrong('[{"name": "a", "function": "work", "if": true}]');
SELECT wrong('[{"name": "a", "function": "work", "if": {"$input": "args", "equals": 1, "differs": 2}}]');
SELECT wrong('[{"name": "a", "function": "work", "on_failure": "hold"}]');
SELECT wrong('[{"name": "a", "function": "work", "priority": "high"}]');
SELECT wrong('[{"name": "a", "function": "work", "key": "k"}]');
SELECT wrong('[{"name": "a", "function": "work", "queue": "no such"}]');
SELECT wrong('[{"name": "a", "function": "work", "wen": "now"}]');
SET ROLE flow_other;
SELECT defer.enqueue('pg_catalog.version()', delay => '1 day') AS others \gset
SET ROLE flow_owner;
SELECT regexp_replace(wrong(jsonb_build_array(jsonb_build_object('name', 'a', 'function', 'work', 'after', jsonb_build_array(:others)))), '\d+"? in', 'N in');
SELECT wrong('[{"name": "a", "function": "work", "after": [9223372036854775807]}]');
SELECT error_of($$SELECT defer.workflow(NULL, '[]')$$), error_of($$SELECT defer.workflow('x', NULL)$$), error_of($$SELECT defer.workflow('', '[]')$$);
SELECT count(*) - :before AS written FROM defer.workflows;

--
-- Other roles
--
SET ROLE flow_other;
SELECT count(*) FROM defer.workflows;
SELECT count(*) FROM defer.workflow_steps;
SELECT regexp_replace(error_of(format('SELECT defer.cancel_workflow(%s)', :id)), '\d+ ', 'N ');
SELECT regexp_replace(error_of(format('SELECT defer.retry_workflow(%s, ''all'')', :id)), '\d+ ', 'N ');
RESET ROLE;
-- whoever may manage it runs it again as its owner
SELECT defer.retry_workflow(:id, 'all') AS again \gset
CALL ended(:again);
SELECT owner, state FROM defer.workflows WHERE id = :again;
SELECT DISTINCT owner FROM defer.jobs WHERE id = :again OR parent_id = :again;

SELECT defer.cancel(:others);
SELECT count(*) FROM defer.dependency WHERE open AND owner = 'flow_owner'::regrole;
DROP SCHEMA flows CASCADE;
DROP OWNED BY flow_owner, flow_other;
DROP ROLE flow_owner, flow_other;
