/*
 * cron.h
 *		The cron engine: parse, next, previous, describe.  Pure: no server, no
 *		allocation, no global state.  Zone rules are passed in.
 *
 * A schedule is one of
 *		five fields as in cron(8), or six with seconds in front;
 *		@yearly @annually @monthly @weekly @daily @midnight @hourly;
 *		every <interval>, for example "every 90 seconds".
 *
 * For the fields, and extensions of cron(8), see pure/cron/parse.c.  For gaps
 * and overlaps of local time see pure/cron/cron.c.
 */
#ifndef CRON_H
#define CRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Instants are seconds since 1970-01-01 00:00 UTC, from year 1 to year 9999 */
#define CRON_MIN_TIME	INT64_C(-62135596800)
#define CRON_MAX_TIME	INT64_C(253402300799)

/*
 * "every <interval>" fires at the instants that are a whole number of
 * intervals away from Monday, 1970-01-05 00:00 UTC, whatever the zone.  So it
 * never drifts, days begin at midnight UTC and weeks on Monday.
 */
#define CRON_ANCHOR		INT64_C(345600)

/* Longest schedule text, and longest interval in seconds (some 100 years) */
#define CRON_TEXT_MAX		1000
#define CRON_INTERVAL_MAX	(INT64_C(36525) * 86400)

/* Room that is enough for cron_describe() whatever the schedule */
#define CRON_DESCRIPTION_MAX	8192

/* An error in a text, and where; both strings are ASCII */
typedef struct CronError
{
	int			position;		/* byte offset, from 0 */
	int			length;			/* bytes; 0 when something is missing there */
	char		message[192];	/* lower case, no full stop */
	char		hint[256];		/* a sentence: what would be allowed */
} CronError;

/*
 * A parsed schedule.  No pointers: copy it as you like.  Two texts with the
 * same meaning may differ in the *_star members only.
 */
typedef struct CronSchedule
{
	int64_t		interval;		/* > 0: "every", in seconds; the rest is 0 */
	uint64_t	seconds;		/* bits 0 to 59 */
	uint64_t	minutes;		/* bits 0 to 59 */
	uint32_t	hours;			/* bits 0 to 23 */
	uint32_t	days;			/* bits 1 to 31: days of the month */
	uint32_t	last_days;		/* bit n: n days before the last, "L-n" */
	uint32_t	near_days;		/* bit n: the weekday nearest to n, "nW" */
	uint32_t	near_last_days; /* bit n: the same for "L-nW"; 0 is "LW" */
	uint16_t	months;			/* bits 1 to 12 */
	uint8_t		weekdays;		/* bits 0 (Sunday) to 6 */
	uint8_t		last_weekdays;	/* bit w: the last one of the month, "wL" */
	uint8_t		nth_weekdays[5];	/* [n - 1] bit w: the n-th, "w#n" */
	bool		minutes_star;	/* the field began with * */
	bool		hours_star;
	bool		days_star;
	bool		weekdays_star;
} CronSchedule;

/*
 * A time zone: the offset in seconds east of UTC that is in force at the
 * instant t, and the half-open interval around t in which no other is.
 * INT64_MIN and INT64_MAX stand for no limit; the interval may be shorter
 * than it could be (neighbours with the same offset), never empty.  Offsets
 * are less than eight days.
 */
typedef struct CronZone
{
	void	   *arg;
	void		(*lookup) (void *arg, int64_t t, int32_t *offset,
						   int64_t *from, int64_t *until);
} CronZone;

/*
 * Parse a text.  false: *err (may be NULL) says why, *out is undefined.  A
 * schedule that can never fire is an error.
 */
extern bool cron_parse(const char *text, CronSchedule *out, CronError *err);

/*
 * The first instant after "after" (the last before "before") at which the
 * schedule fires in the zone; NULL is UTC.  false: there is none from year 1
 * to year 9999.
 */
extern bool cron_next(const CronSchedule *schedule, const CronZone *zone,
					  int64_t after, int64_t *result);
extern bool cron_previous(const CronSchedule *schedule, const CronZone *zone,
						  int64_t before, int64_t *result);

/*
 * Describe in English, without the zone.  Returns the length of the whole text
 * as snprintf() does; what does not fit is cut off.
 */
extern int	cron_describe(const CronSchedule *schedule, char *buf, size_t size);

/*
 * The first local second, counted as if local time were UTC, from "local" on
 * that the fields match; false: none before year 10001.  For pure/cron/cron.c and
 * pure/cron/parse.c; not meant for "every".
 */
extern bool cron_next_local(const CronSchedule *schedule, int64_t local,
							int64_t *result);

#endif							/* CRON_H */
