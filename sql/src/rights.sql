/*
 * sql/src/rights.sql
 *		Rights.
 */

-- Nothing for PUBLIC but what GRANT USAGE ON SCHEMA defer opens: the functions and
-- the views.  Each of them looks at who asks.  Explicitly, because somebody's
-- default privileges may say something else.
REVOKE ALL ON SCHEMA defer FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA defer FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA defer FROM PUBLIC;

-- Default privileges may have given some to roles by name, too
DO LANGUAGE plpgsql $do$
DECLARE
	g record;
BEGIN
	FOR g IN
		SELECT DISTINCT pg_catalog.format('REVOKE ALL ON %s defer%s FROM %I', o.kind, o.name, r.rolname) AS command
		  FROM (SELECT 'SCHEMA' AS kind, '' AS name, n.nspowner AS owner, n.nspacl AS acl
				  FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'defer'
				UNION ALL
				SELECT CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
					pg_catalog.format('.%I', c.relname), c.relowner, c.relacl
				  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
				 WHERE n.nspname OPERATOR(pg_catalog.=) 'defer' AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,S,v}')
				UNION ALL
				SELECT 'ROUTINE', pg_catalog.format('.%I(%s)', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
					p.proowner, p.proacl
				  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
				 WHERE n.nspname OPERATOR(pg_catalog.=) 'defer') o
		 CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) a
		  JOIN pg_catalog.pg_authid r ON r.oid OPERATOR(pg_catalog.=) a.grantee
		 WHERE a.grantee OPERATOR(pg_catalog.<>) o.owner
	LOOP
		EXECUTE g.command;
	END LOOP;
END $do$;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA defer TO PUBLIC;

-- Not for everybody who has USAGE:
REVOKE EXECUTE ON FUNCTION defer.alert, defer.endpoint, defer.http, defer.email, defer.slack FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION defer.activate() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION defer.note_restore() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION defer.owner_only() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION defer.run_schedules(timestamptz) FROM PUBLIC;

GRANT SELECT ON defer.jobs, defer.failures, defer.errors, defer.dependencies, defer.batches, defer.steps, defer.workflows, defer.workflow_steps, defer.events, defer.event_grants, defer.attempts, defer.logs, defer.schedules, defer.functions, defer.queues,
	defer.groups, defer.settings, defer.alerts, defer.endpoints, defer.workers, defer.health, defer.live_jobs,
	defer.tasks, defer.live_functions, defer.live_queues, defer.statistics, defer.job_hours, defer.bulk_jobs,
	defer.backfills, defer.nodes, defer.all_jobs, defer.all_functions, defer.all_queues, defer.all_workers,
	defer.all_health TO PUBLIC, pg_monitor;
GRANT USAGE ON SCHEMA defer TO pg_monitor;
