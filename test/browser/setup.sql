-- What the pages of the browser test show
CREATE EXTENSION defer;
CREATE FUNCTION work(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION slow_child(n int) RETURNS int LANGUAGE sql AS 'SELECT n FROM pg_sleep(0.2)';
CREATE FUNCTION slow_parent() RETURNS bigint LANGUAGE sql AS
  'SELECT count(defer.enqueue(''slow_child'', jsonb_build_array(i))) FROM generate_series(1, 30) i';
CREATE FUNCTION forever() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(3600)';
CREATE TABLE told (n int);
CREATE FUNCTION talks() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  RAISE NOTICE 'page 1 of 2';
  WHILE NOT EXISTS (SELECT FROM told) LOOP PERFORM pg_sleep(0.05); END LOOP;
  RAISE NOTICE 'page 2 of 2';
END $$;
CREATE FUNCTION "<script>window.hacked=1</script>"() RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION '<img src=x onerror="window.hacked=1"> %', E'\x1b[31m \u202e'
     USING DETAIL = '</pre><script>window.hacked=1</script>', HINT = '"><svg onload=window.hacked=1>'; END $$;
SELECT defer.create_queue('reports', concurrency => 2);
SELECT defer.create_queue('tenants', group_concurrency => 1);
SELECT defer.cron_command('nightly', '30 3 * * *', 'SELECT 1', timezone => 'Europe/Paris');
SELECT defer.cron_command('paused', '0 0 1 1 *', 'SELECT 1', active => false);
SELECT defer.endpoint('mails', 'email', 'smtp://localhost:1', sender => 'defer@example.com');
SELECT defer.alert('operations', endpoint => 'mails', recipients => '{operations@example.com,on-call@example.com}', function => 'work');
SELECT defer.alert('"><script>window.hacked=1</script>', endpoint => 'mails', recipients => '{someone@example.com}');
SELECT defer.enqueue('slow_parent');
SELECT count(defer.enqueue('work', jsonb_build_array(i), metadata => '{"customer": 17}')) FROM generate_series(1, 300) i;
SELECT defer.enqueue('"<script>window.hacked=1</script>"', max_attempts => 1);
DO $$ BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM defer.live_jobs);
    COMMIT;
    PERFORM pg_sleep(0.1);
  END LOOP;
END $$;
CREATE FUNCTION says(what jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT what';
CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'the warehouse does not answer'; END $$;
CREATE FUNCTION done() RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION fan_out() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(defer.enqueue('public.says', '[1]', delay => CASE WHEN i > 6 THEN interval '1 day' END)) FROM generate_series(1, 9) i;
  SELECT defer.when_done('public.done') $$;
CREATE SEQUENCE tries;
CREATE FUNCTION second_time() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('public.tries') = 1 THEN RAISE 'not yet'; END IF;
  RETURN 'welcome, <b>customer 17</b>';
END $$;
CREATE PROCEDURE onboard() LANGUAGE plpgsql AS $$
DECLARE result jsonb;
BEGIN
  CALL defer.step('welcome', 'public.second_time');
  CALL defer.step_all('recommendations', 'public.says', '[1, 2, 3]', result);
  CALL defer.sleep('settle', '300 milliseconds');
  CALL defer.wait_event('decision', 'user 17 decided', '7 days');
END $$;
SELECT defer.workflow('weekly order of <b>customer 17</b>', '[
  {"name": "reserve", "function": "says", "args": [{"item": 17, "of": "<script>window.hacked=1</script>"}]},
  {"name": "charge the customer''s account", "function": "says", "args": ["paid"], "after": ["reserve"]},
  {"name": "gift", "function": "says", "args": [1], "after": ["reserve"], "if": {"$input": "args.gift"}},
  {"name": "weigh", "function": "fails", "after": ["reserve"], "max_attempts": 1, "on_failure": "skip"},
  {"name": "ship", "function": "says", "args": [2], "after": ["charge the customer''s account", "gift"], "delay": "1 day"},
  {"name": "tell the customer", "function": "says", "args": [3], "after": ["ship", "weigh"]},
  {"name": "<img src=x onerror=window_hacked()>", "function": "says", "args": [4]}]', '{"gift": false, "customer": 17}');
SELECT defer.enqueue('onboard', initial_interval => '100 ms');
SELECT defer.enqueue('fan_out');
DO $$ BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN EXISTS (SELECT FROM defer.steps WHERE name = 'decision') AND EXISTS (SELECT FROM defer.batches WHERE succeeded = 6)
      AND EXISTS (SELECT FROM defer.workflow_steps WHERE name = 'ship' AND state = 'scheduled');
    COMMIT;
    PERFORM pg_sleep(0.1);
  END LOOP;
END $$;
SELECT defer.enqueue('forever', queue => 'tenants', group_key => g) FROM unnest('{acme,acme,"blue & son"}'::text[]) g;
SELECT defer.enqueue('work', '[1]', queue => 'tenants', group_key => '<script>window.hacked=1</script>', delay => '1 day');
