/*
 * fire.c
 *		The due ticks of one schedule: jobs, or rows of the history in their place.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/job_state.h"
#include "config/job_caps.h"
#include "table/job_insert.h"
#include "shmem/xact_notify.h"
#include "table/alert_event.h"
#include "schedule/schedule.h"
#include "job/end.h"

/* Runs that one schedule may start in a transaction */
#define BATCH_RUNS		1000

/* Whatever catch_up says, a tick is in time if it is no later than this */
#define IN_TIME			(60 * USECS_PER_SEC)

/*
 * Missed ticks that have a row each; missed ticks that are counted one by one
 */
#define MISSED_ROWS		100
#define MISSED_COUNTED	100000

/* ------------------------------------------------------------------------
 * One tick
 * ------------------------------------------------------------------------ */

/* A tick that makes no job has a row in the history instead */
static void
record_tick(const Schedule *s, TimestampTz tick, char state, const char *sqlstate,
			const char *message)
{
	Job			job;
	const char *ignored_state;
	char	   *ignored_error;

	if (schedule_make_job(s, tick, &job, &ignored_state, &ignored_error))
		job.id = job_new_id();
	job.scheduled_for = tick;
	job_end_without_row(&job, state, sqlstate, message);
}

/* The job of a tick, by the rule for runs that overlap */
static void
start_run(Schedule *s, TimestampTz tick, TimestampTz now)
{
	Job			job;
	const char *sqlstate;
	char	   *error;
	bool		hold = false;
	const Schedule before = *s;

	if (schedule_tick_has_job(s->id, tick))
		return;
	if (strcmp(s->overlap, "skip") == 0 && schedule_is_busy(s->id))
	{
		record_tick(s, tick, STATE_DISCARDED, NULL, "the previous run had not finished");
		return;
	}
	if (strcmp(s->overlap, "queue") == 0 && schedule_holds_most(s->id))
	{
		record_tick(s, tick, STATE_DISCARDED, NULL,
					psprintf("%d runs were waiting already", SCHEDULE_HELD_MAX));
		return;
	}
	s->last_run_at = now;
	if (s->runs < PG_INT32_MAX)
		s->runs++;
	if (!schedule_make_job(s, now, &job, &sqlstate, &error))
	{
		job.scheduled_for = tick;
		job_end_without_row(&job, STATE_FAILED, sqlstate, error);
		schedule_when_done(s, &job);
		return;
	}
	if (strcmp(s->overlap, "queue") == 0)
		hold = schedule_is_busy(s->id);
	else if (strcmp(s->overlap, "replace") == 0)
		hold = !schedule_replace_runs(s->id, tick);
	job.scheduled_for = tick;
	if (hold)
	{
		/*
		 * the end of the earlier run sets it free; it may come before our
		 * commit
		 */
		job.run_at = DT_NOEND;
		xact_notify_release();
	}
	if (job_caps_insert_if_room(&job))
	{
		schedule_when_done(s, &job);
		return;
	}
	s->last_run_at = before.last_run_at;
	s->runs = before.runs;
	record_tick(s, tick, STATE_DISCARDED, NULL, "max_queued of its function or queue was reached");
}

bool
schedule_start_past(const Schedule *s, TimestampTz tick, TimestampTz run_at, Jsonb *options)
{
	Job			job;
	const char *sqlstate;
	char	   *error;

	if (schedule_tick_has_job(s->id, tick))
		return true;
	if (!schedule_make_job(s, run_at, &job, &sqlstate, &error))
	{
		job.scheduled_for = tick;
		job_end_without_row(&job, STATE_FAILED, sqlstate, error);
		schedule_when_done(s, &job);
		return true;
	}
	job.scheduled_for = tick;
	job.options = options;
	if (!job_caps_insert_if_room(&job))
		return false;
	schedule_when_done(s, &job);
	return true;
}

/* ------------------------------------------------------------------------
 * All due ticks of a schedule
 * ------------------------------------------------------------------------ */

/* Ticks that do not run, one after the other */
typedef struct Missed
{
	int64		n;
	TimestampTz last;
	bool		more;			/* some were passed over without counting */
} Missed;

static void
missed_tick(const Schedule *s, Missed *missed, TimestampTz tick)
{
	missed->last = tick;
	if (++missed->n <= MISSED_ROWS)
		record_tick(s, tick, STATE_DISCARDED, NULL, "missed: the schedule could not fire in time");
}

/* Write one row for all missed ticks that have none of their own */
static void
missed_end(const Schedule *s, Missed *missed)
{
	if (missed->n > MISSED_ROWS)
		record_tick(s, missed->last, STATE_DISCARDED, NULL,
					psprintf("missed: the schedule could not fire in time (%s" INT64_FORMAT
							 " ticks up to this one)",
							 missed->more ? "more than " : "",
							 missed->n - MISSED_ROWS));
	missed->n = 0;
	missed->more = false;
}

/*
 * Deal with the ticks from next_tick up to now.  catch_up "none" and "one" run
 * the latest if it is in time or within the window, "all" each one within the
 * window.  Stops early after many runs: the rest is for the next transaction.
 */
static void
run_ticks(Schedule *s, const ScheduleClock *clock, TimestampTz now)
{
	bool		all = strcmp(s->catch_up, "all") == 0;
	int64		window = strcmp(s->catch_up, "none") == 0 ? 0 :
		schedule_interval(s->catch_up_window);
	TimestampTz tick = s->next_tick;
	TimestampTz latest;
	Missed		missed = {0};
	int			runs = 0;

	window = Max(window, IN_TIME);
	if (!schedule_latest(clock, s->ends_at != NO_TIME ? Min(now, s->ends_at - 1) : now, &latest) ||
		latest < tick)
		latest = tick;
	for (;;)
	{
		int64		late = now - (tick == s->next_tick ? s->next_run_at : tick);

		CHECK_FOR_INTERRUPTS();
		if ((all || tick >= latest) && late <= window)
		{
			missed_end(s, &missed);
			start_run(s, tick, now);
			runs++;
		}
		else
			missed_tick(s, &missed, tick);
		s->last_tick = tick;
		if (tick >= latest || runs == BATCH_RUNS || schedule_has_run_all(s))
			break;

		/* years of seconds: go where something runs again */
		if (missed.n == MISSED_COUNTED)
		{
			TimestampTz there = all ? Min(now - window - 1, latest - 1) : latest - 1;

			missed.more = true;
			if (there > tick && schedule_latest(clock, there, &there) && there > tick)
				missed.last = tick = there;
		}
		if (!schedule_next(clock, tick, &tick))
			break;
	}
	missed_end(s, &missed);
	schedule_advance(s, clock, s->last_tick, now);
	if (schedule_has_run_all(s))
		schedule_pause(s, NULL, psprintf("it has ended: it has had its %d runs (max_runs)",
										 s->max_runs));
}

/* Who wants to hear of a schedule that does not go on is told with the same commit */
void
schedule_write_state(const Schedule *s)
{
	schedule_write_times(s);
	if (s->last_error != NULL)
		alert_event_record_schedule(s->owner, s->function,
									psprintf("schedule \"%s\" does not go on: %s", s->name, s->last_error));
}

/* Bring one locked schedule up to date */
void
schedule_fire(Schedule *s, TimestampTz now)
{
	ScheduleClock clock;
	char	   *error;

	if (!schedule_clock_open(&clock, s, &error))
		schedule_suspend(s, error);
	else if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(s->owner)))
		schedule_suspend(s, "the role that owns the schedule does not exist");
	else if (s->next_tick == NO_TIME || s->next_run_at == NO_TIME)
		schedule_advance(s, &clock, now, now);
	else
	{
		if (s->pause_after_failures > 0)
			schedule_count_results(s);
		if (s->active)
			run_ticks(s, &clock, now);
	}
	schedule_write_state(s);
	CommandCounterIncrement();
}
