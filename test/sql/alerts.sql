-- Alerts: what is refused, who may, what is noted.  No message is sent: the
-- window is long; test/t has the messages.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
DROP ROLE IF EXISTS alert_app, alert_other;
RESET client_min_messages;
CREATE ROLE alert_app LOGIN;
CREATE ROLE alert_other LOGIN;
GRANT USAGE ON SCHEMA defer TO alert_app, alert_other;
CREATE SCHEMA alerts;
GRANT USAGE ON SCHEMA alerts TO PUBLIC;
CREATE FUNCTION alerts.work(n integer) RETURNS integer LANGUAGE plpgsql AS
  'BEGIN IF n < 0 THEN RAISE EXCEPTION ''not %'', n; END IF; RETURN n; END';
CREATE FUNCTION alerts.tick() RETURNS void LANGUAGE sql AS '';
CREATE PROCEDURE alerts.settle() LANGUAGE plpgsql AS $$
BEGIN
  WHILE EXISTS (SELECT FROM defer.jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled', 'discarded')
                   AND function LIKE 'alerts.%' AND run_at <= clock_timestamp()) LOOP
    PERFORM pg_sleep(0.01);
    COMMIT;
  END LOOP;
END $$;
-- Without recoveries: each process that has one records it
CREATE VIEW alerts.unsent AS
  SELECT a.name, (SELECT count(*) FROM defer.alert_event e JOIN defer.alert r ON r.id = e.alert_id
                   WHERE r.name = a.name AND r.owner = a.owner::regrole AND e.kind <> 'r') AS events, a.failing
    FROM defer.alerts a ORDER BY a.name;

SET ROLE alert_app;
SELECT defer.alert('ops', 'team');
RESET ROLE;
GRANT EXECUTE ON FUNCTION defer.alert, defer.endpoint, defer.slack TO alert_app;
GRANT EXECUTE ON FUNCTION defer.alert TO alert_other;
SET ROLE alert_app;
SELECT defer.endpoint('team', 'slack', 'https://hooks.example.com/x');
SELECT defer.endpoint('post', 'email', 'smtps://mail.example.com', sender => 'a@example.com');

SELECT defer.alert(NULL, 'team');
SELECT defer.alert('', 'team');
SELECT defer.alert('ops');
SELECT defer.alert('ops', 'nowhere');
SELECT defer.alert('ops', 'post');
SELECT defer.alert('ops', 'post', recipients => '{a@example.com}');
RESET ROLE;
GRANT EXECUTE ON FUNCTION defer.email TO alert_app;
SET ROLE alert_app;
SELECT defer.alert('ops', 'post', recipients => '{}');
SELECT defer.alert('ops', 'post', recipients => '{nobody}');
SELECT defer.alert('ops', 'team', recipients => '{a@example.com}');
SELECT defer.alert('ops', 'team', on_states => '{running}');
SELECT defer.alert('ops', 'team', on_states => '{failed,NULL}');
SELECT defer.alert('ops', 'team', on_states => '{}');
SELECT defer.alert('ops', 'team', function => 'no_such_function');
SELECT defer.alert('ops', 'team', group_window => '2 days');
SELECT defer.alert('ops', 'team', group_window => '-1 s');
SELECT defer.alert('ops', 'team', backlog => '1 ms');
SELECT defer.alert('ops', 'team', on_states => '{}', retries => 0);
SELECT defer.alert('ops', 'team', on_states => '{}', step_waits => '999 ms');
SELECT defer.alert('ops', 'team', group_window => '1 day');
SELECT defer.alert('all', 'post', on_states => '{succeeded,failed,cancelled}', function => 'alerts.work',
  recipients => ARRAY['a@example.com', 'B <b@example.com>']::varchar[], group_window => '1 day', recovered => false, show_args => false,
  schedules => true, backlog => '1 hour', workers => true, retries => 3, step_waits => '2 hours');
SELECT name, owner, endpoint, recipients, on_states, function, group_window, recovered, show_args, schedules, backlog,
  workers, retries, step_waits, last_sent_at, unsent, failing FROM defer.alerts ORDER BY name;
RESET ROLE;
SET ROLE alert_other;
SELECT count(*) FROM defer.alerts;
SELECT defer.alert('ops', 'team');
SELECT defer.drop_alert('ops');
-- Whose?  One's own, or the only one
RESET ROLE;
SELECT defer.grant_endpoint('team', 'alert_other');
GRANT EXECUTE ON FUNCTION defer.slack TO alert_other;
SET ROLE alert_other;
SELECT defer.alert('ops', 'team', group_window => '1 day');
RESET ROLE;
SELECT defer.drop_alert('ops');
SELECT defer.alert('ops', 'team', group_window => '1 day');
SELECT defer.drop_alert('ops');
SELECT owner, name FROM defer.alerts ORDER BY owner::text, name;
SET ROLE alert_other;
SELECT defer.drop_alert('ops');
-- Not of others' jobs
SELECT defer.enqueue('alerts.work', '[-1]', max_attempts => 1) IS NOT NULL AS enqueued;
RESET ROLE;
CALL alerts.settle();
SELECT name, events, failing FROM alerts.unsent;

SET ROLE alert_app;
SELECT count(defer.enqueue('alerts.work', jsonb_build_array(n), max_attempts => 1)) FROM generate_series(-3, 4) n;
SELECT defer.enqueue('alerts.work', '[1]', delay => '1 hour') AS later \gset
RESET ROLE;
CALL alerts.settle();
SELECT name, events, failing FROM alerts.unsent;
-- Rolled back is not noted
BEGIN;
SELECT defer.cancel(:later);
ROLLBACK;
SELECT name, events, failing FROM alerts.unsent;
SELECT defer.cancel(:later);
SELECT name, events, failing FROM alerts.unsent;
SELECT kind, subject, count(*) FROM defer.alert_event WHERE kind <> 'r' GROUP BY 1, 2 ORDER BY 1, 2;
-- Rules of a role see the jobs of those whose member it is, and of no others
GRANT alert_other TO alert_app;
SET ROLE alert_other;
SELECT defer.enqueue('alerts.work', '[-1]', max_attempts => 1) IS NOT NULL AS enqueued;
RESET ROLE;
CALL alerts.settle();
SELECT name, events, failing FROM alerts.unsent;
REVOKE alert_other FROM alert_app;
SET ROLE alert_other;
SELECT defer.enqueue('alerts.work', '[-1]', max_attempts => 1) IS NOT NULL AS enqueued;
RESET ROLE;
CALL alerts.settle();
SELECT name, events, failing FROM alerts.unsent;

-- Ticks that do not run: the second finds the first
SET ROLE alert_app;
SELECT defer.alert('ticks', 'team', on_states => '{}', schedules => true, group_window => '1 day');
SET client_min_messages = warning;
SELECT defer.cron('alerts.tick', '0 0 1 1 *', name => 'yearly') IS NOT NULL AS made;
RESET client_min_messages;
RESET ROLE;
ALTER FUNCTION alerts.tick() RENAME TO tock;
SELECT defer.run_schedules((SELECT next_run_at FROM defer.schedules WHERE name = 'yearly')) IS NOT NULL AS ran;
SELECT e.kind, e.subject, e.message FROM defer.alert_event e JOIN defer.alert a ON a.id = e.alert_id WHERE a.name = 'ticks';

-- The same name again: replaced
SET ROLE alert_app;
SELECT defer.alert('all', 'team', on_states => ARRAY['discarded']::varchar[], group_window => '1 hour');
SELECT name, endpoint, recipients, on_states, function, backlog, workers FROM defer.alerts WHERE name = 'all';
SELECT defer.drop_alert(name) FROM defer.alerts ORDER BY name;
SELECT defer.drop_alert('ops');
SELECT defer.unschedule('yearly');
SELECT defer.drop_endpoint(name) FROM defer.endpoints ORDER BY name;
RESET ROLE;
SELECT (SELECT count(*) FROM defer.alert_event) AS events, (SELECT count(*) FROM defer.alert_failing) AS failing;
SET client_min_messages = warning;
DROP SCHEMA alerts CASCADE;
REVOKE USAGE ON SCHEMA defer FROM alert_app, alert_other;
REVOKE EXECUTE ON FUNCTION defer.alert, defer.endpoint, defer.slack, defer.email FROM alert_app, alert_other;
DROP ROLE alert_app, alert_other;
