/*
 * naive.c
 *		Nothing here is clever, and nothing is shared with src/cron*.c: each
 *		second is compared with the text of the schedule, item by item.
 */
#include "naive.h"
#include "random.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------
 * Calendar
 * ------------------------------------------------------------------------ */

int
naive_month_length(int year, int month)
{
	if (month == 2)
		return year % 400 == 0 || (year % 4 == 0 && year % 100 != 0) ? 29 : 28;
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

static int
year_length(int year)
{
	return naive_month_length(year, 2) == 29 ? 366 : 365;
}

NaiveTime
naive_time(int64_t local)
{
	NaiveTime	time = {1970, 1, 1, 0, 0, 0, 4};
	int64_t		days = local / 86400;
	int			rest = (int) (local % 86400);

	if (rest < 0)
	{
		rest += 86400;
		days--;
	}
	time.weekday = (int) (((days + 4) % 7 + 7) % 7);
	while (days < 0)
		days += year_length(--time.year);
	while (days >= year_length(time.year))
		days -= year_length(time.year++);
	while (days >= naive_month_length(time.year, time.month))
		days -= naive_month_length(time.year, time.month++);
	time.day = (int) days + 1;
	time.hour = rest / 3600;
	time.minute = rest / 60 % 60;
	time.second = rest % 60;
	return time;
}

void
naive_tick(NaiveTime *time)
{
	if (++time->second < 60)
		return;
	time->second = 0;
	if (++time->minute < 60)
		return;
	time->minute = 0;
	if (++time->hour < 24)
		return;
	time->hour = 0;
	time->weekday = (time->weekday + 1) % 7;
	if (++time->day <= naive_month_length(time->year, time->month))
		return;
	time->day = 1;
	if (++time->month <= 12)
		return;
	time->month = 1;
	time->year++;
}

/* ------------------------------------------------------------------------
 * Matching a text
 * ------------------------------------------------------------------------ */

/* Second 0, minute 1, hour 2, day 3, month 4, weekday 5 */
static const int lowest[] = {0, 0, 0, 1, 1, 0};
static const int highest[] = {59, 59, 23, 31, 12, 6};

static int
value_of(const char **s, int field)
{
	static const char *const months[] = {"jan", "feb", "mar", "apr", "may",
	"jun", "jul", "aug", "sep", "oct", "nov", "dec"};
	static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu",
	"fri", "sat"};
	int			i;

	for (i = 0; field == 4 && i < 12; i++)
		if (strncasecmp(*s, months[i], 3) == 0)
		{
			*s += 3;
			return i + 1;
		}
	for (i = 0; field == 5 && i < 7; i++)
		if (strncasecmp(*s, weekdays[i], 3) == 0)
		{
			*s += 3;
			return i;
		}
	return (int) strtol(*s, (char **) s, 10);
}

/* The weekday (Monday to Friday) of this month that is nearest to a day */
static int
nearest(const NaiveTime *time, int day)
{
	int			length = naive_month_length(time->year, time->month);
	static const int order[] = {0, -1, 1, -2, 2};
	int			i;

	if (day < 1 || day > length)
		return 0;
	for (i = 0; i < 5; i++)
	{
		int			d = day + order[i];
		int			weekday = ((time->weekday + d - time->day) % 7 + 7) % 7;

		if (d >= 1 && d <= length && weekday >= 1 && weekday <= 5)
			return d;
	}
	return 0;
}

/* Does one item match?  *s is moved behind it */
static bool
item_matches(const char **s, int field, int value, const NaiveTime *time)
{
	int			length = naive_month_length(time->year, time->month);
	int			from = lowest[field];
	int			to = highest[field];
	int			step = 1;
	int			i;

	if (**s == '*' || **s == '?')
		(*s)++;
	else if (field == 3 && toupper((unsigned char) **s) == 'L')
	{
		int			before = 0;

		(*s)++;
		if (**s == '-')
		{
			(*s)++;
			before = value_of(s, field);
		}
		if (toupper((unsigned char) **s) == 'W')
		{
			(*s)++;
			return value == nearest(time, length - before);
		}
		return value == length - before;
	}
	else
	{
		from = value_of(s, field);
		if (field == 3 && toupper((unsigned char) **s) == 'W')
		{
			(*s)++;
			return value == nearest(time, from);
		}
		if (field == 5 && toupper((unsigned char) **s) == 'L')
		{
			(*s)++;
			return value == from % 7 && time->day + 7 > length;
		}
		if (field == 5 && **s == '#')
		{
			(*s)++;
			i = value_of(s, field);
			return value == from % 7 && (time->day - 1) / 7 + 1 == i;
		}
		if (**s == '-')
		{
			(*s)++;
			to = value_of(s, field);
			if (to < from)
				to += highest[field] - lowest[field] + 1;
		}
		else if (**s == '/')
			from = field == 5 ? from % 7 : from;
		else
			to = from;
	}
	if (**s == '/')
	{
		(*s)++;
		step = value_of(s, field);
	}
	for (i = from; i <= to; i += step)
		if ((i - lowest[field]) % (highest[field] - lowest[field] + 1) +
			lowest[field] == value)
			return true;
	return false;
}

/* The beginning of a field; the text has five or six */
static const char *
find_field(const char *text, int field)
{
	int			words = 0;
	const char *start[6];

	while (*text != '\0')
	{
		text += strspn(text, " \t");
		if (*text == '\0' || words == 6)
			break;
		start[words++] = text;
		text += strcspn(text, " \t");
	}
	if (words == 6)
		return start[field];
	return field == 0 ? "0" : start[field - 1];
}

static bool
field_matches(const char *text, int field, int value, const NaiveTime *time)
{
	const char *s = find_field(text, field);
	bool		found = false;

	for (;;)
	{
		if (item_matches(&s, field, value, time))
			found = true;
		if (*s != ',')
			return found;
		s++;
	}
}

static bool
starts_with_star(const char *text, int field)
{
	return strchr("*?", *find_field(text, field)) != NULL;
}

bool
naive_matches_date(const char *text, const NaiveTime *time)
{
	bool		day = field_matches(text, 3, time->day, time);
	bool		weekday = field_matches(text, 5, time->weekday, time);

	if (!field_matches(text, 4, time->month, time))
		return false;
	if (!starts_with_star(text, 3) && !starts_with_star(text, 5))
		return day || weekday;
	return day && weekday;
}

bool
naive_matches_time(const char *text, const NaiveTime *time)
{
	return field_matches(text, 0, time->second, time) &&
		field_matches(text, 1, time->minute, time) &&
		field_matches(text, 2, time->hour, time);
}

bool
naive_matches(const char *text, const NaiveTime *time)
{
	return naive_matches_date(text, time) && naive_matches_time(text, time);
}

/* ------------------------------------------------------------------------
 * Listing
 * ------------------------------------------------------------------------ */

/* What a text matches, worked out once so that seconds are cheap */
typedef struct Prepared
{
	const char *text;
	bool		second[60];
	bool		minute[60];
	bool		hour[24];
	int64_t		day;			/* for which date_ok holds */
	bool		date_ok;
} Prepared;

static bool
prepared_matches(Prepared *p, int64_t local)
{
	int64_t		day = (local + INT64_C(86400) * 1000000) / 86400 - 1000000;
	int			rest = (int) (local - day * 86400);

	if (day != p->day)
	{
		NaiveTime	time = naive_time(local);

		p->day = day;
		p->date_ok = naive_matches_date(p->text, &time);
	}
	return p->date_ok && p->hour[rest / 3600] && p->minute[rest / 60 % 60] &&
		p->second[rest % 60];
}

int
naive_list(const char *text, const CronZone *zone, int64_t from,
		   int64_t until, int64_t *list, int max)
{
	const int64_t warm_up = 20 * 86400;
	NaiveTime	some = naive_time(0);
	Prepared	p;
	bool		wildcard = starts_with_star(text, 1) || starts_with_star(text, 2);
	int64_t		high = INT64_MIN;	/* one more than the highest shown */
	int64_t		t;
	int32_t		offset = 0;
	int64_t		span_from = INT64_MIN;
	int64_t		span_until = INT64_MAX;
	int			n = 0;
	int			i;

	p.text = text;
	p.day = INT64_MIN;
	for (i = 0; i < 60; i++)
		p.second[i] = field_matches(text, 0, i, &some);
	for (i = 0; i < 60; i++)
		p.minute[i] = field_matches(text, 1, i, &some);
	for (i = 0; i < 24; i++)
		p.hour[i] = field_matches(text, 2, i, &some);

	/* What the clock has shown before */
	for (t = from - warm_up; zone != NULL && t < from; t = span_until)
	{
		zone->lookup(zone->arg, t, &offset, &span_from, &span_until);
		if (span_until > from)
			span_until = from;
		if (span_until + offset > high)
			high = span_until + offset;
	}
	if (zone != NULL)
		zone->lookup(zone->arg, from, &offset, &span_from, &span_until);
	else
		high = from;

	for (t = from; t < until; t++)
	{
		bool		fires = false;
		int64_t		local;

		if (t >= span_until)
			zone->lookup(zone->arg, t, &offset, &span_from, &span_until);
		local = t + offset;
		if (wildcard)
			fires = prepared_matches(&p, local);
		else
			for (; high <= local; high++)
				fires = prepared_matches(&p, high) || fires;
		if (fires && n < max)
			list[n] = t;
		n += fires;
	}
	return n;
}

/* ------------------------------------------------------------------------
 * Random texts
 * ------------------------------------------------------------------------ */

static int
random_value(int field)
{
	int			high = field == 5 ? 7 : highest[field];

	return lowest[field] + (int) random_below((uint32_t) (high -
														 lowest[field] + 1));
}

static int
random_item(char *buf, size_t size, int field)
{
	static const char *const months[] = {"Jan", "feb", "MAR", "apr", "May",
	"jun", "jul", "aug", "sep", "oct", "nov", "dec"};
	static const char *const weekdays[] = {"sun", "Mon", "TUE", "wed", "thu",
	"fri", "sat"};
	int			a = random_value(field);
	int			b = random_value(field);
	int			size_of = highest[field] - lowest[field] + 1;
	int			step = 1 + (int) random_below((uint32_t) size_of);
	uint32_t	kind = random_below(20);

	if (random_below(2) == 0)
		step = 1 + step / 5;
	if (field == 3 && kind < 5)
		switch (random_below(5))
		{
			case 0:
				return snprintf(buf, size, "L");
			case 1:
				return snprintf(buf, size, "L-%d", a < 31 ? a : 30);
			case 2:
				return snprintf(buf, size, "LW");
			case 3:
				return snprintf(buf, size, "l-%dw", a < 31 ? a : 30);
			default:
				return snprintf(buf, size, "%dW", a);
		}
	if (field == 5 && kind < 4)
		return random_below(2) == 0 ? snprintf(buf, size, "%dL", a) :
			snprintf(buf, size, "%d#%d", a, 1 + (int) random_below(5));
	if (field == 5 && kind == 4)
		return snprintf(buf, size, "%s%s", weekdays[a % 7],
						random_below(2) == 0 ? "L" : "#2");
	if (field >= 4 && kind < 8)
	{
		const char *const *names = field == 4 ? months : weekdays;
		uint32_t	x = random_below((uint32_t) size_of);
		uint32_t	y = random_below((uint32_t) size_of);

		if (random_below(3) == 0)
			return snprintf(buf, size, "%s", names[x]);
		if (random_below(3) == 0)
			return snprintf(buf, size, "%s-%s/%d", names[x], names[y], step);
		return snprintf(buf, size, "%s-%s", names[x], names[y]);
	}
	if (kind < 13)
		return snprintf(buf, size, "%d", a);
	if (kind < 16)
		return snprintf(buf, size, "%d-%d", a, b);
	if (kind < 17)
		return snprintf(buf, size, "%d-%d/%d", a, b, step);
	if (kind < 18)
		return snprintf(buf, size, "%d/%d", a, step);
	return snprintf(buf, size, "*/%d", step);
}

void
random_schedule(char *buf, size_t size, bool rare)
{
	bool		six = random_below(3) == 0;
	size_t		n = 0;
	int			field;

	for (field = six ? 0 : 1; field < 6; field++)
	{
		int			items = 1 + (random_below(3) == 0 ? (int) random_below(4) : 0);
		uint32_t	star = rare && field > 2 ? 4 : 2;

		if (random_below(star) == 0)
			n += (size_t) snprintf(buf + n, size - n, "%s",
								   random_below(8) == 0 ? "?" : "*");
		else
			for (; items > 0; items--)
			{
				n += (size_t) random_item(buf + n, size - n, field);
				if (items > 1)
					n += (size_t) snprintf(buf + n, size - n, ",");
			}
		if (field < 5)
			n += (size_t) snprintf(buf + n, size - n, "%s",
								   random_below(20) == 0 ? " \t" : " ");
	}
}
