-- Every object of the extension has a comment; and what a reviewer would look
-- for in the catalogs.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS defer;

-- Objects without a comment: none
SELECT pg_describe_object(m.classid, m.objid, 0) AS uncommented
  FROM (SELECT d.classid, d.objid
          FROM pg_depend d
         WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
           AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'defer')
        UNION
        SELECT 'pg_trigger'::regclass, t.oid
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
         WHERE c.relnamespace = 'defer'::regnamespace AND NOT t.tgisinternal) m
 WHERE obj_description(m.objid, (SELECT relname FROM pg_class WHERE oid = m.classid)) IS NULL
   -- types of rows, sequences and arrays come with their tables
   AND m.classid <> 'pg_type'::regclass
 ORDER BY 1;

-- Functions that take or return what no user may hand them: none
SELECT p.oid::regprocedure AS internal
  FROM pg_proc p
 WHERE p.pronamespace = 'defer'::regnamespace
   AND ('internal'::regtype = ANY (p.proargtypes::oid[]) OR p.prorettype = 'internal'::regtype)
 ORDER BY 1;

-- Functions with the rights of their owner, or not in C, whose search_path is not pinned: none
SELECT p.oid::regprocedure AS unpinned
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'defer'::regnamespace
   AND (p.prosecdef OR l.lanname <> 'c')
   AND p.prosqlbody IS NULL AND p.prokind <> 'a'
   AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s ~ '^search_path=(pg_catalog, *pg_temp|""|pg_catalog)$')
 ORDER BY 1;

-- Functions that run as their owner at all: none
SELECT p.oid::regprocedure AS security_definer
  FROM pg_proc p
 WHERE p.pronamespace = 'defer'::regnamespace AND p.prosecdef
 ORDER BY 1;

-- Views that are no security barrier: defer.jobs, whose columns are empty instead
SELECT c.relname AS no_barrier
  FROM pg_class c
 WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind = 'v'
   AND NOT COALESCE('security_barrier=true' = ANY (c.reloptions), false)
 ORDER BY 1;
SELECT count(*) AS columns,
       count(*) FILTER (WHERE column_definition LIKE '%defer.may_see((u.owner)::oid)%') AS guarded
  FROM regexp_split_to_table(
         split_part(pg_get_viewdef('defer.jobs'), E'\n   FROM ', 1), E',\n') column_definition;

-- Columns that pg_upgrade would refuse: none
SELECT a.attrelid::regclass AS relation, a.attname AS column
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 WHERE c.relnamespace = 'defer'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
   AND a.atttypid IN ('regproc'::regtype, 'regprocedure'::regtype, 'regoper'::regtype,
                      'regoperator'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype)
 ORDER BY 1, 2;

-- Tables and sequences that pg_dump would leave out: the identity of this
-- installation, and partitioned tables (their partitions are dumped)
SELECT c.oid::regclass AS not_dumped
  FROM pg_class c
  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
 WHERE c.relnamespace = 'defer'::regnamespace AND c.relkind IN ('r', 'p', 'S')
   AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'defer' AND c.oid = ANY (e.extconfig))
 ORDER BY 1;
