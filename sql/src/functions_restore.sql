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
	'trigger: rows that a restore brings hold the database back until defer.activate()';
CREATE TRIGGER note_restore BEFORE INSERT ON defer.job
	FOR EACH STATEMENT EXECUTE FUNCTION defer.note_restore();
COMMENT ON TRIGGER note_restore ON defer.job IS 'jobs of a restored dump wait for defer.activate()';
CREATE TRIGGER note_restore BEFORE INSERT ON defer.schedule
	FOR EACH STATEMENT EXECUTE FUNCTION defer.note_restore();
COMMENT ON TRIGGER note_restore ON defer.schedule IS 'schedules of a restored dump wait for defer.activate()';

-- Whoever may write all data must not become whoever a row says

CREATE FUNCTION defer.owner_only() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_owner_only';
COMMENT ON FUNCTION defer.owner_only() IS
	'trigger: only superusers and the owner of the extension write the table';
CREATE TRIGGER owner_only BEFORE INSERT OR UPDATE OR DELETE ON defer.job
	FOR EACH STATEMENT EXECUTE FUNCTION defer.owner_only();
COMMENT ON TRIGGER owner_only ON defer.job IS 'also not by pg_write_all_data: rows say as whom something is done';
CREATE TRIGGER owner_only BEFORE INSERT OR UPDATE OR DELETE ON defer.schedule
	FOR EACH STATEMENT EXECUTE FUNCTION defer.owner_only();
COMMENT ON TRIGGER owner_only ON defer.schedule IS 'also not by pg_write_all_data: rows say as whom something is done';
CREATE TRIGGER owner_only BEFORE INSERT OR UPDATE OR DELETE ON defer.endpoint
	FOR EACH STATEMENT EXECUTE FUNCTION defer.owner_only();
COMMENT ON TRIGGER owner_only ON defer.endpoint IS 'also not by pg_write_all_data: rows say as whom something is done';
CREATE TRIGGER owner_only BEFORE INSERT OR UPDATE OR DELETE ON defer.alert
	FOR EACH STATEMENT EXECUTE FUNCTION defer.owner_only();
COMMENT ON TRIGGER owner_only ON defer.alert IS 'also not by pg_write_all_data: rows say as whom something is done';
