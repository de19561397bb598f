-- Settings of groups: group_concurrency, set_group, reset_group, the view groups
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE group_settings_owner LOGIN;
CREATE ROLE group_settings_other LOGIN;
CREATE SCHEMA group_settings;
GRANT ALL ON SCHEMA group_settings TO group_settings_owner, group_settings_other;
GRANT USAGE ON SCHEMA defer TO group_settings_owner, group_settings_other;
SET search_path = group_settings, public;
SET ROLE group_settings_owner;
CREATE FUNCTION work(tenant text) RETURNS text LANGUAGE sql AS 'SELECT tenant';
SELECT defer.pause('work');
SELECT defer.configure('work', group_by => 'tenant', group_concurrency => 2);
SELECT defer.create_queue('group settings', group_concurrency => 5);
SELECT function, group_concurrency FROM defer.functions WHERE function LIKE 'group_settings.%';
SELECT queue, group_concurrency FROM defer.queues WHERE queue = 'group settings';
SELECT kind, name, group_by, group_concurrency FROM defer.settings WHERE group_concurrency IS NOT NULL ORDER BY kind;
SELECT defer.configure('work', group_concurrency => 0);
SELECT defer.configure('work', group_concurrency => -1);
SELECT defer.alter_queue('group settings', group_concurrency => 0);

SELECT count(defer.enqueue('work', jsonb_build_array(t), queue => 'group settings')) FROM unnest('{acme,acme,blue,cyan}'::text[]) t;
SELECT defer.enqueue('work', '["acme"]') > 0 AS enqueued;
SELECT kind, name, group_key, scheduled, queued, running, retrying, oldest_ready IS NOT NULL AS ready, concurrency, paused
  FROM defer.groups WHERE name LIKE 'group%' ORDER BY kind, name, group_key;

-- One group
SELECT defer.set_group('acme', function => 'work', concurrency => 1);
SELECT defer.set_group('blue', function => 'work', concurrency => 'none', paused => true, reason => 'too many complaints');
SELECT defer.set_group('acme', queue => 'group settings', concurrency => 3::bigint, paused => false);
SELECT kind, name, group_key, concurrency, paused, reason FROM defer.groups WHERE name LIKE 'group%' ORDER BY kind, name, group_key;
-- What is not given stays; the reason of a pause goes with it
SELECT defer.set_group('blue', function => 'work', concurrency => '4');
SELECT group_key, concurrency, paused, reason FROM defer.groups WHERE kind = 'function' AND name LIKE 'group%' AND group_key = 'blue';
SELECT defer.set_group('blue', function => 'work', paused => false);
SELECT group_key, concurrency, paused, reason FROM defer.groups WHERE kind = 'function' AND name LIKE 'group%' AND group_key = 'blue';
SELECT defer.set_group('blue', function => 'work', weight => 2.5);
SELECT group_key, concurrency, paused, weight, share FROM defer.groups WHERE kind = 'function' AND name LIKE 'group%' ORDER BY 1;
SELECT group_key, weight, share FROM defer.groups WHERE kind = 'queue' AND name LIKE 'group%' AND group_key = 'blue';
SELECT defer.reset_group('blue', function => 'work'), defer.reset_group('blue', function => 'work');
SELECT group_key, concurrency, paused, reason FROM defer.groups WHERE kind = 'function' AND name LIKE 'group%' AND group_key = 'blue';

-- Whether there are any is noted
RESET ROLE;
SELECT group_overrides FROM defer.function WHERE signature LIKE 'group_settings.%';
SET ROLE group_settings_owner;
SELECT defer.reset_group('acme', function => 'work');
RESET ROLE;
SELECT group_overrides FROM defer.function WHERE signature LIKE 'group_settings.%';
SELECT group_overrides FROM defer.queue WHERE name = 'group settings';
SET ROLE group_settings_owner;

-- Refused
SELECT defer.set_group('acme', concurrency => 1);
SELECT defer.set_group('acme', function => 'work', queue => 'group settings', concurrency => 1);
SELECT defer.set_group(NULL, function => 'work', concurrency => 1);
SELECT defer.set_group('', function => 'work', concurrency => 1);
SELECT defer.set_group(repeat('x', 201), function => 'work', concurrency => 1);
SELECT defer.set_group('acme', function => 'work');
SELECT defer.set_group('acme', function => 'nothing', concurrency => 1);
SELECT defer.set_group('acme', queue => 'nothing', concurrency => 1);
SELECT defer.set_group('acme', function => 'work', concurrency => c) FROM (VALUES (0)) v(c);
SELECT defer.set_group('acme', function => 'work', concurrency => -1);
SELECT defer.set_group('acme', function => 'work', concurrency => 1.5);
SELECT defer.set_group('acme', function => 'work', concurrency => 2147483648);
SELECT defer.set_group('acme', function => 'work', concurrency => ' 1');
SELECT defer.set_group('acme', function => 'work', concurrency => 'many');
SELECT defer.set_group('acme', function => 'work', weight => 0);
SELECT defer.set_group('acme', function => 'work', weight => 1000.01);
SELECT defer.set_group('acme', function => 'work', weight => 'NaN');
SELECT defer.set_group('acme', function => 'work', weight => 'many');
SELECT defer.set_group('acme', queue => 'default', paused => true);
SET ROLE group_settings_other;
SELECT defer.set_group('acme', function => 'work', paused => true);
SELECT defer.set_group('acme', queue => 'group settings', paused => true);
SELECT defer.reset_group('acme', function => 'work');
SELECT defer.reset_group('acme', queue => 'group settings');
SELECT count(*) FROM defer.groups WHERE name LIKE 'group%';

-- Order
SET ROLE group_settings_owner;
SELECT defer.configure('work', group_order => 'loose');
SELECT defer.configure('work', on_group_failure => 'hold');
SELECT defer.configure('work', group_order => 'strict', on_group_failure => 'stop');
SELECT defer.configure('work', group_order => 'strict', at_limit => 'cancel');
SELECT defer.create_queue('order settings', on_group_failure => 'skip');
SELECT defer.configure('work', group_order => 'strict', on_group_failure => 'hold');
SELECT defer.configure('work', at_limit => 'cancel');
SELECT defer.alter_queue('group settings', group_order => 'strict');
SELECT name, group_order, on_group_failure FROM defer.settings WHERE group_order IS NOT NULL ORDER BY name;
SELECT DISTINCT kind, concurrency, group_order FROM defer.groups WHERE name LIKE 'group%' ORDER BY kind;
SELECT defer.release_group('acme', function => 'work'), defer.release_group('acme', queue => 'group settings');
SELECT defer.release_group('acme');
SELECT defer.release_group('acme', function => 'work', queue => 'group settings');
SELECT defer.release_group('acme', queue => 'nothing');
SET ROLE group_settings_other;
SELECT defer.release_group('acme', function => 'work');
SELECT defer.release_group('acme', queue => 'group settings');
SET ROLE group_settings_owner;
SELECT defer.configure('work', group_order => 'none');
SELECT defer.alter_queue('group settings', group_order => 'none');
SELECT name, group_order, on_group_failure FROM defer.settings WHERE group_order IS NOT NULL ORDER BY name;

-- Groups without jobs are shown to the owner, with what was set for them
SELECT defer.set_group('no jobs', queue => 'group settings', paused => true, reason => 'moves out');
SELECT kind, group_key, queued, waiting, paused, reason FROM defer.groups WHERE group_key = 'no jobs';
SET ROLE group_settings_other;
SELECT count(*) FROM defer.groups WHERE group_key = 'no jobs';
SET ROLE group_settings_owner;
SELECT defer.enqueue('work', '["acme"]', delay => '1 hour') AS earlier \gset
SELECT defer.enqueue('work', '["acme"]', group_key => 'waits', after => ARRAY[:earlier]) > 0 AS later;
SELECT kind, scheduled, queued, waiting FROM defer.groups WHERE group_key = 'waits' ORDER BY kind;

-- They go with the queue
RESET ROLE;
SELECT count(defer.cancel(j.id)) FROM defer.jobs j WHERE j.owner = 'group_settings_owner' AND j.finished_at IS NULL;
SELECT defer.drop_queue('group settings');
SELECT count(*) FROM defer.group_setting;
DROP SCHEMA group_settings CASCADE;
DROP OWNED BY group_settings_owner, group_settings_other;
DROP ROLE group_settings_owner, group_settings_other;
