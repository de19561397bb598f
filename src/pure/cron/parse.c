/*
 * parse.c
 *		From text to CronSchedule, strictly: what is not fully understood is an
 *		error that says where it is and what would be allowed there.
 *
 *		schedule	field{5,6} | "@" name | "every" { [number] unit }
 *		field		item { "," item }
 *		item		( "*" | "?" | value [ "-" value ] ) [ "/" step ]
 *		of month	| L | L-n | LW | L-nW | nW
 *		of week		| wL | w#n
 *
 * Choices where implementations differ:
 *		a/n			from a to the end of the field, each n-th
 *		a-b			numbers must rise; names may wrap around: fri-mon, nov-feb.
 *					sun at the end of a range is 7
 *		* /n		n may not exceed the number of values in the field: * /90 in
 *					minutes is not each 90 minutes
 *		?			the same as *
 * Letters may be of either case.  Fields are separated by blanks or tabs.
 */
#include "pure/cron/cron.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef enum FieldKind
{
	FIELD_SECOND,
	FIELD_MINUTE,
	FIELD_HOUR,
	FIELD_DAY,
	FIELD_MONTH,
	FIELD_WEEKDAY
} FieldKind;

#define N_FIELDS	6

/* A local time, and after how many seconds the calendar repeats itself */
#define YEAR_2000	INT64_C(946684800)
#define CALENDAR	(INT64_C(146097) * 86400)

typedef struct FieldRule
{
	const char *name;
	int			min;
	int			max;
	int			values;			/* how many different ones */
	const char *names;			/* three letters each, from value "min" on */
	const char *allowed;		/* the hint */
} FieldRule;

static const FieldRule field_rules[N_FIELDS] = {
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

/* What is being read: one word of the text */
typedef struct Parser
{
	const char *text;
	int			pos;			/* of the next character */
	int			end;			/* of the word */
	CronError  *err;			/* may be NULL */
	const FieldRule *rule;		/* of the field, NULL outside of one */
	FieldKind	kind;
	uint64_t	values;			/* of the field, as bits */
	CronSchedule *out;
} Parser;

/* A number or a name */
typedef struct Value
{
	int			pos;
	int			length;
	int			value;
	bool		is_name;
} Value;

/* ------------------------------------------------------------------------
 * Errors and characters
 * ------------------------------------------------------------------------ */

/* Note an error.  Returns false, for the caller to return */
__attribute__((format(printf, 5, 6)))
static bool
fail(Parser *p, int pos, int length, const char *hint, const char *format,...)
{
	va_list		args;

	if (p->err == NULL)
		return false;
	p->err->position = pos;
	p->err->length = length;
	va_start(args, format);
	vsnprintf(p->err->message, sizeof(p->err->message), format, args);
	va_end(args);
	snprintf(p->err->hint, sizeof(p->err->hint), "%s",
			 hint != NULL ? hint : p->rule->allowed);
	return false;
}

/* Replace the hint of an error.  Returns false too */
__attribute__((format(printf, 2, 3)))
static bool
hint(Parser *p, const char *format,...)
{
	va_list		args;

	if (p->err == NULL)
		return false;
	va_start(args, format);
	vsnprintf(p->err->hint, sizeof(p->err->hint), format, args);
	va_end(args);
	return false;
}

/* For "%.*s": as much of a piece as messages quote */
static inline int
quoted(int length)
{
	return length < 40 ? length : 40;
}

static inline bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ASCII only, whatever the locale */
static inline char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static inline bool
is_letter(char c)
{
	return lower(c) >= 'a' && lower(c) <= 'z';
}

/* The next character of the word, in lower case; NUL at its end */
static inline char
peek(const Parser *p)
{
	return p->pos < p->end ? lower(p->text[p->pos]) : '\0';
}

static bool
accept(Parser *p, char c)
{
	if (peek(p) != c)
		return false;
	p->pos++;
	return true;
}

static bool
word_is(const char *text, int length, const char *name)
{
	int			i;

	for (i = 0; i < length; i++)
		if (lower(text[i]) != name[i])
			return false;		/* also when the name ends first */
	return name[length] == '\0';
}

/* End of the run of letters, or of digits, or of the one character at pos */
static int
token_end(const Parser *p, int pos)
{
	int			end = pos;

	if (pos >= p->end)
		return pos;
	while (end < p->end && is_digit(p->text[end]))
		end++;
	if (end > pos)
		return end;
	while (end < p->end && is_letter(p->text[end]))
		end++;
	return end > pos ? end : pos + 1;
}

/* What stands at the position cannot stand there */
static bool
fail_unexpected(Parser *p)
{
	int			length = token_end(p, p->pos) - p->pos;

	if (p->pos >= p->end || p->text[p->pos] == ',')
		return fail(p, p->pos, p->pos < p->end, NULL,
					"value expected for the %s", p->rule->name);
	return fail(p, p->pos, length, NULL, "unexpected \"%.*s\" in the %s",
				quoted(length), p->text + p->pos, p->rule->name);
}

/*
 * A character that has no business in a schedule.  It may be any byte: name
 * it, do not quote it.
 */
static bool
fail_character(Parser *p, int pos)
{
	const unsigned char *c = (const unsigned char *) p->text + pos;
	static const char allowed[] =
		"Schedules are written with ASCII letters, digits, * ? , - / # @ and "
		"blanks.";
	int			length = 1;

	while (c[0] >= 0xc0 && length < 4 && (c[length] & 0xc0) == 0x80)
		length++;
	if (length > 1)
		return fail(p, pos, length, allowed,
					"schedule contains a character that is not ASCII");
	return fail(p, pos, 1, allowed,
				"schedule contains the byte 0x%02x, which is not allowed", *c);
}

/* ------------------------------------------------------------------------
 * Values
 * ------------------------------------------------------------------------ */

/* Read digits; what is too large for any use stays above the longest interval */
static int64_t
read_digits(Parser *p)
{
	int64_t		number = 0;

	for (; p->pos < p->end && is_digit(p->text[p->pos]); p->pos++)
		if (number <= CRON_INTERVAL_MAX)
			number = number * 10 + (p->text[p->pos] - '0');
	return number <= CRON_INTERVAL_MAX ? number : CRON_INTERVAL_MAX + 1;
}

/* The same within a field, where no number comes near a million */
static int
read_small(Parser *p)
{
	int64_t		number = read_digits(p);

	return number < 1000000 ? (int) number : 1000000;
}

/* A number within bounds; "what" names it in errors */
static bool
read_number(Parser *p, const char *what, int min, int max, int *number)
{
	int			start = p->pos;

	if (!is_digit(peek(p)))
	{
		fail_unexpected(p);
		hint(p, "Here stands the %s, a number from %d to %d.", what, min,
			 max);
		return false;
	}
	*number = read_small(p);
	if (*number >= min && *number <= max)
		return true;
	fail(p, start, p->pos - start, NULL,
		 "%s \"%.*s\" is out of range for the %s", what,
		 quoted(p->pos - start), p->text + start, p->rule->name);
	hint(p, "It can be from %d to %d here.", min, max);
	return false;
}

/* A value of the field: a number or a name */
static bool
read_value(Parser *p, Value *value)
{
	const char *names = p->rule->names;
	int			i;

	value->pos = p->pos;
	value->is_name = false;
	if (is_digit(peek(p)))
	{
		value->value = read_small(p);
		value->length = p->pos - value->pos;
		if (value->value >= p->rule->min && value->value <= p->rule->max)
			return true;
		fail(p, value->pos, value->length, NULL,
			 "\"%.*s\" is out of range for the %s", quoted(value->length),
			 p->text + value->pos, p->rule->name);
		if (value->value >= 1970 && value->value <= 9999)
			hint(p, "There is no field for years: five fields are minute, "
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
		value->is_name = true;
		value->length = 3;
		p->pos += 3;
		return true;
	}
	return fail_unexpected(p);
}

/*
 * Add the values from first to last, each step-th.  last may pass the end of
 * the field: then it wraps around.
 */
static void
add_values(Parser *p, int first, int last, int step)
{
	int			value;

	for (value = first; value <= last; value += step)
		p->values |= UINT64_C(1) <<
			((value - p->rule->min) % p->rule->values + p->rule->min);
}

static bool
read_step(Parser *p, int *step)
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
		hint(p, "A step counts within the field, from 1 to %d here. For "
			 "longer intervals write, for example, \"every 90 minutes\".",
			 p->rule->values);
	return false;
}

/* The second value of a range is smaller than the first */
static bool
fail_reversed(Parser *p, const Value *from, const Value *to)
{
	int			length = to->pos + to->length - from->pos;
	int			max = p->kind == FIELD_WEEKDAY ? 6 : p->rule->max;

	fail(p, from->pos, length, NULL, "range \"%.*s\" of the %s is reversed",
		 quoted(length), p->text + from->pos, p->rule->name);
	if (from->value > max)
		return hint(p, "Write \"%d-%d\": Sunday is 0 at the beginning of a "
					"range.", p->rule->min, to->value);
	if (p->rule->names[0] != '\0')
		return hint(p, "Write \"%d-%d,%d-%d\", or use names, which may wrap "
					"around: \"%.3s-%.3s\".", from->value, max, p->rule->min,
					to->value,
					p->rule->names + 3 * (from->value - p->rule->min),
					p->rule->names + 3 * (to->value - p->rule->min));
	return hint(p, "Write \"%d-%d,%d-%d\" if it is meant to go on from the "
				"beginning.", from->value, max, p->rule->min, to->value);
}

/* ------------------------------------------------------------------------
 * Items of a field
 * ------------------------------------------------------------------------ */

/* L, L-n, LW, L-nW in the day of month; L has been read */
static bool
parse_last_day(Parser *p)
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
parse_weekday_of_month(Parser *p, const Value *value, bool *ok)
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
			hint(p, "After # comes which one of the month, from 1 to 5: 6#3 "
				 "is the third Saturday. The last one is written 6L.");
	}
	else
		return false;
	return true;
}

/* A value, or a range, or a value and a step up to the end of the field */
static bool
parse_range(Parser *p)
{
	Value		from;
	Value		to;
	int			step;
	bool		ok;

	if (!read_value(p, &from))
		return false;
	if (p->kind == FIELD_DAY && accept(p, 'w'))
	{
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
		if (p->kind == FIELD_WEEKDAY && to.is_name && to.value == 0 &&
			from.value > 0)
			to.value = 7;
		if (to.value < from.value && from.is_name && to.is_name)
			to.value += p->rule->values;
		if (to.value < from.value)
			return fail_reversed(p, &from, &to);
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
parse_item(Parser *p)
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
fail_after_item(Parser *p, int start)
{
	int			length = token_end(p, p->pos) - p->pos;

	fail(p, p->pos, length, NULL,
		 "unexpected \"%.*s\" after \"%.*s\" in the %s", quoted(length),
		 p->text + p->pos, quoted(p->pos - start), p->text + start,
		 p->rule->name);
	if (p->rule->names[0] != '\0' && is_letter(p->text[p->pos]) &&
		p->pos - start == 3 && is_letter(p->text[start]))
		hint(p, "Names of months and weekdays have three letters.");
	return false;
}

static bool
parse_field(Parser *p, FieldKind kind, int start, int end)
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

/* ------------------------------------------------------------------------
 * Schedules
 * ------------------------------------------------------------------------ */

/* The words of a text, up to one more than a schedule can have */
typedef struct Words
{
	int			n;
	int			start[N_FIELDS + 1];
	int			end[N_FIELDS + 1];
} Words;

static const char which_fields[] =
"Five fields are minute, hour, day of month, month and day of week; a sixth in "
"front is the second. Example: \"0 8 * * mon\" is each Monday at 08:00.";

static void
split_words(const char *text, Words *words)
{
	int			pos = 0;

	words->n = 0;
	for (;;)
	{
		while (is_blank(text[pos]))
			pos++;
		if (text[pos] == '\0' || words->n > N_FIELDS)
			return;
		words->start[words->n] = pos;
		while (text[pos] != '\0' && !is_blank(text[pos]))
			pos++;
		words->end[words->n++] = pos;
	}
}

static bool
is_star(char c)
{
	return c == '*' || c == '?';
}

/* Names of the days and months, when no date in 400 years has them */
static bool
fail_never(Parser *p, const Words *w)
{
	int			day = w->start[w->n - 3];
	int			day_length = w->end[w->n - 3] - day;
	int			month = w->start[w->n - 2];
	int			month_size = w->end[w->n - 2] - month;
	int			weekday = w->start[w->n - 1];
	int			weekday_size = w->end[w->n - 1] - weekday;
	CronSchedule any_weekday = *p->out;
	int64_t		found;

	/* Is it the day of week that leaves nothing of the days there are? */
	any_weekday.weekdays = 0x7f;
	if (p->out->days != UINT32_C(0xfffffffe) &&
		cron_next_local(&any_weekday, YEAR_2000, &found))
	{
		fail(p, weekday, weekday_size, "",
			 "schedule can never fire: in no month \"%.*s\" is the day "
			 "\"%.*s\" a day of week \"%.*s\"", quoted(month_size),
			 p->text + month, quoted(day_length), p->text + day,
			 quoted(weekday_size), p->text + weekday);
		return hint(p, "As one of the two begins with *, both the day of "
					"month and the day of week must match.");
	}
	if (is_star(p->text[day]))
	{
		fail(p, weekday, weekday_size, "",
			 "schedule can never fire: no month \"%.*s\" has the day of week "
			 "\"%.*s\"", quoted(month_size), p->text + month,
			 quoted(weekday_size), p->text + weekday);
		return hint(p, "February has at most 29 days, and a fifth of a "
					"weekday only if that is the 29th.");
	}
	fail(p, day, day_length, "",
		 "schedule can never fire: no month \"%.*s\" has the day \"%.*s\"",
		 quoted(month_size), p->text + month, quoted(day_length),
		 p->text + day);
	return hint(p, "April, June, September and November have 30 days, "
				"February has 28 or 29. \"L\" is the last day of any month.");
}

/* The words are the fields */
static bool
parse_fields(Parser *p, const Words *w)
{
	CronSchedule *out = p->out;
	int			first = w->n == N_FIELDS ? 0 : 1;
	uint64_t	values[N_FIELDS] = {1};
	bool		star[N_FIELDS] = {false};
	int64_t		found;
	int			i;

	for (i = first; i < N_FIELDS; i++)
	{
		if (!parse_field(p, (FieldKind) i, w->start[i - first],
						 w->end[i - first]))
			return false;
		values[i] = p->values;
		star[i] = is_star(p->text[w->start[i - first]]);
	}
	out->seconds = values[FIELD_SECOND];
	out->minutes = values[FIELD_MINUTE];
	out->hours = (uint32_t) values[FIELD_HOUR];
	out->days = (uint32_t) values[FIELD_DAY];
	out->months = (uint16_t) values[FIELD_MONTH];
	out->weekdays = (uint8_t) values[FIELD_WEEKDAY];
	out->minutes_star = star[FIELD_MINUTE];
	out->hours_star = star[FIELD_HOUR];
	out->days_star = star[FIELD_DAY];
	out->weekdays_star = star[FIELD_WEEKDAY];

	if (!cron_next_local(out, YEAR_2000, &found) ||
		found >= YEAR_2000 + CALENDAR)
		return fail_never(p, w);
	return true;
}

static bool
parse_macro(Parser *p, const Words *w)
{
	static const struct
	{
		const char *name;
		const char *fields;
	}			macros[] =
	{
		{"@yearly", "0 0 1 1 *"},
		{"@annually", "0 0 1 1 *"},
		{"@monthly", "0 0 1 * *"},
		{"@weekly", "0 0 * * 0"},
		{"@daily", "0 0 * * *"},
		{"@midnight", "0 0 * * *"},
		{"@hourly", "0 * * * *"},
	};
	static const char allowed[] =
		"Allowed: @yearly, @annually, @monthly, @weekly, @daily, @midnight, "
		"@hourly. For other intervals write, for example, \"every 90 "
		"seconds\".";
	const char *word = p->text + w->start[0];
	int			length = w->end[0] - w->start[0];
	Words		fields;
	size_t		i;

	for (i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
	{
		if (!word_is(word, length, macros[i].name))
			continue;
		if (w->n > 1)
			return fail(p, w->start[1], w->end[1] - w->start[1], allowed,
						"unexpected \"%.*s\" after \"%.*s\"",
						quoted(w->end[1] - w->start[1]),
						p->text + w->start[1], length, word);
		p->text = macros[i].fields;
		split_words(p->text, &fields);
		return parse_fields(p, &fields);
	}
	return fail(p, w->start[0], length, allowed, "unknown schedule \"%.*s\"",
				quoted(length), word);
}

/* ------------------------------------------------------------------------
 * every <interval>
 * ------------------------------------------------------------------------ */

static const char which_intervals[] =
"After \"every\" comes an interval of whole seconds, minutes, hours, days or "
"weeks: \"every 90 seconds\", \"every 2 hours\", \"every 1 hour 30 minutes\".";

/* Seconds of a unit; 0: unknown */
static int64_t
unit_seconds(const char *word, int length)
{
	static const struct
	{
		const char *name;
		int64_t		seconds;
	}			units[] =
	{
		{"s", 1}, {"sec", 1}, {"secs", 1}, {"second", 1}, {"seconds", 1},
		{"m", 60}, {"min", 60}, {"mins", 60}, {"minute", 60}, {"minutes", 60},
		{"h", 3600}, {"hr", 3600}, {"hrs", 3600}, {"hour", 3600},
		{"hours", 3600},
		{"d", 86400}, {"day", 86400}, {"days", 86400},
		{"w", 604800}, {"week", 604800}, {"weeks", 604800},
	};
	size_t		i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (word_is(word, length, units[i].name))
			return units[i].seconds;
	return 0;
}

static bool
fail_unit(Parser *p, int pos, int length)
{
	const char *word = p->text + pos;
	bool		calendar;
	bool		fraction;

	calendar = word_is(word, length, "month") ||
		word_is(word, length, "months") || word_is(word, length, "year") ||
		word_is(word, length, "years") || word_is(word, length, "mon");
	fraction = word_is(word, length, "ms") || word_is(word, length, "us") ||
		word_is(word, length, "millisecond") ||
		word_is(word, length, "milliseconds") ||
		word_is(word, length, "microsecond") ||
		word_is(word, length, "microseconds");
	if (calendar)
		return fail(p, pos, length, "Use fields: \"0 0 1 * *\" is the first "
					"of each month, \"0 0 1 1,7 *\" each half year.",
					"an interval cannot be given in \"%.*s\"", length, word);
	if (fraction)
		return fail(p, pos, length, "The shortest interval is one second.",
					"an interval cannot be shorter than a second");
	if (length == 0)
		return fail(p, pos, 0, which_intervals, "unit of time expected");
	return fail(p, pos, length, which_intervals,
				"unexpected \"%.*s\" in the interval", quoted(length), word);
}

/* A number and a unit at p->pos; adds to the interval */
static bool
parse_part(Parser *p, int64_t *interval, int64_t *last_unit)
{
	int			start = p->pos;
	int64_t		number = 1;
	int			unit;
	int64_t		seconds;

	if (is_digit(peek(p)))
	{
		number = read_digits(p);
		if (peek(p) == '.' || peek(p) == ',')
			return fail(p, start, token_end(p, p->pos + 1) - start,
						"Use a smaller unit, for example \"every 90 "
						"seconds\".", "the interval must be a whole number");
	}
	else if (*interval > 0)
		return fail_unit(p, p->pos, token_end(p, p->pos) - p->pos);
	while (is_blank(peek(p)))
		p->pos++;
	unit = p->pos;
	if (is_letter(peek(p)))
		p->pos = token_end(p, p->pos);
	seconds = unit_seconds(p->text + unit, p->pos - unit);
	if (seconds == 0)
		return fail_unit(p, unit, (p->pos > unit ? p->pos :
								   token_end(p, unit)) - unit);
	if (seconds >= *last_unit)
		return fail(p, unit, p->pos - unit, "Larger units come first, each at "
					"most once: \"every 1 hour 30 minutes\".",
					"unexpected unit \"%.*s\" in the interval", p->pos - unit,
					p->text + unit);
	*last_unit = seconds;
	*interval += number * seconds;
	if (*interval > 0 && *interval <= CRON_INTERVAL_MAX)
		return true;
	return fail(p, start, p->pos - start, "It can be from 1 second to 36525 "
				"days.", "the interval is out of range");
}

static bool
parse_every(Parser *p, const Words *w)
{
	int64_t		interval = 0;
	int64_t		last_unit = INT64_MAX;

	p->pos = w->end[0];
	p->end = (int) strlen(p->text);
	do
	{
		while (is_blank(peek(p)))
			p->pos++;
		if (p->pos >= p->end && interval > 0)
			break;
		if (p->pos >= p->end)
			return fail(p, p->pos, 0, which_intervals,
						"interval expected after \"every\"");
		if (!parse_part(p, &interval, &last_unit))
			return false;
	} while (p->pos < p->end);
	p->out->interval = interval;
	return true;
}

/* Characters and length: what all the rest relies on */
static bool
check_text(Parser *p)
{
	int			i;

	for (i = 0; p->text[i] != '\0'; i++)
	{
		unsigned char c = (unsigned char) p->text[i];

		if (i >= CRON_TEXT_MAX)
			return fail(p, i, 0, which_fields,
						"schedule is longer than %d characters",
						CRON_TEXT_MAX);
		if ((c < ' ' && c != '\t') || c >= 0x7f)
			return fail_character(p, i);
	}
	return true;
}

bool
cron_parse(const char *text, CronSchedule *out, CronError *err)
{
	Parser		parser;
	Parser	   *p = &parser;
	Words		words;

	memset(p, 0, sizeof(*p));
	p->text = text;
	p->err = err;
	p->out = out;
	memset(out, 0, sizeof(*out));
	if (!check_text(p))
		return false;
	split_words(text, &words);
	if (words.n == 0)
		return fail(p, 0, 0, which_fields, "schedule is empty");
	if (text[words.start[0]] == '@')
		return parse_macro(p, &words);
	if (word_is(text + words.start[0], words.end[0] - words.start[0], "every"))
		return parse_every(p, &words);
	if (words.n > N_FIELDS)
		return fail(p, words.start[N_FIELDS],
					words.end[N_FIELDS] - words.start[N_FIELDS], which_fields,
					"schedule has more than 6 fields");
	if (words.n < N_FIELDS - 1)
		return fail(p, words.end[words.n - 1], 0, which_fields,
					"schedule has %d field%s, but needs 5 or 6", words.n,
					words.n == 1 ? "" : "s");
	return parse_fields(p, &words);
}
