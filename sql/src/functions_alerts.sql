/*
 * sql/src/functions_alerts.sql
 *		Rules that send messages about jobs.
 */

CREATE FUNCTION defer.alert(name text, endpoint text DEFAULT NULL, on_states text[] DEFAULT '{failed}',
							function text DEFAULT NULL, group_window interval DEFAULT '1 min',
							recipients text[] DEFAULT NULL, recovered boolean DEFAULT true,
							show_args boolean DEFAULT true, schedules boolean DEFAULT false,
							backlog interval DEFAULT NULL, workers boolean DEFAULT false,
							retries bigint DEFAULT NULL, step_waits interval DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_alert';
COMMENT ON FUNCTION defer.alert(text, text, text[], text, interval, text[], boolean, boolean, boolean, interval, boolean, bigint, interval) IS
	'makes a rule that tells of jobs, yours and those of roles you are a member of, or replaces the one of yours of that name. endpoint: where messages go; or e-mail by defer.smtp_url to recipients. on_states: final states to tell of. function: of that only. group_window: what happens within it after the first event, up to 1 day, is one message. recovered: also tell when a function succeeds again. show_args: arguments of up to five jobs are in the message. schedules: ticks that did not run, too. backlog: also when a ready job has waited so long, at least 1 second. workers: also when no background worker is free. retries: also of a job whose attempt of that number, at least 1, has failed and that is tried again. step_waits: also of a job of which a step has waited so long for an event, a job or a request, at least 1 second, once. Takes effect when you commit';

CREATE FUNCTION defer.drop_alert(name text) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_drop_alert';
COMMENT ON FUNCTION defer.drop_alert(text) IS
	'removes the alert of that name, yours or else that of a role that you are a member of, with what it has not told yet, when you commit. False: there is none. Error if several of those roles have one';
