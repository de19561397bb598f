-- Queues: make, change, drop, grant, pause
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE queues_owner LOGIN;
CREATE ROLE queues_friend LOGIN;
CREATE ROLE queues_other LOGIN;
CREATE SCHEMA queues;
GRANT ALL ON SCHEMA queues TO queues_owner, queues_friend, queues_other;
GRANT USAGE ON SCHEMA defer TO queues_owner, queues_friend, queues_other;
SET search_path = queues, public;
CREATE FUNCTION queues_work(x integer) RETURNS integer LANGUAGE sql AS 'SELECT x';

-- Make and change
SET ROLE queues_owner;
SELECT defer.create_queue('queues mail');
SELECT defer.create_queue('queues slow', concurrency => 2, priority => 7, max_attempts => 4,
                          initial_interval => '5 s', multiplier => 3, max_interval => '1 hour',
                          randomization => 0, max_duration => '5 minutes', discard_after => '1 week');
\x on
SELECT queue, owner, granted, priority, max_attempts, initial_interval, multiplier, max_interval, randomization,
       max_duration, discard_after, concurrency, paused
  FROM defer.queues WHERE queue LIKE 'queues%' ORDER BY queue;
SELECT defer.alter_queue('queues slow', concurrency => 3);
SELECT queue, priority, max_attempts, concurrency FROM defer.queues WHERE queue = 'queues slow';
SELECT defer.alter_queue('queues slow', priority => 1, reset => true);
SELECT queue, owner, priority, max_attempts, initial_interval, concurrency FROM defer.queues WHERE queue = 'queues slow';
\x off

-- Refused
SELECT defer.create_queue('queues mail');
SELECT defer.create_queue('default');
SELECT defer.create_queue(NULL);
SELECT defer.create_queue('');
SELECT defer.create_queue(repeat('q', 64));
SELECT defer.create_queue(E'queues\nmail');
SELECT defer.create_queue('queues bad', concurrency => 0);
SELECT defer.create_queue('queues bad', max_attempts => -3);
SELECT defer.alter_queue('queues mail');
SELECT defer.alter_queue('queues nowhere', priority => 1);
SELECT defer.alter_queue('queues mail', initial_interval => '-1 s');
SELECT defer.alter_queue('default', priority => 1);
SELECT defer.pause_queue('default');
SELECT defer.pause_queue('queues nowhere');
SELECT defer.drop_queue('default');
SELECT defer.drop_queue('queues nowhere');
SELECT defer.grant_queue('default', 'queues_friend');
SELECT defer.grant_queue('queues mail', 'queues_nobody');
SELECT defer.grant_queue('queues mail', NULL);
SELECT queue FROM defer.queues WHERE queue LIKE 'queues%' ORDER BY queue;

-- The longest name
SELECT defer.create_queue(repeat('q', 63));
SELECT defer.drop_queue(repeat('q', 63));

-- Who may use it
RESET ROLE;
SET ROLE queues_friend;
SELECT defer.enqueue('queues_work', '[1]', queue => 'queues mail') > 0 AS allowed;
RESET ROLE;
SET ROLE queues_owner;
SELECT defer.grant_queue('queues mail', 'queues_friend');
SELECT defer.grant_queue('queues mail', 'queues_friend');
SELECT granted FROM defer.queues WHERE queue = 'queues mail';
RESET ROLE;
SET ROLE queues_friend;
BEGIN;
SELECT defer.enqueue('queues_work', '[1]', queue => 'queues mail') > 0 AS allowed;
ROLLBACK;
-- The one it was granted to by name may pause it, and no more
SELECT defer.pause_queue('queues mail');
SELECT paused FROM defer.queues WHERE queue = 'queues mail';
SELECT defer.resume_queue('queues mail');
SELECT defer.resume_queue('queues mail');
SELECT paused FROM defer.queues WHERE queue = 'queues mail';
SELECT defer.alter_queue('queues mail', priority => 1);
SELECT defer.drop_queue('queues mail');
SELECT defer.grant_queue('queues mail', 'queues_other');
SELECT defer.revoke_queue('queues mail', 'queues_friend');
RESET ROLE;
-- Everybody may use it, but not pause it
SET ROLE queues_owner;
SELECT defer.grant_queue('queues mail', 'public');
SELECT granted FROM defer.queues WHERE queue = 'queues mail';
RESET ROLE;
SET ROLE queues_other;
BEGIN;
SELECT defer.enqueue('queues_work', '[1]', queue => 'queues mail') > 0 AS allowed;
ROLLBACK;
SELECT defer.pause_queue('queues mail');
RESET ROLE;
SET ROLE queues_owner;
SELECT defer.revoke_queue('queues mail', 'public');
SELECT defer.revoke_queue('queues mail', 'queues_friend');
SELECT defer.revoke_queue('queues mail', 'queues_friend');
SELECT granted FROM defer.queues WHERE queue = 'queues mail';
RESET ROLE;
SET ROLE queues_other;
SELECT defer.enqueue('queues_work', '[1]', queue => 'queues mail') > 0 AS allowed;
SELECT count(*) FROM defer.queues WHERE queue LIKE 'queues%';
RESET ROLE;

-- Dropped only when nothing needs it
CREATE FUNCTION queues_scheduled() RETURNS void LANGUAGE sql AS 'SELECT';
SELECT defer.enqueue('queues_work', '[1]', queue => 'queues mail', delay => '1 hour') AS id \gset
SELECT defer.drop_queue('queues mail');
SELECT defer.cancel(:id);
SELECT defer.configure('queues_work', queue => 'queues mail');
SELECT defer.drop_queue('queues mail');
SELECT defer.configure('queues_work', reset => true);
SELECT defer.drop_queue('queues mail');
SELECT defer.drop_queue('queues mail');
SELECT defer.drop_queue('queues slow');

-- "default" has settings once somebody who may gives it some
BEGIN;
SELECT defer.alter_queue('default', priority => 3);
SELECT priority FROM defer.queues WHERE queue = 'default';
ROLLBACK;
SELECT priority FROM defer.queues WHERE queue = 'default';

DELETE FROM defer.function WHERE signature LIKE 'queues.%';
DROP SCHEMA queues CASCADE;
DROP OWNED BY queues_owner, queues_friend, queues_other;
DROP ROLE queues_owner, queues_friend, queues_other;
