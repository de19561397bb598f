/*
 * read.c
 *		How pg_cron reads a schedule.
 *
 * pg_cron has the parser of Vixie cron.  There a line goes on with a command, so
 * it stops at what it does not understand instead of refusing it:
 *		- what follows the fifth field is ignored, and so is what follows a value
 *		  within a field, up to the next blank: "5#3" is 5, "1;3" is 1;
 *		- only letters and digits make it refuse a field: "5L", "monday";
 *		- a range that goes down has no values.  From 1.6 on such ranges are set
 *		  byte by byte in the bits of the field: 22-6 in the hours has both its
 *		  ends, fri-mon, within one byte, still nothing;
 *		- "@yearly" has had no month, and has never run, since 1.6;
 *		- 7 is a value of its own until all is read, and Sunday then: "*" has 0 to
 *		  7, "*" with step 7 both ends.
 * The days follow the rule that we have, too: either field, or both if one of
 * them starts with "*".
 *
 * Length: one parser, kept as one file to compare it with pg_cron's.
 */
#include "pure/pg_cron/pg_cron_schedule.h"

#include <string.h>

/* Texts that are longer are not read at all */
#define LENGTH_MAX	999

const PgCronField pg_cron_fields[PG_CRON_FIELDS] = {
	{0, 59, 59, ""},
	{0, 23, 23, ""},
	{1, 31, 31, ""},
	{1, 12, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
	{0, 7, 6, "sunmontuewedthufrisat"},
};

typedef struct Reader
{
	const char *text;
	int			pos;
	const PgCronRules *rules;
	PgCronSchedule *out;
	const PgCronField *field;
	uint64_t	values;			/* of the field; bit 0 is its smallest value */
} Reader;

/* ------------------------------------------------------------------------
 * Characters
 * ------------------------------------------------------------------------ */

/* What ends a field */
static inline bool
is_end(char c)
{
	return pg_cron_is_blank(c) || c == '\n' || c == '\0';
}

static inline char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static inline bool
is_word(char c)
{
	return pg_cron_is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

static inline bool
is_space(char c)
{
	return pg_cron_is_blank(c) || (c >= '\n' && c <= '\r');
}

static inline char
peek(const Reader *r)
{
	return r->text[r->pos];
}

static void
skip_blanks(Reader *r)
{
	while (pg_cron_is_blank(peek(r)))
		r->pos++;
}

/* A piece of the text without the white space around it; the first one stays */
static void
note_piece(const Reader *r, PgCronPiece *piece, int from, int to)
{
	while (from < to && is_space(r->text[from]))
		from++;
	while (from < to && is_space(r->text[to - 1]))
		to--;
	if (piece->length > 0 || from == to)
		return;
	piece->pos = from;
	piece->length = to - from;
}

PgCronPiece
pg_cron_strip(const char *text)
{
	PgCronPiece piece;
	int			pos = 0;
	int			end;

	for (;;)
	{
		while (pg_cron_is_blank(text[pos]))
			pos++;
		if (text[pos] == '#')
		{
			while (text[pos] != '\n' && text[pos] != '\0')
				pos++;
		}
		if (text[pos] != '\n')
			break;
		pos++;
	}
	for (end = pos; text[end] != '\0' && text[end] != '\n';)
		end++;
	while (end > pos && is_space(text[end - 1]))
		end--;
	piece.pos = pos;
	piece.length = end - pos;
	return piece;
}

/* ------------------------------------------------------------------------
 * Reading as pg_cron does
 * ------------------------------------------------------------------------ */

/* Digits as atoi() sees them: what does not fit is cut to 32 bits */
static int
to_int(const char *digits, int length)
{
	int64_t		number = 0;
	int			i;

	for (i = 0; i < length; i++)
	{
		if (number > (INT64_MAX - (digits[i] - '0')) / 10)
			return -1;
		number = number * 10 + (digits[i] - '0');
	}
	return (int) (int32_t) (uint32_t) number;
}

/* A number, or a name if the field has them */
static bool
read_value(Reader *r, const char *names, int *value)
{
	const char *word = r->text + r->pos;
	int			length = 0;
	int			digits = 0;
	int			i;

	for (; is_word(word[length]); length++)
		digits += pg_cron_is_digit(word[length]);
	r->pos += length;
	if (length == 0)
		return false;
	for (i = 0; length == 3 && names[3 * i] != '\0'; i++)
	{
		if (lower(word[0]) == names[3 * i] && lower(word[1]) == names[3 * i + 1] &&
			lower(word[2]) == names[3 * i + 2])
		{
			*value = r->field->min + i;
			return true;
		}
	}
	if (digits < length)
		return false;
	*value = to_int(word, length);
	return true;
}

/*
 * The bits from start to stop, as pg_cron sets them from 1.6 on: the first and
 * the last byte for themselves.
 */
static uint64_t
bytes_range(int start, int stop)
{
	uint64_t	from = 0xff & (0xffu << (start & 7));
	uint64_t	to = 0xff >> (7 - (stop & 7));
	uint64_t	values;
	int			byte;

	if (start / 8 == stop / 8)
		return (from & to) << (start / 8 * 8);
	values = from << (start / 8 * 8) | to << (stop / 8 * 8);
	for (byte = start / 8 + 1; byte < stop / 8; byte++)
		values |= UINT64_C(0xff) << (byte * 8);
	return values;
}

static void
add_range(Reader *r, int from, int to, int step)
{
	int			value;

	if (step == 1 && r->rules->minor >= 6)
	{
		r->values |= bytes_range(from - r->field->min, to - r->field->min);
		return;
	}
	/* a step that is larger than any field is the same as any other such */
	if (step > 100)
		step = 100;
	for (value = from; value <= to; value += step)
		r->values |= UINT64_C(1) << (value - r->field->min);
}

/* One item of the list */
static bool
read_item(Reader *r)
{
	int			start = r->pos;
	int			from = r->field->min;
	int			to = r->field->max;
	int			step = 1;

	if (peek(r) == '*')
		r->pos++;
	else
	{
		if (!read_value(r, r->field->names, &from))
			return false;
		if (peek(r) != '-')
		{
			if (peek(r) == '/' || from < r->field->min || from > r->field->max)
				return false;
			r->values |= UINT64_C(1) << (from - r->field->min);
			return true;
		}
		r->pos++;
		if (!read_value(r, r->field->names, &to))
			return false;
	}
	if (peek(r) == '/')
	{
		r->pos++;
		if (!read_value(r, "", &step) || step <= 0)
			return false;
		if (step > r->field->max)
			r->out->large_step = true;
	}
	if (from < r->field->min || from > r->field->max ||
		to < r->field->min || to > r->field->max)
		return false;
	if (from > to)
		note_piece(r, &r->out->reversed, start, r->pos);
	add_range(r, from, to, step);
	return true;
}

/* A field, and the blanks after it */
static bool
read_field(Reader *r, PgCronFieldKind kind, bool *star)
{
	PgCronPiece *used = &r->out->used[kind];
	int			ignored;

	r->field = &pg_cron_fields[kind];
	r->values = 0;
	used->pos = r->pos;
	*star = peek(r) == '*';
	for (;;)
	{
		if (!read_item(r))
			return false;
		if (peek(r) != ',')
			break;
		r->pos++;
	}
	used->length = r->pos - used->pos;
	ignored = r->pos;
	while (!is_end(peek(r)))
		r->pos++;
	note_piece(r, &r->out->ignored, ignored, r->pos);
	skip_blanks(r);
	return true;
}

/* "$" for the last day */
static bool
read_last_day(Reader *r)
{
	PgCronPiece *used = &r->out->used[FIELD_DAY];

	used->pos = r->pos++;
	used->length = 1;
	if (!pg_cron_is_blank(peek(r)))
		return false;
	skip_blanks(r);
	r->out->last_day = true;
	r->values = 0;
	return true;
}

static bool
read_fields(Reader *r)
{
	PgCronSchedule *out = r->out;
	bool		star;

	if (!read_field(r, FIELD_MINUTE, &out->minutes_star))
		return false;
	out->minutes = r->values & UINT64_C(0x0fffffffffffffff);
	if (!read_field(r, FIELD_HOUR, &star))
		return false;
	out->hours = (uint32_t) (r->values & 0xffffff);
	if (peek(r) == '$' && r->rules->minor >= 6)
	{
		if (!read_last_day(r))
			return false;
	}
	else if (!read_field(r, FIELD_DAY, &out->days_star))
		return false;
	out->days = (uint32_t) (r->values << 1) & PG_CRON_ALL_DAYS;
	if (!read_field(r, FIELD_MONTH, &star))
		return false;
	out->months = (uint16_t) (r->values << 1 & 0x1ffe);
	if (!read_field(r, FIELD_WEEKDAY, &out->weekdays_star))
		return false;
	out->weekdays = (uint8_t) ((r->values | r->values >> 7) & PG_CRON_ALL_WEEKDAYS);
	note_piece(r, &out->rest, r->pos, (int) strlen(r->text));
	return true;
}

static bool
read_macro(Reader *r)
{
	static const struct
	{
		const char *name;
		const char *fields;
	}			macros[] =
	{
		{"@reboot", NULL},
		{"@restart", NULL},
		{"@yearly", "0 0 1 1 *"},
		{"@annually", "0 0 1 1 *"},
		{"@monthly", "0 0 1 * *"},
		{"@weekly", "0 0 * * 0"},
		{"@daily", "0 0 * * *"},
		{"@midnight", "0 0 * * *"},
		{"@hourly", "0 * * * *"},
	};
	PgCronPiece word = {r->pos, 0};
	size_t		i;

	while (!is_end(r->text[word.pos + word.length]))
		word.length++;
	for (i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
	{
		const char *text = r->text;

		if ((int) strlen(macros[i].name) != word.length ||
			memcmp(macros[i].name, text + word.pos, (size_t) word.length) != 0)
			continue;
		r->out->reboot = macros[i].fields == NULL;
		if (!r->out->reboot)
		{
			r->text = macros[i].fields;
			r->pos = 0;
			(void) read_fields(r);
			/* 1.6 takes the first month for month 0, which there is none of */
			if (r->rules->minor >= 6 && r->out->months == 2)
				r->out->months = 0;
			r->text = text;
			memset(r->out->used, 0, sizeof(r->out->used));
		}
		r->out->macro = true;
		r->out->used[0] = word;
		note_piece(r, &r->out->rest, word.pos + word.length, (int) strlen(text));
		return true;
	}
	return false;
}

/* See the header */
int
pg_cron_interval(const char *text)
{
	static const char unit[] = "second";
	int			length = 0;
	int			number;
	int			i;

	while (is_space(*text))
		text++;
	if (*text == '+')
		text++;
	while (pg_cron_is_digit(text[length]))
		length++;
	number = length > 0 ? to_int(text, length) : 0;
	for (text += length; is_space(*text);)
		text++;
	for (i = 0; unit[i] != '\0'; i++)
	{
		if (lower(text[i]) != unit[i])
			return 0;
	}
	text += i;
	if (lower(*text) == 's')
	{
		for (text++; is_space(*text);)
			text++;
	}
	return *text == '\0' && number >= 1 && number <= 59 ? number : 0;
}

bool
pg_cron_parse(const char *text, const PgCronRules *rules, PgCronSchedule *out)
{
	Reader		reader = {text, 0, rules, out, NULL, 0};

	memset(out, 0, sizeof(*out));
	if (strlen(text) <= LENGTH_MAX)
	{
		reader.pos = pg_cron_strip(text).pos;
		if (peek(&reader) == '@' ? read_macro(&reader) : read_fields(&reader))
			return true;
	}
	memset(out, 0, sizeof(*out));
	if (rules->minor >= 5)
		out->interval = pg_cron_interval(text);
	return out->interval > 0;
}

/* ------------------------------------------------------------------------
 * Comparing
 * ------------------------------------------------------------------------ */

static void
normalize_days(PgCronDays *d)
{
	bool		none = d->days == 0 && !d->last_day;

	if (!d->both)
	{
		if (d->days == PG_CRON_ALL_DAYS || d->weekdays == PG_CRON_ALL_WEEKDAYS)
		{
			d->days = PG_CRON_ALL_DAYS;
			d->weekdays = PG_CRON_ALL_WEEKDAYS;
			d->both = true;
		}
		else if (none)
		{
			d->days = PG_CRON_ALL_DAYS;
			d->both = true;
		}
		else if (d->weekdays == 0)
		{
			d->weekdays = PG_CRON_ALL_WEEKDAYS;
			d->both = true;
		}
	}
	/* 31 is only in months where it is the last day */
	if (d->days == PG_CRON_ALL_DAYS)
		d->last_day = false;
}

PgCronDays
pg_cron_days(const PgCronSchedule *p, const PgCronRules *rules)
{
	PgCronDays	d;

	memset(&d, 0, sizeof(d));
	d.days = p->days;
	d.last_day = p->last_day;
	d.weekdays = p->weekdays;
	d.both = p->days_star || p->weekdays_star || rules->both_days;
	normalize_days(&d);
	return d;
}

/* See the header */
bool
pg_cron_lacks(const CronSchedule *c)
{
	int			i;

	for (i = 0; i < 5; i++)
	{
		if (c->nth_weekdays[i] != 0)
			return true;
	}
	return c->seconds != 1 || c->last_days > 1 || c->near_days != 0 ||
		c->near_last_days != 0 || c->last_weekdays != 0;
}

bool
pg_cron_same(const PgCronSchedule *p, const PgCronRules *rules, const CronSchedule *c)
{
	PgCronDays	theirs;
	PgCronDays	ours;

	if (p->reboot)
		return false;
	if (p->interval > 0 || c->interval > 0)
		return p->interval == c->interval;
	if (pg_cron_lacks(c))
		return false;
	theirs = pg_cron_days(p, rules);
	memset(&ours, 0, sizeof(ours));
	ours.days = c->days;
	ours.last_day = c->last_days != 0;
	ours.weekdays = c->weekdays;
	ours.both = c->days_star || c->weekdays_star;
	normalize_days(&ours);
	return p->minutes == c->minutes && p->hours == c->hours && p->months == c->months &&
		theirs.days == ours.days && theirs.last_day == ours.last_day &&
		theirs.weekdays == ours.weekdays && theirs.both == ours.both;
}

bool
pg_cron_matches(const PgCronSchedule *p, const PgCronRules *rules, int64_t local)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t		day = local / 86400;
	int			minute;
	int			era;
	int			year;
	int			month;
	int			of_year;
	int			leap;
	bool		by_day;
	bool		by_weekday;

	if (local % 86400 < 0)
		day--;
	minute = (int) ((local - day * 86400) / 60);
	if ((p->minutes >> minute % 60 & 1) == 0 || (p->hours >> minute / 60 & 1) == 0)
		return false;
	by_weekday = p->weekdays >> ((day % 7 + 7 + 4) % 7) & 1;

	/* days since 1 March of the year 0 */
	day += 719468;
	era = (int) ((day >= 0 ? day : day - 146096) / 146097);
	day -= (int64_t) era * 146097;
	year = (int) ((day - day / 1460 + day / 36524 - day / 146096) / 365);
	of_year = (int) (day - (365 * year + year / 4 - year / 100));
	month = (5 * of_year + 2) / 153;
	of_year -= (153 * month + 2) / 5;	/* the day of the month, from 0 */
	month = month < 10 ? month + 2 : month - 10;	/* from 0 */
	year += era * 400 + (month < 2);
	leap = month == 1 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	by_day = (p->days >> (of_year + 1) & 1) != 0 ||
		(p->last_day && of_year + 1 == lengths[month] + leap);
	if ((p->months >> (month + 1) & 1) == 0)
		return false;
	return p->days_star || p->weekdays_star || rules->both_days ?
		by_day && by_weekday : by_day || by_weekday;
}
