/*
 * test_oracle.c
 *		Random schedules against naive.c, in UTC, around changes of real zones,
 *		and in made-up zones that are worse than any real one.
 */
#include "pure/cron/cron.h"
#include "harness.h"
#include "naive.h"
#include "tzif.h"
#include "zone_names.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_LIST	400000

static int64_t *wanted;

/*
 * All ticks of a text from .. until: the engine's, forwards and backwards, are
 * those of the naive search; and each is found from the one before and from
 * just before itself.
 */
static bool
check_window(const char *text, const CronSchedule *s, const char *zone_name,
			 const CronZone *zone, int64_t from, int64_t until)
{
	int			n = naive_list(text, zone, from, until, wanted, MAX_LIST);
	int64_t		found = from - 1;
	int			i;

	if (n > MAX_LIST)
		abort();
	for (i = 0; i < n; i++)
		if (!cron_next(s, zone, found, &found) || found != wanted[i])
			return check(false, "%s \"%s\" next: %s instead of %s", zone_name,
						 text, show_time(found), show_time(wanted[i]));
	if (cron_next(s, zone, found, &found) && found < until)
		return check(false, "%s \"%s\" next: %s too", zone_name, text,
					 show_time(found));
	found = until;
	for (i = n - 1; i >= 0; i--)
		if (!cron_previous(s, zone, found, &found) || found != wanted[i])
			return check(false, "%s \"%s\" previous: %s instead of %s",
						 zone_name, text, show_time(found),
						 show_time(wanted[i]));
	if (cron_previous(s, zone, found, &found) && found >= from)
		return check(false, "%s \"%s\" previous: %s too", zone_name, text,
					 show_time(found));

	/* From any instant, not from ticks only */
	for (i = 0; i < 50; i++)
	{
		int64_t		t = from + random_below((uint32_t) (until - from));
		int			low = 0;
		int			high = n;

		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (wanted[middle] <= t)
				low = middle + 1;
			else
				high = middle;
		}
		if (low < n && (!cron_next(s, zone, t, &found) ||
						found != wanted[low]))
			return check(false, "%s \"%s\" after %s: %s", zone_name, text,
						 show_time(t), show_time(found));
		if (low > 0 && (!cron_previous(s, zone, t + 1, &found) ||
						found != wanted[low - 1]))
			return check(false, "%s \"%s\" before %s: %s", zone_name, text,
						 show_time(t + 1), show_time(found));
	}
	return check(true, "ok");
}

/* A random schedule that is taken; what is refused can never fire */
static void
random_parsed(char *text, size_t size, CronSchedule *s, bool rare)
{
	CronError	err;

	for (;;)
	{
		random_schedule(text, size, rare);
		if (cron_parse(text, s, &err))
			return;
		if (err.message[9] != 'c')	/* "schedule can never fire" */
			check(false, "\"%s\" is refused: %s", text, err.message);
	}
}

static void
test_utc(void)
{
	char		text[512];
	CronSchedule s;
	int			i;

	for (i = 0; i < 1500; i++)
	{
		int64_t		from = parse_time("1890-01-01") +
			(int64_t) random_below(250 * 366) * 86400 + random_below(86400);

		random_parsed(text, sizeof(text), &s, false);
		check_window(text, &s, "UTC", NULL, from, from + 2 * 86400);
	}
}

/* By days, over years: all that can be in the three fields of the date */
static void
test_days(void)
{
	char		text[512];
	int			i;

	for (i = 0; i < 1000; i++)
	{
		CronSchedule s;
		NaiveTime	time;
		int64_t		t = parse_time("1890-01-01") +
			(int64_t) random_below(250 * 366) * 86400;
		int64_t		end = t + 9 * 366 * INT64_C(86400);
		int64_t		found = t - 1;
		int64_t		back;
		int64_t		last = 0;
		bool		ok = true;

		random_parsed(text, sizeof(text), &s, true);
		s.seconds = s.minutes = s.hours = 1;
		for (time = naive_time(t); t < end && ok; t += 86400)
		{
			if (naive_matches_date(text, &time))
			{
				ok = cron_next(&s, NULL, found, &found) && found == t;
				if (ok && last != 0)
					ok = cron_previous(&s, NULL, t, &back) && back == last;
				last = t;
			}
			time.hour = 23;
			time.minute = time.second = 59;
			naive_tick(&time);
		}
		check(ok, "\"%s\" near %s: %s", text, show_time(t), show_time(found));
	}
}

/* Those that are refused because they never fire: no day of 400 years has it */
static void
test_never(void)
{
	static const char *const fields[] = {"30 2", "31 4", "31 2,4,6,9,11",
	"L-29 2", "L-30 4,6,9,11", "31W 6", "30,31 feb"};
	size_t		i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
	{
		char		text[64];
		NaiveTime	time = naive_time(parse_time("2000-01-01"));
		CronSchedule s;
		bool		found = false;

		snprintf(text, sizeof(text), "0 0 %s *", fields[i]);
		for (; time.year < 2400 && !found; naive_tick(&time))
		{
			found = naive_matches_date(text, &time);
			time.hour = 23;
			time.minute = time.second = 59;
		}
		check(!found && !cron_parse(text, &s, NULL), "\"%s\"", text);
	}
}

/* Around each change of each zone in some decades */
static void
test_real_zones(void)
{
	char		text[512];
	CronSchedule s;
	int			i;
	int			j;

	for (i = 0; i < n_zone_names; i++)
	{
		TzFile	   *tz = tz_load(zone_names[i]);

		if (!check(tz != NULL, "no zone %s", zone_names[i]))
			continue;
		for (j = 0; j < 60; j++)
		{
			int64_t		t;

			if (tz->n == 0)
				t = (int64_t) random_below(INT32_MAX);
			else if (j % 10 == 0 && tz->footer.has_dst)
				t = parse_time("2090-03-01") + (int64_t)
					random_below(366) * 86400;
			else
				t = tz->at[random_below((uint32_t) tz->n)];
			t += (int64_t) random_below(7200) - 3600;
			random_parsed(text, sizeof(text), &s, false);
			check_window(text, &s, zone_names[i], &tz->zone, t - 86400,
						 t + 86400);
		}
		tz_free(tz);
	}
}

/* A handful of changes within days, of up to 26 hours */
static void
test_made_up_zones(void)
{
	char		text[512];
	CronSchedule s;
	int			i;

	for (i = 0; i < 1500; i++)
	{
		int64_t		at[8];
		int32_t		offset[8];
		int32_t		size = random_below(2) == 0 ? 7200 : 93600;
		int64_t		t = INT64_C(1700000000) + random_below(100000000);
		int			n = 1 + (int) random_below(8);
		int64_t		begin = t;
		TzFile	   *tz;
		int			j;

		for (j = 0; j < n; j++)
		{
			t += 1 + (int64_t) random_below(random_below(2) == 0 ? 4000 :
											40000);
			at[j] = t;
			offset[j] = (int32_t) random_below((uint32_t) (2 * size)) - size;
			if (random_below(2) == 0)
				offset[j] = offset[j] / 1800 * 1800;
		}
		tz = tz_make(3600, n, at, offset);
		random_parsed(text, sizeof(text), &s, false);
		check_window(text, &s, "made up", &tz->zone, begin - 3600,
					 t + 2 * 86400);
		tz_free(tz);
	}
}

/* next and previous undo each other, wherever one begins */
static void
test_inverse(void)
{
	char		text[512];
	CronSchedule s;
	TzFile	   *zones[32];
	int			i;

	for (i = 0; i < n_zone_names; i++)
		zones[i] = tz_load(zone_names[i]);
	for (i = 0; i < 200000; i++)
	{
		int			z = (int) random_below((uint32_t) n_zone_names);
		const CronZone *zone = &zones[z]->zone;
		int64_t		t = (int64_t) random_below(UINT32_MAX) * 73 -
			INT64_C(62000000000);
		int64_t		next;
		int64_t		back;

		random_parsed(text, sizeof(text), &s, i % 2 == 0);
		if (i % 10 == 0)
		{
			s.interval = 1 + random_below(100000000);
			zone = NULL;
		}
		if (!cron_next(&s, zone, t, &next))
		{
			/* none up to year 9999: rare ones, near the end */
			if (t < CRON_MAX_TIME - INT64_C(400) * 366 * 86400)
				check(false, "%s \"%s\" after %s: none", zone_names[z], text,
					  show_time(t));
			continue;
		}
		if (next <= t ||
			(cron_previous(&s, zone, next, &back) && back > t) ||
			!cron_previous(&s, zone, next + 1, &back) || back != next)
			check(false, "%s \"%s\" after %s: %s, back %s", zone_names[z],
				  text, show_time(t), show_time(next), show_time(back));
		if (cron_previous(&s, zone, t, &back) &&
			(back >= t || !cron_next(&s, zone, back - 1, &next) ||
			 next != back))
			check(false, "%s \"%s\" before %s: %s, on %s", zone_names[z],
				  text, show_time(t), show_time(back), show_time(next));
	}
	check(true, "ok");
	for (i = 0; i < n_zone_names; i++)
		tz_free(zones[i]);
}

void
test_oracle(void)
{
	wanted = malloc(sizeof(int64_t) * MAX_LIST);
	test_utc();
	test_days();
	test_never();
	test_real_zones();
	test_made_up_zones();
	test_inverse();
	free(wanted);
}
