/*
 * test_parse.c
 *		The grammar: what is taken, what is refused, and where an error points.
 */
#include "pure/cron/cron.h"
#include "harness.h"

#include <stdio.h>
#include <string.h>

/* Two texts that mean the same */
static const struct
{
	const char *text;
	const char *same;
}			same[] =
{
	/* blanks and cases */
	{"  0\t8  * * MON ", "0 8 * * 1"},
	{"0 8 * JAN-mAr Sun", "0 8 * 1-3 0"},
	{"0 0 l * 5l", "0 0 L * 5L"},
	{"0 0 lw,15w,l-3W * *", "0 0 15W,LW,L-3w * *"},
	{"@DAILY", "0 0 * * *"},
	/* six fields */
	{"0 */5 * * * *", "*/5 * * * *"},
	{"0 0 0 1 1 *", "@yearly"},
	/* names of schedules */
	{"@annually", "0 0 1 1 *"},
	{"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"},
	{"@midnight", "@daily"},
	{"@hourly", "0 * * * *"},
	{" @hourly ", "@hourly"},
	/* lists and ranges */
	{"0,0,0 1,2,3 * * *", "0 1-3 * * *"},
	{"5-5 * * * *", "5 * * * *"},
	{"00 08 01 01 *", "0 8 1 1 *"},
	{"0 0 * * 1-5,0", "0 0 * * sun,mon-fri"},
	{"0-59 * * * *", "0-29,30-59 * * * *"},
	/* steps */
	{"*/15 * * * *", "0,15,30,45 * * * *"},
	{"5/15 * * * *", "5,20,35,50 * * * *"},
	{"5-50/15 * * * *", "5,20,35,50 * * * *"},
	{"0 0 1/10 * 1", "0 0 1,11,21,31 * 1"},
	{"0 0 1 */5 0", "0 0 1 1,6,11 0"},
	{"0 0 1 2/5 0", "0 0 1 feb,jul,dec 0"},
	{"*/60 * * * *", "0 * * * *"},
	{"0 0 1 1 1/2", "0 0 1 1 1,3,5"},
	/* Sunday at both ends */
	{"0 0 1 * 7", "0 0 1 * 0"},
	{"0 0 1 * 5-7", "0 0 1 * 5,6,0"},
	{"0 0 1 * 0-7", "0 0 1 * 0-6"},
	{"0 0 1 * 1-7/2", "0 0 1 * 1,3,5,7"},
	{"0 0 1 * 7/3", "0 0 1 * 0,3,6"},
	{"0 0 1 * 7L", "0 0 1 * 0L"},
	{"0 0 1 * 7#2", "0 0 1 * sun#2"},
	{"0 0 1 * fri-sun", "0 0 1 * 5-7"},
	{"0 0 1 * 5-sun", "0 0 1 * 5-7"},
	{"0 0 1 * sun-tue", "0 0 1 * 0-2"},
	{"0 0 1 * sun-sun", "0 0 1 * 0"},
	/* ranges that wrap around */
	{"50-10 * * * *", "0-10,50-59 * * * *"},
	{"50-10/5 * * * *", "0,5,10,50,55 * * * *"},
	{"0 22-6 * * *", "0 0-6,22,23 * * *"},
	{"0 22-6/2 * * *", "0 0,2,4,6,22 * * *"},
	{"0 21-6/4 * * *", "0 1,5,21 * * *"},
	{"0 1-0 * * *", "0 0-23 * * *"},
	{"0 23-0 * * *", "0 0,23 * * *"},
	{"50-10 0 0 1 * 1", "0-10,50-59 0 0 1 * 1"},
	{"0 0 25-5 * 1", "0 0 1-5,25-31 * 1"},
	{"0 0 31-1 * 1", "0 0 1,31 * 1"},
	{"0 0 29-3/2 * 1", "0 0 2,29,31 * 1"},
	{"0 0 1 11-2 0", "0 0 1 1,2,11,12 0"},
	{"0 0 1 nov-2 0", "0 0 1 1,2,11,12 0"},
	{"0 0 1 11-feb/2 0", "0 0 1 1,11 0"},
	{"0 0 1 * 5-1", "0 0 1 * 0,1,5,6"},
	{"0 0 1 * 7-2", "0 0 1 * 0-2"},
	{"0 0 1 * 7-0", "0 0 1 * 0"},
	{"0 0 1 * 6-0", "0 0 1 * 0,6"},
	{"0 0 1 * 7-6", "0 0 1 * 0-6"},
	{"0 0 1 * 4-2/3", "0 0 1 * 4,0"},
	{"0 0 1 * fri-1", "0 0 1 * 0,1,5,6"},
	{"0 0 1 * fri-mon", "0 0 1 * 5,6,0,1"},
	{"0 0 1 nov-feb 0", "0 0 1 11,12,1,2 0"},
	{"0 0 1 nov-feb/2 0", "0 0 1 11,1 0"},
	{"0 0 1 * sat-fri", "0 0 1 * 0-6"},
	{"0 0 1 * thu-tue/3", "0 0 1 * 4,0"},
	/* ? is * */
	{"0 0 ? * 1", "0 0 * * 1"},
	{"? ? ? ? ?", "* * * * *"},
	{"?/5 * * * *", "*/5 * * * *"},
	/* each on its own */
	{"0 0 1 * friL", "0 0 1 * 5L"},
	{"0 0 1 * sat#3", "0 0 1 * 6#3"},
	{"0 0 1,L * *", "0 0 L,1 * *"},
	/* intervals */
	{"every 60 seconds", "every minute"},
	{"every 90s", "every 1 min 30 sec"},
	{"EVERY 2 Hours", "every 120 minutes"},
	{"every 1h30m", "every 90 minutes"},
	{"every 7 days", "every week"},
	{"every\t1 w 1 d 1 h 1 m 1 s", "every 694861 seconds"},
	{"every 0001 day", "every 24 hrs"},
	{"every 36525 days", "every 36525 d"},
	{"every 1000001 seconds", "every 11 d 13 h 46 m 41 s"},
	{"every 3155760000 seconds", "every 36525 days"},
};

/* What a text is refused with: offset and length of the place, and words */
static const struct
{
	const char *text;
	int			position;
	int			length;
	const char *message;		/* all of it */
	const char *hint;			/* a part of it */
}			wrong[] =
{
	/* the number of fields */
	{"", 0, 0, "schedule is empty", "Five fields"},
	{" \t ", 0, 0, "schedule is empty", "Five fields"},
	{"*", 1, 0, "schedule has 1 field, but needs 5 or 6", "Five fields"},
	{"* * * * ", 7, 0, "schedule has 4 fields, but needs 5 or 6", "Five"},
	{"0 0 0 1 1 * 2024", 12, 4, "schedule has more than 6 fields", "sixth"},
	{"0 0 8 * * 1 *", 12, 1, "schedule has more than 6 fields", "second"},
	/* characters */
	{"0 0 * * 1\n", 9, 1, "schedule contains the byte 0x0a, which is not allowed", "ASCII"},
	{"0 0 * * \xc3\xa9", 8, 2, "schedule contains a character that is not ASCII", "ASCII"},
	{"0 0 * * \xe2\x80\x93" "1", 8, 3, "schedule contains a character that is not ASCII", "ASCII"},
	{"0\xff", 1, 1, "schedule contains the byte 0xff, which is not allowed", "ASCII"},
	{"\x01", 0, 1, "schedule contains the byte 0x01, which is not allowed", "ASCII"},
	/* out of range */
	{"60 * * * *", 0, 2, "\"60\" is out of range for the minute", "0 to 59"},
	{"* 24 * * *", 2, 2, "\"24\" is out of range for the hour", "0 to 23"},
	{"* * 0 * *", 4, 1, "\"0\" is out of range for the day of month", "1 to 31"},
	{"* * 32 * *", 4, 2, "\"32\" is out of range for the day of month", "1 to 31"},
	{"* * * 0 *", 6, 1, "\"0\" is out of range for the month", "1 to 12"},
	{"* * * 13 *", 6, 2, "\"13\" is out of range for the month", "1 to 12"},
	{"* * * * 8", 8, 1, "\"8\" is out of range for the day of week", "0 to 7"},
	{"60 * * * * *", 0, 2, "\"60\" is out of range for the second", "0 to 59"},
	{"1,2,99 * * * *", 4, 2, "\"99\" is out of range for the minute", "0 to 59"},
	{"5-99 * * * *", 2, 2, "\"99\" is out of range for the minute", "0 to 59"},
	{"4294967296 * * * *", 0, 10, "\"4294967296\" is out of range for the minute", "0 to 59"},
	{"0 0 1 1 * 2024", 10, 4, "\"2024\" is out of range for the day of week", "There is no field for years"},
	/* steps */
	{"*/0 * * * *", 2, 1, "step \"0\" is out of range for the minute", "every 90 minutes"},
	{"*/90 * * * *", 2, 2, "step \"90\" is out of range for the minute", "every 90 minutes"},
	{"* */25 * * *", 4, 2, "step \"25\" is out of range for the hour", "1 to 24"},
	{"* * */32 * *", 6, 2, "step \"32\" is out of range for the day of month", "1 to 31"},
	{"* * * */13 *", 8, 2, "step \"13\" is out of range for the month", "1 to 12"},
	{"* * * * */8", 10, 1, "step \"8\" is out of range for the day of week", "1 to 7"},
	{"*/ * * * *", 2, 0, "value expected for the minute", "step"},
	{"*/,5 * * * *", 2, 1, "value expected for the minute", "step"},
	{"*/-5 * * * *", 2, 1, "unexpected \"-\" in the minute", "step"},
	{"*/5/5 * * * *", 3, 1, "unexpected \"/\" after \"*/5\" in the minute", "0 to 59"},
	{"/5 * * * *", 0, 1, "unexpected \"/\" in the minute", "0 to 59"},
	{"* * L/2 * *", 5, 1, "unexpected \"/\" after \"L\" in the day of month", "L (last day)"},
	{"* * * * 5L/2", 10, 1, "unexpected \"/\" after \"5L\" in the day of week", "5L"},
	/* ranges */
	{"1- * * * *", 2, 0, "value expected for the minute", "0 to 59"},
	{"-1 * * * *", 0, 1, "unexpected \"-\" in the minute", "0 to 59"},
	{"1-2-3 * * * *", 3, 1, "unexpected \"-\" after \"1-2\" in the minute", "0 to 59"},
	{"1-* * * * *", 2, 1, "unexpected \"*\" in the minute", "0 to 59"},
	{"*-5 * * * *", 1, 1, "unexpected \"-\" after \"*\" in the minute", "0 to 59"},
	{"*5 * * * *", 1, 1, "unexpected \"5\" after \"*\" in the minute", "0 to 59"},
	{"** * * * *", 1, 1, "unexpected \"*\" after \"*\" in the minute", "0 to 59"},
	{"1~5 * * * *", 1, 1, "unexpected \"~\" after \"1\" in the minute", "0 to 59"},
	{"H * * * *", 0, 1, "unexpected \"H\" in the minute", "0 to 59"},
	/* lists */
	{"1,,2 * * * *", 2, 1, "value expected for the minute", "0 to 59"},
	{"1, 2 * * * *", 2, 0, "value expected for the second", "0 to 59"},
	{", * * * *", 0, 1, "value expected for the minute", "0 to 59"},
	/* names */
	{"0 0 * january *", 9, 4, "unexpected \"uary\" after \"jan\" in the month", "three letters"},
	{"0 0 * * monday", 11, 3, "unexpected \"day\" after \"mon\" in the day of week", "three letters"},
	{"0 0 * mon *", 6, 3, "unexpected \"mon\" in the month", "jan to dec"},
	{"0 0 * * jan", 8, 3, "unexpected \"jan\" in the day of week", "sun to sat"},
	{"0 mon * * *", 2, 3, "unexpected \"mon\" in the hour", "0 to 23"},
	{"0 0 * * mo", 8, 2, "unexpected \"mo\" in the day of week", "sun to sat"},
	{"0 0 jan * *", 4, 3, "unexpected \"jan\" in the day of month", "1 to 31"},
	/* L, W and # */
	{"0 0 L-0 * *", 6, 1, "distance \"0\" is out of range for the day of month", "1 to 30"},
	{"0 0 L-31 * *", 6, 2, "distance \"31\" is out of range for the day of month", "1 to 30"},
	{"0 0 L- * *", 6, 0, "value expected for the day of month", "distance"},
	{"0 0 LL * *", 5, 1, "unexpected \"L\" after \"L\" in the day of month", "L-3"},
	{"0 0 15L * *", 6, 1, "unexpected \"L\" after \"15\" in the day of month", "15W"},
	{"0 0 W * *", 4, 1, "unexpected \"W\" in the day of month", "15W"},
	{"0 0 0W * *", 4, 1, "\"0\" is out of range for the day of month", "15W"},
	{"0 0 1-5W * *", 7, 1, "unexpected \"W\" after \"1-5\" in the day of month", "15W"},
	{"0 0 15WL * *", 7, 1, "unexpected \"L\" after \"15W\" in the day of month", "15W"},
	{"0 0 * * L", 8, 1, "unexpected \"L\" in the day of week", "5L"},
	{"0 0 * L *", 6, 1, "unexpected \"L\" in the month", "jan to dec"},
	{"0 L * * *", 2, 1, "unexpected \"L\" in the hour", "0 to 23"},
	{"0 0 * * 5#0", 10, 1, "number \"0\" is out of range for the day of week", "from 1 to 5"},
	{"0 0 * * 5#6", 10, 1, "number \"6\" is out of range for the day of week", "from 1 to 5"},
	{"0 0 * * 5#", 10, 0, "value expected for the day of week", "from 1 to 5"},
	{"0 0 * * 5#-1", 10, 1, "unexpected \"-\" in the day of week", "6L"},
	{"0 0 * * #2", 8, 1, "unexpected \"#\" in the day of week", "6#3"},
	{"0 0 * * 1-5#2", 11, 1, "unexpected \"#\" after \"1-5\" in the day of week", "6#3"},
	{"0 0 * * 5W", 9, 1, "unexpected \"W\" after \"5\" in the day of week", "5L"},
	/* never */
	{"0 0 30 2 *", 4, 2, "schedule can never fire: no month \"2\" has the day \"30\"", "29"},
	{"0 0 31 4,6,9,11 *", 4, 2, "schedule can never fire: no month \"4,6,9,11\" has the day \"31\"", "30 days"},
	{"0 0 0 30-31 feb *", 6, 5, "schedule can never fire: no month \"feb\" has the day \"30-31\"", "29"},
	{"0 0 31W feb *", 4, 3, "schedule can never fire: no month \"feb\" has the day \"31W\"", "29"},
	{"0 0 L-29 2 *", 4, 4, "schedule can never fire: no month \"2\" has the day \"L-29\"", "29"},
	{"0 0 1-7 * *#2", 11, 1, "unexpected \"#\" after \"*\" in the day of week", "6#3"},
	{"0 0 15W * */6", 10, 3, "schedule can never fire: in no month \"*\" is the day \"15W\" a day of week \"*/6\"", "both"},
	{"0 0 */18 * 5L", 11, 2, "schedule can never fire: in no month \"*\" is the day \"*/18\" a day of week \"5L\"", "both"},
	{"0 0 30 2 */2", 4, 2, "schedule can never fire: no month \"2\" has the day \"30\"", "29"},
	/* @names */
	{"@reboot", 0, 7, "unknown schedule \"@reboot\"", "@hourly"},
	{"@", 0, 1, "unknown schedule \"@\"", "@hourly"},
	{"@day", 0, 4, "unknown schedule \"@day\"", "@hourly"},
	{"@dailyx", 0, 7, "unknown schedule \"@dailyx\"", "@hourly"},
	{"@daily 5", 7, 1, "unexpected \"5\" after \"@daily\"", "@hourly"},
	{"@every 5m", 0, 6, "unknown schedule \"@every\"", "every 90 seconds"},
	/* every */
	{"every", 5, 0, "interval expected after \"every\"", "whole seconds"},
	{"every ", 6, 0, "interval expected after \"every\"", "whole seconds"},
	{"every 5", 7, 0, "unit of time expected", "whole seconds"},
	{"every 0 seconds", 6, 9, "the interval is out of range", "1 second"},
	{"every 36526 days", 6, 10, "the interval is out of range", "36525"},
	{"every 3155760001 seconds", 6, 18, "the interval is out of range", "36525"},
	{"every 99999999999999999999 s", 6, 22, "the interval is out of range", "36525"},
	{"every 99999999999 weeks", 6, 17, "the interval is out of range", "36525"},
	{"every 1.5 hours", 6, 3, "the interval must be a whole number", "smaller unit"},
	{"every month", 6, 5, "an interval cannot be given in \"month\"", "0 0 1 * *"},
	{"every 2 years", 8, 5, "an interval cannot be given in \"years\"", "0 0 1 * *"},
	{"every 500 ms", 10, 2, "an interval cannot be shorter than a second", "one second"},
	{"every -5 minutes", 6, 1, "unexpected \"-\" in the interval", "whole"},
	{"every 5 fortnights", 8, 10, "unexpected \"fortnights\" in the interval", "whole"},
	{"every 30 minutes 1 hour", 19, 4, "unexpected unit \"hour\" in the interval", "Larger units"},
	{"every 1 hour 1 hour", 15, 4, "unexpected unit \"hour\" in the interval", "Larger units"},
	{"every 1 hour minute", 13, 6, "unexpected \"minute\" in the interval", "whole"},
	{"everyday", 8, 0, "schedule has 1 field, but needs 5 or 6", "Five"},
};

/* Schedules that are rare, but fire */
static const char *const rare[] = {
	"0 0 29 2 *", "0 0 29 2 */7", "0 0 31 * *", "0 0 L-30 * *", "0 0 L-28 2 *",
	"0 0 * 2 1#5", "0 0 30 2 1", "0 0 31 2,3 *", "0 0 29W 2 *",
};

static bool
same_schedule(const CronSchedule *a, const CronSchedule *b)
{
	return a->interval == b->interval && a->seconds == b->seconds &&
		a->minutes == b->minutes && a->hours == b->hours &&
		a->days == b->days && a->last_days == b->last_days &&
		a->near_days == b->near_days &&
		a->near_last_days == b->near_last_days && a->months == b->months &&
		a->weekdays == b->weekdays && a->last_weekdays == b->last_weekdays &&
		memcmp(a->nth_weekdays, b->nth_weekdays, 5) == 0;
}

static void
test_same(void)
{
	size_t		i;

	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++)
	{
		CronSchedule a;
		CronSchedule b;
		CronError	err;

		if (check(cron_parse(same[i].text, &a, &err), "\"%s\": %s",
				  same[i].text, err.message) &&
			check(cron_parse(same[i].same, &b, &err), "\"%s\": %s",
				  same[i].same, err.message))
			check(same_schedule(&a, &b), "\"%s\" is not \"%s\"", same[i].text,
				  same[i].same);
	}
}

static void
test_bits(void)
{
	CronSchedule s;

	check(cron_parse("*/15 */23 * * *", &s, NULL) &&
		  s.minutes == (UINT64_C(1) | UINT64_C(1) << 15 | UINT64_C(1) << 30 |
						UINT64_C(1) << 45) &&
		  s.hours == (UINT32_C(1) | UINT32_C(1) << 23), "steps from 0");
	check(cron_parse("*/60 * * * *", &s, NULL) && s.minutes == 1,
		  "*/60 is 0");
	check(cron_parse("0 0 */10 */7 */6", &s, NULL) &&
		  s.days == (UINT32_C(1) << 1 | UINT32_C(1) << 11 |
					 UINT32_C(1) << 21 | UINT32_C(1) << 31) &&
		  s.months == (1 << 1 | 1 << 8) && s.weekdays == (1 | 1 << 6),
		  "steps from 1");
	check(cron_parse("0 0 0 L,L-3,LW,L-5W,7W 3 1L,2#1,2#5", &s, NULL) &&
		  s.days == 0 && s.last_days == (1 | 1 << 3) &&
		  s.near_last_days == (1 | 1 << 5) && s.near_days == 1 << 7 &&
		  s.months == 1 << 3 && s.weekdays == 0 &&
		  s.last_weekdays == 1 << 1 && s.nth_weekdays[0] == 1 << 2 &&
		  s.nth_weekdays[1] == 0 && s.nth_weekdays[4] == 1 << 2,
		  "L, W and #");
	check(cron_parse("*/5 ?/2 */3 * ?", &s, NULL) && s.minutes_star &&
		  s.hours_star && s.days_star && s.weekdays_star, "all begin with *");
	check(cron_parse("0,* 1,* 1,* * 1,*", &s, NULL) && !s.minutes_star &&
		  !s.hours_star && !s.days_star && !s.weekdays_star,
		  "none begins with *");
	check(cron_parse("* 0 0 1 * 1", &s, NULL) && !s.minutes_star &&
		  !s.hours_star, "a * for the seconds is none for the minutes");
	check(cron_parse("every 90 seconds", &s, NULL) && s.interval == 90 &&
		  s.minutes == 0 && s.months == 0, "every");
}

static void
test_wrong(void)
{
	size_t		i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		CronSchedule s;
		CronError	err;

		if (!check(!cron_parse(wrong[i].text, &s, &err), "\"%s\" is taken",
				   wrong[i].text))
			continue;
		check(err.position == wrong[i].position &&
			  err.length == wrong[i].length, "\"%s\": error at %d, %d long",
			  wrong[i].text, err.position, err.length);
		check(strcmp(err.message, wrong[i].message) == 0, "\"%s\": \"%s\"",
			  wrong[i].text, err.message);
		check(strstr(err.hint, wrong[i].hint) != NULL, "\"%s\": hint \"%s\"",
			  wrong[i].text, err.hint);
		check(!cron_parse(wrong[i].text, &s, NULL), "\"%s\" without error",
			  wrong[i].text);
	}
}

static void
test_rare(void)
{
	size_t		i;

	for (i = 0; i < sizeof(rare) / sizeof(rare[0]); i++)
	{
		CronSchedule s;
		CronError	err;

		check(cron_parse(rare[i], &s, &err), "\"%s\": %s", rare[i],
			  err.message);
	}
}

static void
test_length(void)
{
	char		text[CRON_TEXT_MAX + 16];
	CronSchedule s;
	CronError	err;
	size_t		n;

	memset(text, ' ', sizeof(text));
	memcpy(text, "* * * * *", 9);
	text[CRON_TEXT_MAX] = '\0';
	check(cron_parse(text, &s, &err), "%d bytes: %s", CRON_TEXT_MAX,
		  err.message);
	text[CRON_TEXT_MAX] = ' ';
	text[CRON_TEXT_MAX + 1] = '\0';
	check(!cron_parse(text, &s, &err) && err.position == CRON_TEXT_MAX &&
		  strcmp(err.message, "schedule is longer than 1000 characters") == 0,
		  "one byte more: %s", err.message);

	/* Long pieces are cut in messages, not in places */
	memset(text, 'x', 500);
	strcpy(text + 500, " * * * *");
	check(!cron_parse(text, &s, &err) && err.position == 0 &&
		  err.length == 500 && strlen(err.message) < 100, "long word: %s",
		  err.message);
	for (n = 0; n < 498; n += 2)
		memcpy(text + n, "1,", 2);
	strcpy(text + n, "77 * * * *");
	check(!cron_parse(text, &s, &err) && err.position == (int) n &&
		  err.length == 2, "long list: %d", err.position);
}

/*
 * Any text at all: an error lies within it, its strings are ASCII, full
 * sentences where they must be; and a description fits.
 */
static void
test_garbage(void)
{
	static const char alphabet[] = "0123456789*?,-/#LWlwabcdefjnorstuvy@ \t";
	int			i;
	int			taken = 0;

	for (i = 0; i < 200000; i++)
	{
		char		text[64];
		char		description[CRON_DESCRIPTION_MAX];
		CronSchedule s;
		CronError	err;
		int			length;
		int			j;
		bool		ok;

		memset(&err, 0, sizeof(err));
		if (random_below(2) == 0)
		{
			length = (int) random_below(20);
			for (j = 0; j < length; j++)
				text[j] = random_below(50) == 0 ?
					(char) (1 + random_below(255)) :
					alphabet[random_below(sizeof(alphabet) - 1)];
		}
		else
		{
			/* five fields, then a few bytes are changed */
			length = snprintf(text, sizeof(text), "%d/%d %d-%d %dW %d %d#%d",
							  random_below(60), 1 + random_below(20),
							  random_below(12), 12 + random_below(12),
							  1 + random_below(31), 1 + random_below(12),
							  random_below(8), 1 + random_below(5));
			for (j = (int) random_below(4); j > 0; j--)
				text[random_below((uint32_t) length)] =
					alphabet[random_below(sizeof(alphabet) - 1)];
		}
		text[length] = '\0';
		if (cron_parse(text, &s, &err))
		{
			taken++;
			length = cron_describe(&s, description, sizeof(description));
			ok = length > 0 && length < CRON_DESCRIPTION_MAX;
		}
		else
			ok = err.position >= 0 && err.length >= 0 &&
				err.position + err.length <= length &&
				err.message[0] != '\0' &&
				err.message[strlen(err.message) - 1] != '.' &&
				err.hint[0] != '\0' &&
				err.hint[strlen(err.hint) - 1] == '.';
		for (j = 0; ok && err.message[j] != '\0'; j++)
			ok = err.message[j] >= ' ' && err.message[j] < 0x7f;
		if (!ok)
			check(false, "\"%s\": \"%s\" at %d, %d long; hint \"%s\"", text,
				  err.message, err.position, err.length, err.hint);
	}
	check(taken > 1000, "only %d random texts were taken", taken);
}

void
test_parse(void)
{
	test_same();
	test_bits();
	test_wrong();
	test_rare();
	test_length();
	test_garbage();
}
