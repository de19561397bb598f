-- Tasks: make, grant, enqueue, take and end them
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE tasks_owner LOGIN;
CREATE ROLE tasks_app LOGIN;
CREATE ROLE tasks_worker LOGIN;
CREATE ROLE tasks_other LOGIN;
CREATE SCHEMA tasks;
GRANT ALL ON SCHEMA tasks TO tasks_owner, tasks_app, tasks_worker, tasks_other;
GRANT USAGE ON SCHEMA defer TO tasks_owner, tasks_app, tasks_worker, tasks_other;
SET search_path = tasks, public;

-- A worker that waits for a job: limits of a new task are known a moment after its first job
CREATE FUNCTION tasks.take_soon(tasks text[] DEFAULT NULL, n integer DEFAULT 1) RETURNS TABLE (id bigint, token uuid, attempt integer)
LANGUAGE plpgsql AS $$
DECLARE
	found integer := 0;
BEGIN
	FOR i IN 1 .. 6000 LOOP
		RETURN QUERY SELECT t.id, t.token, t.attempt FROM defer.take(take_soon.tasks, n => take_soon.n - found) t;
		GET DIAGNOSTICS found = ROW_COUNT;
		EXIT WHEN found > 0;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;

-- Who may make them
SET ROLE tasks_owner;
SELECT defer.create_task('tasks resize');
SELECT defer.grant_tasks('tasks_owner');
RESET ROLE;
SELECT defer.grant_tasks('tasks_owner');
SET ROLE tasks_owner;
SELECT defer.create_task('tasks resize', max_attempts => 3, initial_interval => '0', schema => '{"type": "object", "required": ["id"],
	"properties": {"id": {"type": "integer"}, "size": {"enum": ["s", "m"]}, "tags": {"type": "array", "items": {"type": "string"}}}}');
SELECT defer.create_task('tasks.any');

-- Refused
SELECT defer.create_task('tasks resize');
SELECT defer.create_task(NULL);
SELECT defer.create_task('');
SELECT defer.create_task('tasks(integer)');
SELECT defer.create_task('defer.http');
SELECT defer.create_task(repeat('t', 201));
SELECT defer.create_task('tasks bad', concurrency => 0);
SELECT defer.create_task('tasks bad', schema => '[]');
SELECT defer.create_task('tasks bad', schema => '{"type": "text"}');
SELECT defer.create_task('tasks bad', schema => '{"minimum": 1}');
SELECT defer.create_task('tasks bad', schema => '{"properties": {"a": {"required": [1]}}}');
SELECT defer.grant_task('tasks resize', 'tasks_app', 'all');
SELECT defer.grant_task('tasks nowhere', 'tasks_app', 'work');
SELECT defer.grant_task('tasks resize', 'tasks_nobody', 'work');

-- Enqueue
SET ROLE tasks_app;
SELECT defer.enqueue('tasks resize', '{"id": 1}');
SELECT * FROM defer.tasks;
SET ROLE tasks_owner;
SELECT defer.grant_task('tasks resize', 'tasks_app', 'enqueue');
SELECT defer.grant_task('tasks resize', 'tasks_worker', 'work');
SELECT defer.grant_task('tasks.any', 'public', 'enqueue');
SELECT name, owner, may_enqueue, may_work FROM defer.tasks ORDER BY name COLLATE "C";
SET ROLE tasks_app;
SELECT name, owner FROM defer.tasks ORDER BY name COLLATE "C";
SELECT defer.enqueue('tasks resize');
SELECT defer.enqueue('tasks resize', '[1]');
SELECT defer.enqueue('tasks resize', '{"id": 1.5}');
SELECT defer.enqueue('tasks resize', '{"id": 1, "size": "xl"}');
SELECT defer.enqueue('tasks resize', '{"id": 1, "tags": ["a", 2]}');
SELECT defer.enqueue('tasks resize', '1');
SELECT defer.enqueue('tasks nothing', '{"id": 1}');
SELECT defer.enqueue('tasks resize', '{"id": 1, "size": "m", "tags": ["a"]}', metadata => '{"m": 1}') AS first \gset
SELECT function, args, state, owner, attempt, max_attempts, waiting_for FROM defer.jobs WHERE id = :first;

-- A function wins
CREATE FUNCTION tasks.any() RETURNS void LANGUAGE sql AS '';
SELECT defer.enqueue('tasks.any') AS called \gset
SELECT function FROM defer.jobs WHERE id = :called;
DROP FUNCTION tasks.any();

-- Take
SELECT * FROM defer.take('{tasks resize}');
SELECT * FROM defer.take();
SET ROLE tasks_other;
SELECT * FROM defer.take('{tasks nothing}');
SELECT * FROM defer.take(n => 0);
SELECT * FROM defer.take(lease => '0.5 s');
SELECT * FROM defer.take(queues => '{tasks nothing}');
SELECT * FROM defer.take(tasks => ARRAY['tasks resize', NULL]);
SET ROLE tasks_worker;
SELECT count(*) FROM defer.take('{tasks resize}', '{}');
BEGIN;
SELECT count(*) FROM take_soon('{tasks resize}');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM take_soon('{tasks resize}');
ROLLBACK TO s;
SELECT id = :first AS first, token, task, args, attempt, max_attempts, metadata, group_key, lease_until > now() + '50 s' AS until, deadline
  FROM defer.take('{tasks resize}', '{default}', n => 10, lease => '1 min', worker => 'tasks 1') \gset taken_
COMMIT;
\echo :taken_first :taken_task :taken_args :taken_attempt :taken_max_attempts :taken_metadata :taken_group_key :taken_until
SELECT count(*) FROM defer.take();
RESET ROLE;
SELECT state, attempt, pid FROM defer.jobs WHERE id = :first;
SELECT role, worker, cardinality(jobs) FROM defer.claim WHERE token = :'taken_token';

-- A token is worth nothing to others, and what it is of is not told
SET ROLE tasks_other;
SELECT defer.complete(0, :'taken_token');
\set VERBOSITY sqlstate
SELECT defer.complete(:first, :'taken_token');
SELECT defer.heartbeat(:first, :'taken_token');
SELECT defer.lease_state(:first, :'taken_token');
SET ROLE tasks_app;
SELECT defer.fail(:first, '00000000-0000-0000-0000-000000000000', 'no');
SELECT defer.release(:first, '00000000-0000-0000-0000-000000000000');
SELECT defer.log(:first, '00000000-0000-0000-0000-000000000000', 'no');

-- A transaction that was refused cannot commit
SET ROLE tasks_worker;
CREATE TABLE tasks.effect (x integer);
BEGIN;
INSERT INTO effect VALUES (1);
SAVEPOINT s;
SELECT defer.complete(:first, '00000000-0000-0000-0000-000000000000');
ROLLBACK TO s;
COMMIT;
SELECT * FROM effect;

-- While it is held
SELECT defer.heartbeat(:first, :'taken_token', progress => 0.5);
SELECT defer.heartbeat(:first, :'taken_token', progress => 2);
SELECT defer.heartbeat(:first, :'taken_token', extend => '8 days');
SELECT defer.log(:first, :'taken_token', 'half of it');
SELECT defer.lease_state(:first, :'taken_token');
SET ROLE tasks_app;
SELECT state, progress FROM defer.jobs WHERE id = :first;
SELECT level, attempt, message FROM defer.logs WHERE job_id = :first;

-- Fail: it is tried again
SET ROLE tasks_worker;
SELECT defer.fail(:first, :'taken_token', 'no', sqlstate => 'abc');
SELECT defer.fail(:first, :'taken_token', 'no', retry => false, retry_in => '1 s');
SELECT defer.fail(:first, :'taken_token', 'bad image', sqlstate => '22023', detail => 'all of it', retry_in => '0');
SELECT defer.lease_state(:first, :'taken_token');
SELECT defer.complete(:first, :'taken_token');
SELECT token, attempt FROM take_soon('{tasks resize}') \gset second_
SELECT :'second_token' <> :'taken_token' AS new_token, :second_attempt AS attempt;

-- A conflict with other transactions uses no attempt, and waits for nothing
SELECT defer.fail(:first, :'second_token', 'could not serialize', sqlstate => '40001');
SELECT defer.lease_state(:first, :'second_token');
SELECT token, attempt FROM take_soon('{tasks resize}') \gset second_
SELECT :second_attempt AS attempt;

-- Complete: undone by ROLLBACK TO, and with the transaction
BEGIN;
SAVEPOINT s;
SELECT defer.complete(:first, :'second_token');
ROLLBACK TO s;
COMMIT;
SELECT defer.lease_state(:first, :'second_token');
BEGIN;
INSERT INTO effect VALUES (2);
SELECT defer.complete(:first, :'second_token', '{"width": 7}');
ROLLBACK;
SELECT defer.lease_state(:first, :'second_token');
BEGIN;
INSERT INTO effect VALUES (3);
SELECT defer.complete(:first, :'second_token', '{"width": 7}');
COMMIT;
SELECT * FROM effect;
SELECT defer.lease_state(:first, :'second_token');
SELECT defer.complete(:first, :'second_token');
RESET ROLE;
SELECT count(*) FROM defer.claim WHERE role = 'tasks_worker'::regrole;
SET ROLE tasks_app;
SELECT state, attempt, result, error, sqlstate FROM defer.jobs WHERE id = :first;
SELECT attempt, outcome, sqlstate, message, detail FROM defer.attempts WHERE job_id = :first;
SELECT defer.await(:first);

-- Twice in one transaction
SELECT defer.enqueue('tasks resize', '{"id": 2}') AS id \gset
SET ROLE tasks_worker;
SELECT token FROM take_soon() \gset
BEGIN;
SELECT defer.complete(:id, :'token');
SELECT defer.complete(:id, :'token');
COMMIT;
SELECT defer.lease_state(:id, :'token');

-- A prepared transaction would end after its lease
BEGIN;
SELECT defer.complete(:id, :'token');
PREPARE TRANSACTION 'tasks';

-- Release: no attempt; and fail for good
SELECT defer.release(:id, :'token');
SELECT defer.lease_state(:id, :'token');
SELECT token, attempt FROM take_soon() \gset
SELECT :attempt AS attempt;
SELECT defer.fail(:id, :'token', 'never', retry => false);
SET ROLE tasks_app;
SELECT state, attempt, error FROM defer.jobs WHERE id = :id;
SELECT outcome FROM defer.attempts WHERE job_id = :id ORDER BY finished_at;

-- The worker's transaction acts as the job
RESET ROLE;
CREATE FUNCTION tasks.child() RETURNS void LANGUAGE sql AS '';
SET ROLE tasks_app;
SELECT defer.enqueue('tasks resize', '{"id": 10}') AS acted \gset
SELECT defer.enqueue('tasks resize', '{"id": 11}') AS other \gset
SET ROLE tasks_worker;
SELECT defer.as_job(:acted, :'taken_token');
SELECT token AS acted_token FROM take_soon('{tasks resize}') \gset
SELECT token AS other_token FROM take_soon('{tasks resize}') \gset
SET ROLE tasks_other;
SELECT defer.as_job(:acted, :'acted_token');
SET ROLE tasks_worker;
BEGIN;
SELECT defer.as_job(:acted, :'acted_token');
SELECT defer.current_job() = :acted AS current;
SELECT defer.log('as the job');
SELECT defer.progress(0.75);
SELECT defer.enqueue('tasks.child', delay => '1 day') AS child \gset
SAVEPOINT s;
SELECT defer.as_job(:other, :'other_token');
SELECT defer.current_job() = :other AS current;
ROLLBACK TO s;
SELECT defer.current_job() = :acted AS current;
SAVEPOINT s;
SELECT defer.snooze('1 s');
ROLLBACK TO s;
SELECT defer.give_up();
ROLLBACK TO s;
CALL defer.step('s', 'tasks.child');
ROLLBACK TO s;
SELECT defer.when_done('tasks.child') > 0 AS when_done;
SELECT defer.complete(:acted, :'acted_token');
COMMIT;
SELECT defer.current_job();
SELECT defer.log('outside');
BEGIN;
SELECT defer.as_job(:other, :'other_token');
PREPARE TRANSACTION 'tasks';
SELECT defer.complete(:other, :'other_token');
RESET ROLE;
SELECT parent_id = :acted AS parent, owner FROM defer.jobs WHERE id = :child;
SELECT message, attempt FROM defer.logs WHERE job_id = :acted;
SELECT state FROM defer.jobs WHERE id = :acted;
SET ROLE tasks_app;

-- Cancel
SELECT defer.enqueue('tasks resize', '{"id": 3}') AS id \gset
SET ROLE tasks_worker;
SELECT token FROM take_soon() \gset
SET ROLE tasks_app;
SELECT defer.cancel(:id);
SELECT defer.cancel(:id, force => true);
SELECT defer.reschedule(:id);
SET ROLE tasks_worker;
SELECT defer.heartbeat(:id, :'token');
SELECT defer.complete(:id, :'token');
SELECT defer.release(:id, :'token');
SELECT defer.lease_state(:id, :'token');
SET ROLE tasks_app;
SELECT state, attempt FROM defer.jobs WHERE id = :id;

-- Many at once, and take and end in one transaction
SELECT count(defer.enqueue('tasks resize', jsonb_build_object('id', i))) FROM generate_series(1, 5) i;
SET ROLE tasks_worker;
SELECT array_agg(id ORDER BY id) AS ids, array_agg(token ORDER BY id) AS tokens FROM take_soon(n => 4) \gset
SELECT answer, count(*) FROM defer.heartbeat_many(:'ids', :'tokens', '1 min') GROUP BY answer;
SELECT answer FROM defer.heartbeat_many('{0}', '{00000000-0000-0000-0000-000000000000}');
SELECT defer.complete_many(:'ids', '{}');
SELECT defer.complete_many(:'ids', :'tokens', '{}');
SELECT defer.complete_many(:'ids', :'tokens', '{1,2,3,4}');
BEGIN;
SELECT defer.complete(id, token) FROM take_soon(n => 4);
COMMIT;
RESET ROLE;
SELECT count(*) FROM defer.claim WHERE role = 'tasks_worker'::regrole;
SET ROLE tasks_app;
SELECT state, count(*), count(result) FROM defer.jobs WHERE function = 'tasks resize' GROUP BY state ORDER BY state;

-- A key of a job that ends in the same transaction
SELECT defer.enqueue('tasks.any', key => 'k') AS id \gset
SET ROLE tasks_owner;
SELECT token FROM take_soon('{tasks.any}') \gset
SET ROLE tasks_app;
SELECT defer.enqueue('tasks.any', key => 'k') = :id AS kept;
RESET ROLE;
GRANT tasks_app TO tasks_owner;
SET ROLE tasks_owner;
BEGIN;
SELECT defer.complete(:id, :'token');
SET LOCAL ROLE tasks_app;
SELECT defer.enqueue('tasks.any', key => 'k') AS next \gset
COMMIT;
RESET ROLE;
SELECT :next > :id AS another;
SELECT state FROM defer.jobs WHERE id = :id;

-- Without the right to work its tokens are worth nothing
SET ROLE tasks_owner;
SELECT defer.grant_task('tasks.any', 'tasks_worker', 'work');
SET ROLE tasks_worker;
SELECT id, token FROM take_soon('{tasks.any}') \gset
SET ROLE tasks_owner;
SELECT defer.revoke_task('tasks.any', 'tasks_worker', 'work');
SET ROLE tasks_worker;
SELECT defer.complete(:id, :'token');

\set VERBOSITY default

-- In use
SET ROLE tasks_owner;
SELECT defer.drop_task('tasks.any');
SET ROLE tasks_app;
SELECT defer.cancel(:id, force => true);
SET ROLE tasks_owner;
SELECT defer.grant_task('tasks.any', 'tasks_worker', 'work');
SET ROLE tasks_worker;
SELECT defer.release(:id, :'token');
SET ROLE tasks_app;
SELECT defer.cron('tasks.any', '0 8 * * 1') > 0 AS scheduled;
SET ROLE tasks_owner;
SELECT defer.drop_task('tasks.any');
SET ROLE tasks_app;
SELECT defer.unschedule('tasks.any');
SELECT defer.cron('tasks resize', '0 8 * * 1');
SET ROLE tasks_other;
SELECT defer.drop_task('tasks.any');
SELECT defer.configure('tasks.any', concurrency => 1);
SET ROLE tasks_owner;
SELECT defer.configure('tasks.any', concurrency => 1);
SELECT defer.pause('tasks.any');
SELECT function, concurrency, paused FROM defer.functions WHERE function LIKE 'tasks%' ORDER BY function COLLATE "C";
SET ROLE tasks_app;
SELECT defer.cancel(:next);
SET ROLE tasks_owner;
SELECT defer.drop_task('tasks.any');
SELECT defer.drop_task('tasks.any');
SELECT defer.enqueue('tasks.any');
SELECT defer.alter_task('tasks resize', NULL);
SELECT defer.enqueue('tasks resize') > 0 AS unchecked;

-- A rerun wants the task, too
SELECT defer.rerun(:next);
SET ROLE tasks_app;
SELECT defer.rerun(:next);
SELECT defer.rerun(:first) > 0 AS again;

RESET ROLE;
SELECT defer.revoke_tasks('tasks_owner');
SELECT matched, done FROM defer.cancel_jobs(function => 'tasks resize');
SELECT defer.drop_task('tasks resize');
SELECT count(*) FROM defer.task;
SELECT count(*) FROM defer.jobs WHERE owner LIKE 'tasks%' AND finished_at IS NULL AND NOT defer.cancel(id, force => true);
DROP SCHEMA tasks CASCADE;
DROP OWNED BY tasks_owner, tasks_app, tasks_worker, tasks_other;
DROP ROLE tasks_owner, tasks_app, tasks_worker, tasks_other;
