/*
 * retry_after.c
 *		See pure/retry_after.h.  Of dates only the form that RFC 9110 wants senders to
 *		use is read, "Sun, 06 Nov 1994 08:49:37 GMT", and its two forebears:
 *		"Sunday, 06-Nov-94 08:49:37 GMT" and "Sun Nov  6 08:49:37 1994".
 */
#include "pure/retry_after.h"

#include <stdbool.h>
#include <string.h>

typedef struct HttpDate
{
	int			year;
	int			month;			/* 1 to 12; 0: there is no such month */
	int			day;
	int			hour;
	int			minute;
	int			second;
} HttpDate;

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
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
days_in_month(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
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

/*
 * Compare with a form, all of it: Y, D, h, m and s are one digit each of year,
 * day and time, e a digit of the day or a space, b the first letter of a month.
 */
static bool
read_form(const char *text, const char *form, HttpDate *date)
{
	memset(date, 0, sizeof(HttpDate));
	for (; *form != '\0'; form++, text++)
	{
		int			digit = is_digit(*text) ? *text - '0' : -1;

		if (strchr("YDhms", *form) != NULL && digit < 0)
			return false;
		switch (*form)
		{
			case 'Y':
				date->year = date->year * 10 + digit;
				break;
			case 'D':
				date->day = date->day * 10 + digit;
				break;
			case 'e':
				if (digit < 0 && *text != ' ')
					return false;
				date->day = digit < 0 ? 0 : digit;
				break;
			case 'h':
				date->hour = date->hour * 10 + digit;
				break;
			case 'm':
				date->minute = date->minute * 10 + digit;
				break;
			case 's':
				date->second = date->second * 10 + digit;
				break;
			case 'b':
				if (strlen(text) < 3)
					return false;
				date->month = month_number(text);
				text += 2;
				break;
			default:
				if (*text != *form)
					return false;
		}
	}
	return *text == '\0';
}

/* Two digits: the year that is less than 50 years away */
static int
whole_year(int year, int64_t now)
{
	int			this_year = (int) (1970 + now / 31556952);

	year += this_year / 100 * 100;
	if (year > this_year + 50)
		return year - 100;
	if (year < this_year - 50)
		return year + 100;
	return year;
}

/* An HTTP date as seconds since 1970; false: it is not one */
static bool
http_date(const char *value, int64_t now, int64_t *seconds)
{
	HttpDate	date;

	/* the name of the day says nothing that the date does not */
	if (!is_letter(*value))
		return false;
	while (is_letter(*value))
		value++;
	if (read_form(value, ", DD-b-YY hh:mm:ss GMT", &date))
		date.year = whole_year(date.year, now);
	else if (!read_form(value, ", DD b YYYY hh:mm:ss GMT", &date) &&
			 !read_form(value, " b eD hh:mm:ss YYYY", &date))
		return false;
	if (date.month == 0 || date.year < 1970 || date.day < 1 ||
		date.day > days_in_month(date.year, date.month) || date.hour > 23 ||
		date.minute > 59 || date.second > 60)
		return false;
	*seconds = days_from_civil(date.year, date.month, date.day) * 86400 +
		date.hour * 3600 + date.minute * 60 + date.second;
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
