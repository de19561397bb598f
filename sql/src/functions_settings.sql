/*
 * sql/src/functions_settings.sql
 *		Settings of functions and queues.
 */

CREATE FUNCTION defer.configure(function text, queue text DEFAULT NULL, priority bigint DEFAULT NULL,
								max_attempts bigint DEFAULT NULL, initial_interval interval DEFAULT NULL,
								multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
								randomization double precision DEFAULT NULL, concurrency bigint DEFAULT NULL,
								at_limit text DEFAULT NULL, max_duration interval DEFAULT NULL,
								discard_after interval DEFAULT NULL, group_by text DEFAULT NULL,
								group_concurrency bigint DEFAULT NULL, rate text DEFAULT NULL,
								rate_burst bigint DEFAULT NULL, group_rate text DEFAULT NULL,
								group_rate_burst bigint DEFAULT NULL, group_order text DEFAULT NULL,
								on_group_failure text DEFAULT NULL, max_queued bigint DEFAULT NULL,
								group_max_queued bigint DEFAULT NULL, reset boolean DEFAULT false) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_configure';
COMMENT ON FUNCTION defer.configure IS
	'changes settings of a function that you own: those given; NULL leaves as is; reset => true takes all others back to their defaults. queue, priority, discard_after and group_by hold for jobs enqueued later, the others for all. initial_interval, max_interval: pauses between attempts; randomization: 0 to 1; concurrency: jobs at the same time; at_limit: keep or cancel those over it; max_duration: of an attempt, 0 without limit; group_by: the parameter, or metadata.<name>, whose value is the group of a job that is given none; group_concurrency: jobs of one group at the same time; rate, such as 100/minute, 5/10 s or none: attempts that begin, evenly spaced, of which rate_burst (1 to 100000, default 1) may begin at once; group_rate, group_rate_burst: of one group. group_order: strict, jobs of one group run one after the other in the order of their ids, for jobs enqueued or attempted later, or none; on_group_failure: skip goes on after a job that has failed for good, hold stops its group until defer.release_group(). max_queued: unfinished jobs, one more is an error (DF040) of the call that enqueues it; group_max_queued: of one group. Takes effect when you commit';

CREATE FUNCTION defer.pause(function text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_pause';
COMMENT ON FUNCTION defer.pause(text) IS
	'holds back the jobs of a function that you own, from your commit to defer.resume(); they can still be enqueued, and those that run go on';

CREATE FUNCTION defer.resume(function text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_resume';
COMMENT ON FUNCTION defer.resume(text) IS
	'lets the jobs of a function that you own go on after defer.pause(), when you commit; no error if it is not paused';

CREATE FUNCTION defer.create_queue(name text, concurrency bigint DEFAULT NULL, priority bigint DEFAULT NULL,
								   max_attempts bigint DEFAULT NULL, initial_interval interval DEFAULT NULL,
								   multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
								   randomization double precision DEFAULT NULL,
								   max_duration interval DEFAULT NULL,
								   discard_after interval DEFAULT NULL,
								   group_by text DEFAULT NULL,
								   group_concurrency bigint DEFAULT NULL,
								   rate text DEFAULT NULL, rate_burst bigint DEFAULT NULL,
								   group_rate text DEFAULT NULL, group_rate_burst bigint DEFAULT NULL,
								   group_order text DEFAULT NULL, on_group_failure text DEFAULT NULL,
								   reserved bigint DEFAULT NULL, max_queued bigint DEFAULT NULL,
								   group_max_queued bigint DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_create_queue';
COMMENT ON FUNCTION defer.create_queue IS
	'makes a queue of yours; others may put jobs into it after defer.grant_queue(). The name has 1 to 63 bytes. Settings as in defer.configure(), whose settings win over those of the queue; group_by may name a parameter that only some functions have, and jobs of the others are in no group by it. reserved: so many of defer.max_workers are kept for its jobs; only for superusers. Error if there is a queue of that name. Takes effect when you commit';

CREATE FUNCTION defer.alter_queue(name text, concurrency bigint DEFAULT NULL, priority bigint DEFAULT NULL,
								  max_attempts bigint DEFAULT NULL, initial_interval interval DEFAULT NULL,
								  multiplier double precision DEFAULT NULL, max_interval interval DEFAULT NULL,
								  randomization double precision DEFAULT NULL,
								  max_duration interval DEFAULT NULL,
								  discard_after interval DEFAULT NULL, group_by text DEFAULT NULL,
								  group_concurrency bigint DEFAULT NULL, rate text DEFAULT NULL,
								  rate_burst bigint DEFAULT NULL, group_rate text DEFAULT NULL,
								  group_rate_burst bigint DEFAULT NULL,
								  group_order text DEFAULT NULL, on_group_failure text DEFAULT NULL,
								  reserved bigint DEFAULT NULL, max_queued bigint DEFAULT NULL,
								  group_max_queued bigint DEFAULT NULL, reset boolean DEFAULT false) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_alter_queue';
COMMENT ON FUNCTION defer.alter_queue IS
	'changes settings of a queue that you own: those given; NULL leaves as is; reset => true takes all others back to their defaults. The queue "default" is for superusers and the owner of the database. Takes effect when you commit';

CREATE FUNCTION defer.drop_queue(name text) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_drop_queue';
COMMENT ON FUNCTION defer.drop_queue(text) IS
	'removes a queue that you own, when you commit. False: there is none of that name. Error while jobs that are not finished, schedules or settings of functions name it';

CREATE FUNCTION defer.grant_queue(name text, role text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_grant_queue';
COMMENT ON FUNCTION defer.grant_queue(text, text) IS
	'lets a role and its members put jobs into a queue that you own, and pause it; "public" lets every role put jobs into it, not pause it. The role''s name is taken as it is, without quotes. Takes effect when you commit';

CREATE FUNCTION defer.revoke_queue(name text, role text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_revoke_queue';
COMMENT ON FUNCTION defer.revoke_queue(text, text) IS
	'takes back what defer.grant_queue() gave; jobs that are in the queue stay there. No error if there is nothing to take. Takes effect when you commit';

CREATE FUNCTION defer.pause_queue(name text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_pause_queue';
COMMENT ON FUNCTION defer.pause_queue(text) IS
	'holds back the jobs of a queue, from your commit to defer.resume_queue(); they can still be enqueued, and those that run go on. For the queue''s owner and roles that it was granted to by name; "default" for superusers and the owner of the database';

CREATE FUNCTION defer.resume_queue(name text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_resume_queue';
COMMENT ON FUNCTION defer.resume_queue(text) IS
	'lets the jobs of a queue go on after defer.pause_queue(), when you commit; no error if it is not paused';

CREATE FUNCTION defer.set_group(group_key text, function text DEFAULT NULL, queue text DEFAULT NULL,
								concurrency anycompatible DEFAULT NULL, paused boolean DEFAULT NULL,
								reason text DEFAULT NULL, weight double precision DEFAULT NULL,
								rate text DEFAULT NULL) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_set_group';
COMMENT ON FUNCTION defer.set_group IS
	'changes settings of one group of a function or a queue that you own (give one of the two): those given; NULL leaves as is. concurrency: its jobs at the same time, instead of the setting group_concurrency, or ''none''. rate: attempts of it that begin, instead of the setting group_rate, or ''none''; the burst is group_rate_burst. paused: holds back its jobs that have not begun; reason: why, for those who look at defer.groups. weight: from 0.001 to 1000, how much worker time it gets beside a group of weight 1, where both have jobs. Errors: you do not own it; nothing is given; a value is out of range. Takes effect when you commit';

CREATE FUNCTION defer.reset_group(group_key text, function text DEFAULT NULL, queue text DEFAULT NULL) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_reset_group';
COMMENT ON FUNCTION defer.reset_group IS
	'takes back what defer.set_group() has set for a group of a function or queue that you own, a pause included. False: there was nothing. Takes effect when you commit';

CREATE FUNCTION defer.release_group(group_key text, function text DEFAULT NULL, queue text DEFAULT NULL) RETURNS boolean
	LANGUAGE c AS 'MODULE_PATHNAME', 'defer_release_group';
COMMENT ON FUNCTION defer.release_group IS
	'lets a group go on that on_group_failure => ''hold'' has stopped, of a function or queue that you own. A rerun of the job that has failed has the place of that: call defer.rerun() before. False: the group is not held. Takes effect when you commit';
