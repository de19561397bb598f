/*
 * bench.c
 *		How long parse, next, previous and describe take.
 *
 * Each line of the table is one schedule in one zone.  next is measured as it
 * is used: from tick to tick, and from random instants of 30 years ("cold",
 * which also looks up the zone anew).  The fastest of five runs counts.
 */
#define _GNU_SOURCE
#include "pure/cron/cron.h"
#include "tzif.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS		200000
#define RUNS		5

static int64_t instants[4096];
static volatile int64_t sink;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

typedef enum Work
{
	PARSE,
	WALK,
	COLD,
	BACK,
	DESCRIBE
} Work;

static double
run(Work work, const char *text, const CronZone *zone)
{
	CronSchedule s;
	char		buf[CRON_DESCRIPTION_MAX];
	double		start;
	int64_t		t = instants[0];
	int			i;

	if (!cron_parse(text, &s, NULL))
		abort();
	start = now();
	for (i = 0; i < ROUNDS; i++)
	{
		int64_t		from = instants[i % 4096];

		switch (work)
		{
			case PARSE:
				cron_parse(text, &s, NULL);
				sink = (int64_t) s.minutes;
				break;
			case WALK:
				if (!cron_next(&s, zone, t, &t))
					t = instants[0];
				break;
			case COLD:
				cron_next(&s, zone, from, &t);
				sink = t;
				break;
			case BACK:
				cron_previous(&s, zone, from, &t);
				sink = t;
				break;
			case DESCRIBE:
				sink = cron_describe(&s, buf, sizeof(buf));
				break;
		}
	}
	return (now() - start) / ROUNDS;
}

static double
best(Work work, const char *text, const CronZone *zone)
{
	double		fastest = 1e18;
	int			i;

	for (i = 0; i < RUNS; i++)
	{
		double		t = run(work, text, zone);

		if (t < fastest)
			fastest = t;
	}
	return fastest;
}

int
main(void)
{
	static const char *const schedules[] = {
		"* * * * *", "*/5 * * * *", "0 8 * * 1", "30 2 * * *",
		"0 0 1,15 * 1-5", "*/10 * * * * *", "0 0 L * *", "0 0 LW * *",
		"0 0 * * 5#3", "0 0 1 1 *", "0 0 29 2 *", "0 0 * 2 1#5",
		"every 90 seconds"
	};
	static const char *const zones[] = {"UTC", "America/New_York"};
	size_t		i;
	size_t		j;

	srandom(1);
	for (i = 0; i < 4096; i++)
		instants[i] = INT64_C(1704067200) + random() % (30 * 31556952);
	printf("nanoseconds for each call\n\n");
	printf("%-18s %-17s %6s %6s %6s %6s %8s\n", "schedule", "zone", "parse",
		   "next", "cold", "prev", "describe");
	for (j = 0; j < 2; j++)
	{
		TzFile	   *tz = tz_load(zones[j]);
		const CronZone *zone = j == 0 ? NULL : &tz->zone;

		for (i = 0; i < sizeof(schedules) / sizeof(schedules[0]); i++)
			printf("%-18s %-17s %6.0f %6.0f %6.0f %6.0f %8.0f\n",
				   schedules[i], zones[j], best(PARSE, schedules[i], zone),
				   best(WALK, schedules[i], zone),
				   best(COLD, schedules[i], zone),
				   best(BACK, schedules[i], zone),
				   best(DESCRIBE, schedules[i], zone));
	}
	return 0;
}
