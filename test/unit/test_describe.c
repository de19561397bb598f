/*
 * test_describe.c
 *		Schedules in English.
 */
#include "pure/cron/cron.h"
#include "harness.h"
#include "naive.h"

#include <string.h>

static const struct
{
	const char *text;
	const char *description;
}			vectors[] =
{
	/* times of the day */
	{"0 8 * * 1", "At 08:00, only on Monday"},
	{"0 8 * * *", "At 08:00, every day"},
	{"30 6,18 * * *", "At 06:30 and 18:30, every day"},
	{"0,30 8,17 * * *", "At 08:00, 08:30, 17:00 and 17:30, every day"},
	{"15 0 8 * * *", "At 08:00:15, every day"},
	{"0 0 8 * * *", "At 08:00, every day"},
	{"* * * * *", "Every minute"},
	{"*/5 * * * *", "Every 5 minutes"},
	{"0,30 * * * *", "Every 30 minutes"},
	{"5 * * * *", "At minute 5 of every hour"},
	{"5,20 * * * *", "At minutes 5 and 20 of every hour"},
	{"0 * * * *", "Every hour"},
	{"0 */2 * * *", "Every 2 hours from midnight"},
	{"*/5 8-17 * * *", "Every 5 minutes from 08:00 to 17:55"},
	{"*/5 8-12,14-17 * * *", "Every 5 minutes in hours 8 to 12 and 14 to 17"},
	{"*/7 * * * *", "At minutes 0, 7 and so on to 56 of every hour"},
	{"* * * * * *", "Every second"},
	{"*/10 * * * * *", "Every 10 seconds"},
	{"30 * * * * *", "At second 30 of every minute"},
	{"* 5 * * * *", "Every second in minute 5 of every hour"},
	/* days */
	{"0 0 1 * *", "At 00:00, on day 1 of the month"},
	{"0 0 1,15 * *", "At 00:00, on days 1 and 15 of the month"},
	{"0 0 */2 * *", "At 00:00, on every 2nd day from day 1 of the month"},
	{"0 0 L * *", "At 00:00, on the last day of the month"},
	{"0 0 L-3 * *", "At 00:00, on the day 3 days before the last day of the month"},
	{"0 0 LW * *", "At 00:00, on the last weekday (Monday to Friday) of the month"},
	{"0 0 15W * *", "At 00:00, on the weekday (Monday to Friday) nearest day 15 of the month"},
	{"0 0 * * 1-5", "At 00:00, only on Monday to Friday"},
	{"0 0 * * 0,6", "At 00:00, only on Saturday and Sunday"},
	{"0 0 * * fri-mon", "At 00:00, only on Friday to Monday"},
	{"0 0 * * 5L", "At 00:00, on the last Friday of the month"},
	{"0 0 * * 6#3", "At 00:00, on the third Saturday of the month"},
	/* both */
	{"0 0 13 * 5", "At 00:00, on day 13 of the month or on Friday"},
	{"0 0 */2 * 1", "At 00:00, on every 2nd day from day 1 of the month, but only if it is Monday"},
	/* months */
	{"0 0 1 1 *", "At 00:00, on day 1 of the month, in January"},
	{"0 0 1 1,7 *", "At 00:00, on day 1 of the month, in January and July"},
	{"0 0 * jun-aug *", "At 00:00, every day in June to August"},
	{"0 0 * nov-feb mon", "At 00:00, only on Monday, in November to February"},
	/* ranges that wrap around, where what they join is not left out */
	{"*/5 22-6 * * *", "Every 5 minutes from 22:00 to 06:55"},
	{"* 22-6 * * *", "Every minute from 22:00 to 06:59"},
	{"0 22-6 * * *", "At minute 0 of hours 22 to 6"},
	{"0 12,22-6 * * *", "At minute 0 of hours 12 and 22 to 6"},
	{"*/5 22-6 * * 1", "Every 5 minutes in hours 0 to 6, 22 and 23, only on Monday"},
	{"*/5 22-6 * 6 *", "Every 5 minutes in hours 0 to 6, 22 and 23, in June"},
	{"0 23-1 * * *", "At 00:00, 01:00 and 23:00, every day"},
	{"50-10 * * * *", "At minutes 50 to 10 of every hour"},
	{"50-10 8-20 * * *", "At minutes 0 to 10 and 50 to 59 of hours 8 to 20"},
	{"50-10 * * * * *", "At seconds 50 to 10 of every minute"},
	{"50-10 8 * * * *", "At seconds 0 to 10 and 50 to 59 of minute 8 of every hour"},
	{"0 0 25-5 * *", "At 00:00, on days 25 to 5 of the month"},
	{"0 0 25-5 1 *", "At 00:00, on days 1 to 5 and 25 to 31 of the month, in January"},
	{"0 0 31-1 * *", "At 00:00, on days 1 and 31 of the month"},
	{"0 0 * * 6-2", "At 00:00, only on Saturday to Tuesday"},
	{"0 0 * * 3,6-1", "At 00:00, only on Wednesday and Saturday to Monday"},
	{"0 0 * * 7-2", "At 00:00, only on Sunday to Tuesday"},
	{"0 0 1 10-4/3 *", "At 00:00, on day 1 of the month, in January, April and October"},
	/* names, intervals */
	{"@yearly", "At 00:00, on day 1 of the month, in January"},
	{"@monthly", "At 00:00, on day 1 of the month"},
	{"@weekly", "At 00:00, only on Sunday"},
	{"@hourly", "Every hour"},
	{"every 90 seconds", "Every 90 seconds"},
	{"every minute", "Every minute"},
	{"every 2 hours", "Every 2 hours"},
	{"every 1 hour 30 minutes", "Every 90 minutes"},
	{"every day", "Every day at 00:00 UTC"},
	{"every 2 days", "Every 2 days at 00:00 UTC"},
	{"every week", "Every week on Monday at 00:00 UTC"},
};

void
test_describe(void)
{
	CronSchedule s;
	char		buf[CRON_DESCRIPTION_MAX];
	char		text[512];
	size_t		i;
	int			longest = 0;

	for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
	{
		CronError	err;

		if (!check(cron_parse(vectors[i].text, &s, &err), "\"%s\": %s",
				   vectors[i].text, err.message))
			continue;
		cron_describe(&s, buf, sizeof(buf));
		check(strcmp(buf, vectors[i].description) == 0, "\"%s\": \"%s\"",
			  vectors[i].text, buf);
	}

	/* Cut off as snprintf() does */
	check(cron_parse("0 8 * * 1", &s, NULL), "parse");
	memset(buf, 'x', sizeof(buf));
	check(cron_describe(&s, buf, 9) == 24 && memcmp(buf, "At 08:00\0x", 10) == 0,
		  "cut off");
	check(cron_describe(&s, NULL, 0) == 24, "length only");

	/* Room enough for all */
	for (i = 0; i < 100000; i++)
	{
		int			length;

		random_schedule(text, sizeof(text), false);
		if (!cron_parse(text, &s, NULL))
			continue;
		length = cron_describe(&s, buf, sizeof(buf));
		if (length > longest)
			longest = length;
		if (length != (int) strlen(buf) || strstr(buf, "  ") != NULL ||
			strstr(buf, ", ,") != NULL || strstr(buf, " ,") != NULL)
			check(false, "\"%s\": \"%s\"", text, buf);
	}
	memset(&s, 0x55, sizeof(s));
	s.interval = 0;
	s.days_star = s.weekdays_star = s.minutes_star = s.hours_star = true;
	s.seconds = s.minutes = UINT64_C(0x555555555555555);
	s.hours = 0x555555;
	s.days = s.near_days = 0xaaaaaaaa;
	s.last_days = s.near_last_days = 0x7fffffff;
	s.near_days = 0xfffffffe;
	s.months = 0xaaa;
	s.weekdays = s.last_weekdays = 0x55;
	memset(s.nth_weekdays, 0x7f, 5);
	longest = cron_describe(&s, NULL, 0);
	check(longest < CRON_DESCRIPTION_MAX, "the longest description has %d "
		  "bytes", longest);
}
