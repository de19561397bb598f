/*
 * retry_after.c
 *		See retry_after.h.  Of dates only the form that RFC 9110 wants senders to
 *		use is read, "Sun, 06 Nov 1994 08:49:37 GMT", and its two forebears:
 *		"Sunday, 06-Nov-94 08:49:37 GMT" and "Sun Nov  6 08:49:37 1994".
 */
#include "retry_after.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Days since 1970-01-01 of a date of the Gregorian calendar */
static int64_t
days_from_civil(int64_t year, int month, int day)
{
	int64_t		era;
	int64_t		year_of_era;
	int64_t		day_of_year;

	year -= month <= 2;
	era = year / 400;
	year_of_era = year - era * 400;
	day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
		day_of_year - 719468;
}

static int
month_number(const char *name)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; i < 12; i++)
	{
		if (strncmp(name, names + 3 * i, 3) == 0)
			return i + 1;
	}
	return 0;
}

/* An HTTP date as seconds since 1970; false: it is not one */
static bool
http_date(const char *value, int64_t now, int64_t *seconds)
{
	char		month[4];
	const char *comma = strchr(value, ',');
	int			day,
				year,
				hour,
				minute,
				second;
	int			used = 0;
	int			number;

	if (comma != NULL &&
		sscanf(comma, ", %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &day, month, &year, &hour,
			   &minute, &second, &used) == 6 && used > 0)
		value = comma;
	else if (comma != NULL &&
			 sscanf(comma, ", %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &day, month, &year, &hour,
					&minute, &second, &used) == 6 && used > 0)
	{
		/* two digits: not more than 50 years ahead */
		int64_t		this_year = 1970 + now / 31556952;

		value = comma;
		year += (int) (this_year / 100 * 100);
		if (year > this_year + 50)
			year -= 100;
	}
	else if (comma != NULL ||
			 sscanf(value, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &day, &hour,
					&minute, &second, &year, &used) != 6 || used == 0)
		return false;
	if (value[used] != '\0')
		return false;
	number = month_number(month);
	if (number == 0 || day < 1 || day > 31 || year < 1970 || year > 9999 || hour < 0 ||
		hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
		return false;
	*seconds = days_from_civil(year, number, day) * 86400 + hour * 3600 + minute * 60 + second;
	return true;
}

int64_t
retry_after_seconds(const char *value, int64_t now, int64_t limit)
{
	char		text[64];
	size_t		length;
	int64_t		wait = 0;

	value += strspn(value, " \t");
	length = strlen(value);
	while (length > 0 && strchr(" \t\r\n", value[length - 1]) != NULL)
		length--;
	if (length == 0 || length >= sizeof(text))
		return -1;
	memcpy(text, value, length);
	text[length] = '\0';

	if (strspn(text, "0123456789") == length)
	{
		for (size_t i = 0; i < length && is_digit(text[i]); i++)
		{
			wait = wait * 10 + (text[i] - '0');
			if (wait > limit)
				return limit;
		}
	}
	else
	{
		int64_t		at;

		if (!http_date(text, now, &at))
			return -1;
		wait = at - now;
	}
	if (wait <= 0)
		return -1;
	return wait < limit ? wait : limit;
}
