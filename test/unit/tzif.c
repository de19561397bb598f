/*
 * tzif.c
 *		A reader of the tz database's files.
 *
 * The tests do not use localtime() for zones: it knows one zone at a time and
 * does not tell transitions.  test_tzif.c compares the two.
 */
#include "tzif.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t
big_endian(const unsigned char *p, int size)
{
	uint64_t	value = p[0] & 0x80 ? UINT64_MAX : 0;

	while (size-- > 0)
		value = value << 8 | *p++;
	return (int64_t) value;
}

/* ------------------------------------------------------------------------
 * The footer
 * ------------------------------------------------------------------------ */

static bool
skip_name(const char **s)
{
	const char *start = *s;

	if (**s == '<')
	{
		*s += strcspn(*s, ">");
		return *(*s)++ == '>';
	}
	while (isalpha((unsigned char) **s))
		(*s)++;
	return *s > start;
}

/* [+-]h[:m[:s]] as seconds */
static int
read_hms(const char **s)
{
	int			sign = 1;
	int			value = 0;
	int			unit;

	if (**s == '+' || **s == '-')
		sign = *(*s)++ == '-' ? -1 : 1;
	for (unit = 3600; unit > 0; unit /= 60)
	{
		value += (int) strtol(*s, (char **) s, 10) * unit;
		if (**s != ':')
			break;
		(*s)++;
	}
	return sign * value;
}

static bool
read_rule(const char **s, TzRule *rule)
{
	if (*(*s)++ != ',')
		return false;
	if (**s == 'M')
	{
		int			n = 0;

		rule->kind = 'M';
		if (sscanf(*s, "M%d.%d.%d%n", &rule->month, &rule->week, &rule->day,
				   &n) != 3)
			return false;
		*s += n;
	}
	else
	{
		rule->kind = **s == 'J' ? 'J' : '0';
		*s += **s == 'J';
		rule->day = (int) strtol(*s, (char **) s, 10);
	}
	rule->time = 7200;
	if (**s == '/')
	{
		(*s)++;
		rule->time = read_hms(s);
	}
	return true;
}

static bool
read_footer(const char *s, TzFooter *footer)
{
	footer->present = true;
	if (!skip_name(&s))
		return false;
	footer->std_offset = -read_hms(&s);
	if (*s == '\0')
		return true;
	footer->has_dst = true;
	if (!skip_name(&s))
		return false;
	footer->dst_offset = footer->std_offset + 3600;
	if (*s != ',')
		footer->dst_offset = -read_hms(&s);
	return read_rule(&s, &footer->start) && read_rule(&s, &footer->end) &&
		*s == '\0';
}

/* Days from 1970-01-01 to January 1st */
static int64_t
year_start(int64_t year)
{
	int64_t		y = year - 1 + 40000;	/* whole leap cycles, so positive */

	return (y * 365 + y / 4 - y / 100 + y / 400) -
		(INT64_C(41969) * 365 + 41969 / 4 - 41969 / 100 + 41969 / 400);
}

/* The local second at which a rule applies in a year */
static int64_t
rule_time(const TzRule *rule, int64_t year)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273,
	304, 334, 365};
	bool		leap = year_start(year + 1) - year_start(year) == 366;
	int64_t		day = year_start(year);

	if (rule->kind == 'M')
	{
		int			length;
		int			first;
		int			n;

		length = before[rule->month] - before[rule->month - 1] +
			(rule->month == 2 && leap);
		day += before[rule->month - 1] + (rule->month > 2 && leap);
		first = (int) (((day + 4) % 7 + 7) % 7);	/* 1970-01-01: Thursday */
		n = (rule->day - first + 7) % 7 + 7 * (rule->week - 1);
		while (n >= length)
			n -= 7;
		day += n;
	}
	else if (rule->kind == 'J')
		day += rule->day - 1 + (leap && rule->day >= 60);
	else
		day += rule->day;
	return day * 86400 + rule->time;
}

static void
footer_lookup(const TzFooter *footer, int64_t t, int32_t *offset,
			  int64_t *from, int64_t *until)
{
	int64_t		year = 1970 + (t + footer->std_offset) / 31556952 - 2;
	int			i;

	*offset = footer->std_offset;
	if (!footer->has_dst)
		return;

	/* The changes of a few years around, in whatever order they come */
	for (i = 0; i < 5; i++, year++)
	{
		int64_t		change[2];
		int			j;

		change[0] = rule_time(&footer->start, year) - footer->std_offset;
		change[1] = rule_time(&footer->end, year) - footer->dst_offset;
		for (j = 0; j < 2; j++)
		{
			if (change[j] <= t && change[j] >= *from)
			{
				*from = change[j];
				*offset = j == 0 ? footer->dst_offset : footer->std_offset;
			}
			if (change[j] > t && change[j] < *until)
				*until = change[j];
		}
	}
}

/* ------------------------------------------------------------------------
 * Zones
 * ------------------------------------------------------------------------ */

static void
lookup(void *arg, int64_t t, int32_t *offset, int64_t *from, int64_t *until)
{
	const TzFile *tz = arg;
	int			low = 0;
	int			high = tz->n;	/* transitions up to t: low <= n <= high */

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (tz->at[middle] <= t)
			low = middle + 1;
		else
			high = middle;
	}
	*from = low > 0 ? tz->at[low - 1] : INT64_MIN;
	*until = low < tz->n ? tz->at[low] : INT64_MAX;
	*offset = low > 0 ? tz->offset[low - 1] : tz->first_offset;
	if (low == tz->n && tz->footer.present)
	{
		int32_t		known = *offset;
		int64_t		start = *from;

		footer_lookup(&tz->footer, t, offset, from, until);
		if (*from == start && low > 0)
			*offset = known;	/* the footer has not begun to say anything */
	}
}

TzFile *
tz_make(int32_t first_offset, int n, const int64_t *at, const int32_t *offset)
{
	TzFile	   *tz = calloc(1, sizeof(TzFile));

	tz->zone.arg = tz;
	tz->zone.lookup = lookup;
	tz->first_offset = first_offset;
	tz->n = n;
	tz->at = malloc(sizeof(int64_t) * (size_t) (n + 1));
	tz->offset = malloc(sizeof(int32_t) * (size_t) (n + 1));
	if (n > 0)
	{
		memcpy(tz->at, at, sizeof(int64_t) * (size_t) n);
		memcpy(tz->offset, offset, sizeof(int32_t) * (size_t) n);
	}
	return tz;
}

void
tz_free(TzFile *tz)
{
	free(tz->at);
	free(tz->offset);
	free(tz);
}

/* Sizes in a header: isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt */
static size_t
body_size(const unsigned char *header, int time_size)
{
	size_t		count[6];
	int			i;

	for (i = 0; i < 6; i++)
		count[i] = (size_t) big_endian(header + 20 + 4 * i, 4);
	return count[3] * (size_t) (time_size + 1) + count[4] * 6 + count[5] +
		count[2] * (size_t) (time_size + 4) + count[1] + count[0];
}

static TzFile *
parse_file(unsigned char *data, size_t size)
{
	unsigned char *header = data;
	unsigned char *times;
	unsigned char *index;
	unsigned char *types;
	char	   *footer;
	TzFile	   *tz;
	int			n;
	int			i;

	if (size < 44 || memcmp(data, "TZif", 4) != 0 || data[4] < '2')
		return NULL;
	header += 44 + body_size(data, 4);
	n = (int) big_endian(header + 32, 4);
	times = header + 44;
	index = times + 8 * n;
	types = index + n;
	footer = (char *) header + 44 + body_size(header, 8);

	tz = tz_make((int32_t) big_endian(types, 4), 0, NULL, NULL);
	tz->at = realloc(tz->at, sizeof(int64_t) * (size_t) (n + 1));
	tz->offset = realloc(tz->offset, sizeof(int32_t) * (size_t) (n + 1));
	for (i = 0; i < n; i++)
	{
		int32_t		offset = (int32_t) big_endian(types + 6 * index[i], 4);

		/* Changes of name only are no changes */
		if (offset == (tz->n > 0 ? tz->offset[tz->n - 1] : tz->first_offset))
			continue;
		tz->at[tz->n] = big_endian(times + 8 * i, 8);
		tz->offset[tz->n++] = offset;
	}
	if (*footer++ == '\n' && *footer != '\n')
	{
		footer[strcspn(footer, "\n")] = '\0';
		if (!read_footer(footer, &tz->footer))
		{
			tz_free(tz);
			return NULL;
		}
	}
	return tz;
}

TzFile *
tz_load(const char *name)
{
	static unsigned char data[262144];
	char		path[512];
	size_t		size;
	FILE	   *file;

	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	file = fopen(path, "rb");
	if (file == NULL)
		return NULL;
	size = fread(data, 1, sizeof(data) - 1, file);
	fclose(file);
	data[size] = '\0';
	return parse_file(data, size);
}
