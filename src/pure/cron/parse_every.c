/*
 * parse_every.c
 *		every <interval>: "every" { [number] unit }
 */
#include "pure/cron/parse_text.h"

#include <string.h>

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
		if (cron_word_is(word, length, units[i].name))
			return units[i].seconds;
	return 0;
}

static bool
fail_unit(CronParser *p, int pos, int length)
{
	const char *word = p->text + pos;
	bool		calendar;
	bool		fraction;

	calendar = cron_word_is(word, length, "month") ||
		cron_word_is(word, length, "months") || cron_word_is(word, length, "year") ||
		cron_word_is(word, length, "years") || cron_word_is(word, length, "mon");
	fraction = cron_word_is(word, length, "ms") || cron_word_is(word, length, "us") ||
		cron_word_is(word, length, "millisecond") ||
		cron_word_is(word, length, "milliseconds") ||
		cron_word_is(word, length, "microsecond") ||
		cron_word_is(word, length, "microseconds");
	if (calendar)
		return cron_fail(p, pos, length, "Use fields: \"0 0 1 * *\" is the first "
						 "of each month, \"0 0 1 1,7 *\" each half year.",
						 "an interval cannot be given in \"%.*s\"", length, word);
	if (fraction)
		return cron_fail(p, pos, length, "The shortest interval is one second.",
						 "an interval cannot be shorter than a second");
	if (length == 0)
		return cron_fail(p, pos, 0, which_intervals, "unit of time expected");
	return cron_fail(p, pos, length, which_intervals,
					 "unexpected \"%.*s\" in the interval", quoted(length), word);
}

/* A number and a unit at p->pos; adds to the interval */
static bool
parse_part(CronParser *p, int64_t *interval, int64_t *last_unit)
{
	int			start = p->pos;
	int64_t		number = 1;
	int			unit;
	int64_t		seconds;

	if (is_digit(peek(p)))
	{
		number = cron_read_digits(p);
		if (peek(p) == '.' || peek(p) == ',')
			return cron_fail(p, start, cron_token_end(p, p->pos + 1) - start,
							 "Use a smaller unit, for example \"every 90 "
							 "seconds\".", "the interval must be a whole number");
	}
	else if (*interval > 0)
		return fail_unit(p, p->pos, cron_token_end(p, p->pos) - p->pos);
	while (is_blank(peek(p)))
		p->pos++;
	unit = p->pos;
	if (is_letter(peek(p)))
		p->pos = cron_token_end(p, p->pos);
	seconds = unit_seconds(p->text + unit, p->pos - unit);
	if (seconds == 0)
		return fail_unit(p, unit, (p->pos > unit ? p->pos :
								   cron_token_end(p, unit)) - unit);
	if (seconds >= *last_unit)
		return cron_fail(p, unit, p->pos - unit, "Larger units come first, each at "
						 "most once: \"every 1 hour 30 minutes\".",
						 "unexpected unit \"%.*s\" in the interval", p->pos - unit,
						 p->text + unit);
	*last_unit = seconds;
	*interval += number * seconds;
	if (*interval > 0 && *interval <= CRON_INTERVAL_MAX)
		return true;
	return cron_fail(p, start, p->pos - start, "It can be from 1 second to 36525 "
					 "days.", "the interval is out of range");
}

bool
cron_parse_every(CronParser *p, int pos)
{
	int64_t		interval = 0;
	int64_t		last_unit = INT64_MAX;

	p->pos = pos;
	p->end = (int) strlen(p->text);
	do
	{
		while (is_blank(peek(p)))
			p->pos++;
		if (p->pos >= p->end && interval > 0)
			break;
		if (p->pos >= p->end)
			return cron_fail(p, p->pos, 0, which_intervals,
							 "interval expected after \"every\"");
		if (!parse_part(p, &interval, &last_unit))
			return false;
	} while (p->pos < p->end);
	p->out->interval = interval;
	return true;
}
