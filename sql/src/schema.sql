/*
 * sql/src/schema.sql
 *		The beginning of the extension's script.  The Makefile puts it together from
 *		the files of this folder, in the order that it lists them in.
 *
 * Everything is schema-qualified and nothing is OR REPLACE or IF NOT EXISTS, so
 * that an object planted before CREATE EXTENSION makes it fail.
 */
SET LOCAL search_path TO pg_catalog, pg_temp;

-- Not by the control file's "schema": that would take over a schema that
-- another role has made and owns.
CREATE SCHEMA defer;
COMMENT ON SCHEMA defer IS 'background jobs and cron: defer';
