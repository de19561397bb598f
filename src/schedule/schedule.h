/*
 * schedule.h
 *		What the files that deal with schedules share: rows of defer.schedule, and
 *		when they fire.
 */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include "executor/spi.h"

#include "base/job.h"
#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "config/job_target.h"
#include "function/function.h"
#include "pure/cron/cron.h"
#include "schedule/cron_zone.h"

/*
 * A row of defer.schedule.  NULL or NO_TIME where the column is NULL; all
 * pointers are into the memory context of the reader.
 */
typedef struct Schedule
{
	int64		id;				/* 0: not in the table yet */
	char	   *name;
	Oid			owner;
	char		kind;			/* JOB_... */
	char	   *function;		/* signature, or COMMAND_FUNCTION,
								 * WORKFLOW_FUNCTION */
	Oid			function_owner; /* when it was named; InvalidOid: a command */
	char	   *command;		/* of JOB_COMMAND its statement, of
								 * JOB_WORKFLOW its description; else NULL */
	char	   *schedule;
	char	   *timezone;
	char	   *overlap;
	char	   *catch_up;
	Interval   *catch_up_window;
	Interval   *jitter;
	bool		active;
	bool		allow_direct;
	char	   *queue;			/* NULL: as the function's settings say */
	bool		has_priority;	/* false: the same */
	int32		priority;
	char	   *group_key;		/* NULL: none */
	TimestampTz next_tick;
	TimestampTz next_run_at;
	TimestampTz last_tick;
	TimestampTz last_run_at;
	char	   *last_error;
	TimestampTz starts_at;		/* no tick before; NO_TIME: no bound */
	TimestampTz ends_at;		/* none at it or after; NO_TIME: no bound */
	int32		max_runs;		/* runs in all; 0: no bound */
	int32		pause_after_failures;	/* failed runs in a row; 0: never */
	int32		runs;			/* that its ticks have started */
	int32		failures;		/* in a row, of those counted so far */
	TimestampTz paused_at;		/* while it is not active */
	char	   *paused_by;		/* a role; NULL: defer itself */
	char	   *pause_reason;
	char	   *when_done;		/* signature; NULL: none */
	Oid			when_done_owner;	/* when it was named */
	bool		active_given;	/* the caller has chosen "active" */
} Schedule;

/* The columns above, in that order, of a table called s */
#define SCHEDULE_COLUMNS \
	"s.id, s.name, s.owner, s.kind, s.function, s.function_owner, s.command, s.schedule, s.timezone," \
	" s.overlap, s.catch_up, s.catch_up_window, s.jitter, s.active, s.allow_direct," \
	" s.queue, s.priority, s.group_key, s.next_tick, s.next_run_at, s.last_tick, s.last_run_at," \
	" s.last_error, s.starts_at, s.ends_at, s.max_runs, s.pause_after_failures, s.runs, s.failures," \
	" s.paused_at, s.paused_by, s.pause_reason, s.when_done, s.when_done_owner"

/*
 * schedule/tick.c
 */

/*
 * Enqueue the jobs that are due at "now", move each schedule on; each batch of
 * schedules in a transaction of its own (own_transactions) or in the caller's.
 * Returns when to look again (DT_NOEND: nothing).  A schedule that cannot go
 * on is noted in last_error and set aside; it never stops the rest.
 */
extern TimestampTz schedule_run_due(TimestampTz now, bool own_transactions);

/*
 * End a transaction of our own that has read and moved on schedules.  False: it
 * was rolled back instead, as this is a copy by now.
 */
extern bool schedule_end_unless_copy(bool own_transactions);

/* Release the runs that overlap => 'queue' holds back, in the caller's transaction */
extern bool schedule_release_held(void);	/* false: not all, try again */

/*
 * Make shared memory's set of scheduled functions anew from the table, in the
 * caller's transaction.
 */
extern void schedule_load_set(void);

/*
 * schedule/fire.c: for schedule/tick.c and schedule/backfill_run.c
 */

/* Bring one locked schedule up to date: fire its due ticks, and write it */
extern void schedule_fire(Schedule *s, TimestampTz now);

/*
 * Enqueue the run for a time that is past, unless it has one, with these options; false:
 * max_queued is reached
 */
extern bool schedule_start_past(const Schedule *s, TimestampTz tick, TimestampTz run_at,
								Jsonb *options);

/* Write its times and last_error, and note for alerts that it does not go on */
extern void schedule_write_state(const Schedule *s);

/*
 * schedule/check.c: what users give; errors name it
 */
struct FunctionCallInfoBaseData;

/* What a user wrote, fit for one line of a message */
extern char *schedule_shown(const char *text);

extern void schedule_parse(const char *text, CronSchedule *cron);
extern pg_tz *schedule_check_zone(const char *name);
extern void schedule_check_name(const char *name);

/* The function or task that a user means, for a schedule of that role */
extern void schedule_check_function(const char *name, Oid owner, JobTarget *target);

/* What holds where nothing is given; a schedule of the current user */
extern void schedule_default_options(Schedule *schedule);

/*
 * Read the options that all the functions have, at the arguments from "first"
 * on: timezone, overlap, catch_up, catch_up_window, jitter, active, queue,
 * priority.  NULL leaves *schedule as it is.
 */
extern void schedule_read_options(struct FunctionCallInfoBaseData *fcinfo, int first,
								  Schedule *schedule);

/* Read the option group_key, the argument n; NULL leaves *schedule as it is */
extern void schedule_read_group(struct FunctionCallInfoBaseData *fcinfo, int n,
								Schedule *schedule);

/*
 * The same for starts_at, ends_at, max_runs and pause_after_failures.  No bound
 * is also an infinite time, and 0.
 */
extern void schedule_read_bounds(struct FunctionCallInfoBaseData *fcinfo, int first,
								 Schedule *schedule);

/* The same for when_done; "" removes it */
extern void schedule_read_when_done(struct FunctionCallInfoBaseData *fcinfo, int n,
									Schedule *schedule);

/* Why it is paused, NULL: not said; an error if it is too long */
extern char *schedule_read_reason(struct FunctionCallInfoBaseData *fcinfo, int n);

/*
 * schedule/sql.c: find the schedule that the current user means and may manage,
 * and lock its row if wanted; an error if there is none
 */
extern void schedule_find_by_name(const char *name, bool lock, Schedule *schedule);
extern void schedule_find_by_id(int64 id, bool lock, Schedule *schedule);

/*
 * schedule/row.c
 */

/*
 * Run one of our statements as the extension's owner, and read the schedules
 * that it returns into *rows (unless NULL), in the current memory context.
 * Returns how many rows there were, or were changed.
 */
extern uint64 schedule_query(const char *sql, int nargs, Oid *types, Datum *values,
							 const char *nulls, Schedule **rows);

/* Write its times, last_error, counts, and whether and why it is paused */
extern void schedule_write_times(const Schedule *schedule);

/*
 * Fill in a run of the schedule, to begin at "at".  False: it cannot run, and
 * why; then the job is fit for the history only, and has an id.
 */
extern bool schedule_make_job(const Schedule *schedule, TimestampTz at, Job *job,
							  const char **sqlstate, char **error);

/* Enqueue the job that begins when a run, which has just got its row, and its batch are over */
extern void schedule_when_done(const Schedule *schedule, const Job *run);

/*
 * schedule/save.c: the caller has checked who may
 */

/* The schedule of a role with a name, locked; false: there is none */
extern bool schedule_lock_by_name(Oid owner, const char *name, Schedule *s);

/*
 * Make the schedule of that owner and name, or change the one that is there;
 * returns its id.  "named" is false if no user has chosen the name: then it
 * must not hit a schedule of something else.  "quiet": no NOTICE.
 */
extern int64 schedule_make(Schedule *s, bool named, bool quiet);

/*
 * Write a schedule; "before" is the row that there was, or NULL.  As long as its
 * times are the same it keeps its next tick, which may be due already: to make
 * the same schedule again at each deployment loses nothing.  False: another
 * session has just inserted that name.
 */
extern bool schedule_save(Schedule *s, const Schedule *before, bool quiet);

/* Announce that the schedules of its function have changed */
extern void schedule_signature_changed(const Schedule *s);

/*
 * schedule/runs.c; all as of now
 */

/* Check whether a job of that tick has been enqueued, and is still there */
extern bool schedule_tick_has_job(int64 schedule_id, TimestampTz tick);

/* Check whether any run of the schedule has not ended */
extern bool schedule_is_busy(int64 schedule_id);

/* Runs of a schedule that wait for the one before, at most */
#define SCHEDULE_HELD_MAX	1000

extern bool schedule_holds_most(int64 schedule_id);

/*
 * End all runs in favour of the one for that tick.  False: some have been told
 * to end and have not yet.
 */
extern bool schedule_replace_runs(int64 schedule_id, TimestampTz tick);

/*
 * schedule/time.c
 */

/* A schedule and its zone, read.  Must not be moved: "zone" points into it */
typedef struct ScheduleClock
{
	CronSchedule cron;
	CronZoneCache cache;
	const CronZone *zone;
} ScheduleClock;

/* The zone of that name, NULL if there is none.  IANA names only */
extern pg_tz *schedule_zone(const char *name);

/* False: schedule or zone cannot be read, and why */
extern bool schedule_clock_open(ScheduleClock *clock, const Schedule *schedule, char **error);

/* The next tick after, the last one before, the last one up to an instant; false: there is none */
extern bool schedule_next(const ScheduleClock *clock, TimestampTz after, TimestampTz *tick);
extern bool schedule_previous(const ScheduleClock *clock, TimestampTz before, TimestampTz *tick);
extern bool schedule_latest(const ScheduleClock *clock, TimestampTz until, TimestampTz *tick);

/*
 * Set next_tick to the next one after an instant, next_run_at to when it runs;
 * last_error and neither of the two if there is none.  "now" tells whether
 * there is time left for jitter.
 */
extern void schedule_advance(Schedule *schedule, const ScheduleClock *clock,
							 TimestampTz after, TimestampTz now);
extern void schedule_suspend(Schedule *schedule, const char *error);

/* Pause it as of now; by: a role, NULL: defer itself */
extern void schedule_pause(Schedule *schedule, const char *by, const char *reason);

/* Pause it if it has had all of its runs; false: it goes on */
extern bool schedule_has_run_all(const Schedule *schedule);

/*
 * schedule/results.c: how runs of schedules with pause_after_failures have ended
 */

/* Count those of a locked schedule, and pause it if too many have failed */
extern void schedule_count_results(Schedule *schedule);

/* Do so for all schedules that have some; false: not all, try again */
extern bool schedule_count_all_results(void);

/* An interval in microseconds, a month as 30 days; not negative, not over PG_INT64_MAX / 4 */
extern int64 schedule_interval(const Interval *interval);

#endif							/* SCHEDULE_H */
