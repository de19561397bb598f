/*
 * sql/src/nodes.sql
 *		Several servers: the nodes of Citus as one.  Without Citus there is one node, this
 *		server, with number 0.
 */

CREATE FUNCTION defer.this_node() RETURNS integer
	LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_this_node';
COMMENT ON FUNCTION defer.this_node() IS
	'the number of this node of Citus, its groupid in pg_dist_node: 0 on the coordinator, and where there is no Citus';

CREATE FUNCTION defer.run_here(command text, args jsonb) RETURNS jsonb
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_run_here';
COMMENT ON FUNCTION defer.run_here(text, jsonb) IS
	'for other nodes of Citus, which call it as the role that has called them: runs a command that defer knows by name, such as cancel, with your rights, and returns an object with its value or its error. Lists end after a second; other commands wait up to ten seconds for a lock unless lock_timeout is set. Errors: no such command';

CREATE FUNCTION defer.other_nodes(command text, args jsonb DEFAULT '{}', tell boolean DEFAULT true,
								  OUT node integer, OUT address text, OUT error text, OUT item jsonb)
	RETURNS SETOF record
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME', 'defer_other_nodes';
COMMENT ON FUNCTION defer.other_nodes(text, jsonb, boolean) IS
	'for defer.all_jobs and the like: rows of all other nodes of Citus, that the current role may see there; none without Citus. A node that does not answer in a second has one row, with the error, and, if tell is true, a warning. Errors: no such command';

CREATE FUNCTION defer.other_node(command text, id bigint) RETURNS jsonb
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_other_node';
COMMENT ON FUNCTION defer.other_node(text, bigint) IS
	'for defer.show_job() and the like: rows about a job of another node of Citus, whose number its id begins with, that the current role may see there; NULL: it is of this node, or there are none. Errors: no such command, no such node, the node does not answer';

CREATE FUNCTION defer.batch_here(id bigint, counts boolean) RETURNS jsonb
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'defer_batch_here';
COMMENT ON FUNCTION defer.batch_here(bigint, boolean) IS
	'for other nodes of Citus: an object about the jobs of this node that a job of another one has enqueued, and that you may see. unfinished: 1 if one of them has not ended, or it is not known yet, else 0; succeeded, failed, cancelled, discarded: how many have, if counts is true, else 0. Waits up to a second for what that node has prepared here';

CREATE VIEW defer.nodes WITH (security_barrier) AS
SELECT defer.this_node() AS node, NULL::text AS address, NULL::text AS error
UNION ALL
SELECT o.node, o.address, o.error FROM defer.other_nodes('nodes', tell => false) o;
COMMENT ON VIEW defer.nodes IS
	'the nodes of Citus as of now, without Citus this server only. node: the number, which ids of its jobs begin with. address: host and port, NULL: the node that you are connected to. error: why it does not answer, to you; NULL: it does';

CREATE VIEW defer.all_jobs WITH (security_barrier) AS
SELECT defer.this_node() AS node, j.*
  FROM defer.jobs j WHERE j.id = ANY (ARRAY(SELECT f.id FROM defer.find_jobs(n => 1000) f(id)))
UNION ALL
SELECT o.node, r.*
  FROM defer.other_nodes('jobs', '{"n": 1000}') o
 CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::defer.jobs, o.item) r
 WHERE o.error IS NULL;
COMMENT ON VIEW defer.all_jobs IS
	'the newest 1000 jobs you may see of each node of Citus, without Citus of this server; defer.find_all_jobs() finds others. node: the number of the node; the other columns are those of defer.jobs. A node that does not answer in a second is left out, with a warning';

CREATE FUNCTION defer.find_all_jobs(states text[] DEFAULT NULL, function text DEFAULT NULL, queue text DEFAULT NULL,
								parent_id bigint DEFAULT NULL, schedule_id bigint DEFAULT NULL,
								metadata jsonb DEFAULT NULL, error text DEFAULT NULL,
								since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL, n bigint DEFAULT 50,
								group_key text DEFAULT NULL, fingerprint text DEFAULT NULL,
								args jsonb DEFAULT NULL, key text DEFAULT NULL, owner text DEFAULT NULL) RETURNS SETOF defer.all_jobs
	LANGUAGE sql VOLATILE PARALLEL UNSAFE ROWS 50
BEGIN ATOMIC
	SELECT a.*
	  FROM (SELECT defer.this_node() AS node, j.*
			  FROM defer.jobs j
			 WHERE j.id = ANY (ARRAY(SELECT f.id FROM defer.find_jobs(states => find_all_jobs.states,
				function => find_all_jobs.function, queue => find_all_jobs.queue, parent_id => find_all_jobs.parent_id,
				schedule_id => find_all_jobs.schedule_id, metadata => find_all_jobs.metadata, error => find_all_jobs.error,
				since => find_all_jobs.since, until => find_all_jobs.until, n => find_all_jobs.n,
				group_key => find_all_jobs.group_key, fingerprint => find_all_jobs.fingerprint,
				args => find_all_jobs.args, key => find_all_jobs.key, owner => find_all_jobs.owner) f(id)))
			UNION ALL
			SELECT o.node, r.*
			  FROM defer.other_nodes('jobs', pg_catalog.jsonb_build_object('states', find_all_jobs.states,
				'function', find_all_jobs.function, 'queue', find_all_jobs.queue, 'parent_id', find_all_jobs.parent_id,
				'schedule_id', find_all_jobs.schedule_id, 'metadata', find_all_jobs.metadata, 'error', find_all_jobs.error,
				'since', find_all_jobs.since, 'until', find_all_jobs.until, 'n', find_all_jobs.n,
				'group_key', find_all_jobs.group_key, 'fingerprint', find_all_jobs.fingerprint,
				'args', find_all_jobs.args, 'key', find_all_jobs.key, 'owner', find_all_jobs.owner)) o
			 CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::defer.jobs, o.item) r
			 WHERE o.error IS NULL) a
	 ORDER BY a.enqueued_at DESC, a.id DESC
	 LIMIT find_all_jobs.n;
END;
COMMENT ON FUNCTION defer.find_all_jobs(text[], text, text, bigint, bigint, jsonb, text, timestamptz, timestamptz, bigint, text, text, jsonb, text, text) IS
	'the newest n (0 to 10000) jobs of all nodes of Citus that you may see and that are like that, those enqueued last first: rows as of defer.all_jobs, filters as of defer.find_jobs(). A node that does not answer in a second is left out, with a warning. Errors: no such state, n out of range';

CREATE VIEW defer.all_functions WITH (security_barrier) AS
SELECT defer.this_node() AS node, f.* FROM defer.functions f
UNION ALL
SELECT o.node, r.*
  FROM defer.other_nodes('functions') o
 CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::defer.functions, o.item) r
 WHERE o.error IS NULL;
COMMENT ON VIEW defer.all_functions IS
	'defer.functions of each node of Citus, without Citus of this server. node: the number of the node. A node that does not answer in a second is left out, with a warning';

CREATE VIEW defer.all_queues WITH (security_barrier) AS
SELECT defer.this_node() AS node, q.* FROM defer.queues q
UNION ALL
SELECT o.node, r.*
  FROM defer.other_nodes('queues') o
 CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::defer.queues, o.item) r
 WHERE o.error IS NULL;
COMMENT ON VIEW defer.all_queues IS
	'defer.queues of each node of Citus, without Citus of this server. node: the number of the node. A node that does not answer in a second is left out, with a warning';

CREATE VIEW defer.all_workers WITH (security_barrier) AS
SELECT defer.this_node() AS node, w.* FROM defer.workers w
UNION ALL
SELECT o.node, r.*
  FROM defer.other_nodes('workers') o
 CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::defer.workers, o.item) r
 WHERE o.error IS NULL;
COMMENT ON VIEW defer.all_workers IS
	'defer.workers of each node of Citus, without Citus of this server. node: the number of the node. A node that does not answer in a second is left out, with a warning';

CREATE VIEW defer.all_health WITH (security_barrier) AS
SELECT defer.this_node() AS node, h.* FROM defer.health h
UNION ALL
SELECT o.node, COALESCE(r.severity, 'error'),
	COALESCE(r.finding, pg_catalog.format('node %s of Citus (%s) does not answer: %s', o.node, o.address, o.error)),
	COALESCE(r.hint, 'What it has is missing in defer.all_jobs and the like. See that it runs, that your role may log in there, and that defer is in its shared_preload_libraries.')
  FROM defer.other_nodes('health', tell => false) o
  LEFT JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::defer.health, o.item) r ON o.error IS NULL;
COMMENT ON VIEW defer.all_health IS
	'defer.health of each node of Citus, without Citus of this server, and a finding for each node that does not answer in a second. node: the number of the node';

-- About one job, by its id, which says whose it is

CREATE FUNCTION defer.show_job(id bigint) RETURNS SETOF defer.jobs
	LANGUAGE sql VOLATILE PARALLEL UNSAFE ROWS 1
BEGIN ATOMIC
	SELECT j.* FROM defer.jobs j WHERE j.id = show_job.id
	UNION ALL
	SELECT r.* FROM pg_catalog.jsonb_populate_recordset(NULL::defer.jobs, defer.other_node('job', show_job.id)) r;
END;
COMMENT ON FUNCTION defer.show_job(bigint) IS
	'the row of defer.jobs of a job, on whichever node of Citus it is; none: there is no such job that you may see. Errors: no such node, the node does not answer';

CREATE FUNCTION defer.show_logs(id bigint) RETURNS SETOF defer.logs
	LANGUAGE sql VOLATILE PARALLEL UNSAFE ROWS 20
BEGIN ATOMIC
	SELECT l.* FROM defer.logs l WHERE l.job_id = show_logs.id
	UNION ALL
	SELECT r.* FROM pg_catalog.jsonb_populate_recordset(NULL::defer.logs, defer.other_node('logs', show_logs.id)) r;
END;
COMMENT ON FUNCTION defer.show_logs(bigint) IS
	'the rows of defer.logs of a job, on whichever node of Citus it is. Errors: no such node, the node does not answer';

CREATE FUNCTION defer.show_attempts(id bigint) RETURNS SETOF defer.attempts
	LANGUAGE sql VOLATILE PARALLEL UNSAFE ROWS 5
BEGIN ATOMIC
	SELECT t.* FROM defer.attempts t WHERE t.job_id = show_attempts.id
	UNION ALL
	SELECT r.* FROM pg_catalog.jsonb_populate_recordset(NULL::defer.attempts, defer.other_node('attempts', show_attempts.id)) r;
END;
COMMENT ON FUNCTION defer.show_attempts(bigint) IS
	'the rows of defer.attempts of a job, on whichever node of Citus it is. Errors: no such node, the node does not answer';
