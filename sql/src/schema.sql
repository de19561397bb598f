/*
 * sql/src/schema.sql
 *		The beginning of the extension's script.  The Makefile puts it together from
 *		the files of this folder, in the order that it lists them in.
 *
 * Everything is schema-qualified and nothing is OR REPLACE or IF NOT EXISTS, so
 * that an object planted before CREATE EXTENSION makes it fail.
 */
SET LOCAL search_path TO pg_catalog, pg_temp;

-- The library writes heap tuples, and a partitioned table cannot be told to be
-- in the tablespace of the database by name: whatever the session's defaults are
SET LOCAL default_table_access_method TO heap;
SET LOCAL default_tablespace TO '';

-- Not by the control file's "schema": that would take over a schema that
-- another role has made and owns.
CREATE SCHEMA defer;
COMMENT ON SCHEMA defer IS 'background jobs and cron: defer';
