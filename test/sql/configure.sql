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

-- Settings outlive the function, for its owner
SET ROLE configure_owner;
CREATE FUNCTION configure_gone() RETURNS integer LANGUAGE sql AS 'SELECT 1';
SELECT defer.configure('configure_gone', concurrency => 2);
SELECT defer.pause('configure_gone');
SELECT defer.enqueue('configure_gone', max_attempts => 1) AS gone \gset
DROP FUNCTION configure_gone;
SELECT function, paused, concurrency FROM defer.functions WHERE function LIKE '%gone%';
SELECT finding, hint FROM defer.health WHERE finding LIKE '%gone%';
SELECT defer.resume('configure_gone');
RESET ROLE;
SET ROLE configure_other;
SELECT defer.resume('configure.configure_gone()');
SELECT count(*) FROM defer.functions WHERE function LIKE '%gone%';
RESET ROLE;
SET ROLE configure_owner;
SELECT defer.configure('configure.configure_gone()', reset => true);
SELECT function, paused, concurrency FROM defer.functions WHERE function LIKE '%gone%';
SELECT defer.resume('configure.configure_gone()');
\set VERBOSITY terse
SELECT defer.await(:gone, '60 s');
\set VERBOSITY default
SELECT function, paused FROM defer.functions WHERE function LIKE '%gone%';
-- made again by the same role it has them, and that is said
SELECT defer.pause('configure.configure_gone()');
SET client_min_messages = notice;
CREATE FUNCTION configure_gone() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE OR REPLACE FUNCTION configure_gone() RETURNS integer LANGUAGE sql AS 'SELECT 2';
SET client_min_messages = warning;
-- ALTER ... OWNER leaves them, too
RESET ROLE;
ALTER FUNCTION configure_gone() OWNER TO configure_other;
SET ROLE configure_other;
CREATE OR REPLACE FUNCTION configure_gone() RETURNS integer LANGUAGE sql AS 'SELECT 3';
SELECT function, paused FROM defer.functions WHERE function LIKE '%gone%';
RESET ROLE;
ALTER FUNCTION configure_gone() OWNER TO configure_owner;
-- but another role's new function begins without, unless that is rolled back
SET ROLE configure_owner;
DROP FUNCTION configure_gone;
RESET ROLE;
SET ROLE configure_other;
BEGIN;
CREATE FUNCTION configure_gone() RETURNS integer LANGUAGE sql AS 'SELECT 4';
SELECT count(*) FROM defer.functions WHERE function LIKE '%gone%' AND paused;
ROLLBACK;
RESET ROLE;
SELECT paused FROM defer.function WHERE signature LIKE '%gone%';
SET ROLE configure_other;
CREATE FUNCTION configure_gone() RETURNS integer LANGUAGE sql AS 'SELECT 4';
SELECT defer.enqueue('configure_gone', max_attempts => 1) AS new \gset
SELECT defer.await(:new, '30 s');
RESET ROLE;
SELECT count(*) FROM defer.function WHERE signature LIKE '%gone%';

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
