/*
 * sql/src/functions_restore.sql
 *		Restored and copied databases; triggers of the tables.
 */

-- Copies: see lifecycle/activate.c

CREATE FUNCTION defer.activate() RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_activate';
COMMENT ON FUNCTION defer.activate() IS
	'sets free what a restored or copied database holds back, when you commit: jobs are run, schedules go on from now without catching up. Only for superusers and the owner of the extension. A NOTICE and nothing else when the database is active';

CREATE FUNCTION defer.note_restore() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_note_restore';
COMMENT ON FUNCTION defer.note_restore() IS
	'trigger: rows that a restore or a subscription brings hold the database back until defer.activate()';
DO LANGUAGE plpgsql $do$
DECLARE
	t pg_catalog.regclass;
BEGIN
	-- a dump loads them in any order, each in a transaction of its own
	FOR t IN
		SELECT c.oid FROM pg_catalog.pg_extension e, pg_catalog.pg_class c
		 WHERE e.extname OPERATOR(pg_catalog.=) 'defer' AND c.relkind OPERATOR(pg_catalog.=) 'r'
		   AND c.oid OPERATOR(pg_catalog.=) ANY (e.extconfig)
	LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER note_restore BEFORE INSERT ON %s'
			' FOR EACH STATEMENT EXECUTE FUNCTION defer.note_restore()', t);
		EXECUTE pg_catalog.format('COMMENT ON TRIGGER note_restore ON %s IS %L', t,
			'what a restore brings holds the database back until defer.activate()');

		-- A subscription changes rows one by one, and fires no other kind of trigger.  Not
		-- BEFORE: rows would be locked before they are changed, even where it does not fire
		EXECUTE pg_catalog.format('CREATE TRIGGER note_replica AFTER INSERT OR UPDATE OR DELETE ON %s'
			' FOR EACH ROW EXECUTE FUNCTION defer.note_restore()', t);
		EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE REPLICA TRIGGER note_replica', t);
		EXECUTE pg_catalog.format('COMMENT ON TRIGGER note_replica ON %s IS %L', t,
			'what a subscription brings holds the database back until defer.activate()');
	END LOOP;
END $do$;

-- A role that may write all data must not become the role that a row names

CREATE FUNCTION defer.owner_only() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_owner_only';
COMMENT ON FUNCTION defer.owner_only() IS
	'trigger: only superusers and the owner of the extension write the table';
DO LANGUAGE plpgsql $do$
DECLARE
	t name;
BEGIN
	-- partitions that are made later get theirs in table/partitions.c
	FOREACH t IN ARRAY ARRAY['alert', 'attempt', 'attempt_default', 'claim', 'dependency', 'endpoint', 'failure', 'fan_out', 'installation', 'rerun_line',
							 'job', 'job_history', 'job_history_default', 'log', 'log_default', 'origin',
							 'queue', 'schedule', 'schedule_result', 'bulk', 'bulk_part',
							 'backfill', 'backfill_part', 'event', 'event_grant', 'signal', 'step', 'key_hold',
							 'group_setting', 'group_hold', 'function', 'task', 'task_creator', 'fan_out_delta', 'workflow',
							 'workflow_step']
	LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER owner_only BEFORE INSERT OR UPDATE OR DELETE ON defer.%I'
			' FOR EACH STATEMENT EXECUTE FUNCTION defer.owner_only()', t);
		EXECUTE pg_catalog.format('COMMENT ON TRIGGER owner_only ON defer.%I IS %L', t,
			'also not by pg_write_all_data: rows say as whom something is done, or was');
	END LOOP;
END $do$;

-- Rows of these are deleted, and no index tells one row from all others: without
-- this a publication FOR ALL TABLES would forbid that
ALTER TABLE defer.job_history_default REPLICA IDENTITY FULL;
ALTER TABLE defer.attempt_default REPLICA IDENTITY FULL;
ALTER TABLE defer.log_default REPLICA IDENTITY FULL;
ALTER TABLE defer.failure REPLICA IDENTITY FULL;
ALTER TABLE defer.fan_out_delta REPLICA IDENTITY FULL;
ALTER TABLE defer.job_rollup_new REPLICA IDENTITY FULL;
ALTER TABLE defer.alert_event REPLICA IDENTITY FULL;
ALTER TABLE defer.schedule_result REPLICA IDENTITY FULL;
ALTER TABLE defer.group_hold REPLICA IDENTITY FULL;
ALTER TABLE defer.alert_failing REPLICA IDENTITY FULL;
