/*
 * rate.c
 *		Rates: their text and their arithmetic.  Pure; see rate.h.
 */
#include "pure/rate.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------
 * Text
 * ------------------------------------------------------------------------ */

/* Units of a period, in microseconds; 0: it has no fixed length */
static const struct
{
	const char *name;
	int64_t		length;
}			units[] = {
	{"ms", INT64_C(1000)}, {"millisecond", INT64_C(1000)}, {"milliseconds", INT64_C(1000)},
	{"s", INT64_C(1000000)}, {"sec", INT64_C(1000000)}, {"secs", INT64_C(1000000)},
	{"second", INT64_C(1000000)}, {"seconds", INT64_C(1000000)},
	{"min", INT64_C(60000000)}, {"mins", INT64_C(60000000)},
	{"minute", INT64_C(60000000)}, {"minutes", INT64_C(60000000)},
	{"h", INT64_C(3600000000)}, {"hour", INT64_C(3600000000)}, {"hours", INT64_C(3600000000)},
	{"d", INT64_C(86400000000)}, {"day", INT64_C(86400000000)}, {"days", INT64_C(86400000000)},
	{"week", INT64_C(604800000000)}, {"weeks", INT64_C(604800000000)},
	{"mon", 0}, {"month", 0}, {"months", 0}, {"year", 0}, {"years", 0},
};

/* Numbers are not larger than this */
#define NUMBER_MAX	INT64_C(1000000000)

static void
skip_spaces(const char **text)
{
	while (**text == ' ' || **text == '\t')
		(*text)++;
}

/* Read a number of digits; -1: there is none, or it is too large */
static int64_t
read_number(const char **text)
{
	int64_t		value = 0;

	if (**text < '0' || **text > '9')
		return -1;
	for (; **text >= '0' && **text <= '9'; (*text)++)
	{
		value = value * 10 + (**text - '0');
		if (value > NUMBER_MAX)
			return -1;
	}
	return value;
}

/* Read the name of a unit, up to the end of the text; its length, -1: there is none such */
static int64_t
read_unit(const char *text)
{
	size_t		length = strlen(text);

	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		size_t		n = strlen(units[i].name);
		size_t		same = 0;

		while (same < length && same < n && (text[same] | 0x20) == units[i].name[same])
			same++;
		if (same == length && same == n)
			return units[i].length;
	}
	return -1;
}

bool
rate_parse(const char *text, int64_t *interval, char *problem, size_t size)
{
	int64_t		count;
	int64_t		periods = 1;
	int64_t		unit;

	*interval = 0;
	if (strcmp(text, "none") == 0)
		return true;
	skip_spaces(&text);
	count = read_number(&text);
	skip_spaces(&text);
	if (count < 0 || *text++ != '/')
	{
		snprintf(problem, size, "A rate is a number, a slash and a time.");
		return false;
	}
	skip_spaces(&text);
	if (*text >= '0' && *text <= '9')
		periods = read_number(&text);
	skip_spaces(&text);
	unit = read_unit(text);
	if (unit < 0)
		snprintf(problem, size, "The time after the slash has no unit that is known.");
	else if (unit == 0)
		snprintf(problem, size, "Months and years have no fixed length.");
	else if (count == 0 || periods == 0)
		snprintf(problem, size, "Number and time must be more than 0.");
	else if (periods < 0 || periods > RATE_PERIOD_MAX / unit)
		snprintf(problem, size, "The time must not be longer than 366 days.");
	else if (count > periods * unit)
		snprintf(problem, size, "A rate must not be higher than 1000000 a second.");
	else
	{
		*interval = (periods * unit + count - 1) / count;
		return true;
	}
	return false;
}

/* ------------------------------------------------------------------------
 * Arithmetic
 * ------------------------------------------------------------------------ */

static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* When the next one might have begun, if that is in the past, too */
static int64_t
earliest(const Rate *rate, int64_t used, int64_t now)
{
	return later(used, now) - (rate->burst - 1) * rate->interval;
}

int64_t
rate_next_after(const Rate *rate, int64_t used, int64_t now, int32_t others)
{
	return later(earliest(rate, used, now) + others * rate->interval, now);
}

int64_t
rate_next(const Rate *rate, int64_t used, int64_t now)
{
	return rate_next_after(rate, used, now, 0);
}

int32_t
rate_room(const Rate *rate, int64_t used, int64_t now, int64_t until)
{
	int64_t		first = earliest(rate, used, now);
	int64_t		room;

	if (first > until)
		return 0;
	room = (until - first) / rate->interval + 1;
	return room > INT32_MAX ? INT32_MAX : (int32_t) room;
}

int64_t
rate_take(const Rate *rate, int64_t used, int64_t at)
{
	return later(used, at) + rate->interval;
}

int64_t
rate_all_used(const Rate *rate, int64_t at)
{
	return at + rate->burst * rate->interval;
}

/*
 * The last one counts with the new interval.  What began under a rate that is raised
 * is not held against the new one for longer than if all of that was used with the last
 * one, which may lie ahead.
 */
int64_t
rate_change(const Rate *old, const Rate *rate, int64_t used, int64_t now, int64_t ahead)
{
	int64_t		last = used - old->interval;
	int64_t		all;

	if (last > now + ahead)
		last = now + ahead;
	all = rate_all_used(rate, later(last, now));
	used += rate->interval - old->interval;
	return used < all ? used : all;
}
