-- Settings of rates: rate, rate_burst, group_rate, group_rate_burst, set_group(rate)
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

CREATE ROLE rates_owner LOGIN;
CREATE ROLE rates_other LOGIN;
CREATE SCHEMA rates;
GRANT ALL ON SCHEMA rates TO rates_owner, rates_other;
GRANT USAGE ON SCHEMA defer TO rates_owner, rates_other;
SET search_path = rates, public;
SET ROLE rates_owner;
CREATE FUNCTION work(tenant text) RETURNS text LANGUAGE sql AS 'SELECT tenant';
CREATE FUNCTION hidden() RETURNS void LANGUAGE sql AS 'SELECT';
REVOKE EXECUTE ON FUNCTION hidden FROM PUBLIC;
SELECT defer.pause('work');
SELECT defer.configure('work', group_by => 'tenant', rate => '100/minute', rate_burst => 5, group_rate => '2/hour', group_rate_burst => 3);
SELECT defer.create_queue('rates', rate => '5/10 s', group_rate => '1/2 hours');
SELECT function, rate, rate_burst, group_rate, group_rate_burst FROM defer.functions WHERE function LIKE 'rates.%';
SELECT queue, rate, rate_burst, group_rate, group_rate_burst FROM defer.queues WHERE queue = 'rates';
SELECT kind, name, rate, rate_burst, group_rate, group_rate_burst FROM defer.settings WHERE rate IS NOT NULL ORDER BY kind;
-- What is not given stays; none, and reset
SELECT defer.configure('work', rate => '3/s');
SELECT defer.alter_queue('rates', group_rate => 'none');
SELECT function, rate, rate_burst, group_rate, group_rate_burst FROM defer.live_functions WHERE function LIKE 'rates.%';
SELECT queue, rate, rate_burst, group_rate, group_rate_burst FROM defer.live_queues WHERE queue = 'rates';
SELECT defer.alter_queue('rates', reset => true);
SELECT queue, rate, rate_burst, group_rate, group_rate_burst FROM defer.queues WHERE queue = 'rates';

-- Refused
SELECT defer.configure('work', rate => '100');
SELECT defer.configure('work', rate => '1/month');
SELECT defer.configure('work', rate => '0/s');
SELECT defer.configure('work', group_rate => '1/1000 days');
SELECT defer.configure('work', rate => '2000000/s');
SELECT defer.configure('work', rate => '1/fortnight');
SELECT defer.configure('work', rate_burst => 0);
SELECT defer.alter_queue('rates', group_rate_burst => 100001);
SELECT defer.create_queue('rates bad', rate => '');

-- Groups
SELECT count(defer.enqueue('work', jsonb_build_array(t), queue => 'rates')) FROM unnest('{acme,acme,blue,cyan}'::text[]) t;
SELECT defer.set_group('acme', function => 'work', rate => '10/s');
SELECT defer.set_group('blue', function => 'work', rate => 'none', concurrency => 2);
SELECT defer.set_group('acme', queue => 'rates', rate => '1/s');
SELECT kind, group_key, concurrency, rate FROM defer.groups WHERE name LIKE '%rates%' ORDER BY kind, group_key;
SELECT defer.set_group('blue', function => 'work', paused => true);
SELECT defer.reset_group('acme', queue => 'rates');
SELECT kind, group_key, concurrency, rate, paused FROM defer.groups WHERE name LIKE '%rates%' ORDER BY kind, group_key;
SELECT defer.set_group('acme', function => 'work', rate => '1/year');

-- Tokens are told to roles that may put jobs under the rate
SELECT defer.next_token('queue', 'rates', 'acme'), defer.next_token(NULL, NULL);
SET ROLE rates_other;
SELECT defer.next_token('function', 'rates.hidden()'), defer.next_token('queue', 'rates'), defer.next_token('queue', 'nowhere');
SELECT defer.set_group('acme', function => 'work', rate => '10/s');
RESET ROLE;
SELECT count(defer.cancel(id)) FROM defer.jobs WHERE function LIKE 'rates.%' AND finished_at IS NULL;
SELECT defer.drop_queue('rates');
SELECT defer.reset_group('acme', function => 'rates.work'), defer.reset_group('blue', function => 'rates.work');
DROP SCHEMA rates CASCADE;
DROP OWNED BY rates_owner, rates_other;
DROP ROLE rates_owner, rates_other;
