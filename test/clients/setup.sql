-- What the clients of tools/check-clients call
CREATE EXTENSION defer;
CREATE ROLE app LOGIN;
GRANT USAGE ON SCHEMA defer TO app;
GRANT EXECUTE ON FUNCTION defer.http, defer.email TO app;
SELECT defer.endpoint('mail', 'email', 'smtp://localhost:1', sender => 'app@example.com');
SELECT defer.grant_endpoint('mail', 'app');
SELECT defer.grant_tasks('app');
CREATE SCHEMA app AUTHORIZATION app;
SET ROLE app;
CREATE FUNCTION app.send_invoice(invoice_id int, medium text DEFAULT 'mail') RETURNS text LANGUAGE sql
  AS $$ SELECT medium || ' ' || invoice_id $$;
CREATE FUNCTION app.price(amount int, factor numeric) RETURNS numeric LANGUAGE sql AS 'SELECT amount * factor';
SELECT defer.create_queue('tenants', group_by => 'metadata.tenant');
SELECT defer.create_task('remote');
CREATE TABLE app.fenced (client text);
