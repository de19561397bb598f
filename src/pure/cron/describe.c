/*
 * describe.c
 *		A schedule in English, so that a wrong one is seen at once.
 *
 * The text is made from what the schedule means, not from how it was written:
 * "0,30 * * * *" and "* /30 * * * *" read the same.  It has three parts:
 *
 *		times of the day	At 08:00 | Every 5 minutes | At minute 5 of ...
 *		days				, on day 1 of the month | , only on Monday | ...
 *		months				, in January and July
 *
 * Length: each part is worded with an eye on the other two.
 */
#include "pure/cron/cron.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ALL_SECONDS		((UINT64_C(1) << 60) - 1)
#define ALL_HOURS		((UINT64_C(1) << 24) - 1)
#define ALL_DAYS		UINT64_C(0xfffffffe)
#define ALL_MONTHS		UINT64_C(0x1ffe)
#define ALL_WEEKDAYS	0x7f
#define MONDAY_TO_SUNDAY UINT64_C(0xfe)

/* Up to so many times of the day are listed one by one */
#define MAX_TIMES		8

static const char *const month_names[] = {
	"", "January", "February", "March", "April", "May", "June", "July",
	"August", "September", "October", "November", "December"
};

/* Monday first; Sunday is found at both ends */
static const char *const weekday_names[] = {
	"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday",
	"Saturday", "Sunday"
};

static const char *const nth_names[] = {
	"first", "second", "third", "fourth", "fifth", "last"
};

/* The text so far; length counts also what did not fit */
typedef struct Text
{
	char	   *buf;
	size_t		size;
	size_t		length;
} Text;

/* Where the commas and the "and" of a list go */
typedef struct List
{
	Text	   *text;
	const char *last_separator; /* " and " or " or " */
	int			n;				/* items that it will have */
	int			done;
} List;

__attribute__((format(printf, 2, 3)))
static void
add(Text *text, const char *format,...)
{
	size_t		room = text->length < text->size ? text->size - text->length : 0;
	va_list		args;

	va_start(args, format);
	text->length += (size_t) vsnprintf(room > 0 ? text->buf + text->length :
									   NULL, room, format, args);
	va_end(args);
}

static int
count_bits(uint64_t mask)
{
	return __builtin_popcountll(mask);
}

static int
lowest_bit(uint64_t mask)
{
	return __builtin_ctzll(mask);
}

static int
highest_bit(uint64_t mask)
{
	return 63 - __builtin_clzll(mask);
}

/* Separator before the next item */
static void
next_item(List *list)
{
	if (list->done > 0)
		add(list->text, "%s",
			list->done == list->n - 1 ? list->last_separator : ", ");
	list->done++;
}

/* 1st, 2nd, 3rd, 4th, ... */
static const char *
ordinal_suffix(int n)
{
	if (n / 10 % 10 == 1)
		return "th";
	return n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
}

/* ------------------------------------------------------------------------
 * Sets of numbers
 * ------------------------------------------------------------------------ */

/* The end of the run of set bits that begins at n */
static int
run_end(uint64_t mask, int n)
{
	while (n < 63 && (mask >> (n + 1) & 1) != 0)
		n++;
	return n;
}

/* The beginning of the run of set bits that ends at n */
static int
run_start(uint64_t mask, int n)
{
	while (n > 0 && (mask >> (n - 1) & 1) != 0)
		n--;
	return n;
}

/*
 * A run of three or more that goes on from the end of the circle "all" at its
 * beginning: its bits, 0 if there is none.  all 0: the values are no circle.
 */
static uint64_t
wrapped_run(uint64_t mask, uint64_t all, int *first, int *last)
{
	uint64_t	run;

	if (all == 0 || mask == all || (mask >> lowest_bit(all) & 1) == 0 ||
		(mask >> highest_bit(all) & 1) == 0)
		return 0;
	*first = run_start(mask, highest_bit(all));
	*last = run_end(mask, lowest_bit(all));
	run = mask & (~((UINT64_C(1) << *first) - 1) | ((UINT64_C(2) << *last) - 1));
	return count_bits(run) >= 3 ? run : 0;
}

/* How many items a list of the set has: a run of three or more is one */
static int
count_items(uint64_t mask, uint64_t all)
{
	int			first;
	int			last;
	uint64_t	wrapped = wrapped_run(mask, all, &first, &last);
	int			n = wrapped != 0;

	mask &= ~wrapped;
	while (mask != 0)
	{
		first = lowest_bit(mask);
		last = run_end(mask, first);
		n += last - first >= 2 ? 1 : last - first + 1;
		mask &= ~((UINT64_C(2) << last) - 1);
	}
	return n;
}

/* "7", "5 to 9", or names */
static void
add_run(List *list, int first, int last, const char *const *names)
{
	next_item(list);
	if (names != NULL)
		add(list->text, "%s", names[first]);	/* NOLINT: all bits have names */
	else
		add(list->text, "%d", first);
	if (last != first && names != NULL)
		add(list->text, " to %s", names[last]);
	else if (last != first)
		add(list->text, " to %d", last);
}

/* "1, 2 and 5 to 9", or names; "3 and 22 to 1" if the values are a circle */
static void
add_items(List *list, uint64_t mask, const char *const *names, uint64_t all)
{
	int			wrapped_first;
	int			wrapped_last;
	uint64_t	wrapped = wrapped_run(mask, all, &wrapped_first, &wrapped_last);

	mask &= ~wrapped;
	while (mask != 0)
	{
		int			first = lowest_bit(mask);
		int			last = run_end(mask, first);

		if (last - first < 2)
			last = first;
		add_run(list, first, last, names);
		mask &= ~((UINT64_C(2) << last) - 1);
	}
	if (wrapped != 0)
		add_run(list, wrapped_first, wrapped_last, names);
}

static void
add_set(Text *text, uint64_t mask, const char *const *names,
		const char *last_separator, uint64_t all)
{
	List		list = {text, last_separator, count_items(mask, all), 0};

	add_items(&list, mask, names, all);
}

/*
 * The step n >= 2, if the set has three or more members, is first, first + n,
 * ... and has all of those up to last; else 0.
 */
static int
step_of(uint64_t mask, int first, int last)
{
	uint64_t	want = 0;
	int			step;
	int			i;

	if (count_bits(mask) < 3 || lowest_bit(mask) != first)
		return 0;
	step = lowest_bit(mask & (mask - 1)) - first;
	for (i = first; i <= last; i += step)
		want |= UINT64_C(1) << i;
	return step >= 2 && want == mask ? step : 0;
}

/*
 * The step n, when the members are that far apart also from one hour, minute
 * or day to the next
 */
static int
even_step(uint64_t mask, int size)
{
	int			step = size == 60 && mask == ((UINT64_C(1) << 30) | 1) ? 30 :
		step_of(mask, 0, size - 1);

	return step > 0 && size % step == 0 ? step : 0;
}

/* ------------------------------------------------------------------------
 * Times of the day
 * ------------------------------------------------------------------------ */

/* "At 08:00, 08:30 and 17:00" */
static void
add_times(Text *text, const CronSchedule *s, int n)
{
	List		list = {text, " and ", n, 0};
	uint64_t	h;
	uint64_t	m;
	uint64_t	sec;

	add(text, "At ");
	for (h = s->hours; h != 0; h &= h - 1)
		for (m = s->minutes; m != 0; m &= m - 1)
			for (sec = s->seconds; sec != 0; sec &= sec - 1)
			{
				next_item(&list);
				add(text, "%02d:%02d", lowest_bit(h), lowest_bit(m));
				if (s->seconds != 1)
					add(text, ":%02d", lowest_bit(sec));
			}
}

/*
 * Check that the hours of a day join those of the next: that no field leaves
 * out days.  Else "from 22:00 to 06:00" would promise a night that goes on
 * into a day which the schedule leaves out.
 */
static bool
joins_days(const CronSchedule *s)
{
	return s->days == ALL_DAYS && s->weekdays == ALL_WEEKDAYS &&
		s->months == ALL_MONTHS;
}

static bool
joins_hours(const CronSchedule *s)
{
	return s->hours == ALL_HOURS && joins_days(s);
}

/*
 * "Every 5 minutes" or "At minutes 5 and 20".  all: the values as a circle, 0
 * if they are none.  Returns whether the former
 */
static bool
add_leading_unit(Text *text, uint64_t mask, const char *unit, uint64_t all)
{
	int			step = even_step(mask, 60);

	if (mask == ALL_SECONDS)
		add(text, "Every %s", unit);
	else if (step > 0)
		add(text, "Every %d %ss", step, unit);
	else
	{
		step = step_of(mask, lowest_bit(mask), 59);
		add(text, "At %s%s ", unit, count_bits(mask) == 1 ? "" : "s");
		if (step > 0 && count_bits(mask) > 3)
			add(text, "%d, %d and so on to %d", lowest_bit(mask),
				lowest_bit(mask) + step, highest_bit(mask));
		else
			add_set(text, mask, NULL, " and ", all);
	}
	return mask == ALL_SECONDS || even_step(mask, 60) > 0;
}

/* "every 5th minute", "minutes 5 and 20", "every hour", "hours 8 to 17" */
static void
add_inner_unit(Text *text, uint64_t mask, int size, const char *unit, uint64_t all)
{
	int			step = even_step(mask, size);

	if (mask == (size == 60 ? ALL_SECONDS : ALL_HOURS))
		add(text, "every %s", unit);
	else if (step > 0)
		add(text, "every %d%s %s", step, ordinal_suffix(step), unit);
	else
	{
		add(text, "%s%s ", unit, count_bits(mask) == 1 ? "" : "s");
		add_set(text, mask, NULL, " and ", all);
	}
}

/*
 * The hours, after minutes.  "Every 5 minutes" needs only to be told from when
 * to when; "At minute 5" needs hours to belong to.
 */
static void
add_hours(Text *text, const CronSchedule *s, bool every)
{
	int			first = lowest_bit(s->hours);
	int			last = highest_bit(s->hours);
	uint64_t	all = joins_days(s) ? ALL_HOURS : 0;

	if (every && s->hours == ALL_HOURS)
		return;
	if (every && (run_end(s->hours, first) == last ||
				  wrapped_run(s->hours, all, &first, &last) == s->hours))
		add(text, " from %02d:%02d to %02d:%02d", first,
			lowest_bit(s->minutes), last, highest_bit(s->minutes));
	else
	{
		add(text, every ? " in " : " of ");
		add_inner_unit(text, s->hours, 24, "hour", all);
	}
}

/* Returns whether times were listed, which then asks for the days */
static bool
add_time_of_day(Text *text, const CronSchedule *s)
{
	int			n = count_bits(s->hours) * count_bits(s->minutes) *
		count_bits(s->seconds);
	bool		every;

	if (n <= MAX_TIMES && s->minutes != ALL_SECONDS &&
		s->seconds != ALL_SECONDS)
	{
		add_times(text, s, n);
		return true;
	}
	if (s->seconds == 1)
	{
		if (s->minutes == 1 && s->hours == ALL_HOURS)
			add(text, "Every hour");
		else if (s->minutes == 1 && even_step(s->hours, 24) > 0)
			add(text, "Every %d hours from midnight",
				even_step(s->hours, 24));
		else
			add_hours(text, s, add_leading_unit(text, s->minutes, "minute",
												joins_hours(s) ? ALL_SECONDS : 0));
		return false;
	}
	every = add_leading_unit(text, s->seconds, "second",
							 s->minutes == ALL_SECONDS && joins_hours(s) ? ALL_SECONDS : 0);
	if (!every || s->minutes != ALL_SECONDS)
	{
		add(text, every ? " in " : " of ");
		add_inner_unit(text, s->minutes, 60, "minute",
					   joins_hours(s) ? ALL_SECONDS : 0);
	}
	add_hours(text, s, s->minutes == ALL_SECONDS ||
			  even_step(s->minutes, 60) > 0);
	return false;
}

/* ------------------------------------------------------------------------
 * Days
 * ------------------------------------------------------------------------ */

/* Check whether the field leaves out days */
static bool
limits_days(const CronSchedule *s)
{
	return s->days != ALL_DAYS;
}

static bool
limits_weekdays(const CronSchedule *s)
{
	return s->weekdays != ALL_WEEKDAYS;
}

/* "days 1, 15 and 20 to 25", "every 2nd day" */
static void
add_plain_days(List *list, uint64_t days, uint64_t all)
{
	int			step = step_of(days, 1, 31);

	next_item(list);
	if (step > 0)
		add(list->text, "every %d%s day from day 1", step,
			ordinal_suffix(step));
	else
	{
		add(list->text, "day%s ", count_bits(days) == 1 ? "" : "s");
		add_set(list->text, days, NULL, " and ", all);
	}
}

/* "the last day", "the day 3 days before the last day" */
static void
add_last_day(Text *text, int before)
{
	if (before > 0)
		add(text, "the day %d day%s before the last day", before,
			before == 1 ? "" : "s");
	else
		add(text, "the last day");
}

/* The day-of-month field: "day 1, the last day and the weekday nearest day 15" */
static void
add_days(Text *text, const CronSchedule *s, const char *last_separator)
{
	List		list = {text, last_separator, 0, 0};
	uint64_t	mask;

	list.n = (s->days != 0) + count_bits(s->last_days) +
		count_bits(s->near_days) + count_bits(s->near_last_days);
	if (s->days != 0)
		add_plain_days(&list, s->days, s->months == ALL_MONTHS ? ALL_DAYS : 0);
	for (mask = s->near_days; mask != 0; mask &= mask - 1)
	{
		next_item(&list);
		add(text, "the weekday (Monday to Friday) nearest day %d",
			lowest_bit(mask));
	}
	for (mask = s->last_days; mask != 0; mask &= mask - 1)
	{
		next_item(&list);
		add_last_day(text, lowest_bit(mask));
	}
	for (mask = s->near_last_days; mask != 0; mask &= mask - 1)
	{
		next_item(&list);
		if (lowest_bit(mask) == 0)
			add(text, "the last weekday (Monday to Friday)");
		else
		{
			add(text, "the weekday (Monday to Friday) nearest ");
			add_last_day(text, lowest_bit(mask));
		}
	}
}

/* Sunday moves from bit 0 to bit 7, after Saturday */
static uint64_t
monday_first(unsigned weekdays)
{
	return (weekdays & 0x7e) | (weekdays & 1) << 7;
}

/*
 * Add the days of the day-of-week field that come every week: "Monday to
 * Friday"
 */
static void
add_weekly(List *list, const CronSchedule *s)
{
	add_items(list, monday_first(s->weekdays), weekday_names, MONDAY_TO_SUNDAY);
}

/* "the third Saturday and the last Friday" */
static void
add_monthly_weekdays(List *list, const CronSchedule *s)
{
	uint64_t	mask;
	int			n;

	for (n = 0; n < 6; n++)
	{
		mask = monday_first(n < 5 ? s->nth_weekdays[n] : s->last_weekdays);
		for (; mask != 0; mask &= mask - 1)
		{
			next_item(list);
			add(list->text, "the %s %s", nth_names[n],
				weekday_names[lowest_bit(mask)]);
		}
	}
}

static int
count_monthly_weekdays(const CronSchedule *s)
{
	int			count = count_bits(s->last_weekdays);
	int			n;

	for (n = 0; n < 5; n++)
		count += count_bits(s->nth_weekdays[n]);
	return count;
}

/* The day-of-week field, all of it */
static void
add_weekdays(Text *text, const CronSchedule *s, const char *last_separator)
{
	List		list = {text, last_separator, 0, 0};

	list.n = count_items(monday_first(s->weekdays), MONDAY_TO_SUNDAY) +
		count_monthly_weekdays(s);
	add_weekly(&list, s);
	add_monthly_weekdays(&list, s);
	if (count_monthly_weekdays(s) > 0)
		add(text, " of the month");
}

/*
 * Both fields.  "asked" is set when the times alone would leave open on which
 * days.  Returns whether anything limits the days.
 */
static bool
add_which_days(Text *text, const CronSchedule *s, bool asked)
{
	bool		both = s->days_star || s->weekdays_star;	/* else either */
	bool		days = limits_days(s);
	bool		weekdays = limits_weekdays(s);

	if (both ? !days && !weekdays : !days || !weekdays)
	{
		if (asked)
			add(text, ", every day");
		return false;
	}
	if (days)
	{
		add(text, ", on ");
		add_days(text, s, " and ");
		add(text, " of the month");
	}
	if (weekdays)
	{
		if (days)
			add(text, both ? ", but only if it is " : " or on ");
		else
			add(text, count_monthly_weekdays(s) > 0 && s->weekdays == 0 ?
				", on " : ", only on ");
		add_weekdays(text, s, days ? " or " : " and ");
	}
	return true;
}

/* ------------------------------------------------------------------------
 * Schedules
 * ------------------------------------------------------------------------ */

static void
add_interval(Text *text, int64_t interval)
{
	static const struct
	{
		int64_t		seconds;
		const char *one;
		const char *suffix;
	}			units[] =
	{
		{604800, "week", " on Monday at 00:00 UTC"},
		{86400, "day", " at 00:00 UTC"},
		{3600, "hour", ""},
		{60, "minute", ""},
		{1, "second", ""},
	};
	int			i = 0;

	while (interval % units[i].seconds != 0)
		i++;
	interval /= units[i].seconds;
	if (interval == 1)
		add(text, "Every %s%s", units[i].one, units[i].suffix);
	else
		add(text, "Every %lld %ss%s", (long long) interval, units[i].one,
			units[i].suffix);
}

int
cron_describe(const CronSchedule *schedule, char *buf, size_t size)
{
	Text		text = {buf, size, 0};
	bool		asked;

	if (size > 0)
		buf[0] = '\0';
	if (schedule->interval > 0)
		add_interval(&text, schedule->interval);
	else
	{
		asked = add_time_of_day(&text, schedule);
		if (schedule->months == ALL_MONTHS)
			add_which_days(&text, schedule, asked);
		else
		{
			asked = !add_which_days(&text, schedule, asked) && asked;
			add(&text, "%sin ", asked ? " " : ", ");
			add_set(&text, schedule->months, month_names, " and ", ALL_MONTHS);
		}
	}
	return (int) text.length;
}
