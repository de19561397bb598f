/*
 * test_zones.c
 *		Gaps and overlaps of local time, in zones where they are awkward.
 *
 * Instants are given in UTC.  What is expected was worked out by hand from the
 * rules in pure/cron/cron.c and the tz database, not from the engine.
 */
#include "pure/cron/cron.h"
#include "harness.h"
#include "tzif.h"

#include <stddef.h>

#define MAX_TICKS	8

/* A schedule in a zone, and all instants at which it fires from .. until */
static const struct
{
	const char *zone;
	const char *text;
	const char *from;
	const char *until;
	const char *ticks[MAX_TICKS];	/* ends with NULL */
}			vectors[] =
{
	/* New York 2024-03-10: 02:00 EST is 03:00 EDT, 07:00 UTC */
	{"America/New_York", "30 2 * * *", "2024-03-09", "2024-03-12",
	{"2024-03-09 07:30", "2024-03-10 07:00", "2024-03-11 06:30"}},
	{"America/New_York", "0 2 * * *", "2024-03-10", "2024-03-11",
	{"2024-03-10 07:00"}},
	{"America/New_York", "0,15,30 2 * * *", "2024-03-10", "2024-03-11",
	{"2024-03-10 07:00"}},		/* once for all three */
	{"America/New_York", "30 2,3 * * *", "2024-03-10", "2024-03-11",
	{"2024-03-10 07:00", "2024-03-10 07:30"}},
	{"America/New_York", "0 2,3 * * *", "2024-03-10", "2024-03-11",
	{"2024-03-10 07:00"}},		/* both fall on the same instant */
	{"America/New_York", "59 1 * * *", "2024-03-10", "2024-03-11",
	{"2024-03-10 06:59"}},
	{"America/New_York", "30 2 10 3 *", "2024-01-01", "2025-01-01",
	{"2024-03-10 07:00"}},		/* the only one of the year is not lost */
	{"America/New_York", "59 59 2 * * *", "2024-03-10", "2024-03-11",
	{"2024-03-10 07:00"}},
	/* with * for the hour or the minute: as the clock shows it */
	{"America/New_York", "30 * * * *", "2024-03-10 05:45", "2024-03-10 08:45",
	{"2024-03-10 06:30", "2024-03-10 07:30", "2024-03-10 08:30"}},
	{"America/New_York", "* 2 * * *", "2024-03-10", "2024-03-11", {NULL}},
	{"America/New_York", "0 */2 * * *", "2024-03-10 04:00", "2024-03-10 11:00",
	{"2024-03-10 05:00", "2024-03-10 08:00", "2024-03-10 10:00"}},
	/* New York 2024-11-03: 02:00 EDT is 01:00 EST, 06:00 UTC */
	{"America/New_York", "30 1 * * *", "2024-11-03", "2024-11-04",
	{"2024-11-03 05:30"}},
	{"America/New_York", "0 1 * * *", "2024-11-03", "2024-11-04",
	{"2024-11-03 05:00"}},
	{"America/New_York", "0 2 * * *", "2024-11-03", "2024-11-04",
	{"2024-11-03 07:00"}},
	{"America/New_York", "0,30 1-2 * * *", "2024-11-03", "2024-11-04",
	{"2024-11-03 05:00", "2024-11-03 05:30", "2024-11-03 07:00",
	"2024-11-03 07:30"}},
	{"America/New_York", "30 * * * *", "2024-11-03 04:45", "2024-11-03 07:45",
	{"2024-11-03 05:30", "2024-11-03 06:30", "2024-11-03 07:30"}},
	{"America/New_York", "*/30 1 * * *", "2024-11-03", "2024-11-04",
	{"2024-11-03 05:00", "2024-11-03 05:30", "2024-11-03 06:00",
	"2024-11-03 06:30"}},
	{"America/New_York", "59 59 1 * * *", "2024-11-03", "2024-11-04",
	{"2024-11-03 05:59:59"}},
	/* "every" knows no zone */
	{"America/New_York", "every 6 hours", "2024-03-10", "2024-03-11",
	{"2024-03-10 00:00", "2024-03-10 06:00", "2024-03-10 12:00",
	"2024-03-10 18:00"}},

	/* London 2024-03-31 01:00 UTC and 2024-10-27 01:00 UTC */
	{"Europe/London", "30 1 * * *", "2024-03-31", "2024-04-01 12:00",
	{"2024-03-31 01:00", "2024-04-01 00:30"}},
	{"Europe/London", "30 1 * * *", "2024-10-27", "2024-10-28",
	{"2024-10-27 00:30"}},
	/* double summer time of 1941: 2 hours ahead */
	{"Europe/London", "0 12 * * *", "1941-07-01", "1941-07-02",
	{"1941-07-01 10:00"}},

	/* Lord Howe 2024-10-06 02:00 +10:30 is 02:30 +11, 15:30 UTC the day before */
	{"Australia/Lord_Howe", "15 2 * * *", "2024-10-05 12:00", "2024-10-07 00:00",
	{"2024-10-05 15:30", "2024-10-06 15:15"}},
	{"Australia/Lord_Howe", "30 2 * * *", "2024-10-05 12:00", "2024-10-06 12:00",
	{"2024-10-05 15:30"}},
	{"Australia/Lord_Howe", "45 2 * * *", "2024-10-05 12:00", "2024-10-06 12:00",
	{"2024-10-05 15:45"}},
	{"Australia/Lord_Howe", "*/15 2 * * *", "2024-10-05 12:00", "2024-10-06 12:00",
	{"2024-10-05 15:30", "2024-10-05 15:45"}},
	/* and 2025-04-06 02:00 +11 is 01:30 +10:30, 15:00 UTC the day before */
	{"Australia/Lord_Howe", "45 1 * * *", "2025-04-05 12:00", "2025-04-06 12:00",
	{"2025-04-05 14:45"}},
	{"Australia/Lord_Howe", "30 1 * * *", "2025-04-05 12:00", "2025-04-06 12:00",
	{"2025-04-05 14:30"}},
	{"Australia/Lord_Howe", "15 1 * * *", "2025-04-05 12:00", "2025-04-06 12:00",
	{"2025-04-05 14:15"}},
	{"Australia/Lord_Howe", "0 2 * * *", "2025-04-05 12:00", "2025-04-06 12:00",
	{"2025-04-05 15:30"}},
	{"Australia/Lord_Howe", "*/15 1 * * *", "2025-04-05 14:15", "2025-04-06 12:00",
	{"2025-04-05 14:15", "2025-04-05 14:30", "2025-04-05 14:45",
	"2025-04-05 15:00", "2025-04-05 15:15"}},

	/* São Paulo 2018-11-04: midnight is 01:00, 03:00 UTC */
	{"America/Sao_Paulo", "0 0 * * *", "2018-11-03", "2018-11-06",
	{"2018-11-03 03:00", "2018-11-04 03:00", "2018-11-05 02:00"}},
	{"America/Sao_Paulo", "30 0 4 11 *", "2018-01-01", "2019-01-01",
	{"2018-11-04 03:00"}},
	{"America/Sao_Paulo", "59 23 * * *", "2018-11-03 12:00", "2018-11-05",
	{"2018-11-04 02:59"}},
	{"America/Sao_Paulo", "@daily", "2018-11-04", "2018-11-05",
	{"2018-11-04 03:00"}},
	/* and 2018-02-18: midnight is 23:00 the day before, 02:00 UTC */
	{"America/Sao_Paulo", "30 23 * * *", "2018-02-17 12:00", "2018-02-19 00:00",
	{"2018-02-18 01:30"}},
	{"America/Sao_Paulo", "0 0 * * *", "2018-02-17 12:00", "2018-02-19 00:00",
	{"2018-02-18 03:00"}},

	/* Cairo 2023-04-28, a Friday: midnight is 01:00, 22:00 UTC the day before */
	{"Africa/Cairo", "0 0 * * 5", "2023-04-27", "2023-05-01",
	{"2023-04-27 22:00"}},
	{"Africa/Cairo", "30 0 28 4 *", "2023-01-01", "2024-01-01",
	{"2023-04-27 22:00"}},

	/* Havana 2024-03-10: midnight is 01:00; 2024-11-03: 01:00 is midnight */
	{"America/Havana", "0 0 * * *", "2024-03-10", "2024-03-11",
	{"2024-03-10 05:00"}},
	{"America/Havana", "0 0 * * *", "2024-11-03", "2024-11-04",
	{"2024-11-03 04:00"}},
	{"America/Havana", "0 0-1 * * *", "2024-11-03", "2024-11-04",
	{"2024-11-03 04:00", "2024-11-03 06:00"}},

	/* Santiago, southern: 2024-09-08 midnight is 01:00, 04:00 UTC */
	{"America/Santiago", "15 0 * * *", "2024-09-08", "2024-09-09",
	{"2024-09-08 04:00"}},
	/* 2024-04-07 midnight is 23:00 the day before, 03:00 UTC */
	{"America/Santiago", "15 23 * * *", "2024-04-06 12:00", "2024-04-07 12:00",
	{"2024-04-07 02:15"}},

	/* Apia has no 2011-12-30: after 29th 23:59:59 -10 comes the 31st, +14 */
	{"Pacific/Apia", "0 12 * * *", "2011-12-29 12:00", "2012-01-01 12:00",
	{"2011-12-29 22:00", "2011-12-30 10:00", "2011-12-30 22:00",
	"2011-12-31 22:00"}},
	{"Pacific/Apia", "0 8 30 12 *", "2011-01-01", "2012-06-01",
	{"2011-12-30 10:00"}},
	{"Pacific/Apia", "0 * 30 12 *", "2011-01-01", "2012-06-01", {NULL}},
	{"Pacific/Apia", "0 0 30,31 12 *", "2011-01-01", "2012-06-01",
	{"2011-12-30 10:00"}},

	/* Kwajalein has no 1993-08-21 */
	{"Pacific/Kwajalein", "0 0 21 8 *", "1993-01-01", "1994-01-01",
	{"1993-08-21 12:00"}},

	/* Troll: two hours, 2024-03-31 01:00 UTC is 03:00 */
	{"Antarctica/Troll", "30 1,2 * * *", "2024-03-31", "2024-04-01",
	{"2024-03-31 01:00", "2024-03-31 23:30"}},
	{"Antarctica/Troll", "30 1,2 * * *", "2024-10-26 20:00", "2024-10-27 12:00",
	{"2024-10-26 23:30", "2024-10-27 00:30"}},

	/* Pyongyang: half an hour back for good, 2015-08-15, and on, 2018-05-05 */
	{"Asia/Pyongyang", "45 23 * * *", "2015-08-14 12:00", "2015-08-15 12:00",
	{"2015-08-14 14:45"}},
	{"Asia/Pyongyang", "45 23 * * *", "2018-05-04 12:00", "2018-05-05 12:00",
	{"2018-05-04 15:00"}},

	/* Troll of rules that end: Tehran has no daylight saving after 2022 */
	{"Asia/Tehran", "0 8 22 3 *", "2022-01-01", "2024-12-01",
	{"2022-03-22 03:30", "2023-03-22 04:30", "2024-03-22 04:30"}},

	/* far in the future, where only the rule's footer speaks */
	{"America/New_York", "30 2 * * 0#2", "2500-03-01", "2500-04-01",
	{"2500-03-14 07:00"}},
	{"America/New_York", "0 12 31 12 *", "9999-06-01", "9999-12-31 23:59:59",
	{"9999-12-31 17:00"}},
	{"America/New_York", "0 20 31 12 *", "9999-06-01", "9999-12-31 23:59:59",
	{NULL}},					/* it is year 10000 in UTC */
	{"Australia/Lord_Howe", "0 0 1 1 *", "9998-06-01", "9999-12-31 23:59:59",
	{"9998-12-31 13:00", "9999-12-31 13:00"}},
	/* and in the past, when towns had their own time: 4:56:02 */
	{"America/New_York", "0 12 1 1 *", "1800-01-01", "1801-01-01",
	{"1800-01-01 16:56:02"}},
	{"Asia/Kolkata", "30 5 * * *", "2024-05-05", "2024-05-06",
	{"2024-05-05 00:00"}},
};

/*
 * Ticks found one by one, forwards and backwards, are those that are wanted
 */
static void
check_vector(size_t i)
{
	TzFile	   *tz = tz_load(vectors[i].zone);
	int64_t		from = parse_time(vectors[i].from);
	int64_t		until = parse_time(vectors[i].until);
	int64_t		found = from - 1;
	CronSchedule s;
	int			n;

	if (!check(tz != NULL, "no zone %s", vectors[i].zone) ||
		!check(cron_parse(vectors[i].text, &s, NULL), "parse"))
		return;
	for (n = 0; n < MAX_TICKS && vectors[i].ticks[n] != NULL; n++)
		check(cron_next(&s, &tz->zone, found, &found) &&
			  found == parse_time(vectors[i].ticks[n]),
			  "%s \"%s\": %s instead of %s", vectors[i].zone, vectors[i].text,
			  show_time(found), vectors[i].ticks[n]);
	check(!cron_next(&s, &tz->zone, found, &found) || found >= until,
		  "%s \"%s\": %s too", vectors[i].zone, vectors[i].text,
		  show_time(found));
	found = until;
	while (--n >= 0)
		check(cron_previous(&s, &tz->zone, found, &found) &&
			  found == parse_time(vectors[i].ticks[n]),
			  "%s \"%s\" back: %s instead of %s", vectors[i].zone,
			  vectors[i].text, show_time(found), vectors[i].ticks[n]);
	check(!cron_previous(&s, &tz->zone, found, &found) || found < from,
		  "%s \"%s\" back: %s too", vectors[i].zone, vectors[i].text,
		  show_time(found));
	tz_free(tz);
}

/* A zone that shows more than the engine asks for: no limit on either side */
static void
test_limits(void)
{
	static const char *const names[] = {"America/New_York", "Pacific/Apia",
	"Etc/GMT-14", "Australia/Lord_Howe"};
	size_t		i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		TzFile	   *tz = tz_load(names[i]);
		CronSchedule s;
		int64_t		found = 0;

		check(tz != NULL && cron_parse("* * * * * *", &s, NULL), "%s",
			  names[i]);
		check(cron_next(&s, &tz->zone, INT64_MIN, &found) &&
			  found == CRON_MIN_TIME, "%s: first %s", names[i],
			  show_time(found));
		check(cron_previous(&s, &tz->zone, INT64_MAX, &found) &&
			  found == CRON_MAX_TIME, "%s: last %s", names[i],
			  show_time(found));
		check(cron_parse("0 0 29 2 *", &s, NULL), "parse");
		check(cron_next(&s, &tz->zone, INT64_MIN, &found), "%s", names[i]);
		check(!cron_previous(&s, &tz->zone, found, &found), "%s: one before",
			  names[i]);
		check(cron_previous(&s, &tz->zone, INT64_MAX, &found), "%s", names[i]);
		check(!cron_next(&s, &tz->zone, found, &found), "%s: one after",
			  names[i]);
		tz_free(tz);
	}
}

void
test_zones(void)
{
	size_t		i;

	for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		check_vector(i);
	test_limits();
}
