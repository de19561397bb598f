/*
 * sql/src/health.sql
 *		The view of what is wrong, and what to do about it.
 */

-- Open failures are not all read: the index goes from function to function, up to 100 of a
-- role, and up to 1000 failures of each are counted.  What one role has hides nothing of another.
CREATE VIEW defer.health WITH (security_barrier) AS
WITH RECURSIVE failing AS (
	(SELECT f.owner, f.function COLLATE pg_catalog."C" AS function, 1 AS n, defer.may_see(f.owner) AS seen
	   FROM defer.failure f WHERE f.closed IS NULL
	  ORDER BY f.owner, f.function COLLATE pg_catalog."C" LIMIT 1)
	UNION ALL
	SELECT x.owner, x.function, x.n, defer.may_see(x.owner)
	  FROM failing k CROSS JOIN LATERAL (
		(SELECT f.owner, f.function COLLATE pg_catalog."C" AS function,
				CASE WHEN f.owner = k.owner THEN k.n + 1 ELSE 1 END AS n
		   FROM defer.failure f
		  WHERE k.seen AND k.n < 100 AND f.closed IS NULL
			AND (f.owner, f.function COLLATE pg_catalog."C") > (k.owner, k.function)
		  ORDER BY f.owner, f.function COLLATE pg_catalog."C" LIMIT 1)
		UNION ALL
		(SELECT f.owner, f.function COLLATE pg_catalog."C", 1
		   FROM defer.failure f
		  WHERE NOT (k.seen AND k.n < 100) AND f.closed IS NULL AND f.owner > k.owner
		  ORDER BY f.owner, f.function COLLATE pg_catalog."C" LIMIT 1)) x
), server AS MATERIALIZED (
	SELECT s.*, s.preloaded AND s.enabled AND s.active AND NOT s.recovery AS working
	  FROM defer.server_state() s
), live AS MATERIALIZED (
	SELECT j.owner, j.function, j.queue, pg_catalog.count(*) FILTER (WHERE j.state <> 'running') AS waiting,
		pg_catalog.count(*) FILTER (WHERE j.ready) AS ready,
		pg_catalog.count(*) FILTER (WHERE j.state = 'running') AS running,
		pg_catalog.min(j.run_at) FILTER (WHERE j.ready) AS oldest, t.name IS NOT NULL AS task,
		COALESCE(f.paused, false) AS function_paused, COALESCE(q.paused, false) AS queue_paused
	  FROM defer.live_jobs j
	  LEFT JOIN defer.function f ON f.signature = j.function
	  LEFT JOIN defer.queue q ON q.name = j.queue
	  LEFT JOIN defer.task t ON t.name = j.function
	 GROUP BY j.owner, j.function, j.queue, f.paused, q.paused, t.name
)
SELECT 'error' AS severity,
	'defer is not loaded by the server: no job runs and no schedule fires' AS finding,
	'Add defer to shared_preload_libraries in postgresql.conf and restart the server.' AS hint
  FROM server s WHERE NOT s.preloaded
UNION ALL
SELECT 'warning', 'defer.enabled is off: no schedule fires and no job is begun',
	'ALTER SYSTEM SET defer.enabled = on; SELECT pg_reload_conf();'
  FROM server s WHERE NOT s.enabled
UNION ALL
SELECT 'error', 'this database was restored or copied from another one: nothing fires in it',
	'If it is to do the work from now on, call defer.activate() as a superuser.'
  FROM server s WHERE NOT s.active
UNION ALL
SELECT 'info', 'this server is a standby: jobs run and schedules fire on the primary',
	'Nothing is to be done; after a promotion they do so here.'
  FROM server s WHERE s.recovery
UNION ALL
SELECT 'error', 'the launcher does not run: no database is served',
	'It starts again by itself within seconds. If it does not, look for the reason in the server''s log.'
  FROM server s WHERE s.preloaded AND NOT s.recovery AND NOT s.launcher
UNION ALL
SELECT 'error', 'no scheduler runs in this database: no schedule fires, and no worker is started',
	CASE WHEN s.no_slots THEN 'There is no free background worker: raise max_worker_processes and restart the server.'
		ELSE 'It is started within seconds. If it is not, look for the reason in the server''s log.' END
  FROM server s WHERE s.working AND s.launcher AND NOT s.scheduler
UNION ALL
SELECT 'error', 'a worker could not be started: all background workers of the server are in use',
	'Raise max_worker_processes (now ' || pg_catalog.current_setting('max_worker_processes') || ') and restart the server.'
  FROM server s WHERE s.no_slots AND s.scheduler
UNION ALL
SELECT 'error', pg_catalog.format('the scheduler''s task "%s" has failed %s times in a row since %s%s', t.task, t.times,
		pg_catalog.date_trunc('second', t.since), ': ' || t.error),
	'It is repeated each few seconds, and other tasks go on. See the server''s log.'
  FROM defer.task_failures() t WHERE t.times > 1
UNION ALL
SELECT 'error', 'workers are started and cannot connect to this database: jobs of their roles wait',
	'The server''s log says why; it may be max_connections, or a CONNECTION LIMIT. They are tried again, at least every minute.'
  FROM server s WHERE s.refused AND s.scheduler
UNION ALL
SELECT 'warning', pg_catalog.format('queue "%s" has %s of its %s reserved workers', q.name, defer.reserved_workers(q.name), q.reserved),
	'All reserved workers together, of all databases, are at most one less than defer.max_workers (now '
	|| s.max_workers || '): reserve fewer, or raise that and restart the server.'
  FROM server s, defer.queue q
 WHERE s.working AND s.scheduler AND q.reserved > 0 AND defer.may_see(q.owner) AND defer.reserved_workers(q.name) < q.reserved
UNION ALL
SELECT 'warning', 'a role has ready jobs of more priorities and limits than there is shared memory for: some of them begin later',
	'The scheduler finds them one after the other. Use fewer priorities, or raise defer.shared_slots (now '
	|| pg_catalog.current_setting('defer.shared_slots') || ') and restart the server.'
  FROM server s WHERE s.overflow
UNION ALL
SELECT 'warning', pg_catalog.format('ready jobs of role %s have no worker: %s, the oldest since %s', w.owner, w.ready,
		pg_catalog.date_trunc('second', w.oldest)),
	CASE WHEN s.workers >= s.max_workers
		THEN pg_catalog.format('All %s workers are in use: see defer.workers; raise defer.max_workers and restart the server.', s.max_workers)
		ELSE 'See the other findings, and the server''s log.' END
  FROM server s,
	(SELECT l.owner, pg_catalog.sum(l.ready) AS ready, pg_catalog.min(l.oldest) AS oldest
	   FROM live l WHERE l.ready > 0 AND NOT l.function_paused AND NOT l.queue_paused AND NOT l.task
	  GROUP BY l.owner) w
 WHERE s.working AND w.oldest < pg_catalog.statement_timestamp() - interval '1 minute'
   AND NOT EXISTS (SELECT FROM defer.processes() p JOIN pg_catalog.pg_database d ON d.oid = p.database
					WHERE p.kind = 'worker' AND p.role = w.owner AND d.datname = pg_catalog.current_database())
UNION ALL
SELECT 'warning', pg_catalog.format('no worker takes jobs of task "%s": %s are ready, the oldest since %s', l.function,
		pg_catalog.sum(l.ready), pg_catalog.date_trunc('second', pg_catalog.min(l.oldest))),
	'Start a worker that calls defer.take(), or see why none does: defer.workers lists those that hold jobs or wait.'
  FROM server s, live l
 WHERE s.working AND l.task AND NOT l.function_paused AND NOT l.queue_paused
   AND defer.next_token('function', l.function) IS NULL AND defer.next_token('queue', l.queue) IS NULL
 GROUP BY l.function
HAVING pg_catalog.sum(l.running) = 0 AND pg_catalog.min(l.oldest) < pg_catalog.statement_timestamp() - interval '1 minute'
UNION ALL
SELECT 'warning', pg_catalog.format('a job of %s has been ready since %s, and %s in all are', l.function,
		pg_catalog.date_trunc('second', pg_catalog.min(l.oldest)), pg_catalog.sum(l.ready)),
	CASE WHEN pg_catalog.bool_or(l.task)
		THEN 'More comes in than goes out: start more workers, raise the limit it is under (see defer.functions, defer.queues), or make the task faster.'
		ELSE 'More comes in than goes out: raise the limit it is under (see defer.functions, defer.queues), or defer.max_workers, or make the function faster.' END
  FROM server s, live l
 WHERE s.working AND l.ready > 0 AND NOT l.function_paused AND NOT l.queue_paused
 GROUP BY l.function
HAVING pg_catalog.min(l.oldest) < pg_catalog.statement_timestamp() - interval '5 minutes'
   AND NOT (pg_catalog.bool_or(l.task) AND pg_catalog.sum(l.running) = 0)
UNION ALL
SELECT 'warning', pg_catalog.format('%s has as many unfinished jobs as it may have: %s, and %s enqueues were refused',
		CASE c.kind WHEN 'queue' THEN pg_catalog.format('queue "%s"', c.name) ELSE c.kind || ' ' || c.name END,
		c.max_queued, s.refused),
	'More comes in than goes out: see why its jobs wait (defer.why), let them be done faster, or raise max_queued.'
  FROM defer.settings c, LATERAL defer.cap_state(c.kind, c.name) s
 WHERE c.max_queued IS NOT NULL AND s.unfinished >= c.max_queued
UNION ALL
SELECT 'warning', pg_catalog.format('%s has more groups with unfinished jobs than there is shared memory for: some of them share one group_max_queued',
		CASE c.kind WHEN 'queue' THEN pg_catalog.format('queue "%s"', c.name) ELSE c.kind || ' ' || c.name END),
	'Raise defer.shared_slots (now ' || pg_catalog.current_setting('defer.shared_slots') || ') and restart the server.'
  FROM defer.settings c, LATERAL defer.cap_state(c.kind, c.name) s
 WHERE c.group_max_queued IS NOT NULL AND s.together > 0
UNION ALL
SELECT 'info', pg_catalog.format('function %s is paused, jobs that wait: %s', l.function, pg_catalog.sum(l.waiting)),
	pg_catalog.format('SELECT defer.resume(%L);', l.function)
  FROM live l WHERE l.function_paused AND l.waiting > 0 GROUP BY l.function
UNION ALL
SELECT 'info', pg_catalog.format('queue "%s" is paused, jobs that wait: %s', l.queue, pg_catalog.sum(l.waiting)),
	pg_catalog.format('SELECT defer.resume_queue(%L);', l.queue)
  FROM live l WHERE l.queue_paused AND l.waiting > 0 GROUP BY l.queue
UNION ALL
SELECT 'error', pg_catalog.format('schedule "%s" of role %s does not go on: %s', s.name, s.owner, s.last_error),
	pg_catalog.format('Correct it with defer.alter_cron(%s, ...), or remove it with defer.unschedule(%s).', s.id, s.id)
  FROM defer.schedule s WHERE s.active AND s.last_error IS NOT NULL AND defer.may_see(s.owner)
UNION ALL
SELECT 'error', pg_catalog.format('schedule "%s" of role %s is paused since %s: %s', s.name, s.owner,
		pg_catalog.date_trunc('second', s.paused_at), s.pause_reason),
	pg_catalog.format('When the cause is mended: SELECT defer.resume_cron(%s);', s.id)
  FROM defer.schedule s
 WHERE NOT s.active AND s.paused_by IS NULL AND s.failures >= s.pause_after_failures AND defer.may_see(s.owner)
UNION ALL
SELECT 'warning', pg_catalog.format('schedule "%s" of role %s waits for its run of %s, which is put off until %s', s.name, s.owner,
		pg_catalog.date_trunc('second', j.scheduled_for), pg_catalog.date_trunc('second', j.run_at)),
	pg_catalog.format('Times of the schedule are skipped until then. SELECT defer.cancel(%s); or let it run now: SELECT defer.reschedule(%s);', j.id, j.id)
  FROM defer.schedule s, defer.live_jobs j
 WHERE s.active AND s.overlap IN ('skip', 'queue') AND j.schedule_id = s.id AND j.state IN ('scheduled', 'retrying')
   AND j.run_at > GREATEST(s.next_run_at, pg_catalog.statement_timestamp()) + interval '1 hour' AND j.run_at < 'infinity'
   AND defer.may_see(s.owner)
UNION ALL
SELECT 'warning', pg_catalog.format('%s of %s failed for good during the last day',
		CASE WHEN pg_catalog.max(c.jobs) = 1000 THEN pg_catalog.sum(c.jobs) || ' jobs or more'
			WHEN pg_catalog.sum(c.jobs) = 1 THEN '1 job' ELSE pg_catalog.sum(c.jobs) || ' jobs' END, f.function),
	pg_catalog.format('See defer.errors. When the cause is mended: SELECT * FROM defer.retry_jobs(function => %L);'
		' or, if nothing is to be done: SELECT * FROM defer.acknowledge_jobs(function => %L);', f.function, f.function)
  FROM failing f
 CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS jobs
		  FROM (SELECT FROM defer.failure i
				 WHERE i.closed IS NULL AND i.owner = f.owner AND i.function COLLATE pg_catalog."C" = f.function
				   AND i.failed_at > pg_catalog.statement_timestamp() - interval '1 day' LIMIT 1000) i) c
 WHERE f.seen AND c.jobs > 0
 GROUP BY f.function
UNION ALL
SELECT 'warning', pg_catalog.format('%s jobs of %s are being retried: %s', e.retrying, e.function, defer.error_pattern(l.error)),
	'They fail for good when all of their attempts have failed. See defer.errors, and defer.attempts of job ' || e.last_id || '.'
  FROM (SELECT j.function, pg_catalog.count(*) AS retrying, pg_catalog.max(j.id) AS last_id
		  FROM defer.job j
		 WHERE j.sqlstate IS NOT NULL AND j.attempt > 0 AND defer.may_see(j.owner)
		   AND (j.claim IS NULL OR NOT defer.has_ended(j.id))
		 GROUP BY j.function, defer.error_fingerprint(j.function, j.sqlstate, j.error)
		HAVING pg_catalog.count(*) >= 10) e
  LEFT JOIN defer.job l ON l.id = e.last_id
UNION ALL
SELECT 'warning', pg_catalog.format('jobs of %s wait for a rerun of one that has not succeeded: %s', h.function,
		CASE pg_catalog.count(*) WHEN 10000 THEN '10000 or more' ELSE pg_catalog.count(*)::text END),
	pg_catalog.format('When the cause is mended: SELECT defer.rerun(%s); or SELECT defer.cancel(id) for those of defer.dependencies that do not go on.',
		pg_catalog.min(h.parent_id))
  FROM (SELECT j.function, d.parent_id FROM defer.dependency d JOIN defer.job j ON j.id = d.child_id
		 WHERE d.open AND d.state IS NOT NULL AND defer.may_see(d.owner) LIMIT 10000) h
 GROUP BY h.function
UNION ALL
SELECT 'warning', pg_catalog.format('jobs of %s have waited for an event since %s, longer than events are kept: %s', w.function,
		pg_catalog.date_trunc('second', pg_catalog.min(w.started_at)),
		CASE pg_catalog.count(*) WHEN 10000 THEN '10000 or more' ELSE pg_catalog.count(*)::text END),
	pg_catalog.format('If it was emitted before, it is not known any more: SELECT defer.signal(%s, %L); or SELECT defer.cancel(job_id) for those of defer.steps that do not go on. See defer.event_retention.',
		pg_catalog.min(w.id), (pg_catalog.array_agg(w.awaits ORDER BY w.id))[1])
  FROM (SELECT j.id, j.function, s.awaits, s.started_at
		  FROM defer.job j JOIN defer.step s ON s.job_id = j.id
		 WHERE j.waits = 'e' AND j.claim IS NULL AND s.kind = 'e' AND s.finished_at IS NULL AND s.until = 'infinity'
		   AND s.started_at < pg_catalog.statement_timestamp() - NULLIF(pg_catalog.current_setting('defer.event_retention'), '0')::interval
		   AND defer.may_see(j.owner) LIMIT 10000) w
 GROUP BY w.function
UNION ALL
SELECT 'error', pg_catalog.format('group "%s" %s is held since %s, because job %s has failed', g.group_key,
		CASE g.kind WHEN 'queue' THEN pg_catalog.format('in queue "%s"', g.name) ELSE 'of function ' || g.name END,
		pg_catalog.date_trunc('second', g.at), CASE WHEN g.seen THEN g.job_id::text ELSE 'of another role' END),
	pg_catalog.format('When the cause is mended: %sSELECT defer.release_group(%L, "%s" => %L); All such groups are in defer.groups.',
		CASE WHEN g.seen THEN pg_catalog.format('SELECT defer.rerun(%s); if that is still to be done, then ', g.job_id) END,
		g.group_key, g.kind, g.name)
  FROM (SELECT c.kind, c.name, h.group_key, h.at, h.job_id, defer.may_see(h.owner) AS seen
		  FROM defer.group_hold h
		  JOIN (SELECT 'function' AS kind, "char" 'f' AS of, f.id, f.signature AS name,
					defer.may_see(f.owner) OR defer.may_configure(f.signature) AS mine FROM defer.function f
				UNION ALL
				SELECT 'queue', 'q', q.id, q.name, defer.may_see(q.owner) FROM defer.queue q) c ON c.of = h.kind AND c.id = h.id
		 WHERE c.mine OR defer.may_see(h.owner) ORDER BY h.at LIMIT 100) g
UNION ALL
SELECT 'error',
	CASE WHEN r.oid IS NULL THEN pg_catalog.format('role %s does not exist any more, its jobs cannot run: %s', o.owner, o.waiting)
		WHEN NOT r.rolcanlogin THEN pg_catalog.format('role %s may not log in, its jobs cannot run: %s', o.owner, o.waiting)
		ELSE pg_catalog.format('role %s may not connect to this database, its jobs cannot run: %s', o.owner, o.waiting) END,
	CASE WHEN r.oid IS NULL THEN 'Cancel them with defer.cancel().'
		WHEN NOT r.rolcanlogin THEN pg_catalog.format('ALTER ROLE %s LOGIN;', o.owner)
		ELSE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %s;', pg_catalog.current_database(), o.owner) END
  FROM (SELECT l.owner, pg_catalog.sum(l.waiting) AS waiting FROM live l WHERE l.waiting > 0 GROUP BY l.owner) o
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = o.owner
 WHERE r.oid IS NULL OR NOT r.rolcanlogin
	OR NOT pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT')
UNION ALL
SELECT 'warning', pg_catalog.format('defer.run_superuser_jobs is off, jobs of superuser %s will fail: %s', l.owner, pg_catalog.sum(l.waiting)),
	'Cancel them with defer.cancel(), or switch the setting on.'
  FROM server s, live l JOIN pg_catalog.pg_roles r ON r.oid = l.owner
 WHERE NOT s.run_superuser_jobs AND r.rolsuper AND l.waiting > 0
 GROUP BY l.owner
UNION ALL
SELECT 'warning', pg_catalog.format('process %s has had a transaction open since %s: what defer deletes meanwhile cannot be vacuumed',
		a.pid, pg_catalog.date_trunc('second', a.xact_start)),
	pg_catalog.format('End it. If nobody will: SELECT pg_terminate_backend(%s);', a.pid)
  FROM pg_catalog.pg_stat_activity a
 WHERE a.datname = pg_catalog.current_database() AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
   AND a.xact_start < pg_catalog.statement_timestamp() - interval '1 hour'
UNION ALL
SELECT 'warning', pg_catalog.format('transaction %L was prepared at %s and is not ended: its jobs cannot begin, and what defer deletes meanwhile cannot be vacuumed',
		p.gid, pg_catalog.date_trunc('second', p.prepared)),
	pg_catalog.format('COMMIT PREPARED %L; or ROLLBACK PREPARED %L;', p.gid, p.gid)
  FROM pg_catalog.pg_prepared_xacts p
 WHERE p.database = pg_catalog.current_database() AND p.prepared < pg_catalog.statement_timestamp() - interval '5 minutes'
   AND (defer.may_see(0::oid)
		OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = p.owner AND defer.may_see(r.oid)))
UNION ALL
SELECT 'info', pg_catalog.format('publication "%s" sends the tables of defer to its subscribers', p.pubname),
	'Leave out the schema defer, where that can be said: a subscriber needs none of it. See "Logical replication" in doc/guarantees.md.'
  FROM pg_catalog.pg_publication p
 WHERE (p.puballtables
		OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
					WHERE r.prpubid = p.oid AND c.relnamespace = 'defer'::regnamespace)
		OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace n
					WHERE n.pnpubid = p.oid AND n.pnnspid = 'defer'::regnamespace))
   AND defer.may_see(0::oid)
UNION ALL
SELECT 'error', pg_catalog.format('subscription "%s" writes into the tables of defer: nothing runs in this database, nor after defer.activate() when the next row comes', s.subname),
	pg_catalog.format('Leave out the schema defer of the publication, then ALTER SUBSCRIPTION %I REFRESH PUBLICATION; or drop it and call defer.activate() when this database is to do the work. See "Logical replication" in doc/guarantees.md.', s.subname)
  FROM pg_catalog.pg_subscription s
 WHERE EXISTS (SELECT FROM pg_catalog.pg_subscription_rel r JOIN pg_catalog.pg_class c ON c.oid = r.srrelid
				WHERE r.srsubid = s.oid AND c.relnamespace = 'defer'::regnamespace)
   AND defer.may_see(0::oid)
UNION ALL
SELECT 'info', pg_catalog.format('defer.%I holds rows: they are not removed by the day', t.name),
	pg_catalog.format('Delete those that are not needed any more: DELETE FROM defer.%I;', t.name)
  FROM (SELECT 'job_history_default' AS name
		 WHERE EXISTS (SELECT FROM defer.job_history_default h
						WHERE h.finished_at < pg_catalog.statement_timestamp() - interval '2 days')
		UNION ALL
		SELECT 'attempt_default'
		 WHERE EXISTS (SELECT FROM defer.attempt_default a
						WHERE a.finished_at < pg_catalog.statement_timestamp() - interval '2 days')
		UNION ALL
		SELECT 'log_default'
		 WHERE EXISTS (SELECT FROM defer.log_default l
						WHERE l.at < pg_catalog.statement_timestamp() - interval '2 days')) t
 WHERE defer.may_see(0::oid);
COMMENT ON VIEW defer.health IS
	'what is wrong with defer and with jobs and schedules you may see, and what to do about it; no row is good. severity: error (something does not run), warning, info';
