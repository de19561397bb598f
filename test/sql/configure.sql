-- Settings of functions: defer.configure, defer.pause, defer.resume
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE configure_owner LOGIN;
CREATE ROLE configure_other LOGIN;
CREATE SCHEMA configure;
GRANT ALL ON SCHEMA configure TO configure_owner, configure_other;
GRANT USAGE ON SCHEMA defer TO configure_owner, configure_other;
SET search_path = configure, public;

SET ROLE configure_owner;
CREATE FUNCTION configure_work(x integer) RETURNS integer LANGUAGE sql AS 'SELECT x';
CREATE FUNCTION configure_twice(x integer) RETURNS integer LANGUAGE sql AS 'SELECT x';
CREATE FUNCTION configure_twice(x text) RETURNS text LANGUAGE sql AS 'SELECT x';

-- Each setting is kept; NULL leaves as is
SELECT defer.configure('configure_work', priority => 5, max_attempts => 3, initial_interval => '1 s',
                       multiplier => 2, max_interval => '1 hour', randomization => 0);
SELECT defer.configure('configure.configure_work(integer)', concurrency => 4, at_limit => 'cancel',
                       max_duration => '2 minutes', discard_after => '1 day', queue => 'default');
\x on
SELECT function, queue, priority, max_attempts, initial_interval, multiplier, max_interval, randomization,
       max_duration, discard_after, concurrency, at_limit, paused
  FROM defer.functions WHERE function LIKE 'configure.%';
-- reset takes back all that is not given, and not the pause
SELECT defer.pause('configure_work');
SELECT defer.configure('configure_work', concurrency => 2, reset => true);
SELECT function, queue, priority, max_attempts, initial_interval, multiplier, max_interval, randomization,
       max_duration, discard_after, concurrency, at_limit, paused
  FROM defer.functions WHERE function LIKE 'configure.%';
\x off
SELECT defer.resume('configure_work');
SELECT defer.resume('configure_work');
SELECT defer.configure('configure_work', reset => true);
SELECT function, concurrency, paused FROM defer.functions WHERE function LIKE 'configure.%';

-- Rolled back is as if it had not been
BEGIN;
SELECT defer.configure('configure_work', concurrency => 1);
ROLLBACK;
SELECT function, concurrency FROM defer.functions WHERE function LIKE 'configure.%';

-- Refused, with the place and a hint
SELECT defer.configure('configure_work');
SELECT defer.configure(NULL, priority => 1);
SELECT defer.configure('configure_nowhere', priority => 1);
SELECT defer.configure('configure_twice', priority => 1);
SELECT defer.configure('configure_work', queue => 'configure nowhere');
SELECT defer.configure('configure_work', max_attempts => 0);
SELECT defer.configure('configure_work', concurrency => 0);
SELECT defer.configure('configure_work', concurrency => -1);
SELECT defer.configure('configure_work', multiplier => 0.5);
SELECT defer.configure('configure_work', multiplier => 'NaN');
SELECT defer.configure('configure_work', multiplier => 'infinity');
SELECT defer.configure('configure_work', randomization => -0.1);
SELECT defer.configure('configure_work', randomization => 1.5);
SELECT defer.configure('configure_work', randomization => 'NaN');
SELECT defer.configure('configure_work', at_limit => 'drop');
SELECT defer.configure('configure_work', initial_interval => '-1 s');
SELECT defer.configure('configure_work', initial_interval => '1 day -25 hours');
SELECT defer.configure('configure_work', max_interval => '102 years');
SELECT defer.configure('configure_work', max_interval => '178000000 years');
SELECT defer.configure('configure_work', max_duration => '-1 s');
SELECT defer.configure('configure_work', discard_after => '0');
SELECT defer.pause(NULL);
SELECT defer.pause('configure_nowhere');
SELECT defer.resume('configure_nowhere');
SELECT function, concurrency, paused FROM defer.functions WHERE function LIKE 'configure.%';

-- The edges are allowed
SELECT defer.configure('configure_work', priority => -2147483648, max_attempts => 1, initial_interval => '0',
                       multiplier => 1, max_interval => '0', randomization => 1, concurrency => 1,
                       max_duration => '0', discard_after => '1 microsecond', at_limit => 'keep');

-- Only the owner
RESET ROLE;
SET ROLE configure_other;
SELECT defer.configure('configure_work', priority => 1);
SELECT defer.pause('configure_work');
SELECT defer.resume('configure_work');
SELECT defer.configure('pg_catalog.now()', concurrency => 1);
SELECT count(*) FROM defer.functions WHERE function LIKE 'configure.%';
RESET ROLE;
-- but a superuser, too
SELECT defer.configure('configure_work', priority => 1);

-- Nothing of a role's own has a say in our SQL: no operator, no function, no
-- setting, no row security
SET ROLE configure_owner;
CREATE FUNCTION configure.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN RAISE EXCEPTION 'called as %', current_user; END $$;
CREATE OPERATOR configure.= (LEFTARG = text, RIGHTARG = text, FUNCTION = configure.equal);
SET search_path = configure, pg_catalog;
SELECT defer.configure('configure_work', priority => 2);
SELECT current_user, current_setting('search_path');
SET search_path = configure, public;
RESET ROLE;

DELETE FROM defer.function WHERE signature LIKE 'configure.%';
DROP SCHEMA configure CASCADE;
DROP OWNED BY configure_owner, configure_other;
DROP ROLE configure_owner, configure_other;
