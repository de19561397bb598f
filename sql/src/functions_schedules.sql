/*
 * sql/src/functions_schedules.sql
 *		Schedules.
 */

CREATE FUNCTION defer.cron(function text, schedule text, name text DEFAULT NULL,
						timezone text DEFAULT 'UTC', overlap text DEFAULT 'skip',
						catch_up text DEFAULT 'one', catch_up_window interval DEFAULT '1 day',
						jitter interval DEFAULT '0', active boolean DEFAULT NULL,
						queue text DEFAULT NULL, priority bigint DEFAULT NULL,
						allow_direct boolean DEFAULT false,
						group_key text DEFAULT NULL,
						starts_at timestamptz DEFAULT NULL, ends_at timestamptz DEFAULT NULL,
						max_runs bigint DEFAULT NULL, pause_after_failures bigint DEFAULT NULL,
						when_done text DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_cron';
COMMENT ON FUNCTION defer.cron(text, text, text, text, text, text, interval, interval, boolean, text, bigint, boolean, text, timestamptz, timestamptz, bigint, bigint, text) IS
	'makes a schedule of a function without parameters, or changes the one of yours that has that name (NULL: the function''s), and returns its id. schedule: five fields as in cron(8), six with seconds in front, @daily and the like, or every <interval>. timezone: IANA name. overlap, when the last run has not ended: skip, queue, allow or replace. catch_up, after down-time: none, one or all of the ticks missed, no further back than catch_up_window. jitter: its runs begin up to so much later, at most a day, each by the same time, which the server chooses. active: NULL leaves a schedule that is there as it is, and a new one is active. queue, priority: NULL as the function''s settings say. group_key: group of its jobs. allow_direct: the function may also be called and enqueued. starts_at, ends_at: no times of the schedule before the one, nor at the other or later; NULL or infinite: no bound. max_runs: it is paused when so many of its times have started a run; NULL or 0: no bound. pause_after_failures: it is paused when so many of its runs in a row have failed; NULL or 0: never. when_done: a function without parameters that is run as by defer.when_done() after each run. A NOTICE says in English when it fires. Errors: the function is not there, has parameters or may not be executed by you; schedule, zone, queue or another value is not valid. Takes effect when you commit';

CREATE FUNCTION defer.cron_command(name text, schedule text, sql text,
								timezone text DEFAULT 'UTC', overlap text DEFAULT 'skip',
								catch_up text DEFAULT 'one', catch_up_window interval DEFAULT '1 day',
								jitter interval DEFAULT '0', active boolean DEFAULT NULL,
								queue text DEFAULT NULL, priority bigint DEFAULT NULL,
								group_key text DEFAULT NULL,
								starts_at timestamptz DEFAULT NULL, ends_at timestamptz DEFAULT NULL,
								max_runs bigint DEFAULT NULL, pause_after_failures bigint DEFAULT NULL,
						when_done text DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_cron_command';
COMMENT ON FUNCTION defer.cron_command(text, text, text, text, text, text, interval, interval, boolean, text, bigint, text, timestamptz, timestamptz, bigint, bigint, text) IS
	'makes or changes a schedule of yours that runs one SQL statement as defer.command() does, and returns its id. Options and errors as of defer.cron(). Takes effect when you commit';

CREATE FUNCTION defer.cron_workflow(name text, schedule text, steps jsonb, args jsonb DEFAULT NULL,
								timezone text DEFAULT 'UTC', overlap text DEFAULT 'skip',
								catch_up text DEFAULT 'one', catch_up_window interval DEFAULT '1 day',
								jitter interval DEFAULT '0', active boolean DEFAULT NULL,
								queue text DEFAULT NULL, priority bigint DEFAULT NULL,
								group_key text DEFAULT NULL,
								starts_at timestamptz DEFAULT NULL, ends_at timestamptz DEFAULT NULL,
								max_runs bigint DEFAULT NULL, pause_after_failures bigint DEFAULT NULL,
						when_done text DEFAULT NULL) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_cron_workflow';
COMMENT ON FUNCTION defer.cron_workflow(text, text, jsonb, jsonb, text, text, text, interval, interval, boolean, text, bigint, text, timestamptz, timestamptz, bigint, bigint, text) IS
	'makes or changes a schedule of yours that starts a workflow, and returns its id. steps, args: as of defer.workflow(), and checked as it does; args is an object, to which "scheduled_for", the time of the run, is added. The workflow has the schedule''s name. A run is a job that starts it and ends as it does, without a worker meanwhile: queue, priority and group_key are those of that job, and cancelling it cancels the workflow. Options and errors as of defer.cron() and defer.workflow(). Takes effect when you commit';

CREATE FUNCTION defer.alter_cron(name text, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
								 overlap text DEFAULT NULL, catch_up text DEFAULT NULL,
								 catch_up_window interval DEFAULT NULL, jitter interval DEFAULT NULL,
								 active boolean DEFAULT NULL, queue text DEFAULT NULL,
								 priority bigint DEFAULT NULL, allow_direct boolean DEFAULT NULL,
								 function text DEFAULT NULL, sql text DEFAULT NULL,
								 group_key text DEFAULT NULL,
								 starts_at timestamptz DEFAULT NULL, ends_at timestamptz DEFAULT NULL,
								 max_runs bigint DEFAULT NULL, pause_after_failures bigint DEFAULT NULL,
						when_done text DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_alter_cron';
COMMENT ON FUNCTION defer.alter_cron(text, text, text, text, text, interval, interval, boolean, text, bigint, boolean, text, text, text, timestamptz, timestamptz, bigint, bigint, text) IS
	'changes what is given of a schedule, yours or of a role that you are a member of; NULL leaves as is. Options and errors as of defer.cron(); function, or sql, changes what it runs, which only roles that may SET ROLE to its owner can. starts_at => ''-infinity'', ends_at => ''infinity'', max_runs => 0, pause_after_failures => 0 and when_done => '''' remove them. Jobs already enqueued are not affected. Takes effect when you commit';

CREATE FUNCTION defer.alter_cron(id bigint, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
								 overlap text DEFAULT NULL, catch_up text DEFAULT NULL,
								 catch_up_window interval DEFAULT NULL, jitter interval DEFAULT NULL,
								 active boolean DEFAULT NULL, queue text DEFAULT NULL,
								 priority bigint DEFAULT NULL, allow_direct boolean DEFAULT NULL,
								 function text DEFAULT NULL, sql text DEFAULT NULL,
								 group_key text DEFAULT NULL,
								 starts_at timestamptz DEFAULT NULL, ends_at timestamptz DEFAULT NULL,
								 max_runs bigint DEFAULT NULL, pause_after_failures bigint DEFAULT NULL,
						when_done text DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_alter_cron_by_id';
COMMENT ON FUNCTION defer.alter_cron(bigint, text, text, text, text, interval, interval, boolean, text, bigint, boolean, text, text, text, timestamptz, timestamptz, bigint, bigint, text) IS
	'changes the schedule with an id (see defer.schedules), whatever its name; else as defer.alter_cron() by name';

CREATE FUNCTION defer.pause_cron(name text, reason text DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_pause_cron';
COMMENT ON FUNCTION defer.pause_cron(text, text) IS
	'pauses a schedule, yours or of a role that you are a member of, when you commit: its times start no runs until defer.resume_cron(). defer.schedules shows who paused it, when, and the reason (at most 1000 bytes). Runs already enqueued are not affected. Error if there is no such schedule that you may manage';

CREATE FUNCTION defer.pause_cron(id bigint, reason text DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_pause_cron_by_id';
COMMENT ON FUNCTION defer.pause_cron(bigint, text) IS
	'pauses the schedule with an id (see defer.schedules), whatever its name; else as defer.pause_cron() by name';

CREATE FUNCTION defer.resume_cron(name text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_resume_cron';
COMMENT ON FUNCTION defer.resume_cron(text) IS
	'lets a paused schedule go on with its next time, when you commit; times while it was paused are not made up for, and failures are counted anew. Errors: there is no such schedule that you may manage; it has had all of its max_runs, or none of its times is before ends_at';

CREATE FUNCTION defer.resume_cron(id bigint) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_resume_cron_by_id';
COMMENT ON FUNCTION defer.resume_cron(bigint) IS
	'lets the schedule with an id (see defer.schedules) go on, whatever its name; else as defer.resume_cron() by name';

CREATE FUNCTION defer.unschedule(name text) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_unschedule';
COMMENT ON FUNCTION defer.unschedule(text) IS
	'removes a schedule, yours or of a role that you are a member of, when you commit. False: there is none of that name. Jobs already enqueued are not affected';

CREATE FUNCTION defer.unschedule(id bigint) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_unschedule_by_id';
COMMENT ON FUNCTION defer.unschedule(bigint) IS
	'removes the schedule with an id (see defer.schedules), whatever its name; else as defer.unschedule() by name';

CREATE FUNCTION defer.backfill(name text, since timestamptz, until timestamptz, overlap text DEFAULT 'queue',
							   rate text DEFAULT NULL, priority bigint DEFAULT NULL,
							   dry_run boolean DEFAULT false) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_backfill';
COMMENT ON FUNCTION defer.backfill(text, timestamptz, timestamptz, text, text, bigint, boolean) IS
	'has a schedule run for its times from since on and before until, which is not in the future, by the schedule as it is now and without jitter, and returns how many runs there will be. Times that have a run in defer.jobs are left out, so no further back than defer.retention tells; times at which it was skipped or missed are not. overlap: queue, one after the other and when no run of the schedule is unfinished, or allow, up to 100 at a time. rate, such as 10/minute: the runs become due no more often, evenly spaced; NULL without limit. The schedule itself goes on as ever, and the runs are its owner''s jobs, enqueued some at a time after you commit: see defer.backfills and defer.cancel_backfill(). priority: NULL as of the schedule. dry_run only counts. Errors: no such schedule that you may manage; since is not before until, or one of them is not valid; more than 100000 times; the owner has 10 backfills in progress';

CREATE FUNCTION defer.backfill(id bigint, since timestamptz, until timestamptz, overlap text DEFAULT 'queue',
							   rate text DEFAULT NULL, priority bigint DEFAULT NULL,
							   dry_run boolean DEFAULT false) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_backfill_by_id';
COMMENT ON FUNCTION defer.backfill(bigint, timestamptz, timestamptz, text, text, bigint, boolean) IS
	'has the schedule with an id (see defer.schedules) run for times that are past; else as defer.backfill() by name';

CREATE FUNCTION defer.cancel_backfill(id bigint) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_cancel_backfill';
COMMENT ON FUNCTION defer.cancel_backfill(bigint) IS
	'ends a backfill, when you commit: no more of its runs are enqueued, and those that are go on. False: there is none with that id that you may manage';

-- "Trigger" is the word of schedulers for a run by hand, and has nothing to do with
-- triggers of tables.  "Run now" would promise that it runs here and now, in the
-- transaction that calls: it is a job, which begins after the commit.
CREATE FUNCTION defer.trigger(name text) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_trigger';
COMMENT ON FUNCTION defer.trigger(text) IS
	'enqueues a run of a schedule to begin once you have committed, besides its times and whatever its overlap, and returns the job''s id. name: of the schedule, or of a function that has one schedule. The job belongs to the owner of the schedule. Error if there is no such schedule that you may manage, or if its function or queue has gone';

CREATE FUNCTION defer.trigger(id bigint) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_trigger_by_id';
COMMENT ON FUNCTION defer.trigger(bigint) IS
	'enqueues a run of the schedule with an id (see defer.schedules), whatever its name; else as defer.trigger() by name';

CREATE FUNCTION defer.import_pg_cron(deactivate boolean DEFAULT true)
	RETURNS TABLE (jobid bigint, name text, schedule text, imported boolean, note text)
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_import_pg_cron';
COMMENT ON FUNCTION defer.import_pg_cron(boolean) IS
	'makes a schedule of each job of pg_cron in this database: your own, as a superuser all. One that was imported before is changed in place, and stays active or not. What is imported is what pg_cron runs; note says where that is not what the text says, and how to get what was meant, or why a job was not imported, which never stops the others. deactivate: switch the jobs off in pg_cron; with false they go on there, and new schedules are not active here. Errors: pg_cron is not installed here, or you may not read its jobs or switch them off. Takes effect when you commit';

CREATE FUNCTION defer.cron_next(schedule text, timezone text DEFAULT 'UTC',
								after timestamptz DEFAULT pg_catalog.now(), n bigint DEFAULT 5)
	RETURNS SETOF timestamptz
	LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'defer_cron_next';
COMMENT ON FUNCTION defer.cron_next(text, text, timestamptz, bigint) IS
	'the next n (0 to 100000) times of a schedule after an instant, without jitter; less if it fires no more before the year 10000. Errors: schedule or zone is not valid';

CREATE FUNCTION defer.cron_previous(schedule text, timezone text DEFAULT 'UTC',
									before timestamptz DEFAULT pg_catalog.now(), n bigint DEFAULT 5)
	RETURNS SETOF timestamptz
	LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'defer_cron_previous';
COMMENT ON FUNCTION defer.cron_previous(text, text, timestamptz, bigint) IS
	'the last n (0 to 100000) times of a schedule before an instant, without jitter, the latest first; less if it did not fire before in the years from 1 on. Errors: schedule or zone is not valid';

CREATE FUNCTION defer.cron_describe(schedule text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'defer_cron_describe';
COMMENT ON FUNCTION defer.cron_describe(text) IS
	'when a schedule fires, in plain English. Error if it is not valid';

CREATE FUNCTION defer.run_schedules(as_of timestamptz) RETURNS timestamptz
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_run_schedules';
COMMENT ON FUNCTION defer.run_schedules(timestamptz) IS
	'does what the scheduler does, as if it were as_of: enqueues what is due, when you commit, and returns when something is due next, or NULL. Only for superusers, to test schedules';
