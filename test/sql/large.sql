-- Jobs whose arguments are so large that they are stored out of line: they are
-- run, retried, cancelled, moved and deleted like others.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;
RESET client_min_messages;
CREATE SCHEMA large;
CREATE FUNCTION large.text_of(n integer) RETURNS text LANGUAGE sql AS
  'SELECT string_agg(md5(random()::text || i), '''') FROM generate_series(1, n) i';
CREATE TABLE large.seen (key text, length integer);
CREATE FUNCTION large.work(key text, value text, fails boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO large.seen VALUES (key, length(value));
  IF fails THEN RAISE EXCEPTION 'no'; END IF;
  RETURN value;
END $$;
CREATE PROCEDURE large.steps(value text) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO large.seen VALUES ('first step', length(value));
  COMMIT;
  INSERT INTO large.seen VALUES ('second step', length(value));
END $$;
CREATE PROCEDURE large.settle() LANGUAGE plpgsql AS $$
BEGIN
  WHILE EXISTS (SELECT FROM defer.job WHERE function LIKE 'large.%' AND run_at <= clock_timestamp()) LOOP
    PERFORM pg_sleep(0.01);
    COMMIT;
  END LOOP;
END $$;

SELECT count(defer.enqueue('large.work', jsonb_build_array('plain', large.text_of(1000)))) FROM generate_series(1, 20);
SELECT count(defer.enqueue('large.work', jsonb_build_array('keyed', large.text_of(1000)), key => i::text)) FROM generate_series(1, 3) i;
SELECT count(defer.enqueue('large.work', jsonb_build_array('fails', large.text_of(1000), true), max_attempts => 3, initial_interval => '0'))
  FROM generate_series(1, 3) i;
SELECT count(defer.enqueue('large.steps', jsonb_build_array(large.text_of(1000)))) FROM generate_series(1, 3);
SELECT defer.enqueue('large.work', jsonb_build_array('cancelled', large.text_of(1000)), delay => '1 hour') AS c \gset
SELECT defer.enqueue('large.work', jsonb_build_array('moved', large.text_of(1000)), delay => '1 hour') AS m \gset
SELECT defer.cancel(:c), defer.reschedule(:m);
CALL large.settle();
SELECT key, count(*), min(length), max(length) FROM large.seen GROUP BY key ORDER BY key;
SELECT function, state, count(*), min(length(result #>> '{}')) AS result, min(attempt) AS attempts
  FROM defer.jobs WHERE function LIKE 'large.%' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) AS left FROM defer.job WHERE function LIKE 'large.%';

-- Under a limit, and discarded
SELECT defer.configure('large.work', concurrency => 1);
TRUNCATE large.seen;
SELECT count(defer.enqueue('large.work', jsonb_build_array('limited', large.text_of(1000)))) FROM generate_series(1, 10);
CALL large.settle();
SELECT defer.pause('large.work');
SELECT defer.enqueue('large.work', jsonb_build_array('late', large.text_of(1000)), discard_after => '1 ms') AS d \gset
SELECT pg_sleep(0.002);
SELECT defer.resume('large.work');
CALL large.settle();
SELECT key, count(*) FROM large.seen GROUP BY key ORDER BY key;
SELECT state FROM defer.jobs WHERE id = :d;
SET client_min_messages = warning;
DROP SCHEMA large CASCADE;
