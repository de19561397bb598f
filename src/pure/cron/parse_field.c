/*
 * parse_field.c
 *		One field of a schedule: lists of values, ranges and steps, and what days
 *		have besides.
 *
 *		field		item { "," item }
 *		item		( "*" | "?" | value [ "-" value ] ) [ "/" step ]
 *		of month	| L | L-n | LW | L-nW | nW
 *		of week		| wL | w#n
 *
 * Choices where implementations differ:
 *		a/n			from a to the end of the field, each n-th
 *		a-b			goes on from the beginning of the field if b comes before a:
 *					22-6, fri-mon, nov-feb.  sun at the end of a range is 7
 *		* /n		n may not exceed the number of values in the field: * /90 in
 *					minutes is not each 90 minutes
 *		?			the same as *
 */
#include "pure/cron/parse_text.h"

#include <assert.h>
#include <string.h>

static const CronFieldRule field_rules[N_FIELDS] = {
	{
		"second", 0, 59, 60, "",
		"Allowed for the second: 0 to 59, lists (0,30), ranges (10-20), "
		"steps (*/10), and * for each."
	},
	{
		"minute", 0, 59, 60, "",
		"Allowed for the minute: 0 to 59, lists (0,30), ranges (10-20), "
		"steps (*/10), and * for each."
	},
	{
		"hour", 0, 23, 24, "",
		"Allowed for the hour: 0 to 23, lists (8,17), ranges (9-17), "
		"steps (*/2), and * for each."
	},
	{
		"day of month", 1, 31, 31, "",
		"Allowed for the day of month: 1 to 31, lists (1,15), ranges (1-7), "
		"steps (*/2), L (last day), L-3, LW (last weekday), 15W (nearest "
		"weekday), and * for each."
	},
	{
		"month", 1, 12, 12, "janfebmaraprmayjunjulaugsepoctnovdec",
		"Allowed for the month: 1 to 12 or jan to dec, lists (jan,jul), "
		"ranges (jun-aug), steps (*/3), and * for each."
	},
	{
		"day of week", 0, 7, 7, "sunmontuewedthufrisat",
		"Allowed for the day of week: 0 to 7 or sun to sat (0 and 7 are "
		"Sunday), lists (mon,thu), ranges (mon-fri), 5L (last Friday), 6#3 "
		"(third Saturday), and * for each."
	},
};

/* A number or a name */
typedef struct Value
{
	int			pos;
	int			length;
	int			value;
} Value;

/* ------------------------------------------------------------------------
 * Values
 * ------------------------------------------------------------------------ */

/* Read digits of a field, where no number comes near a million */
static int
read_small(CronParser *p)
{
	int64_t		number = cron_read_digits(p);

	return number < 1000000 ? (int) number : 1000000;
}

/* A number within bounds; "what" names it in errors */
static bool
read_number(CronParser *p, const char *what, int min, int max, int *number)
{
	int			start = p->pos;

	if (!is_digit(peek(p)))
	{
		cron_fail_unexpected(p);
		cron_hint(p, "Here stands the %s, a number from %d to %d.", what, min,
				  max);
		return false;
	}
	*number = read_small(p);
	if (*number >= min && *number <= max)
		return true;
	cron_fail(p, start, p->pos - start, NULL,
			  "%s \"%.*s\" is out of range for the %s", what,
			  quoted(p->pos - start), p->text + start, p->rule->name);
	cron_hint(p, "It can be from %d to %d here.", min, max);
	return false;
}

/* A value of the field: a number or a name */
static bool
read_value(CronParser *p, Value *value)
{
	const char *names = p->rule->names;
	int			i;

	value->pos = p->pos;
	if (is_digit(peek(p)))
	{
		value->value = read_small(p);
		value->length = p->pos - value->pos;
		if (value->value >= p->rule->min && value->value <= p->rule->max)
			return true;
		cron_fail(p, value->pos, value->length, NULL,
				  "\"%.*s\" is out of range for the %s", quoted(value->length),
				  p->text + value->pos, p->rule->name);
		if (value->value >= 1970 && value->value <= 9999)
			cron_hint(p, "There is no field for years: five fields are minute, "
					  "hour, day of month, month, day of week; the first of six "
					  "is the second.");
		return false;
	}
	for (i = 0; names[3 * i] != '\0'; i++)
	{
		if (p->end - p->pos < 3 ||
			lower(p->text[p->pos]) != names[3 * i] ||
			lower(p->text[p->pos + 1]) != names[3 * i + 1] ||
			lower(p->text[p->pos + 2]) != names[3 * i + 2])
			continue;
		value->value = p->rule->min + i;
		value->length = 3;
		p->pos += 3;
		return true;
	}
	cron_fail_unexpected(p);
	return false;
}

/*
 * Add the values from first to last, each step-th.  last may pass the end of
 * the field: then it wraps around.
 */
static void
add_values(CronParser *p, int first, int last, int step)
{
	int			value;

	for (value = first; value <= last; value += step)
		p->values |= UINT64_C(1) <<
			((value - p->rule->min) % p->rule->values + p->rule->min);
}

static bool
read_step(CronParser *p, int *step)
{
	int			start = p->pos;

	if (!accept(p, '/'))
	{
		*step = 1;
		return true;
	}
	if (read_number(p, "step", 1, p->rule->values, step))
		return true;
	if (p->kind <= FIELD_HOUR && p->err != NULL && p->err->length > 0 &&
		p->err->position == start + 1 && is_digit(p->text[start + 1]))
		cron_hint(p, "A step counts within the field, from 1 to %d here. For "
				  "longer intervals write, for example, \"every 90 minutes\".",
				  p->rule->values);
	return false;
}

/* ------------------------------------------------------------------------
 * Items of a field
 * ------------------------------------------------------------------------ */

/* L, L-n, LW, L-nW in the day of month; L has been read */
static bool
parse_last_day(CronParser *p)
{
	int			before = 0;

	if (accept(p, '-') && !read_number(p, "distance", 1, 30, &before))
		return false;
	if (accept(p, 'w'))
		p->out->near_last_days |= UINT32_C(1) << before;
	else
		p->out->last_days |= UINT32_C(1) << before;
	return true;
}

/* wL and w#n in the day of week; the weekday has been read.  false: neither */
static bool
parse_weekday_of_month(CronParser *p, const Value *value, bool *ok)
{
	uint8_t		bit = (uint8_t) (1 << value->value % 7);
	int			n;

	*ok = true;
	if (accept(p, 'l'))
		p->out->last_weekdays |= bit;
	else if (accept(p, '#'))
	{
		*ok = read_number(p, "number", 1, 5, &n);
		if (*ok)
			p->out->nth_weekdays[n - 1] |= bit;
		else if (p->err != NULL)
			cron_hint(p, "After # comes which one of the month, from 1 to 5: 6#3 "
					  "is the third Saturday. The last one is written 6L.");
	}
	else
		return false;
	return true;
}

/* A value, or a range, or a value and a step up to the end of the field */
static bool
parse_range(CronParser *p)
{
	Value		from;
	Value		to;
	int			step;
	bool		ok;

	if (!read_value(p, &from))
		return false;
	if (p->kind == FIELD_DAY && accept(p, 'w'))
	{
		assert(from.value <= 31);
		p->out->near_days |= UINT32_C(1) << from.value;
		return true;
	}
	if (p->kind == FIELD_WEEKDAY && parse_weekday_of_month(p, &from, &ok))
		return ok;

	to = from;
	if (accept(p, '-'))
	{
		if (!read_value(p, &to))
			return false;
		if (to.value < from.value)
			to.value += p->rule->values;
	}
	else if (peek(p) == '/')
	{
		from.value = (from.value - p->rule->min) % p->rule->values +
			p->rule->min;
		to.value = p->rule->min + p->rule->values - 1;
	}
	if (!read_step(p, &step))
		return false;
	add_values(p, from.value, to.value, step);
	return true;
}

static bool
parse_item(CronParser *p)
{
	int			step;

	if (accept(p, '*') || accept(p, '?'))
	{
		if (!read_step(p, &step))
			return false;
		add_values(p, p->rule->min, p->rule->min + p->rule->values - 1, step);
		return true;
	}
	if (p->kind == FIELD_DAY && accept(p, 'l'))
		return parse_last_day(p);
	return parse_range(p);
}

/* What follows an item is neither the end nor a comma */
static bool
fail_after_item(CronParser *p, int start)
{
	int			length = cron_token_end(p, p->pos) - p->pos;

	cron_fail(p, p->pos, length, NULL,
			  "unexpected \"%.*s\" after \"%.*s\" in the %s", quoted(length),
			  p->text + p->pos, quoted(p->pos - start), p->text + start,
			  p->rule->name);
	if (p->rule->names[0] != '\0' && is_letter(p->text[p->pos]) &&
		p->pos - start == 3 && is_letter(p->text[start]))
		cron_hint(p, "Names of months and weekdays have three letters.");
	return false;
}

bool
cron_parse_field(CronParser *p, CronField kind, int start, int end)
{
	p->kind = kind;
	p->rule = &field_rules[kind];
	p->pos = start;
	p->end = end;
	p->values = 0;
	do
	{
		int			item = p->pos;

		if (!parse_item(p))
			return false;
		if (p->pos < p->end && p->text[p->pos] != ',')
			return fail_after_item(p, item);
	} while (accept(p, ','));
	return true;
}
