-- Two roles that share a database: each sees and manages its own, and nothing of
-- the other, through any view or function.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE rights_alice LOGIN;
CREATE ROLE rights_bob LOGIN;
CREATE ROLE rights_nobody LOGIN;
CREATE ROLE rights_monitor LOGIN IN ROLE pg_monitor;
CREATE SCHEMA rights;
GRANT USAGE ON SCHEMA rights TO PUBLIC;
GRANT CREATE ON SCHEMA rights TO rights_alice, rights_bob;

-- Without USAGE on the schema there is nothing to see or do; pg_monitor has it
SET ROLE rights_nobody;
SELECT count(*) FROM defer.jobs;
SELECT defer.version();
SET ROLE rights_monitor;
SELECT count(*) >= 0 AS sees FROM defer.jobs;
RESET ROLE;
GRANT USAGE ON SCHEMA defer TO rights_alice, rights_bob;

-- No table, no sequence can be read or written by either
SET ROLE rights_alice;
SELECT c.relname
  FROM pg_class c
 WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind IN ('r', 'p', 'S')
   AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'USAGE, SELECT, UPDATE')
            ELSE has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
                 OR has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES') END
 ORDER BY 1;
SELECT relname, has_table_privilege(oid, 'SELECT') AS "select",
       has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') AS more
  FROM pg_class WHERE relnamespace = 'defer'::regnamespace AND relkind = 'v' ORDER BY 1;
SELECT has_schema_privilege('defer', 'CREATE') AS may_create;
SELECT p.oid::regprocedure AS not_for_everybody
  FROM pg_proc p
 WHERE p.pronamespace = 'defer'::regnamespace AND NOT has_function_privilege(p.oid, 'EXECUTE')
 ORDER BY 1;
SELECT * FROM defer.job;
DELETE FROM defer.jobs;
SELECT defer.activate();
RESET ROLE;

-- Waits until a condition holds, three minutes at most
CREATE FUNCTION rights.wait_until(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  good boolean;
BEGIN
  FOR i IN 1..18000 LOOP
    EXECUTE 'SELECT ' || condition INTO good;
    IF good THEN RETURN 'ok'; END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN 'waited in vain';
END $$;
GRANT EXECUTE ON FUNCTION rights.wait_until(text) TO PUBLIC;

-- Each role has a function of its own, of which its name is a part; so have its
-- arguments, metadata, keys, results, messages and errors
CREATE TABLE rights.gate (open boolean);
GRANT SELECT ON rights.gate TO rights_alice, rights_bob;
CREATE FUNCTION rights.set_up(name text) RETURNS void LANGUAGE plpgsql AS $outer$
BEGIN
  EXECUTE format($$
    CREATE FUNCTION rights.%1$s_work(secret text, how text) RETURNS text LANGUAGE plpgsql AS $body$
    BEGIN
      RAISE WARNING 'message of %1$s';
      PERFORM defer.log('log of %1$s');
      IF how = 'fail' THEN
        RAISE EXCEPTION 'error of %1$s' USING DETAIL = 'detail of %1$s', HINT = 'hint of %1$s';
      END IF;
      WHILE how = 'wait' AND NOT EXISTS (SELECT FROM rights.gate) LOOP
        PERFORM pg_sleep(0.01);
      END LOOP;
      RETURN 'result of ' || secret;
    END $body$ $$, name);
  EXECUTE format($$ REVOKE ALL ON FUNCTION rights.%s_work FROM PUBLIC $$, name);
  EXECUTE format($$ CREATE FUNCTION rights.%1$s_tick() RETURNS text LANGUAGE sql AS 'SELECT text ''tick of %1$s''' $$, name);
  PERFORM defer.configure(format('rights.%s_work', name), max_attempts => 1);
  PERFORM defer.enqueue(format('rights.%s_work', name), jsonb_build_array(name, 'succeed'),
                        metadata => jsonb_build_object('of', name));
  PERFORM defer.enqueue(format('rights.%s_work', name), jsonb_build_array(name, 'fail'), key => 'key of ' || name);
  PERFORM defer.enqueue(format('rights.%s_work', name), jsonb_build_array(name, 'later'), delay => '1 day');
  PERFORM defer.command(format('SELECT ''after %s''', name), after => ARRAY[
                          defer.enqueue(format('rights.%s_work', name), jsonb_build_array(name, 'wait'))]);
  PERFORM defer.command(format('SELECT ''command of %s''', name));
  PERFORM defer.cron(format('rights.%s_tick', name), '0 0 1 1 *', name => name || '_cron');
  PERFORM defer.trigger(name || '_cron');
END $outer$;

SELECT defer.endpoint('alice_endpoint', 'slack', 'https://hooks.example.com/alice-secret');
SELECT defer.endpoint('bob_endpoint', 'slack', 'https://hooks.example.com/bob-secret');
SELECT defer.grant_endpoint('alice_endpoint', 'rights_alice');
SELECT defer.grant_endpoint('bob_endpoint', 'rights_bob');
GRANT EXECUTE ON FUNCTION defer.alert, defer.slack TO rights_alice, rights_bob;
SET ROLE rights_alice;
SELECT defer.alert('alice_alert', 'alice_endpoint', group_window => '1 day');
SET ROLE rights_bob;
SELECT defer.alert('bob_alert', 'bob_endpoint', group_window => '1 day');
RESET ROLE;
SELECT defer.create_queue('alice_queue');
SELECT defer.create_queue('bob_queue');
SELECT defer.grant_queue('alice_queue', 'rights_alice');
SELECT defer.grant_queue('bob_queue', 'rights_bob');
SET ROLE rights_alice;
SELECT rights.set_up('alice');
SET ROLE rights_bob;
SELECT rights.set_up('bob');
RESET ROLE;
SELECT rights.wait_until($$ (SELECT count(*) FROM defer.jobs WHERE owner IN ('rights_alice', 'rights_bob')
  AND state IN ('succeeded', 'failed')) = 8 $$);
SELECT rights.wait_until($$ (SELECT count(*) FROM defer.jobs WHERE owner IN ('rights_alice', 'rights_bob')
  AND state = 'running') = 2 $$);

INSERT INTO defer.step (job_id, name, owner, ord, kind, started_at, finished_at)
  SELECT max(id), max(function), owner::regrole, 1, 's', now(), now() FROM defer.jobs WHERE owner IN ('rights_alice', 'rights_bob') GROUP BY owner;
INSERT INTO defer.event (owner, name, key, at)
  SELECT owner::regrole, owner, -1, now() FROM defer.jobs WHERE owner IN ('rights_alice', 'rights_bob') GROUP BY owner;
INSERT INTO defer.event_grant (owner, prefix, grantee)
  SELECT owner::regrole, 'x', owner::regrole FROM defer.jobs WHERE owner IN ('rights_alice', 'rights_bob') GROUP BY owner;

-- Whole rows of every view, as text: do any tell of alice, of bob?
CREATE FUNCTION rights.look() RETURNS TABLE (view name, alice boolean, bob boolean) LANGUAGE plpgsql AS $$
BEGIN
  FOR view IN SELECT relname FROM pg_class WHERE relnamespace = 'defer'::regnamespace AND relkind = 'v'
                 AND has_table_privilege(oid, 'SELECT') ORDER BY relname COLLATE "C" LOOP
    RETURN QUERY EXECUTE format(
      $q$ SELECT name %L, COALESCE(bool_or(v::text LIKE '%%alice%%'), false), COALESCE(bool_or(v::text LIKE '%%bob%%'), false)
            FROM defer.%I v $q$, view, view);
  END LOOP;
END $$;
SET ROLE rights_alice;
SELECT * FROM rights.look();
SET ROLE rights_bob;
SELECT * FROM rights.look();
SET ROLE rights_monitor;
SELECT count(*) AS views, bool_and(alice AND bob) AS both FROM
  (SELECT (rights.look()).*) l;
RESET ROLE;

-- A member sees what its group has
GRANT rights_bob TO rights_alice;
SET ROLE rights_alice;
SELECT count(*) AS views, bool_and(alice AND bob) AS both FROM
  (SELECT (rights.look()).*) l;
RESET ROLE;
REVOKE rights_bob FROM rights_alice;

-- What a view's own functions say when they are called
SET ROLE rights_alice;
SELECT count(*) FROM defer.running_jobs();
SELECT kind, count(*) > 0 AS some, bool_and(role = 'rights_alice'::regrole) AS mine FROM defer.processes() GROUP BY kind;
RESET ROLE;
SELECT min(id) FILTER (WHERE state = 'scheduled') AS later,
       min(id) FILTER (WHERE state = 'running') AS running,
       min(id) FILTER (WHERE state = 'succeeded') AS succeeded,
       min(id) FILTER (WHERE state = 'failed') AS failed
  FROM defer.jobs WHERE owner = 'rights_bob'
\gset
SET ROLE rights_alice;
SELECT defer.has_ended(:succeeded), defer.may_see('rights_bob'::regrole), defer.may_configure('rights.bob_work(text,text)');

-- Functions that a planner would like to evaluate early see nothing of the other
CREATE FUNCTION rights.leak(value text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
  IF value ~ 'bob' THEN RAISE WARNING 'leaked: %', value; END IF;
  RETURN true;
END $$;
SET client_min_messages = warning;
SELECT count(*) > 0 AS some FROM defer.jobs j WHERE rights.leak(j::text) AND rights.leak(args::text) AND rights.leak(owner::text);
SELECT count(*) > 0 AS some FROM defer.jobs j WHERE rights.leak(error) AND rights.leak(function) AND id = :failed;
SELECT count(*) > 0 AS some FROM defer.jobs j LEFT JOIN defer.jobs k ON rights.leak(k::text) AND rights.leak(k.result::text);
SELECT count(*) > 0 AS some FROM defer.attempts a WHERE rights.leak(a::text) AND rights.leak(message);
SELECT count(*) > 0 AS some FROM defer.logs l WHERE rights.leak(l::text);
SELECT count(*) > 0 AS some FROM defer.schedules s WHERE rights.leak(s::text) AND rights.leak(name);
SELECT count(*) > 0 AS some FROM defer.functions f WHERE rights.leak(f::text);
SELECT count(*) > 0 AS some FROM defer.queues q WHERE rights.leak(q::text);
SELECT count(*) > 0 AS some FROM defer.workers w WHERE rights.leak(w::text);
SELECT count(*) > 0 AS some FROM defer.health h WHERE rights.leak(h::text);
RESET ROLE;
DROP FUNCTION rights.leak(text);

-- Managing what is the other's: an error, the same as for what does not exist
CREATE FUNCTION rights.attempt(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  answer text;
BEGIN
  EXECUTE sql INTO answer;
  RETURN 'done: ' || COALESCE(answer, 'null');
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '\d+', 'N');
END $$;
SET ROLE rights_alice;
SELECT rights.attempt(format('SELECT defer.cancel(%s)', :later));
SELECT rights.attempt(format('SELECT defer.cancel(%s, force => true)', :running));
SELECT rights.attempt(format('SELECT defer.cancel(%s)', :succeeded));
SELECT rights.attempt(format('SELECT defer.reschedule(%s)', :later));
SELECT rights.attempt(format('SELECT defer.rerun(%s)', :succeeded));
SELECT rights.attempt(format('SELECT defer.await(%s)', :succeeded));
SELECT rights.attempt(format('SELECT defer.await(%s, timeout => ''0'')', :running));
SELECT rights.attempt('SELECT defer.await(9223372036854775807)');
SELECT rights.attempt($$SELECT defer.trigger('bob_cron')$$);
SELECT rights.attempt($$SELECT defer.unschedule('bob_cron')$$);
SELECT rights.attempt($$SELECT defer.alter_cron('bob_cron', active => false)$$);
SELECT rights.attempt($$SELECT defer.pause('rights.bob_work')$$);
SELECT rights.attempt($$SELECT defer.configure('rights.bob_work', concurrency => 1)$$);
SELECT rights.attempt($$SELECT defer.enqueue('rights.bob_work', '["x", "y"]')$$);
SELECT rights.attempt($$SELECT defer.enqueue('rights.alice_work', '["x", "y"]', queue => 'bob_queue')$$);
SELECT rights.attempt($$SELECT defer.pause_queue('bob_queue')$$);
SELECT rights.attempt($$SELECT defer.alter_queue('bob_queue', concurrency => 1)$$);
SELECT rights.attempt($$SELECT defer.grant_queue('bob_queue', 'rights_alice')$$);
SELECT rights.attempt($$SELECT defer.drop_queue('bob_queue')$$);
SELECT rights.attempt($$SELECT defer.drop_alert('bob_alert')$$);
SELECT rights.attempt($$SELECT defer.drop_endpoint('bob_endpoint')$$);
SELECT rights.attempt($$SELECT defer.grant_endpoint('bob_endpoint', 'rights_alice')$$);
SELECT rights.attempt($$SELECT defer.alert('a', 'bob_endpoint')$$);
RESET ROLE;

-- Rows that name a role, or say what is done for one, are not for a role that may write all data
SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.atttypid = 'regrole'::regtype AND NOT a.attisdropped
 WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind IN ('r', 'p')
   AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'owner_only')
 GROUP BY 1 ORDER BY 1;

-- Nothing of it has had an effect
SELECT state, count(*) FROM defer.jobs WHERE owner = 'rights_bob' GROUP BY state ORDER BY state;
SELECT active FROM defer.schedules WHERE name = 'bob_cron';

INSERT INTO rights.gate VALUES (true);
SELECT rights.wait_until($$ NOT EXISTS (SELECT FROM defer.jobs
  WHERE owner IN ('rights_alice', 'rights_bob') AND state NOT IN ('succeeded', 'failed', 'scheduled')) $$);
SELECT count(defer.cancel(id)) FROM defer.jobs
 WHERE owner IN ('rights_alice', 'rights_bob') AND state = 'scheduled';
SET ROLE rights_alice;
SELECT defer.unschedule('alice_cron');
SET ROLE rights_bob;
SELECT defer.unschedule('bob_cron');
RESET ROLE;
SELECT defer.drop_queue('alice_queue'), defer.drop_queue('bob_queue');
SELECT defer.drop_alert('alice_alert'), defer.drop_alert('bob_alert');
REVOKE EXECUTE ON FUNCTION defer.alert, defer.slack FROM rights_alice, rights_bob;
SELECT defer.drop_endpoint('alice_endpoint'), defer.drop_endpoint('bob_endpoint');
DROP SCHEMA rights CASCADE;
REVOKE USAGE ON SCHEMA defer FROM rights_alice, rights_bob;
DROP ROLE rights_alice, rights_bob, rights_nobody, rights_monitor;
