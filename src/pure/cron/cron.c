/*
 * cron.c
 *		When a schedule fires: next and previous.
 *
 * Two floors.  Below, "local seconds": a calendar without zone, where a
 * schedule is a set of seconds (next_local, previous_local).  A month is a
 * mask of its days, so that rare schedules cost a few nanoseconds a month.
 * Above, instants: the zone cuts time into spans with a constant offset.
 *
 * There are two kinds of schedules, as in cron(8):
 *
 * Wildcard schedules, whose minute or hour begins with *, fire at each instant
 * whose local time matches.
 *
 * The others have fixed times.  Those follow the highest local time that the
 * wall clock has shown so far, the "high water": a schedule fires when the high
 * water reaches or jumps over one or more of its times.  So what falls into a
 * gap runs once, at the first instant after the gap, and what an overlap
 * repeats runs the first time only.  This holds for any change of offset: daylight
 * saving, a new standard time, a day left out at the date line.
 *
 * Length: next and previous are mirror images of each other on both floors, and
 * are changed together.
 */
#include "pure/cron/cron.h"

#include <string.h>

#define DAY_SECONDS		86400

/* No offset is that large, no two offsets are that far apart */
#define MAX_OFFSET		(INT64_C(8) * DAY_SECONDS)
#define MAX_SPREAD		(INT64_C(16) * DAY_SECONDS)

/* Local years that are searched: wider by one than those of instants */
#define MIN_YEAR		0
#define MAX_YEAR		10000

/* A date of the Gregorian calendar, which we extend to all times */
typedef struct Date
{
	int			year;
	int			month;			/* from 1 */
	int			day;			/* from 1 */
} Date;

/* A stretch of time with one offset */
typedef struct Span
{
	int32_t		offset;
	int64_t		from;
	int64_t		until;
} Span;

static inline int
lowest_bit(uint64_t mask)
{
	return __builtin_ctzll(mask);
}

static inline int
highest_bit(uint64_t mask)
{
	return 63 - __builtin_clzll(mask);
}

/* The bits from n up; those up to n.  n is 0 to 62 */
static inline uint64_t
from_bit(uint64_t mask, int n)
{
	return mask & ~((UINT64_C(1) << n) - 1);
}

static inline uint64_t
up_to_bit(uint64_t mask, int n)
{
	return mask & ((UINT64_C(2) << n) - 1);
}

/* ------------------------------------------------------------------------
 * Calendar
 * ------------------------------------------------------------------------ */

/*
 * Days since 1970-01-01.  The year is taken to begin in March, so that the
 * leap day is its last, and shifted by whole 400 years to be positive.
 */
static inline int64_t
day_number(int year, int month, int day)
{
	uint32_t	y = (uint32_t) (year + 400 - (month <= 2));
	uint32_t	m = (uint32_t) (month > 2 ? month - 3 : month + 9);
	uint32_t	days = 365 * y + y / 4 - y / 100 + y / 400 +
		(153 * m + 2) / 5 + (uint32_t) day - 1;

	return (int64_t) days - 719468 - 146097;
}

/* Its inverse, for the years that day_number() can take */
static inline Date
date_of(int64_t number)
{
	uint32_t	n = (uint32_t) (number + 719468 + 146097);
	uint32_t	era = n / 146097;
	uint32_t	doe = n % 146097;
	uint32_t	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint32_t	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint32_t	m = (5 * doy + 2) / 153;
	Date		date;

	date.day = (int) (doy - (153 * m + 2) / 5) + 1;
	date.month = (int) (m < 10 ? m + 3 : m - 9);
	date.year = (int) (yoe + era * 400) - 400 + (date.month <= 2);
	return date;
}

static inline int
month_length(int year, int month)
{
	if (month != 2)
		return 30 + ((month + (month >> 3)) & 1);
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
}

/* The weekday, Monday to Friday, of the same month that is nearest to a day */
static int
nearest_weekday(int day, int length, int first_weekday)
{
	int			weekday = (first_weekday + day - 1) % 7;

	if (weekday == 6)
		return day > 1 ? day - 1 : day + 2;
	if (weekday == 0)
		return day < length ? day + 1 : day - 2;
	return day;
}

/* Days that the day-of-month field gives in such a month, as bits 1 to 31 */
static uint64_t
days_of_month(const CronSchedule *s, int length, int first_weekday)
{
	uint64_t	days = s->days;
	uint64_t	mask;

	for (mask = s->last_days; mask != 0; mask &= mask - 1)
		if (lowest_bit(mask) < length)
			days |= UINT64_C(1) << (length - lowest_bit(mask));
	for (mask = s->near_days; mask != 0; mask &= mask - 1)
		if (lowest_bit(mask) <= length)
			days |= UINT64_C(1) << nearest_weekday(lowest_bit(mask), length,
												   first_weekday);
	for (mask = s->near_last_days; mask != 0; mask &= mask - 1)
		if (lowest_bit(mask) < length)
			days |= UINT64_C(1) << nearest_weekday(length - lowest_bit(mask),
												   length, first_weekday);
	return days;
}

/* A set of weekdays, turned so that bit 0 is the weekday of the first */
static inline uint64_t
turn_weekdays(unsigned weekdays, int first_weekday)
{
	return ((weekdays | weekdays << 7) >> first_weekday) & 0x7f;
}

/* The same for the day-of-week field */
static uint64_t
days_of_week(const CronSchedule *s, int length, int first_weekday)
{
	/* A week, multiplied into five */
	const uint64_t five_weeks = UINT64_C(0x10204081);
	uint64_t	days;
	int			n;

	days = turn_weekdays(s->weekdays, first_weekday) * five_weeks << 1;
	for (n = 0; n < 5; n++)
		if (s->nth_weekdays[n] != 0)
			days |= turn_weekdays(s->nth_weekdays[n],
								  first_weekday) << (1 + 7 * n);
	if (s->last_weekdays != 0)
		days |= from_bit(turn_weekdays(s->last_weekdays,
									   first_weekday) * five_weeks << 1,
						 length - 6);
	return days;
}

/* Days of that month on which the schedule fires, as bits 1 to 31 */
static uint64_t
matching_days(const CronSchedule *s, int year, int month)
{
	int			length = month_length(year, month);
	int			first_weekday;
	uint64_t	days;

	if ((s->months >> month & 1) == 0)
		return 0;

	/* 1970-01-01 was a Thursday; whole weeks make all numbers positive */
	first_weekday = (int) ((uint32_t) (day_number(year, month, 1) + 4 +
									   7 * 140000) % 7);
	days = days_of_month(s, length, first_weekday);
	if (s->days_star || s->weekdays_star)
		days &= days_of_week(s, length, first_weekday);
	else
		days |= days_of_week(s, length, first_weekday);
	return up_to_bit(days, length);
}

/* ------------------------------------------------------------------------
 * Local seconds
 * ------------------------------------------------------------------------ */

/* Second of the day of the first (last) time */
static inline int
first_time(const CronSchedule *s)
{
	return lowest_bit(s->hours) * 3600 + lowest_bit(s->minutes) * 60 +
		lowest_bit(s->seconds);
}

static inline int
last_time(const CronSchedule *s)
{
	return highest_bit(s->hours) * 3600 + highest_bit(s->minutes) * 60 +
		highest_bit(s->seconds);
}

/* The first time of the day from "time" on; -1: none */
static int
next_time(const CronSchedule *s, int time)
{
	int			hour = time / 3600;
	int			minute = time / 60 % 60;
	uint64_t	seconds = from_bit(s->seconds, time % 60);
	uint64_t	minutes;
	uint64_t	hours;

	if ((s->hours >> hour & 1) != 0)
	{
		if ((s->minutes >> minute & 1) != 0 && seconds != 0)
			return hour * 3600 + minute * 60 + lowest_bit(seconds);
		minutes = from_bit(s->minutes, minute + 1);
		if (minutes != 0)
			return hour * 3600 + lowest_bit(minutes) * 60 +
				lowest_bit(s->seconds);
	}
	hours = from_bit(s->hours, hour + 1);
	if (hours == 0)
		return -1;
	return lowest_bit(hours) * 3600 + lowest_bit(s->minutes) * 60 +
		lowest_bit(s->seconds);
}

/* The last time of the day up to "time"; -1: none */
static int
previous_time(const CronSchedule *s, int time)
{
	int			hour = time / 3600;
	int			minute = time / 60 % 60;
	uint64_t	seconds = up_to_bit(s->seconds, time % 60);
	uint64_t	minutes;
	uint64_t	hours;

	if ((s->hours >> hour & 1) != 0)
	{
		if ((s->minutes >> minute & 1) != 0 && seconds != 0)
			return hour * 3600 + minute * 60 + highest_bit(seconds);
		minutes = minute > 0 ? up_to_bit(s->minutes, minute - 1) : 0;
		if (minutes != 0)
			return hour * 3600 + highest_bit(minutes) * 60 +
				highest_bit(s->seconds);
	}
	hours = hour > 0 ? up_to_bit(s->hours, hour - 1) : 0;
	if (hours == 0)
		return -1;
	return highest_bit(hours) * 3600 + highest_bit(s->minutes) * 60 +
		highest_bit(s->seconds);
}

/* Split local seconds into a day number and the second of the day */
static inline int64_t
split_local(int64_t local, int *time)
{
	/* Positive before the division: whole days since long before year 0 */
	uint64_t	shifted = (uint64_t) (local + INT64_C(800000) * DAY_SECONDS);

	*time = (int) (shifted % DAY_SECONDS);
	return (int64_t) (shifted / DAY_SECONDS) - 800000;
}

bool
cron_next_local(const CronSchedule *schedule, int64_t local, int64_t *result)
{
	int			time;
	int64_t		number = split_local(local, &time);
	Date		date = date_of(number);
	uint64_t	days = matching_days(schedule, date.year, date.month);

	if ((days >> date.day & 1) != 0)
	{
		time = next_time(schedule, time);
		if (time >= 0)
		{
			*result = number * DAY_SECONDS + time;
			return true;
		}
	}

	/* Not that day any more: the first time of the next matching one */
	days = from_bit(days, date.day + 1);
	while (days == 0)
	{
		uint32_t	months = (uint32_t) from_bit(schedule->months,
												 date.month + 1);

		if (months == 0)
		{
			if (++date.year > MAX_YEAR)
				return false;
			months = schedule->months;
		}
		date.month = lowest_bit(months);
		days = matching_days(schedule, date.year, date.month);
	}
	*result = day_number(date.year, date.month, lowest_bit(days)) *
		DAY_SECONDS + first_time(schedule);
	return true;
}

/* The last local second up to "local" that the fields match */
static bool
previous_local(const CronSchedule *schedule, int64_t local, int64_t *result)
{
	int			time;
	int64_t		number = split_local(local, &time);
	Date		date = date_of(number);
	uint64_t	days = matching_days(schedule, date.year, date.month);

	if ((days >> date.day & 1) != 0)
	{
		time = previous_time(schedule, time);
		if (time >= 0)
		{
			*result = number * DAY_SECONDS + time;
			return true;
		}
	}

	days = up_to_bit(days, date.day - 1);
	while (days == 0)
	{
		uint32_t	months = (uint32_t) up_to_bit(schedule->months,
												  date.month - 1);

		if (months == 0)
		{
			if (--date.year < MIN_YEAR)
				return false;
			months = schedule->months;
		}
		date.month = highest_bit(months);
		days = matching_days(schedule, date.year, date.month);
	}
	*result = day_number(date.year, date.month, highest_bit(days)) *
		DAY_SECONDS + last_time(schedule);
	return true;
}

/* ------------------------------------------------------------------------
 * Instants
 * ------------------------------------------------------------------------ */

static inline Span
span_at(const CronZone *zone, int64_t t)
{
	Span		span;

	if (zone == NULL)
	{
		span.offset = 0;
		span.from = INT64_MIN;
		span.until = INT64_MAX;
	}
	else
		zone->lookup(zone->arg, t, &span.offset, &span.from, &span.until);
	return span;
}

/*
 * One more than the highest local time that was shown before an instant at
 * which a span begins.  INT64_MIN: nothing was.
 */
static int64_t
high_water(const CronZone *zone, int64_t from)
{
	int64_t		high = INT64_MIN;

	/* Nearly always one round: spans are longer than offsets are large */
	while (from > CRON_MIN_TIME && from + MAX_OFFSET > high)
	{
		Span		earlier = span_at(zone, from - 1);

		if (from + earlier.offset > high)
			high = from + earlier.offset;
		from = earlier.from;
	}
	return high;
}

/* Check whether the schedule simply matches the clock on the wall */
static inline bool
is_wildcard(const CronSchedule *schedule)
{
	return schedule->minutes_star || schedule->hours_star;
}

/* Where the search for the next goes on, when "local" is not in the span */
static inline int64_t
skip_forward(const Span *span, int64_t t, int64_t local, bool wildcard)
{
	/*
	 * Nothing fires before the clock can show "local".  But a wall clock that
	 * is set back soon may show times again that lie before t.
	 */
	if (wildcard && span->until - t < MAX_SPREAD)
		return span->until;
	return local - MAX_OFFSET > span->until ? local - MAX_OFFSET : span->until;
}

static inline int64_t
skip_back(const Span *span, int64_t t, int64_t local, bool wildcard)
{
	if (wildcard && t - span->from < MAX_SPREAD)
		return span->from - 1;
	return local + MAX_OFFSET < span->from ? local + MAX_OFFSET : span->from - 1;
}

static bool
next_of_fields(const CronSchedule *schedule, const CronZone *zone, int64_t t,
			   int64_t *result)
{
	bool		wildcard = is_wildcard(schedule);

	while (t <= CRON_MAX_TIME)
	{
		Span		span = span_at(zone, t);
		int64_t		local = t + span.offset;
		int64_t		instant;

		if (!wildcard && span.from > CRON_MIN_TIME &&
			t - span.from < MAX_SPREAD)
		{
			int64_t		high = high_water(zone, span.from);

			/* The first instant answers for what was jumped over */
			if (t == span.from || high > local)
				local = high;
		}
		if (!cron_next_local(schedule, local, &local))
			return false;
		instant = local - span.offset;
		if (instant < t)
			instant = t;		/* it was in the gap */
		if (instant < span.until)
		{
			*result = instant;
			return instant <= CRON_MAX_TIME;
		}
		t = skip_forward(&span, t, local, wildcard);
	}
	return false;
}

static bool
previous_of_fields(const CronSchedule *schedule, const CronZone *zone,
				   int64_t t, int64_t *result)
{
	bool		wildcard = is_wildcard(schedule);

	while (t >= CRON_MIN_TIME)
	{
		Span		span = span_at(zone, t);
		bool		limited = span.from > CRON_MIN_TIME;
		int64_t		local = t + span.offset;
		int64_t		instant;

		if (wildcard || !limited)
		{
			if (!previous_local(schedule, local, &local))
				return false;
			instant = local - span.offset;
			if (!limited || instant >= span.from)
			{
				*result = instant;
				return instant >= CRON_MIN_TIME;
			}
		}
		else
		{
			int64_t		high = high_water(zone, span.from);

			/* While below the high water nothing fires: look below that */
			if (!previous_local(schedule, local < high ? high - 1 : local,
								&local))
				return false;
			if (local >= high)
			{
				instant = local - span.offset;
				*result = instant > span.from ? instant : span.from;
				return true;
			}
		}
		t = skip_back(&span, t, local, wildcard);
	}
	return false;
}

/* The last tick of "every <interval>" up to t, which may lie before year 1 */
static inline int64_t
interval_floor(int64_t interval, int64_t t)
{
	int64_t		rest = (t - CRON_ANCHOR) % interval;

	return t - rest - (rest < 0 ? interval : 0);
}

bool
cron_next(const CronSchedule *schedule, const CronZone *zone, int64_t after,
		  int64_t *result)
{
	if (after >= CRON_MAX_TIME)
		return false;
	if (after < CRON_MIN_TIME)
		after = CRON_MIN_TIME - 1;
	if (schedule->interval > 0)
	{
		*result = interval_floor(schedule->interval, after) +
			schedule->interval;
		return *result <= CRON_MAX_TIME;
	}
	return next_of_fields(schedule, zone, after + 1, result);
}

bool
cron_previous(const CronSchedule *schedule, const CronZone *zone,
			  int64_t before, int64_t *result)
{
	if (before <= CRON_MIN_TIME)
		return false;
	if (before > CRON_MAX_TIME)
		before = CRON_MAX_TIME + 1;
	if (schedule->interval > 0)
	{
		*result = interval_floor(schedule->interval, before - 1);
		return *result >= CRON_MIN_TIME;
	}
	return previous_of_fields(schedule, zone, before - 1, result);
}
