/*
 * write.c
 *		What pg_cron runs, and what was meant, in words of ours.
 */
#include "pure/pg_cron/pg_cron_schedule.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------ */

/* A text that grows; full is for good */
typedef struct Writer
{
	char	   *buf;			/* PG_CRON_TEXT bytes */
	int			length;
	bool		full;
} Writer;

__attribute__((format(printf, 2, 3)))
static void
put(Writer *w, const char *format,...)
{
	va_list		args;
	int			n;

	if (w->full)
		return;
	va_start(args, format);
	n = vsnprintf(w->buf + w->length, (size_t) (PG_CRON_TEXT - w->length), format, args);
	va_end(args);
	if (n < 0 || n >= PG_CRON_TEXT - w->length)
		w->full = true;
	else
		w->length += n;
}

/* A set as a list of values and ranges; "comma" if something stands before it */
static void
put_list(Writer *w, uint64_t values, const PgCronField *field, bool comma)
{
	int			value = field->min;

	while (value <= field->last)
	{
		int			to = value;

		if ((values >> value & 1) == 0)
		{
			value++;
			continue;
		}
		while (to < field->last && (values >> (to + 1) & 1) != 0)
			to++;
		if (to == value + 1)
			to = value;
		put(w, to > value ? "%s%d-%d" : "%s%d", comma ? "," : "", value, to);
		comma = true;
		value = to + 1;
	}
}

/* The values that each step-th has, from the first on */
static uint64_t
stepped(const PgCronField *field, int step)
{
	uint64_t	values = 0;
	int			value;

	for (value = field->min; value <= field->last; value += step)
		values |= UINT64_C(1) << value;
	return values;
}

/*
 * A set, not empty.  With a star it must start with one if it can; else it must
 * not.
 */
static void
put_set(Writer *w, uint64_t values, const PgCronField *field, bool star)
{
	int			most = field->last - field->min + 1;
	int			step;

	for (step = 1; star && step <= most; step++)
	{
		uint64_t	some = stepped(field, step);

		if ((some & ~values) != 0)
			continue;
		put(w, step == 1 ? "*" : "*/%d", step);
		put_list(w, values & ~some, field, true);
		return;
	}
	put_list(w, values, field, false);
}

/* Sets of a field of ours that is read by itself; false: it cannot be read */
static bool
read_alone(const char *piece, int length, PgCronFieldKind kind, CronSchedule *out)
{
	static const char *const before[] = {"", "* ", "* * ", "* * * ", "* * * * "};
	static const char *const after[] = {" * * * *", " * * *", " * *", " *", ""};
	char		text[PG_CRON_TEXT];

	if (snprintf(text, sizeof(text), "%s%.*s%s", before[kind], length, piece,
				 after[kind]) >= (int) sizeof(text))
		return false;
	return cron_parse(text, out, NULL);
}

/* Check whether a piece means the same to us */
static bool
piece_is_same(const char *piece, int length, PgCronFieldKind kind, uint64_t values, bool star)
{
	CronSchedule c;

	if (!read_alone(piece, length, kind, &c) || pg_cron_lacks(&c) || c.last_days != 0 ||
		star != (piece[0] == '*'))
		return false;
	switch (kind)
	{
		case FIELD_MINUTE:
			return c.minutes == values;
		case FIELD_HOUR:
			return c.hours == values;
		case FIELD_DAY:
			return c.days == values;
		case FIELD_MONTH:
			return c.months == values;
		default:
			return c.weekdays == values;
	}
}

/* A field: its text if that will do */
static void
put_field(Writer *w, const char *text, const PgCronSchedule *p, PgCronFieldKind kind,
		  uint64_t values, bool star)
{
	const PgCronPiece *used = &p->used[kind];

	if (kind > FIELD_MINUTE)
		put(w, " ");
	if (piece_is_same(text + used->pos, used->length, kind, values, star))
		put(w, "%.*s", used->length, text + used->pos);
	else
		put_set(w, values, &pg_cron_fields[kind], star);
}

/* The two fields of days, and the month between them */
static void
put_days(Writer *w, const char *text, const PgCronSchedule *p, const PgCronRules *rules)
{
	bool		days_star = p->days_star;
	bool		weekdays_star = p->weekdays_star;
	uint32_t	days = p->days;
	uint8_t		weekdays = p->weekdays;

	if (days_star || weekdays_star || rules->both_days)
	{
		/* one of them must start with a star; not each set can */
		if (!days_star && !weekdays_star)
		{
			days_star = (days & 2) != 0;
			weekdays_star = !days_star;
		}
	}
	else if (days == 0 && !p->last_day)
	{
		/* either of the two, but one is empty */
		days = PG_CRON_ALL_DAYS;
		days_star = true;
	}
	else if (weekdays == 0)
	{
		weekdays = PG_CRON_ALL_WEEKDAYS;
		weekdays_star = true;
	}
	if (p->last_day)
		put(w, " L");
	else
		put_field(w, text, p, FIELD_DAY, days, days_star);
	put_field(w, text, p, FIELD_MONTH, p->months, text[p->used[FIELD_MONTH].pos] == '*');
	put_field(w, text, p, FIELD_WEEKDAY, weekdays, weekdays_star);
}

bool
pg_cron_write(const char *text, const PgCronSchedule *p, const PgCronRules *rules, char *buf)
{
	Writer		w = {buf, 0, false};
	PgCronDays	days = pg_cron_days(p, rules);
	CronSchedule c;

	if (p->interval > 0)
		put(&w, "every %d second%s", p->interval, p->interval == 1 ? "" : "s");
	else if (p->minutes == 0 || p->hours == 0 || p->months == 0 ||
			 (days.days == 0 && !days.last_day) || days.weekdays == 0)
		return false;
	else if (p->macro)
		put(&w, "%.*s", p->used[0].length, text + p->used[0].pos);
	else
	{
		put_field(&w, text, p, FIELD_MINUTE, p->minutes, p->minutes_star);
		put_field(&w, text, p, FIELD_HOUR, p->hours, text[p->used[FIELD_HOUR].pos] == '*');
		put_days(&w, text, p, rules);
	}
	return !w.full && cron_parse(buf, &c, NULL) && pg_cron_same(p, rules, &c);
}

/* ------------------------------------------------------------------------
 * What was meant
 * ------------------------------------------------------------------------ */

/* Digits at pos; false: none, or out of the field's bounds */
static bool
small_number(const char *text, int *pos, int min, int max, int *number)
{
	int			start = *pos;

	*number = 0;
	for (; pg_cron_is_digit(text[*pos]) && *pos - start <= 4; (*pos)++)
		*number = *number * 10 + (text[*pos] - '0');
	if (*pos == start || *pos - start > 4)
		return false;
	return *number >= min && *number <= max;
}

/* If the text is that of a step of minutes, write it as an interval */
static bool
put_minutes(Writer *w, const char *text, int length)
{
	static const char others[] = " * * * *";
	int			pos = 2;
	int			minutes;

	if (strncmp(text, "*/", 2) != 0 || !small_number(text, &pos, 1, 9999, &minutes) ||
		length - pos != (int) strlen(others) || strncmp(text + pos, others, strlen(others)) != 0)
		return false;
	put(w, "every %d minutes", minutes);
	return true;
}

bool
pg_cron_meant(const char *text, char *buf)
{
	PgCronPiece strip = pg_cron_strip(text);
	Writer		w = {buf, 0, false};
	int			interval = pg_cron_interval(text);
	int			pos = strip.pos;
	int			kind;
	CronSchedule c;

	if (interval > 0)
		put(&w, "every %d second%s", interval, interval == 1 ? "" : "s");
	else
		put(&w, "%.*s", strip.length, text + strip.pos);
	if (w.full)
		return false;
	if (cron_parse(buf, &c, NULL))
		return true;

	/* each n minutes, and more than there are in an hour */
	w.length = 0;
	if (put_minutes(&w, text + strip.pos, strip.length))
		return cron_parse(buf, &c, NULL);

	/* five words, with a "$" for the last day */
	for (kind = 0; kind < PG_CRON_FIELDS; kind++)
	{
		int			start;

		while (pg_cron_is_blank(text[pos]))
			pos++;
		start = pos;
		while (pos < strip.pos + strip.length && !pg_cron_is_blank(text[pos]))
			pos++;
		put(&w, kind > 0 ? " " : "");
		if (kind == FIELD_DAY && pos - start == 1 && text[start] == '$')
			put(&w, "L");
		else
			put(&w, "%.*s", pos - start, text + start);
	}
	return pos == strip.pos + strip.length && !w.full && cron_parse(buf, &c, NULL);
}
