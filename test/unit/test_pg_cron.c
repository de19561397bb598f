/*
 * test_pg_cron.c
 *		How pg_cron reads schedules.
 *
 * The table was made by hand and compared with the parsers of pg_cron 1.4.2,
 * 1.5.2, 1.6.4 and 1.6.7.
 */
#include "pure/cron/cron.h"
#include "harness.h"
#include "pure/pg_cron/pg_cron_schedule.h"

#include <stdio.h>
#include <string.h>

/* What each of them runs, in our words */
#define NEVER		"never"
#define UNREADABLE	"unreadable"
#define REBOOT		"reboot"

static const struct
{
	const char *text;
	const char *until_1_5;		/* 1.5 has intervals, too */
	const char *from_1_6;		/* NULL: the same */
	const char *meant;			/* NULL: nobody knows */
}			facts[] =
{
	/* the same */
	{"0 8 * * 1", "0 8 * * 1", NULL, "0 8 * * 1"},
	{"*/5 8-17 * jan-mar Mon-FRI", "*/5 8-17 * jan-mar Mon-FRI", NULL, "*/5 8-17 * jan-mar Mon-FRI"},
	{"0 0 13 * 5", "0 0 13 * 5", NULL, "0 0 13 * 5"},
	{"0 0 */2 * 1", "0 0 */2 * 1", NULL, "0 0 */2 * 1"},
	{"0 12 * * 0-7", "0 12 * * 0-7", NULL, "0 12 * * 0-7"},
	{"0 12 * * 7", "0 12 * * 7", NULL, "0 12 * * 7"},
	{"0 0 * * */7", "0 0 * * */7", NULL, "0 0 * * */7"},
	{"007 0 * * *", "007 0 * * *", NULL, "007 0 * * *"},
	{"@hourly", "@hourly", NULL, "@hourly"},
	{"@weekly", "@weekly", NULL, "@weekly"},
	/* months of 1.6 begin at 1, and the first one at 0 */
	{"@yearly", "@yearly", NEVER, "@yearly"},
	{"@annually", "@annually", NEVER, "@annually"},
	/* what follows */
	{"0 0 8 * * 1", "0 0 8 * *", NULL, "0 0 8 * * 1"},
	{"*/5 * * * * *", "*/5 * * * *", NULL, "*/5 * * * * *"},
	{"0 0 1 1 * 2024", "0 0 1 1 *", NULL, NULL},
	{"@daily 8", "@daily", NULL, NULL},
	/* what follows a value */
	{"0 9 * * 5#3", "0 9 * * 5", NULL, "0 9 * * 5#3"},
	{"0 9 * * 1;3", "0 9 * * 1", NULL, NULL},
	{"5-10-15 * * * *", "5-10 * * * *", NULL, NULL},
	{"*5 * * * *", "* * * * *", NULL, NULL},
	{"1.5 * * * *", "1 * * * *", NULL, NULL},
	{"*/5/2 * * * *", "*/5 * * * *", NULL, NULL},
	/* ranges that go down */
	{"0 8 * * fri-mon", NEVER, NULL, "0 8 * * fri-mon"},
	{"0 12 * * sat-sun", NEVER, NULL, "0 12 * * sat-sun"},
	{"0 0 * * 5-1", NEVER, NULL, "0 0 * * 5-1"},
	{"0 0 * * 7-2", NEVER, NULL, "0 0 * * 7-2"},
	{"0 22-6 * * *", NEVER, "0 22-6 * * *", "0 22-6 * * *"},
	{"0 20-10 * * *", NEVER, "0 8-10,20-23 * * *", "0 20-10 * * *"},
	{"0 6-2 * * *", NEVER, NULL, "0 6-2 * * *"},
	{"0 22-6/2 * * *", NEVER, NULL, "0 22-6/2 * * *"},
	{"0 3,22-6 * * *", "0 3 * * *", "0 3,22-6 * * *", "0 3,22-6 * * *"},
	{"58-2 * * * *", NEVER, "58-2 * * * *", "58-2 * * * *"},
	{"0 0 1 nov-feb *", NEVER, "0 0 1 nov-feb *", "0 0 1 nov-feb *"},
	{"0 0 20-10 * *", NEVER, "0 0 9,10,20-24 * *", "0 0 20-10 * *"},
	/* one empty field of days, and the other counts */
	{"0 0 6-2 * 5", "0 0 * * 5", NULL, "0 0 6-2 * 5"},
	{"0 0 6 * 5-1", "0 0 6 * *", NULL, "0 0 6 * 5-1"},
	/* steps */
	{"*/90 * * * *", "*/60 * * * *", NULL, "every 90 minutes"},
	{"*/2,5 * */2,7 * 1", "*/2,5 * */2,7 * 1", NULL, "*/2,5 * */2,7 * 1"},
	{"0 0-23/30 * * *", "0 0 * * *", NULL, NULL},
	{"1/2 * * * *", UNREADABLE, NULL, "1/2 * * * *"},
	{"*/0 * * * *", UNREADABLE, NULL, NULL},
	/* not for pg_cron */
	{"0 0 L * *", UNREADABLE, NULL, "0 0 L * *"},
	{"0 0 15W * *", UNREADABLE, NULL, "0 0 15W * *"},
	{"0 0 * * 5L", UNREADABLE, NULL, "0 0 * * 5L"},
	{"0 0 ? * 5", UNREADABLE, NULL, "0 0 ? * 5"},
	{"@Daily", UNREADABLE, NULL, "@Daily"},
	{"0 0 * * monday", UNREADABLE, NULL, NULL},
	{"0 0 * *", UNREADABLE, NULL, NULL},
	{"60 * * * *", UNREADABLE, NULL, NULL},
	{"0 24 * * *", UNREADABLE, NULL, NULL},
	{"0, * * * *", UNREADABLE, NULL, NULL},
	{"0 0\n* * *", UNREADABLE, NULL, NULL},
	{"", UNREADABLE, NULL, NULL},
	/* never by the calendar */
	{"0 0 30 2 *", NEVER, NULL, NULL},
	/* the last day */
	{"0 0 $ * *", UNREADABLE, "0 0 L * *", "0 0 L * *"},
	{"0 0 $ * 1", UNREADABLE, "0 0 L * 1", "0 0 L * 1"},
	{"0 0 $,5 * *", UNREADABLE, NULL, NULL},
	/* comments and lines */
	{"# each day\n0 0 * * *", "0 0 * * *", NULL, "0 0 * * *"},
	{"  0 0 * * *\r\n", "0 0 * * *", NULL, "0 0 * * *"},
	{"0 0 * * *\n0 8 * * *", "0 0 * * *", NULL, "0 0 * * *"},
	{"# nothing", UNREADABLE, NULL, NULL},
	/* of the server's start */
	{"@reboot", REBOOT, NULL, NULL},
	{"@restart", REBOOT, NULL, NULL},
};

static const struct
{
	const char *text;
	int			seconds;		/* 0: no interval */
}			intervals[] =
{
	{"30 seconds", 30},
	{" 1 second", 1},
	{"59 SECONDS  ", 59},
	{"5seconds", 5},
	{"+5 seconds", 5},
	{"60 seconds", 0},
	{"0 seconds", 0},
	{"30 second ", 0},
	{"30 seconds x", 0},
	{"30 sec", 0},
	{"-5 seconds", 0},
	{"4294967301 seconds", 5},
	{"seconds", 0},
};

static const char *
reading(const char *text, const PgCronRules *rules, char *buf)
{
	PgCronSchedule p;

	if (!pg_cron_parse(text, rules, &p))
		return UNREADABLE;
	if (p.reboot)
		return REBOOT;
	return pg_cron_write(text, &p, rules, buf) ? buf : NEVER;
}

static void
test_facts(void)
{
	char		buf[PG_CRON_TEXT];
	size_t		i;
	int			minor;

	for (i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
	{
		for (minor = 4; minor <= 6; minor++)
		{
			PgCronRules rules = {minor, false};
			const char *expected = minor >= 6 && facts[i].from_1_6 != NULL ?
				facts[i].from_1_6 : facts[i].until_1_5;
			const char *found = reading(facts[i].text, &rules, buf);

			check(strcmp(found, expected) == 0, "\"%s\" in pg_cron 1.%d: \"%s\", expected \"%s\"",
				  facts[i].text, minor, found, expected);
		}
		if (facts[i].meant == NULL)
			check(!pg_cron_meant(facts[i].text, buf), "\"%s\" is taken to mean \"%s\"",
				  facts[i].text, buf);
		else
			check(pg_cron_meant(facts[i].text, buf) && strcmp(buf, facts[i].meant) == 0,
				  "\"%s\" is taken to mean \"%s\", expected \"%s\"", facts[i].text, buf,
				  facts[i].meant);
	}
}

static void
test_intervals(void)
{
	PgCronRules rules_4 = {4, false};
	PgCronRules rules_5 = {5, false};
	PgCronSchedule p;
	size_t		i;

	for (i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++)
	{
		check(!pg_cron_parse(intervals[i].text, &rules_4, &p), "\"%s\" in 1.4", intervals[i].text);
		check(pg_cron_parse(intervals[i].text, &rules_5, &p) == (intervals[i].seconds > 0) &&
			  p.interval == intervals[i].seconds, "\"%s\" in 1.5: %d", intervals[i].text, p.interval);
	}
}

/* cron.match_dom_and_dow */
static void
test_both_days(void)
{
	static const char *const texts[][2] = {
		{"0 0 13 * *", "0 0 13 * *"},
		{"0 0 1-7 * 1", "0 0 */31,2-7 * 1"},
		{"0 0 13 * 0,5", "0 0 13 * */5"},
		{"0 0 13 * 0-6", "0 0 13 * *"},
		{"0 0 2-8 * 1", NEVER},	/* we have no words for it */
	};
	PgCronRules rules = {6, true};
	char		buf[PG_CRON_TEXT];
	size_t		i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check(strcmp(reading(texts[i][0], &rules, buf), texts[i][1]) == 0,
			  "\"%s\" with both days: \"%s\"", texts[i][0], reading(texts[i][0], &rules, buf));
}

/* ------------------------------------------------------------------------
 * Random texts: what is written fires when pg_cron does
 * ------------------------------------------------------------------------ */

static void
random_value(char *buf, int field)
{
	static const int bounds[][2] = {{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}};
	static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

	if (field == 4 && random_below(3) == 0)
		strcat(buf, names[random_below(7)]);
	else
		sprintf(buf + strlen(buf), "%d", bounds[field][0] +
				(int) random_below((uint32_t) (bounds[field][1] - bounds[field][0] + 1)));
}

static void
random_field(char *buf, int field)
{
	static const char *const ends[] = {"#3", ";1", ".", "-", "-3", "/", "x"};
	int			items = 1 + (int) random_below(3) / 2;

	if (field > 0)
		strcat(buf, " ");
	if (field == 2 && random_below(20) == 0)
	{
		strcat(buf, "$");
		return;
	}
	for (; items > 0; items--)
	{
		uint32_t	kind = random_below(6);

		if (kind < 2)
			strcat(buf, "*");
		else
			random_value(buf, field);
		if (kind > 3)
		{
			strcat(buf, "-");
			random_value(buf, field);
		}
		if (kind != 2 && kind != 3 && random_below(4) == 0)
			sprintf(buf + strlen(buf), "/%d", 1 + (int) random_below(random_below(4) == 0 ? 70 : 8));
		if (random_below(20) == 0)
			strcat(buf, ends[random_below(sizeof(ends) / sizeof(ends[0]))]);
		if (items > 1)
			strcat(buf, ",");
	}
}

/* The next minute of pg_cron after t, in the next n days; -1: there is none */
static int64_t
slow_next(const PgCronSchedule *p, const PgCronRules *rules, int64_t t, int days)
{
	int64_t		end = t + (int64_t) days * 86400;

	for (t += 60; t < end; t += 60)
	{
		if (pg_cron_matches(p, rules, t))
			return t;
	}
	return -1;
}

static void
compare_ticks(const char *text, const PgCronSchedule *p, const PgCronRules *rules,
			  const char *written)
{
	CronSchedule c;
	int64_t		t = parse_time("2024-01-01 00:00:00") + 60 * (int64_t) random_below(1500000);
	int			i;

	if (!check(cron_parse(written, &c, NULL), "\"%s\" of \"%s\"", written, text))
		return;
	for (i = 0; i < 5; i++)
	{
		int64_t		theirs = slow_next(p, rules, t, 40);
		int64_t		ours;

		if (!check(cron_next(&c, NULL, t, &ours), "\"%s\" never fires", written))
			return;
		if (theirs < 0)
		{
			check(pg_cron_matches(p, rules, ours) && ours >= t + 40 * 86400,
				  "\"%s\" as \"%s\" fires at %s", text, written, show_time(ours));
			t = ours;
		}
		else if (!check(ours == theirs, "\"%s\" as \"%s\" fires at %s, pg_cron at %s",
						text, written, show_time(ours), show_time(theirs)))
			return;
		else
			t = theirs;
	}
}

/* Nothing was written: neither is it run */
static void
compare_never(const char *text, const PgCronSchedule *p, const PgCronRules *rules)
{
	int64_t		day = parse_time("2096-01-01 00:00:00");
	int			minute = 0;
	int			hour = 0;
	int			i;

	while (minute < 59 && (p->minutes >> minute & 1) == 0)
		minute++;
	while (hour < 23 && (p->hours >> hour & 1) == 0)
		hour++;
	for (i = 0; i < 366 * 10; i++, day += 86400)
	{
		if (pg_cron_matches(p, rules, day + hour * 3600 + minute * 60))
			break;
	}
	check(i == 366 * 10, "\"%s\" is run at %s", text, show_time(day + hour * 3600 + minute * 60));
}

static void
test_random(void)
{
	int			written = 0;
	int			never = 0;
	int			i;

	random_seed(20261124);
	for (i = 0; i < 4000; i++)
	{
		PgCronRules rules = {4 + (int) random_below(3), random_below(10) == 0};
		char		text[400] = "";
		char		buf[PG_CRON_TEXT];
		PgCronSchedule p;
		int			field;

		for (field = 0; field < PG_CRON_FIELDS; field++)
			random_field(text, field);
		if (!pg_cron_parse(text, &rules, &p))
			continue;
		if (pg_cron_write(text, &p, &rules, buf))
		{
			written++;
			compare_ticks(text, &p, &rules, buf);
		}
		else if (!rules.both_days)
		{
			never++;
			compare_never(text, &p, &rules);
		}
	}
	check(written > 500 && never > 50, "%d texts were written, %d never run", written, never);
}

void
test_pg_cron(void)
{
	test_facts();
	test_intervals();
	test_both_days();
	test_random();
}
