-- Caps on unfinished jobs: max_queued, group_max_queued of functions and queues
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE caps_owner LOGIN;
CREATE ROLE caps_other LOGIN;
CREATE SCHEMA caps;
GRANT ALL ON SCHEMA caps TO caps_owner, caps_other;
GRANT USAGE ON SCHEMA defer TO caps_owner, caps_other;
SET search_path = caps, public;
SET ROLE caps_owner;
CREATE FUNCTION work(tenant text DEFAULT NULL) RETURNS text LANGUAGE sql AS 'SELECT tenant';
CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
SELECT defer.pause('work');
SELECT defer.pause('fails');

CREATE VIEW counts AS
SELECT function AS name, max_queued, group_max_queued, unfinished, refused FROM defer.functions WHERE function LIKE 'caps.%'
UNION ALL SELECT queue, max_queued, group_max_queued, unfinished, refused FROM defer.queues WHERE queue LIKE 'caps%';
-- How many jobs there are must be what is counted
CREATE FUNCTION exact(OUT is_exact boolean) LANGUAGE sql AS $$
	SELECT bool_and(COALESCE(f.unfinished = (SELECT count(*) FROM defer.jobs j WHERE j.function = f.function AND j.finished_at IS NULL), true))
	  FROM defer.functions f WHERE f.function LIKE 'caps.%' $$;

CREATE FUNCTION clean(OUT cancelled bigint) LANGUAGE sql AS $$
	SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function LIKE 'caps.%' AND finished_at IS NULL $$;

-- Jobs that are there when the cap is set count
SELECT defer.enqueue('work') > 0;
SELECT defer.configure('work', max_queued => 3);
SELECT * FROM counts ORDER BY name;
SELECT defer.enqueue('work') > 0;
SELECT * FROM counts ORDER BY name;
SELECT defer.enqueue('work') > 0;
DO $$ BEGIN PERFORM defer.enqueue('work'); EXCEPTION WHEN OTHERS THEN RAISE WARNING '% %', SQLSTATE, SQLERRM; END $$;
SELECT defer.enqueue('work');
SELECT * FROM counts ORDER BY name;
SELECT exact();
-- A higher one, a lower one
SELECT defer.configure('work', max_queued => 4);
SELECT defer.enqueue('work') > 0;
SELECT defer.configure('work', max_queued => 2);
SELECT defer.enqueue('work');
-- Ends of all kinds
SELECT count(defer.cancel(id)) FROM (SELECT id FROM defer.jobs WHERE function LIKE 'caps.work%' ORDER BY id LIMIT 2) j;
SELECT defer.enqueue('work');
SELECT defer.drain();
SELECT * FROM counts ORDER BY name;
SELECT exact();

-- Rolled back, also to savepoints
BEGIN;
SELECT defer.enqueue('work') > 0;
SAVEPOINT one;
SELECT defer.enqueue('work') > 0;
SAVEPOINT two;
SELECT defer.enqueue('work');
ROLLBACK TO two;
RELEASE two;
SELECT unfinished FROM counts WHERE name LIKE 'caps.work%';
ROLLBACK TO one;
SELECT unfinished FROM counts WHERE name LIKE 'caps.work%';
SELECT defer.enqueue('work') > 0;
RELEASE one;
COMMIT;
SELECT unfinished FROM counts WHERE name LIKE 'caps.work%';
BEGIN;
SELECT clean();
-- what this transaction ends makes room in it
SELECT defer.enqueue('work') > 0;
SELECT defer.enqueue('work') > 0;
ROLLBACK;
SELECT unfinished FROM counts WHERE name LIKE 'caps.work%';
BEGIN;
SELECT clean();
SELECT defer.enqueue('work') > 0;
COMMIT;
SELECT unfinished FROM counts WHERE name LIKE 'caps.work%';
SELECT exact();

-- One statement of many: all or nothing
SELECT defer.configure('work', max_queued => 1000);
SELECT count(defer.enqueue('work')) FROM generate_series(1, 1000);
SELECT count(defer.enqueue('work')) FROM generate_series(1, 999);
SELECT count(*) FROM defer.enqueue_many('work', '[{}]');
SELECT unfinished FROM counts WHERE name LIKE 'caps.work%';
SELECT clean();
SELECT count(*) FROM defer.enqueue_many('work', (SELECT jsonb_agg('{}'::jsonb) FROM generate_series(1, 1001)));
SELECT clean();
SELECT unfinished FROM counts WHERE name LIKE 'caps.work%';
SELECT exact();

-- Keys: no job counts twice, and what is kept needs no room
SELECT defer.configure('work', max_queued => 1);
SELECT outcome FROM defer.enqueue_one('work', key => 'k');
SELECT outcome FROM defer.enqueue_one('work', key => 'k');
SELECT outcome FROM defer.enqueue_one('work', key => 'k', on_key => 'replace');
SELECT outcome FROM defer.enqueue_one('work', key => 'k', on_key => 'debounce', delay => '1 hour');
SELECT defer.enqueue('work', key => 'other');
SELECT unfinished FROM counts WHERE name LIKE 'caps.work%';
-- in another queue by that, with a cap of its own
SELECT defer.create_queue('caps narrow', max_queued => 1);
SELECT outcome FROM defer.enqueue_one('work', key => 'k', on_key => 'replace', queue => 'caps narrow');
SELECT name, unfinished FROM counts WHERE unfinished IS NOT NULL ORDER BY name;
SELECT defer.configure('work', max_queued => 2);
SELECT outcome FROM defer.enqueue_one('work', key => 'l');
SELECT outcome FROM defer.enqueue_one('work', key => 'l', on_key => 'replace', queue => 'caps narrow');
SELECT name, unfinished FROM counts WHERE unfinished IS NOT NULL ORDER BY name;
SELECT outcome FROM defer.enqueue_one('work', key => 'k', on_key => 'replace');
SELECT name, unfinished FROM counts WHERE unfinished IS NOT NULL ORDER BY name;
SELECT clean();
SELECT exact();

-- Retries and reruns are never refused, and count
SELECT defer.configure('fails', max_queued => 1, max_attempts => 1);
SELECT defer.enqueue('fails') AS failed \gset
SELECT defer.drain();
SELECT name, unfinished FROM counts WHERE name LIKE 'caps.fails%';
SELECT defer.enqueue('fails') > 0;
SELECT defer.rerun(:failed) > 0;
SELECT name, unfinished FROM counts WHERE name LIKE 'caps.fails%';
SELECT defer.enqueue('fails');
SELECT clean();
SELECT defer.retry(:failed, force => true);
SELECT name, unfinished FROM counts WHERE name LIKE 'caps.fails%';
SELECT exact();

-- Jobs after others, workflows, callbacks: those that wait count
SELECT defer.configure('work', max_queued => 2);
BEGIN;
SELECT defer.enqueue('work') AS first \gset
SELECT defer.enqueue('work', after => ARRAY[:first]) > 0;
SAVEPOINT before;
SELECT defer.enqueue('work', after => ARRAY[:first]);
ROLLBACK TO before;
COMMIT;
SELECT defer.cancel(:first);
SELECT unfinished FROM counts WHERE name LIKE 'caps.work%';
-- one that ends at once, as the earlier job was cancelled, never counted
SELECT defer.enqueue('work', after => ARRAY[:first]) > 0;
SELECT unfinished FROM counts WHERE name LIKE 'caps.work%';
SELECT exact();

-- Groups
SELECT defer.configure('work', reset => true, group_by => 'tenant', group_max_queued => 2);
SELECT defer.create_queue('caps tenants', group_max_queued => 3);
SELECT count(defer.enqueue('work', jsonb_build_object('tenant', t))) FROM unnest('{a,a,b}'::text[]) t;
SELECT defer.enqueue('work', '{"tenant": "a"}');
SELECT defer.enqueue('work', '{"tenant": "b"}') > 0;
SELECT count(defer.enqueue('work')) FROM generate_series(1, 5);
SELECT name, unfinished FROM counts WHERE unfinished IS NOT NULL ORDER BY name;
SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function LIKE 'caps.work%' AND group_key = 'a' AND finished_at IS NULL;
SELECT defer.enqueue('work', '{"tenant": "a"}') > 0;
-- in the queue of other functions, too
SELECT count(defer.enqueue('fails', group_key => 'c', queue => 'caps tenants')) FROM generate_series(1, 2);
SELECT defer.configure('fails', reset => true);
SELECT count(defer.enqueue('fails', group_key => 'c', queue => 'caps tenants')) FROM generate_series(1, 3);
SELECT defer.enqueue('work', group_key => 'c', queue => 'caps tenants');
SELECT defer.enqueue('work', group_key => 'd', queue => 'caps tenants') > 0;
SELECT kind, name, group_key, max_queued, queued FROM defer.groups WHERE max_queued IS NOT NULL ORDER BY 1, 2, 3;
SELECT exact();

-- Set and taken off in a transaction: holds from the commit on
BEGIN;
SELECT defer.configure('fails', max_queued => 1);
SELECT count(defer.enqueue('fails')) FROM generate_series(1, 2);
SELECT defer.configure('fails', reset => true);
SELECT defer.configure('fails', max_queued => 6);
ROLLBACK;
SELECT defer.enqueue('fails') > 0;
BEGIN;
SELECT defer.configure('fails', max_queued => 7);
SELECT count(defer.enqueue('fails')) FROM generate_series(1, 2);
COMMIT;
SELECT defer.enqueue('fails') > 0;
SELECT defer.enqueue('fails');
SELECT exact();

-- Refused
SELECT defer.configure('work', max_queued => 0);
SELECT defer.configure('work', group_max_queued => -1);
SELECT defer.alter_queue('caps narrow', max_queued => 0);

-- Others: the queue's caps are for all of its roles; what they may not see is not shown
SELECT defer.grant_queue('caps narrow', 'caps_other');
SELECT defer.alter_queue('caps narrow', max_queued => 1);
RESET ROLE;
SET ROLE caps_other;
CREATE FUNCTION mine() RETURNS void LANGUAGE sql AS 'SELECT';
SELECT defer.pause('mine');
SELECT defer.enqueue('mine', queue => 'caps narrow') > 0;
SELECT defer.enqueue('mine', queue => 'caps narrow');
SELECT queue, max_queued, unfinished, refused FROM defer.queues WHERE queue LIKE 'caps%';
SELECT defer.cap_state('queue', 'caps tenants'), defer.cap_state('queue', 'none'), defer.cap_state('x', 'y');
SELECT defer.alter_queue('caps narrow', max_queued => 100);
RESET ROLE;
SET ROLE caps_owner;
SELECT defer.enqueue('fails', queue => 'caps narrow');
SELECT severity, finding FROM defer.health WHERE finding LIKE '%unfinished jobs%' ORDER BY finding;

-- What cannot be counted after a crash: prepared transactions
BEGIN;
SELECT clean();
SELECT defer.enqueue('fails') > 0;
PREPARE TRANSACTION 'caps';
SELECT exact();

RESET ROLE;
SELECT caps.clean();
SELECT name, unfinished FROM counts WHERE unfinished IS NOT NULL ORDER BY name;
SELECT defer.drop_queue('caps narrow'), defer.drop_queue('caps tenants');
DROP SCHEMA caps CASCADE;
DELETE FROM defer.function WHERE signature LIKE 'caps.%';
REVOKE ALL ON SCHEMA defer FROM caps_owner, caps_other;
DROP ROLE caps_owner, caps_other;
