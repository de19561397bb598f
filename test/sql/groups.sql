-- The group of a job: the option, group_by of functions and queues
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE groups_owner LOGIN;
CREATE ROLE groups_other LOGIN;
CREATE SCHEMA groups;
GRANT ALL ON SCHEMA groups TO groups_owner, groups_other;
GRANT USAGE ON SCHEMA defer TO groups_owner, groups_other;
SET search_path = groups, public;
CREATE FUNCTION groups_of(ids bigint[]) RETURNS SETOF text LANGUAGE sql AS
	'SELECT coalesce(''"'' || j.group_key || ''"'', ''none'') FROM unnest(ids) WITH ORDINALITY AS i(id, n)
	 JOIN defer.jobs j ON j.id = i.id ORDER BY i.n';
SET ROLE groups_owner;
CREATE FUNCTION work(tenant text DEFAULT 'nobody', n numeric DEFAULT 0) RETURNS text LANGUAGE sql AS 'SELECT tenant || n';
CREATE FUNCTION one_json(doc jsonb) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION tick() RETURNS void LANGUAGE sql AS '';
SELECT defer.pause('work'), defer.pause('one_json'), defer.pause('tick');

-- By the option: 1 to 200 bytes
SELECT groups_of(ARRAY[
	defer.enqueue('work', group_key => 'acme'),
	defer.enqueue('work', '["acme"]'),
	defer.enqueue('work', group_key => repeat('ä', 100)),
	defer.command('SELECT 1', delay => '1 day', group_key => 'by command'),
	defer.later('work', 'acme'::text)]);
SELECT defer.enqueue('work', group_key => '');
SELECT defer.enqueue('work', group_key => repeat('x', 201));
SELECT defer.enqueue('work', group_key => repeat('ä', 100) || 'x');

-- By a parameter of the function: by name, by position, typed; missing and null are no group
SELECT defer.configure('work', group_by => 'tenant');
SELECT group_by, paused FROM defer.functions WHERE function LIKE 'groups.work(%';
SELECT groups_of(ARRAY[
	defer.enqueue('work', '["acme"]'),
	defer.enqueue('work', '{"n": 3, "tenant": "blue"}'),
	defer.later('work', 'cyan'::text),
	defer.enqueue('work', '["acme"]', group_key => 'given'),
	defer.enqueue('work'),
	defer.enqueue('work', '{"n": 3}'),
	defer.enqueue('work', '[null, 1]')]);
SELECT defer.enqueue('work', '[""]');
SELECT defer.enqueue('work', jsonb_build_array(repeat('x', 201)));

-- One number has one text
SELECT defer.configure('work', group_by => 'n');
SELECT groups_of(ARRAY[
	defer.enqueue('work', '["a", 1]'), defer.enqueue('work', '["a", 1.0]'), defer.enqueue('work', '["a", 1.00e0]'),
	defer.enqueue('work', '["a", "1"]'), defer.later('work', 'a'::text, 1.000), defer.enqueue('work', '["a", -0.50]'),
	defer.enqueue('work', '["a", 100]'), defer.enqueue('work', '["a", 0]'), defer.enqueue('work', '["a", -0.0]')]);

-- Arrays and objects are none
SELECT defer.configure('one_json', group_by => 'doc');
SELECT groups_of(ARRAY[
	defer.enqueue('one_json', '["text"]'), defer.enqueue('one_json', '[true]'), defer.enqueue('one_json', '{"doc": false}')]);
SELECT defer.enqueue('one_json', '[[1]]');
SELECT defer.enqueue('one_json', '{"doc": {"a": 1}}');
SELECT groups_of(ARRAY[defer.enqueue('one_json', '[[1]]', group_key => 'given')]);

-- By metadata
SELECT defer.configure('work', group_by => 'metadata.tenant');
SELECT groups_of(ARRAY[
	defer.enqueue('work', '["x"]', metadata => '{"tenant": 7}'),
	defer.enqueue('work', '["x"]', metadata => '{"tenant": "seven"}'),
	defer.enqueue('work', '["x"]', metadata => '{"tenant": null}'),
	defer.enqueue('work', '["x"]', metadata => '{"other": 7}'),
	defer.enqueue('work', '["x"]'),
	defer.later('work', 'x'::text)]);
SELECT defer.enqueue('work', '["x"]', metadata => '{"tenant": [7]}');
SELECT defer.enqueue('work', '["x"]', metadata => '[7]');

-- Checked when it is set, and when the signature is looked up again
SELECT defer.configure('work', group_by => 'customer');
SELECT defer.configure('tick', group_by => 'customer');
SELECT defer.configure('work', group_by => '');
SELECT defer.configure('work', group_by => 'metadata.');
SELECT defer.configure('work', group_by => repeat('x', 201));
SELECT defer.configure('work', group_by => 'tenant');
DROP FUNCTION work(text, numeric);
CREATE FUNCTION work(customer text DEFAULT 'nobody', n numeric DEFAULT 0) RETURNS text LANGUAGE sql AS 'SELECT customer || n';
SELECT defer.enqueue('work', '["acme"]');
SELECT groups_of(ARRAY[defer.enqueue('work', '["acme"]', group_key => 'given')]);
SELECT defer.configure('work', group_by => 'customer');
SELECT groups_of(ARRAY[defer.enqueue('work', '["acme"]')]);
SELECT defer.configure('work', reset => true);
SELECT groups_of(ARRAY[defer.enqueue('work', '["acme"]')]);

-- Of a queue: a function without that parameter gives no group; the function's setting wins
SELECT defer.create_queue('groups', group_by => 'customer');
SELECT queue, group_by FROM defer.queues WHERE queue = 'groups';
SELECT name, group_by FROM defer.settings WHERE group_by IS NOT NULL ORDER BY name;
SELECT groups_of(ARRAY[
	defer.enqueue('work', '["acme"]', queue => 'groups'),
	defer.enqueue('tick', queue => 'groups'),
	defer.command('SELECT 1', delay => '1 day', queue => 'groups'),
	defer.enqueue('one_json', '["doc"]', queue => 'groups'),
	defer.enqueue('work', '["acme"]')]);
SELECT defer.alter_queue('groups', group_by => 'metadata.sql');
SELECT groups_of(ARRAY[
	defer.enqueue('work', '["acme"]', queue => 'groups'),
	defer.command('SELECT 1', delay => '1 day', queue => 'groups', metadata => '{"sql": "x"}')]);
SELECT defer.alter_queue('groups', group_by => '');

-- Commands and deliveries: by metadata only
RESET ROLE;
SELECT defer.configure('defer.command', group_by => 'sql');
SELECT defer.configure('defer.command', group_by => 'metadata.tenant');
SELECT groups_of(ARRAY[defer.command('SELECT 1', delay => '1 day', metadata => '{"tenant": 1.50}')]);
SELECT defer.configure('defer.command', reset => true);
SELECT groups_of(ARRAY[
	defer.http('GET', 'https://peer.example/', delay => '1 day', group_key => 'by http'),
	defer.email('a@peer.example', 'subject', 'body', endpoint => 'groups mail', delay => '1 day', group_key => 'by email')])
  FROM defer.endpoint('groups mail', 'email', 'smtps://peer.example', sender => 'b@peer.example');
SET ROLE groups_owner;

-- Of a schedule
SELECT defer.cron('tick', '0 0 1 1 *', group_key => 'yearly') > 0 AS made;
SELECT defer.cron_command('groups command', '0 0 1 1 *', 'SELECT 1', group_key => 'statements') > 0 AS made;
SELECT defer.cron('tick', '0 0 1 1 *', group_key => '');
SELECT name, group_key FROM defer.schedules ORDER BY name;
SELECT groups_of(ARRAY[defer.trigger('tick')]);
SELECT defer.alter_cron('tick', group_key => 'changed');
SELECT defer.alter_cron('tick', priority => 3);
SELECT name, group_key FROM defer.schedules ORDER BY name;
SELECT defer.cron('tick', '0 0 1 1 *') > 0 AS made_anew;
SELECT name, group_key FROM defer.schedules ORDER BY name;
SELECT defer.unschedule('tick'), defer.unschedule('groups command');

-- Found, run again, changed; a change of the setting leaves jobs as they are
SELECT count(*) AS found, count(DISTINCT j.group_key) AS groups, min(j.group_key) AS group_key
  FROM defer.find_jobs(group_key => 'acme') f(id) JOIN defer.jobs j USING (id);
SELECT count(*) FROM defer.find_jobs(group_key => 'acme', queue => 'groups');
SELECT count(*) FROM defer.find_jobs(group_key => 'no such');
SELECT groups_of(ARRAY[defer.rerun(id)]) FROM defer.find_jobs(group_key => 'cyan') f(id);
SELECT defer.reschedule(id) FROM defer.find_jobs(group_key => 'blue') f(id);
SELECT count(*) FROM defer.find_jobs(group_key => 'blue');

-- In the history
SELECT defer.cancel(id) FROM defer.find_jobs(group_key => 'blue') f(id);
SELECT state, group_key FROM defer.jobs WHERE id IN (SELECT defer.find_jobs(group_key => 'blue'));
SELECT state, group_key FROM defer.jobs WHERE id IN (SELECT defer.find_jobs(states => '{cancelled}', group_key => 'blue', function => 'groups.work(text,numeric)'));
SELECT groups_of(ARRAY[defer.rerun(id)]) FROM defer.find_jobs(group_key => 'blue') f(id);

-- With a key, the job that is there keeps its group
SELECT defer.enqueue('work', key => 'groups', group_key => 'first') = defer.enqueue('work', key => 'groups', group_key => 'second') AS same;
SELECT group_key FROM defer.jobs WHERE key = 'groups';

-- Another role sees nothing of it, and cannot set it
SET ROLE groups_other;
SELECT count(*) FROM defer.find_jobs(group_key => 'acme');
SELECT defer.configure('work', group_by => 'metadata.x');
SELECT defer.alter_queue('groups', group_by => 'metadata.x');

RESET ROLE;
SELECT count(defer.cancel(j.id)) > 0 AS cancelled FROM defer.jobs j WHERE j.owner IN ('groups_owner', 'postgres') AND j.finished_at IS NULL;
SELECT defer.drop_queue('groups');
SELECT defer.drop_endpoint('groups mail');
DROP SCHEMA groups CASCADE;
DROP OWNED BY groups_owner, groups_other;
DROP ROLE groups_owner, groups_other;
