/*
 * time.c
 *		When schedules fire: the cron engine on the server's clock and zones.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "schedule/schedule.h"

/* From 1970-01-01, where the engine counts from, to 2000-01-01 */
#define EPOCH_SECONDS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

/* The second that an instant is in */
static int64
seconds_of(TimestampTz at)
{
	if (at == DT_NOBEGIN)
		return CRON_MIN_TIME - 1;
	if (at == DT_NOEND)
		return CRON_MAX_TIME + 1;
	return at / USECS_PER_SEC - (at % USECS_PER_SEC < 0 ? 1 : 0) + EPOCH_SECONDS;
}

static TimestampTz
instant_of(int64 seconds)
{
	return (seconds - EPOCH_SECONDS) * USECS_PER_SEC;
}

/*
 * The server takes any text that POSIX could, "Mars5", for a zone.  It gives
 * back those in capitals, and zones of the database as these are written; of
 * the latter few are all capitals and have a digit.
 */
pg_tz *
schedule_zone(const char *name)
{
	static const char *const capitals[] = {
		"EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT", "GMT0", "GMT+0", "GMT-0"
	};
	pg_tz	   *tz;
	const char *known;

	if (strlen(name) > TZ_STRLEN_MAX)
		return NULL;
	tz = pg_tzset(name);
	if (tz == NULL || !pg_tz_acceptable(tz))
		return NULL;
	known = pg_get_timezone_name(tz);
	for (int i = 0; i < lengthof(capitals); i++)
	{
		if (strcmp(known, capitals[i]) == 0)
			return tz;
	}
	if (strpbrk(known, "0123456789<>") != NULL &&
		strpbrk(known, "abcdefghijklmnopqrstuvwxyz") == NULL)
		return NULL;
	return tz;
}

bool
schedule_clock_open(ScheduleClock *clock, const Schedule *schedule, char **error)
{
	CronError	parse_error;
	pg_tz	   *tz;

	if (!cron_parse(schedule->schedule, &clock->cron, &parse_error))
	{
		*error = psprintf("invalid schedule: %s at character %d",
						  parse_error.message, parse_error.position + 1);
		return false;
	}
	tz = schedule_zone(schedule->timezone);
	if (tz == NULL)
	{
		*error = psprintf("time zone \"%s\" does not exist", schedule->timezone);
		return false;
	}
	clock->zone = cron_zone_open(&clock->cache, tz);
	return true;
}

bool
schedule_next(const ScheduleClock *clock, TimestampTz after, TimestampTz *tick)
{
	int64		seconds;

	if (!cron_next(&clock->cron, clock->zone, seconds_of(after), &seconds))
		return false;
	*tick = instant_of(seconds);
	return true;
}

bool
schedule_previous(const ScheduleClock *clock, TimestampTz before, TimestampTz *tick)
{
	int64		seconds = seconds_of(before);

	/* ticks are whole seconds: the one that "before" is in has begun */
	if (instant_of(seconds) < before)
		seconds++;
	if (!cron_previous(&clock->cron, clock->zone, seconds, &seconds))
		return false;
	*tick = instant_of(seconds);
	return true;
}

bool
schedule_latest(const ScheduleClock *clock, TimestampTz until, TimestampTz *tick)
{
	int64		seconds;

	if (!cron_previous(&clock->cron, clock->zone, seconds_of(until) + 1, &seconds))
		return false;
	*tick = instant_of(seconds);
	return true;
}

int64
schedule_interval(const Interval *interval)
{
	int64		days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	int64		result;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &result) ||
		pg_add_s64_overflow(result, interval->time, &result))
		return days < 0 ? 0 : PG_INT64_MAX / 4;
	return Max(Min(result, PG_INT64_MAX / 4), 0);
}

void
schedule_pause(Schedule *schedule, const char *by, const char *reason)
{
	schedule->active = false;
	schedule->paused_at = GetCurrentTimestamp();
	schedule->paused_by = by != NULL ? pstrdup(by) : NULL;
	schedule->pause_reason = reason != NULL ? pstrdup(reason) : NULL;
}

bool
schedule_has_run_all(const Schedule *schedule)
{
	return schedule->max_runs > 0 && schedule->runs >= schedule->max_runs;
}

void
schedule_suspend(Schedule *schedule, const char *error)
{
	schedule->next_tick = NO_TIME;
	schedule->next_run_at = NO_TIME;
	schedule->last_error = pstrdup(error);
}

/*
 * Which part of its jitter a schedule takes, from 0 to less than 1: always the
 * same, so that its runs keep their distance, and another one for each
 * schedule, database and server.
 */
static double
jitter_share(const Schedule *schedule)
{
	uint64		seed = GetSystemIdentifier() ^ ((uint64) MyDatabaseId << 32) ^
		(uint64) schedule->id;
	uint64		hash = hash_bytes_extended((const unsigned char *) schedule->name,
										   strlen(schedule->name), seed);

	return (hash >> 11) / (double) (UINT64CONST(1) << 53);
}

/*
 * The delay of a tick ends before the tick after it: ticks run in their order
 * and never pile up.
 */
void
schedule_advance(Schedule *schedule, const ScheduleClock *clock, TimestampTz after,
				 TimestampTz now)
{
	int64		jitter = schedule_interval(schedule->jitter);
	TimestampTz following;

	schedule->last_error = NULL;
	if (schedule->starts_at != NO_TIME && schedule->starts_at > after)
		after = schedule->starts_at - 1;
	if (!schedule_next(clock, after, &schedule->next_tick))
	{
		schedule_suspend(schedule, "the schedule does not fire any more");
		return;
	}
	if (schedule->ends_at != NO_TIME && schedule->next_tick >= schedule->ends_at)
	{
		schedule->next_tick = schedule->next_run_at = NO_TIME;
		if (schedule->active)
			schedule_pause(schedule, NULL, "it has ended: no time of it is before ends_at");
		return;
	}
	schedule->next_run_at = schedule->next_tick;
	if (jitter == 0 || schedule->next_tick <= now)
		return;
	if (schedule_next(clock, schedule->next_tick, &following))
		jitter = Min(jitter, following - schedule->next_tick);
	schedule->next_run_at += (int64) (jitter_share(schedule) * jitter);
}
